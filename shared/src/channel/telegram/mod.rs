//! Telegram: its updates, its Bot API, and answers as its HTML. <https://core.telegram.org/bots/api>

mod api;
mod connection;
mod format;
mod secret;
mod update;
mod voice;

pub use api::{Bot, BotApi, BotToken, TelegramError, WebhookInfo};
pub use connection::{About, ConnectionError, connection, open, voice};
pub use format::{plain, posts};
pub use secret::WebhookSecret;
pub use update::{Addressee, incoming};
pub use voice::TelegramVoice;

#[cfg(test)]
mod tests;

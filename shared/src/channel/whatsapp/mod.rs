//! WhatsApp: the Cloud API's webhooks, its messages, and answers in its format.
//! <https://developers.facebook.com/documentation/business-messaging/whatsapp>

mod api;
mod connection;
mod format;
mod notification;
mod voice;

pub use api::{AccessToken, GraphApi, GraphError, PhoneNumber};
pub use connection::{
    About, ConnectionError, Credentials, SignedBy, VerifyToken, connection, open, phone_of_token, voice,
};
pub use format::posts;
pub use notification::{FailedStatus, Notification, read};
pub use voice::WhatsAppVoice;

#[cfg(test)]
mod tests;

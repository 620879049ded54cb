//! Language models: one request and one stream of events, whatever the provider speaks.
//!
//! [`Models::open`] is the way in. It finds the provider of a [`ModelName`], keeps trying while nothing has been told
//! to the user, moves on to the fallbacks, and hands out a stream of [`ModelEvent`]s. A provider is a request builder
//! and a [`stream::Decoder`]; what all of them share (the normal form of a conversation, server-sent events, limits,
//! time-outs, errors) stands beside them.

mod anthropic;
mod demo;
mod error;
mod history;
mod json;
mod key;
mod message;
mod models;
mod name;
mod openai;
mod prices;
mod provider;
mod stream;
#[cfg(test)]
mod tests;

pub use error::{ErrorKind, ModelError};
pub use key::{KeyError, KeySource, NoKeys};
pub use message::{Block, Completion, Message, ModelEvent, ModelRequest, Role, Stop, ToolSpec, Usage};
pub use models::{Answer, ModelSettings, Models};
pub use name::{ModelName, ModelNameError};
pub use prices::cost;

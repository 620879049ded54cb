//! Language models: one request and one stream of events, whatever the provider speaks.

mod message;
mod name;

pub use message::{Block, Completion, Message, ModelEvent, ModelRequest, Role, Stop, ToolSpec, Usage};
pub use name::{ModelName, ModelNameError};

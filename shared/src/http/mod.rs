//! Requests in, replies out.

mod error;
mod exchange;
mod fields;
mod sse;

pub use error::{ApiError, ErrorKind};
pub use exchange::{Cors, Deadline, Exchange, LARGEST_BODY};
pub use fields::{Fields, json_object};
pub use sse::{Frame, stream};

pub use ::http::{Method, StatusCode};

/// A request as axum hands it to a handler.
pub type Request = axum::extract::Request;

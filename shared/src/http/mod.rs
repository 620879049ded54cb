//! Requests in, replies out.

mod error;
mod exchange;
mod fields;
mod public_url;
mod sse;

pub use error::{ApiError, ErrorKind};
pub use exchange::{Cors, Deadline, Exchange, Respondent, named};
pub use fields::{Fields, in_the_query, json_object, parameters};
pub use public_url::below;
pub use sse::{Frame, stream};

pub use ::http::{Method, StatusCode};

/// A part of the path as axum hands it to a handler.
pub type InPath<T> = Result<axum::extract::Path<T>, axum::extract::rejection::PathRejection>;

/// A request as axum hands it to a handler.
pub type Request = axum::extract::Request;

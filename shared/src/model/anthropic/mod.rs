//! Anthropic's Messages API, <https://docs.anthropic.com/en/api/messages>.

mod decode;
mod request;

pub(super) use decode::MessageDecoder;
pub(super) use request::{body, headers};

/// The provider's part of its models' names, and the maker of its opaque blocks.
const PROVIDER: &str = "anthropic";

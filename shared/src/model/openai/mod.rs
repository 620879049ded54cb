//! OpenAI's Chat Completions API, <https://platform.openai.com/docs/api-reference/chat>, and what is compatible with it.
//!
//! The services that are compatible differ in small ways, and those are tolerated: calls without id or index, arguments
//! that are no string, usage that comes with the last words or not at all, a missing `[DONE]`. A thinking budget only
//! adds to the output limit, for the protocol knows no budget. Reasoning that is told is not kept.

mod decode;
mod request;

pub(super) use decode::ChunkDecoder;
pub(super) use request::body;

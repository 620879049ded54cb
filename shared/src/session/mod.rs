//! Sessions: conversations whose history is kept here, one turn at a time.

mod open;
mod record;
mod trace;

pub use open::{LEASE, Lease, PATIENCE, Session, SessionError, Sessions, Wish};
pub use record::{Turn, history};
pub use trace::{Escalation, EscalationReason, MOST_ROUNDS, MOST_TOOLS, Round, Speaker, ToolCall};

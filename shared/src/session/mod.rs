//! Sessions: conversations whose history is kept here, one turn at a time.

pub mod app;
mod open;
mod record;
mod trace;

pub use app::{AppWish, Facts};
pub use open::{LEASE, Lease, PATIENCE, Session, SessionError, Sessions, Wish};
pub use record::{Turn, history};
pub use trace::{Escalation, EscalationReason, MOST_ROUNDS, MOST_TOOLS, Round, Speaker, ToolCall};

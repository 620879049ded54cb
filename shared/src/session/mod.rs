//! Sessions: conversations whose history is kept here, one turn at a time.

mod open;
mod record;

pub use open::{LEASE, Lease, PATIENCE, Session, SessionError, Sessions, Wish};
pub use record::{Turn, history};

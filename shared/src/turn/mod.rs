//! The turn: one message in, a stream of events out.
//!
//! A turn runs as a task of its own, which the process waits for before it ends. It is given up when nobody listens any
//! more; what it cost is paid for then too. The last event comes after everything is stored.

mod event;
mod prompt;
mod rounds;
mod run;

pub use event::{Answer, TurnEvent, TurnFailure, TurnStream, last};
pub use run::{Begun, ClaimHold, TurnInput, TurnRequest, TurnSettings, Turns};

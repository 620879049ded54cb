//! The turn: one message in, a stream of events out.
//!
//! A turn runs as a task of its own, which the process waits for before it ends. It is given up when nobody listens any
//! more; what it cost is paid for then too. The last event comes after everything is stored.
//!
//! Within a project ([`AppTurn`]) an agent may hand the conversation over to another, who goes on in the same turn, and ask
//! a person to take a look; and what the application keeps about the conversation is put into the agents' own texts.

mod app;
mod calls;
mod event;
mod progress;
mod prompt;
mod rounds;
mod run;
mod template;
#[cfg(test)]
mod tests;

pub use event::{Answer, TurnEvent, TurnFailure, TurnStream, last};
pub use run::{AppTurn, Begun, ClaimHold, TurnInput, TurnRequest, TurnSettings, Turns};

//! `orrery` from the outside: the real binary, run in directories of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod commands;
mod doctor;
mod kit;
mod queues;
mod secrets;
mod serve;
mod tenants;

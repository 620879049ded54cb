//! Runs the function on Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(webhook::routes, shared::lambda::Mode::Streaming)
}

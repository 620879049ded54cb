//! Runs the function on Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(widget_chat::routes, shared::lambda::Mode::Streaming)
}

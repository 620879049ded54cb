//! Runs the function on Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(chat_completions::routes, shared::lambda::Mode::Streaming)
}

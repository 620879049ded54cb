//! Runs the function on Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run(health::routes, shared::lambda::Mode::Buffered)
}

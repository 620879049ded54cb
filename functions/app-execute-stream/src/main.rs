//! Runs the function on Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run_streaming(app_execute_stream::routes)
}

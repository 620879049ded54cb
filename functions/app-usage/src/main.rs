//! Runs the function on Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::lambda::run_buffered(app_usage::routes)
}

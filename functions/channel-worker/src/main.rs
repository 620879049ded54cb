//! Runs the function on Lambda.

use std::process::ExitCode;

use shared::app::App;

fn main() -> ExitCode {
    shared::lambda::run_consumer(App::channels, channel_worker::consume)
}

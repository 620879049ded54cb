//! Runs the function on Lambda.

use std::process::ExitCode;

use shared::app::App;

fn main() -> ExitCode {
    shared::lambda::run_consumer(App::deliveries_queue, webhook_delivery::consume)
}

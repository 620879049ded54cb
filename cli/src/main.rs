//! `orrery`: serves the API on one machine, and puts agents and keys into a table, here or on AWS.

mod agents;
mod apply;
mod args;
mod doctor;
mod documents;
mod error;
mod issuer;
mod keys;
mod output;
mod place;
mod projects;
mod queues;
mod secrets;
mod serve;
mod tenants;
mod token;
mod transport;
mod webhooks;
mod when;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
use error::CommandError;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {}", shared::telemetry::chain(&error)));
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), CommandError> {
    match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Apply(arguments) => apply::run(arguments).await,
        Command::Agent(command) => agents::run(command).await,
        Command::Project(command) => projects::run(command).await,
        Command::Key(command) => keys::run(command).await,
        Command::Tenant(command) => tenants::run(command).await,
        Command::Token(arguments) => token::run(&arguments).await,
        Command::Webhook(command) => webhooks::run(command).await,
        Command::Queue(command) => queues::run(command).await,
        Command::Secret(command) => secrets::run(command).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Openapi(arguments) => serve::describe(arguments.described),
    }
}

//! Measures the release binaries and holds the figures against the budgets. Everything is on the loopback; the model,
//! the queues and the platforms are mocks, the table is the embedded one behind a port.

mod doors;
mod figures;
mod functions;
mod load;
mod people;
mod platforms;
mod process;
mod runtime_api;
mod serve;
mod sqs;
mod stage;
mod table;
mod upstream;
mod wire;

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use serde_json::json;

use crate::figures::Figures;
use crate::stage::Stage;

/// What a measurement comes to. One that cannot be taken is told as it is.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Measures the release binaries against the budgets.
#[derive(Parser)]
struct Arguments {
    /// Where the release binaries are.
    #[arg(long)]
    binaries: PathBuf,
    /// Where each function's zip is, by the function's name.
    #[arg(long)]
    zips: PathBuf,
    /// Real events of the functions.
    #[arg(long)]
    events: PathBuf,
    /// Where the figures are written.
    #[arg(long)]
    json: PathBuf,
    /// Requests over which processor time is taken.
    #[arg(long, default_value_t = 1500)]
    requests: u32,
    /// What to measure; everything, where nothing is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Cold starts.
    Start,
    /// From the model's token to the Runtime API.
    Frames,
    /// Memory and sizes.
    Sizes,
    /// Processor time of functions.
    Cpu,
    /// Channels and outbound webhooks: what platforms wait for, and what queues' functions cost.
    Queues,
    /// Table calls and their price.
    Table,
    /// `orrery serve`.
    Serve,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let measured = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(measure(&arguments)));
    match measured.and_then(|figures| report(&figures, &arguments)) {
        Ok(code) => code,
        Err(error) => {
            // Nobody can be told that nobody can be told.
            let _told = writeln!(std::io::stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Outcome<Figures> {
    let mut figures = Figures::default();
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    let stage = Stage::new(arguments.binaries.clone(), arguments.events.clone()).await?;
    if wanted(Part::Start) {
        functions::cold_starts(&stage, &mut figures).await?;
    }
    if wanted(Part::Frames) {
        functions::frames(&stage, &mut figures).await?;
    }
    if wanted(Part::Sizes) {
        functions::sizes(&stage, &arguments.zips, &mut figures).await?;
    }
    if wanted(Part::Cpu) {
        functions::processor_time(&stage, arguments.requests, &mut figures).await?;
    }
    if wanted(Part::Queues) {
        doors::measure(&stage, &mut figures).await?;
        serve::acknowledged(&stage.binary("orrery"), &mut figures).await?;
    }
    if wanted(Part::Table) {
        functions::table_use(&stage, &mut figures).await?;
    }
    if wanted(Part::Serve) {
        serve::measure(&stage.binary("orrery"), &mut figures).await?;
    }
    Ok(figures)
}

fn report(figures: &Figures, arguments: &Arguments) -> Outcome<ExitCode> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let processors = std::thread::available_parallelism()?;
    let text = json!({ "load": load.trim(), "processors": processors, "figures": figures.json() });
    std::fs::write(&arguments.json, format!("{text:#}\n"))?;
    let mut output = std::io::stdout().lock();
    write!(output, "{}", figures.table())?;
    writeln!(output, "processors: {processors}; load after the run: {}", load.trim())?;
    Ok(if figures.is_any_missed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

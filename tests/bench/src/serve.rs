//! `orrery serve` with its table in memory, and the model called through it and directly.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::time::Duration;

use crate::Outcome;
use crate::figures::{Figures, NOISE_OF_TIMES, NOISE_OF_USE, millis};
use crate::load::{self, Target, paced};
use crate::process::Process;
use crate::stage::{AGENT, ANSWER};
use crate::upstream::{PACED, Upstream};

const PLAIN: &str = r#"{"model":"bench","messages":[{"role":"user","content":"Hello"}]}"#;
const STREAM: &str = r#"{"model":"bench","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
const CONNECTIONS: [usize; 3] = [1, 10, 50];
const RUN: Duration = Duration::from_secs(4);
const WARM_UP: Duration = Duration::from_secs(1);

/// The server, its port, and who may call whom.
struct Served {
    process: Process,
    /// Kept open, so that the server can go on to print.
    _output: BufReader<ChildStdout>,
    address: SocketAddr,
    path: String,
    key: String,
}

pub(crate) async fn measure(binary: &Path, figures: &mut Figures) -> Outcome<()> {
    let upstream = Upstream::start(ANSWER).await?;
    let served = start(binary, &upstream)?;
    let direct = upstream.target();
    let plain = Target::post(served.address, &served.path, &served.key, PLAIN);
    let stream = Target::post(served.address, &served.path, &served.key, STREAM);
    load::run(&stream, 4, WARM_UP).await?;
    for connections in CONNECTIONS {
        for (kind, target) in [("the mock directly", &direct), ("serve, plain", &plain), ("serve, SSE", &stream)] {
            let before = served.process.cpu()?;
            let mut done = load::run(target, connections, RUN).await?;
            let each = millis(served.process.cpu()? - before) / done.count();
            let what = format!("{kind}, {connections} at once");
            figures.tell(format!("{what}: requests"), done.per_second(), "/s");
            figures.tell(format!("{what}: latency, middle"), done.middle(), "ms");
            figures.tell(format!("{what}: latency, 99 of 100"), done.slow(), "ms");
            if target.address == served.address {
                figures.hold(format!("{what}: CPU per request"), each, "ms", 1.0, NOISE_OF_USE);
            }
        }
    }
    tokens(&upstream, &direct, &stream, figures).await
}

/// What is added to the time of the first token and of each later one.
async fn tokens(upstream: &Upstream, direct: &Target, through: &Target, figures: &mut Figures) -> Outcome<()> {
    upstream.play(PACED);
    let (first_direct, later_direct) = paced(upstream, direct).await?;
    let (first, later) = paced(upstream, through).await?;
    figures.tell("the mock directly: time to the first token", first_direct, "ms");
    figures.hold("serve: added to the first token", first - first_direct, "ms", 1.5, NOISE_OF_TIMES);
    figures.hold("serve: added to each later token", later - later_direct, "ms", 0.2, NOISE_OF_TIMES);
    Ok(())
}

fn start(binary: &Path, upstream: &Upstream) -> Outcome<Served> {
    let agents = tempfile::tempdir()?;
    std::fs::write(agents.path().join("bench.md"), format!("---\nname: bench\n{AGENT}\n---\nAnswer briefly.\n"))?;
    let folder = agents.path().to_str().ok_or("a folder that is not UTF-8")?;
    let variables = [
        ("OPENAI_BASE_URL".to_owned(), format!("http://{}/v1", upstream.server.address)),
        ("OPENAI_API_KEY".to_owned(), "bench".to_owned()),
    ];
    let arguments = ["serve", "--port", "0", "--data", ":memory:", "--agents", folder];
    let mut process = Process::start(binary, &arguments, &variables, Stdio::piped())?;
    let mut output = BufReader::new(process.child.stdout.take().ok_or("no output")?);
    let address = after(&mut output, "listening on http://")?.parse()?;
    let key = format!("kpn_{}", after(&mut output, "kpn_")?);
    let agent = after(&mut output, "/api/agents/")?;
    let agent = agent.split('/').next().unwrap_or_default();
    let path = format!("/api/agents/{agent}/v1/chat/completions");
    Ok(Served { process, _output: output, address, path, key })
}

/// The word that follows this text in the output.
fn after(output: &mut impl BufRead, text: &str) -> Outcome<String> {
    for line in output.lines() {
        let line = line?;
        if let Some((_, rest)) = line.split_once(text) {
            return Ok(rest.split_whitespace().next().unwrap_or_default().to_owned());
        }
    }
    Err(format!("the server does not tell {text}").into())
}

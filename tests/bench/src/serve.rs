//! `orrery serve` with its table in memory, and the model called through it and directly.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::interval_at;

use crate::Outcome;
use crate::doors::ACKNOWLEDGED;
use crate::figures::{Figures, NOISE_OF_TIMES, NOISE_OF_USE, median, millis, quantile};
use crate::load::{self, Target, exchange, paced};
use crate::people::{BOT_TOKEN, Knock, telegram_update};
use crate::platforms::Platforms;
use crate::process::{OneProcessor, Process};
use crate::stage::{AGENT, ANSWER};
use crate::upstream::{PACED, Upstream};
use crate::wire::{Wire, message};

const PLAIN: &str = r#"{"model":"bench","messages":[{"role":"user","content":"Hello"}]}"#;
const STREAM: &str = r#"{"model":"bench","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
const CONNECTIONS: [usize; 3] = [1, 10, 50];
const RUN: Duration = Duration::from_secs(4);
const WARM_UP: Duration = Duration::from_secs(1);
/// How many people write to a bot at once, how often, and how many messages in all.
const SENDERS: u64 = 32;
const PAUSE: Duration = Duration::from_millis(500);
const EVENTS: u64 = 640;

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
    let served = start(binary, ":memory:", &upstream, &[])?;
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
                figures.tell(format!("{what}: CPU per request, across processors"), each, "ms");
            }
        }
    }
    tokens(&upstream, &direct, &stream, figures).await?;
    upstream.play(ANSWER);
    let _one = OneProcessor::hold(&[&served.process])?;
    for connections in CONNECTIONS {
        for (kind, target) in [("plain", &plain), ("SSE", &stream)] {
            let before = served.process.cpu()?;
            let done = load::run(target, connections, RUN).await?;
            let each = millis(served.process.cpu()? - before) / done.count();
            figures.hold(
                format!("serve, {kind}, {connections} at once: CPU per request"),
                each,
                "ms",
                1.0,
                NOISE_OF_USE,
            );
        }
    }
    Ok(())
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

/// How long Telegram waits where many people write at once, while those who wrote before them are answered.
pub(crate) async fn acknowledged(binary: &Path, figures: &mut Figures) -> Outcome<()> {
    let (upstream, platforms) = (Upstream::start(ANSWER).await?, Platforms::start().await?);
    let data = tempfile::tempdir()?;
    let data = data.path().to_str().ok_or("a folder that is not UTF-8")?;
    let mut variables = vec![("ORRERY_PUBLIC_URL".to_owned(), "https://bench.example".to_owned())];
    variables.extend(platforms.environment().map(|(name, value)| (name.to_owned(), value)));
    let served = start(binary, data, &upstream, &variables)?;
    let secret = connect_bot(binary, data, &served, &platforms).await?;
    let (mut senders, begun) = (JoinSet::new(), tokio::time::Instant::now());
    for sender in 0..SENDERS {
        let (secret, address) = (secret.clone(), served.address);
        senders.spawn(async move {
            let mut wire = Wire::connect(address).await?;
            let mut times = Vec::new();
            let mut bursts = interval_at(begun, PAUSE);
            for number in (sender..EVENTS).step_by(SENDERS as usize) {
                bursts.tick().await;
                let Knock { headers, body } = telegram_update(&secret, number + 1);
                let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let headers = format!("Host: {address}\r\nContent-Type: application/json\r\n{headers}");
                let request = message("POST /api/telegram/webhook HTTP/1.1", &headers, body.as_bytes());
                let sent = Instant::now();
                exchange(&mut wire, &request, |_, _| {}).await?;
                times.push(millis(sent.elapsed()));
            }
            Outcome::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(sent) = senders.join_next().await {
        times.extend(sent??);
    }
    let answered = platforms.take_told();
    if answered == 0 {
        return Err("no turn ran meanwhile".into());
    }
    let what = format!("serve: an update acknowledged, {SENDERS} people at once");
    figures.tell(format!("{what}, {answered} answered meanwhile: middle"), median(&mut times), "ms");
    figures.hold(format!("{what}: 99 of 100"), quantile(&mut times, 0.99), "ms", ACKNOWLEDGED, NOISE_OF_TIMES);
    Ok(())
}

/// Connects a bot to the agent; what it shows with each update.
async fn connect_bot(binary: &Path, data: &str, served: &Served, platforms: &Platforms) -> Outcome<String> {
    let told = Command::new(binary).args(["token", "--data", data, "--json"]).output()?;
    let token: Value = serde_json::from_slice(&told.stdout)?;
    let token = token["token"].as_str().ok_or("no token")?;
    let agent = served.path.split('/').nth(3).ok_or("no agent")?;
    let body = json!({ "agentId": agent, "botToken": BOT_TOKEN }).to_string();
    let setup = Target::post(served.address, "/api/telegram/setup", token, &body);
    exchange(&mut Wire::connect(setup.address).await?, &setup.request, |_, _| {}).await?;
    Ok(platforms.secret())
}

/// Starts a server with its data in this place, and with these variables more than it needs.
fn start(binary: &Path, data: &str, upstream: &Upstream, more: &[(String, String)]) -> Outcome<Served> {
    let agents = tempfile::tempdir()?;
    std::fs::write(agents.path().join("bench.md"), format!("---\nname: bench\n{AGENT}\n---\nAnswer briefly.\n"))?;
    let folder = agents.path().to_str().ok_or("a folder that is not UTF-8")?;
    let mut variables = vec![
        ("OPENAI_BASE_URL".to_owned(), format!("http://{}/v1", upstream.server.address)),
        ("OPENAI_API_KEY".to_owned(), "bench".to_owned()),
    ];
    variables.extend_from_slice(more);
    let arguments = ["serve", "--port", "0", "--data", data, "--agents", folder];
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

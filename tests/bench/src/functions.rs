//! The functions' release binaries, each in a process of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Outcome;
use crate::figures::{Figures, NO_NOISE, NOISE_OF_TIMES, NOISE_OF_USE, median, millis, quantile};
use crate::load::paced;
use crate::process::OneProcessor;
use crate::stage::{ANSWER, OK, Running, Stage};
use crate::table::Mode;
use crate::upstream::{PACED, Script, token};

/// A function, an event of its, and what its reply holds.
#[derive(Clone, Copy)]
struct Function {
    name: &'static str,
    event: &'static str,
    reply: &'static str,
}

impl Function {
    const fn new(name: &'static str) -> Self {
        Self { name, event: name, reply: OK }
    }

    const fn on(self, event: &'static str) -> Self {
        Self { event, ..self }
    }

    const fn replying(self, reply: &'static str) -> Self {
        Self { reply, ..self }
    }

    async fn call(self, stage: &Stage, running: &mut Running) -> Outcome<()> {
        running.call(&stage.event(self.event).await?, self.reply).await.map(drop)
    }

    /// How often it is called before it is measured. The list of models has a limit that no agent can raise: 60 a
    /// minute.
    fn warm_up(self) -> u32 {
        if self.name == "models" { FEW } else { WARM_UP }
    }
}

/// What a queue's function replies that has worked on all of a batch.
pub(crate) const ALL_DONE: &str = r#""batchItemFailures":[]"#;
/// The functions of the template.
const FUNCTIONS: [Function; 27] = [
    Function::new("health"),
    Function::new("models"),
    Function::new("chat-completions").on("chat-completions-stream"),
    Function::new("webhook"),
    Function::new("widget-chat"),
    Function::new("widget-config"),
    Function::new("widget-script"),
    Function::new("mcp-server"),
    Function::new("mcp-keys").on("mcp-keys-list"),
    Function::new("agent-chat"),
    Function::new("agent-webhooks").on("agent-webhooks-list"),
    Function::new("webhook-delivery").replying(ALL_DONE),
    Function::new("slack-install"),
    // Who comes back with a state that is not ours.
    Function::new("slack-oauth").replying(r#""statusCode":400"#),
    Function::new("slack-events"),
    Function::new("telegram-setup").on("telegram-setup-list"),
    Function::new("telegram-webhook"),
    Function::new("whatsapp-setup").on("whatsapp-setup-list"),
    Function::new("whatsapp-webhook"),
    Function::new("channel-worker").replying(ALL_DONE),
    Function::new("app-execute"),
    Function::new("app-execute-stream"),
    Function::new("app-sessions").replying(r#""statusCode":201"#),
    // A trace that is none.
    Function::new("app-traces").replying(r#""statusCode":404"#),
    Function::new("app-usage"),
    Function::new("app-webhooks").on("app-webhooks-list"),
    Function::new("sweep").replying("null"),
];
/// Those that call the model at once for whoever asks, with what is held to be their processor time.
const TURNS: [&str; 5] = ["chat-completions", "webhook", "widget-chat", "mcp-server", "app-execute"];
/// What the functions' start is measured against.
const HELLO: &str = "hello";
/// How many times hello's start a function's may take: 5 ms where hello takes 2.
const START_TO_HELLO: f64 = 2.5;
const STARTS: u32 = 25;
const WARM_UP: u32 = 200;
const FEW: u32 = 20;
/// Over how many requests processor time is taken at once.
const BLOCK: u32 = 50;
/// Over how many calls it is taken what they ask of the table.
const SPENDING: u32 = 10;
/// The length of a session's id.
const SESSION_ID: usize = "sess_".len() + 26;
const LARGEST_BINARY: f64 = 13.0;
const LARGEST_ZIP: f64 = 5.0;
/// On-demand prices of DynamoDB in us-east-1, in dollars per million units, as of November 2024.
const READ_PRICE: f64 = 0.125;
const WRITE_PRICE: f64 = 0.625;
const TABLE_PAUSE: Duration = Duration::from_millis(20);

/// From exec to the first question, and to the first piece of the first reply.
pub(crate) async fn cold_starts(stage: &Stage, figures: &mut Figures) -> Outcome<()> {
    let all: Vec<_> = [Function::new(HELLO).on("health")].into_iter().chain(FUNCTIONS).collect();
    let mut times = vec![(Vec::new(), Vec::new()); all.len()];
    for _ in 0..STARTS {
        for (function, (polls, replies)) in all.iter().zip(&mut times) {
            let event = stage.event(function.event).await?;
            let (mut running, polled) = stage.start(function.name).await?;
            let begun = Instant::now();
            let reply = running.call(&event, function.reply).await?;
            let first = reply.pieces.first().ok_or("an empty reply")?.0;
            polls.push(millis(polled - running.process.begun));
            replies.push(millis(first - begun));
        }
    }
    let hello = times.first_mut().map(|(polls, _)| median(polls)).unwrap_or_default();
    for (Function { name, .. }, (polls, replies)) in all.iter().zip(&mut times) {
        let what = format!("{name}: exec to first poll");
        if *name == HELLO {
            figures.tell(what, median(polls), "ms");
        } else {
            figures.hold(what, median(polls), "ms", hello * START_TO_HELLO, NOISE_OF_TIMES);
        }
        figures.tell(format!("{name}: the same, least"), quantile(polls, 0.0), "ms");
        figures.tell(format!("{name}: first event to first piece of its reply"), median(replies), "ms");
    }
    Ok(())
}

/// From the model's token to the Runtime API.
pub(crate) async fn frames(stage: &Stage, figures: &mut Figures) -> Outcome<()> {
    for (name, event) in [("chat-completions", "chat-completions-stream"), ("widget-chat", "widget-chat")] {
        let event = stage.event(event).await?;
        let (mut running, _) = stage.start(name).await?;
        again(&mut running, &event, 20).await?;
        stage.upstream.play(PACED);
        let (mut first, mut later) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let reply = running.call(&event, OK).await?;
            for (number, sent) in stage.upstream.take_sent().into_iter().enumerate() {
                let arrived = reply.arrival(token(number).trim()).ok_or("a token is missing")?;
                if number == 0 { &mut first } else { &mut later }.push(millis(arrived - sent));
            }
        }
        let (_, direct) = paced(&stage.upstream, &stage.upstream.target()).await?;
        stage.upstream.play(ANSWER);
        figures.hold(
            format!("{name}: model's first token to Runtime API"),
            median(&mut first),
            "ms",
            2.0,
            NOISE_OF_TIMES,
        );
        let added = median(&mut later) - direct;
        figures.hold(format!("{name}: added to each later token"), added, "ms", 0.2, NOISE_OF_TIMES);
        figures.tell(format!("{name}: each later token, 99 of 100"), quantile(&mut later, 0.99), "ms");
    }
    Ok(())
}

/// Memory after some requests; sizes.
pub(crate) async fn sizes(stage: &Stage, zips: &Path, figures: &mut Figures) -> Outcome<()> {
    for function in FUNCTIONS {
        let (name, times) = (function.name, function.warm_up());
        let (mut running, _) = stage.start(name).await?;
        for _ in 0..times {
            function.call(stage, &mut running).await?;
        }
        let resident = whole(running.process.resident()?) / 1024.0;
        figures.hold(format!("{name}: resident after {times} requests"), resident, "MiB", 40.0, NO_NOISE);
        let megabytes = |path: &Path| Ok::<_, std::io::Error>(whole(path.metadata()?.len()) / 1e6);
        figures.hold(format!("{name}: binary"), megabytes(&stage.binary(name))?, "MB", LARGEST_BINARY, NO_NOISE);
        let zip = zips.join(name).join("bootstrap.zip");
        figures.hold(format!("{name}: zip"), megabytes(&zip)?, "MB", LARGEST_ZIP, NO_NOISE);
    }
    Ok(())
}

/// Processor time of a function's own process.
pub(crate) async fn processor_time(stage: &Stage, requests: u32, figures: &mut Figures) -> Outcome<()> {
    let across = processor_time_of(stage, "chat-completions", "chat-completions", requests).await?;
    figures.tell("chat-completions: CPU per request, across processors that sleep in between", across, "ms");
    let _one = OneProcessor::hold(&[])?;
    for (name, event, budget) in [
        (HELLO, "health", None),
        ("health", "health", None),
        ("chat-completions", "chat-completions", Some(0.5)),
        ("chat-completions", "chat-completions-stream", Some(0.5)),
        ("webhook", "webhook", Some(0.5)),
        ("widget-chat", "widget-chat", Some(0.5)),
        ("mcp-server", "mcp-server", Some(0.5)),
    ] {
        let metered = stage.tokens_used().await?;
        let each = processor_time_of(stage, name, event, requests).await?;
        let what = if name == event { format!("{name}: CPU per request") } else { format!("{name}: CPU per {event}") };
        match budget {
            Some(most) if stage.tokens_used().await? > metered => figures.hold(what, each, "ms", most, NOISE_OF_USE),
            Some(_) => return Err("requests are not metered".into()),
            None => figures.tell(what, each, "ms"),
        }
    }
    Ok(())
}

/// What a request takes of a function that is warm: the middle of what it takes in each of many blocks.
async fn processor_time_of(stage: &Stage, name: &str, event: &str, requests: u32) -> Outcome<f64> {
    let event = stage.event(event).await?;
    let (mut running, _) = stage.start(name).await?;
    again(&mut running, &event, WARM_UP).await?;
    let mut blocks = Vec::new();
    for _ in 0..requests.div_ceil(BLOCK).max(1) {
        let before = running.process.cpu()?;
        again(&mut running, &event, BLOCK).await?;
        blocks.push(millis(running.process.cpu()? - before) / f64::from(BLOCK));
    }
    Ok(median(&mut blocks))
}

/// What each kind of request asks of the table, and what that costs.
pub(crate) async fn table_use(stage: &Stage, figures: &mut Figures) -> Outcome<()> {
    for function in FUNCTIONS.into_iter().skip(1) {
        let name = function.name;
        let (mut running, _) = stage.start(name).await?;
        let event = stage.event(function.event).await?;
        let reply = running.call(&event, function.reply).await?;
        let mut events = Vec::new();
        for _ in 0..=SPENDING {
            events.push(stage.event(function.event).await?);
        }
        spent_by(stage, &mut running, name, (&events, function.reply), figures).await?;
        if name == "webhook" {
            let events = vec![in_session(&event, &reply.text())?; events.len()];
            spent_by(stage, &mut running, "webhook in a session", (&events, OK), figures).await?;
        }
        if TURNS.contains(&name) {
            sequential_calls(stage, &mut running, name, &event, figures).await?;
        }
    }
    let (mut running, _) = stage.start("webhook").await?;
    let stranger: Arc<str> = stage.event("webhook").await?.replace("Bearer kpn_", "Bearer kpn_0").into();
    stage.table.answer(Mode::Counting);
    running.call(&stranger, r#""statusCode":401"#).await?;
    tell_spent(stage, "unknown key", 1.0, figures);
    stage.table.answer(Mode::Plain);
    Ok(())
}

/// The first event warms the function up, the others are counted.
async fn spent_by(
    stage: &Stage,
    running: &mut Running,
    what: &str,
    (events, holds): (&[Arc<str>], &str),
    figures: &mut Figures,
) -> Outcome<()> {
    for (number, event) in events.iter().enumerate() {
        stage.table.answer(if number == 0 { Mode::Plain } else { Mode::Counting });
        running.call(event, holds).await?;
    }
    tell_spent(stage, what, f64::from(SPENDING), figures);
    stage.table.answer(Mode::Plain);
    Ok(())
}

fn tell_spent(stage: &Stage, what: &str, times: f64, figures: &mut Figures) {
    let spent = stage.table.take_spent();
    let (calls, read, write) = (spent.calls.values().sum::<u64>(), spent.read / times, spent.write / times);
    let kinds: Vec<String> =
        spent.calls.iter().map(|(name, count)| format!("{name} {:.1}", whole(*count) / times)).collect();
    figures.tell(format!("{what}: table calls ({})", kinds.join(", ")), whole(calls) / times, "calls");
    figures.tell(format!("{what}: read units"), read, "units");
    figures.tell(format!("{what}: write units"), write, "units");
    figures.tell(format!("{what}: the table's price"), read * READ_PRICE + write * WRITE_PRICE, "$/million");
}

/// How often the table is waited for before the model is called: it answers late, and the pauses are counted.
async fn sequential_calls(
    stage: &Stage,
    running: &mut Running,
    name: &str,
    event: &Arc<str>,
    figures: &mut Figures,
) -> Outcome<()> {
    stage.upstream.play(Script { tokens: 1, pause: Some(Duration::ZERO) });
    stage.table.answer(Mode::Late(TABLE_PAUSE));
    stage.upstream.take_asked();
    let begun = Instant::now();
    running.call(event, OK).await?;
    let asked = stage.upstream.take_asked();
    let waited = *asked.first().ok_or("the model was not asked")? - begun;
    stage.table.answer(Mode::Plain);
    stage.upstream.play(ANSWER);
    let calls = (waited.as_secs_f64() / TABLE_PAUSE.as_secs_f64()).floor();
    figures.hold(format!("{name}: sequential round trips before the model"), calls, "trips", 2.0, NO_NOISE);
    Ok(())
}

/// The webhook's event with the session of its reply.
fn in_session(event: &str, reply: &str) -> Outcome<Arc<str>> {
    let session = reply.find("sess_").and_then(|at| reply.get(at..at + SESSION_ID)).ok_or("no session in the reply")?;
    let mut event: Value = serde_json::from_str(event)?;
    event["body"] = serde_json::json!({ "message": "Hello again", "sessionId": session }).to_string().into();
    Ok(event.to_string().into())
}

/// So many times the same request.
async fn again(running: &mut Running, event: &Arc<str>, times: u32) -> Outcome<()> {
    for _ in 0..times {
        running.call(event, OK).await?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "no size or count that is measured here comes near 2^52")]
fn whole(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_functions_of_the_template_are_measured() {
        let template = include_str!("../../../template.yaml");
        let mut named: Vec<_> = template.lines().filter_map(|line| line.trim().strip_prefix("Binary: ")).collect();
        let mut measured = FUNCTIONS.map(|function| function.name);
        named.sort_unstable();
        measured.sort_unstable();
        assert_eq!(named, measured);
    }
}

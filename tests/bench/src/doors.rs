//! What platforms wait for at their doors, and what it costs to work on what waits in the queues.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::figures::{Figures, NOISE_OF_TIMES, median, millis, quantile};
use crate::functions::ALL_DONE;
use crate::people::DOORS;
use crate::stage::{BATCH, OK, Running, Stage};

/// Within how many milliseconds an event is acknowledged, warm.
pub(crate) const ACKNOWLEDGED: f64 = 50.0;
const WARM_UP: u32 = 200;
const EVENTS: u32 = 2000;
/// How many of them are worked on.
const MESSAGES: u32 = 500;
const BATCHES: u32 = 200;
/// As many messages as one notification of WhatsApp holds.
const WHOLE: u64 = 1000;
/// About what SQS takes for a message.
const SQS_PAUSE: Duration = Duration::from_millis(5);

pub(crate) async fn measure(stage: &Stage, figures: &mut Figures) -> Outcome<()> {
    for door in DOORS {
        let queued = acknowledged(stage, door, figures).await?;
        answered(stage, door, &queued, figures).await?;
    }
    whole_notification(stage, figures).await?;
    delivered(stage, figures).await
}

/// How long a platform waits for each of its events, all of them different; what is queued of them.
async fn acknowledged(stage: &Stage, door: &str, figures: &mut Figures) -> Outcome<Vec<String>> {
    let (mut running, _) = stage.start(door).await?;
    for _ in 0..WARM_UP {
        running.call(&stage.event(door).await?, OK).await?;
    }
    stage.sqs.take_bodies();
    let (mut times, mut cpu) = (Vec::new(), Duration::ZERO);
    for _ in 0..EVENTS {
        let event = stage.event(door).await?;
        let (begun, before) = (Instant::now(), running.process.cpu()?);
        let reply = running.call(&event, OK).await?;
        cpu += running.process.cpu()? - before;
        times.push(millis(reply.pieces.first().ok_or("an empty reply")?.0 - begun));
    }
    let queued = stage.sqs.take_bodies();
    if queued.len() != EVENTS as usize {
        return Err(format!("{door}: {} of {EVENTS} events are queued", queued.len()).into());
    }
    figures.tell(format!("{door}: acknowledged, middle"), median(&mut times), "ms");
    let slow = quantile(&mut times, 0.99);
    figures.hold(format!("{door}: acknowledged, 99 of 100"), slow, "ms", ACKNOWLEDGED, NOISE_OF_TIMES);
    figures.tell(format!("{door}: CPU per event"), millis(cpu) / f64::from(EVENTS), "ms");
    Ok(queued)
}

/// What the worker's own process costs for a message that came in at a door: the turn, and the answer on the platform.
async fn answered(stage: &Stage, door: &str, queued: &[String], figures: &mut Figures) -> Outcome<()> {
    let (mut running, _) = stage.start("channel-worker").await?;
    let (first, others) = queued.split_at(WARM_UP as usize);
    work(stage, &mut running, first).await?;
    let messages = others.get(..MESSAGES as usize).ok_or("too few messages")?;
    let (metered, before) = (stage.tokens_used().await?, running.process.cpu()?);
    work(stage, &mut running, messages).await?;
    let each = millis(running.process.cpu()? - before) / f64::from(MESSAGES);
    if stage.tokens_used().await? == metered {
        return Err(format!("what {door} has queued is not answered").into());
    }
    figures.tell(format!("channel-worker: CPU per message of {door}"), each, "ms");
    Ok(())
}

/// One after the other, as the queue hands them out.
async fn work(stage: &Stage, running: &mut Running, messages: &[String]) -> Outcome<()> {
    for message in messages {
        running.call(&stage.batch("channel-worker", std::slice::from_ref(message))?, ALL_DONE).await?;
    }
    Ok(())
}

/// How long Meta waits where one notification holds as many messages as it may.
async fn whole_notification(stage: &Stage, figures: &mut Figures) -> Outcome<()> {
    let door = "whatsapp-webhook";
    let (mut running, _) = stage.start(door).await?;
    running.call(&stage.event(door).await?, OK).await?;
    stage.sqs.take_bodies();
    stage.sqs.answer_after(SQS_PAUSE);
    let numbers = stage.numbers(WHOLE);
    let (event, begun) = (stage.knock(door, numbers)?, Instant::now());
    running.call(&event, OK).await?;
    let time = millis(begun.elapsed());
    stage.sqs.answer_after(Duration::ZERO);
    let queued = stage.sqs.take_bodies().len();
    if queued as u64 != WHOLE {
        return Err(format!("{queued} of {WHOLE} messages are queued").into());
    }
    figures.tell(format!("{door}: {WHOLE} messages in one notification, SQS takes {SQS_PAUSE:?} for each"), time, "ms");
    Ok(())
}

/// What webhook-delivery's own process costs for an event that a receiver takes.
async fn delivered(stage: &Stage, figures: &mut Figures) -> Outcome<()> {
    let name = "webhook-delivery";
    let (mut running, _) = stage.start(name).await?;
    for _ in 0..WARM_UP {
        running.call(&stage.event(name).await?, ALL_DONE).await?;
    }
    stage.platforms.take_told();
    let mut cpu = Duration::ZERO;
    for _ in 0..BATCHES {
        let event = stage.event(name).await?;
        let before = running.process.cpu()?;
        running.call(&event, ALL_DONE).await?;
        cpu += running.process.cpu()? - before;
    }
    let events = BATCHES * BATCH;
    let told = stage.platforms.take_told();
    if told != u64::from(events) {
        return Err(format!("{told} of {events} events are delivered").into());
    }
    figures.tell(format!("{name}: CPU per event, {BATCH} in a batch"), millis(cpu) / f64::from(events), "ms");
    Ok(())
}

//! `orrery queue`: the dead letters, messages that were worked on too often in vain.

use serde::Serialize;
use shared::queue::{QUEUES, Queue, Seen};

use crate::args::{QueueArguments, QueueCommand, QueuePurgeArguments};
use crate::error::CommandError;
use crate::output::{self, Output};
use crate::place::Place;
use crate::when;

/// The most messages of a queue that one command deals with.
const MOST: usize = 10_000;
/// The most messages that are taken at once.
const BATCH: usize = 10;

/// Dead letters, and where they are sent to again.
struct DeadLetters {
    /// What their queue is called.
    name: String,
    dead: Queue,
    /// None where it was not named.
    queue: Option<Queue>,
}

/// A message as it is told: what it says is a person's or a tenant's, and stays where it is.
#[derive(Serialize)]
struct Shown<'a> {
    queue: &'a str,
    id: &'a str,
    sent_at: String,
    group: Option<&'a str>,
    receives: u32,
    bytes: usize,
}

impl<'a> Shown<'a> {
    fn new(queue: &'a str, letter: &'a Seen) -> Self {
        let Seen { id, group, receives, sent_at, bytes } = letter;
        let (receives, bytes) = (*receives, *bytes);
        Self { queue, id, sent_at: when::shown(*sent_at), group: group.as_deref(), receives, bytes }
    }
}

/// What was done with a queue's dead letters.
#[derive(Serialize)]
struct Dealt<'a> {
    queue: &'a str,
    messages: usize,
}

pub(crate) async fn run(command: QueueCommand) -> Result<(), CommandError> {
    match command {
        QueueCommand::List(arguments) => list(&arguments).await,
        QueueCommand::Replay(arguments) => replay(&arguments).await,
        QueueCommand::Purge(arguments) => purge(&arguments).await,
    }
}

/// The dead letters that are meant.
async fn open(arguments: &QueueArguments) -> Result<Vec<DeadLetters>, CommandError> {
    if arguments.place.table.is_some() && arguments.dead_queue_url.is_none() {
        let words = "on AWS, name the queue of dead letters: --dead-queue-url URL, one of the stack's outputs";
        return Err(CommandError::Usage(words.to_owned()));
    }
    let place = Place::at(&arguments.place).await?;
    let on_aws = arguments.dead_queue_url.as_ref().and_then(|url| Some((url, place.sqs_queue(url)?)));
    if let Some((url, dead)) = on_aws {
        let name = arguments.queue.as_deref().unwrap_or_else(|| url.rsplit('/').next().unwrap_or_default()).to_owned();
        let queue = arguments.queue_url.as_ref().and_then(|url| place.sqs_queue(url));
        return Ok(vec![DeadLetters { name, dead, queue }]);
    }
    let meant = QUEUES.iter().filter(|name| arguments.queue.as_ref().is_none_or(|queue| queue == *name));
    let letters = meant.map(|name| {
        let queue = place.table_queue(name);
        DeadLetters {
            name: (*name).to_owned(),
            dead: Queue::Table(queue.dead_letters()),
            queue: Some(Queue::Table(queue)),
        }
    });
    Ok(letters.collect())
}

async fn list(arguments: &QueueArguments) -> Result<(), CommandError> {
    let mut found = Vec::new();
    for letters in open(arguments).await? {
        let seen = letters.dead.look(MOST).await?;
        found.extend(seen.into_iter().map(|letter| (letters.name.clone(), letter)));
    }
    let shown: Vec<_> = found.iter().map(|(queue, letter)| Shown::new(queue, letter)).collect();
    match Output::from(arguments.output) {
        Output::Json => output::json(&shown),
        Output::Quiet => shown.iter().for_each(|letter| output::data(letter.id)),
        Output::Text if shown.is_empty() => output::note("No dead letters."),
        Output::Text => {
            let row = |letter: &Shown<'_>| {
                let group = letter.group.map(|group| group.chars().take(12).collect()).unwrap_or_default();
                let (receives, bytes) = (letter.receives.to_string(), letter.bytes.to_string());
                [letter.queue.to_owned(), letter.sent_at.clone(), group, receives, bytes]
            };
            let rows: Vec<_> = shown.iter().map(row).collect();
            output::table(["queue", "sent", "conversation", "receives", "bytes"], &rows);
        }
    }
    Ok(())
}

async fn replay(arguments: &QueueArguments) -> Result<(), CommandError> {
    let mut replayed = Vec::new();
    for letters in open(arguments).await? {
        let Some(queue) = &letters.queue else {
            let words = "where are they sent to? --queue-url URL, one of the stack's outputs";
            return Err(CommandError::Usage(words.to_owned()));
        };
        let messages = each(&letters, Some(queue)).await?;
        replayed.push((letters.name, messages));
    }
    tell(&replayed, "sent again", arguments.output.into());
    Ok(())
}

async fn purge(arguments: &QueuePurgeArguments) -> Result<(), CommandError> {
    if !arguments.yes {
        let words = "what is purged is gone for good: see it with `orrery queue list`, and add --yes";
        return Err(CommandError::Usage(words.to_owned()));
    }
    let mut purged = Vec::new();
    for letters in open(&arguments.letters).await? {
        let messages = each(&letters, None).await?;
        purged.push((letters.name, messages));
    }
    tell(&purged, "thrown away", arguments.letters.output.into());
    Ok(())
}

/// Sends all of a queue's dead letters to another, or throws them away; tells how many. They come in the order of their
/// group, the next when those before it are gone.
async fn each(letters: &DeadLetters, to: Option<&Queue>) -> Result<usize, CommandError> {
    let mut messages = 0;
    while messages < MOST {
        let batch = letters.dead.receive(BATCH.min(MOST - messages)).await?;
        if batch.is_empty() {
            break;
        }
        for letter in batch {
            match to {
                Some(queue) => letter.send_again(queue).await?,
                None => letter.acknowledge().await?,
            }
            messages += 1;
        }
    }
    Ok(messages)
}

fn tell(dealt: &[(String, usize)], done: &str, output: Output) {
    let total: usize = dealt.iter().map(|(_, messages)| messages).sum();
    match output {
        Output::Json => {
            let dealt: Vec<_> = dealt.iter().map(|(queue, messages)| Dealt { queue, messages: *messages }).collect();
            output::json(&dealt);
        }
        Output::Quiet => output::data(&total.to_string()),
        Output::Text if total == 0 => output::note("No dead letters."),
        Output::Text => dealt.iter().filter(|(_, messages)| *messages > 0).for_each(|(queue, messages)| {
            output::note(&format!("{queue}: {messages} {done}."));
        }),
    }
}

//! Work that is handed on: SQS in the cloud, the table on one machine.
//!
//! Messages of one group are handed out one after the other, groups beside each other. A message that is not
//! acknowledged comes again when its visibility timeout has passed, and goes to the dead letters, which are a queue too,
//! when it was handed out too often. So a message may come twice: whoever works on one must bear that.

mod sqs;
mod table;

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use futures::future::BoxFuture;
use tokio::time::Instant;

pub(crate) use self::sqs::SqsAttributes;
pub use self::sqs::SqsQueue;
pub use self::table::{QueueSettings, TableQueue};
use crate::app::App;
use crate::aws::AwsError;
use crate::store::StoreError;

/// The queue of what people sent on channels.
pub const CHANNELS: &str = "channels";
/// The queue of events on their way to receivers.
pub const DELIVERIES: &str = "deliveries";
/// All queues of a deployment.
pub const QUEUES: [&str; 2] = [CHANNELS, DELIVERIES];

/// How long a deduplication id is taken, as SQS has it.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html>
pub const DEDUPLICATION: Duration = Duration::from_secs(5 * 60);
/// The largest body, in bytes.
pub const LARGEST_BODY: usize = 256 * 1024;
/// The longest delay, as SQS has it.
pub const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

/// How often a message is handed out before it goes to the dead letters, as template.yaml has it. With the waits of
/// [`Received::back_off`] that is more than an hour and a half: work outlives the outage of what it needs.
pub const MOST_RECEIVES: u32 = 16;
/// How long work waits that failed for the first time.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest that it waits.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// A message.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Messages of one group keep their order; one without a group is in nobody's way. In the cloud, either all messages
    /// of a queue have one or none has: SQS's queues are FIFO or standard.
    pub group: Option<String>,
    /// What names the message, at most 128 characters: a second one of this name, sent within [`DEDUPLICATION`], is
    /// dropped. Only messages with a group have one.
    pub deduplication: Option<String>,
    /// How long it is not handed out, [`LONGEST_DELAY`] at most. Only messages without a group are delayed.
    pub delay: Duration,
    /// What it says, [`LARGEST_BODY`] at most.
    pub body: String,
}

/// Without the body.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Message");
        shown.field("group", &self.group).field("deduplication", &self.deduplication).finish_non_exhaustive()
    }
}

/// A message as it is told without being taken: not what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The message's own name.
    pub id: String,
    /// Its group, if it has one.
    pub group: Option<String>,
    /// How often it was handed out.
    pub receives: u32,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_at: i64,
    /// How long it is, in bytes.
    pub bytes: usize,
}

/// Why a queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The body is larger than [`LARGEST_BODY`].
    #[error("the message is larger than {LARGEST_BODY} bytes")]
    TooLarge,
    /// The queue's table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// SQS failed.
    #[error(transparent)]
    Sqs(#[from] AwsError),
    /// SQS answered what cannot be read.
    #[error("SQS's answer cannot be read")]
    Answer(#[from] serde_json::Error),
}

/// A message as whoever works on it sees it.
#[derive(Clone)]
pub struct Received {
    /// What it says.
    pub body: String,
    /// How often it was handed out, this time included.
    pub receives: u32,
    /// When the work must be done, if there is such a time.
    pub deadline: Option<Instant>,
}

impl Received {
    /// How long work waits that failed, and may not fail again: 2 s, 4 s, 8 s and so on up to a quarter of an hour, each
    /// up to a tenth shorter, so that what failed at once does not come again at once.
    #[must_use]
    pub fn back_off(&self) -> Duration {
        let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.receives.saturating_sub(1)));
        let hash = digest(&SHA256, format!("{}#{}", self.receives, self.body).as_bytes());
        let byte = hash.as_ref().first().copied().unwrap_or_default();
        doubled.min(LONGEST_WAIT).mul_f64(1.0 - 0.1 * f64::from(byte) / 255.0)
    }
}

/// Without the body.
impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("receives", &self.receives).finish_non_exhaustive()
    }
}

/// What became of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// It is done.
    Done,
    /// It failed: the message is to come again after this time.
    Again(Duration),
}

/// Works on a message.
pub type Consumer = for<'a> fn(&'a App, Received) -> BoxFuture<'a, Worked>;

/// A queue. Clones share it.
#[derive(Clone, Debug)]
pub enum Queue {
    /// Of SQS.
    Sqs(SqsQueue),
    /// In the table.
    Table(TableQueue),
}

/// A message that was handed out. Dropped without a word, it comes again after the visibility timeout.
#[derive(Clone)]
#[must_use = "a message that is not acknowledged comes again"]
pub struct Delivery {
    /// What it says.
    pub body: String,
    /// How often it was handed out, this time included.
    pub receives: u32,
    /// Its group, if it has one.
    pub group: Option<String>,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_at: i64,
    queue: Queue,
    /// The message's own name.
    id: String,
    /// Names the last time that it was handed out.
    receipt: String,
}

/// Without the body.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("id", &self.id).field("receives", &self.receives).finish_non_exhaustive()
    }
}

impl Queue {
    /// Puts a message at the end; one whose name was sent within [`DEDUPLICATION`] is dropped.
    ///
    /// # Errors
    /// Where it is not taken, or may not have been.
    pub async fn send(&self, message: &Message) -> Result<(), QueueError> {
        if message.body.len() > LARGEST_BODY {
            return Err(QueueError::TooLarge);
        }
        match self {
            Self::Sqs(queue) => queue.send(message).await,
            Self::Table(queue) => queue.send(message).await,
        }
    }

    /// Up to `most` messages that are to be had now; 10 are the most of SQS.
    ///
    /// # Errors
    /// Where the queue does not answer.
    pub async fn receive(&self, most: usize) -> Result<Vec<Delivery>, QueueError> {
        match self {
            Self::Sqs(queue) => queue.receive(most).await,
            Self::Table(queue) => queue.receive(most).await,
        }
    }

    /// Up to `most` messages that wait, without taking them. SQS hands them out for that and gets them back: it counts
    /// that as a receive, and shows the first ten of a group alone.
    ///
    /// # Errors
    /// Where the queue does not answer.
    pub async fn look(&self, most: usize) -> Result<Vec<Seen>, QueueError> {
        match self {
            Self::Sqs(queue) => queue.look(most).await,
            Self::Table(queue) => queue.look(most).await,
        }
    }

    /// A message that was handed out is hidden for this much longer from now on.
    ///
    /// # Errors
    /// Where the queue does not answer. Nothing happens where it was handed out to another meanwhile.
    pub(crate) async fn hide(&self, id: &str, receipt: &str, time: Duration) -> Result<(), QueueError> {
        match self {
            Self::Sqs(queue) => queue.hide(receipt, time).await,
            Self::Table(queue) => queue.hide(id, receipt, time).await,
        }
    }
}

impl Delivery {
    /// The work is done: the message does not come again. Nothing happens where it was handed out to another meanwhile.
    ///
    /// # Errors
    /// Where the queue does not answer: then it may come again.
    pub async fn acknowledge(&self) -> Result<(), QueueError> {
        match &self.queue {
            Queue::Sqs(queue) => queue.delete(&self.receipt).await,
            Queue::Table(queue) => queue.delete(&self.id, &self.receipt).await,
        }
    }

    /// Moves the message to the end of another queue: it is sent there first, and then acknowledged here. Where that
    /// breaks off in between and is done again within [`DEDUPLICATION`], one with a group is there once all the same.
    ///
    /// # Errors
    /// Where it is not taken there, or may not have been; or where it may come again here.
    pub async fn send_again(&self, to: &Queue) -> Result<(), QueueError> {
        let deduplication = self.group.as_ref().map(|_| format!("again-{}", self.id));
        let message =
            Message { group: self.group.clone(), deduplication, delay: Duration::ZERO, body: self.body.clone() };
        to.send(&message).await?;
        self.acknowledge().await
    }

    /// The message is hidden for this much longer from now on, and its group waits for it: for the work to go on, or to
    /// begin again after this time.
    ///
    /// # Errors
    /// Where the queue does not answer. Nothing happens where it was handed out to another meanwhile.
    pub async fn hide(&self, time: Duration) -> Result<(), QueueError> {
        self.queue.hide(&self.id, &self.receipt, time).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(body: &str, receives: u32) -> Received {
        Received { body: body.to_owned(), receives, deadline: None }
    }

    #[test]
    fn failed_work_waits_twice_as_long_each_time_and_for_more_than_an_hour_in_all() {
        let waits: Vec<Duration> = (1..MOST_RECEIVES).map(|receives| received("work", receives).back_off()).collect();
        for (wait, longest) in waits.iter().zip([2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900, 900, 900]) {
            let longest = Duration::from_secs(longest);
            assert!(*wait <= longest && *wait >= longest.mul_f64(0.9), "{waits:?}");
        }
        let all: Duration = waits.iter().sum();
        assert!((5_700..6_500).contains(&all.as_secs()), "{all:?}");
        assert_ne!(received("other", 9).back_off(), received("work", 9).back_off());
        assert!(received("work", u32::MAX).back_off() <= LONGEST_WAIT);
    }

    #[test]
    fn a_message_is_handed_out_as_often_in_the_cloud_as_here() {
        let template = include_str!("../../../template.yaml");
        assert_eq!(template.matches("maxReceiveCount: ").count(), QUEUES.len());
        assert_eq!(template.matches(&format!("maxReceiveCount: {MOST_RECEIVES}\n")).count(), QUEUES.len());
    }
}

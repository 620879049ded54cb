//! The queue in this process: what SQS's FIFO queues do, as far as one machine needs it. It lives in memory; what waits
//! in it when the process ends is gone.
//!
//! Messages of one group are handed out one after the other, groups beside each other. A message that is not
//! acknowledged comes again when its visibility timeout has passed, and goes to the dead letters when it was handed out
//! too often. So a message may come twice: whoever works on one must bear that.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::clock::Clock;

/// How long a deduplication id is taken, as SQS has it.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html>
pub const DEDUPLICATION: Duration = Duration::from_secs(5 * 60);
/// The largest body, in bytes.
pub const LARGEST_BODY: usize = 256 * 1024;

/// The bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueSettings {
    /// How long a message that was handed out stays hidden: longer than the work on it takes.
    pub visibility: Duration,
    /// How often a message is handed out before it goes to the dead letters.
    pub most_receives: u32,
    /// The most messages that wait or are in flight, and the most dead letters that are kept.
    pub length: usize,
    /// The most deduplication ids that are remembered.
    pub ids: usize,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { visibility: Duration::from_secs(6 * 60), most_receives: 5, length: 10_000, ids: 100_000 }
    }
}

/// A message.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Messages of one group keep their order; one without a group is in nobody's way.
    pub group: Option<String>,
    /// What names the message: a second one of this name, sent within [`DEDUPLICATION`], is dropped.
    pub deduplication: Option<String>,
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

/// What became of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It waits to be received.
    Queued,
    /// One of its name was sent before: it is dropped.
    Duplicate,
}

/// Why a message is not taken. Its deduplication id stays free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Too much waits already: later there may be room.
    #[error("the queue is full")]
    Full,
    /// The body is larger than [`LARGEST_BODY`].
    #[error("the message is larger than {LARGEST_BODY} bytes")]
    TooLarge,
    /// The process is about to end.
    #[error("the queue is closed")]
    Closed,
}

/// A queue. Clones share it.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    clock: Clock,
    settings: QueueSettings,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// In the order in which they were sent.
    entries: VecDeque<Entry>,
    dead: VecDeque<Message>,
    ids: HashSet<String>,
    /// The ids with the times at which they are free again, the earliest first.
    ids_until: VecDeque<(i64, String)>,
    /// Counts messages and their handings-out.
    counter: u64,
    is_closed: bool,
}

struct Entry {
    id: u64,
    message: Message,
    /// Names the last time that it was handed out.
    receipt: u64,
    receives: u32,
    /// Hidden before this time.
    visible_at: i64,
}

/// A message that was handed out. Dropped without a word, it comes again after the visibility timeout.
#[must_use = "a message that is not acknowledged comes again"]
pub struct Delivery {
    queue: Queue,
    id: u64,
    receipt: u64,
    receives: u32,
    message: Message,
}

enum Next {
    Delivery(Delivery),
    /// Nothing is to be had before this much time has passed, or something changes.
    Nothing(Option<Duration>),
    Closed,
}

impl Queue {
    /// A queue in this process.
    #[must_use]
    pub fn in_process(clock: Clock) -> Self {
        Self::with(clock, QueueSettings::default())
    }

    /// A queue in this process with bounds of one's own.
    #[must_use]
    pub fn with(clock: Clock, settings: QueueSettings) -> Self {
        Self(Arc::new(Inner { clock, settings, state: Mutex::default(), changed: Notify::new() }))
    }

    /// Puts a message at the end.
    ///
    /// # Errors
    /// Where it is not taken.
    #[expect(clippy::unused_async, reason = "a queue elsewhere is waited for")]
    pub async fn send(&self, message: Message) -> Result<Sent, QueueError> {
        self.put(message)
    }

    fn put(&self, message: Message) -> Result<Sent, QueueError> {
        let (now, settings) = (self.0.clock.now_ms(), &self.0.settings);
        if message.body.len() > LARGEST_BODY {
            return Err(QueueError::TooLarge);
        }
        let mut state = self.state();
        if state.is_closed {
            return Err(QueueError::Closed);
        }
        state.free_ids(now);
        if message.deduplication.as_ref().is_some_and(|id| state.ids.contains(id)) {
            return Ok(Sent::Duplicate);
        }
        if state.entries.len() >= settings.length {
            return Err(QueueError::Full);
        }
        if let Some(id) = &message.deduplication {
            if state.ids.len() >= settings.ids {
                return Err(QueueError::Full);
            }
            state.ids.insert(id.clone());
            state.ids_until.push_back((now + millis(DEDUPLICATION), id.clone()));
        }
        let id = state.count();
        state.entries.push_back(Entry { id, message, receipt: 0, receives: 0, visible_at: now });
        drop(state);
        self.0.changed.notify_waiters();
        Ok(Sent::Queued)
    }

    /// Waits for the next message; `None` once the queue is closed.
    pub async fn receive(&self) -> Option<Delivery> {
        loop {
            // Made before the look, so that no change in between is missed.
            let changed = self.0.changed.notified();
            match self.next() {
                Next::Delivery(delivery) => return Some(delivery),
                Next::Closed => return None,
                Next::Nothing(None) => changed.await,
                Next::Nothing(Some(wait)) => {
                    let _changed_or_due = timeout(wait, changed).await;
                }
            }
        }
    }

    /// The next message, if there is one now.
    #[must_use]
    pub fn try_receive(&self) -> Option<Delivery> {
        match self.next() {
            Next::Delivery(delivery) => Some(delivery),
            Next::Nothing(_) | Next::Closed => None,
        }
    }

    /// The messages that were handed out too often, the oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<Message> {
        self.state().dead.iter().cloned().collect()
    }

    /// Takes and hands out nothing any more. What was handed out can still be acknowledged.
    pub fn close(&self) {
        self.state().is_closed = true;
        self.0.changed.notify_waiters();
    }

    fn next(&self) -> Next {
        let (now, settings) = (self.0.clock.now_ms(), &self.0.settings);
        let mut state = self.state();
        if state.is_closed {
            return Next::Closed;
        }
        state.bury(now, settings);
        let receipt = state.count();
        let mut held = HashSet::new();
        let mut due = None;
        for entry in &mut state.entries {
            let group = entry.message.group.as_deref();
            if group.is_some_and(|group| held.contains(group)) {
                continue;
            }
            if entry.visible_at > now {
                due = Some(due.map_or(entry.visible_at, |due: i64| due.min(entry.visible_at)));
                held.extend(group);
                continue;
            }
            entry.receives += 1;
            entry.receipt = receipt;
            entry.visible_at = now.saturating_add(millis(settings.visibility));
            return Next::Delivery(Delivery {
                queue: self.clone(),
                id: entry.id,
                receipt,
                receives: entry.receives,
                message: entry.message.clone(),
            });
        }
        Next::Nothing(due.map(|due| Duration::from_millis(u64::try_from(due - now).unwrap_or_default())))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn free_ids(&mut self, now: i64) {
        while let Some((_, id)) = self.ids_until.pop_front_if(|(until, _)| *until <= now) {
            self.ids.remove(&id);
        }
    }

    /// Moves what was handed out too often to the dead letters.
    fn bury(&mut self, now: i64, settings: &QueueSettings) {
        let is_dead = |entry: &Entry| entry.receives >= settings.most_receives && entry.visible_at <= now;
        while let Some(place) = self.entries.iter().position(is_dead) {
            self.dead.extend(self.entries.remove(place).map(|entry| entry.message));
        }
        let surplus = self.dead.len().saturating_sub(settings.length);
        self.dead.drain(..surplus);
    }
}

impl Delivery {
    /// The message.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// How often it was handed out, this time included.
    #[must_use]
    pub const fn receives(&self) -> u32 {
        self.receives
    }

    /// The work is done: the message does not come again. Nothing happens where it was handed out to another meanwhile.
    pub fn acknowledge(self) {
        let mut state = self.queue.state();
        state.entries.retain(|entry| (entry.id, entry.receipt) != (self.id, self.receipt));
        drop(state);
        self.queue.0.changed.notify_waiters();
    }

    /// The work failed: the message comes again after this time, and its group waits for it. Nothing happens where it
    /// was handed out to another meanwhile.
    pub fn retry_after(self, wait: Duration) {
        let visible_at = self.queue.0.clock.now_ms().saturating_add(millis(wait));
        let mut state = self.queue.state();
        let found = state.entries.iter_mut().find(|entry| (entry.id, entry.receipt) == (self.id, self.receipt));
        if let Some(entry) = found {
            entry.visible_at = visible_at;
        }
        drop(state);
        self.queue.0.changed.notify_waiters();
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("length", &self.state().entries.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Delivery");
        shown.field("message", &self.message).field("receives", &self.receives).finish_non_exhaustive()
    }
}

/// Whole milliseconds.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::task::JoinSet;

    use super::*;

    const VISIBILITY: Duration = Duration::from_secs(30);

    fn queue() -> (Queue, Clock) {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let settings = QueueSettings { visibility: VISIBILITY, most_receives: 2, length: 4, ids: 5 };
        (Queue::with(clock.clone(), settings), clock)
    }

    fn message(group: &str, body: &str) -> Message {
        Message { group: Some(group.into()), deduplication: None, body: body.into() }
    }

    fn named(id: &str) -> Message {
        Message { deduplication: Some(id.into()), ..Message::default() }
    }

    fn body(delivery: Option<&Delivery>) -> Option<&str> {
        delivery.map(|delivery| delivery.message().body.as_str())
    }

    #[test]
    fn a_group_goes_one_by_one_in_order_and_groups_go_beside_each_other() {
        let (queue, _) = queue();
        for message in [message("a", "a1"), message("a", "a2"), message("b", "b1"), message("a", "a3")] {
            assert_eq!(queue.put(message), Ok(Sent::Queued));
        }
        let first = queue.try_receive();
        let other = queue.try_receive();
        assert_eq!((body(first.as_ref()), body(other.as_ref())), (Some("a1"), Some("b1")));
        assert!(queue.try_receive().is_none(), "a1 is in flight");
        first.unwrap().acknowledge();
        let second = queue.try_receive();
        assert_eq!(body(second.as_ref()), Some("a2"));
        assert!(queue.try_receive().is_none());
        second.unwrap().acknowledge();
        assert_eq!(body(queue.try_receive().as_ref()), Some("a3"));
    }

    #[test]
    fn messages_without_a_group_are_in_nobodys_way() {
        let (queue, _) = queue();
        for body in ["1", "2"] {
            queue.put(Message { body: body.into(), ..Message::default() }).unwrap();
        }
        let deliveries = [queue.try_receive(), queue.try_receive()];
        assert_eq!(deliveries.each_ref().map(|delivery| body(delivery.as_ref())), [Some("1"), Some("2")]);
    }

    #[test]
    fn what_is_not_acknowledged_comes_again_and_holds_its_group_till_then() {
        let (queue, clock) = queue();
        queue.put(message("a", "a1")).unwrap();
        queue.put(message("a", "a2")).unwrap();
        let late = queue.try_receive().unwrap();
        clock.advance(VISIBILITY - Duration::from_millis(1));
        assert!(queue.try_receive().is_none());
        clock.advance(Duration::from_millis(1));
        let again = queue.try_receive().unwrap();
        assert_eq!((again.message().body.as_str(), again.receives()), ("a1", 2));
        late.acknowledge();
        assert!(queue.try_receive().is_none(), "the word of one who was too late does not count");
        again.acknowledge();
        assert_eq!(body(queue.try_receive().as_ref()), Some("a2"));
    }

    #[test]
    fn failed_work_comes_again_when_it_was_told_to_and_ends_with_the_dead_letters() {
        let (queue, clock) = queue();
        queue.put(message("a", "poison")).unwrap();
        queue.put(message("a", "next")).unwrap();
        for receives in 1..=2 {
            let delivery = queue.try_receive().unwrap();
            assert_eq!((delivery.message().body.as_str(), delivery.receives()), ("poison", receives));
            delivery.retry_after(Duration::from_secs(3));
            assert!(queue.try_receive().is_none());
            assert_eq!(queue.dead_letters(), []);
            clock.advance(Duration::from_secs(3));
        }
        assert_eq!(body(queue.try_receive().as_ref()), Some("next"));
        assert_eq!(queue.dead_letters(), [message("a", "poison")]);
    }

    #[test]
    fn an_id_is_taken_once_in_five_minutes_even_when_its_message_is_done() {
        let (queue, clock) = queue();
        assert_eq!(queue.put(named("x")), Ok(Sent::Queued));
        queue.try_receive().unwrap().acknowledge();
        clock.advance(DEDUPLICATION - Duration::from_millis(1));
        assert_eq!(queue.put(named("x")), Ok(Sent::Duplicate));
        assert_eq!(queue.put(named("y")), Ok(Sent::Queued));
        clock.advance(Duration::from_millis(1));
        assert_eq!(queue.put(named("x")), Ok(Sent::Queued));
    }

    #[test]
    fn a_queue_that_is_full_says_so_and_leaves_the_id_free() {
        let (queue, clock) = queue();
        for number in 0..4 {
            queue.put(named(&number.to_string())).unwrap();
        }
        assert_eq!(queue.put(named("x")), Err(QueueError::Full));
        queue.try_receive().unwrap().acknowledge();
        assert_eq!(queue.put(named("x")), Ok(Sent::Queued));
        queue.try_receive().unwrap().acknowledge();
        assert_eq!(queue.put(named("y")), Err(QueueError::Full), "five ids are remembered");
        clock.advance(DEDUPLICATION);
        assert_eq!(queue.put(named("y")), Ok(Sent::Queued));
        let large = Message { body: "x".repeat(LARGEST_BODY + 1), ..Message::default() };
        assert_eq!(queue.put(large), Err(QueueError::TooLarge));
    }

    #[tokio::test]
    async fn every_waiting_receiver_wakes_up() {
        let (queue, _) = queue();
        let mut receivers = JoinSet::new();
        for _ in 0..3 {
            let queue = queue.clone();
            receivers.spawn(async move { queue.receive().await.map(|delivery| delivery.message().body.clone()) });
        }
        tokio::task::yield_now().await;
        queue.put(message("a", "a1")).unwrap();
        queue.put(message("b", "b1")).unwrap();
        let mut received = [receivers.join_next().await, receivers.join_next().await]
            .map(|outcome| outcome.unwrap().unwrap().unwrap());
        received.sort();
        assert_eq!(received, ["a1", "b1"]);
        queue.close();
        assert_eq!(receivers.join_next().await.unwrap().unwrap(), None);
        assert_eq!(queue.put(named("x")), Err(QueueError::Closed));
    }

    #[tokio::test]
    async fn a_waiting_receiver_wakes_up_when_a_group_is_free_and_when_a_timeout_has_passed() {
        let settings = QueueSettings { visibility: Duration::from_millis(20), ..QueueSettings::default() };
        let queue = Queue::with(Clock::system(), settings);
        queue.put(message("a", "a1")).unwrap();
        queue.put(message("a", "a2")).unwrap();
        let _forgotten = queue.receive().await.unwrap();
        let again = queue.receive().await.unwrap();
        assert_eq!((again.message().body.as_str(), again.receives()), ("a1", 2));
        let (_, next) = tokio::join!(async { again.acknowledge() }, queue.receive());
        assert_eq!(body(next.as_ref()), Some("a2"));
    }

    #[test]
    fn nothing_shows_what_a_message_says() {
        let (queue, _) = queue();
        queue.put(message("a", "a secret")).unwrap();
        let delivery = queue.try_receive().unwrap();
        assert!(!format!("{queue:?} {delivery:?}").contains("secret"));
    }
}

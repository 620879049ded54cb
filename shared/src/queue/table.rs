//! A queue in the table, for one machine: it outlives its process, and other processes may send to it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::{DEDUPLICATION, Delivery, MOST_RECEIVES, Message, Queue, QueueError, Seen};
use crate::clock::{Clock, millis};
use crate::id::MessageId;
use crate::store::{QueuedItem, Store};

/// How many pages are looked through for messages that can be handed out.
const LOOK: usize = 50;
/// How many messages are on a page.
const PAGE: i32 = 200;
/// What the dead letters' queue is called behind the name of theirs.
const DEAD: &str = "-dead";

/// The bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueSettings {
    /// How long a message that was handed out stays hidden, unless that is renewed.
    pub visibility: Duration,
    /// How often a message is handed out before it goes to the dead letters.
    pub most_receives: u32,
}

impl QueueSettings {
    /// Of one machine's queues. Whoever works on a message renews its hold, so that a crash costs seconds.
    pub const MACHINE: Self = Self { visibility: Duration::from_secs(9), most_receives: MOST_RECEIVES };
}

/// A queue in the table. Clones share it.
#[derive(Clone, Debug)]
pub struct TableQueue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    name: String,
    settings: QueueSettings,
    changed: Notify,
}

impl TableQueue {
    /// The queue of this name.
    #[must_use]
    pub fn new(store: Store, clock: Clock, name: &str, settings: QueueSettings) -> Self {
        Self(Arc::new(Inner { store, clock, name: name.to_owned(), settings, changed: Notify::new() }))
    }

    /// The queue of its dead letters, which has none itself.
    #[must_use]
    pub fn dead_letters(&self) -> Self {
        let Inner { store, clock, name, settings, .. } = &*self.0;
        let settings = QueueSettings { most_receives: u32::MAX, ..*settings };
        Self::new(store.clone(), clock.clone(), &format!("{name}{DEAD}"), settings)
    }

    /// Waits until something changes in this process, for `time` at most.
    pub async fn changed(&self, time: Duration) {
        let _either = timeout(time, self.0.changed.notified()).await;
    }

    pub(super) async fn send(&self, message: &Message) -> Result<(), QueueError> {
        let now = self.0.clock.now_ms();
        let item = QueuedItem {
            id: MessageId::generate().to_string(),
            group: message.group.clone(),
            deduplication: message.deduplication.clone(),
            body: message.body.clone(),
            sent_at: now,
            visible_at: now.saturating_add(millis(message.delay)),
            receives: 0,
            receipt: String::new(),
        };
        self.0.store.enqueue(&self.0.name, &item, now.saturating_add(millis(DEDUPLICATION))).await?;
        self.0.changed.notify_one();
        Ok(())
    }

    pub(super) async fn receive(&self, most: usize) -> Result<Vec<Delivery>, QueueError> {
        let Inner { store, clock, name, settings, .. } = &*self.0;
        let (mut deliveries, mut held) = (Vec::new(), HashSet::new());
        let mut after: Option<String> = None;
        for _ in 0..LOOK {
            let page = store.queued(name, after.as_deref(), PAGE).await?;
            for item in &page {
                if deliveries.len() >= most {
                    return Ok(deliveries);
                }
                let now = clock.now_ms();
                if item.group.as_ref().is_some_and(|group| held.contains(group)) {
                    continue;
                }
                if item.visible_at <= now && item.receives >= settings.most_receives {
                    store.move_message(name, item, &format!("{name}{DEAD}")).await?;
                    continue;
                }
                held.extend(item.group.clone());
                if item.visible_at > now {
                    continue;
                }
                let receipt = MessageId::generate().to_string();
                let visible_at = now.saturating_add(millis(settings.visibility));
                if store.hand_out(name, item, &receipt, visible_at).await? {
                    deliveries.push(Delivery {
                        body: item.body.clone(),
                        receives: item.receives + 1,
                        group: item.group.clone(),
                        sent_at: item.sent_at,
                        queue: Queue::Table(self.clone()),
                        id: item.id.clone(),
                        receipt,
                    });
                }
            }
            match page.last() {
                Some(last) if page.len() >= PAGE as usize => after = Some(last.id.clone()),
                _ => return Ok(deliveries),
            }
        }
        Ok(deliveries)
    }

    pub(super) async fn look(&self, most: usize) -> Result<Vec<Seen>, QueueError> {
        let mut seen = Vec::new();
        let mut after: Option<String> = None;
        while seen.len() < most {
            let page = self.0.store.queued(&self.0.name, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            seen.extend(page.into_iter().map(|item| Seen {
                bytes: item.body.len(),
                id: item.id,
                group: item.group,
                receives: item.receives,
                sent_at: item.sent_at,
            }));
        }
        seen.truncate(most);
        Ok(seen)
    }

    pub(super) async fn delete(&self, id: &str, receipt: &str) -> Result<(), QueueError> {
        self.0.store.dequeue(&self.0.name, id, receipt).await?;
        self.0.changed.notify_one();
        Ok(())
    }

    pub(super) async fn hide(&self, id: &str, receipt: &str, time: Duration) -> Result<(), QueueError> {
        let until = self.0.clock.now_ms().saturating_add(millis(time));
        Ok(self.0.store.hide(&self.0.name, id, receipt, until).await?)
    }
}

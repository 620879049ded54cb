//! Outbound webhooks: what happens in the dashboard's chat is told to the receivers that an agent's owner named.
//!
//! 1. What has listeners is stored as one [`OutboxItem`](crate::store::OutboxItem), in the very transaction of what it
//!    tells of; an [`Outbox`] puts it into the deliveries' queue right after, and [`sweep`] does where that was lost.
//! 2. [`Deliveries`] spread it: one item for each event and receiver, and one task in the queue for each.
//! 3. They send each event until its receiver takes it: by the [`schedule`], under an id that stays the same over all
//!    attempts. An attempt is claimed first, so that no two are made at once; after a crash it is made again. So an event
//!    comes at least once.

mod deliver;
mod event;
mod manage;
mod outbox;
pub mod schedule;
pub mod sign;
mod sweep;

pub use deliver::{DeliverError, Deliveries, LARGEST_ANSWER, Sent, TOTAL_TIMEOUT};
pub use event::{Event, EventKind, Metrics};
pub use manage::{ManageError, Webhooks};
pub use outbox::{Attempt, Listeners, Outbox, Task};
pub use sweep::{SweepError, sweep};

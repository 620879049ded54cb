//! Work on the deliveries' queue: events are spread to their receivers, and sent until they are taken.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use secrecy::SecretString;
use tokio::time::Instant;
use url::{Host, Url};

use super::{Attempt, Event, EventKind, Listeners, Outbox, Task, schedule, sign};
use crate::clock::{Clock, millis};
use crate::egress::{Egress, EgressError, Reach};
use crate::id::{EventId, Home, TenantId, WebhookId};
use crate::queue::{LONGEST_DELAY, Queue, QueueError, Received, Worked};
use crate::secret::{SealError, Sealer, SecretError, Secrets};
use crate::store::{
    AttemptClaim, AttemptItem, DeliveryItem, DeliveryState, Disabled, OutboxItem, Place, Store, StoreError, Webhook,
};
use crate::telemetry;

/// How long a receiver may take, from the look-up of its name to the end of its answer.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read, in bytes.
pub const LARGEST_ANSWER: usize = 8_000;
/// How much of an answer is kept, in characters.
const EXCERPT: usize = 2_000;
/// How long an attempt is claimed: longer than it takes with its writes.
const CLAIM: Duration = Duration::from_secs(30);
/// How many attempts are kept of a delivery.
const KEPT_ATTEMPTS: usize = 30;
/// How long a delivery is kept.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// A receiver that takes longer is slow, and gets one event at a time.
const SLOW: Duration = Duration::from_secs(2);
/// How long an attempt waits whose receiver has no place for it: the first time, and at most, each time twice as long.
const TURN: Duration = Duration::from_secs(1);
/// The most where the receiver is fast, and where it is slow: a backlog for it must not keep the queue busy.
const LONGEST_TURNS: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(60));
/// How many deliveries are stored at once.
const SPREAD_AT_ONCE: usize = 16;
/// How long a task waits that cannot be read, on its way to the dead letters.
const AGAIN: Duration = Duration::from_secs(2);

/// Why work on a delivery failed on our side.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The sealing keys.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A secret does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// What came of sending an event once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What is kept of it.
    pub attempt: AttemptItem,
    /// The wait that the receiver asked for.
    asked: Option<Duration>,
}

impl Sent {
    /// Whether the receiver took it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.attempt.status.is_some_and(|status| (200..300).contains(&status)) && self.attempt.error.is_none()
    }

    /// Whether the receiver wants nothing any more. <https://www.rfc-editor.org/rfc/rfc9110#section-15.5.11>
    fn is_gone(&self) -> bool {
        self.attempt.status == Some(410)
    }
}

/// Delivers events.
#[derive(Clone)]
pub struct Deliveries {
    store: Store,
    queue: Queue,
    egress: Egress,
    secrets: Secrets,
    clock: Clock,
}

/// What came of the wish to make an attempt: what is to become of its task, and what came back if it was made.
type Made = (Worked, Option<Sent>);

impl Deliveries {
    /// Over these parts.
    #[must_use]
    pub const fn new(store: Store, queue: Queue, egress: Egress, secrets: Secrets, clock: Clock) -> Self {
        Self { store, queue, egress, secrets, clock }
    }

    /// Works on what stands in the deliveries' queue.
    pub async fn work(&self, received: &Received) -> Worked {
        let worked = match serde_json::from_str(&received.body) {
            Ok(Task::Spread { outbox }) => self.spread(&outbox).await,
            Ok(Task::Attempt(attempt)) => self.attempt(attempt).await,
            Err(error) => {
                tracing::error!(%error, "a task of the deliveries' queue cannot be read");
                return Worked::Again(AGAIN);
            }
        };
        worked.unwrap_or_else(|error| {
            tracing::error!(error = telemetry::chain(&error), "work on a delivery failed");
            Worked::Again(received.back_off())
        })
    }

    /// Makes a delivery for each event and receiver. Done twice, it makes no second ones.
    async fn spread(&self, id: &str) -> Result<Worked, DeliverError> {
        let Some(outbox) = self.store.outbox(id).await? else { return Ok(Worked::Done) };
        let mut deliveries = Vec::new();
        for event in &outbox.events {
            for webhook in &event.receivers {
                deliveries.push(Ok(first(&outbox, webhook, (&event.id, &event.name, &event.body))));
            }
        }
        let made = futures::stream::iter(deliveries);
        made.try_for_each_concurrent(SPREAD_AT_ONCE, |delivery| async move {
            self.store.put_new_delivery(&delivery).await?;
            self.send(&delivery).await
        })
        .await?;
        self.store.delete_outbox(id).await?;
        Ok(Worked::Done)
    }

    /// Puts the next attempt of a delivery into the queue.
    async fn send(&self, delivery: &DeliveryItem) -> Result<(), DeliverError> {
        let attempt = Attempt {
            home: delivery.home.clone(),
            webhook: delivery.webhook.clone(),
            event: delivery.event.clone(),
            attempt: delivery.attempt,
            due: delivery.next_at,
            deferred: 0,
        };
        self.put_off(attempt).await
    }

    /// Puts an attempt into the queue until it is due, or for as long as the queue takes it.
    async fn put_off(&self, attempt: Attempt) -> Result<(), DeliverError> {
        let delay = wait(attempt.due.saturating_sub(self.clock.now_ms())).min(LONGEST_DELAY);
        Ok(self.queue.send(&Task::Attempt(attempt).to_message(delay)).await?)
    }

    /// Makes an attempt where it is due and its receiver has a place for it, or puts it off.
    async fn attempt(&self, attempt: Attempt) -> Result<Worked, DeliverError> {
        let now = self.clock.now_ms();
        if attempt.due > now {
            self.put_off(attempt).await?;
            return Ok(Worked::Done);
        }
        let until = now.saturating_add(millis(CLAIM));
        if let Place::None { is_fast } = self.store.take_place((&attempt.home, &attempt.webhook), now, until).await? {
            let longest = if is_fast { LONGEST_TURNS.0 } else { LONGEST_TURNS.1 };
            let doubled = TURN.saturating_mul(2_u32.saturating_pow(attempt.deferred)).min(longest);
            let turn = doubled.mul_f64(schedule::jitter(attempt.event.as_str(), attempt.deferred));
            let due = now.saturating_add(millis(turn));
            self.put_off(Attempt { due, deferred: attempt.deferred.saturating_add(1), ..attempt }).await?;
            return Ok(Worked::Done);
        }
        let receiver = (attempt.home.clone(), attempt.webhook.clone());
        let made = self.claim(attempt, now, until).await;
        let sent = made.as_ref().ok().and_then(|(_, sent)| sent.as_ref());
        let is_fast = sent.map(|sent| Duration::from_millis(sent.attempt.duration_ms) < SLOW);
        let taken_at = sent.filter(|sent| sent.is_taken()).map(|sent| sent.attempt.at);
        if let Err(error) = self.store.leave_place((&receiver.0, &receiver.1), is_fast, taken_at).await {
            tracing::warn!(error = telemetry::chain(&error), "a place stays taken until it lapses");
        }
        made.map(|(worked, _)| worked)
    }

    /// Makes an attempt where nobody else does.
    async fn claim(&self, attempt: Attempt, now: i64, until: i64) -> Result<Made, DeliverError> {
        let delivery = (&attempt.home, &attempt.webhook, &attempt.event);
        let worked = match self.store.claim_attempt(delivery, attempt.attempt, now, until).await? {
            AttemptClaim::Claimed(delivery) => return self.make(*delivery, until).await,
            AttemptClaim::Missing => Worked::Done,
            AttemptClaim::Refused(found)
                if found.state != DeliveryState::Pending || found.attempt > attempt.attempt =>
            {
                Worked::Done
            }
            AttemptClaim::Refused(found) if found.next_at > now => {
                self.put_off(Attempt { due: found.next_at, ..attempt }).await?;
                Worked::Done
            }
            AttemptClaim::Refused(found) => Worked::Again(wait(found.claimed_until.unwrap_or_default() - now) + TURN),
        };
        Ok((worked, None))
    }

    /// Makes an attempt that is claimed. What follows from it is in the queue before it is stored: a crash in between
    /// repeats the attempt, and loses nothing.
    async fn make(&self, mut delivery: DeliveryItem, claimed_until: i64) -> Result<Made, DeliverError> {
        let webhooks = self.store.webhooks(&delivery.tenant, &delivery.home).await?;
        let webhook = webhooks.get(delivery.webhook.as_str()).filter(|webhook| webhook.enabled);
        let Some((webhook, receiver)) = webhook.and_then(|webhook| Some((webhook, webhook.receiver.as_ref()?))) else {
            delivery.state = DeliveryState::Cancelled;
            delivery.claimed_until = None;
            self.store.settle_attempt(&delivery, claimed_until).await?;
            return Ok((Worked::Done, None));
        };
        let secrets = self.open(&delivery.tenant, &delivery.webhook, webhook).await?;
        let sent =
            self.post(&receiver.url, &delivery.home, (&delivery.event, &delivery.name, &delivery.body), &secrets).await;
        let now = self.clock.now_ms();
        record(&mut delivery, &sent, now);
        if delivery.state == DeliveryState::Pending {
            self.send(&delivery).await?;
        }
        let others: Vec<_> = webhooks.iter().filter(|(id, _)| id.as_str() != delivery.webhook.as_str()).collect();
        if let Some(reason) = self.given_up(&delivery, &sent).await? {
            let others = Listeners::of(&others.into_iter().map(|(id, other)| (id.clone(), other.clone())).collect());
            self.disable(&delivery, (webhook, &receiver.url), &others, reason).await?;
        }
        self.store.settle_attempt(&delivery, claimed_until).await?;
        tracing::info!(
            event = delivery.event.as_str(),
            webhook = delivery.webhook.as_str(),
            home = delivery.home.as_str(),
            state = ?delivery.state,
            status = sent.attempt.status,
            duration_ms = sent.attempt.duration_ms,
            "delivery attempted"
        );
        Ok((Worked::Done, Some(sent)))
    }

    /// Why the receiver is to be switched off, if it is.
    async fn given_up(&self, delivery: &DeliveryItem, sent: &Sent) -> Result<Option<&'static str>, DeliverError> {
        if sent.is_gone() {
            return Ok(Some("It answered 410 Gone."));
        }
        if delivery.state != DeliveryState::Failed {
            return Ok(None);
        }
        let receiver = self.store.receiver((&delivery.home, &delivery.webhook)).await?;
        let took_any = receiver.taken_at.is_some_and(|at| at > delivery.begun_at);
        Ok((!took_any).then_some("It took no event for three days."))
    }

    /// Switches a receiver off, and tells the agent's others.
    async fn disable(
        &self,
        delivery: &DeliveryItem,
        (webhook, url): (&Webhook, &str),
        others: &Listeners,
        reason: &str,
    ) -> Result<(), DeliverError> {
        let (tenant, home, id) = (&delivery.tenant, &delivery.home, &delivery.webhook);
        let disabled = Disabled { reason: reason.to_owned(), at: self.clock.now_ms() };
        let event = Event::webhook_disabled(id, &webhook.name, url, reason);
        let outbox = others.outbox(EventId::generate().as_str(), (tenant, home), vec![event], disabled.at);
        if self.store.disable_receiver((tenant, home), id, &disabled, outbox.as_ref()).await? {
            tracing::warn!(webhook = id.as_str(), home = home.as_str(), reason, "a receiver is switched off");
            Outbox::new(self.queue.clone(), self.clock.clone()).hand_over(outbox.as_ref()).await;
        }
        Ok(())
    }

    /// Begins a delivery anew, whatever became of it. `None` where there is no such delivery.
    ///
    /// # Errors
    /// Where the table or the queue fails; then it may be asked for again.
    pub async fn redeliver(
        &self,
        tenant: &TenantId,
        delivery: (&Home, &WebhookId, &EventId),
    ) -> Result<Option<DeliveryItem>, DeliverError> {
        let Some(found) = self.store.restart_delivery(tenant, delivery, self.clock.now_ms()).await? else {
            return Ok(None);
        };
        self.send(&found).await?;
        Ok(Some(found))
    }

    /// Sends an event to a receiver once, whether it is switched on or not, and keeps nothing of it.
    ///
    /// # Errors
    /// Where its secret cannot be had.
    pub async fn test(
        &self,
        (tenant, home): (&TenantId, &Home),
        id: &WebhookId,
        webhook: &Webhook,
    ) -> Result<Sent, DeliverError> {
        let secrets = self.open(tenant, id, webhook).await?;
        let body = Event::test(id).body(home, self.clock.now_ms());
        let url = webhook.receiver.as_ref().map(|receiver| receiver.url.as_str()).unwrap_or_default();
        Ok(self.post(url, home, (&EventId::generate(), EventKind::Test.name(), &body), &secrets).await)
    }

    /// Says why events could not be sent to this address now, if they could not.
    pub async fn objection(&self, url: &str) -> Option<String> {
        if let Some(objection) = self.scheme_objection(url) {
            return Some(objection);
        }
        self.egress.check(url).await.err().map(|error| error.to_string())
    }

    /// Only what a receiver on this machine gets goes over plain http.
    fn scheme_objection(&self, url: &str) -> Option<String> {
        let url = match Url::parse(url) {
            Ok(url) => url,
            Err(error) => return Some(format!("the URL is not valid: {error}")),
        };
        let is_here = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
            Some(Host::Domain(_)) | None => false,
        };
        let is_plain_allowed = is_here && self.egress.reach() != Reach::Public;
        (url.scheme() != "https" && !is_plain_allowed).then(|| "the URL must begin with https://".to_owned())
    }

    async fn open(
        &self,
        tenant: &TenantId,
        id: &WebhookId,
        webhook: &Webhook,
    ) -> Result<Vec<SecretString>, DeliverError> {
        let keys = self.secrets.get("ORRERY_SEALING_KEYS").await?;
        let (sealer, purpose) = (Sealer::new(keys.as_ref())?, webhook.purpose(id.as_str()));
        let sealed = webhook.sealed_secrets(self.clock.now_ms());
        Ok(sealed.map(|sealed| sealer.open(tenant, &purpose, sealed)).collect::<Result<_, _>>()?)
    }

    async fn post(
        &self,
        url: &str,
        home: &Home,
        (event, name, body): (&EventId, &str, &str),
        secrets: &[SecretString],
    ) -> Sent {
        let (at, began) = (self.clock.now_ms(), Instant::now());
        let mut headers = sign::headers(event.as_str(), at, body, secrets);
        match home {
            Home::Agent(_) => headers.extend(sign::of_agent(body, secrets)),
            Home::App(_) => headers.extend(sign::of_app((event.as_str(), name), at, body, secrets)),
        }
        let posted = match self.scheme_objection(url) {
            Some(objection) => Err(EgressError::Invalid(objection)),
            None => self.egress.post(url, headers, Bytes::from(body.to_owned())).await,
        };
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (status, error, response, asked) = match posted {
            Ok(answer) => {
                let asked = answer.headers.get("retry-after").and_then(|value| value.to_str().ok());
                let asked = asked.and_then(|value| schedule::retry_after(value, at));
                let error = answer.status.is_redirection().then(|| "redirects are not followed".to_owned());
                let response = String::from_utf8_lossy(&answer.body).chars().take(EXCERPT).collect();
                (Some(answer.status.as_u16()), error, response, asked)
            }
            Err(error) => (None, Some(error.to_string()), String::new(), None),
        };
        Sent { attempt: AttemptItem { at, duration_ms, status, error, response }, asked }
    }
}

/// The delivery of an event to a receiver, before its first attempt.
fn first(outbox: &OutboxItem, webhook: &WebhookId, (id, name, body): (&EventId, &str, &str)) -> DeliveryItem {
    DeliveryItem {
        event: id.clone(),
        tenant: outbox.tenant.clone(),
        home: outbox.home.clone(),
        webhook: webhook.clone(),
        name: name.to_owned(),
        body: body.to_owned(),
        created_at: outbox.created_at,
        state: DeliveryState::Pending,
        begun_at: outbox.created_at,
        step: 0,
        attempt: 0,
        next_at: outbox.created_at,
        claimed_until: None,
        attempts: Vec::new(),
        expires_at: outbox.created_at.saturating_add(millis(KEPT)),
    }
}

/// Notes what came of an attempt, and when the next one is due if there is one.
fn record(delivery: &mut DeliveryItem, sent: &Sent, now_ms: i64) {
    delivery.attempts.push(sent.attempt.clone());
    let surplus = delivery.attempts.len().saturating_sub(KEPT_ATTEMPTS);
    delivery.attempts.drain(..surplus);
    let next = schedule::next(delivery.event.as_str(), delivery.step, delivery.begun_at, now_ms, sent.asked);
    delivery.claimed_until = None;
    delivery.attempt += 1;
    delivery.step += 1;
    delivery.state = match next {
        _ if sent.is_taken() => DeliveryState::Delivered,
        Some(next) if !sent.is_gone() => {
            delivery.next_at = next;
            DeliveryState::Pending
        }
        Some(_) | None => DeliveryState::Failed,
    };
}

/// A time that is left, in milliseconds.
fn wait(left_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(left_ms).unwrap_or_default())
}

//! From a turn of the dashboard's chat to receivers that fail in all ways, by a clock that is moved by hand.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;
use shared::admission::Admission;
use shared::auth::{Endpoint, Vouched};
use shared::id::{AgentId, EventId, Home, RequestId, WebhookId};
use shared::queue::{Delivery, Message, Queue, Received, Worked};
use shared::session::Wish;
use shared::store::{DeliveryItem, DeliveryState, Place, Receiver, Webhook};
use shared::turn::{self, Answer, TurnFailure, TurnInput, TurnRequest};
use shared::webhook::{self, Attempt, Task};
use testkit::{Bench, Fault, Moment, Strike};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const HOUR: i64 = 3_600_000;
const TOOLS: &str = "tools:\n  - name: add\n    description: Adds\n    code: return 1;\n";

/// An agent whose owner chats with it, and its receivers.
struct World {
    bench: Bench,
    agent: AgentId,
}

impl World {
    async fn new() -> Self {
        Self::with(&[("ORRERY_WEBHOOK_TARGETS", "loopback")]).await
    }

    async fn with(variables: &[(&str, &str)]) -> Self {
        Self::over(Bench::with("enterprise", variables).await).await
    }

    async fn over(bench: Bench) -> Self {
        let agent = bench.agent(TOOLS, "You are a test.").await;
        Self { bench, agent }
    }

    async fn receiver(&self, url: String, events: &[&str]) -> WebhookId {
        let id = WebhookId::generate();
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        let mut webhook = Webhook {
            receiver: Some(Receiver { url, events, disabled: None }),
            ..Webhook::sender("test".to_owned(), None, self.bench.clock.now_ms())
        };
        let sealer = self.bench.app.sealer().await.unwrap();
        let secret = "your_webhook_secret".into();
        webhook.sealed_secret = Some(sealer.seal(&self.bench.tenant, &webhook.purpose(id.as_str()), &secret).unwrap());
        assert!(self.bench.app.store().put_webhook(&self.bench.tenant, &self.agent, &id, &webhook).await.unwrap());
        id
    }

    async fn say(&self, endpoint: Endpoint, words: &str) -> Result<Box<Answer>, TurnFailure> {
        let app = &self.bench.app;
        let (tenant, agent) = (&self.bench.tenant, &self.agent);
        let vouched = Vouched { tenant, agent, endpoint, identity: "ada", idempotency: None };
        let caller = vouched.by(app.gatekeeper()).await.unwrap();
        let Admission::Run(admitted) = app.admissions().admit(&caller.pass, Wish::New, None).await.unwrap() else {
            return Err(TurnFailure::Lost);
        };
        let (_, events) = app.turns().run(TurnRequest {
            trace: admitted.trace,
            request: RequestId::generate(),
            function: "test",
            source: endpoint.name(),
            listeners: caller.listeners(),
            agent: caller.agent,
            app: None,
            session: admitted.session,
            input: TurnInput { message: words.to_owned(), ..TurnInput::default() },
            budget: None,
            claim: None,
            key_used: None,
            deadline: None,
        });
        turn::last(events).await
    }

    async fn waiting(&self) -> Vec<Delivery> {
        self.bench.app.deliveries_queue().receive(10).await.unwrap()
    }

    async fn work(&self, delivery: &Delivery) {
        let received = Received { body: delivery.body.clone(), receives: delivery.receives, deadline: None };
        match webhook_delivery::consume(&self.bench.app, received).await {
            Worked::Done => delivery.acknowledge().await.unwrap(),
            Worked::Again(wait) => delivery.hide(wait).await.unwrap(),
        }
    }

    /// Works on everything that can be worked on now.
    async fn pump(&self) {
        loop {
            let waiting = self.waiting().await;
            if waiting.is_empty() {
                return;
            }
            for delivery in &waiting {
                self.work(delivery).await;
            }
        }
    }

    /// Works on what can be worked on now, over a table that fails.
    async fn pump_in_vain(&self) {
        for delivery in self.bench.app.deliveries_queue().receive(10).await.unwrap_or_default() {
            let received = Received { body: delivery.body.clone(), receives: delivery.receives, deadline: None };
            let _comes_again = match webhook_delivery::consume(&self.bench.app, received).await {
                Worked::Done => delivery.acknowledge().await,
                Worked::Again(wait) => delivery.hide(wait).await,
            };
        }
    }

    /// Lets time pass, sweeps, and works on what comes due.
    async fn pass(&self, time: Duration, step: Duration) {
        let end = self.bench.clock.now_ms() + i64::try_from(time.as_millis()).unwrap();
        while self.bench.clock.now_ms() < end {
            self.bench.wait(step);
            webhook::sweep(&self.bench.app).await.unwrap();
            self.pump().await;
        }
    }

    async fn deliveries(&self, webhook: &WebhookId) -> Vec<DeliveryItem> {
        let (store, now) = (self.bench.app.store(), self.bench.clock.now_ms());
        store.deliveries(&self.bench.tenant, (&Home::from(&self.agent), webhook), None, 100, now).await.unwrap()
    }

    async fn webhook(&self, id: &WebhookId) -> Webhook {
        let agent = self.bench.app.store().agent(&self.bench.tenant, &self.agent).await.unwrap().unwrap();
        agent.webhooks[id.as_str()].clone()
    }
}

async fn answering(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(response).mount(&server).await;
    server
}

async fn requests(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.unwrap()
}

/// The events that came, each once, in no order.
async fn events(server: &MockServer) -> Vec<String> {
    let bodies = requests(server).await.into_iter().map(|request| serde_json::from_slice::<Value>(&request.body));
    let mut events: Vec<String> = bodies.map(|body| body.unwrap()["event"].as_str().unwrap().to_owned()).collect();
    events.sort();
    events
}

#[tokio::test]
async fn a_turn_of_the_dashboard_is_told_signed_and_taken_once() {
    let (world, server) = (World::new().await, answering(ResponseTemplate::new(200).set_body_string("ok")).await);
    let all = ["message_sent", "tool_call_completed", "session_ended", "error"];
    let id = world.receiver(server.uri(), &all).await;
    world.say(Endpoint::AgentChat, "/tool add {}").await.unwrap();
    assert!(world.say(Endpoint::AgentChat, "/fail").await.is_err());
    world.pump().await;
    assert_eq!(events(&server).await, ["error", "message_sent", "tool_call_completed"]);
    for request in requests(&server).await {
        let header = |name: &str| request.headers[name].to_str().unwrap().to_owned();
        let body = String::from_utf8(request.body.clone()).unwrap();
        let compact: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(compact["agentId"], world.agent.as_str());
        assert_eq!(compact.to_string().len(), body.len(), "compact: {body}");
        assert_eq!(header("content-type"), "application/json");
        assert!(header("user-agent").starts_with("orrery/") && header("webhook-id").starts_with("evt_"));
        assert!(header("webhook-signature").starts_with("v1,") && header("x-webhook-signature").len() == 64);
    }
    world.pass(Duration::from_secs(120), Duration::from_secs(10)).await;
    assert_eq!(requests(&server).await.len(), 3, "the late look finds nothing");
    let told = world.deliveries(&id).await;
    assert!(told.iter().all(|delivery| delivery.state == DeliveryState::Delivered && delivery.attempts.len() == 1));
    assert_eq!((told[0].attempts[0].status, told[0].attempts[0].response.as_str()), (Some(200), "ok"));
    let kept = world.bench.dump().await;
    assert!(!kept.contains("OUTBOX#") && !kept.contains("your_webhook_secret"));
}

#[tokio::test]
async fn nothing_but_the_dashboards_chat_is_told() {
    let (world, server) = (World::new().await, answering(ResponseTemplate::new(200)).await);
    world.receiver(server.uri(), &["message_sent", "tool_call_completed", "session_ended", "error"]).await;
    for endpoint in [
        Endpoint::ChatCompletions,
        Endpoint::Webhook,
        Endpoint::WidgetChat,
        Endpoint::McpServer,
        Endpoint::Slack,
        Endpoint::Telegram,
        Endpoint::WhatsApp,
    ] {
        world.say(endpoint, "/tool add {}").await.unwrap();
        assert!(world.say(endpoint, "/fail").await.is_err());
    }
    world.pass(Duration::from_secs(120), Duration::from_secs(10)).await;
    assert_eq!(requests(&server).await.len(), 0);
    assert!(!world.bench.dump().await.contains("OUTBOX#"));
}

#[tokio::test]
async fn three_days_of_failure_fall_on_the_schedule_and_end_with_the_receiver_switched_off() {
    let (world, broken) =
        (World::new().await, answering(ResponseTemplate::new(500).set_body_string("x".repeat(9_000))).await);
    let witness = answering(ResponseTemplate::new(204)).await;
    let id = world.receiver(broken.uri(), &["message_sent"]).await;
    world.receiver(witness.uri(), &["webhook_disabled"]).await;
    world.say(Endpoint::AgentChat, "hello").await.unwrap();
    world.pump().await;
    world.pass(Duration::from_secs(60), Duration::from_secs(1)).await;
    world.pass(Duration::from_secs(3600), Duration::from_secs(30)).await;
    world.pass(Duration::from_secs(80 * 3600), Duration::from_secs(300)).await;

    let told = world.deliveries(&id).await;
    let (delivery, attempts) = (&told[0], &told[0].attempts);
    assert_eq!(delivery.state, DeliveryState::Failed);
    let waits: Vec<i64> = attempts.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    let expected = [5_000, 300_000, 1_800_000, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR, 10 * HOUR, 10 * HOUR];
    for (wait, expected) in waits.iter().zip(expected) {
        assert!(
            (wait - expected).abs() <= expected / 10 + 1 + if *wait > HOUR { 300_000 } else { expected / 10 },
            "{waits:?}"
        );
    }
    let end = attempts[attempts.len() - 1].at - delivery.created_at;
    assert!((72 * HOUR..72 * HOUR + 300_000).contains(&end), "the last one after three days: {end}");
    assert_eq!(attempts[0].response.chars().count(), 2_000);
    let ids: Vec<_> = requests(&broken).await.iter().map(|request| request.headers["webhook-id"].clone()).collect();
    assert_eq!(ids.len(), attempts.len());
    assert!(ids.iter().all(|one| one == delivery.event.as_str()), "one id over all attempts");

    let webhook = world.webhook(&id).await;
    let disabled = webhook.receiver.as_ref().unwrap().disabled.clone().unwrap();
    assert!(!webhook.enabled && disabled.reason.contains("three days"), "{disabled:?}");
    assert_eq!(events(&witness).await, ["webhook_disabled"]);

    broken.reset().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&broken).await;
    let on = Webhook { enabled: true, ..webhook.clone() };
    let (tenant, store) = (&world.bench.tenant, world.bench.app.store());
    assert!(store.replace_webhook(tenant, &world.agent, &id, &on, webhook.updated_at).await.unwrap());
    let deliveries = world.bench.app.deliveries().unwrap();
    assert!(deliveries.redeliver(tenant, (&Home::from(&world.agent), &id, &delivery.event)).await.unwrap().is_some());
    assert!(
        deliveries.redeliver(tenant, (&Home::from(&world.agent), &id, &EventId::generate())).await.unwrap().is_none()
    );
    world.pump().await;
    let again = &world.deliveries(&id).await[0];
    assert_eq!((again.state, requests(&broken).await.len()), (DeliveryState::Delivered, 1));
    assert_eq!(requests(&broken).await[0].headers["webhook-id"], delivery.event.as_str());
}

#[tokio::test]
async fn a_receiver_that_takes_other_events_stays_switched_on() {
    let (world, server) = (World::new().await, MockServer::start().await);
    Mock::given(wiremock::matchers::body_string_contains("poison"))
        .respond_with(ResponseTemplate::new(500))
        .mount(&server)
        .await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).with_priority(6).mount(&server).await;
    let id = world.receiver(server.uri(), &["message_sent"]).await;
    world.say(Endpoint::AgentChat, "poison").await.unwrap();
    world.pass(Duration::from_secs(3600), Duration::from_secs(60)).await;
    world.say(Endpoint::AgentChat, "hello").await.unwrap();
    world.pump().await;
    let sent = world.deliveries(&id).await;
    let states: Vec<_> = sent.iter().map(|delivery| delivery.state).collect();
    assert_eq!(states, [DeliveryState::Delivered, DeliveryState::Pending]);
    // Many others of which nothing is known.
    for _ in 0..300 {
        let other = DeliveryItem { event: EventId::generate(), state: DeliveryState::Cancelled, ..sent[0].clone() };
        assert!(world.bench.app.store().put_new_delivery(&other).await.unwrap());
    }
    world.pass(Duration::from_secs(73 * 3600), Duration::from_secs(600)).await;
    let store = world.bench.app.store();
    let now = world.bench.clock.now_ms();
    let failed = store.deliveries(&world.bench.tenant, (&Home::from(&world.agent), &id), None, 400, now).await.unwrap();
    assert_eq!(failed.last().unwrap().state, DeliveryState::Failed);
    assert!(world.webhook(&id).await.enabled);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_switched_off_at_once() {
    let (world, server) = (World::new().await, answering(ResponseTemplate::new(410)).await);
    let id = world.receiver(server.uri(), &["message_sent"]).await;
    for _ in 0..2 {
        world.say(Endpoint::AgentChat, "hello").await.unwrap();
    }
    world.pump().await;
    let mut states: Vec<_> = world.deliveries(&id).await.iter().map(|delivery| delivery.state).collect();
    states.sort_by_key(|state| *state == DeliveryState::Cancelled);
    assert_eq!(states, [DeliveryState::Failed, DeliveryState::Cancelled]);
    assert!(!world.webhook(&id).await.enabled);
    assert_eq!(requests(&server).await.len(), 1);
}

#[tokio::test]
async fn a_receiver_may_ask_for_a_longer_wait() {
    let (world, server) =
        (World::new().await, answering(ResponseTemplate::new(429).insert_header("retry-after", "600")).await);
    let id = world.receiver(server.uri(), &["message_sent"]).await;
    world.say(Endpoint::AgentChat, "hello").await.unwrap();
    world.pass(Duration::from_secs(595), Duration::from_secs(5)).await;
    assert_eq!(requests(&server).await.len(), 1);
    world.pass(Duration::from_secs(15), Duration::from_secs(5)).await;
    assert_eq!(world.deliveries(&id).await[0].attempts.len(), 2);
}

#[tokio::test]
async fn what_was_stored_right_before_a_fall_is_found_a_minute_later() {
    let (world, server) = (World::new().await, answering(ResponseTemplate::new(200)).await);
    world.receiver(server.uri(), &["message_sent"]).await;
    world.say(Endpoint::AgentChat, "hello").await.unwrap();
    for lost in world.waiting().await {
        lost.acknowledge().await.unwrap();
    }
    world.pass(Duration::from_secs(55), Duration::from_secs(5)).await;
    assert_eq!(requests(&server).await.len(), 0);
    world.pass(Duration::from_secs(10), Duration::from_secs(5)).await;
    assert_eq!(requests(&server).await.len(), 1);
}

#[tokio::test]
async fn an_event_that_the_queue_did_not_take_arrives_once_it_is_swept() {
    let (bench, faults) = Bench::with_faults_and(&[("ORRERY_WEBHOOK_TARGETS", "loopback")]).await;
    let (world, server) = (World::over(bench).await, answering(ResponseTemplate::new(200)).await);
    world.receiver(server.uri(), &["message_sent"]).await;
    let away_from = |first: usize| Strike {
        operation: "TransactWriteItems".to_owned(),
        calls: first..usize::MAX,
        tries: usize::MAX,
        fault: Fault::InternalError,
        moment: Moment::Before,
    };
    faults.strike(away_from(1)); // the first is the turn's own
    world.say(Endpoint::AgentChat, "hello").await.unwrap();
    world.bench.wait(Duration::from_secs(60));
    faults.strike(away_from(0));
    assert!(webhook::sweep(&world.bench.app).await.is_err(), "the queue is still away");
    faults.heal();
    world.pump().await;
    assert_eq!(requests(&server).await.len(), 0);
    assert_eq!(webhook::sweep(&world.bench.app).await.unwrap(), 1);
    assert_eq!(webhook::sweep(&world.bench.app).await.unwrap(), 0, "it is looked for again later");
    world.pass(Duration::from_secs(600), Duration::from_secs(30)).await;
    assert_eq!(requests(&server).await.len(), 1);
    assert!(!world.bench.dump().await.contains("OUTBOX#"));
}

#[tokio::test]
async fn what_cannot_be_spread_is_looked_for_ever_more_rarely_and_keeps_nothing_else_from_it() {
    let (world, server) = (World::new().await, answering(ResponseTemplate::new(200)).await);
    world.receiver(server.uri(), &["message_sent"]).await;
    world.say(Endpoint::AgentChat, "hello").await.unwrap();
    let mut sweeps = 0;
    for _ in 0..24 * 60 {
        world.bench.wait(Duration::from_secs(60));
        sweeps += webhook::sweep(&world.bench.app).await.unwrap();
    }
    assert_eq!(sweeps, 11, "after 1, 2, 4, 8 … 1024 minutes");
    world.say(Endpoint::AgentChat, "hello").await.unwrap();
    world.bench.wait(Duration::from_secs(60));
    assert_eq!(webhook::sweep(&world.bench.app).await.unwrap(), 1);
}

#[tokio::test]
async fn tasks_that_come_twice_or_at_once_make_one_attempt() {
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_millis(100));
    let (world, server) = (World::new().await, answering(slow).await);
    let id = world.receiver(server.uri(), &["message_sent"]).await;
    world.say(Endpoint::AgentChat, "hello").await.unwrap();
    let spread = world.waiting().await;
    let body = spread[0].body.clone();
    let consume = |body: &str| {
        let received = Received { body: body.to_owned(), receives: 1, deadline: None };
        webhook_delivery::consume(&world.bench.app, received)
    };
    assert_eq!(tokio::join!(consume(&body), consume(&body)), (Worked::Done, Worked::Done));
    let (store, now) = (world.bench.app.store(), world.bench.clock.now_ms());
    store.take_place((&Home::from(&world.agent), &id), now, now).await.unwrap();
    store.leave_place((&Home::from(&world.agent), &id), Some(true), None).await.unwrap();
    let attempts = world.waiting().await;
    let (one, other) = tokio::join!(consume(&attempts[0].body), consume(&attempts[0].body));
    assert!(matches!((one, other), (Worked::Done, Worked::Again(_)) | (Worked::Again(_), Worked::Done)));
    assert_eq!(consume(&attempts[0].body).await, Worked::Done, "it is made already");
    assert_eq!((requests(&server).await.len(), world.deliveries(&id).await.len()), (1, 1));
}

#[tokio::test]
async fn neither_private_addresses_nor_redirects_are_followed() {
    let elsewhere = answering(ResponseTemplate::new(200)).await;
    let redirect = ResponseTemplate::new(302).insert_header("location", elsewhere.uri().as_str());
    let (world, server) = (World::new().await, answering(redirect).await);
    let id = world.receiver(server.uri(), &["message_sent"]).await;
    world.say(Endpoint::AgentChat, "hello").await.unwrap();
    world.pump().await;
    let attempt = &world.deliveries(&id).await[0].attempts[0];
    assert_eq!((attempt.status, attempt.error.as_deref()), (Some(302), Some("redirects are not followed")));
    assert_eq!(requests(&elsewhere).await.len(), 0);

    let world = World::with(&[]).await;
    for url in [elsewhere.uri(), elsewhere.uri().replace("http:", "https:"), "https://10.0.0.1/".to_owned()] {
        let id = world.receiver(url, &["message_sent"]).await;
        world.say(Endpoint::AgentChat, "hello").await.unwrap();
        world.pump().await;
        let attempt = &world.deliveries(&id).await[0].attempts[0];
        assert!(attempt.status.is_none() && attempt.error.is_some(), "{attempt:?}");
    }
    assert_eq!(requests(&elsewhere).await.len(), 0);
}

#[tokio::test]
async fn the_event_of_a_batch_with_nothing_behind_it_is_done() {
    let world = World::new().await;
    let file: Value = serde_json::from_str(include_str!("../../../events/webhook-delivery.json")).unwrap();
    for record in file["Records"].as_array().unwrap() {
        let received = Received { body: record["body"].as_str().unwrap().to_owned(), receives: 1, deadline: None };
        assert_eq!(webhook_delivery::consume(&world.bench.app, received).await, Worked::Done);
    }
}

#[tokio::test]
async fn a_task_that_cannot_be_read_goes_to_the_dead_letters() {
    let world = World::new().await;
    let unreadable = Message { body: "no task".to_owned(), ..Message::default() };
    world.bench.app.deliveries_queue().send(&unreadable).await.unwrap();
    world.pass(Duration::from_secs(60), Duration::from_secs(2)).await;
    let Queue::Table(queue) = world.bench.app.deliveries_queue() else { panic!("the queue is in the table") };
    assert_eq!(Queue::Table(queue.dead_letters()).receive(10).await.unwrap()[0].body, "no task");
}

#[tokio::test]
async fn a_task_that_comes_early_goes_back_without_a_look_at_the_table() {
    let world = World::new().await;
    let attempt = Attempt {
        home: Home::from(&world.agent),
        webhook: WebhookId::generate(),
        event: EventId::generate(),
        attempt: 3,
        due: world.bench.clock.now_ms() + 3 * HOUR,
        deferred: 0,
    };
    let Message { body, .. } = Task::Attempt(attempt).to_message(Duration::ZERO);
    let (reads, writes) = (world.bench.reads(), world.bench.writes());
    let received = Received { body: body.clone(), receives: 1, deadline: None };
    assert_eq!(webhook_delivery::consume(&world.bench.app, received).await, Worked::Done);
    assert_eq!((world.bench.reads(), world.bench.writes()), (reads, writes + 1), "the queue alone");
    world.bench.wait(Duration::from_secs(899));
    assert!(world.waiting().await.is_empty());
    world.bench.wait(Duration::from_secs(1));
    assert_eq!(world.waiting().await[0].body, body);
}

/// A receiver that never answers.
struct Hanging {
    url: String,
    /// How many wait for it now, and how many did at most.
    open: Arc<(AtomicUsize, AtomicUsize)>,
    _running: JoinSet<()>,
}

impl Hanging {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (url, open) =
            (format!("http://{}/", listener.local_addr().unwrap()), Arc::<(AtomicUsize, AtomicUsize)>::default());
        let (mut running, counts) = (JoinSet::new(), open.clone());
        running.spawn(async move {
            let mut waiting = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let counts = counts.clone();
                waiting.spawn(async move {
                    counts.1.fetch_max(counts.0.fetch_add(1, Relaxed) + 1, Relaxed);
                    let _ended = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    counts.0.fetch_sub(1, Relaxed);
                });
            }
        });
        Self { url, open, _running: running }
    }
}

#[tokio::test]
async fn eight_slow_receivers_with_a_hundred_events_each_never_delay_a_fast_one() {
    const WORKERS: usize = 32;
    let (world, fast) = (World::new().await, answering(ResponseTemplate::new(200)).await);
    let fast_id = world.receiver(fast.uri(), &["message_sent"]).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let hanging = Hanging::start().await;
        world.receiver(hanging.url.clone(), &["message_sent"]).await;
        slow.push(hanging);
    }
    for number in 0..100 {
        world.bench.wait(Duration::from_secs(2)); // thirty a minute
        world.say(Endpoint::AgentChat, &number.to_string()).await.unwrap();
    }
    let (begin, world) = (world.bench.clock.now_ms(), Arc::new(world));
    let mut workers = JoinSet::new();
    while requests(&fast).await.len() < 100 {
        while workers.try_join_next().is_some() {}
        let deliveries = world.bench.app.deliveries_queue().receive(WORKERS - workers.len()).await.unwrap();
        let is_idle = deliveries.is_empty();
        for delivery in deliveries {
            let world = world.clone();
            workers.spawn(async move { world.work(&delivery).await });
        }
        let hanging: usize = slow.iter().map(|slow| slow.open.0.load(Relaxed)).sum();
        if is_idle && workers.len() <= hanging {
            world.bench.wait(Duration::from_secs(1));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        let passed = world.bench.clock.now_ms() - begin;
        assert!(passed < 25_000, "{} came in {passed} ms", requests(&fast).await.len());
    }
    // One at a time; that one has ended is seen there a moment later.
    assert!(slow.iter().all(|slow| slow.open.1.load(Relaxed) <= 2), "one at a time");
    while world.deliveries(&fast_id).await.iter().any(|delivery| delivery.state == DeliveryState::Pending) {
        workers.join_next().await;
    }
    assert_eq!(requests(&fast).await.len(), 100, "each once");
}

#[tokio::test]
async fn a_backlog_for_a_slow_receiver_leaves_the_queue_alone_and_is_taken_when_there_is_room() {
    const EVENTS: usize = 10;
    let (world, server) = (World::new().await, answering(ResponseTemplate::new(200)).await);
    let id = world.receiver(server.uri(), &["message_sent"]).await;
    for _ in 0..EVENTS {
        world.say(Endpoint::AgentChat, "hello").await.unwrap();
    }
    let (store, now) = (world.bench.app.store(), world.bench.clock.now_ms());
    let taken = store.take_place((&Home::from(&world.agent), &id), now, now + 600_000).await.unwrap();
    assert_eq!(taken, Place::Taken, "somebody is at it for ten minutes, and falls");
    world.pump().await;
    let sent = || world.bench.database.counts()["TransactWriteItems"];
    let before = sent();
    world.pass(Duration::from_secs(595), Duration::from_secs(5)).await;
    let again = sent() - before;
    assert!(again < 16 * EVENTS as u64, "{again} were sent again");
    assert_eq!(requests(&server).await.len(), 0);
    world.pass(Duration::from_secs(180), Duration::from_secs(5)).await;
    assert_eq!(requests(&server).await.len(), EVENTS);
}

#[tokio::test]
async fn whatever_goes_wrong_with_the_table_an_event_arrives_and_one_delivery_is_made() {
    let (bench, faults) = Bench::with_faults_and(&[("ORRERY_WEBHOOK_TARGETS", "loopback")]).await;
    let (world, server) = (World::over(bench).await, answering(ResponseTemplate::new(200)).await);
    world.receiver(server.uri(), &["message_sent"]).await;
    world.say(Endpoint::AgentChat, "hello").await.unwrap();
    faults.heal();
    world.pump().await;
    let calls = faults.calls();
    let wrong = [
        (Fault::InternalError, Moment::Before),
        (Fault::InternalError, Moment::After),
        (Fault::Throttled, Moment::Before),
        (Fault::Reset, Moment::Before),
        (Fault::Reset, Moment::After),
        (Fault::Silence, Moment::Before),
        (Fault::Silence, Moment::After),
    ];
    let mut cases = JoinSet::new();
    for (operation, place) in calls.into_iter().flat_map(|(name, count)| (0..count).map(move |at| (name.clone(), at))) {
        for (fault, moment) in wrong {
            let operation = operation.clone();
            cases.spawn(async move {
                let case = format!("{operation} {place}: {fault:?} {moment:?}");
                let (bench, faults) = Bench::with_faults_and(&[("ORRERY_WEBHOOK_TARGETS", "loopback")]).await;
                let (world, server) = (World::over(bench).await, answering(ResponseTemplate::new(200)).await);
                let id = world.receiver(server.uri(), &["message_sent"]).await;
                world.say(Endpoint::AgentChat, "hello").await.unwrap();
                // Silence takes its time: of the others, all tries fail.
                let tries = if fault == Fault::Silence { 1 } else { usize::MAX };
                faults.strike(Strike { operation, calls: place..place + 1, tries, fault, moment });
                for _ in 0..60 {
                    world.pump_in_vain().await;
                    world.bench.wait(Duration::from_secs(5));
                }
                let arrived = requests(&server).await.len();
                assert!((1..=2).contains(&arrived), "{case}: {arrived}");
                let told = world.deliveries(&id).await;
                assert_eq!(told.len(), 1, "{case}");
                assert_eq!(told[0].state, DeliveryState::Delivered, "{case}");
            });
        }
    }
    cases.join_all().await;
}

//! `orrery doctor`, on this machine's table. What it asks platforms is tested by the system's tests.

use embedded::EmbeddedDynamo;
use serde_json::Value;
use shared::aws::Client;
use shared::clock::Clock;
use shared::id::{AgentId, EventId, TenantId, WebhookId};
use shared::queue::{CHANNELS, DELIVERIES, Message, Queue, QueueSettings, TableQueue};
use shared::store::{AttemptItem, DeliveryItem, DeliveryState, Disabled, Receiver, Store, Webhook};

use crate::kit::{Home, text, wait};

const HOUR: i64 = 3_600_000;

fn home() -> Home {
    let home = Home::new();
    home.out(&["apply", "agents"]);
    home
}

fn store(home: &Home) -> Store {
    let database = EmbeddedDynamo::open(Some(&home.path().join(".orrery/orrery.db"))).unwrap();
    Store::new(Client::in_process(database.service()), "orrery")
}

fn tenant() -> TenantId {
    TenantId::from("ten_default")
}

fn agent(home: &Home) -> AgentId {
    AgentId::from(home.json(&["agent", "list"])[0]["id"].as_str().unwrap())
}

/// Stores a receiver of the agent's.
fn receiver(home: &Home, url: &str, change: impl Fn(&mut Webhook)) -> (AgentId, WebhookId) {
    let (agent, id) = (agent(home), WebhookId::generate());
    let mut webhook = Webhook::sender("crm".to_owned(), None, 0);
    webhook.receiver = Some(Receiver { url: url.to_owned(), events: vec!["message_sent".to_owned()], disabled: None });
    change(&mut webhook);
    assert!(wait(store(home).put_webhook(&tenant(), &agent, &id, &webhook)).unwrap());
    (agent, id)
}

/// Stores a delivery whose attempts had these statuses, the last one now.
fn delivery(home: &Home, (agent, webhook): &(AgentId, WebhookId), statuses: &[u16]) {
    let now = Clock::system().now_ms();
    let attempts = statuses.iter().rev().zip(0..).map(|(status, age)| AttemptItem {
        at: now - age * 1000,
        duration_ms: 1,
        status: Some(*status),
        error: None,
        response: "what-a-receiver-said".to_owned(),
    });
    let mut attempts: Vec<_> = attempts.collect();
    attempts.reverse();
    let item = DeliveryItem {
        event: EventId::generate(),
        tenant: tenant(),
        home: agent.into(),
        webhook: webhook.clone(),
        name: "message_sent".to_owned(),
        body: "{}".to_owned(),
        created_at: now,
        state: DeliveryState::Pending,
        begun_at: now,
        step: 1,
        attempt: 1,
        next_at: now,
        claimed_until: None,
        attempts,
        expires_at: now + HOUR,
    };
    assert!(wait(store(home).put_new_delivery(&item)).unwrap());
}

/// The exit code and the lines.
fn examine(home: &Home, arguments: &[&str]) -> (i32, String) {
    let output = home.run(&[&["doctor"], arguments].concat());
    (output.status.code().unwrap(), text(&output.stdout))
}

fn wrong(home: &Home, arguments: &[&str]) -> String {
    let (code, told) = examine(home, arguments);
    let lines: Vec<_> = told.lines().filter(|line| line.starts_with('✗')).collect();
    assert_eq!((code, lines.len()), (1, 1), "{told}");
    lines[0].to_owned()
}

#[test]
fn where_nothing_is_connected_nothing_is_wrong() {
    let home = home();
    home.out(&["webhook", "create", "--agent", "support"]);
    let (code, told) = examine(&home, &[]);
    assert_eq!(code, 0, "{told}");
    for platform in ["slack", "telegram", "whatsapp"] {
        assert!(told.contains(&format!("– {platform}: nothing is connected")), "{told}");
    }
    assert!(told.contains(" for support: its secret opens"), "{told}");
    let found: Value = serde_json::from_str(&home.out(&["doctor", "queues", "--json"])).unwrap();
    assert_eq!(found[1]["subject"], "queue channels");
    assert_eq!(found[1]["state"], "ok");
}

#[test]
fn before_the_first_team_is_connected_the_settings_can_be_looked_at() {
    let home = home();
    let (code, told) = examine(&home, &["slack"]);
    assert_eq!((code, told.lines().filter(|line| line.contains("is not set")).count()), (1, 3), "{told}");
    assert!(wrong(&home, &["whatsapp"]).contains("WHATSAPP_APP_SECRET is not set"));
    assert_eq!(examine(&home, &["telegram"]).0, 0);
}

#[test]
fn a_receiver_that_was_switched_off_is_told_with_its_reason() {
    let home = home();
    let url = "http://127.0.0.1:9/";
    receiver(&home, url, |webhook| webhook.enabled = false);
    let (code, told) = examine(&home, &["webhooks"]);
    assert_eq!((code, told.contains("– outbound webhook")), (0, true), "its owner did it: {told}");
    receiver(&home, url, |webhook| {
        webhook.enabled = false;
        let disabled = Some(Disabled { reason: "It answered 410 Gone.".to_owned(), at: 0 });
        webhook.receiver.as_mut().unwrap().disabled = disabled;
    });
    let line = wrong(&home, &["webhooks", "--agent", "support"]);
    assert!(line.contains("switched off at 1970-01-01T00:00:00Z: It answered 410 Gone. To do: mend"), "{line}");
}

#[test]
fn the_last_attempt_says_whether_a_receiver_takes_what_is_sent() {
    let home = home();
    let made = receiver(&home, "http://127.0.0.1:9/the-path", |_| {});
    assert!(examine(&home, &["webhooks"]).1.contains("nothing was sent in the last 30 days"));
    delivery(&home, &made, &[500, 503, 200]);
    assert_eq!(examine(&home, &["webhooks"]).0, 0);
    let made = receiver(&home, "http://127.0.0.1:9/the-path", |_| {});
    delivery(&home, &made, &[200, 500, 503]);
    let line = wrong(&home, &["webhooks"]);
    assert!(line.contains("the last 2 attempts failed") && line.contains("status 503"), "{line}");
    assert!(!line.contains("what-a-receiver-said") && !line.contains("the-path"), "{line}");
}

#[test]
fn an_address_that_cannot_be_sent_to_is_told_without_its_path() {
    let home = home();
    receiver(&home, "http://10.0.0.1/the-path?token=x", |_| {});
    let line = wrong(&home, &["webhooks"]);
    assert!(line.contains("http://10.0.0.1 cannot be sent to"), "{line}");
    assert!(!line.contains("the-path") && !line.contains("token"), "{line}");
}

#[test]
fn a_name_cannot_move_the_cursor() {
    let home = home();
    receiver(&home, "http://127.0.0.1:9/", |webhook| webhook.name = "crm\u{1b}[2J\n✓ forged".to_owned());
    let (_, told) = examine(&home, &["webhooks"]);
    assert!(!told.contains('\u{1b}') && told.lines().all(|line| !line.starts_with("✓ forged")), "{told}");
}

#[test]
fn dead_letters_and_what_waits_too_long_are_told() {
    let home = home();
    let now = Clock::system();
    let queue = |name: &str, clock: &Clock| TableQueue::new(store(&home), clock.clone(), name, QueueSettings::MACHINE);
    let message = Message { body: "what a person wrote".to_owned(), ..Message::default() };
    let minutes_ago =
        |minutes: i64| Clock::manual(jiff::Timestamp::from_millisecond(now.now_ms() - minutes * 60_000).unwrap());
    wait(Queue::Table(queue(CHANNELS, &minutes_ago(4))).send(&message)).unwrap();
    wait(Queue::Table(queue(DELIVERIES, &minutes_ago(19))).send(&message)).unwrap();
    assert_eq!(examine(&home, &["queues"]).0, 0);
    wait(Queue::Table(queue(DELIVERIES, &minutes_ago(21))).send(&message)).unwrap();
    let line = wrong(&home, &["queues"]);
    assert!(line.contains("queue deliveries: 2 in it, the oldest since"), "{line}");
    wait(Queue::Table(queue(CHANNELS, &minutes_ago(6))).send(&message)).unwrap();
    wait(Queue::Table(queue(CHANNELS, &now).dead_letters()).send(&message)).unwrap();
    let (code, told) = examine(&home, &["queues"]);
    assert_eq!((code, told.matches('✗').count()), (1, 3), "{told}");
    assert!(told.contains("1 given up") && told.contains("orrery queue list channels"), "{told}");
    assert!(!told.contains("what a person wrote"));
}

#[test]
fn what_is_meant_is_checked() {
    let home = home();
    assert_eq!(home.fails(&["doctor", "mail"]).0, 2);
    assert_eq!(home.fails(&["doctor", "--public-url", "bots.example"]).0, 2);
    let (code, told) = home.fails(&["doctor", "--agent", "sales"]);
    assert_eq!((code, told.contains("there are support")), (1, true), "{told}");
}

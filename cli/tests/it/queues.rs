//! `orrery queue`, on dead letters of this machine's table.

use embedded::EmbeddedDynamo;
use shared::aws::Client;
use shared::clock::Clock;
use shared::queue::{CHANNELS, DELIVERIES, Message, Queue, QueueSettings, TableQueue};
use shared::store::Store;

use crate::kit::{Home, wait};

const BODY: &str = "what a person wrote";

/// A home whose table stands.
fn home() -> Home {
    let home = Home::new();
    home.out(&["agent", "list"]);
    home
}

fn queue(home: &Home, name: &str) -> TableQueue {
    let database = EmbeddedDynamo::open(Some(&home.path().join(".orrery/orrery.db"))).unwrap();
    let store = Store::new(Client::in_process(database.service()), "orrery");
    TableQueue::new(store, Clock::system(), name, QueueSettings::MACHINE)
}

/// Puts letters among the dead ones of a queue, each with its group.
fn bury(home: &Home, name: &str, letters: &[(Option<&str>, &str)]) {
    let dead = Queue::Table(queue(home, name).dead_letters());
    for (group, words) in letters {
        let message =
            Message { group: group.map(str::to_owned), body: format!("{BODY} {words}"), ..Message::default() };
        wait(dead.send(&message)).unwrap();
    }
}

/// What waits in a queue, taken as its worker takes it.
fn take(home: &Home, name: &str) -> Vec<String> {
    let queue = Queue::Table(queue(home, name));
    let mut taken = Vec::new();
    loop {
        let batch = wait(queue.receive(10)).unwrap();
        if batch.is_empty() {
            return taken;
        }
        for delivery in batch {
            taken.push(delivery.body.strip_prefix(BODY).unwrap().trim().to_owned());
            wait(delivery.acknowledge()).unwrap();
        }
    }
}

#[test]
fn dead_letters_are_listed_without_what_they_say_and_stay() {
    let home = home();
    assert_eq!(home.json(&["queue", "list"]), serde_json::json!([]));
    bury(&home, CHANNELS, &[(Some("ana"), "1"), (Some("ana"), "2")]);
    bury(&home, DELIVERIES, &[(None, "event")]);
    for _ in 0..2 {
        let listed = home.json(&["queue", "list"]);
        let brief = |index: usize| (&listed[index]["queue"], &listed[index]["group"], &listed[index]["bytes"]);
        assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
        assert_eq!(brief(0), (&"channels".into(), &"ana".into(), &(BODY.len() + 2).into()));
        assert_eq!(brief(2), (&"deliveries".into(), &serde_json::Value::Null, &(BODY.len() + 6).into()));
        assert!(listed[0]["sent_at"].as_str().unwrap().ends_with('Z'), "{listed}");
        assert!(!listed.to_string().contains(BODY) && !home.out(&["queue", "list"]).contains(BODY));
    }
    assert_eq!(home.out(&["queue", "list", "deliveries", "--quiet"]).lines().count(), 1);
}

#[test]
fn replayed_letters_are_in_their_queue_again_in_order() {
    let home = home();
    let letters = [(Some("ana"), "1"), (Some("bob"), "1"), (Some("ana"), "2"), (Some("ana"), "3")];
    bury(&home, CHANNELS, &letters);
    bury(&home, DELIVERIES, &[(None, "event")]);
    let replayed = home.json(&["queue", "replay", "channels"]);
    assert_eq!(replayed, serde_json::json!([{ "queue": "channels", "messages": 4 }]));
    let taken = take(&home, CHANNELS);
    assert_eq!(taken.len(), 4, "{taken:?}");
    let positions: Vec<_> = ["2", "3"].map(|words| taken.iter().position(|found| found == words).unwrap()).into();
    assert!(positions.is_sorted() && positions[0] > 0, "{taken:?}");
    assert_eq!(home.json(&["queue", "list"])[0]["queue"], "deliveries", "the others stay");
    assert_eq!(home.out(&["queue", "replay", "--quiet"]), "1\n");
    assert_eq!(take(&home, DELIVERIES), ["event"]);
    assert_eq!(home.out(&["queue", "replay", "--quiet"]), "0\n");
}

#[test]
fn letters_are_thrown_away_when_that_is_meant() {
    let home = home();
    bury(&home, CHANNELS, &[(Some("ana"), "1"), (Some("ana"), "2")]);
    let (code, told) = home.fails(&["queue", "purge"]);
    assert_eq!((code, told.contains("add --yes")), (2, true), "{told}");
    assert_eq!(home.out(&["queue", "purge", "channels", "--yes", "--quiet"]), "2\n");
    assert_eq!(home.json(&["queue", "list"]), serde_json::json!([]));
    assert!(take(&home, CHANNELS).is_empty());
}

#[test]
fn what_is_meant_is_checked_before_anything_is_done() {
    let home = home();
    for (arguments, expected) in [
        (&["queue", "list", "mail"][..], "possible values: channels, deliveries"),
        (&["queue", "list", "--table", "orrery"], "--dead-queue-url"),
        (&["queue", "list", "--dead-queue-url", "https://sqs.example/1/x"], "--table"),
        (&["queue", "purge", "--dead-queue-url", "https://sqs.example/1/x", "--table", "orrery"], "--yes"),
    ] {
        let (code, told) = home.fails(arguments);
        assert_eq!(code, 2, "{arguments:?}: {told}");
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
    assert_eq!(home.fails(&["queue", "list", "--data", ":memory:"]).0, 1);
}

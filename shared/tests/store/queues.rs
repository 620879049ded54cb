//! What holds for every queue: the one in the table, and SQS where `ORRERY_TEST_SQS` names one.

use std::time::Duration;

use serde_json::{Value, json};
use shared::aws::{Client, Service};
use shared::clock::Clock;
use shared::id::TraceId;
use shared::queue::{Delivery, LARGEST_BODY, Message, Queue, QueueError, QueueSettings, SqsQueue, TableQueue};
use tokio::time::{Instant, sleep};

use crate::table::{Table, client, endpoint};

/// The variable that names an SQS, as in `http://127.0.0.1:4566`.
const ENDPOINT: &str = "ORRERY_TEST_SQS";
/// Short, as tests wait for it.
const VISIBILITY: Duration = Duration::from_secs(2);
/// How often a message is handed out.
const MOST_RECEIVES: u32 = 2;
/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A queue and its dead letters.
struct Place {
    queue: Queue,
    dead: Queue,
    _table: Option<Table>,
}

/// Which messages a queue of SQS takes; one in the table takes both.
#[derive(Clone, Copy)]
enum Order {
    /// Those with a group.
    Fifo,
    /// Those without.
    Standard,
}

impl Place {
    /// A queue that hands a message out twice at most.
    async fn new(order: Order) -> Self {
        if let Some(endpoint) = endpoint(ENDPOINT) {
            return Self::at(&endpoint, order).await;
        }
        let table = Table::racing().await;
        let settings = QueueSettings { visibility: VISIBILITY, most_receives: MOST_RECEIVES };
        let queue = TableQueue::new(table.clone(), Clock::system(), "test", settings);
        let dead = Queue::Table(queue.dead_letters());
        Self { queue: Queue::Table(queue), dead, _table: Some(table) }
    }

    /// New queues of SQS.
    async fn at(endpoint: &str, order: Order) -> Self {
        let (client, name) = (client(Service::Sqs, endpoint), format!("orrery-{}", TraceId::generate()));
        let (ending, mut attributes) = match order {
            Order::Fifo => (".fifo", json!({ "FifoQueue": "true" })),
            Order::Standard => ("", json!({})),
        };
        let dead = create(&client, &format!("{name}-dead{ending}"), &attributes).await;
        let asked = json!({ "QueueUrl": dead, "AttributeNames": ["QueueArn"] });
        let arn = call(&client, "GetQueueAttributes", &asked).await["Attributes"]["QueueArn"].clone();
        let redrive = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": MOST_RECEIVES.to_string() });
        attributes["RedrivePolicy"] = redrive.to_string().into();
        attributes["VisibilityTimeout"] = VISIBILITY.as_secs().to_string().into();
        let url = create(&client, &format!("{name}{ending}"), &attributes).await;
        let queue = |url: String| Queue::Sqs(SqsQueue::new(client.clone(), url));
        Self { queue: queue(url), dead: queue(dead), _table: None }
    }

    async fn send(&self, message: Message) {
        self.queue.send(&message).await.unwrap();
    }
}

/// Makes a queue of SQS and gives its URL.
async fn create(client: &Client, name: &str, attributes: &Value) -> String {
    let made = call(client, "CreateQueue", &json!({ "QueueName": name, "Attributes": attributes })).await;
    made["QueueUrl"].as_str().unwrap().to_owned()
}

async fn call(client: &Client, operation: &str, request: &Value) -> Value {
    let answer = client.call(&format!("AmazonSQS.{operation}"), request.to_string()).await.unwrap();
    serde_json::from_slice(&answer).unwrap()
}

fn grouped(group: &str, body: &str) -> Message {
    Message {
        group: Some(group.into()),
        deduplication: Some(format!("{group}-{body}")),
        body: body.into(),
        ..Message::default()
    }
}

fn loose(body: &str) -> Message {
    Message { body: body.into(), ..Message::default() }
}

/// The next message, waited for.
async fn next(queue: &Queue) -> Delivery {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(delivery) = queue.receive(1).await.unwrap().pop() {
            return delivery;
        }
        assert!(Instant::now() < until, "nothing came");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn nothing(queue: &Queue) {
    assert!(queue.receive(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_group_goes_one_by_one_in_order_and_groups_go_beside_each_other() {
    let place = Place::new(Order::Fifo).await;
    for message in [grouped("a", "a1"), grouped("a", "a2"), grouped("b", "b1"), grouped("a", "a3")] {
        place.send(message).await;
    }
    let (first, other) = (next(&place.queue).await, next(&place.queue).await);
    assert_eq!((first.body.as_str(), other.body.as_str()), ("a1", "b1"));
    assert_eq!((first.group.as_deref(), first.receives), (Some("a"), 1));
    nothing(&place.queue).await;
    first.acknowledge().await.unwrap();
    let second = next(&place.queue).await;
    assert_eq!(second.body, "a2");
    second.acknowledge().await.unwrap();
    assert_eq!(next(&place.queue).await.body, "a3");
}

#[tokio::test]
async fn messages_without_a_group_are_in_nobodys_way() {
    let place = Place::new(Order::Standard).await;
    for body in ["1", "2", "3"] {
        place.send(loose(body)).await;
    }
    let mut bodies: Vec<String> =
        place.queue.receive(10).await.unwrap().into_iter().map(|delivery| delivery.body).collect();
    bodies.sort();
    assert_eq!(bodies, ["1", "2", "3"]);
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_and_holds_its_group_till_then() {
    let place = Place::new(Order::Fifo).await;
    place.send(grouped("a", "a1")).await;
    place.send(grouped("a", "a2")).await;
    let late = next(&place.queue).await;
    nothing(&place.queue).await;
    let again = next(&place.queue).await;
    assert_eq!((again.body.as_str(), again.receives), ("a1", 2));
    // The word of one who is too late does no harm, and is no failure.
    late.acknowledge().await.unwrap();
    again.acknowledge().await.unwrap();
    late.hide(Duration::ZERO).await.unwrap();
    assert_eq!(next(&place.queue).await.body, "a2");
}

#[tokio::test]
async fn a_message_can_be_held_for_longer_and_given_back_at_once() {
    let place = Place::new(Order::Fifo).await;
    place.send(grouped("a", "a1")).await;
    let held = next(&place.queue).await;
    held.hide(VISIBILITY * 2).await.unwrap();
    sleep(VISIBILITY + Duration::from_millis(500)).await;
    nothing(&place.queue).await;
    held.hide(Duration::ZERO).await.unwrap();
    assert_eq!(next(&place.queue).await.body, "a1");
}

#[tokio::test]
async fn failed_work_ends_with_the_dead_letters_and_frees_its_group() {
    let place = Place::new(Order::Fifo).await;
    place.send(grouped("a", "poison")).await;
    place.send(grouped("a", "next")).await;
    for receives in 1..=2 {
        let delivery = next(&place.queue).await;
        assert_eq!((delivery.body.as_str(), delivery.receives), ("poison", receives));
        delivery.hide(Duration::ZERO).await.unwrap();
    }
    assert_eq!(next(&place.queue).await.body, "next");
    let dead = next(&place.dead).await;
    assert_eq!((dead.body.as_str(), dead.group.as_deref()), ("poison", Some("a")));
}

#[tokio::test]
async fn what_waits_is_seen_without_being_taken() {
    let place = Place::new(Order::Fifo).await;
    place.dead.send(&grouped("a", "a1")).await.unwrap();
    place.dead.send(&grouped("b", "longer")).await.unwrap();
    for _ in 0..2 {
        let mut seen = place.dead.look(10).await.unwrap();
        seen.sort_by(|one, other| one.group.cmp(&other.group));
        let brief: Vec<_> = seen.iter().map(|seen| (seen.group.as_deref(), seen.bytes)).collect();
        assert_eq!(brief, [(Some("a"), 2), (Some("b"), 6)]);
        assert!(seen[0].sent_at > 0 && seen[0].id != seen[1].id);
    }
    assert_eq!(place.dead.look(1).await.unwrap().len(), 1);
    next(&place.dead).await.acknowledge().await.unwrap();
    next(&place.dead).await.acknowledge().await.unwrap();
    assert!(place.dead.look(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_message_that_is_moved_again_after_a_crash_is_there_once() {
    let place = Place::new(Order::Fifo).await;
    place.dead.send(&grouped("a", "a1")).await.unwrap();
    place.dead.send(&grouped("a", "a2")).await.unwrap();
    let first = next(&place.dead).await;
    first.send_again(&place.queue).await.unwrap();
    first.send_again(&place.queue).await.unwrap();
    next(&place.dead).await.send_again(&place.queue).await.unwrap();
    nothing(&place.dead).await;
    for expected in ["a1", "a2"] {
        let delivery = next(&place.queue).await;
        assert_eq!(delivery.body, expected);
        delivery.acknowledge().await.unwrap();
    }
    nothing(&place.queue).await;
}

#[tokio::test]
async fn a_name_is_taken_once_even_when_its_message_is_done() {
    let place = Place::new(Order::Fifo).await;
    place.send(grouped("a", "a1")).await;
    next(&place.queue).await.acknowledge().await.unwrap();
    place.send(grouped("a", "a1")).await;
    place.send(grouped("a", "a2")).await;
    assert_eq!(next(&place.queue).await.body, "a2");
}

#[tokio::test]
async fn a_delayed_message_waits() {
    let place = Place::new(Order::Standard).await;
    let sent = Instant::now();
    place.send(Message { delay: Duration::from_secs(2), ..loose("late") }).await;
    nothing(&place.queue).await;
    assert_eq!(next(&place.queue).await.body, "late");
    assert!(sent.elapsed() >= Duration::from_millis(1900), "{:?}", sent.elapsed());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_nothing_shows_what_a_message_says() {
    let place = Place::new(Order::Standard).await;
    let large = loose(&"x".repeat(LARGEST_BODY + 1));
    assert!(matches!(place.queue.send(&large).await, Err(QueueError::TooLarge)));
    place.send(loose("what nobody sees")).await;
    let delivery = next(&place.queue).await;
    assert!(!format!("{delivery:?} {:?} {:?}", place.queue, loose("what nobody sees")).contains("nobody sees"));
}

#[tokio::test]
async fn many_workers_at_once_never_get_the_same_message() {
    let place = Place::new(Order::Fifo).await;
    for number in 0..40 {
        place.send(grouped(&format!("g{}", number % 8), &number.to_string())).await;
    }
    let takers = (0..6).map(|_| async {
        let mut taken = Vec::new();
        for _ in 0..40 {
            for delivery in place.queue.receive(3).await.unwrap() {
                taken.push(delivery.body.clone());
                delivery.acknowledge().await.unwrap();
            }
        }
        taken
    });
    let mut taken: Vec<String> = futures::future::join_all(takers).await.into_iter().flatten().collect();
    while let Some(delivery) = place.queue.receive(1).await.unwrap().pop() {
        delivery.acknowledge().await.unwrap();
        taken.push(delivery.body);
    }
    taken.sort_by_key(|body| body.parse::<u32>().unwrap());
    assert_eq!(taken, (0..40).map(|number: u32| number.to_string()).collect::<Vec<_>>());
}

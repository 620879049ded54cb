//! Batches of SQS's messages, with a queue that the tests play.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use lambda_http::{Context, LambdaEvent};
use serde_json::from_value;
use tokio::time::Instant;

use super::super::consumer::consume;
use super::*;
use crate::app::App;
use crate::aws::Client;
use crate::config::Config;
use crate::queue::{Queue, Received, SqsQueue, Worked};
use crate::store::Store;

/// Whether the task has ended that [`work`] began.
static ENDED: AtomicBool = AtomicBool::new(false);

/// What a queue was asked: the operation, the receipt and the time.
type Asked = Arc<Mutex<Vec<(String, String, u64)>>>;

/// A queue whose service answers with this status.
fn queue(status: u16) -> (Queue, Asked) {
    let asked = Asked::default();
    let heard = asked.clone();
    let service = move |operation: &str, body: Bytes, _: u32| {
        let request: Value = serde_json::from_slice(&body).unwrap();
        let (receipt, time) =
            (request["ReceiptHandle"].as_str().unwrap(), request["VisibilityTimeout"].as_u64().unwrap());
        heard.lock().unwrap().push((operation.to_owned(), receipt.to_owned(), time));
        async move { Ok((status, Bytes::from_static(b"{}"))) }.boxed()
    };
    (Queue::Sqs(SqsQueue::new(Client::in_process(Arc::new(service)), "https://queue".to_owned())), asked)
}

/// Does what a message says.
fn work(app: &App, received: Received) -> BoxFuture<'_, Worked> {
    async move {
        match received.body.as_str() {
            "fail" => Worked::Again(Duration::from_secs(7)),
            "panic" => panic!("as it was told"),
            "a minute" => {
                let left = received.deadline.unwrap() - Instant::now();
                assert!((50..=60).contains(&left.as_secs()), "{left:?}");
                Worked::Done
            }
            "third time" => {
                assert_eq!(received.receives, 3);
                Worked::Done
            }
            "a task" => {
                app.tasks().spawn(async {
                    tokio::task::yield_now().await;
                    ENDED.store(true, Relaxed);
                });
                Worked::Done
            }
            _ => Worked::Done,
        }
    }
    .boxed()
}

/// What Lambda is answered to these messages.
async fn answer(queue: &Queue, batch: Value) -> Value {
    let clock = Clock::manual(Timestamp::from_millisecond(BEGIN).unwrap());
    let nothing = Client::in_process(Arc::new(|_: &str, _, _| async { Ok((500, Bytes::new())) }.boxed()));
    let config = Config::read(std::iter::empty::<(String, String)>()).unwrap();
    let app = App::over(config, clock, Store::new(nothing, "table")).unwrap();
    let mut context = Context::default();
    context.deadline = u64::try_from(BEGIN).unwrap() + 60_000;
    let event = LambdaEvent::new(from_value(batch).unwrap(), context);
    serde_json::to_value(consume(&app, queue, work, event).await).unwrap()
}

fn record(body: &str) -> Value {
    json!({
        "messageId": format!("id of {body}"), "receiptHandle": format!("receipt of {body}"), "body": body,
        "attributes": { "ApproximateReceiveCount": "3" }, "eventSource": "aws:sqs",
    })
}

#[tokio::test]
async fn what_failed_and_what_panicked_is_named_and_hidden_and_the_rest_is_done() {
    let (queue, asked) = queue(200);
    let bodies = ["well", "fail", "a minute", "panic", "third time", "a task"];
    let answer = answer(&queue, json!({ "Records": bodies.map(record) })).await;
    let failures = [json!({ "itemIdentifier": "id of fail" }), json!({ "itemIdentifier": "id of panic" })];
    assert_eq!(answer, json!({ "batchItemFailures": failures }));
    let hide = |body: &str, time| ("AmazonSQS.ChangeMessageVisibility".to_owned(), format!("receipt of {body}"), time);
    assert_eq!(*asked.lock().unwrap(), [hide("fail", 7), hide("panic", 30)]);
    assert!(ENDED.load(Relaxed), "what the work began has ended");
}

#[tokio::test]
async fn a_message_that_cannot_be_hidden_comes_again_all_the_same() {
    let (queue, asked) = queue(500);
    let answer = answer(&queue, json!({ "Records": [record("fail")] })).await;
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "id of fail" }] }));
    assert!(!asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_events_of_queues_are_read_and_a_batch_without_failures_names_none() {
    for file in [
        include_str!("../../../../events/channel-worker.json"),
        include_str!("../../../../events/webhook-delivery.json"),
    ] {
        let (queue, asked) = queue(200);
        let answer = answer(&queue, serde_json::from_str(file).unwrap()).await;
        assert_eq!(answer.to_string(), r#"{"batchItemFailures":[]}"#);
        assert!(asked.lock().unwrap().is_empty());
    }
}

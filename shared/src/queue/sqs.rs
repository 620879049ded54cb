//! A queue of SQS, by its JSON protocol. A queue whose name ends in `.fifo` is one that knows groups.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/>

use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Delivery, LONGEST_DELAY, Message, Queue, QueueError, Seen};
use crate::aws::Client;

/// The most messages that are handed out at once.
const BATCH: usize = 10;
/// How long is waited for a first message: without it, SQS asks only some of the servers that may have one.
const WAIT: Duration = Duration::from_secs(1);
/// The longest that a message is hidden at once. SQS takes twelve hours from its receipt on, of which work may take one.
const LONGEST_HIDE: Duration = Duration::from_secs(11 * 60 * 60);
/// What SQS answers to a receipt that is no longer its message's last, by the name of the older protocol too.
const TOO_LATE: [&str; 4] =
    ["InvalidParameterValue", "InvalidParameterValueException", "MessageNotInflight", "ReceiptHandleIsInvalid"];

/// A queue of SQS. Clones share its client.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage<'a> {
    queue_url: &'a str,
    message_body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_deduplication_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_seconds: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReceiveMessage<'a> {
    queue_url: &'a str,
    max_number_of_messages: usize,
    wait_time_seconds: u64,
    message_system_attribute_names: [&'a str; 3],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReceiveMessageResult {
    #[serde(default)]
    messages: Option<Vec<SqsMessage>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SqsMessage {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: SqsAttributes,
}

/// What SQS tells of a message beside its body.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SqsAttributes {
    approximate_receive_count: Option<String>,
    message_group_id: Option<String>,
    sent_timestamp: Option<String>,
}

impl SqsAttributes {
    /// How often the message was handed out, this time included.
    pub(crate) fn receives(&self) -> u32 {
        self.approximate_receive_count.as_ref().and_then(|count| count.parse().ok()).unwrap_or(1)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Handle<'a> {
    queue_url: &'a str,
    receipt_handle: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    visibility_timeout: Option<u64>,
}

#[derive(Deserialize)]
struct Anything {}

impl SqsQueue {
    /// The queue at this URL.
    #[must_use]
    pub const fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    pub(super) async fn send(&self, message: &Message) -> Result<(), QueueError> {
        let request = SendMessage {
            queue_url: &self.url,
            message_body: &message.body,
            message_group_id: message.group.as_deref(),
            message_deduplication_id: message.deduplication.as_deref(),
            delay_seconds: message.group.is_none().then(|| seconds(message.delay.min(LONGEST_DELAY))),
        };
        self.call::<Anything>("SendMessage", &request).await.map(drop)
    }

    pub(super) async fn receive(&self, most: usize) -> Result<Vec<Delivery>, QueueError> {
        let request = ReceiveMessage {
            queue_url: &self.url,
            max_number_of_messages: most.clamp(1, BATCH),
            wait_time_seconds: WAIT.as_secs(),
            message_system_attribute_names: ["ApproximateReceiveCount", "MessageGroupId", "SentTimestamp"],
        };
        let result: ReceiveMessageResult = self.call("ReceiveMessage", &request).await?;
        let messages = result.messages.unwrap_or_default().into_iter();
        Ok(messages
            .map(|message| Delivery {
                receives: message.attributes.receives(),
                sent_at: message.attributes.sent_timestamp.and_then(|at| at.parse().ok()).unwrap_or_default(),
                group: message.attributes.message_group_id,
                body: message.body,
                queue: Queue::Sqs(self.clone()),
                id: message.message_id,
                receipt: message.receipt_handle,
            })
            .collect())
    }

    pub(super) async fn look(&self, most: usize) -> Result<Vec<Seen>, QueueError> {
        let mut taken: Vec<Delivery> = Vec::new();
        let outcome = loop {
            if taken.len() >= most {
                break Ok(());
            }
            match self.receive(most - taken.len()).await {
                Ok(more) if more.is_empty() => break Ok(()),
                Ok(more) => taken.extend(more),
                Err(error) => break Err(error),
            }
        };
        for delivery in &taken {
            self.hide(&delivery.receipt, Duration::ZERO).await?;
        }
        outcome.map(|()| {
            let seen = |delivery: Delivery| Seen {
                bytes: delivery.body.len(),
                id: delivery.id,
                group: delivery.group,
                receives: delivery.receives,
                sent_at: delivery.sent_at,
            };
            taken.into_iter().map(seen).collect()
        })
    }

    pub(super) async fn delete(&self, receipt: &str) -> Result<(), QueueError> {
        let request = Handle { queue_url: &self.url, receipt_handle: receipt, visibility_timeout: None };
        self.tell("DeleteMessage", &request).await
    }

    pub(super) async fn hide(&self, receipt: &str, time: Duration) -> Result<(), QueueError> {
        let visibility_timeout = Some(seconds(time.min(LONGEST_HIDE)));
        let request = Handle { queue_url: &self.url, receipt_handle: receipt, visibility_timeout };
        self.tell("ChangeMessageVisibility", &request).await
    }

    /// Nothing happens where the message is done, or was handed out to another meanwhile.
    async fn tell(&self, operation: &str, request: &Handle<'_>) -> Result<(), QueueError> {
        match self.call::<Anything>(operation, request).await {
            Err(QueueError::Sqs(error)) if error.code().is_some_and(|code| TOO_LATE.contains(&code)) => Ok(()),
            told => told.map(drop),
        }
    }

    async fn call<T: DeserializeOwned>(&self, operation: &str, request: &impl Serialize) -> Result<T, QueueError> {
        let answer = self.client.call(&format!("AmazonSQS.{operation}"), serde_json::to_vec(request)?).await?;
        // Operations without a result answer with nothing, or with an empty object.
        Ok(serde_json::from_slice(if answer.is_empty() { b"{}" } else { &answer })?)
    }
}

/// Whole seconds, up: what comes before its time is sent again, and again.
const fn seconds(time: Duration) -> u64 {
    time.as_secs() + if time.subsec_nanos() > 0 { 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::FutureExt;
    use serde_json::Value;

    use super::*;

    /// A queue, and what SQS is asked.
    fn queue() -> (Queue, Arc<Mutex<Vec<Value>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let client = Client::in_process(Arc::new(move |_: &str, body: bytes::Bytes, _| {
            heard.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            async { Ok((200, bytes::Bytes::from_static(b"{}"))) }.boxed()
        }));
        (Queue::Sqs(SqsQueue::new(client, "https://queue".to_owned())), asked)
    }

    #[tokio::test]
    async fn waits_are_whole_seconds_and_never_shorter_than_they_are_meant() {
        let (queue, asked) = queue();
        let waits = [0, 1, 900, 1_000, 4_900, 899_001, 900_001, 43_200_000].map(Duration::from_millis);
        for wait in waits {
            queue.send(&Message { delay: wait, ..Message::default() }).await.unwrap();
            queue.hide("id", "receipt", wait).await.unwrap();
        }
        let told = |name: &str| -> Vec<u64> {
            asked.lock().unwrap().iter().filter_map(|request| request[name].as_u64()).collect()
        };
        assert_eq!(told("DelaySeconds"), [0, 1, 1, 1, 5, 900, 900, 900]);
        assert_eq!(told("VisibilityTimeout"), [0, 1, 1, 1, 5, 900, 901, 39_600]);
    }
}

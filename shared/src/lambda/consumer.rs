//! Functions that a queue calls: a batch of SQS's messages in, the names of those that failed out.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use lambda_http::LambdaEvent;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::answer::forget;
use super::runtime::time_left;
use crate::app::App;
use crate::queue::{Consumer, Queue, Received, SqsAttributes, Worked};
use crate::telemetry;

/// How long a message waits whose work panicked.
const AFTER_PANIC: Duration = Duration::from_secs(30);

/// A batch of messages. <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event>
#[derive(Deserialize)]
pub(super) struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: SqsAttributes,
}

/// The messages that are to come again.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failures {
    batch_item_failures: Vec<Failure>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}

/// Works on all messages of a batch at once. A batch of a FIFO queue holds one: nothing would keep others in order.
pub(super) async fn consume(app: &App, queue: &Queue, work: Consumer, event: LambdaEvent<Batch>) -> Failures {
    let deadline = i64::try_from(event.context.deadline).ok();
    let left = deadline.and_then(|deadline| time_left(deadline, app.clock().now_ms()));
    let deadline = left.map(|left| Instant::now() + left);
    let worked = event.payload.records.into_iter().map(async |record| {
        let received = Received { receives: record.attributes.receives(), body: record.body, deadline };
        let worked = AssertUnwindSafe(work(app, received)).catch_unwind().await.unwrap_or_else(|panic| {
            forget(panic);
            Worked::Again(AFTER_PANIC)
        });
        let Worked::Again(wait) = worked else { return None };
        if let Err(error) = queue.hide(&record.message_id, &record.receipt_handle, wait).await {
            let error = telemetry::chain(&error);
            tracing::warn!(error, "a message comes again when its visibility timeout has passed");
        }
        Some(Failure { item_identifier: record.message_id })
    });
    let failed = join_all(worked).await;
    app.tasks().close();
    app.tasks().wait().await;
    app.tasks().reopen();
    Failures { batch_item_failures: failed.into_iter().flatten().collect() }
}

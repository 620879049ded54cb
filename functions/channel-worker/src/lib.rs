//! Answers what people write on Slack, Telegram and WhatsApp: the consumer of the channels' queue.

use futures::FutureExt;
use futures::future::BoxFuture;
use shared::app::App;
use shared::channel;
use shared::queue::{Received, Worked};

/// Works on one message.
pub fn consume(app: &App, received: Received) -> BoxFuture<'_, Worked> {
    channel::work(app, received).boxed()
}

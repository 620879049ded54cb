//! Telegram, Slack, the Graph API and a receiver of events on one port. They take everything, at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::Outcome;
use crate::wire::{Peer, Server, Wire, message};

const BOT: &str =
    r#"{"ok":true,"result":{"id":110201543,"is_bot":true,"first_name":"Shop","username":"orrery_test_bot"}}"#;
const POSTED: &str = r#"{"ok":true,"result":{"message_id":7,"date":1,"chat":{"id":5,"type":"private"}}}"#;
const DONE: &str = r#"{"ok":true,"result":true}"#;
const SLACK: &str = r#"{"ok":true,"ts":"1774449999.000001","channel":"C0123ABCD","messages":[],"has_more":false}"#;
const GRAPH: &str = r#"{"success":true,"messages":[{"id":"wamid.answer"}]}"#;

/// Their port.
pub(crate) struct Platforms {
    pub(crate) server: Server,
    inside: Arc<Inside>,
}

#[derive(Default)]
struct Inside {
    /// The secret of the bot's webhook.
    secret: Mutex<String>,
    told: AtomicU64,
}

impl Platforms {
    pub(crate) async fn start() -> Outcome<Self> {
        let inside = Arc::<Inside>::default();
        Ok(Self { server: Server::start(Arc::clone(&inside)).await?, inside })
    }

    /// The variables that lead to them.
    pub(crate) fn environment(&self) -> [(&'static str, String); 3] {
        let url = self.url();
        [
            ("TELEGRAM_BASE_URL", url.clone()),
            ("SLACK_BASE_URL", format!("{url}/slack")),
            ("GRAPH_BASE_URL", format!("{url}/graph")),
        ]
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// What Telegram was told to show with each update.
    pub(crate) fn secret(&self) -> String {
        self.inside.secret.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many posts Telegram and events the receiver were told since this was last asked.
    pub(crate) fn take_told(&self) -> u64 {
        self.inside.told.swap(0, Ordering::Relaxed)
    }
}

impl Peer for Inside {
    async fn talk(self: Arc<Self>, mut wire: Wire) -> Outcome<()> {
        while let Some(head) = wire.head().await? {
            let body = wire.body(head.rest()).await?;
            let path = head.line().split(' ').nth(1).unwrap_or_default();
            let answer = match path.split('/').next_back().unwrap_or_default() {
                _ if path.starts_with("/slack") => SLACK,
                _ if path.starts_with("/graph") => GRAPH,
                "getMe" => BOT,
                "sendMessage" => {
                    self.told.fetch_add(1, Ordering::Relaxed);
                    POSTED
                }
                "setWebhook" => {
                    let asked: Value = serde_json::from_slice(&body)?;
                    let secret = asked["secret_token"].as_str().unwrap_or_default();
                    secret.clone_into(&mut self.secret.lock().unwrap_or_else(PoisonError::into_inner));
                    DONE
                }
                "receiver" => {
                    self.told.fetch_add(1, Ordering::Relaxed);
                    DONE
                }
                _ => DONE,
            };
            let headers = "Content-Type: application/json\r\n";
            wire.send(&message("HTTP/1.1 200 OK", headers, answer.as_bytes())).await?;
        }
        Ok(())
    }
}

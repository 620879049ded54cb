//! What people send on Slack, Telegram and WhatsApp, signed as the platforms sign it, and what it comes on.

use std::ops::Range;

use secrecy::SecretString;
use serde_json::{Map, Value, json};
use shared::auth::sign;
use shared::channel::slack::signature::signature;
use shared::channel::telegram::{self, BotToken, WebhookSecret};
use shared::channel::whatsapp::{self, AccessToken, Credentials, VerifyToken};
use shared::channel::{Incoming, Platform, Request};
use shared::clock::Clock;
use shared::id::AgentId;
use shared::store::ConnectionItem;
use testkit::Bench;

use crate::Outcome;

/// The functions that platforms call.
pub(crate) const DOORS: [&str; 3] = ["slack-events", "telegram-webhook", "whatsapp-webhook"];
/// The secrets of the deployment's apps.
pub(crate) const APPS: [(&str, &str); 4] = [
    ("SLACK_CLIENT_ID", "11111.22222"),
    ("SLACK_CLIENT_SECRET", "client"),
    ("SLACK_SIGNING_SECRET", SIGNING_SECRET),
    ("WHATSAPP_APP_SECRET", APP_SECRET),
];
/// A bot's token.
pub(crate) const BOT_TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
const SIGNING_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const APP_SECRET: &str = "0123456789abcdef0123456789abcdef";
const BOT: &str = "110201543";
const TEAM: &str = "T0123ABCD";
const PHONE: &str = "106540352242922";
/// How many people send at once, where one notification holds many messages.
const PEOPLE: u64 = 100;

/// Those who send.
pub(crate) struct People {
    clock: Clock,
    /// What the bot's webhook shows.
    secret: WebhookSecret,
}

/// A request at a platform's door.
pub(crate) struct Knock {
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl People {
    /// Connects a team, a bot and a number to an agent.
    pub(crate) async fn connect(bench: &Bench, agent: &AgentId) -> Outcome<Self> {
        let (store, sealer) = (bench.app.store(), bench.app.sealer().await?);
        let owner = (&bench.tenant, agent);
        let secret = WebhookSecret::generate(BOT).ok_or("no randomness")?;
        let bot = serde_json::from_value(json!({ "id": 110_201_543, "username": "bot", "first_name": "Shop" }))?;
        let token = BotToken::parse(BOT_TOKEN).ok_or("no bot's token")?;
        let bot = telegram::connection(&sealer, owner, (&bot, &token), &secret, 1)?;
        let phone = serde_json::from_value(json!({ "id": PHONE }))?;
        let token = AccessToken::parse("EAAG0000000000000000").ok_or("no access token")?;
        let credentials = Credentials { token, app_secret: None };
        let verify = VerifyToken::generate(PHONE).ok_or("no randomness")?;
        let number = whatsapp::connection(&sealer, owner, (&phone, None), &credentials, &verify, 1)?;
        let credentials: SecretString =
            json!({ "bot_token": "xoxb-1", "bot_user": "U0BOT", "bot_id": "B0BOT" }).to_string().into();
        let purpose = ConnectionItem::purpose(Platform::Slack, TEAM);
        let team = ConnectionItem {
            platform: Platform::Slack,
            external: TEAM.to_owned(),
            sealed: sealer.seal(&bench.tenant, &purpose, &credentials)?,
            about: Map::from_iter([("botUserId".to_owned(), "U0BOT".into()), ("botId".to_owned(), "B0BOT".into())]),
            ..bot.clone()
        };
        for connection in [bot, number, team] {
            store.put_connection(&connection).await?;
        }
        Ok(Self { clock: Clock::system(), secret })
    }

    /// Messages at a door, each of these numbers; only WhatsApp tells of more than one at once.
    pub(crate) fn knock(&self, door: &str, numbers: Range<u64>) -> Knock {
        match door {
            "slack-events" => self.slack(numbers.start),
            "telegram-webhook" => telegram_update(self.secret.reveal(), numbers.start),
            _ => whatsapp_notification(numbers),
        }
    }

    fn slack(&self, number: u64) -> Knock {
        let ts = format!("1774448999.{number:06}");
        let body = json!({
            "type": "event_callback", "team_id": TEAM, "api_app_id": "A0123ABCD", "event_id": format!("Ev{number}"),
            "event_time": 1_774_449_000,
            "event": {
                "type": "app_mention", "user": "U0ADA", "channel": "C0123ABCD", "ts": ts, "event_ts": ts,
                "text": format!("<@U0BOT> Where is order {number}?"),
            },
        })
        .to_string();
        let time = (self.clock.now_ms() / 1000).to_string();
        let signature = signature(&SIGNING_SECRET.into(), &time, body.as_bytes());
        Knock { headers: vec![("X-Slack-Request-Timestamp", time), ("X-Slack-Signature", signature)], body }
    }
}

/// An update of a person of their own, which shows this secret.
pub(crate) fn telegram_update(secret: &str, number: u64) -> Knock {
    let (person, chat) = (
        json!({ "id": number, "is_bot": false, "first_name": "Ada" }),
        json!({ "id": number, "type": "private", "first_name": "Ada" }),
    );
    let text = format!("Where is order {number}?");
    let message = json!({ "message_id": number, "from": person, "chat": chat, "date": 1_774_449_000, "text": text });
    let body = json!({ "update_id": number, "message": message }).to_string();
    Knock { headers: vec![("X-Telegram-Bot-Api-Secret-Token", secret.to_owned())], body }
}

fn whatsapp_notification(numbers: Range<u64>) -> Knock {
    let most = numbers.end - numbers.start;
    let message = |number: u64| {
        let from = if most > 1 { number % PEOPLE } else { number };
        json!({
            "id": format!("wamid.{number}"), "from": format!("1650{from:07}"), "timestamp": "1774449000", "type": "text",
            "text": { "body": format!("Where is order {number}?") },
        })
    };
    let value = json!({
        "messaging_product": "whatsapp", "metadata": { "display_phone_number": "15550783881", "phone_number_id": PHONE },
        "messages": numbers.map(message).collect::<Vec<Value>>(),
    });
    let entry = json!({ "id": "102290129340398", "changes": [{ "field": "messages", "value": value }] });
    let body = json!({ "object": "whatsapp_business_account", "entry": [entry] }).to_string();
    let signature = format!("sha256={}", sign(&APP_SECRET.into(), body.as_bytes()));
    Knock { headers: vec![("X-Hub-Signature-256", signature)], body }
}

/// What waits in the queue of a person's message to the bot.
pub(crate) fn queued(number: u64) -> Outcome<String> {
    let incoming = Incoming {
        platform: Platform::Telegram,
        connection: BOT.to_owned(),
        event: number.to_string(),
        conversation: format!("{number}:0"),
        request: Request::Answer { text: format!("Where is order {number}?") },
        place: json!({ "chat": number, "message": number }),
        received_at: 1_774_449_000_000,
    };
    Ok(incoming.to_message()?.body)
}

//! Telegram: each bot's token, and what Telegram tells of its webhook.

use shared::channel::telegram::{self, BotApi, TelegramError, WebhookInfo};
use shared::telemetry;

use super::report::{About, Report};
use super::{Connection, Deployment, host};
use crate::when;

const DOOR: &str = "/api/telegram/webhook";
const CONNECT: &str = "connect the bot again with /api/telegram/setup";

pub(super) async fn check(deployment: &Deployment, bots: &[&Connection], report: &mut Report) {
    for bot in bots {
        let name = bot.item.about.get("username").and_then(|name| name.as_str()).unwrap_or_default();
        let mut about = report.about(format!("telegram {} @{name}", bot.item.external)).for_agent(&bot.agent);
        let Some(credentials) = deployment.open(&bot.item, &mut about) else { continue };
        match telegram::open(&deployment.app, &credentials) {
            Ok(api) => ask(deployment, &api, &mut about).await,
            Err(error) => about.wrong("token", error.to_string(), CONNECT),
        }
    }
}

async fn ask(deployment: &Deployment, api: &BotApi, about: &mut About<'_>) {
    match api.me().await {
        Ok(bot) => about.well("token", format!("the token is @{}'s", bot.username)),
        Err(TelegramError::Refused { code: 401 | 404, .. }) => {
            return about.wrong(
                "token",
                "Telegram does not know the token any more",
                format!("{CONNECT} and a new one"),
            );
        }
        Err(error) => return unanswered("token", &error, about),
    }
    match api.webhook_info().await {
        Ok(info) => webhook(deployment, &info, about),
        Err(error) => unanswered("webhook", &error, about),
    }
}

fn unanswered(check: &'static str, error: &TelegramError, about: &mut About<'_>) {
    about.wrong(check, telemetry::chain(error), "see that Telegram is reached, and try again");
}

fn webhook(deployment: &Deployment, info: &WebhookInfo, about: &mut About<'_>) {
    let should_be = deployment.should_be(DOOR);
    if info.url.is_empty() {
        return about.wrong("webhook", "Telegram sends its messages nowhere", CONNECT);
    }
    if !deployment.is_ours(&info.url, DOOR) {
        // Where it leads may be another program's, with a secret in its path.
        let message = format!("Telegram sends its messages to {}, not to {should_be}", host(&info.url));
        return about.wrong("webhook", message, CONNECT);
    }
    about.well("webhook", format!("Telegram sends its messages to {}", host(&info.url)));
    let waiting = match info.pending_update_count {
        0 => return about.well("deliveries", "no message waits"),
        1 => "1 message waits".to_owned(),
        count => format!("{count} messages wait"),
    };
    let Some(words) = &info.last_error_message else {
        return about.well("deliveries", format!("{waiting}, and none has failed"));
    };
    let at = info.last_error_date.map(|at| format!(" at {}", when::shown(at.saturating_mul(1000)))).unwrap_or_default();
    let words: String = words.chars().take(200).collect();
    let remedy = if words.contains("401") {
        "the webhook's secret is not ours: connect the bot again with /api/telegram/setup"
    } else {
        "see that Telegram reaches the address, and that its certificate holds"
    };
    about.wrong("deliveries", format!("{waiting}: Telegram was told {words:?}{at}"), remedy);
}

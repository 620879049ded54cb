//! WhatsApp: each number's token, account and address, and its door.

use secrecy::SecretString;
use shared::auth::sign;
use shared::channel::whatsapp::{self, About as Number, Credentials, GraphApi, GraphError, SignedBy};
use shared::telemetry;

use super::door::{self, Knock};
use super::report::{About, Report};
use super::{Connection, Deployment, host};

const DOOR: &str = "/api/whatsapp/webhook";
const CONNECT: &str = "connect the number again with /api/whatsapp/setup";
const APP_SECRET: &str = "WHATSAPP_APP_SECRET";
/// A notification of nothing.
const NOTHING: &str = r#"{"object":"whatsapp_business_account","entry":[]}"#;

pub(super) async fn check(deployment: &Deployment, numbers: &[&Connection], report: &mut Report) {
    let is_ours =
        |number: &Connection| Number::of(&number.item).is_ok_and(|about| about.signed_by == SignedBy::Deployment);
    let is_needed = numbers.is_empty() || numbers.iter().any(|number| is_ours(number));
    let deployments =
        if is_needed { deployment.setting(APP_SECRET, &mut report.about("whatsapp")).await } else { None };
    for connection in numbers {
        let id = &connection.item.external;
        let number = match Number::of(&connection.item) {
            Ok(number) => number,
            Err(error) => {
                let mut about = report.about(format!("whatsapp {id}")).for_agent(&connection.agent);
                about.wrong("connection", error.to_string(), CONNECT);
                continue;
            }
        };
        let mut about = report.about(format!("whatsapp {id} {}", number.number)).for_agent(&connection.agent);
        let Some(opened) = deployment.open(&connection.item, &mut about) else { continue };
        match (whatsapp::open(&deployment.app, id, &opened), Credentials::read(&opened)) {
            (Ok(api), Ok(credentials)) => {
                ask(deployment, &api, &number, &mut about).await;
                let secret = match number.signed_by {
                    SignedBy::OwnApp => credentials.app_secret,
                    SignedBy::Deployment => deployments.clone(),
                };
                notify(deployment, id, secret.as_ref(), &mut about).await;
            }
            (Err(error), _) | (_, Err(error)) => about.wrong("token", error.to_string(), CONNECT),
        }
    }
}

async fn ask(deployment: &Deployment, api: &GraphApi, number: &Number, about: &mut About<'_>) {
    match api.phone_number().await {
        Ok(found) => about.well("token", format!("the token opens {}", found.display_phone_number)),
        Err(error) => return refused("token", &error, about),
    }
    match &number.account {
        None => about.skipped("account", "the business account is not known: the number was connected without it"),
        Some(account) => match api.subscribed(account).await {
            Ok(0) => about.wrong("account", "no app gets what comes to the business account", CONNECT),
            Ok(_) => about.well("account", "an app gets what comes to the business account"),
            Err(error) => refused("account", &error, about),
        },
    }
    match api.callback().await {
        Ok(None) => about.wrong("webhook", "Meta sends its messages nowhere", CONNECT),
        Ok(Some(url)) if deployment.is_ours(&url, DOOR) => {
            about.well("webhook", format!("Meta sends its messages to {}", host(&url)));
        }
        Ok(Some(url)) => {
            let should_be = deployment.should_be(DOOR);
            about.wrong("webhook", format!("Meta sends its messages to {}, not to {should_be}", host(&url)), CONNECT);
        }
        Err(error) => refused("webhook", &error, about),
    }
}

fn refused(check: &'static str, error: &GraphError, about: &mut About<'_>) {
    let (message, remedy) = match error {
        GraphError::Refused { code: 190, .. } => {
            ("the access token does not hold any more".to_owned(), format!("{CONNECT} and a new one"))
        }
        GraphError::Refused { .. } => (
            error.to_string(),
            "give the token's user the business account, with both permissions of WhatsApp".to_owned(),
        ),
        _ => (telemetry::chain(error), "see that the Graph API is reached, and try again".to_owned()),
    };
    about.wrong(check, message, remedy);
}

/// Sends the door a notification of nothing, signed as Meta signs. (Of the verify token only the hash is kept.)
async fn notify(deployment: &Deployment, id: &str, secret: Option<&SecretString>, about: &mut About<'_>) {
    let Some(secret) = secret else {
        return about.skipped("door", "the door was not tried: there is no app secret");
    };
    let headers = [("x-hub-signature-256", format!("sha256={}", sign(secret, NOTHING.as_bytes())))];
    let path = format!("{DOOR}?connection={id}");
    let knock = Knock { path: &path, headers: &headers, body: NOTHING.to_owned(), setting: APP_SECRET };
    door::knock(deployment, knock, |answer| answer == "EVENT_RECEIVED", about).await;
}

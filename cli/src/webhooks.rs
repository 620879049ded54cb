//! `orrery webhook`: inbound webhooks, whose senders sign what they send. The secret is sealed in the table.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::auth::KeyringError;
use shared::id::{AgentId, WebhookId};
use shared::store::{AgentItem, MOST_WEBHOOKS, Webhook};
use shared::webhook::sign;

use crate::agents;
use crate::args::{WebhookCommand, WebhookCreateArguments, WebhookDeleteArguments, WebhookListArguments};
use crate::error::CommandError;
use crate::output::{self, Output};
use crate::place::Place;
use crate::when;

/// The longest name of a webhook, in characters.
const LONGEST_NAME: usize = 100;

/// A webhook as it is told.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    agent: &'a AgentId,
    created_at: String,
    signed: bool,
    /// Told once, where it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn new(agent: &'a AgentItem, id: &'a str, webhook: &'a Webhook) -> Self {
        let created_at = when::shown(webhook.created_at);
        let signed = webhook.sealed_secret.is_some();
        Self { id, name: &webhook.name, agent: &agent.id, created_at, signed, secret: None }
    }
}

pub(crate) async fn run(command: WebhookCommand) -> Result<(), CommandError> {
    match command {
        WebhookCommand::Create(arguments) => create(&arguments).await,
        WebhookCommand::List(arguments) => list(&arguments).await,
        WebhookCommand::Delete(arguments) => delete(&arguments).await,
    }
}

async fn create(arguments: &WebhookCreateArguments) -> Result<(), CommandError> {
    check(arguments)?;
    let place = Place::open(&arguments.table).await?;
    let agent = agents::find(&place, &arguments.agent).await?;
    if agent.webhooks.len() >= MOST_WEBHOOKS {
        return Err(CommandError::Usage(format!(
            "{} has {MOST_WEBHOOKS} webhooks, the most that it may have",
            agent.name
        )));
    }
    let made = match arguments.secret {
        Some(_) => None,
        None => Some(sign::generate().ok_or(KeyringError::NoRandomness)?),
    };
    let made = made.as_ref().map(ExposeSecret::expose_secret);
    let secret = arguments.secret.as_deref().or(made).unwrap_or_default();
    let id = WebhookId::generate();
    let sealer = place.sealer().await?;
    let mut webhook = Webhook::sender(arguments.name.clone(), None, place.clock.now_ms());
    let sealed = sealer.seal(&place.tenant, &webhook.purpose(id.as_str()), &SecretString::from(secret))?;
    webhook.sealed_secret = Some(sealed);
    if !place.store.put_webhook(&place.tenant, &agent.id, &id, &webhook).await? {
        return Err(CommandError::NoAgent { named: agent.name, known: Vec::new() });
    }
    match Output::from(arguments.output) {
        Output::Json => {
            output::json(&Shown { secret: made, ..Shown::new(&agent, id.as_str(), &webhook) });
        }
        Output::Quiet => output::data(id.as_str()),
        Output::Text => tell_new(&agent, &id, made),
    }
    Ok(())
}

fn check(arguments: &WebhookCreateArguments) -> Result<(), CommandError> {
    if arguments.name.chars().count() > LONGEST_NAME || arguments.name.chars().any(char::is_control) {
        return Err(CommandError::Usage(format!("--name may have at most {LONGEST_NAME} characters, in one line")));
    }
    let Some(secret) = &arguments.secret else { return Ok(()) };
    if !(8..=200).contains(&secret.chars().count()) {
        return Err(CommandError::Usage("--secret has 8 to 200 characters; leave it out to have one made".to_owned()));
    }
    if !sign::is_secret(secret) {
        return Err(CommandError::Usage("what follows whsec_ in --secret is base64 of 24 to 64 bytes".to_owned()));
    }
    Ok(())
}

fn tell_new(agent: &AgentItem, id: &WebhookId, made: Option<&str>) {
    output::data(id.as_str());
    output::note(&format!(
        "Send \"webhookId\": \"{id}\" in the body to /api/webhook/{}, and the body's HMAC-SHA256 in hex as X-Webhook-Signature.",
        agent.id
    ));
    if let Some(secret) = made {
        output::note("The secret is shown this once:");
        output::data(secret);
    }
}

async fn list(arguments: &WebhookListArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let agent = agents::find(&place, &arguments.agent).await?;
    let senders = agent.webhooks.iter().filter(|(_, webhook)| webhook.is_sender());
    let shown: Vec<_> = senders.map(|(id, webhook)| Shown::new(&agent, id, webhook)).collect();
    match Output::from(arguments.output) {
        Output::Json => output::json(&shown),
        Output::Quiet => shown.iter().for_each(|webhook| output::data(webhook.id)),
        Output::Text if shown.is_empty() => output::note(&format!("{} has no inbound webhooks.", agent.name)),
        Output::Text => {
            let row =
                |webhook: &Shown<'_>| [webhook.id.to_owned(), webhook.created_at.clone(), webhook.name.to_owned()];
            output::table(["id", "created", "name"], &shown.iter().map(row).collect::<Vec<_>>());
        }
    }
    Ok(())
}

async fn delete(arguments: &WebhookDeleteArguments) -> Result<(), CommandError> {
    let place = Place::open(&arguments.table).await?;
    let agent = agents::find(&place, &arguments.agent).await?;
    let id = WebhookId::from(arguments.webhook.as_str());
    let Some(webhook) = agent.webhooks.get(id.as_str()).filter(|webhook| webhook.is_sender()) else {
        return Err(CommandError::NoWebhook(arguments.webhook.chars().take(64).collect()));
    };
    place.store.delete_webhook(&place.tenant, &agent.id, &id).await?;
    match Output::from(arguments.output) {
        Output::Json => output::json(&Shown::new(&agent, id.as_str(), webhook)),
        Output::Quiet => output::data(id.as_str()),
        Output::Text => output::note(&format!("Deleted {id}.")),
    }
    Ok(())
}

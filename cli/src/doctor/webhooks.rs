//! Webhooks: receivers that are switched off, cannot be reached or do not take what is sent, and secrets that do not open.

use shared::id::{Home, WebhookId};
use shared::store::{AttemptItem, DeliveryItem, Receiver, Webhook};

use super::report::{About, Report};
use super::{Deployment, host};
use crate::error::CommandError;
use crate::when;

/// How many of the last deliveries are looked at.
const LOOK: i32 = 20;

pub(super) async fn check(deployment: &Deployment, report: &mut Report) -> Result<(), CommandError> {
    let of_agents = deployment.agents.iter().map(|agent| (Home::from(&agent.id), &agent.name, &agent.webhooks));
    let of_apps = deployment.projects.iter().map(|project| (Home::from(&project.id), &project.name, &project.webhooks));
    let mut found = false;
    for (home, name, webhooks) in of_agents.chain(of_apps) {
        for (id, webhook) in webhooks {
            found = true;
            one(deployment, (&home, name), (id, webhook), report).await?;
        }
    }
    if !found {
        report.about("webhooks").skipped("webhooks", "there are none");
    }
    Ok(())
}

async fn one(
    deployment: &Deployment,
    (home, name): (&Home, &str),
    (id, webhook): (&str, &Webhook),
    report: &mut Report,
) -> Result<(), CommandError> {
    let direction = if webhook.is_sender() { "inbound" } else { "outbound" };
    let mut about = report.about(format!("{direction} webhook {id} {}", webhook.name)).for_agent(name);
    if let Some(sealed) = &webhook.sealed_secret
        && deployment.unseal(&webhook.purpose(id), sealed, "give it a new secret", &mut about).is_some()
    {
        about.well("secret", "its secret opens");
    }
    let Some(receiver) = &webhook.receiver else {
        if !webhook.enabled {
            about.skipped("enabled", "it is switched off");
        }
        return Ok(());
    };
    if !is_enabled(webhook, receiver, &mut about) {
        return Ok(());
    }
    match deployment.app.deliveries().map_err(crate::place::PlaceError::App)?.objection(&receiver.url).await {
        Some(objection) => {
            about.wrong(
                "address",
                format!("{} cannot be sent to: {objection}", host(&receiver.url)),
                "change its address",
            );
        }
        None => about.well("address", format!("{} may be sent to", host(&receiver.url))),
    }
    let place = &deployment.place;
    let webhook = (home, &WebhookId::from(id));
    let last = place.store.deliveries(&place.tenant, webhook, None, LOOK, place.clock.now_ms()).await?;
    deliveries(&last, &mut about);
    Ok(())
}

fn is_enabled(webhook: &Webhook, receiver: &Receiver, about: &mut About<'_>) -> bool {
    match &receiver.disabled {
        _ if webhook.enabled => true,
        Some(disabled) => {
            let message = format!(
                "it was switched off at {}: {}",
                when::shown(disabled.at),
                disabled.reason.trim_end_matches('.')
            );
            about.wrong("enabled", message, "mend the receiver, then PATCH it with {\"enabled\": true}");
            false
        }
        None => {
            about.skipped("enabled", "its owner has switched it off");
            false
        }
    }
}

/// Judges by the last attempt of all: what came before it is mended.
fn deliveries(last: &[DeliveryItem], about: &mut About<'_>) {
    let mut attempts: Vec<&AttemptItem> = last.iter().flat_map(|delivery| &delivery.attempts).collect();
    attempts.sort_by_key(|attempt| std::cmp::Reverse(attempt.at));
    let Some(newest) = attempts.first() else {
        return about.skipped("deliveries", "nothing was sent in the last 30 days");
    };
    let at = when::shown(newest.at);
    if is_taken(newest) {
        return about.well("deliveries", format!("the last event was taken at {at}"));
    }
    let failed = attempts.iter().take_while(|attempt| !is_taken(attempt)).count();
    let why = match (&newest.error, newest.status) {
        (Some(error), _) => error.clone(),
        (None, Some(status)) => format!("status {status}"),
        (None, None) => "no answer".to_owned(),
    };
    let which = if failed == 1 { "the last attempt".to_owned() } else { format!("the last {failed} attempts") };
    let message = format!("{which} failed, at {at}: {why}");
    about.wrong("deliveries", message, "mend the receiver, and see what it answered: …/deliveries");
}

fn is_taken(attempt: &AttemptItem) -> bool {
    attempt.error.is_none() && attempt.status.is_some_and(|status| (200..300).contains(&status))
}

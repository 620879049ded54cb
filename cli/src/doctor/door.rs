//! Tries a public door of the deployment, as its platform does.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use shared::telemetry;
use url::Url;

use super::Deployment;
use super::report::About;

/// How long a door may take: platforms wait no longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of an answer, in bytes.
const MOST: usize = 4096;

/// What is said at a door.
pub(super) struct Knock<'a> {
    /// The door's path, its query included.
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'a str, String)],
    pub(super) body: String,
    /// The setting that holds the secret which signs.
    pub(super) setting: &'a str,
}

/// Posts to a door, and tells what came of it: `is_answer` knows what only we answer.
pub(super) async fn knock(
    deployment: &Deployment,
    knock: Knock<'_>,
    is_answer: impl Fn(&str) -> bool,
    about: &mut About<'_>,
) {
    let Some(base) = &deployment.public_url else {
        return about.skipped("door", "the door was not tried: name the deployment's address with --public-url");
    };
    let (path, query) = knock.path.split_once('?').map_or((knock.path, None), |(path, query)| (path, Some(query)));
    let mut url = shared::http::below(base, path);
    url.set_query(query);
    let (status, answer) = match post(deployment, url.clone(), &knock).await {
        Ok(answered) => answered,
        Err(error) => {
            let message = format!("{url} is not reached: {}", telemetry::chain(&error.without_url()));
            return about.wrong("door", message, "is the deployment running, and is this its public address?");
        }
    };
    match status {
        200 if is_answer(&answer) => about.well("door", format!("{url} takes what is signed")),
        401 => {
            let remedy = format!("give it the {} of this app, and see that its clock is right", knock.setting);
            about.wrong("door", format!("{url} refuses our signature"), remedy);
        }
        503 => about.wrong("door", format!("{url} is not configured"), format!("set {} there", knock.setting)),
        _ => {
            let message = format!("{url} answers {status}, and not as Orrery does");
            about.wrong("door", message, "is this the deployment's address, its stage included?");
        }
    }
}

async fn post(deployment: &Deployment, url: Url, knock: &Knock<'_>) -> Result<(u16, String), reqwest::Error> {
    let request = deployment.app.client().post(url).timeout(PATIENCE).header(CONTENT_TYPE, "application/json");
    let request = knock.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let mut response = request.body(knock.body.clone()).send().await?;
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST {
            break;
        }
    }
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

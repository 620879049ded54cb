//! `orrery token`: an ID token of this machine's own issuer.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::args::TokenArguments;
use crate::error::CommandError;
use crate::output::{self, Output};
use crate::place::{MEMORY, Place, PlaceError};
use crate::when;

/// The longest that a token holds.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// A token as it is told.
#[derive(Serialize)]
struct Shown<'a> {
    token: &'a str,
    subject: &'a str,
    expires_at: String,
}

pub(crate) async fn run(arguments: &TokenArguments) -> Result<(), CommandError> {
    if arguments.data == Path::new(MEMORY) {
        return Err(PlaceError::Memory.into());
    }
    let place = Place::machine(&arguments.data).await?;
    let now = place.clock.now();
    let holds = when::from_now(&arguments.expires, now)?;
    if holds > LONGEST {
        return Err(CommandError::Usage("--expires is at most 30d".to_owned()));
    }
    let user = place.user(&arguments.subject, Some(crate::issuer::NAME))?;
    let issuer = place.issuer()?.ok_or(PlaceError::Memory)?;
    let token = issuer.token(&user.subject, now, holds).map_err(PlaceError::from)?;
    let until = when::shown(now.as_millisecond().saturating_add(i64::try_from(holds.as_millis()).unwrap_or(i64::MAX)));
    match Output::from(arguments.output) {
        Output::Json => output::json(&Shown { token: &token, subject: &user.subject, expires_at: until }),
        Output::Quiet => output::data(&token),
        Output::Text => {
            output::note(&format!("An ID token of {}, which holds until {until}:", user.subject));
            output::data(&token);
        }
    }
    Ok(())
}

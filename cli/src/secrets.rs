//! `orrery secret`: a new sealing key in front of the others, and everything in the table sealed anew under it.
//!
//! Whatever runs must open at every moment what stands in the table. On this machine the keys are read from their file
//! whenever they are needed. In the cloud functions keep them for a while: there the new key is made known behind the
//! others first, and seals only when everybody has it. A rotation that breaks off is made whole by another one.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;
use shared::secret::{SEALING_KEYS, Sealer};
use shared::store::SealedText;

use crate::args::{SecretCommand, SecretRotateArguments};
use crate::error::CommandError;
use crate::output::{self, Output};
use crate::place::{KeysPlace, Place};

/// What is waited for beyond the time for which functions keep the keys.
const MARGIN: Duration = Duration::from_secs(10);

/// What a rotation did, or would do.
#[derive(Serialize)]
struct Rotated {
    /// All sealed texts of the table.
    texts: usize,
    /// Those that are sealed anew.
    resealed: usize,
    /// How many keys there are now.
    keys: usize,
    dry_run: bool,
}

pub(crate) async fn run(command: SecretCommand) -> Result<(), CommandError> {
    match command {
        SecretCommand::Rotate(arguments) if arguments.retire => retire(&arguments).await,
        SecretCommand::Rotate(arguments) => rotate(&arguments).await,
    }
}

async fn rotate(arguments: &SecretRotateArguments) -> Result<(), CommandError> {
    let place = Place::at(&arguments.place).await?;
    let keys_place = place.keys_place()?;
    let kept = keys_place.read().await?;
    let old: Vec<&str> = kept.expose_secret().split(',').map(str::trim).collect();
    let sealer = Sealer::new(Some(&kept))?;
    let texts = place.store.sealed_texts().await?;
    under_old_keys(&sealer, &texts)?;
    if arguments.dry_run {
        let words = format!(
            "A new key would be put in front of {} in {}, and {} sealed texts would be sealed under it.",
            old.len(),
            keys_place.name(),
            texts.len()
        );
        return tell(&Rotated { texts: texts.len(), resealed: 0, keys: old.len(), dry_run: true }, &words, arguments);
    }
    let new = Sealer::generate_key()?;
    if let Some(time) = keys_place.memory() {
        keys_place.write(&join(&old, Some(new.expose_secret()))).await?;
        let time = time + MARGIN;
        output::note(&format!("The new key is known. Functions have read it in {} s…", time.as_secs()));
        tokio::time::sleep(time).await;
    }
    let keys = join(&[new.expose_secret()], Some(&old.join(",")));
    keys_place.write(&keys).await?;
    let resealed = reseal(&place, &Sealer::new(Some(&keys))?).await?;
    let words = format!("A new key seals. {resealed} sealed texts were sealed anew; the old keys still open.");
    tell(&Rotated { texts: texts.len(), resealed, keys: old.len() + 1, dry_run: false }, &words, arguments)
}

async fn retire(arguments: &SecretRotateArguments) -> Result<(), CommandError> {
    let place = Place::at(&arguments.place).await?;
    let keys_place = place.keys_place()?;
    let kept = keys_place.read().await?;
    let sealer = Sealer::new(Some(&kept))?;
    let keys = kept.expose_secret().split(',').count();
    if arguments.dry_run {
        let texts = place.store.sealed_texts().await?;
        let old = under_old_keys(&sealer, &texts)?;
        let words = format!("{old} sealed texts would be sealed anew, and {} old keys taken out.", keys - 1);
        return tell(&Rotated { texts: texts.len(), resealed: 0, keys, dry_run: true }, &words, arguments);
    }
    let resealed = reseal(&place, &sealer).await?;
    let texts = place.store.sealed_texts().await?;
    if under_old_keys(&sealer, &texts)? > 0 {
        return Err(CommandError::Overtaken("a sealed text".to_owned()));
    }
    let newest = kept.expose_secret().split(',').next().unwrap_or_default().trim();
    keys_place.write(&newest.to_owned().into()).await?;
    let words = format!("{} old keys are taken out. What they have sealed opens no more.", keys - 1);
    tell(&Rotated { texts: texts.len(), resealed, keys: 1, dry_run: false }, &words, arguments)
}

fn join(first: &[&str], then: Option<&str>) -> SecretString {
    first.iter().copied().chain(then).collect::<Vec<_>>().join(",").into()
}

fn under_old_keys(sealer: &Sealer, texts: &[SealedText]) -> Result<usize, CommandError> {
    let mut old = 0;
    for text in texts {
        old += usize::from(resealed(sealer, text)?.is_some());
    }
    Ok(old)
}

/// A text sealed anew, where it is not sealed under the first key.
fn resealed(sealer: &Sealer, text: &SealedText) -> Result<Option<String>, CommandError> {
    let resealed = sealer.reseal(&text.tenant, &text.purpose, &text.sealed);
    resealed.map_err(|error| CommandError::Sealed(text.purpose.clone(), error))
}

/// Seals anew what is not sealed under the first key; tells how many texts. What another changes meanwhile is left as
/// the other wrote it: it opens under the keys that there are.
async fn reseal(place: &Place, sealer: &Sealer) -> Result<usize, CommandError> {
    let mut count = 0;
    for text in place.store.sealed_texts().await? {
        if let Some(sealed) = resealed(sealer, &text)? {
            count += usize::from(place.store.put_resealed(&text, &sealed).await?);
        }
    }
    Ok(count)
}

fn tell(rotated: &Rotated, words: &str, arguments: &SecretRotateArguments) -> Result<(), CommandError> {
    match Output::from(arguments.output) {
        Output::Json => output::json(rotated),
        Output::Quiet => output::data(&rotated.resealed.to_string()),
        Output::Text => output::note(words),
    }
    Ok(())
}

impl KeysPlace {
    /// The keys as they are kept.
    async fn read(&self) -> Result<SecretString, CommandError> {
        match self {
            Self::File(path) => Ok(std::fs::read_to_string(path).map_err(|error| self.unusable(error))?.trim().into()),
            Self::Manager { secret, .. } => {
                let values = secret.read().await?;
                let keys = values.get(SEALING_KEYS).and_then(Value::as_str);
                Ok(keys.ok_or(shared::secret::SealError::NoKey)?.into())
            }
        }
    }

    /// Puts these in their place, at once or not at all.
    async fn write(&self, keys: &SecretString) -> Result<(), CommandError> {
        match self {
            Self::File(path) => {
                let new = path.with_extension(std::process::id().to_string());
                crate::place::write_private(&new, keys.expose_secret()).map_err(|error| self.unusable(error))?;
                std::fs::rename(&new, path).map_err(|error| self.unusable(error))
            }
            Self::Manager { secret, .. } => {
                let mut values = secret.read().await?;
                values.insert(SEALING_KEYS.to_owned(), keys.expose_secret().into());
                Ok(secret.put(&values).await?)
            }
        }
    }

    /// For how long whatever runs may not know new keys; none where it reads them each time.
    const fn memory(&self) -> Option<Duration> {
        match self {
            Self::File(_) => None,
            Self::Manager { memory, .. } => Some(*memory),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Manager { name, .. } => format!("the secret {name}"),
        }
    }

    fn unusable(&self, error: std::io::Error) -> CommandError {
        CommandError::SealingKeys(self.name(), error)
    }
}

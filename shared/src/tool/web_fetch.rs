//! The tool `web_fetch`: a public web page, read through [`crate::egress`].

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::text::{self, Cut};
use super::worker::{self, WorkerError};
use super::{arguments, html};
use crate::egress::{Egress, EgressError, Extent, Fetched};
use crate::model::ToolSpec;

/// The name by which a model calls it.
pub(super) const NAME: &str = "web_fetch";

const MAX_LENGTH: usize = 100_000;
/// The characters of a failed answer's body that are told.
const ERROR_LENGTH: usize = 2000;
/// The time to turn a page into text.
const LAYOUT_TIME: Duration = Duration::from_secs(5);

pub(super) fn spec() -> ToolSpec {
    ToolSpec {
        name: NAME.to_owned(),
        description: "Reads a public web page or document by its URL (HTTP GET) and returns its text.".to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {
                "url": { "type": "string", "description": "The address, beginning with http:// or https://" },
                "max_length": {
                    "type": "integer", "minimum": 1, "maximum": MAX_LENGTH,
                    "description": "The most characters to return; 50000 if not given",
                },
                "extract_text": {
                    "type": "boolean",
                    "description": "Whether an HTML page is turned into text (the default) or returned as it is",
                },
            },
            "required": ["url"],
        }),
    }
}

#[derive(Deserialize)]
struct Arguments {
    url: String,
    /// A whole number, by the schema, which takes `3.0` for one.
    #[serde(default = "default_length")]
    max_length: f64,
    #[serde(default = "yes")]
    extract_text: bool,
}

const fn default_length() -> f64 {
    50_000.0
}

const fn yes() -> bool {
    true
}

/// A page that could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebFetchError {
    #[error(transparent)]
    Arguments(#[from] arguments::ArgumentsError),
    #[error("the arguments cannot be read")]
    Unreadable(#[from] serde_json::Error),
    #[error("the page cannot be fetched: {0}")]
    Egress(#[from] EgressError),
    #[error("{0} is {1}, which is not text")]
    Binary(String, String),
    #[error("no place to read the page became free in time; try again later")]
    Busy,
    /// An answer with a status of failure, as text.
    #[error("{0}")]
    Status(String),
}

pub(super) async fn call(egress: &Egress, input: &Value) -> Result<String, WebFetchError> {
    arguments::check(&spec().parameters, input)?;
    let arguments = Arguments::deserialize(input)?;
    let fetched = egress.get(&arguments.url).await?;
    let media_type = fetched.content_type();
    let head = head(&fetched, media_type.as_deref());
    let Some(format) = format(media_type.as_deref(), &fetched.body) else {
        let media_type = media_type.unwrap_or_else(|| "of no stated type".to_owned());
        return Err(WebFetchError::Binary(fetched.url.to_string(), text::shorten(&media_type, 100)));
    };
    let body = match format {
        Format::Html if arguments.extract_text => {
            let body = fetched.body.clone();
            match worker::run(LAYOUT_TIME, html::THREAD_STACK, move |_| html::to_text(&body)).await {
                Ok(text) => text,
                Err(WorkerError::Busy) => return Err(WebFetchError::Busy),
                Err(WorkerError::Overrun | WorkerError::Failed) => html::strip(&fetched.body),
            }
        }
        Format::Html | Format::Text => String::from_utf8_lossy(&fetched.body).into_owned(),
    };
    if fetched.status.is_success() {
        Ok(head + &text::bound(body.trim(), arguments.max_length as usize, Cut::Page))
    } else {
        Err(WebFetchError::Status(head + &text::bound(body.trim(), ERROR_LENGTH, Cut::Page)))
    }
}

/// The lines before the body: where it came from, its status and its type.
fn head(fetched: &Fetched, media_type: Option<&str>) -> String {
    let mut head = format!("{}\nStatus: {}", fetched.url, fetched.status);
    if let Some(media_type) = media_type {
        let _ = write!(head, "\nType: {}", text::shorten(media_type, 100));
    }
    if fetched.extent == Extent::Beginning {
        let _ = write!(head, "\nOnly the first {} bytes were read.", fetched.body.len());
    }
    head + "\n\n"
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Html,
    Text,
}

/// How to read a body; none where it is not text. Without a type, a body that could be text is.
fn format(media_type: Option<&str>, body: &[u8]) -> Option<Format> {
    match media_type {
        Some("text/html" | "application/xhtml+xml") => Some(Format::Html),
        Some(
            "application/json"
            | "application/x-ndjson"
            | "application/xml"
            | "application/javascript"
            | "application/ecmascript"
            | "application/yaml"
            | "application/x-yaml"
            | "application/toml"
            | "application/graphql"
            | "application/sql"
            | "application/x-sh"
            | "application/x-www-form-urlencoded",
        ) => Some(Format::Text),
        Some(other) if other.starts_with("text/") || other.ends_with("+json") || other.ends_with("+xml") => {
            Some(Format::Text)
        }
        Some(_) if body.is_empty() => Some(Format::Text),
        Some(_) => None,
        None if body.contains(&0) => None,
        None => Some(Format::Text),
    }
}

//! The protocol's versions, and what a request says about its own.
//!
//! Up to 2025-11-25 a client agrees on a version by `initialize` and names it in a header from then on. Since 2026-07-28
//! there is no handshake: each call names its version in its `_meta`, and the headers repeat what the body says.

use axum::http::HeaderMap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use shared::dialect::mcp::{RpcCode, RpcError};
use shared::http::StatusCode;

use crate::Failure;
use crate::message::Call;

const HEADER: &str = "mcp-protocol-version";
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// A version of the protocol; the newer one is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// The first one, and the documented one.
    V2024_11_05,
    /// Streamable HTTP, batches, annotations of tools.
    V2025_03_26,
    /// Structured output; no batches any more.
    V2025_06_18,
    /// The last one with a handshake.
    V2025_11_25,
    /// Each call stands for itself.
    V2026_07_28,
}

impl Version {
    /// All, the oldest first.
    pub(crate) const ALL: [Self; 5] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];

    /// As it stands in messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == name)
    }

    /// Whether a client agrees on it by `initialize`.
    pub(crate) const fn has_handshake(self) -> bool {
        !matches!(self, Self::V2026_07_28)
    }

    /// What `initialize` agrees on: the version that is asked for, or else the newest that it can.
    pub(crate) fn negotiated(asked: Option<&str>) -> Self {
        asked.and_then(Self::named).filter(|version| version.has_handshake()).unwrap_or(Self::V2025_11_25)
    }
}

/// The version that a request without a call of its own (a batch, a notification) names in its header, or that is
/// assumed where it names none.
///
/// # Errors
/// Where the version is unknown.
pub(crate) fn of_header(headers: &HeaderMap) -> Result<Version, Failure> {
    match sole(headers, HEADER)? {
        None => Ok(Version::V2025_03_26),
        Some(name) => Version::named(name).ok_or_else(|| unsupported(name)),
    }
}

/// Whether a notification's headers say what it says.
///
/// # Errors
/// Where its version is unknown, or they do not.
pub(crate) fn of_note(headers: &HeaderMap, note: &Call) -> Result<(), Failure> {
    if of_header(headers)?.has_handshake() { Ok(()) } else { check_headers(headers, note) }
}

/// The version of a call.
///
/// # Errors
/// Where it is unknown, or the headers and the body do not say the same.
pub(crate) fn of_call(headers: &HeaderMap, call: &Call) -> Result<Version, Failure> {
    let header = sole(headers, HEADER)?;
    let stated = call.meta(META_VERSION).and_then(Value::as_str);
    if call.method == "initialize" && stated.is_none() {
        return Ok(Version::negotiated(call.params.get("protocolVersion").and_then(Value::as_str)));
    }
    if stated.is_some() && stated != header {
        return Err(mismatch(HEADER));
    }
    let version = of_header(headers)?;
    if !version.has_handshake() {
        check_headers(headers, call)?;
    }
    if !version.has_handshake() || call.method == "server/discover" {
        let has_capabilities = call.meta(META_CAPABILITIES).is_some_and(Value::is_object);
        if stated.is_none() || !has_capabilities {
            let message = format!("_meta names {META_VERSION} and {META_CAPABILITIES}.");
            return Err(wrong(RpcError::new(RpcCode::InvalidParams, message)));
        }
    }
    Ok(version)
}

/// What routes by headers must be able to trust them.
fn check_headers(headers: &HeaderMap, call: &Call) -> Result<(), Failure> {
    if sole(headers, "mcp-method")? != Some(&call.method) {
        return Err(mismatch("mcp-method"));
    }
    let Some(name) = call.params.get("name").and_then(Value::as_str).filter(|_| call.method == "tools/call") else {
        return Ok(());
    };
    let given = sole(headers, "mcp-name")?.and_then(decoded);
    if given.as_deref() == Some(name) { Ok(()) } else { Err(mismatch("mcp-name")) }
}

/// A header that must not stand twice.
fn sole<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    match first.to_str() {
        Ok(text) if values.next().is_none() => Ok(Some(text.trim())),
        Ok(_) | Err(_) => Err(mismatch(name)),
    }
}

/// A header's text, which is wrapped where it could not stand in a header as it is.
fn decoded(text: &str) -> Option<String> {
    match text.strip_prefix("=?base64?").and_then(|text| text.strip_suffix("?=")) {
        Some(wrapped) => String::from_utf8(BASE64_STANDARD.decode(wrapped).ok()?).ok(),
        None => Some(text.to_owned()),
    }
}

fn mismatch(header: &str) -> Failure {
    wrong(RpcError::new(RpcCode::HeaderMismatch, format!("The header {header} does not say what the body says.")))
}

fn unsupported(requested: &str) -> Failure {
    let supported = Version::ALL.map(Version::name);
    let error = RpcError::new(RpcCode::UnsupportedVersion, "Unsupported protocol version");
    wrong(error.with(json!({ "supported": supported, "requested": requested })))
}

fn wrong(error: RpcError) -> Failure {
    Failure::Wrong(StatusCode::BAD_REQUEST, error)
}

//! This machine's issuer, as `serve` publishes it: what it says of itself, and its public key.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde_json::{Value, json};
use shared::config::Oidc;
use url::Url;

use crate::issuer::{self, LocalIssuer};

/// Below its own path: a client that looks for an OAuth server of the API itself finds none.
const DISCOVERY: &str = "/local-issuer/.well-known/openid-configuration";
const KEYS: &str = "/local-issuer/.well-known/jwks.json";

/// What is published.
pub(super) struct PublishedIssuer {
    keys_url: Url,
    discovery: Value,
    keys: Value,
}

impl PublishedIssuer {
    /// The issuer, on a server with this address.
    pub(super) fn new(issuer: &LocalIssuer, url: &str) -> Result<Self, url::ParseError> {
        let keys_url = Url::parse(&format!("{url}{KEYS}"))?;
        let discovery = json!({
            "issuer": issuer::NAME,
            "jwks_uri": keys_url.as_str(),
            "id_token_signing_alg_values_supported": ["ES256"],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        });
        Ok(Self { keys_url, discovery, keys: issuer.key_set() })
    }

    /// How its tokens are checked: as those of any other.
    pub(super) fn settings(&self) -> Oidc {
        Oidc {
            issuer: issuer::NAME.to_owned(),
            audiences: vec![issuer::AUDIENCE.to_owned()],
            jwks_url: Some(self.keys_url.clone()),
        }
    }

    pub(super) fn routes(self) -> Router {
        let document =
            |value: Value| get(move || async move { ([(CONTENT_TYPE, "application/json")], value.to_string()) });
        Router::new().route(DISCOVERY, document(self.discovery)).route(KEYS, document(self.keys))
    }
}

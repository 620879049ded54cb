//! An identity provider on this machine, whose ID tokens a test makes as it likes.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::BEGIN;

/// A provider with one key; it ends with its test.
pub struct Issuer {
    server: MockServer,
    pair: EcdsaKeyPair,
}

impl Issuer {
    /// A provider that answers for its keys.
    pub async fn start() -> Self {
        let (server, pair) =
            (MockServer::start().await, EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let keys = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "kid": "one",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }] });
        let uri = server.uri();
        let discovery = json!({ "issuer": uri, "jwks_uri": format!("{uri}/keys") });
        for (at, document) in [("/.well-known/openid-configuration", discovery), ("/keys", keys)] {
            let response = ResponseTemplate::new(200).set_body_json(document);
            Mock::given(path(at)).respond_with(response).mount(&server).await;
        }
        Self { server, pair }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.server.uri()
    }

    /// Its keys cannot be had any more.
    pub async fn fall_silent(&self) {
        self.server.reset().await;
    }

    /// A token for this subject that holds for an hour from the beginning of the test, for the audience `test`.
    #[must_use]
    pub fn token(&self, subject: &str) -> String {
        let now = BEGIN / 1000;
        self.sign(&json!({ "iss": self.name(), "aud": "test", "sub": subject, "iat": now, "exp": now + 3600 }))
    }

    /// A token that says this.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({ "alg": "ES256", "kid": "one", "typ": "JWT" });
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

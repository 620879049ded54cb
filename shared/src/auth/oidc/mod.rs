//! ID tokens of OpenID Connect: who says so, for whom, and until when.
//! <https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation>

mod claims;
mod keys;
mod source;

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::config::Oidc;
use claims::Claims;
use source::{KeySource, Patience};

/// The longest token, in bytes.
const LONGEST: usize = 8 * 1024;

/// A token that proves nothing, or cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// None came.
    #[error("the token is missing")]
    Missing,
    /// It is no token, is not signed as ours must be, or by nobody whom we know; or it is not an ID token for us.
    #[error("the token does not hold: {0}")]
    Invalid(&'static str),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// No issuer is configured.
    #[error("no issuer is configured")]
    NotConfigured,
    /// The issuer's keys cannot be had.
    #[error("the issuer's keys cannot be had")]
    Unavailable,
}

/// Whom a token names. Only a [`Verifier`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) issuer: String,
    pub(super) subject: String,
}

/// Checks the tokens of one issuer; one for the life of the process.
#[derive(Clone, Debug)]
pub(super) struct Verifier {
    settings: Arc<Oidc>,
    keys: Arc<KeySource>,
    clock: Clock,
}

impl Verifier {
    pub(super) fn new(settings: Oidc, client: reqwest::Client, clock: Clock) -> Self {
        Self::with_patience(settings, client, clock, Patience::default())
    }

    fn with_patience(settings: Oidc, client: reqwest::Client, clock: Clock, patience: Patience) -> Self {
        let keys = KeySource::new(&settings, client, clock.clone(), patience);
        Self { settings: Arc::new(settings), keys: Arc::new(keys), clock }
    }

    /// Whom the token names.
    ///
    /// # Errors
    /// Where it does not hold.
    pub(super) async fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Invalid("it is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid("its header is none"))?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
            return Err(TokenError::Invalid("its algorithm is not RS256 or ES256"));
        }
        if header.crit.is_some() {
            return Err(TokenError::Invalid("its header asks for an extension"));
        }
        if header.typ.is_some_and(|kind| !kind.eq_ignore_ascii_case("JWT")) {
            return Err(TokenError::Invalid("it is of another type"));
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await?;
        let claims: Claims = signed(token, &key, header.alg)?;
        claims.check(&self.settings, self.clock.now().as_second())?;
        Ok(Identity { issuer: claims.iss, subject: claims.sub })
    }
}

/// How far the issuer's clock may be from ours, in seconds.
const SKEW: i64 = 60;

/// What stands in a token whose signature holds. Times are not looked at yet.
fn signed<T: DeserializeOwned>(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<T, TokenError> {
    let mut only_the_signature = Validation::new(algorithm);
    only_the_signature.required_spec_claims.clear();
    only_the_signature.validate_exp = false;
    only_the_signature.validate_aud = false;
    match jsonwebtoken::decode(token, key, &only_the_signature) {
        Ok(token) => Ok(token.claims),
        Err(error) => Err(TokenError::Invalid(match error.kind() {
            jsonwebtoken::errors::ErrorKind::Json(_) => "a claim is missing or misshapen",
            _ => "its signature is wrong",
        })),
    }
}

#[cfg(test)]
mod tests;

//! What a token says, and whether it may be believed. The rules are those of OpenID Connect, and those that Firebase and
//! Cognito add.
//! <https://firebase.google.com/docs/auth/admin/verify-id-tokens>
//! <https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-id-token.html>

use std::ops::RangeInclusive;

use serde::Deserialize;

use super::{SKEW, TokenError};
use crate::config::Oidc;

/// How long a subject is, in characters.
const SUBJECT: RangeInclusive<usize> = 1..=255;

/// The claims that are looked at. Times are seconds since the Unix epoch, with fractions where the issuer likes them.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    /// Firebase and Cognito: when the user signed in.
    auth_time: Option<f64>,
    /// Cognito: `id` or `access`.
    token_use: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Claims {
    /// Whether this is an ID token for us, at this time.
    pub(super) fn check(&self, settings: &Oidc, now: i64) -> Result<(), TokenError> {
        let is_ours = |one: &String| settings.audiences.contains(one);
        let for_us = match &self.aud {
            Audience::One(one) => is_ours(one),
            Audience::Many(all) if all.len() > 1 => all.iter().any(is_ours) && self.azp.as_ref().is_some_and(is_ours),
            Audience::Many(all) => all.iter().any(is_ours),
        };
        let (early, late) = ((now - SKEW) as f64, (now + SKEW) as f64);
        let rules = [
            (self.iss == settings.issuer, "another issuer made it"),
            (for_us, "it is for another audience"),
            (self.token_use.as_deref().is_none_or(|kind| kind == "id"), "it is no ID token"),
            (SUBJECT.contains(&self.sub.chars().count()), "its subject is empty or too long"),
            (!self.sub.chars().any(char::is_control), "its subject has control characters"),
            (self.iat <= late && self.iat <= self.exp, "it is not made yet"),
            (self.nbf.is_none_or(|nbf| nbf <= late), "it does not hold yet"),
            (self.auth_time.is_none_or(|at| at <= late), "its user did not sign in yet"),
        ];
        if let Some((_, why)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(TokenError::Invalid(why));
        }
        if self.exp <= early { Err(TokenError::Expired) } else { Ok(()) }
    }
}

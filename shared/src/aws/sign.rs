//! Signatures of version 4, for `POST /` with a few known headers.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use http::header::HeaderValue;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::config::Aws;

/// Signs calls of one service.
pub(super) struct Signer {
    id: String,
    secret: SecretString,
    token: Option<HeaderValue>,
    region: String,
    service: &'static str,
    host: String,
    /// The key of a day, and the day.
    key: Mutex<Option<(String, Arc<Key>)>>,
}

/// What is sent along.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) date: String,
    pub(super) authorization: String,
}

impl Signer {
    /// `None` where there are no credentials.
    pub(super) fn new(service: &'static str, endpoint: &str, aws: &Aws) -> Option<Self> {
        let (id, secret, token) = aws.credentials.clone()?;
        let token = token.and_then(|token| HeaderValue::from_str(token.expose_secret()).ok()).map(|mut token| {
            token.set_sensitive(true);
            token
        });
        let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or(host).to_owned();
        Some(Self { id, secret, token, region: aws.region.clone(), service, host, key: Mutex::new(None) })
    }

    /// The session's token, which is sent along.
    pub(super) const fn token(&self) -> Option<&HeaderValue> {
        self.token.as_ref()
    }

    pub(super) fn sign(&self, target: &str, body: &[u8], now: Timestamp) -> Signature {
        let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let token = self.token.as_ref().and_then(|token| token.to_str().ok());
        let (names, token) = match token {
            Some(token) => {
                ("host;x-amz-date;x-amz-security-token;x-amz-target", format!("x-amz-security-token:{token}\n"))
            }
            None => ("host;x-amz-date;x-amz-target", String::new()),
        };
        let request = format!(
            "POST\n/\n\nhost:{}\nx-amz-date:{date}\n{token}x-amz-target:{target}\n\n{names}\n{}",
            self.host,
            sha256(body)
        );
        let day = date.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(request.as_bytes()));
        let signature = hexadecimal(hmac::sign(&self.key(day), text.as_bytes()).as_ref());
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.id);
        Signature { date, authorization }
    }

    /// The key of a day.
    fn key(&self, day: &str) -> Arc<Key> {
        let mut kept = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, key)) = kept.as_ref()
            && of == day
        {
            return Arc::clone(key);
        }
        let secret = format!("AWS4{}", self.secret.expose_secret());
        let parts = [day, &self.region, self.service, "aws4_request"];
        let key = parts.iter().fold(Key::new(HMAC_SHA256, secret.as_bytes()), |key, part| {
            Key::new(HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref())
        });
        let key = Arc::new(key);
        *kept = Some((day.to_owned(), Arc::clone(&key)));
        key
    }
}

fn sha256(bytes: &[u8]) -> String {
    hexadecimal(digest(&SHA256, bytes).as_ref())
}

/// As `hex::encode`, which puts the text together character by character.
fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len() * 2];
    // The room is what is needed, and all of it is ASCII.
    let _written = hex::encode_to_slice(bytes, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published example of deriving a key, for 2015-08-30 in us-east-1 for IAM.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
    const ID: &str = "AKIDEXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn signer(service: &'static str, token: Option<&str>) -> Signer {
        let aws = Aws {
            region: "us-east-1".to_owned(),
            credentials: Some((ID.to_owned(), SECRET.into(), token.map(Into::into))),
            ..Aws::default()
        };
        Signer::new(service, "https://example.amazonaws.com/any/path", &aws).unwrap()
    }

    #[test]
    fn a_days_key_is_the_published_one() {
        let signed = hmac::sign(&signer("iam", None).key("20150830"), PUBLISHED_TEXT.as_bytes());
        assert_eq!(hex::encode(signed), "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    }

    /// The published string to sign of the same example.
    const PUBLISHED_TEXT: &str = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
                                  f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";

    #[test]
    fn a_call_is_signed_with_its_host_date_target_and_token() {
        let now: Timestamp = "2015-08-30T12:36:00Z".parse().unwrap();
        let plain = signer("dynamodb", None).sign("DynamoDB_20120810.ListTables", b"{}", now);
        assert_eq!(plain.date, "20150830T123600Z");
        let start = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/dynamodb/aws4_request, \
                     SignedHeaders=host;x-amz-date;x-amz-target, Signature=";
        assert!(plain.authorization.starts_with(start), "{}", plain.authorization);
        let with_token = signer("dynamodb", Some("session")).sign("DynamoDB_20120810.ListTables", b"{}", now);
        assert!(with_token.authorization.contains("SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target"));
        let other = signer("dynamodb", None).sign("DynamoDB_20120810.ListTables", b"{ }", now);
        assert_ne!(other.authorization, plain.authorization);
    }

    #[test]
    fn the_key_changes_with_the_day() {
        let signer = signer("sqs", None);
        let sign = |at: &str| signer.sign("AmazonSQS.SendMessage", b"{}", at.parse().unwrap()).authorization;
        let (first, next) = (sign("2015-08-30T23:59:59Z"), sign("2015-08-31T00:00:00Z"));
        assert!(first.contains("/20150830/") && next.contains("/20150831/"));
        assert_eq!(sign("2015-08-30T23:59:59Z"), first);
    }
}

//! Signing what is sent, so that a receiver knows it from what others send: by Standard Webhooks, and beside that as the
//! kopern document has it (`X-Webhook-Signature`) or the app document (`x-kore-signature`).
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use aws_lc_rs::hmac::{HMAC_SHA256, Key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// What secrets of Standard Webhooks begin with; base64 of the key follows.
pub const PREFIX: &str = "whsec_";
/// The length of a key that is made, in bytes.
const KEY: usize = 32;

/// A new secret; `None` where the system gives no randomness.
#[must_use]
pub fn generate() -> Option<SecretString> {
    let mut key = [0; KEY];
    aws_lc_rs::rand::fill(&mut key).ok()?;
    Some(format!("{PREFIX}{}", STANDARD.encode(key)).into())
}

/// Whether it can be a secret: what begins as one of Standard Webhooks must be one, with 24 to 64 bytes; any other text
/// is a key itself.
#[must_use]
pub fn is_secret(text: &str) -> bool {
    match text.strip_prefix(PREFIX) {
        Some(encoded) => STANDARD.decode(encoded).is_ok_and(|key| (24..=64).contains(&key.len())),
        None => true,
    }
}

/// The headers of every delivery, Standard Webhooks'. The first secret is the current one.
#[must_use]
pub fn headers(id: &str, at_ms: i64, body: &str, secrets: &[SecretString]) -> HeaderMap {
    let seconds = at_ms.div_euclid(1000).to_string();
    let signed = format!("{id}.{seconds}.{body}");
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| {
            let key = Key::new(HMAC_SHA256, &standard_key(secret));
            format!("v1,{}", STANDARD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
        })
        .collect();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    add(&mut headers, "webhook-id", id);
    add(&mut headers, "webhook-timestamp", &seconds);
    if !signatures.is_empty() {
        add(&mut headers, "webhook-signature", &signatures.join(" "));
    }
    headers
}

/// The kopern document's header. It has room for one signature, the current secret's.
#[must_use]
pub fn of_agent(body: &str, secrets: &[SecretString]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    add_signature(&mut headers, "x-webhook-signature", body, secrets);
    headers
}

/// The app document's header, which has room for the current secret's signature, and what goes with it: the event's id
/// and name, and the time in seconds.
#[must_use]
pub fn of_app((id, name): (&str, &str), at_ms: i64, body: &str, secrets: &[SecretString]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    add_signature(&mut headers, "x-kore-signature", body, secrets);
    add(&mut headers, "x-kore-delivery", id);
    add(&mut headers, "x-kore-event", name);
    add(&mut headers, "x-kore-timestamp", &at_ms.div_euclid(1000).to_string());
    headers
}

/// The body's HMAC in hex, under the current secret as it stands.
fn add_signature(headers: &mut HeaderMap, name: &'static str, body: &str, secrets: &[SecretString]) {
    if let Some(current) = secrets.first() {
        let key = Key::new(HMAC_SHA256, current.expose_secret().as_bytes());
        add(headers, name, &hex::encode(aws_lc_rs::hmac::sign(&key, body.as_bytes())));
    }
}

fn add(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// The key that Standard Webhooks signs with: what the base64 of the secret stands for, or the secret itself.
fn standard_key(secret: &SecretString) -> Vec<u8> {
    let text = secret.expose_secret();
    let decoded = text.strip_prefix(PREFIX).and_then(|encoded| STANDARD.decode(encoded).ok());
    decoded.unwrap_or_else(|| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_standard_webhooks_holds() {
        // From the specification's own libraries.
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let headers = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_000, r#"{"test": 2432232314}"#, &[secret]);
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
    }

    #[test]
    fn the_documents_signature_is_the_bodys_hmac_in_hex_under_the_secret_as_it_stands() {
        let (body, secrets) = (r#"{"message":"Hello"}"#, ["your_webhook_secret".into(), "old".into()]);
        let (agents, apps) = (of_agent(body, &secrets), of_app(("evt_1", "session.ended"), 7_000, body, &secrets));
        let signature = agents["x-webhook-signature"].to_str().unwrap();
        assert!(signature.starts_with("8d152790") && signature.ends_with("8583"), "{signature}");
        assert_eq!(apps["x-kore-signature"], signature);
        assert_eq!(
            (&apps["x-kore-event"], &apps["x-kore-timestamp"]),
            (&"session.ended".parse().unwrap(), &"7".parse().unwrap())
        );
        assert_eq!(
            headers("evt_1", 0, body, &secrets)["webhook-signature"].to_str().unwrap().split(' ').count(),
            2,
            "both secrets sign"
        );
    }

    #[test]
    fn a_made_secret_is_one_and_what_begins_as_one_must_be_one() {
        let made = generate().unwrap();
        assert!(is_secret(made.expose_secret()) && made.expose_secret().starts_with(PREFIX));
        assert_eq!(standard_key(&made).len(), KEY);
        assert!(is_secret("any other text"));
        for wrong in ["whsec_", "whsec_????", "whsec_c2hvcnQ="] {
            assert!(!is_secret(wrong), "{wrong}");
        }
    }
}

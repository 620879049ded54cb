use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::keys::KeySet;
use super::*;

/// 2026-03-25T14:30:00Z, in seconds.
const NOW: i64 = 1_774_449_000;
const AUDIENCE: &str = "shop";

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn compact(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", b64(signature))
}

/// A key pair under a key id.
enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Pair {
    fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn rsa(size: KeySize) -> Self {
        Self::Rsa(RsaKeyPair::generate(size).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": b64(x), "y": b64(y) })
            }
            Self::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({ "kty": "RSA", "kid": id, "use": "sig", "alg": "RS256", "n": b64(n), "e": b64(e) })
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
        }
    }

    fn token(&self, id: &str, claims: &Value) -> String {
        compact(&json!({ "alg": self.algorithm(), "kid": id, "typ": "JWT" }), claims, |bytes| self.sign(bytes))
    }
}

/// An issuer whose keys are what the test says.
struct Issuer {
    server: MockServer,
    clock: Clock,
}

impl Issuer {
    async fn new() -> Self {
        let server = MockServer::start().await;
        let clock = Clock::manual(jiff::Timestamp::from_second(NOW).unwrap());
        let uri = server.uri();
        let discovery = json!({ "issuer": uri, "jwks_uri": format!("{uri}/keys") });
        Mock::given(path("/.well-known/openid-configuration"))
            .respond_with(ResponseTemplate::new(200).set_body_json(discovery))
            .mount(&server)
            .await;
        Self { server, clock }
    }

    async fn with(keys: Value) -> Self {
        let issuer = Self::new().await;
        issuer.answer(ResponseTemplate::new(200).set_body_json(json!({ "keys": keys }))).await;
        issuer
    }

    /// From now on, this is the answer to who asks for the keys.
    async fn answer(&self, response: ResponseTemplate) {
        self.server.reset().await;
        let uri = self.server.uri();
        let discovery = json!({ "issuer": uri, "jwks_uri": format!("{uri}/keys") });
        Mock::given(path("/.well-known/openid-configuration"))
            .respond_with(ResponseTemplate::new(200).set_body_json(discovery))
            .mount(&self.server)
            .await;
        Mock::given(method("GET")).and(path("/keys")).respond_with(response).mount(&self.server).await;
    }

    fn verifier(&self) -> Verifier {
        let client = crate::outbound::client(crate::outbound::TlsRoots::Bundled, Duration::from_secs(5)).unwrap();
        let settings = Oidc { issuer: self.server.uri(), audiences: vec![AUDIENCE.to_owned()], jwks_url: None };
        let patience = Patience { look_up: Duration::from_millis(300), ..Patience::default() };
        Verifier::with_patience(settings, client, self.clock.clone(), patience)
    }

    fn claims(&self) -> Value {
        json!({ "iss": self.server.uri(), "aud": AUDIENCE, "sub": "ada", "iat": NOW, "exp": NOW + 3600 })
    }

    async fn times_asked(&self) -> usize {
        let asked = self.server.received_requests().await.unwrap();
        asked.iter().filter(|request| request.url.path() == "/keys").count()
    }
}

/// The claims with these in their place; `null` takes one away.
fn but(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn why(outcome: Result<Identity, TokenError>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn the_published_signatures_hold() {
    // RFC 7515, appendices A.2 and A.3.
    let keys = json!({ "keys": [
        { "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" },
        { "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" },
    ] });
    let keys = KeySet::read(keys.to_string().as_bytes()).unwrap();
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    for (algorithm, header, signature) in [
        (
            Algorithm::RS256,
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            Algorithm::ES256,
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ] {
        let key = keys.find(None, algorithm).unwrap();
        let claims: Value = signed(&format!("{header}.{payload}.{signature}"), key, algorithm).unwrap();
        assert_eq!(claims["iss"], "joe");
        let other = payload.replace("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqaW0i");
        let forged: Result<Value, _> = signed(&format!("{header}.{other}.{signature}"), key, algorithm);
        assert_eq!(forged.unwrap_err().to_string(), "the token does not hold: its signature is wrong");
    }
}

#[tokio::test]
async fn a_token_of_either_algorithm_names_its_user() {
    let (ec, rsa) = (Pair::ec(), Pair::rsa(KeySize::Rsa2048));
    let issuer = Issuer::with(json!([{ "kty": "oct", "k": "AA", "kid": "e" }, 7, ec.jwk("e"), rsa.jwk("r")])).await;
    let verifier = issuer.verifier();
    let ada = Identity { issuer: issuer.server.uri(), subject: "ada".to_owned() };
    assert_eq!(verifier.verify(&ec.token("e", &issuer.claims())).await.unwrap(), ada);
    assert_eq!(verifier.verify(&rsa.token("r", &issuer.claims())).await.unwrap(), ada);
    assert_eq!(issuer.times_asked().await, 1);
    let nameless = compact(&json!({ "alg": "ES256" }), &issuer.claims(), |bytes| ec.sign(bytes));
    assert_eq!(verifier.verify(&nameless).await.unwrap(), ada, "the only key of its algorithm needs no name");
}

#[tokio::test]
async fn what_its_issuer_did_not_sign_with_its_own_key_is_no_token() {
    let (ec, rsa, stranger) = (Pair::ec(), Pair::rsa(KeySize::Rsa2048), Pair::ec());
    let issuer = Issuer::with(json!([ec.jwk("e"), rsa.jwk("r")])).await;
    let verifier = issuer.verifier();
    let claims = issuer.claims();
    let good = ec.token("e", &claims);
    let public = rsa.jwk("r")["n"].as_str().unwrap().to_owned();
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let hmac = |bytes: &[u8]| aws_lc_rs::hmac::sign(&secret, bytes).as_ref().to_vec();
    let by_ec = |bytes: &[u8]| ec.sign(bytes);
    let forged = [
        ("no token", "x".to_owned()),
        ("empty", String::new()),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned()),
        ("no signature", format!("{}.", good.rsplit_once('.').unwrap().0)),
        ("none", compact(&json!({ "alg": "none", "kid": "e" }), &claims, |_| Vec::new())),
        ("None", compact(&json!({ "alg": "None", "kid": "e" }), &claims, by_ec)),
        ("HS256 with the public key", compact(&json!({ "alg": "HS256", "kid": "r" }), &claims, hmac)),
        ("RS384", compact(&json!({ "alg": "RS384", "kid": "r" }), &claims, |bytes| rsa.sign(bytes))),
        ("ES256 with an RSA key", compact(&json!({ "alg": "ES256", "kid": "r" }), &claims, by_ec)),
        ("RS256 with an EC key", compact(&json!({ "alg": "RS256", "kid": "e" }), &claims, |bytes| rsa.sign(bytes))),
        ("another's key", stranger.token("e", &claims)),
        ("an unknown key", stranger.token("z", &claims)),
        ("its own key", compact(&json!({ "alg": "ES256", "jwk": stranger.jwk("z") }), &claims, |b| stranger.sign(b))),
        (
            "an extension",
            compact(&json!({ "alg": "ES256", "kid": "e", "crit": ["b64"], "b64": false }), &claims, by_ec),
        ),
        ("an access token", compact(&json!({ "alg": "ES256", "kid": "e", "typ": "at+jwt" }), &claims, by_ec)),
        ("too long", ec.token("e", &but(claims.clone(), json!({ "x": "x".repeat(LONGEST) })))),
    ];
    for (name, token) in forged {
        let outcome = verifier.verify(&token).await;
        assert!(matches!(outcome, Err(TokenError::Invalid(_))), "{name}: {outcome:?}");
    }
    assert!(verifier.verify(&good).await.is_ok());
    assert_eq!(issuer.times_asked().await, 1, "none of them made us ask again");
}

#[tokio::test]
async fn only_an_id_token_for_us_of_this_issuer_and_time_holds() {
    let ec = Pair::ec();
    let issuer = Issuer::with(json!([ec.jwk("e")])).await;
    let verifier = issuer.verifier();
    let outcome = async |changes: Value| verifier.verify(&ec.token("e", &but(issuer.claims(), changes))).await;
    for changes in [
        json!({ "exp": NOW - 59, "iat": NOW - 3600 }),
        json!({ "exp": NOW + 1, "iat": f64::from(i32::try_from(NOW - 5).unwrap()) + 0.25 }),
        json!({ "iat": NOW + 60, "nbf": NOW + 60, "auth_time": NOW + 60 }),
        json!({ "aud": [AUDIENCE] }),
        json!({ "aud": ["other", AUDIENCE], "azp": AUDIENCE }),
        json!({ "token_use": "id" }),
        json!({ "sub": "é".repeat(255) }),
    ] {
        assert!(outcome(changes.clone()).await.is_ok(), "{changes}");
    }
    for changes in [json!({ "exp": NOW - 60, "iat": NOW - 3600 }), json!({ "exp": 1, "iat": 0 })] {
        assert!(matches!(outcome(changes.clone()).await, Err(TokenError::Expired)), "{changes}");
    }
    for changes in [
        json!({ "iss": format!("{}/", issuer.server.uri()) }),
        json!({ "iss": [issuer.server.uri()] }),
        json!({ "iss": null }),
        json!({ "aud": "other" }),
        json!({ "aud": ["other"] }),
        json!({ "aud": [] }),
        json!({ "aud": ["other", AUDIENCE] }),
        json!({ "aud": ["other", AUDIENCE], "azp": "other" }),
        json!({ "aud": null }),
        json!({ "exp": null }),
        json!({ "exp": "never" }),
        json!({ "iat": null }),
        json!({ "iat": NOW + 61 }),
        json!({ "iat": NOW, "exp": NOW - 10 }),
        json!({ "nbf": NOW + 61 }),
        json!({ "auth_time": NOW + 61 }),
        json!({ "token_use": "access" }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "sub": 7 }),
        json!({ "sub": "a".repeat(256) }),
        json!({ "sub": "a\nb" }),
    ] {
        let outcome = outcome(changes.clone()).await;
        assert!(matches!(outcome, Err(TokenError::Invalid(_))), "{changes}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_weak_or_foreign_key_is_passed_over() {
    let ec = Pair::ec();
    let short = b64(vec![0xff; 128]);
    for jwk in [
        json!({ "kty": "RSA", "kid": "k", "n": short, "e": "AQAB" }),
        json!({ "kty": "RSA", "kid": "k", "n": b64(vec![0xff; 1025]), "e": "AQAB" }),
        json!({ "kty": "RSA", "kid": "k", "e": "AQAB" }),
        but(ec.jwk("k"), json!({ "use": "enc" })),
        but(ec.jwk("k"), json!({ "alg": "ES384" })),
        but(ec.jwk("k"), json!({ "crv": "P-384" })),
        but(ec.jwk("k"), json!({ "x": "AAAA" })),
        but(ec.jwk("k"), json!({ "y": "!" })),
    ] {
        assert!(KeySet::read(json!({ "keys": [jwk] }).to_string().as_bytes()).is_none(), "{jwk}");
    }
    for document in ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":{}}"#, "<html>"] {
        assert!(KeySet::read(document.as_bytes()).is_none(), "{document}");
    }
}

#[tokio::test]
async fn a_new_key_of_the_issuer_is_found_but_not_by_asking_all_the_time() {
    let (old, new) = (Pair::ec(), Pair::ec());
    let issuer = Issuer::with(json!([old.jwk("old")])).await;
    let verifier = issuer.verifier();
    let token = new.token("new", &issuer.claims());
    assert!(verifier.verify(&old.token("old", &issuer.claims())).await.is_ok());
    for _ in 0..20 {
        assert_eq!(why(verifier.verify(&token).await), "the token does not hold: no key of its issuer signed it");
    }
    assert_eq!(issuer.times_asked().await, 1);

    issuer.answer(ResponseTemplate::new(200).set_body_json(json!({ "keys": [new.jwk("new")] }))).await;
    issuer.clock.advance(Duration::from_secs(10));
    assert!(verifier.verify(&token).await.is_ok());
    let gone = verifier.verify(&old.token("old", &issuer.claims())).await;
    assert_eq!(why(gone), "the token does not hold: no key of its issuer signed it");
    assert_eq!(issuer.times_asked().await, 1, "once more than before the rotation");
}

#[tokio::test]
async fn keys_are_kept_as_long_as_their_issuer_says_within_bounds() {
    let ec = Pair::ec();
    for (said, kept) in [
        (None, 3_600),
        (Some("public, max-age=600, must-revalidate"), 600),
        (Some("max-age=0"), 60),
        (Some("Max-Age=\"999999999\""), 86_400),
        (Some("no-store"), 3_600),
    ] {
        let issuer = Issuer::new().await;
        let response = ResponseTemplate::new(200).set_body_json(json!({ "keys": [ec.jwk("e")] }));
        issuer
            .answer(said.iter().fold(response, |response, said| response.insert_header("cache-control", *said)))
            .await;
        let verifier = issuer.verifier();
        let token = ec.token("e", &but(issuer.claims(), json!({ "exp": NOW + 1_000_000 })));
        for (wait, asked) in [(0, 1), (kept - 1, 1), (1, 2)] {
            issuer.clock.advance(Duration::from_secs(wait));
            assert!(verifier.verify(&token).await.is_ok());
            assert_eq!(issuer.times_asked().await, asked, "{said:?} after {wait} s");
        }
    }
}

#[tokio::test]
async fn who_comes_at_once_asks_the_issuer_once() {
    let ec = Pair::ec();
    let issuer = Issuer::new().await;
    let response = ResponseTemplate::new(200).set_body_json(json!({ "keys": [ec.jwk("e")] }));
    issuer.answer(response.set_delay(Duration::from_millis(100))).await;
    let (verifier, token) = (issuer.verifier(), ec.token("e", &issuer.claims()));
    let outcomes = futures::future::join_all((0..50).map(|_| verifier.verify(&token))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(issuer.times_asked().await, 1);
}

#[tokio::test]
async fn while_the_issuer_does_not_answer_known_keys_hold_for_a_day() {
    let ec = Pair::ec();
    let issuer = Issuer::with(json!([ec.jwk("e")])).await;
    let verifier = issuer.verifier();
    let token = ec.token("e", &but(issuer.claims(), json!({ "exp": NOW + 1_000_000 })));
    assert!(verifier.verify(&token).await.is_ok());
    issuer.answer(ResponseTemplate::new(500)).await;
    issuer.clock.advance(Duration::from_secs(3_600 + 86_399));
    assert!(verifier.verify(&token).await.is_ok());
    assert_eq!(issuer.times_asked().await, 1, "it was asked, and the old keys were used");
    let unknown = verifier.verify(&ec.token("new", &issuer.claims())).await;
    assert!(matches!(unknown, Err(TokenError::Unavailable)), "it cannot be said that there is no such key");
    issuer.clock.advance(Duration::from_secs(1));
    assert!(matches!(verifier.verify(&token).await, Err(TokenError::Unavailable)));
}

#[tokio::test]
async fn an_issuer_without_usable_keys_is_unavailable_and_asked_again_soon() {
    let ec = Pair::ec();
    let keys = json!({ "keys": [ec.jwk("e")] });
    let huge = json!({ "keys": [ec.jwk("e")], "x": "x".repeat(256 * 1024) });
    for response in [
        ResponseTemplate::new(404),
        ResponseTemplate::new(204),
        ResponseTemplate::new(302).insert_header("location", "/keys"),
        ResponseTemplate::new(200).set_body_string("<html>"),
        ResponseTemplate::new(200).set_body_json(json!({ "keys": [] })),
        ResponseTemplate::new(200).set_body_json(huge),
        ResponseTemplate::new(200).set_body_json(&keys).set_delay(Duration::from_secs(30)),
    ] {
        let issuer = Issuer::new().await;
        issuer.answer(response).await;
        let (verifier, token) = (issuer.verifier(), ec.token("e", &issuer.claims()));
        let outcomes = futures::future::join_all((0..5).map(|_| verifier.verify(&token))).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(TokenError::Unavailable))), "{outcomes:?}");
        assert_eq!(issuer.times_asked().await, 1);
        issuer.answer(ResponseTemplate::new(200).set_body_json(&keys)).await;
        issuer.clock.advance(Duration::from_secs(2));
        assert!(verifier.verify(&token).await.is_ok());
    }
}

#[tokio::test]
async fn a_discovery_document_speaks_for_its_own_issuer_alone() {
    let ec = Pair::ec();
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    for (name, keys) in
        [("https://other.example", "/keys"), ("", "http://keys.example/keys"), ("", "file:///etc/passwd")]
    {
        let server = MockServer::start().await;
        let uri = server.uri();
        let named = if name.is_empty() { uri.clone() } else { name.to_owned() };
        let keys = if keys.starts_with('/') { format!("{uri}{keys}") } else { keys.to_owned() };
        let counted = asked.clone();
        let document = json!({ "issuer": named, "jwks_uri": keys });
        Mock::given(path("/.well-known/openid-configuration"))
            .respond_with(move |_: &Request| {
                counted.fetch_add(1, Ordering::Relaxed);
                ResponseTemplate::new(200).set_body_json(&document)
            })
            .mount(&server)
            .await;
        let issuer = Issuer { server, clock: Clock::manual(jiff::Timestamp::from_second(NOW).unwrap()) };
        let outcome = issuer.verifier().verify(&ec.token("e", &issuer.claims())).await;
        assert!(matches!(outcome, Err(TokenError::Unavailable)), "{name} {keys}: {outcome:?}");
        assert_eq!(issuer.times_asked().await, 0);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

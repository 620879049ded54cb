//! A webhook with a secret takes only what is signed with it.

use http::{Request, StatusCode};
use shared::auth::{Kind, sign};
use testkit::{Api, Bench, Reply, post_bytes, with_header};

const PATH: &str = "/api/webhook/{agent}";
const SECRET: &str = "your_webhook_secret";

async fn api() -> Api {
    Api::new(Bench::new().await, webhook::routes(), PATH, Kind::Server, "").await
}

/// Sends these bytes with this signature.
async fn signed(api: &Api, body: &str, signature: &[u8]) -> Reply {
    let request = post_bytes(&api.path, &api.key, body.to_owned());
    api.send(with_header(request, "x-webhook-signature", signature)).await
}

fn hmac(secret: &str, body: &str) -> String {
    sign(&secret.into(), body.as_bytes())
}

#[tokio::test]
async fn the_line_of_the_contract_is_taken() {
    let api = api().await;
    api.bench.webhook(&api.agent, Some(SECRET)).await;
    // echo -n '{"message":"Hello"}' | openssl dgst -sha256 -hmac "your_webhook_secret"
    let openssl = hmac(SECRET, r#"{"message":"Hello"}"#);
    assert!(openssl.starts_with("8d152790") && openssl.ends_with("8583"));
    let reply = signed(&api, r#"{"message":"Hello"}"#, openssl.as_bytes()).await;
    assert_eq!((reply.status, &reply.json()["response"]), (StatusCode::OK, &"You said: Hello".into()));
}

#[tokio::test]
async fn a_signature_counts_for_the_raw_bytes_of_the_webhook_it_names() {
    let api = api().await;
    let id = api.bench.webhook(&api.agent, Some(SECRET)).await;
    let body = format!("{{ \"webhookId\": \"{id}\",\n \"message\": \"caf\\u00e9 \\/ 1.0\" }}\n");
    let good = hmac(SECRET, &body);
    for signature in [good.clone(), format!("sha256={good}"), good.to_uppercase()] {
        assert_eq!(signed(&api, &body, signature.as_bytes()).await.status, StatusCode::OK, "{signature}");
    }
    let compact = body.replace(['\n', ' '], "");
    assert_eq!(signed(&api, &compact, good.as_bytes()).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_is_not_signed_or_wrongly_is_401_and_never_reaches_the_model() {
    let api = api().await;
    let id = api.bench.webhook(&api.agent, Some(SECRET)).await;
    let writes = api.bench.writes();
    for body in [format!(r#"{{"message":"Hello","webhookId":"{id}"}}"#), r#"{"message":"Hello"}"#.to_owned()] {
        let reply = api.send(post_bytes(&api.path, &api.key, body.clone())).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert_eq!(reply.json()["error"], "Missing webhook signature");
        let good = hmac(SECRET, &body);
        let wrongs = [
            b"".to_vec(),
            hmac("another secret", &body).into_bytes(),
            hmac(SECRET, "{}").into_bytes(),
            good.as_bytes()[..63].to_vec(),
            format!("{good}0").into_bytes(),
            format!("md5={good}").into_bytes(),
            b"\xe9\xff\xfe".to_vec(),
            "é".repeat(32).into_bytes(),
            vec![b'a'; 5_000],
        ];
        for wrong in wrongs {
            let reply = signed(&api, &body, &wrong).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{wrong:?}");
            assert_eq!(reply.json()["error"], "Invalid webhook signature");
        }
    }
    assert_eq!(api.bench.writes(), writes);
}

#[tokio::test]
async fn a_secret_is_for_its_own_webhook() {
    let api = api().await;
    let one = api.bench.webhook(&api.agent, Some("one")).await;
    let two = api.bench.webhook(&api.agent, Some("two")).await;
    let named = |id| format!(r#"{{"message":"Hello","webhookId":"{id}"}}"#);
    for (body, secret, status) in [
        (named(&one), "one", 200),
        (named(&one), "two", 401),
        (named(&two), "two", 200),
        (r#"{"message":"Hello"}"#.to_owned(), "one", 200),
        (r#"{"message":"Hello"}"#.to_owned(), "two", 200),
        (r#"{"message":"Hello"}"#.to_owned(), "three", 401),
    ] {
        assert_eq!(signed(&api, &body, hmac(secret, &body).as_bytes()).await.status, status, "{body} {secret}");
    }
}

#[tokio::test]
async fn a_webhook_of_another_agent_is_not_found() {
    let api = api().await;
    let other = api.bench.agent("", "").await;
    let id = api.bench.webhook(&other, Some(SECRET)).await;
    let body = format!(r#"{{"message":"Hello","webhookId":"{id}"}}"#);
    let reply = signed(&api, &body, hmac(SECRET, &body).as_bytes()).await;
    assert_eq!((reply.status, &reply.json()["error"]), (StatusCode::NOT_FOUND, &"Webhook not found".into()));
}

#[tokio::test]
async fn a_webhook_without_a_secret_takes_what_is_not_signed() {
    let api = api().await;
    let id = api.bench.webhook(&api.agent, None).await;
    let body = format!(r#"{{"message":"Hello","webhookId":"{id}"}}"#);
    assert_eq!(api.send(post_bytes(&api.path, &api.key, body)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_signature_is_no_key() {
    let api = api().await;
    api.bench.webhook(&api.agent, Some(SECRET)).await;
    let body = r#"{"message":"Hello"}"#;
    let request = Request::post(&api.path).header("x-webhook-signature", hmac(SECRET, body));
    assert_eq!(api.send(request.body(body.into()).unwrap()).await.status, StatusCode::UNAUTHORIZED);
    let queried = Request::post(format!("{}?key={}", api.path, api.key));
    let request = queried.header("x-webhook-signature", hmac(SECRET, body)).body(body.into()).unwrap();
    assert_eq!(api.send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_secret_is_nowhere_in_the_table() {
    let api = api().await;
    api.bench.webhook(&api.agent, Some(SECRET)).await;
    let table = api.bench.dump().await;
    assert!(table.contains("sealed_secret") && !table.contains(SECRET));
}

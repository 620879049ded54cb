//! `orrery secret rotate`, on this machine's keys and table, and on those of a cloud.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use embedded::EmbeddedDynamo;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use shared::aws::Client;
use shared::channel::Platform;
use shared::id::{AgentId, TenantId};
use shared::secret::{SealError, Sealer};
use shared::store::{ConnectionItem, SealedText, Store};

use crate::kit::{Home, wait};

/// A home with an agent and two webhooks that sign.
fn home() -> Home {
    let home = Home::new();
    home.out(&["apply", "agents"]);
    for secret in ["correct horse", "battery staple"] {
        home.out(&["webhook", "create", "--agent", "support", "--secret", secret]);
    }
    home
}

fn database(home: &Home) -> EmbeddedDynamo {
    EmbeddedDynamo::open(Some(&home.path().join(".orrery/orrery.db"))).unwrap()
}

fn store(home: &Home) -> Store {
    Store::new(Client::in_process(database(home).service()), "orrery")
}

/// Connects the agent on each platform, with credentials that say where.
fn connect(home: &Home) {
    let (tenant, keys) = (TenantId::from("ten_default"), keys(home));
    for platform in [Platform::Slack, Platform::Telegram, Platform::WhatsApp] {
        let credentials = format!("token of {}", platform.name()).into();
        let item = ConnectionItem {
            platform,
            external: "1".to_owned(),
            tenant: tenant.clone(),
            agent: AgentId::from(home.json(&["agent", "list"])[0]["id"].as_str().unwrap()),
            sealed: sealer(&keys).seal(&tenant, &ConnectionItem::purpose(platform, "1"), &credentials).unwrap(),
            about: Map::new(),
            created_at: 1,
            updated_at: 1,
        };
        assert!(wait(store(home).put_connection(&item)).unwrap());
    }
}

fn keys(home: &Home) -> String {
    std::fs::read_to_string(home.path().join(".orrery/sealing-keys")).unwrap()
}

fn sealer(keys: &str) -> Sealer {
    Sealer::new(Some(&keys.to_owned().into())).unwrap()
}

fn open(text: &SealedText, keys: &str) -> Result<SecretString, SealError> {
    sealer(keys).open(&text.tenant, &text.purpose, &text.sealed)
}

/// What opens of the table under these keys.
fn opened(home: &Home, keys: &str) -> Vec<String> {
    let texts = wait(store(home).sealed_texts()).unwrap();
    let mut opened: Vec<_> =
        texts.iter().filter_map(|text| Some(open(text, keys).ok()?.expose_secret().to_owned())).collect();
    opened.sort();
    opened
}

const ALL: [&str; 2] = ["battery staple", "correct horse"];
const WITH_CONNECTIONS: [&str; 5] =
    ["battery staple", "correct horse", "token of slack", "token of telegram", "token of whatsapp"];

/// The home's table behind DynamoDB's protocol, and a secret behind that of Secrets Manager.
struct Cloud {
    address: SocketAddr,
    /// What the secret held, one after the other.
    values: Arc<Mutex<Vec<Value>>>,
}

impl Cloud {
    fn new(home: &Home, first: Value) -> Self {
        let (database, values) = (database(home), Arc::new(Mutex::new(vec![first])));
        let kept = values.clone();
        let answer = async move |headers: HeaderMap, body: Bytes| {
            let target = headers["x-amz-target"].to_str().unwrap();
            let Some(operation) = target.strip_prefix("secretsmanager.") else {
                let (status, body) = database.call(target, body).await.unwrap();
                return (StatusCode::from_u16(status).unwrap(), body);
            };
            let request: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(request["SecretId"], "orrery/keys");
            let mut kept = kept.lock().unwrap();
            if operation == "PutSecretValue" {
                kept.push(serde_json::from_str(request["SecretString"].as_str().unwrap()).unwrap());
            }
            let told = json!({ "Name": "orrery/keys", "SecretString": kept.last().unwrap().to_string() });
            (StatusCode::OK, told.to_string().into())
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            wait(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, Router::new().route("/", post(answer))).await.unwrap();
            });
        });
        Self { address, values }
    }

    fn rotate(&self, home: &Home, more: &[&str]) -> Value {
        let endpoint = format!("http://{}", self.address);
        let arguments = ["secret", "rotate", "--json", "--table", "orrery", "--endpoint-url", &endpoint];
        let mut command = home.command(&[&arguments, more].concat());
        for (name, value) in [
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &endpoint),
            ("ORRERY_SECRET", "orrery/keys"),
            ("ORRERY_SECRET_TTL_SECONDS", "1"),
        ] {
            command.env(name, value);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", crate::kit::text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn connections_of_all_kinds_are_sealed_under_the_new_key() {
    let home = home();
    connect(&home);
    let old = keys(&home);
    assert_eq!(opened(&home, &old), WITH_CONNECTIONS);
    assert_eq!(home.json(&["secret", "rotate"])["resealed"], 5);
    assert_eq!(home.out(&["secret", "rotate", "--retire", "--quiet"]), "0\n");
    assert_eq!(opened(&home, &keys(&home)), WITH_CONNECTIONS);
    assert!(opened(&home, &old).is_empty());
}

#[test]
fn in_the_cloud_the_new_key_is_known_before_it_seals() {
    let home = home();
    connect(&home);
    let old = keys(&home);
    let cloud = Cloud::new(&home, json!({ "ORRERY_SEALING_KEYS": old, "SLACK_SIGNING_SECRET": "stays" }));
    assert_eq!(cloud.rotate(&home, &["--dry-run"])["texts"], 5);
    assert_eq!(cloud.rotate(&home, &[])["resealed"], 5);
    assert_eq!(cloud.rotate(&home, &["--retire"])["keys"], 1);
    let values = cloud.values.lock().unwrap();
    let kept: Vec<_> = values.iter().map(|value| value["ORRERY_SEALING_KEYS"].as_str().unwrap()).collect();
    let new = kept[3];
    assert_eq!(kept, [&old, &format!("{old},{new}"), &format!("{new},{old}"), new]);
    assert!(values.iter().all(|value| value["SLACK_SIGNING_SECRET"] == "stays"));
    assert_eq!(opened(&home, new), WITH_CONNECTIONS);
    assert!(opened(&home, &old).is_empty());
}

#[test]
fn everything_is_sealed_under_the_new_key_and_the_old_one_can_go() {
    let home = home();
    let old = keys(&home);
    let rotated = home.json(&["secret", "rotate"]);
    assert_eq!((&rotated["texts"], &rotated["resealed"], &rotated["keys"]), (&2.into(), &2.into(), &2.into()));
    let both = keys(&home);
    let (new, rest) = both.split_once(',').unwrap();
    assert_eq!((rest, new == old), (old.as_str(), false));
    assert_eq!(opened(&home, new), ALL);
    let texts = wait(store(&home).sealed_texts()).unwrap();
    assert!(texts.iter().all(|text| matches!(open(text, &old), Err(SealError::UnknownKey(_)))));

    assert_eq!(home.out(&["secret", "rotate", "--retire", "--quiet"]), "0\n");
    assert_eq!(keys(&home), new);
    assert_eq!(opened(&home, new), ALL);
    #[cfg(unix)]
    {
        let file = home.path().join(".orrery/sealing-keys").metadata().unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o777, 0o600);
    }
}

#[test]
fn a_rotation_that_broke_off_is_made_whole_by_another() {
    let home = home();
    let broken_off = format!("{},{}", Sealer::generate_key().unwrap().expose_secret(), keys(&home));
    home.write(".orrery/sealing-keys", &broken_off);
    let store = store(&home);
    let first = wait(store.sealed_texts()).unwrap().swap_remove(0);
    let sealed = sealer(&broken_off).reseal(&first.tenant, &first.purpose, &first.sealed).unwrap().unwrap();
    assert!(wait(store.put_resealed(&first, &sealed)).unwrap());
    assert!(!wait(store.put_resealed(&first, "what came too late")).unwrap());
    assert_eq!(opened(&home, &broken_off), ALL);

    assert_eq!(home.out(&["secret", "rotate", "--retire", "--quiet"]), "1\n", "one was sealed anew already");
    assert_eq!(keys(&home), broken_off.split_once(',').unwrap().0);
    assert_eq!(home.json(&["secret", "rotate"])["resealed"], 2);
    assert_eq!(opened(&home, keys(&home).split_once(',').unwrap().0), ALL);
}

#[test]
fn a_running_server_opens_and_seals_on_through_a_rotation() {
    let home = home();
    let agent = home.json(&["agent", "list"])[0]["id"].as_str().unwrap().to_owned();
    let key = home.out(&["key", "create", "--agent", "support", "--quiet"]);
    let webhook = home.json(&["webhook", "list", "--agent", "support"])[0]["id"].as_str().unwrap().to_owned();
    let server = home.serve(&["--agents", "agents"]);
    let body = format!(r#"{{"message":"hello","webhookId":"{webhook}"}}"#);
    let call = || {
        let headers = format!(
            "Authorization: Bearer {}\r\nContent-Type: application/json\r\nX-Webhook-Signature: {}\r\n",
            key.trim(),
            "0".repeat(64)
        );
        let reply = server.request("POST", &format!("/api/webhook/{agent}"), &headers, &body);
        reply.lines().next().unwrap().to_owned()
    };
    assert!(call().contains(" 401 "), "the secret opens, and the signature is none: {}", call());
    for arguments in [&["secret", "rotate"][..], &["secret", "rotate", "--retire"]] {
        home.out(arguments);
        assert!(call().contains(" 401 "), "{arguments:?}: {}", call());
    }
    home.write(".orrery/sealing-keys", Sealer::generate_key().unwrap().expose_secret());
    assert!(call().contains(" 500 "), "the file is what is read: {}", call());
}

#[test]
fn nothing_is_changed_where_it_is_only_tried_or_cannot_be_done() {
    let home = home();
    let before = keys(&home);
    assert_eq!(home.json(&["secret", "rotate", "--dry-run"])["texts"], 2);
    assert_eq!(home.json(&["secret", "rotate", "--retire", "--dry-run"])["texts"], 2);
    let given = home.command(&["secret", "rotate"]).env("ORRERY_SEALING_KEYS", &before).output().unwrap();
    assert!(!given.status.success() && crate::kit::text(&given.stderr).contains("in front"), "{given:?}");
    let other = Sealer::generate_key().unwrap();
    home.write(".orrery/sealing-keys", other.expose_secret());
    for arguments in [&["secret", "rotate"][..], &["secret", "rotate", "--retire"]] {
        let (code, told) = home.fails(arguments);
        assert!(code == 1 && told.contains("inbound-webhook:wh_"), "{told}");
    }
    assert_eq!(keys(&home), other.expose_secret());
    assert_eq!(opened(&home, &before), ALL);
}

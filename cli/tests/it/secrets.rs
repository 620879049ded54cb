//! `orrery secret rotate`, on this machine's keys and table.

use embedded::EmbeddedDynamo;
use secrecy::{ExposeSecret, SecretString};
use shared::aws::Client;
use shared::secret::{SealError, Sealer};
use shared::store::{SealedText, Store};

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

fn store(home: &Home) -> Store {
    let database = EmbeddedDynamo::open(Some(&home.path().join(".orrery/orrery.db"))).unwrap();
    Store::new(Client::in_process(database.service()), "orrery")
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

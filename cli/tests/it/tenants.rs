//! Users of the table, and what is theirs.

use serde_json::Value;

use crate::kit::Home;

/// A home whose agent is stored.
fn applied() -> Home {
    let home = Home::new();
    home.out(&["apply", "agents"]);
    home
}

#[test]
fn a_users_agents_and_keys_are_their_own() {
    let home = applied();
    assert_eq!(home.json(&["agent", "list", "--owner", "bob"]), Value::Array(Vec::new()));
    home.out(&["apply", "agents", "--owner", "bob"]);
    let (own, bobs) = (home.json(&["agent", "list"]), home.json(&["agent", "list", "--owner", "bob"]));
    assert_eq!(own[0]["name"], bobs[0]["name"]);
    assert_ne!(own[0]["id"], bobs[0]["id"]);
    home.out(&["key", "create", "--agent", "support", "--owner", "bob"]);
    assert_eq!(home.json(&["key", "list"]), Value::Array(Vec::new()));
    let elsewhere = ["agent", "list", "--owner", "bob", "--issuer", "https://issuer.example"];
    assert_eq!(home.json(&elsewhere), Value::Array(Vec::new()), "another provider's bob is another");
}

#[test]
fn a_tenant_has_a_plan_and_can_be_given_away() {
    let home = applied();
    let own = home.json(&["tenant", "show"]);
    assert_eq!(own["plan"], "enterprise");
    assert_eq!(home.json(&["tenant", "show", "--owner", "owner"]), own, "this machine's owner owns it");
    let bobs = home.json(&["tenant", "show", "--owner", "bob"]);
    assert_eq!(bobs["plan"], "free");
    assert_ne!(bobs["id"], own["id"]);
    assert_eq!(home.json(&["tenant", "plan", "starter", "--owner", "bob"])["plan"], "free");
    assert_eq!(home.json(&["tenant", "plan", "pro", "--owner", "bob"])["plan"], "pro");
    assert_eq!(home.json(&["tenant", "show", "--owner", "bob"])["plan"], "pro");
    assert_eq!(home.fails(&["tenant", "plan", "gold", "--owner", "bob"]).0, 2);
    assert_eq!(home.json(&["tenant", "grant", "bob"]), own);
    assert_eq!(home.json(&["tenant", "show", "--owner", "bob"]), own);
    let (code, told) = home.fails(&["tenant", "show", "--owner", ""]);
    assert_eq!(code, 1);
    assert!(told.contains("1 to 255 characters"), "{told}");
}

#[test]
fn a_token_is_made_by_the_key_of_the_data_directory() {
    let home = Home::new();
    let told = home.json(&["token", "--expires", "30m"]);
    assert_eq!((told["token"].as_str().unwrap().split('.').count(), &told["subject"]), (3, &"owner".into()), "{told}");
    assert!(told["expires_at"].is_string(), "{told}");
    let key = home.path().join(".orrery/issuer-key");
    let kept = std::fs::read_to_string(&key).unwrap();
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.metadata().unwrap().permissions()) & 0o777, 0o600);
    let header = |token: &str| token.split('.').next().unwrap().to_owned();
    let again = home.out(&["token", "--quiet", "--subject", "bob"]);
    assert_eq!(header(&again), header(told["token"].as_str().unwrap()), "the same key signs");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), kept);
    assert_eq!(home.fails(&["token", "--expires", "31d"]).0, 2);
    assert_eq!(home.fails(&["token", "--data", ":memory:"]).0, 1);
    std::fs::write(&key, "no key").unwrap();
    assert!(home.fails(&["token"]).1.contains("remove issuer-key"));
}

#[test]
fn a_deleted_agents_keys_take_no_room() {
    let home = applied();
    home.out(&["key", "create", "--agent", "support"]);
    home.out(&["agent", "delete", "support"]);
    home.out(&["apply", "agents"]);
    assert_eq!(home.json(&["key", "list"]), Value::Array(Vec::new()));
}

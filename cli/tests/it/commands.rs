//! The commands, as a person or a script runs them.

use crate::kit::{Home, SUPPORT, text};

fn applied() -> Home {
    let home = Home::new();
    home.out(&["apply", "agents", "--quiet"]);
    home
}

#[test]
fn help_shows_examples_and_a_wrong_word_is_usage() {
    let home = Home::new();
    let help = home.out(&["--help"]);
    assert!(help.contains("Examples:") && help.contains("orrery key create --agent support"), "{help}");
    let (code, told) = home.fails(&["key", "crate"]);
    assert_eq!(code, 2);
    assert!(told.contains("'create'"), "{told}");
}

#[test]
fn apply_tells_all_problems_and_stores_nothing() {
    let home = Home::new();
    home.write("agents/bad.md", "---\nname: Bad\nmodle: demo/echo\n---\n");
    let (code, told) = home.fails(&["apply", "agents"]);
    assert_eq!(code, 2);
    assert!(told.contains("agents/bad.md: line 2: name: may have lower-case"), "{told}");
    assert!(told.contains("agents/bad.md: line 3: modle: unknown field; did you mean model?"), "{told}");
    assert_eq!(home.json(&["agent", "list"]), serde_json::json!([]));
}

#[test]
fn apply_writes_what_changed_and_nothing_else() {
    let home = Home::new();
    let first = home.json(&["apply", "agents/support.md"]);
    assert_eq!((&first[0]["change"], &first[0]["version"]), (&"created".into(), &1.into()), "{first}");
    let again = home.json(&["apply", "agents"]);
    assert_eq!((&again[0]["change"], &again[0]["version"]), (&"unchanged".into(), &1.into()), "{again}");
    assert_eq!(again[0]["id"], first[0]["id"]);

    home.write("agents/support.md", &SUPPORT.replace("kind", "very kind"));
    let dry = home.out(&["apply", "agents", "--dry-run"]);
    assert!(dry.contains("-You are kind.\n+You are very kind.\n"), "{dry}");
    assert_eq!(home.out(&["agent", "show", "support"]), SUPPORT);

    let second = home.json(&["apply", "agents"]);
    assert_eq!((&second[0]["change"], &second[0]["version"]), (&"updated".into(), &2.into()), "{second}");
    assert_eq!(home.out(&["agent", "show", "support"]), SUPPORT.replace("kind", "very kind"));
    assert_eq!(home.json(&["agent", "show", "support"])["document"]["prompt"], "You are very kind.");
}

#[test]
fn an_agent_is_found_by_name_and_id_and_can_be_deleted() {
    let home = applied();
    let agents = home.json(&["agent", "list"]);
    let id = agents[0]["id"].as_str().unwrap();
    assert_eq!(home.out(&["agent", "show", id]), SUPPORT);
    let (code, told) = home.fails(&["agent", "show", "sales"]);
    assert_eq!(code, 1);
    assert!(told.contains("there is no agent \"sales\"; there are support"), "{told}");
    home.out(&["agent", "delete", "support"]);
    assert_eq!(home.json(&["agent", "list"]), serde_json::json!([]));
    assert_eq!(home.fails(&["agent", "delete", "support"]).0, 1);
}

#[test]
fn a_key_is_told_once_and_kept_nowhere() {
    let home = applied();
    let made = home.json(&["key", "create", "--agent", "support", "--name", "shop", "--expires", "30d"]);
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("kpn_") && key.starts_with(made["prefix"].as_str().unwrap()), "{made}");
    assert_eq!(
        (&made["kind"], &made["agent"]["name"], &made["name"]),
        (&"server".into(), &"support".into(), &"shop".into())
    );
    assert!(made["id"].as_str().unwrap().starts_with("key_") && made["expires_at"].is_string(), "{made}");

    let listed = home.out(&["key", "list"]);
    assert!(listed.contains(made["id"].as_str().unwrap()) && !listed.contains(key), "{listed}");
    assert!(!home.json(&["key", "list"]).to_string().contains(key));
    for file in std::fs::read_dir(home.path().join(".orrery")).unwrap() {
        let kept = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!text(&kept).contains(key));
    }

    let quiet = home.out(&["key", "create", "--agent", "support", "--quiet"]);
    assert!(quiet.starts_with("kpn_") && quiet.trim_end().len() == 68 && quiet.lines().count() == 1, "{quiet}");
}

#[test]
fn a_key_is_rotated_and_revoked_once() {
    let home = applied();
    let old = home.json(&["key", "create", "--agent", "support"]);
    let id = old["id"].as_str().unwrap();
    let new = home.json(&["key", "rotate", id]);
    assert!(new["key"] != old["key"] && new["id"] != old["id"] && new["agent"] == old["agent"], "{new}");
    let (code, told) = home.fails(&["key", "rotate", id]);
    assert_eq!(code, 1);
    assert!(told.contains("disabled already"), "{told}");
    let keys = home.json(&["key", "list", "--agent", "support"]);
    assert_eq!((&keys[0]["enabled"], &keys[0]["rotated_to"]), (&false.into(), &new["id"]), "{keys}");

    home.out(&["key", "revoke", new["id"].as_str().unwrap()]);
    assert_eq!(home.fails(&["key", "revoke", new["id"].as_str().unwrap()]).0, 1);
    let (code, told) = home.fails(&["key", "revoke", "key_missing"]);
    assert_eq!(code, 1);
    assert!(told.contains("orrery key list"), "{told}");
}

#[test]
fn what_is_said_of_a_key_is_checked() {
    let home = applied();
    let create = ["key", "create", "--agent", "support"];
    for (more, expected) in [
        (&["--expires", "soon"][..], "30d, 24h or 90m"),
        (&["--expires", "2020-01-01T00:00:00Z"], "in the past"),
        (&["--origin", "https://example.com"], "add --kind widget"),
        (&["--kind", "widget", "--origin", "example.com"], "like https://example.com"),
        (&["--kind", "admin"], "possible values: server, widget"),
        (&["--data", ":memory:", "--table", "x"], "cannot be used with"),
    ] {
        let (code, told) = home.fails(&[&create[..], more].concat());
        assert_eq!(code, 2, "{more:?}: {told}");
        assert!(told.contains(expected), "{more:?}: {told}");
    }
    let widget = home.json(&[&create[..], &["--kind", "widget", "--origin", "https://Example.com/"]].concat());
    assert_eq!((&widget["kind"], &widget["origins"]), (&"widget".into(), &serde_json::json!(["https://example.com"])));
    let (code, told) = home.fails(&[&create[..], &["--data", ":memory:"]].concat());
    assert_eq!((code, told.contains("keeps nothing")), (1, true), "{told}");
}

#[test]
fn a_webhook_is_made_listed_and_deleted() {
    let home = applied();
    let made = home.json(&["webhook", "create", "--agent", "support", "--secret", "correct horse", "--name", "shop"]);
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("wh_") && made.get("secret").is_none(), "{made}");
    let own = home.json(&["webhook", "create", "--agent", "support"]);
    assert!(own["secret"].as_str().unwrap().len() >= 32, "{own}");
    let listed = home.json(&["webhook", "list", "--agent", "support"]);
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    assert!(!listed.to_string().contains("correct horse"));
    home.out(&["webhook", "delete", id, "--agent", "support"]);
    assert_eq!(home.fails(&["webhook", "delete", id, "--agent", "support"]).0, 1);
    for wrong in ["short", "whsec_notbase64"] {
        assert_eq!(home.fails(&["webhook", "create", "--agent", "support", "--secret", wrong]).0, 2);
    }
}

#[test]
fn a_new_version_keeps_the_webhooks() {
    let home = applied();
    let made = home.json(&["webhook", "create", "--agent", "support"]);
    home.write("agents/support.md", &SUPPORT.replace("kind", "brief"));
    home.out(&["apply", "agents"]);
    assert_eq!(home.json(&["webhook", "list", "--agent", "support"])[0]["id"], made["id"]);
}

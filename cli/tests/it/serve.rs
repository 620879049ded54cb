//! `orrery serve`, from the outside.

use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::kit::{Home, SUPPORT, text};
use serde_json::Value;

fn body(reply: &str) -> Value {
    serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn chat(home: &Home, message: &str) -> (String, String, String) {
    let key = home.json(&["key", "create", "--agent", "support"]);
    let path = format!("/api/agents/{}/v1/chat/completions", key["agent"]["id"].as_str().unwrap());
    let headers =
        format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", key["key"].as_str().unwrap());
    let request = serde_json::json!({ "model": "support", "messages": [{ "role": "user", "content": message }] });
    (path, headers, request.to_string())
}

#[test]
fn the_lines_of_the_first_start_work_when_pasted() {
    let home = Home::new();
    let server = home.serve(&[]);
    let told = server.lines_to("curl -N 'http");
    let lines: Vec<_> = told.iter().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 5, "{told:?}");
    for (line, expected) in
        lines.iter().zip(["\"ok\"", "chat.completion", "data: [DONE]", "\"response\"", "event: done"])
    {
        let line = line.replacen("curl", "curl -sS --max-time 20", 1);
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        let answer = text(&output.stdout);
        assert!(output.status.success() && answer.contains(expected), "{line}\n{answer}\n{}", text(&output.stderr));
    }
}

#[test]
fn a_later_start_tells_no_key_and_applies_what_changed() {
    let home = Home::new();
    let server = home.serve(&[]);
    server.lines_to("curl -N 'http");
    drop(server);
    home.write("agents/support.md", &SUPPORT.replace("kind", "brief"));
    let server = home.serve(&[]);
    let told = server.lines_to("Keys are shown once");
    assert!(!told.iter().any(|line| line.contains("Authorization")), "{told:?}");
    let agents = home.json(&["agent", "list"]);
    assert_eq!(agents[0]["version"], 2, "{agents}");
    drop(server);
    let server = home.serve(&[]);
    server.lines_to("Keys are shown once");
    assert_eq!(home.json(&["agent", "list"])[0]["version"], 2);
}

#[test]
fn a_key_made_while_it_serves_works_at_once() {
    let home = Home::new();
    let server = home.serve(&[]);
    let (path, headers, request) = chat(&home, "Hello there!");
    let answer = body(&server.request("POST", &path, &headers, &request));
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("Hello there!"), "{answer}");
}

#[test]
fn what_is_not_served_is_a_404_in_json() {
    let home = Home::new();
    let server = home.serve(&["--data", ":memory:"]);
    for path in ["/nothing", "/api", "/api/health/more", "/.orrery/orrery.db", "/index.html"] {
        let reply = server.get(path);
        assert!(reply.starts_with("HTTP/1.1 404") && reply.contains("x-request-id: req_"), "{path}: {reply}");
        assert!(body(&reply)["error"].is_string(), "{path}: {reply}");
    }
    assert!(!home.path().join(".orrery").exists(), "a table in memory leaves nothing behind");
}

#[test]
fn the_start_page_is_one_file_with_a_strict_policy() {
    let home = Home::new();
    let server = home.serve(&[]);
    let page = server.get("/");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("default-src 'none'; script-src 'nonce-"), "{page}");
    for outside in ["src=\"http", "href=\"http", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let data = page.split_once("type=\"application/json\"").unwrap().1.split_once('>').unwrap().1;
    let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    let key = data["agents"][0]["key"].as_str().unwrap().to_owned();
    assert_eq!(data["agents"][0]["name"], "support");
    let keys = home.json(&["key", "list"]);
    let own: Vec<_> = keys.as_array().unwrap().iter().filter(|own| own["name"] == "start page").collect();
    assert_eq!((own.len(), &own[0]["kind"]), (1, &"widget".into()), "{keys}");

    let reply = server.request(
        "POST",
        &format!("/api/widget/chat?key={key}"),
        "Content-Type: application/json\r\n",
        r#"{"message":"Hello"}"#,
    );
    assert!(reply.contains("event: token") && reply.contains("event: done"), "{reply}");
    assert!(server.request("GET", "/", "Host: example.com\r\n", "").starts_with("HTTP/1.1 404"));
    drop(server);
    let again = home.serve(&[]);
    assert!(again.get("/").contains("kpn_") && !again.get("/").contains(&key), "a start gives the page another key");
    let live = home.json(&["key", "list"]);
    let live = live.as_array().unwrap().iter().filter(|own| own["name"] == "start page" && own["enabled"] == true);
    assert_eq!(live.count(), 1);
}

#[test]
fn a_taken_port_is_named() {
    let home = Home::new();
    let server = home.serve(&["--data", ":memory:"]);
    let port = server.address.rsplit_once(':').unwrap().1;
    let (code, told) = home.fails(&["serve", "--port", port, "--data", ":memory:"]);
    assert_eq!(code, 1);
    assert!(told.contains(&format!("port {port} of 127.0.0.1 is taken")) && told.contains("--port"), "{told}");
}

#[test]
fn a_document_with_problems_stops_the_start() {
    let home = Home::new();
    home.write("agents/bad.md", "---\nname: bad\n---\n");
    let (code, told) = home.fails(&["serve", "--port", "0", "--data", ":memory:"]);
    assert_eq!(code, 2);
    assert!(told.contains("agents/bad.md: line 2: model: is missing"), "{told}");
}

#[test]
fn a_running_turn_ends_before_the_server_does() {
    let home = Home::new();
    let mut server = home.serve(&[]);
    let (path, headers, request) = chat(&home, "/slow 4000");
    let mut stream = server.open("POST", &path, &headers, &request);
    std::thread::sleep(Duration::from_secs(2));
    server.interrupt();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("chat.completion"), "{reply}");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_turn_that_does_not_end_is_left_after_ten_seconds() {
    let home = Home::new();
    let mut server = home.serve(&[]);
    let (path, headers, request) = chat(&home, "/slow 60000");
    let _stream = server.open("POST", &path, &headers, &request);
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    server.interrupt();
    server.notes.iter().find(|note| note.contains("running turns have 10 s")).unwrap();
    server.interrupt();
    assert_eq!(server.wait(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(9), "asked twice, it ends at once");
}

#[test]
fn requests_are_logged_without_keys_and_bodies() {
    let home = Home::new();
    let mut server = home.serve(&[]);
    let (path, headers, request) = chat(&home, "my secret words");
    let key = headers.split_whitespace().nth(2).unwrap().to_owned();
    server.request("POST", &format!("{path}?key={key}"), &headers, &request);
    server.interrupt();
    server.wait();
    let notes: Vec<_> = server.notes.iter().collect();
    let line = notes.iter().find(|note| note.contains("/v1/chat/completions")).unwrap();
    assert!(
        line.contains("POST") && line.contains("status=200") && line.contains("ms=") && line.contains("req_"),
        "{line}"
    );
    assert!(!notes.iter().any(|note| note.contains(&key) || note.contains("secret words")), "{notes:?}");
}

#[test]
fn a_webhook_that_was_made_takes_what_its_secret_signs_and_nothing_else() {
    let home = Home::new();
    let server = home.serve(&[]);
    let (_, headers, _) = chat(&home, "");
    let made = home.json(&["webhook", "create", "--agent", "support", "--secret", "correct horse"]);
    let path = format!("/api/webhook/{}", made["agent"].as_str().unwrap());
    let request = serde_json::json!({ "message": "Hello", "webhookId": made["id"] }).to_string();
    let call = |secret: &str| {
        let signature = shared::auth::sign(&secret.to_owned().into(), request.as_bytes());
        server.request("POST", &path, &format!("{headers}X-Webhook-Signature: {signature}\r\n"), &request)
    };
    let reply = call("correct horse");
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("You said: Hello"), "{reply}");
    assert!(call("battery staple").starts_with("HTTP/1.1 401"));
}

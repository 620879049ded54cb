//! The model without a provider.

use std::time::Duration;

use tokio::time::Instant;

use super::*;

const PAUSE: Duration = Duration::from_millis(1);

async fn told_by_demo(request: &ModelRequest) -> Told {
    let deadline = Instant::now() + Duration::from_secs(3_600);
    let events = super::super::demo::answer(&model("demo/echo"), request, PAUSE, deadline);
    events.map(|event| event.map_err(|error| error.kind)).collect().await
}

async fn said(words: &str) -> Told {
    told_by_demo(&request(vec![Message::text(Role::User, words)])).await
}

#[tokio::test]
async fn it_repeats_the_users_words_one_at_a_time() {
    let told = said("hello  there\nfriend").await;
    let words: Vec<_> = told[..5].iter().flatten().cloned().collect();
    assert_eq!(words, ["You ", "said: ", "hello  ", "there\n", "friend"].map(|word| ModelEvent::Text(word.into())));
    let completion = completion(&told);
    assert_eq!(completion.content, [Block::Text { text: "You said: hello  there\nfriend".into() }]);
    assert_eq!(completion.stop, Stop::EndTurn);
    let usage = Usage { input_tokens: 8, output_tokens: 5, ..Usage::default() };
    assert_eq!((completion.usage, &told[5]), (usage, &Ok(ModelEvent::Usage(usage))));
}

#[tokio::test]
async fn it_pauses_between_words_but_not_before_the_first() {
    let begin = Instant::now();
    said("hello").await;
    assert!(begin.elapsed() >= 2 * PAUSE);
    let begin = Instant::now();
    said("/slow 30").await;
    assert!(begin.elapsed() >= Duration::from_millis(30) + 3 * PAUSE);
}

#[tokio::test]
async fn it_calls_tools_and_tells_their_results() {
    let question =
        Message::text(Role::User, "Please:\n/tool order {\"number\": \"A-1\"}\n /tool today\n/tool order {\"number\"");
    let told = told_by_demo(&request(vec![question.clone()])).await;
    let call = |id: &str, name: &str, input| Block::ToolUse { id: id.into(), name: name.into(), input };
    let calls = [
        call("demo_1_0", "order", json!({"number": "A-1"})),
        call("demo_1_1", "today", json!({})),
        call("demo_1_2", "order", json!("{\"number\"")),
    ];
    assert_eq!((&completion(&told).content[..], completion(&told).stop), (&calls[..], Stop::ToolUse));

    let result = |id: &str, content: &str, is_error| Block::ToolResult {
        tool_use_id: id.into(),
        content: content.into(),
        is_error,
    };
    let results = vec![result("demo_1_0", "shipped", false), result("demo_1_1", "no clock", true)];
    let answer = Message { role: Role::Assistant, content: calls.into() };
    let told = told_by_demo(&request(vec![question, answer, Message { role: Role::User, content: results }])).await;
    assert_eq!(text(&told), "order answered: shipped\ntoday failed: no clock");
    assert_eq!(completion(&told).stop, Stop::EndTurn);
}

#[tokio::test]
async fn it_goes_on_after_its_tools_have_answered() {
    let mut messages =
        vec![Message::text(Role::User, "/tool a {}\n/tool b\n /then \n/tool c {}\n/then\nbye\n/then\nno")];
    let mut told = Vec::new();
    for round in 0..3 {
        let completion = completion(&told_by_demo(&request(messages.clone())).await).clone();
        let result = |block: &Block| match block {
            Block::ToolUse { id, name, .. } => {
                told.push(format!("{round} {name}"));
                Some(Block::ToolResult { tool_use_id: id.clone(), content: "done".into(), is_error: false })
            }
            Block::Text { text } => {
                told.push(format!("{round} {text}"));
                None
            }
            _ => None,
        };
        let results = completion.content.iter().filter_map(result).collect();
        messages.push(Message { role: Role::Assistant, content: completion.content });
        messages.push(Message { role: Role::User, content: results });
    }
    assert_eq!(told, ["0 a", "0 b", "1 c", "2 You said: bye"]);
    let last = text(&said("one\r\ntwo\n").await);
    assert_eq!(last, "You said: one\r\ntwo\n");
}

#[tokio::test]
async fn it_tells_what_it_was_given() {
    assert_eq!(text(&said("/context").await), "You are the support agent.");
    let messages = [("a b", Role::User), ("You said: a b", Role::Assistant), ("/history", Role::User)]
        .map(|(text, role)| Message::text(role, text));
    let told = told_by_demo(&request(messages.to_vec())).await;
    assert_eq!(text(&told), "I was given 3 messages. You said:\n- a b\n- /history");
}

#[tokio::test]
async fn it_fails_when_it_is_told_to() {
    assert_eq!(said("/fail").await, [Err(ErrorKind::Server)]);
    let cut = said("/cut").await;
    assert_eq!((text(&cut).as_str(), cut.last()), ("This answer breaks off ", Some(&Err(ErrorKind::Cut))));
}

#[tokio::test]
async fn it_writes_as_much_as_it_is_told_and_allowed() {
    let told = said("/long 300").await;
    assert_eq!((completion(&told).usage.output_tokens, completion(&told).stop), (300, Stop::EndTurn));
    let told = told_by_demo(&ModelRequest { max_output_tokens: 2, ..hello() }).await;
    assert_eq!((text(&told).as_str(), completion(&told).stop), ("You said: ", Stop::MaxTokens));
    assert!(text(&said("/tool").await).starts_with("Write /tool"));
}

#[tokio::test]
async fn it_stops_at_the_deadline() {
    let deadline = Instant::now() + Duration::from_millis(50);
    let events = super::super::demo::answer(&model("demo/echo"), &hello(), Duration::from_millis(30), deadline);
    let told: Told = events.map(|event| event.map_err(|error| error.kind)).collect().await;
    assert_eq!((text(&told).as_str(), told.last()), ("You said: ", Some(&Err(ErrorKind::Timeout))));
    assert!(Instant::now() >= deadline);
}

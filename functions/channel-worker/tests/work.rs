//! The function on messages of Telegram's chats (and WhatsApp's), over the embedded table, with a Telegram of its own: what a person is
//! told, and what is told once, wherever a worker dies.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use serde_json::{Value, json};
use shared::app::App;
use shared::channel::telegram::{Bot, BotToken, WebhookSecret, connection};
use shared::channel::whatsapp::{self, AccessToken, Credentials, PhoneNumber, VerifyToken};
use shared::channel::{Incoming, Platform, Request};
use shared::id::AgentId;
use shared::queue::{Queue, Received, Worked};
use shared::store::TenantItem;
use testkit::{Bench, Fault, Faults, Moment, Strike};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
const BOT: &str = "110201543";
/// Longer than any test: what waits for it waits until it is killed.
const FOREVER: Duration = Duration::from_secs(300);
/// When whatever a dead worker held has lapsed.
const LAPSED: Duration = Duration::from_secs(30);

/// An agent that answers for a bot.
struct Chat {
    bench: Bench,
    telegram: MockServer,
    agent: AgentId,
}

impl Chat {
    async fn new(front_matter: &str) -> Self {
        let telegram = MockServer::start().await;
        let bench = Bench::with("enterprise", &[("TELEGRAM_BASE_URL", telegram.uri().as_str())]).await;
        Self::over(bench, telegram, front_matter).await
    }

    /// An agent, and a table that fails when it is told to.
    async fn with_faults() -> (Self, Faults) {
        let telegram = MockServer::start().await;
        let (bench, faults) = Bench::with_faults_and(&[("TELEGRAM_BASE_URL", telegram.uri().as_str())]).await;
        (Self::over(bench, telegram, "").await, faults)
    }

    async fn over(bench: Bench, telegram: MockServer, front_matter: &str) -> Self {
        let agent = bench.agent(front_matter, "You are a test.").await;
        let chat = Self { bench, telegram, agent };
        chat.connect(&chat.agent).await;
        let action = ResponseTemplate::new(200).set_body_json(json!({ "ok": true, "result": true }));
        Mock::given(path(method("sendChatAction"))).respond_with(action).mount(&chat.telegram).await;
        let posted = ResponseTemplate::new(200).set_body_json(posted());
        Mock::given(path(method("sendMessage"))).respond_with(posted).mount(&chat.telegram).await;
        chat
    }

    /// Has this agent answer for the bot.
    async fn connect(&self, agent: &AgentId) {
        let token = BotToken::parse(TOKEN).unwrap();
        let bot: Bot =
            serde_json::from_value(json!({ "id": 110_201_543, "username": "orrery_test_bot", "first_name": "Shop" }))
                .unwrap();
        let secret = WebhookSecret::generate(BOT).unwrap();
        let sealer = self.bench.app.sealer().await.unwrap();
        let item = connection(&sealer, (&self.bench.tenant, agent), (&bot, &token), &secret, 1).unwrap();
        assert!(self.bench.app.store().put_connection(&item).await.unwrap());
    }

    /// What Telegram says to the next `times` posts, after `passed` others.
    async fn telegram_says(&self, (passed, times): (u64, u64), response: ResponseTemplate) {
        let says = Mock::given(path(method("sendMessage"))).respond_with(response);
        says.up_to_n_times(times).with_priority(2).mount(&self.telegram).await;
        if passed > 0 {
            let posted = ResponseTemplate::new(200).set_body_json(posted());
            let says = Mock::given(path(method("sendMessage"))).respond_with(posted);
            says.up_to_n_times(passed).with_priority(1).mount(&self.telegram).await;
        }
    }

    /// What was posted, whether Telegram took it or not.
    async fn posts(&self) -> Vec<String> {
        let asked = self.telegram.received_requests().await.unwrap();
        let posts = asked.iter().filter(|request| request.url.path() == method("sendMessage"));
        let text = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["text"].as_str().unwrap().to_owned();
        posts.map(|request| text(&request.body)).collect()
    }

    async fn work(&self, received: Received) -> Worked {
        let worked = channel_worker::consume(&self.bench.app, received).await;
        self.bench.settle().await;
        self.bench.app.tasks().reopen();
        worked
    }

    /// Has a message worked on by a process of its own, which dies as soon as so many posts were sent and the table says
    /// `written`.
    async fn killed(&self, received: Received, posts: usize, written: &str) {
        let Bench { app, clock, .. } = &self.bench;
        let other = App::over(app.config().clone(), clock.clone(), app.store().clone()).unwrap();
        let process = Runtime::new().unwrap();
        let work = process.spawn(async move { channel_worker::consume(&other, received).await });
        let give_up = Instant::now() + Duration::from_secs(20);
        while self.posts().await.len() < posts || !self.bench.dump().await.contains(written) {
            assert!(!work.is_finished() && Instant::now() < give_up, "it was not there to be killed");
            sleep(Duration::from_millis(5)).await;
        }
        process.shutdown_background();
    }

    /// Works for so long on what the queue hands out, as a process with this application.
    async fn pump(&self, app: &App, time: Duration) {
        let end = self.bench.clock.now_ms() + i64::try_from(time.as_millis()).unwrap();
        while self.bench.clock.now_ms() < end {
            for delivery in app.channels().receive(10).await.unwrap() {
                let received = Received { body: delivery.body.clone(), receives: delivery.receives, deadline: None };
                match channel_worker::consume(app, received).await {
                    Worked::Done => delivery.acknowledge().await.unwrap(),
                    Worked::Again(wait) => delivery.hide(wait).await.unwrap(),
                }
            }
            self.bench.wait(Duration::from_secs(2));
        }
    }

    async fn turns(&self) -> u64 {
        self.bench.usage().await.turns
    }
}

fn method(name: &str) -> String {
    format!("/bot{TOKEN}/{name}")
}

fn posted() -> Value {
    json!({ "ok": true, "result": { "message_id": 42, "date": 1, "chat": { "id": 5, "type": "private" } } })
}

fn refusal(code: u16, description: &str, parameters: &Value) -> ResponseTemplate {
    let body = json!({ "ok": false, "error_code": code, "description": description, "parameters": parameters });
    ResponseTemplate::new(code).set_body_json(body)
}

/// Telegram asks to come again in a while that is just waited for.
fn busy() -> ResponseTemplate {
    refusal(429, "Too Many Requests: retry after 20", &json!({ "retry_after": 20 }))
}

/// What a person in this chat wants.
fn from_chat(chat: u32, number: u32, request: Request) -> Incoming {
    Incoming {
        platform: Platform::Telegram,
        connection: BOT.to_owned(),
        event: number.to_string(),
        conversation: format!("{chat}:0"),
        request,
        place: json!({ "chat": chat, "message": number }),
        received_at: testkit::BEGIN,
    }
}

fn wish(number: u32, request: Request) -> Received {
    let incoming = from_chat(5, number, request);
    Received { body: serde_json::to_string(&incoming).unwrap(), receives: 1, deadline: None }
}

fn words(number: u32, text: &str) -> Received {
    wish(number, Request::Answer { text: text.to_owned() })
}

#[tokio::test]
async fn a_worker_that_dies_in_the_turn_leaves_the_message_to_the_next_one() {
    let chat = Chat::new("").await;
    chat.killed(words(1, "/slow 1000"), 0, "IDEMPOTENCY#").await;
    let again = chat.work(words(1, "/slow 1000")).await;
    assert!(matches!(again, Worked::Again(_)), "the dead one's claim holds: {again:?}");
    assert_eq!(chat.posts().await, [""; 0]);
    chat.bench.wait(LAPSED);
    assert_eq!(chat.work(words(1, "/slow 1000")).await, Worked::Done);
    assert_eq!(chat.posts().await, ["You said: /slow 1000"]);
    assert_eq!(chat.turns().await, 1);
}

#[tokio::test]
async fn a_worker_that_dies_between_turn_and_post_leaves_an_answer_that_is_posted_once() {
    let chat = Chat::new("").await;
    chat.telegram_says((0, 1), busy()).await;
    chat.killed(words(1, "Hello"), 1, "is_posting").await;
    assert_eq!(chat.work(words(1, "Hello")).await, Worked::Done);
    assert_eq!(chat.posts().await, ["You said: Hello"; 2], "the first was refused");
    assert_eq!(chat.turns().await, 1);
}

#[tokio::test]
async fn a_worker_that_dies_between_post_and_record_has_it_posted_twice_and_run_once() {
    let chat = Chat::new("").await;
    chat.telegram_says((0, 1), ResponseTemplate::new(200).set_body_json(posted()).set_delay(FOREVER)).await;
    chat.killed(words(1, "Hello"), 1, "").await;
    assert_eq!(chat.work(words(1, "Hello")).await, Worked::Done);
    assert_eq!(chat.posts().await, ["You said: Hello"; 2]);
    assert_eq!(chat.turns().await, 1);
    assert_eq!(chat.work(words(1, "Hello")).await, Worked::Done, "it comes again though it is done");
    assert_eq!((chat.posts().await.len(), chat.turns().await), (2, 1));
}

#[tokio::test]
async fn a_worker_that_dies_within_a_long_answer_leaves_the_rest_of_it_alone_to_be_posted() {
    let chat = Chat::new("").await;
    chat.telegram_says((1, 1), busy()).await;
    chat.killed(words(1, "/long 2000"), 2, "").await;
    assert_eq!(chat.work(words(1, "/long 2000")).await, Worked::Done);
    let mut posts = chat.posts().await;
    let refused = posts.remove(1);
    assert_eq!(refused, posts[1]);
    let told: Vec<String> = posts.iter().flat_map(|post| post.split_whitespace().map(str::to_owned)).collect();
    assert_eq!(told, (1..=2000).map(|number| format!("word{number}")).collect::<Vec<_>>());
    assert!(posts.len() > 2 && chat.turns().await == 1);
}

#[tokio::test]
async fn too_many_messages_are_told_so_once_a_minute() {
    let chat = Chat::new("limits: { requests_per_minute: { channel: 1 } }").await;
    for number in 1..=4 {
        assert_eq!(chat.work(words(number, "Hello")).await, Worked::Done);
    }
    let told = chat.posts().await;
    assert_eq!((told.len(), told[0].as_str(), chat.turns().await), (2, "You said: Hello", 1), "{told:?}");
    assert!(told[1].starts_with("That is more than I can keep up with. Please write again in "), "{told:?}");
    assert_eq!(chat.work(words(2, "Hello")).await, Worked::Done, "what was told comes again");
    assert_eq!(chat.posts().await.len(), 2);
    chat.bench.wait(Duration::from_secs(60));
    for number in 5..=7 {
        assert_eq!(chat.work(words(number, "again")).await, Worked::Done);
    }
    let told = chat.posts().await;
    assert_eq!((told.len(), told[2].as_str()), (4, "You said: again"), "{told:?}");
    assert!(told[3].starts_with("That is more"), "{told:?}");
}

#[tokio::test]
async fn a_plan_that_is_used_up_is_told_in_words_once_a_minute() {
    let chat = Chat::new("").await;
    let tenant = chat.bench.tenant.clone();
    let item = TenantItem { monthly_tokens: Some(0), ..TenantItem::new(tenant, 1) };
    chat.bench.app.store().put_tenant(&item).await.unwrap();
    for number in 1..=3 {
        assert_eq!(chat.work(words(number, "Hello")).await, Worked::Done);
    }
    let told = chat.posts().await;
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("I cannot answer any more this month"), "{told:?}");
    assert_eq!(chat.turns().await, 0);
}

#[tokio::test]
async fn greetings_resets_and_what_cannot_be_read_are_answered_without_a_turn() {
    let chat = Chat::new("widget: { welcome_message: \"Ask me about orders\" }").await;
    chat.work(words(1, "one")).await;
    chat.work(words(2, "/history")).await;
    chat.work(wish(3, Request::Reset)).await;
    chat.work(words(4, "/history")).await;
    chat.work(wish(5, Request::Greeting)).await;
    chat.work(wish(6, Request::Unreadable)).await;
    let told = chat.posts().await;
    assert!(told[1].contains("one"), "what was said is remembered: {told:?}");
    assert!(told[2].starts_with("A new conversation begins"), "{told:?}");
    assert!(!told[3].contains("one"), "{told:?}");
    assert_eq!(told[4], "Ask me about orders");
    assert!(told[5].starts_with("I can only read text messages"), "{told:?}");
    assert_eq!(chat.turns().await, 3);
}

#[tokio::test]
async fn a_model_that_fails_is_told_in_words_and_once() {
    let chat = Chat::new("").await;
    for _ in 0..2 {
        assert_eq!(chat.work(words(1, "/fail")).await, Worked::Done);
    }
    let told = chat.posts().await;
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("I could not answer that: ") && told[0].ends_with("Please try again."), "{told:?}");
}

#[tokio::test]
async fn a_chat_that_is_closed_is_left_alone_and_its_message_done() {
    for (code, description) in [(403, "Forbidden: bot was blocked by the user"), (400, "Bad Request: chat not found")] {
        let chat = Chat::new("").await;
        chat.telegram_says((0, 1), refusal(code, description, &json!({}))).await;
        for _ in 0..2 {
            assert_eq!(chat.work(words(1, "Hello")).await, Worked::Done);
        }
        assert_eq!(chat.posts().await.len(), 1);
        assert_eq!(chat.work(words(2, "Hello")).await, Worked::Done);
        assert_eq!(chat.posts().await.len(), 2);
    }
}

#[tokio::test]
async fn a_platform_that_asks_for_a_long_wait_is_obeyed_by_the_queue() {
    let chat = Chat::new("").await;
    chat.telegram_says((0, 1), refusal(429, "Too Many Requests", &json!({ "retry_after": 90 }))).await;
    assert_eq!(chat.work(words(1, "Hello")).await, Worked::Again(Duration::from_secs(90)));
    assert_eq!(chat.work(words(1, "Hello")).await, Worked::Done);
    assert_eq!((chat.posts().await.len(), chat.turns().await), (2, 1));
}

#[tokio::test]
async fn an_agent_that_is_gone_and_a_bot_that_is_gone_end_the_message() {
    let chat = Chat::new("").await;
    let store = chat.bench.app.store();
    assert!(store.delete_agent(&chat.bench.tenant, &chat.agent).await.is_ok());
    assert_eq!(chat.work(words(1, "Hello")).await, Worked::Done);
    assert!(chat.posts().await[0].starts_with("The agent that answered here is gone"));
    assert!(store.delete_connection(&chat.bench.tenant, Platform::Telegram, BOT).await.unwrap());
    assert_eq!(chat.work(words(2, "Hello")).await, Worked::Done);
    assert_eq!(chat.posts().await.len(), 1);
}

#[tokio::test]
async fn a_platform_that_is_away_for_an_hour_answers_each_message_once_and_in_order() {
    let chat = Chat::new("").await;
    // Taken, and nobody listens there.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let Bench { app, clock, .. } = &chat.bench;
    let mut config = app.config().clone();
    let away = format!("http://{}", nobody.local_addr().unwrap()).parse().unwrap();
    config.base_urls.insert("telegram".to_owned(), away);
    let cut_off = App::over(config, clock.clone(), app.store().clone()).unwrap();
    for (chat, number) in [(5, 1), (5, 2), (6, 3), (5, 4), (6, 5)] {
        let message = from_chat(chat, number, Request::Answer { text: format!("number {number}") });
        app.channels().send(&message.to_message().unwrap()).await.unwrap();
    }
    chat.pump(&cut_off, Duration::from_secs(3_600)).await;
    assert_eq!(chat.posts().await, [""; 0]);
    chat.pump(app, Duration::from_secs(900)).await;
    let posts = chat.posts().await;
    let of = |numbers: &[u32]| -> Vec<&String> {
        posts.iter().filter(|post| numbers.iter().any(|number| post.ends_with(&number.to_string()))).collect()
    };
    assert_eq!(of(&[1, 2, 4]), ["You said: number 1", "You said: number 2", "You said: number 4"]);
    assert_eq!(of(&[3, 5]), ["You said: number 3", "You said: number 5"]);
    assert_eq!((posts.len(), chat.turns().await), (5, 5));
    let Queue::Table(queue) = app.channels() else { panic!("the queue is in the table") };
    assert!(app.channels().look(10).await.unwrap().is_empty());
    assert!(Queue::Table(queue.dead_letters()).look(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_of_nothing_is_a_word_and_one_that_telegram_refuses_is_told() {
    let chat = Chat::new("").await;
    assert_eq!(chat.work(words(1, "/long 0")).await, Worked::Done);
    assert_eq!(chat.posts().await, ["I have nothing to say to that."]);
    chat.telegram_says((0, 1), refusal(400, "Bad Request: TEXT_TOO_ODD", &json!({}))).await;
    assert_eq!(chat.work(words(2, "Hello")).await, Worked::Done);
    let told = chat.posts().await;
    assert_eq!(told[1..], ["You said: Hello", "My answer could not be shown here. Please ask me in another way."]);
    chat.telegram_says((0, 2), refusal(400, "Bad Request: TEXT_TOO_ODD", &json!({}))).await;
    assert_eq!(chat.work(words(3, "Hello")).await, Worked::Done, "what cannot be told either is left");
    assert_eq!(chat.posts().await.len(), 5);
}

#[tokio::test]
async fn an_answer_that_is_not_kept_any_more_is_told() {
    let chat = Chat::new("").await;
    chat.telegram_says((0, 1), refusal(429, "Too Many Requests", &json!({ "retry_after": 90 }))).await;
    assert!(matches!(chat.work(words(1, "Hello")).await, Worked::Again(_)));
    let other = chat.bench.agent("", "You are another.").await;
    chat.connect(&other).await;
    assert_eq!(chat.work(words(1, "Hello")).await, Worked::Done);
    assert!(chat.posts().await[1].starts_with("I had an answer to that, but it is not kept any more"));
}

#[tokio::test]
async fn a_word_about_a_limit_is_said_though_a_worker_dies_before_it() {
    let chat = Chat::new("limits: { requests_per_minute: { channel: 1 } }").await;
    assert_eq!(chat.work(words(1, "Hello")).await, Worked::Done);
    chat.telegram_says((0, 1), busy()).await;
    chat.killed(words(2, "Hello"), 2, "notice-").await;
    assert_eq!(chat.work(words(2, "Hello")).await, Worked::Done);
    assert_eq!(chat.work(words(3, "Hello")).await, Worked::Done);
    let told = chat.posts().await;
    assert_eq!(
        told.iter().filter(|post| post.starts_with("That is more")).count(),
        2,
        "the first was refused: {told:?}"
    );
}

/// What may go wrong with a call of the table.
const WRONG: [(Fault, Moment); 7] = [
    (Fault::InternalError, Moment::Before),
    (Fault::InternalError, Moment::After),
    (Fault::Throttled, Moment::Before),
    (Fault::Reset, Moment::Before),
    (Fault::Reset, Moment::After),
    (Fault::Silence, Moment::Before),
    (Fault::Silence, Moment::After),
];

#[tokio::test]
async fn whatever_goes_wrong_with_the_table_a_message_is_run_once_and_answered() {
    let (chat, faults) = Chat::with_faults().await;
    faults.heal();
    assert_eq!(chat.work(words(1, "Hello")).await, Worked::Done);
    let calls = faults.calls();
    let mut cases = JoinSet::new();
    for (operation, place) in calls.into_iter().flat_map(|(name, count)| (0..count).map(move |at| (name.clone(), at))) {
        for (fault, moment) in WRONG {
            let operation = operation.clone();
            cases.spawn(async move {
                let case = format!("{operation} {place}: {fault:?} {moment:?}");
                let (chat, faults) = Chat::with_faults().await;
                // Silence takes its time: of the others, all tries fail.
                let tries = if fault == Fault::Silence { 1 } else { usize::MAX };
                faults.strike(Strike { operation, calls: place..place + 1, tries, fault, moment });
                let mut worked = chat.work(words(1, "Hello")).await;
                faults.heal();
                for _ in 0..5 {
                    let Worked::Again(wait) = worked else { break };
                    chat.bench.wait(wait);
                    worked = chat.work(words(1, "Hello")).await;
                }
                assert_eq!(worked, Worked::Done, "{case}");
                let posts = chat.posts().await;
                assert!((1..=2).contains(&posts.len()), "{case}: {posts:?}");
                assert!(posts.iter().all(|post| post == "You said: Hello"), "{case}: {posts:?}");
                assert_eq!(chat.turns().await, 1, "{case}");
            });
        }
    }
    cases.join_all().await;
}

/// Meta sends a message again for up to seven days.
#[tokio::test]
async fn a4_a_message_of_whatsapps_that_comes_again_after_seven_days_is_not_answered_again() {
    const PHONE: &str = "106540352242922";
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let graph = MockServer::start().await;
    let bench = Bench::with("enterprise", &[("GRAPH_BASE_URL", graph.uri().as_str())]).await;
    let agent = bench.agent("", "You are a test.").await;
    let number: PhoneNumber = serde_json::from_value(json!({ "id": PHONE })).unwrap();
    let credentials = Credentials { token: AccessToken::parse("EAAG0000000000000000").unwrap(), app_secret: None };
    let (sealer, verify) = (bench.app.sealer().await.unwrap(), VerifyToken::generate(PHONE).unwrap());
    let item =
        whatsapp::connection(&sealer, (&bench.tenant, &agent), (&number, None), &credentials, &verify, 1).unwrap();
    assert!(bench.app.store().put_connection(&item).await.unwrap());
    let posted = ResponseTemplate::new(200).set_body_json(json!({ "messages": [{ "id": "wamid.out" }] }));
    Mock::given(path(format!("/{PHONE}/messages"))).respond_with(posted).mount(&graph).await;
    let incoming = |wamid: &str| Incoming {
        platform: Platform::WhatsApp,
        connection: PHONE.to_owned(),
        event: wamid.to_owned(),
        conversation: "16505551234".to_owned(),
        request: Request::Answer { text: "Hello".to_owned() },
        place: json!({ "to": { "phone": "16505551234" }, "message": wamid }),
        received_at: testkit::BEGIN,
    };
    let answers = async |wamid: &str| {
        let body = serde_json::to_string(&incoming(wamid)).unwrap();
        let worked = channel_worker::consume(&bench.app, Received { body, receives: 1, deadline: None }).await;
        assert_eq!(worked, Worked::Done);
        bench.settle().await;
        bench.app.tasks().reopen();
        let asked = graph.received_requests().await.unwrap();
        asked.iter().filter(|request| String::from_utf8_lossy(&request.body).contains("You said")).count()
    };
    assert_eq!(answers("wamid.in1").await, 1);
    for _ in 0..7 {
        bench.wait(DAY);
        bench.expire().await;
        assert_eq!(answers("wamid.in1").await, 1);
    }
    bench.wait(Duration::from_secs(3600));
    bench.expire().await;
    assert_eq!(answers("wamid.in1").await, 1);
    assert_eq!(answers("wamid.in2").await, 2, "another one is answered");
}

//! Whole turns of a project's agents: what is answered, stored and told again.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use futures::StreamExt;
use serde_json::{Value, json};
use shared::admission::Admission;
use shared::agent::{Agent, Member};
use shared::auth::{Endpoint, Vouched};
use shared::id::{AgentId, RequestId, SessionId};
use shared::session::{EscalationReason, Speaker, Turn, Wish};
use shared::store::TurnItem;
use shared::turn::{self, Answer, AppTurn, TurnEvent, TurnFailure, TurnInput, TurnRequest, Turns};
use testkit::{BEGIN, Bench};

const FRONT: &str = "tools: [{ use: handoff }, { use: escalate_to_human }, { name: look, code: return 1 }]";
const BACK: &str = "tools: [{ name: find, code: return 2 }]";

/// Two agents of a project; the first is the one that is called.
struct Project {
    bench: Bench,
    agents: Vec<Agent>,
}

impl Project {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let mut agents = Vec::new();
        for (head, prompt) in [(FRONT, "You greet {{memory.name}}."), (BACK, "You serve {{memory.name}}.")] {
            let id = bench.agent(head, prompt).await;
            let item = bench.app.store().agent(&bench.tenant, &id).await.unwrap().unwrap();
            agents.push(Agent::try_from(item).unwrap());
        }
        Self { bench, agents }
    }

    fn name(&self, index: usize) -> &str {
        &self.agents[index].document.name
    }

    fn speaker(&self, index: usize) -> Speaker {
        Speaker { id: self.agents[index].id.clone(), name: self.name(index).to_owned() }
    }

    fn handoff(&self) -> String {
        format!("/tool handoff {}", json!({ "agent": self.name(1) }))
    }

    async fn say(&self, memory: &Value, words: &str) -> Result<Box<Answer>, TurnFailure> {
        let (app, agent) = (&self.bench.app, &self.agents[0].id);
        let endpoint = Endpoint::AgentChat;
        let vouched = Vouched { tenant: &self.bench.tenant, agent, endpoint, identity: "ada", idempotency: None };
        let caller = vouched.by(app.gatekeeper()).await.unwrap();
        let wish = Wish::Named(SessionId::from("conversation"));
        let Admission::Run(admitted) = app.admissions().admit(&caller.pass, wish, None).await.unwrap() else {
            return Err(TurnFailure::Lost);
        };
        let member = |agent: &Agent| Member {
            id: agent.id.clone(),
            name: agent.document.name.clone(),
            description: agent.document.description.clone(),
        };
        let memory = memory.as_object().cloned().unwrap_or_default();
        let (_, events) = app.turns().run(TurnRequest {
            trace: admitted.trace,
            request: RequestId::generate(),
            function: "test",
            source: endpoint.name(),
            listeners: caller.listeners(),
            agent: caller.agent,
            app: Some(AppTurn { members: self.agents.iter().map(member).collect(), memory }),
            session: admitted.session,
            input: TurnInput { message: words.to_owned(), ..TurnInput::default() },
            budget: None,
            claim: None,
            key_used: None,
            deadline: None,
        });
        turn::last(events).await
    }

    async fn stored(&self, number: u64) -> Option<TurnItem> {
        let (store, session) = (self.bench.app.store(), SessionId::from("conversation"));
        store.turn(&self.bench.tenant, &self.agents[0].id, &session, number, BEGIN).await.unwrap()
    }
}

#[tokio::test]
async fn the_answer_names_who_gave_it_and_the_tools_in_the_order_of_their_use() {
    let project = Project::new().await;
    let words = format!(
        "/tool look {{}}\n/tool look {{}}\n/then\n/tool escalate_to_human {{\"summary\": \"Help.\"}}\n{}\n/then\n\
         /tool find {{}}\n/tool look {{}}\n/then\n/context",
        project.handoff()
    );
    let answer = project.say(&json!({ "name": "Ada" }), &words).await.unwrap();
    assert!(answer.text.starts_with("You serve Ada.\n\nToday is "), "{}", answer.text);
    assert_eq!(answer.agent, project.speaker(1));
    assert_eq!(answer.tools_used, ["look", "escalate_to_human", "handoff", "find"]);
    assert_eq!(answer.tool_calls, 6);
}

#[tokio::test]
async fn a_turn_is_stored_with_its_rounds_and_replayed_as_it_was() {
    let project = Project::new().await;
    let asked = json!({ "summary": "Help.", "reason": "tool_failure" });
    let words = format!("/tool escalate_to_human {asked}\n{}\n/then\n/tool find {{}}", project.handoff());
    let answer = project.say(&json!({}), &words).await.unwrap();
    let item = project.stored(1).await.unwrap();
    assert_eq!(item.agent, project.agents[0].id, "the session is that of the agent which was called");
    let turn = Turn::from_record(&item.record).unwrap();
    assert_eq!(turn.agent, Some(project.speaker(1)));
    let escalation = turn.escalation.unwrap();
    assert_eq!((escalation.reason, escalation.agent), (EscalationReason::ToolFailure, project.speaker(0)));
    let rounds: Vec<_> = turn.rounds.iter().map(|round| (round.agent.as_str(), round.handoff.as_deref())).collect();
    let (front, back) = (project.name(0), project.name(1));
    assert_eq!(rounds, [(front, Some(back)), (back, None), (back, None)]);
    let tokens: u64 = turn.rounds.iter().map(|round| round.usage.total()).sum();
    assert_eq!((tokens, turn.usage), (answer.usage.total(), answer.usage));
    let paid = project.bench.usage().await;
    assert_eq!(paid.input_tokens + paid.output_tokens, tokens);

    let replayed: Vec<TurnEvent> = Turns::replay(&item).unwrap().collect().await;
    assert!(matches!(&replayed[1], TurnEvent::Finished(again) if *again == answer), "{replayed:?}");
}

#[tokio::test]
async fn what_is_kept_about_a_conversation_is_read_anew_for_each_message() {
    let project = Project::new().await;
    for name in ["Ada", "Grace"] {
        let answer = project.say(&json!({ "name": name }), "/context").await.unwrap();
        assert!(answer.text.starts_with(&format!("You greet {name}.\n\n")), "{}", answer.text);
        assert_eq!((answer.agent, answer.tools_used), (project.speaker(0), Vec::<String>::new()));
    }
    let answer = project.say(&json!({}), "/history").await.unwrap();
    assert!(answer.text.starts_with("I was given 5 messages"), "{}", answer.text);
}

#[tokio::test]
async fn a_turn_that_fails_after_a_handoff_is_paid_for_and_leaves_nothing_else() {
    let project = Project::new().await;
    let escalate = "/tool escalate_to_human {\"summary\": \"Help.\"}";
    let failed = project.say(&json!({}), &format!("{escalate}\n{}\n/then\n/cut", project.handoff())).await;
    assert!(matches!(failed, Err(TurnFailure::Model(_))), "{failed:?}");
    assert!(project.stored(1).await.is_none());
    assert!(project.bench.usage().await.output_tokens > 2);
    assert_eq!(project.say(&json!({}), "hello").await.unwrap().text, "You said: hello");
}

#[tokio::test]
async fn who_takes_over_is_the_agent_as_it_stands_now() {
    let project = Project::new().await;
    project.bench.put_agent(&project.agents[1].id, 2, "", "You are new.").await;
    let answer = project.say(&json!({}), &format!("{}\n/then\n/context", project.handoff())).await.unwrap();
    assert!(answer.text.starts_with("You are new.\n\n"), "{}", answer.text);
    let gone: &AgentId = &project.agents[1].id;
    assert!(project.bench.app.store().delete_agent(&project.bench.tenant, gone).await.unwrap());
    let answer = project.say(&json!({}), &project.handoff()).await.unwrap();
    assert_eq!((answer.agent, answer.text.contains("is not there")), (project.speaker(0), true));
}

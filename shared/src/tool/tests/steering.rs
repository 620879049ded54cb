//! The tools that steer a turn.

use super::*;
use crate::id::{AgentId, TenantId};

fn member(id: &str, name: &str, description: &str) -> Member {
    Member { id: AgentId::from(id), name: name.to_owned(), description: description.to_owned() }
}

/// The tools of the agent `ag_1`, `support`, among others.
fn among(tools: Value, others: &[Member]) -> Toolbox {
    let document = json!({ "name": "support", "model": "demo/echo", "tools": tools });
    let agent = Agent {
        id: AgentId::from("ag_1"),
        tenant: TenantId::from("ten_1"),
        version: 1,
        updated_at: jiff::Timestamp::UNIX_EPOCH,
        document: Arc::new(serde_json::from_value(document).unwrap()),
    };
    let members: Vec<_> = std::iter::once(member("ag_1", "support", "Helps")).chain(others.iter().cloned()).collect();
    let egress = Egress::new(tls(TlsRoots::Bundled).unwrap(), EgressSettings::default()).unwrap();
    Toolbox::within(&agent, &members, egress)
}

fn names(toolbox: &Toolbox) -> Vec<String> {
    toolbox.specs().into_iter().map(|spec| spec.name).collect()
}

fn others() -> [Member; 2] {
    [member("ag_2", "billing", "Invoices\nand   refunds"), member("ag_3", "shipping", "")]
}

#[tokio::test]
async fn an_agent_that_is_called_alone_has_none_of_them() {
    let tools = json!([{ "use": "handoff" }, { "use": "escalate_to_human" }, { "name": "own", "code": "" }]);
    let alone = toolbox(tools, json!({}), Reach::Public);
    assert_eq!(names(&alone), ["own"]);
    for (name, input) in [("handoff", json!({ "agent": "billing" })), ("escalate_to_human", json!({ "summary": "x" }))]
    {
        let outcome = alone.call(name, &input, None).await;
        assert_eq!(outcome, ToolOutcome::error(&format!("there is no tool {name:?}; there are: own")));
    }
}

#[tokio::test]
async fn a_handoff_names_the_others_and_what_they_are_for() {
    let toolbox = among(json!([{ "use": "handoff" }]), &others());
    let spec = &toolbox.specs()[0];
    assert!(spec.description.ends_with("The agents:\n- billing: Invoices and refunds\n- shipping"), "{spec:?}");
    assert_eq!(spec.parameters["properties"]["agent"]["enum"], json!(["billing", "shipping"]));
    let outcome = toolbox.call("handoff", &json!({ "agent": "shipping", "reason": "a parcel" }), None).await;
    assert_eq!(outcome.steering, Some(Steering::HandOver(others()[1].clone())));
}

#[tokio::test]
async fn it_goes_to_those_alone_that_it_is_bound_to() {
    let toolbox = among(json!([{ "use": "handoff", "to": ["shipping", "gone", "support"] }]), &others());
    assert_eq!(toolbox.specs()[0].parameters["properties"]["agent"]["enum"], json!(["shipping"]));
    for refused in [json!({ "agent": "billing" }), json!({ "agent": "support" }), json!({ "agent": 1 }), json!({})] {
        let outcome = toolbox.call("handoff", &refused, None).await;
        assert!(outcome.is_error && outcome.steering.is_none(), "{refused}: {outcome:?}");
    }
}

#[test]
fn it_is_not_there_where_it_leads_nowhere() {
    assert_eq!(
        names(&among(json!([{ "use": "handoff" }, { "use": "escalate_to_human" }]), &[])),
        ["escalate_to_human"]
    );
    assert!(names(&among(json!([{ "use": "handoff", "to": ["gone"] }]), &others())).is_empty());
    assert!(names(&among(json!([]), &others())).is_empty());
}

#[tokio::test]
async fn an_escalation_has_a_reason_and_a_bounded_summary() {
    let toolbox = among(json!([{ "use": "escalate_to_human" }]), &[]);
    let steering = async |input: Value| toolbox.call("escalate_to_human", &input, None).await.steering;
    let escalate = |reason, summary: &str| Some(Steering::Escalate { reason, summary: summary.to_owned() });
    let plain = steering(json!({ "summary": " The parcel is lost. " })).await;
    assert_eq!(plain, escalate(EscalationReason::AgentRequested, "The parcel is lost."));
    let asked = steering(json!({ "reason": "user_requested", "summary": "é".repeat(3_000) })).await;
    assert_eq!(asked, escalate(EscalationReason::UserRequested, &format!("{}…", "é".repeat(2_000))));
    for wrong in [json!({}), json!({ "summary": 1 }), json!({ "reason": "boredom", "summary": "x" })] {
        assert_eq!(steering(wrong.clone()).await, None, "{wrong}");
    }
}

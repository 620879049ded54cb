"""WhatsApp, from connecting a number to its answers: the real binary against a Graph API of our own."""

import httpx
import pytest
from pywa.utils import webhook_updates_validator

import node
from fake import LOST, Fault, owner
from graph_fake import Graph
from orrery import AGENTS, ROOT, Orrery

EVERYTHING = (ROOT / "shared" / "src" / "channel" / "fixtures" / "answer.md").read_text()


@pytest.fixture(scope="module")
def common(tmp_path_factory):
    """One Graph API, and one server whose agent answers for its number."""
    graph = Graph()
    graph.server = Orrery(tmp_path_factory.mktemp("whatsapp"), AGENTS, graph.environment())
    graph.server.start()
    yield graph
    graph.server.stop()
    graph.stop()


@pytest.fixture
def graph(common):
    common.sent.clear()
    common.faults.clear()
    common.read.clear()
    response = connect(common, businessAccountId=common.ACCOUNT)
    assert response.status_code == 200, response.text
    yield common
    assert common.violations == []


def connect(graph, **fields):
    with owner(graph.server) as client:
        body = {"agentId": graph.server.agent_id("echo"), "phoneNumberId": graph.PHONE, "accessToken": graph.TOKEN, **fields}
        return client.post("/api/whatsapp/setup", json=body)


def refusal(status, code):
    return Fault(status, {"error": {"message": f"(#{code}) words", "type": "OAuthException", "code": code}})


def test_from_a_token_to_an_answer(graph):
    told = connect(graph, businessAccountId=graph.ACCOUNT).json()
    assert told["webhook"] == "registered" and graph.subscribed[-1] == graph.ACCOUNT
    assert graph.callback["override_callback_uri"] == f"https://bots.example/api/whatsapp/webhook?connection={graph.PHONE}"
    asked = graph.text("Où est la commande 7 ? 😀 @shop a/b")
    body = graph.bytes(graph.notification(graph.change(asked)))
    assert webhook_updates_validator(graph.SECRET, body, graph.sign(body)) and b"\\u00f9" in body and b"a\\/b" in body
    assert graph.deliver(body=body).status_code == 200
    sent = graph.wait_for_sent()[0]
    assert "Où est la commande 7 ? 😀 @shop a/b" in sent["text"]["body"]
    assert (sent["to"], sent["context"]) == ("16505551234", {"message_id": asked["id"]})
    assert graph.read[0]["message_id"] == asked["id"] and graph.read[0]["typing_indicator"] == {"type": "text"}
    log, kept = graph.server.log.read_text(), graph.server.database_bytes()
    for secret in (graph.TOKEN, graph.SECRET, told["verifyToken"]):
        assert secret not in log and secret.encode() not in kept


def test_other_libraries_take_what_we_take_for_metas(graph):
    body = graph.bytes(graph.notification(graph.change(graph.text("é 😀 @ a/b"))))
    signature = graph.sign(body)
    assert webhook_updates_validator(graph.SECRET, body, signature)
    assert node.run("whatsapp-signature.mjs", graph.SECRET, body.decode(), signature).strip() == "true"
    assert graph.deliver(body=body, signature=signature).status_code == 200


def test_a1_meta_is_told_yes_with_the_verify_token_alone(graph):
    told = connect(graph).json()
    assert told["webhook"] == "to_be_registered"
    url = f"{graph.server.url}/api/whatsapp/webhook"
    good = {"hub.mode": "subscribe", "hub.verify_token": told["verifyToken"], "hub.challenge": "<1>"}
    for query in (good, {**good, "connection": graph.PHONE}):
        answer = httpx.get(url, params=query)
        assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "<1>", "text/plain")
    for change in ({"hub.mode": "unsubscribe"}, {"hub.verify_token": "x"}, {"hub.verify_token": ""}, {"connection": "1"}):
        assert httpx.get(url, params={**good, **change}).status_code == 403, change
    assert httpx.get(url).status_code == 403
    chosen = connect(graph, verifyToken="my-own-token").json()
    query = {**good, "hub.verify_token": "my-own-token"}
    assert chosen["verifyToken"] == "my-own-token"
    assert httpx.get(url, params=query).status_code == 403, "a chosen token does not name its number"
    assert httpx.get(url, params={**query, "connection": graph.PHONE}).text == "<1>"
    assert httpx.get(url, params={**good, "connection": graph.PHONE}).status_code == 403, "the old token is gone"


def test_a2_only_what_is_signed_is_taken(graph):
    body = graph.bytes(graph.notification(graph.change(graph.text("x"))))
    good = graph.sign(body)
    for wrong in ("sha256=", "sha256=" + "0" * 64, good[:-1], good[7:], graph.sign(body, "other"), graph.sign(body + b" "), "é"):
        assert graph.deliver(body=body, signature=wrong.encode()).status_code == 401, wrong
    url = f"{graph.server.url}/api/whatsapp/webhook"
    assert httpx.post(url, content=body).status_code == 401
    assert graph.stays_at(0, 0.5)


def test_without_an_app_secret_nothing_is_taken(own_orrery):
    server = own_orrery()
    assert httpx.post(f"{server.url}/api/whatsapp/webhook", content=b"{}", headers={"X-Hub-Signature-256": "sha256=00"}).status_code == 503


def test_an_app_of_ones_own_signs_for_its_number_alone(graph):
    assert connect(graph, appSecret="f" * 32, businessAccountId=graph.ACCOUNT).status_code == 200
    body = graph.bytes(graph.notification(graph.change(graph.text("own"))))
    assert graph.deliver(body=body).status_code == 401
    assert graph.deliver(body=body, query={}).status_code == 200, "the deployment's app is not this number's"
    assert graph.stays_at(0, 0.7)
    assert graph.deliver(body=body, signature=graph.sign(body, "f" * 32)).status_code == 200
    assert "own" in graph.wait_for_sent()[0]["text"]["body"]


def test_a3_every_message_of_a_batch_is_answered_and_the_rest_is_passed_over(graph):
    statuses = [{"id": "wamid.x", "status": "failed", "errors": [{"code": 131047}]}, {"id": "wamid.y", "status": "read"}]
    answer = graph.deliver(
        graph.change(graph.text("one"), {"type": "unknown"}, graph.text("two", "16505550002")),
        {"field": "account_update", "value": {"event": "x"}},
        graph.change(messages=[], statuses=statuses),
        graph.change(graph.text("", type="reaction", reaction={"emoji": "👍", "message_id": "wamid.x"})),
        graph.change(graph.text("nobody"), metadata={"phone_number_id": "1"}),
        graph.change(graph.text("three", "16505550003")),
    )
    assert answer.status_code == 200
    sent = graph.wait_for_sent(3)
    assert sorted(one["to"] for one in sent) == ["16505550002", "16505550003", "16505551234"]
    assert graph.stays_at(3, 0.5) and "131047" in graph.server.log.read_text()
    for body in (b"{}", b"[]", b"{", b"null", b'{"object":"page"}'):
        assert graph.deliver(body=body).status_code == 200, body


def test_a4_a_message_that_comes_again_is_answered_once(graph):
    message = graph.text("once")
    for _ in range(3):
        assert graph.deliver(graph.change(message)).status_code == 200
    graph.wait_for_sent()
    assert graph.deliver(graph.change(message)).status_code == 200
    assert graph.stays_at(1)


def test_a5_who_shows_no_number_is_answered_by_their_id(graph):
    message = graph.text("hidden", from_user_id="US.13491208655302741918")
    del message["from"]
    contacts = [{"profile": {"name": "Adé", "username": "ade"}, "user_id": "US.13491208655302741918"}]
    assert graph.deliver(graph.change(message, contacts=contacts)).status_code == 200
    sent = graph.wait_for_sent()[0]
    assert sent["recipient"] == "US.13491208655302741918" and "to" not in sent


def test_media_is_answered_politely_and_choices_are_words(graph):
    graph.deliver(graph.change(graph.text("", type="audio", audio={"id": "1"})))
    assert graph.wait_for_sent()[0]["text"]["body"]
    interactive = {"type": "button_reply", "button_reply": {"id": "1", "title": "Green tea"}}
    graph.deliver(graph.change(graph.text("", type="interactive", interactive=interactive)))
    assert "Green tea" in graph.wait_for_sent(2)[1]["text"]["body"]


def test_a6_the_closed_window_is_logged_and_not_tried_again(graph):
    graph.faults.append(refusal(400, 131047))
    graph.deliver(graph.change(graph.text("late")))
    assert graph.stays_at(0, 1.5) and graph.faults == []
    tried = [body for _, path, body, _ in graph.calls if path.endswith("/messages") and "late" in str(body)]
    assert len(tried) == 1 and "131047" in graph.server.log.read_text()


def test_faults_that_pass_are_waited_for(graph):
    graph.faults += [LOST, refusal(503, 131016)]
    graph.deliver(graph.change(graph.text("lost")))
    sent = graph.wait_for_sent(2)
    assert sent[0] == sent[1] and graph.stays_at(2)


def test_a6_an_answer_with_everything_in_it_fits(graph):
    graph.deliver(graph.change(graph.text(EVERYTHING)))
    body = graph.wait_for_sent()[0]["text"]["body"]
    assert "*hot*" in body and "```\nfn main()" in body and "(https://shop.example/orders" in body


def test_a_number_that_was_disconnected_is_silent(graph):
    with owner(graph.server) as client:
        agent = graph.server.agent_id("echo")
        listed = client.get("/api/whatsapp/setup", params={"agentId": agent})
        assert [one["phoneNumberId"] for one in listed.json()["numbers"]] == [graph.PHONE]
        assert graph.TOKEN not in listed.text
        gone = client.delete("/api/whatsapp/setup", params={"agentId": agent, "phoneNumberId": graph.PHONE})
        assert gone.status_code == 200 and graph.callback is None
    assert graph.deliver(graph.change(graph.text("x"))).status_code == 200
    assert graph.stays_at(0, 0.7)


def test_credentials_that_do_not_hold_connect_nothing(graph):
    assert connect(graph, accessToken="EAAG" + "1" * 28).json()["code"] == "invalid_access_token"
    assert connect(graph, phoneNumberId="1").json()["code"] == "whatsapp_refused"
    assert connect(graph, phoneNumberId="../me").status_code == 400


def test_a_slow_mark_as_read_does_not_break_the_turn(graph):
    graph.other_seconds = 3
    graph.deliver(graph.change(graph.text("/slow 1000")))
    graph.wait_for_sent()
    graph.other_seconds = 0
    assert graph.read and graph.stays_at(1)


def test_an_answer_that_hangs_is_given_up_and_sent_again(graph):
    graph.faults[:] = [Fault(is_done=True, seconds=25)]
    before = len(graph.calls)
    graph.deliver(graph.change(graph.text("patience")))
    graph.wait_for_sent(2, seconds=40)
    times = [at for _, _, body, at in graph.calls[before:] if body and body.get("type") == "text"]
    assert 19.5 <= times[1] - times[0] < 25, "Meta has 20 seconds"
    assert graph.stays_at(2)

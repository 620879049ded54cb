"""Telegram, from connecting a bot to its answers: the real binary against a Telegram of our own."""

import time

import aiogram.types
import pytest
import telegram

from fake import LOST, Fault, owner
from orrery import AGENTS, ROOT, Orrery
from telegram_fake import Telegram
from upstream import Scripted, openai_chunk, openai_end

EVERYTHING = (ROOT / "shared" / "src" / "channel" / "fixtures" / "answer.md").read_text()


@pytest.fixture
def fake():
    fake = Telegram()
    yield fake
    fake.stop()
    assert fake.violations == []


@pytest.fixture
def connect(fake, own_orrery):
    """A server whose agent answers for the bot."""

    def connect(agent="echo", **environment):
        server = own_orrery(**fake.environment(), **environment)
        with owner(server) as client:
            body = {"agentId": server.agent_id(agent), "botToken": fake.TOKEN}
            response = client.post("/api/telegram/setup", json=body)
            assert response.status_code == 200, response.text
        return server

    return connect


def refusal(code, description, **parameters):
    return Fault(code, {"ok": False, "error_code": code, "description": description, "parameters": parameters})


def deliver(fake, server, **message):
    update = fake.update(**message)
    # Both libraries take our updates for Telegram's.
    assert telegram.Update.de_json(update, None).effective_message.chat_id == update["message"]["chat"]["id"]
    assert aiogram.types.Update.model_validate(update).message.chat.id == update["message"]["chat"]["id"]
    response = fake.deliver(server, update)
    assert (response.status_code, response.json()) == (200, {"ok": True}), response.text
    return update["message"]


def test_t5_from_a_token_that_is_never_told_to_an_answer(fake, connect):
    server = connect()
    assert fake.webhook["url"] == "https://bots.example/api/telegram/webhook"
    asked = deliver(fake, server, text="Where is order 7? 😀 <b>&")
    sent = fake.wait_for_sent()[0]
    assert "Where is order 7? 😀 <b>&" in sent["plain"] and sent["chat_id"] == 5123456789
    assert sent["reply_parameters"]["message_id"] == asked["message_id"]
    assert fake.typing[0]["chat_id"] == 5123456789
    log, kept = server.log.read_text(), server.database_bytes()
    for secret in (fake.TOKEN, fake.TOKEN[10:], fake.webhook["secret_token"]):
        assert secret not in log and secret.encode() not in kept


def test_an_answer_with_everything_in_it_is_read_as_it_was_meant(fake, connect):
    server = connect()
    deliver(fake, server, text=EVERYTHING)
    sent = fake.wait_for_sent()[0]
    assert sent["parse_mode"] == "HTML" and "<pre><code class=\"language-rust\">" in sent["text"]
    assert "javascript" not in sent["text"]


def test_t2_updates_that_come_again_are_answered_once(fake, connect):
    server = connect()
    update = fake.update(text="once")
    for _ in range(3):
        assert fake.deliver(server, update).status_code == 200
    fake.wait_for_sent()
    assert fake.deliver(server, update).status_code == 200
    assert fake.stays_at(1)


def test_a_chat_remembers_topics_stand_apart_and_new_forgets(fake, connect):
    server = connect()
    deliver(fake, server, text="/start", entities=[{"type": "bot_command", "offset": 0, "length": 6}])
    fake.wait_for_sent(1)
    deliver(fake, server, text="/new", entities=[{"type": "bot_command", "offset": 0, "length": 4}])
    fake.wait_for_sent(2)
    forum = {"id": -1001234567890123, "type": "supergroup", "title": "Shop", "is_forum": True}
    mention = [{"type": "mention", "offset": 0, "length": 16}]
    where = {"chat": forum, "message_thread_id": 12, "is_topic_message": True}
    deliver(fake, server, text="@orrery_test_bot hello", entities=mention, **where)
    sent = fake.wait_for_sent(3)[2]
    assert (sent["chat_id"], sent["message_thread_id"]) == (-1001234567890123, 12)
    assert "orrery_test_bot" not in sent["plain"] and "hello" in sent["plain"]


def test_t3_what_is_not_meant_for_the_bot_is_taken_and_not_answered(fake, connect):
    server = connect()
    group = {"id": -5, "type": "group", "title": "Shop"}
    deliver(fake, server, chat=group, text="hello all")
    for update in [
        {"update_id": 1, "edited_message": fake.update(text="x")["message"]},
        {"update_id": 2, "my_chat_member": {"chat": group}},
        {"update_id": 3, "made_up": {"deep": [1]}},
        fake.update(text="x", **{"from": {"id": 7, "is_bot": True, "first_name": "Bot"}}),
        fake.update(migrate_to_chat_id=-1001234567890124, chat=group),
    ]:
        assert fake.deliver(server, update).status_code == 200
    assert fake.stays_at(0)
    deliver(fake, server, voice={"file_id": "x", "file_unique_id": "x", "duration": 1})
    assert fake.wait_for_sent(), "what cannot be read is told in private"


def test_t1_secrets_are_needed_replaced_and_gone_with_the_bot(fake, connect):
    server = connect()
    old = fake.webhook["secret_token"]
    for wrong in ("x", "110201543_x", old[:-1]):
        assert fake.deliver(server, fake.update(text="x"), wrong).status_code == 401
    with owner(server) as client:
        agent = server.agent_id("echo")
        assert client.post("/api/telegram/setup", json={"agentId": agent, "botToken": fake.TOKEN}).status_code == 200
        assert fake.deliver(server, fake.update(text="x"), old).status_code == 401
        bots = client.get("/api/telegram/setup", params={"agentId": agent}).json()["bots"]
        assert [bot["botUsername"] for bot in bots] == ["orrery_test_bot"]
        new = fake.webhook["secret_token"]
        gone = client.request("DELETE", "/api/telegram/setup", json={"agentId": agent})
        assert gone.json() == {"success": True} and fake.webhook == {}
        assert fake.deliver(server, fake.update(text="x"), new).status_code == 401
    assert fake.stays_at(0)


def test_t4_telegram_is_asked_again_when_it_says_so(fake, connect):
    server = connect()
    fake.faults = [refusal(429, "Too Many Requests: retry after 1", retry_after=1)]
    deliver(fake, server, text="busy")
    fake.wait_for_sent()
    times = [at for _, path, _, at in fake.calls if path.endswith("/sendMessage")]
    assert len(times) == 2 and times[1] - times[0] >= 1
    assert fake.stays_at(1)


def test_t4_markup_that_is_not_read_becomes_plain_text(fake, connect):
    server = connect()
    fake.faults = [refusal(400, "Bad Request: can't parse entities: Unsupported start tag")]
    deliver(fake, server, text="**bold** <x>")
    sent = fake.wait_for_sent()[0]
    assert "parse_mode" not in sent and "bold <x>" in sent["text"]


@pytest.mark.parametrize("code, description", [
    (403, "Forbidden: bot was blocked by the user"), (400, "Bad Request: chat not found"), (401, "Unauthorized"),
])
def test_t4_a_chat_that_is_closed_is_left_alone(fake, connect, code, description):
    server = connect()
    fake.faults = [refusal(code, description)]
    deliver(fake, server, text="first")
    time.sleep(1.5)
    assert fake.sent == [] and fake.faults == []
    deliver(fake, server, text="second")
    assert "second" in fake.wait_for_sent()[0]["plain"]


def test_t4_a_group_that_moved_is_answered_where_it_is(fake, connect):
    server = connect()
    words = "Bad Request: group chat was upgraded to a supergroup chat"
    fake.faults = [refusal(400, words, migrate_to_chat_id=-1001234567890124)]
    group = {"id": -5, "type": "group", "title": "Shop"}
    mention = [{"type": "mention", "offset": 0, "length": 16}]
    deliver(fake, server, chat=group, text="@orrery_test_bot hello", entities=mention)
    assert fake.wait_for_sent()[0]["chat_id"] == -1001234567890124


def test_a_lost_answer_is_sent_again_and_never_missing(fake, connect):
    server = connect()
    fake.faults = [LOST, refusal(500, "Internal Server Error")]
    deliver(fake, server, text="lost")
    sent = fake.wait_for_sent(2)
    assert sent[0]["plain"] == sent[1]["plain"]
    assert fake.stays_at(2)


def test_slow_typing_does_not_break_the_turn(fake, connect):
    server = connect()
    fake.other_seconds = 3
    deliver(fake, server, text="/slow 5000")
    sent = fake.wait_for_sent()
    fake.other_seconds = 0
    assert fake.typing and sent[0]["reply_parameters"]
    assert fake.stays_at(1)


def test_an_answer_that_hangs_is_given_up_and_sent_again(fake, connect):
    server = connect()
    fake.faults = [Fault(is_done=True, seconds=25)]
    deliver(fake, server, text="patience")
    fake.wait_for_sent(2, seconds=40)
    times = [at for _, path, _, at in fake.calls if path.endswith("/sendMessage")]
    assert 19.5 <= times[1] - times[0] < 25, "Telegram has 20 seconds"
    assert fake.stays_at(2)


def test_t4_a_long_answer_comes_in_order_in_messages_of_their_own(fake, connect):
    words = [f"word{number}" for number in range(2500)]
    text = "```text\n" + "\n".join(" ".join(words[at:at + 10]) for at in range(0, 2500, 10)) + "\n```"
    model = Scripted(lambda _, send: (send(openai_chunk({"content": text})), send(openai_end())))
    server = connect("gpt", **model.environment())
    deliver(fake, server, text="tell me all")
    sent = fake.wait_for_sent(6)
    model.stop()
    assert " ".join(one["plain"] for one in sent).split() == words
    assert all(one["text"].startswith("<pre>") for one in sent)
    assert ["reply_parameters" in one for one in sent] == [True] + [False] * (len(sent) - 1)

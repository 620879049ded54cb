"""What events/ and our platforms tell is what the platforms tell: the types of other libraries read it, each in its own way."""

import json

import aiogram.types
import pytest
import telegram
from pywa import WhatsApp
from pywa.types import Message, MessageStatus

from graph_fake import Graph
from orrery import ROOT
from telegram_fake import Telegram

TELEGRAM = sorted((ROOT / "events").glob("telegram-webhook*.json"))
# The handshake has no body.
WHATSAPP = sorted(path for path in (ROOT / "events").glob("whatsapp-webhook*.json") if "verify" not in path.name)
PRIVATE = {"id": 5123456789, "type": "private", "first_name": "Ada"}
FORUM = {"id": -1001234567890123, "type": "supergroup", "title": "Shop", "is_forum": True}


def body(path):
    return json.loads(json.loads(path.read_text())["body"])


@pytest.fixture
def fake():
    fake = Telegram()
    yield fake
    fake.stop()


def reads_update(update):
    """Both libraries read it, and read the same."""
    ours = update["message"]
    for message in [aiogram.types.Update.model_validate(update).message, telegram.Update.de_json(update, None).message]:
        assert (message.message_id, message.chat.id, message.chat.type) == (ours["message_id"], ours["chat"]["id"], ours["chat"]["type"])
        assert (message.text, message.message_thread_id) == (ours.get("text"), ours.get("message_thread_id"))
        assert message.from_user.id == ours["from"]["id"]
        named = [entity.type for entity in message.entities or ()]
        assert [str(getattr(name, "value", name)) for name in named] == [entity["type"] for entity in ours.get("entities", ())]


@pytest.mark.parametrize("path", TELEGRAM, ids=lambda path: path.name)
def test_an_event_of_telegrams_is_an_update_to_others(path):
    reads_update(body(path))


@pytest.mark.parametrize("message", [
    {"text": "hello"},
    {"text": "/start", "entities": [{"type": "bot_command", "offset": 0, "length": 6}]},
    {"text": "@orrery_test_bot hello", "entities": [{"type": "mention", "offset": 0, "length": 16}], "chat": FORUM,
     "message_thread_id": 12, "is_topic_message": True},
    {"voice": {"file_id": "x", "file_unique_id": "x", "duration": 1}},
    {"migrate_to_chat_id": -1001234567890124, "chat": {"id": -5, "type": "group", "title": "Shop"}},
])
def test_what_our_telegram_sends_is_an_update_to_others(fake, message):
    reads_update(fake.update(**message))


def test_what_our_telegram_answers_is_read_by_others(fake):
    bot = fake.call_getMe({})
    assert aiogram.types.User.model_validate(bot).username == telegram.User.de_json(bot, None).username == "orrery_test_bot"
    fake.trouble = {"last_error_date": 1774449000, "last_error_message": "Connection refused"}
    info = fake.call_getWebhookInfo({})
    assert aiogram.types.WebhookInfo.model_validate(info).last_error_message == "Connection refused"
    assert telegram.WebhookInfo.de_json(info, None).pending_update_count == 0
    posted = fake.call_sendMessage({"chat_id": PRIVATE["id"], "text": "hi"})
    for message in [aiogram.types.Message.model_validate(posted), telegram.Message.de_json(posted, None)]:
        assert (message.message_id, message.text, message.chat.id) == (posted["message_id"], "hi", PRIVATE["id"])


def reads_notification(notification):
    """The messages and statuses that pywa finds where we find them."""
    client, found = WhatsApp(phone_id=Graph.PHONE, token=Graph.TOKEN), []
    for entry in notification["entry"]:
        for change in entry["changes"]:
            own = change["value"]
            for kind, read in [("messages", Message), ("statuses", MessageStatus)]:
                for one in own.get(kind, ()):
                    value = {key: other for key, other in own.items() if key not in ("messages", "statuses")} | {kind: [one]}
                    update = {**notification, "entry": [{**entry, "changes": [{**change, "value": value}]}]}
                    parsed = read.from_update(client, update)
                    assert (parsed.id, parsed.metadata.phone_number_id) == (one["id"], own["metadata"]["phone_number_id"])
                    found.append(parsed)
    return found


@pytest.mark.parametrize("path", WHATSAPP, ids=lambda path: path.name)
def test_an_event_of_metas_is_an_update_to_pywa(path):
    assert reads_notification(body(path))


def test_what_our_meta_sends_is_an_update_to_pywa():
    graph = Graph()
    asked = [graph.text("Où est la commande 7 ?"), graph.text("again", context={"from": "15550783881", "id": "wamid.x"})]
    read = reads_notification(json.loads(graph.bytes(graph.notification(graph.change(*asked)))))
    graph.stop()
    assert [message.text for message in read] == ["Où est la commande 7 ?", "again"]
    assert {message.from_user.wa_id for message in read} == {"16505551234"} and read[1].reply_to_message.message_id == "wamid.x"

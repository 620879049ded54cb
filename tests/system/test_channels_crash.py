"""Nothing lost, nothing twice: a thousand messages to a bot, while the server is killed again and again.

A message is answered twice only where nobody could know better: Telegram's answer was lost on its way, or the server was
killed between a post and its record. Telegram does not tell what was posted.
"""

import collections
import concurrent.futures
import itertools
import random
import threading
import time

import httpx
import pytest

from fake import LOST, Fault, owner
from orrery import wait_for
from telegram_fake import Telegram

MESSAGES = 1000
CHATS = 125
KILLS = 12
# How many messages `orrery serve` works on at once.
WORKERS = 32
# How long a message that a killed worker held stays hidden, and a little more: what comes again has come by then.
HIDDEN_SECONDS = 11
SEED = 20260325

BUSY = Fault(429, {
    "ok": False, "error_code": 429, "description": "Too Many Requests: retry after 1", "parameters": {"retry_after": 1},
})
BROKEN = Fault(500, {"ok": False, "error_code": 500, "description": "Internal Server Error"})
DOCUMENT = """---
name: busy
description: Answers whoever comes
model: demo/echo
limits: { requests_per_minute: { channel: 1000000 } }
---
Say it again.
"""

Post = collections.namedtuple("Post", "chat message at is_lost")


class Unsteady(Telegram):
    """Every tenth post goes wrong; `posts` are those that stand in a chat."""

    def __init__(self, chance):
        super().__init__()
        self.chance, self.posts, self.met = chance, [], collections.Counter()

    def take(self, method, url, body, headers):
        if not self.is_message(url.path, body):
            return super().take(method, url, body, headers)
        with self.lock:
            fault = self.chance.choices([None, LOST, BUSY, BROKEN], [90, 4, 3, 3])[0]
            self.met[fault] += 1
            if fault in (BUSY, BROKEN):
                return fault.status, fault.body
            answer = self.answer(method, url.path, {}, body, headers)
            message = body["reply_parameters"]["message_id"]
            self.posts.append(Post(body["chat_id"], message, time.monotonic(), fault is LOST))
            return None if fault else answer


class Sender:
    """Telegram's other side: posts each update until it is taken."""

    def __init__(self, server, secret):
        self.server, self.again = server, 0
        self.client = httpx.Client(headers={"X-Telegram-Bot-Api-Secret-Token": secret}, timeout=10)

    def send(self, update):
        for _ in range(200):
            try:
                if self.client.post(f"{self.server.url}/api/telegram/webhook", json=update).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            self.again += 1
            time.sleep(0.5)
        raise AssertionError(f"update {update['update_id']} is not taken")

    def talk(self, updates, seed):
        """One chat's updates, one after the other; some come twice at once, and some again later."""
        chance, past = random.Random(seed), []
        for update in updates:
            time.sleep(chance.uniform(0, 10))
            twice = threading.Thread(target=self.send, args=[update]) if chance.random() < 0.1 else None
            if twice:
                twice.start()
            self.send(update)
            if past and chance.random() < 0.1:
                self.send(chance.choice(past))
            if twice:
                twice.join()
            past.append(update)


def conversations(fake, chance):
    """Each chat's updates as they arrive: not always in the order of their ids."""
    chats = collections.defaultdict(list)
    for number in range(MESSAGES):
        chat = {"id": 7_000_000_000 + number % CHATS, "type": "private", "first_name": "Ada"}
        chats[chat["id"]].append(fake.update(text=f"Message {number}", chat=chat))
    for updates in chats.values():
        for at in range(len(updates) - 1):
            if chance.random() < 0.1:
                updates[at], updates[at + 1] = updates[at + 1], updates[at]
    return chats


@pytest.fixture
def fake():
    fake = Unsteady(random.Random(SEED))
    yield fake
    fake.stop()
    assert fake.violations == []


def test_a_thousand_messages_are_answered_in_order_whatever_is_killed(fake, own_orrery, tmp_path, capsys):
    agents = tmp_path / "agents"
    agents.mkdir()
    (agents / "busy.md").write_text(DOCUMENT)
    server = own_orrery(agents, **{**fake.environment(), "ORRERY_DEMO_DELAY_MS": "5"})
    with owner(server) as client:
        body = {"agentId": server.agent_id("busy"), "botToken": fake.TOKEN}
        assert client.post("/api/telegram/setup", json=body).status_code == 200
    chance, kills, started = random.Random(SEED), [], time.monotonic()
    chats = conversations(fake, chance)
    sender = Sender(server, fake.webhook["secret_token"])
    with concurrent.futures.ThreadPoolExecutor(CHATS) as pool:
        talks = [pool.submit(sender.talk, updates, SEED + chat) for chat, updates in chats.items()]
        for point in sorted(chance.sample(range(MESSAGES // 20, MESSAGES * 9 // 10), KILLS)):
            wait_for(lambda: len(fake.posts) >= point, 60, f"{point} posts")
            time.sleep(chance.uniform(0, 0.1))
            before = time.monotonic()
            server.kill()
            kills.append((before, time.monotonic()))
            server.start()
        for talk in talks:
            talk.result(120)
    wanted = {update["message"]["message_id"]: update["message"] for update in itertools.chain(*chats.values())}
    wait_for(lambda: {post.message for post in fake.posts} >= set(wanted), 60, "an answer to each message")
    took = time.monotonic() - started
    time.sleep(HIDDEN_SECONDS)
    stood = len(fake.posts)
    for updates in list(chats.values())[:10]:
        sender.send(updates[0])
    assert fake.stays_at(stood, 3), "a message that comes again is not answered again"

    lost = sum(post.is_lost for post in fake.posts)
    twice = len(fake.posts) - MESSAGES
    with capsys.disabled():
        print(f"\n{MESSAGES} messages in {took:.0f} s, {sender.again} sent again at the door: {twice} answers came twice,"
              f" with {lost} lost answers, {fake.met[BUSY]} refusals, {fake.met[BROKEN]} failures and {len(kills)} kills")
    assert len(kills) >= 10 and lost and fake.met[BUSY] and fake.met[BROKEN]
    assert {post.message for post in fake.posts} == set(wanted)
    for sent in fake.sent:
        assert sent["plain"] == f"You said: {wanted[sent['reply_parameters']['message_id']]['text']}"
    for chat, updates in chats.items():
        answered = [message for message, _ in itertools.groupby(post.message for post in fake.posts if post.chat == chat)]
        assert answered == [update["message"]["message_id"] for update in updates], "in order, and none after the next"
    assert twice <= lost + len(kills) * WORKERS
    by_message = sorted(fake.posts, key=lambda post: (post.message, post.at))
    for one, other in itertools.pairwise(by_message):
        if one.message == other.message and not one.is_lost:
            assert any(one.at <= after and before <= other.at for before, after in kills), "twice for no reason"

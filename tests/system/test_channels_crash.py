"""Nothing lost, nothing twice: a thousand messages to a Telegram bot, hundreds to Slack and WhatsApp, while the server is
killed again and again and every tenth post goes wrong.

On Telegram and WhatsApp a message is answered twice only where nobody could know better: the platform's answer was lost on
its way, or the server was killed between a post and its record. They do not tell what was posted. Slack does: there each
message is answered once.
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
from graph_fake import Graph
from orrery import wait_for
from slack import BOT, Slack
from telegram_fake import Telegram

# How many messages `orrery serve` works on at once.
WORKERS = 32
# How long a message that a killed worker held stays hidden, and a little more: what comes again has come by then.
HIDDEN_SECONDS = 11
# How long the last answer may take: a message that meets a fault six times in a row waits for two minutes in all.
ANSWERED_SECONDS = 300
SEED = 20260325

DOCUMENT = """---
name: busy
description: Answers whoever comes
model: demo/echo
limits: { requests_per_minute: { channel: 1000000 } }
---
Say it again.
"""

Post = collections.namedtuple("Post", "chat message at is_lost")


@pytest.fixture
def busy(own_orrery, tmp_path):
    """Makes a server whose agent `busy` answers."""
    agents = tmp_path / "agents"
    agents.mkdir()
    (agents / "busy.md").write_text(DOCUMENT)
    return lambda **environment: own_orrery(agents, **environment)


class Unsteady:
    """Every tenth post goes wrong; `posts` are those that stand in a chat."""

    def __init__(self, chance, busy, broken):
        super().__init__()
        self.chance, self.posts, self.met = chance, [], collections.Counter()
        self.busy, self.broken = busy, broken

    def take(self, method, url, body, headers):
        if not self.is_message(url.path, body):
            return super().take(method, url, body, headers)
        with self.lock:
            fault = self.chance.choices([None, LOST, self.busy, self.broken], [90, 4, 3, 3])[0]
            self.met[fault] += 1
            if fault in (self.busy, self.broken):
                return fault.status, fault.body
            answer = self.answer(method, url.path, {}, body, headers)
            self.posts.append(Post(*self.answered(body), time.monotonic(), fault is LOST))
            return None if fault else answer


class UnsteadyTelegram(Unsteady, Telegram):
    def __init__(self, chance):
        busy = {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 1", "parameters": {"retry_after": 1}}
        broken = {"ok": False, "error_code": 500, "description": "Internal Server Error"}
        super().__init__(chance, Fault(429, busy), Fault(500, broken))

    def answered(self, body):
        return body["chat_id"], body["reply_parameters"]["message_id"]


class UnsteadyGraph(Unsteady, Graph):
    def __init__(self, chance):
        def refusal(code):
            return {"error": {"message": f"(#{code}) words", "type": "OAuthException", "code": code}}

        super().__init__(chance, Fault(429, refusal(130429)), Fault(500, refusal(131000)))

    def answered(self, body):
        return body["to"], body["context"]["message_id"]


class UnsteadySlack(Slack):
    """Every tenth call that changes or tells what stands in a thread goes wrong."""

    FAULTS = [None, ("lost",), ("cut",), ("status", 429, "1"), ("status", 503)]

    def __init__(self, chance, streams):
        super().__init__(streams)
        self.chance, self.met = chance, collections.Counter()

    def fault(self, method):
        if not method.startswith(("chat.", "conversations.")):
            return None
        fault = self.chance.choices(self.FAULTS, [90, 4, 2, 2, 2])[0]
        self.met[method, fault and fault[0]] += 1
        return fault

    def answers(self):
        """All that the bot has posted, by what it answers."""
        with self.lock:
            posts = [post for channel in self.channels.values() for post in channel if post["user"] == BOT]
        named = collections.defaultdict(list)
        for post in posts:
            named[((post.get("metadata") or {}).get("event_payload") or {}).get("event")].append(post)
        return named


class Sender:
    """A platform's other side: sends each message until it is taken."""

    def __init__(self, server, send):
        self.server, self.again = server, 0
        self.send_once = send
        self.client = httpx.Client(timeout=10)

    def send(self, message):
        for _ in range(200):
            try:
                if self.send_once(message).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            self.again += 1
            time.sleep(0.5)
        raise AssertionError(f"{message} is not taken")

    def talk(self, messages, seed, pace=10):
        """One chat's messages, one after the other; some come twice at once, and some again later."""
        chance, past = random.Random(seed), []
        for message in messages:
            time.sleep(chance.uniform(0, pace))
            twice = threading.Thread(target=self.send, args=[message]) if chance.random() < 0.1 else None
            if twice:
                twice.start()
            self.send(message)
            if past and chance.random() < 0.1:
                self.send(chance.choice(past))
            if twice:
                twice.join()
            past.append(message)

    def talk_of_all(self, chats, chance, kills, posted, pace=10):
        """All chats at once, while the server is killed so often; tells when that was. `posted` counts the answers."""
        total = sum(len(messages) for messages in chats)
        times = []
        with concurrent.futures.ThreadPoolExecutor(len(chats)) as pool:
            talks = [pool.submit(self.talk, messages, SEED + index, pace) for index, messages in enumerate(chats)]
            for point in sorted(chance.sample(range(total // 20, total * 9 // 10), kills)):
                wait_for(lambda: posted() >= point, 60, f"{point} posts")
                time.sleep(chance.uniform(0, 0.1))
                before = time.monotonic()
                self.server.kill()
                times.append((before, time.monotonic()))
                self.server.start()
            for talk in talks:
                talk.result(120)
        return times


def shuffled(messages, chance):
    """As they arrive: not always in the order in which they were sent."""
    for at in range(len(messages) - 1):
        if chance.random() < 0.1:
            messages[at], messages[at + 1] = messages[at + 1], messages[at]
    return messages


def hold(fake, chats, kills):
    """Each message is answered in its chat's order; twice only after a lost answer, or a kill in between."""
    assert {post.message for post in fake.posts} == set(itertools.chain(*chats.values()))
    for chat, messages in chats.items():
        answered = [message for message, _ in itertools.groupby(post.message for post in fake.posts if post.chat == chat)]
        assert answered == messages, "in order, and none after the next"
    lost = sum(post.is_lost for post in fake.posts)
    assert len(fake.posts) - sum(map(len, chats.values())) <= lost + len(kills) * WORKERS
    by_message = sorted(fake.posts, key=lambda post: (post.message, post.at))
    for one, other in itertools.pairwise(by_message):
        if one.message == other.message and not one.is_lost:
            is_killed = any(one.at <= after and before <= other.at for before, after in kills)
            # On a machine too busy to run it, a worker stands still until its message is another's.
            assert is_killed or other.at - one.at > HIDDEN_SECONDS, "twice for no reason"


def tell(capsys, what, seconds, sender, fake, kills, wanted):
    with capsys.disabled():
        lost = sum(post.is_lost for post in fake.posts)
        print(f"\n{wanted} messages to {what} in {seconds:.0f} s, {sender.again} sent again at the door: {len(fake.posts) - wanted}"
              f" answers came twice, with {lost} lost answers, {fake.met[fake.busy]} refusals, {fake.met[fake.broken]} failures"
              f" and {len(kills)} kills")
    assert lost and fake.met[fake.busy] and fake.met[fake.broken]


def test_a_thousand_messages_are_answered_in_order_whatever_is_killed(busy, capsys):
    count, chats_at_once, chance = 1000, 125, random.Random(SEED)
    fake = UnsteadyTelegram(chance)
    server = busy(**fake.environment(), ORRERY_DEMO_DELAY_MS="5")
    with owner(server) as client:
        body = {"agentId": server.agent_id("busy"), "botToken": fake.TOKEN}
        assert client.post("/api/telegram/setup", json=body).status_code == 200
    chats = collections.defaultdict(list)
    for number in range(count):
        chat = {"id": 7_000_000_000 + number % chats_at_once, "type": "private", "first_name": "Ada"}
        chats[chat["id"]].append(fake.update(text=f"Message {number}", chat=chat))
    chats = {chat: shuffled(updates, chance) for chat, updates in chats.items()}
    wanted = {update["message"]["message_id"]: update["message"]["text"] for update in itertools.chain(*chats.values())}
    sender, started = Sender(server, lambda update: fake.deliver(server, update)), time.monotonic()
    kills = sender.talk_of_all(list(chats.values()), chance, 12, lambda: len(fake.posts))
    wait_for(lambda: {post.message for post in fake.posts} >= set(wanted), ANSWERED_SECONDS, "an answer to each message")
    took = time.monotonic() - started
    time.sleep(HIDDEN_SECONDS)
    stood = len(fake.posts)
    for updates in list(chats.values())[:10]:
        sender.send(updates[0])
    assert fake.stays_at(stood, 3), "a message that comes again is not answered again"
    tell(capsys, "Telegram", took, sender, fake, kills, count)
    hold(fake, {chat: [update["message"]["message_id"] for update in updates] for chat, updates in chats.items()}, kills)
    for sent in fake.sent:
        assert sent["plain"] == f"You said: {wanted[sent['reply_parameters']['message_id']]}"
    fake.stop()
    assert fake.violations == []


def test_whatsapp_messages_are_answered_in_order_whatever_is_killed(busy, capsys):
    count, people, chance = 200, 40, random.Random(SEED)
    fake = UnsteadyGraph(chance)
    server = fake.server = busy(**fake.environment(), ORRERY_DEMO_DELAY_MS="5")
    with owner(server) as client:
        body = {"agentId": server.agent_id("busy"), "phoneNumberId": fake.PHONE, "accessToken": fake.TOKEN}
        assert client.post("/api/whatsapp/setup", json=body).status_code == 200
    chats = collections.defaultdict(list)
    for number in range(count):
        person = str(16505550000 + number % people)
        chats[person].append(fake.text(f"Message {number}", person))
    chats = {person: shuffled(messages, chance) for person, messages in chats.items()}
    wanted = {message["id"]: message["text"]["body"] for message in itertools.chain(*chats.values())}
    sender, started = Sender(server, lambda message: fake.deliver(fake.change(message))), time.monotonic()
    kills = sender.talk_of_all(list(chats.values()), chance, 4, lambda: len(fake.posts), pace=4)
    wait_for(lambda: {post.message for post in fake.posts} >= set(wanted), ANSWERED_SECONDS, "an answer to each message")
    took = time.monotonic() - started
    tell(capsys, "WhatsApp", took, sender, fake, kills, count)
    hold(fake, {person: [message["id"] for message in messages] for person, messages in chats.items()}, kills)
    for sent in fake.sent:
        assert sent["text"]["body"] == f"You said: {wanted[sent['context']['message_id']]}"
    fake.stop()
    assert fake.violations == []


@pytest.mark.parametrize("streams", [True, False], ids=["streaming", "edited"])
def test_slack_messages_are_answered_once_whatever_is_killed_and_lost(busy, streams, capsys):
    count, threads, chance = 300, 60, random.Random(SEED)
    fake = UnsteadySlack(chance, streams)
    # An answer takes two seconds: a draft of it is shown.
    server = busy(**fake.environment(), ORRERY_DEMO_DELAY_MS="100")
    with owner(server) as client:
        fake.install(client, server.agent_id("busy"))
    words = " ".join(["word"] * 14)
    chats = []
    for thread in range(threads):
        channel, root, events = f"C0SHOP{thread % 6}", None, []
        for number in range(count // threads):
            event = fake.say(channel, f"<@{BOT}> Message {thread} {number} {words}", thread=root)
            root = root or event["ts"]
            events.append({**event, "type": "app_mention"})
        chats.append(events)
    sender = Sender(server, None)
    sender.send_once = lambda event: fake.deliver(sender.client, event, url=server.url)
    started = time.monotonic()
    kills = sender.talk_of_all(chats, chance, 3, lambda: len(fake.answers()), pace=3)
    wanted = {f"{event['channel']}:{event['ts']}": event["text"].removeprefix(f"<@{BOT}> ") for event in itertools.chain(*chats)}

    def are_answered():
        posts = {name: posts[-1] for name, posts in fake.answers().items() if name}
        return set(posts) == set(wanted) and all(
            post["metadata"]["event_type"] == "orrery_answer" for post in posts.values()
        )

    wait_for(are_answered, ANSWERED_SECONDS, "an answer to each message")
    took = time.monotonic() - started
    time.sleep(HIDDEN_SECONDS)
    answers = fake.answers()
    with capsys.disabled():
        posts = sum(map(len, answers.values()))
        print(f"\n{count} messages to Slack in {took:.0f} s, {sender.again} sent again at the door: {posts} posts, with"
              f" {len(kills)} kills and {sum(met for (_, fault), met in fake.met.items() if fault)} faults")
    begins = "chat.startStream" if streams else "chat.postMessage"
    assert all(fake.met[method, fault[0]] for method in (begins, "chat.update") for fault in fake.FAULTS[1:])
    assert {name: [post["text"] for post in posts] for name, posts in answers.items()} == {
        name: [f"You said: {text}"] for name, text in wanted.items()
    }
    assert not any(post.get("streaming") for post in itertools.chain(*answers.values()))
    fake.stop()
    assert fake.violations == []

"""Slack from the installation to the answer, against a Slack that checks every request and fails when it is told to.

What Slack sends is signed by its own SDK; the formatting is held against two other converters where they agree.
"""

import html
import json
import re
import time
import urllib.parse

import httpx
import pytest
from markdown_to_mrkdwn import SlackMarkdownConverter
from slack_sdk.signature import SignatureVerifier
from slackify_markdown import slackify_markdown

import node
from orrery import wait_for
from slack import BOT, SIGNING_SECRET, Slack

AGENT = """---
name: clerk
model: demo/echo
limits: { requests_per_minute: { channel: 1000000 } }
---
You are the clerk of a bookshop.
"""


class Team:
    """A team with the app, and the server that answers in it."""

    def __init__(self, server, slack, team="T0TEAM"):
        self.server, self.slack, self.team = server, slack, team
        self.token = {"Authorization": f"Bearer {server.command('token')['token']}"}
        self.verifier = SignatureVerifier(SIGNING_SECRET)
        self.events = 0

    def install(self, **query):
        query = {"agentId": self.server.agent_id("clerk"), **query}
        return httpx.get(f"{self.server.url}/api/slack/install", params=query, headers=self.token, timeout=30)

    def state(self):
        url = urllib.parse.urlsplit(self.install().json()["url"])
        return dict(urllib.parse.parse_qsl(url.query))["state"]

    def come_back(self, **query):
        return httpx.get(f"{self.server.url}/api/slack/oauth", params=query, timeout=30)

    def connect(self):
        reply = self.come_back(code=self.slack.grant(self.team), state=self.state())
        assert reply.status_code == 200, reply.text
        return reply

    def headers(self, body, at=None):
        at = str(int(at or time.time()))
        signature = self.verifier.generate_signature(timestamp=at, body=body)
        return {"Content-Type": "application/json", "X-Slack-Request-Timestamp": at, "X-Slack-Signature": signature}

    def send(self, event, headers=None, **envelope):
        """An event, as Slack sends it."""
        self.events += 1
        body = json.dumps({
            "token": "x", "team_id": self.team, "api_app_id": "A0APP", "type": "event_callback", "event": event,
            "event_id": f"Ev{self.events}", "event_time": int(time.time()), **envelope,
        })
        return httpx.post(f"{self.server.url}/api/slack/events", content=body, headers={**self.headers(body), **(headers or {})}, timeout=30)

    def mention(self, text, channel="C0SHOP", thread=None, **more):
        event = self.slack.say(channel, f"<@{BOT}> {text}", thread=thread, **more)
        event["type"] = "app_mention"
        assert self.send(event).status_code == 200
        return event

    def direct(self, text, thread=None):
        event = self.slack.say("D0ADA", text, thread=thread)
        assert self.send({**event, "channel_type": "im"}).status_code == 200
        return event

    def done(self, event, reaction="white_check_mark"):
        """The bot's posts in answer, once it is done."""
        wait_for(lambda: self.slack.reactions(event["channel"], event["ts"]) == {reaction}, what=f"the answer to {event}")
        return [m for m in self.slack.thread(event["channel"], event.get("thread_ts", event["ts"])) if answers(m, event)]

    def texts(self, event):
        return [message["text"] for message in self.done(event)]


def answers(message, event):
    payload = (message.get("metadata") or {}).get("event_payload", {})
    return payload.get("event") == f"{event['channel']}:{event['ts']}"


@pytest.fixture(params=["streaming", "edited"])
def slack(request):
    """A Slack; where a test does not say otherwise, both with its own streaming and without."""
    slack = Slack(streams=request.param == "streaming")
    yield slack
    slack.stop()
    assert slack.violations == []


@pytest.fixture
def team(slack, own_orrery, tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "clerk.md").write_text(AGENT)
    team = Team(own_orrery(tmp_path / "agents", **slack.environment()), slack)
    team.connect()
    return team


streaming = pytest.mark.parametrize("slack", ["streaming"], indirect=True)


@streaming
def test_s1_the_challenge_is_answered_and_what_slack_did_not_sign_is_refused(team):
    body = json.dumps({"type": "url_verification", "challenge": "abc", "token": "x"})
    url = f"{team.server.url}/api/slack/events"
    reply = httpx.post(url, content=body, headers=team.headers(body))
    assert reply.status_code == 200 and reply.json() == {"challenge": "abc"}
    raw = '{ "type":"url_verification",\n "challenge" : "\\u00e9\U0001f600" }'
    assert httpx.post(url, content=raw.encode(), headers=team.headers(raw)).json() == {"challenge": "é\U0001f600"}
    good, old = team.headers(body), team.headers(body, time.time() - 310)
    assert team.verifier.is_valid(body, good["X-Slack-Request-Timestamp"], good["X-Slack-Signature"])
    for headers in [{}, old, {**good, "X-Slack-Signature": "v0=" + "0" * 64}, team.headers(body + " ")]:
        assert httpx.post(url, content=body, headers=headers).status_code == 401
    strange = {name.encode(): value.encode() for name, value in {**good, "X-Slack-Signature": "v0=é"}.items()}
    assert httpx.post(url, content=body, headers=strange).status_code == 401


@streaming
def test_s1_bolt_and_we_agree_about_signatures(team):
    now = int(time.time())
    cases = []
    for body, at in [("{}", now), ('{"text":"é\U0001f600"}', now), ("{}", now - 290), ("{}", now - 310), ("", now)]:
        headers = team.headers(body, at)
        cases.append({"body": body, "headers": headers})
        cases.append({"body": body + "x", "headers": headers})
        cases.append({"body": body, "headers": {**headers, "X-Slack-Signature": headers["X-Slack-Signature"][:-1] + "g"}})
    verdicts = json.loads(node.run("slack-signature.mjs", json.dumps({"secret": SIGNING_SECRET, "cases": cases})))
    url = f"{team.server.url}/api/slack/events"
    ours = [httpx.post(url, content=case["body"].encode(), headers=case["headers"]).status_code != 401 for case in cases]
    assert ours == verdicts and sum(verdicts) == 4


def test_s2_a_mention_is_acknowledged_at_once_and_answered_in_its_thread(team):
    began = time.monotonic()
    event = team.mention("/slow 1000")
    assert time.monotonic() - began < 0.5
    wait_for(lambda: "eyes" in team.slack.reactions("C0SHOP", event["ts"]), what="the eyes")
    assert len(team.done(event)) == 1
    assert team.texts(team.mention("Where is order 7 &amp; when?")) == ["You said: Where is order 7 &amp; when?"]
    assert team.texts(team.direct("hello")) == ["You said: hello"]


@streaming
def test_s2_what_slack_sends_again_is_answered_once(team):
    event = team.mention("once")
    for number, reason in [(1, "http_timeout"), (2, "http_error"), (3, "http_timeout")]:
        headers = {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": reason}
        assert team.send(event, headers).status_code == 200
    assert team.texts(event) == ["You said: once"]
    team.server.restart()
    assert team.send(event, {"X-Slack-Retry-Num": "3"}).status_code == 200
    assert team.texts(team.mention("next")) == ["You said: next"]
    assert team.texts(event) == ["You said: once"]


@streaming
def test_s3_a_mention_that_comes_as_two_events_is_answered_once(team):
    event = team.mention("both")
    message = {**event, "type": "message", "channel_type": "channel"}
    assert team.send(message).status_code == 200
    plain = team.slack.say("C0SHOP", "nobody is asked")
    assert team.send({**plain, "channel_type": "channel"}).status_code == 200
    assert team.texts(event) == ["You said: both"]
    assert team.texts(team.mention("after")) == ["You said: after"]
    assert team.slack.thread("C0SHOP", plain["ts"]) == []


@streaming
def test_s4_the_bot_talks_to_no_bot_and_not_to_itself(team):
    first = team.direct("hello")
    ours = team.done(first)[0]
    base = {**first, "channel_type": "im"}
    changed = {"type": "message", "subtype": "message_changed", "hidden": True, "channel": "D0ADA", "ts": "1774449999.000001",
               "channel_type": "im", "message": ours}
    for event in [
        {**base, **{key: ours[key] for key in ("ts", "user", "bot_id", "text")}},
        {**base, "ts": "1774449999.000002", "user": BOT},
        {**base, "ts": "1774449999.000003", "bot_id": "B0OTHER"},
        {**base, "ts": "1774449999.000004", "subtype": "bot_message"},
        {**base, "ts": "1774449999.000005", "app_id": "A0OTHER"},
        {**base, "ts": "1774449999.000006", "subtype": "message_deleted"},
        changed,
    ]:
        assert team.send(event).status_code == 200
    assert team.texts(team.direct("again")) == ["You said: again"]
    assert len([m for m in team.slack.channels["D0ADA"] if m["user"] == BOT]) == 2


def test_s5_a_thread_is_remembered_and_others_in_it_are_named(team):
    root = team.slack.say("C0SHOP", "I wait for order 7")
    team.slack.say("C0SHOP", "me too", user="U0BOB", thread=root["ts"])
    first = team.mention("first", thread=root["ts"])
    assert team.texts(first) == ["You said: first"]
    told = team.texts(team.mention("/history", thread=root["ts"]))[0]
    assert "I wait for order 7" in told and "@U0BOB: me too" in told and "first" in told, told


@streaming
def test_s5_of_a_long_thread_the_newest_messages_are_told(team):
    team.slack.page = 20
    root = team.slack.say("C0SHOP", "the root")
    for number in range(150):
        team.slack.say("C0SHOP", f"note {number}", thread=root["ts"])
    told = team.texts(team.mention("/history", thread=root["ts"]))
    assert "note 149" in "".join(told) and "note 0 " not in "".join(told)


@streaming
def test_s5_nothing_that_a_model_says_mentions_anybody(team):
    event = team.direct("&lt;!channel&gt; &lt;@U0ADA&gt; &lt;#C0SHOP&gt; `&lt;!here&gt;` [x](https://a.example/|&lt;!everyone&gt;)")
    text = team.texts(event)[0]
    assert "&lt;!channel&gt; &lt;@U0ADA&gt; &lt;#C0SHOP&gt;" in text and "<!" not in text


@streaming
def test_s5_a_busy_slack_is_waited_for(team):
    team.slack.fail("chat.postMessage", ("status", 429, "1"), ("ok", "ratelimited"))
    team.slack.fail("chat.update", ("status", 429, "1"))
    team.slack.fail("reactions.add", ("ok", "already_reacted"))
    event = team.mention("patience")
    wait_for(lambda: team.slack.thread("C0SHOP", event["ts"]), what="the answer")
    assert team.texts(event) == ["You said: patience"]


def test_s6_a_long_answer_comes_in_posts_and_nothing_of_it_twice(team):
    posts = team.texts(team.mention("/long 3000"))
    assert len(posts) > 2 and all(len(post) <= 4000 for post in posts)
    words = " ".join(posts).split()
    assert len(words) == 3000
    code = "code:\n```\n" + "".join(f"line {number}\n" for number in range(900)) + "```"
    posts = team.texts(team.mention(code))
    assert len(posts) > 1 and all(post.count("```") == 2 for post in posts)
    assert re.findall(r"line (\d+)", "".join(posts)) == [str(number) for number in range(900)]


@streaming
def test_s6_a_team_that_removes_the_app_is_forgotten(team):
    assert team.send({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [BOT]}}).status_code == 200
    event = team.mention("anybody?")
    time.sleep(0.3)
    assert team.slack.thread("C0SHOP", event["ts"]) == []
    team.connect()
    assert team.texts(team.mention("back")) == ["You said: back"]
    assert team.send({"type": "app_uninstalled"}, event_time=int(time.time()) - 60).status_code == 200
    assert team.texts(team.mention("still here")) == ["You said: still here"]


def test_an_answer_whose_receipt_is_lost_is_not_said_twice(team):
    team.slack.fail("chat.postMessage", ("lost",), ("status", 503), ("cut",))
    assert team.texts(team.mention("lost")) == ["You said: lost"]
    team.slack.fail("chat.update", ("lost",), ("lost",))
    assert len(team.done(team.mention("/long 1500"))) == len(team.texts(team.mention("/long 1500")))


def test_what_is_slow_beside_the_answer_does_not_break_the_turn(slack, own_orrery, tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "clerk.md").write_text(AGENT)
    team = Team(own_orrery(tmp_path / "agents", ORRERY_DEMO_DELAY_MS="30", **slack.environment()), slack)
    team.connect()
    slack.fail("reactions.add", ("slow", 3))
    slack.fail("chat.startStream", ("slow", 2))
    slack.fail("chat.appendStream", ("slow", 2))
    slack.fail("conversations.replies", ("slow", 2))
    event = team.mention("/long 150")
    posts = team.done(event)
    assert [len(post["text"].split()) for post in posts] == [150]
    assert len(slack.thread("C0SHOP", event["ts"])) == 1


def test_a_post_that_slack_is_slow_to_take_is_found(team):
    team.slack.fail("chat.postMessage", ("slow", 11))
    began = time.monotonic()
    event = team.mention("patience")
    wait_for(lambda: team.slack.reactions("C0SHOP", event["ts"]) == {"white_check_mark"}, 40, "the answer")
    assert 10 <= time.monotonic() - began < 25, "Slack has 10 seconds"
    assert [post["text"] for post in team.slack.thread("C0SHOP", event["ts"])] == ["You said: patience"]
    assert len(team.slack.called("chat.postMessage")) == 1


def test_a_worker_that_is_killed_leaves_one_answer(slack, own_orrery, tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "clerk.md").write_text(AGENT)
    server = own_orrery(tmp_path / "agents", ORRERY_DEMO_DELAY_MS="20", **slack.environment())
    team = Team(server, slack)
    team.connect()
    event = team.mention("/long 150")
    wait_for(lambda: slack.thread("C0SHOP", event["ts"]), what="the draft")
    server.kill()
    server.start()
    wait_for(lambda: "white_check_mark" in slack.reactions("C0SHOP", event["ts"]), seconds=60, what="the answer")
    posts = slack.thread("C0SHOP", event["ts"])
    assert len(posts) == 1 and len(posts[0]["text"].split()) == 150, posts
    assert not posts[0].get("streaming")


@streaming
def test_a_growing_answer_is_shown(slack, own_orrery, tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "clerk.md").write_text(AGENT)
    team = Team(own_orrery(tmp_path / "agents", ORRERY_DEMO_DELAY_MS="30", **slack.environment()), slack)
    team.connect()
    posts = team.done(team.mention("/long 150"))
    streamed = posts[0]["streamed"].split()
    assert len(slack.called("chat.appendStream")) >= 1
    assert 10 < len(streamed) <= 150 and posts[0]["text"].split()[: len(streamed) - 1] == streamed[:-1]
    began = slack.called("chat.startStream")[0]
    assert (began["recipient_user_id"], began["recipient_team_id"]) == ("U0ADA", "T0TEAM")


@streaming
def test_what_cannot_be_answered_is_said(team):
    event = team.mention("/fail")
    text = team.done(event, "warning")[0]["text"]
    assert text.startswith("I could not answer that")
    picture = team.slack.say("D0ADA", "", files=[{"id": "F1"}], subtype="file_share")
    team.send({**picture, "channel_type": "im"})
    assert "I can only read text" in team.done(picture, "warning")[0]["text"]
    told = team.texts(team.mention("/history", thread=event["ts"]))[0]
    assert "/fail" in told and "could not answer" not in told


@streaming
def test_an_installation_is_somebodys_and_happens_once(team):
    assert team.server.database_bytes().find(b"xoxb-T0TEAM") == -1, "the token is kept sealed"
    assert "xoxb" not in team.server.process.output()
    assert httpx.get(f"{team.server.url}/api/slack/install?agentId=x").status_code == 401
    assert team.install(agentId="ag_x").status_code == 404
    page = httpx.get(f"{team.server.url}/api/slack/install", params={"agentId": team.server.agent_id("clerk")},
                     headers={**team.token, "Accept": "text/html,*/*"})
    assert page.status_code == 302 and page.headers["location"].startswith(team.slack.url.removesuffix("/api") + "/oauth/v2/authorize?")
    state, code = team.state(), team.slack.grant()
    assert team.come_back(code=code, state=state).status_code == 200
    again = team.come_back(code=team.slack.grant(), state=state)
    assert again.status_code == 400 and "used already" in again.text
    used = team.come_back(code=code, state=team.state())
    assert used.status_code == 400 and "did not confirm" in used.text
    denied = team.come_back(error="<script>alert(1)</script>", state=state)
    assert denied.status_code == 400 and "<script" not in denied.text
    rotated = team.come_back(code=team.slack.grant("T0X", "X", expires_in=43200), state=team.state())
    assert rotated.status_code == 400 and "rotation" in rotated.text
    grid = team.come_back(code=team.slack.grant(None), state=team.state())
    assert grid.status_code == 400 and "organisation" in grid.text and team.slack.called("auth.revoke")


@streaming
@pytest.mark.parametrize("markdown", [
    "**bold** text", "_italic_ text", "~~struck~~ text", "# Title", "[page](https://a.example/x)", "`code * here`",
    "* one\n* two", "> quoted",
])
def test_plain_formatting_is_as_other_converters_have_it(team, markdown):
    def plain(text):
        text = re.sub("[\u200b\u2060]", "", html.unescape(text)).replace("&gt;", ">")
        return re.sub(r"\s+", " ", text).strip()

    ours = plain(team.texts(team.direct(html.escape("so\n\n" + markdown, quote=False)))[0].removeprefix("You said: so"))
    assert ours in {plain(SlackMarkdownConverter().convert(markdown)), plain(slackify_markdown(markdown))}

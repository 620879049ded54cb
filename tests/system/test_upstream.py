"""Providers as they are: tool conversations, thinking, refusals, limits, broken streams."""

import json
import threading
import time

import httpx
import pytest

import sse
import upstream
from orrery import AGENTS, Orrery, wait_for

PROVIDERS = {"anthropic": "claude", "openai": "gpt"}
both = pytest.mark.parametrize("provider", PROVIDERS)
FAST = {"ORRERY_IDLE_TIMEOUT_MS": "700", "ORRERY_FIRST_BYTE_TIMEOUT_MS": "1500"}


def say(server, agent, message, **more):
    return httpx.post(server.webhook(agent), headers=server.bearer(agent), json={"message": message, **more}, timeout=60)


def stream(server, agent, message):
    body = {"stream": True, "messages": [{"role": "user", "content": message}]}
    response = httpx.post(server.openai(agent) + "/chat/completions", headers=server.bearer(agent), json=body, timeout=60)
    assert response.status_code == 200, response.text
    return response.text


def assert_failed_stream(text):
    """It ends with an error and never as if it had succeeded."""
    events = [json.loads(data) for _, data in sse.frames(text) if data != "[DONE]"]
    assert events[-1]["error"]["message"]
    assert all(choice["finish_reason"] is None for event in events[:-1] for choice in event["choices"])


# aimock: conversations


CALLS = [
    {"name": "add", "arguments": {"a": 2, "b": 3}, "id": "call_add"},
    {"name": "reverse", "arguments": {"text": "stressed"}, "id": "call_reverse"},
]
LONG = "All is well that ends well, said the bard to the crowd. " * 4


def fixtures(provider):
    """A provider's own phrases, so that the count of one's calls is not the other's."""
    usage = {"input_tokens": 21, "output_tokens": 9, "prompt_tokens": 21, "completion_tokens": 9, "total_tokens": 30}

    def match(phrase, **more):
        return {"userMessage": f"{phrase} {provider}", **more}

    limited = {"error": {"message": "provider-secret-detail", "type": "rate_limit_error"}, "status": 429, "retryAfter": 1}
    overloaded = {"error": {"message": "provider-secret-detail", "type": "overloaded_error"}, "status": 529}
    refused = {"error": {"message": "provider-secret-detail", "type": "invalid_request_error"}, "status": 400}
    return [
        {"match": match("two tools", hasToolResult=False), "response": {"content": "Let me see.", "toolCalls": CALLS, "usage": usage}},
        {"match": match("two tools", hasToolResult=True), "response": {"content": "5 and desserts.", "usage": usage}},
        {"match": match("limited once", sequenceIndex=0), "response": limited},
        {"match": match("limited once"), "response": {"content": "after the limit"}},
        {"match": match("overloaded once", sequenceIndex=0), "response": overloaded},
        {"match": match("overloaded once"), "response": {"content": "after the load"}},
        {"match": match("always limited"), "response": {**limited, "retryAfter": 0}},
        {"match": match("never valid"), "response": refused},
        {"match": match("cut"), "response": {"content": LONG}, "truncateAfterChunks": 6, "chunkSize": 6, "latency": 20},
        {"match": match("emoji"), "response": {"content": "Hi 👋🏽 family 👩‍👩‍👧‍👦 done"}, "chunkSize": 1},
    ]


THINKING = [
    {
        "match": {"userMessage": "think", "hasToolResult": False},
        "response": {"reasoning": "I should add.", "reasoningSignature": "c2lnbmVk", "toolCalls": CALLS[:1]},
    },
    {"match": {"userMessage": "think", "hasToolResult": True}, "response": {"content": "It is 5.", "reasoning": "Done.", "reasoningSignature": "ZG9uZQ=="}},
]


@pytest.fixture(scope="module")
def aimock(tmp_path_factory):
    mock = upstream.Aimock(tmp_path_factory.mktemp("aimock"), THINKING + fixtures("anthropic") + fixtures("openai"))
    yield mock
    mock.stop()


@pytest.fixture(scope="module")
def scripted_orrery(aimock, tmp_path_factory):
    server = Orrery(tmp_path_factory.mktemp("orrery"), AGENTS, aimock.environment() | FAST)
    server.start()
    yield server
    server.stop()


@both
def test_u6_two_rounds_with_parallel_tools(scripted_orrery, aimock, provider):
    aimock.forget()
    response = say(scripted_orrery, PROVIDERS[provider], f"two tools {provider}")
    assert response.status_code == 200, response.text
    assert "5 and desserts." in response.json()["response"]
    assert response.json()["metrics"]["toolCallCount"] == 2
    first, second = aimock.journal()
    results = [message for message in second["body"]["messages"] if message["role"] == "tool"]
    assert [result["tool_call_id"] for result in results] == ["call_add", "call_reverse"]
    assert "5" in str(results[0]["content"]) and "desserts" in str(results[1]["content"])
    assert {tool["function"]["name"] for tool in first["body"]["tools"]} == {"add", "reverse"}


@both
def test_all_rounds_of_a_turn_are_counted(scripted_orrery, provider):
    metrics = say(scripted_orrery, PROVIDERS[provider], f"two tools {provider}").json()["metrics"]
    assert (metrics["inputTokens"], metrics["outputTokens"]) == (42, 18)


@both
def test_tools_are_seen_by_the_widget(scripted_orrery, provider):
    agent = PROVIDERS[provider]
    response = httpx.post(
        scripted_orrery.widget, headers=scripted_orrery.bearer(agent, "widget"), json={"message": f"two tools {provider}"}, timeout=30
    )
    events = sse.widget_events(response.text)
    ended = [(data["name"], data["isError"]) for name, data in events if name == "tool_end"]
    assert sorted(ended) == [("add", False), ("reverse", False)]
    assert "5 and desserts." in sse.widget_text(events)


def test_u2_thinking_and_tools_go_together(scripted_orrery):
    response = say(scripted_orrery, "thinker", "think")
    assert response.status_code == 200 and response.json()["response"] == "It is 5."
    assert "I should add" not in response.text


@both
def test_u5_a_429_waits_as_long_as_it_is_told(scripted_orrery, provider):
    started = time.monotonic()
    response = say(scripted_orrery, PROVIDERS[provider], f"limited once {provider}")
    assert response.status_code == 200 and response.json()["response"] == "after the limit"
    assert 1 <= time.monotonic() - started < 10


@both
def test_u5_a_529_is_tried_again(scripted_orrery, provider):
    response = say(scripted_orrery, PROVIDERS[provider], f"overloaded once {provider}")
    assert response.status_code == 200 and response.json()["response"] == "after the load"


@both
def test_u5_tries_are_bounded_and_the_caller_never_sees_the_providers_words(scripted_orrery, aimock, provider):
    aimock.forget()
    response = say(scripted_orrery, PROVIDERS[provider], f"always limited {provider}")
    assert response.status_code >= 500 and "provider-secret-detail" not in response.text
    assert 2 <= len(aimock.journal()) <= 5


@both
def test_u5_a_400_is_not_tried_again(scripted_orrery, aimock, provider):
    aimock.forget()
    response = say(scripted_orrery, PROVIDERS[provider], f"never valid {provider}")
    assert response.status_code >= 500 and "provider-secret-detail" not in response.text
    assert len(aimock.journal()) == 1


@both
def test_u4_a_cut_stream_is_no_answer(scripted_orrery, aimock, provider):
    aimock.forget()
    assert_failed_stream(stream(scripted_orrery, PROVIDERS[provider], f"cut {provider}"))
    assert len(aimock.journal()) == 1, "what was cut after its first words is not told twice"


@both
def test_u7_lone_surrogates_degrade(scripted_orrery, provider):
    text = sse.text_of(sse.chunks(stream(scripted_orrery, PROVIDERS[provider], f"emoji {provider}")))
    assert text.startswith("Hi ") and "family" in text and text.endswith("done")


# llmock: faults, and its verdict


@pytest.fixture(scope="module")
def llmock(tmp_path_factory):
    mock = upstream.Llmock(tmp_path_factory.mktemp("llmock"))
    yield mock
    mock.stop()


@pytest.fixture(scope="module")
def faulty_orrery(llmock, tmp_path_factory):
    server = Orrery(tmp_path_factory.mktemp("orrery"), AGENTS, llmock.environment() | FAST)
    server.start()
    yield server
    server.stop()


def fault(kind, after, **more):
    return {"type": "stream_fault", "kind": kind, "after_chunks": after, **more}


SURVIVED = {
    "429": [{"type": "fail", "status": 429, "retry_after": 1}],
    "500": [{"type": "fail", "status": 500}],
    "503 twice": [{"type": "fail", "status": 503, "times": 2}],
    "529": [{"type": "fail", "status": 529}],
    "disconnect": [fault("disconnect", 1)],
    "truncate": [fault("truncate", 1)],
    "malformed": [fault("malformed", 1)],
    "stall": [fault("stall", 1, stall_seconds=5)],
    "stall at once": [fault("stall", 0, stall_seconds=5)],
    "slow first token": [{"type": "slow_first_token", "seconds": 0.3}],
    "too slow first token": [{"type": "slow_first_token", "seconds": 4}],
}


@both
@pytest.mark.parametrize("name", SURVIVED)
def test_u5_a_fault_before_the_first_words_is_survived(faulty_orrery, llmock, provider, name):
    reply = {"type": "reply", "text": "Here I am again.", "times": None}
    llmock.scenario(*SURVIVED[name], reply)
    chunks = sse.chunks(stream(faulty_orrery, PROVIDERS[provider], f"{name} of {provider}"))
    assert sse.text_of(chunks) == "Here I am again."
    verdict = llmock.verdict()
    assert verdict["findings"] == [] and verdict["faults_injected"] + ("slow" in name) >= 1


BROKEN = {
    "disconnect": fault("disconnect", 6),
    "truncate": fault("truncate", 6),
    "malformed": fault("malformed", 6),
    "stall": fault("stall", 6, stall_seconds=5),
}


@both
@pytest.mark.parametrize("name", BROKEN)
def test_u4_a_fault_after_the_first_words_is_told_and_not_repeated(faulty_orrery, llmock, provider, name):
    llmock.scenario(BROKEN[name], {"type": "reply", "text": LONG, "times": None})
    started = time.monotonic()
    assert_failed_stream(stream(faulty_orrery, PROVIDERS[provider], f"{name} of {provider}"))
    assert len(llmock.requests()) == 1
    assert time.monotonic() - started < 4, "the idle timeout ends a stall"


@both
def test_a_provider_that_stays_away_is_a_bounded_failure(faulty_orrery, llmock, provider):
    llmock.scenario({"type": "fail", "status": 503, "times": None})
    response = say(faulty_orrery, PROVIDERS[provider], "Hello")
    assert response.status_code >= 500 and response.json()["error"]
    verdict = llmock.verdict()
    assert verdict["errors"] == 0 and 2 <= verdict["attempts"] <= 5


@both
@pytest.mark.parametrize("kind", ["malformed_arguments", "unknown_tool"])
def test_a_broken_tool_call_goes_back_to_the_model(faulty_orrery, llmock, provider, kind):
    llmock.scenario({"type": "tool_fault", "kind": kind})
    response = say(faulty_orrery, PROVIDERS[provider], "add two numbers please")
    assert response.status_code == 200 and response.json()["response"]
    assert len(llmock.requests()) >= 2


# Every byte written here


@pytest.fixture
def scripted(own_orrery):
    """Starts an upstream with a script, and a server that calls it."""
    upstreams = []

    def make(script, **environment):
        one = upstream.Scripted(script)
        upstreams.append(one)
        return one, own_orrery(**one.environment(), **environment)

    yield make
    for one in upstreams:
        one.stop()


def test_u1_what_is_sent_to_anthropic(scripted):
    def script(_, send):
        send(upstream.anthropic_start() + upstream.anthropic_text(0, "Hello") + upstream.anthropic_end())

    one, server = scripted(script)
    assert say(server, "claude", "Hi").json()["response"] == "Hello"
    [request] = one.requests
    headers = {name.lower(): value for name, value in request["headers"].items()}
    assert request["path"] == "/v1/messages"
    assert headers["anthropic-version"] == "2023-06-01" and headers["x-api-key"] == "sk-ant-test-0000"
    assert not {"temperature", "top_p", "top_k"} & set(request["body"])
    assert request["body"]["max_tokens"] > 0 and request["body"]["messages"][0]["role"] == "user"


def test_u2_thinking_blocks_are_sent_back_unchanged(scripted):
    thinking = {"type": "thinking", "thinking": "I should add.", "signature": "c2lnbmVk/+="}
    redacted = {"type": "redacted_thinking", "data": "b3BhcXVl"}

    def script(body, send):
        if len(body["messages"]) == 1:
            send(
                upstream.anthropic_start()
                + upstream.anthropic_event("ping")
                + upstream.anthropic_block(
                    0, {"type": "thinking", "thinking": "", "signature": ""},
                    {"type": "thinking_delta", "thinking": "I should "}, {"type": "thinking_delta", "thinking": "add."},
                    {"type": "signature_delta", "signature": "c2lnbmVk/+="},
                )
                + upstream.anthropic_block(1, redacted)
                + upstream.anthropic_event("a_new_kind_of_event", anything=[1])
                + upstream.anthropic_block(
                    2, {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}},
                    {"type": "input_json_delta", "partial_json": ""}, {"type": "input_json_delta", "partial_json": '{"a": 2, '},
                    {"type": "input_json_delta", "partial_json": '"b": 3}'},
                )
                + upstream.anthropic_end("tool_use")
            )
        else:
            send(upstream.anthropic_start() + upstream.anthropic_text(0, "It is 5.") + upstream.anthropic_end())

    one, server = scripted(script)
    assert say(server, "thinker", "2 + 3?").json()["response"] == "It is 5."
    sent = one.requests[1]["body"]["messages"]
    assert sent[1]["content"][:2] == [thinking, redacted]
    assert sent[1]["content"][2]["type"] == "tool_use" and sent[1]["content"][2]["input"] == {"a": 2, "b": 3}
    assert sent[2]["content"][0]["type"] == "tool_result" and sent[2]["content"][0]["tool_use_id"] == "toolu_1"


def test_u3_cached_tokens_count_as_input(scripted):
    def script(_, send):
        start = upstream.anthropic_start(10, cache_read_input_tokens=200, cache_creation_input_tokens=30)
        send(start + upstream.anthropic_text(0, "Hello") + upstream.anthropic_end(output_tokens=4))

    _, server = scripted(script)
    metrics = say(server, "claude", "Hi").json()["metrics"]
    assert (metrics["inputTokens"], metrics["outputTokens"]) == (240, 4)


@pytest.mark.parametrize(("reason", "expected"), [
    ("refusal", "content_filter"), ("max_tokens", "length"), ("model_context_window_exceeded", "length"), ("end_turn", "stop"),
])
def test_o15_anthropics_stop_reasons_become_openais(scripted, reason, expected):
    def script(_, send):
        send(upstream.anthropic_start() + upstream.anthropic_text(0, "Some words") + upstream.anthropic_end(reason))

    _, server = scripted(script)
    assert sse.chunks(stream(server, "claude", "Hi"))[-1]["choices"][0]["finish_reason"] == expected


@pytest.mark.parametrize("reason", ["content_filter", "length", "stop"])
def test_o15_openais_finish_reasons_stay(scripted, reason):
    def script(_, send):
        send(upstream.openai_chunk({"role": "assistant", "content": "Some words"}) + upstream.openai_end(reason))

    _, server = scripted(script)
    assert sse.chunks(stream(server, "gpt", "Hi"))[-1]["choices"][0]["finish_reason"] == reason


@both
def test_o15_a_caller_who_leaves_stops_the_upstream(scripted, provider):
    ended = threading.Event()

    def script(_, send):
        begin = upstream.anthropic_start() if provider == "anthropic" else b""
        if provider == "anthropic":
            begin += upstream.anthropic_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        send(begin)
        for _ in range(2000):
            if provider == "anthropic":
                send(upstream.anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "word "}))
            else:
                send(upstream.openai_chunk({"content": "word "}))
            time.sleep(0.01)
        ended.set()

    one, server = scripted(script)
    agent = PROVIDERS[provider]
    body = {"stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    url, headers = server.openai(agent) + "/chat/completions", server.bearer(agent)
    with httpx.stream("POST", url, headers=headers, json=body, timeout=30) as response:
        for piece in response.iter_text():
            if "word" in piece:
                break
    assert one.closed.wait(5), "the upstream's connection was not closed"
    assert not ended.is_set()


@both
def test_u7_bytes_cut_anywhere_are_put_together(scripted, provider):
    words = "Zażółć 日本語 👩‍👩‍👧‍👦 fin"
    if provider == "anthropic":
        whole = upstream.anthropic_start() + upstream.anthropic_text(0, words) + upstream.anthropic_end()
    else:
        whole = upstream.openai_chunk({"role": "assistant", "content": ""}) + upstream.openai_chunk({"content": words}) + upstream.openai_end()
    # Real UTF-8 instead of escapes, and the line ends of another platform.
    raw = b"\n\n".join(
        b"\n".join(b"data: " + json.dumps(json.loads(line[6:]), ensure_ascii=False).encode() if line.startswith(b"data: {") else line for line in frame.split(b"\n"))
        for frame in whole.split(b"\n\n")
    ).replace(b"\n", b"\r\n")

    def script(_, send):
        for index in range(len(raw)):
            send(raw[index:index + 1])

    _, server = scripted(script)
    assert sse.text_of(sse.chunks(stream(server, PROVIDERS[provider], "Hi"))) == words


def test_a_compatible_service_behind_a_path_prefix_is_called_there(scripted, own_orrery):
    def script(_, send):
        send(upstream.openai_chunk({"role": "assistant", "content": "Hello"}) + upstream.openai_end())

    one, _ = scripted(script)
    server = own_orrery(OPENAI_API_KEY="sk-x", OPENAI_BASE_URL=one.url + "/proxy/tenant-7/v1")
    assert say(server, "gpt", "Hi").json()["response"] == "Hello"
    assert one.requests[-1]["path"] == "/proxy/tenant-7/v1/chat/completions"


def test_a_key_that_is_missing_is_a_clear_failure_without_a_call(own_orrery):
    server = own_orrery()
    response = say(server, "claude", "Hi")
    assert response.status_code == 500 and "ANTHROPIC_API_KEY" not in response.text
    wait_for(lambda: "ANTHROPIC_API_KEY" in server.process.output(), 5, "the variable's name in the log")

"""The OpenAI-compatible endpoint, byte by byte: what official clients do not show."""

import json
import socket
import time
import urllib.parse

import httpx
import pytest

import sse


def chat(orrery, agent="echo", **body):
    body.setdefault("messages", [{"role": "user", "content": "Hello"}])
    return httpx.post(orrery.openai(agent) + "/chat/completions", headers=orrery.bearer(agent), json=body, timeout=30)


def ask(orrery, messages, **body):
    return chat(orrery, messages=messages, **body)


def assert_openai_error(response, status, code=None):
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/json")
    error = response.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"} and error["message"]
    if code:
        assert error["code"] == code
    return error


def test_o1_null_and_empty_content_are_accepted(orrery):
    messages = [
        {"role": "user", "content": "before"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "result"}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "after"}]},
    ]
    response = ask(orrery, messages)
    assert response.status_code == 200 and "after" in response.json()["choices"][0]["message"]["content"]


def test_o1_an_image_part_never_breaks_the_server(orrery):
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    response = ask(orrery, [{"role": "user", "content": parts}])
    if response.status_code != 200:
        assert_openai_error(response, 400)


@pytest.mark.parametrize("options", [None, {"include_usage": False}, {}])
def test_o4_no_usage_without_asking(orrery, options):
    extra = {} if options is None else {"stream_options": options}
    chunks = sse.chunks(chat(orrery, stream=True, **extra).text)
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)
    assert all(chunk.get("usage") is None for chunk in chunks)


def test_o4_the_usage_chunk_comes_last_and_the_others_say_null(orrery):
    chunks = sse.chunks(chat(orrery, stream=True, stream_options={"include_usage": True}).text)
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] > 0
    assert all("usage" in chunk and chunk["usage"] is None for chunk in chunks[:-1])


def test_o5_every_chunk_has_the_documented_shape(orrery):
    chunks = sse.chunks(chat(orrery, stream=True).text)
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk" and isinstance(chunks[0]["created"], int)
    assert all(chunk["choices"][0]["index"] == 0 for chunk in chunks)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert chunks[-1]["choices"][0]["delta"] == {}


def test_o5_the_model_is_the_agents_own(orrery):
    assert "echo" in chat(orrery, model="gpt-99").json()["model"]


def test_o6_a_stream_has_only_data_lines_and_comments(orrery):
    text = chat(orrery, stream=True).text
    for line in text.split("\n"):
        assert line == "" or line.startswith(("data: {", "data: [DONE]", ":")), line


def test_o6_a_silent_model_is_kept_alive_with_comments(orrery):
    request = {"stream": True, "messages": [{"role": "user", "content": "/slow 17000"}]}
    text = chat(orrery, **request).text
    assert any(line.startswith(":") for line in text.split("\n"))
    assert sse.chunks(text)


def test_o7_a_completion_has_every_field_of_openais_schema(orrery):
    completion = chat(orrery).json()
    assert {"id", "object", "created", "model", "choices", "usage"} <= set(completion)
    [choice] = completion["choices"]
    assert choice["index"] == 0 and choice["logprobs"] is None and choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant" and choice["message"]["refusal"] is None
    assert {"prompt_tokens", "completion_tokens", "total_tokens"} <= set(completion["usage"])


def test_o8_every_refusal_is_an_openai_error(orrery):
    url, bearer = orrery.openai("echo"), orrery.bearer("echo")
    completions = url + "/chat/completions"
    assert_openai_error(httpx.post(completions, headers=bearer, content=b"{not json"), 400)
    assert_openai_error(httpx.post(completions, headers=bearer, json=[]), 400)
    assert_openai_error(httpx.post(completions, headers=bearer, json={"messages": "Hello"}), 400)
    assert_openai_error(httpx.post(completions, headers=bearer, json={"messages": [None]}), 400)
    assert_openai_error(httpx.post(completions, json={"messages": []}), 401, "invalid_api_key")
    assert_openai_error(httpx.post(completions, headers={"Authorization": "Bearer sk-x"}, json={}), 401, "invalid_api_key")
    foreign = orrery.bearer("other")
    assert_openai_error(httpx.post(completions, headers=foreign, json={"messages": []}), 403)
    assert_openai_error(httpx.put(completions, headers=bearer), 405)
    assert_openai_error(httpx.get(completions, headers=bearer), 405)
    assert_openai_error(httpx.post(url + "/nothing", headers=bearer, json={}), 404)


def test_o8_a_405_names_the_methods_that_work(orrery):
    response = httpx.get(orrery.openai("echo") + "/chat/completions", headers=orrery.bearer("echo"))
    assert "POST" in response.headers["allow"]


def test_o8_a_body_that_is_too_large_is_a_413(orrery):
    url = urllib.parse.urlsplit(orrery.openai("echo") + "/chat/completions")
    size = 64 * 1024 * 1024
    head = (
        f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {orrery.plain_key('echo')}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((url.hostname, url.port), timeout=30) as connection:
        connection.sendall(head.encode())
        try:
            for _ in range(8):
                connection.sendall(b" " * 1024 * 1024)
        except OSError:
            pass
        answer = connection.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 413 "), answer[:200]
    assert json.loads(answer.split("\r\n\r\n", 1)[1])["error"]["message"]


def test_o9_a_failure_in_the_stream_is_an_error_frame_and_no_finish(orrery):
    response = chat(orrery, stream=True, messages=[{"role": "user", "content": "/cut"}])
    assert response.status_code == 200
    events = [data for _, data in sse.frames(response.text)]
    errors = [json.loads(data)["error"] for data in events if data != "[DONE]" and "error" in json.loads(data)]
    assert len(errors) == 1 and errors[0]["message"]
    assert '"finish_reason":"stop"' not in response.text.replace(" ", "")


def test_o10_models_lists_the_agents_model_for_the_same_key(orrery):
    url = orrery.openai("echo") + "/models"
    listed = httpx.get(url, headers=orrery.bearer("echo")).json()
    assert listed["object"] == "list"
    [model, *_] = listed["data"]
    assert {"id", "object", "created", "owned_by"} <= set(model) and model["object"] == "model"
    assert_openai_error(httpx.get(url), 401, "invalid_api_key")
    assert_openai_error(httpx.get(url, headers=orrery.bearer("other")), 403)


@pytest.mark.parametrize("path", ["/responses", "/completions", "/embeddings", "/chat", "/models/x"])
def test_o11_other_paths_are_404_in_openai_shape(orrery, path):
    for method in ("GET", "POST"):
        assert_openai_error(httpx.request(method, orrery.openai("echo") + path, headers=orrery.bearer("echo")), 404)


def test_o12_a_stream_opens_before_its_first_token(orrery):
    request = {"stream": True, "messages": [{"role": "user", "content": "/slow 3000"}]}
    started = time.monotonic()
    with httpx.stream("POST", orrery.openai("echo") + "/chat/completions", headers=orrery.bearer("echo"), json=request, timeout=30) as response:
        opened = time.monotonic() - started
        assert response.headers["content-type"].split(";")[0] == "text/event-stream"
        assert "no-cache" in response.headers["cache-control"]
        assert "content-encoding" not in response.headers
        response.read()
    assert opened < 1.5, f"the headers came after {opened:.1f} s"


def test_o12_frames_are_whole_utf8_even_for_long_unicode(orrery):
    words = "Zażółć gęślą jaźń 日本語 👩‍👩‍👧‍👦 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 " * 20
    request = {"stream": True, "messages": [{"role": "user", "content": words}]}
    with httpx.stream("POST", orrery.openai("echo") + "/chat/completions", headers=orrery.bearer("echo"), json=request) as response:
        raw = [piece for piece in response.iter_raw()]
    for piece in raw:
        piece.decode()
    assert words.strip() in sse.text_of(sse.chunks(b"".join(raw).decode()))


PREFLIGHT = {
    "Origin": "https://app.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang,x-stainless-retry-count,x-stainless-timeout",
}


def test_o13_a_preflight_allows_the_clients_headers(orrery):
    for path, method in (("/chat/completions", "POST"), ("/models", "GET")):
        response = httpx.options(orrery.openai("echo") + path, headers=PREFLIGHT)
        assert response.status_code == 204, path
        allowed = response.headers["access-control-allow-headers"].lower()
        assert allowed == "*" or all(name in allowed for name in PREFLIGHT["Access-Control-Request-Headers"].split(","))
        assert allowed != "*", "a star does not cover the authorization header"
        assert method in response.headers["access-control-allow-methods"]
        assert response.headers["access-control-allow-origin"] in ("*", "https://app.example")


def test_o13_every_answer_carries_cors_headers(orrery):
    url, bearer, origin = orrery.openai("echo"), orrery.bearer("echo"), {"Origin": "https://app.example"}
    answers = [
        httpx.post(url + "/chat/completions", headers=bearer | origin, json={"messages": [{"role": "user", "content": "x"}]}),
        httpx.post(url + "/chat/completions", headers=origin, json={}),
        httpx.post(url + "/chat/completions", headers=orrery.bearer("other") | origin, json={}),
        httpx.post(url + "/chat/completions", headers=bearer | origin, content=b"{"),
        httpx.get(url + "/nothing", headers=bearer | origin),
        httpx.put(url + "/chat/completions", headers=bearer | origin),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 403, 400, 404, 405]
    for answer in answers:
        assert answer.headers.get("access-control-allow-origin") in ("*", "https://app.example"), answer.status_code


def test_o14_a_trailing_slash_is_the_same_path(orrery):
    url, bearer = orrery.openai("echo"), orrery.bearer("echo")
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    assert httpx.post(url + "/chat/completions/", headers=bearer, json=body).status_code == 200


def test_o14_a_key_in_the_query_beside_a_clients_own_bearer_is_accepted(orrery):
    response = httpx.post(
        orrery.openai("echo") + "/chat/completions", params={"key": orrery.plain_key("echo")},
        headers={"Authorization": "Bearer sk-placeholder"}, json={"messages": [{"role": "user", "content": "Hello"}]},
    )
    assert response.status_code == 200, response.text


def test_o14_a_body_of_one_megabyte_is_read(orrery):
    messages = [{"role": "user", "content": "x" * 1_000_000}, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "Hello"}]
    response = ask(orrery, messages)
    assert response.status_code == 200, response.text[:300]


def test_o14_a_connection_serves_on_after_a_refusal_with_an_unread_body(orrery):
    with httpx.Client(base_url=orrery.openai("echo"), limits=httpx.Limits(max_connections=1)) as client:
        for _ in range(3):
            refused = client.post("/chat/completions", content=b'{"messages":"' + b"x" * 200_000 + b'"}')
            assert refused.status_code == 401
            good = client.post("/chat/completions", headers=orrery.bearer("echo"), json={"messages": [{"role": "user", "content": "Hello"}]})
            assert good.status_code == 200

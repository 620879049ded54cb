"""The official OpenAI client for Python, unchanged. Runs once for each of its current major versions."""

import asyncio
import json

import openai
import pytest

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}",
            "description": "What a coding assistant offers. " * 20,
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
        },
    }
    for number in range(80)
]


@pytest.fixture
def client(orrery):
    with openai.OpenAI(base_url=orrery.openai("echo"), api_key=orrery.plain_key("echo"), max_retries=0) as client:
        yield client


def say(client, text, **options):
    return client.chat.completions.create(model="orrery", messages=[{"role": "user", "content": text}], **options)


def streamed(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def test_a_plain_completion_has_text_and_usage(client):
    completion = say(client, "Hello there")
    choice = completion.choices[0]
    assert completion.object == "chat.completion" and completion.id.startswith("chatcmpl-")
    assert choice.message.role == "assistant" and "Hello there" in choice.message.content
    assert choice.finish_reason == "stop" and choice.message.tool_calls is None
    usage = completion.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_stream_gives_the_same_text_as_the_plain_answer(client):
    plain = say(client, "One two three four").choices[0].message.content
    stream = list(say(client, "One two three four", stream=True))
    assert streamed(stream) == plain
    assert len(stream) > 4, "the words come one by one"


def test_o4_usage_chunk_only_when_asked(client):
    # `chunk.choices[0]` is what the documented example reads: a chunk without choices would crash it.
    assert all(chunk.choices for chunk in say(client, "Hello", stream=True))
    asked = list(say(client, "Hello", stream=True, stream_options={"include_usage": True}))
    assert [chunk.usage is None for chunk in asked] == [True] * (len(asked) - 1) + [False]
    assert asked[-1].choices == [] and asked[-1].usage.total_tokens > 0


def test_the_stream_helper_accumulates_and_finishes(client):
    messages = [{"role": "user", "content": "Say it with the helper"}]
    kinds = []
    with client.chat.completions.stream(model="orrery", messages=messages) as stream:
        for event in stream:
            kinds.append(event.type)
        final = stream.get_final_completion()
    assert "content.delta" in kinds and kinds[-1] == "content.done"
    assert "Say it with the helper" in final.choices[0].message.content
    assert final.choices[0].finish_reason == "stop"


def test_the_raw_response_carries_limits_and_a_request_id(client):
    raw = client.chat.completions.with_raw_response.create(model="orrery", messages=[{"role": "user", "content": "Hi"}])
    assert raw.headers["x-request-id"] and int(raw.headers["x-ratelimit-remaining"]) >= 0
    assert "Hi" in raw.parse().choices[0].message.content


def test_o1_content_parts_are_joined(client):
    parts = [{"type": "text", "text": "first part"}, {"type": "text", "text": "second part"}]
    completion = client.chat.completions.create(model="orrery", messages=[{"role": "user", "content": parts}])
    answer = completion.choices[0].message.content
    assert "first part" in answer and "second part" in answer


def test_o2_every_role_is_accepted_and_instructions_are_ignored(client):
    call = {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "developer", "content": "You are a parrot."},
        {"role": "user", "content": "An earlier question"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "the file"},
        {"role": "function", "name": "read_file", "content": "the file again"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "/context"},
    ]
    answer = client.chat.completions.create(model="orrery", messages=messages).choices[0].message.content
    assert "echo agent of the tests" in answer
    assert "pirate" not in answer and "parrot" not in answer


def test_o3_unknown_fields_and_client_tools_are_ignored(client):
    completion = say(
        client, "Hello",
        tools=TOOLS[:2], tool_choice="auto", response_format={"type": "json_object"}, n=1, seed=7, store=True,
        temperature=0.1, top_p=0.9, stop=["x"], user="u-1", logit_bias={}, metadata={"a": "b"},
        parallel_tool_calls=False, max_completion_tokens=50, extra_body={"vendor_extra": {"deep": [1, None]}, "top_k": 3},
    )
    assert completion.choices[0].message.tool_calls is None
    assert "Hello" in completion.choices[0].message.content


def test_a_60_kb_body_with_client_tools_is_answered(client):
    assert len(json.dumps(TOOLS)) > 60_000
    stream = list(say(client, "Refactor this", tools=TOOLS, stream=True))
    assert "Refactor this" in streamed(stream)
    assert all(not chunk.choices[0].delta.tool_calls for chunk in stream)


def test_twenty_parallel_streams_do_not_mix(orrery):
    async def one(client, number):
        stream = await client.chat.completions.create(
            model="orrery", stream=True, messages=[{"role": "user", "content": f"/long 50 number-{number}"}]
        )
        ids, words = set(), 0
        async for chunk in stream:
            ids.add(chunk.id)
            words += len((chunk.choices[0].delta.content or "").split())
        assert len(ids) == 1 and words >= 50
        return ids.pop()

    async def run():
        async with openai.AsyncOpenAI(
            base_url=orrery.openai("echo"), api_key=orrery.plain_key("echo"), max_retries=0
        ) as client:
            return await asyncio.gather(*(one(client, number) for number in range(20)))

    assert len(set(asyncio.run(run()))) == 20


def test_the_documented_endpoint_for_models_lists_one(client):
    model = client.models.list().data[0]
    assert model.object == "model" and model.id and isinstance(model.created, int) and model.owned_by


@pytest.mark.parametrize("key", ["kpn_" + "0" * 64, "sk-foreign", "kpn_short"])
def test_a_wrong_key_raises_authentication_error(orrery, key):
    with openai.OpenAI(base_url=orrery.openai("echo"), api_key=key, max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as error:
            say(client, "Hello")
    assert error.value.status_code == 401 and error.value.code == "invalid_api_key"
    assert error.value.type == "invalid_request_error"


def test_another_agents_key_raises_permission_denied(orrery):
    with openai.OpenAI(base_url=orrery.openai("other"), api_key=orrery.plain_key("echo"), max_retries=0) as client:
        with pytest.raises(openai.PermissionDeniedError) as error:
            say(client, "Hello")
    assert error.value.status_code == 403 and error.value.message


def test_bad_messages_raise_bad_request(client):
    for messages in ([], [{"role": "assistant", "content": "only me"}]):
        with pytest.raises(openai.BadRequestError) as error:
            client.chat.completions.create(model="orrery", messages=messages)
        assert error.value.type == "invalid_request_error"


def test_o11_other_endpoints_raise_not_found(client):
    calls = [
        lambda: client.responses.create(model="orrery", input="Hello"),
        lambda: client.completions.create(model="orrery", prompt="Hello"),
        lambda: client.embeddings.create(model="orrery", input="Hello"),
    ]
    for call in calls:
        with pytest.raises(openai.NotFoundError) as error:
            call()
        assert error.value.body["message"]


def test_the_limit_raises_rate_limit_error_with_retry_after(orrery):
    agent = "crowded"
    with openai.OpenAI(base_url=orrery.openai(agent), api_key=orrery.plain_key(agent), max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as error:
            for _ in range(40):
                say(client, "Hello")
    assert 1 <= int(error.value.response.headers["retry-after"]) <= 60


def test_o9_a_failure_in_the_stream_raises(client):
    with pytest.raises(openai.APIError):
        streamed(say(client, "/cut", stream=True))


def test_a_failure_before_the_stream_is_a_server_error(client):
    with pytest.raises(openai.InternalServerError) as error:
        say(client, "/fail")
    assert error.value.status_code >= 500

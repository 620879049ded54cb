"""Rate limits, from outside."""

import asyncio
import time

import httpx


def ask(server, agent, client=httpx, **extra):
    body = {"messages": [{"role": "user", "content": "Hello"}], **extra}
    return client.post(server.openai(agent) + "/chat/completions", headers=server.bearer(agent), json=body)


def limits(response):
    return {name: int(response.headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset")}


def test_every_answer_tells_the_limit(orrery):
    now = time.time() * 1000
    answers = [
        ask(orrery, "limited"),
        ask(orrery, "limited", stream=True),
        httpx.post(orrery.openai("limited") + "/chat/completions", headers=orrery.bearer("limited"), content=b"{"),
        httpx.post(orrery.webhook("limited"), headers=orrery.bearer("limited"), json={"message": "Hello"}),
        httpx.post(orrery.widget, headers=orrery.bearer("limited", "widget"), json={"message": "Hello"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 400, 200, 200]
    assert [limits(answer)["limit"] for answer in answers] == [30, 30, 30, 60, 20]
    for answer in answers:
        assert 0 <= limits(answer)["remaining"] < limits(answer)["limit"]
        assert now - 1000 <= limits(answer)["reset"] <= now + 120_000, "milliseconds since 1970"


def test_the_31st_call_of_a_minute_waits_as_long_as_it_is_told(own_orrery):
    server = own_orrery()
    started = time.monotonic()
    with httpx.Client() as client:
        answers = [ask(server, "limited", client) for _ in range(30)]
        assert [answer.status_code for answer in answers] == [200] * 30
        assert limits(answers[0])["remaining"] > limits(answers[-1])["remaining"]
        refused = ask(server, "limited", client)
        while refused.status_code == 200 and len(answers) < 100:
            answers.append(refused)
            refused = ask(server, "limited", client)
        returned = (time.monotonic() - started) / 2
        assert len(answers) <= 30 + returned, "a token comes back every two seconds, and not sooner"
        assert refused.status_code == 429 and limits(refused)["remaining"] == 0
        error = refused.json()["error"]
        assert error["message"] and {"type", "code", "param"} <= set(error)
        wait = int(refused.headers["retry-after"])
        assert 1 <= wait <= 60
        time.sleep(wait)
        assert ask(server, "limited", client).status_code == 200


def test_a_429_is_in_the_dialect_of_its_endpoint(own_orrery):
    server = own_orrery()
    with httpx.Client() as client:
        for _ in range(25):
            response = client.post(
                server.widget, headers=server.bearer("limited", "widget") | {"Origin": "https://page.example"}, json={"message": "x"}
            )
            if response.status_code == 429:
                break
    assert response.status_code == 429 and isinstance(response.json()["error"], str)
    assert int(response.headers["retry-after"]) >= 1 and limits(response)["limit"] == 20
    assert response.headers["access-control-allow-origin"] in ("*", "https://page.example")


def test_200_calls_at_once_never_pass_more_than_the_capacity(own_orrery):
    server = own_orrery()
    url, headers = server.openai("limited") + "/chat/completions", server.bearer("limited")
    body = {"messages": [{"role": "user", "content": "Hello"}]}

    async def run():
        no_bound = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=60, limits=no_bound) as client:
            return await asyncio.gather(*(client.post(url, headers=headers, json=body) for _ in range(200)))

    started = time.monotonic()
    statuses = [response.status_code for response in asyncio.run(run())]
    refilled = int((time.monotonic() - started) / 2) + 1
    assert set(statuses) == {200, 429}, sorted(set(statuses))
    assert 30 <= statuses.count(200) <= 30 + refilled


def test_a_stranger_does_not_spend_the_agents_tokens(own_orrery):
    server = own_orrery()
    url = server.openai("limited") + "/chat/completions"
    before = limits(ask(server, "limited"))["remaining"]
    for key in ("kpn_" + "0" * 64, server.plain_key("other")):
        for _ in range(10):
            refused = httpx.post(url, headers={"Authorization": f"Bearer {key}"}, json={"messages": []})
            assert refused.status_code in (401, 403)
    assert limits(ask(server, "limited"))["remaining"] >= before - 1

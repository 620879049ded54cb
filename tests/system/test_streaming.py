"""How fast a token passes: the upstream writes the time into each one."""

import socket
import statistics
import time
import urllib.parse

import httpx
import pytest

import upstream


def arrivals(server, agent):
    """For each token: when it was sent and when it came, in nanoseconds; and how many came with one read."""
    url = urllib.parse.urlsplit(server.openai(agent) + "/chat/completions")
    body = '{"stream":true,"messages":[{"role":"user","content":"go"}]}'
    head = (
        f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: {server.bearer(agent)['Authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    )
    tokens = []
    with socket.create_connection((url.hostname, url.port), timeout=30) as connection:
        connection.sendall(head.encode())
        while data := connection.recv(65536):
            now = time.monotonic_ns()
            found = [int(part.split(b'"')[0].split()[0]) for part in data.split(b'"content":"')[1:] if part[:1].isdigit()]
            tokens += [(sent, now, len(found)) for sent in found]
    return tokens


@pytest.mark.parametrize("pace", [40, 10], ids=lambda pace: f"{pace} ms a token")
def test_tokens_pass_one_by_one_as_they_come(own_orrery, pace, capsys):
    one = upstream.Scripted(upstream.paced(40, pace))
    server = own_orrery(**one.environment())
    try:
        arrivals(server, "gpt")
        tokens = arrivals(server, "gpt")
    finally:
        one.stop()
    delays = [(came - sent) / 1e6 for sent, came, _ in tokens]
    gaps = [(after[1] - before[1]) / 1e6 for before, after in zip(tokens, tokens[1:])]
    with capsys.disabled():
        print(
            f"\n{pace} ms a token: the first passed in {delays[0]:.2f} ms, the median in {statistics.median(delays):.2f}, "
            f"the slowest in {max(delays):.2f}; gaps {min(gaps):.1f} to {max(gaps):.1f} ms"
        )
    assert len(tokens) == 40
    assert delays[0] < 10 and statistics.median(delays) < 5
    batched = sum(together > 1 for _, _, together in tokens)
    assert batched <= 4, f"{batched} tokens came together with others"


def test_the_first_token_does_not_wait_for_the_second(own_orrery):
    def script(_, send):
        send(upstream.openai_chunk({"role": "assistant", "content": f"{time.monotonic_ns()} "}))
        time.sleep(1)
        send(upstream.openai_chunk({"content": f"{time.monotonic_ns()} "}) + upstream.openai_end())

    one = upstream.Scripted(script)
    server = own_orrery(**one.environment())
    try:
        arrivals(server, "gpt")
        first, second = arrivals(server, "gpt")
    finally:
        one.stop()
    assert first[1] < second[0] - 500_000_000


def test_the_demo_model_streams_visibly(own_orrery):
    server = own_orrery(ORRERY_DEMO_DELAY_MS="30")
    body = {"message": "one two three four five six"}
    times = []
    with httpx.stream("POST", server.widget, headers=server.bearer("echo", "widget"), json=body, timeout=30) as response:
        for piece in response.iter_text():
            times += [time.monotonic()] * piece.count("event: token")
    assert len(times) >= 6 and times[-1] - times[0] > 0.1

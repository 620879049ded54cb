"""What is kept and what never is: crashes, keys, logs."""

import concurrent.futures
import re
import time

import httpx

from orrery import wait_for


def post(server, agent="echo", **body):
    return httpx.post(server.webhook(agent), headers=server.bearer(agent), json=body, timeout=60)


def test_a_crash_in_the_middle_of_a_turn_leaves_whole_turns_only(own_orrery, capsys):
    server = own_orrery(ORRERY_DEMO_DELAY_MS="50")
    session = post(server, message="the first turn").json()["sessionId"]

    text = ""
    try:
        with httpx.stream("POST", server.openai("echo") + "/chat/completions", headers=server.bearer("echo"), json={
            "stream": True, "messages": [{"role": "user", "content": "/long 200"}],
        }, timeout=30) as other, concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(post, server, message="/long 200 broken-turn", sessionId=session)
            for piece in other.iter_text():
                text += piece
                if text.count("data:") > 10:
                    break
            assert not running.done()
            server.kill()
            assert running.exception(timeout=30) is not None
    except httpx.HTTPError:
        pass
    assert "[DONE]" not in text

    server.start()
    started = time.monotonic()

    def answered():
        response = post(server, message="/history", sessionId=session)
        return response if response.status_code == 200 else None

    history = wait_for(answered, 90, "an answer in the session").json()["response"]
    with capsys.disabled():
        print(f"\nthe session answered {time.monotonic() - started:.1f} s after the restart")
    assert "the first turn" in history and "broken-turn" not in history
    assert post(server, message="and on", sessionId=session).status_code == 200


def test_a_second_start_keeps_its_data(own_orrery):
    server = own_orrery()
    agents = server.command("agent", "list")
    key = server.plain_key("echo")
    server.restart()
    assert server.command("agent", "list") == agents
    assert httpx.post(server.webhook("echo"), headers={"Authorization": f"Bearer {key}"}, json={"message": "x"}).status_code == 200


def test_plain_keys_and_bodies_are_neither_stored_nor_logged(own_orrery):
    server = own_orrery()
    plain = [server.plain_key("echo"), server.plain_key("echo", "widget")]
    httpx.post(server.webhook("echo"), params={"key": plain[0]}, json={"message": "needle-in-the-body"})
    httpx.post(server.webhook("echo"), params={"key": "kpn_needle-of-a-stranger"}, json={"message": "x"})
    httpx.post(server.widget, headers={"Authorization": f"Bearer {plain[1]}"}, json={"message": "/cut"})
    server.stop()
    stored, logged = server.database_bytes(), server.process.output()
    assert b"echo" in stored and "/api/webhook/" in logged
    for key in plain:
        secret = key.removeprefix("kpn_")
        assert secret.encode() not in stored and secret not in logged
        assert bytes.fromhex(secret) not in stored if re.fullmatch("[0-9a-f]{64}", secret) else True
    assert "needle" not in logged


def test_a_webhooks_secret_is_sealed(own_orrery):
    server = own_orrery()
    server.command("webhook", "create", "--agent", "signed", "--secret", "a-secret-that-nobody-reads")
    server.stop()
    assert b"a-secret-that-nobody-reads" not in server.database_bytes()


def works(server, key):
    return httpx.post(server.webhook("echo"), headers={"Authorization": f"Bearer {key}"}, json={"message": "x"}).status_code


def test_a_revoked_key_is_refused_at_once(orrery):
    key = orrery.new_key("echo")
    assert works(orrery, key["key"]) == 200
    orrery.command("key", "revoke", key["id"])
    assert works(orrery, key["key"]) in (401, 403)


def test_an_expired_key_is_refused(orrery):
    key = orrery.new_key("echo", "--expires", "2s")["key"]
    assert works(orrery, key) == 200
    wait_for(lambda: works(orrery, key) == 401, 10, "the key's end")


def test_a_rotated_key_is_refused_and_its_heir_works(orrery):
    key = orrery.new_key("echo")
    heir = orrery.command("key", "rotate", key["id"])
    assert heir["key"] != key["key"]
    assert works(orrery, key["key"]) in (401, 403) and works(orrery, heir["key"]) == 200


def test_of_20_rotations_at_once_one_wins(orrery):
    key = orrery.new_key("echo")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        runs = [pool.submit(orrery.run, "key", "rotate", key["id"], "--json") for _ in range(20)]
    codes = sorted(run.result()[0] for run in runs)
    assert codes == [0] + [1] * 19


def test_the_quiet_option_prints_the_key_alone(orrery):
    code, output, _ = orrery.run("key", "create", "--agent", "echo", "--quiet")
    assert code == 0 and re.fullmatch(r"kpn_\w+\n", output)

"""What a person sees who starts `orrery serve` for the first time."""

import re
import subprocess

from orrery import ROOT, wait_for


def pasted(output):
    """The command lines that are printed, continued lines joined."""
    joined = output.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if re.match(r"\s*(export |curl )", line)]


def test_the_printed_curl_lines_work_when_pasted(own_orrery):
    server = own_orrery(agents=ROOT / "agents")
    lines = wait_for(lambda: [line for line in pasted(server.process.output()) if "curl" in line], 10, "curl lines")
    wait_for(lambda: "/api/webhook/" in server.process.output(), 10, "the webhook's line")
    lines = pasted(server.process.output())
    setting = "\n".join(line for line in lines if line.startswith("export "))
    calls = [line for line in lines if line.startswith("curl ")]
    for path in ("/api/health", "/v1/chat/completions", "/api/webhook/", "/api/widget/chat"):
        assert any(path in call for call in calls), f"no line for {path} in\n{server.process.output()}"
    for call in calls:
        script = f"{setting}\n{call.replace('curl ', 'curl -sS --fail-with-body ', 1)}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and done.stdout, f"{call}\n{done.stdout}{done.stderr}"


def test_a_key_is_shown_at_the_first_start_only(own_orrery):
    server = own_orrery(agents=ROOT / "agents")
    shown = r"kpn_[0-9a-zA-Z]{20,}"
    [*first] = set(wait_for(lambda: re.findall(shown, server.process.output()), 10, "a key"))
    assert first
    end = len(server.process.output().encode())
    server.restart()
    wait_for(lambda: "http" in server.process.output(end), 10, "the second start's words")
    assert not set(re.findall(shown, server.process.output(end))) & set(first)


def test_a_port_that_is_taken_is_a_clear_error(own_orrery):
    server = own_orrery()
    port = server.url.rsplit(":", 1)[1]
    code, _, errors = server.run("serve", "--port", port)
    assert code == 1 and port in errors


def test_it_listens_on_loopback_only(own_orrery):
    server = own_orrery()
    port = int(server.url.rsplit(":", 1)[1])
    with open("/proc/net/tcp", encoding="ascii") as table:
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]

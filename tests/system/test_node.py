"""The clients for Node and the start page: `tests/clients/node`, each file run by Node's own test runner."""

import shutil

import pytest

import node
from orrery import ROOT


def run(name, environment):
    print(node.run("--test", "--test-reporter=spec", f"{name}.test.mjs", environment=environment))


@pytest.mark.parametrize("name", ["openai", "ai-sdk", "widget", "mcp"])
def test_clients_for_node(own_orrery, name):
    server = own_orrery()
    run(name, {
        "ORRERY_OPENAI_URL": server.openai("echo"),
        "ORRERY_OTHER_OPENAI_URL": server.openai("other"),
        "ORRERY_LIMITED_OPENAI_URL": server.openai("limited"),
        "ORRERY_KEY": server.plain_key("echo"),
        "ORRERY_LIMITED_KEY": server.plain_key("limited"),
        "ORRERY_MCP_URL": server.mcp,
        "ORRERY_WIDGET_URL": server.widget,
        "ORRERY_WIDGET_KEY": server.plain_key("echo", "widget"),
    })


def test_the_start_page_in_a_browser(own_orrery):
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("there is no chromium on this machine")
    server = own_orrery(agents=ROOT / "agents")
    run("page", {"ORRERY_URL": server.url, "ORRERY_CHROMIUM": chromium})

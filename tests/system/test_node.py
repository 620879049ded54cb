"""The clients for Node, the widget and the start page: `tests/clients/node`, each file run by Node's own test runner."""

import shutil

import pytest

import node
from orrery import ROOT, binary


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


@pytest.fixture
def chromium():
    path = shutil.which("chromium")
    if not path:
        pytest.skip("there is no chromium on this machine")
    return path


@pytest.mark.parametrize("name", ["conversation", "hostile", "access"])
def test_the_widget_in_a_browser(own_orrery, chromium, name):
    server = own_orrery(ORRERY_DEMO_DELAY_MS="2")
    run(f"widget/{name}", {
        "ORRERY_CHROMIUM": chromium,
        "ORRERY_BIN": str(binary()),
        "ORRERY_DATA": str(server.data),
        "ORRERY_URL": server.url,
        "ORRERY_WIDGET_KEY": server.plain_key("echo", "widget"),
        "ORRERY_LIMITED_WIDGET_KEY": server.plain_key("limited", "widget"),
        "ORRERY_CLOSED_WIDGET_KEY": server.plain_key("closed", "widget"),
        "ORRERY_SHOP_WIDGET_KEY": server.plain_key("shop", "widget"),
    })


def test_the_start_page_in_a_browser(own_orrery, chromium):
    server = own_orrery(agents=ROOT / "agents")
    run("page", {"ORRERY_URL": server.url, "ORRERY_CHROMIUM": chromium})

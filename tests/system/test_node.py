"""The clients for Node: `tests/clients/node`, each file run by Node's own test runner."""

import pytest

import node


@pytest.mark.parametrize("name", ["openai", "ai-sdk", "widget"])
def test_clients_for_node(own_orrery, name):
    server = own_orrery()
    environment = {
        "ORRERY_OPENAI_URL": server.openai("echo"),
        "ORRERY_OTHER_OPENAI_URL": server.openai("other"),
        "ORRERY_LIMITED_OPENAI_URL": server.openai("limited"),
        "ORRERY_KEY": server.plain_key("echo"),
        "ORRERY_LIMITED_KEY": server.plain_key("limited"),
        "ORRERY_WIDGET_URL": server.widget,
        "ORRERY_WIDGET_KEY": server.plain_key("echo", "widget"),
    }
    print(node.run("--test", "--test-reporter=spec", f"{name}.test.mjs", environment=environment))

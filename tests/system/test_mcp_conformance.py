"""The conformance suite of the Model Context Protocol, stable and newest, and the inspector.

Every scenario of the suite is named here. Most of them call tools, prompts and resources of the suite's own reference
server, which an agent with two tools does not have. A scenario that begins to pass or to fail is told.
"""

import json
import re

import pytest

import node
from doorman import with_key

SUITES = {
    "stable": "@modelcontextprotocol/conformance",
    "alpha": "mcp-conformance-alpha",
}
RUNS = [("stable", None), ("alpha", "2025-06-18"), ("alpha", "2025-11-25"), ("alpha", "2026-07-28")]

PASSES = {"server-initialize", "ping", "tools-list", "dns-rebinding-protection", "http-header-validation"}

# These find nothing to check, and say so by a note or a warning.
FINDS_NOTHING = {
    "server-session-lifecycle": "there are no sessions",
    "server-sse-polling": "no stream is opened that could be taken up again",
    "server-sse-multiple-streams": "each call has a reply of its own",
    "sep-2164-resource-not-found": "there are no resources",
    "input-required-result-missing-input-response": "no tool asks its caller back",
    "input-required-result-unsupported-methods": "no tool asks its caller back",
    "input-required-result-ignore-extra-params": "no tool asks its caller back",
    "input-required-result-validate-input": "no tool asks its caller back",
}

# All but these checks pass.
PASSES_BUT_FOR = {
    "server-stateless": {
        "sep-2575-server-rejects-undeclared-capability": "calls the tool test_missing_capability",
        "sep-2575-missing-capability-http-400": "calls the tool test_missing_capability",
        "sep-2575-http-server-no-independent-requests-on-stream": "calls the tool test_streaming_elicitation",
        "sep-2575-server-no-log-without-loglevel": "calls the tool test_logging_tool",
    },
    "caching": {
        "sep-2549-prompts-list-caching-hints": "there are no prompts",
        "sep-2549-resources-list-caching-hints": "there are no resources",
        "sep-2549-resources-templates-list-caching-hints": "there are no resources",
    },
}

# By the beginning of their names: these fail, as they must.
DOES_NOT_APPLY = {
    "logging-set-level": "there are no log messages for clients",
    "completion-complete": "there is nothing to complete",
    "tools-call-": "calls tools of the reference server",
    "json-schema-2020-12": "looks for a tool of the reference server",
    "http-custom-header-server-validation": "no tool has arguments that travel in headers",
    "elicitation-": "no tool asks its caller back",
    "input-required-result-": "no tool asks its caller back",
    "resources-": "there are no resources",
    "prompts-": "there are no prompts",
}

# Extensions of the protocol, which are not advertised; the suite does not run them by itself.
EXTENSIONS = ("tasks-", "sep-2640-skills-")


def program(suite):
    return node.PACKAGES / SUITES[suite] / "dist" / "index.js"


def expected(scenario):
    """The checks that fail; `...` for whichever."""
    if scenario in PASSES or scenario in FINDS_NOTHING:
        return set()
    if scenario in PASSES_BUT_FOR:
        return set(PASSES_BUT_FOR[scenario])
    return ... if scenario.startswith(tuple(DOES_NOT_APPLY)) else None


@pytest.mark.parametrize("suite, version", RUNS)
def test_the_suite_finds_what_it_should(orrery, tmp_path, suite, version):
    options = ["--spec-version", version] if version else []
    with with_key(orrery.url, orrery.plain_key("echo")) as url:
        arguments = ["server", "--url", f"{url}/api/mcp/server", "--suite", "all", "--output-dir", tmp_path, *options]
        node.run(program(suite), *arguments, fails=True)
    failed = {}
    for folder in tmp_path.iterdir():
        scenario = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT.*", folder.name)[1]
        checks = json.loads((folder / "checks.json").read_text())
        failed[scenario] = {check["id"] for check in checks if check["status"] == "FAILURE"}
    assert {"ping", "tools-list"} & set(failed), "the suite has run"
    for scenario, checks in failed.items():
        wanted = expected(scenario)
        assert wanted is not None, f"{scenario} is new: does it apply?"
        assert checks if wanted is ... else checks == wanted, f"{scenario}: {checks or 'passes'}"


@pytest.mark.parametrize("suite", SUITES)
def test_every_scenario_is_named(suite):
    listed = re.findall(r"^  - (\S+)", node.run(program(suite), "list", "--server"), re.MULTILINE)
    assert len(listed) > 25
    unknown = {name for name in listed if expected(name) is None and not name.startswith(EXTENSIONS)}
    assert unknown == set()


def inspector(orrery, *arguments):
    launcher = node.PACKAGES / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
    header = f"Authorization: Bearer {orrery.plain_key('echo')}"
    return json.loads(node.run(launcher, "--cli", orrery.mcp, "--transport", "http", "--header", header, *arguments))


def test_the_inspector_finds_the_tools_well_described(orrery):
    tools = inspector(orrery, "--method", "tools/list", "--strict")["tools"]
    assert [tool["name"] for tool in tools] == ["kopern_chat", "kopern_agent_info"]


def test_the_inspector_calls_a_tool(orrery):
    call = ["--method", "tools/call", "--tool-name", "kopern_chat", "--tool-arg", "message=Hello"]
    assert inspector(orrery, *call)["content"][0]["text"] == "You said: Hello"

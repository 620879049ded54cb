"""Projects by the command line: applied, listed, shown and deleted, with keys that are felt at once."""

import re

import pytest

from apps import PROJECTS, Client, refused

AGENT = "---\nname: {name}\nmodel: demo/echo\n{rest}---\n{prompt}\n"


class Folder:
    """Documents of a test's own."""

    def __init__(self, path):
        self.path = path

    def agent(self, name, prompt="You repeat what is said.", rest="", folder="desk"):
        return self.write(f"{folder}/{name}.md", AGENT.format(name=name, prompt=prompt, rest=rest))

    def project(self, head="project: desk\nentry: first\n", folder="desk"):
        return self.write(f"{folder}/project.md", f"---\n{head}---\nNotes\n")

    def write(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "documents")


@pytest.fixture
def server(own_orrery):
    return own_orrery(PROJECTS)


def applied(server, *arguments):
    return {(one["kind"], one["name"]): one for one in server.command("apply", *arguments)}


def fails(server, *arguments, code=2):
    status, output, errors = server.run(*arguments)
    assert status == code and output == "", (status, output, errors)
    return errors


def names(server):
    return [project["name"] for project in server.command("project", "list")]


def test_a_folder_becomes_an_app_and_is_left_alone_when_it_has_not_changed(server, folder):
    folder.project()
    for name in ("first", "second"):
        folder.agent(name)
    before = names(server)
    dry = applied(server, folder.path, "--dry-run")
    assert {one["change"] for one in dry.values()} == {"created"} and names(server) == before
    assert all("id" not in one and one["diff"] for one in dry.values())
    made = applied(server, folder.path)
    assert set(made) == {("agent", "first"), ("agent", "second"), ("project", "desk")}
    assert {one["change"] for one in made.values()} == {"created"} and {one["version"] for one in made.values()} == {1}
    again = applied(server, folder.path)
    assert {one["change"] for one in again.values()} == {"unchanged"} and {one["version"] for one in again.values()} == {1}
    client = Client(server, "desk")
    assert client.id == made["project", "desk"]["id"] and client.execute("hello")["agent"] == "first"


def test_what_changed_is_shown_by_a_dry_run_and_felt_once_it_is_applied(server, folder):
    folder.project()
    folder.agent("first", "One.")
    folder.agent("second", "Two.")
    applied(server, folder.path)
    client = Client(server, "desk")
    session = client.execute("hello")["session_id"]
    folder.agent("first", "Another one.")
    folder.project("project: desk\nentry: second\nagents: [first]\npause_on_escalation: true\n")
    dry = applied(server, folder.path, "--dry-run")
    assert dry["agent", "first"]["change"] == "updated" and "+Another one." in dry["agent", "first"]["diff"]
    assert "+entry: second" in dry["project", "desk"]["diff"] and dry["project", "desk"]["version"] == 2
    assert dry["agent", "second"]["change"] == "unchanged"
    assert client.execute("/context")["response"].startswith("One.")
    assert applied(server, folder.path)["project", "desk"]["version"] == 2
    assert client.execute("/context", session)["response"].startswith("Another one."), "a session stays with its agent"
    assert client.execute("/context")["agent"] == "second"


def test_a_description_is_told_to_the_others_when_it_changes(server, folder):
    folder.project()
    folder.agent("first")
    folder.agent("second", rest="description: Knows little\n")
    applied(server, folder.path)
    folder.agent("second", rest="description: Knows a lot\n")
    assert applied(server, folder.path)["project", "desk"]["change"] == "updated"
    (shown,) = [project for project in server.command("project", "list") if project["name"] == "desk"]
    assert [agent["description"] for agent in shown["agents"]] == ["", "Knows a lot"]


@pytest.mark.parametrize("head, problem", [
    ("project: desk\nentry: nobody\n", "nobody"),
    ("project: desk\nentry: first\nagents: [first, missing]\n", "missing"),
    ("project: desk\n", "entry"),
    ("entry: first\n", "project"),
    ("project: Desk!\nentry: first\n", "project"),
    ("project: desk\nentry: first\nentri: x\n", "entri"),
    ("project: desk\nentry: first\npause_on_escalation: maybe\n", "pause_on_escalation"),
    ("project: [\n", ""),
])
def test_a_project_with_a_problem_is_refused_and_nothing_is_stored(server, folder, head, problem):
    folder.project(head)
    folder.agent("first")
    before = names(server), len(server.command("agent", "list"))
    errors = fails(server, "apply", folder.path)
    assert "project.md" in errors and problem in errors
    assert (names(server), len(server.command("agent", "list"))) == before


def test_two_projects_of_one_name_are_refused(server, folder):
    folder.project()
    folder.agent("first")
    folder.project(folder="other")
    folder.agent("second", folder="other")
    errors = fails(server, "apply", folder.path)
    assert "desk is the name of the project in" in errors
    folder.agent("first", folder="other")
    folder.project("project: other_desk\nentry: first\n", folder="other")
    assert "first is the name of the agent in" in fails(server, "apply", folder.path)


def test_a_handoff_goes_to_nobody_who_is_not_of_the_project(server, folder):
    folder.project()
    folder.agent("first", rest="tools:\n  - use: handoff\n    to: [nobody, clerk]\n")
    applied(server, folder.path)
    client = Client(server, "desk")
    for agent in ("nobody", "clerk"):
        answer = client.execute(f'/tool handoff {{"agent": "{agent}"}}')
        assert answer["agent"] == "first" and "handoff failed" in answer["response"]


def test_keys_of_an_app_are_listed_rotated_and_revoked_at_once(server):
    client = Client(server, "team")
    assert re.fullmatch(r"sk-app-[A-Za-z0-9_-]{43}", client.key["key"]) and client.key["kind"] == "app"
    assert client.execute("hello")["agent"] == "support_agent"
    second = Client(server, client.id)
    listed = server.command("key", "list", "--app", "team")
    assert {key["id"] for key in listed} == {client.key["id"], second.key["id"]}
    assert all("key" not in key and key["prefix"].startswith("sk-app-") for key in listed)
    code, output, _ = server.run("key", "create", "--app", "team", "--quiet")
    assert code == 0 and re.fullmatch(r"sk-app-[A-Za-z0-9_-]{43}\n", output)
    heir = Client(server, "team", server.command("key", "rotate", client.key["id"]))
    refused(client.send("POST", "/execute", {"message": "x"}), 401, "authentication_error")
    assert heir.id == client.id and heir.execute("x") and second.execute("x")
    server.command("key", "revoke", second.key["id"])
    refused(second.send("POST", "/execute", {"message": "x"}), 401, "authentication_error")
    assert heir.execute("x")
    for arguments in (["--app", "nobody"], ["--app", "team", "--agent", "clerk"], ["--app", "team", "--kind", "widget"], []):
        status, output, errors = server.run("key", "create", *arguments)
        assert status != 0 and output == "" and errors, arguments
    stored = server.database_bytes()
    assert all(key["key"].encode() not in stored for key in (client.key, heir.key))


def test_projects_are_listed_shown_and_deleted(server):
    client = Client(server, "team")
    session = client.execute("hello")["session_id"]
    assert names(server) == ["clerk", "other", "team"]
    code, output, _ = server.run("project", "list", "--quiet")
    assert code == 0 and len(output.split()) == 3 and all(line.startswith("app_") for line in output.split())
    for named in ("team", client.id):
        shown = server.command("project", "show", named)
        assert (shown["id"], shown["name"]) == (client.id, "team")
        assert shown["source"] == (PROJECTS / "team" / "project.md").read_text()
        assert [agent["name"] for agent in shown["agents"]][0] == "support_agent" and len(shown["agents"]) == 3
    assert "nobody" in fails(server, "project", "show", "nobody", code=1)
    assert server.command("project", "delete", "team")["id"] == client.id
    for method, path in [("POST", "/execute"), ("GET", f"/sessions/{session}/history"), ("GET", "/webhooks")]:
        reply = client.send(method, path, {"message": "x"} if method == "POST" else None)
        assert reply.status_code in (401, 404), reply.text
    assert names(server) == ["clerk", "other"]
    fails(server, "key", "create", "--app", "team", code=1)
    assert server.command("agent", "show", "support_agent")["name"] == "support_agent", "its agents stay"
    again = applied(server, PROJECTS)["project", "team"]
    assert again["change"] == "created" and again["id"] != client.id
    fresh = Client(server, "team")
    refused(fresh.send("GET", f"/sessions/{session}/history"), 404, "not_found")


def test_an_agent_that_is_deleted_leaves_its_project_with_an_error_that_says_so(server, folder):
    folder.project()
    folder.agent("first")
    applied(server, folder.path)
    client = Client(server, "desk")
    session = client.execute("hello")["session_id"]
    server.run("agent", "delete", "first")
    reply = client.send("POST", "/execute", client.said("x", session))
    assert reply.status_code in (404, 500) and reply.json()["error"]["code"] in ("not_found", "internal_error")
    assert len(client.talk(session)) == 2
    applied(server, folder.path)
    assert client.execute("and on", session)["response"] == "You said: and on"

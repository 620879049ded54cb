"""One name everywhere: the template, the functions' folders, their events and the README tell the same story."""

import functools
import json
import tomllib

import yaml

from orrery import ROOT


class Template(yaml.SafeLoader):
    """Reads CloudFormation's tags as plain values."""


Template.add_multi_constructor("!", lambda loader, tag, node: {tag: getattr(node, "value", None)})


@functools.cache
def functions():
    """Each function's binary with its logical name, its routes and its queues."""
    resources = yaml.load((ROOT / "template.yaml").read_text(), Template)["Resources"]
    found = {}
    for name, resource in resources.items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        events = resource["Properties"]["Events"].values()
        api = [event["Properties"] for event in events if event["Type"] == "Api"]
        found[resource["Metadata"]["BuildProperties"]["Binary"]] = {
            "name": name,
            "routes": [event["Path"] for event in api],
            "streams": {"ResponseTransferMode" in event for event in api},
            "queues": [event["Properties"]["Queue"] for event in events if event["Type"] == "SQS"],
            "schedules": [event["Properties"]["Schedule"] for event in events if event["Type"] == "Schedule"],
        }
    return found


def test_each_folder_is_a_function_of_the_template_with_its_name():
    folders = {path.name for path in (ROOT / "functions").iterdir() if (path / "Cargo.toml").exists()}
    assert folders == set(functions())
    for binary, function in functions().items():
        assert function["name"] == "".join(part.capitalize() for part in binary.split("-"))


def test_each_event_is_one_of_its_functions_routes():
    events = sorted((ROOT / "events").glob("*.json"))
    for binary, function in functions().items():
        own = [event for event in events if event.stem == binary or event.stem.startswith(binary + "-")]
        assert own, f"no event for {binary}"
    for path in events:
        event = json.loads(path.read_text())
        binary = max((name for name in functions() if path.stem.startswith(name)), key=len)
        if functions()[binary]["queues"]:
            assert all(record["eventSource"] == "aws:sqs" for record in event["Records"]), path
        elif functions()[binary]["schedules"]:
            assert event["source"] == "aws.events", path
        else:
            assert event["resource"] in functions()[binary]["routes"]
            assert event["requestContext"]["path"] == f"/{event['requestContext']['stage']}{event['path']}"


def test_the_readme_names_every_route():
    readme = (ROOT / "README.md").read_text()
    for function in functions().values():
        for route in function["routes"]:
            assert route.removesuffix("/{proxy+}") in readme, route


def test_cargo_lambda_watch_routes_as_the_template_does():
    router = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["metadata"]["lambda"]["watch"]["router"]
    routes = {path.replace("{*proxy}", "{proxy+}"): binary for path, binary in router.items()}
    assert routes == {route: binary for binary, function in functions().items() for route in function["routes"]}


def test_a_function_streams_exactly_where_its_routes_do():
    for binary, function in functions().items():
        source = (ROOT / "functions" / binary / "src" / "main.rs").read_text()
        if function["queues"]:
            assert "run_consumer" in source and not function["routes"], binary
        elif function["schedules"]:
            assert "run_scheduled" in source and not function["routes"], binary
        else:
            assert function["streams"] == {"run_streaming" in source}, binary


def test_no_streamed_route_keeps_the_buffered_timeout():
    for line in (ROOT / "template.yaml").read_text().split("ResponseTransferMode: RESPONSE_STREAM")[1:]:
        assert line.split("\n")[1].strip() == "TimeoutInMillis: 900000"


def test_a_queue_never_hands_a_function_more_than_it_may_run():
    resources = yaml.load((ROOT / "template.yaml").read_text(), Template)["Resources"]
    for name, resource in resources.items():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            if event["Type"] == "SQS":
                scaling = event["Properties"]["ScalingConfig"]
                reserved = resource["Properties"].get("ReservedConcurrentExecutions")
                assert reserved is None or str(scaling).count("HasReservedConcurrency") == 1, name

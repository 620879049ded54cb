"""The deployment under test: an AWS emulator on loopback, and what `sam deploy` makes of template.yaml in it.

`ORRERY_ZIPS` names the folder of the functions' x86_64 builds (`<function>/bootstrap.zip`), `ORRERY_SAM` the SAM CLI.
"""

import base64
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys

import boto3

from orrery import ROOT, Process, binary
from test_house import functions

REGION = "eu-central-1"
STACK = "orrery"
STAGE = "v1"
SAM = pathlib.Path(os.environ.get("ORRERY_SAM", ROOT / "target" / "tools" / "template" / "bin" / "sam"))


def zips():
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return pathlib.Path(os.environ.get("ORRERY_ZIPS", pathlib.Path(target) / "lambda")).resolve()


def built_template(folder):
    """What `sam build` writes: the template as it is, with each function's CodeUri naming its build."""

    def with_build(head):
        build = zips() / head[1] / "bootstrap.zip"
        assert build.exists(), f"{build} is missing: build it, or name the folder of builds in ORRERY_ZIPS"
        return f"{head[0]}      CodeUri: {build}\n"

    text, count = re.subn(r"^ +Binary: (\S+)\n    Properties:\n", with_build, (ROOT / "template.yaml").read_text(), flags=re.M)
    assert count == len(functions())
    path = folder / "template.yaml"
    path.write_text(text)
    return path


class Emulator:
    """MiniStack. Functions run as processes of this machine, with the rights of their roles (`AUTH`)."""

    def __init__(self, folder, **functions_environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        (folder / "tmp").mkdir()
        base = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder / "tmp"), "AWS_ENDPOINT_URL": self.url}
        self.environment = {
            **base, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.process = Process(
            [pathlib.Path(sys.executable).parent / "ministack"], folder / "ministack.log",
            {**base, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port), "AUTH": "true", "LAMBDA_EXECUTOR": "local",
             "MINISTACK_REGION": REGION, "S3_DATA_DIR": str(folder / "s3"), "ORRERY_DEMO_DELAY_MS": "0",
             **functions_environment},
            cwd=folder,
        )
        self.process.wait_for_line(r"Running on http://127\.0\.0\.1")

    def client(self, service):
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        )

    def stop(self):
        self.process.stop()


class Deployment:
    """The stack in the emulator, and the command line on its table."""

    def __init__(self, emulator, template):
        self.emulator = emulator
        self.template = template
        self.lambdas = emulator.client("lambda")
        self.keys = {}

    def deploy(self, **parameters):
        """`sam deploy` with the repository's settings."""
        values = [f"{name}={value}" for name, value in {"Architecture": "x86_64", **parameters}.items()]
        done = subprocess.run(
            [str(SAM), "deploy", "--template-file", str(self.template), "--config-file", str(ROOT / "samconfig.toml"),
             "--stack-name", STACK, "--region", REGION, "--no-progressbar", "--parameter-overrides", *values],
            capture_output=True, text=True, timeout=300, cwd=self.emulator.folder, stdin=subprocess.DEVNULL,
            env={**self.emulator.environment, "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        stacks = self.emulator.client("cloudformation")
        self.stack = stacks.describe_stacks(StackName=STACK)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in self.stack["Outputs"]}
        resources = stacks.describe_stack_resources(StackName=STACK)["StackResources"]
        self.resources = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
        self.open_any_methods()

    def open_any_methods(self):
        """The emulator passes over `x-amazon-apigateway-any-method` when it reads the API's definition: the methods of
        buffered routes are put in here. It cannot stream from a REST API: those routes are left closed."""
        gateway, api = self.emulator.client("apigateway"), self.resources["Api"]
        paths = {item["path"]: item["id"] for item in gateway.get_resources(restApiId=api, limit=500)["items"]}
        for function in functions().values():
            if True in function["streams"]:
                continue
            arn = self.configuration(function["name"])["FunctionArn"]
            uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn}/invocations"
            for route in function["routes"]:
                method = {"restApiId": api, "resourceId": paths[route], "httpMethod": "ANY"}
                gateway.put_method(**method, authorizationType="NONE")
                gateway.put_integration(**method, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)

    def processed(self):
        """The resources that CloudFormation was asked for, once SAM's are resolved."""
        stacks = self.emulator.client("cloudformation")
        body = stacks.get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]
        return (json.loads(body) if isinstance(body, str) else body)["Resources"]

    def put_secret(self, **values):
        """What an operator does after the first deployment."""
        secrets = self.emulator.client("secretsmanager")
        held = json.loads(secrets.get_secret_value(SecretId=self.outputs["SecretArn"])["SecretString"])
        secrets.put_secret_value(SecretId=self.outputs["SecretArn"], SecretString=json.dumps({**held, **values}))

    def configuration(self, function):
        """A function, by its name in the template."""
        return self.lambdas.get_function_configuration(FunctionName=self.resources[function])

    def policies(self, function):
        """The documents of all policies of a function's role."""
        iam, role = self.emulator.client("iam"), self.configuration(function)["Role"].rsplit("/", 1)[1]
        documents = [
            iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        ]
        for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
            policy = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)
            documents.append(policy["PolicyVersion"]["Document"])
        return documents

    def command(self, *arguments):
        """What a command on the deployed table prints as JSON."""
        table = ["--table", self.outputs["TableName"], "--region", REGION, "--endpoint-url", self.emulator.url]
        done = subprocess.run(
            [str(binary()), *[str(part) for part in arguments], *table, "--json"], capture_output=True, text=True,
            timeout=60, env={**self.emulator.environment, "ORRERY_SECRET": self.outputs["SecretArn"]},
            cwd=self.emulator.folder,
        )
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stderr}"
        return json.loads(done.stdout)

    def key(self, agent, kind="server"):
        """A key of the agent: one for all who ask."""
        if (agent, kind) not in self.keys:
            self.keys[agent, kind] = self.command("key", "create", "--agent", agent, "--kind", kind)
        return self.keys[agent, kind]

    def call(self, method, path, headers=None, body=b""):
        """A request to the API's URL: status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.emulator.port, timeout=60)
        try:
            url = f"/restapis/{self.resources['Api']}/{STAGE}/_user_request_{path}"
            connection.request(method, url, body, headers or {})
            reply = connection.getresponse()
            return reply.status, {name.lower(): ", ".join(reply.headers.get_all(name)) for name in reply.headers}, reply.read()
        finally:
            connection.close()

    def invoke(self, function, event):
        """A function's reply to an event: status, headers, body, and what it wrote."""
        reply = self.lambdas.invoke(FunctionName=self.resources[function], Payload=json.dumps(event).encode(), LogType="Tail")
        payload = json.loads(reply["Payload"].read())
        assert "FunctionError" not in reply, payload
        log = base64.b64decode(reply.get("LogResult", "")).decode()
        if isinstance(payload, dict):
            headers = {name: ", ".join(values) for name, values in payload["multiValueHeaders"].items()}
            return payload["statusCode"], headers, payload["body"].encode(), log
        prelude, body = payload.split("\0" * 8, 1)
        prelude = json.loads(prelude)
        headers = {name: value if isinstance(value, str) else ", ".join(value) for name, value in prelude["headers"].items()}
        return prelude["statusCode"], headers, body.encode(), log


def event(route, method, path, headers, body, query=None):
    """A request as API Gateway's REST API hands it to a function; `events/` holds whole ones."""
    names = re.findall(r"{(\w+)\+?}", route)
    pattern = re.sub(r"{\w+\\\+}", "(.+)", re.sub(r"{\w+}", "([^/]+)", re.escape(route).replace(r"\{", "{").replace(r"\}", "}")))
    values = re.fullmatch(pattern, path).groups()
    sample = json.loads((ROOT / "events" / "health.json").read_text())
    context = {**sample["requestContext"], "resourcePath": route, "httpMethod": method, "path": f"/{STAGE}{path}", "stage": STAGE}
    return {
        **sample, "resource": route, "path": path, "httpMethod": method, "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query, "multiValueQueryStringParameters": query and {name: [value] for name, value in query.items()},
        "pathParameters": dict(zip(names, values)) or None, "requestContext": context,
        "body": body.decode() if body else None, "isBase64Encoded": False,
    }

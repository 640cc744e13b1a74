"""The three commands with `--target aws`, as they are typed, the embedded emulator in AWS's place.

Each request is built and signed for AWS's host and then handed to the emulator, which has Lambda's log lines, Logs
Insights and real cold starts. Only the API's address is the emulator's own: no name of AWS's leads there.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from serverless_lab.emulator import control
from serverless_lab.project import Project
from serverless_lab.targets.aws import AwsTarget
from serverless_lab.targets.permissions import EMULATORS_ONLY, lab_policy
from tests.aws.conftest import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, SESSION_TOKEN, Command
from tests.aws.hooks import Forwarder
from tests.aws.policy import refused
from tests.conftest import SAMPLES, python_runtime

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

TEMPLATE = f"""
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: {SAMPLES / "hello" / "hello"}
      Handler: app.handler
      Runtime: {python_runtime()}
      AutoPublishAlias: live
      Events:
        Get: {{Type: Api, Properties: {{Path: /hello, Method: get}}}}
"""

SCENARIO = """
name: quick
quiet: 1h
client_timeout: 30s
phases: [{law: burst, count: 3}, {duration: 2s, count: 9}]
mix: [{request: GET /hello}]
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an embedded emulator in real time, as AWS is."""
    project = Project(tmp_path_factory.mktemp("aws"))
    status, _ = control.up(project, control.UpOptions(clock="wall"))
    yield f"http://127.0.0.1:{status['port']}"
    control.down(project)


@pytest.fixture
def forwarder(emulator: str, monkeypatch: pytest.MonkeyPatch) -> Forwarder:
    monkeypatch.setattr(AwsTarget, "api_url", lambda self, api, stage: f"{emulator}/_aws/execute-api/{api}/{stage}")
    return Forwarder(endpoint=emulator)


def run(command: Command, *words: str) -> tuple[str, str]:
    code, out, err = command(*words)
    assert code == 0, (words, out, err)
    return out, err


def environments(stack: str) -> set[int]:
    """The processes that run the stack's functions."""
    found = set()
    for process in psutil.process_iter(["environ"]):
        name = (process.info["environ"] or {}).get("AWS_LAMBDA_FUNCTION_NAME", "")
        if name.startswith(stack):
            found.add(process.pid)
    return found


def test_deploy_load_and_report_on_aws(command: Command, forwarder: Forwarder, tmp_path: Path) -> None:
    """What is shown before each step, what is asked of AWS and by which permission, and that the counts are right."""
    Path("template.yaml").write_text(TEMPLATE)
    Path("quick.yaml").write_text(SCENARIO)
    stack = f"lab-{uuid.uuid4().hex[:8]}"
    account = f"AWS account 000000000000, region {REGION}, profile default"

    _, words = run(command, "deploy", "--target", "aws", "--region", REGION, "--stack", stack, "--yes")
    assert f"{account}: deploy stack {stack}" in words
    code, _, words = command("load", "--scenario", "./quick.yaml", "--max-cost", "0.000001", "--yes")
    assert code == 1
    assert "nothing was sent" in words
    assert environments(stack) == set()

    out, words = run(command, "load", "--scenario", "./quick.yaml", "--cold", "--max-cost", "5", "--yes")
    assert f"{account}: send 12 requests of quick" in words
    assert "for the run, 1 function gets a new version" in words
    assert "estimated bill: " in words
    folder = Path(out.strip())
    (row,) = json.loads((folder / "manifest.json").read_text())["recycled"]
    assert row["put_back"]
    with_version = report(command)
    run(command, "load", "--scenario", "./quick.yaml", "--yes")
    processes = environments(stack)  # those of the version are gone with it

    of_run = report(command)
    assert (of_run["target"], of_run["total"]["invocations"]) == ("aws", 12)
    assert of_run["total"]["cold_starts"]["count"] == len(processes) >= 1
    for way in (["--since", "10m"], ["--since", "10m", "--insights", "--yes", "--max-cost", "1"]):
        of_time = report(command, *way)["total"]
        assert of_time["invocations"] == 24
        both = [found["total"]["cold_starts"]["count"] for found in (with_version, of_run)]
        assert of_time["cold_starts"]["count"] == sum(both)
    run(command, "coldstarts", "watch", "--once", "--json")
    run(command, "logs", "Hello")
    _, words = run(command, "destroy", "--yes")
    assert f"{account}: delete stack {stack} and all its data" in words

    asked = {request.name for request in forwarder.requests}
    assert {"logs.StartQuery", "cloudwatch.GetMetricData", "logs.CreateLogGroup", "lambda.PublishVersion"} <= asked
    problems = {
        text for request in forwarder.requests for text in refused(lab_policy(), request, "000000000000", REGION)
    }
    assert problems == set()
    assert not {(request.service, request.operation) for request in forwarder.requests} & set(EMULATORS_ONLY)
    assert all(request.host.endswith(".amazonaws.com") for request in forwarder.requests)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not [secret for secret in (ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN) if secret.encode() in written]


def report(command: Command, *words: str) -> dict[str, Any]:
    out, _ = run(command, "coldstarts", "report", *words, "--json")
    found: dict[str, Any] = json.loads(out)
    return found

"""The three commands, as they are typed, on a MiniStack that lab did not start: it prints no Init Duration, and a log
stream there is one invocation. Its cold starts are held against the processes that the operating system started.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest

from tests.cli.conftest import Answer, Lab, wait_until
from tests.conftest import MiniStackProcess

BURST, STREAM = 8, 16

# The bundled scenario's shape in a folder of the user's own, which goes before it: 140 inits at once take two cores a
# minute of real time.
MONDAY_SPIKE = f"""
name: monday-spike
description: {BURST} requests at the same instant, {STREAM} in a Poisson stream.
seed: 1
client_timeout: 100s
phases:
  - {{name: nine o'clock, start: 0s, law: burst, count: {BURST}}}
  - {{name: first minute, start: 0s, duration: 3s, law: poisson, count: {STREAM}}}
mix:
  - request: POST /events
    values:
      user: {{$int: [1, 2000]}}
    body:
      userId: {{$format: "user-{{user}}"}}
      eventType: {{$choice: {{page_view: 70, click: 20}}}}
      timestamp: {{$now: iso}}
      properties:
        sessionId: {{$uuid: true}}
"""

pytestmark = [pytest.mark.end_to_end, pytest.mark.process, pytest.mark.timeout(300)]


class CountingPython:
    """An interpreter that notes each of its starts in a file and then becomes the real one.

    It stands in a virtual environment of its own form, so that what is installed here is found there too.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bin" / "python"
        self.path.parent.mkdir(parents=True)
        self._starts = folder / "starts"
        self._starts.touch()
        (folder / "lib").symlink_to(Path(sys.prefix) / "lib")
        (folder / "pyvenv.cfg").write_text((Path(sys.prefix) / "pyvenv.cfg").read_text())
        real = Path(sys.executable).resolve()
        self.path.write_text(
            f'#!/bin/bash\necho "$$ $AWS_LAMBDA_FUNCTION_NAME" >> {self._starts}\nexec -a "$0" {real} "$@"\n'
        )
        self.path.chmod(0o755)

    def starts(self) -> dict[int, str]:
        """Process id -> the function it was started for."""
        lines = [line.split(" ", 1) for line in self._starts.read_text().splitlines()]
        return {int(pid): function for pid, function in lines if function}


@dataclass(frozen=True)
class Run:
    """What the commands said, and what the operating system saw."""

    lab: Lab
    endpoint: str
    deployed: Answer
    loaded: Answer
    reported: Answer
    report: dict[str, Any]
    starts: dict[int, str]

    @property
    def run_folder(self) -> Path:
        return Path(self.loaded.out.strip())

    def client(self, service: str) -> Any:
        return _client(self.endpoint, service)


def _client(endpoint: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def _counted(endpoint: str, lab: Lab) -> int:
    """How many events the stream's function has counted so far."""
    deployment = json.loads(lab.state("deployment.json").read_text())
    table = deployment["outputs"]["AggregationsTableName"]
    items = _client(endpoint, "dynamodb").scan(TableName=table)["Items"]
    return sum(item["pk"]["S"].startswith("event#") for item in items)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("standalone")
    python = CountingPython(folder / "python")
    ministack = MiniStackProcess(folder, python=python.path)
    ministack.wait_until_ready()
    lab = Lab(folder / "work", variables={"LOCALSTACK_HOST": f"127.0.0.1:{ministack.port}"})
    (lab.directory / "scenarios").mkdir(parents=True)
    (lab.directory / "scenarios" / "monday-spike.yaml").write_text(MONDAY_SPIKE)
    try:
        deployed = lab("deploy", "--target", "localstack")
        loaded = lab("load", "--scenario", "monday-spike")
        # The API has answered; the events' stream invokes a second function some time after that.
        assert wait_until(lambda: _counted(ministack.endpoint, lab) == BURST + STREAM, 90)
        starts = python.starts()
        reported = lab("coldstarts", "report")
        yield Run(
            lab,
            ministack.endpoint,
            deployed,
            loaded,
            reported,
            lab("coldstarts", "report", "--json").json,
            starts,
        )
    finally:
        ministack.stop()


def test_there_are_as_many_cold_starts_as_processes_were_started(run):
    by_function = Counter(run.starts.values())
    functions = {item["function"]: item for item in run.report["functions"]}
    assert {name: item["cold_starts"]["count"] for name, item in functions.items()} == dict(by_function)
    assert run.report["total"]["cold_starts"]["count"] == len(run.starts) >= BURST // 2
    assert run.report["total"]["environments_initialised"] == len(run.starts)
    assert run.report["total"]["kinds"].get("unknown", 0) == 0


def test_the_printed_report_says_the_same_and_how_it_is_known(run):
    told = re.search(r"cold starts (\d+) of (\d+)", run.reported.out)
    assert told is not None
    assert int(told[1]) == len(run.starts)
    assert int(told[2]) == run.report["total"]["invocations"] > BURST + STREAM
    assert "REPORT lines with an init: 0" in run.reported.out, "what the target prints is not mixed up with this"
    words = " ".join(run.reported.out.split())
    assert "Kinds known by the module that `lab deploy` added" in words
    assert "without the start of the runtime" in words


def test_the_lines_in_the_log_are_of_those_very_processes(run):
    logs = run.client("logs")
    pids = []
    for group in logs.describe_log_groups()["logGroups"]:
        events = logs.filter_log_events(logGroupName=group["logGroupName"], filterPattern="serverless-lab.init")
        pids += [json.loads(event["message"])["record"]["pid"] for event in events["events"]]
    assert sorted(pids) == sorted(run.starts)


def test_requests_are_joined_with_the_invocations_that_served_them(run):
    requests = pd.read_parquet(run.run_folder / "requests.parquet")
    invocations = pd.read_parquet(run.run_folder / "invocations.parquet").set_index("request_id")
    assert len(requests) == BURST + STREAM
    assert set(requests["status_code"]) == {202}
    served = invocations.loc[requests["request_id"]]
    assert served["function"].str.endswith("ingest-event").all()
    assert served["environment_id"].tolist() == requests["environment_id"].tolist()
    assert run.report["client"]["cold_starts"]["count"] == (served["kind"] == "cold").sum()
    # The client waited for the init that the module measured, and for the start of the process before it.
    cold = served["kind"].eq("cold").to_numpy()
    assert (requests["latency_ms"][cold].to_numpy() > served["init_duration_ms"][cold].to_numpy()).all()


def test_the_deployment_tells_what_was_changed_and_the_users_files_are_not(run):
    assert "handler _serverless_lab_init.handler, which measures the import of eager.handler" in run.deployed.err
    deployment = json.loads(run.lab.state("deployment.json").read_text())
    handlers = {item["logical_id"]: item["wrapped_handler"] for item in deployment["functions"]}
    assert handlers["IngestEvent"] == "eager.handler"
    assert handlers["ProcessEvent"] == "app.handler"
    assert "functions of python3.12 run on MiniStack's own Python here" in run.deployed.err
    assert not any("Handler is" in note for note in deployment["notes"]), "what lab changed is no difference"

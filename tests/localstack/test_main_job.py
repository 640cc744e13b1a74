"""The main job on the real LocalStack control plane, its cold starts counted a second time by the operating system.

In wall time on this host: how long things take, and so how many environments a scenario needs, is this host's. What
must hold on any host: each process that was started is a cold start of the report, and nothing else is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cli.conftest import Lab, wait_until
from tests.localstack.control_plane import LocalStack, Process

pytestmark = [pytest.mark.localstack, pytest.mark.timeout(1800)]

BURST, STREAM = 12, 24

SMALLER = f"""
name: monday-spike
description: the bundled scenario with fewer requests, for a machine with two cores
seed: 1
quiet: 62h
client_timeout: 60s
phases:
  - name: nine o'clock
    start: 0s
    law: burst
    count: {BURST}
  - name: first seconds
    start: 0s
    duration: 12s
    law: poisson
    count: {STREAM}
mix:
  - request: POST /events
    values:
      user: {{$int: [1, 2000]}}
    body:
      userId: {{$format: "user-{{user}}"}}
      eventType: {{$choice: {{page_view: 70, click: 20, purchase: 6, signup: 4}}}}
      timestamp: {{$now: iso}}
      properties:
        sessionId: {{$uuid: true}}
"""

QUIET_S = 300


@dataclass(frozen=True)
class Run:
    """What the three commands said, and the processes that the operating system saw from `deploy` to `report`."""

    deployment: dict[str, Any]
    load: str
    report: str
    data: dict[str, Any]
    processes: Counter[str]


def reported(localstack: LocalStack, stack_name: str, streams: dict[str, int]) -> bool:
    """Whether every process has served, and nothing was logged since the last look, which `streams` is of."""
    logs = localstack.client("logs")
    seen: Counter[str] = Counter()
    for group in logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{stack_name}-")["logGroups"]:
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
            seen.update(event["logStreamName"].rpartition("]")[2] for event in page["events"])
    before = dict(streams)
    streams.clear()
    streams.update(seen)
    return before == streams and {process.environment for process in started(localstack, stack_name)} == set(streams)


def started(localstack: LocalStack, stack_name: str) -> list[Process]:
    return [process for process in localstack.processes() if process.function.startswith(f"{stack_name}-")]


@pytest.fixture(scope="module")
def run(localstack: LocalStack, lab: Lab) -> Run:
    (lab.directory / "scenarios").mkdir()
    lab.scenario(SMALLER, "scenarios/monday-spike.yaml")
    lab("deploy", "--target", "localstack")
    deployment = lab("status", "--json").json["deployment"]
    stack_name = deployment["stack_name"]
    load = lab("load", "--scenario", "monday-spike")
    # Callers may have given up on functions that still run. Two looks that see the same are some seconds apart.
    streams: dict[str, int] = {}
    assert wait_until(lambda: reported(localstack, stack_name, streams), QUIET_S, every=3), "functions went on and on"
    report = lab("coldstarts", "report")
    return Run(
        deployment=deployment,
        load=load.err,
        report=report.out,
        data=lab("coldstarts", "report", "--json").json,
        processes=Counter(process.function for process in started(localstack, stack_name)),
    )


def test_the_target_is_localstack_itself(localstack: LocalStack, run: Run) -> None:
    assert localstack.info()["version"] == "4.8.1"
    assert run.deployment["target"] == "localstack"
    assert run.deployment["instance_id"] == localstack.info()["session_id"]
    assert len(run.deployment["functions"]) == 6


def test_every_request_was_sent(run: Run) -> None:
    planned = BURST + STREAM
    assert f"{planned} of {planned} requests" in run.load


def test_cold_starts_are_the_processes_that_the_operating_system_saw_started(run: Run) -> None:
    """Of each function, and in all: as many, and not one more for a field that LocalStack never prints."""
    cold = {item["function"]: item["cold_starts"]["count"] for item in run.data["functions"]}
    assert {function: count for function, count in cold.items() if count} == dict(run.processes)
    total = run.data["total"]
    assert total["cold_starts"]["count"] == sum(run.processes.values())
    assert total["invocations"] > total["cold_starts"]["count"] > 0
    assert f"cold starts {sum(run.processes.values())} of {total['invocations']}" in run.report


def test_each_of_the_burst_had_an_environment_of_its_own(run: Run) -> None:
    """Nobody has finished when the whole burst is there."""
    [ingest] = [name for name in run.processes if name.endswith("-ingest-event")]
    assert run.processes[ingest] >= BURST


def test_events_went_through_the_table_s_stream(run: Run) -> None:
    assert any(function.endswith("-process-event") for function in run.processes)


def test_the_run_began_with_new_environments(run: Run) -> None:
    """The scenario's quiet weekend is stood in for by a version of its own for each function."""
    assert "every function began with new environments" in run.load

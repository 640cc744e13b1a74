"""Functions that fail on LocalStack: every process is counted, also one that follows another that has ended."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Lab
from tests.localstack.control_plane import LocalStack, Process

pytestmark = [pytest.mark.localstack, pytest.mark.timeout(900)]

TEMPLATE = Path(__file__).parent / "faults" / "template.yaml"
REQUESTS = 24

SCENARIO = f"""
name: faults
description: one request after the other
seed: 1
client_timeout: 60s
clients: 1
requests: {REQUESTS}
mix:
  - {{request: GET /fine, weight: 2}}
  - {{request: GET /hang}}
  - {{request: GET /exit}}
  - {{request: GET /raise}}
"""

# As LocalStack 4.8.1 with its own init prints them; the last field is not the memory that was used.
FORMATS = {
    "START": re.compile(r"START RequestId: [0-9a-f-]{36} Version: \$LATEST\n"),
    "END": re.compile(r"END RequestId: [0-9a-f-]{36}\n"),
    "REPORT": re.compile(
        r"REPORT RequestId: [0-9a-f-]{36}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\t"
        r"Memory Size: 128 MB\tMax Memory Used: 128 MB\t\n"
    ),
}


@dataclass(frozen=True)
class Faulty:
    """After the run: the report, the log's messages and the processes, of the function that does as it is told."""

    lab: Lab
    load: dict[str, Any]
    report: dict[str, Any]
    messages: list[str]
    processes: list[Process]
    unborn: str


@pytest.fixture(scope="module")
def faulty(localstack: LocalStack, lab: Lab) -> Faulty:
    words = ["deploy", "--target", "localstack", "--stack", "faults", "--template", str(TEMPLATE), "--json"]
    functions = {item["logical_id"]: item for item in lab(*words).json["functions"]}
    load = lab("load", "--scenario", lab.scenario(SCENARIO, "faults.yaml"), "--json").json
    report = lab("coldstarts", "report", "--json").json
    name = functions["Faults"]["name"]
    events = localstack.client("logs").filter_log_events(logGroupName=functions["Faults"]["log_group"])["events"]
    return Faulty(
        lab,
        load,
        report,
        [event["message"] for event in events],
        [process for process in localstack.processes() if process.function == name],
        functions["Unborn"]["name"],
    )


def test_a_process_that_follows_one_that_has_ended_is_counted(faulty: Faulty) -> None:
    """A timeout and an exit end a process; the environment stays, and its next caller waits for another one."""
    [counted] = [item for item in faulty.report["functions"] if item["invocations"]]
    assert counted["invocations"] == REQUESTS
    assert counted["cold_starts"]["count"] == len(faulty.processes)
    assert counted["kinds"]["cold"] == len({process.environment for process in faulty.processes}) == 1
    assert counted["kinds"]["init-repeated"] == len(faulty.processes) - 1 > 0


def test_the_function_s_own_log_has_each_process_s_init(faulty: Faulty) -> None:
    assert [message for message in faulty.messages if message == "initialised\n"] == ["initialised\n"] * len(
        faulty.processes
    )


def test_the_log_is_in_localstack_s_format(faulty: Faulty) -> None:
    for kind, expected in FORMATS.items():
        lines = [message for message in faulty.messages if message.startswith(f"{kind} RequestId")]
        assert len(lines) == REQUESTS
        assert [line for line in lines if not expected.fullmatch(line)] == []


def test_callers_are_told_of_every_failure(faulty: Faulty) -> None:
    """LocalStack's API Gateway answers them with 502, as AWS's does."""
    assert set(faulty.load["by_status"]) == {"200", "502"}
    assert sum(faulty.load["by_status"].values()) == REQUESTS


def test_an_init_that_fails_is_an_error_without_a_log(localstack: LocalStack, faulty: Faulty) -> None:
    answer = localstack.client("lambda").invoke(FunctionName=faulty.unborn)
    assert answer["FunctionError"] == "Unhandled"
    error = json.loads(answer["Payload"].read())
    assert (error["errorType"], error["errorMessage"]) == ("RuntimeError", "never there")
    groups = localstack.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{faulty.unborn}")
    assert groups["logGroups"] == []


def test_destroying_a_stack_leaves_nothing_of_it(localstack: LocalStack, faulty: Faulty) -> None:
    faulty.lab("destroy", "faults", "--yes")
    names = [item["FunctionName"] for item in localstack.client("lambda").list_functions()["Functions"]]
    roles = [item["RoleName"] for item in localstack.client("iam").list_roles()["Roles"]]
    assert [name for name in [*names, *roles] if name.startswith("faults-")] == []
    groups = localstack.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/faults-")["logGroups"]
    assert groups == []
    assert not any(process.is_alive() for process in faulty.processes)

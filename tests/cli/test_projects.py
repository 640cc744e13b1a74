"""A user's own template in the user's own directory, from the first deployment to the last."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.cli.conftest import HELLO, Lab

pytestmark = pytest.mark.process


def said(url: str) -> str:
    with urllib.request.urlopen(f"{url}/hello", timeout=30) as response:
        return str(json.loads(response.read())["message"])


def test_the_main_job_works_in_a_foreign_directory_with_ones_own_template(lab: Lab) -> None:
    """Three commands without an id: each takes up where the last one stopped."""
    lab("deploy", "--template", str(HELLO))
    lab("load", "--scenario", lab.scenario(), "--request", "GET /hello")
    report = lab("coldstarts", "report", "--json").json
    assert report["scenario"] == "quick"
    assert report["total"]["invocations"] == 40
    assert report["client"]["failures"] == 0
    assert report["client"]["cold_starts"]["count"] == report["total"]["environments_initialised"] >= 1
    assert report["total"]["init_ms"]["p50"] > 0


def test_a_local_scenario_hides_the_bundled_one_of_the_same_name(lab: Lab) -> None:
    (lab.directory / "scenarios").mkdir()
    lab.scenario(name="scenarios/smooth.yaml")
    lab("deploy", "--template", str(HELLO))
    assert lab("load", "--scenario", "smooth", "--request", "GET /hello", "--json").json["planned"] == 40


def test_a_stack_is_deployed_repeated_changed_destroyed_and_deployed_again(lab: Lab) -> None:
    first = lab("deploy", "--template", str(HELLO), "--json").json
    assert first["changed"] is True
    assert said(first["api_url"]) == "hello"

    again = lab("deploy", "--json").json
    assert again["changed"] is False
    assert again["api_url"] == first["api_url"]

    changed = lab("deploy", "--parameter", "Greeting=good morning", "--json").json
    assert changed["changed"] is True
    assert changed["parameters"]["Greeting"] == "good morning"
    assert said(changed["api_url"]) == "good morning"

    endpoint = first["endpoint_url"]
    assert lab("destroy", "--json").json["existed"] is True
    assert leftovers(endpoint) == []
    assert not lab.state("deployment.json").exists()
    assert "nothing is deployed" in lab.refused("load", "--scenario", "smooth").error
    assert lab("destroy", first["stack_name"], "--json").json["existed"] is False

    back = lab("deploy", "--template", str(HELLO), "--json").json
    assert back["endpoint_url"] == endpoint
    assert said(back["api_url"]) == "hello"


def leftovers(endpoint: str) -> list[str]:
    """What is still on an emulator that should be empty."""

    def client(service: str):
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    found = [item["FunctionName"] for item in client("lambda").list_functions()["Functions"]]
    found += [item["name"] for item in client("apigateway").get_rest_apis()["items"]]
    found += [item["Name"] for item in client("s3").list_buckets()["Buckets"]]
    found += [item["logGroupName"] for item in client("logs").describe_log_groups()["logGroups"]]
    found += client("dynamodb").list_tables()["TableNames"]
    found += client("sqs").list_queues().get("QueueUrls", [])
    found += [item["RoleName"] for item in client("iam").list_roles()["Roles"]]
    found += [item["Name"] for item in client("ssm").describe_parameters()["Parameters"]]
    return found


def test_destroying_the_bundled_stack_leaves_nothing(lab: Lab) -> None:
    """Its bucket holds objects and its functions have logs by then: both would stop a plain stack deletion."""
    deployment = lab("deploy", "--parameter", "InitStyle=lazy", "--json").json
    event = {"userId": "u", "eventType": "click", "timestamp": "2026-01-01T00:00:00Z", "properties": {}}
    request = urllib.request.Request(deployment["api_url"] + "/events", data=json.dumps(event).encode())
    urllib.request.urlopen(request, timeout=30).close()
    removal = lab("destroy", "--json").json
    assert removal["objects"] >= 1
    assert removal["log_groups"] >= 1
    assert removal["leftovers"] == []
    assert leftovers(deployment["endpoint_url"]) == []


@pytest.fixture
def neighbours(tmp_path: Path) -> Iterator[tuple[Lab, Lab]]:
    """Two projects in directories of the same name, so that their stacks have the same name too."""
    labs = (Lab(tmp_path / "one" / "work"), Lab(tmp_path / "two" / "work"))
    for lab in labs:
        lab.directory.mkdir(parents=True)
    yield labs
    for lab in labs:
        lab.end()


def deploy_greeting(lab: Lab) -> dict[str, Any]:
    greeting = f"Greeting={lab.directory.parent.name}"
    return dict(lab("deploy", "--template", str(HELLO), "--parameter", greeting, "--json").json)


def test_two_projects_on_one_machine_do_not_disturb_each_other(neighbours: tuple[Lab, Lab]) -> None:
    """The same template and the same stack name; one is taken down, and the other does not notice."""
    first, second = map(deploy_greeting, neighbours)
    assert first["stack_name"] == second["stack_name"]
    assert first["endpoint_url"] != second["endpoint_url"]
    assert (said(first["api_url"]), said(second["api_url"])) == ("one", "two")
    neighbours[0]("down")
    assert said(second["api_url"]) == "two"
    assert neighbours[1]("status", "--json").json["emulator"] is not None


def test_two_projects_can_start_at_the_same_moment(neighbours: tuple[Lab, Lab]) -> None:
    """Both look for a free port at once, and must not end up with the same one."""
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda lab: lab("up", "--json").json, neighbours)
    assert first["port"] != second["port"]


def test_two_stacks_of_one_directory_are_both_there_until_each_is_destroyed(lab: Lab) -> None:
    """The last one is what commands are about; destroying it brings the one before it back, with its template."""
    lab("deploy", "--template", str(HELLO), "--stack", "first")
    lab("deploy", "--template", str(HELLO), "--stack", "second", "--parameter", "Greeting=again")
    for _ in range(2):
        lab("invoke", "HelloFunction")
    assert "before it: stack first on local" in lab("status").out
    assert [name for name in lab.emulator()["environments"] if name.startswith("second-")]

    answer = lab("destroy")
    assert "the last deployment is now stack first on local" in answer.err
    shown = lab("status", "--json").json
    assert (shown["deployment"]["stack_name"], shown["earlier"]) == ("first", [])
    assert shown["emulator"]["environments"] == {}, "environments end with their function"
    assert "hello" in lab("invoke", "HelloFunction").out

    assert lab("destroy", "--stack", "first", "--json").json["existed"] is True
    assert lab("status", "--json").json["deployment"] is None
    assert "one stack" in lab.refused("destroy", "this", "--stack", "that", code=2).error

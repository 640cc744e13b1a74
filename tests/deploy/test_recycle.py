"""Environments that are new when a run begins: a version published for it, and everything as it was after it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.deploy.inventory import describe_deployment
from serverless_lab.deploy.recycle import Recycler
from serverless_lab.errors import DeployError
from serverless_lab.project import Deployment
from serverless_lab.targets import Target

pytestmark = pytest.mark.process

HANDLER = """
import os
def handler(event, context):
    return {"pid": os.getpid(), "version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"]}
"""
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Runtime: python3.12, CodeUri: code, Handler: app.handler, Description: mine}}
Resources:
  Aliased:
    Type: AWS::Serverless::Function
    Properties: {AutoPublishAlias: live, ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 2}}
  Latest:
    Type: AWS::Serverless::Function
    Properties: {Environment: {Variables: {SECRET: hunter2}}}
"""


@pytest.fixture
def deployment(deploy, target: Target, stack_name: str, tmp_path: Path) -> Deployment:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text(HANDLER)
    template = tmp_path / "template.yaml"
    template.write_text(TEMPLATE)
    deploy(template)
    now = datetime.now(UTC)
    return describe_deployment(target, stack_name=stack_name, template_path=template, parameters={}, now=now)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "recycled.json"


def served(target: Target, deployment: Deployment, name: str) -> dict[str, Any]:
    function = deployment.function(name)
    qualifier = {} if function.alias is None else {"Qualifier": function.alias}
    answer = target.client("lambda").invoke(FunctionName=function.name, **qualifier)
    found: dict[str, Any] = json.loads(answer["Payload"].read())
    return found


def state(target: Target, deployment: Deployment) -> dict[str, Any]:
    """All that may differ between before and after, as the target says it."""
    client = target.client("lambda")
    found: dict[str, Any] = {}
    for function in deployment.functions:
        configuration = client.get_function_configuration(FunctionName=function.name)
        versions = client.list_versions_by_function(FunctionName=function.name)["Versions"]
        found[function.logical_id] = {
            "description": configuration.get("Description"),
            "variables": configuration.get("Environment", {}).get("Variables"),
            "versions": [version["Version"] for version in versions],
        }
        if function.alias is not None:
            where = {"FunctionName": function.name}
            alias = client.get_alias(Name=function.alias, **where)
            provisioned = client.get_provisioned_concurrency_config(Qualifier=function.alias, **where)
            found[function.logical_id] |= {
                "alias": (alias["FunctionVersion"], alias.get("RoutingConfig")),
                "provisioned": (provisioned["Status"], provisioned["RequestedProvisionedConcurrentExecutions"]),
            }
    return found


def test_the_next_invocation_of_every_function_meets_a_new_process_and_afterwards_all_is_as_before(
    target, deployment, journal
):
    before = state(target, deployment)
    warm = {name: served(target, deployment, name)["pid"] for name in ("Aliased", "Latest")}
    assert {name: served(target, deployment, name)["pid"] for name in warm} == warm, "they would have stayed warm"

    recycler = Recycler(target, journal)
    by_alias = {one.alias: one for one in recycler.recycle(deployment)}
    during = {name: served(target, deployment, name) for name in warm}
    assert all(during[name]["pid"] != warm[name] for name in warm)
    assert during["Aliased"]["version"] == by_alias["live"].version != by_alias["live"].version_before
    assert by_alias["live"].provisioned == 2
    assert "hunter2" not in journal.read_text(), "environment variables may be secrets"

    recycler.put_back()
    assert state(target, deployment) == before
    assert not journal.exists()
    assert recycler.put_back() == (), "once is enough"


def test_versions_that_may_still_be_at_work_go_with_the_next_call(target, deployment, journal):
    """After a run a stream is still being read, and LocalStack cuts off what runs on a version that is deleted."""
    before = state(target, deployment)
    recycler = Recycler(target, journal)
    recycler.recycle(deployment)
    recycler.put_back(versions=False)
    left = state(target, deployment)
    assert left["Aliased"].pop("versions") == [*before["Aliased"]["versions"], "2"]
    assert left == {**before, "Aliased": {name: before["Aliased"][name] for name in left["Aliased"]}}
    recycler.put_back()
    assert state(target, deployment) == before
    assert not journal.exists()


class Killed(BaseException):
    """What a kill is like from inside: nothing more is run."""


CHANGES = ("UpdateFunctionConfiguration", "PublishVersion", "UpdateAlias")


def test_a_run_that_is_killed_at_any_change_is_put_right_by_the_next_command(target, deployment, journal):
    """A change that was made and whose answer nobody has read is the worst moment."""
    before = state(target, deployment)
    events = target.client("lambda").meta.events
    kills = 0
    for call in range(1, 10):
        left = [call]

        def count(left: list[int] = left, **rest: Any) -> None:
            left[0] -= 1
            if not left[0]:
                raise Killed

        for name in CHANGES:
            events.register(f"after-call.lambda.{name}", count, unique_id=f"{name}-killed")
        try:
            Recycler(target, journal).recycle(deployment)
        except Killed:
            kills += 1
        finally:
            for name in CHANGES:
                events.unregister(f"after-call.lambda.{name}", unique_id=f"{name}-killed")
        Recycler(target, journal).put_back()
        assert state(target, deployment) == before, call
        assert not journal.exists()
        if left[0] > 0:
            break
    assert kills == 5, "description, version, description, alias; and the other function's variable"


def test_what_a_deployment_changed_meanwhile_is_left_alone(target, deployment, journal):
    client = target.client("lambda")
    recycler = Recycler(target, journal)
    recycler.recycle(deployment)
    function = deployment.function("Aliased")
    client.update_function_configuration(FunctionName=function.name, Description="a newer deployment's")
    version = client.publish_version(FunctionName=function.name)["Version"]
    client.update_alias(FunctionName=function.name, Name="live", FunctionVersion=version)
    recycler.put_back()
    found = state(target, deployment)["Aliased"]
    assert found["alias"][0] == version
    assert found["description"] == "a newer deployment's"
    assert found["versions"] == ["$LATEST", "1", version], "the one that was made for the run is gone"


def test_a_function_that_is_gone_needs_nothing(target, deployment, journal):
    recycler = Recycler(target, journal)
    recycler.recycle(deployment)
    target.client("lambda").delete_function(FunctionName=deployment.function("Latest").name)
    assert len(recycler.put_back()) == 2
    assert not journal.exists()


def test_another_target_is_not_touched(target, deployment, journal):
    Recycler(target, journal).recycle(deployment)
    noted = json.loads(journal.read_text())
    journal.write_text(json.dumps({**noted, "endpoint_url": "http://127.0.0.1:1"}))
    with pytest.raises(DeployError, match=r"on http://127\.0\.0\.1:1 in us-east-1") as refusal:
        Recycler(target, journal).put_back()
    assert f"rm {journal}" in str(refusal.value.hint)
    journal.write_text(json.dumps(noted))
    Recycler(target, journal).put_back()


def test_versions_that_nothing_calls_any_more_on_another_target_hold_nobody_up(target, deployment, journal):
    """Every run on an emulator leaves them, and that emulator may be gone when the next command goes elsewhere."""
    recycler = Recycler(target, journal)
    recycler.recycle(deployment)
    recycler.put_back(versions=False)
    noted = json.loads(journal.read_text())
    journal.write_text(json.dumps({**noted, "endpoint_url": "http://127.0.0.1:1"}))
    assert Recycler(target, journal).left_elsewhere() is None
    assert Recycler(target, journal).put_back() == ()
    assert journal.exists(), "that target's next command deletes them"


def test_the_step_says_whether_functions_are_put_back_or_old_versions_deleted(target, deployment, journal):
    steps: list[str] = []
    recycler = Recycler(target, journal, on_step=steps.append)
    recycler.recycle(replace(deployment, functions=(deployment.function("Aliased"),)))
    recycler.put_back(versions=False)
    recycler.put_back()
    assert [step.partition(" of `")[0] for step in steps] == [
        "new environments for 1 function",
        "putting back 1 function",
        "deleting the last run's versions of 1 function",
    ]


def test_of_a_stack_that_was_destroyed_nothing_is_to_be_put_back(target, deployment, journal):
    recycler = Recycler(target, journal)
    recycler.recycle(deployment)
    recycler.forget("another-stack")
    assert journal.exists()
    recycler.forget(deployment.stack_name)
    assert not journal.exists()


def test_a_target_that_publishes_nothing_new_is_told_of_and_left_as_it_was(target, deployment, journal, monkeypatch):
    before = state(target, deployment)
    client = target.client("lambda")
    monkeypatch.setattr(client, "publish_version", lambda **request: {"Version": "1"})
    recycler = Recycler(target, journal)
    only = replace(deployment, functions=(deployment.function("Aliased"),))
    with pytest.raises(DeployError, match="published no new version"):
        recycler.recycle(only)
    recycler.put_back()
    assert state(target, deployment) == before

"""What lab remembers of deployments: the last one, and those of other stacks before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.cli.emulator import status
from serverless_lab.errors import BadInput
from serverless_lab.project import Deployment, Project


def deployment(stack: str, target: str = "local", **more: Any) -> Deployment:
    values: dict[str, Any] = {
        "target": target,
        "stack_name": stack,
        "region": "us-east-1",
        "account_id": "000000000000",
        "template": "template.yaml",
        "deployed_at": "2026-11-25T10:00:00+00:00",
        "parameters": {},
        "outputs": {},
        "functions": (),
        "instance_id": "one" if target == "local" else None,
        "endpoint_url": None if target == "aws" else "http://127.0.0.1:4566",
        **more,
    }
    return Deployment(**values)


def known(project: Project) -> tuple[str | None, list[str]]:
    last = project.deployment_or_none()
    return None if last is None else last.stack_name, [found.stack_name for found in project.earlier_deployments()]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_stack_before_a_destroyed_one_is_the_last_deployment_again(project: Project):
    for stack in ("first", "second", "third"):
        project.remember_deployment(deployment(stack))
    assert known(project) == ("third", ["first", "second"])
    left = project.forget_deployments(deployment("third").is_of_same_stack)
    assert left == deployment("second")
    assert known(project) == ("second", ["first"])


def test_another_one_can_be_forgotten_without_the_last_one(project: Project):
    for stack in ("first", "second"):
        project.remember_deployment(deployment(stack))
    project.forget_deployments(deployment("first").is_of_same_stack)
    assert known(project) == ("second", [])
    project.forget_deployments(deployment("second").is_of_same_stack)
    assert known(project) == (None, [])
    assert not list(project.state.glob("*.json"))


def test_a_stack_that_is_deployed_again_is_remembered_once_and_as_it_is_now(project: Project):
    project.remember_deployment(deployment("first"))
    project.remember_deployment(deployment("second"))
    again = deployment("first", parameters={"InitStyle": "lazy"}, endpoint_url="http://127.0.0.1:4600")
    project.remember_deployment(again)
    assert known(project) == ("first", ["second"])
    assert project.deployment() == again


def test_a_destroyed_stack_never_brings_one_of_another_target_to_the_fore(project: Project):
    """What is meant for the emulator must not go to AWS."""
    project.remember_deployment(deployment("live", "aws"))
    project.remember_deployment(deployment("trial"))
    assert project.forget_deployments(deployment("trial").is_of_same_stack) is None
    assert known(project) == (None, ["live"])
    assert project.deployment_of("live") == deployment("live", "aws")


def test_stacks_of_an_emulator_that_has_ended_are_forgotten_with_the_next_deployment(project: Project):
    project.remember_deployment(deployment("live", "aws"))
    project.remember_deployment(deployment("lost"))
    project.remember_deployment(deployment("found", instance_id="two"))
    assert known(project) == ("found", ["live"])


def test_a_stack_is_found_by_its_name_and_target(project: Project):
    for found in (deployment("shop", "aws"), deployment("shop"), deployment("other")):
        project.remember_deployment(found)
    assert project.deployment_of(None) == deployment("other")
    assert project.deployment_of(None, "aws") is None
    assert project.deployment_of("shop") == deployment("shop")
    assert project.deployment_of("shop", "aws") == deployment("shop", "aws")
    assert project.deployment_of("nowhere") is None


def test_stacks_of_one_name_in_two_places_are_two(project: Project):
    for region in ("us-east-1", "eu-west-1"):
        project.remember_deployment(deployment("shop", "aws", region=region))
    project.remember_deployment(deployment("shop", "localstack"))
    project.remember_deployment(deployment("shop", "localstack", endpoint_url="http://10.0.0.1:4566"))
    assert known(project) == ("shop", ["shop"] * 3)


def test_a_memory_of_another_version_names_its_file(project: Project):
    project.state.mkdir()
    (project.state / "earlier.json").write_text(json.dumps({"deployments": [{"functions": [], "from_the_future": 1}]}))
    with pytest.raises(BadInput, match=r"earlier\.json is not of this version of lab") as refused:
        project.earlier_deployments()
    assert "rm " in (refused.value.hint or "")


def test_status_lists_what_was_deployed_before_with_the_words_that_turn_back_to_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(project.directory)
    project.remember_deployment(deployment("live", "aws"))
    project.remember_deployment(deployment("trial", "localstack"))
    project.remember_deployment(deployment("next", "localstack"))
    status()
    shown = capsys.readouterr().out
    assert "before it: stack trial on localstack (`lab deploy --stack trial`, `lab destroy trial`)" in shown
    back = "(`lab deploy --stack live --target aws`, `lab destroy live --target aws`)"
    assert f"before it: stack live on aws {back}" in shown
    project.forget_deployments(lambda found: found.target == "localstack")
    status()
    shown = capsys.readouterr().out
    assert "deployment: none" in shown and back in shown

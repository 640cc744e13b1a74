"""What a run that began cold on one target means for runs on another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.cli.cold import new_environments
from serverless_lab.errors import DeployError
from serverless_lab.project import Deployment, Project
from serverless_lab.targets import resolve_target
from tests.conftest import free_port

ELSEWHERE = "http://127.0.0.1:1"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def leave(project: Project, **more: Any) -> None:
    """As a cold run of another target has left it."""
    project.state.mkdir()
    entry = {"function": "shop-orders", "alias": "live", "version_before": "1", "version": "2"}
    noted = {"stack_name": "shop", "endpoint_url": ELSEWHERE, "region": "us-east-1", "mark": "m", "functions": [entry]}
    project.recycled_file.write_text(json.dumps({**noted, **more}))


def run(project: Project, *, cold: bool | None) -> list[dict[str, Any]]:
    """A run on a target where nobody listens: whoever asked it anything would be told so."""
    here = resolve_target("localstack", environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"})
    deployment = Deployment(
        target="local",
        stack_name="mine",
        region="us-east-1",
        account_id="000000000000",
        template="template.yaml",
        deployed_at="2026-01-01",
        parameters={},
        outputs={},
        functions=(),
    )
    with new_environments(project, deployment, here, None, cold) as rows:
        return rows


def test_a_cold_run_that_has_ended_on_one_target_holds_up_none_on_another(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its versions go with that target's next command, or went with that target."""
    leave(project, put_back=True)
    assert run(project, cold=None) == []
    assert capsys.readouterr().err == ""


def test_functions_that_are_still_changed_elsewhere_are_named_and_the_run_goes_on(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(project)
    assert run(project, cold=None) == []
    told = capsys.readouterr().err
    assert f"functions of stack `shop` are still as a run has left them, on {ELSEWHERE}" in told
    assert f"rm {project.recycled_file}" in told
    assert project.recycled_file.exists()


def test_a_cold_run_does_not_write_over_what_is_to_be_put_back_elsewhere(project: Project) -> None:
    leave(project)
    with pytest.raises(DeployError, match="still as a run has left them"):
        run(project, cold=True)

"""What a run that began cold on one target means for runs on another."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serverless_lab.cli import cold as cold_runs
from serverless_lab.cli.cold import new_environments
from serverless_lab.deploy.recycle import Recycled, Recycler
from serverless_lab.errors import DeployError, TargetBusy
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


DEPLOYMENT = Deployment(
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


def run(project: Project, *, cold: bool | None) -> list[dict[str, Any]]:
    """A run on a target where nobody listens: whoever asked it anything would be told so."""
    here = resolve_target("localstack", environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"})
    with new_environments(project, DEPLOYMENT, here, None, cold) as rows:
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


def test_a_target_that_the_run_has_overloaded_is_asked_whether_it_answers_and_nothing_else(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each call to it would be waited for, for minutes; what there is to put back is written down."""
    asked = []

    def busy() -> str:
        asked.append("instance")
        raise TargetBusy("target `localstack` does not answer within 5 s")

    def client(service: str) -> Any:
        assert service == "lambda" and not asked, "a call to it"
        return SimpleNamespace()

    def recycle(self: Recycler, deployment: Deployment) -> tuple[Recycled, ...]:
        leave(project, endpoint_url=target.endpoint_url)
        return (Recycled("shop-orders", "live", "1", version="2"),)

    target: Any = SimpleNamespace(
        name="localstack", endpoint_url=ELSEWHERE, region="us-east-1", instance_id=busy, client=client
    )
    monkeypatch.setattr(Recycler, "recycle", recycle)
    monkeypatch.setattr(cold_runs, "QUIET_LIMIT_S", 0.01)
    with new_environments(project, DEPLOYMENT, target, None, True) as rows:
        pass
    assert [row["put_back"] for row in rows] == [False]
    assert project.recycled_file.exists()
    told = capsys.readouterr().err
    assert "functions are still as the run changed them: target `localstack` does not answer" in told
    assert "the next `lab load` or `lab deploy` on that target puts them back" in told

"""Loads that ask more of this machine than it has, where time is real: said before, and not misread after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serverless_lab.cli import context
from serverless_lab.cli.load import check_finished, check_succeeded
from serverless_lab.cli.real_time import real_time_warning
from serverless_lab.errors import LoadError, TargetBusy, TargetError
from serverless_lab.project import DeployedFunction, Deployment, Project
from serverless_lab.scenario import load_scenario

DEPLOYMENT = Deployment(
    target="localstack",
    stack_name="shop",
    region="us-east-1",
    account_id="000000000000",
    template="template.yaml",
    deployed_at="2026-01-01",
    parameters={},
    outputs={},
    functions=(DeployedFunction("Orders", "shop-orders", "/aws/lambda/shop-orders", 128, 3, "python3.12", "x86_64"),),
    endpoint_url="http://127.0.0.1:4566",
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.remember_deployment(DEPLOYMENT)
    return made


def load(**members: Any) -> Any:
    """A run on LocalStack whose callers all gave up, as far as what is asked of it here goes."""
    manifest = SimpleNamespace(target="localstack", run_id="r1", stack_name="shop")
    usual = {"manifest": manifest, "interrupted": False, "complete": True, "failed": 9, "succeeded": 0}
    return SimpleNamespace(
        **usual, run_folder=Path("runs/r1"), by_status={}, by_error={"timeout after 10 s": 9}, **members
    )


def test_a_burst_that_takes_the_cpus_longer_than_clients_wait_is_told_before_it_is_sent() -> None:
    told = real_time_warning(DEPLOYMENT, load_scenario("monday-spike"), cpus=2)
    assert told is not None
    assert "`monday-spike` may start 148 environments at once, in real time and on 2 CPUs" in told
    assert "the last one serves after 74 s, and clients wait 10 s" in told
    assert real_time_warning(DEPLOYMENT, load_scenario("monday-spike"), cpus=16) is None


@pytest.mark.parametrize(
    "elsewhere",
    [
        None,
        replace(DEPLOYMENT, target="local"),
        replace(DEPLOYMENT, target="aws", endpoint_url=None),
        replace(DEPLOYMENT, endpoint_url="http://localstack.example:4566"),
    ],
)
def test_nothing_is_said_where_time_is_virtual_or_the_cpus_are_not_this_machines(elsewhere: Deployment | None) -> None:
    assert real_time_warning(elsewhere, load_scenario("monday-spike"), cpus=2) is None


def answers(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(project: Project, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(context, "living_deployment", refuse)


def test_a_target_that_is_still_at_work_on_the_run_has_not_ended(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its state and its log are there: whoever started it anew would lose them."""
    answers(monkeypatch, TargetBusy("target `localstack` does not answer", "wait"))
    check_finished(project, load())
    told = capsys.readouterr().err
    assert "what the run has started still goes on there" in told
    assert "`lab coldstarts report` reads its log once it answers" in told
    answers(monkeypatch, TargetError("target `localstack` does not answer: refused"))
    with pytest.raises(TargetError, match="the target ended during run r1"):
        check_finished(project, load())


def test_where_every_client_gave_up_the_way_out_is_about_waiting(project: Project) -> None:
    with pytest.raises(LoadError, match="every request failed") as caught:
        check_succeeded(project, load())
    assert "`client_timeout`" in str(caught.value.hint)
    assert "`lab logs shop-orders`" in str(caught.value.hint)

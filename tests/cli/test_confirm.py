"""Nothing is changed, and nothing is billed, in an AWS account that the user has not been shown."""

from __future__ import annotations

import io
from typing import Any

import pytest
import typer

from serverless_lab.cli.confirm import confirm_change, confirm_load, planned_count
from serverless_lab.errors import BadInput
from serverless_lab.scenario import load_scenario
from serverless_lab.targets import resolve_target

URL = "https://abc.execute-api.eu-west-1.amazonaws.com/prod"


class Account:
    """As much of a target as is shown."""

    name = "aws"
    region = "eu-west-1"
    profile = "shop-dev"

    def account_id(self) -> str:
        return "111122223333"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def account() -> Any:
    return Account()


def test_an_account_is_shown_and_yes_on_the_command_line_goes_on(account: Any, capsys: Any) -> None:
    confirm_change(account, "deploy stack shop", yes=True)
    shown = capsys.readouterr()
    assert shown.err == "AWS account 111122223333, region eu-west-1, profile shop-dev: deploy stack shop\n"
    assert shown.out == "", "words are no data"


def test_without_a_terminal_nobody_can_agree(account: Any, monkeypatch: Any, capsys: Any) -> None:
    """A CI job that forgot --yes must not hang, and must not deploy."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(BadInput, match="no terminal") as refusal:
        confirm_change(account, "delete stack shop", yes=False)
    assert refusal.value.hint == "add --yes"
    assert "111122223333" in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "goes_on"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_at_a_terminal_only_a_yes_goes_on(account: Any, typed: str, goes_on: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    if goes_on:
        confirm_change(account, "deploy stack shop", yes=False)
    else:
        with pytest.raises(typer.Abort):
            confirm_change(account, "deploy stack shop", yes=False)


def test_a_load_says_how_much_it_sends_where(account: Any, capsys: Any) -> None:
    scenario = load_scenario("monday-spike")
    confirm_load(account, scenario, url=URL, yes=True)
    assert f"region eu-west-1, profile shop-dev: send 500 requests of monday-spike to {URL}" in capsys.readouterr().err
    confirm_load(account, None, url=URL, locustfile="mine.py", users=7, run_time_s=90, yes=True)
    assert "run mine.py with 7 users for 90 s" in capsys.readouterr().err


def test_a_url_on_aws_is_asked_about_although_nothing_was_deployed_there(monkeypatch: Any) -> None:
    scenario = load_scenario("smooth")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for url in (URL, "https://xyz.lambda-url.eu-west-1.on.aws/"):
        with pytest.raises(BadInput, match="no terminal"):
            confirm_load(None, scenario, url=url)
    confirm_load(None, scenario, url="http://127.0.0.1:4566/x")
    confirm_load(None, scenario, url="https://staging.example.com/amazonaws.com")


def test_an_emulator_is_never_asked_about(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    target = resolve_target("localstack", environment={})
    confirm_change(target, "deploy stack shop", yes=False)
    confirm_load(target, load_scenario("smooth"), url="http://127.0.0.1:4566")
    assert capsys.readouterr().err == ""


def test_a_closed_scenario_has_its_number_of_requests() -> None:
    assert planned_count(load_scenario("ab"), None) == load_scenario("ab").requests

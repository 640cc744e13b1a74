"""The one place that shows which AWS account is about to change, or to be billed, and asks.

Emulators are never asked about. Before a change: account, region, profile and what would be done; before a load also
what it sends and what it may cost.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from serverless_lab.cli.options import say
from serverless_lab.errors import BadInput

if TYPE_CHECKING:
    from serverless_lab.scenario import Scenario
    from serverless_lab.targets.base import Target

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before an AWS account is changed or billed.")]

# documented: https://docs.aws.amazon.com/general/latest/gr/rande.html and, for function URLs,
# https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws")


def confirm_change(target: Target, what: str, *, yes: bool, details: Sequence[str] = ()) -> None:
    """Go on only when the user wants `what` to be done to the account behind `target`.

    Args:
        what: in the imperative, such as "deploy stack shop".
        details: further lines to show before the question.
        yes: it was agreed to on the command line, so nobody is asked.

    Raises:
        BadInput: nobody can be asked, since stdin is no terminal.
        typer.Abort: the user says no.
    """
    if target.name != "aws":
        return
    _ask(f"{_account(target)}: {what}", details, yes)


def confirm_load(
    target: Target | None,
    scenario: Scenario | None,
    *,
    url: str,
    seed: int | None = None,
    locustfile: str | None = None,
    users: int = 0,
    run_time_s: int = 0,
    details: Sequence[str] = (),
    yes: bool = False,
) -> None:
    """Like `confirm_change`, before a scenario or a locustfile is sent to `url`.

    Args:
        target: of the deployment that is loaded; None where the user named a URL instead.
        scenario: None where a locustfile is run.
        details: further lines to show, such as what it may cost.
    """
    if target is None:
        host = urlsplit(url).hostname or ""
        if not host.endswith(AWS_HOSTS):
            return
        where = f"{host} is on AWS, in an account that lab does not know"
    elif target.name == "aws":
        where = _account(target)
    else:
        return
    if scenario is None:
        what = f"run {locustfile} with {users} users for {run_time_s} s"
    else:
        what = f"send {planned_count(scenario, seed)} requests of {scenario.name} to {url}"
    _ask(f"{where}: {what}", details, yes)


def _account(target: Target) -> str:
    profile = getattr(target, "profile", None)
    with_profile = f", profile {profile}" if profile else ""
    return f"AWS account {target.account_id()}, region {target.region}{with_profile}"


def planned_count(scenario: Scenario, seed: int | None) -> int:
    """How many requests the scenario will send."""
    from serverless_lab.load.arrivals import arrivals, planned_requests

    return planned_requests(scenario, arrivals(scenario, seed))


def _ask(question: str, details: Sequence[str], yes: bool) -> None:
    say(question)
    for line in details:
        say(f"  {line}")
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput("not confirmed, and nobody can be asked: stdin is no terminal", hint="add --yes")
    typer.confirm("Go on?", abort=True, err=True)

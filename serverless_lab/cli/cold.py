"""`--cold`: a run that begins without a warm environment, and the way back after it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serverless_lab.cli.options import say
from serverless_lab.errors import BadInput, LabError, TargetBusy
from serverless_lab.project import Deployment, Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serverless_lab.scenario import Scenario
    from serverless_lab.targets.base import Target

Cold = Annotated[
    bool | None,
    typer.Option(
        "--cold/--no-cold",
        help="Begin with new environments: each function gets a version of its own for the run, which is removed after "
        "it, or before the next one.  [default: on localstack, when the scenario has a quiet period]",
    ),
]


def recycling_lines(deployment: Deployment | None) -> list[str]:
    """What `--cold` does to a stack, for whoever is asked."""
    functions = () if deployment is None else deployment.functions
    get = "1 function gets" if len(functions) == 1 else f"{len(functions)} functions get"
    found = [
        f"for the run, {get} a new version, to which its alias is moved; then aliases go back, and versions are deleted"
    ]
    if any(function.provisioned_environments for function in functions):
        found.append("provisioned environments are made anew for it, twice: that takes minutes, and is billed")
    return found if functions else []


@contextlib.contextmanager
def new_environments(
    project: Project,
    deployment: Deployment | None,
    target: Target | None,
    scenario: Scenario | None,
    cold: bool | None,
) -> Iterator[list[dict[str, Any]]]:
    """What was changed so that the run inside begins cold: a row per function for its manifest; none when it was not.

    Whatever an earlier run left changed is put back first.

    Raises:
        BadInput: `cold` without a deployment.
        LabError: the environments could not be had.
    """
    from serverless_lab.deploy.recycle import Recycler

    if deployment is None or target is None:
        if cold:
            raise BadInput("--cold is for a deployment, and --url names none", hint="leave one of them away")
        yield []
        return
    recycler = Recycler(target, project.recycled_file, on_step=say)
    quiet = scenario is not None and scenario.quiet_ms > 0
    # In AWS nothing is changed that was not asked for.
    wanted = (deployment.target == "localstack" and quiet) if cold is None else cold
    left = recycler.left_elsewhere()
    if left is not None and not wanted:
        # The run here changes nothing, and so loses nothing of what is written down about the other target.
        say(f"warning: {left.message}")
        say(f"  {left.hint}")
    else:
        recycler.put_back()
    if not wanted:
        yield []
        return
    rows: list[dict[str, Any]] = []
    try:
        rows += [{**asdict(function), "put_back": False} for function in recycler.recycle(deployment)]
        for row in rows:
            row.pop("description_before")
        began_ms = int(time.time() * 1000)
        yield rows
        _wait_until_quiet(target, deployment, began_ms)
    finally:
        try:
            # Asked with little patience: one that is overloaded would be waited for at each of many calls.
            target.instance_id()
            # Not the versions on an emulator, where work that still goes on would be cut off and never be logged.
            recycler.put_back(versions=target.endpoint_url is None)
            for row in rows:
                row["put_back"] = True
        except LabError as error:
            # What the run has measured is told all the same, or what went wrong before this.
            say(f"warning: functions are still as the run changed them: {error.message}")
            say("  the next `lab load` or `lab deploy` on that target puts them back")


QUIET_S = 4.0
"""How long no function may have logged anything before a run counts as over. Streams and queues invoke functions after
the last response, and one that is at work when its version is deleted would be cut off and started again (seen on
MiniStack 1.5.33)."""

QUIET_LIMIT_S = 60.0
LOOK_S = 1.0


def _wait_until_quiet(target: Target, deployment: Deployment, since_ms: int) -> None:
    """Wait for what the run's requests have set going behind the API, as far as the functions' logs tell."""
    from serverless_lab.coldstarts.sources import read_cloudwatch_logs

    groups = [function.log_group for function in deployment.functions]
    give_up = time.monotonic() + QUIET_LIMIT_S
    events, since = -1, time.monotonic()
    say("waiting until the functions are quiet")
    while time.monotonic() < min(give_up, since + QUIET_S):
        try:
            target.instance_id()  # whether it answers at all is soon known
            found = read_cloudwatch_logs(
                target.client("logs"),
                groups,
                since_ms,
                int(time.time() * 1000) + 1,
                one_stream_per_environment=False,
            )
        except TargetBusy:
            since = time.monotonic()
            continue
        except LabError:
            return  # that is told by what comes next
        if len(found.events) != events:
            events, since = len(found.events), time.monotonic()
        time.sleep(LOOK_S)


def put_back_what_is_left(project: Project, target: Target) -> None:
    """Before a deployment: what a run that was killed has left changed, on this very target.

    On another one there is nothing to do here, and an emulator that was started anew has nothing to be put back.
    """
    from serverless_lab.deploy.recycle import Recycler

    if not project.recycled_file.is_file():
        return
    recycler = Recycler(target, project.recycled_file, on_step=say)
    if recycler.is_here():
        recycler.put_back()


def forget_what_is_left(project: Project, target: Target, stack_name: str) -> None:
    """After a stack was destroyed: nothing of it is to be put back any more."""
    from serverless_lab.deploy.recycle import Recycler

    if project.recycled_file.is_file():
        Recycler(target, project.recycled_file).forget(stack_name)

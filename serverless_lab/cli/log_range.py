"""`lab coldstarts report` of a target's log over a stretch of time: which functions, from when to when, and how."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serverless_lab.cli.confirm import confirm_change
from serverless_lab.cli.context import target_of
from serverless_lab.cli.options import say, stderr_console
from serverless_lab.errors import BadInput, NothingDeployed
from serverless_lab.project import Deployment, Project

if TYPE_CHECKING:
    from serverless_lab.coldstarts.cloudwatch.reader import Progress
    from serverless_lab.coldstarts.cloudwatch.volume import Volume
    from serverless_lab.coldstarts.report import ColdStartReport
    from serverless_lab.targets.base import Target

DEFAULT_SINCE = "1h"


@dataclass(frozen=True)
class LogRange:
    """What was asked for on the command line. `insights` is None where lab is to choose."""

    functions: tuple[str, ...] = ()
    log_groups: tuple[str, ...] = ()
    stack: str | None = None
    since: str | None = None
    until: str | None = None
    target: str | None = None
    region: str | None = None
    profile: str | None = None
    insights: bool | None = None
    yes: bool = False
    refresh: bool = False

    @property
    def is_asked_for(self) -> bool:
        """Whether anything says that it is a log over time that is wanted, and not a run's."""
        return bool(self.functions or self.log_groups) or any(
            value is not None for value in (self.stack, self.since, self.until, self.target, self.region, self.insights)
        )


def report_range(asked: LogRange, *, bin_ms: int | None, by: Sequence[str]) -> ColdStartReport:
    """The report of what functions of a target have logged.

    Raises:
        BadInput: no such function, stack or time.
        NothingDeployed: no target is named, and nothing is deployed.
        TargetError: the target cannot be reached or refuses; what was read until then is kept.
    """
    from serverless_lab.coldstarts.log_reports import kept_of, reader_of, report_logs

    project = Project()
    target, deployment = _target(project, asked)
    groups = _groups(target, deployment, asked)
    now_ms = _now_ms(target)
    start_ms = instant_ms("--since", asked.since or DEFAULT_SINCE, now_ms)
    end_ms = now_ms if asked.until is None else instant_ms("--until", asked.until, now_ms)
    if start_ms >= end_ms:
        raise BadInput("--since is not before --until", hint="for example --since 2h --until 1h")
    kept = kept_of(target, project.state / "logs")
    insights, volume = _way(target, groups, start_ms, end_ms, now_ms, asked)
    with progress_shown() as on_progress:
        return report_logs(
            target,
            groups,
            start_ms,
            end_ms,
            reader=reader_of(
                target,
                kept,
                insights=insights,
                expected=None if volume is None else volume.events,
                on_progress=on_progress,
            ),
            now_ms=now_ms,
            stack=asked.stack or ("" if deployment is None else deployment.stack_name),
            refresh=asked.refresh,
            bin_ms=bin_ms,
            by=by,
        )


def _target(project: Project, asked: LogRange) -> tuple[Target, Deployment | None]:
    """(the target, the last deployment where it is the one that is meant)."""
    from serverless_lab.targets import resolve_target

    deployment = project.deployment_or_none()
    name = asked.target
    if name is None:
        # A stack or a function elsewhere is named with its target.
        name = project.deployment().target
    if deployment is not None and deployment.target == name and asked.region in (None, deployment.region):
        target = target_of(project, deployment, profile=asked.profile)
        if target is not None:
            return target, deployment
    if name == "local":
        raise NothingDeployed(
            "no emulator is running here, and its log was in its memory", hint="start with `lab deploy`"
        )
    found = resolve_target(name, region=asked.region, profile=asked.profile)
    if name == "aws":
        say(f"AWS account {found.account_id()}, region {found.region}")
    return found, None


def _groups(target: Target, deployment: Deployment | None, asked: LogRange) -> dict[str, str]:
    from serverless_lab.coldstarts.log_reports import log_groups_of, named_groups

    groups = named_groups(asked.log_groups)
    is_deployed = deployment is not None and asked.stack in (None, deployment.stack_name)
    if deployment is not None and is_deployed:
        if asked.functions:
            functions = [deployment.function(name) for name in asked.functions]
        else:
            functions = [] if groups else list(deployment.functions)
        groups |= {function.log_group: function.name for function in functions}
    elif asked.stack is not None or asked.functions:
        groups |= log_groups_of(target, stack=asked.stack, functions=asked.functions)
    if not groups:
        raise BadInput("no function is named", hint="say --function, --stack or --log-group")
    return groups


def _now_ms(target: Target) -> int:
    from serverless_lab.targets.local import LocalTarget

    # The embedded emulator has a calendar of its own.
    return int(target.status()["now_ms"]) + 1 if isinstance(target, LocalTarget) else int(time.time() * 1000)


def _way(
    target: Target, groups: Mapping[str, str], start_ms: int, end_ms: int, now_ms: int, asked: LogRange
) -> tuple[bool, Volume | None]:
    """(whether to ask Logs Insights, how much log there is where that is known). What is paid is agreed to first."""
    from serverless_lab.coldstarts.cloudwatch.volume import INSIGHTS_FROM_S, insights_cost, measure
    from serverless_lab.cost.bill import dollars
    from serverless_lab.targets.clients import target_errors

    if target.name != "aws":
        return bool(asked.insights), None
    if asked.insights is False:
        return False, None
    with target_errors(target.name, None, "check the network and the region's name"):
        volume = measure(target.client("cloudwatch"), target.client("logs"), list(groups), start_ms, end_ms, now_ms)
    if volume is None:
        if asked.insights:
            what = f"ask Logs Insights about {len(groups)} log groups; how much it will scan is not known"
            confirm_change(target, what, yes=asked.yes)
        return bool(asked.insights), None
    cost = insights_cost(volume, target.region)
    at_most = "at most " if volume.is_bound else ""
    price = "an amount that lab has no price for" if cost is None else f"{at_most}{dollars(cost)}"
    told = f"{at_most}{volume.gigabytes:,.2f} GB of log"
    if asked.insights:
        confirm_change(target, f"ask Logs Insights, which scans {told} for {price}", yes=asked.yes)
        return True, volume
    if volume.pages_s >= INSIGHTS_FROM_S:
        say(
            f"{told}: reading it in pages takes {at_most or 'about '}{_minutes(volume.pages_s)}; --insights is faster, "
            f"and costs {price}"
        )
    return False, volume


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


# --- progress --------------------------------------------------------------------------------------------------------


@contextmanager
def progress_shown() -> Iterator[Callable[[Progress], None] | None]:
    """What to tell progress to: a bar on a terminal, nothing elsewhere. It appears when reading takes a while."""
    console = stderr_console()
    if not console.is_terminal:
        yield None
        return
    from rich import progress as rich_progress

    with rich_progress.Progress(
        rich_progress.TextColumn("reading logs"),
        rich_progress.BarColumn(),
        rich_progress.TextColumn("{task.percentage:3.0f} %"),
        rich_progress.TextColumn("{task.fields[told]}"),
        rich_progress.TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None, told="", visible=False)

        def on_progress(step: Progress) -> None:
            throttled = f", {step.throttled:,} throttled" if step.throttled else ""
            bar.update(
                task,
                completed=step.read_ms,
                total=step.total_ms,
                visible=step.calls > 3,
                told=f"{step.events:,} events, {step.calls:,} requests{throttled}",
            )

        yield on_progress


# --- time ------------------------------------------------------------------------------------------------------------


def instant_ms(option: str, text: str, now_ms: int | None = None) -> int:
    """Epoch ms of an ISO 8601 instant (UTC where it names no zone), of epoch ms, or of a duration before now."""
    from datetime import UTC, datetime

    from serverless_lab.located_yaml import duration_ms

    if text.isdigit() and len(text) >= 12:
        return int(text)
    before_ms = duration_ms(text)
    if before_ms is not None:
        return int((time.time() * 1000 if now_ms is None else now_ms) - before_ms)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f"{option} `{text}` is no instant", hint="for example 2026-11-24T16:00, 2026-11-24, or 2h for two hours ago"
        ) from error
    return round((found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp() * 1000)

"""`lab coldstarts report` of a target's log over a stretch of time: which functions, from when to when, and how."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serverless_lab.cli.context import target_of
from serverless_lab.cli.log_way import choose_way
from serverless_lab.cli.options import say, stderr_console
from serverless_lab.cli.stopping import if_stopped
from serverless_lab.errors import BadInput, NothingDeployed
from serverless_lab.project import Deployment, Project

if TYPE_CHECKING:
    from serverless_lab.coldstarts.cloudwatch.reader import Progress
    from serverless_lab.coldstarts.report import ColdStartReport
    from serverless_lab.targets.base import Target

DEFAULT_SINCE = "1h"
READ_ON = "nothing was changed, and what was read of LocalStack's or AWS's log is kept: the same command reads on"


@dataclass(frozen=True)
class LogRange:
    """What was asked for on the command line. `insights` is None where lab is to choose; `max_cost` is USD."""

    functions: tuple[str, ...] = ()
    log_groups: tuple[str, ...] = ()
    stack: str | None = None
    since: str | None = None
    until: str | None = None
    target: str | None = None
    region: str | None = None
    profile: str | None = None
    insights: bool | None = None
    max_cost: float | None = None
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
        BadInput: no such function, stack or time; or reading may cost more than is allowed.
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
    way = choose_way(
        target,
        list(groups),
        start_ms,
        end_ms,
        now_ms=now_ms,
        kept=None if asked.refresh else kept,
        asked=asked.insights,
        max_cost=asked.max_cost,
        yes=asked.yes,
    )
    with if_stopped(READ_ON), progress_shown() as on_progress:
        return report_logs(
            target,
            groups,
            start_ms,
            end_ms,
            reader=reader_of(
                target,
                kept,
                insights=way.insights,
                expected=way.expected,
                scanned_max=way.scanned_max,
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


# --- progress --------------------------------------------------------------------------------------------------------


TOLD_EVERY_S = 60.0
WAITED_S = 3.0
"""How long lines are waited for before that is said: on an emulator they come a moment late as a rule."""


@contextmanager
def progress_shown() -> Iterator[Callable[[Progress], None]]:
    """What to tell progress to: a bar on a terminal, a line a minute elsewhere; neither when reading takes no time."""
    console = stderr_console()
    if not console.is_terminal:
        yield _Lines()
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
            bar.update(
                task,
                completed=step.read_ms,
                total=step.total_ms,
                visible=step.calls > 3 or step.awaited > 0,
                told=_told(step),
            )

        yield on_progress


def _told(step: Progress) -> str:
    throttled = f", {step.throttled:,} throttled" if step.throttled else ""
    lines = "a REPORT line" if step.awaited == 1 else f"{step.awaited:,} REPORT lines"
    awaited = f", waiting for {lines}" if step.awaited else ""
    return f"{step.events:,} events, {step.calls:,} requests{throttled}{awaited}"


class _Lines:
    """Progress for a log of a job, or a file. May be told from any thread."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._next_s = now_s() + TOLD_EVERY_S
        self._awaits_since_s: float | None = None
        self._lock = threading.Lock()

    def __call__(self, step: Progress) -> None:
        with self._lock:
            now_s = self._now_s()
            if not step.awaited:
                self._awaits_since_s = None
            elif self._awaits_since_s is None:
                self._awaits_since_s = now_s
                self._next_s = min(self._next_s, now_s + WAITED_S)
            if now_s >= self._next_s:
                self._next_s = now_s + TOLD_EVERY_S
                say(f"reading logs: {100 * step.read_ms // max(step.total_ms, 1)} %, {_told(step)}")


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

"""`lab coldstarts watch`: the report of a load that is running, again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serverless_lab.cli.options import AsJson, Profile, RunId, say, stdout_console
from serverless_lab.errors import BadInput, NothingDeployed
from serverless_lab.project import Project, read_json

if TYPE_CHECKING:
    from serverless_lab.coldstarts.watch import LogWatch

SETTLE_S = 10.0
"""How long after the end of a run is waited for REPORT lines that have not arrived."""


def watch(
    run: RunId = None,
    interval: Annotated[str, typer.Option("--interval", help="Time between two looks: 500ms, 5s.")] = "2s",
    since: Annotated[
        str, typer.Option("--since", help="When no run is being sent: how far back to begin, 90s, 10m, 2h.")
    ] = "10m",
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Watch cold starts while a load is running.

    Reads the log of the run that is being sent, a little further at each look, and ends with it. When none is being
    sent, the log of the deployment is watched until Ctrl-C. On a terminal the report is drawn anew each time; elsewhere
    each look that brought something new is a line, with --json an object.

    Example: lab coldstarts watch --interval 5s
    """
    from serverless_lab.coldstarts.watch import GONE, RUNNING, newest_run, run_state

    seconds = _seconds("--interval", interval)
    project = Project()
    folder = project.run(run) if run is not None else newest_run(project)
    if folder is not None and (run is not None or run_state(folder) == RUNNING):
        watcher = _watch_run(project, folder, profile)

        def state() -> str:
            return run_state(folder)

        def manifest() -> dict[str, Any]:
            return read_json(folder / "manifest.json") or {}
    else:
        watcher = _watch_deployment(project, _seconds("--since", since), profile)
        told = {"stack_name": project.deployment().stack_name, "target": project.deployment().target}

        def state() -> str:
            return RUNNING

        def manifest() -> dict[str, Any]:
            return told

    with _shown(as_json) as show:
        try:
            last = _follow(watcher, state, manifest, show, seconds, once)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    if not once and last == GONE:
        say(f"whoever sent run {folder.name if folder else ''} is gone, and left no end of it")
    elif not once:
        say("the run has ended: `lab coldstarts report` has its client's side too")


def _follow(watcher: LogWatch, state: Any, manifest: Any, show: Any, seconds: float, once: bool) -> str:
    """Look until the run has ended and its log is complete, or once. Returns the last state."""
    from serverless_lab.coldstarts.watch import RUNNING, ends_at_ms

    ended_at: float | None = None
    shown: tuple[str, int] | None = None
    unfinished = 0
    while True:
        began = time.monotonic()
        now = state()  # asked before the log is read: what was written until the end is in this look
        watcher.end_ms = ends_at_ms(manifest())
        watcher.poll()
        if shown != (now, watcher.count):
            report = watcher.report(manifest())
            show(report, now)
            shown, unfinished = (now, watcher.count), report.unfinished
        if now != RUNNING and ended_at is None:
            ended_at = time.monotonic()
        settled = ended_at is not None and (unfinished == 0 or time.monotonic() - ended_at > SETTLE_S)
        if once or settled:
            return str(now)
        # A log so large that a look takes long is looked at less often.
        time.sleep(max(seconds - (time.monotonic() - began), min(seconds, time.monotonic() - began), 0.05))


@contextmanager
def _shown(as_json: bool) -> Iterator[Any]:
    """A function that shows a report: drawn in place on a terminal, else as a line."""
    from serverless_lab.coldstarts.watch import snapshot_json
    from serverless_lab.reporting.live import live_line, live_view

    console = stdout_console()
    if as_json:
        yield lambda report, state: _print_line(snapshot_json(report, state))
    elif not console.is_terminal:
        yield lambda report, state: typer.echo(live_line(report, state))
    else:
        from rich.live import Live

        with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
            yield lambda report, state: live.update(live_view(report, state), refresh=True)


def _print_line(data: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(data))


def _watch_run(project: Project, folder: Path, profile: str | None) -> LogWatch:
    from serverless_lab.cli.coldstarts import target_of_run
    from serverless_lab.coldstarts.runs import log_groups, provisioned_functions
    from serverless_lab.coldstarts.watch import LogWatch, starts_at_ms

    manifest = read_json(folder / "manifest.json") or {}
    target = target_of_run(project, folder, profile)
    if target is None:
        raise NothingDeployed(
            f"the log of run {folder.name} is not there any more",
            hint="its report is: `lab coldstarts report`",
        )
    return LogWatch(
        target.client("logs"),
        log_groups(manifest),
        starts_at_ms(project, folder, manifest),
        target.capabilities,
        provisioned_functions(manifest),
    )


def _watch_deployment(project: Project, back_s: float, profile: str | None) -> LogWatch:
    from serverless_lab.cli.context import living_deployment
    from serverless_lab.coldstarts.watch import LogWatch

    deployment, target = living_deployment(project, profile=profile)
    now_ms = time.time() * 1000
    if deployment.target == "local":
        from serverless_lab.emulator import control

        now_ms = float((control.status(project) or {}).get("now_ms", now_ms))  # its calendar may be ahead of ours
    return LogWatch(
        target.client("logs"),
        {function.log_group: function.name for function in deployment.functions},
        int(now_ms - back_s * 1000),
        target.capabilities,
    )


def _seconds(option: str, text: str) -> float:
    from serverless_lab.located_yaml import duration_ms

    milliseconds = duration_ms(text)
    if milliseconds is None or milliseconds <= 0:
        raise BadInput(f"{option} `{text}` is no time", hint=f"a number and ms, s, m or h: {option} 5s")
    return milliseconds / 1000

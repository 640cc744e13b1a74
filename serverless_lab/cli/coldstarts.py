"""`lab coldstarts`: what the REPORT lines of a run, or of log files of any origin, say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverless_lab.cli.options import AsJson, Profile, RunId, print_json, stdout_console
from serverless_lab.errors import BadInput, NothingDeployed
from serverless_lab.project import Project, read_json

if TYPE_CHECKING:
    from serverless_lab.coldstarts.report import ColdStartReport
    from serverless_lab.targets.base import Target

app = typer.Typer(
    help="Cold starts: how many, how long, of which function, when.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def coldstarts() -> None:
    pass


@app.command()
def report(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE|FOLDER|-", help="Log files, folders of them, or - for standard input.  [default: a run's log]"
        ),
    ] = None,
    run: RunId = None,
    log_format: Annotated[
        str | None, typer.Option("--format", help="How the files are to be read.  [default: told by their content]")
    ] = None,
    function: Annotated[
        str | None, typer.Option("--function", help="The function's name, where the files do not say it.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="In files, only what began from then on: 2026-11-24T16:00, or 2h before now."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="In files, only what began before then.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", help="Group by function, version, memory, initialization-type or bin; repeatable for combinations."
        ),
    ] = None,
    bin_width: Annotated[
        str | None, typer.Option("--bin", help="Width of a time bin, such as 10s or 5m.  [default: a round one]")
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read the log again, though it was read before.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a row per function and time bin as CSV.")] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Tell cold starts by function and by time: of a run, or of log files.

    Read from the REPORT lines of the functions' logs: how many, which share of the invocations with a 95 % interval,
    how long their inits took, and what the client saw. Without a file, the log of the last run is read; files may come
    from anywhere: consoles, exports, `aws logs tail`, in any mixture.

    Example: lab coldstarts report logs/ --by function --by memory
    """
    from serverless_lab.coldstarts.groups import checked_dimensions

    if as_csv and as_json:
        raise typer.BadParameter("name one of --csv and --json")
    bin_ms = None if bin_width is None else _bin_ms(bin_width)
    dimensions = checked_dimensions(by or [])
    if paths:
        if run is not None or refresh or profile is not None:
            raise typer.BadParameter("--run, --refresh and --profile are for the log of a run, not for files")
        from serverless_lab.coldstarts.file_reports import report_files

        found = report_files(
            paths,
            format=log_format,
            function=function or "",
            since_ms=None if since is None else _instant_ms("--since", since),
            until_ms=None if until is None else _instant_ms("--until", until),
            bin_ms=bin_ms,
            by=dimensions,
        )
    else:
        if log_format is not None or function is not None or since is not None or until is not None:
            raise typer.BadParameter("--format, --function, --since and --until are for files: name one")
        found = _run_report(run, profile, refresh, bin_ms, dimensions)
    if as_json:
        print_json(found.to_json())
    elif as_csv:
        typer.echo(found.to_csv(), nl=False)
    else:
        from serverless_lab.reporting.tables import print_report

        print_report(found, stdout_console())


def _run_report(
    run: str | None, profile: str | None, refresh: bool, bin_ms: int | None, by: tuple[str, ...]
) -> ColdStartReport:
    from serverless_lab.coldstarts.runs import build_report

    project = Project()
    folder = project.run(run)
    target = _target(project, folder, profile)
    return build_report(run_folder=folder, target=target, refresh=refresh, bin_ms=bin_ms, by=by)


def _target(project: Project, folder: Path, profile: str | None) -> Target | None:
    """Where the run was sent; None when that is gone but its log was read before.

    Another deployment's log must not be taken for it, nor the log of an emulator that was started since.

    Raises:
        NothingDeployed: the log is gone unread, or there never was one.
    """
    from serverless_lab.cli.context import embedded_instance, target_of

    manifest = read_json(folder / "manifest.json") or {}
    was_read = (folder / "invocations.parquet").is_file()
    if manifest.get("stack_name") is None:
        raise NothingDeployed(
            f"run {folder.name} was sent to a URL, {manifest.get('api_url')}: there is no log to report on",
            hint="deploy what is to be measured, and leave --url away: `lab deploy`, then `lab load`",
        )
    deployment = project.deployment_or_none()
    same = deployment is not None and all(
        getattr(deployment, name) == manifest.get(name)
        for name in ("target", "endpoint_url", "region", "instance_id")
        if name in manifest
    )
    target = target_of(project, deployment, profile=profile) if same and deployment is not None else None
    if target is not None and deployment is not None and deployment.target == "local":
        target = target if embedded_instance(project) == deployment.instance_id else None
    if target is None and not was_read:
        on = manifest.get("target")
        gone = "was in the memory of an emulator that has ended" if on == "local" else f"is not on {on} any more"
        option = "" if on == "local" else f" --target {on}"
        raise NothingDeployed(
            f"the log of run {folder.name} {gone}, and it was never read",
            hint=f"`lab deploy{option}` brings stack {manifest['stack_name']} back, then send the load again",
        )
    return target


def _bin_ms(text: str) -> int:
    from serverless_lab.scenario import duration_ms

    milliseconds = duration_ms(text)
    if milliseconds is None or milliseconds < 1:
        raise BadInput(f"--bin `{text}` is no width", hint="a number and ms, s, m, h or d: --bin 10s")
    return int(milliseconds)


def _instant_ms(option: str, text: str) -> int:
    """Epoch ms of an ISO 8601 instant (UTC where it names no zone), of epoch ms, or of a duration before now."""
    import time
    from datetime import UTC, datetime

    from serverless_lab.scenario import duration_ms

    if text.isdigit() and len(text) >= 12:
        return int(text)
    before_ms = duration_ms(text)
    if before_ms is not None:
        return int(time.time() * 1000 - before_ms)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f"{option} `{text}` is no instant", hint="for example 2026-11-24T16:00, 2026-11-24, or 2h for two hours ago"
        ) from error
    return round((found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp() * 1000)

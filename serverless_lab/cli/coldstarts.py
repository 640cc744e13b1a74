"""`lab coldstarts report`: what the REPORT lines of a run say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverless_lab.cli.options import AsJson, Profile, RunId, print_json, stdout_console
from serverless_lab.errors import BadInput, NothingDeployed
from serverless_lab.project import Project, read_json

if TYPE_CHECKING:
    from serverless_lab.targets.base import Target

app = typer.Typer(
    help="Cold starts: how many, how long, of which function, when.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def coldstarts() -> None:
    pass


@app.command()
def report(
    run: RunId = None,
    bin_width: Annotated[
        str | None, typer.Option("--bin", help="Width of a time bin, such as 10s or 5m.  [default: a round one]")
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read the log again, though it was read before.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a row per function and time bin as CSV.")] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Tell a run's cold starts, by function and by time.

    Read from the REPORT lines of the functions' logs: how many, which share of the invocations with a 95 % interval,
    how long their inits took, and what the client saw.

    Example: lab coldstarts report --bin 10s
    """
    from serverless_lab.coldstarts.runs import build_report

    if as_csv and as_json:
        raise typer.BadParameter("name one of --csv and --json")
    bin_ms = None if bin_width is None else _bin_ms(bin_width)
    project = Project()
    folder = project.run(run)
    found = build_report(run_folder=folder, target=_target(project, folder, profile), refresh=refresh, bin_ms=bin_ms)
    if as_json:
        print_json(found.to_json())
    elif as_csv:
        typer.echo(found.to_csv(), nl=False)
    else:
        from serverless_lab.reporting.tables import print_report

        print_report(found, stdout_console())


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

"""`lab coldstarts report`: what the REPORT lines of a run say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverless_lab.cli.options import AsJson, Profile, RunId, print_json, stdout_console
from serverless_lab.errors import BadInput
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
    """Read a run's REPORT lines: cold-start rates, init durations, by function and time.

    Example: lab coldstarts report --bin 10s
    """
    from serverless_lab.coldstarts.report import build_report

    if as_csv and as_json:
        raise typer.BadParameter("name one of --csv and --json")
    project = Project()
    folder = project.run(run)
    found = build_report(
        run_folder=folder,
        target=_target(project, folder, profile),
        refresh=refresh,
        bin_ms=None if bin_width is None else _bin_ms(bin_width),
    )
    if as_json:
        print_json(found.to_json())
    elif as_csv:
        typer.echo(found.to_csv(), nl=False)
    else:
        from serverless_lab.reporting.tables import print_report

        print_report(found, stdout_console())


def _target(project: Project, folder: Path, profile: str | None) -> Target | None:
    """Where the run was sent, or None when that is gone: another deployment's log must not be taken for it."""
    from serverless_lab.cli.context import target_of

    deployment = project.deployment_or_none()
    manifest = read_json(folder / "manifest.json") or {}
    if deployment is None or manifest.get("stack_name") is None:
        return None
    same = (deployment.target, deployment.endpoint_url, deployment.region) == (
        manifest.get("target"),
        manifest.get("endpoint_url"),
        manifest.get("region"),
    )
    return target_of(project, deployment, profile=profile) if same else None


def _bin_ms(text: str) -> int:
    from serverless_lab.scenario import duration_ms

    milliseconds = duration_ms(text)
    if milliseconds is None or milliseconds < 1:
        raise BadInput(f"--bin `{text}` is no width", hint="a number and ms, s, m, h or d: --bin 10s")
    return int(milliseconds)

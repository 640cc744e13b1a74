"""The `lab` command: which commands there are, and how errors are told."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from serverless_lab import __version__
from serverless_lab.cli import coldstarts, deploy, emulator, functions, load, run_all
from serverless_lab.errors import LabError

app = typer.Typer(
    name="lab",
    help="What will cold starts do to my users and my bill, before I ship?\n\n"
    "The main job: lab deploy; lab load --scenario monday-spike; lab coldstarts report",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lab {__version__}")
        raise typer.Exit


@app.callback()
def lab(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(deploy.deploy)
app.command()(load.load)
app.add_typer(coldstarts.app, name="coldstarts")
app.command("run")(run_all.run_all)
app.command()(functions.invoke)
app.command()(functions.logs)
app.command()(emulator.up)
app.command()(emulator.status)
app.command()(emulator.down)
app.command()(deploy.destroy)


def run() -> None:
    """Entry point: a LabError is told as `error:` and `hint:` with exit code 1, a bug keeps its traceback."""
    try:
        app()
    except LabError as error:
        sys.stderr.write(f"error: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does. Keep the interpreter from failing again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    run()

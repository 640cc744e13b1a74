"""The `lab` command: which commands there are, and how errors are told."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Annotated, Any

import typer

from serverless_lab import __version__
from serverless_lab.cli import coldstarts, compare, cost, deploy, doctor, emulator, functions, load, run_all
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
app.command()(cost.cost)
app.command("run")(run_all.run_all)
app.command()(compare.compare)
app.command()(functions.invoke)
app.command()(functions.logs)
app.command()(emulator.up)
app.command()(emulator.status)
app.command()(emulator.down)
app.command()(deploy.destroy)
app.command()(doctor.doctor)


# What typer raises for a wrong command line. It exports one of this family only, and which package the others are in
# depends on its version.
USAGE_ERROR = typer.BadParameter.__bases__[0]

UNWRITABLE = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ENOTDIR,
        errno.EEXIST,
    }
)
"""What the user's directory can be wrong about: not to be written, full, or `.lab` is a file."""


def run() -> None:
    """Entry point: a LabError is told as `error:` and `hint:` with exit code 1, a bug keeps its traceback."""
    sys.exit(main())


def main() -> int:
    """Run the command in `sys.argv`: its exit code. 1 is an error, 2 a wrong command line, 130 Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without our signs still shows the rest
    try:
        code = app(prog_name="lab", standalone_mode=False)
        sys.stdout.flush()
    except LabError as error:
        return _tell(error.message, error.hint)
    except typer.Abort:
        return _tell("stopped: nothing was done", None)
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does. Keep the interpreter from failing again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        return _tell(
            str(error), "lab writes to .lab/ in the working directory: work in one with room where you may write"
        )
    except Exception as error:
        if not isinstance(error, USAGE_ERROR):
            raise
        return _tell_usage(error)
    return code if isinstance(code, int) else 0


def _tell(message: str, hint: str | None) -> int:
    sys.stderr.write(f"error: {message}\n")
    if hint:
        sys.stderr.write(f"hint: {hint}\n")
    return 1


def _tell_usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    command = _command_named(sys.argv[1:]) if context is None else context.command_path
    message = str(getattr(error, "format_message", error.__str__)())
    if context is not None and message == context.get_help():
        sys.stderr.write(message + "\n")  # a group without a command: its help is the answer
    else:
        message = _in_words(error, message)
        _tell(message[:1].lower() + message[1:], f"see `{command} --help`")
    return 2


def _command_named(words: list[str]) -> str:
    """The command that a command line names, as far as it does: an option without its value leaves no context."""
    group: Any = typer.main.get_command(app)
    named = ["lab"]
    for word in words:
        group = getattr(group, "commands", {}).get(word)
        if group is None:
            break
        named.append(word)
    return " ".join(named)


WRONG = {
    "int_parsing": "is not a whole number",
    "float_parsing": "is not a number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}
"""What typer leaves to pydantic to say, whose words name no value."""


def _in_words(error: Exception, message: str) -> str:
    """`message` in words of ours, where it is about a number."""
    found: list[Any] = getattr(error.__cause__, "errors", list)()
    words = WRONG.get(found[0]["type"]) if found else None
    theirs = str(getattr(error, "message", ""))
    if words is None or not theirs:
        return message.replace("Value error, ", "")
    limits = {name: f"{value:g}" for name, value in (found[0].get("ctx") or {}).items() if name in ("ge", "le")}
    return message.replace(theirs, f"`{found[0]['input']}` {words.format(**limits)}")


if __name__ == "__main__":
    run()

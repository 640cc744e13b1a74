"""docs/commands.md: every command with its options, written from what `--help` says.

`python -m serverless_lab.cli.reference > docs/commands.md` writes it anew; a test says when that is due.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

HEADING = """# Commands

Everything `lab` can do, as `lab COMMAND --help` says it. Written by `python -m serverless_lab.cli.reference`.

Data goes to stdout, words to stderr. Every command takes `--json`. The exit code is 0; 1 with an `error:` and, where
there is a way out, a `hint:` on stderr; 2 for a command line that cannot be meant; 3 when a gate fails (gates.md); 130
after Ctrl-C. What a command remembers for the next one is in `.lab/` in the working directory.
"""


def reference() -> str:
    """The page, in Markdown."""
    from serverless_lab.cli.main import app

    parts = [HEADING]
    parts += [_section(names, command) for names, command in commands(typer.main.get_command(app), "lab")]
    return "\n".join(parts)


def commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command below `group` with its full name, in the order of the help."""
    for child, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {child}")
        else:
            yield f"{name} {child}", command


def _section(name: str, command: Any) -> str:
    words, _, example = inspect.cleandoc(command.help or "").partition("Example: ")
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option"]
    shown = [item.metavar if item.required else f"[{item.metavar or item.name.upper()}]" for item in arguments]
    lines = [f"## {name}", "", words.strip(), "", f"    {example.strip()}", ""]
    lines += [
        f"Usage: `{' '.join([name, *shown, '[OPTIONS]'])}`",
        "",
        "| option | meaning | default |",
        "|---|---|---|",
    ]
    kinds = typing.get_type_hints(command.callback)
    lines += [_row(item, _value(kinds[item.name])) for item in (*arguments, *options)]
    return "\n".join(lines) + "\n"


def _row(item: Any, value: str) -> str:
    meaning, _, default = (item.help or "").partition("[default:")
    default = default.strip().removesuffix("]")
    if not default and item.default not in (None, False):
        default = f"`{item.default}`"
    if item.param_type_name == "argument":
        names = f"`{item.metavar or item.name.upper()}`"
    else:
        names = ", ".join(f"`{name}{value}`" for name in sorted(item.opts, key=len, reverse=True))
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in (names, meaning.strip(), default)) + " |"


def _value(kind: Any) -> str:
    """What stands behind an option of this type: ` N`, ` PATH`, ` TEXT`, nothing behind a flag."""
    plain = {part for part in typing.get_args(kind) if part is not type(None)} or {kind}
    if plain == {bool}:
        return ""
    return " N" if plain <= {int, float} else " PATH" if plain == {Path} else " TEXT"


if __name__ == "__main__":
    sys.stdout.write(reference())

"""Options that several commands share, and what all commands print with.

Data goes to stdout, words to stderr; everything makes sense without colour.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

TargetName = Annotated[
    str | None, typer.Option("--target", help="local (an emulator that lab starts itself), localstack or aws.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the same data as JSON on stdout.")]
TemplatePath = Annotated[
    Path | None,
    typer.Option(
        "--template",
        help="SAM or CloudFormation template, or cdk.out, or .aws-sam/build."
        "  [default: the last one, ./template.yaml, the bundled API]",
    ),
]
StackName = Annotated[str | None, typer.Option("--stack", help="Stack name.  [default: the working directory's name]")]
Parameters = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", help="Template parameter NAME=VALUE; repeatable.")
]
Region = Annotated[str | None, typer.Option("--region", help="AWS region, for the targets that have one.")]
Profile = Annotated[
    str | None, typer.Option("--profile", help="AWS profile, for --target aws; or one with LocalStack's endpoint_url.")
]
RunId = Annotated[str | None, typer.Option("--run", help="Run id, as in .lab/runs.  [default: the last run]")]


def print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def say(text: str) -> None:
    """A line of words for the person at the terminal: stderr, so that stdout stays data."""
    sys.stderr.write(text + "\n")


PIPED_WIDTH = 120
"""Columns of a table that goes to a file or a pipe, where nobody says how wide the reader's screen is."""


def stdout_console() -> Console:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def parse_parameters(words: list[str] | None) -> dict[str, str]:
    """`["A=1"]` -> `{"A": "1"}`.

    Raises:
        BadInput: a word without `=`.
    """
    from serverless_lab.errors import BadInput

    found = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise BadInput(f"--parameter `{word}` is not NAME=VALUE", hint="for example: --parameter InitStyle=lazy")
        found[name] = value
    return found

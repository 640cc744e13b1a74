"""Options that several commands share, and what all commands print with.

Data goes to stdout, words to stderr; everything makes sense without colour.
"""

from __future__ import annotations

import json
import re
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


QUANTITY = re.compile(r"(\d[\d,_]*(?:\.\d+)?(?:e\d+)?)\s*([kMG]?)", re.IGNORECASE)
FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}


def quantity(text: str) -> float:
    """How many requests: `10000000`, `10,000,000`, `1e7`, `10M`, `2.5k`.

    Raises:
        typer.BadParameter: it says something else.
    """
    match = QUANTITY.fullmatch(str(text).strip())
    if match is None:
        raise typer.BadParameter(f"`{text}` is no number of requests: 10000000 or 10M")
    return float(match[1].replace(",", "").replace("_", "")) * FACTORS[match[2].lower()]


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

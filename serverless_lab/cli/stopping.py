"""What Ctrl-C leaves behind, said where it is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from serverless_lab.cli.options import say

STOPPED = 130
"""The exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""


@contextmanager
def if_stopped(sentence: str) -> Iterator[None]:
    """Say `sentence` when the user stops what is inside, and end the command."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped: {sentence}")
        raise typer.Exit(STOPPED) from None

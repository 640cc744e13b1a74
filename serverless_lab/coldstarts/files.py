"""Log files, folders of them, and standard input -> invocations.

`read_paths` is the way in. Files are told apart by what is in them, never by their names; `format` forces one reading.
What cannot be read is no error: it is counted, with its file and line. A path that is not there is one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from serverless_lab.coldstarts.invocations import Invocations, build_invocations
from serverless_lab.coldstarts.platform_events import read_event
from serverless_lab.coldstarts.sources import LogEvent, read_lines
from serverless_lab.errors import BadInput, ReportError

STDIN: Literal["-"] = "-"

FORMATS: tuple[str, ...] = ("text",)
"""The names that `format` takes."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One place that could not be read. `line` counts from 1, in the file as it is when unpacked; 0 is the whole file.

    `text` is the beginning of what stands there, at most 200 characters.
    """

    file: str
    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class FileReading:
    """What the files told. `formats` has every file that was read and its format, in the order they were read."""

    invocations: Invocations
    unreadable: tuple[Unreadable, ...]
    formats: dict[str, str]


def read_paths(paths: Sequence[Path | Literal["-"]], *, format: str | None = None, function: str = "") -> FileReading:
    """The invocations in files of log lines.

    Args:
        paths: files, folders (walked, in the order of their names) and `-` for standard input.
        format: one of `FORMATS`, where a file is not to be judged by its content.
        function: the function's name where the files do not say it.

    Raises:
        ReportError: a path is not there or may not be read.
        BadInput: no path, or no such format.
    """
    if not paths:
        raise BadInput("no file was named", hint="name files or folders, or - for standard input")
    if format is not None and format not in FORMATS:
        raise BadInput(f"`{format}` is no format of log files", hint=f"one of: {', '.join(FORMATS)}")
    unreadable: list[Unreadable] = []
    formats: dict[str, str] = {}
    events: list[LogEvent] = []
    for name, stream in _open_all(paths):
        with stream:
            formats[name] = format or "text"
            for number, line in enumerate(stream, 1):
                for event in read_lines([line], function=function):
                    events.append(event)
                    if read_event(event.message) is None:
                        unreadable.append(
                            Unreadable(name, number, line[:200].rstrip(), "a platform line we cannot read")
                        )
    return FileReading(build_invocations(events), tuple(unreadable), formats)


def _open_all(paths: Sequence[Path | Literal["-"]]) -> Iterator[tuple[str, IO[str]]]:
    for path in paths:
        if path == STDIN:
            yield STDIN, sys.stdin
            continue
        for file in _walk(Path(path)):
            try:
                yield str(file), file.open(encoding="utf-8", errors="replace")
            except OSError as error:
                raise ReportError(
                    f"{file} cannot be read: {error.strerror}", hint="give the path of a log file"
                ) from error


def _walk(path: Path) -> Iterable[Path]:
    return sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]

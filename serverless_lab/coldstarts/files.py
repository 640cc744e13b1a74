"""Log files, folders of them, and standard input -> invocations.

`read_paths` is the way in. Files are told apart by what is in them, never by their names; `format` forces one reading.
What cannot be read is no error: it is counted, with its file and line. A path that is not there is one.

An export to S3 says its stream in the path alone: `<prefix>/<task id>/<stream, its / turned into ->/000000.gz`
(documented: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/S3Export.html).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from serverless_lab.coldstarts.emulated import without_emulated
from serverless_lab.coldstarts.formats import FORMATS, read_log
from serverless_lab.coldstarts.formats_text import Unreadable, Where
from serverless_lab.coldstarts.invocations import Invocations, build_invocations
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.errors import BadInput, ReportError

__all__ = ["FORMATS", "STDIN", "FileReading", "Unreadable", "read_paths"]

STDIN: Literal["-"] = "-"

_CHUNK = 262_144


@dataclass(frozen=True)
class FileReading:
    """What the files told. `formats` has every log that was read and its format, in the order they were read.

    `unreadable` has one entry for each place that could not be read, and one for each file that is no log.
    """

    invocations: Invocations
    unreadable: tuple[Unreadable, ...]
    formats: dict[str, str]


def read_paths(paths: Sequence[Path | Literal["-"]], *, format: str | None = None, function: str = "") -> FileReading:
    """The invocations in log files.

    Args:
        paths: files, folders (walked, in the order of their names; hidden files are passed over) and `-` for standard
            input. Files of one log stream may be several, and in any order.
        format: one of `FORMATS`, where a file is not to be judged by its content.
        function: the function's name where the files do not say it.

    Raises:
        ReportError: a path is not there or may not be read, or a folder holds no file.
        BadInput: no path, or no such format.
    """
    if not paths:
        raise BadInput("no file was named", hint="name files or folders, or - for standard input")
    if format is not None and format not in FORMATS:
        raise BadInput(f"`{format}` is no format of log files", hint=f"one of: {', '.join(FORMATS)}")
    unreadable: list[Unreadable] = []
    formats: dict[str, str] = {}
    events: list[LogEvent] = []
    for path in paths:
        for name, stream, where in _open(path, function):
            with nullcontext(stream) if name == STDIN else stream:
                try:
                    found, items = read_log(_chunks(stream), where, format)
                    if found is not None:
                        formats[name] = found
                    for item in items:
                        if isinstance(item, Unreadable):
                            unreadable.append(item)
                        else:
                            events.append(item)
                except OSError as error:
                    raise _cannot_read(name, error) from error
    return FileReading(without_emulated(build_invocations(events)), tuple(unreadable), formats)


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _open(path: Path | Literal["-"], function: str) -> Iterator[tuple[str, IO[bytes], Where]]:
    """(name, open stream, what the path says) of a path's files."""
    group = f"/aws/lambda/{function}" if function else ""
    if path == STDIN:
        yield STDIN, sys.stdin.buffer, Where(STDIN, group)
        return
    root = Path(path)
    for file in _files(root):
        try:
            stream = file.open("rb")
        except OSError as error:
            raise _cannot_read(str(file), error) from error
        told_group, told_stream = names_in_path(file, root)
        yield str(file), stream, Where(str(file), told_group or group, told_stream)


def _files(root: Path) -> list[Path]:
    if not root.is_dir():
        return [root]
    files = sorted(
        file
        for file in root.rglob("*")
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(root).parts)
        and file.name != _EXPORT_PROBE
    )
    if not files:
        raise ReportError(f"{root} holds no file", hint="name a folder with log files in it")
    return files


def _cannot_read(name: str, error: OSError) -> ReportError:
    return ReportError(f"{name} cannot be read: {error.strerror or error}", hint="give the path of a log file")


# --- what a path says ------------------------------------------------------------------------------------------------

_EXPORT_PROBE = "aws-logs-write-test"  # an export task writes it to see whether it may; it holds no log
_EXPORT_PREFIX = "exportedlogs"  # the prefix that an export task has when none is given
_TASK_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STREAM_FOLDER = re.compile(r"(\d{4})-(\d\d)-(\d\d)-([^\[\]]*\[[^\[\]]+\][0-9a-f]{32})")


def names_in_path(file: Path, root: Path) -> tuple[str, str]:
    """(log group, log stream) that the path of a file found below `root` says; empty where it says none.

    The stream is that of an export's folder. The group is Lambda's where the path names it (`aws/lambda/<function>`),
    or it stands for the folder that holds the export task, when that is below `root` and somebody gave it a name.
    """
    parts = file.parent.parts
    stream = ""
    at = len(parts)
    if parts and (found := _STREAM_FOLDER.fullmatch(parts[-1])) is not None:
        stream = f"{found[1]}/{found[2]}/{found[3]}/{found[4]}"
        at -= 1
    has_task = at > 0 and _TASK_ID.fullmatch(parts[at - 1]) is not None
    above = parts[: at - 1] if has_task else parts[:at]
    if not stream and not has_task:
        return "", ""
    for i in range(len(above) - 2):
        if above[i : i + 2] == ("aws", "lambda"):
            return f"/aws/lambda/{above[i + 2]}", stream
    below = len(above) - len(root.parts if root.is_dir() else root.parent.parts)
    if has_task and below > 0 and above[-1] != _EXPORT_PREFIX:
        return f"/aws/lambda/{above[-1].removeprefix('aws-lambda-')}", stream
    return "", stream

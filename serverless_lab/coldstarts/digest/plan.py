"""Which files there are, which of them are read here, and in what pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from serverless_lab.coldstarts.digest.blocks import Part
from serverless_lab.coldstarts.digest.swar import STAMP_SIZE, instants, windows
from serverless_lab.coldstarts.files import _files as files_below
from serverless_lab.coldstarts.files import names_in_path
from serverless_lab.coldstarts.formats_packed import GZIP, ZSTD, Unpacked
from serverless_lab.coldstarts.formats_text import TextReader, Where

PIECE_BYTES = 64 << 20
"""Plain files are cut into pieces of this size, so that several processes may read one."""

_HEAD = 4096
_LINES = 20


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file to be read, and what is known of it.

    `number` is its place among the pieces of all streams, `file_number` that of its file in the input.
    `begins_stream` and `ends_stream` say whether nothing of its stream comes before, or after, in the input.
    """

    number: int
    file_number: int
    part: Part
    log_group: str
    log_stream: str
    begins_stream: bool
    ends_stream: bool


@dataclass(frozen=True)
class Plan:
    """`tasks` are pieces that one process reads, in the order of the input. `others` are the numbers of files for the
    general reader, with the file and the path that it was found below.

    `some_ms` is the instant of some line, epoch ms; None where no file is read here.
    """

    tasks: tuple[tuple[Piece, ...], ...]
    others: tuple[tuple[int, Path, Path], ...]
    some_ms: int | None
    bytes_here: int
    bytes_others: int


def make_plan(paths: Sequence[Path], function: str, *, piece_bytes: int = PIECE_BYTES, may_split: bool = True) -> Plan:
    """The plan for files and folders.

    Args:
        function: the function's name where a path does not say it.
        may_split: whether pieces of one stream may be read apart; False costs memory for a stream out of order.

    Raises:
        ReportError: a path is not there or may not be read.
    """
    group = f"/aws/lambda/{function}" if function else ""
    files: dict[tuple[str, str], list[tuple[int, Path, int, bool]]] = {}
    others: list[tuple[int, Path, Path]] = []
    count = 0
    some_ms: int | None = None
    bytes_here = bytes_others = 0
    for root in paths:
        for file in files_below(root):
            number, count = count, count + 1
            size = file.stat().st_size
            head, is_packed = _head(file)
            stamp_ms = _export_ms(head)
            if stamp_ms is None:
                others.append((number, file, root))
                bytes_others += size
                continue
            some_ms = stamp_ms if some_ms is None else some_ms
            bytes_here += size
            told_group, told_stream = names_in_path(file, root)
            files.setdefault((told_group or group, told_stream), []).append((number, file, size, is_packed))
    pieces: list[Piece] = []
    tasks: list[list[Piece]] = []
    filled = piece_bytes
    for (log_group, log_stream), of_stream in files.items():
        cut = [
            (number, part, size)
            for number, file, whole, is_packed in of_stream
            for part, size in _parts(file, whole, is_packed, piece_bytes)
        ]
        for at, (number, part, size) in enumerate(cut):
            piece = Piece(len(pieces), number, part, log_group, log_stream, at == 0, at == len(cut) - 1)
            pieces.append(piece)
            if filled + size > piece_bytes and (may_split or at == 0):
                tasks.append([])
                filled = 0
            tasks[-1].append(piece)
            filled += size
    return Plan(tuple(tuple(task) for task in tasks), tuple(others), some_ms, bytes_here, bytes_others)


def _parts(file: Path, size: int, is_packed: bool, piece_bytes: int) -> Iterator[tuple[Part, int]]:
    if is_packed or size <= piece_bytes * 3 // 2:
        # What is packed is some times larger when it is read.
        yield Part(file, is_packed=is_packed), size * (6 if is_packed else 1)
        return
    count = -(-size // piece_bytes)
    edges = [size * at // count for at in range(count + 1)]
    for at, (begin, end) in enumerate(pairwise(edges)):
        yield Part(file, begin, None if at == count - 1 else end), end - begin


def _head(file: Path) -> tuple[bytes, bool]:
    """The first bytes of the log in a file, and whether it is packed."""
    with file.open("rb", buffering=0) as stream:
        head = stream.read(_HEAD)
    if not head.startswith((GZIP, ZSTD)):
        return head, False
    return next(iter(Unpacked([head])), b""), True


def _export_ms(head: bytes) -> int | None:
    """The instant in the first line of an export's text; None for anything else.

    Events in Lambda's JSON format are left to the general reader, whatever stands before them.
    """
    lines = head.split(b"\n")
    line = lines[0]
    if len(line) <= STAMP_SIZE or line[STAMP_SIZE : STAMP_SIZE + 1] != b" " or b"\0" in head or b'"platform.' in head:
        return None
    buffer = np.frombuffer(line[:STAMP_SIZE].ljust(64, b"\0"), np.uint8)
    window = windows(buffer, np.zeros(1, np.int64), 3)
    ms, is_instant = instants(window[:, 0], window[:, 1], window[:, 2])
    return int(ms[0]) if is_instant[0] and _is_log(lines) else None


def _is_log(lines: list[bytes]) -> bool:
    """Whether the general reader would take a file that begins so for a log."""
    where = Where()
    reader = TextReader(where)
    for number, line in enumerate(lines[:_LINES], 1):
        for _ in reader.feed(number, line.decode("utf-8", "replace") + "\n"):
            pass
        if where.found:
            return True
    return False

"""Which files there are, which of them are read here, and in what pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from serverless_lab.coldstarts.digest.blocks import MARGIN, Part
from serverless_lab.coldstarts.digest.chars import NEVER, STAMP_SIZE, Text, minute_ms, second_ms
from serverless_lab.coldstarts.digest.json_lines import event_ms
from serverless_lab.coldstarts.files import _files as files_below
from serverless_lab.coldstarts.files import names_in_path
from serverless_lab.coldstarts.formats_json import is_json, read_json
from serverless_lab.coldstarts.formats_packed import GZIP, ZSTD, Unpacked
from serverless_lab.coldstarts.formats_text import TextReader, Where

PIECE_BYTES = 64 << 20
"""Plain files are cut into pieces of this size, so that several processes may read one."""

TEXT, JSON = "text", "json"
"""What is read here of `formats.FORMATS`."""

_HEAD = 65_536  # the general reader tells the format by no less
_LOOK = 4096
_LINES = 20
_PACKED_TIMES = 6  # about how much larger what is packed is when it is read


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file to be read, and what is known of it.

    `number` is its place among the pieces of all streams, `file_number` that of its file in the input.
    `begins_stream` and `ends_stream` say whether nothing of its stream comes before, or after, in the input.
    """

    number: int
    file_number: int
    part: Part
    format: str
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
    files: dict[tuple[str, str], list[_File]] = {}
    count = 0
    for root in paths:
        for file in files_below(root):
            number, count = count, count + 1
            size = file.stat().st_size
            head, is_packed = _head(file)
            told_group, told_stream = names_in_path(file, root)
            format = JSON if head.startswith(b'{"') else TEXT
            stamp_ms = _export_ms(head) if format == TEXT else _json_ms(head, told_stream)
            here = _File(number, file, root, size, is_packed, format, stamp_ms)
            files.setdefault((told_group or group, told_stream), []).append(here)
    others: list[_File] = []
    for (log_group, log_stream), of_stream in list(files.items()):
        unknown = [file for file in of_stream if file.stamp_ms is None]
        if unknown and log_stream:
            # One reader reads all of an environment's stream.
            unknown = files.pop((log_group, log_stream))
        else:
            files[log_group, log_stream] = [file for file in of_stream if file.stamp_ms is not None]
        others.extend(unknown)
    others.sort(key=lambda file: file.number)
    # Lines of JSON name their streams. Then a stream may begin anywhere, and be in any file.
    told_by_lines = any(file.format == JSON for of_stream in files.values() for file in of_stream)
    pieces: list[Piece] = []
    tasks: list[list[Piece]] = []
    filled = piece_bytes
    together = list(files.items())
    if told_by_lines:
        each_alone = [(name, [file]) for name, of_stream in together for file in of_stream]
        together = sorted(each_alone, key=lambda item: item[1][0].number)
    for (log_group, log_stream), of_stream in together:
        cut = [(each, part, size) for each in of_stream for part, size in _parts(each, piece_bytes)]
        for at, (each, part, size) in enumerate(cut):
            begins, ends = at == 0 and not told_by_lines, at == len(cut) - 1 and not told_by_lines
            piece = Piece(len(pieces), each.number, part, each.format, log_group, log_stream, begins, ends)
            pieces.append(piece)
            if filled + size > piece_bytes and (may_split or (at == 0 and not told_by_lines) or not tasks):
                tasks.append([])
                filled = 0
            tasks[-1].append(piece)
            filled += size
    return Plan(
        tasks=tuple(tuple(task) for task in tasks),
        others=tuple((file.number, file.path, file.root) for file in others),
        some_ms=next((file.stamp_ms for of_stream in files.values() for file in of_stream), None),
        bytes_here=sum(file.size for of_stream in files.values() for file in of_stream),
        bytes_others=sum(file.size for file in others),
    )


@dataclass(frozen=True, slots=True)
class _File:
    """`stamp_ms` is an instant in it; None where it is not read here."""

    number: int
    path: Path
    root: Path
    size: int
    is_packed: bool
    format: str
    stamp_ms: int | None


def _parts(file: _File, piece_bytes: int) -> Iterator[tuple[Part, int]]:
    """Parts of a file, each with how many bytes there are about to read."""
    if file.is_packed or file.size <= piece_bytes * 3 // 2:
        yield Part(file.path, is_packed=file.is_packed), file.size * (_PACKED_TIMES if file.is_packed else 1)
        return
    count = -(-file.size // piece_bytes)
    edges = [file.size * at // count for at in range(count + 1)]
    for at, (begin, end) in enumerate(pairwise(edges)):
        yield Part(file.path, begin, None if at == count - 1 else end), end - begin


def _head(file: Path) -> tuple[bytes, bool]:
    """The first bytes of the log in a file, and whether it is packed."""
    with file.open("rb", buffering=0) as stream:
        head = stream.read(_HEAD)
    if not head.startswith((GZIP, ZSTD)):
        return head, False
    return next(iter(Unpacked([head])), b""), True


def _export_ms(head: bytes) -> int | None:
    """The instant of the first event in an export's text; None for anything else.

    Events in Lambda's JSON format are left to the general reader, whatever stands before them, and so are the lines of
    the module that `lab deploy` adds to functions.
    """
    if is_json(head.decode("utf-8", "replace")):
        return None  # also where something else stands before it
    head = head[:_LOOK]
    if b"\0" in head or b'"platform.' in head or b'"serverless-lab.' in head:
        return None
    lines = head.split(b"\n")[:_LINES]
    stamped = [line[: STAMP_SIZE + 1] for line in lines if line[STAMP_SIZE : STAMP_SIZE + 1] == b" "]
    if not stamped or not _is_log(lines):
        return None
    for stamp in stamped:
        text = Text(stamp + bytes(MARGIN))
        minute, rest = minute_ms(text.address, 0), second_ms(text.address, 16)
        if minute != NEVER and rest >= 0:
            return minute + rest
    return None


def _json_ms(head: bytes, log_stream: str) -> int | None:
    """The instant of the first event in lines of JSON; None for anything else.

    What Lambda logs in JSON itself is left to the general reader, as in `_export_ms`.
    """
    head = head[:_LOOK]
    whole, _, _ = head.rpartition(b"\n")
    if b"\0" in head or b'"platform.' in head or b'"serverless-lab.' in head or not whole:
        return None
    where = Where(log_stream=log_stream)
    for _ in read_json([whole.decode("utf-8", "replace")], where):
        pass
    return event_ms(whole.split(b"\n", 1)[0]) if where.found else None


def _is_log(lines: list[bytes]) -> bool:
    """Whether the general reader would take a file that begins so for a log."""
    where = Where()
    reader = TextReader(where)
    for number, line in enumerate(lines, 1):
        for _ in reader.feed(number, line.decode("utf-8", "replace") + "\n"):
            pass
        if where.found:
            return True
    return False

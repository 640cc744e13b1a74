"""The formats of log files: told apart by what is in them, read into log events.

    text     lines, whatever AWS's tools put before them                     formats_text.py
    csv      tables of the CloudWatch console and of Logs Insights           formats_csv.py, formats_insights.py
    json     everything that AWS's APIs answer, and what subscriptions send  formats_json.py
    base64   LogResult, or the data of a subscription, on its own            formats_json.py

Each may be packed with gzip or zstd, once or twice, in several members (formats_packed.py). Text is UTF-8, or UTF-16
with a byte order mark: what PowerShell writes.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

from serverless_lab.coldstarts.formats_csv import header_of, read_csv
from serverless_lab.coldstarts.formats_json import decode_base64, is_json, read_any, read_json
from serverless_lab.coldstarts.formats_packed import GZIP, Unpacked
from serverless_lab.coldstarts.formats_text import CUT, Unreadable, Where, read_text
from serverless_lab.coldstarts.sources import LogEvent

FORMATS: tuple[str, ...] = ("text", "csv", "json", "base64")
"""The names that `--format` takes."""

_HEAD = 65_536

# What people have in folders beside logs, by its first bytes.
_NO_LOGS = {
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"PAR1": "a Parquet file",
    b"BZh": "packed with bzip2: unpack it first",
    b"\xfd7zXZ": "packed with xz: unpack it first",
    b"%PDF": "a PDF file",
    b"\x89PNG": "a picture",
    b"SQLite format 3": "a database",
}
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{24,}={0,2}\s*")


def read_log(
    chunks: Iterable[bytes], where: Where, format: str | None = None
) -> tuple[str | None, Iterator[LogEvent | Unreadable]]:
    """(the format, the events and what could not be read); the format is None when this is no log at all.

    Args:
        chunks: the file's bytes in pieces of any size.
        format: one of `FORMATS`, where the content is not to decide.
    """
    unpacked = Unpacked(chunks)
    pieces = iter(unpacked)
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD:
            break
    if not head:
        reason = unpacked.problem or "the file is empty"
        return None, iter([where.unreadable(0, "", reason)])
    encoding = _encoding(head)
    if encoding is None:
        reason = next((told for magic, told in _NO_LOGS.items() if head.startswith(magic)), "binary data")
        return None, iter([where.unreadable(0, "", f"no log: {reason}")])
    text = codecs.getincrementaldecoder(encoding)("replace")
    first = text.decode(head)
    found = format or detect(first)
    return found, _read(found, first, (text.decode(piece) for piece in pieces), unpacked, where)


def detect(head: str) -> str:
    """The format of text that begins so."""
    if is_json(head):
        return "json"
    first_line = head.lstrip("\ufeff\r\n").split("\n", 1)[0]
    if header_of(first_line) is not None:
        return "csv"
    if _BASE64.fullmatch(head) and _decodes_to_a_log(head):
        return "base64"
    return "text"


def _decodes_to_a_log(text: str) -> bool:
    compact = "".join(text.split())
    data = decode_base64(compact[: len(compact) // 4 * 4][:4096]) or b""
    return data.startswith(GZIP) or (b"RequestId: " in data and b"\x00" not in data) or b'"platform.' in data


def _encoding(head: bytes) -> str | None:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # CloudWatch's events are UTF-8 text, and text has no zeros; without a mark, UTF-16 has them in every other place.
    low, high = head[:4096:2], head[1:4096:2]
    for zeros, others, found in ((high, low, "utf-16-le"), (low, high, "utf-16-be")):
        if zeros.count(0) > 0.9 * len(zeros) and not others.count(0) and zeros:
            return found
    return None if b"\x00" in head[:4096] or head.startswith(tuple(_NO_LOGS)) else "utf-8-sig"


def _read(
    format: str, first: str, others: Iterator[str], unpacked: Unpacked, where: Where
) -> Iterator[LogEvent | Unreadable]:
    def whole() -> Iterator[str]:
        yield first
        yield from others

    is_told = has_event = False  # whether anything was said of this file, or found in it
    match format:
        case "csv":
            reader = read_csv(whole(), where)
        case "json":
            reader = read_json(whole(), where)
        case "base64":
            reader = _read_base64(whole(), where)
        case _:
            reader = read_text(whole(), where)
    for item in reader:
        is_told = is_told or isinstance(item, Unreadable)
        has_event = has_event or not isinstance(item, Unreadable)
        yield item
    if unpacked.problem is not None:
        yield where.unreadable(0, "", unpacked.problem)
    elif not is_told and (not where.found or (where.foreign_line and not has_event)):
        yield _no_log(first, where)


def _no_log(first: str, where: Where) -> Unreadable:
    line = first.lstrip("\ufeff\r\n").split("\n", 1)[0]
    if where.foreign_line:
        reason = "no log that we know: platform lines stand behind something else, first in this line"
        return where.unreadable(where.foreign_line, "", reason)
    return where.unreadable(0, line, "no log: nothing in it was written by Lambda or by a tool that reads its logs")


def _read_base64(chunks: Iterator[str], where: Where) -> Iterator[LogEvent | Unreadable]:
    printed = "".join(chunks)
    text = "".join(printed.split())
    is_cut = len(text) % 4 != 0
    data = decode_base64(text[: len(text) // 4 * 4])
    if data is None:
        yield where.unreadable(1, text, "not base64")
        return
    unpacked = Unpacked([data])
    # Padding, or a line end behind it, shows that it is whole.
    yield from read_any(b"".join(unpacked), where, ends_there=not is_cut and printed.endswith(("\n", "=")))
    if is_cut:
        yield where.unreadable(1, text[-20:], CUT)
    elif unpacked.problem is not None:
        yield where.unreadable(1, text, unpacked.problem)

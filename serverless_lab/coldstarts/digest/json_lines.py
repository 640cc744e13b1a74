"""Blocks of JSON lines -> what they are: one event of FilterLogEvents or GetLogEvents in each.

    {"logStreamName":"2025/01/01/[$LATEST]…","timestamp":1735689600000,"message":"REPORT …","eventId":"…"}

A line that has nothing but the members of such an event, in any order, is read by itself: each of its characters is
looked at, so that it is JSON for sure. A message of an application is passed over. Any other line that is a JSON
value of its own goes through the general reader. What is none may go on over lines, so then the general reader has
everything.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Integers
from serverless_lab.coldstarts.digest.blocks import Block
from serverless_lab.coldstarts.digest.chars import EPOCH_MS_SIZE, NEVER, NONE, begins_with, epoch_ms, label, word
from serverless_lab.coldstarts.digest.json_text import QUOTE, end_of_plain, end_of_string, may_tell
from serverless_lab.coldstarts.digest.kinds import INIT_START, REPORT, RESTORE_START, START, Codes
from serverless_lab.coldstarts.digest.lines import ODD, PASSED, Columns, Found, NotServed
from serverless_lab.coldstarts.digest.machine import char_at, compiled, inlined, put_integer, put_word, word_at
from serverless_lab.coldstarts.digest.names import UNKNOWN, Names, number_of
from serverless_lab.coldstarts.digest.platform_text import (
    NOT_ASKED,
    OUTCOME,
    REPORT_SIZE,
    end_of_end,
    is_init_start,
    is_restore_start,
    read_report,
    read_start,
    version_word,
)
from serverless_lab.coldstarts.formats_json import read_json, read_value
from serverless_lab.coldstarts.formats_text import MARK, Unreadable, Where
from serverless_lab.coldstarts.sources import LogEvent

LINE_BYTES_MAX = 1 << 20
"""A longer line is for the general reader."""

ODD_MAX = 1_000
ODD_SHARE_MAX = 0.5
"""So many lines of a block may be for the general reader; with more of them it reads everything, no slower."""


@dataclass
class JsonLines:
    """Reads the blocks of one file, one after the other."""

    where: Where
    reports_only: bool = False
    _names: Names = field(default_factory=Names)

    def read(self, block: Block) -> Found:
        """Everything that a block tells.

        Raises:
            NotServed: the general reader must read this, and all that stands before it.
        """
        count = len(block.starts)
        columns = Columns.of(count)
        what = columns.what
        stream, quotes = np.zeros((2, count), np.int64)
        self._read_lines(block, columns, stream, quotes)
        report_at, start_at = np.flatnonzero(what == REPORT), np.flatnonzero(what == START)
        columns.ask(block, report_at, quotes, tab=2)
        odd = what == ODD
        odd[count - block.is_cut :] = True
        what[odd] = PASSED
        found, unreadable = self._read_others(block, np.flatnonzero(odd))
        if self.reports_only:
            what[what != REPORT] = PASSED
        at = np.flatnonzero(what)
        return Found(
            at,
            what[at],
            columns.ms[at],
            columns.rows(report_at, start_at),
            found,
            unreadable,
            stream[at],
            self._names.told,
        )

    def _read_lines(self, block: Block, columns: Columns, stream: Integers, quotes: Integers) -> None:
        names, text = self._names, block.text
        if not names.told:
            names.add(self.where.log_stream)
        line = report = start = 0
        what, ms, addresses = columns.what, columns.ms, columns.addresses
        while line < len(block.starts):
            line, report, start, name_at, name_end = _read_lines(
                text.address,
                block.starts,
                block.ends,
                line,
                report,
                start,
                *names.table,
                what,
                ms,
                stream,
                quotes,
                *addresses,
            )
            if name_end > name_at:
                names.add(text.chars[name_at:name_end].tobytes().decode("ascii"))

    def _read_others(self, block: Block, at: Integers) -> tuple[list[tuple[int, LogEvent]], list[Unreadable]]:
        events: list[tuple[int, LogEvent]] = []
        unreadable: list[Unreadable] = []
        if len(at) > max(ODD_MAX, ODD_SHARE_MAX * len(block.starts)):
            raise NotServed
        for line in at.tolist():
            raw = block.line(line)
            is_last = block.is_cut and line == len(block.starts) - 1
            told = _read_line(raw, self.where, block.first_line + line + 1, is_last)
            if len(told) > 1:
                raise NotServed
            for item in told:
                if isinstance(item, LogEvent):
                    events.append((line, item))
                else:
                    unreadable.append(item)
        return events, unreadable


def _read_line(raw: bytes, where: Where, number: int, is_last: bool) -> list[LogEvent | Unreadable]:
    """What the general reader says of one line, which must need no other one."""
    if len(raw) > LINE_BYTES_MAX:
        raise NotServed
    text = raw.decode("utf-8", "replace")
    if raw.startswith(b'{"'):
        if is_last:
            told = list(read_json([text], where))
            return [replace(item, line=number) if isinstance(item, Unreadable) else item for item in told]
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise NotServed from None
        return list(read_value(value, where, number))
    if raw.strip() and (is_last or not _TEXT.match(raw) or MARK.search(text) or b"\x1b" in raw):
        raise NotServed
    return []


def event_ms(line: bytes) -> int | None:
    """Epoch ms of the event in a line that may be read here; None for any other line."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not event.keys() <= _MEMBERS or not isinstance(event.get("message"), str):
        return None
    ms = event.get("timestamp")
    return ms if isinstance(ms, int) and len(str(ms)) == EPOCH_MS_SIZE else None


_MEMBERS = {"timestamp", "message", "logStreamName", "ingestionTime", "eventId"}


# Text that begins no JSON value and tells nothing.
_TEXT = re.compile(rb"(?!REPORT - |END Duration:)(?:[\[{]?[A-Za-z]|[0-9])")

_TIMESTAMP, _MESSAGE, _STREAM = label('"timestamp":'), label('"message":'), label('"logStreamName":')
_INGESTION, _EVENT_ID = label('"ingestionTime":'), label('"eventId":')
_IS_TIMESTAMP, _IS_MESSAGE, _IS_STREAM, _IS_INGESTION, _IS_EVENT_ID = 1, 2, 4, 8, 16

_REPORT_HEAD, _START_HEAD, _END_HEAD = word("REPORT R"), word("START Re"), word("END Requ")
_INIT_HEAD, _RESTORE_HEAD = word("INIT_STA"), word("RESTORE_")


@compiled
def _read_lines(
    text: int,
    starts: Integers,
    ends: Integers,
    line: int,
    report: int,
    start: int,
    names: int,
    name_ends: int,
    name_slots: int,
    last_slot: int,
    what: Codes,
    ms: Integers,
    stream: Integers,
    quotes: Integers,
    reports: int,
    report_ids: int,
    start_ids: int,
    versions: int,
) -> tuple[int, int, int, int, int]:
    """Tells each line from `line` on, into the arrays from `what` on. There are `report` and `start` rows in them.

    Where it got to: to the end, or to the line of a stream whose name is not in the table; the rows that there are
    then, and where that name begins and ends.
    """
    while line < len(starts):
        at, end = starts[line], ends[line]
        found, seen, of_stream, is_whole = PASSED, 0, 0, char_at(text, at) == 123
        at += 1
        while is_whole:
            initial = char_at(text, at + 1)
            if initial == 116 and begins_with(text, at, _TIMESTAMP):
                member = _IS_TIMESTAMP
                at += _TIMESTAMP.size
                at += char_at(text, at) == 32
                ms[line], behind = epoch_ms(text, at), at + EPOCH_MS_SIZE
                is_whole = ms[line] != NEVER
            elif initial == 109 and begins_with(text, at, _MESSAGE):
                member = _IS_MESSAGE
                at += _MESSAGE.size
                at += char_at(text, at) == 32
                found, behind = _read_message(text, at + 1, reports, report_ids, report, start_ids, versions, start)
                quotes[line] = behind
                is_whole = char_at(text, at) == QUOTE and behind >= 0
                behind += 1
            elif initial == 108 and begins_with(text, at, _STREAM):
                member = _IS_STREAM
                at += _STREAM.size
                at += char_at(text, at) == 32
                behind = end_of_plain(text, at + 1) if char_at(text, at) == QUOTE else -1
                is_whole = behind >= 0
                if behind > at + 1:
                    of_stream = number_of(text, at + 1, behind - at - 1, names, name_ends, name_slots, last_slot)
                    if of_stream == UNKNOWN:
                        return line, report, start, at + 1, behind
                behind += 1
            elif initial == 105 and begins_with(text, at, _INGESTION):
                member = _IS_INGESTION
                at += _INGESTION.size
                at += char_at(text, at) == 32
                is_whole, behind = epoch_ms(text, at) != NEVER, at + EPOCH_MS_SIZE
            elif initial == 101 and begins_with(text, at, _EVENT_ID):
                member = _IS_EVENT_ID
                at += _EVENT_ID.size
                at += char_at(text, at) == 32
                behind = end_of_plain(text, at + 1) + 1 if char_at(text, at) == QUOTE else 0
                is_whole = behind > 0
            else:
                is_whole = False
                break
            is_whole = is_whole and not seen & member
            seen |= member
            at = behind
            if char_at(text, at) == 125:
                at += 1
                break
            is_whole = is_whole and char_at(text, at) == 44
            at += 1
            at += char_at(text, at) == 32
        if not is_whole or at != end or seen & _NEEDED != _NEEDED:
            found = ODD
        what[line] = found
        stream[line] = of_stream
        report += found == REPORT
        start += found == START
        line += 1
    return line, report, start, 0, 0


_NEEDED = _IS_TIMESTAMP | _IS_MESSAGE


@inlined
def _read_message(
    text: int,
    at: int,
    reports: int,
    report_ids: int,
    report: int,
    start_ids: int,
    versions: int,
    start: int,
) -> tuple[int, int]:
    """What the message is whose first character stands at an offset, and where the quote behind it is; -1 for none."""
    head = word_at(text, at)
    if head == _REPORT_HEAD:
        behind = read_report(text, at, 2, reports, report_ids, report)
        quote = end_of_string(text, max(behind, at))
        if behind < 0:
            return ODD, quote
        # Nearly all end with a tab and a line end.
        plain_at = behind + 2 if char_at(text, behind + 1) == 116 and char_at(text, behind) == 92 else behind
        if plain_at + 2 != quote or char_at(text, plain_at) != 92 or char_at(text, plain_at + 1) != 110:
            put_integer(reports, report * REPORT_SIZE + OUTCOME, NOT_ASKED)
        return REPORT, quote
    if head == _START_HEAD:
        version_at = read_start(text, at, 2, start_ids, start)
        quote = end_of_string(text, max(version_at, at))
        if version_at < 0 or quote < 0 or char_at(text, quote - 2) != 92 or char_at(text, quote - 1) != 110:
            return ODD, quote
        version = version_word(text, version_at, quote - 2, 2)
        put_word(versions, start, version)
        return START if version != NONE else ODD, quote
    if head == _END_HEAD:
        behind = end_of_end(text, at, 2)
        quote = end_of_string(text, max(behind, at))
        is_end = (
            behind >= 0 and behind + 2 == quote and char_at(text, behind) == 92 and char_at(text, behind + 1) == 110
        )
        return PASSED if is_end else ODD, quote
    quote = end_of_string(text, at)
    if head == _INIT_HEAD and is_init_start(text, at):
        return INIT_START, quote
    if head == _RESTORE_HEAD and is_restore_start(text, at):
        return RESTORE_START, quote
    return ODD if quote >= 0 and may_tell(text, at, quote) else PASSED, quote

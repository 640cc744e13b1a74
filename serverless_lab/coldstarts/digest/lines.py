"""Blocks of an S3 export -> what their lines are: `2025-01-01T00:00:01.727Z REPORT RequestId: …`.

A line that looks exactly as Lambda writes it is read by itself. A line that cannot be a platform line is passed over.
Any other one goes through the general reader, together with the lines of its event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Flags, Integers, Words
from serverless_lab.coldstarts.digest.blocks import Block
from serverless_lab.coldstarts.digest.chars import (
    NEVER,
    NONE,
    STAMP_SIZE,
    has_signs_of_instant,
    minute_ms,
    second_ms,
    word,
)
from serverless_lab.coldstarts.digest.kinds import INIT_START, REPORT, RESTORE_START, START, Codes
from serverless_lab.coldstarts.digest.machine import char_at, compiled, put_integer, put_word, word_at
from serverless_lab.coldstarts.digest.platform_text import (
    ID_WORDS,
    NOT_ASKED,
    OUTCOME,
    REPORT_SIZE,
    TAIL_AT,
    end_of_end,
    is_init_start,
    is_restore_start,
    outcome_of,
    read_report,
    read_start,
    version_word,
)
from serverless_lab.coldstarts.digest.telling import has_colour, may_tell
from serverless_lab.coldstarts.formats_text import TextReader, Unreadable, Where
from serverless_lab.coldstarts.sources import LogEvent

_MESSAGE_AT = STAMP_SIZE + 1
_REPORT_HEAD, _START_HEAD, _END_HEAD = word(" REPORT "), word(" START R"), word(" END Req")
_INIT_HEAD, _RESTORE_HEAD = word(" INIT_ST"), word(" RESTORE")

PASSED, ODD, _PERHAPS = 0, -1, -2
"""What a line may be besides a code of kinds.py: nothing, one for the general reader, one that it may have to see."""


class NotServed(Exception):
    """Lines that are for the general reader to read, together with all others."""


@dataclass(frozen=True)
class Rows:
    """What REPORT lines say, as records of platform_text.py; and ids and versions of START lines, all as words."""

    reports: Integers
    report_ids: Words
    start_ids: Words
    versions: Words


@dataclass(frozen=True)
class Found:
    """What a block tells. Lines are counted from the block's first one.

    Event i stands on line `at[i]`, is a `what[i]` of kinds.py and happened at `ms[i]`. `rows` has a row for each
    REPORT and START among them. `others` are events that the general reader has read, each with a line of its
    own. Event i is of the stream `names[stream[i]]` where the lines themselves say it.
    """

    at: Integers
    what: Codes
    ms: Integers
    rows: Rows
    others: list[tuple[int, LogEvent]] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    stream: Integers | None = None
    names: list[str] = field(default_factory=list)


@dataclass
class Columns:
    """Room for what the lines of a block say."""

    what: Codes
    ms: Integers
    reports: Integers
    report_ids: Words
    start_ids: Words
    versions: Words

    @classmethod
    def of(cls, count: int) -> Columns:
        return cls(
            np.zeros(count, np.int8),
            np.zeros(count, np.int64),
            np.empty((count, REPORT_SIZE), np.int64),
            np.empty((count, ID_WORDS), np.uint64),
            np.empty((count, ID_WORDS), np.uint64),
            np.empty(count, np.uint64),
        )

    @property
    def addresses(self) -> tuple[int, int, int, int]:
        """Where the last four are."""
        rows = self.reports, self.report_ids, self.start_ids, self.versions
        return rows[0].ctypes.data, rows[1].ctypes.data, rows[2].ctypes.data, rows[3].ctypes.data

    def ask(self, block: Block, report_at: Integers, ends: Integers, tab: int) -> None:
        """Tell the outcomes that are told by text; lines with others are odd. `ends` are those of all messages."""
        for row in np.flatnonzero(self.reports[: len(report_at), OUTCOME] == NOT_ASKED).tolist():
            line = report_at[row]
            tail = block.text.chars[self.reports[row, TAIL_AT] : ends[line]].tobytes()
            self.reports[row, OUTCOME] = outcome_of(tail, tab)
            if self.reports[row, OUTCOME] < 0:
                self.what[line] = ODD

    def rows(self, report_at: Integers, start_at: Integers) -> Rows:
        """What is still a REPORT or a START; these were on the lines given."""
        reports, starts = _kept(self.what[report_at] == REPORT), _kept(self.what[start_at] == START)
        return Rows(self.reports[reports], self.report_ids[reports], self.start_ids[starts], self.versions[starts])


def _kept(rows: Flags) -> slice | Integers:
    """Some of the rows that were filled: all of them, mostly. What was not filled takes no memory."""
    return slice(0, len(rows)) if rows.all() else np.flatnonzero(rows)


def read_block(block: Block, where: Where, *, reports_only: bool = False) -> Found:
    """Everything that a block of an export tells.

    Args:
        where: the file, its log group and its stream.
        reports_only: pass over lines that begin as START, END and INIT_START do.
    """
    text, starts, ends, is_event = block.text, block.starts, block.ends, block.is_event
    columns = Columns.of(len(starts))
    what = columns.what
    _read_lines(text.address, starts, ends, is_event, reports_only, what, columns.ms, *columns.addresses)
    report_at, start_at = np.flatnonzero(what == REPORT), np.flatnonzero(what == START)
    columns.ask(block, report_at, ends, tab=1)
    odd = what == ODD
    perhaps = np.flatnonzero(what == _PERHAPS)
    odd[perhaps] = [_is_marked(block.line(line)) for line in perhaps.tolist()]
    odd[-1] |= block.is_cut
    what[what < 0] = PASSED
    found: list[tuple[int, LogEvent]] = []
    unreadable: list[Unreadable] = []
    if odd.any():
        odd = _whole_events(odd, is_event)
        what[odd] = PASSED
        found, unreadable = _read_others(block, odd, where)
    at = np.flatnonzero(what)
    return Found(at, what[at], columns.ms[at], columns.rows(report_at, start_at), found, unreadable)


@compiled
def _read_lines(
    text: int,
    starts: Integers,
    ends: Integers,
    is_event: Flags,
    reports_only: bool,
    what: Codes,
    ms: Integers,
    reports: int,
    report_ids: int,
    start_ids: int,
    versions: int,
) -> None:
    """Tells each line, into the arrays from `what` on."""
    count = len(starts)
    report, start = 0, 0
    # Lines of one minute stand together, mostly.
    date, clock, begun_ms = word_at(text, 0), word_at(text, 0), NEVER
    for line in range(count):
        begin, end = starts[line], ends[line]
        at = begin + _MESSAGE_AT
        head = word_at(text, at - 1)
        is_report, is_start = head == _REPORT_HEAD, head == _START_HEAD
        is_end, is_init = head == _END_HEAD, head in (_INIT_HEAD, _RESTORE_HEAD)
        if not is_event[line] or not (is_report or is_start or is_end or is_init):
            if has_signs_of_instant(text, begin):
                begin += STAMP_SIZE
            if may_tell(text, begin, end) or has_colour(text, begin, end):
                what[line] = _PERHAPS
            continue
        if reports_only and not is_report:
            continue
        found = ODD
        if is_report:
            behind = read_report(text, at, 1, reports, report_ids, report)
            # What goes on for more lines than X-Ray's one may be fields again.
            goes_on = line + 2 < count and not is_event[line + 1] and not is_event[line + 2]
            if behind >= 0 and not goes_on:
                found = REPORT
                if behind != end and (char_at(text, behind) != 9 or behind + 1 != end):
                    put_integer(reports, report * REPORT_SIZE + OUTCOME, NOT_ASKED)
        elif is_start:
            version_at = read_start(text, at, 1, start_ids, start)
            if version_at >= 0:
                version = version_word(text, version_at, end, 1)
                put_word(versions, start, version)
                if version != NONE:
                    found = START
        elif is_end:
            # It says nothing here, if only it has an id.
            found = PASSED if end_of_end(text, at, 1) == end else ODD
        elif is_init_start(text, at):
            found = INIT_START
        elif is_restore_start(text, at):
            found = RESTORE_START
        if found > 0:
            if begun_ms == NEVER or word_at(text, begin) != date or word_at(text, begin + 8) != clock:
                date, clock, begun_ms = word_at(text, begin), word_at(text, begin + 8), minute_ms(text, begin)
            rest_ms = second_ms(text, begin + 16)
            if begun_ms == NEVER or rest_ms < 0:
                found = ODD
            ms[line] = begun_ms + rest_ms
            report += found == REPORT
            start += found == START
        what[line] = found


def _whole_events(odd: Flags, is_event: Flags) -> Flags:
    """All lines of every event that has an odd one."""
    number = np.cumsum(is_event)
    events = np.zeros(int(number[-1]) + 1, np.bool_)
    events[number[odd]] = True
    return events[number]


# What any line has that the general reader makes something of.
_MARK = re.compile(
    rb'RequestId:|"platform\.|_START[ \t]|_REPORT[ \t]|Task timed out after |(?:EXTENSION|TELEMETRY|LOGS)\t'
    rb"|REPORT - |END Duration:"
)
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


def _is_marked(line: bytes) -> bool:
    return _MARK.search(line) is not None or (b"\x1b" in line and _MARK.search(_COLOUR.sub(b"", line)) is not None)


def _read_others(block: Block, odd: Flags, where: Where) -> tuple[list[tuple[int, LogEvent]], list[Unreadable]]:
    """The events in the odd lines, event after event."""
    events: list[tuple[int, LogEvent]] = []
    unreadable: list[Unreadable] = []
    at = np.flatnonzero(odd)
    breaks = np.flatnonzero(block.is_event[at] | (np.diff(at, prepend=-2) != 1))
    last = len(odd) - 1
    for begin, end in zip(breaks, [*breaks[1:], len(at)], strict=True):
        first, stop = int(at[begin]), int(at[end - 1]) + 1
        reader = TextReader(where)
        told: list[LogEvent | Unreadable] = []
        for line in range(first, stop):
            has_end = not (block.is_cut and line == last)
            text = block.line(line).decode("utf-8", "replace") + ("\n" if has_end else "")
            told.extend(reader.feed(block.first_line + line + 1, text, has_end=has_end))
        told.extend(reader.finish())
        for offset, item in enumerate(item for item in told if isinstance(item, LogEvent)):
            events.append((first + offset, item))
        unreadable.extend(item for item in told if isinstance(item, Unreadable))
    return events, unreadable

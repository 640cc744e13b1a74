"""Blocks of an S3 export -> what their lines are: `2025-01-01T00:00:01.727Z REPORT RequestId: …`.

A line that looks exactly as Lambda writes it is read at once with all others of its kind. A line that cannot be a
platform line is passed over. Any other one goes through the general reader, together with the lines of its event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from serverless_lab.coldstarts.digest.blocks import Block
from serverless_lab.coldstarts.digest.kinds import INIT_START, REPORT, RESTORE_START, START, Codes
from serverless_lab.coldstarts.digest.swar import Flags, Integers, instants, word
from serverless_lab.coldstarts.digest.telling import coloured_lines, may_tell
from serverless_lab.coldstarts.digest.text import (
    AS_WRITTEN,
    MESSAGE_AT,
    NO_STARTS,
    Reports,
    Starts,
    read_init_starts,
    read_reports,
    read_starts,
)
from serverless_lab.coldstarts.formats_text import TextReader, Unreadable, Where
from serverless_lab.coldstarts.sources import LogEvent

_REPORT_WORD = word(" REPORT ")
_START_WORD = word(" START R")
_END_WORD = word(" END Req")
_INIT_WORD = word(" INIT_ST")
_RESTORE_WORD = word(" RESTORE")


class NotServed(Exception):
    """Lines that are for the general reader to read, together with all others."""


@dataclass(frozen=True)
class Found:
    """What a block tells. Lines are counted from the block's first one.

    Event i stands on line `at[i]`, is a `what[i]` of kinds.py and happened at `ms[i]`. `reports` and `starts` have a
    row for each REPORT and START among them. `others` are events that the general reader has read, each with a line of
    its own. Event i is of the stream `names[stream[i]]` where the lines themselves say it.
    """

    at: Integers
    what: Codes
    ms: Integers
    reports: Reports
    starts: Starts
    others: list[tuple[int, LogEvent]] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    stream: Integers | None = None
    names: list[str] = field(default_factory=list)


def read_block(block: Block, where: Where, *, reports_only: bool = False) -> Found:
    """Everything that a block of an export tells.

    Args:
        where: the file, its log group and its stream.
        reports_only: pass over lines that begin as START, END and INIT_START do.
    """
    text, starts, ends, is_event = block.text, block.starts, block.ends, block.is_event
    heads = text.words(starts + (MESSAGE_AT - 1))
    asked = heads if is_event.all() else np.where(is_event, heads, _NO_EVENT)
    is_report, is_start, is_end = asked == _REPORT_WORD, asked == _START_WORD, asked == _END_WORD
    is_init = (asked == _INIT_WORD) | (asked == _RESTORE_WORD)
    is_known = is_report | is_start | is_end | is_init
    what = np.zeros(len(starts), np.int8)
    ms = np.zeros(len(starts), np.int64)

    report_at = np.flatnonzero(is_report)
    reports, head = read_reports(text, starts[report_at] + MESSAGE_AT, ends[report_at], AS_WRITTEN)
    what[report_at[reports.ok]] = REPORT
    odd = is_report & (what != REPORT)
    if asked is not heads:
        odd |= is_report & _goes_on(is_event)
    timed = report_at
    stamps = [head[:, word_at] for word_at in range(3)]
    begun = NO_STARTS
    start_at = report_at[:0]
    if not reports_only:
        start_at = np.flatnonzero(is_start)
        begun = read_starts(text.windows(starts[start_at] - 1, 13), starts[start_at] + MESSAGE_AT, ends[start_at])
        what[start_at[begun.ok]] = START
        init_at = np.flatnonzero(is_init)
        if len(init_at):
            is_init_start, is_restore_start = read_init_starts(text, starts[init_at] + MESSAGE_AT)
            what[init_at[is_init_start]] = INIT_START
            what[init_at[is_restore_start]] = RESTORE_START
        odd |= (is_start | is_init) & (what == 0)
        # END says nothing here, if only it has an id.
        end_at = np.flatnonzero(is_end)
        begins = starts[end_at]
        odd[end_at] = (ends[end_at] - begins != _END_SIZE) | (text.buffer[begins + _END_ID] <= 32)
        timed = np.concatenate([report_at, start_at, init_at])
        others = text.windows(starts[timed[len(report_at) :]], 3)
        stamps = [np.concatenate([stamp, others[:, word_at]]) for word_at, stamp in enumerate(stamps)]
    ms[timed], has_time = instants(*stamps)
    if not has_time.all():
        without = timed[~has_time]
        odd[without] |= what[without] != 0

    unknown = np.flatnonzero(~is_known)
    perhaps = unknown[may_tell(text, starts[unknown], ends[unknown], heads[unknown])]
    odd[perhaps] = [_MARK.search(block.line(int(line))) is not None for line in perhaps]
    coloured = coloured_lines(text, starts, ends)
    if len(coloured):
        coloured = coloured[~is_known[coloured]]
        odd[coloured] = [_MARK.search(_COLOUR.sub(b"", block.line(int(line)))) is not None for line in coloured]
    odd[-1] |= block.is_cut
    found: list[tuple[int, LogEvent]] = []
    unreadable: list[Unreadable] = []
    if odd.any():
        odd = _whole_events(odd, is_event)
        what[odd] = 0
        found, unreadable = _read_others(block, odd, where)
        reports, begun = taken(reports, what[report_at] != 0), taken(begun, what[start_at] != 0)
    at = np.flatnonzero(what)
    return Found(at, what[at], ms[at], reports, begun, found, unreadable)


_NO_EVENT = np.uint64(0)
_END_ID = MESSAGE_AT + len("END RequestId: ")
_END_SIZE = _END_ID + 36

Columns = TypeVar("Columns", Reports, Starts)


def taken(columns: Columns, keep: Flags) -> Columns:
    """Some of the rows."""
    if keep.all():
        return columns
    return replace(columns, **{name: getattr(columns, name)[keep] for name in vars(columns)})


def _goes_on(is_event: Flags) -> Flags:
    """Which lines have more than one line behind them in their event.

    One has X-Ray ids, which nothing here uses; what follows on those may be a field again.
    """
    more = np.zeros(len(is_event), np.bool_)
    np.logical_not(is_event[1:] | np.append(is_event[2:], True), out=more[:-1])
    return more


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

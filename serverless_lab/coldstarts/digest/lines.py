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
from serverless_lab.coldstarts.digest.swar import (
    Bytes,
    Flags,
    Integers,
    Words,
    instants,
    look_like_instants,
    windows,
    word,
)
from serverless_lab.coldstarts.digest.text import (
    AS_WRITTEN,
    MESSAGE_AT,
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


@dataclass(frozen=True)
class Found:
    """What a block tells. Lines are counted from the block's first one.

    Event i stands on line `at[i]`, is a `what[i]` of kinds.py and happened at `ms[i]`. `reports` and `starts` have a
    row for each REPORT and START among them. `others` are events that the general reader has read, each with a line of
    its own.
    """

    at: Integers
    what: Codes
    ms: Integers
    reports: Reports
    starts: Starts
    others: list[tuple[int, LogEvent]] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)


def read_block(block: Block, where: Where, *, reports_only: bool = False) -> Found:
    """Everything that a block of an export tells.

    Args:
        where: the file, its log group and its stream.
        reports_only: pass over lines that begin as START, END and INIT_START do.
    """
    buffer, starts, ends, is_event = block.buffer, block.starts, block.ends, block.is_event
    heads = windows(buffer, starts + (MESSAGE_AT - 1), 1)[:, 0]
    is_report, is_start, is_end = heads == _REPORT_WORD, heads == _START_WORD, heads == _END_WORD
    is_init = (heads == _INIT_WORD) | (heads == _RESTORE_WORD)
    if not is_event.all():
        for flags in (is_report, is_start, is_end, is_init):
            flags &= is_event
    unknown = np.flatnonzero(~(is_report | is_start | is_end | is_init))
    message_at = starts + MESSAGE_AT
    what = np.zeros(len(starts), np.int8)
    ms, has_time = np.zeros(len(starts), np.int64), np.zeros(len(starts), np.bool_)

    report_at = np.flatnonzero(is_report)
    head = windows(buffer, starts[report_at], 10)
    ms[report_at], has_time[report_at] = instants(head[:, 0], head[:, 1], head[:, 2])
    reports = read_reports(head, buffer, message_at[report_at], ends[report_at], AS_WRITTEN)
    what[report_at[reports.ok]] = REPORT
    odd = is_report & (what != REPORT)
    if not is_event.all():
        odd |= is_report & _goes_on(is_event)

    timed = np.flatnonzero(is_start | is_init) if not reports_only else unknown[:0]
    prefix = windows(buffer, starts[timed], 3)
    ms[timed], has_time[timed] = instants(prefix[:, 0], prefix[:, 1], prefix[:, 2])
    start_at = np.flatnonzero(is_start) if not reports_only else unknown[:0]
    begun = read_starts(windows(buffer, starts[start_at] - 1, 13), message_at[start_at], ends[start_at])
    what[start_at[begun.ok]] = START
    if not reports_only:
        init_at = np.flatnonzero(is_init)
        if len(init_at):
            is_init_start, is_restore_start = read_init_starts(buffer, message_at[init_at])
            what[init_at[is_init_start]] = INIT_START
            what[init_at[is_restore_start]] = RESTORE_START
        odd |= (is_start | is_init) & (what == 0)
        # END says nothing here, if only it has an id.
        end_at = np.flatnonzero(is_end)
        odd[end_at] = (ends[end_at] - starts[end_at] != _END_SIZE) | (buffer[starts[end_at] + _END_ID] <= 32)
    odd |= (what != 0) & ~has_time

    prefix = windows(buffer, starts[unknown], 3)
    # Nearly all lines of an application are done with here: behind their time comes what no platform line begins with.
    begins = _CLASSES[(heads[unknown] >> np.uint64(8)) & np.uint64(0xFF)]
    left = np.flatnonzero((begins != _NOTHING) | ~look_like_instants(prefix))
    unknown, prefix = unknown[left], prefix[left]
    _, is_stamped = instants(prefix[:, 0], prefix[:, 1], prefix[:, 2])
    text_at = starts[unknown] + MESSAGE_AT * is_stamped
    perhaps = unknown[may_be_platform_line(buffer, text_at, ends[unknown])]
    odd[perhaps] = [_MARK.search(block.line(int(line))) is not None for line in perhaps]
    odd[-1] |= block.is_cut
    others: list[tuple[int, LogEvent]] = []
    unreadable: list[Unreadable] = []
    if odd.any():
        odd = _whole_events(odd, is_event)
        what[odd] = 0
        others, unreadable = _read_others(block, odd, where)
        reports, begun = taken(reports, what[report_at] != 0), taken(begun, what[start_at] != 0)
    at = np.flatnonzero(what)
    return Found(at, what[at], ms[at], reports, begun, others, unreadable)


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
    rb"|\x1b|REPORT - |END Duration:"
)


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


# --- what may be a platform line -------------------------------------------------------------------------------------

_NOTHING, _BLANK, _LETTER, _HEAD, _DIGIT, _BRACE, _PERHAPS = range(7)
_CLASSES: Bytes = np.full(256, _NOTHING, np.uint8)
_CLASSES[128:] = _PERHAPS
for _chars, _class in (
    (' \t\r\v\f\x1c\x1d\x1e\x1f",|', _BLANK),
    ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", _LETTER),
    ("REISTLtimlp", _HEAD),
    ("0123456789", _DIGIT),
    ("{", _BRACE),
    ("/@\x1b", _PERHAPS),
):
    _CLASSES[np.frombuffer(_chars.encode(), np.uint8)] = _class

_HEADS = tuple(
    (word(text), word("\xff" * len(text)))
    for text in (
        *("REPORT", "START", "END", "INIT_", "RESTORE_", "EXTENSIO", "TELEMETR", "LOGS", "RequestI"),
        *("timestam", "ingestio", "message", "logStrea", "log", "ptr"),
    )
)
_BLANKS_MAX = 64


def may_be_platform_line(buffer: Bytes, at: Integers, ends: Integers) -> Flags:
    """Which texts, from `at` up to `ends`, the general reader must see; the others have no platform line for sure.

    A platform line stands at the beginning, or behind times, streams, groups and blanks. So the first characters tell
    of nearly every line that an application has written.
    """
    found = np.zeros(len(at), np.bool_)
    which = np.arange(len(at))
    at = at.copy()
    for _ in range(_BLANKS_MAX):
        kept = at < ends[which]
        which, at = which[kept], at[kept]
        if not len(which):
            return found
        kinds = _CLASSES[buffer[at]]
        found[which[kinds == _PERHAPS]] = True
        text = np.flatnonzero((kinds >= _LETTER) & (kinds <= _DIGIT))
        if len(text):
            found[which[text]] = _may_be_text(buffer, at[text], kinds[text])
        braces = which[kinds == _BRACE]
        if len(braces):
            found[braces] = _with(b'"platform.', buffer, at[kinds == _BRACE], ends[braces])
        # Blanks, and a time before the message, are gone over.
        on = np.flatnonzero(kinds == _BLANK)
        step = np.ones(len(on), np.int64)
        stamped = text[(kinds[text] == _DIGIT) & found[which[text]]]
        if len(stamped):
            _, has_time = instants(*(windows(buffer, at[stamped], 4)[:, word_at] for word_at in range(3)))
            times = stamped[has_time]
            found[which[times]] = False
            step = np.concatenate([step, np.full(len(times), 24)])
            on = np.concatenate([on, times])
        which, at = which[on], at[on] + step
    found[which] = True
    return found


def _with(text: bytes, buffer: Bytes, at: Integers, ends: Integers) -> Flags:
    """Which texts, from `at` up to `ends`, hold `text`. Mostly none does, and then they are searched all at once."""
    whole = memoryview(buffer.data)
    texts = [whole[begin:end] for begin, end in zip(at.tolist(), ends.tolist(), strict=True)]
    if text not in b"\n".join(texts):
        return np.zeros(len(at), np.bool_)
    return np.array([text in bytes(each) for each in texts], np.bool_)


def _may_be_text(buffer: Bytes, at: Integers, kinds: Bytes) -> Flags:
    """Of texts that begin with a letter or a digit: which may be a platform line, or a time or stream before one."""
    if not len(at):
        return np.zeros(0, np.bool_)
    window = windows(buffer, at, 6)
    first = window[:, 0]
    found = np.zeros(len(at), np.bool_)
    if (kinds == _HEAD).any():
        for text, mask in _HEADS:
            found |= (first & mask) == text
    # A request id, and behind it `Task timed out after`.
    has_id = ((window[:, 1] ^ word("-")) & word("\xff\0\0\0\0\xff")) == word("\0\0\0\0\0-")
    found |= has_id & (((window[:, 4] >> np.uint64(40)) & np.uint64(0xFF)) == ord("T"))
    found |= has_id & _is_blank((window[:, 4] >> np.uint64(40)) & np.uint64(0xFF))
    # `2025-`, `2025/`, or 13 digits.
    fifth = (first >> np.uint64(32)) & np.uint64(0xFF)
    thirteenth = (window[:, 1] >> np.uint64(32)) & np.uint64(0xFF)
    is_digit = kinds == _DIGIT
    found |= (
        is_digit
        & ~has_id
        & ((fifth == ord("-")) | (fifth == ord("/")) | ((thirteenth - np.uint64(48)) <= np.uint64(9)))
    )
    return found


def _is_blank(char: Words) -> Flags:
    found: Flags = (char == 32) | (char == 9)
    return found

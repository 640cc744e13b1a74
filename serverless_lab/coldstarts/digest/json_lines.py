"""Blocks of JSON lines -> what they are: one event of FilterLogEvents or GetLogEvents in each.

A line whose layout is known and whose message is exactly as Lambda writes it is read at once with all others of its
kind. Any other one that is a JSON value of its own goes through the general reader. What is none may go on over lines,
so then the general reader has everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from serverless_lab.coldstarts.digest.blocks import Block
from serverless_lab.coldstarts.digest.json_text import may_tell
from serverless_lab.coldstarts.digest.kinds import INIT_START, REPORT, RESTORE_START, START
from serverless_lab.coldstarts.digest.layouts import Layout, Layouts, are_plain
from serverless_lab.coldstarts.digest.lines import Found, NotServed, taken
from serverless_lab.coldstarts.digest.swar import Flags, Integers, U, Words, word
from serverless_lab.coldstarts.digest.text import (
    AS_JSON,
    MESSAGE_AT,
    NO_STARTS,
    read_init_starts,
    read_reports,
    read_starts,
)
from serverless_lab.coldstarts.formats_json import read_json, read_value
from serverless_lab.coldstarts.formats_text import MARK, Unreadable, Where
from serverless_lab.coldstarts.sources import LogEvent

_REPORT_WORD, _START_WORD, _END_WORD = word("REPORT R"), word("START Re"), word("END Requ")
_INIT_WORD, _RESTORE_WORD = word("INIT_STA"), word("RESTORE_")
_LINE_END = word('\\n"')
_THREE = U(0xFFFFFF)

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
    _layouts: Layouts = field(default_factory=Layouts)
    _streams: dict[Layout, _Streams] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)
    _number_of: dict[str, int] = field(default_factory=dict)

    def read(self, block: Block) -> Found:
        """Everything that a block tells.

        Raises:
            NotServed: the general reader must read this, and all that stands before it.
        """
        text, starts, ends = block.text, block.starts, block.ends
        count = len(starts)
        what = np.zeros(count, np.int8)
        ms = np.zeros(count, np.int64)
        message, quote, stream, groups = self._laid_out(block)
        odd = message == 0
        heads = text.words(message)
        if odd.any():
            heads[odd] = 0
        is_report, is_start, is_end = heads == _REPORT_WORD, heads == _START_WORD, heads == _END_WORD
        is_init = (heads == _INIT_WORD) | (heads == _RESTORE_WORD)

        report_at = np.flatnonzero(is_report)
        reports, head = read_reports(text, message[report_at], quote[report_at] + 1, AS_JSON)
        reports = replace(reports, ok=reports.ok & _are_json_ids(head, 5))
        what[report_at[reports.ok]] = REPORT
        start_at = np.flatnonzero(is_start)
        end_at = np.flatnonzero(is_end)
        both = np.concatenate([start_at, end_at])
        begins, quotes = message[both], quote[both]
        # The ids of both stand in the same words.
        at = begins - (MESSAGE_AT + 1)
        at[len(start_at) :] -= 2
        head = text.windows(at, 13)
        in_json = _are_json_ids(head, 5)
        in_json &= ((text.words(quotes - 2) ^ _LINE_END) & _THREE) == 0
        starts_only, ends_only = slice(len(start_at)), slice(len(start_at), None)
        begun = read_starts(head[starts_only], begins[starts_only], quotes[starts_only] - 2)
        begun = replace(begun, ok=begun.ok & in_json[starts_only] & ~_has_quotes(begun.versions))
        what[start_at[begun.ok]] = START
        is_read = what != 0
        is_read[end_at] = in_json[ends_only] & _are_ends(head[ends_only]) & (quotes - begins == _END_SIZE)[ends_only]
        init_at = np.flatnonzero(is_init)
        if len(init_at):
            is_init_start, is_restore_start = read_init_starts(text, message[init_at])
            what[init_at[is_init_start]] = INIT_START
            what[init_at[is_restore_start]] = RESTORE_START
        # Of everything else each character of the message is looked at: whether the line is JSON, and what it may tell.
        others = np.flatnonzero(~is_read & ~odd)
        is_json, tells = may_tell(text, message[others], quote[others], what[others] != 0)
        odd[others] = ~is_json | tells
        odd[others] |= is_report[others] | is_start[others] | is_end[others]
        what[odd] = 0
        if self.reports_only:
            keep = what == REPORT
            what[~keep] = 0
        for layout, here in groups:
            lines = here[what[here] != 0]
            ms[lines] = layout.instants(text, starts[lines], ends[lines])
        found, unreadable = self._read_others(block, np.flatnonzero(odd))
        at = np.flatnonzero(what)
        return Found(
            at,
            what[at],
            ms[at],
            taken(reports, what[report_at] != 0),
            NO_STARTS if self.reports_only else taken(begun, what[start_at] != 0),
            found,
            unreadable,
            stream[at],
            self._names,
        )

    def _laid_out(self, block: Block) -> tuple[Integers, Integers, Integers, list[tuple[Layout, Integers]]]:
        """By line, where its message begins and where the quote behind that is, and its stream; 0 for odd lines.

        And which lines have which layout.
        """
        text, starts, ends = block.text, block.starts, block.ends
        message, quote, stream = np.zeros((3, len(starts)), np.int64)
        groups: list[tuple[Layout, Integers]] = []
        left = np.arange(len(starts) - block.is_cut)
        while len(left):
            layout = self._layouts.of(block.line(int(left[0])))
            if layout is None:
                left = left[1:]
                continue
            fits, ids = layout.fits(text, starts[left], ends[left])
            fits[0] = True  # the layout is its own
            here, left = (left, left[:0]) if fits.all() else (left[fits], left[~fits])
            numbers = self._stream_numbers(layout, None if ids is None else ids if len(here) == len(ids) else ids[fits])
            if np.min(numbers) < 0:
                here, numbers = here[numbers >= 0], numbers[numbers >= 0]
            stream[here] = numbers
            message[here] = starts[here] + layout.head_size
            quote[here] = ends[here] - layout.tail_size
            groups.append((layout, here))
        return message, quote, stream, groups

    def _stream_numbers(self, layout: Layout, ids: Words | None) -> Integers:
        """-1 where an id is not made of digits and letters."""
        if ids is None:
            return np.array([self._number(layout.stream or self.where.log_stream)])
        if layout not in self._streams:
            self._streams[layout] = _Streams(layout.stream, self._number)
        return self._streams[layout].numbers(ids)

    def _number(self, name: str) -> int:
        number = self._number_of.setdefault(name, len(self._names))
        if number == len(self._names):
            self._names.append(name)
        return number

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


# Text that begins no JSON value and tells nothing.
_TEXT = re.compile(rb"(?!REPORT - |END Duration:)(?:[\[{]?[A-Za-z]|[0-9])")


class _Streams:
    """The numbers of the streams of one layout, by the ids of their environments."""

    def __init__(self, head: str, number: Callable[[str], int]) -> None:
        self._head = head
        self._number = number
        self._seen: set[bytes] = set()
        self._ids: Words = np.zeros((0, 4), np.uint64)
        self._numbers: Integers = np.zeros(0, np.int64)

    def numbers(self, ids: Words) -> Integers:
        """Of each id, or one for all of them; -1 where it is not made of digits and letters."""
        if (ids == ids[0]).all():
            return np.full(len(ids), self._number_of(ids[0]))
        found, is_known = self._looked_up(ids)
        if not is_known.all():
            self._learn(ids[~is_known])
            found, is_known = self._looked_up(ids)
            # Two whose ids begin alike.
            for at in np.flatnonzero(~is_known):
                found[at] = self._number_of(ids[at])
        return found

    def _number_of(self, words: Words) -> int:
        if not are_plain(words.reshape(1, -1))[0]:
            return -1
        return self._number(self._head + words.tobytes().decode("ascii"))

    def _looked_up(self, ids: Words) -> tuple[Integers, Flags]:
        if not len(self._ids):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.bool_)
        # An id is random: eight characters of it tell it from nearly all others.
        at = np.searchsorted(self._ids[:, 0], ids[:, 0])
        np.minimum(at, len(self._ids) - 1, out=at)
        known = self._ids[at]
        known ^= ids
        return self._numbers[at], np.bitwise_or.reduce(known, axis=1) == 0

    def _learn(self, ids: Words) -> None:
        fresh = ids[np.unique(ids[:, 0], return_index=True)[1]]
        fresh = fresh[[each.tobytes() not in self._seen for each in fresh]]
        self._seen.update(each.tobytes() for each in fresh)
        both = np.concatenate([self._ids, fresh])
        numbers = np.concatenate([self._numbers, np.array([self._number_of(each) for each in fresh], np.int64)])
        order = np.argsort(both[:, 0], kind="stable")
        self._ids, self._numbers = both[order], numbers[order]


_END_SIZE = len("END RequestId: ") + 36 + len("\\n")
_END_LABEL = tuple(word(part) for part in ("\0\0\0\0END ", "RequestI", "d: "))
_END_MASKS = tuple(word(part) for part in ("\0\0\0\0\xff\xff\xff\xff", "\xff" * 8, "\xff\xff\xff"))


def _are_ends(head: Words) -> Flags:
    """Whether END stands before the ids, which begin three bytes behind the fifth word."""
    wrong = (head[:, 3] ^ _END_LABEL[0]) & _END_MASKS[0]
    for at in (1, 2):
        wrong |= (head[:, 3 + at] ^ _END_LABEL[at]) & _END_MASKS[at]
    found: Flags = wrong == 0
    return found


def _are_json_ids(head: Words, at: int) -> Flags:
    """Whether request ids that stand in five words, three bytes behind their beginning, are no reason for an escape."""
    ids = head[:, at : at + 5].copy()
    ids[:, 0] |= _THREE_ZEROS
    ids[:, 4] |= _LAST_ZERO
    return are_plain(ids)


# A 0 or anything that is or'ed with it: plain if only that is.
_THREE_ZEROS, _LAST_ZERO = word("///"), word("\0" * 7 + "/")


def _has_quotes(words: Words) -> Flags:
    """Whether a quote or a backslash is among the characters."""
    found = np.zeros(len(words), np.bool_)
    for char in ('"', "\\"):
        zeros = words ^ word(char * 8)
        found |= ((zeros - U(0x0101010101010101)) & ~zeros & U(0x8080808080808080)) != 0
    return found

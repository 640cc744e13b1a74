"""Lines at known offsets -> columns of what REPORT, START and INIT_START say. Every character is compared.

Nothing is taken for a REPORT line that is not exactly one, up to its end. Whatever differs is left to the general
reader by whoever calls this.

The message may be as Lambda wrote it, with tabs, or as JSON escapes it, with a backslash and a t.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from serverless_lab.coldstarts.digest.swar import (
    ABOVE_NINE,
    HIGH_BITS,
    Flags,
    Integers,
    Text,
    U,
    Words,
    digits_before,
    number,
    word,
)
from serverless_lab.report_line import parse

MESSAGE_AT = 25
"""Where a message begins behind `2025-01-01T00:00:01.727Z `."""


class Label:
    """The text before a number; a question mark stands for any character."""

    def __init__(self, text: str) -> None:
        self.size = len(text)
        parts = [text[at : at + 8] for at in range(0, self.size, 8)]
        # Only words of which something is asked: which it is, what it must be, and what of it counts.
        self.words = [
            (at, word(part.replace("?", "\0")), word("".join("\0" if char == "?" else "\xff" for char in part)))
            for at, part in enumerate(parts)
            if part.strip("?")
        ]
        self.width = self.size // 8 + 1 + (self.size % 8 > 0)
        self.skip = self.size // 8
        self.low, self.high = U(8 * (self.size % 8)), U(64 - 8 * (self.size % 8))

    def differs(self, window: Words) -> Words:
        """0 where `window` begins with this label."""
        wrong = _differs(window, *self.words[0])
        for asked in self.words[1:]:
            wrong |= _differs(window, *asked)
        return wrong

    def behind(self, window: Words, skip: int = 0) -> Words:
        """The eight characters behind the label, or from `8 * skip` characters behind it on."""
        at = self.skip + skip
        if not self.size % 8:
            return window[:, at]
        found: Words = window[:, at] >> self.low
        found |= window[:, at + 1] << self.high
        return found


def _differs(window: Words, at: int, expected: np.uint64, mask: np.uint64) -> Words:
    different: Words = window[:, at] ^ expected
    if mask != _ALL:
        different &= mask
    return different


_ALL = U(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True)
class Fields:
    """The labels of a REPORT line's numbers, and what may end the line, for one way to write a tab.

    `xray` is what may stand before the end, in the same message, and tells nothing here.

    `head` begins `MESSAGE_AT` bytes before the message and ends before the Duration. `line_end` is what stands behind
    the last field or its tab. `plain_ends` are the ends of nearly all lines, `nothing` is the end behind a field that
    says no more.
    """

    tab: str
    line_end: str
    head: Label
    billed: Label
    memory: re.Pattern[bytes]
    init: Label
    restore: Label
    billed_restore: Label
    plain_ends: tuple[Label, ...]
    nothing: Label
    xray: re.Pattern[bytes] | None = None

    @classmethod
    def written_with(cls, tab: str, line_end: str, xray: re.Pattern[bytes] | None = None) -> Fields:
        return cls(
            tab=tab,
            line_end=line_end,
            head=Label("?" * (MESSAGE_AT + 7) + "RequestId: " + "?" * 36 + f"{tab}Duration: "),
            billed=Label(f".?? ms{tab}Billed Duration: "),
            memory=re.compile(re.escape(f" ms{tab}Memory Size: ").encode() + rb"([0-9]{1,5}) MB"),
            init=Label(f" MB{tab}Init Duration: "),
            restore=Label(f" MB{tab}Restore Duration: "),
            billed_restore=Label(f".?? ms{tab}Billed Restore Duration: "),
            plain_ends=tuple(Label(f" MB{end}") for end in (f"{tab}{line_end}", line_end)),
            nothing=Label(f"{tab}{line_end}"),
            xray=xray,
        )


AS_WRITTEN = Fields.written_with("\t", "")
AS_JSON = Fields.written_with(
    "\\t",
    '\\n"',
    re.compile(
        rb"\\nXRAY TraceId: [0-9a-f-]{1,64}\\tSegmentId: [0-9a-f]{1,32}(?:\\tSampled: (?:true|false))?(?:\\t)?"
        rb'(?=\\n"\Z)'
    ),
)

_ID_WORDS = slice(5, 10)


@dataclass(frozen=True)
class Reports:
    """REPORT lines, as columns: whole microseconds, ms, MB; -1 for an absent time. `ids` has five words each.

    `outcome` is an index into `OUTCOMES`. Where `ok` is not set the other columns mean nothing.
    """

    ok: Flags
    duration_us: Integers
    billed_ms: Integers
    memory_size_mb: Integers
    max_memory_used_mb: Integers
    init_us: Integers
    restore_us: Integers
    outcome: Integers
    ids: Words


OUTCOMES: list[tuple[str | None, str | None]] = [(None, None)]
"""(status, error type) of REPORT lines, as they are met in this process."""

_OUTCOMES_MAX = 10_000


def read_reports(text: Text, at: Integers, ends: Integers, fields: Fields) -> tuple[Reports, Words]:
    """Messages that begin with `REPORT ` at `at` and end right before `ends` (in JSON: behind the quote).

    Also the text from `MESSAGE_AT` bytes before the messages on, as windows of words.
    """
    head = text.windows(at - MESSAGE_AT, fields.head.width)
    wrong = fields.head.differs(head)
    high = _odd_characters(head)
    whole, count, none = digits_before(fields.head.behind(head))
    wrong |= none
    # Two of eight digits stand behind the point.
    is_short = count <= 6
    at = at + count
    at += fields.head.size - MESSAGE_AT

    window = text.windows(at, fields.billed.width)
    wrong |= fields.billed.differs(window)
    whole >>= U(16)
    decimals = _decimals(window[:, 0])
    whole |= decimals
    decimals += ABOVE_NINE
    high |= decimals
    duration_us = number(whole)
    duration_us *= 10
    digits, count, none = digits_before(fields.billed.behind(window))
    wrong |= none
    billed_ms = number(digits)
    at += count
    at += fields.billed.size

    memory_size_mb, size, chars, more = _memory_sizes(text.windows(at, _MEMORY_WORDS), fields)
    digits, count, none = digits_before(chars)
    wrong |= none
    max_memory_used_mb = number(digits)
    at += count
    at += size

    high &= HIGH_BITS
    wrong |= high
    ok = wrong == 0
    ok &= is_short
    ok &= memory_size_mb >= 0
    rest = ends - at
    shift = (count << 3).view(np.uint64)
    tail = ((chars >> shift) | (more << (U(64) - shift))).reshape(-1, 1)
    is_plain = fields.plain_ends[0].differs(tail) == 0
    is_plain &= rest == fields.plain_ends[0].size
    init_us, restore_us = np.full((2, len(at)), -1, np.int64)
    outcome = np.zeros(len(at), np.int64)
    if not is_plain.all():
        is_plain |= (rest == fields.plain_ends[1].size) & (fields.plain_ends[1].differs(tail) == 0)
        which = np.flatnonzero(~is_plain & ok & ((tail[:, 0] & _THREE) == _MB))
        behind = at[which] + 3
        for label, times in ((fields.init, init_us), (fields.restore, restore_us)):
            told = np.flatnonzero(_differs(tail[which], *label.words[0]) == 0)
            if len(told):
                time_us, end = _time_behind(label, text, at[which[told]])
                if label is fields.restore:
                    time_us, end = _billed_restore_behind(fields.billed_restore, text, time_us, end)
                times[which[told]] = time_us
                behind[told] = np.where(time_us < 0, behind[told], end)
        found = _outcomes(text, behind, ends[which], fields)
        outcome[which] = found
        is_plain[which[found >= 0]] = True
    ok &= is_plain
    numbers = duration_us, billed_ms, memory_size_mb, max_memory_used_mb, init_us, restore_us
    return Reports(ok, *numbers, outcome, head[:, _ID_WORDS]), head


_MEMORY_WORDS = 8
_MEMORY_SIZES_MAX = 8
"""So many different memory sizes may be told in one block; others are left to the general reader."""


def _memory_sizes(window: Words, fields: Fields) -> tuple[Integers, Integers | int, Words, Words]:
    """Of windows that begin behind the digits of Billed Duration: Memory Size (-1 for none), how many characters stand
    before the digits of Max Memory Used, and the sixteen characters from those on, as two words.

    A function's memory size is the same on nearly all its lines, so what it says is one label for all of them.
    """
    count = len(window)
    sizes = np.full(count, -1, np.int64)
    places = np.zeros(count, np.int64)
    chars, more = np.zeros((2, count), np.uint64)
    left = np.arange(count)
    for _ in range(_MEMORY_SIZES_MAX):
        if not len(left):
            break
        found = fields.memory.match(window[left[0]].tobytes())
        if found is None:
            left = left[1:]
            continue
        label = _before_max_memory(fields.tab, found[1].decode())
        whole = window if len(left) == count else window[left]
        same = label.differs(whole) == 0
        if len(left) == count and same.all():
            return np.full(count, int(found[1])), label.size, label.behind(window), label.behind(window, 1)
        which = left[same]
        sizes[which], places[which] = int(found[1]), label.size
        chars[which], more[which] = label.behind(window[which]), label.behind(window[which], 1)
        left = left[~same]
    return sizes, places, chars, more


@lru_cache(maxsize=1024)
def _before_max_memory(tab: str, size: str) -> Label:
    return Label(f" ms{tab}Memory Size: {size} MB{tab}Max Memory Used: ")


def _time_behind(label: Label, text: Text, at: Integers) -> tuple[Integers, Integers]:
    """The µs of `<label>110.10 ms` at each offset, -1 where that is not what stands there; and where it ends."""
    window = text.windows(at, label.width)
    wrong = label.differs(window)
    whole, count, none = digits_before(label.behind(window))
    wrong |= none
    at = at + count + label.size
    tail = text.words(at)
    wrong |= (tail ^ _AFTER_POINT) & _AFTER_POINT_MASK
    decimals = _decimals(tail)
    wrong |= (decimals + ABOVE_NINE) & HIGH_BITS
    return np.where((wrong == 0) & (count <= 6), number((whole >> U(16)) | decimals) * 10, -1), at + 6


def _billed_restore_behind(label: Label, text: Text, time_us: Integers, at: Integers) -> tuple[Integers, Integers]:
    """`time_us`, -1 where no Billed Restore Duration goes on what ended at `at`; and where that ends."""
    begin = at - 6
    window = text.windows(begin, label.width)
    _, count, wrong = digits_before(label.behind(window))
    wrong |= label.differs(window)
    end = begin + label.size + count
    wrong |= (text.words(end) ^ _MS) & _THREE
    return np.where(wrong == 0, time_us, -1), end + 3


def _outcomes(text: Text, at: Integers, ends: Integers, fields: Fields) -> Integers:
    """What each line says behind its last number, as an index into `OUTCOMES`; -1 where that is not known."""
    nothing = (ends - at == fields.nothing.size) & (fields.nothing.differs(text.windows(at, 1)) == 0)
    found = np.where(nothing, 0, -1)
    for place in np.flatnonzero(~nothing):
        begin, end = int(at[place]), int(ends[place])
        if 0 <= end - begin <= _TAIL_MAX:
            tail = text.buffer[begin:end].tobytes()
            if fields.xray is not None and b"XRAY" in tail:
                tail = fields.xray.sub(b"", tail)
            found[place] = _outcome(tail, fields)
    return found


@lru_cache(maxsize=4096)
def _outcome(tail: bytes, fields: Fields) -> int:
    """As the general reader says, which is asked once for each text."""
    line_end = fields.line_end.encode()
    if not tail.endswith(line_end) or _DIGIT.search(tail):
        return -1
    told = tail.removesuffix(line_end).replace(fields.tab.encode(), b"\t").decode("ascii", "replace")
    if not _TAIL.fullmatch(told):
        return -1
    line = parse("REPORT RequestId: id\tDuration: 1.00 ms\tMax Memory Used: 1 MB" + told)
    if line is None or len(OUTCOMES) >= _OUTCOMES_MAX:
        return -1
    return outcome_number(line.status, line.error_type)


def outcome_number(status: str | None, error_type: str | None) -> int:
    """The place in `OUTCOMES`, which grows when it is needed."""
    told = status, error_type
    if told not in OUTCOMES:
        OUTCOMES.append(told)
    return OUTCOMES.index(told)


_TAIL_MAX = 200
_DIGIT = re.compile(rb"[0-9]")
_TAIL = re.compile(r"\t?|(?:\tStatus: [a-z]+)?(?:\tError Type: [A-Za-z.]+)?\t?")


def _decimals(chars: Words) -> Words:
    """The two digits of `.01` as the last two bytes of a word."""
    return (((chars ^ _TWO_ZEROS) >> U(8)) & U(0xFFFF)) << U(48)


def _odd_characters(head: Words) -> Words:
    """Words with a high bit set if a request id has a blank, a control character, or anything but ASCII."""
    high = _not_printed(head[:, 5] | _THREE_ZEROS)
    for at in (6, 7, 8):
        high |= _not_printed(head[:, at])
    high |= _not_printed(head[:, 9] | _LAST_ZERO)
    return high


def _not_printed(chars: Words) -> Words:
    low = chars - U(0x2121212121212121)
    low |= chars
    return low


_REQUEST_ID = word("RequestI"), word("d: ")
_THREE, _MB, _MS = word("\xff\xff\xff"), word(" MB"), word(" ms")
_AFTER_POINT, _AFTER_POINT_MASK = word(".\0\0 ms"), word("\xff\0\0\xff\xff\xff")
_TWO_ZEROS, _THREE_ZEROS, _LAST_ZERO = word(".00"), word("000"), word("\0" * 7 + "0")


# --- START, INIT_START -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Starts:
    """START lines, as columns. `versions` are up to eight characters as a word."""

    ok: Flags
    ids: Words
    versions: Words


NO_STARTS = Starts(np.zeros(0, np.bool_), np.zeros((0, 5), np.uint64), np.zeros(0, np.uint64))


def read_starts(head: Words, at: Integers, ends: Integers) -> Starts:
    """START messages that begin at `at` and end right before `ends`.

    Args:
        head: the windows of 13 words from `MESSAGE_AT` + 1 bytes before the messages on: there the request id stands
            where it does in the head of a REPORT.
    """
    wrong = (head[:, 3] ^ _START) & _NOT_TWO
    wrong |= head[:, 4] ^ _REQUEST_ID[0]
    wrong |= (head[:, 5] ^ _REQUEST_ID[1]) & _THREE
    wrong |= (head[:, 9] ^ _LAST_BLANK) & _LAST_BYTE
    wrong |= head[:, 10] ^ _VERSION
    wrong |= (head[:, 11] ^ U(32)) & U(0xFF)
    high = _odd_characters(head)
    size = ends - at - _BEFORE_VERSION
    versions = (head[:, 11] >> U(8)) | (head[:, 12] << U(56))
    beyond = _BEYOND[np.clip(size, 0, 8)]
    versions &= ~beyond
    high |= _not_printed(versions | (beyond & _EIGHT_ZEROS))
    ok = (size >= 1) & (size <= 8) & ((wrong | (high & HIGH_BITS)) == 0)
    return Starts(ok, head[:, _ID_WORDS], versions)


_START, _NOT_TWO = word("\0\0START "), word("\0\0" + "\xff" * 6)
_LAST_BLANK, _LAST_BYTE, _VERSION = word("\0" * 7 + " "), word("\0" * 7 + "\xff"), word("Version:")
_BEFORE_VERSION = len("START RequestId: ") + 36 + len(" Version: ")
_EIGHT_ZEROS = word("0" * 8)
# By the number of characters that a word begins with: the bytes behind them.
_BEYOND = np.array([(0xFFFFFFFFFFFFFFFF << (8 * count)) & 0xFFFFFFFFFFFFFFFF for count in range(9)], U)

_INIT_START = Label("INIT_START Runtime Version: ")
_RESTORE_START = Label("RESTORE_START Runtime Version: ")


def read_init_starts(text: Text, at: Integers) -> tuple[Flags, Flags]:
    """Which messages that begin at `at` are INIT_START, and which RESTORE_START."""
    window = text.windows(at, 4)
    return _INIT_START.differs(window) == 0, _RESTORE_START.differs(window) == 0

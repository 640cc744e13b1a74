"""Lines at known offsets -> columns of what REPORT, START and INIT_START say. Every character is compared.

Nothing is taken for a REPORT line that is not exactly one, up to its end. Whatever differs is left to the general
reader by whoever calls this.

The message may be as Lambda wrote it, with tabs, or as JSON escapes it, with a backslash and a t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serverless_lab.coldstarts.digest.swar import (
    ABOVE_NINE,
    HIGH_BITS,
    Bytes,
    Flags,
    Integers,
    U,
    Words,
    find,
    instants,
    number,
    right_aligned,
    windows,
    word,
)

MESSAGE_AT = 25
"""Where a message begins behind `2025-01-01T00:00:01.727Z `."""


class Label:
    """The text before a number; a question mark stands for any character."""

    def __init__(self, text: str) -> None:
        self.size = len(text)
        parts = [text[at : at + 8] for at in range(0, self.size, 8)]
        self.words = [word(part.replace("?", "\0")) for part in parts]
        self.masks = [word("".join("\0" if char == "?" else "\xff" for char in part)) for part in parts]
        self.width = self.size // 8 + 1 + (self.size % 8 > 0)
        self.skip = self.size // 8
        self.low, self.high = U(8 * (self.size % 8)), U(64 - 8 * (self.size % 8))

    def differs(self, window: Words) -> Words:
        """0 where `window` begins with this label."""
        wrong = self._differs(window, 0)
        for at in range(1, len(self.words)):
            wrong |= self._differs(window, at)
        return wrong

    def _differs(self, window: Words, at: int) -> Words:
        different = window[:, at] ^ self.words[at]
        return different if self.masks[at] == U(0xFFFFFFFFFFFFFFFF) else different & self.masks[at]

    def behind(self, window: Words) -> Words:
        """The eight characters behind the label."""
        if not self.size % 8:
            return window[:, self.skip]
        return (window[:, self.skip] >> self.low) | (window[:, self.skip + 1] << self.high)


@dataclass(frozen=True)
class Fields:
    """The labels of a REPORT line's numbers, and what may end the line, with tabs written as `tab`."""

    duration: Label
    billed: Label
    memory: Label
    max_memory: Label
    init: Label
    after_init: Label
    tails: tuple[Label, ...]
    init_tails: tuple[Label, ...]

    @classmethod
    def written_with(cls, tab: str, line_end: str) -> Fields:
        return cls(
            duration=Label(f"{tab}Duration: "),
            billed=Label(f".?? ms{tab}Billed Duration: "),
            memory=Label(f" ms{tab}Memory Size: "),
            max_memory=Label(f" MB{tab}Max Memory Used: "),
            init=Label(f" MB{tab}Init Duration: "),
            after_init=Label(".?? ms"),
            tails=tuple(Label(f" MB{end}") for end in (f"{tab}{line_end}", line_end)),
            init_tails=tuple(Label(f".?? ms{end}") for end in (f"{tab}{line_end}", line_end)),
        )


AS_WRITTEN = Fields.written_with("\t", "")
AS_JSON = Fields.written_with("\\t", '\\n"')

_HEAD = Label("REPORT RequestId: ")
_ID_WORDS = slice(5, 10)


@dataclass(frozen=True)
class Reports:
    """REPORT lines: whole microseconds, ms, MB. `init_us` is -1 where there is none. `ids` has five words each."""

    ok: Flags
    duration_us: Integers
    billed_ms: Integers
    memory_size_mb: Integers
    max_memory_used_mb: Integers
    init_us: Integers
    ids: Words


def read_reports(head: Words, buffer: Bytes, at: Integers, ends: Integers, fields: Fields) -> Reports:
    """REPORT messages that begin at `at` and end right before `ends` (in JSON: at the quote).

    Args:
        head: the windows of ten words from `MESSAGE_AT` bytes before the messages on.
    """
    wrong = (head[:, 3] ^ word("\0REPORT ")) & word("\0\xff\xff\xff\xff\xff\xff\xff")
    wrong |= head[:, 4] ^ word("RequestI")
    wrong |= (head[:, 5] ^ word("d: ")) & word("\xff\xff\xff")
    high = _odd_characters(head)
    at = at + 54
    window = windows(buffer, at, fields.duration.width)
    wrong |= fields.duration.differs(window)
    text = fields.duration.behind(window)
    count = find(text, ".")
    whole = right_aligned(text, count)
    # Two of eight digits stand behind the point.
    wrong |= (count > 6).astype(np.uint64)
    at += count + fields.duration.size

    window = windows(buffer, at, fields.billed.width)
    wrong |= fields.billed.differs(window)
    digits = (whole >> U(16)) | _decimals(window[:, 0])
    high |= digits | (digits + ABOVE_NINE)
    duration_us = number(digits) * 10
    digits, count = _whole_number(fields.billed.behind(window))
    high |= digits | (digits + ABOVE_NINE)
    billed_ms = number(digits)
    at += count + fields.billed.size

    window = windows(buffer, at, fields.memory.width)
    wrong |= fields.memory.differs(window)
    digits, count = _whole_number(fields.memory.behind(window))
    high |= digits | (digits + ABOVE_NINE)
    memory_size_mb = number(digits)
    at += count + fields.memory.size

    window = windows(buffer, at, fields.max_memory.width)
    wrong |= fields.max_memory.differs(window)
    digits, count = _whole_number(fields.max_memory.behind(window))
    high |= digits | (digits + ABOVE_NINE)
    max_memory_used_mb = number(digits)
    at += count + fields.max_memory.size

    ok = (wrong | (high & HIGH_BITS)) == 0
    window = windows(buffer, at, 1)
    rest = ends - at
    ends_here = _ends_with(fields.tails, window, rest)
    init_us = np.full(len(at), -1, np.int64)
    if not ends_here.all():
        which = np.flatnonzero(~ends_here & ((window[:, 0] & word("\xff\xff\xff")) == word(" MB")))
        found, value = _inits(buffer, at[which], ends[which], fields)
        init_us[which[found]] = value[found]
        ends_here[which[found]] = True
    ok &= ends_here
    return Reports(ok, duration_us, billed_ms, memory_size_mb, max_memory_used_mb, init_us, head[:, _ID_WORDS])


def _inits(buffer: Bytes, at: Integers, ends: Integers, fields: Fields) -> tuple[Flags, Integers]:
    """` MB⇥Init Duration: 110.10 ms⇥` from each offset up to the line's end: whether it is that, and the µs."""
    window = windows(buffer, at, fields.init.width)
    wrong = fields.init.differs(window)
    text = fields.init.behind(window)
    count = find(text, ".")
    whole = right_aligned(text, count)
    at = at + count + fields.init.size
    window = windows(buffer, at, 2)
    digits = (whole >> U(16)) | _decimals(window[:, 0])
    wrong |= (digits | (digits + ABOVE_NINE)) & HIGH_BITS
    return (wrong == 0) & (count <= 6) & _ends_with(fields.init_tails, window, ends - at), number(digits) * 10


def _ends_with(tails: tuple[Label, ...], window: Words, rest: Integers) -> Flags:
    """Whether what is left of each line is one of `tails`."""
    found: Flags = (rest == tails[0].size) & (tails[0].differs(window) == 0)
    for tail in tails[1:]:
        if not found.all():
            found |= (rest == tail.size) & (tail.differs(window) == 0)
    return found


def _decimals(text: Words) -> Words:
    """The two digits of `.01` as the last two bytes of a word."""
    return (((text ^ word(".00")) >> U(8)) & U(0xFFFF)) << U(48)


def _whole_number(text: Words) -> tuple[Words, Integers]:
    """The digits up to a blank, right-aligned, and how many characters there are."""
    count = find(text, " ")
    return right_aligned(text, count), count


def _odd_characters(head: Words) -> Words:
    """Words with a high bit set if a request id has a blank, a control character, or anything but ASCII."""
    high = _not_printed(head[:, 5] | word("000"))
    for at in (6, 7, 8):
        high |= _not_printed(head[:, at])
    return high | _not_printed(head[:, 9] | word("\0\0\0\0\0\0\x000"))


def _not_printed(text: Words) -> Words:
    return (text - U(0x2121212121212121)) | text


# --- START, INIT_START -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Starts:
    """START lines. `versions` are up to eight characters as a word."""

    ok: Flags
    ids: Words
    versions: Words


def read_starts(head: Words, ends: Integers, at: Integers) -> Starts:
    """START messages that begin at `at` and end right before `ends`.

    Args:
        head: the windows of 13 words from `MESSAGE_AT` + 1 bytes before the messages on: there the request id stands
            where it does in the head of a REPORT.
    """
    wrong = (head[:, 3] ^ word("\0\0START ")) & word("\0\0\xff\xff\xff\xff\xff\xff")
    wrong |= head[:, 4] ^ word("RequestI")
    wrong |= (head[:, 5] ^ word("d: ")) & word("\xff\xff\xff")
    wrong |= (head[:, 9] ^ word("\0\0\0\0\0\0\0 ")) & word("\0\0\0\0\0\0\0\xff")
    wrong |= head[:, 10] ^ word("Version:")
    wrong |= (head[:, 11] ^ word(" ")) & word("\xff")
    high = _odd_characters(head)
    size = ends - at - 63
    versions = (head[:, 11] >> U(8)) | (head[:, 12] << U(56))
    beyond = _BEYOND[np.clip(size, 0, 8)]
    versions &= ~beyond
    high |= _not_printed(versions | (beyond & word("00000000")))
    ok = (size >= 1) & (size <= 8) & ((wrong | (high & HIGH_BITS)) == 0)
    return Starts(ok, head[:, _ID_WORDS], versions)


# By the number of characters that a word begins with: the bytes behind them.
_BEYOND = np.array([(0xFFFFFFFFFFFFFFFF << (8 * count)) & 0xFFFFFFFFFFFFFFFF for count in range(9)], U)

_INIT_START = Label("INIT_START Runtime Version: ")
_RESTORE_START = Label("RESTORE_START Runtime Version: ")


def read_init_starts(buffer: Bytes, at: Integers) -> tuple[Flags, Flags]:
    """Which messages that begin at `at` are INIT_START, and which RESTORE_START."""
    window = windows(buffer, at, 4)
    return _INIT_START.differs(window) == 0, _RESTORE_START.differs(window) == 0


def instants_before(head: Words, *, shift: bool = False) -> tuple[Integers, Flags]:
    """Epoch ms of `2025-01-01T00:00:01.727Z` where windows begin, or (`shift`) a byte later; and which are one."""
    if not shift:
        return instants(head[:, 0], head[:, 1], head[:, 2])
    first, second, third = ((head[:, at] >> U(8)) | (head[:, at + 1] << U(56)) for at in range(3))
    return instants(first, second, third)

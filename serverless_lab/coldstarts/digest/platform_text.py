"""What Lambda's own messages say, read from a buffer: REPORT, START, END, INIT_START, RESTORE_START.

Nothing is taken for one of them that is not exactly one. Whatever differs is left to the general reader.

A message may be as Lambda wrote it, with tabs, or as JSON escapes it, with a backslash and a t: `tab` is how many
characters a tab takes, 1 or 2.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from serverless_lab.coldstarts.digest.arrays import U
from serverless_lab.coldstarts.digest.chars import (
    HIGH_BITS,
    NONE,
    begins_with,
    digits,
    is_printed,
    label,
    word,
    zero_bytes,
)
from serverless_lab.coldstarts.digest.machine import char_at, inlined, put_integer, put_word, word_at
from serverless_lab.report_line import parse

DURATION_US, BILLED_MS, MEMORY_SIZE_MB, MAX_MEMORY_USED_MB, INIT_US, RESTORE_US, OUTCOME, TAIL_AT = range(8)
"""The record of a REPORT line: whole microseconds, ms, MB; -1 for an absent time.

The outcome is an index into `OUTCOMES`, or `NOT_ASKED`: then `outcome_of` the text from `TAIL_AT` on tells it.
"""
REPORT_SIZE = 8
NOT_ASKED = -2

ID_SIZE = 36
ID_WORDS = 5
"""Request ids are kept as words: the id begins behind three bytes that are 0, and one is behind it."""

_REPORT = label("REPORT RequestId: ")
_DURATION, _BILLED = label("Duration: "), label("Billed Duration: ")
_MEMORY, _MAX_MEMORY = label("Memory Size: "), label("Max Memory Used: ")
_INIT, _RESTORE, _BILLED_RESTORE = (
    label("Init Duration: "),
    label("Restore Duration: "),
    label("Billed Restore Duration: "),
)
_START, _VERSION, _END = label("START RequestId: "), label(" Version: "), label("END RequestId: ")
_INIT_START, _RESTORE_START = label("INIT_START Runtime Version: "), label("RESTORE_START Runtime Version: ")

_FIRST_BYTES, _LAST_BYTES = U(0xFFFFFFFFFF000000), U(0x00FFFFFFFFFFFFFF)

_WHOLE_DIGITS, _OTHER_DIGITS, _MEMORY_DIGITS = 6, 7, 5
"""So many digits a time has before its point, and other numbers, at most: all fit into what they are kept in."""


@inlined
def is_id(text: int, at: int, tab: int) -> bool:
    """Whether 36 characters may be a request id: anything that is printed, and in JSON needs no escape."""
    for place in (at, at + 8, at + 16, at + 24, at + 28):
        found = word_at(text, place)
        wrong = (found - _FIRST_PRINTED) | found
        if tab == 2:
            wrong |= zero_bytes(found ^ _QUOTES) | zero_bytes(found ^ _BACKSLASHES)
        if wrong & HIGH_BITS != NONE:
            return False
    return True


_FIRST_PRINTED = U(0x2121212121212121)
_QUOTES, _BACKSLASHES = word('"' * 8), word("\\" * 8)


@inlined
def copy_id(text: int, at: int, ids: int, row: int) -> None:
    put_word(ids, row * ID_WORDS + 0, word_at(text, at - 3) & _FIRST_BYTES)
    put_word(ids, row * ID_WORDS + 1, word_at(text, at + 5))
    put_word(ids, row * ID_WORDS + 2, word_at(text, at + 13))
    put_word(ids, row * ID_WORDS + 3, word_at(text, at + 21))
    put_word(ids, row * ID_WORDS + 4, word_at(text, at + 29) & _LAST_BYTES)


@inlined
def is_tab(text: int, at: int, tab: int) -> bool:
    if tab == 1:
        return char_at(text, at) == 9
    return char_at(text, at) == 92 and char_at(text, at + 1) == 116


@inlined
def _time_us(text: int, at: int) -> tuple[int, int]:
    """The µs of `110.10 ms` at an offset, and where that ends; at the offset if it is none."""
    whole, end = digits(text, at, _WHOLE_DIGITS)
    tenths, hundredths = char_at(text, end + 1) - 48, char_at(text, end + 2) - 48
    if end == at or char_at(text, end) != 46 or not 0 <= tenths <= 9 or not 0 <= hundredths <= 9:
        return 0, at
    if char_at(text, end + 3) != 32 or char_at(text, end + 4) != 109 or char_at(text, end + 5) != 115:
        return 0, at
    return (whole * 100 + tenths * 10 + hundredths) * 10, end + 6


@inlined
def _number(text: int, at: int, most: int, unit: int) -> tuple[int, int]:
    """The number of `12 MB` or `12 ms` at an offset, and where that ends; at the offset if it is none."""
    found, end = digits(text, at, most)
    if (
        end == at
        or char_at(text, end) != 32
        or char_at(text, end + 1) != unit
        or char_at(text, end + 2) != (66 if unit == 77 else 115)
    ):
        return 0, at
    return found, end + 3


_M, _m = 77, 109


@inlined
def read_report(text: int, at: int, tab: int, told: int, ids: int, row: int) -> int:
    """Writes what the REPORT message at an offset says; where its last number's unit ends, -1 where it is none."""
    if not begins_with(text, at, _REPORT) or not is_id(text, at + _REPORT.size, tab):
        return -1
    at += _REPORT.size
    copy_id(text, at, ids, row)
    at += ID_SIZE
    if not is_tab(text, at, tab) or not begins_with(text, at + tab, _DURATION):
        return -1
    at += tab + _DURATION.size
    duration_us, end = _time_us(text, at)
    if end == at or not is_tab(text, end, tab) or not begins_with(text, end + tab, _BILLED):
        return -1
    at = end + tab + _BILLED.size
    billed_ms, end = _number(text, at, _OTHER_DIGITS, _m)
    if end == at or not is_tab(text, end, tab) or not begins_with(text, end + tab, _MEMORY):
        return -1
    at = end + tab + _MEMORY.size
    memory_size_mb, end = _number(text, at, _MEMORY_DIGITS, _M)
    if end == at or not is_tab(text, end, tab) or not begins_with(text, end + tab, _MAX_MEMORY):
        return -1
    at = end + tab + _MAX_MEMORY.size
    max_memory_used_mb, end = _number(text, at, _OTHER_DIGITS, _M)
    if end == at:
        return -1
    init_us = restore_us = -1
    if is_tab(text, end, tab):
        if begins_with(text, end + tab, _INIT):
            at = end + tab + _INIT.size
            init_us, end = _time_us(text, at)
            if end == at:
                return -1
        elif begins_with(text, end + tab, _RESTORE):
            at = end + tab + _RESTORE.size
            restore_us, end = _time_us(text, at)
            if end == at or not is_tab(text, end, tab) or not begins_with(text, end + tab, _BILLED_RESTORE):
                return -1
            at = end + tab + _BILLED_RESTORE.size
            _, end = _number(text, at, _OTHER_DIGITS, _m)
            if end == at:
                return -1
    record = row * REPORT_SIZE
    put_integer(told, record + DURATION_US, duration_us)
    put_integer(told, record + BILLED_MS, billed_ms)
    put_integer(told, record + MEMORY_SIZE_MB, memory_size_mb)
    put_integer(told, record + MAX_MEMORY_USED_MB, max_memory_used_mb)
    put_integer(told, record + INIT_US, init_us)
    put_integer(told, record + RESTORE_US, restore_us)
    put_integer(told, record + OUTCOME, 0)
    put_integer(told, record + TAIL_AT, end)
    return end


@inlined
def read_start(text: int, at: int, tab: int, ids: int, row: int) -> int:
    """Writes the id of the START message at an offset; where its version begins, -1 where it is none."""
    if not begins_with(text, at, _START) or not is_id(text, at + _START.size, tab):
        return -1
    at += _START.size
    copy_id(text, at, ids, row)
    if not begins_with(text, at + ID_SIZE, _VERSION):
        return -1
    return at + ID_SIZE + _VERSION.size


@inlined
def version_word(text: int, at: int, end: int, tab: int) -> np.uint64:
    """The version from one offset up to another, of up to eight characters; 0 where it is longer, or not printed."""
    if not 1 <= end - at <= 8:
        return NONE
    for place in range(at, end):
        char = char_at(text, place)
        if not is_printed(char) or (tab == 2 and char in (34, 92)):
            return NONE
    return np.uint64(word_at(text, at) & _MASKS[end - at])


_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], U)


@inlined
def end_of_end(text: int, at: int, tab: int) -> int:
    """Where the END message at an offset ends; -1 where it is none."""
    if not begins_with(text, at, _END) or not is_id(text, at + _END.size, tab):
        return -1
    return at + _END.size + ID_SIZE


@inlined
def is_init_start(text: int, at: int) -> bool:
    return begins_with(text, at, _INIT_START)


@inlined
def is_restore_start(text: int, at: int) -> bool:
    return begins_with(text, at, _RESTORE_START)


# --- outcomes --------------------------------------------------------------------------------------------------------

OUTCOMES: list[tuple[str | None, str | None]] = [(None, None)]
"""(status, error type) of REPORT lines, as they are met in this process."""

_OUTCOMES_MAX = 10_000
_TAIL_MAX = 200
_DIGIT = re.compile(rb"[0-9]")
_TAIL = re.compile(r"\t?|(?:\tStatus: [a-z]+)?(?:\tError Type: [A-Za-z.]+)?\t?")
_XRAY = re.compile(
    rb"\\nXRAY TraceId: [0-9a-f-]{1,64}\\tSegmentId: [0-9a-f]{1,32}(?:\\tSampled: (?:true|false))?(?:\\t)?(?=\\n\Z)"
)


def outcome_of(tail: bytes, tab: int) -> int:
    """What a REPORT line says behind its last number, as an index into `OUTCOMES`; -1 where that is not known."""
    if len(tail) > _TAIL_MAX:
        return -1
    if tab == 2 and b"XRAY" in tail:
        tail = _XRAY.sub(b"", tail)
    return _outcome_of(tail, tab)


@lru_cache(maxsize=4096)
def _outcome_of(tail: bytes, tab: int) -> int:
    """As the general reader says, which is asked once for each text."""
    if _DIGIT.search(tail) or (tab == 2 and not tail.endswith(b"\\n")):
        return -1
    written = tail.removesuffix(b"\\n").replace(b"\\t", b"\t") if tab == 2 else tail
    told = written.decode("ascii", "replace")
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

"""Buffers of text, and the smallest things that are read in them: labels, numbers, instants.

A word is eight bytes of text, the first one lowest. A label is compared as the words that it begins and ends with,
which may overlap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Bytes, Integers, U
from serverless_lab.coldstarts.digest.machine import bytes_below, char_at, compiled, inlined, word_at


class Text:
    """A buffer of text: its bytes as an array, and their address, which is good for as long as this is."""

    def __init__(self, raw: bytes | bytearray) -> None:
        self.raw = raw
        self.chars: Bytes = np.frombuffer(raw, np.uint8)
        self.address = self.chars.ctypes.data


def word(text: str) -> np.uint64:
    """Up to eight characters as a word; the missing ones are 0."""
    return U(int.from_bytes(text.encode("latin-1"), "little"))


class Label(NamedTuple):
    """Text of 8 to 32 characters, as words and where they stand in it."""

    size: int
    first: np.uint64
    second_at: int
    second: np.uint64
    third_at: int
    third: np.uint64
    last: np.uint64


def label(text: str) -> Label:
    last = len(text) - 8
    second, third = min(8, last), min(16, last)
    words = [word(text[at : at + 8]) for at in (0, second, third, last)]
    return Label(len(text), words[0], second, words[1], third, words[2], words[3])


NEVER = -(1 << 62)
"""No instant."""

ONES, HIGH_BITS, NONE = U(0x0101010101010101), U(0x8080808080808080), U(0)


@inlined
def zero_bytes(word: np.uint64) -> np.uint64:
    """Nothing where no byte is 0; else the lowest bit is of the first one that is. Those above it mean nothing."""
    return (word - ONES) & ~word & HIGH_BITS


@inlined
def begins_with(text: int, at: int, wanted: Label) -> bool:
    """Whether a label stands at an offset."""
    differs = word_at(text, at) ^ wanted.first
    differs |= word_at(text, at + wanted.second_at) ^ wanted.second
    differs |= word_at(text, at + wanted.third_at) ^ wanted.third
    differs |= word_at(text, at + wanted.size - 8) ^ wanted.last
    return bool(differs == NONE)


STAMP_SIZE = 24
"""Of `2025-01-01T00:00:01.727Z`."""


@inlined
def _eight_digits(digits: np.uint64) -> int:
    """The number of eight digits 0…9, the first one lowest and highest in value."""
    pairs = ((digits * U(2561)) >> U(8)) & U(0x00FF00FF00FF00FF)
    fours = ((pairs * U(6553601)) >> U(16)) & U(0x0000FFFF0000FFFF)
    return int((fours * U(42949672960001)) >> U(32))


@inlined
def digits(text: int, at: int, most: int) -> tuple[int, int]:
    """The number at an offset, of at most so many digits, seven or fewer; and where it ends: where it begins, if there
    is none.
    """
    chars = word_at(text, at) ^ _ZEROS
    count = bytes_below(((chars + _ABOVE_NINE) | chars) & HIGH_BITS)
    if not 1 <= count <= most:
        return 0, at
    return _eight_digits(chars << U(64 - 8 * count)), at + count


@inlined
def epoch_ms(text: int, at: int) -> int:
    """The instant of 13 digits at an offset, from 2001 to 2286; `NEVER` for anything else, or more digits."""
    first, second = word_at(text, at) ^ _ZEROS, word_at(text, at + 5) ^ _ZEROS
    wrong = ((first + _ABOVE_NINE) | first | (second + _ABOVE_NINE) | second) & HIGH_BITS
    if wrong != NONE or char_at(text, at) == 48 or 48 <= char_at(text, at + EPOCH_MS_SIZE) <= 57:
        return NEVER
    return _eight_digits(first) * 100_000 + _eight_digits(second) % 100_000


EPOCH_MS_SIZE = 13
_ZEROS, _ABOVE_NINE = word("0" * 8), U(0x7676767676767676)


@inlined
def is_printed(char: int) -> bool:
    """ASCII, neither blank nor control character."""
    return 33 <= char <= 127


@inlined
def _two(text: int, at: int) -> int:
    """Two digits as a number; less than 0 for anything else."""
    high, low = char_at(text, at) - 48, char_at(text, at + 1) - 48
    if 0 <= high <= 9 and 0 <= low <= 9:
        return high * 10 + low
    return -1


@inlined
def has_signs_of_instant(text: int, at: int) -> bool:
    """Whether everything but the digits of an instant stands in its place."""
    return (
        char_at(text, at + 4) == 45
        and char_at(text, at + 7) == 45
        and char_at(text, at + 10) == 84
        and char_at(text, at + 13) == 58
        and char_at(text, at + 16) == 58
        and char_at(text, at + 19) == 46
        and char_at(text, at + 23) == 90
    )


@compiled
def minute_ms(text: int, at: int) -> int:
    """Epoch ms of `2025-01-01T00:00` at an offset; `NEVER` for anything else."""
    century, year = _two(text, at), _two(text, at + 2)
    month, day = _two(text, at + 5), _two(text, at + 8)
    hour, minute = _two(text, at + 11), _two(text, at + 14)
    if char_at(text, at + 4) != 45 or char_at(text, at + 7) != 45:
        return NEVER
    if char_at(text, at + 10) != 84 or char_at(text, at + 13) != 58:
        return NEVER
    if century < 0 or year < 0 or not 1 <= month <= 12 or not 0 <= hour <= 23 or not 0 <= minute <= 59:
        return NEVER
    year += century * 100
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = 31
    if month == 2:
        last = 28 + is_leap
    elif month in (4, 6, 9, 11):
        last = 30
    if year < 1 or not 1 <= day <= last:
        return NEVER
    # Years begin in March, so that a leap day is the last one of its year.
    months = (month + 9) % 12
    years = year - (month <= 2)
    days = 365 * years + years // 4 - years // 100 + years // 400 + (153 * months + 2) // 5 + day - 1 - 719_468
    return ((days * 24 + hour) * 60 + minute) * 60_000


@inlined
def second_ms(text: int, at: int) -> int:
    """ms of `:01.727Z` at an offset; less than 0 for anything else."""
    second, tenths, rest = _two(text, at + 1), _two(text, at + 4), char_at(text, at + 6) - 48
    if char_at(text, at) != 58 or char_at(text, at + 3) != 46 or char_at(text, at + 7) != 90:
        return -1
    if not 0 <= second <= 59 or tenths < 0 or not 0 <= rest <= 9:
        return -1
    return second * 1000 + tenths * 10 + rest


@compiled
def find_line_ends(text: int, begin: int, end: int, found: Integers, count: int) -> tuple[int, int]:
    """Writes where line feeds are between two offsets behind the first `count` of `found`.

    How many there are then, and from where on there was no room for more.
    """
    at = begin
    while at < end:
        first, second = word_at(text, at) ^ _LINE_FEEDS, word_at(text, at + 8) ^ _LINE_FEEDS
        if (zero_bytes(first) | zero_bytes(second)) == NONE:
            at += 16
            continue
        if count + 8 > len(found):
            return count, at
        # Of each byte the high bit, where it is 0 and for sure nowhere else.
        here = ~(((first & _LOW_BITS) + _LOW_BITS) | first | _LOW_BITS)
        while here != NONE:
            found[count] = at + bytes_below(here)
            count += found[count] < end
            here &= here - ONE
        at += 8
    return count, end


_LINE_FEEDS, _LOW_BITS, ONE = word("\n" * 8), U(0x7F7F7F7F7F7F7F7F), U(1)

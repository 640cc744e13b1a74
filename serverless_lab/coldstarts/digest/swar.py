"""Numbers and instants out of eight characters at a time: a word is eight bytes of text, the first one lowest.

All functions take and give arrays. A window is the text from some offset on, as an (n, k) array of words, so that a
column of it is the same eight characters of every line.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint64]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

U = np.uint64
HIGH_BITS = U(0x8080808080808080)
ONE = U(1)


def word(text: str) -> np.uint64:
    """Up to eight characters as a word; the missing ones are 0."""
    return U(int.from_bytes(text.encode("latin-1"), "little"))


def mask(pattern: str) -> np.uint64:
    """0xFF for each character of `pattern` that is not a question mark."""
    return U(int.from_bytes(bytes(0 if char == "?" else 0xFF for char in pattern), "little"))


_ZEROS = word("00000000")
ABOVE_NINE = U(0x7676767676767676)  # adding it to a byte above 9 sets the byte's high bit


class Text:
    """A buffer of text, to be read eight characters at a time from any byte on.

    The buffer must go on behind every offset for as long as what is asked for.
    """

    def __init__(self, raw: bytes | bytearray) -> None:
        self.raw = raw
        self.buffer: Bytes = np.frombuffer(raw, np.uint8)
        buffer = self.buffer
        self._every_word: Words = np.ndarray((len(buffer) - 7,), _WORD, buffer, 0, (1,))
        self._every: dict[int, np.ndarray] = {}

    def words(self, at: Integers) -> Words:
        """The eight characters from each offset on."""
        found: Words = self._every_word[at]
        return found

    def windows(self, at: Integers, words: int) -> Words:
        """The text from each offset on, as (n, words)."""
        every = self._every.get(words)
        if every is None:
            size = 8 * words
            every = self._every[words] = np.ndarray((len(self.buffer) - size + 1,), f"V{size}", self.buffer, 0, (1,))
        return every[at].view(_WORD).reshape(len(at), words)


_WORD = np.dtype("<u8")


def digits_before(chars: Words) -> tuple[Words, Integers, Words]:
    """The digits that each word begins with, as the numbers 0…9 at the word's end with zeros before them; how many
    there are, at most seven; and a word that is not 0 where there is none.
    """
    digits = chars ^ _ZEROS
    end = digits + ABOVE_NINE
    end |= digits
    end &= HIGH_BITS
    end |= _HIGHEST_BIT
    # All bits below the lowest one that is set: seven, and eight for each digit.
    below = end - ONE
    below &= ~end
    bits = np.bitwise_count(below).astype(np.int64)
    digits <<= (71 - bits).view(np.uint64)
    end &= _LOW_BYTE
    bits >>= 3
    return digits, bits, end


_HIGHEST_BIT, _LOW_BYTE = U(1 << 63), U(0xFF)


def number(digits: Words) -> Integers:
    """The number of eight decimal digits, the first byte being the highest one."""
    found = digits * U(2561)
    found >>= U(8)
    found &= U(0x00FF00FF00FF00FF)
    found *= U(6553601)
    found >>= U(16)
    found &= U(0x0000FFFF0000FFFF)
    found *= U(42949672960001)
    found >>= U(32)
    return found.view(np.int64)


# --- instants --------------------------------------------------------------------------------------------------------

# `2025-01-01T00:00:01.727Z`: what a word holds when every digit is 0, and a number for each byte which sets its high
# bit when added to anything that is not right there: above 9 for digits, above 0 for the rest.
_STAMP = ("0000-00-", "00T00:00", ":00.000Z")
_STAMP_WORDS = tuple(word(part) for part in _STAMP)
_STAMP_LIMITS = tuple(
    U(int.from_bytes(bytes(0x76 if char == "0" else 0x7F for char in part), "little")) for part in _STAMP
)
STAMP_SIZE = 24
_BYTE = U(0xFF)


_STAMP_SIGNS = tuple(mask("".join("?" if char == "0" else char for char in part)) for part in _STAMP)


def look_like_instants(text: Words) -> Flags:
    """Whether each window of three words has the signs of an instant in their places, whatever its digits are."""
    wrong = (text[:, 0] ^ _STAMP_WORDS[0]) & _STAMP_SIGNS[0]
    for at in (1, 2):
        wrong |= (text[:, at] ^ _STAMP_WORDS[at]) & _STAMP_SIGNS[at]
    found: Flags = wrong == 0
    return found


def instants(first: Words, second: Words, third: Words) -> tuple[Integers, Flags]:
    """Epoch ms of `2025-01-01T00:00:01.727Z`, given as three words, and whether each is one."""
    if not len(first):
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    seconds = third ^ _STAMP_WORDS[2]
    valid = ((seconds | (seconds + _STAMP_LIMITS[2])) & HIGH_BITS) == 0
    pairs = seconds * U(10) + (seconds >> U(8))
    second_, tenths = (pairs >> U(8)) & _BYTE, (pairs >> U(32)) & _BYTE
    ms = ((second_ * U(100) + tenths) * U(10) + ((seconds >> U(48)) & _BYTE)).view(np.int64)
    if second_.max() > 59:
        valid &= second_ <= 59
    # Lines of one minute stand together, mostly: each minute is read once.
    ends = np.flatnonzero((first[1:] != first[:-1]) | (second[1:] != second[:-1])) + 1
    if 2 * len(ends) > len(first):
        minute_ms, is_minute = _minutes(first, second)
        return ms + minute_ms, valid & is_minute
    edges = np.concatenate([[0], ends, [len(first)]])
    minute_ms, is_minute = _minutes(first[edges[:-1]], second[edges[:-1]])
    lengths = edges[1:] - edges[:-1]
    if not is_minute.all():
        valid &= np.repeat(is_minute, lengths)
    return ms + np.repeat(minute_ms, lengths), valid


def _minutes(first: Words, second: Words) -> tuple[Integers, Flags]:
    """Epoch ms of `2025-01-01T00:00`, given as two words, and whether each is one."""
    date, clock = first ^ _STAMP_WORDS[0], second ^ _STAMP_WORDS[1]
    wrong = date | (date + _STAMP_LIMITS[0]) | clock | (clock + _STAMP_LIMITS[1])
    valid = (wrong & HIGH_BITS) == 0
    pairs = clock * U(10) + (clock >> U(8))
    hour, minute = (pairs >> U(24)) & _BYTE, (pairs >> U(48)) & _BYTE
    valid &= (hour <= 23) & (minute <= 59)
    # The date as eight digits: the two of the day in place of the hyphens.
    day = clock & U(0xFFFF)
    midnight, is_date = _midnights((date & ~_HYPHENS) | (day & _BYTE) << U(32) | (day >> U(8)) << U(56), valid)
    return ((hour * U(60) + minute) * U(60_000)).view(np.int64) + midnight, is_date


_HYPHENS = word("\0\0\0\0\xff\0\0\xff")


def _midnights(dates: Words, valid: Flags) -> tuple[Integers, Flags]:
    """Epoch ms of each valid date, given as the digits YYYYdMMd; and which of them are dates."""
    midnights = np.zeros(len(dates), np.int64)
    left = valid
    # A block of a log knows one date, or two. The loop takes as many turns as there are.
    while (at := int(left.argmax()) if len(left) else 0) < len(left) and left[at]:
        same = left & (dates == dates[at])
        midnight = _midnight(int(dates[at]))
        if midnight is None:
            valid = valid & ~same
        else:
            midnights[same] = midnight
        left = left & ~same
    return midnights, valid


@lru_cache(maxsize=4096)
def _midnight(date: int) -> int | None:
    digits = bytes(48 + digit for digit in date.to_bytes(8, "little"))
    year, month, day = int(digits[:4]), int(digits[5:7]), int(digits[4:5] + digits[7:])
    try:
        return round(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        return None

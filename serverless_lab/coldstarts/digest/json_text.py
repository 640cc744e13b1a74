"""Strings as JSON writes them: where each ends, and whether the general reader must see what is in it."""

from __future__ import annotations

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Flags
from serverless_lab.coldstarts.digest.chars import HIGH_BITS, NONE, word, zero_bytes
from serverless_lab.coldstarts.digest.machine import bytes_below, char_at, inlined, word_at

QUOTE, BACKSLASH = 34, 92

_ESCAPED: Flags = np.isin(np.arange(256), np.frombuffer(b'"\\/bfnrt', np.uint8))
"""What may stand behind a backslash, but for the code of a character."""

_HEXADECIMAL: Flags = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdefABCDEF", np.uint8))

_BLANKS, _QUOTES, _BACKSLASHES = word(" " * 8), word('"' * 8), word("\\" * 8)


@inlined
def end_of_string(text: int, at: int) -> int:
    """Where the quote is that ends a string; -1 where it is none."""
    while True:
        at = _next_special(text, at)
        if char_at(text, at) == QUOTE:
            return at
        if char_at(text, at) != BACKSLASH:
            return -1
        escaped = char_at(text, at + 1)
        if _ESCAPED[escaped]:
            at += 2
            continue
        if escaped != 117:
            return -1
        for place in range(at + 2, at + 6):
            if not _HEXADECIMAL[char_at(text, place)]:
                return -1
        at += 6


@inlined
def _next_special(text: int, at: int) -> int:
    """Where the next quote, backslash or control character is."""
    while True:
        found = word_at(text, at)
        special = (
            zero_bytes(found ^ _QUOTES) | zero_bytes(found ^ _BACKSLASHES) | (found - _BLANKS) & ~found & HIGH_BITS
        )
        if special != NONE:
            return at + bytes_below(special)
        at += 8


@inlined
def end_of_plain(text: int, at: int) -> int:
    """Where the quote is that ends a string of ASCII without escapes; -1 where it is none."""
    end = _next_special(text, at)
    if char_at(text, end) != QUOTE:
        return -1
    beyond_ascii = word_at(text, end - 8)  # of a short one also what stands before it, and that is ASCII
    while at < end - 8:
        beyond_ascii |= word_at(text, at)
        at += 8
    return end if beyond_ascii & HIGH_BITS == NONE else -1


# How platform lines, and what may stand before them, can begin: their first letters, a time, an id, blanks, escapes.
_BEGINNINGS: Flags = np.zeros(256, np.bool_)
_BEGINNINGS[np.frombuffer(b"REISTLabcdefABCDEF0123456789{ \\", np.uint8)] = True
_BEGINNINGS[127:] = True

_IS_MARKED: Flags = np.isin(np.arange(256), np.frombuffer(b":_T.\\", np.uint8))
_REQUEST_I, _TASK_TIM, _PLATFORM, _LESS_LAB = word("RequestI"), word("Task tim"), word("platform"), word("less-lab")
_NAME, _START, _REPORT = word("Name:"), word("_START"), word("_REPORT")
_NAME_MASK, _START_MASK, _REPORT_MASK = word("\xff" * 5), word("\xff" * 6), word("\xff" * 7)


@inlined
def may_tell(text: int, at: int, end: int) -> bool:
    """Whether a message has a mark that stands in each that the general reader makes something of.

    These are `RequestId:`, `Name:`, `_START`, `_REPORT`, `Task timed out after `, `platform.`, `serverless-lab.`; or
    any character may be written as its code.
    """
    if at == end or not _BEGINNINGS[char_at(text, at)]:
        return False
    for place in range(at, end):
        char = char_at(text, place)
        if not _IS_MARKED[char]:
            continue
        if char == 58:
            if word_at(text, place - 9) == _REQUEST_I or word_at(text, place - 4) & _NAME_MASK == _NAME:
                return True
        elif char == 95:
            if word_at(text, place) & _START_MASK == _START or word_at(text, place) & _REPORT_MASK == _REPORT:
                return True
        elif char == 84:
            if word_at(text, place) == _TASK_TIM:
                return True
        elif char == 46:
            if word_at(text, place - 8) == _PLATFORM or word_at(text, place - 8) == _LESS_LAB:
                return True
        elif char == BACKSLASH and char_at(text, place + 1) == 117:
            return True
    return False

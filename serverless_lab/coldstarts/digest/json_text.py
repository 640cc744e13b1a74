"""Messages as JSON writes them: whether each is whole, and whether the general reader must see it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from serverless_lab.coldstarts.digest.swar import Bytes, Flags, Integers, Text

_QUOTE, _BACKSLASH = 34, 92

_ESCAPED: Flags = np.isin(np.arange(256), np.frombuffer(b'"/bfnrt', np.uint8))
"""What may stand behind a backslash, but for another one and the code of a character."""

_WHOLE = re.compile(rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+')

_MARKS = (
    *(b"RequestId:", b"_START", b"_REPORT", b"Name:", b"Task timed out after ", b"platform.", b"serverless-lab."),
    b"\\u",
)
"""One of these stands in every message that the general reader makes something of; any letter may be escaped."""

# How platform lines, and what may stand before them, can begin: their first letters, a time, an id, blanks, escapes.
_BEGINNINGS: Flags = np.zeros(256, np.bool_)
_BEGINNINGS[np.frombuffer(b"REISTLabcdefABCDEF0123456789{ \\", np.uint8)] = True
_BEGINNINGS[127:] = True


def may_tell(text: Text, at: Integers, ends: Integers, is_told: Flags) -> tuple[Flags, Flags]:
    """Of messages from `at` up to `ends`, where a quote stands: which are whole, and which may be platform lines.

    Args:
        is_told: which of them are known to be a platform line; of those only the first is asked.
    """
    if not len(at):
        return np.zeros(0, np.bool_), np.zeros(0, np.bool_)
    raw = text.raw
    is_whole = ~_are_doubtful(text, at, ends)
    for which in np.flatnonzero(~is_whole).tolist():
        is_whole[which] = _WHOLE.fullmatch(raw, int(at[which]), int(ends[which])) is not None
    tells = _BEGINNINGS[text.buffer[at]] & (ends > at) & ~is_told
    perhaps = np.flatnonzero(tells)
    tells[:] = False
    at, ends = at[perhaps], ends[perhaps]
    together = b"\n".join([raw[begin:end] for begin, end in zip(at.tolist(), ends.tolist(), strict=True)])
    found = [place for mark in _MARKS for place in _places(mark, together)]
    if found:
        lasts = np.cumsum(ends - at + 1)  # behind the line feed of each
        tells[perhaps[np.searchsorted(lasts, found, side="right")]] = True
    return is_whole, tells


def _places(mark: bytes, text: bytes) -> Iterator[int]:
    at = text.find(mark)
    while at >= 0:
        yield at
        at = text.find(mark, at + len(mark))


_AT_ONCE = 512
_SIZE_MAX = 448
"""Longer messages are looked at one by one."""


def _are_doubtful(text: Text, at: Integers, ends: Integers) -> Flags:
    """Which messages have anything but plain characters and plain escapes."""
    sizes = ends - at
    doubtful = sizes > _SIZE_MAX
    at, sizes = at.copy(), np.where(doubtful, 0, sizes)
    for begin in range(0, len(at), _AT_ONCE):
        here = slice(begin, begin + _AT_ONCE)
        size = sizes[here].astype(np.int16)
        words = int(size.max()) // 8 + 1  # the quote behind it too
        chars: Bytes = text.windows(at[here], words).view(np.uint8)
        inside = np.arange(8 * words, dtype=np.int16) < size[:, None]
        # Row behind row: between two of them stands what is behind a message, and that is no escape.
        flat, is_inside = chars.reshape(-1), inside.reshape(-1)
        is_escape = flat == _BACKSLASH
        is_escape &= is_inside
        wrong = flat == _QUOTE
        wrong[1:] &= ~is_escape[:-1]
        wrong |= flat < 32
        wrong &= is_inside
        escapes = np.flatnonzero(is_escape)
        wrong[escapes] |= ~_ESCAPED[flat[escapes + 1]]
        if wrong.any():
            doubtful[here] |= wrong.reshape(chars.shape).any(axis=1)
        # The quote at the end is none if it is escaped.
        lasts = np.arange(0, len(flat), 8 * words) + np.maximum(size - 1, 0)
        doubtful[here] |= is_escape[lasts]
    return doubtful

"""Which lines of a log may be a platform line: nearly every line of an application is told by its first characters.

A platform line stands at the beginning of a message, or behind times, streams, groups and blanks.
"""

from __future__ import annotations

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Bytes, U
from serverless_lab.coldstarts.digest.chars import NONE, STAMP_SIZE, has_signs_of_instant, word, zero_bytes
from serverless_lab.coldstarts.digest.machine import bytes_below, char_at, compiled, inlined, word_at
from serverless_lab.coldstarts.digest.platform_text import ID_SIZE

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

_HEAD_TEXTS = (
    *("REPORT", "START", "END", "INIT_", "RESTORE_", "EXTENSIO", "TELEMETR", "LOGS", "RequestI"),
    *("timestam", "ingestio", "message", "logStrea", "log", "ptr"),
)
_HEADS = np.array([word(text) for text in _HEAD_TEXTS], U)
_HEAD_MASKS = np.array([word("\xff" * len(text)) for text in _HEAD_TEXTS], U)
_BLANKS_MAX = 64

_PLATFORM, _M = word('"platfor'), ord("m")


@compiled
def may_tell(text: int, at: int, end: int) -> bool:
    """Whether the general reader must see a text; else it has no platform line for sure."""
    for _ in range(_BLANKS_MAX):
        if at >= end:
            return False
        kind = _CLASSES[char_at(text, at)]
        if kind == _NOTHING:
            return False
        if kind == _BLANK:
            at += 1
        elif kind == _DIGIT and has_signs_of_instant(text, at):
            at += STAMP_SIZE
        elif kind == _BRACE:
            return _has_platform(text, at, end)
        elif kind == _PERHAPS:
            return True
        else:
            return _may_be_text(text, at, kind)
    return True


@inlined
def _has_platform(text: int, at: int, end: int) -> bool:
    """Whether `"platform` stands somewhere in a text."""
    for place in range(at, end - 8):  # noqa: SIM110 (numba compiles no generators)
        if word_at(text, place) == _PLATFORM and char_at(text, place + 8) == _M:
            return True
    return False


@inlined
def _may_be_text(text: int, at: int, kind: int) -> bool:
    """Of a text that begins with a letter or a digit: whether it may be a platform line, or stand before one."""
    if kind == _HEAD:
        for which in range(len(_HEADS)):
            if word_at(text, at) & _HEAD_MASKS[which] == _HEADS[which]:
                return True
    if char_at(text, at + 8) == 45 and char_at(text, at + 13) == 45:
        # A request id, and perhaps `Task timed out after` behind it. Node.js writes more behind another tab.
        behind = char_at(text, at + ID_SIZE + 1)
        return behind in (84, 32, 9)
    # `2025-`, `2025/`, or 13 digits.
    return kind == _DIGIT and (char_at(text, at + 4) in (45, 47) or 48 <= char_at(text, at + 12) <= 57)


@inlined
def has_colour(text: int, at: int, end: int) -> bool:
    """Whether an escape character stands in a text."""
    while at < end:
        escapes = zero_bytes(word_at(text, at) ^ _ESCAPES)
        if escapes != NONE:
            return at + bytes_below(escapes) < end
        at += 8
    return False


_ESCAPES = word("\x1b" * 8)

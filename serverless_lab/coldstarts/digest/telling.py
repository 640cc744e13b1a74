"""Which lines of a log may be a platform line: nearly every line of an application is told by its first characters.

A platform line stands at the beginning of a message, or behind times, streams, groups and blanks.
"""

from __future__ import annotations

import numpy as np

from serverless_lab.coldstarts.digest.swar import Bytes, Flags, Integers, Text, Words, look_like_instants, word
from serverless_lab.coldstarts.digest.text import MESSAGE_AT

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
_HEADS = tuple((word(text), word("\xff" * len(text))) for text in _HEAD_TEXTS)
_BLANKS_MAX = 64

# The same by the first two characters, of which a head is told by both.
_PAIRS: Bytes = np.tile(np.where(_CLASSES == _HEAD, _LETTER, _CLASSES).astype(np.uint8), 256)
for _text in _HEAD_TEXTS:
    _PAIRS[int.from_bytes(_text[:2].encode(), "little")] = _HEAD

_PAIR, _BYTE = np.uint64(0xFFFF), np.uint64(0xFF)
_HYPHEN, _TAB = np.uint64(ord("-")), np.uint64(ord("\t"))


_ESCAPE = 0x1B


def coloured_lines(text: Text, starts: Integers, ends: Integers) -> Integers:
    """Which lines hold an escape character."""
    if not len(starts):
        return np.zeros(0, np.int64)
    begin, end = int(starts[0]), int(ends[-1])
    if text.raw.find(_ESCAPE, begin, end) < 0:
        return np.zeros(0, np.int64)
    places = np.flatnonzero(text.buffer[begin:end] == _ESCAPE) + begin
    return np.unique(np.searchsorted(starts, places, side="right") - 1)


def may_tell(text: Text, starts: Integers, ends: Integers, heads: Words) -> Flags:
    """Which lines the general reader must see; the others have no platform line for sure.

    Args:
        heads: of each line the eight characters from the one before its message on, if it begins with a time.
    """
    kinds = _PAIRS.take((heads >> np.uint64(8)) & _PAIR)
    is_stamped = look_like_instants(text.windows(starts, 3))
    # Nearly all lines of an application are done with here: behind their time comes what no platform line begins with.
    left = np.flatnonzero((kinds != _NOTHING) | ~is_stamped)
    is_node = np.zeros(len(left), np.bool_)
    if (kinds[left] == _DIGIT).any():
        is_node = kinds[left] == _DIGIT
        is_node[is_node] = _are_of_node(text.windows(starts[left[is_node]] + MESSAGE_AT, 8))
    # A request id has a hyphen there.
    is_word = kinds[left] == _LETTER
    is_word[is_word] = text.buffer[starts[left[is_word]] + (MESSAGE_AT + 8)] != _HYPHEN
    is_json = (kinds[left] == _BRACE) & is_stamped[left]
    json_lines = left[is_json]
    left = left[~(((is_node | is_word) & is_stamped[left]) | is_json)]
    found = np.zeros(len(starts), np.bool_)
    found[json_lines] = _with(b'"platform.', text, starts[json_lines] + MESSAGE_AT, ends[json_lines])
    found[left] = may_be_platform_line(text, starts[left] + MESSAGE_AT * is_stamped[left], ends[left])
    return found


def _are_of_node(window: Words) -> Flags:
    """Which messages begin as Node.js writes them, `<time>⇥<request id>⇥INFO⇥…`, and tell of no timeout."""
    found = look_like_instants(window)
    found &= (window[:, 3] & _BYTE) == _TAB
    found &= (window[:, 4] & _NODE_HYPHENS) == _NODE_HYPHENS_ARE
    found &= (window[:, 7] & _NODE_TAB) == _NODE_TAB_IS
    behind = (window[:, 7] >> np.uint64(48)) & _BYTE
    found &= ~_is_blank(behind) & (behind != ord("T"))
    return found


_NODE_HYPHENS, _NODE_HYPHENS_ARE = word("\0\xff\0\0\0\0\xff"), word("\0-\0\0\0\0-")
_NODE_TAB, _NODE_TAB_IS = word("\0\0\0\0\0\xff"), word("\0\0\0\0\0\t")


def may_be_platform_line(text: Text, at: Integers, ends: Integers) -> Flags:
    """Which texts, from `at` up to `ends`, the general reader must see."""
    found = np.zeros(len(at), np.bool_)
    which = np.arange(len(at))
    for _ in range(_BLANKS_MAX):
        kept = at < ends[which]
        which, at = which[kept], at[kept]
        if not len(which):
            return found
        kinds = _CLASSES[text.buffer[at]]
        found[which[kinds == _PERHAPS]] = True
        braces = which[kinds == _BRACE]
        if len(braces):
            found[braces] = _with(b'"platform.', text, at[kinds == _BRACE], ends[braces])
        # Blanks, and a time before the message, are gone over.
        on = np.flatnonzero(kinds == _BLANK)
        step = np.ones(len(on), np.int64)
        letters = np.flatnonzero((kinds >= _LETTER) & (kinds <= _DIGIT))
        if len(letters):
            window = text.windows(at[letters], 6)
            told = _may_be_text(window, kinds[letters])
            times = look_like_instants(window) & (kinds[letters] == _DIGIT)
            told &= ~times
            found[which[letters]] = told
            step = np.concatenate([step, np.full(int(times.sum()), 24)])
            on = np.concatenate([on, letters[times]])
        which, at = which[on], at[on] + step
    found[which] = True
    return found


def _with(needle: bytes, text: Text, at: Integers, ends: Integers) -> Flags:
    """Which texts, from `at` up to `ends`, hold `needle`. Mostly none does, and then they are searched all at once."""
    raw = text.raw
    texts = [raw[begin:end] for begin, end in zip(at.tolist(), ends.tolist(), strict=True)]
    if needle not in b"\n".join(texts):
        return np.zeros(len(at), np.bool_)
    return np.array([needle in each for each in texts], np.bool_)


def _may_be_text(window: Words, kinds: Bytes) -> Flags:
    """Of texts that begin with a letter or a digit: which may be a platform line, or a time or stream before one."""
    first = window[:, 0]
    found = np.zeros(len(window), np.bool_)
    if (kinds == _HEAD).any():
        for text, mask in _HEADS:
            found |= (first & mask) == text
    # A request id, and behind it `Task timed out after`.
    has_id = ((window[:, 1] ^ word("-")) & word("\xff\0\0\0\0\xff")) == word("\0\0\0\0\0-")
    behind = (window[:, 4] >> np.uint64(40)) & _BYTE
    found |= has_id & ((behind == ord("T")) | _is_blank(behind))
    # `2025-`, `2025/`, or 13 digits.
    fifth = (first >> np.uint64(32)) & _BYTE
    thirteenth = (window[:, 1] >> np.uint64(32)) & _BYTE
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

"""What stands around the message in JSON lines of FilterLogEvents and GetLogEvents, learnt from the first of each kind.

    {"logStreamName":"2025/01/01/[$LATEST]…","timestamp":1735689600000,"message":"REPORT …","eventId":"…"}

Lines of one kind differ in digits and in the environment's name, never in length. So the text before the message is
compared from the line's beginning on, and the text behind it from the line's end back; the members may stand in any
order. What is compared and what the message is known to be make the line one whole JSON value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from serverless_lab.coldstarts.digest.swar import HIGH_BITS, Bytes, Flags, Integers, Text, U, Words, number, word

_QUOTED = rb'"[ !#-\[\]-~]*"'
_MEMBER = rb'"(?:logStreamName|eventId)": ?' + _QUOTED + rb'|"(?:timestamp|ingestionTime)": ?[1-9][0-9]{0,17}(?![0-9])'
_LINE = re.compile(
    rb"(?P<head>\{(?:(?:" + _MEMBER + rb'), ?)*"message": ?")'
    rb'(?:[^"\\\x00-\x1f]|\\.)*+'
    rb'(?P<tail>"(?:, ?(?:' + _MEMBER + rb"))*\})"
)
_VALUE = re.compile(rb'"(?P<name>[A-Za-z]+)": ?(?:"(?P<text>[^"]*)"|(?P<number>[0-9]+))')
_STREAM = re.compile(rb"(?P<head>[0-9]{4}/[0-9]{2}/[0-9]{2}/[^\[\]]*\[[^\[\]]+\])[0-9a-f]{32}")

_SIDE_MAX = 240
"""So many bytes may stand before a message, and behind it."""

_AS_IT_IS, _DIGIT, _ID = b"=", b"0", b"?"
_STAMP_SIZE = 13
"""The digits of an instant in epoch ms, from 2001 to 2286."""


@dataclass(frozen=True)
class Place:
    """Where something stands in each line: so many bytes from the beginning, or from behind the end."""

    from_end: bool
    at: int

    def of(self, starts: Integers, ends: Integers) -> Integers:
        return ends + self.at if self.from_end else starts + self.at


_AT_ONCE = 1024
"""Lines that are compared at once: measured, what they take stays in a core's cache."""


@dataclass(frozen=True, eq=False)
class _Words:
    """Some words that all lines have alike but for digits and ids, repeated for many lines.

    A byte may differ from `expected`, which has 0 for a digit, by no more than `allowed` when both are xor'ed.
    """

    place: Place
    expected: Words
    allowed: Bytes
    ids: slice | None  # the words that are an environment's id

    def compare(self, text: Text, starts: Integers, ends: Integers, fits: Flags, ids: Words | None) -> None:
        """Clear `fits` of lines that have something else, and write ids into `ids`."""
        for begin in range(0, len(starts), _AT_ONCE):
            here = slice(begin, min(begin + _AT_ONCE, len(starts)))
            count = here.stop - begin
            found = text.windows(self.place.of(starts[here], ends[here]), self.expected.shape[1])
            if self.ids is not None and ids is not None:
                ids[here] = found[:, self.ids]
            found ^= self.expected[:count]
            differs = found.view(np.uint8) > self.allowed[:count]
            if differs.any():
                fits[here] &= ~differs.any(axis=1)


@dataclass(frozen=True, eq=False)
class Layout:
    """`stream` is the log stream's name, without the environment's id where there is one."""

    head_size: int
    tail_size: int
    stream: str
    stamp: Place
    parts: tuple[_Words, ...]

    def fits(self, text: Text, starts: Integers, ends: Integers) -> tuple[Flags, Words | None]:
        """Which lines have this layout, with any text for a message; and their environments' ids, four words each.

        What the ids are made of is not looked at.
        """
        fits = ends - starts >= self.head_size + self.tail_size
        # Nothing is read before the buffer: what is so short does not fit.
        ends = ends if fits.all() else np.maximum(ends, starts + (self.head_size + self.tail_size))
        ids = np.empty((len(starts), 4), np.uint64) if any(part.ids for part in self.parts) else None
        for part in self.parts:
            part.compare(text, starts, ends, fits, ids)
        return fits, ids

    def instants(self, text: Text, starts: Integers, ends: Integers) -> Integers:
        """Epoch ms of lines of this layout."""
        window = text.windows(self.stamp.of(starts, ends), 2)
        ms = number(window[:, 0] ^ _ZEROS)
        ms *= 100_000
        ms += number((window[:, 1] ^ _ZEROS) << U(24))
        return ms


_ZEROS = word("00000000")

# A character is plain if it has this bit, and none above, and is not before the hyphen: digits, small letters, hyphens,
# and some signs, but neither quotes nor backslashes.
_BIT, _FROM_HYPHEN = U(0x2020202020202020), U(0x5353535353535353)


def are_plain(words: Words) -> Flags:
    """Which windows have nothing but characters that JSON does not escape and Lambda's ids are made of."""
    # Column after column: numpy takes longer for many short rows.
    every = words[:, 0].copy()
    above = words[:, 0] + _FROM_HYPHEN
    some = words[:, 0].copy()
    for at in range(1, words.shape[1]):
        column = words[:, at]
        every &= column
        some |= column
        above &= column + _FROM_HYPHEN
    plain: Flags = ((every & _BIT) | (above & HIGH_BITS & ~some)) == _PLAIN
    return plain


_PLAIN = _BIT | HIGH_BITS


@dataclass
class Layouts:
    """The layouts that were learnt."""

    _known: dict[tuple[bytes, bytes], Layout | None] = field(default_factory=dict)

    def of(self, line: bytes) -> Layout | None:
        """The layout of a line; None where it has none that is known here."""
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        head, tail = found["head"], found["tail"]
        members = [*_members(head, 0), *_members(tail, -len(tail))]
        names = [name for name, _, _ in members]
        if len(set(names)) < len(names) or "timestamp" not in names or max(len(head), len(tail)) > _SIDE_MAX:
            return None
        signs = _signs(members, len(head), len(tail))
        if signs is None:
            return None
        key = _alike(head, signs[0]), _alike(tail, signs[1])
        if key not in self._known:
            self._known[key] = _layout(key, signs, members)
        return self._known[key]


_Member = tuple[str, int, bytes]
"""Its name, its value, and where that stands: from the line's beginning on, or less than 0."""


def _members(text: bytes, at: int) -> list[_Member]:
    found = []
    for member in _VALUE.finditer(text):
        of_value = "number" if member["number"] else "text"
        found.append((member["name"].decode(), at + member.start(of_value), member[of_value]))
    return found


def _signs(members: list[_Member], head_size: int, tail_size: int) -> tuple[bytes, bytes] | None:
    """What each character before the message and behind it may be."""
    sides = bytearray(_AS_IT_IS * head_size), bytearray(_AS_IT_IS * tail_size)
    for name, at, value in members:
        side, begin = (sides[0], at) if at >= 0 else (sides[1], at + tail_size)
        if name == "logStreamName":
            stream = _STREAM.fullmatch(value)
            if stream is not None:
                side[begin + stream.end("head") : begin + len(value)] = _ID * 32
            continue
        if (name == "timestamp" and len(value) != _STAMP_SIZE) or not value.isdigit():
            return None
        # A number has no 0 before it.
        first = 0 if name == "eventId" else 1
        side[begin + first : begin + len(value)] = _DIGIT * (len(value) - first)
    return bytes(sides[0]), bytes(sides[1])


def _alike(text: bytes, signs: bytes) -> bytes:
    """The text with one character for all that may stand in a place."""
    pairs = zip(text, signs, strict=True)
    return bytes(char if sign == _AS_IT_IS[0] else sign for char, sign in pairs)


def _layout(sides: tuple[bytes, bytes], signs: tuple[bytes, bytes], members: list[_Member]) -> Layout:
    parts = tuple(_words(bool(from_end), *side) for from_end, side in enumerate(zip(sides, signs, strict=True)))
    places = {name: (Place(at < 0, at), value) for name, at, value in members}
    stream = places["logStreamName"][1] if "logStreamName" in places else b""
    head = _STREAM.fullmatch(stream)
    name = (stream if head is None else head["head"]).decode()
    return Layout(len(sides[0]), len(sides[1]), name, places["timestamp"][0], parts)


def _words(from_end: bool, text: bytes, signs: bytes) -> _Words:
    id_at = signs.find(_ID)
    # An id begins with a word. Any character may stand there; `are_plain` says more.
    before = -id_at % 8 if id_at >= 0 else 0
    count = -(-(before + len(text)) // 8)
    rest = 8 * count - before - len(text)
    expected = bytes(before) + text + bytes(rest)
    allowed = b"\xff" * before + bytes(_ALLOWED[sign] for sign in signs) + b"\xff" * rest
    id_word = (before + id_at) // 8
    return _Words(
        Place(from_end, (-len(text) if from_end else 0) - before),
        np.tile(np.frombuffer(expected, "<u8"), (_AT_ONCE, 1)),
        np.tile(np.frombuffer(allowed, np.uint8), (_AT_ONCE, 1)),
        slice(id_word, id_word + 4) if id_at >= 0 else None,
    )


_ALLOWED = {_AS_IT_IS[0]: 0, _DIGIT[0]: 9, _ID[0]: 0xFF}

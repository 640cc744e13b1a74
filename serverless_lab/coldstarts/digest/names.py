"""Names in a buffer -> their numbers, in the order in which they are met."""

from __future__ import annotations

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Integers, U
from serverless_lab.coldstarts.digest.chars import Text
from serverless_lab.coldstarts.digest.machine import compiled, inlined, integer_at, word_at

UNKNOWN = -1

_ROOM = 16
"""Bytes behind the last name: names are compared in words."""


class Names:
    """A table of names, for `number_of`.

    Name i ends at `ends[i]` in `text`, where the one before ends it begins. `slots`, a power of two of them, have its
    number + 1 where its hash says, or behind that.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.text = Text(bytearray(1 << 14))
        self.ends: Integers = np.zeros(1 << 8, np.int64)
        self.slots: Integers = np.zeros(1 << 9, np.int64)

    @property
    def table(self) -> tuple[int, int, int, int]:
        """What `number_of` asks; good until a name is added."""
        return self.text.address, self.ends.ctypes.data, self.slots.ctypes.data, len(self.slots) - 1

    def add(self, name: str) -> None:
        """A name that is not in the table yet."""
        data = name.encode()
        begin = int(self.ends[len(self.told) - 1]) if self.told else 0
        if len(self.told) == len(self.ends) or begin + len(data) + _ROOM > len(self.text.raw):
            names, self.told = self.told, []
            self.text = Text(bytearray(2 * len(self.text.raw) + len(data)))
            self.ends, self.slots = np.zeros(2 * len(self.ends), np.int64), np.zeros(2 * len(self.slots), np.int64)
            for each in names:
                self.add(each)
        self.text.chars[begin : begin + len(data)] = np.frombuffer(data, np.uint8)
        self.ends[len(self.told)] = begin + len(data)
        slot = _hashed(self.text.address, begin, len(data)) & (len(self.slots) - 1)
        while self.slots[slot]:
            slot = (slot + 1) & (len(self.slots) - 1)
        self.told.append(name)
        self.slots[slot] = len(self.told)


@inlined
def number_of(text: int, at: int, size: int, names: int, ends: int, slots: int, last_slot: int) -> int:
    """The number of the name of so many bytes at an offset, or `UNKNOWN`; `names` to `last_slot` are a table."""
    slot = _hashed(text, at, size) & last_slot
    while True:
        number = integer_at(slots, slot) - 1
        if number < 0:
            return UNKNOWN
        begin = integer_at(ends, number - 1) if number else 0
        if integer_at(ends, number) - begin == size and _are_same(text, at, names, begin, size):
            return number
        slot = (slot + 1) & last_slot


@compiled
def _hashed(text: int, at: int, size: int) -> int:
    """A number for a name. The ends of names are what they differ in, mostly: there an environment's id is."""
    if size < 16:
        return int((word_at(text, at) & _MASKS[min(size, 8)]) * _FACTOR >> _HALF)
    middle = word_at(text, at + (size >> 1))
    return int((word_at(text, at + size - 8) ^ (word_at(text, at + size - 16) + middle) * _FACTOR) * _FACTOR >> _HALF)


@inlined
def _are_same(text: int, at: int, other: int, other_at: int, size: int) -> bool:
    """Whether two texts of one size are the same."""
    place = 0
    while place + 8 <= size:
        if word_at(text, at + place) != word_at(other, other_at + place):
            return False
        place += 8
    rest = _MASKS[size - place]
    return bool(word_at(text, at + place) & rest == word_at(other, other_at + place) & rest)


_FACTOR, _HALF = U(0x9E3779B97F4A7C15), U(32)
_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], U)

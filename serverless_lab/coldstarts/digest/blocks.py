"""Files in blocks of whole events: a reused buffer, and where the lines in it begin and end.

The buffer has room before and after the text, so that windows of a line may reach over its ends.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Bytes, Flags, Integers
from serverless_lab.coldstarts.digest.chars import Text, find_line_ends

BLOCK_BYTES = 2 << 20
"""Measured: with 1 MB a fifth more time goes into calls of numpy, with 4 MB much of a block has left the caches."""

LINE_BYTES_MAX = 64 << 20
"""A longer line is read up to here. An event of CloudWatch Logs has 1 MB at most (documented:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html)."""

ROOM = 64
"""Bytes before the text in a buffer: windows may begin a little before a line."""

MARGIN = 512
"""Bytes behind the text: no window of a line reaches further."""

ANY_BYTE: Flags = np.ones(256, np.bool_)
"""Every line is an event of its own."""

DIGITS: Flags = np.isin(np.arange(256), np.frombuffer(b"0123456789", np.uint8))
"""An event begins with its time; what begins otherwise goes on with the line before."""


class Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


@dataclass(frozen=True)
class Block:
    """Whole lines: line i is `text` from `starts[i]` up to `ends[i]`, without its line end; of its part it is
    `first_line + i`.

    `is_event[i]` says whether an event begins there. `is_cut`: the last line has no line end, the file ends within it.
    """

    text: Text
    starts: Integers
    ends: Integers
    is_event: Flags
    first_line: int
    bytes_read: int
    is_cut: bool = False

    def line(self, at: int) -> bytes:
        return self.text.chars[self.starts[at] : self.ends[at]].tobytes()


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a file: the events that begin at byte `begin` or later and before `end`; None is the file's end.

    Bytes are those of the file as it lies on the disk; a packed file is always one part.
    """

    path: Path
    begin: int = 0
    end: int | None = None
    is_packed: bool = False


def open_at(part: Part) -> io.FileIO:
    """A plain file, positioned as `blocks` wants it."""
    file = io.FileIO(part.path)
    # One byte early: if that is a line end, then the part begins with a whole line.
    file.seek(max(0, part.begin - 1))
    return file


def blocks(
    source: Readable,
    *,
    begin: int = 0,
    end: int | None = None,
    begins_event: Flags = ANY_BYTE,
    block_bytes: int = BLOCK_BYTES,
    line_bytes_max: int = LINE_BYTES_MAX,
) -> Iterator[Block]:
    """The events that begin at byte `begin` or later and before `end`, in blocks that share one buffer.

    A block is good until the next one is asked for.

    Args:
        source: positioned one byte before `begin`, or at 0.
        begins_event: by a line's first byte, whether an event begins with it.
        line_bytes_max: an event of more bytes than this comes in pieces.
    """
    text = _room_for(block_bytes)
    buffer = text.chars
    at = max(0, begin - 1)  # which byte of the file is the first one in the buffer
    held = 0
    line = 0
    skips_line = begin > 0  # the part before has read to the end of that line
    skips_event = begin > 0  # and of that event
    while True:
        room = len(buffer) - ROOM - MARGIN
        if held >= room:
            text = _room_for(2 * room)
            text.chars[ROOM : ROOM + held] = buffer[ROOM : ROOM + held]
            buffer, room = text.chars, 2 * room
        count = source.readinto(memoryview(buffer.data)[ROOM + held : ROOM + room]) or 0
        is_last = count == 0
        text_end = ROOM + held + count
        ends = line_ends(text, ROOM, text_end)
        rest = int(ends[-1]) + 1 if len(ends) else ROOM
        is_too_long = text_end - ROOM >= line_bytes_max
        is_cut = rest < text_end and (is_last or is_too_long)
        if is_cut:
            ends = np.append(ends, text_end)
            rest = text_end
        starts = np.empty_like(ends)
        starts[:1] = ROOM
        np.add(ends[:-1], 1, out=starts[1:])
        is_event = begins_event[buffer[starts]]
        first = 0
        if skips_line and len(starts):
            first, skips_line = 1, False
        if skips_event and not skips_line:
            first += _first(is_event[first:])
            skips_event = first == len(starts) and not is_last
        keep, is_over = len(starts), is_last
        if not is_last and not is_too_long and not (rest < text_end and begins_event[buffer[rest]]):
            # Whether the last event goes on is not known yet.
            keep = len(starts) - 1 - _first(is_event[::-1])
        if end is not None:
            beyond = int(np.searchsorted(starts, end - at + ROOM))
            if beyond < len(starts):
                over = beyond + _first(is_event[beyond:])
                is_over = is_over or over < len(starts)
                keep = min(keep, over)
        if keep > first:
            shown = slice(first, keep)
            yield Block(
                text,
                starts[shown],
                _without_carriage_returns(buffer, starts[shown], ends[shown]),
                is_event[shown],
                line,
                count,
                is_cut and keep == len(starts),
            )
            line += keep - first
        if is_over:
            return
        keep = max(keep, first if not skips_event else len(starts))
        rest = rest if keep == len(starts) else int(starts[keep]) if keep > 0 else ROOM
        held = text_end - rest
        if rest > ROOM:
            buffer[ROOM : ROOM + held] = buffer[rest:text_end].copy()
            at += rest - ROOM


def _first(flags: Flags) -> int:
    """Where the first one is set; the length where none is."""
    found = int(flags.argmax()) if len(flags) else 0
    return found if len(flags) and flags[found] else len(flags)


_LINE_BYTES = 48
"""Room is made for lines of at least so many bytes, and more where they are shorter."""


def line_ends(text: Text, begin: int, end: int) -> Integers:
    """Where between `begin` and `end` the line feeds are. The buffer goes on for 15 bytes behind `end`."""
    found = np.empty((end - begin) // _LINE_BYTES + 64, np.int64)
    count, at = find_line_ends(text.address, begin, end, found, 0)
    while at < end:
        found = np.concatenate([found, np.empty_like(found)])
        count, at = find_line_ends(text.address, at, end, found, count)
    return found[:count]


def _without_carriage_returns(buffer: Bytes, starts: Integers, ends: Integers) -> Integers:
    """The lines' ends less a carriage return, if the first line or the last one has any."""
    if not any(ends[i] > starts[i] and buffer[ends[i] - 1] == 13 for i in (0, -1)):
        return ends
    trimmed: Integers = ends - ((buffer[ends - 1] == 13) & (ends > starts))
    return trimmed


def _room_for(size: int) -> Text:
    """A buffer for `size` bytes of text."""
    return Text(bytearray(ROOM + max(64, size) + MARGIN))

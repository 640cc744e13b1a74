"""What a function writes, as log lines: from its stdout and stderr, and from its runtime's log pipe. No I/O here.

A line on stdout is one event, a frame of the log pipe another (the runtime client writes what Python's `logging` gives
it there, so that a message of several lines stays one event). Neither may be longer than an event of CloudWatch Logs,
and what one phase may write before the rest is dropped is bounded, so that a function which prints for ever costs the
emulator no more memory than one that does not.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from serverless_lab import quotas

HEADER = struct.Struct(">IIQ")
"""Of a frame: its type, the length of what follows, and a number (of a log frame its time, in microseconds)."""

BOOT_FRAME = 0x1AB0C0DE
"""Type of the frame in which our bootstrap tells the CPU time it took."""
SAMPLE_FRAME = 0x1AB05A4D
"""Type of the frame in which it tells what its measuring thread (the frame's number, or 0) measured."""
VIEW_FRAME = 0x1AB0F5F5
"""Type of the frame in which it tells that it has its view of the file system."""
STARTING_FRAME = 0x1AB0571A
"""Type of the frame in which it tells that it is about to become another program, when it is told to."""
NOT_STARTED_FRAME = 0x1AB0DEAD
"""Type of the frame in which it tells the error number of a program that could not be started."""
OUR_FRAMES = (BOOT_FRAME, SAMPLE_FRAME, VIEW_FRAME, STARTING_FRAME, NOT_STARTED_FRAME)

_LINE_OVERHEAD = 128
"""What a line costs in memory besides its text."""


class Level(IntEnum):
    """Of an application's log message: as LoggingConfig's ApplicationLogLevel names them."""

    TRACE = 1
    DEBUG = 2
    INFO = 3
    WARN = 4
    ERROR = 5
    FATAL = 6


@dataclass(frozen=True, slots=True)
class Line:
    """One log event of an application, at the host's `at_ms` since 1970. `level` is None where it says none."""

    at_ms: int
    text: bytes
    level: Level | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a function wrote beyond what is kept."""

    records: int
    length: int

    def __add__(self, other: Dropped) -> Dropped:
        return Dropped(self.records + other.records, self.length + other.length)


class Output:
    """Collects the lines of one process.

    Args:
        budget: how many bytes to keep until `take`.
        on_frame: told of frames that are no log messages: (type, number, payload).
    """

    def __init__(self, on_frame: Callable[[int, int, bytes], None], budget: int = quotas.LOG_BUFFER_MAX_BYTES) -> None:
        self._on_frame = on_frame
        self._budget = self._left = budget
        self._lines: list[Line] = []
        self._dropped_records = 0
        self._dropped_bytes = 0
        self._rest = bytearray()
        self._frames = bytearray()
        self._cut: tuple[int, int, int] | None = None
        """Of a frame too long for one event: its type and time, and how much of it is still to come."""

    def take(self) -> tuple[list[Line], Dropped | None]:
        """The lines since the last time, and what was dropped of them."""
        lines, self._lines, self._left = self._lines, [], self._budget
        dropped = Dropped(self._dropped_records, self._dropped_bytes) if self._dropped_records else None
        self._dropped_records = self._dropped_bytes = 0
        return lines, dropped

    def write(self, chunk: bytes) -> None:
        """Bytes of stdout or stderr."""
        if self._left <= 0:
            self._drop(chunk)
            return
        whole, newline, rest = chunk.rpartition(b"\n")
        if newline:
            now_ms = _now_ms()
            for line in (bytes(self._rest) + whole).split(b"\n"):
                self._add(now_ms, line + b"\n", None)
            self._rest.clear()
        self._rest += rest
        if len(self._rest) >= quotas.LOG_EVENT_MAX_BYTES:
            self._add(_now_ms(), bytes(self._rest), None)
            self._rest.clear()

    def end_line(self) -> None:
        """Take a last line that has no end as a line."""
        if self._rest:
            self._add(_now_ms(), bytes(self._rest), None)
            self._rest.clear()

    def write_frames(self, chunk: bytes) -> None:
        """Bytes of the log pipe."""
        self._frames += chunk
        while self._take_frame():
            pass

    def _take_frame(self) -> bool:
        limit = quotas.LOG_EVENT_MAX_BYTES
        if self._cut is not None:
            frame_type, at_ms, left = self._cut
            size = min(left, limit)
            if len(self._frames) < size:
                return False
            self._add(at_ms, bytes(self._frames[:size]), level_of(frame_type))
            del self._frames[:size]
            self._cut = (frame_type, at_ms, left - size) if left > size else None
            return True
        if len(self._frames) < HEADER.size:
            return False
        frame_type, length, number = HEADER.unpack_from(self._frames)
        is_ours = frame_type in OUR_FRAMES
        if length > limit and not is_ours:
            del self._frames[: HEADER.size]
            self._cut = (frame_type, number // 1000, length)
            return True
        end = HEADER.size + length
        if len(self._frames) < end:
            return False
        payload = bytes(self._frames[HEADER.size : end])
        del self._frames[:end]
        if is_ours:
            self._on_frame(frame_type, number, payload)
        else:
            self._add(number // 1000, payload, level_of(frame_type))
        return True

    def _add(self, at_ms: int, text: bytes, level: Level | None) -> None:
        for begin in range(0, max(len(text), 1), quotas.LOG_EVENT_MAX_BYTES):
            piece = text[begin : begin + quotas.LOG_EVENT_MAX_BYTES]
            if self._left <= 0:
                self._dropped_records += 1
                self._dropped_bytes += len(piece)
                continue
            self._left -= len(piece) + _LINE_OVERHEAD
            self._lines.append(Line(at_ms, piece, level))

    def _drop(self, chunk: bytes) -> None:
        """Bytes that nobody will see: counted, not looked at."""
        records = chunk.count(b"\n")
        if self._rest:
            self._dropped_bytes += len(self._rest)
            self._rest.clear()
        self._dropped_records += max(records, 0 if self._dropped_records else 1)
        self._dropped_bytes += len(chunk)


def level_of(frame_type: int) -> Level | None:
    """The level in a log frame's type; None where it has none.

    The runtime interface client's own numbers: https://github.com/aws/aws-lambda-python-runtime-interface-client
    """
    try:
        return Level(frame_type >> 2 & 0x7)
    except ValueError:
        return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

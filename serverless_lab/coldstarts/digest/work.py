"""Pieces of files -> results of units. This is what a worker process does, or the only one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from serverless_lab.coldstarts.digest.blocks import BLOCK_BYTES, DIGITS, blocks, open_at
from serverless_lab.coldstarts.digest.lines import read_block
from serverless_lab.coldstarts.digest.plan import Piece
from serverless_lab.coldstarts.digest.unit import Bins, Unit, UnitResult
from serverless_lab.coldstarts.formats_packed import Unpacked
from serverless_lab.coldstarts.formats_text import Where

UNIT_BYTES = 16 << 20
"""After so many bytes of text a unit is reduced."""

_CHUNK = 32_768
"""Measured: what is unpacked at once then stays in a core's cache until it is copied; 262,144 take a seventh longer."""


@dataclass(frozen=True, slots=True)
class Orders:
    """How pieces are to be read."""

    bins: Bins
    kinds: bool
    block_bytes: int = BLOCK_BYTES
    unit_bytes: int | None = UNIT_BYTES


def read_pieces(pieces: Sequence[Piece], orders: Orders) -> Iterator[UnitResult]:
    """The results of the units that the pieces make, one after the other."""
    unit = Unit(orders.bins, kinds=orders.kinds)
    for piece in pieces:
        begins = piece.begins_stream
        where = Where(str(piece.part.path), piece.log_group, piece.log_stream)
        packed = Packed(piece.part.path) if piece.part.is_packed else None
        with closing(packed or open_at(piece.part)) as source:
            for block in blocks(
                source,
                begin=piece.part.begin,
                end=piece.part.end,
                begins_event=DIGITS,
                block_bytes=orders.block_bytes,
            ):
                found = read_block(block, where, reports_only=not orders.kinds)
                stream = unit.stream(piece.log_group, piece.log_stream, begins_here=begins)
                unit.add(found, stream, len(block.starts), block.bytes_read, piece.number)
                if orders.unit_bytes is not None and unit.bytes_read >= orders.unit_bytes:
                    yield unit.reduce()
                    unit, begins = Unit(orders.bins, kinds=orders.kinds), False
        stream = unit.stream(piece.log_group, piece.log_stream, begins_here=begins)
        if piece.ends_stream:
            unit.ends(stream)
        if packed is not None and packed.problem is not None:
            unit.unreadable(piece.number, [where.unreadable(0, "", packed.problem)])
    yield unit.reduce()


class Packed:
    """The unpacked bytes of a file, to be read into a buffer of any size."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._unpacked = Unpacked(iter(lambda: self._file.read(_CHUNK), b""))
        self._chunks = iter(self._unpacked)
        self._held = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        """Fills the buffer; less is the file's end."""
        filled = 0
        while filled < len(buffer):
            if not self._held:
                self._held = memoryview(next(self._chunks, b""))
                if not self._held:
                    break
            count = min(len(buffer) - filled, len(self._held))
            buffer[filled : filled + count] = self._held[:count]
            self._held = self._held[count:]
            filled += count
        return filled

    @property
    def problem(self) -> str | None:
        """Why the bytes ended where they did; None when that is where the file ends."""
        return self._unpacked.problem

    def close(self) -> None:
        self._file.close()

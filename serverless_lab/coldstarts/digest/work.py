"""Pieces of files -> results of units. This is what a worker process does, or the only one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Integers
from serverless_lab.coldstarts.digest.blocks import (
    ANY_BYTE,
    BLOCK_BYTES,
    DIGITS,
    MARGIN,
    ROOM,
    Block,
    blocks,
    line_ends,
    open_at,
)
from serverless_lab.coldstarts.digest.chars import Text
from serverless_lab.coldstarts.digest.json_lines import JsonLines
from serverless_lab.coldstarts.digest.lines import Found, read_block
from serverless_lab.coldstarts.digest.packed import Packed
from serverless_lab.coldstarts.digest.plan import JSON, Piece
from serverless_lab.coldstarts.digest.rows import distinct
from serverless_lab.coldstarts.digest.unit import Bins, Unit, UnitResult
from serverless_lab.coldstarts.formats_text import Where

UNIT_BYTES = 16 << 20
"""After so many bytes of text a unit is reduced."""


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
        json_lines = JsonLines(where, reports_only=not orders.kinds) if piece.format == JSON else None
        packed = Packed(piece.part.path) if piece.part.is_packed else None
        with closing(packed or open_at(piece.part)) as source:
            for block in blocks(
                source,
                begin=piece.part.begin,
                end=piece.part.end,
                begins_event=ANY_BYTE if json_lines else DIGITS,
                block_bytes=orders.block_bytes,
            ):
                stream: int | Integers
                if json_lines:
                    found = json_lines.read(block)
                    stream = _streams(found, unit, piece.log_group)
                else:
                    found = read_block(block, where, reports_only=not orders.kinds)
                    stream = unit.stream(piece.log_group, piece.log_stream, begins_here=begins)
                unit.add(found, stream, len(block.starts), block.bytes_read, piece.number)
                if orders.unit_bytes is not None and unit.bytes_read >= orders.unit_bytes:
                    yield unit.reduce()
                    unit, begins = Unit(orders.bins, kinds=orders.kinds), False
        if json_lines is None:
            of_path = unit.stream(piece.log_group, piece.log_stream, begins_here=begins)
            if piece.ends_stream:
                unit.ends(of_path)
        if packed is not None and packed.problem is not None:
            unit.unreadable(piece.number, [where.unreadable(0, "", packed.problem)])
    yield unit.reduce()


def load(pieces: Sequence[Piece]) -> None:
    """Compile what reads these pieces, or load it: a copy of this process has it then."""
    text = Text(bytes(ROOM) + b"\n" + bytes(MARGIN))
    at, is_event = np.array([ROOM]), np.array([False])
    block = Block(text, at, line_ends(text, ROOM, ROOM + 1), is_event, 0, 0)
    formats = {piece.format for piece in pieces}
    if JSON in formats:
        JsonLines(Where()).read(block)
    if formats - {JSON}:
        read_block(block, Where())


def _streams(found: Found, unit: Unit, log_group: str) -> Integers:
    """The unit's number of each event's stream."""
    assert found.stream is not None
    which, place = distinct(found.stream)
    numbers = [unit.stream(log_group, found.names[each], begins_here=False) for each in which.tolist()]
    return np.array(numbers, np.int64)[place]

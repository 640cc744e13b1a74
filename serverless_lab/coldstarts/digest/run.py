"""The steps of a digest, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from serverless_lab.coldstarts.digest.blocks import BLOCK_BYTES
from serverless_lab.coldstarts.digest.lines import NotServed
from serverless_lab.coldstarts.digest.merge import Merge, OutOfOrder
from serverless_lab.coldstarts.digest.model import Digest
from serverless_lab.coldstarts.digest.plan import PIECE_BYTES, Plan, make_plan
from serverless_lab.coldstarts.digest.processes import cpu_count, read_in_processes
from serverless_lab.coldstarts.digest.unit import Bins, OutOfReach, UnitResult
from serverless_lab.coldstarts.digest.work import UNIT_BYTES, Orders, read_pieces
from serverless_lab.coldstarts.files import names_in_path
from serverless_lab.coldstarts.formats import read_log
from serverless_lab.coldstarts.formats_text import Where

ALONE_BYTES = 50 << 20
"""Below this, other processes cost more than they bring."""

OTHERS_SHARE_MAX = 0.25
OTHERS_BYTES_MAX = 64 << 20
"""Files that are not read here may make up so much; with more the general reader reads everything."""


def run(
    paths: Sequence[Path],
    *,
    bin_ms: int,
    function: str = "",
    kinds: bool = True,
    processes: int | None = None,
    piece_bytes: int = PIECE_BYTES,
    block_bytes: int = BLOCK_BYTES,
    unit_bytes: int = UNIT_BYTES,
) -> Digest | None:
    """As `digest_paths`; the last three say how finely the input is cut."""
    try:
        plan = make_plan(paths, function, piece_bytes=piece_bytes)
        if plan.some_ms is None or plan.bytes_others > min(
            OTHERS_BYTES_MAX, OTHERS_SHARE_MAX * (plan.bytes_here + plan.bytes_others)
        ):
            return None
        bins = Bins.around(plan.some_ms, bin_ms)
        count = processes or (cpu_count() if plan.bytes_here >= ALONE_BYTES else 1)
        try:
            return _digest(plan, Orders(bins, kinds, block_bytes, unit_bytes), function, count)
        except OutOfOrder:
            # A stream is read at once and put in order.
            plan = make_plan(paths, function, piece_bytes=piece_bytes, may_split=False)
            return _digest(plan, Orders(bins, kinds, block_bytes, None), function, count, is_whole=True)
    except (NotServed, OutOfReach):
        return None


def _digest(plan: Plan, orders: Orders, function: str, processes: int, *, is_whole: bool = False) -> Digest:
    pieces = [piece for task in plan.tasks for piece in task]
    merge = Merge(orders.bins, pieces, kinds=orders.kinds, is_whole=is_whole)
    for result in _results(plan, orders, processes):
        merge.add(result)
    formats = {piece.file_number: (str(piece.part.path), piece.format) for piece in pieces}
    group = f"/aws/lambda/{function}" if function else ""
    for number, file, root in plan.others:
        told_group, told_stream = names_in_path(file, root)
        where = Where(str(file), told_group or group, told_stream)
        with file.open("rb") as stream:
            found, events = read_log(iter(lambda: stream.read(1 << 18), b""), where)
            merge.add_events(events, number)
        if found is not None:
            formats[number] = str(file), found
    return merge.digest(dict(formats[number] for number in sorted(formats)))


def _results(plan: Plan, orders: Orders, processes: int) -> Iterator[UnitResult]:
    """The results of all tasks, in the order of the input."""
    if processes == 1 or len(plan.tasks) == 1:
        for task in plan.tasks:
            yield from read_pieces(task, orders)
        return
    held: dict[int, list[UnitResult]] = {}
    for number, result in read_in_processes(plan.tasks, orders, processes):
        held.setdefault(number, []).append(result)
    for number in range(len(plan.tasks)):
        yield from held.pop(number)

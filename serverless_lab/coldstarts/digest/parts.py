"""Rows of one group -> what they add to it: packed times, and counts by bin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Integers, U
from serverless_lab.coldstarts.digest.kinds import CODE_OF, Codes
from serverless_lab.coldstarts.digest.model import COUNTS, WIDTH, Packed
from serverless_lab.coldstarts.digest.rows import Rows
from serverless_lab.coldstarts.invocations import COLD, INIT_REPEATED, KINDS, RESTORED

_WITH_INIT, _TIMEOUTS, _ERRORS, _BILLED, _BILLED_MS, _BILLED_MB_MS = (
    COUNTS.index(name) for name in ("with_init", "timeouts", "errors", "billed", "billed_ms", "billed_mb_ms")
)


@dataclass
class GroupPart:
    """What a unit adds to one group; see `model.Group`. Bins of `counts` are `bins`, in any order, each once."""

    durations: Packed
    inits: Packed
    restores: Packed
    init_plus_first: Packed
    bins: Integers
    counts: Integers
    max_memory_used_mb: Integers


def group_part(rows: Rows, bins: Integers, kinds: Codes | None) -> GroupPart:
    """The part of one group. Without kinds every Init Duration counts as one."""
    base = bins.astype(np.uint64) << U(32)
    has_init, is_restored = rows.init_us >= 0, rows.restore_us >= 0
    is_cold = has_init if kinds is None else (kinds == CODE_OF[COLD]) & has_init
    first = np.zeros(0, np.int64)
    took = np.zeros(0, np.int64)
    if kinds is not None:
        waited = is_cold | (kinds == CODE_OF[RESTORED]) | (kinds == CODE_OF[INIT_REPEATED])
        first = np.flatnonzero(waited)
        before = np.where(kinds == CODE_OF[RESTORED], rows.restore_us, np.where(is_cold, rows.init_us, 0))
        took = rows.duration_us[first] + before[first]
    lowest, highest = int(bins.min()), int(bins.max())
    if highest - lowest > 4 * len(bins) + 1000:
        shown, place = np.unique(bins, return_inverse=True)
    else:
        place = bins - lowest
        shown = np.arange(lowest, highest + 1)
    width = len(shown)
    counts = np.zeros((width, WIDTH), np.int64)
    if kinds is not None:
        by_kind = np.bincount(place * len(KINDS) + kinds, minlength=width * len(KINDS))
        counts[:, : len(KINDS)] = by_kind.reshape(width, len(KINDS))
    billed = rows.billed_ms >= 0
    priced = billed & (rows.memory_size_mb >= 0)
    counts[:, _WITH_INIT] = np.bincount(place[has_init | is_restored], minlength=width)
    counts[:, _TIMEOUTS] = np.bincount(place[rows.is_timeout], minlength=width)
    counts[:, _ERRORS] = np.bincount(place[rows.is_error], minlength=width)
    counts[:, _BILLED] = np.bincount(place[billed], minlength=width)
    # Floats hold these sums exactly: a unit has fewer than 2**20 lines of less than 2**33 each.
    counts[:, _BILLED_MS] = np.bincount(place[billed], rows.billed_ms[billed], width)
    counts[:, _BILLED_MB_MS] = np.bincount(place[priced], (rows.billed_ms * rows.memory_size_mb)[priced], width)
    memory = np.zeros(width, np.int64)
    np.maximum.at(memory, place, rows.max_memory_used_mb)
    present = np.bincount(place, minlength=width) > 0
    return GroupPart(
        durations=base | rows.duration_us.view(np.uint64),
        inits=base[is_cold] | rows.init_us[is_cold].view(np.uint64),
        restores=base[is_restored] | rows.restore_us[is_restored].view(np.uint64),
        init_plus_first=base[first] | took.view(np.uint64),
        bins=shown[present],
        counts=counts[present],
        max_memory_used_mb=memory[present],
    )

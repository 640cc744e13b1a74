"""Fewer points that look the same: a chart has only so many pixels, and a page must stay small whatever the run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

STEPS_PER_PIXEL = 2
"""Marks are told apart at half a pixel: more makes no difference that anybody could see."""


def distinct(x: Floats, y: Floats, most: int) -> tuple[Floats, Floats]:
    """The points that differ on a grid of pixels, at most `most`: one of each cell, the grid as fine as that allows.

    Args:
        x, y: where the points are, in pixels; not NaN.
    """
    step = 1.0 / STEPS_PER_PIXEL
    while True:
        cells = np.round(np.column_stack((x, y)) / step).astype(np.int64)
        _, first = np.unique(cells, axis=0, return_index=True)
        if len(first) <= most:
            kept = np.sort(first)
            return x[kept], y[kept]
        step *= 2


def ecdf(ordered: Floats, most: int) -> tuple[Floats, Floats]:
    """(values, share of all that are not greater), at most `most` of them, the least and the greatest among them."""
    ranks = np.arange(1, len(ordered) + 1)
    if len(ordered) > most:
        ranks = np.unique(np.round(np.linspace(1, len(ordered), most)).astype(np.int64))
    return ordered[ranks - 1], ranks / len(ordered)

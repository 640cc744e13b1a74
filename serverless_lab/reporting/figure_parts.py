"""What all charts of a report have in common: the marks of the kinds, both sizes, the time axis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from serverless_lab.coldstarts.invocations import (
    COLD,
    INIT_REPEATED,
    PROACTIVE,
    PROVISIONED,
    RESTORED,
    UNKNOWN,
    WARM,
)
from serverless_lab.coldstarts.statistics import nearest_rank
from serverless_lab.reporting import words
from serverless_lab.reporting.axes import Axis, time_axis
from serverless_lab.reporting.drawing import NARROW, WIDE, Drawing, Size
from serverless_lab.reporting.markup import Html
from serverless_lab.reporting.points import Floats

if TYPE_CHECKING:
    from serverless_lab.coldstarts.report import ColdStartReport

FAILED = "failed"

MARKS: dict[str, tuple[str, str]] = {
    COLD: ("diamond", "cold"),
    RESTORED: ("triangle", "restored"),
    INIT_REPEATED: ("square", "init repeated"),
    PROVISIONED: ("plus", "provisioned"),
    PROACTIVE: ("plus", "proactive"),
    WARM: ("dot", "warm"),
    UNKNOWN: ("ring", "kind not known"),
    FAILED: ("cross", "failed for the client"),
}
"""Kind -> the shape of its mark, and its name."""


def both(text: str, draw: Callable[[Drawing], None], *, extra: int = 0) -> tuple[Html, Html]:
    """The same drawing for a page and for a phone, `extra` higher than usual."""
    found = []
    for size in (WIDE, NARROW):
        drawing = Drawing(size.of_height(size.height + extra), text)
        draw(drawing)
        found.append(drawing.html())
    return found[0], found[1]


def times(report: ColdStartReport, of: Iterable[Floats], margin: float = 0.0) -> Callable[[Size], Axis]:
    """The time axis that holds all instants in `of`, for a size; `margin` is room on both sides, a fraction of it."""
    ends = [(float(values.min()), float(values.max())) for values in of if len(values)]
    first, last = min(low for low, _ in ends), max(high for _, high in ends)
    origin = None if report.started_at_ms is None else float(report.started_at_ms)
    if origin is not None and first - origin < (last - origin) * 0.05:
        first = min(first, origin)
    room = (last - first) * margin
    return lambda size: time_axis(first - room, last + room, origin, most=size.time_ticks)


def least(values: Floats) -> float:
    """The least value above 0; 0 without one."""
    positive = values[values > 0]
    return float(positive.min()) if len(positive) else 0.0


def value_text(values: Floats, p: float) -> str:
    """The p-quantile of `values`, as words say it."""
    return words.ms_text(nearest_rank(np.sort(values), p))

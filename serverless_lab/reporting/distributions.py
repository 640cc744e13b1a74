"""How long inits took, and how many requests were answered in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serverless_lab.coldstarts.frame import join_requests
from serverless_lab.coldstarts.invocations import COLD, KINDS, WARM
from serverless_lab.coldstarts.names import many
from serverless_lab.coldstarts.statistics import nearest_rank, sorted_values
from serverless_lab.reporting import words
from serverless_lab.reporting.axes import Axis, value_axis
from serverless_lab.reporting.drawing import NARROW, Drawing, Size
from serverless_lab.reporting.figure_parts import MARKS, both, least, value_text
from serverless_lab.reporting.points import ecdf
from serverless_lab.reporting.sections import Figure, Legend

if TYPE_CHECKING:
    import pandas as pd

    from serverless_lab.coldstarts.report import ColdStartReport

INIT_ROWS = 6
"""How many functions have a histogram of their own."""

LINES_MAX = 300
"""A line has at most so many points."""


def inits(report: ColdStartReport) -> Figure | None:
    """How long inits took: a histogram for each function, those with the most inits first."""
    restored = not any(len(sample.init_ms) for sample in report.samples.values())
    of = {
        name: sample.restore_ms if restored else sample.init_ms
        for name, sample in report.samples.items()
        if len(sample.restore_ms if restored else sample.init_ms)
    }
    if not of:
        return None
    what = "restore" if restored else "init"
    names = sorted(of, key=lambda name: (-len(of[name]), name))
    shown = names[:INIT_ROWS]
    greatest = max(float(of[name][-1]) for name in shown)
    smallest = min(float(of[name][0]) for name in shown)
    x = value_axis(smallest, greatest, f"{what} duration, ms", most=8)
    narrow_x = value_axis(smallest, greatest, f"{what} duration, ms", most=5)
    count = int(np.clip(np.sqrt(max(len(of[name]) for name in shown)) * 3, 20, 60))
    edges = np.geomspace(x.low, x.high, count + 1) if x.log else np.linspace(x.low, x.high, count + 1)
    short = report.short_names
    rows = [
        (
            f"{short[name] or words.UNNAMED}: {many(len(of[name]), what)}, p50 {value_text(of[name], 0.5)} ms, "
            f"p90 {value_text(of[name], 0.9)} ms",
            of[name],
            np.histogram(of[name], edges)[0],
        )
        for name in shown
    ]

    def draw(drawing: Drawing) -> None:
        axis = x if drawing.size.width > NARROW.width else narrow_x
        spans = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
        axes = []
        for label, _, heights in rows:
            top = int(max(heights))
            ticks = ((0.0, "0"), (float(top), f"{top:,}"))
            axes.append(Axis(0.0, float(top), ticks, _fit(label, drawing.size)))
        for plot, (label, values, heights) in zip(drawing.plots(axis, axes), rows, strict=True):
            plot.bars(spans, [(0.0, float(height)) for height in heights], COLD, gap=0.6)
            plot.rule(nearest_rank(values, 0.5), "median")
            plot.rule(nearest_rank(values, 0.9), "p90 dashed")
            plot.hint(axis.low, axis.high, label)

    text = f"How long each {what} took. " + "; ".join(label for label, _, _ in rows) + "."
    more = len(names) - len(shown)
    wide, narrow = both(text, draw, extra=84 * len(rows) - 220)
    return Figure(
        identifier="init-distribution",
        title=f"{what.capitalize()} durations",
        caption=f"How many {what}s took how long, by function."
        + (f" {many(more, 'function')} with fewer of them not shown." if more else "")
        + (" The scale is logarithmic." if x.log else ""),
        text=text,
        wide=wide,
        narrow=narrow,
        legend=[
            Legend(COLD, "bar", f"{what}s"),
            Legend("median", "line", "p50"),
            Legend("p90 dashed", "line", "p90"),
        ],
    )


def latency_shares(report: ColdStartReport, requests: pd.DataFrame) -> Figure | None:
    """Which share of the requests was answered within which time: all of them, and by the kind of their invocation."""
    values = {"all": sorted_values(requests["latency_ms"])}
    if report.saved is not None:
        frame = join_requests(requests, report.saved.frame).frame
        for kind in KINDS:
            part = sorted_values(frame.loc[(frame["kind"] == kind).fillna(False).astype(bool), "latency_ms"])
            if len(part):
                values[kind] = part
    values = {name: part for name, part in values.items() if len(part)}
    if not values:
        return None
    smallest, greatest = least(values["all"]), float(values["all"][-1])
    x, narrow_x = (value_axis(smallest, greatest, "latency, ms", most=most, log=True) for most in (10, 6))
    y = Axis(0.0, 1.0, tuple((at / 4, f"{at * 25} %") for at in range(5)), "share of the requests")

    def draw(drawing: Drawing) -> None:
        axis = x if drawing.size.width > NARROW.width else narrow_x
        plot = drawing.plot(axis, y)
        for name, part in values.items():
            at, share = ecdf(np.maximum(part, axis.low), LINES_MAX)
            at, share = np.append(at, axis.high), np.append(share, 1.0)
            plot.line(np.insert(at, 0, at[0]), np.insert(share, 0, 0.0), f"{name} {_dash(name)}", steps=True)

    parts = [
        f"{name}: half within {value_text(part, 0.5)} ms, 99 % within {value_text(part, 0.99)}"
        for name, part in values.items()
    ]
    text = "Latency as the client saw it. " + "; ".join(parts) + "."
    wide, narrow = both(text, draw)
    return Figure(
        identifier="latency-shares",
        title="How many requests were answered in time",
        caption="The share of the requests whose latency was at most what the axis says. The scale is logarithmic.",
        text=text,
        wide=wide,
        narrow=narrow,
        legend=[
            Legend(f"{name} {_dash(name)}", "line", MARKS[name][1] if name in MARKS else "all requests")
            for name in values
        ],
    )


def _fit(label: str, size: Size) -> str:
    """A row's label, cut to the width of the drawing."""
    most = size.width // 6
    return label if len(label) <= most else label[: most - 1] + "…"


def _dash(name: str) -> str:
    return {WARM: "dashed", "all": "solid"}.get(name, "dotted")

"""The charts of a comparison: a row for each variant, a mark with its interval in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serverless_lab.compare.estimates import Estimate
from serverless_lab.compare.report import BOTH, COLD_RATE, INIT, MEASURES, P50, P95, P99
from serverless_lab.compare.sentences import usd
from serverless_lab.reporting.axes import Axis, share_axis, signed_axis, value_axis
from serverless_lab.reporting.comparison import value_text
from serverless_lab.reporting.drawing import NARROW, WIDE, Drawing, Plot, Size
from serverless_lab.reporting.markup import Html
from serverless_lab.reporting.sections import Figure, Legend

if TYPE_CHECKING:
    from serverless_lab.compare.report import ComparisonReport

ROW_HEIGHT = 34
NAME_LENGTH = 20
_BY_KEY = {measure.key: measure for measure in MEASURES}


@dataclass(frozen=True)
class _Series:
    """One measure, drawn in every variant's row: its mark and its place in the row, from -0.5 to 0.5."""

    key: str
    name: str
    shape: str
    style: str
    offset: float = 0.0


def comparison_figures(report: ComparisonReport) -> list[Figure]:
    """All figures that can be told, in the order of the page."""
    found = [
        _rates(report),
        _rate_differences(report),
        _times(
            report,
            "latency",
            "Latency as clients see it",
            [
                _Series(P50, "p50", "dot", "warm", -0.24),
                _Series(P95, "p95", "square", "restored", 0.0),
                _Series(P99, "p99", "diamond", "cold", 0.24),
            ],
        ),
        _times(
            report,
            "init",
            "What a cold start takes, p50",
            [
                _Series(INIT, "init", "triangle", "proactive", -0.15),
                _Series(BOTH, "init and first duration", "diamond", "cold", 0.15),
            ],
        ),
        _costs(report),
    ]
    return [figure for figure in found if figure is not None]


def _rates(report: ComparisonReport) -> Figure | None:
    series = [_Series(COLD_RATE, "cold-start rate", "diamond", "cold")]
    ends = _ends(report, series)
    if not ends:
        return None
    axis = share_axis(max(ends) * 1.02, "cold-start rate, with its 95 % interval")
    return _figure(report, "cold-rates", "Who waits for an init", "", series, lambda size: axis)


def _rate_differences(report: ComparisonReport) -> Figure | None:
    names, values, spans = [], [], []
    for result in report.variants:
        difference = result.differences.get(COLD_RATE)
        if (
            difference is not None
            and difference.estimate.value is not None
            and difference.estimate.interval is not None
        ):
            names.append(result.name)
            values.append(difference.estimate.value * 100)
            low, high = difference.estimate.interval
            spans.append((low * 100, high * 100))
    if not names:
        return None
    axis = signed_axis(min(low for low, _ in spans), max(high for _, high in spans), "points")

    def draw(drawing: Drawing) -> None:
        plot, at = _rows(drawing, names, axis)
        plot.rule(0.0, "zero")
        plot.spans(at, spans, "cold")
        plot.marks(*plot.pixels(np.array(values), np.array(at)), "diamond", "cold")

    text = "Cold starts less the baseline's. " + "; ".join(
        f"{name} {value:+.1f} points, {low:+.1f} to {high:+.1f}"
        for name, value, (low, high) in zip(names, values, spans, strict=True)
    )
    wide, narrow = _both(text + ".", len(names), draw)
    return Figure(
        identifier="cold-rate-differences",
        title=f"Cold starts less than {report.baseline}'s",
        caption="Left of 0 is better. Runs of the same seed are compared request by request, so the intervals are "
        "shorter than those of the rates themselves.",
        text=text + ".",
        wide=wide,
        narrow=narrow,
    )


def _times(report: ComparisonReport, identifier: str, title: str, series: Sequence[_Series]) -> Figure | None:
    ends = _ends(report, series)
    if not ends:
        return None

    def axis(size: Size) -> Axis:
        return value_axis(min(ends), max(ends), "ms", most=7 if size.width > NARROW.width else 4)

    scale = " The scale is logarithmic." if axis(WIDE).log else ""
    return _figure(report, identifier, title, scale, series, axis)


def _figure(
    report: ComparisonReport,
    identifier: str,
    title: str,
    caption: str,
    series: Sequence[_Series],
    axis: Callable[[Size], Axis],
) -> Figure:
    names = [result.name for result in report.variants]

    def draw(drawing: Drawing) -> None:
        x = axis(drawing.size)
        plot, places = _rows(drawing, names, x)
        for one in series:
            found = [
                (place - one.offset, result.estimates[one.key])
                for place, result in zip(places, report.variants, strict=True)
                if result.estimates[one.key].value is not None
            ]
            known = [(at, estimate.interval) for at, estimate in found if estimate.interval is not None]
            plot.spans([at for at, _ in known], [_within(x, interval) for _, interval in known], one.style)
            values = np.array([max(estimate.value or 0.0, x.low) for _, estimate in found])
            plot.marks(*plot.pixels(values, np.array([at for at, _ in found])), one.shape, one.style)

    said = [
        f"{result.name}: "
        + ", ".join(f"{one.name} {value_text(_BY_KEY[one.key], result.estimates[one.key])}" for one in series)
        for result in report.variants
    ]
    text = f"{title}. " + "; ".join(said) + "."
    wide, narrow = _both(text, len(names), draw)
    legend = [Legend(one.style, one.shape, one.name) for one in series] if len(series) > 1 else []
    return Figure(
        identifier=identifier,
        title=title,
        caption="A mark is what all runs of a variant together have, the line its 95 % interval." + caption,
        text=text,
        wide=wide,
        narrow=narrow,
        legend=legend,
    )


def _costs(report: ComparisonReport) -> Figure | None:
    """What of a month's bill stands there, and what comes with the requests."""
    shown = [result for result in report.variants if result.months]
    if not shown:
        return None
    parts = []
    for result in shown:
        standing = sum(float(month.standing + month.pings) for month in result.months) / len(result.months)
        parts.append((standing, sum(float(month.total) for month in result.months) / len(result.months)))
    names = [result.name for result in shown]

    def draw(drawing: Drawing) -> None:
        axis = value_axis(
            0.0, max(whole for _, whole in parts), "USD a month", most=7 if drawing.size.width > 500 else 4, log=False
        )
        plot, places = _rows(drawing, names, axis)
        rows = [(at - 0.28, at + 0.28) for at in places]
        plot.lying_bars(rows, [(whole - standing, whole) for standing, whole in parts], "provisioned")
        plot.lying_bars(rows, [(0.0, whole - standing) for standing, whole in parts], "warm")

    text = "The bill of a month. " + "; ".join(
        f"{name}: {usd(whole)}, of which {usd(standing)} stands there"
        for name, (standing, whole) in zip(names, parts, strict=True)
    )
    wide, narrow = _both(text + ".", len(names), draw)
    return Figure(
        identifier="costs",
        title="What a month costs",
        caption="The whole stack's bill, at the traffic that the cost section names.",
        text=text + ".",
        wide=wide,
        narrow=narrow,
        legend=[
            Legend("warm", "bar", "comes with the requests"),
            Legend("provisioned", "bar", "stands there: provisioned concurrency, pings"),
        ],
    )


# --- rows ------------------------------------------------------------------------------------------------------------


def _rows(drawing: Drawing, names: Sequence[str], x: Axis) -> tuple[Plot, list[float]]:
    """A plot with a row for each name, the first on top, and the middle of each row on its y axis."""
    places = [len(names) - at - 0.5 for at in range(len(names))]
    ticks = tuple((place, _fit(name)) for place, name in zip(places, names, strict=True))
    return drawing.plot(x, Axis(0.0, float(len(names)), ticks, "")), places


def _both(text: str, rows: int, draw: Callable[[Drawing], None]) -> tuple[Html, Html]:
    found = []
    for size in (Size(WIDE.width, 0, left=150, right=20), Size(NARROW.width, 0, left=124, right=14)):
        drawing = Drawing(size.of_height(70 + rows * ROW_HEIGHT + 30), text)
        draw(drawing)
        found.append(drawing.html())
    return found[0], found[1]


def _ends(report: ComparisonReport, series: Sequence[_Series]) -> list[float]:
    """Every value, and every end of an interval, that a chart has to have room for."""
    ends: list[float] = []
    for result in report.variants:
        for one in series:
            estimate: Estimate = result.estimates[one.key]
            if estimate.value is not None:
                ends += [estimate.value, *(estimate.interval or ())]
    return [end for end in ends if end > 0] or ends


def _within(x: Axis, interval: tuple[float, float]) -> tuple[float, float]:
    return max(interval[0], x.low), min(max(interval[1], x.low), x.high)


def _fit(name: str) -> str:
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"

"""The charts of a report: what it holds -> figures, each with a caption and a sentence that says what it amounts to.

A figure that the input does not tell is None, never an empty frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serverless_lab.coldstarts.client import succeeded
from serverless_lab.coldstarts.frame import init_plus_duration_ms, join_requests
from serverless_lab.coldstarts.invocations import COLD, UNKNOWN, WARM
from serverless_lab.coldstarts.lifetimes import environments_over_time
from serverless_lab.coldstarts.names import many
from serverless_lab.coldstarts.statistics import Bins, began_ms, floats_of
from serverless_lab.reporting import words
from serverless_lab.reporting.axes import count_axis, share_axis, value_axis
from serverless_lab.reporting.distributions import inits, latency_shares
from serverless_lab.reporting.drawing import Drawing
from serverless_lab.reporting.figure_parts import FAILED, MARKS, both, least, times, value_text
from serverless_lab.reporting.points import Floats, distinct
from serverless_lab.reporting.sections import Figure, Legend

if TYPE_CHECKING:
    import pandas as pd

    from serverless_lab.coldstarts.report import ColdStartReport
    from serverless_lab.coldstarts.statistics import Summary

COMMON = (WARM, UNKNOWN)
"""The kinds that make up the crowd of a run. The others are what a reader looks for: more of them are drawn."""

COMMON_POINTS, RARE_POINTS = 5_000, 8_000
"""How many marks a kind of the crowd, and all others together, have at most: a page stays small whatever the run."""

HINTS_MAX = 120
"""More time bins than this are too narrow to be pointed at."""

FINE_BINS = 360
"""In how many steps a line over time is drawn."""

_DASHES = ("solid", "dashed", "dotted")


@dataclass(frozen=True)
class _Series:
    """Points of one kind: x in epoch ms, y in ms."""

    kind: str
    x: Floats
    y: Floats


def figures(report: ColdStartReport, requests: pd.DataFrame | None) -> list[Figure]:
    """All figures that can be told, in the order of the page.

    Args:
        requests: the run's requests; None where there is no client's side.
    """
    found = [
        latency(report, requests),
        rates(report),
        environments(report),
        inits(report),
        None if requests is None else latency_shares(report, requests),
    ]
    return [figure for figure in found if figure is not None]


# --- latency over time -----------------------------------------------------------------------------------------------


def latency(report: ColdStartReport, requests: pd.DataFrame | None) -> Figure | None:
    """Each request, or each invocation, at its time; of a digest the quantiles of each time bin."""
    if requests is not None and report.saved is not None and report.started_at_ms is not None:
        series = _of_client(report, requests)
        whose, title = "request", "Latency over time"
        of = "from the instant at which a request was due to its last byte, as the client saw it"
    elif report.saved is not None:
        series = _of_log(report)
        whose, title = "invocation", "Duration over time"
        of = "init and Duration of an invocation whose caller waited for an init, Duration of the others"
    else:
        return _quantiles_over_time(report)
    series = [one for one in series if len(one.x)]
    if not series:
        return None
    x = times(report, (one.x for one in series), margin=0.015)
    greatest = max(float(one.y.max()) for one in series)
    y = value_axis(min(least(one.y) for one in series), greatest, f"{title.partition(' ')[0].lower()}, ms")
    total = sum(len(one.x) for one in series)
    drawn: list[int] = []
    rare = RARE_POINTS // max(1, sum(one.kind not in COMMON for one in series))

    def draw(drawing: Drawing) -> None:
        plot = drawing.plot(x(drawing.size), y)
        count = 0
        # The crowd first, so that what is rare lies on top of it.
        for one in sorted(series, key=lambda one: (one.kind not in COMMON, _order(one.kind))):
            most = COMMON_POINTS if one.kind in COMMON else rare
            at, height = distinct(*plot.pixels(one.x, np.maximum(one.y, y.low)), most)
            plot.marks(at, height, MARKS[one.kind][0], one.kind)
            count += len(at)
        drawn.append(count)

    medians = [
        f"{MARKS[one.kind][1]}: {len(one.x):,}, p50 {value_text(one.y, 0.5)} ms, p99 {value_text(one.y, 0.99)} ms"
        for one in series
    ]
    text = f"{title}, {many(total, whose)}. " + "; ".join(medians) + "."
    wide, narrow = both(text, draw)
    less = ""
    if drawn[0] < total:
        less = f" {drawn[0]:,} marks stand for all {total:,}: each of the others would cover one of them."
    scale = " The scale is logarithmic." if y.log else ""
    return Figure(
        identifier="latency-over-time",
        title=title,
        caption=f"One mark for each {whose}: {of}.{scale}{less}",
        text=text,
        wide=wide,
        narrow=narrow,
        legend=[Legend(one.kind, MARKS[one.kind][0], f"{MARKS[one.kind][1]} ({len(one.x):,})") for one in series],
    )


def _of_client(report: ColdStartReport, requests: pd.DataFrame) -> list[_Series]:
    assert report.saved is not None and report.started_at_ms is not None
    frame = join_requests(requests, report.saved.frame).frame
    frame = frame[frame["latency_ms"].notna()]
    ok = succeeded(frame)
    kinds = frame["kind"].fillna(UNKNOWN).where(ok, FAILED)
    return _split(kinds, floats_of(frame["intended_ms"]) + report.started_at_ms, floats_of(frame["latency_ms"]))


def _of_log(report: ColdStartReport) -> list[_Series]:
    assert report.saved is not None
    frame = report.saved.frame
    took = init_plus_duration_ms(frame).fillna(frame["duration_ms"])
    return _split(frame["kind"], floats_of(began_ms(frame)), floats_of(took))


def _split(kinds: pd.Series, x: Floats, y: Floats) -> list[_Series]:
    known = ~np.isnan(x) & ~np.isnan(y)
    of = kinds.to_numpy(dtype=object)
    return [_Series(kind, x[known & (of == kind)], y[known & (of == kind)]) for kind in MARKS]


def _quantiles_over_time(report: ColdStartReport) -> Figure | None:
    """Where no single invocation was kept: p50, p90 and p99 of each time bin, as steps."""
    bins = [summary for summary in report.bins if summary.duration_ms.n]
    if len(bins) < 2 or report.bin_ms is None:
        return None
    of = {
        "p50": [summary.duration_ms.p50 or 0.0 for summary in bins],
        "p90": [summary.duration_ms.p90 or 0.0 for summary in bins],
        "p99": [summary.duration_ms.p99 or 0.0 for summary in bins],
    }
    starts = np.array([float(summary.bin_start_ms or 0) for summary in bins])
    x = times(report, [np.array([starts[0], starts[-1] + report.bin_ms])])
    y = value_axis(min(value for line in of.values() for value in line if value > 0), max(of["p99"]), "ms")

    def draw(drawing: Drawing) -> None:
        plot = drawing.plot(x(drawing.size), y)
        for (name, line), dash in zip(of.items(), _DASHES, strict=True):
            values = np.array([*line, line[-1]])
            plot.line(np.append(starts, starts[-1] + report.bin_ms), values, f"{name} {dash}", steps=True)

    total = report.total.duration_ms
    text = (
        f"Duration over time, {many(total.n, 'invocation')}: p50 {words.ms_text(total.p50)} ms, "
        f"p90 {words.ms_text(total.p90)} ms, p99 {words.ms_text(total.p99)} ms in all."
    )
    wide, narrow = both(text, draw)
    return Figure(
        identifier="latency-over-time",
        title="Duration over time",
        caption=f"Quantiles of Duration in each {words.span_text(report.bin_ms)}, without the init before it."
        + (" The scale is logarithmic." if y.log else ""),
        text=text,
        wide=wide,
        narrow=narrow,
        legend=[Legend(f"{name} {dash}", "line", name) for name, dash in zip(of, _DASHES, strict=True)],
    )


# --- over time bins --------------------------------------------------------------------------------------------------


def rates(report: ColdStartReport) -> Figure | None:
    """How many invocations each time bin had, how many of their callers waited, and which share that is."""
    bins = report.bins
    if len(bins) < 2 or report.bin_ms is None:
        return None
    width = report.bin_ms
    starts = [float(summary.bin_start_ms or 0) for summary in bins]
    edges = [(start, start + width) for start in starts]
    waited = [summary.cold_starts.count or 0 for summary in bins]
    told = report.total.cold_starts.count is not None
    x = times(report, [np.array([starts[0], starts[-1] + width])])
    per = words.span_text(width)
    counts = count_axis(max(summary.invocations for summary in bins), f"invocations in each {per}")
    known = [(start + width / 2, summary.cold_starts) for start, summary in zip(starts, bins, strict=True)]
    shares = [(at, rate.rate, rate.interval) for at, rate in known if rate.rate is not None and rate.interval]
    top = max((interval[1] for _, _, interval in shares), default=0.0)

    def draw(drawing: Drawing) -> None:
        of = [counts, share_axis(top, "cold-start rate, with its 95 % interval")] if told else [counts]
        plots = drawing.plots(x(drawing.size), of)
        plots[0].bars(edges, [(0, float(count)) for count in waited], COLD)
        others = [(float(n), float(summary.invocations)) for n, summary in zip(waited, bins, strict=True)]
        plots[0].bars(edges, others, WARM)
        if told:
            at = np.array([place for place, _, _ in shares])
            plots[1].whiskers(at.tolist(), [interval for _, _, interval in shares], COLD)
            plots[1].marks(*plots[1].pixels(at, np.array([rate for _, rate, _ in shares])), "diamond", COLD)
        if len(bins) <= HINTS_MAX:
            for plot in plots:
                for (begin, end), summary in zip(edges, bins, strict=True):
                    plot.hint(begin, end, _bin_hint(report, summary))

    most = max(range(len(bins)), key=lambda at: (waited[at], bins[at].invocations))
    text = f"Invocations in each {per}, {report.total.invocations:,} in all"
    if told:
        text += (
            f"; cold starts {words.rate_text(report.total.cold_starts)}. The most, {waited[most]:,} of "
            f"{bins[most].invocations:,}, from {words.bin_label(report, bins[most].bin_start_ms or 0)} on"
        )
    wide, narrow = both(text + ".", draw, extra=130 if told else -60)
    others = "other invocations" if told else "invocations"
    legend = [Legend(WARM, "bar", f"{others} (top)" if told else others)]
    if told:
        legend.insert(0, Legend(COLD, "bar", "the caller waited for an init (bottom)"))
    return Figure(
        identifier="rate-over-time",
        title="Cold-start rate over time" if told else "Invocations over time",
        caption="How many invocations there were, and for which share of them the caller waited for an init. Few "
        "invocations make a long interval. The table of time bins below has the numbers."
        if told
        else "How many invocations there were. The log does not tell which callers waited.",
        text=text + ".",
        wide=wide,
        narrow=narrow,
        legend=legend,
    )


def _bin_hint(report: ColdStartReport, summary: Summary) -> str:
    label = words.bin_label(report, summary.bin_start_ms or 0)
    rate = words.rate_text(summary.cold_starts)
    return f"from {label}: {many(summary.invocations, 'invocation')}, cold starts {rate}"


def environments(report: ColdStartReport) -> Figure | None:
    """How many environments there were at once, and how many of them were busy; of a digest, how many were started."""
    if report.saved is None or report.environments is None:
        return _started(report)
    frame = report.saved.frame
    began = began_ms(frame).dropna()
    ends = frame["timestamp"].dropna()
    first, last = float(began.min()), float(max(began.max(), ends.max() if len(ends) else began.max()))
    width = max(1, int(np.ceil((last - first + 1) / FINE_BINS)))
    bins = Bins(int(first), width, int((last - first) // width) + 1)
    fine = environments_over_time(frame, bins)
    if fine is None:
        return None
    starts = np.array([float(bins.start_ms(at)) for at in range(bins.count + 1)])
    alive = np.array([*fine.alive_by_bin, fine.alive_by_bin[-1]], dtype=np.float64)
    busy = np.array([*fine.busy_by_bin, fine.busy_by_bin[-1]], dtype=np.float64)
    known = [float(init.timestamp) for init in report.saved.inits or () if init.timestamp is not None]
    init_starts = np.array(known, dtype=np.float64)
    init_starts = init_starts[(init_starts >= starts[0]) & (init_starts <= starts[-1])]
    x = times(report, [np.array([starts[0], starts[-1]])])
    y = count_axis(report.environments.alive_max, "environments at once")

    def draw(drawing: Drawing) -> None:
        plot = drawing.plot(x(drawing.size), y)
        plot.line(starts, alive, "alive dashed", steps=True)
        plot.line(starts, busy, "busy", steps=True, area=True)
        if len(init_starts):
            plot.rug(init_starts, COLD)

    text = (
        f"Execution environments: at most {report.environments.alive_max:,} alive and "
        f"{report.environments.busy_max:,} busy at one instant; {report.environments.used:,} served an invocation."
    )
    wide, narrow = both(text, draw)
    legend = [
        Legend("alive dashed", "line", "alive: from INIT_START to the last REPORT"),
        Legend("busy", "line", "busy with an invocation"),
    ]
    if len(init_starts):
        legend.append(Legend(COLD, "line", "an init begins (short lines on the axis)"))
    return Figure(
        identifier="environments-over-time",
        title="Concurrency over time",
        caption="The most environments that were there, and that were busy, in each step of the line.",
        text=text,
        wide=wide,
        narrow=narrow,
        legend=legend,
    )


def _started(report: ColdStartReport) -> Figure | None:
    counts = [summary.environments for summary in report.bins]
    known = [count for count in counts if count is not None]
    if len(counts) < 2 or len(known) < len(counts) or not sum(known) or report.bin_ms is None:
        return None
    starts = [float(summary.bin_start_ms or 0) for summary in report.bins]
    edges = [(start, start + report.bin_ms) for start in starts]
    x = times(report, [np.array([starts[0], edges[-1][1]])])
    y = count_axis(max(known), f"environments initialised in each {words.span_text(report.bin_ms)}")
    text = f"{sum(known):,} environments initialised; the most in one time bin: {max(known):,}."
    wide, narrow = both(
        text,
        lambda drawing: drawing.plot(x(drawing.size), y).bars(edges, [(0.0, float(count)) for count in known], COLD),
        extra=-60,
    )
    return Figure(
        identifier="environments-over-time",
        title="Environments initialised over time",
        caption="INIT_START lines in each time bin, whether or not an invocation followed.",
        text=text,
        wide=wide,
        narrow=narrow,
    )


def _order(kind: str) -> int:
    return list(MARKS).index(kind)

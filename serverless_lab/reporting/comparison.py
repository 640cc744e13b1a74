"""A comparison in words and cells, on a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from serverless_lab.coldstarts.names import many
from serverless_lab.compare.report import (
    COLD_RATE,
    COST,
    COUNT,
    ENVIRONMENTS,
    FAILURE_RATE,
    MEASURES,
    MONEY,
    OVER_TIMEOUT,
    RATE,
    Measure,
)
from serverless_lab.compare.sentences import headline, lifetime_sentence, sentences
from serverless_lab.reporting.words import ABSENT, Cells

if TYPE_CHECKING:
    from rich.console import Console

    from serverless_lab.compare.estimates import Estimate
    from serverless_lab.compare.report import ComparisonReport

LEGEND = (
    "Values with their 95 % intervals: what other requests and other seeds might have shown. Times in ms; money in USD "
    "a month, at the traffic named above; environments are those initialised in a run."
)

_GROUPS = (
    ("Users", (COLD_RATE, "init_ms_p50", "init_plus_first_ms_p50", OVER_TIMEOUT)),
    ("Latency", ("latency_ms_p50", "latency_ms_p95", "latency_ms_p99")),
    ("Environments and bill", (ENVIRONMENTS, COST)),
)
"""A table each: all columns in one would be read by nobody."""


def context(report: ComparisonReport) -> str:
    """What was compared, where and how often."""
    seeds = f"seeds {report.seeds[0]} to {report.seeds[-1]}" if len(report.seeds) > 1 else f"seed {report.seeds[0]}"
    found = [report.scenario, f"target {report.target}", f"clock {report.clock}" if report.clock else "", seeds]
    found.append(f"variants of {report.source}")
    return ", ".join(word for word in found if word)


def traffic_text(report: ComparisonReport) -> str | None:
    """The month that money is of."""
    traffic = report.traffic
    if traffic is None:
        return None
    return (
        f"a month of {traffic['requests_per_month']:,.0f} requests with {traffic['peaks_per_month']:.3g} such peaks, "
        f"prices of {traffic['region']} as of {traffic['prices_dated']}"
    )


def value_cells(report: ComparisonReport) -> list[Cells]:
    """Every measure of every variant, with its interval: cold starts, then latency, then the bill."""
    shown = shown_measures(report)
    found = []
    for _, keys in _GROUPS:
        measures = [measure for measure in MEASURES if measure.key in keys and measure.key in shown]
        heads = ["variant", *(f">{measure.title}" for measure in measures)]
        rows = [
            [result.name, *(value_text(measure, result.estimates[measure.key]) for measure in measures)]
            for result in report.variants
        ]
        found.append(Cells(heads, rows))
    return found


def difference_cells(report: ComparisonReport) -> Cells:
    """What each variant changes: difference, interval, verdict."""
    shown = shown_measures(report)
    rows = []
    for result in report.variants:
        for measure in MEASURES:
            difference = result.differences.get(measure.key)
            if difference is None or measure.key not in shown or difference.estimate.value is None:
                continue
            rows.append(
                [
                    result.name,
                    measure.title,
                    change_text(measure, difference.estimate.value),
                    interval_text(measure, difference.estimate, signed=True),
                    difference.verdict,
                ]
            )
    return Cells(["variant", "measure", ">difference", ">95 % interval", "verdict"], rows)


def lifetime_cells(report: ComparisonReport) -> Cells:
    """The sensitive variant by idle lifetime."""
    rate = MEASURES[0]
    rows = []
    for found in report.lifetimes:
        difference = found.difference
        change = ABSENT if difference is None else interval_text(rate, difference.estimate, signed=True)
        verdict = ABSENT if difference is None else difference.verdict
        kept = f"{found.idle_lifetime_ms / 60_000:g} min"
        rows.append([kept, value_text(rate, found.cold_rate), change, verdict])
    return Cells(["idle environments kept", ">cold-start rate", ">less the baseline's", "verdict"], rows)


def shown_measures(report: ComparisonReport) -> set[str]:
    """All but those of which nothing is known, and of failures where nothing has failed."""
    shown = set()
    for measure in MEASURES:
        values = [result.estimates[measure.key].value for result in report.variants]
        if measure.key == FAILURE_RATE and not any(values):
            continue
        if any(value is not None for value in values):
            shown.add(measure.key)
    return shown


# --- texts of numbers ------------------------------------------------------------------------------------------------


def value_text(measure: Measure, estimate: Estimate) -> str:
    """`29.0 % [26.8, 31.4]`."""
    if estimate.value is None:
        return ABSENT
    interval = interval_text(measure, estimate)
    return number(measure, estimate.value) + ("" if interval == ABSENT else f" {interval}")


def interval_text(measure: Measure, estimate: Estimate, *, signed: bool = False) -> str:
    if estimate.interval is None:
        return ABSENT
    low, high = (_bare(measure, end, signed) for end in estimate.interval)
    return f"[{low}, {high}]"


def change_text(measure: Measure, value: float) -> str:
    return {RATE: f"{value * 100:+.1f} points", MONEY: f"{'-' if value < 0 else '+'}${abs(value):,.2f}"}.get(
        measure.kind, _bare(measure, value, True) + (" ms" if measure.kind == "time" else "")
    )


def number(measure: Measure, value: float) -> str:
    """A value with its unit, where the head does not say it."""
    return {RATE: f"{value * 100:.1f} %", MONEY: f"${value:,.2f}"}.get(measure.kind, _bare(measure, value, False))


def _bare(measure: Measure, value: float, signed: bool) -> str:
    sign = "+" if signed else ""
    if measure.kind == RATE:
        return f"{value * 100:{sign}.1f}"
    if measure.kind == MONEY:
        return f"{value:{sign},.2f}"
    digits = ".1f" if value != int(value) and (measure.kind == COUNT or abs(value) < 100) else ".0f"
    return f"{value:{sign},{digits}}"


# --- a terminal ------------------------------------------------------------------------------------------------------


def print_comparison(report: ComparisonReport, console: Console) -> None:
    """The comparison on `console`, in its width."""
    from rich.text import Text

    from serverless_lab.reporting.tables import draw

    console.print(Text(headline(report), style="bold"))
    console.print(Text(context(report)))
    traffic = traffic_text(report)
    if traffic is not None:
        console.print(Text(f"cost of {traffic}"))
    for cells in value_cells(report):
        console.print()
        console.print(draw(cells))
    console.print()
    for result in report.variants:
        said = sentences(report, result)
        if said:
            console.print(Text(f"- {' '.join(said)}"))
    if report.lifetimes:
        console.print()
        console.print(Text(f"Idle lifetime, {report.sensitive}", style="bold"))
        console.print(draw(lifetime_cells(report)))
    for line in _closing(report):
        console.print(Text(line, style="dim"))


def _closing(report: ComparisonReport) -> Iterable[str]:
    yield LEGEND
    if report.missing:
        yield f"{many(len(report.missing), 'run')} not made yet: {missing_text(report)}"
    yield from report.notes


def missing_text(report: ComparisonReport) -> str:
    return ", ".join(f"{name} with seed {seed}" for name, seed in report.missing)


# --- Markdown --------------------------------------------------------------------------------------------------------


def markdown_text(report: ComparisonReport) -> str:
    """The comparison in GitHub's Markdown."""
    return "\n".join(_markdown(report)) + "\n"


def _markdown(report: ComparisonReport) -> Iterable[str]:
    from serverless_lab.reporting.markdown import list_lines, table_lines, text

    yield f"## {text(headline(report))}"
    yield ""
    yield text(context(report))
    traffic = traffic_text(report)
    if traffic is not None:
        yield ""
        yield text(f"Cost of {traffic}.")
    for cells in value_cells(report):
        yield ""
        yield from table_lines(cells)
    yield ""
    for result in report.variants:
        said = sentences(report, result)
        if said:
            yield f"* {text(' '.join(said))}"
    yield ""
    yield "### Differences from the baseline"
    yield ""
    yield from table_lines(difference_cells(report))
    if report.lifetimes:
        yield ""
        yield f"### Idle lifetime, {text(report.sensitive or '')}"
        yield ""
        yield from table_lines(lifetime_cells(report))
        yield ""
        yield from (f"* {text(lifetime_sentence(report, found))}" for found in report.lifetimes)
    yield from list_lines("Notes", list(_closing(report)))

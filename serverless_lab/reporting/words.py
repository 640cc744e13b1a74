"""The cold-start report in words and cells, for whoever draws it: a terminal, Markdown, a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from serverless_lab.coldstarts.names import many

if TYPE_CHECKING:
    from serverless_lab.coldstarts.client import ClientSummary
    from serverless_lab.coldstarts.judgement import Judgement
    from serverless_lab.coldstarts.report import ColdStartReport
    from serverless_lab.coldstarts.statistics import Quantiles, Rate, Summary

ABSENT = "–"
UNNAMED = "(no name in the log)"
UNREADABLE_SHOWN = 5

LEGEND = (
    "cold: the caller waited for an init; cold % of the invocations whose kind is known. envs: environments "
    "initialised, used or not. run: Duration. init+run: an init and the first Duration after it. alive: most "
    "environments seen at one instant, from INIT_START to the last REPORT."
)


_SHORT_HEADS = {"initialization-type": "init type"}


@dataclass(frozen=True)
class Cells:
    """A table as text. A head that begins with `>` has numbers below it; `total` is the row under the line."""

    heads: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    total: list[str] | None = None


def headline(report: ColdStartReport) -> str:
    """The answer in one line."""
    total = report.total
    if total.cold_starts.count is None:
        logs = "this target's logs" if report.files is None else "these logs"
        return f"{many(total.invocations, 'invocation')}; cold starts cannot be told from {logs}"
    environments = "" if total.environments is None else f"; {many(total.environments, 'environment')} initialised"
    return f"{many(total.invocations, 'invocation')}, cold starts {rate_text(total.cold_starts)}{environments}"


def context(report: ColdStartReport) -> str:
    """What was read, and of when it is."""
    if report.files is not None:
        kinds = ", ".join(f"{count:,} {name}" for name, count in report.files.formats.items())
        read = f"{many(sum(report.files.formats.values()), 'file')}" + (f" ({kinds})" if kinds else "")
        if report.first_ms is None or report.last_ms is None:
            return read
        return f"{read}, from {instant_text(report.first_ms)} to {instant_text(report.last_ms)}"
    words = [f"run {report.run_id}" if report.run_id else "", report.scenario]
    words.append(f"target {report.target}" if report.target else "")
    words.append(f"clock {report.clock}" if report.clock else "")
    if report.started_at_ms is not None:
        words.append(f"began {instant_text(report.started_at_ms)}")
    if report.source == "file":
        words.append(f"log read {instant_text(report.read_at_ms)}")
    return ", ".join(word for word in words if word)


def kinds_text(total: Summary) -> list[str]:
    """The kinds there are, three numbers that are often taken for one another, and how sure the quantiles are."""
    environments = "not told" if total.environments is None else f"{total.environments:,}"
    waited = "not told" if total.cold_starts.count is None else f"{total.cold_starts.count:,}"
    lines = [
        "kinds: " + ", ".join(f"{count:,} {kind}" for kind, count in total.kinds.items()),
        f"environments initialised: {environments}; REPORT lines with an init: {total.with_init:,}; "
        f"callers that waited: {waited}",
    ]
    quantiles = _quantiles_text(total)
    return [*lines, f"95 % intervals, ms: {quantiles}"] if quantiles else lines


def _quantiles_text(total: Summary) -> str:
    """`init p50 230 [210, 250], p90 400 [380, 450]; run p50 …`: those that enough values state."""
    found = []
    for name, of in (
        ("init", total.init_ms),
        ("restore", total.restore_ms),
        ("run", total.duration_ms),
        ("init+run", total.init_plus_first_duration_ms),
    ):
        points = (
            ("p50", of.p50, of.p50_interval),
            ("p90", of.p90, of.p90_interval),
            ("p99", of.p99, of.p99_interval),
        )
        told = [f"{point} {ms_text(value)} {_interval(ends)}" for point, value, ends in points if ends is not None]
        if told:
            found.append(f"{name} {', '.join(told)}")
    return "; ".join(found)


# --- tables ----------------------------------------------------------------------------------------------------------


def group_cells(report: ColdStartReport) -> tuple[Cells, Cells]:
    """Counts and times, a row per function or per group of `report.by`, and of all together under them."""
    names = report.short_names
    rows: list[tuple[list[str], Summary]]
    if report.by:
        heads = [_SHORT_HEADS.get(name, name) for name in report.by]
        rows = [([_label(report, names, summary, name) for name in report.by], summary) for summary in report.groups]
    else:
        heads = ["function"]
        rows = [([names[summary.function or ""] or UNNAMED], summary) for summary in report.functions]
    blank = ["all", *[""] * (len(heads) - 1)]
    has_total = len(rows) > 1
    counts = Cells(
        [*heads, ">invoked", ">cold", ">cold %", ">95 % interval", ">envs", ">memory MB", ">failed"],
        [[*label, *_count_cells(report, summary)] for label, summary in rows],
        [*blank, *_count_cells(report, report.total)] if has_total else None,
    )
    times = Cells(
        [
            *(heads if len(heads) > 1 else ["ms"]),
            *(">init p50", ">p90", ">p99", ">max"),
            *(">run p50", ">p90", ">p99", ">max"),
            *(">init+run p50", ">p90", ">max"),
        ],
        [[*label, *_time_cells(summary)] for label, summary in rows],
        [*blank, *_time_cells(report.total)] if has_total else None,
    )
    return counts, times


def bin_cells(report: ColdStartReport) -> Cells:
    """A row per time bin in which something happened."""
    found = Cells(
        [
            f"from (+{span_text(report.bin_ms or 0)})",
            *(">invoked", ">cold", ">cold %", ">95 % interval", ">envs", ">alive", ">init p50", ">run p50", ">p99"),
            ">failed",
        ]
    )
    for at, summary in enumerate(report.bins):
        if not summary.invocations and not summary.environments:
            continue
        found.rows.append(
            [
                bin_label(report, summary.bin_start_ms or 0),
                f"{summary.invocations:,}",
                *_rate_cells(summary.cold_starts),
                _environments(summary),
                ABSENT if report.environments is None else f"{report.environments.alive_by_bin[at]:,}",
                ms_text(summary.init_ms.p50),
                ms_text(summary.duration_ms.p50),
                ms_text(summary.duration_ms.p99),
                _failed(report, summary),
            ]
        )
    return found


def client_lines(client: ClientSummary) -> list[str]:
    """How many requests, and what became of them."""
    words = [many(client.requests, "request"), f"{client.failures:,} failed"]
    if client.not_sent:
        words.append(f"{client.not_sent:,} never sent")
    lines = [", ".join(words)]
    codes = [f"{code}: {count:,}" for code, count in client.statuses.items()]
    codes += [f"{error}: {count:,}" for error, count in client.transport_errors.items()]
    if codes:
        lines.append("status  " + ", ".join(codes))
    return lines


def client_cells(client: ClientSummary) -> Cells:
    """Latency of all requests, and by the kind of the invocation that served them."""
    heads = ["latency ms", ">requests", ">p50", ">p90", ">p99", ">max", ">p50 95 % interval", ">p99 95 % interval"]
    rows = [("all", client.latency_ms), *client.latency_ms_by_kind.items()]
    return Cells(heads, [[name, *_latency_cells(found)] for name, found in rows])


# --- sentences -------------------------------------------------------------------------------------------------------


def about_environments(report: ColdStartReport) -> list[tuple[str, str]]:
    """(what, sentence) about environments over time, the idle lifetime and billing; none where nothing is known."""
    from serverless_lab.coldstarts.billing import billing_sentence
    from serverless_lab.coldstarts.lifetimes import idle_sentence, words_of_ms

    lines = []
    found = report.environments
    if found is not None:
        words = f"{found.used:,} used, at most {found.alive_max:,} alive and {found.busy_max:,} busy at once"
        if found.lifetime_ms.n:
            words += (
                f"; seen for {words_of_ms(found.lifetime_ms.p50)} (p50), {words_of_ms(found.lifetime_ms.max)} (max)"
            )
        lines.append(("Environments", words + f"; {many(round(found.served.p50 or 0), 'invocation')} each (p50)"))
    if report.idle is not None:
        lines.append(("Idle lifetime", idle_sentence(report.idle)))
    if report.billing is not None:
        lines.append(("Billing", billing_sentence(report.billing)))
    return lines


def unreadable_lines(report: ColdStartReport) -> Iterable[str]:
    """The first places in files that could not be read."""
    if report.files is None:
        return
    for place in report.files.unreadable[:UNREADABLE_SHOWN]:
        at = f":{place.line}" if place.line else ""
        yield f"{place.file}{at}: {place.reason}" + (f": {place.text[:60]}" if place.text else "")
    if report.unreadable > UNREADABLE_SHOWN:
        yield f"and {report.unreadable - UNREADABLE_SHOWN:,} more"


def verdict_lines(judgement: Judgement) -> list[str]:
    """One line per gate."""
    return [f"{verdict.outcome.upper():6}  {verdict.sentence}" for verdict in judgement.verdicts]


def comparison_lines(judgement: Judgement) -> list[str]:
    """The comparison with a baseline: how it was made, and a sentence per function."""
    found = judgement.comparison
    if found is None:
        return []
    lines = [function.sentence for function in found.functions]
    if found.new:
        lines.append(f"Not in the baseline: {', '.join(found.new)}.")
    if found.missing:
        lines.append(f"In the baseline alone: {', '.join(found.missing)}.")
    lines.append(
        f"{many(found.tests, 'test')} for being worse by more than {found.tolerance:.0%}, adjusted together (Holm): "
        "the chance that anything is called worse although nothing changed is at most 5 %."
    )
    return lines


# --- cells -----------------------------------------------------------------------------------------------------------


def rate_text(rate: Rate) -> str:
    """`141 of 500, 28.2 % [24.4, 32.3]`; a dash where nothing can be told."""
    if rate.count is None or rate.rate is None or rate.interval is None:
        return ABSENT
    low, high = rate.interval
    return f"{rate.count:,} of {rate.n:,}, {percent(rate.rate)} % [{percent(low)}, {percent(high)}]"


def ms_text(value: float | None) -> str:
    """`12.3`, `1,234`; a dash where there is none."""
    if value is None:
        return ABSENT
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def span_text(duration_ms: int) -> str:
    """A bin's width in words: `500 ms`, `10 s`, `5 min`, `2 h`, `1 d`."""
    for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if duration_ms >= unit_ms and duration_ms % unit_ms == 0:
            return f"{duration_ms // unit_ms} {unit}"
    return f"{duration_ms} ms"


def instant_text(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def bin_label(report: ColdStartReport, start_ms: int) -> str:
    """Time since a run's start; for log files the instant itself."""
    if report.started_at_ms is not None:
        return _offset(start_ms - report.started_at_ms)
    pattern = "%Y-%m-%d %H:%M" if (report.bin_ms or 0) % 60_000 == 0 else "%Y-%m-%d %H:%M:%S"
    return datetime.fromtimestamp(start_ms / 1000, UTC).strftime(pattern)


def _label(report: ColdStartReport, names: dict[str, str], summary: Summary, dimension: str) -> str:
    from serverless_lab.coldstarts.tabular import group_label

    if dimension == "bin":
        return ABSENT if summary.bin_start_ms is None else bin_label(report, summary.bin_start_ms)
    if dimension == "function":
        return names[summary.function or ""] or UNNAMED
    return group_label(summary, dimension) or ABSENT


def _count_cells(report: ColdStartReport, summary: Summary) -> list[str]:
    return [
        f"{summary.invocations:,}",
        *_rate_cells(summary.cold_starts),
        _environments(summary),
        _memory(summary),
        _failed(report, summary),
    ]


def _time_cells(summary: Summary) -> list[str]:
    # SnapStart restores take the place of inits.
    init = summary.restore_ms if summary.restore_ms.n and not summary.init_ms.n else summary.init_ms
    run, both = summary.duration_ms, summary.init_plus_first_duration_ms
    values = (init.p50, init.p90, init.p99, init.max, run.p50, run.p90, run.p99, run.max, both.p50, both.p90, both.max)
    return [ms_text(value) for value in values]


def _latency_cells(found: Quantiles) -> list[str]:
    return [
        f"{found.n:,}",
        ms_text(found.p50),
        ms_text(found.p90),
        ms_text(found.p99),
        ms_text(found.max),
        _interval(found.p50_interval),
        _interval(found.p99_interval),
    ]


def _rate_cells(rate: Rate) -> list[str]:
    """Count, percentage, its interval."""
    count = ABSENT if rate.count is None else f"{rate.count:,}"
    if rate.rate is None or rate.interval is None:
        return [count, ABSENT, ABSENT]
    low, high = rate.interval
    return [count, percent(rate.rate), f"[{percent(low)}, {percent(high)}]"]


def percent(share: float) -> str:
    percent = share * 100
    # A rate that is not zero must not look like zero.
    return f"{percent:.2g}" if 0 < percent < 0.05 else f"{percent:.1f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return ABSENT if interval is None else f"[{ms_text(interval[0])}, {ms_text(interval[1])}]"


def _environments(summary: Summary) -> str:
    return ABSENT if summary.environments is None else f"{summary.environments:,}"


def _memory(summary: Summary) -> str:
    if summary.max_memory_used_mb is None:
        return ABSENT
    size = f" of {summary.memory_size_mb[0]:,}" if len(summary.memory_size_mb) == 1 else ""
    return f"{summary.max_memory_used_mb:,}{size}"


def _failed(report: ColdStartReport, summary: Summary) -> str:
    parts = []
    if summary.timeouts:
        parts.append(f"{summary.timeouts:,} timed out")
    if summary.errors:
        parts.append(f"{summary.errors:,} crashed")
    return "\n".join(parts) or ("0" if report.tells_failures else ABSENT)


def _offset(offset_ms: int) -> str:
    """Time since the run's start: `0:00:10`."""
    sign = "-" if offset_ms < 0 else ""
    seconds, rest_ms = divmod(abs(offset_ms), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{rest_ms:03}" if rest_ms else ""
    return f"{sign}{hours}:{minutes:02}:{seconds:02}{fraction}"

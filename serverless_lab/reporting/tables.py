"""The cold-start report as text for a terminal.

Sense does not hang on colour. Rich is imported only when a table is drawn, so listing commands stays quick.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from serverless_lab.coldstarts.names import many

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from serverless_lab.coldstarts.client import ClientSummary
    from serverless_lab.coldstarts.report import ColdStartReport
    from serverless_lab.coldstarts.statistics import Quantiles, Rate, Summary

BLOCKS = "▁▂▃▄▅▆▇█"
NONE = "·"
ABSENT = "–"
UNREADABLE_SHOWN = 5
UNNAMED = "(no name in the log)"
SPARKLINE_WIDTH = 60


def render_report(report: ColdStartReport, *, width: int = 100) -> str:
    """The report as plain text without colour, `width` characters wide."""
    from rich.console import Console

    text = io.StringIO()
    print_report(report, Console(file=text, width=width, color_system=None, force_terminal=False, highlight=False))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def print_report(report: ColdStartReport, console: Console) -> None:
    """The report on `console`, in its width and, where it has them, its colours."""
    for part in _parts(report):
        console.print(part, highlight=False)


def sparkline(values: Sequence[int], width: int = SPARKLINE_WIDTH) -> str:
    """One block per value, as high as its share of the greatest; `·` for 0. More than `width` values are added up."""
    if not values:
        return ""
    step = -(-len(values) // width)
    sums = [sum(values[at : at + step]) for at in range(0, len(values), step)]
    top = max(sums)
    return "".join(NONE if value == 0 else BLOCKS[-(-value * len(BLOCKS) // top) - 1] for value in sums)


def _parts(report: ColdStartReport) -> Iterable[RenderableType]:
    from rich.text import Text

    yield Text(_headline(report), style="bold")
    yield Text(_context(report))
    if report.total.kinds:
        yield Text("kinds: " + ", ".join(f"{count:,} {kind}" for kind, count in report.total.kinds.items()))
        yield Text(_three_numbers(report.total))
    if report.functions:
        yield Text()
        yield from _group_tables(report) if report.by else _function_tables(report)
        yield Text(
            "cold: the caller waited for an init; cold % of the invocations whose kind is known. envs: environments "
            "initialised, used or not. run: Duration. init+run: an init and the first Duration after it. alive: most "
            "environments seen at one instant, from INIT_START to the last REPORT.",
            style="dim",
        )
    if len(report.bins) > 1:
        yield Text()
        yield from _over_time(report)
    about = _about_environments(report)
    if about:
        yield Text()
        for line in about:
            yield Text(line)
    if report.client is not None:
        yield Text()
        yield from _client(report.client)
    if report.notes:
        yield Text()
        yield Text("Notes", style="bold")
        for note in report.notes:
            yield Text(f"- {note}")
    if report.files is not None and report.files.unreadable:
        yield Text()
        yield Text("Could not be read", style="bold")
        for place in report.files.unreadable[:UNREADABLE_SHOWN]:
            at = f":{place.line}" if place.line else ""
            yield Text(f"- {place.file}{at}: {place.reason}" + (f": {place.text[:60]}" if place.text else ""))
        if report.unreadable > UNREADABLE_SHOWN:
            yield Text(f"- and {report.unreadable - UNREADABLE_SHOWN:,} more")


def _headline(report: ColdStartReport) -> str:
    total = report.total
    if total.cold_starts.count is None:
        logs = "this target's logs" if report.files is None else "these logs"
        return f"{total.invocations:,} invocations; cold starts cannot be told from {logs}"
    environments = "" if total.environments is None else f"; {total.environments:,} environments initialised"
    return f"{total.invocations:,} invocations, cold starts {rate_text(total.cold_starts)}{environments}"


def _three_numbers(total: Summary) -> str:
    """What is often taken for one another."""
    environments = "not told" if total.environments is None else f"{total.environments:,}"
    waited = "not told" if total.cold_starts.count is None else f"{total.cold_starts.count:,}"
    return (
        f"environments initialised: {environments}; REPORT lines with an init: {total.with_init:,}; "
        f"callers that waited: {waited}"
    )


def _context(report: ColdStartReport) -> str:
    if report.files is not None:
        kinds = ", ".join(f"{count:,} {name}" for name, count in report.files.formats.items())
        read = f"{many(sum(report.files.formats.values()), 'file')}" + (f" ({kinds})" if kinds else "")
        if report.first_ms is None or report.last_ms is None:
            return read
        return f"{read}, from {_instant(report.first_ms)} to {_instant(report.last_ms)}"
    words = [f"run {report.run_id}" if report.run_id else "", report.scenario]
    words.append(f"target {report.target}" if report.target else "")
    words.append(f"clock {report.clock}" if report.clock else "")
    if report.started_at_ms is not None:
        words.append(f"began {_instant(report.started_at_ms)}")
    if report.source == "file":
        words.append(f"log read {_instant(report.read_at_ms)}")
    return ", ".join(word for word in words if word)


def _function_tables(report: ColdStartReport) -> Iterable[RenderableType]:
    names = report.short_names
    rows = [([names[summary.function or ""] or UNNAMED], summary) for summary in report.functions]
    return _two_tables(["function"], rows, report.total)


def _group_tables(report: ColdStartReport) -> Iterable[RenderableType]:
    from serverless_lab.coldstarts.tabular import group_label

    names = report.short_names
    rows = []
    for summary in report.groups:
        cells = []
        for dimension in report.by:
            if dimension == "bin":
                start_ms = summary.bin_start_ms
                cells.append(ABSENT if start_ms is None else _bin_label(report, start_ms))
            else:
                label = group_label(summary, dimension)
                cells.append(ABSENT if label is None else names.get(label, label) or UNNAMED)
        rows.append((cells, summary))
    return _two_tables(list(report.by), rows, report.total)


def _two_tables(heads: list[str], rows: list[tuple[list[str], Summary]], total: Summary) -> Iterable[RenderableType]:
    """Counts and times of the same rows, and of all together under them."""
    counts = _table(*heads, ">invoked", ">cold", ">cold %", ">95 % interval", ">envs", ">memory MB", ">failed")
    times = _table(
        *(heads if len(heads) > 1 else ["ms"]),
        *(">init p50", ">p90", ">p99", ">max"),
        *(">run p50", ">p90", ">p99", ">max"),
        *(">init+run p50", ">p90", ">max"),
    )
    for names, summary in rows:
        counts.add_row(*names, *_count_cells(summary))
        times.add_row(*names, *_time_cells(summary))
    if len(rows) > 1:
        for table, cells in ((counts, _count_cells(total)), (times, _time_cells(total))):
            table.add_section()
            table.add_row("all", *[""] * (len(heads) - 1), *cells)
    yield counts
    yield ""
    yield times


def _count_cells(summary: Summary) -> list[str]:
    return [
        f"{summary.invocations:,}",
        *_rate_cells(summary.cold_starts),
        _environments(summary),
        _memory(summary),
        _failed(summary),
    ]


def _time_cells(summary: Summary) -> list[str]:
    # SnapStart restores take the place of inits.
    init = summary.restore_ms if summary.restore_ms.n and not summary.init_ms.n else summary.init_ms
    run, both = summary.duration_ms, summary.init_plus_first_duration_ms
    values = (init.p50, init.p90, init.p99, init.max, run.p50, run.p90, run.p99, run.max, both.p50, both.p90, both.max)
    return [_ms(value) for value in values]


def _over_time(report: ColdStartReport) -> Iterable[RenderableType]:
    from rich.text import Text

    bins = report.bins
    if report.total.cold_starts.count is not None:
        counts = [summary.cold_starts.count or 0 for summary in bins]
        together = -(-len(counts) // SPARKLINE_WIDTH)
        per = span_text((report.bin_ms or 0) * together)
        line = sparkline(counts)
        most = max(sum(counts[at : at + together]) for at in range(0, len(counts), together))
        yield Text(f"Cold starts over time  {line}  at most {most:,} in {per}")
    table = _table(
        f"from (+{span_text(report.bin_ms or 0)})",
        *(
            ">invoked",
            ">cold",
            ">cold %",
            ">95 % interval",
            ">envs",
            ">alive",
            ">init p50",
            ">run p50",
            ">p99",
            ">failed",
        ),
    )
    for at, summary in enumerate(bins):
        if not summary.invocations and not summary.environments:
            continue
        table.add_row(
            _bin_label(report, summary.bin_start_ms or 0),
            f"{summary.invocations:,}",
            *_rate_cells(summary.cold_starts),
            _environments(summary),
            ABSENT if report.environments is None else f"{report.environments.alive_by_bin[at]:,}",
            _ms(summary.init_ms.p50),
            _ms(summary.duration_ms.p50),
            _ms(summary.duration_ms.p99),
            _failed(summary),
        )
    yield table


def _about_environments(report: ColdStartReport) -> list[str]:
    """Lines about environments over time, the idle lifetime and billing; none where nothing is known."""
    from serverless_lab.coldstarts.billing import billing_sentence
    from serverless_lab.coldstarts.lifetimes import idle_sentence, words_of_ms

    lines = []
    found = report.environments
    if found is not None:
        words = (
            f"Environments   {found.used:,} used, at most {found.alive_max:,} alive and {found.busy_max:,} busy at once"
        )
        if found.lifetime_ms.n:
            words += (
                f"; seen for {words_of_ms(found.lifetime_ms.p50)} (p50), {words_of_ms(found.lifetime_ms.max)} (max)"
            )
        lines.append(words + f"; {found.served.p50:,.0f} invocations each (p50)")
    if report.idle is not None:
        lines.append(f"Idle lifetime  {idle_sentence(report.idle)}")
    if report.billing is not None:
        lines.append(f"Billing        {billing_sentence(report.billing)}")
    return lines


def _client(client: ClientSummary) -> Iterable[RenderableType]:
    from rich.text import Text

    yield Text("As the client saw it", style="bold")
    words = [f"{client.requests:,} requests", f"{client.failures:,} failed"]
    if client.not_sent:
        words.append(f"{client.not_sent:,} never sent")
    yield Text(", ".join(words))
    codes = [f"{code}: {count:,}" for code, count in client.statuses.items()]
    codes += [f"{error}: {count:,}" for error, count in client.transport_errors.items()]
    if codes:
        yield Text("status  " + ", ".join(codes))
    table = _table(
        "latency ms", ">requests", ">p50", ">p90", ">p99", ">max", ">p50 95 % interval", ">p99 95 % interval"
    )
    table.add_row("all", *_latency_cells(client.latency_ms))
    for kind, found in client.latency_ms_by_kind.items():
        table.add_row(kind, *_latency_cells(found))
    yield table
    if client.joined:
        yield Text(f"Cold starts a client waited for: {rate_text(client.cold_starts)}")


def _latency_cells(found: Quantiles) -> list[str]:
    return [
        f"{found.n:,}",
        _ms(found.p50),
        _ms(found.p90),
        _ms(found.p99),
        _ms(found.max),
        _interval(found.p50_interval),
        _interval(found.p99_interval),
    ]


# --- cells -----------------------------------------------------------------------------------------------------------


def rate_text(rate: Rate) -> str:
    """`141 of 500, 28.2 % [24.4, 32.3]`; a dash where nothing can be told."""
    if rate.count is None or rate.rate is None or rate.interval is None:
        return ABSENT
    low, high = rate.interval
    return f"{rate.count:,} of {rate.n:,}, {_percent(rate.rate)} % [{_percent(low)}, {_percent(high)}]"


def _rate_cells(rate: Rate) -> list[str]:
    """Count, percentage, its interval."""
    count = ABSENT if rate.count is None else f"{rate.count:,}"
    if rate.rate is None or rate.interval is None:
        return [count, ABSENT, ABSENT]
    low, high = rate.interval
    return [count, _percent(rate.rate), f"[{_percent(low)}, {_percent(high)}]"]


def _percent(share: float) -> str:
    percent = share * 100
    # A rate that is not zero must not look like zero.
    return f"{percent:.2g}" if 0 < percent < 0.05 else f"{percent:.1f}"


def _ms(value: float | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return ABSENT if interval is None else f"[{_ms(interval[0])}, {_ms(interval[1])}]"


def _environments(summary: Summary) -> str:
    return ABSENT if summary.environments is None else f"{summary.environments:,}"


def _memory(summary: Summary) -> str:
    if summary.max_memory_used_mb is None:
        return ABSENT
    size = f" of {summary.memory_size_mb[0]:,}" if len(summary.memory_size_mb) == 1 else ""
    return f"{summary.max_memory_used_mb:,}{size}"


def _failed(summary: Summary) -> str:
    parts = []
    if summary.timeouts:
        parts.append(f"{summary.timeouts:,} timed out")
    if summary.errors:
        parts.append(f"{summary.errors:,} crashed")
    return "\n".join(parts) or "0"


def span_text(duration_ms: int) -> str:
    """A bin's width in words: `500 ms`, `10 s`, `5 min`, `2 h`, `1 d`."""
    for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if duration_ms >= unit_ms and duration_ms % unit_ms == 0:
            return f"{duration_ms // unit_ms} {unit}"
    return f"{duration_ms} ms"


def _bin_label(report: ColdStartReport, start_ms: int) -> str:
    """Time since a run's start; for log files the instant itself."""
    if report.started_at_ms is not None:
        return _offset(start_ms - report.started_at_ms)
    pattern = "%Y-%m-%d %H:%M" if (report.bin_ms or 0) % 60_000 == 0 else "%Y-%m-%d %H:%M:%S"
    return datetime.fromtimestamp(start_ms / 1000, UTC).strftime(pattern)


def _offset(offset_ms: int) -> str:
    """Time since the run's start: `0:00:10`."""
    sign = "-" if offset_ms < 0 else ""
    seconds, rest_ms = divmod(abs(offset_ms), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{rest_ms:03}" if rest_ms else ""
    return f"{sign}{hours}:{minutes:02}:{seconds:02}{fraction}"


def _instant(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _table(*columns: str) -> Table:
    """An empty table; a column that begins with `>` is aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=right)
    return table

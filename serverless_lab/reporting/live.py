"""The report of a log that is being written: a screen that is drawn again and again, or a line at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from serverless_lab.reporting import words
from serverless_lab.reporting.tables import draw, sparkline
from serverless_lab.reporting.words import Cells

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

    from serverless_lab.coldstarts.report import ColdStartReport

LATEST = 5
"""How many of the latest cold starts are shown."""


def live_view(report: ColdStartReport, state: str) -> Group:
    """What is drawn on a terminal: the answer so far, every function, the latest cold starts."""
    from rich.console import Group

    return Group(*_parts(report, state))


def live_line(report: ColdStartReport, state: str) -> str:
    """The same in one line, for where there is no terminal."""
    total = report.total
    parts = [words.headline(report)]
    if total.init_ms.n:
        parts.append(f"init p50 {words.ms_text(total.init_ms.p50)} max {words.ms_text(total.init_ms.max)} ms")
    if total.timeouts or total.errors:
        parts.append(f"{total.timeouts:,} timed out, {total.errors:,} crashed")
    if report.unfinished:
        parts.append(f"{report.unfinished:,} without a REPORT yet")
    return f"{words.instant_text(report.read_at_ms)}  {state}: {'; '.join(parts)}"


def _parts(report: ColdStartReport, state: str) -> Iterable[RenderableType]:
    from rich.text import Text

    yield Text(words.headline(report), style="bold")
    where = words.context(report)
    yield Text(f"{state}, {where}" if where else state)
    if report.functions:
        counts, times = words.group_cells(report)
        yield Text()
        yield draw(counts)
        yield Text()
        yield draw(times)
    if len(report.bins) > 1 and report.total.cold_starts.count is not None:
        line = sparkline([summary.cold_starts.count or 0 for summary in report.bins])
        yield Text()
        yield Text(f"Cold starts over time  {line}  {words.span_text(report.bin_ms or 0)} each")
    latest = latest_cells(report)
    if latest.rows:
        yield Text()
        yield draw(latest)
    if report.unfinished or report.unreadable:
        yield Text()
        yield Text(f"{report.unfinished:,} without a REPORT yet, {report.unreadable:,} lines that cannot be read")


def latest_cells(report: ColdStartReport, count: int = LATEST) -> Cells:
    """The latest invocations whose caller waited, the last one first."""
    found = Cells(["latest cold starts", "function", "kind", ">init", ">run"])
    if report.saved is None:
        return found
    from serverless_lab.coldstarts.frame import caller_waited

    frame = report.saved.frame
    latest = frame[caller_waited(frame)].tail(count).astype(object)
    names = report.short_names
    for row in reversed(latest.where(latest.notna(), None).to_dict("records")):
        at_ms = row["start_timestamp"] if row["start_timestamp"] is not None else row["timestamp"]
        found.rows.append(
            [
                words.ABSENT if at_ms is None else words.bin_label(report, int(at_ms)),
                names.get(row["function"], row["function"]) or words.UNNAMED,
                row["kind"],
                words.ms_text(row["restore_duration_ms"] if row["kind"] == "restored" else row["init_duration_ms"]),
                words.ms_text(row["duration_ms"]),
            ]
        )
    return found

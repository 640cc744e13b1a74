"""The report as rows and columns: CSV text."""

from __future__ import annotations

import csv
import io
from typing import Any

from serverless_lab.coldstarts.groups import FUNCTION, INITIALIZATION_TYPE, MEMORY, VERSION
from serverless_lab.coldstarts.invocations import KINDS
from serverless_lab.coldstarts.report import ColdStartReport
from serverless_lab.coldstarts.statistics import Summary

COLUMNS = (
    "function",
    "bin_start_ms",
    "bin_ms",
    "invocations",
    "cold_starts",
    "cold_start_rate",
    "cold_start_rate_low",
    "cold_start_rate_high",
    "environments_initialised",
    *(kind.replace("-", "_") for kind in KINDS),
    "init_ms_p50",
    "init_ms_p90",
    "init_ms_p99",
    "init_ms_max",
    "duration_ms_p50",
    "duration_ms_p90",
    "duration_ms_p99",
    "duration_ms_max",
    "init_plus_first_duration_ms_p50",
    "init_plus_first_duration_ms_p90",
    "init_plus_first_duration_ms_max",
    "max_memory_used_mb",
    "timeouts",
    "errors",
    "invocations_with_init",
    "restore_ms_p50",
    "restore_ms_p90",
    "restore_ms_p99",
    "restore_ms_max",
    "billed_ms",
    "billed_gb_s",
)

_GROUP_COLUMNS = {VERSION: "version", MEMORY: "memory_size_mb", INITIALIZATION_TYPE: "initialization_type"}


def csv_text(report: ColdStartReport) -> str:
    """A row per function and time bin, or per group of `report.by`; an empty cell is what could not be told.

    What groups are by beside function and bin stands in columns of its own, the first ones.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    extra = [name for name in report.by if name in _GROUP_COLUMNS]
    writer.writerow([*(_GROUP_COLUMNS[name] for name in extra), *COLUMNS])
    for summary in report.groups if report.by else report.function_bins:
        writer.writerow([*(_group_cell(summary, name) for name in extra), *_row(summary, report.bin_ms)])
    return text.getvalue()


def group_label(summary: Summary, dimension: str) -> str | None:
    """What `summary` has in common in one dimension other than time; None where the log does not say."""
    if dimension == FUNCTION:
        return summary.function
    found = _group_cell(summary, dimension)
    return None if found is None else str(found)


def _group_cell(summary: Summary, dimension: str) -> Any:
    match dimension:
        case "version":
            return summary.version
        case "memory":
            return summary.memory_size_mb[0] if len(summary.memory_size_mb) == 1 else None
        case _:
            return summary.initialization_type


def _row(summary: Summary, bin_ms: int | None) -> list[Any]:
    rate = summary.cold_starts
    low, high = rate.interval or (None, None)
    both = summary.init_plus_first_duration_ms
    return [
        summary.function,
        summary.bin_start_ms,
        None if summary.bin_start_ms is None else bin_ms,
        summary.invocations,
        rate.count,
        rate.rate,
        low,
        high,
        summary.environments,
        *(summary.kinds.get(kind, 0) for kind in KINDS),
        *(
            value
            for found in (summary.init_ms, summary.duration_ms)
            for value in (found.p50, found.p90, found.p99, found.max)
        ),
        both.p50,
        both.p90,
        both.max,
        summary.max_memory_used_mb,
        summary.timeouts,
        summary.errors,
        summary.with_init,
        summary.restore_ms.p50,
        summary.restore_ms.p90,
        summary.restore_ms.p99,
        summary.restore_ms.max,
        summary.billed_ms,
        summary.billed_gb_s,
    ]

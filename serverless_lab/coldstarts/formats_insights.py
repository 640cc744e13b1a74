"""Rows of CloudWatch Logs Insights -> log events.

A query returns whole messages (`@message`) or the fields that Insights has found in them (`@requestId`, `@duration`,
`@initDuration`, …; `record.metrics.durationMs` where the log is JSON). Insights counts memory in bytes, a megabyte
being a million of them (measured: 128 MB is 128000000; https://github.com/aws-samples/serverless-snippets divides so).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from serverless_lab.coldstarts.formats_text import Unreadable, Where, make_event, read_message
from serverless_lab.coldstarts.platform_events import epoch_ms
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import ReportLine

MEGABYTE = 1_000_000
"""measured: see above; the REPORT line itself and AWS's prices count 1,048,576."""

INIT_FIELDS = ("@initDuration", "record.metrics.initDurationMs")

_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?")


def is_row(row: Mapping[str, Any]) -> bool:
    """Whether these are fields of a query's row that something can be read from."""
    return any(name in row for name in ("@message", "@duration", "record.metrics.durationMs"))


def read_row(
    row: Mapping[str, str | None],
    where: Where,
    line_number: int,
    *,
    has_init_field: bool,
    tells_init: bool = True,
) -> Iterator[LogEvent | Unreadable]:
    """The event of one row.

    Args:
        row: field name -> value as printed; an absent or empty value is a field the log line does not have.
        has_init_field: whether the query selected the init's duration. Where it did not, its absence tells nothing.
        tells_init: False where the row's end may be missing.
    """
    group = _group(row.get("@log")) or where.log_group
    stream = row.get("@logStream") or where.log_stream
    stamp_ms = _instant_ms(row.get("@timestamp"))
    message = row.get("@message")
    if message:
        where.found = True
        yield from read_message(message, stamp_ms, group, stream, where, line_number, tells_init=tells_init)
        return
    kind = row.get("@type") or row.get("type")
    if kind not in (None, "", "REPORT", "platform.report"):
        where.found = True
        return
    duration = row.get("@duration") or row.get("record.metrics.durationMs")
    if not duration:
        return
    where.found = True
    try:
        line = _report(row, duration)
    except ValueError as error:
        yield where.unreadable(line_number, str(dict(row)), f"not a number: {error}")
        return
    # A row without memory is one whose query did not select it, not a line that was cut: as in JSON, nothing follows
    # from its absence.
    message = "{" if line.max_memory_used_mb is None else ""
    event = make_event(message, stamp_ms, group, stream, line, tells_init=has_init_field and tells_init)
    if event is not None:
        yield replace(event, tells_status="record.status" in row)


def _report(row: Mapping[str, str | None], duration: str) -> ReportLine:
    def number(name: str, json_name: str) -> float | None:
        value = row.get(name) or row.get(f"record.metrics.{json_name}")
        return _number(value) if value else None

    def megabytes(name: str, json_name: str) -> int | None:
        value = row.get(name)
        if value:
            return _whole(_number(value) / MEGABYTE)
        value = row.get(f"record.metrics.{json_name}")
        return _whole(_number(value)) if value else None

    status = row.get("record.status")
    return ReportLine(
        request_id=row.get("@requestId") or row.get("record.requestId") or "",
        duration_ms=_number(duration),
        billed_duration_ms=_whole(number("@billedDuration", "billedDurationMs")),
        memory_size_mb=megabytes("@memorySize", "memorySizeMB"),
        max_memory_used_mb=megabytes("@maxMemoryUsed", "maxMemoryUsedMB"),
        init_duration_ms=number("@initDuration", "initDurationMs"),
        restore_duration_ms=number("@restoreDuration", "restoreDurationMs"),
        billed_restore_duration_ms=_whole(number("@billedRestoreDuration", "billedRestoreDurationMs")),
        status=None if status in (None, "", "success") else status,
        error_type=row.get("record.errorType") or None,
        xray_trace_id=row.get("@xrayTraceId") or None,
        xray_segment_id=row.get("@xraySegmentId") or None,
    )


def _number(text: str) -> float:
    """The number that `text` prints.

    Raises:
        ValueError: it prints none.
    """
    text = str(text).strip()
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(text[:40])
    return float(text)


def _whole(number: float | None) -> int | None:
    """Whole numbers only: half a megabyte is not what the line said."""
    return int(number) if number is not None and number == int(number) else None


def _group(log: str | None) -> str:
    """The log group of `123456789012:/aws/lambda/orders`."""
    return (log or "").split(":", 1)[-1]


def _instant_ms(text: str | None) -> int | None:
    """`2026-11-24 16:00:00.250` (UTC), or epoch milliseconds."""
    if text and text.strip().isdigit():
        return int(text) if 12 <= len(text.strip()) <= 14 else None
    return epoch_ms(text)

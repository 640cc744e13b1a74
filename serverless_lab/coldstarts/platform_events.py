"""One log event of either format -> the line it is.

With `LogFormat: JSON` every platform event is `{"time": …, "type": "platform.…", "record": {…}}`
(https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html). It becomes the same line the text format
has, so nothing after this module knows of two formats. `platform.runtimeDone` is passed over on purpose: it names the
request too, and counting it beside `platform.report` would double the invocations.
"""

from __future__ import annotations

import json
import math
from typing import Any

from serverless_lab.report_line import (
    EndLine,
    InitReport,
    InitStart,
    PlatformLine,
    ReportLine,
    RestoreReport,
    RestoreStart,
    StartLine,
    is_platform_line,
    parse_line,
)

_TYPES = ("start", "end", "report", "initStart", "initReport", "restoreStart", "restoreReport")


def read_event(message: str) -> PlatformLine | None:
    """The platform line in one log event, text or JSON; None for everything else."""
    text = message.lstrip()
    if text.startswith("{"):
        return parse_json(text)
    return parse_line(text) if is_platform_line(text) else None


def is_platform_event(message: str) -> bool:
    """Whether Lambda itself wrote this event and it is of a kind that is read here, readable or not."""
    text = message.lstrip()
    if text.startswith("{"):
        return _platform_type(_json_object(text)) is not None
    return is_platform_line(text)


def parse_json(text: str) -> PlatformLine | None:
    """The line in a JSON platform event; None when it is no such event, or one that does not say what it must."""
    event = _json_object(text)
    kind = _platform_type(event)
    if event is None or kind is None:
        return None
    record = event.get("record")
    if not isinstance(record, dict):
        return None
    match kind:
        case "report":
            return _report(record)
        case "start":
            request_id = _word(record, "requestId")
            return None if request_id is None else StartLine(request_id, _word(record, "version"))
        case "end":
            request_id = _word(record, "requestId")
            return None if request_id is None else EndLine(request_id)
        case "initStart":
            return InitStart(
                _word(record, "runtimeVersion"),
                _word(record, "runtimeVersionArn"),
                _word(record, "initializationType"),
                _word(record, "phase"),
            )
        case "initReport":
            duration = _number(_metrics(record), "durationMs")
            if duration is None:
                return None
            return InitReport(
                duration,
                _word(record, "phase"),
                _status(record),
                _word(record, "errorType"),
                _word(record, "initializationType"),
            )
        case "restoreStart":
            return RestoreStart(_word(record, "runtimeVersion"), _word(record, "runtimeVersionArn"))
        case _:
            duration = _number(_metrics(record), "durationMs")
            return None if duration is None else RestoreReport(duration, _status(record), _word(record, "errorType"))


def _report(record: dict[str, Any]) -> ReportLine | None:
    metrics = _metrics(record)
    request_id = _word(record, "requestId")
    duration = _number(metrics, "durationMs")
    if request_id is None or duration is None:
        return None
    return ReportLine(
        request_id=request_id,
        duration_ms=duration,
        billed_duration_ms=_whole(metrics, "billedDurationMs"),
        memory_size_mb=_whole(metrics, "memorySizeMB"),
        max_memory_used_mb=_whole(metrics, "maxMemoryUsedMB"),
        init_duration_ms=_number(metrics, "initDurationMs"),
        restore_duration_ms=_number(metrics, "restoreDurationMs"),
        billed_restore_duration_ms=_whole(metrics, "billedRestoreDurationMs"),
        status=_status(record),
        error_type=_word(record, "errorType"),
    )


def _json_object(text: str) -> dict[str, Any] | None:
    if '"platform.' not in text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _platform_type(event: dict[str, Any] | None) -> str | None:
    kind = None if event is None else event.get("type")
    if not isinstance(kind, str) or not kind.startswith("platform."):
        return None
    name = kind.removeprefix("platform.")
    return name if name in _TYPES else None


def _metrics(record: dict[str, Any]) -> dict[str, Any]:
    metrics = record.get("metrics")
    return metrics if isinstance(metrics, dict) else {}


def _status(record: dict[str, Any]) -> str | None:
    """The text format leaves `Status` away on success; so do we, and both formats give one value."""
    status = _word(record, "status")
    return None if status == "success" else status


def _word(record: dict[str, Any], name: str) -> str | None:
    value = record.get(name)
    return value if isinstance(value, str) and value else None


def _number(record: dict[str, Any], name: str) -> float | None:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return None
    return float(value) if math.isfinite(value) else None


def _whole(record: dict[str, Any], name: str) -> int | None:
    value = _number(record, name)
    return int(value) if value is not None and value == int(value) else None

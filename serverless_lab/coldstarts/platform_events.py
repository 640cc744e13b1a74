"""One log event of either format -> the line it is, and back to the JSON that Lambda writes.

With `LogFormat: JSON` every platform event is `{"time": …, "type": "platform.…", "record": {…}}`
(https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html). It becomes the same line the text format
has, so nothing after this module knows of two formats; the events that only this format has are defined here.
`RuntimeDone` names the request too: counting it beside the report would double the invocations. What the module that
`lab deploy` adds prints (wrapper_lines.py) is read with them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from serverless_lab.coldstarts.wrapper_lines import (
    WrapperInit,
    WrapperInvocation,
    WrapperLine,
    is_wrapper_line,
    read_wrapper_line,
    wrapper_line_of,
)
from serverless_lab.report_line import (
    EndLine,
    ExtensionLine,
    FaultLine,
    InitReport,
    InitStart,
    PlatformLine,
    ReportLine,
    RestoreReport,
    RestoreStart,
    StartLine,
    SubscriptionLine,
    is_platform_line,
    parse_line,
    render_fault,
)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a phase, such as responseLatency. `start` is the instant as printed."""

    name: str
    start: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class InitRuntimeDone:
    """The runtime has ended its init. `status` is None for success."""

    initialization_type: str | None = None
    phase: str | None = None
    status: str | None = None
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class RuntimeDone:
    """The runtime has handled the request; the report of the same request follows. `status` is None for success."""

    request_id: str
    status: str | None = None
    error_type: str | None = None
    duration_ms: float | None = None
    produced_bytes: int | None = None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoreRuntimeDone:
    status: str | None = None
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class LogsDropped:
    """Lambda could not write `dropped_records` log events: what they said is lost."""

    dropped_records: int
    dropped_bytes: int | None = None
    reason: str | None = None


PlatformEvent: TypeAlias = PlatformLine | InitRuntimeDone | RuntimeDone | RestoreRuntimeDone | LogsDropped | WrapperLine

_TYPES = (
    "start",
    "end",
    "report",
    "initStart",
    "initRuntimeDone",
    "initReport",
    "restoreStart",
    "restoreRuntimeDone",
    "restoreReport",
    "runtimeDone",
    "fault",
    "extension",
    "telemetrySubscription",
    "logsSubscription",
    "logsDropped",
)


# --- reading ---------------------------------------------------------------------------------------------------------


def read_event(message: str) -> PlatformEvent | None:
    """The platform event in one log event, text or JSON; None for everything else, and for what cannot be read."""
    text = message.lstrip()
    if text.startswith("{"):
        return read_wrapper_line(text) if is_wrapper_line(text) else parse_json(text)
    return parse_line(text) if is_platform_line(text) else None


def is_platform_event(message: str) -> bool:
    """Whether Lambda, or a module that lab added, wrote this event and it is of a kind that is read here."""
    text = message.lstrip()
    if text.startswith("{"):
        return is_wrapper_line(text) or _platform_type(_json_object(text)) is not None
    return is_platform_line(text)


def parse_json(text: str) -> PlatformEvent | None:
    """The platform event in JSON text; None when it is no such event, or one that does not say what it must."""
    found = _json_object(text)
    return None if found is None else from_json(found)


def json_time_ms(event: dict[str, Any]) -> int | None:
    """The `time` of a JSON platform event, epoch ms."""
    return epoch_ms(event.get("time"))


def epoch_ms(text: object) -> int | None:
    """The instant that ISO 8601 text names, epoch ms; UTC where it names no zone. None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        stamp = datetime.fromisoformat(text.strip().replace(",", "."))
    except ValueError:
        return None
    try:
        return round((stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def is_json_platform_event(event: object) -> bool:
    """`is_platform_event` of JSON that was parsed already."""
    return isinstance(event, dict) and (_platform_type(event) is not None or wrapper_line_of(event) is not None)


def from_json(event: dict[str, Any]) -> PlatformEvent | None:
    """`parse_json` of JSON that was parsed already."""
    kind = _platform_type(event)
    if kind is None:
        return wrapper_line_of(event)
    record = event.get("record")
    if kind == "fault":
        # documented: of the Logs API, https://docs.aws.amazon.com/lambda/latest/dg/runtimes-logs-api.html
        fault = parse_line(record) if isinstance(record, str) else None
        return fault if isinstance(fault, FaultLine) else None
    if not isinstance(record, dict):
        return None
    match kind:
        case "report":
            return _report(record)
        case "start":
            request_id = _word(record, "requestId")
            if request_id is None:
                return None
            return StartLine(request_id, _word(record, "version"), _word(record, "functionArn"))
        case "end":
            request_id = _word(record, "requestId")
            return None if request_id is None else EndLine(request_id)
        case "runtimeDone":
            return _runtime_done(record)
        case "initStart":
            return InitStart(
                _word(record, "runtimeVersion"),
                _word(record, "runtimeVersionArn"),
                _word(record, "initializationType"),
                _word(record, "phase"),
                _word(record, "functionName"),
                _word(record, "functionVersion"),
                _word(record, "instanceId"),
                _whole(record, "instanceMaxMemory"),
            )
        case "initRuntimeDone":
            return InitRuntimeDone(
                _word(record, "initializationType"), _word(record, "phase"), _status(record), _word(record, "errorType")
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
            return RestoreStart(
                _word(record, "runtimeVersion"),
                _word(record, "runtimeVersionArn"),
                _word(record, "functionName"),
                _word(record, "functionVersion"),
                _word(record, "instanceId"),
            )
        case "restoreRuntimeDone":
            return RestoreRuntimeDone(_status(record), _word(record, "errorType"))
        case "restoreReport":
            duration = _number(_metrics(record), "durationMs")
            return None if duration is None else RestoreReport(duration, _status(record), _word(record, "errorType"))
        case "extension":
            name = _word(record, "name")
            if name is None:
                return None
            return ExtensionLine(name, _word(record, "state"), _words(record, "events"), _word(record, "errorType"))
        case "telemetrySubscription" | "logsSubscription":
            name = _word(record, "name")
            if name is None:
                return None
            return SubscriptionLine(name, _word(record, "state"), _words(record, "types"), kind == "logsSubscription")
        case _:
            dropped = _whole(record, "droppedRecords")
            if dropped is None:
                return None
            return LogsDropped(dropped, _whole(record, "droppedBytes"), _word(record, "reason"))


def _report(record: dict[str, Any]) -> ReportLine | None:
    metrics = _metrics(record)
    request_id = _word(record, "requestId")
    duration = _number(metrics, "durationMs")
    if request_id is None or duration is None:
        return None
    trace_id, segment_id, sampled = _tracing(record)
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
        xray_trace_id=trace_id,
        xray_segment_id=segment_id,
        xray_sampled=sampled,
    )


def _runtime_done(record: dict[str, Any]) -> RuntimeDone | None:
    request_id = _word(record, "requestId")
    if request_id is None:
        return None
    metrics = _metrics(record)
    spans = record.get("spans")
    return RuntimeDone(
        request_id,
        _status(record),
        _word(record, "errorType"),
        _number(metrics, "durationMs"),
        _whole(metrics, "producedBytes"),
        tuple(span for item in (spans if isinstance(spans, list) else ()) if (span := _span(item)) is not None),
    )


def _span(item: Any) -> Span | None:
    if not isinstance(item, dict):
        return None
    name, start, duration = _word(item, "name"), _word(item, "start"), _number(item, "durationMs")
    return None if name is None or start is None or duration is None else Span(name, start, duration)


def _tracing(record: dict[str, Any]) -> tuple[str | None, str | None, bool | None]:
    """(trace id, segment id, sampled) of `Root=1-…;Parent=…;Sampled=1` and the span id beside it."""
    tracing = record.get("tracing")
    if not isinstance(tracing, dict):
        return None, None, None
    value = _word(tracing, "value")
    if value is None:
        return None, None, None
    parts = dict(part.split("=", 1) for part in value.split(";") if "=" in part)
    trace_id = parts.get("Root")
    if not trace_id:
        return None, None, None
    return trace_id, _word(tracing, "spanId"), {"1": True, "0": False}.get(parts.get("Sampled", ""))


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


def _words(record: dict[str, Any], name: str) -> tuple[str, ...]:
    value = record.get(name)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _number(record: dict[str, Any], name: str) -> float | None:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return None
    return float(value) if math.isfinite(value) else None


def _whole(record: dict[str, Any], name: str) -> int | None:
    value = _number(record, name)
    return int(value) if value is not None and value == int(value) else None


# --- writing ---------------------------------------------------------------------------------------------------------


def render_json(event: PlatformEvent, time_ms: int) -> str:
    """The event as Lambda writes it with `LogFormat: JSON`: one compact object, without a line end.

    Keys are in the order that Lambda uses since 2026, and durations have up to three decimals (both measured: public
    logs). Extra fields of the text format, such as the time in an old timeout line, are kept where JSON has a place.

    Args:
        time_ms: when it happened, epoch ms.
    """
    kind, record = _record(event)
    stamp = datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"
    return json.dumps({"time": stamp, "type": f"platform.{kind}", "record": record}, separators=(",", ":"))


def _record(event: PlatformEvent) -> tuple[str, dict[str, Any] | str]:
    match event:
        case ReportLine():
            metrics = _said(
                durationMs=_ms(event.duration_ms),
                billedDurationMs=event.billed_duration_ms,
                memorySizeMB=event.memory_size_mb,
                maxMemoryUsedMB=event.max_memory_used_mb,
                initDurationMs=_ms(event.init_duration_ms),
                restoreDurationMs=_ms(event.restore_duration_ms),
                billedRestoreDurationMs=event.billed_restore_duration_ms,
            )
            tracing = None
            if event.xray_trace_id is not None:
                sampled = "" if event.xray_sampled is None else f";Sampled={int(event.xray_sampled)}"
                value = f"Root={event.xray_trace_id}{sampled}"
                tracing = _said(spanId=event.xray_segment_id, type="X-Amzn-Trace-Id", value=value)
            return "report", {
                "requestId": event.request_id,
                "metrics": metrics,
                **_outcome(event.status, event.error_type),
                **_said(tracing=tracing),
            }
        case StartLine():
            return "start", _said(requestId=event.request_id, functionArn=event.function_arn, version=event.version)
        case EndLine():
            return "end", {"requestId": event.request_id}
        case RuntimeDone():
            spans = [{"name": span.name, "start": span.start, "durationMs": span.duration_ms} for span in event.spans]
            metrics = _said(durationMs=_ms(event.duration_ms), producedBytes=event.produced_bytes)
            return "runtimeDone", {
                "requestId": event.request_id,
                **_outcome(event.status, event.error_type),
                **_said(spans=spans or None, metrics=metrics or None),
            }
        case InitStart():
            return "initStart", _said(
                initializationType=event.initialization_type,
                phase=event.phase,
                runtimeVersion=event.runtime_version,
                runtimeVersionArn=event.runtime_version_arn,
                functionName=event.function_name,
                functionVersion=event.function_version,
                instanceId=event.instance_id,
                instanceMaxMemory=event.instance_max_memory,
            )
        case InitRuntimeDone():
            head = _said(initializationType=event.initialization_type, phase=event.phase)
            return "initRuntimeDone", {**head, **_outcome(event.status, event.error_type)}
        case InitReport():
            head = _said(initializationType=event.initialization_type, phase=event.phase)
            metrics = {"durationMs": _ms(event.init_duration_ms)}
            return "initReport", {**head, **_outcome(event.status, event.error_type), "metrics": metrics}
        case RestoreStart():
            return "restoreStart", _said(
                runtimeVersion=event.runtime_version,
                runtimeVersionArn=event.runtime_version_arn,
                functionName=event.function_name,
                functionVersion=event.function_version,
                instanceId=event.instance_id,
            )
        case RestoreRuntimeDone():
            return "restoreRuntimeDone", _outcome(event.status, event.error_type)
        case RestoreReport():
            metrics = {"durationMs": _ms(event.restore_duration_ms)}
            return "restoreReport", {**_outcome(event.status, event.error_type), "metrics": metrics}
        case FaultLine():
            return "fault", render_fault(event).strip()
        case ExtensionLine():
            head = _said(name=event.name, state=event.state)
            return "extension", {**head, "events": list(event.events), **_said(errorType=event.error_type)}
        case SubscriptionLine():
            kind = "logsSubscription" if event.is_logs_api else "telemetrySubscription"
            return kind, {**_said(name=event.name, state=event.state), "types": list(event.types)}
        case LogsDropped():
            return "logsDropped", _said(
                droppedBytes=event.dropped_bytes, droppedRecords=event.dropped_records, reason=event.reason
            )
        case WrapperInit() | WrapperInvocation():
            raise ValueError("Lambda writes no such event: the module that lab adds does")


def _said(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _outcome(status: str | None, error_type: str | None) -> dict[str, Any]:
    return {"status": status or "success", **_said(errorType=error_type)}


def _ms(duration: float | None) -> float | None:
    return None if duration is None else round(duration, 3)

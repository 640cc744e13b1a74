"""The fields that Insights finds in a log event.

documented: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html
measured, for what Lambda's lines have and how it is printed: rows of a real query in
https://github.com/oslabs-beta/Embr (primary-app/src/app/retrievedData.js). An INIT_START line has no @type there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from serverless_lab import quotas
from serverless_lab.emulator.insights.values import Figure, Instant, Value
from serverless_lab.report_line import parse

MEGABYTE = 1_000_000
"""measured: `@memorySize` of a function with 128 MB is 1.28E8; AWS's sample queries divide by 1000 twice."""

NOT_KEPT = ("@entity", "@aws.", "@data_source", "@datasource", "@facets")
"""How fields begin that AWS has and this does not."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """`log` is `account:group`; `pointer` is what GetLogRecord takes for this event."""

    timestamp_ms: int
    ingestion_ms: int
    message: str
    log: str
    stream: str
    pointer: str


_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_PLATFORM = re.compile(rf"(START|END|REPORT) RequestId: ({_UUID})")
_FUNCTIONS_LINE = re.compile(rf"(?:\[[A-Za-z]+\]\t)?[0-9T:.-]+Z\t({_UUID})\t")
"""What the runtimes put before a line that a function logs: `[INFO]`, the time, the request."""


class Record:
    """One event as commands see it: its own fields, and over them those that the query has made."""

    __slots__ = ("_found", "event", "made")

    def __init__(self, event: LogEvent) -> None:
        self.event = event
        self.made: dict[str, Value] = {}
        self._found: dict[str, Value] | None = None

    def get(self, name: str) -> Value:
        if name in self.made:
            return self.made[name]
        read = _SYSTEM.get(name)
        if read is not None:
            return read(self.event)
        if self._found is None:
            self._found = discovered(self.event.message)
        return self._found.get(name)

    def fields(self) -> dict[str, Value]:
        """Every field of the event itself."""
        system = {name: read(self.event) for name, read in _SYSTEM.items() if name != "@ptr"}
        return {**system, **discovered(self.event.message)}


_SYSTEM: dict[str, Callable[[LogEvent], Value]] = {
    "@timestamp": lambda event: Instant(event.timestamp_ms),
    "@ingestionTime": lambda event: Instant(event.ingestion_ms),
    "@message": lambda event: event.message,
    "@log": lambda event: event.log,
    "@logStream": lambda event: event.stream,
    "@ptr": lambda event: event.pointer,
}


def discovered(message: str) -> dict[str, Value]:
    """What is found in a message: the fields of Lambda's lines, or of the first JSON object in it."""
    platform = _PLATFORM.match(message)
    if platform is not None:
        return _of_platform_line(platform[1], platform[2], message)
    found: dict[str, Value] = {}
    of_function = _FUNCTIONS_LINE.match(message)
    if of_function is not None:
        found["@requestId"] = of_function[1]
    for path, value in _first_json(message):
        if len(found) >= quotas.INSIGHTS_FIELDS_MAX:
            break
        found.setdefault(path, value)
    return found


def _of_platform_line(kind: str, request_id: str, message: str) -> dict[str, Value]:
    found: dict[str, Value] = {"@type": kind, "@requestId": request_id}
    report = parse(message) if kind == "REPORT" else None
    if report is None:
        return found
    doubles = {
        "@duration": report.duration_ms,
        "@billedDuration": report.billed_duration_ms,
        "@initDuration": report.init_duration_ms,
        "@memorySize": _bytes(report.memory_size_mb),
        "@maxMemoryUsed": _bytes(report.max_memory_used_mb),
    }
    found |= {name: Figure.of_double(float(value)) for name, value in doubles.items() if value is not None}
    texts = {"@xrayTraceId": report.xray_trace_id, "@xraySegmentId": report.xray_segment_id}
    return found | {name: text for name, text in texts.items() if text is not None}


def _bytes(megabytes: int | None) -> int | None:
    return None if megabytes is None else megabytes * MEGABYTE


JSON_TRIES = 20
"""How many braces of a line are tried: one of them begins the object, or it is no JSON."""

_DECODER = json.JSONDecoder(parse_float=Figure, parse_int=Figure)


def _first_json(message: str) -> Iterator[tuple[str, Value]]:
    at = -1
    for _ in range(JSON_TRIES):
        at = message.find("{", at + 1)
        if at < 0:
            return
        try:
            body, _ = _DECODER.raw_decode(message, at)
        except ValueError:
            continue
        except RecursionError:
            return
        for name, value in body.items():
            # A field whose own name begins with @ is shown with one more.
            yield from _flat("@" + name if name.startswith("@") else name, value)
        return


def _flat(path: str, value: Any) -> Iterator[tuple[str, Value]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{path}.{name}", inner)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _flat(f"{path}.{at}", inner)
    elif isinstance(value, bool):
        yield path, int(value)
    elif value is not None:
        yield path, value

"""What is written into a function's log, and how: its LoggingConfig applied to platform events and application output.

documented: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html and
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html. In the text format every event is
written that has a text form; only the JSON format filters, by system log level what Lambda says and by application log
level what the function does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from serverless_lab.coldstarts.platform_events import (
    InitRuntimeDone,
    LogsDropped,
    PlatformEvent,
    RuntimeDone,
    render_json,
)
from serverless_lab.emulator.output import Dropped, Level, Line
from serverless_lab.report_line import (
    EndLine,
    InitReport,
    InitStart,
    ReportLine,
    StartLine,
    render,
    render_end,
    render_init_report,
    render_init_start,
    render_start,
)

ON_DEMAND, PROVISIONED = "on-demand", "provisioned-concurrency"
"""Values of AWS_LAMBDA_INITIALIZATION_TYPE."""
TIMESTAMP_KEYS = ("timestamp", "time", "@timestamp", "ts")
"""The docs name no list: those of the managed runtimes, and of the common logging libraries."""

_LEVELS = {level.name: level for level in Level} | {"WARNING": Level.WARN, "CRITICAL": Level.FATAL}


@dataclass(frozen=True)
class LogSettings:
    """A function's LoggingConfig, its log group aside. The levels count in the JSON format only."""

    is_json: bool = False
    application_level: Level = Level.INFO
    system_level: Level = Level.INFO

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> LogSettings:
        """From the LoggingConfig of the Lambda API."""
        config = config or {}

        def level(key: str) -> Level:
            return _LEVELS.get(str(config.get(key) or "").upper(), Level.INFO)

        is_json = str(config.get("LogFormat") or "").upper() == "JSON"
        return cls(is_json, level("ApplicationLogLevel"), level("SystemLogLevel"))

    @property
    def digits(self) -> int:
        """How many decimals the durations of a REPORT have, in milliseconds."""
        return 3 if self.is_json else 2

    def variables(self) -> dict[str, str]:
        """What Lambda tells the runtime, which sets up its own logging by it. Nothing of the text format."""
        if not self.is_json:
            return {}
        return {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": self.application_level.name}

    # Platform events -------------------------------------------------------------------------------------------------

    def platform(self, event: PlatformEvent, at_ms: int) -> str | None:
        """The log event for what happened at `at_ms` since 1970; None where it is not written."""
        if not self.is_json:
            return _text(event)
        if isinstance(event, EndLine) or system_level(event) < self.system_level:
            return None
        return render_json(event, at_ms)

    # Application output ----------------------------------------------------------------------------------------------

    def application(self, line: Line) -> str | None:
        """The log event for a line of the function's; None where its level is filtered out."""
        text = line.text.decode("utf-8", "replace")
        if self.is_json and (line.level or said_level(text)) < self.application_level:
            return None
        return text

    def dropped(self, dropped: Dropped, at_ms: int) -> str | None:
        """The log event that says that some were dropped."""
        event = LogsDropped(dropped.records, dropped.length, "Consumer seems to have fallen behind")
        if self.is_json:
            return self.platform(event, at_ms)
        return f"serverless-lab: {dropped.records} log events ({dropped.length} bytes) were dropped here\n"


def system_level(event: PlatformEvent) -> Level:
    """The level of a platform event, by AWS's table of them."""
    if isinstance(event, InitStart):
        return Level.INFO if event.runtime_version is not None else Level.DEBUG
    if isinstance(event, LogsDropped):
        return Level.WARN
    failed = getattr(event, "status", None) is not None
    if failed:
        return Level.WARN
    if isinstance(event, InitReport):
        return Level.DEBUG if event.initialization_type in (None, ON_DEMAND) else Level.INFO
    if isinstance(event, InitRuntimeDone | RuntimeDone):
        return Level.DEBUG
    return Level.INFO


def said_level(text: str) -> Level:
    """The level that a line of stdout says in its JSON; INFO where it says none, or no time in RFC 3339."""
    if not text.startswith("{"):
        return Level.INFO
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return Level.INFO
    if not isinstance(said, dict) or not any(_is_rfc3339(said.get(key)) for key in TIMESTAMP_KEYS):
        return Level.INFO
    return _LEVELS.get(str(said.get("level")).upper(), Level.INFO)


def _is_rfc3339(value: object) -> bool:
    if not isinstance(value, str) or "T" not in value.upper() or "," in value:
        return False
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _text(event: PlatformEvent) -> str | None:
    match event:
        case InitStart(runtime_version=str(version), runtime_version_arn=arn):
            return render_init_start(version, arn or "")
        case InitReport(status=None, initialization_type=kind, phase=phase) if (
            kind in (None, ON_DEMAND) or phase == "invoke"
        ):
            return None
        case InitReport(status=None):
            return render_init_report(InitReport(event.init_duration_ms))
        case InitReport():
            return render_init_report(event)
        case StartLine(request_id, version):
            return render_start(request_id, version or "")
        case EndLine(request_id):
            return render_end(request_id)
        case ReportLine():
            return render(event)
        case _:
            return None

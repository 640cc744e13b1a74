"""One event of a log, wherever it came from."""

from __future__ import annotations

from dataclasses import dataclass

from serverless_lab.coldstarts.platform_events import PlatformEvent


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event. `timestamp_ms` is epoch milliseconds; None only for a line of a file that says no time.

    `line` is what `message` says, where it was read already; `message` may be empty then. `tells_init` is False where a
    REPORT may have had an Init Duration that got lost: the line was cut, or a query did not select that field.
    `tells_status` is False where it has no place for a status: fields that Logs Insights has found in a line.
    `after_ms` is the instant of the line before one without a time, where that line is not there to tell it.
    """

    log_group: str
    log_stream: str
    timestamp_ms: int | None
    message: str
    line: PlatformEvent | None = None
    tells_init: bool = True
    tells_status: bool = True
    after_ms: int | None = None

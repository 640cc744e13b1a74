"""What each platform line says: a frozen dataclass for every kind of line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

TIMED_OUT = "Task timed out after "
PROCESS_EXITED = "Process exited before completing request"


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One REPORT line, which ends one invocation. What the line does not say is None, never 0.

    `max_memory_used_mb` is the peak over all invocations of the environment so far, not of this one alone
    (documented: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html).
    `status` is None for success and for an error the handler returned or raised; else `timeout`, `error` or `failure`.
    """

    request_id: str
    duration_ms: float
    billed_duration_ms: int | None = None
    memory_size_mb: int | None = None
    max_memory_used_mb: int | None = None
    init_duration_ms: float | None = None
    restore_duration_ms: float | None = None
    billed_restore_duration_ms: int | None = None
    status: str | None = None
    error_type: str | None = None
    xray_trace_id: str | None = None
    xray_segment_id: str | None = None
    xray_sampled: bool | None = None


@dataclass(frozen=True, slots=True)
class StartLine:
    """START: the environment was handed an invocation. `version` is None only where the line was cut.

    `function_arn` is said in the JSON format only, since 2026.
    """

    request_id: str
    version: str | None = None
    function_arn: str | None = None


@dataclass(frozen=True, slots=True)
class EndLine:
    request_id: str


@dataclass(frozen=True, slots=True)
class InitStart:
    """INIT_START. Only the JSON format says more than the runtime.

    `instance_id` is the end of the log stream's name. The memory of the instance is in bytes, though AWS's page shows
    megabytes (measured: 268435456 for a function of 256 MB).
    """

    runtime_version: str | None = None
    runtime_version_arn: str | None = None
    initialization_type: str | None = None
    phase: str | None = None
    function_name: str | None = None
    function_version: str | None = None
    instance_id: str | None = None
    instance_max_memory: int | None = None


@dataclass(frozen=True, slots=True)
class InitReport:
    """INIT_REPORT. `phase` is `init` or, for an init repeated when a request was served, `invoke`; None when not said.

    `initialization_type` is said in the JSON format only.
    """

    init_duration_ms: float
    phase: str | None = None
    status: str | None = None
    error_type: str | None = None
    initialization_type: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreStart:
    """RESTORE_START. Only the JSON format says more than the runtime."""

    runtime_version: str | None = None
    runtime_version_arn: str | None = None
    function_name: str | None = None
    function_version: str | None = None
    instance_id: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    restore_duration_ms: float
    status: str | None = None
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class FaultLine:
    """A failed invocation in the style used until 2024, when REPORT said nothing of it. It stands around REPORT.

    `reason` is what the line says: `Task timed out after 3.00 seconds`, `Runtime exited with error: signal: killed`,
    `Process exited before completing request`. `written_at` is the time in the line itself; only timeouts have one.
    """

    request_id: str
    reason: str
    error_type: str | None = None
    written_at: str | None = None

    @property
    def status(self) -> str:
        """What a REPORT line says today: `timeout` or `error`."""
        return "timeout" if self.reason.startswith(TIMED_OUT) else "error"


@dataclass(frozen=True, slots=True)
class ExtensionLine:
    """EXTENSION: an extension has registered, for `events`, or could not be started (`State: LaunchError`)."""

    name: str
    state: str | None = None
    events: tuple[str, ...] = ()
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionLine:
    """TELEMETRY (or LOGS, of the older Logs API): an extension has subscribed to events of `types`."""

    name: str
    state: str | None = None
    types: tuple[str, ...] = ()
    is_logs_api: bool = False


PlatformLine: TypeAlias = (
    ReportLine
    | StartLine
    | EndLine
    | InitStart
    | InitReport
    | RestoreStart
    | RestoreReport
    | FaultLine
    | ExtensionLine
    | SubscriptionLine
)

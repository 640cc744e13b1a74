"""What a log tells: one row per invocation, one per environment, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from serverless_lab.coldstarts.kinds import FROM_WRAPPER, UNKNOWN, WAITED


@dataclass(frozen=True, slots=True)
class InvocationRow:
    """One invocation that has a REPORT line. Times are epoch milliseconds; what the log does not say is None."""

    function: str
    log_group: str
    log_stream: str
    environment_id: str | None
    version: str | None
    request_id: str
    timestamp: int | None
    start_timestamp: int | None
    init_start_timestamp: int | None
    duration_ms: float
    billed_duration_ms: int | None
    memory_size_mb: int | None
    max_memory_used_mb: int | None
    init_duration_ms: float | None
    restore_duration_ms: float | None
    billed_restore_duration_ms: int | None
    status: str | None
    error_type: str | None
    kind: str
    kind_source: str
    initialization_type: str | None = None

    @property
    def carries_init(self) -> bool:
        """Whether the REPORT has an Init Duration or a Restore Duration, whoever waited for it."""
        of_report = self.init_duration_ms is not None and self.kind_source not in FROM_WRAPPER
        return of_report or self.restore_duration_ms is not None


@dataclass(frozen=True, slots=True)
class InitRow:
    """One environment that was initialised (or restored), used or not."""

    function: str
    timestamp: int | None
    environment_id: str | None = None
    initialization_type: str | None = None


@dataclass(frozen=True, slots=True)
class UnfinishedInvocation:
    """A START without REPORT: still running, or its REPORT has not arrived."""

    function: str
    log_stream: str
    request_id: str
    start_timestamp: int | None


@dataclass(frozen=True)
class Invocations:
    """Everything the events tell. `inits` is None where the log cannot tell environments apart.

    `unreadable` counts platform lines by function that could not be read; `ignored_init_durations` REPORT lines whose
    Init Duration is known to be wrong and was not used. `restores` are environments that began as a copy of a SnapStart
    snapshot. `dropped_log_events` is how many Lambda says it could not write. `repeated_reports` are REPORT lines that
    stand twice in the input (same stream, time, request and duration): files that overlap, or a delivery made twice.
    `failures_only` names functions whose log has reports of failed invocations and no sign of any other: what the JSON
    format's system log level WARN leaves. No rate of such a function means anything. `without_status` counts rows
    whose source has no place for a status: that they show no failure says nothing. `has_starts` is False where no line
    says that anything began: REPORT lines alone do not show which environments were initialised. `emulated` names
    functions of which an emulator wrote the log, see emulated.py.
    """

    rows: tuple[InvocationRow, ...]
    inits: tuple[InitRow, ...] | None
    unfinished: tuple[UnfinishedInvocation, ...] = ()
    unreadable: Mapping[str, int] = field(default_factory=dict)
    ignored_init_durations: int = 0
    restores: tuple[InitRow, ...] = ()
    dropped_log_events: int = 0
    repeated_reports: int = 0
    failures_only: tuple[str, ...] = ()
    without_status: int = 0
    has_starts: bool = True
    emulated: tuple[str, ...] = ()

    @property
    def initialised(self) -> tuple[InitRow, ...] | None:
        """`inits`; None also where nothing but REPORT lines is there."""
        return self.inits if self.inits or self.has_starts or not self.rows else None

    @property
    def environments_initialised(self) -> int | None:
        """The first of three numbers that are often taken for one another: INIT_START lines."""
        return None if self.initialised is None else len(self.initialised)

    @property
    def carrying_init(self) -> int:
        """The second: invocations whose REPORT has an Init Duration or a Restore Duration."""
        return sum(row.carries_init for row in self.rows)

    @property
    def callers_waited(self) -> int | None:
        """The third: invocations whose caller waited for an init or a restore; None where no kind is known."""
        if self.rows and all(row.kind == UNKNOWN for row in self.rows):
            return None
        return sum(row.kind in WAITED for row in self.rows)

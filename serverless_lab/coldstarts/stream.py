"""One log stream, read like a story: INIT_START, START, REPORT, START, REPORT.

An environment serves one invocation after the other and writes one stream. REPORT and START are matched by request id,
never by their order. Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from serverless_lab.coldstarts.kinds import (
    COLD,
    FROM_WRAPPER,
    INIT_REPEATED,
    INIT_START_GAP,
    ON_DEMAND,
    PROACTIVE,
    PROVISIONED,
    PROVISIONED_CONCURRENCY,
    SNAP_START,
    Shown,
    kind_of,
    resets,
)
from serverless_lab.coldstarts.log_event import LogEvent
from serverless_lab.coldstarts.platform_events import LogsDropped, PlatformEvent
from serverless_lab.coldstarts.rows import InitRow, InvocationRow, UnfinishedInvocation
from serverless_lab.coldstarts.stored_times import worked_out
from serverless_lab.coldstarts.stream_names import split_stream_name
from serverless_lab.coldstarts.wrapper_lines import Wrapped, WrapperInit, WrapperInvocation
from serverless_lab.report_line import (
    InitReport,
    InitStart,
    ReportLine,
    RestoreStart,
    StartLine,
    has_init_duration_first,
)


@dataclass
class Init:
    timestamp: int | None
    initialization_type: str | None
    phase: str | None = None
    function: str = ""
    is_restore: bool = False


@dataclass
class _Invocation:
    """What is known when START has been read."""

    start_timestamp: int | None
    version: str | None
    function: str
    init: Init | None
    init_reports: list[InitReport]
    is_first: bool
    after_reset: bool
    copies: int = 1  # how many START lines said it: files of one stream may overlap


@dataclass
class Stream:
    """One log stream being read, event after event."""

    function: str
    log_group: str
    log_stream: str
    reports_init_duration: bool
    is_environment: bool
    is_provisioned: bool
    wrapped: Wrapped | None = None
    rows: list[InvocationRow] = field(default_factory=list)
    ignored_init_durations: int = 0
    dropped_log_events: int = 0
    without_status: int = 0
    has_starts: bool = False
    _inits: list[Init] = field(default_factory=list)
    _open: dict[str, tuple[_Invocation, bool]] = field(default_factory=dict)
    _init: Init | None = None
    _init_reports: list[InitReport] = field(default_factory=list)
    _invocations: int = 0
    _after_reset: bool = False
    _running: _Invocation | None = None
    _initialization_type: str | None = None

    def read(self, event: LogEvent, line: PlatformEvent, is_earlier: bool) -> None:
        match line:
            case InitStart():
                self.has_starts = True
                if self._stands_twice(event, line):
                    return
                self._began(Init(event.timestamp_ms, line.initialization_type, line.phase, line.function_name or ""))
                self._init_reports = []
                # An init in the invoke phase is one of an environment that is there already.
                if not is_earlier and line.phase != "invoke" and self._init is not None:
                    self._inits.append(self._init)
            case RestoreStart():
                self.has_starts = True
                self._began(
                    Init(event.timestamp_ms, SNAP_START, function=line.function_name or "", is_restore=True),
                )
                if not is_earlier and self._init is not None:
                    self._inits.append(self._init)
            case InitReport():
                # Between START and REPORT it is about that invocation: an environment has one at a time.
                (self._init_reports if self._running is None else self._running.init_reports).append(line)
                self._initialization_type = line.initialization_type or self._initialization_type
            case StartLine():
                self.has_starts = True
                begun = self._open.get(line.request_id)
                if begun is not None and begun[0].start_timestamp == event.timestamp_ms is not None:
                    begun[0].copies += 1
                    return
                self._running = self._begin(event, line, is_earlier)
                self._open[line.request_id] = self._running, is_earlier
            case ReportLine():
                row = self._row(event, line, self._ended(event, line, is_earlier))
                self._after_reset = resets(row.status, row.error_type)
                if not is_earlier:
                    self.rows.append(row)
                    self.without_status += row.status is None and not event.tells_status
            case WrapperInit():
                # Without INIT_START this is what tells of an environment, used or not. One more of the same
                # environment is a process that follows one that has ended.
                first = self.is_environment and self._invocations == 0 and not self._inits
                if first and not is_earlier and not self.reports_init_duration:
                    began = event.timestamp_ms if line.started_at_ms is None else round(line.started_at_ms)
                    self._inits.append(Init(began, line.initialization_type, function=self.function))
            case LogsDropped():
                self.dropped_log_events += 0 if is_earlier else line.dropped_records
            case _:
                pass

    def init_rows(self, *, restored: bool) -> list[InitRow]:
        environment_id, _ = split_stream_name(self.log_stream)
        return [
            InitRow(
                self.function or init.function,
                init.timestamp,
                environment_id if self.is_environment else None,
                init.initialization_type or (self._initialization_type if self.is_environment else None),
            )
            for init in self._inits
            if init.is_restore is restored
        ]

    def repeated_reports(self) -> int:
        told = Counter((row.timestamp, row.request_id, row.duration_ms) for row in self.rows if row.timestamp)
        return sum(count - 1 for count in told.values() if count > 1)

    def _stands_twice(self, event: LogEvent, line: InitStart) -> bool:
        """Whether this init is the one that was just read: files of one stream may overlap."""
        last = self._init
        return (
            self.is_environment
            and last is not None
            and not last.is_restore
            and last.phase == line.phase
            and last.timestamp == event.timestamp_ms is not None
        )

    def _ended(self, event: LogEvent, line: ReportLine, is_earlier: bool) -> _Invocation:
        """The invocation that this REPORT ends."""
        self._running = None
        begun = self._open.get(line.request_id)
        if begun is None:
            return self._begin(event, None, is_earlier)
        invocation = begun[0]
        invocation.copies -= 1
        if not invocation.copies:
            del self._open[line.request_id]
        return invocation

    def _began(self, init: Init) -> None:
        self._init = init
        self._running = None
        self._initialization_type = init.initialization_type
        self.function = self.function or (init.function if self.is_environment else "")

    def unfinished(self) -> list[UnfinishedInvocation]:
        return [
            UnfinishedInvocation(self.function, self.log_stream, request_id, invocation.start_timestamp)
            for request_id, (invocation, is_earlier) in self._open.items()
            if not is_earlier
        ]

    def _begin(self, event: LogEvent, start: StartLine | None, is_earlier: bool) -> _Invocation:
        """The invocation that begins here, with the init that led to it: that init is used up by it."""
        is_first = self._invocations == 0
        self._invocations += 1
        arn = "" if start is None else start.function_arn or ""
        invocation = _Invocation(
            start_timestamp=None if start is None else event.timestamp_ms,
            version=None if start is None else start.version,
            # arn:aws:lambda:<region>:<account>:function:<name>
            function=self.function or (arn.split(":")[6] if arn.count(":") >= 6 else ""),
            init=self._init if self.is_environment else None,
            init_reports=self._init_reports if self.is_environment else [],
            is_first=is_first,
            after_reset=self._after_reset and self.is_environment,
        )
        if (
            is_first
            and self._init is None
            and self.is_environment
            and not is_earlier
            and not self.reports_init_duration
            and not self._inits
        ):
            # No INIT_START on this target: an environment is seen when it serves its first invocation.
            self._inits.append(Init(event.timestamp_ms, None))
        self._init, self._init_reports, self._after_reset = None, [], False
        return invocation

    def _row(self, event: LogEvent, report: ReportLine, invocation: _Invocation) -> InvocationRow:
        init_duration_ms = report.init_duration_ms
        if init_duration_ms is not None and has_init_duration_first(event.message):
            init_duration_ms = None
            self.ignored_init_durations += 1
        environment_id, version = split_stream_name(self.log_stream)
        told = None if self.wrapped is None else self.wrapped.invocations.get(report.request_id)
        kind, kind_source = kind_of(self._shown(event, report, init_duration_ms, invocation, told))
        initialization_type = self._type_of(kind, kind_source, report)
        init_start = None if invocation.init is None else invocation.init.timestamp
        first = of_process = None
        if told is not None and kind_source in FROM_WRAPPER and told.sequence == 1 and kind != INIT_REPEATED:
            assert self.wrapped is not None
            first, of_process = told, self.wrapped.inits.get(told.environment_id)
            init_duration_ms = told.init_duration_ms
            if of_process is not None and of_process.started_at_ms is not None:
                init_start = round(of_process.started_at_ms)
        start, end = invocation.start_timestamp, event.timestamp_ms
        if not self.reports_init_duration or self.wrapped is not None:
            start, end = worked_out(start, end, report.duration_ms, first, of_process)
        if self.is_environment:
            self._initialization_type = initialization_type
        return InvocationRow(
            function=invocation.function or self.function,
            log_group=self.log_group,
            log_stream=self.log_stream,
            environment_id=environment_id if self.is_environment else None if told is None else told.environment_id,
            version=invocation.version or version,
            request_id=report.request_id,
            timestamp=end,
            start_timestamp=start,
            init_start_timestamp=init_start,
            duration_ms=report.duration_ms,
            billed_duration_ms=report.billed_duration_ms,
            memory_size_mb=report.memory_size_mb,
            max_memory_used_mb=report.max_memory_used_mb or None,  # MiniStack prints 0 where it does not know
            init_duration_ms=init_duration_ms,
            restore_duration_ms=report.restore_duration_ms,
            billed_restore_duration_ms=report.billed_restore_duration_ms,
            status=report.status,
            error_type=report.error_type,
            kind=kind,
            kind_source=kind_source,
            initialization_type=initialization_type,
        )

    def _type_of(self, kind: str, kind_source: str, report: ReportLine) -> str | None:
        """How this invocation's environment came to be: what was said, or what its kind implies."""
        if report.restore_duration_ms is not None:
            return SNAP_START
        if kind == PROVISIONED:
            return PROVISIONED_CONCURRENCY
        if kind == COLD and kind_source in FROM_WRAPPER:
            return ON_DEMAND
        said = self._initialization_type if self.is_environment else None
        # documented: an init without INIT_REPORT is neither provisioned concurrency's nor SnapStart's (same page).
        return said or (ON_DEMAND if kind in (COLD, PROACTIVE) and kind_source == INIT_START_GAP else None)

    def _shown(
        self,
        event: LogEvent,
        report: ReportLine,
        init_duration_ms: float | None,
        invocation: _Invocation,
        told: WrapperInvocation | None,
    ) -> Shown:
        init = invocation.init
        # Max Memory Used always stands before Init Duration: a text line without it was cut. In the JSON format
        # only managed instances leave it away, and they report no init.
        is_whole = report.max_memory_used_mb is not None or event.message.lstrip().startswith("{")
        prints_init = self.reports_init_duration and not has_init_duration_first(event.message)
        return Shown(
            init_duration_ms=init_duration_ms,
            restore_duration_ms=report.restore_duration_ms,
            gap_ms=_gap_ms(event, report, invocation),
            has_init_start=init is not None,
            init_phase=None if init is None else init.phase,
            said_type=None if init is None else init.initialization_type,
            init_reports=invocation.init_reports,
            environment_type=self._initialization_type,
            is_environment=self.is_environment,
            is_first=invocation.is_first,
            after_reset=invocation.after_reset,
            tells_init=event.tells_init and (is_whole or not prints_init),
            prints_init=prints_init,
            is_provisioned_function=self.is_provisioned,
            wrapper=told,
        )


def _gap_ms(event: LogEvent, report: ReportLine, invocation: _Invocation) -> float | None:
    """INIT_START (or RESTORE_START) to START; without START, to REPORT less what the invocation took."""
    if invocation.init is None or invocation.init.timestamp is None:
        return None
    if invocation.start_timestamp is not None:
        return invocation.start_timestamp - invocation.init.timestamp
    if event.timestamp_ms is None:
        return None
    return event.timestamp_ms - report.duration_ms - invocation.init.timestamp

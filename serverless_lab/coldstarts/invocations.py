"""LogEvents -> one row per REPORT line, each with a kind and how that kind was known.

An environment serves one invocation after the other and writes one log stream, so a stream is read like a story:
INIT_START, START, REPORT, START, REPORT. REPORT and START are matched by request id, never by their order. The lines
that told of a failure until 2024 are matched with their REPORT in the same way, and become its status.

What an Init Duration means is decided here. It is not by itself a cold start that somebody waited for:

    cold            the caller waited for an on-demand init
    restored        the caller waited for a SnapStart restore
    init-repeated   the caller waited for an init that ran inside Duration: the first one failed or timed out, or the
                    environment was reset after a crash or a timeout
    provisioned     the init ran when provisioned concurrency was allocated
    proactive       the init ran well before the request: Lambda did it ahead of traffic
    warm            no init
    unknown         the log does not tell

Pure: no clock, no I/O.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from serverless_lab.coldstarts.platform_events import LogsDropped, PlatformEvent, is_platform_event, read_event
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.coldstarts.stored_times import worked_out
from serverless_lab.coldstarts.wrapper_lines import Wrapped, WrapperInit, WrapperInvocation
from serverless_lab.report_line import (
    FaultLine,
    InitReport,
    InitStart,
    ReportLine,
    RestoreReport,
    RestoreStart,
    StartLine,
    has_init_duration_first,
)

COLD = "cold"
PROVISIONED = "provisioned"
PROACTIVE = "proactive"
RESTORED = "restored"
INIT_REPEATED = "init-repeated"
WARM = "warm"
UNKNOWN = "unknown"
KINDS = (COLD, RESTORED, INIT_REPEATED, PROVISIONED, PROACTIVE, WARM, UNKNOWN)

WAITED = (COLD, RESTORED, INIT_REPEATED)
"""The kinds whose caller waited for an init or a restore: what the cold-start rate counts."""

REPORT_FIELD = "report-field"
INIT_START_GAP = "init-start-gap"
INIT_REPORT = "init-report"
INIT_PHASE = "init-phase"
INITIALIZATION_TYPE = "initialization-type"
FIRST_IN_STREAM = "first-in-stream"
AFTER_RESET = "after-reset"
WRAPPER = "wrapper"
WRAPPER_IN_DURATION = "wrapper-in-duration"
NOTHING = "nothing"
KIND_SOURCES = (
    REPORT_FIELD,
    INIT_START_GAP,
    INIT_REPORT,
    INIT_PHASE,
    INITIALIZATION_TYPE,
    FIRST_IN_STREAM,
    AFTER_RESET,
    WRAPPER,
    WRAPPER_IN_DURATION,
    NOTHING,
)

FROM_WRAPPER = (WRAPPER, WRAPPER_IN_DURATION)
"""What a line of the module that `lab deploy` adds has told: its init is the handler's import, and no REPORT has it.
The second one is of targets that start a process within Duration."""

# assumed: on-demand, START follows the end of the init within milliseconds, so a second between them means that nobody
# waited. Ours to choose: Datadog's extension takes 10 s between INIT_START and START, and so misses short ones
# (https://github.com/DataDog/datadog-lambda-extension, bottlecap/src/lifecycle/invocation/processor.rs).
NOBODY_WAITED_GAP_MS = 1_000

# documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html: after a timeout or a crash
# Lambda resets the environment, and the init that follows is part of the next invocation.
RESETTING_STATUSES = ("timeout", "error")

# assumed: an error type of the function's own, such as Function.ResponseSizeTooLarge, leaves the runtime running; a log
# with a re-initialisation after one would change our mind.
KEEPING_ERROR_TYPES = "Function."

ON_DEMAND = "on-demand"
PROVISIONED_CONCURRENCY = "provisioned-concurrency"
SNAP_START = "snap-start"
MANAGED_INSTANCES = "lambda-managed-instances"
INITIALIZATION_TYPES = (ON_DEMAND, PROVISIONED_CONCURRENCY, SNAP_START, MANAGED_INSTANCES)
"""AWS's words for how an environment came to be: `initializationType`, and AWS_LAMBDA_INITIALIZATION_TYPE."""


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
    whose source has no place for a status: that they show no failure says nothing.
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

    @property
    def environments_initialised(self) -> int | None:
        """The first of three numbers that are often taken for one another: INIT_START lines."""
        return None if self.inits is None else len(self.inits)

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


@dataclass
class _Init:
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
    init: _Init | None
    init_reports: list[InitReport]
    is_first: bool
    after_reset: bool


def build_invocations(
    events: Iterable[LogEvent],
    *,
    earlier: Iterable[LogEvent] = (),
    functions: Mapping[str, str] | None = None,
    reports_init_duration: bool = True,
    one_stream_per_environment: bool = True,
    provisioned_functions: Collection[str] = (),
) -> Invocations:
    """One row per REPORT among `events`, by time.

    Args:
        events: of any number of groups and streams, in any order; events of one instant in the order they were written.
        earlier: events of the same streams before those: they are read for what they say about the environment, and
            make no rows.
        functions: log group -> function name, where the group's name does not say it.
        reports_init_duration: whether this target's REPORT ever has Init Duration. False: its absence says nothing.
        one_stream_per_environment: whether a stream is one environment. False: it says nothing either.
        provisioned_functions: functions with provisioned concurrency. Where only the stream tells, the first invocation
            of their environments may or may not have waited.
    """
    streams: dict[tuple[str, str], list[_Told]] = {}
    wrapped: dict[str, Wrapped] = {}
    for is_earlier, part in ((True, earlier), (False, events)):
        for event in part:
            line = event.line if event.line is not None else read_event(event.message)
            streams.setdefault((event.log_group, event.log_stream), []).append((event, is_earlier, line))
            if isinstance(line, WrapperInit | WrapperInvocation):
                wrapped.setdefault(event.log_group, Wrapped()).add(line)
    rows: list[InvocationRow] = []
    inits: list[InitRow] = []
    restores: list[InitRow] = []
    unfinished: list[UnfinishedInvocation] = []
    unreadable: Counter[str] = Counter()
    ignored = dropped = repeated = without_status = 0
    telling: set[str] = set()  # functions with a sign of an invocation that did not fail
    for (group, stream_name), stream_events in streams.items():
        function = (functions or {}).get(group) or function_name(group, stream_name)
        of_group = wrapped.get(group)
        tells_all = of_group is not None and of_group.tells_all
        stream = _Stream(
            function=function,
            log_group=group,
            log_stream=stream_name,
            reports_init_duration=reports_init_duration and not tells_all,
            # Lines whose stream is not known may come from any environment.
            is_environment=one_stream_per_environment and bool(stream_name) and not tells_all,
            wrapped=of_group,
            is_provisioned=function in provisioned_functions,
        )
        for event, is_earlier, line in _with_failures(_in_order(stream_events)):
            if line is None:
                unreadable[function] += is_platform_event(event.message) and not is_earlier
            else:
                stream.read(event, line, is_earlier)
        rows.extend(stream.rows)
        inits.extend(stream.init_rows(restored=False))
        restores.extend(stream.init_rows(restored=True))
        unfinished.extend(stream.unfinished())
        ignored += stream.ignored_init_durations
        dropped += stream.dropped_log_events
        repeated += stream.repeated_reports()
        without_status += stream.without_status
        if stream.has_starts:
            telling.update(row.function for row in stream.rows)
    for group, of_group in wrapped.items():
        if not one_stream_per_environment or of_group.tells_all:
            inits.extend(_processes(of_group, (functions or {}).get(group) or function_name(group), rows))
    rows.sort(key=lambda row: (row.timestamp or 0, row.function, row.request_id))
    for found in (inits, restores):
        found.sort(key=lambda init: (init.timestamp or 0, init.function, init.environment_id or ""))
    unfinished.sort(key=lambda open_: (open_.start_timestamp or 0, open_.function, open_.request_id))
    telling.update(row.function for row in rows if row.status is None and row.error_type is None)
    # Logs from before INIT_START existed (2022) show cold starts and no environments.
    streams_tell = (
        bool(inits)
        or bool(wrapped)
        or (one_stream_per_environment and all(row.init_duration_ms is None for row in rows))
    )
    return Invocations(
        rows=tuple(rows),
        inits=tuple(inits) if streams_tell else None,
        unfinished=tuple(unfinished),
        unreadable={function: count for function, count in sorted(unreadable.items()) if count},
        ignored_init_durations=ignored,
        restores=tuple(restores),
        dropped_log_events=dropped,
        repeated_reports=repeated,
        failures_only=tuple(sorted({row.function for row in rows} - telling)),
        without_status=without_status,
    )


_Told = tuple[LogEvent, bool, PlatformEvent | None]


def _in_order(events: list[_Told]) -> list[_Told]:
    """By time; at one instant an init comes first: AWS does not promise an order of events of one millisecond.

    A line without a time happened when the line before it did.
    """
    keyed = []
    last_ms = 0
    for told in events:
        event, _, line = told
        if event.timestamp_ms is not None:
            last_ms = event.timestamp_ms
        is_init = isinstance(line, InitStart | InitReport | RestoreStart | RestoreReport)
        keyed.append(((last_ms, not is_init), told))
    keyed.sort(key=lambda item: item[0])
    return [told for _, told in keyed]


def _processes(wrapped: Wrapped, function: str, rows: Iterable[InvocationRow]) -> list[InitRow]:
    """The processes that the added module saw begin, where no stream tells them apart."""
    served = {row.environment_id: row.timestamp for row in reversed(list(rows)) if row.environment_id is not None}
    found = []
    for environment_id in sorted(wrapped.environments):
        init = wrapped.inits.get(environment_id)
        began = served.get(environment_id) if init is None or init.started_at_ms is None else round(init.started_at_ms)
        found.append(InitRow(function, began, environment_id, None if init is None else init.initialization_type))
    return found


def _with_failures(told: list[_Told]) -> list[_Told]:
    """The same lines, with what the old style says of a failure put into the REPORT line of that invocation.

    An asynchronous invocation is retried under its request id, so of several reports the one nearest in time is meant.
    """
    faults = [(at, line) for at, (_, _, line) in enumerate(told) if isinstance(line, FaultLine)]
    if not faults:
        return told
    wanted = {fault.request_id for _, fault in faults}
    reports: dict[str, list[int]] = {}
    for at, (_, _, line) in enumerate(told):
        if isinstance(line, ReportLine) and line.request_id in wanted:
            reports.setdefault(line.request_id, []).append(at)
    merged = list(told)
    for at, fault in faults:
        candidates = reports.get(fault.request_id)
        if not candidates:
            continue
        instant = told[at][0].timestamp_ms or 0
        nearest = min(candidates, key=lambda i: (abs((told[i][0].timestamp_ms or 0) - instant), abs(i - at)))
        event, is_earlier, line = merged[nearest]
        if isinstance(line, ReportLine) and line.status is None:
            line = replace(line, status=fault.status, error_type=line.error_type or fault.error_type)
            merged[nearest] = event, is_earlier, line
    return merged


@dataclass
class _Stream:
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
    _inits: list[_Init] = field(default_factory=list)
    _open: dict[str, tuple[_Invocation, bool]] = field(default_factory=dict)
    _init: _Init | None = None
    _init_reports: list[InitReport] = field(default_factory=list)
    _invocations: int = 0
    _after_reset: bool = False
    _initialization_type: str | None = None

    def read(self, event: LogEvent, line: PlatformEvent, is_earlier: bool) -> None:
        match line:
            case InitStart():
                self.has_starts = True
                self._began(_Init(event.timestamp_ms, line.initialization_type, line.phase, line.function_name or ""))
                self._init_reports = []
                # An init in the invoke phase is one of an environment that is there already.
                if not is_earlier and line.phase != "invoke" and self._init is not None:
                    self._inits.append(self._init)
            case RestoreStart():
                self.has_starts = True
                self._began(
                    _Init(event.timestamp_ms, SNAP_START, function=line.function_name or "", is_restore=True),
                )
                if not is_earlier and self._init is not None:
                    self._inits.append(self._init)
            case InitReport():
                self._init_reports.append(line)
                self._initialization_type = line.initialization_type or self._initialization_type
            case StartLine():
                self.has_starts = True
                self._open[line.request_id] = self._begin(event, line, is_earlier), is_earlier
            case ReportLine():
                known = self._open.pop(line.request_id, None)
                invocation = self._begin(event, None, is_earlier) if known is None else known[0]
                row = self._row(event, line, invocation)
                self._after_reset = row.status in RESETTING_STATUSES and not (row.error_type or "").startswith(
                    KEEPING_ERROR_TYPES
                )
                if not is_earlier:
                    self.rows.append(row)
                    self.without_status += row.status is None and not event.tells_status
            case WrapperInit():
                # Without INIT_START this is what tells of an environment, used or not. One more of the same
                # environment is a process that follows one that has ended.
                first = self.is_environment and self._invocations == 0 and not self._inits
                if first and not is_earlier and not self.reports_init_duration:
                    began = event.timestamp_ms if line.started_at_ms is None else round(line.started_at_ms)
                    self._inits.append(_Init(began, line.initialization_type, function=self.function))
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

    def _began(self, init: _Init) -> None:
        self._init = init
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
            self._inits.append(_Init(event.timestamp_ms, None))
        self._init, self._init_reports, self._after_reset = None, [], False
        return invocation

    def _row(self, event: LogEvent, report: ReportLine, invocation: _Invocation) -> InvocationRow:
        init_duration_ms = report.init_duration_ms
        if init_duration_ms is not None and has_init_duration_first(event.message):
            init_duration_ms = None
            self.ignored_init_durations += 1
        environment_id, version = split_stream_name(self.log_stream)
        told = None if self.wrapped is None else self.wrapped.invocations.get(report.request_id)
        kind, kind_source = self._kind(event, report, init_duration_ms, invocation, told)
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

    def _kind(
        self,
        event: LogEvent,
        report: ReportLine,
        init_duration_ms: float | None,
        invocation: _Invocation,
        told: WrapperInvocation | None,
    ) -> tuple[str, str]:
        """What this invocation was, and what told. The first rule that applies counts."""
        gap_ms = _gap_ms(event, report, invocation)
        if report.restore_duration_ms is not None:
            if gap_ms is not None and gap_ms > report.restore_duration_ms + NOBODY_WAITED_GAP_MS:
                return PROACTIVE, INIT_START_GAP
            return RESTORED, REPORT_FIELD
        init = invocation.init
        if self._initialization_type == MANAGED_INSTANCES and self.is_environment:
            # documented: requests are routed to environments whose init has ended, several at once; reports have no
            # init: https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances-execution-environment.html
            return WARM, INITIALIZATION_TYPE
        if init_duration_ms is not None:
            if any(
                said == PROVISIONED_CONCURRENCY
                for said in (
                    None if init is None else init.initialization_type,
                    *(told.initialization_type for told in invocation.init_reports),
                )
            ):
                return PROVISIONED, INITIALIZATION_TYPE
            # documented: an on-demand init that succeeds writes no INIT_REPORT; allocating provisioned concurrency
            # does, without a phase: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
            if any(told.phase is None and told.initialization_type is None for told in invocation.init_reports):
                return PROVISIONED, INIT_REPORT
            if gap_ms is None:
                return COLD, REPORT_FIELD
            return (PROACTIVE if gap_ms > init_duration_ms + NOBODY_WAITED_GAP_MS else COLD), INIT_START_GAP
        if any(told.phase == "invoke" or told.status is not None for told in invocation.init_reports):
            return INIT_REPEATED, INIT_REPORT
        # documented: a suppressed init has phase=invoke in JSON events, and no event at all in the text format
        # (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
        if init is not None and init.phase == "invoke":
            return INIT_REPEATED, INIT_PHASE
        if invocation.after_reset:
            return INIT_REPEATED, AFTER_RESET
        if told is not None:
            return self._told_by_wrapper(told, invocation)
        if init is not None:
            return UNKNOWN, NOTHING  # an init right before, and no word of how long it took
        if not event.tells_init:
            return UNKNOWN, NOTHING
        if self.reports_init_duration and not has_init_duration_first(event.message):
            # Max Memory Used always stands before Init Duration: a text line without it was cut. In the JSON format
            # only managed instances leave it away, and they report no init.
            is_whole = report.max_memory_used_mb is not None or event.message.lstrip().startswith("{")
            return (WARM, REPORT_FIELD) if is_whole else (UNKNOWN, NOTHING)
        if self.is_environment:
            if not invocation.is_first:
                return WARM, FIRST_IN_STREAM
            return (UNKNOWN, NOTHING) if self.is_provisioned else (COLD, FIRST_IN_STREAM)
        return UNKNOWN, NOTHING

    def _told_by_wrapper(self, told: WrapperInvocation, invocation: _Invocation) -> tuple[str, str]:
        """The first invocation of a process waited for it, unless it was there by provisioned concurrency."""
        source = WRAPPER_IN_DURATION if told.tells_all else WRAPPER
        if told.sequence > 1:
            return WARM, source
        if self.is_environment and not invocation.is_first:
            return INIT_REPEATED, source  # a process that follows one that has ended, in the same environment
        if told.initialization_type == PROVISIONED_CONCURRENCY:
            return PROVISIONED, source
        return COLD, source


def _gap_ms(event: LogEvent, report: ReportLine, invocation: _Invocation) -> float | None:
    """INIT_START (or RESTORE_START) to START; without START, to REPORT less what the invocation took."""
    if invocation.init is None or invocation.init.timestamp is None:
        return None
    if invocation.start_timestamp is not None:
        return invocation.start_timestamp - invocation.init.timestamp
    if event.timestamp_ms is None:
        return None
    return event.timestamp_ms - report.duration_ms - invocation.init.timestamp


# --- names -----------------------------------------------------------------------------------------------------------

# `2026/10/09/[$LATEST]<32 hex>`; in a group of the user's own naming the function stands before the bracket.
_STREAM_NAME = re.compile(
    r"(?:\d{4}/\d\d/\d\d/)?(?P<function>[^\[\]/]*)\[(?P<version>[^\[\]]+)\](?P<environment>[^\[\]/\s]+)"
)


def split_stream_name(log_stream: str) -> tuple[str | None, str | None]:
    """(environment id, version) of a stream's name; the name itself is the environment where it has another form."""
    match = _STREAM_NAME.fullmatch(log_stream)
    if match is None:
        return log_stream or None, None
    return match["environment"], match["version"]


def function_name(log_group: str, log_stream: str = "") -> str:
    """The function whose log this is; the group's whole name where nothing tells."""
    if log_group.startswith("/aws/lambda/"):
        return log_group.removeprefix("/aws/lambda/")
    match = _STREAM_NAME.fullmatch(log_stream)
    return (match["function"] if match else "") or log_group

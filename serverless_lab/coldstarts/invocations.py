"""LogEvents -> one row per REPORT line, each with a kind and how that kind was known.

    kinds.py          the kinds, and the rules that tell them
    stream.py         one log stream, read like a story
    rows.py           what comes out
    stream_names.py   what the names of streams and groups say

Here the events are put in order and shared out to their streams. The lines that told of a failure until 2024 are
matched with their REPORT by request id, and become its status. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from serverless_lab.coldstarts.kinds import (
    AFTER_RESET,
    COLD,
    FIRST_IN_STREAM,
    FROM_WRAPPER,
    INIT_PHASE,
    INIT_REPEATED,
    INIT_REPORT,
    INIT_START_GAP,
    INITIALIZATION_TYPE,
    INITIALIZATION_TYPES,
    KEEPING_ERROR_TYPES,
    KIND_SOURCES,
    KINDS,
    MANAGED_INSTANCES,
    NOBODY_WAITED_GAP_MS,
    NOTHING,
    ON_DEMAND,
    PROACTIVE,
    PROVISIONED,
    PROVISIONED_CONCURRENCY,
    REPORT_FIELD,
    RESETTING_STATUSES,
    RESTORED,
    SNAP_START,
    UNKNOWN,
    WAITED,
    WARM,
    WRAPPER,
    WRAPPER_IN_DURATION,
)
from serverless_lab.coldstarts.log_event import LogEvent
from serverless_lab.coldstarts.platform_events import PlatformEvent, is_platform_event, read_event
from serverless_lab.coldstarts.rows import InitRow, InvocationRow, Invocations, UnfinishedInvocation
from serverless_lab.coldstarts.stream import Stream
from serverless_lab.coldstarts.stream_names import function_name, split_stream_name
from serverless_lab.coldstarts.wrapper_lines import Wrapped, WrapperInit, WrapperInvocation
from serverless_lab.report_line import (
    FaultLine,
    InitReport,
    InitStart,
    ReportLine,
    RestoreReport,
    RestoreStart,
    StartLine,
)

__all__ = [
    "AFTER_RESET",
    "COLD",
    "FIRST_IN_STREAM",
    "FROM_WRAPPER",
    "INITIALIZATION_TYPE",
    "INITIALIZATION_TYPES",
    "INIT_PHASE",
    "INIT_REPEATED",
    "INIT_REPORT",
    "INIT_START_GAP",
    "KEEPING_ERROR_TYPES",
    "KINDS",
    "KIND_SOURCES",
    "MANAGED_INSTANCES",
    "NOBODY_WAITED_GAP_MS",
    "NOTHING",
    "ON_DEMAND",
    "PROACTIVE",
    "PROVISIONED",
    "PROVISIONED_CONCURRENCY",
    "REPORT_FIELD",
    "RESETTING_STATUSES",
    "RESTORED",
    "SNAP_START",
    "UNKNOWN",
    "WAITED",
    "WARM",
    "WRAPPER",
    "WRAPPER_IN_DURATION",
    "InitRow",
    "InvocationRow",
    "Invocations",
    "UnfinishedInvocation",
    "build_invocations",
    "function_name",
    "split_stream_name",
]


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
    has_starts = False
    for (group, stream_name), stream_events in streams.items():
        function = (functions or {}).get(group) or function_name(group, stream_name)
        of_group = wrapped.get(group)
        tells_all = of_group is not None and of_group.tells_all
        stream = Stream(
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
        has_starts = has_starts or stream.has_starts
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
        has_starts=has_starts,
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
        elif event.after_ms is not None:
            last_ms = event.after_ms
        is_init = isinstance(line, InitStart | InitReport | RestoreStart | RestoreReport)
        keyed.append(((last_ms, not is_init), told))
    keyed.sort(key=lambda item: item[0])
    return _start_first([told for _, told in keyed])


def _start_first(told: list[_Told]) -> list[_Told]:
    """A START moved before its REPORT, where both are of one millisecond and stand the other way round."""
    ended: dict[str, int] = {}  # request id -> where its REPORT of this millisecond stands, if no START was before it
    begun: set[str] = set()
    now_ms: int | None = None
    ordered: list[_Told] = []
    for item in told:
        event, _, line = item
        if isinstance(line, StartLine | ReportLine):
            if event.timestamp_ms is None or event.timestamp_ms != now_ms:
                now_ms = event.timestamp_ms
                ended.clear()
            if isinstance(line, StartLine):
                at = ended.pop(line.request_id, None)
                if at is not None:
                    ordered.insert(at, item)
                    ended = {name: place + (place >= at) for name, place in ended.items()}
                    continue
                begun.add(line.request_id)
            elif line.request_id in begun:
                begun.discard(line.request_id)
            else:
                ended[line.request_id] = len(ordered)
        ordered.append(item)
    return ordered


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
    taken: set[int] = set()  # files of one stream may overlap: then each copy of the line has its copy of the REPORT
    for at, fault in faults:
        candidates = reports.get(fault.request_id)
        if not candidates:
            continue
        instant = told[at][0].timestamp_ms or 0
        nearest = min(
            candidates, key=lambda i: (abs((told[i][0].timestamp_ms or 0) - instant), i in taken, abs(i - at))
        )
        taken.add(nearest)
        event, is_earlier, line = merged[nearest]
        if isinstance(line, ReportLine) and line.status is None:
            line = replace(line, status=fault.status, error_type=line.error_type or fault.error_type)
            merged[nearest] = event, is_earlier, line
    return merged

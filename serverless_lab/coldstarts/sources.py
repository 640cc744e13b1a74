"""Log events from CloudWatch Logs: AWS's, LocalStack's, MiniStack's, the embedded target's. Files are in files.py.

What a target's answers need to become events, once each, is in cloudwatch/. Here they are waited for, and what the
environments did before and after the time asked for is looked up.

No filter pattern is sent: LocalStack ignores it, and MiniStack reads `?REPORT` as a glob that must match. Events are
filtered here, and what is no platform event is dropped at once, so memory grows with invocations only. Order is made
here too: LocalStack answers stream by stream, AWS and MiniStack by time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serverless_lab.coldstarts.log_event import LogEvent
from serverless_lab.coldstarts.platform_events import is_platform_event, read_event
from serverless_lab.report_line import InitStart, ReportLine, StartLine

if TYPE_CHECKING:
    from serverless_lab.coldstarts.cloudwatch.reader import LogReader

__all__ = ["LogEvent", "LogReading", "Stream", "open_starts", "read_cloudwatch_logs"]

POLL_DEADLINE_MS = 60_000
POLL_INTERVAL_MS = 500
POLL_INTERVAL_MAX_MS = 5_000

Stream = tuple[str, str]
"""A log group and one of its streams."""


@dataclass(frozen=True)
class LogReading:
    """What was read: `events` of the window by group and time, `earlier` events of the same streams before the window.

    `missing_groups` do not exist (nothing was logged there yet). `unreported` is how many expected REPORT lines had not
    arrived at the deadline; None when nothing was expected.
    """

    events: tuple[LogEvent, ...]
    earlier: tuple[LogEvent, ...] = ()
    missing_groups: tuple[str, ...] = ()
    unreported: int | None = None


def read_cloudwatch_logs(
    client: Any,
    log_groups: Iterable[str],
    start_ms: int,
    end_ms: int,
    *,
    expected_reports: Collection[str] | int | None = None,
    until_reported: bool = False,
    groups_come_first: bool = False,
    one_stream_per_environment: bool = True,
    reader: LogReader | None = None,
    fresh: bool = False,
    look_back_ms: int | None = None,
    deadline_ms: float = POLL_DEADLINE_MS,
    now_ms: Callable[[], float] | None = None,
    sleep_ms: Callable[[float], None] | None = None,
) -> LogReading:
    """The platform events of `log_groups` between two instants (epoch ms, both included).

    Logs arrive late, seconds after the invocation. So the groups are read again until what is expected is there.

    Args:
        client: a boto3 `logs` client.
        expected_reports: the request ids that must have a REPORT line, or how many lines there must be at least.
        until_reported: expect a REPORT line for every START line too, whoever invoked it.
        groups_come_first: the target makes a function's log group before anything of it runs. Without any of them there
            is nothing to wait for.
        one_stream_per_environment: then a stream whose start lies before the window is looked up there too, since what
            an environment did earlier tells a first invocation from a later one.
        reader: reads the groups; None reads one after the other, as fast as the target answers, and keeps nothing.
        fresh: read what the reader has kept again.
        look_back_ms: how far before the window a stream is looked up whose first REPORT carries no init; None: to its
            beginning.
        deadline_ms: how long to wait for late lines.
        now_ms, sleep_ms: the time source and the way to wait.

    Raises:
        TargetError: the target cannot be reached or refuses.
    """
    from serverless_lab.coldstarts.cloudwatch.reader import LogReader

    reader = reader or LogReader(client)
    now_ms = now_ms or (lambda: time.monotonic() * 1000)
    sleep_ms = sleep_ms or (lambda duration_ms: time.sleep(duration_ms / 1000))
    groups = list(dict.fromkeys(log_groups))
    give_up_ms = now_ms() + deadline_ms
    interval_ms: float = POLL_INTERVAL_MS
    awaited = 0
    while True:
        found, missing = reader.read(groups, start_ms, end_ms, fresh=fresh)
        events = [event for group in groups for event in found.get(group, ())]
        unreported = _count_unreported(events, expected_reports)
        begun = len(open_starts(events)) if until_reported else 0
        if until_reported and unreported is None:
            unreported = begun
        awaited_before, awaited = awaited, max(unreported or 0, begun)
        remaining_ms = give_up_ms - now_ms()
        never_ran = groups_come_first and set(missing) == set(groups)
        if not awaited or remaining_ms <= 0 or never_ran:
            if awaited_before:
                reader.tell_awaited(0, len(events))
            break
        reader.tell_awaited(awaited, len(events))
        sleep_ms(min(interval_ms, remaining_ms))
        interval_ms = min(interval_ms * 1.5, POLL_INTERVAL_MAX_MS)
        # A line that is expected and is not there may have arrived after its time was taken for settled.
        fresh = fresh or expected_reports is not None
    earlier = _read_earlier(reader, events, start_ms, look_back_ms) if one_stream_per_environment else []
    return LogReading(tuple(events), tuple(earlier), tuple(missing), unreported)


def open_starts(events: Iterable[LogEvent]) -> dict[tuple[Stream, str], LogEvent]:
    """The START lines without a REPORT, by stream and request id."""
    found: dict[tuple[Stream, str], LogEvent] = {}
    for event in events:
        line = read_event(event.message)
        if isinstance(line, StartLine | ReportLine):
            key = ((event.log_group, event.log_stream), line.request_id)
            if isinstance(line, StartLine):
                found[key] = event
            else:
                found.pop(key, None)
    return found


def _count_unreported(events: Iterable[LogEvent], expected: Collection[str] | int | None) -> int | None:
    if expected is None:
        return None
    lines = (read_event(event.message) for event in events)
    reported = [line.request_id for line in lines if isinstance(line, ReportLine)]
    if isinstance(expected, int):
        return max(0, expected - len(reported))
    return len(set(expected).difference(reported))


def _read_earlier(
    reader: LogReader, events: Iterable[LogEvent], start_ms: int, look_back_ms: int | None
) -> list[LogEvent]:
    """The events before the window of those streams in which the window does not show how the environment began."""
    began: dict[Stream, bool] = {}
    carries_init: dict[Stream, bool] = {}
    for event in events:
        stream = (event.log_group, event.log_stream)
        if stream not in carries_init:
            line = read_event(event.message)
            began.setdefault(stream, isinstance(line, InitStart))
            if isinstance(line, ReportLine):
                carries_init[stream] = line.init_duration_ms is not None or line.restore_duration_ms is not None
    wanted: dict[tuple[str, int], list[str]] = {}
    for (group, stream_name), shows_begin in began.items():
        if not shows_begin:
            from_start = look_back_ms is None or carries_init.get((group, stream_name), True)
            from_ms = 0 if from_start else max(0, start_ms - (look_back_ms or 0))
            wanted.setdefault((group, from_ms), []).append(stream_name)
    found: list[LogEvent] = []
    for (group, from_ms), streams in wanted.items():
        past = reader.read_streams(group, streams, from_ms, start_ms - 1)
        found.extend(event for event in past if is_platform_event(event.message))
    return sorted(found, key=lambda event: event.timestamp_ms or 0)

"""Log events from CloudWatch Logs: AWS's, LocalStack's, MiniStack's, the embedded target's. Files are in files.py.

One reader serves all of them, because it relies on nothing that differs:
* no filter pattern by default: LocalStack ignores it, and MiniStack reads `?REPORT` as a glob that must match. Events
  are filtered here, and what is no platform event is dropped at once, so memory grows with invocations only;
* `nextToken` is followed, empty pages included (documented:
  https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html);
* a page of 10,000 events without a token is not believed to be the last: MiniStack cuts off there. Reading goes on at
  the last timestamp, without the events already seen; where one instant alone fills a page, stream by stream;
* order is made here: LocalStack answers stream by stream, AWS and MiniStack by time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from serverless_lab.coldstarts.platform_events import PlatformEvent, is_platform_event, read_event
from serverless_lab.errors import TargetError
from serverless_lab.report_line import InitStart, ReportLine

PAGE_EVENTS = 10_000
"""A page of FilterLogEvents holds at most this many events (documented, page as above)."""

STREAMS_PER_CALL = 100
"""FilterLogEvents takes at most this many stream names (documented, page as above)."""

POLL_DEADLINE_MS = 60_000
POLL_INTERVAL_MS = 500
POLL_INTERVAL_MAX_MS = 5_000


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event. `timestamp_ms` is epoch milliseconds; None only for a line of a file that says no time.

    `line` is what `message` says, where it was read already; `message` may be empty then. `tells_init` is False where a
    REPORT may have had an Init Duration that got lost: the line was cut, or a query did not select that field.
    `tells_status` is False where it has no place for a status: fields that Logs Insights has found in a line.
    """

    log_group: str
    log_stream: str
    timestamp_ms: int | None
    message: str
    line: PlatformEvent | None = None
    tells_init: bool = True
    tells_status: bool = True


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
    one_stream_per_environment: bool = True,
    filter_pattern: str | None = None,
    deadline_ms: float = POLL_DEADLINE_MS,
    now_ms: Callable[[], float] | None = None,
    sleep_ms: Callable[[float], None] | None = None,
) -> LogReading:
    """The platform events of `log_groups` between two instants (epoch ms, both included).

    Logs arrive late, seconds after the invocation. So the groups are read again until what is expected is there.

    Args:
        client: a boto3 `logs` client.
        expected_reports: the request ids that must have a REPORT line, or how many lines there must be at least; None
            reads once.
        one_stream_per_environment: then a stream whose start lies before the window is looked up there too, since what
            an environment did earlier tells a first invocation from a later one.
        filter_pattern: only for real AWS; it must let every platform line through.
        deadline_ms: how long to wait for late lines.
        now_ms, sleep_ms: the time source and the way to wait.

    Raises:
        TargetError: the target cannot be reached or refuses.
    """
    now_ms = now_ms or (lambda: time.monotonic() * 1000)
    sleep_ms = sleep_ms or (lambda duration_ms: time.sleep(duration_ms / 1000))
    groups = list(dict.fromkeys(log_groups))
    give_up_ms = now_ms() + deadline_ms
    interval_ms: float = POLL_INTERVAL_MS
    while True:
        events: list[LogEvent] = []
        missing: list[str] = []
        for group in groups:
            found = _read_group(client, group, start_ms, end_ms, filter_pattern)
            if found is None:
                missing.append(group)
            else:
                events.extend(found)
        unreported = _count_unreported(events, expected_reports)
        remaining_ms = give_up_ms - now_ms()
        if not unreported or remaining_ms <= 0:
            break
        sleep_ms(min(interval_ms, remaining_ms))
        interval_ms = min(interval_ms * 1.5, POLL_INTERVAL_MAX_MS)
    earlier = _read_earlier(client, events, start_ms) if one_stream_per_environment else []
    return LogReading(tuple(events), tuple(earlier), tuple(missing), unreported)


def _count_unreported(events: Iterable[LogEvent], expected: Collection[str] | int | None) -> int | None:
    if expected is None:
        return None
    lines = (read_event(event.message) for event in events)
    reported = [line.request_id for line in lines if isinstance(line, ReportLine)]
    if isinstance(expected, int):
        return max(0, expected - len(reported))
    return len(set(expected).difference(reported))


def _read_group(
    client: Any, group: str, start_ms: int, end_ms: int, filter_pattern: str | None = None
) -> list[LogEvent] | None:
    """The platform events of one group by time, those of one instant in the order they came; None for no such group."""
    options: dict[str, Any] = {} if filter_pattern is None else {"filterPattern": filter_pattern}
    try:
        found = list(_all_events(client, group, start_ms, end_ms, options))
    except _no_such_group(client):
        return None
    return sorted(found, key=lambda event: event.timestamp_ms or 0)


def _read_earlier(client: Any, events: Iterable[LogEvent], start_ms: int) -> list[LogEvent]:
    """The events before the window of those streams in which the window does not show how the environment began."""
    open_streams: dict[tuple[str, str], bool] = {}
    for event in events:
        stream = (event.log_group, event.log_stream)
        if stream not in open_streams:
            open_streams[stream] = not isinstance(read_event(event.message), InitStart)
    wanted: dict[str, list[str]] = {}
    for (group, stream_name), is_open in open_streams.items():
        if is_open:
            wanted.setdefault(group, []).append(stream_name)
    found: list[LogEvent] = []
    for group, streams in wanted.items():
        for at in range(0, len(streams), STREAMS_PER_CALL):
            chunk = streams[at : at + STREAMS_PER_CALL]
            options = {"logStreamNames": chunk}
            # A target that ignores logStreamNames must not hand us other environments' past.
            names = set(chunk)
            found.extend(
                event for event in _all_events(client, group, 0, start_ms - 1, options) if event.log_stream in names
            )
    return sorted(found, key=lambda event: event.timestamp_ms or 0)


def _all_events(client: Any, group: str, start_ms: int, end_ms: int, options: dict[str, Any]) -> Iterator[LogEvent]:
    """Every platform event of the window, once each, in the order of the answers."""
    seen: Counter[tuple[str, str]] = (
        Counter()
    )  # events at `start_ms` that an earlier call has brought: (stream, identity)
    token: str | None = None
    while start_ms <= end_ms:
        request = {"logGroupName": group, "startTime": start_ms, "endTime": end_ms, **options}
        page = _call(client.filter_log_events, **request, **({} if token is None else {"nextToken": token}))
        raw = page.get("events", [])
        repeats = Counter(seen)
        for item in raw:
            key = _identity(item)
            if item["timestamp"] == start_ms and repeats[key] > 0:
                repeats[key] -= 1
            elif is_platform_event(item["message"]):
                yield _event(group, item)
        token = page.get("nextToken")
        if token is not None:
            seen = repeats
            continue
        if len(raw) < PAGE_EVENTS:
            return
        last_ms = max(item["timestamp"] for item in raw)
        if last_ms > start_ms:
            seen = Counter(_identity(item) for item in raw if item["timestamp"] == last_ms)
            start_ms = last_ms
            continue
        # One instant fills a whole page. `seen` holds what was handed on before; the streams bring the rest.
        seen = seen | Counter(_identity(item) for item in raw)
        yield from _instant_by_stream(client, group, start_ms, seen, options.get("logStreamNames"))
        seen = Counter()
        start_ms += 1


def _instant_by_stream(
    client: Any, group: str, instant_ms: int, seen: Counter[tuple[str, str]], streams: list[str] | None
) -> Iterator[LogEvent]:
    """The events of one millisecond that `seen` lacks, read one stream after the other."""
    repeats = Counter(seen)
    for stream in streams if streams is not None else _stream_names(client, group):
        token: str | None = None
        while True:
            page = _call(
                client.get_log_events,
                logGroupName=group,
                logStreamName=stream,
                startTime=instant_ms,
                endTime=instant_ms + 1,
                startFromHead=True,
                **({} if token is None else {"nextToken": token}),
            )
            for item in page.get("events", []):
                if item["timestamp"] != instant_ms:
                    continue
                item = {**item, "logStreamName": stream}
                key = _identity(item)
                if repeats[key] > 0:
                    repeats[key] -= 1
                elif is_platform_event(item["message"]):
                    yield _event(group, item)
            # The end of a stream answers with the token that was sent (documented:
            # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html).
            if page.get("nextForwardToken") in (None, token) or not page.get("events"):
                break
            token = page["nextForwardToken"]


def _stream_names(client: Any, group: str) -> Iterator[str]:
    token: str | None = None
    while True:
        page = _call(client.describe_log_streams, logGroupName=group, **({} if token is None else {"nextToken": token}))
        yield from (stream["logStreamName"] for stream in page.get("logStreams", []))
        token = page.get("nextToken")
        if token is None:
            return


def _identity(item: dict[str, Any]) -> tuple[str, str]:
    # Not the eventId: GetLogEvents has none, and MiniStack gives none to FilterLogEvents.
    return item.get("logStreamName", ""), item["message"]


def _event(group: str, item: dict[str, Any]) -> LogEvent:
    return LogEvent(group, item.get("logStreamName", ""), int(item["timestamp"]), item["message"])


def _no_such_group(client: Any) -> type[Exception]:
    found: type[Exception] = client.exceptions.ResourceNotFoundException
    return found


def _call(operation: Callable[..., dict[str, Any]], **request: Any) -> dict[str, Any]:
    """One call to the target; what it refuses becomes a TargetError, a missing group stays what it is."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return operation(**request)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            raise
        message = f"reading log group {request['logGroupName']} failed: {error}"
        raise TargetError(message, hint="the identity in use needs logs:FilterLogEvents there") from error
    except BotoCoreError as error:
        message = f"reading log group {request['logGroupName']} failed: {error}"
        raise TargetError(message, hint="is the target running? `lab status` tells") from error

"""MiniStack's CloudWatch Logs: how events get into it, and our Logs Insights in front of it.

MiniStack's own queries pass over `stats` and every filter they do not know; so `cloudwatch_logs.handle_request`, which
all requests to the service go through, is replaced by one that answers queries from `insights_service`.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

from serverless_lab import quotas
from serverless_lab.emulator.insights.discovery import LogEvent, Record
from serverless_lab.emulator.insights.values import Instant, Value, text_of
from serverless_lab.emulator.insights_service import Insights, Refused

Handler = Callable[..., Awaitable[Any]]


class MiniStackLog:
    """The log groups of the account and Region of the request in progress."""

    def __init__(self) -> None:
        from ministack.core.responses import get_account_id
        from ministack.services import cloudwatch_logs

        self.account_id: str = get_account_id()
        self._groups = cloudwatch_logs._log_groups

    def creation_ms(self, group: str) -> int | None:
        found = self._groups.get(group)
        return None if found is None else int(found["creationTime"])

    def events(self, groups: Sequence[str], start_ms: int, end_ms: int) -> Iterable[LogEvent]:
        # Which events there are is settled now, in the account of the request; what they are, by whoever reads them.
        kept = [
            (group, stream, self._kept(group, stream, start_ms, end_ms))
            for group in groups
            for stream in list((self._groups.get(group) or {}).get("streams") or ())
        ]
        return self._in_order(kept)

    def event_at(self, pointer: str) -> LogEvent | None:
        """The event of a row's @ptr; None where the pointer is none of ours or its event is gone."""
        try:
            group, stream, at_ms, number = json.loads(base64.b64decode(pointer, validate=True))
            events = self._of_stream(group, stream, self._kept(group, stream, int(at_ms), int(at_ms)))
            return next((event for at, event in enumerate(events) if at == number), None)
        except (binascii.Error, ValueError, TypeError):
            return None

    def _in_order(self, kept: list[tuple[str, str, list[dict[str, Any]]]]) -> Iterator[LogEvent]:
        found = [event for group, stream, events in kept for event in self._of_stream(group, stream, events)]
        yield from sorted(found, key=lambda event: event.ingestion_ms)

    def _kept(self, group: str, stream: str, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
        kept = ((self._groups.get(group) or {}).get("streams") or {}).get(stream)
        events = list(kept["events"]) if kept else []  # in order of time, and another thread may append
        return events[bisect_left(events, start_ms, key=_timestamp) : bisect_right(events, end_ms, key=_timestamp)]

    def _of_stream(self, group: str, stream: str, events: Iterable[dict[str, Any]]) -> Iterator[LogEvent]:
        last, number = None, 0
        for event in events:
            at_ms = _timestamp(event)
            number = number + 1 if at_ms == last else 0
            last = at_ms
            pointer = base64.b64encode(json.dumps([group, stream, at_ms, number]).encode()).decode()
            yield LogEvent(
                timestamp_ms=at_ms,
                ingestion_ms=int(event.get("ingestionTime", at_ms)),
                message=event["message"],
                log=f"{self.account_id}:{group}",
                stream=stream,
                pointer=pointer,
            )


def _timestamp(event: dict[str, Any]) -> int:
    return int(event["timestamp"])


_event_numbers = itertools.count()


def event_id(at_ms: int) -> str:
    """56 digits, as AWS gives each event: `aws logs tail --follow` tells events of the same millisecond by them."""
    return f"{at_ms:020d}{next(_event_numbers):036d}"


def ingested_bytes(group_name: str, since_ms: int, until_ms: int) -> int:
    """How much of a group's events CloudWatch Logs bills as ingested, both instants included."""
    from ministack.services import cloudwatch_logs as logs

    found = 0
    for stream in list(((logs._log_groups.get(group_name) or {}).get("streams") or {}).values()):
        events = list(stream["events"])
        first = bisect_left(events, since_ms, key=_timestamp)
        last = bisect_right(events, until_ms, key=_timestamp)
        found += sum(len(event["message"].encode()) + quotas.LOG_EVENT_OVERHEAD_BYTES for event in events[first:last])
    return found


def append_log(group_name: str, stream_name: str, events: Iterable[tuple[int, str]]) -> None:
    """Append (epoch ms, message) to a log stream, creating group and stream as Lambda does."""
    from ministack.services import cloudwatch_logs as logs

    stored = [
        {"timestamp": at_ms, "message": message, "ingestionTime": at_ms, "eventId": event_id(at_ms)}
        for at_ms, message in events
    ]
    if not stored:
        return
    now_ms = stored[0]["timestamp"]
    group = logs._log_groups.get(group_name)
    if group is None:
        logs._create_log_group({"logGroupName": group_name})
        group = logs._log_groups[group_name]
    stream = group["streams"].get(stream_name)
    if stream is None:
        stream = group["streams"].setdefault(
            stream_name,
            {
                "events": [],
                "uploadSequenceToken": "1",
                "creationTime": now_ms,
                "firstEventTimestamp": None,
                "lastEventTimestamp": None,
                "lastIngestionTime": None,
            },
        )
    logs._append_log_events(stream, stored)
    if group.get("subscriptionFilters"):
        logs._fanout_to_subscription_filters(group_name, stream_name, stored)
    logs._fanout_to_live_tail_sessions(group_name, stream_name, stored)


def with_insights(handle: Handler, insights: Insights) -> Handler:
    """`handle`, which answers the service's requests, with queries answered by `insights`."""
    from ministack.core.responses import error_response_json, get_account_id, get_region, json_response

    async def handle_request(method: str, path: str, headers: dict[str, str], body: Any, query_params: Any) -> Any:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if action not in ("StartQuery", "GetQueryResults", "StopQuery", "DescribeQueries", "GetLogRecord"):
            return await handle(method, path, headers, body, query_params)
        try:
            request = json.loads(body) if body else {}
        except ValueError:
            return await handle(method, path, headers, body, query_params)
        owner = get_account_id(), get_region()
        try:
            if action == "StartQuery":
                return json_response(insights.start(request, MiniStackLog(), owner))
            if action == "GetQueryResults":
                return json_response(insights.results(request, owner))
            if action == "StopQuery":
                return json_response(insights.stop(request, owner))
            if action == "DescribeQueries":
                return json_response(insights.describe(request, owner))
        except Refused as problem:
            return error_response_json(problem.code, problem.message, 400, problem.members)
        event = MiniStackLog().event_at(str(request.get("logRecordPointer")))
        if event is None:  # one of MiniStack's own pointers, or none at all
            return await handle(method, path, headers, body, query_params)
        return json_response({"logRecord": {name: _raw(value) for name, value in Record(event).fields().items()}})

    return handle_request


def _raw(value: Value) -> str:
    """A field as GetLogRecord has it: instants are milliseconds."""
    return str(int(value)) if isinstance(value, Instant) else text_of(value)


def install(insights: Insights) -> None:
    """Put `insights` in front of MiniStack's CloudWatch Logs. Call once, before it serves its first request."""
    from ministack.services import cloudwatch_logs

    cloudwatch_logs.handle_request = with_insights(cloudwatch_logs.handle_request, insights)

"""Log groups over a stretch of time -> their platform events, with Logs Insights: for what would be too many pages.

A query scans all that a group holds of its time, is paid by what it scans, and answers so many rows at most. So rows
are asked for in order of time: where an answer is full, what it has stands, and queries of the rest follow, as many as
the count of matches says. What is too new for Insights, and one millisecond that fills an answer, is read in pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from serverless_lab import quotas
from serverless_lab.coldstarts.cloudwatch.reader import LogReader, Slice, Work
from serverless_lab.coldstarts.log_event import LogEvent
from serverless_lab.coldstarts.platform_events import epoch_ms, is_platform_event, read_event
from serverless_lab.errors import TargetError
from serverless_lab.report_line import ReportLine, StartLine

QUERIES_AT_ONCE = 4
"""Of the account's hundred; others want some too."""

_PLATFORM_LINES = (
    r"^(START|REPORT|INIT_START|INIT_REPORT|RESTORE_START|RESTORE_REPORT) |Task timed out after |RequestId: \S+ Error: "
    r"|Runtime exited|platform\.|serverless-lab\."
)
_FULL = 0.8  # of the rows an answer may have are planned for

_POLL_FIRST_MS = 250
_POLL_MAX_MS = 5_000
_RUNNING = ("Scheduled", "Running")


@dataclass
class QueryReader(LogReader):
    """A LogReader whose slices are queries.

    Args:
        expected: group -> how many events of the range it may have, where that is known.
        rows_max: how many rows a query answers.
        scanned_max: how many bytes may be scanned: no further query is begun when it is reached.
    """

    expected: Mapping[str, int] = field(default_factory=dict)
    rows_max: int = quotas.INSIGHTS_LIMIT_MAX
    scanned_max: float | None = None
    scanned_bytes: float = 0.0
    """What all queries so far have scanned: the quantity that is paid."""

    def _cut_of(self, group: str, first_ms: int, last_ms: int, range_ms: int) -> list[tuple[int, int]]:
        settled_ms = self._settled_ms()
        if last_ms > settled_ms >= first_ms:
            return [*self._cut_of(group, first_ms, settled_ms, range_ms), (settled_ms + 1, last_ms)]
        if first_ms > settled_ms:
            return [(first_ms, last_ms)]
        share = (last_ms - first_ms + 1) / range_ms
        return _parts(first_ms, last_ms, self.expected.get(group, 0) * share / (self.rows_max * _FULL))

    def _read_slice(self, part: Slice, work: Work) -> None:
        if part.end_ms > self._settled_ms():
            super()._read_slice(part, work)
            return
        rows, matched = self._query(part, work)
        if work.failure is not None:
            return
        events = _in_order(self._events(part, rows))
        if matched <= len(rows) < self.rows_max:
            self._done(work, part, events)
            self._tell(work)
            return
        # The answer is full. What lies before its last instant is whole.
        last_ms = max((event.timestamp_ms or 0 for event in events), default=part.start_ms)
        if last_ms == part.start_ms:
            super()._read_slice(Slice(part.group, last_ms, last_ms), work)
            rest = _parts(last_ms + 1, part.end_ms, 1)
        else:
            done = [event for event in events if (event.timestamp_ms or 0) < last_ms]
            self._done(work, Slice(part.group, part.start_ms, last_ms - 1), done)
            rest = _parts(last_ms, part.end_ms, (matched - len(done)) / (self.rows_max * _FULL))
        self._tell(work)
        with work.changed:
            work.todo.extend(Slice(part.group, *times) for times in rest)
            work.changed.notify_all()

    def _query(self, part: Slice, work: Work) -> tuple[list[Any], int]:
        """(the rows of a query, how many events match)."""
        from botocore.exceptions import ClientError

        if self.scanned_max is not None and self.scanned_bytes > self.scanned_max:
            raise TargetError(
                f"Logs Insights has scanned {self.scanned_bytes / 1e9:,.3f} GB, and --max-cost is reached",
                hint="read the rest in pages: --no-insights; or allow more",
            )
        request = {
            "logGroupName": part.group,
            # documented in seconds: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
            "startTime": part.start_ms // 1000,
            "endTime": part.end_ms // 1000 + 1,
            "queryString": query_of(part.start_ms, part.end_ms, self.rows_max),
            "limit": self.rows_max,
        }
        try:
            query_id = self.call(self.client.start_query, **request)["queryId"]
        except TargetError as error:
            # A group refuses a range that ends before it was made, or before what it retains: there is nothing.
            cause = error.__cause__
            if isinstance(cause, ClientError) and _is_outside(cause.response.get("Error", {})):
                return [], 0
            raise
        finished = False
        try:
            answer = self._answer(query_id, work)
            finished = work.failure is None
        finally:
            if not finished:
                self._stop(query_id)
        if not finished:
            return [], 0
        rows = list(answer.get("results") or ())
        statistics = answer.get("statistics") or {}
        with work.changed:
            self.scanned_bytes += float(statistics.get("bytesScanned") or 0)
        while answer.get("nextToken"):
            answer = self.call(self.client.get_query_results, queryId=query_id, nextToken=answer["nextToken"])
            rows.extend(answer.get("results") or ())
        return rows, int(statistics.get("recordsMatched") or 0)

    def _answer(self, query_id: str, work: Work) -> dict[str, Any]:
        interval_ms: float = _POLL_FIRST_MS
        while True:
            answer = self.call(self.client.get_query_results, queryId=query_id)
            status = str(answer.get("status") or "")
            if status == "Complete" or work.failure is not None:
                return answer
            if status not in _RUNNING:
                raise TargetError(
                    f"Logs Insights query {query_id} ended as {status or 'nothing known'}",
                    hint="repeat the command, or read in pages: --no-insights",
                )
            self.pace.sleep_ms(interval_ms)
            interval_ms = min(interval_ms * 1.5, _POLL_MAX_MS)

    def _stop(self, query_id: str) -> None:
        """What nobody waits for any more should not be scanned, and paid, to its end."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.client.stop_query(queryId=query_id)
        except (BotoCoreError, ClientError):
            return  # it has ended, or the target is gone

    def _events(self, part: Slice, rows: Iterable[Any]) -> list[LogEvent]:
        found = []
        for row in rows:
            values = {item.get("field"): item.get("value") for item in row}
            stamp_ms = epoch_ms(values.get("@timestamp"))
            message = values.get("@message") or ""
            if stamp_ms is not None and part.start_ms <= stamp_ms <= part.end_ms and is_platform_event(message):
                found.append(LogEvent(part.group, values.get("@logStream") or "", stamp_ms, message))
        return found


def query_of(start_ms: int, end_ms: int, limit: int) -> str:
    """The platform lines between two instants in order of time. The request itself knows only whole seconds."""
    return (
        f"fields @timestamp, @message, @logStream | filter @message like /{_PLATFORM_LINES}/ "
        f"| filter toMillis(@timestamp) >= {start_ms} and toMillis(@timestamp) <= {end_ms} "
        f"| sort @timestamp asc | limit {limit}"
    )


def _is_outside(error: Mapping[str, Any]) -> bool:
    message = str(error.get("Message") or "")
    return error.get("Code") == "MalformedQueryException" and ("creation time" in message or "retention" in message)


def _parts(first_ms: int, last_ms: int, count: float) -> list[tuple[int, int]]:
    """A stretch in `count` pieces of about the same width, whole seconds apart; none where it is empty."""
    if count <= 1:
        return [(first_ms, last_ms)] if first_ms <= last_ms else []
    width_ms = max(1_000, math.ceil((last_ms - first_ms + 1) / math.ceil(count) / 1000) * 1000)
    found = []
    at_ms = first_ms
    while at_ms <= last_ms:
        to_ms = min(last_ms, (at_ms + width_ms) // 1000 * 1000 - 1)
        found.append((at_ms, to_ms))
        at_ms = to_ms + 1
    return found


def _in_order(events: list[LogEvent]) -> list[LogEvent]:
    """By time; of one stream's START and REPORT of the same request and millisecond, START first.

    Insights promises no order of events of one instant.
    """
    lines = [read_event(event.message) for event in events]
    reported = {
        (event.log_stream, event.timestamp_ms, line.request_id)
        for event, line in zip(events, lines, strict=True)
        if isinstance(line, ReportLine)
    }
    keyed = [
        (
            event.timestamp_ms or 0,
            not (isinstance(line, StartLine) and (event.log_stream, event.timestamp_ms, line.request_id) in reported),
            at,
        )
        for at, (event, line) in enumerate(zip(events, lines, strict=True))
    ]
    return [events[at] for _, _, at in sorted(keyed)]

"""StartQuery, GetQueryResults, StopQuery and DescribeQueries of CloudWatch Logs, over whatever keeps the log.

A query is checked when it is started, and its events are those of that moment; a thread works it out, so that a large
log holds up nobody else. Answers and errors are in the form of AWS's API
(https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/).
"""

from __future__ import annotations

import base64
import binascii
import datetime
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from serverless_lab import quotas
from serverless_lab.emulator.insights import syntax
from serverless_lab.emulator.insights.discovery import LogEvent
from serverless_lab.emulator.insights.evaluation import Answer, Scope, Stopped, run
from serverless_lab.emulator.insights.lexer import MalformedQuery
from serverless_lab.emulator.insights.parser import parse

logger = logging.getLogger(__name__)

KEPT_QUERIES = 1_000
"""Older ones are forgotten; AWS keeps them for 7 days."""

RUNNING = ("Scheduled", "Running")


class Refused(Exception):
    """An error of the API: `code` is its type, `members` what else its body has."""

    def __init__(self, code: str, message: str, members: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.members = members or {}


class Log(Protocol):
    """What keeps the log groups of the account and Region that the request is for."""

    account_id: str

    def creation_ms(self, group: str) -> int | None:
        """When the log group was created; None where there is none."""
        ...

    def events(self, groups: Sequence[str], start_ms: int, end_ms: int) -> Iterable[LogEvent]:
        """The events of the range, both ends included, in the order they were taken in.

        Those of the moment of the call, which returns soon; it is another thread that goes through them.
        """
        ...


@dataclass
class _Query:
    id: str
    text: str
    groups: list[str]
    begun_ms: int
    owner: tuple[str, str]
    status: str = "Scheduled"
    answer: Answer | None = None
    took_ms: int = 0
    stop: threading.Event = field(default_factory=threading.Event)


class Insights:
    """The queries of one emulator.

    Args:
        now_ms: the emulator's calendar, in ms since the epoch.
        workers: how many queries are worked out at once.
    """

    def __init__(self, now_ms: Callable[[], int], workers: int = 2) -> None:
        self._now_ms = now_ms
        self._queries: dict[str, _Query] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="lab-insights")

    def start(self, request: dict[str, Any], log: Log, owner: tuple[str, str]) -> dict[str, Any]:
        """StartQuery.

        Raises:
            Refused: by AWS's rules, or because the query has what is not supported.
        """
        text = request.get("queryString")
        if not isinstance(text, str) or len(text) > quotas.INSIGHTS_QUERY_MAX_CHARACTERS:
            raise _invalid(f"queryString must be a string of at most {quotas.INSIGHTS_QUERY_MAX_CHARACTERS} characters")
        if request.get("queryLanguage", "CWLI") != "CWLI":
            raise _invalid(f"queryLanguage {request['queryLanguage']} is not supported by the emulator, only CWLI")
        limit = request.get("limit")
        if limit is not None and (not isinstance(limit, int) or not 1 <= limit <= quotas.INSIGHTS_LIMIT_MAX):
            raise _invalid(f"limit must be from 1 to {quotas.INSIGHTS_LIMIT_MAX}, not {limit}")
        start_ms, end_ms = _instant_ms(request, "startTime", 0), _instant_ms(request, "endTime", 999)
        if end_ms < start_ms:
            raise _invalid(f"endTime {request['endTime']} is before startTime {request['startTime']}")
        groups = _groups(request)
        created = [log.creation_ms(group) for group in groups]
        for group, at_ms in zip(groups, created, strict=True):
            if at_ms is None:
                message = f"Log group '{group}' does not exist for account ID '{log.account_id}'"
                raise Refused("ResourceNotFoundException", message)
        query = _parsed(text)
        if all(at_ms is not None and end_ms < at_ms for at_ms in created):
            now = datetime.datetime.fromtimestamp(self._now_ms() / 1000, datetime.UTC)
            raise Refused(
                "MalformedQueryException",
                "Query's end date and time is either before the log groups creation time or exceeds the log groups log "
                f"retention settings; the emulator's clock is at {now:%Y-%m-%dT%H:%M:%SZ}",
            )
        scope = Scope(start_ms, end_ms, self._now_ms())
        found = _Query(str(uuid.uuid4()), text, groups, scope.now_ms, owner)
        with self._lock:
            running = sum(query.status in RUNNING for query in self._queries.values() if query.owner == owner)
            if running >= quotas.INSIGHTS_QUERIES_MAX:
                raise Refused("LimitExceededException", f"{running} queries are running")
            self._queries[found.id] = found
            while len(self._queries) > KEPT_QUERIES:
                del self._queries[next(iter(self._queries))]
        self._pool.submit(self._work, found, query, log.events(groups, start_ms, end_ms), scope, limit)
        return {"queryId": found.id}

    def _work(
        self, found: _Query, query: syntax.Query, events: Iterable[LogEvent], scope: Scope, limit: int | None
    ) -> None:
        if found.stop.is_set():
            return
        found.status = "Running"
        status = "Failed"
        try:
            found.answer = run(query, events, scope, limit, found.stop.is_set)
            status = "Complete"
        except Stopped:
            status = "Cancelled"
        except Exception:
            logger.exception("the query %s", found.text)
        with self._lock:
            found.took_ms = max(0, self._now_ms() - found.begun_ms)
            if found.status in RUNNING:
                found.status = status

    def results(self, request: dict[str, Any], owner: tuple[str, str]) -> dict[str, Any]:
        """GetQueryResults: no rows before the query is complete."""
        found = self._found(request, owner)
        most = request.get("maxItems")
        if most is not None and (not isinstance(most, int) or not 0 <= most <= quotas.INSIGHTS_PAGE_MAX):
            raise _invalid(f"maxItems must be from 0 to {quotas.INSIGHTS_PAGE_MAX}, not {most}")
        with self._lock:
            status, answer = found.status, found.answer if found.status == "Complete" else None
        begin = _from_token(request.get("nextToken"))
        rows = answer.rows if answer is not None else ()
        end = begin + (most or quotas.INSIGHTS_PAGE_MAX)
        told: dict[str, Any] = {
            "queryLanguage": "CWLI",
            "results": [[{"field": name, "value": value} for name, value in row] for row in rows[begin:end]],
            "statistics": {
                "recordsMatched": float(answer.records_matched if answer else 0),
                "recordsScanned": float(answer.records_scanned if answer else 0),
                "estimatedRecordsSkipped": 0.0,
                "bytesScanned": float(answer.bytes_scanned if answer else 0),
                "estimatedBytesSkipped": 0.0,
                "logGroupsScanned": float(len(found.groups)),
            },
            "status": status,
        }
        if end < len(rows):
            told["nextToken"] = _to_token(end)
        return told

    def stop(self, request: dict[str, Any], owner: tuple[str, str]) -> dict[str, Any]:
        """StopQuery."""
        found = self._found(request, owner)
        with self._lock:
            if found.status not in RUNNING:
                raise _invalid(f"the query {found.id} is not running: it is {found.status}")
            found.status = "Cancelled"
        found.stop.set()
        return {"success": True}

    def describe(self, request: dict[str, Any], owner: tuple[str, str]) -> dict[str, Any]:
        """DescribeQueries, the latest first."""
        most = request.get("maxResults", KEPT_QUERIES)
        if not isinstance(most, int) or not 1 <= most <= KEPT_QUERIES:
            raise _invalid(f"maxResults must be from 1 to {KEPT_QUERIES}, not {most}")
        group, status, language = (request.get(name) for name in ("logGroupName", "status", "queryLanguage"))
        with self._lock:
            mine = [query for query in self._queries.values() if query.owner == owner]
            asked = [
                query
                for query in reversed(mine)
                if (group is None or group in query.groups)
                and (status is None or status == query.status)
                and language in (None, "CWLI")
            ]
            begin = _from_token(request.get("nextToken"))
            told: dict[str, Any] = {"queries": [_described(query) for query in asked[begin : begin + most]]}
        if begin + most < len(asked):
            told["nextToken"] = _to_token(begin + most)
        return told

    def _found(self, request: dict[str, Any], owner: tuple[str, str]) -> _Query:
        query_id = request.get("queryId")
        with self._lock:
            found = self._queries.get(query_id) if isinstance(query_id, str) else None
        if found is None or found.owner != owner:
            raise Refused("ResourceNotFoundException", f"The specified query does not exist: {query_id}")
        return found


def _described(query: _Query) -> dict[str, Any]:
    return {
        "queryLanguage": "CWLI",
        "queryId": query.id,
        "queryString": query.text,
        "status": query.status,
        "createTime": query.begun_ms // 1000,
        "logGroupName": query.groups[0],
        "queryDuration": query.took_ms,
        "bytesScanned": float(query.answer.bytes_scanned if query.answer else 0),
    }


def _parsed(text: str) -> syntax.Query:
    try:
        return parse(text)
    except MalformedQuery as problem:
        location = {"startCharOffset": problem.start, "endCharOffset": problem.end}
        members = {"queryCompileError": {"location": location, "message": problem.message}}
        raise Refused("MalformedQueryException", problem.message, members) from problem


def _invalid(message: str) -> Refused:
    return Refused("InvalidParameterException", message)


def _instant_ms(request: dict[str, Any], name: str, last_ms: int) -> int:
    """Seconds, as the page says, or milliseconds, as AWS's own example sends: larger than any second of this age."""
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _invalid(f"{name} must be the number of seconds since 1970, not {value}")
    return value if value >= 100_000_000_000 else value * 1000 + last_ms


def _groups(request: dict[str, Any]) -> list[str]:
    """The names of the log groups that are asked for, by name or ARN."""
    given = [name for name in ("logGroupName", "logGroupNames", "logGroupIdentifiers") if request.get(name)]
    if len(given) != 1:
        raise _invalid("exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given")
    asked = request[given[0]]
    names = [asked] if isinstance(asked, str) else list(asked)
    if len(names) > quotas.INSIGHTS_LOG_GROUPS_MAX:
        raise _invalid(f"at most {quotas.INSIGHTS_LOG_GROUPS_MAX} log groups can be queried, not {len(names)}")
    return list(dict.fromkeys(str(name).partition(":log-group:")[2].removesuffix(":*") or str(name) for name in names))


def _to_token(at: int) -> str:
    return base64.b64encode(f"row {at}".encode()).decode()


def _from_token(token: Any) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(str(token), validate=True).decode().removeprefix("row "))
    except (binascii.Error, UnicodeDecodeError, ValueError) as problem:
        raise _invalid(f"nextToken {token} is none of the emulator's") from problem

"""A CloudWatch Logs that behaves as badly as AWS documents that it may, behind a real boto3 client.

Requests are those that botocore has validated and serialised; answers are written by hand, held against botocore's
model, and go through its parser. Nothing here was recorded from AWS.
"""

from __future__ import annotations

import json
import random
import threading
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from botocore.validate import validate_parameters

from serverless_lab.coldstarts.cloudwatch.pace import Pace
from serverless_lab.emulator.insights import discovery, evaluation
from serverless_lab.emulator.insights.parser import parse

CALLS_MAX = 5_000
"""Far more than any test needs. Where nobody waits, no time passes, and nothing else would end."""


@dataclass(frozen=True)
class Stored:
    """One event of the log. Answers show it from `visible_ms` on, by the virtual clock."""

    group: str
    stream: str
    timestamp_ms: int
    message: str
    event_id: str
    visible_ms: float = 0.0


class VirtualTime:
    """A clock that only waiting moves; threads may share it."""

    def __init__(self, now_ms: float = 0.0) -> None:
        self.now = now_ms
        self.waited: list[float] = []
        self._lock = threading.Lock()

    def now_ms(self) -> float:
        return self.now

    def sleep_ms(self, duration_ms: float) -> None:
        with self._lock:
            self.now += duration_ms
            self.waited.append(duration_ms)


class _Raw:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self.data


@dataclass
class LogService:
    """FilterLogEvents in order of time and StartQuery, with pages of any size, refusals, repeats and late events.

    `per_page` is the most events a page has; `refuses`, `empties` and `repeats` are how likely an answer is a
    throttle, an empty page before more, and a page that begins with the event the one before ended in. `gone_at` are
    the numbers of the calls at which nobody answers. `per_second` throttles whoever asks more often.
    """

    time: VirtualTime
    stored: list[Stored] = field(default_factory=list)
    per_page: int = 3
    refuses: float = 0.0
    empties: float = 0.0
    repeats: float = 0.0
    per_second: float | None = None
    gone_at: frozenset[int] = frozenset()
    gone_as: tuple[str, str] | None = None
    rows_max: int = 100_000
    query_polls: int = 1
    seed: int = 1
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: int = 0
    stopped: list[str] = field(default_factory=list)
    _queries: dict[str, dict[str, Any]] = field(default_factory=dict)
    _tokens: dict[str, tuple[dict[str, Any], tuple[int, str], dict[str, Any] | None]] = field(default_factory=dict)
    _answered_ms: list[float] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def put(self, group: str, stream: str, timestamp_ms: int, message: str, visible_ms: float = 0.0) -> None:
        self.stored.append(Stored(group, stream, timestamp_ms, message, f"{len(self.stored):056d}", visible_ms))

    def client(self) -> Any:
        made = boto3.client(
            "logs",
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )
        self._model = made.meta.service_model
        made.meta.events.register("before-send.logs.*", self._send)
        return made

    def pace(self, **options: Any) -> Pace:
        return Pace(now_ms=self.time.now_ms, sleep_ms=self.time.sleep_ms, draw=self._chance.random, **options)

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.calls)

    # --- answering ---------------------------------------------------------------------------------------------------

    def _send(self, request: Any, **_: Any) -> AWSResponse:
        operation = request.headers["X-Amz-Target"].decode().rsplit(".", 1)[-1]
        with self._lock:
            self.calls.append((operation, json.loads(request.body)))
            assert len(self.calls) < CALLS_MAX, "asked without end"
            if len(self.calls) in self.gone_at and self.gone_as is not None:
                code, message = self.gone_as
                return self._answer(500 if code == "InternalFailure" else 400, {"__type": code, "message": message})
            if len(self.calls) in self.gone_at:
                raise EndpointConnectionError(endpoint_url=request.url)
            if self._is_throttled():
                self.refused += 1
                return self._answer(400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
            status, answer = getattr(self, f"_{operation}")(json.loads(request.body))
        if status == 200:
            validate_parameters(answer, self._model.operation_model(operation).output_shape)
        return self._answer(status, answer)

    def _answer(self, status: int, answer: dict[str, Any]) -> AWSResponse:
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": "x"}
        return AWSResponse("https://logs.eu-west-1.amazonaws.com/", status, headers, _Raw(json.dumps(answer).encode()))

    def _is_throttled(self) -> bool:
        if self.per_second is not None:
            now = self.time.now
            self._answered_ms = [ms for ms in self._answered_ms if ms > now - 1000]
            if len(self._answered_ms) >= self.per_second:
                return True
            self._answered_ms.append(now)
        return self._chance.random() < self.refuses

    def _visible(self, group: str, start_ms: int, end_ms: int) -> list[Stored]:
        found = [
            event
            for event in self.stored
            if event.group == group and start_ms <= event.timestamp_ms <= end_ms and event.visible_ms <= self.time.now
        ]
        return sorted(found, key=lambda event: (event.timestamp_ms, event.event_id))

    def _FilterLogEvents(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if all(event.group != request["logGroupName"] for event in self.stored):
            return 400, {"__type": "ResourceNotFoundException", "message": "The specified log group does not exist."}
        # A token says behind which event reading goes on, whatever has arrived meanwhile.
        behind, last = (-1, ""), None
        asked = {name: value for name, value in request.items() if name != "nextToken"}
        if "nextToken" in request:
            of, behind, last = self._tokens[request["nextToken"]]
            assert of == asked, "a token goes on with the request that it was given for"
        names = request.get("logStreamNames")
        found = [
            event
            for event in self._visible(request["logGroupName"], request["startTime"], request["endTime"])
            if (names is None or event.stream in names) and (event.timestamp_ms, event.event_id) > behind
        ]
        page: list[dict[str, Any]] = []
        if last is not None and self._chance.random() < self.repeats:
            page.append(last)
        if self._chance.random() >= self.empties:
            size = self._chance.randint(1, self.per_page)
            page += [self._item(event) for event in found[:size]]
            found, behind = found[size:], max([behind, *((e.timestamp_ms, e.event_id) for e in found[:size])])
        answer: dict[str, Any] = {"events": page, "searchedLogStreams": []}
        # A last page may be followed by an empty one.
        if found or self._chance.random() < self.empties:
            token = f"token-{len(self._tokens)}"
            self._tokens[token] = asked, behind, page[-1] if page else last
            answer["nextToken"] = token
        return 200, answer

    def _item(self, event: Stored) -> dict[str, Any]:
        return {
            "logStreamName": event.stream,
            "timestamp": event.timestamp_ms,
            "message": event.message,
            "ingestionTime": event.timestamp_ms + 900,
            "eventId": event.event_id,
        }

    def _StartQuery(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if all(event.group != request["logGroupName"] for event in self.stored):
            return 400, {"__type": "ResourceNotFoundException", "message": "The specified log group does not exist."}
        start_ms, end_ms = request["startTime"] * 1000, request["endTime"] * 1000
        events = [
            discovery.LogEvent(
                event.timestamp_ms, event.timestamp_ms, event.message, event.group, event.stream, str(at)
            )
            for at, event in enumerate(self._visible(request["logGroupName"], start_ms, end_ms))
        ]
        # Of one instant the order is anybody's guess.
        self._chance.shuffle(events)
        query = parse(request["queryString"])
        scope = evaluation.Scope(start_ms, end_ms, int(self.time.now))
        answer = evaluation.run(query, events, scope, min(request["limit"], self.rows_max))
        query_id = f"00000000-0000-4000-8000-{len(self._queries):012d}"
        self._queries[query_id] = {"answer": answer, "polls": self.query_polls}
        return 200, {"queryId": query_id}

    def _GetQueryResults(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        query = self._queries[request["queryId"]]
        if query["polls"]:
            query["polls"] -= 1
            return 200, {"status": "Running", "results": []}
        answer = query["answer"]
        at = int(request.get("nextToken", "0"))
        rows = answer.rows[at : at + self.per_page]
        told: dict[str, Any] = {
            "status": "Complete",
            "results": [[{"field": name, "value": value} for name, value in row] for row in rows],
            "statistics": {
                "recordsMatched": float(answer.records_matched),
                "recordsScanned": float(answer.records_scanned),
                "bytesScanned": float(answer.bytes_scanned),
            },
        }
        if at + self.per_page < len(answer.rows):
            told["nextToken"] = str(at + self.per_page)
        return 200, told

    def _StopQuery(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.stopped.append(request["queryId"])
        return 200, {"success": True}

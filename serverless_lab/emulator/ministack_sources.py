"""Event source mappings of MiniStack's queues and streams: reads, invokes and acts on `event_sources`' rules.

Mappings are looked at when something was written, when a message becomes visible, when a batching window ends, when a
retry is due: each a timer of the clock. Looking takes no time and happens on the event loop, between requests; every
batch is carried by a thread and an actor of its own. One lock guards what is known of mappings.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from serverless_lab import quotas
from serverless_lab.emulator.clock import Actor, Clock
from serverless_lab.emulator.event_sources import MappingConfig, is_enabled
from serverless_lab.emulator.ministack_async import on_event_loop, start_actor
from serverless_lab.emulator.ministack_time import carried_actor, scope

logger = logging.getLogger(__name__)

Mapping = dict[str, Any]
"""MiniStack's record of an event source mapping."""

SUCCEEDED = "OK"
FAILED = "PROBLEM: Function call failed"
"""LastProcessingResult of a mapping, in AWS's words."""


QUEUES, STREAMS = KINDS = (":sqs:", ":dynamodb:")
"""What tells in an event source's ARN of which kind it is."""


class Reader(Protocol):
    """Reads one event source for one mapping; all calls come one at a time."""

    def look(self, now_ms: float) -> None:
        """Take what can be taken now, and see to it that it is looked again when there will be more."""


@dataclass(frozen=True)
class Tools:
    """What readers act with."""

    clock: Clock
    new_request_id: Callable[[], str]
    lock: threading.RLock
    look_at: Callable[[str, float], None]
    """(mapping id, ms): looks at that mapping then, unless it is looked at earlier."""

    def carry(self, at_ms: float, run: Callable[[Actor], None]) -> None:
        start_actor(self.clock, at_ms, run)


class EventSources:
    """All mappings of queues and DynamoDB streams."""

    def __init__(self, clock: Clock, new_request_id: Callable[[], str]) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._tools = Tools(clock, new_request_id, self._lock, self._look_at)
        self._readers: dict[str, Reader] = {}
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self._woken: set[str] = set()
        """Kinds of sources that are going to be looked at, because something was written."""

    def install(self) -> None:
        from ministack.core import concurrency
        from ministack.services import lambda_svc

        lambda_svc._poll_sqs = lambda: False
        lambda_svc._poll_dynamodb_streams = lambda: False
        wake_kinesis, ensure_poller = concurrency.esm_wake.set, lambda_svc._ensure_poller

        def written() -> None:
            wake_kinesis()
            self.wake()

        def created() -> None:
            ensure_poller()
            self.wake()

        concurrency.esm_wake.set = written
        lambda_svc._ensure_poller = created
        lambda_svc._create_esm = checked(lambda_svc._create_esm)
        lambda_svc._update_esm = self._waking(lambda_svc._update_esm)

    def wake(self) -> None:
        """Something was written that a mapping may read, or a mapping has changed."""
        actor = carried_actor.get()
        now_ms = self._clock.now_ms() if actor is None else actor.at_ms
        with self._lock:
            sources = {kind for kind in KINDS for _, _, mapping in mappings() if kind in mapping["EventSourceArn"]}
            kinds = sources - self._woken  # the others are going to be looked at anyway
            self._woken |= kinds
        for kind in kinds:
            # Certain to happen, so it drives time.
            self._at(_next_look_ms(kind, now_ms), functools.partial(self._look_at_all, kind), lazy=False)

    def _at(self, at_ms: float, look: Callable[[float], None], *, lazy: bool) -> Callable[[], None]:
        """Call `look` then, on the event loop: what a request writes is seen whole; gives a way to cancel it."""

        return self._clock.call_at(
            at_ms, lambda now_ms: on_event_loop(self._clock, now_ms, lambda: look(now_ms)), lazy=lazy
        )

    def _waking(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def update_and_wake(esm_id: str, data: dict[str, Any]) -> Any:
            answer = update(esm_id, data)
            self.wake()
            return answer

        return update_and_wake

    def _look_at_all(self, kind: str, now_ms: float) -> None:
        with self._lock:
            self._woken.discard(kind)
            known = set()
            for account, region, mapping in mappings():
                known.add(mapping["UUID"])
                if kind in str(mapping.get("EventSourceArn", "")):
                    self._look(account, region, mapping, now_ms)
            for gone in [mapping_id for mapping_id in self._readers if mapping_id not in known]:
                del self._readers[gone]
                self._cancel(gone)

    def _look_at(self, mapping_id: str, at_ms: float) -> None:
        """A mere timer: nothing is certain to happen then, so it does not drive time."""
        with self._lock:
            due = self._timers.get(mapping_id)
            if due is not None and due[0] <= at_ms:
                return
            self._cancel(mapping_id)
            cancel = self._at(at_ms, functools.partial(self._look_again, mapping_id), lazy=True)
            self._timers[mapping_id] = at_ms, cancel

    def _cancel(self, mapping_id: str) -> None:
        due = self._timers.pop(mapping_id, None)
        if due is not None:
            due[1]()

    def _look_again(self, mapping_id: str, now_ms: float) -> None:
        with self._lock:
            self._timers.pop(mapping_id, None)
            for account, region, mapping in mappings():
                if mapping["UUID"] == mapping_id:
                    self._look(account, region, mapping, now_ms)

    def _look(self, account: str, region: str, mapping: Mapping, now_ms: float) -> None:
        try:
            with scope(account, region):
                reader = self._readers.get(mapping["UUID"])
                if reader is None:
                    reader = self._readers[mapping["UUID"]] = self._reader(mapping)
                reader.look(now_ms)
        except Exception:
            # One broken mapping must not keep the others from being looked at.
            logger.exception("event source mapping %s", mapping["UUID"])

    def _reader(self, mapping: Mapping) -> Reader:
        from serverless_lab.emulator.ministack_queues import QueueReader
        from serverless_lab.emulator.ministack_streams import StreamReader

        queue = QUEUES in str(mapping["EventSourceArn"])
        return QueueReader(mapping, self._tools) if queue else StreamReader(mapping, self._tools)


def _next_look_ms(kind: str, now_ms: float) -> float:
    if kind == QUEUES:
        return now_ms + quotas.SQS_POLL_LATENCY_MS
    period = quotas.STREAM_POLL_PERIOD_MS
    return (math.floor(now_ms / period) + 1) * period


def mappings() -> Iterator[tuple[str, str, Mapping]]:
    """(account, region, mapping) of every mapping of a queue or a DynamoDB stream."""
    from ministack.services import lambda_svc

    for account, region, mapping in lambda_svc._iter_all_esms():
        source = str(mapping.get("EventSourceArn", ""))
        if QUEUES in source or (STREAMS in source and "/stream/" in source):
            yield account, region, mapping


def is_alive(mapping: Mapping) -> bool:
    """Whether a mapping is there, enabled, and has a function to invoke."""
    from ministack.services import lambda_svc

    return is_enabled(mapping) and mapping["UUID"] in lambda_svc._esms and function_of(mapping) is not None


def function_of(mapping: Mapping) -> dict[str, Any] | None:
    """The record to execute for a mapping's function, version or alias; None when it is gone."""
    from ministack.services import lambda_svc

    func, config = lambda_svc._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
    if func is None or config is None:
        return None
    record: dict[str, Any] = lambda_svc._execution_record_for_config(
        func, {**config, "FunctionArn": mapping["FunctionArn"]}
    )
    return record


def filtered(events: list[dict[str, Any]], mapping: Mapping) -> list[dict[str, Any]]:
    """Those that the mapping's filter criteria let through, in order."""
    from ministack.services import lambda_svc

    found: list[dict[str, Any]] = lambda_svc._apply_filter_criteria(events, mapping)
    return found


def epoch_s() -> float:
    """The calendar time that MiniStack's services see."""
    from ministack.services import sqs

    found: float = sqs.time.time()
    return found


def checked(create: Callable[..., Any]) -> Callable[..., Any]:
    """CreateEventSourceMapping with the defaults a stream has, and without what AWS refuses."""

    def create_checked(data: dict[str, Any]) -> Any:
        from ministack.core.responses import error_response_json

        source = str(data.get("EventSourceArn", ""))
        if QUEUES not in source:
            defaults = {
                "BatchSize": quotas.STREAM_BATCH_SIZE_DEFAULT,
                "MaximumRetryAttempts": -1,
                "MaximumRecordAgeInSeconds": -1,
                "BisectBatchOnFunctionError": False,
                "ParallelizationFactor": 1,
                "DestinationConfig": {"OnFailure": {}},
            }
            return create({**defaults, **data})
        config = MappingConfig.of(data)
        if config.batch_size > quotas.SQS_RECEIVE_MAX_MESSAGES and config.window_ms == 0:
            # recorded: LocalStack's tests of SQS event source mappings, run on AWS.
            message = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
            return error_response_json("InvalidParameterValueException", message, 400)
        return create(data)

    return create_checked

"""Event source mappings as rules: which records make a batch, and what becomes of it. No clock and no I/O.

    queue    batches are gathered from messages that have been received (`GatheredBatch`). What the function did not
             handle is simply left: the queue shows it again after its visibility timeout, and moves it on in the end
    stream   each lane (a shard, or a share of one under ParallelizationFactor) works in order: a batch that fails is
             tried again before anything after it is read (`Lane`), until its retries or its records are used up

A function may report which items of a batch failed (`failed_items`, `first_failure`).

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from serverless_lab import quotas
from serverless_lab.emulator.asynchronous import Answer, Ending, iso_timestamp, response_context

REPORT_BATCH_ITEM_FAILURES = "ReportBatchItemFailures"


@dataclass(frozen=True)
class MappingConfig:
    """What an event source mapping asks for; `None` where nothing limits."""

    batch_size: int
    window_ms: float = 0.0
    reports_failures: bool = False
    maximum_concurrency: int | None = None
    """Of a queue."""
    maximum_retry_attempts: int | None = None
    maximum_record_age_ms: float | None = None
    bisects: bool = False
    lanes: int = 1
    on_failure: str | None = None

    @classmethod
    def of(cls, mapping: Mapping[str, Any]) -> MappingConfig:
        """From the API's or a template's words; a template may say numbers and truth as text."""
        queue = ":sqs:" in str(mapping.get("EventSourceArn", ""))
        default = quotas.SQS_BATCH_SIZE_DEFAULT if queue else quotas.STREAM_BATCH_SIZE_DEFAULT
        age_s = _limit(mapping.get("MaximumRecordAgeInSeconds"))
        return cls(
            batch_size=int(mapping.get("BatchSize") or default),
            window_ms=float(mapping.get("MaximumBatchingWindowInSeconds") or 0) * 1000,
            reports_failures=REPORT_BATCH_ITEM_FAILURES in (mapping.get("FunctionResponseTypes") or ()),
            maximum_concurrency=_limit((mapping.get("ScalingConfig") or {}).get("MaximumConcurrency")),
            maximum_retry_attempts=_limit(mapping.get("MaximumRetryAttempts")),
            maximum_record_age_ms=None if age_s is None else age_s * 1000.0,
            bisects=str(mapping.get("BisectBatchOnFunctionError") or "").lower() == "true",
            lanes=min(int(mapping.get("ParallelizationFactor") or 1), quotas.PARALLELIZATION_FACTOR_MAX),
            on_failure=((mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination") or None,
        )


def is_enabled(mapping: Mapping[str, Any]) -> bool:
    return str(mapping.get("Enabled", True)).lower() != "false"


# Queues ------------------------------------------------------------------------------------------------------


def queue_concurrency(config: MappingConfig, active_ms: float) -> int:
    """How many batches of a queue may be in work at once, `active_ms` after it became active.

    documented: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
    """
    grown = quotas.SQS_CONCURRENCY_FIRST + math.floor(quotas.SQS_CONCURRENCY_PER_MINUTE * active_ms / 60_000)
    most = quotas.SQS_CONCURRENCY_MAX if config.maximum_concurrency is None else config.maximum_concurrency
    return min(grown, most)


@dataclass
class GatheredBatch:
    """Messages that have been received for one invocation. `opened_ms`: when the first of them was."""

    opened_ms: float
    items: list[Any] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, item: Any, size_bytes: int) -> None:
        self.items.append(item)
        self.size_bytes += size_bytes

    def room(self, config: MappingConfig) -> int:
        return 0 if self.size_bytes >= quotas.PAYLOAD_MAX_BYTES else config.batch_size - len(self.items)

    def is_due(self, config: MappingConfig, now_ms: float) -> bool:
        """Whether it is full, or its batching window is over."""
        return self.room(config) <= 0 or now_ms >= self.opened_ms + config.window_ms


def failed_items(config: MappingConfig, answer: Answer, identifiers: Sequence[str]) -> frozenset[str]:
    """Which messages of a batch are to come back.

    documented: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#sqs-batchfailurereporting-conditions
    """
    everything = frozenset(identifiers)
    if answer.ending is not Ending.SUCCEEDED:
        return everything
    reported = _reported(config, answer)
    if reported is None or not set(reported) <= everything:
        return everything
    return frozenset(item for item in reported if item is not None)


# Streams -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StreamRecord:
    """One record of a stream. `event` is what the function is given, `created_ms` on the clock of the rules."""

    sequence_number: str
    created_ms: float
    event: dict[str, Any]
    size_bytes: int = 0


@dataclass(frozen=True)
class StreamBatch:
    """Records that are sent together. `invocations`: how often the function ran for exactly these."""

    records: tuple[StreamRecord, ...]
    invocations: int = 0
    refusals: int = 0
    answer: Answer | None = None


@dataclass(frozen=True)
class Discarded:
    """Records that are given up, and why."""

    batch: StreamBatch
    condition: str


@dataclass(frozen=True)
class Step:
    """What a lane does next: sends `batch`, or looks again at `look_again_ms`; None where only news can wake it.

    `taken`: how many of the records it was shown it has taken. `discarded`: what is given up before that.
    """

    batch: StreamBatch | None = None
    look_again_ms: float | None = None
    taken: int = 0
    discarded: Discarded | None = None


@dataclass
class Lane:
    """A reader that keeps order: at most one batch of it is in work.

    Args:
        retention_ms: how long the stream keeps a record.
    """

    retention_ms: float = quotas.DYNAMODB_STREAM_RETENTION_MS
    busy: bool = False
    waiting: list[StreamBatch] = field(default_factory=list)
    """Batches that come before anything new: to be tried again, or halves of one that failed."""
    retry_at_ms: float = 0.0
    opened_ms: float | None = None
    """When the first record of the next batch was seen."""

    def next(self, available: Sequence[StreamRecord], config: MappingConfig, now_ms: float) -> Step:
        """What to do now. `available` are the records that follow what it has taken so far, oldest first."""
        if self.busy:
            return Step()
        if self.waiting:
            if now_ms < self.retry_at_ms:
                return Step(look_again_ms=self.retry_at_ms)
            return self._begin(self.waiting.pop(0), 0, config, now_ms)
        chosen = self._chosen(available, config)
        if not chosen:
            return Step()
        self.opened_ms = now_ms if self.opened_ms is None else self.opened_ms
        full = len(chosen) == config.batch_size or len(chosen) < len(available)
        if not full and now_ms < self.opened_ms + config.window_ms:
            return Step(look_again_ms=self.opened_ms + config.window_ms)
        self.opened_ms = None
        return self._begin(StreamBatch(chosen), len(chosen), config, now_ms)

    def ended(self, batch: StreamBatch, answer: Answer, config: MappingConfig, now_ms: float) -> Discarded | None:
        """The batch in work has ended so; what is to be given up because of it."""
        self.busy = False
        if answer.ending is Ending.THROTTLED:
            self._retry(replace(batch, refusals=batch.refusals + 1), batch.refusals, now_ms)
            return None
        ran = replace(batch, invocations=batch.invocations + 1, refusals=0, answer=answer)
        failed_at = first_failure(config, answer, batch.records)
        if failed_at is None:
            return None
        if failed_at > 0:
            # Progress: what comes before is done, the rest is a batch of its own with all its retries, at once.
            # recorded: LocalStack's test_dynamodb_report_batch_item_failures, run on AWS.
            self.waiting.insert(0, StreamBatch(batch.records[failed_at:], answer=answer))
            self.retry_at_ms = now_ms
            return None
        if config.bisects and len(batch.records) > 1:
            middle = (len(batch.records) + 1) // 2
            self._retry(StreamBatch(batch.records[:middle]), 0, now_ms)
            self.waiting.insert(1, StreamBatch(batch.records[middle:]))
            return None
        attempts = config.maximum_retry_attempts
        if attempts is not None and ran.invocations > attempts:
            return Discarded(ran, "RetryAttemptsExhausted")
        self._retry(ran, ran.invocations - 1, now_ms)
        return None

    def _chosen(self, available: Sequence[StreamRecord], config: MappingConfig) -> tuple[StreamRecord, ...]:
        chosen: list[StreamRecord] = []
        size = 0
        for record in available[: config.batch_size]:
            size += record.size_bytes
            if chosen and size > quotas.PAYLOAD_MAX_BYTES:
                break
            chosen.append(record)
        return tuple(chosen)

    def _begin(self, batch: StreamBatch, taken: int, config: MappingConfig, now_ms: float) -> Step:
        """Send the batch, without the records at its head that have become too old."""
        age_ms = self.retention_ms
        if config.maximum_record_age_ms is not None:
            age_ms = min(age_ms, config.maximum_record_age_ms)
        old = 0
        while old < len(batch.records) and now_ms - batch.records[old].created_ms > age_ms:
            old += 1
        discarded = None
        if old:
            discarded = Discarded(replace(batch, records=batch.records[:old]), "RecordAgeExceeded")
            batch = replace(batch, records=batch.records[old:])
        if not batch.records:
            return Step(look_again_ms=now_ms, taken=taken, discarded=discarded)
        self.busy = True
        return Step(batch, taken=taken, discarded=discarded)

    def _retry(self, batch: StreamBatch, failures: int, now_ms: float) -> None:
        delay_ms = min(quotas.STREAM_RETRY_FIRST_MS * 2.0 ** min(failures, 30), quotas.STREAM_RETRY_MAX_MS)
        self.waiting.insert(0, batch)
        self.retry_at_ms = now_ms + delay_ms


def first_failure(config: MappingConfig, answer: Answer, records: Sequence[StreamRecord]) -> int | None:
    """The place of the record from which on a batch is to be tried again; None when all of it is done.

    documented: https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
    """
    if answer.ending is not Ending.SUCCEEDED:
        return 0
    reported = _reported(config, answer)
    if reported is not None and not reported:
        return None
    places = {record.sequence_number: place for place, record in enumerate(records)}
    if reported is None or any(item not in places for item in reported):
        return 0
    return min(places[item] for item in reported if item is not None)


def lane_of(keys: Mapping[str, Any], lanes: int) -> int:
    """Which lane an item's records go to: always the same, so that their order is kept."""
    return zlib.crc32(json.dumps(keys, sort_keys=True).encode()) % lanes if lanes > 1 else 0


def stream_failure_record(
    discarded: Discarded, *, request_id: str, function_arn: str, epoch_ms: int, position: dict[str, Any], name: str
) -> dict[str, Any]:
    """What an on-failure destination is sent: where the records are in the stream, not the records.

    documented: https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html

    Args:
        position: shard, sequence numbers and times, under `name` ("DDBStreamBatchInfo").
    """
    batch = discarded.batch
    record: dict[str, Any] = {
        "requestContext": {
            "requestId": request_id,
            "functionArn": function_arn,
            "condition": discarded.condition,
            "approximateInvokeCount": batch.invocations,
        },
    }
    if batch.answer is not None:
        # recorded: null where the function did answer, but reported failed items (LocalStack's snapshots from AWS).
        record["responseContext"] = {"functionError": None} | response_context(batch.answer)
    return record | {"version": "1.0", "timestamp": iso_timestamp(epoch_ms), name: position}


def _reported(config: MappingConfig, answer: Answer) -> list[str | None] | None:
    """The identifiers of the items that a function's answer says failed; None for an answer in another form."""
    if not config.reports_failures:
        return []
    try:
        said = json.loads(answer.payload) if answer.payload else None
    except ValueError:
        return None
    if said is None:
        return []
    if not isinstance(said, dict):
        return None
    failures = said.get("batchItemFailures")
    if failures is None:
        return []
    if not isinstance(failures, list):
        return None
    found: list[str | None] = []
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if not isinstance(identifier, str) or not identifier:
            return None
        found.append(identifier)
    return found


def _limit(value: Any) -> int | None:
    """A number of the API where -1, "" and nothing at all mean that there is no limit."""
    return None if value in (None, "", -1, "-1") else int(value)

"""Asynchronous invocations as rules: what becomes of an event in the queue, with no clock and no I/O.

Lambda keeps an event until the function has handled it, has failed too often, or the event is too old:

    function error      tried again after 1 minute, then after 2 more, at most MaximumRetryAttempts times
    throttle or system  tried again after 1 s, doubling up to 5 minutes, until MaximumEventAgeInSeconds
    discarded           to the dead-letter queue as it is, to the OnFailure destination with a record of what happened
    handled             to the OnSuccess destination

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeAlias

from serverless_lab import quotas


class Ending(Enum):
    SUCCEEDED = "succeeded"
    FUNCTION_ERROR = "function error"
    THROTTLED = "throttled"
    """The function did not run. A system error of Lambda's own counts as the same."""


@dataclass(frozen=True)
class Answer:
    """How one attempt ended. `payload` is JSON where the function answered with JSON."""

    ending: Ending
    payload: bytes = b"null"
    function_error: str | None = None
    executed_version: str = "$LATEST"


@dataclass(frozen=True)
class EventInvokeConfig:
    """What PutFunctionEventInvokeConfig and the function's dead-letter queue say; targets are ARNs."""

    maximum_retry_attempts: int = quotas.MAXIMUM_RETRY_ATTEMPTS_DEFAULT
    maximum_event_age_ms: float = quotas.MAXIMUM_EVENT_AGE_DEFAULT_S * 1000.0
    on_success: str | None = None
    on_failure: str | None = None
    dead_letter_queue: str | None = None
    accepts_nothing: bool = False
    """Reserved concurrency is 0: events are discarded without an attempt."""


@dataclass(frozen=True)
class QueuedEvent:
    """An event that waits for its next attempt.

    Args:
        request_id: the same for every attempt.
        function_arn: with the qualifier that was invoked, if any.
        payload: the event, as JSON.
        queued_at_ms: when it came in.
        invocations: how often the function ran for it.
        refusals: how often in a row it could not run.
        answer: of the last time it ran.
    """

    request_id: str
    function_arn: str
    payload: bytes
    queued_at_ms: float
    invocations: int = 0
    refusals: int = 0
    answer: Answer | None = None


@dataclass(frozen=True)
class InvokeAt:
    """The next attempt."""

    event: QueuedEvent
    at_ms: float


@dataclass(frozen=True)
class SendRecord:
    """A record of the invocation for a destination."""

    target_arn: str
    record: dict[str, Any]


@dataclass(frozen=True)
class SendToDeadLetterQueue:
    """The event as it is, with what is known of its failure as message attributes."""

    target_arn: str
    body: bytes
    attributes: dict[str, dict[str, str]]


Command: TypeAlias = InvokeAt | SendRecord | SendToDeadLetterQueue


def accepted(event: QueuedEvent, config: EventInvokeConfig, epoch_ms: int) -> list[Command]:
    """What to do with an event that comes in now."""
    if config.accepts_nothing:
        return _discard(event, config, "ZeroReservedConcurrency", epoch_ms)
    return [InvokeAt(event, event.queued_at_ms)]


def answered(
    event: QueuedEvent, answer: Answer, config: EventInvokeConfig, now_ms: float, epoch_ms: int
) -> list[Command]:
    """What to do after an attempt that ended at `now_ms`; `epoch_ms` is the calendar time of that."""
    if answer.ending is Ending.THROTTLED:
        if config.accepts_nothing:
            return _discard(event, config, "ZeroReservedConcurrency", epoch_ms)
        refused = replace(event, refusals=event.refusals + 1)
        return _again(refused, refused_retry_delay_ms(refused.refusals), config, now_ms, epoch_ms)
    ran = replace(event, invocations=event.invocations + 1, refusals=0, answer=answer)
    if answer.ending is Ending.SUCCEEDED:
        record = invocation_record(ran, "Success", epoch_ms)
        return [] if config.on_success is None else [SendRecord(config.on_success, record)]
    retries = ran.invocations - 1
    if retries >= min(config.maximum_retry_attempts, len(quotas.ASYNC_RETRY_DELAYS_MS)):
        return _discard(ran, config, "RetriesExhausted", epoch_ms)
    return _again(ran, quotas.ASYNC_RETRY_DELAYS_MS[retries], config, now_ms, epoch_ms)


def refused_retry_delay_ms(refusals: int) -> float:
    """How long to wait after the nth throttle in a row."""
    growth = quotas.ASYNC_REFUSED_RETRY_FACTOR ** min(refusals - 1, 30)
    return min(quotas.ASYNC_REFUSED_RETRY_FIRST_MS * growth, quotas.ASYNC_REFUSED_RETRY_MAX_MS)


def invocation_record(event: QueuedEvent, condition: str, epoch_ms: int) -> dict[str, Any]:
    """What a destination is sent: format version 1.0.

    documented: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#destination-example-record
    """
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": iso_timestamp(epoch_ms),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": qualified_arn(event.function_arn),
            "condition": condition,
            "approximateInvokeCount": event.invocations,
        },
        "requestPayload": parsed(event.payload),
    }
    if event.answer is not None:
        record["responseContext"] = response_context(event.answer)
        record["responsePayload"] = parsed(event.answer.payload)
    return record


def response_context(answer: Answer) -> dict[str, Any]:
    context: dict[str, Any] = {"statusCode": 200, "executedVersion": answer.executed_version}
    if answer.function_error is not None:
        context["functionError"] = answer.function_error
    return context


def dead_letter_attributes(event: QueuedEvent) -> dict[str, dict[str, str]]:
    """RequestID, ErrorCode (the HTTP status) and ErrorMessage, as SQS and SNS take them."""
    if event.answer is None:
        code, message = "429", "Rate Exceeded."
    else:
        code, payload = "200", parsed(event.answer.payload)
        said = payload.get("errorMessage") if isinstance(payload, dict) else None
        message = said if isinstance(said, str) else event.answer.payload.decode("utf-8", "replace")
    cut = message.encode()[: quotas.DEAD_LETTER_ERROR_MESSAGE_MAX_BYTES].decode("utf-8", "ignore")
    attributes = {
        "RequestID": {"DataType": "String", "StringValue": event.request_id},
        "ErrorCode": {"DataType": "Number", "StringValue": code},
    }
    # An attribute must not be empty.
    return attributes | ({"ErrorMessage": {"DataType": "String", "StringValue": cut}} if cut else {})


def qualified_arn(function_arn: str) -> str:
    """The ARN with a qualifier: $LATEST where it has none."""
    return function_arn if function_arn.count(":") >= 7 else f"{function_arn}:$LATEST"


def iso_timestamp(epoch_ms: float) -> str:
    moment = datetime.datetime.fromtimestamp(epoch_ms / 1000, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def parsed(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")


def _again(
    event: QueuedEvent, delay_ms: float, config: EventInvokeConfig, now_ms: float, epoch_ms: int
) -> list[Command]:
    """Another attempt after `delay_ms`; but an event that would be too old by then is discarded at once.

    recorded: LocalStack's test_maxeventage, run on AWS (see tests/fidelity/test_async.py).
    """
    at_ms = now_ms + delay_ms
    if at_ms > event.queued_at_ms + config.maximum_event_age_ms:
        return _discard(event, config, "EventAgeExceeded", epoch_ms)
    return [InvokeAt(event, at_ms)]


def _discard(event: QueuedEvent, config: EventInvokeConfig, condition: str, epoch_ms: int) -> list[Command]:
    commands: list[Command] = []
    if config.dead_letter_queue is not None:
        attributes = dead_letter_attributes(event)
        commands.append(SendToDeadLetterQueue(config.dead_letter_queue, event.payload, attributes))
    if config.on_failure is not None:
        commands.append(SendRecord(config.on_failure, invocation_record(event, condition, epoch_ms)))
    return commands

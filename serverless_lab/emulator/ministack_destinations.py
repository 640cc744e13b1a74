"""Where Lambda sends what became of an invocation: destinations and dead-letter queues in MiniStack.

As on AWS a delivery that fails is not tried again and reaches nobody but the log.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

import datetime
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

Attributes = dict[str, dict[str, str]]
InvokeAsynchronously = Callable[[str, Any], None]
"""(function ARN, event)."""


def deliver(
    target_arn: str, record: dict[str, Any], *, source_arn: str, object_prefix: str, invoke: InvokeAsynchronously
) -> None:
    """Send `record` to a queue, topic, function, event bus or bucket. Runs in the account and region of the function.

    Args:
        source_arn: the function's, as an event on a bus names it.
        object_prefix: what the name of an object in a bucket begins with.
        invoke: invokes a function.
    """
    service = (target_arn.split(":") + [""] * 3)[2]
    try:
        match service:
            case "sqs" | "sns":
                send_message(target_arn, json.dumps(record), {})
            case "lambda":
                invoke(target_arn, record)
            case "events":
                _put_event(target_arn, record, source_arn)
            case "s3":
                _put_object(target_arn, record, object_prefix)
            case _:
                raise DeliveryFailed("no destination of a kind that Lambda knows")
    except DeliveryFailed as problem:
        logger.warning("destination %s of %s: %s", target_arn, source_arn, problem)


def dead_letter(target_arn: str, body: str, attributes: Attributes) -> None:
    """Send an event as it is to a dead-letter queue or topic."""
    try:
        send_message(target_arn, body, attributes)
    except DeliveryFailed as problem:
        logger.warning("dead-letter queue %s: %s", target_arn, problem)


class DeliveryFailed(Exception):
    """The target is not there, or refuses."""


def send_message(target_arn: str, body: str, attributes: Attributes) -> None:
    """Send to a standard queue or a standard topic."""
    from ministack.services import sns, sqs

    if target_arn.endswith(".fifo"):
        raise DeliveryFailed("FIFO queues and topics are not supported")
    if target_arn.split(":")[2] == "sqs":
        if sqs._queue_by_arn(target_arn) is None:
            raise DeliveryFailed("the queue does not exist")
        url = sqs._queue_url(target_arn.rsplit(":", 1)[1])
        try:
            sqs._act_send_message({"QueueUrl": url, "MessageBody": body, "MessageAttributes": attributes}, url)
        except sqs._Err as problem:
            raise DeliveryFailed(str(problem)) from problem
        return
    try:
        published = sns.publish_internal(target_arn, body, message_attributes=attributes)
    except sns.SnsPublishError as problem:
        raise DeliveryFailed(str(problem)) from problem
    if published is None:
        raise DeliveryFailed("the topic does not exist")


def _put_event(bus_arn: str, record: dict[str, Any], source_arn: str) -> None:
    from ministack.services import eventbridge

    succeeded = record["requestContext"]["condition"] == "Success"
    entry = {
        "Source": "lambda",
        "DetailType": f"Lambda Function Invocation Result - {'Success' if succeeded else 'Failure'}",
        "Detail": json.dumps(record),
        "EventBusName": bus_arn,
        "Resources": [bus_arn, source_arn],
    }
    _, _, body = eventbridge._put_events({"Entries": [entry]})
    (result,) = json.loads(body)["Entries"]
    if "ErrorMessage" in result:
        raise DeliveryFailed(result["ErrorMessage"])


def _put_object(bucket_arn: str, record: dict[str, Any], prefix: str) -> None:
    from ministack.services import s3

    moment = datetime.datetime.fromisoformat(record["timestamp"])
    key = f"{prefix}/{moment:%Y/%m/%d}/{moment:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
    bucket = bucket_arn.rsplit(":", 1)[1]
    status, _, body = s3._put_object(bucket, key, json.dumps(record).encode(), {"content-type": "application/json"})
    if status >= 300:
        raise DeliveryFailed(body.decode("utf-8", "replace"))

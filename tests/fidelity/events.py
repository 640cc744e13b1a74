"""Queues, events and what a function's log says of them: what tests of asynchronous invocations have in common."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.emulator.conftest import Emulator

GUIDE = "https://docs.aws.amazon.com/lambda/latest/dg/"

RECORDED = "https://github.com/localstack/localstack/blob/main/tests/aws/services/lambda_/"
"""Answers that AWS gave to LocalStack's tests, with ids and dates replaced."""

NAMES = (f"async-{number}" for number in itertools.count(1))


def lambda_arn(name: str) -> str:
    return f"arn:aws:lambda:us-east-1:000000000000:function:{name}"


def queue(emulator: Emulator, name: str, **attributes: str) -> str:
    """The ARN of a new queue."""
    emulator.client("sqs").create_queue(QueueName=name, Attributes=attributes)
    return f"arn:aws:sqs:us-east-1:000000000000:{name}"


def url_of(emulator: Emulator, arn: str) -> str:
    found: str = emulator.client("sqs").get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
    return found


def messages(emulator: Emulator, arn: str) -> list[dict[str, Any]]:
    """What the queue shows now."""
    found: list[dict[str, Any]] = (
        emulator.client("sqs")
        .receive_message(
            QueueUrl=url_of(emulator, arn),
            MessageAttributeNames=["All"],
            AttributeNames=["All"],
            MaxNumberOfMessages=10,
        )
        .get("Messages", [])
    )
    return found


def send(emulator: Emulator, arn: str, *bodies: str) -> None:
    entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies)]
    emulator.client("sqs").send_message_batch(QueueUrl=url_of(emulator, arn), Entries=entries)


def invoke_later(emulator: Emulator, name: str, event: Any = None) -> str:
    """Send an event; its request id."""
    payload = json.dumps(event)
    answer = emulator.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=payload)
    found: str = answer["ResponseMetadata"]["RequestId"]
    return found


def starts(emulator: Emulator, name: str) -> list[tuple[float, str]]:
    """(seconds, request id) of every invocation so far, counted from the first."""
    try:
        pages = emulator.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        events = [event for page in pages for event in page["events"] if event["message"].startswith("START ")]
    except emulator.client("logs").exceptions.ResourceNotFoundException:
        return []
    events.sort(key=lambda event: event["timestamp"])
    return [((event["timestamp"] - events[0]["timestamp"]) / 1000, event["message"].split()[2]) for event in events]


def printed(emulator: Emulator, name: str, word: str = "GOT ") -> list[Any]:
    """What a handler printed as JSON after `word`."""
    lines = [message for _, message in emulator.log(name) if message.startswith(word)]
    return [json.loads(line.removeprefix(word)) for line in lines]


def configure(emulator: Emulator, name: str, **config: Any) -> None:
    emulator.client("lambda").put_function_event_invoke_config(FunctionName=name, **config)

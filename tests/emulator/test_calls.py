"""What functions call is counted, by the second, as AWS would bill it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from serverless_lab.cost.service_calls import Billed
from serverless_lab.emulator.calls import CallCounter
from tests.emulator.conftest import Emulator


def test_calls_outside_the_asked_time_are_not_in_the_answer():
    counter = CallCounter()
    for at_ms in (500, 1_500, 2_500, 9_999):
        counter.add(at_ms, "s3", Billed("PUT", {"s3.puts": 1}, {"s3": 10}))
    assert counter.between(1_000, 2_999) == {
        "calls": {"s3": {"PUT": 2}},
        "units": {"s3.puts": 2},
        "stored_bytes": {"s3": 20},
    }


def test_nothing_called_is_nothing_counted():
    assert CallCounter().between(0, 10**13) == {"calls": {}, "units": {}, "stored_bytes": {}}


WRITER = """
    import boto3, json

    table = boto3.client("dynamodb")
    bucket = boto3.client("s3")
    queue = boto3.client("sqs")


    def handler(event, context):
        table.put_item(TableName=event["table"], Item={"id": {"S": context.aws_request_id}, "text": {"S": "x" * 1500}})
        table.get_item(TableName=event["table"], Key={"id": {"S": "nobody"}})
        bucket.put_object(Bucket=event["bucket"], Key="a/b", Body=b"y" * 700)
        bucket.get_object(Bucket=event["bucket"], Key="a/b")["Body"].read()
        queue.send_message(QueueUrl=event["queue"], MessageBody="hello")
        print("done")
"""


@pytest.mark.process
def test_the_emulator_counts_the_calls_of_functions_and_no_others(emulator: Emulator):
    """This test calls the same services itself, with credentials of its own: that is not in the bill."""
    emulator.client("dynamodb").create_table(
        TableName="counted",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    emulator.client("dynamodb").put_item(TableName="counted", Item={"id": {"S": "mine"}})
    emulator.client("s3").create_bucket(Bucket="counted")
    queue = emulator.client("sqs").create_queue(QueueName="counted")["QueueUrl"]
    name = emulator.create("counted-writer", WRITER)
    emulator.pass_time(5)  # other tests' functions may just have called something
    since_ms = json.load(urllib.request.urlopen(f"{emulator.url}/_lab/status", timeout=10))["now_ms"]
    before = _calls(emulator, name, since_ms)
    event = {"table": "counted", "bucket": "counted", "queue": queue}
    for _ in range(2):
        assert emulator.invoke(name, event).function_error is None
    found = _calls(emulator, name, since_ms)
    assert before["calls"] == {}
    assert found["calls"] == {
        "dynamodb": {"PutItem": 2, "GetItem": 2},
        "s3": {"PUT": 2, "GET": 2},
        "sqs": {"SendMessage": 2},
    }
    assert found["units"] == {
        "dynamodb.writes": 4,
        "dynamodb.reads": 1,
        "s3.puts": 2,
        "s3.gets": 2,
        "sqs.requests": 2,
    }
    assert found["stored_bytes"]["s3"] == 1400
    messages = [message for _, message in emulator.log(name)]
    assert found["log_bytes"] == sum(len(message.encode()) + 26 for message in messages)
    assert _calls(emulator, name, 0, until_ms=1)["log_bytes"] == 0


def _calls(emulator: Emulator, function: str, since_ms: int, until_ms: int = 10**14) -> Any:
    body = {"since_ms": since_ms, "until_ms": until_ms, "log_groups": [f"/aws/lambda/{function}"]}
    request = urllib.request.Request(f"{emulator.url}/_lab/calls", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)

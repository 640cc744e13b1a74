"""Asynchronous invocations and event sources in real time: `lab up --clock wall`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from serverless_lab.emulator import control
from serverless_lab.project import Project
from tests.emulator.conftest import Emulator
from tests.emulator.test_sources import log_or_empty, wait_for

pytestmark = pytest.mark.process

FAILS_ONCE = """
    import json
    def handler(event, context):
        print("GOT", len(event["Records"]))
        if event["Records"][0].get("attributes", {}).get("ApproximateReceiveCount") == "1":
            raise ValueError("no")
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    project = Project(tmp_path_factory.mktemp("wall"))
    status, _ = control.up(project, control.UpOptions(clock="wall"))
    yield Emulator(project, status)
    control.down(project)


def got(emulator: Emulator, name: str) -> list[str]:
    return [line for _, line in log_or_empty(emulator, name) if line.startswith("GOT")]


def test_a_failed_event_goes_to_its_destination(emulator: Emulator):
    sqs = emulator.client("sqs")
    url = sqs.create_queue(QueueName="failed")["QueueUrl"]
    name = emulator.create("wall-event", "def handler(event, context):\n    raise ValueError('no')\n")
    emulator.client("lambda").put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:failed"}},
    )
    emulator.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    (message,) = wait_for(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    assert json.loads(message["Body"])["requestContext"]["condition"] == "RetriesExhausted"


def test_a_failed_message_comes_back_after_its_visibility_timeout(emulator: Emulator):
    sqs = emulator.client("sqs")
    url = sqs.create_queue(QueueName="again", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
    name = emulator.create("wall-queue", FAILS_ONCE, Timeout=1)
    source = "arn:aws:sqs:us-east-1:000000000000:again"
    emulator.client("lambda").create_event_source_mapping(FunctionName=name, EventSourceArn=source)
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    assert wait_for(lambda: len(got(emulator, name)) == 2)


def test_a_stream_is_read(emulator: Emulator):
    table = emulator.client("dynamodb").create_table(
        TableName="wall-table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]
    name = emulator.create("wall-stream", FAILS_ONCE)
    emulator.client("lambda").create_event_source_mapping(
        FunctionName=name, EventSourceArn=table["LatestStreamArn"], StartingPosition="TRIM_HORIZON"
    )
    emulator.client("dynamodb").put_item(TableName="wall-table", Item={"id": {"S": "1"}})
    assert wait_for(lambda: got(emulator, name)) == ["GOT 1\n"]

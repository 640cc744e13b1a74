"""What becomes of the batches that event source mappings of queues and streams send."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.conftest import Emulator
from tests.fidelity.events import GUIDE, NAMES, RECORDED, lambda_arn, messages, printed, queue, send, starts, url_of
from tests.fidelity.table import Area, Grade, aws

pytestmark = pytest.mark.process

WITH_SQS = GUIDE + "with-sqs.html"
SQS_ERRORS = GUIDE + "services-sqs-errorhandling.html"
SQS_SCALING = GUIDE + "services-sqs-scaling.html"
SQS_FILTERING = GUIDE + "with-sqs-filtering.html"
WITH_DDB = GUIDE + "with-ddb.html"
DDB_ERRORS = GUIDE + "services-dynamodb-errors.html"
DDB_PARTIAL = GUIDE + "services-ddb-batchfailurereporting.html"
DDB_PARAMETERS = GUIDE + "services-ddb-params.html"
RECORDED_SQS = RECORDED + "event_source_mapping/test_lambda_integration_sqs.snapshot.json"
RECORDED_DDB = RECORDED + "event_source_mapping/test_lambda_integration_dynamodbstreams.snapshot.json"

# Queues -------------------------------------------------------------------------------------------------------

RECORDS = """
    import json
    def handler(event, context):
        bodies = [record["body"] for record in event["Records"]]
        print("GOT", json.dumps(bodies))
        if "raise" in bodies:
            raise ValueError("no")
        bad = [record["messageId"] for record in event["Records"] if record["body"] == "bad"]
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in bad]}
"""


def reading(emulator: Emulator, source_arn: str, code: str = RECORDS, **mapping: Any) -> str:
    """A function that reads a queue or stream."""
    name = emulator.create(next(NAMES), code)
    emulator.client("lambda").create_event_source_mapping(FunctionName=name, EventSourceArn=source_arn, **mapping)
    return name


@aws(
    Area.ASYNC,
    "When the function fails, all messages of the batch come back after the visibility timeout, and go to the queue's"
    " dead-letter queue after maxReceiveCount receives.",
    source=f"{WITH_SQS} {RECORDED_SQS}",
)
def test_failed_messages_come_back_after_the_visibility_timeout(emulator: Emulator):
    dead = queue(emulator, "async-sqs-dead")
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 2})
    source = queue(emulator, "async-sqs-failing", VisibilityTimeout="30", RedrivePolicy=redrive)
    name = reading(emulator, source)
    send(emulator, source, "raise", "ok")
    emulator.pass_time(61)
    assert [round(at_s) for at_s, _ in starts(emulator, name)] == [0, 30]
    assert [sorted(batch) for batch in printed(emulator, name)] == [["ok", "raise"]] * 2
    assert sorted(message["Body"] for message in messages(emulator, dead)) == ["ok", "raise"]


@aws(
    Area.ASYNC,
    "With ReportBatchItemFailures only the messages that the function names come back.",
    source=f"{SQS_ERRORS} {RECORDED_SQS}",
)
def test_only_reported_messages_come_back(emulator: Emulator):
    source = queue(emulator, "async-sqs-partial", VisibilityTimeout="30")
    name = reading(emulator, source, FunctionResponseTypes=["ReportBatchItemFailures"])
    send(emulator, source, "a", "bad", "b")
    emulator.pass_time(45)
    assert printed(emulator, name) == [["a", "bad", "b"], ["bad"]]


@aws(
    Area.ASYNC,
    "Messages are gathered up to the batch size or to the end of the batching window.",
    source=f"{GUIDE}invocation-eventsourcemapping.html#invocation-eventsourcemapping-batching",
)
def test_a_batching_window_gathers_messages(emulator: Emulator):
    source = queue(emulator, "async-sqs-window")
    name = reading(emulator, source, BatchSize=3, MaximumBatchingWindowInSeconds=20)
    send(emulator, source, "a")
    emulator.pass_time(5)
    send(emulator, source, "b")
    emulator.pass_time(5)
    assert starts(emulator, name) == []
    emulator.pass_time(15)
    assert printed(emulator, name) == [["a", "b"]]
    send(emulator, source, "c", "d", "e")
    emulator.pass_time(1)
    assert printed(emulator, name)[1:] == [["c", "d", "e"]]


@aws(
    Area.ASYNC,
    "A batch size above 10 needs a batching window of at least a second.",
    source=RECORDED_SQS,
    grade=Grade.RECORDED,
)
def test_a_large_batch_needs_a_window(emulator: Emulator):
    source = queue(emulator, "async-sqs-large")
    expected = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
    with pytest.raises(ClientError, match=expected):
        reading(emulator, source, BatchSize=15)
    name = reading(emulator, source, BatchSize=15, MaximumBatchingWindowInSeconds=5)
    send(emulator, source, *"abcdefgh")
    send(emulator, source, *"ijklmnopq")
    emulator.pass_time(6)
    assert sorted(map(len, printed(emulator, name))) == [2, 15]


@aws(
    Area.ASYNC,
    "A queue is first read by five invocations at a time, and by no more than MaximumConcurrency where that is set.",
    source=SQS_SCALING,
)
@pytest.mark.parametrize("limit, expected", [(None, 5), (2, 2)])
def test_a_queue_is_read_by_a_limited_number_of_invocations(emulator: Emulator, limit: int | None, expected: int):
    source = queue(emulator, f"async-sqs-concurrency-{limit}")
    scaling = {} if limit is None else {"ScalingConfig": {"MaximumConcurrency": limit}}
    code = "import time\ndef handler(event, context):\n    time.sleep(0.15)\n"
    name = reading(emulator, source, code, BatchSize=1, **scaling)
    send(emulator, source, *"abcdefgh")
    emulator.pass_time(10)
    found = starts(emulator, name)
    assert len(found) == 8
    assert len([at_s for at_s, _ in found if at_s < 0.12]) == expected


@aws(
    Area.ASYNC,
    "A function that is throttled leaves its messages in the queue.",
    source=SQS_ERRORS,
)
def test_a_throttled_function_leaves_its_messages(emulator: Emulator):
    source, client = queue(emulator, "async-sqs-throttled", VisibilityTimeout="30"), emulator.client("lambda")
    name = emulator.create(next(NAMES), RECORDS)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    client.create_event_source_mapping(FunctionName=name, EventSourceArn=source)
    send(emulator, source, "a")
    emulator.pass_time(100)
    assert starts(emulator, name) == []
    client.delete_function_concurrency(FunctionName=name)
    emulator.pass_time(60)
    assert printed(emulator, name) == [["a"]]


@aws(
    Area.ASYNC,
    "Messages that no filter lets through are deleted without an invocation.",
    source=SQS_FILTERING,
)
def test_messages_outside_the_filter_are_deleted(emulator: Emulator):
    source = queue(emulator, "async-sqs-filtered", VisibilityTimeout="30")
    criteria = {"Filters": [{"Pattern": '{"body": {"kind": ["wanted"]}}'}]}
    name = reading(emulator, source, FilterCriteria=criteria)
    send(emulator, source, '{"kind": "wanted"}', '{"kind": "other"}', "no JSON")
    emulator.pass_time(60)
    assert printed(emulator, name) == [['{"kind": "wanted"}']]
    found = emulator.client("sqs").get_queue_attributes(QueueUrl=url_of(emulator, source), AttributeNames=["All"])
    assert found["Attributes"]["ApproximateNumberOfMessages"] == "0"


# Streams ------------------------------------------------------------------------------------------------------

ITEMS = """
    import json
    def handler(event, context):
        items = [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
        print("GOT", json.dumps(items))
        if "raise" in items:
            raise ValueError("no")
        bad = [r["dynamodb"]["SequenceNumber"] for r in event["Records"] if r["dynamodb"]["Keys"]["id"]["S"] == "bad"]
        return {"batchItemFailures": [{"itemIdentifier": number} for number in bad]}
"""


def table(emulator: Emulator, name: str) -> str:
    """The ARN of a new table's stream."""
    created = emulator.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    found: str = created["TableDescription"]["LatestStreamArn"]
    return found


def put(emulator: Emulator, table_name: str, *ids: str, **more: Any) -> None:
    for number, item in enumerate(ids):
        attributes = {"id": {"S": item}, "n": {"N": str(number)}, **more}
        emulator.client("dynamodb").put_item(TableName=table_name, Item=attributes)


@aws(
    Area.ASYNC,
    "A failing batch is retried up to MaximumRetryAttempts, then its position in the stream goes to the on-failure"
    " destination and the shard goes on.",
    source=f"{DDB_ERRORS} {RECORDED_DDB}",
    grade=Grade.RECORDED,
)
def test_a_failing_batch_is_given_up_after_its_retries(emulator: Emulator):
    target, stream = queue(emulator, "async-ddb-failed"), table(emulator, "async-ddb-failing")
    name = reading(
        emulator,
        stream,
        ITEMS,
        StartingPosition="TRIM_HORIZON",
        BatchSize=1,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": target}},
    )
    put(emulator, "async-ddb-failing", "raise", "next")
    emulator.pass_time(60)
    assert printed(emulator, name) == [["raise"], ["raise"], ["next"]]
    (message,) = messages(emulator, target)
    record = json.loads(message["Body"])
    position = record.pop("DDBStreamBatchInfo")
    assert position["batchSize"] == 1
    assert position["startSequenceNumber"] == position["endSequenceNumber"] != ""
    assert position["approximateArrivalOfFirstRecord"] == position["approximateArrivalOfLastRecord"]
    assert position["streamArn"] == stream
    assert set(position) == {
        "shardId",
        "startSequenceNumber",
        "endSequenceNumber",
        "approximateArrivalOfFirstRecord",
        "approximateArrivalOfLastRecord",
        "batchSize",
        "streamArn",
    }
    del record["timestamp"]
    assert record.pop("requestContext") == {
        "requestId": starts(emulator, name)[1][1],
        "functionArn": lambda_arn(name),
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 2,
    }
    assert record == {
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
    }


@aws(
    Area.ASYNC,
    "With BisectBatchOnFunctionError a failed batch is halved until the bad record is alone; halving uses up no retry.",
    source=DDB_ERRORS,
)
def test_a_failed_batch_is_bisected(emulator: Emulator):
    stream = table(emulator, "async-ddb-bisected")
    name = reading(
        emulator,
        stream,
        ITEMS,
        StartingPosition="TRIM_HORIZON",
        BatchSize=4,
        MaximumBatchingWindowInSeconds=5,
        MaximumRetryAttempts=1,
        BisectBatchOnFunctionError=True,
    )
    put(emulator, "async-ddb-bisected", "a", "b", "raise", "c")
    emulator.pass_time(60)
    assert printed(emulator, name) == [
        ["a", "b", "raise", "c"],
        ["a", "b"],
        ["raise", "c"],
        ["raise"],
        ["raise"],
        ["c"],
    ]


@aws(
    Area.ASYNC,
    "With ReportBatchItemFailures a batch is retried from the reported record on; its record of failure then has"
    " functionError null.",
    source=f"{DDB_PARTIAL} {RECORDED_DDB}",
    grade=Grade.RECORDED,
)
def test_a_stream_goes_on_at_the_reported_record(emulator: Emulator):
    target, stream = queue(emulator, "async-ddb-reported"), table(emulator, "async-ddb-partial")
    name = reading(
        emulator,
        stream,
        ITEMS,
        StartingPosition="TRIM_HORIZON",
        BatchSize=3,
        MaximumBatchingWindowInSeconds=1,
        MaximumRetryAttempts=3,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": target}},
    )
    put(emulator, "async-ddb-partial", "a", "b", "bad")
    emulator.pass_time(60)
    assert printed(emulator, name) == [["a", "b", "bad"], ["bad"], ["bad"], ["bad"], ["bad"]]
    (message,) = messages(emulator, target)
    record = json.loads(message["Body"])
    assert record["requestContext"]["approximateInvokeCount"] == 4
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": None}
    assert record["DDBStreamBatchInfo"]["batchSize"] == 1


@aws(
    Area.ASYNC,
    "Records older than MaximumRecordAgeInSeconds are given up, and go as objects with their payload where the"
    " destination is a bucket.",
    source=DDB_ERRORS,
)
def test_old_records_are_given_up(emulator: Emulator):
    stream, s3 = table(emulator, "async-ddb-old"), emulator.client("s3")
    s3.create_bucket(Bucket="async-ddb-old-records")
    name = emulator.create(next(NAMES), ITEMS)
    mapping = emulator.client("lambda").create_event_source_mapping(
        FunctionName=name,
        EventSourceArn=stream,
        StartingPosition="TRIM_HORIZON",
        MaximumRecordAgeInSeconds=60,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::async-ddb-old-records"}},
    )
    put(emulator, "async-ddb-old", "raise")
    emulator.pass_time(150)
    attempts = len(printed(emulator, name))
    assert attempts > 1
    (found,) = s3.list_objects_v2(Bucket="async-ddb-old-records")["Contents"]
    day, moment = r"\d{4}/\d\d/\d\d", r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d"
    assert re.fullmatch(rf"aws/lambda/{mapping['UUID']}/shardId-[\d-]+/{day}/{moment}-[0-9a-f-]{{36}}", found["Key"])
    record = json.loads(s3.get_object(Bucket="async-ddb-old-records", Key=found["Key"])["Body"].read())
    assert record["requestContext"]["approximateInvokeCount"] == attempts
    (payload,) = json.loads(record["payload"])["Records"]
    assert payload["dynamodb"]["Keys"] == {"id": {"S": "raise"}}


@aws(
    Area.ASYNC,
    "With ParallelizationFactor one shard is read by several invocations at once, and each item's records stay in"
    " order.",
    source=WITH_DDB,
)
def test_a_parallelization_factor_keeps_the_order_of_each_item(emulator: Emulator):
    code = """
        import json, time
        def handler(event, context):
            (record,) = event["Records"]
            image = record["dynamodb"]["NewImage"]
            print("GOT", json.dumps([image["id"]["S"], int(image["n"]["N"])]))
            time.sleep(0.1)
    """
    stream = table(emulator, "async-ddb-parallel")
    name = reading(emulator, stream, code, StartingPosition="TRIM_HORIZON", BatchSize=1, ParallelizationFactor=4)
    put(emulator, "async-ddb-parallel", "p", "q", "r", "p", "q", "r")
    emulator.pass_time(30)
    found = printed(emulator, name)
    assert len({stream for stream, _ in emulator.log(name)}) > 1
    for item, numbers in (("p", [0, 3]), ("q", [1, 4]), ("r", [2, 5])):
        assert [number for key, number in found if key == item] == numbers


@aws(
    Area.ASYNC,
    "TRIM_HORIZON begins with the oldest record of the stream, LATEST with what is written after the mapping.",
    source=f"{WITH_DDB} {DDB_PARAMETERS}",
)
def test_the_starting_position_is_the_oldest_or_the_latest(emulator: Emulator):
    stream = table(emulator, "async-ddb-start")
    put(emulator, "async-ddb-start", "before")
    emulator.pass_time(1)
    oldest = reading(emulator, stream, ITEMS, StartingPosition="TRIM_HORIZON")
    latest = reading(emulator, stream, ITEMS, StartingPosition="LATEST")
    emulator.pass_time(1)
    put(emulator, "async-ddb-start", "after")
    emulator.pass_time(1)
    assert (printed(emulator, oldest), printed(emulator, latest)) == ([["before"], ["after"]], [["after"]])


@aws(
    Area.ASYNC,
    "A stream's mapping has a batch size of 100 and unlimited retries and age where nothing else is said.",
    source=f"{DDB_PARAMETERS} {RECORDED_DDB}",
)
def test_a_streams_mapping_has_its_defaults(emulator: Emulator):
    stream = table(emulator, "async-ddb-defaults")
    mapping = emulator.client("lambda").create_event_source_mapping(
        FunctionName=emulator.create(next(NAMES), ITEMS), EventSourceArn=stream, StartingPosition="LATEST"
    )
    expected = {
        "BatchSize": 100,
        "BisectBatchOnFunctionError": False,
        "DestinationConfig": {"OnFailure": {}},
        "FunctionResponseTypes": [],
        "LastProcessingResult": "No records processed",
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "ParallelizationFactor": 1,
    }
    assert {name: mapping[name] for name in expected} == expected

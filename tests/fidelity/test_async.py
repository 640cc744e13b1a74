"""What becomes of asynchronous invocations."""

from __future__ import annotations

import json
import re

import pytest
from botocore.exceptions import ClientError

from tests.emulator.conftest import Emulator, zip_of
from tests.fidelity.events import (
    GUIDE,
    NAMES,
    RECORDED,
    configure,
    invoke_later,
    lambda_arn,
    messages,
    printed,
    queue,
    starts,
)
from tests.fidelity.table import Area, Grade, aws

pytestmark = pytest.mark.process

ERRORS = GUIDE + "invocation-async-error-handling.html"
CONFIGURING = GUIDE + "invocation-async-configuring.html"
RETAIN = GUIDE + "invocation-async-retain-records.html"
PUT_CONFIG = "https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html"
RECORDED_DESTINATIONS = RECORDED + "test_lambda_destinations.snapshot.json"
RECORDED_LAMBDA = RECORDED + "test_lambda.snapshot.json"

FAILS = "def handler(event, context):\n    raise Exception('intentional failure')\n"
ECHO = "def handler(event, context):\n    return event\n"


@aws(
    Area.ASYNC,
    "An asynchronous invoke is answered with 202, no body and no executed version, under the id the log shows.",
    source=RECORDED_LAMBDA,
    grade=Grade.RECORDED,
)
def test_an_asynchronous_invoke_is_a_202_without_a_body(emulator: Emulator):
    name = emulator.create(next(NAMES), ECHO)
    answer = emulator.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    assert (answer["StatusCode"], answer["Payload"].read(), answer.get("ExecutedVersion")) == (202, b"", None)
    emulator.pass_time(1)
    assert [request_id for _, request_id in starts(emulator, name)] == [answer["ResponseMetadata"]["RequestId"]]


@aws(
    Area.ASYNC,
    "After a function error an event is tried again a minute later, and once more two minutes after that, under the"
    " same request id.",
    source=f"{ERRORS} {RECORDED_LAMBDA}",
)
def test_a_function_error_is_retried_after_one_and_two_minutes(emulator: Emulator):
    name = emulator.create(next(NAMES), FAILS)
    request_id = invoke_later(emulator, name)
    emulator.pass_time(3_600)
    found = starts(emulator, name)
    assert [round(at_s) for at_s, _ in found] == [0, 60, 180]
    assert {seen for _, seen in found} == {request_id}


@aws(
    Area.ASYNC,
    "A failed event's record names condition, attempts, event and the function's answer (format 1.0).",
    source=f"{RETAIN} {RECORDED_DESTINATIONS}",
    grade=Grade.RECORDED,
)
def test_a_failed_event_is_recorded_at_the_on_failure_destination(emulator: Emulator):
    name = emulator.create(next(NAMES), FAILS)
    target = queue(emulator, f"{name}-failed")
    configure(emulator, name, DestinationConfig={"OnFailure": {"Destination": target}})
    request_id = invoke_later(emulator, name, {"message": "test-msg-id"})
    emulator.pass_time(200)
    (message,) = messages(emulator, target)
    record = json.loads(message["Body"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("timestamp"))
    (frame,) = record["responsePayload"].pop("stackTrace")
    assert "raise Exception('intentional failure')" in frame
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{lambda_arn(name)}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"message": "test-msg-id"},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {
            "errorMessage": "intentional failure",
            "errorType": "Exception",
            "requestId": request_id,
        },
    }


@aws(
    Area.ASYNC,
    "A successful event's record has condition Success and no functionError.",
    source=RECORDED_DESTINATIONS,
    grade=Grade.RECORDED,
)
def test_a_successful_event_is_recorded_at_the_on_success_destination(emulator: Emulator):
    name = emulator.create(next(NAMES), ECHO)
    target = queue(emulator, f"{name}-done")
    configure(emulator, name, DestinationConfig={"OnSuccess": {"Destination": target}})
    request_id = invoke_later(emulator, name, {})
    emulator.pass_time(1)
    (message,) = messages(emulator, target)
    record = json.loads(message["Body"])
    del record["timestamp"]
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{lambda_arn(name)}:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {},
    }


@aws(
    Area.ASYNC,
    "An event bus gets the record as the detail of an event from source `lambda`.",
    source=f"{RETAIN} {RECORDED_DESTINATIONS}",
    grade=Grade.RECORDED,
)
def test_an_event_bus_is_a_destination(emulator: Emulator):
    name = emulator.create(next(NAMES), FAILS)
    events, target = emulator.client("events"), queue(emulator, f"{name}-events")
    bus = events.create_event_bus(Name=f"{name}-bus")["EventBusArn"]
    events.put_rule(Name=name, EventBusName=f"{name}-bus", EventPattern='{"source": ["lambda"]}')
    events.put_targets(Rule=name, EventBusName=f"{name}-bus", Targets=[{"Id": "queue", "Arn": target}])
    configure(emulator, name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": bus}})
    invoke_later(emulator, name, {"mode": "failure"})
    emulator.pass_time(1)
    (message,) = messages(emulator, target)
    event = json.loads(message["Body"])
    assert event["detail-type"] == "Lambda Function Invocation Result - Failure"
    assert event["source"] == "lambda"
    assert event["resources"] == [bus, f"{lambda_arn(name)}:$LATEST"]
    assert event["detail"]["requestContext"]["condition"] == "RetriesExhausted"
    assert event["detail"]["requestPayload"] == {"mode": "failure"}


@aws(
    Area.ASYNC,
    "A dead-letter queue gets the event as it is, with request id, HTTP status and error message as attributes.",
    source=f"{RETAIN}#invocation-dlq {RECORDED_DESTINATIONS}",
    grade=Grade.RECORDED,
)
def test_a_dead_letter_queue_gets_the_event_as_it_is(emulator: Emulator):
    target = queue(emulator, "async-dead-letters")
    code = "def handler(event, context):\n    raise Exception('Test exception (this is intentional)')\n"
    name = emulator.create(next(NAMES), code, DeadLetterConfig={"TargetArn": target})
    configure(emulator, name, MaximumRetryAttempts=0)
    request_id = invoke_later(emulator, name, {"raise_error": 1})
    emulator.pass_time(1)
    (message,) = messages(emulator, target)
    assert message["MD5OfBody"] == "ba08269cbd0ce515889bfba6593731e1"
    assert message["MessageAttributes"] == {
        "ErrorCode": {"DataType": "Number", "StringValue": "200"},
        "ErrorMessage": {"DataType": "String", "StringValue": "Test exception (this is intentional)"},
        "RequestID": {"DataType": "String", "StringValue": request_id},
    }


@aws(
    Area.ASYNC,
    "An event that would be too old for its next attempt is discarded at once: a maximum age of 60 s leaves time for no"
    " retry, one of 90 s for one.",
    source=RECORDED_DESTINATIONS,
    grade=Grade.RECORDED,
)
@pytest.mark.parametrize("age_s, attempts", [(60, 1), (90, 2)])
def test_an_event_is_discarded_when_its_next_attempt_would_be_too_late(emulator: Emulator, age_s: int, attempts: int):
    name = emulator.create(next(NAMES), FAILS)
    target = queue(emulator, f"{name}-failed")
    failed = {"OnFailure": {"Destination": target}}
    configure(emulator, name, MaximumRetryAttempts=2, MaximumEventAgeInSeconds=age_s, DestinationConfig=failed)
    invoke_later(emulator, name)
    emulator.pass_time(62)
    (message,) = messages(emulator, target)
    said = json.loads(message["Body"])["requestContext"]
    assert (said["condition"], said["approximateInvokeCount"]) == ("EventAgeExceeded", attempts)


@aws(
    Area.ASYNC,
    "MaximumRetryAttempts is 0 to 2 and MaximumEventAgeInSeconds 60 to 21,600; anything else is refused.",
    source=PUT_CONFIG,
)
def test_retries_and_age_have_their_ranges(emulator: Emulator):
    name = emulator.create(next(NAMES), ECHO)
    for asked in ({"MaximumRetryAttempts": 3}, {"MaximumEventAgeInSeconds": 21_601}):
        with pytest.raises(ClientError, match="ValidationException"):
            configure(emulator, name, **asked)
    configure(emulator, name, MaximumRetryAttempts=2, MaximumEventAgeInSeconds=21_600)


@aws(
    Area.ASYNC,
    "UpdateFunctionEventInvokeConfig changes what it names and keeps the rest; Put overwrites all.",
    source=CONFIGURING,
)
def test_update_keeps_what_it_does_not_name(emulator: Emulator):
    name, client = emulator.create(next(NAMES), ECHO), emulator.client("lambda")
    configure(emulator, name, MaximumRetryAttempts=0, MaximumEventAgeInSeconds=3_600)
    client.update_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=90)
    found = client.get_function_event_invoke_config(FunctionName=name)
    assert (found["MaximumRetryAttempts"], found["MaximumEventAgeInSeconds"]) == (0, 90)


@aws(
    Area.ASYNC,
    "A throttled event goes back to the queue and is tried again after 1 s, then ever later.",
    source=ERRORS,
)
def test_a_throttled_event_is_tried_again_with_back_off(emulator: Emulator):
    """The second event is refused at once and after 1 s, while the first one sleeps; 2 s later it runs."""
    name = emulator.create(next(NAMES), "import time\ndef handler(event, context):\n    time.sleep(1.2)\n")
    emulator.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    ids = [invoke_later(emulator, name), invoke_later(emulator, name)]
    emulator.pass_time(60)
    found = starts(emulator, name)
    assert sorted(ids) == sorted(request_id for _, request_id in found)
    assert 2.3 < found[1][0] < 3.2


@aws(
    Area.ASYNC,
    "With reserved concurrency of 0, events go to the dead-letter queue or on-failure destination without any attempt.",
    source=RETAIN,
)
def test_a_function_that_accepts_nothing_discards_its_events(emulator: Emulator):
    name = emulator.create(next(NAMES), ECHO)
    target = queue(emulator, f"{name}-failed")
    configure(emulator, name, DestinationConfig={"OnFailure": {"Destination": target}})
    emulator.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    invoke_later(emulator, name, {"order": 1})
    (message,) = messages(emulator, target)
    assert json.loads(message["Body"])["requestPayload"] == {"order": 1}
    assert starts(emulator, name) == []


@aws(
    Area.ASYNC,
    "An event that waits runs whatever the function is by then.",
    source=RECORDED_LAMBDA,
    grade=Grade.RECORDED,
)
def test_a_retry_runs_the_code_of_its_own_time(emulator: Emulator):
    name = emulator.create(next(NAMES), FAILS)
    invoke_later(emulator, name)
    emulator.pass_time(10)
    code = zip_of({"app.py": "def handler(event, context):\n    print('GOT 2')\n"})
    emulator.client("lambda").update_function_code(FunctionName=name, ZipFile=code)
    emulator.pass_time(300)
    assert printed(emulator, name) == [2]


@aws(
    Area.ASYNC,
    "S3, SNS and EventBridge invoke asynchronously too: their events are retried.",
    source=f"{GUIDE}with-s3.html {GUIDE}with-sns.html {GUIDE}with-eventbridge-scheduler.html {ERRORS}",
)
def test_s3_sns_and_eventbridge_invoke_asynchronously(emulator: Emulator):
    by_s3, by_sns, by_rule = functions = [emulator.create(next(NAMES), FAILS) for _ in range(3)]
    s3, sns, events = emulator.client("s3"), emulator.client("sns"), emulator.client("events")
    s3.create_bucket(Bucket=by_s3)
    created = {"LambdaFunctionArn": lambda_arn(by_s3), "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=by_s3, NotificationConfiguration={"LambdaFunctionConfigurations": [created]}
    )
    s3.put_object(Bucket=by_s3, Key="a", Body=b"x")
    topic = sns.create_topic(Name=by_sns)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=lambda_arn(by_sns))
    sns.publish(TopicArn=topic, Message="hello")
    events.put_rule(Name=by_rule, EventPattern='{"source": ["async.test"]}')
    events.put_targets(Rule=by_rule, Targets=[{"Id": "function", "Arn": lambda_arn(by_rule)}])
    events.put_events(Entries=[{"Source": "async.test", "DetailType": "x", "Detail": "{}"}])
    emulator.pass_time(300)
    for name in functions:
        assert [round(at_s) for at_s, _ in starts(emulator, name)] == [0, 60, 180]

"""Everything that invokes a function goes through the same plane: API Gateway, queues, streams, schedules, events."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request

import pytest

from tests.emulator.conftest import Emulator

pytestmark = pytest.mark.process


def wait_for(condition, seconds: float = 20.0):
    """The first true value of `condition`."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing happened in time"
        pause.wait(0.05)
    return found


def rest_api(emulator: Emulator, function: str, timeout_ms: int | None = None) -> str:
    """The URL of an API whose every path goes to `function`."""
    gateway = emulator.client("apigateway")
    api = gateway.create_rest_api(name=function)["id"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    resource = gateway.create_resource(restApiId=api, parentId=root, pathPart="{proxy+}")["id"]
    gateway.put_method(restApiId=api, resourceId=resource, httpMethod="ANY", authorizationType="NONE")
    arn = emulator.client("lambda").get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    gateway.put_integration(
        restApiId=api,
        resourceId=resource,
        httpMethod="ANY",
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        uri=f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations",
        **({} if timeout_ms is None else {"timeoutInMillis": timeout_ms}),
    )
    gateway.create_deployment(restApiId=api, stageName="prod")
    return f"{emulator.url}/_aws/execute-api/{api}/prod"


def get(url: str) -> tuple[int, str, dict[str, str]]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), {k.lower(): v for k, v in error.headers.items()}


PROXY = """
    import json, os, time
    def handler(event, context):
        what = event["path"]
        if what == "/raise": raise ValueError("boom")
        if what == "/exit": os._exit(1)
        if what == "/text": return "no proxy response"
        if what == "/null": return None
        if what == "/status": return {"statusCode": "teapot"}
        if what == "/extra": return {"statusCode": 200, "message": "not a field"}
        if what == "/slow": time.sleep(0.6)
        return {"statusCode": 201, "headers": {"X-Mine": "1"}, "body": json.dumps({"id": context.aws_request_id})}
"""


@pytest.fixture(scope="module")
def api(emulator: Emulator) -> str:
    return rest_api(emulator, emulator.create("proxy", PROXY, MemorySize=1769), timeout_ms=300)


def test_an_api_answer_carries_the_functions_own_request_id(api: str):
    """Behind REST API Gateway x-amzn-RequestId is the gateway's: only this header joins a row to a REPORT line."""
    status, body, headers = get(f"{api}/ok")
    assert (status, headers["x-mine"]) == (201, "1")
    assert headers["x-lab-request-id"] == json.loads(body)["id"] != headers.get("x-amzn-requestid")
    assert len(headers["x-lab-environment-id"]) == 32


@pytest.mark.parametrize("path", ["raise", "exit", "text", "null", "status", "extra"])
def test_a_function_that_fails_or_answers_in_another_form_is_a_502(api: str, path: str):
    """documented: https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html"""
    status, body, headers = get(f"{api}/{path}")
    assert (status, json.loads(body)) == (502, {"message": "Internal server error"})
    assert "x-lab-request-id" in headers


def test_an_integration_timeout_is_a_504_and_the_function_runs_on(emulator: Emulator, api: str):
    get(f"{api}/ok")  # warm: what is slow now is the handler
    status, body, headers = get(f"{api}/slow")
    assert (status, json.loads(body)) == (504, {"message": "Endpoint request timed out"})
    request_id = headers["x-lab-request-id"]
    report = wait_for(lambda: [item for item in emulator.reports("proxy") if item.request_id == request_id])[0]
    assert report.duration_ms > 500 and report.status is None


def test_a_throttled_function_is_a_500_behind_an_api(emulator: Emulator, api: str):
    """A Lambda throttle is never a 429 behind a REST proxy integration."""
    client = emulator.client("lambda")
    client.put_function_concurrency(FunctionName="proxy", ReservedConcurrentExecutions=0)
    status, body, _ = get(f"{api}/ok")
    client.delete_function_concurrency(FunctionName="proxy")
    assert (status, json.loads(body)) == (500, {"message": "Internal server error"})


def test_an_asynchronous_invoke_is_accepted_at_once_under_its_own_id(emulator: Emulator):
    name = emulator.create("later", "def handler(event, context):\n    print('ran')\n")
    answer = emulator.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    assert answer["StatusCode"] == 202
    (report,) = wait_for(lambda: log_or_empty(emulator, name) and emulator.reports(name))
    assert report.init_duration_ms is not None


RECORD = "import json\ndef handler(event, context):\n    print('GOT', json.dumps(event['Records'][0].get('body')))\n"


def test_a_queue_invokes_through_the_plane(emulator: Emulator):
    name = emulator.create("queued", RECORD)
    sqs = emulator.client("sqs")
    queue = sqs.create_queue(QueueName="work")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    emulator.client("lambda").create_event_source_mapping(FunctionName=name, EventSourceArn=arn)
    sqs.send_message(QueueUrl=queue, MessageBody="hello")
    lines = wait_for(lambda: [line for _, line in log_or_empty(emulator, name) if line.startswith("GOT")])
    assert lines == ['GOT "hello"\n']
    assert emulator.reports(name)[0].init_duration_ms is not None


def test_a_table_stream_invokes_through_the_plane(emulator: Emulator):
    name = emulator.create("streamed", RECORD)
    table = emulator.client("dynamodb").create_table(
        TableName="events",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]
    emulator.client("lambda").create_event_source_mapping(
        FunctionName=name, EventSourceArn=table["LatestStreamArn"], StartingPosition="LATEST"
    )
    emulator.client("dynamodb").put_item(TableName="events", Item={"id": {"S": "1"}})
    assert wait_for(lambda: [line for _, line in log_or_empty(emulator, name) if line.startswith("GOT")])


def test_a_kinesis_stream_invokes_through_the_plane(emulator: Emulator):
    name, kinesis = emulator.create("kinetic", RECORD), emulator.client("kinesis")
    kinesis.create_stream(StreamName="clicks", ShardCount=1)
    arn = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks"
    wait_for(lambda: kinesis.describe_stream(StreamName="clicks")["StreamDescription"]["StreamStatus"] == "ACTIVE")
    emulator.client("lambda").create_event_source_mapping(
        FunctionName=name, EventSourceArn=arn, StartingPosition="TRIM_HORIZON"
    )
    kinesis.put_record(StreamName="clicks", Data=b"x", PartitionKey="1")
    assert wait_for(lambda: [line for _, line in log_or_empty(emulator, name) if line.startswith("GOT")])


def test_an_object_in_a_bucket_invokes_through_the_plane(emulator: Emulator):
    name = emulator.create("stored", RECORD)
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket="incoming")
    arn = emulator.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    s3.put_bucket_notification_configuration(
        Bucket="incoming",
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    s3.put_object(Bucket="incoming", Key="a", Body=b"x")
    assert wait_for(lambda: [line for _, line in log_or_empty(emulator, name) if line.startswith("GOT")])


def test_a_handler_can_invoke_another_function_and_itself_without_deadlock(emulator: Emulator):
    code = """
        import json, boto3
        client = boto3.client("lambda")
        def handler(event, context):
            if event == 0:
                return [context.aws_request_id]
            answer = client.invoke(FunctionName=context.function_name, Payload=json.dumps(event - 1))
            return [context.aws_request_id] + json.load(answer["Payload"])
    """
    name = emulator.create("nested", code)
    assert len(set(emulator.invoke(name, 3).body)) == 4
    assert len(emulator.reports(name)) == 4


def log_or_empty(emulator: Emulator, name: str) -> list[tuple[str, str]]:
    """Lambda creates the log group with the first invocation."""
    try:
        return emulator.log(name)
    except emulator.client("logs").exceptions.ResourceNotFoundException:
        return []


def test_a_function_that_cannot_run_here_does_not_hold_time(emulator):
    """Its request is answered without an environment, and whoever let time wait for it lets it go on."""
    url = rest_api(emulator, emulator.create("sources-ruby", "", Runtime="ruby3.4"))
    assert get(f"{url}/anything")[0] == 502
    assert emulator.invoke("sources-ruby").function_error == "Unhandled"

    def nobody_is_active() -> bool:
        with urllib.request.urlopen(f"{emulator.url}/_lab/clock", timeout=30) as answer:
            return json.load(answer)["actors"]["active"] == 0

    wait_for(nobody_is_active)

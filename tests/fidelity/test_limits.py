"""What Invoke refuses, and how large an answer may be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.conftest import Emulator
from tests.fidelity.table import Area, Grade, aws

pytestmark = pytest.mark.process

QUOTAS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
INVOKE = "https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"
TOO_LARGE = "https://github.com/pelmers/streetwarp-web/issues/14"
STATUS = "https://github.com/awslabs/aws-athena-query-federation/issues/793"
TOO_LARGE_EVENT = "https://github.com/ASFHyP3/hyp3/issues/2241"
RESPONSE = "https://zaccharles.medium.com/deep-dive-lambdas-response-payload-size-limit-8aedba9530ed"
REFUSED_RESPONSE = "https://github.com/anomalyco/console/issues/63"
PARSER = "https://github.com/alexcasalboni/aws-lambda-power-tuning/issues/148"
UTF8 = "https://github.com/awsdocs/aws-lambda-developer-guide/issues/382"

CODE = """
    def handler(event, context):
        if isinstance(event, dict) and "answer" in event:
            return "y" * event["answer"]
        return len(event) if isinstance(event, str) else event
"""


@pytest.fixture(scope="module")
def function(emulator: Emulator) -> str:
    return emulator.create("limits", CODE)


def refusal(emulator: Emulator, function: str, payload: bytes, **options: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        emulator.client("lambda").invoke(FunctionName=function, Payload=payload, **options)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def string_of(length: int) -> bytes:
    return b'"' + b"x" * (length - 2) + b'"'


@aws(
    Area.LIMITS,
    "A request of more than 6 MB is a 413 RequestEntityTooLargeException; one of exactly 6 MB is not.",
    source=f"{QUOTAS} {TOO_LARGE} {STATUS}",
    grade=Grade.RECORDED,
)
def test_a_request_of_more_than_six_megabytes(emulator: Emulator, function: str):
    assert refusal(emulator, function, string_of(6_291_457)) == (
        413,
        "RequestEntityTooLargeException",
        "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
    )
    answer = emulator.client("lambda").invoke(FunctionName=function, Payload=string_of(6_291_456))
    assert json.loads(answer["Payload"].read()) == 6_291_454


@aws(
    Area.LIMITS,
    "An asynchronous request of more than 1 MB is a 413 that names its size and the limit.",
    source=f"{QUOTAS} {TOO_LARGE_EVENT}",
    grade=Grade.RECORDED,
)
def test_an_asynchronous_request_of_more_than_one_megabyte(emulator: Emulator, function: str):
    assert refusal(emulator, function, string_of(1_048_577), InvocationType="Event") == (
        413,
        "RequestEntityTooLargeException",
        "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)",
    )
    answer = emulator.client("lambda").invoke(
        FunctionName=function, Payload=string_of(1_048_576), InvocationType="Event"
    )
    assert answer["StatusCode"] == 202


@aws(
    Area.LIMITS,
    "A response of more than 6,291,556 bytes is a Function.ResponseSizeTooLarge; the runtime is told 413, says so in "
    "the log and ends.",
    source=f"{RESPONSE} {REFUSED_RESPONSE}",
    grade=Grade.RECORDED,
)
def test_a_response_that_is_too_large(emulator: Emulator, function: str):
    fits = emulator.client("lambda").invoke(FunctionName=function, Payload=b'{"answer": 6291554}')
    assert len(fits["Payload"].read()) == 6_291_556
    answer = emulator.invoke(function, {"answer": 6_291_555})
    assert (answer.status, answer.function_error) == (200, "Unhandled")
    assert answer.body == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    said = "LAMBDA_RUNTIME Failed to post handler success response. Http response code: 413."
    assert any(said in message for _, message in emulator.log(function))
    assert emulator.invoke(function, 1).body == 1


@aws(
    Area.LIMITS,
    "A payload that is no JSON is a 400 InvalidRequestContentException in the words of AWS's JSON parser, and nothing "
    "runs.",
    source=f"{INVOKE} {PARSER}",
    grade=Grade.RECORDED,
)
def test_a_payload_that_is_no_json(emulator: Emulator, function: str):
    before = len(emulator.reports(function))
    assert refusal(emulator, function, b"test data") == (
        400,
        "InvalidRequestContentException",
        "Could not parse request body into json: Could not parse payload into json: Unrecognized token 'test': was "
        "expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')\n"
        ' at [Source: (byte[])"test data"; line: 1, column: 6]',
    )
    assert len(emulator.reports(function)) == before


@aws(
    Area.LIMITS,
    "Bytes that are no UTF-8 are a 400 InvalidRequestContentException that names the byte.",
    source=UTF8,
    grade=Grade.RECORDED,
)
def test_a_payload_that_is_no_utf_8(emulator: Emulator, function: str):
    status, code, message = refusal(emulator, function, b'"\x97\x97"')
    assert (status, code) == (400, "InvalidRequestContentException")
    assert message.startswith(
        "Could not parse request body into json: Could not parse payload into json: Invalid UTF-8 start byte 0x97"
    )


@aws(
    Area.LIMITS,
    "NaN and Infinity, which Python writes and JSON does not have, are refused.",
    source="https://www.rfc-editor.org/rfc/rfc8259#section-6",
    grade=Grade.ASSUMED,
)
@pytest.mark.parametrize("payload", [b"NaN", b'{"a": [1, -Infinity]}'])
def test_numbers_that_json_does_not_have(emulator: Emulator, function: str, payload: bytes):
    assert refusal(emulator, function, payload)[:2] == (400, "InvalidRequestContentException")


@aws(
    Area.LIMITS,
    "A function gets the very bytes that were sent, whatever another program would make of its numbers; no payload at "
    "all is an empty object.",
    source=INVOKE,
    grade=Grade.ASSUMED,
)
def test_the_event_is_what_was_sent(emulator: Emulator):
    code = "import json\ndef handler(event, context):\n    return json.dumps(event)\n"
    name = emulator.create("limits-echo", code)
    client = emulator.client("lambda")
    for sent, got in ((b"[1e400, 1.0, 2]", "[Infinity, 1.0, 2]"), (b"", "{}"), (b"\xef\xbb\xbf[1]", "[1]")):
        answer = client.invoke(FunctionName=name, Payload=sent)
        assert json.loads(answer["Payload"].read()) == got

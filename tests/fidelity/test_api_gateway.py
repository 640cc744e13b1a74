"""What a REST API answers when its Lambda function does not."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from tests.emulator.conftest import Emulator
from tests.fidelity.table import Area, aws

pytestmark = pytest.mark.process

ERRORS = "https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway-errors.html"
PROXY = "https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html"
LIMITS = "https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html"


def api_in_front_of(emulator: Emulator, function: str, timeout_ms: int = 29_000) -> str:
    """The URL of a REST API whose root calls `function`."""
    client = emulator.client("apigateway")
    api_id = client.create_rest_api(name=function)["id"]
    root = client.get_resources(restApiId=api_id)["items"][0]["id"]
    client.put_method(restApiId=api_id, resourceId=root, httpMethod="GET", authorizationType="NONE")
    client.put_integration(
        restApiId=api_id,
        resourceId=root,
        httpMethod="GET",
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        timeoutInMillis=timeout_ms,
        uri=f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/"
        f"arn:aws:lambda:us-east-1:000000000000:function:{function}/invocations",
    )
    client.create_deployment(restApiId=api_id, stageName="prod")
    return f"{emulator.url}/restapis/{api_id}/prod/_user_request_/"


def get(url: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, dict(refused.headers), refused.read()


def answer_of(
    emulator: Emulator, name: str, code: str, timeout_ms: int = 29_000, **options: object
) -> tuple[int, object]:
    emulator.create(name, code, **options)
    status, _, body = get(api_in_front_of(emulator, name, timeout_ms))
    return status, json.loads(body)


INTERNAL = {"message": "Internal server error"}


@aws(Area.API_GATEWAY, "A function that raises is a 502.", source=ERRORS)
def test_a_function_that_raises_is_a_502(emulator: Emulator):
    found = answer_of(emulator, "gw-raises", "def handler(event, context):\n    raise ValueError('no')\n")
    assert found == (502, INTERNAL)


@aws(Area.API_GATEWAY, "A function that times out is a 502, not a 504.", source=ERRORS)
def test_a_function_timeout_is_a_502(emulator: Emulator):
    code = "import time\ndef handler(event, context):\n    time.sleep(5)\n"
    assert answer_of(emulator, "gw-times-out", code, Timeout=1) == (502, INTERNAL)


@aws(Area.API_GATEWAY, "A runtime that exits is a 502.", source=ERRORS)
def test_a_crash_is_a_502(emulator: Emulator):
    code = "import os\ndef handler(event, context):\n    os._exit(1)\n"
    assert answer_of(emulator, "gw-crashes", code) == (502, INTERNAL)


@aws(Area.API_GATEWAY, "An answer that is not in the form of a proxy response is a 502.", source=PROXY)
def test_a_malformed_proxy_response_is_a_502(emulator: Emulator):
    code = "def handler(event, context):\n    return {'status': 200}\n"
    assert answer_of(emulator, "gw-malformed", code) == (502, INTERNAL)


@aws(Area.API_GATEWAY, "A throttled function is a 500, never a 429.", source=ERRORS)
def test_a_throttled_function_is_a_500(emulator: Emulator):
    emulator.create("gw-throttled", "def handler(event, context):\n    return {'statusCode': 200}\n")
    emulator.client("lambda").put_function_concurrency(FunctionName="gw-throttled", ReservedConcurrentExecutions=0)
    status, headers, body = get(api_in_front_of(emulator, "gw-throttled"))
    assert (status, json.loads(body)) == (500, INTERNAL)
    assert {name.lower(): value for name, value in headers.items()}[
        "x-amzn-errortype"
    ] == "InternalServerErrorException"


@aws(
    Area.API_GATEWAY,
    "A function that takes longer than the integration's timeout is a 504, and runs on.",
    source=LIMITS,
)
def test_an_integration_timeout_is_a_504_and_the_function_runs_on(emulator: Emulator):
    code = """
        import time
        def handler(event, context):
            time.sleep(0.4)
            print('done')
            return {'statusCode': 200}
    """
    assert answer_of(emulator, "gw-slow", code, timeout_ms=150) == (504, {"message": "Endpoint request timed out"})
    emulator.invoke("gw-slow")  # a later invocation in virtual time: the first one has ended by then
    assert [message for _, message in emulator.log("gw-slow")].count("done\n") == 2


@aws(
    Area.API_GATEWAY,
    "A request for a path or method that the API does not have is a 403 that names a missing token.",
    source=ERRORS,
)
def test_an_unknown_path_is_a_403(emulator: Emulator):
    emulator.create("gw-known", "def handler(event, context):\n    return {'statusCode': 200}\n")
    status, _, body = get(api_in_front_of(emulator, "gw-known") + "nothing/here")
    assert (status, json.loads(body)) == (403, {"message": "Missing Authentication Token"})

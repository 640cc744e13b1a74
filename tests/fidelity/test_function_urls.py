"""Function URLs: how they are called, what a function gets of a request, and what the caller gets."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import python_runtime
from tests.emulator.conftest import Emulator
from tests.fidelity.functions import create
from tests.fidelity.table import Area, Grade, aws

pytestmark = pytest.mark.process

INVOCATION = "https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"
CONFIGURATION = "https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html"


def url_of(emulator: Emulator, name: str, code: str, **config: Any) -> str:
    create(emulator, name, python_runtime(), {"index.py": code})
    made = emulator.client("lambda").create_function_url_config(FunctionName=name, AuthType="NONE", **config)
    return str(made["FunctionUrl"])


def call(
    emulator: Emulator, url: str, method: str = "GET", path: str = "/", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    """Under the URL's own Host, without asking a resolver: not every one knows names below localhost."""
    connection = http.client.HTTPConnection("127.0.0.1", emulator.status["port"], timeout=60)
    connection.request(method, path, body, {"Host": urlsplit(url).netloc, **headers})
    answer = connection.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders()}
    text = answer.read().decode()
    connection.close()
    return answer.status, found, text


ECHO = "def handler(event, context):\n    return event\n"


@aws(
    Area.VERSIONS,
    "A Function URL has a host of its own, <id>.lambda-url.<region>, and calls the function for every method and path.",
    source=INVOCATION,
    differs="the host is below localhost, or the path /_aws/lambda-url/<id>/ of the emulator",
)
def test_a_url_leads_to_its_function(emulator: Emulator):
    url = url_of(emulator, "furl-echo", ECHO)
    parts = urlsplit(url)
    url_id, _, rest = parts.hostname.partition(".") if parts.hostname else ("", "", "")
    assert (len(url_id), rest, parts.port) == (32, "lambda-url.us-east-1.localhost", emulator.status["port"])
    for method, path in (("GET", "/"), ("DELETE", "/a/b")):
        status, _, text = call(emulator, url, method, path)
        assert (status, json.loads(text)["requestContext"]["http"]["method"]) == (200, method)
        assert json.loads(text)["rawPath"] == path
    same = f"http://127.0.0.1:{emulator.status['port']}"
    assert call(emulator, same, "GET", f"/_aws/lambda-url/{url_id}/here")[0] == 200


@aws(
    Area.VERSIONS,
    "A Function URL's event has payload format 2.0: one value per header, `$default` as route and stage.",
    source=INVOCATION,
)
def test_the_event_of_a_url(emulator: Emulator):
    url = url_of(emulator, "furl-event", ECHO)
    headers = {"Content-Type": "application/json", "X-Own": "mine"}
    _, _, text = call(emulator, url, "POST", "/path/to?a=1&a=2&b=x%20y", b'{"n": 1}', **headers)
    event = json.loads(text)
    assert (event["version"], event["routeKey"], event["rawPath"]) == ("2.0", "$default", "/path/to")
    assert event["queryStringParameters"] == {"a": "1,2", "b": "x y"}
    assert (event["body"], event["isBase64Encoded"]) == ('{"n": 1}', False)
    assert event["headers"]["x-own"] == "mine"
    context = event["requestContext"]
    assert (context["stage"], context["accountId"], context["http"]["method"]) == ("$default", "anonymous", "POST")
    assert context["domainName"] == f"{context['apiId']}.lambda-url.us-east-1.on.aws"
    assert "pathParameters" not in event


@aws(
    Area.VERSIONS,
    "An answer without `statusCode` is a 200 with the answer as JSON; one with it says status, headers and cookies.",
    source=INVOCATION,
)
def test_the_answer_of_a_url(emulator: Emulator):
    code = """
        def handler(event, context):
            if event['rawPath'] == '/plain':
                return {'message': 'hi'}
            return {'statusCode': 201, 'headers': {'X-Own': 'yes', 'Content-Type': 'text/plain'},
                    'body': 'made', 'cookies': ['a=1']}
    """
    url = url_of(emulator, "furl-answer", code)
    status, headers, text = call(emulator, url, path="/plain")
    assert (status, json.loads(text), headers["content-type"]) == (200, {"message": "hi"}, "application/json")
    status, headers, text = call(emulator, url)
    assert (status, text, headers["content-type"]) == (201, "made", "text/plain")
    assert (headers["x-own"], headers["set-cookie"]) == ("yes", "a=1")


@aws(Area.VERSIONS, "A throttled Function URL answers 429.", source=CONFIGURATION)
def test_a_throttled_url_is_a_429(emulator: Emulator):
    url = url_of(emulator, "furl-throttled", ECHO)
    emulator.client("lambda").put_function_concurrency(FunctionName="furl-throttled", ReservedConcurrentExecutions=0)
    status, headers, _ = call(emulator, url)
    assert (status, headers["x-amzn-errortype"]) == (429, "TooManyRequestsException")


@aws(
    Area.VERSIONS,
    "A function that fails behind its URL is a 502 `Internal Server Error` that tells nothing of the error.",
    source="https://github.com/awsdocs/aws-lambda-developer-guide/issues/430",
    grade=Grade.RECORDED,
)
def test_a_failed_function_is_a_502(emulator: Emulator):
    url = url_of(emulator, "furl-fails", "def handler(event, context):\n    raise ValueError('secret')\n")
    status, _, text = call(emulator, url)
    assert (status, text) == (502, "Internal Server Error")


@aws(
    Area.VERSIONS,
    "A Function URL's CORS settings answer the browser's preflight and mark every answer.",
    source=CONFIGURATION,
)
def test_cors_of_a_url(emulator: Emulator):
    cors = {"AllowOrigins": ["https://shop.example"], "AllowMethods": ["POST"], "MaxAge": 60}
    url = url_of(emulator, "furl-cors", ECHO, Cors=cors)
    origin = {"Origin": "https://shop.example"}
    status, headers, _ = call(emulator, url, "OPTIONS", **origin, **{"Access-Control-Request-Method": "POST"})
    assert (status, headers["access-control-allow-origin"]) == (200, "https://shop.example")
    assert (headers["access-control-allow-methods"], headers["access-control-max-age"]) == ("POST", "60")
    assert call(emulator, url, "POST", **origin)[1]["access-control-allow-origin"] == "https://shop.example"
    foreign = call(emulator, url, "POST", Origin="https://evil.example")[1]
    assert "access-control-allow-origin" not in foreign

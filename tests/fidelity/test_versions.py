"""Versions, aliases, weights, and what an update does to environments."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import Emulator
from tests.fidelity.table import Area, Grade, aws
from tests.fidelity.test_api_gateway import api_in_front_of, get
from tests.fidelity.test_provisioned_concurrency import refusal

pytestmark = pytest.mark.process

ALIASES = "https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html"
VERSIONS = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html"
LIFECYCLE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"
LOCALSTACK = "https://github.com/localstack/localstack/blob/main/tests/aws/services"
RECORDED_API = f"{LOCALSTACK}/lambda_/test_lambda_api.snapshot.json"
RECORDED = f"{LOCALSTACK}/lambda_/test_lambda.snapshot.json"

TELL = """
    import os, uuid
    born = str(uuid.uuid4())
    def handler(event, context):
        body = os.environ.get('SAYS', '') + ' ' + context.function_version
        return {'statusCode': 200, 'body': body, 'headers': {'x-born': born, 'x-arn': context.invoked_function_arn}}
"""


def two_versions(emulator: Emulator, name: str) -> None:
    """Version 1 says one, version 2 says two."""
    client = emulator.client("lambda")
    emulator.create(name, TELL, Environment={"Variables": {"SAYS": "one"}})
    client.publish_version(FunctionName=name)
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"SAYS": "two"}})
    client.publish_version(FunctionName=name)


def born(emulator: Emulator, name: str) -> str:
    found: str = emulator.invoke(name).body["headers"]["x-born"]
    return found


@aws(
    Area.VERSIONS,
    "A weighted alias sends that share of its requests to the second version; x-amz-executed-version and the START "
    "line say which one it was.",
    source=ALIASES,
)
def test_a_weighted_alias_shares_out_its_requests(emulator: Emulator):
    """Binomial: of 60 requests at 30 %, fewer than 5 or more than 35 once in 40 000 runs."""
    two_versions(emulator, "va-weights")
    client = emulator.client("lambda")
    weights = {"AdditionalVersionWeights": {"2": 0.3}}
    client.create_alias(FunctionName="va-weights", Name="live", FunctionVersion="1", RoutingConfig=weights)
    answers = [emulator.invoke("va-weights", Qualifier="live") for _ in range(60)]
    executed = [answer.headers["x-amz-executed-version"] for answer in answers]
    assert [answer.body["body"] for answer in answers] == [
        {"1": "one 1", "2": "two 2"}[version] for version in executed
    ]
    assert 5 <= executed.count("2") <= 35
    started = [
        message.rpartition(" ")[2].strip() for _, message in emulator.log("va-weights") if "START Req" in message
    ]
    assert sorted(started) == sorted(executed)


@aws(Area.VERSIONS, "An event source that names the alias is routed by its weights too.", source=ALIASES)
def test_a_rest_api_in_front_of_an_alias_is_routed_by_its_weights(emulator: Emulator):
    two_versions(emulator, "va-api")
    client = emulator.client("lambda")
    client.create_alias(
        FunctionName="va-api",
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}},
    )
    url = api_in_front_of(emulator, "va-api:live")
    status, headers, body = get(url)
    assert (status, body) == (200, b"two 2")
    client.update_alias(FunctionName="va-api", Name="live", RoutingConfig={"AdditionalVersionWeights": {}})
    assert get(url)[2] == b"one 1"
    arns = {name.lower(): value for name, value in headers.items()}
    assert arns["x-arn"] == "arn:aws:lambda:us-east-1:000000000000:function:va-api:live"


@aws(
    Area.VERSIONS,
    "An alias's second version is one other published version with a weight from 0 to 1.",
    source=f"{ALIASES} {RECORDED_API}",
    grade=Grade.RECORDED,
)
def test_routing_that_makes_no_sense_is_refused(emulator: Emulator):
    two_versions(emulator, "va-refused")
    client = emulator.client("lambda")

    def create(version: str, **weights: float) -> tuple[int, str, str]:
        routing: dict[str, Any] = {"AdditionalVersionWeights": {key.strip("v"): w for key, w in weights.items()}}
        return refusal(
            client.create_alias, FunctionName="va-refused", Name="x", FunctionVersion=version, RoutingConfig=routing
        )

    invalid = "InvalidParameterValueException"
    assert create("1", v1=0.5) == (
        400,
        invalid,
        "Invalid function version 1. Function version 1 is already included in routing configuration.",
    )
    assert create("1", v2=0.5, v3=0.5) == (
        400,
        invalid,
        "Number of items in AdditionalVersionWeights cannot be greater than 1",
    )
    assert create("$LATEST", v2=0.5) == (
        400,
        invalid,
        "$LATEST is not supported for an alias pointing to more than 1 version",
    )
    arn = "arn:aws:lambda:us-east-1:000000000000:function:va-refused"
    assert create("1", v10=0.5) == (404, "ResourceNotFoundException", f"Function not found: {arn}:10")


@aws(
    Area.VERSIONS,
    "An update of the configuration makes the next request cold, in a new environment: the usual way to force one.",
    source=LIFECYCLE,
)
def test_an_update_makes_the_next_request_cold(emulator: Emulator):
    emulator.create("va-update", TELL)
    first = born(emulator, "va-update")
    assert born(emulator, "va-update") == first
    client = emulator.client("lambda")
    client.update_function_configuration(FunctionName="va-update", Description="anything at all")
    second = born(emulator, "va-update")
    assert second != first
    assert born(emulator, "va-update") == second
    assert [report.init_duration_ms is not None for report in emulator.reports("va-update")] == [
        True,
        False,
        True,
        False,
    ]


@aws(
    Area.VERSIONS,
    "A published version is immutable, and keeps its warm environments when $LATEST is updated.",
    source=VERSIONS,
)
def test_a_published_version_stays_as_it_is(emulator: Emulator):
    emulator.create("va-frozen", TELL, Environment={"Variables": {"SAYS": "one"}})
    client = emulator.client("lambda")
    version = client.publish_version(FunctionName="va-frozen")["Version"]
    before = emulator.invoke("va-frozen", Qualifier=version).body
    client.update_function_configuration(FunctionName="va-frozen", Environment={"Variables": {"SAYS": "two"}})
    assert before["body"] == "one 1"
    assert emulator.invoke("va-frozen", Qualifier=version).body == before
    assert emulator.invoke("va-frozen").body["body"] == "two $LATEST"


@aws(
    Area.VERSIONS,
    "A function invoked by an alias sees that alias in its invoked_function_arn, and GetFunctionConfiguration by the "
    "alias names it.",
    source=RECORDED,
    grade=Grade.RECORDED,
)
def test_the_alias_is_in_the_arn(emulator: Emulator):
    two_versions(emulator, "va-arn")
    client = emulator.client("lambda")
    client.create_alias(FunctionName="va-arn", Name="live", FunctionVersion="2")
    arn = "arn:aws:lambda:us-east-1:000000000000:function:va-arn:live"
    assert emulator.invoke("va-arn", Qualifier="live").body["headers"]["x-arn"] == arn
    found = client.get_function_configuration(FunctionName="va-arn", Qualifier="live")
    assert (found["FunctionArn"], found["Version"]) == (arn, "2")

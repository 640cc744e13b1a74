"""Concurrency and throttles. What takes thousands of requests is shown on the scheduler that decides."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from serverless_lab.emulator.commands import Command, SendInvoke, StartEnvironment, Throttle
from serverless_lab.emulator.events import (
    InitCompleted,
    InvokeCompleted,
    InvokeReceived,
    ProvisionedConcurrencySet,
    ReservedConcurrencySet,
)
from serverless_lab.emulator.model import FunctionVersion
from serverless_lab.emulator.scheduler import Scheduler
from tests.emulator.conftest import Emulator
from tests.emulator.playbook import numbered_scheduler
from tests.fidelity.table import Area, Grade, aws
from tests.fidelity.test_api_gateway import api_in_front_of, get

PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html"
RESERVED = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"
SCALING = "https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html"
INVOKE = "https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"
GATEWAY = "https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway-errors.html"
LOCALSTACK = "https://github.com/localstack/localstack/blob/main/tests/aws/services"
RECORDED_API = f"{LOCALSTACK}/lambda_/test_lambda_api.snapshot.json"
RECORDED = f"{LOCALSTACK}/lambda_/test_lambda.snapshot.json"

QUICK = "def handler(event, context):\n    return {'statusCode': 200}\n"
A = FunctionVersion("a", "1", "r1")
B = FunctionVersion("b", "1", "r1")
IDS = itertools.count()


def outcomes(scheduler: Scheduler, function: FunctionVersion, count: int, now_ms: float = 0.0) -> Counter[str]:
    """How many of `count` requests at the same instant are sent, wait for a new environment, or are refused and why."""
    found: Counter[str] = Counter()
    for _ in range(count):
        commands: list[Command] = scheduler.handle(InvokeReceived(f"r{next(IDS)}", function), now_ms)
        for command in commands:
            match command:
                case StartEnvironment():
                    found["started"] += 1
                case SendInvoke():
                    found["sent"] += 1
                case Throttle(reason=reason):
                    found[reason.value] += 1
    return found


def refused(call: Any, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    answer: dict[str, Any] = error.value.response
    return answer


@aws(
    Area.CONCURRENCY,
    "An Invoke that is throttled is a 429 TooManyRequestsException with the reason; the function's log has no line of "
    "it.",
    source=f"{INVOKE} {RECORDED}",
    grade=Grade.RECORDED,
)
@pytest.mark.process
def test_a_throttled_invoke_is_a_429_with_the_reason(emulator: Emulator):
    client = emulator.client("lambda")
    emulator.create("cc-none", QUICK)
    emulator.invoke("cc-none")
    lines = len(emulator.log("cc-none"))
    client.put_function_concurrency(FunctionName="cc-none", ReservedConcurrentExecutions=0)
    answer = refused(client.invoke, FunctionName="cc-none")
    metadata = answer.pop("ResponseMetadata")
    assert metadata["HTTPStatusCode"] == 429
    assert metadata["HTTPHeaders"]["retry-after"] == answer.pop("retryAfterSeconds")
    assert answer == {
        "Error": {"Code": "TooManyRequestsException", "Message": "Rate Exceeded."},
        "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
        "Type": "User",
        "message": "Rate Exceeded.",
    }
    assert len(emulator.log("cc-none")) == lines


@aws(
    Area.CONCURRENCY,
    "Reserved concurrency is a function's maximum; all its versions count together.",
    source=f"{PAGE} {RESERVED}",
)
@pytest.mark.process
def test_reserved_concurrency_is_a_maximum(emulator: Emulator):
    """The function itself invokes another version of itself while it runs."""
    code = """
        import boto3
        def handler(event, context):
            if event == 'inner':
                return 'ran'
            client = boto3.client('lambda')
            try:
                client.invoke(FunctionName='cc-two', Payload=b'"inner"', Qualifier='1')
            except client.exceptions.TooManyRequestsException as refused:
                return refused.response['Reason']
            return 'ran'
    """
    client = emulator.client("lambda")
    once = {"Variables": {"AWS_MAX_ATTEMPTS": "1"}}
    emulator.create("cc-two", code, Timeout=60, MemorySize=1769, Environment=once)
    client.publish_version(FunctionName="cc-two")
    client.put_function_concurrency(FunctionName="cc-two", ReservedConcurrentExecutions=1)
    assert emulator.invoke("cc-two").body == "ReservedFunctionConcurrentInvocationLimitExceeded"
    client.put_function_concurrency(FunctionName="cc-two", ReservedConcurrentExecutions=2)
    assert emulator.invoke("cc-two").body == "ran"


@aws(
    Area.CONCURRENCY,
    "What is reserved must leave 100 of the account's concurrency unreserved.",
    source=f"{RESERVED} {RECORDED_API}",
    grade=Grade.RECORDED,
)
@pytest.mark.process
def test_a_hundred_must_stay_unreserved(emulator: Emulator):
    client = emulator.client("lambda")
    emulator.create("cc-much", QUICK)
    left = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    answer = refused(client.put_function_concurrency, FunctionName="cc-much", ReservedConcurrentExecutions=left - 99)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answer["Error"] == {
        "Code": "InvalidParameterValueException",
        "Message": "Specified ReservedConcurrentExecutions for function decreases account's "
        "UnreservedConcurrentExecution below its minimum value of [100].",
    }
    client.put_function_concurrency(FunctionName="cc-much", ReservedConcurrentExecutions=left - 100)
    settings = client.get_account_settings()["AccountLimit"]
    assert (settings["ConcurrentExecutions"], settings["UnreservedConcurrentExecutions"]) == (1_000, 100)
    client.delete_function_concurrency(FunctionName="cc-much")


@aws(
    Area.CONCURRENCY,
    "Behind a REST API a throttled function is a 500, each time: nobody tries again.",
    source=GATEWAY,
)
@pytest.mark.process
def test_behind_a_rest_api_a_throttle_is_a_500(emulator: Emulator):
    code = "import time\ndef handler(event, context):\n    time.sleep(1)\n    return {'statusCode': 200}\n"
    emulator.create("cc-api", code)
    emulator.client("lambda").put_function_concurrency(FunctionName="cc-api", ReservedConcurrentExecutions=1)
    url = api_in_front_of(emulator, "cc-api")
    statuses: list[int] = []
    bodies: list[Any] = []

    def send() -> None:
        status, _, body = get(url)
        statuses.append(status)
        bodies.append(json.loads(body) if body else None)

    senders = [threading.Thread(target=send) for _ in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(statuses) == [200, 500, 500]
    assert bodies.count({"message": "Internal server error"}) == 2


@aws(
    Area.CONCURRENCY,
    "An account runs 1,000 invocations at once; reserved and provisioned concurrency are taken out of what all share.",
    source=PAGE,
)
def test_an_account_runs_a_thousand_at_once():
    scheduler = numbered_scheduler()
    assert outcomes(scheduler, A, 1_001) == {"started": 1_000, "ConcurrentInvocationLimitExceeded": 1}
    scheduler = numbered_scheduler()
    scheduler.handle(ReservedConcurrencySet("b", 400), 0)
    assert outcomes(scheduler, A, 700) == {"started": 600, "ConcurrentInvocationLimitExceeded": 100}
    assert outcomes(scheduler, B, 401) == {"started": 400, "ReservedFunctionConcurrentInvocationLimitExceeded": 1}


@aws(
    Area.CONCURRENCY,
    "Provisioned concurrency is used first; the rest spills over to on-demand environments: with 200 provisioned of "
    "400 reserved another 200, then throttles.",
    source=PAGE,
)
def test_requests_spill_over_to_on_demand_environments():
    scheduler = numbered_scheduler()
    scheduler.handle(ReservedConcurrencySet("a", 400), 0)
    for command in scheduler.handle(ProvisionedConcurrencySet("a", "1", A, 200), 0):
        scheduler.handle(InitCompleted(command.environment_id), 0)
    assert outcomes(scheduler, A, 410) == {
        "sent": 200,
        "started": 200,
        "ReservedFunctionConcurrentInvocationLimitExceeded": 10,
    }


@aws(
    Area.CONCURRENCY,
    "A function starts at most 1,000 environments in 10 seconds, refilled continuously, not accrued; each function by "
    "itself.",
    source=SCALING,
)
def test_a_function_scales_by_a_thousand_environments_every_ten_seconds():
    scheduler = numbered_scheduler(account_concurrency=20_000)
    assert outcomes(scheduler, A, 1_500)["started"] == 1_000
    assert outcomes(scheduler, B, 1_500)["started"] == 1_000
    assert outcomes(scheduler, A, 1_500, now_ms=1_000)["started"] == 100
    assert outcomes(scheduler, A, 1_500, now_ms=3_600_000)["started"] == 1_000


@aws(
    Area.CONCURRENCY,
    "Synchronous requests are limited to ten times the concurrency in a second: of the account, of a function's "
    "reserved and, before spilling over, of its provisioned concurrency.",
    source=PAGE,
)
def test_requests_per_second_are_limited_to_ten_times_the_concurrency():
    """One environment could serve them all: each has ended before the next comes."""
    scheduler = numbered_scheduler()
    scheduler.handle(ReservedConcurrencySet("a", 1), 0)
    reasons: Counter[str] = Counter()
    for number in range(12):
        for command in scheduler.handle(InvokeReceived(f"s{number}", A), 0):
            if isinstance(command, StartEnvironment):
                scheduler.handle(InitCompleted(command.environment_id), 0)
            if isinstance(command, Throttle):
                reasons[command.reason.value] += 1
            else:
                scheduler.handle(InvokeCompleted("env-1"), 0)
    assert reasons == {"ReservedFunctionInvocationRateLimitExceeded": 2}


@aws(
    Area.CONCURRENCY,
    "All of a function's reserved concurrency provisioned leaves $LATEST throttled.",
    source=f"{PAGE} {RECORDED}",
    grade=Grade.RECORDED,
)
def test_as_much_provisioned_as_reserved_throttles_latest():
    scheduler = numbered_scheduler()
    scheduler.handle(ReservedConcurrencySet("a", 1), 0)
    for command in scheduler.handle(ProvisionedConcurrencySet("a", "1", A, 1), 0):
        scheduler.handle(InitCompleted(command.environment_id), 0)
    latest = FunctionVersion("a", "$LATEST", "r1")
    assert outcomes(scheduler, latest, 1) == {"ReservedFunctionConcurrentInvocationLimitExceeded": 1}
    assert outcomes(scheduler, A, 1) == {"sent": 1}

"""A scenario's bill before it is sent: two ends, and what was measured lies between them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.cost.estimate import Estimate, Stack, estimate
from serverless_lab.cost.prices import load_prices
from serverless_lab.cost.run_usage import run_usage
from serverless_lab.project import DeployedFunction
from tests.cost.frames import CALLS, MANIFEST, cold, frame, line

PRICES = load_prices("us-east-1")


def function(name: str = "ingest", **changes: Any) -> DeployedFunction:
    found = DeployedFunction(name, name, f"/aws/lambda/{name}", 512, 5, "python3.12", "x86_64")
    return replace(found, **changes)


STACK = Stack((function(), function("small", memory_size_mb=128)), "rest", frozenset({"AWS::S3::Bucket"}))


def of(requests: int = 500, stack: Stack = STACK, **changes: Any) -> Estimate:
    asked: dict[str, Any] = {"duration_s": 60.0, "environments_max": 140, "prices": PRICES, **changes}
    return estimate(requests=requests, stack=stack, **asked)


def test_the_calls_of_the_api_are_certain():
    found = of()
    assert found.low.amount("apigateway") == found.high.amount("apigateway") == Decimal("0.00175")
    assert of(stack=replace(STACK, api_type="http")).low.amount("apigateway") == Decimal("0.0005")


def test_the_least_is_the_smallest_function_for_ten_milliseconds():
    """500 x 0.01 s x 0.125 GB."""
    (duration,) = [row for row in of().low.lines if row.item == "lambda.duration.x86_64"]
    assert duration.quantity == Decimal("0.625")
    assert of().low.amount("s3") == 0


def test_the_most_is_every_function_until_its_timeout_after_the_longest_init():
    """500 x 5 s and 140 x 10 s, at 0.5 GB and at 0.125 GB."""
    (duration,) = [row for row in of().high.lines if row.item == "lambda.duration.x86_64"]
    assert duration.quantity == (500 * 5 + 140 * 10) * Decimal("0.625")


def test_what_the_stack_does_not_have_is_not_called():
    assert of().high.amount("dynamodb") == 0
    assert of().high.amount("s3") > 0
    with_table = replace(STACK, resources=frozenset({"AWS::DynamoDB::Table"}))
    assert of(stack=with_table).high.amount("dynamodb") > 0
    assert "DynamoDB" in " ".join(of(stack=with_table).assumptions)
    assert "DynamoDB" not in " ".join(of().assumptions)


def test_provisioned_concurrency_costs_while_it_stands():
    """Five minutes of one minute's run at least; an hour more at most; and what an hour costs is said."""
    found = of(stack=replace(STACK, functions=(function(provisioned_environments=5),)))
    rate = Decimal("0.0000041667")
    assert found.low.amount("lambda.provisioned.allocated") == 5 * Decimal("0.5") * 300 * rate
    assert found.high.amount("lambda.provisioned.allocated") == 5 * Decimal("0.5") * 3900 * rate
    assert found.hourly == 5 * Decimal("0.5") * 3600 * rate
    assert any("$0.04 an hour" in text for text in found.lines())


def test_an_earlier_run_of_the_stack_says_what_is_likely():
    lines = frame(*[cold()] * 2, *[line()] * 2)
    measured = run_usage(MANIFEST, lines, 4, {**CALLS, "stored_bytes": {}, "log_bytes": 4000})
    found = of(measured=measured)
    assert found.likely is not None
    assert found.likely.amount("lambda.requests") == found.requests * Decimal("0.0000002")
    assert found.low.total < found.likely.total < found.high.total
    assert of().likely is None


def test_prices_that_are_assumed_are_among_the_assumptions():
    assert any(
        "assumed prices for ap-southeast-2: " in text for text in of(prices=load_prices("ap-southeast-2")).assumptions
    )


def test_the_json_has_both_ends_and_what_they_assume():
    data = of().to_json()
    assert data["low"]["total"] < data["high"]["total"]
    assert len(data["assumptions"]) == 2


functions = st.builds(
    function,
    memory_size_mb=st.integers(128, 10_240),
    timeout_s=st.integers(1, 900),
    architecture=st.sampled_from(["x86_64", "arm64"]),
    provisioned_environments=st.integers(0, 100),
)


@given(st.integers(1, 10**7), st.lists(functions, max_size=5), st.floats(0, 86_400), st.integers(0, 1000))
def test_the_least_is_never_more_than_the_most(requests, there, duration_s, environments):
    stack = Stack(tuple(there), "rest", frozenset())
    found = of(requests, stack, duration_s=duration_s, environments_max=environments)
    assert 0 < found.low.total <= found.high.total


@pytest.mark.parametrize("requests", [1, 500, 1_000_000])
def test_both_ends_grow_with_the_requests(requests):
    assert of(requests).low.total < of(requests + 1).low.total
    assert of(requests).high.total < of(requests + 1).high.total

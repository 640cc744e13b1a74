"""What the API of provisioned concurrency and weighted aliases decides, as rules over plain values."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.emulator.allocation import AllocationCounts, AllocationStatus
from serverless_lab.emulator.concurrency import Claims
from serverless_lab.emulator.provisioned import (
    Qualified,
    described,
    refused_provisioned,
    refused_reserved,
    refused_routing,
    routed,
)

ARN = "arn:aws:lambda:us-east-1:000000000000:function:shop"
LIVE = Qualified(ARN, "live", "1", is_alias=True)


@given(st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_the_second_version_serves_as_many_as_its_weight_says(weight, point):
    assert routed("1", {"2": weight}, point) == ("2" if point < weight else "1")


@pytest.mark.parametrize(("weight", "version"), [(0.0, "1"), (1.0, "2")])
def test_a_weight_of_nothing_or_all_leaves_nothing_to_chance(weight, version):
    points = random.Random(1)
    assert {routed("1", {"2": weight}, points.random()) for _ in range(1_000)} == {version}


def test_an_alias_without_weights_has_one_version():
    assert routed("7", {}, 0.0) == "7"


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_a_weight_that_is_no_share_is_refused_with_its_value(weight):
    refusal = refused_routing(ARN, "1", {"2": weight}, {"1", "2"})
    assert refusal is not None
    assert f"Value '{{2={weight}}}'" in refusal.message


def test_provisioned_concurrency_of_a_function_stays_within_what_it_has_reserved():
    """The other versions count: documented at the provisioned concurrency page."""
    claims = Claims(1_000, {"shop": 10}, {"shop": {"2": 6}})
    assert refused_provisioned(LIVE, "shop", 4, claims, {"2": "2"}) is None
    refusal = refused_provisioned(LIVE, "shop", 5, claims, {"2": "2"})
    assert refusal is not None
    assert refusal.message.endswith("should not be greater than the reservedConcurrentExecution for function")


def test_reserving_less_than_is_provisioned_is_refused():
    claims = Claims(1_000, {}, {"shop": {"live": 5}})
    assert refused_reserved("shop", 5, claims) is None
    refusal = refused_reserved("shop", 4, claims)
    assert refusal is not None
    assert refusal.message.endswith("should not be lower than function's total provisioned concurrency [5].")


def test_reserving_nothing_is_never_too_much():
    """It stops a function, in an account however full."""
    assert refused_reserved("shop", 0, Claims(1_000, {"other": 900})) is None


def test_an_alias_with_weights_cannot_have_it():
    refusal = refused_provisioned(
        Qualified(ARN, "live", "1", is_alias=True, has_routing=True), "shop", 1, Claims(1_000), {}
    )
    assert refusal is not None
    assert refusal.message == "Invalid alias configuration for Provisioned Concurrency"


def test_changing_the_number_of_an_alias_does_not_count_what_it_has_twice():
    claims = Claims(1_000, {}, {"shop": {"live": 800}})
    assert refused_provisioned(LIVE, "shop", 900, claims, {"live": "1"}) is None
    assert refused_provisioned(LIVE, "shop", 901, claims, {"live": "1"}) is not None


def test_a_reason_is_given_only_where_there_is_one():
    ready = described(AllocationCounts(AllocationStatus.READY, 2, 2, 2), "then")
    assert "StatusReason" not in ready
    failed = described(AllocationCounts(AllocationStatus.FAILED, 2, 0, 0, "why"), "then")
    assert (failed["Status"], failed["StatusReason"]) == ("FAILED", "why")

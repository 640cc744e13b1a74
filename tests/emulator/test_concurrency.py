"""Limits on concurrency, requests per second and the scaling rate, as arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.emulator.concurrency import Claims, Concurrency, TokenBucket
from serverless_lab.emulator.model import ThrottleReason


def admitted(concurrency: Concurrency, name: str, count: int, now_ms: float = 0.0, **options) -> int:
    return sum(concurrency.admit(name, now_ms, **options) is None for _ in range(count))


def test_a_bucket_is_refilled_continuously_and_holds_no_more_than_its_capacity():
    """documented: https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html."""
    bucket = TokenBucket(1_000, per_second=100)
    assert sum(bucket.take(0) for _ in range(1_500)) == 1_000
    assert sum(bucket.take(50) for _ in range(10)) == 5
    assert sum(bucket.take(3_600_000) for _ in range(1_500)) == 1_000, "an idle hour accrues nothing beyond"


@given(st.lists(st.floats(0, 2_000), max_size=200))
def test_in_no_interval_more_than_the_capacity_and_the_refill_are_taken(times):
    bucket = TokenBucket(5, per_second=10)
    taken = [now for now in sorted(times) if bucket.take(now)]
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            most = 5 + (taken[last] - taken[first]) / 1000 * 10
            assert last - first + 1 <= most + 1e-6


def test_a_function_starts_a_thousand_environments_in_ten_seconds_each_function_by_itself():
    concurrency = Concurrency(10_000)
    assert admitted(concurrency, "f", 1_200, starts_environment=True) == 1_000
    assert concurrency.admit("f", 0, starts_environment=True) is ThrottleReason.ACCOUNT
    assert admitted(concurrency, "g", 1_200, starts_environment=True) == 1_000
    assert admitted(concurrency, "f", 1_200, now_ms=5_000, starts_environment=True) == 500


def test_a_warm_environment_does_not_count_against_the_scaling_rate():
    concurrency = Concurrency(10_000)
    admitted(concurrency, "f", 1_000, starts_environment=True)
    assert concurrency.admit("f", 0, starts_environment=False) is None


def test_an_account_takes_ten_requests_a_second_for_each_unit_of_concurrency():
    concurrency = Concurrency(10)
    for number in range(100):
        assert concurrency.admit("f", 0) is None, number
        concurrency.release("f")
    assert concurrency.admit("f", 0) is ThrottleReason.RATE
    assert concurrency.admit("f", 0, synchronous=False) is None, "asynchronous invocations have no such limit"
    assert concurrency.admit("f", 10) is None


def test_a_function_takes_ten_requests_a_second_for_each_unit_of_its_reserved_concurrency():
    concurrency = Concurrency(1_000)
    concurrency.reserve("f", 1)
    for _ in range(10):
        assert concurrency.admit("f", 0) is None
        concurrency.release("f")
    assert concurrency.admit("f", 0) is ThrottleReason.RESERVED_RATE
    assert concurrency.admit("g", 0) is None


def test_provisioned_concurrency_is_set_aside_and_the_rest_is_for_everybody():
    """The example of AWS's page: 400 of 1,000 provisioned for one function, 600 left for all, itself included."""
    concurrency = Concurrency(1_000)
    concurrency.provision("orange", 400)
    assert admitted(concurrency, "other", 350) == 350
    assert admitted(concurrency, "orange", 400, on_provisioned=True) == 400
    assert admitted(concurrency, "orange", 300) == 250, "what the other left"
    assert concurrency.admit("other", 0) is ThrottleReason.ACCOUNT


def test_with_reserved_concurrency_what_is_provisioned_comes_out_of_that():
    """The example of AWS's page: 200 provisioned of 400 reserved."""
    concurrency = Concurrency(1_000)
    concurrency.reserve("orange", 400)
    concurrency.provision("orange", 200)
    assert admitted(concurrency, "orange", 300) == 200
    assert admitted(concurrency, "orange", 200, on_provisioned=True) == 200
    assert concurrency.admit("orange", 0) is ThrottleReason.RESERVED
    assert admitted(concurrency, "other", 700) == 600


def test_all_of_the_reserved_concurrency_provisioned_leaves_nothing_on_demand():
    """So $LATEST, which cannot be provisioned, is throttled: AWS's page says so."""
    concurrency = Concurrency(1_000)
    concurrency.reserve("f", 5)
    concurrency.provision("f", 5)
    assert concurrency.admit("f", 0) is ThrottleReason.RESERVED


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=80),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_limits_hold_and_counts_return_to_zero_whatever_comes(steps, reserved, provisioned):
    """`a` has reserved concurrency, `b` provisioned."""
    concurrency = Concurrency(12)
    concurrency.reserve("a", reserved)
    concurrency.provision("b", provisioned)
    inside: list[tuple[str, bool]] = []
    for name, leaves, wants_provisioned in steps:
        on_provisioned = wants_provisioned and name == "b" and concurrency.running_provisioned["b"] < provisioned
        if leaves and inside:
            left, was_provisioned = inside.pop(0)
            concurrency.release(left, on_provisioned=was_provisioned)
        elif concurrency.admit(name, 0.0, on_provisioned=on_provisioned, synchronous=False) is None:
            inside.append((name, on_provisioned))
        assert concurrency.running["a"] <= reserved
        assert concurrency.running.total() + concurrency.running_provisioned.total() <= 12
        assert concurrency.unreserved_running() <= 12 - reserved - provisioned
    for name, was_provisioned in inside:
        concurrency.release(name, on_provisioned=was_provisioned)
    assert not concurrency.running
    assert not concurrency.running_provisioned


@pytest.mark.parametrize(("account", "minimum"), [(1_000, 100), (10, 10)])
def test_a_hundred_stay_unreserved_or_all_that_a_small_account_has(account, minimum):
    assert Claims(account).minimum_unreserved() == minimum


def test_what_a_function_has_provisioned_within_its_reserved_concurrency_is_not_counted_twice():
    claims = Claims(1_000, {"a": 300}, {"a": {"live": 100}, "b": {"live": 50, "2": 25}})
    assert claims.unreserved() == 625
    assert claims.unreserved("b", "live") == 675
    assert claims.unreserved("a") == 925
    assert claims.provisioned_of("b", but="2") == 50

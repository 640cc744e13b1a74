"""Rates, quantiles and their intervals, against published values and closed forms."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.coldstarts.statistics import (
    Rate,
    Sample,
    bin_width_ms,
    interval_ranks,
    merged,
    nearest_rank,
    quantile_interval,
    quantiles,
    sample_of,
    sorted_values,
    summary_of,
    wilson_interval,
)
from tests.coldstarts.runs import ORDERS, story


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_the_published_ones(count, n, low, high):
    """R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3."""
    found = wilson_interval(count, n)
    assert found is not None
    assert (round(found[0], 4), round(found[1], 4)) == (low, high)


def test_a_rate_of_nothing_is_no_rate():
    assert Rate(0, 0).rate is None
    assert Rate(0, 0).interval is None
    assert Rate(None, 10).rate is None


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_wilson_interval_holds_the_rate_and_stays_within_0_and_1(pair):
    count, n = pair
    found = wilson_interval(count, n)
    assert found is not None
    low, high = found
    assert 0 <= low <= count / n <= high <= 1
    mirrored = wilson_interval(n - count, n)
    assert mirrored == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    ("n", "ranks"),
    [(6, (1, 6)), (9, (2, 8)), (10, (2, 9)), (12, (3, 10)), (15, (4, 12)), (16, (4, 13)), (17, (5, 13)), (20, (6, 15))],
)
def test_the_medians_interval_has_the_tabulated_ranks(n, ranks):
    """The usual table of confidence intervals for the population median (95 % or the next above)."""
    assert interval_ranks(n, 0.5) == ranks


@pytest.mark.parametrize(("n", "p"), [(0, 0.5), (5, 0.5), (35, 0.9), (367, 0.99)])
def test_few_values_state_no_interval(n, p):
    """The greatest of them may lie below the quantile with more than 2.5 %."""
    assert interval_ranks(n, p) is None


@pytest.mark.parametrize(("n", "p"), [(6, 0.5), (36, 0.9), (368, 0.99)])
def test_one_value_more_can_be_enough(n, p):
    """p to the power n falls below 2.5 % there."""
    assert p**n <= 0.025 < p ** (n - 1)
    assert interval_ranks(n, p) is not None


@given(st.integers(1, 400), st.sampled_from([0.5, 0.9, 0.99]))
def test_ranks_enclose_the_quantile_with_95_percent_and_no_rank_is_wasted(n, p):
    """Against the exact binomial distribution, summed naively."""
    ranks = interval_ranks(n, p)
    below = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    if ranks is None:
        assert below[0] > 0.025 or below[n] > 0.025
        return
    low, high = ranks
    assert sum(below[:low]) <= 0.025 + 1e-9
    assert sum(below[: low + 1]) > 0.025 - 1e-9
    assert sum(below[high:]) <= 0.025 + 1e-9
    assert sum(below[high - 1 :]) > 0.025 - 1e-9


def test_intervals_of_large_samples_are_those_of_the_normal_approximation():
    n = 1_000_000
    low, high = interval_ranks(n, 0.5) or (0, 0)
    assert low == pytest.approx(n / 2 - 1.96 * math.sqrt(n) / 2, abs=3)
    assert high == pytest.approx(n / 2 + 1.96 * math.sqrt(n) / 2, abs=3)


def test_intervals_hold_the_true_quantile_about_as_often_as_they_say():
    """2,000 samples of 60 exponential values: the true median lies inside in 95 % or a little more."""
    rng = random.Random(7)
    inside = 0
    for _ in range(2_000):
        low, high = quantile_interval(sorted(rng.expovariate(1.0) for _ in range(60)), 0.5) or (0, 0)
        inside += low <= math.log(2) <= high
    assert 0.94 < inside / 2_000 < 0.985


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_a_value_that_enough_values_do_not_exceed(values, p):
    ordered = sorted(values)
    found = nearest_rank(ordered, p)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= p * len(ordered) - 1e-9
    assert sum(value < found for value in ordered) < p * len(ordered) + 1e-9


def test_quantiles_of_a_hundred_numbers():
    found = quantiles([*range(1, 101), math.nan])
    assert (found.n, found.p50, found.p90, found.p99, found.max) == (100, 50, 90, 99, 100)
    assert found.p50_interval == (40, 61)
    assert found.p99_interval is None


def test_quantiles_of_nothing_are_absent():
    found = quantiles([])
    assert (found.n, found.p50, found.max, found.p50_interval) == (0, None, None, None)


# --- samples ---------------------------------------------------------------------------------------------------------


def frame_of(*environments):
    from serverless_lab.coldstarts.frame import to_frame
    from serverless_lab.coldstarts.invocations import build_invocations

    return to_frame(build_invocations(event for told in environments for event in told.events).rows)


def test_a_sample_holds_what_the_statistics_of_its_invocations_need():
    """Mail's proactive invocation carries an Init Duration: it is in `with_init`, and not among the cold inits."""
    sample = sample_of(frame_of(*story()), 3)
    assert sample.invocations == 8
    assert (sample.with_init, list(sample.init_ms)) == (3, [230.0, 250.0])
    assert list(sample.init_plus_first_ms) == [250.0, 280.0, 300.0]
    assert list(sample.durations_ms) == [20.0, 20.0, 20.0, 20.0, 20.0, 30.0, 300.0, 3000.0]
    assert (sample.timeouts, sample.errors, sample.memory_sizes_mb, sample.max_memory_used_mb) == (1, 0, (256,), 91)
    assert (sample.billed, sample.billed_ms, sample.billed_mb_ms) == (8, 3438, 3438 * 256)


def test_samples_of_parts_make_the_sample_of_the_whole():
    frame = frame_of(*story())
    parts = [sample_of(frame[frame["function"] == name], count) for name, count in ((ORDERS, 2), ("none", 0))]
    parts.append(sample_of(frame[frame["function"] != ORDERS], 1))
    whole, together = sample_of(frame, 3), merged(parts)
    assert summary_of(together) == summary_of(whole)
    assert (together.billed_ms, together.billed_mb_ms) == (whole.billed_ms, whole.billed_mb_ms)
    assert merged([*parts, Sample()]).environments is None, "one part that cannot tell leaves the sum unknown"


def test_a_sample_of_nothing_has_no_rate_and_no_quantile():
    empty = summary_of(Sample())
    assert (empty.invocations, empty.cold_starts.rate, empty.duration_ms.n, empty.environments) == (0, None, 0, None)
    assert summary_of(merged([])) == empty


@given(st.lists(st.floats(0, 1e6) | st.just(math.nan), max_size=50))
def test_values_are_sorted_and_nan_is_none(values):
    assert sorted_values(values).tolist() == sorted(value for value in values if not math.isnan(value))
    assert sorted_values(np.array(values)).tolist() == sorted_values(values).tolist()


@given(st.integers(1, 10**11))
def test_bins_are_few_and_round(span):
    width = bin_width_ms(span)
    assert span <= width * 24
    assert width % 1000 == 0

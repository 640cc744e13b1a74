"""Two-sample tests, against published values, brute force and what they promise."""

from __future__ import annotations

import math
import random
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.coldstarts import differences
from serverless_lab.coldstarts.differences import (
    BUCKET_RATIO,
    Distribution,
    greater,
    holm,
    hypergeometric_tail,
    newcombe_interval,
    rate_greater,
    tail_greater,
)


def of(values) -> Distribution:
    return Distribution.of(np.sort(np.asarray(values, dtype=np.float64)))


# --- proportions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "before", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_intervals_of_differences_are_the_published_ones(now, before, low, high):
    """R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10."""
    found = newcombe_interval(now, before)
    assert (round(found[0], 4), round(found[1], 4)) == (low, high)


rates = st.integers(1, 2_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(rates, rates)
def test_a_p_value_below_the_level_and_an_interval_above_zero_are_the_same_thing(now, before):
    found = rate_greater(now, before)
    assert found.interval[0] <= found.difference <= found.interval[1]
    if abs(found.interval[0]) > 1e-9:
        assert (found.p < 0.025) == (found.interval[0] > 0)


@given(rates, rates)
def test_greater_one_way_is_not_greater_the_other_way(now, before):
    assert rate_greater(now, before).p + rate_greater(before, now).p == pytest.approx(1)


def test_a_factor_allows_for_as_much():
    """10 % is twice 5 %: beyond any doubt greater, and not more than twice as great."""
    assert rate_greater((1_000, 10_000), (500, 10_000)).p < 1e-12
    assert rate_greater((1_000, 10_000), (500, 10_000), factor=2.0).p == 0.5
    assert rate_greater((1_200, 10_000), (500, 10_000), factor=2.0).p < 0.01


def test_equal_rates_are_found_different_about_as_rarely_as_promised():
    rng = random.Random(5)

    def draw(n):
        return sum(rng.random() < 0.06 for _ in range(n)), n

    found = sum(rate_greater(draw(300), draw(500)).p < 0.05 for _ in range(1_500))
    assert 0.02 < found / 1_500 < 0.07


# --- times -----------------------------------------------------------------------------------------------------------


def brute_force(now, before):
    """P(the rank sum is at least this great) over every way to choose who is `now`."""
    both = [*now, *before]
    ranks = [sum(other < value for other in both) + (sum(other == value for other in both) + 1) / 2 for value in both]
    wanted = sum(ranks[: len(now)])
    sums = [sum(chosen) for chosen in combinations(ranks, len(now))]
    return sum(found >= wanted - 1e-9 for found in sums) / len(sums)


small = st.lists(st.integers(1, 6).map(float), min_size=1, max_size=5)


@settings(deadline=None)
@given(small, small)
def test_few_values_are_tested_exactly_ties_included(now, before):
    found = greater(of(now), of(before))
    assert found.p == pytest.approx(brute_force(now, before))
    wins = sum((a > b) + (a == b) / 2 for a in now for b in before)
    assert found.share == pytest.approx(wins / (len(now) * len(before)))
    assert found.p >= found.p_least - 1e-12


@pytest.mark.parametrize("decimals", [0, 2], ids=["many ties", "few ties"])
def test_the_normal_approximation_takes_over_where_it_is_as_good(monkeypatch, decimals):
    rng = random.Random(1)
    for _ in range(30):
        now, before = (of([round(rng.gauss(mean, 3), decimals) for _ in range(20)]) for mean in (11.5, 10))
        monkeypatch.setattr(differences, "_EXACT_RANKS", 40)
        exact = greater(now, before).p
        monkeypatch.setattr(differences, "_EXACT_RANKS", 0)
        approximate = greater(now, before).p
        assert approximate != exact
        assert approximate == pytest.approx(exact, abs=0.005)


@pytest.mark.parametrize("size", [30, 300])
def test_samples_of_one_distribution_differ_about_as_rarely_as_promised(size):
    rng = random.Random(size)

    def draw():
        return of([math.exp(rng.gauss(5, 0.4)) for _ in range(size)])

    pairs = [(draw(), draw()) for _ in range(600)]
    assert 0.03 < sum(greater(*pair).p < 0.05 for pair in pairs) / 600 < 0.075
    assert sum(tail_greater(*pair).p < 0.05 for pair in pairs) / 600 < 0.07


def test_a_shift_is_found_and_an_allowed_one_is_not():
    rng = random.Random(2)
    before = [math.exp(rng.gauss(5, 0.2)) for _ in range(200)]
    slower = [value * 1.2 for value in before]
    assert greater(of(slower), of(before)).p < 1e-6
    assert greater(of(slower), of(before), factor=1.2).p == pytest.approx(0.5, abs=0.01)
    assert greater(of(slower), of(before), factor=1.5).p > 0.99


def test_a_heavier_tail_is_found_long_before_the_ranks_of_all_values_tell():
    """One of twelve takes three times as long: the middle does not move."""
    rng = random.Random(3)
    before = [rng.uniform(100, 110) for _ in range(400)]
    now = [value * (3 if n % 12 == 0 else 1) for n, value in enumerate(before)]
    assert greater(of(now), of(before)).p > 0.01
    assert tail_greater(of(now), of(before)).p < 1e-4
    assert tail_greater(of(before), of(now)).p > 0.99


@given(st.integers(1, 60), st.data())
def test_the_hypergeometric_tail_is_that_of_counting(total, data):
    marked = data.draw(st.integers(0, total))
    drawn = data.draw(st.integers(1, total))
    found = data.draw(st.integers(0, drawn + 1))
    ways = sum(
        math.comb(marked, k) * math.comb(total - marked, drawn - k) for k in range(found, min(drawn, marked) + 1)
    )
    assert hypergeometric_tail(found, total, marked, drawn) == pytest.approx(ways / math.comb(total, drawn), abs=1e-12)


def test_the_hypergeometric_tail_of_large_numbers_is_that_of_the_normal_distribution():
    total, marked, drawn = 2_000_000, 200_000, 1_000_000
    sd = math.sqrt(drawn * 0.1 * 0.9 * (total - drawn) / (total - 1))
    found = hypergeometric_tail(round(100_000 + 1.96 * sd), total, marked, drawn)
    assert found == pytest.approx(0.025, rel=0.02)


# --- what is saved ---------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.01, 900_000).map(lambda value: round(value, 2)), min_size=1, max_size=40))
def test_a_saved_distribution_is_the_one_that_comes_back(values):
    found = of(values)
    again = Distribution.from_json(found.to_json())
    assert np.repeat(again.values, again.counts).tolist() == sorted(values)
    coarse = Distribution.from_json(found.in_buckets().to_json())
    assert coarse.n == len(values)
    middles = np.repeat(coarse.values, coarse.counts)
    assert np.all(np.abs(middles / np.sort(values) - 1) <= BUCKET_RATIO - 1)


def test_many_values_are_saved_in_few_buckets_and_say_nearly_the_same():
    rng = random.Random(4)
    before, now = ([math.exp(rng.gauss(mean, 0.4)) for _ in range(20_000)] for mean in (5.0, 5.012))
    coarse = of(now), of(before)
    assert all(part.indices is not None and len(part.values) < 500 for part in coarse)
    exact = [Distribution(*np.unique(np.array(values), return_counts=True)) for values in (now, before)]
    assert greater(*coarse).p == pytest.approx(greater(*exact).p, rel=0.3)
    assert greater(*coarse).p < 0.01
    assert greater(coarse[0], of(before[:500])).share == pytest.approx(
        greater(exact[0], of(before[:500])).share, abs=0.01
    )


@pytest.mark.parametrize(
    "data",
    [{}, {"values": ["a"]}, {"values": [math.nan]}, {"bucket_ratio": 2, "buckets": [], "counts": []}],
    ids=str,
)
def test_what_was_not_saved_by_us_is_refused(data):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Distribution.from_json(data)


# --- many tests ------------------------------------------------------------------------------------------------------


def test_holms_adjustment_is_the_textbook_one():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_adjusted_p_values_keep_their_order_and_are_never_smaller(p_values):
    adjusted = holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert all(adjusted[a] <= adjusted[b] for a, b in pairwise(order))

"""Intervals of several runs: against closed forms, and against how often they hold when the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from serverless_lab.coldstarts.statistics import nearest_rank, wilson_interval
from serverless_lab.compare.estimates import (
    NOTHING,
    mean,
    mean_difference,
    newcombe_paired_interval,
    paired_rate_difference,
    pooled_rate,
    quantile_differences,
    quantiles,
    student_quantile,
)


def flags(*positions: int, n: int = 100) -> np.ndarray:
    found = np.zeros(n, dtype=bool)
    found[list(positions)] = True
    return found


@pytest.mark.parametrize(
    ("degrees", "known"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (29, 2.04523), (1000, 1.96234)],
)
def test_students_quantile_is_that_of_the_tables(degrees: int, known: float) -> None:
    assert student_quantile(degrees) == pytest.approx(known, rel=0.002)


def test_a_pooled_rate_has_wilsons_interval_where_runs_differ_no_more_than_chance() -> None:
    found = pooled_rate([(145, 500), (146, 500), (144, 500)])
    assert (found.value, found.count, found.n, found.runs) == (435 / 1500, 435, 1500, 3)
    assert found.interval == wilson_interval(435, 1500)


def test_a_pooled_rate_is_less_sure_when_runs_differ_by_more_than_chance() -> None:
    """Requests of one seed are then not independent of each other: three runs are three observations."""
    wild = pooled_rate([(50, 500), (150, 500), (250, 500)])
    tame = pooled_rate([(150, 500)] * 3)
    assert wild.value == tame.value
    assert wild.interval is not None and tame.interval is not None
    assert wild.interval[1] - wild.interval[0] > 5 * (tame.interval[1] - tame.interval[0])
    assert 0 <= wild.interval[0] < wild.interval[1] <= 1


def test_what_was_not_measured_has_no_rate() -> None:
    assert pooled_rate([]) == pooled_rate([(0, 0)]) == NOTHING


def test_the_paired_interval_is_newcombes() -> None:
    """The worked example of his paper, table II: 36 and 12 and 2 and 0 of 50."""
    low, high = newcombe_paired_interval(36, 12, 2, 0)
    assert (low, high) == pytest.approx((0.0569, 0.3404), abs=0.0002)


def test_comparing_request_by_request_shows_a_difference_that_two_rates_could_not() -> None:
    """Five of 145 that no longer wait, in every run: the rates' own intervals are eight times as wide as that."""
    runs = [(flags(*range(5, 145), n=500), flags(*range(145), n=500))] * 3
    found = paired_rate_difference(runs)
    assert found.value == pytest.approx(-0.01)
    assert found.interval is not None
    assert -0.02 < found.interval[0] < -0.01 < found.interval[1] < 0


def test_the_same_requests_in_both_differ_by_nothing() -> None:
    found = paired_rate_difference([(flags(1, 2, 3), flags(1, 2, 3))] * 3)
    assert found.value == 0
    assert found.interval is not None
    assert found.interval[0] <= 0 <= found.interval[1]


def test_a_quantile_is_the_nearest_rank_of_all_values_and_lies_in_its_interval() -> None:
    rng = np.random.default_rng(3)
    runs = [rng.lognormal(5, 0.5, 400) for _ in range(3)]
    together = np.sort(np.concatenate(runs))
    for point, found in zip((0.5, 0.95, 0.99), quantiles(runs, (0.5, 0.95, 0.99)), strict=True):
        assert found.value == nearest_rank(together, point)
        assert found.interval is not None
        assert found.interval[0] <= found.value <= found.interval[1]


def test_few_values_have_a_quantile_and_no_interval() -> None:
    assert quantiles([np.array([4.0, 7.0])], [0.5])[0].interval is None
    assert quantiles([np.array([])], [0.5]) == [NOTHING]


def test_the_same_runs_have_the_same_intervals() -> None:
    """A report that is made again says the same."""
    runs = [np.random.default_rng(seed).normal(100, 20, 50) for seed in range(3)]
    assert quantiles(runs, [0.5, 0.99]) == quantiles(runs, [0.5, 0.99])


def test_a_difference_of_the_same_requests_leaves_out_what_both_have_in_common() -> None:
    rng = np.random.default_rng(11)
    before = [rng.normal(200, 60, 300) for _ in range(3)]
    after = [values + 10 + rng.normal(0, 1, 300) for values in before]
    paired = quantile_differences(after, before, [0.5], same_requests=True)[0]
    apart = quantile_differences(after, before, [0.5], same_requests=False)[0]
    assert paired.interval is not None and apart.interval is not None
    assert paired.interval[0] < 10 < paired.interval[1]
    assert paired.interval[1] - paired.interval[0] < 0.5 * (apart.interval[1] - apart.interval[0])


def test_two_runs_say_nothing_of_how_runs_differ() -> None:
    assert mean([5.0, 6.0]).interval is None
    assert mean([5.0, 6.0, 7.0]).interval == pytest.approx((6 - 4.3027 / math.sqrt(3), 6 + 4.3027 / math.sqrt(3)), 1e-3)


def test_a_difference_of_means_is_taken_seed_by_seed() -> None:
    found = mean_difference([11.0, 21.0, 31.0], [10.0, 20.0, 30.0])
    assert (found.value, found.interval) == (1.0, (1.0, 1.0))


def test_intervals_of_rates_hold_as_often_as_they_say_also_when_seeds_differ() -> None:
    """200 comparisons of 4 runs whose own rates scatter around 30 % by 4 points: Wilson's alone hold in two thirds."""
    rng = np.random.default_rng(1)
    held = wilson = 0
    for _ in range(200):
        rates = np.clip(rng.normal(0.3, 0.04, 4), 0.01, 0.99)
        runs = [(int(rng.binomial(500, rate)), 500) for rate in rates]
        found = pooled_rate(runs)
        plain = wilson_interval(sum(count for count, _ in runs), 2000)
        assert found.interval is not None and plain is not None
        held += found.interval[0] <= 0.3 <= found.interval[1]
        wilson += plain[0] <= 0.3 <= plain[1]
    assert held >= 0.93 * 200
    assert wilson < 0.75 * 200

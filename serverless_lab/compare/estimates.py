"""What several runs of one variant amount to, and how two variants differ: values with 95 % intervals. Pure.

Runs of one seed have the same arrivals, so variants are compared request by request, which leaves out of a difference
what both have in common:

* A rate is pooled over the runs. Its interval is Wilson's, made as wide as the one of Student's t over the runs' own
  rates where that is wider: when seeds differ by more than chance, requests are no longer independent of each other.
* A difference of rates of the same requests has Newcombe's interval for paired proportions (R. G. Newcombe, Statistics
  in Medicine 17 (1998) 2635-2650, method 10), of other requests his interval for independent ones, again made as wide
  as Student's over the runs.
* A quantile is the nearest rank of all runs' values together. Its interval, and that of a difference, is by the
  percentile bootstrap in two stages: runs are drawn with replacement, then values within each. Both variants are
  drawn the same runs and, for values of requests, the same requests.
* What a run has one of (environments, money) is a mean with Student's interval.

Student's interval takes at least `RUNS_FOR_SPREAD` runs: two say nothing of how runs differ. All draws come from one
seed, so the same runs have the same intervals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serverless_lab.coldstarts.differences import newcombe_interval
from serverless_lab.coldstarts.statistics import Z_95, Floats, Interval, wilson_interval

RUNS_FOR_SPREAD = 3
DRAWS = 1_000
"""Of the bootstrap: enough that an interval's ends move by less than a tenth of its length with another seed."""

BOOTSTRAP_SEED = 20_250_801
VALUES_AT_ONCE = 2_000_000
"""How many values of resamples are in memory at a time."""

BOOTSTRAP_VALUES_MIN = 5
"""Fewer values than this have no bootstrap worth showing."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; None where nothing was measured, or where no interval can be stated.

    `n` values of `runs` runs are in it; `count` is how many of them counted, for a rate.
    """

    value: float | None
    interval: Interval | None
    n: int
    runs: int
    count: int | None = None


NOTHING = Estimate(None, None, 0, 0)


# --- rates -----------------------------------------------------------------------------------------------------------


def pooled_rate(runs: Sequence[tuple[int, int]]) -> Estimate:
    """The rate of runs of (count, n)."""
    known = [(count, n) for count, n in runs if n]
    count, n = sum(count for count, _ in known), sum(n for _, n in known)
    if not n:
        return NOTHING
    interval = wilson_interval(count, n)
    assert interval is not None
    spread = student_interval([count / n for count, n in known])
    return Estimate(count / n, _hull(interval, spread, 0.0, 1.0), n, len(known), count)


def paired_rate_difference(runs: Sequence[tuple[Flags, Flags]]) -> Estimate:
    """The rate of the first less that of the second; both of a run are of the same requests, in the same order."""
    n = sum(len(first) for first, _ in runs)
    if not n:
        return NOTHING
    both = sum(int((first & second).sum()) for first, second in runs)
    only_first = sum(int((first & ~second).sum()) for first, second in runs)
    only_second = sum(int((~first & second).sum()) for first, second in runs)
    interval = newcombe_paired_interval(both, only_first, only_second, n - both - only_first - only_second)
    spread = student_interval([float(first.mean() - second.mean()) for first, second in runs if len(first)])
    value = (only_first - only_second) / n
    return Estimate(value, _hull(interval, spread, -1.0, 1.0), n, len(runs), only_first - only_second)


def rate_difference(first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]]) -> Estimate:
    """The same where the requests are not the same."""
    one, other = pooled_rate(first), pooled_rate(second)
    if one.value is None or other.value is None or one.count is None or other.count is None:
        return NOTHING
    interval = newcombe_interval((one.count, one.n), (other.count, other.n))
    runs = min(one.runs, other.runs)
    rates = [[count / n for count, n in part if n] for part in (first, second)]
    spread = student_interval([a - b for a, b in zip(*rates, strict=False)])
    return Estimate(one.value - other.value, _hull(interval, spread, -1.0, 1.0), one.n + other.n, runs)


def newcombe_paired_interval(both: int, only_first: int, only_second: int, neither: int) -> Interval:
    """The interval of the difference of two proportions of the same n things."""
    n = both + only_first + only_second + neither
    one, other = both + only_first, both + only_second
    (l1, u1), (l2, u2) = (wilson_interval(one, n) or (0.0, 1.0)), (wilson_interval(other, n) or (0.0, 1.0))
    p1, p2 = one / n, other / n
    margins = one * (n - one) * other * (n - other)
    cross = both * neither - only_first * only_second
    correlation = 0.0
    if margins > 0:
        # Correlation is taken as less than it looks, by a continuity correction, when it narrows the interval.
        correlation = (max(cross - n / 2, 0.0) if cross > 0 else float(cross)) / math.sqrt(margins)

    def half(first: float, second: float) -> float:
        return math.sqrt(max(first**2 - 2 * correlation * first * second + second**2, 0.0))

    return max(-1.0, p1 - p2 - half(p1 - l1, u2 - p2)), min(1.0, p1 - p2 + half(u1 - p1, p2 - l2))


# --- means -----------------------------------------------------------------------------------------------------------


def mean(values: Sequence[float]) -> Estimate:
    """Of one value per run."""
    if not values:
        return NOTHING
    return Estimate(float(np.mean(values)), student_interval(values), len(values), len(values))


def mean_difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Of one value per run, runs of the same seeds beside each other."""
    return mean([one - other for one, other in zip(first, second, strict=True)])


def student_interval(values: Sequence[float]) -> Interval | None:
    """Student's interval of a mean; None for fewer than RUNS_FOR_SPREAD values."""
    n = len(values)
    if n < RUNS_FOR_SPREAD:
        return None
    centre = float(np.mean(values))
    half = student_quantile(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return centre - half, centre + half


def student_quantile(degrees: int) -> float:
    """The 97.5 % point of Student's t, within 0.1 % from four degrees of freedom on, below that exact or within 1 %.

    The expansion in the normal's quantile by R. A. Fisher and E. A. Cornish, Technometrics 2 (1960) 209-225.
    """
    if degrees == 1:
        return math.tan(math.pi * 0.475)
    if degrees == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z = Z_95
    return (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * degrees**4)
    )


def _hull(interval: Interval, spread: Interval | None, low: float, high: float) -> Interval:
    if spread is None:
        return interval
    return max(low, min(interval[0], spread[0])), min(high, max(interval[1], spread[1]))


# --- quantiles -------------------------------------------------------------------------------------------------------


def quantiles(runs: Sequence[Floats], points: Sequence[float]) -> list[Estimate]:
    """The quantiles of all runs' values together."""
    known = [np.asarray(values, dtype=np.float64) for values in runs if len(values)]
    together = np.concatenate(known) if known else np.empty(0)
    if not len(together):
        return [NOTHING for _ in points]
    found = nearest_ranks(together, points)
    drawn = None
    if len(together) >= BOOTSTRAP_VALUES_MIN:
        drawn = np.concatenate([nearest_ranks(values, points) for (values,) in _draws([known], together_same=True)])
    return [
        Estimate(value, None if drawn is None else _percentiles(drawn[:, at]), len(together), len(known))
        for at, value in enumerate(found)
    ]


def quantile_differences(
    first: Sequence[Floats], second: Sequence[Floats], points: Sequence[float], *, same_requests: bool
) -> list[Estimate]:
    """The quantiles of the first less those of the second; runs of the same seeds beside each other.

    Args:
        same_requests: the values of a run are of the same requests in the same order in both.
    """
    pairs = [(one, other) for one, other in zip(first, second, strict=True) if len(one) and len(other)]
    if not pairs:
        return [NOTHING for _ in points]
    ones, others = np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs])
    values = nearest_ranks(ones, points) - nearest_ranks(others, points)
    drawn = None
    if min(len(ones), len(others)) >= BOOTSTRAP_VALUES_MIN:
        sides = _draws([[one for one, _ in pairs], [other for _, other in pairs]], together_same=same_requests)
        drawn = np.concatenate([nearest_ranks(left, points) - nearest_ranks(right, points) for left, right in sides])
    n = len(ones) + len(others)
    return [
        Estimate(float(value), None if drawn is None else _percentiles(drawn[:, at]), n, len(pairs))
        for at, value in enumerate(values)
    ]


def nearest_ranks(values: Floats, points: Sequence[float]) -> Floats:
    """Quantiles by nearest rank, as `statistics.nearest_rank` has them, along the last axis, of values in any order."""
    ranks = [max(0, math.ceil(p * values.shape[-1] - 1e-9) - 1) for p in points]
    return np.asarray(np.partition(values, ranks, axis=-1)[..., ranks], dtype=np.float64)


def _draws(sides: Sequence[Sequence[Floats]], *, together_same: bool) -> Iterator[list[Floats]]:
    """Resamples of each side, some at once: arrays with a draw in each row.

    All sides are drawn the same runs and, with `together_same`, the same places in them.
    """
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    runs = len(sides[0])
    if all(len({len(values) for values in side}) == 1 for side in sides):
        stacks = [np.stack(list(side)) for side in sides]
        at_once = max(1, VALUES_AT_ONCE // max(stack.size for stack in stacks))
        for first in range(0, DRAWS, at_once):
            draws = min(at_once, DRAWS - first)
            chosen = rng.integers(runs, size=(draws, runs, 1))
            places: npt.NDArray[np.int64] | None = None
            found = []
            for stack in stacks:
                if places is None or not together_same:
                    places = rng.integers(stack.shape[1], size=(draws, runs, stack.shape[1]))
                found.append(stack[chosen, places].reshape(draws, -1))
            yield found
        return
    for _ in range(DRAWS):
        rows: list[list[Floats]] = [[] for _ in sides]
        for at in rng.integers(runs, size=runs):
            drawn: npt.NDArray[np.int64] | None = None
            for row, side in zip(rows, sides, strict=True):
                values = side[at]
                if drawn is None or not together_same:
                    drawn = rng.integers(len(values), size=len(values))
                row.append(values[drawn])
        yield [np.concatenate(row)[np.newaxis, :] for row in rows]


def _percentiles(drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)

"""Whether two samples differ: proportions by Newcombe's interval, times by rank tests. Nothing is assumed of the
distribution of times, and nothing is random.

* A difference of proportions has Newcombe's hybrid score interval (R. G. Newcombe, Statistics in Medicine 17 (1998)
  873-890, method 10), here of p1 - c p0 with a factor c (as G. Y. Zou and A. Donner, Statistics in Medicine 27 (2008)
  1693-1702); its p-value is the level at which the interval's end reaches 0.
* Times are greater by the Mann-Whitney test: exact by permutation, ties included, for up to 40 values together, and by
  the normal approximation with the tie and the continuity correction above.
* A longer tail that leaves the middle alone is seen by how many of the values beyond the 90 % quantile of both samples
  together are in one of them (the quantile test of Westenberg and Mood): the hypergeometric distribution.

All of them take the invocations of a sample as independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serverless_lab.coldstarts.statistics import Floats, Interval, wilson_interval

Integers = npt.NDArray[np.int64]

EXACT_VALUES = 1_000
"""Up to so many values are saved one by one, more in buckets."""

TIMES = {
    "init": "init_ms",
    "restore": "restore_ms",
    "duration": "durations_ms",
    "init_plus_first": "init_plus_first_ms",
}
"""Quantity -> the array of `statistics.Sample` that has it."""

BUCKET_RATIO = 1.01
"""A bucket's greatest value over its smallest: what is saved in buckets is known to within 1 %."""

_LEAST_MS = 0.01  # the smallest duration that is printed, above 0
_EXACT_RANKS = 40


# --- distributions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Distribution:
    """Measured times, ascending, each with how often it was measured; of buckets, when `indices` is there.

    Bucket i holds the values above BUCKET_RATIO ** (i - 1), up to BUCKET_RATIO ** i; `values` then has their middles.
    """

    values: Floats
    counts: Integers
    indices: Integers | None = None

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    @classmethod
    def of(cls, ordered: Floats) -> Distribution:
        """Of values in ascending order, one by one where they are few enough to be saved so."""
        values, counts = np.unique(ordered, return_counts=True)
        found = cls(values, counts.astype(np.int64))
        return found if len(ordered) <= EXACT_VALUES else found.in_buckets()

    def in_buckets(self) -> Distribution:
        if self.indices is not None:
            return self
        indices = np.ceil(np.round(np.log(np.maximum(self.values, _LEAST_MS)) / math.log(BUCKET_RATIO), 9))
        kept, place = np.unique(indices.astype(np.int64), return_inverse=True)
        return _buckets(kept, np.bincount(place, weights=self.counts, minlength=len(kept)).astype(np.int64))

    def scaled(self, factor: float) -> Distribution:
        """Every value times `factor`; buckets move by whole ones, at least as far."""
        if self.indices is None:
            return Distribution(self.values * factor, self.counts)
        steps = math.log(factor) / math.log(BUCKET_RATIO)
        move = math.ceil(steps - 1e-9) if factor >= 1 else math.floor(steps + 1e-9)
        return _buckets(self.indices + move, self.counts)

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads; a value that was measured several times is there as often."""
        if self.indices is None:
            return {"n": self.n, "values": [float(value) for value in np.repeat(self.values, self.counts)]}
        return {
            "n": self.n,
            "bucket_ratio": BUCKET_RATIO,
            "buckets": [int(index) for index in self.indices],
            "counts": [int(count) for count in self.counts],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Distribution:
        """Raises KeyError, TypeError or ValueError for what `to_json` has not written."""
        if "values" in data:
            values = np.sort(np.asarray(data["values"], dtype=np.float64))
            if not np.isfinite(values).all():
                raise ValueError("a value is not a number")
            found, counts = np.unique(values, return_counts=True)
            return cls(found, counts.astype(np.int64))
        if data["bucket_ratio"] != BUCKET_RATIO or len(data["buckets"]) != len(data["counts"]):
            raise ValueError("buckets of another kind")
        return _buckets(np.asarray(data["buckets"], np.int64), np.asarray(data["counts"], np.int64))


def _buckets(indices: Integers, counts: Integers) -> Distribution:
    return Distribution(np.power(BUCKET_RATIO, indices - 0.5), counts, indices)


def _alike(now: Distribution, before: Distribution) -> tuple[Distribution, Distribution]:
    """Both in buckets where one of them is: a value and the middle of its bucket are not to be compared."""
    if now.indices is None and before.indices is None:
        return now, before
    return now.in_buckets(), before.in_buckets()


@dataclass(frozen=True)
class RankTest:
    """`p` is the chance of values at least so much greater, were both samples of one distribution.

    `share` is the share of pairs in which the value of the first sample is the greater one, ties counting half.
    `p_least` is the smallest p that samples of these sizes can give.
    """

    p: float
    share: float
    p_least: float


def greater(now: Distribution, before: Distribution, factor: float = 1.0) -> RankTest:
    """Whether values of `now` are greater than `factor` times those of `before`, by the Mann-Whitney test."""
    now, before = _alike(now, before)
    counts_now, counts_before = _together(now, before.scaled(factor))
    n, m = now.n, before.n
    below = np.cumsum(counts_before) - counts_before
    wins = float((counts_now * (below + counts_before / 2)).sum())
    p_least = 1 / math.comb(n + m, n) if n + m <= 1_000 else 0.0
    if n + m <= _EXACT_RANKS:
        p = _exact_rank_p(counts_now, counts_now + counts_before)
    else:
        total = n + m
        ties = counts_now + counts_before
        variance = n * m / 12 * (total + 1 - float((ties.astype(np.float64) ** 3 - ties).sum()) / (total * (total - 1)))
        z = (wins - n * m / 2 - 0.5) / math.sqrt(variance) if variance > 0 else 0.0
        p = _normal_tail(z)
    return RankTest(p, wins / (n * m), p_least)


def tail_greater(now: Distribution, before: Distribution, factor: float = 1.0, quantile: float = 0.9) -> RankTest:
    """Whether more of `now` than of `factor` times `before` lies beyond the quantile of both together.

    `share` is the share of the values beyond it that are of `now`.
    """
    now, before = _alike(now, before)
    counts_now, counts_before = _together(now, before.scaled(factor))
    both = counts_now + counts_before
    total, n = int(both.sum()), now.n
    upto = np.cumsum(both)
    at = int(np.searchsorted(upto, math.ceil(quantile * total - 1e-9)))
    beyond = total - int(upto[at])
    found = int(counts_now[at + 1 :].sum())
    if beyond == 0:
        return RankTest(1.0, 0.5, 1.0)
    return RankTest(
        hypergeometric_tail(found, total, beyond, n),
        found / beyond,
        hypergeometric_tail(min(beyond, n), total, beyond, n),
    )


def _together(first: Distribution, second: Distribution) -> tuple[Integers, Integers]:
    """Both samples' counts at every value that occurs in either."""
    values = np.union1d(_marks(first), _marks(second))
    counts = []
    for found in (first, second):
        column = np.zeros(len(values), dtype=np.int64)
        np.add.at(column, np.searchsorted(values, _marks(found)), found.counts)
        counts.append(column)
    return counts[0], counts[1]


def _marks(found: Distribution) -> npt.NDArray[Any]:
    # A product of decimal fractions may be a hair beside the one it stands for.
    return np.round(found.values, 6) if found.indices is None else found.indices


def _exact_rank_p(counts_now: Integers, counts: Integers) -> float:
    """P(rank sum at least this great) over all ways to choose which of the values are `now`'s; midranks for ties."""
    n = int(counts_now.sum())
    last = np.cumsum(counts)
    doubled = 2 * last - counts + 1  # twice the midrank: a whole number
    wanted = int((doubled * counts_now).sum())
    top = int((doubled * counts).sum())
    ways = np.zeros((n + 1, top + 1), dtype=np.float64)
    ways[0, 0] = 1.0
    for rank in np.repeat(doubled, counts):
        ways[1:, rank:] += ways[:-1, : top + 1 - rank]
    return float(ways[n, wanted:].sum() / ways[n].sum())


def hypergeometric_tail(found: int, total: int, marked: int, drawn: int) -> float:
    """P(at least `found` of `drawn` are marked), of `total` of which `marked` are."""
    least, most = max(0, drawn + marked - total), min(drawn, marked)
    if found <= least:
        return 1.0
    if found > most:
        return 0.0
    mean = drawn * marked / total
    sd = math.sqrt(max(mean * (1 - marked / total) * (total - drawn) / max(1, total - 1), 0.0))
    # What lies further out has no weight that counts beside the bulk; beside `found` itself it may.
    low = max(least, min(found, math.floor(mean - 12 * sd)) - 1)
    high = min(most, max(found + math.ceil(40 * sd) + 1, math.ceil(mean + 12 * sd)))
    k = np.arange(low, high, dtype=np.float64)
    steps = np.log(marked - k) + np.log(drawn - k) - np.log(k + 1) - np.log(total - marked - drawn + k + 1)
    logs = np.concatenate(([0.0], np.cumsum(steps)))
    weights = np.exp(logs - logs.max())
    return float(min(1.0, weights[found - low :].sum() / weights.sum()))


# --- proportions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RateTest:
    """`difference` is now less before, a fraction, with its 95 % `interval`; `p` that it is no greater than allowed."""

    difference: float
    interval: Interval
    p: float


def rate_greater(now: tuple[int, int], before: tuple[int, int], factor: float = 1.0) -> RateTest:
    """Whether the proportion `now` (count, n) is greater than `factor` times that of `before`; both n are above 0."""
    low, high = newcombe_interval(now, before)
    return RateTest(now[0] / now[1] - before[0] / before[1], (low, high), _rate_p(now, before, factor))


def newcombe_interval(now: tuple[int, int], before: tuple[int, int], z: float = 1.959963984540054) -> Interval:
    """The interval of the difference of two proportions (count, n)."""
    return _rate_end(now, before, 1.0, z, -1), _rate_end(now, before, 1.0, z, 1)


def _rate_end(now: tuple[int, int], before: tuple[int, int], factor: float, z: float, side: int) -> float:
    """An end of the interval of p_now - factor * p_before: the lower (side -1) or the upper one (1)."""
    p1, p0 = now[0] / now[1], before[0] / before[1]
    (l1, u1), (l0, u0) = (wilson_interval(*now, z) or (0.0, 1.0)), (wilson_interval(*before, z) or (0.0, 1.0))
    first = u1 - p1 if side > 0 else p1 - l1
    second = p0 - l0 if side > 0 else u0 - p0
    return p1 - factor * p0 + side * math.hypot(first, factor * second)


def _rate_p(now: tuple[int, int], before: tuple[int, int], factor: float) -> float:
    """The level at which the interval's nearer end is 0."""
    difference = now[0] / now[1] - factor * before[0] / before[1]
    if difference == 0:
        return 0.5
    side = -1 if difference > 0 else 1
    low, high = 0.0, 40.0
    for _ in range(80):
        z = (low + high) / 2
        end = _rate_end(now, before, factor, z, side)
        low, high = (z, high) if end * -side > 0 else (low, z)
    return _normal_tail(low) if difference > 0 else 1 - _normal_tail(low)


def _normal_tail(z: float) -> float:
    """P(a standard normal value is greater than z)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


# --- many tests ------------------------------------------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value adjusted so that those up to a level hold together with that level (S. Holm, Scandinavian Journal of
    Statistics 6 (1979) 65-70).
    """
    adjusted = [1.0] * len(p_values)
    least = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = least
    return adjusted

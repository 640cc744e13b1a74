"""Rates and quantiles, each with its sample size and, where one can be stated, its 95 % interval.

A rate has a Wilson score interval. A quantile is a value that was measured (nearest rank: the smallest one that at
least the fraction p of all values does not exceed), and its interval lies between two measured values: the order
statistics whose ranks enclose the true quantile with at least 95 % by the binomial distribution, 2.5 % on each side.
Nothing is assumed of the distribution. Few values cannot enclose a high quantile: then there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from serverless_lab.coldstarts.invocations import COLD, KINDS, UNKNOWN, WAITED, InitRow

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
Z_95 = 1.959963984540054
"""The standard normal distribution's 97.5 % point."""

Interval = tuple[float, float]


def wilson_interval(count: int, n: int, z: float = Z_95) -> Interval | None:
    """The Wilson score interval of a proportion, as fractions; None for n = 0.

    E. B. Wilson, Journal of the American Statistical Association 22 (1927) 209-212. Unlike the usual ± it stays within
    0…1 and is honest for rare events: 0 of 20 may be up to 16 %.
    """
    if n == 0:
        return None
    share = count / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if count == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if count == n else min(1.0, (centre + half) / scale)
    return low, high


@dataclass(frozen=True)
class Rate:
    """`count` of `n`. `rate` and `interval` are fractions; None when n is 0. `count` is None when it cannot be told."""

    count: int | None
    n: int

    @property
    def rate(self) -> float | None:
        return None if self.count is None or self.n == 0 else self.count / self.n

    @property
    def interval(self) -> Interval | None:
        return None if self.count is None else wilson_interval(self.count, self.n)


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of `n` values, in their unit; all None when n is 0. `intervals` is None where none can be stated."""

    n: int
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    max: float | None = None
    p50_interval: Interval | None = None
    p90_interval: Interval | None = None
    p99_interval: Interval | None = None


def quantiles(values: Iterable[float]) -> Quantiles:
    """p50, p90, p99 and the greatest of `values`; NaN is not a value."""
    ordered = sorted(float(value) for value in values if not math.isnan(value))
    if not ordered:
        return Quantiles(0)
    return Quantiles(
        n=len(ordered),
        p50=nearest_rank(ordered, 0.50),
        p90=nearest_rank(ordered, 0.90),
        p99=nearest_rank(ordered, 0.99),
        max=ordered[-1],
        p50_interval=quantile_interval(ordered, 0.50),
        p90_interval=quantile_interval(ordered, 0.90),
        p99_interval=quantile_interval(ordered, 0.99),
    )


def nearest_rank(ordered: Sequence[float], p: float) -> float:
    """The p-quantile of sorted values: always one of them."""
    # The product of a fraction and a count may be a hair above the whole number it stands for.
    return ordered[max(0, math.ceil(p * len(ordered) - 1e-9) - 1)]


def quantile_interval(ordered: Sequence[float], p: float) -> Interval | None:
    """The order statistics that enclose the p-quantile with 95 %; None when there are too few values."""
    ranks = interval_ranks(len(ordered), p)
    return None if ranks is None else (ordered[ranks[0] - 1], ordered[ranks[1] - 1])


@lru_cache(maxsize=4096)
def interval_ranks(n: int, p: float) -> tuple[int, int] | None:
    """Ranks (1…n) of the order statistics that enclose the p-quantile with at least 95 %, 2.5 % outside on each side.

    How many of n values lie below the p-quantile is binomial(n, p).
    """
    tail = (1 - CONFIDENCE) / 2
    sd = math.sqrt(n * p * (1 - p))
    first = max(0, math.floor(n * p - 12 * sd - 1))  # what lies further out has no weight that counts
    last = min(n, math.ceil(n * p + 12 * sd + 1))
    low = upper = 0
    below = 0.0  # P(at most k values below the quantile)
    for k in range(first, last + 1):
        below += _binomial_probability(k, n, p)
        if below <= tail + 1e-12:
            low = k + 1
        if below >= 1 - tail - 1e-12:
            upper = k + 1
            break
    if low < 1 or upper < 1 or upper > n:
        return None
    return low, upper


def _binomial_probability(k: int, n: int, p: float) -> float:
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
    return math.exp(log)


# --- time bins -------------------------------------------------------------------------------------------------------

_NICE_WIDTHS_MS = tuple(
    seconds * 1000
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
)
_BINS = 24


def bin_width_ms(span_ms: float) -> int:
    """A round width that cuts `span_ms` into at most 24 bins; above a day, whole days."""
    for width in _NICE_WIDTHS_MS:
        if span_ms <= width * _BINS:
            return width
    day = _NICE_WIDTHS_MS[-1]
    return day * math.ceil(span_ms / (day * _BINS))


# --- summaries -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """What happened to a group of invocations: one function, one time bin, or all.

    `function` and `bin_start_ms` (epoch) are None where the group is not limited by them. `kinds` has the kinds there
    are. `cold_starts` counts the invocations whose caller waited, of those whose kind is known; its count is None when
    none is known. `environments` were initialised in the group's time, used or not; None when the log does not tell.
    `init_ms` is Init Duration of cold invocations, `restore_ms` SnapStart's, `init_plus_first_duration_ms` both phases
    of every invocation whose caller waited. `errors` are invocations with a status or error type other than a timeout.
    """

    function: str | None
    bin_start_ms: int | None
    invocations: int
    kinds: dict[str, int]
    cold_starts: Rate
    environments: int | None
    init_ms: Quantiles
    restore_ms: Quantiles
    duration_ms: Quantiles
    init_plus_first_duration_ms: Quantiles
    memory_size_mb: tuple[int, ...]
    max_memory_used_mb: int | None
    timeouts: int
    errors: int


def summarise(
    frame: pd.DataFrame,
    environments: int | None,
    *,
    function: str | None = None,
    bin_start_ms: int | None = None,
) -> Summary:
    """The summary of the invocations in `frame` (columns of `frame.COLUMNS`)."""
    from serverless_lab.coldstarts.frame import init_plus_duration_ms

    counts = frame["kind"].value_counts()
    kinds = {kind: int(counts[kind]) for kind in KINDS if kind in counts.index}
    known = len(frame) - kinds.get(UNKNOWN, 0)
    waited = sum(kinds.get(kind, 0) for kind in WAITED)
    is_timeout = frame["status"] == "timeout"
    failed = frame["status"].notna() | frame["error_type"].notna()
    memory = frame["max_memory_used_mb"].dropna()
    return Summary(
        function=function,
        bin_start_ms=bin_start_ms,
        invocations=len(frame),
        kinds=kinds,
        cold_starts=Rate(None if known == 0 and len(frame) else waited, known),
        environments=environments,
        init_ms=quantiles(frame.loc[frame["kind"] == COLD, "init_duration_ms"]),
        restore_ms=quantiles(frame["restore_duration_ms"]),
        duration_ms=quantiles(frame["duration_ms"]),
        init_plus_first_duration_ms=quantiles(init_plus_duration_ms(frame)),
        memory_size_mb=tuple(sorted({int(size) for size in frame["memory_size_mb"].dropna()})),
        max_memory_used_mb=int(memory.max()) if len(memory) else None,
        timeouts=int(is_timeout.sum()),
        errors=int((failed & ~is_timeout).sum()),
    )


@dataclass(frozen=True)
class Bins:
    """Time bins of equal width: bin i holds the instants from `origin_ms + i * width_ms` on."""

    origin_ms: int
    width_ms: int
    count: int

    def start_ms(self, index: int) -> int:
        return self.origin_ms + index * self.width_ms


def began_ms(frame: pd.DataFrame) -> pd.Series:
    """When each invocation began, epoch ms: START, or REPORT less its duration where START is not in the log."""
    fallback = frame["timestamp"].astype("Float64") - frame["duration_ms"]
    return frame["start_timestamp"].astype("Float64").fillna(fallback)


def make_bins(began: pd.Series, origin_ms: int | None, width_ms: int | None) -> Bins | None:
    """Bins that hold every instant in `began`, the first one beginning at `origin_ms` or whole widths before it.

    None when no instant is known.
    """
    known = began.dropna()
    if not len(known):
        return None
    first, last = float(known.min()), float(known.max())
    width = width_ms or bin_width_ms(last - first + 1)
    origin = math.floor(first / width) * width if origin_ms is None else origin_ms
    origin += math.floor((first - origin) / width) * width
    return Bins(origin, width, math.floor((last - origin) / width) + 1)


def summarise_bins(
    frame: pd.DataFrame, inits: Sequence[InitRow] | None, bins: Bins | None, *, function: str | None = None
) -> tuple[Summary, ...]:
    """One summary per bin in order of time, empty ones included."""
    if bins is None:
        return ()
    index = ((began_ms(frame) - bins.origin_ms) // bins.width_ms).astype("Int64")
    parts = {int(at): part for at, part in frame.groupby(index)}
    environments: list[int] | None = None
    if inits is not None:
        environments = [0] * bins.count
        for init in inits:
            if init.timestamp is None or (function is not None and init.function != function):
                continue
            at = (init.timestamp - bins.origin_ms) // bins.width_ms
            # What was initialised ahead of the first invocation belongs to the first bin.
            environments[min(max(at, 0), bins.count - 1)] += 1
    empty = frame.iloc[0:0]
    return tuple(
        summarise(
            parts.get(at, empty),
            None if environments is None else environments[at],
            function=function,
            bin_start_ms=bins.start_ms(at),
        )
        for at in range(bins.count)
    )

"""Rates and quantiles, each with its sample size and, where one can be stated, its 95 % interval.

A rate has a Wilson score interval. A quantile is a value that was measured (nearest rank: the smallest one that at
least the fraction p of all values does not exceed), and its interval lies between two measured values: the order
statistics whose ranks enclose the true quantile with at least 95 % by the binomial distribution, 2.5 % on each side.
Nothing is assumed of the distribution. Few values cannot enclose a high quantile: then there is no interval.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from serverless_lab.coldstarts.invocations import COLD, KINDS, UNKNOWN, WAITED, InitRow

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

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
    return quantiles_of_sorted(sorted_values(values))


def sorted_values(values: Iterable[float]) -> Floats:
    """`values` in ascending order, as float64, without NaN."""
    array = np.asarray(values if hasattr(values, "__array__") else list(values), dtype=np.float64)
    return np.sort(array[~np.isnan(array)])


def floats_of(column: pd.Series) -> Floats:
    """A frame's column as float64; what is missing is NaN."""
    values: Floats = np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    return values


def quantiles_of_sorted(ordered: Floats) -> Quantiles:
    """The same of values that are in ascending order already and hold no NaN."""
    if not len(ordered):
        return Quantiles(0)
    return Quantiles(
        n=len(ordered),
        p50=nearest_rank(ordered, 0.50),
        p90=nearest_rank(ordered, 0.90),
        p99=nearest_rank(ordered, 0.99),
        max=float(ordered[-1]),
        p50_interval=quantile_interval(ordered, 0.50),
        p90_interval=quantile_interval(ordered, 0.90),
        p99_interval=quantile_interval(ordered, 0.99),
    )


def nearest_rank(ordered: Sequence[float] | Floats, p: float) -> float:
    """The p-quantile of sorted values: always one of them."""
    # The product of a fraction and a count may be a hair above the whole number it stands for.
    return float(ordered[max(0, math.ceil(p * len(ordered) - 1e-9) - 1)])


def quantile_interval(ordered: Sequence[float] | Floats, p: float) -> Interval | None:
    """The order statistics that enclose the p-quantile with 95 %; None when there are too few values."""
    ranks = interval_ranks(len(ordered), p)
    return None if ranks is None else (float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1]))


@lru_cache(maxsize=4096)
def interval_ranks(n: int, p: float) -> tuple[int, int] | None:
    """Ranks (1…n) of the order statistics that enclose the p-quantile with at least 95 %, 2.5 % outside on each side.

    How many of n values lie below the p-quantile is binomial(n, p).
    """
    if n == 0:
        return None
    tail = (1 - CONFIDENCE) / 2
    sd = math.sqrt(n * p * (1 - p))
    first = max(0, math.floor(n * p - 12 * sd - 1))  # what lies further out has no weight that counts
    last = min(n, math.ceil(n * p + 12 * sd + 1))
    # From one count to the next, a binomial probability changes by this factor.
    k = np.arange(first, last, dtype=np.float64)
    factors = np.log(n - k) - np.log(k + 1) + math.log(p) - math.log1p(-p)
    weights = np.concatenate(([0.0], np.cumsum(factors)))
    weights = np.exp(weights - weights.max())
    below = np.cumsum(weights) / weights.sum()  # P(at most first + i values below the quantile)
    low = first + int(np.searchsorted(below, tail + 1e-12, side="right"))
    upper = first + int(np.searchsorted(below, 1 - tail - 1e-12, side="left")) + 1
    if low < 1 or upper > n:
        return None
    return low, upper


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


# --- samples and summaries -------------------------------------------------------------------------------------------


def _no_values() -> Floats:
    return np.empty(0, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Sample:
    """What a group of invocations showed, as far as any statistic needs it; whoever reads logs can make one.

    The four arrays are float64 ms in ascending order, without NaN:
    `durations_ms` every invocation's Duration; `init_ms` Init Duration of kind `cold`; `restore_ms` Restore Duration
    wherever there is one; `init_plus_first_ms` init (or restore) and Duration together of each invocation whose caller
    waited, Duration alone where the init was repeated inside it, rounded to three decimals, left out where the log has
    no Init Duration.

    `kinds` counts invocations by kind; kinds that are not there may be left out. `with_init` counts REPORT lines that
    carry an Init Duration or a Restore Duration, whoever waited. `environments` were initialised in the group's time,
    used or not; None when the log does not tell. `errors` are invocations with a status or an error type other than a
    timeout. `billed_ms` is the sum of Billed Duration over the `billed` invocations that state one; `billed_mb_ms` the
    sum of Billed Duration times Memory Size (MB) over those of them that state both.
    """

    kinds: Mapping[str, int] = field(default_factory=dict)
    durations_ms: Floats = field(default_factory=_no_values)
    init_ms: Floats = field(default_factory=_no_values)
    restore_ms: Floats = field(default_factory=_no_values)
    init_plus_first_ms: Floats = field(default_factory=_no_values)
    with_init: int = 0
    environments: int | None = None
    memory_sizes_mb: tuple[int, ...] = ()
    max_memory_used_mb: int | None = None
    timeouts: int = 0
    errors: int = 0
    billed: int = 0
    billed_ms: int = 0
    billed_mb_ms: int = 0

    @property
    def invocations(self) -> int:
        return sum(self.kinds.values())


@dataclass(frozen=True, eq=False)
class Columns:
    """What samples need of a frame's invocations, a value for each: made once, whichever groups are then taken.

    `init_ms` is Init Duration where the kind is `cold`, `init_plus_first_ms` what a caller that waited did; what is
    missing is NaN. `kinds` are positions in `kind_names`.
    """

    kinds: npt.NDArray[np.intp]
    kind_names: tuple[str, ...]
    durations_ms: Floats
    init_ms: Floats
    restore_ms: Floats
    init_plus_first_ms: Floats
    memory_sizes_mb: Floats
    max_memory_used_mb: Floats
    billed_ms: Floats
    with_init: Flags
    is_timeout: Flags
    is_error: Flags

    def sample(self, chosen: Any, environments: int | None) -> Sample:
        """Of the invocations that `chosen`, their places or a slice, leaves."""
        counts = np.bincount(self.kinds[chosen], minlength=len(self.kind_names))
        memory = self.max_memory_used_mb[chosen]
        memory = memory[~np.isnan(memory)]
        sizes, billed = self.memory_sizes_mb[chosen], self.billed_ms[chosen]
        return Sample(
            kinds={kind: int(count) for kind, count in zip(self.kind_names, counts, strict=True) if count},
            durations_ms=sorted_values(self.durations_ms[chosen]),
            init_ms=sorted_values(self.init_ms[chosen]),
            restore_ms=sorted_values(self.restore_ms[chosen]),
            init_plus_first_ms=sorted_values(self.init_plus_first_ms[chosen]),
            with_init=int(self.with_init[chosen].sum()),
            environments=environments,
            memory_sizes_mb=tuple(int(size) for size in np.unique(sizes[~np.isnan(sizes)])),
            max_memory_used_mb=int(memory.max()) if len(memory) else None,
            timeouts=int(self.is_timeout[chosen].sum()),
            errors=int(self.is_error[chosen].sum()),
            billed=int((~np.isnan(billed)).sum()),
            billed_ms=int(np.nansum(billed)),
            billed_mb_ms=int(np.nansum(billed * sizes)),
        )


def columns_of(frame: pd.DataFrame) -> Columns:
    """The columns of the invocations in `frame` (columns of `frame.COLUMNS`)."""
    from serverless_lab.coldstarts.frame import carries_init, init_plus_duration_ms

    kinds, kind_names = frame["kind"].factorize()
    is_timeout = (frame["status"] == "timeout").to_numpy(dtype=bool, na_value=False)
    failed = (frame["status"].notna() | frame["error_type"].notna()).to_numpy(dtype=bool)
    return Columns(
        kinds=kinds,
        kind_names=tuple(str(name) for name in kind_names),
        durations_ms=floats_of(frame["duration_ms"]),
        init_ms=floats_of(frame["init_duration_ms"].where(frame["kind"] == COLD)),
        restore_ms=floats_of(frame["restore_duration_ms"]),
        init_plus_first_ms=floats_of(init_plus_duration_ms(frame)),
        memory_sizes_mb=floats_of(frame["memory_size_mb"]),
        max_memory_used_mb=floats_of(frame["max_memory_used_mb"]),
        billed_ms=floats_of(frame["billed_duration_ms"]),
        with_init=carries_init(frame).to_numpy(dtype=bool, na_value=False),
        is_timeout=is_timeout,
        is_error=failed & ~is_timeout,
    )


def sample_of(frame: pd.DataFrame, environments: int | None) -> Sample:
    """The sample of all invocations in `frame`."""
    return columns_of(frame).sample(slice(None), environments)


def merged(samples: Iterable[Sample]) -> Sample:
    """The sample of several groups together, which have no invocation in common."""
    parts = list(samples)
    kinds: Counter[str] = Counter()
    for part in parts:
        kinds.update(part.kinds)
    memory = [part.max_memory_used_mb for part in parts if part.max_memory_used_mb is not None]
    environments = [part.environments for part in parts]
    known = [count for count in environments if count is not None]

    def together(name: str) -> Floats:
        arrays = [getattr(part, name) for part in parts if len(getattr(part, name))]
        return np.sort(np.concatenate(arrays)) if len(arrays) > 1 else arrays[0] if arrays else _no_values()

    return Sample(
        kinds=kinds,
        durations_ms=together("durations_ms"),
        init_ms=together("init_ms"),
        restore_ms=together("restore_ms"),
        init_plus_first_ms=together("init_plus_first_ms"),
        with_init=sum(part.with_init for part in parts),
        environments=sum(known) if parts and len(known) == len(parts) else None,
        memory_sizes_mb=tuple(sorted({size for part in parts for size in part.memory_sizes_mb})),
        max_memory_used_mb=max(memory) if memory else None,
        timeouts=sum(part.timeouts for part in parts),
        errors=sum(part.errors for part in parts),
        billed=sum(part.billed for part in parts),
        billed_ms=sum(part.billed_ms for part in parts),
        billed_mb_ms=sum(part.billed_mb_ms for part in parts),
    )


@dataclass(frozen=True)
class Summary:
    """What happened to a group of invocations: one function, one time bin, or all.

    `function`, `bin_start_ms` (epoch), `version` and `initialization_type` are None where the group is not limited by
    them, or where it is what the log does not say. `kinds` has the kinds there are. `cold_starts` counts the
    invocations whose caller waited, of those whose kind is known; its count is None when none is known.
    `with_init` invocations carry an init or a restore on their REPORT line, whoever waited.
    `environments` were initialised in the group's time, used or not; None when the log does not tell.
    `init_ms` is Init Duration of cold invocations, `restore_ms` SnapStart's, `init_plus_first_duration_ms` both phases
    of every invocation whose caller waited. `errors` are invocations with a status or error type other than a timeout.
    `billed_ms` is the sum of Billed Duration, `billed_gb_s` the same times memory, in GB-seconds (1 GB = 1,024 MB);
    None where no line states them.
    """

    function: str | None
    bin_start_ms: int | None
    invocations: int
    kinds: dict[str, int]
    cold_starts: Rate
    with_init: int
    environments: int | None
    init_ms: Quantiles
    restore_ms: Quantiles
    duration_ms: Quantiles
    init_plus_first_duration_ms: Quantiles
    memory_size_mb: tuple[int, ...]
    max_memory_used_mb: int | None
    timeouts: int
    errors: int
    billed_ms: int | None = None
    billed_gb_s: float | None = None
    version: str | None = None
    initialization_type: str | None = None


MB_MS_PER_GB_S = 1024 * 1000


def summary_of(
    sample: Sample,
    *,
    function: str | None = None,
    bin_start_ms: int | None = None,
    version: str | None = None,
    initialization_type: str | None = None,
    has_rate: bool = True,
) -> Summary:
    """The statistics of one sample; the keyword arguments name the group.

    Args:
        has_rate: False where the log is known to leave invocations out, so that no share of them means anything.
    """
    kinds = {kind: sample.kinds[kind] for kind in KINDS if sample.kinds.get(kind)}
    invocations = sum(kinds.values())
    known = invocations - kinds.get(UNKNOWN, 0)
    waited = sum(kinds.get(kind, 0) for kind in WAITED)
    return Summary(
        function=function,
        bin_start_ms=bin_start_ms,
        invocations=invocations,
        kinds=kinds,
        cold_starts=Rate(waited if has_rate and (known or not invocations) else None, known),
        with_init=sample.with_init,
        environments=sample.environments,
        init_ms=quantiles_of_sorted(sample.init_ms),
        restore_ms=quantiles_of_sorted(sample.restore_ms),
        duration_ms=quantiles_of_sorted(sample.durations_ms),
        init_plus_first_duration_ms=quantiles_of_sorted(sample.init_plus_first_ms),
        memory_size_mb=sample.memory_sizes_mb,
        max_memory_used_mb=sample.max_memory_used_mb,
        timeouts=sample.timeouts,
        errors=sample.errors,
        billed_ms=sample.billed_ms if sample.billed else None,
        billed_gb_s=sample.billed_mb_ms / MB_MS_PER_GB_S if sample.billed_mb_ms else None,
        version=version,
        initialization_type=initialization_type,
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


def bin_numbers(frame: pd.DataFrame, bins: Bins) -> pd.Series:
    """Which bin each invocation began in; missing where no time is known."""
    return ((began_ms(frame) - bins.origin_ms) // bins.width_ms).astype("Int64")


def environments_by_bin(
    inits: Sequence[InitRow] | None, bins: Bins, *, function: str | None = None
) -> list[int] | None:
    """How many environments were initialised in each bin; what was before the first one belongs to it."""
    if inits is None:
        return None
    counts = [0] * bins.count
    for init in inits:
        if init.timestamp is None or (function is not None and init.function != function):
            continue
        at = (init.timestamp - bins.origin_ms) // bins.width_ms
        counts[min(max(at, 0), bins.count - 1)] += 1
    return counts


def summarise_bins(
    frame: pd.DataFrame,
    inits: Sequence[InitRow] | None,
    bins: Bins | None,
    *,
    function: str | None = None,
    has_rate: bool = True,
) -> tuple[Summary, ...]:
    """One summary per bin in order of time, empty ones included."""
    if bins is None:
        return ()
    numbers = bin_numbers(frame, bins).to_numpy(dtype=np.int64, na_value=-1)
    by_bin = np.argsort(numbers, kind="stable")
    edges = np.searchsorted(numbers[by_bin], np.arange(bins.count + 1))
    columns = columns_of(frame)
    environments = environments_by_bin(inits, bins, function=function)
    return tuple(
        summary_of(
            columns.sample(by_bin[edges[at] : edges[at + 1]], None if environments is None else environments[at]),
            function=function,
            bin_start_ms=bins.start_ms(at),
            has_rate=has_rate,
        )
        for at in range(bins.count)
    )

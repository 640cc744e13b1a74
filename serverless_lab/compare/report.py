"""What the runs of a comparison amount to: a row per variant, its differences from the baseline, verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serverless_lab.coldstarts.statistics import Floats
from serverless_lab.compare.estimates import (
    NOTHING,
    Estimate,
    mean,
    mean_difference,
    paired_rate_difference,
    pooled_rate,
    quantile_differences,
    quantiles,
    rate_difference,
)
from serverless_lab.compare.figures import RunFigures, same_requests
from serverless_lab.compare.folder import Facts
from serverless_lab.compare.money import Month
from serverless_lab.compare.variants import Variant

RATE, TIME, COUNT, MONEY = "rate", "time", "count", "money"


@dataclass(frozen=True)
class Measure:
    """One column of the table. Less is better in all of them."""

    key: str
    title: str
    kind: str


COLD_RATE, OVER_TIMEOUT, FAILURE_RATE = "cold_rate", "over_timeout_rate", "failure_rate"
INIT, BOTH = "init_ms_p50", "init_plus_first_ms_p50"
P50, P95, P99 = "latency_ms_p50", "latency_ms_p95", "latency_ms_p99"
ENVIRONMENTS, COST = "environments", "cost_per_month_usd"

MEASURES = (
    Measure(COLD_RATE, "cold-start rate", RATE),
    Measure(INIT, "init p50", TIME),
    Measure(BOTH, "init + first p50", TIME),
    Measure(P50, "latency p50", TIME),
    Measure(P95, "latency p95", TIME),
    Measure(P99, "latency p99", TIME),
    Measure(OVER_TIMEOUT, "over the API timeout", RATE),
    Measure(FAILURE_RATE, "failed", RATE),
    Measure(ENVIRONMENTS, "environments", COUNT),
    Measure(COST, "cost a month", MONEY),
)

BETTER, WORSE, SAME, UNSHOWN, UNTOLD = "better", "worse", "the same", "no difference shown", "untold"

# measured: the same seeds sent again to the same variant on a host that did other work meanwhile differed by up to 4 %
# at p50, which no interval of one execution shows; and nobody would change a deployment for less.
TIME_MARGIN = 0.05
MONEY_MARGIN = 0.01
SAME_RATE = 0.005
"""Half a point: a difference of rates that lies within it is told as none."""

LATENCY_POINTS = (0.50, 0.95, 0.99)


@dataclass(frozen=True)
class Difference:
    """A measure of a variant less that of the baseline. `paired` says that it is of the same requests."""

    measure: str
    estimate: Estimate
    verdict: str
    paired: bool = False


@dataclass(frozen=True)
class VariantResult:
    """One variant. `seeds` are those of its complete runs; `months` has the money of each of them, empty without any.

    `differences` is empty for the baseline itself.
    """

    variant: Variant
    parameters: Mapping[str, str]
    seeds: tuple[int, ...]
    estimates: Mapping[str, Estimate]
    differences: Mapping[str, Difference]
    facts: Facts
    months: tuple[Month, ...] = ()

    @property
    def name(self) -> str:
        return self.variant.name


@dataclass(frozen=True)
class LifetimeResult:
    """The sensitive variant with another idle lifetime, and its rate less that of the baseline with the default one."""

    idle_lifetime_ms: float
    seeds: tuple[int, ...]
    cold_rate: Estimate
    difference: Difference | None


@dataclass(frozen=True)
class ComparisonReport:
    """Everything `lab compare` says.

    `missing` are runs that were planned and are not there, as (variant, seed). `traffic` is the month that money is
    of, as plain data; None where there are no prices. `machine` says where it was measured.
    """

    scenario: str
    description: str
    source: str
    target: str
    clock: str
    baseline: str
    seeds: tuple[int, ...]
    variants: tuple[VariantResult, ...]
    sensitive: str | None = None
    lifetimes: tuple[LifetimeResult, ...] = ()
    missing: tuple[tuple[str, int], ...] = ()
    traffic: Mapping[str, Any] | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    real_seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def of(self, name: str) -> VariantResult:
        return next(found for found in self.variants if found.name == name)

    def to_json(self) -> dict[str, Any]:
        """As comparison.schema.json describes it."""
        from serverless_lab.compare.plain import comparison_json

        found: dict[str, Any] = comparison_json(self)
        return found


@dataclass(frozen=True)
class Measured:
    """What is known of one variant: its complete runs by seed, and the money of each."""

    variant: Variant
    parameters: Mapping[str, str]
    runs: Mapping[int, RunFigures]
    facts: Facts = field(default_factory=Facts)
    months: Mapping[int, Month] = field(default_factory=dict)


def variant_result(found: Measured, baseline: Measured | None) -> VariantResult:
    """The row of a variant; `baseline` None for the baseline itself."""
    seeds = sorted(found.runs)
    estimates = estimates_of(
        [found.runs[seed] for seed in seeds], [found.months[s] for s in seeds if s in found.months]
    )
    differences = {} if baseline is None else differences_of(found, baseline)
    return VariantResult(
        variant=found.variant,
        parameters=found.parameters,
        seeds=tuple(seeds),
        estimates=estimates,
        differences=differences,
        facts=found.facts,
        months=tuple(found.months[seed] for seed in seeds if seed in found.months),
    )


def estimates_of(runs: Sequence[RunFigures], months: Sequence[Month]) -> dict[str, Estimate]:
    """Every measure of a variant, over its runs."""
    p50, p95, p99 = quantiles([_sent(run) for run in runs], LATENCY_POINTS)
    counts = [run.waited_count for run in runs if run.waited_count is not None]
    environments = [float(run.environments) for run in runs if run.environments is not None]
    return {
        COLD_RATE: pooled_rate(counts),
        INIT: quantiles([run.init_ms for run in runs], [0.5])[0],
        BOTH: quantiles([run.init_plus_first_ms for run in runs], [0.5])[0],
        P50: p50,
        P95: p95,
        P99: p99,
        OVER_TIMEOUT: pooled_rate([(int(run.over_timeout.sum()), run.requests) for run in runs]),
        FAILURE_RATE: pooled_rate([(int(run.failed.sum()), run.requests) for run in runs]),
        ENVIRONMENTS: mean(environments) if len(environments) == len(runs) else NOTHING,
        COST: mean([float(month.total) for month in months]) if len(months) == len(runs) else NOTHING,
    }


def differences_of(found: Measured, baseline: Measured) -> dict[str, Difference]:
    """Every measure of a variant less that of the baseline, over the seeds that both have runs of."""
    seeds = sorted(set(found.runs) & set(baseline.runs))
    ones, others = [found.runs[seed] for seed in seeds], [baseline.runs[seed] for seed in seeds]
    base = estimates_of(others, [baseline.months[seed] for seed in seeds if seed in baseline.months])
    same = bool(seeds) and all(same_requests(one, other) for one, other in zip(ones, others, strict=True))
    raw: dict[str, tuple[Estimate, bool]] = {
        COLD_RATE: _rate(ones, others, same, "waited"),
        OVER_TIMEOUT: _rate(ones, others, same, "over_timeout"),
        FAILURE_RATE: _rate(ones, others, same, "failed"),
    }
    latencies = [_latencies(one, other, same) for one, other in zip(ones, others, strict=True)]
    for key, estimate in zip(
        (P50, P95, P99),
        quantile_differences([a for a, _ in latencies], [b for _, b in latencies], LATENCY_POINTS, same_requests=same),
        strict=True,
    ):
        raw[key] = (estimate, same)
    for key, name in ((INIT, "init_ms"), (BOTH, "init_plus_first_ms")):
        values = [[getattr(run, name) for run in runs] for runs in (ones, others)]
        raw[key] = (quantile_differences(values[0], values[1], [0.5], same_requests=False)[0], False)
    environments = [[run.environments for run in runs] for runs in (ones, others)]
    known = [[float(count) for count in counts if count is not None] for counts in environments]
    if len(known[0]) == len(known[1]) == len(seeds):
        raw[ENVIRONMENTS] = (mean_difference(known[0], known[1]), same)
    if all(seed in found.months and seed in baseline.months for seed in seeds):
        months = [[float(of[seed].total) for seed in seeds] for of in (found.months, baseline.months)]
        raw[COST] = (mean_difference(months[0], months[1]), same)
    differences = {}
    for measure in MEASURES:
        estimate, paired = raw.get(measure.key, (NOTHING, False))
        differences[measure.key] = Difference(
            measure.key, estimate, verdict_of(measure, estimate, base[measure.key].value), paired
        )
    return differences


def verdict_of(measure: Measure, difference: Estimate, baseline: float | None) -> str:
    """What a difference amounts to: its whole interval has to lie beyond what does not matter, or within it."""
    if difference.value is None or difference.interval is None:
        return UNTOLD
    low, high = difference.interval
    margin, same = 0.0, SAME_RATE
    if measure.kind in (TIME, MONEY):
        margin = same = (TIME_MARGIN if measure.kind == TIME else MONEY_MARGIN) * (baseline or 0.0)
    elif measure.kind == COUNT:
        same = 0.5
    if high < -margin:
        return BETTER
    if low > margin:
        return WORSE
    return SAME if low >= -same and high <= same else UNSHOWN


def lifetime_result(idle_lifetime_ms: float, runs: Mapping[int, RunFigures], baseline: Measured) -> LifetimeResult:
    """The sensitivity's row of one idle lifetime."""
    seeds = sorted(runs)
    counts = [count for seed in seeds if (count := runs[seed].waited_count) is not None]
    both = [seed for seed in seeds if seed in baseline.runs]
    difference = None
    if both:
        ones, others = [runs[seed] for seed in both], [baseline.runs[seed] for seed in both]
        same = all(same_requests(one, other) for one, other in zip(ones, others, strict=True))
        estimate, paired = _rate(ones, others, same, "waited")
        difference = Difference(COLD_RATE, estimate, verdict_of(MEASURES[0], estimate, None), paired)
    return LifetimeResult(idle_lifetime_ms, tuple(seeds), pooled_rate(counts), difference)


def _rate(ones: Sequence[RunFigures], others: Sequence[RunFigures], same: bool, name: str) -> tuple[Estimate, bool]:
    pairs = [(getattr(one, name), getattr(other, name)) for one, other in zip(ones, others, strict=True)]
    if same and pairs and all(one is not None and other is not None for one, other in pairs):
        return paired_rate_difference(pairs), True
    counts = [[_counted(run, name) for run in runs] for runs in (ones, others)]
    known = [[count for count in of if count is not None] for of in counts]
    if not known[0] or not known[1]:
        return NOTHING, False
    return rate_difference(known[0], known[1]), False


def _counted(run: RunFigures, name: str) -> tuple[int, int] | None:
    if name == "waited":
        return run.waited_count
    flags = getattr(run, name)
    return int(flags.sum()), len(flags)


def _sent(run: RunFigures) -> Floats:
    found: Floats = run.latency_ms[~np.isnan(run.latency_ms)]
    return found


def _latencies(one: RunFigures, other: RunFigures, same: bool) -> tuple[Floats, Floats]:
    """What was sent in both runs, request by request, where their requests are the same."""
    if not same:
        return _sent(one), _sent(other)
    known = ~np.isnan(one.latency_ms) & ~np.isnan(other.latency_ms)
    return one.latency_ms[known], other.latency_ms[known]

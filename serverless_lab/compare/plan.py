"""Variants and seeds -> the runs of a comparison, in the order in which they are sent. Pure.

A run is known by what it is of and not by its name: a digest of code, scenario, variant, target and of the parts of
lab that decide what is measured. So a comparison that is called again finds the runs it has, a variant that was changed
is measured anew, and two variants that come to the same share their runs.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from serverless_lab import quotas
from serverless_lab.compare.variants import Peak, Variant, VariantSet, varied
from serverless_lab.errors import ScenarioError
from serverless_lab.load.arrivals import arrivals, peak_concurrency_estimate, planned_requests
from serverless_lab.scenario import Scenario

# assumed: how long a request keeps its environment busy at the peak, warm or cold. Twice as long changes the peak of
# `monday-spike` by two percent: its burst decides.
PEAK_WINDOW_MS = 1_000.0
DIGEST_LENGTH = 10


@dataclass(frozen=True)
class Setting:
    """A variant made concrete for a scenario.

    `parts` says what it is made of, each as a short digest: `code`, `scenario`, `variant`, `target`, `lab`.
    """

    variant: Variant
    parameters: Mapping[str, str]
    scenario: Scenario
    parts: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.variant.name

    @property
    def idle_lifetime_ms(self) -> float:
        return self.variant.idle_lifetime_ms or float(quotas.IDLE_LIFETIME_MS)

    @property
    def digest(self) -> str:
        return digest_of(dict(self.parts))


@dataclass(frozen=True)
class PlannedRun:
    """One setting, sent one seed."""

    setting: Setting
    seed: int

    @property
    def key(self) -> str:
        """What the run is known by in a folder's name, after the variant's."""
        return f"{self.setting.digest}-{self.seed}"

    @property
    def folder_name(self) -> str:
        return f"{self.setting.name}-{self.key}"


@dataclass(frozen=True)
class Plan:
    """What is compared: `settings` by variant, `lifetimes` the sensitivity's settings by idle lifetime in ms.

    `runs` has every run once, in order; `seeds` are those of the variants, the sensitivity takes the first of them.
    """

    baseline: str
    settings: Mapping[str, Setting]
    seeds: tuple[int, ...]
    runs: tuple[PlannedRun, ...]
    sensitive: str | None = None
    lifetimes: Mapping[float, Setting] | None = None
    lifetime_seeds: tuple[int, ...] = ()

    def of_variant(self, name: str) -> list[PlannedRun]:
        return [PlannedRun(self.settings[name], seed) for seed in self.seeds]

    def of_lifetime(self, lifetime_ms: float) -> list[PlannedRun]:
        assert self.lifetimes is not None
        return [PlannedRun(self.lifetimes[lifetime_ms], seed) for seed in self.lifetime_seeds]


def make_plan(
    chosen: VariantSet,
    scenario: Scenario,
    *,
    repeat: int,
    seed: int,
    code_digest: Callable[[Mapping[str, str]], str],
    target: str,
    lab: str,
    sensitivity: bool = True,
) -> Plan:
    """The plan of a comparison.

    Args:
        repeat: how many seeds each variant is sent: `seed`, `seed` + 1, …
        code_digest: what the deployed code is, for parameters of the template.
        target: what tells the target from another.
        lab: what tells this lab's way of measuring from another's.
        sensitivity: whether the target can be given an idle lifetime.

    Raises:
        ScenarioError: a variant's scenario is none, or sends nothing.
    """

    def setting(variant: Variant) -> Setting:
        return _setting(variant, scenario, seed, code_digest, target, lab)

    settings = {variant.name: setting(variant) for variant in chosen.variants}
    seeds = tuple(range(seed, seed + repeat))
    runs = _interleaved(list(settings.values()), seeds)
    lifetimes: dict[float, Setting] = {}
    lifetime_seeds: tuple[int, ...] = ()
    if chosen.sensitivity is not None and sensitivity:
        variant = chosen.named(chosen.sensitivity.variant)
        lifetimes = {
            lifetime: setting(replace(variant, idle_lifetime_ms=lifetime))
            for lifetime in chosen.sensitivity.idle_lifetimes_ms
        }
        lifetime_seeds = seeds[: chosen.sensitivity.repeat]
        runs += _interleaved(list(lifetimes.values()), lifetime_seeds)
    once: dict[str, PlannedRun] = {}
    for run in runs:
        once.setdefault(run.key, run)
    return Plan(
        baseline=chosen.baseline,
        settings=settings,
        seeds=seeds,
        runs=tuple(once.values()),
        sensitive=chosen.sensitivity.variant if lifetimes and chosen.sensitivity is not None else None,
        lifetimes=lifetimes or None,
        lifetime_seeds=lifetime_seeds,
    )


def _interleaved(settings: Sequence[Setting], seeds: Sequence[int]) -> list[PlannedRun]:
    """Seed by seed, beginning with another variant each time: what changes with time hits all of them alike."""
    return [
        PlannedRun(settings[(at + turn) % len(settings)], seed)
        for turn, seed in enumerate(seeds)
        for at in range(len(settings))
    ]


def _setting(
    variant: Variant,
    scenario: Scenario,
    seed: int,
    code_digest: Callable[[Mapping[str, str]], str],
    target: str,
    lab: str,
) -> Setting:
    own = varied(scenario, variant)
    if own.model == "open" and not planned_requests(own, arrivals(own, seed)):
        raise ScenarioError(f"variant `{variant.name}`: scenario `{own.name}` has no arrivals with seed {seed}")
    parameters = {name: _value(value, own, seed) for name, value in variant.parameters.items()}
    document = {key: value for key, value in own.document.items() if key not in ("seed", "description", "name")}
    made_of: dict[str, Any] = {
        "parameters": parameters,
        "idle_lifetime_ms": variant.idle_lifetime_ms or float(quotas.IDLE_LIFETIME_MS),
        "settle_ms": variant.settle_ms,
    }
    parts = {
        "code": code_digest(parameters),
        "scenario": digest_of(document),
        "variant": digest_of(made_of),
        "target": digest_of(target),
        "lab": lab,
    }
    return Setting(variant, parameters, own, parts)


def _value(value: str | Peak, scenario: Scenario, seed: int) -> str:
    if isinstance(value, str):
        return value
    if scenario.model == "closed":
        peak = scenario.clients
    else:
        width = max(entry.width for entry in scenario.mix)
        peak = peak_concurrency_estimate(arrivals(scenario, seed), PEAK_WINDOW_MS, width)
    return str(math.ceil(round(peak * value.factor, 9)))


def digest_of(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]

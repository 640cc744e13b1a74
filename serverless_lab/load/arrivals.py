"""scenario + seed -> the whole schedule, before the first request is sent.

Computed ahead, so that the number sent is exact, a run can be repeated, and a slow server cannot slow arrivals down.
Worker i of W sends the arrivals with number % W == i: the schedule does not know how many workers there are.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

from serverless_lab.scenario import Law, Phase, Ramp, Scenario


class Arrival(NamedTuple):
    """One arrival. `at_ms` counts from the run's start; `entry` is the place of its request or session in the mix."""

    number: int
    at_ms: float
    phase: str
    entry: int


def arrivals(scenario: Scenario, seed: int | None = None) -> list[Arrival]:
    """Every arrival of an open scenario, in order of time; arrivals at the same instant keep the order of phases.

    Each phase and the mix have random streams of their own, so changing one phase leaves the others as they were.
    """
    seed = scenario.seed if seed is None else seed
    timed = [
        (at_ms, phase.name)
        for number, phase in enumerate(scenario.phases)
        for at_ms in phase_times(phase, Random(f"{seed}/phase/{number}"))
    ]
    timed.sort(key=lambda item: item[0])
    entries = _entries(scenario, seed)
    return [Arrival(number, at_ms, phase, next(entries)) for number, (at_ms, phase) in enumerate(timed)]


def closed_entries(scenario: Scenario, seed: int | None = None) -> list[int]:
    """For each request of a closed scenario, the place of its entry in the mix."""
    entries = _entries(scenario, scenario.seed if seed is None else seed)
    return [next(entries) for _ in range(scenario.requests)]


def planned_requests(scenario: Scenario, schedule: Sequence[Arrival]) -> int:
    """How many HTTP requests the schedule sends: a session sends several."""
    if scenario.model == "closed":
        return scenario.requests
    counts = [entry.request_count for entry in scenario.mix]
    return sum(counts[arrival.entry] for arrival in schedule)


def peak_concurrency_estimate(schedule: Sequence[Arrival], window_ms: float, width: int = 1) -> int:
    """The largest number of requests that begin within any `window_ms`, each arrival opening `width` at once.

    With the duration of a cold request as the window it estimates how many execution environments a run needs at its
    peak: nothing that arrived in the window has been answered when the window ends.
    """
    peak, first = 0, 0
    for last, arrival in enumerate(schedule):
        # The window is closed on both sides: arrivals of one burst overlap even with a window of 0.
        while arrival.at_ms - schedule[first].at_ms > window_ms:
            first += 1
        peak = max(peak, last - first + 1)
    return peak * width


def phase_times(phase: Phase, rng: Random) -> list[float]:
    """When the arrivals of one phase happen, sorted, in ms after the run's start."""
    times: list[float]
    match phase.law:
        case Law.BURST:
            times = [0.0] * (phase.count or 0)
        case Law.FRONT_LOADED:
            times = _front_loaded(phase, rng)
        case Law.UNIFORM:
            times = _uniform(phase)
        case Law.POISSON if phase.count is not None:
            # A Poisson process with a known total: its arrivals are independent and uniform over the phase.
            times = sorted(rng.random() * phase.duration_ms for _ in range(phase.count))
        case Law.POISSON:
            times = _poisson(phase, rng)
    return [phase.start_ms + time for time in times]


def _entries(scenario: Scenario, seed: int) -> Iterator[int]:
    """Which entry of the mix each arrival takes, by weight."""
    if len(scenario.mix) == 1:
        while True:
            yield 0
    bounds = list(accumulate(entry.weight for entry in scenario.mix))
    rng = Random(f"{seed}/mix")
    last = len(bounds) - 1
    while True:
        yield min(bisect(bounds, rng.random() * bounds[-1]), last)


def _uniform(phase: Phase) -> list[float]:
    """Evenly spaced, the first at the phase's start; where the rate changes, evenly in the number of arrivals."""
    if phase.count is not None:
        return [number * phase.duration_ms / phase.count for number in range(phase.count)]
    assert phase.rate is not None
    total = round(phase.rate.total(phase.duration_ms))
    return [_when(phase.rate, phase.duration_ms, float(number)) for number in range(total)]


def _poisson(phase: Phase, rng: Random) -> list[float]:
    """Exponential gaps in the cumulative rate, brought back to time: exact for a rate that changes in a line."""
    assert phase.rate is not None
    total = phase.rate.total(phase.duration_ms)
    times: list[float] = []
    reached = rng.expovariate(1.0)
    while reached < total:
        times.append(_when(phase.rate, phase.duration_ms, reached))
        reached += rng.expovariate(1.0)
    return times


def _front_loaded(phase: Phase, rng: Random) -> list[float]:
    """Density proportional to exp(-t / time constant), cut off at the phase's end."""
    assert phase.count is not None and phase.time_constant_ms is not None
    constant, duration = phase.time_constant_ms, phase.duration_ms
    inside = -math.expm1(-duration / constant)
    times = (-constant * math.log1p(-rng.random() * inside) for _ in range(phase.count))
    return sorted(min(time, duration) for time in times)


def _when(rate: Ramp, duration_ms: float, reached: float) -> float:
    """The time in ms at which `reached` arrivals are expected: the cumulative rate inverted.

    With a(t) = from + slope t, the smaller root of slope/2 t^2 + from t = reached, written so that it also holds for
    slope 0 and loses no digits near it.
    """
    duration_s = duration_ms / 1000
    slope = (rate.to_per_s - rate.from_per_s) / duration_s
    root = math.sqrt(max(rate.from_per_s**2 + 2 * slope * reached, 0.0))
    denominator = rate.from_per_s + root
    time_s = 2 * reached / denominator if denominator > 0 else 0.0
    return min(time_s * 1000, duration_ms)

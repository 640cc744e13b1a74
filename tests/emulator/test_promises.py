"""Load generators and time: whatever the network does to their requests, each is let in at its own time."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.emulator.clock import VirtualClock
from serverless_lab.emulator.generators import ARRIVAL, GENERATOR, NEXT, SEQUENCE, Generators
from serverless_lab.emulator.speed import Speedometer

CLOCK = VirtualClock(tokens=1, speed=Speedometer(None))
"""One for all examples: each begins where the one before left time."""


@dataclass(frozen=True)
class Request:
    worker: int
    sequence: int
    at_ms: float
    next_ms: float
    token: str

    @property
    def headers(self) -> dict[bytes, bytes]:
        following = b"none" if math.isinf(self.next_ms) else repr(self.next_ms).encode()
        return {
            GENERATOR: self.token.encode(),
            SEQUENCE: str(self.sequence).encode(),
            ARRIVAL: repr(self.at_ms).encode(),
            NEXT: following,
        }


@dataclass
class Trial:
    """One run of several workers, and what was let in: (worker, sequence), ms after the run's zero, clock's now."""

    generators: Generators
    origin_ms: float
    requests: list[Request]
    let_in: list[tuple[tuple[int, int], float, float]]

    async def send(self, request: Request) -> None:
        arrival = await self.generators.arrive(request.headers)
        entered = ((request.worker, request.sequence), arrival.actor.at_ms - self.origin_ms, CLOCK.now_ms())
        self.let_in.append(entered)
        self.generators.end(arrival, arrival.actor)
        self.generators.answered(arrival)


def begin(schedules: list[list[float]], lease_seconds: float = 60.0) -> Trial:
    """Workers with the times of their arrivals have all joined, and sent nothing yet."""
    generators, requests, origin_ms = Generators(CLOCK, lease_seconds), [], 0.0
    for worker, schedule in enumerate(schedules):
        times = sorted(schedule)
        said = {"run": "trial", "worker": worker, "workers": len(schedules), "first_ms": times[0] if times else None}
        joined = generators.join(json.dumps(said).encode())
        origin_ms = joined["origin_ms"]
        following = [*times[1:], math.inf][: len(times)]
        requests += [
            Request(worker, number, at_ms, next_ms, joined["generator"])
            for number, (at_ms, next_ms) in enumerate(zip(times, following, strict=True))
        ]
    return Trial(generators, origin_ms, requests, [])


async def settled() -> None:
    """What was woken has gone on: an admission takes a few turns of the loop."""
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def trial_of(schedules: list[list[float]]) -> AsyncIterator[Trial]:
    """Afterwards everybody leaves, so that an example that fails does not hold time for the next one."""
    trial = begin(schedules)
    try:
        yield trial
    finally:
        for token in list(trial.generators._generators):
            trial.generators.leave(json.dumps({"generator": token}).encode())


TIMES = st.lists(st.floats(0, 1_000, allow_nan=False), max_size=8)
SEEDS = st.integers(0, 1 << 32)
SCHEDULES = st.lists(TIMES, min_size=1, max_size=3)


def assert_in_order(trial: Trial, expected: list[Request]) -> None:
    """Each at its own time, and time never back. What arrives at one instant may come in any order."""
    planned = {(request.worker, request.sequence): request.at_ms for request in expected}
    assert sorted(who for who, _, _ in trial.let_in) == sorted(planned)
    assert all(abs(at_ms - planned[who]) < 1e-6 for who, at_ms, _ in trial.let_in)
    times = [at_ms for _, at_ms, _ in trial.let_in]
    assert times == sorted(times)
    nows = [now_ms for _, _, now_ms in trial.let_in]
    assert nows == sorted(nows)
    assert all(now_ms >= trial.origin_ms + at_ms - 1e-6 for _, at_ms, now_ms in trial.let_in)


@settings(max_examples=150)
@given(SCHEDULES, SEEDS)
def test_requests_are_let_in_at_their_times_and_in_order_however_they_overtake_each_other(
    schedules: list[list[float]], seed: int
):
    chance = random.Random(seed)

    async def run() -> None:
        async with trial_of(schedules) as trial:
            sent = list(trial.requests)
            chance.shuffle(sent)
            tasks = []
            for request in sent:
                tasks.append(asyncio.ensure_future(trial.send(request)))
                if chance.random() < 0.5:
                    await settled()
            await asyncio.wait_for(asyncio.gather(*tasks), 30)
            assert_in_order(trial, trial.requests)

    asyncio.run(run())


@settings(max_examples=150)
@given(SCHEDULES.filter(any), SEEDS)
def test_nobody_passes_a_promised_arrival_that_is_missing_until_its_lease_is_over(
    schedules: list[list[float]], seed: int
):
    """The missing one may have died: after the lease, everybody else goes on, and its run is told as lost."""

    chance = random.Random(seed)

    async def run() -> None:
        async with trial_of(schedules) as trial:
            missing = chance.choice(trial.requests)
            sent = [request for request in trial.requests if request != missing]
            chance.shuffle(sent)
            tasks = [asyncio.ensure_future(trial.send(request)) for request in sent]
            await settled()
            assert all(at_ms <= missing.at_ms + 1e-6 for _, at_ms, _ in trial.let_in)
            assert CLOCK.now_ms() <= trial.origin_ms + missing.at_ms + 1e-6
            let_leases_run_out(trial, missing.worker)
            await asyncio.wait_for(asyncio.gather(*tasks), 30)
            assert trial.generators.lost == ["trial"]
            assert_in_order(trial, sent)

    asyncio.run(run())


def let_leases_run_out(trial: Trial, worker: int) -> None:
    """As if the worker had said nothing for longer than the lease, with nothing of its own under way."""
    for generator in list(trial.generators._generators.values()):
        if generator.worker == worker:
            generator.spoke_at -= 3_600
            generator.in_flight = 0
    trial.generators.expire()

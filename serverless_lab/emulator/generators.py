"""Load generators as participants in virtual time: they send ahead what they have computed ahead.

A generator joins a run, then sends each request with the time at which it arrives and the time of the one after it.
The emulator holds a request until virtual time reaches it. What a generator has said about its next arrival counts once
all its requests up to there have been heard, because HTTP requests overtake each other. A request that will be followed
by another one, whose time depends on the answer, asks for a hold: time then stands at its end until the follow-up is
heard.

A generator that owes the next move and says nothing for LEASE_SECONDS of real time is dropped, so that one that dies or
hangs never freezes the emulator; its run is reported as lost.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serverless_lab.emulator.clock import VirtualActor, VirtualClock

LEASE_SECONDS = 10.0

GENERATOR = b"x-lab-generator"
SEQUENCE = b"x-lab-sequence"
ARRIVAL = b"x-lab-arrival-ms"
NEXT = b"x-lab-next-ms"
HOLD = b"x-lab-hold"
FOLLOWS = b"x-lab-follows"
FOLLOW_COUNT = b"x-lab-follow-count"
LATENCY_HEADER = b"x-lab-latency-ms"
HOLD_ID_HEADER = b"x-lab-hold-id"
FOLLOW_UP_ORDER = 1 << 40


class BadArrival(Exception):
    """Headers that do not add up; the text is for whoever wrote the generator."""


@dataclass
class Hold:
    """Time stands at the end of a request until `awaited` follow-ups are heard; None until the first says how many."""

    actor: VirtualActor
    awaited: int | None = None


@dataclass
class Generator:
    """One worker of a run."""

    token: str
    run: Run
    worker: int
    actor: VirtualActor
    next_ms: float
    """Its next planned arrival, ms after the run's zero."""
    heard: dict[int, float] = field(default_factory=dict)
    expected: int = 0
    in_flight: int = 0
    holds: dict[str, Hold] = field(default_factory=dict)
    spoke_at: float = field(default_factory=time.monotonic)


@dataclass
class Run:
    name: str
    workers: int
    origin_ms: float
    generators: dict[int, Generator] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.generators) == self.workers


@dataclass
class Arrival:
    """A stamped request on its way in: when it arrives, and who sent it."""

    generator: Generator
    at_ms: float
    actor: VirtualActor
    hold: bool
    ended_ms: float | None = None
    hold_id: str | None = None

    @property
    def latency_ms(self) -> float:
        return 0.0 if self.ended_ms is None else self.ended_ms - self.at_ms


class Generators:
    """All load generators of an emulator. Called on the event loop only.

    Args:
        clock: whose time they take part in.
        lease_seconds: see LEASE_SECONDS.
    """

    def __init__(self, clock: VirtualClock, lease_seconds: float = LEASE_SECONDS) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._runs: dict[str, Run] = {}
        self._generators: dict[str, Generator] = {}
        self.lost: list[str] = []

    # Control -----------------------------------------------------------------------------------------------------

    def join(self, body: bytes) -> dict[str, Any]:
        """One worker of a run; time stands still until all of them have joined."""
        said = _object(body)
        name, worker, workers = str(said["run"]), int(said["worker"]), int(said["workers"])
        quiet_ms, first = float(said.get("quiet_ms") or 0.0), said.get("first_ms")
        run = self._runs.get(name)
        actor = self._clock.enter()
        if run is None:
            run = self._runs[name] = Run(name, workers, actor.at_ms + quiet_ms)
        if worker in run.generators or not 0 <= worker < run.workers:
            actor.leave()
            raise BadArrival(f"run {name} has no place for worker {worker}")
        next_ms = math.inf if first is None else float(first)
        generator = Generator(secrets.token_hex(8), run, worker, actor, next_ms)
        run.generators[worker] = self._generators[generator.token] = generator
        if run.complete:
            for member in run.generators.values():
                if member.token in self._generators:
                    member.spoke_at = time.monotonic()
                    member.actor.promise(run.origin_ms + member.next_ms)
        return {
            "generator": generator.token,
            "origin_ms": run.origin_ms,
            "origin_epoch_ms": self._clock.epoch_ms(run.origin_ms),
        }

    def leave(self, body: bytes) -> dict[str, Any]:
        self._drop(self._known(str(_object(body)["generator"])))
        return {}

    def beat(self, body: bytes) -> dict[str, Any]:
        generator = self._known(str(_object(body)["generator"]))
        generator.spoke_at = time.monotonic()
        return {"now_ms": self._clock.now_ms() - generator.run.origin_ms}

    def release(self, body: bytes) -> dict[str, Any]:
        """A hold that will not be followed by a request."""
        said = _object(body)
        generator = self._known(str(said["generator"]))
        generator.spoke_at = time.monotonic()
        hold = generator.holds.pop(str(said["hold"]), None)
        if hold is not None:
            hold.actor.leave()
        return {}

    def status(self) -> dict[str, Any]:
        return {
            "now_ms": self._clock.now_ms(),
            "actors": self._clock.counts(),
            "generators": [
                {"run": item.run.name, "worker": item.worker, "in_flight": item.in_flight, "holds": len(item.holds)}
                for item in self._generators.values()
            ],
            "lost": list(self.lost),
        }

    def expire(self) -> None:
        """Drop generators that owe the next move and have been silent for too long. Called now and then."""
        now = time.monotonic()
        for generator in list(self._generators.values()):
            owes_the_next_move = generator.in_flight == 0 or bool(generator.holds)
            if owes_the_next_move and now - generator.spoke_at > self._lease_seconds:
                if generator.run.name not in self.lost:
                    self.lost.append(generator.run.name)
                self._drop(generator)

    # Requests ----------------------------------------------------------------------------------------------------

    async def arrive(self, headers: Mapping[bytes, bytes]) -> Arrival:
        """Hold a stamped request until its time has come.

        Raises:
            BadArrival: its headers do not add up.
        """
        generator = self._known(headers[GENERATOR].decode())
        generator.spoke_at = time.monotonic()
        try:
            at_ms = generator.run.origin_ms + float(headers[ARRIVAL])
        except (KeyError, ValueError) as error:
            raise BadArrival(f"{ARRIVAL.decode()} is missing or no number") from error
        planned = SEQUENCE in headers
        if not planned and FOLLOWS not in headers:
            raise BadArrival(f"neither {SEQUENCE.decode()} nor {FOLLOWS.decode()}: nobody knows where it belongs")
        sequence = int(headers[SEQUENCE]) if planned else FOLLOW_UP_ORDER
        waiting = self._clock.arrive(at_ms, (generator.worker, sequence))
        generator.in_flight += 1
        try:
            # First the arrival exists, then the promise that covered it moves on.
            if planned:
                self._hear(generator, sequence, headers.get(NEXT, b"none"))
            else:
                self._follow(generator, headers)
            actor = await waiting
        except BaseException:
            waiting.cancel()  # it leaves when its time comes
            generator.in_flight -= 1
            raise
        return Arrival(generator, at_ms, actor, hold=HOLD in headers)

    def end(self, arrival: Arrival, actor: VirtualActor) -> None:
        """Its answer is known, at the actor's time. May be called on the thread of the invocation."""
        if arrival.ended_ms is not None:
            actor.leave()
            return
        arrival.ended_ms = actor.at_ms
        if arrival.hold and arrival.generator.token in self._generators:
            arrival.hold_id = secrets.token_hex(8)
            arrival.generator.holds[arrival.hold_id] = Hold(actor)
            actor.promise(actor.at_ms)
        else:
            actor.leave()

    def answered(self, arrival: Arrival) -> None:
        """Its answer has been sent."""
        arrival.generator.in_flight -= 1
        arrival.generator.spoke_at = time.monotonic()

    def _hear(self, generator: Generator, sequence: int, next_text: bytes) -> None:
        generator.heard[sequence] = math.inf if next_text == b"none" else float(next_text)
        while generator.expected in generator.heard:
            generator.next_ms = generator.heard.pop(generator.expected)
            generator.expected += 1
        if generator.run.complete:
            generator.actor.promise(generator.run.origin_ms + generator.next_ms)

    def _follow(self, generator: Generator, headers: Mapping[bytes, bytes]) -> None:
        hold_id = headers[FOLLOWS].decode()
        hold = generator.holds.get(hold_id)
        if hold is None:
            raise BadArrival(f"no hold {hold_id} to follow")
        if hold.awaited is None:
            hold.awaited = int(headers.get(FOLLOW_COUNT, b"1"))
        hold.awaited -= 1
        if hold.awaited <= 0:
            del generator.holds[hold_id]
            hold.actor.leave()

    def _known(self, token: str) -> Generator:
        generator = self._generators.get(token)
        if generator is None:
            raise BadArrival(f"no generator {token}: it never joined, has left, or was silent for too long")
        return generator

    def _drop(self, generator: Generator) -> None:
        self._generators.pop(generator.token, None)
        generator.actor.leave()
        for hold in generator.holds.values():
            hold.actor.leave()
        generator.holds.clear()
        gone = all(member.token not in self._generators for member in generator.run.generators.values())
        if gone and generator.run.complete:
            self._runs.pop(generator.run.name, None)


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError as error:
        raise BadArrival(f"not JSON: {error}") from error
    if not isinstance(said, dict):
        raise BadArrival("not a JSON object")
    return said

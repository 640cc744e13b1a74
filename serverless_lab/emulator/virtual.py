"""Virtual time as a pure state machine: who is where in time, and who may go on next.

Theory of operation. Everything that takes part in time is an actor, in one of these states:

    ACTIVE(v)     doing something that takes no virtual time, at v: nothing may pass v
    WAITING(v)    a job that is to start at v and has no token to really execute yet: its end cannot lie before v
    RUNNING(f)    a job that really executes: its end cannot lie before its frontier f, which grows as it is measured
    ASLEEP(w)     to be woken at w; a lazy one (a timer) also waits for the pace of the wall clock
    PROMISED(v)   a load generator outside: it will send nothing that arrives before v
    PARKED        waiting for another actor, which will say when it goes on

The sleeper with the earliest w may wake when no other actor could still cause anything before w: w is at most every
WAITING, RUNNING and PROMISED time, and before every ACTIVE one. Waking makes it ACTIVE, so sleepers wake one at a time
and in the order of (w, order): the same actors give the same history whatever the machine does in between.

At most `tokens` jobs execute at once, those with the earliest start first. A job that is found blocked lends its token.

While nothing drives time (no load generator has promised an arrival, and nothing is certain to happen later), lazy
sleepers wait until the wall clock has reached their time (`pace`): an emulator that nobody loads keeps its idle
environments for ten real minutes.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

ActorId: TypeAlias = int
Order: TypeAlias = tuple[int, ...]


class State(Enum):
    ACTIVE = auto()
    WAITING = auto()
    RUNNING = auto()
    ASLEEP = auto()
    PROMISED = auto()
    PARKED = auto()


@dataclass
class _Actor:
    state: State
    at_ms: float
    stamp: int = 0
    has_token: bool = False
    lazy: bool = False


class VirtualTime:
    """The actors of one emulator. All times are ms since it started; none of the methods blocks.

    Args:
        tokens: how many jobs may really execute at once.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.now_ms = 0.0
        self.pace_ms = 0.0
        """How far the wall clock has come; lazy sleepers wait for it while nobody has promised anything."""
        self._actors: dict[ActorId, _Actor] = {}
        self._ids = itertools.count(1)
        self._stamps = itertools.count(1)
        self._limits: list[tuple[float, int, ActorId]] = []
        self._sleepers: list[tuple[float, Order, int, ActorId]] = []
        self._waiting: list[tuple[float, Order, int, ActorId]] = []
        self._tokens_used = 0
        self._drivers = 0
        """Finite promises and sleepers that are not lazy: time is certain to come as far as they are."""

    # Entering and leaving -----------------------------------------------------------------------------------

    def enter(self, at_ms: float | None = None) -> ActorId:
        """A new ACTIVE actor, at `at_ms` or at now where that is later."""
        actor_id = next(self._ids)
        at = self.now_ms if at_ms is None else max(at_ms, self.now_ms)
        self._actors[actor_id] = _Actor(State.ACTIVE, at)
        self._limit(actor_id)
        return actor_id

    def enter_asleep(self, until_ms: float, order: Order = (), lazy: bool = False) -> ActorId:
        """A new ASLEEP actor."""
        actor_id = self.enter()
        self.sleep(actor_id, until_ms, order, lazy)
        return actor_id

    def leave(self, actor_id: ActorId) -> None:
        """The actor takes no further part. A second call does nothing."""
        actor = self._actors.get(actor_id)
        if actor is None:
            return
        self._change(actor_id, State.PARKED, actor.at_ms)
        self.return_token(actor_id)
        del self._actors[actor_id]

    # What an actor does -------------------------------------------------------------------------------------

    def sleep(self, actor_id: ActorId, until_ms: float, order: Order = (), lazy: bool = False) -> None:
        actor = self._change(actor_id, State.ASLEEP, max(until_ms, self.now_ms), lazy)
        self.return_token(actor_id)
        heapq.heappush(self._sleepers, (actor.at_ms, order, actor.stamp, actor_id))

    def wait_for_token(self, actor_id: ActorId, order: Order = ()) -> None:
        """Become a job that starts at the actor's time."""
        actor = self._change(actor_id, State.WAITING, self._actors[actor_id].at_ms)
        self._limit(actor_id)
        heapq.heappush(self._waiting, (actor.at_ms, order, actor.stamp, actor_id))

    def progress(self, actor_id: ActorId, frontier_ms: float) -> None:
        """A RUNNING job has come as far as `frontier_ms`; it never goes back."""
        actor = self._actors[actor_id]
        if actor.state is State.RUNNING and frontier_ms > actor.at_ms:
            self._change(actor_id, State.RUNNING, frontier_ms)
            self._limit(actor_id)

    def promise(self, actor_id: ActorId, at_ms: float) -> None:
        """The actor sends nothing that arrives before `at_ms`; infinity for nothing at all for now."""
        self._change(actor_id, State.PROMISED, max(at_ms, self.now_ms))
        self._limit(actor_id)

    def park(self, actor_id: ActorId) -> None:
        self._change(actor_id, State.PARKED, self._actors[actor_id].at_ms)
        self.return_token(actor_id)

    def resume(self, actor_id: ActorId, at_ms: float, running: bool = False) -> None:
        """A PARKED actor goes on at `at_ms`: ACTIVE, or RUNNING (more jobs than tokens may run for a while then)."""
        self._change(actor_id, State.RUNNING if running else State.ACTIVE, max(at_ms, self.now_ms))
        self._limit(actor_id)

    # Tokens -------------------------------------------------------------------------------------------------

    def return_token(self, actor_id: ActorId) -> None:
        """The actor needs no token, or lends it while it is blocked."""
        actor = self._actors[actor_id]
        if actor.has_token:
            actor.has_token = False
            self._tokens_used -= 1

    def start_jobs(self) -> list[ActorId]:
        """Give free tokens to waiting jobs, earliest start first: those that are RUNNING now."""
        started = []
        while self._waiting and self._tokens_used < self.tokens:
            _, _, stamp, actor_id = heapq.heappop(self._waiting)
            actor = self._actors.get(actor_id)
            if actor is None or actor.stamp != stamp:
                continue
            self._change(actor_id, State.RUNNING, actor.at_ms)
            self._limit(actor_id)
            actor.has_token = True
            self._tokens_used += 1
            started.append(actor_id)
        return started

    # Time ---------------------------------------------------------------------------------------------------

    def wake_next(self) -> ActorId | None:
        """The one sleeper that may go on now, ACTIVE at its time; None when nobody may."""
        self._drop_stale()
        if not self._sleepers:
            return None
        wake_ms, _, _, actor_id = self._sleepers[0]
        actor = self._actors[actor_id]
        limit_ms, limiter = self._earliest_limit()
        if wake_ms > limit_ms or (wake_ms == limit_ms and limiter is State.ACTIVE):
            return None
        if actor.lazy and self._drivers == 0 and wake_ms > max(self.pace_ms, self.now_ms):
            return None
        heapq.heappop(self._sleepers)
        self.now_ms = max(self.now_ms, wake_ms)
        self._change(actor_id, State.ACTIVE, wake_ms)
        self._limit(actor_id)
        return actor_id

    def next_paced_ms(self) -> float | None:
        """When the next sleeper that waits for the wall clock is due; None when there is none or time is promised."""
        self._drop_stale()
        if self._drivers or not self._sleepers:
            return None
        wake_ms, _, _, actor_id = self._sleepers[0]
        return wake_ms if self._actors[actor_id].lazy else None

    @property
    def driven(self) -> bool:
        """Whether something is certain to happen: time then goes there, and does not wait for the wall clock."""
        return self._drivers > 0

    def time_of(self, actor_id: ActorId) -> float:
        return self._actors[actor_id].at_ms

    def state_of(self, actor_id: ActorId) -> State | None:
        actor = self._actors.get(actor_id)
        return None if actor is None else actor.state

    def count(self, state: State) -> int:
        return sum(actor.state is state for actor in self._actors.values())

    def _earliest_limit(self) -> tuple[float, State]:
        """The earliest time somebody holds; an ACTIVE holder first where several hold the same."""
        limits = self._limits
        while limits:
            at_ms, stamp, actor_id = limits[0]
            actor = self._actors.get(actor_id)
            if actor is not None and abs(actor.stamp) == abs(stamp):
                return at_ms, actor.state
            heapq.heappop(limits)
        return math.inf, State.PARKED

    def _drop_stale(self) -> None:
        while self._sleepers:
            _, _, stamp, actor_id = self._sleepers[0]
            actor = self._actors.get(actor_id)
            if actor is not None and actor.stamp == stamp:
                return
            heapq.heappop(self._sleepers)

    def _change(self, actor_id: ActorId, state: State, at_ms: float, lazy: bool = False) -> _Actor:
        actor = self._actors[actor_id]
        self._drivers -= _drives(actor)
        actor.state, actor.at_ms, actor.lazy, actor.stamp = state, at_ms, lazy, next(self._stamps)
        self._drivers += _drives(actor)
        return actor

    def _limit(self, actor_id: ActorId) -> None:
        actor = self._actors[actor_id]
        # Among equal times an ACTIVE one sorts first, because it alone keeps a sleeper of the same time asleep.
        rank = -actor.stamp if actor.state is State.ACTIVE else actor.stamp
        heapq.heappush(self._limits, (actor.at_ms, rank, actor_id))


def _drives(actor: _Actor) -> bool:
    if actor.state is State.PROMISED:
        return actor.at_ms < math.inf
    return actor.state is State.ASLEEP and not actor.lazy

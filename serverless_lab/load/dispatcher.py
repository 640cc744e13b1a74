"""A schedule and a clock -> calls at the right instants. Nothing here sends anything or knows which clock it is.

The clock is handed in because a run may happen in wall time (`WallClock` in `locustfile`) or in a virtual time that
someone else keeps; `wait_until` is where a load generator promises when its next arrival is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from serverless_lab.load.arrivals import Arrival

LOOKAHEAD = 1024  # requests prepared before they are due, so that a burst costs no preparation when it happens
PREPARE_AT_ONCE = 8  # about 0.4 ms of work between two looks at the clock
PAUSE_MS = 0.5  # between two such pieces: replies that have come in are read meanwhile
SPARE_MS = 3.0  # do not start preparing when an arrival is due sooner than this

Visit = TypeVar("Visit")


class Clock(Protocol):
    def now_ms(self) -> float:
        """Milliseconds since the run's start."""

    def wait_until(self, at_ms: float) -> None:
        """Returns at `at_ms`, or soon after when that has passed; lets others run meanwhile."""


def share(schedule: Iterable[Arrival], worker: int, workers: int) -> Iterator[Arrival]:
    """The arrivals that worker `worker` of `workers` sends."""
    return (arrival for arrival in schedule if arrival.number % workers == worker)


class Dispatcher(Generic[Visit]):
    """Launches each arrival at its instant, preparing those to come while there is time.

    Args:
        prepare: builds what an arrival sends; called ahead of time, in order.
        launch: starts it and returns at once, or blocks while too many are under way (which makes the next ones late).
    """

    def __init__(
        self,
        schedule: Iterable[Arrival],
        clock: Clock,
        prepare: Callable[[Arrival], Visit],
        launch: Callable[[Arrival, Visit], None],
    ) -> None:
        self._schedule = iter(schedule)
        self._clock = clock
        self._prepare = prepare
        self._launch = launch
        self._ready: deque[tuple[Arrival, Visit]] = deque()
        self.launched = 0

    def prepare_ahead(self, limit: int = LOOKAHEAD) -> bool:
        """Prepares up to `limit` arrivals more, never more than LOOKAHEAD in all; whether there were any."""
        before = len(self._ready)
        while len(self._ready) < min(LOOKAHEAD, before + limit):
            arrival = next(self._schedule, None)
            if arrival is None:
                break
            self._ready.append((arrival, self._prepare(arrival)))
        return len(self._ready) > before

    def not_launched(self, until_ms: float) -> Iterator[Arrival]:
        """The arrivals that were due by `until_ms` and that `run`, cut short, has not launched. Takes them out."""
        while self._ready or self.prepare_ahead(1):
            if self._ready[0][0].at_ms > until_ms:
                return
            yield self._ready.popleft()[0]

    def run(self) -> None:
        """Returns when the last arrival has been launched."""
        while self._ready or self.prepare_ahead(1):
            due_ms = self._ready[0][0].at_ms
            while due_ms - self._clock.now_ms() > SPARE_MS and self.prepare_ahead(PREPARE_AT_ONCE):
                self._clock.wait_until(self._clock.now_ms() + PAUSE_MS)
            self._clock.wait_until(due_ms)
            arrival, visit = self._ready.popleft()
            self.launched += 1
            self._launch(arrival, visit)

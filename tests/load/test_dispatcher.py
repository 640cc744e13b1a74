"""The dispatcher on a clock that the test keeps: what is launched when, without a second of waiting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.load.arrivals import Arrival
from serverless_lab.load.dispatcher import LOOKAHEAD, Dispatcher


class HandClock:
    """Moves only when someone waits; counts how often it was asked to."""

    def __init__(self, prepare_ms: float = 0.0) -> None:
        self.ms = -300.0
        self.prepare_ms = prepare_ms

    def now_ms(self) -> float:
        return self.ms

    def wait_until(self, at_ms: float) -> None:
        self.ms = max(self.ms, at_ms)


def schedule(times: list[float]) -> list[Arrival]:
    return [Arrival(number, at_ms, "p", 0) for number, at_ms in enumerate(sorted(times))]


def launches(arrivals: list[Arrival], clock: HandClock, launch_ms: float = 0.0) -> list[tuple[int, float]]:
    seen: list[tuple[int, float]] = []

    def prepare(arrival: Arrival) -> str:
        clock.ms += clock.prepare_ms
        return f"request {arrival.number}"

    def launch(arrival: Arrival, visit: str) -> None:
        assert visit == f"request {arrival.number}"
        seen.append((arrival.number, clock.ms))
        clock.ms += launch_ms

    dispatcher = Dispatcher(arrivals, clock, prepare, launch)
    dispatcher.run()
    assert dispatcher.launched == len(arrivals)
    return seen


@given(st.lists(st.floats(0, 1e6), max_size=60))
def test_every_arrival_is_launched_once_in_order_and_at_its_instant(times: list[float]) -> None:
    arrivals = schedule(times)
    assert launches(arrivals, HandClock()) == [(arrival.number, arrival.at_ms) for arrival in arrivals]


@given(st.lists(st.floats(0, 100), max_size=60), st.floats(0, 20))
def test_an_arrival_is_never_early_however_slow_launching_is(times: list[float], launch_ms: float) -> None:
    """A full pool blocks the launch: those behind are late, none is dropped, none jumps the queue."""
    arrivals = schedule(times)
    seen = launches(arrivals, HandClock(), launch_ms)
    assert [number for number, _ in seen] == [arrival.number for arrival in arrivals]
    assert all(at_ms >= arrival.at_ms for arrival, (_, at_ms) in zip(arrivals, seen, strict=True))


def test_requests_are_prepared_before_they_are_due() -> None:
    """Preparing 140 requests takes longer than the instant they share: it is done in the time before."""
    arrivals = schedule([1000.0] * 140)
    assert {at_ms for _, at_ms in launches(arrivals, HandClock(prepare_ms=1.0))} == {1000.0}


def test_preparation_stops_at_a_bounded_number() -> None:
    """A schedule of millions must not be turned into millions of bodies at once."""
    prepared: list[int] = []
    arrivals = schedule([1e9] * (LOOKAHEAD + 10))
    dispatcher = Dispatcher(arrivals, HandClock(), lambda arrival: prepared.append(arrival.number), lambda a, v: None)
    while dispatcher.prepare_ahead():
        pass
    assert len(prepared) == LOOKAHEAD


def test_what_was_due_and_not_launched_can_be_told() -> None:
    """A run that is stopped leaves a row for each request that was due, sent or not."""
    arrivals = schedule([0.0, 10.0, 20.0, 30.0])
    dispatcher = Dispatcher(arrivals, HandClock(), lambda arrival: None, lambda a, v: None)
    assert [arrival.number for arrival in dispatcher.not_launched(until_ms=20.0)] == [0, 1, 2]

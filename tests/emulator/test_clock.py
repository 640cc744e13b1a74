"""Time goes on whatever its participants do: a bug in one of them must not hold up the others for ever."""

from __future__ import annotations

import threading

import pytest

from serverless_lab.emulator.clock import Clock, VirtualActor, VirtualClock, WallClock
from serverless_lab.emulator.speed import Speedometer

PATIENCE_S = 30.0


def virtual_clock() -> VirtualClock:
    return VirtualClock(tokens=1, speed=Speedometer(None))


@pytest.mark.parametrize("make", [WallClock, virtual_clock])
def test_a_timer_that_fails_does_not_stop_the_timers_after_it(make, capfd):
    """All timers share a thread: idle expiry, retries and schedules would never come again."""
    clock: Clock = make()
    came = threading.Event()

    def fail(now_ms: float) -> None:
        raise RuntimeError("a bug in a timer")

    clock.call_at(clock.now_ms(), fail, lazy=False)
    clock.call_at(clock.now_ms() + 1, lambda now_ms: came.set(), lazy=False)
    assert came.wait(PATIENCE_S)
    assert "a bug in a timer" in capfd.readouterr().err


def woken_at(clock: VirtualClock, at_ms: float) -> threading.Event:
    came = threading.Event()
    clock.call_at(at_ms, lambda now_ms: came.set(), lazy=False)
    return came


def test_a_job_may_end_before_what_it_called():
    """A handler can invoke another function on a thread that it does not wait for."""
    clock = virtual_clock()
    actor = clock.enter()
    assert isinstance(actor, VirtualActor)
    job = actor.job(init=False, vcpus=1.0, key="caller")
    meter = job.__enter__()
    called = clock.meter_of("caller")
    assert called is not None
    ended: list[float] = []

    def end() -> None:
        actor.sleep_until(meter.start_ms + 5)
        ended.append(actor.at_ms)
        actor.leave()

    ends = threading.Thread(target=end, daemon=True)
    with clock.calling(*called) as callee:
        job.__exit__(None, None, None)
        ends.start()
        callee.sleep_until(meter.start_ms + 50)
    ends.join(PATIENCE_S)
    assert ended == [meter.start_ms + 5]
    assert woken_at(clock, meter.start_ms + 100).wait(PATIENCE_S)
    assert clock.counts()["running"] == 0


def test_a_call_may_come_in_when_its_job_has_just_ended():
    """The function's time ran out while its request was on the way: the callee runs all the same."""
    clock = virtual_clock()
    actor = clock.enter()
    with actor.job(init=False, vcpus=1.0, key="caller"):
        called = clock.meter_of("caller")
    actor.leave()
    assert called is not None
    with clock.calling(*called) as callee:
        callee.sleep_until(callee.at_ms + 10)
    assert not any(clock.counts().values())

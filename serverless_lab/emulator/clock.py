"""Time as the emulator sees it: the wall clock, or virtual time that does not depend on the machine.

Whoever takes part in time does so as an `Actor`: the thread of an invocation, a request at the edge, a timer. With the
wall clock an actor is hardly more than a way to ask what time it is; with the virtual clock it is an actor of
`virtual.VirtualTime`, whose rules say who may go on when.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Protocol

from serverless_lab.emulator.meter import Meter, Strain, VirtualMeter, WallMeter
from serverless_lab.emulator.speed import Speedometer
from serverless_lab.emulator.virtual import ActorId, Order, State, VirtualTime

WATCH_MS = 8.0
"""How often running jobs are looked at, in real ms."""


KEY_LENGTH = 16
"""Of a job's key this many characters count: as many as an environment's access key has room for."""


class Actor(Protocol):
    @property
    def at_ms(self) -> float:
        """Where it is in time."""

    def sleep_until(self, at_ms: float) -> None:
        """Block the calling thread until `at_ms`."""

    def job(self, *, init: bool, vcpus: float, key: str) -> contextlib.AbstractContextManager[Meter]:
        """Really execute something that has `vcpus`, when there is room for it; the meter says how long it takes.

        `key` is how the emulated services recognise whose calls they are.
        """

    def park(self) -> None:
        """Stop holding time: another actor will `resume` this one."""

    def resume(self, at_ms: float) -> None: ...

    def leave(self) -> None: ...


class Clock(Protocol):
    name: str

    def now_ms(self) -> float:
        """Milliseconds since the emulator started; never goes back."""

    def epoch_ms(self, at_ms: float | None = None) -> int:
        """The calendar time of `at_ms`, or of now, in milliseconds since 1970: what logs and dates show."""

    def enter(self, at_ms: float | None = None) -> Actor:
        """A new actor at `at_ms`, or now."""

    def call_at(self, at_ms: float, call: Callable[[float], None], *, lazy: bool) -> Callable[[], None]:
        """Call `call(at_ms)` then, on a thread of the clock's; gives a way to cancel it. `lazy`: a mere timer."""


class WallClock:
    """Real time.

    Args:
        simultaneous_inits: how many Init phases may run at once, so that they do not measure each other. The others
            wait, and that wait is not part of their Init Duration.
    """

    name = "wall"

    def __init__(self, simultaneous_inits: int = 1) -> None:
        self._started_ns = time.monotonic_ns()
        self._epoch_ms = time.time() * 1000
        self.strain = Strain()
        self.init_gate = threading.Semaphore(simultaneous_inits)
        self._calls: list[tuple[float, int, Callable[[float], None]]] = []
        self._cancelled: set[int] = set()
        self._number = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._run_calls, name="lab-clock", daemon=True).start()

    def now_ms(self) -> float:
        return (time.monotonic_ns() - self._started_ns) / 1e6

    def epoch_ms(self, at_ms: float | None = None) -> int:
        return int(self._epoch_ms + (self.now_ms() if at_ms is None else at_ms))

    def enter(self, at_ms: float | None = None) -> Actor:
        return _WallActor(self)

    def call_at(self, at_ms: float, call: Callable[[float], None], *, lazy: bool) -> Callable[[], None]:
        with self._changed:
            self._number += 1
            number = self._number
            heapq.heappush(self._calls, (at_ms, number, call))
            if self._calls[0][1] == number:
                self._changed.notify()
        return lambda: self._cancelled.add(number)

    def _run_calls(self) -> None:
        while True:
            with self._changed:
                due_ms = self._calls[0][0] - self.now_ms() if self._calls else None
                if due_ms is None or due_ms > 0:
                    self._changed.wait(None if due_ms is None else due_ms / 1000)
                    continue
                at_ms, number, call = heapq.heappop(self._calls)
                if number in self._cancelled:
                    self._cancelled.remove(number)
                    continue
            try:
                call(at_ms)
            except Exception:  # a bug, and the timers that follow are none of its
                traceback.print_exc()


class _WallActor:
    def __init__(self, clock: WallClock) -> None:
        self._clock = clock

    @property
    def at_ms(self) -> float:
        return self._clock.now_ms()

    def sleep_until(self, at_ms: float) -> None:
        """Nothing: what took time has taken it."""

    @contextlib.contextmanager
    def job(self, *, init: bool, vcpus: float, key: str) -> Iterator[Meter]:
        with self._clock.init_gate if init else contextlib.nullcontext():
            yield WallMeter(self._clock.now_ms(), self._clock.strain)

    def park(self) -> None: ...

    def resume(self, at_ms: float) -> None: ...

    def leave(self) -> None: ...


class VirtualClock:
    """Virtual time over real execution: the rules of `VirtualTime`, with threads.

    Args:
        tokens: how many jobs may really execute at once.
        speed: how fast this host's CPU is just now.
    """

    name = "virtual"

    def __init__(self, tokens: int, speed: Speedometer) -> None:
        self.time = VirtualTime(tokens)
        self.speed = speed
        self._epoch_ms = time.time() * 1000
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._wake: dict[ActorId, Callable[[], None]] = {}
        self._meters: dict[ActorId, VirtualMeter] = {}
        self._by_key: dict[str, ActorId] = {}
        self._calls: queue.SimpleQueue[tuple[Callable[[float], None], ActorId]] = queue.SimpleQueue()
        self._pace_anchor = (0.0, time.monotonic_ns())
        self._driven = False
        threading.Thread(target=self._run_calls, name="lab-clock-calls", daemon=True).start()
        threading.Thread(target=self._watch, name="lab-clock-watch", daemon=True).start()

    def now_ms(self) -> float:
        with self._lock:
            self._keep_pace()
            return self.time.now_ms

    def epoch_ms(self, at_ms: float | None = None) -> int:
        return int(self._epoch_ms + (self.now_ms() if at_ms is None else at_ms))

    def enter(self, at_ms: float | None = None) -> VirtualActor:
        with self._lock:
            self._keep_pace()
            return VirtualActor(self, self.time.enter(at_ms))

    def call_at(self, at_ms: float, call: Callable[[float], None], *, lazy: bool) -> Callable[[], None]:
        with self._lock:
            actor_id = self.time.enter_asleep(at_ms, lazy=lazy)
            self._wake[actor_id] = lambda: self._calls.put((call, actor_id))
            self.settle()
        return lambda: self.cancel(actor_id)

    def cancel(self, actor_id: ActorId) -> None:
        """A call that has not begun does not take place."""
        with self._lock:
            if self.time.state_of(actor_id) is State.ASLEEP:
                self._wake.pop(actor_id, None)
                self.time.leave(actor_id)
                self.settle()

    def arrive(self, at_ms: float, order: Order) -> asyncio.Future[VirtualActor]:
        """An actor that is there from now on, and ready when time has come as far as `at_ms`."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[VirtualActor] = loop.create_future()
        with self._lock:
            actor_id = self.time.enter_asleep(at_ms, order)
            actor = VirtualActor(self, actor_id)
            self._wake[actor_id] = lambda: _finish_soon(loop, arrived, actor)
            self.settle()
        return arrived

    def meter_of(self, key: str) -> tuple[VirtualMeter, ActorId] | None:
        """The job that runs in the environment known by `key`."""
        with self._lock:
            actor_id = self._by_key.get(key)
            return None if actor_id is None else (self._meters[actor_id], actor_id)

    @contextlib.contextmanager
    def calling(self, meter: VirtualMeter, caller: ActorId) -> Iterator[VirtualActor]:
        """A job calls another and waits: an actor for the callee at the caller's time; the caller lends its token.

        A job need not wait for what it calls: where it ends first, the call goes on without it.
        """
        with self._lock:
            at_ms = meter.start_ms + meter.elapsed_ms(time.monotonic_ns())
            callee = self.time.enter(at_ms)
            if self._meters.get(caller) is meter:
                self.time.progress(caller, at_ms)
                self.time.park(caller)
            self.settle()
        actor = VirtualActor(self, callee)
        with meter.away() as call:
            try:
                yield actor
            finally:
                with self._lock:
                    ended_ms = actor.at_ms
                    call.took_ms = max(0.0, ended_ms - at_ms)
                    if self._meters.get(caller) is meter:
                        self.time.resume(caller, ended_ms, running=True)
                    actor.leave()

    def settle(self) -> None:
        """Let everyone go on who may. Called, with the lock held, after every change."""
        while True:
            for actor_id in self.time.start_jobs():
                self._wake.pop(actor_id)()
                self._changed.notify_all()
            woken = self.time.wake_next()
            if woken is None:
                return
            self._wake.pop(woken)()

    def counts(self) -> dict[str, int]:
        with self._lock:
            return {state.name.lower(): self.time.count(state) for state in State}

    def _keep_pace(self) -> None:
        """Note how far the wall clock has come, while nothing drives time."""
        driven = self.time.driven
        anchor_ms, anchor_ns = self._pace_anchor
        if driven or self._driven:
            self._pace_anchor = (self.time.now_ms, time.monotonic_ns())
            self._driven = driven
            return
        self.time.pace_ms = max(self.time.now_ms, anchor_ms + (time.monotonic_ns() - anchor_ns) / 1e6)
        if not self._meters and self.time.count(State.ACTIVE) == 0:
            self.time.now_ms = max(self.time.now_ms, self._paced_now())

    def _paced_now(self) -> float:
        """The wall clock's time, but not past a sleeper that has not been woken yet."""
        due_ms = self.time.next_paced_ms()
        return self.time.pace_ms if due_ms is None else min(self.time.pace_ms, due_ms)

    def _run_calls(self) -> None:
        while True:
            call, actor_id = self._calls.get()
            try:
                call(self.time.time_of(actor_id))
            except Exception:  # a bug; but without this thread time would stand still for everybody
                traceback.print_exc()
            finally:
                with self._lock:
                    self.time.leave(actor_id)
                    self.settle()

    def _watch(self) -> None:
        """Look at running jobs now and then: how far they have come, and whether they are blocked."""
        while True:
            with self._lock:
                self._keep_pace()
                self._watch_jobs()
                self.settle()
                due_ms = self.time.next_paced_ms()
                if self._meters:
                    pause_s = WATCH_MS / 1000
                elif due_ms is not None:
                    pause_s = min(max((due_ms - self.time.pace_ms) / 1000, 0.001), 1.0)
                else:
                    pause_s = 1.0
                self._changed.wait(pause_s)

    def _watch_jobs(self) -> None:
        for actor_id, meter in list(self._meters.items()):
            if self.time.state_of(actor_id) is not State.RUNNING:
                continue
            self.time.progress(actor_id, meter.start_ms + meter.surely_ms())
            if meter.is_blocked():
                self.time.return_token(actor_id)


class VirtualActor:
    """See `Actor`."""

    def __init__(self, clock: VirtualClock, actor_id: ActorId) -> None:
        self._clock = clock
        self.actor_id = actor_id

    @property
    def at_ms(self) -> float:
        return self._clock.time.time_of(self.actor_id)

    def sleep_until(self, at_ms: float, *, lazy: bool = False) -> None:
        woken = threading.Event()
        with self._clock._lock:
            self._clock._wake[self.actor_id] = woken.set
            self._clock.time.sleep(self.actor_id, at_ms, lazy=lazy)
            self._clock.settle()
        woken.wait()

    @contextlib.contextmanager
    def job(self, *, init: bool, vcpus: float, key: str) -> Iterator[Meter]:
        clock, started = self._clock, threading.Event()
        with clock._lock:
            clock._wake[self.actor_id] = started.set
            clock.time.wait_for_token(self.actor_id)
            clock.settle()
        started.wait()
        meter = VirtualMeter(self.at_ms, vcpus, clock.speed)
        with clock._lock:
            clock._meters[self.actor_id] = meter
            clock._by_key[key[:KEY_LENGTH]] = self.actor_id
        try:
            yield meter
        finally:
            with clock._lock:
                del clock._meters[self.actor_id]
                clock._by_key.pop(key[:KEY_LENGTH], None)
                if clock.time.state_of(self.actor_id) is State.PARKED:
                    clock.time.resume(self.actor_id, self.at_ms)  # something it called goes on without it
                clock.time.return_token(self.actor_id)
                clock.settle()

    def park(self) -> None:
        with self._clock._lock:
            self._clock.time.park(self.actor_id)
            self._clock.settle()

    def resume(self, at_ms: float) -> None:
        with self._clock._lock:
            self._clock.time.resume(self.actor_id, at_ms)

    def promise(self, at_ms: float) -> None:
        """It will cause nothing before `at_ms`."""
        with self._clock._lock:
            self._clock.time.promise(self.actor_id, at_ms)
            self._clock.settle()

    def leave(self) -> None:
        with self._clock._lock:
            self._clock.time.leave(self.actor_id)
            self._clock.settle()


def _finish_soon(loop: asyncio.AbstractEventLoop, future: asyncio.Future[VirtualActor], actor: VirtualActor) -> None:
    def finish() -> None:
        if future.cancelled():
            actor.leave()
        else:
            future.set_result(actor)

    loop.call_soon_threadsafe(finish)

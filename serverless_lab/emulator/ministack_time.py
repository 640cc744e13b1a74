"""MiniStack in virtual time: its dates, pollers and schedules follow the clock.

* The services' `time` is one that tells virtual calendar time, so dates, TTLs and visibility timeouts do.
* Threads that MiniStack starts to carry something on (a notification, a batch of a Kinesis stream) become actors at
  the moment they are started: virtual time cannot pass the thing they are about to do.
* Kinesis mappings are polled when something was written, at the pace Lambda polls, instead of by a loop. (Queues and
  DynamoDB streams: `ministack_sources`.)
* Schedules are looked at when the next one is due.
"""

from __future__ import annotations

import contextvars
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from serverless_lab import quotas
from serverless_lab.emulator.clock import Actor, VirtualActor, VirtualClock

carried_actor: contextvars.ContextVar[Actor | None] = contextvars.ContextVar("carried_actor", default=None)
"""The actor of the thread that is running, where that is a thread of MiniStack's which takes part in time."""

SERVICES_WITH_DATES = (
    "apigateway_v1",
    "cloudwatch_logs",
    "dynamodb",
    "dynamodb_streams",
    "eventbridge",
    "lambda_svc",
    "s3",
    "scheduler",
    "sns",
    "sqs",
)
SERVICES_WITH_THREADS = ("eventbridge", "lambda_svc", "s3", "sns")
LOOPS = ("_poll_loop", "_scheduler_loop", "_ticker_loop", "_reaper_loop")
SCHEDULE_LOOK_MS = 60_000.0
"""A new rule is noticed at least this soon: no schedule fires earlier after its creation."""

RETRY_LOOK_MS = 1_000.0


class VirtualTimeModule:
    """Stands for the module `time`: calendar time is virtual, and actors sleep in virtual time."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        actor = carried_actor.get()
        return self._clock.epoch_ms(None if actor is None else actor.at_ms) / 1000

    def time_ns(self) -> int:
        return int(self.time() * 1e9)

    def sleep(self, seconds: float) -> None:
        actor = carried_actor.get()
        if isinstance(actor, VirtualActor):
            actor.sleep_until(actor.at_ms + seconds * 1000, lazy=True)
        else:
            time.sleep(seconds)


class ActorThreads:
    """Stands for the module `threading`: a thread started for one purpose is an actor until it ends."""

    def __init__(self, clock: VirtualClock) -> None:
        self.Thread = _thread_class(clock)

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


def _thread_class(clock: VirtualClock) -> type[threading.Thread]:
    class ActorThread(threading.Thread):
        _lab_actor: VirtualActor | None = None

        def start(self) -> None:
            target = getattr(self, "_target", None)
            if getattr(target, "__name__", "") not in LOOPS:
                self._lab_actor = enter(clock)
            super().start()

        def run(self) -> None:
            if self._lab_actor is None:
                super().run()
                return
            context = contextvars.copy_context()
            try:
                context.run(self._run_carried)
            finally:
                self._lab_actor.leave()

        def _run_carried(self) -> None:
            carried_actor.set(self._lab_actor)
            _carry_into_target(self)
            threading.Thread.run(self)

    return ActorThread


def _carry_into_target(thread: Any) -> None:
    """MiniStack runs its targets in a copied context (`ctx.run`): set the actor in there too."""
    target, actor = thread._target, carried_actor.get()
    context = getattr(target, "__self__", None)
    if isinstance(context, contextvars.Context):
        context.run(carried_actor.set, actor)


def enter(clock: VirtualClock) -> VirtualActor:
    """A new actor where the running thread is in time, or now."""
    actor = carried_actor.get()
    return clock.enter(None if actor is None else actor.at_ms)


class KinesisPoller:
    """Polls MiniStack's Kinesis event source mappings in virtual time, after something was written."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due = False
        self._busy = False
        self._again = False
        self._passes: queue.SimpleQueue[VirtualActor] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="lab-event-sources", daemon=True).start()

    def wake(self) -> None:
        """Something was written that an event source mapping may read."""
        if any(_is_kinesis(mapping) for _, _, mapping in _mappings()):
            self._poll_at(self._next_poll_ms(), lazy=False)

    def _next_poll_ms(self) -> float:
        period = quotas.STREAM_POLL_PERIOD_MS
        return (math.floor(self._clock.now_ms() / period) + 1) * period

    def _poll_at(self, at_ms: float, *, lazy: bool) -> None:
        with self._lock:
            if self._due and lazy:
                return
            already, self._due = self._due, True
        if not already:
            self._clock.call_at(at_ms, self._begin, lazy=lazy)

    def _begin(self, now_ms: float) -> None:
        with self._lock:
            self._due = False
            if self._busy:
                self._again = True  # the pass in progress is one actor: a second would hold time still under it
                return
            self._busy = True
        self._passes.put(self._clock.enter(now_ms))

    def _finished(self) -> bool:
        """Whether a pass that found nothing more is the last: nothing was written meanwhile."""
        with self._lock:
            self._busy, self._again = self._again, False
            return not self._busy

    def _run(self) -> None:
        from ministack.services import lambda_svc

        while True:
            actor = self._passes.get()
            carried_actor.set(actor)
            try:
                while True:
                    if not lambda_svc._poll_kinesis() and self._finished():
                        break
                if _work_is_left():
                    self._poll_at(actor.at_ms + RETRY_LOOK_MS, lazy=True)
            except Exception:
                lambda_svc.logger.exception("event source poller")
                self._finished()
            finally:
                carried_actor.set(None)
                actor.leave()


def _work_is_left() -> bool:
    """Whether a mapping has records that it did not take: a failed batch waits to be tried again."""
    from ministack.services import kinesis, lambda_svc

    for account, region, mapping in _mappings():
        if not (_is_kinesis(mapping) and mapping.get("Enabled", True)):
            continue
        with scope(account, region):
            positions = lambda_svc._kinesis_positions.get(mapping["UUID"]) or {}
            stream = kinesis._streams.get(str(mapping["EventSourceArn"]).rpartition("/")[2]) or {"shards": {}}
            if any(at < len(stream["shards"][shard]["records"]) for shard, at in positions.items()):
                return True
    return False


def _mappings() -> Iterator[tuple[str, str, dict[str, Any]]]:
    from ministack.services import lambda_svc

    yield from lambda_svc._iter_all_esms()


def _is_kinesis(mapping: dict[str, Any]) -> bool:
    return ":kinesis:" in str(mapping.get("EventSourceArn", ""))


@contextmanager
def scope(account: str, region: str) -> Iterator[None]:
    """Act in this account and region."""
    from ministack.services import lambda_svc

    tokens = lambda_svc._request_account_id.set(account), lambda_svc._request_region.set(region)
    try:
        yield
    finally:
        lambda_svc._request_account_id.reset(tokens[0])
        lambda_svc._request_region.reset(tokens[1])


class Schedules:
    """EventBridge rules and schedules, looked at when the next one is due."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._passes: queue.SimpleQueue[VirtualActor] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="lab-schedules", daemon=True).start()
        self._look_at(clock.now_ms() + 1_000.0)

    def _look_at(self, at_ms: float) -> None:
        self._clock.call_at(at_ms, lambda now_ms: self._passes.put(self._clock.enter(now_ms)), lazy=True)

    def _run(self) -> None:
        from ministack.services import eventbridge, scheduler

        while True:
            actor = self._passes.get()
            carried_actor.set(actor)
            try:
                eventbridge._tick_scheduled_rules()
                scheduler._tick_schedules()
            except Exception:
                eventbridge.logger.exception("schedules")
            self._look_at(min(actor.at_ms + SCHEDULE_LOOK_MS, self._next_due_ms(actor.at_ms)))
            carried_actor.set(None)
            actor.leave()

    def _next_due_ms(self, now_ms: float) -> float:
        """When the next rate() rule fires; cron() fires on whole minutes, which looking once a minute would miss."""
        from ministack.services import eventbridge

        now_s = self._clock.epoch_ms(now_ms) / 1000
        due_s = math.floor(now_s / 60) * 60 + 60.0
        for key, rule in list(eventbridge._rules._data.items()):
            interval = eventbridge._parse_rate_seconds(rule.get("ScheduleExpression", ""))
            if rule.get("State") == "ENABLED" and interval is not None:
                last_s = eventbridge._rule_last_fired.get(key, rule.get("CreationTime", now_s))
                due_s = min(due_s, max(last_s + interval, now_s + 0.001))
        return now_ms + (due_s - now_s) * 1000


def install(clock: VirtualClock) -> None:
    """Make MiniStack live in `clock`'s time. Call once, before it serves its first request."""
    import importlib

    from ministack.core import concurrency
    from ministack.services import eventbridge, lambda_svc, scheduler

    virtual_time, actor_threads = VirtualTimeModule(clock), ActorThreads(clock)
    for name in SERVICES_WITH_DATES:
        module: Any = importlib.import_module(f"ministack.services.{name}")
        module.time = virtual_time
        if name in SERVICES_WITH_THREADS:
            module.threading = actor_threads
            module._threading = actor_threads
    lambda_svc.spawn_background = _spawn_as_actor(clock, lambda_svc.spawn_background)
    poller = KinesisPoller(clock)
    lambda_svc._ensure_poller = lambda: None
    concurrency.esm_wake.set = poller.wake
    eventbridge.start_scheduler = lambda: None
    scheduler.start_scheduler = lambda: None
    Schedules(clock)


def _spawn_as_actor(clock: VirtualClock, spawn: Callable[..., Any]) -> Callable[..., Any]:
    def spawn_as_actor(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        actor = enter(clock)

        def carry(*inner: Any, **named: Any) -> None:
            carried_actor.set(actor)
            try:
                fn(*inner, **named)
            finally:
                actor.leave()

        return spawn(carry, *args, **kwargs)

    return spawn_as_actor

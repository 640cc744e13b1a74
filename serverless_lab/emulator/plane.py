"""The Lambda plane: carries out what the scheduler decides, with real processes.

Every invocation comes in on a thread of its own and is carried by it from end to end: it asks the scheduler, runs the
Init phase of the environment that was started for it, runs the Invoke phase and reports back. One lock guards the
scheduler; nothing slow happens under it.
"""

from __future__ import annotations

import contextvars
import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass

from serverless_lab.emulator.clock import Clock
from serverless_lab.emulator.commands import Command, SendInvoke, SetTimer, StartEnvironment, StopEnvironment, Throttle
from serverless_lab.emulator.environments import ExecutionEnvironment, InvokeOutcome, InvokeRequest
from serverless_lab.emulator.events import (
    Event,
    FunctionRemoved,
    InitCompleted,
    InitFailed,
    InvokeCompleted,
    InvokeCrashed,
    InvokeReceived,
    ReservedConcurrencySet,
    TimerFired,
)
from serverless_lab.emulator.model import EnvironmentId, EnvironmentState, FunctionVersion, ThrottleReason
from serverless_lab.emulator.scheduler import Scheduler

MakeEnvironment = Callable[[EnvironmentId], ExecutionEnvironment]
"""Makes an environment of the function that is invoked: the plane knows scheduling, not code or configuration."""


@dataclass(frozen=True)
class Carried:
    """An invocation that ran, and where."""

    environment_id: EnvironmentId
    outcome: InvokeOutcome


class _Ticket:
    """One invocation in progress: waits until it is given an environment or turned away."""

    def __init__(self, request: InvokeRequest, make_environment: MakeEnvironment) -> None:
        self.request = request
        self.make_environment = make_environment
        self.decided = threading.Event()
        self.invoke: SendInvoke | None = None
        self.throttled: ThrottleReason | None = None
        self.start: StartEnvironment | None = None


class LambdaPlane:
    """Runs invocations on execution environments.

    Args:
        scheduler: decides; used by this plane alone.
        clock: the time it is told.
        simultaneous_inits: how many Init phases may run at once, so that they do not measure each other; the others
            wait, and that wait is not part of their Init Duration.
    """

    def __init__(self, scheduler: Scheduler, clock: Clock, simultaneous_inits: int) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._lock = threading.Lock()
        self._tickets: dict[str, _Ticket] = {}
        self._environments: dict[EnvironmentId, ExecutionEnvironment] = {}
        self._init_gate = threading.Semaphore(simultaneous_inits)
        self._timers: list[tuple[float, EnvironmentId]] = []
        self._timers_changed = threading.Condition()
        self._reserved: dict[str, int] = {}
        self._closed = False
        self._timer_thread = threading.Thread(target=self._run_timers, name="lab-timers", daemon=True)
        self._timer_thread.start()

    def invoke(
        self, function: FunctionVersion, request: InvokeRequest, make_environment: MakeEnvironment
    ) -> Carried | ThrottleReason:
        """Carry one invocation; returns when it has ended, with its log written."""
        ticket = _Ticket(request, make_environment)
        self._tickets[request.request_id] = ticket
        try:
            self._tell(InvokeReceived(request.request_id, function))
            if ticket.start is not None and self._scheduler.options.waiting_takes_freed:
                context = contextvars.copy_context()
                threading.Thread(target=context.run, args=(self._run_init, ticket.start, ticket), daemon=True).start()
            elif ticket.start is not None:
                self._run_init(ticket.start, ticket)
            ticket.decided.wait()
            if ticket.throttled is not None:
                return ticket.throttled
            assert ticket.invoke is not None
            return self._run_invoke(ticket.invoke, ticket)
        finally:
            del self._tickets[request.request_id]

    def recycle(self, name: str, version: str | None = None) -> None:
        """End the environments of a function, or of one version of it; those in use end when they are done."""
        self._tell(FunctionRemoved(name, version))

    def set_reserved_concurrency(self, reserved: dict[str, int]) -> None:
        """What is reserved from now on, by function name; a function that is not in it has no reservation."""
        if reserved == self._reserved:
            return
        for name in {*reserved, *self._reserved}:
            self._tell(ReservedConcurrencySet(name, reserved.get(name)))
        self._reserved = reserved

    def counts(self) -> dict[str, dict[str, int]]:
        """Environments by function name and state."""
        found: dict[str, dict[str, int]] = {}
        with self._lock:
            for environment in self._scheduler.environments.values():
                states = found.setdefault(environment.function.name, {state.value: 0 for state in EnvironmentState})
                states[environment.state.value] += 1
        return found

    def memory_mb(self) -> dict[EnvironmentId, tuple[str, int]]:
        """Function name and peak memory of each environment that has a process."""
        with self._lock:
            environments = list(self._environments.values())
        return {item.environment_id: (item.function.name, item.peak_memory_mb()) for item in environments}

    def close(self) -> None:
        """End every environment, in use or not."""
        with self._timers_changed:
            self._closed = True
            self._timers_changed.notify()
        with self._lock:
            environments = list(self._environments.values())
            self._environments.clear()
        for environment in environments:
            environment.stop()

    def _run_init(self, start: StartEnvironment, ticket: _Ticket) -> None:
        environment = ticket.make_environment(start.environment_id)
        with self._lock:
            self._environments[start.environment_id] = environment
        with self._init_gate:
            succeeded = environment.init()
        self._tell(InitCompleted(start.environment_id) if succeeded else InitFailed(start.environment_id))

    def _run_invoke(self, command: SendInvoke, ticket: _Ticket) -> Carried:
        environment = self._environments[command.environment_id]
        event: Event = InvokeCrashed(command.environment_id)
        try:
            outcome = environment.invoke(ticket.request, command.repeat_init)
            if not outcome.crashed:
                event = InvokeCompleted(command.environment_id)
        finally:
            self._tell(event)
        return Carried(command.environment_id, outcome)

    def _tell(self, event: Event) -> None:
        with self._lock:
            commands = self._scheduler.handle(event, self._clock.now_ms())
        for command in commands:
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        match command:
            case StartEnvironment(request_id=request_id):
                self._tickets[request_id].start = command
            case SendInvoke(request_id=request_id):
                ticket = self._tickets[request_id]
                ticket.invoke = command
                ticket.decided.set()
            case Throttle(request_id=request_id, reason=reason):
                ticket = self._tickets[request_id]
                ticket.throttled = reason
                ticket.decided.set()
            case StopEnvironment(environment_id=environment_id):
                with self._lock:
                    environment = self._environments.pop(environment_id)
                threading.Thread(target=environment.stop, name="lab-stop").start()
            case SetTimer(environment_id=environment_id, at_ms=at_ms):
                with self._timers_changed:
                    heapq.heappush(self._timers, (at_ms, environment_id))
                    self._timers_changed.notify()

    def _run_timers(self) -> None:
        while True:
            with self._timers_changed:
                if self._closed:
                    return
                due_ms = self._timers[0][0] - self._clock.now_ms() if self._timers else None
                if due_ms is None or due_ms > 0:
                    self._timers_changed.wait(None if due_ms is None else due_ms / 1000)
                    continue
                _, environment_id = heapq.heappop(self._timers)
            self._tell(TimerFired(environment_id))

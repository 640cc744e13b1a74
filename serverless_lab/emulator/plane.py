"""The Lambda plane: carries out what the scheduler decides, with real processes.

Every invocation comes in on a thread of its own and is carried by it from end to end: it asks the scheduler, runs the
Init phase of the environment that was started for it, runs the Invoke phase and reports back. One lock guards the
scheduler; nothing slow happens under it.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass

from serverless_lab import quotas
from serverless_lab.emulator.clock import Actor, Clock
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

    def __init__(self, request: InvokeRequest, make_environment: MakeEnvironment, actor: Actor) -> None:
        self.request = request
        self.make_environment = make_environment
        self.actor = actor
        self.waits = False
        self.decided = threading.Event()
        self.invoke: SendInvoke | None = None
        self.throttled: ThrottleReason | None = None
        self.start: StartEnvironment | None = None


class LambdaPlane:
    """Runs invocations on execution environments.

    Args:
        scheduler: decides; used by this plane alone.
        clock: where everyone is in time, and who may really execute.
    """

    def __init__(self, scheduler: Scheduler, clock: Clock) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._lock = threading.Lock()
        self._tickets: dict[str, _Ticket] = {}
        self._environments: dict[EnvironmentId, ExecutionEnvironment] = {}
        self._reserved: dict[str, int] = {}

    def invoke(
        self, function: FunctionVersion, request: InvokeRequest, make_environment: MakeEnvironment, actor: Actor
    ) -> Carried | ThrottleReason:
        """Carry one invocation; returns when it has ended, with its log written and `actor` at its end."""
        ticket = _Ticket(request, make_environment, actor)
        self._tickets[request.request_id] = ticket
        try:
            self._tell(InvokeReceived(request.request_id, function), actor.at_ms)
            if ticket.start is not None and self._scheduler.options.waiting_takes_freed:
                starter = self._clock.enter(actor.at_ms)
                context = contextvars.copy_context()
                threading.Thread(
                    target=context.run, args=(self._run_init, ticket.start, ticket, starter), daemon=True
                ).start()
                with self._lock:
                    ticket.waits = ticket.invoke is None
                    if ticket.waits:
                        actor.park()
            elif ticket.start is not None:
                self._run_init(ticket.start, ticket, actor)
            ticket.decided.wait()
            if ticket.throttled is not None:
                return ticket.throttled
            assert ticket.invoke is not None
            return self._run_invoke(ticket.invoke, ticket)
        finally:
            del self._tickets[request.request_id]

    def recycle(self, name: str, version: str | None = None) -> None:
        """End the environments of a function, or of one version of it; those in use end when they are done."""
        self._tell(FunctionRemoved(name, version), self._clock.now_ms())

    def set_reserved_concurrency(self, reserved: dict[str, int]) -> None:
        """What is reserved from now on, by function name; a function that is not in it has no reservation."""
        if reserved == self._reserved:
            return
        for name in {*reserved, *self._reserved}:
            self._tell(ReservedConcurrencySet(name, reserved.get(name)), self._clock.now_ms())
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

    def _run_init(self, start: StartEnvironment, ticket: _Ticket, actor: Actor) -> None:
        environment = ticket.make_environment(start.environment_id)
        with self._lock:
            self._environments[start.environment_id] = environment
        with actor.job(init=True, vcpus=quotas.INIT_VCPUS, key=start.environment_id) as meter:
            outcome = environment.init(meter)
        actor.sleep_until(meter.start_ms + outcome.duration_ms)
        ended = InitCompleted if outcome.succeeded else InitFailed
        self._tell(ended(start.environment_id), actor.at_ms)
        if actor is not ticket.actor:
            actor.leave()

    def _run_invoke(self, command: SendInvoke, ticket: _Ticket) -> Carried:
        environment, actor = self._environments[command.environment_id], ticket.actor
        event: Event = InvokeCrashed(command.environment_id)
        try:
            share = vcpus(environment.function.memory_size_mb)
            with actor.job(init=False, vcpus=share, key=command.environment_id) as meter:
                outcome = environment.invoke(ticket.request, command.repeat_init, meter)
            actor.sleep_until(meter.start_ms + outcome.duration_ms)
            if not outcome.crashed:
                event = InvokeCompleted(command.environment_id)
        finally:
            self._tell(event, actor.at_ms)
        return Carried(command.environment_id, outcome)

    def _tell(self, event: Event, at_ms: float) -> None:
        with self._lock:
            for command in self._scheduler.handle(event, at_ms):
                self._carry_out(command, at_ms)

    def _carry_out(self, command: Command, at_ms: float) -> None:
        match command:
            case StartEnvironment(request_id=request_id):
                self._tickets[request_id].start = command
            case SendInvoke(request_id=request_id):
                ticket = self._tickets[request_id]
                ticket.invoke = command
                if ticket.waits:
                    ticket.actor.resume(at_ms)
                ticket.decided.set()
            case Throttle(request_id=request_id, reason=reason):
                ticket = self._tickets[request_id]
                ticket.throttled = reason
                ticket.decided.set()
            case StopEnvironment(environment_id=environment_id):
                environment = self._environments.pop(environment_id)
                threading.Thread(target=environment.stop, name="lab-stop").start()
            case SetTimer(environment_id=environment_id, at_ms=due_ms):
                self._clock.call_at(due_ms, lambda now_ms: self._tell(TimerFired(environment_id), now_ms), lazy=True)


def vcpus(memory_size_mb: int) -> float:
    """How many virtual CPUs an environment of this size has: CPU is in proportion to memory."""
    return memory_size_mb / quotas.MEMORY_PER_VCPU_MB

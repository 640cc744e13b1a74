"""The Lambda plane: carries out what the scheduler decides, with real processes.

Every invocation comes in on a thread of its own and is carried by it from end to end: it asks the scheduler, runs the
Init phase of the environment that was started for it, runs the Invoke phase and reports back. The Init phase of a
provisioned environment, which no invocation waits for, has a thread of its own. One lock guards the scheduler; nothing
slow happens under it.
"""

from __future__ import annotations

import contextvars
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from serverless_lab import quotas
from serverless_lab.emulator.allocation import AllocationCounts, AllocationStatus
from serverless_lab.emulator.clock import Actor, Clock
from serverless_lab.emulator.commands import (
    Command,
    ProvisionEnvironment,
    SendInvoke,
    SetTimer,
    StartEnvironment,
    StopEnvironment,
    Throttle,
)
from serverless_lab.emulator.environments import ExecutionEnvironment, InvokeOutcome, InvokeRequest
from serverless_lab.emulator.events import (
    Event,
    FunctionRemoved,
    InitCompleted,
    InitFailed,
    InvokeCompleted,
    InvokeCrashed,
    InvokeReceived,
    ProvisionedConcurrencySet,
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
        self._changed = threading.Condition(self._lock)
        self._makers: dict[FunctionVersion, tuple[MakeEnvironment, contextvars.Context]] = {}
        self._tickets: dict[str, _Ticket] = {}
        self._environments: dict[EnvironmentId, ExecutionEnvironment] = {}
        self._reserved: dict[str, int] = {}

    def invoke(
        self,
        function: FunctionVersion,
        request: InvokeRequest,
        make_environment: MakeEnvironment,
        actor: Actor,
        *,
        synchronous: bool = True,
    ) -> Carried | ThrottleReason:
        """Carry one invocation; returns when it has ended, with its log written and `actor` at its end."""
        ticket = _Ticket(request, make_environment, actor)
        self._tickets[request.request_id] = ticket
        try:
            self._tell(InvokeReceived(request.request_id, function, synchronous), actor.at_ms)
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

    def provision(
        self,
        qualifier: str,
        function: FunctionVersion,
        requested: int,
        make_environment: MakeEnvironment | None = None,
    ) -> None:
        """Keep `requested` environments of `function` initialised for one of its aliases or versions; 0 ends that.

        They are made, and write their log, in the caller's context.
        """
        if make_environment is not None:
            self._makers[function] = make_environment, contextvars.copy_context()
        self._tell(ProvisionedConcurrencySet(function.name, qualifier, function, requested), self._clock.now_ms())

    def provisioned(self, name: str, qualifier: str) -> AllocationCounts | None:
        """How far the provisioned concurrency of an alias or version has come; None where there is none."""
        with self._lock:
            return self._scheduler.allocation(name, qualifier)

    def wait_until_provisioned(self, name: str, qualifier: str) -> AllocationCounts | None:
        """As `provisioned`, when all environments that were asked for have initialised, or that has failed."""
        with self._lock:
            while True:
                found = self._scheduler.allocation(name, qualifier)
                if found is None or found.status is not AllocationStatus.IN_PROGRESS:
                    return found
                self._changed.wait()

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

    def _run_provisioned(self, command: ProvisionEnvironment, actor: Actor) -> None:
        ended: Event = InitFailed(command.environment_id)
        try:
            environment = self._makers[command.function][0](command.environment_id)
            with self._lock:
                self._environments[command.environment_id] = environment
            # measured: no more CPU than in an invocation (Datadog's lambda-extension, pull request 700; see quotas).
            share = vcpus(environment.function.memory_size_mb)
            with actor.job(init=True, vcpus=share, key=command.environment_id) as meter:
                outcome = environment.init(meter)
            actor.sleep_until(meter.start_ms + outcome.duration_ms)
            if outcome.succeeded:
                ended = InitCompleted(command.environment_id)
        finally:
            self._tell(ended, actor.at_ms)
            actor.leave()

    def _run_init(self, start: StartEnvironment, ticket: _Ticket, actor: Actor) -> None:
        ended: type[InitCompleted] | type[InitFailed] = InitFailed
        try:
            environment = self._environment(start.environment_id, ticket)
            with actor.job(init=True, vcpus=quotas.INIT_VCPUS, key=start.environment_id) as meter:
                outcome = environment.init(meter)
            actor.sleep_until(meter.start_ms + outcome.duration_ms)
            ended = InitCompleted if outcome.succeeded else InitFailed
        except Exception as problem:
            # The Invoke phase tries again, and tells the caller if that fails too: for want of room on the host, say.
            if not isinstance(problem, OSError):
                traceback.print_exc()
        finally:
            self._tell(ended(start.environment_id), actor.at_ms)
            if actor is not ticket.actor:
                actor.leave()

    def _environment(self, environment_id: EnvironmentId, ticket: _Ticket) -> ExecutionEnvironment:
        """The environment of this id, made when it is not there: making it may have failed."""
        environment = self._environments.get(environment_id)
        if environment is None:
            environment = ticket.make_environment(environment_id)
            with self._lock:
                self._environments[environment_id] = environment
        return environment

    def _run_invoke(self, command: SendInvoke, ticket: _Ticket) -> Carried:
        actor = ticket.actor
        event: Event = InvokeCrashed(command.environment_id)
        try:
            environment = self._environment(command.environment_id, ticket)
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
            self._changed.notify_all()

    def _carry_out(self, command: Command, at_ms: float) -> None:
        match command:
            case StartEnvironment(request_id=request_id):
                self._tickets[request_id].start = command
            case ProvisionEnvironment():
                context = self._makers[command.function][1].copy()
                arguments = self._run_provisioned, command, self._clock.enter(at_ms)
                threading.Thread(target=context.run, args=arguments, daemon=True).start()
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
                environment = self._environments.pop(environment_id, None)
                if environment is not None:  # else it could not even be made
                    threading.Thread(target=environment.stop, name="lab-stop").start()
            case SetTimer(environment_id=environment_id, at_ms=due_ms):
                self._clock.call_at(due_ms, lambda now_ms: self._tell(TimerFired(environment_id), now_ms), lazy=True)


def vcpus(memory_size_mb: int) -> float:
    """How many virtual CPUs an environment of this size has: CPU is in proportion to memory."""
    return memory_size_mb / quotas.MEMORY_PER_VCPU_MB

"""Every placement decision, and nothing else: events come in, commands go out.

Theory of operation. A request that is let in (see `concurrency`) takes the idle environment of its function version
that was used last; where none is idle, a new one is started for it and the request waits for that one's Init phase. An
environment serves one request at a time. One that has been idle for the idle lifetime is stopped. A crash, a timeout
or a failed init leaves the environment in place without its process: whoever comes next pays for another init, inside
the Invoke phase. The legal moves are the table below; the driver may be the emulator, a prediction or a test.

Provisioned concurrency (see `allocation`) has environments initialised that no request waits for. A request goes to an
idle one of these first and spills over to an on-demand one when all are busy, or get more than ten requests a second
each. They do not expire; one that crashed or failed to initialise is replaced.

No clock, no I/O, no threads: the time is an argument, ids come from a function handed in, and events at the same
instant are handled in the order they arrive, so the same events give the same commands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from serverless_lab import quotas
from serverless_lab.emulator.allocation import Allocation, AllocationCounts, AllocationKey, Slot
from serverless_lab.emulator.commands import (
    Command,
    ProvisionEnvironment,
    SendInvoke,
    SetTimer,
    StartEnvironment,
    StopEnvironment,
    Throttle,
)
from serverless_lab.emulator.concurrency import Concurrency, requests_per_second
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
from serverless_lab.emulator.model import EnvironmentId, EnvironmentState, FunctionVersion, RequestId, SchedulerOptions

TRANSITIONS: dict[tuple[EnvironmentState, type[Event] | type[Command]], EnvironmentState] = {
    (EnvironmentState.INIT, InitCompleted): EnvironmentState.READY,
    (EnvironmentState.INIT, InitFailed): EnvironmentState.RESET,
    (EnvironmentState.READY, SendInvoke): EnvironmentState.INVOKE,
    (EnvironmentState.RESET, SendInvoke): EnvironmentState.INVOKE,
    (EnvironmentState.INVOKE, InvokeCompleted): EnvironmentState.READY,
    (EnvironmentState.INVOKE, InvokeCrashed): EnvironmentState.RESET,
    (EnvironmentState.READY, StopEnvironment): EnvironmentState.STOPPED,
    (EnvironmentState.RESET, StopEnvironment): EnvironmentState.STOPPED,
}


class IllegalMove(Exception):
    """A driver reported something that cannot have happened: a bug, naming state and event."""


@dataclass(eq=False)
class Environment:
    """One execution environment as the scheduler sees it; times in ms of the driver's clock."""

    environment_id: EnvironmentId
    function: FunctionVersion
    state: EnvironmentState = EnvironmentState.INIT
    request_id: RequestId | None = None
    idle_since_ms: float = 0.0
    timer_set: bool = False
    allocation: Allocation | None = None
    """Of provisioned concurrency; None on demand."""
    retired: bool = False
    """To be stopped as soon as it is idle: its code or configuration has changed, or its function is gone."""

    def move(self, cause: type[Event] | type[Command]) -> None:
        try:
            self.state = TRANSITIONS[self.state, cause]
        except KeyError:
            name = self.function.name
            raise IllegalMove(
                f"environment {self.environment_id} of {name} is in {self.state.name}: no {cause.__name__}"
            ) from None


@dataclass
class Pool:
    """The environments of one function version and revision."""

    idle: list[Environment] = field(default_factory=list)
    """In the order they became idle: the last is the one used most recently."""
    provisioned: list[Environment] = field(default_factory=list)
    """Those of provisioned concurrency that are idle, likewise."""
    waiting: deque[RequestId] = field(default_factory=deque)
    """Requests whose environment is in Init and who may take another (`waiting_takes_freed`)."""


class Scheduler:
    """Places invocations on execution environments.

    Args:
        options: limits of the account, and choices where AWS's own behaviour is not known.
        new_environment_id: gives a fresh id each time; handed in so that runs can be repeated.
    """

    def __init__(self, options: SchedulerOptions, new_environment_id: Callable[[], EnvironmentId]) -> None:
        self.options = options
        self.environments: dict[EnvironmentId, Environment] = {}
        self.concurrency = Concurrency(options.account_concurrency)
        self._new_environment_id = new_environment_id
        self._pools: dict[FunctionVersion, Pool] = {}
        self._newest: dict[tuple[str, str], FunctionVersion] = {}
        self._allocations: dict[AllocationKey, Allocation] = {}

    def allocation(self, name: str, qualifier: str) -> AllocationCounts | None:
        """How far the provisioned concurrency of an alias or version has come; None where there is none."""
        found = self._allocations.get((name, qualifier))
        return None if found is None else found.counts()

    def handle(self, event: Event, now_ms: float) -> list[Command]:
        """The commands that follow from `event` at `now_ms`.

        Raises:
            IllegalMove: the event does not fit the state of its environment.
        """
        match event:
            case InvokeReceived():
                return self._receive(event, now_ms)
            case InitCompleted(environment_id):
                environment = self.environments[environment_id]
                environment.move(InitCompleted)
                if environment.allocation is not None and not environment.retired:
                    return self._initialised(environment, environment.allocation, now_ms)
                return self._serve_or_rest(environment, now_ms)
            case InitFailed(environment_id):
                environment = self.environments[environment_id]
                environment.move(InitFailed)
                if environment.allocation is not None:
                    return self._replace(environment, environment.allocation)
                return self._serve_or_rest(environment, now_ms)
            case InvokeCompleted(environment_id):
                return self._finish(environment_id, InvokeCompleted, now_ms)
            case InvokeCrashed(environment_id):
                return self._finish(environment_id, InvokeCrashed, now_ms)
            case TimerFired(environment_id):
                return self._expire(environment_id, now_ms)
            case ReservedConcurrencySet(name, reserved):
                self.concurrency.reserve(name, reserved)
                return []
            case ProvisionedConcurrencySet():
                return self._provision(event, now_ms)
            case FunctionRemoved(name, version):
                return self._remove(name, version)

    def _receive(self, event: InvokeReceived, now_ms: float) -> list[Command]:
        request_id, function = event.request_id, event.function
        pool = self._pools.setdefault(function, Pool())
        provisioned = _idle_provisioned(pool, event.synchronous, now_ms)
        throttled = self.concurrency.admit(
            function.name,
            now_ms,
            on_provisioned=provisioned is not None,
            starts_environment=provisioned is None and not pool.idle,
            synchronous=event.synchronous,
        )
        if throttled is not None:
            return [Throttle(request_id, throttled)]
        commands = self._retire_older_revisions(function)
        if provisioned is not None:
            pool.provisioned.remove(provisioned)
            return [*commands, self._send(provisioned, request_id)]
        if pool.idle:
            commands.append(self._send(pool.idle.pop(), request_id))
            return commands
        environment = Environment(self._new_environment_id(), function)
        self.environments[environment.environment_id] = environment
        if self.options.waiting_takes_freed:
            pool.waiting.append(request_id)
        else:
            environment.request_id = request_id
        commands.append(StartEnvironment(environment.environment_id, function, request_id))
        return commands

    def _finish(
        self, environment_id: EnvironmentId, event: type[InvokeCompleted] | type[InvokeCrashed], now_ms: float
    ) -> list[Command]:
        environment = self.environments[environment_id]
        environment.move(event)
        environment.request_id = None
        allocation = environment.allocation
        self.concurrency.release(environment.function.name, on_provisioned=allocation is not None)
        if allocation is not None and event is InvokeCrashed:
            return self._replace(environment, allocation)
        return self._serve_or_rest(environment, now_ms)

    def _serve_or_rest(self, environment: Environment, now_ms: float) -> list[Command]:
        """An environment that can take a request now: give it its own, or one that waits, or let it idle."""
        if environment.request_id is not None:
            return [self._send(environment, environment.request_id)]
        pool = self._pools.setdefault(environment.function, Pool())
        allocation = environment.allocation
        if pool.waiting and (allocation is None or allocation.rate.take(now_ms)):
            if allocation is not None:
                self.concurrency.move_to_provisioned(environment.function.name)
            return [self._send(environment, pool.waiting.popleft())]
        if environment.retired:
            return [self._stop(environment)]
        if allocation is not None:
            pool.provisioned.append(environment)
            return []
        environment.idle_since_ms = now_ms
        pool.idle.append(environment)
        if environment.timer_set:
            return []
        environment.timer_set = True
        return [SetTimer(environment.environment_id, now_ms + self.options.idle_lifetime_ms)]

    def _send(self, environment: Environment, request_id: RequestId) -> Command:
        repeat_init = environment.state is EnvironmentState.RESET
        environment.move(SendInvoke)
        environment.request_id = request_id
        return SendInvoke(environment.environment_id, request_id, repeat_init)

    def _expire(self, environment_id: EnvironmentId, now_ms: float) -> list[Command]:
        environment = self.environments.get(environment_id)
        if environment is None:
            return []
        environment.timer_set = False
        pool = self._pools[environment.function]
        if environment not in pool.idle:
            return []  # in use: the timer is set anew when it rests
        expires_ms = environment.idle_since_ms + self.options.idle_lifetime_ms
        if expires_ms > now_ms:
            environment.timer_set = True
            return [SetTimer(environment_id, expires_ms)]
        pool.idle.remove(environment)
        return [self._stop(environment)]

    def _stop(self, environment: Environment) -> Command:
        environment.move(StopEnvironment)
        del self.environments[environment.environment_id]
        function = environment.function
        if environment.retired and not any(other.function == function for other in self.environments.values()):
            self._pools.pop(function, None)
        return StopEnvironment(environment.environment_id)

    def _retire_older_revisions(self, function: FunctionVersion) -> list[Command]:
        """documented: an update of code or configuration takes effect for the next invoke, in new environments.

        https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
        """
        key = (function.name, function.version)
        known = self._newest.get(key)
        self._newest[key] = function
        if known is None or known.revision == function.revision:
            return []
        return self._retire(lambda other: (other.name, other.version) == key and other.revision != function.revision)

    def _retire(self, stale: Callable[[FunctionVersion], bool]) -> list[Command]:
        """End on-demand environments; those of provisioned concurrency end with their allocation."""
        found = [e for e in self.environments.values() if e.allocation is None and stale(e.function)]
        return [command for environment in found for command in self._let_go(environment)]

    def _let_go(self, environment: Environment) -> list[Command]:
        """The environment ends: at once if it is idle, else when it is."""
        environment.retired = True
        pool = self._pools.setdefault(environment.function, Pool())
        for idle in (pool.idle, pool.provisioned):
            if environment in idle:
                idle.remove(environment)
                return [self._stop(environment)]
        waits_for_others = environment.state is EnvironmentState.READY and environment.allocation is not None
        return [self._stop(environment)] if waits_for_others else []

    def _remove(self, name: str, version: str | None) -> list[Command]:
        commands: list[Command] = []
        for allocation in list(self._allocations.values()):
            if allocation.function.name == name and version in (None, allocation.function.version):
                commands += self._deallocate(allocation)
        return commands + self._retire(lambda found: found.name == name and version in (None, found.version))

    # Provisioned concurrency ---------------------------------------------------------------------------------------

    def _provision(self, event: ProvisionedConcurrencySet, now_ms: float) -> list[Command]:
        key = (event.name, event.qualifier)
        allocation = self._allocations.get(key)
        if event.requested == 0:
            return [] if allocation is None else self._deallocate(allocation)
        if allocation is None:
            allocation = self._allocations[key] = Allocation(key, event.function)
        commands: list[Command] = []
        if allocation.function != event.function:
            for environment_id in allocation.move_to(event.function):
                commands += self._let_go(self.environments[environment_id])
        allocation.requested, allocation.failed = event.requested, False
        for environment_id in allocation.surplus():
            del allocation.members[environment_id]
            commands += self._let_go(self.environments[environment_id])
        while len(allocation.members) < allocation.requested:
            commands.append(self._start_provisioned(allocation, Slot()))
        return commands + self._settle(allocation, now_ms)

    def _start_provisioned(self, allocation: Allocation, slot: Slot) -> Command:
        environment = Environment(self._new_environment_id(), allocation.function, allocation=allocation)
        self.environments[environment.environment_id] = environment
        allocation.members[environment.environment_id] = slot
        return ProvisionEnvironment(environment.environment_id, allocation.function)

    def _initialised(self, environment: Environment, allocation: Allocation, now_ms: float) -> list[Command]:
        environment_id = environment.environment_id
        slot = allocation.members.get(environment_id) or allocation.former[environment_id]
        slot.initialised = True
        if slot.usable:  # in place of one that crashed
            return self._serve_or_rest(environment, now_ms)
        return self._settle(allocation, now_ms)

    def _settle(self, allocation: Allocation, now_ms: float) -> list[Command]:
        """Once all have initialised they can be used, and those of the version before are not needed any more."""
        if not allocation.is_complete():
            self._count(allocation)
            return []
        commands: list[Command] = []
        allocation.granted = allocation.requested
        allocation.rate = requests_per_second(allocation.granted)
        for environment_id, slot in allocation.members.items():
            if not slot.usable:
                slot.usable = True
                commands += self._serve_or_rest(self.environments[environment_id], now_ms)
        former, allocation.former = list(allocation.former), {}
        for environment_id in former:
            commands += self._let_go(self.environments[environment_id])
        self._count(allocation)
        return commands

    def _replace(self, environment: Environment, allocation: Allocation) -> list[Command]:
        """Another one in place of an environment whose process is gone, unless init has failed too often.

        documented: Lambda keeps the number of initialised environments at the setting, also after a failed invocation
        (https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html). assumed: by a new environment.
        """
        initialised = allocation.members.pop(environment.environment_id, None)
        environment.retired = True
        commands: list[Command] = [self._stop(environment)]
        if initialised is None:  # of the version before: nobody needs it for long
            allocation.former.pop(environment.environment_id, None)
            return commands
        slot = Slot(initialised.usable, attempt=1 if initialised.initialised else initialised.attempt + 1)
        if slot.attempt <= quotas.PROVISIONED_INIT_ATTEMPTS:
            return [*commands, self._start_provisioned(allocation, slot)]
        allocation.failed = True
        unusable = [name for name, found in allocation.members.items() if not found.usable]
        for environment_id in unusable:
            del allocation.members[environment_id]
            commands += self._let_go(self.environments[environment_id])
        self._count(allocation)
        return commands

    def _deallocate(self, allocation: Allocation) -> list[Command]:
        del self._allocations[allocation.key]
        members = [*allocation.members, *allocation.former]
        allocation.members, allocation.former, allocation.granted = {}, {}, 0
        self._count(allocation)
        return [command for name in members for command in self._let_go(self.environments[name])]

    def _count(self, allocation: Allocation) -> None:
        """Tell the account what is set aside for all versions of the function."""
        name = allocation.key[0]
        allocation.granted = min(allocation.granted, len(allocation.members) + len(allocation.former))
        granted = sum(other.granted for other in self._allocations.values() if other.key[0] == name)
        self.concurrency.provision(name, granted)


def _idle_provisioned(pool: Pool, synchronous: bool, now_ms: float) -> Environment | None:
    """The provisioned environment that takes a request now; it counts against their requests per second."""
    if not pool.provisioned:
        return None
    environment = pool.provisioned[-1]
    assert environment.allocation is not None
    return environment if not synchronous or environment.allocation.rate.take(now_ms) else None

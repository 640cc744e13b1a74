"""Every placement decision, and nothing else: events come in, commands go out.

Theory of operation. A request that is let in (see `concurrency`) takes the idle environment of its function version
that was used last; where none is idle, a new one is started for it and the request waits for that one's Init phase. An
environment serves one request at a time. One that has been idle for the idle lifetime is stopped. A crash, a timeout
or a failed init leaves the environment in place without its process: whoever comes next pays for another init, inside
the Invoke phase. The legal moves are the table below; the driver may be the emulator, a prediction or a test.

No clock, no I/O, no threads: the time is an argument, ids come from a function handed in, and events at the same
instant are handled in the order they arrive, so the same events give the same commands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from serverless_lab.emulator.commands import Command, SendInvoke, SetTimer, StartEnvironment, StopEnvironment, Throttle
from serverless_lab.emulator.concurrency import Concurrency
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

    def handle(self, event: Event, now_ms: float) -> list[Command]:
        """The commands that follow from `event` at `now_ms`.

        Raises:
            IllegalMove: the event does not fit the state of its environment.
        """
        match event:
            case InvokeReceived(request_id, function):
                return self._receive(request_id, function)
            case InitCompleted(environment_id):
                environment = self.environments[environment_id]
                environment.move(InitCompleted)
                return self._serve_or_rest(environment, now_ms)
            case InitFailed(environment_id):
                environment = self.environments[environment_id]
                environment.move(InitFailed)
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
            case FunctionRemoved(name, version):
                return self._retire(lambda function: function.name == name and version in (None, function.version))

    def _receive(self, request_id: RequestId, function: FunctionVersion) -> list[Command]:
        throttled = self.concurrency.admit(function.name)
        if throttled is not None:
            return [Throttle(request_id, throttled)]
        commands = self._retire_older_revisions(function)
        pool = self._pools.setdefault(function, Pool())
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
        self.concurrency.release(environment.function.name)
        return self._serve_or_rest(environment, now_ms)

    def _serve_or_rest(self, environment: Environment, now_ms: float) -> list[Command]:
        """An environment that can take a request now: give it its own, or one that waits, or let it idle."""
        if environment.request_id is not None:
            return [self._send(environment, environment.request_id)]
        pool = self._pools.setdefault(environment.function, Pool())
        if pool.waiting:
            return [self._send(environment, pool.waiting.popleft())]
        if environment.retired:
            return [self._stop(environment)]
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
        commands: list[Command] = []
        for environment in [e for e in self.environments.values() if stale(e.function)]:
            environment.retired = True
            pool = self._pools[environment.function]
            if environment in pool.idle:
                pool.idle.remove(environment)
                commands.append(self._stop(environment))
        return commands

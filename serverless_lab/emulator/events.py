"""Facts that come in to the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from serverless_lab.emulator.model import EnvironmentId, FunctionVersion, RequestId


@dataclass(frozen=True)
class InvokeReceived:
    request_id: RequestId
    function: FunctionVersion


@dataclass(frozen=True)
class InitCompleted:
    environment_id: EnvironmentId


@dataclass(frozen=True)
class InitFailed:
    """The Init phase ended in an error, an exit or the init timeout."""

    environment_id: EnvironmentId


@dataclass(frozen=True)
class InvokeCompleted:
    """The function answered, with a result or an error of its own: the environment is as good as before."""

    environment_id: EnvironmentId


@dataclass(frozen=True)
class InvokeCrashed:
    """The process exited or ran out of time: the environment stays, its process does not."""

    environment_id: EnvironmentId


@dataclass(frozen=True)
class TimerFired:
    environment_id: EnvironmentId


@dataclass(frozen=True)
class FunctionRemoved:
    """A function is gone or changed: its environments end as soon as they are idle. `version` None means all."""

    name: str
    version: str | None = None


@dataclass(frozen=True)
class ReservedConcurrencySet:
    """A function's reserved concurrency, all its versions together; None takes the reservation away."""

    name: str
    reserved: int | None


Event: TypeAlias = (
    InvokeReceived
    | InitCompleted
    | InitFailed
    | InvokeCompleted
    | InvokeCrashed
    | TimerFired
    | FunctionRemoved
    | ReservedConcurrencySet
)

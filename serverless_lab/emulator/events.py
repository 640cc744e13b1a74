"""Facts that come in to the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from serverless_lab.emulator.model import EnvironmentId, FunctionVersion, RequestId


@dataclass(frozen=True)
class InvokeReceived:
    """`synchronous`: somebody waits for the answer, so the limits on requests per second hold."""

    request_id: RequestId
    function: FunctionVersion
    synchronous: bool = True


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


@dataclass(frozen=True)
class ProvisionedConcurrencySet:
    """How many environments an alias or version keeps initialised, and of which version; 0 takes them away.

    `qualifier` is the alias's name or the version's number. The same pair with another `function` is an alias that has
    moved.
    """

    name: str
    qualifier: str
    function: FunctionVersion
    requested: int


Event: TypeAlias = (
    InvokeReceived
    | InitCompleted
    | InitFailed
    | InvokeCompleted
    | InvokeCrashed
    | TimerFired
    | FunctionRemoved
    | ReservedConcurrencySet
    | ProvisionedConcurrencySet
)

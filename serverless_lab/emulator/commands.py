"""What the scheduler wants done. A driver carries commands out in the order they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from serverless_lab.emulator.model import EnvironmentId, FunctionVersion, RequestId, ThrottleReason


@dataclass(frozen=True)
class StartEnvironment:
    """Run the Init phase of a new environment; answer with InitCompleted or InitFailed."""

    environment_id: EnvironmentId
    function: FunctionVersion
    request_id: RequestId
    """The request that waits for it."""


@dataclass(frozen=True)
class ProvisionEnvironment:
    """Run the Init phase of a new environment of provisioned concurrency, which no request waits for.

    Answer with InitCompleted or InitFailed.
    """

    environment_id: EnvironmentId
    function: FunctionVersion


@dataclass(frozen=True)
class SendInvoke:
    """Run the Invoke phase; answer with InvokeCompleted or InvokeCrashed.

    `repeat_init`: the process is gone, so init runs again inside this phase, under the function timeout.
    """

    environment_id: EnvironmentId
    request_id: RequestId
    repeat_init: bool = False


@dataclass(frozen=True)
class Throttle:
    request_id: RequestId
    reason: ThrottleReason


@dataclass(frozen=True)
class StopEnvironment:
    environment_id: EnvironmentId


@dataclass(frozen=True)
class SetTimer:
    """Send TimerFired at `at_ms`. An environment has at most one timer."""

    environment_id: EnvironmentId
    at_ms: float


Command: TypeAlias = StartEnvironment | ProvisionEnvironment | SendInvoke | Throttle | StopEnvironment | SetTimer

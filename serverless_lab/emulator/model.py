"""Nouns of the Lambda plane: a function version, an execution environment, its states and every legal move."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from serverless_lab import quotas

EnvironmentId: TypeAlias = str
"""32 hex digits: the end of the environment's log stream name."""

RequestId: TypeAlias = str


class EnvironmentState(Enum):
    INIT = "init"
    READY = "ready"
    INVOKE = "invoke"
    RESET = "reset"
    """Its process is gone after a crash, a timeout or a failed init: the next invoke begins with another init."""
    STOPPED = "stopped"


class ThrottleReason(Enum):
    """`Reason` of a TooManyRequestsException: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"""

    RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"
    ACCOUNT = "ConcurrentInvocationLimitExceeded"
    """The account's concurrency, or (assumed: AWS does not say) the scaling rate."""
    RESERVED_RATE = "ReservedFunctionInvocationRateLimitExceeded"
    RATE = "FunctionInvocationRateLimitExceeded"


@dataclass(frozen=True)
class FunctionVersion:
    """What one environment runs. Two revisions of the same version never share environments.

    Args:
        name: function name; concurrency is counted by it.
        version: "$LATEST" or a number.
        revision: anything that changes when code or configuration does.
    """

    name: str
    version: str
    revision: str


@dataclass(frozen=True)
class SchedulerOptions:
    """What differs between accounts, or is not known of AWS.

    Args:
        account_concurrency: invocations at once, all functions together.
        idle_lifetime_ms: how long an idle environment is kept.
        waiting_takes_freed: whether a waiting request may take an environment that frees up before its own has
            initialised. assumed: off, as AWS describes an environment as started for its request.
    """

    account_concurrency: int = quotas.ACCOUNT_CONCURRENCY
    idle_lifetime_ms: float = quotas.IDLE_LIFETIME_MS
    waiting_takes_freed: bool = False

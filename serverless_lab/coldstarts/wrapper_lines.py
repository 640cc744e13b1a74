"""The lines of the module that `lab deploy` adds to a function where the target prints no Init Duration.

    {"time": …, "type": "serverless-lab.init", "record": {"environmentId": …, "durationMs": 231.4, …}}
    {"time": …, "type": "serverless-lab.invocation", "record": {"requestId": …, "sequence": 1, …}}

One init line for each process that begins, one invocation line for the first invocation of each; with `"lines": "all"`
one for every invocation. An invocation's line names its request, so it counts wherever in the log it stands. Printed by
serverless_lab/deploy/wrapped/. Their durations are the import of the handler's module: the start of the runtime before
it is not in them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

MARK = '"serverless-lab.'


@dataclass(frozen=True, slots=True)
class WrapperInit:
    """A process has imported its handler's module. `status` is None for success; `started_at_ms` is epoch ms."""

    environment_id: str
    duration_ms: float
    started_at_ms: float | None = None
    function_name: str | None = None
    initialization_type: str | None = None
    status: str | None = None
    error_type: str | None = None
    tells_all: bool = False


@dataclass(frozen=True, slots=True)
class WrapperInvocation:
    """An invocation has begun, the `sequence`-th of its process.

    Of the first one, `init_duration_ms` is what the import took, and `since_init_ms` how long ago it ended.
    """

    request_id: str
    environment_id: str
    sequence: int
    init_duration_ms: float | None = None
    since_init_ms: float | None = None
    initialization_type: str | None = None
    tells_all: bool = False


WrapperLine = WrapperInit | WrapperInvocation


def is_wrapper_line(message: str) -> bool:
    """Whether this looks like a line of the added module: a rough look that costs next to nothing."""
    return MARK in message and message.lstrip().startswith("{")


def read_wrapper_line(message: str) -> WrapperLine | None:
    """What such a line says; None for anything else, and for one that does not say what it must."""
    if MARK not in message:
        return None
    try:
        return wrapper_line_of(json.loads(message))
    except (ValueError, RecursionError):
        return None


def wrapper_line_of(event: object) -> WrapperLine | None:
    """`read_wrapper_line` of JSON that was parsed already."""
    record = event.get("record") if isinstance(event, dict) else None
    if not isinstance(event, dict) or not isinstance(record, dict):
        return None
    environment_id = _word(record, "environmentId")
    if environment_id is None:
        return None
    tells_all = record.get("lines") == "all"
    match event.get("type"):
        case "serverless-lab.init":
            duration_ms = _number(record, "durationMs")
            if duration_ms is None:
                return None
            status = _word(record, "status")
            return WrapperInit(
                environment_id,
                duration_ms,
                _number(record, "startedAtMs"),
                _word(record, "functionName"),
                _word(record, "initializationType"),
                None if status == "success" else status,
                _word(record, "errorType"),
                tells_all,
            )
        case "serverless-lab.invocation":
            request_id, sequence = _word(record, "requestId"), record.get("sequence")
            if request_id is None or not isinstance(sequence, int) or sequence < 1:
                return None
            return WrapperInvocation(
                request_id,
                environment_id,
                sequence,
                _number(record, "initDurationMs"),
                _number(record, "sinceInitMs"),
                _word(record, "initializationType"),
                tells_all,
            )
    return None


@dataclass
class Wrapped:
    """What the added module told of one function."""

    invocations: dict[str, WrapperInvocation] = field(default_factory=dict)
    inits: dict[str, WrapperInit] = field(default_factory=dict)
    tells_all: bool = False

    def add(self, line: WrapperLine) -> None:
        self.tells_all |= line.tells_all
        if isinstance(line, WrapperInvocation):
            self.invocations.setdefault(line.request_id, line)
        else:
            self.inits.setdefault(line.environment_id, line)

    @property
    def environments(self) -> set[str]:
        """The processes that were seen to begin, by their init or, where that line was lost, their first invocation."""
        first = {line.environment_id for line in self.invocations.values() if line.sequence == 1}
        return first | set(self.inits)


def _word(record: dict[str, Any], name: str) -> str | None:
    value = record.get(name)
    return value if isinstance(value, str) and value else None


def _number(record: dict[str, Any], name: str) -> float | None:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or not math.isfinite(value):
        return None
    return float(value)

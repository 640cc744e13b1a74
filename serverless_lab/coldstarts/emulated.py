"""Logs of emulators that print no Init Duration, told by how they print everything else.

Of a log file nobody says where it comes from. Where such an emulator wrote it, a REPORT line without Init Duration says
nothing of cold starts, and taking it for a warm invocation would make a rate of 0 % of it.

* LocalStack prints the memory size as Max Memory Used, in every line (measured on 4.8; its runtime-init hands over an
  empty Init Duration: https://github.com/localstack/lambda-runtime-init). On AWS the two are equal where a function
  uses all it has, in some lines; in all of them, without a single init in the log, is not seen.
* MiniStack prints whole milliseconds, and begins a log stream for every invocation (measured on 1.5). AWS prints two
  decimals, and a stream for each environment.

Neither prints INIT_START or a Status; both give START and REPORT of an invocation the time at which they store them.
Where a log is AWS's all the same, a longer stretch of it, with one init in it, tells. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from serverless_lab.coldstarts.kinds import NOTHING, REPORT_FIELD, UNKNOWN, WARM
from serverless_lab.coldstarts.rows import InvocationRow, Invocations

# assumed: ours to choose. One or two lines may be so by chance.
LINES_MIN = 3


def without_emulated(invocations: Invocations) -> Invocations:
    """The same, where an emulator wrote a function's log with its kinds left open, and a Max Memory Used that is none.

    `emulated` names those functions.
    """
    began = {init.function for init in (*(invocations.inits or ()), *invocations.restores)}
    by_function: dict[str, list[InvocationRow]] = {}
    for row in invocations.rows:
        by_function.setdefault(row.function, []).append(row)
    emulated = tuple(name for name, rows in sorted(by_function.items()) if name not in began and _is_emulated(rows))
    if not emulated:
        return invocations
    return replace(
        invocations,
        rows=tuple(_doubted(row) if row.function in emulated else row for row in invocations.rows),
        inits=None,
        emulated=emulated,
    )


def _doubted(row: InvocationRow) -> InvocationRow:
    is_size = row.max_memory_used_mb == row.memory_size_mb
    memory_mb = None if is_size else row.max_memory_used_mb
    return replace(row, kind=UNKNOWN, kind_source=NOTHING, max_memory_used_mb=memory_mb)


def _is_emulated(rows: list[InvocationRow]) -> bool:
    if len(rows) < LINES_MIN or not all(_says_nothing(row) and not _took_time(row) for row in rows):
        return False
    has_full_memory = all(
        row.memory_size_mb is not None and row.max_memory_used_mb == row.memory_size_mb for row in rows
    )
    return has_full_memory or (_has_own_streams(rows) and all(row.duration_ms.is_integer() for row in rows))


def _says_nothing(row: InvocationRow) -> bool:
    return (row.kind, row.kind_source, row.status, row.initialization_type) == (WARM, REPORT_FIELD, None, None)


def _took_time(row: InvocationRow) -> bool:
    """Whether its START is earlier than its REPORT."""
    return row.start_timestamp is not None and row.timestamp is not None and row.start_timestamp < row.timestamp


def _has_own_streams(rows: Iterable[InvocationRow]) -> bool:
    """Whether each invocation has a log stream of its own."""
    streams = [row.log_stream for row in rows]
    return all(streams) and len(set(streams)) == len(streams)

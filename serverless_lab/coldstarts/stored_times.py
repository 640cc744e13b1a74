"""When an invocation ran, where the target stamps its lines with the time at which it stored them.

Seen on LocalStack 4.8.1 and MiniStack 1.5.33: START, output and REPORT of an invocation have one time, that of its end
or seconds after it. Taken as they stand, a burst would be one after the other: no two environments at work at once.

LocalStack's Duration is the handler's, and the lines of the added module say when the first one of a process began.
MiniStack's Duration begins with the wait for a process, and its lines are stored at its end.
"""

from __future__ import annotations

from serverless_lab.coldstarts.wrapper_lines import WrapperInit, WrapperInvocation

SHORTEST_MS = 1.0
"""What lasts less may have begun and ended in the same millisecond."""


def worked_out(
    start: int | None,
    end: int | None,
    duration_ms: float,
    first: WrapperInvocation | None,
    init: WrapperInit | None,
) -> tuple[int | None, int | None]:
    """When an invocation began and ended, epoch ms, whose START and REPORT were stamped `start` and `end`.

    Args:
        first: what the added module said of it, where it was the first one of its process; `init` of that process.
    """
    if start is None or end is None or start != end or duration_ms < SHORTEST_MS:
        return start, end
    if first is None or first.tells_all or init is None or init.started_at_ms is None:
        return round(end - duration_ms), end
    began = init.started_at_ms + init.duration_ms + (first.since_init_ms or 0.0)
    # A line is not stored before what it tells has happened, whatever another clock says.
    return min(round(began), end), min(round(began + duration_ms), end)

"""Time periods: `5m`, `1h`, and where the one that holds an instant begins."""

from __future__ import annotations

import math

# documented: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Stats.html (names), and
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-operations-functions.html (caps: `bin(300s)`
# means 60 seconds). No cap is told for days.
_UNITS: tuple[tuple[tuple[str, ...], int, int | None], ...] = (
    (("ms", "msec", "msecs", "millisecond", "milliseconds"), 1, 1000),
    (("s", "sec", "secs", "second", "seconds"), 1_000, 60),
    (("m", "min", "mins", "minute", "minutes"), 60_000, 60),
    (("h", "hr", "hrs", "hour", "hours"), 3_600_000, 24),
    (("d", "day", "days"), 86_400_000, None),
)

CALENDAR_UNITS = (
    *("w", "week", "weeks", "mo", "mon", "mons", "month", "months"),
    *("q", "qtr", "qtrs", "quarter", "quarters", "y", "yr", "yrs", "year", "years"),
)
"""Units that AWS has and this does not: AWS does not say on which day their periods begin."""


def period_ms(count: int, unit: str) -> int | None:
    """The length of `count` units, capped as AWS caps it; None where the unit is none of them or nothing is left."""
    for names, length_ms, cap in _UNITS:
        if unit.lower() in names and count > 0:
            return length_ms * (count if cap is None else min(count, cap))
    return None


def floor_to(instant_ms: float, ms: int) -> int:
    """Where the period that holds the instant begins; periods are counted from the epoch."""
    return math.floor(instant_ms / ms) * ms


def ceil_to(instant_ms: float, ms: int) -> int:
    return math.ceil(instant_ms / ms) * ms

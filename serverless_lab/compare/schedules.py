"""How often an EventBridge schedule fires in a month of 30 days. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from serverless_lab.compare.variants import HOURS_PER_MONTH

# documented: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
_RATE = re.compile(r"rate\(\s*(\d+)\s+(minute|hour|day)s?\s*\)")
_CRON = re.compile(r"cron\(\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*\)")
_HOURS = {"minute": 1 / 60, "hour": 1.0, "day": 24.0}
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAY_NAMES = {name: at + 1 for at, name in enumerate(_DAYS)}
_MONTH_NAMES = {name: at + 1 for at, name in enumerate(_MONTHS)}
_DAYS_PER_MONTH = HOURS_PER_MONTH / 24


def firings_per_month(expression: str) -> float | None:
    """How often `rate(…)` or `cron(…)` fires in a month on average; None for what is neither, or not understood."""
    rate = _RATE.fullmatch(expression.strip())
    if rate is not None:
        return HOURS_PER_MONTH / (int(rate[1]) * _HOURS[rate[2]]) if int(rate[1]) else None
    cron = _CRON.fullmatch(expression.strip())
    if cron is None:
        return None
    minutes, hours = _values(cron[1], 0, 59), _values(cron[2], 0, 23)
    of_month, months = _values(cron[3], 1, 31), _values(cron[4], 1, 12, _MONTH_NAMES)
    of_week = _values(cron[5], 1, 7, _DAY_NAMES)
    if minutes is None or hours is None or months is None or of_month is None or of_week is None:
        return None
    if cron[5] not in ("?", "*"):
        days = _DAYS_PER_MONTH * len(of_week) / 7
    else:
        days = _DAYS_PER_MONTH if cron[3] in ("?", "*") else float(len(of_month))
    return len(minutes) * len(hours) * days * len(months) / 12


def _values(text: str, low: int, high: int, names: Mapping[str, int] | None = None) -> Sequence[int] | None:
    """The values that a field stands for; None for `L`, `W` and `#`, which a count of them cannot do without."""
    found: set[int] = set()
    for part in text.upper().split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span in ("*", "?"):
            begin, end = low, high
        else:
            ends = [(names or {}).get(end, int(end) if end.isdigit() else None) for end in (first, last or first)]
            if ends[0] is None or ends[1] is None:
                return None
            begin, end = ends[0], high if step and not last else ends[1]
        if step and not step.isdigit():
            return None
        found.update(range(begin, end + 1, max(1, int(step or 1))))
    return sorted(found) if found and min(found) >= low and max(found) <= high else None

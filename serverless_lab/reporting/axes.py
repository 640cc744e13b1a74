"""Where ticks stand and what they say: values from 0 or by decades, times since a start or of the day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

LOG_ABOVE = 30.0
"""When the greatest value is so many times the least, a linear axis would show the small ones as one line."""

_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000

_TIME_STEPS_MS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(_SECOND * n for n in (1, 2, 5, 10, 15, 30)),
    *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(_DAY * n for n in (1, 2, 7, 14, 28, 91, 182, 364)),
)


@dataclass(frozen=True)
class Axis:
    """A domain, its ticks with their labels, and what the axis shows. `log` has no 0."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    title: str
    log: bool = False


def value_axis(least: float, greatest: float, title: str, *, most: int = 6, log: bool | None = None) -> Axis:
    """An axis for values >= 0: by decades where they span many, from 0 where they do not."""
    least = least if least > 0 else greatest / 1_000 if greatest > 0 else 1.0
    greatest = max(greatest, least)
    if log is None:
        log = greatest / least >= LOG_ABOVE
    if log:
        low, high = _round_log(least, up=False), _round_log(greatest, up=True)
        if high <= low:
            high = low * 10
        return Axis(low, high, tuple((value, number(value)) for value in _log_ticks(low, high, most)), title, True)
    step = _nice(max(greatest, 1e-9) / (most - 1))
    count = max(1, math.ceil(greatest / step - 1e-9))
    return Axis(0.0, step * count, tuple((step * at, number(step * at)) for at in range(count + 1)), title)


def signed_axis(low: float, high: float, title: str, *, most: int = 6) -> Axis:
    """An axis for values on both sides of 0, which is on it."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = _nice(max(high - low, 1e-9) / (most - 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = tuple((step * at, "0" if at == 0 else f"{step * at:+,.6g}") for at in range(first, last + 1))
    return Axis(step * first, step * last, ticks, title)


def count_axis(greatest: int, title: str, *, most: int = 5) -> Axis:
    """An axis for whole numbers from 0."""
    step = max(1, math.ceil(_nice(max(greatest, 1) / (most - 1))))
    count = max(1, math.ceil(greatest / step))
    return Axis(0.0, float(step * count), tuple((float(step * at), f"{step * at:,}") for at in range(count + 1)), title)


def share_axis(greatest: float, title: str, *, most: int = 5) -> Axis:
    """An axis for fractions from 0, labelled in percent."""
    step = _nice(min(max(greatest, 0.001), 1.0) / (most - 1))
    count = max(1, min(math.ceil(greatest / step - 1e-9), math.floor(1 / step + 1e-9)))
    ticks = tuple((step * at, f"{number(step * at * 100)} %") for at in range(count + 1))
    return Axis(0.0, step * count, ticks, title)


def time_axis(first_ms: float, last_ms: float, origin_ms: float | None, *, most: int = 7) -> Axis:
    """An axis of instants (epoch ms): time since `origin_ms`, the start of a run; without one the time of day, UTC."""
    if last_ms <= first_ms:
        last_ms = first_ms + 1_000
    zero = origin_ms or 0.0
    span = last_ms - first_ms
    step = next((step for step in _TIME_STEPS_MS if span / step <= most), None) or _nice(span / most / _DAY) * _DAY
    at = math.ceil((first_ms - zero) / step - 1e-9) * step + zero
    ticks = []
    while at <= last_ms + step * 1e-6:
        ticks.append((at, _since(at - zero, step, span) if origin_ms is not None else _of_day(at, step)))
        at += step
    if origin_ms is not None:
        unit = "h:mm" if step >= _MINUTE else "m:ss"
        return Axis(first_ms, last_ms, tuple(ticks), f"time since the run began, {unit}")
    return Axis(first_ms, last_ms, tuple(ticks), "day, UTC" if step >= _DAY else "time, UTC")


def number(value: float) -> str:
    """`0.5`, `200`, `1,000`."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.3g}"


def _nice(raw: float) -> float:
    """The least of 1, 2, 2.5, 5, 10 times a power of ten that is not below `raw`."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))


def _round_log(value: float, *, up: bool) -> float:
    power = 10.0 ** math.floor(math.log10(value) + 1e-12)
    steps = [factor * power for factor in (1, 2, 5, 10)]
    if up:
        return next(step for step in steps if step >= value * (1 - 1e-9))
    return next(step for step in reversed(steps) if step <= value * (1 + 1e-9))


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    for factors in ((1, 2, 5), (1, 3), (1,)):
        powers = range(math.floor(math.log10(low) - 1e-9), math.ceil(math.log10(high) + 1e-9) + 1)
        found = [factor * 10.0**power for power in powers for factor in factors]
        found = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(found) <= most + 1:
            return found
    return found[:: math.ceil(len(found) / most)]


def _since(offset_ms: float, step: float, span: float) -> str:
    sign = "-" if offset_ms < 0 else ""
    whole = round(abs(offset_ms))
    if step >= _MINUTE:
        hours, rest = divmod(whole, _HOUR)
        return f"{sign}{hours}:{rest // _MINUTE:02}"
    minutes, rest = divmod(whole, _MINUTE)
    seconds, fraction = divmod(rest, _SECOND)
    return f"{sign}{minutes}:{seconds:02}" + (f".{fraction:03}".rstrip("0") if step < _SECOND else "").rstrip(".")


def _of_day(epoch_ms: float, step: float) -> str:
    instant = datetime.fromtimestamp(round(epoch_ms) / 1_000, UTC)
    if step >= _DAY:
        return f"{instant:%b} {instant.day}"
    if step >= _MINUTE:
        # Midnight is where a day begins: its date says more than 00:00.
        return f"{instant:%b} {instant.day}" if (instant.hour, instant.minute) == (0, 0) else f"{instant:%H:%M}"
    text = f"{instant:%H:%M:%S}"
    return text if step >= _SECOND else f"{text}.{instant.microsecond // 1000:03}"

"""Execution environments over time: how many at once, how long they live, and how long one may idle.

An environment is seen from its INIT_START (or its first START) to its last REPORT. It lives on after that, idle, and no
line says when it ends: every figure here is of the time in which it was seen, which is the least it lived.

AWS publishes no idle lifetime. The log bounds it from two sides: by the gaps that environments survived, and by the
cold starts that happened although an environment would have been idle since some gap ago: had it still been there,
Lambda would have used it (documented: an environment that is free is reused,
https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serverless_lab.coldstarts.invocations import MANAGED_INSTANCES, PROVISIONED_CONCURRENCY, WAITED
from serverless_lab.coldstarts.statistics import Bins, Floats, Quantiles, began_ms, floats_of, quantiles

if TYPE_CHECKING:
    import pandas as pd

# assumed: from a request's arrival to INIT_START pass less than this. An environment that was free for a shorter time
# may have been busy when the request came, so nothing follows from its not being used.
PLACEMENT_MS = 1_000.0

# assumed: ours to choose. When more gaps than this contradict the best single lifetime, there is none to speak of.
CONTRADICTIONS_MAX = 0.1


@dataclass(frozen=True)
class Environments:
    """The environments that served invocations.

    `used` served at least one; the beginning of `began` of them is in the log, and `lifetime_ms` is of those: from
    beginning to last REPORT. `served` is invocations per environment. `alive_max` and `busy_max` are the most that were
    alive, and that ran an invocation, at one instant; `alive_by_bin` and `busy_by_bin` the same for each time bin.
    """

    used: int
    began: int
    alive_max: int
    busy_max: int
    alive_by_bin: tuple[int, ...]
    busy_by_bin: tuple[int, ...]
    lifetime_ms: Quantiles
    served: Quantiles


@dataclass(frozen=True)
class IdleLifetime:
    """How long an environment may idle before Lambda ends it, as far as the log tells; ms.

    `low_ms` is None where no environment was used again, `high_ms` where none ended; both are None where the log shows
    no single lifetime. `survived` gaps ended with the environment's next invocation, the longest after
    `survived_max_ms`. `ended` environments were gone when a cold start came, the earliest `ended_min_ms` after its last
    invocation. `contradictions` gaps are longer than `high_ms` and survived, or shorter than `low_ms` and not survived.
    `beside_idle` cold starts happened while another environment of the function stood idle: they tell nothing.
    """

    low_ms: float | None
    high_ms: float | None
    survived: int
    survived_max_ms: float | None
    ended: int
    ended_min_ms: float | None
    contradictions: int
    beside_idle: int


@dataclass(frozen=True)
class _Seen:
    """Invocations of which environment and time are known, sorted by environment and start."""

    environment: np.ndarray
    start: Floats
    end: Floats
    frame: pd.DataFrame


def environments_over_time(frame: pd.DataFrame, bins: Bins | None) -> Environments | None:
    """The environments in `frame` (columns of `frame.COLUMNS`); None where the log does not tell them apart."""
    seen = _seen(frame)
    if seen is None:
        return None
    first_row, last_row = _edges(seen.environment)
    init = floats_of(seen.frame["init_start_timestamp"])[first_row]
    first = np.fmin(init, seen.start[first_row])
    last = np.maximum.reduceat(seen.end, first_row)
    has_beginning = ~np.isnan(init)
    alive_max, alive = _most_at_once(first, last + 1, bins)
    busy_max, busy = _most_at_once(seen.start, np.maximum(seen.end, seen.start + 1), bins)
    return Environments(
        used=len(first_row),
        began=int(has_beginning.sum()),
        alive_max=alive_max,
        busy_max=busy_max,
        alive_by_bin=alive,
        busy_by_bin=busy,
        lifetime_ms=quantiles((last - first)[has_beginning]),
        served=quantiles((last_row - first_row + 1).astype(np.float64)),
    )


def idle_lifetime(frame: pd.DataFrame) -> IdleLifetime | None:
    """What the gaps in `frame` tell of the idle lifetime; None where the log does not tell environments apart.

    Each function's versions are looked at by themselves: an environment of one never serves another. Provisioned
    environments and managed instances do not expire, and are left out.
    """
    types = frame["initialization_type"]
    on_demand = frame[~types.isin([PROVISIONED_CONCURRENCY, MANAGED_INSTANCES]).astype(bool)]
    survived: list[Floats] = []
    ended: list[Floats] = []
    beside_idle = 0
    told = False
    for _, part in on_demand.groupby(["function", "version"], dropna=False):
        seen = _seen(part)
        if seen is None:
            continue
        told = True
        of_part = _gaps(seen)
        survived.append(of_part[0])
        ended.append(of_part[1])
        beside_idle += of_part[2]
    if not told:
        return None
    return _estimate(np.concatenate(survived), np.concatenate(ended), beside_idle)


def _seen(frame: pd.DataFrame) -> _Seen | None:
    import pandas as pd

    known = frame.assign(_start=began_ms(frame))
    known = known[known["environment_id"].notna() & known["_start"].notna() & known["timestamp"].notna()]
    if not len(known):
        return None
    codes, _ = pd.factorize(pd.MultiIndex.from_frame(known[["log_group", "environment_id"]]))
    known = known.assign(_environment=codes).sort_values(["_environment", "_start"], kind="stable")
    return _Seen(
        environment=known["_environment"].to_numpy(),
        start=known["_start"].to_numpy(dtype=np.float64),
        end=known["timestamp"].to_numpy(dtype=np.float64),
        frame=known,
    )


def _edges(environment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last row of each environment."""
    change = np.flatnonzero(np.diff(environment))
    return np.concatenate(([0], change + 1)), np.concatenate((change, [len(environment) - 1]))


def _most_at_once(begin: Floats, end: Floats, bins: Bins | None) -> tuple[int, tuple[int, ...]]:
    """How many of the spans [begin, end) overlap at most, in all and in each bin."""
    at = np.concatenate((begin, end))
    step = np.concatenate((np.ones(len(begin), np.int64), -np.ones(len(end), np.int64)))
    order = np.lexsort((step, at))  # at one instant, what ends makes room first
    at, level = at[order], np.cumsum(step[order])
    most = int(level.max())
    if bins is None:
        return most, ()
    edges = bins.origin_ms + bins.width_ms * np.arange(bins.count + 1, dtype=np.float64)
    after = np.searchsorted(at, edges, side="right")
    until = np.searchsorted(at, edges, side="left")
    found = []
    for low, high in zip(after[:-1], until[1:], strict=True):
        at_edge = int(level[low - 1]) if low else 0
        found.append(max(at_edge, int(level[low:high].max())) if high > low else at_edge)
    return most, tuple(found)


def _gaps(seen: _Seen) -> tuple[Floats, Floats, int]:
    """(gaps survived, gaps that a cold start ended, cold starts beside an idle environment) of one version."""
    first_row, last_row = _edges(seen.environment)
    inner = np.ones(len(seen.start), dtype=bool)
    inner[last_row] = False
    at = np.flatnonzero(inner)
    idle_from, idle_to = seen.end[at], seen.start[at + 1]
    survived = idle_to - idle_from
    first = seen.frame.iloc[first_row]
    waited = first["kind"].isin(WAITED).to_numpy(dtype=bool)
    init = floats_of(first["init_start_timestamp"])
    starts = np.sort(np.where(np.isnan(init), seen.start[first_row], init)[waited])
    idle = np.searchsorted(np.sort(idle_from + PLACEMENT_MS), starts, side="right") - np.searchsorted(
        np.sort(np.maximum(idle_to, idle_from + PLACEMENT_MS)), starts, side="right"
    )
    telling = starts[idle == 0]
    gone = np.sort(np.maximum.reduceat(seen.end, first_row))
    found = np.searchsorted(telling, gone + PLACEMENT_MS, side="left")
    has_one = found < len(telling)
    ended = telling[found[has_one]] - gone[has_one]
    return survived[survived > 0], ended, int((idle > 0).sum())


def _estimate(survived: Floats, ended: Floats, beside_idle: int) -> IdleLifetime:
    longest = float(survived.max()) if len(survived) else None
    shortest = float(ended.min()) if len(ended) else None
    low, high, contradictions = longest, shortest, 0
    if longest is not None and shortest is not None and longest > shortest:
        low, high, contradictions = _fewest_contradictions(np.sort(survived), np.sort(ended))
        concerned = len(ended) + int((survived > shortest).sum())
        if contradictions > CONTRADICTIONS_MAX * concerned:
            low = high = None
    return IdleLifetime(
        low_ms=low,
        high_ms=high,
        survived=len(survived),
        survived_max_ms=longest,
        ended=len(ended),
        ended_min_ms=shortest,
        contradictions=contradictions,
        beside_idle=beside_idle,
    )


def _fewest_contradictions(survived: Floats, ended: Floats) -> tuple[float | None, float | None, int]:
    """The span of lifetimes that the fewest gaps contradict, and how many do; both arrays ascend."""
    marks = np.unique(np.concatenate(([0.0], survived, ended)))
    # Against a lifetime just above a mark speak longer gaps that were survived, and shorter ones that were not.
    against = (len(survived) - np.searchsorted(survived, marks, side="right")) + np.searchsorted(
        ended, marks, side="right"
    )
    best = int(np.argmin(against))
    high = float(marks[best + 1]) if best + 1 < len(marks) else None
    return float(marks[best]), high, int(against[best])


def idle_sentence(found: IdleLifetime | None) -> str:
    """What is known of the idle lifetime, in words."""
    if found is None:
        return "cannot be told: the log does not tell environments apart"
    beside = ""
    if found.contradictions and found.low_ms is not None:
        beside = f"; {found.contradictions} of the gaps contradict that: environments end for other reasons too"
    match found.low_ms, found.high_ms:
        case None, None if found.survived and found.ended:
            return (
                f"the log shows no single one: a gap of {words_of_ms(found.survived_max_ms)} was survived, one of "
                f"{words_of_ms(found.ended_min_ms)} was not"
            )
        case None, None:
            return "cannot be told: no environment was used twice, and none ended"
        case float(low), None:
            return f"at least {words_of_ms(low)}, the longest gap survived; no environment is known to have ended"
        case None, float(high):
            return f"at most {words_of_ms(high)}, after which a cold start came; no environment was used twice"
        case low, high:
            return f"between {words_of_ms(low)} (survived) and {words_of_ms(high)} (not survived){beside}"


def words_of_ms(duration_ms: float | None) -> str:
    """`640 ms`, `12.5 s`, `9 min 58 s`, `3 h 5 min`."""
    if duration_ms is None:
        return "–"
    if duration_ms < 1_000:
        return f"{duration_ms:.0f} ms"
    if duration_ms < 60_000:
        return f"{duration_ms / 1_000:.1f} s"
    minutes, seconds = divmod(round(duration_ms / 1_000), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {seconds} s" if seconds else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h" + (f" {minutes} min" if minutes else "")

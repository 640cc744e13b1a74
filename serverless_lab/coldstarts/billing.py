"""Which rule made Billed Duration: the log itself tells the billing era.

* documented: since 1 August 2025 the init is billed for every configuration; before, not for on-demand functions of ZIP
  archives on managed runtimes, while custom runtimes and container images paid for it all along
  (https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/);
* documented: since December 2020 Duration is rounded up to 1 ms, before to 100 ms
  (https://aws.amazon.com/blogs/aws/new-for-aws-lambda-1ms-billing-granularity-adds-cost-savings/);
* documented: with SnapStart the restore is billed by a duration of its own, Billed Restore Duration
  (https://docs.aws.amazon.com/lambda/latest/dg/snapstart-monitoring.html).

Lines are counted by the rules that fit them, as patterns that add up over files; the era is named from the sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from serverless_lab.coldstarts.invocations import PROVISIONED
from serverless_lab.coldstarts.statistics import Floats, Rate, floats_of

if TYPE_CHECKING:
    import pandas as pd

PLAIN, INIT, PROVISIONED_INIT, RESTORE, CAPPED = "plain", "init", "provisioned-init", "restore", "capped"
LINES = (PLAIN, INIT, PROVISIONED_INIT, RESTORE, CAPPED)
"""What a line is: without an init, with one, with one of provisioned concurrency, with a restore; or Billed Duration is
below Duration, as lines of a timeout were written until about 2024."""

DURATION, WITH_INIT, WITH_RESTORE = "duration", "duration+init", "duration+restore"
PER_100_MS, PER_100_MS_WITH_INIT = "per-100-ms", "per-100-ms+init"
RULES = {
    DURATION: "ceil(Duration)",
    WITH_INIT: "ceil(Duration + Init Duration)",
    WITH_RESTORE: "ceil(Duration + Billed Restore Duration)",
    PER_100_MS: "Duration, rounded up to 100 ms",
    PER_100_MS_WITH_INIT: "Duration + Init Duration, rounded up to 100 ms",
}

# Durations are printed with two decimals, rounded from what was billed.
_PRINTED = 0.0100001

ERAS: dict[str, dict[str, str]] = {
    "init-billed": {PLAIN: DURATION, INIT: WITH_INIT, RESTORE: WITH_RESTORE},
    "init-free": {PLAIN: DURATION, INIT: DURATION, RESTORE: WITH_RESTORE},
    "per-100-ms": {PLAIN: PER_100_MS, INIT: PER_100_MS},
    "per-100-ms-init-billed": {PLAIN: PER_100_MS, INIT: PER_100_MS_WITH_INIT},
}
"""Era -> which rule it has for a line. Provisioned concurrency's first line belongs to none: what it bills since August
2025 is not documented."""

PER_MS = "per-ms"
"""The era when lines without an init are all there are: it is not known whether an init is billed."""

MIXED = "mixed"

# assumed: ours to choose. A log of one era fits it but for lines of kinds not known here; below this it is several.
FITTING_MIN = 0.9

Patterns = Mapping[str, int]


@dataclass(frozen=True)
class Billing:
    """The billing era of a log.

    `era` is one of `ERAS`, `per-ms`, or `mixed`. `fitting` are the lines that fit it, of those it has a rule for;
    `told_by` the lines that tell it from its neighbours. `fits` is line -> rule -> how many lines it fits, and `lines`
    how many lines there are of each.
    """

    era: str
    fitting: Rate
    told_by: int
    lines: Mapping[str, int]
    fits: Mapping[str, Mapping[str, int]]


def count_patterns(
    duration_ms: Floats,
    billed_ms: Floats,
    init_ms: Floats,
    billed_restore_ms: Floats,
    is_provisioned: npt.NDArray[np.bool_],
) -> dict[str, int]:
    """How many lines each set of rules fits: `init:duration+init` -> 141. Counts of several calls may be added.

    All arrays have one value for a line, in ms; NaN where the line does not say it. Lines without Billed Duration are
    not counted.
    """
    has_billed = ~np.isnan(billed_ms)
    has_init = ~np.isnan(init_ms)
    has_restore = ~np.isnan(billed_restore_ms)
    capped = has_billed & (billed_ms < np.floor(duration_ms - _PRINTED))
    kinds = {
        CAPPED: capped,
        RESTORE: has_restore,
        PROVISIONED_INIT: has_init & is_provisioned,
        INIT: has_init,
        PLAIN: np.ones(len(billed_ms), dtype=bool),
    }
    init = np.where(has_init, init_ms, 0.0)
    restore = np.where(has_restore, billed_restore_ms, 0.0)
    fits = {
        DURATION: _fits(billed_ms, duration_ms, 1),
        WITH_INIT: _fits(billed_ms, duration_ms + init, 1),
        WITH_RESTORE: _fits(billed_ms, duration_ms + restore, 1),
        PER_100_MS: _fits(billed_ms, duration_ms, 100),
        PER_100_MS_WITH_INIT: _fits(billed_ms, duration_ms + init, 100),
    }
    found: Counter[str] = Counter()
    left = has_billed
    for kind, of_kind in kinds.items():
        chosen = left & of_kind
        left = left & ~of_kind
        if not chosen.any():
            continue
        rules = _rules_of(kind)
        code = np.zeros(int(chosen.sum()), dtype=np.int64)
        for at, rule in enumerate(rules):
            code |= fits[rule][chosen].astype(np.int64) << at
        for value, count in zip(*np.unique(code, return_counts=True), strict=True):
            names = [rule for at, rule in enumerate(rules) if value >> at & 1]
            found[f"{kind}:{'|'.join(names)}"] += int(count)
    return dict(found)


def patterns_of(frame: pd.DataFrame) -> dict[str, int]:
    """`count_patterns` of a frame of `frame.COLUMNS`."""
    from serverless_lab.coldstarts.frame import reported_init_ms

    return count_patterns(
        floats_of(frame["duration_ms"]),
        floats_of(frame["billed_duration_ms"]),
        floats_of(reported_init_ms(frame)),
        floats_of(frame["billed_restore_duration_ms"]),
        (frame["kind"] == PROVISIONED).to_numpy(dtype=bool),
    )


def billing_of(patterns: Patterns) -> Billing | None:
    """The era that fits the most lines; None where no line states Billed Duration."""
    lines: Counter[str] = Counter()
    fits: dict[str, Counter[str]] = {}
    for pattern, count in patterns.items():
        kind, _, names = pattern.partition(":")
        lines[kind] += count
        for rule in names.split("|") if names else ():
            fits.setdefault(kind, Counter())[rule] += count
    if not lines:
        return None
    scores = {era: sum(fits.get(kind, Counter())[rule] for kind, rule in rules.items()) for era, rules in ERAS.items()}
    best = max(scores, key=lambda era: scores[era])
    n = sum(count for kind, count in lines.items() if kind in ERAS[best])
    told_by = _told_by(patterns, best)
    era = best
    if n == 0 or scores[best] < FITTING_MIN * n:
        era = MIXED
    elif scores["init-billed"] == scores["init-free"] == scores[best]:
        era = PER_MS
    return Billing(
        era=era,
        fitting=Rate(scores[best], n),
        told_by=told_by,
        lines={kind: lines[kind] for kind in LINES if lines[kind]},
        fits={kind: dict(sorted(fits[kind].items())) for kind in LINES if kind in fits},
    )


def billing_sentence(found: Billing | None) -> str:
    """The era in words, with how well it fits."""
    if found is None:
        return "cannot be told: no line states Billed Duration"
    lines = "line fits" if found.fitting.n == 1 else "lines fit"
    share = f"{found.fitting.count:,} of {found.fitting.n:,} {lines}"
    match found.era:
        case "init-billed":
            rule = f"the init is billed, {RULES[WITH_INIT]}"
        case "init-free":
            rule = f"the init is not billed, {RULES[DURATION]}"
        case "per-100-ms":
            rule = "Duration is rounded up to 100 ms, as before December 2020"
        case "per-100-ms-init-billed":
            rule = f"{RULES[PER_100_MS_WITH_INIT]}, as before December 2020"
        case "per-ms":
            return f"{RULES[DURATION]}; no line tells whether an init is billed ({share})"
        case _:
            return f"lines of several eras or rules: the best one fits {found.fitting.count:,} of {found.fitting.n:,}"
    return f"{rule} ({share}, {found.told_by:,} of them tell)"


def _rules_of(kind: str) -> tuple[str, ...]:
    match kind:
        case "plain" | "capped":
            return DURATION, PER_100_MS
        case "restore":
            return DURATION, WITH_RESTORE
        case _:
            return DURATION, WITH_INIT, PER_100_MS, PER_100_MS_WITH_INIT


def _fits(billed_ms: Floats, exact_ms: Floats, unit_ms: int) -> npt.NDArray[np.bool_]:
    low = np.ceil((exact_ms - _PRINTED) / unit_ms) * unit_ms
    high = np.ceil((exact_ms + _PRINTED) / unit_ms) * unit_ms
    # The least that is billed is one unit.
    fits: npt.NDArray[np.bool_] = (np.maximum(low, unit_ms) == billed_ms) | (np.maximum(high, unit_ms) == billed_ms)
    return fits


def _told_by(patterns: Patterns, era: str) -> int:
    """Lines that fit `era` and do not fit every other era as well."""
    found = 0
    for pattern, count in patterns.items():
        kind, _, names = pattern.partition(":")
        rules = set(names.split("|"))
        verdicts = {name: ERAS[name].get(kind) in rules for name in ERAS if kind in ERAS[name]}
        found += count if verdicts.get(era) and not all(verdicts.values()) else 0
    return found

"""REPORT lines -> what Lambda bills for them.

A bill of today has today's rules: since August 2025 the init is billed. Lines of a log from before that say less in
Billed Duration, so they are billed anew, and the difference is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from serverless_lab.cost.items import X86
from serverless_lab.cost.usage import MEASURED, Usage, invocations, total

if TYPE_CHECKING:
    import pandas as pd

    from serverless_lab.coldstarts.report import ColdStartReport

PROVISIONED_TYPE = "provisioned-concurrency"

_OLD_ERAS = ("init-free", "per-100-ms", "per-100-ms-init-billed")
_MB_MS_PER_GB_S = Decimal(1024 * 1000)

ArchitectureOf = Callable[[str], str]


@dataclass(frozen=True)
class LambdaUsage:
    """What invocations use of Lambda.

    `init_gb_s` is how much of the GB-seconds were inits on demand, `logged_gb_s` and `gb_s` what the lines said and
    what is billed by today's rules. `notes` are sentences on what was recomputed or left out.
    """

    usage: Usage
    invocations: int
    gb_s: Decimal
    logged_gb_s: Decimal
    init_gb_s: Decimal
    notes: tuple[str, ...] = ()
    functions: tuple[str, ...] = field(default=())


def usage_of_frame(frame: pd.DataFrame, architecture_of: ArchitectureOf = lambda function: X86) -> LambdaUsage:
    """Of the single invocations, a frame of `frame.COLUMNS`."""
    import numpy as np

    from serverless_lab.coldstarts.billing import billing_of, patterns_of

    known = frame[frame["memory_size_mb"].notna() & frame["duration_ms"].notna()]
    found = billing_of(patterns_of(known)) if len(known) else None
    is_old = found is not None and found.era in _OLD_ERAS
    provisioned = (known["initialization_type"] == PROVISIONED_TYPE) | (known["kind"] == "provisioned")
    init_ms = known["init_duration_ms"].where(~provisioned, 0.0).fillna(0.0).astype("float64")
    restore_ms = known["billed_restore_duration_ms"].astype("float64").fillna(0.0)
    # Durations are printed with two or three decimals, so their sum has no more.
    ruled_ms = np.ceil((known["duration_ms"] + init_ms + restore_ms).round(3)).clip(lower=1.0)
    logged_ms = known["billed_duration_ms"].astype("float64")
    billed_ms = ruled_ms if is_old else logged_ms.fillna(ruled_ms)
    memory_mb = known["memory_size_mb"].astype("float64")
    parts = known.assign(billed_ms=billed_ms, provisioned=provisioned).groupby(
        ["function", "memory_size_mb", "provisioned"], dropna=False
    )
    usages = []
    for key, part in parts:
        function, memory, is_provisioned = cast("tuple[str, int, bool]", key)
        usages.append(
            invocations(
                requests=len(part),
                billed_ms=int(part["billed_ms"].sum()),
                memory_mb=int(memory),
                architecture=architecture_of(str(function)),
                provisioned=bool(is_provisioned),
                known=MEASURED,
            )
        )
    logged = _gb_s((logged_ms.fillna(ruled_ms) * memory_mb).sum())
    gb_s = _gb_s((billed_ms * memory_mb).sum())
    notes = []
    if is_old and found is not None and logged:
        notes.append(
            f"The log is of the billing era {found.era}. By today's rules, which bill the init and round up to 1 ms, "
            f"its GB-seconds change by {float((gb_s - logged) / logged):+.1%}, and so it is billed here."
        )
    if found is not None and found.era == "mixed":
        notes.append("The log has lines of several billing eras: each is billed as it says.")
    unstated = int(logged_ms.isna().sum())
    if unstated and not is_old:
        notes.append(f"{unstated:,} lines state no Billed Duration: they are billed by today's rule.")
    if len(known) < len(frame):
        missing = len(frame) - len(known)
        notes.append(f"{missing:,} invocations have no memory size or duration in the log: only requests are billed.")
        usages.append(Usage.of({"lambda.requests": missing}, MEASURED))
    restored = int(known["restore_duration_ms"].notna().sum())
    if restored:
        notes.append(
            f"{restored:,} environments were restored from a snapshot. What SnapStart costs beside the duration "
            "(Python and .NET pay for keeping and restoring snapshots, Java does not) is not in this bill."
        )
    return LambdaUsage(
        usage=total(usages),
        invocations=len(frame),
        gb_s=gb_s,
        logged_gb_s=logged,
        init_gb_s=_gb_s((init_ms * memory_mb).sum()),
        notes=tuple(notes),
        functions=tuple(sorted(map(str, frame["function"].dropna().unique()))),
    )


def usage_of_report(report: ColdStartReport, architecture_of: ArchitectureOf = lambda function: X86) -> LambdaUsage:
    """Of a report that kept no single invocation, grouped by function and memory: as its lines were billed."""
    usages = []
    gb_s = Decimal(0)
    unbilled = 0
    for group in report.groups:
        memory = group.memory_size_mb[0] if len(group.memory_size_mb) == 1 else None
        if group.billed_ms is None or memory is None:
            unbilled += group.invocations
            continue
        gb_s += Decimal(group.billed_ms) * memory / _MB_MS_PER_GB_S
        usages.append(
            invocations(
                requests=group.invocations,
                billed_ms=group.billed_ms,
                memory_mb=memory,
                architecture=architecture_of(group.function or ""),
                known=MEASURED,
            )
        )
    notes = ["The input is large, so its lines are billed as they say, without provisioned concurrency told apart."]
    if report.billing is not None and report.billing.era in _OLD_ERAS:
        notes.append(
            f"They are of the billing era {report.billing.era}: today's rules, which bill the init, make it dearer."
        )
    if unbilled:
        notes.append(f"{unbilled:,} invocations have no memory size or Billed Duration: only requests are billed.")
        usages.append(Usage.of({"lambda.requests": unbilled}, MEASURED))
    return LambdaUsage(
        usage=total(usages),
        invocations=report.total.invocations,
        gb_s=gb_s,
        logged_gb_s=gb_s,
        init_gb_s=Decimal(0),
        notes=tuple(notes),
        functions=tuple(summary.function or "" for summary in report.functions),
    )


def architectures(functions: Iterable[tuple[str, str]], otherwise: str = X86) -> ArchitectureOf:
    """(function, architecture) pairs as a function; `otherwise` for a function that is not among them."""
    known = dict(functions)
    return lambda function: known.get(function, otherwise)


def _gb_s(mb_ms: float) -> Decimal:
    return Decimal(round(mb_ms)) / _MB_MS_PER_GB_S

"""A variant's month: what stands there, what pings cost, what requests cost at the peak and the rest of the time.

A run is a peak, and a month is not made of peaks. So a month has `peaks_per_month` runs of the scenario as they were
measured; every other request costs what the run's warm requests did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serverless_lab.compare.schedules import firings_per_month
from serverless_lab.compare.variants import HOURS_PER_MONTH
from serverless_lab.cost.bill import Bill, bill
from serverless_lab.cost.items import X86
from serverless_lab.cost.log_usage import PROVISIONED_TYPE, ArchitectureOf, architectures, usage_of_frame
from serverless_lab.cost.usage import ASSUMED, Usage, invocations, total
from serverless_lab.project import read_json

if TYPE_CHECKING:
    import pandas as pd

    from serverless_lab.cost.prices import Prices
    from serverless_lab.cost.run_usage import RunUsage

WARM_KINDS = ("warm", "provisioned")


@dataclass(frozen=True)
class Traffic:
    """A month: so many requests, of which `peaks_per_month` times the scenario's come as the scenario says."""

    requests_per_month: float
    peaks_per_month: float


@dataclass(frozen=True)
class Month:
    """What a month is billed, by what it comes from, in USD.

    `standing` is provisioned concurrency for the hours it is there, `pings` what schedules invoke, `traffic` the
    requests and all they cause. `standing_all_month` is what it would be were it never switched off.
    """

    bill: Bill
    standing: Decimal
    standing_all_month: Decimal
    pings: Decimal
    traffic: Decimal

    @property
    def total(self) -> Decimal:
        return self.bill.total


def month_of_run(
    place: Path,
    schedules: Sequence[Mapping[str, Any]],
    traffic: Traffic,
    prices: Prices,
    *,
    provisioned_hours: float = HOURS_PER_MONTH,
) -> Month:
    """The month of the run in the folder `place`.

    Raises:
        ReportError: the folder is incomplete.
    """
    from serverless_lab.coldstarts.frame import read_parquet
    from serverless_lab.cost.run_usage import INVOCATIONS_FILE, MANIFEST_FILE, read_run

    manifest = read_json(place / MANIFEST_FILE) or {}
    architecture_of = architectures(
        (str(function["name"]), str(function.get("architecture") or X86)) for function in manifest.get("functions", ())
    )
    frame = read_parquet(place / INVOCATIONS_FILE).frame
    return month_of(
        read_run(place),
        frame,
        schedules,
        traffic,
        prices,
        provisioned_hours=provisioned_hours,
        architecture_of=architecture_of,
    )


def month_of(
    run: RunUsage,
    frame: pd.DataFrame,
    schedules: Sequence[Mapping[str, Any]],
    traffic: Traffic,
    prices: Prices,
    *,
    provisioned_hours: float = HOURS_PER_MONTH,
    architecture_of: ArchitectureOf = lambda function: X86,
) -> Month:
    """The month in which the run's peaks are.

    Args:
        frame: the run's invocations, of `frame.COLUMNS`.
        schedules: rules that invoke functions, as `Facts` has them.
        provisioned_hours: for how long of the month provisioned concurrency stands there.
    """
    requests, peaks = parts_of(traffic, run.requests)
    standing = total(part.usage(provisioned_hours * 3600) for part in run.standing)
    all_month = total(part.usage(HOURS_PER_MONTH * 3600) for part in run.standing)
    provisioned = {part.function for part in run.standing} if provisioned_hours >= HOURS_PER_MONTH else set()
    each = run.usage.of_traffic()
    rest = total([each.without(_lambda_items(each)), warm_usage(frame, provisioned, architecture_of)])
    sent = total([each.scaled(Decimal(str(peaks))), rest.scaled(Decimal(str(requests / run.requests)))])
    pings = ping_usage(frame, schedules, architecture_of)
    whole = bill(total([sent, standing, pings]), prices)

    def alone(usage: Usage) -> Decimal:
        return bill(usage, prices).total

    return Month(whole, alone(standing), alone(all_month), alone(pings), alone(sent))


def parts_of(traffic: Traffic, requests_of_run: int) -> tuple[float, float]:
    """(requests of the month that come outside peaks, how many peaks it has)."""
    peaks = min(traffic.peaks_per_month, traffic.requests_per_month / requests_of_run)
    return max(0.0, traffic.requests_per_month - peaks * requests_of_run), peaks


def warm_usage(frame: pd.DataFrame, provisioned: set[str], architecture_of: ArchitectureOf) -> Usage:
    """What the run would have used of Lambda had every invocation been a warm one.

    Args:
        provisioned: functions whose every invocation is served by provisioned concurrency outside the peaks.
    """
    parts = []
    for name, of_function in frame.groupby("function"):
        warm = of_function[of_function["kind"].isin(WARM_KINDS)]
        shown = warm if len(warm) else of_function
        is_provisioned = str(name) in provisioned
        shown = shown.assign(kind="warm", initialization_type=PROVISIONED_TYPE if is_provisioned else None)
        if len(warm):
            # A first invocation in a provisioned environment names an init that nobody is billed for again.
            shown = shown.assign(init_duration_ms=float("nan"))
        usage = usage_of_frame(shown, architecture_of).usage
        parts.append(usage.scaled(Decimal(len(of_function)) / len(shown)))
    return total(parts)


def ping_usage(frame: pd.DataFrame, schedules: Sequence[Mapping[str, Any]], architecture_of: ArchitectureOf) -> Usage:
    """What schedules invoke in a month. A ping is billed like a warm invocation, which takes at least as long."""
    parts = []
    for schedule in schedules:
        times = firings_per_month(str(schedule["expression"]))
        for name in schedule["functions"]:
            warm = frame[(frame["function"] == name) & frame["kind"].isin(WARM_KINDS)]
            billed = warm["billed_duration_ms"].dropna()
            memory = frame.loc[frame["function"] == name, "memory_size_mb"].dropna()
            if times is None or not len(billed) or not len(memory):
                continue
            one = invocations(
                requests=1,
                billed_ms=int(billed.median()),
                memory_mb=int(memory.iloc[0]),
                architecture=architecture_of(name),
                known=ASSUMED,
            )
            parts.append(one.scaled(Decimal(str(times))))
    return total(parts)


def _lambda_items(usage: Usage) -> list[str]:
    return [item for item in usage.quantities if item.startswith("lambda.")]

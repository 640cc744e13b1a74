"""How a log on AWS is read: in pages, which take time, or with Logs Insights, which is paid by what it scans.

What is paid is shown and agreed to first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from serverless_lab.cli.confirm import confirm_change
from serverless_lab.cli.options import say
from serverless_lab.errors import BadInput

if TYPE_CHECKING:
    from serverless_lab.coldstarts.cloudwatch.kept import KeptLogs
    from serverless_lab.coldstarts.cloudwatch.volume import Volume
    from serverless_lab.targets.base import Target

IN_PAGES = "read in pages, which costs nothing: --no-insights; or a shorter time"


@dataclass(frozen=True)
class Way:
    """`expected` is how many events each log group may have, where that is known; `scanned_max` a limit in bytes."""

    insights: bool = False
    expected: Mapping[str, int] | None = None
    scanned_max: float | None = None


def choose_way(
    target: Target,
    groups: Sequence[str],
    start_ms: int,
    end_ms: int,
    *,
    now_ms: int,
    kept: KeptLogs | None,
    asked: bool | None,
    max_cost: float | None = None,
    yes: bool = False,
) -> Way:
    """How to read `groups` from `start_ms` on and before `end_ms` (epoch ms).

    Args:
        kept: what was read before, and so neither takes time nor costs anything; None where all is read again.
        asked: --insights or --no-insights; None leaves it to how much there is: pages, with a word on what Insights
            would cost, or Insights where a `max_cost` allows that.
        max_cost: USD.

    Raises:
        BadInput: it may cost more than `max_cost`, or nobody knows what; or nobody can be asked; or the target has no
            Logs Insights that can be believed.
        typer.Abort: the user says no.
    """
    from serverless_lab.coldstarts.cloudwatch.volume import INSIGHTS_FROM_S, scan_price
    from serverless_lab.cost.bill import dollars, exact_dollars

    if target.name == "localstack" and asked:
        # Seen on LocalStack 4.8.1 and MiniStack 1.5.33: a query completes, its filters and fields are passed over.
        raise BadInput(
            "--insights: LocalStack and MiniStack complete a query without doing what it says",
            hint="leave it away: pages cost nothing there",
        )
    if target.name != "aws":
        return Way(bool(asked))
    every = [(start_ms, end_ms - 1)]
    left = {group: every if kept is None else kept.missing(group, start_ms, end_ms - 1) for group in groups}
    left = {group: stretches for group, stretches in left.items() if stretches}
    if asked is False or not left:
        return Way()
    volume = _volume(target, left, now_ms)
    if volume is None:
        if not asked:
            return Way()
        if max_cost is not None:
            raise BadInput(
                "--max-cost: how much Logs Insights would scan is not known",
                hint=f"ask for cloudwatch:GetMetricData, or {IN_PAGES}",
            )
        what = f"ask Logs Insights about {len(left)} log groups; how much it will scan is not known"
        confirm_change(target, what, yes=yes)
        return Way(True)
    price = scan_price(target.region)
    cost = None if price is None else price * volume.gigabytes
    at_most = "at most " if volume.is_bound else ""
    told = f"{at_most}{volume.gigabytes:,.2f} GB of log"
    for_so_much = "an amount that lab has no price for" if cost is None else f"{at_most}{dollars(cost)}"
    is_allowed = max_cost is None or (cost is not None and cost <= Decimal(str(max_cost)))
    takes_long = volume.pages_s >= INSIGHTS_FROM_S
    if asked and not is_allowed:
        allowed = "" if max_cost is None else exact_dollars(max_cost)
        raise BadInput(
            f"Logs Insights would scan {told} for {for_so_much}, and --max-cost is {allowed}: nothing was asked",
            hint=IN_PAGES,
        )
    if asked or (takes_long and max_cost is not None and is_allowed):
        confirm_change(target, f"ask Logs Insights, which scans {told} for {for_so_much}", yes=yes)
        limit = None if max_cost is None or price is None else float(Decimal(str(max_cost)) / price * 10**9)
        return Way(True, volume.events, limit)
    if takes_long:
        say(
            f"{told}: reading it in pages takes {at_most or 'about '}{_minutes(volume.pages_s)}; --insights is faster, "
            f"and costs {for_so_much}"
        )
    return Way()


def _volume(target: Target, left: Mapping[str, Sequence[tuple[int, int]]], now_ms: int) -> Volume | None:
    """What the groups took in from the first to the last instant that is left to read."""
    from serverless_lab.coldstarts.cloudwatch.volume import measure
    from serverless_lab.targets.clients import errors_of

    first_ms = min(stretches[0][0] for stretches in left.values())
    last_ms = max(stretches[-1][1] for stretches in left.values())
    with errors_of(target, "repeat"):
        return measure(target.client("cloudwatch"), target.client("logs"), list(left), first_ms, last_ms, now_ms)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"

"""What `lab cost` says: of a run, a log or a profile, once as it was and, where asked for, as a month of traffic."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from serverless_lab.cost.bill import Bill, bill, number
from serverless_lab.cost.insight import ProvisionedCost, provisioned_costs, surprises
from serverless_lab.cost.log_usage import LambdaUsage
from serverless_lab.cost.monthly import HOURS, scaled_to
from serverless_lab.cost.prices import ASSUMED, Prices
from serverless_lab.cost.profile import TrafficProfile
from serverless_lab.cost.run_usage import RunUsage, Standing
from serverless_lab.cost.usage import Usage

RUN, LOG, PROFILE = "run", "log", "profile"
SCHEMA = 1
MILLION = 1_000_000


@dataclass(frozen=True)
class CostReport:
    """Bills, and what they mean.

    `basis` is `run`, `log` or `profile`, `name` which. `requests` are those that `once`, the bill of what was measured,
    is of; `month` is the bill of `requests_per_month`. A profile has no bill but that of the month; what was measured
    has one of a month only when the traffic was said. `unknown` names what the source does not tell, `assumed` the
    prices that are not known of the Region, each with what stands there instead.
    """

    basis: str
    name: str
    context: str
    requests: int | None
    requests_word: str
    once: Bill | None
    month: Bill | None
    requests_per_month: Decimal | None
    hours: float
    per_million: Bill | None
    provisioned: tuple[ProvisionedCost, ...]
    surprises: tuple[str, ...]
    unknown: tuple[str, ...]
    assumed: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def bill(self) -> Bill:
        """The one that was asked for: of the month, where there is one."""
        found = self.month or self.once
        assert found is not None
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "basis": self.basis,
            "name": self.name,
            "requests": self.requests,
            "requests_per_month": None if self.requests_per_month is None else number(self.requests_per_month),
            "hours_per_month": self.hours,
            "once": None if self.once is None else self.once.to_json(),
            "per_million_requests": None if self.per_million is None else number(self.per_million.total),
            "month": None if self.month is None else self.month.to_json(),
            "provisioned": [cost.to_json() for cost in self.provisioned],
            "surprises": list(self.surprises),
            "unknown": list(self.unknown),
            "assumed_prices": list(self.assumed),
            "notes": list(self.notes),
        }

    def to_csv(self) -> str:
        """A row per line of each bill."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["period", *CSV_COLUMNS])
        for period, found in (("once", self.once), ("month", self.month)):
            for line in found.lines if found is not None else ():
                cells = line.to_json()
                writer.writerow([period, *(cells[name] for name in CSV_COLUMNS)])
        return text.getvalue()


CSV_COLUMNS = (
    "service", "item", "what", "quantity", "free", "unit", "unit_price", "amount", "known", "grade",
)  # fmt: skip


def of_run(
    run: RunUsage,
    prices: Prices,
    *,
    requests_per_month: float | None = None,
    hours: float = HOURS,
    free_tier: bool = False,
    architecture: str | None = None,
) -> CostReport:
    """
    Raises:
        BadInput: a price is missing, or there is nothing to scale.
    """
    notes = [*run.notes]
    if requests_per_month is not None:
        notes.append(
            "The month takes each request to use what one of this run's did on average, cold starts included: a burst "
            "has more of those than a day."
        )
    return _of_measured(
        RUN,
        run.run_id,
        ", ".join(word for word in (run.scenario, f"target {run.target}" if run.target else "") if word),
        (run.usage, run.requests, "requests", run.standing, run.of_lambda.init_gb_s),
        prices,
        (requests_per_month, hours, free_tier, architecture),
        run.unknown,
        notes,
    )


def of_log(
    found: LambdaUsage,
    name: str,
    prices: Prices,
    *,
    requests_per_month: float | None = None,
    hours: float = HOURS,
    free_tier: bool = False,
    architecture: str | None = None,
    notes: Sequence[str] = (),
) -> CostReport:
    """
    Raises:
        BadInput: as `of_run`.
    """
    unknown = (
        "the API in front of the functions",
        "what functions call",
        "bytes of answers",
        "bytes of logs",
        "how long provisioned concurrency stood there",
    )
    return _of_measured(
        LOG,
        name,
        f"{len(found.functions)} functions" if len(found.functions) != 1 else found.functions[0],
        (found.usage, found.invocations, "invocations", (), found.init_gb_s),
        prices,
        (requests_per_month, hours, free_tier, architecture),
        unknown,
        [*notes, *found.notes],
    )


def of_profile(
    profile: TrafficProfile, prices: Prices, *, free_tier: bool = False, architecture: str | None = None
) -> CostReport:
    """
    Raises:
        BadInput: a price is missing.
    """
    usage = profile.usage if architecture is None else profile.usage.on(architecture)
    month = bill(usage, prices, free_tier)
    return CostReport(
        basis=PROFILE,
        name=profile.name,
        context="as the profile says",
        requests=None,
        requests_word="requests",
        once=None,
        month=month,
        requests_per_month=profile.requests_per_month,
        hours=profile.hours,
        per_million=None,
        provisioned=tuple(provisioned_costs(usage, prices)),
        surprises=tuple(surprises(month, usage, prices, profile.init_gb_s)),
        unknown=(),
        assumed=tuple(_assumed(month, prices)),
        notes=_always(month),
    )


def _of_measured(
    basis: str,
    name: str,
    context: str,
    measured: tuple[Usage, int, str, tuple[Standing, ...], Decimal],
    prices: Prices,
    asked: tuple[float | None, float, bool, str | None],
    unknown: Sequence[str],
    notes: Sequence[str],
) -> CostReport:
    usage, requests, word, standing, init_gb_s = measured
    requests_per_month, hours, free_tier, architecture = asked
    if architecture is not None:
        usage = usage.on(architecture)
        standing = tuple(Standing(s.function, s.environments, s.memory_mb, architecture) for s in standing)
    once = bill(usage, prices)
    of_month = None
    if requests_per_month is not None:
        of_month = scaled_to(usage, requests, requests_per_month, standing, hours)
    month = None if of_month is None else bill(of_month, prices, free_tier)
    seen = usage if of_month is None else of_month
    shown = month or once
    factor = 1 if requests_per_month is None or not requests else Decimal(str(requests_per_month)) / requests
    return CostReport(
        basis=basis,
        name=name,
        context=context,
        requests=requests,
        requests_word=word,
        once=once,
        month=month,
        requests_per_month=None if requests_per_month is None else Decimal(str(requests_per_month)),
        hours=hours,
        per_million=bill(usage.of_traffic().scaled(Decimal(MILLION) / requests), prices) if requests else None,
        provisioned=tuple(provisioned_costs(seen, prices)),
        surprises=tuple(surprises(shown, seen, prices, init_gb_s * factor)),
        unknown=tuple(unknown),
        assumed=tuple(_assumed(shown, prices)),
        notes=(*notes, *_always(shown)),
    )


def _assumed(found: Bill, prices: Prices) -> Iterator[str]:
    for item in dict.fromkeys(line.item for line in found.lines):
        price = prices.of(item)
        if price.grade == ASSUMED:
            yield f"{item}: {price.note}" if price.note else item


def _always(found: Bill) -> tuple[str, ...]:
    said = [f"List prices of {found.region}, put together {found.dated} ({found.origin}), without taxes and discounts."]
    if not found.free_tier:
        said.append("The free tier is not taken off; --free-tier does, for a month.")
    said.append("Answers count as sent to clients outside AWS, by their bodies. VPCs and X-Ray are not in it.")
    return tuple(said)

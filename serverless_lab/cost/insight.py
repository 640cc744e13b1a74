"""What a bill means: provisioned concurrency against its use, and what surprises people, all of it from the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from serverless_lab.cost.bill import Bill, amount_of, bill, dollars, number
from serverless_lab.cost.items import ARCHITECTURES, ARM, X86, allocated_item, duration_item
from serverless_lab.cost.prices import Prices
from serverless_lab.cost.usage import Usage

COMPUTE = ("lambda.duration", "lambda.provisioned.duration", "lambda.provisioned.allocated")
"""What is called compute: the GB-seconds, without the requests."""


@dataclass(frozen=True)
class ProvisionedCost:
    """Provisioned concurrency of one architecture.

    `utilisation` is used of allocated GB-seconds; above `break_even` it is cheaper than the same work on demand, which
    would cost `on_demand`. `amount` is what it costs as it is, allocated and used.
    """

    architecture: str
    allocated_gb_s: Decimal
    used_gb_s: Decimal
    amount: Decimal
    on_demand: Decimal
    break_even: Decimal

    @property
    def utilisation(self) -> Decimal:
        return self.used_gb_s / self.allocated_gb_s if self.allocated_gb_s else Decimal(0)

    def to_json(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture,
            "allocated_gb_s": number(self.allocated_gb_s),
            "used_gb_s": number(self.used_gb_s),
            "utilisation": number(self.utilisation),
            "break_even": number(self.break_even),
            "amount": number(self.amount),
            "on_demand": number(self.on_demand),
        }


def break_even(prices: Prices, architecture: str) -> Decimal:
    """The share of the allocated GB-seconds that must be used for provisioned concurrency to pay for itself.

    What is used is cheaper than on demand by a fixed amount, and that must bring in what standing there costs.
    """
    saved = prices.of(duration_item(architecture)).first_usd
    saved -= prices.of(duration_item(architecture, provisioned=True)).first_usd
    return prices.of(allocated_item(architecture)).first_usd / saved


def provisioned_costs(usage: Usage, prices: Prices) -> list[ProvisionedCost]:
    """Of each architecture that has provisioned concurrency in `usage`, where it can be held against on demand."""
    found = []
    for architecture in ARCHITECTURES:
        allocated = usage.get(allocated_item(architecture))
        if not allocated or duration_item(architecture) not in prices.prices:
            continue
        used = usage.get(duration_item(architecture, provisioned=True))
        paid = usage.only({allocated_item(architecture), duration_item(architecture, provisioned=True)})
        instead = Usage.of({duration_item(architecture): used})
        found.append(
            ProvisionedCost(
                architecture=architecture,
                allocated_gb_s=allocated,
                used_gb_s=used,
                amount=bill(paid, prices).total,
                on_demand=bill(instead, prices).total,
                break_even=break_even(prices, architecture),
            )
        )
    return found


def surprises(found: Bill, usage: Usage, prices: Prices, init_gb_s: Decimal = Decimal(0)) -> list[str]:
    """Sentences on what people do not expect of this bill; none where nothing of the kind is so.

    Args:
        init_gb_s: how much of the GB-seconds on demand were inits.
    """
    return [
        *_dearer_than_compute(found),
        *_inits(found, init_gb_s),
        *_idle_environments(usage, prices),
        *_cheaper_api(usage, prices),
        *_cheaper_architecture(found, usage, prices),
    ]


_VERBS = {
    "s3.puts": "storing into S3",
    "s3.gets": "reading from S3",
    "s3.storage": "keeping objects in S3",
    "apigateway.rest": "taking the requests with a REST API",
    "apigateway.http": "taking the requests with an HTTP API",
    "dynamodb.writes": "writing to DynamoDB",
    "dynamodb.reads": "reading from DynamoDB",
    "dynamodb.storage": "keeping items in DynamoDB",
    "logs.ingested": "logging",
    "sqs.requests": "using queues",
    "sqs.fifo_requests": "using FIFO queues",
    "events.custom": "putting events on a bus",
    "transfer.out": "sending answers to the internet",
}


def _dearer_than_compute(found: Bill) -> Iterator[str]:
    compute = found.amount(*COMPUTE)
    if not compute:
        return
    amounts: dict[str, tuple[Decimal, Decimal, str]] = {}
    for line in found.lines:
        if line.item in _VERBS:
            amount, quantity, _ = amounts.get(line.item, (Decimal(0), Decimal(0), ""))
            amounts[line.item] = (amount + line.amount, quantity + line.quantity, line.unit)
    for item, (amount, quantity, unit) in sorted(amounts.items(), key=lambda entry: -entry[1][0]):
        if amount > compute:
            yield (
                f"{_capital(_VERBS[item])} costs {dollars(amount)} ({amount_of(quantity, unit)} {unit}), "
                f"{amount / compute:.1f} times the compute ({dollars(compute)})."
            )


def _inits(found: Bill, init_gb_s: Decimal) -> Iterator[str]:
    lines = [line for line in found.lines if line.item in (duration_item(X86), duration_item(ARM))]
    billed = sum((line.quantity for line in lines), Decimal(0))
    amount = sum((line.amount for line in lines), Decimal(0))
    share = init_gb_s / billed if billed else Decimal(0)
    if share >= Decimal("0.01"):
        paid = dollars(amount * share)
        yield f"{float(share):.0%} of the duration on demand is init, billed since August 2025: {paid}."


def _idle_environments(usage: Usage, prices: Prices) -> Iterator[str]:
    for cost in provisioned_costs(usage, prices):
        if cost.utilisation < cost.break_even:
            yield (
                f"Provisioned concurrency ({cost.architecture}) is used {float(cost.utilisation):.1%} of the time it "
                f"is paid for, and pays for itself above {float(cost.break_even):.0%}: {dollars(cost.amount)}, where "
                f"the same invocations on demand are {dollars(cost.on_demand)}."
            )


def _cheaper_api(usage: Usage, prices: Prices) -> Iterator[str]:
    calls = usage.get("apigateway.rest")
    if not calls or "apigateway.http" not in prices.prices:
        return
    rest = bill(Usage.of({"apigateway.rest": calls}), prices).total
    http = bill(Usage.of({"apigateway.http": calls}), prices).total
    if http < rest:
        yield f"An HTTP API instead of the REST API would cost {dollars(http)} for the same calls, not {dollars(rest)}."


def _cheaper_architecture(found: Bill, usage: Usage, prices: Prices) -> Iterator[str]:
    """What arm64 would save, if it were as fast."""
    moved = Usage.of(
        {item.replace(X86, ARM): quantity for item, quantity in usage.quantities.items() if item.endswith(X86)}
    )
    if not set(moved.quantities) <= set(prices.prices):
        return
    now = bill(usage.only(item for item in usage.quantities if item.endswith(X86)), prices).total
    saved = now - bill(moved, prices).total
    if found.total and saved / found.total >= Decimal("0.01"):
        yield f"On arm64, at the same duration, the x86_64 functions would cost {dollars(saved)} less."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

"""A usage and a price table -> the bill."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from serverless_lab.cost.items import ITEMS
from serverless_lab.cost.prices import Price, Prices
from serverless_lab.cost.usage import Usage

CENT = Decimal("0.01")
_SHOWN = Decimal("0.00000001")


@dataclass(frozen=True)
class BillLine:
    """One item, or what of it fell into one tier of its price.

    `quantity` is all that was used, `free` what of it the free tier paid; `amount` is (quantity - free) x unit_price,
    in USD and not rounded. `known` says how the quantity is known, `grade` how the price is.
    """

    item: str
    service: str
    what: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    known: str
    grade: str
    free: Decimal = Decimal(0)

    def to_json(self) -> dict[str, Any]:
        return {
            "item": self.item,
            "service": self.service,
            "what": self.what,
            "quantity": number(self.quantity),
            "free": number(self.free),
            "unit": self.unit,
            "unit_price": float(self.unit_price),
            "amount": number(self.amount),
            "known": self.known,
            "grade": self.grade,
        }


@dataclass(frozen=True)
class Bill:
    """Lines in the order of `ITEMS`; `free_tier` says whether the free tier was taken off."""

    lines: tuple[BillLine, ...]
    region: str
    dated: str
    origin: str
    free_tier: bool = False

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal(0))

    def amount(self, *items: str) -> Decimal:
        """Of the lines of these items, or of a whole family: `lambda` is every item that begins with `lambda.`."""
        return sum((line.amount for line in self.lines if any(_belongs(line.item, item) for item in items)), Decimal(0))

    def by_service(self) -> dict[str, Decimal]:
        found: dict[str, Decimal] = {}
        for line in self.lines:
            found[line.service] = found.get(line.service, Decimal(0)) + line.amount
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "total": number(self.total),
            "currency": "USD",
            "region": self.region,
            "prices_dated": self.dated,
            "prices_from": self.origin,
            "free_tier": self.free_tier,
            "services": {service: number(amount) for service, amount in self.by_service().items()},
            "lines": [line.to_json() for line in self.lines],
        }


def bill(usage: Usage, prices: Prices, free_tier: bool = False) -> Bill:
    """What `usage` costs. Tiers are those of a month, and no other usage of the account's is in them.

    Raises:
        BadInput: the table has no price of something that was used.
    """
    free = _free(usage, prices) if free_tier else {}
    lines: list[BillLine] = []
    for item in ITEMS:
        if usage.get(item):
            price = prices.of(item)
            lines += _lines(price, usage.get(item), free.get(item, Decimal(0)), usage.known[item])
    return Bill(tuple(lines), prices.region, prices.dated, prices.origin, free_tier)


def dollars(amount: Decimal) -> str:
    """As people read it: whole cents, and more digits where cents would say nothing."""
    if amount == 0 or abs(amount) >= CENT:
        return f"${amount.quantize(CENT, ROUND_HALF_UP):,}"
    return f"${amount:.2g}" if abs(amount) >= Decimal("0.0001") else "< $0.0001"


def exact_dollars(amount: float | Decimal) -> str:
    """As somebody gave it, `$0.000001` or `$20`, and never with an exponent."""
    return f"${Decimal(str(amount)).normalize():f}"


def amount_of(quantity: Decimal, unit: str) -> str:
    """A quantity as people read it. What is counted is whole, also where a month's is calculated."""
    if quantity == quantity.to_integral_value() or (quantity >= 1 and not unit.startswith("GB")):
        return f"{quantity:,.0f}"
    if quantity >= 100:
        return f"{quantity:,.1f}"
    if quantity >= Decimal("0.001"):
        return f"{quantity:.3g}"
    return f"{quantity:.6f}" if quantity >= Decimal("0.00001") else "< 0.00001"


def number(value: Decimal) -> float | int:
    """For JSON: eight decimals, whole numbers as integers."""
    shown = value.quantize(_SHOWN, ROUND_HALF_UP)
    return int(shown) if shown == shown.to_integral_value() else float(shown)


def _belongs(item: str, family: str) -> bool:
    return item == family or item.startswith(f"{family}.")


def _free(usage: Usage, prices: Prices) -> dict[str, Decimal]:
    """What the free tier pays of each item."""
    paid: dict[str, Decimal] = {}
    for allowance in prices.free:
        left = allowance.quantity
        for item in allowance.items:
            taken = min(left, usage.get(item))
            paid[item] = paid.get(item, Decimal(0)) + taken
            left -= taken
    return paid


def _lines(price: Price, quantity: Decimal, free: Decimal, known: str) -> list[BillLine]:
    """One line, or one for each tier that is reached; free units are the first ones used."""
    item = ITEMS[price.item]
    found: list[BillLine] = []
    start = Decimal(0)
    for tier in price.tiers:
        end = quantity if tier.up_to is None else min(quantity, tier.up_to)
        part = end - start
        free_part = min(max(free - start, Decimal(0)), part)
        several = len(price.tiers) > 1 and (found or (tier.up_to is not None and quantity > tier.up_to))
        what = f"{item.what}, {_span(start, tier.up_to)}" if several else item.what
        amount = (part - free_part) * tier.usd
        found.append(
            BillLine(
                item.key, item.service, what, part, item.unit, tier.usd, amount, known, price.grade, free=free_part
            )
        )
        start = end
        if start >= quantity:
            break
    return found


def _span(start: Decimal, up_to: Decimal | None) -> str:
    if start == 0 and up_to is not None:
        return f"first {_short(up_to)}"
    return f"over {_short(start)}" if up_to is None else f"next {_short(up_to - start)}"


def _short(quantity: Decimal) -> str:
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if quantity >= size:
            return f"{(quantity / size).normalize():f} {word}"
    return f"{quantity.normalize():f}"

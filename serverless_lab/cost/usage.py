"""How much of each item was or will be used, and how that is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil

from serverless_lab import quotas
from serverless_lab.cost.items import ARCHITECTURES, ITEMS, allocated_item, duration_item

Number = Decimal | int | float | str

MEASURED, COUNTED, DECLARED, ASSUMED = "measured", "counted", "declared", "assumed"
"""How a quantity is known: read from REPORT lines, counted at the service's door, said by the user, or a guess."""

_CERTAINTY = (MEASURED, COUNTED, DECLARED, ASSUMED)

GB = 1024**3


@dataclass(frozen=True)
class Usage:
    """Quantities by item key, over whatever period the usage is of; items that are not there were not used.

    `known` says of each item how its quantity is known; a sum is known as well as the worst of its parts.
    """

    quantities: Mapping[str, Decimal] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item, quantity in self.quantities.items():
            if item not in ITEMS:
                raise ValueError(f"no such item: {item}")
            if quantity < 0:
                raise ValueError(f"{item} is {quantity}")

    @classmethod
    def of(cls, quantities: Mapping[str, Number], known: str = DECLARED) -> Usage:
        """A usage of these quantities, all known in the same way; items of which there are 0 are left out."""
        numbers = {item: _decimal(quantity) for item, quantity in quantities.items()}
        used = {item: number for item, number in numbers.items() if number}
        return cls(used, dict.fromkeys(used, known))

    def __add__(self, other: Usage) -> Usage:
        items = {**self.quantities, **other.quantities}
        return Usage(
            {item: self.get(item) + other.get(item) for item in items},
            {item: _worse(self.known.get(item), other.known.get(item)) for item in items},
        )

    def scaled(self, factor: Number) -> Usage:
        """So many times as much of everything."""
        times = _decimal(factor)
        return Usage({item: quantity * times for item, quantity in self.quantities.items()}, self.known)

    def get(self, item: str) -> Decimal:
        return self.quantities.get(item, Decimal(0))

    def only(self, items: Iterable[str]) -> Usage:
        kept = set(items)
        return Usage(
            {item: quantity for item, quantity in self.quantities.items() if item in kept},
            {item: known for item, known in self.known.items() if item in kept},
        )

    def without(self, items: Iterable[str]) -> Usage:
        return self.only(set(self.quantities) - set(items))

    def on(self, architecture: str) -> Usage:
        """The same with all functions on `architecture`, at the same durations."""
        moved = Usage()
        for item, quantity in self.quantities.items():
            family, _, suffix = item.rpartition(".")
            key = f"{family}.{architecture}" if suffix in ARCHITECTURES else item
            moved = moved + Usage({key: quantity}, {key: self.known[item]})
        return moved

    def of_traffic(self) -> Usage:
        """What grows with the number of requests, without what stands there whether requests come or not."""
        return self.without(item for item in self.quantities if ITEMS[item].standing)


def total(usages: Iterable[Usage]) -> Usage:
    found = Usage()
    for usage in usages:
        found = found + usage
    return found


def invocations(
    *,
    requests: Number,
    billed_ms: Number,
    memory_mb: int,
    architecture: str,
    provisioned: bool = False,
    ephemeral_storage_mb: int = quotas.EPHEMERAL_STORAGE_DEFAULT_MB,
    known: str = DECLARED,
) -> Usage:
    """What so many invocations use that were billed `billed_ms` in all.

    `provisioned` ones ran in environments of provisioned concurrency: their duration has a price of its own.
    """
    seconds = _decimal(billed_ms) / 1000
    extra_mb = max(0, ephemeral_storage_mb - quotas.EPHEMERAL_STORAGE_DEFAULT_MB)
    return Usage.of(
        {
            "lambda.provisioned.requests" if provisioned else "lambda.requests": requests,
            duration_item(architecture, provisioned=provisioned): seconds * memory_mb / 1024,
            "lambda.ephemeral_storage": seconds * extra_mb / 1024,
        },
        known,
    )


def provisioned(
    *, environments: Number, memory_mb: int, seconds: Number, architecture: str, known: str = DECLARED
) -> Usage:
    """What provisioned concurrency uses by standing there for `seconds`, used or not; begun periods count whole."""
    # documented: https://aws.amazon.com/lambda/pricing/ (from enabled to disabled, rounded up to five minutes)
    period = quotas.PROVISIONED_BILLING_PERIOD_S
    billed_s = ceil(_decimal(seconds) / period) * period
    gb_seconds = _decimal(environments) * memory_mb / 1024 * billed_s
    return Usage.of({allocated_item(architecture): gb_seconds}, known)


def gigabytes(number_of_bytes: Number) -> Decimal:
    """As AWS bills them: of 1024 x 1024 x 1024 bytes."""
    return _decimal(number_of_bytes) / GB


def _decimal(number: Number) -> Decimal:
    return Decimal(str(number)) if isinstance(number, float) else Decimal(number)


def _worse(one: str | None, other: str | None) -> str:
    return max((known for known in (one, other) if known is not None), key=_CERTAINTY.index, default=ASSUMED)

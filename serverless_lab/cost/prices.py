"""Price tables: dated data files, one per Region, and a file of the user's own laid over them.

A table says of each price where it was read, when, and how sure it is:

* `documented`: AWS's documentation has it;
* `copied`: of AWS's price list, as a public copy of it has it. Nobody here could read AWS's price pages themselves;
* `assumed`: it was not found for this Region. The note says what stands there instead;
* `yours`: from the file given with `--prices`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

from serverless_lab.cost.documents import read_document
from serverless_lab.cost.items import ITEMS
from serverless_lab.errors import BadInput

TABLES = Path(__file__).parent / "tables"
FREE_TIER_FILE = TABLES / "free-tier.json"

DOCUMENTED, COPIED, ASSUMED, YOURS = "documented", "copied", "assumed", "yours"
GRADES = (DOCUMENTED, COPIED, ASSUMED, YOURS)


@dataclass(frozen=True)
class Tier:
    """`usd` for each unit, up to so many units a month; None for the last tier, which has no end."""

    usd: Decimal
    up_to: Decimal | None = None


@dataclass(frozen=True)
class Price:
    """Of one item. `source` is an address, `seen` the day that the price list had it there."""

    item: str
    tiers: tuple[Tier, ...]
    grade: str
    source: str
    seen: str
    note: str | None = None

    @property
    def first_usd(self) -> Decimal:
        """For each unit in the first tier, which small usages never leave."""
        return self.tiers[0].usd


@dataclass(frozen=True)
class FreeAllowance:
    """So many units a month for nothing, of these items together, in this order."""

    quantity: Decimal
    items: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Prices:
    """The price table of one Region. `dated` is the day it was put together; `origin` says from which file."""

    region: str
    dated: str
    prices: Mapping[str, Price]
    origin: str
    free: tuple[FreeAllowance, ...] = ()

    def of(self, item: str) -> Price:
        """
        Raises:
            BadInput: the table has no price of `item`.
        """
        found = self.prices.get(item)
        if found is None:
            raise BadInput(
                f"the price table of {self.region} ({self.origin}) has no price of `{item}`",
                hint=f"add it to the file given with --prices, under `prices: {{{item}: USD}}`",
            )
        return found


def known_regions() -> tuple[str, ...]:
    """The Regions that have a price table here."""
    return tuple(sorted(path.stem for path in TABLES.glob("*.json") if path != FREE_TIER_FILE))


def load_prices(region: str, path: Path | None = None) -> Prices:
    """The price table of `region`; what the file at `path` says replaces what is in it.

    Raises:
        BadInput: no table for the Region, or the file cannot be read or says something that is not a price.
    """
    if path is not None:
        return _overlaid(region, path)
    return _bundled(region)


@cache
def _bundled(region: str) -> Prices:
    file = TABLES / f"{region}.json"
    if region not in known_regions():
        raise BadInput(
            f"no price table for Region `{region}`",
            hint=f"known: {', '.join(known_regions())}; for others give one with --prices FILE (see docs/cost.md)",
        )
    table = json.loads(file.read_text(), parse_float=Decimal)
    return Prices(
        region=table["region"],
        dated=table["dated"],
        prices={item: _price(item, entry, table["sources"]) for item, entry in table["prices"].items()},
        origin=f"cost/tables/{file.name}",
        free=_free_tier(),
    )


def _price(item: str, entry: Mapping[str, Any], sources: Mapping[str, Mapping[str, str]]) -> Price:
    source = sources[entry["source"]]
    return Price(item, _tiers(entry), entry["grade"], source["url"], source["seen"], entry.get("note"))


def _tiers(entry: Mapping[str, Any]) -> tuple[Tier, ...]:
    per = Decimal(entry.get("per", 1))
    if "tiers" not in entry:
        return (Tier(Decimal(entry["usd"]) / per),)
    return tuple(
        Tier(Decimal(tier["usd"]) / per, None if tier.get("up_to") is None else Decimal(tier["up_to"]))
        for tier in entry["tiers"]
    )


@cache
def _free_tier() -> tuple[FreeAllowance, ...]:
    table = json.loads(FREE_TIER_FILE.read_text())
    return tuple(
        FreeAllowance(Decimal(entry["quantity"]), tuple(entry["items"]), entry["source"]) for entry in table["free"]
    )


# --- a file of the user's own ----------------------------------------------------------------------------------------

_KEYS = ("region", "base", "dated", "prices")
_PRICE_KEYS = ("usd", "per", "tiers")


def _overlaid(region: str, path: Path) -> Prices:
    data = _read(path)
    unknown = sorted(set(data) - set(_KEYS))
    if unknown:
        raise BadInput(f"{path}: unknown key `{unknown[0]}`", hint=f"a price file has {', '.join(_KEYS)}")
    own_region = data.get("region", region)
    if own_region != region and region in known_regions():
        raise BadInput(
            f"{path} has the prices of {own_region}, and {region} is to be priced",
            hint=f"give --region {own_region}, or leave `region` out of the file",
        )
    base_region = data.get("base", region if region in known_regions() else None)
    base = _bundled(str(base_region)) if base_region is not None else None
    given = data.get("prices")
    if not isinstance(given, Mapping) or not given:
        raise BadInput(f"{path} has no prices", hint="write `prices: {lambda.requests: {usd: 0.20, per: 1000000}}`")
    dated = str(data.get("dated", "undated"))
    own = {str(item): _own_price(path, str(item), entry, dated) for item, entry in given.items()}
    return Prices(
        region=str(own_region),
        dated=f"{dated}, over {base.dated}" if base else dated,
        prices={**(_borrowed(base, region) if base else {}), **own},
        origin=f"{path}, over {base.origin}" if base else str(path),
        free=_free_tier(),
    )


def _borrowed(base: Prices, region: str) -> dict[str, Price]:
    """The prices of another Region are assumptions for this one."""
    if base.region == region:
        return dict(base.prices)
    note = f"as in {base.region}"
    return {item: replace(price, grade=ASSUMED, note=note) for item, price in base.prices.items()}


def _read(path: Path) -> Mapping[str, Any]:
    data = read_document(path, "price file")
    if not isinstance(data, Mapping):
        raise BadInput(f"{path} is not a price file", hint="see docs/cost.md for one")
    return data


def _own_price(path: Path, item: str, entry: Any, dated: str) -> Price:
    if item not in ITEMS:
        raise BadInput(f"{path}: there is no item `{item}`", hint=f"items: {', '.join(ITEMS)}")
    if not isinstance(entry, Mapping):
        entry = {"usd": entry}
    unknown = sorted(set(map(str, entry)) - set(_PRICE_KEYS))
    if unknown or ("usd" in entry) == ("tiers" in entry):
        hint = "a price is a number of USD, or has `usd` or `tiers`, and `per`"
        raise BadInput(f"{path}: `{item}` has {'unknown key `' + unknown[0] + '`' if unknown else 'no price'}", hint)
    per = _number(path, item, "per", entry.get("per", 1))
    if not per:
        raise BadInput(f"{path}: `{item}` is priced per 0", hint="leave `per` out for the price of one")
    if "usd" in entry:
        tiers: tuple[Tier, ...] = (Tier(_number(path, item, "usd", entry["usd"]) / per),)
    else:
        tiers = _own_tiers(path, item, entry["tiers"], per)
    return Price(item, tiers, YOURS, str(path), dated)


def _own_tiers(path: Path, item: str, given: Any, per: Decimal) -> tuple[Tier, ...]:
    problem = f"{path}: the tiers of `{item}` are not a list of {{up_to, usd}} that rises and ends open"
    hint = "every tier but the last has `up_to`: units a month, more than the tier before"
    if not isinstance(given, list) or not given or not all(isinstance(tier, Mapping) for tier in given):
        raise BadInput(problem, hint)
    tiers = tuple(
        Tier(
            _number(path, item, "usd", tier.get("usd")) / per,
            None if tier.get("up_to") is None else _number(path, item, "up_to", tier["up_to"]),
        )
        for tier in given
    )
    ends = [tier.up_to for tier in tiers]
    bounded = [end for end in ends[:-1] if end is not None]
    if ends[-1] is not None or len(bounded) != len(ends) - 1 or bounded != sorted(set(bounded)):
        raise BadInput(problem, hint)
    return tiers


def _number(path: Path, item: str, key: str, value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or number < 0:
        raise BadInput(f"{path}: `{key}` of `{item}` is {value!r}", hint="write a number that is not negative")
    return number

"""What one round sends: from a seed and the number of the round, always the same."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.soak.functions import BAD, KINDS, Kind

ASYNCHRONOUS_SHARE = 0.25
BAD_SHARE = 0.2


@dataclass(frozen=True)
class Call:
    """One invocation that a client asks for; `at_ms` after the round's zero, for those who take part in time."""

    kind: Kind
    nonce: str
    number: int
    asynchronous: bool
    at_ms: float


@dataclass(frozen=True)
class Size:
    """How large a round is: arrivals that are `stamped` with their time, of each of `generators`, over `minutes`
    virtual ones; of each of `clients` as many as they are `unstamped`; and what the event sources get."""

    generators: int = 2
    stamped: int = 40
    clients: int = 3
    unstamped: int = 15
    messages: int = 20
    records: int = 12
    minutes: float = 1.0
    updates: int = 3


@dataclass(frozen=True)
class Round:
    number: int
    generators: tuple[tuple[Call, ...], ...]
    clients: tuple[tuple[Call, ...], ...]
    messages: tuple[str, ...]
    records: tuple[str, ...]


def planned(seed: int, number: int, size: Size) -> Round:
    chance = random.Random(f"{seed}/{number}")
    numbers = iter(range(1_000_000))

    def calls(count: int, who: str) -> tuple[Call, ...]:
        times = sorted(chance.uniform(0, 60_000 * size.minutes) for _ in range(count))
        # Some at the same instant, as a spike has them.
        times = [round(at_ms, -3) if chance.random() < 0.3 else at_ms for at_ms in times]
        return tuple(_call(chance, next(numbers), f"{number}-{who}", at_ms) for at_ms in sorted(times))

    def bodies(count: int, what: str) -> tuple[str, ...]:
        return tuple(
            f"{BAD if chance.random() < BAD_SHARE else 'good'}-{what}-{number}-{place}" for place in range(count)
        )

    return Round(
        number,
        tuple(calls(size.stamped, f"g{worker}") for worker in range(size.generators)),
        tuple(calls(size.unstamped, f"c{client}") for client in range(size.clients)),
        bodies(size.messages, "message"),
        bodies(size.records, "record"),
    )


def _call(chance: random.Random, number: int, who: str, at_ms: float) -> Call:
    (kind,) = chance.choices(KINDS, [kind.weight for kind in KINDS])
    return Call(kind, f"{who}-{number}", number, chance.random() < ASYNCHRONOUS_SHARE, at_ms)

"""Functions of many events' values, as `stats` uses them.

documented: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Stats.html#CWL_QuerySyntax-stats-functions
An aggregate of no value at all is absent, but for counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from serverless_lab.emulator.insights.values import Value, number, sort_key, text_of

Sample: TypeAlias = tuple[float, Value]
"""When the event was, and its value, which is there."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`work` gets the present values of a group in the order of its events, and the constant arguments."""

    name: str
    work: Callable[..., Value]
    constants: int = 0
    counts_events: bool = False


def _numbers(samples: Sequence[Sample]) -> list[float]:
    return [found for _, value in samples if (found := number(value)) is not None]


def _of_numbers(work: Callable[[list[float]], float]) -> Callable[[Sequence[Sample]], Value]:
    def of_samples(samples: Sequence[Sample]) -> Value:
        numbers = _numbers(samples)
        return float(work(numbers)) if numbers else None

    return of_samples


def _mean(numbers: list[float]) -> float:
    return math.fsum(numbers) / len(numbers)


def _deviation(numbers: list[float]) -> float:
    """Of the population, as AWS says of `variance`."""
    mean = _mean(numbers)
    return math.sqrt(math.fsum((one - mean) ** 2 for one in numbers) / len(numbers))


def _extreme(greatest: bool) -> Callable[[Sequence[Sample]], Value]:
    """By number where every value is one, else by the order of sort."""

    def choose(samples: Sequence[Sample]) -> Value:
        choice = max if greatest else min
        numbers = _numbers(samples)
        if len(numbers) == len(samples):
            return float(choice(numbers)) if numbers else None
        return _plain(choice((value for _, value in samples), key=sort_key))

    return choose


def _plain(value: Value) -> Value:
    """A number as it is computed with, not as its log has it: `max(@memorySize)` is 128000000."""
    return float(value) if isinstance(value, (int, float)) else value


def percentile(samples: Sequence[Sample], percent: float) -> Value:
    """Between the two nearest values, by their distance.

    assumed: AWS says that `percent` of the values are lower, and does not say how it chooses between two.
    """
    numbers = sorted(_numbers(samples))
    if not numbers:
        return None
    place = (len(numbers) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(numbers) - 1)
    return float(numbers[below] + (numbers[above] - numbers[below]) * (place - below))


def _at(samples: Sequence[Sample], latest: bool) -> Value:
    """An instant comes back as milliseconds (measured in us-east-1 in June 2026 by a third party)."""
    if not samples:
        return None
    return _plain((max if latest else min)(samples, key=lambda sample: sample[0])[1])


_AGGREGATES = (
    Aggregate("count", lambda samples: len(samples), counts_events=True),
    Aggregate("count_distinct", lambda samples: len({text_of(value) for _, value in samples})),
    Aggregate("avg", _of_numbers(_mean)),
    Aggregate("sum", _of_numbers(math.fsum)),
    Aggregate("stddev", _of_numbers(_deviation)),
    Aggregate("variance", _of_numbers(lambda numbers: _deviation(numbers) ** 2)),
    Aggregate("min", _extreme(greatest=False)),
    Aggregate("max", _extreme(greatest=True)),
    Aggregate("sortsfirst", _extreme(greatest=False)),
    Aggregate("sortslast", _extreme(greatest=True)),
    Aggregate("earliest", lambda samples: _at(samples, latest=False)),
    Aggregate("latest", lambda samples: _at(samples, latest=True)),
    Aggregate("pct", percentile, constants=1),
    Aggregate("median", lambda samples: percentile(samples, 50)),
)

AGGREGATES = {aggregate.name: aggregate for aggregate in _AGGREGATES}
# `countDistinct` and `count_distinct` are both AWS's; `percentile` and `median` are on no page of AWS's, and in the
# queries of many people who published their results.
AGGREGATES["countdistinct"] = AGGREGATES["count_distinct"]
AGGREGATES["percentile"] = AGGREGATES["pct"]

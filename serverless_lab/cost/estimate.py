"""What sending a scenario will cost, between two bounds, before anything is sent.

Nobody can know which functions a request sets off and how long they take, so both ends are said with what they assume.
The lower end is the least that such requests can cost. The upper end holds unless a request sets off a function more
than once: every function of the stack, for every request, until its timeout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from serverless_lab import quotas
from serverless_lab.cost.bill import Bill, bill, dollars
from serverless_lab.cost.prices import ASSUMED, Prices
from serverless_lab.cost.run_usage import RunUsage, Standing
from serverless_lab.cost.usage import ASSUMED as GUESSED
from serverless_lab.cost.usage import DECLARED, Usage, gigabytes, invocations, total
from serverless_lab.project import DeployedFunction

# assumed: ours to choose, for the lower end; a function that answers sooner is billed 1 ms at least
SHORTEST_MS = 10

# measured: runs of the bundled stack on the embedded emulator log 360 to 500 bytes an invocation
LOG_BYTES_MIN = 300
# assumed: a function that logs its event and an answer or two
LOG_BYTES_MAX = 10_000

# assumed: of each invocation at the upper end, where the stack has something to call
WRITES_MAX, READS_MAX = 10, 10
PUTS_MAX, GETS_MAX = 2, 2
STORED_BYTES_MAX = 100_000
QUEUE_REQUESTS_MAX = 6
RESPONSE_BYTES_MAX = 100_000

# assumed: how much longer than the run provisioned concurrency stands there before somebody takes it away
STANDING_AFTER_S = 3_600


@dataclass(frozen=True)
class Stack:
    """As much of a deployed stack as costs something. `resources` are CloudFormation's types."""

    functions: tuple[DeployedFunction, ...]
    api_type: str | None
    resources: frozenset[str]


@dataclass(frozen=True)
class Estimate:
    """`low` and `high` are bills of the whole scenario; `likely` what the last measured run of the stack makes of it.

    `assumptions` say what each end takes for granted, `hourly` what stands there costs an hour whatever is sent.
    """

    requests: int
    low: Bill
    high: Bill
    likely: Bill | None
    hourly: Decimal
    assumptions: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people, before they agree."""
        found = [
            f"estimated bill: {dollars(self.low.total)} to {dollars(self.high.total)} "
            f"(list prices of {self.low.region}, {self.low.dated})"
        ]
        if self.likely is not None:
            found.append(f"like the last measured run of this stack: {dollars(self.likely.total)}")
        if self.hourly:
            found.append(f"provisioned concurrency: {dollars(self.hourly)} an hour, as long as it stands there")
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "low": self.low.to_json(),
            "likely": None if self.likely is None else self.likely.to_json(),
            "high": self.high.to_json(),
            "standing_per_hour": float(self.hourly),
            "assumptions": list(self.assumptions),
        }


def estimate(
    *,
    requests: int,
    duration_s: float,
    environments_max: int,
    stack: Stack,
    prices: Prices,
    measured: RunUsage | None = None,
) -> Estimate:
    """The bill of sending `requests` to `stack` within `duration_s`.

    Args:
        environments_max: how many environments of a function there will be at once, at most: each has an init.
        measured: an earlier run of the same stack.

    Raises:
        BadInput: a price is missing.
    """
    api = Usage.of({f"apigateway.{stack.api_type or 'rest'}": requests})
    standing = _standing(stack.functions)
    low = total([api, _least(requests, stack), *(part.usage(duration_s, DECLARED) for part in standing)])
    high = total(
        [
            api,
            _most(requests, environments_max, stack),
            *(part.usage(duration_s + STANDING_AFTER_S, GUESSED) for part in standing),
        ]
    )
    likely = None
    if measured is not None and measured.requests:
        traffic = measured.usage.of_traffic().scaled(Decimal(requests) / measured.requests)
        likely = bill(total([traffic, *(part.usage(duration_s, DECLARED) for part in standing)]), prices)
    return Estimate(
        requests=requests,
        low=bill(low, prices),
        high=bill(high, prices),
        likely=likely,
        hourly=hourly(stack.functions, prices),
        assumptions=tuple(_assumptions(stack, standing, prices, high)),
    )


def hourly(functions: Iterable[DeployedFunction], prices: Prices) -> Decimal:
    """USD an hour for what stands there whatever is sent: provisioned concurrency."""
    return bill(total(part.usage(3600, DECLARED) for part in _standing(functions)), prices).total


def _standing(functions: Iterable[DeployedFunction]) -> list[Standing]:
    return [
        Standing(function.name, function.provisioned_environments, function.memory_size_mb, function.architecture)
        for function in functions
        if function.provisioned_environments
    ]


def _least(requests: int, stack: Stack) -> Usage:
    """The smallest function, once a request, for 10 ms, and hardly a word in its log."""
    if not stack.functions:
        return Usage()
    cheapest = min(stack.functions, key=lambda function: (function.memory_size_mb, function.architecture != "arm64"))
    return invocations(
        requests=requests,
        billed_ms=requests * SHORTEST_MS,
        memory_mb=cheapest.memory_size_mb,
        architecture=cheapest.architecture,
        known=GUESSED,
    ) + _logs(requests * LOG_BYTES_MIN)


def _most(requests: int, environments_max: int, stack: Stack) -> Usage:
    """Every function, once a request, until its timeout, after an init of ten seconds in each environment."""
    parts = []
    for function in stack.functions:
        inits_ms = min(environments_max, requests) * quotas.INIT_TIMEOUT_MS
        parts.append(
            invocations(
                requests=requests,
                billed_ms=requests * function.timeout_s * 1000 + inits_ms,
                memory_mb=function.memory_size_mb,
                architecture=function.architecture,
                known=GUESSED,
            )
        )
    count = requests * len(stack.functions)
    parts.append(_logs(count * LOG_BYTES_MAX))
    parts.append(Usage.of({"transfer.out": gigabytes(requests * RESPONSE_BYTES_MAX)}, GUESSED))
    stored = gigabytes(count * STORED_BYTES_MAX)
    if _has(stack, "AWS::DynamoDB::"):
        units = {"dynamodb.writes": count * WRITES_MAX, "dynamodb.reads": count * READS_MAX}
        parts.append(Usage.of({**units, "dynamodb.storage": stored}, GUESSED))
    if _has(stack, "AWS::S3::"):
        units = {"s3.puts": count * PUTS_MAX, "s3.gets": count * GETS_MAX}
        parts.append(Usage.of({**units, "s3.storage": stored}, GUESSED))
    if _has(stack, "AWS::SQS::"):
        parts.append(Usage.of({"sqs.fifo_requests": count * QUEUE_REQUESTS_MAX}, GUESSED))
    if _has(stack, "AWS::Events::EventBus"):
        parts.append(Usage.of({"events.custom": count}, GUESSED))
    return total(parts)


def _logs(number_of_bytes: int) -> Usage:
    ingested = gigabytes(number_of_bytes)
    stored = ingested * Decimal(str(quotas.LOG_STORED_SHARE))
    return Usage.of({"logs.ingested": ingested, "logs.stored": stored}, GUESSED)


def _has(stack: Stack, prefix: str) -> bool:
    return any(kind.startswith(prefix) for kind in stack.resources)


def _assumptions(stack: Stack, standing: Sequence[Standing], prices: Prices, high: Usage) -> Iterable[str]:
    yield (
        f"at least: one invocation a request of the smallest function, {SHORTEST_MS} ms, {LOG_BYTES_MIN} bytes of "
        "logs, and no call to another service"
    )
    called = [
        words
        for prefix, words in (
            ("AWS::DynamoDB::", f"{WRITES_MAX} write and {READS_MAX} read units of DynamoDB"),
            ("AWS::S3::", f"{PUTS_MAX} PUT and {GETS_MAX} GET requests of S3"),
            ("AWS::SQS::", f"{QUEUE_REQUESTS_MAX} requests to queues"),
            ("AWS::Events::EventBus", "one custom event"),
        )
        if _has(stack, prefix)
    ]
    count = len(stack.functions)
    functions = {1: "the function", 2: "both functions"}.get(count, f"all {count} functions")
    each = ", ".join([*called, f"{LOG_BYTES_MAX:,} bytes of logs"])
    yield (
        f"at most: {functions} once a request, until the timeout, with inits of {quotas.INIT_TIMEOUT_MS // 1000} s; "
        f"for each invocation {each}, for each request an answer of {RESPONSE_BYTES_MAX // 1000} KB. Not: functions "
        "that set off each other in a circle, retries"
    )
    if standing:
        kept = sum(part.environments for part in standing)
        after = STANDING_AFTER_S // 3600
        yield f"{kept} provisioned environments stand for the run, at least, and for {after} hour more, at most"
    guessed = [item for item in high.quantities if prices.of(item).grade == ASSUMED]
    if guessed:
        yield f"assumed prices for {prices.region}: {', '.join(guessed)}"

"""A month at the user's traffic, from a run or a log."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from serverless_lab.cost.run_usage import RunUsage, Standing
from serverless_lab.cost.usage import DECLARED, Number, Usage, total
from serverless_lab.errors import BadInput

HOURS = 720
"""Of a month: 30 days. AWS's calculator takes 730."""


def monthly(run: RunUsage, requests_per_month: Number, hours: float = HOURS) -> Usage:
    """A month in which each request uses what one of the run's did on average, and what stands there stands all along.

    Raises:
        BadInput: the run has no requests to scale by.
    """
    return scaled_to(run.usage, run.requests, requests_per_month, run.standing, hours)


def scaled_to(
    usage: Usage, requests: int, requests_per_month: Number, standing: Iterable[Standing] = (), hours: float = HOURS
) -> Usage:
    """
    Raises:
        BadInput: `usage` is of no request.
    """
    if not requests:
        raise BadInput("nothing was sent, so nothing can be scaled to a month", hint="send a load first: `lab load`")
    traffic = usage.of_traffic().scaled(Decimal(str(requests_per_month)) / requests)
    return total([traffic, *(part.usage(hours * 3600, DECLARED) for part in standing)])

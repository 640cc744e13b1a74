"""What `lab doctor` finds, one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serverless_lab.scenario import Scenario

GOOD, DOUBTFUL, BAD = "ok", "warning", "unusable"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state` is ok, warning (it works, with a loss) or unusable; `hint` is what to do."""

    target: str
    subject: str
    state: str
    text: str
    hint: str | None = None


def concurrency_finding(target: str, limits: dict[str, Any], scenario: Scenario, hint: str) -> Finding:
    """Whether the concurrent executions that an account may have are as many as `scenario` may need.

    Args:
        limits: AccountLimit of GetAccountSettings.
    """
    from serverless_lab.cli.load import concurrency_of

    free, total = limits["UnreservedConcurrentExecutions"], limits["ConcurrentExecutions"]
    needed = concurrency_of(scenario)
    text = f"{total}, {free} of them unreserved; {scenario.name} may need {needed}"
    if needed <= free:
        return Finding(target, "concurrency", GOOD, text)
    return Finding(target, "concurrency", DOUBTFUL, f"{text}: what is beyond is throttled", hint)

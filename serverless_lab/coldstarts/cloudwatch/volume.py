"""How much log a stretch of time holds, what reading it takes, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from serverless_lab import quotas
from serverless_lab.coldstarts.cloudwatch.paging import PAGE_EVENTS
from serverless_lab.errors import BadInput
from serverless_lab.targets.clients import DENIED_CODES, error_code

INSIGHTS_FROM_S = 120
"""From how many seconds of pages on Logs Insights is offered. Ours to choose: less is not worth paying for."""

_PAGE_BYTES = 1_000_000  # documented beside PAGE_EVENTS
_METRICS_PER_CALL = 500
_NAMES = {"e": "IncomingLogEvents", "b": "IncomingBytes"}

# documented: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#Metric (periods)
_FIVE_MINUTES_KEPT_MS = 63 * 86_400_000
_HOURS_KEPT_MS = 455 * 86_400_000


@dataclass(frozen=True)
class Volume:
    """What was taken in during a stretch of time, by log group. `is_bound`: it is at most that much."""

    events: Mapping[str, int]
    bytes: int
    is_bound: bool = False

    @property
    def pages_s(self) -> float:
        """How long FilterLogEvents takes, at the account's rate."""
        pages = max(sum(math.ceil(count / PAGE_EVENTS) for count in self.events.values()), self.bytes / _PAGE_BYTES)
        return pages / quotas.FILTER_LOG_EVENTS_PER_SECOND

    @property
    def gigabytes(self) -> Decimal:
        return Decimal(self.bytes) / 10**9


def measure(
    cloudwatch: Any, logs: Any, groups: Sequence[str], start_ms: int, end_ms: int, now_ms: int
) -> Volume | None:
    """What CloudWatch's metrics say of it; without leave for them, what the groups can hold; None without both."""
    from botocore.exceptions import ClientError

    # Of a time that the metrics have forgotten they would say that there was nothing.
    if now_ms - start_ms < _HOURS_KEPT_MS:
        try:
            return _of_metrics(cloudwatch, groups, start_ms, end_ms, now_ms)
        except ClientError as error:
            if error_code(error) not in DENIED_CODES:
                raise
    try:
        return _of_groups(logs, groups)
    except ClientError as error:
        if error_code(error) not in DENIED_CODES:
            raise
    return None


def _of_metrics(cloudwatch: Any, groups: Sequence[str], start_ms: int, end_ms: int, now_ms: int) -> Volume:
    period_s = 300 if now_ms - start_ms < _FIVE_MINUTES_KEPT_MS else 3600
    queries = [
        {
            "Id": f"{short}{at}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/Logs",
                    "MetricName": name,
                    "Dimensions": [{"Name": "LogGroupName", "Value": group}],
                },
                "Period": period_s,
                "Stat": "Sum",
            },
        }
        for at, group in enumerate(groups)
        for short, name in _NAMES.items()
    ]
    sums: dict[str, float] = {}
    for at in range(0, len(queries), _METRICS_PER_CALL):
        request: dict[str, Any] = {
            "MetricDataQueries": queries[at : at + _METRICS_PER_CALL],
            # Periods begin at multiples of themselves.
            "StartTime": start_ms // 1000 // period_s * period_s,
            "EndTime": (end_ms // 1000 // period_s + 1) * period_s,
        }
        while True:
            page = cloudwatch.get_metric_data(**request)
            for result in page.get("MetricDataResults", ()):
                sums[result["Id"]] = sums.get(result["Id"], 0.0) + sum(result.get("Values") or ())
            if not page.get("NextToken"):
                break
            request["NextToken"] = page["NextToken"]
    return Volume(
        events={group: int(sums.get(f"e{at}", 0)) for at, group in enumerate(groups)},
        bytes=int(sum(sums.get(f"b{at}", 0) for at in range(len(groups)))),
    )


def _of_groups(logs: Any, groups: Sequence[str]) -> Volume:
    """As much as the groups can hold: `storedBytes` does not say whether it is before compression, which is scanned."""
    found = 0
    for group in groups:
        answer = logs.describe_log_groups(logGroupNamePrefix=group)
        found += sum(item.get("storedBytes") or 0 for item in answer["logGroups"] if item["logGroupName"] == group)
    return Volume(events=dict.fromkeys(groups, 0), bytes=int(found / quotas.LOG_STORED_SHARE), is_bound=True)


def scan_price(region: str) -> Decimal | None:
    """USD for a GB that Logs Insights scans; None where the Region has no price table."""
    from serverless_lab.cost.prices import load_prices

    try:
        return load_prices(region).of("logs.scanned").first_usd
    except BadInput:
        return None

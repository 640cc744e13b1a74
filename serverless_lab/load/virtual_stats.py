"""Locust's statistics in virtual time, made from the rows.

Locust stamps every request with `time.time()`, which says nothing about a run in virtual time: its rates, its charts
and its history would describe how fast this machine is. So the load processes tell Locust nothing, and the process that
shows and writes its statistics reads the rows, which are in virtual time.
Loaded in the load process only.
"""

from __future__ import annotations

import json
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from locust.exception import CatchResponseError
from locust.stats import (
    CURRENT_RESPONSE_TIME_PERCENTILE_WINDOW,
    HISTORY_STATS_INTERVAL_SEC,
    PERCENTILES_TO_CHART,
    PERCENTILES_TO_REPORT,
    RequestStats,
    StatsEntry,
    StatsError,
    bucket_response_time,
    calculate_response_time_percentile,
    get_readable_percentiles,
)
from locust.util.date import format_utc_timestamp

from serverless_lab.load import samples

HISTORY_ROWS_AT_MOST = 3600
HISTORY_COLUMNS = (
    "Timestamp",
    "User Count",
    "Type",
    "Name",
    "Requests/s",
    "Failures/s",
    *get_readable_percentiles(PERCENTILES_TO_REPORT),
    "Total Request Count",
    "Total Failure Count",
    "Total Median Response Time",
    "Total Average Response Time",
    "Total Min Response Time",
    "Total Max Response Time",
    "Total Average Content Size",
)


class Answer(NamedTuple):
    """What Locust wants to know of a request, at its end."""

    end_s: float
    method: str
    path: str
    latency_ms: float
    size: int
    failure: str | None


class Total(StatsEntry):
    """All requests, and those of the last ten seconds."""

    def __init__(self, stats: RequestStats) -> None:
        self.latest: deque[Answer] = deque()
        super().__init__(stats, "Aggregated", "")

    def get_current_response_time_percentile(self, percent: float) -> int | None:
        buckets = Counter(bucket_response_time(answer.latency_ms) for answer in self.latest)
        return calculate_response_time_percentile(buckets, len(self.latest), percent) if buckets else None

    def forget_before(self, end_s: float) -> None:
        while self.latest and self.latest[0].end_s < end_s:
            self.latest.popleft()


class VirtualStats(RequestStats):
    """Takes the place of an environment's statistics.

    Args:
        run_folder: where the load processes write their rows.
        users: how many there are; it does not change.
    """

    def __init__(self, run_folder: Path, users: int) -> None:
        super().__init__(use_response_times_cache=False)
        self._run_folder = run_folder
        self._users = users
        self.zero_s: float | None = None
        self.csv_history: list[list[Any]] = []
        self.clear_all()

    def clear_all(self) -> None:
        super().clear_all()
        self.total = self.of_all = Total(self)

    def read(self) -> None:
        """Everything anew from the rows there are."""
        if self.zero_s is None:
            return
        self.clear_all()
        self.csv_history = []
        answers = deque(sorted(self._answers(), key=lambda answer: answer.end_s))
        zero_s = self.zero_s
        end_s = answers[-1].end_s if answers else zero_s
        self.total.start_time = zero_s
        step_s = max(1, math.ceil((end_s - zero_s) / HISTORY_ROWS_AT_MOST))
        for count, at_s in enumerate(_steps(zero_s, end_s, step_s), 1):
            while answers and answers[0].end_s <= at_s:
                self._take(answers.popleft())
            self.of_all.forget_before(at_s - CURRENT_RESPONSE_TIME_PERCENTILE_WINDOW)
            self._note(at_s, chart=at_s == end_s or count * step_s % HISTORY_STATS_INTERVAL_SEC < step_s)

    def _answers(self) -> Iterator[Answer]:
        assert self.zero_s is not None
        for row in _rows(samples.row_files(self._run_folder)):
            if row["latency_ms"] is None:
                continue
            failure = None if row["succeeded"] else row["error"] or f"status {row['status_code']}"
            end_s = self.zero_s + (row["intended_ms"] + row["latency_ms"]) / 1000
            # The path as the scenario writes it: one entry for all values of its braces.
            path = row["name"].partition(" ")[2]
            yield Answer(end_s, row["method"], path, row["latency_ms"], row["response_bytes"] or 0, failure)

    def _take(self, answer: Answer) -> None:
        entry = self.entries[(answer.path, answer.method)]
        entry.start_time = self.of_all.start_time
        self.of_all.latest.append(answer)
        for kept in (entry, self.total):
            kept.num_requests += 1
            kept.num_reqs_per_sec[int(answer.end_s)] += 1
            kept.last_request_timestamp = answer.end_s
            kept._log_response_time(answer.latency_ms)  # type: ignore[arg-type]
            kept.total_content_length += answer.size
            if answer.failure is not None:
                kept.num_failures += 1
                kept.num_fail_per_sec[int(answer.end_s)] += 1
        if answer.failure is not None:
            error = CatchResponseError(answer.failure)
            key = StatsError.create_key(answer.method, answer.path, error)
            known = self.errors.setdefault(key, StatsError(answer.method, answer.path, error, 0, answer.end_s))
            known.occurrences += 1
            known.last_seen = answer.end_s

    def _note(self, at_s: float, *, chart: bool) -> None:
        """A line of history, and a point of the charts."""
        total, latest = self.of_all, self.of_all.latest
        assert self.zero_s is not None
        window_s = max(min(CURRENT_RESPONSE_TIME_PERCENTILE_WINDOW, at_s - self.zero_s), 0.001)
        rate = len(latest) / window_s
        failures = sum(answer.failure is not None for answer in latest) / window_s
        percentiles = [int(total.get_response_time_percentile(share) or 0) for share in PERCENTILES_TO_REPORT]
        self.csv_history.append(
            [
                int(at_s),
                self._users,
                "",
                "Aggregated",
                f"{rate:2f}",
                f"{failures:2f}",
                *(percentiles if total.num_requests else ["N/A"] * len(percentiles)),
                total.num_requests,
                total.num_failures,
                total.median_response_time,
                total.avg_response_time,
                total.min_response_time or 0,
                total.max_response_time,
                total.avg_content_length,
            ]
        )
        if chart:
            stamp = format_utc_timestamp(at_s)  # type: ignore[no-untyped-call]
            current = {
                f"response_time_percentile_{share}": [stamp, total.get_current_response_time_percentile(share) or 0]
                for share in PERCENTILES_TO_CHART
            }
            self.history.append(
                {
                    **current,
                    "current_rps": [stamp, rate],
                    "current_fail_per_sec": [stamp, failures],
                    "total_avg_response_time": [stamp, round(total.avg_response_time, 2)],
                    "user_count": [stamp, self._users],
                    "time": stamp,
                }
            )


def _steps(zero_s: float, end_s: float, step_s: int) -> Iterator[float]:
    """Every `step_s` after `zero_s`, and `end_s` itself."""
    count = 1
    while zero_s + count * step_s < end_s:
        yield zero_s + count * step_s
        count += 1
    yield end_s


def _rows(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield dict(zip(samples.COLUMNS, json.loads(line), strict=True))

"""What the workers of a run tell, added up while it goes on."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

RECENT_S = 5.0


@dataclass(frozen=True)
class LoadProgress:
    """How far a run is. `due` counts arrivals whose instant has come, the others requests.

    The latencies are of the requests answered in the last 5 seconds, to two digits.
    """

    elapsed_ms: float
    planned: int
    due: int
    sent: int
    finished: int
    failed: int
    in_flight: int
    latency_ms_p50: float | None
    latency_ms_p99: float | None


class Follower:
    """Adds up what the workers tell."""

    def __init__(self, planned: int, progress: Callable[[LoadProgress], None] | None) -> None:
        self.planned = planned
        self.progress = progress
        self.ticks: dict[int, dict[str, Any]] = {}
        self.recent: deque[tuple[float, list[list[int]]]] = deque()
        self.started_at_ms: int | None = None
        self.crash: str | None = None
        self.lost: str | None = None
        self.connected = 0
        self.workers: list[dict[str, Any]] = []
        self.gone: list[str] = []
        self.started_s: float | None = None
        self.real_ms = 0.0
        self.cpu_share = 0.0
        self.in_flight_max = 0

    @property
    def elapsed_ms(self) -> float:
        return max((float(tick["elapsed_ms"]) for tick in self.ticks.values()), default=0.0)

    def read(self, line: str) -> bool:
        """Takes in a line of the load process; False when the run cannot become complete any more."""
        fact = json.loads(line)
        now_s = time.monotonic()
        self.started_s = self.started_s or now_s
        match fact["event"]:
            case "start":
                self.started_at_ms = fact["epoch_ms"]
                self.started_s = now_s
            case "crash":
                self.crash = fact["error"]
            case "lost":
                self.lost = self.lost or fact["reason"]
            case "connected":
                self.connected = fact["workers"]
            case "worker":
                self.workers.append({name: value for name, value in fact.items() if name != "event"})
            case "gone":
                self.gone.append(f"worker {fact['worker']} on {fact['host']}")
            case "done":
                self.real_ms = (now_s - self.started_s) * 1000
                self.cpu_share = max(self.cpu_share, fact["cpu_share"])
                self.in_flight_max = max(self.in_flight_max, fact["in_flight_max"])
            case "tick":
                self.ticks[fact["worker"]] = fact
                self.recent.append((fact["elapsed_ms"], fact["latencies"]))
                while self.recent and self.recent[0][0] < fact["elapsed_ms"] - RECENT_S * 1000:
                    self.recent.popleft()
                if self.progress is not None:
                    self.progress(self.state())
        return self.crash is None

    def state(self) -> LoadProgress:
        buckets: Counter[float] = Counter()
        for _, latencies in self.recent:
            for latency, count in latencies:
                buckets[latency] += count
        return LoadProgress(
            elapsed_ms=self.elapsed_ms,
            planned=self.planned,
            latency_ms_p50=bucket_quantile(buckets, 0.5) if buckets else None,
            latency_ms_p99=bucket_quantile(buckets, 0.99) if buckets else None,
            **{
                name: sum(int(tick[name]) for tick in self.ticks.values())
                for name in ("due", "sent", "finished", "failed", "in_flight")
            },
        )


def bucket_quantile(buckets: Mapping[float, int], share: float) -> float:
    left = share * sum(buckets.values())
    for value in sorted(buckets):
        left -= buckets[value]
        if left <= 0:
            return float(value)
    return float(max(buckets))

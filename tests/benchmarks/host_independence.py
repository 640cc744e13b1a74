"""Does the machine show in the results? The same spike on one core, on two, and with three busy loops beside it.

Prints, for the virtual clock and then for the wall clock, the cold starts, the init and latency quantiles of
monday-spike, and how far the conditions are apart. `python -m tests.benchmarks host_independence` takes a quarter of an
hour, most of it for the wall clock, whose rows show what would be measured without virtual time; with `virtual` behind
`python -m tests.benchmarks.host_independence` it leaves those out. Returns 1 when the virtual rows are further apart
than `LIMITS`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAB = [sys.executable, "-m", "serverless_lab.cli.main"]
SEED = "20261123"


@dataclass(frozen=True)
class Condition:
    name: str
    cores: int
    busy_loops: int


CONDITIONS = (Condition("1 core", 1, 0), Condition("2 cores", 2, 0), Condition("2 cores, 3 busy loops", 2, 3))


@dataclass(frozen=True)
class Row:
    """One run; times in ms, `real_s` in seconds."""

    condition: str
    cold: int
    failed: int
    init_p50: float
    init_p90: float
    latency_p50: float
    latency_p90: float
    latency_p99: float
    real_s: float


LIMITS = {"init_p50": 0.05, "init_p90": 0.05, "latency_p50": 0.10, "latency_p90": 0.10, "latency_p99": 0.10}
"""How far the greatest may be from the smallest, on the virtual clock, as a share of that."""


def main(clocks: Sequence[str] = ("virtual", "wall")) -> int:
    held = True
    for clock in clocks:
        rows = [measure(clock, condition) for condition in CONDITIONS if condition.cores <= (os.cpu_count() or 1)]
        show(clock, rows)
        if clock == "virtual":
            apart = {name: spread([getattr(row, name) for row in rows]) for name in LIMITS}
            beyond = [name for name, limit in LIMITS.items() if apart[name] > limit]
            held = not beyond and len({row.cold for row in rows}) == 1
            print("the host does not show" if held else f"the host shows: cold starts, or {', '.join(beyond)}")
    return 0 if held else 1


def measure(clock: str, condition: Condition) -> Row:
    with tempfile.TemporaryDirectory(prefix="host-independence-") as folder, busy_loops(condition.busy_loops):
        pinned = ["taskset", "-c", ",".join(map(str, range(condition.cores)))]
        lab(pinned, folder, "up", "--clock", clock)
        try:
            lab(pinned, folder, "deploy")
            began = time.monotonic()
            lab(pinned, folder, "load", "--scenario", "monday-spike", "--seed", SEED, "--force")
            real_s = time.monotonic() - began
            report = json.loads(lab(pinned, folder, "coldstarts", "report", "--json"))
        finally:
            lab(pinned, folder, "down")
    ingest = next(item for item in report["functions"] if item["function"].endswith("ingest-event"))
    client = report["client"]
    return Row(
        condition.name,
        ingest["cold_starts"]["count"],
        client["failures"],
        *(ingest["init_ms"][name] for name in ("p50", "p90")),
        *(client["latency_ms"][name] for name in ("p50", "p90", "p99")),
        real_s,
    )


def show(clock: str, rows: list[Row]) -> None:
    print(f"\n{clock} clock, monday-spike, seed {SEED}")
    print(
        f"{'':24}{'cold':>6}{'failed':>8}{'init p50':>10}{'p90':>8}{'latency p50':>13}{'p90':>8}{'p99':>8}{'real s':>8}"
    )
    for row in rows:
        print(
            f"{row.condition:24}{row.cold:>6}{row.failed:>8}{row.init_p50:>10.0f}{row.init_p90:>8.0f}"
            f"{row.latency_p50:>13.1f}{row.latency_p90:>8.0f}{row.latency_p99:>8.0f}{row.real_s:>8.0f}"
        )
    apart = {name: spread([getattr(row, name) for row in rows]) for name in LIMITS}
    print("apart, of the smallest: " + ", ".join(f"{name} {share:.1%}" for name, share in apart.items()))


def spread(values: list[float]) -> float:
    return (max(values) - min(values)) / min(values)


def lab(pinned: list[str], folder: str, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([*pinned, *LAB, *words], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"lab {' '.join(words)}: {done.stderr}")
    return done.stdout


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    loops: list[subprocess.Popen[Any]] = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ("virtual", "wall")))

"""How late the load generator is, and what it reports when the server freezes, beside Locust's own closed loop.

    python -m tests.benchmarks.load_lateness

The server is `tests/load/server.py` (uvloop, a process of its own, answers after 2 ms); it shares the CPUs with the
load. "late" is the instant of sending minus the intended instant. The freeze is SIGSTOP for one second; both
generators then meet the same server and the same freeze. Of 4,000 arrivals 500 fall into it, and the 40 slowest are
those of its first 80 ms: the true p99 is 0.92 s.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from serverless_lab.load.follower import LoadProgress
from serverless_lab.load.runner import LoadResult, run_load, run_locustfile
from serverless_lab.load.samples import read
from serverless_lab.scenario import Scenario, load_scenario, parse_document
from tests.load.server import ServerProcess

MIX = [{"request": "POST /events", "body": {"id": {"$uuid": True}, "kind": {"$choice": ["a", "b"]}}}]
SECONDS = 8
FREEZE_RATE = 500
CLOSED_LOOP = """
from locust import FastHttpUser, constant, task

class Closed(FastHttpUser):
    wait_time = constant(0)

    @task
    def post(self):
        self.client.post("/events", json={"id": 1})
"""


def poisson(rate: float) -> Scenario:
    phases = [{"duration": f"{SECONDS}s", "rate": rate}]
    return parse_document({"name": f"rate-{rate:g}", "phases": phases, "mix": MIX}, "benchmark")


def measure(scenario: Scenario, processes: int, freeze: bool = False) -> tuple[LoadResult, float]:
    """The run and the p99.9 of its lateness."""
    server = ServerProcess()
    frozen = threading.Event()

    def watch(progress: LoadProgress) -> None:
        if freeze and progress.elapsed_ms > 2000 and not frozen.is_set():
            frozen.set()
            freeze_for_a_second(server)

    with tempfile.TemporaryDirectory() as folder:
        try:
            result = run_load(
                scenario, base_url=server.url, run_folder=Path(folder), processes=processes, progress=watch
            )
        finally:
            server.stop()
        import numpy as np

        rows = read(Path(folder))
        late = np.asarray(rows["sent_ms"]) - np.asarray(rows["intended_ms"])
        return result, float(np.quantile(late, 0.999))


def freeze_for_a_second(server: ServerProcess) -> None:
    os.kill(server.process.pid, signal.SIGSTOP)
    threading.Timer(1.0, os.kill, (server.process.pid, signal.SIGCONT)).start()


def measure_locust(users: int) -> LoadResult:
    """Locust's FastHttpUser with `users` users against the same server and the same freeze."""
    server = ServerProcess()
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "closed.py"
        own.write_text(CLOSED_LOOP)
        threading.Timer(3.0, freeze_for_a_second, (server,)).start()
        try:
            return run_locustfile(
                own, base_url=server.url, run_folder=Path(folder), users=users, spawn_rate=users, run_time_s=SECONDS
            )
        finally:
            server.stop()


def others() -> str:
    """How busy the CPUs are with something else, just before a run: lateness on a busy machine is the machine's."""
    import psutil

    return f"{psutil.cpu_percent(interval=0.5):5.0f} %"


def line(busy: str, label: str, result: LoadResult, late_p999: float | None) -> str:
    latency, late = result.latency_ms, result.late_ms
    rate = result.sent / (result.duration_ms / 1000)
    cells = [f"{label:38}", f"{result.sent:7d}", f"{rate:7.0f}"]
    cells += [f"{late[name]:7.1f}" if late else f"{'':7}" for name in ("p50", "p99")]
    cells += [f"{late_p999:7.1f}" if late_p999 is not None else f"{'':7}"]
    cells += [f"{latency[name]:7.1f}" if name in latency else f"{'':7}" for name in ("p50", "p90", "p99", "max")]
    return " ".join([*cells, f"{busy:>7}"])


def main() -> int:
    print(
        f"{'':38} {'sent':>7} {'per s':>7} {'late':>7} {'ms':>7} {'':7} {'latency':>7} {'ms':>7} {'':15} {'others':>7}"
    )
    print(
        f"{'':38} {'':7} {'':7} {'p50':>7} {'p99':>7} {'p99.9':>7} "
        f"{'p50':>7} {'p90':>7} {'p99':>7} {'max':>7} {'before':>7}"
    )
    missed = []
    for rate, processes in ((500, 1), (1000, 1), (3000, 1), (3000, 2)):
        busy = others()
        result, late_p999 = measure(poisson(rate), processes)
        print(line(busy, f"Poisson {rate}/s, {processes} process(es)", result, late_p999), flush=True)
        if result.late_ms["p99"] > 3:
            missed.append(f"{rate}/s with {processes}: p99 {result.late_ms['p99']:.1f} ms late, wanted 3")
    busy = others()
    result, late_p999 = measure(poisson(FREEZE_RATE), 1, freeze=True)
    print(line(busy, f"Poisson {FREEZE_RATE}/s, server frozen for 1 s", result, late_p999), flush=True)
    if not 850 < result.latency_ms["p99"] < 1050:
        missed.append(f"freeze: p99 {result.latency_ms['p99']:.0f} ms, wanted about 950")
    busy = others()
    print(line(busy, "Locust's closed loop, 2 users, same freeze", measure_locust(2), None), flush=True)
    spike = load_scenario("monday-spike")
    short = parse_document(
        {**spike.document, "phases": [{**spike.document["phases"][0]}, {"duration": "5s", "count": 360}]}, "benchmark"
    )
    busy = others()
    result, late_p999 = measure(short, 1)
    print(line(busy, "monday-spike in 5 s: 140 at once + 360", result, late_p999))
    for sentence in missed:
        print("missed:", sentence)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

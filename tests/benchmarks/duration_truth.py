"""Are durations those of a single, idle run, whatever the host does? Known work, on one core, two, and a busy host.

Functions that compute for a known while, that sleep, and that do both are invoked many at once, and so are cold starts
of the bundled handler in both init styles. Each median is compared with that of the same work done alone on an idle
host, in the same run. `python -m tests.benchmarks duration_truth` takes about three minutes and returns 1 when a median
is off by more than 5 %, or what the lazy init gains by more than 10 %.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from serverless_lab.project import Project
from serverless_lab.report_line import ReportLine, parse
from tests.benchmarks.host_independence import CONDITIONS, Condition, busy_loops, lab
from tests.emulator.conftest import Emulator

WORK = """
import time

def compute():
    found = 0
    for number in range({steps}):
        found = (found * 31 + number) % 1_000_003
    return found

def handler(event, context):
    {body}
"""
STEPS = 1_500_000
FUNCTIONS = {
    "computes": "return compute()",
    "sleeps": "time.sleep(0.25)",
    "computes-and-sleeps": "compute(); time.sleep(0.25)",
}
AT_ONCE = 8
INVOCATIONS = 24
COLD_STARTS = 12
TOLERANCE = 0.05
GAIN_TOLERANCE = 0.10
STYLES = ("eager", "lazy")


def main() -> int:
    alone = measure(Condition("alone", os.cpu_count() or 1, 0), at_once=1)
    conditions = [condition for condition in CONDITIONS if condition.cores <= (os.cpu_count() or 1)]
    rows = [(condition.name, measure(condition, at_once=AT_ONCE)) for condition in conditions]
    print(f"median ms, and how far from alone; {AT_ONCE} at once")
    print(f"{'':24}" + "".join(f"{name:>24}" for name in alone))
    print(f"{'alone':24}" + "".join(f"{value:>24.1f}" for value in alone.values()))
    missed = 0
    for condition, found in rows:
        off = {name: found[name] / alone[name] - 1 for name in alone}
        print(f"{condition:24}" + "".join(f"{found[name]:>15.1f} {off[name]:>+8.1%}" for name in alone))
        missed += sum(
            abs(share) > (GAIN_TOLERANCE if name == "lazy gains" else TOLERANCE) for name, share in off.items()
        )
    print("all within the tolerance" if not missed else f"{missed} beyond the tolerance")
    return 1 if missed else 0


def measure(condition: Condition, at_once: int) -> dict[str, float]:
    """Median Duration of each function, and Init Duration of each init style, in ms."""
    with running(condition) as (emulator, pinned, folder), busy_loops(condition.busy_loops):
        found = {}
        for name, body in FUNCTIONS.items():
            emulator.create(name, WORK.format(steps=STEPS, body=body), MemorySize=1769, Timeout=60)
            found[name] = median_of(emulator, name, INVOCATIONS, at_once, lambda report: report.duration_ms)
        for style in STYLES:
            lab(pinned, folder, "deploy", "--stack", style, "--parameter", f"InitStyle={style}")
            name = f"{style}-ingest-event"
            # All at once: each gets an environment of its own.
            found[style] = median_of(
                emulator,
                name,
                COLD_STARTS,
                COLD_STARTS if at_once > 1 else 1,
                lambda report: report.init_duration_ms,
                recycle=at_once == 1,
            )
        found["lazy gains"] = found["eager"] - found["lazy"]
        return found


def median_of(
    emulator: Emulator,
    name: str,
    count: int,
    at_once: int,
    value: Callable[[ReportLine], float | None],
    *,
    recycle: bool = False,
) -> float:
    """Of the times that the log has of `count` invocations. `recycle`: each one in an environment of its own."""
    client = emulator.client("lambda")

    def invoke(number: int) -> None:
        if recycle:
            client.update_function_configuration(FunctionName=name, Description=f"run {number}")
        answer = client.invoke(
            FunctionName=name, Payload=json.dumps({"source": "warming", "action": "ping"}), LogType="None"
        )
        assert "FunctionError" not in answer, answer["Payload"].read()

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(invoke, range(count)))
    pages = emulator.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
    reports = [parse(event["message"]) for page in pages for event in page["events"]]
    times = [value(report) for report in reports if isinstance(report, ReportLine)]
    return statistics.median(time for time in times if time is not None)


@contextmanager
def running(condition: Condition) -> Iterator[tuple[Emulator, list[str], str]]:
    """An emulator on so many cores, how to run more there, and its folder."""
    pinned = ["taskset", "-c", ",".join(map(str, range(condition.cores)))]
    with tempfile.TemporaryDirectory(prefix="duration-truth-") as folder:
        lab(pinned, folder, "up")
        try:
            status = json.loads(lab(pinned, folder, "status", "--json"))["emulator"]
            yield Emulator(Project(Path(folder)), status), pinned, folder
        finally:
            lab(pinned, folder, "down")

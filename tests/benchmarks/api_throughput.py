"""Requests per second through API Gateway and Lambda: the embedded emulator beside MiniStack with its own executor.

    python -m tests.benchmarks api_throughput

Like `ab -n 3000 -c 20` (and with it, where it is installed), on POST /events of the bundled stack, lazy init, and on a
handler that does nothing. The same stacks are deployed on both with `lab deploy`; environments are warm when the
measurement begins. Client, emulator and functions share the CPUs, so only the ratio says something beyond this machine.
"overhead" is for one client: the median latency of a request less the median Duration of its REPORT lines.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httptools

from tests.cli.conftest import HELLO, Lab
from tests.conftest import MiniStackProcess

REQUESTS = 3000
AT_ONCE = 20
WARMING = 200
ALONE = 200
EVENT = {"userId": "user-1", "eventType": "click", "timestamp": "2026-01-01T00:00:00Z", "properties": {"path": "/"}}
DURATION = re.compile(r"^REPORT .*?\tDuration: ([0-9.]+) ms")
HEADING = f"{'':<24}{'req/s':>8}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}{'alone p50':>12}{'overhead ms':>13}"


@dataclass(frozen=True)
class Throughput:
    """A measurement; `failed` counts requests without an answer and answers other than 2xx."""

    per_second: float
    latency_ms_p50: float
    latency_ms_p99: float
    failed: int
    alone_ms: float = float("nan")
    overhead_ms: float = float("nan")


@dataclass(frozen=True)
class Work:
    """A function behind an API: what to send where, and how to read its log."""

    url: str
    body: bytes | None
    log_group: str
    logs: Any


def with_ab(work: Work, requests: int, folder: Path) -> Throughput:
    table = folder / "percentages.csv"
    command = ["ab", "-q", "-l", "-n", str(requests), "-c", str(AT_ONCE), "-s", "60", "-e", str(table)]
    if work.body is not None:
        (folder / "body").write_bytes(work.body)
        command += ["-p", str(folder / "body"), "-T", "application/json"]
    told = subprocess.run([*command, work.url], capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"^([A-Z][^:]+):\s+([0-9.]+)", told, re.MULTILINE))
    ms = {key: float(value) for key, value in (row.split(",") for row in table.read_text().splitlines()[1:])}
    failed = int(found["Failed requests"]) + int(found.get("Non-2xx responses", 0))
    return Throughput(float(found["Requests per second"]), ms["50"], ms["99"], failed)


def with_asyncio(work: Work, requests: int, folder: Path) -> Throughput:
    """The same without `ab`: a connection for each request, twenty at a time."""
    return asyncio.run(_send_all(work, requests))


async def _send_all(work: Work, requests: int) -> Throughput:
    left = iter(range(requests))
    latencies: list[float] = []
    failed = 0

    async def client() -> None:
        nonlocal failed
        for _ in left:
            begin = time.perf_counter()
            try:
                status = await asyncio.wait_for(_send(work), 60)
            except (OSError, TimeoutError, httptools.HttpParserError):
                status = 0
            latencies.append((time.perf_counter() - begin) * 1000)
            failed += not 200 <= status < 300

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    seconds = time.perf_counter() - begin
    ranked = sorted(latencies)
    return Throughput(requests / seconds, ranked[len(ranked) // 2], ranked[len(ranked) * 99 // 100], failed)


async def _send(work: Work) -> int:
    parts = urlsplit(work.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    body = work.body or b""
    method = "GET" if work.body is None else "POST"
    head = f"{method} {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    try:
        writer.write(head.encode() + body)
        parser = httptools.HttpResponseParser(None)
        while data := await reader.read(65536):
            parser.feed_data(data)
        return int(parser.get_status_code())
    finally:
        writer.close()


def alone(work: Work) -> tuple[float, float]:
    """Requests one after the other: their median milliseconds, and what the function's own Duration does not explain.

    MiniStack's Duration holds its own waiting for a worker, so the first figure is the one to compare.
    """
    latencies = []
    parts = urlsplit(work.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)  # kept alive: connecting is not the emulator's
    for _ in range(ALONE):
        begin = time.perf_counter()
        headers = {"content-type": "application/json"}
        connection.request("GET" if work.body is None else "POST", parts.path, work.body, headers)
        connection.getresponse().read()
        latencies.append((time.perf_counter() - begin) * 1000)
    connection.close()
    pages = work.logs.get_paginator("filter_log_events").paginate(logGroupName=work.log_group)
    events = sorted((event for page in pages for event in page["events"]), key=lambda event: event["timestamp"])
    durations = [float(found[1]) for event in events if (found := DURATION.match(event["message"]))][-ALONE:]
    return statistics.median(latencies), statistics.median(latencies) - statistics.median(durations)


def measure(work: Work) -> Throughput:
    """Overhead of one client first, on warm environments; then everybody at once."""
    send: Callable[[Work, int, Path], Throughput] = with_ab if shutil.which("ab") else with_asyncio
    with tempfile.TemporaryDirectory() as folder:
        send(work, WARMING, Path(folder))
        alone_ms, overhead_ms = alone(work)
        found = send(work, REQUESTS, Path(folder))
    return Throughput(found.per_second, found.latency_ms_p50, found.latency_ms_p99, found.failed, alone_ms, overhead_ms)


def deploy(lab: Lab, target: str, template: Path | None, path: str, body: bytes | None) -> Work:
    """Deploy a stack under its own name, and say where its first function is reached."""
    name = "trivial" if template else "bundled"
    words = ["deploy", "--target", target, "--stack", name, "--json"]
    words += ["--template", str(template)] if template else ["--parameter", "InitStyle=lazy"]
    found = lab(*words).json
    function = next(item for item in found["functions"] if item["logical_id"] in ("IngestEvent", "HelloFunction"))
    logs = boto3.client(
        "logs",
        endpoint_url=found["endpoint_url"],
        region_name=found["region"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    return Work(f"{found['api_url']}{path}", body, function["log_group"], logs)


def compare(lab: Lab, target: str) -> dict[str, Throughput]:
    """Both handlers on one target, the realistic one first: `lab deploy` begins with the bundled template."""
    found = {"POST /events": measure(deploy(lab, target, None, "/events", json.dumps(EVENT).encode()))}
    found["trivial handler"] = measure(deploy(lab, target, HELLO, "/hello", None))
    return found


def help_ms(lab: Lab) -> float:
    """`lab --help`, the median of ten with a warm cache."""
    times = []
    for _ in range(11):
        begin = time.perf_counter()
        lab("--help")
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times[1:])


def main() -> int:
    """0 when nothing failed on the embedded emulator and it was ahead of MiniStack."""
    client = "ab" if shutil.which("ab") else "asyncio client"
    print(
        f"{client}, {REQUESTS} requests, {AT_ONCE} at a time; Python {platform.python_version()}, {os.cpu_count()} CPUs"
    )
    with tempfile.TemporaryDirectory() as folder:
        labs = [Lab(Path(folder) / name) for name in ("embedded", "ministack")]
        for lab in labs:
            lab.directory.mkdir()
        try:
            # Real time, because that is what this measures: the virtual clock lets one job a core execute.
            labs[0]("up", "--clock", "wall")
            ours = compare(labs[0], "local")
        finally:
            labs[0].end()
        peer = MiniStackProcess(Path(folder))
        try:
            peer.wait_until_ready()
            labs[1].variables["AWS_ENDPOINT_URL"] = peer.endpoint
            theirs = compare(labs[1], "localstack")
        finally:
            peer.stop()
        print(HEADING)
        for name in ours:
            print(name)
            for who, found in (("embedded emulator", ours[name]), ("MiniStack", theirs[name])):
                print(
                    f"  {who:<22}{found.per_second:>8.0f}{found.latency_ms_p50:>9.1f}{found.latency_ms_p99:>9.1f}"
                    f"{found.failed:>8}{found.alone_ms:>12.2f}{found.overhead_ms:>13.2f}"
                )
            print(f"  {'ratio':<22}{ours[name].per_second / theirs[name].per_second:>8.2f}")
        print(f"lab --help: {help_ms(labs[0]):.0f} ms")
    ahead = all(ours[name].per_second > theirs[name].per_second for name in ours)
    return 0 if ahead and not any(found.failed for found in ours.values()) else 1

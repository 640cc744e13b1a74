"""Runs in virtual time: a Locust process, an emulator with the virtual clock, functions in it, all real.

The functions sleep: that takes virtual time and next to no CPU, so the numbers hold on a busy machine.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.emulator import control
from serverless_lab.load.child import RemoteWorkers
from serverless_lab.load.follower import LoadProgress
from serverless_lab.load.manifest import RunManifest
from serverless_lab.load.runner import LoadResult, emulator_clock, run_load
from serverless_lab.project import Project
from tests.emulator.conftest import Emulator
from tests.emulator.test_sources import rest_api
from tests.load.test_distributed import Machines, machines
from tests.load.test_run import load_processes, rows, scenario

__all__ = ["machines"]

pytestmark = pytest.mark.process

SLEEPER = """
    import time
    def handler(event, context):
        time.sleep(int(event["path"].rpartition("/")[2]) / 1000)
        return {"statusCode": 200, "headers": {"Set-Cookie": "visitor=" + context.aws_request_id}, "body": "{}"}
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    project = Project(tmp_path_factory.mktemp("virtual"))
    status, _ = control.up(project, control.UpOptions(clock="virtual"))
    yield Emulator(project, status)
    control.down(project)


@pytest.fixture(scope="module")
def api(emulator: Emulator) -> str:
    return rest_api(emulator, emulator.create("sleeper", SLEEPER, Timeout=30))


@pytest.fixture(autouse=True)
def nothing_is_left(emulator: Emulator) -> Iterator[None]:
    """Whatever happens to a run, no generator stays behind to hold time."""
    yield
    assert clock_of(emulator)["generators"] == []


def clock_of(emulator: Emulator) -> dict[str, Any]:
    with urllib.request.urlopen(f"{emulator.url}/_lab/clock", timeout=5) as answer:
        said: dict[str, Any] = json.load(answer)
    return said


MIX = [{"request": "GET /50"}]


def send(api: str, folder: Path, *, processes: int = 1, progress: Any = None, **keys: Any) -> LoadResult:
    folder.mkdir(exist_ok=True)
    keys.setdefault("mix", MIX)
    return run_load(
        scenario(**keys), base_url=api, run_folder=folder, processes=processes, virtual=True, progress=progress
    )


def test_the_emulator_says_which_clock_it_keeps(emulator: Emulator) -> None:
    """So a run follows the emulator, and nobody has to say it twice. Where nobody answers, time is real."""
    assert emulator_clock(emulator.url) == "virtual"
    assert emulator_clock("http://127.0.0.1:1") == "wall"


@pytest.mark.alone
@pytest.mark.parametrize("processes", [1, 2])
def test_a_minute_after_a_weekend_is_sent_in_seconds_and_told_in_virtual_time(
    processes: int, emulator: Emulator, api: str, tmp_path: Path
) -> None:
    """Thirty at once each get an environment of their own, though only two jobs execute at a time: a cold request is
    its own init and its own 50 ms, whoever else waits for the machine."""
    steps: list[LoadProgress] = []
    began_s = time.monotonic()
    result = send(
        api,
        tmp_path / "run",
        processes=processes,
        progress=steps.append,
        quiet="62h",
        phases=[{"law": "burst", "count": 30}, {"start": "0s", "duration": "60s", "count": 40}],
    )
    real_ms = (time.monotonic() - began_s) * 1000
    assert (result.planned, result.sent, result.succeeded) == (70, 70, 70), result.problems
    assert result.complete and result.problems == ()

    found = rows(result)
    assert [row["index"] for row in found] == list(range(70))
    assert all(row["sent_ms"] == row["intended_ms"] for row in found)
    burst = [row for row in found if row["phase"] == "phase 1"]
    assert len({row["environment_id"] for row in burst}) == 30
    # Served one after the other they would take 750 ms and more.
    assert all(50 <= row["latency_ms"] < 450 for row in burst)
    warm = [row["latency_ms"] for row in found if row["phase"] == "phase 2"]
    assert sorted(warm)[20] < 75

    last_ms = max(row["intended_ms"] + row["latency_ms"] for row in found)
    assert result.duration_ms == pytest.approx(last_ms) and 50_000 < last_ms < 60_500
    assert 0 < result.real_duration_ms < real_ms < result.duration_ms
    manifest = RunManifest.read(result.run_folder)
    assert manifest.clock == "virtual"
    assert manifest.ended_at_ms == pytest.approx(manifest.started_at_ms + last_ms, abs=1)
    assert steps[-1].finished == 70 and steps[-1].elapsed_ms == pytest.approx(last_ms, abs=1)

    reports = {report.request_id for report in emulator.reports("sleeper")}
    assert {row["request_id"] for row in found} <= reports

    # Locust's own files speak of the same minute.
    with (result.run_folder / "locust_stats.csv").open() as file:
        total = list(csv.DictReader(file))[-1]
    assert (total["Request Count"], total["Failure Count"]) == ("70", "0")
    assert float(total["Requests/s"]) == pytest.approx(70 / last_ms * 1000, rel=0.01)
    assert float(total["Max Response Time"]) == pytest.approx(result.latency_ms["max"])
    with (result.run_folder / "locust_stats_history.csv").open() as file:
        history = list(csv.DictReader(file))
    seconds = [int(line["Timestamp"]) for line in history]
    assert seconds[0] - manifest.started_at_ms // 1000 in (0, 1, 2)
    assert 50 <= seconds[-1] - seconds[0] <= 60 and len(history) == pytest.approx(last_ms / 1000, abs=2)
    assert history[-1]["Total Request Count"] == "70"


def test_workers_that_somebody_else_starts_send_the_scenario_in_virtual_time_too(
    api: str,
    machines: Machines,
    tmp_path: Path,
) -> None:
    """Each arrival once, at its instant, whoever sends it: time goes on when all of them have promised their next."""
    what = scenario(quiet="62h", phases=[{"law": "burst", "count": 6}, {"duration": "60s", "count": 30}], mix=MIX)
    found = []
    for folder, remote in (("alone", None), ("together", RemoteWorkers(2, machines.port))):
        (tmp_path / folder).mkdir()
        workers = [machines.start("--worker-wait", "60") for _ in range(remote.count)] if remote else []
        result = run_load(what, base_url=api, run_folder=tmp_path / folder, virtual=True, remote=remote)
        assert (result.planned, result.sent, result.succeeded, result.complete) == (36, 36, 36, True), result.problems
        assert [machines.said(worker)[1]["sent"] for worker in workers] == [18] * len(workers)
        found.append([(row["index"], row["phase"], row["path"], row["intended_ms"]) for row in rows(result)])
    assert found[0] == found[1]


def test_an_answer_after_the_clients_timeout_is_a_timeout(api: str, tmp_path: Path) -> None:
    """In virtual time: how long it really took says nothing."""
    mix = [{"request": "GET /900"}]
    result = send(api, tmp_path / "run", phases=[{"law": "burst", "count": 3}], mix=mix, client_timeout="500ms")
    assert result.by_error == {"timeout after 0.5 s": 3}
    assert {(row["status_code"], row["latency_ms"]) for row in rows(result)} == {(None, 500.0)}
    with (result.run_folder / "locust_failures.csv").open() as file:
        assert [line["Occurrences"] for line in csv.DictReader(file)] == ["3"]


@pytest.mark.parametrize(("processes", "think_ms"), [(1, 0), (2, 100)])
def test_a_clients_next_request_arrives_when_the_last_was_answered(
    processes: int, think_ms: int, api: str, tmp_path: Path
) -> None:
    """Totals are exact, and each instant is an earlier end: virtual time waits for a client that thinks."""
    closed = {"clients": 4, "requests": 30, "think_time": f"{think_ms}ms"}
    result = send(api, tmp_path / "run", processes=processes, **closed)
    assert (result.planned, result.sent, result.succeeded, result.complete) == (30, 30, 30, True), result.problems
    found = rows(result)
    assert sorted(row["index"] for row in found) == list(range(30))
    instants = sorted(row["intended_ms"] for row in found)
    assert instants[:4] == [0.0] * 4 < instants[4:5]
    ends = [row["intended_ms"] + row["latency_ms"] + think_ms for row in found]
    assert all(min(abs(end_ms - at_ms) for end_ms in ends) < 0.002 for at_ms in instants[4:])


def test_a_sessions_next_step_follows_the_end_of_the_one_before(api: str, tmp_path: Path) -> None:
    """Think times pass in virtual time, requests of a group arrive at one instant and end with the last of them."""
    steps = [
        {"think_time": "700ms"},
        {"parallel": [{"request": "GET /30"}, {"request": "GET /60"}]},
        {"think_time": "10s"},
        {"parallel": [{"request": "GET /90"}, {"request": "GET /40"}, {"request": "GET /40"}]},
        {"request": "GET /20"},
    ]
    mix = [{"session": "visit", "steps": steps}]
    result = send(api, tmp_path / "run", processes=2, phases=[{"duration": "5s", "count": 7}], mix=mix)
    assert (result.planned, result.succeeded, result.complete) == (42, 42, True), result.problems
    for index in range(7):
        own = [row for row in rows(result) if row["index"] == index]
        times = sorted({row["intended_ms"] for row in own})
        groups = [[row for row in own if row["intended_ms"] == at_ms] for at_ms in times]
        assert [len(group) for group in groups] == [2, 3, 1]
        ends = [max(row["intended_ms"] + row["latency_ms"] for row in group) for group in groups]
        assert times[1:] == pytest.approx([ends[0] + 10_000, ends[1]], abs=0.002)


def test_an_interrupted_run_lets_the_emulator_go_on(emulator: Emulator, api: str, tmp_path: Path) -> None:
    told = threading.Event()

    def stop(progress: LoadProgress) -> None:
        if progress.finished and not told.is_set():
            told.set()
            os.kill(os.getpid(), signal.SIGINT)

    # Every request waits for the one before: there is always something left.
    result = send(api, tmp_path / "run", clients=1, requests=5000, progress=stop)
    assert result.interrupted and not result.complete and 0 < result.sent < 5000
    assert not RunManifest.read(result.run_folder).complete
    assert send(api, tmp_path / "next", phases=[{"law": "burst", "count": 2}]).complete


def test_requests_under_way_when_a_run_is_interrupted_have_their_rows(
    emulator: Emulator, api: str, tmp_path: Path
) -> None:
    """No answer has told of the burst's instant yet, and still it has arrived: its invocations are in the log."""
    told = threading.Event()

    def stop(progress: LoadProgress) -> None:
        at_work = clock_of(emulator)["actors"]
        if progress.finished == 1 and at_work["running"] >= 5 and not told.is_set():
            told.set()
            os.kill(os.getpid(), signal.SIGINT)

    phases = [
        {"law": "burst", "count": 1},
        {"law": "burst", "start": "10s", "count": 5},
        {"law": "burst", "start": "30s", "count": 3},
    ]
    result = send(api, tmp_path / "run", mix=[{"request": "GET /5000"}], phases=phases, progress=stop)
    assert result.interrupted and (result.sent, result.succeeded) == (6, 1), result.problems
    stopped = [(row["intended_ms"], row["sent_ms"], row["error"]) for row in rows(result) if row["sent_ms"] is not None]
    assert sorted(stopped)[1:] == [(10_000.0, 10_000.0, "stopped before a response")] * 5


def test_a_killed_load_process_is_dropped_and_its_run_told_as_lost(
    emulator: Emulator, api: str, tmp_path: Path
) -> None:
    """Nobody can say goodbye after SIGKILL: the emulator waits for ten seconds and goes on without it."""
    killed = threading.Event()

    def kill(progress: LoadProgress) -> None:
        if progress.finished and not killed.is_set():
            killed.set()
            os.kill(max(load_processes(tmp_path / "run")), signal.SIGKILL)

    result = send(api, tmp_path / "run", clients=2, requests=120, processes=2, progress=kill)
    assert killed.is_set() and not result.complete and not result.interrupted
    assert any("went on without this run" in problem for problem in result.problems)
    assert len(clock_of(emulator)["lost"]) == 1
    assert send(api, tmp_path / "next", phases=[{"law": "burst", "count": 2}]).complete

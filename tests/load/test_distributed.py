"""A load that several machines send together: here they are processes that know nothing of each other but a port."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab import __version__
from serverless_lab.errors import BadInput, LoadError
from serverless_lab.load.child import RemoteWorkers
from serverless_lab.load.follower import LoadProgress
from serverless_lab.load.manifest import RunManifest
from serverless_lab.load.outlet import RowsOfOthers
from serverless_lab.load.plan import Plan, schedule_digest
from serverless_lab.load.remote_clock import Reading, offset
from serverless_lab.load.runner import LoadResult, run_load
from serverless_lab.scenario import Scenario, parse_document
from tests.cli.conftest import wait_until
from tests.conftest import free_port
from tests.load.server import ServerProcess
from tests.load.test_run import seen

SECRET = "a header that only the worker knows"


def scenario(count: int, duration: str) -> Scenario:
    return parse_document(
        {
            "name": "shared",
            "description": "sent by several machines",
            "seed": 4,
            "client_timeout": "5s",
            "phases": [{"name": "all", "law": "poisson", "duration": duration, "count": count}],
            "mix": [
                {"request": "POST /events", "weight": 3, "body": {"n": {"$index": True}}},
                {"request": "GET /status/200", "weight": 1},
            ],
        },
        "shared.yaml",
    )


@dataclass
class Machines:
    """`lab load --worker`, each in a directory of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str) -> subprocess.Popen[str]:
        home = self.folder / f"machine-{len(self.started)}"
        home.mkdir()
        command = [sys.executable, "-m", "serverless_lab.cli.main", "load", "--worker"]
        process = subprocess.Popen(
            [*command, "--master-port", str(self.port), "--json", *words],
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def said(self, process: subprocess.Popen[str]) -> tuple[int, Any, str]:
        out, err = process.communicate(timeout=60)
        return process.returncode, json.loads(out) if out else None, err

    def end(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    made = Machines(tmp_path)
    yield made
    made.end()


def send(
    what: Scenario,
    server: ServerProcess,
    folder: Path,
    remote: RemoteWorkers | None,
    progress: Callable[[LoadProgress], None] | None = None,
) -> LoadResult:
    folder.mkdir()
    return run_load(what, base_url=server.url, run_folder=folder, remote=remote, progress=progress)


def requests(folder: Path) -> list[tuple[Any, ...]]:
    """What was due, and when."""
    table = pq.read_table(folder / "requests.parquet", columns=["index", "phase", "name", "path", "intended_ms"])
    return sorted(tuple(row.values()) for row in table.to_pylist())


@pytest.mark.process
def test_what_the_workers_send_together_is_the_scenario(
    server: ServerProcess, machines: Machines, tmp_path: Path
) -> None:
    """Every arrival once, at its instant, and all rows in one run folder, as if one machine had sent them.

    A worker more than was asked for is turned away. What a worker is told to send along stays between it and the API.
    """
    what = scenario(count=120, duration="3s")
    alone = send(what, server, tmp_path / "alone", None)
    started = [machines.start("--header", f"X-Secret={SECRET}", "--worker-wait", "30") for _ in range(3)]
    together = send(what, server, tmp_path / "together", RemoteWorkers(2, machines.port))
    assert (together.planned, together.sent, together.succeeded) == (120, 120, 120)
    assert together.complete
    assert requests(together.run_folder) == requests(alone.run_folder)
    assert together.duration_ms < 10_000  # of the run, whatever the waiting for workers took

    answers = sorted((machines.said(process) for process in started), key=lambda answer: answer[0])
    assert [code for code, *_ in answers] == [0, 0, 1]
    assert [(said["sent"], said["shares"]) for _, said, _ in answers[:2]] == [(60, 1), (60, 1)]
    # On a busy machine the third may come when all is over.
    assert re.search("the run has its 2 workers|no master answered", answers[2][2])

    manifest = RunManifest.read(together.run_folder)
    assert manifest.processes == 2
    assert sorted(worker["index"] for worker in manifest.workers) == [0, 1]
    for worker in manifest.workers:  # the same clock, read over a socket
        assert abs(worker["clock_offset_ms"]) <= worker["round_trip_ms"] / 2 + 1
    assert sum(SECRET in lines for lines in seen(server)["headers"]) == 120
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.process
def test_a_worker_that_dies_leaves_the_rest_of_the_run(
    server: ServerProcess, machines: Machines, tmp_path: Path
) -> None:
    """The others send their shares to the end; the run says whose part is missing, and is not complete."""
    doomed, living = machines.start(), machines.start()
    killed: list[int] = []

    def kill(progress: LoadProgress) -> None:
        if not killed and progress.finished > 10:
            killed.append(doomed.pid)
            family = psutil.Process(doomed.pid).children(recursive=True)
            for process in family:
                os.kill(process.pid, signal.SIGKILL)

    result = send(scenario(400, "4s"), server, tmp_path / "run", RemoteWorkers(2, machines.port), kill)
    assert killed
    assert not result.complete
    assert any("went away during the run" in problem for problem in result.problems)
    by_share = [sum(row[0] % 2 == share for row in requests(result.run_folder)) for share in (0, 1)]
    assert max(by_share) == 200
    assert 0 < min(by_share) < 200
    assert machines.said(living)[0] == 0
    assert machines.said(doomed)[0] == 1


@pytest.mark.process
def test_ctrl_c_at_the_master_ends_the_workers_and_keeps_their_rows(
    server: ServerProcess, machines: Machines, tmp_path: Path
) -> None:
    workers = machines.start("--processes", "2"), machines.start()

    def stop(progress: LoadProgress) -> None:
        if progress.finished > 10:
            os.kill(os.getpid(), signal.SIGINT)

    result = send(scenario(4000, "40s"), server, tmp_path / "run", RemoteWorkers(3, machines.port), stop)
    assert result.interrupted
    assert 10 < result.sent < 4000
    assert len({row[0] for row in requests(result.run_folder)}) == len(requests(result.run_folder)) >= result.sent
    for worker in workers:
        code, said, err = machines.said(worker)
        assert "Traceback" not in err
        assert (code, said) == (1, None), "a share that was cut short is not told as a whole one"
        sent = re.search(r"stopped the run or went away: (\d+) requests were sent until then", err)
        assert sent is not None, err
        assert int(sent[1]) < 4000


@pytest.mark.process
def test_a_worker_whose_master_is_killed_ends_and_says_how_much_it_had_sent(
    server: ServerProcess, machines: Machines, tmp_path: Path
) -> None:
    (tmp_path / "long.yaml").write_text(
        "name: long\nclient_timeout: 5s\nphases: [{duration: 300s, count: 3000}]\nmix: [{request: GET /status/200}]\n"
    )
    worker = machines.start()
    words = ["load", "--scenario", "./long.yaml", "--url", server.url, "--master", "--workers", "1"]
    master = subprocess.Popen(
        [sys.executable, "-m", "serverless_lab.cli.main", *words, "--master-port", str(machines.port)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    machines.started.append(master)
    assert wait_until(lambda: seen(server)["requests"] > 5)
    master.kill()
    code, said, err = machines.said(worker)
    assert (code, said) == (1, None)
    assert "stopped the run or went away" in err


@pytest.mark.process
def test_workers_that_do_not_come_are_not_waited_for_for_ever(server: ServerProcess, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="0 of 2 workers came within 1 s") as caught:
        send(scenario(10, "1s"), server, tmp_path / "run", RemoteWorkers(2, free_port(), wait_s=1))
    assert "lab load --worker --master-port" in (caught.value.hint or "")


def test_more_workers_than_arrivals_are_refused(server: ServerProcess, tmp_path: Path) -> None:
    """One without an arrival would be waited for and have nothing to do."""
    with pytest.raises(BadInput, match="no more than 10 arrivals for 11 workers"):
        send(scenario(10, "1s"), server, tmp_path / "run", RemoteWorkers(11, free_port()))


def test_a_worker_without_a_master_says_how_to_get_one(machines: Machines) -> None:
    code, _, err = machines.said(machines.start("--worker-wait", "1"))
    assert code == 1
    assert f"no master answered at 127.0.0.1:{machines.port} for 1 s" in err
    assert "lab load --master" in err


def plan(**changed: Any) -> Plan:
    facts = {
        "document": {"name": "x"},
        "source": "x.yaml",
        "seed": 1,
        "base_url": "http://127.0.0.1:1",
        "clock": "wall",
        "clock_url": "http://127.0.0.1:1",
        "run": "x/1",
        "workers": 2,
        "run_folder": "/somewhere/here",
        "parent": 17,
    }
    return Plan(**{**facts, **changed})


def test_a_worker_is_not_told_what_is_only_true_at_the_master() -> None:
    told = plan().for_a_worker()
    assert "/somewhere" not in json.dumps(told)
    assert Plan.from_master(told) == plan(run_folder="", parent=0)


def test_a_worker_of_another_version_does_not_send() -> None:
    with pytest.raises(LoadError, match=f"the master runs lab 0.0.1, this worker {__version__}"):
        Plan.from_master(plan(version="0.0.1").for_a_worker())


def test_schedules_that_differ_in_one_arrival_are_told_apart() -> None:
    assert schedule_digest([0, 1, 1]) == schedule_digest(iter([0, 1, 1]))
    assert len({schedule_digest(entries) for entries in ([0, 1, 1], [0, 1, 0], [0, 1], [0, 11], [])}) == 5


@pytest.mark.parametrize(("worker", "rows"), [(2, ["[]"]), (-1, ["[]"]), (0, ['{"a": 1}']), (0, ["[1"]), (0, [""])])
def test_rows_that_no_worker_of_the_run_sends_are_not_written(tmp_path: Path, worker: int, rows: list[str]) -> None:
    with pytest.raises(ValueError):
        RowsOfOthers(str(tmp_path), 2).add(worker, rows)
    assert not list(tmp_path.iterdir())


@given(
    ahead_s=st.floats(-1e5, 1e5),
    ways=st.lists(st.tuples(st.floats(0.0001, 2), st.floats(0.0001, 2)), min_size=1, max_size=9),
)
def test_a_clock_s_offset_is_right_to_half_of_the_shortest_round_trip(
    ahead_s: float, ways: list[tuple[float, float]]
) -> None:
    readings = []
    for place, (there_s, back_s) in enumerate(ways):
        asked_s = 1e6 + 10.0 * place
        readings.append(Reading(asked_s, asked_s + there_s + ahead_s, asked_s + there_s + back_s))
    found_s, round_trip_s = offset(readings)
    assert round_trip_s == pytest.approx(min(there_s + back_s for there_s, back_s in ways), abs=1e-6)
    assert abs(found_s - ahead_s) <= round_trip_s / 2 + 1e-6

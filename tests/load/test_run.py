"""Runs for real: a Locust process, a server process, the run folder between them.

No test judges the load generator's timing on a busy machine; `tests/benchmarks/load_lateness.py` measures it. What is
judged is what must hold anyway: totals, who waits for whom, what is left behind.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.errors import BadInput, LoadError
from serverless_lab.load import samples
from serverless_lab.load.follower import LoadProgress
from serverless_lab.load.manifest import RunManifest
from serverless_lab.load.runner import LoadResult, default_processes, run_load, run_locustfile
from serverless_lab.scenario import Scenario, parse_document
from tests.load.server import ServerProcess

pytestmark = pytest.mark.process
EVENTS = [{"request": "POST /events", "body": {"id": {"$uuid": True}, "n": {"$index": True}}}]


def scenario(**keys: Any) -> Scenario:
    return parse_document({"name": "test", "mix": EVENTS, **keys}, "test.yaml")


def seen(server: ServerProcess) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}/seen", timeout=5) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def rows(result: LoadResult | Path) -> list[dict[str, Any]]:
    folder = result if isinstance(result, Path) else result.run_folder
    listed: list[dict[str, Any]] = samples.read(folder).to_pylist()
    return listed


@pytest.mark.parametrize("processes", [1, 2])
def test_totals_are_exact_with_one_process_and_with_two(processes: int, server: ServerProcess, tmp_path: Path) -> None:
    """The scenario, the server, the rows, the manifest and Locust's own statistics agree to the last request."""
    spike = scenario(
        quiet="2h", phases=[{"law": "burst", "count": 60}, {"name": "rest", "duration": "1500ms", "count": 240}]
    )
    steps: list[LoadProgress] = []
    result = run_load(spike, base_url=server.url, run_folder=tmp_path, processes=processes, progress=steps.append)

    assert (result.planned, result.sent, result.succeeded, result.failed) == (300, 300, 300, 0)
    assert result.complete and not result.interrupted
    assert result.by_status == {200: 300}
    assert set(result.latency_ms) == {"p50", "p90", "p95", "p99", "max"} == set(result.late_ms)

    found = rows(result)
    assert [row["index"] for row in found] == list(range(300))
    assert [row["intended_ms"] for row in found] == sorted(row["intended_ms"] for row in found)
    assert sum(row["phase"] == "phase 1" and row["intended_ms"] == 0 for row in found) == 60
    assert all(row["sent_ms"] >= row["intended_ms"] and row["succeeded"] for row in found)
    # Latency counts from the intended instant, not from the sending, and the server takes a while.
    assert all(row["latency_ms"] > row["sent_ms"] - row["intended_ms"] for row in found)
    assert {(row["name"], row["method"], row["path"]) for row in found} == {("POST /events", "POST", "/events")}
    assert len({row["request_id"] for row in found}) == 300
    assert {row["environment_id"] for row in found} == {"environment-1"}

    at_server = seen(server)
    assert at_server["requests"] == 300
    assert sorted(json.loads(body)["n"] for body in at_server["bodies"]) == list(range(300))

    with (tmp_path / "locust_stats.csv").open() as file:
        total = list(csv.DictReader(file))[-1]
    assert (total["Name"], total["Request Count"], total["Failure Count"]) == ("Aggregated", "300", "0")
    assert "<html" in (tmp_path / "locust.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in (".jsonl", ".json")) == ["manifest.json"]

    manifest = RunManifest.read(tmp_path)
    assert manifest == result.manifest
    assert (manifest.planned, manifest.sent, manifest.complete, manifest.processes) == (300, 300, True, processes)
    assert parse_document(manifest.scenario_document, "test.yaml") == spike
    assert manifest.late_ms_max == result.late_ms["max"]
    assert any("quiet period of 2 h" in problem for problem in manifest.problems)

    last = steps[-1]
    assert (last.planned, last.due, last.sent, last.finished, last.failed, last.in_flight) == (300, 300, 300, 300, 0, 0)
    assert last.latency_ms_p99 is not None


def test_the_same_seed_sends_the_same_requests(server: ServerProcess, tmp_path: Path) -> None:
    """Whatever is compared, it was asked the same."""
    runs = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        phases = [{"duration": "200ms", "count": 30}]
        result = run_load(scenario(phases=phases), base_url=server.url, run_folder=folder, seed=5)
        assert result.manifest.seed == 5
        runs.append([row["intended_ms"] for row in rows(folder)])
    bodies = seen(server)["bodies"]
    assert runs[0] == runs[1]
    assert sorted(bodies[:30]) == sorted(bodies[30:])


def freeze(server: ServerProcess, progress: LoadProgress, done: threading.Event) -> None:
    """Stops the server's process for a second once the run is under way."""
    if progress.elapsed_ms >= 1000 and not done.is_set():
        done.set()
        os.kill(server.process.pid, signal.SIGSTOP)
        threading.Timer(1.0, os.kill, (server.process.pid, signal.SIGCONT)).start()


def test_a_frozen_server_shows_in_the_latencies_of_everyone_who_came_meanwhile(
    server: ServerProcess, tmp_path: Path
) -> None:
    """Who arrives during a stall waits for its end. Sending nothing meanwhile would hide all but a few of them."""
    frozen = threading.Event()
    result = run_load(
        scenario(phases=[{"duration": "3s", "law": "uniform", "rate": 250}]),
        base_url=server.url,
        run_folder=tmp_path,
        progress=lambda progress: freeze(server, progress, frozen),
    )
    waited = [row["latency_ms"] for row in rows(result)]
    assert result.sent == result.succeeded == 750
    # A third of the arrivals meets the freeze; those in its first 200 ms wait 800 ms or more.
    assert result.latency_ms["p99"] > 800
    assert sum(latency > 100 for latency in waited) > 120


def test_a_closed_model_hides_the_same_freeze(server: ServerProcess, tmp_path: Path) -> None:
    """Two clients at about 200 requests a second: the freeze meets two requests, and p99 does not see them."""
    frozen = threading.Event()
    result = run_load(
        scenario(clients=2, requests=500, think_time="7ms"),
        base_url=server.url,
        run_folder=tmp_path,
        progress=lambda progress: freeze(server, progress, frozen),
    )
    assert result.sent == result.succeeded == 500
    assert frozen.is_set()
    assert result.latency_ms["max"] > 800
    assert sum(row["latency_ms"] > 800 for row in rows(result)) <= 4


def test_a_closed_model_sends_exactly_its_requests_over_its_clients_connections(
    server: ServerProcess, tmp_path: Path
) -> None:
    """Like ab with keep-alive: 20 clients, 20 connections, 1,000 requests. (One more connection asks for the count.)"""
    result = run_load(scenario(clients=20, requests=1000), base_url=server.url, run_folder=tmp_path, processes=2)
    found = rows(result)
    assert sorted(row["index"] for row in found) == list(range(1000))
    assert {row["phase"] for row in found} == {"closed"}
    at_server = seen(server)
    assert at_server["requests"] == 1000
    # The check that the target is there, and the one that asks now.
    assert at_server["connections"] <= 20 + 2


def test_a_session_keeps_its_cookies_to_itself_and_its_parallel_requests_leave_at_once(
    server: ServerProcess, tmp_path: Path
) -> None:
    """Connections are shared, visitors are not: each session returns the cookies it was given, and no other."""
    steps = [
        {"request": "GET /cookie"},
        {"think_time": "20ms"},
        {"parallel": [{"request": "GET /a"}, {"request": "GET /users/{user}"}]},
    ]
    entry = {"session": "visit", "values": {"user": {"$int": [1, 9]}}, "steps": steps}
    result = run_load(
        scenario(phases=[{"duration": "300ms", "count": 25}], mix=[entry]), base_url=server.url, run_folder=tmp_path
    )
    found = rows(result)
    assert (result.planned, len(found)) == (75, 75)
    for index in range(25):
        first, *parallel = sorted(
            (row for row in found if row["index"] == index), key=lambda row: (row["intended_ms"], row["name"])
        )
        assert first["name"] == "GET /cookie"
        assert [row["name"] for row in parallel] == ["GET /a", "GET /users/{user}"]
        assert parallel[0]["intended_ms"] == parallel[1]["intended_ms"]
        assert parallel[0]["intended_ms"] >= first["intended_ms"] + first["latency_ms"] + 20 - 0.01
        assert parallel[1]["path"].startswith("/users/") and "{" not in parallel[1]["path"]
    cookies = sorted(cookie for cookie in seen(server)["cookies"] if cookie)
    assert len(cookies) == 50
    assert all(cookies.count(cookie) == 2 and cookie.count("visitor=") == 1 for cookie in cookies)


def test_statuses_and_timeouts_count_as_the_scenario_says(server: ServerProcess, tmp_path: Path) -> None:
    """A 202 may be the only right answer; a redirect is an answer; a timeout counts with the time it took."""
    mix = [
        {"request": "GET /status/503"},
        {"request": "GET /status/307"},
        {"request": "GET /status/404", "expect": 404},
        {"request": "GET /status/200", "expect": [202]},
        {"request": "GET /slow/5000"},
    ]
    result = run_load(
        scenario(client_timeout="300ms", phases=[{"law": "burst", "count": 60}], mix=mix),
        base_url=server.url,
        run_folder=tmp_path,
        extra_headers={"X-Trace": "abc"},
    )
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows(result):
        by_name.setdefault(row["name"], []).append(row)
    good = {name: {row["succeeded"] for row in group} for name, group in by_name.items()}
    assert good == {
        "GET /status/503": {False},
        "GET /status/307": {True},
        "GET /status/404": {True},
        "GET /status/200": {False},
        "GET /slow/5000": {False},
    }
    slow = by_name["GET /slow/5000"]
    assert {(row["status_code"], row["error"]) for row in slow} == {(None, "timeout after 0.3 s")}
    assert all(row["latency_ms"] >= 299 and row["request_id"] is None for row in slow)
    assert result.by_error == {"timeout after 0.3 s": len(slow)}
    assert result.succeeded + result.failed == 60
    assert any("requests failed" in problem and "status 503" in problem for problem in result.problems)
    assert all("\r\nX-Trace: abc" in head for head in seen(server)["headers"])
    # Headers may be secret: they reach the API and nothing else.
    assert b"abc" not in (tmp_path / "manifest.json").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_run_leaves_the_rows_it_has(
    number: signal.Signals, server: ServerProcess, tmp_path: Path
) -> None:
    """What was measured was paid for. The manifest says that the run is not complete."""
    program = """
import os, signal, sys
from pathlib import Path
from serverless_lab.load.runner import run_load
from serverless_lab.scenario import parse_document
document = {"name": "t", "phases": [{"duration": "60s", "rate": 100}], "mix": [{"request": "GET /"}]}
def watch(progress):
    if progress.sent >= 50:
        os.kill(os.getpid(), int(sys.argv[3]))
processes = 2 if int(sys.argv[3]) == signal.SIGTERM else 1
result = run_load(parse_document(document, "t.yaml"), base_url=sys.argv[1], run_folder=Path(sys.argv[2]),
                  processes=processes, progress=watch)
print(result.interrupted, result.complete, result.sent)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, server.url, str(tmp_path), str(int(number))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    interrupted, complete, sent = done.stdout.split()
    assert (interrupted, complete) == ("True", "False")
    manifest = RunManifest.read(tmp_path)
    assert not manifest.complete
    assert 50 <= manifest.sent == int(sent) < (manifest.planned or 0)
    assert any("interrupted" in problem for problem in manifest.problems)
    found = rows(tmp_path)
    assert sum(row["sent_ms"] is not None for row in found) == manifest.sent
    assert seen(server)["requests"] >= sum(row["status_code"] is not None for row in found)


def load_processes(run_folder: Path) -> list[int]:
    """The processes that send into `run_folder`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(run_folder).encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("processes", [1, 2])
def test_the_load_ends_with_the_process_that_asked_for_it(
    processes: int, server: ServerProcess, tmp_path: Path
) -> None:
    """A killed `lab` must not leave something behind that goes on loading an API that costs money."""
    program = """
import sys
from pathlib import Path
from serverless_lab.load.runner import run_load
from serverless_lab.scenario import parse_document
document = {"name": "t", "phases": [{"duration": "60s", "rate": 100}], "mix": [{"request": "GET /"}]}
run_load(parse_document(document, "t.yaml"), base_url=sys.argv[1], run_folder=Path(sys.argv[2]),
         processes=int(sys.argv[3]), progress=lambda progress: print(progress.sent, flush=True))
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, server.url, str(tmp_path), str(processes)], stdout=subprocess.PIPE
    ) as asking:
        assert asking.stdout is not None
        while int(asking.stdout.readline()) < 20:
            pass
        assert len(load_processes(tmp_path)) > processes - 1
        asking.kill()
    pause = threading.Event()
    for _ in range(200):
        if not load_processes(tmp_path):
            break
        pause.wait(0.1)
    assert load_processes(tmp_path) == []
    # Nobody was there to merge them, but the rows are on the disk.
    assert sum(len(path.read_text().splitlines()) for path in tmp_path.glob("rows-*.jsonl")) >= 20
    assert not RunManifest.read(tmp_path).complete


def test_a_port_that_speaks_something_else_is_told_after_the_run(tmp_path: Path) -> None:
    """It accepts connections, so only the requests can find out. Not one response: that is no result."""
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            while True:
                try:
                    connection = other.accept()[0]
                except OSError:
                    return
                connection.sendall(b"220 mail.example ESMTP\r\n")
                connection.close()

        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(LoadError, match="answered none of 3 requests"):
            run_load(
                scenario(phases=[{"law": "burst", "count": 3}]),
                base_url=f"http://127.0.0.1:{other.getsockname()[1]}",
                run_folder=tmp_path,
            )
    assert len(rows(tmp_path)) == 3


def test_a_server_that_is_not_there_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(LoadError, match=f"{url} cannot be reached") as caught:
        run_load(scenario(phases=[{"law": "burst", "count": 3}]), base_url=url, run_folder=tmp_path)
    assert caught.value.hint and "lab status" in caught.value.hint


def test_a_server_that_dies_during_the_run_leaves_rows_that_say_so(server: ServerProcess, tmp_path: Path) -> None:
    """Some requests were answered: that is a result, with errors in it, not a failure of the load generator."""

    def kill(progress: LoadProgress) -> None:
        if progress.finished >= 20:
            server.process.kill()

    result = run_load(
        scenario(phases=[{"duration": "1500ms", "law": "uniform", "count": 150}]),
        base_url=server.url,
        run_folder=tmp_path,
        progress=kill,
    )
    assert result.complete and result.planned == result.sent == 150
    assert result.succeeded >= 20
    assert result.by_error["connection refused"] > 20
    assert all((row["status_code"] is None) != (row["error"] is None) for row in rows(result))


def test_a_load_process_that_fails_shows_the_end_of_its_log(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no such luck')\n")
    monkeypatch.setattr("serverless_lab.load.runner.LOCUSTFILE", broken)
    with pytest.raises(LoadError, match="no such luck") as caught:
        run_load(scenario(phases=[{"law": "burst", "count": 3}]), base_url=server.url, run_folder=tmp_path)
    assert caught.value.hint and "locust.log" in caught.value.hint
    assert not RunManifest.read(tmp_path).complete


def test_one_of_two_processes_that_fails_ends_the_run(server: ServerProcess, tmp_path: Path) -> None:
    """The other one waits for a common start that will never come."""
    (tmp_path / "rows-1.jsonl").mkdir()
    with pytest.raises(LoadError, match="IsADirectoryError"):
        run_load(scenario(phases=[{"law": "burst", "count": 4}]), base_url=server.url, run_folder=tmp_path, processes=2)
    assert load_processes(tmp_path) == []


def test_the_load_process_gets_no_credentials(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends plain HTTP. What it does not have it cannot leak into a log, a header or a core file."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("LOCUST_RUN_TIME", "1s")
    environments: list[bytes] = []

    def look(progress: LoadProgress) -> None:
        environments.extend(Path(f"/proc/{process}/environ").read_bytes() for process in load_processes(tmp_path))

    run_load(
        scenario(phases=[{"duration": "300ms", "count": 3}]), base_url=server.url, run_folder=tmp_path, progress=look
    )
    assert environments
    assert not any(b"a-secret" in environment or b"LOCUST_" in environment for environment in environments)


def test_a_header_that_would_be_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="header `A`"):
        run_load(
            scenario(phases=[{"law": "burst", "count": 3}]),
            base_url="http://127.0.0.1:1",
            run_folder=tmp_path,
            extra_headers={"A": "b\r\nC: d"},
        )


def test_a_users_own_locustfile_runs_against_the_api(server: ServerProcess, tmp_path: Path) -> None:
    """Its totals are Locust's; that its rows cannot be joined is said."""
    own = tmp_path / "mine.py"
    own.write_text(
        "from locust import HttpUser, constant, task\n"
        "class Visitor(HttpUser):\n"
        "    wait_time = constant(0.05)\n"
        "    @task\n"
        "    def look(self):\n"
        "        self.client.get('/status/200')\n"
    )
    folder = tmp_path / "run"
    folder.mkdir()
    result = run_locustfile(own, base_url=server.url, run_folder=folder, users=2, spawn_rate=10, run_time_s=4)
    assert result.planned is None
    assert result.sent == result.succeeded > 5
    # Locust counts no request that was under way when the time was over: one for each user at most.
    assert 0 <= seen(server)["requests"] - result.sent <= 2
    assert any("cannot be joined" in problem for problem in result.problems)
    assert RunManifest.read(folder).complete
    with pytest.raises(LoadError, match=r"no locustfile `nowhere\.py`"):
        run_locustfile(Path("nowhere.py"), base_url=server.url, run_folder=folder)


def test_two_processes_are_taken_above_a_thousand_arrivals_a_second() -> None:
    slow = scenario(phases=[{"duration": "10s", "rate": 900}])
    fast = scenario(phases=[{"duration": "10s", "rate": {"from": 10, "to": 1000}}])
    assert default_processes(slow) == 1
    assert default_processes(fast) == min(2, os.cpu_count() or 1)

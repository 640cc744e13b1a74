"""`lab coldstarts report` of functions over time, on the embedded emulator and on one that lab did not start."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serverless_lab.report_line import ReportLine, render, render_start
from tests.cli.conftest import HELLO, Lab, wait_until
from tests.coldstarts.story import request_id

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A deployment that has had one run and nothing else: its whole log is that run's."""
    made = Lab(tmp_path_factory.mktemp("range"))
    made("deploy", "--template", str(HELLO), "--json")
    made("load", "--scenario", made.scenario(), "--request", "GET /hello", "--json")
    yield made
    made.end()


@pytest.mark.parametrize("way", [[], ["--insights"]])
def test_the_functions_of_the_last_deployment_are_read_in_pages_or_with_insights(loaded: Lab, way: list[str]) -> None:
    """The same command asks both APIs; the emulator has both."""
    run = loaded("coldstarts", "report", "--json").json
    told = loaded("coldstarts", "report", "--since", "1d", *way, "--json").json
    for name in ("invocations", "cold_starts", "environments_initialised"):
        assert told["total"][name] == run["total"][name], name
    assert (told["source"], told["target"]) == ("log", "local")


def test_one_function_by_its_short_name_or_its_log_group(loaded: Lab) -> None:
    deployment = json.loads((loaded.directory / ".lab" / "deployment.json").read_text())
    (used,) = [each["function"] for each in loaded("coldstarts", "report", "--json").json["functions"]]
    (function,) = [each for each in deployment["functions"] if each["name"] == used]
    for words in (
        ["--function", function["logical_id"]],
        ["--log-group", function["log_group"]],
        ["--stack", deployment["stack_name"]],
        ["--stack", deployment["stack_name"], "--function", function["name"]],
    ):
        told = loaded("coldstarts", "report", *words, "--since", "1d", "--json").json
        assert [each["function"] for each in told["functions"]] == [used]
        assert told["total"]["invocations"] == 40


def test_what_does_not_exist_is_named(loaded: Lab) -> None:
    assert "`nobody`" in loaded.refused("coldstarts", "report", "--function", "nobody").error
    assert "`elsewhere`" in loaded.refused("coldstarts", "report", "--stack", "elsewhere").error
    assert "--since" in loaded.refused("coldstarts", "report", "--since", "1h", "--until", "2h").error
    never = loaded("coldstarts", "report", "--log-group", "/aws/lambda/never").out
    assert "Never ran (no log group): never." in " ".join(never.split())


def test_options_that_do_not_go_together_are_refused(lab: Lab) -> None:
    (lab.directory / "x.log").write_text("REPORT RequestId: x\n")
    for words in (
        ["x.log", "--stack", "shop"],
        ["x.log", "--function", "a", "--function", "b"],
        ["--run", "x", "--since", "1h"],
        ["--format", "text"],
    ):
        lab.refused("coldstarts", "report", *words, code=2, hint=False)


# --- a target that goes away -----------------------------------------------------------------------------------------

SERVER = Path(__file__).parent / "slow_logs.py"
STREAM = "2026/11/24/[1]" + "a" * 32
GROUP = "/aws/lambda/orders"


class Server:
    """CloudWatch Logs in a process of its own: answers so many requests, then kills itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self, answers: int, *words: str) -> str:
        """Its URL, the same each time."""
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER), str(self.folder / "events.json"), str(self.port), str(answers), *words],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        return f"http://127.0.0.1:{self.port}"

    def requests(self) -> list[dict]:
        log = self.folder / "events.json.requests"
        return [json.loads(line) for line in log.read_text().splitlines()]

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process.stdout.close()  # type: ignore[union-attr]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.stop()


BEGAN = 1_764_000_000_000
WORDS = ["coldstarts", "report", "--target", "localstack", "--log-group", GROUP, "--json"]
WORDS += ["--since", str(BEGAN), "--until", str(BEGAN + 80_000)]


def put_eighty_invocations(server: Server) -> None:
    events = []
    for number in range(80):
        at = BEGAN + number * 1_000
        events.append({"logStreamName": STREAM, "timestamp": at, "message": render_start(request_id(number), "1")})
        line = render(ReportLine(request_id(number), 20.0, 21, 256, 80, init_duration_ms=None if number else 200.0))
        events.append({"logStreamName": STREAM, "timestamp": at + 20, "message": line})
    (server.folder / "events.json").write_text(json.dumps(events))


def read_on(lab: Lab, server: Server, where: dict[str, str]) -> None:
    """The same command reads what is missing, and nothing that was read."""
    before = server.requests()
    server.stop()
    server.start(1_000)
    told = lab(*WORDS, **where).json
    assert told["total"]["invocations"] == 80
    again = [request["startTime"] for request in server.requests()[len(before) :] if "startTime" in request]
    assert min(start for start in again if start >= BEGAN) == BEGAN + 30_000, "what was read is not read again"


def test_a_target_killed_while_its_log_is_read_costs_only_what_was_not_read(lab: Lab, server: Server) -> None:
    put_eighty_invocations(server)
    where = {"AWS_ENDPOINT_URL": server.start(13)}
    refused = lab.refused(*WORDS, **where)
    assert "reading log group /aws/lambda/orders failed" in refused.error
    assert "60 log events are kept, and the same command reads on from there" in refused.hint
    assert not list((lab.directory / ".lab").rglob(".*.gz*")), "nothing is half-written"
    read_on(lab, server, where)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_reading_that_is_stopped_or_killed_costs_only_what_was_not_read(
    lab: Lab, server: Server, number: signal.Signals
) -> None:
    put_eighty_invocations(server)
    where = {"AWS_ENDPOINT_URL": server.start(13, "stall")}
    lab.variables.update(where)
    running = lab.start(*WORDS)
    asked = server.folder / "events.json.requests"
    assert wait_until(lambda: asked.exists() and len(server.requests()) == 14, 90)
    running.send_signal(number)
    out, err = running.communicate(timeout=30)
    assert out == ""
    if number is signal.SIGINT:
        assert running.returncode == 130, err
        assert "the same command reads on" in err
    read_on(lab, server, where)

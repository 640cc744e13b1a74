"""Watching a log that is being written: nothing is read twice, nothing that arrives late is lost."""

from __future__ import annotations

import io
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.coldstarts.watch import (
    ENDED,
    GONE,
    LATE_MS,
    RUNNING,
    LogWatch,
    ends_at_ms,
    newest_run,
    run_state,
    snapshot_json,
    starts_at_ms,
)
from serverless_lab.project import Project
from serverless_lab.reporting.live import latest_cells, live_line, live_view
from serverless_lab.targets.base import Capabilities
from tests.coldstarts.story import T0, Environment

GROUPS = {"/aws/lambda/orders": "orders", "/aws/lambda/mail": "mail"}
AWS_LIKE = Capabilities(True, True, True)
STREAMS_ALONE = Capabilities(False, True, True)


class _NoSuchGroup(Exception):
    pass


@dataclass
class Logs:
    """CloudWatch Logs of which `asked` remembers from when on each group was read."""

    written: list[LogEvent] = field(default_factory=list)
    asked: list[tuple[str, int]] = field(default_factory=list)
    exceptions: Any = field(default_factory=lambda: SimpleNamespace(ResourceNotFoundException=_NoSuchGroup))

    def write(self, *environments: Environment, upto: int | None = None) -> None:
        for environment in environments:
            for event in environment.events[:upto]:
                if event not in self.written:
                    self.written.append(event)

    def filter_log_events(self, logGroupName: str, startTime: int, endTime: int, **options: Any) -> dict[str, Any]:
        self.asked.append((logGroupName, startTime))
        streams = options.get("logStreamNames")
        found = [
            {"timestamp": event.timestamp_ms, "message": event.message, "logStreamName": event.log_stream}
            for event in self.written
            if event.log_group == logGroupName
            and startTime <= (event.timestamp_ms or 0) <= endTime
            and (streams is None or event.log_stream in streams)
        ]
        return {"events": found}


def watching(logs: Logs, capabilities: Capabilities = AWS_LIKE, start_ms: int = T0) -> LogWatch:
    return LogWatch(logs, GROUPS, start_ms, capabilities)


def test_each_look_counts_what_is_new_and_the_report_has_everything():
    logs = Logs()
    first = Environment("orders").cold(1).wait(100).invoke(2)
    watcher = watching(logs)
    assert watcher.poll() == 0
    logs.write(first, upto=3)
    assert watcher.poll() == 3
    logs.write(first, Environment("mail", T0 + 50).cold(3))
    watcher.poll()
    assert watcher.poll() == 0, "nothing was written since"
    total = watcher.report({}).total
    assert (total.invocations, total.cold_starts.count, total.environments) == (3, 2, 2)


def test_an_invocation_that_has_begun_is_unfinished_until_its_report_is_there():
    logs = Logs()
    one = Environment("orders").cold(1)
    watcher = watching(logs)
    logs.write(one, upto=2)
    watcher.poll()
    assert watcher.report({}).unfinished == 1
    logs.write(one)
    watcher.poll()
    report = watcher.report({})
    assert (report.unfinished, report.total.kinds) == (0, {"cold": 1})


def test_what_arrives_late_is_seen_and_nothing_twice():
    logs = Logs()
    late = Environment("orders", T0).cold(1)
    logs.write(Environment("orders", T0 + LATE_MS - 5_000).cold(2))
    watcher = watching(logs)
    watcher.poll()
    logs.write(late)
    watcher.poll()
    watcher.poll()
    assert watcher.report({}).total.invocations == 2


def test_a_look_reads_only_the_end_of_the_log():
    """A log of hours must not be read again every two seconds."""
    logs = Logs()
    long = Environment("orders").cold(1)
    for number in range(2, 50):
        long.wait(10_000).invoke(number)
    logs.write(long)
    watcher = watching(logs)
    watcher.poll()
    logs.asked.clear()
    watcher.poll()
    assert {start for _, start in logs.asked} == {long.now - LATE_MS}


def test_events_of_one_stream_and_millisecond_are_different_events():
    logs = Logs()
    logs.write(Environment("orders").invoke(1, 0.0).invoke(2, 0.0))
    watcher = watching(logs)
    watcher.poll()
    assert watcher.report({}).total.invocations == 2


def test_what_was_before_the_watch_is_not_counted():
    logs = Logs()
    logs.write(Environment("orders", T0 - 60_000).cold(1).wait(70_000).invoke(2))
    watcher = watching(logs)
    watcher.poll()
    assert watcher.report({}).total.kinds == {"warm": 1}


@pytest.mark.parametrize("looks_before", [0, 1])
def test_an_environment_that_served_before_the_watch_is_not_taken_for_a_new_one(looks_before):
    """Where only the stream tells, its first invocation in the watch is not its first one."""
    logs = Logs()
    watcher = watching(logs, STREAMS_ALONE)
    old = Environment("orders", T0 - 60_000).invoke(1).wait(70_000).invoke(2)
    for _ in range(looks_before):
        logs.write(Environment("orders", T0).invoke(10))
        watcher.poll()
    logs.write(old)
    watcher.poll()
    kinds = watcher.report({}).total.kinds
    assert kinds == ({"warm": 1} if not looks_before else {"cold": 1, "warm": 1})


def test_a_run_that_has_ended_is_read_to_its_end():
    """The next run on the same stack is not this one's."""
    logs = Logs()
    logs.write(Environment("orders").cold(1), Environment("orders", T0 + 90_000).cold(2))
    watcher = watching(logs)
    watcher.end_ms = ends_at_ms({"ended_at_ms": T0 + 60_000})
    watcher.poll()
    assert watcher.report({}).total.invocations == 1


def test_a_group_that_is_not_there_yet_is_no_error():
    logs = Logs()
    original = logs.filter_log_events

    def missing(logGroupName: str, **options: Any) -> dict[str, Any]:
        if logGroupName == "/aws/lambda/mail":
            from botocore.exceptions import ClientError

            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "FilterLogEvents")
        return original(logGroupName=logGroupName, **options)

    from botocore.exceptions import ClientError

    logs.exceptions = SimpleNamespace(ResourceNotFoundException=ClientError)
    logs.filter_log_events = missing  # type: ignore[method-assign]
    logs.write(Environment("orders").cold(1))
    watcher = watching(logs)
    watcher.poll()
    assert watcher.report({}).total.invocations == 1


# --- runs ------------------------------------------------------------------------------------------------------------


def run(project: Project, name: str, *, plan: dict[str, Any] | None = None, **manifest: Any) -> Path:
    folder = project.runs / name
    folder.mkdir(parents=True)
    told = {"started_at_ms": T0, "ended_at_ms": None, "clock": "wall", "instance_id": "i-1", **manifest}
    (folder / "manifest.json").write_text(json.dumps(told))
    if plan is not None:
        (folder / "plan.json").write_text(json.dumps(plan))
    return folder


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


def test_the_newest_run_is_the_one_that_was_begun_last(project):
    assert newest_run(project) is None
    run(project, "20261124-090000-smooth")
    later = run(project, "20261124-100000-ab")
    (project.runs / "20261124-110000-nothing").mkdir()
    project.remember_run(project.runs / "20261124-090000-smooth")
    assert newest_run(project) == later


def test_a_run_is_running_until_its_end_is_written_or_its_sender_is_gone(project):
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert run_state(run(project, "a", plan={"parent": os.getpid()})) == RUNNING
    assert run_state(run(project, "b")) == RUNNING
    assert run_state(run(project, "c", plan={"parent": ended.pid})) == GONE
    assert run_state(run(project, "d", plan={"parent": ended.pid}, ended_at_ms=T0 + 1)) == ENDED


def test_a_run_in_virtual_time_begins_after_the_earlier_ones_of_its_emulator(project):
    """Its manifest has the wall clock's time, and the emulator's calendar is days ahead."""
    run(project, "a", clock="virtual", started_at_ms=T0 + 500_000, ended_at_ms=T0 + 900_000)
    run(project, "b", clock="virtual", ended_at_ms=T0 + 5_000_000, instance_id="another")
    running = run(project, "c", clock="virtual")
    project.remember_run(running)
    manifest = json.loads((running / "manifest.json").read_text())
    assert starts_at_ms(project, running, manifest) == T0 + 900_001
    assert starts_at_ms(project, running, {**manifest, "clock": "wall"}) == T0 - 1_000


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.fixture
def report():
    logs = Logs()
    cold = [Environment("orders", T0 + 1_000 * n).cold(n, 200.0 + n) for n in range(8)]
    logs.write(*cold, Environment("mail").restore(90.0).invoke(50, restore_duration_ms=90.0))
    watcher = watching(logs)
    watcher.poll()
    return watcher.report({"started_at_ms": T0, "run_id": "r"})


def test_a_line_has_the_answer_so_far(report):
    line = live_line(report, "running")
    assert "running: 9 invocations, cold starts 9 of 9" in line
    assert "init p50 203 max 207 ms" in line
    assert "\n" not in line


def test_the_latest_cold_starts_are_shown_the_last_one_first(report):
    cells = latest_cells(report)
    assert [row[3] for row in cells.rows] == ["207", "206", "205", "204", "203"]
    assert cells.rows[0][:3] == ["0:00:07.209", "orders", "cold"]
    assert [row[3] for row in latest_cells(report, 9).rows][-1] == "90.0", "a restore takes the init's place"


def test_the_screen_shows_functions_and_cold_starts_over_time(report):
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    console.print(live_view(report, "running"))
    text = console.export_text()
    assert "9 invocations" in text
    assert "running, run r" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith(("orders", "mail"))] == [
        "mail",
        "orders",
        "mail",
        "orders",
    ]
    assert "Cold starts over time" in text
    assert "latest cold starts" in text


def test_an_object_per_look_is_plain_data(report):
    data = json.loads(json.dumps(snapshot_json(report, "running"), allow_nan=False))
    assert (data["run_id"], data["state"], data["total"]["invocations"]) == ("r", "running", 9)
    assert [function["function"] for function in data["functions"]] == ["mail", "orders"]
    assert "distributions" not in data["functions"][0]

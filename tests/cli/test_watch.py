"""`lab coldstarts watch` beside a load that is running: it ends when the load does, or with Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.conftest import HELLO, Lab, wait_until

pytestmark = pytest.mark.process

STEADY = """
name: steady
description: long enough to be watched
seed: 3
client_timeout: 5s
phases:
  - name: all
    duration: 6s
    law: uniform
    count: 60
mix:
  - request: GET /hello
"""


@contextmanager
def running(lab: Lab, scenario: str) -> Iterator[subprocess.Popen[str]]:
    """A load in real time; the end of the block waits for its end."""
    lab("up", "--clock", "wall")
    lab("deploy", "--template", str(HELLO), "--json")
    load = lab.start("load", "--scenario", lab.scenario(scenario, "steady.yaml"))
    try:
        assert wait_until(lambda: bool(lab.emulator()["environments"]))
        yield load
    finally:
        load.communicate(timeout=90)


def test_a_watch_ends_with_the_run_and_has_seen_all_of_it(lab: Lab) -> None:
    with running(lab, STEADY):
        answer = lab("coldstarts", "watch", "--interval", "200ms", "--json")
    looks = [json.loads(line) for line in answer.out.splitlines()]
    assert len(looks) >= 3
    counts = [look["total"]["invocations"] for look in looks]
    assert counts == sorted(counts)
    assert (looks[0]["state"], looks[-1]["state"]) == ("running", "ended")
    assert looks[0]["run_id"].endswith("-steady")
    assert counts[-1] == 60
    assert looks[-1]["unfinished_invocations"] == 0
    assert "the run has ended" in answer.err
    report = lab("coldstarts", "report", "--json").json
    assert report["total"]["cold_starts"] == looks[-1]["total"]["cold_starts"]


def test_lines_are_printed_where_there_is_no_terminal_and_ctrl_c_ends_it_cleanly(lab: Lab) -> None:
    """The load goes on for longer than any machine takes to start watching it."""
    with running(lab, STEADY.replace("duration: 6s", "duration: 60s").replace("count: 60", "count: 600")) as load:
        watch = lab.start("coldstarts", "watch", "--interval", "100ms")
        assert watch.stdout is not None
        line = watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        out, err = watch.communicate(timeout=30)
        load.send_signal(signal.SIGINT)
    assert watch.returncode == 130
    assert err == ""
    assert "running: " in line
    assert "invocations, cold starts" in line
    assert "\x1b" not in line + out


def test_without_a_load_the_deployment_is_watched(lab: Lab) -> None:
    lab("deploy", "--template", str(HELLO), "--json")
    before = lab("coldstarts", "watch", "--once", "--json").json
    assert before["total"]["invocations"] == 0
    lab("invoke", "HelloFunction")
    after = lab("coldstarts", "watch", "--once", "--json").json
    assert (after["state"], after["total"]["invocations"], after["total"]["cold_starts"]["count"]) == ("running", 1, 1)
    assert after["run_id"] == ""


def test_a_run_in_virtual_time_is_watched_from_its_own_beginning(lab: Lab) -> None:
    """Earlier runs of the same emulator wrote into the same log, at times that the wall clock has not reached."""
    lab("deploy", "--template", str(HELLO), "--json")
    lab("load", "--scenario", lab.scenario(STEADY, "steady.yaml"), "--json")
    second = lab("load", "--scenario", "./steady.yaml", "--json").json
    found = lab("coldstarts", "watch", "--run", second["run_id"], "--json").out.splitlines()
    assert json.loads(found[-1])["total"]["invocations"] == 60

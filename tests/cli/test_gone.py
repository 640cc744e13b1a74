"""The emulator dies: nothing is left running, and every command says how to get back what was lost."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from tests.cli.conftest import HELLO, Lab, wait_until

pytestmark = pytest.mark.process

LONG = """
name: long
description: more requests than the emulator will live to see
seed: 3
client_timeout: 5s
phases:
  - name: all
    duration: 5s
    law: uniform
    count: 125
mix:
  - request: GET /hello
"""


def test_an_emulator_killed_in_the_middle_of_a_run_leaves_no_process_and_a_way_back(lab: Lab) -> None:
    lab("up", "--clock", "wall")  # in real time a run of five seconds has a middle
    deployment = lab("deploy", "--template", str(HELLO), "--json").json
    running = lab.start("load", "--scenario", lab.scenario(LONG, "long.yaml"))
    assert wait_until(lambda: bool(lab.emulator()["environments"]))
    emulator = psutil.Process(lab.emulator()["pid"])
    family = [emulator, *emulator.children(recursive=True)]
    assert len(family) > 2  # the guard, and an execution environment at least

    os.kill(emulator.pid, signal.SIGKILL)
    assert psutil.wait_procs(family, timeout=20)[1] == []

    out, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "Traceback" not in err
    assert "the emulator ended during run" in err
    assert "`lab deploy` brings it back" in err
    assert "long" in out  # what was measured until then is kept

    for words in (["load", "--scenario", "smooth"], ["invoke", "HelloFunction"], ["logs", "HelloFunction"]):
        answer = lab.refused(*words)
        assert "is not running any more; its state was in memory" in answer.error
        assert "`lab deploy` brings it back" in answer.hint
    report = lab.refused("coldstarts", "report")
    assert "the memory of an emulator that has ended" in report.error
    assert "`lab deploy` brings stack" in report.hint
    assert "it is gone" in lab("status").out

    # An emulator alone does not bring the deployment back, and commands tell the two apart.
    assert lab("up", "--json").json["started"] is True
    assert "was restarted" in lab.refused("load", "--scenario", "smooth").error
    assert "never read" in lab.refused("coldstarts", "report").error

    back = lab("deploy", "--json").json
    assert back["changed"] is True
    assert back["stack_name"] == deployment["stack_name"]
    lab("load", "--scenario", lab.scenario(), "--request", "GET /hello")
    assert lab("coldstarts", "report", "--json").json["total"]["invocations"] == 40

    lab("down")
    kept = lab("coldstarts", "report", "--json").json
    assert kept["source"] == "file"
    assert kept["total"]["invocations"] == 40


def test_deploy_alone_brings_everything_back_after_a_kill(lab: Lab) -> None:
    lab("deploy", "--template", str(HELLO), "--json")
    os.kill(lab.emulator()["pid"], signal.SIGKILL)
    assert lab("deploy", "--json").json["changed"] is True
    assert lab("invoke", "HelloFunction").json["statusCode"] == 200


def test_destroying_what_died_with_its_emulator_is_no_error(lab: Lab) -> None:
    lab("deploy", "--template", str(HELLO), "--json")
    os.kill(lab.emulator()["pid"], signal.SIGKILL)
    assert wait_until(lambda: lab("status", "--json").json["emulator"] is None)
    assert lab("destroy", "--json").json["existed"] is False
    assert not lab.state("deployment.json").exists()
    assert lab("down", "--json").json == {"stopped": False}


def test_ctrl_c_keeps_what_was_measured(lab: Lab) -> None:
    lab("up", "--clock", "wall")
    lab("deploy", "--template", str(HELLO), "--json")
    running = lab.start("load", "--scenario", lab.scenario(LONG, "long.yaml"))
    assert wait_until(lambda: bool(lab.emulator()["environments"]))
    running.send_signal(signal.SIGINT)
    err = running.communicate(timeout=60)[1]
    assert running.returncode == 130, err
    assert "interrupted" in err
    report = lab("coldstarts", "report", "--json").json
    assert 0 < report["total"]["invocations"] < 125

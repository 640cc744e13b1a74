"""Data on stdout, words on stderr, for every command."""

from __future__ import annotations

import json
import subprocess
import urllib.request

import boto3
import pytest

from tests.cli.conftest import Lab
from tests.cli.test_help import COMMANDS

pytestmark = pytest.mark.process

PING = '{"source": "warming", "action": "ping"}'

LOOKING = {
    "lab deploy": ["--parameter", "InitStyle=lazy"],
    "lab load": ["--scenario", "./quick.yaml", "--request", "GET /reports/daily", "--seed", "1"],
    "lab run": ["--scenario", "./quick.yaml", "--request", "GET /reports/daily", "--parameter", "InitStyle=lazy"],
    "lab invoke": ["ingest-event", "--event", PING],
    "lab logs": ["report-daily"],
    "lab up": [],
    "lab status": [],
    "lab doctor": [],
    "lab coldstarts report": [],
    "lab coldstarts schema": [],
    "lab coldstarts watch": ["--once"],
    "lab cost": ["--requests-per-month", "1000000"],
    "lab destroy": ["no-such-stack"],
    "lab down": [],
}


ELSEWHERE = {"lab compare"}
"""It has emulators of its own: what it prints is in test_compare.py."""


def test_no_command_is_forgotten_here() -> None:
    assert set(LOOKING) | ELSEWHERE == set(COMMANDS)


@pytest.mark.parametrize("name", [name for name in LOOKING if name not in ("lab down", "lab destroy")])
def test_json_is_all_there_is_on_stdout(deployed: Lab, name: str) -> None:
    answer = deployed(*name.split()[1:], *LOOKING[name], "--json")
    if name == "lab logs":  # a line per event, because a log has no end
        found = [json.loads(line) for line in answer.out.splitlines()]
        assert {"REPORT", "INIT_START"} <= {event["message"].split()[0] for event in found}
    else:
        assert isinstance(answer.json, dict)


def test_down_and_destroy_print_json_too(lab: Lab) -> None:
    lab("up", "--json")
    assert lab("destroy", "no-such-stack", "--json").json["existed"] is False
    assert lab("down", "--json").json == {"stopped": True}
    assert lab("down", "--json").json == {"stopped": False}


def test_what_another_command_can_use_is_on_stdout_and_words_are_not(deployed: Lab) -> None:
    again = deployed("deploy", "--parameter", "InitStyle=lazy")
    assert again.out.strip() == deployed("status", "--json").json["deployment"]["api_url"]
    assert "no changes" in again.err
    sent = deployed("load", *LOOKING["lab load"])
    folder = sent.out.strip()
    assert "40 of 40 requests" in sent.err
    report = deployed("coldstarts", "report", "--run", folder)
    assert "cold starts" in report.out
    assert report.err == f"HTML report: {folder}/report.html\n"
    csv = deployed("coldstarts", "report", "--csv").out.splitlines()
    assert csv[0].startswith("function,")
    assert len({line.count(",") for line in csv}) == 1


def test_invoke_prints_the_result_and_puts_the_log_on_stderr(deployed: Lab) -> None:
    answer = deployed("invoke", "ingest-event", "--event", "-", stdin=PING)
    assert answer.json == {"warmed": True}
    assert "REPORT RequestId:" in answer.err
    assert deployed("invoke", "IngestEvent", "--async", "--event", PING).out == ""


def test_a_function_that_fails_makes_invoke_fail(deployed: Lab) -> None:
    answer = deployed("invoke", "process-event", "--event", '{"Records": 7}', "--json", ok=False)
    assert answer.code == 1
    assert answer.json["function_error"] == "Unhandled"
    assert "errorMessage" in answer.json["payload"]


def test_the_shell_lines_of_status_point_sdks_at_the_emulator(deployed: Lab) -> None:
    """What `eval "$(lab status --env)"` sets is enough for a client that knows nothing else."""
    lines = deployed("status", "--env").out
    shell = subprocess.run(
        ["sh", "-c", 'eval "$1"; env', "sh", lines],
        env={"PATH": deployed.environment()["PATH"], "AWS_PROFILE": "mine"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.split("=", 1) for line in shell.stdout.splitlines() if line.startswith("AWS_"))
    assert "AWS_PROFILE" not in found
    client = boto3.client(
        "lambda",
        endpoint_url=found["AWS_ENDPOINT_URL"],
        region_name=found["AWS_DEFAULT_REGION"],
        aws_access_key_id=found["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=found["AWS_SECRET_ACCESS_KEY"],
    )
    assert len(client.list_functions()["Functions"]) == 6


def test_a_reader_that_leaves_early_is_no_error(deployed: Lab) -> None:
    words = " ".join([*deployed.command, "logs report-daily"])
    done = subprocess.run(
        ["sh", "-c", f"{words} | head -n 1"],
        cwd=deployed.directory,
        env=deployed.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_terminal_without_our_signs_gets_the_rest(deployed: Lab) -> None:
    answer = deployed("coldstarts", "report", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "cold starts" in answer.out


def test_the_api_answers_bad_bodies_with_a_reason(deployed: Lab) -> None:
    """As `curl` would: what is wrong with a body is the caller's fault, never a 500."""
    url = deployed("status", "--json").json["deployment"]["api_url"] + "/events"
    for body in (b"null", b"[]", b"{}", b"{", b'"text"', b"", b"\xff", b'{"userId": 7}'):
        request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(request, timeout=30)
        assert refusal.value.code == 400
        assert json.loads(refusal.value.read())["reason"]

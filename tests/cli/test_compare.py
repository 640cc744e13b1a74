"""`lab compare` for real: fresh emulators, interrupted and continued, and what is refused before anything starts."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import serverless_lab.compare.plain
from tests.cli.conftest import HELLO, Lab, wait_until

pytestmark = pytest.mark.process

SCHEMA = json.loads(Path(serverless_lab.compare.plain.__file__).with_name("comparison.schema.json").read_text())

SCENARIO = """
name: rush
quiet: 20m
client_timeout: 30s
phases: [{law: burst, count: 6}, {duration: 2s, count: 4}]
mix: [{request: GET /hello}]
"""

VARIANTS = """
variants:
  - name: hello
  - {name: moin, parameters: {Greeting: moin}, scenario: {phases: [{law: burst, count: 3}]}}
"""


def compare(lab: Lab, *words: str) -> list[str]:
    lab.scenario(SCENARIO, "rush.yaml")
    (lab.directory / "variants.yaml").write_text(VARIANTS)
    given = ["--scenario", "./rush.yaml", "--variants", "variants.yaml", "--template", str(HELLO), "--repeat", "1"]
    return ["compare", *given, *words]


def runs(lab: Lab) -> list[Path]:
    return sorted(lab.state("comparisons/rush/runs").glob("*/run.json"))


def bench_process(lab: Lab) -> int | None:
    """The process of the comparison's own emulator; None when there is none."""
    try:
        pid = int(json.loads(lab.state("comparisons/rush/bench/.lab/emulator.json").read_text())["pid"])
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pid


def test_a_comparison_is_stopped_goes_on_and_is_then_reported_at_once(lab: Lab) -> None:
    process = lab.start(*compare(lab))
    assert wait_until(lambda: len(runs(lab)) == 1 or process.poll() is not None, 120)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130, words
    assert "1 of 2 runs are kept; the same command goes on" in words
    assert wait_until(lambda: bench_process(lab) is None)
    so_far = lab(*compare(lab, "--report", "--json")).json
    assert [run["variant"] for run in so_far["missing"]] == ["moin"]

    answer = lab(*compare(lab, "--json"))
    assert "1 of 2 runs are there already" in answer.err
    data: dict[str, Any] = answer.json
    jsonschema.validate(data, SCHEMA)
    hello, moin = data["variants"]
    # Six at once find nothing warm; a fresh deployment has nothing of the run before.
    assert hello["measures"]["cold_rate"]["n"] == 10
    assert hello["measures"]["cold_rate"]["count"] >= 6
    assert (moin["measures"]["cold_rate"]["count"], moin["measures"]["cold_rate"]["n"]) == (3, 3)
    assert moin["parameters"] == {"Greeting": "moin"}
    assert not moin["differences"]["cold_rate"]["paired"]  # it sends other requests
    assert hello["cost"]["traffic_usd"] > 10  # ten million calls of the API alone are 35 dollars
    assert data["missing"] == []
    assert bench_process(lab) is None

    before = [path.stat().st_mtime_ns for path in runs(lab)]
    shown = lab(*compare(lab, "--html", "page.html"))
    assert [path.stat().st_mtime_ns for path in runs(lab)] == before
    # Three and three of three, and some of ten: too few for a difference.
    assert shown.out.startswith("no variant is shown to have fewer cold starts than hello")
    assert (lab.directory / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert lab("status", "--json").json == {"emulator": None, "deployment": None, "earlier": []}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--only", "moni"], "has no variant `moni`"),
        (["--variants", "gone.yaml"], "gone.yaml cannot be read"),
        (["--scenario", "./gone.yaml"], "no scenario file"),
        (["--html", "nowhere/page.html"], "there is no folder nowhere"),
        (["--report"], "has no run of this comparison"),
        (["--region", "mars-1"], "mars-1"),
        (["--template", "gone.yaml"], "gone.yaml"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_compared_is_refused_before_anything_starts(lab: Lab, words: list[str], error: str) -> None:
    answer = lab.refused(*compare(lab), *words)
    assert error in answer.error
    assert bench_process(lab) is None


def test_a_parameter_that_the_template_does_not_have_is_refused_before_anything_starts(lab: Lab) -> None:
    given = compare(lab)
    (lab.directory / "variants.yaml").write_text("variants: [{name: a, parameters: {Greetings: x}}]")
    answer = lab.refused(*given)
    assert "has no parameter `Greetings`, which variant `a` of" in answer.error
    assert "--variants FILE" in answer.hint
    assert bench_process(lab) is None

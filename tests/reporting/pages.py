"""Reports to make pages of: a run with all kinds, log files, and inputs that mean no good."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from serverless_lab.coldstarts.baseline import baseline_of, compare
from serverless_lab.coldstarts.file_reports import report_files
from serverless_lab.coldstarts.frame import SavedInvocations
from serverless_lab.coldstarts.gates import evaluate, parse_gate
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.judgement import Judgement
from serverless_lab.coldstarts.report import ColdStartReport, make_report
from tests.coldstarts.runs import manifest, requests, story
from tests.coldstarts.story import T0, Environment
from tests.coldstarts.story_files import write_logs

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"'&]]>\x00\u202e"

RUN_MANIFEST: dict[str, Any] = {
    **manifest(),
    "seed": 7,
    "planned": 7,
    "sent": 7,
    "scenario_source": "scenarios/spike.yaml",
    "scenario_document": {"description": "seven requests"},
    "versions": {"lab": "0.1.0", "locust": "2.47.0", "python": "3.11.7"},
}


def report_of(environments: list[Environment], requests: pd.DataFrame | None = None, **changes: Any) -> ColdStartReport:
    events = [event for environment in environments for event in environment.events]
    saved = SavedInvocations.from_invocations(build_invocations(events), read_at_ms=T0)
    return make_report({**manifest(), **changes}, saved, requests)


def run_report() -> ColdStartReport:
    return report_of(story(), requests())


def judged(report: ColdStartReport) -> Judgement:
    gates = [parse_gate(text) for text in ("cold_rate > 5%", "timeouts > 5", "init_p90 > 100ms")]
    return Judgement(evaluate(report, gates), compare(report, baseline_of(report, "run before"), tolerance=0.1))


def file_report(folder: Path) -> ColdStartReport:
    return report_files([write_logs(folder / "logs", story())])


def busy_story(invocations: int, *, function: str = "orders") -> list[Environment]:
    """Environments that serve so many invocations in all, a tenth of them cold."""
    found = []
    for at in range(invocations // 10):
        environment = Environment(function, T0 + at * 700).cold(at * 10, 200.0 + at % 97, 20.0 + at % 13)
        for number in range(1, 10):
            environment.wait(50 + at % 31).invoke(at * 10 + number, 5.0 + (at * 7 + number * 3) % 41)
        found.append(environment)
    return found


def embedded(page: str) -> dict[str, Any]:
    """The JSON in a page, read as a user would."""
    found = re.search(r'<script type="application/json" id="report">(.*?)</script>', page, re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data

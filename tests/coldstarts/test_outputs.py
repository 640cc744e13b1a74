"""The report as data for others: JSON as its schema says, CSV, Markdown, Parquet."""

from __future__ import annotations

import copy
import json

import pytest

from serverless_lab.coldstarts.frame import SavedInvocations
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.report import make_report
from tests.coldstarts.runs import manifest, requests, story
from tests.coldstarts.schema import problems
from tests.coldstarts.story import T0


def saved(*environments, **options) -> SavedInvocations:
    events = [event for environment in environments for event in environment.events]
    return SavedInvocations.from_invocations(build_invocations(events, **options), read_at_ms=T0 + 90_000)


@pytest.fixture(scope="module")
def data():
    report = make_report(manifest(), saved(*story()), requests(), by=("function", "version"))
    return json.loads(json.dumps(report.to_json(), allow_nan=False))


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_the_json_is_what_the_published_schema_describes(data):
    assert problems(data) == []


def test_a_report_of_nothing_and_one_that_cannot_tell_are_described_too():
    silent = {"reports_init_duration": False, "one_stream_per_environment": False}
    for told in (saved(), saved(*story(), **silent)):
        assert problems(make_report({}, told, None).to_json()) == []


def test_the_schema_refuses_what_is_not_a_report(data):
    """A schema that lets everything pass would describe nothing."""
    for path, value in (("total", None), ("schema", 2), ("source", "hearsay"), ("functions", [{}])):
        wrong = copy.deepcopy(data)
        wrong[path] = value
        assert problems(wrong), path
    wrong = copy.deepcopy(data)
    wrong["total"]["surprise"] = 1
    assert problems(wrong) == ["$.total.surprise is not in the schema"]

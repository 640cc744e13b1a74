"""The report as data for others: JSON as its schema says, CSV, Markdown, Parquet."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.coldstarts.baseline import baseline_of, compare
from serverless_lab.coldstarts.frame import SavedInvocations
from serverless_lab.coldstarts.gates import evaluate, parse_gate
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.judgement import Judgement
from serverless_lab.coldstarts.plain import dumps
from serverless_lab.coldstarts.report import ColdStartReport, make_report
from serverless_lab.reporting.junit import junit_xml
from serverless_lab.reporting.markdown import markdown_text
from serverless_lab.reporting.tables import render_report
from tests.coldstarts.runs import MAIL, ORDERS, manifest, requests, story
from tests.coldstarts.schema import problems
from tests.coldstarts.story import T0, Environment


def saved(*environments, **options) -> SavedInvocations:
    events = [event for environment in environments for event in environment.events]
    return SavedInvocations.from_invocations(build_invocations(events, **options), read_at_ms=T0 + 90_000)


@pytest.fixture(scope="module")
def report() -> ColdStartReport:
    return make_report(manifest(), saved(*story()), requests(), by=("function", "version"))


@pytest.fixture(scope="module")
def judgement(report: ColdStartReport) -> Judgement:
    """A gate that fails, one that passes for both functions, one that cannot be told, and the report beside itself."""
    gates = [parse_gate(text) for text in ("cold_rate > 5%", "*: timeouts > 1", "Mail: init_p90 > 1ms")]
    return Judgement(evaluate(report, gates), compare(report, baseline_of(report, "run <before>")), True)


@pytest.fixture(scope="module")
def data(report, judgement):
    return json.loads(json.dumps(report.to_json(judgement), allow_nan=False))


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


def test_what_the_report_was_held_against_is_in_the_json(data):
    assert [(gate["function"], gate["outcome"]) for gate in data["gates"]] == [
        (None, "failed"),
        (MAIL, "passed"),
        (ORDERS, "passed"),
        (MAIL, "untold"),
    ]
    assert data["gates"][0]["value"] == 0.375
    assert data["baseline"]["functions"][0]["function"] == MAIL
    assert data["failures"] == ["cold_rate is 37.5 % (3 of 8); fails if > 5.0 %"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_what_is_printed_is_the_same_json(value):
    assert json.loads(dumps(value)) == value


def test_lists_of_numbers_are_on_one_line():
    assert dumps({"a": [1.5, 2], "b": [{"c": []}], "d": {}}) == (
        '{\n  "a": [1.5, 2],\n  "b": [\n    {\n      "c": []\n    }\n  ],\n  "d": {}\n}'
    )


# --- CSV and Parquet -------------------------------------------------------------------------------------------------


def test_the_csv_has_the_same_numbers_as_the_json(report, data):
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert len(rows) == len(data["groups"]) == 2
    for row, group in zip(rows, data["groups"], strict=True):
        assert (row["function"], row["version"]) == (group["function"], group["version"])
        assert int(row["invocations"]) == group["invocations"]
        assert float(row["cold_start_rate"]) == group["cold_starts"]["rate"]
        assert [row["cold_start_rate_low"], row["cold_start_rate_high"]] == [
            repr(end) for end in group["cold_starts"]["rate_interval_95"]
        ]
        assert int(row["invocations_with_init"]) == group["invocations_with_init"]
        for name in ("init_ms", "duration_ms"):
            for point in ("p50", "p90", "p99", "max"):
                cell = row[f"{name}_{point}"]
                assert (float(cell) if cell else None) == group[name][point]


# --- Markdown --------------------------------------------------------------------------------------------------------


def test_markdown_says_what_the_terminal_says(report, judgement):
    text = markdown_text(report, judgement)
    assert text.startswith("## Cold starts: 8 invocations, cold starts 3 of 8, 37.5 % ")
    assert "| Orders | $LATEST | 6 | 3 | 50.0 |" in text
    for heading in ("### Gates", "### By function, version", "### Over time", "### As the client saw it", "### Notes"):
        assert f"\n{heading}\n" in text
    terminal = " ".join(render_report(report, judgement).split())
    for note in report.notes:
        assert note in terminal
        assert note.replace("_", "\\_") in text


def test_every_row_of_a_markdown_table_has_its_columns(report, judgement):
    tables = re.findall(r"(?:^\|.*\n)+", markdown_text(report, judgement), re.MULTILINE)
    assert len(tables) >= 4
    for table in tables:
        rows = table.strip().splitlines()
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert len(columns) == 1, table


def test_failed_gates_come_first_in_markdown(report, judgement):
    lines = [line for line in markdown_text(report, judgement).splitlines() if re.match(r"\| [A-Z]+ \|", line)]
    assert [line.split()[1] for line in lines] == ["FAILED", "UNTOLD", "PASSED", "PASSED"]


def test_what_a_log_holds_cannot_change_the_markdown():
    """A function can be called anything in a file, and markup in a name would be shown as markup."""
    wild = Environment("<b>*x*|[y](z)", T0).cold(1)
    text = markdown_text(make_report({}, saved(wild), None))
    assert "<b>" not in text
    assert "&lt;b&gt;\\*x\\*\\|\\[y\\](z)" in text


# --- JUnit -----------------------------------------------------------------------------------------------------------


def test_junit_has_a_case_for_each_verdict_and_counts_them(judgement):
    suites = ElementTree.fromstring(junit_xml(judgement))
    suite = suites[0]
    assert suites.attrib == {"tests": "6", "failures": "1", "errors": "1"}
    found = {case.get("name"): [child.tag for child in case] for case in suite}
    assert found["cold_rate > 5%"] == ["failure"]
    assert found["Mail: init_p90 > 1ms [" + MAIL + "]"] == ["error"]
    assert found[f"*: timeouts > 1 [{ORDERS}]"] == ["system-out"]
    assert found[ORDERS] == ["system-out"]
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "cold_rate is 37.5 % (3 of 8); fails if > 5.0 %"


def test_a_regression_is_a_failure_in_junit_only_where_it_counts():
    now = make_report({}, saved(*[Environment("f", T0 + n).cold(n, 500.0) for n in range(30)]), None)
    before = make_report({}, saved(*[Environment("f", T0 + n).cold(n, 200.0) for n in range(30)]), None)
    comparison = compare(now, baseline_of(before, "before"))
    for counts, failures in ((True, "1"), (False, "0")):
        judged = Judgement((), comparison, counts)
        assert ElementTree.fromstring(junit_xml(judged)).get("failures") == failures
        assert bool(judged.failures) is counts


@given(st.text(max_size=20), st.text(max_size=20))
def test_junit_is_xml_whatever_the_names_are(judgement, source, function):
    told = judgement.comparison
    named = replace(told, source=source, functions=tuple(replace(each, function=function) for each in told.functions))
    text = junit_xml(replace(judgement, comparison=named))
    assert ElementTree.fromstring(text.encode("utf-8", "surrogatepass")) is not None

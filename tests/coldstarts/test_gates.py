"""Gates: what can be demanded of a report, and that nothing passes which cannot be told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.coldstarts.file_reports import report_files
from serverless_lab.coldstarts.frame import SavedInvocations
from serverless_lab.coldstarts.gates import FAILED, PASSED, UNTOLD, evaluate, parse_gate
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.quantities import QUANTITIES
from serverless_lab.coldstarts.report import ColdStartReport, make_report
from serverless_lab.errors import BadInput, ReportError
from serverless_lab.report_line import render_start
from serverless_lab.reporting import words
from tests.coldstarts.runs import MAIL, ORDERS, manifest, requests, story
from tests.coldstarts.story import T0, Environment, request_id


def made(*environments: Environment, with_requests: bool = True, **options) -> ColdStartReport:
    events = [event for environment in environments for event in environment.events]
    saved = SavedInvocations.from_invocations(build_invocations(events, **options), read_at_ms=T0 + 90_000)
    return make_report(manifest(), saved, requests() if with_requests else None)


@pytest.fixture(scope="module")
def report() -> ColdStartReport:
    """Orders: 3 of 6 waited, one timeout, inits of 230 and 250 ms. Mail: 0 of 2."""
    return made(*story())


def outcomes(report: ColdStartReport, *texts: str) -> list[str]:
    return [verdict.outcome for verdict in evaluate(report, [parse_gate(text) for text in texts])]


# --- verdicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("cold_rate > 5%", FAILED),
        ("cold_rate > 37.5%", PASSED),
        ("cold_rate >= 37.5%", FAILED),
        ("cold_rate_low > 13%", FAILED),
        ("cold_rate_high > 70%", PASSED),
        ("cold_starts > 3", PASSED),
        ("init_p50 > 229.9ms", FAILED),
        ("init_max > 0.25s", PASSED),
        ("init_plus_first_max >= 300ms", FAILED),
        ("duration_p50 > 20 ms", PASSED),
        ("timeouts > 0", FAILED),
        ("timeout_rate > 12.5%", PASSED),
        ("errors > 0", PASSED),
        ("environments != 3", PASSED),
        ("with_init == 3", FAILED),
        ("invocations < 9", FAILED),
        ("unknown > 0", PASSED),
        ("max_memory > 90MB", FAILED),
        ("memory_share > 35.6%", PASSED),
        ("alive_max > 2", FAILED),
        ("busy_max > 2", PASSED),
        ("unfinished > 0", PASSED),
        ("unreadable > 0", PASSED),
        ("client_failures > 1", FAILED),
        ("client_failure_rate > 30%", PASSED),
        ("client_cold_rate > 49%", FAILED),
        ("latency_p99 > 4.9s", FAILED),
    ],
)
def test_a_gate_compares_the_reports_own_number(report, text, outcome):
    assert outcomes(report, text) == [outcome]


def test_a_verdict_says_the_number_what_it_is_of_and_the_limit(report):
    verdict = evaluate(report, [parse_gate("cold_rate > 5%")])[0]
    assert verdict.value == 0.375
    assert verdict.sentence == "cold_rate is 37.5 % (3 of 8); fails if > 5.0 %"
    assert "would fail if > 50.0 %" in evaluate(report, [parse_gate("cold_rate > 50%")])[0].sentence


def test_a_gate_can_be_on_one_function_by_any_of_its_names(report):
    for name in ("Orders", ORDERS, "Ord*", "*Orders*"):
        assert outcomes(report, f"{name}: cold_rate > 40%", f"{name}:cold_rate>50%") == [FAILED, PASSED]
    assert outcomes(report, "Mail: cold_rate > 0%") == [PASSED]


def test_a_pattern_gives_a_verdict_for_each_function(report):
    verdicts = evaluate(report, [parse_gate("*: cold_rate > 40%")])
    assert [(verdict.function, verdict.outcome) for verdict in verdicts] == [(MAIL, PASSED), (ORDERS, FAILED)]
    assert "cold_rate of Orders is 50.0 % (3 of 6)" in verdicts[1].sentence


def test_a_function_that_is_not_there_is_an_error_that_names_those_that_are(report):
    with pytest.raises(ReportError, match="no function `Basket`") as caught:
        evaluate(report, [parse_gate("Basket: cold_rate > 5%")])
    assert "Mail, Orders" in (caught.value.hint or "")


# --- what cannot be told ---------------------------------------------------------------------------------------------

OF_INVOCATIONS = [name for name in QUANTITIES if name not in ("invocations", "unfinished", "unreadable")]


@pytest.mark.parametrize("name", OF_INVOCATIONS)
def test_an_empty_log_passes_no_gate(name):
    """Zero timeouts of zero invocations would be green for ever."""
    example = {"%": "0%", "ms": "0ms", "MB": "0MB", "": "0"}[QUANTITIES[name].unit]
    verdict = evaluate(made(with_requests=False), [parse_gate(f"{name} > {example}")])[0]
    assert (verdict.outcome, verdict.value) == (UNTOLD, None)
    assert "cannot be told" in verdict.sentence


def test_an_empty_log_can_be_demanded_not_to_be_one():
    assert outcomes(made(with_requests=False), "invocations < 1") == [FAILED]


def test_a_log_that_does_not_tell_kinds_passes_no_gate_on_them():
    silent = made(Environment(ORDERS).invoke(1), reports_init_duration=False, one_stream_per_environment=False)
    assert outcomes(silent, "cold_rate > 99%", "cold_starts > 9", "init_p90 > 9s", "environments > 9") == [UNTOLD] * 4
    assert outcomes(silent, "timeouts > 0") == [PASSED]


def test_a_quantile_without_a_value_is_no_small_quantile(report):
    """Nobody waited for an init of Mail: that says nothing of how long one takes."""
    verdict = evaluate(report, [parse_gate("Mail: init_p90 > 800ms")])[0]
    assert verdict.outcome == UNTOLD
    assert "no cold start has one" in verdict.sentence


def test_the_end_of_an_interval_that_few_values_cannot_state_is_not_told(report):
    verdict = evaluate(report, [parse_gate("init_p90_low > 1ms")])[0]
    assert verdict.outcome == UNTOLD
    assert "too few" in verdict.sentence


def test_the_clients_side_is_not_told_by_log_files():
    without = made(*story(), with_requests=False)
    assert outcomes(without, "client_failures > 0", "latency_p50 > 1ms", "client_failure_rate > 0%") == [UNTOLD] * 3


def test_rows_of_a_query_without_a_status_pass_no_gate_on_failures(tmp_path):
    """Discovered fields have no status: that none is there does not say that none failed."""
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "@timestamp,@requestId,@duration,@billedDuration,@initDuration\n"
        f"2026-11-24 16:00:00.000,{request_id(1)},3.01,4,\n"
        f"2026-11-24 16:00:01.000,{request_id(2)},3.01,4,110.1\n"
    )
    found = report_files([rows], function="orders")
    assert found.total.invocations == 2
    assert outcomes(found, "timeouts > 0", "error_rate > 0%") == [UNTOLD, UNTOLD]
    assert "2 rows of a query that selected no status: whether they failed is not told." in found.notes
    assert outcomes(found, "init_max > 110ms") == [FAILED]


def test_a_target_whose_reports_have_no_status_passes_no_gate_on_failures():
    """LocalStack prints no Status for a timeout either: that none is there does not say that none failed."""
    events = [event for environment in story() for event in environment.events]
    saved = SavedInvocations.from_invocations(build_invocations(events), read_at_ms=T0 + 90_000)
    found = make_report({**manifest(), "target": "localstack"}, saved, requests())
    assert outcomes(found, "timeouts > 0", "cold_rate > 1%", "client_failures > 0") == [UNTOLD, FAILED, FAILED]
    assert outcomes(found, "max_memory > 1MB", "memory_share > 1%") == [UNTOLD, UNTOLD], "it prints the memory size"
    assert any(note.startswith("LocalStack's REPORT lines have no Status") for note in found.notes)
    counts, _ = words.group_cells(found)
    assert {row[0]: row[-1] for row in counts.rows} == {"Mail": "–", "Orders": "1 timed out"}


def test_report_lines_alone_pass_no_gate_on_what_they_cannot_show(tmp_path):
    """Neither invocations without a REPORT nor environments are in the rows of a query for REPORT."""
    rows = tmp_path / "rows.csv"
    rows.write_text(f"@timestamp,@requestId,@duration,@initDuration\n2026-11-24 16:00:00.000,{request_id(1)},3.01,\n")
    found = report_files([rows], function="orders")
    assert outcomes(found, "unfinished > 0", "unfinished_rate > 0%", "environments > 9") == [UNTOLD] * 3
    assert outcomes(found, "with_init > 0", "cold_rate > 0%") == [PASSED, PASSED]
    rows.write_text(f"@timestamp,@requestId,@duration\n2026-11-24 16:00:00.000,{request_id(1)},3.01\n")
    assert outcomes(report_files([rows]), "with_init > 0", "cold_rate > 0%") == [UNTOLD, UNTOLD]


def test_a_log_without_its_successes_passes_and_fails_no_gate_on_shares(tmp_path):
    """All that is left of a function at system log level WARN has failed: 100 % of that is not its error rate."""
    record = {"requestId": request_id(1), "status": "timeout", "metrics": {"durationMs": 3000.0}}
    event = {"time": "2025-11-24T16:00:00.000Z", "type": "platform.report", "record": record}
    (tmp_path / "warn.log").write_text(json.dumps(event) + "\n")
    found = report_files([tmp_path / "warn.log"], function="orders")
    texts = "timeout_rate > 50%", "orders: timeout_rate > 50%", "error_rate > 0%", "cold_rate > 0%"
    verdicts = evaluate(found, [parse_gate(text) for text in texts])
    assert {(verdict.outcome, "WARN" in verdict.sentence) for verdict in verdicts} == {(UNTOLD, True)}
    assert outcomes(found, "timeouts > 0") == [FAILED]


def test_a_file_that_is_no_log_is_named_by_the_gate_it_passes_not(tmp_path):
    (tmp_path / "junk.log").write_text("hello\n")
    sentence = evaluate(report_files([tmp_path / "junk.log"]), [parse_gate("cold_rate > 5%")])[0].sentence
    assert "no REPORT line was found" in sentence and "junk.log: no log" in sentence


def test_a_run_whose_requests_were_not_joined_is_told_apart_from_files():
    """There is a client's side: what is missing is the kind of its invocations."""
    silent = made(Environment(ORDERS).invoke(1), reports_init_duration=False, one_stream_per_environment=False)
    sentence = evaluate(silent, [parse_gate("client_cold_rate > 5%")])[0].sentence
    assert "joined" in sentence and "no client" not in sentence


def test_unfinished_invocations_can_be_gated():
    open_one = Environment(ORDERS).cold(1).write(render_start(request_id(2), "$LATEST"))
    assert outcomes(made(open_one), "unfinished > 0", "unfinished_rate > 40%") == [FAILED, FAILED]


# --- grammar ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no gate"),
        ("cold_rate", "is no gate"),
        ("cold_rate > ", "is no gate"),
        ("cold_rate > five%", "is no gate"),
        ("cold_rate => 5%", "is no gate"),
        ("cold_rate > -5%", "is no gate"),
        ("cold_rate > 5% and timeouts > 0", "is no gate"),
        ("coldrate > 5%", "no quantity `coldrate`"),
        ("init_p95 > 5ms", "no quantity `init_p95`"),
        ("timeouts_low > 5", "no quantity `timeouts_low`"),
        ("cold_rate > 5", "has no unit; write it as 5%"),
        ("cold_rate > 5ms", "has the unit `ms`; write it as 5%"),
        ("init_p90 > 800", "has no unit; write it as 800ms"),
        ("timeouts > 5%", "has the unit `%`; write it as 3"),
        ("max_memory > 128", "128MB"),
        ("Orders: latency_p50 > 5ms", "not of a function"),
        ("Orders: unreadable > 5", "not of a function"),
    ],
)
def test_what_is_no_gate_is_refused_with_what_could_stand_there(text, said):
    with pytest.raises(BadInput) as caught:
        parse_gate(text)
    assert said in caught.value.message


@pytest.mark.parametrize("text", ["coldrate > 5%", "cold_rate"])
def test_where_the_quantity_is_wrong_all_are_listed_in_lines_that_can_be_read(text):
    with pytest.raises(BadInput) as caught:
        parse_gate(text)
    for name in ("cold_rate", "init_p90", "timeouts", "max_memory", "latency", "_low"):
        assert name in caught.value.message
    assert max(map(len, caught.value.message.splitlines())) < 160


def test_a_misspelt_quantity_is_answered_with_the_one_that_was_meant():
    with pytest.raises(BadInput, match="did you mean `cold_rate`"):
        parse_gate("coldrate > 5%")
    with pytest.raises(BadInput) as caught:
        parse_gate("cold_rate > 5")
    assert "quantities" not in caught.value.message, "the quantity is right, its unit is missing"


@given(st.text(max_size=30))
def test_any_text_is_a_gate_or_refused(text):
    try:
        gate = parse_gate(text)
    except BadInput:
        return
    assert gate.limit >= 0


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_limit_in_percent_is_the_fraction_of_counts_that_it_names(pair):
    """3 of 60 is 5 %, and not a hair more: a limit that is reached exactly does not fail."""
    count, n = pair
    assert parse_gate("cold_rate > 5%").limit == 1 / 20
    percent = count * 100 / n
    if percent == int(percent):
        assert not count / n > parse_gate(f"cold_rate > {int(percent)}%").limit


@pytest.mark.parametrize(("text", "limit"), [("1.5s", 1500.0), ("800ms", 800.0), ("2m", 120_000.0), (" 7 ms ", 7.0)])
def test_times_may_be_in_several_units(text, limit):
    assert parse_gate(f"init_p90 > {text}").limit == limit

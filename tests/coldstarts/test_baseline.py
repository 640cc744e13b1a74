"""A report beside an earlier one: what is called worse, how often wrongly, and what cannot be compared."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from serverless_lab.coldstarts.baseline import (
    COLD_RATE,
    FAILURE_RATE,
    IMPROVEMENT,
    REGRESSION,
    SAME,
    TOO_FEW,
    UNTOLD,
    baseline_of,
    compare,
    read_baseline,
)
from serverless_lab.coldstarts.frame import SavedInvocations
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.plain import dumps
from serverless_lab.coldstarts.report import ColdStartReport, make_report
from serverless_lab.coldstarts.statistics import Sample
from serverless_lab.errors import ReportError
from tests.coldstarts.story import T0, Environment

STACK = "lab-shop"


def day(
    seed: int,
    *,
    functions: tuple[str, ...] = ("Orders",),
    environments: int = 40,
    served: int = 9,
    init_ms: float = 200.0,
    slow: float = 0.0,
    timeouts: int = 0,
    tail: str = "A1B2C3D4E5F6",
) -> ColdStartReport:
    """A day of traffic: each environment starts cold and serves `served` warm invocations.

    `slow` is the share of inits that take three times as long.
    """
    rng = random.Random(seed)
    told = []
    number = 0
    for name in functions:
        for n in range(environments):
            environment = Environment(f"{STACK}-{name}-{tail}", T0 + rng.randrange(3_600_000))
            init = init_ms * math.exp(rng.gauss(0, 0.1)) * (3 if rng.random() < slow else 1)
            environment.cold(number := number + 1, round(init, 2), round(rng.uniform(20, 40), 2))
            for _ in range(served):
                status = "timeout" if n < timeouts else None
                environment.wait(1_000).invoke(number := number + 1, round(rng.uniform(10, 20), 2), status=status)
            told.append(environment)
    invocations = build_invocations(event for environment in told for event in environment.events)
    manifest = {"stack_name": STACK, "started_at_ms": T0}
    return make_report(manifest, SavedInvocations.from_invocations(invocations, read_at_ms=T0), None)


def verdicts(now: ColdStartReport, before: ColdStartReport, **options):
    found = compare(now, baseline_of(before, "before"), **options)
    return found, {comparison.quantity: comparison for comparison in found.functions[0].comparisons}


# --- what is found ---------------------------------------------------------------------------------------------------


def test_slower_inits_are_a_regression_and_nothing_else_is():
    found, by_quantity = verdicts(day(1, init_ms=260.0), day(2))
    assert [function.verdict for function in found.functions] == [REGRESSION]
    assert {name for name, item in by_quantity.items() if item.verdict == REGRESSION} >= {"init", "init_plus_first"}
    assert by_quantity[COLD_RATE].verdict == SAME
    assert by_quantity["init"].p is not None and by_quantity["init"].p < 0.001
    sentence = found.functions[0].sentence
    assert sentence.startswith("Orders is worse: init p50 2")
    assert "of pairs" in sentence


def test_more_cold_starts_are_a_regression_with_the_interval_of_the_difference():
    """One of four instead of one of ten invocations waits."""
    found, by_quantity = verdicts(day(1, environments=100, served=3), day(2))
    rate = by_quantity[COLD_RATE]
    assert rate.verdict == REGRESSION
    assert rate.interval is not None
    assert rate.interval[0] < 0.15 < rate.interval[1]
    assert "cold_rate 10.0 % -> 25.0 %, by +15.0 points" in found.functions[0].sentence


def test_a_share_of_slow_inits_is_found_in_the_tail():
    _, by_quantity = verdicts(day(1, environments=120, slow=0.15), day(2, environments=120))
    assert by_quantity["init_tail"].verdict == REGRESSION


def test_timeouts_are_a_regression():
    _, by_quantity = verdicts(day(1, timeouts=5), day(2))
    assert by_quantity[FAILURE_RATE].verdict == REGRESSION


def test_less_of_everything_is_an_improvement_and_no_regression():
    found, by_quantity = verdicts(day(1, init_ms=120.0), day(2))
    assert (found.functions[0].verdict, found.regressions) == (IMPROVEMENT, ())
    assert by_quantity["init"].verdict == IMPROVEMENT
    assert "is better" in found.functions[0].sentence


def test_what_is_within_the_tolerance_is_no_regression_however_sure():
    """With 400 inits a difference of 6 % is beyond doubt, and nobody's concern."""
    now, before = day(1, environments=400, served=1, init_ms=212.0), day(2, environments=400, served=1)
    assert verdicts(now, before)[1]["init"].verdict == SAME
    assert verdicts(now, before, tolerance=0.0)[1]["init"].verdict == REGRESSION


def test_the_same_report_twice_shows_no_difference_and_says_how_sure_that_is():
    report = day(1)
    found, by_quantity = verdicts(report, report)
    assert {item.verdict for item in by_quantity.values()} == {SAME}
    assert (
        "no difference shown by 8 tests; cold_rate 10.0 % -> 10.0 %, by +0.0 points [-" in found.functions[0].sentence
    )
    assert found.tests == 8


def test_days_without_a_change_are_called_worse_in_at_most_5_percent_of_comparisons():
    """Two functions, eight tests each, no tolerance: what Holm's adjustment promises."""
    report = day(0, functions=("Orders", "Mail"), environments=2, served=1)
    rng = np.random.default_rng(11)

    def another() -> ColdStartReport:
        samples = {}
        for name in report.samples:
            cold = int(rng.binomial(200, 0.15))
            init = np.sort(rng.lognormal(5, 0.3, cold))
            samples[name] = Sample(
                kinds={"cold": cold, "warm": 200 - cold},
                durations_ms=np.sort(rng.exponential(30, 200)),
                init_ms=init,
                init_plus_first_ms=np.sort(init + rng.exponential(30, cold)),
                timeouts=int(rng.binomial(200, 0.02)),
            )
        return replace(report, samples=samples)

    found = [compare(another(), baseline_of(another(), ""), tolerance=0.0) for _ in range(400)]
    assert max(comparison.tests for comparison in found) == 16
    wrong = sum(bool(comparison.regressions) for comparison in found)
    assert wrong <= 31  # P(more | 5 % of 400) is under 1 %


# --- which functions -------------------------------------------------------------------------------------------------


def test_functions_of_a_stack_deployed_anew_are_recognised_by_their_short_names():
    now, before = day(1, functions=("Orders", "Mail")), day(2, functions=("Orders", "Mail"), tail="Z9Y8X7W6V5U4")
    found = compare(now, baseline_of(before, ""))
    assert [function.function.split("-")[2] for function in found.functions] == ["Mail", "Orders"]
    assert (found.missing, found.new) == ((), ())


def test_functions_of_only_one_report_are_named():
    found = compare(day(1, functions=("Orders", "New")), baseline_of(day(2, functions=("Orders", "Old")), ""))
    assert len(found.functions) == 1
    assert [name.split("-")[2] for name in (*found.missing, *found.new)] == ["Old", "New"]


# --- what cannot be compared -----------------------------------------------------------------------------------------


def test_too_few_values_show_nothing_and_say_so():
    """Of two and two values, the clearest outcome has a chance of one in six."""
    found, by_quantity = verdicts(day(1, environments=2, served=1), day(2, environments=2, served=1))
    assert by_quantity["init"].verdict == TOO_FEW
    assert by_quantity["init"].p is None
    assert found.tests < 8


def test_nothing_in_common_is_no_absence_of_regressions():
    found = compare(day(1), baseline_of(day(2, functions=("Basket",)), ""))
    assert "no function is in both" in (found.not_comparable() or "")
    assert compare(day(1), baseline_of(day(2), "")).not_comparable() is None


def test_a_rate_that_was_told_before_and_is_not_now_is_no_pass():
    before = day(2)
    invocations = build_invocations(
        Environment(f"{STACK}-Orders-A1B2C3D4E5F6").invoke(1).events,
        reports_init_duration=False,
        one_stream_per_environment=False,
    )
    silent = make_report({"stack_name": STACK}, SavedInvocations.from_invocations(invocations), None)
    found, by_quantity = verdicts(silent, before)
    assert by_quantity[COLD_RATE].verdict == UNTOLD
    assert "cold_rate" in (found.not_comparable() or "")


# --- saved reports ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("environments", [40, 1_200], ids=["values", "buckets"])
def test_a_saved_report_compares_as_the_report_does(tmp_path, environments):
    now, before = (
        day(1, environments=environments, served=1, init_ms=230.0),
        day(2, environments=environments, served=1),
    )
    path = tmp_path / "baseline.json"
    path.write_text(dumps(before.to_json()))
    assert path.stat().st_size < 100_000
    saved, direct = compare(now, read_baseline(path)), compare(now, baseline_of(before, ""))
    assert saved.functions == direct.functions
    assert saved.source == str(path)


def test_the_report_inside_what_lab_run_prints_is_a_baseline_too(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"deployment": {}, "load": {}, "coldstarts": day(2).to_json()}))
    assert compare(day(2), read_baseline(path)).regressions == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "functions": [{}]}', "\ufeff\x00"], ids=repr
)
def test_what_is_not_a_saved_report_is_refused_with_the_way_to_make_one(tmp_path, text):
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(ReportError, match=r"baseline\.json") as caught:
        read_baseline(path)
    assert "--json" in (caught.value.hint or "")


def test_a_report_of_an_earlier_version_is_refused(tmp_path):
    data = day(2, environments=3).to_json()
    del data["functions"][0]["distributions"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ReportError, match="not a report of this version"):
        read_baseline(path)


def test_counts_that_cannot_be_are_refused(tmp_path):
    data = day(2, environments=3).to_json()
    data["functions"][0]["cold_starts"]["count"] = 10_000
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ReportError):
        read_baseline(path)

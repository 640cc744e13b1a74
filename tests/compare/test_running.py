"""Plans, the folder of their runs, and what the runs amount to; nothing is deployed here."""

from __future__ import annotations

from pathlib import Path

import pytest

from serverless_lab.compare.execution import Interrupted
from serverless_lab.compare.folder import ComparisonFolder
from serverless_lab.compare.plan import PlannedRun
from serverless_lab.compare.report import (
    BETTER,
    BOTH,
    COLD_RATE,
    COST,
    ENVIRONMENTS,
    INIT,
    P99,
    WORSE,
    ComparisonReport,
)
from serverless_lab.compare.running import assemble, missing_runs, run_plan
from serverless_lab.compare.sentences import headline, lifetime_sentence, sentences
from serverless_lab.errors import BadInput
from serverless_lab.project import Project
from tests.compare.bench import VARIANTS, Listener, ScriptedBench, plan


@pytest.fixture
def folder(tmp_path: Path) -> ComparisonFolder:
    return ComparisonFolder(Project(tmp_path), "rush")


def keys(runs: list[PlannedRun]) -> list[tuple[str, int]]:
    return [(run.setting.name, run.seed) for run in runs]


# The plan


def test_variants_are_interleaved_and_begin_with_another_one_each_time() -> None:
    """What changes with time, such as the host's load, hits all variants alike."""
    found = plan(sensitivity=False)
    assert keys(list(found.runs))[:6] == [
        ("today", 1),
        ("lazy", 1),
        ("five", 1),
        ("lazy", 2),
        ("five", 2),
        ("today", 2),
    ]


def test_variants_that_come_to_the_same_share_their_runs() -> None:
    """For how many hours of the month environments are provisioned changes the bill alone."""
    found = plan(sensitivity=False)
    assert len(found.runs) == 9
    assert found.settings["five"].digest == found.settings["five-on-mondays"].digest


def test_the_default_idle_lifetime_is_not_measured_twice() -> None:
    """Of 5 and 10 minutes, the latter is what the variant itself has."""
    found = plan()
    assert len(found.runs) == 10
    assert found.runs[-1].setting.idle_lifetime_ms == 300_000


def test_a_peak_is_the_scenarios_and_not_the_seeds() -> None:
    text = "variants: [{name: a, parameters: {N: {$peak: 1.5}}}]"
    assert plan(text, sensitivity=False).settings["a"].parameters["N"] in ("63", "64", "65", "66", "67", "68", "69")
    assert plan(text, repeat=5).settings["a"].digest == plan(text, repeat=1).settings["a"].digest


@pytest.mark.parametrize(
    "changed",
    [
        plan(code="2"),
        plan(VARIANTS.replace("InitStyle: lazy", "InitStyle: eager")),
        plan(VARIANTS.replace("{name: lazy,", "{name: lazy, scenario: {quiet: 1h},")),
        plan(VARIANTS.replace("{name: lazy,", "{name: lazy, idle_lifetime: 1h,")),
    ],
    ids=["code", "parameter", "scenario", "idle lifetime"],
)
def test_whatever_decides_a_run_is_in_its_digest(changed: object) -> None:
    assert changed.settings["lazy"].digest != plan().settings["lazy"].digest  # type: ignore[attr-defined]


# The folder


def test_a_comparison_that_was_stopped_goes_on_and_measures_nothing_twice(folder: ComparisonFolder) -> None:
    first = ScriptedBench(stop_at=4)
    with folder.lock(), pytest.raises(Interrupted):
        run_plan(plan(), folder, first, Listener())
    assert first.closed == 1
    assert [path.name.rpartition("-")[0].rpartition("-")[0] for path in sorted(folder.runs.iterdir())] == [
        "five",
        "lazy",
        "today",
    ]
    second, heard = ScriptedBench(), Listener()
    with folder.lock():
        run_plan(plan(), folder, second, heard)
    assert keys(first.made[:3] + second.made) == keys(list(plan().runs))
    assert heard.begun[0][2] == 70.0  # seven runs are missing, and three took ten seconds each
    assert (heard.ends[-1].number, heard.ends[-1].planned, heard.ends[-1].remaining_seconds) == (10, 10, 0.0)
    assert missing_runs(plan(), folder) == []


def test_a_run_that_fails_leaves_nothing_and_the_complete_ones_are_kept(folder: ComparisonFolder) -> None:
    bench = ScriptedBench(fail_at=2)
    with folder.lock(), pytest.raises(RuntimeError):
        run_plan(plan(), folder, bench, Listener())
    assert bench.closed == 1
    assert len(list(folder.runs.iterdir())) == 1
    assert not folder.draft.exists()


def test_what_a_killed_comparison_left_half_is_swept_away(folder: ComparisonFolder) -> None:
    half = folder.draft / "lazy-0123456789-1"
    half.mkdir(parents=True)
    with folder.lock():
        assert not folder.draft.exists()


def test_changed_code_is_measured_anew_and_the_runs_of_before_are_kept(folder: ComparisonFolder) -> None:
    run_plan(plan(), folder, ScriptedBench(), Listener())
    changed = plan(code="2")
    assert len(missing_runs(changed, folder)) == 10
    others = folder.others({run.key for run in changed.runs})
    assert len(others) == 10
    assert all(parts["code"] == "1" for parts in others.values())
    assert missing_runs(plan(), folder) == []  # and found again when the change is taken back


def test_a_renamed_variant_keeps_its_runs(folder: ComparisonFolder) -> None:
    run_plan(plan(), folder, ScriptedBench(), Listener())
    renamed = plan(VARIANTS.replace("lazy,", "late-clients,", 1).replace("variant: lazy", "variant: late-clients"))
    assert missing_runs(renamed, folder) == []


def test_two_comparisons_do_not_work_in_one_folder(folder: ComparisonFolder) -> None:
    with folder.lock(), pytest.raises(BadInput, match="another `lab compare`"), folder.lock():
        pass


# The report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ComparisonReport:
    return scripted_report(tmp_path_factory.mktemp("report"))


def scripted_report(place: Path) -> ComparisonReport:
    from serverless_lab.compare.money import Traffic, month_of_run
    from serverless_lab.cost.prices import load_prices

    folder = ComparisonFolder(Project(place), "rush")
    run_plan(plan(), folder, ScriptedBench(), Listener())
    prices = load_prices("us-east-1")
    return assemble(
        plan(),
        folder,
        source="variants.yaml",
        target="scripted",
        month_of=lambda path, record, setting: month_of_run(
            path,
            record.facts.schedules,
            Traffic(1_000_000, 4),
            prices,
            provisioned_hours=setting.variant.provisioned_hours_per_month,
        ),
        traffic={
            "requests_per_month": 1_000_000,
            "peaks_per_month": 4,
            "region": "us-east-1",
            "prices_dated": prices.dated,
            "prices_from": prices.origin,
            "currency": "USD",
        },
        machine={"cpus": 2},
    )


def test_provisioned_environments_remove_what_they_serve_and_the_rest_spills_over(report: ComparisonReport) -> None:
    found = report.of("five")
    difference = found.differences[COLD_RATE]
    assert difference.estimate.value == pytest.approx(-5 / 60)
    assert (difference.verdict, difference.paired) == (BETTER, True)
    assert found.estimates[ENVIRONMENTS].value == 35
    said = " ".join(sentences(report, found))
    assert "five removes" in said
    assert "the rest of the burst still spills over, and 35 callers a run wait" in said


def test_a_leaner_init_that_only_moves_the_work_is_told_as_that(report: ComparisonReport) -> None:
    """An init of 300 ms becomes one of 100 ms and a first request of 150 ms more."""
    lazy = report.of("lazy")
    assert lazy.differences[INIT].verdict == BETTER
    assert lazy.differences[BOTH].verdict == BETTER
    assert lazy.differences[BOTH].estimate.value == pytest.approx(-50, abs=10)
    assert "lazy shows no difference in cold starts (66.7 % -> 66.7 %)" in sentences(report, lazy)[0]


def test_a_months_provisioned_concurrency_is_27_dollars_and_on_mondays_less(report: ComparisonReport) -> None:
    """5 x 512 MB for 720 h, by hand: 5 x 0.5 x 2,592,000 s x 0.0000041667 = 27.00."""
    always, mondays = report.of("five").months[0], report.of("five-on-mondays").months[0]
    assert float(always.standing) == pytest.approx(27.00, abs=0.005)
    assert float(mondays.standing) == pytest.approx(27.00 * 5 / 720, abs=0.005)
    assert mondays.standing_all_month == always.standing
    assert report.of("five").differences[COST].verdict == WORSE
    assert "all month it would be $27.00" in sentences(report, report.of("five-on-mondays"))[-1]


def test_every_request_outside_the_peaks_is_billed_like_a_warm_one(report: ComparisonReport) -> None:
    """1,000,000 requests of about 20 ms at 256 MB: 0.20 for them, 0.09 for their time, 3.50 for the API's calls."""
    month = report.of("today").months[0]
    assert float(month.bill.amount("lambda.requests")) == pytest.approx(0.20, rel=0.01)
    assert float(month.bill.amount("lambda.duration")) == pytest.approx(0.0875, rel=0.1)
    assert float(month.bill.amount("apigateway")) == pytest.approx(3.50, rel=0.01)
    assert month.total == month.traffic


def test_the_sensitivity_names_each_idle_lifetime(report: ComparisonReport) -> None:
    said = [lifetime_sentence(report, found) for found in report.lifetimes]
    assert [found.idle_lifetime_ms for found in report.lifetimes] == [300_000, 600_000]
    assert said[0].startswith("With idle environments kept for 5 minutes, lazy has 66.7 % cold starts")


def test_the_headline_names_the_fewest_cold_starts_and_what_they_cost(report: ComparisonReport) -> None:
    assert headline(report).startswith("five has the fewest cold starts: 58.3 %, today has 66.7 %, for $")


def test_fewer_cold_starts_that_may_be_chance_are_no_headline(folder: ComparisonFolder) -> None:
    run_plan(plan(repeat=1), folder, ScriptedBench(), Listener())
    chosen = plan("variants: [{name: today}, {name: lazy, parameters: {InitStyle: lazy}}]", repeat=1)
    found = assemble(chosen, folder, source="x", target="scripted")
    assert headline(found) == "no variant is shown to have fewer cold starts than today, 66.7 %"


def test_a_comparison_that_is_not_complete_reports_what_it_has(folder: ComparisonFolder) -> None:
    with pytest.raises(Interrupted):
        run_plan(plan(), folder, ScriptedBench(stop_at=2), Listener())
    found = assemble(plan(), folder, source="x", target="scripted")
    assert found.of("today").estimates[P99].value is not None
    assert found.of("five").estimates[P99].value is None
    assert len(found.missing) == 9
    assert "cannot be told" in sentences(found, found.of("five"))[0]
    assert sentences(found, found.of("today")) == []


def test_the_same_runs_give_the_same_report(report: ComparisonReport, tmp_path: Path) -> None:
    assert scripted_report(tmp_path).to_json() == report.to_json()

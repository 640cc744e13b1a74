"""A report of log files: the same numbers as of a run, for files of any origin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serverless_lab.coldstarts import file_reports
from serverless_lab.coldstarts.baseline import SAME, TOO_FEW, baseline_of, compare
from serverless_lab.coldstarts.file_reports import report_files
from serverless_lab.coldstarts.frame import SavedInvocations
from serverless_lab.coldstarts.gates import evaluate, parse_gate
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.report import make_report
from serverless_lab.errors import BadInput, ReportError
from serverless_lab.report_line import render_start
from serverless_lab.reporting.markdown import markdown_text
from serverless_lab.reporting.tables import render_report
from tests.coldstarts.runs import MAIL, ORDERS, manifest, story
from tests.coldstarts.schema import problems
from tests.coldstarts.story import T0, Environment, request_id
from tests.coldstarts.story_files import write_export, write_logs


@pytest.fixture
def logs(tmp_path) -> Path:
    return write_logs(tmp_path / "logs", story())


def test_files_say_what_the_log_they_were_taken_from_says(logs):
    events = [event for environment in story() for event in environment.events]
    run = make_report(manifest(), SavedInvocations.from_invocations(build_invocations(events)), None)
    found = report_files([logs])
    assert found.functions == run.functions
    assert found.total == run.total
    assert (found.source, found.run_id, found.client) == ("files", "", None)
    assert found.files is not None and sum(found.files.formats.values()) == 2
    assert problems(json.loads(json.dumps(found.to_json()))) == []


def test_files_can_be_named_one_by_one(logs):
    assert report_files([logs / f"{MAIL}.log"]).total.invocations == 2
    assert report_files([logs / f"{MAIL}.log", logs / f"{ORDERS}.log"]).total.invocations == 8


def test_a_time_can_be_cut_out_and_its_kinds_are_those_of_the_whole_log(logs):
    """The init of the proactive invocation of Mail lies before the cut: it is no warm invocation for that."""
    found = report_files([logs / f"{MAIL}.log"], since_ms=T0 + 30_000)
    assert found.total.kinds == {"proactive": 1, "warm": 1}
    assert found.total.environments == 0
    assert report_files([logs / f"{MAIL}.log"], since_ms=T0 + 30_001).total.kinds == {"warm": 1}
    before = report_files([logs / f"{MAIL}.log"], until_ms=T0 + 30_000)
    assert (before.total.invocations, before.total.environments) == (0, 1)
    assert any("0 of 2 invocations began in the time asked for" in note for note in before.notes)


def test_what_could_not_be_read_is_counted_and_its_greatest_harm_is_said(logs):
    with (logs / f"{MAIL}.log").open("a") as log:
        log.write("REPORT RequestId: 1\tDuration: lots\n")
        log.write(f"2025-11-24T17:00:00+00:00 {render_start(request_id(9), '1')}")
    found = report_files([logs])
    assert found.unreadable == 1
    assert found.files is not None
    place = found.files.unreadable[0]
    assert (Path(place.file).name, place.line) == (f"{MAIL}.log", 8)
    assert "1 line could not be read: if each was a REPORT line, 11.1 % of the invocations are missing here." in (
        found.notes
    )
    assert found.unreadable_share_max == pytest.approx(1 / 9)
    assert (found.unfinished, found.unfinished_rate.rate) == (1, pytest.approx(1 / 9))
    assert any("11.1 % of those that began" in note for note in found.notes)
    assert f"{MAIL}.log:8" in render_report(found)


def test_a_line_that_names_a_place_never_breaks_inside_the_path(tmp_path):
    """What is printed there is copied into an editor or a shell, also where the path is wider than the screen."""
    folder = tmp_path / ("a folder with a very long name " * 4).strip() / ("and-one-without-blanks" * 8)
    folder.mkdir(parents=True)
    (folder / "orders.log").write_text(
        f"2025-11-24T16:00:00.000Z {render_start(request_id(1), '1')}"
        "2025-11-24T16:00:01.000Z REPORT RequestId: 1\tDuration: lots\n"
    )
    printed = render_report(report_files([folder]), width=80)
    assert f"- {folder}/orders.log:2: " in printed
    assert max(map(len, printed.splitlines())) > 80


def test_files_without_a_report_are_a_report_that_says_so(tmp_path):
    (tmp_path / "empty.log").write_text("nothing of Lambda here\n")
    found = report_files([tmp_path / "empty.log"])
    assert found.total.invocations == 0
    assert "No REPORT line was found in these files." in found.notes
    assert found.bins == ()


def test_paths_and_formats_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(ReportError, match="nowhere"):
        report_files([tmp_path / "nowhere"])
    with pytest.raises(BadInput, match="`runes`"):
        report_files([tmp_path], format="runes")


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path) -> Path:
    """Version 3 with 256 MB and provisioned concurrency, $LATEST with 512 MB on demand; one environment never used."""
    provisioned = Environment("orders", T0, version="3").init_start().wait(500).init_report(480.0).wait(90_000)
    provisioned.invoke(1, 20.0, init_duration_ms=480.0).wait(5).invoke(2, 21.0)
    on_demand = Environment("orders", T0 + 1_000).cold(3, 230.0, 30.0, memory_size_mb=512)
    on_demand.wait(5).invoke(4, 22.0, memory_size_mb=512)
    unused = Environment("mail", T0 + 2_000).init_start()
    mail = Environment("mail", T0 + 2_000).cold(5, 100.0, 10.0)
    return write_logs(tmp_path / "mixed", [provisioned, on_demand, unused, mail])


def by(path: Path, *dimensions: str):
    found = report_files([path], by=dimensions)
    assert problems(json.loads(json.dumps(found.to_json()))) == []
    return found


def test_groups_are_by_version(mixed):
    found = by(mixed, "version")
    assert [(group.version, group.invocations, group.cold_starts.count) for group in found.groups] == [
        ("$LATEST", 3, 2),
        ("3", 2, 0),
    ]
    assert [group.environments for group in found.groups] == [None, None], (
        "one was never used, and nobody knows its version"
    )


def test_groups_are_by_initialization_type(mixed):
    found = by(mixed, "initialization-type")
    assert {group.initialization_type: group.kinds for group in found.groups} == {
        "on-demand": {"cold": 2, "warm": 1},
        "provisioned-concurrency": {"provisioned": 1, "warm": 1},
    }


def test_groups_are_by_several_things_at_once_and_add_up(mixed):
    found = by(mixed, "function", "memory")
    assert [(group.function, group.memory_size_mb, group.invocations) for group in found.groups] == [
        ("mail", (256,), 1),
        ("orders", (256,), 2),
        ("orders", (512,), 2),
    ]
    timed = by(mixed, "function", "bin")
    assert sum(group.invocations for group in timed.groups) == 5
    assert all(group.bin_start_ms is not None for group in timed.groups)
    used = by(mixed, "function")
    assert [group.environments for group in used.groups] == [2, 2]


def test_groups_replace_the_functions_in_the_table_and_in_the_csv(mixed):
    found = by(mixed, "version", "memory")
    lines = [line.split() for line in render_report(found).splitlines()]
    assert ["version", "memory", "invoked"] in [line[:3] for line in lines]
    assert ["$LATEST", "512", "2", "1", "50.0"] in [line[:5] for line in lines]
    rows = found.to_csv().splitlines()
    assert rows[0].startswith("version,memory_size_mb,function,")
    assert [row.split(",")[:2] for row in rows[1:]] == [["$LATEST", "256"], ["$LATEST", "512"], ["3", "256"]]


def test_a_function_whose_log_leaves_invocations_out_has_no_rate(tmp_path):
    """System log level WARN writes failures alone: a share of them would be a share of nothing."""
    lines = []
    for number in range(3):
        record = {
            "requestId": request_id(number),
            "metrics": {"durationMs": 3000.0, "billedDurationMs": 3000, "memorySizeMB": 128, "maxMemoryUsedMB": 90},
            "status": "timeout",
        }
        lines.append(
            json.dumps({"time": f"2025-11-24T16:00:0{number}.000Z", "type": "platform.report", "record": record})
        )
    (tmp_path / "warn.log").write_text("\n".join(lines) + "\n")
    found = report_files([tmp_path / "warn.log"], function="orders")
    assert found.total.timeouts == 3
    assert found.total.cold_starts.rate is None
    assert found.functions[0].cold_starts.count is None
    assert any("no rate" in note for note in found.notes)


def test_an_init_that_the_log_goes_back_too_far_for_is_pointed_at(tmp_path):
    """The log begins after provisioned concurrency was allocated: its first REPORT lines look like cold starts."""
    provisioned = Environment("orders", T0 + 60_000, version="7").invoke(1, init_duration_ms=880.0)
    found = report_files([write_logs(tmp_path / "a", [Environment("orders").cold(2), provisioned])])
    assert found.total.kinds == {"cold": 2}
    assert [note for note in found.notes if note.startswith("1 cold start known by an Init Duration alone")]
    at_once = Environment("orders", T0 + 900, version="7").invoke(1, init_duration_ms=880.0)
    found = report_files([write_logs(tmp_path / "b", [Environment("orders").cold(2), at_once])])
    assert not [note for note in found.notes if "Init Duration alone" in note], "its INIT_START may be before the log"


def test_files_that_do_not_say_whose_log_they_are_are_told_how_to_be_named(tmp_path):
    lines = [event.message for event in Environment().cold(1).events]
    (tmp_path / "log.txt").write_text("".join(lines))
    assert any("--function NAME" in note for note in report_files([tmp_path / "log.txt"]).notes)
    assert not any("--function" in note for note in report_files([tmp_path / "log.txt"], function="orders").notes)


def test_quantiles_are_shown_with_their_intervals_where_enough_values_state_one(tmp_path):
    environment = Environment().cold(1)
    for number in range(2, 12):
        environment.wait(5).invoke(number, 10.0 + number)
    shown = " ".join(render_report(report_files([write_logs(tmp_path, [environment])])).split())
    assert "95 % intervals, ms: run p50 17.0 [13.0, 20.0]" in shown
    assert "[13.0, 20.0], p90" not in shown, "11 values state none of p90"


def test_one_is_not_called_several(tmp_path):
    shown = render_report(report_files([write_logs(tmp_path, [Environment().cold(1)])]))
    assert shown.startswith("1 invocation, cold starts 1 of 1")
    assert "1 environment initialised" in shown and "1 invocation each" in " ".join(shown.split())


# --- large inputs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path, monkeypatch) -> Path:
    """An export to S3, and every input is taken for a large one."""
    monkeypatch.setattr(file_reports, "LARGE_BYTES", 0)
    open_one = Environment("orders", T0 + 3_000, version="2").cold(20).write(render_start(request_id(21), "2"))
    sizes = [Environment("orders", T0 + 700 * n).cold(30 + n, memory_size_mb=512) for n in range(3)]
    return write_export(tmp_path / "export", [*story(), open_one, *sizes])


@pytest.mark.parametrize("options", [{}, {"bin_ms": 10_000}, {"by": ("version", "memory")}, {"by": ("function",)}])
def test_a_digest_tells_what_the_single_invocations_tell(large, options):
    one_by_one = report_files([large], with_rows=True, **options)
    digest = report_files([large], **options)
    assert one_by_one.files is not None and not one_by_one.files.fast
    assert digest.files is not None and digest.files.fast
    assert digest.total == one_by_one.total
    assert digest.functions == one_by_one.functions
    assert (digest.unfinished, digest.unreadable) == (one_by_one.unfinished, one_by_one.unreadable) == (1, 0)
    assert [(group.function, group.version, group.memory_size_mb, group.kinds) for group in digest.groups] == [
        (group.function, group.version, group.memory_size_mb, group.kinds) for group in one_by_one.groups
    ]
    if "bin_ms" in options:
        assert digest.bins == one_by_one.bins
        assert digest.function_bins == one_by_one.function_bins
    assert sum(summary.invocations for summary in digest.bins) == digest.total.invocations == 12
    assert problems(json.loads(json.dumps(digest.to_json()))) == []


def test_a_digest_and_single_invocations_make_the_same_baseline(large):
    digest, one_by_one = report_files([large]), report_files([large], with_rows=True)
    found = compare(digest, baseline_of(one_by_one, ""))
    assert {item.verdict for function in found.functions for item in function.comparisons} <= {SAME, TOO_FEW}
    assert digest.to_json()["functions"] == one_by_one.to_json()["functions"]


def test_a_digest_says_what_it_does_not_tell_and_gates_on_that_do_not_pass(large):
    digest = report_files([large])
    assert (digest.environments, digest.idle, digest.billing, digest.saved) == (None, None, None, None)
    assert any("keeps no single invocation" in note for note in digest.notes)
    assert evaluate(digest, [parse_gate("alive_max > 100")])[0].outcome == "untold"
    assert markdown_text(digest).startswith("## Cold starts: 12 invocations")
    assert "12 invocations" in render_report(digest)


def test_a_digest_says_what_else_it_found(tmp_path, monkeypatch):
    """Events that stand twice, a function whose successes are left out: as the single invocations do."""
    monkeypatch.setattr(file_reports, "LARGE_BYTES", 0)
    environment = Environment("orders").cold(1).wait(5).invoke(2)
    environment.events += environment.events
    (tmp_path / "export").mkdir()
    found = report_files([write_export(tmp_path / "export", [environment])])
    assert found.files is not None and found.files.fast
    assert any(note.startswith("2 REPORT lines stand twice") for note in found.notes)


def test_a_large_log_of_report_lines_alone_tells_neither_environments_nor_what_is_unfinished(tmp_path, monkeypatch):
    """A filter for REPORT leaves such a log: 0 environments and 0 unfinished would be numbers nobody has seen."""
    environment = Environment("orders").cold(1)
    for number in range(2, 6):
        environment.wait(5).invoke(number)
    environment.events = [event for event in environment.events if event.message.startswith("REPORT")]
    export = write_export(tmp_path, [environment])
    one_by_one = report_files([export])
    monkeypatch.setattr(file_reports, "LARGE_BYTES", 0)
    digest = report_files([export])
    assert digest.files is not None and digest.files.fast
    assert digest.total == one_by_one.total
    assert digest.total.environments is None
    assert (digest.tells_unfinished, one_by_one.tells_unfinished) == (False, False)
    assert evaluate(digest, [parse_gate("unfinished > 0")])[0].outcome == "untold"


def test_what_needs_single_invocations_makes_them_be_read_one_by_one(large):
    for options in ({"with_rows": True}, {"since_ms": T0}, {"until_ms": T0 + 1}, {"by": ("initialization-type",)}):
        found = report_files([large], **options)
        assert found.files is not None and not found.files.fast
        assert found.saved is not None

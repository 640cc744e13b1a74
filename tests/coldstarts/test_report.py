"""From a run's folder to its report: what is counted, joined, saved, and said."""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from pathlib import Path

import boto3
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.coldstarts.frame import (
    COLUMNS,
    SavedInvocations,
    init_plus_duration_ms,
    join_requests,
    read_parquet,
    to_frame,
    write_parquet,
)
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.names import short_names
from serverless_lab.coldstarts.report import make_report
from serverless_lab.coldstarts.runs import build_report, log_groups
from serverless_lab.errors import BadInput, ReportError, TargetError
from serverless_lab.report_line import render_start
from serverless_lab.targets.base import Capabilities
from tests.coldstarts.runs import MAIL, ORDERS, LogsTarget, manifest, requests, story, write_run
from tests.coldstarts.story import T0, Environment, request_id


def saved(*environments: Environment, **options) -> SavedInvocations:
    events = [event for environment in environments for event in environment.events]
    return SavedInvocations.from_invocations(build_invocations(events, **options), read_at_ms=T0 + 90_000)


@pytest.fixture
def report():
    return make_report(manifest(), saved(*story()), requests())


# --- counting --------------------------------------------------------------------------------------------------------


def test_the_rate_counts_callers_that_waited(report):
    """The proactive init of Mail has an Init Duration and made nobody wait; the reset of Orders has none and did."""
    orders = next(summary for summary in report.functions if summary.function == ORDERS)
    mail = next(summary for summary in report.functions if summary.function == MAIL)
    assert orders.kinds == {"cold": 2, "init-repeated": 1, "warm": 3}
    assert (orders.cold_starts.count, orders.cold_starts.n) == (3, 6)
    assert mail.kinds == {"proactive": 1, "warm": 1}
    assert mail.cold_starts.count == 0
    assert (report.total.cold_starts.count, report.total.invocations) == (3, 8)
    assert report.total.environments == 3


def test_init_and_first_duration_are_shown_together(report):
    """Lazy initialisation moves time from Init Duration into the first Duration; both together cannot hide it."""
    orders = next(summary for summary in report.functions if summary.function == ORDERS)
    assert (orders.init_ms.n, orders.init_ms.max) == (2, 250.0)
    both = orders.init_plus_first_duration_ms
    assert (both.n, both.p50, both.max) == (3, 280.0, 300.0)


def test_memory_timeouts_and_crashes_are_counted(report):
    orders = next(summary for summary in report.functions if summary.function == ORDERS)
    assert (orders.max_memory_used_mb, orders.memory_size_mb) == (91, (256,))
    assert (orders.timeouts, orders.errors) == (1, 0)


def test_time_bins_cover_the_run_and_add_up_to_the_total(report):
    assert report.bin_ms == 2_000
    assert report.bins[0].bin_start_ms == T0
    assert sum(summary.invocations for summary in report.bins) == 8
    assert sum(summary.cold_starts.count or 0 for summary in report.bins) == 3
    assert sum(summary.environments or 0 for summary in report.bins) == 3
    assert [summary.bin_start_ms for summary in report.bins] == [T0 + 2_000 * n for n in range(len(report.bins))]


def test_the_width_of_a_bin_can_be_chosen():
    report = make_report(manifest(), saved(*story()), None, bin_ms=60_000)
    assert len(report.bins) == 1
    with pytest.raises(BadInput, match="bins of 1 ms"):
        make_report(manifest(), saved(*story()), None, bin_ms=1)


def test_a_log_that_does_not_tell_gives_no_rate():
    """MiniStack alone: a share of 0 % would be a lie."""
    report = make_report(
        manifest(), saved(*story(), reports_init_duration=False, one_stream_per_environment=False), requests()
    )
    cold = [summary for summary in report.functions if summary.kinds.keys() == {"unknown"}]
    assert all(summary.cold_starts.rate is None and summary.cold_starts.count is None for summary in cold)


def test_a_target_without_any_sign_says_so():
    """Neither INIT_START nor Init Duration, a stream for every invocation."""
    environments = [Environment(ORDERS, T0 + 10 * number).invoke(number) for number in range(5)]
    report = make_report(
        manifest(), saved(*environments, reports_init_duration=False, one_stream_per_environment=False), None
    )
    assert report.total.cold_starts.rate is None
    assert report.total.environments is None
    assert report.to_json()["total"]["cold_starts"] == {"count": None, "n": 0, "rate": None, "rate_interval_95": None}
    assert any("cannot be told from this target's logs" in note for note in report.notes)


def test_a_run_without_a_single_report_is_a_report_that_says_so():
    report = make_report(manifest(complete=False), saved(), requests())
    assert report.total.invocations == 0
    assert report.bins == ()
    assert any("No REPORT line" in note for note in report.notes)
    assert any("not complete" in note for note in report.notes)


# --- the client's side -----------------------------------------------------------------------------------------------


def test_a_failure_is_what_the_scenario_takes_for_one():
    """With `expect: [502]`, a 502 is a success and a 200 is none."""
    judged = requests()
    judged["succeeded"] = judged["status_code"].eq(502).fillna(False).astype(bool)
    client = make_report(manifest(), saved(*story()), judged).client
    assert client is not None
    assert (client.requests, client.failures) == (7, 6)


def test_client_latency_stands_beside_the_kind_of_its_invocation(report):
    client = report.client
    assert client is not None
    assert (client.requests, client.sent, client.failures, client.joined) == (7, 7, 2, 6)
    assert client.statuses == {200: 5, 502: 1}
    assert client.transport_errors == {"ReadTimeout": 1}
    assert client.latency_ms_by_kind["cold"].max == 290.0
    assert client.latency_ms_by_kind["warm"].n == 3
    assert (client.cold_starts.count, client.cold_starts.n) == (3, 6)
    assert client.unexplained == {"proactive": 1, "warm": 1}


def test_requests_without_a_report_and_with_several_are_counted():
    changed = requests(request_id={2: request_id(999)})
    twice = [*story(), Environment(ORDERS, T0 + 20_000).invoke(1)]
    join = join_requests(changed, saved(*twice).frame)
    assert (join.with_request_id, join.without_report, join.with_several_reports, join.joined) == (6, 1, 1, 5)
    assert list(join.frame["reports"]) == [2, 1, 0, 1, 1, 1, 0]
    assert join.frame["kind"].iloc[0] == "cold", "the first by time counts"
    assert set(join.unexplained["request_id"]) == {request_id(3), request_id(100), request_id(101)}


def test_without_request_ids_nothing_is_joined_and_the_report_says_so():
    nobody = requests(request_id=dict.fromkeys(range(7)))
    report = make_report(manifest(), saved(*story()), nobody)
    assert report.client is not None
    assert (report.client.joined, report.client.latency_ms_by_kind) == (0, {})
    assert report.client.cold_starts.count is None
    assert any("not joined" in note for note in report.notes)


@given(st.data())
def test_a_join_keeps_every_request_once_and_explains_every_invocation_or_not(data):
    ids = [request_id(number) for number in range(8)]
    asked = data.draw(st.lists(st.sampled_from([*ids, None]), max_size=12))
    served = data.draw(st.lists(st.sampled_from(ids), max_size=12))
    frame = pd.DataFrame(
        {
            "request_id": pd.Series(asked, dtype="str"),
            "latency_ms": np.arange(float(len(asked))),
        }
    )
    environment = Environment()
    for text in served:
        environment.wait(1).invoke(int(text.split("-")[0], 16))
    join = join_requests(frame, saved(environment).frame)
    assert list(join.frame["latency_ms"]) == list(frame["latency_ms"])
    assert list(join.frame["reports"]) == [served.count(text) if text else 0 for text in asked]
    assert len(join.unexplained) == sum(text not in asked for text in served)
    assert join.without_report == sum(text is not None and text not in served for text in asked)


# --- the frame and its file ------------------------------------------------------------------------------------------


def test_the_frame_has_the_documented_columns_and_absent_is_missing():
    frame = saved(*story()).frame
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        name: dtype for name, (dtype, _) in COLUMNS.items()
    }
    assert frame["init_duration_ms"].isna().sum() == 5
    assert frame["status"].isna().sum() == 7
    empty = to_frame(())
    assert list(empty.columns) == list(COLUMNS)
    assert init_plus_duration_ms(frame).notna().sum() == 3


def test_a_saved_file_gives_back_what_was_written(tmp_path):
    events = [event for environment in story() for event in environment.events]
    open_one = Environment(ORDERS).write(render_start(request_id(7), "1")).write("REPORT RequestId: x\tDuration: no")
    told = SavedInvocations.from_invocations(
        build_invocations([*events, *open_one.events]), missing_groups=("/aws/lambda/x",), unreported=2, read_at_ms=5
    )
    write_parquet(tmp_path / "invocations.parquet", told)
    again = read_parquet(tmp_path / "invocations.parquet")
    pd.testing.assert_frame_equal(again.frame, told.frame)
    assert (again.inits, again.unfinished, again.unreadable) == (told.inits, told.unfinished, told.unreadable)
    assert (again.missing_groups, again.unreported, again.read_at_ms) == (("/aws/lambda/x",), 2, 5)


def test_a_file_of_another_kind_is_refused_with_a_way_out(tmp_path):
    path = tmp_path / "invocations.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(ReportError, match="another version") as caught:
        read_parquet(path)
    assert "--refresh" in (caught.value.hint or "")
    path.write_bytes(b"not parquet")
    with pytest.raises(ReportError, match="cannot be read"):
        read_parquet(path)


# --- out -------------------------------------------------------------------------------------------------------------


def test_the_json_is_plain_data_with_units_in_its_keys(report):
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["schema"] == 1
    assert data["total"]["cold_starts"]["count"] == 3
    assert data["total"]["cold_starts"]["rate_interval_95"] == pytest.approx([0.1368, 0.6943], abs=1e-3)
    assert data["functions"][1]["init_ms"]["p50"] == 230.0
    assert data["client"]["latency_ms_by_kind"]["cold"]["n"] == 2
    assert data["bin_ms"] == 2_000


def test_every_column_of_the_frame_is_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "coldstarts.md").read_text()
    assert [name for name in COLUMNS if f"`{name}`" not in page] == []


def test_the_csv_has_a_row_per_function_and_time_bin(report):
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert {row["function"] for row in rows} == {ORDERS, MAIL}
    assert sum(int(row["invocations"]) for row in rows) == 8
    assert sum(int(row["cold"]) + int(row["init_repeated"]) for row in rows) == 3
    assert [row["function"] for row in rows] == sorted(row["function"] for row in rows)


def test_names_lose_what_they_have_in_common_while_they_stay_different():
    assert short_names([ORDERS, MAIL], "lab-shop") == {ORDERS: "Orders", MAIL: "Mail"}
    assert short_names(["lab-shop-a", "other"], "lab-shop") == {"lab-shop-a": "lab-shop-a", "other": "other"}
    both = ["s-Orders-A1B2C3D4E5F6", "s-Orders-Z9Y8X7W6V5U4"]
    assert list(short_names(both, "s").values()) == ["Orders-A1B2C3D4E5F6", "Orders-Z9Y8X7W6V5U4"]


def test_a_manifest_may_name_functions_in_two_ways():
    assert log_groups({"functions": ["orders", "/shop/all", {"name": "m", "log_group": "/x/m"}, {"name": "n"}]}) == {
        "/aws/lambda/orders": "orders",
        "/shop/all": "/shop/all",
        "/x/m": "m",
        "/aws/lambda/n": "n",
    }


# --- a run's folder and its target -----------------------------------------------------------------------------------


@pytest.fixture
def logs(ministack):
    client = boto3.client(
        "logs",
        endpoint_url=ministack,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    for environment in story():
        for create in (
            lambda e=environment: client.create_log_group(logGroupName=e.group),
            lambda e=environment: client.create_log_stream(logGroupName=e.group, logStreamName=e.stream),
        ):
            try:
                create()
            except client.exceptions.ResourceAlreadyExistsException:
                continue
        batch = [{"timestamp": event.timestamp_ms, "message": event.message} for event in environment.events]
        client.put_log_events(logGroupName=environment.group, logStreamName=environment.stream, logEvents=batch)
    yield client
    for group in {environment.group for environment in story()}:
        client.delete_log_group(logGroupName=group)


def test_a_report_is_read_from_the_target_once_and_from_the_file_after(logs, tmp_path):
    folder = write_run(tmp_path / "run", requests=requests())
    first = build_report(run_folder=folder, target=LogsTarget(logs))
    assert (first.source, first.total.invocations, first.total.cold_starts.count) == ("log", 8, 3)
    assert first.client is not None and first.client.joined == 6
    again = build_report(run_folder=folder, target=None)
    assert again.source == "file"
    assert any("target is gone" in note for note in again.notes)
    assert again.functions == first.functions
    assert again.to_json()["bins"] == first.to_json()["bins"]
    assert build_report(run_folder=folder, target=LogsTarget(logs), refresh=True).source == "log"


def test_a_log_that_has_lost_the_run_does_not_overwrite_what_was_read(logs, tmp_path):
    """An emulator that was started anew knows nothing of yesterday's run."""
    folder = write_run(tmp_path / "run")
    build_report(run_folder=folder, target=LogsTarget(logs))
    for group in {environment.group for environment in story()}:
        logs.delete_log_group(logGroupName=group)
        logs.create_log_group(logGroupName=group)
    kept = build_report(run_folder=folder, target=LogsTarget(logs), refresh=True)
    assert (kept.source, kept.total.invocations) == ("file", 8)
    assert any("no longer has all of this run" in note for note in kept.notes)


def test_a_target_that_cannot_be_reached_is_an_error_only_without_a_saved_file(logs, tmp_path):
    gone = boto3.client(
        "logs",
        endpoint_url="http://127.0.0.1:9",
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=boto3.session.Config(retries={"total_max_attempts": 1}),
    )
    folder = write_run(tmp_path / "run")
    with pytest.raises(TargetError):
        build_report(run_folder=folder, target=LogsTarget(gone))
    with pytest.raises(ReportError, match="never read"):
        build_report(run_folder=folder, target=None)
    build_report(run_folder=folder, target=LogsTarget(logs))
    report = build_report(run_folder=folder, target=LogsTarget(gone), refresh=True)
    assert report.source == "file"
    assert any("could not be read" in note for note in report.notes)


def test_what_a_target_cannot_tell_comes_from_its_capabilities(logs, tmp_path):
    folder = write_run(tmp_path / "run")
    silent = Capabilities(reports_init_duration=False, one_log_stream_per_environment=False, request_id_header=False)
    report = build_report(run_folder=folder, target=LogsTarget(logs, silent))
    mail = next(summary for summary in report.functions if summary.function == MAIL)
    assert "unknown" in mail.kinds


def test_a_run_that_was_cut_short_is_read_to_the_logs_end(logs, tmp_path):
    """Its manifest has no end yet; what it logged counts all the same, and so do the problems it noted."""
    changes = {"ended_at_ms": None, "complete": False, "problems": ["The load generator was late."]}
    report = build_report(run_folder=write_run(tmp_path / "run", **changes), target=LogsTarget(logs))
    assert report.total.invocations == 8
    assert "The load generator was late." in report.notes


def test_status_codes_may_come_as_floats(logs, tmp_path):
    """Parquet's int64 with nulls becomes float64 in pandas."""
    asked = requests().astype({"status_code": "float64"})
    report = build_report(run_folder=write_run(tmp_path / "run", requests=asked), target=LogsTarget(logs))
    assert report.client is not None
    assert report.client.statuses == {200: 5, 502: 1}


def test_what_ministack_itself_logs_is_read_and_makes_no_claim_of_cold_starts(ministack, tmp_path):
    """Its own REPORT lines: whole milliseconds, no Init Duration, a stream for every invocation."""
    options = {"endpoint_url": ministack, "region_name": "eu-west-1"}
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test")
    functions = session.client("lambda", **options)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("app.py", "def handler(event, context):\n    print('working')\n    return event\n")
    functions.create_function(
        FunctionName="report-reader",
        Runtime="python3.12",
        Role="arn:aws:iam::000000000000:role/any",
        Handler="app.handler",
        Code={"ZipFile": archive.getvalue()},
    )
    for _ in range(3):
        functions.invoke(FunctionName="report-reader", Payload=b"{}")
    now_ms = int(time.time() * 1000)
    folder = write_run(tmp_path / "run", functions=["report-reader"], started_at_ms=now_ms - 60_000, ended_at_ms=now_ms)
    silent = Capabilities(reports_init_duration=False, one_log_stream_per_environment=False, request_id_header=False)
    report = build_report(run_folder=folder, target=LogsTarget(session.client("logs", **options), silent))
    functions.delete_function(FunctionName="report-reader")
    assert report.total.kinds == {"unknown": 3}
    assert report.total.duration_ms.n == 3
    assert (report.unreadable, report.unfinished) == (0, 0)
    assert report.total.cold_starts.rate is None


def test_a_folder_without_a_manifest_is_named(tmp_path):
    with pytest.raises(ReportError, match=r"has no manifest\.json"):
        build_report(run_folder=tmp_path, target=None)


def test_a_function_that_never_ran_is_listed(logs, tmp_path):
    functions = [{"name": "idle", "log_group": "/aws/lambda/idle"}, {"name": ORDERS}]
    report = build_report(run_folder=write_run(tmp_path / "run", functions=functions), target=LogsTarget(logs))
    assert "Never ran (no log group): idle." in report.notes
    assert report.total.invocations == 6

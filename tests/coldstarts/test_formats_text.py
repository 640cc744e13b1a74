"""What AWS's tools print, line by line."""

from __future__ import annotations

import json

import pytest

from serverless_lab.coldstarts.formats_text import BROKEN, BROKEN_JSON, CUT, TextReader, Unreadable, Where, read_text
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.platform_events import render_json
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import (
    EndLine,
    FaultLine,
    InitReport,
    ReportLine,
    StartLine,
    parse,
    render,
    render_start,
)
from tests.coldstarts.story import T0, request_id

STREAM = "2026/11/24/[1]" + "a" * 32
ID = "3fd21ffd-4a8b-4d08-9435-89717282b90a"


def report(number: int, **fields) -> str:
    return render(ReportLine(request_id(number), 20.0, 21, 256, 80, **fields))


def read(text: str, **where) -> list[LogEvent | Unreadable]:
    return list(read_text([text], Where("x", **where)))


def lines_in(text: str) -> list[object]:
    """What the events say."""
    return [item.line if isinstance(item, LogEvent) else item for item in read(text)]


# --- prefixes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "stream", "timestamp_ms"),
    [
        ("", "", None),
        (f"2025-11-24T16:00:00.250000+00:00 {STREAM} ", STREAM, T0 + 250),
        (f"{STREAM} 2025-11-24T16:00:00.250000 ", STREAM, T0 + 250),
        (f"{STREAM} 2025-11-24T16:00:00+00:00 ", STREAM, T0),
        (f'{T0},"', "", T0),
        ("2025-11-24T16:00:00.250Z ", "", T0 + 250),
        ("2025-11-24T17:00:00,250+01:00 ", "", T0 + 250),
        ("2025-11-24 16:00:00.250\t", "", T0 + 250),
        (f"| {T0 + 250} | ", "", T0 + 250),
        ("| 2025-11-24 16:00:00.250 | ", "", T0 + 250),
        (" ▶ 2025-11-24T16:00:00.250Z ", "", T0 + 250),
        ("@message=", "", None),
        (f"@timestamp=2025-11-24 16:00:00.250, @logStream={STREAM}, @message=", STREAM, T0 + 250),
        (f"@timestamp={T0} @message=", "", T0),
        ("2025-11-24T16:00:00.250Z\n", "", T0 + 250),
        ("  ", "", None),
        (f"\x1b[33m{STREAM}\x1b[0m \x1b[32m2025-11-24T16:00:00.250000\x1b[0m ", STREAM, T0 + 250),
    ],
)
def test_what_tools_print_before_a_line_is_understood(prefix, stream, timestamp_ms):
    """`aws logs tail`, `sam logs` (in colour too), the console's table and list, an export to S3, a query's rows."""
    (event,) = read(prefix + report(1), log_group="/aws/lambda/orders")
    assert isinstance(event, LogEvent)
    assert (event.log_group, event.log_stream, event.timestamp_ms) == ("/aws/lambda/orders", stream, timestamp_ms)
    assert event.line == parse(report(1))


def test_a_log_group_in_front_of_the_line_names_the_function():
    text = f"/aws/lambda/orders {STREAM} 2025-11-24T16:00:00.250Z {report(1)}"
    events = [event for event in read(text) if isinstance(event, LogEvent)]
    assert [row.function for row in build_invocations(events).rows] == ["orders"]


def test_an_application_that_quotes_a_platform_line_wrote_no_platform_line():
    text = "I saw " + report(1) + "2026-11-24 INFO: " + render_start(request_id(1), "1")
    assert read(text + "2025-11-24T16:00:00.250Z an event\n") == []


def test_a_json_event_behind_a_prefix_is_read_and_tells_its_time_itself():
    event = ReportLine(request_id(1), 20.0, 21, 256, 80)
    assert lines_in(f"{STREAM} 2025-11-24T16:00:00+00:00 {render_json(event, T0)}\n") == [event]
    (found,) = read(render_json(event, T0 + 7) + "\n")
    assert isinstance(found, LogEvent)
    assert found.timestamp_ms == T0 + 7


@pytest.mark.parametrize("time", ["2025-13-24T16:00:00.250Z", "2025-11-24T25:00:00.250Z"])
def test_a_time_that_does_not_exist_is_shown_and_not_guessed(time):
    (place,) = read(f"{time} {report(1)}")
    assert isinstance(place, Unreadable)
    assert "time" in place.reason


# --- records over several lines --------------------------------------------------------------------------------------


def test_x_ray_ids_on_the_next_line_belong_to_the_report_before():
    traced = ReportLine(request_id(1), 20.0, 21, 256, 80, xray_trace_id="1-a", xray_segment_id="b", xray_sampled=True)
    assert lines_in(render(traced) + "output\n" + report(2)) == [traced, parse(report(2))]


def test_a_report_with_one_field_a_line_is_one_report():
    """Copies from a page or a console lose their tabs this way too."""
    whole = ReportLine(ID, 3.01, 4, 128, 36, 110.1, status="error", error_type="Runtime.ExitError")
    for separator in ("\n", "\n  ", "\r\n"):
        text = render(whole).replace("\t", separator)
        assert lines_in(text + "Duration: 9 ms\n" + report(2)) == [whole, parse(report(2))]


def test_a_report_that_aws_prints_over_two_lines_is_one_report():
    """https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html shows it so."""
    text = (
        "2022-12-20T01:00:00.000-08:00 START RequestId: XXX Version: $LATEST\n"
        "2022-12-20T01:00:02.500-08:00 END RequestId: XXX\n"
        "2022-12-20T01:00:02.500-08:00 REPORT RequestId: XXX Duration: 3022.91 ms\n"
        "Billed Duration: 3000 ms Memory Size: 512 MB Max Memory Used: 157 MB\n"
    )
    assert lines_in(text) == [StartLine("XXX", "$LATEST"), ReportLine("XXX", 3022.91, 3000, 512, 157)]


@pytest.mark.parametrize("line", ["Status: done", "Status: timeout", "Duration: 9 ms", "Init Duration: 9 ms"])
def test_what_an_application_prints_after_a_report_is_not_a_part_of_it(line):
    assert lines_in(report(1) + line + "\n") == [parse(report(1))]


def test_the_type_of_a_crash_may_stand_on_the_next_line():
    text = f"RequestId: {ID} Error: Runtime exited with error: signal: killed\nRuntime.ExitError\nEND RequestId: {ID}\n"
    assert lines_in(text) == [FaultLine(ID, "Runtime exited with error: signal: killed", "Runtime.ExitError")]


def test_a_timeout_in_the_old_style_has_its_own_time():
    (event,) = read(f"2025-11-24T16:00:00.250Z {ID} Task timed out after 3.00 seconds\n\n")
    assert isinstance(event, LogEvent)
    assert event.timestamp_ms == T0 + 250
    assert isinstance(event.line, FaultLine)


def test_the_consoles_list_has_the_time_above_the_line():
    """https://github.com/awslabs/llrt/issues/694 shows such a copy."""
    text = (
        "2024-11-19T10:34:33.325Z\nINIT_START Runtime Version: provided:al2023.v41\n"
        "2024-11-19T10:34:43.325Z\nINIT_REPORT Init Duration: 9999.76 ms Phase: init Status: timeout\n"
        "2024-11-19T10:35:43.372Z\nINIT_REPORT Init Duration: 60026.37 ms Phase: invoke Status: timeout\n"
    )
    events = [event for event in read(text) if isinstance(event, LogEvent)]
    assert [event.timestamp_ms for event in events] == [1732012473325, 1732012483325, 1732012543372]
    assert isinstance(events[2].line, InitReport)


def test_the_time_above_a_line_of_the_application_is_not_the_next_lines():
    (event,) = read(f"2024-11-19T10:34:33.325Z\nhello\n{report(1)}")
    assert isinstance(event, LogEvent)
    assert event.timestamp_ms is None


# --- what is not read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"REPORT RequestId: {ID}\tDuration: gone\n", BROKEN),
        (f"REPORT RequestId: {ID}\tRuntime Duration: 2.50 ms\n", BROKEN),
        ('{"time":"2025-11-24T16:00:00.250Z","type":"platform.report","record":{"requestId":"x"}}\n', BROKEN),
        ('{"time":"2025-11-24T16:00:00.250Z","type":"platform.report","record":{"requestI\n', BROKEN_JSON),
        ('{"time":"2025-11-24T16:00:00.250Z","type":"platform.report","record":{"requestI', CUT),
        (f"REPORT RequestId: {ID}\tDuration: 3.01 ms\tBilled Dur", CUT),
        (f"REPORT - {ID}\nDuration: 3.01 ms\n", "a tool's own words"),
        ("END Duration: 3.22 ms\tBilled Duration: 4 ms\tMemory Size: 1024 MB\n", "a tool's own words"),
    ],
)
def test_what_cannot_be_read_is_shown_with_its_line(line, reason):
    """The last two are the Serverless Framework's: one loses the field name, the other the request id."""
    place, *others = read(f"hello\n{line}")
    assert isinstance(place, Unreadable)
    assert (place.line, place.text) == (2, line.split("\n")[0].rstrip())
    assert place.reason.startswith(reason)
    assert others == []


@pytest.mark.parametrize(
    "line",
    [
        f"{ID} START DistributionID: E1ABC\n",
        f"{ID} END\n",
        f"(λ: hello) RequestId: {ID}  Duration: 12.34 ms  Billed Duration: 13 ms\n",
        f"{ID} Task timed out after a while\n",
        f"[ERROR] 2025-11-24T16:00:00.250Z {ID} boom\n",
        "CWL CONTROL MESSAGE: Checking health of destination Firehose.\n",
    ],
)
def test_other_services_and_emulators_lines_are_not_taken_for_lambdas(line):
    """CloudFront Functions, serverless-offline, the runtimes themselves."""
    assert [item for item in read(line) if isinstance(item, LogEvent)] == []


def test_a_last_line_without_a_line_end_does_not_say_that_there_was_no_init():
    """Whether it was cut before an Init Duration cannot be seen. Everything else in it stands."""
    rows = build_invocations([item for item in read(report(1).rstrip()) if isinstance(item, LogEvent)]).rows
    assert [(row.kind, row.duration_ms, row.max_memory_used_mb) for row in rows] == [("unknown", 20.0, 80)]
    cold = report(1, init_duration_ms=110.1).rstrip()
    rows = build_invocations([item for item in read(cold) if isinstance(item, LogEvent)]).rows
    assert [row.kind for row in rows] == ["cold"]


def test_json_over_several_lines_among_text_is_never_passed_over_in_silence():
    event = json.dumps(json.loads(render_json(ReportLine(request_id(1), 20.0), T0)), indent=4)
    (place,) = [item for item in read(f"{report(2)}{event}\n") if isinstance(item, Unreadable)]
    assert (place.line, "--format json" in place.reason) == (4, True)


def test_only_what_is_looked_at_later_is_kept():
    """Half of a log's platform lines say nothing more than the others: END, extensions, the runtime being done."""
    reader = TextReader(Where("x"))
    text = f"END RequestId: {ID}\n", "EXTENSION\tName: a\tState: Ready\tEvents: []\n", report(1)
    found = [item for number, line in enumerate(text, 1) for item in reader.feed(number, line)]
    found += reader.finish()
    assert [type(item.line) for item in found if isinstance(item, LogEvent)] == [ReportLine]
    assert EndLine not in {type(item) for item in found}

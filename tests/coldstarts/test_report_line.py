"""The grammar of platform lines: literal samples, and properties that hold for any line and any text."""

from __future__ import annotations

import dataclasses
import json
import re
import string
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab import report_line
from serverless_lab.coldstarts.platform_events import (
    InitRuntimeDone,
    LogsDropped,
    RestoreRuntimeDone,
    RuntimeDone,
    Span,
    parse_json,
    read_event,
    render_json,
)
from serverless_lab.report_line import (
    EndLine,
    ExtensionLine,
    FaultLine,
    InitReport,
    InitStart,
    ReportLine,
    RestoreReport,
    RestoreStart,
    StartLine,
    SubscriptionLine,
    find_platform_line,
    has_init_duration_first,
    is_platform_line,
    parse,
    parse_line,
    render,
    render_end,
    render_extension,
    render_fault,
    render_init_report,
    render_init_start,
    render_restore_report,
    render_restore_start,
    render_start,
    render_subscription,
    whole_part,
)

RECORDED = Path(__file__).parents[1] / "recorded"
SAMPLES = json.loads((RECORDED / "platform_lines.json").read_text())
ID = "3fd21ffd-4a8b-4d08-9435-89717282b90a"
CLASSIC = (
    f"REPORT RequestId: {ID}\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n"
)


def rendered(line: report_line.PlatformLine) -> str:
    match line:
        case ReportLine():
            return render(line)
        case StartLine():
            return render_start(line.request_id, line.version or "")
        case EndLine():
            return render_end(line.request_id)
        case InitStart():
            return render_init_start(line.runtime_version or "", line.runtime_version_arn or "")
        case InitReport():
            return render_init_report(line)
        case RestoreStart():
            return render_restore_start(line.runtime_version or "", line.runtime_version_arn or "")
        case RestoreReport():
            return render_restore_report(line)
        case FaultLine():
            return render_fault(line)
        case ExtensionLine():
            return render_extension(line)
        case SubscriptionLine():
            return render_subscription(line)


def json_time_ms(text: str) -> int:
    """The `time` of a rendered event, read independently of the reader."""
    stamp = datetime.strptime(json.loads(text)["time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return round(stamp.timestamp() * 1000)


# --- literal samples -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample["name"] for sample in SAMPLES])
def test_a_recorded_line_has_the_fields_it_shows_and_no_other(sample):
    """A field that the line does not show must stay None: a zero would be a measurement nobody made."""
    text = sample["text"]
    line = parse_json(text) if text.startswith("{") else parse_line(text)
    assert line is not None
    assert type(line).__name__ == sample["line"]
    found = {name: value for name, value in dataclasses.asdict(line).items() if value is not None and value != ()}
    assert json.loads(json.dumps(found)) == {name: value for name, value in sample["fields"].items() if value != []}
    if sample["renders"]:
        assert (render_json(line, json_time_ms(text)) if text.startswith("{") else rendered(line)) == text


def test_lines_have_the_separators_and_ends_that_were_recorded_on_aws():
    """Other readers of the emulated log (Insights queries, agents) key on tabs and line ends."""
    forms = json.loads((RECORDED / "snapshot_forms.json").read_text())
    report = ReportLine(ID, 3.01, 114, 128, 36, init_duration_ms=110.1)
    lines = [render_start(ID, "$LATEST"), render_end(ID), render(report)]
    as_forms = []
    for line in lines:
        line = line.replace(ID, "<request-id>")
        line = re.sub(r"Duration: [\d.]+", "Duration: <duration>", line)
        as_forms.append(re.sub(r"Used: \d+", "Used: <memory>", line))
    assert as_forms == forms


def test_durations_have_two_decimals_and_the_line_ends_in_tab_and_newline():
    assert render(ReportLine(ID, 3.01, 4, 128, 36)) == CLASSIC
    assert "Init Duration: 110.10 ms\t\n" in render(ReportLine(ID, 3.0, 4, 128, 36, init_duration_ms=110.1))


def test_a_line_with_a_status_ends_without_a_tab():
    line = render(ReportLine(ID, 3000.0, 3403, 128, 36, init_duration_ms=402.04, status="timeout"))
    assert line.endswith("Init Duration: 402.04 ms\tStatus: timeout\n")


@pytest.mark.parametrize(
    "text",
    [
        f"REPORT RequestId: {ID}",
        f"REPORT RequestId: {ID}\tBilled Duration: 4 ms",
        f"REPORT RequestId: {ID}\tRuntime Duration: 4.00 ms\tPost Runtime Duration: 1.00 ms",
        f"REPORT RequestId: {ID}\tDuration: 3,01 ms",
        f"REPORT RequestId: {ID}\tDuration: 3.01 s",
        f"REPORT RequestId: {ID}\tDuration: 3.01 msec",
        f"REPORT RequestId: {ID}\tDuration: 3.01 MB",
        f"REPORT - {ID}\nDuration: 3.01 ms",
        f"INIT_REPORT Init Duration: 9 ms RequestId: {ID} Duration: 3.01 ms",
        "REPORT of the day: Duration: 3.01 ms",
    ],
)
def test_a_line_without_a_duration_of_its_own_is_no_report(text):
    """`Billed Duration`, `Runtime Duration` and the others end in `Duration:` too."""
    assert parse(text) is None


def test_a_number_in_another_unit_is_not_the_field():
    """Bytes, or a time for a size: neither is turned into what the field would be."""
    found = parse(f"REPORT RequestId: {ID}\tDuration: 3.01 ms\tMemory Size: 128 ms\tMax Memory Used: 37748736\t\n")
    assert found is not None
    assert (found.duration_ms, found.memory_size_mb, found.max_memory_used_mb) == (3.01, None, None)


def test_a_field_of_another_tool_is_stepped_over():
    """Datadog's extension adds fields; those after it still count."""
    text = CLASSIC.replace("\tMemory", "\tRuntime Duration: 2.50 ms\tPost Runtime Duration: 1.00 ms\tMemory")
    assert parse(text) == parse(CLASSIC)


@pytest.mark.parametrize("separator", ["\t", " ", "   ", "\n", "\r\n", ""])
def test_separators_lost_in_copying_do_not_matter(separator):
    report = ReportLine(ID, 3.01, 4, 128, 36, init_duration_ms=1.5, status="error", error_type="Runtime.ExitError")
    assert parse(render(report).replace("\t", separator)) == report


def test_fields_may_stand_in_any_order():
    """AWS's runtime interface emulator prints Init Duration first."""
    text = f"REPORT RequestId: {ID}\tInit Duration: 0.03 ms\tMax Memory Used: 36 MB\tDuration: 3.01 ms\n"
    assert parse(text) == ReportLine(ID, 3.01, max_memory_used_mb=36, init_duration_ms=0.03)
    assert has_init_duration_first(text)
    assert not has_init_duration_first(render(ReportLine(ID, 3.01, init_duration_ms=0.03)))


def test_what_follows_the_line_is_not_read_as_a_part_of_it():
    assert parse(CLASSIC + "the Init Duration: 12.00 ms\n") == parse(CLASSIC)
    assert parse(CLASSIC + CLASSIC.replace("36 MB\t", "36 MB\tInit Duration: 9.00 ms\t")) == parse(CLASSIC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CLASSIC, True),
        ("START RequestId: x", True),
        ("INIT_START Runtime Version: python:3.12.v1", True),
        ("START of the nightly job", False),
        ("REPORT written to s3://bucket/key", False),
        ("2026-11-23 " + CLASSIC, False),
    ],
)
def test_an_applications_own_words_are_not_platform_lines(text, expected):
    assert is_platform_line(text) is expected


def test_a_line_is_found_behind_what_tools_put_before_it():
    prefix = "2026/11/23/[1]" + "a" * 32 + " 2026-11-23T10:00:00 "
    assert find_platform_line(prefix + CLASSIC) == len(prefix)
    assert find_platform_line("nothing here") is None


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "platform.report"}',
        '{"type": "platform.report", "record": "a string"}',
        '{"type": "platform.report", "record": {"requestId": "x", "metrics": {"durationMs": "3"}}}',
        '{"type": "platform.report", "record": {"requestId": "x", "metrics": {"durationMs": true}}}',
        '{"type": "platform.report", "record": {"requestId": "x", "metrics": {"durationMs": NaN}}}',
        '{"type": "platform.report", "record": {"requestId": "x", "metrics": {"durationMs": -1}}}',
        '{"type": "platform.runtimeDone", "record": {"metrics": {"durationMs": 3}}}',
        '{"type": "platform.invokeSummary", "record": {"requestId": "x", "metrics": {"durationMs": 3}}}',
        '{"type": "platform.fault", "record": "RequestId: x"}',
        '{"type": "platform.fault", "record": {"requestId": "x"}}',
        '{"type": "platform.initReport", "record": {"metrics": {}}}',
        '{"type": "platform.logsDropped", "record": {"droppedRecords": 1.5}}',
        '{"type": "function", "record": "REPORT RequestId: x Duration: 1 ms"}',
        '{"type": "platform.report", "record": {',
        "[" * 100_000 + '"platform.report"',
    ],
)
def test_a_json_event_that_does_not_say_it_is_nothing(text):
    assert read_event(text) is None


# --- properties ------------------------------------------------------------------------------------------------------

ids = st.uuids().map(str)
durations = st.integers(0, 90_000_000).map(lambda hundredths: hundredths / 100)
whole = st.integers(0, 1_000_000)
words = st.text(alphabet=string.ascii_letters + string.digits, min_size=1, max_size=12)
statuses = st.sampled_from(["timeout", "error", "failure"])
error_types = st.builds("{}.{}".format, words, words)


@st.composite
def reports(draw):
    traced = draw(st.booleans())
    return ReportLine(
        request_id=draw(ids),
        duration_ms=draw(durations),
        billed_duration_ms=draw(st.none() | whole),
        memory_size_mb=draw(st.none() | whole),
        max_memory_used_mb=draw(st.none() | whole),
        init_duration_ms=draw(st.none() | durations),
        restore_duration_ms=draw(st.none() | durations),
        billed_restore_duration_ms=draw(st.none() | whole),
        status=draw(st.none() | statuses),
        error_type=draw(st.none() | error_types),
        xray_trace_id=draw(words) if traced else None,
        xray_segment_id=draw(st.none() | words) if traced else None,
        xray_sampled=draw(st.none() | st.booleans()) if traced else None,
    )


@given(reports())
def test_parsing_what_was_rendered_gives_the_same_report(report):
    assert parse(render(report)) == report
    assert parse_line(render(report)) == report


@given(reports(), st.sampled_from(["\n", "", "\t\n", " \n", "\tX: 1\n"]))
def test_the_usual_form_is_read_as_any_other_is(report, end):
    """It is read in one step. A field between the others has every field read on its own."""
    text = render(report).rstrip("\n") + end
    assert parse(text) == parse(text.replace("\tDuration", "\tX: 1 MB\tDuration", 1))


@given(reports(), st.text(max_size=40))
def test_a_prefix_changes_nothing(report, prefix):
    """Tools put stream, time, or a container's name before the line."""
    if find_platform_line(prefix + " ") is None:
        assert parse(f"{prefix} {render(report)}") == report


phases = st.sampled_from(["init", "invoke"])
times = st.datetimes(datetime(2014, 1, 1), datetime(2034, 1, 1)).map(lambda at: at.isoformat()[:19] + ".123Z")
timeouts = st.integers(1, 90_000).map(lambda hundredths: f"Task timed out after {hundredths / 100:.2f} seconds")
exits = st.sampled_from(
    [
        "Runtime exited with error: signal: killed",
        "Runtime exited with error: exit status 106",
        "Runtime exited without providing a reason",
        "Couldn't find valid bootstrap(s): [/var/task/bootstrap]",
    ]
)
fault_types = st.none() | st.sampled_from(["Runtime.ExitError", "Extension.Crash", "Runtime.InvalidEntrypoint"])
faults = (
    st.builds(FaultLine, ids, timeouts, st.none(), times)
    | st.builds(FaultLine, ids, exits, fault_types)
    | st.builds(FaultLine, ids, st.just("Process exited before completing request"))
)
lists = st.lists(words, max_size=3).map(tuple)
states = words | st.just("Already subscribed")
extensions = st.builds(ExtensionLine, words, states, lists, fault_types) | st.builds(
    SubscriptionLine, words, states, lists, st.booleans()
)


@given(
    st.builds(StartLine, ids, words)
    | st.builds(EndLine, ids)
    | st.builds(InitStart, words, words)
    | st.builds(InitReport, durations, st.none() | phases, st.none() | statuses)
    | st.builds(RestoreStart, words, words)
    | st.builds(RestoreReport, durations, st.none() | statuses, st.none() | error_types)
    | faults
    | extensions
)
def test_parsing_any_other_rendered_line_gives_the_same_line(line):
    assert parse_line(rendered(line)) == line
    assert is_platform_line(rendered(line))


maybe = st.none() | words
thousandths = st.integers(0, 90_000_000).map(lambda number: number / 1000)
types = st.none() | st.sampled_from(["on-demand", "provisioned-concurrency", "snap-start", "lambda-managed-instances"])
spans = st.builds(Span, words, times, thousandths)


@given(
    reports()
    | st.builds(ReportLine, ids, thousandths, init_duration_ms=thousandths, restore_duration_ms=thousandths)
    | st.builds(StartLine, ids, maybe, maybe)
    | st.builds(EndLine, ids)
    | st.builds(InitStart, maybe, maybe, types, st.none() | phases, maybe, maybe, maybe, st.none() | whole)
    | st.builds(InitRuntimeDone, types, st.none() | phases, st.none() | statuses, maybe)
    | st.builds(InitReport, thousandths, st.none() | phases, st.none() | statuses, maybe, types)
    | st.builds(RestoreStart, maybe, maybe, maybe, maybe, maybe)
    | st.builds(RestoreRuntimeDone, st.none() | statuses, maybe)
    | st.builds(RestoreReport, thousandths, st.none() | statuses, maybe)
    | st.builds(
        RuntimeDone,
        ids,
        st.none() | statuses,
        maybe,
        st.none() | thousandths,
        st.none() | whole,
        st.lists(spans, max_size=3).map(tuple),
    )
    | st.builds(LogsDropped, whole, st.none() | whole, maybe)
    | faults
    | extensions,
    st.integers(0, 2_000_000_000_000),
)
def test_parsing_any_event_rendered_as_json_gives_the_same_event(event, at_ms):
    text = render_json(event, at_ms)
    assert parse_json(text) == event
    assert read_event(text + "\n") == event
    assert json_time_ms(text) == at_ms


# --- lines that were cut ---------------------------------------------------------------------------------------------


@given(reports(), st.data())
def test_what_is_left_of_a_cut_report_says_nothing_the_whole_one_does_not(report, data):
    """A status or an error type that was cut must not become another; what may have followed is not assumed absent."""
    text = render(report)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    part = whole_part(cut)
    found = None if part is None else parse(part)
    if found is not None:
        known = {name: value for name, value in dataclasses.asdict(found).items() if value is not None}
        assert known.items() <= dataclasses.asdict(report).items()
        assert "max_memory_used_mb" in known


@given(
    st.builds(StartLine, ids, words)
    | st.builds(EndLine, ids)
    | st.builds(InitReport, durations, st.none() | phases, st.none() | statuses)
    | st.builds(RestoreReport, durations, st.none() | statuses, st.none() | error_types)
    | faults,
    st.data(),
)
def test_what_is_left_of_any_cut_line_says_nothing_the_whole_one_does_not(line, data):
    text = rendered(line)
    part = whole_part(text[: data.draw(st.integers(0, len(text) - 1))])
    found = None if part is None else parse_line(part)
    if found is not None and not isinstance(found, FaultLine):
        known = {name: value for name, value in dataclasses.asdict(found).items() if value is not None}
        assert known.items() <= dataclasses.asdict(line).items()
    elif found is not None:
        assert (found.request_id, found.status) == (line.request_id, line.status)
        assert found.error_type in (None, line.error_type)


@pytest.mark.parametrize("end", ["t", "time", "timeou", "e", "err"])
def test_a_report_that_was_cut_within_its_status_tells_nothing(end):
    """It failed, and would look like one that did not."""
    assert whole_part(f"{CLASSIC.rstrip()}\tStatus: {end}") is None


def test_a_whole_line_without_a_line_end_is_read():
    """A log that was pasted somewhere often has lost its last line end."""
    cold = CLASSIC.replace("36 MB\t", "36 MB\tInit Duration: 110.10 ms\t")
    failed = CLASSIC.replace("36 MB\t\n", "36 MB\tStatus: error\tError Type: Runtime.ExitError\n")
    for line in (CLASSIC, cold, failed):
        assert whole_part(line.rstrip()) == line.rstrip()


# Text that looks like the real thing, cut and mixed at any place.
shards = st.sampled_from(
    f"REPORT |RequestId: |{ID}|\t|\n|Duration: |Billed Duration: |Init Duration: |Memory Size: |INIT_REPORT |Phase: |"
    "Status: |Error Type: |XRAY TraceId: |Sampled: |true| ms| MB|٣|START |END |INIT_START |Runtime Version: |"
    f"Version: |1e9|-5|NaN|12.5|{'9' * 400}|7|.".split("|")
)
noise = st.text(max_size=200) | st.lists(shards | st.text(max_size=4), max_size=25).map("".join)


@given(noise)
def test_no_text_makes_the_parser_fail_or_invent_a_number(text):
    """Every number in the result stands in the text, digit for digit, with its unit."""
    for line in (parse(text), parse_line(text)):
        if line is None:
            continue
        for name, value in dataclasses.asdict(line).items():
            if value is None or isinstance(value, bool):
                continue
            if isinstance(value, str):
                assert value in text
                continue
            unit = "MB" if name.endswith("_mb") else "ms"
            printed = re.findall(rf"(?<![\d.])(\d+(?:\.\d+)?)[ \t]*{unit}", text, re.ASCII)
            assert value in {float(number) for number in printed}


@given(
    st.text(max_size=300) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps)
)
def test_no_text_makes_the_event_reader_fail(text):
    read_event(text)
    read_event('{"type": "platform.report", "record": ' + text)


def test_the_module_needs_no_heavy_import():
    """`lab --help` and the emulator load it; pandas or boto3 would cost them a quarter of a second."""
    code = (
        "import sys, serverless_lab.report_line, serverless_lab.reporting.tables;"
        "print([m for m in ('pandas', 'numpy', 'boto3', 'rich', 'pyarrow') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"

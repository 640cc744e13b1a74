"""JSON as AWS's APIs and services print it: literal shapes, and values that are not whole."""

from __future__ import annotations

import base64
import gzip
import json
import time

import pytest

from serverless_lab.coldstarts.formats_json import read_json
from serverless_lab.coldstarts.formats_text import BROKEN, BROKEN_JSON, CUT, Unreadable, Where
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import InitReport, ReportLine, StartLine, render
from tests.coldstarts.log_files import CONTROL_MESSAGE, FULL, joined
from tests.coldstarts.story import T0, Environment, request_id

STREAM = "2026/11/24/[1]" + "a" * 32
REPORT = render(ReportLine(request_id(1), 20.0, 21, 256, 80))


def read(text: str, chunk: int = 65_536, **where) -> list[LogEvent | Unreadable]:
    return list(read_json([text[at : at + chunk] for at in range(0, len(text), chunk)], Where("x", **where)))


def events_in(text: str) -> list[LogEvent]:
    return [item for item in read(text) if isinstance(item, LogEvent)]


def places_in(text: str) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in read(text) if isinstance(item, Unreadable)]


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_a_page_as_the_aws_cli_prints_it():
    text = """{
    "events": [
        {
            "logStreamName": "2026/11/24/[$LATEST]aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "timestamp": 1764000000000,
            "message": "START RequestId: 3fd21ffd-4a8b-4d08-9435-89717282b90a Version: $LATEST\\n",
            "ingestionTime": 1764000001500,
            "eventId": "35689187337893374889420"
        }
    ],
    "searchedLogStreams": [],
    "nextToken": "ZNUEPl7FcQuXbIH4Swk9D9eFu2XBg-ijZIZlvzz4ea9zZRjw-MMtQtvcoMdmq4T29K7Q6Y1e_KvyfpcT_f_tUw"
}"""
    (event,) = events_in(text)
    assert event.line == StartLine("3fd21ffd-4a8b-4d08-9435-89717282b90a", "$LATEST")
    assert (event.log_stream, event.timestamp_ms) == ("2026/11/24/[$LATEST]" + "a" * 32, T0)


def test_what_a_subscription_sends_names_group_and_stream_once():
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html"""
    text = (
        '{"owner":"111111111111","logGroup":"/aws/lambda/orders","logStream":"' + STREAM + '",'
        '"subscriptionFilters":["Destination"],"messageType":"DATA_MESSAGE","logEvents":'
        '[{"id":"31953106606966983378809025079804211143289615424298221568","timestamp":1764000000000,"message":'
        + json.dumps(REPORT)
        + "}]}"
    )
    for data in (text, CONTROL_MESSAGE.decode() + text):
        (event,) = events_in(data)
        assert (event.log_group, event.log_stream, event.timestamp_ms) == ("/aws/lambda/orders", STREAM, T0)


def test_the_order_of_keys_does_not_matter():
    """`jq -S` sorts them, and then the events stand before the group they are of."""
    text = joined(FULL["subscription messages"](Environment().cold(1).events)).decode()
    decoder = json.JSONDecoder()
    _, at = decoder.raw_decode(text)  # the control message
    message, _ = decoder.raw_decode(text, at)
    assert list(message) != sorted(message)
    assert events_in(json.dumps(message, sort_keys=True)) == events_in(text)


@pytest.mark.parametrize("wrap", ["awslogs", "kinesis", "firehose"])
def test_what_a_function_receives_of_a_subscription(wrap):
    """CloudWatch Logs, Kinesis and Firehose hand it over in base64, and packed."""
    inner = joined(FULL["subscription messages"](Environment().cold(1).events))
    data = base64.b64encode(gzip.compress(inner)).decode()
    value = {
        "awslogs": {"awslogs": {"data": data}},
        "kinesis": {"Records": [{"eventSource": "aws:kinesis", "kinesis": {"partitionKey": "a", "data": data}}]},
        "firehose": {"invocationId": "a", "records": [{"recordId": "1", "data": data}]},
    }[wrap]
    found = build_invocations(events_in(json.dumps(value)))
    assert [(row.function, row.kind) for row in found.rows] == [("orders", "cold")]


def test_the_answer_to_an_invocation_has_the_end_of_its_log():
    """This one's log was cut off at its beginning by Lambda, which hands out 4 KB, and it has no last line end."""
    log = "of the log\nEND RequestId: " + request_id(1) + "\n" + REPORT.rstrip()
    answer = {"StatusCode": 200, "LogResult": base64.b64encode(log.encode()).decode(), "ExecutedVersion": "7"}
    rows = build_invocations(events_in(json.dumps(answer, indent=4))).rows
    assert [(row.duration_ms, row.kind) for row in rows] == [(20.0, "warm")]


def test_events_of_the_telemetry_api_in_a_list():
    text = """[
      {"time": "2025-11-24T16:00:00.000Z", "type": "platform.initReport", "record": {"initializationType": "on-demand",
       "phase": "init", "status": "timeout", "metrics": {"durationMs": 10000.487}}},
      {"time": "2025-11-24T16:00:01.000Z", "type": "function", "record": "REPORT RequestId: x Duration: 1.00 ms"}
    ]"""
    (event,) = events_in(text)
    assert event.line == InitReport(10000.487, "init", "timeout", None, "on-demand")
    assert event.timestamp_ms == T0


def test_lists_of_events_may_have_another_name():
    """A live tail's is `sessionResults`; https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/."""
    event = {"logStreamName": STREAM, "logGroupIdentifier": "123456789012:/aws/lambda/orders", "timestamp": T0}
    text = json.dumps({"sessionMetadata": {"sampled": False}, "sessionResults": [{**event, "message": REPORT}]})
    assert [(row.function, row.log_stream) for row in build_invocations(events_in(text)).rows] == [("orders", STREAM)]


@pytest.mark.parametrize(
    "value",
    [
        {"timestamp": "2025-11-24T16:00:00.000Z", "level": "INFO", "requestId": "x", "message": REPORT},
        {"timestamp": T0, "message": "I saw " + REPORT, "logStreamName": STREAM},
        {"time": "2025-11-24T16:00:00.000Z", "type": "function", "record": REPORT},
        {"name": "orders", "message": REPORT},
        {"events": "none"},
        {"logEvents": None},
        {"timestamp": T0, "message": 7, "logStreamName": STREAM},
        [1, None, "x", [[]]],
        {"level": "WARN", "lines": [REPORT]},
        {"alerts": [[T0, REPORT]]},
    ],
)
def test_what_an_application_logs_as_json_is_not_lambdas(value):
    assert events_in(json.dumps(value)) == []


def test_a_list_of_what_a_query_selected_says_time_and_stream_where_it_has_them():
    """Of two times nobody knows which is the event's."""
    told = [
        (event.timestamp_ms, event.log_stream)
        for event in events_in(
            json.dumps([[T0, REPORT], [REPORT, STREAM, T0], [T0, T0 + 900, REPORT], [REPORT], REPORT])
        )
    ]
    assert told == [(T0, ""), (T0, STREAM), (None, ""), (None, ""), (None, "")]


def test_lines_that_are_no_json_are_read_as_text():
    """A function's log can hold both: its own lines are JSON, Lambda's are not."""
    text = (
        '{"timestamp":"2025-11-24T16:00:00.000Z","level":"INFO","requestId":"x","message":"hello"}\n'
        f"{REPORT}XRAY TraceId: 1-a\tSegmentId: b\tSampled: true\t\n"
        "{not json}\n" + REPORT.replace("00000001", "00000002")
    )
    reports = [event.line for event in events_in(text)]
    assert [(report.request_id, report.xray_trace_id) for report in reports if isinstance(report, ReportLine)] == [
        (request_id(1), "1-a"),
        (request_id(2), None),
    ]


# --- values that are not whole ---------------------------------------------------------------------------------------


def test_a_line_that_is_broken_costs_itself_and_is_shown():
    lines = joined(FULL["event lines"](Environment().cold(1).wait(5).invoke(2).events)).decode().splitlines()
    lines[3] = lines[3][: len(lines[3]) // 2]
    text = "\n".join(lines) + "\n"
    assert places_in(text) == [(4, BROKEN_JSON)]
    assert [row.request_id for row in build_invocations(events_in(text)).rows] == [request_id(2)]


def test_a_record_that_does_not_say_what_it_must_is_shown():
    text = '{"time":"2025-11-24T16:00:00.000Z","type":"platform.report","record":{"requestId":"x"}}\n'
    assert places_in("{}\n" + text) == [(2, BROKEN)]


def test_a_page_that_is_cut_gives_the_events_before_the_cut_and_shows_where():
    text = joined(FULL["filter-log-events"](Environment().cold(1).wait(5).invoke(2).events)).decode()
    cut = text[: text.rindex("REPORT") + 20]
    assert [row.request_id for row in build_invocations(events_in(cut)).rows] == [request_id(1)]
    (place,) = places_in(cut)
    assert place == (cut.count("\n") + 1, CUT)


def test_a_payload_that_is_cut_gives_what_can_be_unpacked_of_it():
    environment = Environment()
    for number in range(200):
        environment.cold(number)
    text = joined(FULL["awslogs payload"](environment.events)).decode()
    found = build_invocations(events_in(text[: len(text) // 2])).rows
    assert 60 < len(found) < 200
    assert places_in(text[: len(text) // 2])[-1][1] == CUT


@pytest.mark.parametrize("text", ['{"events":' * 5_000, "[" * 100_000, '{"a":[' * 3_000 + "1", '"' * 1_000])
def test_no_depth_makes_the_reader_fail(text):
    assert events_in(text) == []


def test_a_page_longer_than_a_window_is_read_part_by_part(monkeypatch):
    """So a page needs memory for its platform events and not for the rest of it."""
    monkeypatch.setattr("serverless_lab.coldstarts.formats_json._WINDOW", 2_000)
    environment = Environment()
    for number in range(60):
        environment.cold(number).write("an application's line " * 30).wait(5)
    text = joined(FULL["filter-log-events"](environment.events)).decode()
    assert len(text) > 50_000
    found = [item for item in read(text, chunk=500) if isinstance(item, LogEvent)]
    assert found == events_in(text)
    assert len(build_invocations(found).rows) == 60


def test_a_damaged_file_takes_no_longer_than_a_whole_one():
    """Every line is broken; none may make the reader look at all that follows."""
    environment = Environment()
    for number in range(1_500):
        environment.cold(number)
    whole = joined(FULL["event lines"](environment.events)).decode()
    broken = whole.replace('"ingestionTime"', "ingestionTime")

    def seconds(text: str) -> float:
        began = time.process_time()
        read(text)
        return time.process_time() - began

    seconds(whole[:1_000])
    assert len(places_in(broken)) == broken.count("\n")
    assert seconds(broken) < 40 * seconds(whole) + 1

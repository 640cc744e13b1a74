"""Which fields are found in an event, and how they are printed."""

from __future__ import annotations

import json

import pytest

from serverless_lab.emulator.insights.discovery import discovered
from serverless_lab.emulator.insights.values import Figure, sort_key, text_of
from tests.emulator.insights.log import COLD, ask, report


def found(message: str) -> dict[str, str]:
    return {name: text_of(value) for name, value in discovered(message).items()}


def test_a_report_has_the_numbers_of_lambda_in_the_form_that_insights_gives_them():
    """Memory in bytes of 10^6 to the MB, and every number as Java prints a double."""
    assert found(report(COLD, "5.93", "6", "145.69")) == {
        "@type": "REPORT",
        "@requestId": COLD,
        "@duration": "5.93",
        "@billedDuration": "6.0",
        "@initDuration": "145.69",
        "@memorySize": "1.28E8",
        "@maxMemoryUsed": "6.7E7",
    }


def test_a_traced_report_has_the_ids_of_its_trace():
    traced = report(COLD, "5.93", "6") + (
        "XRAY TraceId: 1-68f7d85d-0f0bfbbe2ab8f94854bf83a8\tSegmentId: 9c54e4124923ee8f\tSampled: true\t\n"
    )
    fields = found(traced)
    assert fields["@xrayTraceId"] == "1-68f7d85d-0f0bfbbe2ab8f94854bf83a8"
    assert fields["@xraySegmentId"] == "9c54e4124923ee8f"


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (f"START RequestId: {COLD} Version: $LATEST\n", {"@type": "START", "@requestId": COLD}),
        (f"END RequestId: {COLD}\n", {"@type": "END", "@requestId": COLD}),
        ("INIT_START Runtime Version: python:3.12.v36\tRuntime Version ARN: arn:aws:lambda:x\n", {}),
        (f"[INFO]\t2023-12-05T22:10:47.005Z\t{COLD}\tload\n", {"@requestId": COLD}),
        (f"2023-12-05T22:10:47.005Z\t{COLD}\tINFO\tload\n", {"@requestId": COLD}),
        (f"the REPORT RequestId: {COLD} is no line of Lambda's\n", {}),
    ],
)
def test_other_lines_have_a_type_and_a_request_where_lambda_wrote_them(message: str, fields: dict[str, str]):
    assert found(message) == fields


def test_fields_of_json_have_the_path_to_them_as_name_and_keep_their_form():
    body = {
        "type": "platform.report",
        "record": {"metrics": {"initDurationMs": 174.055, "memorySizeMB": 256}, "status": "success"},
        "items": [{"id": "a"}, {"id": "b"}],
        "cold_start": True,
        "nothing": None,
        "@own": "x",
    }
    assert found(json.dumps(body)) == {
        "type": "platform.report",
        "record.metrics.initDurationMs": "174.055",
        "record.metrics.memorySizeMB": "256",
        "record.status": "success",
        "items.0.id": "a",
        "items.1.id": "b",
        "cold_start": "1",
        "@@own": "x",
    }


def test_only_the_first_json_in_a_line_is_read_and_text_may_stand_around_it():
    assert found('{not json} then {"a": 1.50} and {"b": 2}') == {"a": "1.50"}


def test_at_most_200_fields_are_found_in_json():
    assert len(found(json.dumps({f"f{at}": at for at in range(300)}))) == 200


def test_json_too_deep_to_read_is_text():
    assert found('{"a":' * 100_000) == {}


def test_a_field_that_the_query_made_hides_the_one_of_the_event():
    log = [(0, '{"level": "INFO"}')]
    assert ask('parse @message \'"level": "*N\' as level | display level', log) == [{"level": "I"}]
    assert ask("parse @message 'nothing *' as level | display level", log) == [{}]


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (0.0, "0.0"),
        (15.0, "15.0"),
        (14.97, "14.97"),
        (1000.0, "1000.0"),
        (9999999.0, "9999999.0"),
        (10000000.0, "1.0E7"),
        (128e6, "1.28E8"),
        (1.769e9, "1.769E9"),
        (0.001, "0.001"),
        (0.0005, "5.0E-4"),
        (-2.5, "-2.5"),
    ],
)
def test_numbers_found_in_lambdas_lines_are_printed_as_java_prints_them(number: float, printed: str):
    """https://docs.oracle.com/javase/8/docs/api/java/lang/Double.html#toString-double-"""
    assert Figure.of_double(number).text == printed


def test_the_order_of_sort_is_that_of_awss_example():
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Sort.html"""
    ascending = ["!:", "#", "*%04", "0#", "5A", "111A", "2345_", "@", "@_", "A", "A9876fghj", "a12345hfh"]
    ascending += ["0", "01", "1", "2", "3"]
    descending = sorted(ascending, key=sort_key, reverse=True)
    assert descending[::-1] == ascending

"""Every line the emulator writes is read by our own report, in either format."""

import itertools

import pytest

from serverless_lab.coldstarts.platform_events import (
    InitRuntimeDone,
    PlatformEvent,
    RuntimeDone,
    is_platform_event,
    read_event,
)
from serverless_lab.emulator.output import Dropped, Level, Line
from serverless_lab.emulator.platform_log import LogSettings, said_level
from serverless_lab.report_line import EndLine, InitReport, InitStart, ReportLine, StartLine

REQUEST = "5b866fb1-7154-4af6-8078-6ef6ca4c2ddd"
OUTCOMES = [(None, None), ("timeout", None), ("error", "Runtime.ExitError"), ("error", "Runtime.OutOfMemory")]
EVENTS: list[PlatformEvent] = [
    InitStart(
        "python:3.12.1.lab", "arn:aws:lambda:us-east-1::runtime:ab", "on-demand", "init", "f", "1", "ab", 1 << 27
    ),
    InitStart(initialization_type="on-demand", phase="invoke"),
    StartLine(REQUEST, "$LATEST", "arn:aws:lambda:us-east-1:000000000000:function:f"),
    EndLine(REQUEST),
    *(
        event
        for (status, error_type), phase, kind in itertools.product(
            OUTCOMES, ("init", "invoke"), ("on-demand", "provisioned-concurrency")
        )
        for event in (
            InitRuntimeDone(kind, phase, status, error_type),
            InitReport(12.34, phase, status, error_type, kind),
            RuntimeDone(REQUEST, status, error_type, 1.5, 20),
            ReportLine(
                REQUEST, 1.5, 14, 128, 40, 12.34, status=status, error_type=error_type, xray_trace_id="1-5759e988-bd86"
            ),
        )
    ),
]


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_json_is_read_as_what_was_written(event: PlatformEvent):
    written = LogSettings(is_json=True, system_level=Level.DEBUG).platform(event, 1_700_000_000_000)
    if isinstance(event, EndLine):
        assert written is None  # it has no JSON form
    else:
        assert read_event(written) == event


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_text_is_read_as_what_was_written_as_far_as_text_says_it(event: PlatformEvent):
    written = LogSettings().platform(event, 1_700_000_000_000)
    if written is None:
        return
    read = read_event(written)
    assert type(read) is type(event)
    said = {name: value for name in event.__slots__ if (value := getattr(read, name)) is not None}
    assert said.items() <= {name: getattr(event, name) for name in event.__slots__}.items()


def test_only_the_json_format_filters():
    loud, quiet = LogSettings(), LogSettings(is_json=True, application_level=Level.FATAL, system_level=Level.WARN)
    line, start = Line(0, b"hello\n", Level.DEBUG), StartLine(REQUEST, "1")
    assert loud.application(line) == "hello\n" and quiet.application(line) is None
    assert loud.platform(start, 0) and quiet.platform(start, 0) is None


def test_what_was_dropped_is_told_in_both_formats_and_is_no_other_event():
    told = LogSettings(is_json=True).dropped(Dropped(5, 1_000), 0)
    assert read_event(told).dropped_records == 5
    text = LogSettings().dropped(Dropped(5, 1_000), 0)
    assert "5 log events (1000 bytes)" in text and not is_platform_event(text)


SAID = {
    '{"level": "error", "timestamp": "2024-11-02T16:51:31.587199Z"}': Level.ERROR,
    '{"level": "WARNING", "timestamp": "2024-11-02T16:51:31+01:00"}': Level.WARN,
    '{"level": "error", "timestamp": "2024-11-02 16:51:31,010+0000"}': Level.INFO,
    '{"level": "error"}': Level.INFO,
    '{"level": "loud", "timestamp": "2024-11-02T16:51:31Z"}': Level.INFO,
    '{"level": ["error"], "timestamp": "2024-11-02T16:51:31Z"}': Level.INFO,
    "{not json": Level.INFO,
    "[ERROR] words": Level.INFO,
}


@pytest.mark.parametrize("text", SAID)
def test_a_printed_object_has_a_level_if_it_says_one_and_when(text: str):
    """documented: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html"""
    assert said_level(text) is SAID[text]


def test_a_configuration_without_levels_means_info():
    assert LogSettings.of({"LogFormat": "JSON"}) == LogSettings(True, Level.INFO, Level.INFO)
    assert LogSettings.of(None) == LogSettings.of({"LogFormat": "Text"}) == LogSettings()
    assert LogSettings.of({"LogFormat": "JSON", "ApplicationLogLevel": "FATAL"}).variables() == {
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": "FATAL",
    }
    assert LogSettings().variables() == {}

"""What is written into the log, in either format."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from tests.emulator.conftest import Emulator
from tests.fidelity.table import Area, Grade, aws

pytestmark = pytest.mark.process

FORMAT = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html"
LEVELS = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html"
PYTHON = "https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html"
SCHEMA = "https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html"
LIFECYCLE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"
RECORDED = "https://github.com/localstack/localstack/blob/master/tests/aws/services/lambda_/test_lambda.snapshot.json"
TRACED = "https://github.com/DataDog/datadog-serverless-functions"
TRACE_HEADER = "https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader"
INVOKE = "https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"
GROUPS = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html"

CODE = """
    import logging, os, sys
    logger = logging.getLogger()

    def handler(event, context):
        if event == "levels":
            for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
                logger.log(level, "at %s", logging.getLevelName(level))
            print("printed")
            print('{"level": "debug", "msg": "in detail", "timestamp": "2024-11-02T16:51:31.587199Z"}')
            print('{"level": "error", "msg": "in trouble", "timestamp": "2024-11-02T16:51:31.587199Z"}')
            print('{"level": "debug", "msg": "when?", "timestamp": "2024-11-02 16:51:31"}')
        if event == "extra": logger.info("with more", extra={"a": "b", "b": [3]})
        if event == "exit": os._exit(1)
        if event == "raise": raise ValueError("boom")
        if event == "much": print("\\n".join("%09d" % number for number in range(1000)))
        return os.environ.get("_X_AMZN_TRACE_ID")
"""


def function(emulator: Emulator, name: str, **options: Any) -> str:
    emulator.create(name, CODE, **options)
    return name


def logging_as(**config: str) -> dict[str, Any]:
    return {"LoggingConfig": config}


def events_of(emulator: Emulator, name: str) -> list[Any]:
    """The log: JSON as what it is, other lines as text."""
    messages = [message for _, message in emulator.log(name)]
    return [json.loads(message) if message.startswith("{") else message for message in messages]


def types(events: list[Any]) -> list[str]:
    return [event["type"] for event in events if isinstance(event, dict) and "type" in event]


def log_of_levels(emulator: Emulator, name: str, **config: str) -> list[str]:
    """What of the messages at all levels is in the log."""
    emulator.invoke(function(emulator, name, **logging_as(**config)), "levels")
    said = []
    for event in events_of(emulator, name):
        if isinstance(event, dict) and "type" not in event:
            said.append(event.get("message") or event["msg"])
        elif isinstance(event, str) and not re.match(r"(INIT_START|START|END|REPORT) ", event):
            said.append(event.rstrip("\n").rpartition("\t")[2])
    return said


@aws(
    Area.LOGS,
    "The text log of a cold invocation: INIT_START, START, what the function prints, END and REPORT, with a blank "
    "after the first word, tabs between fields and a tab at the end.",
    source=RECORDED,
    grade=Grade.RECORDED,
)
def test_the_text_log(emulator: Emulator):
    name = emulator.create("logs-text", "def handler(event, context):\n    print('hello')\n")
    request_id = emulator.invoke(name).request_id
    init_start, start, hello, end, report = [message for _, message in emulator.log(name)]
    assert re.fullmatch(
        r"INIT_START Runtime Version: python:\S+\tRuntime Version ARN: arn:aws:lambda:\S+::runtime:\w+\n", init_start
    )
    assert start == f"START RequestId: {request_id} Version: $LATEST\n"
    assert (hello, end) == ("hello\n", f"END RequestId: {request_id}\n")
    assert re.fullmatch(
        rf"REPORT RequestId: {request_id}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 256 MB\t"
        r"Max Memory Used: \d+ MB\tInit Duration: \d+\.\d\d ms\t\n",
        report,
    )


@aws(
    Area.LOGS,
    "In the JSON format an on-demand cold start at system level INFO, the default, is initStart, start and report; END "
    "has no counterpart.",
    source=f"{FORMAT} {LEVELS} {SCHEMA}",
)
def test_the_json_log(emulator: Emulator):
    name = function(emulator, "logs-json", **logging_as(LogFormat="JSON"))
    request_id = emulator.invoke(name).request_id
    (stream, _), *_ = emulator.log(name)
    init_start, start, report = events_of(emulator, name)
    for event in (init_start, start, report):
        assert list(event) == ["time", "type", "record"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])
    assert init_start["type"] == "platform.initStart"
    record = init_start["record"]
    assert (record["initializationType"], record["phase"]) == ("on-demand", "init")
    assert (record["functionName"], record["functionVersion"]) == ("logs-json", "$LATEST")
    assert record["runtimeVersion"].startswith("python:")
    assert record["instanceId"] == stream.rpartition("]")[2]
    assert record["instanceMaxMemory"] == 268_435_456
    assert start["type"] == "platform.start"
    assert start["record"] == {
        "requestId": request_id,
        "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:logs-json",
        "version": "$LATEST",
    }
    assert report["type"] == "platform.report"
    assert list(report["record"]) == ["requestId", "metrics", "status"]
    assert (report["record"]["requestId"], report["record"]["status"]) == (request_id, "success")
    metrics = report["record"]["metrics"]
    assert list(metrics) == ["durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs"]
    assert metrics["memorySizeMB"] == 256 and isinstance(metrics["billedDurationMs"], int)


@aws(
    Area.LOGS,
    "System level DEBUG adds initRuntimeDone, an on-demand initReport, and runtimeDone.",
    source=LEVELS,
)
def test_system_level_debug(emulator: Emulator):
    name = function(emulator, "logs-debug", **logging_as(LogFormat="JSON", SystemLogLevel="DEBUG"))
    emulator.invoke(name)
    events = events_of(emulator, name)
    assert types(events) == [
        "platform.initStart",
        "platform.initRuntimeDone",
        "platform.initReport",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
    ]
    assert events[1]["record"] == {"initializationType": "on-demand", "phase": "init", "status": "success"}
    assert list(events[2]["record"]) == ["initializationType", "phase", "status", "metrics"]
    assert events[4]["record"]["status"] == "success" and events[4]["record"]["metrics"]["producedBytes"] > 3


@aws(
    Area.LOGS,
    "At system level WARN what succeeds leaves no platform event; an invocation that fails leaves runtimeDone and "
    "report.",
    source=LEVELS,
)
def test_system_level_warn(emulator: Emulator):
    name = function(emulator, "logs-warn", **logging_as(LogFormat="JSON", SystemLogLevel="WARN"))
    emulator.invoke(name)
    emulator.invoke(name, "exit")
    events = events_of(emulator, name)
    assert types(events) == ["platform.runtimeDone", "platform.report"]
    for event in events:
        assert (event["record"]["status"], event["record"]["errorType"]) == ("error", "Runtime.ExitError")


@aws(
    Area.LOGS,
    "In the JSON format a timeout is a runtimeDone and a report whose status is `timeout`, without an error type, at "
    "level INFO, too: what fails is of level WARN.",
    source=f"{LEVELS} https://github.com/DataDog/datadog-lambda-extension",
    grade=Grade.RECORDED,
)
def test_a_timeout_in_json(emulator: Emulator):
    code = "import time\ndef handler(event, context):\n    time.sleep(30)\n"
    name = emulator.create("logs-timeout", code, Timeout=1, **logging_as(LogFormat="JSON"))
    emulator.invoke(name)
    events = events_of(emulator, name)
    assert types(events) == ["platform.initStart", "platform.start", "platform.runtimeDone", "platform.report"]
    for event in events[2:]:
        assert event["record"]["status"] == "timeout" and "errorType" not in event["record"]
    assert events[3]["record"]["metrics"]["durationMs"] == 1000.0


@aws(
    Area.LOGS,
    "In the JSON format Python's logging writes objects with timestamp, level, message, logger and requestId, and what "
    "is passed as `extra`.",
    source=PYTHON,
)
def test_application_logs_in_json(emulator: Emulator):
    name = function(emulator, "logs-extra", **logging_as(LogFormat="JSON"))
    request_id = emulator.invoke(name, "extra").request_id
    (found,) = [event for event in events_of(emulator, name) if "type" not in event]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.pop("timestamp"))
    assert found == {
        "level": "INFO",
        "message": "with more",
        "logger": "root",
        "requestId": request_id,
        "a": "b",
        "b": [3],
    }


@aws(
    Area.LOGS,
    "In the JSON format an exception of the handler is an object, too.",
    source="https://github.com/aws/aws-lambda-python-runtime-interface-client",
)
def test_an_exception_in_json(emulator: Emulator):
    name = function(emulator, "logs-raise", **logging_as(LogFormat="JSON"))
    request_id = emulator.invoke(name, "raise").request_id
    (found,) = [event for event in events_of(emulator, name) if "type" not in event]
    assert (found["level"], found["errorType"], found["errorMessage"]) == ("ERROR", "ValueError", "boom")
    assert found["requestId"] == request_id and len(found["stackTrace"]) == 1


@aws(
    Area.LOGS,
    "In the text format the level of Python's logging is WARN, and print is written as it is.",
    source=PYTHON,
)
def test_levels_of_the_text_format(emulator: Emulator):
    said = log_of_levels(emulator, "logs-levels-text")
    assert [line for line in said if line.startswith("at ")] == ["at WARNING", "at ERROR"]
    assert said.count("printed") == 1


@aws(
    Area.LOGS,
    "The application level is INFO by default in the JSON format; print is not converted and counts as INFO, as does "
    "printed JSON without a valid level or time, while printed JSON with both is filtered by its level.",
    source=f"{LEVELS} {PYTHON}",
)
def test_application_level_info(emulator: Emulator):
    said = log_of_levels(emulator, "logs-levels-info", LogFormat="JSON")
    assert sorted(said) == ["at ERROR", "at INFO", "at WARNING", "in trouble", "printed", "when?"]


@aws(
    Area.LOGS,
    "At application level ERROR only what says ERROR is written; at DEBUG everything is.",
    source=LEVELS,
)
def test_application_levels_error_and_debug(emulator: Emulator):
    error = log_of_levels(emulator, "logs-levels-error", LogFormat="JSON", ApplicationLogLevel="ERROR")
    assert sorted(error) == ["at ERROR", "in trouble"]
    debug = log_of_levels(emulator, "logs-levels-debug", LogFormat="JSON", ApplicationLogLevel="DEBUG")
    assert {"at DEBUG", "at INFO", "at WARNING", "at ERROR", "printed", "in detail", "in trouble"} <= set(debug)


@aws(
    Area.LOGS,
    "In a log group of one's own a stream is named after day, function, version and environment.",
    source=GROUPS,
    grade=Grade.RECORDED,
)
def test_a_log_group_of_ones_own(emulator: Emulator):
    name = function(emulator, "logs-group", **logging_as(LogGroup="/of/my/own"))
    emulator.invoke(name)
    (stream,) = emulator.client("logs").describe_log_streams(logGroupName="/of/my/own")["logStreams"]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/logs-group\[\$LATEST\][0-9a-f]{32}", stream["logStreamName"])
    groups = emulator.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/logs-group")
    assert groups["logGroups"] == []


@aws(
    Area.LOGS,
    "LogType=Tail answers with the last 4 KB of the invocation's log, in base64; of a longer log the START line is cut "
    "off.",
    source=INVOKE,
)
def test_the_tail_of_the_log(emulator: Emulator):
    name = function(emulator, "logs-tail")
    client = emulator.client("lambda")
    answer = client.invoke(FunctionName=name, LogType="Tail", Payload=b'"much"')
    tail = base64.b64decode(answer["LogResult"])
    assert len(tail) == 4096
    assert b"START" not in tail and b"000000999\nEND RequestId: " in tail
    short = base64.b64decode(client.invoke(FunctionName=name, LogType="Tail")["LogResult"]).decode()
    assert re.fullmatch(r"START RequestId: .*\nEND RequestId: .*\nREPORT RequestId: .*\t\n", short)


@aws(
    Area.LOGS,
    "With active tracing the runtime gets a sampled trace header, and the REPORT event has a second line, XRAY, with "
    "trace and segment.",
    source=f"{TRACED} {TRACE_HEADER}",
    grade=Grade.RECORDED,
)
def test_a_traced_invocation(emulator: Emulator):
    name = function(emulator, "logs-traced", TracingConfig={"Mode": "Active"})
    answer = emulator.invoke(name)
    header = re.fullmatch(
        r"Root=(1-[0-9a-f]{8}-[0-9a-f]{24});Parent=([0-9a-f]{16});Sampled=1;Lineage=1:[0-9a-f]{8}:0", answer.body
    )
    report = emulator.log(name)[-1][1]
    assert header and report.startswith(f"REPORT RequestId: {answer.request_id}\t")
    assert report.endswith(f" ms\t\nXRAY TraceId: {header[1]}\tSegmentId: {header[2]}\tSampled: true\t\n")


@aws(
    Area.LOGS,
    "Without active tracing the runtime gets a trace header all the same, not sampled, and REPORT has no XRAY line; a "
    "trace that the caller has sampled is carried on.",
    source=TRACE_HEADER,
)
def test_a_trace_is_passed_on(emulator: Emulator):
    name = function(emulator, "logs-passed-on")
    assert ";Sampled=0;" in emulator.invoke(name).body
    assert "XRAY" not in emulator.log(name)[-1][1]
    root = "1-5759e988-bd862e3fe1be46a994272793"
    answer = invoke_with_trace(emulator, name, f"Root={root};Parent=53995c3f42cd8ad8;Sampled=1")
    assert answer.startswith(f"Root={root};Parent=") and "53995c3f42cd8ad8" not in answer and ";Sampled=1" in answer
    assert f"\nXRAY TraceId: {root}\t" in emulator.log(name)[-1][1]


def invoke_with_trace(emulator: Emulator, name: str, header: str) -> str:
    import urllib.request

    url = f"{emulator.url}/2015-03-31/functions/{name}/invocations"
    asked = urllib.request.Request(url, data=b"null", headers={"X-Amzn-Trace-Id": header})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        found: str = json.loads(answer.read())
    return found

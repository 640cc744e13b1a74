"""Queries of CloudWatch Logs Insights, as an SDK asks them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.conftest import Emulator
from tests.fidelity.table import Area, Grade, aws

pytestmark = pytest.mark.process

LOGS = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs"
API = "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference"
FUNCTIONS = f"{LOGS}/CWL_QuerySyntax-operations-functions.html"
ROWS = "https://github.com/oslabs-beta/Embr/blob/main/primary-app/src/app/retrievedData.js"

# Lines and rows of a real function, from ROWS.
COLD, WARM = "be5b175d-ff9d-40db-adef-77555f4b77a8", "76269889-7d50-4d6d-a3f1-9b4f5322f47c"
RECORDED = [
    (
        1_701_814_247_324,
        "INIT_START Runtime Version: nodejs:18.v18\tRuntime Version ARN: arn:aws:lambda:us-east-2::runtime:"
        "d949ec0248c1b8fbc8cbc6df1c986e05fb933506b51d53be82d46f9a37125bea\n",
    ),
    (1_701_814_247_471, f"START RequestId: {COLD} Version: $LATEST\n"),
    (1_701_814_247_478, f"END RequestId: {COLD}\n"),
    (
        1_701_814_247_479,
        f"REPORT RequestId: {COLD}\tDuration: 5.93 ms\tBilled Duration: 6 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 67 MB\tInit Duration: 145.69 ms\t\n",
    ),
    (
        1_701_814_483_877,
        f"REPORT RequestId: {WARM}\tDuration: 14.97 ms\tBilled Duration: 15 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 67 MB\t\n",
    ),
]
REPORTED = "@timestamp, @type, @initDuration, @billedDuration, @duration, @maxMemoryUsed, @memorySize"


@pytest.fixture(scope="session")
def group(emulator: Emulator) -> str:
    """A log group with the recorded lines, far in the emulator's past."""
    logs, name = emulator.client("logs"), "/recorded"
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="2023/12/05/[$LATEST]e34ea4d32b8f441c96246bbee30ff465")
    logs.put_log_events(
        logGroupName=name,
        logStreamName="2023/12/05/[$LATEST]e34ea4d32b8f441c96246bbee30ff465",
        logEvents=[{"timestamp": at_ms, "message": message} for at_ms, message in RECORDED],
    )
    return name


def ask(emulator: Emulator, group: str, query: str) -> dict[str, Any]:
    logs = emulator.client("logs")
    query_id = logs.start_query(logGroupName=group, startTime=0, endTime=4_000_000_000, queryString=query)["queryId"]
    while (answer := logs.get_query_results(queryId=query_id))["status"] in ("Scheduled", "Running"):
        threading.Event().wait(0.01)
    return dict(answer)


def rows(emulator: Emulator, group: str, query: str) -> list[dict[str, str]]:
    return [{pair["field"]: pair["value"] for pair in row} for row in ask(emulator, group, query)["results"]]


@aws(
    Area.INSIGHTS,
    "A REPORT line has @duration, @billedDuration, @initDuration and, in bytes of 10^6 to the MB, @memorySize and "
    "@maxMemoryUsed, printed as Java prints a double; the row ends in @ptr and has no field that the line lacks.",
    source=ROWS,
    grade=Grade.RECORDED,
)
def test_a_report_lines_fields_are_those_of_a_recorded_row(emulator: Emulator, group: str):
    found = ask(emulator, group, f"fields {REPORTED} | filter @type = 'REPORT' | sort @timestamp desc")["results"]
    for row in found:
        assert row[-1]["field"] == "@ptr"
    assert [[(pair["field"], pair["value"]) for pair in row[:-1]] for row in found] == [
        [
            ("@timestamp", "2023-12-05 22:14:43.877"),
            ("@type", "REPORT"),
            ("@billedDuration", "15.0"),
            ("@duration", "14.97"),
            ("@maxMemoryUsed", "6.7E7"),
            ("@memorySize", "1.28E8"),
        ],
        [
            ("@timestamp", "2023-12-05 22:10:47.479"),
            ("@type", "REPORT"),
            ("@initDuration", "145.69"),
            ("@billedDuration", "6.0"),
            ("@duration", "5.93"),
            ("@maxMemoryUsed", "6.7E7"),
            ("@memorySize", "1.28E8"),
        ],
    ]


@aws(
    Area.INSIGHTS,
    "START, END and REPORT lines have a @type of that name; an INIT_START line has none.",
    source=ROWS,
    grade=Grade.RECORDED,
)
def test_init_start_has_no_type(emulator: Emulator, group: str):
    found = rows(emulator, group, "fields @type, @message | sort @timestamp asc")
    assert [row.get("@type") for row in found] == [None, "START", "END", "REPORT", "REPORT"]


@aws(
    Area.INSIGHTS,
    "AWS's own query for over-provisioned memory gives megabytes, and one column may use others by their names.",
    source=f"{LOGS}/CWL_QuerySyntax-examples.html",
)
def test_the_sample_query_for_memory_gives_megabytes(emulator: Emulator, group: str):
    query = """
        filter @type = "REPORT"
            | stats max(@memorySize / 1000 / 1000) as provisonedMemoryMB,
                min(@maxMemoryUsed / 1000 / 1000) as smallestMemoryRequestMB,
                avg(@maxMemoryUsed / 1000 / 1000) as avgMemoryUsedMB,
                max(@maxMemoryUsed / 1000 / 1000) as maxMemoryUsedMB,
                provisonedMemoryMB - maxMemoryUsedMB as overProvisionedMB
    """
    assert rows(emulator, group, query) == [
        {
            "provisonedMemoryMB": "128",
            "smallestMemoryRequestMB": "67",
            "avgMemoryUsedMB": "67",
            "maxMemoryUsedMB": "67",
            "overProvisionedMB": "61",
        }
    ]


@aws(
    Area.INSIGHTS,
    "count(field) counts the events that have the field, count(*) all; so the two count cold starts and invocations.",
    source=f"{LOGS}/CWL_QuerySyntax-Stats.html",
)
def test_count_of_a_field_counts_the_events_that_have_it(emulator: Emulator, group: str):
    query = 'filter @type = "REPORT" | stats count(*) as invocations, count(@initDuration) as coldStarts'
    assert rows(emulator, group, query) == [{"invocations": "2", "coldStarts": "1"}]


@aws(
    Area.INSIGHTS,
    "greatest() passes over a field that is absent: greatest(@initDuration, 0) is 0 for a warm invocation.",
    source="https://github.com/aws-samples/serverless-dotnet-demo/blob/main/README.md",
    grade=Grade.RECORDED,
)
def test_greatest_passes_over_what_is_absent(emulator: Emulator, group: str):
    query = """
        filter @type="REPORT"
        | fields greatest(@initDuration, 0) + @duration as duration, ispresent(@initDuration) as coldstart
        | stats count(*) as count, max(duration) as max by coldstart
        | sort coldstart
    """
    assert rows(emulator, group, query) == [
        {"coldstart": "0", "count": "1", "max": "14.97"},
        {"coldstart": "1", "count": "1", "max": "151.62"},
    ]


@aws(
    Area.INSIGHTS,
    "bin() takes at most 60 of a second or a minute: bin(300s) makes bins of one minute, bin(5m) of five.",
    source=FUNCTIONS,
)
def test_bin_is_capped_at_sixty_seconds(emulator: Emulator, group: str):
    query = "filter @type = 'REPORT' | stats count(*) as n by {} as t | sort t asc"
    assert rows(emulator, group, query.format("bin(300s)")) == [
        {"t": "2023-12-05 22:10:00.000", "n": "1"},
        {"t": "2023-12-05 22:14:00.000", "n": "1"},
    ]
    assert rows(emulator, group, query.format("bin(5m)")) == [{"t": "2023-12-05 22:10:00.000", "n": "2"}]


@aws(
    Area.INSIGHTS,
    "A query that is not valid is a MalformedQueryException which tells the symbol; sort cannot follow dedup.",
    source=f"{LOGS}/CWL_QuerySyntax-Dedup.html {API}/API_StartQuery.html",
)
def test_a_query_that_is_not_valid_is_refused(emulator: Emulator, group: str):
    with pytest.raises(ClientError, match="unexpected symbol found sort") as caught:
        ask(emulator, group, "fields @timestamp | dedup @type | sort @timestamp")
    assert caught.value.response["Error"]["Code"] == "MalformedQueryException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@aws(
    Area.INSIGHTS,
    "The language has some twenty more commands (pattern, diff, join, …) and functions of JSON, IP addresses, hashes.",
    source=f"{LOGS}/CWL_QuerySyntax.html",
    differs="a query that uses one is a MalformedQueryException which names it",
)
def test_what_is_left_out_is_refused_by_name(emulator: Emulator, group: str):
    for query, name in (("pattern @message", "pattern"), ("fields jsonParse(@message)", "jsonParse")):
        with pytest.raises(ClientError, match=f"{name} is not supported by the emulator"):
            ask(emulator, group, query)


@aws(
    Area.INSIGHTS,
    "pct(field, p) is the value that p percent of the values are below; for many values an approximation.",
    source=f"{LOGS}/CWL_QuerySyntax-Stats.html",
    differs="exact: between the two nearest values it interpolates",
)
def test_percentiles_are_between_the_nearest_values(emulator: Emulator, group: str):
    query = "filter @type = 'REPORT' | stats pct(@duration, 0) as a, pct(@duration, 50) as b, pct(@duration, 100) as c"
    assert rows(emulator, group, query) == [{"a": "5.93", "b": "10.45", "c": "14.97"}]


@aws(
    Area.INSIGHTS,
    "The answer has a status, statistics of matched and scanned events, and a query that has ended cannot be stopped.",
    source=f"{API}/API_GetQueryResults.html {API}/API_StopQuery.html",
)
def test_the_answer_has_status_and_statistics(emulator: Emulator, group: str):
    answer = ask(emulator, group, "filter @type = 'REPORT' | stats count(*)")
    assert answer["status"] == "Complete"
    assert answer["statistics"]["recordsMatched"] == 2.0
    assert answer["statistics"]["recordsScanned"] == 5.0
    logs = emulator.client("logs")
    (query,) = logs.describe_queries(logGroupName=group, status="Complete", maxResults=1)["queries"]
    with pytest.raises(ClientError, match="is not running"):
        logs.stop_query(queryId=query["queryId"])

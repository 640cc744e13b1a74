"""The four operations of Logs Insights, over a log in memory and over the emulator."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from serverless_lab.emulator.insights.discovery import LogEvent
from serverless_lab.emulator.insights_service import Insights, Refused
from tests.emulator.conftest import Emulator
from tests.emulator.insights.log import INVOCATIONS, T0, events

ME = ("000000000000", "us-east-1")
REPORTS = "filter @type = 'REPORT' | stats count(*) as n"


class OneGroup:
    """A log with the group `/orders`, made at T0."""

    account_id = ME[0]

    def creation_ms(self, group: str) -> int | None:
        return T0 if group == "/orders" else None

    def events(self, groups: Sequence[str], start_ms: int, end_ms: int) -> list[LogEvent]:
        return [event for event in events(INVOCATIONS) if start_ms <= event.timestamp_ms <= end_ms]


class HeldGroup(OneGroup):
    """The same, with a first query on it that goes on until it is released."""

    def __init__(self) -> None:
        self.begun, self.release = threading.Event(), threading.Event()

    def events(self, groups: Sequence[str], start_ms: int, end_ms: int) -> list[LogEvent]:
        return HeldEvents(self)


class HeldEvents(list):  # type: ignore[type-arg]
    def __init__(self, log: HeldGroup) -> None:
        super().__init__(events(INVOCATIONS))
        self._log = log

    def __iter__(self) -> Any:
        self._log.begun.set()
        assert self._log.release.wait(30)
        return super().__iter__()


def request(query: str = REPORTS, **changes: Any) -> dict[str, Any]:
    asked = {"logGroupName": "/orders", "queryString": query, "startTime": T0 // 1000, "endTime": T0 // 1000 + 3600}
    return {name: value for name, value in {**asked, **changes}.items() if value is not None}


@pytest.fixture
def insights() -> Insights:
    return Insights(lambda: T0 + 3_600_000)


def finished(insights: Insights, query_id: str, **more: Any) -> dict[str, Any]:
    for _ in range(3_000):
        answer = insights.results({"queryId": query_id, **more}, ME)
        if answer["status"] not in ("Scheduled", "Running"):
            return answer
        threading.Event().wait(0.01)
    raise AssertionError(answer)


def test_a_query_is_complete_with_rows_of_fields_and_statistics(insights: Insights):
    answer = finished(insights, insights.start(request(), OneGroup(), ME)["queryId"])
    assert answer == {
        "queryLanguage": "CWLI",
        "results": [[{"field": "n", "value": "3"}]],
        "statistics": {
            "recordsMatched": 3.0,
            "recordsScanned": 6.0,
            "estimatedRecordsSkipped": 0.0,
            "bytesScanned": float(sum(len(message) for _, message in INVOCATIONS)),
            "estimatedBytesSkipped": 0.0,
            "logGroupsScanned": 1.0,
        },
        "status": "Complete",
    }


def test_a_query_that_is_running_has_no_rows_and_can_be_stopped():
    insights, log = Insights(lambda: T0, workers=1), HeldGroup()
    running = insights.start(request(), log, ME)["queryId"]
    assert log.begun.wait(30)
    waiting = insights.start(request(), OneGroup(), ME)["queryId"]
    answers = [insights.results({"queryId": query_id}, ME) for query_id in (running, waiting)]
    assert [answer["status"] for answer in answers] == ["Running", "Scheduled"]
    assert [answer["results"] for answer in answers] == [[], []]
    assert insights.stop({"queryId": running}, ME) == {"success": True}
    log.release.set()
    assert finished(insights, waiting)["status"] == "Complete"
    assert insights.results({"queryId": running}, ME)["status"] == "Cancelled"
    assert insights.results({"queryId": running}, ME)["results"] == []


def test_a_query_that_has_ended_cannot_be_stopped(insights: Insights):
    query_id = insights.start(request(), OneGroup(), ME)["queryId"]
    finished(insights, query_id)
    with pytest.raises(Refused, match="is not running") as caught:
        insights.stop({"queryId": query_id}, ME)
    assert caught.value.code == "InvalidParameterException"


def test_rows_come_in_pages(insights: Insights):
    query_id = insights.start(request("fields @message | sort @timestamp asc"), OneGroup(), ME)["queryId"]
    first = finished(insights, query_id, maxItems=4)
    second = finished(insights, query_id, maxItems=4, nextToken=first["nextToken"])
    assert [len(first["results"]), len(second["results"])] == [4, 2]
    assert "nextToken" not in second
    messages = [row[0]["value"] for page in (first, second) for row in page["results"]]
    assert messages == [message for _, message in INVOCATIONS]


def test_queries_are_described_the_latest_first(insights: Insights):
    ids = [insights.start(request(f"limit {n}"), OneGroup(), ME)["queryId"] for n in (1, 2)]
    for query_id in ids:
        finished(insights, query_id)
    page = insights.describe({"logGroupName": "/orders", "status": "Complete", "maxResults": 1}, ME)
    assert [query["queryId"] for query in page["queries"]] == ids[1:]
    assert page["queries"][0]["queryString"] == "limit 2"
    rest = insights.describe({"nextToken": page["nextToken"]}, ME)
    assert [query["queryId"] for query in rest["queries"]] == ids[:1]
    assert insights.describe({"status": "Running"}, ME) == {"queries": []}
    assert insights.describe({}, ("111111111111", "us-east-1")) == {"queries": []}


def test_both_ends_of_the_range_are_included_and_milliseconds_are_taken_as_such(insights: Insights):
    def scanned(**times: int) -> float:
        query_id = insights.start(request(**times), OneGroup(), ME)["queryId"]
        return finished(insights, query_id)["statistics"]["recordsScanned"]

    assert scanned(startTime=T0 // 1000, endTime=T0 // 1000) == 3
    assert scanned(startTime=T0 // 1000 + 60, endTime=T0 // 1000 + 60) == 2
    assert scanned(startTime=T0 + 7, endTime=T0 + 60_000) == 2


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"logGroupName": "/none"}, "ResourceNotFoundException", "Log group '/none' does not exist for account ID"),
        ({"logGroupNames": ["/orders"]}, "InvalidParameterException", "exactly one of logGroupName"),
        ({"logGroupName": None}, "InvalidParameterException", "exactly one of logGroupName"),
        ({"startTime": None}, "InvalidParameterException", "startTime must be the number of seconds"),
        ({"startTime": T0 // 1000 + 9999}, "InvalidParameterException", "is before startTime"),
        ({"limit": 0}, "InvalidParameterException", "limit must be from 1 to 100000, not 0"),
        ({"queryLanguage": "SQL"}, "InvalidParameterException", "queryLanguage SQL is not supported"),
        ({"query": "stats topk(3, @type)"}, "MalformedQueryException", "the function topk is not supported"),
        ({"startTime": 1, "endTime": 2}, "MalformedQueryException", "is at 2023-12-05T23:10:47Z"),
        ({"query": "x" * 10_001}, "InvalidParameterException", "at most 10000 characters"),
    ],
)
def test_a_request_is_refused_with_the_code_of_aws(insights: Insights, changes: dict, code: str, message: str):
    with pytest.raises(Refused, match=r".") as caught:
        insights.start(request(**changes), OneGroup(), ME)
    assert caught.value.code == code
    assert message in caught.value.message


def test_a_hundred_queries_at_once_are_the_most():
    insights, log = Insights(lambda: T0, workers=1), HeldGroup()
    for _ in range(100):
        insights.start(request(), log, ME)
    with pytest.raises(Refused, match="100 queries are running"):
        insights.start(request(), log, ME)
    log.release.set()


# In the emulator -------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_the_emulator_answers_queries_over_what_functions_and_clients_have_logged(emulator: Emulator):
    logs = emulator.client("logs")
    name = emulator.create("asked", "def handler(event, context):\n    return 1\n")
    for _ in range(3):
        emulator.invoke(name)
    logs.create_log_group(logGroupName="/own")
    logs.create_log_stream(logGroupName="/own", logStreamName="s")
    now_ms = emulator.status["now_ms"]
    own = [{"timestamp": now_ms, "message": '{"level": "WARN", "took": 2.50}'}]
    logs.put_log_events(logGroupName="/own", logStreamName="s", logEvents=own)

    def rows(query: str, *groups: str) -> list[dict[str, str]]:
        asked = {"startTime": now_ms // 1000 - 60, "endTime": now_ms // 1000 + 3600, "queryString": query}
        query_id = logs.start_query(logGroupNames=list(groups), **asked)["queryId"]
        while (answer := logs.get_query_results(queryId=query_id))["status"] in ("Scheduled", "Running"):
            threading.Event().wait(0.01)
        assert answer["status"] == "Complete"
        return [{pair["field"]: pair["value"] for pair in row} for row in answer["results"]]

    reports = emulator.reports(name)
    (found,) = rows(
        "filter @type = 'REPORT' | stats count(*), count(@initDuration), max(@duration)", f"/aws/lambda/{name}"
    )
    assert found == {
        "count(*)": "3",
        "count(@initDuration)": "1",
        "max(@duration)": f"{max(report.duration_ms for report in reports):g}",
    }
    (both,) = rows("filter level = 'WARN' and took > 2 | display took, @log", f"/aws/lambda/{name}", "/own")
    assert {**both, "@ptr": ""} == {"took": "2.50", "@log": "000000000000:/own", "@ptr": ""}
    record = logs.get_log_record(logRecordPointer=both["@ptr"])["logRecord"]
    assert record["@message"] == own[0]["message"]
    assert record["@timestamp"] == str(now_ms)
    assert record["level"] == "WARN"


@pytest.mark.process
def test_the_emulator_refuses_a_query_by_name_and_place(emulator: Emulator):
    logs = emulator.client("logs")
    logs.create_log_group(logGroupName="/refusing")
    with pytest.raises(ClientError, match="the command pattern is not supported by the emulator") as caught:
        logs.start_query(logGroupName="/refusing", startTime=0, endTime=2**31, queryString="pattern @message")
    assert caught.value.response["Error"]["Code"] == "MalformedQueryException"
    assert caught.value.response["queryCompileError"]["location"] == {"startCharOffset": 0, "endCharOffset": 7}

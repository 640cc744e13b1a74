"""From the stream to the reports, against a real table."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from .conftest import Context, World


def inserted(user_id: str, day: str, event_type: str = "click", event_id: str | None = None) -> dict[str, Any]:
    """A stream record as Lambda hands it over, with its sequence number."""
    values = {"eventId": event_id or uuid.uuid4().hex, "userId": user_id, "eventType": event_type, "day": day}
    return {
        "eventName": "INSERT",
        "dynamodb": {
            "SequenceNumber": uuid.uuid4().hex,
            "NewImage": {name: {"S": value} for name, value in values.items()},
        },
    }


def get(module: Any, query: dict[str, str] | None = None, path: dict[str, str] | None = None) -> tuple[int, Any]:
    answer = module.handler({"queryStringParameters": query, "pathParameters": path}, Context())
    return answer["statusCode"], json.loads(answer["body"])


def test_an_event_delivered_twice_is_counted_once(load: Any, world: World):
    """A stream delivers at least once; the marker and the counters are one transaction."""
    process = load("process_event").handler
    record = inserted("once", "2026-01-01")
    for _ in range(2):
        assert process({"Records": [record, record]}, Context()) == {"batchItemFailures": []}
    assert world.count("user#once", "day#2026-01-01") == 1


def test_the_deletion_of_an_expired_event_is_not_counted(load: Any, world: World):
    """TTL deletes an item 90 days later, and the stream tells of that too."""
    gone = {"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "1", "Keys": {"eventId": {"S": "x"}}}}
    assert load("process_event").handler({"Records": [gone]}, Context()) == {"batchItemFailures": []}


def test_a_batch_stops_at_its_first_failure_and_names_it(load: Any, world: World):
    """In a stream everything from the named record on comes again, in order."""
    good, bad, after = (inserted("partial", "2026-01-02") for _ in range(3))
    del bad["dynamodb"]["NewImage"]["day"]
    answer = load("process_event").handler({"Records": [good, bad, after]}, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": bad["dynamodb"]["SequenceNumber"]}]}
    assert world.count("user#partial", "day#2026-01-02") == 1


def test_a_batch_is_handed_back_before_the_timeout_cuts_it_off(load: Any, world: World):
    """What was counted stays counted, instead of the whole batch being delivered again after a timeout."""
    record = inserted("late", "2026-01-03")
    answer = load("process_event").handler({"Records": [record]}, Context(remaining_ms=1_000))
    assert answer == {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
    assert world.count("user#late", "day#2026-01-03") == 0


def test_the_daily_report_adds_up_a_day_by_type(load: Any, world: World):
    """Types are spread over slots and may contain the separator; the report shows neither."""
    kinds = ["click"] * 12 + ["page#view#1"] * 3
    records = [inserted(f"u{n % 5}", "2026-02-01", kind) for n, kind in enumerate(kinds)]
    records.append(inserted("u1", "2026-02-02"))
    load("process_event").handler({"Records": records}, Context())
    status, report = get(load("report_daily"), {"date": "2026-02-01"})
    assert status == 200
    assert report == {
        "date": "2026-02-01",
        "events": 15,
        "byType": {"click": 12, "page#view#1": 3},
        "summary": None,
    }


def test_the_nightly_summary_is_the_same_however_often_it_runs(load: Any, world: World):
    """EventBridge may deliver twice; the day comes from the schedule's time, not from the clock."""
    records = [inserted(f"u{n % 4}", "2026-02-28") for n in range(10)]
    load("process_event").handler({"Records": records}, Context())
    aggregate = load("aggregate_daily").handler
    expected = {"date": "2026-02-28", "events": 10, "users": 4}
    assert aggregate({"source": "aws.events", "time": "2026-03-01T01:00:00Z"}, Context()) == expected
    assert aggregate({"date": "2026-02-28"}, Context()) == expected
    _, report = get(load("report_daily"), {"date": "2026-02-28"})
    assert (report["events"], report["summary"]["events"], report["summary"]["users"]) == (10, 10, 4)


@pytest.mark.parametrize("stated", ["", "today", "2026-02-30", "20260201", "2026-W01-1", "2026-02-01T00:00"])
def test_a_date_that_is_no_calendar_date_gets_400(stated: str, load: Any):
    """The reason tells the form that is wanted."""
    status, answer = get(load("report_daily"), {"date": stated})
    assert status == 400
    assert "YYYY-MM-DD" in answer["reason"]


def test_the_daily_report_without_a_date_is_todays(load: Any):
    """API Gateway sends null when there is no query string at all."""
    status, report = get(load("report_daily"))
    assert status == 200
    assert len(report["date"]) == 10


def test_a_users_report_shows_the_newest_days_first(load: Any, world: World):
    """`limit` is a number of days."""
    days = ["2026-01-09", "2026-01-30", "2026-02-02", "2026-02-02"]
    load("process_event").handler({"Records": [inserted("ana b", day) for day in days]}, Context())
    report = load("report_user")
    status, answer = get(report, {"limit": "2"}, {"userId": "ana b"})
    assert status == 200
    assert answer == {
        "userId": "ana b",
        "events": 3,
        "days": [{"date": "2026-02-02", "events": 2}, {"date": "2026-01-30", "events": 1}],
    }
    assert get(report, None, {"userId": "nobody"}) == (200, {"userId": "nobody", "events": 0, "days": []})


@pytest.mark.parametrize(
    ("user_id", "limit"),
    [
        ("ana", "0"),
        ("ana", "101"),
        ("ana", "-1"),
        ("ana", "x"),
        ("ana", ""),
        ("", "5"),
        ("\ud800", "5"),
        ("x" * 257, "5"),
    ],
)
def test_a_users_report_refuses_what_it_cannot_look_up(user_id: str, limit: str, load: Any):
    """400 with a reason, as for events."""
    status, answer = get(load("report_user"), {"limit": limit}, {"userId": user_id})
    assert status == 400
    assert answer["reason"]


@pytest.mark.parametrize("folder", ["report_daily", "report_user"])
def test_a_report_that_cannot_be_read_is_503(folder: str, load: Any, monkeypatch: pytest.MonkeyPatch):
    """An answer with a reason is better than the gateway's bare 502."""
    monkeypatch.setenv("AGGREGATIONS_TABLE", "not-there")
    assert get(load(folder), None, {"userId": "ana"})[0] == 503


def test_retry_event_names_only_the_messages_that_failed(load: Any, world: World):
    """The good messages of a batch leave the queue; the bad one goes on to the dead-letter queue."""
    event_id = uuid.uuid4().hex
    good = {"missing": ["table"], "rawKey": "events/x.json", "item": {"eventId": event_id}, "body": "{}"}
    records = [
        {"messageId": "bad", "body": "not JSON"},
        {"messageId": "good", "body": json.dumps(good)},
        {"messageId": "other", "body": "[]"},
    ]
    answer = load("retry_event").handler({"Records": records}, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "bad"}, {"itemIdentifier": "other"}]}
    assert world.event(event_id) is not None


@pytest.mark.parametrize("folder", ["process_event", "retry_event", "report_daily", "report_user", "aggregate_daily"])
def test_a_warming_ping_is_answered_before_anything_is_touched(folder: str, load: Any, monkeypatch: pytest.MonkeyPatch):
    """A ping is to keep an environment, not to do work; here there is no table it could touch."""
    monkeypatch.delenv("AGGREGATIONS_TABLE", raising=False)
    assert load(folder).handler({"source": "warming", "action": "ping"}, None) == {"warmed": True}

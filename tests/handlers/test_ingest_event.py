"""POST /events in both init styles, against real stores."""

from __future__ import annotations

import base64
import json
import time
import uuid
from types import ModuleType
from typing import Any

import pytest

from .conftest import Context, World

DAY_S = 24 * 3600
STYLES = pytest.mark.parametrize("style", ["eager", "lazy"])


def post(module: ModuleType, body: Any, **more: Any) -> tuple[int, dict[str, Any]]:
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    answer = module.handler({"httpMethod": "POST", "path": "/events", "body": text, **more}, Context())
    return answer["statusCode"], json.loads(answer["body"])


@STYLES
def test_an_event_is_stored_with_its_raw_body_and_answered_202(style: str, ingest: dict[str, ModuleType], world: World):
    """The table serves the stream, the bucket keeps what the client really sent, byte for byte."""
    body = '{ "userId": "ana", "eventType": "page_view",  "properties": {"url": "/", "load_ms": 12.50} }'
    status, answer = post(ingest[style], body)
    assert (status, answer["status"]) == (202, "stored")
    item = world.event(answer["eventId"])
    assert item is not None
    assert item["userId"] == {"S": "ana"}
    assert item["category"] == {"S": "navigation"}
    assert item["properties"] == {"M": {"url": {"S": "/"}, "load_ms": {"N": "12.5"}}}
    assert item["violations"] == {"L": []}
    assert world.raw(answer["eventId"]) == [body.encode()]


@STYLES
def test_an_event_expires_90_days_ahead_in_epoch_seconds(style: str, ingest: dict[str, ModuleType], world: World):
    """DynamoDB reads TTL as seconds. Milliseconds would look far in the future and nothing would ever be deleted."""
    _, answer = post(ingest[style], {"userId": "ana", "eventType": "click"})
    item = world.event(answer["eventId"])
    assert item is not None
    assert float(item["expiresAt"]["N"]) - time.time() == pytest.approx(90 * DAY_S, abs=120)


REFUSED = {
    "no body": None,
    "null": "null",
    "empty": "",
    "not JSON": "userId=ana",
    "an array": "[]",
    "a string": '"ana"',
    "a number": "3",
    "no userId": '{"eventType": "click"}',
    "no eventType": '{"userId": "ana"}',
    "userId null": '{"userId": null, "eventType": "click"}',
    "userId number": '{"userId": 7, "eventType": "click"}',
    "userId blank": '{"userId": " ", "eventType": "click"}',
    "userId half a character": '{"userId": "\\ud800", "eventType": "click"}',
    "userId long": json.dumps({"userId": "ä" * 129, "eventType": "click"}),
    "eventType long": json.dumps({"userId": "ana", "eventType": "x" * 129}),
    "eventId with a slash": '{"userId": "ana", "eventType": "click", "eventId": "../x"}',
    "properties an array": '{"userId": "ana", "eventType": "click", "properties": []}',
    "timestamp words": '{"userId": "ana", "eventType": "click", "timestamp": "yesterday"}',
    "timestamp true": '{"userId": "ana", "eventType": "click", "timestamp": true}',
    "timestamp huge": '{"userId": "ana", "eventType": "click", "timestamp": 1e400}',
    "timestamp far": '{"userId": "ana", "eventType": "click", "timestamp": 99999999999999999999}',
    "NaN": '{"userId": "ana", "eventType": "click", "properties": {"x": NaN}}',
    "Infinity": '{"userId": "ana", "eventType": "click", "properties": {"x": -Infinity}}',
    "39 digits": '{"userId": "ana", "eventType": "click", "properties": {"x": 0.%s}}' % ("7" * 39),
    "1E+126": '{"userId": "ana", "eventType": "click", "properties": {"x": 1E+126}}',
    "exponent overflow": '{"userId": "ana", "eventType": "click", "properties": {"x": 1E99999999999999999999}}',
    "5,000 digits": '{"userId": "ana", "eventType": "click", "properties": {"x": %s}}' % ("9" * 5_000),
    "empty name": '{"userId": "ana", "eventType": "click", "properties": {"": 1}}',
    "half a character": '{"userId": "ana", "eventType": "click", "properties": {"x": "\\udfff"}}',
    "17 levels": '{"userId": "ana", "eventType": "click", "properties": {"x": %s}}' % ("[" * 16 + "]" * 16),
    "10,000 levels": '{"userId": "ana", "eventType": "click", "properties": {"x": %s}}' % ("[" * 10_000 + "]" * 10_000),
    "more than 64 KB": json.dumps({"userId": "ana", "eventType": "click", "properties": {"x": "x" * 65_536}}),
    "half a character outside JSON": "\ud800",
}


@STYLES
@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_a_body_that_is_no_event_gets_400_with_a_reason(style: str, body: str | None, ingest: dict[str, ModuleType]):
    """The caller's mistake must never look like ours: a 5xx would be retried and would count as our failure."""
    status, answer = post(ingest[style], body)
    assert status == 400
    assert answer["reason"]


@STYLES
def test_a_body_in_base64_is_decoded_and_a_broken_one_refused(style: str, ingest: dict[str, ModuleType], world: World):
    """API Gateway encodes bodies of binary media types; the bucket gets the bytes, not their encoding."""
    raw = '{"userId": "zoë", "eventType": "click"}'.encode()
    status, answer = post(ingest[style], base64.b64encode(raw).decode(), isBase64Encoded=True)
    assert status == 202
    assert world.raw(answer["eventId"]) == [raw]
    for broken in ("%%%", base64.b64encode(b"\xff\xfe").decode(), base64.b64encode(b"x" * 70_000).decode()):
        assert post(ingest[style], broken, isBase64Encoded=True)[0] == 400


@STYLES
def test_the_largest_body_is_stored(style: str, ingest: dict[str, ModuleType]):
    """What the limit lets through must fit an item of 400 KB, even as the many small values that grow most."""
    head = '{"userId": "ana", "eventType": "click", "properties": {"x": ['
    body = head + ",".join("1" for _ in range((65_536 - len(head) - 3) // 2)) + "]}}"
    assert 65_000 < len(body) <= 65_536
    assert post(ingest[style], body)[1]["status"] == "stored"


@STYLES
def test_a_repeated_event_id_is_stored_once(style: str, ingest: dict[str, ModuleType], world: World):
    """A client that got no answer sends again with the same id: the same 202, and the first write stays."""
    event_id = uuid.uuid4().hex
    first = post(ingest[style], {"userId": "ana", "eventType": "click", "eventId": event_id})
    again = post(ingest[style], {"userId": "bob", "eventType": "click", "eventId": event_id})
    assert first == again == (202, {"eventId": event_id, "status": "stored"})
    item = world.event(event_id)
    assert item is not None and item["userId"] == {"S": "ana"}


@STYLES
@pytest.mark.parametrize(
    ("stated", "day"),
    [
        ("2026-03-01T23:30:00-02:00", "2026-03-02"),
        ("2026-03-01", "2026-03-01"),
        (1_772_323_200_000, "2026-03-01"),
    ],
)
def test_a_clients_timestamp_decides_the_day_in_utc(
    style: str, stated: str | int, day: str, ingest: dict[str, ModuleType], world: World
):
    """An event that was held back offline belongs to the day it happened; a day is one in UTC."""
    _, answer = post(ingest[style], {"userId": "ana", "eventType": "click", "timestamp": stated})
    item = world.event(answer["eventId"])
    assert item is not None and item["day"] == {"S": day}


@STYLES
def test_a_clock_that_cannot_be_right_is_marked_and_not_believed(
    style: str, ingest: dict[str, ModuleType], world: World
):
    """A phone after a reset says 1970. Its event is real, its day is not."""
    _, answer = post(ingest[style], {"userId": "ana", "eventType": "click", "timestamp": 0})
    item = world.event(answer["eventId"])
    assert item is not None
    assert item["occurredAt"] == item["receivedAt"]
    assert {"S": "timestamp is outside the acceptance window"} in item["violations"]["L"]


@STYLES
def test_an_event_against_the_tracking_plan_is_kept_and_marked(style: str, ingest: dict[str, ModuleType], world: World):
    """Data refused is lost; data marked can be repaired."""
    _, answer = post(
        ingest[style], {"userId": "ana", "eventType": "page_view", "properties": {"load_ms": "fast", "is_employee": 1}}
    )
    item = world.event(answer["eventId"])
    assert item is not None
    assert [entry["S"] for entry in item["violations"]["L"]] == [
        "property url is missing",
        "property load_ms is not a number",
        "property is_employee is not a boolean",
    ]


@STYLES
@pytest.mark.parametrize(
    ("broken", "missing"),
    [
        (["EVENTS_TABLE"], ["table"]),
        (["RAW_EVENTS_BUCKET"], ["bucket"]),
        (["EVENTS_TABLE", "RAW_EVENTS_BUCKET"], ["bucket", "table"]),
    ],
)
def test_what_a_store_refuses_is_queued_and_retry_event_stores_it(
    style: str,
    broken: list[str],
    missing: list[str],
    ingest: dict[str, ModuleType],
    load: Any,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
):
    """An accepted event is never lost because one store was away, and arrives exactly as it would have."""
    with monkeypatch.context() as patch:
        for name in broken:
            patch.setenv(name, "not-there")
        event = {"userId": "zoë", "eventType": "click", "properties": {"x": 0.1, "deep": [{"y": [1.50, None]}]}}
        status, answer = post(ingest[style], event)
    assert (status, answer["status"]) == (202, "queued")
    event_id = answer["eventId"]
    (message,) = world.queued()
    assert message["missing"] == missing

    record = {"messageId": "m-1", "body": json.dumps(message)}
    assert load("retry_event").handler({"Records": [record, record]}, Context()) == {"batchItemFailures": []}
    item = world.event(event_id)
    assert item is not None
    assert item["properties"]["M"]["x"] == {"N": "0.1"}
    assert len(world.raw(event_id)) == 1


@pytest.mark.parametrize("text", ["é" * 32_000, "\uffff" * 21_000, "😀" * 16_000, '\\"' * 32_000])
def test_the_largest_body_fits_a_queue_message_however_it_is_escaped(
    text: str, ingest: dict[str, ModuleType], world: World, monkeypatch: pytest.MonkeyPatch
):
    """SQS counts escaped bytes and refuses some characters that JSON allows."""
    monkeypatch.setenv("EVENTS_TABLE", "not-there")
    body = f'{{"userId": "{"é" * 128}", "eventType": "click", "properties": {{"x": "{text}"}}}}'
    assert 63_000 < len(body.encode()) <= 65_536
    assert post(ingest["lazy"], body)[1]["status"] == "queued"
    (message,) = world.queued()
    assert message["body"] == body
    assert len(json.dumps(message)) < 256 * 1024


@STYLES
def test_503_only_when_the_queue_is_away_too(
    style: str, ingest: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
):
    """Then the event really is nowhere, and the client has to know."""
    monkeypatch.setenv("EVENTS_TABLE", "not-there")
    monkeypatch.setenv("RETRY_QUEUE_URL", "http://localhost/000000000000/not-there")
    status, answer = post(ingest[style], {"userId": "ana", "eventType": "click"})
    assert status == 503
    assert answer["eventId"]


def test_both_stores_and_the_queue_at_their_slowest_fit_the_functions_timeout(ingest: dict[str, ModuleType]):
    """Otherwise an event could be cut off by the timeout before it reached the queue."""
    store, queue = ingest["stores"].STORE_CONFIG, ingest["stores"].QUEUE_CONFIG
    longest_pause_s = 1  # standard mode draws the first pause from 0 to 1 s
    attempts = store.retries["total_max_attempts"]
    stores_s = attempts * (store.connect_timeout + store.read_timeout) + (attempts - 1) * longest_pause_s
    queue_s = queue.connect_timeout + queue.read_timeout
    assert queue.retries["total_max_attempts"] == 1
    assert stores_s + queue_s < 5


def test_unreadable_settings_do_not_stop_ingestion(ingest: dict[str, ModuleType], world: World):
    """A missing or malformed parameter means the defaults, in both styles."""
    api, ssm = ingest["api"], world.client("ssm")
    default = ingest["intake"].DEFAULT_SETTINGS
    name = world.environment["SETTINGS_PARAMETER"]
    assert api.read_settings(ssm, f"{name}-missing") == default
    for text in ("{", "{}", "[]", '{"earliestTimestamp": "x", "maxFutureMinutes": 1}',
                 '{"earliestTimestamp": "2020-01-01", "maxFutureMinutes": 1e99}'):  # fmt: skip
        ssm.put_parameter(Name=f"{name}-bad", Type="String", Value=text, Overwrite=True)
        assert api.read_settings(ssm, f"{name}-bad") == default
    assert api.read_settings(ssm, name) == default

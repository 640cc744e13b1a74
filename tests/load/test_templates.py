"""Requests from templates: what goes on the wire, the same for every worker and every run of a seed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.errors import BadInput
from serverless_lab.load.templates import Prepared, origin, prepare
from serverless_lab.scenario import load_scenario, parse_document

HERE = origin("http://127.0.0.1:8080/stage/")


def prepared(entry: dict[str, Any], index: int = 0, seed: int = 1, **options: Any) -> list[Prepared]:
    scenario = parse_document({"name": "t", "clients": 1, "requests": 1, "mix": [entry]}, "t.yaml")
    steps = prepare(scenario.mix[0], seed=seed, index=index, now_epoch_ms=1_736_150_400_123.4, to=HERE, **options)
    return [request for step in steps for request in step]


def body(template: Any, index: int = 0, seed: int = 1, values: Any = None) -> Any:
    entry = {"request": "POST /x", "body": template, **({"values": values} if values else {})}
    return json.loads(prepared(entry, index, seed)[0].body)


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_request_depends_on_seed_and_number_alone(seed: int, index: int) -> None:
    """Worker 0 of 1 and worker 1 of 2 send the same request number 417."""
    template = {"a": {"$uuid": True}, "b": {"$int": [1, 6]}, "c": {"$string": 20}, "d": {"$float": [0, 1]}}
    assert body(template, index, seed) == body(template, index, seed)
    assert body(template, index, seed)["a"] != body(template, index + 1, seed)["a"]
    assert body(template, index, seed)["a"] != body(template, index, seed + 1)["a"]


def test_each_generator_gives_what_the_documentation_says() -> None:
    rendered = body(
        {
            "uuid": {"$uuid": True},
            "int": {"$int": [4, 4]},
            "float": {"$float": [1.5, 1.5]},
            "choice": {"$choice": [{"$int": [7, 7]}]},
            "weighted": {"$choice": {"only": 2}},
            "string": {"$string": 12},
            "iso": {"$now": "iso"},
            "ms": {"$now": "epoch_ms"},
            "s": {"$now": "epoch_s"},
            "index": {"$index": True},
            "value": {"$value": "user"},
            "format": {"$format": "u-{user}-{again}"},
            "plain": [1, True, None, "{user}"],
        },
        index=3,
        values={"user": {"$int": [9, 9]}, "again": {"$value": "user"}},
    )
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", rendered.pop("uuid"))
    assert re.fullmatch(r"[a-z0-9]{12}", rendered.pop("string"))
    assert rendered == {
        "int": 4,
        "float": 1.5,
        "choice": 7,
        "weighted": "only",
        "iso": "2025-01-06T08:00:00.123Z",
        "ms": 1736150400123,
        "s": 1736150400,
        "index": 3,
        "value": 9,
        "format": "u-9-9",
        "plain": [1, True, None, "{user}"],
    }


def test_what_goes_on_the_wire() -> None:
    """The stage is part of the path, the body's length is stated, own headers replace the defaults."""
    entry = {
        "request": "POST /users/{user}/events?kind=a",
        "values": {"user": "a/b ä"},
        "query": {"limit": {"$int": [5, 5]}, "q": "x&y"},
        "headers": {"content-type": "application/vnd.x+json", "X-Index": {"$index": True}},
        "body": {"a": 1},
    }
    (request,) = prepared(entry, extra_headers={"Authorization": "Bearer t"})
    head, _, sent = request.payload(b"Cookie: a=b\r\n").decode().partition("\r\n\r\n")
    first, *headers = head.split("\r\n")
    assert first == "POST /stage/users/a%2Fb%20%C3%A4/events?kind=a&limit=5&q=x%26y HTTP/1.1"
    assert sent == '{"a":1}'
    assert headers[0] == "Host: 127.0.0.1:8080"
    assert headers[1].startswith("User-Agent: serverless-lab/")
    assert set(headers[2:]) == {
        "Accept: */*", "Content-Length: 7", "content-type: application/vnd.x+json", "X-Index: 0",
        "Authorization: Bearer t", "Cookie: a=b",
    }  # fmt: skip
    assert request.request.name == "POST /users/{user}/events?kind=a"


def test_a_drawn_line_break_cannot_start_another_header() -> None:
    entry = {"request": "GET /", "values": {"v": {"$choice": ["a\r\nX: y"]}}, "headers": {"A": {"$value": "v"}}}
    head = prepared(entry)[0].head.decode()
    assert "A: a  X: y" in head
    assert "\nX:" not in head


def test_text_is_sent_as_text_and_nothing_as_nothing() -> None:
    (text,) = prepared({"request": "PUT /", "body": "a,b\n"})
    assert text.body == b"a,b\n" and b"text/plain" in text.head
    (nothing,) = prepared({"request": "POST /"})
    assert nothing.body == b"" and b"Content-Length: 0" in nothing.head
    (get,) = prepared({"request": "GET /"})
    assert b"Content-Length" not in get.head


def test_monday_spike_sends_events_that_the_bundled_api_takes() -> None:
    spike = load_scenario("monday-spike")
    kinds = set()
    for index in range(200):
        ((request,),) = prepare(spike.mix[0], seed=1, index=index, now_epoch_ms=0.0, to=HERE)
        event = json.loads(request.body)
        assert request.head.startswith(b"POST /stage/events HTTP/1.1\r\n")
        assert set(event) == {"userId", "eventType", "timestamp", "properties"}
        assert re.fullmatch(r"user-\d+", event["userId"])
        kinds.add(event["eventType"])
    assert kinds == {"page_view", "click", "purchase", "signup"}


@pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://x", "http://", "http://x:99999", "http://x:0", "http://x/?a=b"])
def test_what_is_no_url_of_an_api_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="is not the URL of an API"):
        origin(url)


def test_the_host_header_has_the_port_only_when_it_is_unusual() -> None:
    assert origin("https://a.example/prod").authority == "a.example"
    assert origin("http://a.example:443").authority == "a.example:443"
    assert origin("http://[::1]:8080").authority == "[::1]:8080"

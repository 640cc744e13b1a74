"""The bytes between a runtime and the Runtime API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.emulator.runtime_api import Call, RequestParser, RuntimeRequest, next_response

NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"


def test_the_calls_of_the_runtime_api_are_told_apart():
    def route(method: str, path: str):
        return RuntimeRequest(method, path, {}, b"").route()

    assert route("GET", "/2018-06-01/runtime/invocation/next") == (Call.NEXT, None)
    assert route("POST", "/2018-06-01/runtime/invocation/abc/response") == (Call.RESPONSE, "abc")
    assert route("POST", "/2018-06-01/runtime/invocation/abc/error") == (Call.ERROR, "abc")
    assert route("POST", "/2018-06-01/runtime/init/error") == (Call.INIT_ERROR, None)
    assert route("GET", "/2018-06-01/runtime/init/error") is None
    assert route("GET", "/") is None


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), min_size=1), st.booleans())
def test_a_request_is_whole_however_its_bytes_are_cut(body: bytes, cuts: list[int], chunked: bool):
    head = b"POST /2018-06-01/runtime/invocation/abc/response HTTP/1.1\r\nX-Name:  value \r\n"
    if chunked:
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7))
        data = head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    else:
        data = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    parser, found, at, turn = RequestParser(), [], 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        request = parser.feed(data[at : at + size])
        at, turn = at + size, turn + 1
        if request is not None:
            found.append(request)
    (request,) = found
    assert request.body == body
    assert request.headers["x-name"] == "value"
    assert parser.feed(NEXT).route() == (Call.NEXT, None)


@given(st.binary(max_size=200))
def test_bytes_that_are_not_http_are_refused_or_waited_for_and_never_a_request(data: bytes):
    parser = RequestParser()
    try:
        request = parser.feed(data)
    except ValueError:
        return
    assert request is None or b"\r\n\r\n" in data


def test_a_client_that_asks_before_it_sends_is_noticed():
    parser = RequestParser()
    assert parser.feed(b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n") is None
    assert parser.wants_continue
    assert parser.feed(b"ok").body == b"ok"


@pytest.mark.parametrize("hostile", ["x\r\nInjected: yes", "x\nInjected: yes"])
def test_a_client_context_cannot_add_a_header(hostile: str):
    answer = next_response(
        request_id="r", payload=b"{}", deadline_ms=1, function_arn="arn:aws:lambda", client_context=hostile
    )
    head = answer.partition(b"\r\n\r\n")[0]
    assert not any(line.startswith(b"Injected") for line in head.replace(b"\r", b"\n").split(b"\n"))


@given(st.integers(0, 60), st.lists(st.integers(1, 40), min_size=1), st.booleans())
def test_of_a_body_that_is_too_long_nothing_is_kept_and_the_next_request_is_read(
    length: int, cuts: list[int], chunked: bool
):
    """A function that answers with gigabytes costs the emulator no memory."""
    body, head = b"z" * length, b"POST /2018-06-01/runtime/invocation/abc/response HTTP/1.1\r\n"
    if chunked:
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, length, 7))
        data = head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n" + NEXT
    else:
        data = head + b"Content-Length: %d\r\n\r\n" % length + body + NEXT
    parser, found, at, turn = RequestParser(body_limit=30), [], 0, 0
    while at < len(data):
        size = min(cuts[turn % len(cuts)], len(data) - len(NEXT) - at if at < len(data) - len(NEXT) else len(NEXT))
        request = parser.feed(data[at : at + size])
        at, turn = at + size, turn + 1
        if request is not None:
            found.append(request)
        assert len(parser._body) <= 30
    response, following = found
    assert (response.oversized, response.body) == ((True, b"") if length > 30 else (False, body))
    assert (following.method, following.oversized) == ("GET", False)

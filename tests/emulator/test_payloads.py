"""Payloads that Invoke refuses."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.emulator.payloads import event_bytes, not_json, too_large

MEGABYTE = 1024 * 1024
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=50)
@given(JSON)
def test_json_of_any_kind_is_accepted_with_or_without_a_byte_order_mark(value: object):
    payload = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if b"\xed" not in payload:  # a lone surrogate is no UTF-8
        assert not_json(payload) is None
        assert not_json(b"\xef\xbb\xbf" + payload) is None
        assert event_bytes(b"\xef\xbb\xbf" + payload) == payload


def test_nothing_at_all_is_an_empty_object():
    assert not_json(b"") is None and event_bytes(b"") == b"{}"


@given(st.binary(min_size=1, max_size=200))
def test_whatever_the_bytes_are_they_are_json_or_refused_as_a_client_error(payload: bytes):
    refusal = not_json(payload)
    if refusal is None:
        json.loads(event_bytes(payload))
    else:
        assert (refusal.status, refusal.error_type) == (400, "InvalidRequestContentException")
        assert refusal.body["message"].startswith("Could not parse request body into json: ")


WORDS = {
    b"test data": "Unrecognized token 'test': was expecting (JSON String, Number, Array, Object or token 'null', ",
    b"NaN": "Non-standard token 'NaN'",
    b'{"a": -Infinity}': "Non-standard token '-Infinity'",
    b'{"a": 1': 'Unexpected end-of-input: expected close marker for Object (start marker at [Source: (byte[])"{"a": 1',
    b"[[1], ": "Unexpected end-of-input: expected close marker for Array",
    b'{"a': "Unexpected end-of-input: was expecting closing quote for a string value",
    b"   ": "No content to map due to end-of-input",
    b"{'a': 1}": "Unexpected character (''' (code 39)): was expecting double-quote to start field name",
    b'{"a" 1}': "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value",
    b'{"a": 1 "b"}': "Unexpected character ('\"' (code 34)): was expecting comma to separate Object entries",
    b'["\n"]': "Illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped using backslash",
    b'"\xc3("': "Invalid UTF-8 middle byte 0x28",
    b"[" * 100_000: "Document nesting depth exceeds the maximum allowed",
}


@pytest.mark.parametrize("payload", WORDS, ids=lambda payload: payload[:20])
def test_the_reason_is_told_in_the_words_of_the_parser_that_aws_uses(payload: bytes):
    """Jackson's: https://github.com/FasterXML/jackson-core"""
    message = not_json(payload).body["message"]
    assert message.startswith(
        f"Could not parse request body into json: Could not parse payload into json: {WORDS[payload]}"
    )


def test_sizes_are_those_of_the_invocation_type():
    assert too_large(6 * MEGABYTE, "RequestResponse") is None and too_large(6 * MEGABYTE + 1, "") is not None
    assert too_large(MEGABYTE, "Event") is None and too_large(MEGABYTE + 1, "Event") is not None
    assert too_large(MEGABYTE + 1, "RequestResponse") is None

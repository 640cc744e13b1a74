"""JSON lines that are read at once are whole JSON values, and what is passed over in them tells nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.coldstarts.digest.blocks import MARGIN, ROOM
from serverless_lab.coldstarts.digest.json_text import may_tell
from serverless_lab.coldstarts.digest.layouts import Layouts, are_plain
from serverless_lab.coldstarts.digest.swar import Text
from serverless_lab.coldstarts.formats_text import Where, read_message

STREAM = "2026/11/24/[$LATEST]" + "0123456789abcdef" * 2
PIECES = [
    "a",
    '\\"',
    "\\\\",
    "\\",
    "\\n",
    "\\t",
    "\\u00e9",
    "\\u12g4",
    "\\x",
    '"',
    "\x01",
    "\t",
    "{",
    "é",
    " ",
    "x" * 300,
]
HEADS = [
    "",
    "REPORT RequestId: ",
    "\\u0052EPORT RequestId: ",
    "R\\u0045PORT RequestId: ",
    " \\n START RequestId: 1 ",
    "EXTENSION\\tName: a\\tState: Ready\\tEvents: []",
    "0a2b4c6d-0000-4000-8000-0123456789ab Task timed out after 3.00 seconds",
    '{\\"time\\":\\"2026-11-24T16:00:00Z\\",\\"type\\":\\"platform.report\\"',
    "INIT_REPORT Init Duration: 3 ms",
]


def block_of(*lines: bytes) -> tuple[Text, np.ndarray, np.ndarray]:
    """A buffer with lines, where they begin and where they end."""
    sizes = np.array([len(line) for line in lines])
    ends = ROOM + np.cumsum(sizes + 1) - 1
    text = Text(bytearray(ROOM) + b"".join(line + b"\n" for line in lines) + bytes(MARGIN))
    return text, ends - sizes, ends


def as_json(message: bytes) -> str | None:
    """What the text between two quotes says; None where it is no text of JSON."""
    try:
        found = json.loads('"' + message.decode("utf-8", "replace") + '"')
    except ValueError:
        return None
    return found if isinstance(found, str) else None


messages = st.builds(
    lambda head, pieces: (head + "".join(pieces)).encode(), st.sampled_from(HEADS), st.lists(st.sampled_from(PIECES))
)


@given(bodies=st.lists(messages, min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_message_is_whole_if_it_is_json_and_is_passed_over_if_it_tells_nothing(bodies):
    """Messages of an application are looked at together; none may end early, and no platform line may be missed."""
    text, starts, ends = block_of(*(body + b'"' for body in bodies))
    is_whole, tells = may_tell(text, starts, ends - 1, np.zeros(len(bodies), np.bool_))
    for body, whole, told in zip(bodies, is_whole.tolist(), tells.tolist(), strict=True):
        message = as_json(body)
        assert whole == (message is not None)
        if message is not None and not told:
            assert list(read_message(message, 1, "group", "stream", Where(), 1)) == []


def line_of(order: tuple[str, ...], separators: tuple[str, str], message: str) -> bytes:
    members = {
        "logStreamName": STREAM,
        "timestamp": 1_764_000_000_000,
        "message": message,
        "ingestionTime": 1_764_000_000_900,
        "eventId": "38700000000000000000000000000000000000000000000000000001",
    }
    return json.dumps({name: members[name] for name in order}, separators=separators).encode()


ORDERS = [
    ("logStreamName", "timestamp", "message", "ingestionTime", "eventId"),
    ("eventId", "ingestionTime", "logStreamName", "message", "timestamp"),
    ("message", "timestamp", "logStreamName"),
    ("timestamp", "message"),
]


@given(
    order=st.sampled_from(ORDERS),
    separators=st.sampled_from([(",", ":"), (", ", ": ")]),
    message=st.sampled_from(["", "a", "REPORT\n", 'he said "no"\n']),
    place=st.floats(0, 1, exclude_max=True),
    byte=st.one_of(st.sampled_from(list(b'0123456789abcf"\\-:,{}[] \t')), st.integers(0, 255)),
)
@settings(max_examples=200, deadline=None)
def test_a_line_with_a_known_layout_is_json_that_says_what_is_read_of_it(order, separators, message, place, byte):
    """One character is replaced: either it is noticed, or the line is still JSON with the same members."""
    line = line_of(order, separators, message)
    layout = Layouts().of(line)
    assert layout is not None
    at = int(place * len(line))
    changed = line[:at] + bytes([byte]) + line[at + 1 :]
    if b"\n" in changed:
        return
    text, starts, ends = block_of(line, changed, b"x")
    fits, ids = layout.fits(text, starts, ends)
    assert fits[0] and not fits[2]
    message_at, quote = starts + layout.head_size, ends - layout.tail_size
    is_whole, _ = may_tell(text, message_at[:2], quote[:2], np.ones(2, np.bool_))
    assert is_whole[0]
    if fits[1] and is_whole[1] and (ids is None or are_plain(ids)[1]):
        found = json.loads(changed.decode("utf-8", "replace"))
        assert tuple(found) == order
        assert found["timestamp"] == layout.instants(text, starts[1:2], ends[1:2])[0]
        assert (
            found["message"].encode() == as_json(changed[layout.head_size : len(changed) - layout.tail_size]).encode()
        )
        if ids is not None:
            assert found["logStreamName"] == layout.stream + ids[1].tobytes().decode()


@pytest.mark.parametrize(
    "line",
    [
        b'{"timestamp":1764000000000,"timestamp":1764000000001,"message":"twice"}',
        b'{"timestamp":01764000000000,"message":"a number that is none"}',
        b'{"timestamp":1764000000,"message":"seconds"}',
        b'{"timestamp":1764000000000.5,"message":"a fraction"}',
        b'{"message":"no time"}',
        b'{"timestamp":1764000000000,"message":"more","level":"INFO"}',
        b'{"timestamp":1764000000000,"message":{"type":"platform.start"}}',
        b'{"timestamp":1764000000000,"message":"cut',
        b'[{"timestamp":1764000000000,"message":"in a list"}]',
        b"",
    ],
)
def test_other_lines_have_no_layout(line):
    """They go through the general reader."""
    assert Layouts().of(line) is None

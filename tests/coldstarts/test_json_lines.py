"""JSON lines that are read at once are whole JSON values, and what is passed over in them tells nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.coldstarts.digest.blocks import MARGIN, ROOM, Block
from serverless_lab.coldstarts.digest.chars import Text
from serverless_lab.coldstarts.digest.json_lines import JsonLines
from serverless_lab.coldstarts.digest.json_text import end_of_string, may_tell
from serverless_lab.coldstarts.digest.kinds import REPORT
from serverless_lab.coldstarts.digest.lines import Found, NotServed
from serverless_lab.coldstarts.digest.names import UNKNOWN, Names, number_of
from serverless_lab.coldstarts.digest.platform_text import DURATION_US
from serverless_lab.coldstarts.digest.rows import id_text
from serverless_lab.coldstarts.formats_json import read_value
from serverless_lab.coldstarts.formats_text import Where, read_message
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import ReportLine, StartLine, render, render_start

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


def block_of(*lines: bytes) -> Block:
    """A block of these lines."""
    sizes = np.array([len(line) for line in lines])
    ends = ROOM + np.cumsum(sizes + 1) - 1
    text = Text(bytearray(ROOM) + b"".join(line + b"\n" for line in lines) + bytes(MARGIN))
    return Block(text, ends - sizes, ends, np.ones(len(lines), np.bool_), 0, int(ends[-1]))


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


@given(body=messages)
@settings(max_examples=200, deadline=None)
def test_a_message_is_whole_if_it_is_json_and_is_passed_over_if_it_tells_nothing(body):
    """None may end early, and no platform line may be missed."""
    block = block_of(body + b'"')
    text, at = block.text.address, int(block.starts[0])
    quote = end_of_string(text, at)
    if quote < 0:
        assert as_json(body) is None
        return
    message = as_json(body[: quote - at])
    assert message is not None
    assert (quote == at + len(body)) == (as_json(body) is not None)
    if not may_tell(text, at, quote):
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


ID = "0a2b4c6d-0000-4000-8000-0123456789ab"
MESSAGES = [
    render(ReportLine(ID, 12.5, 13, 128, 60, 250.25)),
    render(ReportLine(ID, 12.5, 13, 128, 60, restore_duration_ms=100.5, billed_restore_duration_ms=101)),
    render(ReportLine(ID, 3000.0, 3000, 128, 60, status="timeout")),
    render_start(ID, "$LATEST"),
    'he said "no"\n',
]


def told(found: Found) -> list[tuple[object, ...]]:
    """Of each REPORT and START of a block: when, in which stream, its id, and the Duration of a REPORT."""
    assert found.stream is not None
    names = [found.names[number] for number in found.stream]
    reports, starts = iter(range(len(found.rows.reports))), iter(range(len(found.rows.start_ids)))
    events: list[tuple[object, ...]] = []
    for what, ms, name in zip(found.what.tolist(), found.ms.tolist(), names, strict=True):
        if what == REPORT:
            row = next(reports)
            duration_ms = int(found.rows.reports[row, DURATION_US]) / 1000
            events.append((ms, name, id_text(found.rows.report_ids[row]), duration_ms))
        else:
            events.append((ms, name, id_text(found.rows.start_ids[next(starts)])))
    return events + [told_of(event) for _, event in found.others]


def told_of(event: LogEvent) -> tuple[object, ...]:
    line = event.line
    assert isinstance(line, ReportLine | StartLine)
    duration = (line.duration_ms,) if isinstance(line, ReportLine) else ()
    return (event.timestamp_ms, event.log_stream, line.request_id, *duration)


@given(
    order=st.sampled_from(ORDERS),
    separators=st.sampled_from([(",", ":"), (", ", ": ")]),
    message=st.sampled_from(MESSAGES),
    place=st.floats(0, 1, exclude_max=True),
    byte=st.one_of(st.sampled_from(list(b'0123456789abcf"\\-:,{}[] \t')), st.integers(0, 255)),
)
@settings(max_examples=300, deadline=None)
def test_a_line_tells_what_json_says_of_it_or_is_left_to_the_general_reader(order, separators, message, place, byte):
    """One character is replaced: either it is noticed, or the line is still JSON and says just that."""
    line = line_of(order, separators, message)
    at = int(place * len(line))
    changed = line[:at] + bytes([byte]) + line[at + 1 :]
    if b"\n" in changed:
        return
    try:
        found = JsonLines(Where(log_stream="of the path")).read(block_of(line, changed))
    except NotServed:
        found = JsonLines(Where(log_stream="of the path")).read(block_of(line))
        changed = b""
    expected = []
    for each in (line, changed):
        try:
            value = json.loads(each.decode("utf-8", "replace"))
        except ValueError:
            continue
        events = read_value(value, Where(log_stream="of the path"), 1)
        expected += [told_of(event) for event in events if isinstance(event, LogEvent)]
    assert sorted(told(found), key=repr) == sorted(expected, key=repr)


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("order", ORDERS)
def test_a_line_as_the_api_answers_it_is_not_left_to_the_general_reader(order, message):
    """It would be read rightly, and twenty times as slowly."""
    found = JsonLines(Where()).read(block_of(line_of(order, (",", ":"), message)))
    assert found.others == []
    assert len(found.at) == (not message.startswith("he"))


@pytest.mark.parametrize(
    "line",
    [
        b'{"timestamp":1764000000000,"timestamp":1764000000001,"message":"MESSAGE"}',
        b'{"timestamp":1764000000,"message":"MESSAGE"}',
        b'{"timestamp":1764000000000.5,"message":"MESSAGE"}',
        b'{"message":"MESSAGE"}',
        b'{"timestamp":1764000000000,"message":"MESSAGE","level":"INFO"}',
        b'{"timestamp":1764000000000,"message":{"type":"platform.start"}}',
        b"",
    ],
)
def test_other_lines_are_read_by_the_general_reader(line):
    """Whatever it makes of them."""
    line = line.replace(b"MESSAGE", json.dumps(render_start(ID, "$LATEST"))[1:-1].encode())
    expected = []
    if line:
        expected = [event for event in read_value(json.loads(line), Where(), 1) if isinstance(event, LogEvent)]
    found = JsonLines(Where()).read(block_of(line))
    assert not len(found.at)
    assert [event for _, event in found.others] == expected


@given(names=st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126)), unique=True, max_size=60))
@settings(max_examples=50, deadline=None)
def test_each_name_has_a_number_of_its_own(names):
    """However long they are, and however often the table grew."""
    table = Names()
    table.ends, table.slots = table.ends[:2], table.slots[:4]
    for at, name in enumerate(names):
        text = Text(name.encode() + bytes(MARGIN))
        assert number_of(text.address, 0, len(name), *table.table) == UNKNOWN
        table.add(name)
        for number, known in enumerate(names[: at + 1]):
            text = Text(known.encode() + bytes(MARGIN))
            assert number_of(text.address, 0, len(known), *table.table) == number
    assert table.told == names

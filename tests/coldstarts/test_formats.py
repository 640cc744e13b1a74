"""Every format gives the same invocations, whole, packed, cut and damaged."""

from __future__ import annotations

import gzip
import math
import re
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.coldstarts.formats import detect, read_log
from serverless_lab.coldstarts.formats_text import CUT, Unreadable, Where
from serverless_lab.coldstarts.invocations import InvocationRow, build_invocations
from serverless_lab.coldstarts.sources import LogEvent
from tests.coldstarts.log_files import (
    FULL,
    PARTIAL,
    REPORTS_ONLY,
    Piece,
    as_json_format,
    gzipped,
    joined,
    lines,
    zstandard,
)
from tests.coldstarts.story import Environment

ALL = {**FULL, **PARTIAL, **REPORTS_ONLY}
# Every format with logs of the text format and of the JSON format, where these are not the same bytes.
CASES = [
    (name, is_json)
    for name in ALL
    for is_json in (False, True)
    if not is_json or (name != "telemetry" and name not in REPORTS_ONLY)
]
NUMBERS = (
    "duration_ms",
    "billed_duration_ms",
    "memory_size_mb",
    "max_memory_used_mb",
    "init_duration_ms",
    "restore_duration_ms",
    "billed_restore_duration_ms",
)


def read(data: bytes, format: str | None = None, chunk: int = 65_536) -> tuple[list[LogEvent], list[Unreadable]]:
    _, items = read_log([data[at : at + chunk] for at in range(0, len(data), chunk)], Where("x"), format)
    found = list(items)
    return (
        [item for item in found if isinstance(item, LogEvent)],
        [item for item in found if isinstance(item, Unreadable)],
    )


def rows_of(data: bytes, **options) -> tuple[InvocationRow, ...]:
    return build_invocations(read(data, **options)[0]).rows


def _told() -> list[LogEvent]:
    """A cold start, a timeout, the init it makes necessary; a provisioned environment; lines of the application."""
    first = Environment().cold(1).write('an application\'s line, with "quotes"\nand two lines\n').wait(50)
    first.invoke(2, 3000.0, status="timeout").wait(70).invoke(3, 300.5).wait(5)
    second = Environment(version="7", now=first.now + 10).init_start().init_report(4831.59).wait(9_000)
    second.invoke(4, init_duration_ms=4831.59, status="error", error_type="Runtime.ExitError")
    return [*first.events, *second.events]


TOLD = _told()

# The same in files of a third of its length, each beginning with what the one before ends in. All lines that differ in
# kind are there: reading a file again for each of its bytes costs the square of its length.
TOLD_PARTS = {"a cold start": TOLD[:5], "a timeout": TOLD[3:8], "a provisioned environment": TOLD[10:]}


def told() -> list[LogEvent]:
    return list(TOLD)


def numbers_of(row: InvocationRow) -> dict[str, float | None]:
    return {name: getattr(row, name) for name in NUMBERS}


# --- the same invocations --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "is_json"), [case for case in CASES if case[0] in FULL])
def test_a_format_that_keeps_stream_and_time_gives_all_that_the_log_itself_does(name, is_json):
    events = as_json_format(told()) if is_json else told()
    data = joined(FULL[name](events))
    expected = build_invocations(told())
    found = build_invocations(read(data)[0])
    by_stream = {(row.log_stream, row.request_id): row for row in found.rows}
    assert len(by_stream) == len(expected.rows) == 4
    for row in expected.rows:
        again = by_stream[row.log_stream, row.request_id]
        kept = {**asdict(again), "log_group": row.log_group, "function": row.function}
        assert kept == asdict(row)
    assert found.environments_initialised == 2
    assert read(data)[1] == []


@pytest.mark.parametrize(("name", "is_json"), [case for case in CASES if case[0] not in FULL])
def test_a_format_that_keeps_less_gives_the_same_numbers(name, is_json):
    """Without streams it is the REPORT lines alone that tell kinds."""
    events, unreadable = read(joined(ALL[name](as_json_format(told()) if is_json else told())))
    found = {row.request_id: row for row in build_invocations(events).rows}
    expected = {row.request_id: row for row in build_invocations(told()).rows}
    assert unreadable == []
    assert {key: numbers_of(row) for key, row in found.items()} == {
        key: numbers_of(row) for key, row in expected.items()
    }
    if name not in REPORTS_ONLY:
        assert {key: row.status for key, row in found.items()} == {key: row.status for key, row in expected.items()}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("chunk", [1, 7, 1_000])
def test_in_which_pieces_the_bytes_arrive_does_not_matter(name, chunk):
    data = joined(ALL[name](told()))
    assert read(data, chunk=chunk) == read(data)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("pack", [gzipped, zstandard])
def test_packed_files_read_as_what_is_in_them(name, pack):
    pieces = ALL[name](told())
    assert read(pack(pieces)) == read(joined(pieces))
    assert read(pack(pieces) + pack([])) == read(joined(pieces)), "an empty member or frame adds nothing"
    halves = joined(pieces)[:500], joined(pieces)[500:]
    assert read(b"".join(pack([Piece(half)]) for half in halves)) == read(joined(pieces))


@pytest.mark.parametrize("name", [name for name in ALL if name != "firehose object"])
def test_what_powershell_writes_is_read(name):
    """`aws logs tail … > file` there is UTF-16 with a byte order mark."""
    text = joined(ALL[name](told())).decode()
    assert read(text.encode("utf-16")) == read(text.encode())
    for without_mark in ("utf-16-le", "utf-16-be"):
        assert read(text.encode(without_mark)) == read(text.encode())
    assert read(text.encode("utf-8-sig")) == read(text.encode())
    assert len(read(text.replace("\n", "\r\n").encode())[0]) == len(read(text.encode())[0])


@pytest.mark.parametrize("name", ALL)
def test_the_format_is_found_by_content_and_may_be_forced(name):
    data = joined(ALL[name](told()))
    found, _ = read_log([data], Where("x"))
    assert found is not None
    assert read(data, format=found) == read(data)


# --- cut anywhere ----------------------------------------------------------------------------------------------------


def cuts_of(data: bytes) -> list[int]:
    """Where to cut: everywhere but inside a run of one character (an indent, the zeros of an id), where it is the same
    as at its beginning and at its end."""
    return [cut for cut in range(len(data)) if cut < 4 or len(set(data[cut - 4 : cut + 1])) > 1]


def check_cut(events: Sequence[LogEvent], least: int, whole: dict[str, InvocationRow], context: object) -> None:
    """What is left has `least` reports at least, one more at most, and says nothing that the whole file does not."""
    rows = build_invocations(events).rows
    assert least <= len(rows) <= least + 1, context
    for row in rows:
        full = whole[row.request_id]
        assert all(
            value in (None, getattr(full, name)) for name, value in {**numbers_of(row), "status": row.status}.items()
        ), context
        assert row.kind in (full.kind, "unknown"), context
        assert row.error_type in (None, full.error_type), context


@pytest.mark.parametrize("part", TOLD_PARTS)
@pytest.mark.parametrize(
    ("name", "is_json"), [case for case in CASES if case[0] not in ("firehose object", "log result")]
)
def test_a_file_cut_at_any_byte_loses_at_most_the_record_at_the_cut(name, is_json, part):
    told_part = TOLD_PARTS[part]
    pieces = ALL[name](as_json_format(told_part) if is_json else told_part)
    data = joined(pieces)
    whole = {row.request_id: row for row in rows_of(data)}
    ends = []
    end = reports = 0
    for piece in pieces:
        end += len(piece.data)
        reports += piece.reports
        ends.append((end, reports))
    before: tuple[list[LogEvent], int] | None = None
    for cut in cuts_of(data):
        least = max((reports for end, reports in ends if end <= cut), default=0)
        events, _ = read(data[:cut])
        if before == (events, least):
            continue
        before = events, least
        if name in ("awslogs payload", "log results"):
            # What these hold is packed: the whole of it is a record.
            assert least <= len(build_invocations(events).rows) <= len(whole)
        else:
            check_cut(events, least, whole, (name, cut, data[max(0, cut - 60) : cut]))


@pytest.mark.parametrize("name", ["aws logs tail", "filter-log-events", "insights csv", "subscription messages"])
def test_a_gzip_file_cut_at_any_byte_keeps_what_can_be_unpacked(name):
    pieces = ALL[name](told())
    data = gzipped(pieces)
    whole = {row.request_id: row for row in rows_of(data)}
    text = joined(pieces)
    for cut in range(12, len(data)):
        unpacked = zlib.decompressobj(wbits=31).decompress(data[:cut])
        assert text.startswith(unpacked)
        left = [row.request_id for row in rows_of(unpacked)]
        events, unreadable = read(data[:cut])
        assert [row.request_id for row in build_invocations(events).rows] == left
        assert any("ends before" in place.reason for place in unreadable)
        assert set(left) <= set(whole)


def test_of_concatenated_members_a_cut_costs_the_last_one_only():
    pieces = FULL["firehose object"](told())
    for cut in range(len(pieces[0].data) + len(pieces[1].data), len(joined(pieces))):
        assert len(rows_of(joined(pieces)[:cut])) >= 3


def test_base64_cut_anywhere_gives_the_lines_before_the_cut():
    data = joined(PARTIAL["log result"](told()))
    text = "".join(event.message for event in told()).encode()
    whole = {row.request_id: row for row in rows_of(data)}
    for cut in range(80, len(data) - 2):
        plain = text[: cut // 4 * 3]
        least = len(re.findall(rb"^REPORT [^\n]*\n", plain, re.MULTILINE))
        check_cut(read(data[:cut])[0], least, whole, cut)


def test_a_record_that_was_cut_is_shown_with_its_line():
    data = joined(FULL["sam logs"](told()))
    at = data.index(b"Billed Duration: 3001") + 10
    (place,) = read(data[:at])[1]
    assert (place.reason, place.line) == (CUT, data[:at].count(b"\n") + 1)
    assert place.text.startswith("REPORT RequestId: 00000002")


# --- damaged, and anything else --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["event lines", "filter-log-events", "insights csv", "sam logs"])
@given(at=st.integers(8, 10_000), junk=st.binary(min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_damage_costs_the_records_it_hits(name, at, junk):
    """Reading goes on behind it: the last report of a long file is always there, if the damage is at its beginning."""
    pieces = ALL[name](told() + [event for n in range(10, 40) for event in Environment().cold(n).events])
    data = bytearray(joined(pieces))
    at = min(at, len(data) // 4)
    data[at : at + len(junk)] = junk.replace(b'"', b"?").replace(b"\x00", b"?")
    events, _ = read(bytes(data))
    assert len(build_invocations(events).rows) >= 25


def printed_numbers(text: str) -> set[float]:
    found = set()
    for number in re.findall(r"[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?", text, re.ASCII):
        found.add(float(number))
        # A record may print several readings of the same digits: 1e3 is 1 as well, for a line that ends there.
        found.update(float(part) for part in re.split("[eE]", number) if re.fullmatch(r"[0-9.]+", part))
    return found


def check_nothing_invented(data: bytes) -> None:
    events, unreadable = read(data)
    text = data.decode("utf-8", errors="replace")
    printed = printed_numbers(text)
    for row in build_invocations(events).rows:
        for name, value in numbers_of(row).items():
            if value is not None:
                in_bytes = name.endswith("_mb") and any(math.isclose(value * 1e6, number) for number in printed)
                assert value in printed or in_bytes, (name, value)
    assert all(place.reason and len(place.text) <= 200 for place in unreadable)


SHARDS = sorted(
    {
        shard
        for build in ALL.values()
        for piece in build(told())
        for shard in re.findall(r"[A-Za-z@]+:? ?|[0-9.]+|[^A-Za-z0-9]", piece.data.decode("utf-8", "replace"))
    }
)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_a_reader_fail(data):
    check_nothing_invented(data)
    for format in ("text", "csv", "json", "base64"):
        read(data, format=format)


@given(st.lists(st.sampled_from(SHARDS), max_size=120).map("".join))
@settings(max_examples=300, deadline=None)
def test_nothing_made_of_pieces_of_logs_makes_a_reader_fail_or_invent_a_number(text):
    check_nothing_invented(text.encode())
    for format in ("text", "csv", "json", "base64"):
        read(text.encode(), format=format)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_log_with_anything_put_into_it_makes_no_number_up(data):
    name = data.draw(st.sampled_from([name for name in ALL if name not in ("firehose object", "awslogs payload")]))
    content = joined(ALL[name](told()))
    if name.startswith("log result"):
        return
    at = data.draw(st.integers(0, len(content)))
    to = data.draw(st.integers(at, min(len(content), at + 300)))
    junk = data.draw(st.sampled_from(SHARDS).map(str.encode) | st.binary(max_size=20))
    check_nothing_invented(content[:at] + junk + content[to:])


# --- not a log -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04....", "zip"),
        (b"PAR1\x15\x00", "Parquet"),
        (b"\x00\x01\x02\x03", "binary"),
        (b"Dear Sir or Madam,\n", "no log"),
        (b'{"name": "orders", "version": 1}', "no log"),
        (b"name,amount\norders,3\n", "no log"),
        (gzip.compress(b"PK\x03\x04...."), "zip"),
        (gzip.compress(b"hello")[:5], "gzip"),
    ],
)
def test_a_file_that_is_no_log_is_said_to_be_none(data, reason):
    events, unreadable = read(data)
    assert events == []
    (place,) = unreadable
    assert reason in place.reason
    assert place.line == 0


def test_a_log_in_which_lambda_said_nothing_is_a_log():
    """One that a tool has read from CloudWatch: the prefix shows it."""
    text = "2025-11-24T16:00:00.250Z an application's line\n2025-11-24T16:00:00.251Z another\n"
    assert read(text.encode()) == ([], [])


def test_platform_lines_behind_a_prefix_that_is_not_known_are_pointed_at():
    data = joined(lines(lambda event: "container-7 | INFO | ")(told()))
    events, (place,) = read(data)
    assert events == []
    assert (place.line, "behind something else" in place.reason) == (1, True)


def test_they_are_pointed_at_however_much_of_the_file_looks_like_a_log():
    """Its times may be lines of a log (YAML). A report without invocations would look like one of a quiet function."""
    data = joined(lines(lambda event: f"- timestamp: {event.timestamp_ms}\n  message: '")(told()))
    events, places = read(data)
    assert (events, ["behind something else" in place.reason for place in places]) == ([], [True])


@pytest.mark.parametrize(
    ("head", "format"),
    [
        ('{"a": 1}', "json"),
        ("[\n  {", "json"),
        ('[[{"field"', "json"),
        ("[ERROR] KeyError: 'x'", "text"),
        ("{not json}", "text"),
        ("timestamp,message\n", "csv"),
        ("\ufefftimestamp,message\n", "csv"),
        ("@timestamp,@duration\n", "csv"),
        ('"@message"\n', "csv"),
        ("date,message,amount\n", "text"),
        ("START RequestId: x Version: 1\n", "text"),
    ],
)
def test_content_tells_the_format(head, format):
    assert detect(head) == format


# --- hostile input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "RequestId: " * 30_000,
        "REPORT RequestId: x\t" + "Aa Bb " * 60_000,
        "REPORT RequestId: x\t" + "Status: " * 30_000,
        "REPORT RequestId: x" + " " * 300_000,
        "REPORT RequestId: x\tDuration: 1 ms\n" + "XRAY TraceId: x\n" * 20_000,
        "REPORT RequestId: x\n" + "Duration: 1 ms\nBilled Duration: 1 ms\n" * 12_000,
        "Task timed out after " * 20_000,
        '@timestamp=" ' * 30_000 + "RequestId:",
        '{"message": REPORT RequestId: x\n' * 7_000,
        "timestamp,message\n" + '1764000000000,"\n' * 20_000,
        "timestamp,message\n" + '"' * 300_000,
    ],
    ids=lambda text: text[:24],
)
def test_no_text_takes_longer_than_its_length_warrants(text):
    """A third of a megabyte that makes a pattern try again at every place would take an hour."""
    began = time.process_time()
    read(text.encode())
    assert time.process_time() - began < 10

"""The digest says of any text what the general reader says of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from serverless_lab.coldstarts.digest import Digest, Key
from serverless_lab.coldstarts.digest.blocks import line_ends
from serverless_lab.coldstarts.digest.chars import Text
from serverless_lab.coldstarts.digest.run import run
from serverless_lab.coldstarts.files import FileReading, read_paths
from serverless_lab.coldstarts.frame import to_frame
from serverless_lab.coldstarts.statistics import Sample, began_ms, sample_of
from serverless_lab.report_line import (
    InitReport,
    ReportLine,
    RestoreReport,
    render,
    render_end,
    render_init_report,
    render_init_start,
    render_restore_report,
    render_restore_start,
    render_start,
)

T0 = 1_764_000_000_000
BIN_MS = 60_000
INIT_START = render_init_start("python:3.12.v36", "arn:aws:lambda:eu-west-1::runtime:aa")
RESTORE_START = render_restore_start("java:21.v82", "arn:aws:lambda:eu-west-1::runtime:bb")


def stamped(ms: int, message: str) -> str:
    """An event as an export writes it."""
    stamp = datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"
    return f"{stamp} {message}"


def request_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-0000000000ab"


# --- logs ------------------------------------------------------------------------------------------------------------

durations = st.integers(1, 99_999_999).map(lambda hundredths: hundredths / 100)
short_durations = st.integers(1, 300_000).map(lambda hundredths: hundredths / 100)


@st.composite
def report_lines(draw: st.DrawFn, number: int) -> ReportLine:
    ms = draw(st.one_of(short_durations, durations))
    init_ms = draw(st.none() | st.none() | short_durations)
    restore_ms = draw(st.none() | short_durations) if init_ms is None and draw(st.integers(0, 5)) == 0 else None
    status = draw(st.sampled_from([None] * 8 + ["timeout", "error", "failure"]))
    return ReportLine(
        request_id(number),
        ms,
        billed_duration_ms=draw(st.integers(0, 900_000)),
        memory_size_mb=draw(st.sampled_from([128, 256, 10_240])),
        max_memory_used_mb=draw(st.integers(0, 10_300)),
        init_duration_ms=init_ms,
        restore_duration_ms=restore_ms,
        billed_restore_duration_ms=None if restore_ms is None else 12,
        status=status,
        error_type=draw(st.sampled_from(["Runtime.ExitError", "Function.ResponseSizeTooLarge"]))
        if status == "error"
        else None,
        xray_trace_id=draw(st.sampled_from([None, None, "1-68f7d85d-0f0bfbbe2ab8f94854bf83a8"])),
        xray_segment_id="9c54e4124923ee8f",
        xray_sampled=True,
    )


def other_renderings(line: ReportLine) -> list[str]:
    """The same REPORT as other tools and other times have written it, and what is none."""
    text = render(line)
    first = text.split("\n")[0].rstrip("\t")
    return [
        first + "\n",
        text.replace("\t\n", "\t\r\n"),
        text.replace("\t", " "),
        text.replace("\tDuration", "\tInit Duration: 0.05 ms\tDuration", 1),  # the runtime interface emulator
        text.replace(" ms\tMemory", " ms \tMemory"),
        text.replace("REPORT RequestId", "REPORT  RequestId"),
        f"REPORT RequestId: {line.request_id}\tDuration: 3 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\n",
        f"REPORT RequestId: {line.request_id}\tDuration: 3.5 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 36 MB\t\n",
        f"REPORT RequestId: {line.request_id}\tDuration: 3.1234567 ms\tBilled Duration: 4 ms\n",
        f"REPORT RequestId: {line.request_id}\tDuration: 12345678.25 ms\tBilled Duration: 12345679 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 36 MB\t\n",
        f"REPORT RequestId: {line.request_id.upper()}\t" + text.split("\t", 1)[1],
        f"REPORT RequestId: {line.request_id}é\t" + text.split("\t", 1)[1],
        f"REPORT RequestId: x\t{text.split(chr(9), 1)[1]}",
        first.replace(".", ",") + "\n",
        first.replace("Billed", "Belled") + "\t\n",
        first + "\tInit Duration: 12345678.25 ms\t\n",
        first + "\tInit Duration: .25 ms\t\n",
        first + "\tStatus: timeout\n",
        first.replace("\t", "\n") + "\n",
        first.replace("Duration: ", "Duration: 0"),
        f"REPORT RequestId: {line.request_id}\n",
        f"REPORT RequestId: {line.request_id}\tDuration: abc ms\n",
        "REPORT RequestId: \n",
        "\x1b[32m" + first + "\x1b[0m\n",
        "RE\x1b[1mPORT" + first[6:] + "\n",
        re.sub(r"Duration: [0-9]+\.", "Duration: .", first, count=1) + "\t\n",
        re.sub(r"Duration: [0-9]+\.", "Duration: 1234567.", first, count=1) + "\t\n",
        re.sub(r"Billed Duration: [0-9]+", "Billed Duration: ", first) + "\t\n",
        re.sub(r"Billed Duration: [0-9]+", "Billed Duration: 12345678", first) + "\t\n",
        re.sub(r"Memory Size: [0-9]+", "Memory Size: ", first) + "\t\n",
        re.sub(r"Memory Size: [0-9]+", "Memory Size: 128128", first) + "\t\n",
        re.sub(r"Max Memory Used: [0-9]+", "Max Memory Used: ", first) + "\t\n",
        re.sub(r"Max Memory Used: [0-9]+", "Max Memory Used: 1234567", first) + "\t\n",
        re.sub(r"Max Memory Used: [0-9]+", "Max Memory Used: 12345678", first) + "\t\n",
        "{}" + first + "\n",
    ]


APPLICATION_LINES = [
    "[INFO] done\n",
    "",
    "\n",
    "  \n",
    "[INFO] quoting REPORT RequestId: 1\tDuration: 3.01 ms\tBilled Duration: 4 ms\n",
    f"2026-11-24T16:00:00.000Z\t{request_id(7)}\tINFO\tnode says so\n",
    f"2026-11-24T16:00:00.000Z\t{request_id(7)}\tTask timed out after 3.00 seconds\n",
    f"2026-11-24T16:00:00.000Z\t{request_id(7)}\t \tTask timed out after 3.00 seconds\n",
    f"2026-11-24T16:00:00.000Z\t{request_id(7)} is all there is\n",
    "\x1b[32mINFO\x1b[0m a colour\n",
    f"2026-11-24T16:00:00.000Z\t{request_id(7)}\tTRACE\tREPORT RequestId: 1 Duration: 2 ms\n",
    '{"level":"INFO","message":"structured"}\n',
    'Traceback (most recent call last):\n  File "app.py", line 1\n2 errors\n    boom\n',
    "héllo\n",
    "✅ REPORT RequestId: 1\tDuration: 3.01 ms\n",
    "START of something\n",
    "ENDING RequestId: 3\n",
    "REPORTING 3\n",
    "timestamp=12 message: REPORT RequestId: 1\tDuration: 3.01 ms\n",
    "/health 200 REPORT RequestId: 1\tDuration: 3.01 ms\n",
    "1764000000000 items\n",
    "XRAY TraceId: 1-2-3\tSegmentId: 4\n",
    "Status: done\n",
    "x" * 300 + "\n",
    "a\rREPORT RequestId: 1\tDuration: 3.01 ms\n",
    "EXTENSION\tName: adapter\tState: Ready\tEvents: [INVOKE]\n",
    "TELEMETRY\tName: agent\tState: Subscribed\tTypes: [Platform]\n",
    "LOGS\tName\n",
    "END RequestId: \n",
    "START RequestId: \n",
    "INIT_REPORT Init Duration: x ms\n",
    "REPORT - 1\nDuration: 3 ms\n",
]


@st.composite
def stream_events(draw: st.DrawFn, first_number: int) -> list[tuple[int, str]]:
    """The events of one stream. Mostly as Lambda writes them; now and then anything."""
    now = T0 + draw(st.integers(0, 200_000))
    events: list[tuple[int, str]] = []
    open_numbers: list[int] = []
    ended: list[int] = []
    for step in range(draw(st.integers(0, 14))):
        number = first_number + step
        now += draw(st.sampled_from([0, 1, 5, 900, 30_000, 70_000]))
        move = draw(st.integers(0, 24))
        line = draw(report_lines(number))
        start = render_start(line.request_id, draw(st.sampled_from(["$LATEST"] * 5 + ["12", "an-alias-of-mine"])))
        if move in (13, 14):
            events.append((now, INIT_START if move == 13 else RESTORE_START))
            now += draw(st.sampled_from([0, 300, 5_000]))
        if move == 15:
            phase, status = draw(
                st.sampled_from([(None, None), ("init", "timeout"), ("invoke", "error"), ("init", None)])
            )
            events.append((now, render_init_report(InitReport(9000.5, phase, status))))
        if move == 16:
            events.append((now, render_restore_report(RestoreReport(511.25))))
        if move == 17:
            events.append((now, draw(st.sampled_from(APPLICATION_LINES))))
            continue
        if move == 18:  # a START that stays open, or ends much later
            events.append((now, start))
            open_numbers.append(number)
            continue
        if move == 19 and open_numbers:
            line = ReportLine(request_id(open_numbers.pop()), 5.0, 5, 128, 40)
            events.append((now, render(line)))
            continue
        if move == 20:
            number = draw(st.sampled_from([number, *ended]))  # a retry
            line = ReportLine(request_id(number), 5.25, 6, 128, 40)
            start = render_start(line.request_id, "$LATEST")
        fault = ""
        if move == 21:
            fault = draw(
                st.sampled_from(
                    [
                        f"2026-11-24T16:00:03.000Z {line.request_id} Task timed out after 3.00 seconds\n\n",
                        f"RequestId: {line.request_id} Error: Runtime exited with error: killed\nRuntime.ExitError\n",
                        f"RequestId: {request_id(first_number)} Process exited before completing request\n\n",
                    ]
                )
            )
        if move != 22:
            events.append((now, start))
        if draw(st.booleans()):
            events.append((now, draw(st.sampled_from(APPLICATION_LINES))))
        now += draw(st.sampled_from([0, round(min(line.duration_ms, 60_000))]))
        after = draw(st.booleans())
        if fault and not after:
            events.append((now, fault))
        if draw(st.integers(0, 9)):
            events.append((now, render_end(line.request_id)))
        if move == 23:
            events.append((now, draw(st.sampled_from(other_renderings(line)))))
        else:
            events.append((now, render(line)))
        if fault and after:
            events.append((now, fault))
        ended.append(number)
        if move == 24:
            events.append((now, render(line)))
    return _shaken(draw, events)


@st.composite
def stream_texts(draw: st.DrawFn, first_number: int) -> str:
    """The events of one stream as an export's text."""
    text = "".join(stamped(ms, message) for ms, message in draw(stream_events(first_number)))
    return _damaged(draw, text)


def _shaken(draw: st.DrawFn, events: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """An export does not promise an order."""
    if len(events) > 1 and draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(events) - 2))
        to = draw(st.integers(0, len(events) - 2))
        events = [*events]
        events.insert(to, events.pop(at))
    return events


def _damaged(draw: st.DrawFn, text: str) -> str:
    kind = draw(st.integers(0, 20))
    lines = text.split("\n")
    at = draw(st.integers(0, len(lines) - 1))
    if kind == 0:
        return text[: draw(st.integers(0, len(text)))]
    if kind == 1:
        return text.replace("\n", "\r\n")
    if kind == 2 and text:
        place = draw(st.integers(0, len(text) - 1))
        return text[:place] + draw(st.characters(codec="utf-8", exclude_characters="\0")) + text[place + 1 :]
    if kind == 3:
        lines[at] = lines[at][25:]  # a platform line without a time
    if kind == 4:
        lines[at] = lines[at].replace("-24T", "-44T")
    if kind == 5:
        lines[at] = " " + lines[at]
    if kind == 6:
        lines[at] = f"2026/11/24/[$LATEST]{99:032x} " + lines[at]
    if kind == 7:
        lines[at] = lines[at].replace("Z ", "+00:00 ", 1)
    if kind == 8:
        lines[at] = lines[at][:25] + f"2026/11/24/[3]{98:032x} " + lines[at][25:]
    return "\n".join(lines)


@st.composite
def exports(draw: st.DrawFn) -> dict[str, bytes]:
    """Files of an export by their path: some streams, each in one file or in several."""
    files = {}
    for number in range(draw(st.integers(1, 3))):
        data = draw(stream_texts(1 + 1000 * number)).encode()
        folder = f"orders-{number % 2}/00000000-0000-0000-0000-000000000000/2026-11-24-[$LATEST]{number:032x}"
        if draw(st.integers(0, 4)) == 0:
            folder = f"loose-{number}"  # says neither function nor stream
        ends = [at + 1 for at, byte in enumerate(data) if byte == 10]
        cuts = sorted(draw(st.sets(st.sampled_from(ends), max_size=2))) if ends and draw(st.booleans()) else []
        for at, (begin, end) in enumerate(pairwise([0, *cuts, len(data)])):
            files[f"{folder}/{at:06d}"] = data[begin:end]
    return files


JSON_MESSAGES = [
    "",
    "a \\ b",
    "a \\\\",
    'he said "no"\n',
    '{"level":"INFO","path":"c:\\\\x","said":"\\"yes\\""}\n',
    "\tindented\n",
    "\n\nREPORT after line ends\n",
    "\u00a0REPORT RequestId: 1\tDuration: 3.01 ms\n",
    "a tab\tand\x00a zero\x1f\n",
    "\U0001f600 ok\n",
    "Information without end",
    f'{{"time":"2025-11-24T16:00:00.000Z","type":"platform.start","record":{{"requestId":"{request_id(9)}"}}}}',
    '{"type": "platform.report", "record": 3',
    "EXTENSION\tName: a\tState: Ready\tEvents: []\n",
    "TELEMETRY\tName: a\tState: Subscribed\tTypes: []\n",
]

OTHER_LINES = [
    "",
    "   ",
    "{}",
    '{"a":[1,2,{"b":null}]}',
    "[INFO] no JSON",
    "REPORT - 1",
    f"REPORT RequestId: {request_id(8)}\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMax Memory Used: 36 MB",
    '{"message":"cut here',
    '{"timestamp":1,"message":"early"}',
    f'{{"message":"START RequestId: {request_id(9)} Version: 3\\n"}}',
    '{"level":"INFO","requestId":"1","timestamp":1764000000000,"message":"REPORT RequestId: 1"}',
    '{"timestamp":1764000000000,"timestamp":1764000000001,"message":"twice"}',
    '{"events":[{"timestamp":1764000000000,"message":"' + f"START RequestId: {request_id(9)} Version: 3" + '"}]}',
]


@st.composite
def json_files(draw: st.DrawFn) -> dict[str, bytes]:
    """JSON lines as FilterLogEvents and GetLogEvents give them: streams one after the other, or by time."""
    names = ["2025/11/24/[$LATEST]" + f"{number * 0x10000019 % (1 << 32):032x}"[::-1] for number in range(3)]
    names += ["2025/11/25/[12]" + "ab" * 16, "an ad hoc name", ""]
    events: list[tuple[int, str, str]] = []
    for number in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(names))
        events += [(ms, message, name) for ms, message in draw(stream_events(1 + 1000 * number))]
        for message in draw(st.lists(st.sampled_from(JSON_MESSAGES), max_size=1)):
            events.append((T0 + 5_000, message, name))
    if draw(st.booleans()):
        events.sort(key=lambda event: event[0])
    order = draw(
        st.sampled_from(
            [
                ("logStreamName", "timestamp", "message", "ingestionTime", "eventId"),
                ("eventId", "ingestionTime", "logStreamName", "message", "timestamp"),
                ("timestamp", "message", "ingestionTime"),
                ("message", "timestamp", "logStreamName"),
            ]
        )
    )
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    is_ascii = draw(st.booleans())
    lines = []
    for ms, message, name in events:
        event_id = f"{38_700_000_000 + ms:056d}" if draw(st.integers(0, 30)) else 'an "id"'
        members = {
            "logStreamName": name,
            "timestamp": ms,
            "message": message,
            "ingestionTime": ms + draw(st.sampled_from([900, 900, 900, -ms])),
            "eventId": event_id,
        }
        told = {key: members[key] for key in order}
        lines.append(json.dumps(told, separators=separators, ensure_ascii=is_ascii))
    if draw(st.integers(0, 3)) == 0:
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(OTHER_LINES)))
    data = "".join(line + draw(st.sampled_from(["\n"] * 30 + ["\r\n"])) for line in lines).encode()
    damage = draw(st.integers(0, 8))
    if damage == 0:
        data = data[: draw(st.integers(0, len(data)))]
    if damage == 1 and data:
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + bytes([draw(st.integers(1, 255))]) + data[at + 1 :]
    ends = [at + 1 for at, byte in enumerate(data) if byte == 10]
    cuts = sorted(draw(st.sets(st.sampled_from(ends), max_size=1))) if ends and draw(st.booleans()) else []
    folder = draw(st.sampled_from(["", "orders/00000000-0000-0000-0000-000000000000/"]))
    files = {f"{folder}{at}": data[begin:end] for at, (begin, end) in enumerate(pairwise([0, *cuts, len(data)]))}
    if draw(st.integers(0, 5)) == 0:
        files["9/text"] = draw(stream_texts(5000)).encode()
    return files


# --- comparing -------------------------------------------------------------------------------------------------------


def assert_same_sample(found: Sample, expected: Sample, what: object) -> None:
    assert dict(found.kinds) == {kind: count for kind, count in expected.kinds.items() if count}, what
    for name in ("durations_ms", "init_ms", "restore_ms", "init_plus_first_ms"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), (what, name)
    for name in ("with_init", "memory_sizes_mb", "max_memory_used_mb", "timeouts", "errors", "billed", "billed_ms"):
        assert getattr(found, name) == getattr(expected, name), (what, name)
    assert found.billed_mb_ms == expected.billed_mb_ms, what


def assert_same(digest: Digest, reading: FileReading) -> None:
    """Every number of a digest is that of the general reader."""
    invocations = reading.invocations
    frame = to_frame(invocations.rows)
    key = [
        (row.function, row.version, row.memory_size_mb, None if at != at else int(at // BIN_MS) * BIN_MS)
        for row, at in zip(invocations.rows, began_ms(frame).astype("float64").tolist(), strict=True)
    ]
    where: dict[tuple, list[int]] = {}
    for at, told in enumerate(key):
        where.setdefault(told, []).append(at)
    assert set(digest.groups) == {Key(*told[:3]) for told in where}
    for told in where:
        if told[3] is None:
            continue
        rows = frame.iloc[where[told]]
        found = digest.sample(keys=[Key(*told[:3])], bin_start_ms=told[3])
        assert_same_sample(found, sample_of(rows, None), told)
    for found_group in digest.groups.values():
        for number, times in zip(
            found_group.bins.tolist(), found_group.durations.by_bin(found_group.bins), strict=True
        ):
            assert np.array_equal(times, found_group.durations.of_bin(number))
    for group in digest.groups:
        of_group = frame.iloc[[at for told, places in where.items() if Key(*told[:3]) == group for at in places]]
        assert_same_sample(digest.sample(keys=[group]), sample_of(of_group, None), group)
    assert digest.invocations == len(frame)
    initialised = invocations.initialised
    inits = None if initialised is None else Counter(init.function for init in initialised)
    environments = (
        None
        if digest.environments is None
        else {function: sum(counts.values()) for function, counts in digest.environments.items()}
    )
    assert environments == inits
    assert {function: sum(counts.values()) for function, counts in digest.restores.items()} == Counter(
        init.function for init in invocations.restores
    )
    if initialised is not None:
        bins = Counter((init.function, digest.bin_number(init.timestamp)) for init in initialised)
        assert bins == {
            (function, number): count
            for function, counts in (digest.environments or {}).items()
            for number, count in counts.items()
        }
    assert digest.unfinished == Counter(open_.function for open_ in invocations.unfinished)
    assert digest.ignored_init_durations == invocations.ignored_init_durations
    assert digest.dropped_log_events == invocations.dropped_log_events
    assert digest.failures_only == invocations.failures_only
    assert digest.has_starts == invocations.has_starts
    assert invocations.emulated == ()
    assert list(digest.unreadable) == list(reading.unreadable)
    assert digest.unreadable_count == len(reading.unreadable)
    assert digest.formats == reading.formats


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def assert_readers_agree(files: dict[str, bytes], **sizes: int) -> bool:
    """A digest of these files, where there is one, is what the general reader makes of them. Whether there is one."""
    with TemporaryDirectory() as folder:
        write_files(Path(folder), files)
        digest = run([Path(folder)], bin_ms=BIN_MS, processes=1, **sizes)
        if digest is not None:
            assert_same(digest, read_paths([Path(folder)]))
        return digest is not None


@given(
    files=exports(),
    block_bytes=st.sampled_from([8, 64, 100, 1000, 1 << 20]),
    unit_bytes=st.sampled_from([1, 200, 3000, 1 << 26]),
    piece_bytes=st.sampled_from([100, 1000, 1 << 26]),
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_a_digest_agrees_with_the_general_reader_however_the_text_is_cut(files, block_bytes, unit_bytes, piece_bytes):
    """Blocks, units and pieces of a few bytes make every line meet every boundary."""
    assume(assert_readers_agree(files, block_bytes=block_bytes, unit_bytes=unit_bytes, piece_bytes=piece_bytes))


def test_a_text_that_the_general_reader_takes_for_json_is_left_to_it(tmp_path: Path):
    """Both must call a file the same, though a record of JSON stands only below other lines."""
    stamp = "2026-11-24T16:00:00.000Z"
    report = f"{stamp} {render(ReportLine(request_id(1), 3.0, 3, 128, 60))}"
    write_files(tmp_path, {"loose/000000": f'{report}{{"level": "INFO", "message": "structured"}}\n{report}'.encode()})
    assert run([tmp_path], bin_ms=BIN_MS, processes=1) is None
    assert set(read_paths([tmp_path]).formats.values()) == {"json"}
    write_files(tmp_path, {"loose/000000": f"{report}structured\n{report}".encode()})
    digest = run([tmp_path], bin_ms=BIN_MS, processes=1)
    assert digest is not None
    assert_same(digest, read_paths([tmp_path]))


@given(
    files=json_files(),
    block_bytes=st.sampled_from([8, 300, 1000, 1 << 20]),
    unit_bytes=st.sampled_from([1, 900, 1 << 26]),
    piece_bytes=st.sampled_from([500, 1 << 26]),
)
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
def test_a_digest_of_json_lines_agrees_with_the_general_reader(files, block_bytes, unit_bytes, piece_bytes):
    """Any order of members, any streams beside one another, and whatever else stands in such a file."""
    assume(assert_readers_agree(files, block_bytes=block_bytes, unit_bytes=unit_bytes, piece_bytes=piece_bytes))


def json_line(ms: int, message: str, stream: str) -> str:
    event_id = f"{38_700_000_000 + ms:056d}"
    members = {"logStreamName": stream, "timestamp": ms, "message": message, "ingestionTime": ms, "eventId": event_id}
    return json.dumps(members, separators=(",", ":")) + "\n"


def test_json_lines_of_streams_beside_one_another_are_served():
    """FilterLogEvents gives the events of all environments by time; the general reader is not asked for those."""
    lines = []
    for at in range(400):
        stream = f"2025/11/24/[$LATEST]{at % 7 * 0x9E3779B97F4A7C15:032x}"[:52]
        line = ReportLine(
            request_id(at),
            5.25,
            6,
            128,
            40,
            100.5 if at < 7 else None,
            xray_trace_id="1-68f7d85d-0f0bfbbe2ab8f94854bf83a8" if at % 9 == 0 else None,
            xray_segment_id="9c54e4124923ee8f",
            xray_sampled=True,
        )
        if at < 7:
            lines.append(json_line(T0 + 1000 * at, INIT_START, stream))
        lines.append(json_line(T0 + 1000 * at + 200, render_start(line.request_id, "$LATEST"), stream))
        lines.append(json_line(T0 + 1000 * at + 201, '{"level":"INFO","said":"\\"yes\\""}\n', stream))
        lines.append(json_line(T0 + 1000 * at + 206, render_end(line.request_id), stream))
        lines.append(json_line(T0 + 1000 * at + 206, render(line), stream))
    with TemporaryDirectory() as folder:
        write_files(Path(folder), {"log": "".join(lines).encode()})
        digest = run([Path(folder)], bin_ms=BIN_MS, processes=1, block_bytes=10_000, unit_bytes=50_000)
        assert digest is not None
        assert digest.invocations == 400
        assert_same(digest, read_paths([Path(folder)]))


def test_a_json_line_that_is_broken_is_left_to_the_general_reader():
    """What is no whole JSON value may go on over the next lines, so nothing after it can be read line by line."""
    line = json_line(T0, render_start(request_id(1), "$LATEST"), "2025/11/24/[$LATEST]" + "ab" * 16)
    with TemporaryDirectory() as folder:
        write_files(Path(folder), {"log": (line + '{"events":[\n' + line).encode()})
        assert run([Path(folder)], bin_ms=BIN_MS, processes=1) is None


def test_a_stream_of_which_one_file_is_not_served_is_left_to_the_general_reader_whole():
    """A START ends one file, and its REPORT begins the next at the same instant: only all of them have an order."""
    stream = "2025/11/24/[$LATEST]" + "ab" * 16
    begun = json_line(T0, render_start(request_id(1), "$LATEST"), stream)
    ended = json_line(T0, render(ReportLine(request_id(1), 3.0, 3, 128, 60)), stream)
    more = "".join(json_line(T0 + at, "much else to say", stream) for at in range(20))
    with TemporaryDirectory() as folder:
        write_files(
            Path(folder),
            {"0": begun.replace('"ingestionTime":1', '"odd":1').encode(), "1": ended.encode() + more.encode()},
        )
        assert run([Path(folder)], bin_ms=BIN_MS, processes=1) is None
        write_files(Path(folder), {"0": begun.encode()})
        digest = run([Path(folder)], bin_ms=BIN_MS, processes=1)
        assert digest is not None
        assert_same(digest, read_paths([Path(folder)]))


def test_a_line_without_a_time_keeps_its_place_when_what_stands_before_it_was_told():
    """It happened when the line before it did, and that one is gone when the general rules tell the rest."""
    init = INIT_START.rstrip("\n") + "\n"
    report = render(ReportLine(request_id(1), 0.5, 1, 128, 60))
    lines = [
        stamped(T0, render_start(request_id(1), "$LATEST")),
        stamped(T0 + 1, report),
        init,
        stamped(T0 + 1, init),
        stamped(T0 + 1, render_start(request_id(2), "$LATEST")),
        stamped(T0 + 1, render(ReportLine(request_id(2), 0.5, 1, 128, 60))),
    ]
    name = "orders/00000000-0000-0000-0000-000000000000/2026-11-24-[$LATEST]" + "0" * 32 + "/000000"
    assert assert_readers_agree({name: "".join(lines).encode()}, block_bytes=8, unit_bytes=1, piece_bytes=100)


def test_a_log_of_report_lines_alone_does_not_claim_that_nothing_began():
    """As a filter for REPORT leaves it: there is no telling how many environments began, or what was not finished."""
    lines = [stamped(T0 + 1000 * at, render(ReportLine(request_id(at), 5.25, 6, 128, 40))) for at in range(9)]
    with TemporaryDirectory() as folder:
        write_files(Path(folder), {"log": "".join(lines).encode()})
        digest = run([Path(folder)], bin_ms=BIN_MS, processes=1)
        assert digest is not None
        assert digest.environments is None
        assert not digest.has_starts
        assert_same(digest, read_paths([Path(folder)]))


@pytest.mark.parametrize(
    ("duration_ms", "max_memory_used_mb"), [(5.25, 128), (5.0, 40)], ids=["LocalStack's memory", "MiniStack's times"]
)
def test_a_log_that_an_emulator_may_have_written_is_left_to_the_general_reader(duration_ms, max_memory_used_mb):
    """It looks at single invocations: a REPORT without Init Duration says nothing of a cold start there."""
    line = partial(ReportLine, duration_ms=duration_ms, billed_duration_ms=6, memory_size_mb=128)
    lines = [
        stamped(T0 + at, text)
        for at in range(9)
        for text in (
            render_start(request_id(at), "$LATEST"),
            render(line(request_id(at), max_memory_used_mb=max_memory_used_mb)),
        )
    ]
    with TemporaryDirectory() as folder:
        write_files(Path(folder), {"log": "".join(lines).encode()})
        assert run([Path(folder)], bin_ms=BIN_MS, processes=1) is None


def test_a_block_with_many_memory_sizes_is_read_whole():
    """A memory size is read once for all lines that have it; a block that has more of them than usual loses none."""
    lines = [
        stamped(T0 + 1000 * at, render(ReportLine(request_id(at), 5.25, 6, 128 + 64 * (at % 20), 40)))
        for at in range(200)
    ]
    with TemporaryDirectory() as folder:
        write_files(Path(folder), {"log": "".join(lines).encode()})
        digest = run([Path(folder)], bin_ms=BIN_MS, processes=1)
        assert digest is not None
        assert len(digest.groups) == 20
        assert_same(digest, read_paths([Path(folder)]))


@given(
    data=st.binary(max_size=80).map(lambda data: bytes(10 if byte < 60 else byte for byte in data)),
    begin=st.integers(0, 9),
)
def test_every_line_end_is_found(data, begin):
    """Lines of any length, empty ones too, from any byte on and up to any byte."""
    text = Text(data + b"\n" * 32)
    expected = [at for at, byte in enumerate(data) if byte == 10 and at >= begin]
    assert line_ends(text, min(begin, len(data)), len(data)).tolist() == expected

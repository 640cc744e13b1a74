"""Large logs for benchmarks: made quickly, the same ones for the same number, with what they hold known.

A stream's text is a template of some thousand invocations, written once by `serverless_lab.report_line` and laid end
to end: each copy gets its own times, request ids and decimals by array arithmetic. So ten million take half a minute,
and the kinds, which follow from the plan of the template, are known without reading anything.

The layout is that of an export to S3: `<function>/<task id>/<stream>/000000`.
"""

from __future__ import annotations

import heapq
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from serverless_lab.coldstarts.invocations import COLD, INIT_REPEATED, PROACTIVE, PROVISIONED, WARM
from serverless_lab.report_line import (
    InitReport,
    ReportLine,
    render,
    render_end,
    render_init_report,
    render_init_start,
    render_start,
)

FUNCTIONS = ("ingest-event", "orders", "thumbnails", "checkout", "search", "nightly-report")
STREAMS = 8
"""Of each function."""

DAY_MS = 86_400_000
BEGIN_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
BIN_MS = 300_000
TASK_ID = "3f1c2a5e-7d54-4b0e-9a3b-1d2f4c5b6a79"
TEMPLATE = 4_167
"""Invocations in a template."""

_INIT_START = render_init_start("python:3.12.v36", "arn:aws:lambda:eu-west-1::runtime:" + "ab" * 32)
_STAMP = "0000-00-00T00:00:00.000Z "
_ID = "00000000-0000-4000-8000-000000000000"
_APPLICATION = (
    "[INFO] stored event in table events-prod, 1 item, consumed 1.0 capacity units\n",
    '{"level":"INFO","message":"order accepted","order":"A-100","items":3}\n',
    "2025-01-01T00:00:00.000Z\t" + _ID + "\tINFO\tresized picture to 640 x 480\n",
    "[WARNING] retrying call to payments, attempt 2\n",
)
_DECOYS = (
    "[DEBUG] last line was: REPORT RequestId: 1\tDuration: 3.01 ms\tBilled Duration: 4 ms\tInit Duration: 1.00 ms\n",
    "quoting REPORT RequestId: 1\tDuration: 9.99 ms\tBilled Duration: 10 ms\tMemory Size: 128 MB\t\n",
)


@dataclass(frozen=True)
class Log:
    """What was written: REPORT lines, all lines, bytes; and kinds[function, bin start (epoch ms), kind]."""

    folder: Path
    reports: int
    lines: int
    bytes: int
    kinds: Counter[tuple[str, int, str]]


@dataclass
class _Template:
    """Text with gaps. An event's time is its invocation's beginning plus `event_ms`."""

    text: np.ndarray
    stamps: np.ndarray  # where each event's time stands
    event_of: np.ndarray  # which invocation each event is of
    event_ms: np.ndarray
    ids: np.ndarray  # where request ids stand
    id_of: np.ndarray
    decimals: np.ndarray  # where two decimals stand
    took_ms: np.ndarray  # by invocation: from its first event to its last one
    begins_ms: np.ndarray  # from its first event to its START
    kinds: list[str] = field(default_factory=list)
    lines: int = 0


def _template(rng: np.random.Generator, first_resets: bool) -> _Template:
    """Invocations of one environment, with more inits than one ever has: it is lines that are counted here."""
    parts: list[str] = []
    size = 0
    stamps, event_of, event_ms, ids, id_of, decimals = ([] for _ in range(6))
    took, begins, kinds = [], [], []
    resets = first_resets

    def add(number: int, ms: int, message: str) -> None:
        nonlocal size
        stamps.append(size)
        event_of.append(number)
        event_ms.append(ms)
        text = _STAMP + message
        at = text.find(_ID)
        while at >= 0:
            ids.append(size + at)
            id_of.append(number)
            at = text.find(_ID, at + 1)
        if message.startswith("REPORT"):
            at = text.find(".00 ms")
            while at >= 0:
                decimals.append(size + at + 1)
                at = text.find(".00 ms", at + 1)
        parts.append(text)
        size += len(text)

    durations = np.clip(rng.lognormal(np.log(60), 0.9, TEMPLATE), 1, 30_000).astype(int)
    inits = np.clip(rng.lognormal(np.log(350), 0.4, TEMPLATE), 80, 9_000).astype(int)
    draws = rng.random((TEMPLATE, 6))
    for number in range(TEMPLATE):
        duration, init = int(durations[number]), int(inits[number])
        has_init = draws[number, 0] < 0.08 and not resets and number < TEMPLATE - 1
        how = draws[number, 1] if has_init else 1.0
        begin = 0
        kind = INIT_REPEATED if resets else WARM
        if has_init:
            add(number, 0, _INIT_START)
            kind, begin = COLD, init + 2
            if how < 0.01:
                kind, begin = PROACTIVE, init + 40_000
            elif how < 0.012:
                kind, begin = PROVISIONED, init + 90_000
                add(number, init, render_init_report(InitReport(float(init))))
        status = None
        if draws[number, 2] < 0.003 and number < TEMPLATE - 1:
            status = "timeout" if draws[number, 3] < 0.5 else "error"
        resets = status is not None
        add(number, begin, render_start(_ID, "$LATEST"))
        if draws[number, 4] < 0.5:
            lines = _DECOYS if draws[number, 5] < 0.006 else _APPLICATION
            add(number, begin + duration // 2, lines[int(draws[number, 5] * 1e6) % len(lines)])
        add(number, begin + duration, render_end(_ID))
        line = ReportLine(
            _ID,
            float(duration),
            duration + 1 + (init if kind == COLD else 0),
            512,
            80 + number % 400,
            float(init) if has_init else None,
            status=status,
            error_type="Runtime.ExitError" if status == "error" else None,
            xray_trace_id="1-68f7d85d-0f0bfbbe2ab8f94854bf83a8" if draws[number, 3] < 0.01 else None,
            xray_segment_id="9c54e4124923ee8f",
            xray_sampled=True,
        )
        add(number, begin + duration, render(line) if not status else render(line).rstrip("\n") + "\n")
        took.append(begin + duration)
        begins.append(begin)
        kinds.append(kind)
    text = "".join(parts).encode()
    return _Template(
        np.frombuffer(text, np.uint8),
        *(np.array(column, np.int64) for column in (stamps, event_of, event_ms, ids, id_of, decimals, took, begins)),
        kinds=kinds,
        lines=text.count(b"\n"),
    )


def write_log(folder: Path, reports: int, *, packed: bool = False) -> Log:
    """A log of about `reports` REPORT lines, of one day. `packed` files are gzip, as exports are."""
    rng = np.random.default_rng(20250101)
    templates = {name: _template(rng, first_resets=False) for name in FUNCTIONS}
    copies = max(1, round(reports / (len(FUNCTIONS) * STREAMS * TEMPLATE)))
    kinds: Counter[tuple[str, int, str]] = Counter()
    lines = size = serial = 0
    for function, template in templates.items():
        codes, names = _codes(template.kinds)
        pause_ms = (DAY_MS / copies - template.took_ms.sum()) / TEMPLATE
        if pause_ms < 1:
            raise ValueError(f"a day has no room for {reports} invocations in so few streams")
        for stream in range(STREAMS):
            path = folder / function / TASK_ID / stream_folder(function, stream) / ("000000" + ".gz" * packed)
            path.parent.mkdir(parents=True, exist_ok=True)
            now = float(BEGIN_MS)
            with path.open("wb") as file:
                for _ in range(copies):
                    pauses = rng.exponential(pause_ms, TEMPLATE) * 0.999
                    first_ms = (now + np.cumsum(pauses + template.took_ms) - template.took_ms).astype(np.int64)
                    now += float((pauses + template.took_ms).sum())
                    text = _filled(template, first_ms, serial, rng)
                    serial += TEMPLATE
                    data = text.tobytes()
                    file.write(_gzip(data) if packed else data)
                    lines += template.lines
                    size += len(data)
                    bins = (first_ms + template.begins_ms) // BIN_MS
                    found, count = np.unique(bins * len(names) + codes, return_counts=True)
                    for code, each in zip(found.tolist(), count.tolist(), strict=True):
                        kinds[function, code // len(names) * BIN_MS, names[code % len(names)]] += each
    return Log(folder, copies * len(FUNCTIONS) * STREAMS * TEMPLATE, lines, size, kinds)


def stream_folder(function: str, stream: int) -> str:
    number = FUNCTIONS.index(function) * STREAMS + stream
    return f"2025-01-01-[$LATEST]{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128):032x}"


def write_json_lines(log: Log, folder: Path) -> int:
    """The events of a log as FilterLogEvents gives them, one a line, a file for each function; returns the bytes.

    Each file has the events of all streams by time, as the API answers.
    """
    size = 0
    for function in FUNCTIONS:
        path = folder / function / TASK_ID / "events.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        event_id = 38_700_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000
        streams = sorted((log.folder / function / TASK_ID).iterdir())
        with path.open("w", encoding="utf-8") as file:
            for ms, message, name in heapq.merge(*map(_events, streams), key=lambda event: event[0]):
                event_id += 1
                file.write(
                    f'{{"logStreamName":"{name}","timestamp":{ms},"message":{json.dumps(message)},'
                    f'"ingestionTime":{ms + 900},"eventId":"{event_id}"}}\n'
                )
        size += path.stat().st_size
    return size


def _events(stream: Path) -> Iterator[tuple[int, str, str]]:
    """(epoch ms, message, log stream) of each event; a line without a time goes on with the one before."""
    name = stream.name.replace("-", "/", 3)
    ms, message = 0, ""
    with (stream / "000000").open(encoding="utf-8") as file:
        for line in file:
            if line[10:11] == "T" and line[23:25] == "Z ":
                if message:
                    yield ms, message, name
                hours, minutes, seconds = int(line[11:13]), int(line[14:16]), int(line[17:19])
                days = int(line[8:10]) - 1
                ms = BEGIN_MS + (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + int(line[20:23])
                message = line[25:]
            else:
                message += line
    if message:
        yield ms, message, name


def _codes(kinds: list[str]) -> tuple[np.ndarray, list[str]]:
    names = sorted(set(kinds))
    return np.array([names.index(kind) for kind in kinds], np.int64), names


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(6, wbits=31)
    return packer.compress(data) + packer.flush()


def _filled(template: _Template, first_ms: np.ndarray, serial: int, rng: np.random.Generator) -> np.ndarray:
    """A copy of the template with its gaps filled."""
    text = template.text.copy()
    _put_stamps(text, template.stamps, first_ms[template.event_of] + template.event_ms)
    # The first group of an id is a serial number, the last one follows from it.
    numbers = (serial + template.id_of).astype(np.uint64)
    _put_hex(text, template.ids, numbers, 8)
    _put_hex(text, template.ids + 24, (numbers * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(16), 12)
    # Below a half, so that what is billed is one more than the whole milliseconds.
    cents = rng.integers(1, 50, len(template.decimals))
    text[template.decimals] = 48 + cents // 10
    text[template.decimals + 1] = 48 + cents % 10
    return text


def _put_stamps(text: np.ndarray, at: np.ndarray, ms: np.ndarray) -> None:
    days, rest = np.divmod(ms - BEGIN_MS, DAY_MS)
    seconds, thousandths = np.divmod(rest, 1000)
    minutes, seconds = np.divmod(seconds, 60)
    hours, minutes = np.divmod(minutes, 60)
    _put_digits(text, at, np.full(len(at), 2025), 4)
    _put_digits(text, at + 5, np.full(len(at), 1), 2)
    for offset, values, width in ((8, days + 1, 2), (11, hours, 2), (14, minutes, 2), (17, seconds, 2)):
        _put_digits(text, at + offset, values, width)
    _put_digits(text, at + 20, thousandths, 3)


def _put_digits(text: np.ndarray, at: np.ndarray, values: np.ndarray, width: int) -> None:
    for place in range(width - 1, -1, -1):
        values, digit = np.divmod(values, 10)
        text[at + place] = 48 + digit


_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def _put_hex(text: np.ndarray, at: np.ndarray, values: np.ndarray, width: int) -> None:
    for place in range(width):
        text[at + place] = _HEX[((values >> np.uint64(4 * (width - 1 - place))) & np.uint64(15)).astype(np.int64)]

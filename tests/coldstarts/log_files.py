"""Log events as the files that AWS and its tools make of them.

A file is a list of `Piece`s: its bytes, and how many reports are whole once they are written. So a test can cut a file
anywhere and know what must be left.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from backports import zstd

from serverless_lab.coldstarts.platform_events import read_event, render_json
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import ReportLine, parse


@dataclass(frozen=True)
class Piece:
    data: bytes
    reports: int = 0


def joined(pieces: Iterable[Piece]) -> bytes:
    return b"".join(piece.data for piece in pieces)


def iso(ms: int, digits: int = 3, end: str = "Z") -> str:
    stamp = datetime.fromtimestamp(ms / 1000, UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}".ljust(digits + 1, "0") + end


def is_report(event: LogEvent) -> int:
    return int(isinstance(read_event(event.message), ReportLine))


def _with_newline(message: str) -> str:
    return message if message.endswith("\n") else message + "\n"


def lines(prefix: Callable[[LogEvent], str]) -> Callable[[list[LogEvent]], list[Piece]]:
    return lambda events: [
        Piece((prefix(event) + _with_newline(event.message)).encode(), is_report(event)) for event in events
    ]


def as_json_format(events: list[LogEvent]) -> list[LogEvent]:
    """The same events of functions with `LogFormat: JSON`."""
    out = []
    for event in events:
        line = read_event(event.message)
        message = event.message if line is None else render_json(line, event.timestamp_ms or 0)
        out.append(LogEvent(event.log_group, event.log_stream, event.timestamp_ms, message))
    return out


def _filtered(event: LogEvent, number: int) -> dict:
    return {
        "logStreamName": event.log_stream,
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": (event.timestamp_ms or 0) + 1500,
        "eventId": f"{number:056d}",
    }


def filter_pages(events: list[LogEvent]) -> list[Piece]:
    """What `aws logs filter-log-events > file` leaves."""
    pieces = [Piece(b'{\n    "events": [\n')]
    for number, event in enumerate(events):
        record = json.dumps(_filtered(event, number), indent=4).replace("\n", "\n        ")
        comma = "," if number + 1 < len(events) else ""
        pieces.append(Piece(f"        {record}".encode(), is_report(event)))
        pieces.append(Piece(f"{comma}\n".encode()))
    return [*pieces, Piece(b'    ],\n    "searchedLogStreams": []\n}\n')]


def get_pages(events: list[LogEvent]) -> list[Piece]:
    """What `aws logs get-log-events` leaves, compact: the stream was named in the question."""
    pieces = [Piece(b'{"events":[')]
    for number, event in enumerate(events):
        record = {"timestamp": event.timestamp_ms, "message": event.message, "ingestionTime": event.timestamp_ms}
        pieces.append(Piece(json.dumps(record).encode(), is_report(event)))
        pieces.append(Piece(b"," if number + 1 < len(events) else b""))
    return [*pieces, Piece(b'],"nextForwardToken":"f/1","nextBackwardToken":"b/1"}')]


def event_lines(events: list[LogEvent]) -> list[Piece]:
    return [
        part
        for number, event in enumerate(events)
        for part in (Piece(json.dumps(_filtered(event, number)).encode(), is_report(event)), Piece(b"\n"))
    ]


def _data_message(events: list[LogEvent]) -> list[Piece]:
    """One message of a subscription; its events are of one stream."""
    head = {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": events[0].log_group,
        "logStream": events[0].log_stream,
        "subscriptionFilters": ["all"],
    }
    pieces = [Piece(json.dumps(head)[:-1].encode() + b', "logEvents": [')]
    for number, event in enumerate(events):
        record = {"id": f"{number:056d}", "timestamp": event.timestamp_ms, "message": event.message}
        pieces.append(Piece((", " if number else "").encode() + json.dumps(record).encode(), is_report(event)))
    return [*pieces, Piece(b"]}")]


def _by_stream(events: list[LogEvent]) -> list[list[LogEvent]]:
    streams: dict[tuple[str, str], list[LogEvent]] = {}
    for event in events:
        streams.setdefault((event.log_group, event.log_stream), []).append(event)
    return list(streams.values())


CONTROL_MESSAGE = (
    b'{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],'
    b'"logEvents":[{"id":"","timestamp":1764000000000,"message":"CWL CONTROL MESSAGE: Checking health."}]}'
)


def data_messages(events: list[LogEvent]) -> list[Piece]:
    """A Firehose object that was unpacked: messages with nothing between them."""
    return [Piece(CONTROL_MESSAGE), *(piece for stream in _by_stream(events) for piece in _data_message(stream))]


def firehose_object(events: list[LogEvent]) -> list[Piece]:
    """Each message a gzip member of its own, as the subscription has sent it."""
    pieces = [Piece(gzip.compress(CONTROL_MESSAGE, mtime=0))]
    for stream in _by_stream(events):
        data = gzip.compress(joined(_data_message(stream)), mtime=0)
        pieces.append(Piece(data, sum(is_report(event) for event in stream)))
    return pieces


def awslogs_payload(events: list[LogEvent]) -> list[Piece]:
    """What a function receives that a subscription calls, one line each."""
    pieces = []
    for stream in _by_stream(events):
        data = base64.b64encode(gzip.compress(joined(_data_message(stream)), mtime=0)).decode()
        pieces.append(
            Piece(json.dumps({"awslogs": {"data": data}}).encode(), sum(is_report(event) for event in stream))
        )
        pieces.append(Piece(b"\n"))
    return pieces


def log_results(events: list[LogEvent]) -> list[Piece]:
    """Answers of `aws lambda invoke --log-type Tail`, one per report, with the messages since the one before."""
    pieces: list[Piece] = []
    tail = ""
    for event in events:
        tail += event.message
        if is_report(event):
            answer = {
                "StatusCode": 200,
                "LogResult": base64.b64encode(tail.encode()).decode(),
                "ExecutedVersion": "$LATEST",
            }
            pieces += [Piece(json.dumps(answer, indent=4).encode(), 1), Piece(b"\n")]
            tail = ""
    return pieces


def log_result_alone(events: list[LogEvent]) -> list[Piece]:
    """`--query LogResult --output text`, not decoded."""
    return [Piece(base64.b64encode("".join(event.message for event in events).encode()) + b"\n")]


def telemetry(events: list[LogEvent]) -> list[Piece]:
    """What the Telemetry API posts to an extension: a list of JSON events."""
    pieces = [Piece(b"[")]
    for number, (written, event) in enumerate(zip(events, as_json_format(events), strict=True)):
        if written.message == event.message:
            stamp = iso(event.timestamp_ms or 0)
            event = replace(event, message=json.dumps({"time": stamp, "type": "function", "record": event.message}))
        pieces.append(Piece((",\n" if number else "").encode() + event.message.encode(), is_report(event)))
    return [*pieces, Piece(b"]")]


def _csv(rows: list[list[object]], reports: list[int]) -> list[Piece]:
    pieces = []
    for row, count in zip(rows, reports, strict=True):
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerow(row)
        pieces.append(Piece(out.getvalue().encode(), count))
    return pieces


def console_csv(events: list[LogEvent]) -> list[Piece]:
    """The console's download of a stream: messages with their line ends, in quotes."""
    rows: list[list[object]] = [["timestamp", "message"], *([event.timestamp_ms, event.message] for event in events)]
    return _csv(rows, [0, *map(is_report, events)])


def insights_csv(events: list[LogEvent]) -> list[Piece]:
    """`fields @timestamp, @message, @logStream, @log`."""
    rows: list[list[object]] = [["@timestamp", "@message", "@logStream", "@log"]]
    for event in events:
        stamp = iso(event.timestamp_ms or 0, end="").replace("T", " ")
        rows.append([stamp, event.message, event.log_stream, f"123456789012:{event.log_group}"])
    return _csv(rows, [0, *map(is_report, events)])


def discovered(event: LogEvent) -> dict[str, str]:
    """The fields that Insights finds in a REPORT event."""
    report = parse(event.message)
    assert report is not None
    values = {
        "@timestamp": iso(event.timestamp_ms or 0, end="").replace("T", " "),
        "@logStream": event.log_stream,
        "@log": f"123456789012:{event.log_group}",
        "@type": "REPORT",
        "@requestId": report.request_id,
        "@duration": report.duration_ms,
        "@billedDuration": report.billed_duration_ms,
        "@initDuration": report.init_duration_ms,
        "@memorySize": None if report.memory_size_mb is None else f"{report.memory_size_mb * 1e6:.3E}",
        "@maxMemoryUsed": None if report.max_memory_used_mb is None else report.max_memory_used_mb * 1_000_000,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def discovered_csv(events: list[LogEvent]) -> list[Piece]:
    """Fields and no message. The init's duration stands last: an empty one ends the row with a comma."""
    rows = [discovered(event) for event in events if is_report(event)]
    names = list(discovered(next(event for event in events if is_report(event))))
    names = [*(name for name in names if name != "@initDuration"), "@initDuration"]
    return _csv([names, *([row.get(name, "") for name in names] for row in rows)], [0, *(1 for _ in rows)])


def _query_results(rows: list[tuple[dict[str, str], int]]) -> list[Piece]:
    pieces = [Piece(b'{\n    "results": [\n')]
    for number, (row, reports) in enumerate(rows):
        fields = json.dumps([{"field": name, "value": value} for name, value in row.items()], indent=4)
        pieces.append(Piece((",\n" if number else "").encode() + fields.encode(), reports))
    return [*pieces, Piece(b'\n    ],\n    "statistics": {"recordsMatched": 9.0},\n    "status": "Complete"\n}\n')]


def insights_json(events: list[LogEvent]) -> list[Piece]:
    """GetQueryResults of whole messages."""
    rows = []
    for event in events:
        row = {
            "@timestamp": iso(event.timestamp_ms or 0, end="").replace("T", " "),
            "@message": event.message,
            "@logStream": event.log_stream,
            "@log": f"123456789012:{event.log_group}",
            "@ptr": "CmEK",
        }
        rows.append((row, is_report(event)))
    return _query_results(rows)


def discovered_json(events: list[LogEvent]) -> list[Piece]:
    """GetQueryResults of discovered fields. A row leaves out the fields that it does not have."""
    return _query_results([(discovered(event), 1) for event in events if is_report(event)])


def tail_json(events: list[LogEvent]) -> list[Piece]:
    """`aws logs tail --format json`: a message that is JSON stands below its time and stream, over several lines."""
    pieces = []
    for event in events:
        head = f"{iso(event.timestamp_ms or 0, 6, '+00:00')} {event.log_stream} "
        try:
            message = "\n" + json.dumps(json.loads(event.message), indent=4)
        except ValueError:
            message = event.message
        pieces.append(Piece((head + _with_newline(message)).encode(), is_report(event)))
    return pieces


def cli_text(events: list[LogEvent], *, with_stream: bool = True) -> list[Piece]:
    """`aws logs filter-log-events --output text`, or of get-log-events: the values of each event by their names' order.

    A message's own line end stands before the event's time.
    """
    pieces = []
    for number, event in enumerate(events):
        ingested = (event.timestamp_ms or 0) + 1500
        values = [f"{number:056d}", ingested, event.log_stream] if with_stream else [ingested]
        row = "\t".join(map(str, ["EVENTS", *values, event.message, event.timestamp_ms]))
        pieces.append(Piece(row.encode() + b"\n", is_report(event)))
    return pieces


def query_lists(events: list[LogEvent]) -> list[Piece]:
    """`--query 'events[].[timestamp, logStreamName, message]'`."""
    return _list([[event.timestamp_ms, event.log_stream, event.message] for event in events], events)


def query_messages(events: list[LogEvent]) -> list[Piece]:
    """`--query 'events[].message'`."""
    return _list([event.message for event in events], events)


def _list(values: list, events: list[LogEvent]) -> list[Piece]:
    pieces = [Piece(b"[\n")]
    for number, (value, event) in enumerate(zip(values, events, strict=True)):
        pieces.append(Piece((",\n    " if number else "    ").encode() + json.dumps(value).encode(), is_report(event)))
    return [*pieces, Piece(b"\n]\n")]


def message_strings(events: list[LogEvent]) -> list[Piece]:
    """`jq '.events[].message'`: JSON strings, one a line."""
    return [Piece(json.dumps(event.message).encode() + b"\n", is_report(event)) for event in events]


def gzipped(pieces: list[Piece]) -> bytes:
    return gzip.compress(joined(pieces), mtime=0)


def zstandard(pieces: list[Piece]) -> bytes:
    return zstd.compress(joined(pieces))


FULL: dict[str, Callable[[list[LogEvent]], list[Piece]]] = {
    "sam logs": lines(lambda event: f"{event.log_stream} {iso(event.timestamp_ms or 0, 6, '')} "),
    "aws logs tail": lines(lambda event: f"{iso(event.timestamp_ms or 0, 6, '+00:00')} {event.log_stream} "),
    "stream, epoch and group": lines(
        lambda event: f"{event.log_group}\t{event.log_stream}\t{event.timestamp_ms}\t",
    ),
    "query rows as text": lines(
        lambda event: (
            f"@timestamp={iso(event.timestamp_ms or 0, end='').replace('T', ' ')} @logStream={event.log_stream} "
            f"@log=123456789012:{event.log_group} @message="
        )
    ),
    "filter-log-events": filter_pages,
    "event lines": event_lines,
    "subscription messages": data_messages,
    "firehose object": firehose_object,
    "awslogs payload": awslogs_payload,
    "insights csv": insights_csv,
    "insights json": insights_json,
    "aws logs tail --format json": tail_json,
    "filter-log-events as text": cli_text,
    "events as lists": query_lists,
}
"""Formats that keep stream and time of every event."""

PARTIAL: dict[str, Callable[[list[LogEvent]], list[Piece]]] = {
    "bare lines": lines(lambda event: ""),
    "s3 export": lines(lambda event: f"{iso(event.timestamp_ms or 0)} "),
    "console text": lines(lambda event: f"{iso(event.timestamp_ms or 0)}\n"),
    "console table": lambda events: [
        Piece(f"| {event.timestamp_ms} | {event.message.rstrip()} |\n".encode(), is_report(event)) for event in events
    ],
    "get-log-events": get_pages,
    "console csv": console_csv,
    "log results": log_results,
    "log result": log_result_alone,
    "telemetry": telemetry,
    "get-log-events as text": lambda events: cli_text(events, with_stream=False),
    "messages as a list": query_messages,
    "messages as strings": message_strings,
}
"""Formats that keep every event, but not its stream or not its time."""

REPORTS_ONLY: dict[str, Callable[[list[LogEvent]], list[Piece]]] = {
    "discovered fields csv": discovered_csv,
    "discovered fields json": discovered_json,
}

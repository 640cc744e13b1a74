"""Lines of text -> log events: what AWS prints, and what tools put before it.

    REPORT RequestId: …                                                              the line itself
    2026-11-24T16:00:00.250Z REPORT RequestId: …                                     an export to S3, `aws logs tail`
    2026/11/24/[$LATEST]<32 hex> 2026-11-24T16:00:00.250000 REPORT RequestId: …      `sam logs`
    | 1764000000000 | REPORT RequestId: … |                                          a table, as the console copies it
    @timestamp=… @message=REPORT RequestId: …                                        rows of a query as text
    2026-11-24T16:00:00.250Z ¶ REPORT RequestId: …                                   the console's time above the line
    EVENTS⇥1764000000999⇥REPORT RequestId: …⇥¶⇥1764000000250                         the AWS CLI with --output text
    "REPORT RequestId: …\\tDuration: …"                                              a message as `jq` prints it

A line that has anything else before it is an application's own text that happens to quote a platform line. A REPORT may
go on over lines: X-Ray ids always stand on the next one, and pages and consoles break it at its fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from serverless_lab.coldstarts.platform_events import (
    LogsDropped,
    PlatformEvent,
    epoch_ms,
    is_platform_event,
    json_time_ms,
    read_event,
)
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.coldstarts.wrapper_lines import WrapperInit, WrapperInvocation
from serverless_lab.report_line import (
    FaultLine,
    InitReport,
    InitStart,
    ReportLine,
    RestoreStart,
    StartLine,
    find_platform_line,
    parse_line,
    whole_part,
)

TEXT_MAX = 200
"""How much of what could not be read is shown, in characters."""

_LINE_MAX = 16_384

CUT = "cut off where the file ends"
BROKEN = "a platform line we cannot read"
BROKEN_JSON = "JSON that cannot be read"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One place that could not be read. `line` counts from 1, in the file as it is when unpacked; 0 is the whole file.

    `text` is the beginning of what stands there, at most `TEXT_MAX` characters.
    """

    file: str
    line: int
    text: str
    reason: str


@dataclass
class Where:
    """The file that is being read, and what its path says. `found` is set when anything in it was a log's.

    `foreign_line` is the first line with a platform line behind a prefix that no tool we know puts there; 0 for none.
    """

    file: str = ""
    log_group: str = ""
    log_stream: str = ""
    found: bool = False
    foreign_line: int = 0

    def unreadable(self, line: int, text: str, reason: str) -> Unreadable:
        return Unreadable(self.file, line, text[:TEXT_MAX].rstrip(), reason)


# What `build_invocations` looks at; the other events are many, and say nothing there.
_TELLING = (
    ReportLine,
    StartLine,
    InitStart,
    InitReport,
    RestoreStart,
    FaultLine,
    LogsDropped,
    WrapperInit,
    WrapperInvocation,
)


def make_event(
    message: str,
    timestamp_ms: int | None,
    log_group: str,
    log_stream: str,
    line: PlatformEvent,
    *,
    tells_init: bool = True,
) -> LogEvent | None:
    """The event that `build_invocations` takes; None for a line it has no use for.

    The message is kept only where it says more than `line`: the order of the fields, or that it was JSON.
    """
    if not isinstance(line, _TELLING):
        return None
    if not isinstance(line, ReportLine) or (line.init_duration_ms is None and line.max_memory_used_mb is not None):
        message = ""
    return LogEvent(log_group, log_stream, timestamp_ms, message, line, tells_init)


def lines_of(chunks: Iterable[str]) -> Iterator[tuple[int, str, bool]]:
    """(number from 1, line with its end, whether it has one) of text that comes in pieces. Only \\n ends a line."""
    number = 0
    rest = ""
    for chunk in chunks:
        pieces = (rest + chunk).split("\n")
        rest = pieces.pop()
        for piece in pieces:
            number += 1
            yield number, piece + "\n", True
    if rest:
        yield number + 1, rest, False


# --- prefixes --------------------------------------------------------------------------------------------------------

_STREAM = r"\d{4}/\d\d/\d\d/[^\s\[\]]*\[[^\s\[\]]+\][0-9a-f]{32}"
STREAM_NAME = re.compile(_STREAM)
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_PREFIX = re.compile(
    r'[\s"|▶▼]*(?:(?:@?(?:timestamp|ingestionTime|message|logStream|log|ptr)"?[ \t]*[=:][ \t]*"?)?'
    rf"(?:(?P<stream>{_STREAM})|(?P<time>{_TIME})|(?P<epoch>\d{{13}})|(?:\d{{12}}:)?(?P<group>/[^\s,|\"]+))"
    r'(?:["\s,|▶▼]+|\Z)|@message"?[ \t]*[=:][ \t]*"?|@ptr=[^\s,]+[\s,]*)*'
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MARK = re.compile(
    r'RequestId:|"(?:platform|serverless-lab)\.|_START[ \t]|_REPORT[ \t]'
    r"|Task timed out after |(?:EXTENSION|TELEMETRY|LOGS)\t"
)
_JSON_EVENT = re.compile(r'"(?:platform|serverless-lab)\.')
_AFTER_JSON = ' \t\r\n|"'  # what a table or a quote puts behind a message
# A third of a log's platform lines, and they say nothing that REPORT does not.
_END = re.compile(r"END RequestId: \S+\s*\Z")
# A line that tells a time (and stream) and nothing else; the message is on the next ones.
_ABOVE = re.compile(rf"[\s▶▼]*(?P<time>{_TIME})(?:\s+(?P<stream>{_STREAM}))?\s*")
# Of FilterLogEvents (event id, ingestion time, stream, message, time) and GetLogEvents (ingestion time, message, time).
_CLI = re.compile(r"EVENTS\t(?:\d{40,60}\t)?\d{13}\t(?:(?P<stream>\d{4}/\d\d/\d\d/[^\t\r\n]{1,512})\t)?")
_CLI_TIME = re.compile(r"\t(?P<epoch>\d{13})\s*\Z")

_GOES_ON = re.compile(
    r"\s*(?:(?:(?:Billed |Init |Restore |Billed Restore )?Duration:|Memory Size:|Max Memory Used:)[ \t]*[0-9]"
    r"|Phase:[ \t]*(?:init|invoke)\b|Status:[ \t]*(?:timeout|error|failure|success)\b"
    r"|Error Type:[ \t]*(?:Runtime|Extension|Sandbox|Function)\.)"
)
_NAMES = re.compile(
    r"(?:Billed Restore |Billed |Init |Restore )?Duration:|Memory Size:|Max Memory Used:|Phase:|Status:|Error Type:"
    r"|TraceId:|SegmentId:|Sampled:"
)


def _has_no_field_of(line: str, message: str) -> bool:
    return set(_NAMES.findall(line)).isdisjoint(_NAMES.findall(message))


_XRAY = re.compile(r"\s*(?:XRAY[ \t]+TraceId:|SegmentId:|Sampled:)")
_FAULT_TYPE = re.compile(r"\s*(?:Runtime|Extension|Sandbox|Function)\.[A-Za-z]+\s*")
_FAULT = re.compile(r"\s*RequestId:")
# Lines that tools made of platform lines, leaving away what identifies the invocation or its duration.
_RETOLD = re.compile(r"REPORT - |END Duration:[ \t]*[0-9]")


@dataclass
class _Pending:
    """A platform line that may go on."""

    number: int
    message: str
    timestamp_ms: int | None
    log_group: str
    log_stream: str
    is_broken: bool = False
    lacks_time: bool = False  # the AWS CLI has printed the message's own line end before the time

    def takes(self, line: str) -> bool:
        """Whether `line` belongs to it: nothing but a field that it has not got, or the time behind it."""
        if self.lacks_time and (time := _CLI_TIME.fullmatch(line)) is not None:
            self.timestamp_ms, self.lacks_time = int(time["epoch"]), False
            return True
        if _XRAY.match(line):
            return self.message.startswith("REPORT") and _has_no_field_of(line, self.message)
        if self.message.startswith("RequestId:"):
            return _FAULT_TYPE.fullmatch(line) is not None and "\n" not in self.message.rstrip("\r\n")
        if not self.message.startswith(("REPORT", "INIT_REPORT", "RESTORE_REPORT")):
            return False
        if _GOES_ON.match(line) is None or not _has_no_field_of(line, self.message):
            return False
        # A whole REPORT is not gone on with: an application may print "Duration: 3 ms".
        self.is_broken = self.is_broken or "Max Memory Used:" not in self.message
        return self.is_broken


@dataclass
class TextReader:
    """Lines of text, one after the other, into events. `feed` them, then `finish`."""

    where: Where
    _pending: _Pending | None = None
    _above: tuple[int | None, str] = (None, "")
    _groups: dict[str, str] = field(default_factory=dict)

    def feed(self, number: int, line: str, *, has_end: bool = True) -> Iterator[LogEvent | Unreadable]:
        """The events that are known to be whole once `line` was seen."""
        # Platform lines are short; what is longer is an application's, and no pattern shall go through all of it.
        line = line[:_LINE_MAX]
        if "\x1b" in line:
            line = _COLOUR.sub("", line)
        pending = self._pending
        if pending is not None:
            lacked_time = pending.lacks_time
            if pending.takes(line):
                pending.message += "" if lacked_time and not pending.lacks_time else line
                if not has_end:
                    yield from self._flush(has_end=False)
                return
            yield from self._flush()
        if MARK.search(line) is None:
            self._note(number, line)
            if _RETOLD.match(line):
                yield self.where.unreadable(number, line, "a tool's own words for a REPORT line, with fields left away")
            return
        time_above, stream = self.take_above()
        cli = _CLI.match(line)
        if cli is not None:
            line, stream = line[cli.end() :], cli["stream"] or ""
            if (time := _CLI_TIME.search(line)) is not None:
                line, time_above = line[: time.start()], int(time["epoch"])
        elif line.startswith('"'):
            line = _unquoted(line)
        at = line.find("{") if _JSON_EVENT.search(line) else find_platform_line(line)
        if at is not None and at < 0 and _JSON_MEMBER.match(line):
            yield self.where.unreadable(number, line, "JSON over several lines in a text: --format json reads it")
        if at is None or at < 0 or _END.match(line, at):
            return
        prefix = _PREFIX.fullmatch(line, 0, at)
        if prefix is None:
            self.where.foreign_line = self.where.foreign_line or number
            return
        # A named group keeps its last match; a prefix has one of each.
        stamp_ms = int(prefix["epoch"]) if prefix["epoch"] else epoch_ms(prefix["time"])
        if prefix["time"] and stamp_ms is None:
            yield self.where.unreadable(number, line, "a time that does not exist")
            return
        self.where.found = True
        self._pending = _Pending(
            number,
            line[at:].rstrip(_AFTER_JSON) if line[at] == "{" else line[at:],
            time_above if stamp_ms is None else stamp_ms,
            self._same(prefix["group"] or self.where.log_group),
            self._same(prefix["stream"] or stream or self.where.log_stream),
            lacks_time=cli is not None and time_above is None,
        )
        if not has_end:
            yield from self._flush(has_end=False)

    def finish(self) -> Iterator[LogEvent | Unreadable]:
        yield from self._flush()

    def take_above(self) -> tuple[int | None, str]:
        """(time, stream) that the line above said and nothing else; they are of what follows it, once."""
        found, self._above = self._above, (None, "")
        return found

    def _note(self, number: int, line: str) -> None:
        """What a line without a platform line tells all the same."""
        above = _ABOVE.fullmatch(line)
        self._above = (None, "") if above is None else (epoch_ms(above["time"]), above["stream"] or "")
        if not self.where.found and number < 100:
            prefix = _PREFIX.match(line)
            self.where.found = prefix is not None and prefix.end() > 0 and any(prefix.groups())

    def _flush(self, *, has_end: bool = True) -> Iterator[LogEvent | Unreadable]:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        message, tells_init = pending.message, True
        if not has_end and not message.startswith("{"):
            whole = whole_part(message)
            if whole is None:
                yield self.where.unreadable(pending.number, message, CUT)
                return
            # Nothing shows that the line goes no further: its silence about an init is not evidence.
            message, tells_init = whole, False
        line = read_event(message) if message.startswith("{") else parse_line(message)
        if line is None:
            if is_platform_event(message):
                yield self.where.unreadable(pending.number, message, BROKEN)
            elif is_broken_json(message):
                yield self.where.unreadable(pending.number, message, BROKEN_JSON if has_end else CUT)
            return
        stamp_ms = pending.timestamp_ms
        if stamp_ms is None:
            stamp_ms = _own_time(message, line)
        event = make_event(message, stamp_ms, pending.log_group, pending.log_stream, line, tells_init=tells_init)
        if event is not None:
            yield event

    def _same(self, name: str) -> str:
        """One object per name: a log has few of them, and many lines."""
        return self._groups.setdefault(name, name)


def is_broken_json(message: str) -> bool:
    """Whether this was to be a JSON platform event; what application code logs has no such type."""
    text = message.lstrip()
    if not text.startswith("{") or _JSON_TYPE.search(text) is None:
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return True
    return False


_JSON_TYPE = re.compile(r'"type"\s*:\s*"platform\.')
_JSON_MEMBER = re.compile(r'\s*"type"\s*:\s*"platform\.')


def _unquoted(line: str) -> str:
    """The text that a JSON string on a line of its own stands for; the line itself where it is none."""
    try:
        text = json.loads(line)
    except ValueError:
        return line
    return text if isinstance(text, str) else line


def _own_time(message: str, line: PlatformEvent) -> int | None:
    """The time that the event itself tells, epoch ms."""
    if message.startswith("{"):
        return json_time_ms(json.loads(message))
    return epoch_ms(line.written_at) if isinstance(line, FaultLine) else None


def read_text(chunks: Iterable[str], where: Where) -> Iterator[LogEvent | Unreadable]:
    """The platform events of a text file in its order, and what could not be read."""
    reader = TextReader(where)
    for number, line, has_end in lines_of(chunks):
        yield from reader.feed(number, line, has_end=has_end)
    yield from reader.finish()


def read_message(
    message: str,
    timestamp_ms: int | None,
    log_group: str,
    log_stream: str,
    where: Where,
    line_number: int,
    *,
    tells_init: bool = True,
) -> Iterator[LogEvent | Unreadable]:
    """The platform event in one message that some container has kept whole."""
    line = read_event(message)
    if line is None:
        if is_platform_event(message):
            yield where.unreadable(line_number, message, BROKEN)
        elif is_broken_json(message):
            yield where.unreadable(line_number, message, BROKEN_JSON)
        return
    if timestamp_ms is None:
        timestamp_ms = _own_time(message.lstrip(), line)
    event = make_event(message, timestamp_ms, log_group, log_stream, line, tells_init=tells_init)
    if event is not None:
        yield event

"""JSON of any of these shapes -> log events, one value after the other, with or without anything between them:

    {"events": [{"timestamp": …, "message": …}]}              pages of FilterLogEvents and GetLogEvents, pretty or not
    {"timestamp": …, "message": …, "logStreamName": …}         one event of theirs per line
    {"messageType": "DATA_MESSAGE", "logEvents": […]}          what a subscription sends, and Firehose stores
    {"awslogs": {"data": "H4sI…"}}                             the same as a function receives it; also in `Records`
    {"results": [[{"field": "@message", "value": …}]]}         GetQueryResults of Logs Insights
    {"StatusCode": 200, "LogResult": "U1RBUlQ…"}               the answer to an invocation, with the end of its log
    {"time": …, "type": "platform.report", "record": {…}}      the events themselves, also in lists (Telemetry API)
    ["REPORT RequestId: …", …], [[1764…, "REPORT …"], …]       messages alone, or with time and stream (`--query`)

A value that ends early is read as far as it goes, so that a page cut anywhere gives every event before the cut; one
that is damaged is counted, and reading goes on at the next line. Lines that are no JSON are read as text.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from serverless_lab.coldstarts import formats_insights
from serverless_lab.coldstarts.formats_packed import Unpacked
from serverless_lab.coldstarts.formats_text import (
    BROKEN,
    BROKEN_JSON,
    CUT,
    STREAM_NAME,
    TextReader,
    Unreadable,
    Where,
    lines_of,
    make_event,
    read_message,
)
from serverless_lab.coldstarts.platform_events import (
    epoch_ms,
    from_json,
    is_json_platform_event,
    json_time_ms,
)
from serverless_lab.coldstarts.sources import LogEvent

_WINDOW = 4_194_304
"""A value that is longer than this is read part by part, so a page of any size needs no more memory than its events."""

_BEHIND = 65_536
_DEPTH_MAX = 12  # the shapes above nest at most so deep, with room for what wraps them

_BLANKS = re.compile(r"[\s,]*")
_VALUE = re.compile(r'[{\[]\s*["{\[\]}]')


class CutText(str):
    """The beginning of a text whose end is missing."""


# --- values in a text ------------------------------------------------------------------------------------------------


class _Scanner:
    """A cursor on text that comes in pieces."""

    def __init__(self, chunks: Iterable[str]) -> None:
        self._chunks = iter(chunks)
        self._decoder = json.JSONDecoder()
        self.text = ""
        self.at = 0
        self._line = 1
        self._line_at = 0  # where in `text` line `_line` was counted
        self._mark: int | None = None

    def line(self) -> int:
        """The number of the line that the cursor is in."""
        self._line += self.text.count("\n", self._line_at, self.at)
        self._line -= self.text.count("\n", self.at, self._line_at)
        self._line_at = self.at
        return self._line

    def more(self) -> bool:
        """One piece more of the text; False at its end. What is behind the cursor and the mark is forgotten."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._forget()
        self.text += chunk
        return True

    def _forget(self) -> None:
        self.line()
        if self._mark is not None and self.at - self._mark > _WINDOW:
            self._mark = None
        start = self.at if self._mark is None else self._mark
        self.text = self.text[start:]
        self.at -= start
        self._line_at -= start
        self._mark = None if self._mark is None else 0

    def mark(self) -> None:
        """Remember the cursor for `back`, as long as it moves on by less than a window."""
        self._mark = self.at

    def back(self) -> None:
        """Move the cursor back to the mark, if it is still there."""
        if self._mark is not None:
            self.at, self._mark = self._mark, None

    def skip_blanks(self) -> bool:
        """Move on to what is neither blank nor comma; False at the end."""
        while True:
            blanks = _BLANKS.match(self.text, self.at)
            self.at = self.at if blanks is None else blanks.end()
            if self.at < len(self.text):
                return True
            if not self.more():
                return False

    def rest_of_line(self) -> tuple[str, bool]:
        """(the line from the cursor on, whether it has an end); the cursor moves behind it."""
        while True:
            end = self.text.find("\n", self.at)
            if end >= 0:
                line, self.at = self.text[self.at : end + 1], end + 1
                return line, True
            if not self.more():
                line, self.at = self.text[self.at :], len(self.text)
                return line, False

    def at_value(self) -> bool:
        """Whether an object or a list begins at the cursor, rather than a line such as `[ERROR] …`."""
        while self.text[self.at] in "{[":
            if _VALUE.match(self.text, self.at):
                return True
            if self.text[self.at + 1 :].strip() or not self.more():
                return not self.text[self.at + 1 :].strip()
        return False

    def whole_value(self) -> tuple[bool, Any]:
        """(True, the value at the cursor), the cursor moves behind it; (False, None) when it is not whole.

        Not whole is also what is longer than a window.
        """
        if self.at > _BEHIND:
            # The decoder's errors count the lines of all that is before them.
            self._forget()
        while True:
            try:
                value, end = self._decoder.raw_decode(self.text, self.at)
            except (ValueError, RecursionError):
                if len(self.text) - self.at >= _WINDOW or not self.more():
                    return False, None
                continue
            # A number at the end of the text may go on.
            if end < len(self.text) or not isinstance(value, int | float) or isinstance(value, bool):
                self.at = end
                return True, value
            if not self.more():
                return False, None

    def parts(self, keep: Callable[[Any], bool], depth: int = 0) -> tuple[Any, bool]:
        """(what there is of the object or list at the cursor, whether it is whole); the cursor moves behind that.

        An object keeps the members that are whole, and lists and objects that began. A list keeps its whole elements
        which `keep` wants, and at its end an object that holds many records.
        """
        is_list = self.text[self.at] == "["
        found: Any = [] if is_list else {}
        closing = "]" if is_list else "}"
        self.at += 1
        while self.skip_blanks():
            if self.text[self.at] == closing:
                self.at += 1
                return found, True
            name: Any = None
            if not is_list:
                is_whole, name = self.whole_value() if self.text[self.at] == '"' else (False, None)
                if not is_whole or not self.skip_blanks() or self.text[self.at] != ":":
                    return found, False
                self.at += 1
                if not self.skip_blanks():
                    return found, False
            is_whole, value = self._part(keep, depth)
            if is_list:
                if keep(value) if is_whole else _is_container(value):
                    found.append(value)
            elif is_whole or isinstance(value, dict | list | CutText):
                found[name] = value
            if not is_whole:
                return found, False
        return found, False

    def _part(self, keep: Callable[[Any], bool], depth: int) -> tuple[bool, Any]:
        is_whole, value = self.whole_value()
        if is_whole or depth >= _DEPTH_MAX or self.at >= len(self.text):
            return is_whole, value
        match self.text[self.at]:
            case "{" | "[":
                value, is_whole = self.parts(keep, depth + 1)
                return is_whole, value
            case '"' if "\\" not in self.text[self.at :]:
                # Base64 has no escapes: what was cut of it still says what it says.
                return False, CutText(self.text[self.at + 1 :])
        return False, None


_CONTAINERS = ("events", "logEvents", "results", "sessionResults", "Records", "records")


def _is_container(value: Any) -> bool:
    """Whether what is whole in a cut value may be read: it holds records, and is not one that misses its end."""
    if isinstance(value, dict):
        held = any(isinstance(value.get(name), list) for name in _CONTAINERS)
        return held or isinstance(value.get("LogResult"), str) or isinstance(value.get("awslogs"), dict)
    return False


def _may_tell(value: Any) -> bool:
    """Whether an element is worth keeping: an application's own events are dropped at once."""
    if not isinstance(value, dict):
        return not isinstance(value, str) or _MAY_TELL.search(value) is not None
    message = value.get("message")
    return not isinstance(message, str) or _MAY_TELL.search(message) is not None


_MAY_TELL = re.compile(r"RequestId:|platform\.|_START |_REPORT |Task timed out after ")


# --- reading ---------------------------------------------------------------------------------------------------------


def is_json(head: str) -> bool:
    """Whether text that begins so is JSON: an object or a list, and not a line such as `[ERROR] …`.

    Also when only its first lines are something else: a damaged record, or what a function has printed.
    """
    return _VALUE.match(head.lstrip("\ufeff \t\r\n")) is not None or any(
        _RECORD.match(line) for line in head.split("\n", 20)[1:20]
    )


_RECORD = re.compile(
    r'\s*[{\[]\s*["{\[].*?"(?:logEvents|events|message|type|timestamp|messageType|field)"\s*:|\s*\{\s*\r?\Z'
)


def read_json(chunks: Iterable[str], where: Where) -> Iterator[LogEvent | Unreadable]:
    """The platform events in JSON text in its order, and what could not be read."""
    scanner = _Scanner(chunks)
    lines = TextReader(where)
    while scanner.skip_blanks():
        number = scanner.line()
        if not scanner.at_value():
            line, has_end = scanner.rest_of_line()
            if not line.startswith(_FRAGMENTS):
                yield from lines.feed(number, line, has_end=has_end)
            continue
        yield from lines.finish()
        _, stream = lines.take_above()
        is_whole, value = scanner.whole_value()
        if is_whole:
            yield from _Value(value, where, number).read(stream)
            continue
        scanner.mark()
        value, is_whole = scanner.parts(_may_tell)
        if is_whole or isinstance(value, list) or _is_container(value):
            yield from _Value(value, where, number).read()
        elif scanner.skip_blanks():
            # Not at the end of the file: a line that was to be a record, and what is behind it may be whole.
            scanner.back()
        if not is_whole:
            at = scanner.line()
            line, has_end = scanner.rest_of_line()
            if not has_end or not scanner.skip_blanks():
                yield where.unreadable(at, line, CUT)
            elif _MAY_TELL.search(line):
                yield where.unreadable(at, line, BROKEN_JSON)
    yield from lines.finish()


def read_value(value: dict[str, Any], where: Where, line_number: int) -> Iterator[LogEvent | Unreadable]:
    """The same of one object, which begins in line `line_number`."""
    yield from _Value(value, where, line_number).read()


# What is left of a value that could not be read is not text of a log.
_FRAGMENTS = ('"', "}", "]", ":")


class _Value:
    """One JSON value of a file, which begins in line `line_number`."""

    def __init__(self, value: Any, where: Where, line_number: int) -> None:
        self._value = value
        self._where = where
        self._line = line_number

    def read(self, stream: str = "") -> Iterator[LogEvent | Unreadable]:
        """Its events; `stream` is what was said before it."""
        if isinstance(self._value, list) and any(isinstance(item, str | list) for item in self._value):
            yield from self._messages(self._value)
        else:
            yield from self._any(self._value, self._where.log_group, stream or self._where.log_stream)

    def _messages(self, items: list[Any]) -> Iterator[LogEvent | Unreadable]:
        """What `--query` leaves of events: messages, or lists of a message and what was selected beside it."""
        for item in items:
            if not isinstance(item, str | list) or (isinstance(item, list) and _is_row(item)):
                yield from self._any([item], self._where.log_group, self._where.log_stream)
                continue
            parts = item if isinstance(item, list) else [item]
            times = [part for part in parts if isinstance(part, int) and not isinstance(part, bool)]
            texts = [part for part in parts if isinstance(part, str)]
            streams = [text for text in texts if STREAM_NAME.fullmatch(text)]
            stamp_ms = _instant_ms(times[0]) if len(times) == 1 else None
            stream = streams[0] if streams else self._where.log_stream
            for text in texts:
                for found in read_message(text, stamp_ms, self._where.log_group, stream, self._where, self._line):
                    self._where.found = True
                    yield found

    def _any(self, value: Any, group: str, stream: str, depth: int = 0) -> Iterator[LogEvent | Unreadable]:
        if depth > _DEPTH_MAX:
            return
        if isinstance(value, list):
            if value and all(_is_row(item) for item in value):
                yield from self._rows(value)
                return
            for item in value:
                yield from self._any(item, group, stream, depth + 1)
        elif isinstance(value, dict):
            yield from self._object(value, group, stream, depth)

    def _object(self, value: dict[str, Any], group: str, stream: str, depth: int) -> Iterator[LogEvent | Unreadable]:
        group = _text(value, "logGroup") or _text(value, "logGroupName") or group
        group = group or _text(value, "logGroupIdentifier").split(":", 1)[-1]
        stream = _text(value, "logStream") or _text(value, "logStreamName") or stream
        if is_json_platform_event(value):
            yield from self._platform(value, group, stream, None)
        elif isinstance(value.get("logEvents"), list):
            # documented: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html; a
            # CONTROL_MESSAGE only tests whether the destination can be reached.
            self._where.found = True
            for item in value["logEvents"] if value.get("messageType") != "CONTROL_MESSAGE" else ():
                yield from self._any(item, group, stream, depth + 1)
        elif isinstance(value.get("events"), list):
            self._where.found = True
            yield from self._any(value["events"], group, stream, depth + 1)
        elif isinstance(value.get("results"), list):
            self._where.found = True
            yield from self._rows(value["results"])
        elif isinstance(value.get("LogResult"), str):
            self._where.found = True
            yield from self._packed(value["LogResult"], group, stream)
        elif isinstance(value.get("awslogs"), dict) and isinstance(value["awslogs"].get("data"), str):
            yield from self._packed(value["awslogs"]["data"], group, stream)
        elif isinstance(value.get("Records") or value.get("records"), list):
            for item in value.get("Records") or value.get("records") or ():
                inner = item.get("kinesis", item) if isinstance(item, dict) else None
                if isinstance(inner, dict) and isinstance(inner.get("data"), str):
                    yield from self._packed(inner["data"], group, stream)
        elif formats_insights.is_row(value):
            yield from self._rows([value])
        elif "message" not in value:
            # Lists of events under another name, such as a live tail's `sessionResults`.
            for member in value.values():
                if isinstance(member, list):
                    yield from self._any(member, group, stream, depth + 1)
        elif any(name in value for name in ("timestamp", "time", "logStreamName", "eventId")):
            if "level" in value and "requestId" in value:
                return  # what a function logs with `LogFormat: JSON`; it may quote anything
            yield from self._event(value, group, stream)

    def _event(self, value: dict[str, Any], group: str, stream: str) -> Iterator[LogEvent | Unreadable]:
        stamp = value.get("timestamp", value.get("time"))
        stamp_ms = _instant_ms(stamp)
        message = value["message"]
        if isinstance(message, dict):
            if is_json_platform_event(message):
                yield from self._platform(message, group, stream, stamp_ms)
        elif isinstance(message, str) and not isinstance(message, CutText):
            self._where.found = self._where.found or "logStreamName" in value or "eventId" in value or bool(stream)
            for found in read_message(message, stamp_ms, group, stream, self._where, self._line):
                self._where.found = True
                yield found

    def _platform(
        self, value: dict[str, Any], group: str, stream: str, stamp_ms: int | None
    ) -> Iterator[LogEvent | Unreadable]:
        self._where.found = True
        line = from_json(value)
        if line is None:
            yield self._where.unreadable(self._line, json.dumps(value), BROKEN)
            return
        stamp_ms = json_time_ms(value) if stamp_ms is None else stamp_ms
        event = make_event("{", stamp_ms, group, stream, line)
        if event is not None:
            yield event

    def _rows(self, rows: list[Any]) -> Iterator[LogEvent | Unreadable]:
        """Rows of a query: lists of fields, or objects. Insights leaves fields away that a row does not have."""
        told = [_row(item) for item in rows]
        has_init_field = any(name in row for row in told for name in formats_insights.INIT_FIELDS)
        for row in told:
            yield from formats_insights.read_row(row, self._where, self._line, has_init_field=has_init_field)

    def _packed(self, text: str, group: str, stream: str) -> Iterator[LogEvent | Unreadable]:
        data = decode_base64(text)
        if data is None:
            yield self._where.unreadable(self._line, text, "not base64")
            return
        unpacked = Unpacked([data])
        inner = Where(self._where.file, group, stream)
        for found in read_any(b"".join(unpacked), inner, ends_there=not isinstance(text, CutText)):
            # Lines are those of the file, not of what was packed into one of its values.
            yield (
                self._where.unreadable(self._line, found.text, found.reason) if isinstance(found, Unreadable) else found
            )
        self._where.found = self._where.found or inner.found
        if unpacked.problem is not None and not isinstance(text, CutText):
            yield self._where.unreadable(self._line, text, unpacked.problem)


def read_any(data: bytes, where: Where, *, ends_there: bool = True) -> Iterator[LogEvent | Unreadable]:
    """The events in the bytes of a log, JSON or text.

    Args:
        ends_there: whether the log ends where the bytes do. Then its last line needs no line end.
    """
    text = data.decode("utf-8", errors="replace")
    if is_json(text):
        yield from read_json([text], where)
        return
    reader = TextReader(where)
    for number, line, has_end in lines_of([text]):
        yield from reader.feed(number, line, has_end=has_end or ends_there)
    yield from reader.finish()


def decode_base64(text: str) -> bytes | None:
    """The bytes that base64 text stands for; None when it is none. Of text that was cut, the bytes before the cut."""
    compact = "".join(text.split())
    if isinstance(text, CutText):
        compact = compact[: len(compact) // 4 * 4]
    try:
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        return None


def _is_row(item: Any) -> bool:
    if isinstance(item, list):
        return bool(item) and all(isinstance(field, dict) and "field" in field for field in item)
    return isinstance(item, dict) and formats_insights.is_row(item)


def _row(item: Any) -> dict[str, str | None]:
    if isinstance(item, list):
        item = {field.get("field"): field.get("value") for field in item if isinstance(field, dict)}
    if not isinstance(item, dict):
        return {}
    return {
        str(name): value if isinstance(value, str) or value is None else json.dumps(value)
        for name, value in item.items()
    }


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _instant_ms(stamp: Any) -> int | None:
    if isinstance(stamp, bool):
        return None
    if isinstance(stamp, int | float) and 0 <= stamp < 1e14:
        return round(stamp)
    if isinstance(stamp, str) and stamp.isdigit() and len(stamp) <= 14:
        return int(stamp)
    return epoch_ms(stamp)

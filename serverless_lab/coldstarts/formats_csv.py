"""Tables as CSV -> log events: the CloudWatch console's exports of log events and of Insights queries.

Messages stand in quotes and contain line ends, so a record may go on over lines.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

from serverless_lab.coldstarts import formats_insights
from serverless_lab.coldstarts.formats_text import CUT, MARK, Unreadable, Where, lines_of, read_message, read_text
from serverless_lab.coldstarts.platform_events import epoch_ms, read_event
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import whole_part

_FIELD_MAX = 16_777_216  # CloudWatch's events have at most 1 MiB; a lost quote makes a field of everything behind it

_TIME_NAMES = ("timestamp", "time", "@timestamp")
_STREAM_NAMES = ("@logstream", "logstreamname", "logstream", "log stream")
_GROUP_NAMES = ("@log", "loggroupname", "loggroup", "log group", "loggroupidentifier")


def header_of(first_line: str) -> list[str] | None:
    """The columns, when this line names those of a log's table; None for anything else."""
    if "," not in first_line and "@" not in first_line:
        return None
    try:
        names = next(csv.reader([first_line.strip("\ufeff\r\n")], strict=True), [])
    except csv.Error:
        return None
    names = [name.strip() for name in names]
    lower = [name.lower() for name in names]
    if formats_insights.is_row(dict.fromkeys(names)):
        return names
    return names if "message" in lower and any(name in lower for name in _TIME_NAMES) else None


def read_csv(chunks: Iterable[str], where: Where) -> Iterator[LogEvent | Unreadable]:
    """The platform events of a table in its order, and what could not be read."""
    csv.field_size_limit(max(csv.field_size_limit(), _FIELD_MAX))
    table: _Table | None = None
    for number, text, is_whole, has_end in _records(lines_of(chunks)):
        try:
            row = next(csv.reader(io.StringIO(text, newline="\n"), strict=True), []) if is_whole else None
        except csv.Error:
            row = None
        if table is None:
            names = None if row is None else header_of(text)
            if names is None:
                yield where.unreadable(1, text, "no columns of a log: `timestamp` and `message`, or `@message`")
                return
            where.found = True
            table = _Table(names, where)
        elif row is None:
            # Not every tool puts in quotes what needs them. Of a time and a message, the line tells both itself.
            told = list(read_text([text], where)) if len(table.names) == 2 else []
            if told and has_end:
                yield from told
            elif not has_end or MARK.search(text):
                yield where.unreadable(number, text, "not a row of CSV: a quote is missing" if has_end else CUT)
        elif row:
            is_closed = has_end or (text.endswith('"') and len(row) >= len(table.names))
            yield from table.read(number, row) if is_closed else table.read_cut(number, row)


def _records(lines: Iterable[tuple[int, str, bool]]) -> Iterator[tuple[int, str, bool, bool]]:
    """(line number, text, whether its quotes are even, whether the line ends) of each record.

    A record ends where a line does, outside of quotes. One whose quotes do not come out even ends before a line that
    begins as records of this table do: so a lost quote costs one record and not the rest of the file.
    """
    begins: re.Pattern[str] | None = None
    held: list[str] = []
    first = 0
    is_open = False
    for number, line, has_end in lines:
        begins = begins or next((pattern for pattern in _BEGINNINGS if pattern.match(line)), None)
        if held and is_open and begins is not None and begins.match(line):
            yield first, "".join(held), False, True
            held, is_open = [], False
        if not held:
            first = number
        held.append(line)
        is_open ^= line.count('"') % 2 == 1
        if not is_open and has_end:
            yield first, "".join(held), True, True
            held = []
    if held:
        yield first, "".join(held), not is_open, False


_BEGINNINGS = (re.compile(r'"?\d{13}"?,'), re.compile(r'"?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^,]{0,12},'))


class _Table:
    """The rows of one table. Its columns tell what they are."""

    def __init__(self, names: list[str], where: Where) -> None:
        self.names = names
        self._where = where
        self._has_init_field = any(name in names for name in formats_insights.INIT_FIELDS)

    def read(self, line_number: int, row: list[str], *, tells_init: bool = True) -> Iterator[LogEvent | Unreadable]:
        extra = len(row) - len(self.names)
        if extra > 0 and self.names[-1].lower().endswith("message"):
            # Not every tool puts a message with commas in quotes.
            row = [*row[: -extra - 1], ",".join(row[-extra - 1 :])]
        values = dict(zip(self.names, row, strict=False))
        if formats_insights.is_row(values):
            yield from formats_insights.read_row(
                values, self._where, line_number, has_init_field=self._has_init_field, tells_init=tells_init
            )
            return
        lower = {name.lower(): value for name, value in values.items()}
        message = lower.get("message")
        if message is None:
            yield self._where.unreadable(line_number, ",".join(row), "a row without a message")
            return
        stamp = _first(lower, _TIME_NAMES).strip()
        stamp_ms = int(stamp) if stamp.isdigit() and len(stamp) <= 14 else epoch_ms(stamp)
        group = _first(lower, _GROUP_NAMES) or self._where.log_group
        stream = _first(lower, _STREAM_NAMES) or self._where.log_stream
        yield from read_message(message, stamp_ms, group, stream, self._where, line_number, tells_init=tells_init)

    def read_cut(self, line_number: int, row: list[str]) -> Iterator[LogEvent | Unreadable]:
        """The last row of a file without a line end: its last value may have been cut."""
        last = self.names[min(len(row), len(self.names)) - 1]
        if len(row) < len(self.names):
            yield self._where.unreadable(line_number, ",".join(row), CUT)
        elif last.lower().lstrip("@") == "message":
            message = whole_part(row[-1])
            if message is not None:
                yield from self.read(line_number, [*row[:-1], message], tells_init=False)
            elif read_event(row[-1]) is not None or row[-1].startswith("{"):
                yield self._where.unreadable(line_number, row[-1], CUT)
        elif last in formats_insights.INIT_FIELDS or last.lower() in (*_GROUP_NAMES, *_STREAM_NAMES):
            # Without it the row would tell something else.
            yield self._where.unreadable(line_number, ",".join(row), CUT)
        else:
            # A number may go on behind the cut. Without it, the row tells less and nothing else.
            found = list(self.read(line_number, row[:-1], tells_init=False))
            yield from found or [self._where.unreadable(line_number, ",".join(row), CUT)]


def _first(values: dict[str, str], names: Iterable[str]) -> str:
    return next((values[name] for name in names if values.get(name)), "")

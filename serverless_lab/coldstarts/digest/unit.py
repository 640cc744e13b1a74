"""One unit of work: some tens of megabytes of log lines -> counts and packed times, and what others must tell.

A unit keeps columns of numbers while it reads and gives them up when it is reduced, so memory does not grow with the
input. Units of one stream are put together by `merge`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Flags, Integers, Words
from serverless_lab.coldstarts.digest.kinds import (
    INIT_START,
    OTHER,
    REPORT,
    RESTORE_START,
    START,
    Codes,
    ReportColumns,
    Story,
    Told,
    id_hashes,
    tell,
)
from serverless_lab.coldstarts.digest.lines import Found
from serverless_lab.coldstarts.digest.model import Key
from serverless_lab.coldstarts.digest.parts import GroupPart, group_part
from serverless_lab.coldstarts.digest.rows import (
    US_MAX,
    Columns,
    OddReport,
    Rows,
    distinct,
    id_rows,
    id_text,
    id_words,
    text_of,
)
from serverless_lab.coldstarts.formats_text import Unreadable
from serverless_lab.coldstarts.invocations import function_name, split_stream_name
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import (
    FaultLine,
    InitReport,
    InitStart,
    ReportLine,
    RestoreReport,
    RestoreStart,
    StartLine,
)

REPORT_COLUMNS = "duration_us", "billed_ms", "memory_size_mb", "max_memory_used_mb", "init_us", "restore_us", "outcome"
"""Names for the numbers of a record of platform_text.py that are kept."""

ODD_REPORT = 5  # a REPORT that the general reader has read
_INIT_LINES = (InitStart, InitReport, RestoreStart, RestoreReport)


@dataclass(frozen=True)
class Bins:
    """How instants become bin numbers (see model.py)."""

    bin_ms: int
    origin: int

    def numbers(self, ms: Integers) -> Integers:
        return ms // self.bin_ms - (self.origin - 1)

    def number(self, ms: float | None) -> int:
        """Of one instant; 0 for none."""
        return 0 if ms is None else int(ms // self.bin_ms) - self.origin + 1

    @classmethod
    def around(cls, ms: int, bin_ms: int) -> Bins:
        """Bins that reach far to both sides of an instant: 2**31 of them."""
        return cls(bin_ms, ms // bin_ms - (1 << 31))


@dataclass(frozen=True, slots=True)
class StreamPart:
    """What a unit saw of one stream: the sort keys of its first and its last event (`Story.ordered`).

    `told_from` is when the first of the invocations began that the unit has told; None without any.
    """

    log_group: str
    log_stream: str
    first: int
    last: int
    told_from: int | None


@dataclass
class UnitResult:
    """What one unit told. `left` are the events that the general rules must tell, each stream's in order.

    `lines` is how many lines were read of each part of a file.
    """

    groups: dict[Key, GroupPart] = field(default_factory=dict)
    environments: Counter[tuple[str, int]] = field(default_factory=Counter)
    restores: Counter[tuple[str, int]] = field(default_factory=Counter)
    left: list[LogEvent] = field(default_factory=list)
    streams: list[StreamPart] = field(default_factory=list)
    unreadable: list[tuple[int, Unreadable]] = field(default_factory=list)
    lines: Counter[int] = field(default_factory=Counter)
    with_starts: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class StreamHere:
    """A stream within a unit."""

    log_group: str
    log_stream: str
    begins_here: bool
    ends_here: bool = False

    def __post_init__(self) -> None:
        self.function = function_name(self.log_group, self.log_stream)
        self.version = split_stream_name(self.log_stream)[1] if self.log_stream else None


class Unit:
    """Takes blocks of lines, part of a file after part, until it is reduced.

    Args:
        kinds: tell kinds; else only REPORT lines are taken.
    """

    def __init__(self, bins: Bins, *, kinds: bool) -> None:
        self.bins = bins
        self.kinds = kinds
        self.bytes_read = 0
        self._streams: list[StreamHere] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._lines = 0
        self._events = Columns()
        self._reports = Columns()
        self._starts = Columns()
        self._odd: list[tuple[int, int, OddReport]] = []  # line, stream, report
        self._others: list[tuple[int, int, LogEvent]] = []  # line, stream, event
        self._result = UnitResult()

    def stream(self, log_group: str, log_stream: str, *, begins_here: bool) -> int:
        """The number of a stream in this unit."""
        name = log_group, log_stream
        if name not in self._numbers:
            self._numbers[name] = len(self._streams)
            self._streams.append(StreamHere(log_group, log_stream, begins_here))
        return self._numbers[name]

    def ends(self, stream: int) -> None:
        self._streams[stream].ends_here = True

    def add(self, found: Found, stream: int | Integers, lines: int, bytes_read: int, part: int) -> None:
        """What a block of `lines` lines told; `stream` is that of all its events or of each."""
        base = self._lines
        self._lines += lines
        self.bytes_read += bytes_read
        result = self._result
        result.lines[part] += lines
        of = np.full(len(found.at), stream, np.int32)
        self._events.add(line=found.at + base, what=found.what, ms=found.ms, stream=of)
        rows = found.rows
        self._reports.add(**dict(zip(REPORT_COLUMNS, rows.reports.T, strict=False)))
        if self.kinds:
            self._reports.add(ids=rows.report_ids)
            self._starts.add(ids=rows.start_ids, versions=rows.versions)
        for at, event in found.others:
            own = self.stream(event.log_group, event.log_stream, begins_here=False)
            odd = OddReport.of(event)
            if odd is not None:
                self._odd.append((base + at, own, odd))
            elif self.kinds or isinstance(event.line, ReportLine):
                self._others.append((base + at, own, event))
        self.unreadable(part, found.unreadable)

    def unreadable(self, part: int, places: Sequence[Unreadable]) -> None:
        self._result.unreadable.extend((part, place) for place in places)

    def reduce(self) -> UnitResult:
        """What all lines told. The unit is not to be used afterwards."""
        rows = Rows.of(self._reports, [odd for _, _, odd in self._odd])
        if self.kinds:
            self._tell(rows)
            return self._result
        self._result.left = [event for _, _, event in self._others]
        if len(rows):
            ms = [self._events.whole("ms"), np.array([odd.event.timestamp_ms for _, _, odd in self._odd], np.int64)]
            stream = np.concatenate([self._stream_of_event(), np.array([of for _, of, _ in self._odd], np.int64)])
            versions = list(dict.fromkeys(here.version for here in self._streams))
            version_of = np.array([versions.index(here.version) for here in self._streams], np.int64)
            self._group(rows, np.concatenate(ms), stream, version_of[stream], versions, None)
        return self._result

    def _stream_of_event(self) -> Integers:
        return self._events.whole("stream", np.int32).astype(np.int64)

    def _tell(self, rows: Rows) -> None:
        story = self._story()
        if not len(story.what):
            return
        start_ids = self._starts.whole("ids", np.uint64, 5)
        other_ids = [id_words(name) for _, _, event in self._others if (name := _request_id(event)) is not None]
        hashes = id_hashes(np.array(other_ids, np.uint64).reshape(-1, 5))
        told = tell(story, ReportColumns(rows.ids, rows.init_us, rows.restore_us, rows.resets), start_ids, hashes)
        self._note_streams(story, told)
        self._result.left = [self._event(story, int(at), rows, start_ids) for at in told.left]
        inits = told.inits
        names = [here.function for here in self._streams]
        for what, counts in ((INIT_START, self._result.environments), (RESTORE_START, self._result.restores)):
            at = inits[story.what[inits] == what]
            numbers = self.bins.numbers(story.ms[at])
            if len(at) and (numbers.min() < 1 or numbers.max() > US_MAX):
                raise OutOfReach
            places, count = np.unique((story.stream[at] << 33) + numbers, return_counts=True)
            for place, each in zip(places.tolist(), count.tolist(), strict=True):
                counts[names[place >> 33], place & ((1 << 33) - 1)] += each
        if len(told.reports):
            words, which = distinct(self._starts.whole("versions", np.uint64)[told.starts])
            versions: list[str | None] = [text_of(word) for word in words]
            self._group(rows.take(told.reports), told.ms, told.streams, which, versions, told.kinds)

    def _story(self) -> Story:
        """All events, in the order of reading."""
        parts = [
            (self._events.whole("line"), self._events.whole("what", np.int8), self._events.whole("ms")),
            *(
                (np.array([line]), np.array([ODD_REPORT]), np.array([odd.event.timestamp_ms]))
                for line, _, odd in self._odd
            ),
            *((np.array([line]), np.array([OTHER]), np.array([-1])) for line, _, _ in self._others),
        ]
        line, what, ms = (np.concatenate(column) for column in zip(*parts, strict=True))
        stream = self._stream_of_event()
        if len(parts) > 1:
            of_others = [of for _, of, _ in self._odd] + [of for _, of, _ in self._others]
            order = np.argsort(line, kind="stable")
            stream = np.concatenate([stream, np.array(of_others, np.int64)])[order]
            line, what, ms = line[order], what[order], ms[order]
        what = what.astype(np.int8)
        row = np.zeros(len(what), np.int64)
        regular = 0
        for code in (REPORT, ODD_REPORT, START, OTHER):
            here = np.flatnonzero(what == code)
            if code in (ODD_REPORT, OTHER):
                # Kept in the order of blocks, and that is the order of lines.
                row[here] = np.arange(len(here)) + (regular if code == ODD_REPORT else 0)
            else:
                row[here] = np.arange(len(here))
            regular = len(here) if code == REPORT else regular
        what[what == ODD_REPORT] = REPORT
        is_init = what >= INIT_START
        self._place_others(what, row, ms, stream, is_init)
        is_environment = np.array([bool(here.log_stream) for here in self._streams], np.bool_)
        return Story(
            what=what,
            ms=ms,
            stream=stream,
            lane=stream if is_environment.all() else self._lanes(what, row, stream, is_environment),
            line=line,
            row=row,
            is_init=is_init,
            begins_here=np.array([here.begins_here for here in self._streams], np.bool_),
            ends_here=np.array([here.ends_here for here in self._streams], np.bool_),
            is_environment=is_environment,
        ).ordered()

    def _place_others(self, what: Codes, row: Integers, ms: Integers, stream: Integers, is_init: Flags) -> None:
        """The instants of the others; one without any happened when the event before it did."""
        for at in np.flatnonzero(what == OTHER):
            event = self._others[row[at]][2]
            is_init[at] = isinstance(event.line, _INIT_LINES)
            if event.timestamp_ms is not None:
                ms[at] = event.timestamp_ms
                continue
            before = np.flatnonzero(stream[:at] == stream[at])
            ms[at] = ms[before[-1]] if len(before) else 0

    def _lanes(self, what: Codes, row: Integers, stream: Integers, is_environment: Flags) -> Integers:
        """Where a stream is not one environment's, a request's START and REPORT are what belongs together."""
        lane = stream.copy()
        report_ids = np.concatenate(
            [self._reports.whole("ids", np.uint64, 5), id_rows([odd for _, _, odd in self._odd])]
        )
        for code, ids in ((REPORT, report_ids), (START, self._starts.whole("ids", np.uint64, 5))):
            here = np.flatnonzero((what == code) & ~is_environment[stream])
            lane[here] = id_hashes(ids[row[here]]) | (1 << 62)
        return lane

    def _note_streams(self, story: Story, told: Told) -> None:
        keys = story.keys()
        count = len(self._streams)
        has_start = np.zeros(count, np.bool_)
        has_start[story.stream[np.isin(story.what, (START, INIT_START, RESTORE_START))]] = True
        began = _lowest(told.ms, told.streams, count)
        first, last = _lowest(keys, story.stream, count), -_lowest(-keys, story.stream, count)
        for number in np.flatnonzero(first < _NEVER).tolist():
            here = self._streams[number]
            told_from = int(began[number]) if began[number] < _NEVER else None
            part = StreamPart(here.log_group, here.log_stream, int(first[number]), int(last[number]), told_from)
            self._result.streams.append(part)
            if has_start[number]:
                self._result.with_starts.add((here.log_group, here.log_stream))

    def _event(self, story: Story, at: int, rows: Rows, start_ids: Words) -> LogEvent:
        what, row = int(story.what[at]), int(story.row[at])
        here = self._streams[story.stream[at]]
        line: ReportLine | StartLine | InitStart | RestoreStart
        if what == OTHER:
            event = self._others[row][2]
            return event if event.timestamp_ms is not None else replace(event, after_ms=int(story.ms[at]))
        if what == REPORT:
            regular = len(rows) - len(self._odd)
            if row >= regular:
                return self._odd[row - regular][2].event
            line = rows.line(row)
        elif what == START:
            line = StartLine(id_text(start_ids[row]), text_of(self._starts.whole("versions", np.uint64)[row]))
        else:
            line = RestoreStart() if what == RESTORE_START else InitStart()
        return LogEvent(here.log_group, here.log_stream, int(story.ms[at]), "", line)

    def _group(
        self,
        rows: Rows,
        ms: Integers,
        stream: Integers,
        which: Integers,
        versions: Sequence[str | None],
        kinds: Codes | None,
    ) -> None:
        """Rows into groups. Row i is of stream `stream[i]` and version `versions[which[i]]`; `ms[i]` tells its bin."""
        names = list(dict.fromkeys(here.function for here in self._streams))
        function_of = np.array([names.index(here.function) for here in self._streams], np.int64)
        sizes, size_of = distinct(rows.memory_size_mb)
        bins = self.bins.numbers(ms)
        if bins.min() < 1 or bins.max() > US_MAX:
            raise OutOfReach
        codes, group_of = distinct((function_of[stream] * len(versions) + which) * len(sizes) + size_of)
        for at, code in enumerate(codes.tolist()):
            rest, size_at = divmod(code, len(sizes))
            function_at, version_at = divmod(rest, len(versions))
            size = int(sizes[size_at])
            key = Key(names[function_at], versions[version_at], None if size < 0 else size)
            if len(codes) == 1:
                self._result.groups[key] = group_part(rows, bins, kinds)
                return
            chosen = np.flatnonzero(group_of == at)
            self._result.groups[key] = group_part(
                rows.take(chosen), bins[chosen], None if kinds is None else kinds[chosen]
            )


_NEVER = (1 << 63) - 1


def _lowest(values: Integers, of: Integers, count: int) -> Integers:
    """The lowest value of each; `_NEVER` where there is none."""
    found = np.full(count, _NEVER, np.int64)
    if len(values):
        breaks = np.flatnonzero(np.diff(of, prepend=of[0] - 1))
        np.minimum.at(found, of[breaks], np.minimum.reduceat(values, breaks))
    return found


class OutOfReach(Exception):
    """An instant too far from the others for bins of this width."""


def _request_id(event: LogEvent) -> str | None:
    return event.line.request_id if isinstance(event.line, ReportLine | StartLine | FaultLine) else None

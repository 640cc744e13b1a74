"""One unit of work: some tens of megabytes of log lines -> counts and packed times, and what others must tell.

A unit keeps columns of numbers while it reads and gives them up when it is reduced, so memory does not grow with the
input. Units of one stream are put together by `merge`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from serverless_lab.coldstarts.digest.kinds import (
    CODE_OF,
    INIT_START,
    OTHER,
    REPORT,
    RESTORE_START,
    START,
    ReportColumns,
    Story,
    id_hashes,
    tell,
)
from serverless_lab.coldstarts.digest.lines import Found
from serverless_lab.coldstarts.digest.model import COUNTS, WIDTH, Key, Packed
from serverless_lab.coldstarts.digest.swar import Flags, Integers, U, Words
from serverless_lab.coldstarts.formats_text import Unreadable
from serverless_lab.coldstarts.invocations import (
    COLD,
    INIT_REPEATED,
    KEEPING_ERROR_TYPES,
    KINDS,
    RESETTING_STATUSES,
    RESTORED,
    function_name,
    split_stream_name,
)
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import (
    FaultLine,
    InitReport,
    InitStart,
    ReportLine,
    RestoreReport,
    RestoreStart,
    StartLine,
    has_init_duration_first,
)

US_MAX = 0xFFFFFFFF
_WITH_INIT, _TIMEOUTS, _ERRORS, _BILLED, _BILLED_MS, _BILLED_MB_MS = (
    COUNTS.index(name) for name in ("with_init", "timeouts", "errors", "billed", "billed_ms", "billed_mb_ms")
)
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


@dataclass
class GroupPart:
    """What a unit adds to one group; see `model.Group`. Bins of `counts` are `bins`, in any order, each once."""

    durations: Packed
    inits: Packed
    restores: Packed
    init_plus_first: Packed
    bins: Integers
    counts: Integers
    max_memory_used_mb: Integers


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
    with_starts: set[str] = field(default_factory=set)


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


@dataclass
class _Columns:
    """Arrays of one kind of line, block after block."""

    arrays: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, **columns: np.ndarray) -> None:
        for name, array in columns.items():
            self.arrays.setdefault(name, []).append(array)

    def whole(self, name: str, dtype: type = np.int64, width: int = 0) -> np.ndarray:
        parts = self.arrays.get(name)
        if not parts:
            return np.zeros((0, width) if width else 0, dtype)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]


@dataclass(frozen=True, slots=True)
class _OddReport:
    """A REPORT that the general reader has read, and that differs in nothing but its text from all others."""

    event: LogEvent
    line: ReportLine
    id_bytes: bytes
    duration_us: int
    init_us: int
    restore_us: int

    @classmethod
    def of(cls, event: LogEvent) -> _OddReport | None:
        """None where more than its numbers must be known to tell what it means."""
        line = event.line
        if not isinstance(line, ReportLine) or event.timestamp_ms is None or not event.tells_init:
            return None
        if line.max_memory_used_mb is None or has_init_duration_first(event.message):
            return None
        id_bytes = line.request_id.encode()
        times = [_microseconds(time) for time in (line.duration_ms, line.init_duration_ms, line.restore_duration_ms)]
        whole = (line.billed_duration_ms, line.memory_size_mb, line.max_memory_used_mb)
        if len(id_bytes) != 36 or None in times or any(number is not None and number > US_MAX for number in whole):
            return None
        return cls(event, line, id_bytes, *(time for time in times if time is not None))


def _microseconds(ms: float | None) -> int | None:
    """-1 for no time; None for one that is no whole number of them, or too long for two of them to be added."""
    if ms is None:
        return -1
    found = round(ms * 1000)
    return found if found / 1000 == ms and found <= US_MAX // 2 else None


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
        self._reports = _Columns()
        self._starts = _Columns()
        self._inits = _Columns()
        self._odd: list[tuple[int, int, _OddReport]] = []  # line, stream, report
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

    def add(self, found: Found, stream: int, lines: int, bytes_read: int, part: int) -> None:
        """What a block of `lines` lines told, which are of one stream."""
        base = self._lines
        self._lines += lines
        self.bytes_read += bytes_read
        result = self._result
        result.lines[part] += lines
        reports = found.reports
        self._reports.add(
            line=found.report_at + base,
            stream=np.full(len(found.report_at), stream, np.int64),
            ms=found.report_ms,
            duration_us=reports.duration_us,
            billed_ms=reports.billed_ms,
            memory_size_mb=reports.memory_size_mb,
            max_memory_used_mb=reports.max_memory_used_mb,
            init_us=reports.init_us,
            **({"ids": np.ascontiguousarray(reports.ids)} if self.kinds else {}),
        )
        if self.kinds:
            self._starts.add(
                line=found.start_at + base,
                stream=np.full(len(found.start_at), stream, np.int64),
                ms=found.start_ms,
                ids=np.ascontiguousarray(found.starts.ids),
                version=found.starts.versions,
            )
            self._inits.add(
                line=found.init_at + base,
                stream=np.full(len(found.init_at), stream, np.int64),
                ms=found.init_ms,
                is_restore=found.is_restore,
            )
        for at, event in found.others:
            own = self.stream(event.log_group, event.log_stream, begins_here=False)
            odd = _OddReport.of(event)
            if odd is not None:
                self._odd.append((base + at, own, odd))
            elif self.kinds or isinstance(event.line, ReportLine):
                self._others.append((base + at, own, event))
        self.unreadable(part, found.unreadable)

    def unreadable(self, part: int, places: Sequence[Unreadable]) -> None:
        self._result.unreadable.extend((part, place) for place in places)

    def reduce(self) -> UnitResult:
        """What all lines told. The unit is not to be used afterwards."""
        rows = _Rows.of(self._reports, [odd for _, _, odd in self._odd], [stream for _, stream, _ in self._odd])
        if self.kinds:
            self._tell(rows)
        elif len(rows):
            versions = list(dict.fromkeys(stream.version for stream in self._streams))
            version_of = np.array([versions.index(stream.version) for stream in self._streams], np.int64)
            self._group(rows, rows.ms, version_of[rows.stream], versions, None)
            self._result.left = [event for _, _, event in self._others]
        else:
            self._result.left = [event for _, _, event in self._others]
        return self._result

    def _tell(self, rows: _Rows) -> None:
        story = self._story(rows)
        if not len(story.what):
            return
        start_ids = self._starts.whole("ids", np.uint64, 5)
        other_ids = [_id_words(name) for _, _, event in self._others if (name := _request_id(event)) is not None]
        hashes = id_hashes(np.array(other_ids, np.uint64).reshape(-1, 5))
        told = tell(story, ReportColumns(rows.ids, rows.init_us, rows.restore_us, rows.resets), start_ids, hashes)
        self._note_streams(story, self._starts.whole("stream")[told.starts], self._starts.whole("ms")[told.starts])
        for number, is_restore, ms in zip(
            story.stream[told.inits], story.what[told.inits] == RESTORE_START, story.ms[told.inits], strict=True
        ):
            counts = self._result.restores if is_restore else self._result.environments
            counts[self._streams[number].function, self.bins.number(int(ms))] += 1
        self._result.left = [self._event(story, int(at), rows, start_ids) for at in told.left]
        if len(told.reports):
            chosen = rows.take(told.reports)
            words = self._starts.whole("version", np.uint64)[told.starts]
            names, which = _distinct(words)
            versions: list[str | None] = [int(name).to_bytes(8, "little").rstrip(b"\0").decode() for name in names]
            ms = self._starts.whole("ms")[told.starts]
            self._group(chosen, ms, which, versions, told.kinds)

    def _story(self, rows: _Rows) -> Story:
        """All events, in the order of reading."""
        starts, inits = self._starts, self._inits
        odd_lines = np.array([line for line, _, _ in self._odd], np.int64)
        lines = {
            REPORT: np.concatenate([self._reports.whole("line"), odd_lines]),
            START: starts.whole("line"),
            INIT_START: inits.whole("line"),
            OTHER: np.array([line for line, _, _ in self._others], np.int64),
        }
        times = {REPORT: rows.ms, START: starts.whole("ms"), INIT_START: inits.whole("ms")}
        streams = {
            REPORT: rows.stream,
            START: starts.whole("stream"),
            INIT_START: inits.whole("stream"),
            OTHER: np.array([stream for _, stream, _ in self._others], np.int64),
        }
        what_of_line = np.full(self._lines, -1, np.int8)
        row_of_line = np.zeros(self._lines, np.int64)
        for code, at in lines.items():
            what_of_line[at] = code
            row_of_line[at] = np.arange(len(at))
        occupied = np.flatnonzero(what_of_line >= 0)
        what, row = what_of_line[occupied], row_of_line[occupied]
        ms, stream = np.zeros(len(what), np.int64), np.zeros(len(what), np.int64)
        for code in (REPORT, START, INIT_START, OTHER):
            here = what == code
            stream[here] = streams[code][row[here]]
            if code != OTHER:
                ms[here] = times[code][row[here]]
        is_init: Flags = what == INIT_START
        restores = np.flatnonzero(is_init)
        restores = restores[inits.whole("is_restore", np.bool_)[row[restores]]]
        what[restores] = RESTORE_START
        self._place_others(what, row, ms, stream, is_init)
        is_environment = np.array([bool(here.log_stream) for here in self._streams], np.bool_)
        lane = stream
        if not is_environment.all():
            lane = self._lanes(what, row, stream, rows, is_environment)
        story = Story(
            what=what,
            ms=ms,
            stream=stream,
            lane=lane,
            line=occupied,
            row=row,
            is_init=is_init,
            begins_here=np.array([here.begins_here for here in self._streams], np.bool_),
            ends_here=np.array([here.ends_here for here in self._streams], np.bool_),
            is_environment=is_environment,
        )
        return story.ordered()

    def _place_others(self, what: np.ndarray, row: Integers, ms: Integers, stream: Integers, is_init: Flags) -> None:
        """The instants of the others; one without any happened when the event before it did."""
        for at in np.flatnonzero(what == OTHER):
            event = self._others[row[at]][2]
            is_init[at] = isinstance(event.line, _INIT_LINES)
            if event.timestamp_ms is not None:
                ms[at] = event.timestamp_ms
                continue
            before = np.flatnonzero(stream[:at] == stream[at])
            ms[at] = ms[before[-1]] if len(before) else 0

    def _lanes(self, what: np.ndarray, row: Integers, stream: Integers, rows: _Rows, is_environment: Flags) -> Integers:
        """Where a stream is not one environment's, a request's START and REPORT are what belongs together."""
        lane = stream.copy()
        for code, ids in ((REPORT, rows.ids), (START, self._starts.whole("ids", np.uint64, 5))):
            here = np.flatnonzero((what == code) & ~is_environment[stream])
            lane[here] = id_hashes(ids[row[here]]) | (1 << 62)
        return lane

    def _note_streams(self, story: Story, told_streams: Integers, told_ms: Integers) -> None:
        key = story.keys()
        for number, here in enumerate(self._streams):
            at = np.flatnonzero(story.stream == number) if len(self._streams) > 1 else np.arange(len(key))
            if not len(at):
                continue
            keys, began = key[at], told_ms[told_streams == number]
            self._result.streams.append(
                StreamPart(
                    here.log_group,
                    here.log_stream,
                    int(keys.min()),
                    int(keys.max()),
                    int(began.min()) if len(began) else None,
                )
            )
            if np.isin(story.what[at], (START, INIT_START, RESTORE_START)).any():
                self._result.with_starts.add(here.function)

    def _event(self, story: Story, at: int, rows: _Rows, start_ids: Words) -> LogEvent:
        what, row = int(story.what[at]), int(story.row[at])
        here = self._streams[story.stream[at]]
        line: ReportLine | StartLine | InitStart | RestoreStart
        if what == OTHER:
            return self._others[row][2]
        if what == REPORT:
            regular = len(rows) - len(self._odd)
            if row >= regular:
                return self._odd[row - regular][2].event
            line = rows.line(row)
        elif what == START:
            version = int(self._starts.whole("version", np.uint64)[row]).to_bytes(8, "little").rstrip(b"\0").decode()
            line = StartLine(_id_text(start_ids[row]), version)
        else:
            line = RestoreStart() if what == RESTORE_START else InitStart()
        return LogEvent(here.log_group, here.log_stream, int(story.ms[at]), "", line)

    def _group(
        self, rows: _Rows, ms: Integers, which: Integers, versions: Sequence[str | None], kinds: np.ndarray | None
    ) -> None:
        """Rows into groups. `versions[which[i]]` is row i's version, and `ms[i]` says which bin it belongs to."""
        functions = {name: at for at, name in enumerate(dict.fromkeys(here.function for here in self._streams))}
        function_of = np.array([functions[here.function] for here in self._streams], np.int64)
        sizes, size_of = _distinct(rows.memory_size_mb)
        code = (function_of[rows.stream] * len(versions) + which) * len(sizes) + size_of
        names = list(functions)
        bins = self.bins.numbers(ms)
        if bins.min() < 1 or bins.max() > US_MAX:
            raise OutOfReach
        codes, group_of = _distinct(code)
        for at, each in enumerate(codes):
            rest, size_at = divmod(int(each), len(sizes))
            function_at, version_at = divmod(rest, len(versions))
            size = int(sizes[size_at])
            key = Key(names[function_at], versions[version_at], None if size < 0 else size)
            chosen = np.flatnonzero(group_of == at)
            part = rows if len(codes) == 1 else rows.take(chosen)
            self._result.groups[key] = _group_part(part, bins[chosen], None if kinds is None else kinds[chosen])


class OutOfReach(Exception):
    """An instant too far from the others for bins of this width."""


class NotServed(Exception):
    """Lines that say more than is read here, or too many that only the general reader can read."""


@dataclass(frozen=True)
class _Rows:
    """REPORT rows; -1 is "not said". The last ones are those that only the general reader could read."""

    ms: Integers
    stream: Integers
    duration_us: Integers
    billed_ms: Integers
    memory_size_mb: Integers
    max_memory_used_mb: Integers
    init_us: Integers
    restore_us: Integers
    is_timeout: Flags
    is_error: Flags
    resets: Flags
    ids: Words

    def __len__(self) -> int:
        return len(self.ms)

    @classmethod
    def of(cls, columns: _Columns, odd: Sequence[_OddReport], odd_streams: Sequence[int]) -> _Rows:
        regular = len(columns.whole("line"))
        lines = [report.line for report in odd]

        def whole(name: str, values: Sequence[int]) -> Integers:
            found = columns.whole(name)
            return np.concatenate([found, np.array(values, np.int64)]) if odd else found

        def flags(values: Sequence[bool]) -> Flags:
            return np.concatenate([np.zeros(regular, np.bool_), np.array(values, np.bool_)])

        is_timeout = [line.status == "timeout" for line in lines]
        failed = [line.status is not None or line.error_type is not None for line in lines]
        ids = columns.whole("ids", np.uint64, 5)
        if len(ids) or not regular:
            ids = np.concatenate([ids, np.array([_words(report.id_bytes) for report in odd], np.uint64).reshape(-1, 5)])
        return cls(
            ms=whole("ms", [report.event.timestamp_ms or 0 for report in odd]),
            stream=whole("stream", odd_streams),
            duration_us=whole("duration_us", [report.duration_us for report in odd]),
            billed_ms=whole("billed_ms", [_or_less(line.billed_duration_ms) for line in lines]),
            memory_size_mb=whole("memory_size_mb", [_or_less(line.memory_size_mb) for line in lines]),
            max_memory_used_mb=whole("max_memory_used_mb", [_or_less(line.max_memory_used_mb) for line in lines]),
            init_us=whole("init_us", [report.init_us for report in odd]),
            restore_us=np.concatenate(
                [np.full(regular, -1, np.int64), np.array([report.restore_us for report in odd], np.int64)]
            ),
            is_timeout=flags(is_timeout),
            is_error=flags([bad and not late for bad, late in zip(failed, is_timeout, strict=True)]),
            resets=flags([resets(line) for line in lines]),
            ids=ids,
        )

    def take(self, rows: Integers) -> _Rows:
        """Some of the rows, without their ids."""
        columns = {name: getattr(self, name)[rows] for name in _Rows.__dataclass_fields__ if name != "ids"}
        return _Rows(**columns, ids=self.ids[:0])

    def line(self, row: int) -> ReportLine:
        """The REPORT line of a row that was regular: it has no status and no Restore Duration."""
        init_us = int(self.init_us[row])
        return ReportLine(
            _id_text(self.ids[row]),
            int(self.duration_us[row]) / 1000,
            int(self.billed_ms[row]),
            int(self.memory_size_mb[row]),
            int(self.max_memory_used_mb[row]),
            None if init_us < 0 else init_us / 1000,
        )


def resets(line: ReportLine) -> bool:
    """Whether the environment's next invocation has an init again; as in `coldstarts.invocations`."""
    return line.status in RESETTING_STATUSES and not (line.error_type or "").startswith(KEEPING_ERROR_TYPES)


def _group_part(rows: _Rows, bins: Integers, kinds: np.ndarray | None) -> GroupPart:
    """The part of one group. Without kinds every Init Duration counts as one."""
    base = bins.astype(np.uint64) << U(32)
    has_init, is_restored = rows.init_us >= 0, rows.restore_us >= 0
    is_cold = has_init if kinds is None else (kinds == CODE_OF[COLD]) & has_init
    first = np.zeros(0, np.int64)
    took = np.zeros(0, np.int64)
    if kinds is not None:
        waited = is_cold | (kinds == CODE_OF[RESTORED]) | (kinds == CODE_OF[INIT_REPEATED])
        first = np.flatnonzero(waited)
        before = np.where(kinds == CODE_OF[RESTORED], rows.restore_us, np.where(is_cold, rows.init_us, 0))
        took = rows.duration_us[first] + before[first]
    lowest, highest = int(bins.min()), int(bins.max())
    if highest - lowest > 4 * len(bins) + 1000:
        shown, place = np.unique(bins, return_inverse=True)
    else:
        place = bins - lowest
        shown = np.arange(lowest, highest + 1)
    width = len(shown)
    counts = np.zeros((width, WIDTH), np.int64)
    if kinds is not None:
        by_kind = np.bincount(place * len(KINDS) + kinds, minlength=width * len(KINDS))
        counts[:, : len(KINDS)] = by_kind.reshape(width, len(KINDS))
    billed = rows.billed_ms >= 0
    priced = billed & (rows.memory_size_mb >= 0)
    counts[:, _WITH_INIT] = np.bincount(place[has_init | is_restored], minlength=width)
    counts[:, _TIMEOUTS] = np.bincount(place[rows.is_timeout], minlength=width)
    counts[:, _ERRORS] = np.bincount(place[rows.is_error], minlength=width)
    counts[:, _BILLED] = np.bincount(place[billed], minlength=width)
    # Floats hold these sums exactly: a unit has fewer than 2**20 lines of less than 2**33 each.
    counts[:, _BILLED_MS] = np.bincount(place[billed], rows.billed_ms[billed], width)
    counts[:, _BILLED_MB_MS] = np.bincount(place[priced], (rows.billed_ms * rows.memory_size_mb)[priced], width)
    memory = np.zeros(width, np.int64)
    np.maximum.at(memory, place, rows.max_memory_used_mb)
    present = np.bincount(place, minlength=width) > 0
    return GroupPart(
        durations=base | rows.duration_us.view(np.uint64),
        inits=base[is_cold] | rows.init_us[is_cold].view(np.uint64),
        restores=base[is_restored] | rows.restore_us[is_restored].view(np.uint64),
        init_plus_first=base[first] | took.view(np.uint64),
        bins=shown[present],
        counts=counts[present],
        max_memory_used_mb=memory[present],
    )


def _distinct(values: np.ndarray) -> tuple[np.ndarray, Integers]:
    """The different values, and which of them each is. Mostly there is one."""
    if len(values) and (values == values[0]).all():
        return values[:1], np.zeros(len(values), np.int64)
    found, which = np.unique(values, return_inverse=True)
    return found, which


def _or_less(number: int | None) -> int:
    return -1 if number is None else number


def _request_id(event: LogEvent) -> str | None:
    return event.line.request_id if isinstance(event.line, ReportLine | StartLine | FaultLine) else None


def _id_words(request_id: str) -> Integers:
    return _words(request_id.encode()[:36])


def _words(id_bytes: bytes) -> np.ndarray:
    return np.frombuffer(b"\0\0\0" + id_bytes.ljust(37, b"\0"), "<u8")


def _id_text(words: Words) -> str:
    return words.tobytes()[3:39].decode("ascii")

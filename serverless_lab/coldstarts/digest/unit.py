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
    Codes,
    ReportColumns,
    Story,
    Told,
    id_hashes,
    tell,
)
from serverless_lab.coldstarts.digest.lines import Found
from serverless_lab.coldstarts.digest.model import COUNTS, WIDTH, Key, Packed
from serverless_lab.coldstarts.digest.swar import Flags, Integers, U, Words
from serverless_lab.coldstarts.digest.text import OUTCOMES, outcome_number
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
        if len(parts) > 1:
            self.arrays[name] = parts = [np.concatenate(parts)]
        return parts[0]


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
        self._events = _Columns()
        self._reports = _Columns()
        self._starts = _Columns()
        self._runs: list[tuple[int, int]] = []  # stream, and how many events of it stand together
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
        self._runs.append((stream, len(found.at)))
        self._events.add(line=found.at + base, what=found.what, ms=found.ms)
        reports = found.reports
        names = ["duration_us", "billed_ms", "memory_size_mb", "max_memory_used_mb", "init_us", "restore_us", "outcome"]
        self._reports.add(**{name: getattr(reports, name) for name in names})
        if self.kinds:
            # A copy of its own: else the whole windows would stay.
            self._reports.add(ids=reports.ids.copy())
            self._starts.add(ids=found.starts.ids.copy(), versions=found.starts.versions)
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
        rows = _Rows.of(self._reports, [odd for _, _, odd in self._odd])
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
        streams, counts = np.array(self._runs, np.int64).reshape(-1, 2).T
        return np.repeat(streams, counts)

    def _tell(self, rows: _Rows) -> None:
        story = self._story()
        if not len(story.what):
            return
        start_ids = self._starts.whole("ids", np.uint64, 5)
        other_ids = [_id_words(name) for _, _, event in self._others if (name := _request_id(event)) is not None]
        hashes = id_hashes(np.array(other_ids, np.uint64).reshape(-1, 5))
        told = tell(story, ReportColumns(rows.ids, rows.init_us, rows.restore_us, rows.resets), start_ids, hashes)
        self._note_streams(story, told)
        self._result.left = [self._event(story, int(at), rows, start_ids) for at in told.left]
        inits = told.inits
        names = [here.function for here in self._streams]
        for what, counts in ((INIT_START, self._result.environments), (RESTORE_START, self._result.restores)):
            at = inits[story.what[inits] == what]
            places, count = np.unique(
                np.stack([story.stream[at], self.bins.numbers(story.ms[at])]), axis=1, return_counts=True
            )
            for stream, number, each in zip(*places.tolist(), count.tolist(), strict=True):
                counts[names[stream], number] += each
        if len(told.reports):
            words, which = _distinct(self._starts.whole("versions", np.uint64)[told.starts])
            versions: list[str | None] = [_text(word) for word in words]
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
            [self._reports.whole("ids", np.uint64, 5), _id_rows([odd for _, _, odd in self._odd])]
        )
        for code, ids in ((REPORT, report_ids), (START, self._starts.whole("ids", np.uint64, 5))):
            here = np.flatnonzero((what == code) & ~is_environment[stream])
            lane[here] = id_hashes(ids[row[here]]) | (1 << 62)
        return lane

    def _note_streams(self, story: Story, told: Told) -> None:
        keys = story.keys()
        has_start = np.isin(story.what, (START, INIT_START, RESTORE_START))
        for number, here in enumerate(self._streams):
            mine = np.flatnonzero(story.stream == number) if len(self._streams) > 1 else slice(None)
            if not len(keys[mine]):
                continue
            began = told.ms[told.streams == number]
            told_from = int(began.min()) if len(began) else None
            first, last = int(keys[mine].min()), int(keys[mine].max())
            self._result.streams.append(StreamPart(here.log_group, here.log_stream, first, last, told_from))
            if has_start[mine].any():
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
            line = StartLine(_id_text(start_ids[row]), _text(self._starts.whole("versions", np.uint64)[row]))
        else:
            line = RestoreStart() if what == RESTORE_START else InitStart()
        return LogEvent(here.log_group, here.log_stream, int(story.ms[at]), "", line)

    def _group(
        self,
        rows: _Rows,
        ms: Integers,
        stream: Integers,
        which: Integers,
        versions: Sequence[str | None],
        kinds: Codes | None,
    ) -> None:
        """Rows into groups. Row i is of stream `stream[i]` and version `versions[which[i]]`; `ms[i]` tells its bin."""
        names = list(dict.fromkeys(here.function for here in self._streams))
        function_of = np.array([names.index(here.function) for here in self._streams], np.int64)
        sizes, size_of = _distinct(rows.memory_size_mb)
        bins = self.bins.numbers(ms)
        if bins.min() < 1 or bins.max() > US_MAX:
            raise OutOfReach
        codes, group_of = _distinct((function_of[stream] * len(versions) + which) * len(sizes) + size_of)
        for at, code in enumerate(codes.tolist()):
            rest, size_at = divmod(code, len(sizes))
            function_at, version_at = divmod(rest, len(versions))
            size = int(sizes[size_at])
            key = Key(names[function_at], versions[version_at], None if size < 0 else size)
            if len(codes) == 1:
                self._result.groups[key] = _group_part(rows, bins, kinds)
                return
            chosen = np.flatnonzero(group_of == at)
            self._result.groups[key] = _group_part(
                rows.take(chosen), bins[chosen], None if kinds is None else kinds[chosen]
            )


class OutOfReach(Exception):
    """An instant too far from the others for bins of this width."""


class NotServed(Exception):
    """Lines that say more than is read here, or too many that only the general reader can read."""


@dataclass(frozen=True)
class _Rows:
    """REPORT rows; -1 is "not said". The last ones are those that only the general reader could read."""

    duration_us: Integers
    billed_ms: Integers
    memory_size_mb: Integers
    max_memory_used_mb: Integers
    init_us: Integers
    restore_us: Integers
    outcome: Integers
    ids: Words

    def __len__(self) -> int:
        return len(self.duration_us)

    @classmethod
    def of(cls, columns: _Columns, odd: Sequence[_OddReport]) -> _Rows:
        lines = [report.line for report in odd]
        values = {
            "duration_us": [report.duration_us for report in odd],
            "billed_ms": [_or_less(line.billed_duration_ms) for line in lines],
            "memory_size_mb": [_or_less(line.memory_size_mb) for line in lines],
            "max_memory_used_mb": [_or_less(line.max_memory_used_mb) for line in lines],
            "init_us": [report.init_us for report in odd],
            "restore_us": [report.restore_us for report in odd],
            "outcome": [outcome_number(line.status, line.error_type) for line in lines],
        }
        found = {name: columns.whole(name) for name in values}
        if odd:
            found = {name: np.concatenate([found[name], np.array(values[name], np.int64)]) for name in values}
        ids = columns.whole("ids", np.uint64, 5)
        return cls(**found, ids=np.concatenate([ids, _id_rows(odd)]) if odd else ids)

    def take(self, rows: Integers) -> _Rows:
        """Some of the rows, without their ids."""
        columns = {name: getattr(self, name)[rows] for name in _Rows.__dataclass_fields__ if name != "ids"}
        return _Rows(**columns, ids=self.ids[:0])

    def line(self, row: int) -> ReportLine:
        """The REPORT line of a row, with all that tells its kind."""
        status, error_type = OUTCOMES[self.outcome[row]]
        return ReportLine(
            _id_text(self.ids[row]),
            int(self.duration_us[row]) / 1000,
            int(self.billed_ms[row]),
            int(self.memory_size_mb[row]),
            int(self.max_memory_used_mb[row]),
            _ms(int(self.init_us[row])),
            _ms(int(self.restore_us[row])),
            None,
            status,
            error_type,
        )

    @property
    def resets(self) -> Flags:
        """Whether the environment's next invocation has an init again; as in `coldstarts.invocations`."""
        told = [
            status in RESETTING_STATUSES and not (error_type or "").startswith(KEEPING_ERROR_TYPES)
            for status, error_type in OUTCOMES
        ]
        return np.array(told, np.bool_)[self.outcome]

    @property
    def is_timeout(self) -> Flags:
        return np.array([status == "timeout" for status, _ in OUTCOMES], np.bool_)[self.outcome]

    @property
    def is_error(self) -> Flags:
        told = [status != "timeout" and (status, error_type) != (None, None) for status, error_type in OUTCOMES]
        return np.array(told, np.bool_)[self.outcome]


def _group_part(rows: _Rows, bins: Integers, kinds: Codes | None) -> GroupPart:
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


def _id_rows(odd: Sequence[_OddReport]) -> Words:
    return np.array([_words(report.id_bytes) for report in odd], np.uint64).reshape(-1, 5)


def _id_text(words: Words) -> str:
    return words.tobytes()[3:39].decode("ascii")


def _text(word: np.uint64) -> str:
    """The characters of a word."""
    return int(word).to_bytes(8, "little").rstrip(b"\0").decode("ascii")


def _ms(us: int) -> float | None:
    return None if us < 0 else us / 1000

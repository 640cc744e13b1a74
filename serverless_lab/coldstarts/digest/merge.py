"""Results of units, in the order of the input -> one Digest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Integers
from serverless_lab.coldstarts.digest.kinds import CODE_OF
from serverless_lab.coldstarts.digest.lines import NotServed
from serverless_lab.coldstarts.digest.model import COUNTS, WIDTH, Digest, Group, Key, Packed, Times
from serverless_lab.coldstarts.digest.parts import GroupPart
from serverless_lab.coldstarts.digest.plan import Piece
from serverless_lab.coldstarts.digest.rows import US_MAX
from serverless_lab.coldstarts.digest.unit import Bins, OutOfReach, UnitResult
from serverless_lab.coldstarts.emulated import LINES_MIN
from serverless_lab.coldstarts.formats_text import Unreadable
from serverless_lab.coldstarts.invocations import (
    COLD,
    INIT_REPEATED,
    RESTORED,
    WARM,
    InitRow,
    InvocationRow,
    build_invocations,
    function_name,
)
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import (
    FaultLine,
    InitStart,
    ReportLine,
    RestoreStart,
    StartLine,
    has_init_duration_first,
)

UNREADABLE_MAX = 1_000
"""So many unreadable lines are listed; all are counted, and every file that could not be read is listed."""

SORTING_AT_ONCE = 2
"""Groups whose times are sorted at once; each needs its memory twice meanwhile."""

_TIMES = ("durations", "inits", "restores", "init_plus_first")


_Request = tuple[str, str, str]
"""Log group, log stream, request id."""


class OutOfOrder(Exception):
    """Events of one stream that must be read together are in different units."""


class _GroupBuilder:
    """One group, growing."""

    def __init__(self) -> None:
        self.times: dict[str, list[Packed]] = {name: [] for name in _TIMES}
        self.others: dict[str, list[tuple[int, float]]] = {name: [] for name in _TIMES}
        self.bins: list[Integers] = []
        self.counts: list[Integers] = []
        self.memory: list[Integers] = []

    def add(self, part: GroupPart) -> None:
        for name in _TIMES:
            self.times[name].append(getattr(part, name))
        self.bins.append(part.bins)
        self.counts.append(part.counts)
        self.memory.append(part.max_memory_used_mb)
        if sum(map(len, self.bins)) > 200_000:
            bins, counts, memory = self._counted()
            self.bins, self.counts, self.memory = [bins], [counts], [memory]

    def add_time(self, name: str, number: int, ms: float | None) -> None:
        if ms is not None:
            self.others[name].append((number, ms))

    def group(self, key: Key) -> Group:
        bins, counts, memory = self._counted()
        return Group(key, bins, counts, memory, **{name: self._sorted(name) for name in _TIMES})

    def _sorted(self, name: str) -> Times:
        chunks = self.times.pop(name)
        found, others = [], []
        for number, ms in self.others[name]:
            us = round(ms * 1000)
            if us / 1000 == ms and us <= US_MAX:
                found.append(number << 32 | us)
            else:
                others.append((number, ms))
        chunks.append(np.array(found, np.uint64))
        packed = np.empty(sum(map(len, chunks)), np.uint64)
        at = 0
        for place, chunk in enumerate(chunks):
            packed[at : at + len(chunk)] = chunk
            at += len(chunk)
            chunks[place] = chunk[:0].copy()  # so that memory is not needed twice
        packed.sort()
        return Times(packed, tuple(sorted(others)))

    def _counted(self) -> tuple[Integers, Integers, Integers]:
        """The bins, each once and ascending, with their counts."""
        if not self.bins:
            return np.zeros(0, np.int64), np.zeros((0, WIDTH), np.int64), np.zeros(0, np.int64)
        bins, place = np.unique(np.concatenate(self.bins), return_inverse=True)
        counts = np.zeros((len(bins), WIDTH), np.int64)
        np.add.at(counts, place, np.concatenate(self.counts))
        memory = np.zeros(len(bins), np.int64)
        np.maximum.at(memory, place, np.concatenate(self.memory))
        return bins, counts, memory


class Merge:
    """Takes results in the order of the input; `digest` ends it.

    Args:
        pieces: all pieces that results tell of.
        is_whole: every stream is in one result.
    """

    def __init__(self, bins: Bins, pieces: Iterable[Piece], *, kinds: bool, is_whole: bool) -> None:
        self._bins = bins
        self._pieces = {piece.number: piece for piece in pieces}
        self._kinds = kinds
        self._is_whole = is_whole
        self._groups: defaultdict[Key, _GroupBuilder] = defaultdict(_GroupBuilder)
        self._environments: Counter[tuple[str, int]] = Counter()
        self._restores: Counter[tuple[str, int]] = Counter()
        self._left: list[LogEvent] = []
        self._left_at: list[int] = []  # where in it the events of each unit begin, and those of other files
        self._last_keys: dict[tuple[str, str], int] = {}
        self._told_from: dict[tuple[str, str], int] = {}
        self._unreadable: list[tuple[Piece | int, Unreadable]] = []
        self._unreadable_count = 0
        self._lines: Counter[int] = Counter()
        self._with_starts: set[tuple[str, str]] = set()

    def add(self, result: UnitResult) -> None:
        """One more result.

        Raises:
            OutOfOrder: a stream goes back in time.
        """
        for stream in result.streams:
            name = stream.log_group, stream.log_stream
            if stream.log_stream and not self._is_whole and stream.first < self._last_keys.get(name, stream.first):
                raise OutOfOrder
            self._last_keys[name] = stream.last
            if stream.told_from is not None:
                self._told_from.setdefault(name, stream.told_from)
        for key, part in result.groups.items():
            self._groups[key].add(part)
        self._environments.update(result.environments)
        self._restores.update(result.restores)
        self._left_at.append(len(self._left))
        self._left.extend(result.left)
        self._lines.update(result.lines)
        self._with_starts |= result.with_starts
        self._unreadable_count += len(result.unreadable)
        self._unreadable.extend(
            (self._pieces[number], place)
            for number, place in result.unreadable
            if place.line == 0 or len(self._unreadable) < UNREADABLE_MAX
        )

    def add_events(self, events: Iterable[LogEvent | Unreadable], number: int) -> None:
        """What the general reader has read from a file that is not read here; `number` is that file's.

        Raises:
            NotServed: an event's stream is one of those that were read here.
        """
        self._left_at.append(len(self._left))
        for event in events:
            if isinstance(event, LogEvent):
                if (event.log_group, event.log_stream) in self._last_keys:
                    raise NotServed
                if self._kinds or isinstance(event.line, ReportLine):
                    self._left.append(event)
                continue
            self._unreadable_count += 1
            if event.line == 0 or len(self._unreadable) < UNREADABLE_MAX:
                self._unreadable.append((number, event))

    def digest(self, formats: dict[str, str]) -> Digest:
        """Everything together.

        Raises:
            OutOfOrder: a line tells of a failure, and the REPORT of that invocation is in another unit.
            NotServed: an emulator may have written the log of a function, which single invocations tell.
        """
        if self._kinds and not self._is_whole and self._has_stray_failures():
            raise OutOfOrder
        left = build_invocations(self._left, earlier=self._seen_before())
        for row in left.rows:
            self._add_row(row)
        for counts, inits in ((self._environments, left.inits or ()), (self._restores, left.restores)):
            self._count_inits(counts, inits)
        keys = sorted(self._groups, key=lambda key: key.sort_key())
        # numpy sorts without the interpreter's lock.
        with ThreadPoolExecutor(SORTING_AT_ONCE) as pool:
            groups = dict(zip(keys, pool.map(lambda key: self._groups[key].group(key), keys), strict=True))
        with_init = sum(int(group.counts[:, COUNTS.index("with_init")].sum()) for group in groups.values())
        failures_only = self._failures_only(groups)
        has_starts = bool(self._with_starts)
        if self._kinds and self._may_be_emulated(groups):
            raise NotServed
        # As `build_invocations`: logs from before INIT_START existed show cold starts and no environments; nor do those
        # that have nothing but REPORT lines.
        tells = bool(self._environments) or (
            with_init == sum(len(group.restores) for group in groups.values()) and (has_starts or not groups)
        )
        return Digest(
            bin_ms=self._bins.bin_ms,
            origin=self._bins.origin,
            with_kinds=self._kinds,
            groups=groups,
            environments=_by_function(self._environments) if tells and self._kinds else None,
            restores=_by_function(self._restores),
            unfinished=dict(sorted(Counter(open_.function for open_ in left.unfinished).items()))
            if self._kinds
            else {},
            unreadable=self._places(),
            unreadable_count=self._unreadable_count,
            ignored_init_durations=left.ignored_init_durations,
            dropped_log_events=left.dropped_log_events,
            repeated_reports=left.repeated_reports,
            failures_only=failures_only,
            has_starts=has_starts or not self._kinds,
            formats=formats,
            lines=sum(self._lines.values()),
        )

    def _has_stray_failures(self) -> bool:
        """Whether a line of the old style tells of a failure that a unit did not know of when it told what came next.

        It knew where the REPORT of that invocation is in the same unit. Else that must be the last one of an earlier
        unit: behind it nothing was told.
        """
        reported: dict[_Request, list[tuple[int, bool]]] = defaultdict(list)
        last: dict[tuple[int, str, str], _Request] = {}
        failed: list[tuple[int, _Request]] = []
        for unit, (begin, end) in enumerate(pairwise([*self._left_at, len(self._left)])):
            for event in self._left[begin:end]:
                if isinstance(event.line, FaultLine):
                    failed.append((unit, (event.log_group, event.log_stream, event.line.request_id)))
                elif isinstance(event.line, ReportLine):
                    request = event.log_group, event.log_stream, event.line.request_id
                    last[unit, event.log_group, event.log_stream] = request
                    reported[request].append((unit, False))
        for (unit, _, _), request in last.items():
            reported[request].append((unit, True))
        return any(
            not any(at == unit or (at < unit and is_last) for at, is_last in reported[request])
            for unit, request in failed
        )

    def _seen_before(self) -> list[LogEvent]:
        """For streams that had invocations before what is left: one invocation, to be read and not counted.

        Only lines of AWS's runtime interface emulator ask whether an invocation is the first of its stream.
        """
        earlier: list[LogEvent] = []
        first: dict[tuple[str, str], int] = {}
        emulated = set()
        for event in self._left:
            name = event.log_group, event.log_stream
            first[name] = min(first.get(name, event.timestamp_ms or 0), event.timestamp_ms or 0)
            if isinstance(event.line, ReportLine) and has_init_duration_first(event.message):
                emulated.add(name)
        for name in emulated:
            if self._told_from.get(name, first[name]) < first[name]:
                lines = (StartLine("earlier"), ReportLine("earlier", 0.0, max_memory_used_mb=1))
                earlier.extend(LogEvent(*name, 0, "", line) for line in lines)
        return earlier

    def _add_row(self, row: InvocationRow) -> None:
        began: float | None = row.timestamp
        if self._kinds:
            began = row.start_timestamp
            if began is None and row.timestamp is not None:
                began = row.timestamp - row.duration_ms
        number = self._bins.number(began)
        if began is not None and not 1 <= number <= US_MAX:
            raise OutOfReach
        builder = self._groups[Key(row.function, row.version, row.memory_size_mb)]
        builder.add_time("durations", number, row.duration_ms)
        builder.add_time("restores", number, row.restore_duration_ms)
        if row.kind == COLD or not self._kinds:
            builder.add_time("inits", number, row.init_duration_ms)
        if self._kinds and row.kind in (COLD, RESTORED, INIT_REPEATED):
            before = {COLD: row.init_duration_ms, RESTORED: row.restore_duration_ms, INIT_REPEATED: 0.0}[row.kind]
            if before is not None:
                builder.add_time("init_plus_first", number, round(before + row.duration_ms, 3))
        counts = np.zeros((1, WIDTH), np.int64)
        told: dict[str, int] = {
            "with_init": row.carries_init,
            "timeouts": row.status == "timeout",
            "errors": (row.status is not None or row.error_type is not None) and row.status != "timeout",
            "billed": row.billed_duration_ms is not None,
            "billed_ms": row.billed_duration_ms or 0,
            "billed_mb_ms": (row.billed_duration_ms or 0) * (row.memory_size_mb or 0),
        }
        for name, count in told.items():
            counts[0, COUNTS.index(name)] = count
        if self._kinds:
            counts[0, CODE_OF[row.kind]] = 1
        builder.bins.append(np.array([number], np.int64))
        builder.counts.append(counts)
        builder.memory.append(np.array([row.max_memory_used_mb or 0], np.int64))

    def _count_inits(self, counts: Counter[tuple[str, int]], inits: Iterable[InitRow]) -> None:
        for init in inits:
            counts[init.function, self._bins.number(init.timestamp)] += 1

    def _failures_only(self, groups: dict[Key, Group]) -> tuple[str, ...]:
        # Streams with a START say so of functions that have invocations in them.
        reporting = set(self._told_from)
        for event in self._left:
            if isinstance(event.line, StartLine | InitStart | RestoreStart):
                self._with_starts.add((event.log_group, event.log_stream))
            elif isinstance(event.line, ReportLine):
                reporting.add((event.log_group, event.log_stream))
        with_starts = {function_name(*stream) for stream in self._with_starts & reporting}
        failures = [COUNTS.index(name) for name in ("timeouts", "errors")]
        succeeded = {
            key.function for key, group in groups.items() if int(group.counts[:, failures].sum()) < group.invocations
        }
        return tuple(sorted({key.function for key in groups} - succeeded - with_starts)) if self._kinds else ()

    def _may_be_emulated(self, groups: dict[Key, Group]) -> bool:
        """Whether some function's invocations look as those of `coldstarts.emulated`; all that do not are AWS's."""
        began = {function for function, _ in (*self._environments, *self._restores)}
        by_function: defaultdict[str, list[Group]] = defaultdict(list)
        for key, group in groups.items():
            by_function[key.function].append(group)
        return any(
            name not in began
            and sum(group.invocations for group in of_function) >= LINES_MIN
            and all(_says_nothing(group) for group in of_function)
            for name, of_function in by_function.items()
        )

    def _places(self) -> tuple[Unreadable, ...]:
        """Unreadable places in the order of the files, with their lines counted from the file's first one."""
        before: Counter[int] = Counter()  # by piece, the lines of its file that stand before it
        lines: Counter[int] = Counter()  # by file
        for number, piece in sorted(self._pieces.items()):
            before[number] = lines[piece.file_number]
            lines[piece.file_number] += self._lines[number]
        found = []
        for origin, place in self._unreadable:
            if isinstance(origin, Piece):
                line = place.line + before[origin.number] if place.line else 0
                found.append((origin.file_number, replace(place, line=line)))
            else:
                found.append((origin, place))
        # What is said of a file as a whole is said at its end.
        found.sort(key=lambda item: (item[0], item[1].line == 0, item[1].line))
        return tuple(place for _, place in found)


def _says_nothing(group: Group) -> bool:
    """Whether all seem to be warm, and have the memory size or a whole number of milliseconds all of them."""
    is_warm = int(group.counts[:, CODE_OF[WARM]].sum()) == group.invocations
    fails = any(group.counts[:, COUNTS.index(name)].any() for name in ("timeouts", "errors"))
    is_full = (group.max_memory_used_mb == (group.key.memory_size_mb or 0)).all()
    is_whole = not (group.durations.packed % np.uint64(1 << 32) % np.uint64(1000)).any()
    return is_warm and not fails and bool(is_full or is_whole)


def _by_function(counts: Counter[tuple[str, int]]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for (function, number), count in sorted(counts.items()):
        found.setdefault(function, {})[number] = count
    return found

"""What a digest holds: per group and time bin, counts and the measured times, sorted. No text, no rows.

A measured time is kept exactly, as whole microseconds, together with its bin in one unsigned 64-bit integer: the upper
half is the bin, the lower half the time. Sorting those numbers sorts by bin and then by time, so the values of a bin
are one slice and every quantile is an index. That is 8 bytes for an invocation, and 8 more for an init.

A bin's number is 1 plus its distance from an origin; 0 is the place of what has no instant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from serverless_lab.coldstarts.invocations import KINDS

if TYPE_CHECKING:
    from serverless_lab.coldstarts.files import Unreadable
    from serverless_lab.coldstarts.statistics import Bins, Floats, Sample

Packed = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

NO_BIN = 0
"""The bin of an invocation whose instant the log does not say."""

COUNTS = (*KINDS, "with_init", "timeouts", "errors", "billed", "billed_ms", "billed_mb_ms")
"""The columns of `Group.counts` that add up."""

WIDTH = len(COUNTS)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What one group of invocations has in common; None where the log does not say it."""

    function: str
    version: str | None
    memory_size_mb: int | None

    def sort_key(self) -> tuple[str, str, int]:
        return self.function, self.version or "", self.memory_size_mb or 0


@dataclass(frozen=True)
class Times:
    """Measured times by bin. `packed` ascends; `others` are (bin, ms) that 32 bits of microseconds cannot hold."""

    packed: Packed = field(default_factory=lambda: np.zeros(0, np.uint64))
    others: tuple[tuple[int, float], ...] = ()

    def __len__(self) -> int:
        return len(self.packed) + len(self.others)

    def of_bin(self, number: int) -> Floats:
        """Those of one bin: float64 ms, ascending."""
        low, high = np.searchsorted(self.packed, np.array([number, number + 1], np.uint64) << np.uint64(32))
        return self._values(self.packed[low:high], [value for at, value in self.others if at == number])

    def by_bin(self, numbers: Integers) -> list[Floats]:
        """Those of each of some bins, as `of_bin` gives them."""
        first = numbers.astype(np.uint64) << np.uint64(32)
        low, high = np.searchsorted(self.packed, first), np.searchsorted(self.packed, first + np.uint64(1 << 32))
        others: dict[int, list[float]] = {}
        for at, value in self.others:
            others.setdefault(at, []).append(value)
        return [
            self._values(self.packed[begin:end], others.get(number, []))
            for number, begin, end in zip(numbers.tolist(), low.tolist(), high.tolist(), strict=True)
        ]

    def all(self) -> Floats:
        """Those of every bin: float64 ms, ascending."""
        return np.sort(self._values(self.packed, [value for _, value in self.others]))

    def _values(self, packed: Packed, others: list[float]) -> Floats:
        # The quotient of two whole numbers is the float nearest to the decimal number that was printed.
        values = (packed & np.uint64(0xFFFFFFFF)).astype(np.float64) / 1000.0
        return np.sort(np.concatenate([values, np.array(others, np.float64)])) if others else values


@dataclass(frozen=True)
class Group:
    """The invocations of one `Key`.

    `bins` are the numbers of the bins that have an invocation, ascending; row i of `counts` (columns of `COUNTS`) and
    `max_memory_used_mb[i]` (0: not known) belong to `bins[i]`. `durations` has every invocation; `inits` the Init
    Duration of kind `cold` (of every invocation that has one, where kinds were not told), `restores` every Restore
    Duration, `init_plus_first` what an invocation whose caller waited took in all.
    """

    key: Key
    bins: Integers
    counts: Integers
    max_memory_used_mb: Integers
    durations: Times
    inits: Times
    restores: Times
    init_plus_first: Times

    @property
    def invocations(self) -> int:
        return len(self.durations)


@dataclass(frozen=True)
class Digest:
    """What many log files told, in bounded memory.

    `bin_ms` is the width of a bin, which begins at a whole multiple of it since the epoch. `with_kinds` says whether
    kinds were told: then an invocation belongs to the bin in which it began, as in `statistics.began_ms`; else START
    lines were not read, every kind is `unknown`, and an invocation belongs to the bin of its REPORT.

    `environments` counts environments initialised, used or not, by function and bin number; None where the log does not
    tell; `restores` counts environments restored from a snapshot in the same way. `unfinished` counts START without
    REPORT, by function. `unreadable` are the places that could not be read, the first of them as a list and all of them
    as a number. The other fields are those of `invocations.Invocations`, as far
    as what was told together shows them, and of `files.FileReading`; `lines` were read here.
    """

    bin_ms: int
    origin: int
    with_kinds: bool
    groups: Mapping[Key, Group]
    environments: Mapping[str, Mapping[int, int]] | None = None
    restores: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    unfinished: Mapping[str, int] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    unreadable_count: int = 0
    ignored_init_durations: int = 0
    dropped_log_events: int = 0
    repeated_reports: int = 0
    failures_only: tuple[str, ...] = ()
    has_starts: bool = True
    formats: Mapping[str, str] = field(default_factory=dict)
    lines: int = 0

    @property
    def invocations(self) -> int:
        return sum(group.invocations for group in self.groups.values())

    @property
    def functions(self) -> tuple[str, ...]:
        """Every function that was invoked or initialised, by name."""
        return tuple(sorted({key.function for key in self.groups} | set(self.environments or ())))

    def bin_start_ms(self, number: int) -> int:
        """The first instant (epoch ms) of bin `number`."""
        return (self.origin + number - 1) * self.bin_ms

    def bin_number(self, ms: float | None) -> int:
        """The number of the bin that an instant (epoch ms) belongs to; `NO_BIN` for none."""
        return NO_BIN if ms is None else int(ms // self.bin_ms) - self.origin + 1

    def time_bins(self) -> Bins | None:
        """All bins from the first to the last one with an invocation; None when no instant is known."""
        from serverless_lab.coldstarts.statistics import Bins

        numbers = [group.bins[group.bins != NO_BIN] for group in self.groups.values()]
        numbers = [found for found in numbers if len(found)]
        if not numbers:
            return None
        first, last = int(min(found[0] for found in numbers)), int(max(found[-1] for found in numbers))
        return Bins(self.bin_start_ms(first), self.bin_ms, last - first + 1)

    def sample(
        self, *, function: str | None = None, keys: Collection[Key] | None = None, bin_start_ms: int | None = None
    ) -> Sample:
        """The sample of all groups, of one function's, or of some `keys`; of one bin, or of all time.

        The log says which function an environment was initialised for, and not with how much memory: `environments` is
        None for `keys` that are not all of a function's.
        """
        from serverless_lab.coldstarts.statistics import Sample, merged

        chosen = [
            group
            for key, group in self.groups.items()
            if (function is None or key.function == function) and (keys is None or key in keys)
        ]
        number = None if bin_start_ms is None else self.bin_number(bin_start_ms)
        environments = self._environments(function, number) if keys is None else None
        parts = [_sample(group, number, self.with_kinds) for group in chosen]
        found = merged(parts) if len(parts) != 1 else parts[0]
        values = {name: getattr(found, name) for name in Sample.__dataclass_fields__}
        return Sample(**{**values, "environments": environments})

    def _environments(self, function: str | None, number: int | None) -> int | None:
        """Initialised in a bin; what was initialised outside the bins with invocations belongs to the nearest one."""
        if self.environments is None:
            return None
        names: Iterable[str] = self.environments if function is None else (function,)
        counts = [self.environments.get(name, {}) for name in names]
        if number is None:
            return sum(sum(of_function.values()) for of_function in counts)
        span = self.time_bins()
        if span is None:
            return 0
        first = self.bin_number(span.origin_ms)
        last = first + span.count - 1
        return sum(
            count
            for of_function in counts
            for at, count in of_function.items()
            if at != NO_BIN and min(max(at, first), last) == number
        )


def _sample(group: Group, number: int | None, with_kinds: bool) -> Sample:
    from serverless_lab.coldstarts.invocations import UNKNOWN
    from serverless_lab.coldstarts.statistics import Sample

    rows = slice(None) if number is None else group.bins == number
    totals = dict(zip(COUNTS, (int(total) for total in group.counts[rows].sum(axis=0)), strict=True))
    memory = int(group.max_memory_used_mb[rows].max(initial=0))
    kinds = {kind: totals[kind] for kind in KINDS if totals[kind]}
    size = group.key.memory_size_mb

    def times(found: Times) -> Floats:
        return found.all() if number is None else found.of_bin(number)

    durations = times(group.durations)
    return Sample(
        kinds=kinds if with_kinds else ({UNKNOWN: len(durations)} if len(durations) else {}),
        durations_ms=durations,
        init_ms=times(group.inits),
        restore_ms=times(group.restores),
        init_plus_first_ms=times(group.init_plus_first),
        with_init=totals["with_init"],
        memory_sizes_mb=(size,) if size is not None and len(durations) else (),
        max_memory_used_mb=memory or None,
        timeouts=totals["timeouts"],
        errors=totals["errors"],
        billed=totals["billed"],
        billed_ms=totals["billed_ms"],
        billed_mb_ms=totals["billed_mb_ms"],
    )

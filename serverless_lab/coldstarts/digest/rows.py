"""REPORT rows of a unit: columns of numbers, of lines read at once and of those that the general reader has read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from serverless_lab.coldstarts.digest.arrays import Flags, Integers, Words
from serverless_lab.coldstarts.digest.platform_text import OUTCOMES, outcome_number
from serverless_lab.coldstarts.invocations import KEEPING_ERROR_TYPES, RESETTING_STATUSES
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import ReportLine, has_init_duration_first

US_MAX = 0xFFFFFFFF


@dataclass
class Columns:
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
class OddReport:
    """A REPORT that the general reader has read, and that differs in nothing but its text from all others."""

    event: LogEvent
    line: ReportLine
    id_bytes: bytes
    duration_us: int
    init_us: int
    restore_us: int

    @classmethod
    def of(cls, event: LogEvent) -> OddReport | None:
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


@dataclass(frozen=True)
class Rows:
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
    def of(cls, columns: Columns, odd: Sequence[OddReport]) -> Rows:
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
        return cls(**found, ids=np.concatenate([ids, id_rows(odd)]) if odd else ids)

    def take(self, rows: Integers) -> Rows:
        """Some of the rows, without their ids."""
        columns = {name: getattr(self, name)[rows] for name in Rows.__dataclass_fields__ if name != "ids"}
        return Rows(**columns, ids=self.ids[:0])

    def line(self, row: int) -> ReportLine:
        """The REPORT line of a row, with all that tells its kind."""
        status, error_type = OUTCOMES[self.outcome[row]]
        return ReportLine(
            id_text(self.ids[row]),
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


def distinct(values: np.ndarray) -> tuple[np.ndarray, Integers]:
    """The different values, and which of them each is. Mostly there is one."""
    if len(values) and (values == values[0]).all():
        return values[:1], np.zeros(len(values), np.int64)
    found, which = np.unique(values, return_inverse=True)
    return found, which


def _or_less(number: int | None) -> int:
    return -1 if number is None else number


def id_words(request_id: str) -> Integers:
    return _words(request_id.encode()[:36])


def _words(id_bytes: bytes) -> np.ndarray:
    return np.frombuffer(b"\0\0\0" + id_bytes.ljust(37, b"\0"), "<u8")


def id_rows(odd: Sequence[OddReport]) -> Words:
    return np.array([_words(report.id_bytes) for report in odd], np.uint64).reshape(-1, 5)


def id_text(words: Words) -> str:
    return words.tobytes()[3:39].decode("ascii")


def text_of(word: np.uint64) -> str:
    """The characters of a word."""
    return int(word).to_bytes(8, "little").rstrip(b"\0").decode("ascii")


def _ms(us: int) -> float | None:
    return None if us < 0 else us / 1000

"""What a gate can be on: numbers of a report, and why one cannot be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serverless_lab.coldstarts.report import ColdStartReport
    from serverless_lab.coldstarts.statistics import Quantiles, Rate, Summary

SHARE, MS, COUNT, MB = "%", "ms", "", "MB"


@dataclass(frozen=True)
class Measured:
    """A quantity's value, with the words that say what it is of; None when it cannot be told, and then why."""

    value: float | None
    words: str = ""


Measure = Callable[["ColdStartReport", "Summary"], Measured]


@dataclass(frozen=True)
class Quantity:
    """Something a gate can be on. `of_function`: it is there for a single function too."""

    name: str
    unit: str
    meaning: str
    measure: Measure
    of_function: bool = True


def _nothing(report: ColdStartReport) -> str:
    """Why there is no invocation, as far as files tell."""
    files = report.files
    if files is None or not files.unreadable_files:
        return "no REPORT line was found"
    first = next((place for place in files.unreadable if place.line == 0), None)  # the first places alone are kept
    return "no REPORT line was found" + ("" if first is None else f"; {first.file}: {first.reason}")


def _of_invocations(measure: Callable[[Summary], Measured]) -> Measure:
    """A log without a single invocation tells nothing of them: its zeros must not pass."""
    return lambda report, summary: measure(summary) if summary.invocations else Measured(None, _nothing(report))


def _rate(rate_of: Callable[[ColdStartReport, Summary], Rate | None], missing: Missing, *, of_log: bool) -> Measure:
    def measure(report: ColdStartReport, summary: Summary) -> Measured:
        if of_log and not summary.invocations:
            return Measured(None, _nothing(report))
        rate = rate_of(report, summary)
        if rate is None or rate.count is None or rate.rate is None:
            return Measured(None, missing(report, summary))
        return Measured(rate.rate, f"{rate.count:,} of {rate.n:,}")

    return measure


def _count(count_of: Callable[[Summary], int | float | None], missing: str = "the log does not say it") -> Measure:
    def measure(summary: Summary) -> Measured:
        found = count_of(summary)
        return Measured(None, missing) if found is None else Measured(float(found))

    return _of_invocations(measure)


def _of_report(found_of: Callable[[ColdStartReport], int | float | None], missing: str) -> Measure:
    def measure(report: ColdStartReport, summary: Summary) -> Measured:
        found = found_of(report)
        return Measured(None, missing) if found is None else Measured(float(found))

    return measure


def _quantile(
    of: Callable[[ColdStartReport, Summary], Quantiles | None], name: str, missing: Missing, *, of_log: bool
) -> Measure:
    def measure(report: ColdStartReport, summary: Summary) -> Measured:
        if of_log and not summary.invocations:
            return Measured(None, _nothing(report))
        found = of(report, summary)
        value = None if found is None else getattr(found, name)
        return (
            Measured(None, missing(report, summary))
            if found is None or value is None
            else Measured(value, f"of {found.n:,}")
        )

    return measure


def _share(part_of: Callable[[Summary], int]) -> Callable[[ColdStartReport, Summary], Rate]:
    """The share of a kind of failure."""
    from serverless_lab.coldstarts.statistics import Rate

    def rate(report: ColdStartReport, summary: Summary) -> Rate:
        told = report.tells_failures and not _has_failures_only(report, summary)
        return Rate(part_of(summary) if told else None, summary.invocations)

    return rate


def _has_failures_only(report: ColdStartReport, summary: Summary) -> bool:
    """Whether the log leaves out successful invocations: then failures are no share of anything."""
    names = report.failures_only
    return summary.function in names if summary.function is not None else bool(names)


def _failures(count_of: Callable[[Summary], int]) -> Measure:
    def measure(report: ColdStartReport, summary: Summary) -> Measured:
        if not summary.invocations:
            return Measured(None, _nothing(report))
        return Measured(float(count_of(summary))) if report.tells_failures else Measured(None, _NO_STATUS)

    return measure


Missing = Callable[["ColdStartReport", "Summary"], str]
"""Why a quantity cannot be told."""


def _always(words: str) -> Missing:
    return lambda report, summary: words


def _no_share(report: ColdStartReport, summary: Summary) -> str:
    return _NO_STATUS if not report.tells_failures else _FAILURES_ONLY


def _no_kind(report: ColdStartReport, summary: Summary) -> str:
    return _FAILURES_ONLY if _has_failures_only(report, summary) else "the log does not say which callers waited"


def _no_client(words: str) -> Missing:
    return lambda report, summary: _NO_CLIENT if report.client is None else words


_NO_STATUS = "the log does not say how invocations ended; of a query, select @message too, or read the whole log"
_FAILURES_ONLY = "the log has failed invocations alone, as system log level WARN leaves them"
_NO_CLIENT = "there is no client's side: it comes with a run of `lab load`"
_NO_ROWS = "the log does not tell environments apart, or was too large to keep single invocations"
_NO_STARTS = "no line says that an invocation began: REPORT lines alone do not show those without one"


def _with_init(summary: Summary) -> int | None:
    """None where no kind is known: a query that did not select the init has lines without one."""
    is_silent = summary.with_init == 0 and summary.kinds.get("unknown", 0) == summary.invocations
    return None if is_silent else summary.with_init


def _memory_share(summary: Summary) -> float | None:
    if summary.max_memory_used_mb is None or len(summary.memory_size_mb) != 1:
        return None
    return summary.max_memory_used_mb / summary.memory_size_mb[0]


_RATES: dict[str, tuple[str, Callable[[ColdStartReport, Summary], Rate | None], Missing, bool]] = {
    "cold_rate": (
        "invocations whose caller waited for an init or a restore, of those whose kind is known",
        lambda report, summary: summary.cold_starts,
        _no_kind,
        True,
    ),
    "timeout_rate": ("invocations that timed out", _share(lambda summary: summary.timeouts), _no_share, True),
    "error_rate": ("invocations that crashed", _share(lambda summary: summary.errors), _no_share, True),
    "unfinished_rate": (
        "invocations without a REPORT, of those that began",
        lambda report, summary: report.unfinished_rate if report.tells_unfinished else None,
        _always(_NO_STARTS),
        False,
    ),
    "client_failure_rate": (
        "requests that failed, of those sent",
        lambda report, summary: None if report.client is None else _client_rate(report),
        _no_client("no request was sent"),
        False,
    ),
    "client_cold_rate": (
        "requests whose invocation waited, of the joined ones",
        lambda report, summary: None if report.client is None else report.client.cold_starts,
        _no_client("no request is known to have waited or not: none is joined with a REPORT line that tells"),
        False,
    ),
}


def _client_rate(report: ColdStartReport) -> Rate | None:
    from serverless_lab.coldstarts.statistics import Rate

    return None if report.client is None else Rate(report.client.failures, report.client.sent)


_TIMES: dict[str, tuple[str, Callable[[ColdStartReport, Summary], Quantiles | None], Missing, bool]] = {
    "init": (
        "Init Duration of cold starts",
        lambda report, summary: summary.init_ms,
        _always("no cold start has one"),
        True,
    ),
    "restore": (
        "Restore Duration",
        lambda report, summary: summary.restore_ms,
        _always("no invocation has one"),
        True,
    ),
    "duration": ("Duration", lambda report, summary: summary.duration_ms, _always("no invocation has one"), True),
    "init_plus_first": (
        "init and the first Duration after it",
        lambda report, summary: summary.init_plus_first_duration_ms,
        _always("no caller is known to have waited for an init of known length"),
        True,
    ),
    "latency": (
        "the client's latency",
        lambda report, summary: None if report.client is None else report.client.latency_ms,
        _no_client("no request was answered"),
        False,
    ),
}

_COUNTS: dict[str, tuple[str, str, Measure, bool]] = {
    "invocations": ("REPORT lines", COUNT, lambda report, summary: Measured(float(summary.invocations)), True),
    "cold_starts": (
        "invocations whose caller waited",
        COUNT,
        _count(lambda summary: summary.cold_starts.count, "the log does not say which callers waited"),
        True,
    ),
    "environments": (
        "environments initialised",
        COUNT,
        _count(lambda summary: summary.environments, "the log does not tell which environments were initialised"),
        True,
    ),
    "with_init": (
        "REPORT lines with an init",
        COUNT,
        _count(_with_init, "nothing in the log says of any invocation whether there was an init"),
        True,
    ),
    "unknown": ("invocations of unknown kind", COUNT, _count(lambda summary: summary.kinds.get("unknown", 0)), True),
    "timeouts": ("invocations that timed out", COUNT, _failures(lambda summary: summary.timeouts), True),
    "errors": ("invocations that crashed", COUNT, _failures(lambda summary: summary.errors), True),
    "max_memory": ("greatest Max Memory Used", MB, _count(lambda summary: summary.max_memory_used_mb), True),
    "memory_share": (
        "greatest Max Memory Used, of Memory Size",
        SHARE,
        _count(_memory_share, "memory sizes differ, or the log does not say them"),
        True,
    ),
    "alive_max": (
        "most environments alive at one instant",
        COUNT,
        _of_report(lambda report: None if report.environments is None else report.environments.alive_max, _NO_ROWS),
        False,
    ),
    "busy_max": (
        "most environments running an invocation at one instant",
        COUNT,
        _of_report(lambda report: None if report.environments is None else report.environments.busy_max, _NO_ROWS),
        False,
    ),
    "unfinished": (
        "invocations without a REPORT",
        COUNT,
        _of_report(lambda report: report.unfinished if report.tells_unfinished else None, _NO_STARTS),
        False,
    ),
    "unreadable": ("places that could not be read", COUNT, _of_report(lambda report: report.unreadable, ""), False),
    "client_failures": (
        "requests that failed",
        COUNT,
        _of_report(lambda report: None if report.client is None else report.client.failures, _NO_CLIENT),
        False,
    ),
}


def _quantities() -> dict[str, Quantity]:
    found = [
        Quantity(name, SHARE, meaning, _rate(of, missing, of_log=of_function), of_function)
        for name, (meaning, of, missing, of_function) in _RATES.items()
    ]
    found += [
        Quantity(name, unit, meaning, measure, of_function)
        for name, (meaning, unit, measure, of_function) in _COUNTS.items()
    ]
    found += [
        Quantity(
            f"{name}_{point}", MS, f"{meaning}, {point}", _quantile(of, point, missing, of_log=of_function), of_function
        )
        for name, (meaning, of, missing, of_function) in _TIMES.items()
        for point in ("p50", "p90", "p99", "max")
    ]
    return {quantity.name: quantity for quantity in found}


QUANTITIES = _quantities()
"""Everything a gate can be on, by name."""

_INTERVALS = {*_RATES, *(f"{name}_{point}" for name in _TIMES for point in ("p50", "p90", "p99"))}


def _end(base: str, end: int) -> Measure:
    """The lower (0) or the upper (1) end of a quantity's interval."""

    def measure(report: ColdStartReport, summary: Summary) -> Measured:
        plain = QUANTITIES[base].measure(report, summary)
        if plain.value is None:
            return plain
        if base in _RATES:
            rate = _RATES[base][1](report, summary)
            interval = None if rate is None else rate.interval
        else:
            name, _, point = base.rpartition("_")
            interval = getattr(_TIMES[name][1](report, summary), f"{point}_interval")
        if interval is None:
            return Measured(None, f"{plain.words.removeprefix('of ')} values are too few for an interval")
        return Measured(interval[end], plain.words)

    return measure


def quantity_named(name: str) -> Quantity | None:
    """The quantity, or the end of its interval, that is called so."""
    if name in QUANTITIES:
        return QUANTITIES[name]
    for suffix, end in (("_low", 0), ("_high", 1)):
        base = name.removesuffix(suffix)
        if base != name and base in _INTERVALS:
            plain = QUANTITIES[base]
            return Quantity(
                name, plain.unit, f"an end of the 95 % interval of {base}", _end(base, end), plain.of_function
            )
    return None


def known() -> str:
    """The quantities, a line for each unit."""
    plain = [quantity for quantity in QUANTITIES.values() if quantity.unit != MS]
    lines = [
        (words, ", ".join(quantity.name for quantity in plain if quantity.unit == unit))
        for unit, words in ((SHARE, "%"), (COUNT, "counts"), (MB, "MB"))
    ]
    lines.append(("times", f"{', '.join(_TIMES)}, each with _p50, _p90, _p99 or _max: init_p90"))
    lines.append(("ends", "a rate or a _p50, _p90, _p99 may end in _low or _high: an end of its 95 % interval"))
    return "quantities:\n" + "\n".join(f"  {words:6}  {names}" for words, names in lines)

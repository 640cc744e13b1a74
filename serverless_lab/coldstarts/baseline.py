"""A report beside an earlier one: what has become worse, by statistical test.

For every function in both, these are tested, each for being worse by more than the tolerance:

    cold_rate, failure_rate     the difference of proportions, by Newcombe's interval
    init, restore, duration,    the whole distribution, by the Mann-Whitney test, and its tail: how much lies beyond the
    init_plus_first             90 % quantile of both reports together

All p-values of a comparison are adjusted together by Holm's method: the chance that anything at all is called a
regression although nothing has changed is at most 5 %. What is called an improvement is adjusted in the same way, by
itself. Invocations are taken as independent of each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from serverless_lab.coldstarts.differences import (
    TIMES,
    Distribution,
    RankTest,
    greater,
    holm,
    rate_greater,
    tail_greater,
)
from serverless_lab.coldstarts.invocations import UNKNOWN, WAITED
from serverless_lab.coldstarts.names import many, short_names
from serverless_lab.coldstarts.notes import percent_text
from serverless_lab.coldstarts.report import ColdStartReport
from serverless_lab.coldstarts.statistics import Interval, Sample
from serverless_lab.errors import ReportError

FAMILY_ERROR = 0.05
"""The chance of any false regression among all tests of one comparison."""

# assumed: ours to choose. Less than this is not worth stopping a release, and the same code on another day's hosts
# differs by a few percent.
TOLERANCE = 0.10

REGRESSION, IMPROVEMENT, SAME, TOO_FEW, UNTOLD = "regression", "improvement", "no difference shown", "too few", "untold"

COLD_RATE, FAILURE_RATE = "cold_rate", "failure_rate"


@dataclass(frozen=True)
class FunctionBaseline:
    """What a comparison needs of one function: two proportions as (count, n), None where not told, and times."""

    cold_starts: tuple[int, int] | None
    failures: tuple[int, int] | None
    times: Mapping[str, Distribution]


@dataclass(frozen=True)
class Baseline:
    """An earlier report. `source` is how the user named it; functions are by full name."""

    source: str
    stack_name: str
    functions: Mapping[str, FunctionBaseline]


@dataclass(frozen=True)
class Comparison:
    """One quantity of one function, before and now.

    `before` and `now` are fractions (rates) or the p50 in ms (times; the p90 for the tail). `interval` is the 95 % one
    of the difference of rates; `share` that of pairs in which the time now is the longer one. `p` is adjusted for all
    tests of the comparison; None where there was no test.
    """

    function: str
    quantity: str
    verdict: str
    before: float | None
    now: float | None
    interval: Interval | None = None
    share: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class FunctionVerdict:
    """A function's comparison: `regression` when any of its tests is one; and a sentence."""

    function: str
    verdict: str
    sentence: str
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class BaselineReport:
    """The comparison of a report with a baseline.

    `tests` is how many p-values were adjusted together; `missing` functions are in the baseline alone, `new` ones in
    the report alone.
    """

    source: str
    tolerance: float
    tests: int
    functions: tuple[FunctionVerdict, ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def regressions(self) -> tuple[FunctionVerdict, ...]:
        return tuple(function for function in self.functions if function.verdict == REGRESSION)

    def not_comparable(self) -> str | None:
        """Why this comparison cannot stand for "no regression": nothing was tested, or a rate is no longer told."""
        if not self.tests:
            return "no function is in both with enough values for a test"
        lost = [
            f"{comparison.quantity} of {comparison.function}"
            for function in self.functions
            for comparison in function.comparisons
            if comparison.verdict == UNTOLD and comparison.before is not None
        ]
        return f"{', '.join(lost)} was told before and cannot be told now" if lost else None


# --- what a report is as a baseline ----------------------------------------------------------------------------------


def baseline_of(report: ColdStartReport, source: str) -> Baseline:
    """A report as the baseline of another."""
    rates = {summary.function: summary.cold_starts for summary in report.functions}
    functions = {}
    for name, sample in report.samples.items():
        told = report.tells_failures and name not in report.failures_only
        found = function_baseline(sample, tells_failures=told)
        if rates[name].count is None:
            found = replace(found, cold_starts=None)
        functions[name] = found
    return Baseline(source, report.stack_name, functions)


def function_baseline(sample: Sample, *, tells_failures: bool = True) -> FunctionBaseline:
    known = sample.invocations - sample.kinds.get(UNKNOWN, 0)
    waited = sum(sample.kinds.get(kind, 0) for kind in WAITED)
    failed = sample.timeouts + sample.errors
    return FunctionBaseline(
        cold_starts=(waited, known) if known else None,
        failures=(failed, sample.invocations) if sample.invocations and tells_failures else None,
        times={name: Distribution.of(getattr(sample, array)) for name, array in TIMES.items()},
    )


def read_baseline(path: Path) -> Baseline:
    """The baseline in a report that `--json` saved.

    Raises:
        ReportError: no such file, or not such a report.
    """
    hint = "save one with `lab coldstarts report --json > baseline.json`, or name a run"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ReportError(f"baseline {path} cannot be read: {error}", hint=hint) from error
    if isinstance(data, dict) and "coldstarts" in data:  # what `lab run --json` prints
        data = data["coldstarts"]
    try:
        if data["schema"] != 1:
            raise ReportError(f"baseline {path} has schema {data['schema']!r}, and this lab reads 1", hint=hint)
        functions = {
            str(summary["function"]): FunctionBaseline(
                cold_starts=_pair(summary["cold_starts"]["count"], summary["cold_starts"]["n"]),
                failures=_pair(
                    summary["timeouts"] + summary["errors"] if _tells_failures(data, summary) else None,
                    summary["invocations"],
                ),
                times={name: Distribution.from_json(summary["distributions"][name]) for name in TIMES},
            )
            for summary in data["functions"]
        }
        return Baseline(str(path), str(data["stack_name"]), functions)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReportError(f"baseline {path} is not a report of this version of lab: {error!r}", hint=hint) from error


def _tells_failures(data: Mapping[str, Any], summary: Mapping[str, Any]) -> bool:
    """Whether a report's failures of a function are a share of its invocations. Earlier versions did not say it."""
    return bool(data.get("tells_failures", True)) and summary["function"] not in data.get("failures_only", ())


def _pair(count: int | None, n: int) -> tuple[int, int] | None:
    if count is None or n == 0:
        return None
    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n}")
    return int(count), int(n)


# --- comparing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tested:
    """A comparison with its two one-sided p-values, before they are adjusted; None where nothing could be tested."""

    comparison: Comparison
    worse: float | None = None
    better: float | None = None


def compare(report: ColdStartReport, baseline: Baseline, *, tolerance: float = TOLERANCE) -> BaselineReport:
    """The report beside the baseline; functions are matched by name, or by what is left of it without the stack's.

    Args:
        tolerance: how much worse counts as equal, a fraction of the baseline's value.
    """
    now = baseline_of(report, "")
    pairs = _pairs(report, baseline)
    tested = [
        found
        for name, before_name in pairs.items()
        for found in _tests(name, now.functions[name], baseline.functions[before_name], 1 + tolerance)
    ]
    family = [at for at, found in enumerate(tested) if found.worse is not None]
    worse = dict(zip(family, holm([tested[at].worse or 0.0 for at in family]), strict=True))
    better = dict(zip(family, holm([tested[at].better or 0.0 for at in family]), strict=True))
    final: dict[str, list[Comparison]] = {name: [] for name in pairs}
    for at, found in enumerate(tested):
        comparison = found.comparison
        if at in worse:
            verdict, p = SAME, worse[at]
            if worse[at] <= FAMILY_ERROR:
                verdict = REGRESSION
            elif better[at] <= FAMILY_ERROR:
                verdict, p = IMPROVEMENT, better[at]
            comparison = replace(comparison, verdict=verdict, p=p)
        final[comparison.function].append(comparison)
    short = report.short_names
    return BaselineReport(
        source=baseline.source,
        tolerance=tolerance,
        tests=len(family),
        functions=tuple(_function_verdict(short[name], name, found) for name, found in final.items()),
        missing=tuple(sorted(set(baseline.functions) - set(pairs.values()))),
        new=tuple(sorted(set(now.functions) - set(pairs))),
    )


def _pairs(report: ColdStartReport, baseline: Baseline) -> dict[str, str]:
    """Function now -> the function before: a stack deployed anew gives its functions new tails."""
    short_now = report.short_names
    short_before = short_names(baseline.functions, baseline.stack_name)
    by_short = {short: name for name, short in short_before.items()}
    found = {}
    for name in sorted(short_now):
        if name in baseline.functions:
            found[name] = name
        elif short_now[name] in by_short:
            found[name] = by_short[short_now[name]]
    return found


def _tests(function: str, now: FunctionBaseline, before: FunctionBaseline, factor: float) -> list[_Tested]:
    found = [
        _rate_test(function, COLD_RATE, now.cold_starts, before.cold_starts, factor),
        _rate_test(function, FAILURE_RATE, now.failures, before.failures, factor),
    ]
    for quantity in TIMES:
        first, second = now.times[quantity], before.times[quantity]
        if first.n == 0 and second.n == 0:
            continue
        found.append(_time_test(function, quantity, first, second, factor, tail=False))
        found.append(_time_test(function, f"{quantity}_tail", first, second, factor, tail=True))
    return found


def _rate_test(
    function: str, quantity: str, now: tuple[int, int] | None, before: tuple[int, int] | None, factor: float
) -> _Tested:
    shares = [None if pair is None else pair[0] / pair[1] for pair in (before, now)]
    if now is None or before is None:
        return _Tested(Comparison(function, quantity, UNTOLD, shares[0], shares[1]))
    worse, better = rate_greater(now, before, factor), rate_greater(before, now, factor)
    comparison = Comparison(function, quantity, SAME, shares[0], shares[1], interval=worse.interval)
    return _Tested(comparison, worse.p, better.p)


def _time_test(
    function: str, quantity: str, now: Distribution, before: Distribution, factor: float, *, tail: bool
) -> _Tested:
    point = 0.9 if tail else 0.5
    shown = [_quantile(found, point) for found in (before, now)]
    if not now.n or not before.n:
        return _Tested(Comparison(function, quantity, TOO_FEW, shown[0], shown[1]))
    test = tail_greater if tail else greater
    worse: RankTest = test(now, before, factor)
    better: RankTest = test(before, now, factor)
    if min(worse.p_least, better.p_least) > FAMILY_ERROR:
        return _Tested(Comparison(function, quantity, TOO_FEW, shown[0], shown[1]))
    share = None if tail else greater(now, before).share
    return _Tested(Comparison(function, quantity, SAME, shown[0], shown[1], share=share), worse.p, better.p)


def _quantile(found: Distribution, p: float) -> float | None:
    if not found.n:
        return None
    at = np.searchsorted(np.cumsum(found.counts), math.ceil(p * found.n - 1e-9))
    return float(found.values[at])


# --- words -----------------------------------------------------------------------------------------------------------


def _function_verdict(short: str, name: str, comparisons: Sequence[Comparison]) -> FunctionVerdict:
    by_verdict = {
        verdict: [found for found in comparisons if found.verdict == verdict]
        for verdict in (REGRESSION, IMPROVEMENT, SAME, TOO_FEW, UNTOLD)
    }
    whose = short or "(no name in the log)"
    if by_verdict[REGRESSION]:
        verdict = REGRESSION
        sentence = f"{whose} is worse: {'; '.join(map(comparison_text, by_verdict[REGRESSION]))}"
    elif by_verdict[IMPROVEMENT]:
        verdict = IMPROVEMENT
        sentence = f"{whose} is better: {'; '.join(map(comparison_text, by_verdict[IMPROVEMENT]))}"
    elif by_verdict[SAME]:
        verdict = SAME
        sentence = f"{whose}: no difference shown by {many(len(by_verdict[SAME]), 'test')}"
        rate = next((found for found in by_verdict[SAME] if found.quantity == COLD_RATE), None)
        if rate is not None:
            sentence += f"; {comparison_text(rate)}"
    else:
        verdict = TOO_FEW
        sentence = f"{whose}: too few values for any test"
    if by_verdict[REGRESSION] and by_verdict[IMPROVEMENT]:
        sentence += f"; but better: {'; '.join(map(comparison_text, by_verdict[IMPROVEMENT]))}"
    untold = [found.quantity for found in by_verdict[UNTOLD]]
    if untold:
        sentence += f"; not told in both: {', '.join(untold)}"
    return FunctionVerdict(name, verdict, sentence + ".", tuple(comparisons))


def comparison_text(found: Comparison) -> str:
    """`cold_rate 3.6 % -> 8.1 %, by 4.5 points [2.1, 7.0]`; `init p50 230 ms -> 310 ms, longer in 78 % of pairs`."""
    p = "" if found.p is None or found.verdict == SAME else f" (p {_p_text(found.p)})"
    if found.quantity in (COLD_RATE, FAILURE_RATE):
        if found.before is None or found.now is None or found.interval is None:
            return f"{found.quantity} not told in both"
        low, high = (end * 100 for end in found.interval)
        change = (found.now - found.before) * 100
        return (
            f"{found.quantity} {percent_text(found.before)} -> {percent_text(found.now)}, "
            f"by {change:+.1f} points [{low:+.1f}, {high:+.1f}]{p}"
        )
    name, point = found.quantity.removesuffix("_tail"), "p90" if found.quantity.endswith("_tail") else "p50"
    text = f"{name} {point} {_ms_text(found.before)} -> {_ms_text(found.now)}"
    if found.share is not None:
        text += f", longer in {found.share:.0%} of pairs"
    if point == "p90":
        text += ", tail"
    return text + p


def _ms_text(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def _p_text(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def baseline_json(found: BaselineReport) -> dict[str, Any]:
    """The comparison as plain data, as report.schema.json describes it."""
    return {
        "source": found.source,
        "tolerance": found.tolerance,
        "family_error": FAMILY_ERROR,
        "tests": found.tests,
        "functions": [
            {
                "function": function.function,
                "verdict": function.verdict,
                "sentence": function.sentence,
                "comparisons": [
                    {
                        "quantity": item.quantity,
                        "verdict": item.verdict,
                        "before": item.before,
                        "now": item.now,
                        "difference_interval_95": None if item.interval is None else list(item.interval),
                        "longer_share": item.share,
                        "p_adjusted": item.p,
                    }
                    for item in function.comparisons
                ],
            }
            for function in found.functions
        ],
        "missing": list(found.missing),
        "new": list(found.new),
    }

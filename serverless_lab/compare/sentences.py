"""The verdicts in words: what a variant does to users and to the bill."""

from __future__ import annotations

from collections.abc import Iterator

from serverless_lab.coldstarts.names import many
from serverless_lab.compare.estimates import Estimate
from serverless_lab.compare.report import (
    BETTER,
    BOTH,
    COLD_RATE,
    COST,
    FAILURE_RATE,
    INIT,
    OVER_TIMEOUT,
    P50,
    P99,
    SAME,
    UNTOLD,
    WORSE,
    ComparisonReport,
    Difference,
    LifetimeResult,
    VariantResult,
)

TIMES = {P50: "the latency's p50", P99: "its p99"}


def sentences(report: ComparisonReport, result: VariantResult) -> list[str]:
    """What `result` does, in sentences; none for the baseline."""
    if not result.differences:
        return []
    return list(_sentences(report.of(report.baseline), result))


def _sentences(baseline: VariantResult, result: VariantResult) -> Iterator[str]:
    yield _cold_starts(baseline, result)
    yield from _why(baseline, result)
    yield from _init(baseline, result)
    yield from _latency(baseline, result)
    yield from _bad(baseline, result)
    yield from _cost(baseline, result)


def _cold_starts(baseline: VariantResult, result: VariantResult) -> str:
    found = result.differences[COLD_RATE]
    before, now = baseline.estimates[COLD_RATE].value, result.estimates[COLD_RATE].value
    if found.verdict == UNTOLD or before is None or now is None or found.estimate.interval is None:
        return f"What {result.name} does to cold starts cannot be told: there is no run of it beside the baseline."
    change = f"({percent(before)} -> {percent(now)})"
    low, high = (abs(end) * 100 for end in found.estimate.interval)
    if found.verdict == BETTER:
        return f"{result.name} removes {high:.1f} to {low:.1f} points of cold starts {change}."
    if found.verdict == WORSE:
        return f"{result.name} adds {low:.1f} to {high:.1f} points of cold starts {change}."
    points = signed_points(found.estimate)
    if found.verdict == SAME:
        return f"{result.name} leaves cold starts as they are {change}: the difference is within {points}."
    return f"{result.name} shows no difference in cold starts {change}: it may be {points}."


def _why(baseline: VariantResult, result: VariantResult) -> Iterator[str]:
    """Why cold starts are left."""
    left = result.estimates[COLD_RATE]
    if not left.value or not left.runs or left.count is None:
        return
    a_run = round(left.count / left.runs)
    provisioned = sum(result.facts.provisioned.values())
    if provisioned and provisioned > sum(baseline.facts.provisioned.values()):
        yield (
            f"{many(provisioned, 'environment')} stood ready; the rest of the burst still spills over, "
            f"and {a_run:,} callers a run wait."
        )
    pinged = {(rule["expression"], *rule["functions"]) for rule in result.facts.schedules}
    pinged -= {(rule["expression"], *rule["functions"]) for rule in baseline.facts.schedules}
    if pinged:
        expressions = " and ".join(sorted({str(of[0]) for of in pinged}))
        yield f"A ping ({expressions}) keeps one environment, and {a_run:,} callers a run still found none."


def _init(baseline: VariantResult, result: VariantResult) -> Iterator[str]:
    init, both = result.differences[INIT], result.differences[BOTH]
    if init.verdict in (BETTER, WORSE):
        yield f"Init {_change(baseline, result, INIT)}."
        if init.verdict == BETTER and both.verdict != BETTER:
            yield (
                "The init is shorter and the first request longer by as much: init and first duration together "
                f"{_change(baseline, result, BOTH)}, and that is what a caller waits for."
            )
        elif both.verdict in (BETTER, WORSE):
            yield f"Init and first duration together {_change(baseline, result, BOTH)}."


def _latency(baseline: VariantResult, result: VariantResult) -> Iterator[str]:
    told = [key for key in TIMES if result.differences[key].verdict in (BETTER, WORSE)]
    if told:
        parts = [f"{TIMES[key]} {_change(baseline, result, key)}" for key in told]
        yield _sentence(" and ".join(parts))
    elif all(result.differences[key].verdict == SAME for key in TIMES):
        yield "Clients see the same latency, at p50 and at p99."


def _bad(baseline: VariantResult, result: VariantResult) -> Iterator[str]:
    for key, what in ((OVER_TIMEOUT, "over the API's timeout"), (FAILURE_RATE, "failed")):
        if result.differences[key].verdict in (BETTER, WORSE):
            before, now = baseline.estimates[key].value, result.estimates[key].value
            assert before is not None and now is not None
            yield f"Requests {what}: {percent(before)} -> {percent(now)}."


def _cost(baseline: VariantResult, result: VariantResult) -> Iterator[str]:
    before, now = baseline.estimates[COST].value, result.estimates[COST].value
    if before is None or now is None:
        return
    change = now - before
    month = result.months[0]
    because = ""
    if month.standing:
        hours = result.variant.provisioned_hours_per_month
        always = ""
        if month.standing != month.standing_all_month:
            always = f"; all month it would be {usd(float(month.standing_all_month))}"
        because = f": {usd(float(month.standing))} for provisioned concurrency, {hours:g} hours of the month{always}"
    same = COST in result.differences and result.differences[COST].verdict == SAME
    if same or abs(change) < 0.005:
        yield f"The bill stays as it is ({usd(before)} -> {usd(now)} a month){because}."
    else:
        verb = "more" if change > 0 else "less"
        yield f"It costs {usd(abs(change))} a month {verb} ({usd(before)} -> {usd(now)}){because}."


def lifetime_sentence(report: ComparisonReport, found: LifetimeResult) -> str:
    """What warming comes to when an idle environment is kept so long."""
    rate = found.cold_rate
    kept = f"{found.idle_lifetime_ms / 60_000:g} minutes"
    if rate.value is None:
        return f"With idle environments kept for {kept}: not measured yet."
    told = f"With idle environments kept for {kept}, {report.sensitive} has {percent(rate.value)} cold starts"
    if found.difference is None or found.difference.estimate.interval is None:
        return told + "."
    return f"{told}, {signed_points(found.difference.estimate)} of the baseline's: {found.difference.verdict}."


def headline(report: ComparisonReport) -> str:
    """The answer in one line: who does best, and what that costs."""
    known = [found for found in report.variants if found.estimates[COLD_RATE].value is not None]
    if not known:
        return "nothing was measured yet"
    better = [found for found in known if COLD_RATE in found.differences]
    better = [found for found in better if found.differences[COLD_RATE].verdict == BETTER]
    if not better:
        rate = report.of(report.baseline).estimates[COLD_RATE].value
        told = "" if rate is None else f", {percent(rate)}"
        return f"no variant is shown to have fewer cold starts than {report.baseline}{told}"
    best = min(better, key=lambda found: found.estimates[COLD_RATE].value or 0.0)
    rate = best.estimates[COLD_RATE].value
    assert rate is not None
    before = report.of(report.baseline).estimates[COLD_RATE].value
    of = "" if before is None else f", {report.baseline} has {percent(before)}"
    cost = best.estimates[COST].value
    money = "" if cost is None else f", for {usd(cost)} a month"
    return f"{best.name} has the fewest cold starts: {percent(rate)}{of}{money}"


# --- pieces ----------------------------------------------------------------------------------------------------------


def percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def usd(value: float) -> str:
    return f"${value:,.2f}"


def signed_points(estimate: Estimate) -> str:
    """`-1.5 to -0.5 points`."""
    assert estimate.interval is not None
    low, high = (end * 100 for end in estimate.interval)
    return f"{low:+.1f} to {high:+.1f} points"


def milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms"


def _change(baseline: VariantResult, result: VariantResult, key: str) -> str:
    """`912 ms -> 611 ms (310 to 290 ms less)`."""
    before, now = baseline.estimates[key].value, result.estimates[key].value
    difference: Difference = result.differences[key]
    if before is None or now is None or difference.estimate.interval is None:
        return "cannot be told"
    low, high = difference.estimate.interval
    if high < 0:
        span = f"{-high:,.0f} to {-low:,.0f} ms less"
    elif low > 0:
        span = f"{low:,.0f} to {high:,.0f} ms more"
    else:
        span = f"{low:+,.0f} to {high:+,.0f} ms"
    return f"{milliseconds(before)} -> {milliseconds(now)} ({span})"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."

"""The comparison as plain data: comparison.schema.json beside this module describes it."""

from __future__ import annotations

from typing import Any

from serverless_lab import __version__
from serverless_lab.compare.estimates import Estimate
from serverless_lab.compare.money import Month
from serverless_lab.compare.report import MEASURES, ComparisonReport, Difference, LifetimeResult, VariantResult
from serverless_lab.compare.sentences import headline, lifetime_sentence, sentences

SCHEMA = 1


def comparison_json(report: ComparisonReport) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "made_by": f"serverless-lab {__version__}",
        "scenario": report.scenario,
        "description": report.description,
        "variants_from": report.source,
        "target": report.target,
        "clock": report.clock,
        "baseline": report.baseline,
        "seeds": list(report.seeds),
        "headline": headline(report),
        "traffic": None if report.traffic is None else dict(report.traffic),
        "variants": [_variant(report, found) for found in report.variants],
        "sensitivity": None
        if report.sensitive is None
        else {"variant": report.sensitive, "idle_lifetimes": [_lifetime(report, one) for one in report.lifetimes]},
        "missing": [{"variant": name, "seed": seed} for name, seed in report.missing],
        "machine": dict(report.machine),
        "real_seconds": round(report.real_seconds, 1),
        "notes": list(report.notes),
    }


def _variant(report: ComparisonReport, found: VariantResult) -> dict[str, Any]:
    return {
        "name": found.name,
        "description": found.variant.description,
        "parameters": dict(found.parameters),
        "scenario": dict(found.variant.scenario),
        "seeds": list(found.seeds),
        "provisioned": dict(found.facts.provisioned),
        "measures": {measure.key: _estimate(found.estimates[measure.key]) for measure in MEASURES},
        "differences": {key: _difference(difference) for key, difference in found.differences.items()},
        "cost": _cost(found),
        "sentences": sentences(report, found),
    }


def _estimate(found: Estimate) -> dict[str, Any]:
    return {
        "value": _rounded(found.value),
        "interval_95": None if found.interval is None else [_rounded(end) for end in found.interval],
        "n": found.n,
        "runs": found.runs,
        "count": found.count,
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {**_estimate(found.estimate), "verdict": found.verdict, "paired": found.paired}


def _lifetime(report: ComparisonReport, found: LifetimeResult) -> dict[str, Any]:
    return {
        "idle_lifetime_ms": found.idle_lifetime_ms,
        "seeds": list(found.seeds),
        "cold_rate": _estimate(found.cold_rate),
        "difference": None if found.difference is None else _difference(found.difference),
        "sentence": lifetime_sentence(report, found),
    }


def _cost(found: VariantResult) -> dict[str, Any] | None:
    """Of a month, the mean over the runs; the bill is that of the first run's month."""
    if not found.months:
        return None

    def mean(name: str) -> float:
        of: list[Month] = list(found.months)
        return round(sum(float(getattr(month, name)) for month in of) / len(of), 6)

    return {
        "provisioned_hours_per_month": found.variant.provisioned_hours_per_month,
        "provisioned_usd": mean("standing"),
        "provisioned_all_month_usd": mean("standing_all_month"),
        "pings_usd": mean("pings"),
        "traffic_usd": mean("traffic"),
        "bill": found.months[0].bill.to_json(),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)

"""A comparison as one HTML page: everything in one file, nothing asked of the network, no script that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serverless_lab import __version__
from serverless_lab.coldstarts.names import many
from serverless_lab.compare.report import COLD_RATE, COST, MEASURES, P99
from serverless_lab.compare.sentences import headline, lifetime_sentence, sentences, usd
from serverless_lab.reporting import comparison
from serverless_lab.reporting.markup import Html, element
from serverless_lab.reporting.page import whole_page
from serverless_lab.reporting.sections import Bullets, Facts, Part, Section, Sentence, Table
from serverless_lab.reporting.words import ABSENT, Cells, span_text

if TYPE_CHECKING:
    from serverless_lab.compare.report import ComparisonReport, VariantResult

DATA_ID = "comparison"
"""The id of the block that holds the comparison's JSON."""

_RATE = MEASURES[0]
_BY_KEY = {measure.key: measure for measure in MEASURES}


def comparison_page(report: ComparisonReport) -> str:
    """The page."""
    footer = [
        f"Made by serverless-lab {__version__}. All intervals are 95 % intervals. "
        "The comparison's JSON is in this page, in the element with the id “comparison”."
    ]
    return whole_page(
        title=f"Compared: {report.scenario}",
        headline=_headline(report),
        context=comparison.context(report),
        tiles=_tiles(report),
        sections=sections_of(report),
        footer=footer,
        data=report.to_json(),
        data_id=DATA_ID,
    )


def sections_of(report: ComparisonReport) -> list[Section]:
    """What is on the page below the headline; a section without anything to say is left away."""
    from serverless_lab.reporting.comparison_figures import comparison_figures

    found = [
        Section("verdicts", "What each does", _verdicts(report)),
        Section("charts", "Charts", comparison_figures(report)),
        Section("variants", "All variants", _values(report)),
        Section("differences", f"Differences from {report.baseline}", _differences(report)),
        Section("sensitivity", "Idle lifetime", _sensitivity(report)),
        Section("cost", "The bill of a month", _cost(report)),
        Section("notes", "Notes", _notes(report)),
        Section("about", "About this comparison", _about(report)),
    ]
    return [section for section in found if section.parts]


def _headline(report: ComparisonReport) -> Html:
    return element("h1", f"{report.scenario}: what helps", element("small", headline(report)))


def _tiles(report: ComparisonReport) -> list[tuple[str, str, str]]:
    tiles = []
    for result in report.variants[:8]:
        rate = result.estimates[COLD_RATE]
        if rate.value is None:
            continue
        beside = []
        for key, name in ((P99, "p99"), (COST, "")):
            value = result.estimates[key].value
            if value is not None:
                beside.append(f"{name} {comparison.number(_BY_KEY[key], value)}".strip() + (" ms" if name else ""))
        tiles.append((f"{result.name}, cold", comparison.number(_RATE, rate.value), " · ".join(beside)))
    return tiles


def _verdicts(report: ComparisonReport) -> list[Part]:
    lines = [" ".join(said) for result in report.variants if (said := sentences(report, result))]
    return [Bullets(lines)] if lines else []


def _values(report: ComparisonReport) -> list[Part]:
    captions = ("Cold starts", "Latency", "Environments and cost")
    parts: list[Part] = [
        Table(caption, cells) for caption, cells in zip(captions, comparison.value_cells(report), strict=True)
    ]
    return [*parts, Sentence(comparison.LEGEND)]


def _differences(report: ComparisonReport) -> list[Part]:
    cells = comparison.difference_cells(report)
    return [Table("Each measure, less the baseline's", cells)] if cells.rows else []


def _sensitivity(report: ComparisonReport) -> list[Part]:
    if not report.lifetimes:
        return []
    return [
        Sentence(
            "AWS does not publish how long it keeps an idle environment, and it has changed over the years. What "
            f"{report.sensitive} does may depend on it."
        ),
        Table(f"{report.sensitive}, by idle lifetime", comparison.lifetime_cells(report)),
        Bullets([lifetime_sentence(report, found) for found in report.lifetimes]),
    ]


def _cost(report: ComparisonReport) -> list[Part]:
    traffic = comparison.traffic_text(report)
    if traffic is None:
        return []
    heads = ["variant", ">provisioned", ">were it all month", ">pings", ">requests", ">in all"]
    rows = [_cost_row(result) for result in report.variants if result.months]
    return [Sentence(f"Of {traffic}."), Table("USD a month", Cells(heads, rows))]


def _cost_row(result: VariantResult) -> list[str]:
    def mean(name: str) -> float:
        return sum(float(getattr(month, name)) for month in result.months) / len(result.months)

    always = usd(mean("standing_all_month")) if mean("standing") != mean("standing_all_month") else ABSENT
    return [
        result.name,
        usd(mean("standing")),
        always,
        f"${mean('pings'):,.4f}",
        usd(mean("traffic")),
        usd(mean("total")),
    ]


def _notes(report: ComparisonReport) -> list[Part]:
    lines = list(report.notes)
    if report.missing:
        lines.insert(0, f"{many(len(report.missing), 'run')} not made yet: {comparison.missing_text(report)}")
    return [Bullets(lines)] if lines else []


def _about(report: ComparisonReport) -> list[Part]:
    pairs = [("Scenario", report.scenario)]
    if report.description:
        pairs.append(("Description", report.description))
    pairs += [("Variants", f"{len(report.variants)} of {report.source}"), ("Target", report.target)]
    if report.clock:
        pairs.append(("Clock", report.clock))
    pairs.append(("Seeds", ", ".join(map(str, report.seeds))))
    for result in report.variants:
        told = ", ".join(f"{name}={value}" for name, value in result.parameters.items()) or "the template's defaults"
        pairs.append((f"Variant {result.name}", told))
    pairs.append(("Measuring took", span_text(round(report.real_seconds) * 1000)))
    pairs.append(("Machine", ", ".join(f"{name} {value}" for name, value in report.machine.items() if value)))
    return [Facts(pairs)]

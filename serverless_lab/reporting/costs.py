"""A bill in words and cells, for a terminal, Markdown and the HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from serverless_lab.cost.bill import Bill, BillLine, amount_of, dollars
from serverless_lab.cost.report import CostReport
from serverless_lab.reporting.sections import Bullets, Part, Section, Sentence, Table
from serverless_lab.reporting.words import Cells

if TYPE_CHECKING:
    from rich.console import Console

    from serverless_lab.cost.estimate import Estimate

MILLION = Decimal(1_000_000)


def headline(report: CostReport) -> str:
    """The answer in one line."""
    if report.month is not None and report.requests_per_month is not None:
        return f"{dollars(report.month.total)} for a month of {report.requests_per_month:,.0f} {report.requests_word}"
    return f"{dollars(report.bill.total)} for {report.requests:,} {report.requests_word}"


def context(report: CostReport) -> str:
    words = [f"{report.basis} {report.name}", report.context, f"prices of {report.bill.region}"]
    if report.bill.free_tier:
        words.append("free tier taken off")
    return ", ".join(word for word in words if word)


def sentences(report: CostReport) -> list[str]:
    """What else there is to say in numbers."""
    found = []
    if report.month is not None and report.once is not None:
        found.append(f"What was measured, {report.requests:,} {report.requests_word}: {dollars(report.once.total)}.")
    if report.per_million is not None:
        found.append(f"A million such {report.requests_word}: {dollars(report.per_million.total)}.")
    for cost in report.provisioned:
        found.append(
            f"Provisioned concurrency ({cost.architecture}): {cost.allocated_gb_s:,.0f} GB-s allocated, "
            f"{cost.used_gb_s:,.0f} GB-s used ({float(cost.utilisation):.1%}); it pays for itself above "
            f"{float(cost.break_even):.0%}."
        )
    return found


def cells(found: Bill, *, each_named: bool = False) -> Cells:
    """The lines of a bill, with its total. `each_named` has the service in every row and not in its first alone."""
    rows = []
    service = None
    for line in found.lines:
        rows.append(
            [
                line.service if each_named or line.service != service else "",
                line.what,
                quantity_text(line),
                line.unit,
                price_text(line),
                dollars(line.amount),
                line.known,
            ]
        )
        service = line.service
    total = ["all", "", "", "", "", dollars(found.total), ""]
    return Cells(["service", "what", ">quantity", "unit", ">price", ">USD", "quantity is"], rows, total)


def quantity_text(line: BillLine) -> str:
    free = f" ({amount_of(line.free, line.unit)} free)" if line.free else ""
    return f"{amount_of(line.quantity, line.unit)}{free}"


def price_text(line: BillLine) -> str:
    """Of a unit, or of a million where a unit's price has more zeros than anybody counts."""
    if line.unit.startswith("GB"):
        return f"${_digits(line.unit_price)}"
    return f"${_digits(line.unit_price * MILLION)} /M"


def _digits(price: Decimal) -> str:
    """Two decimals at least, and all there are."""
    text = f"{price.normalize():f}"
    return f"{price:,.2f}" if len(text.partition(".")[2]) <= 2 else text


def lists(report: CostReport) -> Iterable[tuple[str, Sequence[str]]]:
    """(title, lines) of what stands below the table."""
    yield "What surprises people", report.surprises
    if report.unknown:
        yield "Not in it, because it is not known", report.unknown
    yield "Prices that are assumed for this Region", report.assumed
    yield "Notes", report.notes


# --- a terminal ------------------------------------------------------------------------------------------------------


def print_cost(report: CostReport, console: Console) -> None:
    from rich.text import Text

    from serverless_lab.reporting.tables import draw

    console.print(Text(headline(report), style="bold"), highlight=False)
    console.print(Text(context(report)), highlight=False)
    console.print()
    console.print(draw(cells(report.bill)), highlight=False)
    for sentence in sentences(report):
        console.print(Text(sentence), highlight=False)
    for title, lines in lists(report):
        if lines:
            console.print()
            console.print(Text(title, style="bold"), highlight=False)
            for line in lines:
                console.print(Text(f"- {line}"), highlight=False)


def print_estimate(found: Estimate, scenario: str, console: Console) -> None:
    from rich.text import Text

    from serverless_lab.reporting.tables import draw

    title = f"{found.requests:,} requests of {scenario}"
    console.print(Text(title, style="bold"), highlight=False)
    for line in found.lines():
        console.print(Text(line), highlight=False)
    console.print()
    console.print(draw(estimate_cells(found)), highlight=False)
    for line in found.assumptions:
        console.print(Text(f"- {line}"), highlight=False)


def estimate_cells(found: Estimate) -> Cells:
    """Both ends by service, and between them what was measured."""
    bills = [found.low, *([] if found.likely is None else [found.likely]), found.high]
    services = dict.fromkeys(service for one in bills for service in one.by_service())
    rows = [[service, *(dollars(one.by_service().get(service, Decimal(0))) for one in bills)] for service in services]
    heads = [">at least", *([] if found.likely is None else [">as measured"]), ">at most"]
    return Cells(["service", *heads], rows, ["all", *(dollars(one.total) for one in bills)])


# --- Markdown --------------------------------------------------------------------------------------------------------


def cost_markdown(report: CostReport) -> str:
    from serverless_lab.reporting.markdown import list_lines, table_lines, text

    lines = [f"## Cost: {text(headline(report))}", "", text(context(report)), ""]
    lines += table_lines(cells(report.bill))
    said = sentences(report)
    if said:
        lines += ["", *(f"* {text(sentence)}" for sentence in said)]
    for title, below in lists(report):
        lines += list_lines(title, below)
    return "\n".join(lines) + "\n"


# --- the page --------------------------------------------------------------------------------------------------------


def cost_section(report: CostReport) -> Section:
    """The section of the HTML report of a run."""
    parts: list[Part] = [Sentence(f"{headline(report)}. {' '.join(sentences(report))}")]
    parts.append(Table(f"The bill of this {report.basis}, in USD", cells(report.bill, each_named=True)))
    if report.surprises:
        parts += [Sentence("What surprises people:"), Bullets(report.surprises)]
    below = [f"Not in it, because it is not known: {'; '.join(report.unknown)}."] if report.unknown else []
    below += [f"Assumed price of {line}." for line in report.assumed]
    parts += [
        Sentence("Notes:"),
        Bullets([*below, *report.notes, "A month at your traffic: lab cost --requests-per-month N."]),
    ]
    return Section("cost", "Cost", parts)

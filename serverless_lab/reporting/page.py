"""The frame of a page: one HTML file, nothing asked of the network, no script that runs. What is on it is others'.

`document.py` makes the page of a cold-start report, `comparison_page.py` that of a comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from serverless_lab import __version__
from serverless_lab.reporting.markup import Html, clean, data_block, element, joined
from serverless_lab.reporting.sections import Bullets, Facts, Figure, Part, Section, Sentence, Table

ROWS_MAX = 150
"""A longer table is no overview; the JSON and --csv have all rows."""

CELL_MAX = 120

# Nothing may be loaded and no script may run, whatever got into the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def whole_page(
    *,
    title: str,
    headline: Html,
    context: str,
    tiles: Sequence[tuple[str, str, str]],
    sections: Sequence[Section],
    footer: Sequence[str],
    data: Mapping[str, Any],
    data_id: str,
) -> str:
    """The page.

    Args:
        headline: its h1.
        tiles: the few numbers that most readers come for: (name, value, what stands beside it).
        data: is embedded as JSON in the element `data_id`.
    """
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("meta", name_="generator", content=f"serverless-lab {__version__}"),
        element("title", title),
        Html(f"<style>{style}</style>"),
    )
    links = [element("a", section.title, href=f"#{section.identifier}") for section in sections]
    body = element(
        "body",
        element("a", "Skip to the report", class_="skip", href="#main"),
        element("header", headline, element("p", context, class_="context")),
        element("nav", element("ul", [element("li", link) for link in links]), aria_label="Sections"),
        element("main", _tiles(tiles), [section_html(section) for section in sections], id="main"),
        element("footer", element("p", *footer)),
        data_block(data_id, data),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _tiles(tiles: Sequence[tuple[str, str, str]]) -> Html:
    return element(
        "dl",
        [
            element("div", element("dt", name), element("dd", element("strong", value), element("span", beside)))
            for name, value, beside in tiles
        ],
        class_="tiles",
    )


def section_html(section: Section) -> Html:
    name = f"{section.identifier}-title"
    return element(
        "section",
        element("h2", section.title, id=name),
        [_part(part) for part in section.parts],
        id=section.identifier,
        aria_labelledby=name,
    )


def _part(part: Part) -> Html:
    match part:
        case Sentence(text):
            return element("p", text)
        case Bullets(lines):
            return element("ul", [element("li", line) for line in lines])
        case Facts(pairs):
            rows = [element("div", element("dt", name), element("dd", value)) for name, value in pairs]
            return element("dl", rows, class_="facts")
        case Table():
            return _table(part)
        case Figure():
            return _figure(part)


def _figure(figure: Figure) -> Html:
    from serverless_lab.reporting.drawing import legend_mark

    legend = [element("li", legend_mark(entry.shape, entry.style), f" {entry.name}") for entry in figure.legend]
    title = f"{figure.identifier}-title"
    return element(
        "figure",
        element("h3", figure.title, id=title),
        element("ul", legend, class_="legend") if legend else "",
        element("div", figure.wide, class_="wide"),
        element("div", figure.narrow, class_="narrow"),
        element("figcaption", figure.caption),
        id=figure.identifier,
        aria_labelledby=title,
    )


def _table(table: Table) -> Html:
    """A table whose rows become cards on a phone.

    Each cell carries its column's name for that, and every role is named: what is not laid out as a table is none to a
    screen reader otherwise.
    """
    heads = table.cells.heads
    labels = column_labels(heads)
    numeric = [head.startswith(">") for head in heads]

    def cell(at: int, text: str) -> Html:
        text = clean(text, CELL_MAX if numeric[at] or at == 0 else 1_000)
        lines = joined(part for line in text.split("\n") for part in (element("br"), line))[len("<br>") :]
        if at == 0:
            return element("th", Html(lines), scope="row", role="rowheader")
        return element("td", Html(lines), role="cell", class_="number" if numeric[at] else None, data_label=labels[at])

    def row(texts: Sequence[str], style: str | None = None) -> Html:
        return element("tr", [cell(at, text) for at, text in enumerate(texts)], role="row", class_=style)

    rows = [row(texts) for texts in table.cells.rows[:ROWS_MAX]]
    if len(table.cells.rows) > ROWS_MAX:
        note = f"{len(table.cells.rows) - ROWS_MAX:,} more rows are not shown; --csv and --json have them."
        after = element("p", note, class_="more")
    else:
        after = Html("")
    if table.cells.total is not None:
        rows.append(row(table.cells.total, "total"))
    head = [
        element("th", label, scope="col", role="columnheader", class_="number" if number else None)
        for label, number in zip(labels, numeric, strict=True)
    ]
    drawn = element(
        "table",
        element("caption", table.caption, class_="hidden" if table.folded else None),
        element("thead", element("tr", head, role="row"), role="rowgroup"),
        element("tbody", rows, role="rowgroup"),
        role="table",
    )
    whole = joined([drawn, after])
    return element("details", element("summary", table.caption), whole) if table.folded else whole


def column_labels(heads: Iterable[str]) -> list[str]:
    """Each column's name by itself: in `init p50`, `p90`, `max` the latter two are of init as well."""
    found = []
    group = ""
    for head in heads:
        name = head.lstrip(">")
        first, _, last = name.rpartition(" ")
        if last == "p50":
            group = f"{first} " if first else ""
        found.append(f"{group}{name}" if name in ("p90", "p99", "max") else name)
    return found

"""The cold-start report as Markdown: for pull requests, wikis, and GitHub's step summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from serverless_lab.reporting import words
from serverless_lab.reporting.words import Cells

if TYPE_CHECKING:
    from serverless_lab.coldstarts.judgement import Judgement
    from serverless_lab.coldstarts.report import ColdStartReport

BINS_MAX = 60
"""More rows than this are no overview; --csv has them all."""


def markdown_text(report: ColdStartReport, judgement: Judgement | None = None) -> str:
    """The report in GitHub's Markdown. What it was held against comes first: it is what a reader looks for."""
    return "\n".join(_lines(report, judgement)) + "\n"


def _lines(report: ColdStartReport, judgement: Judgement | None) -> Iterable[str]:
    yield f"## Cold starts: {text(words.headline(report))}"
    yield ""
    yield text(words.context(report))
    if judgement is not None:
        yield from _verdicts(judgement)
        yield from list_lines(
            f"Beside {judgement.comparison.source}" if judgement.comparison is not None else "",
            words.comparison_lines(judgement),
        )
    if report.functions:
        yield ""
        yield "### By " + (", ".join(report.by) or "function")
        for cells in words.group_cells(report):
            yield ""
            yield from table_lines(cells)
        yield ""
        yield f"<sub>{text(words.LEGEND)}</sub>"
    if report.total.kinds:
        yield ""
        yield from (f"* {text(line)}" for line in words.kinds_text(report.total))
        yield from (f"* {text(f'{what}: {sentence}')}" for what, sentence in words.about_environments(report))
    if len(report.bins) > 1 and "bin" not in report.by:
        cells = words.bin_cells(report)
        yield ""
        yield "### Over time"
        yield ""
        yield from table_lines(Cells(cells.heads, cells.rows[:BINS_MAX]))
        if len(cells.rows) > BINS_MAX:
            yield ""
            yield f"{len(cells.rows) - BINS_MAX:,} more bins are not shown."
    if report.client is not None:
        yield ""
        yield "### As the client saw it"
        yield ""
        yield text("; ".join(words.client_lines(report.client)))
        yield ""
        yield from table_lines(words.client_cells(report.client))
    yield from list_lines("Notes", report.notes)
    yield from list_lines("Could not be read", list(words.unreadable_lines(report)))


def _verdicts(judgement: Judgement) -> Iterable[str]:
    if not judgement.verdicts:
        return
    yield ""
    yield "### Gates"
    yield ""
    rows = [
        [verdict.outcome.upper(), verdict.gate.text, verdict.sentence]
        for verdict in sorted(judgement.verdicts, key=lambda verdict: verdict.outcome == "passed")
    ]
    yield from table_lines(Cells(["outcome", "gate", "measured"], rows))


def list_lines(title: str, lines: Sequence[str]) -> Iterable[str]:
    if not lines:
        return
    yield ""
    yield f"### {text(title)}"
    yield ""
    yield from (f"* {text(line)}" for line in lines)


def table_lines(cells: Cells) -> Iterable[str]:
    yield _row([head.lstrip(">") for head in cells.heads])
    yield "|" + "|".join("---:" if head.startswith(">") else "---" for head in cells.heads) + "|"
    yield from map(_row, cells.rows)
    if cells.total is not None:
        yield _row(cells.total)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text(cell).replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"


_SPECIAL = {"\\": "\\\\", "<": "&lt;", ">": "&gt;", "*": "\\*", "_": "\\_", "`": "\\`", "[": "\\[", "]": "\\]"}


def text(text: str) -> str:
    """`text` so that Markdown shows it as it is: a log may hold anything."""
    return "".join(_SPECIAL.get(character, character) for character in text)

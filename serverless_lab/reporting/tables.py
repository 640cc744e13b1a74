"""The cold-start report as text for a terminal.

Sense does not hang on colour. Rich is imported only when a table is drawn, so listing commands stays quick.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from serverless_lab.reporting import words
from serverless_lab.reporting.words import Cells, rate_text, span_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from serverless_lab.coldstarts.judgement import Judgement
    from serverless_lab.coldstarts.report import ColdStartReport

BLOCKS = "▁▂▃▄▅▆▇█"
NONE = "·"
SPARKLINE_WIDTH = 60


def render_report(report: ColdStartReport, judgement: Judgement | None = None, *, width: int = 100) -> str:
    """The report as plain text without colour, `width` characters wide."""
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, width=width, color_system=None, force_terminal=False, highlight=False)
    print_report(report, console, judgement)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def print_report(report: ColdStartReport, console: Console, judgement: Judgement | None = None) -> None:
    """The report on `console`, in its width and, where it has them, its colours."""
    from rich.text import Text

    for part in parts(report, judgement):
        if isinstance(part, Text) and part.overflow == "ignore":
            # Rich breaks a word that is wider than the screen, or, told not to, nothing at all.
            lines = [part.plain] if part.no_wrap else _between_words(part.plain, console.width)
            for line in lines:
                console.print(
                    Text(line, style=part.style), highlight=False, crop=False, overflow="ignore", no_wrap=True
                )
        else:
            console.print(part, highlight=False)


def _between_words(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def sparkline(values: Sequence[int], width: int = SPARKLINE_WIDTH) -> str:
    """One block per value, as high as its share of the greatest; `·` for 0. More than `width` values are added up."""
    if not values:
        return ""
    step = -(-len(values) // width)
    sums = [sum(values[at : at + step]) for at in range(0, len(values), step)]
    top = max(sums)
    return "".join(NONE if value == 0 else BLOCKS[-(-value * len(BLOCKS) // top) - 1] for value in sums)


def parts(report: ColdStartReport, judgement: Judgement | None = None) -> Iterable[RenderableType]:
    """What is drawn, from top to bottom."""
    from rich.text import Text

    yield Text(words.headline(report), style="bold")
    yield Text(words.context(report), overflow="ignore")
    if report.total.kinds:
        for line in words.kinds_text(report.total):
            yield Text(line)
    if report.functions:
        counts, times = words.group_cells(report)
        yield Text()
        yield draw(counts)
        yield ""
        yield draw(times)
        yield Text(words.LEGEND, style="dim")
    if len(report.bins) > 1 and "bin" not in report.by:
        yield Text()
        yield from _over_time(report)
    about = words.about_environments(report)
    if about:
        yield Text()
        for what, sentence in about:
            yield Text(f"{what:13}  {sentence}")
    if report.client is not None:
        yield Text()
        yield Text("As the client saw it", style="bold")
        for line in words.client_lines(report.client):
            yield Text(line)
        yield draw(words.client_cells(report.client))
        if report.client.joined:
            yield Text(f"Cold starts a client waited for: {rate_text(report.client.cold_starts)}")
    yield from _list("Notes", report.notes)
    # A place is copied as it stands, so its line is never broken.
    yield from _list("Could not be read", list(words.unreadable_lines(report)), no_wrap=True)
    if judgement is not None:
        yield from _list("Gates", words.verdict_lines(judgement))
        if judgement.comparison is not None:
            yield from _list(f"Beside {judgement.comparison.source}", words.comparison_lines(judgement))


def _list(title: str, lines: Sequence[str], *, no_wrap: bool = False) -> Iterable[RenderableType]:
    """Lines under a title. They break between words: never within a path that is wider than the screen."""
    from rich.text import Text

    if not lines:
        return
    yield Text()
    yield Text(title, style="bold")
    for line in lines:
        yield Text(f"- {line}", overflow="ignore", no_wrap=no_wrap)


def _over_time(report: ColdStartReport) -> Iterable[RenderableType]:
    from rich.text import Text

    if report.total.cold_starts.count is not None:
        counts = [summary.cold_starts.count or 0 for summary in report.bins]
        together = -(-len(counts) // SPARKLINE_WIDTH)
        per = span_text((report.bin_ms or 0) * together)
        most = max(sum(counts[at : at + together]) for at in range(0, len(counts), together))
        yield Text(f"Cold starts over time  {sparkline(counts)}  at most {most:,} in {per}")
    yield draw(words.bin_cells(report))


def draw(cells: Cells) -> Table:
    """The table, as wide as it must be."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for head in cells.heads:
        right = head.startswith(">")
        table.add_column(head.lstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in cells.rows:
        table.add_row(*row)
    if cells.total is not None:
        table.add_section()
        table.add_row(*cells.total)
    return table

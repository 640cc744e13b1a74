"""What a page is made of: sections of sentences, tables, lists and figures, before anybody has drawn them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from serverless_lab.reporting.markup import Html
from serverless_lab.reporting.words import Cells


@dataclass(frozen=True)
class Sentence:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Names and what they are: (name, value)."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table with its caption. `folded` shows only the caption until a reader asks for more."""

    caption: str
    cells: Cells
    folded: bool = False


@dataclass(frozen=True)
class Legend:
    """One mark of a figure: its CSS class, its shape (see figures.py) and its name."""

    style: str
    shape: str
    name: str


@dataclass(frozen=True)
class Figure:
    """A chart, drawn twice: for a page and for a phone. `caption` says what is seen, `text` what it amounts to.

    `text` is the alternative for those who do not see the chart.
    """

    identifier: str
    title: str
    caption: str
    text: str
    wide: Html
    narrow: Html
    legend: Sequence[Legend] = ()


Part = Sentence | Bullets | Facts | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what is below it. `identifier` is the page's anchor: letters and hyphens."""

    identifier: str
    title: str
    parts: Sequence[Part] = field(default_factory=tuple)

"""The table of AWS behaviours: a row, how a test becomes one, and the page that is made of all of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])


class Area(Enum):
    """The value is the heading on the page."""

    PROVISIONED_CONCURRENCY = "Provisioned concurrency"
    CONCURRENCY = "Concurrency and throttles"
    INIT = "Init: failures and repeats"
    FAILURES = "Timeouts and crashes"
    LIMITS = "Payloads and limits"
    API_GATEWAY = "API Gateway statuses"
    LOGS = "Log formats"
    INSIGHTS = "Logs Insights"
    ASYNC = "Asynchronous invocations and event sources"
    ENVIRONMENT = "Execution environment"
    RUNTIMES = "Runtimes"
    VERSIONS = "Versions, aliases, updates and Function URLs"


class Grade(Enum):
    DOCUMENTED = "documented"
    """AWS says so on a page."""
    RECORDED = "recorded"
    """Seen in answers or logs of AWS itself that somebody published."""
    MEASURED = "measured"
    """Measured on AWS by a third party."""
    ASSUMED = "assumed"
    """Nobody says so; the row says what the emulator does."""


@dataclass(frozen=True)
class Behaviour:
    """One row.

    Args:
        says: what AWS does, in one sentence.
        source: a URL (or several, separated by blanks), or for what is assumed the reason.
        differs: what the emulator does otherwise; "" where it does as AWS does.
        shown_by: the test, as `path::name`; "" where none can show it.
    """

    area: Area
    says: str
    source: str
    grade: Grade
    differs: str = ""
    shown_by: str = ""


_rows: list[Behaviour] = []


def aws(
    area: Area, says: str, *, source: str, grade: Grade = Grade.DOCUMENTED, differs: str = ""
) -> Callable[[Test], Test]:
    """Marks a test as the one that shows a behaviour. With `differs` it shows what the emulator does instead."""

    def mark(test: Test) -> Test:
        path = test.__module__.replace(".", "/") + ".py"
        _rows.append(Behaviour(area, says, source, grade, differs, f"{path}::{test.__name__}"))
        return test

    return mark


def rows() -> list[Behaviour]:
    """Every row, in the order of areas and then of the tests; what no test shows comes last."""
    from tests.fidelity.left_out import LEFT_OUT

    folder = Path(__file__).parent
    for module in sorted(folder.glob("test_*.py")):
        importlib.import_module(f"tests.fidelity.{module.stem}")
    areas = list(Area)
    return sorted([*_rows, *LEFT_OUT], key=lambda row: (areas.index(row.area), not row.shown_by))


HEADING = """# Fidelity

What AWS Lambda does where it hurts, and whether the embedded emulator does the same. Written by
`python -m tests.fidelity`.

Each row has its source and a grade: *documented* (AWS says so), *recorded* (in answers or logs of AWS that somebody
published), *measured* (on AWS, by a third party), *assumed* (nobody says so). "matches" is shown by the test it names,
whose expected values come from the source.

"""


def page(found: Iterable[Behaviour]) -> str:
    """docs/fidelity.md."""
    found = list(found)
    matching = sum(not row.differs for row in found)
    parts = [HEADING, f"{len(found)} behaviours: {matching} match, {len(found) - matching} differ or are left out.\n"]
    for area in Area:
        here = [row for row in found if row.area is area]
        if here:
            parts.append(
                f"\n## {area.value}\n\n| AWS | the emulator | grade and source | shown by |\n|---|---|---|---|\n"
            )
            parts += [_line(row) for row in here]
    return "".join(parts)


def _line(row: Behaviour) -> str:
    links = [
        f"[{number}]({word})" if word.startswith("http") else word for number, word in enumerate(row.source.split(), 1)
    ]
    source = f"{row.grade.value}: {' '.join(links)}"
    shown = f"`{row.shown_by.rpartition('::')[2]}`" if row.shown_by else "–"
    return "| " + " | ".join(_cell(text) for text in (row.says, row.differs or "matches", source, shown)) + " |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

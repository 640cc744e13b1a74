"""The table of behaviours itself: complete, sourced, and what docs/fidelity.md shows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.fidelity.table import Area, Grade, page, rows

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"

AT_LEAST = {
    Area.PROVISIONED_CONCURRENCY: 5,
    Area.CONCURRENCY: 6,
    Area.INIT: 6,
    Area.FAILURES: 6,
    Area.API_GATEWAY: 5,
    Area.LOGS: 8,
    Area.ASYNC: 8,
}
"""Rows that a test shows, by area: where AWS's behaviour hurts."""


def test_the_page_is_what_the_tests_say():
    assert PAGE.read_text(encoding="utf-8") == page(rows()), "run: python -m tests.fidelity > docs/fidelity.md"


def test_no_area_is_thin():
    shown = Counter(row.area for row in rows() if row.shown_by)
    assert {area: shown[area] for area, least in AT_LEAST.items() if shown[area] < least} == {}
    assert sum(shown.values()) >= 60


def test_every_row_has_a_source():
    """What is assumed has none, and says why it is assumed."""
    without = [row.says for row in rows() if row.grade is not Grade.ASSUMED and not row.source.startswith("https://")]
    assert without == []
    assert [row.says for row in rows() if not row.source.strip()] == []


def test_no_behaviour_is_told_twice():
    counts = Counter((row.area, row.says) for row in rows())
    assert [said for said, count in counts.items() if count > 1] == []


def test_what_no_test_shows_differs_or_is_left_out():
    assert [row.says for row in rows() if not row.shown_by and not row.differs] == []

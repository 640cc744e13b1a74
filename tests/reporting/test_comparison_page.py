"""The page of a comparison in a browser: on a desk and on a phone, by day and by night."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import serverless_lab.compare.plain
from serverless_lab.compare.report import ComparisonReport
from serverless_lab.reporting.comparison import markdown_text
from serverless_lab.reporting.comparison_page import comparison_page
from tests.compare.test_running import scripted_report
from tests.reporting import chromium
from tests.reporting.chromium import Chromium, Page
from tests.reporting.test_page import CONTRAST, DRAWN, PHONE, table

pytestmark = pytest.mark.process

SCHEMA = json.loads(Path(serverless_lab.compare.plain.__file__).with_name("comparison.schema.json").read_text())


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    browser: Chromium = chromium.start(tmp_path_factory.mktemp("chromium"))
    yield browser.page()
    browser.stop()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ComparisonReport:
    return scripted_report(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(report: ComparisonReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "comparison.html"
    path.write_text(comparison_page(report), encoding="utf-8")
    return path


def test_the_page_opens_without_a_word_in_the_console_and_without_the_network(tab: Page, page: Path) -> None:
    tab.open(page)
    assert tab.messages == []
    assert tab.requested == [page.as_uri()]
    assert "five has the fewest cold starts" in tab.value("document.querySelector('h1').innerText")
    assert page.stat().st_size < 200_000


def test_every_chart_has_a_mark_for_each_variant_and_measure(tab: Page, page: Path) -> None:
    tab.open(page)
    found = tab.value(DRAWN)
    assert list(found) == ["cold-rates", "cold-rate-differences", "latency", "init", "costs"]
    assert all(figure["drawings"] == 1 and figure["visible"] and figure["ticks"] >= 4 for figure in found.values())
    assert found["cold-rates"]["marks"]["marks diamond cold"] == 4
    assert found["cold-rates"]["marks"]["whiskers cold"] == 4
    assert found["cold-rate-differences"]["marks"]["marks diamond cold"] == 3
    assert found["latency"]["marks"]["marks dot warm"] == 4
    assert found["costs"]["marks"]["bars provisioned"] == 2


def test_the_numbers_on_the_page_are_those_of_its_json(tab: Page, page: Path, report: ComparisonReport) -> None:
    tab.open(page)
    data = json.loads(tab.value("document.getElementById('comparison').textContent"))
    assert data == report.to_json()
    rows = table(tab, "Cold starts")["rows"]
    for row, variant in zip(rows, data["variants"], strict=True):
        rate = variant["measures"]["cold_rate"]
        low, high = (end * 100 for end in rate["interval_95"])
        assert row[:2] == [variant["name"], f"{rate['value'] * 100:.1f} % [{low:.1f}, {high:.1f}]"]
    costs = table(tab, "USD a month")["rows"]
    assert [row[1] for row in costs] == [f"${variant['cost']['provisioned_usd']:.2f}" for variant in data["variants"]]


@pytest.mark.parametrize("dark", [False, True], ids=["day", "night"])
@pytest.mark.parametrize("width", [1200, PHONE], ids=["desk", "phone"])
def test_it_can_be_read_everywhere(tab: Page, page: Path, width: int, dark: bool) -> None:
    tab.open(page, width=width, dark=dark)
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value(CONTRAST) >= 4.5
    assert all(figure["width"] > 200 for figure in tab.value(DRAWN).values())


def test_the_json_is_as_the_published_schema_says_and_every_key_is_described(report: ComparisonReport) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    data = report.to_json()
    assert [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(data)] == []
    assert list(undescribed(SCHEMA, "$")) == []


def undescribed(schema: dict[str, Any], path: str) -> Iterator[str]:
    for key, inner in schema.get("properties", {}).items():
        if "description" not in inner:
            yield f"{path}.{key}"
    for key, inner in schema.items():
        if isinstance(inner, dict):
            yield from undescribed(inner, f"{path}.{key}")
        for item in inner if isinstance(inner, list) else ():
            if isinstance(item, dict):
                yield from undescribed(item, f"{path}.{key}[]")


def test_markdown_has_the_same_tables_and_sentences(report: ComparisonReport) -> None:
    text = markdown_text(report)
    assert text.startswith("## five has the fewest cold starts")
    assert re.search(r"\| five \| 58\.3 % \\\[\d+\.\d, \d+\.\d\\\] \|", text)
    assert "the rest of the burst still spills over" in text
    assert "### Idle lifetime, lazy" in text

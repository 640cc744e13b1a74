"""The HTML page in a browser: what a reader sees, on a desk and on a phone, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.reporting.document import html_document
from tests.coldstarts.runs import requests
from tests.reporting import chromium
from tests.reporting.chromium import Chromium, Page
from tests.reporting.pages import HOSTILE, RUN_MANIFEST, busy_story, embedded, judged, report_of, run_report

pytestmark = pytest.mark.process

PHONE = 390

TABLE = """
[...document.querySelectorAll('table')].filter(table => table.caption.textContent === CAPTION).map(table => ({
  heads: [...table.tHead.rows[0].cells].map(cell => cell.textContent),
  rows: [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent)),
}))[0]
"""

# What is drawn of a figure, of the size that is shown: points of scatters, corners of bars and lines.
DRAWN = """
Object.fromEntries([...document.querySelectorAll('figure')].map(figure => {
  const svg = [...figure.querySelectorAll('div > svg')].filter(svg => svg.getBoundingClientRect().width > 0);
  const shapes = svg.flatMap(svg => [...svg.querySelectorAll('.marks, .bars, .line, .whiskers')]);
  return [figure.id, {
    drawings: svg.length,
    width: svg[0].getBoundingClientRect().width,
    visible: shapes.every(shape => shape.getBBox().width + shape.getBBox().height > 0 || !shape.getAttribute('d')),
    marks: Object.fromEntries(shapes.map(shape =>
      [shape.getAttribute('class'), (shape.getAttribute('d').match(/M/g) || []).length])),
    ticks: svg.flatMap(svg => [...svg.querySelectorAll('.tick text')]).filter(text => text.textContent).length,
  }];
}))
"""

# The contrast of every text with what is behind it, as WCAG counts it; the worst of the page.
CONTRAST = """
(() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => channels(colour).slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0.99) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = 'h1, h2, h3, p, a, li, dt, dd, th, td, figcaption, strong, span, text';
  return Math.min(...[...document.querySelectorAll(texts)]
    .filter(element => element.textContent.trim() && element.getBoundingClientRect().width > 1)
    .map(element => {
      const style = getComputedStyle(element);
      const [a, b] = [light(element.tagName === 'text' ? style.fill : style.color), light(behind(element))];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }));
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    found = chromium.start(tmp_path_factory.mktemp("chromium"))
    yield found
    found.stop()


@pytest.fixture(scope="module")
def tab(browser: Chromium) -> Page:
    return browser.page()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    report = run_report()
    path = tmp_path_factory.mktemp("page") / "report.html"
    text = html_document(report, judged(report), manifest=RUN_MANIFEST, requests=requests())
    path.write_text(text, encoding="utf-8")
    return path


def table(tab: Page, caption: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = tab.value(TABLE.replace("CAPTION", f"'{caption}'"))
    return found


def test_the_page_opens_without_a_word_in_the_console_and_without_the_network(tab: Page, page: Path) -> None:
    tab.open(page)
    assert tab.messages == []
    assert tab.requested == [page.as_uri()]
    assert tab.value("document.querySelector('h1').innerText").startswith("37.5 % cold starts\n")


def test_every_figure_shows_one_drawing_with_marks_and_labelled_axes(tab: Page, page: Path) -> None:
    tab.open(page)
    found = tab.value(DRAWN)
    assert set(found) == {
        "latency-over-time",
        "rate-over-time",
        "environments-over-time",
        "init-distribution",
        "latency-shares",
    }
    for name, figure in found.items():
        assert figure["drawings"] == 1, name
        assert figure["visible"] and figure["ticks"] >= 4, name
        assert sum(figure["marks"].values()) > 0, name
    # Seven requests: two cold, two warm, one after a reset, and two that failed.
    marks = found["latency-over-time"]["marks"]
    assert {name.split()[2]: count for name, count in marks.items() if name.startswith("marks")} == {
        "cold": 2,
        "init-repeated": 1,
        "warm": 2,
        "failed": 2,
    }


def test_the_tables_say_what_the_json_says(tab: Page, page: Path) -> None:
    """Every count, rate and time, read from the screen and from the data in the page."""
    tab.open(page)
    data = embedded(page.read_text(encoding="utf-8"))

    def ms(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f}" if value < 100 else f"{value:,.0f}"

    counts, times = table(tab, "Invocations and cold starts"), table(tab, "Times, in ms")
    assert counts["heads"][:5] == ["function", "invoked", "cold", "cold %", "95 % interval"]
    assert times["heads"][1:5] == ["init p50", "init p90", "init p99", "init max"]
    summaries = [*data["functions"], data["total"]]
    assert len(counts["rows"]) == len(times["rows"]) == len(summaries) == 3
    for summary, count, time in zip(summaries, counts["rows"], times["rows"], strict=True):
        rate = summary["cold_starts"]
        low, high = rate["rate_interval_95"]
        assert count[1:6] == [
            str(summary["invocations"]),
            str(rate["count"]),
            f"{rate['rate'] * 100:.1f}",
            f"[{low * 100:.1f}, {high * 100:.1f}]",
            str(summary["environments_initialised"]),
        ]
        init, run, both = (summary[name] for name in ("init_ms", "duration_ms", "init_plus_first_duration_ms"))
        assert time[1:5] == [ms(init[name]) for name in ("p50", "p90", "p99", "max")]
        assert time[5:9] == [ms(run[name]) for name in ("p50", "p90", "p99", "max")]
        assert time[9:12] == [ms(both[name]) for name in ("p50", "p90", "max")]
    client = table(tab, "Latency, by the kind of the invocation that served the request")
    assert client["rows"][0][:6] == [
        "all",
        str(data["client"]["latency_ms"]["n"]),
        *(ms(data["client"]["latency_ms"][name]) for name in ("p50", "p90", "p99", "max")),
    ]
    bins = table(tab, "Over time: all time bins")
    used = [bin_ for bin_ in data["bins"] if bin_["invocations"] or bin_["environments_initialised"]]
    assert [row[1] for row in bins["rows"]] == [str(bin_["invocations"]) for bin_ in used]
    gates = table(tab, "What the report was held against")
    assert sorted(row[0].lower() for row in gates["rows"]) == sorted(gate["outcome"] for gate in data["gates"])


@pytest.mark.parametrize("width", [PHONE, 320])
def test_nothing_is_wider_than_a_phone(tab: Page, page: Path, width: int) -> None:
    tab.open(page, width=width)
    tab.value("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert tab.value("document.documentElement.scrollWidth") <= width
    beyond = (
        "element => element.getBoundingClientRect().right > innerWidth + 1 && !element.closest('svg, thead, caption')"
    )
    assert (
        tab.value(f"[...document.querySelectorAll('body *')].filter({beyond}).map(element => element.outerHTML)") == []
    )


def test_on_a_phone_charts_are_drawn_for_it_and_rows_say_what_each_value_is(tab: Page, page: Path) -> None:
    tab.open(page, width=PHONE)
    for name, figure in tab.value(DRAWN).items():
        assert figure["drawings"] == 1 and figure["width"] < PHONE, name
    # A letter of twelve units stays about as large as it is meant to be.
    assert tab.value("document.querySelector('figure .narrow .tick text').getBoundingClientRect().height") > 10
    label = "getComputedStyle(document.querySelector('td'), '::before').content"
    assert tab.value(label) == '"gate"'
    assert tab.value("getComputedStyle(document.querySelector('tbody tr')).display") == "grid"
    assert tab.value("document.querySelector('tbody tr').getAttribute('role')") == "row"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(tab: Page, page: Path, scheme: str) -> None:
    """4.5 : 1 is what WCAG 2 asks for (https://www.w3.org/TR/WCAG22/#contrast-minimum)."""
    tab.open(page, dark=scheme == "dark")
    background = tab.value("getComputedStyle(document.documentElement).backgroundColor")
    assert (background == "rgb(20, 23, 26)") == (scheme == "dark")
    assert tab.value(CONTRAST) >= 4.5


def test_marks_change_with_the_scheme_while_the_page_is_open(tab: Page, page: Path) -> None:
    tab.open(page)
    colour = "getComputedStyle(document.querySelector('figure .wide .marks.cold')).stroke"
    by_day = tab.value(colour)
    tab.scheme("dark")
    assert tab.value(colour) != by_day


def test_a_screen_reader_is_told_of_headings_tables_and_charts(tab: Page, page: Path) -> None:
    """The browser's own accessibility tree, on a phone, where tables are not laid out as tables."""
    tab.open(page, width=PHONE)
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    roles = [node["role"]["value"] for node in shown]
    assert roles.count("table") >= 4 and roles.count("rowheader") >= 6 and roles.count("figure") == 5
    images = [node["name"]["value"] for node in shown if node["role"]["value"] in ("image", "img")]
    assert len(images) == 5
    assert any("cold: 2, p50 260 ms" in name for name in images)
    assert "main" in roles and "navigation" in roles


def test_markup_in_a_log_does_nothing_in_a_browser(tab: Page, tmp_path: Path) -> None:
    report = report_of(busy_story(40, function=HOSTILE), requests(), stack_name=HOSTILE, problems=[HOSTILE])
    path = tmp_path / "hostile.html"
    path.write_text(html_document(report, manifest={"seed": HOSTILE}, requests=requests()), encoding="utf-8")
    tab.open(path)
    assert tab.messages == []
    assert tab.requested == [path.as_uri()]
    assert tab.value("document.querySelectorAll('img, script:not([type])').length") == 0
    assert "<img src=x" in tab.value("document.body.innerText")
    assert tab.value("JSON.parse(document.getElementById('report').textContent).stack_name") == HOSTILE

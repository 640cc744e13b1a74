"""The HTML page as text: it holds the report, asks the network for nothing, and takes no order from a log."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.coldstarts.frame import COLUMNS, SavedInvocations, to_frame
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.report import ColdStartReport, make_report
from serverless_lab.reporting.document import embedded, html_document
from serverless_lab.reporting.markup import clean, data_block, element
from serverless_lab.reporting.page import column_labels
from serverless_lab.reporting.sections import Section, Sentence, Table
from serverless_lab.reporting.words import Cells
from tests.coldstarts.runs import requests
from tests.coldstarts.schema import problems
from tests.coldstarts.story import T0, Environment
from tests.reporting import pages
from tests.reporting.pages import HOSTILE, RUN_MANIFEST, busy_story, judged, report_of, run_report

MAX_BYTES = 2_000_000


class Elements(HTMLParser):
    """Every element and its attributes, as a browser's parser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page() -> str:
    report = run_report()
    return html_document(report, judged(report), manifest=RUN_MANIFEST, requests=requests())


def test_the_embedded_data_is_the_json_of_the_report(page: str) -> None:
    report = run_report()
    assert pages.embedded(page) == json.loads(json.dumps(report.to_json(judged(report))))
    assert problems(pages.embedded(page)) == []


def test_nothing_is_loaded_and_nothing_runs(page: str) -> None:
    """A report may hold a company's names and numbers: opening it tells nobody."""
    elements = Elements(page).found
    assert {tag for tag, _ in elements} & {"link", "img", "iframe", "object", "embed", "base", "form"} == set()
    assert [attributes for tag, attributes in elements if tag == "script"] == [
        {"type": "application/json", "id": "report"}
    ]
    for _, attributes in elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")]
        assert all((attributes.get(name) or "#").startswith("#") for name in ("href", "xlink:href"))
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    assert style is not None
    assert "url(" not in style[1] and "@import" not in style[1]
    [policy] = [item["content"] for tag, item in elements if item.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and policy.startswith("default-src 'none'") and "script-src" not in policy


def test_headings_tables_and_figures_are_said_in_markup(page: str) -> None:
    elements = Elements(page).found
    assert [tag for tag, _ in elements].count("h1") == 1
    figures = [item for tag, item in elements if tag == "figure"]
    assert [figure["id"] for figure in figures] == [
        "latency-over-time",
        "rate-over-time",
        "environments-over-time",
        "init-distribution",
        "latency-shares",
    ]
    drawings = [item for tag, item in elements if tag == "svg" and "aria-hidden" not in item]
    assert len(drawings) == 2 * len(figures)
    assert all(item["role"] == "img" and item["aria-label"] for item in drawings)
    assert page.count("<figcaption>") == len(figures)
    tables = page.count("<table")
    assert tables >= 4
    assert page.count("<caption") == tables
    assert 'scope="row"' in page and 'scope="col"' in page


def test_every_link_of_the_page_leads_to_one_place_in_it(page: str) -> None:
    elements = Elements(page).found
    names = [item["id"] for _, item in elements if item.get("id")]
    assert len(names) == len(set(names))
    assert {str(item["href"])[1:] for tag, item in elements if tag == "a"} <= set(names)
    assert {item["aria-labelledby"] for _, item in elements if "aria-labelledby" in item} <= set(names)


def test_where_the_numbers_come_from_is_on_the_page(page: str) -> None:
    for word in ("20251124-160000-spike", "<dd>7</dd>", "scenarios/spike.yaml", "locust 2.47.0", "virtual"):
        assert word in page, word


def test_gates_and_the_comparison_come_before_the_charts(page: str) -> None:
    assert page.index("FAILED") < page.index("<figure")
    assert 0 < page.index("Beside run before") < page.index("<figure")


def test_a_page_without_a_clients_side_tells_what_the_log_tells(tmp_path: Path) -> None:
    text = html_document(pages.file_report(tmp_path))
    assert 'id="latency-over-time"' in text and "Duration over time" in text
    assert 'id="latency-shares"' not in text and "As the client saw it" not in text
    assert "About these files" in text


def test_a_log_that_does_not_tell_cold_starts_has_no_rate_on_its_page() -> None:
    environments = [Environment("orders", T0 + 1000 * number).invoke(number) for number in range(30)]
    events = [event for environment in environments for event in environment.events]
    unknown = build_invocations(events, reports_init_duration=False, one_stream_per_environment=False)
    report = make_report({}, SavedInvocations.from_invocations(unknown, read_at_ms=T0), None)
    text = html_document(report)
    assert "cold starts cannot be told" in text
    assert "Cold-start rate" not in text and "Invocations over time" in text


def test_an_empty_report_is_a_page_without_charts() -> None:
    text = html_document(report_of([]))
    assert "0 invocations" in text
    assert "<figure" not in text


def test_a_digest_shows_quantiles_of_time_bins() -> None:
    """Large inputs keep no single invocation: there are no points to draw, and the bins are."""
    report = report_of(busy_story(2_000))
    text = html_document(replace(report, saved=None, environments=None, idle=None, billing=None))
    assert "Quantiles of Duration in each" in text
    assert "Environments initialised over time" in text


def test_a_section_of_others_stands_before_the_notes() -> None:
    cost = Section("cost", "Cost", [Sentence("$1 < $2"), Table("By service", Cells(["service", ">$"], [["s3", "50"]]))])
    text = html_document(run_report(), extra=[cost])
    assert text.index('id="functions"') < text.index('<section id="cost"') < text.index('<section id="notes"')
    assert "$1 &lt; $2" in text and 'href="#cost"' in text


# --- untrusted text --------------------------------------------------------------------------------------------------


def hostile_report() -> ColdStartReport:
    """Every text of a log and of a manifest that reaches the page says what an attacker would say."""
    return report_of(
        [Environment(HOSTILE, T0).cold(1, 100.0, 5.0).wait(2_000).invoke(2, 7.0)],
        requests(request_id={}, error={6: HOSTILE}),
        run_id=HOSTILE,
        scenario=HOSTILE,
        target=HOSTILE,
        stack_name=HOSTILE,
        problems=[HOSTILE],
    )


def test_markup_in_names_and_log_lines_stays_text() -> None:
    strange = {
        "scenario_source": HOSTILE,
        "versions": {HOSTILE: HOSTILE},
        "scenario_document": {"description": HOSTILE},
    }
    text = html_document(hostile_report(), manifest={**RUN_MANIFEST, **strange}, requests=requests())
    elements = Elements(text).found
    assert [item for tag, item in elements if tag == "script"] == [{"type": "application/json", "id": "report"}]
    assert "img" not in {tag for tag, _ in elements}
    assert not [name for _, item in elements for name in item if name.startswith("on")]
    assert "\x00" not in text and "\u202e" not in text
    assert pages.embedded(text)["run_id"] == HOSTILE


@given(st.text())
def test_any_text_is_one_text_in_an_element_and_in_an_attribute(text: str) -> None:
    parsed = Elements(element("p", text, title=text))
    assert parsed.found == [("p", {"title": clean(text)})]
    clean(text).encode("utf-8")


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_data_comes_out_of_a_page_as_it_went_in(data: Any) -> None:
    block = data_block("report", data)
    assert "<" not in block.removeprefix("<script").removesuffix("</script>")
    assert json.loads(block[block.index(">") + 1 : -len("</script>")]) == data


# --- size ------------------------------------------------------------------------------------------------------------


def test_a_page_of_sixty_thousand_scattered_requests_is_under_two_megabytes() -> None:
    """Cold, failed and warm requests all over the plane: no two share a pixel until there are very many of them."""
    rng = np.random.default_rng(1)
    count = 60_000
    frame = to_frame(build_invocations([event for one in busy_story(500) for event in one.events]).rows)
    frame = frame.sample(count, replace=True, random_state=1).reset_index(drop=True)
    frame["kind"] = rng.choice(["cold", "restored", "init-repeated", "warm", "unknown"], count)
    frame["start_timestamp"] = T0 + rng.integers(0, 3_600_000, count)
    frame["duration_ms"] = rng.lognormal(5, 2, count)
    frame = frame.astype({name: dtype for name, (dtype, _) in COLUMNS.items()})
    report = make_report({}, SavedInvocations(frame, None), None)
    text = html_document(report)
    assert len(text.encode()) < MAX_BYTES
    drawn = re.search(r"([\d,]+) marks stand for all 60,000", text)
    assert drawn is not None and int(drawn[1].replace(",", "")) > 5_000


def test_a_page_of_two_thousand_functions_is_under_two_megabytes_and_says_what_it_left_out() -> None:
    one = report_of([Environment("orders", T0).cold(1, 100.0, 5.0)])
    names = [f"function-{number:04}-{'x' * 50}" for number in range(2_000)]
    functions = tuple(replace(one.functions[0], function=name) for name in names)
    samples = dict.fromkeys(names, one.samples["orders"])
    text = html_document(replace(one, functions=functions, samples=samples))
    assert len(text.encode()) < MAX_BYTES
    assert "1,850 more rows are not shown" in text
    left_out = pages.embedded(text)["left_out"]
    assert left_out[0] == "distributions" and f"left out of it: {', '.join(left_out)}" in text


def test_the_data_keeps_what_is_missed_most() -> None:
    whole = run_report().to_json()
    assert embedded(whole) == (whole, [])
    small, left_out = embedded(whole, 6_000)
    assert left_out[0] == "distributions"
    assert small["total"] == whole["total"]


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_column_says_by_itself_what_it_is_of() -> None:
    """On a phone and to a screen reader the columns to its left are not there."""
    heads = ["ms", ">init p50", ">p90", ">max", ">run p50", ">p90", ">invoked"]
    assert column_labels(heads) == ["ms", "init p50", "init p90", "init max", "run p50", "run p90", "invoked"]
    assert column_labels([">requests", ">p50", ">p90"]) == ["requests", "p50", "p90"]


def test_the_story_is_told_by_each_kind_in_its_own_shape(page: str) -> None:
    """Who sees no colours tells the kinds apart all the same."""
    legend = re.search(r'id="latency-over-time".*?</ul>', page, re.S)
    assert legend is not None
    shapes = re.findall(r'class="marks (\w+) ([\w-]+)"', legend[0])
    assert len({shape for shape, _ in shapes}) == len(shapes) >= 3
    assert [kind for _, kind in shapes] == ["cold", "init-repeated", "warm", "failed"]

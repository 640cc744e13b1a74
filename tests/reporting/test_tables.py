"""The report as a terminal shows it: the numbers are there, without colour, within the width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.coldstarts.frame import SavedInvocations
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.report import make_report
from serverless_lab.coldstarts.statistics import Rate
from serverless_lab.reporting.tables import NONE, render_report, sparkline
from serverless_lab.reporting.words import rate_text, span_text
from tests.coldstarts.runs import manifest, requests, story
from tests.coldstarts.story import T0, Environment


def render(environments, with_requests=True, width=100, **options) -> str:
    events = [event for environment in environments for event in environment.events]
    saved = SavedInvocations.from_invocations(build_invocations(events, **options), read_at_ms=T0)
    return render_report(make_report(manifest(), saved, requests() if with_requests else None), width=width)


@pytest.fixture(scope="module")
def text() -> str:
    return render(story())


def test_the_first_line_answers_the_question(text):
    assert text.splitlines()[0] == "8 invocations, cold starts 3 of 8, 37.5 % [13.7, 69.4]; 3 environments initialised"


def test_each_function_has_its_counts_and_times_under_its_short_name(text):
    orders = [line.split() for line in text.splitlines() if line.startswith("Orders")]
    assert orders[0][:4] == ["Orders", "6", "3", "50.0"]
    assert orders[1][1:5] == ["230", "250", "250", "250"]
    assert orders[1][-3:] == ["280", "300", "300"]
    assert "1 timed out" in text
    assert "91 of 256" in text


def test_the_client_sees_latency_by_kind_and_the_cold_starts_it_waited_for(text):
    assert "7 requests, 2 failed" in text
    assert "200: 5, 502: 1, ReadTimeout: 1" in text
    assert "Cold starts a client waited for: 3 of 6, 50.0 % [18.8, 81.2]" in text
    assert [line.split()[:5] for line in text.splitlines() if line.startswith("cold  ")] == [
        ["cold", "2", "260", "290", "290"]
    ]


def test_what_was_not_counted_is_said(text):
    assert "not caused by this client's requests (1 proactive, 1 warm)" in " ".join(text.split())


def test_lines_stay_within_the_width_and_have_no_escape_codes(text):
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "\x1b" not in text


def test_kinds_that_cannot_be_told_show_a_dash_and_never_a_rate():
    environments = [Environment("orders", T0 + number).invoke(number) for number in range(3)]
    text = render(environments, False, reports_init_duration=False, one_stream_per_environment=False)
    assert "cold starts cannot be told from this target's logs" in text.splitlines()[0]
    assert "%" not in text.replace("cold %", "").replace("95 % interval", "")
    assert "Cold starts over time" not in text


def test_an_empty_run_is_shown():
    assert "0 invocations" in render([], False).splitlines()[0]


@pytest.mark.parametrize(
    ("values", "expected"), [([], ""), ([0, 0], "··"), ([1], "█"), ([0, 1, 4, 8], "·▁▄█"), ([1, 1000], "▁█")]
)
def test_a_sparkline_shows_shares_of_the_greatest(values, expected):
    """One cold start among a thousand must not vanish."""
    assert sparkline(values) == expected


@given(st.lists(st.integers(0, 10_000), max_size=300))
def test_a_sparkline_fits_and_marks_exactly_what_is_not_zero(values):
    line = sparkline(values, width=60)
    assert len(line) <= 60
    assert (set(line) <= {NONE}) == (sum(values) == 0)


def test_a_rate_that_is_not_zero_never_looks_like_zero():
    assert rate_text(Rate(1, 1_000_000)).startswith("1 of 1,000,000, 0.0001 %")
    assert rate_text(Rate(0, 20)) == "0 of 20, 0.0 % [0.0, 16.1]"
    assert rate_text(Rate(None, 0)) == "–"


@pytest.mark.parametrize(
    ("ms", "words"), [(500, "500 ms"), (1_000, "1 s"), (90_000, "90 s"), (300_000, "5 min"), (86_400_000, "1 d")]
)
def test_a_span_is_said_in_its_greatest_whole_unit(ms, words):
    assert span_text(ms) == words

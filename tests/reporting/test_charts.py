"""Points, ticks and shares: what is drawn is what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.reporting.axes import count_axis, share_axis, time_axis, value_axis
from serverless_lab.reporting.drawing import WIDE, Drawing
from serverless_lab.reporting.points import distinct, ecdf

points = st.lists(st.tuples(st.floats(0, 760), st.floats(0, 300)), min_size=1, max_size=300)


@given(points, st.integers(1, 100))
def test_reduced_points_are_points_of_the_run_and_no_more_than_asked_for(found, most):
    x, y = (np.array(values) for values in zip(*found, strict=True))
    kept = distinct(x, y, most)
    assert 1 <= len(kept[0]) <= most
    assert set(zip(*kept, strict=True)) <= set(found)


def test_points_that_can_be_told_apart_are_all_kept():
    x = np.arange(0, 700, 1.0)
    assert len(distinct(x, x / 3, 5_000)[0]) == len(x)
    assert len(distinct(np.repeat(x, 9), np.repeat(x / 3, 9), 5_000)[0]) == len(x)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=500))
def test_the_line_of_shares_begins_with_the_least_and_ends_with_all_of_them(values):
    ordered = np.sort(np.array(values))
    at, share = ecdf(ordered, 50)
    assert len(at) <= 50
    assert (at[0], at[-1], share[-1]) == (ordered[0], ordered[-1], 1.0)
    assert np.all(np.diff(at) >= 0) and np.all(np.diff(share) > 0)
    # Of equal values the last one's share counts: no share is greater than what is true.
    assert all(part <= (ordered <= value).mean() + 1e-9 for value, part in zip(at, share, strict=True))


@given(st.floats(0.01, 1e6), st.floats(1, 1e5))
def test_a_value_axis_holds_its_values_and_ticks(least, factor):
    axis = value_axis(least, least * factor, "ms")
    assert axis.low <= least * (1 + 1e-9) and axis.high >= least * factor * (1 - 1e-9)
    assert 2 <= len(axis.ticks) <= 8
    assert all(axis.low * (1 - 1e-9) <= value <= axis.high * (1 + 1e-9) for value, _ in axis.ticks)
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


@pytest.mark.parametrize("log", [True, False, None])
def test_an_axis_of_nothing_but_zeros_is_one_from_there_to_one(log):
    """In virtual time an API that refuses every request answers in no time at all."""
    axis = value_axis(0.0, 0.0, "ms", log=log)
    assert axis.low <= 1.0 <= axis.high and len(axis.ticks) >= 2


@given(st.integers(0, 10**7))
def test_counts_have_whole_ticks(greatest):
    axis = count_axis(greatest, "invocations")
    assert axis.high >= greatest
    assert all(value == int(value) for value, _ in axis.ticks)
    assert len(axis.ticks) <= 7


@given(st.floats(0, 1))
def test_shares_never_reach_beyond_all(greatest):
    axis = share_axis(greatest, "rate")
    assert greatest <= axis.high * (1 + 1e-9) or axis.high == pytest.approx(1)
    assert axis.high <= 1 + 1e-9


@pytest.mark.parametrize(
    ("span_ms", "first", "title"),
    [
        (800, ["0:00", "0:00.2"], "m:ss"),
        (60_000, ["0:00", "0:10"], "m:ss"),
        (3_600_000, ["0:00", "0:10"], "h:mm"),
        (3 * 86_400_000, ["0:00", "12:00"], "h:mm"),
    ],
)
def test_times_of_a_run_count_from_its_start(span_ms, first, title):
    axis = time_axis(1_764_000_000_000, 1_764_000_000_000 + span_ms, 1_764_000_000_000)
    assert [text for _, text in axis.ticks][:2] == first
    assert axis.title.endswith(title)


def test_times_of_log_files_are_times_of_the_day_in_utc():
    ticks = [text for _, text in time_axis(1_763_985_600_000, 1_764_072_000_000, None).ticks]
    assert ticks == ["12:00", "18:00", "Nov 25", "06:00", "12:00"]


def test_text_in_a_drawing_is_escaped_and_fit_for_xml():
    drawing = Drawing(WIDE, 'a "quoted" <name>\x00')
    plot = drawing.plot(time_axis(0, 1_000, 0), value_axis(0, 10, "<b>\x1b</b>"))
    plot.hint(0, 10, "</title><script>alert(1)</script>")
    text = drawing.html()
    assert "<script" not in text and "<b>" not in text and "\x1b" not in text

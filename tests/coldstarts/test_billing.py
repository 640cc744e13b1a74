"""The billing era is read from the log: which rule makes Billed Duration out of the other durations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.coldstarts.billing import billing_of, billing_sentence, count_patterns

NAN = math.nan


def era(*lines: tuple[float, ...], provisioned: bool = False):
    """Of lines (duration, billed, init, billed restore), the last two of which may be left out."""
    columns = np.array([(*line, NAN, NAN)[:4] for line in lines], dtype=np.float64).reshape(-1, 4).T
    return billing_of(count_patterns(*columns, np.full(len(lines), provisioned)))


# Durations of REPORT lines that AWS wrote, as they were quoted in public.
SINCE_AUGUST_2025 = [(2.46, 417, 413.61), (29390.51, 29964, 573.49), (1233.96, 1698, 463.512), (3000.0, 3403, 402.04)]
BEFORE = [(8.40, 9, 170.13), (3.01, 4, 110.10)]
SNAP_START = [(306.34, 610, NAN, 303), (2338.66, 2521, NAN, 182), (127.10, 154, NAN, 26)]
UNTIL_2020 = [(546.42, 600), (883.05, 900), (27.40, 100)]
OLD_TIMEOUTS = [(3003.28, 3000), (900011.38, 900000)]


def test_lines_since_august_2025_bill_the_init():
    found = era(*SINCE_AUGUST_2025, (3.01, 4))
    assert (found.era, found.fitting.count, found.fitting.n) == ("init-billed", 5, 5)
    assert found.told_by == 5, "the line without an init still tells that 100 ms are not the unit"
    assert found.fits["init"] == {"duration+init": 4}
    assert "the init is billed" in billing_sentence(found)


def test_lines_before_do_not():
    found = era(*BEFORE, (3.01, 4))
    assert (found.era, found.fitting.rate) == ("init-free", 1.0)
    assert "not billed" in billing_sentence(found)


def test_lines_until_2020_are_rounded_up_to_100_ms():
    found = era(*UNTIL_2020, (12.0, 100, 250.0))
    assert found.era == "per-100-ms"
    assert "100 ms" in billing_sentence(found)
    assert era(*UNTIL_2020, (12.0, 300, 250.0)).era == "per-100-ms-init-billed"


def test_a_snapstart_line_adds_the_billed_restore_and_nothing_else():
    found = era(*SNAP_START)
    assert found.fits["restore"] == {"duration+restore": 3}
    assert found.fitting.count == 3


def test_without_an_init_nobody_knows_whether_it_is_billed():
    found = era((3.01, 4), (546.42, 547))
    assert found.era == "per-ms"
    assert "no line tells whether an init is billed" in billing_sentence(found)


def test_a_line_of_provisioned_concurrency_is_shown_and_does_not_decide():
    """Its init ran long before; what it bills since August 2025 is not documented."""
    alone = era((492.12, 493, 4831.59), provisioned=True)
    assert (alone.era, alone.fitting.n) == ("mixed", 0)
    assert alone.fits["provisioned-init"] == {"duration": 1}


def test_a_timeout_of_the_old_kind_is_capped_and_belongs_to_no_rule():
    found = era(*OLD_TIMEOUTS, *BEFORE)
    assert found.lines == {"init": 2, "capped": 2}
    assert (found.era, found.fitting.n) == ("init-free", 2)


def test_a_log_over_a_change_is_mixed_and_says_how_much_fits():
    found = era(*SINCE_AUGUST_2025, *BEFORE)
    assert found.era == "mixed"
    assert "fits 4 of 6" in billing_sentence(found)


def test_no_line_that_states_what_was_billed_tells_nothing():
    assert era((3.0, NAN)) is None
    assert era() is None
    assert "cannot be told" in billing_sentence(None)


@given(st.lists(st.tuples(st.integers(1, 90_000_00), st.integers(1, 10_000_00) | st.none()), min_size=1, max_size=60))
def test_whatever_the_durations_the_era_that_made_the_lines_fits_all_of_them(lines):
    """Billed from durations in hundredths of a millisecond, as they are printed."""
    told = [
        (duration / 100, math.ceil((duration + (init or 0)) / 100), NAN if init is None else init / 100)
        for duration, init in lines
    ]
    found = era(*told)
    assert found.fitting.count == found.fitting.n == len(lines)
    decisive = any(math.ceil((d + i) / 100) > math.ceil((d + 2) / 100) for d, i in lines if i is not None)
    assert found.era == "init-billed" or not decisive


@given(st.lists(st.sampled_from([*SINCE_AUGUST_2025, *BEFORE, *SNAP_START, *UNTIL_2020, *OLD_TIMEOUTS]), max_size=30))
def test_patterns_of_parts_add_up(lines):
    from collections import Counter

    def patterns(part):
        columns = np.array([(*line, NAN, NAN)[:4] for line in part], dtype=np.float64).reshape(-1, 4).T
        return Counter(count_patterns(*columns, np.zeros(len(part), bool)))

    assert patterns(lines[::2]) + patterns(lines[1::2]) == patterns(lines)
    assert sum(patterns(lines).values()) == len(lines)


@pytest.mark.parametrize("init", [0.0, 0.004])
def test_an_init_of_nothing_tells_nothing(init):
    assert era((10.5, 11, init)).era == "per-ms"

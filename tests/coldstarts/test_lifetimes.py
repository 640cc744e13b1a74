"""Environments over time, and what the gaps in a log tell of the idle lifetime."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.coldstarts.frame import to_frame
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.lifetimes import environments_over_time, idle_lifetime, idle_sentence, words_of_ms
from serverless_lab.coldstarts.statistics import Bins
from tests.coldstarts.story import T0, Environment

MINUTE = 60_000


def frame_of(*environments: Environment, **options):
    return to_frame(build_invocations((e for told in environments for e in told.events), **options).rows)


# --- how many at once ------------------------------------------------------------------------------------------------


def test_environments_alive_and_busy_are_counted_at_the_same_instant():
    """Two overlap for a while, a third begins after both were seen last; two of them run at once, never three."""
    first = Environment(now=T0).cold(1, 200.0, 1_000.0).wait(8_000).invoke(2, 500.0)
    second = Environment(now=T0 + 500).cold(3, 200.0, 1_000.0)
    third = Environment(now=T0 + 60_000).cold(4, 200.0, 20.0)
    found = environments_over_time(frame_of(first, second, third), Bins(T0, 30_000, 3))
    assert (found.used, found.began, found.alive_max, found.busy_max) == (3, 3, 2, 2)
    assert found.alive_by_bin == (2, 0, 1)
    assert found.busy_by_bin == (2, 0, 1)
    assert found.lifetime_ms.max == 202 + 1_000 + 8_000 + 500
    assert (found.served.n, found.served.max) == (3, 2)


def test_one_environment_serving_without_a_pause_is_never_two():
    """Its REPORT and the next START may carry the same millisecond."""
    found = environments_over_time(frame_of(Environment().cold(1).invoke(2).invoke(3)), None)
    assert (found.alive_max, found.busy_max) == (1, 1)


def test_an_environment_whose_beginning_is_not_in_the_log_has_no_lifetime():
    found = environments_over_time(frame_of(Environment().invoke(1).wait(MINUTE).invoke(2)), None)
    assert (found.used, found.began, found.lifetime_ms.n) == (1, 0, 0)


def test_a_log_without_environments_tells_nothing_of_them():
    frame = frame_of(Environment().cold(1), one_stream_per_environment=False)
    assert environments_over_time(frame, None) is None
    assert idle_lifetime(frame) is None
    assert "does not tell environments apart" in idle_sentence(None)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 80)), min_size=1, max_size=25), st.integers(1, 60))
def test_levels_are_those_of_counting_at_every_millisecond(spans, width):
    environments = [Environment(now=T0 + at).cold(n, 3.0, float(ms)) for n, (at, ms) in enumerate(spans)]
    frame = frame_of(*environments)
    bins = Bins(T0, width, -(-700 // width))
    found = environments_over_time(frame, bins)
    level = [0] * 700
    for at, ms in spans:
        for instant in range(at, at + 5 + ms + 1):  # from INIT_START to REPORT
            level[instant] += 1
    assert found.alive_max == max(level)
    assert list(found.alive_by_bin) == [max(level[n * width : (n + 1) * width], default=0) for n in range(bins.count)]


# --- the idle lifetime -----------------------------------------------------------------------------------------------


def test_gaps_that_were_survived_and_gaps_that_were_not_enclose_the_lifetime():
    """Nine minutes were survived; eleven were not, because the next request got a cold start."""
    first = Environment(now=T0).cold(1).wait(9 * MINUTE).invoke(2)
    second = Environment(now=first.now + 11 * MINUTE).cold(3)
    found = idle_lifetime(frame_of(first, second))
    assert (found.low_ms, found.high_ms) == (9 * MINUTE, 11 * MINUTE)
    assert (found.survived, found.ended, found.contradictions) == (1, 1, 0)
    assert idle_sentence(found) == "between 9 min (survived) and 11 min (not survived)"


def test_a_cold_start_beside_an_idle_environment_tells_nothing():
    """The first one is used again later: it was there, and Lambda started another all the same."""
    first = Environment(now=T0).cold(1).wait(9 * MINUTE).invoke(2)
    second = Environment(now=T0 + 5 * MINUTE).cold(3)
    found = idle_lifetime(frame_of(first, second))
    assert (found.low_ms, found.high_ms, found.beside_idle) == (9 * MINUTE, None, 1)
    assert "at least 9 min" in idle_sentence(found)


def test_an_environment_that_was_busy_when_the_cold_start_came_has_not_ended():
    """A burst: each request finds the others busy. Nothing had been idle."""
    burst = [Environment(now=T0 + n).cold(n, 200.0, 500.0) for n in range(5)]
    found = idle_lifetime(frame_of(*burst))
    assert (found.low_ms, found.high_ms, found.ended) == (None, None, 0)
    assert "cannot be told" in idle_sentence(found)


def test_one_that_was_free_for_a_moment_only_may_have_been_busy_when_the_request_came():
    first = Environment(now=T0).cold(1)
    second = Environment(now=first.now + 300).cold(2)
    assert idle_lifetime(frame_of(first, second)).ended == 0


def test_another_function_and_another_version_cannot_use_an_environment():
    """Their cold starts say nothing of whether it was still there."""
    first = Environment("orders", T0, version="1").cold(1)
    other_version = Environment("orders", T0 + 20 * MINUTE, version="2").cold(2)
    other_function = Environment("mail", T0 + 20 * MINUTE, version="1").cold(3)
    assert idle_lifetime(frame_of(first, other_version, other_function)).ended == 0


def test_provisioned_environments_do_not_expire_and_are_left_out():
    provisioned = Environment(now=T0, version="1").init_start().wait(500).init_report(480.0).wait(90_000)
    provisioned.invoke(1, init_duration_ms=480.0).wait(90 * MINUTE).invoke(2)
    on_demand = Environment(now=T0, version="1").cold(3).wait(4 * MINUTE).invoke(4)
    assert idle_lifetime(frame_of(provisioned, on_demand)).low_ms == 4 * MINUTE


def test_only_ends_give_a_bound_from_above():
    first = Environment(now=T0).cold(1)
    second = Environment(now=first.now + 7 * MINUTE).cold(2)
    found = idle_lifetime(frame_of(first, second))
    assert (found.low_ms, found.high_ms) == (None, 7 * MINUTE)
    assert "at most 7 min" in idle_sentence(found)


def test_environments_that_end_for_other_reasons_are_said_and_do_not_spoil_the_estimate():
    """One of twenty was recycled two minutes after its last invocation."""
    told = []
    now = T0
    for number in range(20):
        gap = 12 * MINUTE
        environment = Environment(now=now).cold(3 * number).wait(9 * MINUTE).invoke(3 * number + 1)
        if number == 7:
            gap = 2 * MINUTE
        told.append(environment)
        now = environment.now + gap
    found = idle_lifetime(frame_of(*told))
    assert (found.low_ms, found.high_ms) == (9 * MINUTE, 12 * MINUTE)
    assert (found.contradictions, found.ended_min_ms) == (1, 2 * MINUTE)
    assert "end for other reasons too" in idle_sentence(found)


def test_a_log_that_shows_no_single_lifetime_says_so():
    """Half of the gaps of five minutes were survived, half were not."""
    told = []
    now = T0
    for number in range(10):
        environment = Environment(now=now).cold(3 * number).wait(5 * MINUTE + number).invoke(3 * number + 1)
        told.append(environment)
        now = environment.now + 5 * MINUTE + number
    found = idle_lifetime(frame_of(*told))
    assert (found.low_ms, found.high_ms) == (None, None)
    assert "no single one" in idle_sentence(found)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2 * MINUTE, 6 * MINUTE, 10 * MINUTE]))
def test_the_estimate_encloses_the_lifetime_of_a_pool_that_has_one(seed, lifetime):
    """Requests at random, each served by the environment that was used last of those that are free and not expired."""
    rng = random.Random(seed)
    pool: list[Environment] = []
    everyone: list[Environment] = []
    now = float(T0)
    for number in range(80):
        now += rng.expovariate(1 / (lifetime / rng.choice((0.5, 2, 20))))
        free = [e for e in pool if e.now + 1 <= now < e.now + lifetime]
        if free:
            chosen = max(free, key=lambda e: e.now)
            chosen.now = round(now)
            chosen.invoke(number, rng.uniform(5, 5_000))
        else:
            chosen = Environment(now=round(now)).cold(number, 200.0, rng.uniform(5, 5_000))
            pool.append(chosen)
            everyone.append(chosen)
    found = idle_lifetime(frame_of(*everyone))
    assert found.contradictions == 0
    assert found.low_ms is None or found.low_ms <= lifetime
    assert found.high_ms is None or found.high_ms >= lifetime - 1


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (640, "640 ms"),
        (12_540, "12.5 s"),
        (598_000, "9 min 58 s"),
        (600_000, "10 min"),
        (11_100_000, "3 h 5 min"),
        (None, "–"),
    ],
)
def test_a_time_is_said_in_words(ms, words):
    assert words_of_ms(ms) == words

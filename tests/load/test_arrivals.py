"""Schedules, by their properties: exact totals, sorted, repeatable, the same however many processes send them."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.load.arrivals import arrivals, closed_entries, peak_concurrency_estimate, planned_requests
from serverless_lab.load.dispatcher import share
from serverless_lab.scenario import Scenario, parse_document

MIX = [{"request": "GET /a", "weight": 3}, {"request": "GET /b"}]
counts = st.integers(1, 200)
durations = st.integers(1, 100_000).map(lambda ms: f"{ms}ms")
rates = st.floats(0.1, 50)
starts = st.fixed_dictionaries({}, optional={"start": st.integers(0, 50_000).map(lambda ms: f"{ms}ms")})
counted = st.one_of(
    st.fixed_dictionaries({"law": st.just("burst"), "count": counts}),
    st.fixed_dictionaries({"law": st.sampled_from(["poisson", "uniform"]), "count": counts, "duration": durations}),
    st.fixed_dictionaries(
        {"law": st.just("front-loaded"), "count": counts, "duration": durations, "time_constant": durations}
    ),
)
rated = st.fixed_dictionaries(
    {
        "law": st.sampled_from(["poisson", "uniform"]),
        "duration": st.integers(1, 10_000).map(lambda ms: f"{ms}ms"),
        "rate": st.one_of(rates, st.fixed_dictionaries({"from": rates, "to": st.floats(0, 50)})),
    }
)

any_phase = st.one_of(counted, rated)


def scenario(*phases: dict[str, Any], mix: list[dict[str, Any]] | None = None) -> Scenario:
    named = [{"name": f"phase {number}", **phase} for number, phase in enumerate(phases)]
    return parse_document({"name": "drawn", "phases": named, "mix": mix or MIX}, "drawn.yaml")


@st.composite
def scenarios(draw: st.DrawFn, phases: Any = any_phase) -> Scenario:
    return scenario(*({**draw(starts), **phase} for phase in draw(st.lists(phases, min_size=1, max_size=4))))


@given(scenarios(phases=counted), st.integers(0, 2**32))
def test_exactly_the_stated_count_arrives_in_each_phase(drawn: Scenario, seed: int) -> None:
    """No thinning, no rounding: whoever writes 140 gets 140."""
    found = Counter(arrival.phase for arrival in arrivals(drawn, seed))
    assert found == {phase.name: phase.count for phase in drawn.phases}


@given(scenarios(), st.integers(0, 2**32))
def test_arrivals_are_numbered_in_order_of_time_within_their_phases(drawn: Scenario, seed: int) -> None:
    schedule = arrivals(drawn, seed)
    bounds = {phase.name: (phase.start_ms, phase.start_ms + phase.duration_ms) for phase in drawn.phases}
    assert [arrival.number for arrival in schedule] == list(range(len(schedule)))
    assert all(before.at_ms <= after.at_ms for before, after in pairwise(schedule))
    for arrival in schedule:
        low, high = bounds[arrival.phase]
        assert low <= arrival.at_ms <= high


@given(scenarios(), st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_schedule(drawn: Scenario, seed: int) -> None:
    assert arrivals(drawn, seed) == arrivals(drawn, seed)


@given(scenarios(), st.integers(1, 7))
def test_the_shares_of_the_workers_are_the_whole_schedule(drawn: Scenario, workers: int) -> None:
    """However many processes send it, each arrival is sent by one of them, at the same instant."""
    schedule = arrivals(drawn)
    shares = [list(share(schedule, worker, workers)) for worker in range(workers)]
    assert sorted(arrival for part in shares for arrival in part) == schedule
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(st.lists(counted, min_size=2, max_size=4))
def test_changing_one_phase_leaves_the_others_as_they_were(phases: list[dict[str, Any]]) -> None:
    """Each phase has a random stream of its own, so two variants of a scenario can be compared."""
    phases = [{**phase, "start": "0s"} for phase in phases]
    last = f"phase {len(phases) - 1}"
    other = [{**phases[0], "count": phases[0]["count"] + 1}, *phases[1:]]

    def times(drawn: Scenario) -> list[float]:
        return [arrival.at_ms for arrival in arrivals(drawn) if arrival.phase == last]

    assert times(scenario(*phases)) == times(scenario(*other))


@given(st.floats(0.5, 200), st.floats(0, 200), st.integers(1000, 60_000))
def test_a_uniform_ramp_has_the_area_under_its_rate_at_every_instant(low: float, high: float, ms: int) -> None:
    """The k-th arrival stands where the cumulative rate reaches k: the inversion is exact, ramps down to 0 included."""
    drawn = scenario({"law": "uniform", "duration": f"{ms}ms", "rate": {"from": low, "to": high}})
    schedule = arrivals(drawn)
    assert len(schedule) == round((low + high) / 2 * ms / 1000)
    slope = (high - low) / (ms / 1000)
    for number, arrival in enumerate(schedule):
        at_s = arrival.at_ms / 1000
        assert math.isclose(low * at_s + slope * at_s**2 / 2, number, rel_tol=1e-6, abs_tol=1e-6)


def test_a_poisson_phase_varies_as_a_poisson_process_does() -> None:
    """In a Poisson process the count in a window has its mean as its variance; a timer's would be near 0."""
    drawn = scenario({"law": "poisson", "duration": "1000s", "rate": 20})
    seconds = Counter(int(arrival.at_ms // 1000) for arrival in arrivals(drawn, 3))
    found = [seconds[second] for second in range(1000)]
    mean = sum(found) / 1000
    variance = sum((count - mean) ** 2 for count in found) / 1000
    # Four standard errors around 20: sqrt(20/1000) for the mean, 20*sqrt(2/1000) for the variance.
    assert abs(mean - 20) < 4 * math.sqrt(20 / 1000)
    assert abs(variance - 20) < 4 * 20 * math.sqrt(2 / 1000)


def test_a_front_loaded_phase_has_63_percent_of_its_arrivals_in_its_first_time_constant() -> None:
    drawn = scenario({"law": "front-loaded", "duration": "100s", "count": 10_000, "time_constant": "10s"})
    early = sum(arrival.at_ms <= 10_000 for arrival in arrivals(drawn, 5))
    assert abs(early / 10_000 - (1 - math.exp(-1))) < 4 * math.sqrt(0.25 / 10_000)


def test_the_mix_is_drawn_by_weight() -> None:
    drawn = scenario({"law": "burst", "count": 10_000})
    first = sum(arrival.entry == 0 for arrival in arrivals(drawn, 5))
    assert abs(first / 10_000 - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 10_000)


def test_a_session_counts_with_all_its_requests() -> None:
    steps = [{"request": "GET /a"}, {"parallel": [{"request": "GET /b"}, {"request": "GET /c"}]}]
    drawn = scenario({"law": "burst", "count": 7}, mix=[{"session": "page", "steps": steps}])
    assert planned_requests(drawn, arrivals(drawn)) == 21
    assert drawn.mix[0].width == 2


@given(scenarios(), st.floats(0, 10_000))
@settings(max_examples=50)
def test_the_peak_is_the_most_arrivals_within_a_window(drawn: Scenario, window_ms: float) -> None:
    schedule = arrivals(drawn)[:150]
    times = [arrival.at_ms for arrival in schedule]
    most = max((sum(begin <= time and time - begin <= window_ms for time in times) for begin in times), default=0)
    assert peak_concurrency_estimate(schedule, window_ms) == most
    assert peak_concurrency_estimate(schedule, window_ms, width=3) == 3 * most


def test_the_peak_of_a_burst_is_the_burst() -> None:
    assert peak_concurrency_estimate(arrivals(scenario({"law": "burst", "count": 140})), 0) == 140
    assert peak_concurrency_estimate([], 1000) == 0


@given(st.integers(1, 300), st.integers(0, 2**32))
def test_a_closed_scenario_has_one_entry_of_the_mix_for_each_request(requests: int, seed: int) -> None:
    drawn = parse_document({"name": "c", "clients": 1, "requests": requests, "mix": MIX}, "c.yaml")
    entries = closed_entries(drawn, seed)
    assert len(entries) == requests
    assert set(entries) <= {0, 1}
    assert entries == closed_entries(drawn, seed)

"""How fast the CPU is for a job, from the small pieces of work done beside it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.emulator.speed import ENOUGH, Reference, Sample, Speedometer, middle_mean

REFERENCE = Reference(boot=30_000_000, sample=Sample(loop=80_000, load=160_000, again=60_000))


def slower(times: float) -> Sample:
    return Sample(*(round(taken * times) for taken in REFERENCE.sample))


def test_nothing_measured_is_the_reference_speed():
    assert Speedometer(REFERENCE).scale() == 1.0


@given(st.floats(0.3, 5.0), st.integers(0, 40))
def test_a_cpu_that_takes_twice_as_long_makes_a_second_on_it_half_a_second(times: float, count: int):
    own = [slower(times)] * count
    scale = Speedometer(REFERENCE).scale(own, round(REFERENCE.boot * times))
    assert scale == pytest.approx(1 / times, rel=1e-3)


@given(st.floats(0.3, 5.0))
def test_a_short_job_has_the_speed_of_the_jobs_around_it(times: float):
    speed = Speedometer(REFERENCE)
    speed.add([slower(times)] * ENOUGH)
    assert speed.scale() == pytest.approx(1 / times, rel=1e-3)


def test_a_job_with_samples_of_its_own_does_not_look_at_others():
    speed = Speedometer(REFERENCE)
    speed.add([slower(3.0)] * 20)
    assert speed.scale([slower(1.0)] * ENOUGH) == pytest.approx(1.0)


def test_one_sample_that_was_interrupted_does_not_count():
    own = [slower(1.0)] * 9 + [slower(50.0)]
    assert Speedometer(REFERENCE).scale(own) == pytest.approx(1.0)


def test_imports_are_told_by_what_finds_the_caches_cold_and_loops_by_what_does_not():
    """A neighbour that fills the caches slows down imports, and a loop over its own small data hardly."""
    crowded = Sample(loop=160_000, load=320_000, again=60_000)
    init = Speedometer(REFERENCE).scale([crowded] * ENOUGH, REFERENCE.boot * 2)
    invoke = Speedometer(REFERENCE).scale([crowded] * ENOUGH)
    assert init == pytest.approx(0.5)
    assert invoke == pytest.approx(0.5**0.5)


def test_without_a_reference_a_second_is_a_second():
    assert Speedometer(None).scale([slower(2.0)] * 10, 1) == 1.0


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=50))
def test_the_middle_mean_lies_between_the_extremes(values: list[float]):
    assert min(values) * (1 - 1e-9) <= middle_mean(values) <= max(values) * (1 + 1e-9)

"""Who may go on when, in virtual time: the rules without threads."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.emulator.virtual import State, VirtualTime


def woken(time: VirtualTime) -> list[float]:
    """Wake everyone who may go on, each leaving at once: their times, in order."""
    found = []
    while (actor := time.wake_next()) is not None:
        found.append(time.time_of(actor))
        time.leave(actor)
    return found


def test_sleepers_wake_in_the_order_of_their_times_and_time_jumps_between_them():
    """When nothing runs, a weekend passes in no time."""
    time = VirtualTime(tokens=1)
    for at_ms in (5.0, 62 * 3_600_000.0, 1.0):
        time.enter_asleep(at_ms)
    assert woken(time) == [1.0, 5.0, 62 * 3_600_000.0]
    assert time.now_ms == 62 * 3_600_000.0


def test_sleepers_of_one_instant_wake_one_at_a_time_in_their_order():
    """So that 140 requests at the same instant are placed in the same order in every run."""
    time = VirtualTime(tokens=1)
    last, first = time.enter_asleep(7.0, order=(2,)), time.enter_asleep(7.0, order=(1,))
    assert time.wake_next() == first
    assert time.wake_next() is None
    time.leave(first)
    assert time.wake_next() == last


def test_nobody_passes_a_job_that_waits_for_a_token_or_runs():
    """Its end cannot lie before its start, but anything may follow from it after that."""
    time = VirtualTime(tokens=1)
    jobs = [time.enter(), time.enter()]
    sleeper = time.enter_asleep(10.0)
    for job in jobs:
        time.wait_for_token(job)
    assert time.start_jobs() == [jobs[0]]
    assert time.wake_next() is None
    time.progress(jobs[0], 30.0)
    assert time.wake_next() is None, "the other job has not even begun"
    time.sleep(jobs[0], 40.0)
    assert time.start_jobs() == [jobs[1]]
    time.progress(jobs[1], 9.0)
    assert time.wake_next() is None
    time.progress(jobs[1], 10.0)
    assert time.wake_next() == sleeper


def test_a_token_goes_to_the_job_with_the_earliest_start():
    time = VirtualTime(tokens=1)
    busy, late, early = time.enter(0.0), time.enter(20.0), time.enter(10.0)
    for job in (busy, late, early):
        time.wait_for_token(job)
    assert time.start_jobs() == [busy]
    time.leave(busy)
    assert time.start_jobs() == [early]


def test_a_blocked_job_lends_its_token_and_still_holds_time():
    time = VirtualTime(tokens=1)
    asleep, other = time.enter(), time.enter()
    sleeper = time.enter_asleep(1.0)
    time.wait_for_token(asleep)
    time.wait_for_token(other)
    time.start_jobs()
    time.return_token(asleep)
    assert time.start_jobs() == [other]
    time.leave(other)
    assert time.wake_next() is None
    time.progress(asleep, 5.0)
    assert time.wake_next() == sleeper


def test_a_job_that_waits_for_another_holds_nothing_until_it_goes_on():
    """A synchronous call: the caller's time is the callee's."""
    time = VirtualTime(tokens=1)
    caller = time.enter()
    time.wait_for_token(caller)
    time.start_jobs()
    callee = time.enter(3.0)
    time.park(caller)
    time.wait_for_token(callee)
    assert time.start_jobs() == [callee], "the caller's token serves the callee"
    time.sleep(callee, 8.0)
    assert time.wake_next() == callee
    time.resume(caller, 8.0, running=True)
    time.leave(callee)
    assert time.state_of(caller) is State.RUNNING and time.time_of(caller) == 8.0


def test_nobody_passes_the_next_arrival_a_load_generator_has_promised():
    time = VirtualTime(tokens=1)
    generator = time.enter()
    time.promise(generator, 50.0)
    time.enter_asleep(60.0)
    arrival = time.enter_asleep(50.0)
    assert time.wake_next() == arrival
    time.leave(arrival)
    assert time.wake_next() is None
    time.promise(generator, math.inf)
    assert woken(time) == [60.0]


def test_timers_wait_for_the_wall_clock_while_nobody_loads_the_emulator():
    """Else every idle environment would be gone at once, and a schedule would fire without end."""
    time = VirtualTime(tokens=1)
    time.enter_asleep(600_000.0, lazy=True)
    assert time.wake_next() is None
    assert time.next_paced_ms() == 600_000.0
    time.pace_ms = 600_000.0
    assert woken(time) == [600_000.0]


def test_timers_follow_virtual_time_while_a_load_generator_promises():
    time = VirtualTime(tokens=1)
    generator = time.enter()
    time.promise(generator, 700_000.0)
    time.enter_asleep(600_000.0, lazy=True)
    assert time.next_paced_ms() is None
    assert woken(time) == [600_000.0]


def test_a_promise_of_nothing_more_does_not_set_timers_going():
    """The generator only waits for its last answers: schedules must not race ahead of its leaving."""
    time = VirtualTime(tokens=1)
    generator = time.enter()
    time.promise(generator, math.inf)
    time.enter_asleep(600_000.0, lazy=True)
    assert time.wake_next() is None


def test_timers_before_something_certain_to_happen_do_not_wait_for_the_wall_clock():
    """The last request of a run may arrive after 62 quiet hours: what expires before it must have expired."""
    time = VirtualTime(tokens=1)
    time.enter_asleep(600_000.0, lazy=True)
    time.enter_asleep(900_000.0)
    time.enter_asleep(1_200_000.0, lazy=True)
    assert woken(time) == [600_000.0, 900_000.0]


DURATIONS = st.floats(0, 100, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(DURATIONS, st.lists(st.tuples(st.booleans(), DURATIONS), max_size=4)), max_size=12),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_time_never_goes_back_and_the_history_is_the_same_whatever_the_machine_does(plans, tokens, random):
    """Actors run and sleep as planned; which of them the machine serves first is drawn, and changes nothing.

    A plan is (arrival, steps), a step (a job?, how long). A job that takes no time at all may end before or after
    others of the same instant.
    """
    assert sorted(history(plans, tokens, random)) == sorted(history(plans, 1, None))


def history(plans, tokens, random) -> list[tuple[int, float]]:
    """(plan, time) of each step's end, in the order of time."""
    time = VirtualTime(tokens)
    actors = {time.enter_asleep(at_ms, (number,)): (number, list(steps)) for number, (at_ms, steps) in enumerate(plans)}
    active: list[int] = []
    running: dict[int, float] = {}
    seen: list[tuple[int, float]] = []
    while actors:
        now_ms = time.now_ms
        for actor in time.start_jobs():
            running[actor] = actors[actor][1].pop(0)[1]
        actor = time.wake_next()
        assert time.now_ms >= now_ms
        if actor is not None:
            active.append(actor)
            seen.append((actors[actor][0], time.time_of(actor)))
        choices = active + list(running)
        if not choices:
            assert not actors or time.count(State.WAITING) or actor is not None
            continue
        chosen = choices[random.randrange(len(choices))] if random else choices[0]
        if chosen in running:
            time.sleep(chosen, time.time_of(chosen) + running.pop(chosen), (actors[chosen][0],))
            continue
        active.remove(chosen)
        number, steps = actors[chosen]
        if not steps:
            time.leave(chosen)
            del actors[chosen]
        elif steps[0][0]:
            time.wait_for_token(chosen, (number,))
        else:
            time.sleep(chosen, time.time_of(chosen) + steps.pop(0)[1], (number,))
    return seen

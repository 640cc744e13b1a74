"""Placement, reuse, expiry, crashes and throttles, as conversations with the scheduler."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.emulator.commands import SendInvoke, SetTimer, StartEnvironment, StopEnvironment, Throttle
from serverless_lab.emulator.events import (
    FunctionRemoved,
    InitCompleted,
    InitFailed,
    InvokeCompleted,
    InvokeCrashed,
    InvokeReceived,
    ReservedConcurrencySet,
    TimerFired,
)
from serverless_lab.emulator.model import EnvironmentState, FunctionVersion, ThrottleReason
from serverless_lab.emulator.scheduler import TRANSITIONS, IllegalMove
from tests.emulator.playbook import HELLO, Playbook, numbered_scheduler

IDLE_MS = 1_000


def test_a_first_invoke_starts_an_environment_and_waits_for_its_init():
    """This is a cold start: the request is sent only when Init has completed."""
    assert (
        Playbook()
        >> InvokeReceived("req-1", HELLO) << StartEnvironment("env-1", HELLO, "req-1")
        >> InitCompleted("env-1") << SendInvoke("env-1", "req-1")
    )  # fmt: skip


def test_a_second_concurrent_invoke_starts_a_second_environment():
    """One environment serves one invoke at a time, so a busy one is never shared."""
    assert (
        Playbook()
        >> InvokeReceived("req-1", HELLO) << StartEnvironment("env-1", HELLO, "req-1")
        >> InitCompleted("env-1") << SendInvoke("env-1", "req-1")
        >> InvokeReceived("req-2", HELLO) << StartEnvironment("env-2", HELLO, "req-2")
    )  # fmt: skip


def two_idle_environments(**options) -> Playbook:
    """env-1 idle since 10 ms, env-2 since 20 ms."""
    book = Playbook(numbered_scheduler(idle_lifetime_ms=IDLE_MS, **options))
    book = (
        book
        >> InvokeReceived("a", HELLO) << StartEnvironment("env-1", HELLO, "a")
        >> InvokeReceived("b", HELLO) << StartEnvironment("env-2", HELLO, "b")
        >> InitCompleted("env-1") << SendInvoke("env-1", "a")
        >> InitCompleted("env-2") << SendInvoke("env-2", "b")
    )  # fmt: skip
    book = book.at(10) >> InvokeCompleted("env-1") << SetTimer("env-1", 10 + IDLE_MS)
    return book.at(20) >> InvokeCompleted("env-2") << SetTimer("env-2", 20 + IDLE_MS)


def test_the_environment_used_most_recently_is_reused_first():
    """So that the others can age and expire."""
    assert two_idle_environments() >> InvokeReceived("c", HELLO) << SendInvoke("env-2", "c")


def test_an_environment_idle_for_the_idle_lifetime_is_stopped():
    assert two_idle_environments().at(10 + IDLE_MS) >> TimerFired("env-1") << StopEnvironment("env-1")


def test_a_timer_of_an_environment_used_since_is_set_anew_from_its_last_use():
    """One timer per environment rather than one per request, so that a warm invoke costs no timer."""
    book = two_idle_environments()
    book = book.at(500) >> InvokeReceived("c", HELLO) << SendInvoke("env-2", "c")
    book = book.at(600) >> InvokeCompleted("env-2")
    book = book.at(20 + IDLE_MS) >> TimerFired("env-2") << SetTimer("env-2", 600 + IDLE_MS)
    assert book.at(600 + IDLE_MS) >> TimerFired("env-2") << StopEnvironment("env-2")


def test_a_timer_that_fires_during_an_invoke_stops_nothing():
    book = two_idle_environments() >> InvokeReceived("c", HELLO) << SendInvoke("env-2", "c")
    book = book.at(20 + IDLE_MS) >> TimerFired("env-2")
    assert book.at(3_000) >> InvokeCompleted("env-2") << SetTimer("env-2", 3_000 + IDLE_MS)


def test_after_a_crash_the_next_invoke_repeats_init_in_the_same_environment():
    """documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html, reset and reuse."""
    assert (
        Playbook(numbered_scheduler(idle_lifetime_ms=IDLE_MS))
        >> InvokeReceived("req-1", HELLO) << StartEnvironment("env-1", HELLO, "req-1")
        >> InitCompleted("env-1") << SendInvoke("env-1", "req-1")
        >> InvokeCrashed("env-1") << SetTimer("env-1", IDLE_MS)
        >> InvokeReceived("req-2", HELLO) << SendInvoke("env-1", "req-2", repeat_init=True)
    )  # fmt: skip


def test_a_failed_init_is_repeated_by_the_request_that_waits_for_it():
    assert (
        Playbook()
        >> InvokeReceived("req-1", HELLO) << StartEnvironment("env-1", HELLO, "req-1")
        >> InitFailed("env-1") << SendInvoke("env-1", "req-1", repeat_init=True)
    )  # fmt: skip


def test_a_request_over_the_account_limit_is_throttled():
    assert (
        Playbook(numbered_scheduler(account_concurrency=1))
        >> InvokeReceived("req-1", HELLO) << StartEnvironment("env-1", HELLO, "req-1")
        >> InvokeReceived("req-2", HELLO) << Throttle("req-2", ThrottleReason.ACCOUNT)
    )  # fmt: skip


def test_reserved_concurrency_limits_its_function_and_is_kept_from_the_others():
    """It is taken out of the account's pool whether it is used or not."""
    small = FunctionVersion("small", "$LATEST", "r1")
    assert (
        Playbook(numbered_scheduler(account_concurrency=2))
        >> ReservedConcurrencySet("small", 1)
        >> InvokeReceived("h1", HELLO) << StartEnvironment("env-1", HELLO, "h1")
        >> InvokeReceived("h2", HELLO) << Throttle("h2", ThrottleReason.ACCOUNT)
        >> InvokeReceived("s1", small) << StartEnvironment("env-2", small, "s1")
        >> InvokeReceived("s2", small) << Throttle("s2", ThrottleReason.RESERVED)
    )  # fmt: skip


def test_reserved_concurrency_of_zero_stops_a_function_until_it_is_taken_away():
    assert (
        Playbook()
        >> ReservedConcurrencySet("hello", 0)
        >> InvokeReceived("h1", HELLO) << Throttle("h1", ThrottleReason.RESERVED)
        >> ReservedConcurrencySet("hello", None)
        >> InvokeReceived("h2", HELLO) << StartEnvironment("env-1", HELLO, "h2")
    )  # fmt: skip


def test_a_new_revision_is_served_by_new_environments_and_ends_the_old_idle_ones():
    """An update of code or configuration makes the next request cold."""
    updated = FunctionVersion("hello", "$LATEST", "r2")
    assert (
        two_idle_environments()
        >> InvokeReceived("c", updated)
        << StopEnvironment("env-1") << StopEnvironment("env-2")
        << StartEnvironment("env-3", updated, "c")
    )  # fmt: skip


def test_a_busy_environment_of_a_removed_function_is_stopped_when_it_is_done():
    assert (
        Playbook()
        >> InvokeReceived("req-1", HELLO) << StartEnvironment("env-1", HELLO, "req-1")
        >> FunctionRemoved("hello")
        >> InitCompleted("env-1") << SendInvoke("env-1", "req-1")
        >> InvokeCompleted("env-1") << StopEnvironment("env-1")
    )  # fmt: skip


def test_an_idle_environment_of_a_removed_function_goes_before_one_that_is_still_initialising():
    assert (
        Playbook(numbered_scheduler(idle_lifetime_ms=IDLE_MS))
        >> InvokeReceived("a", HELLO) << StartEnvironment("env-1", HELLO, "a")
        >> InvokeReceived("b", HELLO) << StartEnvironment("env-2", HELLO, "b")
        >> InitCompleted("env-1") << SendInvoke("env-1", "a")
        >> InvokeCompleted("env-1") << SetTimer("env-1", IDLE_MS)
        >> FunctionRemoved("hello") << StopEnvironment("env-1")
        >> InitCompleted("env-2") << SendInvoke("env-2", "b")
        >> InvokeCompleted("env-2") << StopEnvironment("env-2")
    )  # fmt: skip


def test_recycling_one_version_leaves_the_others_alone():
    published = FunctionVersion("hello", "1", "r1")
    book = two_idle_environments()
    book = book >> InvokeReceived("p", published) << StartEnvironment("env-3", published, "p")
    book = book >> InitCompleted("env-3") << SendInvoke("env-3", "p")
    book = book >> InvokeCompleted("env-3") << SetTimer("env-3", 20 + IDLE_MS)
    book = book >> FunctionRemoved("hello", "$LATEST") << StopEnvironment("env-1") << StopEnvironment("env-2")
    assert book >> InvokeReceived("q", published) << SendInvoke("env-3", "q")


def test_a_waiting_request_takes_a_freed_environment_when_the_option_says_so():
    """Then the environment that was started for it rests when its Init is done: nobody waited for it."""
    book = Playbook(numbered_scheduler(idle_lifetime_ms=IDLE_MS, waiting_takes_freed=True))
    assert (
        book
        >> InvokeReceived("req-1", HELLO) << StartEnvironment("env-1", HELLO, "req-1")
        >> InitCompleted("env-1") << SendInvoke("env-1", "req-1")
        >> InvokeReceived("req-2", HELLO) << StartEnvironment("env-2", HELLO, "req-2")
        >> InvokeCompleted("env-1") << SendInvoke("env-1", "req-2")
        >> InitCompleted("env-2") << SetTimer("env-2", IDLE_MS)
    )  # fmt: skip


def test_an_impossible_report_of_a_driver_is_an_error_that_names_state_and_event():
    book = Playbook() >> InvokeReceived("req-1", HELLO) << StartEnvironment("env-1", HELLO, "req-1")
    with pytest.raises(IllegalMove, match=r"env-1 of hello is in INIT: no InvokeCompleted"):
        book.scheduler.handle(InvokeCompleted("env-1"), 0)


def test_no_move_leads_out_of_stopped():
    assert not [state for state, _ in TRANSITIONS if state is EnvironmentState.STOPPED]


# Whatever happens, in whatever order -------------------------------------------------------------------------------

FUNCTIONS = (HELLO, FunctionVersion("hello", "1", "r1"), FunctionVersion("bye", "$LATEST", "r1"))


class Driver:
    """Carries commands out instantly or later, as drawn, and keeps the books the scheduler must agree with."""

    def __init__(self, draw, **options) -> None:
        self.draw = draw
        self.scheduler = numbered_scheduler(**options)
        self.now_ms = 0.0
        self.initialising: list[str] = []
        self.serving: dict[str, str] = {}
        self.answered: list[str] = []
        self.alive: set[str] = set()
        self.timers: list[tuple[float, str]] = []

    def tell(self, event) -> None:
        for command in self.scheduler.handle(event, self.now_ms):
            match command:
                case StartEnvironment(environment_id):
                    self.initialising.append(environment_id)
                    self.alive.add(environment_id)
                case SendInvoke(environment_id, request_id):
                    assert environment_id not in self.serving, "an environment got two requests at once"
                    assert environment_id in self.alive
                    self.serving[environment_id] = request_id
                case Throttle(request_id):
                    self.answered.append(request_id)
                case StopEnvironment(environment_id):
                    assert environment_id not in self.serving, "an environment in use was stopped"
                    self.alive.remove(environment_id)
                case SetTimer(environment_id, at_ms):
                    assert at_ms >= self.now_ms
                    self.timers.append((at_ms, environment_id))

    def finish_init(self, index: int, succeeded: bool) -> None:
        environment_id = self.initialising.pop(index % len(self.initialising))
        self.tell(InitCompleted(environment_id) if succeeded else InitFailed(environment_id))

    def finish_invoke(self, index: int, succeeded: bool) -> None:
        environment_id = sorted(self.serving)[index % len(self.serving)]
        self.answered.append(self.serving.pop(environment_id))
        self.tell(InvokeCompleted(environment_id) if succeeded else InvokeCrashed(environment_id))

    def advance(self, by_ms: float) -> None:
        self.now_ms += by_ms
        due = sorted(timer for timer in self.timers if timer[0] <= self.now_ms)
        self.timers = [timer for timer in self.timers if timer[0] > self.now_ms]
        for _, environment_id in due:
            self.tell(TimerFired(environment_id))


@settings(max_examples=200, deadline=None)
@given(st.data(), st.booleans())
def test_every_request_is_answered_once_and_all_counts_return_to_zero(data, waiting_takes_freed):
    """Any interleaving of arrivals, ends, crashes, updates and time leaves no request and no environment behind."""
    driver = Driver(data.draw, account_concurrency=4, idle_lifetime_ms=100, waiting_takes_freed=waiting_takes_freed)
    driver.tell(ReservedConcurrencySet("bye", 2))
    sent = 0
    steps = data.draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), st.booleans()), max_size=60))
    for action, number, flag in steps:
        if action <= 1:
            sent += 1
            driver.tell(InvokeReceived(f"req-{sent}", FUNCTIONS[number % len(FUNCTIONS)]))
        elif action == 2 and driver.initialising:
            driver.finish_init(number, flag)
        elif action == 3 and driver.serving:
            driver.finish_invoke(number, flag)
        elif action == 4:
            driver.advance(number * 30)
        elif action == 5 and number == 0:
            driver.tell(FunctionRemoved("hello", "1" if flag else None))
    while driver.initialising or driver.serving:
        if driver.initialising:
            driver.finish_init(0, True)
        if driver.serving:
            driver.finish_invoke(0, True)
    for _ in range(3):
        driver.advance(100)
    assert sorted(driver.answered) == sorted(f"req-{number}" for number in range(1, sent + 1))
    assert driver.alive == set()
    assert driver.scheduler.environments == {}
    assert not driver.scheduler.concurrency.running
    assert driver.scheduler.concurrency.unreserved_running() == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=40))
def test_never_more_invocations_at_once_than_the_limits_allow(choices):
    scheduler = numbered_scheduler(account_concurrency=5)
    scheduler.handle(ReservedConcurrencySet("bye", 2), 0)
    for number, choice in enumerate(choices):
        scheduler.handle(InvokeReceived(f"req-{number}", FUNCTIONS[choice]), 0)
        assert scheduler.concurrency.running["bye"] <= 2
        assert scheduler.concurrency.running.total() <= 5

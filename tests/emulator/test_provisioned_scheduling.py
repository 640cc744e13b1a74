"""Provisioned concurrency, as conversations with the scheduler."""

from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.emulator.allocation import AllocationStatus
from serverless_lab.emulator.commands import (
    ProvisionEnvironment,
    SendInvoke,
    SetTimer,
    StartEnvironment,
    StopEnvironment,
    Throttle,
)
from serverless_lab.emulator.events import (
    FunctionRemoved,
    InitCompleted,
    InitFailed,
    InvokeCompleted,
    InvokeCrashed,
    InvokeReceived,
    ProvisionedConcurrencySet,
    ReservedConcurrencySet,
    TimerFired,
)
from serverless_lab.emulator.model import FunctionVersion, ThrottleReason
from tests.emulator.playbook import Playbook, numbered_scheduler

ONE = FunctionVersion("shop", "1", "r1")
TWO = FunctionVersion("shop", "2", "r2")
LATEST = FunctionVersion("shop", "$LATEST", "r2")
IDLE_MS = 1_000


def provisioned(count: int, **options) -> Playbook:
    """Alias live of version 1 with `count` environments, env-1 and on, that are ready."""
    book = Playbook(numbered_scheduler(idle_lifetime_ms=IDLE_MS, **options))
    book = book >> ProvisionedConcurrencySet("shop", "live", ONE, count)
    for number in range(1, count + 1):
        book = book << ProvisionEnvironment(f"env-{number}", ONE)
    for number in range(1, count + 1):
        book = book >> InitCompleted(f"env-{number}")
    return book


def counts(book: Playbook, qualifier: str = "live") -> tuple[str, int, int, int]:
    found = book.scheduler.allocation("shop", qualifier)
    assert found is not None
    return found.status.value, found.requested, found.allocated, found.available


def test_a_request_takes_a_provisioned_environment_and_waits_for_no_init():
    assert provisioned(1) >> InvokeReceived("a", ONE) << SendInvoke("env-1", "a")


def test_none_can_be_used_until_all_have_initialised():
    """documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html."""
    book = Playbook() >> ProvisionedConcurrencySet("shop", "live", ONE, 2)
    book = book << ProvisionEnvironment("env-1", ONE) << ProvisionEnvironment("env-2", ONE)
    assert counts(book) == ("IN_PROGRESS", 2, 0, 0)
    book = book >> InitCompleted("env-1")
    assert counts(book) == ("IN_PROGRESS", 2, 1, 0)
    book = book >> InvokeReceived("a", ONE) << StartEnvironment("env-3", ONE, "a")
    book = book >> InitCompleted("env-2")
    assert counts(book) == ("READY", 2, 2, 2)
    assert book >> InvokeReceived("b", ONE) << SendInvoke("env-2", "b")


def test_a_request_spills_over_to_an_on_demand_environment_when_all_are_busy():
    assert (
        provisioned(1)
        >> InvokeReceived("a", ONE) << SendInvoke("env-1", "a")
        >> InvokeReceived("b", ONE) << StartEnvironment("env-2", ONE, "b")
        >> InvokeCompleted("env-1")
        >> InitCompleted("env-2") << SendInvoke("env-2", "b")
    )  # fmt: skip


def test_a_provisioned_environment_is_used_before_a_warm_on_demand_one():
    book = provisioned(1) >> InvokeReceived("a", ONE) << SendInvoke("env-1", "a")
    book = book >> InvokeReceived("b", ONE) << StartEnvironment("env-2", ONE, "b")
    book = book >> InitCompleted("env-2") << SendInvoke("env-2", "b")
    book = book >> InvokeCompleted("env-1")
    book = book >> InvokeCompleted("env-2") << SetTimer("env-2", IDLE_MS)
    assert (
        book
        >> InvokeReceived("c", ONE) << SendInvoke("env-1", "c")
        >> InvokeReceived("d", ONE) << SendInvoke("env-2", "d")
    )  # fmt: skip


def test_more_than_ten_requests_a_second_each_spill_over_too():
    """The example of AWS's page: ten provisioned take 100 requests a second, here one takes ten."""
    book = provisioned(1)
    for number in range(10):
        book = book >> InvokeReceived(f"r{number}", ONE) << SendInvoke("env-1", f"r{number}")
        book = book >> InvokeCompleted("env-1")
    book = book >> InvokeReceived("over", ONE) << StartEnvironment("env-2", ONE, "over")
    assert book.at(100) >> InvokeReceived("later", ONE) << SendInvoke("env-1", "later")


def test_other_versions_do_not_use_it():
    assert provisioned(1) >> InvokeReceived("a", LATEST) << StartEnvironment("env-2", LATEST, "a")


def test_a_provisioned_environment_never_expires():
    """It has no timer: after an invocation it just rests."""
    book = provisioned(1) >> InvokeReceived("a", ONE) << SendInvoke("env-1", "a") >> InvokeCompleted("env-1")
    book = book.at(86_400_000) >> TimerFired("env-1")
    assert book >> InvokeReceived("b", ONE) << SendInvoke("env-1", "b")


def test_one_that_crashed_is_replaced_and_its_place_is_not_given_away():
    book = provisioned(2) >> InvokeReceived("a", ONE) << SendInvoke("env-2", "a")
    book = book >> InvokeCrashed("env-2") << StopEnvironment("env-2") << ProvisionEnvironment("env-3", ONE)
    assert counts(book) == ("READY", 2, 1, 1)
    book = book >> InvokeReceived("b", ONE) << SendInvoke("env-1", "b")
    book = book >> InitCompleted("env-3")
    assert counts(book) == ("READY", 2, 2, 2)
    assert book >> InvokeReceived("c", ONE) << SendInvoke("env-3", "c")


def test_a_moved_alias_keeps_its_old_environments_until_the_new_ones_are_ready():
    book = provisioned(1) >> ProvisionedConcurrencySet("shop", "live", TWO, 1) << ProvisionEnvironment("env-2", TWO)
    assert counts(book) == ("IN_PROGRESS", 1, 1, 1)
    book = book >> InvokeReceived("old", ONE) << SendInvoke("env-1", "old")
    book = book >> InvokeReceived("new", TWO) << StartEnvironment("env-3", TWO, "new")
    book = book >> InitCompleted("env-2")
    assert counts(book) == ("READY", 1, 1, 1)
    book = book >> InvokeCompleted("env-1") << StopEnvironment("env-1")
    assert book >> InvokeReceived("next", TWO) << SendInvoke("env-2", "next")


def test_an_alias_that_is_moved_back_before_that_has_its_environments_still():
    book = provisioned(1) >> ProvisionedConcurrencySet("shop", "live", TWO, 1) << ProvisionEnvironment("env-2", TWO)
    book = book >> ProvisionedConcurrencySet("shop", "live", ONE, 1)
    assert counts(book) == ("READY", 1, 1, 1)
    book = book >> InitCompleted("env-2") << StopEnvironment("env-2")
    assert book >> InvokeReceived("a", ONE) << SendInvoke("env-1", "a")


def test_a_smaller_number_ends_the_surplus_idle_ones_at_once_and_busy_ones_when_they_are_done():
    book = provisioned(2) >> InvokeReceived("a", ONE) << SendInvoke("env-2", "a")
    book = book >> ProvisionedConcurrencySet("shop", "live", ONE, 1) << StopEnvironment("env-1")
    book = book >> InvokeCompleted("env-2")
    book = book >> InvokeReceived("b", ONE) << SendInvoke("env-2", "b")
    book = book >> ProvisionedConcurrencySet("shop", "live", ONE, 0)
    assert book.scheduler.allocation("shop", "live") is None
    assert book >> InvokeCompleted("env-2") << StopEnvironment("env-2")


def test_a_greater_number_leaves_the_ready_ones_in_use_meanwhile():
    book = provisioned(1) >> ProvisionedConcurrencySet("shop", "live", ONE, 2) << ProvisionEnvironment("env-2", ONE)
    assert counts(book) == ("IN_PROGRESS", 2, 1, 1)
    assert book >> InvokeReceived("a", ONE) << SendInvoke("env-1", "a")


def test_an_init_is_tried_six_times_and_then_the_allocation_has_failed():
    """measured: six attempts on AWS, told by LocalStack's test_provisioned_concurrency_init_failure."""
    book = Playbook() >> ProvisionedConcurrencySet("shop", "live", ONE, 1) << ProvisionEnvironment("env-1", ONE)
    for attempt in range(1, 6):
        book = book >> InitFailed(f"env-{attempt}")
        book = book << StopEnvironment(f"env-{attempt}") << ProvisionEnvironment(f"env-{attempt + 1}", ONE)
        assert counts(book) == ("IN_PROGRESS", 1, 0, 0)
    book = book >> InitFailed("env-6") << StopEnvironment("env-6")
    found = book.scheduler.allocation("shop", "live")
    assert found is not None
    assert (found.status, found.reason) == (AllocationStatus.FAILED, "FUNCTION_ERROR_INIT_FAILURE")
    book = book >> InvokeReceived("a", ONE) << StartEnvironment("env-7", ONE, "a")
    assert book >> ProvisionedConcurrencySet("shop", "live", ONE, 1) << ProvisionEnvironment("env-8", ONE)


def test_when_one_of_several_cannot_initialise_none_is_kept():
    book = Playbook() >> ProvisionedConcurrencySet("shop", "live", ONE, 2)
    book = book << ProvisionEnvironment("env-1", ONE) << ProvisionEnvironment("env-2", ONE) >> InitCompleted("env-1")
    for attempt in range(2, 7):
        book = book >> InitFailed(f"env-{attempt}")
        book = book << StopEnvironment(f"env-{attempt}") << ProvisionEnvironment(f"env-{attempt + 1}", ONE)
    assert book >> InitFailed("env-7") << StopEnvironment("env-7") << StopEnvironment("env-1")
    assert counts(book) == ("FAILED", 2, 0, 0)


def test_removing_the_version_ends_its_provisioned_environments():
    book = provisioned(1) >> FunctionRemoved("shop", "1") << StopEnvironment("env-1")
    assert book.scheduler.allocation("shop", "live") is None


def test_as_much_provisioned_as_is_reserved_throttles_latest():
    book = provisioned(1) >> ReservedConcurrencySet("shop", 1)
    book = book >> InvokeReceived("a", LATEST) << Throttle("a", ThrottleReason.RESERVED)
    assert book >> InvokeReceived("b", ONE) << SendInvoke("env-1", "b")


def test_a_waiting_request_takes_a_freed_provisioned_environment_when_the_option_says_so():
    book = provisioned(1, waiting_takes_freed=True) >> InvokeReceived("a", ONE) << SendInvoke("env-1", "a")
    book = book >> InvokeReceived("b", ONE) << StartEnvironment("env-2", ONE, "b")
    book = book >> InvokeCompleted("env-1") << SendInvoke("env-1", "b")
    book = book >> InitCompleted("env-2") << SetTimer("env-2", IDLE_MS)
    assert book.scheduler.concurrency.running_provisioned == {"shop": 1}
    assert not book.scheduler.concurrency.running


# Whatever happens, in whatever order -------------------------------------------------------------------------------

VERSIONS = (ONE, TWO, LATEST)
ASKED = (("live", ONE), ("live", TWO), ("2", TWO))


class Driver:
    """Carries commands out later, as drawn, and keeps books the scheduler must agree with."""

    def __init__(self, **options) -> None:
        self.scheduler = numbered_scheduler(idle_lifetime_ms=100, **options)
        self.now_ms = 0.0
        self.initialising: list[str] = []
        self.provisioning: list[str] = []
        self.serving: dict[str, str] = {}
        self.idle: dict[str, FunctionVersion] = {}
        self.versions: dict[str, FunctionVersion] = {}
        self.provisioned: set[str] = set()
        self.alive: set[str] = set()
        self.answered: list[str] = []
        self.timers: list[tuple[float, str]] = []

    def tell(self, event) -> None:
        for command in self.scheduler.handle(event, self.now_ms):
            match command:
                case StartEnvironment(environment_id, function):
                    self.initialising.append(environment_id)
                    self._started(environment_id, function)
                case ProvisionEnvironment(environment_id, function):
                    self.provisioning.append(environment_id)
                    self.provisioned.add(environment_id)
                    self._started(environment_id, function)
                case SendInvoke(environment_id, request_id, repeat_init):
                    assert environment_id in self.alive
                    assert environment_id not in self.serving
                    assert environment_id not in self.provisioning
                    assert not (repeat_init and environment_id in self.provisioned), "it should have been replaced"
                    self.serving[environment_id] = request_id
                case Throttle(request_id):
                    self.answered.append(request_id)
                case StopEnvironment(environment_id):
                    assert environment_id not in self.serving, "an environment in use was stopped"
                    self.alive.remove(environment_id)
                    self.provisioned.discard(environment_id)
                case SetTimer(environment_id, at_ms):
                    assert environment_id not in self.provisioned, "a provisioned environment does not expire"
                    self.timers.append((at_ms, environment_id))

    def _started(self, environment_id: str, function: FunctionVersion) -> None:
        self.alive.add(environment_id)
        self.versions[environment_id] = function

    def request(self, request_id: str, function: FunctionVersion) -> None:
        available = sum(
            found.available
            for qualifier in ("live", "2")
            if (found := self.scheduler.allocation("shop", qualifier)) is not None
        )
        before = len(self.initialising)
        running = self.scheduler.concurrency.running_provisioned.total()
        self.tell(InvokeReceived(request_id, function, synchronous=False))
        only_one_version = {self.versions[name] for name in self.provisioned} == {function}
        if only_one_version and available > running and request_id not in self.answered:
            assert len(self.initialising) == before, "it waits although a provisioned environment is idle"

    def finish_init(self, index: int, succeeded: bool) -> None:
        waiting = self.initialising + self.provisioning
        environment_id = waiting[index % len(waiting)]
        (self.initialising if environment_id in self.initialising else self.provisioning).remove(environment_id)
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

    def settle(self) -> None:
        while self.initialising or self.provisioning or self.serving:
            if self.initialising or self.provisioning:
                self.finish_init(0, True)
            if self.serving:
                self.finish_invoke(0, True)
        for _ in range(3):
            self.advance(100)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.booleans()), max_size=70),
    st.booleans(),
)
def test_once_settled_there_is_what_was_asked_for_and_nothing_else(steps, waiting_takes_freed):
    """Any interleaving of requests, ends, crashes, failed inits, changes of the setting, moves and removals: each
    request is answered once; as many provisioned environments are alive as READY settings ask for; counts are zero."""
    driver = Driver(account_concurrency=20, waiting_takes_freed=waiting_takes_freed)
    asked: dict[str, tuple[FunctionVersion, int]] = {}
    sent = 0
    for action, number, flag in steps:
        if action <= 2:
            sent += 1
            driver.request(f"req-{sent}", VERSIONS[number % len(VERSIONS)])
        elif action == 3 and (driver.initialising or driver.provisioning):
            driver.finish_init(number, flag)
        elif action == 4 and driver.serving:
            driver.finish_invoke(number, flag)
        elif action == 5:
            driver.advance(number * 30)
        elif action == 6:
            qualifier, function = ASKED[number % len(ASKED)]
            count = number // 2
            asked[qualifier] = function, count
            driver.tell(ProvisionedConcurrencySet("shop", qualifier, function, count))
        elif action == 7 and number == 0:
            driver.tell(FunctionRemoved("shop", "1" if flag else None))
            asked = {name: found for name, found in asked.items() if flag and found[0].version != "1"}
    driver.settle()
    assert sorted(driver.answered) == sorted(f"req-{number}" for number in range(1, sent + 1))
    assert not driver.scheduler.concurrency.running
    assert not driver.scheduler.concurrency.running_provisioned
    assert driver.alive == driver.provisioned == set(driver.scheduler.environments)
    expected = 0
    for qualifier, (_, count) in asked.items():
        found = driver.scheduler.allocation("shop", qualifier)
        assert (found is None) == (count == 0)
        if found is not None and found.status is AllocationStatus.READY:
            assert (found.requested, found.allocated, found.available) == (count, count, count)
        assert found is None or found.status is not AllocationStatus.IN_PROGRESS
        expected += 0 if found is None else found.allocated
    assert len(driver.alive) == expected
    for qualifier in asked:
        driver.tell(ProvisionedConcurrencySet("shop", qualifier, ONE, 0))
    driver.settle()
    assert driver.alive == set()
    assert driver.scheduler.environments == {}
    assert not driver.scheduler.concurrency.provisioned

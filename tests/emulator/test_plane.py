"""What becomes of an invocation whose environment cannot be made."""

from __future__ import annotations

import threading

import pytest

from serverless_lab.emulator.clock import WallClock
from serverless_lab.emulator.environments import InitOutcome, InvokeOutcome, InvokeRequest
from serverless_lab.emulator.meter import Meter
from serverless_lab.emulator.model import FunctionVersion
from serverless_lab.emulator.plane import LambdaPlane
from serverless_lab.report_line import ReportLine
from tests.emulator.playbook import numbered_scheduler

HELLO = FunctionVersion("hello", "$LATEST", "r1")


class Environment:
    """One that does nothing, and fails to start as often as it is told."""

    class function:
        memory_size_mb = 128
        name = "hello"

    def __init__(self, environment_id: str, failing_starts: int = 0) -> None:
        self.environment_id = environment_id
        self.failing_starts = failing_starts
        self.repeated: list[bool] = []

    def _start(self) -> None:
        if self.failing_starts:
            self.failing_starts -= 1
            raise OSError(24, "Too many open files")

    def init(self, meter: Meter) -> InitOutcome:
        self._start()
        return InitOutcome(True, 1.0)

    def invoke(self, request: InvokeRequest, repeat_init: bool, meter: Meter) -> InvokeOutcome:
        if repeat_init:
            self._start()
        self.repeated.append(repeat_init)
        report = ReportLine(request.request_id, 1.0)
        return InvokeOutcome(b"1", None, 1.0, report, crashed=False, tail=b"")


class Host:
    """Makes environments, as long as it has room for them."""

    def __init__(self, account_concurrency: int = 1) -> None:
        clock = WallClock()
        self.clock = clock
        self.plane = LambdaPlane(numbered_scheduler(account_concurrency=account_concurrency), clock)
        self.made: list[Environment] = []
        self.failures = 0
        self.failing_starts = 0

    def make(self, environment_id: str) -> Environment:
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        self.made.append(Environment(environment_id, self.failing_starts))
        return self.made[-1]

    def invoke(self, number: int) -> object:
        """On a thread, so that one that waits for ever fails the test."""
        found: list[object] = []

        def run() -> None:
            request = InvokeRequest(f"request-{number}", b"null", "arn")
            try:
                found.append(self.plane.invoke(HELLO, request, self.make, self.clock.enter()))
            except OSError as problem:
                found.append(problem)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(20)
        assert found, "the caller waits for ever"
        return found[0]


def test_one_that_cannot_be_made_at_first_is_made_when_its_request_is_served():
    host = Host()
    host.failures = 1
    assert host.invoke(1).outcome.payload == b"1"
    assert host.made[0].repeated == [True]


@pytest.mark.parametrize("what", ["failures", "failing_starts"])
def test_a_host_without_room_is_told_to_the_caller_and_costs_no_concurrency(what: str):
    """With a concurrency of one, a lost place would throttle every request after it."""
    host = Host(account_concurrency=1)
    setattr(host, what, 4)
    assert isinstance(host.invoke(1), OSError)
    assert isinstance(host.invoke(2), OSError)
    host.failures = 0
    for environment in host.made:
        environment.failing_starts = 0
    assert host.invoke(3).outcome.payload == b"1"
    assert host.plane.counts()["hello"]["ready"] == 1

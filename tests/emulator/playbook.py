"""A scheduler and the conversation with it, written as events in (`>>`) and the commands expected out (`<<`)."""

from __future__ import annotations

import itertools

from serverless_lab.emulator.commands import Command
from serverless_lab.emulator.events import Event
from serverless_lab.emulator.model import FunctionVersion, SchedulerOptions
from serverless_lab.emulator.scheduler import Scheduler

HELLO = FunctionVersion("hello", "$LATEST", "r1")


def numbered_scheduler(**options) -> Scheduler:
    """A scheduler whose environments are called env-1, env-2, …"""
    counter = itertools.count(1)
    return Scheduler(SchedulerOptions(**options), lambda: f"env-{next(counter)}")


class Playbook:
    """Fails when an event is not answered by exactly the commands that follow it, in that order."""

    def __init__(self, scheduler: Scheduler | None = None) -> None:
        self.scheduler = scheduler or numbered_scheduler()
        self.now_ms = 0.0
        self._got: list[Command] = []

    def at(self, now_ms: float) -> Playbook:
        self.now_ms = now_ms
        return self

    def __rshift__(self, event: Event) -> Playbook:
        self._nothing_left()
        self._got = self.scheduler.handle(event, self.now_ms)
        return self

    def __lshift__(self, expected: Command) -> Playbook:
        assert self._got, f"expected {expected}, got no further command"
        got = self._got.pop(0)
        assert got == expected, f"expected {expected}, got {got}"
        return self

    def __bool__(self) -> bool:
        self._nothing_left()
        return True

    def _nothing_left(self) -> None:
        assert not self._got, f"commands nobody expected: {self._got}"

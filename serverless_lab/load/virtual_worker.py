"""A worker in the emulator's virtual time, which it sends ahead of; see `participant`."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import NamedTuple

import gevent
import gevent.lock
import gevent.pool

from serverless_lab.load.arrivals import Arrival
from serverless_lab.load.participant import HOLD_ID_HEADER, LATENCY_HEADER, ClockLost, Participant, sentence
from serverless_lab.load.sender import Reply, exchange
from serverless_lab.load.templates import Prepared, origin
from serverless_lab.load.worker import STOPPED, TICK_S, Setting, Worker, cookie_line, header, keep_cookies

AHEAD_AT_MOST = 256  # arrivals that a worker has given the emulator before their virtual time
REAL_TIMEOUT_S = 600.0  # for an answer in virtual time, which says nothing about real time
BEAT_S = 2.0


class Ended(NamedTuple):
    """An answered request: when that was, after the run's start, and the hold on its end where one was asked for."""

    at_ms: float
    hold_id: str


class HeardTime:
    """Virtual time as far as answers have told it. Arrivals are sent ahead of it, so nobody waits for it here."""

    def __init__(self) -> None:
        self.heard_ms = 0.0

    def now_ms(self) -> float:
        return self.heard_ms

    def wait_until(self, at_ms: float) -> None:
        gevent.sleep(0)


class VirtualWorker(Worker):
    """Sends ahead what arrives in the emulator's virtual time; see `participant`."""

    def __init__(self, setting: Setting, index: int) -> None:
        super().__init__(setting, index)
        self.pool = gevent.pool.Pool()  # a session that waits for its turn must not keep an earlier one from its own
        self.clock = self.time = HeardTime()
        self.part = Participant(origin(self.plan.clock_url))
        self.room = gevent.lock.BoundedSemaphore(AHEAD_AT_MOST)
        self.position = self.busy_clients = 0
        self.open: Counter[float] = Counter()
        self.lost: str | None = None
        self.sender = gevent.getcurrent()

    def prepare(self) -> None:
        super().prepare()
        if self.scenario.model == "open":
            self.schedule.sort(key=self.first_ms)
            self.due_times = [self.first_ms(arrival) for arrival in self.schedule]

    def begin(self, start_epoch_s: float) -> None:
        first = self.due_times[0] if self.due_times else 0.0 if self.scenario.model == "closed" else None
        zero = self.part.join(self.plan.run, self.index, self.plan.workers, first, self.scenario.quiet_ms)
        self.start_epoch_ms = zero.epoch_ms
        self.runner.send_message("lab_zero", {"epoch_ms": zero.epoch_ms})
        self.sender = gevent.getcurrent()

    def stopped_ms(self) -> float:
        """Of what was sent ahead, the emulator says what has arrived: no answer may have told of that time yet."""
        if len(self.pool) and self.lost is None:
            with contextlib.suppress(ClockLost):  # `end` tells of that
                self.time.heard_ms = max(self.time.heard_ms, self.part.beat())
        return self.time.heard_ms

    def end(self) -> None:
        try:
            self.part.leave()
        except ClockLost as error:
            self.outlet.tell("lost", reason=self.lost or str(error))

    def give_up(self, reason: str) -> None:
        """Time does not go on for this run as it should: what could still be measured would be wrong."""
        if self.lost is None:
            self.lost = reason
            gevent.spawn(gevent.kill, self.sender, ClockLost(reason))

    def release(self, hold_id: str) -> None:
        try:
            self.part.release(hold_id)
        except ClockLost as error:
            self.give_up(str(error))

    def first_ms(self, arrival: Arrival) -> float:
        """When the first requests of an arrival are due: a session may begin with a pause."""
        return arrival.at_ms + self.scenario.mix[arrival.entry].steps[0].think_time_ms

    # Open model

    def launch(self, arrival: Arrival, steps: list[list[Prepared]]) -> None:
        self.waiting[arrival.number] = arrival
        self.room.acquire()
        self.position += 1
        at_ms = self.first_ms(arrival)
        after_ms = self.due_times[self.position] if self.position < len(self.due_times) else None
        last = len(steps[0]) - 1
        stamps = [
            self.part.planned(at_ms, after_ms if place == last else at_ms, hold=len(steps) > 1)
            for place in range(last + 1)
        ]
        self.pool.spawn(self.visit_ahead, arrival, steps, stamps)

    def visit_ahead(self, arrival: Arrival, steps: list[list[Prepared]], stamps: list[bytes]) -> None:
        del self.waiting[arrival.number]
        cookies: dict[str, str] = {}
        due_ms = self.first_ms(arrival)
        try:
            ended = self.send_group(arrival, steps[0], due_ms, cookies, stamps)
        finally:
            self.room.release()
        for place in range(1, len(steps)):
            due_ms = ended.at_ms + self.scenario.mix[arrival.entry].steps[place].think_time_ms
            count, hold = len(steps[place]), place + 1 < len(steps)
            stamps = [self.part.follow_up(ended.hold_id, due_ms, count=count, hold=hold)] * count
            ended = self.send_group(arrival, steps[place], due_ms, cookies, stamps)

    def send_group(
        self, arrival: Arrival, group: list[Prepared], due_ms: float, cookies: dict[str, str], stamps: list[bytes]
    ) -> Ended:
        """Requests at the same instant; the end of the last one, the holds of the others released."""
        number, phase = arrival.number, arrival.phase
        if len(group) == 1:
            return self.send_ahead(number, phase, group[0], due_ms, cookies, stamps[0])
        jobs = [
            gevent.spawn(self.send_ahead, number, phase, request, due_ms, cookies, stamp)
            for request, stamp in zip(group, stamps, strict=True)
        ]
        try:
            latest: Ended | None = None
            for answered, job in enumerate(gevent.iwait(jobs), 1):
                ended = job.get()
                if not isinstance(ended, Ended):
                    raise gevent.GreenletExit
                # At once: while time stands at the end of this one, the others cannot come to theirs.
                if answered < len(jobs) and ended.hold_id:
                    self.release(ended.hold_id)
                if latest is None or ended.at_ms > latest.at_ms:
                    latest = ended
            assert latest is not None
            return Ended(latest.at_ms, ended.hold_id)
        finally:
            gevent.killall(jobs)

    # Closed model

    def start_clients(self) -> None:
        numbers = list(self.closed_numbers)
        count = self.busy_clients = min(self.clients(), len(numbers))
        self.closed_numbers = iter(numbers[count:])
        for place, number in enumerate(numbers[:count]):
            stamp = self.part.planned(0.0, 0.0 if place + 1 < count else None, hold=True)
            self.pool.spawn(self.client_ahead, number, stamp)

    def client_ahead(self, first: int, stamp: bytes) -> None:
        number: int | None = first
        due_ms = 0.0
        while number is not None:
            steps = self.prepared(number, self.closed_mix[number], self.start_epoch_ms + due_ms)
            ended = self.send_ahead(number, "closed", steps[0][0], due_ms, None, stamp)
            due_ms = ended.at_ms + self.scenario.think_time_ms
            stamp = self.part.follow_up(ended.hold_id, due_ms, hold=True)
            number = next(self.closed_numbers, None)
        self.busy_clients -= 1
        # The last one holds time until this process leaves, so that nothing happens between the two.
        if self.busy_clients:
            self.release(ended.hold_id)

    # Both

    def send_ahead(
        self, number: int, phase: str, prepared: Prepared, due_ms: float, cookies: dict[str, str] | None, stamp: bytes
    ) -> Ended:
        """One request that arrives at `due_ms`, whenever it is sent."""
        self.open[due_ms] += 1
        payload = prepared.payload(cookie_line(cookies) + stamp)
        try:
            reply = exchange(self.connections, prepared.request.method, payload, REAL_TIMEOUT_S)
            told = header(reply.headers, LATENCY_HEADER)
            if told is None:
                self.give_up(reply.error or sentence(reply.body) or f"status {reply.status_code} without a latency")
                raise gevent.GreenletExit
        except gevent.GreenletExit:
            if due_ms <= self.time.heard_ms:
                waited_ms = self.time.heard_ms - due_ms
                self.record(number, phase, prepared, due_ms, due_ms, waited_ms, STOPPED)
            raise
        finally:
            self.open[due_ms] -= 1
            if not self.open[due_ms]:
                del self.open[due_ms]
        latency_ms = float(told)
        ended = Ended(due_ms + latency_ms, header(reply.headers, HOLD_ID_HEADER) or "")
        self.time.heard_ms = max(self.time.heard_ms, ended.at_ms)
        if cookies is not None:
            keep_cookies(reply.headers.get("set-cookie"), cookies)
        if latency_ms > self.scenario.client_timeout_ms:
            latency_ms = self.scenario.client_timeout_ms
            reply = Reply(None, f"timeout after {self.timeout_s:g} s", None, b"")
        self.record(number, phase, prepared, due_ms, due_ms, latency_ms, reply)
        return ended

    def tick_forever(self) -> None:
        beaten_s = time.monotonic()
        while True:
            gevent.sleep(TICK_S)
            self.outlet.flush()
            self.tick()
            if time.monotonic() - beaten_s >= BEAT_S and not self.open and self.lost is None:
                beaten_s = time.monotonic()
                try:
                    self.part.beat()
                except ClockLost as error:
                    self.give_up(str(error))

    def tick(self) -> None:
        # What is ahead of time has not been sent yet, as far as anybody who watches is concerned.
        self.in_flight = sum(count for due_ms, count in self.open.items() if due_ms <= self.time.heard_ms)
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        self.sent = self.finished + self.in_flight
        super().tick()

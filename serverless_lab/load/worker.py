"""A worker: what one process sends, and what it writes down about it, in real time."""

from __future__ import annotations

import gc
import resource
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gevent
import gevent.pool
from locust.exception import CatchResponseError

from serverless_lab.load.arrivals import Arrival, arrivals, closed_entries, peak_concurrency_estimate
from serverless_lab.load.dispatcher import Clock, Dispatcher, share
from serverless_lab.load.outlet import Outlet
from serverless_lab.load.plan import Plan, schedule_digest
from serverless_lab.load.sender import Connections, Reply, exchange
from serverless_lab.load.templates import Prepared, origin, prepare
from serverless_lab.targets.base import ENVIRONMENT_ID_HEADER, FUNCTION_REQUEST_ID_HEADER

MAX_IN_FLIGHT = 4096  # a worker with that many requests open sends the next ones late, and says so
OPEN_AHEAD_AT_MOST = 512
BURST_WINDOW_MS = 5.0  # arrivals this close together need a connection each
TICK_S = 0.25
LAUNCHES_BETWEEN_YIELDS = 16


@dataclass(frozen=True)
class Setting:
    """What a worker works in. `runner` is Locust's, whose statistics count the requests."""

    plan: Plan
    headers: Mapping[str, str]
    runner: Any
    outlet: Outlet
    clock_offset_s: float = 0.0
    """How far the clock that the start is told in is ahead of this machine's."""


class WallClock:
    """Real time, counted from the run's start."""

    def __init__(self, start_epoch_s: float) -> None:
        # The monotonic clock, so that an adjustment of the wall clock moves no arrival.
        self._start = time.monotonic() + (start_epoch_s - time.time())
        self._since_yield = 0

    def now_ms(self) -> float:
        return (time.monotonic() - self._start) * 1000

    def wait_until(self, at_ms: float) -> None:
        remaining_ms = at_ms - self.now_ms()
        self._since_yield += 1
        if remaining_ms > 0:
            gevent.sleep(remaining_ms / 1000)
        elif self._since_yield >= LAUNCHES_BETWEEN_YIELDS:
            # Behind, or within a burst: what was launched must get its turn as well.
            gevent.sleep(0)
        else:
            return
        self._since_yield = 0


class Worker:
    """What one process sends: arrivals or requests number k with k % workers == index."""

    def __init__(self, setting: Setting, index: int) -> None:
        self.plan = setting.plan
        self.scenario = setting.plan.scenario()
        self.headers = setting.headers
        self.runner = setting.runner
        self.outlet = setting.outlet
        self.clock_offset_s = setting.clock_offset_s
        self.index = index
        self.to = origin(self.plan.base_url)
        self.seed: int = self.plan.seed
        self.timeout_s = self.scenario.client_timeout_ms / 1000
        self.pool = gevent.pool.Pool(MAX_IN_FLIGHT)
        self.clock: Clock = WallClock(time.time())
        self.start_epoch_ms = time.time() * 1000
        self.waiting: dict[int, Arrival] = {}
        self.due_times: list[float] = []
        self.sent = self.finished = self.failed = self.in_flight = self.in_flight_max = 0
        self.recent: Counter[int] = Counter()
        self.connections = Connections(self.to)
        self.closed_numbers: Iterator[int] = iter(())
        self.closed_mix: list[int] = []
        self.digest = ""

    def prepare(self) -> None:
        """Everything that can be done before the start: the schedule, the first requests, connections for a burst."""
        if self.scenario.model == "closed":
            self.closed_mix = closed_entries(self.scenario, self.seed)
            self.digest = schedule_digest(self.closed_mix)
            self.closed_numbers = iter(range(self.index, self.scenario.requests, self.plan.workers))
            ahead = self.clients()
        else:
            schedule = arrivals(self.scenario, self.seed)
            self.digest = schedule_digest(arrival.entry for arrival in schedule)
            own = list(share(schedule, self.index, self.plan.workers))
            self.due_times = [arrival.at_ms for arrival in own]
            ahead = peak_concurrency_estimate(own, BURST_WINDOW_MS, max(entry.width for entry in self.scenario.mix))
            self.schedule = own
        self.connections.open_ahead(min(ahead, OPEN_AHEAD_AT_MOST))
        # The schedule lives as long as the process: collecting it again and again would make requests late.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)

    def clients(self) -> int:
        return len(range(self.index, self.scenario.clients, self.plan.workers))

    def begin(self, start_epoch_s: float) -> None:
        """From here on the clock counts from the run's start."""
        self.clock = WallClock(start_epoch_s - self.clock_offset_s)
        self.start_epoch_ms = start_epoch_s * 1000

    def run(self, start_epoch_s: float) -> None:
        """Sends everything and returns when it is answered; when killed, writes down what was under way."""
        self.begin(start_epoch_s)
        self.outlet.tell("start", worker=self.index, epoch_ms=int(self.start_epoch_ms))
        ticker = gevent.spawn(self.tick_forever)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        began_s = time.monotonic()
        dispatcher = None
        whole = False
        try:
            if self.scenario.model == "closed":
                self.clock.wait_until(0.0)
                self.start_clients()
            else:
                dispatcher = Dispatcher(self.schedule, self.clock, self.prepare_visit, self.launch)
                dispatcher.prepare_ahead()
                dispatcher.run()
            self.pool.join()
            whole = True
        finally:
            stopped_ms = self.stopped_ms()
            self.pool.kill()
            ticker.kill()
            if dispatcher is not None:
                due = (arrival for arrival in self.waiting.values() if arrival.at_ms <= stopped_ms)
                for arrival in (*due, *dispatcher.not_launched(stopped_ms)):
                    self.record_unsent(arrival)
            self.outlet.flush()
            self.end()
            spent = resource.getrusage(resource.RUSAGE_SELF)
            cpu_s = spent.ru_utime + spent.ru_stime - usage.ru_utime - usage.ru_stime
            self.tick()
            self.outlet.tell(
                "done",
                worker=self.index,
                whole=whole,
                cpu_share=round(cpu_s / max(time.monotonic() - began_s, 0.001), 3),
                in_flight_max=self.in_flight_max,
            )

    def stopped_ms(self) -> float:
        """When the run ends, or is stopped: what was due before is accounted for."""
        return self.clock.now_ms()

    def end(self) -> None:
        """Everything that will be answered is."""

    # Open model

    def prepare_visit(self, arrival: Arrival) -> list[list[Prepared]]:
        return self.prepared(arrival.number, arrival.entry, self.start_epoch_ms + arrival.at_ms)

    def prepared(self, number: int, entry: int, now_epoch_ms: float) -> list[list[Prepared]]:
        return prepare(
            self.scenario.mix[entry],
            seed=self.seed,
            index=number,
            now_epoch_ms=now_epoch_ms,
            to=self.to,
            extra_headers=self.headers,
        )

    def launch(self, arrival: Arrival, steps: list[list[Prepared]]) -> None:
        self.waiting[arrival.number] = arrival
        self.pool.spawn(self.visit, arrival, steps)

    def visit(self, arrival: Arrival, steps: list[list[Prepared]]) -> None:
        """One arrival: its requests one after the other, those of a step at once, with cookies of its own."""
        del self.waiting[arrival.number]
        due_ms = arrival.at_ms
        if len(steps) == 1 and len(steps[0]) == 1:
            self.send(arrival.number, arrival.phase, steps[0][0], due_ms)
            return
        cookies: dict[str, str] = {}
        for step, requests in zip(self.scenario.mix[arrival.entry].steps, steps, strict=True):
            due_ms += step.think_time_ms
            self.clock.wait_until(due_ms)
            if len(requests) == 1:
                self.send(arrival.number, arrival.phase, requests[0], due_ms, cookies)
            else:
                group = [
                    gevent.spawn(self.send, arrival.number, arrival.phase, request, due_ms, cookies)
                    for request in requests
                ]
                try:
                    gevent.joinall(group)
                finally:
                    gevent.killall(group)
            due_ms = self.clock.now_ms()

    # Closed model

    def start_clients(self) -> None:
        for _ in range(self.clients()):
            self.pool.spawn(self.client)

    def client(self) -> None:
        """One client of the closed model: the next request when the last one has been answered."""
        for number in self.closed_numbers:
            steps = self.prepared(number, self.closed_mix[number], time.time() * 1000)
            self.send(number, "closed", steps[0][0], self.clock.now_ms())
            if self.scenario.think_time_ms:
                self.clock.wait_until(self.clock.now_ms() + self.scenario.think_time_ms)

    # Both

    def send(
        self, number: int, phase: str, prepared: Prepared, due_ms: float, cookies: dict[str, str] | None = None
    ) -> None:
        """One request, sent now; its latency counts from `due_ms`."""
        request = prepared.request
        extra = cookie_line(cookies)
        self.sent += 1
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        sent_ms = self.clock.now_ms()
        try:
            reply = exchange(self.connections, request.method, prepared.payload(extra), self.timeout_s)
        except gevent.GreenletExit:
            waited_ms = self.clock.now_ms() - due_ms
            self.record(number, phase, prepared, due_ms, sent_ms, waited_ms, STOPPED)
            raise
        finally:
            self.in_flight -= 1
        latency_ms = self.clock.now_ms() - due_ms
        if cookies is not None and reply.headers is not None:
            keep_cookies(reply.headers.get("set-cookie"), cookies)
        self.record(number, phase, prepared, due_ms, sent_ms, latency_ms, reply)

    def record(
        self,
        number: int,
        phase: str,
        prepared: Prepared,
        due_ms: float,
        sent_ms: float,
        latency_ms: float,
        reply: Reply,
    ) -> None:
        request, status_code, error, headers, size = prepared.request, *reply[:3], reply.size
        succeeded = status_code is not None and request.accepts(status_code)
        self.finished += 1
        self.failed += not succeeded
        self.recent[two_digits(latency_ms)] += 1
        self.outlet.row(
            number,
            phase,
            request.name,
            request.method,
            prepared.path,
            round(due_ms, 3),
            round(sent_ms, 3),
            round(latency_ms, 3),
            status_code,
            error,
            header(headers, FUNCTION_REQUEST_ID_HEADER),
            header(headers, ENVIRONMENT_ID_HEADER),
            size if status_code is not None else None,
            succeeded,
        )
        if self.plan.virtual:
            return  # Locust would stamp it with real time: see `virtual_stats`
        self.runner.environment.events.request.fire(
            request_type=request.method,
            name=request.path,
            response_time=latency_ms,
            response_length=size,
            exception=None if succeeded else CatchResponseError(error or f"status {status_code}"),
            context={},
            response=None,
        )

    def record_unsent(self, arrival: Arrival) -> None:
        self.failed += 1
        for request in self.scenario.mix[arrival.entry].steps[0].requests:
            due_ms = round(arrival.at_ms, 3)
            unsent = (None, None, None, "not sent: the run was stopped", None, None, None, False)
            self.outlet.row(arrival.number, arrival.phase, request.name, request.method, request.path, due_ms, *unsent)

    def tick_forever(self) -> None:
        while True:
            gevent.sleep(TICK_S)
            self.outlet.flush()
            self.tick()

    def tick(self) -> None:
        now_ms = max(self.clock.now_ms(), 0.0)  # the start lies a moment ahead
        latencies, self.recent = self.recent, Counter()
        self.outlet.tell(
            "tick",
            worker=self.index,
            elapsed_ms=round(now_ms, 1),
            due=bisect_right(self.due_times, now_ms) if self.due_times else self.sent,
            sent=self.sent,
            finished=self.finished,
            failed=self.failed,
            in_flight=self.in_flight,
            latencies=list(latencies.items()),
        )


STOPPED = Reply(None, "stopped before a response", None, b"")


def cookie_line(cookies: dict[str, str] | None) -> bytes:
    return f"Cookie: {'; '.join(f'{k}={v}' for k, v in cookies.items())}\r\n".encode() if cookies else b""


def two_digits(value: float) -> int:
    """A latency rounded to two significant digits, so that a tick has few of them."""
    scale = 1
    while value / scale >= 100:
        scale *= 10
    return round(value / scale) * scale


def header(headers: Any, name: str) -> str | None:
    value = headers.get(name) if headers is not None else None
    return value if isinstance(value, str) else None


def keep_cookies(given: Any, cookies: dict[str, str]) -> None:
    """What a Set-Cookie header asks for, as far as a session against one host needs it: set, or delete."""
    for line in [given] if isinstance(given, str) else given or ():
        pair, *attributes = (part.strip() for part in line.split(";"))
        name, found, value = pair.partition("=")
        if not found:
            continue
        if any(attribute.lower() == "max-age=0" for attribute in attributes):
            cookies.pop(name, None)
        else:
            cookies[name] = value

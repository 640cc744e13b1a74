"""The load process: Locust with one dispatcher a worker. Started by `runner`; importing it patches sockets.

    runner.py --plan, headers--> this process (Locust's master, or alone) --fork--> workers, with --processes
    workers --rows-<i>.jsonl, progress on a pipe--> runner.py

Locust's part is what it is good at: processes, statistics, its web page, HTML and CSV. The arrivals are ours: each
worker runs one user, the dispatcher, which sends its share of a schedule computed ahead. The load shape only says when
the run is over. So the "users" in Locust's charts are dispatchers, one a process.

All workers begin at one instant: each says `lab_prepared`, then the master sends `lab_go` with the time of t = 0.
"""

from __future__ import annotations

import csv
import ctypes
import gc
import json
import logging
import os
import resource
import signal
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gevent
import gevent.event
import gevent.lock
import gevent.pool
from locust import LoadTestShape, User, constant, events, task
from locust.exception import CatchResponseError
from locust.html import get_html_report
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

from serverless_lab.load.arrivals import Arrival, arrivals, closed_entries, peak_concurrency_estimate
from serverless_lab.load.dispatcher import Clock, Dispatcher, share
from serverless_lab.load.participant import HOLD_ID_HEADER, LATENCY_HEADER, ClockLost, Participant, sentence
from serverless_lab.load.sender import Connections, Reply, exchange
from serverless_lab.load.templates import Prepared, origin, prepare
from serverless_lab.load.virtual_stats import HISTORY_COLUMNS, VirtualStats
from serverless_lab.scenario import parse_document
from serverless_lab.targets.base import ENVIRONMENT_ID_HEADER, FUNCTION_REQUEST_ID_HEADER

PLAN_VARIABLE = "LAB_LOAD_PLAN"
HEADERS_VARIABLE = "LAB_LOAD_HEADERS"
PROGRESS_VARIABLE = "LAB_LOAD_PROGRESS_FD"

MAX_IN_FLIGHT = 4096  # a worker with that many requests open sends the next ones late, and says so
AHEAD_AT_MOST = 256  # arrivals that a worker has given the emulator before their virtual time
REAL_TIMEOUT_S = 600.0  # for an answer in virtual time, which says nothing about real time
BEAT_S = 2.0
OPEN_AHEAD_AT_MOST = 512
BURST_WINDOW_MS = 5.0  # arrivals this close together need a connection each
START_DELAY_S = 0.3
TICK_S = 0.25
LAUNCHES_BETWEEN_YIELDS = 16
PR_SET_PDEATHSIG = 1

log = logging.getLogger("serverless_lab.load")

PLAN = json.loads(Path(os.environ[PLAN_VARIABLE]).read_text(encoding="utf-8"))
SCENARIO = parse_document(PLAN["scenario"], PLAN["source"])
EXTRA_HEADERS = json.loads(os.environ.get(HEADERS_VARIABLE, "{}"))
WORKERS: int = PLAN["workers"]
VIRTUAL: bool = PLAN["clock"] == "virtual"


def end_with_parent(parent: int) -> None:
    """Whoever started us may be killed; then nobody would stop the load."""
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        raise SystemExit("the process that asked for this load is gone")


end_with_parent(PLAN["parent"])
STARTER = os.getpid()


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


class Rows:
    """This process's file of rows, one JSON array a line, in the order of `samples.COLUMNS`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", buffering=256 * 1024)

    def add(self, *row: Any) -> None:
        self._file.write(json.dumps(row) + "\n")

    def flush(self) -> None:
        self._file.flush()


def tell(event: str, **facts: Any) -> None:
    """A line for whoever follows the run; dropped rather than waited for when they do not read."""
    line = json.dumps({"event": event, **facts}).encode() + b"\n"
    try:
        os.write(int(os.environ[PROGRESS_VARIABLE]), line)
    except (KeyError, ValueError, OSError):
        log.debug("progress line dropped: %s", line)


class Worker:
    """What one process sends: arrivals or requests number k with k % WORKERS == index."""

    def __init__(self, environment: Any, index: int) -> None:
        self.environment = environment
        self.index = index
        self.to = origin(PLAN["base_url"])
        self.seed: int = PLAN["seed"]
        self.timeout_s = SCENARIO.client_timeout_ms / 1000
        self.rows = Rows(Path(PLAN["run_folder"]) / f"rows-{index}.jsonl")
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

    def prepare(self) -> None:
        """Everything that can be done before the start: the schedule, the first requests, connections for a burst."""
        if SCENARIO.model == "closed":
            self.closed_mix = closed_entries(SCENARIO, self.seed)
            self.closed_numbers = iter(range(self.index, SCENARIO.requests, WORKERS))
            ahead = self.clients()
        else:
            own = list(share(arrivals(SCENARIO, self.seed), self.index, WORKERS))
            self.due_times = [arrival.at_ms for arrival in own]
            ahead = peak_concurrency_estimate(own, BURST_WINDOW_MS, max(entry.width for entry in SCENARIO.mix))
            self.schedule = own
        self.connections.open_ahead(min(ahead, OPEN_AHEAD_AT_MOST))
        # The schedule lives as long as the process: collecting it again and again would make requests late.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)

    def clients(self) -> int:
        return len(range(self.index, SCENARIO.clients, WORKERS))

    def begin(self, start_epoch_s: float) -> None:
        """From here on the clock counts from the run's start."""
        self.clock = WallClock(start_epoch_s)
        self.start_epoch_ms = start_epoch_s * 1000

    def run(self, start_epoch_s: float) -> None:
        """Sends everything and returns when it is answered; when killed, writes down what was under way."""
        self.begin(start_epoch_s)
        tell("start", worker=self.index, epoch_ms=int(self.start_epoch_ms))
        ticker = gevent.spawn(self.tick_forever)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        began_s = time.monotonic()
        dispatcher = None
        try:
            if SCENARIO.model == "closed":
                self.clock.wait_until(0.0)
                self.start_clients()
            else:
                dispatcher = Dispatcher(self.schedule, self.clock, self.prepare_visit, self.launch)
                dispatcher.prepare_ahead()
                dispatcher.run()
            self.pool.join()
        finally:
            stopped_ms = self.clock.now_ms()
            self.pool.kill()
            ticker.kill()
            if dispatcher is not None:
                due = (arrival for arrival in self.waiting.values() if arrival.at_ms <= stopped_ms)
                for arrival in (*due, *dispatcher.not_launched(stopped_ms)):
                    self.record_unsent(arrival)
            self.rows.flush()
            self.end()
            spent = resource.getrusage(resource.RUSAGE_SELF)
            cpu_s = spent.ru_utime + spent.ru_stime - usage.ru_utime - usage.ru_stime
            self.tick()
            tell(
                "done",
                worker=self.index,
                cpu_share=round(cpu_s / max(time.monotonic() - began_s, 0.001), 3),
                in_flight_max=self.in_flight_max,
            )

    def end(self) -> None:
        """Everything that will be answered is."""

    # Open model

    def prepare_visit(self, arrival: Arrival) -> list[list[Prepared]]:
        return self.prepared(arrival.number, arrival.entry, self.start_epoch_ms + arrival.at_ms)

    def prepared(self, number: int, entry: int, now_epoch_ms: float) -> list[list[Prepared]]:
        return prepare(
            SCENARIO.mix[entry],
            seed=self.seed,
            index=number,
            now_epoch_ms=now_epoch_ms,
            to=self.to,
            extra_headers=EXTRA_HEADERS,
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
        for step, requests in zip(SCENARIO.mix[arrival.entry].steps, steps, strict=True):
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
            if SCENARIO.think_time_ms:
                self.clock.wait_until(self.clock.now_ms() + SCENARIO.think_time_ms)

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
        self.rows.add(
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
        if VIRTUAL:
            return  # Locust would stamp it with real time: see `virtual_stats`
        self.environment.events.request.fire(
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
        for request in SCENARIO.mix[arrival.entry].steps[0].requests:
            due_ms = round(arrival.at_ms, 3)
            unsent = (None, None, None, "not sent: the run was stopped", None, None, None, False)
            self.rows.add(arrival.number, arrival.phase, request.name, request.method, request.path, due_ms, *unsent)

    def tick_forever(self) -> None:
        while True:
            gevent.sleep(TICK_S)
            self.rows.flush()
            self.tick()

    def tick(self) -> None:
        now_ms = max(self.clock.now_ms(), 0.0)  # the start lies a moment ahead
        latencies, self.recent = self.recent, Counter()
        tell(
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

    def __init__(self, environment: Any, index: int) -> None:
        super().__init__(environment, index)
        self.pool = gevent.pool.Pool()  # a session that waits for its turn must not keep an earlier one from its own
        self.clock = self.time = HeardTime()
        self.part = Participant(origin(PLAN["clock_url"]))
        self.room = gevent.lock.BoundedSemaphore(AHEAD_AT_MOST)
        self.position = self.busy_clients = 0
        self.open: Counter[float] = Counter()
        self.lost: str | None = None
        self.sender = gevent.getcurrent()

    def prepare(self) -> None:
        super().prepare()
        if SCENARIO.model == "open":
            self.schedule.sort(key=first_ms)
            self.due_times = [first_ms(arrival) for arrival in self.schedule]

    def begin(self, start_epoch_s: float) -> None:
        first = self.due_times[0] if self.due_times else 0.0 if SCENARIO.model == "closed" else None
        zero = self.part.join(PLAN["run"], self.index, WORKERS, first, SCENARIO.quiet_ms)
        self.start_epoch_ms = zero.epoch_ms
        self.environment.runner.send_message("lab_zero", {"epoch_ms": zero.epoch_ms})
        self.sender = gevent.getcurrent()

    def end(self) -> None:
        try:
            self.part.leave()
        except ClockLost as error:
            tell("lost", reason=self.lost or str(error))

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

    # Open model

    def launch(self, arrival: Arrival, steps: list[list[Prepared]]) -> None:
        self.waiting[arrival.number] = arrival
        self.room.acquire()
        self.position += 1
        at_ms = first_ms(arrival)
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
        due_ms = first_ms(arrival)
        try:
            ended = self.send_group(arrival, steps[0], due_ms, cookies, stamps)
        finally:
            self.room.release()
        for place in range(1, len(steps)):
            due_ms = ended.at_ms + SCENARIO.mix[arrival.entry].steps[place].think_time_ms
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
            due_ms = ended.at_ms + SCENARIO.think_time_ms
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
            if due_ms < self.time.heard_ms:
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
        if latency_ms > SCENARIO.client_timeout_ms:
            latency_ms = SCENARIO.client_timeout_ms
            reply = Reply(None, f"timeout after {self.timeout_s:g} s", None, b"")
        self.record(number, phase, prepared, due_ms, due_ms, latency_ms, reply)
        return ended

    def tick_forever(self) -> None:
        beaten_s = time.monotonic()
        while True:
            gevent.sleep(TICK_S)
            self.rows.flush()
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


def first_ms(arrival: Arrival) -> float:
    """When the first requests of an arrival are due: a session may begin with a pause."""
    return arrival.at_ms + SCENARIO.mix[arrival.entry].steps[0].think_time_ms


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


# Locust


class Conductor:
    """Starts all workers at one instant and knows when the last one is done. Lives in the master, or alone."""

    def __init__(self) -> None:
        self.prepared = 0
        self.done = 0
        self.all_done = gevent.event.Event()

    def on_prepared(self, environment: Any, **_: Any) -> None:
        self.prepared += 1
        if self.prepared == WORKERS:
            environment.runner.send_message("lab_go", {"start_epoch_s": time.time() + START_DELAY_S})

    def on_done(self, **_: Any) -> None:
        self.done += 1
        if self.done >= WORKERS:
            self.all_done.set()

    def on_missing(self, count: int) -> None:
        """Workers that died will not say that they are done."""
        if count and self.done + count >= WORKERS:
            self.all_done.set()


CONDUCTOR = Conductor()
GO: gevent.event.AsyncResult = gevent.event.AsyncResult()


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, **_: Any) -> None:
    runner = environment.runner
    if not isinstance(runner, WorkerRunner):
        runner.register_message("lab_prepared", CONDUCTOR.on_prepared)
        runner.register_message("lab_done", CONDUCTOR.on_done)
        if VIRTUAL:
            show_virtual_stats(environment)
        environment.events.quit.add_listener(lambda **_: write_final_csv(environment))
    if isinstance(runner, WorkerRunner):
        end_with_parent(STARTER)
    if not isinstance(runner, MasterRunner):
        runner.register_message("lab_go", lambda msg, **_: GO.set(msg.data["start_epoch_s"]))


class Dispatch(User):
    """The one user of a worker."""

    wait_time = constant(0)
    started = False

    @task
    def dispatch(self) -> None:
        runner = self.environment.runner
        if Dispatch.started:
            log.error("a run folder holds one run: start another one with `lab load`")
        else:
            Dispatch.started = True
            try:
                if not 0 <= runner.worker_index < WORKERS:
                    raise RuntimeError(f"worker {runner.worker_index} of {WORKERS}")
                worker = (VirtualWorker if VIRTUAL else Worker)(self.environment, runner.worker_index)
                worker.prepare()
                runner.send_message("lab_prepared", {})
                worker.run(GO.get())
            except ClockLost as error:
                log.exception("the emulator dropped this run")
                tell("lost", reason=str(error))
            except Exception as error:
                log.exception("the dispatcher failed")
                tell("crash", worker=runner.worker_index, error=f"{type(error).__name__}: {error}")
        runner.send_message("lab_done", {})
        # A task that returns is run again; this one waits for Locust to stop its user.
        gevent.event.Event().wait()


class UntilDone(LoadTestShape):
    """One user for each worker until the last arrival has been answered."""

    asked = False

    def tick(self) -> tuple[int, float] | None:
        # Locust sleeps for what is left of a second after each tick: waiting here ends the run when it is over.
        wait_s = 0.9 if self.asked else 0.0
        self.asked = True
        if isinstance(self.runner, MasterRunner):
            CONDUCTOR.on_missing(len(self.runner.clients.missing))
        return None if CONDUCTOR.all_done.wait(timeout=wait_s) else (WORKERS, WORKERS)


def show_virtual_stats(environment: Any) -> None:
    """From now on this environment's statistics are made from the rows."""
    stats = environment.stats = VirtualStats(Path(PLAN["run_folder"]), WORKERS)

    def zero(msg: Any, **_: Any) -> None:
        stats.zero_s = msg.data["epoch_ms"] / 1000

    def read_forever() -> None:
        while not CONDUCTOR.all_done.is_set():
            began_s = time.monotonic()
            stats.read()
            # Reading grows with the rows: it gets a tenth of the time at most.
            CONDUCTOR.all_done.wait(timeout=max(2.0, 10 * (time.monotonic() - began_s)))
        stats.read()

    environment.runner.register_message("lab_zero", zero)
    environment.events.quitting.add_listener(lambda **_: stats.read())
    gevent.spawn(read_forever)


def write_final_csv(environment: Any) -> None:
    """Locust's CSV files once more: it writes them every second, before the last reports of the workers are in."""
    figures = StatsCSV(environment, PERCENTILES_TO_REPORT)
    folder = Path(PLAN["run_folder"])
    files: dict[str, Callable[[Any], None]] = {
        "locust_stats.csv": figures.requests_csv,
        "locust_failures.csv": figures.failures_csv,
    }
    stats = environment.stats
    if isinstance(stats, VirtualStats):
        stats.read()
        files["locust_stats_history.csv"] = lambda to: to.writerows([HISTORY_COLUMNS, *stats.csv_history])
        page = get_html_report(environment, show_download_link=False)  # type: ignore[no-untyped-call]
        (folder / "locust.html").write_text(page, encoding="utf-8")
    for name, write in files.items():
        draft = folder / f".{name}"
        with draft.open("w", newline="", encoding="utf-8") as file:
            write(csv.writer(file))
        # Another file of the same name: what Locust still has buffered goes into the old one.
        draft.replace(folder / name)

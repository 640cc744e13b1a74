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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.pool
from locust import LoadTestShape, User, constant, events, task
from locust.exception import CatchResponseError
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

from serverless_lab.load.arrivals import Arrival, arrivals, closed_entries, peak_concurrency_estimate
from serverless_lab.load.dispatcher import Dispatcher, share
from serverless_lab.load.sender import Connections, exchange
from serverless_lab.load.templates import Prepared, origin, prepare
from serverless_lab.scenario import parse_document
from serverless_lab.targets.base import ENVIRONMENT_ID_HEADER, FUNCTION_REQUEST_ID_HEADER

PLAN_VARIABLE = "LAB_LOAD_PLAN"
HEADERS_VARIABLE = "LAB_LOAD_HEADERS"
PROGRESS_VARIABLE = "LAB_LOAD_PROGRESS_FD"

MAX_IN_FLIGHT = 4096  # a worker with that many requests open sends the next ones late, and says so
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
        self.clock = WallClock(time.time())
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

    def run(self, start_epoch_s: float) -> None:
        """Sends everything and returns when it is answered; when killed, writes down what was under way."""
        self.clock = WallClock(start_epoch_s)
        self.start_epoch_ms = start_epoch_s * 1000
        tell("start", worker=self.index, epoch_ms=int(self.start_epoch_ms))
        ticker = gevent.spawn(self.tick_forever)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        dispatcher = None
        try:
            if SCENARIO.model == "closed":
                self.clock.wait_until(0.0)
                for _ in range(self.clients()):
                    self.pool.spawn(self.client)
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
                for arrival in (*self.waiting.values(), *dispatcher.not_launched(stopped_ms)):
                    self.record_unsent(arrival)
            self.rows.flush()
            spent = resource.getrusage(resource.RUSAGE_SELF)
            cpu_s = spent.ru_utime + spent.ru_stime - usage.ru_utime - usage.ru_stime
            self.tick()
            tell(
                "done",
                worker=self.index,
                cpu_share=round(cpu_s / max(stopped_ms / 1000, 0.001), 3),
                in_flight_max=self.in_flight_max,
            )

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
        extra = f"Cookie: {'; '.join(f'{k}={v}' for k, v in cookies.items())}\r\n".encode() if cookies else b""
        self.sent += 1
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        sent_ms = self.clock.now_ms()
        try:
            reply = exchange(self.connections, request.method, prepared.payload(extra), self.timeout_s)
        except gevent.GreenletExit:
            waited_ms = self.clock.now_ms() - due_ms
            self.record(number, phase, prepared, due_ms, sent_ms, waited_ms, None, "stopped before a response")
            raise
        finally:
            self.in_flight -= 1
        latency_ms = self.clock.now_ms() - due_ms
        if cookies is not None and reply.headers is not None:
            keep_cookies(reply.headers.get("set-cookie"), cookies)
        self.record(
            number,
            phase,
            prepared,
            due_ms,
            sent_ms,
            latency_ms,
            reply.status_code,
            reply.error,
            reply.headers,
            reply.size,
        )

    def record(
        self,
        number: int,
        phase: str,
        prepared: Prepared,
        due_ms: float,
        sent_ms: float,
        latency_ms: float,
        status_code: int | None,
        error: str | None,
        headers: Any = None,
        size: int | None = None,
    ) -> None:
        request = prepared.request
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
        self.environment.events.request.fire(
            request_type=request.method,
            name=request.path,
            response_time=latency_ms,
            response_length=size or 0,
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


CONDUCTOR = Conductor()
GO: gevent.event.AsyncResult = gevent.event.AsyncResult()


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, **_: Any) -> None:
    runner = environment.runner
    if not isinstance(runner, WorkerRunner):
        runner.register_message("lab_prepared", CONDUCTOR.on_prepared)
        runner.register_message("lab_done", CONDUCTOR.on_done)
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
                worker = Worker(self.environment, runner.worker_index)
                worker.prepare()
                runner.send_message("lab_prepared", {})
                worker.run(GO.get())
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
        return None if CONDUCTOR.all_done.wait(timeout=wait_s) else (WORKERS, WORKERS)


def write_final_csv(environment: Any) -> None:
    """Locust's CSV files once more: it writes them every second, before the last reports of the workers are in."""
    figures = StatsCSV(environment, PERCENTILES_TO_REPORT)
    folder = Path(PLAN["run_folder"])
    for name, write in (("locust_stats.csv", figures.requests_csv), ("locust_failures.csv", figures.failures_csv)):
        draft = folder / f".{name}"
        with draft.open("w", newline="", encoding="utf-8") as file:
            write(csv.writer(file))
        # Another file of the same name: what Locust still has buffered goes into the old one.
        draft.replace(folder / name)

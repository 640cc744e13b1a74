"""The load process: Locust with one dispatcher a worker. Started by `runner` or `remote`; importing it patches sockets.

    runner.py --plan, headers--> this process (Locust's master, or alone) --fork--> workers, with --processes
    workers --rows-<i>.jsonl, progress on a pipe--> runner.py

    another machine: remote.py --headers--> this process (a worker) --Locust's protocol--> the master, which sends it
    the plan, and writes down the rows that come back

Locust's part is what it is good at: processes, machines, statistics, its web page, HTML and CSV. The arrivals are
ours: each worker runs one user, the dispatcher, which sends its share of a schedule computed ahead. The load shape only
says when the run is over. So the "users" in Locust's charts are dispatchers, one a process.

All workers begin at one instant: each asks for its share (`lab_join`), says `lab_prepared`, and then the master sends
`lab_go` with the time of t = 0.
"""

from __future__ import annotations

import csv
import ctypes
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import gevent.event
from locust import LoadTestShape, User, constant, events, task
from locust.html import get_html_report
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

from serverless_lab.load.outlet import (
    ROWS_MESSAGE,
    TOLD_MESSAGE,
    FileOutlet,
    MasterOutlet,
    Outlet,
    RowsOfOthers,
    tell,
)
from serverless_lab.load.participant import ClockLost
from serverless_lab.load.plan import Plan
from serverless_lab.load.remote_clock import Reading, offset
from serverless_lab.load.virtual_stats import HISTORY_COLUMNS, VirtualStats
from serverless_lab.load.virtual_worker import VirtualWorker
from serverless_lab.load.worker import Setting, Worker

PLAN_VARIABLE = "LAB_LOAD_PLAN"
"""The plan's file. A process without one is a worker, and asks its master for it."""
PARENT_VARIABLE = "LAB_LOAD_PARENT"
HEADERS_VARIABLE = "LAB_LOAD_HEADERS"

START_DELAY_S = 0.3
REMOTE_START_DELAY_S = 1.5  # for messages to travel, and connections to be opened anew
ANSWER_TIMEOUT_S = 30.0
CLOCK_READINGS = 9
PR_SET_PDEATHSIG = 1

log = logging.getLogger("serverless_lab.load")

PLAN = Plan.read(Path(os.environ[PLAN_VARIABLE])) if PLAN_VARIABLE in os.environ else None
HEADERS: dict[str, str] = json.loads(os.environ.get(HEADERS_VARIABLE, "{}"))


def end_with_parent(parent: int) -> None:
    """Whoever started us may be killed; then nobody would stop the load."""
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        raise SystemExit("the process that asked for this load is gone")


end_with_parent(PLAN.parent if PLAN is not None else int(os.environ[PARENT_VARIABLE]))
STARTER = os.getpid()


# The side that conducts: the master, or the process that is alone


class Conductor:
    """Gives each worker its share, starts all at one instant and knows when the last one is done."""

    def __init__(self, plan: Plan, runner: Any) -> None:
        self.plan = plan
        self.runner = runner
        self.shares: dict[str, int] = {}
        """Which worker, by its node's id, sends which share."""
        self.hosts: dict[str, str] = {}
        self.prepared: dict[str, str] = {}
        self.done: set[str] = set()
        self.gone: set[str] = set()
        self.all_done = gevent.event.Event()
        self.rows = RowsOfOthers(plan.run_folder, plan.workers)
        runner.register_message("lab_listening", self.on_listening)
        runner.register_message("lab_join", self.on_join)
        runner.register_message("lab_clock", self.on_clock)
        runner.register_message("lab_prepared", self.on_prepared)
        runner.register_message("lab_done", self.on_done)
        runner.register_message(ROWS_MESSAGE, self.on_rows)
        runner.register_message(TOLD_MESSAGE, self.on_told)
        if isinstance(runner, MasterRunner):
            self.refuse_more_workers(runner)

    def refuse_more_workers(self, runner: MasterRunner) -> None:
        """One that comes when all are there would make Locust deal its users anew, and stop a worker that sends."""
        handle: Callable[[str, Message], None] = runner.handle_message

        def handle_message(client_id: str, msg: Message) -> None:
            if msg.type == "client_ready" and client_id not in runner.clients:
                if len(runner.clients) >= self.plan.workers:
                    runner.send_message("ack", {"index": -1}, client_id)  # so that it can be told the rest
                    return
                tell("connected", workers=len(runner.clients) + 1)
            handle(client_id, msg)

        runner.handle_message = handle_message  # type: ignore[method-assign]

    def on_listening(self, msg: Any, **_: Any) -> None:
        if msg.node_id not in self.runner.clients:
            reason = f"the run has its {self.plan.workers} workers"
            self.runner.send_message("lab_refused", {"reason": reason}, msg.node_id)

    def on_join(self, msg: Any, **_: Any) -> None:
        node = str(msg.node_id)
        index = self.shares.setdefault(node, len(self.shares))
        self.hosts[node] = str(msg.data["host"])
        plan = self.plan.for_a_worker() if self.plan.remote else None
        self.runner.send_message("lab_share", {"index": index, "plan": plan}, node)

    def on_clock(self, msg: Any, **_: Any) -> None:
        self.runner.send_message("lab_clock", {"sent_s": msg.data["sent_s"], "there_s": time.time()}, msg.node_id)

    def on_prepared(self, msg: Any, **_: Any) -> None:
        self.prepared[str(msg.node_id)] = str(msg.data["digest"])
        if len(set(self.prepared.values())) > 1:
            hosts = " and ".join(sorted(set(self.hosts.values())))
            tell("crash", error=f"{hosts} compute different schedules from the same seed: is their Python the same?")
            return
        if self.plan.remote:
            tell("worker", index=self.shares[str(msg.node_id)], host=self.hosts[str(msg.node_id)], **msg.data["clock"])
        if len(self.prepared) == self.plan.workers:
            delay_s = REMOTE_START_DELAY_S if self.plan.remote else START_DELAY_S
            self.runner.send_message("lab_go", {"start_epoch_s": time.time() + delay_s})

    def on_done(self, msg: Any, **_: Any) -> None:
        self.done.add(str(msg.node_id))
        if len(self.done) >= self.plan.workers:
            self.all_done.set()

    def on_rows(self, msg: Any, **_: Any) -> None:
        self.rows.add(int(msg.data["worker"]), msg.data["rows"])

    def on_told(self, msg: Any, **_: Any) -> None:
        tell(**msg.data)

    def look_for_workers_that_left(self) -> None:
        """Workers that died, or were stopped, will not say that they are done."""
        there = {client.id for client in self.runner.clients.all} - {
            client.id for client in self.runner.clients.missing
        }
        left = set(self.shares) - there - self.done - self.gone
        for node in left:
            self.gone.add(node)
            tell("gone", worker=self.shares[node], host=self.hosts[node])
        if self.gone and len(self.done | self.gone) >= self.plan.workers:
            self.all_done.set()


class UntilDone(LoadTestShape):
    """One user for each worker until the last arrival has been answered."""

    asked = False

    def tick(self) -> tuple[int, float] | None:
        # Locust sleeps for what is left of a second after each tick: waiting here ends the run when it is over.
        wait_s = 0.9 if self.asked else 0.0
        self.asked = True
        conductor = CONDUCTORS[0]
        if isinstance(self.runner, MasterRunner):
            conductor.look_for_workers_that_left()
        workers = conductor.plan.workers
        # Asked first: to wait for what this greenlet has just set, beside another one that waits, takes for ever (seen
        # with gevent 26.9.0).
        if conductor.all_done.is_set() or conductor.all_done.wait(timeout=wait_s):
            return None
        return workers, workers


CONDUCTORS: list[Conductor] = []
"""The one of this process; none in a worker."""


# The side that sends


class Answers:
    """What the conducting side says to this worker."""

    def __init__(self, runner: Any) -> None:
        self.share: gevent.event.AsyncResult = gevent.event.AsyncResult()
        self.go: gevent.event.AsyncResult = gevent.event.AsyncResult()
        self.reading: gevent.event.AsyncResult = gevent.event.AsyncResult()
        self.refused: str | None = None
        runner.register_message("lab_share", lambda msg, **_: self.share.set(msg.data))
        runner.register_message("lab_go", lambda msg, **_: self.go.set(float(msg.data["start_epoch_s"])))
        if isinstance(runner, WorkerRunner):
            runner.register_message("lab_clock", self.on_clock)
            runner.register_message("lab_refused", lambda msg, **_: tell("crash", error=msg.data["reason"]))
            runner.send_message("lab_listening")

    def on_clock(self, msg: Any, **_: Any) -> None:
        self.reading.set(Reading(msg.data["sent_s"], msg.data["there_s"], time.time()))

    def compare_clocks(self, runner: Any) -> list[Reading]:
        """The master's clock beside this machine's, a few times."""
        readings = []
        for _ in range(CLOCK_READINGS):
            self.reading = gevent.event.AsyncResult()
            runner.send_message("lab_clock", {"sent_s": time.time()})
            readings.append(self.reading.get(timeout=ANSWER_TIMEOUT_S))
        return readings


ANSWERS: list[Answers] = []


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
            self.send_share(runner, ANSWERS[0])
        # A task that returns is run again; this one waits for Locust to stop its user.
        gevent.event.Event().wait()

    def send_share(self, runner: Any, answers: Answers) -> None:
        say: Callable[..., None] = tell
        try:
            runner.send_message("lab_join", {"host": socket.gethostname()})
            share = answers.share.get(timeout=ANSWER_TIMEOUT_S)
            index = int(share["index"])
            outlet: Outlet
            clock_offset_s, clock = 0.0, {}
            if PLAN is not None:
                plan = PLAN
                outlet = FileOutlet(plan.run_folder, index)
            else:
                outlet = MasterOutlet(runner.send_message, index)
                say = outlet.tell
                plan = Plan.from_master(share["plan"])
                clock_offset_s, round_trip_s = offset(answers.compare_clocks(runner))
                clock = {"clock_offset_ms": clock_offset_s * 1000, "round_trip_ms": round_trip_s * 1000}
                tell("share", index=index, workers=plan.workers, url=plan.base_url, scenario=plan.document.get("name"))
            setting = Setting(plan, HEADERS, runner, outlet, clock_offset_s)
            worker = (VirtualWorker if plan.virtual else Worker)(setting, index)
            worker.prepare()
            runner.send_message("lab_prepared", {"digest": worker.digest, "clock": clock})
            worker.run(answers.go.get())
        except ClockLost as error:
            log.exception("the emulator dropped this run")
            say("lost", reason=str(error))
        except Exception as error:
            log.exception("the dispatcher failed")
            where = "" if PLAN is not None else f"worker on {socket.gethostname()}: "
            say("crash", error=f"{where}{type(error).__name__}: {error}")
        runner.send_message("lab_done", {})


# Locust


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, **_: Any) -> None:
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        if os.getpid() != STARTER:
            end_with_parent(STARTER)
    else:
        assert PLAN is not None
        conductor = Conductor(PLAN, runner)
        CONDUCTORS.append(conductor)
        if PLAN.virtual:
            show_virtual_stats(environment, conductor)
        environment.events.quit.add_listener(lambda **_: write_final_csv(environment, conductor.plan))
    if not isinstance(runner, MasterRunner):
        ANSWERS.append(Answers(runner))


def show_virtual_stats(environment: Any, conductor: Conductor) -> None:
    """From now on this environment's statistics are made from the rows."""
    stats = environment.stats = VirtualStats(Path(conductor.plan.run_folder), conductor.plan.workers)

    def zero(msg: Any, **_: Any) -> None:
        stats.zero_s = msg.data["epoch_ms"] / 1000

    def read_forever() -> None:
        while not conductor.all_done.is_set():
            began_s = time.monotonic()
            stats.read()
            # Reading grows with the rows: it gets a tenth of the time at most.
            conductor.all_done.wait(timeout=max(2.0, 10 * (time.monotonic() - began_s)))
        stats.read()

    environment.runner.register_message("lab_zero", zero)
    environment.events.quitting.add_listener(lambda **_: stats.read())
    gevent.spawn(read_forever)


def write_final_csv(environment: Any, plan: Plan) -> None:
    """Locust's CSV files once more: it writes them every second, before the last reports of the workers are in."""
    figures = StatsCSV(environment, PERCENTILES_TO_REPORT)
    folder = Path(plan.run_folder)
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

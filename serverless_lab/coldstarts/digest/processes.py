"""Tasks in several processes. What comes back is numbers, sent as they lie in memory.

A worker gets the next task when it has sent the results of the last one; each unit's result is sent when it is ready.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from serverless_lab.coldstarts.digest.plan import Piece
from serverless_lab.coldstarts.digest.unit import UnitResult
from serverless_lab.coldstarts.digest.work import Orders, load, read_pieces
from serverless_lab.errors import ReportError

Task = tuple[Piece, ...]


def cpu_count() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_in_processes(tasks: Sequence[Task], orders: Orders, processes: int) -> Iterator[tuple[int, UnitResult]]:
    """(number of the task, a result) as they come; those of one task come in order.

    Raises:
        ReportError: a worker process ended early: out of memory, or killed.
    """
    load([piece for task in tasks for piece in task])
    # A copy of this process starts at once, and has loaded everything. With threads running it could get stuck.
    alone = threading.active_count() == 1 and "fork" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("fork" if alone else "spawn")
    waiting = iter(enumerate(tasks))
    at_work: dict[Connection, int] = {}
    workers = []
    try:
        for _ in range(min(processes, len(tasks))):
            here, there = context.Pipe()
            worker = context.Process(target=_work, args=(there, orders), daemon=True)
            worker.start()
            there.close()
            workers.append(worker)
            _next_task(here, waiting, at_work)
        while at_work:
            for connection in wait(list(at_work)):
                assert isinstance(connection, Connection)
                try:
                    found = _receive(connection)
                except EOFError:
                    raise ReportError(
                        "a process that read logs ended early",
                        hint="was it killed, or is there too little memory?",
                    ) from None
                if isinstance(found, Exception):
                    raise found
                if found is None:
                    del at_work[connection]
                    _next_task(connection, waiting, at_work)
                else:
                    yield at_work[connection], found
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _next_task(connection: Connection, waiting: Iterator[tuple[int, Task]], at_work: dict[Connection, int]) -> None:
    item = next(waiting, None)
    if item is None:
        connection.close()
        return
    at_work[connection] = item[0]
    connection.send(item[1])


def _work(connection: Connection, orders: Orders) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return
        try:
            for result in read_pieces(task, orders):
                _send(connection, result)
            _send(connection, None)
        except Exception as error:
            _send(connection, error)


_LARGE = 64 << 10


def _send(connection: Connection, item: UnitResult | Exception | None) -> None:
    """Arrays go as the bytes they are, behind everything else."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(item, protocol=5, buffer_callback=buffers.append)
    connection.send_bytes(head)
    views = [buffer.raw() for buffer in buffers]
    connection.send([view.nbytes for view in views])
    for view in views:
        connection.send_bytes(view)


def _receive(connection: Connection) -> UnitResult | Exception | None:
    head = connection.recv_bytes()
    buffers = [_room(size) for size in connection.recv()]
    for buffer in buffers:
        connection.recv_bytes_into(buffer)
    found: UnitResult | Exception | None = pickle.loads(head, buffers=buffers)
    return found


def _room(size: int) -> bytearray | mmap.mmap:
    """Memory of its own for a large array, which goes back to the system with it.

    What is freed between others that stay would be kept by the allocator, and so be needed twice.
    """
    return mmap.mmap(-1, size) if size >= _LARGE else bytearray(size)

"""Where a worker's rows and progress go: files and a pipe on this machine, messages to the master from another."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

PROGRESS_VARIABLE = "LAB_LOAD_PROGRESS_FD"
ROWS_MESSAGE = "lab_rows"
TOLD_MESSAGE = "lab_told"

log = logging.getLogger("serverless_lab.load")


class Outlet(Protocol):
    def row(self, *columns: Any) -> None:
        """One request, in the order of `samples.COLUMNS`."""

    def flush(self) -> None: ...

    def tell(self, event: str, **facts: Any) -> None:
        """A fact for whoever follows the run."""


def tell(event: str, **facts: Any) -> None:
    """A line for the process that started this one; dropped rather than waited for when it does not read."""
    line = json.dumps({"event": event, **facts}).encode() + b"\n"
    try:
        os.write(int(os.environ[PROGRESS_VARIABLE]), line)
    except (KeyError, ValueError, OSError):
        log.debug("progress line dropped: %s", line)


def rows_file(run_folder: str, index: int) -> Path:
    return Path(run_folder) / f"rows-{index}.jsonl"


class FileOutlet:
    """Into the run folder, one JSON array a line, and down the pipe."""

    def __init__(self, run_folder: str, index: int) -> None:
        self._file = rows_file(run_folder, index).open("w", encoding="utf-8", buffering=256 * 1024)

    def row(self, *columns: Any) -> None:
        self._file.write(json.dumps(columns) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def tell(self, event: str, **facts: Any) -> None:
        tell(event, **facts)


class MasterOutlet:
    """To the master, which writes the rows into its run folder and hands on what is told.

    Its own pipe hears it too, so that who started this worker can see what it does.
    """

    def __init__(self, send: Callable[[str, dict[str, Any]], None], index: int) -> None:
        self._send = send
        self._index = index
        self._rows: list[str] = []

    def row(self, *columns: Any) -> None:
        self._rows.append(json.dumps(columns))

    def flush(self) -> None:
        if self._rows:
            rows, self._rows = self._rows, []
            self._send(ROWS_MESSAGE, {"worker": self._index, "rows": rows})

    def tell(self, event: str, **facts: Any) -> None:
        self._send(TOLD_MESSAGE, {"event": event, **facts})
        tell(event, **facts)


class RowsOfOthers:
    """The rows that workers on other machines send, in the files that workers here would have written."""

    def __init__(self, run_folder: str, workers: int) -> None:
        self._run_folder = run_folder
        self._workers = workers

    def add(self, worker: int, rows: list[str]) -> None:
        """Raises ValueError when it is nothing that a worker of this run sends."""
        if not 0 <= worker < self._workers or not all(isinstance(json.loads(row), list) for row in rows):
            raise ValueError(f"rows of worker {worker} of {self._workers}")
        with rows_file(self._run_folder, worker).open("a", encoding="utf-8") as file:
            file.writelines(row + "\n" for row in rows)

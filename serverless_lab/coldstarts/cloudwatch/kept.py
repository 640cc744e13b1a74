"""Log events that were read, by log group and stretch of time, in files: what an interrupted reading goes on from.

    <folder>/<log group>-<8 hex digits>/<first ms>-<last ms>.jsonl.gz

A file has all platform events of its stretch, both ends included, and is moved into place when it is whole: what is
there is complete, and what is not there was not read. Only stretches that lie back long enough are kept, since
CloudWatch Logs shows events late.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path

from serverless_lab.coldstarts.log_event import LogEvent
from serverless_lab.project import process_is_alive

# assumed: events are there two minutes after their time. A log whose events come later still would change our mind;
# `--refresh` reads what is kept again.
SETTLED_MS = 120_000

Stretch = tuple[int, int]
"""A first and a last millisecond."""

_NAME = re.compile(r"(\d{1,15})-(\d{1,15})\.jsonl\.gz")
_DRAFT = re.compile(r"\.gz\.(\d+)-\d+$")  # of which process and thread


class KeptLogs:
    """The files in `folder`, which are those of one account and Region. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stored = 0
        """How many events have been put here by this object."""
        self._lock = threading.Lock()

    def load(self, group: str, start_ms: int, end_ms: int) -> tuple[list[Stretch], list[LogEvent]]:
        """(the stretches of the range that are kept, their events); a file that cannot be read is not kept."""
        self._sweep(group)
        stretches: list[Stretch] = []
        events: list[LogEvent] = []
        behind_ms = start_ms
        for (first_ms, last_ms), path in sorted(self._files(group), key=lambda item: (item[0][0], -item[0][1])):
            from_ms, to_ms = max(first_ms, behind_ms), min(last_ms, end_ms)
            if from_ms > to_ms:
                continue
            found = _read(path, group)
            if found is None:
                path.unlink(missing_ok=True)
                continue
            # Two readings at once may have kept overlapping stretches: each event counts once.
            events.extend(event for event in found if from_ms <= (event.timestamp_ms or 0) <= to_ms)
            stretches.append((from_ms, to_ms))
            behind_ms = to_ms + 1
        return stretches, events

    def missing(self, group: str, start_ms: int, end_ms: int) -> list[Stretch]:
        """What of the range is not kept, as far as the files' names say."""
        stretches: list[Stretch] = []
        behind_ms = start_ms
        for (first_ms, last_ms), _ in sorted(self._files(group)):
            from_ms, to_ms = max(first_ms, behind_ms), min(last_ms, end_ms)
            if from_ms <= to_ms:
                stretches.append((from_ms, to_ms))
                behind_ms = to_ms + 1
        return gaps(stretches, start_ms, end_ms)

    def store(self, group: str, first_ms: int, last_ms: int, events: Iterable[LogEvent]) -> None:
        """Keep all events of a stretch; a file appears whole or not at all.

        Raises:
            OSError: the folder cannot be written to.
        """
        lines = [json.dumps([event.log_stream, event.timestamp_ms, event.message]) for event in events]
        folder = self._folder(group)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{first_ms}-{last_ms}.jsonl.gz"
        draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            draft.write_bytes(gzip.compress(data, compresslevel=1, mtime=0))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        with self._lock:
            self.stored += len(lines)

    def forget(self, group: str, start_ms: int, end_ms: int) -> None:
        """Remove every file that has something of the range."""
        for (first_ms, last_ms), path in self._files(group):
            if first_ms <= end_ms and last_ms >= start_ms:
                path.unlink(missing_ok=True)

    def _folder(self, group: str) -> Path:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", group).strip("-.")[:80]
        return self.folder / f"{name}-{hashlib.sha256(group.encode()).hexdigest()[:8]}"

    def _sweep(self, group: str) -> None:
        """Remove what a reading was writing when it was killed."""
        for draft in self._folder(group).glob(".*.jsonl.gz.*"):
            found = _DRAFT.search(draft.name)
            if found is not None and not process_is_alive(int(found[1])):
                draft.unlink(missing_ok=True)

    def _files(self, group: str) -> list[tuple[Stretch, Path]]:
        found = []
        for path in self._folder(group).glob("*.jsonl.gz"):
            name = _NAME.fullmatch(path.name)
            if name is not None:
                found.append(((int(name[1]), int(name[2])), path))
        return found


def gaps(stretches: Iterable[Stretch], start_ms: int, end_ms: int) -> list[Stretch]:
    """What of a range none of the `stretches`, which are in order and apart, has."""
    found = []
    at_ms = start_ms
    for first_ms, last_ms in stretches:
        if first_ms > at_ms:
            found.append((at_ms, first_ms - 1))
        at_ms = last_ms + 1
    if at_ms <= end_ms:
        found.append((at_ms, end_ms))
    return found


def _read(path: Path, group: str) -> list[LogEvent] | None:
    try:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        return [LogEvent(group, stream, stamp, message) for stream, stamp, message in map(json.loads, lines)]
    except (OSError, EOFError, zlib.error, ValueError, TypeError):
        return None

"""Environments' stories as log files on disk."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from tests.coldstarts.story import Environment


def write_logs(folder: Path, environments: Iterable[Environment]) -> Path:
    """One text file per function in `folder`, each line with its time, log group and stream before it."""
    lines: dict[str, list[tuple[int, str]]] = {}
    for environment in environments:
        for event in environment.events:
            assert event.timestamp_ms is not None
            stamp = datetime.fromtimestamp(event.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
            text = f"{stamp} {event.log_group} {event.log_stream} {event.message.rstrip()}"
            lines.setdefault(event.log_group.rpartition("/")[2], []).append((event.timestamp_ms, text))
    folder.mkdir(parents=True, exist_ok=True)
    for function, told in lines.items():
        told.sort(key=lambda item: item[0])
        (folder / f"{function}.log").write_text("".join(f"{text}\n" for _, text in told))
    return folder


def write_export(folder: Path, environments: Iterable[Environment]) -> Path:
    """The same as CloudWatch Logs exports it: a folder per function, task and stream, and a time before each line."""
    for environment in environments:
        function = environment.group.rpartition("/")[2]
        place = folder / function / "3b7e9a44-5d1c-4b8e-9a36-0d6b1c9f2e57" / environment.stream.replace("/", "-")
        place.mkdir(parents=True, exist_ok=True)
        with (place / "000000").open("a") as file:
            for event in environment.events:
                stamp = datetime.fromtimestamp((event.timestamp_ms or 0) / 1000, UTC)
                text = f"{stamp:%Y-%m-%dT%H:%M:%S}.{(event.timestamp_ms or 0) % 1000:03}Z {event.message.rstrip()}\n"
                file.write(text)
    return folder

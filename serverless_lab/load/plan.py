"""What the processes of a load are to send. `runner` writes it down; remote workers get it from the master."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from serverless_lab import __version__
from serverless_lab.errors import LoadError
from serverless_lab.scenario import Scenario, parse_document


@dataclass(frozen=True)
class Plan:
    """One run, the same for all of its workers: each sends the arrivals whose number leaves its index.

    Attributes:
        document: the scenario, as its file says it; `source` is where that was.
        clock: `wall` or `virtual`, kept by the emulator at `clock_url`.
        run: the run's name there.
        workers: how many processes send.
        run_folder: on the machine of the master; empty on another.
        parent: the process that asked for the load, which this one ends with.
        remote: whether the workers were started by somebody else, with `lab load --worker`.
        version: of lab. Another one may compute another schedule from the same seed.
    """

    document: dict[str, Any]
    source: str
    seed: int
    base_url: str
    clock: str
    clock_url: str
    run: str
    workers: int
    run_folder: str
    parent: int
    remote: bool = False
    version: str = __version__

    @property
    def virtual(self) -> bool:
        return self.clock == "virtual"

    def scenario(self) -> Scenario:
        return parse_document(self.document, self.source)

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, path: Path) -> Plan:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def for_a_worker(self) -> dict[str, Any]:
        """What a worker on another machine needs of it. What is only true here is left out."""
        return asdict(replace(self, run_folder="", parent=0))

    @classmethod
    def from_master(cls, data: dict[str, Any]) -> Plan:
        """The plan as another machine sent it.

        Raises:
            LoadError: the master is of another version.
        """
        if data.get("version") != __version__:
            raise LoadError(
                f"the master runs lab {data.get('version')}, this worker {__version__}",
                hint="install the same version on all machines: another one may send other requests",
            )
        return cls(**data)


def schedule_digest(entries: Iterable[int]) -> str:
    """Tells two schedules of one scenario and seed apart: by which entry of the mix each arrival sends."""
    return hashlib.blake2b(",".join(map(str, entries)).encode(), digest_size=16).hexdigest()

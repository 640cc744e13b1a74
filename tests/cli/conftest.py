"""The `lab` command as a user runs it: a process of its own, in a directory that is not the repository."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cli.forked import Forker
from tests.conftest import SAMPLES

HELLO = SAMPLES / "hello" / "template.yaml"
COMMAND_TIMEOUT_S = 120

QUICK_SCENARIO = """
name: quick
description: 40 requests in a second
seed: 7
client_timeout: 30s
phases:
  - name: all
    duration: 1s
    law: poisson
    count: 40
mix:
  - request: GET /somewhere
"""


# An interpreter of its own for every command.
FRESH = (sys.executable, "-m", "serverless_lab.cli.main")


@functools.cache
def forker() -> Forker:
    """The one of this test process, which ends with it."""
    made = Forker()
    atexit.register(made.close)
    return made


@dataclass(frozen=True)
class Answer:
    """What a command did: its exit code, its data, its words."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The `error:` line."""
        return next((line for line in self.err.splitlines() if line.startswith("error: ")), "")

    @property
    def hint(self) -> str:
        return next((line for line in self.err.splitlines() if line.startswith("hint: ")), "")


@dataclass
class Lab:
    """`lab("deploy", ...)` in `directory`, with a home of its own and nothing of the developer's AWS settings."""

    directory: Path
    command: tuple[str, ...] = FRESH
    variables: dict[str, str] = field(default_factory=dict)
    forked: bool = True
    """Fork `FRESH` instead of starting an interpreter, see tests/cli/forked.py."""
    timeout_s: float = COMMAND_TIMEOUT_S

    def __call__(self, *words: str, stdin: str = "", ok: bool = True, **variables: str) -> Answer:
        """Run it to its end. `ok` demands exit code 0."""
        environment = {**self.environment(), **variables}
        if self.forked and self.command == FRESH:
            done = forker().run(words, cwd=self.directory, env=environment, stdin=stdin, timeout=self.timeout_s)
        else:
            done = subprocess.run(
                [*self.command, *words],
                cwd=self.directory,
                env=environment,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=self.timeout_s,
                check=False,
            )
        answer = Answer(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in answer.err, answer.err
        assert not ok or answer.code == 0, f"lab {' '.join(words)}: {answer.code}\n{answer.err}"
        return answer

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start it and do not wait."""
        return subprocess.Popen(
            [*self.command, *words],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Tests that a shell started in the background ignore Ctrl-C, and so would this.
            preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    def refused(self, *words: str, code: int = 1, hint: bool = True, **options: Any) -> Answer:
        """Run a command that must not do anything: it says why, and a way out, and gives no data."""
        answer = self(*words, ok=False, **options)
        assert answer.code == code, answer
        assert answer.error, answer
        assert answer.out == "", answer
        assert bool(answer.hint) or not hint, answer
        return answer

    def environment(self) -> dict[str, str]:
        # The prepared runtime directory is the machine's, so its cache stays; everything else is this directory's.
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "XDG_CACHE_HOME": cache,
            "AWS_EC2_METADATA_DISABLED": "true",
            **self.variables,
        }

    def state(self, name: str) -> Path:
        return self.directory / ".lab" / name

    def emulator(self) -> dict[str, Any]:
        """What the emulator of this directory says of itself."""
        found = self("status", "--json").json["emulator"]
        assert found is not None
        return dict(found)

    def end(self) -> None:
        """Kill this directory's emulator: its guard ends what it started, and nobody waits for that."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, ProcessLookupError):
            os.kill(json.loads(self.state("emulator.json").read_text())["pid"], signal.SIGKILL)

    def scenario(self, text: str = QUICK_SCENARIO, name: str = "quick.yaml") -> str:
        """A scenario file in this directory; gives the word for --scenario."""
        (self.directory / name).write_text(text)
        return f"./{name}"


def wait_until(condition: Callable[[], bool], seconds: float = 30, every: float = 0.05) -> bool:
    """Whether `condition` became true in time."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(every)
    return True


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """`lab` in an empty directory; its emulator, if one is started, ends with the test."""
    made = Lab(tmp_path / "work")
    made.directory.mkdir()
    yield made
    made.end()


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The bundled stack, deployed once with lazy init and loaded once with a few requests, for tests that only look."""
    made = Lab(tmp_path_factory.mktemp("deployed"))
    made("deploy", "--parameter", "InitStyle=lazy", "--json")
    made("load", "--scenario", made.scenario(), "--request", "GET /reports/daily", "--json")
    yield made
    made.end()

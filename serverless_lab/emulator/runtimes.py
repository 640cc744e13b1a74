"""Lambda's runtimes, and what this host has for each: the interpreter, and the folder of what the runtime holds.

A function asks for a runtime by its identifier (`python3.12`, `nodejs22.x`, `provided.al2023`). It runs on the matching
interpreter where the host has one; another version of the same language takes its place where it has not, and `note`
says so. A language the host lacks altogether is a `problem`: the function deploys, and every invocation says why.

documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from serverless_lab.errors import EmulatorError

PYTHON_IDENTIFIER = re.compile(r"python3\.(\d+)")
NODE_IDENTIFIER = re.compile(r"nodejs(\d+)\.x")
OS_ONLY = ("provided.al2023", "provided.al2", "provided")

HOST_VARIABLE = re.compile(
    r"LAB_PYTHON_3_\d+|LAB_NODE|PYENV_ROOT|XDG_DATA_HOME|PIP_.*|npm_config_.*|NODE_EXTRA_CA_CERTS|SSL_CERT_(?:FILE|DIR)"
    r"|REQUESTS_CA_BUNDLE|(?:https?|no|all)_proxy",
    re.IGNORECASE,
)
"""What says where interpreters are and how packages are fetched: the emulator needs it, functions must not see it."""

OWN_MINOR = sys.version_info.minor

MANAGED_MINORS = (11, 12, 13)
"""Of the Python runtimes of Lambda, those that the bundled stack is for."""


class Family(Enum):
    PYTHON = "python"
    NODE = "nodejs"
    PROVIDED = "provided"


@dataclass(frozen=True)
class Scaling:
    """Factors that turn what an interpreter's speed samples took into what lab's own would have taken."""

    boot: float = 1.0
    sample: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Runtime:
    """What a function that asks for `identifier` runs on.

    Args:
        version: as INIT_START writes it: `python:3.12.1.lab`.
        version_arn: the same for the same interpreter and libraries.
        executable: the interpreter; None for a function that brings its own.
        directory: what the runtime holds besides the language; LAMBDA_RUNTIME_DIR.
        note: what is not as the function asked for; "" where nothing is.
        problem: why it cannot run at all; "" where it can.
        scaling: of its speed samples.
    """

    identifier: str
    family: Family
    version: str
    version_arn: str
    executable: Path | None = None
    directory: Path | None = None
    note: str = ""
    problem: str = ""
    scaling: Scaling | None = None

    @property
    def python_version(self) -> str:
        """`3.12`, of what it really runs on."""
        return ".".join(self.version.removeprefix("python:").split(".")[:2])


@dataclass(frozen=True)
class Interpreter:
    """A program of this host and its version: (3, 12, 1).

    `is_optimized` as the runtimes of AWS and of distributions are. A Python compiled without, which is what pyenv does
    unless told otherwise, takes half as long again for an init.
    """

    path: Path
    version: tuple[int, ...]
    is_optimized: bool = True

    def version_text(self) -> str:
        return ".".join(map(str, self.version))


def own_python() -> Interpreter:
    """The interpreter lab runs on, without lab's virtual environment."""
    optimized = _is_optimized(sys.base_prefix, str(sysconfig.get_config_var("CONFIG_ARGS")))
    return Interpreter(Path(os.path.realpath(sys.executable)), tuple(sys.version_info[:3]), optimized)


def _is_optimized(prefix: str, configured: str) -> bool:
    """Distributions let the compiler use a profile in ways of their own, and do not tell."""
    return prefix == "/usr" or "--enable-optimizations" in configured


def find_python(minor: int, environment: Mapping[str, str] = os.environ) -> Interpreter | None:
    """A CPython 3.`minor` of this host: named by LAB_PYTHON_3_<minor>, lab's own, on the PATH, pyenv's or uv's.

    An optimized one goes before the others.

    Raises:
        EmulatorError: LAB_PYTHON_3_<minor> names something else.
    """
    name = f"LAB_PYTHON_3_{minor}"
    named = environment.get(name)
    if named:
        found = _python_at(Path(named))
        if found is None or found.version[:2] != (3, minor):
            what = f"Python {found.version_text()}" if found else "no CPython"
            raise EmulatorError(f"{name} is `{named}`, which is {what}", hint=f"let it name a python3.{minor}")
        return found
    found = own_python() if minor == OWN_MINOR else None
    if found is not None and found.is_optimized:
        return found
    for candidate in _pythons(minor, environment):
        if candidate.is_optimized:
            return candidate
        found = found or candidate
    return found


def bundled_python(environment: Mapping[str, str] = os.environ) -> str | None:
    """The managed runtime that this host can run most like AWS does: the newest with an optimized Python.

    Of hosts that have none, the newest there is; None without any.
    """
    found = {minor: find_python(minor, environment) for minor in MANAGED_MINORS}
    here = [(python.is_optimized, minor) for minor, python in found.items() if python is not None]
    return f"python3.{max(here)[1]}" if here else None


def _pythons(minor: int, environment: Mapping[str, str]) -> Iterator[Interpreter]:
    home = Path(environment.get("HOME") or Path.home())
    program = f"python3.{minor}"
    pyenv = Path(environment.get("PYENV_ROOT") or home / ".pyenv")
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    folders = [Path(folder) for folder in environment.get("PATH", "").split(os.pathsep) if folder]
    # pyenv's shims lead to its versions or nowhere, and take more than a second to find that out.
    candidates = [folder / program for folder in folders if folder != pyenv / "shims"]
    versions = (pyenv / "versions").glob(f"3.{minor}.*")
    candidates += [folder / "bin" / program for folder in sorted(versions, key=_newest_first)]
    uv = (data / "uv" / "python").glob(f"cpython-3.{minor}.*")
    candidates += [folder / "bin" / program for folder in sorted(uv, key=_newest_first)]
    for candidate in candidates:
        found = _python_at(candidate) if candidate.is_file() else None
        if found is not None and found.version[:2] == (3, minor):
            yield found


def find_node(environment: Mapping[str, str] = os.environ) -> Interpreter | None:
    """The Node of this host: LAB_NODE, or `node` on the PATH."""
    named = environment.get("LAB_NODE") or shutil.which("node", path=environment.get("PATH"))
    if not named:
        return None
    said = _output([named, "--version"])
    match = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)\S*", said or "")
    if match is None:
        return None
    # Without shims and version managers' wrappers: environments start it with nothing of the user's settings.
    real = _output([named, "-p", "process.execPath"])
    return Interpreter(Path(real or named), tuple(map(int, match.groups())))


def host_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if HOST_VARIABLE.fullmatch(name)}


def available(environment: Mapping[str, str] = os.environ) -> dict[str, Interpreter]:
    """The runtimes this host can run as they are, by identifier."""
    found = {}
    for minor in range(9, 16):
        python = find_python(minor, environment)
        if python is not None:
            found[f"python3.{minor}"] = python
    node = find_node(environment)
    if node is not None:
        found[f"nodejs{node.version[0]}.x"] = node
    return found


def cannot_run(identifier: str, environment: Mapping[str, str] = os.environ) -> str:
    """Why functions of a runtime do not run on this host at all; "" where they do."""
    if PYTHON_IDENTIFIER.fullmatch(identifier) or identifier in OS_ONLY:
        return ""
    if NODE_IDENTIFIER.fullmatch(identifier):
        missing = f"{identifier} needs Node.js, and this host has none: install `node`, or name it in LAB_NODE"
        return "" if find_node(environment) else missing
    return f"lab's emulator has no {identifier or 'container image'}, it runs Python, Node.js and OS-only runtimes"


def _newest_first(folder: Path) -> tuple[int, ...]:
    match = re.search(r"3\.\d+\.(\d+)", folder.name)
    return (-int(match.group(1)) if match else 0,)


def _python_at(path: Path) -> Interpreter | None:
    """What `path` is; None when it is no CPython, or a shim for a version that is not chosen here."""
    ask = (
        "import os, sys, sysconfig; v = sys.version_info; print(sys.implementation.name, v[0], v[1], v[2],"
        " os.path.realpath(sys.executable), sys.base_prefix, sysconfig.get_config_var('CONFIG_ARGS'), sep='\\n')"
    )
    lines = (_output([str(path), "-I", "-S", "-c", ask]) or "").split("\n")
    if len(lines) != 7 or lines[0] != "cpython":
        return None
    optimized = _is_optimized(lines[5], lines[6])
    return Interpreter(Path(lines[4]), (int(lines[1]), int(lines[2]), int(lines[3])), optimized)


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


class Runtimes:
    """Every runtime functions have asked for, each looked for and prepared once.

    Args:
        virtual: whether environments are measured in virtual time, which needs a reference for each interpreter.
        environment: where interpreters are looked for.
        tell: told, in a sentence, what takes a while.
    """

    def __init__(
        self,
        *,
        virtual: bool,
        environment: Mapping[str, str] = os.environ,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._virtual = virtual
        self._environment = environment
        self._tell = tell
        self._lock = threading.Lock()
        self._found: dict[str, Runtime] = {}

    def known(self) -> dict[str, Runtime]:
        """Those that were asked for so far."""
        return dict(self._found)

    def get(self, identifier: str) -> Runtime:
        found = self._found.get(identifier)
        if found is None:
            with self._lock:
                found = self._found.get(identifier)
                if found is None:
                    found = self._found[identifier] = self._find(identifier)
        return found

    def _find(self, identifier: str) -> Runtime:
        if match := PYTHON_IDENTIFIER.fullmatch(identifier):
            return self._python(identifier, int(match.group(1)))
        if match := NODE_IDENTIFIER.fullmatch(identifier):
            return self._node(identifier, int(match.group(1)))
        if identifier in OS_ONLY:
            name = identifier.partition(".")[2] or "al1"
            return Runtime(identifier, Family.PROVIDED, f"provided:{name}.lab", _arn(identifier))
        problem = cannot_run(identifier, self._environment)
        return Runtime(identifier, Family.PROVIDED, f"{identifier or 'none'}.lab", _arn(identifier), problem=problem)

    def _python(self, identifier: str, minor: int) -> Runtime:
        from serverless_lab.emulator import runtime_directory

        note, scaling = "", None
        own = own_python()
        try:
            python = find_python(minor, self._environment)
            if python is None:
                note = (
                    f"this host has no Python 3.{minor}, so {identifier} runs on {own.version_text()}: install one,"
                    f" or name it in LAB_PYTHON_3_{minor}"
                )
            elif not python.is_optimized:
                note = (
                    f"{identifier} runs on {python.path}, which was built without --enable-optimizations: an init takes"
                    f" about half as long again. LAB_PYTHON_3_{minor} names another"
                )
            if python is not None and python != own:
                directory = runtime_directory.prepare_for(python, tell=self._tell, environment=self._environment)
                if self._virtual:
                    scaling = runtime_directory.scaling(directory, python.path)
        except EmulatorError as error:
            python = None
            note = f"{identifier} runs on Python {own.version_text()}: {error.message}"
        if python is None or python == own:
            python, directory = own, runtime_directory.prepare()
        version = f"python:{python.version_text()}.lab"
        return Runtime(
            identifier, Family.PYTHON, version, _arn(directory.name), python.path, directory, note, scaling=scaling
        )

    def _node(self, identifier: str, major: int) -> Runtime:
        from serverless_lab.emulator import runtime_directory

        node = find_node(self._environment)
        if node is None:
            problem = cannot_run(identifier, self._environment)
            return Runtime(identifier, Family.NODE, f"{identifier}.lab", _arn(identifier), problem=problem)
        notes = []
        if node.version[0] != major:
            notes.append(
                f"this host has no Node.js {major}, so {identifier} runs on {node.version_text()}: name one in LAB_NODE"
            )
        try:
            directory = runtime_directory.prepare_node(node, tell=self._tell, environment=self._environment)
        except EmulatorError as error:
            directory = runtime_directory.prepare_node(node, sdk=False)
            notes.append(f"{identifier} has no AWS SDK but what functions bring: {error.message}")
        return Runtime(
            identifier,
            Family.NODE,
            f"nodejs:{node.version_text()}.lab",
            _arn(directory.name),
            node.path,
            directory,
            "; ".join(notes),
        )


def _arn(what: str) -> str:
    return f"arn:aws:lambda:us-east-1::runtime:{hashlib.sha256(what.encode()).hexdigest()}"

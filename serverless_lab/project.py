"""What `lab` remembers between commands: `.lab/` in the working directory.

    .lab/deployment.json      the last deployment: target, stack, functions, API URL
    .lab/earlier.json         the deployments of other stacks before it, which come to the fore when it is destroyed
    .lab/emulator.json        the embedded emulator of this directory: process, port, instance id
    .lab/emulator.log         what it printed
    .lab/recycled.json        what a run changed so as to begin cold, while that has not been put back
    .lab/build/               zips, by content
    .lab/logs/                what was read of logs over time, where an interrupted reading goes on
    .lab/runs/<id>/           one folder a run: manifest.json, requests.parquet, invocations.parquet, report.html,
                              Locust's own files
    .lab/runs/last            the id of the last run

Files are written whole and moved into place, so a reader never sees half of one. No credential is ever written here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from serverless_lab.errors import BadInput, NothingDeployed

STATE_DIRECTORY = ".lab"


@dataclass(frozen=True)
class DeployedFunction:
    """A function of the stack as the target has it.

    `logical_id` is the template's, `name` the physical name; `alias` the alias events go to, None for $LATEST.
    `provisioned_environments` are those that provisioned concurrency keeps for the alias.
    `handler` is the target's setting; `wrapped_handler` the template's, where `handler` is that of an added module.
    `cannot_run` says why the target cannot run it, where that is so: every invocation of it fails.
    """

    logical_id: str
    name: str
    log_group: str
    memory_size_mb: int
    timeout_s: int
    runtime: str
    architecture: str
    alias: str | None = None
    provisioned_environments: int = 0
    handler: str | None = None
    wrapped_handler: str | None = None
    cannot_run: str | None = None


@dataclass(frozen=True)
class Deployment:
    """One stack on one target. `deployed_at` is ISO 8601 with offset; `instance_id` tells an emulator's lifetime.

    `endpoint_url` and `instance_id` are None on AWS; `api_url` is None for a stack without an API, and `api_type` is
    `rest` or `http`.
    """

    target: str
    stack_name: str
    region: str
    account_id: str
    template: str
    deployed_at: str
    parameters: dict[str, str]
    outputs: dict[str, str]
    functions: tuple[DeployedFunction, ...]
    api_url: str | None = None
    api_type: str | None = None
    endpoint_url: str | None = None
    instance_id: str | None = None
    artifact_bucket: str | None = None
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Deployment:
        functions = tuple(DeployedFunction(**function) for function in data["functions"])
        return cls(**{**data, "functions": functions, "notes": tuple(data.get("notes", ()))})

    def is_of_same_stack(self, other: Deployment) -> bool:
        """Whether both are of one stack: of this name, and in the same place."""

        def place(found: Deployment) -> tuple[str | None, ...]:
            return found.stack_name, found.target, found.account_id, found.region, found.elsewhere

        return place(self) == place(other)

    @property
    def elsewhere(self) -> str | None:
        """The address of an emulator that is not this directory's own, whose port is nobody's business."""
        return None if self.target == "local" else self.endpoint_url

    def ended_before(self, other: Deployment) -> bool:
        """Whether the embedded emulator that held it was not running any more when `other` was made there."""
        return self.target == other.target == "local" and self.instance_id != other.instance_id

    def function(self, name: str) -> DeployedFunction:
        """The function with this logical id or physical name, or whose name ends in it after a hyphen.

        A CDK construct's id will do, too: its logical id has eight hex digits behind it.

        Raises:
            BadInput: no such function; the hint lists those there are.
        """
        for function in self.functions:
            if name in (function.logical_id, function.name):
                return function
        ending = [function for function in self.functions if function.name.endswith(f"-{name}")]
        with_hash = re.compile(re.escape(name) + "[0-9A-F]{8}")
        constructs = [function for function in self.functions if with_hash.fullmatch(function.logical_id)]
        for alike in (ending, constructs):
            if len(alike) == 1:
                return alike[0]
        known = ", ".join(sorted(function.name for function in self.functions)) or "none"
        raise BadInput(f"stack `{self.stack_name}` has no function `{name}`", hint=f"its functions: {known}")


class Project:
    """The `.lab/` folder of one working directory."""

    def __init__(self, directory: Path | None = None) -> None:
        try:
            self.directory = (directory or Path.cwd()).resolve()
        except FileNotFoundError as error:
            raise BadInput("the working directory does not exist any more", hint="change to one that does") from error
        self.state = self.directory / STATE_DIRECTORY
        self.runs = self.state / "runs"
        self.build = self.state / "build"
        self.emulator_file = self.state / "emulator.json"
        self.recycled_file = self.state / "recycled.json"
        self.emulator_log = self.state / "emulator.log"
        self._deployment_file = self.state / "deployment.json"
        self._earlier_file = self.state / "earlier.json"

    def deployment(self) -> Deployment:
        """The last deployment.

        Raises:
            NothingDeployed: there is none yet.
        """
        found = self.deployment_or_none()
        if found is None:
            raise NothingDeployed(f"nothing is deployed from {self.directory}", hint="deploy first: `lab deploy`")
        return found

    def deployment_or_none(self) -> Deployment | None:
        data = read_json(self._deployment_file)
        return None if data is None else _deployment(data, self._deployment_file)

    def earlier_deployments(self) -> list[Deployment]:
        """Those of other stacks than the last one's, oldest first: each as it was when it was made."""
        data = read_json(self._earlier_file) or {}
        return [_deployment(found, self._earlier_file) for found in data.get("deployments", [])]

    def deployment_of(self, stack_name: str | None, target: str | None = None) -> Deployment | None:
        """The last deployment of this stack, or of any, on this target or any."""
        last = self.deployment_or_none()
        known = [last] if stack_name is None else [last, *reversed(self.earlier_deployments())]
        for found in known:
            if found is not None and stack_name in (None, found.stack_name) and target in (None, found.target):
                return found
        return None

    def remember_deployment(self, deployment: Deployment) -> None:
        """As the last one. Of others, those of an emulator that has ended since are forgotten."""
        self._keep_out_of_git()
        self.forget_deployments(lambda other: other.is_of_same_stack(deployment) or other.ended_before(deployment))
        last = self.deployment_or_none()
        if last is not None:
            self._write_earlier([*self.earlier_deployments(), last])
        write_json(self._deployment_file, deployment.to_json())

    def forget_deployments(self, is_gone: Callable[[Deployment], bool]) -> Deployment | None:
        """Forget those that are gone: gives the last deployment from now on.

        When that is gone, the one before it on the same target takes its place. One on another target never does: what
        is meant for an emulator shall not go to AWS because a stack was destroyed.
        """
        last = self.deployment_or_none()
        left = [found for found in self.earlier_deployments() if not is_gone(found)]
        if last is not None and is_gone(last):
            there = [found for found in left if found.target == last.target]
            last = there[-1] if there else None
            if last is None:
                self._deployment_file.unlink()
            else:
                left.remove(last)
                write_json(self._deployment_file, last.to_json())
        self._write_earlier(left)
        return last

    def _write_earlier(self, deployments: list[Deployment]) -> None:
        if deployments:
            write_json(self._earlier_file, {"deployments": [found.to_json() for found in deployments]})
        else:
            self._earlier_file.unlink(missing_ok=True)

    def _keep_out_of_git(self) -> None:
        """Nothing in the state directory is for a repository."""
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            write_text(ignore, "*\n")

    def new_run(self, scenario: str, now: datetime) -> Path:
        """An empty folder for a run of `scenario`, named by time and scenario."""
        self._keep_out_of_git()
        stem = f"{now:%Y%m%d-%H%M%S}-{scenario}"
        for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
            folder = self.runs / f"{stem}{suffix}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            return folder
        raise BadInput(f"{self.runs} has a thousand runs named {stem}", hint="remove old runs")

    def remember_run(self, folder: Path) -> None:
        write_text(self.runs / "last", folder.name + "\n")

    def run(self, run_id: str | None = None) -> Path:
        """The folder of run `run_id`, or of the last run.

        Raises:
            NothingDeployed: nothing was run yet.
            BadInput: no such run.
        """
        if run_id is None:
            last = self.runs / "last"
            if not last.is_file():
                raise NothingDeployed(f"no run in {self.runs}", hint="send a load first: `lab load --scenario smooth`")
            run_id = last.read_text().strip()
        folder = self.runs / run_id
        if not (folder / "manifest.json").is_file():
            known = sorted(path.name for path in self.runs.glob("*") if path.is_dir())[-5:]
            raise BadInput(f"no run `{run_id}` in {self.runs}", hint="newest runs: " + (", ".join(known) or "none"))
        return folder


def _deployment(data: dict[str, Any], path: Path) -> Deployment:
    try:
        return Deployment.from_json(data)
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"{path} is not of this version of lab: {error}", hint=f"remove it, then deploy again: rm {path}"
        ) from error


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`, or None when there is no such file.

    Raises:
        BadInput: the file is there and is not a JSON object.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    try:
        data = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{path} is not JSON: {error}", hint=f"remove it: rm {path}") from error
    if not isinstance(data, dict):
        raise BadInput(f"{path} does not hold a JSON object", hint=f"remove it: rm {path}")
    return data


def write_json(path: Path, data: dict[str, Any]) -> None:
    write_text(path, json.dumps(data, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Put `text` into `path` in one step: either the old content is there or the new, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def process_is_alive(pid: int) -> bool:
    """Whether a process of this number is there, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def bundled(kind: str, name: str) -> Path:
    """The path of a file or folder that ships with lab: `bundled("scenarios", "smooth.yaml")`.

    In a wheel they are under `serverless_lab/bundled/`, in a checkout at its top level.
    """
    package = Path(__file__).parent
    shipped = package / "bundled" / kind
    return (shipped if shipped.is_dir() else package.parent / kind) / name

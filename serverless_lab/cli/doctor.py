"""`lab doctor`: whether this machine can use a target, and what to do when not."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverless_lab.cli.context import default_stack_name
from serverless_lab.cli.findings import BAD, DOUBTFUL, GOOD, Finding
from serverless_lab.cli.memory import available_mb
from serverless_lab.cli.options import AsJson, Profile, Region, print_json
from serverless_lab.errors import BadInput, LabError
from serverless_lab.project import Project

if TYPE_CHECKING:
    from serverless_lab.scenario import Scenario

OLDEST_PYTHON = (3, 11)

ENOUGH_MB = 2_048
"""assumed: the emulator and some twenty environments with SDK clients; `lab load` counts what a scenario needs."""


def doctor(
    target_name: Annotated[
        str | None, typer.Option("--target", help="Look at this target alone, and fail when it is unusable.")
    ] = None,
    scenario: Annotated[
        str, typer.Option(help="The scenario whose concurrency the target's quota is compared with.")
    ] = "monday-spike",
    region: Region = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine and its targets, and say what to do.

    Without --target all targets are looked at, and the embedded one decides. The exit code is 1 when it is unusable.
    Nothing is changed anywhere: on AWS it asks IAM what you may do, and reads.

    Example: lab doctor --target localstack
    """
    from serverless_lab.scenario import load_scenario
    from serverless_lab.targets import TARGET_NAMES

    if target_name is not None and target_name not in TARGET_NAMES:
        raise BadInput(f"no target `{target_name}`", hint="targets: " + ", ".join(TARGET_NAMES))
    names = TARGET_NAMES if target_name is None else (target_name,)
    project = Project()
    chosen_scenario = load_scenario(scenario, project.directory)
    findings = [
        finding for name in names for finding in examine(name, project, chosen_scenario, region, profile, os.environ)
    ]
    chosen = target_name or "local"
    usable = not any(finding.target == chosen and finding.state == BAD for finding in findings)
    if as_json:
        print_json({"target": chosen, "usable": usable, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            typer.echo(f"{finding.target:<10}  {finding.state:<8}  {finding.subject}: {finding.text}")
            if finding.hint:
                typer.echo(f"{'':<10}  {'':<8}  hint: {finding.hint}")
    if not usable:
        raise typer.Exit(1)


def examine(
    name: str,
    project: Project,
    scenario: Scenario,
    region: str | None,
    profile: str | None,
    environment: Mapping[str, str],
) -> Iterator[Finding]:
    """What there is to say about target `name`, the important first."""
    from serverless_lab.cli.doctor_aws import look_at_aws
    from serverless_lab.cli.doctor_localstack import look_at_localstack

    if name == "local":
        yield from _machine()
        yield from _emulator(project)
    elif name == "localstack":
        yield from look_at_localstack(scenario, region, profile, environment)
    else:
        yield from look_at_aws(scenario, default_stack_name(project), region, profile, environment)


def _machine() -> Iterator[Finding]:
    def found(subject: str, state: str, text: str, hint: str | None = None) -> Finding:
        return Finding("local", subject, state, text, hint)

    own = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= OLDEST_PYTHON:
        yield found("Python", GOOD, own)
    else:
        yield found("Python", BAD, own, "install lab with Python 3.11 or later")
    if sys.platform != "linux":
        yield found("system", BAD, sys.platform, "the embedded emulator needs Linux: a virtual machine or a container")
        return
    yield found("system", GOOD, f"Linux {os.uname().release}, {len(os.sched_getaffinity(0))} CPUs")
    yield from _runtimes()
    yield _private_tmp()
    try:
        Path("/proc/self/schedstat").read_text()
        yield found("run queue", GOOD, "/proc/self/schedstat can be read")
    except OSError as error:
        yield found(
            "run queue", DOUBTFUL, str(error), "durations will contain the time processes waited for a CPU: idle it"
        )
    free_mb = available_mb()
    hint = None if free_mb >= ENOUGH_MB else "an environment with SDK clients takes 50 to 80 MB: free memory for bursts"
    yield found("memory", GOOD if hint is None else DOUBTFUL, f"{free_mb:,} MB free", hint)


def _runtimes() -> Iterator[Finding]:
    from serverless_lab.emulator.runtimes import available

    try:
        here = available(os.environ)
    except LabError as error:
        yield Finding("local", "runtimes", BAD, error.message, error.hint)
        return
    told = [
        f"{name} ({interpreter.version_text()}{'' if interpreter.is_optimized else ', not optimised'})"
        for name, interpreter in here.items()
    ]
    missing = [name for name in ("python3.11", "python3.12", "python3.13") if name not in here]
    hints = []
    if missing:
        hints.append(
            f"functions of {', '.join(missing)} run on another version: install it, or name it in "
            + ", ".join(map(_variable, missing))
        )
    slow = [name for name, interpreter in here.items() if not interpreter.is_optimized]
    if slow:
        hints.append(
            f"inits of {', '.join(slow)} take about half as long again as in an optimised build, as AWS's are: "
            f"`uv python install` one, or name a distribution's in {_variable(slow[-1])}"
        )
    if not any(name.startswith("nodejs") for name in here):
        hints.append("Node.js functions do not run: install node, or name it in LAB_NODE")
    state = DOUBTFUL if hints else GOOD
    yield Finding("local", "runtimes", state, ", ".join([*told, "provided.al2023"]), "; ".join(hints) or None)


def _variable(runtime: str) -> str:
    """What names the interpreter of a Python runtime: `python3.12` -> `LAB_PYTHON_3_12`."""
    return runtime.upper().replace("PYTHON", "LAB_PYTHON_").replace(".", "_")


def _private_tmp() -> Finding:
    import tempfile

    from serverless_lab.emulator import runtime_directory
    from serverless_lab.emulator.process import can_have_private_view
    from serverless_lab.emulator.runtimes import own_python

    subject = "private /tmp"
    cache = runtime_directory.cache_directory()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            possible = can_have_private_view(own_python().path, Path(folder))
    except OSError as error:
        return Finding(
            "local", subject, BAD, f"{cache}: {error.strerror}", "set XDG_CACHE_HOME to a directory you may write to"
        )
    shared = "so environments share the machine's /tmp, and their code is not at /var/task"
    for what, path, way_out in (
        ("lab's cache", cache.resolve(), "set XDG_CACHE_HOME to a directory that is not"),
        ("lab's Python", own_python().path, "install lab with a Python that is not"),
    ):
        if path.is_relative_to("/tmp"):
            return Finding("local", subject, DOUBTFUL, f"{what} is itself below /tmp ({path}), {shared}", way_out)
    if possible:
        return Finding("local", subject, GOOD, "each environment has its own")
    return Finding(
        "local",
        subject,
        DOUBTFUL,
        f"this kernel or container allows no mount namespaces, {shared}",
        "allow unprivileged user namespaces, or see that handlers use distinct file names",
    )


def _emulator(project: Project) -> Iterator[Finding]:
    from serverless_lab.emulator import control

    found = control.status(project)
    if found is not None:
        yield Finding("local", "emulator", GOOD, f"runs on 127.0.0.1:{found['port']}, version {found['version']}")
        return
    ports = range(control.FIRST_PORT, control.FIRST_PORT + control.PORTS)
    port = next(filter(_is_free, ports), None)
    if port is None:
        text = f"not running, and no port from {ports[0]} to {ports[-1]} is free"
        yield Finding("local", "emulator", BAD, text, "name a free one: `lab up --port N`")
    else:
        yield Finding("local", "emulator", GOOD, f"not running; `lab up` would take port {port}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

"""`lab doctor`: whether this machine can use a target, and what to do when not."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from serverless_lab.cli.memory import available_mb
from serverless_lab.cli.options import AsJson, Profile, Region, print_json
from serverless_lab.errors import BadInput, LabError
from serverless_lab.project import Project

GOOD, DOUBTFUL, BAD = "ok", "warning", "unusable"

OLDEST_PYTHON = (3, 11)

ENOUGH_MB = 2_048
"""assumed: the emulator and some twenty environments with SDK clients; `lab load` counts what a scenario needs."""


SIGN_IN = "sign in, for example with `aws sso login`, or name a --profile"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state` is ok, warning (it works, with a loss) or unusable; `hint` is what to do."""

    target: str
    subject: str
    state: str
    text: str
    hint: str | None = None


def doctor(
    target_name: Annotated[
        str | None, typer.Option("--target", help="Look at this target alone, and fail when it is unusable.")
    ] = None,
    region: Region = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine and its targets, and say what to do.

    Without --target all targets are looked at, and the embedded one decides. The exit code is 1 when it is unusable.

    Example: lab doctor --target localstack
    """
    from serverless_lab.targets import TARGET_NAMES

    if target_name is not None and target_name not in TARGET_NAMES:
        raise BadInput(f"no target `{target_name}`", hint="targets: " + ", ".join(TARGET_NAMES))
    names = TARGET_NAMES if target_name is None else (target_name,)
    findings = [finding for name in names for finding in examine(name, Project(), region, profile, os.environ)]
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
    name: str, project: Project, region: str | None, profile: str | None, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """What there is to say about target `name`, the important first."""
    if name == "local":
        yield from _machine()
        yield from _emulator(project)
    elif name == "localstack":
        yield from _localstack(region, environment)
    else:
        yield from _aws(region, profile, environment)


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
    told = [f"{name} ({interpreter.version_text()})" for name, interpreter in here.items()]
    missing = [name for name in ("python3.11", "python3.12", "python3.13") if name not in here]
    hints = []
    if missing:
        hints.append(
            f"functions of {', '.join(missing)} run on another version: install it, or name it in "
            + ", ".join(f"LAB_{name.upper().replace('.', '_')}" for name in missing)
        )
    if not any(name.startswith("nodejs") for name in here):
        hints.append("Node.js functions do not run: install node, or name it in LAB_NODE")
    state = DOUBTFUL if hints else GOOD
    yield Finding("local", "runtimes", state, ", ".join([*told, "provided.al2023"]), "; ".join(hints) or None)


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
    if any(path.is_relative_to("/tmp") for path in (cache.resolve(), own_python().path)):
        return Finding(
            "local",
            subject,
            DOUBTFUL,
            "lab's cache or Python is itself below /tmp, so environments share the machine's",
            "set XDG_CACHE_HOME, or install Python, outside /tmp",
        )
    if possible:
        return Finding("local", subject, GOOD, "each environment has its own")
    return Finding(
        "local",
        subject,
        DOUBTFUL,
        "this kernel or container allows no mount namespaces, so environments share the machine's /tmp",
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


def _localstack(region: str | None, environment: Mapping[str, str]) -> Iterator[Finding]:
    from serverless_lab.targets.clients import get_json
    from serverless_lab.targets.localstack import HINT, localstack_endpoint

    try:
        endpoint = localstack_endpoint(environment)
        info = get_json(f"{endpoint}/_localstack/info")
        health = info or get_json(f"{endpoint}/_ministack/health") or get_json(f"{endpoint}/_localstack/health")
    except OSError as error:
        reason = getattr(error, "reason", error)
        yield Finding("localstack", "endpoint", BAD, f"nothing answers at {endpoint}: {reason}", HINT)
        return
    except LabError as error:
        yield Finding("localstack", "endpoint", BAD, error.message, error.hint)
        return
    if health is None:
        yield Finding("localstack", "endpoint", BAD, f"what answers at {endpoint} is no LocalStack", HINT)
        return
    ministack = info is None and get_json(f"{endpoint}/_ministack/health") is not None
    what = "MiniStack" if ministack else "LocalStack"
    version = health.get("version")
    yield Finding("localstack", "endpoint", GOOD, f"{what} {version or '(no version told)'} at {endpoint}")
    yield Finding(
        "localstack",
        "logs",
        DOUBTFUL,
        f"{what} prints no Init Duration" + (", and a log stream for every invocation" if ministack else ""),
        "for true cold starts use the embedded target: `lab deploy --target local`",
    )


def _aws(region: str | None, profile: str | None, environment: Mapping[str, str]) -> Iterator[Finding]:
    from botocore.exceptions import BotoCoreError, ClientError

    from serverless_lab.targets import resolve_target

    try:
        target: Any = resolve_target("aws", region=region, profile=profile, environment=environment)
        credentials = target.session().get_credentials()
    except LabError as error:
        yield Finding("aws", "configuration", BAD, error.message, error.hint)
        return
    except BotoCoreError as error:
        yield Finding("aws", "credentials", BAD, str(error), SIGN_IN)
        return
    yield Finding("aws", "endpoint", GOOD, f"no override; region {target.region}, profile {target.profile}")
    if credentials is None:
        yield Finding("aws", "credentials", BAD, "none found", SIGN_IN)
        return
    try:
        account = target.account_id()
    except LabError as error:
        yield Finding("aws", "credentials", BAD, error.message, error.hint)
        return
    except (BotoCoreError, ClientError) as error:
        yield Finding("aws", "credentials", BAD, str(error), SIGN_IN)
        return
    yield Finding("aws", "credentials", GOOD, f"account {account}")

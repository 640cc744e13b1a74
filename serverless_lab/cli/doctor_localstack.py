"""What `lab doctor` has to say about LocalStack, or what answers in its place."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator, Mapping
from ssl import SSLError
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from serverless_lab.cli.findings import BAD, DOUBTFUL, GOOD, Finding, concurrency_finding
from serverless_lab.cli.real_time import is_here
from serverless_lab.errors import LabError

if TYPE_CHECKING:
    from serverless_lab.scenario import Scenario

# LocalStack's names of the services that a stack with an API needs.
NEEDED_SERVICES = ("apigateway", "cloudformation", "iam", "lambda", "logs", "s3", "sts")
SERVES = frozenset({"available", "running", "initialized", "starting"})
DOCKER_SOCKET = "/var/run/docker.sock"
DOCKER_TIMEOUT_S = 3
NO_LICENCE_NEEDED = frozenset({"community", "unknown"})
"""What an edition that runs without a licence calls itself: the image's, and that of the package on PyPI."""

TOLD_BY_MODULE = (
    "`lab deploy` adds a module to each function that tells cold starts and its import's time, see docs/localstack.md; "
    "Init Durations as AWS prints them are on `lab deploy --target local`"
)


def _found(subject: str, state: str, text: str, hint: str | None = None) -> Finding:
    return Finding("localstack", subject, state, text, hint)


def look_at_localstack(
    scenario: Scenario, region: str | None, profile: str | None, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Whether it answers, what it is, whether it can run functions, and what its logs will not tell."""
    from serverless_lab.targets import resolve_target
    from serverless_lab.targets.clients import HTTP_TIMEOUT_S, get_json
    from serverless_lab.targets.localstack import HINT, SSL_HINT

    try:
        target: Any = resolve_target("localstack", region=region, profile=profile, environment=environment)
        endpoint = target.endpoint_url
        info = get_json(f"{endpoint}/_localstack/info")
        mini = get_json(f"{endpoint}/_ministack/health") if info is None else None
        own = None if mini is None else get_json(f"{endpoint}/_lab/status")
        health = mini or get_json(f"{endpoint}/_localstack/health")
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            text = f"what listens at {endpoint} has not answered within {HTTP_TIMEOUT_S} s"
            yield _found("endpoint", BAD, text, "it may be at work on what it was sent: look again in a while")
            return
        hint = SSL_HINT if isinstance(reason, SSLError) else HINT
        yield _found("endpoint", BAD, f"nothing answers at {endpoint}: {reason}", hint)
        return
    except LabError as error:
        yield _found("endpoint", BAD, error.message, error.hint)
        return
    if own is not None:
        text = f"lab's own emulator answers at {endpoint}, which is the target `local`"
        yield _found(
            "endpoint", DOUBTFUL, text, "unset AWS_ENDPOINT_URL, as `lab status --env` sets it, or name another"
        )
        return
    if info is None and health is None:
        yield _found("endpoint", BAD, f"what answers at {endpoint} is no LocalStack", HINT)
        return
    known = {**(health or {}), **(info or {})}
    what = "MiniStack" if mini is not None else "LocalStack"
    edition = "" if mini is not None else _edition(known)
    version = known.get("version") or "(no version told)"
    yield _found("endpoint", GOOD, f"{what} {version}{edition} at {endpoint}, region {target.region}")
    yield from _services(health or {})
    if mini is None:
        yield _docker(str(endpoint), environment)
        if known.get("is_license_activated") is False and known.get("edition", "unknown") not in NO_LICENCE_NEEDED:
            yield _found("licence", DOUBTFUL, "not activated", "set LOCALSTACK_AUTH_TOKEN where LocalStack starts")
    yield from _concurrency(target, scenario)
    yield _found(
        "logs",
        DOUBTFUL,
        f"{what} prints no Init Duration" + (", and a log stream for every invocation" if mini is not None else ""),
        TOLD_BY_MODULE,
    )
    if mini is not None:
        yield _found(
            "functions",
            DOUBTFUL,
            "those in Python run on MiniStack's own interpreter whatever their Runtime says, and provisioned "
            "concurrency keeps none of them ready",
            "start MiniStack with the Python of your functions; `lab deploy --target local` does both",
        )


def _edition(known: Mapping[str, Any]) -> str:
    edition = known.get("edition")
    return f", edition {edition}" if edition and edition != "unknown" else ""


def _services(health: Mapping[str, Any]) -> Iterator[Finding]:
    """What of the needed services is turned off (LocalStack's SERVICES) or broken. What is not told is not judged."""
    services = health.get("services")
    if not isinstance(services, dict) or not services:
        return
    off = [f"{name} ({services[name]})" for name in NEEDED_SERVICES if services.get(name, "available") not in SERVES]
    if off:
        yield _found("services", BAD, "not available: " + ", ".join(off), "start LocalStack with them: see SERVICES")
    else:
        yield _found("services", GOOD, ", ".join(NEEDED_SERVICES))


def _docker(endpoint: str, environment: Mapping[str, str]) -> Finding:
    """LocalStack runs each execution environment in a container, and creates functions that fail where it cannot."""
    if not is_here(endpoint):
        text = "LocalStack is on another machine; its functions run where it finds Docker"
        return _found("Docker", DOUBTFUL, text, "a function that ends in state Failed says that there is none")
    address = environment.get("DOCKER_HOST", "").strip() or f"unix://{DOCKER_SOCKET}"
    try:
        version = docker_version(address)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _found(
            "Docker",
            DOUBTFUL,
            f"none answers at {address}: {error}; LocalStack runs functions in containers",
            f"start Docker, and start LocalStack with `-v {DOCKER_SOCKET}:{DOCKER_SOCKET}`",
        )
    return _found("Docker", GOOD, f"{version} at {address}; LocalStack needs its socket too")


def docker_version(address: str) -> str:
    """The version of the Docker engine at `address`, as DOCKER_HOST has it.

    Raises:
        OSError: nobody answers there, or somebody else.
        ValueError: that is no address of its kind.
    """
    where = urlsplit(address)
    if where.scheme == "unix":
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(DOCKER_TIMEOUT_S)
        connection = http.client.HTTPConnection("docker", timeout=DOCKER_TIMEOUT_S)
        try:
            link.connect(where.path)
        except OSError:
            link.close()
            raise
        connection.sock = link
    elif where.scheme in ("tcp", "http") and where.hostname:
        connection = http.client.HTTPConnection(where.hostname, where.port or 2375, timeout=DOCKER_TIMEOUT_S)
    else:
        raise ValueError("only unix:// and tcp:// can be looked at")
    try:
        connection.request("GET", "/_ping")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise OSError(f"it answers {answer.status}")
        return answer.headers.get("Server") or f"API {answer.headers.get('Api-Version', '(no version told)')}"
    finally:
        connection.close()


def _concurrency(target: Any, scenario: Scenario) -> Iterator[Finding]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        limits = target.client("lambda").get_account_settings()["AccountLimit"]
        yield concurrency_finding(
            "localstack", limits, scenario, "raise LAMBDA_LIMITS_CONCURRENT_EXECUTIONS where LocalStack starts"
        )
    except (BotoCoreError, ClientError, KeyError):
        return  # an emulator that keeps no account settings has no quota to compare with

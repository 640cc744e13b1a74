"""`lab invoke` and `lab logs`: one function at a time."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated, Any

import typer

from serverless_lab.cli.options import AsJson, Profile, print_json, say
from serverless_lab.errors import BadInput, TargetError
from serverless_lab.project import Project

FunctionName = Annotated[str, typer.Argument(metavar="FUNCTION", help="Function name, its end, or its logical id.")]
FOLLOW_SECONDS = 1.0
PAGE_MARGIN_MS = 10_000
REFUSED_EVENT = frozenset(
    {"InvalidRequestContentException", "RequestTooLargeException", "RequestEntityTooLargeException"}
)
REFUSED_NOW = frozenset({"TooManyRequestsException", "ResourceConflictException", "ServiceException"})


def invoke(
    function: FunctionName,
    event: Annotated[str, typer.Option(help="The event: JSON, @FILE, or - for standard input.")] = "{}",
    asynchronous: Annotated[bool, typer.Option("--async", help="Queue it, and do not wait for its result.")] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Invoke a deployed function and print its result.

    Its log goes to stderr. The exit code is 1 when the function failed.

    Example: lab invoke ingest-event --event '{"source": "warming", "action": "ping"}'
    """
    import base64

    from botocore.exceptions import ClientError

    from serverless_lab.cli.context import living_deployment
    from serverless_lab.targets.clients import error_code, errors_of

    payload = _event(event)
    deployment, target = living_deployment(Project(), profile=profile)
    found = deployment.function(function)
    options: dict[str, Any] = {"FunctionName": found.name, "Payload": payload}
    if found.alias is not None:
        options["Qualifier"] = found.alias
    options |= {"InvocationType": "Event"} if asynchronous else {"LogType": "Tail"}
    with errors_of(target, "repeat"):
        try:
            answer = target.client("lambda").invoke(**options)
        except ClientError as error:
            if error_code(error) in REFUSED_EVENT:
                raise BadInput(f"{found.name} was not invoked: {error}", hint="send another --event") from error
            if error_code(error) in REFUSED_NOW:
                raise TargetError(f"{found.name} was not invoked: {error}", hint="repeat later") from error
            raise
    body = answer["Payload"].read().decode()
    log = base64.b64decode(answer.get("LogResult", "")).decode("utf-8", "replace")
    function_error = answer.get("FunctionError")
    if as_json:
        print_json(
            {
                "function": found.name,
                "request_id": answer["ResponseMetadata"]["RequestId"],
                "status_code": answer["StatusCode"],
                "function_error": function_error,
                "payload": _parsed(body),
                "log": log,
            }
        )
    else:
        if log:
            sys.stderr.write(log if log.endswith("\n") else log + "\n")
        if body:
            typer.echo(body)
        elif asynchronous:
            say(f"queued: request {answer['ResponseMetadata']['RequestId']}")
    if function_error is not None:
        raise typer.Exit(1)


def logs(
    function: FunctionName,
    since: Annotated[str, typer.Option(help="How far back: 90s, 10m, 2h.")] = "10m",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Print a deployed function's log.

    Platform lines and what the function wrote, each with its time and the end of its log stream's name, which tells
    execution environments apart. --json prints an object per event and line.

    Example: lab logs process-event --since 1m
    """
    from serverless_lab.cli.context import living_deployment
    from serverless_lab.located_yaml import duration_ms
    from serverless_lab.targets.clients import target_errors

    back_ms = duration_ms(since)
    if back_ms is None:
        raise BadInput(f"--since `{since}` is no duration", hint="a number and s, m, h or d: --since 10m")
    deployment, target = living_deployment(Project(), profile=profile)
    group = deployment.function(function).log_group
    with target_errors(target.name, target.endpoint_url, "`lab status` tells what runs, `lab deploy` brings it back"):
        _print_log(target.client("logs"), group, back_ms, follow, as_json)


def _print_log(client: Any, group: str, back_ms: float, follow: bool, as_json: bool) -> None:
    seen: set[str] = set()
    start_ms = int(time.time() * 1000 - back_ms)
    while True:
        newest_ms = start_ms
        for event in _log_events(client, group, start_ms):
            newest_ms = max(newest_ms, event["timestamp"])
            key = event.get("eventId") or f"{event['logStreamName']} {event['timestamp']} {event['message']}"
            if key not in seen:
                seen.add(key)
                _print_event(event, as_json)
        if not follow:
            if not seen:
                say(f"nothing in {group} in that time")
            return
        sys.stdout.flush()
        start_ms = max(start_ms, newest_ms - PAGE_MARGIN_MS)
        time.sleep(FOLLOW_SECONDS)


def _log_events(client: Any, group: str, start_ms: int) -> list[dict[str, Any]]:
    """Events from `start_ms` on, in the order of time; none where nothing was logged yet."""
    found: list[dict[str, Any]] = []
    try:
        for page in client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start_ms):
            found += page["events"]
    except client.exceptions.ResourceNotFoundException:
        return []
    return sorted(found, key=lambda event: event["timestamp"])


def _print_event(event: dict[str, Any], as_json: bool) -> None:
    from datetime import UTC, datetime

    if as_json:
        kept = {name: event[name] for name in ("timestamp", "logStreamName", "message")}
        typer.echo(json.dumps(kept))
        return
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat(timespec="milliseconds")
    typer.echo(f"{at.replace('+00:00', 'Z')} {event['logStreamName'][-8:]} {event['message'].rstrip()}")


def _event(given: str) -> bytes:
    from pathlib import Path

    text = given
    try:
        if text == "-":
            text = sys.stdin.buffer.read().decode()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--event: {error}", hint="give the path of a JSON file in UTF-8 after @") from error
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        hint = """for example: --event '{"key": "value"}'"""
        if text == given and (given.endswith(".json") or Path(given).is_file()):
            hint = f"a file's name has an @ before it: --event @{given}"
        raise BadInput(f"--event is not JSON: {error}", hint=hint) from error
    return text.encode()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")


def _parsed(body: str) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body

"""Asynchronous invocations in MiniStack: keeps its events, invokes for them and acts on `asynchronous`' rules.

Everything that invokes asynchronously comes through here: Invoke with InvocationType Event and S3 call
`lambda_svc.invoke_async_with_retry`, SNS and EventBridge (its rules and schedules) would invoke synchronously on
threads of their own and are led here. Each attempt runs on a thread and as an actor of its own; a retry is a timer of
the clock.
"""

from __future__ import annotations

import contextvars
import functools
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serverless_lab import quotas
from serverless_lab.emulator import ministack_destinations as destinations
from serverless_lab.emulator.asynchronous import (
    Answer,
    Command,
    Ending,
    EventInvokeConfig,
    InvokeAt,
    QueuedEvent,
    SendRecord,
    SendToDeadLetterQueue,
    accepted,
    answered,
    parsed,
    qualified_arn,
)
from serverless_lab.emulator.clock import Actor, Clock
from serverless_lab.emulator.ministack import EdgeRequest, edge_request
from serverless_lab.emulator.ministack_time import carried_actor

logger = logging.getLogger(__name__)


def start_actor(clock: Clock, at_ms: float | None, run: Callable[[Actor], None]) -> None:
    """Run `run` on a thread of its own, as an actor that is there from now on."""
    actor = clock.enter(at_ms)
    context = contextvars.copy_context()

    def carry() -> None:
        carried_actor.set(actor)
        edge_request.set(None)
        try:
            run(actor)
        except Exception:
            logger.exception("a thread of Lambda's own")
        finally:
            actor.leave()

    threading.Thread(target=context.run, args=(carry,), name="lab-lambda", daemon=True).start()


def on_event_loop(clock: Clock, at_ms: float, run: Callable[[], None]) -> None:
    """Run `run` between two requests, at `at_ms`: MiniStack's queues are written by one thread at a time."""
    from ministack import app

    holder = clock.enter(at_ms)

    def act() -> None:
        carried_actor.set(holder)
        edge_request.set(None)
        try:
            run()
        except Exception:
            logger.exception("on the event loop")
        finally:
            holder.leave()

    app._MAIN_LOOP.call_soon_threadsafe(act)


def invoke_for(
    actor: Actor, request_id: str, func: dict[str, Any], event: Any, *, payload: bytes | None = None
) -> Answer:
    """Invoke as Lambda itself does: synchronously for an event source; with `payload`, an event from the queue."""
    from ministack.services import lambda_svc

    edge = EdgeRequest(
        invoke_api=True,
        raw_payload=payload is None,
        payload=payload,
        function_request_id=request_id,
        actor=actor,
        on_end=lambda _: None,
    )
    edge_request.set(edge)
    try:
        result = lambda_svc._execute_function(func, event)
    finally:
        edge_request.set(None)
    version = edge.executed_version or str((func.get("config") or func).get("Version") or "$LATEST")
    if result.get("throttle"):
        return Answer(Ending.THROTTLED, executed_version=version)
    body = result.get("body")
    answer = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if result.get("error"):
        return Answer(Ending.FUNCTION_ERROR, answer, result.get("function_error") or "Unhandled", version)
    return Answer(Ending.SUCCEEDED, answer, None, version)


@dataclass
class AsynchronousInvocations:
    """Args:
    clock: time of attempts and records.
    new_request_id: ids of events that no Invoke brought in.
    """

    clock: Clock
    new_request_id: Callable[[], str]

    def install(self) -> None:
        from ministack.services import eventbridge, lambda_svc, sns

        lambda_svc.invoke_async_with_retry = self.accept
        lambda_svc._put_event_invoke_config = validated(lambda_svc._put_event_invoke_config)
        lambda_svc.handle_request = completed(lambda_svc.handle_request)
        sns._lambda_svc = _InvokesAsynchronously(lambda_svc, self.accept)
        eventbridge._dispatch_to_lambda = self.accept_for

    def accept(self, func: dict[str, Any], event: Any) -> None:
        """An event comes in; returns at once."""
        function = func.get("config") or func
        function_arn = function["FunctionArn"]
        edge = edge_request.get()
        # A thread of MiniStack's may outlive the request it was started by: where it has an actor, that is the one.
        actor = carried_actor.get() or (None if edge is None else edge.actor)
        at_ms = self.clock.now_ms() if actor is None else actor.at_ms
        request_id = payload = None
        if edge is not None and edge.invoke_api and not edge.invoked:
            request_id = edge.function_request_id
            payload = None if function.get("DurableConfig") else edge.payload
        if payload is None:
            payload = json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")
        queued = QueuedEvent(request_id or self.new_request_id(), function_arn, payload, at_ms)
        config = event_invoke_config(function_arn)
        self._carry_out(accepted(queued, config, self.clock.epoch_ms(at_ms)), at_ms)
        if edge is not None and request_id is not None:
            # The 202 is the answer, under the id that every attempt will have.
            edge.invoked = True
            if edge.actor is not None:
                edge.ended(edge.actor)

    def accept_for(self, function_arn: str, payload: str) -> None:
        """An event for a function that is known by its ARN; EventBridge's way."""
        func = _function(function_arn)
        if func is None:
            logger.warning("an event for %s, which does not exist", function_arn)
            return
        try:
            event = json.loads(payload)
        except (TypeError, ValueError):
            event = payload
        self.accept(func, event)

    def _attempt(self, event: QueuedEvent, actor: Actor) -> None:
        func = _function(event.function_arn)
        if func is None:
            return  # deleted meanwhile, with its queue
        answer = invoke_for(actor, event.request_id, func, parsed(event.payload), payload=event.payload)
        config = event_invoke_config(event.function_arn)
        now_ms = actor.at_ms
        self._carry_out(answered(event, answer, config, now_ms, self.clock.epoch_ms(now_ms)), now_ms)

    def _carry_out(self, commands: list[Command], now_ms: float) -> None:
        for command in commands:
            match command:
                case InvokeAt(event=event, at_ms=at_ms):
                    if at_ms <= now_ms:
                        self._start(event, at_ms)
                    else:
                        self._start_later(event, at_ms)
                case SendRecord() | SendToDeadLetterQueue():
                    on_event_loop(self.clock, now_ms, functools.partial(self._send, command))

    def _send(self, command: SendRecord | SendToDeadLetterQueue) -> None:
        if isinstance(command, SendToDeadLetterQueue):
            destinations.dead_letter(command.target_arn, command.body.decode(), command.attributes)
            return
        source_arn = command.record["requestContext"]["functionArn"]
        destinations.deliver(
            command.target_arn,
            command.record,
            source_arn=source_arn,
            object_prefix=f"aws/lambda/async/{source_arn.split(':')[6]}",
            invoke=lambda function_arn, record: self.accept_for(function_arn, json.dumps(record)),
        )

    def _start(self, event: QueuedEvent, at_ms: float) -> None:
        start_actor(self.clock, at_ms, lambda actor: self._attempt(event, actor))

    def _start_later(self, event: QueuedEvent, at_ms: float) -> None:
        context = contextvars.copy_context()  # its account and region
        self.clock.call_at(at_ms, lambda due_ms: context.run(self._start, event, due_ms), lazy=True)


class _InvokesAsynchronously:
    """Stands for the module `lambda_svc` where a service invokes as if its caller waited for the answer."""

    def __init__(self, lambda_svc: Any, accept: Callable[[dict[str, Any], Any], None]) -> None:
        self._lambda_svc = lambda_svc
        self._execute_function_with_config_scope = accept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lambda_svc, name)


def event_invoke_config(function_arn: str) -> EventInvokeConfig:
    """What holds for events of this function, version or alias."""
    from ministack.services import lambda_svc

    func, config, _ = lambda_svc._get_base_func_record_for_ref(function_arn)
    if func is None:
        return EventInvokeConfig()
    qualifier = qualified_arn(function_arn).split(":")[7]
    found = lambda_svc._event_invoke_config(func, qualifier)
    if not found and qualifier == "$LATEST":
        found = lambda_svc._event_invoke_config(func, None)
    found = found or {}
    targets = found.get("DestinationConfig") or {}
    retries, age_s = found.get("MaximumRetryAttempts"), found.get("MaximumEventAgeInSeconds")
    reserved = func.get("concurrency")
    if isinstance(reserved, dict):
        reserved = reserved.get("ReservedConcurrentExecutions")
    return EventInvokeConfig(
        maximum_retry_attempts=quotas.MAXIMUM_RETRY_ATTEMPTS_DEFAULT if retries is None else int(retries),
        maximum_event_age_ms=1000.0 * (quotas.MAXIMUM_EVENT_AGE_DEFAULT_S if age_s is None else int(age_s)),
        on_success=(targets.get("OnSuccess") or {}).get("Destination") or None,
        on_failure=(targets.get("OnFailure") or {}).get("Destination") or None,
        dead_letter_queue=((config or {}).get("DeadLetterConfig") or {}).get("TargetArn") or None,
        accepts_nothing=reserved is not None and int(reserved) == 0,
    )


def validated(put: Callable[..., Any]) -> Callable[..., Any]:
    """PutFunctionEventInvokeConfig with the ranges AWS checks; its answer names $LATEST where there is no qualifier."""
    ranges = {
        "MaximumRetryAttempts": ("maximumRetryAttempts", quotas.MAXIMUM_RETRY_ATTEMPTS_RANGE),
        "MaximumEventAgeInSeconds": ("maximumEventAgeInSeconds", quotas.MAXIMUM_EVENT_AGE_RANGE_S),
    }

    def put_validated(func_name: str, qualifier: str | None, data: dict[str, Any]) -> Any:
        from ministack.core.responses import error_response_json, json_response

        for key, (name, (least, most)) in ranges.items():
            value = data.get(key)
            if value is None or least <= int(value) <= most:
                continue
            limit = f"less than or equal to {most}" if int(value) > most else f"greater than or equal to {least}"
            message = (
                f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
                f"Member must have value {limit}"
            )
            return error_response_json("ValidationException", message, 400)
        status, headers, body = put(func_name, qualifier, data)
        if status >= 300:
            return status, headers, body
        stored = json.loads(body)
        return json_response(stored | {"FunctionArn": qualified_arn(stored["FunctionArn"])})

    return put_validated


def completed(handle_request: Callable[..., Any]) -> Callable[..., Any]:
    """Lambda's API with UpdateFunctionEventInvokeConfig, which changes what it names and keeps the rest.

    And an accepted event names no version: which one will run is not decided yet.
    recorded: LocalStack's test_request_id_async_invoke_with_retry, run on AWS.
    """

    async def handle(method: str, path: str, headers: Any, body: bytes, query_params: Any) -> Any:
        if method == "POST" and path.rstrip("/").endswith("/event-invoke-config"):
            status, _, found = await handle_request("GET", path, headers, b"", query_params)
            kept = json.loads(found) if status == 200 else {}
            kept = {name: value for name, value in kept.items() if name not in ("FunctionArn", "LastModified")}
            changed = json.dumps(kept | json.loads(body or b"{}")).encode()
            return await handle_request("PUT", path, headers, changed, query_params)
        answer = await handle_request(method, path, headers, body, query_params)
        if answer[0] == 202 and path.endswith("/invocations"):
            shown = {name: value for name, value in answer[1].items() if name != "X-Amz-Executed-Version"}
            return 202, shown, answer[2]
        return answer

    return handle


def _function(function_arn: str) -> dict[str, Any] | None:
    """The record to execute: what the function, version or alias is at this moment."""
    from ministack.services import lambda_svc

    func, config, _ = lambda_svc._get_func_record_for_ref(function_arn)
    if not func or not config:
        return None
    record: dict[str, Any] = lambda_svc._execution_record_for_config(func, {**config, "FunctionArn": function_arn})
    return record

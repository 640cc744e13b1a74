"""What stands between MiniStack and us: with the other `ministack_*` modules, the only ones that know it.

MiniStack (https://github.com/ministackorg/ministack) serves every AWS service but the execution of functions. It runs
in this process as an ASGI app, and a few of its functions are replaced by ours:

* `lambda_svc._execute_function_dispatch`: every invocation, whatever sent it, passes there, on a thread of its own;
* `lambda_svc.invalidate_worker`: called when a function's code or configuration changes, or it is deleted;
* `lambda_svc._reserved_concurrency` and its account cap: our scheduler counts, so MiniStack must not;
* `apigateway_v1._lambda_proxy_response` and `_invoke_lambda_proxy_v1`: API Gateway's error bodies and its timeout;
* `apigateway_v1._import_operation`: keeps the timeout that an OpenAPI body gives an integration;
* `cloudwatch_logs.handle_request`: queries of Logs Insights are answered by `insights_service`, see `ministack_logs`.

`tests/emulator/test_ministack_contract.py` fails when a new version of MiniStack moves one of these.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from serverless_lab import quotas
from serverless_lab.emulator import launch, ministack_functions, ministack_http_apis, ministack_logs, ministack_time
from serverless_lab.emulator.clock import Actor, Clock, VirtualClock
from serverless_lab.emulator.code import CodeStore
from serverless_lab.emulator.environments import (
    ExecutionEnvironment,
    FunctionSettings,
    InvokeRequest,
    RuntimeSettings,
)
from serverless_lab.emulator.insights_service import Insights
from serverless_lab.emulator.ministack_time import carried_actor
from serverless_lab.emulator.ministack_versions import Versions, reserved_of
from serverless_lab.emulator.model import FunctionVersion, ThrottleReason
from serverless_lab.emulator.plane import LambdaPlane
from serverless_lab.emulator.platform_log import ON_DEMAND, PROVISIONED, LogSettings
from serverless_lab.emulator.runtimes import Family
from serverless_lab.emulator.tracing import trace_of
from serverless_lab.errors import BadInput

ACCOUNT_ID = "000000000000"

SETTINGS = {
    "MINISTACK_HOST": "localhost",
    "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
    "LAMBDA_ACCOUNT_CONCURRENCY": "0",
    # Listeners of services that no function here can reach: nothing binds to more than it must.
    "IOT_MTLS_ENABLED": "0",
    "SFTP_ENABLED": "0",
    "LOG_LEVEL": "WARNING",
}
"""Environment variables that MiniStack reads when it is imported."""


class RuntimeMissing(BadInput):
    """The function asks for a language this host does not have."""


@dataclass
class EdgeRequest:
    """One HTTP request at the edge, and what became of it: filled in by whoever carries its invocation.

    `function_request_id` is set beforehand for an Invoke, whose answer AWS gives under the same id.
    """

    invoke_api: bool = False
    raw_payload: bool = False
    payload: bytes | None = None
    """Of an Invoke, as it was sent: a function gets these very bytes."""
    trace_header: str | None = None
    client_context: str | None = None
    function_request_id: str | None = None
    environment_id: str | None = None
    executed_version: str | None = None
    invoked: bool = False
    actor: Actor | None = None
    on_end: Callable[[Actor], None] | None = None
    """Told when the answer is known, with an actor at that time."""

    _over: threading.Lock = field(default_factory=threading.Lock)

    def ended(self, actor: Actor) -> bool:
        """The answer to this request is known, at the actor's time; False when it was known already."""
        first = self._over.acquire(blocking=False)
        if first and self.on_end is not None:
            self.on_end(actor)
        else:
            actor.leave()
        return first


edge_request: contextvars.ContextVar[EdgeRequest | None] = contextvars.ContextVar("edge_request", default=None)


@dataclass
class Adapter:
    """Stands where MiniStack's executor stood.

    Args:
        plane: runs the invocations.
        code: unpacks function code.
        runtime: what environments share.
        clock: time of log events.
        endpoint_url: what functions are given as AWS_ENDPOINT_URL.
        new_request_id: gives a fresh request id.
        account_concurrency: the account's limit.
        seed: of the choice between the two versions of an alias with weights.
    """

    plane: LambdaPlane
    code: CodeStore
    runtime: RuntimeSettings
    clock: Clock
    endpoint_url: str
    new_request_id: Callable[[], str]
    account_concurrency: int = quotas.ACCOUNT_CONCURRENCY
    seed: int = 0
    _settings: dict[str, FunctionSettings] = field(default_factory=dict)
    _versions: Versions = field(init=False)

    def __post_init__(self) -> None:
        self._versions = Versions(
            self.plane,
            self.account_concurrency,
            self.seed,
            self._function,
            lambda environment_id, function: self._environment(environment_id, function, PROVISIONED),
        )

    def install(self) -> Callable[..., Awaitable[None]]:
        """Replace MiniStack's executor; gives MiniStack's ASGI app."""
        from ministack import app
        from ministack.services import apigateway_v1, lambda_svc

        from serverless_lab.emulator import ministack_async, ministack_sources  # which import this module

        lambda_svc._execute_function_dispatch = self._dispatch
        lambda_svc._ACCOUNT_CONCURRENCY_CAP = 0
        lambda_svc._reserved_concurrency = lambda func, config: None
        lambda_svc.invalidate_worker = self._invalidate
        apigateway_v1._lambda_proxy_response = proxy_response
        apigateway_v1._invoke_lambda_proxy_v1 = with_integration_timeout(
            apigateway_v1._invoke_lambda_proxy_v1, self.clock
        )
        apigateway_v1._import_operation = keeping_timeout(apigateway_v1._import_operation)
        self._versions.install()
        ministack_logs.install(Insights(self.clock.epoch_ms))
        ministack_http_apis.install()
        ministack_functions.install(urlsplit(self.endpoint_url).port or 80, self._invalidate)
        if isinstance(self.clock, VirtualClock):
            ministack_time.install(self.clock)
        ministack_async.AsynchronousInvocations(self.clock, self.new_request_id).install()
        ministack_sources.EventSources(self.clock, self.new_request_id).install()
        found: Callable[..., Awaitable[None]] = app.app
        return found

    # Called by MiniStack -----------------------------------------------------------------------------------------

    def _dispatch(
        self, func: dict[str, Any], config: dict[str, Any], event: Any, request_id: str, started: float
    ) -> dict[str, Any]:
        edge = edge_request.get()
        direct = edge if edge is not None and not edge.invoked else None
        carrier = carried_actor.get()
        actor = (None if direct is None else direct.actor) or carrier or self.clock.enter()
        try:
            if direct is None:
                return self._carry(func, config, event, request_id, None, actor)
            direct.invoked = True
            if direct.invoke_api and direct.function_request_id is not None:
                request_id = direct.function_request_id
            direct.function_request_id = request_id
            return self._carry(func, config, event, request_id, direct, actor)
        finally:
            # Whatever became of it: an actor that nobody lets go would hold time for ever.
            if direct is not None:
                direct.ended(actor)
            elif actor is not carrier:
                actor.leave()

    def _carry(
        self,
        func: dict[str, Any],
        config: dict[str, Any],
        event: Any,
        request_id: str,
        direct: EdgeRequest | None,
        actor: Actor,
    ) -> dict[str, Any]:
        """The answer to an invocation: `direct` is the request that it answers itself, if any."""
        func, config = self._versions.serving(func, config)
        try:
            version, settings = self._function(func, config)
        except RuntimeMissing as problem:
            return _failed("Runtime.Unavailable", problem.message)
        except BadInput as problem:
            return _failed("InvalidZipFileException", problem.message)
        self._read_reserved_concurrency()
        invoke = direct if direct is not None and direct.invoke_api else None
        request = InvokeRequest(
            request_id=request_id,
            payload=_event_bytes(event, None if invoke is None or config.get("DurableConfig") else invoke.payload),
            function_arn=config.get("FunctionArn", ""),
            client_context=None if invoke is None else invoke.client_context,
            trace=trace_of(
                request_id,
                self.clock.epoch_ms(actor.at_ms),
                active=settings.tracing,
                incoming=None if direct is None else direct.trace_header,
            ),
        )
        try:
            carried = self.plane.invoke(
                version,
                request,
                lambda chosen_id: self._environment(chosen_id, settings),
                actor,
                synchronous=direct is not None and (direct.raw_payload or not direct.invoke_api),
            )
        except OSError as problem:
            # The host has no room for another environment: its disk is full, or its processes or descriptors are many.
            message = f"RequestId: {request_id} Error: the environment cannot be started: {problem}"
            return _failed("Sandbox.Failure", message)
        if isinstance(carried, ThrottleReason):
            return _throttled(carried)
        if direct is not None:
            direct.environment_id = carried.environment_id
            direct.executed_version = version.version
        outcome = carried.outcome
        raw = direct is not None and direct.raw_payload
        result: dict[str, Any] = {"body": outcome.payload if raw else _parsed(outcome.payload)}
        result["log"] = outcome.tail.decode("utf-8", "replace")
        if outcome.function_error is not None:
            result |= {"error": True, "function_error": outcome.function_error}
        return result

    def _invalidate(self, name: str, qualifier: str | None = None, **scope: Any) -> None:
        self.plane.recycle(name, qualifier)
        self._versions.follow()

    # What MiniStack knows, in our words ----------------------------------------------------------------------------

    def _function(self, func: dict[str, Any], config: dict[str, Any]) -> tuple[FunctionVersion, FunctionSettings]:
        from ministack.services import lambda_svc

        name, version = config["FunctionName"], config.get("Version", "$LATEST")
        described = [
            config.get(key)
            for key in (
                *("CodeSha256", "Handler", "Runtime", "MemorySize", "Timeout", "Environment", "LoggingConfig"),
                "EphemeralStorage",
                "RevisionId",  # any update at all makes the next invoke cold, as on AWS
            )
        ]
        layers = [layer if isinstance(layer, str) else layer.get("Arn") for layer in config.get("Layers") or ()]
        key = json.dumps([name, version, described, layers], sort_keys=True)
        revision = hashlib.sha256(key.encode()).hexdigest()[:16]
        settings = self._settings.get(revision)
        if settings is None:
            logging = config.get("LoggingConfig") or {}
            zips = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or ()]
            opt = self.code.layered([archive for archive in zips if archive])
            hosted = self.runtime.runtimes.get(config.get("Runtime") or "")
            if hosted.problem:
                raise RuntimeMissing(hosted.problem)
            settings = self._settings[revision] = FunctionSettings(
                name=name,
                version=version,
                handler=config.get("Handler") or "",
                runtime=config.get("Runtime") or "",
                memory_size_mb=int(config.get("MemorySize") or quotas.MEMORY_DEFAULT_MB),
                timeout_ms=int(float(config.get("Timeout") or quotas.FUNCTION_TIMEOUT_DEFAULT_S) * 1000),
                log_group=logging.get("LogGroup") or f"/aws/lambda/{name}",
                task_root=self.code.path(func.get("code_zip") or b""),
                opt=opt,
                hosted=hosted,
                variables=tuple(((config.get("Environment") or {}).get("Variables") or {}).items()),
                logging=LogSettings.of(logging),
                tracing=(config.get("TracingConfig") or {}).get("Mode") == "Active",
                ephemeral_storage_mb=int(
                    (config.get("EphemeralStorage") or {}).get("Size") or quotas.EPHEMERAL_STORAGE_DEFAULT_MB
                ),
                modules=self.code.modules(hosted, opt) if hosted.family is Family.NODE else None,
            )
        return FunctionVersion(name, version, revision), settings

    def _read_reserved_concurrency(self) -> None:
        """Tell the plane what is reserved: MiniStack keeps it in each function's record, set by API or stack."""
        from ministack.services import lambda_svc

        reserved = {}
        for name in list(lambda_svc._functions):
            value = reserved_of(lambda_svc._functions.get(name) or {})
            if value is not None:
                reserved[name] = value
        self.plane.set_reserved_concurrency(reserved)

    def _environment(
        self, environment_id: str, function: FunctionSettings, initialization_type: str = ON_DEMAND
    ) -> ExecutionEnvironment:
        from ministack.core.responses import get_region

        stream = log_stream_name(self.clock.epoch_ms(), function, environment_id)
        variables = process_variables(
            function, self.runtime, environment_id, stream, get_region(), self.endpoint_url, initialization_type
        )
        return ExecutionEnvironment(
            environment_id,
            function,
            self.runtime,
            variables,
            self.clock,
            lambda events: ministack_logs.append_log(function.log_group, stream, events),
        )


def process_variables(
    function: FunctionSettings,
    runtime: RuntimeSettings,
    environment_id: str,
    log_stream: str,
    region: str,
    endpoint_url: str,
    initialization_type: str = ON_DEMAND,
) -> dict[str, str]:
    """The whole environment of a runtime process: what Lambda sets, and the function's own variables.

    documented: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html. Nothing of the user's shell is
    among them, and the credentials are the emulator's own; AWS_ENDPOINT_URL leads every SDK back to it.
    """
    places = runtime.stage.places(function.task_root, function.opt, function.hosted.directory)
    of_language, reserved_of_language = launch.variables(function.hosted, places)
    reserved = {
        "_HANDLER": function.handler,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type,
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_ACCESS_KEY_ID": "ASIA" + environment_id[:16].upper(),
        "AWS_SECRET_ACCESS_KEY": environment_id,
        "AWS_SESSION_TOKEN": environment_id,
        **reserved_of_language,
        **function.logging.variables(),
    }
    defaults = {
        **of_language,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "AWS_ENDPOINT_URL": endpoint_url,
        "HOME": "/tmp",
    }
    return {**defaults, **dict(function.variables), **reserved}


def log_stream_name(epoch_ms: int, function: FunctionSettings, environment_id: str) -> str:
    """`YYYY/MM/DD/[version]id`, with the function's name before the version in a log group of the user's choice."""
    import datetime

    day = datetime.datetime.fromtimestamp(epoch_ms / 1000, datetime.UTC).strftime("%Y/%m/%d")
    own_group = function.log_group == f"/aws/lambda/{function.name}"
    return f"{day}/{'' if own_group else function.name}[{function.version}]{environment_id}"


def proxy_response(result: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """What REST API Gateway makes of a Lambda proxy integration's result: (response, error text of a 502).

    documented: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    and https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html: a refused invoke is a 500, a function
    that failed or answered in another form is a 502, both with the same body.
    """
    if result.get("throttle"):
        headers = {"x-amzn-ErrorType": "InternalServerErrorException"}
        return {"statusCode": 500, "headers": headers, "body": '{"message": "Internal server error"}'}, None
    body = result.get("body")
    if result.get("error") or not _is_proxy_response(body):
        return None, "Internal server error"
    return body, None


def _is_proxy_response(body: Any) -> bool:
    if not isinstance(body, dict):
        return False
    try:
        status = int(body.get("statusCode", 200))
    except (TypeError, ValueError):
        return False
    known = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
    if not 100 <= status <= 599 or not set(body) <= known:
        return False
    body["statusCode"] = status
    return body.get("body") is None or isinstance(body["body"], str)


def with_integration_timeout(invoke: Callable[..., Awaitable[Any]], clock: Clock) -> Callable[..., Awaitable[Any]]:
    """`invoke`, answered with a 504 when the integration's timeout passes first; the function runs on, as on AWS.

    documented: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
    """

    async def invoke_in_time(integration: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        timeout_ms = int(integration.get("timeoutInMillis") or quotas.INTEGRATION_TIMEOUT_DEFAULT_MS)
        edge, loop, timeout = edge_request.get() or EdgeRequest(), asyncio.get_running_loop(), asyncio.Event()
        own_actor = edge.actor is None
        if edge.actor is None:
            edge.actor = clock.enter()  # holds time until the invocation, on a thread of its own, takes over
        running = asyncio.ensure_future(invoke(integration, *args, **kwargs))

        def time_is_up(now_ms: float) -> None:
            if edge.ended(clock.enter(now_ms)):
                loop.call_soon_threadsafe(timeout.set)

        cancel = clock.call_at(edge.actor.at_ms + timeout_ms, time_is_up, lazy=True)
        waiting = asyncio.ensure_future(timeout.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if running.done():
            cancel()
            if own_actor and not edge.invoked:
                edge.ended(edge.actor)
            return running.result()
        running.add_done_callback(lambda task: task.cancelled() or task.exception())
        body = b'{"message": "Endpoint request timed out"}'
        return 504, {"Content-Type": "application/json", "x-amzn-ErrorType": "InternalServerErrorException"}, body

    return invoke_in_time


def keeping_timeout(import_operation: Callable[..., None]) -> Callable[..., None]:
    """`import_operation`, which takes an operation of an OpenAPI body, with the integration's timeoutInMillis kept."""

    def import_with_timeout(api_id: str, resource_id: str, http_method: str, operation: Any, *args: Any) -> None:
        from ministack.services import apigateway_v1

        import_operation(api_id, resource_id, http_method, operation, *args)
        asked = ((operation or {}).get("x-amazon-apigateway-integration") or {}).get("timeoutInMillis")
        method = apigateway_v1._resources[api_id][resource_id]["resourceMethods"][http_method]
        if asked is not None and method.get("methodIntegration"):
            method["methodIntegration"]["timeoutInMillis"] = int(asked)

    return import_with_timeout


def configure(port: int) -> None:
    """Set what MiniStack reads at import. Call before anything imports it."""
    os.environ.update(SETTINGS)
    os.environ["GATEWAY_PORT"] = str(port)


def _event_bytes(event: Any, sent: bytes | None) -> bytes:
    """What the runtime gets: what the client sent, where it sent the event itself."""
    return sent if sent is not None else json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _parsed(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")


def _failed(error_type: str, message: str) -> dict[str, Any]:
    body = {"errorType": error_type, "errorMessage": message}
    return {"error": True, "function_error": "Unhandled", "body": body, "log": ""}


def _throttled(reason: ThrottleReason) -> dict[str, Any]:
    """In the form MiniStack's Invoke answers a 429 from."""
    body = {"Type": "User", "Reason": reason.value, "message": "Rate Exceeded.", "__type": "TooManyRequestsException"}
    return {"throttle": True, "error": True, "body": {**body, "retryAfterSeconds": "1"}, "log": ""}

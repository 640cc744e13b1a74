"""Functions as MiniStack creates them, and their URLs.

* `lambda_svc._create_function`, `_update_config` and CloudFormation's `AWS::Lambda::Function`: what Lambda refuses is
  refused (`configuration`), where MiniStack takes anything, and a stack that removes one ends its environments;
* `lambda_svc._create_function_url_config`: a Function URL leads to this emulator and not to AWS;
* `lambda_svc.handle_function_url_request` and, within it, `lambda_execute_result_to_api_proxy_response`: what a caller
  gets of a function that failed or was throttled (`function_urls`).
"""

from __future__ import annotations

import contextvars
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from serverless_lab.emulator import configuration, function_urls

Response: TypeAlias = tuple[int, dict[str, Any], bytes]


def install(port: int, removed: Callable[[str], None]) -> None:
    """Args:
    port: the emulator's, for the URLs of functions.
    removed: told the name of a function that a stack has removed; of the API's DeleteFunction MiniStack tells itself.
    """
    from ministack.services import lambda_svc
    from ministack.services.cloudformation import provisioners

    lambda_svc._create_function = _checking(lambda_svc._create_function)
    lambda_svc._update_config = _checking_update(lambda_svc._update_config)
    lambda_svc._create_function_url_config = _leading_here(lambda_svc._create_function_url_config, port)
    lambda_svc.handle_function_url_request = _noting(lambda_svc.handle_function_url_request)
    lambda_svc.lambda_execute_result_to_api_proxy_response = _answering(
        lambda_svc.lambda_execute_result_to_api_proxy_response
    )
    handler = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    handler["create"] = _checking_resource(handler["create"])
    handler["delete"] = _telling(handler["delete"], removed)


_of_a_url: contextvars.ContextVar[bool] = contextvars.ContextVar("of_a_url", default=False)


def _noting(handle: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    async def handle_noted(*args: Any, **kwargs: Any) -> Response:
        token = _of_a_url.set(True)
        try:
            return await handle(*args, **kwargs)
        finally:
            _of_a_url.reset(token)

    return handle_noted


def _answering(convert: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """API Gateway and load balancers share the function, and answer in their own ways."""
    return lambda result: (function_urls.answer(result), None) if _of_a_url.get() else convert(result)


def _checking(create: Callable[[dict[str, Any]], Response]) -> Callable[[dict[str, Any]], Response]:
    def create_checked(data: dict[str, Any]) -> Response:
        return _refused(configuration.refusal(data)) or create(data)

    return create_checked


def _checking_update(update: Callable[[str, dict[str, Any]], Response]) -> Callable[[str, dict[str, Any]], Response]:
    def update_checked(name: str, data: dict[str, Any]) -> Response:
        return _refused(configuration.refusal(data)) or update(name, data)

    return update_checked


def _checking_resource(create: Callable[..., Any]) -> Callable[..., Any]:
    def create_checked(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        refused = configuration.refusal(props)
        if refused is not None:
            # documented: CloudFormation hands on what the service says, and how it answered
            raise ValueError(f"{refused.message} (Service: Lambda, Status Code: 400)")
        return create(logical_id, props, stack_name)

    return create_checked


def _telling(delete: Callable[[str, dict[str, Any]], Any], removed: Callable[[str], None]) -> Callable[..., Any]:
    def delete_and_tell(physical_id: str, props: dict[str, Any]) -> Any:
        found = delete(physical_id, props)
        removed(physical_id)
        return found

    return delete_and_tell


def _refused(refused: configuration.Refused | None) -> Response | None:
    if refused is None:
        return None
    body = {"message": refused.message, "__type": refused.code}
    if refused.code == configuration.INVALID_PARAMETER:
        body["Type"] = "User"
    headers = {"Content-Type": "application/json", "x-amzn-errortype": refused.code}
    return 400, headers, json.dumps(body).encode()


def _leading_here(create: Callable[..., Response], port: int) -> Callable[..., Response]:
    def create_url(function: str, data: dict[str, Any], qualifier: str | None) -> Response:
        from ministack.core.responses import get_region
        from ministack.services import lambda_svc

        status, headers, body = create(function, data, qualifier)
        if status >= 400:
            return status, headers, body
        config = lambda_svc._function_urls[lambda_svc._url_config_key(function, qualifier)]
        url_id = lambda_svc._function_url_id(config["FunctionUrl"])
        config["FunctionUrl"] = f"http://{url_id}.lambda-url.{get_region()}.localhost:{port}/"
        return status, headers, json.dumps(config).encode()

    return create_url

"""What the caller of a Function URL gets.

documented: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html (payload format 2.0, and what is inferred
of an answer without a status),
https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html (429 when throttled).
recorded: https://github.com/awsdocs/aws-lambda-developer-guide/issues/430 (502 "Internal Server Error").
"""

from __future__ import annotations

import json
import re
from typing import Any

HOST = re.compile(r"[a-z0-9-]{32,36}\.lambda-url\.[a-z0-9-]+\.")
PATH = "/_aws/lambda-url/"
"""Where URLs answer as well, for clients that cannot resolve names below localhost."""


def is_function_url(host: str, path: str) -> bool:
    """Whether a request goes to a Function URL: an address nobody can guess, and whose CORS settings are its own."""
    return HOST.match(host) is not None or path.startswith(PATH)


def answer(result: dict[str, Any]) -> dict[str, Any]:
    """In the form of a proxy response: what the function answered, or what became of it.

    Args:
        result: as MiniStack's executor gives it: `body`, and `error` or `throttle`.
    """
    if result.get("throttle"):
        reason = (result.get("body") or {}).get("Reason")
        refused = json.dumps({"Message": "Rate Exceeded.", "Reason": reason})
        return _response(429, refused, {"x-amzn-ErrorType": "TooManyRequestsException"})
    if result.get("error"):
        return _failed()
    body = result.get("body")
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if not isinstance(body, dict) or "statusCode" not in body:
        return _response(200, body if isinstance(body, str) else json.dumps(body, ensure_ascii=False), {})
    try:
        status = int(body["statusCode"])
    except (TypeError, ValueError):
        return _failed()
    text = body.get("body")
    if not 100 <= status <= 599 or not isinstance(body.get("headers") or {}, dict):
        return _failed()
    if text is not None and not isinstance(text, str):
        text = json.dumps(text, ensure_ascii=False)
    return {**body, "statusCode": status, "body": text or ""}


def _failed() -> dict[str, Any]:
    return _response(502, "Internal Server Error", {})


def _response(status: int, body: str, headers: dict[str, str]) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"Content-Type": "application/json", **headers}, "body": body}

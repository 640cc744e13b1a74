"""Added to this package by `lab deploy`, because the target prints no Init Duration.

It imports the function's real handler, whose name is in LAB_HANDLER, measures that import, and prints one JSON line
for it, and one for the first invocation of this process. With LAB_WRAPPER_LINES=all there is a line for every
invocation, and an init that fails does so in the first invocation: for targets whose logs tell neither apart.
Nothing else of the function is changed but two headers of an API response that say who gave it.
"""

import time

_began_ns = time.perf_counter_ns()
_began_at_ms = time.time() * 1000

import importlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

_REQUEST_ID_HEADER = "x-lab-request-id"
_ENVIRONMENT_ID_HEADER = "x-lab-environment-id"

_name = os.environ["LAB_HANDLER"]
_tells_all = os.environ.get("LAB_WRAPPER_LINES") == "all"
_initialization_type = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE")
_sequence = 0
_failure = None
_init_ms = 0.0
_ended_ns = 0


def _environment_id():
    # Where a log stream is an environment, its name ends in the environment's id; else any that no other process has.
    stream = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "").rpartition("]")
    return stream[2] if stream[1] and not _tells_all and len(stream[2]) == 32 else os.urandom(16).hex()


def _tell(kind, record):
    now_ms = int(time.time() * 1000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_ms // 1000)) + f".{now_ms % 1000:03d}Z"
    record = {name: value for name, value in record.items() if value is not None}
    record["lines"] = "all" if _tells_all else "first"
    text = json.dumps({"time": stamp, "type": "serverless-lab." + kind, "record": record}, separators=(",", ":"))
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        pass  # a function without a standard output is a function all the same


def _load():
    module, _, attribute = _name.rpartition(".")
    return getattr(importlib.import_module(module.replace("/", ".")), attribute)


def _ended(error):
    global _init_ms, _ended_ns
    _ended_ns = time.perf_counter_ns()
    _init_ms = round((_ended_ns - _began_ns) / 1e6, 3)
    _tell(
        "init",
        {
            "environmentId": _id,
            "pid": os.getpid(),
            "functionName": os.environ.get("AWS_LAMBDA_FUNCTION_NAME"),
            "functionVersion": os.environ.get("AWS_LAMBDA_FUNCTION_VERSION"),
            "handler": _name,
            "initializationType": _initialization_type,
            "startedAtMs": round(_began_at_ms, 3),
            "durationMs": _init_ms,
            "status": "success" if error is None else "error",
            "errorType": None if error is None else type(error).__name__,
        },
    )


_id = _environment_id()
if "_HANDLER" in os.environ:
    os.environ["_HANDLER"] = _name  # libraries look there for the function's module
try:
    _function = _load()
except Exception as error:
    _ended(error)
    if not _tells_all:
        raise
    _failure = error
except BaseException as error:
    _ended(error)
    raise
else:
    _ended(None)


def handler(event, context):
    global _sequence
    _sequence += 1
    request_id = getattr(context, "aws_request_id", "")
    if _sequence == 1 or _tells_all:
        record = {"requestId": request_id, "environmentId": _id, "sequence": _sequence}
        if _sequence == 1:
            record["initDurationMs"] = _init_ms
            record["sinceInitMs"] = round((time.perf_counter_ns() - _ended_ns) / 1e6, 3)
            record["initStatus"] = "success" if _failure is None else "error"
            record["initializationType"] = _initialization_type
        _tell("invocation", record)
    if _failure is not None:
        raise _failure
    return _with_ids(event, _function(event, context), request_id)


def _with_ids(event, response, request_id):
    """The response of an API, with the headers by which a client finds the log lines of its request."""
    if not (isinstance(response, dict) and "statusCode" in response and request_id):
        return response
    if not (isinstance(event, dict) and isinstance(event.get("requestContext"), dict)):
        return response
    headers = response.get("headers")
    if headers is not None and not isinstance(headers, dict):
        return response
    # A copy: the function may answer with one object again and again.
    return {**response, "headers": {**(headers or {}), _REQUEST_ID_HEADER: request_id, _ENVIRONMENT_ID_HEADER: _id}}

"""How an invocation fails, in AWS's words: what its REPORT says and what its caller is told."""

from __future__ import annotations

import json
from dataclasses import dataclass

from serverless_lab import quotas
from serverless_lab.emulator.process import Exited


@dataclass(frozen=True)
class Failure:
    """Why a phase did not end well: as REPORT says it, and the payload its caller gets. A timeout has no error type."""

    status: str
    error_type: str | None
    payload: bytes


def exit_failure(request_id: str | None, exited: Exited) -> Failure:
    """The runtime process has ended by itself, or somebody has ended it."""
    reason = exited.reason()
    what = f"Runtime exited with error: {reason}" if reason else "Runtime exited without providing a reason"
    error = error_object("Runtime.ExitError", f"RequestId: {request_id} Error: {what}")
    return Failure("error", "Runtime.ExitError", error)


def entrypoint_failure(request_id: str | None, why: str) -> Failure:
    """The function's own runtime cannot be started."""
    error = error_object("Runtime.InvalidEntrypoint", f"RequestId: {request_id} Error: {why}")
    return Failure("error", "Runtime.InvalidEntrypoint", error)


def timeout_failure(request_id: str | None, timeout_ms: int) -> Failure:
    message = f"RequestId: {request_id} Error: Task timed out after {timeout_ms / 1000:.2f} seconds"
    return Failure("timeout", None, error_object("Sandbox.Timedout", message))


def memory_failure(request_id: str | None) -> Failure:
    """It took more memory than the function has, and was killed for it."""
    message = f"RequestId: {request_id} Error: Runtime exited with error: signal: killed"
    return Failure("error", "Runtime.OutOfMemory", error_object("Runtime.OutOfMemory", message))


def response_too_large() -> bytes:
    limit = quotas.RESPONSE_MAX_BYTES
    message = f"Response payload size exceeded maximum allowed payload size ({limit} bytes)."
    return error_object("Function.ResponseSizeTooLarge", message)


def error_object(error_type: str, message: str) -> bytes:
    """What a caller gets as the payload of a failed invocation."""
    return json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()

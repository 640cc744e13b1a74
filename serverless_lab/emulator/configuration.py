"""What Lambda refuses of a function's configuration, in its words: variables, layers, /tmp.

MiniStack takes anything here. The texts are AWS's: seen in public reports of them, named beside each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serverless_lab import quotas

# documented: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_LAMBDA_METADATA_API",
        "AWS_LAMBDA_METADATA_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)

# documented: https://docs.aws.amazon.com/lambda/latest/api/API_Environment.html
VARIABLE_NAME = re.compile(r"[a-zA-Z]([a-zA-Z0-9_])+")

INVALID_PARAMETER, VALIDATION = "InvalidParameterValueException", "ValidationException"
_UNABLE = (
    "Lambda was unable to configure your environment variables because the environment variables you have provided"
)


@dataclass(frozen=True)
class Refused:
    """Why a configuration is refused: the error's code and its message."""

    code: str
    message: str


def refusal(asked: Mapping[str, Any]) -> Refused | None:
    """What Lambda refuses in a CreateFunction or UpdateFunctionConfiguration, or None."""
    variables = (asked.get("Environment") or {}).get("Variables") or {}
    size = (asked.get("EphemeralStorage") or {}).get("Size")
    return (
        _names(variables)
        or _reserved(variables)
        or _too_long(variables)
        or _ephemeral_storage(size)
        or _layers(asked.get("Layers") or [])
    )


def _names(variables: Mapping[str, Any]) -> Refused | None:
    if all(VARIABLE_NAME.fullmatch(name) or name in RESERVED_VARIABLES for name in variables):
        return None
    shown = ", ".join(f"{name}={value}" for name, value in variables.items())
    return Refused(
        VALIDATION,
        f"1 validation error detected: Value '{{{shown}}}' at 'environment.variables' failed to satisfy constraint: "
        "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "
        "[a-zA-Z]([a-zA-Z0-9_])+]",
    )


def _reserved(variables: Mapping[str, Any]) -> Refused | None:
    found = [name for name in variables if name in RESERVED_VARIABLES]
    if not found:
        return None
    return Refused(
        INVALID_PARAMETER,
        f"{_UNABLE} contains reserved keys that are currently not supported for modification. "
        f"Reserved keys used in this request: {', '.join(found)}",
    )


def _too_long(variables: Mapping[str, Any]) -> Refused | None:
    """As in https://github.com/github-aws-runners/terraform-aws-github-runner/issues/3594"""
    text = json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) <= quotas.ENVIRONMENT_VARIABLES_MAX_BYTES:
        return None
    return Refused(INVALID_PARAMETER, f"{_UNABLE} exceeded the 4KB limit. String measured: {text}")


def _ephemeral_storage(size: Any) -> Refused | None:
    smallest, largest = quotas.EPHEMERAL_STORAGE_DEFAULT_MB, quotas.EPHEMERAL_STORAGE_MAX_MB
    if size is None or smallest <= int(size) <= largest:
        return None
    bound = f"greater than or equal to {smallest}" if int(size) < smallest else f"less than or equal to {largest}"
    return Refused(
        VALIDATION,
        f"1 validation error detected: Value '{size}' at 'ephemeralStorage.size' failed to satisfy constraint: "
        f"Member must have value {bound}",
    )


def _layers(layers: Sequence[Any]) -> Refused | None:
    arns = [str(layer.get("Arn") if isinstance(layer, dict) else layer) for layer in layers]
    if len(arns) > quotas.LAYERS_MAX:
        return Refused(INVALID_PARAMETER, f"Cannot reference more than {quotas.LAYERS_MAX} layers.")
    first: dict[str, str] = {}
    for arn in arns:
        name = arn.rpartition(":")[0]
        if name in first:
            return Refused(
                INVALID_PARAMETER,
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{first[name]} and {arn} are versions of the same layer.",
            )
        first[name] = arn
    return None

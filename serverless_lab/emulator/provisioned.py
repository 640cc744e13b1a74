"""What Lambda's API says of reserved and provisioned concurrency, and when it refuses: rules over plain values.

The refusals' words are those that LocalStack recorded on AWS in November 2025
(https://github.com/localstack/localstack, tests/aws/services/lambda_/test_lambda_api.snapshot.json,
TestLambdaProvisionedConcurrency and TestLambdaReservedConcurrency), unless a line says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serverless_lab.emulator.allocation import AllocationCounts
from serverless_lab.emulator.concurrency import Claims

LATEST = "$LATEST"


@dataclass(frozen=True)
class Refusal:
    """An error of Lambda's API."""

    code: str
    message: str
    status: int = 400


NOT_CONFIGURED = Refusal(
    "ProvisionedConcurrencyConfigNotFoundException", "No Provisioned Concurrency Config found for this function", 404
)
NOT_PUBLISHED = Refusal(
    "InvalidParameterValueException",
    "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
)
NEITHER_ALIAS_NOR_VERSION = Refusal(
    "InvalidParameterValueException", "The function resource provided must be an alias or a published version."
)


@dataclass(frozen=True)
class Qualified:
    """An alias or a version of a function, and what it is: `version` is None where there is none of that name."""

    function_arn: str
    qualifier: str
    version: str | None
    is_alias: bool
    has_routing: bool = False

    def missing(self) -> Refusal | None:
        """AWS speaks of an alias when the qualifier is not a number."""
        if self.version is not None:
            return None
        where = f"{self.function_arn}:{self.qualifier}"
        words = "Function not found" if self.qualifier.isdecimal() else "Cannot find alias arn"
        return Refusal("ResourceNotFoundException", f"{words}: {where}", 404)


def refused_provisioned(
    asked: Qualified, name: str, count: int, claims: Claims, versions: Mapping[str, str]
) -> Refusal | None:
    """Why `count` cannot be provisioned for an alias or version.

    Args:
        versions: the version behind each qualifier of this function that has provisioned concurrency.
    """
    if count < 1:
        return Refusal(
            "ValidationException",
            f"1 validation error detected: Value '{count}' at 'provisionedConcurrentExecutions' failed to satisfy "
            "constraint: Member must have value greater than or equal to 1",
        )
    missing = None if asked.qualifier == LATEST else asked.missing()
    if missing is not None:
        return missing
    if LATEST in (asked.qualifier, asked.version):
        return NOT_PUBLISHED
    return _refused_amount(name, asked.qualifier, count, claims) or _refused_place(asked, versions)


def _refused_amount(name: str, qualifier: str, count: int, claims: Claims) -> Refusal | None:
    reserved = claims.reserved.get(name)
    if reserved is not None:
        if claims.provisioned_of(name, but=qualifier) + count <= reserved:
            return None
        message = (
            "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
        )
        return Refusal("InvalidParameterValueException", message)
    unreserved, minimum = claims.unreserved(name, qualifier), claims.minimum_unreserved()
    if count > unreserved:
        return Refusal(
            "InvalidParameterValueException",
            f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
            f"[{unreserved}].",
        )
    if unreserved - count < minimum:
        return Refusal(
            "InvalidParameterValueException",
            f"Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
            f"minimum value of [{minimum}].",
        )
    return None


def _refused_place(asked: Qualified, versions: Mapping[str, str]) -> Refusal | None:
    others = [qualifier for qualifier, version in versions.items() if version == asked.version]
    if asked.is_alias and any(qualifier != asked.qualifier for qualifier in others):
        message = "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
        return Refusal("ResourceConflictException", message, 409)
    if not asked.is_alias and any(qualifier != asked.qualifier for qualifier in others):
        return Refusal("ResourceConflictException", "Version is pointed by a Provisioned Concurrency alias", 409)
    if asked.is_alias and asked.has_routing:
        # documented: https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-deployment.html; assumed: the code
        return Refusal("InvalidParameterValueException", "Invalid alias configuration for Provisioned Concurrency")
    return None


def refused_reserved(name: str, count: int, claims: Claims) -> Refusal | None:
    """Why `count` cannot be reserved for a function."""
    minimum = claims.minimum_unreserved()
    if count > 0 and claims.unreserved(name) - count < minimum:
        return Refusal(
            "InvalidParameterValueException",
            f"Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{minimum}].",
        )
    provisioned = claims.provisioned_of(name)
    if provisioned > count:
        # In the words of LocalStack, whose authors tried it on AWS: localstack/services/lambda_/provider.py.
        return Refusal(
            "InvalidParameterValueException",
            f" ReservedConcurrentExecutions  {count} should not be lower than function's total provisioned "
            f"concurrency [{provisioned}].",
        )
    return None


def described(counts: AllocationCounts, last_modified: str) -> dict[str, Any]:
    """As GetProvisionedConcurrencyConfig answers."""
    body: dict[str, Any] = {
        "RequestedProvisionedConcurrentExecutions": counts.requested,
        "AvailableProvisionedConcurrentExecutions": counts.available,
        "AllocatedProvisionedConcurrentExecutions": counts.allocated,
        "Status": counts.status.value,
        "LastModified": last_modified,
    }
    return body if counts.reason is None else {**body, "StatusReason": counts.reason}


# Aliases that point to two versions -------------------------------------------------------------------------------


def refused_routing(function_arn: str, version: str, weights: Mapping[str, float], known: set[str]) -> Refusal | None:
    """Why an alias cannot give part of its traffic to another version.

    Args:
        version: the one the alias points to.
        weights: AdditionalVersionWeights.
        known: published versions.
    """
    if len(weights) > 1:
        message = "Number of items in AdditionalVersionWeights cannot be greater than 1"
        return Refusal("InvalidParameterValueException", message)
    for other, weight in weights.items():
        if not 0 <= weight <= 1:
            return Refusal(
                "ValidationException",
                f"1 validation error detected: Value '{{{other}={float(weight)}}}' at "
                "'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy "
                "constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or "
                "equal to 0.0, Member must not be null]",
            )
        if version == LATEST:
            message = "$LATEST is not supported for an alias pointing to more than 1 version"
            return Refusal("InvalidParameterValueException", message)
        if other == version:
            message = (
                f"Invalid function version {other}. Function version {other} is already included in routing "
                "configuration."
            )
            return Refusal("InvalidParameterValueException", message)
        if other not in known:
            return Refusal("ResourceNotFoundException", f"Function not found: {function_arn}:{other}", 404)
    return None


def routed(version: str, weights: Mapping[str, float], point: float) -> str:
    """The version that serves a request to an alias; `point` is drawn evenly from 0 to 1.

    documented: https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html: a simple probabilistic
    model, where the version the alias points to has the rest.
    """
    for other, weight in weights.items():
        if point < weight:
            return other
        point -= weight
    return version

"""Functions that an emulator made for a stack and did not write down there.

Seen on LocalStack 4.8.1: a function that ends in State Failed (there is no Docker to run it in, say) is there, and the
stack has its resource as CREATE_FAILED without a physical id. Nothing would ever delete it, and one whose name the
template says would be in the way of the next deployment. Of a stack whose creation failed LocalStack gives no template,
so those are removed by the deployment that has failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from serverless_lab.deploy.intrinsics import Scope, evaluate
from serverless_lab.targets.base import Target

FUNCTION = "AWS::Lambda::Function"
NAME_LENGTH, LOGICAL_ID_LENGTH = 63, 24
"""Of the names that LocalStack makes: the stack's, the resource's cut to so many characters, and eight digits."""


def remove_half_made(
    target: Target, stack: Mapping[str, Any], resources: list[dict[str, Any]], template: Mapping[str, Any]
) -> None:
    """Delete those functions of a stack that could not be created."""
    client = target.client("lambda")
    named = with_names(target, stack, resources, template)
    for before, after in zip(resources, named, strict=True):
        if before is not after:
            # LocalStack 4.8.1 deletes it, answers 500, and the next attempt does not find it any more.
            with suppress(client.exceptions.ResourceNotFoundException):
                client.delete_function(FunctionName=after["PhysicalResourceId"])


def with_names(
    target: Target, stack: Mapping[str, Any], resources: list[dict[str, Any]], template: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """`resources` with the physical ids of functions that failed to be made and are there all the same.

    Args:
        stack: as DescribeStacks has it; `template` is its template, as far as it can be read.
    """
    if all(item.get("PhysicalResourceId") or item["ResourceType"] != FUNCTION for item in resources):
        return resources
    failed = list(_failed_functions(target))
    named = []
    for item in resources:
        if item["ResourceType"] == FUNCTION and not item.get("PhysicalResourceId"):
            wanted = _names(stack, item["LogicalResourceId"], template)
            name = next((name for name in failed if wanted.fullmatch(name)), None)
            named.append({**item, "PhysicalResourceId": name} if name else item)
        else:
            named.append(item)
    return named


def _failed_functions(target: Target) -> Iterator[str]:
    client = target.client("lambda")
    for page in client.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            # LocalStack's list has no State. One that works may belong to another stack, whatever its name is.
            found = client.get_function_configuration(FunctionName=function["FunctionName"])
            if found.get("State") == "Failed":
                yield function["FunctionName"]


def _names(stack: Mapping[str, Any], logical_id: str, template: Mapping[str, Any]) -> re.Pattern[str]:
    """What the function may be called: as the template says, or as LocalStack makes names up."""
    values = {item["ParameterKey"]: item.get("ParameterValue", "") for item in stack.get("Parameters") or ()}
    scope = Scope(
        parameters=values,
        conditions=template.get("Conditions") or {},
        mappings=template.get("Mappings") or {},
        pseudo={"AWS::StackName": stack["StackName"], "AWS::Region": str(stack["StackId"]).split(":")[3]},
    )
    declared = (template.get("Resources") or {}).get(logical_id) or {}
    said = evaluate((declared.get("Properties") or {}).get("FunctionName"), scope)
    if isinstance(said, str):
        return re.compile(re.escape(said))
    part = logical_id[:LOGICAL_ID_LENGTH]
    beginning = f"{stack['StackName'][: NAME_LENGTH - 2 - 8 - len(part)]}-{part}-"
    return re.compile(re.escape(beginning) + "[0-9a-f]{8}")

"""Functions that an emulator made for a stack that failed, and did not write down: found by their names and state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from serverless_lab.deploy.half_made import remove_half_made, with_names

STACK = {
    "StackName": "shop",
    "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/shop/1",
    "Parameters": [{"ParameterKey": "Stage", "ParameterValue": "test"}],
}


class Lambda:
    """What LocalStack 4.8.1 answers: its list has no State."""

    class exceptions:
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, states: dict[str, str]) -> None:
        self.states = states

    def client(self, service: str) -> Lambda:
        return self

    def get_paginator(self, operation: str) -> Lambda:
        return self

    def paginate(self) -> Iterator[dict[str, Any]]:
        yield {"Functions": [{"FunctionName": name} for name in self.states]}

    def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:
        return {"State": self.states[FunctionName]}

    def delete_function(self, FunctionName: str) -> None:
        del self.states[FunctionName]
        raise self.exceptions.ResourceNotFoundException


def resource(logical_id: str, name: str | None = None) -> dict[str, Any]:
    return {"LogicalResourceId": logical_id, "ResourceType": "AWS::Lambda::Function", "PhysicalResourceId": name}


def found(states: dict[str, str], logical_id: str, function_name: Any = None) -> str | None:
    properties = {} if function_name is None else {"FunctionName": function_name}
    template = {"Resources": {logical_id: {"Type": "AWS::Lambda::Function", "Properties": properties}}}
    target: Any = Lambda(states)
    (named,) = with_names(target, STACK, [resource(logical_id)], template)
    name: str | None = named["PhysicalResourceId"]
    return name


@pytest.mark.parametrize(
    ("logical_id", "function_name", "name"),
    [
        ("Orders", None, "shop-Orders-0a1b2c3d"),
        ("AFunctionWithAVeryLongLogicalId", None, "shop-AFunctionWithAVeryLongLo-0a1b2c3d"),
        ("Orders", "orders", "orders"),
        ("Orders", {"Fn::Sub": "${AWS::StackName}-${Stage}-orders"}, "shop-test-orders"),
    ],
)
def test_it_is_found_by_the_template_s_name_or_the_one_that_localstack_makes(
    logical_id: str, function_name: Any, name: str
) -> None:
    others = {"shop-Orders-0a1b2c3": "Failed", "shopping-Orders-0a1b2c3d": "Failed", "orders-2": "Failed"}
    assert found({**others, name: "Failed"}, logical_id, function_name) == name


def test_a_function_that_works_is_another_stack_s() -> None:
    """That it has the name already is why the creation failed."""
    assert found({"orders": "Active"}, "Orders", "orders") is None


def test_a_resource_that_the_stack_knows_is_left_as_it_is() -> None:
    class Unasked:
        """No call is made."""

    target: Any = Unasked()
    known = [resource("Orders", "shop-Orders-0a1b2c3d")]
    assert with_names(target, STACK, known, {}) == known


def test_a_deletion_that_answers_an_error_and_has_happened_is_one() -> None:
    target: Any = Lambda({"shop-Orders-0a1b2c3d": "Failed", "shop-Paid-0a1b2c3d": "Failed"})
    remove_half_made(target, STACK, [resource("Orders"), resource("Paid", "shop-Paid-0a1b2c3d")], {})
    assert target.states == {"shop-Paid-0a1b2c3d": "Failed"}

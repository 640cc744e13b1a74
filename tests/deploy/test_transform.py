"""What is done to a template here, for emulators that cannot do it themselves."""

from __future__ import annotations

from typing import Any

import pytest

from serverless_lab.deploy.intrinsics import Scope
from serverless_lab.deploy.transform import SAM_TRANSFORM, apply_sam, wants_sam, without_absent
from serverless_lab.errors import DeployError
from serverless_lab.targets.clients import emulator_session

FUNCTION: dict[str, Any] = {
    "Type": "AWS::Serverless::Function",
    "Properties": {
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "CodeUri": {"Bucket": "artifacts", "Key": "hello.zip"},
        "AutoPublishAlias": "live",
        "Policies": ["AmazonS3ReadOnlyAccess"],
    },
}
RULE: dict[str, Any] = {
    "Type": "AWS::Events::Rule",
    "Properties": {"Targets": [{"Id": "hello", "Arn": {"Ref": "Hello.Alias"}}]},
}


def template(**resources: Any) -> dict[str, Any]:
    return {"Transform": SAM_TRANSFORM, "Resources": resources}


def test_a_reference_to_a_sam_function_s_alias_becomes_one_to_the_alias():
    document = template(Hello=FUNCTION, Rule=RULE)
    made = apply_sam(document, {}, emulator_session("eu-central-1"))
    assert made["Resources"]["Rule"]["Properties"]["Targets"] == [{"Id": "hello", "Arn": {"Ref": "HelloAliaslive"}}]
    assert made["Resources"]["HelloAliaslive"]["Type"] == "AWS::Lambda::Alias"
    assert "Transform" not in made, "it is not to be applied a second time"
    assert document == template(Hello=FUNCTION, Rule=RULE), "what was given stays as it was"


def test_names_of_managed_policies_are_known_without_asking_anybody():
    role = apply_sam(template(Hello=FUNCTION), {}, emulator_session("eu-central-1"))["Resources"]["HelloRole"]
    assert "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" in role["Properties"]["ManagedPolicyArns"]


def test_a_fault_of_the_template_is_told_with_its_resource():
    faulty = {"Type": "AWS::Serverless::Function", "Properties": {"Runtime": "python3.12", "Handler": "app.handler"}}
    with pytest.raises(DeployError, match="Hello") as refusal:
        apply_sam(template(Hello=faulty), {}, emulator_session("eu-central-1"))
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("transform", "wanted"),
    [
        (SAM_TRANSFORM, True),
        ([SAM_TRANSFORM], True),
        (["AWS::LanguageExtensions", SAM_TRANSFORM], False),
        (None, False),
    ],
)
def test_only_sam_s_own_transform_can_be_applied_here(transform: Any, wanted: bool):
    """Another one before it would have to be applied first, and only the target can."""
    assert wants_sam({"Transform": transform, "Resources": {}}) is wanted


CONDITIONS = {
    "Yes": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
    "No": {"Fn::Not": [{"Condition": "Yes"}]},
    "Open": {"Fn::Equals": [{"Ref": "AWS::AccountId"}, "000000000000"]},
}


def reduced(resources: dict[str, Any], **sections: Any) -> dict[str, Any]:
    scope = Scope(parameters={"Stage": "prod"}, conditions=CONDITIONS)
    return without_absent({"Conditions": CONDITIONS, "Resources": resources, **sections}, scope)


def test_resources_and_outputs_whose_condition_is_false_are_left_out():
    resources = {
        "Topic": {"Type": "AWS::SNS::Topic", "DependsOn": ["Absent", "Queue"]},
        "Queue": {"Type": "AWS::SQS::Queue", "Condition": "Yes", "DependsOn": "Absent"},
        "Absent": {"Type": "AWS::SQS::Queue", "Condition": "No"},
        "Perhaps": {"Type": "AWS::SQS::Queue", "Condition": "Open"},
    }
    made = reduced(resources, Outputs={"A": {"Value": "a", "Condition": "No"}, "B": {"Value": "b"}})
    assert sorted(made["Resources"]) == ["Perhaps", "Queue", "Topic"]
    assert made["Resources"]["Topic"]["DependsOn"] == ["Queue"]
    assert "DependsOn" not in made["Resources"]["Queue"]
    assert made["Outputs"] == {"B": {"Value": "b"}}
    assert made["Conditions"] == CONDITIONS
    assert resources["Topic"]["DependsOn"] == ["Absent", "Queue"], "what was given stays as it was"


def test_an_if_whose_condition_is_known_becomes_the_branch_that_holds():
    """The other branch may name a resource that was left out."""
    no_value = {"Ref": "AWS::NoValue"}
    properties = {
        "Known": {"Fn::If": ["No", {"Ref": "Absent"}, {"Fn::If": ["Yes", "inner", no_value]}]},
        "Removed": [{"Fn::If": ["Yes", no_value, "x"]}],
        "Open": {"Fn::If": ["Open", {"Fn::If": ["Yes", 1, 2]}, 3]},
    }
    made = reduced({"Queue": {"Type": "AWS::SQS::Queue", "Properties": properties}})
    assert made["Resources"]["Queue"]["Properties"] == {
        "Known": "inner",
        "Removed": [no_value],
        "Open": {"Fn::If": ["Open", 1, 3]},
    }

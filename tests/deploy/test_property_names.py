"""Misspelt properties: what CloudFormation would refuse is refused before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from serverless_lab.deploy.property_names import names, unknown_properties
from serverless_lab.deploy.template import Location, read_template
from serverless_lab.deploy.transform import apply_sam, without_absent
from serverless_lab.errors import TemplateError
from serverless_lab.project import bundled
from tests.conftest import SAMPLES
from tests.deploy.emulated_types import emulated_types
from tests.deploy.renew_property_names import shapes_of


def found(kind: str, properties: Any, **more: Any) -> list[tuple[str, str | None]]:
    resource = {"Type": kind, "Properties": properties, **more}
    return [(wrong.path, wrong.close) for wrong in unknown_properties({"It": resource})]


def test_every_resource_type_that_the_emulator_deploys_has_its_names():
    """A new version of MiniStack that deploys more asks for `python -m tests.deploy.renew_property_names`."""
    assert sorted(names()["types"]) == emulated_types()


@pytest.mark.parametrize(
    ("kind", "properties", "path", "close"),
    [
        ("AWS::DynamoDB::Table", {"BillingMod": "PAY_PER_REQUEST"}, "BillingMod", "BillingMode"),
        ("AWS::SQS::Queue", {"visibilityTimeout": 30}, "visibilityTimeout", "VisibilityTimeout"),
        (
            "AWS::DynamoDB::Table",
            {"GlobalSecondaryIndexes": [{"Projection": {"ProjectionTyp": "ALL"}}]},
            "GlobalSecondaryIndexes.Projection.ProjectionTyp",
            "ProjectionType",
        ),
        ("AWS::DynamoDB::Table", {"KeySchema": [{"AtributeName": "id"}]}, "KeySchema.AtributeName", "AttributeName"),
        (
            "AWS::Lambda::Function",
            {"VpcConfig": {"Fn::If": ["InVpc", {"SubnetId": ["subnet-1"]}, {"Ref": "AWS::NoValue"}]}},
            "VpcConfig.SubnetId",
            "SubnetIds",
        ),
        ("AWS::SNS::Topic", {"RetainForever": True}, "RetainForever", None),
    ],
)
def test_a_property_that_the_type_does_not_have_is_found_however_deep_it_stands(
    kind: str, properties: Any, path: str, close: str | None
):
    assert found(kind, properties) == [(path, close)]


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::Lambda::Function", {"Environment": {"Variables": {"BillingMod": "x"}}}),
        ("AWS::IAM::Role", {"AssumeRolePolicyDocument": {"Statment": []}}),
        ("AWS::DynamoDB::Table", {"Fn::Transform": {"Name": "AWS::Include"}}),
        ("AWS::SQS::Queue", {"RedrivePolicy": {"Fn::If": "not a list, which the target refuses"}}),
        ("AWS::SQS::Queue", None),
        ("Custom::Anything", {"AnyName": 1}),
        ("AWS::Serverless::SimpleTable", {"PrimaryKy": 1}),
    ],
    ids=[
        "variables",
        "a policy",
        "a macro",
        "nonsense",
        "no properties",
        "a custom resource",
        "SAM, which tells itself",
    ],
)
def test_where_any_name_may_stand_none_is_unknown(kind: str, properties: Any):
    assert found(kind, properties) == []


def test_a_name_beside_the_one_it_resembles_is_not_taken_for_it():
    """What is there already cannot be what was meant."""
    assert found("AWS::DynamoDB::Table", {"BillingMod": 1, "BillingMode": 2}) == [("BillingMod", None)]


def test_metadata_for_cfn_lint_lets_a_property_pass_that_is_younger_than_the_names():
    metadata = {"cfn-lint": {"config": {"ignore_checks": ["E3002"]}}}
    assert found("AWS::DynamoDB::Table", {"BillingMod": 1}, Metadata=metadata) == []


def test_the_error_names_the_line_the_resource_and_the_property_that_was_meant(tmp_path: Path):
    template = tmp_path / "template.yaml"
    template.write_text(
        "Resources:\n  Queue: {Type: AWS::SQS::Queue}\n  Orders:\n    Type: AWS::DynamoDB::Table\n"
        "    Properties: {BillingMod: PAY_PER_REQUEST}\n"
    )
    with pytest.raises(TemplateError) as refused:
        read_template(template).artifacts({})
    where = f"{template}:3: resource `Orders`"
    assert refused.value.message == f"{where}: AWS::DynamoDB::Table has no property `BillingMod`"
    assert refused.value.hint == "did you mean `BillingMode`?"


def test_one_that_resembles_none_is_told_on_an_emulator_which_takes_it(deploy, hello: Path):
    """It may be younger than the names here: then AWS takes it, and the emulator does nothing with it."""
    hello.write_text(
        hello.read_text().replace(
            "Resources:\n", "Resources:\n  Topic: {Type: AWS::SNS::Topic, Properties: {RetainForever: true}}\n", 1
        )
    )
    told = [note for note in deploy(hello).notes if "RetainForever" in note]
    assert len(told) == 1
    assert told[0].startswith("`Topic`: AWS::SNS::Topic had no property `RetainForever` on 20")


@pytest.mark.parametrize(
    "template", [bundled("handlers", "template.yaml"), SAMPLES / "hello" / "template.yaml"], ids=["bundled", "hello"]
)
def test_what_sam_makes_of_our_own_templates_has_no_unknown_property(template: Path):
    """Two of AWS's own sources agree: its translator writes nothing that its schemas do not have."""
    found = read_template(template)
    values = found.parameter_values({})
    locations = {artifact.logical_id: Location("bucket", "key", "digest") for artifact in found.artifacts(values)}
    document = without_absent(found.packaged(locations, values), found.scope(values))
    transformed = apply_sam(document, values, boto3.Session(region_name="us-east-1"))
    assert list(unknown_properties(transformed["Resources"])) == []


def test_a_cdk_app_has_no_unknown_property():
    for path in sorted((SAMPLES / "cdk" / "cdk.out").glob("*.template.json")):
        assert list(unknown_properties(json.loads(path.read_text())["Resources"])) == []


def test_names_are_read_from_a_schema_as_far_as_it_says_which_there_are():
    """Free objects, references to oneself, alternatives and shapes without a name, as the schemas of AWS have them."""
    closed = {"type": "object", "additionalProperties": False}
    schema = {
        "readOnlyProperties": ["/properties/Arn"],
        "properties": {
            "Arn": {"type": "string"},
            "Tags": {"type": "array", "items": {"$ref": "#/definitions/Tag"}},
            "Keys": {
                "oneOf": [
                    {"type": "array", "items": {**closed, "properties": {"Name": {"type": "string"}}}},
                    {"type": ["object", "string"]},
                ]
            },
            "Policy": {"type": ["object", "string"]},
            "Headers": {**closed, "properties": {"Age": {}}, "patternProperties": {"X-.*": {}}},
            "Rule": {"$ref": "#/definitions/Rule"},
            "Either": {"anyOf": [{"$ref": "#/definitions/Rule"}, {"$ref": "#/definitions/Tag"}]},
        },
        "definitions": {
            "Tag": {**closed, "properties": {"Key": {}, "Value": {}}},
            "Rule": {**closed, "properties": {"And": {"type": "array", "items": {"$ref": "#/definitions/Rule"}}}},
        },
    }
    assert shapes_of(schema) == {
        "": {"Either": "", "Headers": "", "Keys": "[KeysItem]", "Policy": "", "Rule": "Rule", "Tags": "[Tag]"},
        "KeysItem": {"Name": ""},
        "Rule": {"And": "[Rule]"},
        "Tag": {"Key": "", "Value": ""},
    }

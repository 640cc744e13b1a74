"""References to nothing: what CloudFormation would refuse is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serverless_lab.deploy.references import dangling
from serverless_lab.deploy.template import read_template
from serverless_lab.errors import TemplateError
from serverless_lab.project import bundled
from tests.conftest import SAMPLES


def plain(value: Any, **more: Any) -> dict[str, Any]:
    table = {"Type": "AWS::DynamoDB::Table", "Properties": {"Tags": value}}
    return {"Parameters": {"Stage": {"Type": "String"}}, "Resources": {"Orders": table}, **more}


def names(document: dict[str, Any]) -> list[str]:
    return [found.name for found in dangling(document)]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"Ref": "Ordrs"}, ["Ordrs"]),
        ({"Fn::GetAtt": ["Ordrs", "Arn"]}, ["Ordrs"]),
        ({"Fn::GetAtt": "Ordrs.Arn"}, ["Ordrs"]),
        ({"Fn::Sub": "${Ordrs}-${Stage}-${AWS::Region}-${!Literal}"}, ["Ordrs"]),
        ({"Fn::Sub": ["${Own}-${Stge}", {"Own": {"Ref": "Orders"}}]}, ["Stge"]),
        ({"Fn::If": ["IsThere", {"Ref": "Orders"}, {"Ref": "AWS::NoValue"}]}, []),
        ([{"Ref": "Orders"}, {"Ref": "Stage"}, {"Fn::GetAtt": ["Orders", "StreamArn"]}], []),
    ],
)
def test_a_name_that_is_no_parameter_and_no_resource_is_found_wherever_it_stands(value: Any, wrong: list[str]):
    assert names(plain(value, Conditions={"IsThere": {"Fn::Equals": [{"Ref": "Stage"}, "x"]}})) == wrong
    assert names(plain("", Outputs={"Name": {"Value": value}})) == wrong


def test_names_that_sam_makes_are_known_by_the_resource_they_begin_with():
    sam = {"Transform": "AWS::Serverless-2016-10-31"}
    made = [{"Ref": "OrdersRole"}, {"Ref": "OrdersAliaslive"}, {"Ref": "ServerlessRestApi"}]
    assert names(plain(made, **sam)) == []
    assert names(plain(made)) == ["OrdersAliaslive", "OrdersRole", "ServerlessRestApi"]
    assert names(plain({"Ref": "Ordrs"}, **sam)) == ["Ordrs"]


def test_where_a_macro_may_make_names_nothing_is_refused():
    assert names(plain({"Ref": "Ordrs"}, Transform=["AWS::Serverless-2016-10-31", "AWS::LanguageExtensions"])) == []
    assert names(plain([{"Ref": "Ordrs"}, {"Fn::Transform": {"Name": "AWS::Include"}}])) == []


@pytest.mark.parametrize(
    "template", [bundled("handlers", "template.yaml"), SAMPLES / "hello" / "template.yaml"], ids=["bundled", "hello"]
)
def test_our_own_templates_refer_to_what_is_there(template: Path):
    assert list(dangling(read_template(template).document)) == []


def test_the_error_names_the_resource_the_line_and_the_name_that_was_meant(tmp_path: Path):
    template = tmp_path / "template.yaml"
    template.write_text(
        "Resources:\n  Orders: {Type: AWS::SQS::Queue}\n  Rule:\n    Type: AWS::SNS::Topic\n"
        "    Properties: {TopicName: !GetAtt Ordrs.QueueName}\n"
    )
    with pytest.raises(TemplateError) as refused:
        read_template(template).artifacts({})
    assert refused.value.message == f"{template}:3: resource `Rule` refers to `Ordrs`, which the template does not have"
    assert refused.value.hint == "did you mean `Orders`?"

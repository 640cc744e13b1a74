"""What a template says, and what is said of one that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.deploy.intrinsics import UNKNOWN, Scope, condition_holds, evaluate, references
from serverless_lab.deploy.template import ArtifactKind, Location, Template, read_template
from serverless_lab.errors import TemplateError
from tests.conftest import SAMPLES

HELLO = SAMPLES / "hello" / "template.yaml"


def template(tmp_path: Path, text: str, name: str = "template.yaml") -> Template:
    path = tmp_path / name
    path.write_text(text)
    return read_template(path)


def test_short_tags_become_their_long_form(tmp_path):
    """The rest of lab sees one form, and the packaged template can be JSON."""
    found = template(
        tmp_path,
        """
        Conditions:
          Big: !Not [!Equals [!Ref Size, 0]]
        Resources:
          A:
            Type: AWS::SNS::Topic
            Condition: Big
            Properties:
              DisplayName: !Sub ${AWS::StackName}-a
              TopicName: !If [Big, !GetAtt B.TopicName, !Ref AWS::NoValue]
              Tags: !Split [",", !Join [":", [a, !Select [0, !GetAZs ""]]]]
              Deep: !GetAtt Nested.Outputs.Name
              Other: !And [!Condition Big, !Condition Big]
        """,
    )
    properties = found.properties("A")
    assert found.document["Conditions"]["Big"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "Size"}, 0]}]}
    assert properties["DisplayName"] == {"Fn::Sub": "${AWS::StackName}-a"}
    assert properties["TopicName"] == {"Fn::If": ["Big", {"Fn::GetAtt": ["B", "TopicName"]}, {"Ref": "AWS::NoValue"}]}
    assert properties["Tags"]["Fn::Split"][1]["Fn::Join"][1][1] == {"Fn::Select": [0, {"Fn::GetAZs": ""}]}
    assert properties["Deep"] == {"Fn::GetAtt": ["Nested", "Outputs.Name"]}
    assert properties["Other"] == {"Fn::And": [{"Condition": "Big"}, {"Condition": "Big"}]}


def test_an_unquoted_date_stays_text(tmp_path):
    found = template(tmp_path, "AWSTemplateFormatVersion: 2010-09-09\nResources: {A: {Type: AWS::SNS::Topic}}\n")
    assert found.document["AWSTemplateFormatVersion"] == "2010-09-09"


def test_json_and_yaml_say_the_same(tmp_path):
    as_yaml = read_template(HELLO)
    as_json = template(tmp_path, json.dumps(as_yaml.document, indent=2), "template.json")
    assert as_json.document == as_yaml.document
    assert as_json.lines["HelloFunction"] > 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Resources: [", r"template\.yaml:1: "),
        ("Resources:\n  A:\n    Type: X::Y::Z\n  A:\n    Type: X::Y::Z\n", r"template\.yaml:4: `A` is given twice"),
        ("Description: no resources\n", "has no Resources"),
        ("Resources:\n  A:\n    Properties: {}\n", r"template\.yaml:2: resource `A` has no Type"),
        ("Resources:\n  A: text\n", r"template\.yaml:2: resource `A` must be a mapping"),
        ("Resources: {A: {Type: X::Y::Z}}\nParameters: {P: {Default: 1}}\n", "parameter `P` has no Type"),
        ("Resources: {A: {Type: X::Y::Z, Properties: [1]}}\n", "Properties must be a mapping"),
    ],
)
def test_an_unreadable_template_names_file_line_and_resource(tmp_path, text, says):
    with pytest.raises(TemplateError, match=says):
        template(tmp_path, text)


def test_a_missing_template_says_how_to_name_one(tmp_path):
    with pytest.raises(TemplateError) as caught:
        read_template(tmp_path / "none.yaml")
    assert "--template" in (caught.value.hint or "")


def test_a_parameter_the_template_does_not_have_is_answered_with_those_it_has():
    with pytest.raises(TemplateError, match="no parameter `Gretting`") as caught:
        read_template(HELLO).parameter_values({"Gretting": "x"})
    assert caught.value.hint == "its parameters: Greeting"


@pytest.mark.parametrize(
    ("declared", "value", "problem"),
    [
        ("{Type: String, AllowedValues: [eager, lazy], Default: eager}", "fast", "allowed: eager, lazy"),
        ("{Type: Number, Default: 1}", "many", "it is a number"),
        ("{Type: Number, Default: 1, MaxValue: 5}", "6", "at most 5"),
        ("{Type: Number, Default: 1, MinValue: 1}", "0", "at least 1"),
        ("{Type: String, Default: a1, AllowedPattern: '[a-z][0-9]'}", "a12", r"it must match [a-z][0-9]"),
        ("{Type: String, Default: abc, MinLength: 3}", "ab", "at least 3 characters"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_before_anything_is_sent(tmp_path, declared, value, problem):
    found = template(tmp_path, f"Resources: {{A: {{Type: AWS::SNS::Topic}}}}\nParameters: {{P: {declared}}}\n")
    with pytest.raises(TemplateError) as caught:
        found.parameter_values({"P": value})
    assert caught.value.hint == problem


def test_a_secret_value_is_not_repeated_in_an_error(tmp_path):
    found = template(
        tmp_path,
        "Resources: {A: {Type: AWS::SNS::Topic}}\nParameters: {P: {Type: String, NoEcho: true, MinLength: 9}}\n",
    )
    with pytest.raises(TemplateError) as caught:
        found.parameter_values({"P": "hunter2"})
    assert "hunter2" not in caught.value.message


def test_every_parameter_is_sent_as_text(tmp_path):
    """LocalStack's !Equals tells 0 from '0', AWS's does not: with text on both sides they agree."""
    found = template(
        tmp_path,
        """
        Parameters: {N: {Type: Number, Default: 0}, B: {Type: String, Default: true}, M: {Type: String}}
        Conditions: {None: !Equals [!Ref N, 0]}
        Resources: {A: {Type: AWS::SNS::Topic}}
        """,
    )
    values = found.parameter_values({"M": "x"})
    assert values == {"N": "0", "B": "true", "M": "x"}
    sent = found.packaged({}, values)
    assert sent["Conditions"]["None"] == {"Fn::Equals": [{"Ref": "N"}, "0"]}
    assert sent["Parameters"]["N"]["Default"] == "0"
    with pytest.raises(TemplateError, match="`M` has no default"):
        found.parameter_values({})


def test_a_function_inherits_from_globals_and_its_code_is_found(tmp_path):
    (tmp_path / "code").mkdir()
    found = template(
        tmp_path,
        """
        Parameters: {Arch: {Type: String, Default: arm64}}
        Globals:
          Function:
            Runtime: python3.13
            CodeUri: code
            Architectures: [!Ref Arch]
            Environment: {Variables: {A: shared, B: shared}}
        Resources:
          F:
            Type: AWS::Serverless::Function
            Properties: {Handler: app.handler, Environment: {Variables: {B: own}}}
          Remote:
            Type: AWS::Serverless::Function
            Properties: {Handler: app.handler, CodeUri: 's3://bucket/key'}
          Inline:
            Type: AWS::Serverless::Function
            Properties: {Handler: index.handler, InlineCode: 'x', CodeUri: !Ref AWS::NoValue}
        """,
    )
    (artifact,) = found.artifacts({"Arch": "arm64"})
    assert (artifact.logical_id, artifact.runtime, artifact.architecture) == ("F", "python3.13", "arm64")
    assert artifact.path == tmp_path / "code"
    assert found.properties("F")["Environment"]["Variables"] == {"A": "shared", "B": "own"}
    sent = found.packaged({"F": Location("b", "k.zip", "k")}, {"Arch": "arm64"})
    assert sent["Resources"]["F"]["Properties"]["CodeUri"] == {"Bucket": "b", "Key": "k.zip"}
    assert "CodeUri" not in sent["Globals"]["Function"]
    assert found.document["Globals"]["Function"]["CodeUri"] == "code", "the template itself is not changed"


def test_a_cdk_app_s_synthesised_template_is_read_through_its_assets(tmp_path):
    """CDK names bundled code in metadata, and wants a bootstrap that an emulator does not have."""
    (tmp_path / "asset.1").mkdir()
    document = {
        "Resources": {
            "F": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Code": {"S3Bucket": "cdk-assets", "S3Key": "1.zip"},
                    "Runtime": "python3.13",
                    "Handler": "app.handler",
                },
                "Metadata": {"aws:asset:path": "asset.1", "aws:asset:property": "Code"},
            },
            "CDKMetadata": {"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": "x"}},
        },
        "Parameters": {
            "BootstrapVersion": {
                "Type": "AWS::SSM::Parameter::Value<String>",
                "Default": "/cdk-bootstrap/hnb659fds/version",
            }
        },
        "Rules": {"CheckBootstrapVersion": {"Assertions": []}},
    }
    found = template(tmp_path, json.dumps(document), "Stack.template.json")
    (artifact,) = found.artifacts(found.parameter_values({}))
    assert artifact.path == tmp_path / "asset.1"
    assert not artifact.build, "CDK has installed the dependencies already"
    sent = found.packaged({"F": Location("b", "k.zip", "k")}, {})
    assert sent["Resources"]["F"]["Properties"]["Code"] == {"S3Bucket": "b", "S3Key": "k.zip"}
    assert set(sent) == {"Resources"}
    assert set(sent["Resources"]) == {"F"}


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        ("{Type: AWS::Serverless::Function, Properties: {Runtime: python3.13, CodeUri: gone}}", "gone.*does not exist"),
        ("{Type: AWS::Serverless::Function, Properties: {CodeUri: .}}", "has no Runtime"),
        ("{Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: child.yaml}}", "local file child.yaml"),
        ("{Type: AWS::Serverless::Function, Metadata: {Dockerfile: D}, Properties: {}}", "container image"),
        (
            "{Type: AWS::Serverless::Function, Properties: {Runtime: python3.13, CodeUri: ., Architectures: [x86]}}",
            "no architecture `x86`",
        ),
    ],
)
def test_what_cannot_be_sent_is_named_with_its_line(tmp_path, resource, says):
    found = template(tmp_path, f"Resources:\n  A: {resource}\n")
    with pytest.raises(TemplateError, match=rf"template\.yaml:2: resource `A`.*{says}"):
        found.artifacts({})


def test_an_api_definition_is_uploaded_as_it_is(tmp_path):
    (tmp_path / "api.yaml").write_text("openapi: 3.0.1\n")
    found = template(
        tmp_path, "Resources: {A: {Type: AWS::Serverless::Api, Properties: {DefinitionUri: api.yaml, StageName: p}}}\n"
    )
    (artifact,) = found.artifacts({})
    assert artifact.kind is ArtifactKind.FILE


ALIASED = """
Parameters:
  Style: {Type: String, Default: eager}
  Kept: {Type: String, Default: '0'}
  Size: {Type: Number, Default: 1}
Conditions: {Big: !Equals [!Ref Size, 9]}
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: s3://b/k
      AutoPublishAlias: live
      MemorySize: !If [Big, 1024, 512]
      Environment: {Variables: {STYLE: !Sub '${Style}-init'}}
      ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: !Ref Kept}
"""


@pytest.mark.parametrize(
    ("changed", "publishes"), [({"Style": "lazy"}, True), ({"Size": "9"}, True), ({"Kept": "5"}, False)]
)
def test_a_change_publishes_a_version_exactly_when_a_version_would_freeze_it(tmp_path, changed, publishes):
    """Without a new version a parameter reaches $LATEST and never the alias; with one for nothing, all is cold."""
    found = template(tmp_path, ALIASED)

    def published(values):
        sent = found.packaged({}, found.parameter_values(values))
        return sent["Resources"]["F"]["Properties"]["AutoPublishCodeSha256"]

    assert (published({}) != published(changed)) is publishes
    assert published(changed) == published(changed)


SCOPE = Scope(
    parameters={"P": "5", "L": "a, b"},
    parameter_types={"L": "CommaDelimitedList"},
    conditions={
        "Yes": {"Fn::Equals": [{"Ref": "P"}, 5]},
        "Loop": {"Condition": "Loop"},
        "No": {"Fn::Not": [{"Condition": "Yes"}]},
    },
    mappings={"M": {"a": {"x": 1}}},
    pseudo={"AWS::Region": "eu-west-1"},
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "P"}, "5"),
        ({"Ref": "L"}, ["a", "b"]),
        ({"Ref": "Queue"}, UNKNOWN),
        ({"Fn::Sub": "${P}-${AWS::Region}-${!P}"}, "5-eu-west-1-${P}"),
        ({"Fn::Sub": ["${A}", {"A": {"Ref": "P"}}]}, "5"),
        ({"Fn::Sub": "${Queue.Arn}"}, UNKNOWN),
        ({"Fn::If": ["Yes", "a", "b"]}, "a"),
        ({"Fn::If": ["No", "a", "b"]}, "b"),
        ({"Fn::If": ["Loop", "a", "b"]}, UNKNOWN),
        ({"Fn::Join": ["-", ["a", {"Ref": "P"}]]}, "a-5"),
        ({"Fn::Select": ["1", {"Ref": "L"}]}, "b"),
        ({"Fn::FindInMap": ["M", "a", "x"]}, 1),
        ({"Fn::FindInMap": ["M", "b", "x"]}, UNKNOWN),
        ({"keep": 1, "drop": {"Ref": "AWS::NoValue"}}, {"keep": 1}),
        ({"Fn::ImportValue": "x"}, UNKNOWN),
    ],
)
def test_an_intrinsic_is_worth_what_cloudformation_would_make_of_it(value, expected):
    assert evaluate(value, SCOPE) == expected


def test_a_condition_is_known_or_said_to_be_unknown():
    assert condition_holds("Yes", SCOPE) is True
    assert condition_holds("No", SCOPE) is False
    assert condition_holds("Loop", SCOPE) is None
    assert condition_holds("Missing", SCOPE) is None


def test_references_go_through_conditions():
    assert references({"a": {"Fn::If": ["No", {"Ref": "X"}, {"Fn::GetAtt": ["Y", "Arn"]}]}}, SCOPE) == {"P", "X", "Y"}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="abc -${}", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=12,
)


@given(plain)
def test_a_value_without_intrinsics_is_worth_itself(value):
    assert evaluate(value, SCOPE) == value
    assert references(value, SCOPE) == set()


@given(st.dictionaries(st.sampled_from(["Name", "Tags", "Deep"]), plain, max_size=3))
def test_what_yaml_says_is_what_is_sent(tmp_path_factory, properties):
    """Reading and packaging a template without code and conditions changes nothing in it."""
    document = {"Resources": {"A": {"Type": "AWS::SNS::Topic", "Properties": properties}}}
    found = template(tmp_path_factory.mktemp("plain"), yaml.safe_dump(document))
    assert json.loads(json.dumps(found.packaged({}, {}))) == document

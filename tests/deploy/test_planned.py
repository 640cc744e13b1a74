"""What a template will make, told before it is deployed: it decides on what may be spent."""

from __future__ import annotations

from pathlib import Path

from serverless_lab.deploy.planned import Planned, planned
from serverless_lab.deploy.template import read_template
from serverless_lab.project import bundled

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Size: {Type: Number, Default: 256}
  Kept: {Type: Number, Default: 0}
Conditions:
  Keeps: !Not [!Equals [!Ref Kept, "0"]]
Globals:
  Function: {Runtime: python3.12, Handler: app.handler, InlineCode: "", Timeout: 20}
Resources:
  Sized:
    Type: AWS::Serverless::Function
    Properties:
      MemorySize: !Ref Size
      Architectures: [arm64]
      AutoPublishAlias: live
      ProvisionedConcurrencyConfig: !If
        - Keeps
        - {ProvisionedConcurrentExecutions: !Ref Kept}
        - !Ref AWS::NoValue
      Events:
        Get: {Type: HttpApi, Properties: {Path: /, Method: get}}
  Plain:
    Type: AWS::Lambda::Function
    Properties: {Runtime: python3.12, Handler: app.handler, Code: {ZipFile: ""}, Role: r, MemorySize: !GetAtt Sized.X}
  Never:
    Type: AWS::Serverless::Function
    Condition: Keeps
  Notes:
    Type: AWS::Serverless::SimpleTable
"""


def of(folder: Path, **values: str) -> Planned:
    path = folder / "template.yaml"
    path.write_text(TEMPLATE)
    template = read_template(path)
    return planned(template, template.parameter_values(values))


def test_functions_have_the_sizes_that_the_parameters_and_globals_give_them(tmp_path: Path) -> None:
    sized, plain = of(tmp_path).functions
    assert (sized.memory_size_mb, sized.timeout_s, sized.architecture, sized.provisioned_environments) == (
        256,
        20,
        "arm64",
        0,
    )
    assert (plain.timeout_s, plain.architecture) == (3, "x86_64"), "Lambda's own defaults"
    changed = {item.logical_id: item for item in of(tmp_path, Size="1024", Kept="7").functions}
    assert (changed["Sized"].memory_size_mb, changed["Sized"].provisioned_environments) == (1024, 7)
    assert "Never" in changed, "its condition holds now"


def test_a_size_that_only_the_target_knows_counts_as_the_largest(tmp_path: Path) -> None:
    """A bill must not look lower than it is."""
    assert of(tmp_path).functions[1].memory_size_mb == 10_240


def test_the_api_and_the_types_that_cost_something_are_told(tmp_path: Path) -> None:
    found = of(tmp_path)
    assert found.api_type == "http"
    assert "AWS::DynamoDB::Table" in found.resources


def test_of_the_bundled_stack_all_functions_are_told() -> None:
    template = read_template(bundled("handlers", "template.yaml"))
    found = planned(template, template.parameter_values({"ProvisionedConcurrency": "5"}))
    assert (len(found.functions), found.api_type) == (6, "rest")
    assert sum(function.provisioned_environments for function in found.functions) == 5
    assert {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SQS::Queue"} <= found.resources

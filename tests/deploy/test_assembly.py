"""What a CDK app's manifest says, and what becomes of a template that expects `cdk bootstrap`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.deploy.assembly import read_assembly, rewrite, template_in
from serverless_lab.deploy.packaging import package
from serverless_lab.deploy.stack import deploy_stack
from serverless_lab.deploy.template import ArtifactKind, Location, read_template
from serverless_lab.errors import DeployError, TemplateError
from serverless_lab.targets import resolve_target
from tests.conftest import SAMPLES

HERE = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"


@pytest.fixture
def cdk(tmp_path: Path) -> Path:
    """A copy of the sample's `cdk.out`, free to be changed."""
    shutil.copytree(SAMPLES / "cdk" / "cdk.out", tmp_path / "cdk.out")
    return tmp_path / "cdk.out"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def located(template: Path) -> dict[str, Any]:
    found = read_template(template)
    values = found.parameter_values({})
    places = {
        artifact.logical_id: Location("lab-bucket", f"stack/{number}", str(number))
        for number, artifact in enumerate(found.artifacts(values))
    }
    return found.packaged(places, values)


def test_a_folder_means_the_template_in_it(cdk: Path, tmp_path: Path) -> None:
    assert template_in(cdk, "Other") == cdk / "Other.template.json"
    assert template_in(cdk / "Shop.template.json", None) == cdk / "Shop.template.json"
    assert template_in(SAMPLES / "hello", None) == SAMPLES / "hello" / "template.yaml"
    assert template_in(SAMPLES / "sam" / ".aws-sam", None) == SAMPLES / "sam" / ".aws-sam" / "build" / "template.yaml"
    (tmp_path / "empty").mkdir()
    with pytest.raises(TemplateError, match="no template in folder"):
        template_in(tmp_path / "empty", None)


def test_a_single_stack_needs_no_name_and_a_stage_s_stacks_are_found(cdk: Path, tmp_path: Path) -> None:
    """Pipelines put each stage's stacks into an assembly of its own inside the app's."""
    manifest = json.loads((cdk / "manifest.json").read_text())
    del manifest["artifacts"]["Other"]
    (cdk / "manifest.json").write_text(json.dumps(manifest))
    outer = {"artifacts": {"prod": {"type": "cdk:cloud-assembly", "properties": {"directoryName": "cdk.out"}}}}
    (tmp_path / "manifest.json").write_text(json.dumps(outer))
    assert template_in(tmp_path, None) == cdk / "Shop.template.json"
    assert template_in(tmp_path, "my-stack") == cdk / "Shop.template.json"


def test_every_mention_of_an_asset_names_the_bucket_it_is_in_now() -> None:
    document = located(SAMPLES / "cdk" / "cdk.out" / "Shop.template.json")
    text = json.dumps(document)
    assert "cdk-hnb659fds" not in text, "neither the bucket nor the version parameter of a bootstrapping"
    assert "AWS::CDK::Metadata" not in text
    (function,) = [item for item in document["Resources"].values() if item["Type"] == "AWS::Lambda::Function"]
    assert set(function["Properties"]["Code"]) == {"S3Bucket", "S3Key"}
    variables = function["Properties"]["Environment"]["Variables"]
    assert (variables["PRICES_BUCKET"], variables["PRICES_KEY"]) == ("lab-bucket", "stack/2")


def test_code_without_asset_metadata_is_found_through_the_list_of_assets(cdk: Path) -> None:
    """`cdk synth --no-asset-metadata` writes none."""
    document = json.loads((cdk / "Shop.template.json").read_text())
    for resource in document["Resources"].values():
        resource.pop("Metadata", None)
    (cdk / "Shop.template.json").write_text(json.dumps(document))
    template = read_template(cdk / "Shop.template.json")
    kinds = [artifact.kind for artifact in template.artifacts(template.parameter_values({}))]
    assert kinds == [ArtifactKind.ASSET] * 3
    functions = [
        item["Properties"]["Code"]
        for item in located(cdk / "Shop.template.json")["Resources"].values()
        if item["Type"] == "AWS::Lambda::Function"
    ]
    assert functions[0]["S3Bucket"] == "lab-bucket"


def test_an_asset_is_packed_as_the_app_says(tmp_path: Path) -> None:
    template = read_template(SAMPLES / "cdk" / "cdk.out" / "Shop.template.json")
    built = {
        artifact.kind: package(artifact, tmp_path) for artifact in template.artifacts(template.parameter_values({}))
    }
    assert built[ArtifactKind.ASSET].suffix == ".json"
    assert built[ArtifactKind.FUNCTION].suffix == ".zip"


def test_a_missing_asset_and_a_damaged_assembly_are_named(cdk: Path) -> None:
    next(cdk.glob("asset.*.json")).unlink()
    with pytest.raises(TemplateError, match=r"asset Prices: .* does not exist") as caught:
        located(cdk / "Shop.template.json")
    assert "cdk synth" in (caught.value.hint or "")
    (cdk / "Shop.assets.json").write_text("{")
    with pytest.raises(TemplateError, match=r"Shop\.assets\.json cannot be read"):
        read_template(cdk / "Shop.template.json")


def test_a_container_image_and_a_nested_stack_are_refused_before_anything_is_contacted(cdk: Path) -> None:
    listed = json.loads((cdk / "Other.assets.json").read_text())
    listed["dockerImages"] = {"f00d" * 16: {}}
    (cdk / "Other.assets.json").write_text(json.dumps(listed))
    change(cdk / "Other.template.json", '"index.handler"', f'"{"f00d" * 16}"')
    with pytest.raises(TemplateError, match="container image to be built"):
        located(cdk / "Other.template.json")
    nested = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": {"Fn::Join": ["", ["https://s3.", {"Ref": "AWS::Region"}, "/x"]]}},
        "Metadata": {"aws:asset:path": "Nested.nested.template.json", "aws:asset:property": "TemplateURL"},
    }
    (cdk / "Other.template.json").write_text(json.dumps({"Resources": {"Nested": nested}}))
    with pytest.raises(TemplateError, match="`Nested` is a nested stack of a CDK app"):
        located(cdk / "Other.template.json")


def test_an_app_synthesised_for_elsewhere_is_told(cdk: Path, tmp_path: Path, ministack: str) -> None:
    """It may hold what was looked up there: subnets, zones, images."""
    change(cdk / "manifest.json", "aws://unknown-account/unknown-region", "aws://111122223333/eu-west-1")
    assembly = read_assembly(cdk / "Shop.template.json")
    assert assembly.mismatch("111122223333", "eu-west-1") is None
    assert "this is account 4, region eu-west-1" in (assembly.mismatch("4", "eu-west-1") or "")
    target = resolve_target("localstack", environment={"AWS_ENDPOINT_URL": ministack})
    arguments: dict[str, Any] = {
        "template_path": cdk / "Shop.template.json",
        "stack_name": "elsewhere",
        "parameters": {},
        "build_directory": tmp_path / "build",
    }

    class OnAws:
        """The same place without an endpoint of its own, as an AWS account is."""

        endpoint_url = None

        def __getattr__(self, name: str) -> Any:
            return getattr(target, name)

    with pytest.raises(DeployError, match="synthesised for account 111122223333, region eu-west-1") as caught:
        deploy_stack(OnAws(), **arguments)  # type: ignore[arg-type]
    assert "--region" in (caught.value.hint or "")


def test_only_a_sub_with_nothing_left_to_fill_in_becomes_text() -> None:
    places = {HERE: "lab-bucket"}
    assert rewrite({"A": {"Fn::Sub": HERE}}, places) == {"A": "lab-bucket"}
    kept = {"Fn::Sub": "arn:${AWS::Partition}:s3:::" + HERE}
    assert rewrite(kept, places) == {"Fn::Sub": "arn:${AWS::Partition}:s3:::lab-bucket"}
    assert rewrite({"Fn::Sub": "plain"}, places) == {"Fn::Sub": "plain"}

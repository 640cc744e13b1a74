"""Runtimes that Lambda does not have are refused before anything is sent; those that it may have by now are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from serverless_lab.deploy.checks import IMAGE, function_runtimes, is_runtime, meant
from serverless_lab.deploy.template import read_template
from serverless_lab.errors import TemplateError

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Wanted: {Type: String, Default: python3.12}
Globals:
  Function: {Handler: app.handler, Runtime: !Ref Wanted}
Resources:
  Sam: {Type: AWS::Serverless::Function, Properties: {InlineCode: "def handler(e, c): ..."}}
  Own: {Type: AWS::Lambda::Function, Properties: {Runtime: ruby3.3, Code: {S3Bucket: b, S3Key: k}}}
  Image: {Type: AWS::Lambda::Function, Properties: {PackageType: Image, Code: {ImageUri: there}}}
  Later: {Type: AWS::Lambda::Function, Properties: {Runtime: !ImportValue its-runtime, Code: {S3Bucket: b, S3Key: k}}}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    return path


def test_the_runtime_of_every_function_is_known_as_far_as_the_template_tells(template: Path):
    """With Globals, parameters and images; what only the target can tell is left out."""
    assert function_runtimes(read_template(template), {"Wanted": "nodejs22.x"}) == {
        "Sam": "nodejs22.x",
        "Own": "ruby3.3",
        "Image": IMAGE,
    }


@pytest.mark.parametrize(
    ("identifier", "there"),
    [
        ("python3.13", True),
        ("java21", True),
        ("provided.al2023", True),
        ("python2.7", True),
        ("python3.99", True),
        ("nodejs98.x", True),
        ("java12", False),
        ("nodejs21.x", False),
        ("nodejs98", False),
        ("python3", False),
        ("Python3.12", False),
        ("php8.3", False),
        ("", False),
    ],
)
def test_a_runtime_is_one_that_the_api_takes_or_a_newer_one_of_its_language(identifier: str, there: bool):
    """AWS has outdated ones refuse themselves; a newer one must not wait for the next version of botocore."""
    assert is_runtime(identifier) is there


@pytest.mark.parametrize(
    ("identifier", "hint"),
    [
        ("java12", "java21, java17"),
        ("Nodejs22", "nodejs24.x, nodejs22.x"),
        ("pyhton3.12", "did you mean `python3.12`?"),
        ("php8.3", "for example python3.13"),
    ],
)
def test_who_misspells_a_runtime_is_told_which_there_are(identifier: str, hint: str):
    assert hint in meant(identifier)


def test_the_error_names_the_resource_and_the_runtime(template: Path):
    with pytest.raises(TemplateError) as refused:
        read_template(template).artifacts({"Wanted": "java12"})
    assert refused.value.message == f"{template}:8: resource `Sam`: Lambda has no runtime `java12`"

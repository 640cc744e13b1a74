"""What other tools leave to be deployed: a CDK app's `cdk.out`, a SAM application's `.aws-sam/build`.

The manifest of a cloud assembly names its stacks, and each stack's assets: files that the template expects in the
bucket of `cdk bootstrap`. lab needs no bootstrapping. It uploads the assets to its own bucket and lets the template
name that one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serverless_lab.errors import TemplateError

MANIFEST = "manifest.json"
TEMPLATE_NAMES = ("template.yaml", "template.yml", "template.json")
BUILT_BY_SAM = "SamResourceId"  # metadata that `sam build` gives each resource of the template it writes
UNKNOWN_ENVIRONMENT = ("unknown-account", "unknown-region")
BOOTSTRAP_PARAMETER = "BootstrapVersion"


@dataclass(frozen=True)
class Asset:
    """A file, or a folder to be zipped. `bucket` and `key` are where the template expects it, as written there."""

    name: str
    path: Path
    bucket: str
    key: str

    @property
    def artifact_id(self) -> str:
        return f"asset {self.key}"


@dataclass(frozen=True)
class Assembly:
    """The part of a cloud assembly that belongs to one template.

    `account` and `region` are None where the app leaves them open; `images` are keys of container images to be built.
    """

    assets: tuple[Asset, ...] = ()
    images: tuple[str, ...] = ()
    account: str | None = None
    region: str | None = None

    def mentioned(self, value: Any) -> list[Asset]:
        """The assets that `value`, a part of the template, names."""
        text = json.dumps(value)
        return [asset for asset in self.assets if asset.key in text]

    def mismatch(self, account: str, region: str) -> str | None:
        """Where the app was synthesised for, when that is not where it goes."""
        meant = f"account {self.account or 'any'}, region {self.region or 'any'}"
        if self.account in (None, account) and self.region in (None, region):
            return None
        return f"the template was synthesised for {meant}, and this is account {account}, region {region}"


def template_in(path: Path, stack: str | None) -> Path:
    """The template that `path` means: itself when it is a file, else the one in that folder.

    Args:
        stack: which one of a CDK app with several, by its id or its stack's name.

    Raises:
        TemplateError: there is none, or more than one to choose from.
    """
    if not path.is_dir():
        return path
    if (path / MANIFEST).is_file():
        return _stack_template(path, stack)
    for folder in (path, path / "build"):
        for name in TEMPLATE_NAMES:
            if (folder / name).is_file():
                return folder / name
    looked_for = f"neither {', '.join(TEMPLATE_NAMES)} nor a CDK app's {MANIFEST}"
    raise TemplateError(f"no template in folder {path}: {looked_for}", hint="name the file with --template")


def _stack_template(folder: Path, stack: str | None) -> Path:
    found = list(_stacks(folder))
    if not found:
        raise TemplateError(f"{folder / MANIFEST} has no stack", hint="synthesise it anew: `cdk synth`")
    chosen = [path for names, path in found if stack in names]
    if len(chosen) == 1:
        return chosen[0]
    if len(found) == 1:
        return found[0][1]
    known = ", ".join(names[0] for names, _ in found)
    raise TemplateError(
        f"{folder} has {len(found)} stacks: {known}",
        hint=f"choose one with --stack {found[0][0][0]}, or name its file: --template {found[0][1]}",
    )


def _stacks(folder: Path) -> Iterator[tuple[list[str], Path]]:
    """Every stack of the assembly and of the stages in it: its names, its template."""
    for name, artifact in _artifacts(folder).items():
        properties = artifact.get("properties") or {}
        if artifact.get("type") == "aws:cloudformation:stack":
            names = [artifact.get("displayName"), name, properties.get("stackName")]
            yield [str(item) for item in names if item], folder / str(properties.get("templateFile"))
        elif artifact.get("type") == "cdk:cloud-assembly":
            yield from _stacks(folder / str(properties.get("directoryName")))


def _artifacts(folder: Path) -> dict[str, dict[str, Any]]:
    artifacts = _read(folder / MANIFEST).get("artifacts")
    return artifacts if isinstance(artifacts, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TemplateError(f"{path} cannot be read: {error}", hint="synthesise it anew: `cdk synth`") from error
    return found if isinstance(found, dict) else {}


def read_assembly(template: Path) -> Assembly:
    """What the cloud assembly around `template` says of it; an empty one where the template is in none.

    Raises:
        TemplateError: the assembly is damaged.
    """
    folder = template.parent
    if not (folder / MANIFEST).is_file():
        return Assembly()
    artifacts = _artifacts(folder)
    for artifact in artifacts.values():
        properties = artifact.get("properties") or {}
        if artifact.get("type") == "aws:cloudformation:stack" and properties.get("templateFile") == template.name:
            break
    else:
        return Assembly()
    assets: list[Asset] = []
    images: list[str] = []
    for name in [*artifact.get("dependencies", []), *properties.get("additionalDependencies", [])]:
        needed = artifacts.get(name) or {}
        if needed.get("type") == "cdk:asset-manifest":
            listed = _read(folder / str((needed.get("properties") or {}).get("file")))
            assets += [asset for asset in _assets(folder, listed) if asset not in assets]
            images += [str(key) for key in listed.get("dockerImages") or {}]
    account, _, region = str(artifact.get("environment", "")).removeprefix("aws://").partition("/")
    return Assembly(
        tuple(assets),
        tuple(images),
        account if account and account not in UNKNOWN_ENVIRONMENT else None,
        region if region and region not in UNKNOWN_ENVIRONMENT else None,
    )


def _assets(folder: Path, listed: dict[str, Any]) -> Iterator[Asset]:
    for name, entry in (listed.get("files") or {}).items():
        path = (entry.get("source") or {}).get("path")
        if path is None:
            continue  # made by a command of the app's; where it is needed, its key stays in the template
        for place in (entry.get("destinations") or {}).values():
            yield Asset(
                str(entry.get("displayName") or name), folder / path, str(place["bucketName"]), str(place["objectKey"])
            )


def rewrite(value: Any, places: Mapping[str, str]) -> Any:
    """`value` with every mention of a key of `places` replaced; a Fn::Sub that has nothing left to fill in is text."""
    if isinstance(value, str):
        for old, new in places.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, list):
        return [rewrite(item, places) for item in value]
    if not isinstance(value, dict):
        return value
    written = {name: rewrite(item, places) for name, item in value.items()}
    only = written.get("Fn::Sub")
    return only if written != value and len(written) == 1 and isinstance(only, str) and "${" not in only else written


def drop_bootstrap(document: dict[str, Any]) -> None:
    """Take out what asks for `cdk bootstrap`: without it there is no such SSM parameter, and lab uses nothing of it.

    AWS::CDK::Metadata counts CDK's users for AWS; emulators refuse the type.
    """
    for logical_id, resource in list(document["Resources"].items()):
        if isinstance(resource, dict) and resource.get("Type") == "AWS::CDK::Metadata":
            document["Resources"].pop(logical_id)
    parameter = (document.get("Parameters") or {}).get(BOOTSTRAP_PARAMETER) or {}
    if not str(parameter.get("Default", "")).startswith("/cdk-bootstrap/"):
        return
    document["Parameters"].pop(BOOTSTRAP_PARAMETER)
    (document.get("Rules") or {}).pop("CheckBootstrapVersion", None)
    for section in ("Parameters", "Rules"):
        if not document.get(section):
            document.pop(section, None)

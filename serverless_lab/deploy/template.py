"""A SAM or CloudFormation template: read, checked, and written again with its code in a bucket.

The short tags (`!Sub`) become their long form (`Fn::Sub`), so that the rest of `lab` sees plain dicts and lists and the
result can be sent as JSON. Intrinsic functions stay as they are: the target resolves them.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from serverless_lab.deploy.assembly import BUILT_BY_SAM, Assembly, drop_bootstrap, read_assembly, rewrite
from serverless_lab.deploy.checks import refuse_wrong_names
from serverless_lab.deploy.intrinsics import NO_VALUE, Scope, Special, as_text, evaluate, intrinsic, references
from serverless_lab.deploy.parameters import parameter_problem
from serverless_lab.deploy.template_text import parse
from serverless_lab.errors import TemplateError

SAM_FUNCTION = "AWS::Serverless::Function"
LAMBDA_FUNCTION = "AWS::Lambda::Function"
SAM_LAYER = "AWS::Serverless::LayerVersion"
LAMBDA_LAYER = "AWS::Lambda::LayerVersion"

# The property of each resource type that may name local code, and the two keys that S3 code has there.
CODE_PROPERTIES = {
    SAM_FUNCTION: ("CodeUri", "Bucket", "Key"),
    LAMBDA_FUNCTION: ("Code", "S3Bucket", "S3Key"),
    SAM_LAYER: ("ContentUri", "Bucket", "Key"),
    LAMBDA_LAYER: ("Content", "S3Bucket", "S3Key"),
}
# Properties that may name a local file, which is uploaded as it is.
FILE_PROPERTIES = {
    "AWS::Serverless::Api": ("DefinitionUri", "Bucket", "Key"),
    "AWS::Serverless::HttpApi": ("DefinitionUri", "Bucket", "Key"),
    "AWS::Serverless::StateMachine": ("DefinitionUri", "Bucket", "Key"),
    "AWS::ApiGateway::RestApi": ("BodyS3Location", "Bucket", "Key"),
}
UNSUPPORTED_LOCAL = {
    "AWS::CloudFormation::Stack": "TemplateURL",
    "AWS::Serverless::Application": "Location",
    "AWS::AppSync::GraphQLSchema": "DefinitionS3Location",
}
# What a published version freezes: when one of these changes, an alias must move to a new version.
VERSIONED_PROPERTIES = (
    "Architectures",
    "CodeUri",
    "DeadLetterQueue",
    "Environment",
    "EphemeralStorage",
    "FileSystemConfigs",
    "Handler",
    "ImageConfig",
    "ImageUri",
    "InlineCode",
    "KmsKeyArn",
    "Layers",
    "LoggingConfig",
    "MemorySize",
    "PackageType",
    "Runtime",
    "RuntimeManagementConfig",
    "SnapStart",
    "Timeout",
    "Tracing",
    "VpcConfig",
)
DEFAULT_ARCHITECTURE = "x86_64"
# SAM appends the digest to the function's Description, which holds 256 characters, and uses ten of it.
VERSION_DIGEST_LENGTH = 16


class ArtifactKind(Enum):
    FUNCTION = "function"
    LAYER = "layer"
    FILE = "file"
    ASSET = "asset"


@dataclass(frozen=True)
class Artifact:
    """Something local that a resource needs in the bucket.

    `runtime` and `architecture` are what dependencies are built for; `build` is False for code that is complete
    already (a CDK asset, a .zip, a runtime other than Python).
    """

    logical_id: str
    kind: ArtifactKind
    property_name: str
    path: Path
    where: str
    runtime: str | None = None
    architecture: str = DEFAULT_ARCHITECTURE
    handler: str | None = None
    build: bool = False
    note: str | None = None


@dataclass(frozen=True)
class Location:
    """Where an artifact is in the bucket. `digest` is its content's."""

    bucket: str
    key: str
    digest: str


@dataclass(frozen=True)
class Template:
    """A template as the user wrote it. `lines` has the line of every resource in `path`.

    `assembly` is what a CDK app says of the files that it needs; it is empty for other templates.
    """

    path: Path
    document: dict[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)
    assembly: Assembly = field(default_factory=Assembly)

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        return {name: resource for name, resource in self.document["Resources"].items() if isinstance(resource, dict)}

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        return self.document.get("Parameters") or {}

    def where(self, logical_id: str) -> str:
        """`path:line: resource X`, as error messages begin."""
        line = f":{self.lines[logical_id]}" if logical_id in self.lines else ""
        return f"{self.path}{line}: resource `{logical_id}`"

    def of_type(self, *types: str) -> dict[str, dict[str, Any]]:
        return {name: resource for name, resource in self.resources.items() if resource.get("Type") in types}

    def properties(self, logical_id: str) -> dict[str, Any]:
        """The resource's properties; those of a SAM function with the Globals it inherits."""
        resource = self.resources[logical_id]
        own = resource.get("Properties") or {}
        section = {SAM_FUNCTION: "Function", SAM_LAYER: "LayerVersion"}.get(resource["Type"])
        shared = ((self.document.get("Globals") or {}).get(section) or {}) if section else {}
        inherited: dict[str, Any] = _inherit(shared, own)
        return inherited

    def scope(self, values: Mapping[str, str], pseudo: Mapping[str, str] | None = None) -> Scope:
        return Scope(
            parameters=values,
            parameter_types={name: str(declared.get("Type")) for name, declared in self.parameters.items()},
            conditions=self.document.get("Conditions") or {},
            mappings=self.document.get("Mappings") or {},
            pseudo=pseudo or {},
        )

    def parameter_values(self, given: Mapping[str, str]) -> dict[str, str]:
        """Every parameter's value as a string: the given one, else its default.

        All of them are sent, because LocalStack compares a default's type too and a value is a string for sure.

        Raises:
            TemplateError: a given one is unknown or not allowed, or one without a default is missing.
        """
        unknown = sorted(set(given) - set(self.parameters))
        if unknown:
            known = ", ".join(self.parameters) or "none"
            raise TemplateError(f"{self.path} has no parameter `{unknown[0]}`", hint=f"its parameters: {known}")
        values = {}
        missing = []
        for name, declared in self.parameters.items():
            if name in given:
                values[name] = as_text(given[name])
            elif "Default" in declared:
                values[name] = _default_text(declared["Default"])
            else:
                missing.append(name)
        if missing:
            raise TemplateError(
                f"{self.path}: parameter `{missing[0]}` has no default and was not given",
                hint="give " + " ".join(f"{name}=..." for name in missing),
            )
        for name, value in values.items():
            problem = parameter_problem(self.parameters[name], value)
            if problem:
                no_echo = as_text(self.parameters[name].get("NoEcho", False)) == "true"
                shown = "its value" if no_echo else f"`{value}`"
                raise TemplateError(f"{self.path}: parameter `{name}` cannot be {shown}", hint=problem)
        return values

    def artifacts(self, values: Mapping[str, str]) -> tuple[Artifact, ...]:
        """What has to be packaged or uploaded before the template can be sent.

        Raises:
            TemplateError: a path that is not there, a local thing that `lab` cannot send, or a wrong name.
        """
        refuse_wrong_names(self, values)
        scope = self.scope(values)
        found = []
        for logical_id, resource in self.resources.items():
            kind = resource["Type"]
            if kind in CODE_PROPERTIES:
                artifact = self._code(logical_id, scope)
            elif kind in FILE_PROPERTIES:
                artifact = self._file(logical_id, FILE_PROPERTIES[kind][0], scope)
            else:
                artifact = None
                self._refuse_unsupported(logical_id, scope)
            if artifact is not None:
                found.append(artifact)
        return (*found, *self._assets(found))

    def _assets(self, packaged: Sequence[Artifact]) -> Iterator[Artifact]:
        """The files of a CDK app that the template names anywhere else than in a resource packaged already."""
        if not (self.assembly.assets or self.assembly.images):
            return
        rest = copy.deepcopy(self.document)
        for artifact in packaged:
            rest["Resources"][artifact.logical_id]["Properties"].pop(artifact.property_name, None)
        for logical_id, resource in rest["Resources"].items():
            image = next((key for key in self.assembly.images if key in json.dumps(resource)), None)
            if image is not None:
                raise TemplateError(
                    f"{self.where(logical_id)} needs a container image to be built, which lab does not do",
                    hint="use a zip with a managed runtime, or an image that is in a registry already",
                )
        for asset in self.assembly.mentioned(rest):
            where = f"{self.path}: asset {asset.name}"
            if not asset.path.exists():
                raise TemplateError(f"{where}: {asset.path} does not exist", hint="synthesise it anew: `cdk synth`")
            yield Artifact(asset.artifact_id, ArtifactKind.ASSET, "", asset.path, where)

    def _with_assets(self, document: dict[str, Any], locations: Mapping[str, Location]) -> dict[str, Any]:
        """`document` naming its assets where they are now."""
        places: dict[str, str] = {}
        for asset in self.assembly.assets:
            if asset.artifact_id in locations:
                location = locations[asset.artifact_id]
                places |= {asset.key: location.key, asset.bucket: location.bucket}
        written: dict[str, Any] = rewrite(document, places) if places else document
        return written

    def _code(self, logical_id: str, scope: Scope) -> Artifact | None:
        resource = self.resources[logical_id]
        properties = self.properties(logical_id)
        name = CODE_PROPERTIES[resource["Type"]][0]
        is_function = resource["Type"] in (SAM_FUNCTION, LAMBDA_FUNCTION)
        metadata = resource.get("Metadata") or {}
        if "Dockerfile" in metadata:
            raise TemplateError(
                f"{self.where(logical_id)} is a container image to be built, which lab does not do",
                hint="build and push it, then name it in ImageUri; or use a zip with a managed runtime",
            )
        if metadata.get("aws:asset:property") == name and "aws:asset:path" in metadata:
            # A CDK app's synthesised template names its bundled code here, as `sam local` reads it too.
            path = self._existing(logical_id, name, str(metadata["aws:asset:path"]))
            build = False
        else:
            value = evaluate(properties.get(name), scope)
            if value is None or value is NO_VALUE:
                elsewhere = {"InlineCode", "ImageUri"} & set(properties)
                if elsewhere or evaluate(properties.get("PackageType"), scope) == "Image" or not is_function:
                    return None
                value = "."
            if not isinstance(value, str) or value.startswith("s3://"):
                return None
            path = self._existing(logical_id, name, value)
            build = path.is_dir()
        runtime = self._runtime(logical_id, properties, scope, is_function)
        method = metadata.get("BuildMethod")
        note = None
        if BUILT_BY_SAM in metadata:
            build = False
        elif isinstance(method, str) and method.startswith("python") and not is_function:
            runtime = method
        elif method is not None and not str(method).startswith("python"):
            build = False
            note = f"`{logical_id}`: BuildMethod {method} is not run, the folder is zipped as it is"
        elif not is_function:
            build = False
        handler = evaluate(properties.get("Handler"), scope) if is_function else None
        return Artifact(
            logical_id=logical_id,
            kind=ArtifactKind.FUNCTION if is_function else ArtifactKind.LAYER,
            property_name=name,
            path=path,
            where=self.where(logical_id),
            runtime=runtime,
            architecture=self._architecture(logical_id, properties, scope),
            handler=handler if isinstance(handler, str) else None,
            build=build and runtime is not None and runtime.startswith("python"),
            note=note,
        )

    def _runtime(self, logical_id: str, properties: dict[str, Any], scope: Scope, is_function: bool) -> str | None:
        if is_function:
            value = evaluate(properties.get("Runtime"), scope)
            if value is None:
                raise TemplateError(f"{self.where(logical_id)} has no Runtime", hint="add one, such as python3.13")
            return value if isinstance(value, str) else None
        compatible = evaluate(properties.get("CompatibleRuntimes") or [], scope)
        return next((item for item in compatible if isinstance(item, str)), None)

    def _architecture(self, logical_id: str, properties: dict[str, Any], scope: Scope) -> str:
        value = evaluate(properties.get("Architectures") or properties.get("CompatibleArchitectures"), scope)
        if not isinstance(value, list) or not value or isinstance(value[0], Special):
            return DEFAULT_ARCHITECTURE
        if value[0] not in ("x86_64", "arm64"):
            raise TemplateError(f"{self.where(logical_id)}: no architecture `{value[0]}`", hint="x86_64 or arm64")
        return str(value[0])

    def _file(self, logical_id: str, name: str, scope: Scope) -> Artifact | None:
        value = evaluate((self.resources[logical_id].get("Properties") or {}).get(name), scope)
        if not isinstance(value, str) or value.startswith("s3://"):
            return None
        path = self._existing(logical_id, name, value)
        if not path.is_file():
            raise TemplateError(f"{self.where(logical_id)}: {name} is {path}, which is not a file")
        return Artifact(logical_id, ArtifactKind.FILE, name, path, self.where(logical_id))

    def _existing(self, logical_id: str, name: str, value: str) -> Path:
        path = (self.path.parent / value).resolve()
        if not path.exists():
            raise TemplateError(
                f"{self.where(logical_id)}: {name} is {value}, and {path} does not exist",
                hint="paths are relative to the template's folder",
            )
        return path

    def _refuse_unsupported(self, logical_id: str, scope: Scope) -> None:
        resource = self.resources[logical_id]
        name = UNSUPPORTED_LOCAL.get(resource["Type"])
        if name and (resource.get("Metadata") or {}).get("aws:asset:property") == name:
            raise TemplateError(
                f"{self.where(logical_id)} is a nested stack of a CDK app, which lab does not deploy",
                hint="make it a stack of its own, or put its constructs into the stack itself",
            )
        value = evaluate((resource.get("Properties") or {}).get(name), scope) if name else None
        if isinstance(value, str) and not value.startswith(("http://", "https://", "s3://")):
            raise TemplateError(
                f"{self.where(logical_id)}: {name} is the local file {value}, which lab does not upload",
                hint="run `sam package` or `aws cloudformation package` first and deploy what it wrote",
            )

    def packaged(self, locations: Mapping[str, Location], values: Mapping[str, str]) -> dict[str, Any]:
        """The document to send: code and files in the bucket, aliases that follow every change.

        Args:
            locations: of each artifact, by the logical id of its resource.
        """
        document = copy.deepcopy(self.document)
        (document.get("Globals") or {}).get("Function", {}).pop("CodeUri", None)
        for logical_id, location in locations.items():
            if logical_id not in document["Resources"]:
                continue  # an asset, which the template may name in more than one place
            resource = document["Resources"][logical_id]
            name, bucket_key, key_key = (CODE_PROPERTIES | FILE_PROPERTIES)[resource["Type"]]
            properties = resource.setdefault("Properties", {})
            if properties is None:
                properties = resource["Properties"] = {}
            properties[name] = {bucket_key: location.bucket, key_key: location.key}
        self._follow_changes(document, locations, values)
        _compare_as_text(document.get("Conditions"))
        for declared in (document.get("Parameters") or {}).values():
            if "Default" in declared:
                declared["Default"] = _default_text(declared["Default"])
        drop_bootstrap(document)
        return self._with_assets(document, locations)

    def _follow_changes(
        self, document: dict[str, Any], locations: Mapping[str, Location], values: Mapping[str, str]
    ) -> None:
        """Make SAM publish a version for any change that a version would freeze, not for new code alone.

        documented: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
        (AutoPublishCodeSha256 decides whether a version is published; without it, CodeUri does). So a parameter that
        sets an environment variable would reach $LATEST, and never the alias that events go to.
        """
        scope = self.scope(values)
        for logical_id in self.of_type(SAM_FUNCTION):
            properties = self.properties(logical_id)
            if "AutoPublishAlias" not in properties or "AutoPublishCodeSha256" in properties:
                continue
            frozen = {name: properties[name] for name in VERSIONED_PROPERTIES if name in properties}
            names = references(frozen, scope)
            digest = hashlib.sha256(
                json.dumps(
                    {
                        "properties": frozen,
                        "parameters": {name: values[name] for name in names if name in values},
                        "artifacts": {
                            name: locations[name].digest for name in {logical_id, *names} if name in locations
                        },
                        "mappings": scope.mappings if "Fn::FindInMap" in json.dumps(frozen) else None,
                        "conditions": scope.conditions if "Fn::If" in json.dumps(frozen) else None,
                    },
                    sort_keys=True,
                ).encode()
            ).hexdigest()[:VERSION_DIGEST_LENGTH]
            document["Resources"][logical_id]["Properties"]["AutoPublishCodeSha256"] = digest


def read_template(path: Path) -> Template:
    """The template at `path`, YAML or JSON.

    Raises:
        TemplateError: it is not there, cannot be parsed, or is not a template.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TemplateError(f"no template at {path}", hint="name one with --template") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(
            f"{path} cannot be read: {error}", hint="name a YAML or JSON file with --template"
        ) from error
    document, lines = parse(path, text)
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict) or not document["Resources"]:
        raise TemplateError(f"{path} has no Resources", hint="lab deploys SAM and CloudFormation templates")
    for section in ("Parameters", "Conditions", "Mappings", "Globals", "Outputs"):
        entries = document.get(section)
        if entries is not None and not isinstance(entries, dict):
            raise TemplateError(f"{path}: {section} must be a mapping")
    template = Template(path.resolve(), document, lines, read_assembly(path.resolve()))
    for name, declared in template.parameters.items():
        if not isinstance(declared, dict) or not isinstance(declared.get("Type"), str):
            raise TemplateError(f"{path}: parameter `{name}` has no Type", hint="for example `Type: String`")
    for name, shared in (document.get("Globals") or {}).items():
        if not isinstance(shared, dict):
            raise TemplateError(f"{path}: Globals.{name} must be a mapping")
    for logical_id, resource in document["Resources"].items():
        _check_resource(template, logical_id, resource)
    return template


def _check_resource(template: Template, logical_id: str, resource: Any) -> None:
    if str(logical_id).startswith("Fn::ForEach"):
        if any(name in json.dumps(resource) for name in ("CodeUri", "ContentUri")):
            raise TemplateError(
                f"{template.where(logical_id)}: lab does not package code inside Fn::ForEach",
                hint="write these functions out",
            )
        return
    if not isinstance(resource, dict):
        raise TemplateError(f"{template.where(logical_id)} must be a mapping", hint="give it Type and Properties")
    if not isinstance(resource.get("Type"), str):
        raise TemplateError(f"{template.where(logical_id)} has no Type", hint=f"for example `Type: {SAM_FUNCTION}`")
    for section in ("Properties", "Metadata"):
        entries = resource.get(section)
        if entries is not None and not isinstance(entries, dict):
            raise TemplateError(f"{template.where(logical_id)}: {section} must be a mapping")


def _inherit(shared: Any, own: Any) -> Any:
    """SAM's rule for Globals: mappings merge, lists add up, anything else of the resource's own wins."""
    if isinstance(shared, dict) and isinstance(own, dict) and not intrinsic(shared) and not intrinsic(own):
        return {
            key: _inherit(shared[key], own[key]) if key in shared and key in own else own.get(key, shared.get(key))
            for key in [*shared, *(key for key in own if key not in shared)]
        }
    if isinstance(shared, list) and isinstance(own, list):
        return [*shared, *own]
    return own


def _default_text(value: Any) -> str:
    return ",".join(as_text(item) for item in value) if isinstance(value, list) else as_text(value)


def _compare_as_text(value: Any) -> None:
    """Write the literals in Fn::Equals as text, for AWS compares text and LocalStack 4.8.1 types too."""
    if isinstance(value, dict):
        sides = value.get("Fn::Equals")
        if isinstance(sides, list):
            value["Fn::Equals"] = [as_text(side) if isinstance(side, (bool, int, float)) else side for side in sides]
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _compare_as_text(item)

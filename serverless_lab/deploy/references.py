"""Names that a template refers to and that nothing in it bears: CloudFormation refuses them, and emulators do not.

documented: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-ref.html; the
names of what SAM makes of a resource begin with that resource's
(https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources.html).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serverless_lab.deploy.intrinsics import Scope, references

_SAM = "AWS::Serverless-2016-10-31"
_IMPLICIT = ("ServerlessRestApi", "ServerlessHttpApi", "ServerlessDeploymentApplication", "CodeDeployServiceRole")
"""What SAM makes of a template's functions, under names of its own."""


@dataclass(frozen=True)
class Dangling:
    """A reference to nothing: in a resource, or in an output where `logical_id` is None."""

    name: str
    logical_id: str | None
    close: str | None


def dangling(document: Mapping[str, Any]) -> Iterator[Dangling]:
    """What of a template's references leads nowhere; nothing where a macro may make the names."""
    transforms = document.get("Transform") or []
    is_sam = _SAM in transforms
    if [name for name in ([transforms] if isinstance(transforms, str) else transforms) if name != _SAM]:
        return
    resources = document.get("Resources") or {}
    names = [*resources, *(document.get("Parameters") or {})]
    if any(name.startswith("Fn::") for name in resources) or "Fn::Transform" in str(document):
        return
    made = (*_IMPLICIT, *resources) if is_sam else ()
    everywhere = Scope(parameters={}, conditions=document.get("Conditions") or {})

    def unknown(value: Any, logical_id: str | None) -> Iterator[Dangling]:
        for name in sorted(references(value, everywhere)):
            if name not in names and not name.startswith(("AWS::", *made)):
                close = difflib.get_close_matches(name, names, n=1)
                yield Dangling(name, logical_id, close[0] if close else None)

    for logical_id, resource in resources.items():
        if isinstance(resource, dict):
            yield from unknown(resource.get("Properties"), logical_id)
    yield from unknown(document.get("Outputs"), None)

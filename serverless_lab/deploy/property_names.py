"""Properties that a resource's type does not have: CloudFormation refuses them, and emulators take them without a word.

The names come from the schemas of CloudFormation's resource providers as cfn-lint, AWS's own linter, has them
(https://github.com/aws-cloudformation/cfn-lint, MIT-0); `python -m tests.deploy.renew_property_names` writes them anew.
AWS adds properties every week, so an unknown one that resembles no other may be younger than the names here.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from serverless_lab.deploy.intrinsics import intrinsic

DATA = Path(__file__).with_name("property_names.json")
PROPERTIES = ""
"""The shape of a resource's `Properties`; other shapes have the names of the schema's definitions."""

ALIKE = 0.8
"""assumed: from this share of common letters on, a name is a misspelling of the other. Two new names of AWS, such as
`LoggingConfig` and `LoggingConfiguration`, stay below."""

IGNORED_BY_CFN_LINT = "E3002"
"""cfn-lint's rule about unknown properties, which a resource's Metadata may switch off."""


@dataclass(frozen=True)
class UnknownProperty:
    """A property of a resource that its type does not have. `path` leads to it from Properties: `A.B`.

    `close` is the name that it is a misspelling of; None where it resembles none.
    """

    logical_id: str
    type_name: str
    path: str
    close: str | None

    def note(self) -> str:
        return (
            f"`{self.logical_id}`: {self.type_name} had no property `{self.path}` on {names()['dated']}: "
            "it does nothing here, and AWS refuses what it does not know"
        )


def unknown_properties(resources: Mapping[str, Any]) -> Iterator[UnknownProperty]:
    """What the types of a template's resources do not have, of the types whose properties are known."""
    for logical_id, resource in resources.items():
        shapes = names()["types"].get(resource.get("Type")) if isinstance(resource, dict) else None
        if shapes is None or _is_left_alone(resource):
            continue
        for path, close in _unknown(resource.get("Properties"), PROPERTIES, shapes, ()):
            yield UnknownProperty(logical_id, resource["Type"], path, close)


@cache
def names() -> dict[str, Any]:
    """`source`, `dated`, and `types`: of each resource type its shapes, of each shape its properties' shapes."""
    found: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return found


def _is_left_alone(resource: Mapping[str, Any]) -> bool:
    return IGNORED_BY_CFN_LINT in json.dumps((resource.get("Metadata") or {}).get("cfn-lint"), default=str)


def _unknown(
    value: Any, shape: str, shapes: Mapping[str, Mapping[str, str]], path: tuple[str, ...]
) -> Iterator[tuple[str, str | None]]:
    function = intrinsic(value)
    if function == "Fn::If":
        branches = value[function]
        for branch in branches[1:] if isinstance(branches, list) else ():
            yield from _unknown(branch, shape, shapes, path)
    elif isinstance(value, list):
        for item in value if shape.startswith("[") else ():
            yield from _unknown(item, shape[1:-1], shapes, path)
    elif isinstance(value, dict) and function is None and shape in shapes:
        known = shapes[shape]
        for name, inner in value.items():
            if name in known:
                if known[name]:
                    yield from _unknown(inner, known[name], shapes, (*path, name))
            elif not str(name).startswith("Fn::"):
                close = difflib.get_close_matches(str(name), set(known) - set(value), n=1, cutoff=ALIKE)
                yield ".".join((*path, str(name))), close[0] if close else None

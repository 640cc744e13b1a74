"""Writes serverless_lab/deploy/property_names.json anew from the resource schemas that a cfn-lint wheel holds.

cfn-lint (https://github.com/aws-cloudformation/cfn-lint) is AWS's own linter, and its schemas are those of the resource
providers that CloudFormation itself asks. Only names are taken, of the types that the embedded emulator deploys.

    pip download --no-deps --dest /tmp/wheels cfn-lint
    python -m tests.deploy.renew_property_names /tmp/wheels/cfn_lint-*.whl
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serverless_lab.deploy.property_names import DATA, PROPERTIES
from tests.deploy.emulated_types import emulated_types

SCHEMAS = "cfnlint/data/schemas"
REGION = "us-east-1"
DEFINITION = "#/definitions/"
FREE_OBJECT = "{}"
"""What may have any name in it."""


def main(wheel: Path) -> None:
    version = re.fullmatch(r"cfn_lint-([^-]+)-.*", wheel.name)
    if version is None:
        raise SystemExit(f"{wheel} is no wheel of cfn-lint")
    with zipfile.ZipFile(wheel) as archive:

        def read(name: str) -> Any:
            return json.loads(archive.read(f"{SCHEMAS}/{name}"))

        dated = read("version.json")["schema_date"][:10]
        digests = read(f"providers/{REGION}.json")
        types = {kind: shapes_of(read(f"resources/{digests[kind]}.json")) for kind in emulated_types()}
    lines = [f"{json.dumps(kind)}: {json.dumps(shapes, separators=(',', ':'))}" for kind, shapes in types.items()]
    head = f'"source": "cfn-lint {version[1]}", "dated": "{dated}"'
    DATA.write_text(f'{{{head}, "types": {{\n' + ",\n".join(lines) + "\n}}\n")
    print(f"{len(lines)} resource types, schemas of {dated}")


def shapes_of(schema: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The shapes that a resource type's properties lead to, by name: for each of their properties its value's shape.

    That is "Name", "[Name]" for a list of them, or "" where anything may stand. What AWS alone sets is left out.
    """
    definitions = dict(schema.get("definitions", {}))
    hidden = {path.split("/")[2] for path in schema.get("readOnlyProperties", []) if path.count("/") == 2}
    properties = {name: value for name, value in schema["properties"].items() if name not in hidden}
    found: dict[str, dict[str, str]] = {}
    pending = [(PROPERTIES, properties)]
    while pending:
        name, properties = pending.pop()
        found[name] = {key: _shape_of_value(key, value, definitions) for key, value in sorted(properties.items())}
        wanted = {shape.strip("[]") for shape in found[name].values() if shape}
        known = {*found, *(name for name, _ in pending)}
        pending += [(shape, definitions[shape]["properties"]) for shape in sorted(wanted - known)]
    return dict(sorted(found.items()))


def _shape_of_value(key: str, value: dict[str, Any], definitions: dict[str, Any]) -> str:
    shapes = set(_shapes(key, value, definitions, ()))
    if all(shape == FREE_OBJECT or shape.startswith("[") for shape in shapes):
        shapes.discard(FREE_OBJECT)  # never mistaken for the list that may stand there, too
    return shapes.pop().replace(FREE_OBJECT, "") if len(shapes) == 1 else ""


def _shapes(key: str, value: dict[str, Any], definitions: dict[str, Any], seen: tuple[str, ...]) -> Iterator[str]:
    """Each shape that a value may have: FREE_OBJECT, a name, "[Name]", or "" for a list of something else."""
    reference = value.get("$ref", "").removeprefix(DEFINITION)
    if reference:
        if reference not in seen:
            yield from _shapes(reference, definitions[reference], definitions, (*seen, reference))
        return
    for alternative in (*value.get("oneOf", ()), *value.get("anyOf", ())):
        yield from _shapes(key, alternative, definitions, seen)
    if "items" in value:
        for inner in _shapes(f"{key}Item", value["items"], definitions, seen):
            yield f"[{inner}]" if inner.isalnum() else ""
    elif value.get("additionalProperties") is False and value.get("properties"):
        if value.get("patternProperties"):
            yield FREE_OBJECT
        else:
            while definitions.setdefault(key, value) != value:
                key += "Here"  # one without a name of its own has that of its place, or like it
            yield key
    elif "object" in value.get("type", ()):
        yield FREE_OBJECT


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The published schema of the report, and what is not in it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema

import serverless_lab.coldstarts.plain

SCHEMA = json.loads(Path(serverless_lab.coldstarts.plain.__file__).with_name("report.schema.json").read_text())


def problems(data: Any) -> list[str]:
    """What is wrong with `data`, and the keys of it that the schema does not describe."""
    errors = [f"{error.json_path}: {error.message}" for error in validator().iter_errors(data)]
    return errors + list(_undescribed(data, SCHEMA, "$"))


@functools.cache
def validator() -> jsonschema.Draft202012Validator:
    """Of the published schema, which is one."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


def _undescribed(value: Any, schema: dict[str, Any], path: str) -> Any:
    schema = _resolved(schema)
    if isinstance(value, list):
        for item in value:
            yield from _undescribed(item, schema.get("items", {}), f"{path}[]")
    if not isinstance(value, dict):
        return
    described = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    for key, inner in value.items():
        if key in described:
            if "description" not in described[key]:
                yield f"{path}.{key} has no description"
            yield from _undescribed(inner, described[key], f"{path}.{key}")
        elif others:
            yield from _undescribed(inner, others, f"{path}.*")
        else:
            yield f"{path}.{key} is not in the schema"


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "oneOf" in schema and "properties" not in schema:
        schema = schema["oneOf"][0]
    if "$ref" in schema:
        return SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema

"""The text of a template, YAML or JSON, as plain data: short tags in their long form, dates as text."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

from serverless_lab.errors import TemplateError


def parse(path: Path, text: str) -> tuple[Any, dict[str, int]]:
    """What `text`, the content of `path`, says as plain data, and the line of each resource.

    Raises:
        TemplateError: it is neither JSON nor YAML; with the line.
    """
    import yaml

    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except ValueError as error:
            raise TemplateError(f"{path}: {error}", hint="mend the JSON") from error
        return document, _json_lines(text, document)
    try:
        loader = _loader()(text)
        try:
            root = loader.get_single_node()
            document = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise TemplateError(f"{where}: {getattr(error, 'problem', None) or error}", hint="mend the YAML") from error
    lines = {}
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "Resources" and isinstance(value, yaml.MappingNode):
            lines = {name.value: name.start_mark.line + 1 for name, _ in value.value}
    return document, lines


def _json_lines(text: str, document: Any) -> dict[str, int]:
    """The line of each resource's key: the first one after `"Resources"`."""
    lines = {}
    start = text.find('"Resources"')
    names = document.get("Resources") if isinstance(document, dict) else None
    for name in names if isinstance(names, dict) else ():
        found = re.compile(re.escape(json.dumps(name)) + r"\s*:\s*\{").search(text, max(start, 0))
        if found:
            lines[name] = text.count("\n", 0, found.start()) + 1
    return lines


@functools.cache
def _loader() -> Any:
    """A YAML loader that knows the short tags, keeps dates as text and refuses a key given twice."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:merge":
                    continue
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` is given twice", key.start_mark)
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    # `AWSTemplateFormatVersion: 2010-09-09` is text to CloudFormation, and JSON has no dates.
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def short_tag(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            value = loader.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            value = loader.construct_mapping(node, deep=True)
        if suffix in ("Ref", "Condition"):
            return {suffix: value}
        if suffix == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {f"Fn::{suffix}": value}

    Loader.add_multi_constructor("!", short_tag)
    return Loader

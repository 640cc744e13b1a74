"""YAML files of the user's: read with the line of every value kept, and checked value by value.

What is wrong is told as `file:line: where: what`, with a way out. `scenario.py` and `compare/variants.py` say what
their files may hold; nothing here knows of either.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from serverless_lab.errors import ScenarioError

MAX_NODES = 100_000  # a YAML alias can unfold into any number of nodes
MAX_DEPTH = 40


@dataclass(frozen=True)
class Node:
    """A value and the line it stands on; None where it did not come from a file."""

    value: Any
    line: int | None = None
    key_lines: Mapping[str, int] = field(default_factory=dict)

    def plain(self) -> Any:
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def read_nodes(text: str, source: str, page: str = "docs/scenarios.md") -> Node:
    """The values in YAML `text`. Aliases are unfolded, within limits.

    Raises:
        ScenarioError: with `source:line:`, for what is not YAML; `page` is where its hint leads.
    """
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ScenarioError(
            f"{source}{line}: not YAML: {error.problem or error.context}",
            hint=f"check indentation and quotes near that line; {page} has examples",
        ) from error
    except yaml.YAMLError as error:
        raise ScenarioError(f"{source}: not YAML: {error}", hint="it has to be a YAML file in UTF-8") from error
    if root is None:
        raise ScenarioError(f"{source}: the file is empty", hint=f"{page} has examples")
    return _located(root, source)


def wrapped(value: Any) -> Node:
    """Plain data as nodes without lines."""
    if isinstance(value, dict):
        return Node({str(key): wrapped(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return Node([wrapped(item) for item in value])
    return Node(value)


def _located(root: Any, source: str) -> Node:
    """The composed YAML tree as Nodes. Aliases are unfolded, within limits."""
    import yaml
    from yaml.constructor import SafeConstructor

    constructor = SafeConstructor()
    seen = 0

    def convert(node: Any, depth: int) -> Node:
        nonlocal seen
        seen += 1
        line = node.start_mark.line + 1
        if seen > MAX_NODES or depth > MAX_DEPTH:
            raise ScenarioError(
                f"{source}:{line}: the file unfolds into too many values", hint="an alias (*name) may contain itself"
            )
        if isinstance(node, yaml.MappingNode):
            items: dict[str, Node] = {}
            lines: dict[str, int] = {}
            for key_node, value_node in node.value:
                key_line = key_node.start_mark.line + 1
                if not isinstance(key_node, yaml.ScalarNode):
                    raise ScenarioError(f"{source}:{key_line}: a key must be text", hint="quote it")
                key = str(key_node.value)
                if key in items:
                    raise ScenarioError(
                        f"{source}:{key_line}: `{key}` is given twice, first in line {lines[key]}", hint="remove one"
                    )
                items[key] = convert(value_node, depth + 1)
                lines[key] = key_line
            return Node(items, line, lines)
        if isinstance(node, yaml.SequenceNode):
            return Node([convert(child, depth + 1) for child in node.value], line)
        # A date in a body is meant as text: JSON has no dates.
        if node.tag in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:binary"):
            return Node(node.value, line)
        try:
            # 60:30 and the like are base-60 numbers in YAML 1.1, which nobody means here.
            if ":" in node.value and node.style is None:
                return Node(node.value, line)
            return Node(constructor.construct_object(node), line)
        except (yaml.YAMLError, ValueError) as error:
            raise ScenarioError(f"{source}:{line}: `{node.value}` cannot be read: {error}", hint="quote it") from error

    return convert(root, 0)


_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)\s*")
_UNIT_MS = {"ms": 1.0, "s": 1000.0, "m": 60_000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}


def duration_ms(text: str) -> float | None:
    """Milliseconds in a duration like `60s`, `500ms`, `1h30m`; None when it is not one."""
    position, total = 0, 0.0
    text = text.strip()
    while position < len(text):
        part = _DURATION_PART.match(text, position)
        if part is None:
            return None
        total += float(part[1]) * _UNIT_MS[part[2]]
        position = part.end()
    return total if text else None


class Checker:
    """What is common to all such files: each method returns a value of its kind, or ends with what is wrong.

    The first thing wrong ends it.
    """

    page = "docs/scenarios.md"

    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, line: int | None, where: str, problem: str, hint: str | None = None) -> NoReturn:
        place = f"{self.source}:{line}" if line else self.source
        raise ScenarioError(f"{place}: {where}: {problem}", hint=hint or f"{self.page} lists the keys")

    # Small pieces

    def mapping(self, node: Node, where: str, keys: Iterable[str]) -> dict[str, Node]:
        allowed = tuple(keys)
        if not isinstance(node.value, dict):
            self.fail(node.line, where, f"must be a mapping, not {shown(node.plain())}")
        for key in node.value:
            if key not in allowed:
                close = difflib.get_close_matches(key, allowed, n=1)
                hint = f"did you mean `{close[0]}`? " if close else ""
                self.fail(
                    node.key_lines.get(key, node.line),
                    where,
                    f"unknown key `{key}`",
                    hint + f"keys: {', '.join(allowed)}",
                )
        value: dict[str, Node] = node.value
        return value

    def items(self, node: Node, where: str) -> list[Node]:
        if not isinstance(node.value, list) or not node.value:
            self.fail(node.line, where, f"must be a list with at least one item, not {shown(node.plain())}")
        value: list[Node] = node.value
        return value

    def text(self, node: Node, where: str) -> str:
        if not isinstance(node.value, str) or not node.value.strip():
            self.fail(node.line, where, f"must be text, not {shown(node.plain())}")
        return str(node.value)

    def integer(self, node: Node, where: str, low: int, high: int) -> int:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fail(node.line, where, f"must be a whole number from {low} to {high:_}, not {shown(node.plain())}")
        return int(value)

    def number(self, node: Node, where: str, *, zero: bool) -> float:
        value = node.value
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not good or value < 0 or (value == 0 and not zero):
            least = "0 or more" if zero else "above 0"
            self.fail(node.line, where, f"must be a number {least}, not {shown(node.plain())}")
        return float(value)

    def duration(self, node: Node, where: str, *, zero: bool) -> float:
        value = node.value
        found = 0.0 if value == 0 and not isinstance(value, bool) else None
        if isinstance(value, str):
            found = duration_ms(value)
        if found is None:
            self.fail(
                node.line,
                where,
                f"must be a duration, not {shown(node.plain())}",
                "write 500ms, 60s, 5m, 62h or 1h30m",
            )
        if found == 0 and not zero:
            self.fail(node.line, where, "must be longer than 0", "write 500ms, 60s, 5m, 62h or 1h30m")
        return found


def shown(value: Any) -> str:
    """A value as a message says it: JSON, cut when it is long."""
    text = json.dumps(value, default=str)
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"

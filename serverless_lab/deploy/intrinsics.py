"""What an intrinsic function is worth before anything is deployed, as far as that can be known.

`evaluate` answers from the parameters' values, the conditions and the mappings; what only the target knows
(an ARN, a generated name) is UNKNOWN. `references` lists what a value depends on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Special(Enum):
    """UNKNOWN: only the target knows. NO_VALUE: `!Ref AWS::NoValue`, which removes its property."""

    UNKNOWN = "unknown"
    NO_VALUE = "no value"


UNKNOWN = Special.UNKNOWN
NO_VALUE = Special.NO_VALUE

VARIABLE = re.compile(r"\$\{(!?)\s*([^${}]+?)\s*\}")
LIST_TYPES = ("CommaDelimitedList", "List<")


@dataclass(frozen=True)
class Scope:
    """What a template's values may refer to. `parameters` holds every parameter's value as a string."""

    parameters: Mapping[str, str]
    parameter_types: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)
    pseudo: Mapping[str, str] = field(default_factory=dict)


def evaluate(value: Any, scope: Scope) -> Any:
    """`value` with every intrinsic replaced by what it is worth, or by UNKNOWN; NO_VALUE entries are left out."""
    if isinstance(value, list):
        return [item for item in (evaluate(item, scope) for item in value) if item is not NO_VALUE]
    if not isinstance(value, dict):
        return value
    function = intrinsic(value)
    if function is None:
        entries = {key: evaluate(item, scope) for key, item in value.items()}
        return {key: item for key, item in entries.items() if item is not NO_VALUE}
    argument = value[function]
    evaluator = EVALUATORS.get(function)
    return UNKNOWN if evaluator is None else evaluator(argument, scope)


def intrinsic(value: Any) -> str | None:
    """The name of the intrinsic function that `value` is a call of: `Ref`, `Fn::Sub`, `Condition`."""
    if isinstance(value, dict) and len(value) == 1:
        name = next(iter(value))
        if isinstance(name, str) and (name in ("Ref", "Condition") or name.startswith("Fn::")):
            return name
    return None


def references(value: Any, scope: Scope) -> set[str]:
    """Every name that `value` depends on, through conditions too: parameters, resources, pseudo parameters."""
    found: set[str] = set()
    pending = [value]
    followed: set[str] = set()
    while pending:
        for name, is_condition in _names(pending.pop()):
            if not is_condition:
                found.add(name)
            elif name not in followed:
                followed.add(name)
                pending.append(scope.conditions.get(name))
    return found


def _names(value: Any) -> Iterator[tuple[str, bool]]:
    """Names in `value`, each with whether it is a condition's."""
    if isinstance(value, list):
        for item in value:
            yield from _names(item)
        return
    if not isinstance(value, dict):
        return
    function = intrinsic(value)
    argument = value[function] if function else None
    if function == "Ref":
        yield str(argument), False
    elif function == "Condition":
        yield str(argument), True
    elif function == "Fn::GetAtt":
        yield (str(argument[0]) if isinstance(argument, list) and argument else str(argument).split(".")[0]), False
    elif function == "Fn::Sub":
        text = argument[0] if isinstance(argument, list) and argument else argument
        local = argument[1] if isinstance(argument, list) and len(argument) > 1 else {}
        for literal, name in VARIABLE.findall(str(text)):
            if not literal and name not in local:
                yield name.split(".")[0], False
        yield from _names(local)
    elif function == "Fn::If" and isinstance(argument, list) and argument:
        yield str(argument[0]), True
        yield from _names(argument[1:])
    else:
        for item in value.values():
            yield from _names(item)


def _ref(name: Any, scope: Scope) -> Any:
    if name == "AWS::NoValue":
        return NO_VALUE
    if name in scope.pseudo:
        return scope.pseudo[name]
    if name not in scope.parameters:
        return UNKNOWN
    kind = scope.parameter_types.get(name, "String")
    if kind.startswith("AWS::SSM::"):
        return UNKNOWN
    text = scope.parameters[name]
    return [item.strip() for item in text.split(",")] if kind.startswith(LIST_TYPES) else text


def _sub(argument: Any, scope: Scope) -> Any:
    text, local = (argument[0], argument[1]) if isinstance(argument, list) and len(argument) == 2 else (argument, {})
    if not isinstance(text, str):
        return UNKNOWN
    unknown = False

    def replacement(match: re.Match[str]) -> str:
        nonlocal unknown
        literal, name = match.groups()
        if literal:
            return "${" + name + "}"
        value = evaluate(local[name], scope) if name in local else _ref(name, scope)
        if not isinstance(value, (str, int, float)):
            unknown = True
            return ""
        return as_text(value)

    result = VARIABLE.sub(replacement, text)
    return UNKNOWN if unknown else result


def _if(argument: Any, scope: Scope) -> Any:
    if not isinstance(argument, list) or len(argument) != 3:
        return UNKNOWN
    holds = condition_holds(argument[0], scope)
    return UNKNOWN if holds is None else evaluate(argument[1] if holds else argument[2], scope)


def condition_holds(name: str, scope: Scope) -> bool | None:
    """Whether the template's condition `name` is true; None where only the target can tell."""
    result = _condition(name, scope)
    return result if isinstance(result, bool) else None


def _condition(name: Any, scope: Scope) -> Any:
    if name not in scope.conditions:
        return UNKNOWN
    # A condition that depends on itself is the target's to refuse; here it must only not recurse for ever.
    others = {key: value for key, value in scope.conditions.items() if key != name}
    inner = Scope(scope.parameters, scope.parameter_types, others, scope.mappings, scope.pseudo)
    return evaluate(scope.conditions[name], inner)


def _equals(argument: Any, scope: Scope) -> Any:
    sides = evaluate(argument, scope)
    if not isinstance(sides, list) or len(sides) != 2 or any(isinstance(side, Special) for side in sides):
        return UNKNOWN
    left, right = sides
    scalar = (str, int, float, bool)
    return as_text(left) == as_text(right) if isinstance(left, scalar) and isinstance(right, scalar) else left == right


def _not(argument: Any, scope: Scope) -> Any:
    values = evaluate(argument, scope)
    return not values[0] if isinstance(values, list) and values and isinstance(values[0], bool) else UNKNOWN


def _and(argument: Any, scope: Scope) -> Any:
    values = evaluate(argument, scope)
    if not isinstance(values, list) or False in values:
        return False if isinstance(values, list) else UNKNOWN
    return UNKNOWN if any(not isinstance(value, bool) for value in values) else True


def _or(argument: Any, scope: Scope) -> Any:
    values = evaluate(argument, scope)
    if not isinstance(values, list) or True in values:
        return True if isinstance(values, list) else UNKNOWN
    return UNKNOWN if any(not isinstance(value, bool) for value in values) else False


def _join(argument: Any, scope: Scope) -> Any:
    values = evaluate(argument, scope)
    if not isinstance(values, list) or len(values) != 2 or not isinstance(values[1], list):
        return UNKNOWN
    if any(isinstance(item, (Special, dict, list)) for item in values[1]):
        return UNKNOWN
    return str(values[0]).join(as_text(item) for item in values[1])


def _split(argument: Any, scope: Scope) -> Any:
    values = evaluate(argument, scope)
    if not isinstance(values, list) or len(values) != 2 or not all(isinstance(item, str) for item in values):
        return UNKNOWN
    return values[1].split(values[0]) if values[0] else UNKNOWN


def _select(argument: Any, scope: Scope) -> Any:
    values = evaluate(argument, scope)
    if not isinstance(values, list) or len(values) != 2 or not isinstance(values[1], list):
        return UNKNOWN
    try:
        return values[1][int(values[0])]
    except (ValueError, TypeError, IndexError):
        return UNKNOWN


def _find_in_map(argument: Any, scope: Scope) -> Any:
    keys = evaluate(argument, scope)
    if not isinstance(keys, list) or len(keys) != 3 or not all(isinstance(key, str) for key in keys):
        return UNKNOWN
    found: Any = scope.mappings
    for key in keys:
        found = found.get(key, UNKNOWN) if isinstance(found, Mapping) else UNKNOWN
    return found


def as_text(value: Any) -> str:
    """A scalar as CloudFormation writes it: booleans in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


EVALUATORS = {
    "Ref": _ref,
    "Condition": _condition,
    "Fn::Sub": _sub,
    "Fn::If": _if,
    "Fn::Equals": _equals,
    "Fn::Not": _not,
    "Fn::And": _and,
    "Fn::Or": _or,
    "Fn::Join": _join,
    "Fn::Split": _split,
    "Fn::Select": _select,
    "Fn::FindInMap": _find_in_map,
}

"""What a query is made of. Two expressions are equal when they say the same, wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Field:
    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | float


@dataclass(frozen=True, slots=True)
class Period:
    """`5m`, as an argument of bin, datefloor and dateceil."""

    ms: int


@dataclass(frozen=True, slots=True)
class Star:
    """The `*` of count(*)."""


@dataclass(frozen=True, slots=True)
class Negation:
    """`not x`."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Operation:
    """Two operands of `and`, `or`, a comparison or arithmetic."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Membership:
    """`x in [a, b]`."""

    operand: Expression
    options: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """`x like "text"`, with `text`; `x like /expression/` and `x =~ /expression/`, with `expression`."""

    operand: Expression
    text: str | None
    expression: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Call:
    """A function, by the name that functions.py or aggregates.py has it under."""

    function: str
    arguments: tuple[Expression, ...]


Expression: TypeAlias = Field | Literal | Period | Star | Negation | Operation | Membership | Match | Call


def rewritten(expression: Expression, replace: Callable[[Expression], Expression | None]) -> Expression:
    """`expression` with every part replaced that `replace` gives something for, from the outside inwards."""
    replacement = replace(expression)
    if replacement is not None:
        return replacement

    def inner(part: Expression) -> Expression:
        return rewritten(part, replace)

    if isinstance(expression, Call):
        return Call(expression.function, tuple(map(inner, expression.arguments)))
    if isinstance(expression, Operation):
        return Operation(expression.operator, inner(expression.left), inner(expression.right))
    if isinstance(expression, Membership):
        return Membership(inner(expression.operand), tuple(map(inner, expression.options)))
    if isinstance(expression, Negation):
        return Negation(inner(expression.operand))
    if isinstance(expression, Match):
        return Match(inner(expression.operand), expression.text, expression.expression)
    return expression


def parts(expression: Expression) -> tuple[Expression, ...]:
    """The expressions that an expression is made of."""
    if isinstance(expression, Call):
        return expression.arguments
    if isinstance(expression, Operation):
        return expression.left, expression.right
    if isinstance(expression, Membership):
        return expression.operand, *expression.options
    if isinstance(expression, (Negation, Match)):
        return (expression.operand,)
    return ()


@dataclass(frozen=True, slots=True)
class Column:
    """What a row shows: `name` is the alias, or the expression as it was written."""

    name: str
    value: Expression
    has_alias: bool


@dataclass(frozen=True, slots=True)
class Fields:
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Display:
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    condition: Expression


@dataclass(frozen=True, slots=True)
class Parse:
    """Each group of `pattern` becomes the field of the same place in `names`."""

    source: Expression
    pattern: re.Pattern[str]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stats:
    columns: tuple[Column, ...]
    by: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class SortKey:
    value: Expression
    descending: bool


@dataclass(frozen=True, slots=True)
class Sort:
    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Dedup:
    keys: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    count: int


Command: TypeAlias = Fields | Display | Filter | Parse | Stats | Sort | Dedup | Limit
Query: TypeAlias = tuple[Command, ...]

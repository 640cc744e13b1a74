"""Which names a query may use where: fields that it makes, and what is left after stats."""

from __future__ import annotations

from collections.abc import Iterator

from serverless_lab.emulator.insights import functions, syntax
from serverless_lab.emulator.insights.aggregates import AGGREGATES
from serverless_lab.emulator.insights.discovery import NOT_KEPT

_CONDITIONS = ("and", "or", "=", "!=", "<", ">", "<=", ">=")


class Names:
    """The names known at one place of a query. Any field may be named, as a log has any, until stats closes them."""

    def __init__(self) -> None:
        self._made: set[str] = set()
        self._columns: dict[syntax.Expression, syntax.Field] | None = None

    def define(self, name: str) -> bool:
        """Make a field known; False where it is already, which AWS refuses.

        measured: https://github.com/trade-tariff/trade-tariff-backend/pull/3558
        """
        if name in self._made:
            return False
        self._made.add(name)
        return True

    def close(self, columns: tuple[syntax.Column, ...]) -> None:
        """After stats only its columns are known, by their names or as they were written."""
        self._columns = {}
        for column in columns:
            field = syntax.Field(column.name)
            self._columns[field] = field
            self._columns.setdefault(column.value, field)
        self._made = {column.name for column in columns}

    def resolve(self, found: syntax.Expression, *, in_stats: bool) -> tuple[syntax.Expression, str | None]:
        """`found` with what stats has worked out taken from there, and what is wrong with it.

        An aggregate in a further stats is of the rows of the one before, also where that has a column of its form.
        """
        columns = self._columns
        if columns is None:
            return found, self._problem(found, in_stats)

        def known(part: syntax.Expression) -> syntax.Expression | None:
            if in_stats and isinstance(part, syntax.Call) and part.function in AGGREGATES:
                arguments = (syntax.rewritten(argument, columns.get) for argument in part.arguments)
                return syntax.Call(part.function, tuple(arguments))
            return columns.get(part)

        resolved = syntax.rewritten(found, known)
        return resolved, self._problem(resolved, in_stats)

    def _problem(self, found: syntax.Expression, in_stats: bool) -> str | None:
        if isinstance(found, syntax.Field):
            return self._problem_of_field(found.name)
        if isinstance(found, syntax.Call):
            if found.function in AGGREGATES:
                if not in_stats:
                    return f"the aggregate function {found.function} may only be used in stats"
                in_stats = False  # not in another aggregate
            elif found.function == functions.BIN and self._problem_of_field("@timestamp"):
                return "bin() needs @timestamp, which the stats before does not have: use datefloor()"
        problems = (self._problem(part, in_stats) for part in syntax.parts(found))
        return next((problem for problem in problems if problem is not None), None)

    def _problem_of_field(self, name: str) -> str | None:
        if name in self._made:
            return None
        if self._columns is not None and syntax.Field(name) not in self._columns:
            return f"the field {name} is not defined by the stats before"
        if name.startswith(NOT_KEPT):
            return f"the field {name} is not kept by the emulator"
        return None


def is_condition(found: syntax.Expression) -> bool:
    """Whether it says true or false."""
    if isinstance(found, syntax.Operation):
        if found.operator in ("and", "or"):
            return is_condition(found.left) and is_condition(found.right)
        return found.operator in _CONDITIONS
    if isinstance(found, syntax.Negation):
        return is_condition(found.operand)
    if isinstance(found, syntax.Call):
        function = functions.FUNCTIONS.get(found.function)
        return function is not None and function.answers_truth
    return isinstance(found, (syntax.Membership, syntax.Match))


def leaves_outside_aggregates(found: syntax.Expression) -> Iterator[syntax.Field]:
    """The fields of a column of stats that are not inside an aggregate."""
    if isinstance(found, syntax.Field):
        yield found
    elif not (isinstance(found, syntax.Call) and found.function in AGGREGATES):
        for part in syntax.parts(found):
            yield from leaves_outside_aggregates(part)


def aggregate_calls(found: syntax.Expression) -> list[syntax.Call]:
    """The calls of aggregates in an expression, from left to right."""
    if isinstance(found, syntax.Call) and found.function in AGGREGATES:
        return [found]
    return [call for part in syntax.parts(found) for call in aggregate_calls(part)]

"""A query's answer over log events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from serverless_lab import quotas
from serverless_lab.emulator.insights import functions, syntax
from serverless_lab.emulator.insights.aggregates import AGGREGATES, Sample
from serverless_lab.emulator.insights.discovery import LogEvent, Record
from serverless_lab.emulator.insights.names import aggregate_calls
from serverless_lab.emulator.insights.periods import floor_to
from serverless_lab.emulator.insights.values import (
    Instant,
    Value,
    finite,
    less,
    number,
    same,
    sort_key,
    text_of,
    truth,
)


class Row(Protocol):
    def get(self, name: str, /) -> Value: ...


Read: TypeAlias = Callable[[Row], Value]


@dataclass(frozen=True)
class Scope:
    """What a query covers and when it was begun, in ms since the epoch."""

    start_ms: int
    end_ms: int
    now_ms: int


@dataclass(frozen=True)
class Answer:
    """`rows` are (field, value) pairs; a field that an event does not have is left out of its row."""

    rows: tuple[tuple[tuple[str, str], ...], ...]
    records_matched: int
    records_scanned: int
    bytes_scanned: int


class Stopped(Exception):
    """`run` was told to stop."""


DEFAULT_COLUMNS = ("@timestamp", "@message")
"""assumed: what a query shows that names no fields; the console's table has these two."""

STOP_EVERY = 1_000


def run(
    query: syntax.Query,
    events: Iterable[LogEvent],
    scope: Scope,
    limit: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Answer:
    """The answer of `query` over `events`, which are those of its time range in the order they were taken in.

    Raises:
        Stopped: `stopped` said so.
    """
    scanned = sorted(events, key=lambda event: -event.timestamp_ms)
    rows: list[Row] = [Record(event) for event in scanned]
    matched: int | None = None
    for command in query:
        if stopped():
            raise Stopped
        if isinstance(command, syntax.Stats):
            matched = len(rows) if matched is None else matched
            rows = _stats(command, rows, scope, stopped)
        elif isinstance(command, syntax.Dedup):
            matched = len(rows) if matched is None else matched
            rows = _dedup(command, rows, scope)
        elif isinstance(command, syntax.Limit):
            matched = len(rows) if matched is None else matched
            rows = rows[: command.count]
        elif isinstance(command, syntax.Sort):
            for key in reversed(command.keys):
                read = _compile(key.value, scope)
                rows.sort(key=lambda row, read=read: sort_key(read(row)), reverse=key.descending)  # type: ignore[misc]
        else:
            rows = _row_by_row(command, rows, scope, stopped)
    matched = len(rows) if matched is None else matched
    if limit is None:
        said = any(isinstance(command, syntax.Limit) for command in query)
        limit = len(rows) if said else quotas.INSIGHTS_LIMIT_DEFAULT
    reads = [(column.name, _compile(column.value, scope)) for column in shown(query)]
    return Answer(
        rows=tuple(_printed(reads, row) for row in rows[:limit]),
        records_matched=matched,
        records_scanned=len(scanned),
        bytes_scanned=sum(len(event.message.encode("utf-8", "surrogatepass")) for event in scanned),
    )


def shown(query: syntax.Query) -> tuple[syntax.Column, ...]:
    """The columns of the answer, @ptr among them where its rows are events."""
    displays = [command for command in query if isinstance(command, syntax.Display)]
    last_stats = max((at for at, command in enumerate(query) if isinstance(command, syntax.Stats)), default=-1)
    columns: list[syntax.Column] = []
    if displays:
        columns += displays[-1].columns
    else:
        if last_stats >= 0:
            stats = query[last_stats]
            assert isinstance(stats, syntax.Stats)
            columns += [_made(column) for column in (*stats.by, *stats.columns)]
        for command in query[last_stats + 1 :]:
            if isinstance(command, syntax.Fields):
                columns += [_made(column) for column in command.columns]
            elif isinstance(command, syntax.Parse):
                columns += [_field(name) for name in command.names]
        if not any(isinstance(command, (syntax.Fields, syntax.Stats)) for command in query):
            columns = [*map(_field, DEFAULT_COLUMNS), *columns]
    if last_stats < 0:
        columns.append(_field("@ptr"))
    return tuple({column.name: column for column in columns}.values())


def _field(name: str) -> syntax.Column:
    return syntax.Column(name, syntax.Field(name), has_alias=False)


def _made(column: syntax.Column) -> syntax.Column:
    """A column whose value its command has already worked out, under its name."""
    return _field(column.name)


def _printed(reads: list[tuple[str, Read]], row: Row) -> tuple[tuple[str, str], ...]:
    values = ((name, read(row)) for name, read in reads)
    return tuple((name, text_of(value)) for name, value in values if value is not None)


def _row_by_row(
    command: syntax.Fields | syntax.Display | syntax.Filter | syntax.Parse,
    rows: list[Row],
    scope: Scope,
    stopped: Callable[[], bool],
) -> list[Row]:
    if isinstance(command, syntax.Display):
        return rows
    if isinstance(command, syntax.Filter):
        condition = _compile(command.condition, scope)
        return [row for row in _watched(rows, stopped) if truth(condition(row))]
    if isinstance(command, syntax.Parse):
        source = _compile(command.source, scope)
        for row in _watched(rows, stopped):
            value = source(row)
            found = None if value is None else command.pattern.search(text_of(value))
            made = [None] * len(command.names) if found is None else found.groups()
            _keep(row, dict(zip(command.names, made, strict=True)))
        return rows
    reads = [
        (column.name, _compile(column.value, scope))
        for column in command.columns
        if column.has_alias or not isinstance(column.value, syntax.Field)
    ]
    for row in _watched(rows, stopped) if reads else ():
        for name, read in reads:  # one after the other: a later column may use an earlier one
            _keep(row, {name: read(row)})
    return rows


def _watched(rows: list[Row], stopped: Callable[[], bool]) -> Iterable[Row]:
    for at, row in enumerate(rows):
        if at % STOP_EVERY == 0 and stopped():
            raise Stopped
        yield row


def _keep(row: Row, made: Mapping[str, Value]) -> None:
    if isinstance(row, Record):
        row.made.update(made)
    else:
        assert isinstance(row, dict)
        row.update(made)


def _dedup(command: syntax.Dedup, rows: list[Row], scope: Scope) -> list[Row]:
    """The first row of each combination of values; one where a value is absent is no duplicate of any."""
    reads = [_compile(key, scope) for key in command.keys]
    seen: set[tuple[str, ...]] = set()
    kept = []
    for row in rows:
        values = [read(row) for read in reads]
        present = [text_of(value) for value in values if value is not None]
        if len(present) == len(values):
            if tuple(present) in seen:
                continue
            seen.add(tuple(present))
        kept.append(row)
    return kept


# stats -----------------------------------------------------------------------------------------------------------


def _stats(command: syntax.Stats, rows: list[Row], scope: Scope, stopped: Callable[[], bool]) -> list[Row]:
    """One row for each combination of the values of `by`, in the order of their first events."""
    by = [(column.name, _compile(column.value, scope)) for column in command.by]
    calls = list(dict.fromkeys(call for column in command.columns for call in aggregate_calls(column.value)))
    reads = [_compile(call.arguments[0], scope) if _is_counted(call) else None for call in calls]
    groups: dict[tuple[str | None, ...], tuple[list[Value], list[list[Sample]]]] = {}
    for row in _watched(rows, stopped):
        values = [read(row) for _, read in by]
        key = tuple(None if value is None else text_of(value) for value in values)
        group = groups.setdefault(key, (values, [[] for _ in calls]))
        at_ms = number(row.get("@timestamp")) or 0.0
        for read, samples in zip(reads, group[1], strict=True):
            value: Value = 1 if read is None else read(row)
            if value is not None:
                samples.append((at_ms, value))
    slots: dict[syntax.Expression, syntax.Expression] = {call: syntax.Field(_slot(at)) for at, call in enumerate(calls)}
    results = [(column.name, _compile(syntax.rewritten(column.value, slots.get), scope)) for column in command.columns]
    made: list[Row] = []
    for values, collected in groups.values():
        row_made: dict[str, Value] = {name: value for (name, _), value in zip(by, values, strict=True)}
        for at, (call, samples) in enumerate(zip(calls, collected, strict=True)):
            constants = [number(_constant(argument)) for argument in call.arguments[1:]]
            row_made[_slot(at)] = AGGREGATES[call.function].work(samples, *constants)
        for name, read_slots in results:
            row_made[name] = read_slots(row_made)
        made.append(row_made)
    return made


def _slot(at: int) -> str:
    return f"\0{at}"  # no query can name it


def _is_counted(call: syntax.Call) -> bool:
    """Whether it is of a field's values, not of the events themselves as count(*) is."""
    return bool(call.arguments) and not isinstance(call.arguments[0], syntax.Star)


def _constant(expression: syntax.Expression) -> Value:
    assert isinstance(expression, syntax.Literal)
    return expression.value


# Expressions -----------------------------------------------------------------------------------------------------


def _compile(expression: syntax.Expression, scope: Scope) -> Read:
    """A function from a row to the expression's value."""
    if isinstance(expression, syntax.Field):
        name = expression.name
        return lambda row: row.get(name)
    if isinstance(expression, syntax.Literal):
        value = expression.value
        return lambda row: value
    if isinstance(expression, syntax.Period):
        ms = expression.ms
        return lambda row: ms
    if isinstance(expression, syntax.Negation):
        operand = _compile(expression.operand, scope)
        return lambda row: int(not truth(operand(row)))
    if isinstance(expression, syntax.Membership):
        operand = _compile(expression.operand, scope)
        options = [_compile(option, scope) for option in expression.options]
        return lambda row: int(any(same(operand(row), option(row)) for option in options))
    if isinstance(expression, syntax.Match):
        return _match(expression, scope)
    if isinstance(expression, syntax.Operation):
        return _operation(expression, scope)
    assert isinstance(expression, syntax.Call), expression
    return _call(expression, scope)


def _match(expression: syntax.Match, scope: Scope) -> Read:
    operand, text, pattern = _compile(expression.operand, scope), expression.text, expression.expression

    def match(row: Row) -> Value:
        value = operand(row)
        if value is None:
            return 0
        if pattern is not None:
            return int(pattern.search(text_of(value)) is not None)
        return int(text is not None and text in text_of(value))

    return match


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": lambda a, b: a**b,
    "%": lambda a, b: a - b * int(a / b),
}


def _operation(expression: syntax.Operation, scope: Scope) -> Read:
    left, right = _compile(expression.left, scope), _compile(expression.right, scope)
    operator = expression.operator
    if operator == "and":
        return lambda row: int(truth(left(row)) and truth(right(row)))
    if operator == "or":
        return lambda row: int(truth(left(row)) or truth(right(row)))
    if operator == "=":
        return lambda row: int(same(left(row), right(row)))
    if operator == "!=":
        # assumed, as for `not like` and `not in`: what is absent is unlike any value. AWS does not say.
        return lambda row: int(not same(left(row), right(row)))
    if operator in _COMPARISONS:
        return _COMPARISONS[operator](left, right)
    compute = _ARITHMETIC[operator]

    def arithmetic(row: Row) -> Value:
        a, b = number(left(row)), number(right(row))
        if a is None or b is None:
            return None
        try:
            return finite(compute(a, b))
        except (ZeroDivisionError, OverflowError):
            return None

    return arithmetic


_COMPARISONS: dict[str, Callable[[Read, Read], Read]] = {
    "<": lambda left, right: lambda row: int(less(left(row), right(row)) is True),
    ">": lambda left, right: lambda row: int(less(right(row), left(row)) is True),
    "<=": lambda left, right: lambda row: int(less(right(row), left(row)) is False),
    ">=": lambda left, right: lambda row: int(less(left(row), right(row)) is False),
}


def _call(expression: syntax.Call, scope: Scope) -> Read:
    arguments = [_compile(argument, scope) for argument in expression.arguments]
    if expression.function == functions.BIN:
        (period,) = expression.arguments
        assert isinstance(period, syntax.Period)
        ms = period.ms

        def begin(row: Row) -> Value:
            at_ms = number(row.get("@timestamp"))
            return None if at_ms is None else Instant(floor_to(at_ms, ms))

        return begin
    if expression.function in functions.OF_THE_QUERY:
        constant = _of_the_query(expression.function, scope)
        return lambda row: constant
    function = functions.FUNCTIONS[expression.function]
    work, sees_absent = function.work, function.sees_absent

    def call(row: Row) -> Value:
        values = [argument(row) for argument in arguments]
        if not sees_absent and None in values:
            return None
        return work(*values)

    return call


def _of_the_query(function: str, scope: Scope) -> int:
    return {
        "now": scope.now_ms // 1000,
        "querystarttime": scope.start_ms,
        "queryendtime": scope.end_ms,
        "querytimerange": scope.end_ms - scope.start_ms,
    }[function]

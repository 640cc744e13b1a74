"""Functions of one event's values.

documented: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-operations-functions.html
A function of something absent is absent, but for those that ask for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from serverless_lab.emulator.insights.periods import ceil_to, floor_to
from serverless_lab.emulator.insights.values import Instant, Value, finite, number, text_of, truth

Work: TypeAlias = Callable[..., Value]


@dataclass(frozen=True, slots=True)
class Function:
    """`work` gets the arguments' values; with `sees_absent` also those that are absent.

    `last` is None where there is no end to how many it takes. `periods` are the places of arguments like `5m`.
    """

    name: str
    work: Work
    first: int
    last: int | None
    sees_absent: bool = False
    periods: tuple[int, ...] = ()
    answers_truth: bool = False


def _numeric(work: Callable[..., float]) -> Work:
    def of_numbers(*arguments: Value) -> Value:
        numbers = [number(argument) for argument in arguments]
        if None in numbers:
            return None
        try:
            return finite(work(*numbers))
        except (ValueError, OverflowError, ZeroDivisionError):
            return None

    return of_numbers


def _textual(work: Callable[..., Value]) -> Work:
    return lambda *arguments: work(*map(text_of, arguments))


def _extreme(choose: Callable[[list[float]], float]) -> Work:
    """Of those arguments that are numbers: `greatest(@initDuration, 0)` of a warm invocation is 0.

    measured: https://github.com/aws-samples/serverless-dotnet-demo has a query for cold and warm invocations that
    depends on it.
    """

    def of_present(*arguments: Value) -> Value:
        numbers = [found for found in map(number, arguments) if found is not None]
        return choose(numbers) if numbers else None

    return of_present


def _rounded(value: float, decimals: float = 0) -> float:
    scale = 10.0 ** int(decimals)
    return math.floor(value * scale + 0.5) / scale


def _integer(bits: int) -> Work:
    def convert(value: Value) -> Value:
        found = number(value)
        if found is None or not -(2 ** (bits - 1)) <= found < 2 ** (bits - 1):
            return None
        return int(found)

    return convert


def _substring(text: Value, start: Value, length: Value = None) -> Value:
    begin, count = number(start), number(length)
    if begin is None or begin < 0 or (count is not None and count < 0):
        return None
    whole = text_of(text)
    return whole[int(begin) :] if count is None else whole[int(begin) : int(begin) + int(count)]


def _coalesce(*arguments: Value) -> Value:
    return next((argument for argument in arguments if argument is not None), None)


def _case(*arguments: Value) -> Value:
    for at in range(0, len(arguments) - 1, 2):
        if truth(arguments[at]):
            return arguments[at + 1]
    return arguments[-1] if len(arguments) % 2 else None


def _instant(value: Value) -> Value:
    found = number(value)
    return None if found is None else Instant(int(found))


def _milliseconds(value: Value) -> Value:
    return int(value) if isinstance(value, Instant) else number(value)


def _to_period(choose: Callable[[float, int], int]) -> Work:
    def cut(value: Value, period: int) -> Value:
        found = number(value)
        return None if found is None else Instant(choose(found, period))

    return cut


_FUNCTIONS = (
    Function("abs", _numeric(abs), 1, 1),
    Function("ceil", _numeric(math.ceil), 1, 1),
    Function("floor", _numeric(math.floor), 1, 1),
    Function("greatest", _extreme(max), 1, None, sees_absent=True),
    Function("least", _extreme(min), 1, None, sees_absent=True),
    Function("log", _numeric(math.log), 1, 1),
    Function("round", _numeric(_rounded), 1, 2),
    Function("sqrt", _numeric(math.sqrt), 1, 1),
    Function("tonumber", number, 1, 1),
    Function("todouble", number, 1, 1),
    Function("toint", _integer(32), 1, 1),
    Function("tolong", _integer(64), 1, 1),
    Function("isnumeric", lambda v: int(number(v) is not None), 1, 1, sees_absent=True, answers_truth=True),
    Function("ispresent", lambda v: int(v is not None), 1, 1, sees_absent=True, answers_truth=True),
    Function("coalesce", _coalesce, 1, None, sees_absent=True),
    Function("case", _case, 2, 21, sees_absent=True),
    Function("if", lambda c, yes, no: yes if truth(c) else no, 3, 3, sees_absent=True),
    Function("messagesize", _textual(lambda text: len(text.encode("utf-8", "surrogatepass"))), 1, 1),
    Function("isempty", lambda v: int(v is None or text_of(v) == ""), 1, 1, sees_absent=True, answers_truth=True),
    Function("isblank", lambda v: int(v is None or not text_of(v).strip()), 1, 1, sees_absent=True, answers_truth=True),
    Function("concat", _textual(lambda *texts: "".join(texts)), 1, None),
    Function("ltrim", _textual(str.lstrip), 1, 2),
    Function("rtrim", _textual(str.rstrip), 1, 2),
    Function("trim", _textual(str.strip), 1, 2),
    Function("strlen", _textual(len), 1, 1),
    Function("toupper", _textual(str.upper), 1, 1),
    Function("tolower", _textual(str.lower), 1, 1),
    Function("substr", _substring, 2, 3),
    Function("replace", _textual(lambda text, old, new: text.replace(old, new)), 3, 3),
    # A third argument, to ignore case, is on AWS's page and was measured to have no effect: it is refused.
    Function("strcontains", _textual(lambda text, searched: int(searched in text)), 2, 2, answers_truth=True),
    Function("startswith", _textual(lambda text, start: int(text.startswith(start))), 2, 2, answers_truth=True),
    Function("endswith", _textual(lambda text, end: int(text.endswith(end))), 2, 2, answers_truth=True),
    Function("frommillis", _instant, 1, 1),
    Function("tomillis", _milliseconds, 1, 1),
    Function("datefloor", _to_period(floor_to), 2, 2, periods=(1,)),
    Function("dateceil", _to_period(ceil_to), 2, 2, periods=(1,)),
)

# The page of the API's own examples writes `date_floor`.
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeQueries.html
FUNCTIONS = {function.name: function for function in _FUNCTIONS}
FUNCTIONS["date_floor"], FUNCTIONS["date_ceil"] = FUNCTIONS["datefloor"], FUNCTIONS["dateceil"]

OF_THE_QUERY = ("now", "querystarttime", "queryendtime", "querytimerange")
"""Functions without arguments, which say when the query runs and what it covers."""

BIN = "bin"

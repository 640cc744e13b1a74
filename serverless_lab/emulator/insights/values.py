"""Values of fields and expressions: text, numbers, instants, and None for what is absent.

A number that stands in a log keeps the form it has there; one that was computed is printed with at most 4 decimals
(measured: https://github.com/rails-lambda/lamby_benchmark prints a query's percentiles). Truth is 1 and untruth 0.
"""

from __future__ import annotations

import datetime
import math
import re
from decimal import Decimal
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float | None

DECIMALS = 4


class Figure(float):
    """A number as the log has it. Arithmetic with it gives an ordinary number."""

    text: str

    def __new__(cls, text: str) -> Figure:
        made = super().__new__(cls, float(text))
        made.text = text
        return made

    @classmethod
    def of_double(cls, number: float) -> Figure:
        """As Insights prints the numbers that it finds in Lambda's lines: `15.0`, `1.28E8`.

        measured: rows of a real query in https://github.com/oslabs-beta/Embr (primary-app/src/app/retrievedData.js),
        which are Java's forms of a double.
        """
        return cls(_as_java_prints(number))


class Instant(int):
    """Milliseconds since the epoch, printed as a date."""


def number(value: Value) -> float | None:
    """`value` as a number: itself, or a text that is nothing but one."""
    if value is None or isinstance(value, (int, float)):
        return value
    text = value.strip()
    if not _NUMBER.fullmatch(text):
        return None
    return float(text)


_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,3})?")


def finite(result: Any) -> Value:
    """A computed number, or None where there is none: 1 / 0 is absent."""
    if isinstance(result, complex) or not math.isfinite(result):
        return None
    return float(result)


def text_of(value: Value) -> str:
    """How a row prints a value that is there."""
    if isinstance(value, str):
        return value
    if isinstance(value, Figure):
        return value.text
    if isinstance(value, Instant):
        return instant_text(value)
    assert value is not None
    rounded = round(float(value), DECIMALS)
    if rounded == int(rounded):
        return str(int(rounded))
    return format(Decimal(repr(rounded)), "f")


def instant_text(instant_ms: int) -> str:
    """`2023-12-05 22:14:43.877`, in UTC."""
    seconds, ms = divmod(instant_ms, 1000)
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ms:03d}"


def same(left: Value, right: Value) -> bool:
    """Whether both are there and equal: as numbers where both are numbers, else as text."""
    if left is None or right is None:
        return False
    numbers = number(left), number(right)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] == numbers[1]
    return text_of(left) == text_of(right)


def less(left: Value, right: Value) -> bool | None:
    """Whether left is below right: as numbers where both are numbers, as text where neither is. None: neither way."""
    if left is None or right is None:
        return None
    numbers = number(left), number(right)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] < numbers[1]
    if numbers[0] is not None or numbers[1] is not None:
        return None
    return text_of(left) < text_of(right)


def truth(value: Value) -> bool:
    return number(value) not in (None, 0)


_CHUNK = re.compile(r"([0-9]+)|([A-Za-z]+)|([^0-9A-Za-z])", re.DOTALL)


def sort_key(value: Value) -> tuple[Any, ...]:
    """The natural order of https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Sort.html.

    What is no number comes before numbers. Text goes by its runs of digits and of letters: digits by how many they are
    and then by their value, the rest by its characters; a run of digits against other characters by characters.
    Absent values come first (assumed: the page does not say).
    """
    if value is None:
        return (0,)
    as_number = number(value)
    if as_number is not None:
        return (2, as_number, value if isinstance(value, str) else "")
    return (1, tuple(_Chunk(*found.groups()) for found in _CHUNK.finditer(text_of(value))))


class _Chunk:
    """A run of a text's characters, ordered against other runs."""

    __slots__ = ("digits", "text")

    def __init__(self, digits: str | None, letters: str | None, other: str | None) -> None:
        self.digits = digits is not None
        self.text = digits or letters or other or ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Chunk) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __lt__(self, other: _Chunk) -> bool:
        if self.digits and other.digits:
            return (len(self.text), self.text) < (len(other.text), other.text)
        return self.text < other.text


def _as_java_prints(value: float) -> str:
    """`15.0`, `1.28E8`, `5.0E-4`: the shortest digits that are this double, as Java's Double.toString lays them out."""
    if value == 0:
        return "0.0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    figures = "".join(map(str, digits))
    point = len(figures) + exponent  # digits before the point
    minus = "-" if sign else ""
    if -3 < point <= 7:
        whole = figures[:point].ljust(point, "0") if point > 0 else "0"
        fraction = (figures[point:] if point > 0 else "0" * -point + figures) or "0"
        return f"{minus}{whole}.{fraction}"
    return f"{minus}{figures[0]}.{figures[1:] or '0'}E{point - 1}"

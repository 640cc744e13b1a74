"""A query's text as tokens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class MalformedQuery(Exception):
    """The query cannot be answered. `start` and `end` are the characters it is about."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end


class Kind(Enum):
    NAME = "name"
    QUOTED_NAME = "name in backticks"
    NUMBER = "number"
    PERIOD = "period"
    TEXT = "string"
    REGEX = "regular expression"
    SYMBOL = "symbol"
    END = "end of the query"


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is what was meant: a name without backticks, a string without quotes and with its escapes resolved."""

    kind: Kind
    text: str
    start: int
    end: int

    def word(self) -> str:
        """The keyword this may be, in lower case; "" where it can be none."""
        return self.text.lower() if self.kind is Kind.NAME else ""

    def is_symbol(self, text: str) -> bool:
        return self.kind is Kind.SYMBOL and self.text == text


_SYMBOLS = ("!=", "<=", ">=", "=~", "|", ",", "(", ")", "[", "]", "=", "<", ">", "+", "-", "*", "/", "^", "%", ".")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}


def where(query: str, at: int) -> str:
    """`line 2 and position 7`, both counted from 1."""
    before = query[:at]
    return f"line {before.count(chr(10)) + 1} and position {at - (before.rfind(chr(10)) + 1) + 1}"


def tokens(query: str) -> list[Token]:
    """Every token of `query`, and one for its end. Comments (from # to the end of the line) are left out.

    Raises:
        MalformedQuery: a character that begins no token, or a string, name or expression without its end.
    """
    found: list[Token] = []
    at = 0
    while at < len(query):
        character = query[at]
        if character.isspace():
            at += 1
            continue
        if character == "#":
            newline = query.find("\n", at)
            at = len(query) if newline < 0 else newline
            continue
        token = _one(query, at, found)
        found.append(token)
        at = token.end
    found.append(Token(Kind.END, "", len(query), len(query)))
    return found


def _one(query: str, at: int, before: list[Token]) -> Token:
    character = query[at]
    if character.isdigit() or (character == "." and query[at + 1 : at + 2].isdigit()):
        return _number(query, at)
    if character in "\"'":
        return _text(query, at)
    if character == "/" and _regex_may_stand(before):
        return _regex(query, at)
    if _begins_name(character):
        return _name(query, at)
    for symbol in _SYMBOLS:
        if query.startswith(symbol, at):
            return Token(Kind.SYMBOL, symbol, at, at + len(symbol))
    raise MalformedQuery(f"unexpected symbol found {character} at {where(query, at)}", at, at + 1)


def _regex_may_stand(before: list[Token]) -> bool:
    """After `like`, `=~`, `parse` and `parse field`; anywhere else a slash divides."""
    if not before:
        return False
    if before[-1].word() in ("like", "parse") or before[-1].is_symbol("=~"):
        return True
    begins_command = len(before) == 2 or (len(before) > 2 and before[-3].is_symbol("|"))
    return len(before) >= 2 and begins_command and before[-2].word() == "parse"


def _begins_name(character: str) -> bool:
    return character.isalpha() or character in "_@`$"


def _name(query: str, at: int) -> Token:
    """Letters, digits, `_`, `@` and `.`; anything else between backticks, for the whole or for a part of it."""
    text, end, quoted = "", at, False
    while end < len(query):
        character = query[end]
        if character == "`":
            close = query.find("`", end + 1)
            if close < 0:
                raise MalformedQuery(f"the backtick at {where(query, end)} has no end", end, len(query))
            text, end, quoted = text + query[end + 1 : close], close + 1, True
        elif character.isalnum() or character in "_@.$":
            text, end = text + character, end + 1
        else:
            break
    return Token(Kind.QUOTED_NAME if quoted else Kind.NAME, text, at, end)


def _number(query: str, at: int) -> Token:
    end = at
    while end < len(query) and (query[end].isdigit() or query[end] == "."):
        end += 1
    digits = query[at:end]
    if digits.count(".") > 1:
        raise MalformedQuery(f"unexpected symbol found {digits} at {where(query, at)}", at, end)
    unit_end = end
    while unit_end < len(query) and (query[unit_end].isalnum() or query[unit_end] == "_"):
        unit_end += 1
    unit = query[end:unit_end]
    if not unit:
        return Token(Kind.NUMBER, digits, at, end)
    if unit[0] in "eE" and unit[1:].isdigit():
        return Token(Kind.NUMBER, digits + unit, at, unit_end)
    if unit.isalpha():
        return Token(Kind.PERIOD, digits + unit, at, unit_end)
    raise MalformedQuery(f"unexpected symbol found {query[at:unit_end]} at {where(query, at)}", at, unit_end)


def _text(query: str, at: int) -> Token:
    quote, end = query[at], at + 1
    parts: list[str] = []
    while end < len(query):
        character = query[end]
        if character == quote:
            return Token(Kind.TEXT, "".join(parts), at, end + 1)
        if character == "\\" and end + 1 < len(query):
            following = query[end + 1]
            parts.append(_ESCAPES.get(following, character + following))
            end += 2
            continue
        parts.append(character)
        end += 1
    raise MalformedQuery(f"the string at {where(query, at)} has no end", at, len(query))


def _regex(query: str, at: int) -> Token:
    end = at + 1
    parts: list[str] = []
    while end < len(query):
        character = query[end]
        if character == "/":
            return Token(Kind.REGEX, "".join(parts), at, end + 1)
        if character == "\\" and end + 1 < len(query):
            parts.append("/" if query[end + 1] == "/" else query[end : end + 2])
            end += 2
            continue
        parts.append(character)
        end += 1
    raise MalformedQuery(f"the regular expression at {where(query, at)} has no end", at, len(query))

"""Tokens -> commands. What is not understood is refused by its name and place."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

from serverless_lab import quotas
from serverless_lab.emulator.insights import functions, syntax
from serverless_lab.emulator.insights.aggregates import AGGREGATES
from serverless_lab.emulator.insights.lexer import Kind, MalformedQuery, Token, tokens, where
from serverless_lab.emulator.insights.names import Names, aggregate_calls, is_condition, leaves_outside_aggregates
from serverless_lab.emulator.insights.periods import CALENDAR_UNITS, period_ms

AWS_COMMANDS = (
    *("accum", "addtotals", "anomaly", "appendcols", "autoregress", "cidrlookup", "countfrequent", "diff", "estimate"),
    *("expand", "filldown", "fillmissing", "filterindex", "head", "join", "json", "logcompare", "lookup", "outlier"),
    *("pattern", "relevantfields", "sessionize", "source", "tail", "unmask", "unnest"),
)
"""Commands that AWS has and this does not.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

COMMANDS = ("display", "fields", "filter", "where", "parse", "stats", "sort", "dedup", "limit")

_COMPARISONS = ("=", "!=", "<=", ">=", "<", ">")
_NESTING_MAX = 50
"""Deeper parentheses are refused: nobody writes them, and each level takes part of the Python stack."""


def parse(query: str) -> syntax.Query:
    """The commands of `query`.

    Raises:
        MalformedQuery: it is none, or has something that is not supported here.
    """
    return _Parser(query).commands()


class _Parser:
    def __init__(self, query: str) -> None:
        self._query = query
        self._tokens = tokens(query)
        self._at = 0
        self._names = Names()
        self._depth = 0

    # Commands ------------------------------------------------------------------------------------------------------

    def commands(self) -> syntax.Query:
        if len(self._tokens) == 1:
            raise MalformedQuery("the query is empty", 0, len(self._query))
        found: list[syntax.Command] = []
        while True:
            command = self._next
            made = self._command()
            self._check_order(found, made, command)
            found.append(made)
            if self._next.kind is Kind.END:
                return tuple(found)
            self._expect("|")

    def _command(self) -> syntax.Command:
        token = self._take()
        word = token.word()
        if word in AWS_COMMANDS:
            raise self._refused(token, f"the command {token.text} is not supported by the emulator")
        if word not in COMMANDS:
            raise self._unexpected(token)
        if word in ("fields", "display"):
            columns = self._columns(define=word == "fields")
            return syntax.Fields(columns) if word == "fields" else syntax.Display(columns)
        if word in ("filter", "where"):
            return syntax.Filter(self._condition())
        if word == "parse":
            return self._parse()
        if word == "stats":
            return self._stats()
        if word == "sort":
            return self._sort()
        if word == "dedup":
            return syntax.Dedup(self._listed())
        return self._limit()

    def _check_order(self, before: list[syntax.Command], command: syntax.Command, token: Token) -> None:
        """AWS's rules: sort and limit are after the last stats, only limit after dedup; here, nothing after limit."""
        if isinstance(command, syntax.Stats):
            if any(isinstance(earlier, (syntax.Sort, syntax.Limit, syntax.Dedup)) for earlier in before):
                raise self._refused(token, "sort, limit and dedup must stand after the last stats")
            if sum(isinstance(earlier, syntax.Stats) for earlier in before) >= quotas.INSIGHTS_STATS_MAX:
                raise self._refused(token, f"a query has at most {quotas.INSIGHTS_STATS_MAX} stats commands")
        last = before[-1] if before else None
        if isinstance(last, syntax.Limit) or (isinstance(last, syntax.Dedup) and not isinstance(command, syntax.Limit)):
            raise self._unexpected(token)

    def _columns(self, *, define: bool) -> tuple[syntax.Column, ...]:
        found = []
        while True:
            column = self._column()
            if column.has_alias and define:
                self._define(column.name)
            found.append(column)
            if not self._took(","):
                return tuple(found)

    def _column(self, *, in_stats: bool = False) -> syntax.Column:
        start = self._next.start
        value = self._expression(in_stats=in_stats)
        name = self._query[start : self._tokens[self._at - 1].end]
        if self._next.word() == "as":
            self._take()
            return syntax.Column(self._alias(), value, has_alias=True)
        if isinstance(value, syntax.Field):
            name = value.name
        return syntax.Column(name, value, has_alias=False)

    def _alias(self) -> str:
        token = self._take()
        if token.kind not in (Kind.NAME, Kind.QUOTED_NAME):
            raise self._unexpected(token)
        return token.text

    def _define(self, name: str) -> None:
        token = self._tokens[self._at - 1]
        if not self._names.define(name):
            raise self._refused(token, f"the field {name} is defined already")

    def _condition(self) -> syntax.Expression:
        token = self._next
        condition = self._expression()
        if not is_condition(condition):
            written = self._query[token.start : self._tokens[self._at - 1].end]
            raise self._refused(token, f"{written} is no condition: compare it with something")
        return condition

    def _parse(self) -> syntax.Parse:
        source: syntax.Expression = syntax.Field("@message")
        if self._next.kind in (Kind.NAME, Kind.QUOTED_NAME):
            source = self._checked(syntax.Field(self._take().text), self._tokens[self._at - 1])
        token = self._take()
        if token.kind not in (Kind.TEXT, Kind.REGEX):
            if token.word() in ("logfmt", "csv", "xml"):
                raise self._refused(token, f"parse {token.word()} is not supported by the emulator")
            raise self._unexpected(token)
        pattern = self._glob(token) if token.kind is Kind.TEXT else self._regex(token)
        names = [name for name, _ in sorted(pattern.groupindex.items(), key=lambda item: item[1])]
        if self._next.word() == "multi":
            raise self._refused(self._next, "parse … multi is not supported by the emulator")
        if self._next.word() == "as":
            self._take()
            names = [self._defined_alias()]
            while self._took(","):
                names.append(self._defined_alias())
            if self._next.word() == "multi":
                raise self._refused(self._next, "parse … multi is not supported by the emulator")
        else:
            for name in names:
                self._define(name)
        if not names or len(names) != pattern.groups:
            raise self._refused(token, f"the pattern has {pattern.groups} parts and {len(names)} names for them")
        return syntax.Parse(source, pattern, tuple(names))

    def _defined_alias(self) -> str:
        name = self._alias()
        self._define(name)
        return name

    def _stats(self) -> syntax.Stats:
        start = self._at
        columns = [self._column(in_stats=True)]
        while self._took(","):
            columns.append(self._column(in_stats=True))
        by: list[syntax.Column] = []
        if self._next.word() in ("by", "group"):
            if self._take().word() == "group" and self._take().word() != "by":
                raise self._unexpected(self._tokens[self._at - 1])
            by = [self._column()]
            while self._took(","):
                by.append(self._column())
        known = {column.name for column in by}
        for column in columns:
            for leaf in leaves_outside_aggregates(column.value):
                if leaf.name not in known:
                    raise self._refused(
                        self._tokens[start], f"{leaf.name} is neither aggregated nor named in by: {column.name}"
                    )
            known.add(column.name)
        if not any(aggregate_calls(column.value) for column in columns):
            raise self._refused(self._tokens[start], "stats needs an aggregate function")
        aliases = [column.name for column in (*columns, *by) if column.has_alias]
        if len(set(aliases)) != len(aliases):
            raise self._refused(self._tokens[start], "an alias is given twice")
        self._names.close((*by, *columns))
        return syntax.Stats(tuple(columns), tuple(by))

    def _sort(self) -> syntax.Sort:
        if self._next.word() == "by":
            self._take()
        keys = []
        while True:
            value = self._expression()
            descending = self._next.word() == "desc"
            if self._next.word() in ("asc", "desc"):
                self._take()
            keys.append(syntax.SortKey(value, descending))
            if not self._took(","):
                return syntax.Sort(tuple(keys))

    def _listed(self) -> tuple[syntax.Expression, ...]:
        found = [self._expression()]
        while self._took(","):
            found.append(self._expression())
        return tuple(found)

    def _limit(self) -> syntax.Limit:
        token = self._take()
        if token.word() == "any":
            raise self._refused(token, "limit any is not supported by the emulator")
        if token.kind is not Kind.NUMBER or not token.text.isdigit():
            raise self._unexpected(token)
        if not 1 <= int(token.text) <= quotas.INSIGHTS_LIMIT_MAX:
            raise self._refused(token, f"limit must be from 1 to {quotas.INSIGHTS_LIMIT_MAX}")
        return syntax.Limit(int(token.text))

    # Expressions ---------------------------------------------------------------------------------------------------

    def _expression(self, *, in_stats: bool = False) -> syntax.Expression:
        """An expression whose names are known and whose aggregates are where they may be."""
        start = self._next
        return self._checked(self._or(), start, in_stats=in_stats)

    def _checked(self, found: syntax.Expression, start: Token, *, in_stats: bool = False) -> syntax.Expression:
        resolved, problem = self._names.resolve(found, in_stats=in_stats)
        if problem is not None:
            raise self._refused(start, problem)
        return resolved

    def _or(self) -> syntax.Expression:
        left = self._and()
        while self._next.word() == "or":
            self._take()
            left = syntax.Operation("or", left, self._and())
        return left

    def _and(self) -> syntax.Expression:
        left = self._not()
        while self._next.word() == "and":
            self._take()
            left = syntax.Operation("and", left, self._not())
        return left

    def _not(self) -> syntax.Expression:
        if self._next.word() == "not":
            token = self._take()
            with_not = self._nested(self._not, token)
            return syntax.Negation(with_not)
        return self._comparison()

    def _comparison(self) -> syntax.Expression:
        left = self._sum()
        negated = self._next.word() == "not" and self._tokens[self._at + 1].word() in ("like", "in")
        if negated:
            self._take()
        token = self._next
        found: syntax.Expression
        if token.word() == "in":
            self._take()
            found = syntax.Membership(left, self._options())
        elif token.word() == "like" or token.is_symbol("=~"):
            self._take()
            found = self._match(left)
        elif token.kind is Kind.SYMBOL and token.text in _COMPARISONS:
            self._take()
            return syntax.Operation(token.text, left, self._sum())
        else:
            return left
        return syntax.Negation(found) if negated else found

    def _options(self) -> tuple[syntax.Expression, ...]:
        self._expect("[")
        found = [self._sum()]
        while self._took(","):
            found.append(self._sum())
        self._expect("]")
        return tuple(found)

    def _match(self, left: syntax.Expression) -> syntax.Match:
        token = self._take()
        if token.kind is Kind.TEXT and not self._tokens[self._at - 2].is_symbol("=~"):
            return syntax.Match(left, token.text, None)
        if token.kind is not Kind.REGEX:
            raise self._unexpected(token)
        return syntax.Match(left, None, self._regex(token))

    def _sum(self) -> syntax.Expression:
        left = self._product()
        while self._next.is_symbol("+") or self._next.is_symbol("-"):
            operator = self._take().text
            left = syntax.Operation(operator, left, self._product())
        return left

    def _product(self) -> syntax.Expression:
        left = self._power()
        while self._next.kind is Kind.SYMBOL and self._next.text in ("*", "/", "%"):
            operator = self._take().text
            left = syntax.Operation(operator, left, self._power())
        return left

    def _power(self) -> syntax.Expression:
        base = self._unary()
        if self._next.is_symbol("^"):
            token = self._take()
            exponent = self._unary()
            if self._next.is_symbol("^"):
                raise self._refused(token, "a ^ b ^ c can be meant in two ways: write parentheses")
            return syntax.Operation("^", base, exponent)
        return base

    def _unary(self) -> syntax.Expression:
        if self._next.is_symbol("-"):
            token = self._take()
            return syntax.Operation("-", syntax.Literal(0.0), self._nested(self._unary, token))
        return self._primary()

    def _primary(self) -> syntax.Expression:
        token = self._take()
        if token.kind is Kind.NUMBER:
            return syntax.Literal(float(token.text))
        if token.kind is Kind.TEXT:
            return syntax.Literal(token.text)
        if token.is_symbol("("):
            inner = self._nested(self._or, token)
            self._expect(")")
            return inner
        if token.kind is Kind.QUOTED_NAME:
            return syntax.Field(token.text)
        if token.kind is not Kind.NAME or token.word() in ("by", "as", "and", "or", "in", "like", "asc", "desc"):
            raise self._unexpected(token)
        if self._next.is_symbol("("):
            return self._nested(lambda: self._call(token), token)
        if token.word() in ("true", "false"):
            return syntax.Literal(float(token.word() == "true"))
        if token.word() == "null":
            raise self._refused(token, "null is not supported by the emulator: use ispresent()")
        if self._next.is_symbol("["):
            raise self._refused(self._next, "access to the elements of a list is not supported by the emulator")
        return syntax.Field(token.text)

    def _nested(self, read: Callable[[], syntax.Expression], token: Token) -> syntax.Expression:
        self._depth += 1
        if self._depth > _NESTING_MAX:
            raise self._refused(token, f"more than {_NESTING_MAX} levels of parentheses")
        found = read()
        self._depth -= 1
        return found

    def _call(self, token: Token) -> syntax.Call:
        name = token.word()
        self._expect("(")
        if name in AGGREGATES:
            return self._aggregate(token)
        if name == functions.BIN:
            period = self._period()
            self._expect(")")
            return syntax.Call(name, (period,))
        if name in functions.OF_THE_QUERY:
            self._expect(")")
            return syntax.Call(name, ())
        function = functions.FUNCTIONS.get(name)
        if function is None:
            raise self._refused(token, f"the function {token.text} is not supported by the emulator")
        arguments: list[syntax.Expression] = []
        while not self._next.is_symbol(")"):
            if arguments:
                self._expect(",")
            arguments.append(self._period() if len(arguments) in function.periods else self._or())
        self._expect(")")
        if len(arguments) < function.first or (function.last is not None and len(arguments) > function.last):
            raise self._refused(token, f"the function {token.text} does not take {len(arguments)} arguments")
        return syntax.Call(function.name, tuple(arguments))

    def _aggregate(self, token: Token) -> syntax.Call:
        aggregate = AGGREGATES[token.word()]
        if aggregate.counts_events and (self._next.is_symbol(")") or self._next.is_symbol("*")):
            self._took("*")
            self._expect(")")
            return syntax.Call(aggregate.name, (syntax.Star(),))
        arguments = [self._or()]
        while self._took(","):
            constant = self._take()
            if constant.kind is not Kind.NUMBER:
                raise self._unexpected(constant)
            if not 0 <= float(constant.text) <= 100:
                raise self._refused(constant, f"{constant.text} is no percentage")
            arguments.append(syntax.Literal(float(constant.text)))
        self._expect(")")
        if len(arguments) != 1 + aggregate.constants:
            raise self._refused(token, f"the function {token.text} does not take {len(arguments)} arguments")
        return syntax.Call(aggregate.name, tuple(arguments))

    def _period(self) -> syntax.Period:
        token = self._take()
        count = re.match(r"[0-9]+", token.text)
        if token.kind is not Kind.PERIOD or count is None:
            raise self._unexpected(token)
        unit = token.text[count.end() :]
        if unit.lower() in CALENDAR_UNITS:
            raise self._refused(token, f"periods of {token.text} are not supported by the emulator")
        ms = period_ms(int(count[0]), unit)
        if ms is None:
            raise self._unexpected(token)
        return syntax.Period(ms)

    # Patterns ------------------------------------------------------------------------------------------------------

    def _glob(self, token: Token) -> re.Pattern[str]:
        """Each `*` takes as little as it can; one at the end, all that is left."""
        pieces = token.text.split("*")
        groups = ["(.*?)"] * (len(pieces) - 1)
        if groups and not pieces[-1]:
            groups[-1] = "(.*)"
        escaped = map(re.escape, pieces)
        text = next(escaped) + "".join(group + piece for group, piece in zip(groups, escaped, strict=True))
        return re.compile(text, re.DOTALL)

    def _regex(self, token: Token) -> re.Pattern[str]:
        """As Python has it; what it would read otherwise or not at all is refused."""
        text = re.sub(r"\(\?<(?![=!])", "(?P<", token.text)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", FutureWarning)  # sets of sets, which Python reads otherwise
                return re.compile(text)
        except (re.error, FutureWarning, OverflowError, RecursionError) as problem:
            raise self._refused(token, f"the regular expression /{token.text}/: {problem}") from problem

    # Tokens --------------------------------------------------------------------------------------------------------

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def _took(self, symbol: str) -> bool:
        if self._next.is_symbol(symbol):
            self._at += 1
            return True
        return False

    def _expect(self, symbol: str) -> None:
        token = self._take()
        if not token.is_symbol(symbol):
            raise self._unexpected(token)

    def _unexpected(self, token: Token) -> MalformedQuery:
        """The words are AWS's: `unexpected symbol found sort at line 6 and position 3`."""
        if token.kind is Kind.END:
            return MalformedQuery("unexpected end of the query", token.start, token.end)
        written = self._query[token.start : token.end]
        return MalformedQuery(
            f"unexpected symbol found {written} at {where(self._query, token.start)}", token.start, token.end
        )

    def _refused(self, token: Token, what: str) -> MalformedQuery:
        return MalformedQuery(f"{what} ({where(self._query, token.start)})", token.start, token.end)

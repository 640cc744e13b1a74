"""What is not understood is refused by its name and place; nothing is passed over."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serverless_lab.emulator.insights.lexer import MalformedQuery
from serverless_lab.emulator.insights.parser import AWS_COMMANDS, COMMANDS, parse
from tests.emulator.insights.log import answer


def refusal(query: str) -> MalformedQuery:
    with pytest.raises(MalformedQuery) as caught:
        parse(query)
    return caught.value


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "the query is empty"),
        ("# nothing", "the query is empty"),
        ("fields @message | count()", "unexpected symbol found count at line 1 and position 19"),
        ("fields @message |", "unexpected end of the query"),
        ("fields @message sort @timestamp", "unexpected symbol found sort at line 1 and position 17"),
        (
            "fields @timestamp\n| dedup @type\n| sort @timestamp",
            "unexpected symbol found sort at line 3 and position 3",
        ),
        ("filter @type = REPORT'", "the string at line 1 and position 22 has no end"),
        ("filter @message like /x", "the regular expression at line 1 and position 22 has no end"),
        ("filter @message like /[/", "the regular expression /[/"),
        ("filter @message like /\\Qx\\E/", "the regular expression /\\Qx\\E/"),
        ("filter @message like @type", "unexpected symbol found @type"),
        ("filter @message", "@message is no condition"),
        ("filter 1 + 1", "1 + 1 is no condition"),
        ("filter @type = “REPORT”", "unexpected symbol found “ at line 1 and position 16"),
        ("pattern @message", "the command pattern is not supported by the emulator (line 1 and position 1)"),
        ("SOURCE logGroups()", "the command SOURCE is not supported"),
        ("fields @message | limit any 3", "limit any is not supported"),
        ("limit 0", "limit must be from 1 to 100000"),
        ("limit 100001", "limit must be from 1 to 100000"),
        ("limit 3 | limit 2", "unexpected symbol found limit"),
        ("limit 3 | stats count(*)", "sort, limit and dedup must stand after the last stats"),
        ("sort @timestamp | stats count(*)", "sort, limit and dedup must stand after the last stats"),
        (
            "fields jsonParse(@message)",
            "the function jsonParse is not supported by the emulator (line 1 and position 8)",
        ),
        ("fields isIpv4InSubnet(ip, '10.0.0.0/8')", "the function isIpv4InSubnet is not supported"),
        ("stats values(@type)", "the function values is not supported"),
        ("stats pct(@duration)", "the function pct does not take 1 arguments"),
        ("stats pct(@duration, 101)", "101 is no percentage"),
        ("fields strcontains(@message, 'a', true)", "the function strcontains does not take 3 arguments"),
        ("fields avg(@duration)", "the aggregate function avg may only be used in stats"),
        ("stats avg(max(@duration))", "the aggregate function max may only be used in stats"),
        ("stats count(*) by sum(@duration)", "the aggregate function sum may only be used in stats"),
        ("stats @duration", "@duration is neither aggregated nor named in by"),
        ("stats @type by @type", "stats needs an aggregate function"),
        ("stats count(*) as n, sum(@duration) as n", "an alias is given twice"),
        ("stats count(*) by bin(1w)", "periods of 1w are not supported"),
        ("stats count(*) by bin(5)", "unexpected symbol found 5"),
        ("stats count(*) by bin(5x)", "unexpected symbol found 5x"),
        ("stats count(*) as n | filter @type = 'START'", "the field @type is not defined by the stats before"),
        ("stats count(*) by @log | stats count(*) by bin(5m)", "bin() needs @timestamp"),
        ("fields 1 as a | fields 2 as a", "the field a is defined already"),
        ("parse @message '* *' as a", "the pattern has 2 parts and 1 names for them"),
        ("parse @message 'x' as a", "the pattern has 0 parts and 1 names for them"),
        ("parse @message /(\\d+)/ as a multi", "parse … multi is not supported"),
        ("parse @message logfmt as a", "parse logfmt is not supported"),
        ("fields a.b[1].c", "access to the elements of a list is not supported"),
        ("filter @type = null", "null is not supported"),
        ("fields @entity.KeyAttributes.Name", "the field @entity.KeyAttributes.Name is not kept by the emulator"),
        ("fields 2 ^ 3 ^ 2", "a ^ b ^ c can be meant in two ways"),
        ("fields " + "(" * 60 + "1" + ")" * 60, "more than 50 levels of parentheses"),
        ("fields " + "not " * 60 + "1 = 1", "more than 50 levels of parentheses"),
        ("fields 1.2.3", "unexpected symbol found 1.2.3"),
        ("stats count(*) " + "| stats count(*) as n " * 10, "a query has at most 10 stats commands"),
    ],
)
def test_a_query_is_refused_with_what_is_wrong(query: str, message: str):
    assert message in refusal(query).message


def test_a_refusal_tells_the_characters_that_it_is_about():
    query = "filter @type = 'REPORT'\n| stats topk(3, @type)"
    found = refusal(query)
    assert query[found.start : found.end] == "topk"


@pytest.mark.parametrize("command", AWS_COMMANDS)
def test_every_command_of_aws_that_is_not_here_is_refused_by_name(command: str):
    assert (
        f"the command {command} is not supported by the emulator" in refusal(f"fields @message | {command} x").message
    )


WORDS = """
    by as and or not in like desc @message @duration a count( bin(5m) avg(@duration) pct( ( ) [ ] , | | = != < =~ + -
    * / ^ % 'x' " /x/ 5 5m 0.5 # `b` ispresent(@initDuration) é \\ 1e400
"""
words = st.sampled_from([*COMMANDS, *WORDS.split(), "\n", "`b c`"])


@settings(max_examples=400, deadline=None)
@given(st.lists(words, max_size=14).map(" ".join))
@example("display duration ^")
def test_any_text_is_answered_or_refused_and_never_breaks(query: str):
    with contextlib.suppress(MalformedQuery):
        answer(query)

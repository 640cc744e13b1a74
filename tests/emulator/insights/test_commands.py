"""What each command of a query does to the rows."""

from __future__ import annotations

import pytest

from tests.emulator.insights.log import COLD, INVOCATIONS, SLOW, T0, WARM, answer, ask


def test_without_fields_a_row_has_time_and_message_and_a_pointer_the_latest_first():
    rows = answer("filter @type = 'START'").rows
    assert [[name for name, _ in row] for row in rows] == [["@timestamp", "@message", "@ptr"]] * 2
    assert [dict(row)["@timestamp"] for row in rows] == ["2023-12-05 22:11:47.000", "2023-12-05 22:10:47.000"]


def test_fields_of_several_commands_are_shown_together_in_their_order():
    query = "fields @requestId | fields @duration, @billedDuration * 2 as twice | filter @type = 'REPORT' | limit 1"
    assert ask(query) == [{"@requestId": SLOW, "@duration": "1200.0", "twice": "2400"}]


def test_a_field_that_an_event_does_not_have_is_left_out_of_its_row():
    assert ask("fields @requestId, @initDuration | filter @type = 'REPORT' and @duration < 100") == [
        {"@requestId": WARM},
        {"@requestId": COLD, "@initDuration": "145.69"},
    ]


def test_a_later_column_may_use_an_earlier_one_of_the_same_command():
    query = "filter @type='REPORT' | fields @memorySize/1000/1000 as mb, mb * 2 as double | limit 1"
    assert ask(query) == [{"mb": "128", "double": "256"}]


def test_the_last_display_alone_decides_what_is_shown():
    query = "fields @message | display @type | display @duration as d, @duration > 10 as slow | filter @type = 'REPORT'"
    assert ask(query) == [
        {"d": "1200.0", "slow": "1"},
        {"d": "14.97", "slow": "1"},
        {"d": "5.93", "slow": "0"},
    ]


@pytest.mark.parametrize(
    ("condition", "matching"),
    [
        ("@type = 'REPORT'", 3),
        ('@type="REPORT" and @duration > 10', 2),
        ("@duration >= 5.93 and @duration <= 14.97", 2),
        ("@duration < 10 or @duration > 1000", 2),
        ("not @type = 'REPORT'", 3),
        ("@type != 'REPORT'", 3),
        ("(@type = 'START' or @type = 'REPORT') and not ispresent(@initDuration)", 4),
        ("ispresent(@initDuration)", 1),
        ("isPresent(@initDuration) = 0 and ispresent(@duration)", 2),
        ("@message like 'Init Duration'", 1),
        ("@message like /(?i)init duration/", 1),
        ("@message not like /REPORT/", 3),
        ("@message =~ /load [0-9]/", 1),
        ("@type in ['START', 'REPORT']", 5),
        ("@type not in ['START']", 4),
        (f"@requestId = '{COLD}'", 3),
        ("@memorySize = 128000000", 3),
        ("strcontains(@message, 'START')", 2),
        ("@logStream like /LATEST/ and @log = '347129338248:/aws/lambda/orders'", 6),
        ("toMillis(@timestamp) >= 1701814307000", 3),
        ("@duration > 'text'", 0),
        ("level = 'INFO'", 0),
    ],
)
def test_a_filter_lets_through_what_meets_its_condition(condition: str, matching: int):
    assert answer(f"filter {condition}").records_matched == matching
    assert answer(f"where {condition}").records_matched == matching


def test_and_binds_closer_than_or_and_not_closer_than_both():
    assert answer("filter @type = 'START' or @type = 'REPORT' and @duration > 1000").records_matched == 3
    assert answer("filter not @type = 'START' and @type = 'REPORT'").records_matched == 3


def test_a_glob_gives_each_star_a_name():
    query = (
        "filter @type = 'REPORT' | parse 'Billed Duration: * ms\\tMemory Size: * MB' as billed, mb | display billed, mb"
    )
    assert ask(query)[0] == {"billed": "1200", "mb": "128"}


def test_a_star_at_the_end_takes_all_that_is_left_and_one_in_between_as_little_as_it_can():
    log = [(0, "user=ann, method:GET, latency := 12, and more")]
    query = "parse @message 'user=*, method:*, latency := *' as @user, @method, @latency"
    assert ask(f"{query} | display @user, @method, @latency", log) == [
        {"@user": "ann", "@method": "GET", "@latency": "12, and more"}
    ]


def test_a_pattern_may_be_a_regular_expression_with_named_groups_and_a_field_may_be_any():
    query = r"parse @log /\d+:\/aws\/lambda\/(?<function>.*)/ | filter @type = 'REPORT' | display function | limit 1"
    assert ask(query) == [{"function": "orders"}]


def test_an_event_that_does_not_match_a_pattern_stays_and_has_no_such_field():
    rows = ask("parse @message 'Init Duration: * ms' as init | filter @type = 'REPORT' | display @requestId, init")
    assert rows == [{"@requestId": SLOW}, {"@requestId": WARM}, {"@requestId": COLD, "init": "145.69"}]


def test_what_is_parsed_counts_as_a_number_where_one_is_needed():
    query = "parse @message 'Duration: * ms' as d | filter @type = 'REPORT' and d > 10 | stats sum(d), max(d)"
    assert ask(query) == [{"sum(d)": "1214.97", "max(d)": "1200"}]


def test_rows_are_sorted_by_several_keys_each_in_its_direction():
    query = "fields @type, @duration | filter ispresent(@type) | sort @type desc, @duration asc"
    assert [row.get("@duration", "-") for row in ask(query)] == ["-", "-", "5.93", "14.97", "1200.0"]


def test_dedup_keeps_the_first_of_each_value_and_every_row_without_one():
    rows = ask("fields @type, @timestamp | sort @timestamp asc | dedup @type")
    assert [row.get("@type") for row in rows] == ["START", None, "REPORT"]
    assert rows[0]["@timestamp"] == "2023-12-05 22:10:47.000"


def test_without_a_sort_dedup_keeps_the_latest():
    (row,) = ask("filter @type = 'START' | fields @requestId | dedup @type")
    assert row == {"@requestId": WARM}


def test_limit_is_the_smaller_of_the_querys_and_the_requests():
    assert len(answer("limit 3").rows) == 3
    assert len(answer("limit 3", limit=2).rows) == 2
    assert len(answer("limit 2", limit=3).rows) == 2


def test_without_a_limit_there_are_at_most_ten_thousand_rows():
    log = [(at, "x") for at in range(10_005)]
    assert len(answer("fields @message", log).rows) == 10_000
    assert len(answer("fields @message | limit 10002", log).rows) == 10_002


def test_comments_and_capitals_and_line_ends_change_nothing():
    query = """
        # how many
        FILTER @type = "REPORT" # only these
        # | filter @duration > 100000
        | STATS Count(*) AS n
    """
    assert ask(query) == [{"n": "3"}]


def test_the_statistics_tell_what_was_scanned_and_what_met_the_filters():
    found = answer("filter @type = 'REPORT' | stats count(*) as n | filter n > 100")
    assert found.rows == ()
    assert (found.records_matched, found.records_scanned) == (3, 6)
    assert found.bytes_scanned == sum(len(message) for _, message in INVOCATIONS)


# stats -----------------------------------------------------------------------------------------------------------


def test_the_usual_query_for_cold_starts():
    query = """
        filter @type = "REPORT"
        | stats count(*) as invocations, count(@initDuration) as coldStarts,
                count(@initDuration) / count(*) * 100 as percent,
                avg(@initDuration), max(@initDuration + @duration) as worst
          by bin(5m)
    """
    assert ask(query) == [
        {"bin(5m)": "2023-12-05 22:15:00.000", "invocations": "1", "coldStarts": "0", "percent": "0"},
        {
            "bin(5m)": "2023-12-05 22:10:00.000",
            "invocations": "2",
            "coldStarts": "1",
            "percent": "50",
            "avg(@initDuration)": "145.69",
            "worst": "151.62",
        },
    ]


def test_cold_and_warm_durations_side_by_side():
    query = """
        filter @type="REPORT"
        | fields greatest(@initDuration, 0) + @duration as duration, ispresent(@initDuration) as coldstart
        | stats count(*) as count, pct(duration, 50) as p50, max(duration) as max by coldstart
        | sort coldstart
    """
    assert ask(query) == [
        {"coldstart": "0", "count": "2", "p50": "607.485", "max": "1200"},
        {"coldstart": "1", "count": "1", "p50": "151.62", "max": "151.62"},
    ]


def test_a_column_of_stats_may_use_the_names_of_others():
    query = """
        filter @type = "REPORT"
        | stats max(@memorySize / 1000 / 1000) as provisioned, max(@maxMemoryUsed / 1000 / 1000) as used,
                provisioned - used as over
    """
    assert ask(query) == [{"provisioned": "128", "used": "67", "over": "61"}]


@pytest.mark.parametrize(
    ("aggregate", "found"),
    [
        ("count()", "6"),
        ("count(*)", "6"),
        ("count(@duration)", "3"),
        ("count_distinct(@requestId)", "3"),
        ("countDistinct(@type)", "2"),
        ("avg(@duration)", "406.9667"),
        ("min(@duration)", "5.93"),
        ("max(@memorySize)", "128000000"),
        ("sum(@billedDuration)", "1221"),
        ("pct(@duration, 0)", "5.93"),
        ("pct(@duration, 50)", "14.97"),
        ("pct(@duration, 100)", "1200"),
        ("stddev(@billedDuration)", "560.7477"),
        ("earliest(@type)", "START"),
        ("latest(@requestId)", SLOW),
        ("latest(@timestamp)", "1701814547000"),
        ("sortsFirst(@type)", "REPORT"),
        ("sum(strcontains(@message, 'Init Duration'))", "1"),
        ("count(@type) * 2 + 1", "11"),
        ("round(avg(@duration))", "407"),
    ],
)
def test_an_aggregate_of_all_events(aggregate: str, found: str):
    assert ask(f"stats {aggregate} as found") == [{"found": found}]


def test_an_aggregate_of_nothing_is_left_out_and_no_event_makes_no_row():
    assert ask("filter @type = 'START' | stats avg(@duration) as a, count(@duration) as n") == [{"n": "0"}]
    assert ask("filter @type = 'NONE' | stats count(*)") == []


def test_groups_are_named_by_fields_expressions_and_aliases():
    query = "filter @type = 'REPORT' | stats count(*) as n group by @log, @duration > 100 as slow | sort slow"
    assert ask(query) == [
        {"@log": "347129338248:/aws/lambda/orders", "slow": "0", "n": "2"},
        {"@log": "347129338248:/aws/lambda/orders", "slow": "1", "n": "1"},
    ]


def test_a_second_stats_works_on_the_rows_of_the_first():
    query = """
        stats count(*) as n, max(@timestamp) as t by @requestId
        | filter n > 1
        | stats max(n) as most, count(*) as requests by datefloor(t, 1h)
    """
    assert ask(query) == [{"datefloor(t, 1h)": "2023-12-05 22:00:00.000", "most": "3", "requests": "2"}]


def test_after_stats_a_column_is_named_as_it_was_written():
    query = "filter @type='REPORT' | stats sum(@duration) by @requestId | sort SUM( @duration ) desc | limit 1"
    assert ask(query) == [{"@requestId": SLOW, "sum(@duration)": "1200"}]


@pytest.mark.parametrize(
    ("period", "begins"),
    [
        ("1s", "2023-12-05 22:15:47.000"),
        ("30 s".replace(" ", ""), "2023-12-05 22:15:30.000"),
        ("5m", "2023-12-05 22:15:00.000"),
        ("5mins", "2023-12-05 22:15:00.000"),
        ("1hr", "2023-12-05 22:00:00.000"),
        ("1d", "2023-12-05 00:00:00.000"),
        ("300s", "2023-12-05 22:15:00.000"),
        ("3600s", "2023-12-05 22:15:00.000"),
    ],
)
def test_bin_begins_at_whole_periods_and_more_than_sixty_seconds_are_sixty(period: str, begins: str):
    """documented: 60 is the most that `s` and `m` take, 24 `h`."""
    assert ask(f"filter @duration = 1200 | stats count(*) as n by bin({period}) as t") == [{"t": begins, "n": "1"}]


def test_now_and_the_range_are_the_querys_own():
    (row,) = ask("fields now() as n, queryStartTime() as a, queryEndTime() as b, queryTimeRange() as c | limit 1")
    assert row == {"n": str((T0 + 3_600_000) // 1000), "a": str(T0), "b": str(T0 + 3_600_000), "c": "3600000"}

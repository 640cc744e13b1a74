"""Tables and rows of queries: the console's CSV, Logs Insights."""

from __future__ import annotations

import json

import pytest

from serverless_lab.coldstarts.formats import read_log
from serverless_lab.coldstarts.formats_csv import read_csv
from serverless_lab.coldstarts.formats_insights import MEGABYTE
from serverless_lab.coldstarts.formats_text import Unreadable, Where
from serverless_lab.coldstarts.invocations import InvocationRow, build_invocations
from serverless_lab.coldstarts.platform_events import render_json
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import ReportLine, render
from tests.coldstarts.story import T0, request_id

ID = "3fd21ffd-4a8b-4d08-9435-89717282b90a"
REPORT = render(ReportLine(ID, 3.01, 114, 128, 36, 110.1))


def read(text: str) -> list[LogEvent | Unreadable]:
    return list(read_log([text.encode()], Where("x"))[1])


def rows_in(text: str) -> tuple[InvocationRow, ...]:
    return build_invocations(item for item in read(text) if isinstance(item, LogEvent)).rows


def places_in(text: str) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in read(text) if isinstance(item, Unreadable)]


# --- the console's CSV -----------------------------------------------------------------------------------------------


def test_messages_in_quotes_contain_line_ends():
    text = f'timestamp,message\n{T0},"START RequestId: {ID} Version: $LATEST\n"\n{T0 + 5},"{REPORT}"\n'
    (row,) = rows_in(text)
    assert (row.start_timestamp, row.timestamp, row.init_duration_ms) == (T0, T0 + 5, 110.1)


def test_a_download_of_a_whole_group_names_the_streams():
    stream = "2026/11/24/[$LATEST]" + "a" * 32
    text = f'timestamp,message,logStreamName\n{T0},"{REPORT}",{stream}\n'
    assert [row.log_stream for row in rows_in(text)] == [stream]


def test_a_message_with_commas_outside_of_quotes_is_whole():
    event = render_json(ReportLine(ID, 3.01, 114, 128, 36, 110.1), T0)
    assert [row.duration_ms for row in rows_in(f"timestamp,message\n{T0},{event}\n")] == [3.01]


def test_a_lost_quote_costs_one_record():
    """Without it everything behind it would be one field."""
    rows = [f'{T0 + number},"{render(ReportLine(request_id(number), 3.0, 4, 128, 36))}"\n' for number in range(20)]
    rows[7] = rows[7].replace('"', "", 1)
    text = "timestamp,message\n" + "".join(rows)
    assert {row.request_id for row in rows_in(text)} >= {request_id(n) for n in range(20)} - {
        request_id(7),
        request_id(8),
    }
    assert len(rows_in(text)) >= 19


def test_a_table_without_the_columns_of_a_log_is_none():
    (place,) = list(read_csv(["name,amount\norders,3\n"], Where("x")))
    assert isinstance(place, Unreadable)
    assert "columns" in place.reason


# --- Logs Insights ---------------------------------------------------------------------------------------------------


def test_insights_counts_memory_in_millions_of_bytes():
    """128 MB is 128000000 there. A query that divides by 1024 twice is off by 5 %."""
    text = (
        "@timestamp,@requestId,@duration,@billedDuration,@memorySize,@maxMemoryUsed,@initDuration\n"
        f"2025-11-24 16:00:00.000,{ID},3.01,114.0,1.28E8,3.6E7,110.1\n"
    )
    (row,) = rows_in(text)
    assert (row.memory_size_mb, row.max_memory_used_mb, row.billed_duration_ms) == (128, 36, 114)
    assert (row.duration_ms, row.init_duration_ms, row.timestamp, row.kind) == (3.01, 110.1, T0, "cold")
    assert MEGABYTE == 10**6


def test_half_a_megabyte_is_not_what_a_line_said():
    text = f"@requestId,@duration,@maxMemoryUsed,@initDuration\n{ID},3.01,36500000,\n"
    assert [row.max_memory_used_mb for row in rows_in(text)] == [None]


def test_a_query_that_did_not_select_the_init_does_not_say_that_there_was_none():
    without = f"@requestId,@duration,@maxMemoryUsed\n{ID},3.01,36000000\n"
    assert [row.kind for row in rows_in(without)] == ["unknown"]
    empty = f"@requestId,@duration,@maxMemoryUsed,@initDuration\n{ID},3.01,36000000,\n"
    assert [row.kind for row in rows_in(empty)] == ["warm"]


def test_in_json_one_row_with_an_init_shows_that_it_was_selected():
    """GetQueryResults leaves fields away that a row does not have."""

    def results(*rows: dict[str, str]) -> str:
        fields = [[{"field": name, "value": value} for name, value in row.items()] for row in rows]
        return json.dumps({"results": fields, "status": "Complete"})

    warm = {"@requestId": request_id(1), "@duration": "3.01", "@maxMemoryUsed": "3.6E7", "@ptr": "Cm"}
    cold = {**warm, "@requestId": request_id(2), "@initDuration": "110.1"}
    assert [row.kind for row in rows_in(results(warm))] == ["unknown"]
    assert sorted(row.kind for row in rows_in(results(warm, cold))) == ["cold", "warm"]


def test_rows_without_a_request_id_are_invocations_all_the_same():
    text = "@timestamp,@duration,@maxMemoryUsed,@initDuration\n2025-11-24 16:00:00.000,3.01,36000000,\n"
    (row,) = rows_in(text)
    assert (row.request_id, row.kind) == ("", "warm")


def test_fields_of_logs_in_the_json_format_are_known_too():
    text = (
        "@timestamp,type,record.requestId,record.metrics.durationMs,record.metrics.memorySizeMB,"
        "record.metrics.maxMemoryUsedMB,record.metrics.initDurationMs,record.status\n"
        f"2025-11-24 16:00:00.000,platform.start,{ID},,,,,\n"
        f"2025-11-24 16:00:00.005,platform.runtimeDone,{ID},11.185,,,,success\n"
        f"2025-11-24 16:00:00.006,platform.report,{ID},11.642,128,67,174.055,timeout\n"
    )
    (row,) = rows_in(text)
    assert (row.duration_ms, row.init_duration_ms, row.memory_size_mb, row.status) == (11.642, 174.055, 128, "timeout")


def test_fields_that_insights_finds_in_text_do_not_say_how_an_invocation_ended():
    """So no timeout among them is no sign that none timed out."""
    found = f"@requestId,@duration,@initDuration\n{ID},3.01,\n"
    told = f"type,record.requestId,record.metrics.durationMs,record.status\nplatform.report,{ID},3.01,success\n"
    message = f'@message,@duration\n"{REPORT}",3.01\n'
    counts = [
        build_invocations(item for item in read(text) if isinstance(item, LogEvent)).without_status
        for text in (found, told, message)
    ]
    assert counts == [1, 0, 0]


def test_rows_of_other_events_are_passed_over():
    text = f"@timestamp,@type,@requestId,@duration\n2025-11-24 16:00:00.000,START,{ID},\n"
    assert read(text) == []


def test_what_is_no_number_is_shown():
    text = f"@requestId,@duration,@initDuration\n{ID},three,\n"
    assert rows_in(text) == ()
    (place,) = places_in(text)
    assert place[0] == 2
    assert "three" in place[1]


@pytest.mark.parametrize(
    "text", ["count(*),bin(5m)\n12,2025-11-24 16:00:00.000\n", '{"results":[[{"field":"n","value":"3"}]]}']
)
def test_a_query_that_counts_has_nothing_to_read(text):
    assert [item for item in read(text) if isinstance(item, LogEvent)] == []

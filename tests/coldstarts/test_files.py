"""Files, folders and standard input."""

from __future__ import annotations

import gzip
import io

import pytest

from serverless_lab.coldstarts import read_reports
from serverless_lab.coldstarts.files import FORMATS, names_in_path, read_paths
from serverless_lab.coldstarts.frame import COLUMNS
from serverless_lab.errors import BadInput, ReportError
from tests.coldstarts.log_files import FULL, console_csv, filter_pages, gzipped, joined, lines, zstandard
from tests.coldstarts.story import Environment, request_id

TASK = "0a1b2c3d-0000-4000-8000-00000000000a"


def text_of(environment: Environment) -> str:
    return joined(FULL["sam logs"](environment.events)).decode()


def test_a_folder_is_every_file_in_it_whatever_each_of_them_is(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.log").write_text(text_of(Environment().cold(1)))
    (tmp_path / "2").write_bytes(gzipped(filter_pages(Environment().cold(2).events)))
    (tmp_path / "3.txt").write_bytes(zstandard(FULL["subscription messages"](Environment().cold(3).events)))
    (tmp_path / "4.csv").write_bytes(joined(console_csv(Environment().cold(4).events)))
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / ".DS_Store").write_bytes(b"\x00\x01")
    reading = read_paths([tmp_path], function="orders")
    assert {row.request_id for row in reading.invocations.rows} == {request_id(number) for number in (1, 2, 3, 4)}
    assert {row.function for row in reading.invocations.rows} == {"orders"}
    named = {name.removeprefix(f"{tmp_path}/"): format for name, format in reading.formats.items()}
    assert named == {"2": "json", "3.txt": "json", "4.csv": "csv", "a/1.log": "text"}
    assert [(place.file, place.line) for place in reading.unreadable] == [(str(tmp_path / "photo.png"), 0)]


def test_a_dash_is_standard_input_packed_or_not(monkeypatch):
    data = joined(FULL["event lines"](Environment().cold(1).events))
    for given in (data, gzip.compress(data)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        reading = read_paths(["-"])
        assert (len(reading.invocations.rows), reading.formats) == (1, {"-": "json"})


def test_a_stream_may_be_spread_over_files_in_any_order(tmp_path):
    """Its START and its REPORT meet again; the order is that of their times."""
    events = Environment().cold(1).wait(50).invoke(2).events
    for name, part in (("1", events[2:]), ("2", events[:2])):
        (tmp_path / name).write_bytes(joined(FULL["event lines"](part)))
    reading = read_paths([tmp_path])
    assert [row.kind for row in reading.invocations.rows] == ["cold", "warm"]
    assert reading.invocations.unfinished == ()


def test_what_cannot_be_read_is_shown_with_its_file_and_line(tmp_path):
    path = tmp_path / "x.log"
    path.write_text("a word\nREPORT RequestId: x\tDuration: gone\n" + text_of(Environment().cold(1)))
    reading = read_paths([path])
    assert [(found.file, found.line) for found in reading.unreadable] == [(str(path), 2)]
    assert "Duration: gone" in reading.unreadable[0].text
    assert len(reading.invocations.rows) == 1


def test_a_path_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ReportError, match="nowhere"):
        read_paths([tmp_path / "nowhere"])
    with pytest.raises(ReportError, match="no file"):
        read_paths([tmp_path])


def test_a_format_we_do_not_know_is_an_error_that_lists_those_we_do():
    with pytest.raises(BadInput, match="xml") as caught:
        read_paths(["-"], format="xml")
    assert all(name in (caught.value.hint or "") for name in FORMATS)


def test_a_format_may_be_forced(tmp_path):
    """Read as text, the quotes and commas of a table are what stands before its lines."""
    path = tmp_path / "x"
    path.write_bytes(joined(console_csv(Environment().cold(1).events)))
    assert read_paths([path]).formats == {str(path): "csv"}
    forced = read_paths([path], format="text")
    assert forced.formats == {str(path): "text"}
    assert len(forced.invocations.rows) == 1


# --- exports to S3 ---------------------------------------------------------------------------------------------------


def export(folder, environment: Environment) -> None:
    """One stream as an export task writes it: its name in the path, its events not in the order of time."""
    stream = folder / environment.stream.replace("/", "-")
    stream.mkdir(parents=True)
    events = [*environment.events[2:], *environment.events[:2]]
    pieces = lines(lambda event: f"2025-11-24T16:00:{(event.timestamp_ms or 0) % 60_000 / 1000:06.3f}Z ")(events)
    (stream / "000000.gz").write_bytes(gzipped(pieces))


def test_an_export_tells_streams_and_function_in_its_paths(tmp_path):
    first, second = Environment().cold(1).wait(50).invoke(2), Environment("mail", version="7").cold(3)
    export(tmp_path / "exports" / "orders" / TASK, first)
    export(tmp_path / "exports" / "aws" / "lambda" / "mail" / TASK, second)
    (tmp_path / "exports" / "orders" / "aws-logs-write-test").write_text("Permission Check Successful")
    reading = read_paths([tmp_path / "exports"])
    rows = {row.request_id: row for row in reading.invocations.rows}
    assert [rows[request_id(number)].kind for number in (1, 2, 3)] == ["cold", "warm", "cold"]
    assert [rows[request_id(number)].function for number in (1, 2, 3)] == ["orders", "orders", "mail"]
    assert [rows[request_id(number)].log_stream for number in (1, 3)] == [first.stream, second.stream]
    assert reading.unreadable == ()


def test_the_function_may_be_named_where_the_path_does_not_say_it(tmp_path):
    export(tmp_path / "exportedlogs" / TASK, Environment().cold(1))
    assert read_paths([tmp_path], function="orders").invocations.rows[0].function == "orders"
    assert read_paths([tmp_path / "exportedlogs" / TASK]).invocations.rows[0].function == ""


@pytest.mark.parametrize(
    ("path", "group", "stream"),
    [
        (
            f"orders/{TASK}/2026-11-24-[$LATEST]{'a' * 32}/000000.gz",
            "/aws/lambda/orders",
            f"2026/11/24/[$LATEST]{'a' * 32}",
        ),
        (
            f"aws-lambda-orders/{TASK}/2026-11-24-[3]{'a' * 32}/000000.gz",
            "/aws/lambda/orders",
            f"2026/11/24/[3]{'a' * 32}",
        ),
        (f"{TASK}/2024-03-05-replicate[3]{'a' * 32}/000000.gz", "", f"2024/03/05/replicate[3]{'a' * 32}"),
        (f"2026-11-24-[3]{'a' * 32}/000000.gz", "", f"2026/11/24/[3]{'a' * 32}"),
        (f"exportedlogs/{TASK}/some-stream/000000.gz", "", ""),
        ("2026/11/24/16/delivery-1-2026-11-24-16-00-00", "", ""),
        ("orders.log", "", ""),
    ],
)
def test_names_are_taken_from_paths_of_exports_only(tmp_path, path, group, stream):
    assert names_in_path(tmp_path / path, tmp_path) == (group, stream)


# --- the Python API --------------------------------------------------------------------------------------------------


def test_saved_logs_become_a_frame(tmp_path):
    """The way in for a notebook: any format, one path or several, the documented columns and dtypes."""
    path = tmp_path / "orders.log"
    path.write_text(text_of(Environment().cold(1).wait(100).invoke(2)))
    frame = read_reports(path, function="orders")
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        name: dtype for name, (dtype, _) in COLUMNS.items()
    }
    assert list(frame["kind"]) == ["cold", "warm"]
    assert list(frame["function"]) == ["orders", "orders"]
    assert list(frame["init_duration_ms"].isna()) == [False, True]
    assert frame.attrs["unreadable"] == []
    other = tmp_path / "other.json"
    other.write_bytes(joined(FULL["event lines"](Environment().cold(3).events)))
    assert len(read_reports([path, str(other)])) == 3
    assert len(read_reports(str(tmp_path))) == 3


def test_what_could_not_be_read_comes_with_the_frame(tmp_path):
    path = tmp_path / "orders.log"
    path.write_text("REPORT RequestId: x\tDuration: gone\n")
    frame = read_reports(path)
    assert len(frame) == 0
    (place,) = frame.attrs["unreadable"]
    assert (place["file"], place["line"]) == (str(path), 1)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ReportError, match="nowhere"):
        read_reports("nowhere.log")

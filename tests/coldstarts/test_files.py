"""Files, folders and standard input."""

from __future__ import annotations

import io

import pytest

from serverless_lab.coldstarts.files import read_paths
from serverless_lab.errors import BadInput, ReportError
from tests.coldstarts.story import Environment, request_id


def text_of(environment: Environment) -> str:
    return "".join(f"2025-11-24T16:00:00Z {event.log_stream} {event.message}" for event in environment.events)


def test_a_folder_is_every_file_in_it(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.log").write_text(text_of(Environment().cold(1)))
    (tmp_path / "2.log").write_text(text_of(Environment().cold(2)))
    reading = read_paths([tmp_path], function="orders")
    assert {row.request_id for row in reading.invocations.rows} == {request_id(1), request_id(2)}
    assert {row.function for row in reading.invocations.rows} == {"orders"}
    assert reading.formats == {str(tmp_path / "2.log"): "text", str(tmp_path / "a" / "1.log"): "text"}


def test_a_dash_is_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(text_of(Environment().cold(1))))
    assert len(read_paths(["-"]).invocations.rows) == 1


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


def test_a_format_we_do_not_know_is_an_error_that_lists_those_we_do():
    with pytest.raises(BadInput, match="xml") as caught:
        read_paths(["-"], format="xml")
    assert "text" in (caught.value.hint or "")

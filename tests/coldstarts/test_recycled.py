"""A run that was to begin with new environments is held against what its functions logged."""

from __future__ import annotations

from typing import Any

from serverless_lab.coldstarts.frame import SavedInvocations
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.report import make_report
from tests.coldstarts.story import T0, Environment


def notes(*environments: Environment, **row: Any) -> str:
    events = [event for environment in environments for event in environment.events]
    recycled = {"function": "orders", "version": "8", "put_back": True, **row}
    report = make_report({"recycled": [recycled]}, SavedInvocations.from_invocations(build_invocations(events)), None)
    return " ".join(report.notes)


def test_nothing_is_said_where_it_was_so():
    assert notes(Environment(version="8").cold(1).invoke(2)) == ""


def test_invocations_on_another_version_are_named():
    """An alias that was moved meanwhile, or an event source that names a version."""
    told = notes(Environment(version="8").cold(1), Environment(version="7", now=T0 + 9).cold(2))
    assert "1 invocation of orders ran on another version" in told


def test_a_first_invocation_that_was_warm_is_named():
    assert "The first invocation of orders was warm" in notes(Environment(version="8").invoke(1))


def test_functions_that_are_still_changed_are_named():
    assert "left as this run changed them" in notes(Environment(version="8").cold(1), put_back=False)


def test_a_function_that_was_never_invoked_is_no_contradiction():
    assert "version" not in notes(Environment("stock", version="1").cold(1))

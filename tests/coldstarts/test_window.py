"""How long after its end a run is looked for in the log."""

from __future__ import annotations

import pandas as pd
import pytest

from serverless_lab.coldstarts.window import late_end_ms
from tests.coldstarts.runs import T0, manifest, write_run

NOW = T0 + 500_000
ANSWERED: dict[str, object] = {"status_code": 202, "error": None}
GIVEN_UP: dict[str, object] = {"status_code": None, "error": "timeout after 10 s"}
CUT_OFF: dict[str, object] = {"status_code": 504, "error": None}
REFUSED: dict[str, object] = {"status_code": None, "error": "Connection refused"}


def sent(*outcomes: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame(outcomes).astype({"status_code": "Int64", "error": "str"})


def late_end(tmp_path, requests: pd.DataFrame | None, clock: str = "wall", now_ms: int = NOW) -> int:
    run = write_run(tmp_path / "run", clock=clock)
    return late_end_ms(run, manifest(clock=clock), requests, now_ms)


@pytest.mark.parametrize("unanswered", [GIVEN_UP, CUT_OFF])
def test_functions_that_nobody_waited_for_may_run_until_now(tmp_path, unanswered):
    """The caller has stopped waiting, and the function has not stopped running."""
    assert late_end(tmp_path, sent(ANSWERED, unanswered)) == NOW


def test_it_is_over_when_the_next_run_of_the_stack_begins(tmp_path):
    write_run(tmp_path / "earlier", clock="wall", started_at_ms=T0 - 500_000)
    write_run(tmp_path / "next", clock="wall", started_at_ms=T0 + 60_000)
    write_run(tmp_path / "third", clock="wall", started_at_ms=T0 + 300_000)
    write_run(tmp_path / "elsewhere", clock="wall", started_at_ms=T0 + 45_000, stack_name="another")
    assert late_end(tmp_path, sent(GIVEN_UP)) == T0 + 60_000


def test_it_is_over_when_no_function_can_run_any_longer(tmp_path):
    """A function runs for 15 minutes at most, so what is logged an hour later is somebody else's."""
    ended_ms = manifest()["ended_at_ms"]
    assert late_end(tmp_path, sent(GIVEN_UP), now_ms=T0 + 3_600_000) == ended_ms + 900_000


@pytest.mark.parametrize("requests", [sent(ANSWERED), sent(ANSWERED, REFUSED), None])
def test_a_run_whose_callers_were_answered_ended_when_it_ended(tmp_path, requests):
    assert late_end(tmp_path, requests) == 0


def test_in_virtual_time_a_run_lasts_until_its_functions_are_done(tmp_path):
    assert late_end(tmp_path, sent(GIVEN_UP), clock="virtual") == 0

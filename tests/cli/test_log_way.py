"""When a log on AWS is read with Logs Insights, which is paid, and when in pages.

Answers are written by hand and validated by botocore's models; nothing was recorded from AWS.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.cli.log_range import _Lines
from serverless_lab.cli.log_way import Way, choose_way
from serverless_lab.coldstarts.cloudwatch.kept import KeptLogs
from serverless_lab.coldstarts.cloudwatch.reader import Progress
from serverless_lab.errors import BadInput
from tests.coldstarts.cloudwatch.test_ranges import GROUP, HOUR_MS, T0, Stubs

OTHER = "/aws/lambda/mail"


class Account(Stubs):
    """One in which GROUP and OTHER have taken in so many GB together."""

    def __init__(self, gigabytes: float | None, region: str = "us-east-1") -> None:
        self.region = region
        super().__init__("cloudwatch", "logs")
        if gigabytes is None:
            self.stubs["cloudwatch"].add_client_error("get_metric_data", "AccessDenied")
            self.stubs["logs"].add_client_error("describe_log_groups", "AccessDeniedException")
        else:
            results = [{"Id": "e0", "Values": [7.0]}, {"Id": "b0", "Values": [gigabytes * 1e9]}]
            self.stubs["cloudwatch"].add_response("get_metric_data", {"MetricDataResults": results})

    def account_id(self) -> str:
        return "111122223333"


def way(account: Any, kept: KeptLogs | None = None, **asked: Any) -> Way:
    asked = {"asked": None, "yes": True, **asked}
    return choose_way(account, [GROUP, OTHER], T0, T0 + HOUR_MS, now_ms=T0 + HOUR_MS, kept=kept, **asked)


def test_a_little_is_read_in_pages_without_a_word(capsys: Any) -> None:
    assert way(Account(0.1)) == Way()
    assert capsys.readouterr().err == ""


def test_of_much_it_is_said_how_long_pages_take_and_what_insights_costs(capsys: Any) -> None:
    assert way(Account(6)) == Way()
    said = capsys.readouterr().err
    assert said == "6.00 GB of log: reading it in pages takes about 20 min; --insights is faster, and costs $0.03\n"


def test_much_is_read_with_insights_where_a_limit_allows_what_it_costs(capsys: Any) -> None:
    """A limit says that so much may be spent; the account is shown all the same."""
    found = way(Account(6), max_cost=0.05)
    assert (found.insights, found.expected) == (True, {GROUP: 7, OTHER: 0})
    assert found.scanned_max == pytest.approx(10e9), "five cents' worth"
    said = capsys.readouterr().err
    assert said == (
        "AWS account 111122223333, region us-east-1: ask Logs Insights, which scans 6.00 GB of log for $0.03\n"
    )
    assert not way(Account(6), max_cost=0.02).insights
    assert not way(Account(0.1), max_cost=1.0).insights, "a little is read in pages"


def test_insights_above_the_limit_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(
        BadInput, match=r"would scan 6\.00 GB of log for \$0\.03, and --max-cost is \$0\.02: nothing was asked"
    ) as refused:
        way(Account(6), asked=True, max_cost=0.02)
    assert "--no-insights" in str(refused.value.hint)
    assert way(Account(6), asked=True, max_cost=0.03).insights


def test_what_nobody_knows_the_price_or_the_size_of_is_refused_under_a_limit_only() -> None:
    assert way(Account(None), asked=True) == Way(True)
    with pytest.raises(BadInput, match="how much Logs Insights would scan is not known"):
        way(Account(None), asked=True, max_cost=5.0)
    assert way(Account(None), max_cost=5.0) == Way(), "pages cost nothing"
    assert way(Account(6, "mars-north-1"), asked=True).insights
    with pytest.raises(BadInput, match="an amount that lab has no price for"):
        way(Account(6, "mars-north-1"), asked=True, max_cost=5.0)


def test_nothing_is_paid_that_was_not_agreed_to(monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for asked in ({"asked": True}, {"max_cost": 5.0}):
        with pytest.raises(BadInput, match="no terminal"):
            way(Account(6), yes=False, **asked)


def test_pages_and_what_is_kept_cost_nothing_and_nothing_is_asked_for_them(tmp_path: Path) -> None:
    """CloudWatch bills even for being asked how much there is."""
    nobody = Account(6)
    assert way(nobody, asked=False) == Way()
    kept = KeptLogs(tmp_path)
    for group in (GROUP, OTHER):
        kept.store(group, T0, T0 + HOUR_MS, [])
    assert way(nobody, kept, asked=True) == Way()
    assert way(nobody, asked=True).insights, "its one answer is still there"


def test_only_what_is_left_of_an_interrupted_reading_counts(tmp_path: Path) -> None:
    account = Account(2)
    asked: list[dict[str, Any]] = []
    account.client("cloudwatch").meta.events.register(
        "before-parameter-build", lambda params, **_: asked.append(params)
    )
    kept = KeptLogs(tmp_path)
    kept.store(GROUP, T0, T0 + HOUR_MS, [])
    kept.store(OTHER, T0, T0 + HOUR_MS // 2, [])
    assert way(account, kept, asked=True).expected == {OTHER: 7}
    (request,) = asked
    assert request["StartTime"] == (T0 + HOUR_MS // 2) // 300_000 * 300
    names = {query["MetricStat"]["Metric"]["Dimensions"][0]["Value"] for query in request["MetricDataQueries"]}
    assert names == {OTHER}


def test_the_embedded_emulator_bills_nothing() -> None:
    account: Any = Account(6)
    account.name = "local"
    assert way(account, asked=True, max_cost=0.0) == Way(True)


def test_an_emulator_whose_queries_do_not_filter_is_read_in_pages_only() -> None:
    """It would answer, and what it leaves out nobody would see."""
    account: Any = Account(6)
    account.name = "localstack"
    assert way(account) == Way()
    with pytest.raises(BadInput, match="without doing what it says") as refused:
        way(account, asked=True)
    assert "pages cost nothing there" in str(refused.value.hint)


# --- progress --------------------------------------------------------------------------------------------------------


def test_without_a_terminal_a_line_a_minute_tells_how_far_it_is_and_soon_what_is_waited_for(capsys: Any) -> None:
    """The log of a job shows that a reading of hours goes on."""
    now = [0.0]
    lines = _Lines(lambda: now[0])
    for second in range(0, 200, 10):
        now[0] = float(second)
        lines(Progress(second * 1000, 400_000, second, second, 0))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0] == "reading logs: 15 %, 60 events, 60 requests"
    for second in (201, 202, 204, 206):
        now[0] = float(second)
        lines(Progress(1, 1, 500, 300, 2, awaited=1))
    assert capsys.readouterr().err.splitlines() == [
        "reading logs: 100 %, 500 events, 300 requests, 2 throttled, waiting for a REPORT line"
    ]

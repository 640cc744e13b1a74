"""`lab cost` as a user runs it; what it computes is in tests/cost."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from serverless_lab.cost.bill import dollars
from tests.cli.conftest import Lab
from tests.coldstarts.runs import ORDERS, story
from tests.coldstarts.story_files import write_logs
from tests.cost.frames import CALLS, MANIFEST, cold, frame, line

pytestmark = pytest.mark.process

PROFILE = """
name: shop
requests_per_month: 10000000
functions: [{memory_mb: 512, duration_ms: 156}]
per_request: {s3_puts: 1}
"""


@pytest.fixture
def profile(lab: Lab) -> str:
    (lab.directory / "shop.yaml").write_text(PROFILE)
    return "shop.yaml"


@pytest.fixture
def run(lab: Lab) -> str:
    """A run whose log was read; its target is gone."""
    import pandas as pd

    from serverless_lab.coldstarts.frame import SavedInvocations, write_parquet

    runs = Path(lab.state("runs"))
    folder = runs / "20261124-160000-spike"
    folder.mkdir(parents=True)
    (runs / "last").write_text(folder.name + "\n")
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "calls.json").write_text(json.dumps({**CALLS, "stored_bytes": {}, "log_bytes": 900}))
    write_parquet(folder / "invocations.parquet", SavedInvocations(frame(cold(), line(), line(), line()), ()))
    pd.DataFrame({"status_code": [202] * 4, "response_bytes": [2] * 4}).to_parquet(folder / "requests.parquet")
    return folder.name


def test_a_profile_is_billed_with_its_surprise_and_its_gates(lab: Lab, profile: str) -> None:
    shown = lab("cost", "--profile", profile).out
    assert "$100.00 for a month of 10,000,000 requests" in shown
    assert "Storing into S3 costs $50.00 (10,000,000 requests), 3.8 times the compute ($13.00)." in shown
    assert (
        "$10.00 for a month of 1,000,000 requests"
        in lab("cost", "--profile", profile, "--requests-per-month", "1M").out
    )
    failed = lab("cost", "--profile", profile, "--fail-if", "total > 99", "--json", ok=False)
    assert failed.code == 3
    assert failed.json["failures"] == ["total > 99: total is $100.00"]
    assert "failed: total > 99" in failed.err


def test_a_month_of_the_last_run_needs_no_target(lab: Lab, run: str) -> None:
    found = lab("cost", "--requests-per-month", "10000000", "--json").json
    assert (found["basis"], found["name"], found["requests"]) == ("run", run, 4)
    assert found["month"]["services"]["S3"] == 50
    assert found["month"]["services"]["API Gateway"] == 35
    by_name = lab("cost", run, "--csv").out.splitlines()
    assert by_name[0].startswith("period,service,item,")
    assert all(row.startswith("once,") for row in by_name[1:])


def test_a_page_without_prices_says_so_and_is_a_page_all_the_same(lab: Lab, run: str) -> None:
    folder = lab.state("runs") / run
    (folder / "manifest.json").write_text(json.dumps({**MANIFEST, "region": "mars-north-1"}))
    (folder / "requests.parquet").unlink()
    lab("coldstarts", "report", "--json")
    page = (folder / "report.html").read_text()
    assert "Cannot be told: no price table for Region `mars-north-1`." in page
    assert 'id="functions"' in page


def test_log_files_are_billed_without_any_deployment(lab: Lab) -> None:
    write_logs(lab.directory / "logs", story())
    found = lab("cost", "logs", "--region", "eu-central-1", "--architecture", "arm64", "--json").json
    assert found["basis"] == "log"
    assert found["once"]["region"] == "eu-central-1"
    assert {row["item"] for row in found["once"]["lines"]} >= {"lambda.requests", "lambda.duration.arm64"}
    markdown = lab("cost", f"logs/{ORDERS}.log", "--markdown").out
    assert markdown.startswith("## Cost: ")
    assert "not known" in markdown


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("cost",), 1, "no run in"),
        (("cost", "20200101-000000-nothing"), 1, "no run `20200101-000000-nothing`"),
        (("cost", "--profile", "shop.yaml", "--region", "mars-north-1"), 1, "no price table for Region `mars-north-1`"),
        (("cost", "--profile", "shop.yaml", "--prices", "nowhere.yaml"), 1, "nowhere.yaml cannot be read"),
        (("cost", "--profile", "shop.yaml", "some.log"), 2, "not several of them"),
        (("cost", "--profile", "shop.yaml", "--fail-if", "sum > 5"), 2, "there is no quantity `sum`"),
        (("cost", "--free-tier"), 2, "--requests-per-month"),
        (("cost", "--architecture", "mips"), 2, "x86_64 or arm64"),
        (("cost", "--json", "--csv"), 2, "name one of"),
    ],
)
def test_what_cannot_be_billed_is_said(lab: Lab, profile: str, words: tuple[str, ...], code: int, said: str) -> None:
    answer = lab(*words, ok=False)
    assert answer.code == code
    assert said in answer.err
    assert answer.out == ""


# --- before a load ---------------------------------------------------------------------------------------------------


def test_a_run_on_the_emulator_is_billed_with_what_its_functions_called(deployed: Lab) -> None:
    """Forty requests of GET /reports/daily, each of which queries the aggregations table.

    Other tests may have invoked something within the ten seconds after it in which logs may be late.
    """
    found = deployed("cost", _first_run(deployed), "--json").json
    quantities = {row["item"]: row["quantity"] for row in found["once"]["lines"]}
    assert quantities["apigateway.rest"] == 40
    assert quantities["lambda.requests"] >= 40
    assert quantities["dynamodb.reads"] >= 20
    assert quantities["logs.ingested"] > 0
    assert found["unknown"] == []


def _first_run(deployed: Lab) -> str:
    """The one that the deployment was loaded with at first, whatever other tests have sent since."""
    return min(path.name for path in deployed.state("runs").iterdir() if path.is_dir())


def test_the_page_of_the_run_has_the_same_bill(deployed: Lab) -> None:
    first = _first_run(deployed)
    deployed("coldstarts", "report", "--run", first, "--json")
    run = deployed("cost", first, "--json").json
    page = (deployed.state("runs") / run["name"] / "report.html").read_text()
    section = page[page.index('<section id="cost"') :]
    section = section[: section.index("</section>")]
    assert f"{dollars(Decimal(str(run['once']['total'])))} for 40 requests" in section.replace("&lt;", "<")
    assert len(re.findall("<tr", section)) == len(run["once"]["lines"]) + 2  # the head and the total
    assert all(row["what"] in section for row in run["once"]["lines"])


def test_a_scenario_is_estimated_before_it_is_sent(deployed: Lab) -> None:
    found = deployed("cost", "--scenario", "./quick.yaml", "--json").json
    assert found["requests"] == 40
    assert 0 < found["low"]["total"] < found["high"]["total"]
    shown = deployed("cost", "--scenario", "./quick.yaml").out
    assert "estimated bill: $" in shown
    assert "at most: all 6 functions once a request" in shown


def test_max_cost_refuses_on_any_target_and_nothing_is_sent(deployed: Lab) -> None:
    before = sorted(deployed.state("runs").iterdir())
    refusal = deployed.refused("load", "--scenario", "./quick.yaml", "--max-cost", "0.0001")
    assert "may cost up to $" in refusal.error
    assert "--max-cost is $0.0001: nothing was sent" in refusal.error
    assert sorted(deployed.state("runs").iterdir()) == before


def test_what_cannot_be_estimated_is_not_sent_under_a_limit(deployed: Lab) -> None:
    refusal = deployed.refused("load", "--scenario", "./quick.yaml", "--url", "http://127.0.0.1:9", "--max-cost", "5")
    assert "what is behind a --url is not known" in refusal.error
    (deployed.directory / "mine.py").write_text("")
    refusal = deployed.refused("load", "--locustfile", "mine.py", "--max-cost", "5")
    assert "what a locustfile sends is not known" in refusal.error

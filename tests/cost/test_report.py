"""What a bill means, and the gates on it: every sentence from the numbers."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from decimal import Decimal

import pytest

from serverless_lab.cost.bill import bill
from serverless_lab.cost.gates import FAMILIES, parse_gate
from serverless_lab.cost.insight import break_even, provisioned_costs, surprises
from serverless_lab.cost.items import ITEMS
from serverless_lab.cost.log_usage import usage_of_frame
from serverless_lab.cost.prices import load_prices
from serverless_lab.cost.profile import parse_profile
from serverless_lab.cost.report import CostReport, of_log, of_profile, of_run
from serverless_lab.cost.run_usage import run_usage
from serverless_lab.cost.usage import Usage
from serverless_lab.errors import BadInput
from serverless_lab.reporting.costs import cells, cost_markdown, cost_section, headline
from serverless_lab.reporting.sections import Table
from tests.cost import frames
from tests.cost.frames import MANIFEST, cold, frame, line, with_provisioned

PRICES = load_prices("us-east-1")
CALLS = {**frames.CALLS, "stored_bytes": {"s3": 2800}, "log_bytes": 2000}
LINES = frame(cold(), line(), line(), line())


def run_report(**asked) -> CostReport:
    return of_run(run_usage(MANIFEST, LINES, 4, CALLS), PRICES, **asked)


def said(usage: Usage, **known) -> str:
    return " ".join(surprises(bill(usage, PRICES), usage, PRICES, **known))


# --- what surprises people -------------------------------------------------------------------------------------------


def test_storing_raw_events_costs_more_than_the_compute_at_ten_million_requests_a_month():
    text = said(Usage.of({"lambda.duration.x86_64": 780_000, "s3.puts": 10_000_000}))
    assert "Storing into S3 costs $50.00 (10,000,000 requests), 3.8 times the compute ($13.00)." in text


def test_it_is_not_said_where_it_is_not_so():
    """The same sentence, with half a second of compute for each request."""
    assert "S3" not in said(Usage.of({"lambda.duration.x86_64": 5_000_000, "s3.puts": 10_000_000}))


def test_the_share_of_the_init_is_told_where_it_is_one_per_cent_or_more():
    usage = Usage.of({"lambda.duration.x86_64": 1_000_000})
    assert "20% of the duration on demand is init" in said(usage, init_gb_s=Decimal(200_000))
    assert "init" not in said(usage, init_gb_s=Decimal(2_000))


def test_idle_provisioned_concurrency_is_told_beside_its_break_even():
    usage = Usage.of({"lambda.provisioned.allocated.x86_64": 1_000_000, "lambda.provisioned.duration.x86_64": 100_000})
    assert "is used 10.0% of the time it is paid for, and pays for itself above 60%" in said(usage)
    busy = Usage.of({"lambda.provisioned.allocated.x86_64": 1_000_000, "lambda.provisioned.duration.x86_64": 700_000})
    assert "pays for itself" not in said(busy)


def test_at_break_even_both_cost_the_same():
    """0.0000041667 / (0.0000166667 - 0.0000097222): 60 % on x86_64 and on arm64."""
    for architecture in ("x86_64", "arm64"):
        share = break_even(PRICES, architecture)
        assert share.quantize(Decimal("0.001")) == Decimal("0.600")
        usage = Usage.of(
            {
                f"lambda.provisioned.allocated.{architecture}": 1_000_000,
                f"lambda.provisioned.duration.{architecture}": share * 1_000_000,
            }
        )
        (cost,) = provisioned_costs(usage, PRICES)
        assert abs(cost.amount - cost.on_demand) < Decimal("0.0001")
        assert abs(cost.utilisation - cost.break_even) < Decimal("0.0001")


def test_a_cheaper_api_and_a_cheaper_architecture_are_named_with_what_they_save():
    text = said(Usage.of({"apigateway.rest": 10_000_000, "lambda.duration.x86_64": 780_000}))
    assert "An HTTP API instead of the REST API would cost $10.00 for the same calls, not $35.00." in text
    assert "On arm64, at the same duration, the x86_64 functions would cost $2.60 less." in text


def test_a_price_file_need_not_price_what_is_only_compared(tmp_path):
    """A Region without a table is priced by the file alone, which knows nothing of arm64 or of HTTP APIs."""
    file = tmp_path / "prices.yaml"
    used = ("lambda.duration.x86_64", "apigateway.rest")
    standing = ("lambda.provisioned.allocated.x86_64",)
    for items in (used, standing):
        file.write_text("prices: {" + ", ".join(f"{item}: 0.001" for item in items) + "}")
        prices = load_prices("eu-west-3", file)
        usage = Usage.of(dict.fromkeys(items, 10))
        assert surprises(bill(usage, prices), usage, prices) == []
        assert provisioned_costs(usage, prices) == []


# --- reports ---------------------------------------------------------------------------------------------------------


def test_a_run_has_the_bill_of_what_was_measured_and_of_a_million_requests():
    found = run_report()
    assert found.month is None
    assert found.bill is found.once
    assert found.per_million is not None
    assert found.per_million.amount("apigateway.rest") == Decimal("3.5")
    assert headline(found).endswith("for 4 requests")


def test_with_its_traffic_it_has_the_bill_of_a_month():
    found = run_report(requests_per_month=10_000_000)
    assert found.month is not None
    assert found.month.amount("s3.puts") == 50
    assert headline(found).endswith("for a month of 10,000,000 requests")


def test_as_if_on_arm_moves_the_functions_and_what_is_provisioned_for_them():
    run = run_usage(with_provisioned(5), LINES, 4, CALLS)
    found = of_run(run, PRICES, requests_per_month=10_000_000, architecture="arm64")
    assert found.month is not None
    assert not [row for row in found.month.lines if row.item.endswith("x86_64")]
    assert found.month.amount("lambda.provisioned.allocated.arm64").quantize(Decimal("0.01")) == Decimal("21.60")


def test_a_log_is_scaled_by_its_invocations_and_says_what_it_does_not_tell():
    found = of_log(usage_of_frame(LINES), "app.log", PRICES, requests_per_month=4_000_000)
    assert found.month is not None
    assert found.month.amount("lambda.requests") == Decimal("0.8")
    assert "what functions call" in found.unknown


def test_a_profile_is_a_month_and_nothing_else():
    document = {"requests_per_month": 10_000_000, "functions": [{"memory_mb": 512, "duration_ms": 156}]}
    found = of_profile(parse_profile(document, "shop.yaml"), PRICES, free_tier=True)
    assert found.once is None
    assert found.bill.free_tier
    assert found.bill.amount("lambda.requests") == Decimal("1.8")


def test_prices_that_are_assumed_are_named_with_what_stands_there_instead():
    found = of_run(run_usage(MANIFEST, LINES, 4, CALLS), load_prices("ap-southeast-2"))
    assert "apigateway.rest: not found: the dearest of the Regions here" in found.assumed
    assert run_report().assumed == ()


def test_the_csv_has_the_numbers_of_the_json():
    found = run_report(requests_per_month=10_000_000)
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    data = found.to_json()
    for period in ("once", "month"):
        of_period = [row for row in rows if row["period"] == period]
        assert [float(row["amount"]) for row in of_period] == [row["amount"] for row in data[period]["lines"]]
    assert sum(float(row["amount"]) for row in rows if row["period"] == "month") == pytest.approx(
        data["month"]["total"], abs=1e-6
    )


def test_the_page_the_terminal_and_the_json_have_the_same_numbers():
    found = run_report()
    section = cost_section(found)
    (table,) = [part for part in section.parts if isinstance(part, Table)]
    shown = cells(found.bill)
    assert [row[1:] for row in table.cells.rows] == [row[1:] for row in shown.rows]
    assert table.cells.total == shown.total
    assert all(row[0] for row in table.cells.rows), "on a phone each row is a card of its own"
    assert len(shown.rows) == len(found.to_json()["once"]["lines"])
    assert shown.total is not None and shown.total[5] in headline(found)
    markdown = cost_markdown(found)
    assert all(row[5].replace("<", "&lt;") in markdown for row in shown.rows)
    assert "S3" in markdown and "### Notes" in markdown


# --- gates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("total > 1", True),
        ("total > 1,000", False),
        ("s3 >= $50", True),
        ("s3 > 51", False),
        ("lambda == 0", False),
        ("per_million < 100", True),
        ("per_million < 10", False),
    ],
)
def test_a_gate_is_on_the_bill_that_is_shown(text, fails):
    failure = parse_gate(text).failure(run_report(requests_per_month=10_000_000))
    assert (failure is not None) == fails
    assert failure is None or failure.startswith(f"{text}: ")


@pytest.mark.parametrize(
    ("text", "named"),
    [("total", "no gate"), ("sum > 5", "`sum`"), ("total > much", "`much`"), ("total > nan", "`nan`")],
)
def test_a_gate_that_cannot_be_meant_is_refused(text, named):
    with pytest.raises(BadInput) as caught:
        parse_gate(text)
    assert named in caught.value.message


def test_a_profile_does_not_tell_what_a_million_costs():
    document = {"requests_per_month": 1, "functions": [{"memory_mb": 512, "duration_ms": 156}]}
    found = of_profile(parse_profile(document, "shop.yaml"), PRICES)
    with pytest.raises(BadInput, match="per_million"):
        parse_gate("per_million > 5").failure(found)


def test_the_services_of_gates_are_all_there_are():
    families = {family for names in FAMILIES.values() for family in names}
    assert {item.partition(".")[0] for item in ITEMS} == families


def test_a_report_without_a_bill_cannot_be():
    with pytest.raises(AssertionError):
        _ = replace(run_report(), once=None).bill

"""Bills that anybody can check by hand, with the prices of us-east-1."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.cost.bill import amount_of, bill, dollars, exact_dollars, number
from serverless_lab.cost.items import ITEMS
from serverless_lab.cost.prices import load_prices
from serverless_lab.cost.usage import ASSUMED, COUNTED, MEASURED, Usage, gigabytes, invocations, provisioned
from serverless_lab.errors import BadInput

US_EAST_1 = load_prices("us-east-1")


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_five_provisioned_environments_of_512_mb_cost_27_dollars_in_720_hours():
    """5 x 0.5 GB x 720 x 3600 s = 6,480,000 GB-s at $0.0000041667."""
    found = bill(provisioned(environments=5, memory_mb=512, seconds=720 * 3600, architecture="x86_64"), US_EAST_1)
    assert cents(found.total) == Decimal("27.00")


def test_ten_million_requests_of_156_ms_at_512_mb_cost_13_dollars_and_2_for_the_requests():
    """10,000,000 x 0.156 s x 0.5 GB = 780,000 GB-s at $0.0000166667, and $0.20 a million."""
    used = invocations(requests=10_000_000, billed_ms=10_000_000 * 156, memory_mb=512, architecture="x86_64")
    found = bill(used, US_EAST_1)
    assert cents(found.amount("lambda.duration")) == Decimal("13.00")
    assert cents(found.amount("lambda.requests")) == Decimal("2.00")
    assert cents(found.total) == Decimal("15.00")


def test_ten_million_events_put_into_s3_cost_50_dollars():
    found = bill(Usage.of({"s3.puts": 10_000_000}), US_EAST_1)
    assert found.total == 50


def test_arm_costs_a_fifth_less():
    used = invocations(requests=0, billed_ms=10_000_000 * 156, memory_mb=512, architecture="arm64")
    assert cents(bill(used, US_EAST_1).total) == Decimal("10.40")


def test_storage_above_512_mb_is_paid_while_the_function_runs():
    """1,000,000 x 1 s x 0.5 GB more at $0.0000000309."""
    used = invocations(
        requests=0, billed_ms=1_000_000_000, memory_mb=128, architecture="x86_64", ephemeral_storage_mb=1024
    )
    found = bill(used, US_EAST_1)
    assert found.amount("lambda.ephemeral_storage") == Decimal("500000") * Decimal("0.0000000309")


def test_under_provisioned_concurrency_the_duration_is_cheaper_and_the_requests_are_not():
    used = invocations(
        requests=10_000_000, billed_ms=3_500_000_000, memory_mb=512, architecture="x86_64", provisioned=True
    )
    found = bill(used, US_EAST_1)
    assert cents(found.amount("lambda.provisioned.duration")) == Decimal("17.01")  # 1,750,000 GB-s at $0.0000097222
    assert cents(found.amount("lambda.provisioned.requests")) == Decimal("2.00")


def test_a_begun_five_minutes_of_provisioned_concurrency_counts_whole():
    def gb_seconds(seconds: float) -> Decimal:
        used = provisioned(environments=2, memory_mb=1024, seconds=seconds, architecture="x86_64")
        return used.get("lambda.provisioned.allocated.x86_64")

    assert gb_seconds(1) == 600
    assert gb_seconds(300) == 600
    assert gb_seconds(300.5) == 1200
    assert gb_seconds(0) == 0


# --- tiers and the free tier -----------------------------------------------------------------------------------------


def test_each_tier_that_is_reached_has_a_line_of_its_own():
    """A billion calls of a REST API: 333 million at $3.50, 667 million at $2.80."""
    found = bill(Usage.of({"apigateway.rest": 1_000_000_000}), US_EAST_1)
    assert [(line.what, line.amount) for line in found.lines] == [
        ("REST API calls, first 333 million", Decimal("1165.5")),
        ("REST API calls, next 667 million", Decimal("1867.6")),
    ]


def test_the_last_tier_has_no_end():
    found = bill(Usage.of({"lambda.duration.x86_64": 61_440_000_000}), US_EAST_1)
    assert [cents(line.amount) for line in found.lines] == [
        Decimal("100000.20"),
        Decimal("135000.00"),
        Decimal("619203.10"),
    ]
    assert found.lines[-1].what.endswith("over 15 billion")


def test_the_free_tier_pays_the_first_units_of_a_month():
    used = Usage.of({"lambda.requests": 1_500_000, "lambda.duration.x86_64": 400_000})
    found = bill(used, US_EAST_1, free_tier=True)
    assert found.total == Decimal("0.1")
    requests = found.lines[0]
    assert (requests.quantity, requests.free) == (1_500_000, 1_000_000)


def test_both_architectures_share_one_allowance():
    used = Usage.of({"lambda.duration.x86_64": 300_000, "lambda.duration.arm64": 300_000})
    found = bill(used, US_EAST_1, free_tier=True)
    assert [line.free for line in found.lines] == [300_000, 100_000]


def test_provisioned_concurrency_has_no_free_tier():
    used = Usage.of({"lambda.provisioned.requests": 1_000_000, "lambda.provisioned.allocated.x86_64": 400_000})
    assert bill(used, US_EAST_1, free_tier=True).total == bill(used, US_EAST_1).total


# --- a bill as a thing -----------------------------------------------------------------------------------------------


def test_the_services_of_a_bill_add_up_to_its_total():
    used = Usage.of(dict.fromkeys(ITEMS, 1_000))
    found = bill(used, US_EAST_1)
    assert sum(found.by_service().values()) == found.total
    assert {line.item for line in found.lines} == set(ITEMS)


def test_a_line_says_how_its_quantity_and_its_price_are_known():
    used = Usage.of({"lambda.requests": 5}, MEASURED) + Usage.of({"s3.puts": 5}, COUNTED)
    lines = {line.item: line for line in bill(used, US_EAST_1).lines}
    assert (lines["lambda.requests"].known, lines["s3.puts"].known) == (MEASURED, COUNTED)
    assert lines["s3.puts"].grade == "copied"


def test_a_sum_is_known_as_well_as_the_worst_of_its_parts():
    used = Usage.of({"s3.puts": 5}, COUNTED) + Usage.of({"s3.puts": 5}, ASSUMED)
    assert used.known["s3.puts"] == ASSUMED
    assert used.get("s3.puts") == 10


def test_what_has_no_price_stops_the_bill_by_name(tmp_path):
    file = tmp_path / "prices.yaml"
    file.write_text("prices: {lambda.requests: 0.0000002}")
    with pytest.raises(BadInput, match=r"s3\.puts"):
        bill(Usage.of({"s3.puts": 1}), load_prices("eu-west-3", file))


def test_traffic_does_not_hold_what_only_stands_there():
    used = Usage.of({"lambda.requests": 5, "lambda.provisioned.allocated.x86_64": 7})
    assert dict(used.of_traffic().quantities) == {"lambda.requests": 5}


def test_a_gigabyte_is_1024_megabytes():
    assert gigabytes(1024**3) == 1


def test_amounts_are_read_in_cents_unless_cents_say_nothing():
    assert dollars(Decimal("1234.565")) == "$1,234.57"
    assert dollars(Decimal(0)) == "$0.00"
    assert dollars(Decimal("0.00321")) == "$0.0032"
    assert dollars(Decimal("0.00000001")) == "< $0.0001"


@pytest.mark.parametrize(
    ("given", "shown"), [(0.000001, "$0.000001"), (20.0, "$20"), (1.5, "$1.5"), (Decimal("1E+3"), "$1000")]
)
def test_a_limit_is_shown_as_it_was_given_and_never_with_an_exponent(given, shown):
    assert exact_dollars(given) == shown


@pytest.mark.parametrize(
    ("quantity", "unit", "shown"),
    [
        ("10000000", "requests", "10,000,000"),
        ("1234.56", "requests", "1,235"),
        ("3.94", "write units", "4"),
        ("0.394", "write units", "0.394"),
        ("1234.56", "GB-s", "1,234.6"),
        ("1.26", "GB-s", "1.26"),
        ("0.000032", "GB", "0.000032"),
        ("0.000000318", "GB", "< 0.00001"),
        ("0", "GB", "0"),
    ],
)
def test_what_is_counted_is_whole_and_nothing_has_an_exponent(quantity, unit, shown):
    """A month at ten thousand requests has no third of a request, though it is worked out from 500."""
    assert amount_of(Decimal(quantity), unit) == shown


def test_whole_numbers_are_whole_in_json():
    assert number(Decimal("10000000")) == 10_000_000
    assert isinstance(number(Decimal("10000000.0")), int)
    assert number(Decimal("0.125")) == 0.125


quantities = st.dictionaries(
    st.sampled_from(list(ITEMS)), st.decimals(min_value=0, max_value=10**13, places=3), max_size=8
)


@given(quantities)
def test_a_bill_accounts_for_every_unit_once(used):
    found = bill(Usage.of(used), US_EAST_1)
    for item, quantity in used.items():
        assert sum(line.quantity for line in found.lines if line.item == item) == quantity


@given(quantities, quantities)
def test_more_usage_never_costs_less_and_together_never_more_than_apart(one, other):
    """Prices fall with the amount, so a merged bill is at most the sum of two."""
    apart = [bill(Usage.of(used), US_EAST_1).total for used in (one, other)]
    together = bill(Usage.of(one) + Usage.of(other), US_EAST_1).total
    assert max(apart) <= together <= sum(apart)


@given(quantities)
def test_the_free_tier_never_makes_a_bill_dearer_nor_negative(used):
    usage = Usage.of(used)
    assert 0 <= bill(usage, US_EAST_1, free_tier=True).total <= bill(usage, US_EAST_1).total

"""Price tables: what each number must say of itself, and what a file of the user's own replaces."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from serverless_lab.cost.items import ITEMS
from serverless_lab.cost.prices import ASSUMED, GRADES, YOURS, known_regions, load_prices
from serverless_lab.errors import BadInput

REGIONS = known_regions()


def test_the_regions_most_people_deploy_to_have_a_table():
    assert {"us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1", "ap-southeast-2"} <= {
        *REGIONS
    }


@pytest.mark.parametrize("region", REGIONS)
def test_every_table_prices_everything_that_can_be_billed(region):
    """A bill must not stop in the middle because of the Region it is for."""
    prices = load_prices(region)
    assert set(prices.prices) == set(ITEMS)
    assert prices.region == region


@pytest.mark.parametrize("region", REGIONS)
def test_every_price_says_where_it_was_read_and_how_sure_it_is(region):
    for price in load_prices(region).prices.values():
        assert price.source.startswith("https://")
        assert price.seen
        assert price.grade in GRADES
        if price.grade == ASSUMED:
            assert price.note, f"{price.item} is assumed and does not say why"


@pytest.mark.parametrize("region", REGIONS)
def test_tiers_rise_end_open_and_get_cheaper(region):
    for price in load_prices(region).prices.values():
        ends = [tier.up_to for tier in price.tiers]
        assert ends[-1] is None
        bounded = [end for end in ends[:-1] if end is not None]
        assert len(bounded) == len(ends) - 1
        assert bounded == sorted(set(bounded))
        rates = [tier.usd for tier in price.tiers]
        assert rates == sorted(rates, reverse=True)
        assert rates[-1] > 0


@pytest.mark.parametrize("region", REGIONS)
def test_what_is_used_under_provisioned_concurrency_is_cheaper_than_on_demand_and_standing_there_is_not_free(region):
    """The proportion on which break-even rests, in every table: a slipped digit would show here."""
    prices = load_prices(region)
    for architecture in ("x86_64", "arm64"):
        on_demand = prices.of(f"lambda.duration.{architecture}").first_usd
        used = prices.of(f"lambda.provisioned.duration.{architecture}").first_usd
        allocated = prices.of(f"lambda.provisioned.allocated.{architecture}").first_usd
        assert used < on_demand < used + allocated * Decimal("2.5")


def test_an_unknown_region_names_those_there_are_and_the_way_out():
    with pytest.raises(BadInput) as caught:
        load_prices("mars-north-1")
    assert "mars-north-1" in caught.value.message
    assert "us-east-1" in str(caught.value.hint)
    assert "--prices" in str(caught.value.hint)


# --- a file of the user's own ----------------------------------------------------------------------------------------


def test_a_file_replaces_the_prices_it_has_and_leaves_the_others(tmp_path):
    file = _file(tmp_path, "dated: 2026-10-01\nprices:\n  s3.puts: {usd: 0.004, per: 1000}\n")
    prices = load_prices("us-east-1", file)
    assert prices.of("s3.puts").first_usd == Decimal("0.000004")
    assert prices.of("s3.puts").grade == YOURS
    assert prices.of("lambda.requests") == load_prices("us-east-1").of("lambda.requests")
    assert "2026-10-01" in prices.dated


def test_a_plain_number_is_the_price_of_one_unit(tmp_path):
    file = _file(tmp_path, "prices:\n  lambda.duration.x86_64: 0.0000166667\n")
    assert load_prices("us-east-1", file).of("lambda.duration.x86_64").first_usd == Decimal("0.0000166667")


def test_tiers_of_a_file_are_read(tmp_path):
    file = _file(tmp_path, "prices:\n  apigateway.rest: {per: 1000000, tiers: [{up_to: 10, usd: 4}, {usd: 3}]}\n")
    tiers = load_prices("us-east-1", file).of("apigateway.rest").tiers
    assert [(tier.up_to, tier.usd) for tier in tiers] == [(10, Decimal("0.000004")), (None, Decimal("0.000003"))]


def test_a_region_without_a_table_can_be_priced_over_another_whose_prices_are_then_assumed(tmp_path):
    file = _file(tmp_path, "region: eu-west-3\nbase: eu-west-1\nprices:\n  lambda.requests: {usd: 0.2, per: 1000000}\n")
    prices = load_prices("eu-west-3", file)
    assert prices.region == "eu-west-3"
    assert prices.of("lambda.requests").grade == YOURS
    assert prices.of("s3.puts").grade == ASSUMED
    assert prices.of("s3.puts").note == "as in eu-west-1"


def test_a_file_without_a_base_prices_only_what_it_has(tmp_path):
    prices = load_prices("eu-west-3", _file(tmp_path, "prices: {lambda.requests: 0.0000002}\n"))
    with pytest.raises(BadInput, match=r"no price of `s3\.puts`"):
        prices.of("s3.puts")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prices: {lambda.requets: 1}", "lambda.requets"),
        ("prices: {lambda.requests: free}", "free"),
        ("prices: {lambda.requests: -1}", "-1"),
        ("prices: {lambda.requests: true}", "True"),
        ("prices: {lambda.requests: {usd: 1, per: 0}}", "per 0"),
        ("prices: {lambda.requests: {usd: 1, each: 5}}", "each"),
        ("prices: {lambda.requests: {per: 5}}", "no price"),
        ("prices: {lambda.requests: {tiers: [{up_to: 5, usd: 1}]}}", "tiers"),
        ("prices: {lambda.requests: {tiers: [{up_to: 5, usd: 1}, {up_to: 5, usd: 1}, {usd: 1}]}}", "tiers"),
        ("price: {lambda.requests: 1}", "`price`"),
        ("region: eu-west-1\nprices: {lambda.requests: 1}", "eu-west-1"),
        ("prices: {}", "no prices"),
        ("- 1", "not a price file"),
        ("prices: {lambda.requests: [", "neither YAML nor JSON"),
    ],
)
def test_a_file_that_says_something_else_than_prices_is_refused_by_name(tmp_path, text, named):
    with pytest.raises(BadInput) as caught:
        load_prices("us-east-1", _file(tmp_path, text))
    assert named in caught.value.message


def test_a_base_that_has_no_table_is_refused(tmp_path):
    with pytest.raises(BadInput, match="eu-north-9"):
        load_prices("eu-west-3", _file(tmp_path, "base: eu-north-9\nprices: {lambda.requests: 1}"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"nowhere\.yaml"):
        load_prices("us-east-1", tmp_path / "nowhere.yaml")


def _file(folder: Path, text: str) -> Path:
    path = folder / "prices.yaml"
    path.write_text(text)
    return path

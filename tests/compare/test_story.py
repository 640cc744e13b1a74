"""docs/the-story.md: its bills are what the price tables make of its profiles, and what it names is there."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from serverless_lab.compare.variants import load_variants
from serverless_lab.cost.bill import bill
from serverless_lab.cost.prices import load_prices
from serverless_lab.cost.profile import parse_profile
from serverless_lab.scenario import known_scenarios

PAGE = (Path(__file__).parents[2] / "docs" / "the-story.md").read_text()
PROFILES = re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.S)
AMOUNTS = dict(re.findall(r"^\| `(\S+\.yaml)` .*\| \*\*\$([\d,.]+)\*\* \|$", PAGE, re.M))


@pytest.mark.parametrize(("name", "text"), PROFILES, ids=[name for name, _ in PROFILES])
def test_every_bill_of_the_story_is_what_its_profile_costs(name: str, text: str) -> None:
    profile = parse_profile(yaml.safe_load(text), name)
    found = bill(profile.usage, load_prices("us-east-1"))
    assert Decimal(AMOUNTS[name].replace(",", "")) == found.total.quantize(Decimal("0.01"))


def test_the_story_bills_every_mistake_that_the_article_names() -> None:
    assert len(PROFILES) == len(AMOUNTS) >= 5
    assert {"retries.yaml", "duration.yaml", "recursion.yaml", "concurrency.yaml"} <= set(AMOUNTS)


def test_the_scenario_and_the_variants_that_the_story_names_are_there() -> None:
    for name in re.findall(r"--scenario (\S+)", PAGE):
        assert name in known_scenarios()
    known = {variant.name for variant in load_variants(None, Path.cwd()).variants}
    assert set(re.findall(r"--only (\S+)", PAGE)) <= known

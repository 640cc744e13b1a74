"""A month as the user tells it."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from serverless_lab.cost.bill import bill
from serverless_lab.cost.prices import load_prices
from serverless_lab.cost.profile import SCHEMA_FILE, parse_profile, read_profile
from serverless_lab.errors import BadInput

PAGE = Path(__file__).parents[2] / "docs" / "cost.md"


def profile(**changes: Any) -> dict[str, Any]:
    return {"requests_per_month": 10_000_000, "functions": [{"memory_mb": 512, "duration_ms": 156}], **changes}


def amounts(document: dict[str, Any]) -> Any:
    found = bill(parse_profile(document, "shop.yaml").usage, load_prices("us-east-1"))
    return lambda *items: found.amount(*items).quantize(Decimal("0.01"))


def test_ten_million_requests_of_156_ms_at_512_mb():
    amount = amounts(profile())
    assert amount("lambda.duration") == Decimal("13.00")
    assert amount("lambda.requests") == Decimal("2.00")
    assert amount("apigateway.rest") == Decimal("35.00")


def test_an_event_in_s3_for_each_request():
    assert amounts(profile(per_request={"s3_puts": 1}))("s3") == Decimal("50.00")


def test_five_provisioned_environments():
    function = {"memory_mb": 512, "duration_ms": 156, "provisioned": {"environments": 5}}
    amount = amounts(profile(functions=[function]))
    assert amount("lambda.provisioned.allocated") == Decimal("27.00")
    assert amount("lambda.duration") == 0
    assert amount("lambda.provisioned.requests") == Decimal("2.00")


def test_a_share_of_the_invocations_under_provisioned_concurrency():
    function = {"memory_mb": 512, "duration_ms": 156, "provisioned": {"environments": 5, "share": "75%", "hours": 10}}
    found = parse_profile(profile(functions=[function]), "shop.yaml").usage
    assert found.get("lambda.provisioned.requests") == 7_500_000
    assert found.get("lambda.requests") == 2_500_000
    assert found.get("lambda.provisioned.allocated.x86_64") == 5 * Decimal("0.5") * 36_000


def test_cold_starts_are_billed_with_their_init():
    function = {"memory_mb": 1024, "duration_ms": 100, "cold_rate": "1%", "init_ms": 900}
    found = parse_profile(profile(functions=[function]), "shop.yaml")
    assert found.usage.get("lambda.duration.x86_64") == 1_000_000 + 100_000 * Decimal("0.9")
    assert found.init_gb_s == 90_000


def test_everything_else_is_per_request_or_per_month():
    found = parse_profile(
        profile(
            requests_per_month=1000,
            api="http",
            functions=[{"memory_mb": 128, "duration_ms": 1, "architecture": "arm64", "invocations_per_request": 2}],
            per_request={"dynamodb_writes": 2, "sqs_requests": 3, "events": 1, "s3_bytes": 1024**3 / 1000},
            per_month={"scheduler_invocations": 8640, "logs_scanned_gb": 5, "snapstart_cached_gb": 1},
            months_kept={"s3": 3},
            hours=730,
        ),
        "shop.yaml",
    ).usage
    assert found.get("apigateway.http") == 1000
    assert found.get("lambda.requests") == 2000
    assert found.get("lambda.duration.arm64") == Decimal("2000") / 1000 / 8
    assert found.get("dynamodb.writes") == 2000
    assert found.get("s3.storage").quantize(Decimal("0.001")) == 3
    assert found.get("scheduler.invocations") == 8640
    assert found.get("lambda.snapstart.cached") == 730 * 3600


def test_the_command_line_goes_before_the_file(tmp_path: Path):
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(profile(region="eu-west-1")))
    found = read_profile(file, 5)
    assert found.requests_per_month == 5
    assert (found.name, found.region) == ("shop", "eu-west-1")


@pytest.mark.parametrize(
    ("document", "place", "hint"),
    [
        (profile(requests_per_month=-1), "requests_per_month: -1 is less", ""),
        (profile(functions=[]), "functions", ""),
        (profile(functions=[{"memory_mb": 64, "duration_ms": 1}]), "functions[0].memory_mb: 64", ""),
        (profile(functions=[{"memory_mb": 512}]), "functions[0] has no `duration_ms`", ""),
        (profile(function=[]), "unknown key `function`", "did you mean `functions`?"),
        (profile(per_request={"s3_put": 1}), "per_request has an unknown key `s3_put`", "`s3_puts`"),
        (profile(api="graphql"), "api: 'graphql'", ""),
        ([1], "the profile", ""),
        (profile(functions=[{"memory_mb": 512, "duration_ms": 1, "cold_rate": "5%"}]), "no init_ms", "billed"),
        (
            profile(functions=[{"memory_mb": 512, "duration_ms": 1, "cold_rate": "often", "init_ms": 1}]),
            "cold_rate is 'often'",
            "2.5%",
        ),
    ],
)
def test_a_profile_that_cannot_be_meant_is_refused_with_its_place(document, place, hint):
    with pytest.raises(BadInput) as caught:
        parse_profile(document, "shop.yaml")
    assert place in caught.value.message
    assert "shop.yaml" in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_file_that_is_not_there_or_not_yaml_is_named(tmp_path: Path):
    with pytest.raises(BadInput, match="cannot be read"):
        read_profile(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("functions: [")
    with pytest.raises(BadInput, match="neither YAML nor JSON"):
        read_profile(broken)


def test_the_documentation_names_every_key():
    keys = set(re.findall(r'"([a-z0-9_]+)": \{ ?"(?:type|enum)|"([a-z_0-9]+)": \{\n', SCHEMA_FILE.read_text()))
    text = PAGE.read_text()
    missing = {name for pair in keys for name in pair if name and f"`{name}`" not in text and f"{name}:" not in text}
    assert missing <= {"properties", "items"}


def test_the_profile_of_the_documentation_is_one():
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S):
        if "requests_per_month" in block:
            assert parse_profile(yaml.safe_load(block), "docs").usage.quantities

"""What Lambda refuses of a configuration, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from serverless_lab.emulator.configuration import INVALID_PARAMETER, RESERVED_VARIABLES, VALIDATION, refusal


def variables(**given: str) -> dict[str, Any]:
    return {"Environment": {"Variables": given}}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"Environment": None, "Layers": None, "EphemeralStorage": None},
        variables(TABLE="events", PATH="/x", LANG="C", TZ="UTC", NODE_OPTIONS="--x", PYTHONPATH="x", ab=""),
        {"EphemeralStorage": {"Size": 512}},
        {"EphemeralStorage": {"Size": 10_240}},
        {"Layers": [f"arn:aws:lambda:us-east-1:000000000000:layer:l{number}:1" for number in range(5)]},
    ],
)
def test_what_lambda_takes_is_taken(asked: dict[str, Any]):
    assert refusal(asked) is None


def test_every_reserved_name_is_refused_and_all_of_them_are_named():
    found = refusal(variables(**dict.fromkeys(sorted(RESERVED_VARIABLES), "x")))
    assert found is not None and found.code == INVALID_PARAMETER
    assert found.message.endswith(", ".join(sorted(RESERVED_VARIABLES)))


def test_the_four_kilobytes_count_names_quotes_and_what_utf_8_takes():
    """As AWS measures it: the JSON text of all variables."""
    rest = len('{"NAME":""}')
    assert refusal(variables(NAME="x" * (4_096 - rest))) is None
    assert refusal(variables(NAME="x" * (4_097 - rest))) is not None
    assert refusal(variables(NAME="é" * ((4_096 - rest) // 2 + 1))) is not None


@pytest.mark.parametrize("name", ["1A", "A", "_A", "A-B", "A B", "Ä1", ""])
def test_a_malformed_name_is_a_validation_error_with_the_pattern(name: str):
    found = refusal({"Environment": {"Variables": {name: "x"}}})
    assert found is not None and found.code == VALIDATION

"""From a function's result to what the caller of its URL gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serverless_lab.emulator.function_urls import answer, is_function_url


@pytest.mark.parametrize(
    ("body", "text"), [({"a": 1}, '{"a": 1}'), ("hi", "hi"), (None, "null"), ([1], "[1]"), (b"raw", "raw")]
)
def test_an_answer_without_a_status_is_a_200(body: Any, text: str):
    found = answer({"body": body})
    assert (found["statusCode"], found["body"]) == (200, text)


@pytest.mark.parametrize("status", ["abc", None, 99, 700, {}])
def test_a_status_that_is_none_is_a_502(status: Any):
    assert answer({"body": {"statusCode": status, "body": "x"}})["statusCode"] == 502


def test_a_failed_function_says_nothing_and_a_throttle_says_why():
    failed = answer({"error": True, "body": {"errorMessage": "secret", "statusCode": 200}})
    assert (failed["statusCode"], failed["body"]) == (502, "Internal Server Error")
    throttled = answer({"throttle": True, "error": True, "body": {"Reason": "ConcurrentInvocationLimitExceeded"}})
    assert throttled["statusCode"] == 429
    assert json.loads(throttled["body"])["Reason"] == "ConcurrentInvocationLimitExceeded"


def test_only_addresses_of_functions_are_taken_for_them():
    """Their CORS settings are their own, so that the refusal of foreign pages must not be lifted for anything else."""
    url_id = "a" * 32
    assert is_function_url(f"{url_id}.lambda-url.us-east-1.localhost:4600", "/")
    assert is_function_url("127.0.0.1:4600", f"/_aws/lambda-url/{url_id}/")
    for host, path in (("127.0.0.1", "/2015-03-31/functions"), ("localhost", "/x/_aws/lambda-url/"), ("a.b", "/")):
        assert not is_function_url(host, path)

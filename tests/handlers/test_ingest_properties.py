"""What holds for any body: never a 5xx, always stored when accepted, the same in both init styles."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from .conftest import Context

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

# Surrogates, NaN, empty names, huge and tiny numbers: all that JSON in the wild has.
TEXT = st.text(st.characters(), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.decimals(allow_nan=False).map(str)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)
KNOWN = st.sampled_from(["page_view", "order_placed", "search_submitted", "device_paired"])
PROPERTIES = st.dictionaries(
    st.sampled_from(["url", "load_ms", "order_id", "total", "is_first", "query"]) | TEXT, VALUES, max_size=5
)
EVENTS = st.fixed_dictionaries(
    {"userId": st.text(min_size=1, max_size=10) | VALUES, "eventType": KNOWN | VALUES},
    optional={
        "timestamp": st.datetimes(timezones=st.just(UTC)).map(str) | st.integers() | VALUES,
        "properties": PROPERTIES | VALUES,
        "eventId": st.uuids().map(str) | VALUES,
        "more": VALUES,
    },
)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False).map(
    lambda number: f'{{"userId": "u", "eventType": "click", "properties": {{"n": {number}}}}}'
)
# Valid but for what is in the properties: these are the ones that reach the stores.
PLAUSIBLE = st.fixed_dictionaries({"userId": st.just("u"), "eventType": KNOWN, "properties": PROPERTIES})
BODIES = (
    st.none()
    | st.text(max_size=50)
    | VALUES.map(json.dumps)
    | EVENTS.map(json.dumps)
    | PLAUSIBLE.map(json.dumps)
    | NUMBERS
)

RELAXED = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@RELAXED
@given(body=BODIES, encoded=st.booleans())
def test_any_body_gets_202_or_400_and_what_is_accepted_is_storable(
    ingest: dict[str, ModuleType], body: str | None, encoded: bool
):
    """What DynamoDB or S3 would refuse must be refused first: `queued` here would be a message that never succeeds."""
    if encoded and body is not None:
        body = base64.b64encode(body.encode(errors="surrogatepass")).decode()
    for style in ("eager", "lazy"):
        answer = ingest[style].handler({"body": body, "isBase64Encoded": encoded}, Context())
        event(str(answer["statusCode"]))
        assert answer["statusCode"] in (202, 400)
        if answer["statusCode"] == 202:
            assert json.loads(answer["body"])["status"] == "stored"


@RELAXED
@given(body=BODIES)
def test_eager_and_lazy_give_the_same_verdict(ingest: dict[str, ModuleType], body: str | None):
    """A measured difference between them is one of initialisation only if they do the same work."""
    eager, lazy = ingest["eager"], ingest["lazy"]

    def verdict(plan: Any, limits: Any) -> Any:
        try:
            accepted = ingest["intake"].accept({"body": body}, plan, limits, NOW)
        except ingest["intake"].Refused as refusal:
            return str(refusal)
        # Only an id the client did not choose may differ.
        chosen = (json.loads(body or "null") or {}).get("eventId") is not None
        return {name: value for name, value in accepted.item.items() if chosen or name != "eventId"}

    assert verdict(lambda: eager.PLAN, lambda: eager.SETTINGS) == verdict(lazy.plan, lazy.settings)

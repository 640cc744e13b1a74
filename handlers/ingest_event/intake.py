"""From an API Gateway proxy event to a checked analytics event, or to the reason why it is refused.

No I/O happens here. Both init styles use this module, so that they cannot differ in what they accept.
"""

import base64
import binascii
import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import tracking_plan

# An item in DynamoDB may have 400 KB, a message in SQS was long held to 256 KB. With 64 KB a body fits both, whatever
# is in it and however it is escaped.
MAX_BODY_BYTES = 64 * 1024
# Both become part of a sort key in the aggregations table, which may have 1,024 bytes.
MAX_USER_ID_BYTES = 256
MAX_EVENT_TYPE_BYTES = 128
# DynamoDB stores 32 levels; half of it leaves room for what we add around the properties.
MAX_DEPTH = 16
# DynamoDB numbers: 38 digits, magnitude up to 9.99E+125; boto3's serializer stops at 1E-128 on the small side.
# documented: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
MAX_NUMBER_DIGITS = 38
NUMBER_EXPONENTS = range(-128, 126)

EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")

RETENTION = timedelta(days=90)


class Refused(Exception):
    """The event is the caller's mistake; the message is the reason they get."""


@dataclass(frozen=True)
class Settings:
    """The acceptance window for clients' clocks. Outside it, the time of receipt counts instead."""

    earliest: datetime
    max_future: timedelta

    @classmethod
    def from_text(cls, text):
        """Settings from the parameter's JSON. Raises ValueError, KeyError or TypeError when it is malformed."""
        data = json.loads(text)
        earliest = datetime.fromisoformat(data["earliestTimestamp"])
        if earliest.tzinfo is None:
            earliest = earliest.replace(tzinfo=UTC)
        max_future = timedelta(minutes=data["maxFutureMinutes"])
        if not timedelta(0) <= max_future <= timedelta(days=366):
            raise ValueError("maxFutureMinutes must be between 0 minutes and 366 days")
        return cls(earliest, max_future)


# Used when the parameter cannot be read: a missing setting must not stop events from being collected.
DEFAULT_SETTINGS = Settings(datetime(2015, 1, 1, tzinfo=UTC), timedelta(minutes=1440))


@dataclass(frozen=True)
class Accepted:
    """A checked event: the item to store and the body as it came."""

    item: dict
    body: bytes
    raw_key: str

    @property
    def event_id(self):
        return self.item["eventId"]


def accept(api_event, plan, settings, now):
    """The event in an API Gateway proxy event.

    Args:
        plan: a function that returns the tracking plan.
        settings: a function that returns Settings; called only for an event that brings its own timestamp.
        now: the time of receipt, with a zone.

    Raises:
        Refused: with the reason.
    """
    raw = _raw_body(api_event)
    body = _parse(raw)
    user_id = _text(body, "userId", MAX_USER_ID_BYTES)
    event_type = _text(body, "eventType", MAX_EVENT_TYPE_BYTES)
    event_id = _event_id(body.get("eventId"))
    properties = body.get("properties")
    if properties is None:
        properties = {}
    if not isinstance(properties, dict):
        raise Refused("properties must be an object")
    _check_storable(properties)

    violations = tracking_plan.violations(plan(), event_type, properties)
    occurred = now
    if body.get("timestamp") is not None:
        stated = _timestamp(body["timestamp"])
        limits = settings()
        if limits.earliest <= stated <= now + limits.max_future:
            occurred = stated
        else:
            violations.append("timestamp is outside the acceptance window")
    item = {
        "eventId": event_id,
        "userId": user_id,
        "eventType": event_type,
        "category": tracking_plan.category(plan(), event_type),
        "occurredAt": _iso(occurred),
        "receivedAt": _iso(now),
        "day": f"{occurred:%Y-%m-%d}",
        "properties": properties,
        "violations": violations,
        # DynamoDB's TTL reads epoch SECONDS; milliseconds would be a date some 50,000 years ahead: never deleted.
        # documented: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html
        "expiresAt": int((now + RETENTION).timestamp()),
    }
    return Accepted(item, raw, f"events/{now:%Y/%m/%d}/{event_id}.json")


def _raw_body(api_event):
    body = api_event.get("body") if isinstance(api_event, dict) else None
    if body is None:
        raise Refused("a JSON body is required")
    if not isinstance(body, str):
        raise Refused("the body must be text")
    if api_event.get("isBase64Encoded"):
        if len(body) > MAX_BODY_BYTES * 4 // 3 + 4:
            raise Refused(f"the body is larger than {MAX_BODY_BYTES} bytes")
        try:
            raw = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise Refused("the body is not valid base64") from None
    else:
        try:
            raw = body.encode()
        except UnicodeEncodeError:
            raise Refused("the body is not valid Unicode") from None
    if len(raw) > MAX_BODY_BYTES:
        raise Refused(f"the body is larger than {MAX_BODY_BYTES} bytes")
    return raw


def _parse(raw):
    try:
        body = json.loads(raw.decode(), parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, ArithmeticError, RecursionError):
        raise Refused("the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused("the body must be a JSON object")
    return body


def _no_constant(name):
    # JSON has no NaN and no Infinity; Python's parser would let them through.
    raise ValueError(name)


def _text(body, name, max_bytes):
    value = body.get(name)
    if value is None:
        raise Refused(f"{name} is required")
    if not isinstance(value, str) or not value.strip():
        raise Refused(f"{name} must be a non-empty string")
    if CONTROL_CHARACTER.search(value) or not _encodable(value):
        raise Refused(f"{name} has characters that cannot be stored")
    if len(value.encode()) > max_bytes:
        raise Refused(f"{name} is longer than {max_bytes} bytes")
    return value


def _event_id(value):
    if value is None:
        return str(uuid.uuid4())
    if not isinstance(value, str) or not EVENT_ID.fullmatch(value):
        raise Refused("eventId must be 1 to 128 letters, digits, hyphens or underscores")
    return value


def _timestamp(value):
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=value)
        if isinstance(value, str):
            stated = datetime.fromisoformat(value)
            return stated.replace(tzinfo=UTC) if stated.tzinfo is None else stated.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Refused("timestamp must be an ISO 8601 date and time or epoch milliseconds")


def _check_storable(properties):
    """Refuse what DynamoDB could not store, here and with a reason rather than there and with an error."""
    pending = [(properties, 1)]
    while pending:
        value, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise Refused(f"properties are nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, dict):
            for name in value:
                if not name:
                    raise Refused("properties must not have an empty name")
                if not _encodable(name):
                    raise Refused("properties have a name that is not valid Unicode")
            pending.extend((inner, depth + 1) for inner in value.values())
        elif isinstance(value, list):
            pending.extend((inner, depth + 1) for inner in value)
        elif isinstance(value, str):
            if not _encodable(value):
                raise Refused("properties have text that is not valid Unicode")
        elif isinstance(value, int | Decimal) and not isinstance(value, bool):
            number = Decimal(value)
            if len(number.as_tuple().digits) > MAX_NUMBER_DIGITS or number.adjusted() not in NUMBER_EXPONENTS:
                raise Refused("properties have a number that cannot be stored exactly")


def _encodable(text):
    # "\ud800" is allowed in JSON but is half a character: UTF-8, and so every store, has no place for it.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _iso(moment):
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

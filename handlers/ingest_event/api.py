"""POST /events: what ingest-event answers, in either init style."""

import json
from datetime import UTC, datetime

import intake
import stores


def is_warming_ping(event):
    return isinstance(event, dict) and event.get("source") == "warming"


def read_settings(ssm, name):
    """The Settings in parameter `name`; the default ones, with a line in the log, when it cannot be read."""
    try:
        return intake.Settings.from_text(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except (*stores.FAILURES, ValueError, KeyError, TypeError, OverflowError) as error:
        print(
            json.dumps({"level": "WARN", "message": "default settings are used", "parameter": name, "why": str(error)})
        )
        return intake.DEFAULT_SETTINGS


def ingest(event, plan, settings, destinations):
    """The API Gateway proxy response for `event`.

    `plan`, `settings` and `destinations` are functions that return what they are named after; called when needed.
    """
    try:
        accepted = intake.accept(event, plan, settings, datetime.now(UTC))
    except intake.Refused as refusal:
        return _answer(400, {"error": "invalid event", "reason": str(refusal)})
    try:
        status = destinations().save(accepted)
    except stores.FAILURES as error:
        print(json.dumps({"level": "ERROR", "message": "lost", "eventId": accepted.event_id, "why": str(error)}))
        return _answer(503, {"error": "the event could not be stored", "eventId": accepted.event_id})
    return _answer(202, {"eventId": accepted.event_id, "status": status})


def _answer(status_code, body):
    return {
        "statusCode": status_code,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(body),
    }

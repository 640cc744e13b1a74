"""The tracking plan: which event types exist, and which properties each should carry.

`tracking_plan.yaml` is the source people edit. `tracking_plan.json` is compiled from it and holds only what the
function needs. Run this module to compile: `python handlers/ingest_event/tracking_plan.py`.

A plan in memory is `{event type: {"category": str, "properties": {name: [kind, required]}}}`, from either file.
"""

import json
from decimal import Decimal
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "tracking_plan.yaml"
COMPILED = FOLDER / "tracking_plan.json"

UNKNOWN_CATEGORY = "uncategorised"


def from_yaml():
    """The plan, parsed from the source with PyYAML's own (pure Python) loader, as most functions do."""
    import yaml

    document = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    common = _properties(document["every_event"])
    return {
        entry["name"]: {"category": entry["category"], "properties": _properties(entry["properties"]) | common}
        for entry in document["events"]
    }


def _properties(entries):
    return {wanted["name"]: [wanted["type"], wanted.get("required", False)] for wanted in entries}


def from_json():
    """The same plan from the compiled file."""
    return json.loads(COMPILED.read_text(encoding="utf-8"))


def category(plan, event_type):
    known = plan.get(event_type)
    return known["category"] if known else UNKNOWN_CATEGORY


def violations(plan, event_type, properties):
    """What is wrong with an event by the plan, as sentences in the plan's order; empty when all is well.

    A violation does not refuse an event: data that is collected and marked can be repaired, data refused is lost.
    """
    known = plan.get(event_type)
    if known is None:
        return ["event type is not in the tracking plan"]
    found = []
    for name, (kind, required) in known["properties"].items():
        value = properties.get(name)
        if value is None:
            if required:
                found.append(f"property {name} is missing")
        elif not _is(kind, value):
            found.append(f"property {name} is not a {kind}")
    return found


def _is(kind, value):
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | Decimal) and not isinstance(value, bool)
    return isinstance(value, str)


def compile_plan():
    """The text of `tracking_plan.json`."""
    return json.dumps(from_yaml(), separators=(",", ":")) + "\n"


if __name__ == "__main__":
    COMPILED.write_text(compile_plan(), encoding="utf-8")

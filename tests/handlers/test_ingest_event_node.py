"""The Node.js version of ingest-event: the same answers and the same stored items as the Python one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from serverless_lab.emulator import runtime_directory
from serverless_lab.emulator.runtimes import find_node
from serverless_lab.errors import EmulatorError

from .conftest import HANDLERS, Context, World
from .test_ingest_event import REFUSED

NODE = find_node()
pytestmark = pytest.mark.skipif(NODE is None, reason="this host has no Node.js")

DRIVER = """
    import { createInterface } from 'node:readline';
    const { handler } = await import(process.argv[2]);
    for await (const line of createInterface({ input: process.stdin })) {
        process.stdout.write(`ANSWER ${JSON.stringify(await handler(JSON.parse(line)))}\\n`);
    }
"""


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The function's code beside AWS's SDK, as a Lambda runtime would have them."""
    assert NODE is not None
    try:
        runtime = runtime_directory.prepare_node(NODE)
    except EmulatorError as error:
        pytest.skip(error.message)
    folder = tmp_path_factory.mktemp("node") / "code"
    shutil.copytree(HANDLERS / "ingest_event_node", folder)
    (folder / "node_modules").symlink_to(runtime / "node_modules")
    (folder / "driver.mjs").write_text(DRIVER)
    return folder


def answers(folder: Path, style: str, bodies: list[Any], **variables: str) -> list[tuple[int, dict[str, Any]]]:
    """Status and body of each answer, all by one process."""
    assert NODE is not None
    events = [body if isinstance(body, dict) else {"httpMethod": "POST", "body": body} for body in bodies]
    done = subprocess.run(
        [str(NODE.path), "driver.mjs", f"./{style}.mjs"],
        cwd=folder,
        input="".join(json.dumps(event) + "\n" for event in events),
        env={**os.environ, "AWS_REGION": "us-east-1", **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    return [(answer["statusCode"], json.loads(answer["body"])) for answer in found]


def test_both_languages_refuse_the_same_bodies_for_the_same_reasons(node_folder: Path, ingest: dict[str, ModuleType]):
    bodies = [{"httpMethod": "POST", "body": body} for body in REFUSED.values()]
    bodies += [{"body": body, "isBase64Encoded": True} for body in ("%%%", "//4=", "eA==")]
    found = [ingest["lazy"].handler(event, Context()) for event in bodies]
    assert answers(node_folder, "lazy", bodies) == [(item["statusCode"], json.loads(item["body"])) for item in found]


ACCEPTED = [
    {"userId": "zoë", "eventType": "page_view", "properties": {"url": "/", "load_ms": 12.5, "is_employee": "no"}},
    {"userId": "ana", "eventType": "click", "timestamp": "2026-03-01T23:30:00-02:00"},
    {"userId": "ana", "eventType": "click", "timestamp": 1_772_323_200_000},
    {"userId": "ana", "eventType": "click", "timestamp": 0},
    {"userId": "ana", "eventType": "no such", "properties": {"deep": [{"y": [None, True, "\ue000n5"]}], "\ue000": 1}},
]
EXACT = '{"userId": "ana", "eventType": "click", "properties": {"x": 12345678901234567890123456789012345678}}'


@pytest.mark.parametrize("style", ["eager", "lazy"])
def test_both_languages_store_the_same_item(style: str, node_folder: Path, ingest: dict[str, ModuleType], world: World):
    """Numbers too, which JavaScript alone would round."""
    bodies = [json.dumps(body) for body in ACCEPTED] + [EXACT]
    stored = answers(node_folder, style, bodies)
    for body, (status, answer) in zip(bodies, stored, strict=True):
        assert (status, answer["status"]) == (202, "stored")
        twin = json.loads(ingest[style].handler({"httpMethod": "POST", "body": body}, Context())["body"])
        of_node, of_python = world.event(answer["eventId"]), world.event(twin["eventId"])
        assert of_node is not None and of_python is not None
        volatile = ("eventId", "receivedAt", "expiresAt") + (() if "timestamp" in json.loads(body) else ("occurredAt",))
        if of_node["violations"]["L"] and "window" in of_node["violations"]["L"][-1]["S"]:
            volatile += ("occurredAt",)
        assert {name: value for name, value in of_node.items() if name not in volatile} == {
            name: value for name, value in of_python.items() if name not in volatile
        }
        assert world.raw(answer["eventId"]) == [body.encode()]


def test_what_a_store_refuses_is_queued_for_retry_event(node_folder: Path, load: Any, world: World):
    """The message is the same in both languages: retry-event, which is Python, stores what it holds."""
    body = json.dumps({"userId": "zoë", "eventType": "click", "properties": {"x": 0.1}})
    ((status, answer),) = answers(node_folder, "lazy", [body], EVENTS_TABLE="not-there")
    assert (status, answer["status"]) == (202, "queued")
    (message,) = world.queued()
    assert message["missing"] == ["table"]
    record = {"messageId": "m-1", "body": json.dumps(message)}
    assert load("retry_event").handler({"Records": [record]}, Context()) == {"batchItemFailures": []}
    item = world.event(answer["eventId"])
    assert item is not None and item["properties"]["M"]["x"] == {"N": "0.1"}


def test_503_when_the_queue_is_away_too_and_a_warming_ping_is_answered_at_once(node_folder: Path):
    event = json.dumps({"userId": "ana", "eventType": "click"})
    away = {"EVENTS_TABLE": "not-there", "RETRY_QUEUE_URL": "http://localhost/000000000000/not-there"}
    ((status, answer),) = answers(node_folder, "eager", [event], **away)
    assert status == 503 and answer["eventId"]

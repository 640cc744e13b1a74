"""`lab load --worker`: this machine's share of another one's load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from serverless_lab.cli.options import print_json, say
from serverless_lab.project import Project


def send_share(
    master_host: str, master_port: int, *, wait_s: int, processes: int, headers: dict[str, str], as_json: bool
) -> None:
    """Send what the master asks for, and say how much that was. What was measured goes to the master."""
    from serverless_lab.load.remote import run_worker

    folder = Project().state / "worker"
    folder.mkdir(parents=True, exist_ok=True)

    def on_fact(fact: Mapping[str, Any]) -> None:
        if fact["event"] == "share" and not as_json:
            say(f"share {fact['index'] + 1} of {fact['workers']} of {fact['scenario']}, sent to {fact['url']}")

    result = run_worker(
        master_host=master_host,
        master_port=master_port,
        folder=folder,
        processes=processes,
        wait_s=wait_s,
        headers=headers,
        on_fact=on_fact,
    )
    if as_json:
        print_json(result.to_json())
    else:
        say(f"{result.sent} requests sent, {result.failed} failed; their rows are with the master")
    if result.interrupted:
        raise typer.Exit(130)

"""Shows a stack's events while they come: a table that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from serverless_lab.deploy.events import STACK_TYPE, StackEvent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

ROWS_MAX = 30


class StackProgress:
    """`with StackProgress(console) as progress: deploy_stack(..., on_event=progress.event, on_step=progress.step)`.

    Args:
        console: where to show it; standard error when none is given, because standard output is for data.
        quiet: show nothing, for `--json`.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        from rich.console import Console

        self._console = console or Console(stderr=True)
        self._quiet = quiet
        self._moves = self._console.is_terminal and not quiet
        self._live: Live | None = None
        self._rows: dict[str, StackEvent] = {}
        self._step = ""

    def __enter__(self) -> StackProgress:
        if self._moves:
            from rich.live import Live

            self._live = Live(console=self._console, get_renderable=self._view, refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._step = ""
            self._live.stop()

    def step(self, sentence: str) -> None:
        """A new step begins; rows of the one before stay."""
        self._step = sentence
        if self._moves:
            self._refresh()
        elif not self._quiet:
            self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def event(self, event: StackEvent) -> None:
        # The last word on each resource is what a row says; a resource moves to the end when it is spoken of again.
        self._rows.pop(event.logical_id, None)
        self._rows[event.logical_id] = event
        if self._moves:
            self._refresh()
        elif not self._quiet:
            reason = f"  {event.reason}" if event.reason else ""
            line = f"{event.timestamp:%H:%M:%S}  {event.status:<28} {event.logical_id} ({event.resource_type}){reason}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.refresh()

    def _view(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        done = sum(not event.in_progress for event in self._rows.values() if event.resource_type != STACK_TYPE)
        title = self._step or f"{done} resources"
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in ("status", "resource", "type"):
            table.add_column(column)
        for event in list(self._rows.values())[-ROWS_MAX:]:
            style = "red" if event.failed or "ROLLBACK" in event.status else "yellow" if event.in_progress else "green"
            table.add_row(Text(event.status, style=style), Text(event.logical_id), Text(event.resource_type))
            if event.reason and event.failed:
                table.add_row("", Text(event.reason, style="red"), "")
        return table

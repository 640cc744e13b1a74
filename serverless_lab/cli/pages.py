"""Writing the report as an HTML page: where it was asked for, and into the folder of its run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from serverless_lab.cli.options import say
from serverless_lab.errors import BadInput
from serverless_lab.project import read_json, write_text

if TYPE_CHECKING:
    from serverless_lab.coldstarts.judgement import Judgement
    from serverless_lab.coldstarts.report import ColdStartReport
    from serverless_lab.reporting.sections import Section

DEFAULT_REGION = "us-east-1"

PAGE_FILE = "report.html"
"""In a run's folder."""


def check_page(path: Path) -> None:
    """Look at where a page is to go before anything is read for it.

    Raises:
        BadInput: a folder is in its place, or the folder it should go to is not there.
    """
    if path.is_dir():
        raise BadInput(f"--html: {path} is a folder", hint=f"name a file in it: --html {path / PAGE_FILE}")
    if not path.parent.is_dir():
        raise BadInput(f"--html: there is no folder {path.parent}", hint=f"make it first: mkdir -p {path.parent}")


def unwritable(path: Path, error: OSError) -> BadInput:
    """The error of a file that the user asked for and that could not be written."""
    return BadInput(f"{path} cannot be written: {error.strerror}", hint="name a file in a folder you may write to")


def write_pages(
    report: ColdStartReport, judgement: Judgement | None, *, run_folder: Path | None = None, to: Path | None = None
) -> None:
    """Write the page to `to`, and to the run's folder as report.html, and say where it is.

    The folder's page comes with every report, unasked: that it cannot be written is said, and is no failure.

    Raises:
        BadInput: `to` cannot be written.
    """
    text = _page(report, judgement, run_folder)
    if to is not None:
        try:
            write_text(to, text)
        except OSError as error:
            raise unwritable(to, error) from error
        say(f"HTML report: {to}")
    if run_folder is not None:
        page = run_folder / PAGE_FILE
        try:
            write_text(page, text)
        except OSError as error:
            say(f"warning: no HTML report: {page} cannot be written: {error.strerror}")
            return
        if to is None:
            say(f"HTML report: {page}")


def _page(report: ColdStartReport, judgement: Judgement | None, run_folder: Path | None) -> str:
    from serverless_lab.coldstarts.runs import MANIFEST_FILE, REQUESTS_FILE
    from serverless_lab.reporting.document import html_document

    if run_folder is None:
        return html_document(report, judgement)
    import pandas as pd

    requests_file = run_folder / REQUESTS_FILE
    requests = pd.read_parquet(requests_file) if requests_file.is_file() else None
    manifest = read_json(run_folder / MANIFEST_FILE)
    return html_document(report, judgement, manifest=manifest, requests=requests, extra=_cost(run_folder))


def _cost(run_folder: Path) -> list[Section]:
    """What the run costs; a sentence on why not where that cannot be said: it is no reason to have no page."""
    from serverless_lab.cost.prices import load_prices
    from serverless_lab.cost.report import of_run
    from serverless_lab.cost.run_usage import read_run
    from serverless_lab.errors import LabError
    from serverless_lab.reporting.costs import cost_section
    from serverless_lab.reporting.sections import Section, Sentence

    try:
        run = read_run(run_folder)
        return [cost_section(of_run(run, load_prices(run.region or DEFAULT_REGION)))]
    except LabError as error:
        return [Section("cost", "Cost", [Sentence(f"Cannot be told: {error.message}.")])]

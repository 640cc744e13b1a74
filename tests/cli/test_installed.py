"""What a user gets from the package index: the wheel alone, without the repository beside it."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from tests.cli.conftest import Lab

REPOSITORY = Path(__file__).parents[2]
BUILD = "import sys, hatchling.build; hatchling.build.build_wheel(sys.argv[1])"

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """`lab` from a wheel built now, in an environment that sees lab's dependencies and not its checkout."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=REPOSITORY, check=True, capture_output=True)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    [site] = (folder / "venv" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    (site / "dependencies.pth").write_text(f"{Path(typer.__file__).parents[1]}\n")
    made = Lab(folder / "work", command=(str(folder / "venv" / "bin" / "python"), "-m", "serverless_lab.cli.main"))
    made.directory.mkdir()
    where = subprocess.run(
        [made.command[0], "-c", "import serverless_lab; print(serverless_lab.__file__)"],
        cwd=made.directory,
        env=made.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(site))
    yield made
    made.end()


def test_the_wheel_brings_the_command_the_scenarios_and_the_handlers(installed: Lab) -> None:
    site = next((installed.directory.parent / "venv" / "lib").glob("python*/site-packages"))
    [entry_points] = site.glob("serverless_lab-*.dist-info/entry_points.txt")
    assert "lab = serverless_lab.cli.main:run" in entry_points.read_text()
    bundled = site / "serverless_lab" / "bundled"
    for folder in ("scenarios", "handlers"):
        here = {
            path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / folder).rglob("*.*") if path.is_file()
        }
        there = {path.relative_to(bundled).as_posix() for path in (bundled / folder).rglob("*.*") if path.is_file()}
        assert {name for name in here if "__pycache__" not in name} == there


def test_bundled_scenarios_are_found_without_the_repository(installed: Lab) -> None:
    hint = installed.refused("load", "--scenario", "nothing-like-it").hint
    for name in ("ab", "monday-spike", "smooth"):
        assert name in hint
        # The scenario is read first, so it was found when the deployment is what is missing.
        assert "nothing is deployed" in installed.refused("load", "--scenario", name).error


def test_bundled_handlers_are_deployed_without_the_repository(installed: Lab) -> None:
    deployment = installed("deploy", "--parameter", "InitStyle=lazy", "--json").json
    assert "/serverless_lab/bundled/handlers/" in deployment["template"]
    assert installed("invoke", "ingest-event", "--event", '{"source": "warming", "action": "ping"}').json == {
        "warmed": True
    }

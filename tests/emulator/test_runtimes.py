"""Which interpreter a function runs on, and what is said when it is not the one it names."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from serverless_lab.deploy.parameters import host_parameters
from serverless_lab.deploy.template import read_template
from serverless_lab.emulator import runtime_directory, runtimes
from serverless_lab.emulator.runtimes import Family, Interpreter, Runtimes, bundled_python, find_node, find_python
from serverless_lab.errors import EmulatorError
from serverless_lab.project import bundled
from tests.conftest import SAMPLES

NOWHERE = {"PATH": "/nonexistent", "HOME": "/nonexistent"}


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def a_python(path: Path, version: str, configured: str = "'--enable-optimizations'") -> Path:
    """Something that answers as a CPython of that version does, built as `configured`."""
    lines = "\n".join(["cpython", *version.split("."), str(path), "/opt", configured.replace("'", "")])
    return script(path, f"printf '%s' '{lines}'")


def test_labs_own_version_needs_no_search():
    found = find_python(sys.version_info.minor, NOWHERE)
    assert found is not None and found.version == tuple(sys.version_info[:3])


def test_an_interpreter_is_found_by_its_variable_on_the_path_in_pyenv_and_in_uv(tmp_path: Path):
    minor = sys.version_info.minor + 1
    named = a_python(tmp_path / "named" / "python", f"3.{minor}.9")
    on_path = a_python(tmp_path / "bin" / f"python3.{minor}", f"3.{minor}.1")
    pyenv = a_python(tmp_path / ".pyenv" / "versions" / f"3.{minor}.10" / "bin" / f"python3.{minor}", f"3.{minor}.10")
    a_python(tmp_path / ".pyenv" / "versions" / f"3.{minor}.2" / "bin" / f"python3.{minor}", f"3.{minor}.2")
    uv = a_python(
        tmp_path / "data" / "uv" / "python" / f"cpython-3.{minor}.3-linux" / "bin" / f"python3.{minor}", f"3.{minor}.3"
    )
    home = {**NOWHERE, "HOME": str(tmp_path)}

    def at(**more: str) -> Path | None:
        found = find_python(minor, {**home, **more})
        return None if found is None else found.path

    assert at(**{f"LAB_PYTHON_3_{minor}": str(named)}, PATH=str(on_path.parent)) == named
    assert at(PATH=str(on_path.parent)) == on_path
    assert at() == pyenv, "the newest of pyenv's"
    assert at(HOME="/nonexistent", XDG_DATA_HOME=str(tmp_path / "data")) == uv
    assert at(HOME="/nonexistent") is None


def test_an_optimized_build_goes_before_one_that_is_found_earlier(tmp_path: Path):
    """AWS's are optimized, and one that is not makes every init longer."""
    minor = sys.version_info.minor + 1
    plain = a_python(tmp_path / "bin" / f"python3.{minor}", f"3.{minor}.9", configured="--enable-shared")
    path = {**NOWHERE, "HOME": str(tmp_path), "PATH": str(plain.parent)}
    found = find_python(minor, path)
    assert found is not None and (found.path, found.is_optimized) == (plain, False)
    fast = a_python(tmp_path / ".pyenv" / "versions" / f"3.{minor}.1" / "bin" / f"python3.{minor}", f"3.{minor}.1")
    found = find_python(minor, path)
    assert found is not None and (found.path, found.is_optimized) == (fast, True)
    named = {**path, f"LAB_PYTHON_3_{minor}": str(plain)}
    found = find_python(minor, named)
    assert found is not None and found.path == plain, "what the user names is taken"


def test_the_bundled_stack_runs_on_the_newest_optimized_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runtimes, "OWN_MINOR", 10)
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    folder = tmp_path / "bin"
    path = {**NOWHERE, "PATH": str(folder)}
    assert bundled_python(path) is None
    a_python(folder / "python3.13", "3.13.1", configured="--enable-shared")
    a_python(folder / "python3.12", "3.12.1", configured="--enable-shared")
    assert bundled_python(path) == "python3.13", "without any, the newest"
    a_python(folder / "python3.11", "3.11.1")
    assert bundled_python(path) == "python3.11"
    a_python(folder / "python3.12", "3.12.1")
    assert bundled_python(path) == "python3.12"


def test_the_bundled_template_has_the_hosts_python_on_the_embedded_target_alone(tmp_path: Path):
    a_python(tmp_path / "python3.13", "3.13.1")
    here = {**NOWHERE, "PATH": str(tmp_path), "LAB_PYTHON_3_11": str(a_python(tmp_path / "eleven", "3.11.1"))}
    ours = bundled("handlers", "template.yaml")
    assert host_parameters(ours, "local", here) == {"PythonRuntime": "python3.13"}
    assert host_parameters(ours, "aws", here) == {}
    assert host_parameters(SAMPLES / "hello" / "template.yaml", "local", here) == {}
    template = read_template(ours)
    assert set(template.parameters["PythonRuntime"]["AllowedValues"]) == {
        f"python3.{minor}" for minor in runtimes.MANAGED_MINORS
    }


def test_a_runtime_without_optimization_says_what_it_does_to_inits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    minor = sys.version_info.minor + 1
    plain = a_python(tmp_path / "bin" / f"python3.{minor}", f"3.{minor}.1", configured="--enable-shared")
    monkeypatch.setattr(runtime_directory, "prepare_for", lambda python, **_: tmp_path)
    found = Runtimes(virtual=False, environment={**NOWHERE, "PATH": str(plain.parent)}).get(f"python3.{minor}")
    assert found.executable == plain
    assert f"runs on {plain}, which was built without --enable-optimizations" in found.note
    assert f"LAB_PYTHON_3_{minor}" in found.note


def test_a_shim_that_fails_and_another_version_are_passed_over(tmp_path: Path):
    """pyenv's shims are on the PATH for every version, chosen or not."""
    minor = sys.version_info.minor + 1
    script(tmp_path / "shims" / f"python3.{minor}", "echo not chosen >&2; exit 127")
    a_python(tmp_path / "old" / f"python3.{minor}", "3.6.1")
    right = a_python(tmp_path / "right" / f"python3.{minor}", f"3.{minor}.0")
    path = ":".join(str(tmp_path / folder) for folder in ("shims", "old", "right"))
    found = find_python(minor, {**NOWHERE, "PATH": path})
    assert found is not None and found.path == right


def test_pyenvs_shims_are_not_asked_where_its_versions_are(tmp_path: Path):
    """A shim takes more than a second, of the first cold start, to find that its version is not chosen."""
    minor = sys.version_info.minor + 1
    shims = tmp_path / ".pyenv" / "shims"
    asked = tmp_path / "asked"
    script(shims / f"python3.{minor}", f"touch {asked}; exit 127")
    version = a_python(tmp_path / ".pyenv" / "versions" / f"3.{minor}.1" / "bin" / f"python3.{minor}", f"3.{minor}.1")
    found = find_python(minor, {**NOWHERE, "HOME": str(tmp_path), "PATH": str(shims)})
    assert found is not None and found.path == version
    assert not asked.exists()


def test_a_variable_that_names_another_version_is_an_error_that_says_which(tmp_path: Path):
    wrong = a_python(tmp_path / "python", "3.9.1")
    with pytest.raises(EmulatorError, match=r"LAB_PYTHON_3_12 is `.*`, which is Python 3\.9\.1"):
        find_python(12, {**NOWHERE, "LAB_PYTHON_3_12": str(wrong)})


def test_node_is_asked_for_its_version_and_its_real_path(tmp_path: Path):
    """A version manager's `node` is a wrapper that reads its user's settings."""
    node = script(tmp_path / "node", 'if [ "$1" = --version ]; then echo v22.4.1; else echo /real/node; fi')
    assert find_node({**NOWHERE, "LAB_NODE": str(node)}) == Interpreter(Path("/real/node"), (22, 4, 1))
    assert find_node({**NOWHERE, "PATH": str(tmp_path)}) == Interpreter(Path("/real/node"), (22, 4, 1))
    assert find_node(NOWHERE) is None


def test_a_version_the_host_lacks_runs_on_labs_own_with_a_note():
    found = Runtimes(virtual=False, environment=NOWHERE).get("python3.99")
    assert (found.family, found.executable) == (Family.PYTHON, runtimes.own_python().path)
    assert "this host has no Python 3.99" in found.note and "LAB_PYTHON_3_99" in found.note
    assert found.problem == ""


def test_a_version_whose_libraries_cannot_be_installed_runs_on_labs_own_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Offline, the first time: nothing is half-installed, and the reason is told."""
    minor = sys.version_info.minor + 1
    a_python(tmp_path / "bin" / f"python3.{minor}", f"3.{minor}.1")
    monkeypatch.setattr(runtime_directory, "cache_directory", lambda: tmp_path / "cache")
    monkeypatch.setattr(runtime_directory, "prepare", lambda: tmp_path / "own")
    found = Runtimes(virtual=False, environment={**NOWHERE, "PATH": str(tmp_path / "bin")}).get(f"python3.{minor}")
    assert found.executable == runtimes.own_python().path
    assert f"pip cannot install the runtime of Python 3.{minor}.1" in found.note
    left = [path.name for path in (tmp_path / "cache" / "runtime").iterdir() if not path.name.endswith(".lock")]
    assert left == []


def test_languages_the_host_lacks_are_a_problem_and_not_another_language():
    without = Runtimes(virtual=False, environment=NOWHERE)
    assert "needs Node.js, and this host has none" in without.get("nodejs20.x").problem
    assert without.get("ruby3.3").problem.startswith("lab's emulator has no ruby3.3, it runs Python")
    assert without.get("provided.al2023").problem == ""


def test_what_tells_the_emulator_of_the_host_leaves_out_credentials():
    shell = {
        "PIP_INDEX_URL": "x",
        "npm_config_registry": "x",
        "LAB_PYTHON_3_12": "x",
        "HTTPS_PROXY": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "GITHUB_TOKEN": "x",
        "PYTHONPATH": "x",
    }
    wanted = {"PIP_INDEX_URL", "npm_config_registry", "LAB_PYTHON_3_12", "HTTPS_PROXY"}
    assert set(runtimes.host_variables(shell)) == wanted


def test_a_python_that_labs_pip_does_not_know_installs_with_the_one_that_came_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As Debian 12's pip does not know Python 3.12; and an installation of lab by uv has none at all."""
    venv.create(tmp_path / "bare", with_pip=False)
    program = tmp_path / "bare" / "bin" / "python"
    monkeypatch.setattr(sys, "executable", "/bin/false")
    pip = runtime_directory._pip_under(Interpreter(program, sys.version_info[:3]), os.environ)
    assert pip[0] == str(program) and pip[1].endswith(".whl/pip")
    assert subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode == 0


def test_a_python_without_any_pip_is_named_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EmulatorError, match="no pip runs under /bin/false") as caught:
        runtime_directory._pip_under(Interpreter(Path("/bin/false"), (3, 12, 0)), os.environ)
    assert "/bin/false -m ensurepip" in (caught.value.hint or "")

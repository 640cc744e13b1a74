"""What reads large logs is compiled, and kept as long as it is what its sources say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serverless_lab.coldstarts.digest import digest_paths, machine
from serverless_lab.report_line import ReportLine, render
from tests.coldstarts.test_digest import T0, stamped

READ = """
import json, sys
from pathlib import Path
from serverless_lab.coldstarts.digest import digest_paths
print(json.dumps(digest_paths([Path(sys.argv[1])], bin_ms=60_000, kinds=False).invocations))
"""


def test_code_compiled_from_other_sources_is_not_used(tmp_path: Path):
    """numba itself would not notice that a function which another one calls has changed."""
    (tmp_path / "outer.py").write_text("def read(): return inner()")
    (tmp_path / "inner.py").write_text("def inner(): return 1")
    before = machine.hash_of_sources(tmp_path)
    assert machine.hash_of_sources(tmp_path) == before
    (tmp_path / "inner.py").write_text("def inner(): return 2")
    assert machine.hash_of_sources(tmp_path) != before


def test_without_a_compiler_the_general_reader_reads_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """numba has no wheels for some machines, and can be told to compile nothing."""
    log = tmp_path / "log"
    log.write_text(stamped(T0, render(ReportLine("0a2b4c6d-0000-4000-8000-0123456789ab", 3.01, 4, 128, 60))))
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert digest_paths([log], bin_ms=60_000) is None
    monkeypatch.delenv("NUMBA_DISABLE_JIT")
    assert digest_paths([log], bin_ms=60_000) is not None
    monkeypatch.setattr("serverless_lab.coldstarts.digest.find_spec", lambda name: None)
    assert digest_paths([log], bin_ms=60_000) is None


def test_a_cache_that_cannot_be_written_costs_time_and_no_more(tmp_path: Path):
    """All is compiled anew then; nothing is written beside the sources instead."""
    log = tmp_path / "log"
    log.write_text(stamped(T0, render(ReportLine("0a2b4c6d-0000-4000-8000-0123456789ab", 3.0, 3, 128, 60))))
    (tmp_path / "file").touch()
    told = subprocess.run(
        [sys.executable, "-c", READ, str(log)],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout) == 1
    assert told.stderr == ""
    package = Path(machine.__file__).parent
    assert not list(package.rglob("*.nbi"))

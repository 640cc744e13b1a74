"""What AWS's managed Python runtime holds besides the standard library, prepared once per machine.

A folder with awslambdaric, boto3 and what they need, copied from lab's own installation and byte-compiled, because
AWS's runtime is: without the compiled files an Init phase takes almost three times as long. Nothing else of lab's
dependencies is there, so a handler that forgot to bundle a library fails here as it does on AWS.
"""

from __future__ import annotations

import compileall
import hashlib
import json
import os
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from serverless_lab.emulator.speed import Reference, Sample
from serverless_lab.errors import EmulatorError
from serverless_lab.project import write_text

DISTRIBUTIONS = (
    "awslambdaric",
    "simplejson",
    "snapshot-restore-py",
    "boto3",
    "botocore",
    "s3transfer",
    "jmespath",
    "python-dateutil",
    "six",
    "urllib3",
)


def cache_directory() -> Path:
    """Where things are kept that any project on this machine can share."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "serverless-lab"


def interpreter() -> Path:
    """The interpreter environments run on: lab's own, without lab's virtual environment."""
    return Path(os.path.realpath(sys.executable))


def prepare(cache: Path | None = None) -> Path:
    """The runtime directory for the running Python version, made when it is not there yet.

    Raises:
        EmulatorError: lab's installation lacks one of the libraries.
    """
    found = []
    for name in DISTRIBUTIONS:
        try:
            found.append(metadata.distribution(name))
        except metadata.PackageNotFoundError:
            raise EmulatorError(
                f"the runtime library `{name}` is not installed beside lab", hint="install serverless-lab again"
            ) from None
    identity = "\n".join(f"{item.metadata['Name']} {item.version}" for item in found) + sys.version
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    home = (cache or cache_directory()) / "runtime" / f"python{sys.version_info.major}.{sys.version_info.minor}-{key}"
    if home.is_dir():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=home.parent))
    try:
        for item in found:
            for file in item.files or ():
                source = Path(str(item.locate_file(file)))
                if ".." in file.parts or not source.is_file():
                    continue  # console scripts live outside site-packages
                target = draft / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        compileall.compile_dir(draft, quiet=2, workers=1)
        draft.chmod(0o755)
        try:
            draft.rename(home)
        except OSError:
            if not home.is_dir():  # else another emulator was quicker, and its copy is as good
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return home


REFERENCE_STARTS = 9


def reference(runtime: Path) -> Reference:
    """What counts as speed 1 of this machine's CPU.

    Measured once and kept beside the runtime directory, so that all emulators of a machine mean the same by a second of
    CPU.
    """
    from serverless_lab.emulator.process import BOOTSTRAP, measure_reference

    # Other pieces of work, or done elsewhere, take other times.
    work = hashlib.sha256(BOOTSTRAP.read_bytes()).hexdigest()[:8]
    home = runtime.with_name(f"{runtime.name}.{work}.speed.json")
    try:
        kept = json.loads(home.read_text())
        return Reference(int(kept["boot"]), Sample(*map(int, kept["sample"])))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        measured = measure_reference(interpreter(), [str(runtime)], REFERENCE_STARTS)
        write_text(home, json.dumps({"boot": measured.boot, "sample": measured.sample}) + "\n")
        return measured

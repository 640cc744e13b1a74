"""What AWS's managed runtimes hold besides their language, prepared once per machine and version.

For Python a folder with awslambdaric, boto3 and what they need, byte-compiled, because AWS's runtime is: without the
compiled files an Init phase takes almost three times as long. For lab's own version of Python it is copied from lab's
installation; for another, pip installs the same versions for it. Nothing else of lab's dependencies is there, so a
handler that forgot to bundle a library fails here as it does on AWS.

For Node.js a folder with the runtime's loop (`node/runtime.cjs`) and the clients of AWS's SDK that `node/package.json`
names, installed by npm.
"""

from __future__ import annotations

import compileall
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from serverless_lab.emulator.runtimes import Interpreter, Scaling, own_python
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

INSTALL_TIMEOUT_S = 180

NODE_FILES = Path(__file__).with_name("node")


def cache_directory() -> Path:
    """Where things are kept that any project on this machine can share."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "serverless-lab"


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

    def copy(draft: Path) -> None:
        for item in found:
            for file in item.files or ():
                source = Path(str(item.locate_file(file)))
                if ".." in file.parts or not source.is_file():
                    continue  # console scripts live outside site-packages
                target = draft / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        compileall.compile_dir(draft, quiet=2, workers=1)

    return _made(home, copy)


def prepare_for(
    python: Interpreter,
    cache: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
    environment: Mapping[str, str] = os.environ,
) -> Path:
    """The runtime directory for another interpreter than lab's, with the same versions of the same libraries.

    Args:
        tell: told when it has to be made, which takes some seconds and the network.
        environment: of pip.

    Raises:
        EmulatorError: pip cannot install them.
    """
    wanted = [f"{name}=={metadata.version(name)}" for name in DISTRIBUTIONS]
    identity = "\n".join([*wanted, python.version_text(), os.uname().machine])
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    major, minor = python.version[:2]
    home = (cache or cache_directory()) / "runtime" / f"python{major}.{minor}-{key}"

    def install(draft: Path) -> None:
        tell(f"preparing the runtime of Python {python.version_text()}, once on this machine")
        what = f"pip cannot install the runtime of Python {python.version_text()}"
        pip_environment = {**environment, "PIP_USER": "0"}
        command = [*_pip_under(python, pip_environment), "install", "--no-deps", "--no-compile"]
        command += ["--quiet", "--disable-pip-version-check", "--no-input", "--target", str(draft), *wanted]
        _run(command, what, pip_environment)
        if not (draft / "awslambdaric").is_dir():
            raise EmulatorError(f"{what}: it said nothing, and awslambdaric is not there")
        shutil.rmtree(draft / "bin", ignore_errors=True)
        compiling = [str(python.path), "-I", "-m", "compileall", "-q", "-j", "1", str(draft)]
        subprocess.run(compiling, capture_output=True, check=False)  # what it cannot compile was meant for another one

    return _made(home, install)


def _pip_under(python: Interpreter, environment: Mapping[str, str]) -> list[str]:
    """A pip that runs under `python`: lab's own, the one installed there, or the one that came with that Python.

    An older pip does not know newer versions of Python: that of Debian 12's Python 3.11 fails under 3.12, though not
    before it looks at what is installed. And lab's installation may have none, as those of uv.

    Raises:
        EmulatorError: there is none.
    """
    program = str(python.path)
    for pip in ([sys.executable, "-m", "pip", "--python", program], [program, "-m", "pip"]):
        if subprocess.run([*pip, "list"], capture_output=True, env=environment, check=False).returncode == 0:
            return pip
    for wheel in _pips_that_came_with(program):
        return [program, f"{wheel}/pip"]
    raise EmulatorError(
        f"no pip runs under {program}", hint=f"install one: `{program} -m ensurepip`, or the package that has it"
    )


def _pips_that_came_with(program: str) -> list[str]:
    """The wheels that its ensurepip installs pip from; some distributions keep them elsewhere."""
    ask = (
        "import ensurepip, glob, os, sysconfig\n"
        "own = os.path.dirname(ensurepip.__file__) + '/_bundled'\n"
        "for folder in (own, sysconfig.get_config_var('WHEEL_PKG_DIR')):\n"
        "    print(*glob.glob(f'{folder}/pip-*.whl'), sep='\\n')"
    )
    answer = subprocess.run([program, "-I", "-S", "-c", ask], capture_output=True, text=True, check=False)
    return [line for line in answer.stdout.splitlines() if line]


def prepare_node(
    node: Interpreter,
    cache: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
    environment: Mapping[str, str] = os.environ,
    *,
    sdk: bool = True,
) -> Path:
    """The runtime directory for Node.js; without `sdk`, only the loop.

    Raises:
        EmulatorError: npm is missing, or cannot install AWS's SDK.
    """
    files = [NODE_FILES / name for name in ("runtime.cjs", "package.json", "package-lock.json")]
    identity = b"\0".join([file.read_bytes() for file in files]) + f"{node.version[0]} {sdk}".encode()
    key = hashlib.sha256(identity).hexdigest()[:16]
    home = (cache or cache_directory()) / "runtime" / f"nodejs{node.version[0]}-{key}"

    def install(draft: Path) -> None:
        for file in files:
            shutil.copyfile(file, draft / file.name)
        if not sdk:
            return
        npm = shutil.which("npm", path=environment.get("PATH"))
        if npm is None:
            raise EmulatorError("AWS's SDK is installed by npm, which this host does not have", hint="install npm")
        tell("preparing AWS's SDK for Node.js, once on this machine")
        command = [npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        _run([*command, "--prefix", str(draft)], "npm cannot install AWS's SDK for Node.js", environment, draft)

    return _made(home, install)


def _run(command: list[str], what: str, environment: Mapping[str, str], folder: Path | None = None) -> None:
    hint = "it needs the network once; until then another version serves"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=INSTALL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise EmulatorError(f"{what} within {INSTALL_TIMEOUT_S} s", hint=hint) from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise EmulatorError(f"{what}: {said[-1]}", hint=hint)


def _made(home: Path, fill: Callable[[Path], None]) -> Path:
    """`home`, filled when it is not there yet; one process of this machine fills it, and the others wait."""
    if home.is_dir():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.is_dir():
            return home
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=home.parent))
        try:
            fill(draft)
            draft.chmod(0o755)
            draft.rename(home)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return home


REFERENCE_STARTS = 9
BUSY_SHARE = 0.10
"""assumed: a machine on which somebody waited for a CPU for longer than this share of the time is busy."""


def reference(runtime: Path, interpreter: Path) -> Reference:
    """What counts as speed 1 of this machine's CPU, for an interpreter with its runtime directory.

    Measured once and kept beside the runtime directory, so that all emulators of a machine mean the same by a second of
    CPU. What was measured while others used the CPUs is too slow by up to a third: it serves until they are quiet.
    """
    from serverless_lab import pressure
    from serverless_lab.emulator.process import BOOTSTRAP
    from serverless_lab.emulator.reference import measure_reference

    # Other pieces of work, or done elsewhere, take other times.
    work = hashlib.sha256(BOOTSTRAP.read_bytes()).hexdigest()[:8]
    home = runtime.with_name(f"{runtime.name}.{work}.speed.json")
    busy = (pressure.recent_share() or 0.0) > BUSY_SHARE
    try:
        kept = json.loads(home.read_text())
        if busy or not kept["provisional"]:
            return Reference(int(kept["boot"]), Sample(*map(int, kept["sample"])))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass  # not measured yet
    measured = measure_reference(interpreter, [str(runtime)], REFERENCE_STARTS)
    write_text(home, json.dumps({"boot": measured.boot, "sample": measured.sample, "provisional": busy}) + "\n")
    return measured


def scaling(runtime: Path, interpreter: Path) -> Scaling:
    """What another interpreter's pieces of work take, in units of what lab's own takes for them."""
    own, other = reference(prepare(), own_python().path), reference(runtime, interpreter)
    loop, load, again = (mine / theirs for mine, theirs in zip(own.sample, other.sample, strict=True))
    return Scaling(own.boot / other.boot, (loop, load, again))

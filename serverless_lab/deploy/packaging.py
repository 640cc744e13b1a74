"""Zips of functions and layers: the same bytes for the same content, on any machine.

A zip holds the code folder and what its `requirements.txt` asks for, built for the function's runtime and architecture
rather than for this machine. Entries are in order of their names, stored uncompressed (what zlib writes differs between
its versions), dated 1980-01-01, with one of two modes. Both the zip and the installed dependencies are kept in
`.lab/build`, named by a digest of what they are made from, so an unchanged function costs one read of its files.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from serverless_lab.deploy.template import Artifact, ArtifactKind
from serverless_lab.errors import PackagingError
from serverless_lab.quotas import DEPLOYMENT_PACKAGE_UNZIPPED_MAX_BYTES

ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say
MODE_FILE = 0o644
MODE_EXECUTABLE = 0o755
IGNORED_FOLDERS = frozenset(
    {"__pycache__", ".git", ".hg", ".svn", ".lab", ".aws-sam", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
IGNORED_NAMES = frozenset({".DS_Store", "Thumbs.db"})
IGNORED_SUFFIXES = (".pyc", ".pyo")
REQUIREMENTS = "requirements.txt"

# documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html (Amazon Linux of each runtime) and
# https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html: Amazon Linux 2023 has glibc 2.34, 2 has 2.26.
GLIBC_MINOR_AL2023 = 34
GLIBC_MINOR_AL2 = 26
FIRST_PYTHON_MINOR_ON_AL2023 = 12
GLIBC_MINOR_OLDEST = {"x86_64": 5, "aarch64": 17}  # the oldest manylinux tag there is for each machine
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
LEGACY_TAGS = {"x86_64": ("manylinux2014", "manylinux2010", "manylinux1"), "aarch64": ("manylinux2014",)}

PIP_TAIL_LINES = 12
PYTHON_RUNTIME = re.compile(r"python3\.(\d+)")

# pip evaluates `; python_version < "3.13"` for the Python it runs on, whatever --python-version says
# (https://github.com/pypa/pip/issues/11010), so it is told what the function's environment answers.
PIP_FOR_ANOTHER_PYTHON = """
import json, sys
environment = json.loads(sys.argv.pop(1))
try:
    import pip._vendor.packaging.markers as markers
    known = markers.default_environment
    markers.default_environment = lambda: {**known(), **environment}
except (ImportError, AttributeError):
    pass
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Package:
    """A file ready for upload. `digest` names its content; `key_name` is its name in the bucket."""

    path: Path
    digest: str
    suffix: str
    notes: tuple[str, ...] = ()

    @property
    def key_name(self) -> str:
        return self.digest + self.suffix


@dataclass(frozen=True)
class Entry:
    """One file of a zip: its name there, where its bytes are, whether it is executable."""

    name: str
    path: Path
    executable: bool
    size_bytes: int


def package(artifact: Artifact, build_directory: Path, added: Path | None = None) -> Package:
    """The file to upload for `artifact`.

    Args:
        added: a file that is put beside the code, at the top of the zip.

    Raises:
        PackagingError: dependencies that cannot be installed, too much code, links that lead nowhere.
    """
    notes = [artifact.note] if artifact.note else []
    if artifact.path.is_file():
        single = _single_file(artifact, notes)
        return single if added is None else _with_file_added(single, artifact, added, build_directory)
    entries = {entry.name: entry for entry in folder_entries(artifact.path)}
    if artifact.build:
        entries = _with_dependencies(artifact, entries, build_directory)
    if not entries:
        raise PackagingError(f"{artifact.where}: {artifact.path} holds no file", hint="put the handler's module there")
    size_bytes = sum(entry.size_bytes for entry in entries.values())
    if artifact.kind is ArtifactKind.FUNCTION:
        notes.extend(_handler_note(artifact, entries))
    if added is not None:
        if added.name in entries:
            raise _name_taken(artifact, added)
        entries[added.name] = Entry(added.name, added, False, added.stat().st_size)
    if artifact.kind is not ArtifactKind.ASSET and size_bytes > DEPLOYMENT_PACKAGE_UNZIPPED_MAX_BYTES:
        largest = ", ".join(_largest(entries.values()))
        raise PackagingError(
            f"{artifact.where}: {size_bytes / 1024**2:.0f} MB unzipped, and Lambda takes "
            f"{DEPLOYMENT_PACKAGE_UNZIPPED_MAX_BYTES // 1024**2} MB",
            hint=f"largest: {largest}",
        )
    ordered = [entries[name] for name in sorted(entries)]
    digest = content_digest(ordered)
    path = build_directory / f"{digest}.zip"
    if not path.is_file():
        build_directory.mkdir(parents=True, exist_ok=True)
        # Two commands may build the same zip at once: each writes its own and the last one in place wins.
        with tempfile.NamedTemporaryFile(dir=build_directory, prefix=".zip-", delete=False) as draft:
            write_zip(ordered, Path(draft.name))
        Path(draft.name).replace(path)
    return Package(path, digest, ".zip", tuple(notes))


def _single_file(artifact: Artifact, notes: list[str]) -> Package:
    suffix = artifact.path.suffix.lower()
    if artifact.kind in (ArtifactKind.FUNCTION, ArtifactKind.LAYER) and suffix not in (".zip", ".jar"):
        raise PackagingError(
            f"{artifact.where}: {artifact.path} is neither a folder nor a .zip or .jar",
            hint=f"let {artifact.property_name} name the folder it is in",
        )
    return Package(artifact.path, hashlib.sha256(artifact.path.read_bytes()).hexdigest(), suffix, tuple(notes))


def _with_file_added(single: Package, artifact: Artifact, added: Path, build_directory: Path) -> Package:
    """A copy of a zip with one file more; what was in it keeps its bytes."""
    digest = hashlib.sha256(f"{single.digest}\0{added.name}\0".encode() + added.read_bytes()).hexdigest()
    path = build_directory / f"{digest}.zip"
    if not path.is_file():
        build_directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=build_directory, prefix=".zip-", delete=False) as draft:
            shutil.copyfile(single.path, draft.name)
        try:
            with zipfile.ZipFile(draft.name, "a", zipfile.ZIP_STORED) as archive:
                if added.name in archive.namelist():
                    raise _name_taken(artifact, added)
                _write_entry(archive, Entry(added.name, added, False, added.stat().st_size))
            Path(draft.name).replace(path)
        except zipfile.BadZipFile as error:
            raise PackagingError(
                f"{artifact.where}: {artifact.path} is no zip: {error}", hint="build it anew"
            ) from error
        finally:
            Path(draft.name).unlink(missing_ok=True)
    return Package(path, digest, single.suffix, single.notes)


def _name_taken(artifact: Artifact, added: Path) -> PackagingError:
    return PackagingError(
        f"{artifact.where}: {artifact.path} has a file {added.name}, the name of the module that lab adds",
        hint="rename it, or deploy with --no-wrap",
    )


def folder_entries(folder: Path) -> Iterator[Entry]:
    """Every file below `folder` that belongs into a zip. Links are followed: Lambda's readers get the file itself.

    Raises:
        PackagingError: a link leads nowhere, or to a folder around itself.
    """
    yield from _walk(folder, "", (folder.resolve(),))


def _walk(folder: Path, prefix: str, inside: tuple[Path, ...]) -> Iterator[Entry]:
    for path in sorted(folder.iterdir(), key=lambda item: item.name):
        if path.name in IGNORED_NAMES or path.name.endswith(IGNORED_SUFFIXES):
            continue
        try:
            status = path.stat()
        except OSError as error:
            raise PackagingError(f"{path} cannot be read: {error.strerror}", hint="remove or mend the link") from error
        name = prefix + path.name
        if stat.S_ISDIR(status.st_mode):
            if path.name in IGNORED_FOLDERS:
                continue
            resolved = path.resolve()
            if path.is_symlink() and resolved in inside:
                raise PackagingError(f"{path} links to a folder that it is in", hint="remove the link")
            yield from _walk(path, name + "/", (*inside, resolved))
        elif stat.S_ISREG(status.st_mode):
            yield Entry(name, path, bool(status.st_mode & stat.S_IXUSR), status.st_size)


def content_digest(entries: Iterable[Entry]) -> str:
    """A digest of names, modes and bytes: equal exactly when the zips are."""
    total = hashlib.sha256()
    for entry in entries:
        with entry.path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{entry.name}\0{int(entry.executable)}\0{content}\n".encode())
    return total.hexdigest()


def write_zip(entries: Iterable[Entry], path: Path) -> None:
    """A zip of `entries` in the given order, the same bytes whenever and wherever it is written."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            _write_entry(archive, entry)


def _write_entry(archive: zipfile.ZipFile, entry: Entry) -> None:
    info = zipfile.ZipInfo(entry.name, ZIP_DATE)
    info.create_system = 3  # Unix, also when written elsewhere: it says how to read the mode
    mode = MODE_EXECUTABLE if entry.executable else MODE_FILE
    info.external_attr = (stat.S_IFREG | mode) << 16
    archive.writestr(info, entry.path.read_bytes())


def _with_dependencies(artifact: Artifact, own: dict[str, Entry], build_directory: Path) -> dict[str, Entry]:
    """The folder's files and its dependencies; a file of the folder wins. A layer's are below `python/`."""
    prefix = "python/" if artifact.kind is ArtifactKind.LAYER else ""
    entries = {f"{prefix}{name}": Entry(f"{prefix}{name}", *_rest(entry)) for name, entry in own.items()}
    requirements = artifact.path / REQUIREMENTS
    if not requirements.is_file() or not _asks_for_something(requirements):
        return entries
    installed = install_dependencies(artifact, requirements, build_directory)
    found = {
        f"{prefix}{entry.name}": Entry(f"{prefix}{entry.name}", *_rest(entry)) for entry in folder_entries(installed)
    }
    return found | entries


def _rest(entry: Entry) -> tuple[Path, bool, int]:
    return entry.path, entry.executable, entry.size_bytes


def _asks_for_something(requirements: Path) -> bool:
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return any(line.strip() and not line.strip().startswith("#") for line in lines)


def install_dependencies(artifact: Artifact, requirements: Path, build_directory: Path) -> Path:
    """A folder with what `requirements` asks for, for the artifact's runtime and architecture.

    Kept by what was asked, so the network is used once; `rm -r .lab/build` resolves anew.

    Raises:
        PackagingError: pip could not; with the end of what it said.
    """
    assert artifact.runtime is not None
    match = PYTHON_RUNTIME.fullmatch(artifact.runtime)
    if match is None:
        raise PackagingError(
            f"{artifact.where}: dependencies cannot be built for runtime `{artifact.runtime}`",
            hint="use python3.9 or later, or deploy a complete .zip",
        )
    minor = int(match.group(1))
    asked = hashlib.sha256(f"{artifact.runtime}\0{artifact.architecture}\0".encode())
    for line in _requirement_files(requirements):
        asked.update(line)
    folder = build_directory / "dependencies" / asked.hexdigest()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".draft-"))
    try:
        _run_pip(artifact, requirements, minor, draft)
        _forget_host(draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another command was first, with the same result
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _requirement_files(requirements: Path, seen: frozenset[Path] = frozenset()) -> Iterator[bytes]:
    """The contents of a requirements file and of those it names with -r or -c."""
    content = requirements.read_bytes()
    yield content
    for line in content.decode("utf-8", "replace").splitlines():
        match = re.match(r"\s*(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)", line)
        if match:
            other = (requirements.parent / match.group(1)).resolve()
            if other.is_file() and other not in seen:
                yield from _requirement_files(other, seen | {requirements.resolve(), other})


def platform_tags(python_minor: int, architecture: str) -> list[str]:
    """The manylinux tags that run on Lambda's Amazon Linux for this Python, newest first."""
    machine = MACHINES[architecture]
    newest = GLIBC_MINOR_AL2023 if python_minor >= FIRST_PYTHON_MINOR_ON_AL2023 else GLIBC_MINOR_AL2
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, GLIBC_MINOR_OLDEST[machine] - 1, -1)]
    return tags + [f"{legacy}_{machine}" for legacy in LEGACY_TAGS[machine]]


def _run_pip(artifact: Artifact, requirements: Path, minor: int, into: Path) -> None:
    import json

    machine = MACHINES[artifact.architecture]
    markers = {
        "implementation_name": "cpython",
        "implementation_version": f"3.{minor}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"3.{minor}.0",
        "python_version": f"3.{minor}",
        "sys_platform": "linux",
    }
    command = [sys.executable, "-c", PIP_FOR_ANOTHER_PYTHON, json.dumps(markers), "install"]
    command += ["--disable-pip-version-check", "--no-input", "--no-compile", "--quiet", "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", f"3.{minor}"]
    for tag in platform_tags(minor, artifact.architecture):
        command += ["--platform", tag]
    command += ["--target", str(into), "--requirement", str(requirements.resolve())]
    environment = {**os.environ, "PIP_USER": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=artifact.path, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    if any("No module named 'pip" in line for line in said):
        raise PackagingError(
            f"{artifact.where}: its dependencies need pip, which {sys.executable} does not have",
            hint=f"{sys.executable} -m ensurepip",
        )
    tail = "\n".join(said[-PIP_TAIL_LINES:])
    raise PackagingError(
        f"{artifact.where}: pip cannot install {requirements} "
        f"for {artifact.runtime} on {artifact.architecture}:\n{tail}",
        hint="a package without a wheel for that platform cannot be built here: choose another version of it,"
        " or deploy a complete .zip",
    )


def _forget_host(folder: Path) -> None:
    """Remove what pip writes of this machine: scripts with its Python's path, where a wheel came from."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for metadata in folder.glob("*.dist-info"):
        (metadata / "direct_url.json").unlink(missing_ok=True)
        record = metadata / "RECORD"
        if record.is_file():
            lines = record.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if not re.match(r'"?(\.\./\.\./)?bin/|.*/direct_url\.json,', line)]
            record.write_text("\n".join(sorted(kept)) + "\n", encoding="utf-8")


def _handler_note(artifact: Artifact, entries: dict[str, Entry]) -> Iterator[str]:
    """A warning when the handler's module is not in the zip: the deployment succeeds, every invocation fails."""
    if not (artifact.runtime or "").startswith("python") or not artifact.handler:
        return
    module, dot, _ = artifact.handler.rpartition(".")
    stem = module.replace(".", "/")
    if not dot or not any(name.startswith((f"{stem}.", f"{stem}/__init__.")) for name in entries):
        yield f"`{artifact.logical_id}`: handler {artifact.handler} is not in {artifact.path}"


def _largest(entries: Iterable[Entry], count: int = 3) -> list[str]:
    """The top-level names that take most, with their sizes."""
    sizes: dict[str, int] = {}
    for entry in entries:
        top = entry.name.split("/", 1)[0]
        sizes[top] = sizes.get(top, 0) + entry.size_bytes
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return [f"{name} {size / 1024**2:.0f} MB" for name, size in ranked[:count]]

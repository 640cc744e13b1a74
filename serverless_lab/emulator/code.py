"""A function's code on disk: its zip and its layers unpacked once per content, read-only as on AWS."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from serverless_lab import quotas
from serverless_lab.emulator.runtimes import Runtime
from serverless_lab.errors import BadInput


class CodeStore:
    """Unpacked zips under `root`, by the hash of their content."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._known: dict[int, tuple[bytes, Path]] = {}

    def path(self, archive: bytes) -> Path:
        """The folder that holds `archive` unpacked.

        Raises:
            BadInput: it is not a zip, is too large, or has a member that would land outside the folder.
        """
        known = self._known.get(id(archive))
        if known is not None and known[0] is archive:
            return known[1]
        home = self._root / hashlib.sha256(archive).hexdigest()[:32]
        with self._lock:
            if not home.is_dir():
                self._unpack(archive, home)
            self._known[id(archive)] = (archive, home)
        return home

    def layered(self, archives: Sequence[bytes]) -> Path | None:
        """The folder that becomes /opt: layers unpacked one over the other in the function's order; None without any.

        documented: https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html ("if the same file appears in
        multiple layers, the function uses the version in the last applied layer").

        Raises:
            BadInput: as for `path`.
        """
        if len(archives) < 2:
            return self.path(archives[0]) if archives else None
        names = "".join(hashlib.sha256(archive).hexdigest() for archive in archives)
        home = self._root / f"layers-{hashlib.sha256(names.encode()).hexdigest()[:32]}"
        with self._lock:
            if not home.is_dir():
                self._make(home, lambda draft: unpack_all(archives, draft))
        return home

    def modules(self, runtime: Runtime, opt: Path | None) -> Path:
        """A folder of links to all that NODE_PATH names: ES modules are found beside the code and nowhere else."""
        assert runtime.directory is not None
        major = runtime.version.removeprefix("nodejs:").split(".")[0]
        sources = [(runtime.directory, Path("/var/runtime"), "node_modules")]
        if opt is not None:
            inside = ("nodejs/node_modules", f"nodejs/node{major}/node_modules")
            sources += [(opt, Path("/opt"), folder) for folder in inside]
        names = "\n".join(f"{host}/{folder}" for host, _, folder in sources)
        home = self._root / f"modules-{hashlib.sha256(names.encode()).hexdigest()[:32]}"

        def link(draft: Path) -> None:
            for host, seen, folder in sources:
                for package in sorted((host / folder).glob("*")):
                    scoped = package.name.startswith("@")
                    for found in sorted(package.iterdir()) if scoped else [package]:
                        target = draft / found.relative_to(host / folder)
                        target.parent.mkdir(exist_ok=True)
                        target.unlink(missing_ok=True)
                        target.symlink_to(seen / found.relative_to(host))

        with self._lock:
            if not home.is_dir():
                self._make(home, link)
        return home

    def _unpack(self, archive: bytes, home: Path) -> None:
        self._make(home, lambda draft: unpack(archive, draft))

    def _make(self, home: Path, fill: Callable[[Path], object]) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self._root))
        try:
            fill(draft)
            draft.chmod(0o755)
            draft.rename(home)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def unpack_all(archives: Sequence[bytes], folder: Path) -> None:
    """Unpack each over those before it."""
    for archive in archives:
        unpack(archive, folder)


def unpack(archive: bytes, folder: Path) -> None:
    """Unpack `archive` into `folder`, keeping modes and symbolic links that stay inside.

    Raises:
        BadInput: as for `CodeStore.path`; `folder` may then hold a part of it, and nothing is outside it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
            _unpack_members(bundle, folder)
    # What zipfile raises for a damaged one, for one with a password, and for a method of packing it does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise BadInput(f"the deployment package is not a zip file: {error}") from error
    except OSError as error:
        raise BadInput(f"the deployment package cannot be unpacked: {error}") from error


def _unpack_members(bundle: zipfile.ZipFile, folder: Path) -> None:
    size = sum(member.file_size for member in bundle.infolist())
    if size > quotas.DEPLOYMENT_PACKAGE_UNZIPPED_MAX_BYTES:
        raise BadInput(f"the deployment package is {size} bytes unzipped; Lambda's limit is 262144000")
    top = folder.resolve()
    has_links = False
    for member in bundle.infolist():
        target = folder / member.filename
        mode = member.external_attr >> 16
        if not target.resolve().is_relative_to(top) or "\\" in member.filename:
            raise BadInput(f"`{member.filename}` in the deployment package points outside it")
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISLNK(mode):
            link = bundle.read(member).decode()
            _check_link(member.filename, target.parent / link, top)
            target.unlink(missing_ok=True)
            target.symlink_to(link)
            has_links = True
            continue
        if target.is_symlink() or target.exists():
            target.unlink()  # of a layer below this one
        with bundle.open(member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
        target.chmod(0o555 if mode & 0o111 else 0o444)
    if has_links:  # once more, of all: a later link may have turned one that led inside
        for parent, folders, files in os.walk(folder):
            for path in (Path(parent, name) for name in (*folders, *files)):
                if path.is_symlink():
                    _check_link(str(path.relative_to(folder)), path, top)


def _check_link(name: str, path: Path, top: Path) -> None:
    if not path.resolve().is_relative_to(top):
        raise BadInput(f"the link `{name}` in the deployment package points outside it")

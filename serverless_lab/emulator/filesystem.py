"""What an execution environment sees of the file system: /var/task, /opt, /var/runtime and a /tmp of its own size.

Each environment has a mount namespace, which lives as long as the environment although its process may be replaced:
after a crash /tmp is still there, as on AWS. Where the host allows no namespaces, or lies where they would hide it,
functions see the folders under their own names, and /tmp is a folder named by TMPDIR whose size nobody limits.

documented: https://docs.aws.amazon.com/lambda/latest/dg/configuration-layers.html (/opt),
https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html (/tmp).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TASK_ROOT, RUNTIME_DIRECTORY, OPT = Path("/var/task"), Path("/var/runtime"), Path("/opt")
OURS = ("task", "runtime", "lang", "node_modules")
"""Names below /var that are not the host's."""


CREDENTIALS = (
    *(".aws", ".azure", ".config/gcloud", ".docker", ".gnupg", ".kube", ".ssh"),
    *(".git-credentials", ".netrc", ".npmrc", ".pypirc"),
)
"""Where tools keep a user's credentials, below the home directory: a function finds them empty."""


@dataclass(frozen=True)
class Places:
    """Where a function finds its own code, its layers (None: it has none) and its runtime."""

    task_root: Path
    opt: Path | None
    runtime: Path | None


class Stage:
    """A /var that has room for /var/task, made once by an emulator.

    Args:
        folder: where it is made.
        private: whether the host allows mount namespaces.
        needed: what must not be hidden: interpreters and lab's own folders.
    """

    def __init__(self, folder: Path, *, private: bool, needed: Iterable[Path]) -> None:
        self.private = private
        self._hides_opt = not any(path.is_relative_to(OPT) for path in needed)
        self._var = folder / "var"
        self._nothing = folder / "opt"
        self._nothing.mkdir(parents=True)
        for name in OURS:
            (self._var / name).mkdir(parents=True)
        self._kept: list[str] = []
        for entry in os.scandir("/var"):
            if entry.name in OURS:
                continue
            if entry.is_symlink():
                (self._var / entry.name).symlink_to(os.readlink(entry.path))  # noqa: PTH115 - as it is written
            elif stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
                (self._var / entry.name).mkdir()
                self._kept.append(entry.name)

    def places(self, task_root: Path, opt: Path | None, runtime: Path | None) -> Places:
        """The names under which a function finds these folders of the host."""
        if not self.private:
            return Places(task_root, opt, runtime)
        seen_opt = OPT if self._hides_opt else opt
        return Places(TASK_ROOT, seen_opt, RUNTIME_DIRECTORY if runtime else None)

    def binds(
        self, task_root: Path, opt: Path | None, runtime: Path | None, modules: Path | None
    ) -> list[tuple[str, str, int]]:
        """What is mounted where, in order: source, target, and 0 for the host's own or 1 for read-only."""
        var = self._var
        hidden = [path for path in (Path.home() / name for name in CREDENTIALS) if path.exists()]
        found = [(str(self._nothing) if path.is_dir() else "/dev/null", str(path), 1) for path in hidden]
        found += [(f"/var/{name}", str(var / name), 0) for name in self._kept]
        found.append((str(task_root), str(var / "task"), 1))
        if runtime is not None:
            found.append((str(runtime), str(var / "runtime"), 1))
        if modules is not None:
            found.append((str(modules), str(var / "node_modules"), 1))
        if self._hides_opt:
            found.append((str(opt or self._nothing), str(OPT), 1))
        return [*found, (str(var), "/var", 0)]


class FileSystem:
    """One environment's view of the file system.

    Args:
        stage: the emulator's.
        home: a folder for this environment alone.
        size_mb: of /tmp.
        modules: what Node finds beside the task root.
    """

    def __init__(
        self,
        stage: Stage,
        home: Path,
        size_mb: int,
        *,
        task_root: Path,
        opt: Path | None,
        runtime: Path | None,
        modules: Path | None = None,
    ) -> None:
        self._stage = stage
        self._tmp = home / "tmp"
        self._size_mb = size_mb
        self._folders = (task_root, opt, runtime, modules)
        self.task_root = task_root
        self._namespaces: list[int] = []
        self._tmp.mkdir(parents=True)
        self._tmp.chmod(0o1777)

    def variables(self) -> dict[str, str]:
        """Where temporary files go, if not to /tmp."""
        return {} if self._stage.private else {"TMPDIR": str(self._tmp)}

    def view(self) -> dict[str, Any] | None:
        """What the bootstrap needs to take this view; None: it keeps the host's."""
        if not self._stage.private:
            return None
        return {
            "join": list(self._namespaces),
            "binds": [] if self._namespaces else self._stage.binds(*self._folders),
            "tmp_mb": self._size_mb,
            "directory": str(TASK_ROOT),
        }

    def descriptors(self) -> tuple[int, ...]:
        """What a process that joins must inherit."""
        return tuple(self._namespaces)

    def keep(self, pid: int) -> None:
        """Hold on to the namespaces of process `pid`, which has just made them."""
        if self._namespaces or not self._stage.private:
            return
        kinds = ("mnt",) if os.getuid() == 0 else ("user", "mnt")
        try:
            self._namespaces = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
        except OSError:
            return  # it has ended already: the next one begins with an empty /tmp

    def close(self) -> None:
        namespaces, self._namespaces = self._namespaces, []
        for descriptor in namespaces:
            os.close(descriptor)

"""Functions of any runtime for the shared emulator, from their files."""

from __future__ import annotations

import io
import shutil
import textwrap
import zipfile
from typing import Any

import pytest

from serverless_lab.emulator.runtimes import find_node, find_python
from tests.emulator.conftest import Emulator, prepare_runtimes

needs_node = pytest.mark.skipif(find_node() is None, reason="this host has no Node.js")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="this host has no curl")


def needs_python(minor: int) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_python(minor) is None, reason=f"this host has no Python 3.{minor}")


def needs_its_version(runtime: str) -> None:
    """Where pip cannot install what a runtime holds, its functions run on lab's own version of Python."""
    found = prepare_runtimes().get(runtime)
    if found.python_version != runtime.removeprefix("python"):
        pytest.skip(found.note)


def needs_files_of_its_own(emulator: Emulator) -> None:
    """Where functions have no view of their own, they see the host's files as the user does."""
    if not emulator.status["private_tmp"]:
        pytest.skip("this host allows no mount namespaces, or lab's cache is below /tmp")


def archive(files: dict[str, str], executable: tuple[str, ...] = ()) -> bytes:
    """A zip whose `executable` files have their execute bit."""
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as made:
        for name, text in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100755 if name in executable else 0o100644) << 16
            made.writestr(info, textwrap.dedent(text))
    return bundle.getvalue()


def create(
    emulator: Emulator,
    name: str,
    runtime: str,
    files: dict[str, str],
    *,
    handler: str = "index.handler",
    executable: tuple[str, ...] = (),
    **options: Any,
) -> str:
    emulator.client("lambda").create_function(
        FunctionName=name,
        Role="arn:aws:iam::000000000000:role/lab",
        Handler=handler,
        Runtime=runtime,
        Code={"ZipFile": archive(files, executable)},
        **{"MemorySize": 512, "Timeout": 20, **options},
    )
    return name


def layer(emulator: Emulator, name: str, files: dict[str, str], executable: tuple[str, ...] = ()) -> str:
    """The ARN of a new layer version."""
    made = emulator.client("lambda").publish_layer_version(
        LayerName=name, Content={"ZipFile": archive(files, executable)}
    )
    return str(made["LayerVersionArn"])

"""Zips that do not depend on who builds them, with dependencies that do depend on whom they are for."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from serverless_lab.deploy.packaging import package, platform_tags
from serverless_lab.deploy.template import Artifact, ArtifactKind
from serverless_lab.errors import PackagingError


def function(path: Path, runtime: str = "python3.12", architecture: str = "x86_64", **more) -> Artifact:
    return Artifact(
        logical_id="F",
        kind=more.pop("kind", ArtifactKind.FUNCTION),
        property_name="CodeUri",
        path=path,
        where="template.yaml:3: resource `F`",
        runtime=runtime,
        architecture=architecture,
        handler=more.pop("handler", "app.handler"),
        build=more.pop("build", True),
        **more,
    )


def code(folder: Path, files: dict[str, str] | None = None) -> Path:
    folder.mkdir(parents=True)
    for name, text in (files or {"app.py": "def handler(event, context): ...\n"}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def wheel(folder: Path, name: str, tag: str, content: str, requires: tuple[str, ...] = ()) -> None:
    """A wheel as an index would offer it: one module, and the platform in its name."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        + "".join(f"Requires-Dist: {line}\n" for line in requires),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = ""
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text)}\n"
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")


@pytest.fixture
def wheels(tmp_path, monkeypatch) -> Path:
    """A folder of wheels in place of an index: nothing is asked of the network."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def names(path: Path) -> list[str]:
    return zipfile.ZipFile(path).namelist()


def test_the_same_content_is_the_same_zip_byte_for_byte(tmp_path):
    """Neither the umask, nor dates, nor the order of creation, nor what Python leaves behind may show."""
    old = os.umask(0o022)
    try:
        first = code(tmp_path / "first", {"app.py": "x", "b/c.py": "y", "run.sh": "#!"})
        (first / "run.sh").chmod(0o755)
        os.umask(0o077)
        second = code(tmp_path / "second", {"run.sh": "#!", "b/c.py": "y", "app.py": "x"})
        (second / "run.sh").chmod(0o700)
    finally:
        os.umask(old)
    os.utime(second / "app.py", (10**9, 10**9))
    (second / "__pycache__").mkdir()
    (second / "__pycache__" / "app.cpython-312.pyc").write_bytes(b"cache")
    (second / ".DS_Store").write_bytes(b"finder")
    (second / ".git").mkdir()
    (second / ".git" / "HEAD").write_text("ref")
    one = package(function(first), tmp_path / "build-1")
    two = package(function(second), tmp_path / "build-2")
    assert one.digest == two.digest
    assert one.path.read_bytes() == two.path.read_bytes()
    assert names(one.path) == ["app.py", "b/c.py", "run.sh"]
    modes = {info.filename: info.external_attr >> 16 & 0o777 for info in zipfile.ZipFile(one.path).infolist()}
    assert modes == {"app.py": 0o644, "b/c.py": 0o644, "run.sh": 0o755}


def test_an_unchanged_folder_is_not_zipped_again(tmp_path):
    folder = code(tmp_path / "code")
    first = package(function(folder), tmp_path / "build")
    before = first.path.stat()
    second = package(function(folder), tmp_path / "build")
    assert second.path.stat().st_mtime_ns == before.st_mtime_ns
    (folder / "app.py").write_text("changed")
    assert package(function(folder), tmp_path / "build").digest != first.digest


def test_dependencies_are_the_function_s_not_the_host_s(tmp_path, wheels):
    """The host may be another Python on another machine: its wheel would not even load on Lambda."""
    wheel(wheels, "native", "cp313-cp313-manylinux_2_28_aarch64", "BUILT_FOR = 'cp313 aarch64'")
    wheel(wheels, "native", "cp312-cp312-manylinux2014_x86_64", "BUILT_FOR = 'cp312 x86_64'")
    wheel(wheels, "native", "cp311-cp311-linux_x86_64", "BUILT_FOR = 'a developer'")
    folder = code(tmp_path / "code", {"app.py": "", "requirements.txt": "native\n"})
    arm = package(function(folder, "python3.13", "arm64"), tmp_path / "build")
    intel = package(function(folder, "python3.12", "x86_64"), tmp_path / "build")
    assert zipfile.ZipFile(arm.path).read("native.py") == b"BUILT_FOR = 'cp313 aarch64'"
    assert zipfile.ZipFile(intel.path).read("native.py") == b"BUILT_FOR = 'cp312 x86_64'"


def test_a_dependency_s_own_conditions_are_judged_for_the_function(tmp_path, wheels):
    """`; python_version >= "3.13"` speaks of the Python that will run it, not of the one that runs pip."""
    wheel(wheels, "top", "py3-none-any", "", ('arm; platform_machine == "aarch64"', 'old; python_version < "3.13"'))
    wheel(wheels, "arm", "py3-none-any", "")
    wheel(wheels, "old", "py3-none-any", "")
    folder = code(tmp_path / "code", {"app.py": "", "requirements.txt": "top\n"})
    found = names(package(function(folder, "python3.13", "arm64"), tmp_path / "build").path)
    assert "arm.py" in found
    assert "old.py" not in found
    found = names(package(function(folder, "python3.12", "x86_64"), tmp_path / "build").path)
    assert "arm.py" not in found
    assert "old.py" in found


def test_installed_dependencies_are_kept_and_hold_nothing_of_the_host(tmp_path, wheels):
    wheel(wheels, "pure", "py3-none-any", "")
    folder = code(tmp_path / "code", {"app.py": "", "requirements.txt": "pure\n"})
    first = package(function(folder), tmp_path / "build")
    assert not [name for name in names(first.path) if name.startswith("bin/") or name.endswith("direct_url.json")]
    record = zipfile.ZipFile(first.path).read("pure-1.0.dist-info/RECORD").decode()
    assert "bin/" not in record
    for path in wheels.iterdir():
        path.unlink()
    (folder / "app.py").write_text("changed")
    second = package(function(folder), tmp_path / "build")
    assert "pure.py" in names(second.path), "without the wheels it can only come from what was kept"


def test_a_package_without_a_wheel_for_the_platform_says_so_with_pip_s_words(tmp_path, wheels):
    wheel(wheels, "native", "cp311-cp311-win_amd64", "")
    folder = code(tmp_path / "code", {"app.py": "", "requirements.txt": "native\n"})
    with pytest.raises(PackagingError, match=r"python3\.13 on arm64:\n(?s:.*)native") as caught:
        package(function(folder, "python3.13", "arm64"), tmp_path / "build")
    assert "wheel" in (caught.value.hint or "")
    assert not list((tmp_path / "build" / "dependencies").iterdir()), "a failed installation is not kept"


@pytest.mark.parametrize("requirements", ["", "# nothing yet\n\n"])
def test_an_empty_requirements_file_asks_nobody(tmp_path, monkeypatch, requirements):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    folder = code(tmp_path / "code", {"app.py": "", "requirements.txt": requirements})
    assert names(package(function(folder), tmp_path / "build").path) == ["app.py", "requirements.txt"]


def test_a_layer_s_dependencies_are_where_the_runtime_looks(tmp_path, wheels):
    """https://docs.aws.amazon.com/lambda/latest/dg/python-layers.html: a layer's `python/` is on sys.path."""
    wheel(wheels, "pure", "py3-none-any", "")
    folder = code(tmp_path / "layer", {"shared.py": "", "requirements.txt": "pure\n"})
    found = names(package(function(folder, kind=ArtifactKind.LAYER), tmp_path / "build").path)
    assert {"python/shared.py", "python/pure.py"} <= set(found)


def test_links_become_the_files_they_lead_to(tmp_path):
    shared = code(tmp_path / "shared", {"lib.py": "shared"})
    folder = code(tmp_path / "code")
    (folder / "lib").symlink_to(shared, target_is_directory=True)
    (folder / "alias.py").symlink_to("app.py")
    built = package(function(folder), tmp_path / "build")
    assert names(built.path) == ["alias.py", "app.py", "lib/lib.py"]
    assert zipfile.ZipFile(built.path).read("lib/lib.py") == b"shared"


@pytest.mark.parametrize(("leads_to", "says"), [("missing.py", "cannot be read"), (".", "folder that it is in")])
def test_a_link_that_cannot_be_followed_is_named(tmp_path, leads_to, says):
    folder = code(tmp_path / "code")
    (folder / "link").symlink_to(leads_to)
    with pytest.raises(PackagingError, match=says):
        package(function(folder), tmp_path / "build")


def test_too_much_code_says_what_takes_the_room(tmp_path):
    folder = code(tmp_path / "code")
    with (folder / "model.bin").open("wb") as file:
        file.truncate(251 * 1024 * 1024)
    with pytest.raises(PackagingError, match="251 MB unzipped, and Lambda takes 250 MB") as caught:
        package(function(folder), tmp_path / "build")
    assert "model.bin 251 MB" in (caught.value.hint or "")


def test_a_handler_that_is_not_in_the_folder_is_a_note(tmp_path):
    """The deployment would succeed and every invocation fail."""
    folder = code(tmp_path / "code", {"app.py": "", "package/__init__.py": ""})
    assert package(function(folder), tmp_path / "build").notes == ()
    assert package(function(folder, handler="package.handler"), tmp_path / "build").notes == ()
    (note,) = package(function(folder, handler="main.handler"), tmp_path / "build").notes
    assert "handler main.handler is not in" in note


def test_a_complete_zip_is_sent_as_it_is(tmp_path):
    path = tmp_path / "function.zip"
    path.write_bytes(b"PK")
    assert package(function(path, build=False), tmp_path / "build").path == path
    path = tmp_path / "function.py"
    path.write_text("")
    with pytest.raises(PackagingError, match="neither a folder"):
        package(function(path), tmp_path / "build")


def test_newer_pythons_take_newer_wheels():
    """python3.12 and later run on Amazon Linux 2023 (glibc 2.34), the others on 2 (glibc 2.26)."""
    assert platform_tags(13, "arm64")[0] == "manylinux_2_34_aarch64"
    assert platform_tags(11, "x86_64")[0] == "manylinux_2_26_x86_64"
    assert "manylinux2014_x86_64" in platform_tags(12, "x86_64")

"""A deployment package is unpacked whole or not at all, and never outside its folder."""

import io
import stat
import zipfile
from pathlib import Path

import pytest

from serverless_lab.emulator.code import CodeStore
from serverless_lab.errors import BadInput


def archive(*members: tuple[str, str, int]) -> bytes:
    """A zip of (name, content, mode)."""
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as file:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, content)
    return bundle.getvalue()


def test_files_are_read_only_and_executables_stay_executable(tmp_path: Path):
    home = CodeStore(tmp_path).path(archive(("app.py", "x = 1", 0o644), ("bin/tool", "#!/bin/sh", 0o755)))
    assert (home / "app.py").read_text() == "x = 1"
    assert stat.S_IMODE((home / "app.py").stat().st_mode) == 0o444
    assert stat.S_IMODE((home / "bin/tool").stat().st_mode) == 0o555


def test_the_same_package_is_unpacked_once(tmp_path: Path):
    store = CodeStore(tmp_path)
    package = archive(("app.py", "x = 1", 0o644))
    assert store.path(package) == store.path(bytes(bytearray(package)))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["../evil.py", "a/../../evil.py", "/evil.py", "..\\evil.py"])
def test_a_member_that_points_outside_is_refused_and_nothing_is_left(tmp_path: Path, name: str):
    """Known as zip-slip."""
    root = tmp_path / "code"
    with pytest.raises(BadInput, match="points outside"):
        CodeStore(root).path(archive(("good.py", "", 0o644), (name, "", 0o644)))
    assert list(root.iterdir()) == []
    assert not (tmp_path / "evil.py").exists()


def test_a_link_inside_is_kept_and_one_that_leads_outside_is_refused(tmp_path: Path):
    link = stat.S_IFLNK | 0o777
    home = CodeStore(tmp_path / "a").path(archive(("app.py", "x = 1", 0o644), ("also.py", "app.py", link)))
    assert (home / "also.py").read_text() == "x = 1"
    with pytest.raises(BadInput, match="the link `etc`"):
        CodeStore(tmp_path / "b").path(archive(("etc", "/etc", link)))


def test_what_is_not_a_zip_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="not a zip file"):
        CodeStore(tmp_path).path(b"PK\x03\x04 nonsense")


def test_layers_lie_one_over_the_other_and_the_last_one_wins(tmp_path: Path):
    """A file, an executable and a link of a layer below give way to what a later layer has there."""
    store = CodeStore(tmp_path)
    below = archive(("a", "below", 0o644), ("b", "below", 0o755), ("only-below", "1", 0o644), ("c", "a", 0o120777))
    above = archive(("a", "above", 0o755), ("b", "a", 0o120777), ("c", "above", 0o644))
    home = store.layered([below, above])
    assert home is not None
    assert [(home / name).read_text() for name in ("a", "b", "c", "only-below")] == ["above", "above", "above", "1"]
    assert stat.S_IMODE((home / "a").stat().st_mode) == 0o555
    assert store.layered([below, above]) == home
    assert store.layered([above, below]) != home
    assert store.layered([]) is None


LINK = stat.S_IFLNK | 0o777


@pytest.mark.parametrize(
    "members",
    [
        # `out` leads to the folder itself as long as there is no `way`, and out of it once `way` is the folder.
        (("out", "way/..", LINK), ("way", ".", LINK)),
        (("a/out", "../../..", LINK),),
        (("a/out", "/proc/self", LINK),),
        (("here", ".", LINK), ("here/../../evil.py", "", 0o644)),
        (("folder", "..", LINK), ("folder/evil.py", "", 0o644)),
    ],
)
def test_no_links_together_lead_outside(tmp_path: Path, members: tuple[tuple[str, str, int], ...]):
    root = tmp_path / "code"
    with pytest.raises(BadInput, match="points outside"):
        CodeStore(root).path(archive(*members))
    assert list(root.iterdir()) == []
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.parametrize(
    "members",
    [
        (("loop", "loop", LINK),),
        (("file", "", 0o644), ("file/below.py", "", 0o644)),
        (("x" * 300, "", 0o644),),
    ],
)
def test_a_package_that_no_folder_can_hold_is_refused(tmp_path: Path, members: tuple[tuple[str, str, int], ...]):
    with pytest.raises(BadInput, match="deployment package"):
        CodeStore(tmp_path).path(archive(*members))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_package_is_refused(tmp_path: Path):
    bundle = bytearray(archive(("app.py", "x = 1", 0o644)))
    bundle[bundle.index(b"x = 1")] ^= 1
    with pytest.raises(BadInput, match="not a zip file: Bad CRC-32"):
        CodeStore(tmp_path).path(bytes(bundle))


def test_layers_together_lead_nowhere_outside(tmp_path: Path):
    below, above = archive(("out", "way/..", LINK)), archive(("way", ".", LINK))
    with pytest.raises(BadInput, match="the link `out` in the deployment package points outside it"):
        CodeStore(tmp_path).layered([below, above])

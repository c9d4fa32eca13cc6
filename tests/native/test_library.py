"""The library is built once, whole, and where it cannot be a line says so."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from scripted_compiler import MAKES, calls, script

from mnist_arch.native import compiling
from mnist_arch.native import library as native
from mnist_arch.native.compiling import PARTS, Compiler, NoLibrary
from mnist_arch.native.vectors import Vectors


def test_it_is_built_once(tmp_path: Path) -> None:
    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"
    built = native.build(compiler, "plain", cache=cache)
    path, before = built.path, calls(tmp_path)
    assert path.read_text() == "made\n"
    assert built.seconds is not None
    assert native.build(compiler, "plain", cache=cache) == native.Built(path, None)
    assert calls(tmp_path) == before
    names = [".native.lock", path.with_suffix(".json").name, path.name]
    assert sorted(it.name for it in cache.iterdir()) == names


def test_its_name_depends_on_all_that_it_is_made_of(tmp_path: Path) -> None:
    one, two = Compiler("/c++", "one"), Compiler("/c++", "two")
    names = {
        native.library_path(one, "plain", cache=tmp_path),
        native.library_path(two, "plain", cache=tmp_path),
        native.library_path(one, "avx2", cache=tmp_path),
        native.library_path(one, "plain", cache=tmp_path, flags=["-g"]),
        native.library_path(Compiler("/c++", "one", ("-m64",)), "plain", cache=tmp_path),
    }
    assert len(names) == 5


def test_a_compiler_that_fails_leaves_nothing(tmp_path: Path) -> None:
    compiler = script(tmp_path, 'echo "x.cpp:1: error: no such thing" >&2; exit 1')
    with pytest.raises(NoLibrary, match=r"compiler fails: x\.cpp:1: error: no such thing"):
        native.build(compiler, "plain", cache=tmp_path / "cache")
    assert [it.name for it in (tmp_path / "cache").iterdir()] == [".native.lock"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(NoLibrary, match="cannot write"):
        native.build(Compiler("/c++", "one"), "plain", cache=tmp_path / "cache")


def test_a_library_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "it.so").write_text("no library")
    with pytest.raises(NoLibrary, match="does not load"):
        native.load(tmp_path / "it.so")


# -------------------------------------------------------------------------------- what is trusted


@pytest.mark.parametrize("how", ["shorter", "other", "empty", "no seal", "no library"])
def test_a_library_that_is_not_as_it_was_tried_is_built_anew(tmp_path: Path, how: str) -> None:
    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"
    path = native.build(compiler, "plain", cache=cache).path
    before = calls(tmp_path)
    match how:
        case "shorter":
            path.write_text("mad")
        case "other":
            path.write_text("mode\n")
        case "empty":
            path.write_text("")
        case "no seal":
            path.with_suffix(".json").unlink()
        case "no library":
            path.unlink()
    assert not native.is_sealed(path)
    assert native.build(compiler, "plain", cache=cache).path == path
    assert path.read_text() == "made\n"
    assert calls(tmp_path) == 2 * before


def test_a_library_is_tried_before_it_is_in_its_place(tmp_path: Path) -> None:
    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"
    path = native.library_path(compiler, "plain", cache=cache)
    tried: list[Path] = []

    def check(library: Path) -> str:
        tried.append(library)
        assert library.read_text() == "made\n"
        assert not path.exists()
        return ""

    native.build(compiler, "plain", cache=cache, check=check)
    native.build(compiler, "plain", cache=cache, check=check)
    assert len(tried) == 1


def test_a_library_that_was_found_wrong_is_not_built_again(tmp_path: Path) -> None:
    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"

    def check(_: Path) -> str:
        return "it differs by 3"

    for _ in range(2):
        with pytest.raises(NoLibrary, match="it differs by 3; it is tried again where"):
            native.build(compiler, "plain", cache=cache, check=check)
    path = native.library_path(compiler, "plain", cache=cache)
    assert not path.exists()
    assert calls(tmp_path) == len(PARTS) + 1
    path.with_suffix(".json").unlink()
    assert native.build(compiler, "plain", cache=cache).path == path


def test_one_that_could_not_be_tried_is_neither_kept_nor_judged(tmp_path: Path) -> None:
    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"

    def check(_: Path) -> str:
        raise NoLibrary("no memory")

    with pytest.raises(NoLibrary, match="no memory"):
        native.build(compiler, "plain", cache=cache, check=check)
    assert [it.name for it in cache.iterdir()] == [".native.lock"]


def test_another_process_that_never_ends_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr(native, "LOCK_SECONDS", 0)
    with (
        FileLock(cache / ".native.lock"),
        pytest.raises(NoLibrary, match="another process has been building it"),
    ):
        native.build(compiler, "plain", cache=cache)


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"
    (cache / ".native-left").mkdir(parents=True)
    (cache / ".native-left/half.o").write_text("")
    native.build(compiler, "plain", cache=cache)
    assert not (cache / ".native-left").exists()


def test_a_folder_from_which_nothing_may_be_run_is_said_before_anything_is_built(
    tmp_path: Path,
) -> None:
    compiler = script(tmp_path, MAKES)
    cache = tmp_path / "cache"
    cache.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(cache)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a file system, and not everywhere")
    try:
        with pytest.raises(NoLibrary, match="noexec"):
            native.build(compiler, "plain", cache=cache)
    finally:
        subprocess.run(["umount", "-l", str(cache)], check=True)
    assert calls(tmp_path) == 0


@pytest.mark.parametrize(
    ("vectors", "here", "does"),
    [
        ("avx512", "avx512", True),
        ("avx2", "avx512", True),
        ("avx512", "avx2", False),
        ("neon", "avx2", False),
        ("plain", "neon", True),
    ],
)
def test_a_machine_runs_libraries_of_the_vectors_that_it_has(
    vectors: Vectors, here: Vectors, does: bool
) -> None:
    assert native.run_on(vectors, here) == does


# -------------------------------------------------------------------------------- what is installed


class Tried:
    """A check that counts, and finds what it is told to."""

    def __init__(self, trouble: str = "") -> None:
        self.trouble, self.count = trouble, 0

    def __call__(self, _: Path) -> str:
        self.count += 1
        return self.trouble


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    path = tmp_path / "site/native-plain-0.so"
    path.parent.mkdir()
    path.write_text("made")
    return path


def test_an_installed_library_is_of_just_these_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    shutil.copytree(compiling.SOURCE, source)
    monkeypatch.setattr(compiling, "SOURCE", source)
    before = native.installed_path("plain")
    (source / "map.h~").write_text("of an editor")
    (source / ".cache").mkdir()
    assert native.installed_path("plain") == before
    assert before.parent == Path(native.__file__).parent
    with (source / "map.h").open("a") as file:
        file.write("\n")
    assert native.installed_path("plain") != before


@pytest.mark.parametrize("trouble", ["", "it differs by 3"])
def test_an_installed_library_is_tried_once(tmp_path: Path, installed: Path, trouble: str) -> None:
    check = Tried(trouble)
    for _ in range(2):
        found = native.trouble_of_installed(installed, cache=tmp_path / "cache", check=check)
        assert found.startswith(trouble)
        assert bool(found) == bool(trouble)
    assert check.count == 1


def test_another_installation_and_another_file_are_tried_again(
    tmp_path: Path, installed: Path
) -> None:
    check, cache = Tried("it differs by 3"), tmp_path / "cache"
    native.trouble_of_installed(installed, cache=cache, check=check)
    other = tmp_path / "other" / installed.name
    other.parent.mkdir()
    shutil.copy(installed, other)
    check.trouble = ""
    assert native.trouble_of_installed(other, cache=cache, check=check) == ""
    installed.write_text("other")
    assert native.trouble_of_installed(installed, cache=cache, check=check) == ""
    assert check.count == 3


def test_an_installed_library_that_cannot_be_tried_is_not_judged(
    tmp_path: Path, installed: Path
) -> None:
    def check(_: Path) -> str:
        raise NoLibrary("the library does not load")

    cache = tmp_path / "cache"
    found = native.trouble_of_installed(installed, cache=cache, check=check)
    assert found == "the library does not load"
    assert native.trouble_of_installed(installed, cache=cache, check=Tried()) == ""


def test_without_a_cache_an_installed_library_is_tried_each_time(
    tmp_path: Path, installed: Path
) -> None:
    (tmp_path / "cache").write_text("a file")
    check = Tried()
    for _ in range(2):
        found = native.trouble_of_installed(installed, cache=tmp_path / "cache/native", check=check)
        assert found == ""
    assert check.count == 2

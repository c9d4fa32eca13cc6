"""The library is built once, whole, and where it cannot be a line says so."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mnist_arch.native import library as native


def script(folder: Path, text: str) -> native.Compiler:
    """A compiler that is a shell script."""
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return native.Compiler(str(path), "a script")


MAKES = (
    'while [ "$1" != -o ]; do shift; done; echo made > "$2"; echo call >> "$(dirname "$0")/calls"'
)


def test_it_is_built_once(tmp_path: Path) -> None:
    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"
    path = native.build(compiler, "plain", cache=cache)
    calls = (tmp_path / "calls").read_text()
    assert path.read_text() == "made\n"
    assert native.build(compiler, "plain", cache=cache) == path
    assert (tmp_path / "calls").read_text() == calls
    names = [".native.lock", path.with_suffix(".json").name, path.name]
    assert sorted(it.name for it in cache.iterdir()) == names


def test_every_source_is_in_one_part() -> None:
    sources = sorted(it.stem for it in native.SOURCE.glob("*.cpp"))
    assert sorted(name for _, names in native.PARTS for name in names.split()) == sources


def test_its_name_depends_on_all_that_it_is_made_of(tmp_path: Path) -> None:
    one, two = native.Compiler("/c++", "one"), native.Compiler("/c++", "two")
    names = {
        native.library_path(one, "plain", cache=tmp_path),
        native.library_path(two, "plain", cache=tmp_path),
        native.library_path(one, "avx2", cache=tmp_path),
        native.library_path(one, "plain", cache=tmp_path, flags=["-g"]),
    }
    assert len(names) == 4


def test_a_compiler_that_fails_leaves_nothing(tmp_path: Path) -> None:
    compiler = script(tmp_path, 'echo "x.cpp:1: error: no such thing" >&2; exit 1')
    with pytest.raises(native.NoLibrary, match=r"compiler fails: x\.cpp:1: error: no such thing"):
        native.build(compiler, "plain", cache=tmp_path / "cache")
    assert [it.name for it in (tmp_path / "cache").iterdir()] == [".native.lock"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(native.NoLibrary, match="cannot write"):
        native.build(native.Compiler("/c++", "one"), "plain", cache=tmp_path / "cache")


def test_a_library_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "it.so").write_text("no library")
    with pytest.raises(native.NoLibrary, match="does not load"):
        native.load(tmp_path / "it.so")


def test_without_a_compiler_a_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(native.NoLibrary, match=r"install g\+\+"):
        native.find_compiler()


def test_cxx_names_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = script(tmp_path, "echo mine 1.0; echo more")
    monkeypatch.setenv("CXX", compiler.path)
    assert native.find_compiler() == native.Compiler(compiler.path, "mine 1.0")
    monkeypatch.setenv("CXX", str(tmp_path / "nothing"))
    with pytest.raises(native.NoLibrary):
        native.find_compiler()


def test_a_process_asks_a_compiler_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = script(tmp_path, 'echo mine; echo call >> "$(dirname "$0")/calls"')
    monkeypatch.setenv("CXX", compiler.path)
    assert native.find_compiler() == native.find_compiler()
    assert calls(tmp_path) == 1


@pytest.mark.parametrize(
    ("processor", "capability", "vectors"),
    [
        ("x86_64", "AVX512", "avx512"),
        ("AMD64", "AVX2", "avx2"),
        ("x86_64", "DEFAULT", "plain"),
        ("x86_64", "NO AVX", "plain"),
        ("aarch64", "DEFAULT", "neon"),
        ("arm64", "DEFAULT", "neon"),
        ("aarch64", "SVE256", "neon"),
        ("ppc64le", "VSX", "plain"),
        ("s390x", "Z VECTOR", "plain"),
    ],
)
def test_vectors_are_what_the_processor_has(
    processor: str, capability: str, vectors: native.Vectors
) -> None:
    assert native.vectors_of(processor, capability) == vectors


@pytest.mark.gate
@pytest.mark.slow
@pytest.mark.parametrize("vectors", ["avx512", "avx2", "neon", "plain"])
def test_the_sources_compile_for_all_vectors(vectors: native.Vectors, tmp_path: Path) -> None:
    compiler = shutil.which("aarch64-linux-gnu-g++" if vectors == "neon" else "g++")
    here = platform.machine().lower() in ("x86_64", "amd64")
    if compiler is None or not here:
        pytest.skip(f"there is no compiler for {vectors} here")
    part = tmp_path / "all.cpp"
    part.write_text("".join(f'#include "{it.name}"\n' for it in native.SOURCE.glob("*.cpp")))
    flags = [*native._COMMON_FLAGS, *native._FLAGS[vectors], "-Wall", "-Wextra", "-Werror"]
    call = [compiler, *flags, "-Wno-psabi", "-fsyntax-only", "-I", str(native.SOURCE), str(part)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_sources_are_there() -> None:
    assert (native.SOURCE / "interface.cpp").exists()
    assert os.access(native.SOURCE, os.R_OK)


# -------------------------------------------------------------------------------- what is trusted


def calls(folder: Path) -> int:
    """How often the script was called, which is for each source and for the whole."""
    path = folder / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("how", ["shorter", "other", "empty", "no seal", "no library"])
def test_a_library_that_is_not_as_it_was_tried_is_built_anew(tmp_path: Path, how: str) -> None:
    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"
    path = native.build(compiler, "plain", cache=cache)
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
    assert native.build(compiler, "plain", cache=cache) == path
    assert path.read_text() == "made\n"
    assert calls(tmp_path) == 2 * before


def test_a_library_is_tried_before_it_is_in_its_place(tmp_path: Path) -> None:
    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"
    path = native.library_path(compiler, "plain", cache=cache)
    tried: list[Path] = []

    def check(library: Path, make: Callable[[], object]) -> str:
        assert not library.exists()
        make()
        tried.append(library)
        assert library.read_text() == "made\n"
        assert not path.exists()
        return ""

    native.build(compiler, "plain", cache=cache, check=check)
    native.build(compiler, "plain", cache=cache, check=check)
    assert len(tried) == 1


def test_a_library_that_was_found_wrong_is_not_built_again(tmp_path: Path) -> None:
    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"

    def check(library: Path, make: Callable[[], object]) -> str:
        make()
        return "it differs by 3"

    for _ in range(2):
        with pytest.raises(native.NoLibrary, match="it differs by 3; it is built again where"):
            native.build(compiler, "plain", cache=cache, check=check)
    path = native.library_path(compiler, "plain", cache=cache)
    assert not path.exists()
    assert calls(tmp_path) == len(native.PARTS) + 1
    path.with_suffix(".json").unlink()
    assert native.build(compiler, "plain", cache=cache) == path


def test_one_that_could_not_be_tried_is_neither_kept_nor_judged(tmp_path: Path) -> None:
    compiler, cache = script(tmp_path, MAKES), tmp_path / "cache"

    def check(*_: object) -> str:
        raise native.NoLibrary("no memory")

    with pytest.raises(native.NoLibrary, match="no memory"):
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
        pytest.raises(native.NoLibrary, match="another process has been building it"),
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
        with pytest.raises(native.NoLibrary, match="noexec"):
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
    vectors: native.Vectors, here: native.Vectors, does: bool
) -> None:
    assert native.run_on(vectors, here) == does

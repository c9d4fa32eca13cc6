"""The library is built once, whole, and where it cannot be a line says so."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
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
    assert sorted(it.name for it in cache.iterdir()) == [".native.lock", path.name]


def test_every_source_is_in_one_part() -> None:
    sources = sorted(it.stem for it in native.SOURCE.glob("*.cpp"))
    assert sorted(name for part in native.PARTS for name in part) == sources


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

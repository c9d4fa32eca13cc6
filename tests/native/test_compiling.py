"""The sources are compiled for every kind of vectors, and where they cannot be a line says so."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_compiler import MAKES, calls, script

from mnist_arch.native import compiling as native
from mnist_arch.native.vectors import Vectors

ROOT = Path(__file__).parents[2]


def test_every_source_is_in_one_part() -> None:
    sources = sorted(it.stem for it in native.SOURCE.glob("*.cpp"))
    assert sorted(name for _, names in native.PARTS for name in names.split()) == sources


def test_without_a_compiler_a_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(native.NoLibrary, match=r"install g\+\+"):
        native.find_compiler()


def test_where_it_is_not_made_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(native.NoLibrary, match="the native engine is not made for win32"):
        native.find_compiler()


def test_cxx_names_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = script(tmp_path, "echo mine 1.0; echo more")
    monkeypatch.setenv("CXX", compiler.path)
    assert native.find_compiler() == native.Compiler(compiler.path, "mine 1.0")
    monkeypatch.setenv("CXX", str(tmp_path / "nothing"))
    with pytest.raises(native.NoLibrary):
        native.find_compiler()


def test_cxx_may_have_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `ccache g++`."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    wraps = script(
        folder, f'[ "$1 $2" = "c++ -m64" ] || exit 1; [ "$3" = --version ] && exit; {MAKES}'
    )
    monkeypatch.setenv("CXX", f"'{wraps.path}' c++ -m64")
    found = native.find_compiler()
    assert found == native.Compiler(wraps.path, "", ("c++", "-m64"))
    native.compile_library(found, "plain", tmp_path / "it.so")
    assert (tmp_path / "it.so").exists()
    monkeypatch.setenv("CXX", f"{wraps.path} c++ -m64")  # which is another program
    with pytest.raises(native.NoLibrary, match="which is no compiler that runs"):
        native.find_compiler()


@pytest.mark.parametrize("named", ["'", " ", "/nothing 'c++"])
def test_what_cannot_be_a_compiler_is_said(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("CXX", named)
    with pytest.raises(native.NoCompiler, match="which is no compiler that runs"):
        native.find_compiler()


def test_a_path_with_spaces_needs_no_quotes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    compiler = script(folder, "echo mine")
    monkeypatch.setenv("CXX", compiler.path)
    assert native.find_compiler() == native.Compiler(compiler.path, "mine")


def test_what_a_compiler_says_is_read_in_any_language_and_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = script(tmp_path, r"""printf 'x\377 of %s\nerror: y\377\n' "$LC_ALL" >&2; exit 1""")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with pytest.raises(native.NoLibrary, match="compiler fails: error: y\ufffd"):
        native.compile_library(compiler, "plain", tmp_path / "it.so")
    compiler = script(tmp_path, 'echo "of $LC_ALL" >&2; exit 1')
    with pytest.raises(native.NoLibrary, match="compiler fails: of C"):
        native.compile_library(compiler, "plain", tmp_path / "it.so")


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
    processor: str, capability: str, vectors: Vectors
) -> None:
    assert native.vectors_of(processor, capability) == vectors


@pytest.mark.gate
@pytest.mark.slow
@pytest.mark.parametrize("vectors", ["avx512", "avx2", "neon", "plain"])
def test_the_sources_compile_for_all_vectors(vectors: Vectors, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("processor", ["x86_64", "AMD64", "aarch64", "arm64", "ppc64le"])
def test_an_installation_has_a_library_for_each_that_is_fast_there(processor: str) -> None:
    found = {native.vectors_of(processor, it) for it in ("AVX512", "AVX2")}
    if processor == "ppc64le":
        found = {"plain"}
    assert set(native.vectors_for(processor)) == found


@pytest.mark.slow
def test_nothing_else_has_to_be_there_to_compile() -> None:
    """As while the package is installed."""
    program = "import sys; import mnist_arch.native.compiling; print(*sys.modules)"
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()} - {"__main__", "mnist_arch"}
    assert loaded <= sys.stdlib_module_names | {"sitecustomize", "usercustomize"}

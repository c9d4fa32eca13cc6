"""Which library is taken: the one that was installed, or else one that is built here."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from mnist_arch.native import library as libraries
from mnist_arch.native.compiling import Compiler, NoCompiler, NoLibrary
from mnist_arch.native.library import NotBuilt, vectors_here
from mnist_arch.native.vectors import Vectors
from mnist_arch.training import native_library
from mnist_arch.training.native_library import Found, find_library, native_on_node


class Place:
    """A machine with a cache of its own, a compiler that copies, and what was installed, if."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.library, self.cache, self.installed = library, folder / "cache", folder / "it.so"
        self.tried: list[Path] = []
        self.wrong: set[str] = set()
        """Names of files that are found wrong."""
        self.cannot_be_tried: set[str] = set()
        self.has_compiler = True

    def install(self) -> None:
        shutil.copy(self.library, self.installed)

    def check(self, library: Path) -> str:
        self.tried.append(library)
        if library.name in self.cannot_be_tried:
            raise NoLibrary("it differs by 3")
        return "it differs by 3" if library.name in self.wrong else ""

    def compiler(self) -> Compiler:
        if not self.has_compiler:
            raise NoCompiler("there is no C++ compiler")
        return Compiler("/c++", "one")

    def compile(
        self, _: Compiler, vectors: Vectors, made: Path, *, flags: Sequence[str] = ()
    ) -> None:
        shutil.copy(self.library, made)


@pytest.fixture
def place(tmp_path: Path, library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path, Path(library._name))
    monkeypatch.setattr(native_library, "installed_path", lambda _: place.installed)
    monkeypatch.setattr(native_library, "cache_folder", lambda: place.cache)
    monkeypatch.setattr(native_library, "find_compiler", place.compiler)
    monkeypatch.setattr(native_library, "check", place.check)
    monkeypatch.setattr(libraries, "compile_library", place.compile)
    return place


def found(*, builds: bool = True) -> Found:
    return find_library(vectors_here(), builds=builds)


def test_an_installed_library_needs_no_compiler_and_is_tried_once(place: Place) -> None:
    place.install()
    place.has_compiler = False
    for builds in (False, True):
        it = found(builds=builds)
        assert it.library._name == str(place.installed)
        assert it.note is None
    assert place.tried == [place.installed]


def test_without_one_it_is_built_once_and_that_is_said_once(place: Place) -> None:
    with pytest.raises(NotBuilt):
        found(builds=False)
    first, second = found(), found(builds=False)
    assert first.note is not None
    assert first.note.startswith("native steps were built first, once for this machine, which took")
    assert second.note is None
    assert first.library is second.library


def test_without_either_a_line_says_why(place: Place) -> None:
    place.has_compiler = False
    with pytest.raises(NoCompiler, match=r"^there is no C\+\+ compiler$"):
        found()


@pytest.mark.parametrize("why", ["wrong", "cannot_be_tried"])
def test_an_installed_library_that_does_not_work_is_passed_over(place: Place, why: str) -> None:
    place.install()
    setattr(place, why, {place.installed.name})
    said = "; the library that was installed is not used: it differs by 3"
    place.has_compiler = False
    with pytest.raises(NoCompiler) as caught:
        found()
    assert said in str(caught.value)
    place.has_compiler = True
    with pytest.raises(NotBuilt):
        found(builds=False)
    it = found()
    assert it.note is not None
    assert said in it.note
    assert it.library._name.startswith(str(place.cache))
    assert found(builds=False).note is None


def test_one_that_another_machine_found_right_and_that_does_not_load_here_is_passed_over(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where machines of which one is older share an installation and a cache."""

    def load(path: Path) -> ctypes.CDLL:
        if path == place.installed:
            raise NoLibrary("the library does not load: no such GLIBC")
        return libraries.load(path)

    place.install()
    assert found().library._name == str(place.installed)
    monkeypatch.setattr(native_library, "load", load)
    it = found()
    assert it.library._name.startswith(str(place.cache))
    assert it.note is not None
    assert "is not used: the library does not load: no such GLIBC" in it.note


def test_a_user_without_a_home_has_what_was_installed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_library, "cache_folder", lambda: None)
    place.install()
    for _ in range(2):
        assert found().library._name == str(place.installed)
    assert place.tried == [place.installed]
    place.installed.unlink()
    with pytest.raises(NoLibrary, match="there is no folder to build it in"):
        found()


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native_library.cache_folder() is not None
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user without an entry
    assert native_library.cache_folder() is None


def test_a_node_says_what_was_waited_for_or_why_there_is_nothing(place: Place) -> None:
    vectors = vectors_here()
    trouble, note = native_on_node(vectors, True)
    assert trouble == ""
    assert "built first" in note
    assert native_on_node(vectors, False) == ("", "")
    place.cache = place.cache / "other"
    place.has_compiler = False
    assert native_on_node(vectors, True) == ("there is no C++ compiler", "")

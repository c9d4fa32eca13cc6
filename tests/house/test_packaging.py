"""What is installed, under which names, and how it is started."""

from __future__ import annotations

import os
import platform
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from scripted_compiler import MAKES, calls, script

from mnist_arch.native.compiling import PARTS, library_name, vectors_for

ROOT = Path(__file__).parents[2]

OWN_NAMES = ("cli", "data", "helpers", "main", "tests", "utils")
"""Modules that people have in the folder that they work in."""

SETUPTOOLS = "77"
"""The least version that pyproject.toml asks for."""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    setuptools = pytest.importorskip("setuptools", minversion=SETUPTOOLS)
    found: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", found.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
    return found


def test_no_name_that_others_may_have_is_claimed(settings: dict[str, Any]) -> None:
    packages = settings["packages"]
    assert {name.partition(".")[0] for name in packages} == {"mnist_arch", "mnist_arch_cli"}
    assert settings["package_dir"] == {"mnist_arch_cli": "cli"}


def test_every_folder_is_a_package(settings: dict[str, Any]) -> None:
    folders = {
        path.parent.relative_to(ROOT).parts
        for package in ("cli", "mnist_arch")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    names = {
        ".".join(("mnist_arch_cli" if first == "cli" else first, *inside))
        for first, *inside in folders
    }
    assert names == set(settings["packages"])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of what is installed, as it is checked out."""
    pytest.importorskip("setuptools", minversion=SETUPTOOLS)
    source, left = tmp_path / "source", shutil.ignore_patterns("__pycache__", "*.so")
    for name in ("mnist_arch", "cli"):
        shutil.copytree(ROOT / name, source / name, ignore=left)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return source


@pytest.mark.slow
def test_what_ships_is_built_with_all_its_files(source: Path, tmp_path: Path) -> None:
    """The folders of the zoo have names that no package has, and more than one kind of file."""
    built = tmp_path / "built"
    for name in ("weights.safetensors", "evidence.json"):
        (source / "mnist_arch/zoo/s6" / name).write_bytes(b"{}")
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(built)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    for ours, theirs in (("mnist_arch", "mnist_arch"), ("cli", "mnist_arch_cli")):
        assert files_in(built / theirs) == files_in(source / ours)


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------ the native library


LIBRARIES = {
    f"mnist_arch/native/{library_name(vectors)}" for vectors in vectors_for(platform.machine())
}
"""In an installation of these sources on this machine."""


def setup(source: Path, *command: str, compiler: str) -> str:
    """What a command of setup.py prints, where `CXX` names this compiler."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=source,
        env={**os.environ, "CXX": compiler, "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def wheel_of(source: Path, *, compiler: str) -> tuple[str, set[str], str]:
    """The tag of a wheel, the libraries in it, and what was printed."""
    printed = setup(source, "setup.py", "bdist_wheel", "-d", "dist", compiler=compiler)
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if name.endswith(".so")}
    wheel.unlink()
    return wheel.stem.partition("-0.1.0-")[2], names, printed


@pytest.mark.slow
@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="the library is not made here")
def test_a_wheel_has_libraries_for_any_python_on_such_a_machine(
    source: Path, tmp_path: Path
) -> None:
    """Those of other sources are not in it, of which a build folder keeps the last."""
    compiler = script(tmp_path, f'[ "$1" = --version ] && echo mine && exit; {MAKES}')
    tag, names, printed = wheel_of(source, compiler=compiler.path)
    assert tag.startswith("py3-none-")
    assert tag.endswith(platform.machine())
    assert names == LIBRARIES
    assert "left out" not in printed
    assert calls(tmp_path) == len(LIBRARIES) * (len(PARTS) + 1)
    with (source / "mnist_arch/native/source/map.h").open("a") as file:
        file.write("\n")
    _, others, _ = wheel_of(source, compiler=compiler.path)
    assert len(others) == len(LIBRARIES)
    assert others.isdisjoint(LIBRARIES)


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["none", "fails", "writes nothing"])
def test_without_a_compiler_that_works_a_wheel_is_for_any_machine(
    source: Path, tmp_path: Path, compiler: str
) -> None:
    fails = script(
        tmp_path, '[ "$1" = --version ] && echo mine && exit; echo "error: no" >&2; exit 1'
    )
    why = "compiler fails: error: no"
    if compiler == "writes nothing":
        script(tmp_path, "echo mine")
        why = "compiler says nothing, and writes no library"
    named = "/nonexistent/c++" if compiler == "none" else fails.path
    if compiler == "none":
        why = f"CXX names {named}, which is no"
    tag, names, printed = wheel_of(source, compiler=named)
    assert (tag, names) == ("py3-none-any", set())
    for name in LIBRARIES:
        assert f"{Path(name).name} is left out: {why}" in printed


@pytest.mark.slow
@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="the library is not made here")
def test_an_editable_installation_has_its_libraries_in_the_checkout(
    source: Path, tmp_path: Path
) -> None:
    """Those of earlier sources are removed, also where no new one can be built."""
    folder = source / "mnist_arch/native"
    (folder / "native-plain-0.so").write_text("of before")
    hook = "import setuptools.build_meta as it; it.build_editable('..')"
    compiler = script(tmp_path, f'[ "$1" = --version ] && echo mine && exit; {MAKES}')
    setup(source, "-c", hook, compiler=compiler.path)
    assert {f"mnist_arch/native/{path.name}" for path in folder.glob("*.so")} == LIBRARIES
    for name in LIBRARIES:
        assert (source / name).read_text() == "made\n"
    setup(source, "-c", hook, compiler="/nonexistent/c++")
    assert [*folder.glob("*.so")] == []
    strict = hook.replace("'..'", "'..', {'editable_mode': 'strict'}")
    setup(source, "-c", strict, compiler="/nonexistent/c++")
    setup(source, "-c", strict, compiler=compiler.path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="the library is not made here")
def test_a_source_distribution_has_all_that_the_libraries_are_made_of(
    source: Path, tmp_path: Path
) -> None:
    (source / "mnist_arch/native/native-plain-0.so").write_text("of this machine")
    setup(source, "setup.py", "sdist", "-d", "dist", compiler="/nonexistent/c++")
    (archive,) = (source / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.glob("mnist_arch-*")
    assert [*unpacked.rglob("*.so")] == []
    compiler = script(tmp_path, f'[ "$1" = --version ] && echo mine && exit; {MAKES}')
    _, names, _ = wheel_of(unpacked, compiler=compiler.path)
    assert names == LIBRARIES


@pytest.mark.parametrize("name", ["mnist_arch/native/native-plain-0.so", "build/lib/it.so"])
def test_git_does_not_see_what_is_built(name: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    command = ["git", "check-ignore", "--quiet", name]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "mnist_arch", "summary", "--json"),
        ("-c", "from mnist_arch_cli.app import app; app()", "summary", "--verify", "--json"),
    ],
    ids=["module", "script"],
)
def test_modules_of_the_user_are_left_alone(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    for name in OWN_NAMES:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} is not to be imported')")
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert '"parameters": 18666' in result.stdout


@pytest.mark.slow
def test_the_module_is_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mnist_arch", "--frobnicate"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "hint: python -m mnist_arch --help" in result.stderr

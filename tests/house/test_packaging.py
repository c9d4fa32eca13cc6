"""What is installed, under which names, and how it is started."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

OWN_NAMES = ("cli", "data", "helpers", "main", "tests", "utils")
"""Modules that people have in the folder that they work in."""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    setuptools = pytest.importorskip("setuptools")
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


@pytest.mark.slow
def test_what_ships_is_built_with_all_its_files(tmp_path: Path) -> None:
    """The folders of the zoo have names that no package has, and more than one kind of file."""
    pytest.importorskip("setuptools")
    source, built = tmp_path / "source", tmp_path / "built"
    for name in ("mnist_arch", "cli"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("weights.safetensors", "evidence.json"):
        (source / "mnist_arch/zoo/s6" / name).write_bytes(b"{}")
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(built)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    for ours, theirs in (("mnist_arch", "mnist_arch"), ("cli", "mnist_arch_cli")):
        assert files_in(built / theirs) == files_in(source / ours)


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


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

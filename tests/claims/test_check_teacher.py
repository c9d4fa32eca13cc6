"""A run with a teacher that is handed in: named, repeated with its copy, and never trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import handed_in
import pytest
from handed_in import change, edited
from tiny_runs import make_run, tiny
from typer.testing import CliRunner

from mnist_arch.data.load import Loader
from mnist_arch.runs.evidence import sha256_of
from mnist_arch_cli.app import app

pytestmark = pytest.mark.slow


@pytest.fixture
def honest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images_are: Callable[[Loader], None]
) -> Path:
    monkeypatch.setattr(
        "mnist_arch.runs.finished.draw_curves", lambda *_, **__: b"\x89PNG\r\n\x1a\n"
    )
    images_are(handed_in.load_split)
    master = make_run(tmp_path / "runs", tiny("master"))
    teacher = {"network": str(master.folder), "sha256": sha256_of(master.weights_path)}
    return handed_in.train(tmp_path / "runs", recipe__epochs=2, recipe__teacher=teacher)


def checked(folder: Path, *, exit_code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["check", str(folder), "--rerun", "--json"])
    assert result.exit_code == exit_code, result.stdout + result.stderr
    (run,) = json.loads(result.stdout)["runs"]
    return dict(run)


def test_it_is_named_and_repeated_with_its_copy(honest: Path, tmp_path: Path) -> None:
    said = checked(honest)
    assert said["differs"] == []
    assert any("answers of master, a network of 9" in note for note in said["reasons"])
    lost = edited(honest, tmp_path / "lost", lambda it: (it / "teacher.safetensors").unlink())
    assert any(note.startswith("not repeated, since") for note in checked(lost)["reasons"])
    other = make_run(tmp_path / "others", tiny("master"), seed=5).weights_path.read_bytes()
    swapped = edited(
        honest, tmp_path / "swapped", lambda it: (it / "teacher.safetensors").write_bytes(other)
    )
    assert any(note.startswith("not repeated, since") for note in checked(swapped)["reasons"])


def test_a_teacher_that_is_not_told_of_is_found(honest: Path, tmp_path: Path) -> None:
    hidden = edited(honest, tmp_path / "hidden", change("manifest.json", teacher=None))
    places = [it["place"] for it in checked(hidden, exit_code=1)["differs"]]
    assert "manifest.json: teacher.sha256" in places

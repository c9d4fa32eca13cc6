"""`mnist-arch audit --defend`: what a notebook has, trained again with several seeds."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from notebooks_of_others import examples
from train_command import Terminal
from train_command import mnist_arch as mnist_arch
from typer.testing import CliRunner

from mnist_arch_cli.app import app


def notebook(folder: Path, *, epochs: int = 1) -> Path:
    """A plain one, whose schedule follows test, of so many epochs."""
    (example,) = (it for it in examples() if it.name == "torch-plateau")
    path = example.write(folder)
    text, replaced = re.subn(r"EPOCHS = \d+", f"EPOCHS = {epochs}", path.read_text())
    assert replaced == 1
    path.write_text(text)
    return path


def audit(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["audit", *map(str, arguments)])


@pytest.mark.slow
def test_a_claim_is_defended_with_seeds(mnist_arch: Terminal, tmp_path: Path) -> None:
    rules = Path("rules.yaml")
    rules.write_text("accuracy_percent: 0.0\n")
    options = ["--defend", "2", "--budget", rules, "--out", "runs"]
    path = notebook(tmp_path)
    shown = audit(path, *options)
    assert shown.exit_code == 1  # test has chosen, whatever the seeds say
    assert len(mnist_arch.folders) == 2
    assert "holds" in shown.stdout
    assert "left out: " in shown.stdout
    found = json.loads(audit(path, *options, "--json").stdout)["files"][0]
    defended = found["defended"]
    assert found["verdict"] == "test was used to choose"
    assert defended["outcome"] == "holds"
    assert defended["seeds"] == [0, 1]
    assert defended["bound_percent"] <= defended["mean_percent"]
    assert any("ReduceLROnPlateau" in it["text"] for it in defended["left_out"])
    (row,) = csv.DictReader(io.StringIO(audit(path, *options, "--csv").stdout))
    assert float(row["defended_mean_percent"]) == defended["mean_percent"]
    assert row["defended_seeds"] == "2"
    rules.write_text("accuracy_percent: 100.0\n")
    missed = json.loads(audit(path, *options, "--json").stdout)["files"][0]["defended"]
    assert missed["outcome"] in ("missed", "holds")  # by the same runs, which are not trained again
    assert missed["mean_percent"] == defended["mean_percent"]


def test_what_cannot_be_trained_says_why(mnist_arch: Terminal, tmp_path: Path) -> None:
    too_long = notebook(tmp_path, epochs=30)
    other = tmp_path / "nothing.ipynb"
    other.write_text(json.dumps({"cells": [], "nbformat": 4}))
    result = audit(too_long, other, "--defend", "2", "--json")
    assert result.exit_code == 1
    first, second = (it["defended"] for it in json.loads(result.stdout)["files"])
    assert first["outcome"] == second["outcome"] == "not trained"
    assert "30 epochs" in first["reason"]
    assert "no network" in second["reason"]
    assert mnist_arch.folders == []
    assert "not trained: " in audit(too_long, "--defend", "2").stdout


def test_links_and_folders_end_no_list(mnist_arch: Terminal, tmp_path: Path) -> None:
    """They are rows that are not trained; the others are."""
    (tmp_path / "link.ipynb").symlink_to(notebook(tmp_path))
    (tmp_path / "folder.ipynb").mkdir()
    result = audit(tmp_path / "link.ipynb", tmp_path / "folder.ipynb", "--defend", "1", "--json")
    assert result.exit_code == 1
    found = [it["defended"] for it in json.loads(result.stdout)["files"]]
    assert [it["outcome"] for it in found] == ["not trained", "not trained"]
    assert found[0]["reason"] == "links are not followed, and folders are not read"

"""`mnist-arch train --dry-run`: every value of the resolved experiment, and where it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mnist_arch.spec.loading import load
from mnist_arch_cli.app import app

TEXT = """\
extends: s6
name: other
defaults: {norm: group, dropout: 0.1}
blocks:
  - {channels: [8, {out: 16, norm: none}], pool: max, reduce: 10}
head: {pool: global-average}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)


def dry_run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["train", "--dry-run", *arguments])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert list(Path().iterdir()) == [Path("other.yaml")]
    return result.stdout


def rows(text: str) -> dict[str, tuple[str, str]]:
    """Value and origin by path."""
    table = text.split("\n\n")[0].splitlines()[2:]
    cells = [line.split(maxsplit=2) for line in table]
    return {path: (value, origin.rstrip()) for path, value, origin in cells}


def test_every_value_has_its_origin() -> None:
    found = rows(
        dry_run("other.yaml", "--epochs", "5", "--holdout", "99", "--set", "recipe.ema=null")
    )
    assert found["recipe.epochs"] == ("5", "--epochs")
    assert found["holdout"] == ("99", "--holdout")
    assert found["recipe.ema"] == ("null", "--set recipe.ema=null")
    assert found["name"] == ("other", "other.yaml:2")
    assert found["defaults.activation.kind"] == ("relu", "zoo/s6/spec.yaml:3")
    assert found["blocks[0].repeat"] == ("1", "default")


def test_flags_stand_above_overrides_and_overrides_above_files() -> None:
    found = rows(dry_run("--set", "recipe.epochs=7", "--epochs", "5", "--set", "name=me"))
    assert found["recipe.epochs"] == ("5", "--epochs")
    assert found["name"] == ("me", "--set name=me")


def test_a_short_form_is_the_origin_of_its_field_alone() -> None:
    found = rows(dry_run("other.yaml"))
    assert found["defaults.norm.kind"] == ("group", "other.yaml:3")
    assert found["defaults.dropout.rate"] == ("0.1", "other.yaml:3")
    assert found["defaults.dropout.kind"] == ("elementwise", "default")
    assert found["blocks[0].channels[0].out"] == ("8", "other.yaml:5")
    assert found["blocks[0].channels[1].norm.kind"] == ("none", "other.yaml:5")
    assert found["blocks[0].pool.kind"] == ("max", "other.yaml:5")
    assert found["blocks[0].pool.size"] == ("2", "default")
    assert found["blocks[0].reduce.out"] == ("10", "other.yaml:5")
    assert found["blocks[0].reduce.norm.kind"] == ("none", "default")


def test_paths_and_values_stay_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = rows(dry_run("other.yaml"))
    monkeypatch.setenv("COLUMNS", "80")
    assert rows(dry_run("other.yaml")) == wide


def test_json_has_the_resolved_experiment() -> None:
    found: dict[str, Any] = json.loads(dry_run("other.yaml", "--seeds", "3", "--json"))
    experiment = load("other.yaml").experiment
    assert found["experiment"] == json.loads(experiment.model_dump_json())
    assert found["origins"]["name"] == "other.yaml:2"
    assert found["seeds"] == [0, 1, 2]
    assert found["within_budget"] is True


def test_what_train_would_refuse_is_shown_and_refused() -> None:
    result = CliRunner().invoke(app, ["train", "--dry-run", "--epochs", "20"])
    assert rows(result.stdout)["recipe.epochs"] == ("20", "--epochs")
    assert "broken" in result.stdout
    assert "20 epochs, 1 too many for fewer than 20" in result.stderr
    assert result.exit_code == 1

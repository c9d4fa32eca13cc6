"""`mnist-arch check`: one table, CSV for the grade book, JSON, and exit codes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from handed_in import change, edited, load_split, train
from typer.testing import CliRunner

from mnist_arch.data.load import Loader
from mnist_arch_cli.app import app


@pytest.fixture
def own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images_are: Callable[[Loader], None]
) -> Path:
    """An honest run, which the commands of a test are about."""
    images_are(load_split)
    monkeypatch.setattr("mnist_arch.runs.finished.draw_curves", lambda *_, **__: b"")
    monkeypatch.chdir(tmp_path)
    return train(Path("runs"))


def check(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["check", *map(str, arguments)])
    assert result.exit_code == code, result.stdout + result.stderr
    return result


def test_an_honest_run_ends_with_0(own: Path) -> None:
    found = json.loads(check(own, "--json").stdout)
    (row,) = found["runs"]
    assert (row["is"], row["run"], row["differs"]) == ("as stated", str(own), [])
    assert found["budget"]["parameters_below"] == 20_000
    assert "as stated" in check(own).stdout


def test_a_forged_run_ends_with_1_and_says_by_how_much(own: Path) -> None:
    forged = edited(own, Path("=forged"), change("result.json", accuracy_percent=99.9))
    Path("broken").mkdir()
    result = check(own, forged, "broken", code=1)
    assert "accuracy_percent says 99.9, and" in result.stdout
    assert "broken is no run" in result.stdout
    rows = list(csv.DictReader(io.StringIO(check(forged, "broken", "--csv", code=1).stdout)))
    assert [row["is"] for row in rows] == ["differs", "cannot be read"]
    assert rows[0]["run"] == "'=forged"
    (row,) = json.loads(check(forged, "--json", code=1).stdout)["runs"]
    (difference, *_) = row["differs"]
    assert difference["amount"] == pytest.approx(99.9 - row["accuracy_percent"])


def test_the_budget_is_that_of_the_checker(own: Path) -> None:
    Path("rules.yaml").write_text("parameters_below: 50\n")
    assert "too many for fewer than 50" in check(own, "--budget", "rules.yaml", code=1).stdout
    Path("rules.yaml").write_text("parameter_below: 50\n")
    assert "parameters_below" in check(own, "--budget", "rules.yaml", code=2).stderr


def test_what_is_not_there_is_said_before_any_work(own: Path) -> None:
    assert "there is no nothing" in check(own, "nothing", code=2).stderr
    assert "choose one" in check(own, "--csv", "--json", code=2).stderr

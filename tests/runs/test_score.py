"""Several seeds as one result."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mnist_arch.errors import StorageError
from mnist_arch.runs.result import Result
from mnist_arch.runs.score import Score
from mnist_arch.spec.experiment import Budget, Verdicts
from mnist_arch.values import FORMAT


def result(correct: int, *, seed: int = 0, **values: Any) -> Result:
    fields: dict[str, Any] = {
        "name": "s6",
        "digest": "ab" * 32,
        "seed": seed,
        "dataset": "mnist",
        "split": "test",
        "correct": correct,
        "images": 10_000,
        "accuracy_percent": correct / 100,
        "interval_percent": (99.0, 99.9),
        "loss": 0.02,
        "best_epoch": 2,
        "best_accuracy_percent": 99.99,
        "parameters": 18_666,
        "macs": 5,
        "epochs": 19,
        "seconds": 1.0,
        "command_seconds": 2.0,
        "verdicts": Verdicts(parameters="kept", epochs="kept", accuracy="none"),
    }
    return Result(**{**fields, **values})


def of(*correct: int, **values: Any) -> Score:
    results = [result(count, seed=seed, **values) for seed, count in enumerate(correct)]
    return Score.of(results, Budget())


def test_mean_spread_and_bound_by_hand() -> None:
    whole = of(9_940, 9_950, 9_960)
    assert whole.mean_percent == 99.5
    assert whole.spread_percent == pytest.approx(0.1)
    assert whole.bound_percent == pytest.approx(99.5 - 2.9199855804 * 0.1 / math.sqrt(3))
    assert (whole.seeds, whole.images) == ([0, 1, 2], 10_000)
    assert (whole.name, whole.digest, whole.dataset, whole.split) == (
        "s6",
        "ab" * 32,
        "mnist",
        "test",
    )
    assert [it.correct for it in whole.results] == [9_940, 9_950, 9_960]


def test_one_seed_has_no_spread() -> None:
    whole = of(9_940)
    assert (whole.mean_percent, whole.spread_percent, whole.bound_percent) == (99.4, None, None)
    assert whole.verdicts.accuracy == "kept"


@pytest.mark.parametrize(
    ("correct", "verdict"),
    [
        ((9_940, 9_940), "kept"),
        ((9_941, 9_939), "kept"),  # the mean is the rule exactly
        ((9_940, 9_939), "missed"),  # 99.395 %, which rounds to 99.40 %
        ((9_940, 9_940, 9_939), "missed"),  # 99.3967 %
        ((9_999, 9_881), "kept"),
    ],
)
def test_the_mean_is_judged_as_an_exact_fraction(correct: tuple[int, ...], verdict: str) -> None:
    assert of(*correct).verdicts.accuracy == verdict


def test_the_best_epochs_decide_nothing() -> None:
    assert of(9_930, 9_935, best_accuracy_percent=100.0).verdicts.accuracy == "missed"


def test_the_rules_of_size_and_length_are_those_of_its_runs() -> None:
    verdicts = Verdicts(parameters="missed", epochs="missed", accuracy="kept")
    whole = of(9_950, 9_950, verdicts=verdicts)
    assert (whole.verdicts.parameters, whole.verdicts.epochs) == ("missed", "missed")


@pytest.mark.parametrize("values", [{"split": "validation"}, {"dataset": "mnist-5k"}])
def test_without_the_test_split_of_the_dataset_there_is_no_verdict(values: dict[str, str]) -> None:
    assert of(9_999, 9_999, **values).verdicts.accuracy == "none"


@pytest.mark.parametrize(
    "other",
    [{"digest": "cd" * 32}, {"split": "validation"}, {"dataset": "kmnist"}, {"images": 9_999}],
)
def test_runs_of_different_experiments_are_no_score(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one experiment on one split"):
        Score.of([result(5), result(5, seed=1, **other)], Budget())


def test_nothing_is_no_score() -> None:
    with pytest.raises(ValueError, match="one experiment on one split"):
        Score.of([], Budget())


def test_one_seed_twice_is_no_score() -> None:
    with pytest.raises(ValueError, match="differ from each other"):
        Score.of([result(5, seed=1), result(5, seed=1)], Budget())


def test_the_file_holds_everything_exactly(tmp_path: Path) -> None:
    whole = of(9_940, 9_951)
    path = whole.write(tmp_path)
    assert path == tmp_path / "s6-abababab-seeds2.json"
    assert Score.model_validate_json(path.read_text()) == whole
    content = json.loads(path.read_text())
    assert content["format"] == FORMAT
    assert content["mean_percent"] == 99.455
    assert [it["seed"] for it in content["results"]] == [0, 1]
    assert path.read_text() == whole.json_text()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        of(5, 6).write(tmp_path / "nowhere")

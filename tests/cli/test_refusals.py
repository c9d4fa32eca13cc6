"""What a run refuses before it trains, its dry run refuses in the same words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_sweeps import blocks, write_sweep
from train_command import SPEC
from typer.testing import CliRunner, Result

from mnist_arch.data.load import Resolved
from mnist_arch_cli.app import app

ANSWER_IS_NO, BAD_INPUT, MACHINE_CANNOT = 1, 2, 3
LONG = "x" * 300


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        pytest.fail("this reads images")

    def here(name: str, **_: object) -> Resolved:
        return Resolved("mnist" if name == "auto" else name)  # type: ignore[arg-type]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mnist_arch.runs.images.read_images", read)
    monkeypatch.setattr("mnist_arch.data.load.resolve_dataset", here)
    Path("small.yaml").write_text(SPEC)
    Path("auto.yaml").write_text(SPEC.replace("dataset: mnist", "dataset: auto"))


def refused_alike(*arguments: str, code: int, said: str) -> None:
    """The run and the dry run end with the code and the words; a file of none of them is left."""
    before = sorted(Path().iterdir())
    results: list[Result] = [
        CliRunner().invoke(app, [*arguments, *more])
        for more in ((), ("--dry-run",), ("--json",), ("--dry-run", "--json"))
    ]
    assert [it.exit_code for it in results] == [code] * 4, [it.stderr for it in results]
    run, dry, run_json, dry_json = (it.stderr for it in results)
    assert said in run
    assert (dry, dry_json) == (run, run_json)
    assert results[3].stdout == ""
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("small.yaml --epochs 20", ANSWER_IS_NO, "20 epochs, 1 too many"),
        ("small.yaml --set budget.parameters_below=99", ANSWER_IS_NO, "too many for fewer than 99"),
        ("small.yaml --dataset emnist-letters", BAD_INPUT, "emnist-letters has 26 classes"),
        ("small.yaml --set classes=9", BAD_INPUT, "classes"),
        ("small.yaml --dataset imagenet", BAD_INPUT, "imagenet"),
        ("small.yaml --holdout 59989", BAD_INPUT, "59,989 of the 60,000 training images of mnist"),
        ("small.yaml --dataset mnist-5k --holdout 4000", BAD_INPUT, "at most 3,990"),
        ("small.yaml --require --holdout 5000", ANSWER_IS_NO, "judged on 5,000 images held out"),
        ("small.yaml --require --dataset kmnist", ANSWER_IS_NO, "this run is of kmnist"),
        ("small.yaml --require --dataset mnist-5k", ANSWER_IS_NO, "this run is of mnist-5k"),
        ("small.yaml --require --set budget.dataset=kmnist", ANSWER_IS_NO, "test split of kmnist"),
        ("small.yaml --require --seeds 2 --holdout 16", ANSWER_IS_NO, "can have no verdict"),
        ("auto.yaml --require --holdout 16", ANSWER_IS_NO, "can have no verdict"),
        ("auto.yaml --holdout 60000", BAD_INPUT, "60,000 of the 60,000 training images"),
        (
            "small.yaml --set recipe.schedule.kind=plateau --set recipe.schedule.watch=holdout",
            BAD_INPUT,
            "test is never watched",
        ),
        ("small.yaml --data-dir no/where", BAD_INPUT, "the data folder no/where does not exist"),
        ("small.yaml --data-dir small.yaml", BAD_INPUT, "the data folder small.yaml is no folder"),
        ("small.yaml --out small.yaml", BAD_INPUT, "small.yaml is a file, not a folder"),
        (f"small.yaml --out {LONG}", BAD_INPUT, "choose a shorter one"),
    ],
)
def test_train(arguments: str, code: int, said: str) -> None:
    refused_alike("train", *arguments.split(), code=code, said=said)


@pytest.mark.parametrize(
    ("top", "arguments", "code", "said"),
    [
        ({}, "--epochs 20", ANSWER_IS_NO, "no arm of tiny is within the budget"),
        ({"holdout": 3_991}, "", BAD_INPUT, "at most 3,990"),
        ({"holdout": 5_000}, "--dataset mnist-5k", BAD_INPUT, "5,000 of the 4,000"),
        ({"finalists": {"top": 0}}, "", BAD_INPUT, "finalists.top"),
        ({}, "--dataset imagenet", BAD_INPUT, "imagenet"),
        (
            {
                "grid": {"recipe.schedule": [{"kind": "plateau", "watch": "holdout"}]},
                "finalists": {"top": 1},
            },
            "",
            ANSWER_IS_NO,
            "finalists train on all images",
        ),
        ({}, "--dataset emnist-letters", ANSWER_IS_NO, "emnist-letters has 26 classes"),
        ({}, "--dataset kmnist --data-dir no/where", BAD_INPUT, "no/where does not exist"),
        ({}, "--out small.yaml", BAD_INPUT, "small.yaml is a file, not a folder"),
    ],
)
def test_sweep(top: dict[str, Any], arguments: str, code: int, said: str) -> None:
    arms = () if "grid" in top else ({"name": "a", **blocks(4)},)
    write_sweep(Path("tiny.yaml"), *arms, **top)
    refused_alike("sweep", "tiny.yaml", *arguments.split(), code=code, said=said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "top", "arguments", "said", "hint"),
    [
        (
            "optuna",
            {"search": {"trials": 2, "space": {"recipe.schedule.peak": [0.1, 0.2]}}},
            "",
            "a search needs optuna",
            "pip install 'mnist-arch[search]'",
        ),
        ("ray", {}, "--executor ray", "a sweep on a cluster needs ray", "'mnist-arch[ray]'"),
        ("ray", {}, "--executor ray --ray-address a:1", "needs ray", "'mnist-arch[ray]'"),
    ],
)
def test_an_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    top: dict[str, Any],
    arguments: str,
    said: str,
    hint: str,
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    write_sweep(Path("tiny.yaml"), {"name": "a", **blocks(4)}, **top)
    refused_alike("sweep", "tiny.yaml", *arguments.split(), code=MACHINE_CANNOT, said=said)
    result = CliRunner().invoke(app, ["sweep", "tiny.yaml", *arguments.split(), "--dry-run"])
    assert result.stdout.startswith("tiny")  # the plan is shown before it is refused
    assert hint in result.stderr


def test_the_sample_in_the_place_of_mnist_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fallen_back = Resolved("mnist-5k", reason="mnist is nowhere to be had")
    monkeypatch.setattr("mnist_arch.data.load.resolve_dataset", lambda *_, **__: fallen_back)
    result = CliRunner().invoke(app, ["train", "auto.yaml", "--require"])
    assert result.exit_code == ANSWER_IS_NO
    assert "this run is of mnist-5k, so that it can have no verdict" in result.stderr
    assert not Path("runs").exists()

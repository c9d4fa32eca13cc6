"""An experiment is counted once, and carried from the door to the result."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import small
import tiny_sweeps
from train_command import PNG, Terminal
from train_command import mnist_arch as mnist_arch

from mnist_arch.counting.counted import count
from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import plan_network
from mnist_arch.counting.unroll import unroll_parts
from mnist_arch.data.load import Loader
from mnist_arch.errors import ShapeError
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load, loads, validated
from mnist_arch.sweeps.execution.driver import Queue, TrialSource, run_trials
from mnist_arch.sweeps.execution.worker import Setting
from mnist_arch.sweeps.ledger import Ledger
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import plan_sweep
from mnist_arch.sweeps.search.source import SearchSource
from mnist_arch.training.engine import Engine

COUNTED = {it.__code__: it.__name__ for it in (unroll_parts, plan_network, digest, validated)}


ONCE = {"Experiment": 1} | dict.fromkeys(COUNTED.values(), 1)
VALIDATE = Experiment.model_validate.__func__.__code__  # type: ignore[attr-defined]


@contextmanager
def calls() -> Iterator[Counter[str]]:
    """How often each function is called, by whatever name it was imported."""
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in COUNTED:
            found[COUNTED[frame.f_code]] += 1
        elif event == "call" and frame.f_code is VALIDATE:
            found["Experiment"] += frame.f_locals["cls"] is Experiment

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2])
def test_a_training_counts_its_network_once(mnist_arch: Terminal, seeds: int) -> None:
    with calls() as found:
        mnist_arch("small.yaml", "--seeds", str(seeds))
    assert found == {
        "Experiment": 1,
        "validated": 1,
        "unroll_parts": 1,
        "plan_network": 1,
        "digest": 1,
    }


@pytest.mark.slow
def test_a_finished_run_is_counted_once_more_than_the_spec(mnist_arch: Terminal) -> None:
    """What is stored may have been edited, and is held against its own network."""
    mnist_arch("small.yaml")
    with calls() as found:
        mnist_arch("small.yaml")
    assert found == {
        "Experiment": 1,
        "validated": 1,
        "unroll_parts": 3,
        "plan_network": 2,
        "digest": 2,
    }


def test_another_dataset_is_another_digest_of_the_same_plan() -> None:
    auto = count(load("s6"))
    with pytest.raises(ValueError, match="resolve the dataset"):
        _ = auto.digest
    mnist, sample = auto.with_dataset("mnist"), auto.with_dataset("mnist-5k")
    assert mnist.plan is sample.plan is auto.plan
    assert mnist.digest != sample.digest
    assert mnist.digest == digest(mnist.experiment)
    assert mnist.folder_name(3) == f"s6-{mnist.digest[:8]}-s3"


def test_what_cannot_be_connected_is_told_with_its_line(tmp_path: Path) -> None:
    text = small.TEXT.replace("channels: [6]", "channels: [6], kind: grouped, groups: 4")
    loaded = loads(text, source="small.yaml")
    with pytest.raises(ShapeError) as caught:
        count(loaded)
    (problem,) = caught.value.problems
    assert (problem.place, problem.origin) == ("blocks[1].channels[0]", "small.yaml:6")


SMALL: dict[str, Any] = {
    "base": {"extends": "s6", **tiny_sweeps.blocks(4), "recipe": {"epochs": 1}},
    "holdout": 16,
}


@pytest.fixture
def _quick(images_are: Callable[[Loader], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images, and no curves, whose drawing is a million calls."""
    images_are(lambda _, split, **__: small.synthetic(96, seed=1, name=split))
    monkeypatch.setattr("mnist_arch.runs.finished.draw_curves", lambda *_, **__: PNG)


def train_all(file: Path, *, search: bool = False) -> tuple[Counter[str], int]:
    """Trains a sweep in this process: how often what was called, and for how many trials."""
    folder = file.parent
    with calls() as found:
        plan = plan_sweep(load_sweep(file), dataset="mnist-5k")
        ledger = Ledger(folder / "runs")
        setting = Setting(Engine(device="cpu", threads=1), None, ["mnist-arch"])
        executor = tiny_sweeps.HereExecutor(workers=1, setting=setting)
        source: TrialSource = SearchSource(plan, ledger) if search else Queue(plan.trials(), ledger)
        with ledger.lock():
            events = list(run_trials(plan, ledger, source, executor))
    trials = sum(isinstance(event.what, Result) for event in events)
    return found, trials


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
def test_a_listed_experiment_is_validated_and_counted_once(tmp_path: Path) -> None:
    arms = [{"name": f"a{size}", **tiny_sweeps.blocks(size)} for size in (3, 4, 5)]
    file = tiny_sweeps.write_sweep(tmp_path / "tiny.yaml", *arms, **SMALL, seeds=1)
    found, trials = train_all(file)
    assert trials == 3
    base, listed = 1, 3
    assert found["Experiment"] == base + listed
    assert (found["plan_network"], found["unroll_parts"], found["digest"]) == (3, 3, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
def test_a_cell_of_a_grid_is_validated_once(tmp_path: Path) -> None:
    grid = {"blocks.0.channels.0": [3, 4, 5], "classes": [10], "recipe.ema": [0.5, 0.9]}
    file = tiny_sweeps.write_sweep(tmp_path / "tiny.yaml", **SMALL, grid=grid, seeds=1)
    found, trials = train_all(file)
    assert trials == 6
    base, levels, networks = 1, 6, 3  # each recipe is a part, and is validated by itself
    assert found["Experiment"] == base + levels + networks


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
def test_a_proposal_is_validated_and_counted_once(tmp_path: Path) -> None:
    space = {"blocks.0.channels.0": [3, 4, 5]}
    search = {"space": space, "trials": 3}
    file = tiny_sweeps.write_sweep(tmp_path / "tiny.yaml", **SMALL, search=search)
    found, trials = train_all(file, search=True)
    assert trials == 3
    base, choices, proposals = 1, 3, 3
    assert found["Experiment"] == base + choices + proposals
    assert (found["plan_network"], found["unroll_parts"], found["digest"]) == (3, 3, 3)

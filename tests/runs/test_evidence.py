"""The evidence of what ships is of what ships, and anyone can check it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_runs import make_run, tiny

import mnist_arch
from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import RunCorrupt, RunError
from mnist_arch.runs.evidence import EVIDENCE, Evidence, evidence_beside
from mnist_arch.runs.teachers import Teachers
from mnist_arch.spec.loading import load
from mnist_arch.values import read_record
from mnist_arch.zoo.index import Shipped, zoo

SHIPPED = [it for it in zoo().values() if it.evidence_path.exists()]


def evidence_of(shipped: Shipped) -> Evidence:
    return read_record(shipped.evidence_path, Evidence)


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda it: it.name)
def test_it_is_of_the_spec_and_the_weights_that_ship(shipped: Shipped, tmp_path: Path) -> None:
    evidence = evidence_of(shipped)
    loaded = load(shipped.name).with_dataset(evidence.dataset)
    experiment = Teachers(tmp_path).known(loaded).experiment
    assert evidence.digest == digest(experiment)
    teacher = experiment.recipe.teacher
    assert (evidence.teacher and evidence.teacher.sha256) == (teacher and teacher.sha256)
    assert evidence.parameters == plan_network(experiment).parameters
    assert evidence.epochs == experiment.recipe.epochs
    assert [it.seed for it in evidence.seeds] == list(range(len(evidence.seeds)))
    assert len(evidence.seeds) >= 5
    for it in evidence.seeds:
        assert it.correct + len(set(it.mistakes)) == evidence.images
    assert evidence_beside(shipped.weights_path) == evidence


@pytest.mark.mnist
@pytest.mark.slow
@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda it: it.name)
def test_the_weights_are_right_about_the_same_images(shipped: Shipped) -> None:
    evidence = evidence_of(shipped)
    found = mnist_arch.evaluate(f"zoo/{shipped.name}", split=evidence.split).evaluation
    assert found.correct == evidence.seeds[0].correct
    assert sorted(it.index for it in found.mistakes) == evidence.seeds[0].mistakes


def test_a_bound_over_images_too_is_lower_than_one_over_seeds() -> None:
    evidence = evidence_of(zoo()["s6"])
    over_seeds, crossed = evidence.accuracies.bound_percent, evidence.crossed_bound_percent
    assert over_seeds is not None
    assert crossed is not None
    assert crossed < over_seeds
    assert crossed > evidence.accuracies.mean_percent - 0.2


def test_evidence_of_other_weights_is_none(tmp_path: Path) -> None:
    shipped = zoo()["s6"]
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(shipped.weights_path.read_bytes() + b" ")
    assert evidence_beside(weights) is None
    (tmp_path / EVIDENCE).write_bytes(shipped.evidence_path.read_bytes())
    assert evidence_beside(weights) is None
    (tmp_path / EVIDENCE).write_text('{"format": 2}')
    with pytest.raises(RunCorrupt, match="is damaged"):
        evidence_beside(weights)


def test_evidence_is_of_runs_that_differ_in_their_seed_alone(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, tiny(), seed=seed) for seed in (0, 1)]
    other = make_run(tmp_path, tiny("b", holdout=20))
    with pytest.raises(RunError, match="which images are wrong"):
        Evidence.of(runs, machine="here")
    for run in (*runs, other):
        result = run.result()
        assert result is not None
        wrong = [*range(result.images - result.correct)]
        run.result_path.write_text(result.model_copy(update={"mistakes": wrong}).json_text())
    evidence = Evidence.of(runs, machine="here")
    assert [it.seed for it in evidence.seeds] == [0, 1]
    with pytest.raises(RunError, match="more than their seed"):
        Evidence.of([*runs, other], machine="here")

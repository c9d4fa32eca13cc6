"""Which networks the native engine runs: all that ship, and the public ones that can be said."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from networks_of_others import code_of
from small import loaded

from mnist_arch.convert.importing import Request, import_source
from mnist_arch.convert.source import Source
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.split import Split
from mnist_arch.errors import Origin
from mnist_arch.native.program import not_covered, program_of
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load, loads
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import plan_sweep
from mnist_arch.training.engine import Engine
from mnist_arch.training.engine_choice import choose_engine
from mnist_arch.training.loop import make_step
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep
from mnist_arch.training.work import Work
from mnist_arch.zoo.index import zoo_names

ROOT = Path(__file__).parents[2]
SWEEPS = [ROOT / "experiments.yaml", ROOT / "benchmarks/large_batch.yaml"]
CASES = ROOT.parent / "shared/cases/networks.csv"
LACKING = {
    "N09": "`splits` of a norm",
    "N10": "`affine`, `epsilon` or `momentum` of a norm",
    "M03": "`affine`, `epsilon` or `momentum` of a norm",
    "M04": "a `kernel` that is no square",
    "M05": "`slopes: channel` of a PReLU",
    "M07": "`padding: same-end`",
    "M08": "a `kernel` that is no square",
    "M11": "`branches`",
}
"""What native steps do not have, of the public networks that the language has words for."""


def is_covered(experiment: Experiment) -> bool:
    """Whether every layer has an operation: the parameters of both are the same."""
    plan = plan_network(experiment)
    if not_covered(plan.layers):
        return False
    program = program_of(plan.layers)
    return sum(math.prod(shape) for shape in program.parameters) == plan.parameters


@pytest.mark.parametrize("name", zoo_names())
def test_the_zoo_is_covered(name: str) -> None:
    assert is_covered(load(name).experiment)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_sweeps_that_ship_are_covered(path: Path) -> None:
    plan = plan_sweep(load_sweep(path), dataset="mnist")
    assert plan.arms
    assert all(is_covered(plan.counted(arm, "ranking").experiment) for arm in plan.arms)


@pytest.mark.skipif(not CASES.exists(), reason="the handed networks are not there")
def test_public_networks_are_covered_or_told_what_is_lacking() -> None:
    found = {}
    for row in csv.DictReader(CASES.read_text().splitlines()):
        source = Source("net.py", ((Origin("net.py:1"), code_of(row["layers"])),))
        text = import_source(source, Request()).text
        experiment = loads(text, source=row["id"]).experiment
        lacking = not_covered(plan_network(experiment).layers)
        assert is_covered(experiment) == (not lacking), row["id"]
        if lacking:
            found[row["id"]] = lacking
    assert found == LACKING


def test_a_network_that_is_not_covered_has_plain_steps_and_a_note() -> None:
    spec = "name: g\ndataset: mnist-5k\nblocks: [{channels: [10], norm: {splits: 2}}]"
    experiment = loads(spec, source="g.yaml").experiment
    work = Work.of(plan_network(experiment), experiment.recipe, images=1_000)
    choice = choose_engine(device="cpu", threads=1, wanted="native", work=work)
    assert choice.engine.step == "plain"
    assert choice.note == "plain steps: native ones do not have `splits` of a norm"
    images = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
    split = Split(images, torch.zeros(4, dtype=torch.int64), "train", source="noise")
    engine = Engine(device="cpu", threads=1, step="native", vectors="avx2")
    step = make_step(engine, State.fresh(experiment, seed=0), split, batch=4)
    assert type(step) is PlainStep


@pytest.mark.parametrize(
    ("recipe", "native", "captured"),
    [
        ({"schedule": {"cycle_momentum": True}}, "`cycle_momentum`", "`cycle_momentum`"),
        ({"optimizer": "rmsprop"}, "`rmsprop`", "`rmsprop`"),
        ({"optimizer": {"kind": "adam", "weight_decay": 0.1}}, "`weight_decay` of `adam`", ""),
        ({"l1": 0.1}, "`l1`", ""),
        ({"optimizer": {"kind": "adam", "decays": "all"}}, "", ""),
        ({"schedule": {"kind": "plateau"}}, "", ""),
    ],
)
def test_a_recipe_that_is_not_covered_has_plain_steps_and_a_note(
    recipe: dict[str, Any], native: str, captured: str
) -> None:
    experiment = loaded(**{f"recipe__{key}": value for key, value in recipe.items()}).experiment
    work = Work.of(plan_network(experiment), experiment.recipe, images=4_000)
    assert (work.not_native, work.not_captured) == (native, captured)
    if native:
        found = choose_engine(device="cpu", threads=1, wanted="native", work=work)
        assert found.engine.step == "plain"
        assert found.note == f"plain steps: native ones do not have {native}"
    if captured:
        found = choose_engine(device="cuda", threads=1, wanted="auto", work=work)
        assert found.engine.step == "plain"
        assert found.note == f"plain steps: captured ones do not have {captured}"

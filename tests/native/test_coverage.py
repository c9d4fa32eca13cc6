"""Which networks the native engine runs: all that ship, and the public ones that can be said."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
from networks_of_others import code_of
from small import loaded

from mnist_arch.convert.importing import Request, import_source
from mnist_arch.convert.source import Source
from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import Origin
from mnist_arch.native.program import program_of
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load, loads
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import plan_sweep
from mnist_arch.training.engine_choice import choose_engine
from mnist_arch.training.work import Work
from mnist_arch.zoo.index import zoo_names

ROOT = Path(__file__).parents[2]
SWEEPS = [ROOT / "experiments.yaml", ROOT / "benchmarks/large_batch.yaml"]
CASES = ROOT.parent / "shared/cases/networks.csv"


def is_covered(experiment: Experiment) -> bool:
    """Whether every layer has an operation: the parameters of both are the same."""
    plan = plan_network(experiment)
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
def test_public_networks_are_covered() -> None:
    for row in csv.DictReader(CASES.read_text().splitlines()):
        source = Source("net.py", ((Origin("net.py:1"), code_of(row["layers"])),))
        text = import_source(source, Request()).text
        assert is_covered(loads(text, source=row["id"]).experiment), row["id"]


@pytest.mark.parametrize(
    ("recipe", "captured"),
    [
        ({"schedule": {"cycle_momentum": True}}, "`cycle_momentum`"),
        ({"optimizer": "rmsprop"}, "`rmsprop`"),
        ({"teacher": "s6"}, "`teacher`"),
        ({"optimizer": {"kind": "adam", "weight_decay": 0.1}}, ""),
        ({"l1": 0.1}, ""),
        ({"schedule": {"kind": "plateau"}}, ""),
    ],
)
def test_a_recipe_that_is_not_captured_has_plain_steps_and_a_note(
    recipe: dict[str, Any], captured: str
) -> None:
    experiment = loaded(**{f"recipe__{key}": value for key, value in recipe.items()}).experiment
    work = Work.of(plan_network(experiment), experiment.recipe, images=4_000)
    assert work.not_captured == captured
    if captured:
        found = choose_engine(device="cuda", threads=1, wanted="auto", work=work)
        assert found.engine.step == "plain"
        assert found.note == f"plain steps: captured ones do not have {captured}"

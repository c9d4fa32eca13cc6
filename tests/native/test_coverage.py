"""Which networks the native engine runs: all that ship, and the public ones that can be said."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from networks_of_others import code_of

from mnist_arch.convert.importing import Request, import_source
from mnist_arch.convert.source import Source
from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import Origin, SpecError
from mnist_arch.native.program import program_of
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load, loads
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import plan_sweep
from mnist_arch.zoo.index import zoo_names

ROOT = Path(__file__).parents[2]
SWEEPS = [ROOT / "experiments.yaml", ROOT / "benchmarks/large_batch.yaml"]
CASES = ROOT.parent / "shared/cases/networks.csv"
SAID_TODAY = {"A", "B", "C", "D", "E", "F", "N01", "N03", "N05", "N13", "N15", "N18", "M02"}
"""Names of the public networks that the language has words for."""


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
def test_public_networks_that_can_be_said_are_covered() -> None:
    covered = set()
    for row in csv.DictReader(CASES.read_text().splitlines()):
        source = Source("net.py", ((Origin("net.py:1"), code_of(row["layers"])),))
        try:
            text = import_source(source, Request()).text
        except SpecError:
            continue
        assert is_covered(loads(text, source=row["id"]).experiment), row["id"]
        covered.add(row["id"])
    assert covered >= SAID_TODAY

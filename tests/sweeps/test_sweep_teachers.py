"""Teachers in a sweep: as an axis, in the list, in the base and in a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_runs import make_run, tiny
from tiny_sweeps import write_sweep

from mnist_arch.errors import SpecError
from mnist_arch.runs.evidence import sha256_of
from mnist_arch.spec.overrides import override
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import SweepPlan, plan_sweep
from mnist_arch.sweeps.search.proposals import Proposals

HOLDOUT = 400


def planned(folder: Path, *arms: dict[str, Any], **top: Any) -> SweepPlan:
    path = write_sweep(folder / "tiny.yaml", *arms, holdout=HOLDOUT, **top)
    return plan_sweep(load_sweep(path, runs=folder), dataset="mnist-5k")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """With a teacher that has the hold-out, and one that has learned from it."""
    make_run(tmp_path, tiny("fair", dataset="mnist-5k", holdout=HOLDOUT))
    make_run(tmp_path, tiny("whole", dataset="mnist-5k"))
    return tmp_path


def sha256(runs: Path, name: str) -> str:
    (folder,) = runs.glob(f"{name}-*")
    return sha256_of(folder / "weights.safetensors")


def test_a_teacher_is_an_axis(runs: Path) -> None:
    weighed = {"network": "fair", "weight": 0.9}
    plan = planned(runs, grid={"recipe.teacher": [None, "fair", weighed, "whole"]})
    alone, fair, heavy, seen = plan.arms
    assert [it.name for it in plan.arms[:2]] == ["teacher=null", "teacher=fair"]
    assert len({it.digest for it in (alone, fair, heavy)}) == 3
    assert [it.rejected for it in (alone, fair, heavy)] == [""] * 3
    assert "has learned from images that are held out" in seen.rejected
    for arm, weight in ((fair, 0.5), (heavy, 0.9)):
        counted = plan.counted(arm, "ranking")
        teacher = counted.experiment.recipe.teacher
        assert teacher is not None
        assert (teacher.sha256, teacher.weight) == (sha256(runs, "fair"), weight)
        assert counted.digest == arm.digest
        assert plan.counted(arm, "final").experiment.recipe.teacher == teacher


def test_the_weight_of_a_teacher_is_an_axis(runs: Path) -> None:
    base = {**tiny().model_dump(exclude_defaults=True, mode="json"), "recipe": {"teacher": "fair"}}
    del base["name"], base["dataset"]
    plan = planned(runs, base=base, grid={"recipe.teacher.weight": [0.3, 0.7]})
    assert len({it.digest for it in plan.arms}) == 2
    assert not any(it.rejected for it in plan.arms)


def test_the_list_and_a_search_have_teachers(runs: Path) -> None:
    arms = [{"name": name, "recipe": {"teacher": name}} for name in ("fair", "whole")]
    plan = planned(runs, *arms)
    fair, seen = plan.arms
    assert not fair.rejected
    assert "has learned from images that are held out" in seen.rejected
    changes = [override("recipe.teacher", "fair", origin="the search")]
    assert plan.arm_of("proposal", changes).digest == fair.digest
    space = {"recipe.teacher": [None, "fair"]}
    assert Proposals(planned(runs, search={"trials": 2, "space": space}))
    space["recipe.teacher"].append("whole")
    with pytest.raises(SpecError, match="has learned from images that are held out") as error:
        planned(runs, search={"trials": 2, "space": space})
    assert error.value.problems[0].origin == "search.space.recipe.teacher"


def test_a_base_whose_teacher_has_seen_the_hold_out_is_refused(runs: Path) -> None:
    base = {**tiny().model_dump(exclude_defaults=True, mode="json"), "recipe": {"teacher": "whole"}}
    del base["name"], base["dataset"]
    with pytest.raises(SpecError, match="has learned from images that are held out"):
        planned(runs, base=base, grid={"recipe.ema": [None]})


@pytest.mark.parametrize(
    ("top", "place"),
    [
        ({"grid": {"recipe.teacher": [None, "nobody"]}}, "recipe.teacher"),
        ({"experiments": [{"name": "a", "recipe": {"teacher": "nobody"}}]}, "experiments[0]"),
        ({"search": {"trials": 1, "space": {"recipe.teacher": ["nobody"]}}}, "recipe.teacher"),
        ({"base": {"extends": "s6", "recipe": {"teacher": "nobody"}}}, "base"),
    ],
)
def test_a_teacher_that_is_not_there_is_told_with_its_line(
    tmp_path: Path, top: dict[str, Any], place: str
) -> None:
    path = write_sweep(tmp_path / "tiny.yaml", **{"grid": {"recipe.ema": [None]}, **top})
    with pytest.raises(SpecError, match="no run and no network is named 'nobody'") as error:
        load_sweep(path, runs=tmp_path)
    problem = error.value.problems[0]
    assert place in problem.place
    assert problem.origin.startswith(str(path))

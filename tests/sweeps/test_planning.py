"""What a sweep will do, known before any of it is done: arms, trials, refusals, digests."""

from __future__ import annotations

import itertools
import json
import math
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from mnist_arch.counting.budget import broken_rules
from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import plan_network
from mnist_arch.counting.unroll import unroll_block, unroll_head
from mnist_arch.errors import Problem, SpecError
from mnist_arch.spec.loading import Loaded, check_dataset, load, validated
from mnist_arch.spec.overrides import changed, parse_override
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.naming import run_name
from mnist_arch.sweeps.planning import Arm, ChangedValue, SweepPlan, Trial, plan_sweep

EXPERIMENTS = Path(__file__).parents[2] / "experiments.yaml"
SMALL = "base: {blocks: [{channels: [4], pool: max}, {channels: [6]}], head: {linear: true}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory, so that paths are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(text: str, *, dataset: Any = "mnist", **flags: Any) -> SweepPlan:
    Path("sweep.yaml").write_text(text, "utf-8")
    return plan_sweep(load_sweep(Path("sweep.yaml"), **flags), dataset=dataset)


def arms(text: str, **flags: Any) -> dict[str, Arm]:
    return {arm.name: arm for arm in planned(text, **flags).arms}


def plain(text: str) -> str:
    """The digest of a spec as `train` would load it."""
    Path("plain.yaml").write_text(text, "utf-8")
    return digest(load("plain.yaml").experiment)


# ----------------------------------------------------------------------- arms


def test_arms_are_those_of_the_list_and_then_every_cell_of_the_grid() -> None:
    found = planned(
        SMALL + "experiments: [{name: b}, {name: a, recipe: {epochs: 3}}]\n"
        "grid:\n"
        "  defaults.order: [conv-norm-activation, conv-activation-norm]\n"
        "  defaults.dropout: [0, 0.1, 0.2]\n"
    )
    norm, activation = "conv-norm-activation", "conv-activation-norm"
    assert [(arm.name, arm.cell) for arm in found.arms] == [
        ("b", None),
        ("a", None),
        (f"order={norm},dropout=0", (norm, "0")),
        (f"order={norm},dropout=0.1", (norm, "0.1")),
        (f"order={norm},dropout=0.2", (norm, "0.2")),
        (f"order={activation},dropout=0", (activation, "0")),
        (f"order={activation},dropout=0.1", (activation, "0.1")),
        (f"order={activation},dropout=0.2", (activation, "0.2")),
    ]
    assert [axis.place for axis in found.axes] == ["defaults.order", "defaults.dropout"]
    assert found.arms[5].differs == (
        ChangedValue("defaults.order", activation),
        ChangedValue("defaults.dropout", "0"),
    )
    assert not any(arm.rejected or arm.proposal for arm in found.arms)


def test_an_arm_is_called_by_its_values_whatever_values_come_later() -> None:
    """Also where they sort before it, and where there are a hundred more."""
    text = f"{SMALL}grid: {{defaults.norm: [batch, none], recipe.batch_size: SIZES}}"
    few = arms(text.replace("SIZES", "[16, 32]"))
    many = arms(text.replace("SIZES", str([8, 16, *range(32, 132)])))
    assert list(few) == [
        "norm=batch,batch_size=16",
        "norm=batch,batch_size=32",
        "norm=none,batch_size=16",
        "norm=none,batch_size=32",
    ]
    assert {name: arm.digest for name, arm in few.items()}.items() <= {
        name: arm.digest for name, arm in many.items()
    }.items()


def test_long_names_are_cut_and_stay_different() -> None:
    """Blocks that differ at their end, and values that mean more than their short form says."""
    blocks = [
        [{"channels": [8, 8, 8], "reduce": {"out": 10, "norm": "none"}, "pool": pool}]
        for pool in ("max", "average", "none")
    ]
    found = arms(f"grid: {{defaults.norm: [batch], blocks: {blocks}}}")
    assert len(found) == 3
    for name in found:
        assert len(name) == 64
        assert name.startswith("norm=batch,blocks=[[8, 8, 8], reduce: {out: 10, norm")
    found = arms("grid: {blocks: [[{channels: [4]}], [{channels: [4], pool: max}]]}")
    first, second = found
    assert first != second
    assert {name.partition("~")[0] for name in found} == {"blocks=[[4]]"}
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", run_name(name)) for name in found)


def test_the_folder_of_a_trial_has_a_name_that_any_system_takes() -> None:
    text = f"{SMALL}grid: {{defaults.dropout: [0.1], blocks.0.channels.0: [6]}}"
    found = planned(text)
    (arm,) = found.arms
    assert arm.name == "dropout=0.1,channels[0]=6"
    experiment = found.counted(arm, "ranking").experiment
    assert experiment.name == "dropout-0.1-channels.0-6"


def test_what_an_experiment_of_the_list_differs_in_is_what_it_says() -> None:
    Path("mine.yaml").write_text("extends: s6\n")
    found = arms(
        "experiments:\n"
        "  - {name: a}\n"
        "  - name: b\n"
        "    recipe: {ema: null, schedule: {peak: 1e-1, kind: cosine}, augment: {}}\n"
        "    blocks: [{channels: [8], pool: max}, {channels: [9, {out: 8, bias: false}]}]\n"
        "    head: {linear: true, pool: global-max}\n"
        "  - {name: c, extends: mine.yaml}\n"
    )
    assert {name: [(it.place, it.value) for it in arm.differs] for name, arm in found.items()} == {
        "a": [],
        "b": [
            ("recipe.ema", "null"),
            ("recipe.schedule.peak", "0.1"),
            ("recipe.schedule.kind", "cosine"),
            (
                "blocks",
                "[{channels: [8], pool: max}, {channels: [9, {out: 8, bias: false}]}]",
            ),
            ("head", "{linear: true, pool: global-max}"),
        ],
        "c": [("extends", "mine.yaml")],
    }


def test_arms_are_counted() -> None:
    found = arms(SMALL + "experiments: [{name: a}, {name: b, recipe: {epochs: 3}}]")
    Path("plain.yaml").write_text(SMALL.removeprefix("base: "))
    experiment = load("plain.yaml").experiment
    counted = plan_network(experiment)
    assert [arm.parameters for arm in found.values()] == [counted.parameters] * 2
    assert [arm.macs for arm in found.values()] == [counted.macs] * 2
    assert [arm.epochs for arm in found.values()] == [19, 3]


def test_grid_over_kinds_keeps_the_keys_that_each_kind_has() -> None:
    found = planned(
        "base: {extends: s6, recipe: {optimizer: {kind: sgd, momentum: 0.8, weight_decay: 0.5}}}\n"
        "grid:\n"
        "  recipe.optimizer.kind: [sgd, adamw]\n"
        "  recipe.optimizer.weight_decay: [0.1, 0.2]\n"
    )
    optimizers = [
        found.counted(arm, "ranking").experiment.recipe.optimizer.model_dump(
            exclude={"decays", "epsilon"}
        )
        for arm in found.arms
    ]
    sgd = {"kind": "sgd", "momentum": 0.8, "nesterov": True}
    adamw = {"kind": "adamw", "beta1": 0.9, "beta2": 0.999}
    assert optimizers == [
        {**sgd, "weight_decay": 0.1},
        {**sgd, "weight_decay": 0.2},
        {**adamw, "weight_decay": 0.1},
        {**adamw, "weight_decay": 0.2},
    ]
    assert len({arm.digest for arm in found.arms}) == 4


# ----------------------------------------------------------------------- the same experiment


def test_experiment_that_occurs_again_is_trained_once() -> None:
    found = planned(
        f"{SMALL}"
        "experiments:\n"
        "  - {name: a}\n"
        "  - {name: b, recipe: {epochs: 3}}\n"
        "  - {name: c, recipe: {epochs: 19}}\n"
        "  - {name: d, blocks: [{channels: [{out: 4}], pool: {kind: max, size: 2}},"
        " {channels: [6]}]}\n"
        "grid: {recipe.epochs: [3, 4], defaults.dropout: [0, 0.0, 0.1]}\n"
        "seeds: 2\n"
    )
    every = {arm.name: arm for arm in found.arms}
    assert {name: arm.same_as for name, arm in every.items()} == {
        "a": "",
        "b": "",
        "c": "a",
        "d": "a",
        "epochs=3,dropout=0": "b",
        "epochs=3,dropout=0.0": "b",
        "epochs=3,dropout=0.1": "",
        "epochs=4,dropout=0": "",
        "epochs=4,dropout=0.0": "epochs=4,dropout=0",
        "epochs=4,dropout=0.1": "",
    }
    names = [trial.arm.name for trial in found.trials()]
    assert names == [name for name, arm in every.items() if not arm.same_as] * 2
    assert len(names) == 5 * 2
    keys = [trial.key for trial in found.trials()]
    assert len(set(keys)) == len(keys)


def test_experiment_over_the_budget_that_occurs_again_says_both() -> None:
    found = arms("base: s6\nbudget: {parameters_below: 5}\nexperiments: [{name: a}, {name: b}]")
    assert found["b"].same_as == "a"
    assert found["a"].rejected == found["b"].rejected != ""


def test_experiments_that_cannot_be_built_are_not_the_same() -> None:
    found = arms("grid: {blocks.2.reduce: [9, 11]}")
    assert [(arm.digest, arm.same_as) for arm in found.values()] == [("", "")] * 2


# ----------------------------------------------------------------------- rejected


def test_network_over_the_budget_is_rejected_with_the_sentence_of_the_budget() -> None:
    found = arms(
        "budget: {parameters_below: 18000, epochs_below: 19}\n"
        "experiments: [{name: a}, {name: b, recipe: {epochs: 3}}]\n"
    )
    s6 = load("s6").experiment
    budget = s6.budget.model_copy(update={"parameters_below": 18_000, "epochs_below": 19})
    rules = broken_rules(s6.model_copy(update={"budget": budget}), plan_network(s6))
    assert len(rules) == 2
    assert found["a"].rejected == "; ".join(rules)
    assert found["b"].rejected == rules[0]
    assert "too many for fewer than 18,000; the largest layer is blocks[" in rules[0]
    assert rules[1] == "19 epochs, 1 too many for fewer than 19"
    assert found["a"].parameters == plan_network(s6).parameters
    assert found["a"].digest != ""


def test_network_that_cannot_be_built_is_rejected_with_the_reason() -> None:
    found = arms(
        "grid:\n"
        "  blocks.2.reduce: [10, 9]\n"
        "  recipe.optimizer.kind: [sgd, adamw]\n"
        "  recipe.optimizer.momentum: [0.5]\n"
    )
    reasons = [arm.rejected for arm in found.values()]
    assert reasons[0] == ""
    assert reasons[1].startswith("cannot be built: recipe.optimizer.momentum: unknown key `mom")
    assert reasons[2].startswith("cannot be built: head: the network ends in 9×1×1, not in 10×1×1")
    assert reasons[3].startswith("cannot be built: recipe.optimizer.momentum: unknown key `mom")
    rejected = found["reduce=10,optimizer.kind=adamw,momentum=0.5"]
    assert (rejected.digest, rejected.parameters, rejected.epochs) == ("", 0, 0)


def test_path_that_only_another_axis_takes_away() -> None:
    found = arms("grid: {blocks: [[{channels: [8], reduce: 10}]], blocks.1.dropout: [0.1]}")
    (arm,) = found.values()
    reason = "blocks[1].dropout: blocks has the items 0 to 0, not 1"
    assert arm.rejected == f"cannot be built: {reason}"


def test_network_whose_classes_are_not_those_of_the_dataset_is_rejected() -> None:
    text = f"{SMALL}experiments: [{{name: a}}, {{name: b, classes: 26}}]"
    reason = "cannot be built: classes: {} has {} outputs, but {} has {} classes"
    for dataset, name, classes, its in (
        ("mnist", "b", 26, 10),
        ("emnist-letters", "a", 10, 26),
    ):
        found = arms(text, dataset=dataset)
        rejected = {name: arm.rejected for name, arm in found.items() if arm.rejected}
        assert rejected == {name: reason.format(name, classes, dataset, its)}


def test_what_is_rejected_has_no_trials() -> None:
    found = planned("grid: {recipe.epochs: [3, 40], blocks.2.reduce: [10, 9]}\nseeds: 2\n")
    assert [trial.arm.name for trial in found.trials()] == ["epochs=3,reduce=10"] * 2


# ----------------------------------------------------------------------- trials


def test_trials_come_seed_by_seed() -> None:
    found = planned(f"{SMALL}experiments: [{{name: a}}, {{name: b, recipe: {{epochs: 2}}}}]")
    a, b = found.arms
    assert found.trials() == [
        Trial(arm, seed, "ranking", arm.digest) for seed in range(3) for arm in (a, b)
    ]
    assert found.trials()[3].key == (b.digest, 1)


def test_trials_of_the_ranking_hold_images_out_and_finalists_none() -> None:
    found = planned(
        f"{SMALL}experiments: [{{name: a}}]\nseeds: 2\nfinalists: {{top: 1, seeds: 3}}\n"
    )
    (arm,) = found.arms
    ranking, final = found.counted(arm, "ranking"), found.counted(arm, "final")
    assert (ranking.experiment.holdout, final.experiment.holdout) == (5000, 0)
    trials = found.final_trials(arm)
    assert [(trial.seed, trial.stage) for trial in trials] == [
        (2, "final"),
        (3, "final"),
        (4, "final"),
    ]
    assert {trial.digest for trial in trials} == {digest(final.experiment)}
    assert arm.digest == digest(ranking.experiment)
    assert not {trial.key for trial in trials} & {trial.key for trial in found.trials()}
    assert final.experiment == ranking.experiment.model_copy(update={"holdout": 0})
    assert (final.experiment.name, final.experiment.dataset) == ("a", "mnist")


@pytest.mark.parametrize(
    ("line", "dataset", "holdout"),
    [
        ("", "mnist", 5000),
        ("", "mnist-5k", 333),
        ("holdout:\n", "mnist-5k", 333),
        ("holdout: 100\n", "mnist-5k", 100),
        ("holdout: 3990\n", "mnist-5k", 3990),
        ("holdout: 59988\n", "mnist", 59_988),
    ],
)
def test_holdout(line: str, dataset: str, holdout: int) -> None:
    found = planned(f"{SMALL}{line}experiments: [{{name: a}}]", dataset=dataset)
    assert found.holdout == holdout
    assert found.counted(found.arms[0], "ranking").experiment.holdout == holdout


def test_holdout_that_leaves_nothing_to_train_on() -> None:
    text = f"{SMALL}experiments: [{{name: a}}]\nholdout: 5000\n"
    assert planned(text).holdout == 5000
    with pytest.raises(SpecError) as caught:
        planned(text, dataset="mnist-5k")
    message = "5,000 of the 4,000 training images of mnist-5k cannot be held out"
    found = Problem(message, "holdout", "sweep.yaml:3", "at most 3,990")
    assert caught.value.problems == (found,)
    with pytest.raises(SpecError, match="59,991 of the 60,000 training images of mnist cannot"):
        planned(text.replace("5000", "59991"))


def test_holdout_of_the_base_is_told_at_its_line() -> None:
    Path("mine.yaml").write_text("extends: s6\nholdout: 5000\n")
    text = "base: mine.yaml\nexperiments: [{name: a}]\n"
    assert planned(text).holdout == 5000
    with pytest.raises(SpecError) as caught:
        planned(text, dataset="mnist-5k")
    assert caught.value.problems[0].origin == "mine.yaml:2"


# ----------------------------------------------------------------------- the same as `train`


def test_digest_is_that_of_the_same_experiment_as_a_plain_spec() -> None:
    """By which the run of a trial is the run of `train` with that spec."""
    found = arms(
        "base: {extends: s6, recipe: {epochs: 8, ema: 0.5}}\n"
        "holdout: 700\n"
        "experiments:\n"
        "  - {name: a, recipe: {ema: null}, defaults: {dropout: 0.1}}\n"
        "  - {name: b, extends: s6, blocks: [{channels: [8], reduce: 10}],"
        " head: {pool: global-max}}\n"
        "grid: {blocks.0.channels.1: [8], recipe.schedule.kind: [cosine]}\n"
    )
    top = "dataset: mnist\nholdout: 700\n"
    quick = f"{top}extends: s6\n"
    assert {name: arm.digest for name, arm in found.items()} == {
        "a": plain(f"{quick}recipe: {{epochs: 8, ema: null}}\ndefaults: {{dropout: 0.1}}"),
        "b": plain(f"{quick}blocks: [{{channels: [8], reduce: 10}}]\nhead: {{pool: global-max}}"),
        "channels[1]=8,schedule.kind=cosine": plain(
            f"{quick}blocks:\n"
            "  - {channels: [8, 8, 32], pool: max, reduce: 8}\n"
            "  - {channels: [16, 32], pool: max, reduce: 8}\n"
            "  - {channels: [16, 32], pool: max, reduce: 10}\n"
            "recipe: {epochs: 8, ema: 0.5, schedule: {kind: cosine, peak: PEAK}}\n".replace(
                "PEAK", str(load("s6").experiment.recipe.schedule.peak)
            )
        ),
    }


def test_arm_that_is_loaded_is_the_arm_that_was_counted() -> None:
    found = planned(EXPERIMENTS.read_text("utf-8"), dataset="mnist-5k", epochs=3)
    for arm in found.arms:
        counted = found.counted(arm, "ranking")
        assert digest(counted.experiment) == counted.digest == arm.digest
        assert counted.plan == plan_network(counted.experiment)
        assert counted.experiment.name == run_name(arm.name)
        assert counted.experiment.recipe.epochs == arm.epochs == 3
        assert counted.origins["recipe.epochs"].startswith("epochs=")
        assert counted.origins["holdout"] == "the sweep"
        final = found.counted(arm, "final")
        assert final.experiment == counted.experiment.model_copy(update={"holdout": 0})
        assert final.plan == counted.plan


_LEVELS = {
    "blocks.0.channels.1": ["8", "{out: 8, bias: false}", "0"],
    "blocks.0.pool": ["average", "{kind: max, size: 3}", "none"],
    "blocks.0.pool.size": ["3", "40"],
    "blocks.1": ["{channels: [4], dropout: {rate: 0.1, after: each}}", "{reduce: 4}"],
    "blocks": ["[{channels: [8], reduce: 10}]", "[{reduce: 10}]", "[]"],
    "blocks.1.reduce.norm": ["batch", "{kind: group}"],
    "defaults.norm": ["{kind: group, groups: 2}", "none"],
    "defaults.dropout": ["0", "0.5", "{rate: 0.1, kind: spatial}", "1"],
    "head": ["{linear: true, pool: flatten}", "{pool: average}"],
    "classes": ["7", "10"],
    "recipe.extends": ["plain", "tiny", "plian"],
    "recipe.optimizer.kind": ["sgd", "adamw", "adan"],
    "recipe.optimizer": ["{kind: adamw, beta1: 0.5}", "{}"],
    "recipe.optimizer.momentum": ["0.5", "0"],
    "recipe.schedule": ["{kind: step, factor: 0.5}", "{peak: 1}"],
    "recipe.schedule.kind": ["step", "constant"],
    "recipe.augment.elastic": ["{pixels: 2}", "null"],
    "recipe.augment.elastic.pixels": ["3"],
    "recipe": ["{epochs: 3}"],
    "recipe.epochs": ["3", "x"],
}
_CHANGES = st.lists(
    st.sampled_from(sorted(_LEVELS)).flatmap(
        lambda path: st.sampled_from([f"{path}={value}" for value in _LEVELS[path]])
    ),
    max_size=4,
)


@pytest.mark.slow
@settings(max_examples=examples(150), derandomize=True, deadline=None, print_blob=True)
@given(_CHANGES)
def test_validating_only_what_is_changed_comes_to_the_same(changes: list[str]) -> None:
    found = planned("base: s6\nexperiments: [{name: a}]")
    overrides = tuple(map(parse_override, changes))
    arm = found.arm_of("a", overrides)
    try:
        tree = found.definition.base
        for override in overrides:
            tree = changed(tree, override)
        experiment = validated(tree, "").model_copy(update={"dataset": "mnist", "holdout": 5000})
        check_dataset(Loaded(experiment.model_copy(update={"name": "a"}), {}))
        counted = plan_network(experiment)
    except SpecError as error:
        reason = "; ".join(map(str, error.problems))
        assert arm.rejected == f"cannot be built: {reason}"
        return
    assert (arm.digest, arm.parameters) == (digest(experiment), counted.parameters)
    assert arm.rejected == "; ".join(broken_rules(experiment, counted))


_AXES = st.lists(st.sampled_from(sorted(_LEVELS)), min_size=1, max_size=4, unique=True).map(
    lambda paths: {path: _LEVELS[path] for path in paths}
)


@settings(max_examples=examples(60), derandomize=True, deadline=None, print_blob=True)
@given(_AXES)
def test_a_cell_of_a_grid_is_what_it_is_by_itself(axes: dict[str, list[str]]) -> None:
    """Though it is put together of parts; also where it cannot be built."""
    grid = ", ".join(f"{path}: [{', '.join(values)}]" for path, values in axes.items())
    try:
        found = planned(f"base: s6\ngrid: {{{grid}}}\n", epochs=7)
    except SpecError:  # an axis that does not fit the base
        return
    assert len(found.arms) == math.prod(map(len, axes.values()))
    cells = itertools.product(*(axis.levels for axis in found.axes))
    for arm, changes in zip(found.arms, cells, strict=True):
        alone = found.arm_of(arm.name, changes)
        assert replace(arm, same_as="", of_grid=False) == alone
        if not arm.rejected:
            assert found.counted(arm, "ranking") == alone.counted


def test_a_grid_unrolls_each_of_its_parts_once() -> None:
    """Not each of its 120 cells, which have three blocks and a head."""
    unrolled: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in (unroll_block.__code__, unroll_head.__code__):
            unrolled[f"{frame.f_code.co_name} {frame.f_locals.get('index', '')}".strip()] += 1

    text = (
        "base: s6\ngrid: {blocks.0.channels.0: [4, 5, 6], blocks.0.channels.1: [4, 5],"
        " blocks.1.channels.0: [8, 9], recipe.epochs: [1, 2, 3, 4, 5],"
        " recipe.schedule.peak: [0.1, 0.2]}"
    )
    Path("sweep.yaml").write_text(text, "utf-8")
    definition = load_sweep(Path("sweep.yaml"))
    sys.setprofile(note)
    try:
        found = plan_sweep(definition, dataset="mnist")
    finally:
        sys.setprofile(None)
    assert len(found.trials()) == 120 * 3
    assert unrolled == {
        "unroll_block 0": 6,
        "unroll_block 1": 2,
        "unroll_block 2": 1,
        "unroll_head": 1,
    }


# ----------------------------------------------------------------------- the shipped file

ORDERS = ("conv-activation-norm", "conv-norm-activation")
GRID = [f"dropout={rate},order={order}" for rate in ("0.0", "0.2") for order in ORDERS]
QUICK = ["quick", "no-ema", "no-augment", "two-blocks", "early", "late", "full-size"]


@pytest.mark.parametrize("dataset", ["mnist", "mnist-5k"])
def test_shipped_file_is_within_its_budget(dataset: Any) -> None:
    found = plan_sweep(load_sweep(EXPERIMENTS), dataset=dataset)
    assert [arm.name for arm in found.arms] == [*QUICK, *GRID]
    assert not [arm.rejected for arm in found.arms if arm.rejected]
    assert {arm.name: arm.same_as for arm in found.arms if arm.same_as} == {GRID[2]: "quick"}
    assert all(15_000 < arm.parameters < 20_000 for arm in found.arms)
    assert all(arm.epochs < 20 for arm in found.arms)
    sweep = found.definition.sweep
    assert (sweep.name, sweep.dataset, sweep.seeds) == ("experiments", "auto", 3)
    assert sweep.finalists is not None
    assert len(found.trials()) == 10 * 3
    assert found.holdout == {"mnist": 5000, "mnist-5k": 333}[dataset]
    # Four times cheaper, as it says.
    assert 3.5 < {arm.name: arm.macs for arm in found.arms}["full-size"] / found.arms[0].macs < 5


def test_shipped_file_has_the_budget_of_the_exercise() -> None:
    found = plan_sweep(load_sweep(EXPERIMENTS), dataset="mnist")
    assert validated(found.definition.base, "").budget == load("s6").experiment.budget


def test_search_that_the_shipped_file_suggests_is_one() -> None:
    text = EXPERIMENTS.read_text("utf-8")
    start = text.index("# search:")
    end = text.index("\n\n", start)
    search = re.sub(r"^# ", "", text[start:end], flags=re.MULTILINE)
    found = planned(text[:start] + search + text[end:])
    assert found.definition.sweep.search is not None
    assert len(found.definition.sweep.search.space) == 4


SCRIPT = """
import json, sys
from pathlib import Path
heavy = "matplotlib numpy optuna ray rich safetensors scipy torch torchvision typer".split()
sys.modules.update(dict.fromkeys(heavy))  # None there makes every import of it fail
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.ledger import Ledger
from mnist_arch.sweeps.planning import plan_sweep
planned = plan_sweep(load_sweep(Path(sys.argv[1])), dataset=sys.argv[2])
states = {Ledger(Path("runs")).status(trial).value for trial in planned.trials()}
print(json.dumps([len(planned.arms), sorted(states)]))
"""


@pytest.mark.slow
def test_planning_needs_no_torch() -> None:
    command = [sys.executable, "-c", SCRIPT, str(EXPERIMENTS), "mnist"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == [11, ["WAITING"]]

"""Specs are frozen, strict values; blocks inherit from defaults, convolutions from their block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from mnist_arch.data.catalog import DatasetName
from mnist_arch.spec.experiment import Budget, Experiment
from mnist_arch.spec.network import (
    Activation,
    Block,
    BlockDropout,
    Conv,
    Defaults,
    Head,
    Hidden,
    Norm,
    Pool,
    Reduce,
)
from mnist_arch.spec.recipe import OneCycle, Recipe, Sgd
from mnist_arch.values import Spec, field_docstrings


def below(spec: type[Spec]) -> Iterator[type[Spec]]:
    yield spec
    for inner in spec.__subclasses__():
        yield from below(inner)


ALL = sorted(set(below(Spec)), key=lambda spec: spec.__name__)


@pytest.mark.parametrize("spec", ALL, ids=[spec.__name__ for spec in ALL])
def test_every_field_and_every_spec_says_what_it_is(spec: type[Spec]) -> None:
    assert spec.__doc__
    said = field_docstrings(spec)
    for name in spec.model_fields:
        assert said.get(name), name
        assert said[name].endswith("."), name


def minimal(**rest: Any) -> Experiment:
    return Experiment.model_validate({"name": "x", "blocks": [{"channels": [8]}], **rest})


def test_defaults_of_a_file() -> None:
    experiment = minimal()
    assert experiment.classes == 10
    assert experiment.dataset == "auto"
    assert experiment.holdout == 0
    assert experiment.defaults == Defaults(
        kernel=3,
        stride=1,
        padding="same",
        padding_mode="zeros",
        kind="ordinary",
        groups=None,
        bias=True,
        norm=Norm(kind="batch"),
        activation=Activation(kind="relu"),
        order="conv-activation-norm",
        dropout=BlockDropout(rate=0.0),
    )
    assert experiment.head == Head(pool="global-average")
    assert experiment.budget == Budget(
        parameters_below=20_000, epochs_below=20, accuracy_percent=99.4, dataset="mnist"
    )


def test_specs_are_frozen() -> None:
    experiment = minimal()
    with pytest.raises(ValidationError, match="frozen"):
        experiment.classes = 11  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        experiment.blocks[0].repeat = 2  # type: ignore[misc]


def test_equal_specs_have_equal_hashes() -> None:
    assert minimal() == minimal()
    assert hash(minimal()) == hash(minimal())
    assert minimal() != minimal(holdout=1)


def test_short_forms_mean_their_objects() -> None:
    short = {
        "channels": [8],
        "norm": "group",
        "pool": "max",
        "reduce": 4,
        "dropout": 0.1,
    }
    long = {
        "channels": [{"out": 8}],
        "norm": {"kind": "group"},
        "pool": {"kind": "max"},
        "reduce": {"out": 4},
        "dropout": {"rate": 0.1},
    }
    assert Block.model_validate(short) == Block.model_validate(long)
    assert Block.model_validate(short) == Block(
        channels=(Conv(out=8),),
        norm=Norm(kind="group"),
        pool=Pool(kind="max"),
        reduce=Reduce(out=4),
        dropout=BlockDropout(rate=0.1),
    )


def test_convolution_inherits_what_it_does_not_say() -> None:
    defaults = Defaults(kernel=5, bias=False, norm=Norm(kind="none"))
    block = Block.model_validate({"channels": [{"out": 8, "bias": True}], "activation": "silu"})
    options = block.channels[0].over(block.over(defaults))
    assert (options.kernel, options.bias, options.norm.kind) == (5, True, "none")
    assert options.activation.kind == "silu"
    assert options.order == defaults.order


@pytest.mark.parametrize("short", [16, [16], {"out": 16}, [{"out": 16}]])
def test_a_hidden_layer_alone_is_a_list_of_one_and_brings_the_last_layer(short: Any) -> None:
    head = Head.model_validate({"hidden": short})
    assert head == Head(hidden=(Hidden(out=16),), linear=True)
    assert Head.model_validate_json(head.model_dump_json()) == head
    with pytest.raises(ValidationError, match="`hidden` needs `linear: true`"):
        Head.model_validate({"hidden": short, "linear": False})


def test_a_branch_is_the_list_of_its_convolutions_or_an_object() -> None:
    block = Block.model_validate({"branches": [[], [8, 16], {"channels": [8], "pool": "max"}]})
    assert [len(branch.channels) for branch in block.branches] == [0, 2, 1]
    assert Block.model_validate_json(block.model_dump_json()) == block
    assert hash(block)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"branches": [[8]]}, "two or more"),
        ({"channels": [8], "join": "add"}, "`join` belongs to `branches`"),
        ({"branches": [[8], {"repeat": 2}]}, "need `channels`"),
        ({"branches": [[8], 8]}, "branches.1.channels"),
        ({"branches": [[8], {"branches": [[8], [8]]}]}, "branches.1.branches"),
        ({}, "a block needs `channels`, `branches`, a `pool` or a `reduce`"),
        ({"pool": {"kind": "average", "padding": "same-end"}}, "belongs to `kind: max`"),
    ],
)
def test_what_are_no_branches_is_refused(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Block.model_validate(block)


def test_null_is_the_same_as_saying_nothing() -> None:
    assert Conv.model_validate({"out": 8, "kernel": None, "norm": None}) == Conv(out=8)


@pytest.mark.parametrize(
    ("spec", "kind", "options"),
    [
        (Norm, "group", {"splits": 2}),
        (Norm, "layer", {"momentum": 0.5}),
        (Norm, "batch", {"affine": "one"}),
        (Activation, "relu", {"slope": 0.1}),
        (Activation, "leaky_relu", {"slopes": "channel"}),
        (Pool, "none", {"norm": "batch"}),
        (Pool, "global-max", {"size": 3}),
        (Pool, "convolution", {"padding": 1}),
        (Pool, "max", {"padding": 2}),
    ],
)
def test_an_option_of_another_kind_is_refused(
    spec: type[Spec], kind: str, options: dict[str, Any]
) -> None:
    (name,) = options
    with pytest.raises(ValidationError, match=f"`{name}"):
        spec.model_validate({"kind": kind, **options})


@pytest.mark.parametrize(
    ("given", "found"),
    [(3, 3), ([3, 3], 3), ([3, 1], (3, 1)), ((1, 64), (1, 64))],
)
def test_a_kernel_is_one_side_or_two(given: Any, found: Any) -> None:
    conv = Conv.model_validate({"out": 8, "kernel": given})
    assert conv.kernel == found
    assert Conv.model_validate_json(conv.model_dump_json()) == conv


@pytest.mark.parametrize("given", [0, 65, True, 3.0, "3", [3], [3, 3, 3], [3, 0], [3, "1"], {}])
def test_what_is_no_kernel_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        Conv.model_validate({"out": 8, "kernel": given})


@pytest.mark.parametrize("given", [-1, 33, True, 1.0, "full", [1, 1], "1"])
def test_what_is_no_padding_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        Conv.model_validate({"out": 8, "padding": given})


@pytest.mark.parametrize(
    ("spec", "step"),
    [
        ("max", 2),
        ({"kind": "max", "size": 3}, 3),
        ({"kind": "average", "size": 3, "stride": 1}, 1),
        ("convolution", 2),
        ({"kind": "convolution", "size": 3}, 2),
        ({"kind": "convolution", "size": 3, "stride": 3}, 3),
    ],
)
def test_step_of_a_pool(spec: Any, step: int) -> None:
    assert Pool.model_validate(spec).step == step


def test_group_norm_has_four_groups_unless_told() -> None:
    assert Norm(kind="group").group_count == 4
    assert Norm(kind="group", groups=2).group_count == 2


def test_one_value_of_an_optimizer_or_schedule_can_be_set_alone() -> None:
    recipe = Recipe.model_validate({"optimizer": {"momentum": 0.5}, "schedule": {"peak": 0.5}})
    assert recipe.optimizer == Sgd(momentum=0.5)
    assert recipe.schedule == OneCycle(peak=0.5)


COUNTS = ["classes", "holdout", "recipe.epochs", "recipe.batch_size", "budget.parameters_below"]
RATES = ["recipe.ema", "recipe.label_smoothing", "recipe.clip_norm", "recipe.augment.scale"]


def with_value(path: str, value: object) -> Experiment:
    *outer, last = path.split(".")
    rest: dict[str, Any] = {last: value}
    for name in reversed(outer):
        rest = {name: rest}
    return minimal(**rest)


@pytest.mark.parametrize("path", COUNTS)
@pytest.mark.parametrize("value", [True, "8", 8.0, -1, float("inf"), None, [8], -(10**30)])
def test_counts_are_strict(path: str, value: object) -> None:
    with pytest.raises(ValidationError):
        with_value(path, value)


@pytest.mark.parametrize("path", RATES)
@pytest.mark.parametrize(
    "value", [True, "0.1", float("inf"), float("nan"), -0.1, 10**400, [0.1], 1e300]
)
def test_rates_are_finite_numbers(path: str, value: object) -> None:
    with pytest.raises(ValidationError):
        with_value(path, value)


@pytest.mark.parametrize("path", RATES)
def test_rates_may_be_written_as_whole_numbers_where_they_are(path: str) -> None:
    zero = 1 if path == "recipe.clip_norm" else 0
    assert with_value(path, zero) == with_value(path, float(zero))


@pytest.mark.parametrize("value", [0, 4097, 10**9, 10**400, True, "8", 8.0])
def test_channels_are_strict(value: object) -> None:
    for block in (
        {"channels": [value]},
        {"channels": [{"out": value}]},
        {"reduce": value},
        {"reduce": {"out": value}},
    ):
        with pytest.raises(ValidationError):
            Block.model_validate(block)


def test_every_dataset_can_be_trained_on_and_judged() -> None:
    for name in get_args(DatasetName):
        assert minimal(dataset=name).dataset == name
        assert Budget(dataset=name).dataset == name
    with pytest.raises(ValidationError):
        Budget.model_validate({"dataset": "auto"})


def test_what_is_trained_on_has_to_be_resolved() -> None:
    assert minimal(dataset="kmnist").resolved_dataset == "kmnist"
    with pytest.raises(ValueError, match="resolve the dataset"):
        _ = minimal(dataset="auto").resolved_dataset

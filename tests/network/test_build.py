"""The built module against the plan, torchinfo, torch's flop counter and hand-written networks."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import combinations, product
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torchinfo
from agreement import assert_agreement, executed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from profiles import examples, is_gate
from pydantic import BaseModel
from reading import assert_as_written
from strategies import Mapping, networks, text_of
from torch import nn

from mnist_arch.counting.budget import check
from mnist_arch.counting.plan import plan_network
from mnist_arch.errors import ShapeError, SpecError
from mnist_arch.network import build as network_module
from mnist_arch.network.build import CountMismatch, build, count_parameters
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load, loads
from mnist_arch.spec.network import (
    Activation,
    ActivationName,
    Block,
    BlockDropout,
    Conv,
    ConvDropout,
    Defaults,
    Head,
    HeadDropout,
    Network,
    Norm,
    Pool,
    Reduce,
)
from mnist_arch.zoo.index import zoo_names

FIXTURES = Path(__file__).parents[1] / "fixtures"


def experiment(spec: Mapping) -> Experiment:
    return loads(text_of({"name": "test", **spec}), source="test.yaml").experiment


# ------------------------------------------------------------------------------- the reference


def test_reference_network_is_the_31_modules_of_the_exercise() -> None:
    with (FIXTURES / "s6_layers.csv").open(newline="") as file:
        expected = [
            (
                row["layer"],
                (int(row["channels"]), int(row["height"]), int(row["width"])),
                int(row["parameters"]),
            )
            for row in csv.DictReader(file)
        ]
    s6 = load("s6").experiment
    seen = executed(build(s6).eval(), torch.rand(1, 1, 28, 28))
    assert len(expected) == 31
    assert [(leaf.layer, leaf.output_shape, leaf.parameters) for leaf in seen] == expected
    assert [
        (row.layer, row.output_shape, row.parameters) for row in plan_network(s6).rows
    ] == expected
    assert sum(parameters for _, _, parameters in expected) == 18_666


def test_reference_network_has_18666_parameters_by_every_count() -> None:
    s6 = load("s6").experiment
    model = build(s6)
    assert plan_network(s6).parameters == 18_666
    assert count_parameters(model) == 18_666
    summary = torchinfo.summary(model, input_size=(1, 1, 28, 28), verbose=0)
    assert summary.total_params == 18_666
    assert_agreement(s6)


@pytest.mark.parametrize("name", zoo_names())
def test_zoo_network_is_loaded_planned_built_and_within_its_budget(name: str) -> None:
    loaded = load(name).experiment
    assert loaded.name == name
    plan = assert_agreement(loaded)
    check(loaded, plan)


# ----------------------------------------------------------------------- random networks, combined


def options_of(value: BaseModel) -> Counter[tuple[str, str, Any]]:
    """Every option that a spec holds: class, field and value, numbers as their type."""
    found: Counter[tuple[str, str, Any]] = Counter()
    for field in type(value).model_fields:
        item = getattr(value, field)
        parts = item if isinstance(item, tuple) else (item,)
        for part in parts:
            if isinstance(part, BaseModel):
                found += options_of(part)
            is_word = part is None or isinstance(part, bool | str)
            found[type(value).__name__, field, part if is_word else "set"] += 1
    return found


def all_options() -> set[tuple[str, str, Any]]:
    """What `options_of` finds where every option of the block language occurs."""
    specs = (
        Norm,
        Activation,
        ConvDropout,
        BlockDropout,
        HeadDropout,
        Defaults,
        Conv,
        Reduce,
        Pool,
        Block,
        Head,
    )
    return {
        (spec.__name__, name, value)
        for spec in specs
        for name, field in spec.model_fields.items()
        for value in values_of(field.annotation)
    }


def forms_of(spec: Any, key: str = "") -> set[tuple[str, type]]:
    """How each value is written: key and type."""
    found = {(key, type(spec))}
    match spec:
        case dict():
            return found.union(*(forms_of(value, name) for name, value in spec.items()))
        case list():
            return found.union(*(forms_of(value, f"{key} item") for value in spec))
    return found


FORMS = {
    (key, form)
    for key, short in {
        "channels item": int,
        "reduce": int,
        "norm": str,
        "activation": str,
        "pool": str,
        "dropout": float,
    }.items()
    for form in (short, dict)
}
"""Values that may be written short or as an object."""


def values_of(annotation: Any) -> set[Any]:
    """The words of a Literal, the two of a bool, None where it may be, and "set" for all else."""
    if annotation is type(None):
        return {None}
    if annotation is bool:
        return {True, False}
    arguments = get_args(annotation)
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return set(arguments)
    if arguments and type(None) in arguments:
        return set().union(*(values_of(argument) for argument in arguments))
    if arguments and arguments[0] is bool:  # Annotated[bool, Strict()]
        return {True, False}
    return {"set"}


PAIRED = {
    "kind": ("ordinary", "separable", "depthwise", "grouped"),
    "norm": ("batch", "group", "instance", "layer", "none"),
    "padding": ("same", "valid", "same-end"),
    "activation": get_args(ActivationName),
    "order": get_args(Defaults.model_fields["order"].annotation),
    "bias": (True, False),
    "repeated": (True, False),
    "shared": (True, False),
    "residual": (True, False),
    "squeezed": (True, False),
    "strided": (True, False),
}
"""Options of which every pair must occur together in one convolution."""


def pairs_of(drawn: Network) -> set[frozenset[tuple[str, Any]]]:
    found: set[frozenset[tuple[str, Any]]] = set()
    for block in drawn.blocks:
        for conv in block.channels:
            options = conv.over(block.over(drawn.defaults))
            values = {
                "kind": options.kind,
                "norm": options.norm.kind,
                "padding": options.padding,
                "activation": options.activation.kind,
                "order": options.order,
                "bias": options.bias,
                "repeated": block.repeat > 1,
                "shared": block.share,
                "residual": block.residual,
                "squeezed": block.squeeze_excitation is not None,
                "strided": options.stride > 1,
            }
            found |= {frozenset(pair) for pair in combinations(values.items(), 2)}
    return found


def all_pairs() -> set[frozenset[tuple[str, Any]]]:
    return {
        frozenset(((a, x), (b, y)))
        for a, b in combinations(PAIRED, 2)
        for x, y in product(PAIRED[a], PAIRED[b])
    }


def with_both(pair: frozenset[tuple[str, Any]]) -> Mapping:
    """A network with a pair that chance has left out."""
    chosen = dict(pair)
    block: Mapping = {"channels": [4]}
    for name, value in chosen.items():
        match name:
            case "repeated":
                block["repeat"] = 2 if value else 1
            case "shared":
                block |= {"repeat": 2, "share": True} if value else {}
            case "residual":
                block["residual"] = value
            case "squeezed":
                block |= {"squeeze_excitation": 2} if value else {}
            case "strided":
                block["stride"] = 2 if value else 1
            case _:
                block[name] = value
    if chosen.get("kind") == "grouped":
        block["groups"] = 1
    return {"name": "both", "blocks": [block], "head": {"linear": True}}


@pytest.mark.slow
def test_random_networks_agree_and_all_options_and_pairs_occur() -> None:
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    options: Counter[tuple[str, str, Any]] = Counter()
    forms: set[tuple[str, type]] = set()
    pairs: set[frozenset[tuple[str, Any]]] = set()

    @settings(
        max_examples=examples(400),
        deadline=None,
        derandomize=True,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(networks(), st.sampled_from([None, True, False]))
    def agree(spec: Mapping, flow: bool | None) -> None:
        check(spec, flow)

    def check(spec: Mapping, flow: bool | None) -> None:
        drawn = loads(text_of(spec, flow=flow), source="drawn.yaml").experiment
        options.update(options_of(drawn))
        forms.update(forms_of(spec))
        pairs.update(pairs_of(drawn))
        model = build(drawn)
        assert_as_written(spec, model.eval(), images)
        assert_agreement(drawn, model)

    agree()
    if is_gate():
        assert all_options() - set(options) == set()
        for pair in all_pairs() - pairs:
            check(with_both(pair), None)
        assert all_pairs() - pairs == set()
        assert FORMS - forms == set()


CHANGES: dict[str, list[Any]] = {
    "kernel": [1, 2, 4, 7, 28, 64, [3, 1], [1, 7]],
    "stride": [1, 2, 5, 64],
    "padding": ["same", "valid", "same-end", 0, 3, 32],
    "padding_mode": ["replicate"],
    "kind": ["separable", "depthwise", "grouped"],
    "groups": [1, 2, 3],
    "norm": ["group", "instance", {"kind": "group", "groups": 3}, "layer", {"splits": 3}],
    "repeat": [2, 3],
    "share": [True],
    "residual": [True],
    "squeeze_excitation": [1, 100],
    "pool": [
        "max",
        {"kind": "average", "size": 9},
        {"kind": "convolution", "size": 5},
        {"kind": "max", "size": 3, "padding": 1, "norm": "batch"},
    ],
    "reduce": [3, {"out": 8, "norm": "group", "at": "before"}],
    "channels": [[], [5, 7], [64, {"out": 2, "kernel": 9, "padding": "valid"}]],
    "dropout": [
        {"rate": 0.5, "after": "each", "kind": "spatial"},
        {"rate": 0.5, "after": "each", "at": "before-norm"},
    ],
}


@pytest.mark.slow
@settings(
    max_examples=examples(150),
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(networks(), st.data())
def test_changed_network_is_refused_in_a_sentence_or_agrees(
    spec: Mapping, data: st.DataObject
) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        block = data.draw(st.sampled_from([*spec["blocks"], spec.setdefault("defaults", {})]))
        option = data.draw(st.sampled_from(sorted(CHANGES)))
        block[option] = data.draw(st.sampled_from(CHANGES[option]))
    try:
        drawn = loads(text_of(spec), source="drawn.yaml").experiment
        macs = plan_network(drawn).macs
    except SpecError as error:
        said = [problem.place != "" and problem.message != "" for problem in error.problems]
    else:
        said = [True]
        if macs < 5_000_000:
            assert_agreement(drawn)
    assert said
    assert all(said)


# ----------------------------------------------------------------------- each option, alone

PLAIN: Mapping = {"blocks": [{"channels": [4, 8], "pool": "max"}], "head": {"linear": True}}


def plain(**block: Any) -> Mapping:
    return {**PLAIN, "blocks": [{**PLAIN["blocks"][0], **block}]}


def plain_head(**head: Any) -> Mapping:
    return {**PLAIN, "head": {"linear": True, **head}}


ALONE: dict[str, tuple[Mapping, int]] = {
    # 1→4→8 channels of 3×3: 40 + 296; two batch norms: 8 + 16; linear: 90.
    "plain": (PLAIN, 450),
    "kernel 1": (plain(kernel=1), 8 + 40 + 24 + 90),
    "kernel 5": (plain(kernel=5), 104 + 808 + 24 + 90),
    "valid": (plain(padding="valid"), 450),
    "even valid": (plain(kernel=2, padding="valid"), 20 + 136 + 24 + 90),
    "replicate": (plain(padding_mode="replicate"), 450),
    "stride": (plain(stride=2), 450),
    "separable": (plain(kind="separable"), (10 + 8) + (40 + 40) + 24 + 90),
    "depthwise": (plain(kind="depthwise"), 40 + 80 + 24 + 90),
    "kernel 3×1": (plain(kernel=[3, 1]), 16 + 104 + 24 + 90),
    "kernel 3×1, valid": (plain(kernel=[3, 1], padding="valid"), 16 + 104 + 24 + 90),
    "kernel 1×4, valid, stride": (
        plain(kernel=[1, 4], padding="valid", stride=2),
        20 + 136 + 24 + 90,
    ),
    "kernel 3 by 3": (plain(kernel=[3, 3]), 450),
    "one-sided": (plain(stride=2, padding="same-end"), 450),
    "one-sided, even": (plain(kernel=4, padding="same-end"), 68 + 520 + 24 + 90),
    "one-sided, 15×3": (plain(kernel=[15, 3], stride=2, padding="same-end"), 184 + 1448 + 114),
    "one-sided, replicate": (
        plain(stride=2, padding="same-end", padding_mode="replicate"),
        450,
    ),
    "padding 1 of 4": (plain(kernel=4, padding=1), 68 + 520 + 24 + 90),
    "padding 2 of 3": (plain(padding=2), 450),
    "separable, bias in one half": (
        plain(kind="separable", depthwise_bias=False),
        (9 + 8) + (36 + 40) + 24 + 90,
    ),
    "separable, bias in the other half": (
        plain(kind="separable", bias=False, depthwise_bias=True),
        (10 + 4) + (40 + 32) + 24 + 90,
    ),
    "grouped": (
        plain(channels=[4, {"out": 8, "kind": "grouped", "groups": 2}]),
        40 + 152 + 24 + 90,
    ),
    "residual, projected": (plain(residual=True), 450 + 16),
    "residual, straight": (
        {**PLAIN, "blocks": [{"channels": [8]}, {"channels": [8], "residual": True}]},
        (80 + 16) + (584 + 16) + 90,
    ),
    "residual, strided": (plain(residual=True, stride=2), 450 + 16),
    "repeat": (plain(repeat=2), (40 + 296 + 24) + (292 + 296 + 24) + 90),
    "repeat, shared": (plain(repeat=3, share=True), 450 + (292 + 24) + 24),
    "squeeze-and-excitation": (plain(squeeze_excitation=4), 450 + (18 + 24)),
    "squeeze-and-excitation to one": (plain(squeeze_excitation=100), 450 + (9 + 16)),
    "norm before activation": (plain(order="conv-norm-activation"), 450),
    "batch norm": (plain(norm="batch"), 450),
    "group norm": (plain(norm="group"), 450),
    "group norm with 2": (plain(norm={"kind": "group", "groups": 2}), 450),
    "instance norm": (plain(norm="instance"), 450),
    "no norm": (plain(norm="none"), 450 - 24),
    "batch norm without scale and shift": (plain(norm={"affine": "none"}), 450 - 24),
    "group norm without scale and shift": (
        plain(norm={"kind": "group", "affine": "none"}),
        450 - 24,
    ),
    "epsilon and momentum": (plain(norm={"epsilon": 1e-3, "momentum": 0.01}), 450),
    "ghost batch norm": (plain(norm={"splits": 2}), 450),
    "layer norm": (plain(norm="layer"), 450),
    "layer norm of one": (plain(norm={"kind": "layer", "affine": "one"}), 450 - 24 + 4),
    "layer norm of each value": (
        plain(norm={"kind": "layer", "affine": "value"}),
        450 - 24 + 2 * 12 * 784,
    ),
    "slope": (plain(activation={"kind": "leaky_relu", "slope": 0.2}), 450),
    "prelu of each channel": (plain(activation={"kind": "prelu", "slopes": "channel"}), 450 + 12),
    "dropout before the norm": (
        plain(dropout={"rate": 0.1, "after": "each", "at": "before-norm"}),
        450,
    ),
    "norm after the pool": (plain(pool={"kind": "max", "norm": "batch"}), 450 + 16),
    "dropout between pool and norm": (
        plain(pool={"kind": "max", "norm": "batch"}, dropout={"rate": 0.1, "at": "before-norm"}),
        450 + 16,
    ),
    "pool with padding": (plain(pool={"kind": "max", "size": 3, "padding": 1}), 450),
    "average with padding": (plain(pool={"kind": "average", "size": 3, "padding": 1}), 450),
    "global average in a block": (plain(pool="global-average"), 450),
    "global max in a block": (plain(pool="global-max", reduce=4), 450 + 36 - 40),
    "leaky_relu": (plain(activation="leaky_relu"), 450),
    "prelu": (plain(activation="prelu"), 450 + 2),
    "gelu": (plain(activation="gelu"), 450),
    "silu": (plain(activation="silu"), 450),
    "hardswish": (plain(activation="hardswish"), 450),
    "no activation": (plain(activation="none"), 450),
    "dropout": (plain(dropout=0.1), 450),
    "spatial dropout": (plain(dropout={"rate": 0.1, "kind": "spatial"}), 450),
    "dropout after each": (plain(dropout={"rate": 0.1, "after": "each"}), 450),
    "dropout of one": (plain(channels=[4, {"out": 8, "dropout": 0.1}]), 450),
    "no bias": (plain(bias=False), 450 - 12),
    "reduce": (plain(reduce=4), 450 + 36 - 40),
    "reduce before": (plain(reduce={"out": 4, "at": "before"}), 450 + 36 - 40),
    "reduce with norm": (plain(reduce={"out": 4, "norm": "batch"}), 450 + 36 - 40 + 8),
    "reduce with activation": (
        plain(reduce={"out": 4, "activation": "prelu"}),
        450 + 36 - 40 + 1,
    ),
    "reduce without bias": (plain(reduce={"out": 4, "bias": False}), 450 + 32 - 40),
    "average pool": (plain(pool="average"), 450),
    "overlapping pool": (plain(pool={"kind": "max", "size": 3, "stride": 2}), 450),
    "convolution pool": (plain(pool="convolution"), 450 + 264),
    "convolution pool of 3": (plain(pool={"kind": "convolution", "size": 3}), 450 + 584),
    "no pool": (plain(pool="none"), 450),
    "head: global max": (plain_head(pool="global-max"), 450),
    "head: average": (plain_head(pool="average", size=7), 450 + 3 * 80),
    "head: flatten": (plain_head(pool="flatten"), 450 + 195 * 80),
    "head: no bias": (plain_head(bias=False), 450 - 10),
    "head: dropout before": (plain_head(dropout={"rate": 0.1, "at": "before"}), 450),
    "head: dropout after": (plain_head(dropout=0.1), 450),
    "head: dropout before the linear layer": (
        plain_head(reduce=4, dropout={"rate": 0.1, "at": "before-linear"}),
        450 + 36 - 40,
    ),
    "head: reduce before": (plain_head(reduce={"out": 4, "at": "before"}), 450 + 36 - 40),
    "head: reduce after": (plain_head(reduce=4), 450 + 36 - 40),
    "head: reduce only": (plain_head(linear=False, reduce=10), 450),
    "head: reduce before flatten": (
        plain_head(pool="flatten", reduce={"out": 4, "at": "before"}),
        450 - 80 + 36 + 196 * 40,
    ),
    "head: reduce after flatten": (plain_head(pool="flatten", reduce=4), 450 - 40 + 4 + 196 * 32),
    "head: reduce after flatten only": (
        plain_head(pool="flatten", reduce=10, linear=False),
        450 + 195 * 80,
    ),
    "classes": ({**PLAIN, "classes": 26}, 450 + 16 * 9),
    "empty dropout": (plain(dropout=0), 450),
    "only a pool": ({**PLAIN, "blocks": [*PLAIN["blocks"], {"pool": "max"}]}, 450),
    "only a reduce": ({**PLAIN, "blocks": [*PLAIN["blocks"], {"reduce": 4}]}, 450 + 36 - 40),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONE)
def test_option_alone(name: str) -> None:
    spec, parameters = ALONE[name]
    model = build(experiment(spec))
    assert_as_written(spec, model.eval(), torch.rand(2, 1, 28, 28))
    assert assert_agreement(experiment(spec), model).parameters == parameters


def test_a_reduce_after_flatten_is_a_layer_on_all_values() -> None:
    """A 1×1 convolution of the list of values, as a person would write it with torch."""
    spec = {**PLAIN, "head": {"pool": "flatten", "reduce": {"out": 10, "at": "after"}}}
    model, images = build(experiment(spec)).eval(), torch.rand(3, 1, 28, 28)
    *body, last = model.layers
    assert isinstance(last, nn.Conv2d)
    x_NCHW = nn.Sequential(*body)(images)
    by_hand = nn.Sequential(nn.Flatten(), nn.Linear(x_NCHW[0].numel(), 10))
    by_hand[1].weight.data = last.weight.data.flatten(1)
    by_hand[1].bias.data = last.bias.data
    assert x_NCHW.shape[2] > 1
    torch.testing.assert_close(model(images), by_hand(x_NCHW))


# ----------------------------------------------------------------------- sharing


def test_example_that_differs_from_its_base_is_planned_and_built() -> None:
    mine = load(str(FIXTURES / "mine.yaml")).experiment
    plan = assert_agreement(mine)
    assert [(row.layer, row.place, row.parameters) for row in plan.rows] == [
        ("Conv2d", "blocks[0].channels[0]", 72),
        ("BatchNorm2d", "blocks[0].channels[0]", 16),
        ("ReLU", "blocks[0].channels[0]", 0),
        ("Conv2d", "blocks[0].channels[1]", 1152),
        ("BatchNorm2d", "blocks[0].channels[1]", 32),
        ("ReLU", "blocks[0].channels[1]", 0),
        ("MaxPool2d", "blocks[0].pool", 0),
        ("Conv2d", "blocks[0].reduce", 128),
        ("BatchNorm2d", "blocks[0].reduce", 16),
        ("ReLU", "blocks[0].reduce", 0),
        ("Conv2d", "blocks[1].channels[0]", 72),
        ("Conv2d", "blocks[1].channels[0]", 128),
        ("BatchNorm2d", "blocks[1].channels[0]", 32),
        ("ReLU", "blocks[1].channels[0]", 0),
        ("Conv2d", "blocks[1].channels[1]", 144),
        ("Conv2d", "blocks[1].channels[1]", 256),
        ("BatchNorm2d", "blocks[1].channels[1]", 32),
        ("ReLU", "blocks[1].channels[1]", 0),
        ("Conv2d", "blocks[1].residual", 128),
        ("MaxPool2d", "blocks[1].pool", 0),
        ("Conv2d", "blocks[2].channels[0]", 3456),
        ("BatchNorm2d", "blocks[2].channels[0]", 48),
        ("ReLU", "blocks[2].channels[0]", 0),
        ("Dropout2d", "blocks[2].channels[0]", 0),
        ("Conv2d", "blocks[2].channels[0]", 5184),
        ("BatchNorm2d", "blocks[2].channels[0]", 48),
        ("ReLU", "blocks[2].channels[0]", 0),
        ("Dropout2d", "blocks[2].channels[0]", 0),
        ("AdaptiveAvgPool2d", "head.pool", 0),
        ("Dropout", "head.dropout", 0),
        ("Flatten", "head.linear", 0),
        ("Linear", "head.linear", 250),
    ]
    assert plan.parameters == 11_194
    assert not plan.shares_tensors  # 16 → 24 and 24 → 24 channels need different weights


def test_shared_convolutions_are_one_module_and_norms_are_their_own() -> None:
    spec = {
        "defaults": {"bias": False},
        "blocks": [{"channels": [8]}, {"channels": [8], "repeat": 3, "share": True}],
        "head": {"reduce": 10},
    }
    plan = assert_agreement(experiment(spec))
    model = build(experiment(spec))
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert [tuple(conv.weight.shape) for conv in convs] == [
        (8, 1, 3, 3),
        (8, 8, 3, 3),
        (10, 8, 1, 1),
    ]
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) == 4
    assert plan.parameters == 72 + 576 + 4 * 16 + 80
    assert plan.macs == (72 + 3 * 576) * 28 * 28 + 80
    assert [row.shared for row in plan.rows if row.layer == "Conv2d"] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert plan.shares_tensors


def test_repeats_share_nothing_unless_asked() -> None:
    spec = {"blocks": [{"channels": [8], "repeat": 3}], "head": {"reduce": 10}}
    plan = assert_agreement(experiment(spec))
    assert not plan.shares_tensors
    assert plan.parameters == (80 + 16) + 2 * (584 + 16) + 90


def test_torchinfo_counts_tied_tensors_of_two_modules_again() -> None:
    """Why a plan that shares tensors is not audited by torchinfo."""
    first = nn.Conv2d(8, 8, 3, bias=False)
    second = nn.Conv2d(8, 8, 3, bias=False)
    second.weight = first.weight
    model = nn.Sequential(nn.Conv2d(1, 8, 3, bias=False), first, second)
    assert count_parameters(model) == 72 + 576
    summary = torchinfo.summary(model, input_size=(1, 1, 28, 28), verbose=0)
    assert summary.total_params == 72 + 2 * 576


def test_shared_tensor_is_one_parameter_of_the_module() -> None:
    spec = {
        "blocks": [
            {"channels": [4]},
            {"channels": [4], "repeat": 3, "share": True, "norm": "none"},
        ],
        "head": {"reduce": 10},
    }
    names = [name for name, _ in build(experiment(spec)).named_parameters()]
    assert len(names) == 2 + 2 + 2 + 2  # convolution, norm, shared convolution, head


# ----------------------------------------------------------------------- building


def test_weights_follow_the_seed_and_leave_the_global_generator_alone() -> None:
    s6 = load("s6").experiment
    before = torch.get_rng_state()
    one, same, other = build(s6, seed=1), build(s6, seed=1), build(s6, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    pairs = list(zip(one.parameters(), same.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_module_that_is_not_its_plan_is_a_bug_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_module, "count_parameters", lambda model: 18_667)
    with pytest.raises(CountMismatch, match=r"^the plan has 18,666 parameters, the module 18,667$"):
        build(load("s6").experiment)


def test_network_that_cannot_be_connected_is_not_built() -> None:
    with pytest.raises(ShapeError):
        build(experiment({"blocks": [{"channels": [8]}]}))


def test_residual_adds_its_input() -> None:
    spec = {
        "blocks": [{"channels": [1], "activation": "none", "norm": "none", "residual": True}],
        "head": {"pool": "flatten", "linear": True},
    }
    model = build(experiment(spec)).eval()
    x_NCHW = torch.rand(1, 1, 28, 28)
    residual = next(iter(model.layers))
    conv = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        torch.testing.assert_close(residual(x_NCHW), conv(x_NCHW) + x_NCHW)


def test_residual_projection_looks_at_the_pixels_its_convolutions_are_centred_on() -> None:
    # 28 → 10 → 3 pixels: the centres are 0, 9 and 18, not the 0, 10 and 20 of a stride of 10.
    spec = {
        "blocks": [{"channels": [4, 4], "stride": 3, "residual": True}],
        "head": {"linear": True},
    }
    strides = [
        module.stride
        for module in build(experiment(spec)).modules()
        if isinstance(module, nn.Conv2d)
    ]
    assert strides == [(3, 3), (3, 3), (9, 9)]
    assert_agreement(experiment(spec))


def test_squeeze_and_excitation_scales_channels() -> None:
    spec = {
        "blocks": [{"channels": [6], "squeeze_excitation": 2}],
        "head": {"reduce": 10},
    }
    model = build(experiment(spec)).eval()
    gate = model.layers[3]
    x_NCHW = torch.rand(2, 6, 5, 5)
    with torch.no_grad():
        factors = gate(x_NCHW) / x_NCHW
    assert factors.min() > 0
    assert factors.max() < 1
    torch.testing.assert_close(factors, factors[:, :, :1, :1].expand_as(factors))

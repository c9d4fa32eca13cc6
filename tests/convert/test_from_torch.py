"""A real module becomes the spec that builds the same module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from profiles import examples
from strategies import Mapping, networks, text_of
from torch import Tensor, nn

from mnist_arch.convert.blocks.comparing import differences
from mnist_arch.convert.from_torch import from_torch, graph_of_module
from mnist_arch.convert.lowering import lower
from mnist_arch.counting import layers as our
from mnist_arch.counting.plan import plan_network
from mnist_arch.counting.unroll import unroll
from mnist_arch.errors import SpecError
from mnist_arch.network.build import build
from mnist_arch.spec.loading import load, loads
from mnist_arch.spec.network import Network
from mnist_arch.zoo.index import zoo_names


@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None, derandomize=True)
@given(networks())
def test_any_network_of_the_language_comes_back(spec: Mapping) -> None:
    network = loads(text_of(spec), source="drawn.yaml").experiment
    module = build(network)
    try:
        imported = from_torch(module)
    except SpecError as error:  # branches inside a residual are refused by name, some of them
        is_refused_by_name = "branches of this kind" in str(error) and any(
            "branches" in block and "residual" in block for block in spec["blocks"]
        )
        if is_refused_by_name:
            return
        raise
    again = Network.model_validate(
        {name: value for name, value in imported.tree.items() if name != "name"}
    )
    assert differences(dict(again.model_dump()), lower(graph_of_module(module)).items) == []
    assert list(_kinds(unroll(again))) == list(_kinds(unroll(network)))
    assert plan_network(again).parameters == plan_network(network).parameters


def _kinds(layers: tuple[our.Layer, ...]) -> Iterator[Any]:
    """Operations as they compute: a pool of the whole map is a global pool, and a fully connected
    layer that is not the last is a convolution.
    """
    for layer in layers:
        match layer.op:
            case our.Residual(body=body, skip=skip):
                yield from _kinds(body)
                yield from _kinds((skip,) if skip else ())
            case our.Join(kind="add", branches=(one, other)):
                yield from _kinds(one + other)  # which may be a residual, said otherwise
            case our.Convolution(out=out, kernel=kernel, stride=stride, groups=groups):
                yield out, kernel, stride, groups, layer.out_shape
            case our.GlobalPooling(kind=kind) | our.Pooling(kind=kind):
                yield kind, layer.out_shape
            case our.Flatten():
                pass
            case our.Normalization() as op:
                yield op.kind, op.epsilon, op.momentum, op.splits, layer.out_shape
            case our.Activation() as op:
                yield op.kind, op.slope, layer.out_shape
            case op:
                yield type(op).__name__, layer.out_shape


class Usual(nn.Module):
    """After the style of the notebooks, with functions."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 8, 3, bias=False)
        self.b = nn.BatchNorm2d(8)
        self.c = nn.Conv2d(8, 8, 3, padding=1)
        self.d = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.b(self.a(x)))
        x = x + F.relu(self.c(x))
        x = F.max_pool2d(F.dropout(x, 0.1, training=self.training), 2)
        x = F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)
        return F.log_softmax(self.d(x), dim=1)


def test_functions_are_read_and_the_module_stays_as_it_was() -> None:
    module = Usual().eval()
    imported = from_torch(module, name="usual")
    assert imported.experiment.name == "usual"
    assert imported.parameters == 72 + 16 + 584 + 90
    assert not any(it.training for it in module.modules())


def test_s6_is_s6() -> None:
    experiment = load("s6").experiment
    again = from_torch(build(experiment)).experiment
    assert plan_network(again).layers == plan_network(experiment).layers


BODIES = (
    "[{channels: [8, 8], residual: true}, {channels: [16], stride: 2, residual: true}]",
    "[{channels: [8]}, {channels: [8], residual: true, repeat: 3}]",
    "[{channels: [8]}, {channels: [8], residual: true, repeat: 2, share: true}]",
    "[{channels: [8], squeeze_excitation: 4}]",
    "[{channels: [8]}, {channels: [8], squeeze_excitation: 2, residual: true, pool: max}]",
    "[{channels: [4], branches: [{channels: [4]}, {channels: [{out: 4, kernel: 5}]}], pool: max}]",
    "[{channels: [4], branches: [{channels: [4]}, []], join: add, pool: max}]",
    "[{branches: [[4], {pool: {kind: max, size: 3, stride: 1, padding: 1}, reduce: 4}]}]",
    "[{channels: [8], branches: [[4], {channels: [4], kernel: 1}], repeat: 2}]",
    "[{channels: [8], branches: [[4], {channels: [4], kernel: 1}], residual: true}]",
    "[{channels: [8], branches: [[4], [4]], squeeze_excitation: 4}]",
    "[{channels: [8]}, {channels: [8, 8], repeat: 2, share: true}]",
    "[{channels: [8, 8], dropout: {rate: 0.1, after: each}}, {channels: [8], dropout: 0.2}]",
    "[{channels: [8, 8], dropout: {rate: 0.1, at: before-norm, after: each}}]",
    "[{channels: [8], pool: convolution}, {channels: [8], pool: {kind: convolution, size: 5}}]",
    "[{channels: [8], pool: {kind: max, norm: batch}, dropout: {rate: 0.1, at: before-norm}}]",
    "[{channels: [16], reduce: {out: 8, at: before, norm: batch, activation: relu}, pool: max}]",
    "[{channels: [16], reduce: {out: 8, bias: false}, pool: max}]",
    "[{channels: [16], pool: global-max}, {channels: [8], kernel: 1}]",
    "[{channels: [8, {out: 8, kind: depthwise}, {out: 8, kind: grouped}], groups: 2}]",
    "[{channels: [8, 8], kind: separable, depthwise_bias: false}]",
    "[{channels: [{out: 8, kernel: [3, 1]}, {out: 8, kernel: [1, 3]}]}]",
    "[{channels: [{out: 8, stride: 2}, {out: 8, kernel: 4}], padding: same-end}]",
    "[{channels: [{out: 8, norm: {splits: 2}}, {out: 8, norm: {kind: layer, affine: one}}]}]",
    "[{channels: [8], padding_mode: replicate}]",
)
HEADS = (
    "{hidden: [{out: 16, norm: batch, dropout: 0.1}, 16], pool: flatten}",
    "{reduce: {out: 10, at: before}}",
    "{reduce: 10, pool: global-max}",
    "{linear: true, dropout: 0.2}",
    "{linear: true, dropout: {rate: 0.2, kind: spatial, at: before}}",
    "{pool: flatten, reduce: 10}",
    "{reduce: 16, linear: true, dropout: {rate: 0.1, at: before-linear}}",
    "{pool: average, size: 4, linear: true}",
)
NETWORKS = [f"blocks: {body}\nhead: {{linear: true}}\n" for body in BODIES]
NETWORKS += [
    f"blocks: [{{channels: [8], pool: {{kind: max, size: 6}}}}]\nhead: {it}\n" for it in HEADS
]


@pytest.mark.parametrize("text", NETWORKS)
def test_what_the_language_says_comes_back(text: str) -> None:
    network = loads(f"name: it\n{text}", source="it.yaml").experiment
    again = from_torch(build(network))
    assert list(_kinds(unroll(again.experiment))) == list(_kinds(unroll(network)))
    assert again.parameters == plan_network(network).parameters


@pytest.mark.parametrize("name", zoo_names())
def test_the_zoo_comes_back(name: str) -> None:
    network = load(name).experiment
    again = from_torch(build(network)).experiment
    assert list(_kinds(unroll(again))) == list(_kinds(unroll(network)))


def test_a_1x1_convolution_stays_unpadded_among_padded_ones() -> None:
    channels = "[{out: 4, kernel: 1}, {out: 4, kernel: 1, padding: 1}]"
    text = f"name: padded\nblocks: [{{channels: {channels}, repeat: 2}}]\nhead: {{linear: true}}\n"
    network = loads(text, source="padded.yaml").experiment
    again = from_torch(build(network)).experiment
    assert list(_kinds(unroll(again))) == list(_kinds(unroll(network)))


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Hooked(Usual):
    def __init__(self) -> None:
        super().__init__()
        self.a.register_forward_hook(lambda *_: None)


class Always(Usual):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.a(x), 0.5).mean([2, 3])


class Unknown(Usual):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Branching, "cannot be traced"),
        (Hooked, "a: Conv2d has hooks"),
        (Always, "a dropout that drops in evaluation, too"),
        (Unknown, "fft"),
        (lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.Bilinear(2, 2, 2)), "1: Bilinear"),
        (lambda: nn.Sequential(nn.Conv2d(3, 10, 3)), "Conv2d is made for 3"),
    ],
)
def test_what_is_not_known_is_refused(module: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        from_torch(module())


class Told(nn.Module):
    """A module that does what it is told, with a convolution to eight maps and a last layer."""

    def __init__(self, does: Callable[[Any, Tensor], Any], **more: nn.Module) -> None:
        super().__init__()
        self.does = does
        self.a = nn.Conv2d(1, 8, 3)
        self.last = nn.Linear(8, 10)
        for name, module in more.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Any:
        return self.does(self, x)

    def ended(self, x: Tensor) -> Tensor:
        return self.last(x.mean([2, 3]))  # type: ignore[no-any-return]


class OfTwo(Told):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return self.ended(self.a(x) + y)


class Scaled(Told):
    def __init__(self) -> None:
        super().__init__(lambda it, x: it.ended(it.a(x) * it.scale))
        self.scale = nn.Parameter(torch.ones(8, 1, 1))


def sharing(*names: str) -> dict[str, nn.Module]:
    """Two convolutions with some of their tensors the same."""
    one, other = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
    for name in names:
        setattr(other, name, getattr(one, name))
    return {"one": one, "other": other}


def both(it: Any, x: Tensor) -> Any:
    return it.ended(it.other(it.one(it.a(x))))


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (
            lambda: Told(lambda it, x: it.ended(F.relu(it.a(x)) if it.training else it.a(x))),
            ": the module does something else in training than in evaluation",
        ),
        (
            lambda: Told(lambda it, x: (it.ended(it.a(x)), x)),
            "output output: the module does not give one tensor",
        ),
        (lambda: Told(lambda _, x: x), "output output: the module does not give one tensor"),
        (lambda: OfTwo(both), "placeholder y: the module takes more than images"),
        (
            lambda: Told(lambda it, x: it.ended(it.p(it.a(x), x)), p=nn.MaxUnpool2d(2)),
            "call_module p: a module on something else than one tensor",
        ),
        (Scaled, "get_attr scale: scale is used on its own"),
        (
            lambda: Told(lambda it, x: it.ended(torch.sort(it.a(x))[0])),
            "sort: sort on a tensor is not read here",
        ),
        (lambda: Told(lambda it, x: it.ended(it.a(x)[:, :4])), "getitem: a part of a tensor"),
        (
            lambda: Told(lambda it, x: it.ended(it.a(x) * 2)),
            "mul: `*` of a tensor and something else",
        ),
        (lambda: Told(both, **sharing("weight")), "other: other shares some of its tensors, and"),
    ],
)
def test_what_a_traced_module_does_is_refused_with_its_place(
    module: Callable[[], nn.Module], told: str
) -> None:
    with pytest.raises(SpecError) as caught:
        from_torch(module())
    (problem,) = caught.value.problems
    assert f"{problem.origin}: {problem.message}".startswith(told)


@pytest.mark.parametrize("names", [(), ("weight", "bias")])
def test_layers_with_the_same_tensors_are_one_layer_used_twice(names: tuple[str, ...]) -> None:
    module = Told(both, **sharing(*names))
    imported = from_torch(module)
    assert imported.parameters == sum(it.numel() for it in module.parameters())
    assert ("share" in str(imported.tree["blocks"])) == bool(names)


@pytest.mark.parametrize(
    "does",
    [
        lambda it, x: it.last(it.a(x).mean([2, 3]).view(x.shape[0], 8)),
        lambda it, x: it.last(it.a(x).mean([2, 3]).view(x.size()[0], -1)),
        lambda it, x: it.last(it.a(x).mean([2, 3]).view(x.size(0), -1)),
    ],
)
def test_the_number_of_images_is_read_in_each_way(does: Callable[[Any, Tensor], Any]) -> None:
    imported = from_torch(Told(does))
    layers = [row.layer for row in plan_network(imported.experiment).rows]
    assert layers == ["Conv2d", "AdaptiveAvgPool2d", "Flatten", "Linear"]


def test_an_answer_of_a_function_that_gives_several_is_refused_by_its_name() -> None:
    with pytest.raises(SpecError, match="chunk on a tensor is not read here"):
        from_torch(Told(lambda it, x: it.ended(torch.chunk(it.a(x), 2, 1)[0])))

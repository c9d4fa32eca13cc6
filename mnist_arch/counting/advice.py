"""Remarks on a network, from what goes wrong in public solutions. They block nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mnist_arch.counting import layers as ops
from mnist_arch.counting.layers import Layer
from mnist_arch.counting.plan import Plan
from mnist_arch.spec.network import Network

DIGIT_PIXELS: Final = 20
"""Side of the box that MNIST's digits were scaled into (LeCun et al. 1998)."""

LARGE_SHARE: Final = 0.5
"""Share of all parameters from which on one layer is remarked upon."""


@dataclass(frozen=True)
class Advice:
    """One remark: the place, what is there, and why it matters."""

    place: str
    message: str
    reason: str


def advise(network: Network, plan: Plan) -> tuple[Advice, ...]:
    """All remarks on a network, in the order of its layers within each kind."""
    layers = tuple(_flat(plan.layers))
    return (
        *_dropout_on_logits(layers),
        *_small_receptive_field(plan),
        *_large_layer(plan),
        *_useless_bias(layers),
        *_no_norm(layers),
        *_lost_pixels(layers),
        *_nothing_shared(network, plan),
        *_norms_that_stay(plan.layers),
    )


def _flat(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    """Layers in order of execution, the insides of residuals and joins included."""
    for layer in layers:
        match layer.op:
            case ops.Residual(body=body):
                yield from _flat(body)
            case ops.Join(branches=branches):
                for branch in branches:
                    yield from _flat(branch)
            case _:
                yield layer


def _dropout_on_logits(layers: tuple[Layer, ...]) -> Iterator[Advice]:
    for layer in reversed(layers):
        match layer.op:
            case ops.Dropout():
                yield Advice(
                    layer.place,
                    f"dropout of {layer.op.rate:g} on the logits",
                    "it sets scores of classes to 0 at random, right before the loss; "
                    "dropout before the last convolution regularises without that noise",
                )
            case ops.Pooling() | ops.GlobalPooling() | ops.Flatten():
                continue
            case _:
                return


def _small_receptive_field(plan: Plan) -> Iterator[Advice]:
    body = [row for row in plan.rows if not row.place.startswith("head")]
    if body and body[-1].receptive_field < DIGIT_PIXELS:
        yield Advice(
            body[-1].place,
            f"a receptive field of {body[-1].receptive_field} pixels before the head",
            f"a digit is {DIGIT_PIXELS} pixels high: no value there has seen a whole one",
        )


def _large_layer(plan: Plan) -> Iterator[Advice]:
    largest, total = plan.largest, plan.parameters
    if total and largest.parameters > LARGE_SHARE * total:
        yield Advice(
            largest.place,
            f"{100 * largest.parameters / total:.0f} % of all parameters in one layer",
            "a 1×1 convolution before it, or fewer channels in it, pays for more layers elsewhere",
        )


def _useless_bias(layers: tuple[Layer, ...]) -> Iterator[Advice]:
    wasted: dict[str, tuple[str, int]] = {}  # by tensor, so that a shared one counts once
    for first, second in pairwise(layers):
        match first.op:
            case ops.Convolution(bias=True, out=out, weights=tensor) if _centres(second):
                wasted.setdefault(tensor, (first.place, out))
            case ops.Linear(bias=True, out=out) if _centres(second):
                wasted[first.place] = first.place, out
    if wasted:
        places, counts = zip(*wasted.values(), strict=True)
        count = sum(counts)
        yield Advice(
            _first_and_more(places),
            f"a bias right before a norm: {count:,} parameters that do nothing",
            "the norm subtracts the mean of each channel, and the bias with it; set `bias: false`",
        )


def _centres(layer: Layer) -> bool:
    """Whether a layer subtracts each channel's mean; group norm does with one channel a group."""
    op = layer.op
    if not isinstance(op, ops.Normalization):
        return False
    return op.kind != "group" or op.groups == layer.in_shape[0]


def _no_norm(layers: tuple[Layer, ...]) -> Iterator[Advice]:
    if not any(isinstance(layer.op, ops.Normalization) for layer in layers):
        yield Advice(
            "blocks",
            "no normalisation anywhere",
            "small networks train to a higher accuracy in few epochs with batch norm, "
            "which costs two parameters a channel",
        )


def _lost_pixels(layers: tuple[Layer, ...]) -> Iterator[Advice]:
    for layer in layers:
        height, width = layer.in_shape[1:]
        match layer.op:
            case ops.Pooling(size=size) as op:
                window, how = (size, size), "pooled"
            case ops.Convolution() as op:
                window, how = op.window, f"with a stride of {op.stride}"
            case _:
                continue
        top, bottom, left, right = op.sides  # padding is lost first
        lost = [
            (height + top + bottom - window[0]) % op.stride - bottom,
            (width + left + right - window[1]) % op.stride - right,
        ]
        if max(lost) > 0:
            after = "×".join(map(str, layer.out_shape[1:]))
            yield Advice(
                layer.place,
                f"{height}×{width} {how} to {after} leaves out {_lines(*lost)}",
                "the pixels at the bottom and the right never reach the output",
            )


def _lines(rows: int, columns: int) -> str:
    """`2 rows and columns`; those alone of which some are lost."""
    if rows == columns:
        return "1 row and column" if rows == 1 else f"{rows} rows and columns"
    counts = [(rows, "row"), (columns, "column")]
    return " and ".join(f"{it} {word}{'s' * (it > 1)}" for it, word in counts if it > 0)


def _nothing_shared(network: Network, plan: Plan) -> Iterator[Advice]:
    for index, block in enumerate(network.blocks):
        place = f"blocks[{index}]"
        shares = any(row.shared for row in plan.rows if row.place.startswith(f"{place}."))
        if block.share and not shares:
            yield Advice(
                place,
                "`share: true` shares nothing",
                "weights are shared between repeats of equal shape, and no two repeats have one",
            )


def _norms_that_stay(layers: tuple[Layer, ...]) -> Iterator[Advice]:
    """Norms that are an operation of their own in an exported network."""
    flat = tuple(_flat(layers))
    uses = Counter(it.op.weights for it in flat if isinstance(it.op, ops.Convolution))
    own = {weights for weights, count in uses.items() if count == 1}
    stay = tuple(_unfolded(layers, own, rises=True))
    if stay:
        yield Advice(
            _first_and_more(stay),
            "a batch norm that stays in an exported network",
            "a convolution takes one behind it or its ReLU, and without zeros as padding one in "
            "front of it; shared weights take none",
        )
    may_stay = tuple(it for it in _unfolded(layers, own, rises=False) if it not in stay)
    if may_stay:
        yield Advice(
            _first_and_more(may_stay),
            "a batch norm that stays in an exported network if a scale of it gets below 0",
            "behind a ReLU, or before a pool of maxima, a norm is folded only while its scales are "
            "0 or more; with `order: conv-norm-activation` it always is",
        )
    by_image = tuple(
        it.place for it in flat if isinstance(it.op, ops.Normalization) and it.op.kind != "batch"
    )
    if by_image:
        yield Advice(
            _first_and_more(by_image),
            "a norm of each image, which stays in an exported network, and has no whole numbers",
            "its mean and variance are known only once the image is: an export in floats computes "
            "them, one with `int8` is refused; a batch norm costs nothing once trained",
        )


def _first_and_more(places: tuple[str, ...]) -> str:
    return places[0] + (f" and {len(places) - 1} more" if len(places) > 1 else "")


def _unfolded(layers: tuple[Layer, ...], own: Set[str], *, rises: bool) -> Iterator[str]:
    """Places of the batch norms that no convolution takes; `own` are weights that are used once.

    Which these are is decided in `exports.lowering`; here it is known before any weight is, but for
    what depends on the scales of a norm: whether each is 0 or more, which `rises` says of all.
    """
    chain = [it for it in layers if not _does_nothing(it)]
    for index, layer in enumerate(chain):
        match layer.op:
            case ops.Residual(body=body):
                yield from _unfolded(body, own, rises=rises)
            case ops.Join(branches=branches):
                for branch in branches:
                    yield from _unfolded(branch, own, rises=rises)
            case ops.Normalization(kind="batch"):
                before = [it.op for it in reversed(chain[:index])]
                rising = rises or layer.op.affine == "none"
                ahead = _ahead([it.op for it in chain[index + 1 :]], own, rises=rising)
                turns = rising or ahead is not None  # it takes the sign of a scale, however it pads
                is_taken = ahead is not None and _pads_no_zeros(ahead)
                if not (is_taken or _goes_back(before, own, turns=turns)):
                    yield layer.place


def _does_nothing(layer: Layer) -> bool:
    """Whether an exported network is the same without a layer."""
    is_whole = isinstance(layer.op, ops.GlobalPooling) and layer.in_shape == layer.out_shape
    return is_whole or isinstance(layer.op, ops.Dropout | ops.Flatten)


def _goes_back(before: list[ops.Op], own: Set[str], *, turns: bool) -> bool:
    """Whether a norm becomes part of what stands before it, the nearest first.

    Through a ReLU it does so if it `turns`: no scale is below 0, or something else takes its sign.
    """
    match before:
        case [ops.Linear(), *_]:
            return True
        case [ops.Convolution(weights=weights), *_]:
            return weights in own
        case [ops.Activation(kind="relu"), ops.Linear(), *_]:
            return turns
        case [ops.Activation(kind="relu"), ops.Convolution(weights=weights), *_]:
            return turns and weights in own
        case _:
            return False


def _ahead(
    after: list[ops.Op], own: Set[str], *, rises: bool
) -> ops.Convolution | ops.Linear | None:
    """What takes the value of a norm alone, through pools that scales go through."""
    for op in after:
        match op:
            case ops.Pooling(kind="average", padding=padding) if padding:
                return None  # its zeros are not scaled
            case ops.Pooling(kind="max") | ops.GlobalPooling(kind="max") if not rises:
                return None
            case ops.Pooling() | ops.GlobalPooling():
                continue
            case ops.Convolution(weights=weights):
                return op if weights in own else None
            case ops.Linear():
                return op
            case _:
                return None
    return None


def _pads_no_zeros(op: ops.Convolution | ops.Linear) -> bool:
    return isinstance(op, ops.Linear) or op.padding == 0 or op.padding_mode == "replicate"

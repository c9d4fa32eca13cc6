"""Whether a spec unrolls to a row of operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mnist_arch.convert.blocks.units import Tree
from mnist_arch.convert.lowering import Branches, Item, Joined, without_weights
from mnist_arch.counting import layers as our
from mnist_arch.counting.unroll import unroll
from mnist_arch.errors import ShapeError
from mnist_arch.spec.network import Network


def as_branches(items: Sequence[Item]) -> list[Item]:
    """The row with sums of branches in the place of residuals."""
    return [
        replace(item, op=Joined("add", (op.body, () if op.skip is None else (op.skip,))))
        if isinstance(op := item.op, Branches)
        else item
        for item in items
    ]


def differences(tree: Tree, items: Sequence[Item]) -> list[str]:
    """Where the spec unrolls to something else than the row: nothing, unless we have a bug."""
    network = Network.model_validate(tree)
    try:
        ours = list(_signature(unroll(network)))
    except ShapeError as error:
        return [str(error)]
    theirs = list(_item_signature(items))
    if len(ours) != len(theirs) and any(isinstance(it.op, Branches) for it in items):
        theirs = list(_item_signature(as_branches(items)))
    if len(ours) != len(theirs):
        return [f"{len(ours)} operations, not {len(theirs)}"]
    found = [f"{a} is not {b}" for a, b in zip(ours, theirs, strict=True) if a[:-1] != b[:-1]]
    if _pattern([a[-1] for a in ours]) != _pattern([b[-1] for b in theirs]):
        found.append("tensors are shared in another way")
    return found


Signature = tuple[Any, ...]


def _signature(layers: Sequence[our.Layer]) -> Iterator[Signature]:
    for layer in layers:
        match layer.op:
            case our.Residual(body=body, skip=skip):
                yield "residual", layer.in_shape, ""
                yield from _signature(body)
                yield "skip", layer.out_shape, ""
                if skip is not None:
                    yield from _signature((skip,))
            case our.Join(kind=kind, branches=branches):
                yield kind, len(branches), layer.in_shape, ""
                for branch in branches:
                    yield "branch", len(branch), layer.out_shape, ""
                    yield from _signature(branch)
            case our.Convolution(weights=weights) as op:
                yield replace(op, weights=""), layer.in_shape, layer.out_shape, weights
            case op:
                yield _plain(op, layer.in_shape), layer.in_shape, layer.out_shape, ""


def _item_signature(items: Sequence[Item]) -> Iterator[Signature]:
    for item in items:
        match item.op:
            case Branches(body=body, skip=skip):
                yield "residual", item.in_shape, ""
                yield from _item_signature(body)
                yield "skip", item.out_shape, ""
                if skip is not None:
                    yield from _item_signature((skip,))
            case Joined(kind=kind, ways=ways):
                yield kind, len(ways), item.in_shape, ""
                for way in ways:
                    yield "branch", len(way), item.out_shape, ""
                    yield from _item_signature(way)
            case our.Convolution():
                yield without_weights(item.op), item.in_shape, item.out_shape, item.weights
            case op:
                yield _plain(op, item.in_shape), item.in_shape, item.out_shape, ""


def _plain(op: our.Op, shape: our.Shape) -> Any:
    """A global pool as the pool with a window of the whole map, which it is."""
    if isinstance(op, our.GlobalPooling) and shape[1] == shape[2]:
        return our.Pooling(op.kind, shape[1], shape[1])
    return op


def _pattern(names: Sequence[str]) -> list[int]:
    """Which names are equal, whatever they are."""
    first: dict[str, int] = {}
    return [first.setdefault(name, index) if name else -1 for index, name in enumerate(names)]

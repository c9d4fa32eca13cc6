"""Every head that ends a row of operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mnist_arch.convert.blocks.texts import Base, as_written, dropout_tree, reduce_tree
from mnist_arch.convert.blocks.units import Tree, unit_at
from mnist_arch.convert.lowering import Item
from mnist_arch.counting import layers as our


def heads_of(items: Sequence[Item], base: Base, is_own: Any) -> Iterator[tuple[int, Tree]]:
    """Every head that ends the row, with the item at which it begins."""
    linear: Tree = {}
    end = len(items)
    defaults = dict(base.options)
    if items and isinstance(op := items[-1].op, our.Linear):
        linear = {"linear": True} if op.bias else {"linear": True, "bias": False}
        end = next(at for at, it in enumerate(items) if isinstance(it.op, our.Flatten))
        hidden, last = _hidden(items, end + 1, defaults)
        if last != len(items) - 1:
            return
        if hidden:
            linear = {"hidden": hidden[0] if len(hidden) == 1 else hidden, **linear}
            del linear["linear"]
    for start in range(max(0, end - 12), end + 1):
        for tree, stop in _head_parts(items, start, end, defaults, is_own):
            if stop == end:
                yield start, {**tree, **linear}


def _hidden(items: Sequence[Item], start: int, defaults: Tree) -> tuple[list[Any], int]:
    """Hidden fully connected layers from an item on, and the item after them."""
    found: list[Any] = []
    while start < len(items) - 1 and isinstance(linear := items[start].op, our.Linear):
        alike = our.Convolution(linear.out, 1, items[start].weights, linear.bias)
        unit = unit_at([replace(items[start], op=alike), *items[start + 1 : start + 4]], 0)
        assert unit is not None
        tree: Tree = {"out": unit.out}
        for name in ("bias", "norm", "activation", "order"):
            if (value := unit.value(name)) not in (None, defaults[name]):
                tree[name] = as_written(name, value)
        if unit.dropout is not None:
            tree["dropout"] = dropout_tree(unit.dropout, each=False)
        found.append(tree if len(tree) > 1 else unit.out)
        start += unit.end
    return found, start


def _head_parts(
    items: Sequence[Item], start: int, end: int, defaults: dict[str, Any], is_own: Any
) -> Iterator[tuple[Tree, int]]:
    row = items[:end]

    def drop(at: int, where: str) -> list[tuple[Tree, int]]:
        found: list[tuple[Tree, int]] = [({}, at)]
        if at < end and isinstance(op := row[at].op, our.Dropout):
            tree: Tree = {"rate": op.rate}
            if op.kind != "elementwise":
                tree["kind"] = op.kind
            if where != "after":
                tree["at"] = where
            found.append(({"dropout": op.rate if len(tree) == 1 else tree}, at + 1))
        return found

    def reduce(at: int, where: str, kernel: int | tuple[int, int]) -> list[tuple[Tree, int]]:
        found: list[tuple[Tree, int]] = [({}, at)]
        unit = unit_at(row, at, with_dropout=False)
        if unit is None or not is_own(unit) or unit.value("stride") != 1:
            return found
        if unit.value("kernel") == kernel and unit.value("kind") == "ordinary":
            if unit.value("padding") in (None, "valid"):
                tree = reduce_tree(
                    unit,
                    defaults["bias"],
                    defaults["order"],
                    at="before" if where == "before" else None,
                )
                found.append(({"reduce": tree}, unit.end))
        return found

    def pool(at: int) -> list[tuple[Tree, int, int | tuple[int, int]]]:
        side = row[at].in_shape if at < end else (row[-1].out_shape if row else (0, 0, 0))
        kernel = side[1] if side[1] == side[2] else side[1:]
        found: list[tuple[Tree, int, int | tuple[int, int]]] = [({"pool": "flatten"}, at, kernel)]
        if at < end:
            match row[at].op:
                case our.Pooling(kind="average", size=size, stride=stride, padding=0) if (
                    size == stride
                ):
                    found.append(({"pool": "average", "size": size}, at + 1, 1))
                case our.GlobalPooling(kind="average"):
                    found.append(({}, at + 1, 1))
                case our.GlobalPooling():
                    found.append(({"pool": "global-max"}, at + 1, 1))
        return found

    for first, a in reduce(start, "before", 1):
        for second, b in drop(a, "before"):
            for third, c, kernel in pool(b):
                for fourth, d in drop(c, "after") if not second else [({}, c)]:
                    for fifth, e in reduce(d, "after", kernel) if not first else [({}, d)]:
                        said = {**third, **first, **fifth, **second, **fourth}
                        yield said, e
                        is_last = end == len(items) - 2  # with no hidden layer before it
                        if fifth and is_last and not second and not fourth:
                            for sixth, f in drop(e, "before-linear")[1:]:
                                yield {**said, **sixth}, f

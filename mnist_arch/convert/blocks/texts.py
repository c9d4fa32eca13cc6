"""How values of the language are written, and the `defaults` that they are written under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mnist_arch.convert.blocks.units import Drop, Tree, Unit
from mnist_arch.spec.network import Defaults

OPTIONS: Final = (
    "kernel",
    "stride",
    "padding",
    "padding_mode",
    "kind",
    "groups",
    "bias",
    "norm",
    "activation",
    "order",
)


NO_DROP: Final[Drop] = (0.0, "elementwise", "end")


def as_compared(value: Any) -> Any:
    """The value of an option in a form that can be compared."""
    if isinstance(value, dict):
        return tuple(value.items())
    return tuple(value) if isinstance(value, list) else value


def as_written(name: str, value: Any) -> Any:
    """The value of an option as it is written."""
    if not isinstance(value, tuple):
        return value
    return list(value) if name == "kernel" else dict(value)


@dataclass(frozen=True)
class Base:
    """The `defaults` that blocks are written under."""

    options: tuple[tuple[str, Any], ...]
    dropout: Drop = NO_DROP
    each: bool = False

    def tree(self) -> Tree:
        own = language_defaults()
        tree = {name: as_written(name, value) for name, value in self.options if value != own[name]}
        if self.dropout != NO_DROP:
            tree["dropout"] = dropout_tree(self.dropout, each=self.each)
        return tree


def language_defaults() -> dict[str, Any]:
    """What each option is where a spec says nothing."""
    own = Defaults()
    values = {name: getattr(own, name) for name in OPTIONS}
    return {**values, "norm": own.norm.kind, "activation": own.activation.kind}


def dropout_tree(dropout: Drop, *, each: bool) -> Any:
    """A dropout as it is written: its rate, where that says all."""
    rate, kind, at = dropout
    tree: Tree = {"rate": rate}
    if kind != "elementwise":
        tree["kind"] = kind
    if at != "end":
        tree["at"] = at
    if each:
        tree["after"] = "each"
    return rate if len(tree) == 1 else tree


def pool_tree(kind: str, size: int, stride: int, *, usual: int, padding: int | str = 0) -> Any:
    """A pool as it is written: its kind, where that says all."""
    tree: Tree = {"kind": kind}
    if size != 2:
        tree["size"] = size
    if stride != usual:
        tree["stride"] = stride
    if padding:
        tree["padding"] = padding
    return kind if len(tree) == 1 else tree


def reduce_tree(unit: Unit, bias: bool, order: str, *, at: str | None) -> Any:
    """A reduce as it is written: its channels, where that says all."""
    tree: Tree = {"out": unit.out}
    if at is not None:
        tree["at"] = at
    if unit.value("bias") != bias:
        tree["bias"] = unit.value("bias")
    for name in ("norm", "activation"):
        if unit.value(name) != "none":
            tree[name] = as_written(name, unit.value(name))
    if unit.value("order") not in (None, order):
        tree["order"] = unit.value("order")
    return unit.out if len(tree) == 1 else tree

"""The code of a source as the habits see it, and what a finding is."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Final

from mnist_arch.claims.habits.syntax import last_name
from mnist_arch.errors import Origin

_MOST: Final = 1e15
"""Largest number that is followed."""
_MOST_NODES: Final = 400_000


@dataclass(frozen=True)
class Finding:
    """One habit at one line."""

    habit: str
    """A word for it, such as `test-chooses`."""
    line: Origin
    reason: str
    network: str = ""
    """The class whose code it is about; empty where it is about none alone."""

    @property
    def cell(self) -> str:
        """Where its line is, without the number of that."""
        return str(self.line).rpartition(":")[0]


@dataclass
class Code:
    """The code of a notebook, with what flows where."""

    trees: list[tuple[ast.Module, Origin]] = field(default_factory=list)
    nodes: list[ast.AST] = field(default_factory=list)
    """Of all trees, tree by tree."""
    numbers: dict[str, float | None] = field(default_factory=dict)
    """By what is written: a name, an attribute, an item. None where it has two values."""
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    """Names to `train` or `test`: datasets, loaders and arrays."""
    transforms: dict[str, ast.Call] = field(default_factory=dict)
    used_transforms: dict[str, str] = field(default_factory=dict)
    """Names of transforms to the split that they are of."""
    derived: set[str] = field(default_factory=set)
    """Names of values that come from test."""
    filled: set[str] = field(default_factory=set)
    """Names of lists that a function which is given test, and no training images, appends to."""

    _starts: dict[int, Origin] = field(default_factory=dict)

    def add(self, tree: ast.Module, origin: Origin) -> None:
        """One more cell, if it is not too long."""
        nodes = list(ast.walk(tree))
        if len(nodes) <= _MOST_NODES:
            self.trees.append((tree, origin))
            self.nodes += nodes
            self._starts |= {id(it): origin for it in nodes}

    def at(self, node: ast.AST) -> Origin:
        """The line of a node."""
        origin = self._starts[id(node)]
        number = getattr(node, "lineno", 1) + origin.line - 1
        start = str(origin).rpartition(":")[0]
        return Origin(f"{start}:{number}", line=number)

    def number(self, node: ast.expr | None) -> float | None:
        """A number that is written, or a name that is one."""
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return float(value) if abs(value) < _MOST else None
            case ast.Name(id=name):
                return self.numbers.get(name)
            case ast.Attribute(attr=attr):
                own = self.numbers.get(ast.unparse(node))
                return self.numbers.get(f".{attr}") if own is None else own
            case ast.Subscript(slice=ast.Constant()):
                return self.numbers.get(ast.unparse(node))
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                a, b = self.number(left), self.number(right)
                if a is None or b is None:
                    return None
                return a + b if isinstance(op, ast.Add) else a - b
            case ast.Call(func=ast.Name(id="int"), args=[inside]):
                return self.number(inside)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                under = self.number(operand)
                return None if under is None else -under
        return None


def length_of(code: Code, looped: ast.expr) -> float | None:
    """Of a range; a bar around it changes nothing."""
    match looped:
        case ast.Call(func=func, args=[last]) if last_name(func) in ("range", "trange", "arange"):
            return code.number(last)
        case ast.Call(func=func, args=[begin, last]) if last_name(func) in ("range", "arange"):
            first, end = code.number(begin), code.number(last)
            return None if first is None or end is None else end - first
        case ast.Call(func=func, args=[inner, *_]) if last_name(func) in ("tqdm", "track"):
            return length_of(code, inner)
    return None

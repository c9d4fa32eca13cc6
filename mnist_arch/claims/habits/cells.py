"""What each cell does: its epochs, its networks, its datasets, and whether it trains or judges."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mnist_arch.claims.habits.code import Code, length_of
from mnist_arch.claims.habits.flow import EPOCHS, follow_assigned, reads_test
from mnist_arch.claims.habits.networks import parts_of_modules
from mnist_arch.claims.habits.syntax import keyword_of, last_name
from mnist_arch.errors import Origin


@dataclass(frozen=True)
class Cell:
    """What a cell of code does that belongs to one training among several."""

    place: str
    epochs: tuple[int, Origin] | None
    """The most epochs that it names, and where."""
    networks: tuple[tuple[str, str], ...]
    """Names that hold a network, and its class, as far as that is seen, in order."""
    reads: frozenset[str]
    """Names that it uses."""
    datasets: frozenset[str]
    """Those that it loads."""


def fitting_cells(code: Code) -> frozenset[str]:
    """Cells that call `fit`."""
    return frozenset(
        str(code.at(it)).rpartition(":")[0]
        for it in code.nodes
        if isinstance(it, ast.Call) and last_name(it.func) in ("fit", "fit_generator")
    )


def judging_cells(code: Code) -> frozenset[str]:
    """Cells with a call that is given test, and none that trains."""
    found: set[str] = set()
    for tree, origin in code.trees:
        nodes = list(ast.walk(tree))
        words = " ".join(last_name(it) for it in nodes if isinstance(it, ast.Name | ast.Attribute))
        trains = re.search(r"(?i)train|epoch|\bfit|backward|\bmain\b|\brun", words)
        if not trains and any(isinstance(it, ast.Call) and reads_test(code, it) for it in nodes):
            found.add(str(origin).rpartition(":")[0])
    return frozenset(found)


def epochs_named(code: Code, nodes: Sequence[ast.AST]) -> tuple[int, Origin] | None:
    """The most epochs that some code names, and where."""
    found: list[tuple[float, ast.AST]] = []
    loops = [it for it in nodes if isinstance(it, ast.For | ast.While)]
    repeated = {id(it) for loop in loops for it in ast.walk(loop) if isinstance(it, ast.Call)}
    fits = [it for it in nodes if isinstance(it, ast.Call) and last_name(it.func) == "fit"]
    counts = [keyword_of(it, "epochs") for it in fits if id(it) in repeated]
    if counts and all((code.number(it) or 1) <= 1 for it in counts):
        return None  # as often as the loop, which is not followed
    for node in nodes:
        match node:
            case ast.For(target=ast.Name(id=name), iter=looped) if (
                "epoch" in name.lower() or EPOCHS.search(ast.unparse(looped))
            ):
                if (length := length_of(code, looped)) is not None:
                    found.append((length, node))
            case ast.Call(func=func, keywords=keywords) if not _is_other(func):
                for it in keywords:
                    if it.arg and EPOCHS.fullmatch(it.arg):
                        if (number := code.number(it.value)) is not None:
                            found.append((number, node))
    if not found:  # the loop is elsewhere
        for node in nodes:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if EPOCHS.fullmatch(
                    name
                ) and name.lower().endswith("epochs"):
                    if (number := code.number(value)) is not None:
                        found.append((number, node))
    found = [it for it in found if 0 < it[0] < 1e9]
    if not found:
        return None
    most, node = max(found, key=lambda it: it[0])
    return int(most), code.at(node)


def read_cells(code: Code) -> tuple[Cell, ...]:
    """What each cell does, in order; numbers are as they are in that cell."""
    modules = set(parts_of_modules(code))
    cells = []
    until = Code()
    for tree, origin in code.trees:
        nodes = list(ast.walk(tree))
        for node in nodes:
            follow_assigned(until, node, loads=False)
        here = replace(code, numbers=code.numbers | until.numbers)  # as they are in this cell
        made = [
            (name, last_name(call.func))
            for statement in tree.body
            for name, value in _bindings(statement)
            for call in ast.walk(value)
            if isinstance(call, ast.Call) and last_name(call.func) in modules
        ]
        reads = {it.id for it in nodes if isinstance(it, ast.Name) and isinstance(it.ctx, ast.Load)}
        cells.append(
            Cell(
                str(origin).rpartition(":")[0],
                epochs_named(here, nodes),
                tuple(made),
                frozenset(reads),
                frozenset(_datasets(nodes)),
            )
        )
    return tuple(cells)


def _bindings(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Names that a statement, or one inside a loop, gives a value."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.For(body=body) | ast.While(body=body) | ast.If(body=body) | ast.With(body=body):
            for inner in body:
                yield from _bindings(inner)


_DATASETS: Final = {
    "mnist": "mnist",
    "fashionmnist": "fashion-mnist",
    "fashion_mnist": "fashion-mnist",
    "kmnist": "kmnist",
    "emnist": "emnist",
    "qmnist": "qmnist",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "svhn": "svhn",
    "usps": "usps",
    "imdb": "imdb",
    "reuters": "reuters",
    "image_dataset_from_directory": "pictures in a folder",
    "imagefolder": "pictures in a folder",
}
"""By what loads them, in small letters."""


def _datasets(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """What some code loads: `MNIST(…)`, `mnist.load_data()`, `load_dataset("mnist")`."""
    for node in nodes:
        match node:
            case ast.Call(func=ast.Attribute(value=of, attr="load_data")):
                name = last_name(of)
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if last_name(
                func
            ) in (
                "load",
                "load_dataset",
                "fetch_openml",
            ):
                name = name.rpartition("/")[2].removesuffix("_784")
            case ast.Call(func=func):
                name = last_name(func)
            case _:
                continue
        if found := _DATASETS.get(name.lower()):
            yield found


def _is_other(func: ast.expr) -> bool:
    """Whether the epochs that a call is given are no training: of a schedule, a dict, a plot."""
    name = last_name(func)
    others = ("dict", "print", "add_argument", "SimpleNamespace", "EasyDict", "Namespace")
    return name in others or name.endswith("LR") or "schedul" in name.lower() or "plot" in name

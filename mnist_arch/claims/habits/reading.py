"""Habits in code that make a claim void or shaky, each with its line. Nothing is run, nor imported.

A finding has a line or it is none: what cannot be followed is passed over.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

from mnist_arch.claims.habits.cells import (
    Cell,
    epochs_named,
    fitting_cells,
    judging_cells,
    read_cells,
)
from mnist_arch.claims.habits.choices import best_of_several, choosing, split_of_validation
from mnist_arch.claims.habits.code import Code, Finding
from mnist_arch.claims.habits.evaluation import evaluation_habits
from mnist_arch.claims.habits.flow import follow
from mnist_arch.claims.habits.images import test_of_training, transform_habits
from mnist_arch.claims.habits.networks import is_one_network, never_called, parts_of_modules
from mnist_arch.claims.habits.outputs import bounded_logits, dropout_on_logits
from mnist_arch.claims.habits.seeds import one_seed, seeds_tried
from mnist_arch.convert.source import Source
from mnist_arch.errors import Origin


@dataclass(frozen=True)
class Habits:
    """What the code of a source shows."""

    findings: list[Finding]
    epochs: tuple[int, Origin] | None
    """The most epochs that the code names, and where."""
    by_cell: tuple[Cell, ...]
    """What each cell does, in order."""
    parts: dict[str, frozenset[str]]
    """The classes of modules, each with those that it has inside or inherits from, and itself."""
    seeds: int
    """Of a loop that sets each; 1 where there is none."""
    is_code: bool
    """Whether there is code that could be read."""
    has_one_network: bool
    """Whether one class is made into a network, and is written once."""
    fitting: frozenset[str]
    """Cells that call `fit`."""
    judging: frozenset[str]
    """Cells that judge by test, and train nothing."""
    validates_on: Literal["test", "train", ""]
    """Which images a validation is of, where the code shows it."""


def read_habits(source: Source) -> Habits:
    """Reads the code of a source for its habits."""
    code = Code()
    for origin, text in source.code:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        code.add(tree, origin)
    follow(code)
    found = [
        *choosing(code),
        *best_of_several(code),
        *evaluation_habits(code),
        *transform_habits(code),
        *test_of_training(code),
        *dropout_on_logits(code),
        *bounded_logits(code),
        *never_called(code),
        *one_seed(code),
    ]
    unique = {(it.habit, str(it.line)): it for it in found if it.line}
    return Habits(
        list(unique.values()),
        epochs_named(code, code.nodes),
        read_cells(code),
        parts_of_modules(code),
        seeds_tried(code),
        bool(code.trees),
        is_one_network(code),
        fitting_cells(code),
        judging_cells(code),
        split_of_validation(code),
    )

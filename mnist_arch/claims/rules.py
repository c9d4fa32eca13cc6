"""The rules of a check, from a file of the checker. Nothing here imports torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from mnist_arch.errors import Problem, SpecError
from mnist_arch.files import read, shown
from mnist_arch.spec.experiment import Budget
from mnist_arch.spec.strict_yaml import Node, parse
from mnist_arch.spec.validation import problems_of


def read_budget(path: Path) -> Budget:
    """The budget in a YAML file, which has its keys, or a spec's `budget`.

    Raises SpecError, with the line, and StorageError.
    """
    source = shown(path)
    tree = parse(read(path).decode("utf-8", "replace"), source)
    if not isinstance(tree.value, dict):
        hint = "write keys of a budget, such as `parameters_below: 20000`"
        raise SpecError((Problem("is no budget", origin=tree.origin, hint=hint),), source=source)
    inside = tree.entries.get("budget", tree)
    try:
        return Budget.model_validate(inside.plain())
    except ValidationError as error:
        raise SpecError(_problems(error, inside), source=source) from None


def _problems(error: ValidationError, tree: Node) -> tuple[Problem, ...]:
    return problems_of(error, tree, Budget)

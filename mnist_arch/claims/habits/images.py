"""What is done to the images: transforms, fills, norms, and training images called test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from mnist_arch.claims.habits.code import Code, Finding
from mnist_arch.claims.habits.flow import DATASET_CLASSES
from mnist_arch.claims.habits.syntax import items_of, keyword_of, last_name

_RANDOM: Final = ("Random", "ColorJitter", "AutoAugment", "TrivialAugment", "AugMix")


def transform_habits(code: Code) -> Iterator[Finding]:
    """Transforms that nothing uses, that change test, or that normalise it otherwise."""
    used = set(code.used_transforms)
    loads = {
        it.id for it in code.nodes if isinstance(it, ast.Name) and isinstance(it.ctx, ast.Load)
    }
    norms: dict[str, tuple[str, ast.AST]] = {}
    for name, call in code.transforms.items():
        inside = [it for it in ast.walk(call) if isinstance(it, ast.Call)]
        split = code.used_transforms.get(name)
        for it in inside:
            if split == "test" and last_name(it.func).startswith(_RANDOM):
                reason = f"{last_name(it.func)} changes the test images"
                yield Finding("augments-test", code.at(it), reason)
            if last_name(it.func) == "Normalize" and split:
                text = ", ".join(map(ast.unparse, it.args))
                norms[split] = (text, it)
        if name not in used and name not in loads and name.isidentifier():
            reason = f"{name} is configured, and nothing uses it"
            yield Finding("never-used", code.at(call), reason)
    for node in code.nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func)) if (
                name not in loads and _is_schedule(func)
            ):
                reason = f"{name} is configured, and nothing uses it: the rate stays as it is"
                yield Finding("never-used", code.at(node), reason)
    if len(norms) == 2 and norms["train"][0] != norms["test"][0]:
        said, reason = norms["train"][0], "test is normalised by {}, training by {}"
        yield Finding(
            "normalises-otherwise", code.at(norms["test"][1]), reason.format(norms["test"][0], said)
        )
    yield from _fills(code)


def test_of_training(code: Code) -> Iterator[Finding]:
    """Images that are called test, and are those of training."""
    for node in code.nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _CALLED_TEST.search(name):
                for it in ast.walk(value):
                    if isinstance(it, ast.Call) and last_name(it.func) in DATASET_CLASSES:
                        given = keyword_of(it, "train")
                        if isinstance(given, ast.Constant) and given.value is True:
                            reason = f"{name} has the training images: train=True"
                            yield Finding("test-is-training", code.at(it), reason)


_CALLED_TEST: Final = re.compile(r"(?i)(?:^|_)test(?:$|_|set|data|loader)")


def _fills(code: Code) -> Iterator[Finding]:
    """What moves digits and fills in another value than they stand on there."""
    after: dict[int, float | None] = {}
    for node in code.nodes:
        match node:
            case ast.Call(func=func, args=[ast.List(elts=steps), *_]) if (
                last_name(func) == "Compose"
            ):
                background: float | None = 0.0
                is_after = False
                for step in steps:
                    if is_after:
                        after |= {id(it): background for it in ast.walk(step)}
                    if isinstance(step, ast.Call) and last_name(step.func) == "Normalize":
                        is_after, background = True, _background(code, step)
    for node in code.nodes:
        if not isinstance(node, ast.Call) or not last_name(node.func).startswith("Random"):
            continue
        name, given = last_name(node.func), keyword_of(node, "fill")
        value = code.number(next(iter(items_of(given)), None) if given is not None else None)
        if id(node) not in after:
            if value is not None and value > 0:
                filled = f"{value:g} (of 255, where it stands before ToTensor)"
                reason = f"{name} fills with {filled}, and digits stand on 0"
                yield Finding("fill", code.at(node), reason)
            continue
        value = 0.0 if given is None and name in _MOVES else value
        stands = after[id(node)]
        if value is not None and stands is not None and abs(value - stands) > _NEAR:
            reason = (
                f"{name} fills with {value:g} after Normalize, where digits stand on {stands:.4g}"
            )
            yield Finding("fill", code.at(node), reason)


_MOVES: Final = ("RandomRotation", "RandomAffine", "RandomPerspective")
"""They fill with 0 unless told otherwise."""
_NEAR: Final = 0.05


def _background(code: Code, normalize: ast.Call) -> float | None:
    """What 0 becomes."""
    given = [
        keyword_of(normalize, name) or (normalize.args[at] if at < len(normalize.args) else None)
        for at, name in enumerate(("mean", "std"))
    ]
    firsts = [
        it.elts[0] if isinstance(it, ast.Tuple | ast.List) and it.elts else it for it in given
    ]
    mean, std = (code.number(it) for it in firsts)
    return None if mean is None or not std else -mean / std


def _is_schedule(func: ast.expr) -> bool:
    """Whether a call makes a schedule of torch."""
    return last_name(func).endswith("LR") or last_name(func) == "ReduceLROnPlateau"

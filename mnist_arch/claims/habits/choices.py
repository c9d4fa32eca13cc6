"""Whether the test images choose: a schedule, weights that are kept, an early stop, a maximum."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, Literal

from mnist_arch.claims.habits.code import Code, Finding
from mnist_arch.claims.habits.syntax import (
    items_of,
    key_of,
    keyword_of,
    last_name,
    names_in,
    plain_name,
    valued_names,
)

_STOPS: Final = {"EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint"}
_KEEPS: Final = {"save", "save_weights", "save_model", "save_checkpoint", "deepcopy"}
"""What keeps weights."""
STOPS: Final = "training stops by a value of the test split"
"""Then fewer epochs are trained than the code names."""


def choosing(code: Code) -> Iterator[Finding]:
    """A schedule, kept weights or a stop that follow a value of the test split."""
    keeps = _KEEPS | {
        name
        for name, function in code.functions.items()
        if any(
            isinstance(it, ast.Call) and last_name(it.func) in _KEEPS for it in ast.walk(function)
        )
    }
    callbacks = [
        it for it in code.nodes if isinstance(it, ast.Call) and last_name(it.func) in _STOPS
    ]
    for node in code.nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr="step"), args=[first, *_]) if (
                names_in(first) & code.derived
            ):
                reason = "the schedule follows a value of the test split"
                yield Finding("test-chooses", code.at(node), reason)
            case ast.If(test=ast.Compare() as test, body=body) if valued_names(test) & code.derived:
                for inner in (it for part in body for it in ast.walk(part)):
                    if isinstance(inner, ast.Break):
                        yield Finding("test-chooses", code.at(inner), STOPS)
                    elif isinstance(inner, ast.Call) and last_name(inner.func) in keeps:
                        reason = "weights are kept by a value of the test split"
                        yield Finding("test-chooses", code.at(inner), reason)
            case ast.Call(func=ast.Attribute(attr="fit")) if validates_on_test(code, node):
                for it in callbacks:
                    if last_name(it.func) == "ModelCheckpoint" and not _keeps_the_best(it):
                        continue
                    watched = keyword_of(it, "monitor")
                    if isinstance(watched, ast.Constant) and "val" not in str(watched.value):
                        continue
                    reason = f"{last_name(it.func)} watches the test split, which fit is given"
                    yield Finding("test-chooses", code.at(it), reason)
                callbacks = []  # each is named once


def _keeps_the_best(call: ast.Call) -> bool:
    best = keyword_of(call, "save_best_only")
    is_keras = isinstance(best, ast.Constant) and best.value is True
    return is_keras or keyword_of(call, "save_top_k") is not None


def validates_on_test(code: Code, call: ast.Call) -> bool:
    """Whether a call of `fit` is given the test split to validate on."""
    given = keyword_of(call, "validation_data") or keyword_of(call, "val_dataloaders")
    if given is None and len(call.args) == 3 and code.held.get(plain_name(call.args[1])) == "train":
        given = call.args[2]  # Lightning's
    return given is not None and any(code.held.get(key_of(it)) == "test" for it in ast.walk(given))


def split_of_validation(code: Code) -> Literal["test", "train", ""]:
    """Of which images a validation is: of test, or of some of training that were set aside."""
    calls = [it for it in code.nodes if isinstance(it, ast.Call)]
    if any(last_name(it.func) == "fit" and validates_on_test(code, it) for it in calls):
        return "test"
    if any(
        last_name(it.func) in ("random_split", "train_test_split", "SubsetRandomSampler")
        or (last_name(it.func) == "fit" and keyword_of(it, "validation_split") is not None)
        for it in calls
    ):
        return "train"
    return ""


def best_of_several(code: Code) -> Iterator[Finding]:
    """The largest of several test accuracies, where it is printed after the training."""
    lists = {it for it in code.filled if "loss" not in it.lower()}
    for node in code.nodes:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value]
            ) if names_in(value) & code.derived and "loss" not in name.lower():
                lists.add(name)
    validated = any(
        isinstance(node, ast.Call)
        and last_name(node.func) == "fit"
        and validates_on_test(code, node)
        for node in code.nodes
    )
    largest = _largest(code, lists)
    loops = [it for it in code.nodes if isinstance(it, ast.For | ast.While)]
    within = [  # says how far it is, epoch by epoch
        {id(it) for it in ast.walk(loop)}
        for loop in loops
        if any(isinstance(it, ast.Name) and isinstance(it.ctx, ast.Store) and it.id in largest
               for it in ast.walk(loop))
    ]  # fmt: skip
    for node in code.nodes:
        if not (isinstance(node, ast.Call) and plain_name(node.func) == "print"):
            continue
        text = ast.unparse(node)
        inside = [it for it in ast.walk(node) if isinstance(it, ast.Call) and it is not node]
        maxima = [it for it in inside if plain_name(it.func) in ("max", "amax")]
        of_test = any(names_in(it) & lists for it in maxima)
        of_history = validated and any("val_acc" in ast.unparse(it) for it in maxima)
        of_name = names_in(node) & largest and not any(id(node) in it for it in within)
        if of_test or of_history or of_name:
            reason = f"the best epoch on test is reported: {text[:60]}"
            yield Finding("best", code.at(node), reason)


def _largest(code: Code, lists: set[str]) -> set[str]:
    """Names that hold the largest of several test accuracies."""
    found: set[str] = set()
    for node in code.nodes:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="max"), args=args),
            ) if any(names_in(it) & (code.derived | lists) for it in args):
                found.add(name)
            case ast.If(test=ast.Compare() as test, body=body) if names_in(test) & code.derived:
                for inner in body:
                    match inner:
                        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=value)) if (
                            value in code.derived and {name, value} <= names_in(test)
                        ):
                            found.add(name)
    found = {it for it in found if "loss" not in it.lower()}
    for name, function in code.functions.items():
        returned = [it.value for it in ast.walk(function) if isinstance(it, ast.Return)]
        if len(returned) != 1 or returned[0] is None:
            continue
        for node in code.nodes:
            match node:
                case ast.Assign(targets=[target], value=ast.Call(func=func)) if (
                    last_name(func) == name
                ):
                    found |= {
                        plain_name(to)
                        for to, it in zip(items_of(target), items_of(returned[0]), strict=False)
                        if plain_name(it) in found
                    }
    return found - {""}

"""Which seeds are set, and how many are tried."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from mnist_arch.claims.habits.code import Code, Finding, length_of
from mnist_arch.claims.habits.networks import module_classes
from mnist_arch.claims.habits.syntax import last_name, names_in, plain_name

_SETS_A_SEED: Final = {
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_everything",
    "set_random_seed",
    "set_seed",
}


def one_seed(code: Code) -> Iterator[Finding]:
    """One global seed, and several networks after it, under names of their own."""
    names = {node.name for node, *_ in module_classes(code)}
    calls = [it for it in code.nodes if isinstance(it, ast.Call)]
    seeds = [it for it in calls if last_name(it.func) == "manual_seed"]
    if len(seeds) != 1:
        return
    made: dict[str, ast.AST] = {}
    has_seed = False
    for tree, _ in code.trees:
        for statement in tree.body:
            inside = [it for it in ast.walk(statement) if isinstance(it, ast.Call)]
            has_seed = has_seed or seeds[0] in inside
            if not has_seed or not any(plain_name(it.func) in names for it in inside):
                continue
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)]):
                    wraps = {part for it in inside for part in names_in(it)} & made.keys()
                    if not wraps - {name}:
                        made.setdefault(name, statement)
    if len(made) > 1:
        reason = "one global seed, and a network after another: the second depends on the first"
        yield Finding("one-seed", code.at(list(made.values())[1]), reason)


def seeds_tried(code: Code) -> int:
    """The values of the longest loop whose variable is set as a seed; 1 where there is none."""
    sets_its_own = {
        name
        for name, function in code.functions.items()
        if _sets_a_seed(function, {it.arg for it in function.args.args})
    } | _SETS_A_SEED
    lists: dict[str, ast.expr] = {}
    for node in code.nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                lists[name] = value
    tried = 1
    for node in code.nodes:
        match node:
            case ast.For(target=target, iter=looped):
                pass
            case ast.ListComp(generators=[ast.comprehension(target=target, iter=looped)]):
                pass
            case _:
                continue
        if _sets_a_seed(node, names_in(target), sets_its_own):
            tried = max(tried, _values(code, looped, lists))
    return tried


def _sets_a_seed(node: ast.AST, names: set[str], functions: set[str] = _SETS_A_SEED) -> bool:
    """Whether one of some names is given to a function that sets a seed."""
    return any(
        isinstance(it, ast.Call)
        and last_name(it.func) in functions
        and any(
            names & names_in(argument)
            for argument in (*it.args, *(key.value for key in it.keywords))
        )
        for it in ast.walk(node)
    )


def _values(code: Code, looped: ast.expr, lists: dict[str, ast.expr]) -> int:
    """How many values a loop has that is written out, or a range of numbers; else 1."""
    match looped:
        case ast.Name(id=name) if name in lists and not isinstance(lists[name], ast.Name):
            return _values(code, lists[name], {})
        case ast.Call(func=ast.Name(id="enumerate" | "tqdm" | "list"), args=[inner, *_]):
            return _values(code, inner, lists)
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            return len(elements)
    length = length_of(code, looped)
    return 1 if length is None else int(length)

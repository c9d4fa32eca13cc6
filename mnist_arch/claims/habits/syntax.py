"""Questions about the syntax of code: what is called, and under which name."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def names_in(node: ast.AST) -> set[str]:
    """Every name in some code."""
    return {it.id for it in ast.walk(node) if isinstance(it, ast.Name)}


def valued_names(node: ast.AST) -> set[str]:
    """Names whose values some code depends on, and not their length alone."""
    lengths = {
        id(it)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and plain_name(call.func) == "len"
        for it in ast.walk(call)
    }
    return {it.id for it in ast.walk(node) if isinstance(it, ast.Name) and id(it) not in lengths}


def key_of(node: ast.AST) -> str:
    """A name, an attribute of one, or an item of one by a text, as it is written; else empty."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=of), attr=name):
            return f"{of}.{name}"
        case ast.Subscript(value=ast.Name(id=of), slice=ast.Constant(value=str(name))):
            return f"{of}[{name!r}]"
    return ""


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name, such as `SGD` of `optim.SGD`; else empty."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def keyword_of(call: ast.Call, name: str) -> ast.expr | None:
    """What a call is given under a name; None where it is not."""
    return next((it.value for it in call.keywords if it.arg == name), None)


def plain_name(node: ast.expr) -> str:
    """A name alone; empty where it is an attribute, or something else."""
    return node.id if isinstance(node, ast.Name) else ""


def items_of(node: ast.expr) -> list[ast.expr]:
    """The parts of a tuple; of anything else, itself."""
    return node.elts if isinstance(node, ast.Tuple) else [node]


def calls_in_order(node: ast.AST) -> Iterator[ast.Call]:
    """Calls in the order in which they happen."""
    for child in ast.iter_child_nodes(node):
        yield from calls_in_order(child)
    if isinstance(node, ast.Call):
        yield node

"""Classes of modules with their layers, and layers that are never called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from mnist_arch.claims.habits.code import Code, Finding
from mnist_arch.claims.habits.syntax import last_name, plain_name


def module_classes(
    code: Code,
) -> Iterator[tuple[ast.ClassDef, dict[str, ast.Call], ast.FunctionDef]]:
    """Modules with their layers, by attribute, and their forward.

    Where some are made into networks, those that nothing makes are passed over.
    """
    modules = [
        it
        for it in code.nodes
        if isinstance(it, ast.ClassDef) and any("Module" in last_name(b) for b in it.bases)
    ]
    called = {last_name(it.func) for it in code.nodes if isinstance(it, ast.Call)}
    called |= {
        last_name(base) for it in code.nodes if isinstance(it, ast.ClassDef) for base in it.bases
    }
    is_made = any(it.name in called for it in modules)
    for node in modules:
        if is_made and node.name not in called:
            continue
        functions = {it.name: it for it in node.body if isinstance(it, ast.FunctionDef)}
        if "forward" not in functions or "__init__" not in functions:
            continue
        layers = {
            target.attr: it.value
            for it in ast.walk(functions["__init__"])
            if isinstance(it, ast.Assign) and isinstance(it.value, ast.Call)
            for target in it.targets
            if isinstance(target, ast.Attribute) and plain_name(target.value) == "self"
        }
        yield node, layers, functions["forward"]


def never_called(code: Code) -> Iterator[Finding]:
    """Layers that a network declares, and that its forward never calls."""
    outside = {it.attr for it in code.nodes if isinstance(it, ast.Attribute)
               and isinstance(it.ctx, ast.Load) and plain_name(it.value) != "self"}  # fmt: skip
    own = {node.name for node, *_ in module_classes(code)}
    for node, layers, _ in module_classes(code):
        heirs = [
            it
            for it in code.nodes
            if isinstance(it, ast.ClassDef) and node.name in {last_name(base) for base in it.bases}
        ]
        read = {
            it.attr
            for one in (node, *heirs)
            for it in ast.walk(one)
            if isinstance(it, ast.Attribute)
            and isinstance(it.ctx, ast.Load)
            and plain_name(it.value) == "self"
        }
        text = ast.unparse(node)
        if any(word in text for word in ("children", "modules()", "getattr", "__dict__")):
            continue
        for name, call in layers.items():
            if name not in read | outside and _is_layer(call, own):
                reason = f"self.{name} is declared and never called"
                yield Finding("never-called", code.at(call), reason, node.name)


def is_one_network(code: Code) -> bool:
    """Whether not more than one class of modules is made outside classes, and it has one text."""
    classes = [it for it in code.nodes if isinstance(it, ast.ClassDef)]
    names = [it.name for it in classes if any("Module" in last_name(base) for base in it.bases)]
    inside = {id(it) for one in classes for it in ast.walk(one)}
    made = {
        plain_name(it.func)
        for it in code.nodes
        if isinstance(it, ast.Call) and id(it) not in inside and plain_name(it.func) in names
    }
    return len(made) <= 1 and all(names.count(it) == 1 for it in made)


def _is_layer(call: ast.Call, own: set[str]) -> bool:
    """Whether a call makes a layer of torch, or a module of the notebook; a loss is none."""
    name = last_name(call.func)
    is_torch = name[:1].isupper() and ast.unparse(call.func).rpartition(".")[0] in _NN
    return name in own or (is_torch and "Loss" not in name and name != "Parameter")


_NN: Final = ("nn", "torch.nn")
FUNCTIONAL: Final = ("F", "torch", "nn.functional", "torch.nn.functional")


def parts_of_modules(code: Code) -> dict[str, frozenset[str]]:
    """Classes of modules, with what they have inside or inherit from, and themselves."""
    classes = {it.name: it for it in code.nodes if isinstance(it, ast.ClassDef)}
    direct = {
        name: {last_name(it.func) for it in ast.walk(node) if isinstance(it, ast.Call)}
        | {last_name(it) for it in node.bases}
        for name, node in classes.items()
    }
    modules = {
        name
        for name, node in classes.items()
        if any("Module" in last_name(it) or last_name(it) in classes for it in node.bases)
    }
    found = {}
    for name in modules:
        inside, more = {name}, [name]
        while more:
            new = (direct[more.pop()] & modules) - inside
            inside |= new
            more += new
        found[name] = frozenset(inside)
    return found

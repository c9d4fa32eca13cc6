"""The page about the public names of the library, made of their signatures and docstrings."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import mnist_arch

LIKE_CODE = re.compile(r"`[^`]*`|\*|_|<")
"""What Markdown reads in another way, and code, which it leaves alone."""


MOST_LETTERS = 80
"""Of a signature in one line."""


def page() -> str:
    """Functions, then values, then errors as a tree."""
    public = {name: getattr(mnist_arch, name) for name in mnist_arch.__all__}
    classes = {name: it for name, it in public.items() if inspect.isclass(it)}
    errors = {name: it for name, it in classes.items() if issubclass(it, Exception)}
    parts = ["## Functions\n"]
    parts += [_function(name, it) for name, it in public.items() if name not in classes]
    parts.append("## Values\n")
    parts += [_value(name, it) for name, it in classes.items() if name not in errors]
    return "\n".join(
        [*parts, "## Errors\n", *_tree(mnist_arch.MnistArchError, {*errors.values()}), ""]
    )


def _function(name: str, function: Any) -> str:
    signature = inspect.signature(function)
    arguments, gives = [*_arguments(signature)], signature.return_annotation
    shown = f"{name}({', '.join(arguments)}) -> {gives}"
    if len(shown) > MOST_LETTERS:
        shown = "\n".join([f"{name}(", *(f"    {it}," for it in arguments), f") -> {gives}"])
    return f"### `{name}`\n\n```text\n{shown}\n```\n\n{_text(function)}\n"


def _arguments(signature: inspect.Signature) -> Iterator[str]:
    starred = False
    for it in signature.parameters.values():
        if it.kind == it.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        default = "" if it.default is it.empty else f" = {it.default!r}"
        yield f"{it.name}: {it.annotation}{default}"


def _text(documented: Any) -> str:
    """A docstring as Markdown."""
    text = inspect.getdoc(documented) or ""
    return LIKE_CODE.sub(lambda it: it[0] if it[0].startswith("`") else f"\\{it[0]}", text)


def _value(name: str, kind: type) -> str:
    rows = [f"| `{member}` | {what} |" for member, what in _members(kind).items()]
    table = ["| member | what it is |", "|---|---|", *rows, ""] if rows else []
    return "\n".join([f"### `{name}`\n", f"{_text(kind)}\n", *table])


def _members(kind: type) -> dict[str, str]:
    """Public fields, properties and methods that have a docstring, those of the bases first."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("mnist_arch."):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for node, following in zip(tree.body, [*tree.body[1:], None], strict=True):
            match node, following:
                case ast.AnnAssign(target=ast.Name(member)), ast.Expr(ast.Constant(str(text))):
                    found[member] = text
                case ast.AnnAssign(target=ast.Name(member)), _:
                    found.setdefault(member, "")
                case ast.FunctionDef(name=member), _ if text := ast.get_docstring(node):
                    found[member] = text
    public = {name: text for name, text in found.items() if not name.startswith("_")}
    return {name: " ".join(text.partition("\n\n")[0].split()) for name, text in public.items()}


def _tree(kind: type, public: set[type], depth: int = 0) -> Iterator[str]:
    """A line for each public error, below the one that it is a kind of."""
    yield f"{'    ' * depth}- `{kind.__name__}`: {_text(kind).partition(chr(10))[0]}"
    for below in sorted(kind.__subclasses__(), key=lambda it: it.__name__):
        if below in public:
            yield from _tree(below, public, depth + 1)

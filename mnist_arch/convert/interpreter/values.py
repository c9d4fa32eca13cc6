"""What code holds while it is read: classes, objects, functions, and what is not known of them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mnist_arch.errors import Origin

MAX_DEPTH: Final = 60
"""Calls in calls, and containers in containers."""


class Unsupported(Exception):
    """Something that is not on the list, with its place."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class TooMuch(Unsupported):
    """A bound of the interpreter."""


@dataclass(frozen=True)
class Unknown:
    """A value that is not known, and why."""

    why: str
    place: str = ""


@dataclass(frozen=True)
class Dotted:
    """Something of a library, by its whole name: `torch.optim.SGD`."""

    name: str


@dataclass(frozen=True)
class Batch:
    """The number of images, which is not known and need not be."""


@dataclass(eq=False)
class Function:
    """A function of the source, with the scopes that it sees."""

    node: ast.FunctionDef | ast.Lambda
    scopes: list[dict[str, Any]]
    piece: Piece
    defaults: list[Any]
    keyword_defaults: list[Any]
    owner: Class | None = None

    def bind(self, arguments: list[Any], keywords: dict[str, Any], place: Origin) -> dict[str, Any]:
        """The names inside a call with these arguments; Unsupported where they do not fit."""
        spec = self.node.args
        names = [it.arg for it in (*spec.posonlyargs, *spec.args)]
        local = dict(zip(names[len(names) - len(self.defaults) :], self.defaults, strict=True))
        local.update(zip(names, arguments, strict=False))
        if len(arguments) > len(names):
            if spec.vararg is None:
                raise Unsupported("a call with too many arguments", place)
            local[spec.vararg.arg] = tuple(arguments[len(names) :])
        elif spec.vararg is not None:
            local[spec.vararg.arg] = ()
        for argument, default in zip(spec.kwonlyargs, self.keyword_defaults, strict=True):
            local[argument.arg] = default
        known = {*names, *(it.arg for it in spec.kwonlyargs)}
        more = {name: value for name, value in keywords.items() if name not in known}
        local.update({name: value for name, value in keywords.items() if name in known})
        if more and spec.kwarg is None:
            raise Unsupported(f"a call with an argument that is not taken: {min(more)}", place)
        if spec.kwarg is not None:
            local[spec.kwarg.arg] = more
        if missing := [name for name in names if name not in local]:
            raise Unsupported(f"a call without the argument {missing[0]}", place)
        return local


@dataclass(eq=False)
class Class:
    """A class of the source."""

    name: str
    bases: list[Any]
    members: dict[str, Any]
    place: str

    def order(self) -> list[Any]:
        """This class and its bases, the nearest first; those of libraries are Dotted."""
        found: list[Any] = [self]
        for base in self.bases:
            found += [it for it in (base.order() if isinstance(base, Class) else [base])]
            if len(found) > MAX_DEPTH:
                raise TooMuch("too many base classes", self.place)
        return found

    def member(self, name: str) -> Any:
        """What this class or the nearest of its bases has under a name; MISSING where none has."""
        return member_of(self.order(), name)

    def is_a(self, names: Sequence[str]) -> bool:
        return any(isinstance(it, Dotted) and it.name in names for it in self.order())


MISSING: Final = object()
"""There is nothing of that name."""


def member_of(classes: Sequence[Any], name: str) -> Any:
    """What the first of some classes has under a name, those of libraries passed over."""
    own = (it.members for it in classes if isinstance(it, Class) and name in it.members)
    return next((members[name] for members in own), MISSING)


@dataclass(eq=False)
class Instance:
    """An object of a class of the source."""

    cls: Class
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name of its own tensors in a graph."""
        return f"object {id(self)}"


@dataclass(eq=False)
class Bound:
    """A function of the source with the object it belongs to."""

    function: Function
    receiver: Any


@dataclass(eq=False)
class Method:
    """A method of a value of a library, or of Python."""

    receiver: Any
    name: str


@dataclass(eq=False)
class Super:
    """What `super()` gives: the object, seen from above a class."""

    receiver: Instance
    above: Class


@dataclass(frozen=True)
class Piece:
    """A stretch of code and where it begins."""

    name: str
    first: int
    lines: tuple[str, ...]

    def at(self, node: ast.AST) -> Origin:
        line = int(getattr(node, "lineno", 1))
        column = int(getattr(node, "col_offset", 0)) + 1
        quoted = self.lines[line - 1][:500] if line <= len(self.lines) else ""
        number = self.first + line - 1
        return Origin(f"{self.name}:{number}", line=number, column=column, quoted=quoted)

"""Calls of libraries in code that is read, with what their arguments are where they stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mnist_arch.convert.code import Read
from mnist_arch.convert.interpreter.values import Dotted, Function, Piece, Unknown, Unsupported
from mnist_arch.convert.libraries import Recorded, canonical
from mnist_arch.convert.modules import bound
from mnist_arch.errors import Origin, SpecError

STEPS_OF_ONE: Final = 5_000
"""Steps of the interpreter for the arguments of one call."""
STEPS_OF_SCOPES: Final = 400_000
"""Steps for what all functions have in their local names."""
_MOST_WAYS: Final = 20
"""Calls of one function that are looked at for what it is given."""

Scope = dict[str, Any]
Place = tuple[int, int, int]


@dataclass(frozen=True)
class Call:
    """A call of a library, wherever it stands."""

    name: str
    node: ast.Call
    piece: Piece
    target: str
    """The name that its value gets; empty where it gets none."""

    @property
    def last(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def place(self) -> Origin:
        return self.piece.at(self.node)


@dataclass(frozen=True)
class _Around:
    """What a node stands in."""

    function: ast.FunctionDef | None = None
    loop: ast.For | ast.While | None = None


class Calls:
    """All calls of some code, and what is to be said about them."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self.dropped: list[tuple[str, str]] = []
        """What is not carried over, with its place."""
        self.assumed: list[tuple[str, str]] = []
        self.all: list[Call] = []
        """In the order of the source."""
        self.nodes: list[tuple[ast.AST, Piece]] = []
        """Every node of the source, in its order."""
        self._own: dict[str, list[tuple[ast.Call, Piece]]] = {}
        self._around: dict[int, _Around] = {}
        self._pieces: dict[int, Piece] = {}
        self._scopes: dict[int, Scope] = {}
        self._left = STEPS_OF_SCOPES
        self._recorded = {(it.place, it.place.column): it for it in read.libraries.recorded}
        """What calls were given when the code was read: the last time where there are several."""
        for tree, piece in read.trees:
            self._enter(tree, piece)

    def _enter(self, tree: ast.Module, piece: Piece) -> None:
        targets: dict[int, str] = {}
        waiting: list[tuple[ast.AST, _Around]] = [(tree, _Around())]
        while waiting:
            node, around = waiting.pop()
            self.nodes.append((node, piece))
            self._around[id(node)] = around
            match node:
                case ast.FunctionDef():
                    self._pieces[id(node)] = piece
                    around = _Around(node)
                case ast.For() | ast.While():
                    around = _Around(around.function, node)
                case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name), *_]):
                    targets[id(node.value)] = name
                case ast.Call():
                    last = self._last_name(node.func)
                    self._own.setdefault(last, []).append((node, piece))
                    if name := self._name(node.func):
                        target = targets.get(id(node), "")
                        self.all.append(Call(canonical(name), node, piece, target))
            waiting += [(it, around) for it in [*ast.iter_child_nodes(node)][::-1]]

    def _last_name(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return name
        return ""

    def _name(self, node: ast.expr) -> str:
        """The whole name of what is called; empty where it is not of a library."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute) and len(parts) < 9:
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return f"?.{parts[0]}" if parts else ""
        interpreter = self.read.libraries.interpreter
        known = interpreter.globals.get(node.id)
        if known is None:
            module = next(
                (it for it in interpreter.stars if self.read.libraries.star(it, node.id)), ""
            )
            known = Dotted(f"{module}.{node.id}") if module else None
        if isinstance(known, Dotted):
            return ".".join([known.name, *reversed(parts)])
        return f"{node.id}.{'.'.join(reversed(parts))}" if parts else ""

    # -------------------------------------------------------------------------------- which calls

    def of(self, module: str, names: Sequence[str]) -> list[Call]:
        return [it for it in self.all if it.name.startswith(module) and it.last in names]

    def last(self, calls: Sequence[Call], what: str) -> Call:
        """The one that counts: the last of this network, and a note where several differ."""
        calls = self.of_network(calls)
        if len({ast.unparse(it.node)[:400] for it in calls}) > 1:
            places = ", ".join(str(it.place) for it in calls[:5])
            self.assumed.append((f"of several {what} ({places}) the last counts", calls[-1].place))
        return calls[-1]

    def of_network(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Those that come after the network and before another one; all where none do."""
        return [it for it in calls if self._is_of_network(it)] or calls

    def _is_of_network(self, call: Call) -> bool:
        """Whether it comes after the network is made, and before another one is."""
        start, *others = (self._position(it) for it in self.read.made)
        end = min((it for it in others if it > start), default=(len(self.read.trees), 0, 0))
        return start <= self._position(call.place) < end

    def _position(self, place: Origin) -> Place:
        name, _, number = str(place).rpartition(":")
        pieces = [piece.name for _, piece in self.read.trees]
        line = int(number) if number.isdigit() else 0
        return pieces.index(name) if name in pieces else 0, line, place.column or 0

    def at(self, made: Recorded) -> Call | None:
        """The call that a value comes from."""
        found = (it for it in self.all if it.place == made.place)
        return next((it for it in found if it.place.column == made.place.column), None)

    def loop(self, node: ast.AST) -> ast.For | ast.While | None:
        """The innermost loop of its function that a node stands in."""
        return self._around[id(node)].loop

    # ------------------------------------------------------------------------------------- values

    def value(self, node: ast.expr, piece: Piece) -> Any:
        """What an expression is where it stands: names may be local, and arguments of a function
        are those that it is called with last.
        """
        around = self._around.get(id(node))
        scopes = self._seen_from(around.function if around else None, 0)
        return self._bounded(node, piece, scopes, STEPS_OF_ONE)

    def _bounded(self, node: ast.expr, piece: Piece, scopes: list[Scope], limit: int) -> Any:
        interpreter = self.read.libraries.interpreter
        interpreter.steps, interpreter.depth, interpreter.limit = 0, 0, limit
        interpreter.piece = piece
        try:
            return interpreter.value(node, scopes)
        except (Unsupported, SpecError, RecursionError) as error:
            return Unknown(str(error), piece.at(node))

    def _seen_from(self, function: ast.FunctionDef | None, depth: int) -> list[Scope]:
        """The names that are seen within a function: of all, of those around it, and its own."""
        interpreter = self.read.libraries.interpreter
        if function is None or depth > 8:
            return [interpreter.globals]
        outer = self._seen_from(self._around[id(function)].function, depth + 1)
        if id(function) not in self._scopes:
            own: Scope = {}
            self._scopes[id(function)] = own  # what it needs itself is not known until it is read
            own.update(self._given(function, outer, depth))
            if self._left > 0:
                piece = self._pieces[id(function)]
                self._left -= interpreter.read_body(function.body, [*outer, own], piece)
        return [*outer, self._scopes[id(function)]]

    def _given(self, function: ast.FunctionDef, outer: list[Scope], depth: int) -> Scope:
        """Arguments of a function: its defaults, and over them what it is called with last."""
        spec, piece = function.args, self._pieces[id(function)]
        names = [it.arg for it in (*spec.posonlyargs, *spec.args)]
        found: Scope = {}
        pairs = [
            *zip(names[len(names) - len(spec.defaults) :], spec.defaults, strict=True),
            *((it.arg, value) for it, value in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)),
        ]
        for name, value in pairs:
            if value is not None:
                found[name] = self._bounded(value, piece, outer, STEPS_OF_ONE)
        positional = names[1:] if names[:1] == ["self"] else names
        for node, of in self._own.get(function.name, [])[-_MOST_WAYS:]:
            if any(isinstance(it, ast.Starred) for it in node.args):
                continue
            scopes = self._seen_from(self._around[id(node)].function, depth + 1)
            given = [*zip(positional, node.args, strict=False)]
            for it in node.keywords:
                if it.arg is None:  # `**`, which may give any of them
                    known = self._bounded(it.value, of, scopes, STEPS_OF_ONE)
                    unknown = Unknown(f"what {function.name} is called with", of.at(node))
                    found |= known if isinstance(known, dict) else dict.fromkeys(found, unknown)
                else:
                    given.append((it.arg, it.value))
            for name, value in given:
                found[name] = self._bounded(value, of, scopes, STEPS_OF_ONE)
        return found

    def given(self, call: Call) -> list[Any]:
        """What a call is given by position, as it was when the code was read, where it was."""
        made = self._recorded.get((call.place, call.place.column))
        known = [] if made is None else made.arguments
        return [
            self.value(node, call.piece)
            if index >= len(known) or isinstance(known[index], Unknown)
            else known[index]
            for index, node in enumerate(call.node.args)
        ]

    def keywords(self, call: Call) -> dict[str, Any] | None:
        """What a call is given by name, `**` among it; None where that cannot be told."""
        made = self._recorded.get((call.place, call.place.column))
        known = {} if made is None else made.keywords
        found: dict[str, Any] = {}
        for it in call.node.keywords:
            if it.arg is None:
                value = self.value(it.value, call.piece)
                if not isinstance(value, dict):
                    return None
                found.update({str(key): each for key, each in value.items()})
            elif isinstance(known.get(it.arg, Unknown("")), Unknown):
                found[it.arg] = self.value(it.value, call.piece)
            else:
                found[it.arg] = known[it.arg]
        return found

    def arguments(self, call: Call, signature: str) -> dict[str, Any] | None:
        """The arguments of a call by name; None where they cannot be told."""
        if any(isinstance(it, ast.Starred) for it in call.node.args):
            return None
        keywords = self.keywords(call)
        if keywords is None:
            return None
        try:
            return bound(signature, self.given(call), keywords, call.last, call.place)
        except SpecError:
            return None

    def results(self, function: Any, inputs: Sequence[Any]) -> list[float] | None:
        """What a function of the source gives for each input; None where that is not known."""
        interpreter = self.read.libraries.interpreter
        found = []
        for each in inputs:
            interpreter.steps, interpreter.depth, interpreter.limit = 0, 0, STEPS_OF_ONE
            try:
                value = interpreter.call(function, [each], {}, ast.Constant(0, lineno=1))
            except (Unsupported, SpecError, RecursionError, ArithmeticError):
                return None
            if isinstance(value, bool) or not isinstance(value, int | float):
                return None
            found.append(float(value))
        return found or None

    # -------------------------------------------------------------------------------------- notes

    def drop(self, what: str, place: str) -> None:
        """Says once that something is not carried over."""
        if (what, place) not in self.dropped:
            self.dropped.append((what, place))

    def assume(self, what: str, place: str) -> None:
        """Says once how something was understood."""
        if (what, place) not in self.assumed:
            self.assumed.append((what, place))

    def number(self, value: Any, what: str, place: str) -> float | None:
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6:
            return float(value)
        self.drop(f"{what}, which is not known: the plain one stands in its place", place)
        return None


def named(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and values of a call, or of a dictionary that is written out."""
    if isinstance(node, ast.Call):
        for it in node.keywords:
            if it.arg is not None:
                yield it.arg, it.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def text(node: ast.AST) -> str:
    """An expression as it is written, not beyond 1,000 characters."""
    return ast.unparse(node)[:1000]


def short(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, int | float | str | bool | None):
        return f"{value:g}" if isinstance(value, float) else str(value)[:40]
    if isinstance(value, list | tuple):
        return f"({', '.join(map(short, value[:6]))})"
    return "something that is not known"


def plain(value: float) -> float:
    """A number as it is written: 0 for 0.0."""
    return int(value) if float(value).is_integer() and abs(value) < 1e6 else float(value)


def is_share(value: Any) -> bool:
    """Whether a value is a number from 0 to 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def name_of(function: Any) -> str:
    """What a thing of the source is called, for a message."""
    match function:
        case Function(node=ast.FunctionDef(name=name)):
            return name
        case Mapping():
            return "a dictionary"
    return getattr(getattr(function, "cls", None), "name", "") or "a function"

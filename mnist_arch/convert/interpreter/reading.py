"""Python that is read and never run: an interpreter of the syntax tree with a short list of what
it knows.

It is bounded in steps, depth and sizes. What it meets beyond its list is an `Unsupported` with its
line. Layers, tensors and calls of libraries are what a `Library` makes of them; operators,
functions and methods of Python are the tables of `known`.
"""

from __future__ import annotations

import ast
import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from mnist_arch.convert.interpreter.known import (
    COMPARE,
    FUNCTIONS,
    MAX_LENGTH,
    METHODS,
    PLAIN,
    SIGNS,
    NotThese,
    computed,
)
from mnist_arch.convert.interpreter.library import Library
from mnist_arch.convert.interpreter.values import (
    MAX_DEPTH,
    MISSING,
    Bound,
    Class,
    Dotted,
    Function,
    Instance,
    Method,
    Piece,
    Super,
    TooMuch,
    Unknown,
    Unsupported,
    member_of,
)
from mnist_arch.errors import Origin, SpecError

MAX_STEPS: Final = 200_000
MAX_READ: Final = 2_000_000
"""Steps for all statements of a source together."""
MAX_BITS: Final = 128
MAX_MADE: Final = 4_000_000
"""Items and characters of all lists and texts that are made."""
_TOO_DEEP: Final = "it is nested too deep"


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Interpreter:
    """Reads pieces of code in order; what they define stays."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.globals: dict[str, Any] = {"__name__": "__main__"}
        self.stars: list[str] = []
        self.steps = 0
        self.limit = MAX_STEPS
        self.most = MAX_READ
        self.depth = 0
        self.made_so_far = 0
        self.piece = Piece("", 1, ())
        self.made: list[tuple[Instance, Origin]] = []
        """Objects in the order in which they were made."""
        self.failed: list[tuple[Class, Origin, Exception]] = []
        """Classes of which an object could not be made, and why."""
        self.passed_over: list[tuple[ast.stmt, Unknown]] = []
        """Statements that are not read, and why."""

    # -------------------------------------------------------------------------------------- bounds

    def step(self, node: ast.AST) -> None:
        self.steps += 1
        if self.steps > self.limit:
            raise TooMuch(f"the code takes more than {self.limit:,} steps", self.piece.at(node))

    def _take(self, length: int, node: ast.AST) -> None:
        """Counts what is made, which nobody may keep too much of."""
        self.made_so_far += length
        if self.made_so_far > MAX_MADE:
            raise TooMuch("texts and lists are too long together", self.piece.at(node))

    def sized(self, value: Any, node: ast.AST) -> Any:
        """The value, unless it is too large to continue with."""
        match value:
            case bool():
                return value
            case int() if value.bit_length() > MAX_BITS:
                raise TooMuch("a number is too large", self.piece.at(node))
            case str() | list() | tuple() | dict() | range() if len(value) > MAX_LENGTH:
                raise TooMuch("a text or a list is too long", self.piece.at(node))
        return value

    # ------------------------------------------------------------------------------ the whole file

    def read(self, tree: ast.Module, piece: Piece) -> None:
        """Statements of a file or of a cell; one that is not understood leaves what it assigns
        unknown.
        """
        self.piece = piece
        self._loosely(tree.body, [self.globals])

    def read_body(
        self, body: Sequence[ast.stmt], scopes: list[dict[str, Any]], piece: Piece
    ) -> int:
        """The same of the body of a function, with the names that it sees; the steps it took."""
        self.piece, self.steps, self.depth, self.most = piece, 0, 0, MAX_STEPS
        self._loosely(body, scopes)
        return self.steps

    def _loosely(self, body: Sequence[ast.stmt], scopes: list[dict[str, Any]]) -> None:
        for statement in body:
            self.limit = min(self.steps + MAX_STEPS // 10, self.most)
            piece = self.piece
            try:
                if isinstance(statement, ast.If):
                    self._check_is_known(statement, scopes)
                if isinstance(statement, ast.While | ast.Try | ast.With):
                    self._loosely(statement.body, scopes)
                else:
                    self.run([statement], scopes)
            except (_Return, _Break, _Continue):
                pass
            except (Unsupported, SpecError, RecursionError) as error:
                self.piece = piece
                self._forget(statement, error, scopes)
            finally:
                self.piece, self.depth = piece, 0

    def _check_is_known(self, statement: ast.If, scopes: list[dict[str, Any]]) -> None:
        if isinstance(value := self.value(statement.test, scopes), Unknown):
            message = f"a condition that is not known: {value.why}"
            raise Unsupported(message, self.piece.at(statement))

    def _forget(self, statement: ast.stmt, error: Exception, scopes: list[dict[str, Any]]) -> None:
        """Whatever a statement that is passed over assigns, or changes, is not known from here."""
        why = str(error) if not isinstance(error, RecursionError) else _TOO_DEEP
        place = getattr(error, "place", "") or self.piece.at(statement)
        if isinstance(error, SpecError):
            place = error.problems[0].origin or place
        unknown = Unknown(why, place)
        self.passed_over.append((statement, unknown))
        scope = scopes[-1]
        for node in ast.walk(statement):
            match node:
                case ast.Name(id=name, ctx=ast.Store()):
                    scope[name] = unknown
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    scope.setdefault(name, unknown)
                case (
                    ast.Attribute(value=owner, ctx=ast.Store())
                    | ast.Subscript(value=owner, ctx=ast.Store())
                    | ast.Call(func=ast.Attribute(value=owner, attr="append" | "extend" | "insert"
                               | "add" | "add_module" | "pop" | "update"))
                ):  # fmt: skip
                    self._lose(self._held_by(owner, scopes), node, unknown)

    def _held_by(self, node: ast.expr, scopes: list[dict[str, Any]]) -> Any:
        """What a name, or an attribute or an item of one, holds; None for all else."""
        match node:
            case ast.Name(id=name):
                return next((it[name] for it in reversed(scopes) if name in it), None)
            case ast.Attribute(value=owner) | ast.Subscript(value=owner, slice=ast.Constant()):
                if self._held_by(owner, scopes) is not None:
                    with contextlib.suppress(Unsupported, SpecError):
                        return self.value(node, scopes)
        return None

    def _lose(self, receiver: Any, node: ast.AST, unknown: Unknown) -> None:
        match receiver, node:
            case Instance(), ast.Attribute(attr=name):
                receiver.attributes[name] = unknown
            case list(), _:
                receiver[:] = [unknown]
            case dict(), ast.Subscript(slice=ast.Constant(value=str(key))):
                receiver[key] = unknown
            case dict(), _:
                receiver |= dict.fromkeys([*receiver, "…"], unknown)
            case _:
                self.library.lose(receiver, unknown)

    # ---------------------------------------------------------------------------------- statements

    def run(self, body: Sequence[ast.stmt], scopes: list[dict[str, Any]]) -> None:
        for statement in body:
            self.step(statement)
            self._statement(statement, scopes)

    def _statement(self, node: ast.stmt, scopes: list[dict[str, Any]]) -> None:
        match node:
            case ast.Expr(value=value):
                self.value(value, scopes)
            case ast.Assign(targets=targets, value=value):
                result = self.value(value, scopes)
                for target in targets:
                    self.assign(target, result, scopes)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    self.assign(target, self.value(value, scopes), scopes)
            case ast.AugAssign(target=target, op=op, value=value):
                before = self.value(_loaded(target), scopes)
                after = self._binary(op, before, self.value(value, scopes), node)
                self.assign(target, after, scopes)
            case ast.Return(value=value):
                raise _Return(None if value is None else self.value(value, scopes))
            case ast.If(test=test, body=body, orelse=other):
                self.run(body if self.truth(test, scopes) else other, scopes)
            case ast.For(target=target, iter=iterable, body=body, orelse=other):
                if self._for(target, iterable, body, scopes):
                    self.run(other, scopes)
            case ast.While(test=test, body=body, orelse=other):
                while self.truth(test, scopes):
                    self.step(node)
                    try:
                        self.run(body, scopes)
                    except _Break:
                        break
                    except _Continue:
                        continue
                else:
                    self.run(other, scopes)
            case ast.FunctionDef(name=name):
                scopes[-1][name] = self._function(node, scopes)
            case ast.ClassDef(name=name):
                scopes[-1][name] = self._class(node, scopes)
            case ast.Import(names=names):
                for alias in names:
                    module = alias.name if alias.asname else alias.name.split(".")[0]
                    scopes[-1][alias.asname or module] = Dotted(module)
            case ast.ImportFrom(module=module, names=names):
                self._import_from(module or "", names, scopes)
            case ast.With(body=body):
                self.run(body, scopes)
            case ast.Pass() | ast.Assert() | ast.Global() | ast.Nonlocal() | ast.Delete():
                pass
            case ast.Break():
                raise _Break
            case ast.Continue():
                raise _Continue
            case _:
                word = type(node).__name__.lower()
                raise Unsupported(f"the statement `{word}` is not read here", self.piece.at(node))

    def _import_from(
        self, module: str, names: Sequence[ast.alias], scopes: list[dict[str, Any]]
    ) -> None:
        for alias in names:
            if alias.name == "*":
                self.stars.append(module)
            else:
                scopes[-1][alias.asname or alias.name] = Dotted(f"{module}.{alias.name}")

    def _for(
        self,
        target: ast.expr,
        iterable: ast.expr,
        body: Sequence[ast.stmt],
        scopes: list[dict[str, Any]],
    ) -> bool:
        """Whether the loop came to its end: no `break` left it."""
        for item in self.iterated(self.value(iterable, scopes), iterable):
            self.step(iterable)
            self.assign(target, item, scopes)
            try:
                self.run(body, scopes)
            except _Break:
                return False
            except _Continue:
                continue
        return True

    def _function(
        self, node: ast.FunctionDef | ast.Lambda, scopes: list[dict[str, Any]]
    ) -> Function:
        defaults = [self.value(it, scopes) for it in node.args.defaults]
        keyword = [None if it is None else self.value(it, scopes) for it in node.args.kw_defaults]
        return Function(node, list(scopes), self.piece, defaults, keyword)

    def _class(self, node: ast.ClassDef, scopes: list[dict[str, Any]]) -> Class:
        bases = [self.value(it, scopes) for it in node.bases]
        made = Class(node.name, bases, {}, self.piece.at(node))
        made.order()  # which is refused here, where there are too many
        self.run(node.body, [*scopes, made.members])
        for member in made.members.values():
            if isinstance(member, Function):
                member.owner = made
                member.scopes = list(scopes)  # a method does not see the names of its class
        return made

    def assign(self, target: ast.expr, value: Any, scopes: list[dict[str, Any]]) -> None:
        match target:
            case ast.Name(id=name):
                scopes[-1][name] = value
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                try:
                    values = list(self.iterated(value, target))
                except TooMuch:
                    raise
                except Unsupported as error:  # the parts of what is not known are not, either
                    values = [Unknown(str(error), self.piece.at(target))] * len(parts)
                if len(values) != len(parts) or any(isinstance(it, ast.Starred) for it in parts):
                    raise Unsupported("an assignment to several names", self.piece.at(target))
                for part, item in zip(parts, values, strict=True):
                    self.assign(part, item, scopes)
            case ast.Attribute(value=owner, attr=name):
                receiver = self.value(owner, scopes)
                if isinstance(receiver, Unknown | Method):  # such as `weight.requires_grad`
                    return
                if not isinstance(receiver, Instance):
                    raise Unsupported("an attribute of this is set", self.piece.at(target))
                receiver.attributes[name] = value
            case ast.Subscript(value=owner, slice=key):
                receiver, index = self.value(owner, scopes), self.value(key, scopes)
                if not isinstance(receiver, list | dict):
                    raise Unsupported("an item of this is set", self.piece.at(target))
                try:
                    receiver[index] = value
                except (TypeError, IndexError, KeyError) as error:
                    raise Unsupported(str(error), self.piece.at(target)) from None
                self.sized(receiver, target)
            case _:
                raise Unsupported("an assignment of this kind", self.piece.at(target))

    # --------------------------------------------------------------------------------- expressions

    def truth(self, node: ast.expr, scopes: list[dict[str, Any]]) -> bool:
        value = self.value(node, scopes)
        if isinstance(value, Unknown):
            raise Unsupported(f"a condition that is not known: {value.why}", self.piece.at(node))
        if value is None or isinstance(value, PLAIN):
            return bool(value)
        items = self.library.items(value)
        return True if items is None else bool(items)

    def value(self, node: ast.expr, scopes: list[dict[str, Any]]) -> Any:
        self.step(node)
        self.depth += 1
        try:
            if self.depth > MAX_DEPTH * 8:
                raise TooMuch(_TOO_DEEP, self.piece.at(node))
            result = self.sized(self._value(node, scopes), node)
            if isinstance(result, str | list | tuple | dict) and not isinstance(node, ast.Name):
                self._take(len(result), node)
            return result
        finally:
            self.depth -= 1

    def _value(self, node: ast.expr, scopes: list[dict[str, Any]]) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._name(name, scopes, node)
            case ast.Attribute(value=owner, attr=name):
                return self.attribute(self.value(owner, scopes), name, node)
            case ast.Call():
                return self._call(node, scopes)
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self.value(left, scopes), self.value(right, scopes), node)
            case ast.UnaryOp(op=op, operand=operand):
                return self._unary(op, self.value(operand, scopes), node)
            case ast.BoolOp(op=op, values=values):
                result: Any = None
                for each in values:
                    result = self.value(each, scopes)
                    if isinstance(result, Unknown):
                        return result
                    if bool(result) is isinstance(op, ast.Or):
                        return result
                return result
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare(left, ops, others, scopes, node)
            case ast.IfExp(test=test, body=body, orelse=other):
                decided = self.value(test, scopes)
                if isinstance(decided, Unknown):
                    return decided
                return self.value(body if self.truth(test, scopes) else other, scopes)
            case ast.List(elts=parts):
                return self._parts(parts, scopes)
            case ast.Tuple(elts=parts):
                return tuple(self._parts(parts, scopes))
            case ast.Set(elts=parts):
                return self._parts(parts, scopes)
            case ast.Dict(keys=keys, values=values):
                return self._dict(keys, values, scopes, node)
            case ast.Subscript(value=owner, slice=key):
                return self._item(self.value(owner, scopes), key, scopes, node)
            case (
                ast.ListComp(elt=elt, generators=loops)
                | ast.GeneratorExp(elt=elt, generators=loops)
            ):
                return [self.value(elt, inner) for inner in self._loops(loops, scopes)]
            case ast.DictComp(key=key, value=value, generators=loops):
                return {
                    self.hashable(self.value(key, inner), node): self.value(value, inner)
                    for inner in self._loops(loops, scopes)
                }
            case ast.Lambda():
                return self._function(node, scopes)
            case ast.JoinedStr(values=values):
                return "".join(str(self._text(it, scopes))[:MAX_LENGTH] for it in values)
            case ast.NamedExpr(target=target, value=value):
                result = self.value(value, scopes)
                self.assign(target, result, scopes)
                return result
            case _:
                word = type(node).__name__
                raise Unsupported(f"an expression of the kind {word}", self.piece.at(node))

    def _text(self, node: ast.expr, scopes: list[dict[str, Any]]) -> Any:
        if isinstance(node, ast.FormattedValue):
            value = self.value(node.value, scopes)
            return value if isinstance(value, str | int | float) else "…"
        return self.value(node, scopes)

    def _name(self, name: str, scopes: list[dict[str, Any]], node: ast.expr) -> Any:
        for scope in reversed(scopes):
            if name in scope:
                return scope[name]
        if name in self.globals:
            return self.globals[name]
        if name in FUNCTIONS:
            return Dotted(f"builtins.{name}")
        for module in reversed(self.stars):
            if self.library.star(module, name):
                return Dotted(f"{module}.{name}")
        return Unknown(f"the name {name} is not known", self.piece.at(node))

    def _parts(self, nodes: Sequence[ast.expr], scopes: list[dict[str, Any]]) -> list[Any]:
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                found += self.iterated(self.value(node.value, scopes), node)
            else:
                found.append(self.value(node, scopes))
            self.sized(found, node)
        return found

    def _dict(
        self,
        keys: Sequence[ast.expr | None],
        values: Sequence[ast.expr],
        scopes: list[dict[str, Any]],
        node: ast.expr,
    ) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, value in zip(keys, values, strict=True):
            if key is None:
                inner = self.value(value, scopes)
                if not isinstance(inner, dict):
                    raise Unsupported("`**` of something else than a dict", self.piece.at(node))
                found.update(inner)
            else:
                found[self.hashable(self.value(key, scopes), node)] = self.value(value, scopes)
        return found

    def hashable(self, value: Any, node: ast.AST) -> Any:
        try:
            hash(value)
        except (TypeError, RecursionError):
            raise Unsupported("a key of this kind", self.piece.at(node)) from None
        return value

    def _loops(
        self, loops: Sequence[ast.comprehension], scopes: list[dict[str, Any]]
    ) -> Iterator[list[dict[str, Any]]]:
        if not loops:
            yield scopes
            return
        first, *rest = loops
        for item in self.iterated(self.value(first.iter, scopes), first.iter):
            self.step(first.iter)
            inner = [*scopes, {}]
            self.assign(first.target, item, inner)
            if all(self.truth(test, inner) for test in first.ifs):
                yield from self._loops(rest, inner)

    def iterated(self, value: Any, node: ast.AST) -> list[Any]:
        """The items of a value that can be gone through."""
        match value:
            case list() | tuple() | range():
                if len(value) > MAX_LENGTH:
                    raise TooMuch("a loop is too long", self.piece.at(node))
                return list(value)
            case dict() | str():
                return list(value)
        if (items := self.library.items(value)) is not None:
            return items
        why = f": {value.why}" if isinstance(value, Unknown) else ""
        raise Unsupported(f"a loop over something that is not known{why}", self.piece.at(node))

    def _item(
        self, receiver: Any, key: ast.expr, scopes: list[dict[str, Any]], node: ast.expr
    ) -> Any:
        if isinstance(receiver, Unknown):
            return receiver
        if isinstance(key, ast.Slice):
            parts = [
                None if it is None else self.value(it, scopes)
                for it in (key.lower, key.upper, key.step)
            ]
            if (unknown := next((it for it in parts if isinstance(it, Unknown)), None)) is not None:
                return unknown
            if not all(it is None or isinstance(it, int) for it in parts) or parts[2] == 0:
                raise Unsupported("an item that is not there", self.piece.at(node))
            index: Any = slice(*parts)
        else:
            index = self.value(key, scopes)
        if isinstance(receiver, list | tuple | str | dict | range):
            try:
                return receiver[index]
            except (TypeError, IndexError, KeyError, ValueError):
                raise Unsupported("an item that is not there", self.piece.at(node)) from None
        return self.library.item(receiver, index, self.piece.at(node))

    def _compare(
        self,
        left: ast.expr,
        ops: Sequence[ast.cmpop],
        others: Sequence[ast.expr],
        scopes: list[dict[str, Any]],
        node: ast.expr,
    ) -> Any:
        before = self.value(left, scopes)
        for op, other in zip(ops, others, strict=True):
            after = self.value(other, scopes)
            is_identity = isinstance(op, ast.Is | ast.IsNot)
            if isinstance(before, Unknown) or isinstance(after, Unknown):
                return before if isinstance(before, Unknown) else after
            if not is_identity and not (isinstance(before, PLAIN) and isinstance(after, PLAIN)):
                return Unknown("a comparison of this kind", self.piece.at(node))
            try:
                if not COMPARE[type(op)](before, after):
                    return False
            except (TypeError, RecursionError):
                return Unknown("a comparison of this kind", self.piece.at(node))
            before = after
        return True

    def _unary(self, op: ast.unaryop, value: Any, node: ast.AST) -> Any:
        if isinstance(value, Unknown):
            return value
        match op, value:
            case ast.USub(), int() | float():
                return -value
            case ast.UAdd(), int() | float():
                return value
            case ast.Not(), _ if isinstance(value, PLAIN):
                return not value
        raise Unsupported("an operation of this kind", self.piece.at(node))

    def _binary(self, op: ast.operator, left: Any, right: Any, node: ast.AST) -> Any:
        for value in (left, right):
            if isinstance(value, Unknown):
                return value
        if type(op) not in SIGNS:
            raise Unsupported("an operation of this kind", self.piece.at(node))
        if not (isinstance(left, PLAIN) and isinstance(right, PLAIN)):
            return self.library.combine(SIGNS[type(op)], left, right, self.piece.at(node))
        if isinstance(op, ast.Mod) and isinstance(left, str):
            return Unknown("a text with values in it", self.piece.at(node))
        return self.sized(self._placed(lambda: computed(op, left, right), node), node)

    # --------------------------------------------------------------------------------------- calls

    def attribute(self, receiver: Any, name: str, node: ast.AST) -> Any:
        place = self.piece.at(node)
        match receiver:
            case Unknown():
                return receiver
            case Dotted(name=module):
                return Dotted(f"{module}.{name}")
            case Super():
                return self._from_above(receiver, name)
            case Instance():
                if name in receiver.attributes:
                    return receiver.attributes[name]
                if (member := receiver.cls.member(name)) is not MISSING:
                    return Bound(member, receiver) if isinstance(member, Function) else member
                if name == "__class__":
                    return receiver.cls
                return self.library.attribute(receiver, name, place)
            case Class():
                if (member := receiver.member(name)) is not MISSING:
                    return member
                if name == "__name__":
                    return receiver.name
                return Method(receiver, name)
            case list() | dict() | str() | tuple() | int() | float():
                return Method(receiver, name)
        return self.library.attribute(receiver, name, place)

    def _from_above(self, above: Super, name: str) -> Any:
        order = above.receiver.cls.order()
        start = order.index(above.above) + 1 if above.above in order else 0
        if (member := member_of(order[start:], name)) is not MISSING:
            return Bound(member, above.receiver) if isinstance(member, Function) else member
        return Method(above, name)

    def _call(self, node: ast.Call, scopes: list[dict[str, Any]]) -> Any:
        called = self.value(node.func, scopes)
        if called == Dotted("builtins.super"):
            return self._super(node, scopes)
        arguments = self._parts(node.args, scopes)
        keywords: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value, scopes)
            if keyword.arg is None:
                if not isinstance(value, dict) or not all(isinstance(it, str) for it in value):
                    if isinstance(value, Unknown):
                        continue
                    raise Unsupported("`**` of something else than a dict", self.piece.at(node))
                keywords.update(value)
            else:
                keywords[keyword.arg] = value
        return self.call(called, arguments, keywords, node)

    def _local(self, scopes: list[dict[str, Any]], name: str) -> Any:
        return next((it[name] for it in reversed(scopes) if name in it), None)

    def _super(self, node: ast.Call, scopes: list[dict[str, Any]]) -> Any:
        function: Any = self._local(scopes, "__function__")
        owner = getattr(function, "owner", None)
        if len(node.args) == 2:
            given = self.value(node.args[0], scopes)
            owner = given if isinstance(given, Class) else owner
        receiver = self._local(scopes, "__self__")
        if not isinstance(receiver, Instance) or owner is None:
            raise Unsupported("`super()` outside of a method", self.piece.at(node))
        return Super(receiver, owner)

    def call(
        self, called: Any, arguments: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        """A call of anything."""
        place = self.piece.at(node)
        match called:
            case Unknown():
                if (made := self.library.not_known(called.why, arguments, place)) is not None:
                    return made
                return next((it for it in arguments if isinstance(it, Unknown)), called)
            case Function():
                return self.call_function(called, arguments, keywords, node)
            case Bound(function=function, receiver=receiver):
                return self.call_function(function, [receiver, *arguments], keywords, node)
            case Class():
                return self.make(called, arguments, keywords, node)
            case Instance():
                if (known := self.library.known(called, arguments, place)) is not None:
                    return known
                for cls in called.cls.order():
                    for name in ("forward", "call", "__call__"):
                        if isinstance(cls, Class) and name in cls.members:
                            bound = Bound(cls.members[name], called)
                            return self.call(bound, arguments, keywords, node)
                return self.library.invoke(called, arguments, keywords, place)
            case Dotted(name=name) if name.startswith("builtins."):
                return self._function_of_python(
                    name.removeprefix("builtins."), arguments, keywords, node
                )
            case Dotted(name=name):
                return self.library.call(name, arguments, keywords, place)
            case Method(receiver=list() | dict() | str() | tuple() | int() | float()):
                return self._method_of_python(called, arguments, node)
            case Method(receiver=receiver, name=name):
                return self.library.method(receiver, name, arguments, keywords, place)
        return self.library.invoke(called, arguments, keywords, place)

    def make(
        self, cls: Class, arguments: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Instance:
        """An object of a class of the source."""
        made, place = Instance(cls), self.piece.at(node)
        start = self.attribute(made, "__init__", node)
        if isinstance(start, Bound):
            try:
                self.call(start, arguments, keywords, node)
            except (Unsupported, SpecError, RecursionError) as error:
                self.failed.append((cls, place, error))
                raise
        self.made.append((made, place))
        return made

    def call_function(
        self, function: Function, arguments: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        """A function of the source, read with these arguments."""
        self.step(node)
        place = self.piece.at(node)
        if self.depth > MAX_DEPTH * 7:
            raise TooMuch("calls are nested too deep", place)
        local = function.bind(arguments, dict(keywords), place)
        local["__function__"] = function
        if arguments and function.owner is not None:
            local["__self__"] = arguments[0]
        scopes = [*function.scopes, local]
        piece, self.piece = self.piece, function.piece
        self.depth += 7
        try:
            if isinstance(function.node, ast.Lambda):
                return self.value(function.node.body, scopes)
            self.run(function.node.body, scopes)
        except _Return as returned:
            return returned.value
        finally:
            self.piece = piece
            self.depth -= 7
        return None

    def _function_of_python(
        self, name: str, arguments: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        if any(isinstance(it, Unknown) for it in arguments) and name != "print":
            return next(it for it in arguments if isinstance(it, Unknown))
        if function := FUNCTIONS.get(name):
            try:
                return self._placed(lambda: function(self, arguments, keywords, node), node)
            except NotThese:
                pass
        raise Unsupported(f"the function {name} with these arguments", self.piece.at(node))

    def _method_of_python(self, method: Method, arguments: list[Any], node: ast.AST) -> Any:
        receiver, known = method.receiver, METHODS.get(method.name)
        if known is not None and isinstance(receiver, known[0]):
            try:
                result = self._placed(lambda: known[1](self, receiver, arguments, node), node)
                self.sized(receiver, node)
                return result
            except NotThese:
                pass
        message = f"the method {method.name} of a {type(receiver).__name__}"
        raise Unsupported(message, self.piece.at(node))

    def _placed(self, compute: Callable[[], Any], node: ast.AST) -> Any:
        """A value of Python; what is refused on the way gets the place of a node."""
        try:
            return compute()
        except Unsupported as error:
            error.place = error.place or self.piece.at(node)
            raise


def _loaded(target: ast.Name | ast.Attribute | ast.Subscript) -> ast.expr:
    """The target of `x += 1` as an expression that is read."""
    loaded = copy.copy(target)
    loaded.ctx = ast.Load()
    return loaded

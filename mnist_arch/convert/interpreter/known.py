"""What the interpreter knows of Python: operators, functions and methods, each in a table.

A function or a method is given the values it is called with. It raises `NotThese` where it does not
know what to do with them, and `Unsupported` where it knows that it fails.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from mnist_arch.convert.interpreter.values import (
    MISSING,
    Dotted,
    Instance,
    Piece,
    TooMuch,
    Unknown,
    Unsupported,
)

MAX_LENGTH: Final = 10_000
"""Of a list, a text, a range."""

PLAIN: Final = (int, float, str, bool, type(None), tuple, list, dict, range)
"""Values of Python itself."""


class NotThese(Exception):
    """A function or a method that is known, and not with these values."""


class Reader(Protocol):
    """What functions and methods ask of the interpreter."""

    piece: Piece

    def iterated(self, value: Any, node: ast.AST) -> list[Any]: ...

    def attribute(self, receiver: Any, name: str, node: ast.AST) -> Any: ...

    def hashable(self, value: Any, node: ast.AST) -> Any: ...

    def call(
        self, called: Any, arguments: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any: ...


# ----------------------------------------------------------------------------------- operators

_BINARY: Final[dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.Pow: ("**", operator.pow),
    ast.MatMult: ("@", operator.matmul),
}
SIGNS: Final = {kind: sign for kind, (sign, _) in _BINARY.items()}
"""How the operators that are known are written."""
COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


def computed(op: ast.operator, left: Any, right: Any) -> Any:
    """An operation of plain values; refused before it takes long or becomes large."""
    sign, compute = _BINARY[type(op)]
    match sign, left, right:
        case "**", _, _ if not (
            isinstance(right, int | float) and abs(right) <= 64 and _is_small(left)
        ):
            raise TooMuch("a power is too large")
        case ("*", str() | list() | tuple() as row, int() as times) | (
            "*",
            int() as times,
            str() | list() | tuple() as row,
        ) if len(row) * max(times, 0) > MAX_LENGTH:
            raise TooMuch("a text or a list is too long")
        case "@", _, _:
            raise Unsupported("a matrix product")
    try:
        return compute(left, right)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Unsupported(f"an operation that fails: {error}") from None


def _is_small(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= 1 << 20)


# ----------------------------------------------------------------------------------- functions

Builtin = Callable[[Reader, list[Any], Mapping[str, Any], ast.AST], Any]


def _print(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> None:
    return None


def _no_values(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> Any:
    raise NotThese


def _range(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> range:
    if not given or not all(isinstance(it, int) for it in given):
        raise NotThese
    if len(given) > 3 or (len(given) == 3 and given[2] == 0):
        raise Unsupported("a range of this kind")
    if any(abs(it) > 1 << 62 for it in given):
        raise TooMuch("a range is too long")
    return range(*given)


def _len(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> int:
    match given:
        case [value]:
            return len(reader.iterated(value, node))
    raise NotThese


def _row(kind: Callable[[list[Any]], Any]) -> Builtin:
    """`list`, `tuple` or `set`."""

    def made(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> Any:
        match given:
            case []:
                return kind([])
            case [value]:
                return kind(reader.iterated(value, node))
        raise NotThese

    return made


def _dict(
    reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST
) -> dict[Any, Any]:
    match given:
        case []:
            return dict(keywords)
        case [dict() as value]:
            return {**value, **keywords}
    raise NotThese


def _zip(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> list[Any]:
    return [*map(tuple, zip(*(reader.iterated(it, node) for it in given), strict=False))]


def _enumerate(
    reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST
) -> list[Any]:
    match given:
        case [value, *rest]:
            start = rest[0] if rest else keywords.get("start", 0)
            if isinstance(start, int):
                return [*enumerate(reader.iterated(value, node), start)]
    raise NotThese


def _reversed(
    reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST
) -> list[Any]:
    match given:
        case [value]:
            return reader.iterated(value, node)[::-1]
    raise NotThese


def _map(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> list[Any]:
    match given:
        case [function, value]:
            return [reader.call(function, [it], {}, node) for it in reader.iterated(value, node)]
    raise NotThese


def _of_numbers(compute: Callable[[list[Any]], Any]) -> Builtin:
    """What Python computes from a row of numbers, or from numbers one by one."""

    def made(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> Any:
        values = reader.iterated(given[0], node) if len(given) == 1 else given
        if keywords or not values or not all(isinstance(it, int | float) for it in values):
            raise NotThese
        return compute(values)

    return made


def _converted(name: str, convert: Callable[[Any], Any]) -> Builtin:
    """What Python makes of one number or text."""

    def made(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> Any:
        match given:
            case [str() as value, *_] if name == "int" and len(value) > 40:
                raise TooMuch("a number is too large")
            case [int() | float() | str() as value, *digits] if not keywords and (
                not digits or name == "round"
            ):
                try:
                    return convert(value, *digits)
                except (TypeError, ValueError, ArithmeticError) as error:
                    raise Unsupported(f"{name}() fails: {error}") from None
        raise NotThese

    return made


def _setattr(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> None:
    match given:
        case [Instance() as receiver, str() as attribute, value]:
            receiver.attributes[attribute] = value
        case _:
            raise NotThese


def _getattr(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> Any:
    match given:
        case [receiver, str() as attribute, *_]:
            return reader.attribute(receiver, attribute, node)
    raise NotThese


def _hasattr(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> bool:
    match given:
        case [Instance() as receiver, str() as attribute]:
            is_of_class = receiver.cls.member(attribute) is not MISSING
            return attribute in receiver.attributes or is_of_class
    raise NotThese


def _isinstance(
    reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST
) -> Any:
    match given:
        case [value, kind]:
            kinds = kind if isinstance(kind, tuple) else (kind,)
            if all(it in _KINDS for it in kinds):
                return isinstance(value, tuple(_KINDS[it] for it in kinds))
            return Unknown("a question after a class", reader.piece.at(node))
    raise NotThese


_KINDS: Final[dict[Any, type]] = {
    Dotted(f"builtins.{kind.__name__}"): kind for kind in (int, float, str, list, tuple, dict)
}


def _type(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> Any:
    match given:
        case [Instance() as receiver]:
            return receiver.cls
    raise NotThese


def _object(reader: Reader, given: list[Any], keywords: Mapping[str, Any], node: ast.AST) -> Any:
    if given:
        raise NotThese
    return Unknown("an object of no class", reader.piece.at(node))


FUNCTIONS: Final[dict[str, Builtin]] = {
    "print": _print,
    "range": _range,
    "len": _len,
    "list": _row(list),
    "set": _row(list),
    "tuple": _row(tuple),
    "dict": _dict,
    "zip": _zip,
    "enumerate": _enumerate,
    "reversed": _reversed,
    "map": _map,
    "sum": _of_numbers(sum),
    "min": _of_numbers(min),
    "max": _of_numbers(max),
    "sorted": _of_numbers(sorted),
    "any": _of_numbers(any),
    "all": _of_numbers(all),
    "int": _converted("int", int),
    "float": _converted("float", float),
    "str": _converted("str", str),
    "bool": _converted("bool", bool),
    "abs": _converted("abs", abs),
    "round": _converted("round", round),
    "setattr": _setattr,
    "getattr": _getattr,
    "hasattr": _hasattr,
    "isinstance": _isinstance,
    "type": _type,
    "object": _object,
    "super": _no_values,  # read where a method calls it
    "vars": _no_values,
}
"""Functions of Python, by name."""

MATH: Final[dict[str, Callable[..., Any]]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "prod": math.prod,
}
"""Functions of the module `math`, by name."""


# ------------------------------------------------------------------------------------- methods

PlainMethod = Callable[[Reader, Any, list[Any], ast.AST], Any]


def _append(reader: Reader, row: Any, given: list[Any], node: ast.AST) -> None:
    match given:
        case [value]:
            row.append(value)
        case _:
            raise NotThese


def _extend(reader: Reader, row: Any, given: list[Any], node: ast.AST) -> None:
    match given:
        case [value]:
            row.extend(reader.iterated(value, node))
        case _:
            raise NotThese


def _insert(reader: Reader, row: Any, given: list[Any], node: ast.AST) -> None:
    match given:
        case [int() as index, value]:
            row.insert(index, value)
        case _:
            raise NotThese


def _pop(reader: Reader, row: Any, given: list[Any], node: ast.AST) -> Any:
    index = given[0] if given and isinstance(given[0], int) else -1
    if not -len(row) <= index < len(row):
        raise Unsupported("an item that is not there")
    return row.pop(index)


def _of_no_values(compute: Callable[[Any], Any]) -> PlainMethod:
    def made(reader: Reader, receiver: Any, given: list[Any], node: ast.AST) -> Any:
        if given:
            raise NotThese
        return compute(receiver)

    return made


def _get(reader: Reader, known: Any, given: list[Any], node: ast.AST) -> Any:
    match given:
        case [key, *rest]:
            return known.get(reader.hashable(key, node), rest[0] if rest else None)
    raise NotThese


def _update(reader: Reader, known: Any, given: list[Any], node: ast.AST) -> None:
    match given:
        case [dict() as more]:
            known.update(more)
        case _:
            raise NotThese


def _format(reader: Reader, text: Any, given: list[Any], node: ast.AST) -> Unknown:
    return Unknown("a text with values in it", reader.piece.at(node))


def _join(reader: Reader, text: Any, given: list[Any], node: ast.AST) -> str:
    match given:
        case [value]:
            parts = reader.iterated(value, node)
            if not all(isinstance(it, str) for it in parts):
                raise Unsupported("a text of other things")
            if sum(map(len, parts)) > MAX_LENGTH:
                raise TooMuch("a text is too long")
            return str(text.join(parts))
    raise NotThese


METHODS: Final[dict[str, tuple[type, PlainMethod]]] = {
    "append": (list, _append),
    "extend": (list, _extend),
    "insert": (list, _insert),
    "pop": (list, _pop),
    "items": (dict, _of_no_values(lambda known: list(known.items()))),
    "keys": (dict, _of_no_values(list)),
    "values": (dict, _of_no_values(lambda known: list(known.values()))),
    "get": (dict, _get),
    "update": (dict, _update),
    "lower": (str, _of_no_values(str.lower)),
    "upper": (str, _of_no_values(str.upper)),
    "strip": (str, _of_no_values(str.strip)),
    "format": (str, _format),
    "join": (str, _join),
}
"""Methods of lists, dicts and texts, by name."""

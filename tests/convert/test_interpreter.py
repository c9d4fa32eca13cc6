"""What the interpreter knows of Python it reads as Python does; the rest it names with its line."""

from __future__ import annotations

import ast
import sys
from typing import Any

import pytest

from mnist_arch.convert.interpreter.values import Piece, Unknown
from mnist_arch.convert.libraries import Libraries


def read(code: str) -> dict[str, Any]:
    """What the names of some code hold after it is read."""
    interpreter = Libraries().interpreter
    interpreter.read(ast.parse(code), Piece("it.py", 1, tuple(code.splitlines())))
    return interpreter.globals


AS_PYTHON = [
    # assignments
    "x, (y, z) = 1, (2, 3)\nx = [x, y, z]",
    "a = [1, 2]\na[0] = 5\nx = a",
    "a = {}\na['k'] = 1\na['k'] += 2\nx = a",
    "a = [1]\na[0] += 2\nx = a",
    "x: int = 3",
    "x = 1\nx -= 3",
    "x = (y := 4) + y",
    "class A:\n    n = 1\na = A()\na.n += 2\nx = a.n",
    # statements
    "x = 0\nfor i in range(9):\n    if i == 2:\n        continue\n    if i == 5:\n        break\n"
    "    x += i",
    "x = 0\nfor i in range(3):\n    x += i\nelse:\n    x += 10",
    "def f():\n    n = 0\n    while True:\n        n += 1\n        if n == 2:\n"
    "            continue\n        if n > 4:\n            break\n    return n\nx = f()",
    "x = 0\nfor i in range(3):\n    x += i\n    break\nelse:\n    x += 10",
    "def f(n):\n    while n < 3:\n        n += 1\n        if n == 2:\n            break\n"
    "    else:\n        return -n\n    return n\nx = [f(0), f(2)]",
    "def f():\n    with open:\n        return 3\n    pass\nx = 3",
    "def f(a):\n    assert a\n    global g\n    return\nx = f(1)",
    "import math as m\nx = m.floor(2.7) + m.ceil(2.2) + m.sqrt(4) + m.prod([2, 3])",
    # functions
    "def f(a, b=2, *rest, c=3, **more):\n    return [a, b, rest, c, more]\n"
    "x = f(1, 5, 6, c=7, d=8)",
    "def f(a, b=2, *rest, c=3, **more):\n    return [a, b, rest, c, more]\nx = f(1)",
    "def f(*, a):\n    return a\nx = f(**{'a': 2})",
    "f = lambda a, b=2: a * b\nx = f(3)",
    "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nx = f(5)",
    "a = [1, 2]\nx = max(*a, 7)",
    # classes
    "class A:\n    def f(self):\n        return 1\nclass B(A):\n    def f(self):\n"
    "        return super().f() + super(B, self).f()\nx = B().f()",
    "class A:\n    size = 4\n    def __init__(self):\n        self.n = self.size\n"
    "class B(A):\n    pass\nx = [B().n, B.size, B.__name__]",
    "class A:\n    k = 1\na = A()\nsetattr(a, 'n', 2)\n"
    "x = [getattr(a, 'n'), hasattr(a, 'n'), hasattr(a, 'm'), hasattr(a, 'k')]",
    "class A:\n    pass\na = A()\nb = type(a)()\nc = a.__class__()\nx = 1",
    "class A:\n    def __call__(self, n):\n        return n + 1\nx = A()(2)",
    # operators
    "x = [7 // 2, 7 % 4, 7 / 2, 2 ** 10, 2 - 3, -2, +2, not 2, not []]",
    "x = [1 < 2 < 3, 1 <= 2 >= 3, 1 != 2, 1 == 1.0, 1 in [1], 1 not in (2,), None is None]",
    "x = [1 and 0, 0 or 3, '' or 'a', 1 and 2 and 3]",
    "x = 1 if [] else 2",
    "class A:\n    pass\nx = 1 if A() else 2",
    "x = (*range(2), 3)\nfor [a, b] in [(1, 2), [3, 4]]:\n    x = a, b",
    "x = [1] * 3 + [2]\ny = 'ab' * 2",
    # values
    "x = {1, 2} == {1} or [*range(3), *'ab', *{'k': 1}]",
    "x = {'a': 1, **{'b': 2}}",
    "x = f'{1} and {2.5} and {\"a\"}'",
    "x = [i * j for i in range(3) if i for j in (1, 2)]",
    "x = {i: i * i for i in range(3)}",
    "x = sum(i for i in [1, 2, 3])",
    "x = [[1, 2, 3][0], (1, 2, 3)[-1], 'abc'[1], {'k': 5}['k'], range(5)[2]]",
    "x = [[1, 2, 3][1:], (1, 2, 3)[::-1], 'abc'[:2]]",
    # functions of Python
    "x = [len([1]), len('ab'), len({'k': 1}), len(range(3))]",
    "x = [*range(3), *range(1, 3), *range(5, 0, -2)]",
    "x = [list(), tuple(), list((1, 2)), tuple([1]), dict(a=1), dict({'b': 2}, c=3)]",
    "x = len(set([1, 2]))",
    "x = list(zip([1, 2], 'ab')) + list(enumerate('ab')) + list(enumerate('a', 3))",
    "x = list(enumerate('a', start=2)) + list(reversed([1, 2]))",
    "x = list(map(lambda n: n + 1, [1, 2]))",
    "x = [sum([1, 2]), min(1, 2), max([1, 2]), any([0, 1]), all([0, 1])] + sorted([2, 1])",
    "x = [int('3'), int(2.7), float('2'), str(3), bool(0), abs(-2), round(2.567, 1), round(2.5)]",
    "x = [isinstance(1, int), isinstance('a', (int, str)), isinstance([], dict)]",
    "x = print('a')",
    # methods
    "x = []\nx.append(1)\nx.extend((2, 3))\nx.insert(0, 9)\nx.append(x.pop())\nx.append(x.pop(0))",
    "a = {'k': 1}\na.update({'m': 2})\nx = [*a.items(), *a.keys(), *a.values(), a.get('q', 3)]",
    "x = ['Ab'.lower(), 'Ab'.upper(), ' a '.strip(), ','.join(['a', 'b']), {}.get('k')]",
]


@pytest.mark.parametrize("code", AS_PYTHON)
def test_what_is_known_is_read_as_python_does_it(code: str) -> None:
    python: dict[str, Any] = {}
    exec(code, python)  # of this test
    assert read(code)["x"] == python["x"]


NAMED = [
    # assignments
    ("x, y = 1, 2, 3", "an assignment to several names"),
    ("x, *y = 1, 2, 3", "an assignment to several names"),
    ("x, y = unheard", "a loop over something that is not known: the name unheard is not known"),
    ("a = 3\na.n = x = 1", "an attribute of this is set"),
    ("a = 'ab'\nx = a[0] = 'c'", "an item of this is set"),
    ("a = [1]\nx = a[5] = 2", "list assignment index out of range"),
    ("a = {}\nx = a[[]] = 2", "unhashable type: 'list'"),
    # statements and expressions
    ("def f():\n    raise ValueError\nx = f()", "the statement `raise` is not read here"),
    ("async def f():\n    pass\nx = f()", "the name f is not known"),
    ("x = [*unheard]", "a loop over something that is not known: the name unheard is not known"),
    ("if unheard:\n    x = 1", "a condition that is not known"),
    ("def f(a):\n    if a:\n        return 1\nx = f(unheard)", "a condition that is not known: "),
    ("x = 1 if unheard else 2", "the name unheard is not known"),
    ("x = unheard and 1", "the name unheard is not known"),
    ("x = unheard < 1", "the name unheard is not known"),
    ("x = -unheard", "the name unheard is not known"),
    ("x = unheard[0].n + 1", "the name unheard is not known"),
    ("async def g():\n    return 1\nx = (yield)", "an expression of the kind Yield"),
    ("x = 1 < 'a'", "a comparison of this kind"),
    ("class A:\n    pass\nx = A() < A()", "a comparison of this kind"),
    ("x = ~1", "an operation of this kind"),
    ("x = 1 << 2", "an operation of this kind"),
    ("x = 1 + 'a'", "an operation that fails: unsupported operand"),
    ("x = 1 / 0", "an operation that fails: division by zero"),
    ("x = 1 @ 2", "a matrix product"),
    ("x = '%d' % 2", "a text with values in it"),
    ("x = '{}'.format(2)", "a text with values in it"),
    ("x = {[]: 1}", "a key of this kind"),
    ("x = {[]: 1 for i in range(2)}", "a key of this kind"),
    ("x = {**[1]}", "`**` of something else than a dict"),
    ("x = print(**[1])", "`**` of something else than a dict"),
    ("x = [1][3]", "an item that is not there"),
    ("x = {'a': 1}['b']", "an item that is not there"),
    ("x = [1, 2][:unheard]", "the name unheard is not known"),
    ("x = [1, 2][::0]", "an item that is not there"),
    ("x = [1, 2]['a':]", "an item that is not there"),
    # what a condition that is not known may change
    *(
        (
            f"class A:\n    pass\na = {made}\nif unheard:\n    {change}\nx = {asked}",
            "a condition that",
        )
        for made, change, asked in (
            ("A()", "a.n = 3", "a.n"),
            ("{'k': 1}", "a['k'] = 2", "a['k']"),
            ("{'k': 1}", "a[unheard] = 2", "a['k']"),
            ("{'k': 1}", "a.update(q=2)", "a['k']"),
            ("[1]", "a.append(3)", "a[0]"),
            ("1", "def a():\n        pass\n    a = 2", "a"),
        )
    ),
    ("*x, = [1, 2]\nx = x", "an assignment to several names"),
    ("x = " + "+".join(["1"] * 2000), "it is nested too deep"),
    ("from unheard import *\nx = b()", "the name b is not known"),
    # calls
    ("def f(a):\n    return a\nx = f(1, 2)", "a call with too many arguments"),
    ("def f(a):\n    return a\nx = f(1, b=2)", "a call with an argument that is not taken: b"),
    ("def f(a):\n    return a\nx = f()", "a call without the argument a"),
    ("x = super()", "`super()` outside of a method"),
    ("x = max(unheard, 2)", "the name unheard is not known"),
    ("x = vars()", "the function vars with these arguments"),
    ("x = range(1, 2, 0)", "a range of this kind"),
    ("x = range('a')", "the function range with these arguments"),
    ("x = len()", "the function len with these arguments"),
    ("x = list(1, 2)", "the function list with these arguments"),
    ("x = dict([1])", "the function dict with these arguments"),
    ("x = enumerate('a', 'b')", "the function enumerate with these arguments"),
    ("x = reversed()", "the function reversed with these arguments"),
    ("x = map(1)", "the function map with these arguments"),
    ("x = sum(['a'])", "the function sum with these arguments"),
    ("x = int('11', 2)", "the function int with these arguments"),
    ("x = round(2.55, ndigits=1)", "the function round with these arguments"),
    ("x = sorted([1, 2], reverse=True)", "the function sorted with these arguments"),
    ("x = round(2.55, 'a')", "round() fails: 'str' object cannot be interpreted"),
    ("x = str(1, 2)", "the function str with these arguments"),
    ("x = int('a')", "int() fails: invalid literal for int()"),
    ("x = setattr(1, 'a', 2)", "the function setattr with these arguments"),
    ("x = getattr(1)", "the function getattr with these arguments"),
    ("x = hasattr(1, 'a')", "the function hasattr with these arguments"),
    ("x = isinstance(1)", "the function isinstance with these arguments"),
    ("class A:\n    pass\nx = isinstance(A(), A)", "a question after a class"),
    ("x = type(1)", "the function type with these arguments"),
    ("x = object()", "an object of no class"),
    ("x = object(1)", "the function object with these arguments"),
    ("x = [].append()", "the method append of a list"),
    ("x = [].extend()", "the method extend of a list"),
    ("x = [].insert('a', 1)", "the method insert of a list"),
    ("x = [].pop()", "an item that is not there"),
    ("x = [1].sort()", "the method sort of a list"),
    ("x = {}.get()", "the method get of a dict"),
    ("x = {}.update([])", "the method update of a dict"),
    ("x = {}.items(1)", "the method items of a dict"),
    ("x = 'a'.join()", "the method join of a str"),
    ("x = 'a'.join([1])", "a text of other things"),
    ("x = (1).bit_length()", "the method bit_length of a int"),
    ("x = f(**unheard)\n", "the name f is not known"),
    ("def f(a=1):\n    return [][a]\nx = f(**unheard)", "an item that is not there"),
    ("class A:\n    pass\nx = A.unheard()", "what unheard gives is not known"),
    # bounds
    ("x = 2 ** 99", "a power is too large"),
    ("x = 2 ** 64 * 2 ** 64 * 2", "a number is too large"),
    ("x = [0] * 10_001", "a text or a list is too long"),
    ("x = 10_001 * 'a'", "a text or a list is too long"),
    ("x = range(1 << 70)", "an operation of this kind"),
    ("x = range(9 ** 20)", "a range is too long"),
    ("x = int('1' * 41)", "a number is too large"),
    ("x = ''.join(['a' * 6_000, 'b' * 6_000])", "a text is too long"),
    ("x = [i for i in range(10_001)]", "a text or a list is too long"),
    ("def f():\n    return f()\nx = f()", "calls are nested too deep"),
    ("x = [['a' * 9_999] for i in range(500)]", "texts and lists are too long together"),
]


@pytest.mark.parametrize(("code", "why"), NAMED)
def test_what_is_not_known_is_named(code: str, why: str) -> None:
    value = read(code)["x"]
    assert isinstance(value, Unknown), value
    assert value.why.startswith(why), value.why
    assert str(value.place).startswith("it.py:"), value


@pytest.mark.parametrize("limit", [1_000, 20_000])
def test_what_is_too_deep_is_told_alike_with_any_limit_of_python(limit: int) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, before))
    try:
        value = read("x = " + "+".join(["1"] * 2000))["x"]
    finally:
        sys.setrecursionlimit(before)
    assert isinstance(value, Unknown)
    assert value.why == "it is nested too deep"

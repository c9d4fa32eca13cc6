"""Which small changes of a module its tests do not see: mutants, drawn by a seed, a process each.

    python tests/support/mutants.py mnist_arch/counting/plan.py tests/counting/test_plan.py

prints line and change of each mutant that lives. A process that has imported torch forks for
each mutant, and the module is compiled from the changed tree there: no file is written.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.machinery
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult},
    **{ast.FloorDiv: ast.Mult, ast.Mod: ast.Add, ast.Pow: ast.Mult, ast.USub: ast.UAdd},
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that may stand in the place of one."""
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.Name(id=name) if name in NAMES:
            yield ast.Name(NAMES[name], node.ctx)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.IfExp() | ast.If() | ast.While():
            other = copy.deepcopy(node)
            other.test = ast.UnaryOp(ast.Not(), other.test)
            yield other
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise():
            yield ast.Pass()
        case ast.Return(value=ast.expr()):
            yield ast.Return(ast.Constant(None))
        case _ if type(node) in SWAPS:
            yield SWAPS[type(node)]()


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, int]]:
    """Where a node hangs, outside annotations: its parent, the field, the index, the line."""
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "type_params", "slice"):
                continue
            for index, child in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(child, ast.AST):
                    line = getattr(child, "lineno", getattr(node, "lineno", 0))
                    yield node, field, index if isinstance(value, list) else None, line


def mutants(path: Path) -> list[tuple[str, CodeType]]:
    """All mutants of a file: the line with the change, and the code."""
    found = []
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    for number, (parent, field, index, line) in enumerate(places(tree)):
        child = getattr(parent, field)
        for new in changed(child if index is None else child[index]):
            other = ast.parse(text)
            there, *_ = next(p for n, p in enumerate(places(other)) if n == number)
            if index is None:
                setattr(there, field, new)
            else:
                getattr(there, field)[index] = new
            ast.fix_missing_locations(other)
            old = child if index is None else child[index]
            said = f"{path.name}:{line} {written(parent, old)} -> {written(new, new)}"
            found.append((said, compile(other, str(path.resolve()), "exec")))
    return found


def written(parent: ast.AST, node: ast.AST) -> str:
    shown = node if isinstance(node, ast.expr | ast.stmt) else parent
    text = ast.unparse(shown) if isinstance(shown, ast.expr | ast.stmt) else type(shown).__name__
    return text.partition("\n")[0][:90]


def survives(path: Path, code: CodeType, arguments: list[str], seconds: float) -> bool:
    """Whether the tests pass with the code in the place of the file."""
    child = os.fork()
    if child == 0:
        real = importlib.machinery.SourceFileLoader.get_code

        def get_code(self: Any, name: str) -> CodeType | None:
            return code if Path(self.path) == path.resolve() else real(self, name)

        importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
        nothing = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(nothing, number)
        import pytest

        os._exit(int(pytest.main(["-n0", "-x", "-q", "-p", "no:cacheprovider", *arguments])) != 0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (ended := os.waitpid(child, os.WNOHANG))[0]:
            return ended[1] == 0
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--from", dest="first", type=int, default=0, help="leave out the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60, help="for each mutant")
    parser.add_argument("tests", nargs="+")
    asked = parser.parse_args()
    for name in ("hypothesis", "numpy", "pydantic", "pytest", "scipy.stats", "torch", "typer"):
        importlib.import_module(name)  # once, for all that are forked
    drawn = mutants(asked.file)
    random.Random(asked.seed).shuffle(drawn)
    drawn = drawn[asked.first : asked.first + asked.count]
    unchanged = compile(asked.file.read_text("utf-8"), str(asked.file.resolve()), "exec")
    if not survives(asked.file, unchanged, asked.tests, 10 * asked.seconds):
        sys.exit("the tests fail without a mutant, too")
    lives = 0
    for said, code in drawn:
        if survives(asked.file, code, asked.tests, asked.seconds):
            lives += 1
            print("lives:", said, flush=True)
    print(f"{asked.file}: {len(drawn)} mutants, {lives} live")


if __name__ == "__main__":
    main()

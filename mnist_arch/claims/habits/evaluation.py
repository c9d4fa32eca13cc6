"""How the network is judged: in its mode of evaluation, and without dropout."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from mnist_arch.claims.habits.code import Code, Finding
from mnist_arch.claims.habits.flow import reads_test
from mnist_arch.claims.habits.networks import FUNCTIONAL, module_classes
from mnist_arch.claims.habits.syntax import key_of, keyword_of, last_name


def evaluation_habits(code: Code) -> Iterator[Finding]:
    """Where test is judged without eval mode, by a network with dropout or batch norm."""
    yield from _always_dropped(code)
    calls = [it for it in code.nodes if isinstance(it, ast.Call)]
    has_drops = any("Dropout" in last_name(it.func) for it in calls)
    has_norms = any("BatchNorm" in last_name(it.func) for it in calls)
    is_torch = any(isinstance(it, ast.Attribute) and it.attr in _NO_GRAD for it in code.nodes)
    if not (has_drops or has_norms) or not is_torch:
        return
    modes = {name: _modes(it) for name, it in code.functions.items()}
    everywhere = any(_is_eval(it) for it in calls)
    what = "dropout" if has_drops else "batch norm"
    judged = {last_name(it.func): it for it in calls if reads_test(code, it)}
    around = _trained_around(code, modes)
    for name in judged.keys() & code.functions.keys():
        function = code.functions[name]
        text = ast.unparse(function)
        if not any(it in text for it in _NO_GRAD) or modes[name] & {"eval", "train", "backward"}:
            continue
        if not everywhere or name in around:
            reason = f"{name} never calls eval(): {what} is as in training"
            yield Finding("dropout-on", code.at(function), reason)
    if everywhere:
        return
    inside = {id(it) for function in code.functions.values() for it in ast.walk(function)}
    for node in code.nodes:
        if not isinstance(node, ast.For) or id(node) in inside:
            continue
        loops = [it for it in ast.walk(node.iter) if code.held.get(key_of(it)) == "test"]
        used = {
            last_name(it.func)
            for part in node.body
            for it in ast.walk(part)
            if isinstance(it, ast.Call)
        }
        if loops and "backward" not in used and used & _COUNTS and not used & {"break"}:
            reason = f"test is judged here, and nothing calls eval(): {what} is as in training"
            yield Finding("dropout-on", code.at(node), reason)


def _always_dropped(code: Code) -> Iterator[Finding]:
    """Dropout as a function, which is on unless it is told that nothing is trained."""
    for node, _, forward in module_classes(code):
        for it in ast.walk(forward):
            match it:
                case ast.Call(func=ast.Attribute(value=of, attr=name), args=args) if (
                    name in _DROPS
                    and ast.unparse(of) in FUNCTIONAL
                    and len(args) < 3
                    and not any(key.arg in ("training", None) for key in it.keywords)
                    and code.number(keyword_of(it, "p") or next(iter(args[1:]), None)) != 0
                ):
                    reason = f"{name} is not given training=self.training: it drops in evaluation"
                    yield Finding("dropout-on", code.at(it), reason, node.name)


_DROPS: Final = ("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_alpha_dropout")


def _is_eval(call: ast.Call) -> bool:
    """`eval()`, `train(False)` or `train(mode=False)`."""
    if last_name(call.func) == "eval":
        return True
    given = next(iter(call.args), keyword_of(call, "mode"))
    return (
        last_name(call.func) == "train" and isinstance(given, ast.Constant) and given.value is False
    )


def _modes(node: ast.AST) -> set[str]:
    """What is called in some code of `eval`, `train` and `backward`."""
    found: set[str] = set()
    for it in ast.walk(node):
        if isinstance(it, ast.Call) and isinstance(it.func, ast.Attribute):
            name = "eval" if _is_eval(it) else it.func.attr
            if name in ("eval", "train", "backward"):
                found.add(name)
    return found


def _trained_around(code: Code, modes: dict[str, set[str]]) -> set[str]:
    """Functions whose every call stands in a loop that trains, and never calls eval."""
    held: set[int] = set()
    for loop in (it for it in code.nodes if isinstance(it, ast.For | ast.While)):
        inside = [it for it in ast.walk(loop) if isinstance(it, ast.Call)]
        called = _modes(loop).union(*(modes.get(last_name(it.func), set()) for it in inside))
        if "eval" not in called and {"train", "backward"} <= called:
            held |= {id(it) for it in inside}
    calls = [it for it in code.nodes if isinstance(it, ast.Call)]
    within = {last_name(it.func) for it in calls if id(it) in held}
    return within - {last_name(it.func) for it in calls if id(it) not in held}


_NO_GRAD: Final = ("no_grad", "inference_mode", "set_grad_enabled")
_COUNTS: Final = {"argmax", "max", "eq", "sum"}
"""What is called where correct images are counted."""

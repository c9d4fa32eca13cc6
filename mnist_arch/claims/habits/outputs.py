"""What stands between the last layer and the loss: dropout, or what bounds the logits."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mnist_arch.claims.habits.code import Code, Finding
from mnist_arch.claims.habits.networks import FUNCTIONAL, module_classes
from mnist_arch.claims.habits.syntax import calls_in_order, keyword_of, last_name, plain_name


def dropout_on_logits(code: Code) -> Iterator[Finding]:
    """Dropout as the last layer that is called in forward, or the last step on the outputs."""
    for node, layers, forward in module_classes(code):
        calls = [
            it
            for statement in forward.body
            for it in calls_in_order(statement)
            if isinstance(it.func, ast.Attribute)
            and plain_name(it.func.value) == "self"
            and it.func.attr in layers
        ]
        made = [layers[it.func.attr] for it in calls if isinstance(it.func, ast.Attribute)]
        last = made[-1] if made else None
        if last is not None and last_name(last.func) == "Sequential" and last.args:
            last = last.args[-1] if isinstance(last.args[-1], ast.Call) else None
        steps = [it for it in _backwards(forward, layers) if it.kind not in _SAME]
        on = "dropout on the logits"
        if last is not None and last_name(last.func).startswith("Dropout"):
            yield Finding("dropout-on-logits", code.at(calls[-1]), on, node.name)
        elif steps and steps[0].kind.startswith("dropout"):
            yield Finding("dropout-on-logits", code.at(steps[0].call), on, node.name)


_SAME: Final = {"view", "reshape", "flatten", "squeeze", "log_softmax", "logsoftmax", "softmax"}
"""What is still of the same outputs."""


@dataclass(frozen=True)
class _Step:
    """An operation on its way through a network."""

    kind: str
    """In small letters, such as `relu`, `softmax` or `conv2d`."""
    call: ast.Call
    """Where it is written."""
    made: ast.Call
    """What makes its layer; the call itself, where there is none."""


_LOSSES: Final = {"crossentropyloss", "cross_entropy", "nllloss", "nll_loss"}
_BOUNDS: Final = {"relu": "ReLU", "relu6": "ReLU6", "sigmoid": "a sigmoid", "tanh": "tanh"}
_UNCHANGED: Final = {
    *("view", "reshape", "flatten", "squeeze", "contiguous", "float", "identity", "dropout"),
}
"""What leaves the outputs as they are when the network is judged."""
_NORMS: Final = {"batchnorm1d", "batchnorm2d", "dropout", "dropout2d"}
_OUTPUTS: Final = (10, 26, 27, 47, 62)
"""Classes of MNIST and its relatives."""


def bounded_logits(code: Code) -> Iterator[Finding]:
    """What bounds the outputs before a loss on classes, which then cannot tell them far apart."""
    calls = [it for it in code.nodes if isinstance(it, ast.Call)]
    losses = {last_name(it.func).lower() for it in calls} & _LOSSES
    has_own = bool(losses) and all("cross" in it for it in losses)  # it applies softmax itself
    twice = "softmax before a loss that applies softmax itself"
    for name, forward, layers in _networks(code):
        steps = [it for it in _backwards(forward, layers) if it.kind not in _UNCHANGED]
        while steps and steps[0].kind in ("log_softmax", "logsoftmax"):
            has_own = False
            steps = steps[1:]
        if not steps or not losses:
            continue
        before = [it for it in steps[1:] if it.kind not in _NORMS]
        if steps[0].kind == "softmax" and has_own:
            yield Finding("bounded-logits", code.at(steps[0].call), twice, name)
        elif steps[0].kind in _BOUNDS and before and _outputs(code, before[0]) in _OUTPUTS:
            reason = f"{_BOUNDS[steps[0].kind]} on the outputs, before the loss"
            yield Finding("bounded-logits", code.at(steps[0].call), reason, name)
    made = {
        it.targets[0].id
        for it in code.nodes
        if isinstance(it, ast.Assign)
        and isinstance(it.targets[0], ast.Name)
        and isinstance(it.value, ast.Call)
        and last_name(it.value.func) == "CrossEntropyLoss"
    }
    for call in calls:
        match call:
            case ast.Call(func=func, args=[ast.Call() as given, *_]) if (
                last_name(func) == "cross_entropy"
                or plain_name(func) in made
                or (isinstance(func, ast.Call) and last_name(func.func) == "CrossEntropyLoss")
            ):
                found = _steps(given, {})
                if found and found[0][0].kind == "softmax":
                    yield Finding("bounded-logits", code.at(given), twice)
    yield from _bounded_in_keras(code, calls)


def _bounded_in_keras(code: Code, calls: list[ast.Call]) -> Iterator[Finding]:
    compiled = [it for it in calls if last_name(it.func) == "compile"]
    losses = [ast.unparse(it) if it else "" for it in (keyword_of(it, "loss") for it in compiled)]
    if not losses or not all("crossentropy" in it.lower() for it in losses):
        return
    has_own = all(re.search(r"from_logits\s*=\s*True", it) for it in losses)
    last: dict[str, ast.Call] = {}
    for call in calls:
        match call:
            case ast.Call(func=func, args=[ast.List(elts=[*_, ast.Call() as layer]), *_]) if (
                last_name(func) == "Sequential"
            ):
                last[str(len(last))] = layer
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="add"), args=[ast.Call() as layer]
            ):
                last[name] = layer
    for layer in last.values():
        given = keyword_of(layer, "activation")
        if last_name(layer.func) != "Dense" or not isinstance(given, ast.Constant):
            continue
        if given.value in ("relu", "tanh"):
            reason = f"{_BOUNDS[given.value]} on the outputs, before the loss"
            yield Finding("bounded-logits", code.at(layer), reason)
        elif given.value == "softmax" and has_own:
            reason = "softmax before a loss that applies softmax itself"
            yield Finding("bounded-logits", code.at(layer), reason)


def _networks(code: Code) -> Iterator[tuple[str, ast.FunctionDef, dict[str, ast.Call]]]:
    """Name and forward, without branches, of modules that are no parts of others of torch."""
    parts = {
        last_name(it.func)
        for one in code.nodes
        if isinstance(one, ast.ClassDef) and not any("Lightning" in last_name(b) for b in one.bases)
        for it in ast.walk(one)
        if isinstance(it, ast.Call)
    }
    for node, layers, forward in module_classes(code):
        branches = (ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.With)
        if node.name not in parts and not any(isinstance(it, branches) for it in ast.walk(forward)):
            yield node.name, forward, layers


def _backwards(forward: ast.FunctionDef, layers: dict[str, ast.Call]) -> Iterator[_Step]:
    """The operations from what is returned back, as far as they are one after another."""
    last = forward.body[-1]
    at, value = len(forward.body) - 1, last.value if isinstance(last, ast.Return) else None
    while value is not None:
        if isinstance(value, ast.Name):
            at, value = _assigned_last(value.id, forward.body[:at])
        elif isinstance(value, ast.Call) and (found := _steps(value, layers)) is not None:
            yield from found[0]
            value = found[1]
        else:
            return


def _assigned_last(name: str, before: list[ast.stmt]) -> tuple[int, ast.expr | None]:
    """The statement that gives a name its value, and that value; None where it is not plain."""
    for at, statement in reversed(list(enumerate(before))):
        match statement:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                return at, value
        if name in {it.id for it in ast.walk(statement)
                    if isinstance(it, ast.Name) and isinstance(it.ctx, ast.Store)}:  # fmt: skip
            break
    return 0, None


def _steps(call: ast.Call, layers: dict[str, ast.Call]) -> tuple[list[_Step], ast.expr] | None:
    """The operations of a call, the last first, and what they are given."""
    match call:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name), args=[inner]) if (
            made := layers.get(name)
        ):
            if last_name(made.func) != "Sequential":
                return [_Step(last_name(made.func).lower(), call, made)], inner
            parts = [it for it in reversed(made.args) if isinstance(it, ast.Call)]
            if len(parts) < len(made.args):
                return None
            return [_Step(last_name(it.func).lower(), it, it) for it in parts], inner
        case ast.Call(func=ast.Call(func=func), args=[inner]):
            return [_Step(last_name(func).lower(), call, call)], inner
        case ast.Call(func=ast.Attribute(value=of, attr=name), args=args) if (
            plain_name(of) != "self"
        ):
            is_function = ast.unparse(of) in FUNCTIONAL
            if not is_function or args:
                step = _Step(name.lower().rstrip("_"), call, call)
                return [step], args[0] if is_function else of
        case ast.Call(func=ast.Name(id=name), args=[inner, *_]):
            return [_Step(name.lower().rstrip("_"), call, call)], inner
    return None


def _outputs(code: Code, step: _Step) -> float | None:
    """Of a layer with weights."""
    named = {"linear": "out_features", "conv2d": "out_channels"}.get(step.kind)
    if named is None:
        return None
    given = keyword_of(step.made, named)
    return code.number(given or (step.made.args[1] if len(step.made.args) > 1 else None))

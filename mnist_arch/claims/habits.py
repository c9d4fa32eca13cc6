"""Habits in code that make a claim void or shaky, each with its line. Nothing is run, nor imported.

A finding has a line or it is none: what cannot be followed is passed over.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mnist_arch.convert.source import Source
from mnist_arch.errors import Origin

_FIRST: Final = {"MNIST", "FashionMNIST", "KMNIST", "QMNIST", "EMNIST"}
_RANDOM: Final = ("Random", "ColorJitter", "AutoAugment", "TrivialAugment", "AugMix")
_SETS_A_SEED: Final = {
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_everything",
    "set_random_seed",
    "set_seed",
}
_STOPS: Final = {"EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint"}
_LAYERS: Final = ("Conv", "Linear", "BatchNorm", "Dropout", "GroupNorm", "MaxPool", "AvgPool")
_LEAST_NODES: Final = 400_000


@dataclass(frozen=True)
class Finding:
    """One habit at one line."""

    habit: str
    """A word for it, such as `test-chooses`."""
    line: Origin
    reason: str


@dataclass
class Code:
    """The code of a notebook, with what flows where."""

    places: dict[ast.AST, Origin] = field(default_factory=dict)
    trees: list[tuple[ast.Module, Origin]] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    """Names to `train` or `test`: datasets, loaders and arrays."""
    transforms: dict[str, ast.Call] = field(default_factory=dict)
    used_transforms: dict[str, str] = field(default_factory=dict)
    """Names of transforms to the split that they are of."""
    derived: set[str] = field(default_factory=set)
    """Names of values that come from test."""

    @property
    def nodes(self) -> Iterator[ast.AST]:
        for tree, _ in self.trees:
            yield from ast.walk(tree)

    def at(self, node: ast.AST) -> Origin:
        """The line of a node."""
        for tree, origin in self.trees:
            if any(it is node for it in ast.walk(tree)):
                number = getattr(node, "lineno", 1) + origin.line - 1
                start = str(origin).rpartition(":")[0]
                return Origin(f"{start}:{number}", line=number)
        return Origin("")

    def number(self, node: ast.expr | None) -> float | None:
        """A number that is written, or a name that is one."""
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return float(value)
            case ast.Name(id=name):
                return self.numbers.get(name)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                a, b = self.number(left), self.number(right)
                return None if a is None or b is None else a + b
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                under = self.number(operand)
                return None if under is None else -under
        return None


@dataclass(frozen=True)
class Habits:
    """What the code of a source shows."""

    findings: list[Finding]
    epochs: tuple[int, Origin] | None
    """The most epochs that the code names, and where."""
    seeds: int
    """Of a loop that sets each; 1 where there is none."""
    is_code: bool
    """Whether there is code that could be read."""


def read_habits(source: Source) -> Habits:
    """Reads the code of a source for its habits."""
    code = Code()
    for origin, text in source.code:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if sum(1 for _ in ast.walk(tree)) <= _LEAST_NODES:
            code.trees.append((tree, origin))
    _follow(code)
    found = [
        *_choosing(code),
        *_best(code),
        *_evaluation(code),
        *_transforms(code),
        *_logits(code),
        *_layers(code),
        *_seeds(code),
    ]
    unique = {(it.habit, str(it.line)): it for it in found if it.line}
    return Habits(list(unique.values()), _epochs(code), _seeds_tried(code), bool(code.trees))


def _follow(code: Code) -> None:
    """Which names hold numbers, splits, transforms, and what comes from test."""
    for node in code.nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                number = code.number(value)
                if number is not None:
                    code.numbers[name] = number
                if isinstance(value, ast.Call) and _last(value.func) == "Compose":
                    code.transforms[name] = value
                if isinstance(value, ast.Call):
                    _split(code, name, value)
            case ast.Assign(
                targets=[ast.Tuple(elts=[_, ast.Tuple(elts=test)])],
                value=ast.Call(func=ast.Attribute(attr="load_data")),
            ):
                code.held |= {it.id: "test" for it in test if isinstance(it, ast.Name)}
    for node in code.nodes:
        if isinstance(node, ast.Assign) and _reads_test(code, node.value):
            for target in node.targets:
                items = target.elts if isinstance(target, ast.Tuple) else [target]
                code.derived |= {it.id for it in items if isinstance(it, ast.Name)}


def _split(code: Code, name: str, call: ast.Call) -> None:
    called = _last(call.func)
    if called in _FIRST:
        given = _keyword(call, "train") or (call.args[1] if len(call.args) > 1 else None)
        if not isinstance(given, ast.Constant) or not isinstance(given.value, bool):
            return
        split = "train" if given.value else "test"
        code.held[name] = split
        transform = _keyword(call, "transform")
        if isinstance(transform, ast.Name):
            code.used_transforms[transform.id] = split
        elif isinstance(transform, ast.Call) and _last(transform.func) == "Compose":
            code.transforms[f"{name}.transform"] = transform
            code.used_transforms[f"{name}.transform"] = split
    elif called == "DataLoader":
        data = _keyword(call, "dataset") or next(iter(call.args), None)
        if isinstance(data, ast.Name) and data.id in code.held:
            code.held[name] = code.held[data.id]
        elif isinstance(data, ast.Call):
            _split(code, name, data)


def _reads_test(code: Code, value: ast.expr) -> bool:
    """Whether a call is given the test images, and no training images."""
    if not isinstance(value, ast.Call) or _last(value.func) in (_FIRST | {"DataLoader", "fit"}):
        return False
    given = [it for it in (*value.args, *(key.value for key in value.keywords))]
    splits = {code.held.get(it.id) for it in given if isinstance(it, ast.Name)}
    is_own = isinstance(value.func, ast.Name) or _last(value.func) == "evaluate"
    return is_own and "test" in splits and "train" not in splits


def _names(node: ast.AST) -> set[str]:
    return {it.id for it in ast.walk(node) if isinstance(it, ast.Name)}


def _last(node: ast.expr) -> str:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((it.value for it in call.keywords if it.arg == name), None)


# ------------------------------------------------------------------------------------- the choice


def _choosing(code: Code) -> Iterator[Finding]:
    for node in code.nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr="step"), args=[first, *_]) if (
                _names(first) & code.derived
            ):
                reason = "the schedule follows a value of the test split"
                yield Finding("test-chooses", code.at(node), reason)
            case ast.If(test=ast.Compare() as test, body=body) if _names(test) & code.derived:
                for inner in (it for part in body for it in ast.walk(part)):
                    if isinstance(inner, ast.Break):
                        reason = "training stops by a value of the test split"
                        yield Finding("test-chooses", code.at(inner), reason)
                    elif isinstance(inner, ast.Call) and (
                        _last(inner.func) in ("save", "save_weights", "deepcopy")
                    ):
                        reason = "weights are kept by a value of the test split"
                        yield Finding("test-chooses", code.at(inner), reason)
            case ast.Call(func=ast.Attribute(attr="fit")) if _validates_on_test(code, node):
                callbacks = [
                    it
                    for other in code.nodes
                    if isinstance(other, ast.Call) and _last(other.func) in _STOPS
                    for it in [other]
                ]
                for it in callbacks:
                    if _last(it.func) == "ModelCheckpoint" and not _keeps_the_best(it):
                        continue
                    watched = _keyword(it, "monitor")
                    if isinstance(watched, ast.Constant) and "val" not in str(watched.value):
                        continue
                    reason = f"{_last(it.func)} watches the test split, which fit is given"
                    yield Finding("test-chooses", code.at(it), reason)


def _keeps_the_best(call: ast.Call) -> bool:
    best = _keyword(call, "save_best_only")
    is_keras = isinstance(best, ast.Constant) and best.value is True
    return is_keras or _keyword(call, "save_top_k") is not None


def _validates_on_test(code: Code, call: ast.Call) -> bool:
    given = _keyword(call, "validation_data") or _keyword(call, "val_dataloaders")
    if given is None and len(call.args) == 3 and code.held.get(_name(call.args[1])) == "train":
        given = call.args[2]  # Lightning's
    return given is not None and any(code.held.get(it) == "test" for it in _names(given))


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _best(code: Code) -> Iterator[Finding]:
    """The largest of several test accuracies, where it is printed."""
    lists: set[str] = set()
    largest: dict[str, ast.AST] = {}
    for node in code.nodes:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value]
            ) if _names(value) & code.derived:
                lists.add(name)
    validated = any(
        isinstance(node, ast.Call) and _last(node.func) == "fit" and _validates_on_test(code, node)
        for node in code.nodes
    )
    for node in code.nodes:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="max"), args=args),
            ) if any(_names(it) & (code.derived | lists) for it in args):
                largest[name] = node
    for node in code.nodes:
        if not (isinstance(node, ast.Call) and _name(node.func) == "print"):
            continue
        text = ast.unparse(node)
        inside = [it for it in ast.walk(node) if isinstance(it, ast.Call) and it is not node]
        maxima = [it for it in inside if _name(it.func) in ("max", "amax")]
        of_test = any(_names(it) & lists for it in maxima)
        of_history = validated and any("val_acc" in ast.unparse(it) for it in maxima)
        if of_test or of_history or (_names(node) & largest.keys()):
            reason = f"the best epoch on test is reported: {text[:60]}"
            yield Finding("best", code.at(node), reason)


# ------------------------------------------------------------------------------------- evaluation


def _evaluation(code: Code) -> Iterator[Finding]:
    """A function that judges by the test loader, without eval mode, of a network with dropout."""
    drops = [it for it in code.nodes if isinstance(it, ast.Call) and "Dropout" in _last(it.func)]
    norms = [it for it in code.nodes if isinstance(it, ast.Call) and "BatchNorm" in _last(it.func)]
    is_torch = any(isinstance(it, ast.Attribute) and it.attr == "no_grad" for it in code.nodes)
    if not (drops or norms) or not is_torch:
        return
    judged = {
        _name(it.func) for it in code.nodes if isinstance(it, ast.Call) and _reads_test(code, it)
    }
    for node in code.nodes:
        if isinstance(node, ast.FunctionDef) and node.name in judged:
            calls = {_last(it.func) for it in ast.walk(node) if isinstance(it, ast.Call)}
            text = ast.unparse(node)
            if "no_grad" in text and not calls & {"eval", "backward"} and ".train(" not in text:
                everywhere = {_last(it.func) for it in code.nodes if isinstance(it, ast.Call)}
                if "eval" not in everywhere:
                    what = "dropout" if drops else "batch norm"
                    reason = f"{node.name} never calls eval(): {what} is as in training"
                    yield Finding("dropout-on", code.at(node), reason)


def _transforms(code: Code) -> Iterator[Finding]:
    used = set(code.used_transforms)
    loads = {
        it.id for it in code.nodes if isinstance(it, ast.Name) and isinstance(it.ctx, ast.Load)
    }
    norms: dict[str, tuple[str, ast.AST]] = {}
    for name, call in code.transforms.items():
        inside = [it for it in ast.walk(call) if isinstance(it, ast.Call)]
        split = code.used_transforms.get(name)
        for it in inside:
            if split == "test" and _last(it.func).startswith(_RANDOM):
                reason = f"{_last(it.func)} changes the test images"
                yield Finding("augments-test", code.at(it), reason)
            if _last(it.func) == "Normalize" and split:
                text = ", ".join(map(ast.unparse, it.args))
                norms[split] = (text, it)
        if name not in used and name not in loads and "." not in name:
            reason = f"{name} is configured, and nothing uses it"
            yield Finding("never-used", code.at(call), reason)
    if len(norms) == 2 and norms["train"][0] != norms["test"][0]:
        said, reason = norms["train"][0], "test is normalised by {}, training by {}"
        yield Finding(
            "normalises-otherwise", code.at(norms["test"][1]), reason.format(norms["test"][0], said)
        )
    for node in code.nodes:
        if isinstance(node, ast.Call) and _last(node.func).startswith("Random"):
            given = _keyword(node, "fill")
            if isinstance(given, ast.Tuple) and given.elts:
                given = given.elts[0]
            value = code.number(given)
            if value is not None and value > 0:
                filled = f"{value:g} (of 255, where it stands before ToTensor)"
                reason = f"{_last(node.func)} fills with {filled}, and digits stand on 0"
                yield Finding("fill", code.at(node), reason)


# ---------------------------------------------------------------------------------- the network


def _classes(code: Code) -> Iterator[tuple[ast.ClassDef, dict[str, ast.Call], ast.FunctionDef]]:
    """Modules with their layers, by attribute, and their forward."""
    for node in code.nodes:
        if not isinstance(node, ast.ClassDef) or not any("Module" in _last(b) for b in node.bases):
            continue
        functions = {it.name: it for it in node.body if isinstance(it, ast.FunctionDef)}
        if "forward" not in functions or "__init__" not in functions:
            continue
        layers = {
            target.attr: it.value
            for it in ast.walk(functions["__init__"])
            if isinstance(it, ast.Assign) and isinstance(it.value, ast.Call)
            for target in it.targets
            if isinstance(target, ast.Attribute) and _name(target.value) == "self"
        }
        yield node, layers, functions["forward"]


def _layers(code: Code) -> Iterator[Finding]:
    for node, layers, _ in _classes(code):
        read = {
            it.attr
            for it in ast.walk(node)
            if isinstance(it, ast.Attribute)
            and isinstance(it.ctx, ast.Load)
            and _name(it.value) == "self"
        }
        text = ast.unparse(node)
        if any(word in text for word in ("children", "modules()", "getattr", "__dict__")):
            continue
        outside = {it.attr for it in code.nodes if isinstance(it, ast.Attribute)
                   and isinstance(it.ctx, ast.Load) and _name(it.value) != "self"}  # fmt: skip
        for name, call in layers.items():
            if name not in read | outside and _last(call.func).startswith(_LAYERS):
                reason = f"self.{name} is declared and never called"
                yield Finding("never-called", code.at(call), reason)


def _logits(code: Code) -> Iterator[Finding]:
    """Dropout as the last layer that is called in forward."""
    for _, layers, forward in _classes(code):
        calls = [
            it
            for statement in forward.body
            for it in _in_order(statement)
            if isinstance(it.func, ast.Attribute)
            and _name(it.func.value) == "self"
            and it.func.attr in layers
        ]
        kinds = [
            _last(layers[it.func.attr].func) for it in calls if isinstance(it.func, ast.Attribute)
        ]
        if kinds and kinds[-1].startswith("Dropout"):
            yield Finding("dropout-on-logits", code.at(calls[-1]), "dropout on the logits")


def _in_order(node: ast.AST) -> Iterator[ast.Call]:
    """Calls in the order in which they happen."""
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)
    if isinstance(node, ast.Call):
        yield node


def _seeds(code: Code) -> Iterator[Finding]:
    """One global seed, and several networks after it, under names of their own."""
    names = {node.name for node, *_ in _classes(code)}
    calls = [it for it in code.nodes if isinstance(it, ast.Call)]
    seeds = [it for it in calls if _last(it.func) == "manual_seed"]
    if len(seeds) != 1:
        return
    made: dict[str, ast.AST] = {}
    has_seed = False
    for tree, _ in code.trees:
        for statement in tree.body:
            inside = [it for it in ast.walk(statement) if isinstance(it, ast.Call)]
            has_seed = has_seed or seeds[0] in inside
            if not has_seed or not any(_name(it.func) in names for it in inside):
                continue
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)]):
                    made.setdefault(name, statement)
    if len(made) > 1:
        reason = "one global seed, and a network after another: the second depends on the first"
        yield Finding("one-seed", code.at(list(made.values())[1]), reason)


def _seeds_tried(code: Code) -> int:
    """The values of the longest loop whose variable is set as a seed; 1 where there is none."""
    tried = 1
    for node in code.nodes:
        if not (isinstance(node, ast.For) and isinstance(node.target, ast.Name)):
            continue
        sets = any(
            isinstance(it, ast.Call)
            and _last(it.func) in _SETS_A_SEED
            and any(node.target.id in _names(argument) for argument in it.args)
            for it in ast.walk(node)
        )
        if sets:
            tried = max(tried, _values(code, node.iter))
    return tried


def _values(code: Code, looped: ast.expr) -> int:
    """How many values a loop has that is written out, or a range of numbers; else 1."""
    match looped:
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return len(elements)
        case ast.Call(func=ast.Name(id="range"), args=[last]):
            first = 0.0
        case ast.Call(func=ast.Name(id="range"), args=[begin, last]):
            first = code.number(begin) or 0.0
        case _:
            return 1
    end = code.number(last)
    return 1 if end is None else int(end - first)


def _epochs(code: Code) -> tuple[int, Origin] | None:
    """The most epochs that the code names, and where."""
    found: list[tuple[float, ast.AST]] = []
    loops = [it for it in code.nodes if isinstance(it, ast.For | ast.While)]
    repeated = {id(it) for loop in loops for it in ast.walk(loop) if isinstance(it, ast.Call)}
    if any(id(it) in repeated and _last(it.func) == "fit" for it in code.nodes
           if isinstance(it, ast.Call)):  # fmt: skip
        return None  # as often as the loop, which is not followed
    for node in code.nodes:
        match node:
            case ast.For(
                target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"), args=args)
            ) if "epoch" in name.lower():
                bounds = [code.number(it) for it in args]
                if len(bounds) == 1 and bounds[0] is not None:
                    found.append((bounds[0], node))
                elif len(bounds) == 2 and bounds[0] is not None and bounds[1] is not None:
                    found.append((bounds[1] - bounds[0], node))
            case ast.Call():
                word = "epochs" if _last(node.func) == "fit" else "max_epochs"
                if (number := code.number(_keyword(node, word))) is not None:
                    found.append((number, node))
    if not found:
        return None
    most, node = max(found, key=lambda it: it[0])
    return int(most), code.at(node)

"""Habits in code that make a claim void or shaky, each with its line. Nothing is run, nor imported.

A finding has a line or it is none: what cannot be followed is passed over.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

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
_EPOCHS: Final = re.compile(r"(?i)(?:^|[._'\"])(?:n|nb|num|max|no_of|number_of|total)?_?epochs?\b")
_MOST: Final = 1e15
"""Largest number that is followed."""
_MOST_NODES: Final = 400_000


@dataclass(frozen=True)
class Finding:
    """One habit at one line."""

    habit: str
    """A word for it, such as `test-chooses`."""
    line: Origin
    reason: str
    network: str = ""
    """The class whose code it is about; empty where it is about none alone."""

    @property
    def cell(self) -> str:
        """Where its line is, without the number of that."""
        return str(self.line).rpartition(":")[0]


@dataclass
class Code:
    """The code of a notebook, with what flows where."""

    trees: list[tuple[ast.Module, Origin]] = field(default_factory=list)
    nodes: list[ast.AST] = field(default_factory=list)
    """Of all trees, tree by tree."""
    numbers: dict[str, float | None] = field(default_factory=dict)
    """By what is written: a name, an attribute, an item. None where it has two values."""
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    """Names to `train` or `test`: datasets, loaders and arrays."""
    transforms: dict[str, ast.Call] = field(default_factory=dict)
    used_transforms: dict[str, str] = field(default_factory=dict)
    """Names of transforms to the split that they are of."""
    derived: set[str] = field(default_factory=set)
    """Names of values that come from test."""
    filled: set[str] = field(default_factory=set)
    """Names of lists that a function which is given test, and no training images, appends to."""

    _starts: dict[int, Origin] = field(default_factory=dict)

    def add(self, tree: ast.Module, origin: Origin) -> None:
        """One more cell, if it is not too long."""
        nodes = list(ast.walk(tree))
        if len(nodes) <= _MOST_NODES:
            self.trees.append((tree, origin))
            self.nodes += nodes
            self._starts |= {id(it): origin for it in nodes}

    def at(self, node: ast.AST) -> Origin:
        """The line of a node."""
        origin = self._starts[id(node)]
        number = getattr(node, "lineno", 1) + origin.line - 1
        start = str(origin).rpartition(":")[0]
        return Origin(f"{start}:{number}", line=number)

    def number(self, node: ast.expr | None) -> float | None:
        """A number that is written, or a name that is one."""
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return float(value) if abs(value) < _MOST else None
            case ast.Name(id=name):
                return self.numbers.get(name)
            case ast.Attribute(attr=attr):
                own = self.numbers.get(ast.unparse(node))
                return self.numbers.get(f".{attr}") if own is None else own
            case ast.Subscript(slice=ast.Constant()):
                return self.numbers.get(ast.unparse(node))
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                a, b = self.number(left), self.number(right)
                if a is None or b is None:
                    return None
                return a + b if isinstance(op, ast.Add) else a - b
            case ast.Call(func=ast.Name(id="int"), args=[inside]):
                return self.number(inside)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                under = self.number(operand)
                return None if under is None else -under
        return None


@dataclass(frozen=True)
class Cell:
    """What a cell of code does that belongs to one training among several."""

    place: str
    epochs: tuple[int, Origin] | None
    """The most epochs that it names, and where."""
    networks: tuple[tuple[str, str], ...]
    """Names that hold a network, and its class, as far as that is seen, in order."""
    reads: frozenset[str]
    """Names that it uses."""
    datasets: frozenset[str]
    """Those that it loads."""


@dataclass(frozen=True)
class Habits:
    """What the code of a source shows."""

    findings: list[Finding]
    epochs: tuple[int, Origin] | None
    """The most epochs that the code names, and where."""
    by_cell: tuple[Cell, ...]
    """What each cell does, in order."""
    parts: dict[str, frozenset[str]]
    """The classes of modules, each with those that it has inside or inherits from, and itself."""
    seeds: int
    """Of a loop that sets each; 1 where there is none."""
    is_code: bool
    """Whether there is code that could be read."""
    has_one_network: bool
    """Whether one class is made into a network, and is written once."""
    fitting: frozenset[str]
    """Cells that call `fit`."""
    judging: frozenset[str]
    """Cells that judge by test, and train nothing."""
    validates_on: Literal["test", "train", ""]
    """Which images a validation is of, where the code shows it."""


def read_habits(source: Source) -> Habits:
    """Reads the code of a source for its habits."""
    code = Code()
    for origin, text in source.code:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        code.add(tree, origin)
    _follow(code)
    found = [
        *_choosing(code),
        *_best(code),
        *_evaluation(code),
        *_transforms(code),
        *_of_training(code),
        *_logits(code),
        *_bounded(code),
        *_layers(code),
        *_seeds(code),
    ]
    unique = {(it.habit, str(it.line)): it for it in found if it.line}
    return Habits(
        list(unique.values()),
        _epochs(code, code.nodes),
        _by_cell(code),
        _parts(code),
        _seeds_tried(code),
        bool(code.trees),
        _has_one_network(code),
        _fitting(code),
        _judging(code),
        _validates_on(code),
    )


def _follow(code: Code) -> None:
    """Which names hold numbers, splits, transforms, and what comes from test."""
    code.functions |= {it.name: it for it in code.nodes if isinstance(it, ast.FunctionDef)}
    loads = any(isinstance(it, ast.Attribute) and it.attr == "load_data" for it in code.nodes)
    for _ in range(2):  # what is deeper comes later
        for node in code.nodes:
            _assigned(code, node, loads=loads)
    _arguments(code)
    for node in code.nodes:
        if isinstance(node, ast.Assign) and _reads_test(code, node.value):
            for target in node.targets:
                items = target.elts if isinstance(target, ast.Tuple) else [target]
                code.derived |= {it.id for it in items if isinstance(it, ast.Name)}
    code.filled |= _filled(code)
    code.derived |= code.filled


def _filled(code: Code) -> set[str]:
    """Lists to which a function appends that is called with test alone, by their names outside."""
    found: set[str] = set()
    for name, function in code.functions.items():
        calls = [it for it in code.nodes if isinstance(it, ast.Call) and _last(it.func) == name]
        if not calls or not all(_reads_test(code, it) for it in calls):
            continue
        own = {it.arg: at for at, it in enumerate(function.args.args)}
        assigned = {
            it.id
            for it in ast.walk(function)
            if isinstance(it, ast.Name) and isinstance(it.ctx, ast.Store)
        }
        for node in ast.walk(function):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=filled), attr="append")) if (
                    filled in own
                ):
                    at = own[filled]
                    given = [
                        it.args[at] if at < len(it.args) else _keyword(it, filled) for it in calls
                    ]
                    found |= {_name(it) for it in given if it is not None} - {""}
                case ast.Call(func=ast.Attribute(value=ast.Name(id=filled), attr="append")) if (
                    filled not in assigned
                ):
                    found.add(filled)
    return found


def _assigned(code: Code, node: ast.AST, *, loads: bool) -> None:
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=[_, ast.Tuple(elts=test)])], value=value) if (
            loads and not isinstance(value, ast.Tuple)
        ):
            names = [it.id for it in test if isinstance(it, ast.Name)]
            if not any("val" in it for it in names):
                code.held |= dict.fromkeys(names, "test")
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Call(func=func)) if (
            _is_elsewhere(code, func) and any(_NAMED.search(_name(it)) for it in targets)
        ):
            for it in targets:
                if found := _NAMED.search(_name(it)):
                    code.held.setdefault(_name(it), found[1].lower())
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(
            targets
        ) == len(values):
            for to, each in zip(targets, values, strict=True):
                if name := _key(to):
                    _named(code, name, each)
        case (
            ast.Assign(targets=[target], value=value)
            | ast.AnnAssign(target=target, value=ast.expr() as value)
        ):
            if name := _key(target):
                _named(code, name, value)
        case ast.Call(
            func=ast.Attribute(attr="add_argument"), args=[*_, ast.Constant(value=str(flag))]
        ):
            _number(code, "." + flag.lstrip("-").replace("-", "_"), _keyword(node, "default"))
        case ast.ClassDef(name=of, body=body):
            for part in body:
                match part:
                    case (
                        ast.Assign(targets=[ast.Name(id=name)], value=value)
                        | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                    ):
                        code.numbers.pop(name, None)  # it is of the class
                        _number(code, f"{of}.{name}", value)
                        _number(code, f".{name}", value)


_NAMED: Final = re.compile(r"(?i)^(train|test)_?(?:loader|data|dataset|set|ds|dl)$")
"""Names of images that a function of another file returns."""


def _is_elsewhere(code: Code, func: ast.expr) -> bool:
    """Whether a function is of another file, and does not set images aside."""
    name = _last(func)
    return bool(name) and name not in code.functions and "split" not in name.lower()


def _named(code: Code, name: str, value: ast.expr) -> None:
    """What a name, an attribute, or an item of a dict holds."""
    if (number := code.number(value)) is not None:
        code.numbers[name] = number
        if "." in name:
            _number(code, name[name.rindex(".") :], value)
    if (split := _made_of(code, value)) and code.held.get(name) != "train":
        code.held[name] = split
    match value:
        case ast.Call(func=func, keywords=keywords):
            if _last(func) == "Compose":
                code.transforms[name] = value
            _split(code, name, value)
            for it in keywords:
                if it.arg and _last(func) in ("dict", "SimpleNamespace", "EasyDict", "Namespace"):
                    _named(code, f"{name}['{it.arg}']", it.value)
                    _named(code, f"{name}.{it.arg}", it.value)
        case ast.Dict(keys=keys, values=values):
            for key, item in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    _named(code, f"{name}[{key.value!r}]", item)


def _made_of(code: Code, value: ast.expr) -> str:
    """The split of images or labels that a value is another form of; else empty."""
    match value:
        case ast.Name(id=name):
            return code.held.get(name, "")
        case ast.BinOp(left=inside) | ast.Subscript(value=inside):
            return _made_of(code, inside)
        case ast.Call(func=ast.Attribute(value=inside, attr=attr)) if attr in _SHAPES:
            return _made_of(code, inside)
        case ast.Call(func=func, args=[inside, *_]) if _last(func) in _COPIES:
            return _made_of(code, inside)
    return ""


_SHAPES: Final = {"astype", "reshape", "view", "float", "unsqueeze", "squeeze", "to", "copy"}
_COPIES: Final = {
    "to_categorical",
    "one_hot",
    "expand_dims",
    "array",
    "asarray",
    "pad",
    "cast",
    "tensor",
    "from_numpy",
    "TensorDataset",
}


def _number(code: Code, name: str, value: ast.expr | None) -> None:
    """Keeps a number under a name that may stand for several: then it is unclear."""
    if (number := code.number(value)) is not None:
        known = code.numbers.get(name, number)
        code.numbers[name] = number if known == number else None


def _arguments(code: Code) -> None:
    """The parameters of functions that are of the notebook, as they are called; else by default."""
    called: dict[str, list[ast.Call]] = {}
    for node in code.nodes:
        if isinstance(node, ast.Call) and _last(node.func) in code.functions:
            called.setdefault(_last(node.func), []).append(node)
    for name, function in code.functions.items():
        names = [it.arg for it in (*function.args.posonlyargs, *function.args.args)]
        defaults = function.args.defaults
        by_default = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
        names = names[1:] if names[:1] == ["self"] else names
        for position, parameter in enumerate(names):
            if not _EPOCHS.search(parameter):
                continue
            given = [
                _keyword(it, parameter) or (it.args[position] if position < len(it.args) else None)
                for it in called.get(name, [])
            ]
            values = [code.number(it) for it in given if it is not None]
            if not values and len(given) == len(called.get(name, [])):
                values = [code.number(by_default.get(parameter))]
            known = [it for it in values if it is not None]
            if known and parameter not in code.numbers:
                code.numbers[parameter] = max(known)


def _split(code: Code, name: str, call: ast.Call) -> None:
    called = _last(call.func)
    if called in _FIRST:
        given = _keyword(call, "train") or (call.args[1] if len(call.args) > 1 else None)
        if not isinstance(given, ast.Constant) or not isinstance(given.value, bool):
            return
        split = "train" if given.value else "test"
        code.held[name] = split
        transform = _keyword(call, "transform")
        if transform is not None and (key := _key(transform)):
            code.used_transforms[key] = split
        elif isinstance(transform, ast.Call) and _last(transform.func) == "Compose":
            code.transforms[f"{name}.transform"] = transform
            code.used_transforms[f"{name}.transform"] = split
    elif called == "DataLoader":
        data = _keyword(call, "dataset") or next(iter(call.args), None)
        if data is not None and _key(data) in code.held:
            code.held[name] = code.held[_key(data)]
        elif isinstance(data, ast.Call):
            _split(code, name, data)
    elif _is_elsewhere(code, call.func) and _NAMED.search(name):
        given = _keyword(call, "train")
        if isinstance(given, ast.Constant) and isinstance(given.value, bool):
            code.held[name] = "train" if given.value else "test"


def _reads_test(code: Code, value: ast.expr) -> bool:
    """Whether a call is given the test images, and no training images."""
    if not isinstance(value, ast.Call) or _last(value.func) in (_FIRST | {"DataLoader", "fit"}):
        return False
    given = [it for it in (*value.args, *(key.value for key in value.keywords))]
    splits = {code.held.get(_key(it)) for it in given}
    is_own = isinstance(value.func, ast.Name) or _last(value.func) == "evaluate"
    return is_own and "test" in splits and "train" not in splits


def _names(node: ast.AST) -> set[str]:
    return {it.id for it in ast.walk(node) if isinstance(it, ast.Name)}


def _valued(node: ast.AST) -> set[str]:
    """Names whose values some code depends on, and not their length alone."""
    lengths = {
        id(it)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and _name(call.func) == "len"
        for it in ast.walk(call)
    }
    return {it.id for it in ast.walk(node) if isinstance(it, ast.Name) and id(it) not in lengths}


def _key(node: ast.AST) -> str:
    """A name, an attribute of one, or an item of one by a text, as it is written; else empty."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=of), attr=name):
            return f"{of}.{name}"
        case ast.Subscript(value=ast.Name(id=of), slice=ast.Constant(value=str(name))):
            return f"{of}[{name!r}]"
    return ""


def _last(node: ast.expr) -> str:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((it.value for it in call.keywords if it.arg == name), None)


# ------------------------------------------------------------------------------------- the choice


_KEEPS: Final = {"save", "save_weights", "save_model", "save_checkpoint", "deepcopy"}
"""What keeps weights."""


STOPS: Final = "training stops by a value of the test split"
"""Then fewer epochs are trained than the code names."""


def _choosing(code: Code) -> Iterator[Finding]:
    keeps = _KEEPS | {
        name
        for name, function in code.functions.items()
        if any(isinstance(it, ast.Call) and _last(it.func) in _KEEPS for it in ast.walk(function))
    }
    callbacks = [it for it in code.nodes if isinstance(it, ast.Call) and _last(it.func) in _STOPS]
    for node in code.nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr="step"), args=[first, *_]) if (
                _names(first) & code.derived
            ):
                reason = "the schedule follows a value of the test split"
                yield Finding("test-chooses", code.at(node), reason)
            case ast.If(test=ast.Compare() as test, body=body) if _valued(test) & code.derived:
                for inner in (it for part in body for it in ast.walk(part)):
                    if isinstance(inner, ast.Break):
                        yield Finding("test-chooses", code.at(inner), STOPS)
                    elif isinstance(inner, ast.Call) and _last(inner.func) in keeps:
                        reason = "weights are kept by a value of the test split"
                        yield Finding("test-chooses", code.at(inner), reason)
            case ast.Call(func=ast.Attribute(attr="fit")) if _validates_on_test(code, node):
                for it in callbacks:
                    if _last(it.func) == "ModelCheckpoint" and not _keeps_the_best(it):
                        continue
                    watched = _keyword(it, "monitor")
                    if isinstance(watched, ast.Constant) and "val" not in str(watched.value):
                        continue
                    reason = f"{_last(it.func)} watches the test split, which fit is given"
                    yield Finding("test-chooses", code.at(it), reason)
                callbacks = []  # each is named once


def _keeps_the_best(call: ast.Call) -> bool:
    best = _keyword(call, "save_best_only")
    is_keras = isinstance(best, ast.Constant) and best.value is True
    return is_keras or _keyword(call, "save_top_k") is not None


def _validates_on_test(code: Code, call: ast.Call) -> bool:
    given = _keyword(call, "validation_data") or _keyword(call, "val_dataloaders")
    if given is None and len(call.args) == 3 and code.held.get(_name(call.args[1])) == "train":
        given = call.args[2]  # Lightning's
    return given is not None and any(code.held.get(_key(it)) == "test" for it in ast.walk(given))


def _validates_on(code: Code) -> Literal["test", "train", ""]:
    """Of which images a validation is: of test, or of some of training that were set aside."""
    calls = [it for it in code.nodes if isinstance(it, ast.Call)]
    if any(_last(it.func) == "fit" and _validates_on_test(code, it) for it in calls):
        return "test"
    if any(
        _last(it.func) in ("random_split", "train_test_split", "SubsetRandomSampler")
        or (_last(it.func) == "fit" and _keyword(it, "validation_split") is not None)
        for it in calls
    ):
        return "train"
    return ""


def _fitting(code: Code) -> frozenset[str]:
    return frozenset(
        str(code.at(it)).rpartition(":")[0]
        for it in code.nodes
        if isinstance(it, ast.Call) and _last(it.func) in ("fit", "fit_generator")
    )


def _judging(code: Code) -> frozenset[str]:
    """Cells with a call that is given test, and none that trains."""
    found: set[str] = set()
    for tree, origin in code.trees:
        nodes = list(ast.walk(tree))
        words = " ".join(_last(it) for it in nodes if isinstance(it, ast.Name | ast.Attribute))
        trains = re.search(r"(?i)train|epoch|\bfit|backward|\bmain\b|\brun", words)
        if not trains and any(isinstance(it, ast.Call) and _reads_test(code, it) for it in nodes):
            found.add(str(origin).rpartition(":")[0])
    return frozenset(found)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _best(code: Code) -> Iterator[Finding]:
    """The largest of several test accuracies, where it is printed after the training."""
    lists = {it for it in code.filled if "loss" not in it.lower()}
    for node in code.nodes:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value]
            ) if _names(value) & code.derived and "loss" not in name.lower():
                lists.add(name)
    validated = any(
        isinstance(node, ast.Call) and _last(node.func) == "fit" and _validates_on_test(code, node)
        for node in code.nodes
    )
    largest = _largest(code, lists)
    loops = [it for it in code.nodes if isinstance(it, ast.For | ast.While)]
    within = [  # says how far it is, epoch by epoch
        {id(it) for it in ast.walk(loop)}
        for loop in loops
        if any(isinstance(it, ast.Name) and isinstance(it.ctx, ast.Store) and it.id in largest
               for it in ast.walk(loop))
    ]  # fmt: skip
    for node in code.nodes:
        if not (isinstance(node, ast.Call) and _name(node.func) == "print"):
            continue
        text = ast.unparse(node)
        inside = [it for it in ast.walk(node) if isinstance(it, ast.Call) and it is not node]
        maxima = [it for it in inside if _name(it.func) in ("max", "amax")]
        of_test = any(_names(it) & lists for it in maxima)
        of_history = validated and any("val_acc" in ast.unparse(it) for it in maxima)
        of_name = _names(node) & largest and not any(id(node) in it for it in within)
        if of_test or of_history or of_name:
            reason = f"the best epoch on test is reported: {text[:60]}"
            yield Finding("best", code.at(node), reason)


def _largest(code: Code, lists: set[str]) -> set[str]:
    """Names that hold the largest of several test accuracies."""
    found: set[str] = set()
    for node in code.nodes:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="max"), args=args),
            ) if any(_names(it) & (code.derived | lists) for it in args):
                found.add(name)
            case ast.If(test=ast.Compare() as test, body=body) if _names(test) & code.derived:
                for inner in body:
                    match inner:
                        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=value)) if (
                            value in code.derived and {name, value} <= _names(test)
                        ):
                            found.add(name)
    found = {it for it in found if "loss" not in it.lower()}
    for name, function in code.functions.items():
        returned = [it.value for it in ast.walk(function) if isinstance(it, ast.Return)]
        if len(returned) != 1 or returned[0] is None:
            continue
        for node in code.nodes:
            match node:
                case ast.Assign(targets=[target], value=ast.Call(func=func)) if _last(func) == name:
                    found |= {
                        _name(to)
                        for to, it in zip(_items(target), _items(returned[0]), strict=False)
                        if _name(it) in found
                    }
    return found - {""}


def _items(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


# ------------------------------------------------------------------------------------- evaluation


def _evaluation(code: Code) -> Iterator[Finding]:
    """Where test is judged without eval mode, by a network with dropout or batch norm."""
    yield from _always_dropped(code)
    calls = [it for it in code.nodes if isinstance(it, ast.Call)]
    has_drops = any("Dropout" in _last(it.func) for it in calls)
    has_norms = any("BatchNorm" in _last(it.func) for it in calls)
    is_torch = any(isinstance(it, ast.Attribute) and it.attr in _NO_GRAD for it in code.nodes)
    if not (has_drops or has_norms) or not is_torch:
        return
    modes = {name: _modes(it) for name, it in code.functions.items()}
    everywhere = any(_is_eval(it) for it in calls)
    what = "dropout" if has_drops else "batch norm"
    judged = {_last(it.func): it for it in calls if _reads_test(code, it)}
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
        loops = [it for it in ast.walk(node.iter) if code.held.get(_key(it)) == "test"]
        used = {
            _last(it.func)
            for part in node.body
            for it in ast.walk(part)
            if isinstance(it, ast.Call)
        }
        if loops and "backward" not in used and used & _COUNTS and not used & {"break"}:
            reason = f"test is judged here, and nothing calls eval(): {what} is as in training"
            yield Finding("dropout-on", code.at(node), reason)


def _always_dropped(code: Code) -> Iterator[Finding]:
    """Dropout as a function, which is on unless it is told that nothing is trained."""
    for node, _, forward in _classes(code):
        for it in ast.walk(forward):
            match it:
                case ast.Call(func=ast.Attribute(value=of, attr=name), args=args) if (
                    name in _DROPS
                    and ast.unparse(of) in _FUNCTIONS
                    and len(args) < 3
                    and not any(key.arg in ("training", None) for key in it.keywords)
                    and code.number(_keyword(it, "p") or next(iter(args[1:]), None)) != 0
                ):
                    reason = f"{name} is not given training=self.training: it drops in evaluation"
                    yield Finding("dropout-on", code.at(it), reason, node.name)


_DROPS: Final = ("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_alpha_dropout")


def _is_eval(call: ast.Call) -> bool:
    """`eval()`, `train(False)` or `train(mode=False)`."""
    if _last(call.func) == "eval":
        return True
    given = next(iter(call.args), _keyword(call, "mode"))
    return _last(call.func) == "train" and isinstance(given, ast.Constant) and given.value is False


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
        called = _modes(loop).union(*(modes.get(_last(it.func), set()) for it in inside))
        if "eval" not in called and {"train", "backward"} <= called:
            held |= {id(it) for it in inside}
    calls = [it for it in code.nodes if isinstance(it, ast.Call)]
    within = {_last(it.func) for it in calls if id(it) in held}
    return within - {_last(it.func) for it in calls if id(it) not in held}


_NO_GRAD: Final = ("no_grad", "inference_mode", "set_grad_enabled")
_COUNTS: Final = {"argmax", "max", "eq", "sum"}
"""What is called where correct images are counted."""


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
        if name not in used and name not in loads and name.isidentifier():
            reason = f"{name} is configured, and nothing uses it"
            yield Finding("never-used", code.at(call), reason)
    for node in code.nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func)) if (
                name not in loads and _is_schedule(func)
            ):
                reason = f"{name} is configured, and nothing uses it: the rate stays as it is"
                yield Finding("never-used", code.at(node), reason)
    if len(norms) == 2 and norms["train"][0] != norms["test"][0]:
        said, reason = norms["train"][0], "test is normalised by {}, training by {}"
        yield Finding(
            "normalises-otherwise", code.at(norms["test"][1]), reason.format(norms["test"][0], said)
        )
    yield from _fills(code)


def _of_training(code: Code) -> Iterator[Finding]:
    """Images that are called test, and are those of training."""
    for node in code.nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _CALLED_TEST.search(name):
                for it in ast.walk(value):
                    if isinstance(it, ast.Call) and _last(it.func) in _FIRST:
                        given = _keyword(it, "train")
                        if isinstance(given, ast.Constant) and given.value is True:
                            reason = f"{name} has the training images: train=True"
                            yield Finding("test-is-training", code.at(it), reason)


_CALLED_TEST: Final = re.compile(r"(?i)(?:^|_)test(?:$|_|set|data|loader)")


def _fills(code: Code) -> Iterator[Finding]:
    """What moves digits and fills in another value than they stand on there."""
    after: dict[int, float | None] = {}
    for node in code.nodes:
        match node:
            case ast.Call(func=func, args=[ast.List(elts=steps), *_]) if _last(func) == "Compose":
                background: float | None = 0.0
                is_after = False
                for step in steps:
                    if is_after:
                        after |= {id(it): background for it in ast.walk(step)}
                    if isinstance(step, ast.Call) and _last(step.func) == "Normalize":
                        is_after, background = True, _background(code, step)
    for node in code.nodes:
        if not isinstance(node, ast.Call) or not _last(node.func).startswith("Random"):
            continue
        name, given = _last(node.func), _keyword(node, "fill")
        value = code.number(next(iter(_items(given)), None) if given is not None else None)
        if id(node) not in after:
            if value is not None and value > 0:
                filled = f"{value:g} (of 255, where it stands before ToTensor)"
                reason = f"{name} fills with {filled}, and digits stand on 0"
                yield Finding("fill", code.at(node), reason)
            continue
        value = 0.0 if given is None and name in _MOVES else value
        stands = after[id(node)]
        if value is not None and stands is not None and abs(value - stands) > _NEAR:
            reason = (
                f"{name} fills with {value:g} after Normalize, where digits stand on {stands:.4g}"
            )
            yield Finding("fill", code.at(node), reason)


_MOVES: Final = ("RandomRotation", "RandomAffine", "RandomPerspective")
"""They fill with 0 unless told otherwise."""
_NEAR: Final = 0.05


def _background(code: Code, normalize: ast.Call) -> float | None:
    """What 0 becomes."""
    given = [
        _keyword(normalize, name) or (normalize.args[at] if at < len(normalize.args) else None)
        for at, name in enumerate(("mean", "std"))
    ]
    firsts = [
        it.elts[0] if isinstance(it, ast.Tuple | ast.List) and it.elts else it for it in given
    ]
    mean, std = (code.number(it) for it in firsts)
    return None if mean is None or not std else -mean / std


def _is_schedule(func: ast.expr) -> bool:
    """Whether a call makes a schedule of torch."""
    return _last(func).endswith("LR") or _last(func) == "ReduceLROnPlateau"


# ---------------------------------------------------------------------------------- the network


def _classes(code: Code) -> Iterator[tuple[ast.ClassDef, dict[str, ast.Call], ast.FunctionDef]]:
    """Modules with their layers, by attribute, and their forward.

    Where some are made into networks, those that nothing makes are passed over.
    """
    modules = [
        it
        for it in code.nodes
        if isinstance(it, ast.ClassDef) and any("Module" in _last(b) for b in it.bases)
    ]
    called = {_last(it.func) for it in code.nodes if isinstance(it, ast.Call)}
    called |= {
        _last(base) for it in code.nodes if isinstance(it, ast.ClassDef) for base in it.bases
    }
    is_made = any(it.name in called for it in modules)
    for node in modules:
        if is_made and node.name not in called:
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
    outside = {it.attr for it in code.nodes if isinstance(it, ast.Attribute)
               and isinstance(it.ctx, ast.Load) and _name(it.value) != "self"}  # fmt: skip
    own = {node.name for node, *_ in _classes(code)}
    for node, layers, _ in _classes(code):
        heirs = [
            it
            for it in code.nodes
            if isinstance(it, ast.ClassDef) and node.name in {_last(base) for base in it.bases}
        ]
        read = {
            it.attr
            for one in (node, *heirs)
            for it in ast.walk(one)
            if isinstance(it, ast.Attribute)
            and isinstance(it.ctx, ast.Load)
            and _name(it.value) == "self"
        }
        text = ast.unparse(node)
        if any(word in text for word in ("children", "modules()", "getattr", "__dict__")):
            continue
        for name, call in layers.items():
            if name not in read | outside and _is_layer(call, own):
                reason = f"self.{name} is declared and never called"
                yield Finding("never-called", code.at(call), reason, node.name)


def _has_one_network(code: Code) -> bool:
    """Whether not more than one class of modules is made outside classes, and it has one text."""
    classes = [it for it in code.nodes if isinstance(it, ast.ClassDef)]
    names = [it.name for it in classes if any("Module" in _last(base) for base in it.bases)]
    inside = {id(it) for one in classes for it in ast.walk(one)}
    made = {
        _name(it.func)
        for it in code.nodes
        if isinstance(it, ast.Call) and id(it) not in inside and _name(it.func) in names
    }
    return len(made) <= 1 and all(names.count(it) == 1 for it in made)


def _is_layer(call: ast.Call, own: set[str]) -> bool:
    """Whether a call makes a layer of torch, or a module of the notebook; a loss is none."""
    name = _last(call.func)
    is_torch = name[:1].isupper() and ast.unparse(call.func).rpartition(".")[0] in _NN
    return name in own or (is_torch and "Loss" not in name and name != "Parameter")


_NN: Final = ("nn", "torch.nn")


def _logits(code: Code) -> Iterator[Finding]:
    """Dropout as the last layer that is called in forward, or the last step on the outputs."""
    for node, layers, forward in _classes(code):
        calls = [
            it
            for statement in forward.body
            for it in _in_order(statement)
            if isinstance(it.func, ast.Attribute)
            and _name(it.func.value) == "self"
            and it.func.attr in layers
        ]
        made = [layers[it.func.attr] for it in calls if isinstance(it.func, ast.Attribute)]
        last = made[-1] if made else None
        if last is not None and _last(last.func) == "Sequential" and last.args:
            last = last.args[-1] if isinstance(last.args[-1], ast.Call) else None
        steps = [it for it in _backwards(forward, layers) if it.kind not in _SAME]
        on = "dropout on the logits"
        if last is not None and _last(last.func).startswith("Dropout"):
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


def _bounded(code: Code) -> Iterator[Finding]:
    """What bounds the outputs before a loss on classes, which then cannot tell them far apart."""
    calls = [it for it in code.nodes if isinstance(it, ast.Call)]
    losses = {_last(it.func).lower() for it in calls} & _LOSSES
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
        and _last(it.value.func) == "CrossEntropyLoss"
    }
    for call in calls:
        match call:
            case ast.Call(func=func, args=[ast.Call() as given, *_]) if (
                _last(func) == "cross_entropy"
                or _name(func) in made
                or (isinstance(func, ast.Call) and _last(func.func) == "CrossEntropyLoss")
            ):
                found = _steps(given, {})
                if found and found[0][0].kind == "softmax":
                    yield Finding("bounded-logits", code.at(given), twice)
    yield from _bounded_in_keras(code, calls)


def _bounded_in_keras(code: Code, calls: list[ast.Call]) -> Iterator[Finding]:
    compiled = [it for it in calls if _last(it.func) == "compile"]
    losses = [ast.unparse(it) if it else "" for it in (_keyword(it, "loss") for it in compiled)]
    if not losses or not all("crossentropy" in it.lower() for it in losses):
        return
    has_own = all(re.search(r"from_logits\s*=\s*True", it) for it in losses)
    last: dict[str, ast.Call] = {}
    for call in calls:
        match call:
            case ast.Call(func=func, args=[ast.List(elts=[*_, ast.Call() as layer]), *_]) if (
                _last(func) == "Sequential"
            ):
                last[str(len(last))] = layer
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="add"), args=[ast.Call() as layer]
            ):
                last[name] = layer
    for layer in last.values():
        given = _keyword(layer, "activation")
        if _last(layer.func) != "Dense" or not isinstance(given, ast.Constant):
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
        _last(it.func)
        for one in code.nodes
        if isinstance(one, ast.ClassDef) and not any("Lightning" in _last(b) for b in one.bases)
        for it in ast.walk(one)
        if isinstance(it, ast.Call)
    }
    for node, layers, forward in _classes(code):
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
            if _last(made.func) != "Sequential":
                return [_Step(_last(made.func).lower(), call, made)], inner
            parts = [it for it in reversed(made.args) if isinstance(it, ast.Call)]
            if len(parts) < len(made.args):
                return None
            return [_Step(_last(it.func).lower(), it, it) for it in parts], inner
        case ast.Call(func=ast.Call(func=func), args=[inner]):
            return [_Step(_last(func).lower(), call, call)], inner
        case ast.Call(func=ast.Attribute(value=of, attr=name), args=args) if _name(of) != "self":
            is_function = ast.unparse(of) in _FUNCTIONS
            if not is_function or args:
                step = _Step(name.lower().rstrip("_"), call, call)
                return [step], args[0] if is_function else of
        case ast.Call(func=ast.Name(id=name), args=[inner, *_]):
            return [_Step(name.lower().rstrip("_"), call, call)], inner
    return None


_FUNCTIONS: Final = ("F", "torch", "nn.functional", "torch.nn.functional")


def _outputs(code: Code, step: _Step) -> float | None:
    """Of a layer with weights."""
    named = {"linear": "out_features", "conv2d": "out_channels"}.get(step.kind)
    if named is None:
        return None
    given = _keyword(step.made, named)
    return code.number(given or (step.made.args[1] if len(step.made.args) > 1 else None))


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
                    wraps = {part for it in inside for part in _names(it)} & made.keys()
                    if not wraps - {name}:
                        made.setdefault(name, statement)
    if len(made) > 1:
        reason = "one global seed, and a network after another: the second depends on the first"
        yield Finding("one-seed", code.at(list(made.values())[1]), reason)


def _seeds_tried(code: Code) -> int:
    """The values of the longest loop whose variable is set as a seed; 1 where there is none."""
    sets_its_own = {
        name
        for name, function in code.functions.items()
        if _sets_a_seed(function, {it.arg for it in function.args.args})
    } | _SETS_A_SEED
    lists: dict[str, ast.expr] = {}
    for node in code.nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                lists[name] = value
    tried = 1
    for node in code.nodes:
        match node:
            case ast.For(target=target, iter=looped):
                pass
            case ast.ListComp(generators=[ast.comprehension(target=target, iter=looped)]):
                pass
            case _:
                continue
        if _sets_a_seed(node, _names(target), sets_its_own):
            tried = max(tried, _values(code, looped, lists))
    return tried


def _sets_a_seed(node: ast.AST, names: set[str], functions: set[str] = _SETS_A_SEED) -> bool:
    """Whether one of some names is given to a function that sets a seed."""
    return any(
        isinstance(it, ast.Call)
        and _last(it.func) in functions
        and any(
            names & _names(argument) for argument in (*it.args, *(key.value for key in it.keywords))
        )
        for it in ast.walk(node)
    )


def _values(code: Code, looped: ast.expr, lists: dict[str, ast.expr]) -> int:
    """How many values a loop has that is written out, or a range of numbers; else 1."""
    match looped:
        case ast.Name(id=name) if name in lists and not isinstance(lists[name], ast.Name):
            return _values(code, lists[name], {})
        case ast.Call(func=ast.Name(id="enumerate" | "tqdm" | "list"), args=[inner, *_]):
            return _values(code, inner, lists)
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            return len(elements)
    length = _length(code, looped)
    return 1 if length is None else int(length)


def _length(code: Code, looped: ast.expr) -> float | None:
    """Of a range; a bar around it changes nothing."""
    match looped:
        case ast.Call(func=func, args=[last]) if _last(func) in ("range", "trange", "arange"):
            return code.number(last)
        case ast.Call(func=func, args=[begin, last]) if _last(func) in ("range", "arange"):
            first, end = code.number(begin), code.number(last)
            return None if first is None or end is None else end - first
        case ast.Call(func=func, args=[inner, *_]) if _last(func) in ("tqdm", "track"):
            return _length(code, inner)
    return None


def _epochs(code: Code, nodes: Sequence[ast.AST]) -> tuple[int, Origin] | None:
    """The most epochs that some code names, and where."""
    found: list[tuple[float, ast.AST]] = []
    loops = [it for it in nodes if isinstance(it, ast.For | ast.While)]
    repeated = {id(it) for loop in loops for it in ast.walk(loop) if isinstance(it, ast.Call)}
    fits = [it for it in nodes if isinstance(it, ast.Call) and _last(it.func) == "fit"]
    counts = [_keyword(it, "epochs") for it in fits if id(it) in repeated]
    if counts and all((code.number(it) or 1) <= 1 for it in counts):
        return None  # as often as the loop, which is not followed
    for node in nodes:
        match node:
            case ast.For(target=ast.Name(id=name), iter=looped) if (
                "epoch" in name.lower() or _EPOCHS.search(ast.unparse(looped))
            ):
                if (length := _length(code, looped)) is not None:
                    found.append((length, node))
            case ast.Call(func=func, keywords=keywords) if not _is_other(func):
                for it in keywords:
                    if it.arg and _EPOCHS.fullmatch(it.arg):
                        if (number := code.number(it.value)) is not None:
                            found.append((number, node))
    if not found:  # the loop is elsewhere
        for node in nodes:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if _EPOCHS.fullmatch(
                    name
                ) and name.lower().endswith("epochs"):
                    if (number := code.number(value)) is not None:
                        found.append((number, node))
    found = [it for it in found if 0 < it[0] < 1e9]
    if not found:
        return None
    most, node = max(found, key=lambda it: it[0])
    return int(most), code.at(node)


def _by_cell(code: Code) -> tuple[Cell, ...]:
    modules = set(_parts(code))
    cells = []
    until = Code()
    for tree, origin in code.trees:
        nodes = list(ast.walk(tree))
        for node in nodes:
            _assigned(until, node, loads=False)
        here = replace(code, numbers=code.numbers | until.numbers)  # as they are in this cell
        made = [
            (name, _last(call.func))
            for statement in tree.body
            for name, value in _bindings(statement)
            for call in ast.walk(value)
            if isinstance(call, ast.Call) and _last(call.func) in modules
        ]
        reads = {it.id for it in nodes if isinstance(it, ast.Name) and isinstance(it.ctx, ast.Load)}
        cells.append(
            Cell(
                str(origin).rpartition(":")[0],
                _epochs(here, nodes),
                tuple(made),
                frozenset(reads),
                frozenset(_datasets(nodes)),
            )
        )
    return tuple(cells)


def _bindings(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Names that a statement, or one inside a loop, gives a value."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.For(body=body) | ast.While(body=body) | ast.If(body=body) | ast.With(body=body):
            for inner in body:
                yield from _bindings(inner)


_DATASETS: Final = {
    "mnist": "mnist",
    "fashionmnist": "fashion-mnist",
    "fashion_mnist": "fashion-mnist",
    "kmnist": "kmnist",
    "emnist": "emnist",
    "qmnist": "qmnist",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "svhn": "svhn",
    "usps": "usps",
    "imdb": "imdb",
    "reuters": "reuters",
    "image_dataset_from_directory": "pictures in a folder",
    "imagefolder": "pictures in a folder",
}
"""By what loads them, in small letters."""


def _datasets(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """What some code loads: `MNIST(…)`, `mnist.load_data()`, `load_dataset("mnist")`."""
    for node in nodes:
        match node:
            case ast.Call(func=ast.Attribute(value=of, attr="load_data")):
                name = _last(of)
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if _last(func) in (
                "load",
                "load_dataset",
                "fetch_openml",
            ):
                name = name.rpartition("/")[2].removesuffix("_784")
            case ast.Call(func=func):
                name = _last(func)
            case _:
                continue
        if found := _DATASETS.get(name.lower()):
            yield found


def _parts(code: Code) -> dict[str, frozenset[str]]:
    """Classes of modules, with what they have inside or inherit from, and themselves."""
    classes = {it.name: it for it in code.nodes if isinstance(it, ast.ClassDef)}
    direct = {
        name: {_last(it.func) for it in ast.walk(node) if isinstance(it, ast.Call)}
        | {_last(it) for it in node.bases}
        for name, node in classes.items()
    }
    modules = {
        name
        for name, node in classes.items()
        if any("Module" in _last(it) or _last(it) in classes for it in node.bases)
    }
    found = {}
    for name in modules:
        inside, more = {name}, [name]
        while more:
            new = (direct[more.pop()] & modules) - inside
            inside |= new
            more += new
        found[name] = frozenset(inside)
    return found


def _is_other(func: ast.expr) -> bool:
    """Whether the epochs that a call is given are no training: of a schedule, a dict, a plot."""
    name = _last(func)
    others = ("dict", "print", "add_argument", "SimpleNamespace", "EasyDict", "Namespace")
    return name in others or name.endswith("LR") or "schedul" in name.lower() or "plot" in name

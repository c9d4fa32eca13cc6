"""Which names hold numbers, splits and transforms, and what comes from the test images."""

from __future__ import annotations

import ast
import re
from typing import Final

from mnist_arch.claims.habits.code import Code
from mnist_arch.claims.habits.syntax import key_of, keyword_of, last_name, plain_name

DATASET_CLASSES: Final = {"MNIST", "FashionMNIST", "KMNIST", "QMNIST", "EMNIST"}
EPOCHS: Final = re.compile(r"(?i)(?:^|[._'\"])(?:n|nb|num|max|no_of|number_of|total)?_?epochs?\b")


def follow(code: Code) -> None:
    """Which names hold numbers, splits, transforms, and what comes from test."""
    code.functions |= {it.name: it for it in code.nodes if isinstance(it, ast.FunctionDef)}
    loads = any(isinstance(it, ast.Attribute) and it.attr == "load_data" for it in code.nodes)
    for _ in range(2):  # what is deeper comes later
        for node in code.nodes:
            follow_assigned(code, node, loads=loads)
    _arguments(code)
    for node in code.nodes:
        if isinstance(node, ast.Assign) and reads_test(code, node.value):
            for target in node.targets:
                items = target.elts if isinstance(target, ast.Tuple) else [target]
                code.derived |= {it.id for it in items if isinstance(it, ast.Name)}
    code.filled |= _filled(code)
    code.derived |= code.filled


def _filled(code: Code) -> set[str]:
    """Lists to which a function appends that is called with test alone, by their names outside."""
    found: set[str] = set()
    for name, function in code.functions.items():
        calls = [it for it in code.nodes if isinstance(it, ast.Call) and last_name(it.func) == name]
        if not calls or not all(reads_test(code, it) for it in calls):
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
                        it.args[at] if at < len(it.args) else keyword_of(it, filled) for it in calls
                    ]
                    found |= {plain_name(it) for it in given if it is not None} - {""}
                case ast.Call(func=ast.Attribute(value=ast.Name(id=filled), attr="append")) if (
                    filled not in assigned
                ):
                    found.add(filled)
    return found


def follow_assigned(code: Code, node: ast.AST, *, loads: bool) -> None:
    """What one assignment says of names: numbers, splits, transforms."""
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=[_, ast.Tuple(elts=test)])], value=value) if (
            loads and not isinstance(value, ast.Tuple)
        ):
            names = [it.id for it in test if isinstance(it, ast.Name)]
            if not any("val" in it for it in names):
                code.held |= dict.fromkeys(names, "test")
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Call(func=func)) if (
            _is_elsewhere(code, func) and any(_NAMED.search(plain_name(it)) for it in targets)
        ):
            for it in targets:
                if found := _NAMED.search(plain_name(it)):
                    code.held.setdefault(plain_name(it), found[1].lower())
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(
            targets
        ) == len(values):
            for to, each in zip(targets, values, strict=True):
                if name := key_of(to):
                    _named(code, name, each)
        case (
            ast.Assign(targets=[target], value=value)
            | ast.AnnAssign(target=target, value=ast.expr() as value)
        ):
            if name := key_of(target):
                _named(code, name, value)
        case ast.Call(
            func=ast.Attribute(attr="add_argument"), args=[*_, ast.Constant(value=str(flag))]
        ):
            _number(code, "." + flag.lstrip("-").replace("-", "_"), keyword_of(node, "default"))
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
    name = last_name(func)
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
            if last_name(func) == "Compose":
                code.transforms[name] = value
            _split(code, name, value)
            for it in keywords:
                if it.arg and last_name(func) in (
                    "dict",
                    "SimpleNamespace",
                    "EasyDict",
                    "Namespace",
                ):
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
        case ast.Call(func=func, args=[inside, *_]) if last_name(func) in _COPIES:
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
        if isinstance(node, ast.Call) and last_name(node.func) in code.functions:
            called.setdefault(last_name(node.func), []).append(node)
    for name, function in code.functions.items():
        names = [it.arg for it in (*function.args.posonlyargs, *function.args.args)]
        defaults = function.args.defaults
        by_default = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
        names = names[1:] if names[:1] == ["self"] else names
        for position, parameter in enumerate(names):
            if not EPOCHS.search(parameter):
                continue
            given = [
                keyword_of(it, parameter)
                or (it.args[position] if position < len(it.args) else None)
                for it in called.get(name, [])
            ]
            values = [code.number(it) for it in given if it is not None]
            if not values and len(given) == len(called.get(name, [])):
                values = [code.number(by_default.get(parameter))]
            known = [it for it in values if it is not None]
            if known and parameter not in code.numbers:
                code.numbers[parameter] = max(known)


def _split(code: Code, name: str, call: ast.Call) -> None:
    called = last_name(call.func)
    if called in DATASET_CLASSES:
        given = keyword_of(call, "train") or (call.args[1] if len(call.args) > 1 else None)
        if not isinstance(given, ast.Constant) or not isinstance(given.value, bool):
            return
        split = "train" if given.value else "test"
        code.held[name] = split
        transform = keyword_of(call, "transform")
        if transform is not None and (key := key_of(transform)):
            code.used_transforms[key] = split
        elif isinstance(transform, ast.Call) and last_name(transform.func) == "Compose":
            code.transforms[f"{name}.transform"] = transform
            code.used_transforms[f"{name}.transform"] = split
    elif called == "DataLoader":
        data = keyword_of(call, "dataset") or next(iter(call.args), None)
        if data is not None and key_of(data) in code.held:
            code.held[name] = code.held[key_of(data)]
        elif isinstance(data, ast.Call):
            _split(code, name, data)
    elif _is_elsewhere(code, call.func) and _NAMED.search(name):
        given = keyword_of(call, "train")
        if isinstance(given, ast.Constant) and isinstance(given.value, bool):
            code.held[name] = "train" if given.value else "test"


def reads_test(code: Code, value: ast.expr) -> bool:
    """Whether a call is given the test images, and no training images."""
    if not isinstance(value, ast.Call) or last_name(value.func) in (
        DATASET_CLASSES | {"DataLoader", "fit"}
    ):
        return False
    given = [it for it in (*value.args, *(key.value for key in value.keywords))]
    splits = {code.held.get(key_of(it)) for it in given}
    is_own = isinstance(value.func, ast.Name) or last_name(value.func) == "evaluate"
    return is_own and "test" in splits and "train" not in splits

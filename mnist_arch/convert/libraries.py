"""What names of torch and Keras mean in code that is read: layers, tensors, kept calls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mnist_arch.convert import graph as g
from mnist_arch.convert import keras_layers, modules
from mnist_arch.convert.inference import IMAGE
from mnist_arch.convert.interpreter.known import MATH
from mnist_arch.convert.interpreter.reading import MAX_STEPS, Interpreter
from mnist_arch.convert.interpreter.values import (
    Batch,
    Class,
    Dotted,
    Instance,
    Method,
    Super,
    Unknown,
    Unsupported,
)
from mnist_arch.convert.questions import refusal
from mnist_arch.errors import Origin

MAX_RECORDED: Final = 5_000
_TORCH: Final = "torch.nn"
_MADE: Final = ("zeros", "ones", "rand", "randn", "empty")
_CONTAINERS: Final = ("Sequential", "ModuleList", "ModuleDict")
_SAME: Final = (
    "to cuda cpu float double half eval train apply requires_grad_ contiguous clone detach "
    "type share_memory compile"
).split()
"""Methods that give back what they are called on, as far as the network is concerned."""
_BASES: Final = ("Module", "Model", "LightningModule", *_CONTAINERS)
_JOINS: Final = {"cat": "concatenation", "concat": "concatenation", "add": "sum", "mul": "product"}


@dataclass(eq=False)
class Layer:
    """A layer of a library, with its arguments by name."""

    kind: str
    arguments: dict[str, Any]
    place: Origin
    key: str
    of_keras: bool = False


@dataclass(eq=False)
class Box:
    """Sequential, ModuleList or ModuleDict of torch."""

    kind: str
    children: dict[str, Any]
    place: Origin = field(default_factory=lambda: Origin(""))
    lost: Unknown | None = None
    """Why its children are not known any more."""


@dataclass(frozen=True)
class Tensor:
    """A value of a graph."""

    graph: g.Graph = field(hash=False, compare=False)
    value: int
    images: int | None = None
    """How many there are, of those that the code makes itself."""

    def then(self, value: int) -> Tensor:
        """What comes out where this goes in."""
        return Tensor(self.graph, value, self.images)

    @property
    def shape(self) -> tuple[Any, ...]:
        """All its sides; the first is the number of images."""
        first = Batch() if self.images is None else self.images
        return first, *self.graph.shape(self.value)


@dataclass(frozen=True)
class Flat:
    """All values of the images that the code makes itself, in a row."""

    shape: tuple[int, ...]


@dataclass(eq=False)
class Recorded:
    """A call of a library that is no layer: an optimizer, a transform."""

    name: str
    arguments: list[Any]
    keywords: dict[str, Any]
    place: Origin


@dataclass(eq=False)
class Options:
    """A parser of the command line, or what it reads: the options that are not given."""

    defaults: dict[str, Any]
    place: Origin


@dataclass(eq=False)
class KerasModel:
    """A model of Keras: layers in a row, or the values that its graph ends in."""

    layers: list[Any]
    output: Tensor | None = None
    shape: Any = None
    place: str = ""
    lost: Unknown | None = None
    """Why its layers are not known any more."""


_SCALED: Final = "a scale of a layer norm without a shift"
_GHOST: Final = g.Norm("other", over="ghost batch norm whose splits are not known")


class Libraries:
    """The libraries that code uses, as the interpreter sees them."""

    def __init__(self, *, is_partial: bool = False) -> None:
        self.interpreter = Interpreter(self)
        self.is_partial = is_partial
        """Whether a layer that is not known is passed over, and told."""
        self.recorded: list[Recorded] = []
        self.models: list[KerasModel] = []
        self.count = 0

    # --------------------------------------------------------------------------------------- calls

    def call(self, name: str, arguments: list[Any], keywords: dict[str, Any], place: Origin) -> Any:
        full = canonical(name)
        module, _, last = full.rpartition(".")
        if module == "math" and last in MATH:
            return self._math(last, arguments, place)
        if full == "argparse.ArgumentParser":
            return Options({}, place)
        if full in ("toolz.pipe", "cytoolz.pipe") and arguments:
            return self._in_order(arguments[1:], arguments[:1], place)
        if module == "collections" and last == "OrderedDict":
            pairs = arguments[0] if arguments else []
            return dict(pairs) if _are_pairs(pairs) else dict(keywords)
        if module == "torch.nn":
            if last in _CONTAINERS:
                return Box(last, _children(arguments, place), place)
            if last in modules.SIGNATURES or last == "Identity":
                return self._layer(last, arguments, keywords, place)
        if module == "keras.layers":
            return self._keras_layer(last, arguments, keywords, place)
        if last in ("image_data_format", "image_dim_ordering"):
            return "channels_last"
        if module == "torch" and last in _MADE and (made := self._scratch(arguments)) is not None:
            return made
        if full in ("keras.models.Sequential", "keras.Sequential"):
            layers = arguments[0] if arguments else keywords.get("layers", [])
            model = KerasModel(list(self.interpreter_items(layers)), place=place)
            self.models.append(model)
            return model
        if full in ("keras.Input", "keras.models.Input"):
            return self._input(arguments, keywords, place)
        if full in ("keras.Model", "keras.models.Model"):
            return self._model(arguments, keywords, place)
        is_torch = module in ("torch", "torch.nn.functional")
        if is_torch and (unknown := _unknown([*arguments, *keywords.values()])) is not None:
            return unknown
        if is_torch and _tensors([arguments, keywords]):
            return self._function(last, arguments, keywords, place)
        if _tensors([arguments, keywords]):
            raise Unsupported(f"the function {full} is not read here", place)
        return self._record(full, arguments, keywords, place)

    def interpreter_items(self, value: Any) -> list[Any]:
        """The items of a list, or none."""
        return list(value) if isinstance(value, list | tuple) else []

    def _scratch(self, arguments: list[Any]) -> Any:
        """An image that code makes to see how large its maps become; None where it makes none."""
        sides = arguments[0] if len(arguments) == 1 else arguments
        if not isinstance(sides, list | tuple) or not all(isinstance(it, int) for it in sides):
            return None
        if len(sides) != 4 or sides[0] < 1 or tuple(sides[1:]) != IMAGE:
            return None
        return Tensor(g.Graph(IMAGE), -1, images=sides[0])

    def _record(
        self, name: str, arguments: list[Any], keywords: dict[str, Any], place: Origin
    ) -> Any:
        if name.startswith(("torch.cuda", "torch.device", "os.", "time.")):
            return Unknown(f"what {name} gives is not known", place)
        made = Recorded(name, arguments, keywords, place)
        if len(self.recorded) < MAX_RECORDED:
            self.recorded.append(made)
        return made

    def _math(self, name: str, arguments: list[Any], place: Origin) -> Any:
        if len(arguments) == 1 and all(isinstance(it, int | float) for it in arguments):
            try:
                return MATH[name](arguments[0])
            except (ValueError, ArithmeticError, TypeError) as error:
                raise Unsupported(f"math.{name} fails: {error}", place) from None
        if name == "prod" and arguments and isinstance(arguments[0], list | tuple):
            if all(isinstance(it, int) for it in arguments[0]) and len(arguments[0]) < 9:
                return math.prod(arguments[0])
        raise Unsupported(f"math.{name} of these", place)

    def _layer(
        self, kind: str, arguments: list[Any], keywords: dict[str, Any], place: Origin
    ) -> Layer:
        self.count += 1
        key = f"{place}#{self.count}"
        if kind == "Identity":
            return Layer(kind, {}, place, key)
        values = modules.bound(modules.SIGNATURES[kind], arguments, keywords, kind, place)
        self._known(values, kind, place)
        return Layer(kind, values, place, key)

    def _known(self, values: dict[str, Any], kind: str, place: Origin) -> None:
        for name, value in values.items():
            if isinstance(value, Unknown):
                raise Unsupported(f"{kind}: {name} is not known: {value.why}", value.place or place)

    def _keras_layer(
        self, name: str, arguments: list[Any], keywords: dict[str, Any], place: Origin
    ) -> Any:
        if name == "Input":
            return self._input(arguments, keywords, place)
        kind = keras_layers.ALIASES.get(name, name)
        if kind not in keras_layers.SIGNATURES:
            if name[:1].isupper():
                return Layer(name, {}, place, "", of_keras=True)
            raise Unsupported(f"keras.layers.{name} is not read here", place)
        own = {key: value for key, value in keywords.items() if key not in keras_layers.IGNORED}
        for key in [it for it in own if it.endswith(("_regularizer", "_constraint"))]:
            if (value := own.pop(key)) is not None:
                self._record(f"keras.{key}", [value], {}, place)
        if kind == "LeakyReLU" and "alpha" in own:
            own["negative_slope"] = own.pop("alpha")
        if name != kind and name.islower():  # add([a, b])
            return self._keras(
                Layer(kind, {"axis": -1}, place, "", of_keras=True), arguments, place
            )
        if name == "Convolution2D" and len(arguments) > 2 and isinstance(arguments[2], int):
            arguments = [arguments[0], (arguments[1], arguments[2]), *arguments[3:]]
        values = modules.bound(keras_layers.SIGNATURES[kind], arguments, own, kind, place)
        activation = values.get("activation")
        if isinstance(activation, Dotted):
            values["activation"] = activation.name
        self._known(values, kind, place)
        self.count += 1
        made = Layer(kind, values, place, f"{place}#{self.count}", of_keras=True)
        if isinstance(length := keywords.get("input_dim"), int):
            made.arguments = {**values, "input_shape": (length,)}
        for key in ("input_shape", "batch_input_shape", "shape"):
            if isinstance(shape := keywords.get(key), list | tuple):
                made.arguments = {**values, "input_shape": shape[1:] if key[0] == "b" else shape}
        return made

    def _input(self, arguments: list[Any], keywords: dict[str, Any], place: Origin) -> Tensor:
        graph = g.Graph(IMAGE)
        shape = arguments[0] if arguments else keywords.get("shape")
        return Tensor(graph, keras_layers.start(graph, shape, place))

    def _model(self, arguments: list[Any], keywords: dict[str, Any], place: Origin) -> KerasModel:
        given = [
            *arguments,
            *(keywords[it] for it in ("inputs", "outputs", "input", "output") if it in keywords),
        ]
        if len(given) < 2:
            raise Unsupported("a model without inputs and outputs", place)
        output = (
            given[1][0] if isinstance(given[1], list | tuple) and len(given[1]) == 1 else given[1]
        )
        if isinstance(output, Unknown):
            raise Unsupported(output.why, output.place or place)
        if not isinstance(output, Tensor):
            raise Unsupported("a model of several outputs", place)
        model = KerasModel([], output, place=place)
        self.models.append(model)
        return model

    # ---------------------------------------------------------------------------- layers on values

    def invoke(
        self, called: Any, arguments: list[Any], keywords: dict[str, Any], place: Origin
    ) -> Any:
        if any(isinstance(it, Unknown) for it in arguments):
            return next(it for it in arguments if isinstance(it, Unknown))
        _check_known(called)
        match called:
            case Layer() if called.of_keras:
                return self._keras(called, arguments, place)
            case Layer(place=made_at) if len(arguments) == 1 and isinstance(arguments[0], Tensor):
                tensor: Tensor = arguments[0]
                weights = called.key
                value = modules.apply(
                    tensor.graph,
                    called.kind,
                    called.arguments,
                    tensor.value,
                    place=made_at,
                    weights=weights if _has_tensors(called.kind) else "",
                )
                return tensor.then(value)
            case Box(kind="Sequential"):
                return self._in_order(list(called.children.values()), arguments, place)
            case Instance() if (box := called.attributes.get("__children__")) is not None:
                _check_known(box)
                return self._in_order(list(box.children.values()), arguments, place)
            case KerasModel() if called.output is None and len(arguments) == 1:
                return self._in_order(called.layers, arguments, place)
            case Recorded(name=name, place=made_at) if _tensors([arguments, keywords]):
                if (passed := self.not_known(name, arguments, made_at)) is not None:
                    return passed
                raise Unsupported(f"{name} is not read here", made_at)
        if _tensors([arguments, keywords]):
            raise Unsupported("a call of something that is no layer", place)
        return Unknown("a call of this kind", place)

    def not_known(self, what: str, arguments: list[Any], place: Origin) -> Any:
        """A layer that is not known, passed over where a part of a network will do; else None."""
        if not self.is_partial or not arguments or not isinstance(arguments[0], Tensor):
            return None
        tensor = arguments[0]
        made = tensor.graph.add(g.Other(f"a layer ({what})"), tensor.value, place=place)
        return tensor.then(made)

    def known(self, called: Any, arguments: list[Any], place: Origin) -> Any:
        """What an object of the source does that is known by its name; None where none is."""
        name = called.cls.name.lower()
        if "ghost" in name and "norm" in name and arguments and isinstance(arguments[0], Tensor):
            graph, value = arguments[0].graph, arguments[0].value
            found = (called.attributes.get(it) for it in ("num_splits", "splits", "n_splits"))
            splits = next((it for it in found if isinstance(it, int) and it > 0), None)
            norm = g.Norm("batch", splits=splits) if splits else _GHOST
            return Tensor(graph, graph.add(norm, value, place=place, weights=called.key))
        return None

    def _in_order(self, layers: list[Any], arguments: list[Any], place: Origin) -> Any:
        if len(arguments) != 1:
            raise Unsupported("layers in a row on several values", place)
        value = arguments[0]
        for layer in layers:
            value = self.interpreter.call(layer, [value], {}, _at(place))
        return value

    def _keras(self, layer: Layer, arguments: list[Any], place: Origin) -> Any:
        given = arguments[0] if arguments else None
        values: list[Any] = list(given) if isinstance(given, list | tuple) else [given]
        for value in values:
            if isinstance(value, Unknown):
                return value
            if not isinstance(value, Tensor):
                raise Unsupported(f"{layer.kind} on something that is no tensor", place)
        if layer.kind not in keras_layers.SIGNATURES:
            raise Unsupported(f"keras.layers.{layer.kind} is not read here", layer.place)
        if layer.kind in ("InputLayer", "Rescaling"):
            if layer.kind == "Rescaling":
                self._record("keras.layers.Rescaling", [], {}, layer.place)
            return values[0]
        graph = values[0].graph
        if any(it.graph is not graph for it in values):
            raise Unsupported("values of several inputs", place)
        inputs = [it.value for it in values]
        weights = layer.key if _has_tensors(layer.kind) else ""
        made = keras_layers.apply(
            graph, layer.kind, layer.arguments, inputs, place=layer.place, weights=weights
        )
        return Tensor(graph, made)

    def _function(
        self, name: str, arguments: list[Any], keywords: dict[str, Any], place: Origin
    ) -> Any:
        if name in _JOINS:
            return self._joined(name, arguments, keywords, place)
        if "input" in keywords:
            arguments = [keywords.pop("input"), *arguments]
        first, *rest = arguments or [None]
        if not isinstance(first, Tensor):
            raise Unsupported(f"the function {name} on something that is no tensor", place)
        return self._on_tensor(name, first, rest, keywords, place)

    def _joined(
        self, name: str, arguments: list[Any], keywords: dict[str, Any], place: Origin
    ) -> Tensor:
        if name in ("cat", "concat"):
            values = arguments[0] if arguments else keywords.get("tensors")
            axis = (
                arguments[1] if len(arguments) > 1 else keywords.get("dim", keywords.get("axis", 0))
            )
            if axis not in (1, -3):
                raise Unsupported("values that are not joined by channels", place)
        else:
            values = arguments
        if not isinstance(values, list | tuple) or not all(isinstance(it, Tensor) for it in values):
            raise Unsupported(f"{name} of something that is no tensor", place)
        return self._join(_JOINS[name], list(values), place)

    def _join(self, kind: str, values: list[Tensor], place: Origin) -> Tensor:
        graph = values[0].graph
        made = graph.add(g.Join(kind), *(it.value for it in values), place=place)  # type: ignore[arg-type]
        return Tensor(graph, made)

    def _on_tensor(
        self,
        name: str,
        tensor: Tensor,
        arguments: list[Any],
        keywords: dict[str, Any],
        place: Origin,
    ) -> Any:
        """A function or a method of torch on a tensor."""
        graph, value = tensor.graph, tensor.value
        shape = graph.shape(value)
        for it in (*arguments, *keywords.values()):
            if isinstance(it, Unknown):
                raise Unsupported(f"{name}: {it.why}", it.place or place)
        if tensor.images is not None and (flat := self._flat(name, tensor, arguments)) is not None:
            return flat
        match name:
            case _ if name in _SAME:
                return tensor
            case "size":
                whole = tensor.shape
                return (
                    whole[arguments[0]] if arguments and _is_index(arguments[0], whole) else whole
                )
            case "dim" | "ndimension":
                return len(shape) + 1
            case "view" | "reshape":
                sides = (
                    arguments[0]
                    if len(arguments) == 1 and isinstance(arguments[0], list | tuple)
                    else arguments
                )
                known = [None if isinstance(it, Batch) else it for it in sides]
                return tensor.then(modules.viewed(graph, known, value, place))
            case "squeeze":
                return tensor.then(modules.squeezed(graph, value, place))
            case "mean" | "amax":
                dims = arguments[0] if arguments else keywords.get("dim", keywords.get("axis"))
                keeps = arguments[1] if len(arguments) > 1 else keywords.get("keepdim", False)
                kind = "average" if name == "mean" else "max"
                return tensor.then(modules.reduced(graph, kind, dims, keeps, value, place))
            case "add" | "mul" | "add_" | "mul_" if len(arguments) == 1:
                return self.combine(
                    "+" if name.startswith("add") else "*", tensor, arguments[0], place
                )
        if name == "group_norm":
            text = "num_groups weight=None bias=None eps=1e-05"
            given = modules.bound(text, arguments, keywords, name, place)
            if given["weight"] is not None or given["bias"] is not None:
                raise Unsupported("a group norm whose scale and shift are apart", place)
            own = {**given, "num_channels": shape[0], "affine": False}
            return tensor.then(modules.apply(graph, "GroupNorm", own, value, place=place))
        if name == "layer_norm":
            text = "normalized_shape weight=None bias=None eps=1e-05"
            given = modules.bound(text, arguments, keywords, name, place)
            if given["weight"] is not None or given["bias"] is not None:
                raise Unsupported("a layer norm whose scale and shift are apart", place)
            own = {**given, "elementwise_affine": False, "bias": False}
            return tensor.then(modules.apply(graph, "LayerNorm", own, value, place=place))
        if name == "pad":
            given = modules.bound(
                "pad mode='constant' value=None", arguments, keywords, name, place
            )
            sides, mode, fill = given["pad"], given["mode"], given["value"]
            return tensor.then(modules.padded(graph, sides, mode, fill, value, place))
        if name not in modules.FUNCTIONS:
            raise Unsupported(f"{name} on a tensor is not read here", place)
        kind, text = modules.FUNCTIONS[name]
        given = modules.bound(text, arguments, keywords, name, place)
        if name == "flatten":
            return tensor.then(modules.flatten(graph, given, value, place))
        return tensor.then(modules.apply(graph, kind, given, value, place=place))

    def _flat(self, name: str, tensor: Tensor, arguments: list[Any]) -> Any:
        """What counts the values of images that the code makes itself; None for all else."""
        values = math.prod(tensor.shape)
        if name == "numel":
            return values
        if name in ("view", "reshape") and arguments == [-1]:
            return Flat((values,))
        if name == "flatten" and not arguments:
            return Flat((values,))
        if name in ("view", "reshape") and arguments[:1] == [tensor.images]:
            sides = [None, *arguments[1:]]
            made = modules.viewed(tensor.graph, sides, tensor.value, "")
            return tensor.then(made)
        return None

    # --------------------------------------------------------------- methods, attributes and items

    def method(
        self,
        receiver: Any,
        name: str,
        arguments: list[Any],
        keywords: dict[str, Any],
        place: Origin,
    ) -> Any:
        match receiver:
            case Tensor():
                return self._on_tensor(name, receiver, arguments, keywords, place)
            case Flat() if name in ("size", "numel"):
                return receiver.shape[0]
            case Super():
                return self._above(receiver, name, arguments, place)
            case Options():
                return self._option(receiver, name, arguments, keywords)
            case Instance() if name in _SAME:
                return receiver
            case Instance() if name == "add_module" and len(arguments) == 2:
                receiver.attributes[str(arguments[0])[:64]] = arguments[1]
                return None
            case Box():
                return self._box(receiver, name, arguments, place)
            case KerasModel() if name == "pop" and not arguments and receiver.layers:
                receiver.layers.pop()
                return None
            case KerasModel() if name == "add" and len(arguments) == 1:
                if len(receiver.layers) >= g.MAX_NODES:
                    raise Unsupported("too many layers", place)
                receiver.layers.append(arguments[0])
                return None
            case KerasModel():
                return self._record(f"keras.model.{name}", arguments, keywords, place)
            case Layer() if name in _SAME:
                return receiver
            case Recorded(name=owner):
                return self._record(f"{owner}.{name}", arguments, keywords, place)
        return Unknown(f"what {name} gives is not known", place)

    def _option(
        self, options: Options, name: str, arguments: list[Any], keywords: dict[str, Any]
    ) -> Any:
        """A method of a parser of the command line."""
        words = [it for it in arguments if isinstance(it, str)]
        if name != "add_argument" or not words:
            return (options, ["what is not known"]) if name == "parse_known_args" else options
        usual = {"store_true": False, "store_false": True}.get(keywords.get("action", ""))
        given = next((it for it in words if it.startswith("--")), words[0])
        key = keywords.get("dest", given.lstrip("-").replace("-", "_"))
        if given.startswith("-") and len(options.defaults) < MAX_RECORDED:
            options.defaults[str(key)] = keywords.get("default", usual)
        return None

    def _above(self, above: Super, name: str, arguments: list[Any], place: Origin) -> Any:
        """A method of the base class that a library has."""
        receiver = above.receiver
        if name == "__init__":
            if receiver.cls.is_a((f"{_TORCH}.Sequential",)):
                receiver.attributes["__children__"] = Box("Sequential", _children(arguments, place))
            return None
        if name == "forward" and "__children__" in receiver.attributes:
            box = receiver.attributes["__children__"]
            _check_known(box)
            return self._in_order(list(box.children.values()), arguments, place)
        return Unknown(f"what {name} gives is not known", place)

    def _box(self, box: Box, name: str, arguments: list[Any], place: Origin) -> Any:
        match name, arguments:
            case "append", [value]:
                box.children[str(len(box.children))] = value
                return box
            case "extend", [values]:
                for value in self.interpreter.iterated(values, _at(place)):
                    box.children[str(len(box.children))] = value
                return box
            case "add_module", [key, value]:
                box.children[str(key)[:64]] = value
                return None
            case "items", []:
                return list(box.children.items())
            case "values" | "children" | "modules", []:
                return list(box.children.values())
            case "keys", []:
                return list(box.children)
            case _ if name in _SAME:
                return box
        raise Unsupported(f"{name} of a {box.kind}", place)

    def attribute(self, receiver: Any, name: str, place: Origin) -> Any:
        match receiver:
            case Instance() if name == "training":
                return modules.IN_TRAINING
            case Instance() if (box := receiver.attributes.get("__children__")) is not None:
                if name in box.children:
                    return box.children[name]
                return Method(receiver, name)
            case Instance() if name.startswith("__") or name in (*_SAME, "add_module"):
                return Method(receiver, name)
            case Instance() if name in ("parameters", "named_parameters", "modules", "state_dict"):
                return Method(receiver, name)
            case Instance():
                return Unknown(f"{receiver.cls.name} has no {name}", place)
            case Options(defaults=defaults, place=made_at) if name in defaults:
                value = defaults[name]
                why = f"the option {name} has no default"
                return Unknown(why, made_at) if value is None else value
            case Tensor() | Flat() if name == "shape":
                return receiver.shape
            case Layer() if name in receiver.arguments and name != "bias":  # that is a tensor
                return receiver.arguments[name]
            case Box() if name in box_children(receiver):
                return receiver.children[name]
        return Method(receiver, name)

    def combine(self, sign: str, left: Any, right: Any, place: Origin) -> Any:
        if isinstance(left, Tensor) and isinstance(right, Tensor):
            if sign in "+*" and left.graph is right.graph:
                return self._join("sum" if sign == "+" else "product", [left, right], place)
        if isinstance(left, Tensor) and (scaled := _with_one(sign, left, right)) is not None:
            return scaled
        if isinstance(left, Tensor) or isinstance(right, Tensor):
            raise Unsupported(f"`{sign}` of a tensor and something else", place)
        return Unknown(f"what `{sign}` gives is not known", place)

    def item(self, receiver: Any, key: Any, place: Origin) -> Any:
        if isinstance(receiver, Instance) and "__children__" in receiver.attributes:
            receiver = receiver.attributes["__children__"]
        _check_known(receiver)
        if isinstance(receiver, Box):
            values = list(receiver.children.values())
            if isinstance(key, str) and key in receiver.children:
                return receiver.children[key]
            if isinstance(key, int) and _is_index(key, values):
                return values[key]
            if isinstance(key, slice):
                names = list(receiver.children)[key]
                return Box(receiver.kind, {it: receiver.children[it] for it in names})
        if isinstance(receiver, Tensor):
            raise Unsupported("a part of a tensor", place)
        return Unknown("an item that is not known", place)

    def lose(self, receiver: Any, why: Unknown) -> None:
        """What changes these layers is not read, so that nothing is known of them from here."""
        if isinstance(receiver, Instance):
            receiver = receiver.attributes.get("__children__")
        if isinstance(receiver, Box | KerasModel):
            receiver.lost = receiver.lost or why

    def items(self, receiver: Any) -> list[Any] | None:
        if isinstance(receiver, Box):
            _check_known(receiver)
            children = receiver.children
            return list(children) if receiver.kind == "ModuleDict" else list(children.values())
        return None

    def star(self, module: str, name: str) -> bool:
        match canonical(module):
            case "torch.nn":
                return name in modules.SIGNATURES or name in (*_CONTAINERS, "Module", "functional")
            case "torch.nn.functional":
                return name in modules.FUNCTIONS
            case "keras.layers":
                return name in (*keras_layers.SIGNATURES, *keras_layers.ALIASES, "Input")
            case (
                "torch.optim"
                | "torch.optim.lr_scheduler"
                | "torchvision.transforms"
                | "keras.optimizers"
                | "keras.models"
                | "keras.losses"
                | "keras.callbacks"
            ):
                layers = (modules.SIGNATURES, keras_layers.SIGNATURES, keras_layers.ALIASES)
                return name[:1].isupper() and not any(name in it for it in layers)
        return False


def canonical(name: str) -> str:
    """The name under which something is known, whichever way it is imported."""
    for prefix in ("tensorflow.python.", "tensorflow.", "tf_keras."):
        if name.startswith(prefix):
            name = ("keras." if prefix == "tf_keras." else "") + name.removeprefix(prefix)
    name = name.removeprefix("compat.v1.")
    if name.startswith("keras.layers."):
        return f"keras.layers.{name.rpartition('.')[2]}"
    if name.startswith(f"{_TORCH}.modules."):
        return f"torch.nn.{name.rpartition('.')[2]}"
    return name


def is_network(cls: Class) -> bool:
    """Whether a class of the source is a module with a forward."""
    order = cls.order()
    bases = [canonical(it.name).rpartition(".")[2] for it in order if isinstance(it, Dotted)]
    runs = any(isinstance(it, Class) and {"forward", "call"} & set(it.members) for it in order)
    return any(it in _BASES for it in bases) and (runs or "Sequential" in bases)


def box_children(box: Box) -> dict[str, Any]:
    """The modules of a container by name."""
    return box.children


def graph_of(libraries: Libraries, model: Any, place: Origin) -> g.Graph:
    """The graph of a network of the code on an image. Raises SpecError."""
    interpreter = libraries.interpreter
    interpreter.steps, interpreter.depth = 0, 0
    interpreter.limit = MAX_STEPS
    graph = g.Graph(IMAGE)
    try:
        _check_known(model)
        if isinstance(model, KerasModel):
            if model.output is not None:
                graph = model.output.graph
                output: Any = model.output
            else:
                output = libraries._in_order(model.layers, [_first(graph, model.layers)], place)
        else:
            output = interpreter.call(model, [Tensor(graph, -1)], {}, _at(place))
    except Unsupported as error:
        raise refusal(str(error), error.place or place) from None
    except RecursionError:
        raise refusal("the network is nested too deep", place) from None
    if isinstance(output, Unknown):
        raise refusal(f"the network gives something that is not known: {output.why}", output.place)
    if not isinstance(output, Tensor) or output.value < 0:
        raise refusal("the network does not give one tensor", place)
    graph.output = output.value
    return graph


def _check_known(model: Any) -> None:
    """Raises Unsupported where a change of some layers is not read."""
    if isinstance(model, Box | KerasModel) and model.lost is not None:
        raise Unsupported(model.lost.why, model.lost.place)


def _first(graph: g.Graph, layers: Sequence[Any]) -> Tensor:
    """What the first of some layers of Keras is given: images, or their values in a row."""
    begin = next((it for it in layers if isinstance(it, Layer)), None)
    if begin is None:
        return Tensor(graph, -1)
    shape = begin.arguments.get("input_shape")
    if shape is None and begin.kind == "Dense":
        shape = (math.prod(IMAGE),)
    if shape is None:
        return Tensor(graph, -1)
    return Tensor(graph, keras_layers.start(graph, shape, begin.place))


class _At:
    """Stands for a node of the syntax tree where there is only a place."""

    def __init__(self, place: Origin) -> None:
        self.lineno = getattr(place, "line", 1)


def _at(place: Origin) -> Any:
    return _At(place)


def _children(arguments: list[Any], place: Origin) -> dict[str, Any]:
    if len(arguments) == 1 and isinstance(arguments[0], dict):
        return {str(key)[:64]: value for key, value in arguments[0].items()}
    values = (
        arguments[0]
        if len(arguments) == 1 and isinstance(arguments[0], list | tuple)
        else arguments
    )
    for value in values:
        if isinstance(value, Unknown):
            raise Unsupported(value.why, value.place or place)
    return {str(index): value for index, value in enumerate(values)}


def _are_pairs(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(it, tuple | list) and len(it) == 2 and isinstance(it[0], str) for it in value
    )


def _tensors(values: Any, depth: int = 0) -> bool:
    """Whether there is a tensor in some arguments."""
    if isinstance(values, Tensor):
        return True
    if depth < 3 and isinstance(values, list | tuple | dict):
        inner = values.values() if isinstance(values, dict) else values
        return any(_tensors(it, depth + 1) for it in inner)
    return False


def _with_one(sign: str, tensor: Tensor, other: Any) -> Tensor | None:
    """A layer norm that is multiplied with one parameter, and then has one added."""
    graph = tensor.graph
    if tensor.value != len(graph.nodes) - 1 or tensor.value < 0 or not _is_one(other):
        return None
    node = graph.nodes[tensor.value]
    match sign, node.op:
        case "*", g.Norm(kind="layer", affine=False):
            op = replace(node.op, kind="other", over=_SCALED)
        case "+", g.Norm(kind="other", over=over) if over == _SCALED:
            op = replace(node.op, kind="layer", affine=True, over="one")
        case _:
            return None
    graph.nodes[tensor.value] = replace(node, op=op)
    return tensor


def _is_one(value: Any) -> bool:
    """Whether this is a parameter of a single number."""
    match value:
        case Recorded(name=name, arguments=[Recorded(name=made, arguments=[size])]):
            is_parameter = canonical(name) == f"{_TORCH}.Parameter"
            is_made = canonical(made) in ("torch.ones", "torch.zeros")
            return is_parameter and is_made and size in (1, [1], (1,))
    return False


def _unknown(values: list[Any]) -> Unknown | None:
    """The first of some arguments that is not known."""
    return next((it for it in values if isinstance(it, Unknown)), None)


def _has_tensors(kind: str) -> bool:
    return "Conv" in kind or "Norm" in kind or kind in ("Linear", "Dense", "PReLU")


def _is_index(index: Any, values: Any) -> bool:
    return isinstance(index, int) and -len(values) <= index < len(values)

"""A module of torch as a spec: its graph is traced, and every layer is read from its module."""

from __future__ import annotations

import operator
from typing import Any, Final

import torch
from torch import fx, nn

from mnist_arch.convert import graph as g
from mnist_arch.convert import modules
from mnist_arch.convert.importing import Imported, Request, finish, with_comments
from mnist_arch.convert.inference import IMAGE
from mnist_arch.convert.interpreter.values import Unknown, Unsupported
from mnist_arch.convert.libraries import Libraries, Tensor
from mnist_arch.convert.questions import refusal
from mnist_arch.errors import Origin
from mnist_arch.network.build import Conv2d, GhostBatchNorm2d, LayerNorm

_OWN: Final = ".".join(("torch", "nn", "modules", ""))
_BUILT: Final = (Conv2d, GhostBatchNorm2d, LayerNorm)
"""Modules of ours, which are not traced into."""
_SIGNS: Final = {"add": "+", "iadd": "+", "mul": "*", "imul": "*", "sub": "-", "truediv": "/"}


def from_torch(module: nn.Module, *, name: str = "imported", partial: bool = False) -> Imported:
    """The spec of a module that takes (N, 1, 28, 28) to logits (N, classes).

    It is traced with torch.fx and not run; its weights stay as they are. Raises SpecError, which
    names the place, where it cannot be carried over exactly, unless it may be `partial`.
    """
    graph = graph_of_module(module)
    request = Request(is_partial=partial, name=name)
    kind = type(module).__name__
    return with_comments(finish(graph, name, request, origin=f"the module {kind}"))


def graph_of_module(module: nn.Module) -> g.Graph:
    """The graph of a module. Its tensors are called as in its `state_dict`. Raises SpecError."""
    was_training = [(it, it.training) for it in module.modules()]
    try:
        in_training = _traced(module.train())
        in_evaluation = _traced(module.eval())
    finally:
        for part, training in was_training:
            part.training = training
    return _Walk(module, in_training, in_evaluation).run()


def _traced(module: nn.Module) -> fx.Graph:
    """Raises SpecError where the module's code asks what is not known before it is run."""
    try:
        return _Tracer().trace(module)
    except Exception as error:  # which is whatever the module's own forward raises
        message = f"{type(module).__name__} cannot be traced: {type(error).__name__}: {error}"
        hint = "a forward that asks for values or shapes as it runs has to be rewritten"
        raise refusal(message[:400], hint=hint) from error


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _BUILT) or super().is_leaf_module(m, module_qualified_name)


class _Walk:
    """Goes through a traced graph, node by node."""

    def __init__(self, module: nn.Module, graph: fx.Graph, evaluated: fx.Graph) -> None:
        self.module = module
        self.nodes, self.evaluated = list(graph.nodes), list(evaluated.nodes)
        self.libraries = Libraries()
        self.graph = g.Graph(IMAGE)
        self.values: dict[fx.Node, Any] = {}
        self.tensors: dict[int, str] = {}
        """Name of the module that has a weight, by the weight's identity."""

    def run(self) -> g.Graph:
        same = len(self.nodes) == len(self.evaluated) and all(
            (a.op, str(a.target)) == (b.op, str(b.target))
            for a, b in zip(self.nodes, self.evaluated, strict=True)
        )
        if not same:
            raise refusal("the module does something else in training than in evaluation")
        for node, other in zip(self.nodes, self.evaluated, strict=True):
            place = Origin(
                f"{node.op} {node.target}" if isinstance(node.target, str) else node.name
            )
            try:
                value = self._value(node, other, place)
            except Unsupported as error:
                raise refusal(str(error), error.place or place) from None
            self.values[node] = value
            if node.op == "output":
                if not isinstance(value, Tensor) or value.value < 0:
                    raise refusal("the module does not give one tensor", place)
                self.graph.output = value.value
        return self.graph

    def _value(self, node: fx.Node, other: fx.Node, place: Origin) -> Any:
        arguments, keywords = self._filled(node.args), self._filled(node.kwargs)
        match node.op:
            case "placeholder":
                if any(isinstance(it, Tensor) for it in self.values.values()):
                    raise refusal("the module takes more than images", place)
                return Tensor(self.graph, -1)
            case "output":
                return arguments[0]
            case "call_module":
                if len(arguments) != 1 or keywords or not isinstance(arguments[0], Tensor):
                    raise refusal("a module on something else than one tensor", place)
                return self._module(str(node.target), arguments[0], place)
            case "call_method":
                receiver, *rest = arguments
                return self.libraries.method(receiver, str(node.target), rest, keywords, place)
            case "call_function":
                if "training" in keywords:
                    keywords["training"] = self._training(node, other)
                return self._function(node.target, arguments, keywords, place)
            case _:
                raise refusal(f"{node.target} is used on its own", place)

    def _training(self, node: fx.Node, other: fx.Node) -> Any:
        """What a dropout is told: to drop in training, always, or never."""
        both = node.kwargs.get("training"), other.kwargs.get("training")
        return modules.IN_TRAINING if both == (True, False) else both[0]

    def _filled(self, value: Any) -> Any:
        """Arguments with values in the place of nodes."""
        match value:
            case fx.Node():
                return self.values[value]
            case dict():
                return {key: self._filled(it) for key, it in value.items()}
            case list():
                return [self._filled(it) for it in value]
            case tuple():
                return [self._filled(it) for it in value]
            case slice():
                return Unknown("a slice")
        return value

    def _function(
        self, function: Any, arguments: list[Any], keywords: dict[str, Any], place: Origin
    ) -> Any:
        name = getattr(function, "__name__", str(function))
        if function is getattr:
            return self.libraries.attribute(arguments[0], str(arguments[1]), place)
        if function is operator.getitem:
            if isinstance(arguments[0], tuple | list) and isinstance(arguments[1], int):
                return arguments[0][arguments[1]]
            return self.libraries.item(arguments[0], arguments[1], place)
        module = getattr(function, "__module__", "") or ""
        if module in ("_operator", "operator") and name in _SIGNS:
            return self.libraries.combine(_SIGNS[name], arguments[0], arguments[1], place)
        return self.libraries._function(name, arguments, keywords, place)

    def _module(self, target: str, value: Tensor, place: Origin) -> Tensor:
        module = self.module.get_submodule(target)
        if isinstance(module, _BUILT):
            return value.then(self._built(module, value, target, place))
        kind = type(module).__name__
        is_own = type(module).__module__.startswith(_OWN)
        if not is_own or (kind not in modules.SIGNATURES and kind != "Identity"):
            raise refusal(f"{target}: {kind} is not known", place)
        if module._forward_hooks or module._forward_pre_hooks:
            raise refusal(f"{target}: {kind} has hooks, which may change what it gives", place)
        if kind == "Identity":
            return value
        arguments = {
            name: getattr(module, name, default)
            for name, default in modules.signature(modules.SIGNATURES[kind]).items()
        }
        if "bias" in arguments:
            arguments["bias"] = isinstance(arguments["bias"], torch.Tensor)
        made = modules.apply(
            self.graph, kind, arguments, value.value, place=place, weights=self._key(target, module)
        )
        return value.then(made)

    def _built(self, module: nn.Module, value: Tensor, target: str, place: Origin) -> int:
        """A module of a network that was built here."""
        op: g.Operation
        match module:
            case Conv2d(sides=(left, right, top, bottom)):
                op = g.Conv(
                    module.out_channels,
                    (module.kernel_size[0], module.kernel_size[1]),
                    (module.stride[0], module.stride[1]),
                    (top, bottom, left, right),
                    groups=module.groups,
                    bias=module.bias is not None,
                    fill="zeros" if module.fill == "constant" else module.fill,
                )
            case LayerNorm():
                over = "one" if module.weight.numel() == 1 else ""
                op = g.Norm("layer", over=over, epsilon=module.eps)
            case _:
                assert isinstance(module, GhostBatchNorm2d)
                op = g.Norm(
                    "batch",
                    affine=module.affine,
                    momentum=module.momentum,
                    epsilon=module.eps,
                    splits=module.splits,
                )
        key = self._key(target, module)
        return self.graph.add(op, value.value, place=place, weights=key)

    def _key(self, target: str, module: nn.Module) -> str:
        """The name of the first module with these tensors; empty where it has none."""
        own = dict(module.named_parameters(recurse=False))
        keys = {self.tensors.setdefault(id(tensor), target) for tensor in own.values()}
        if len(keys) > 1:
            raise refusal(f"{target} shares some of its tensors, and not all", target)
        return keys.pop() if keys else target

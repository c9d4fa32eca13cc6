"""Weights of somebody else's network in the network of its spec, and how far their logits differ.

The file is read with `weights_only`, so that nothing in it is run, and its sizes are bounded before
that. The graph that was imported is computed with the tensors of the file, layer by layer, and so
is the network that the spec builds: the two have to agree.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_arch.convert import graph as g
from mnist_arch.convert.importing import Imported
from mnist_arch.convert.lowering import ENDS, GATE, Branches, Item, Joined
from mnist_arch.counting import layers as our
from mnist_arch.errors import WeightsError
from mnist_arch.files import shown, storage_errors
from mnist_arch.network.build import Classifier, build
from mnist_arch.network.weights import read_weights, save_weights, unwrapped

MAX_BYTES: Final = 256 << 20
"""Longest file that is read, and most bytes of its tensors."""
MAX_ENTRIES: Final = 10_000
IMAGES: Final = 1_000
_TOGETHER: Final = 100
TOLERANCE: Final = 1e-3
"""Largest difference of logits, as a share of the largest logit, that rounding makes."""

_INSIDE: Final = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Keys under which checkpoints keep the tensors of the network."""


@dataclass(frozen=True)
class Carried:
    """A network with the weights that were carried over."""

    model: Classifier
    largest_difference: float
    """Of any logit of 1,000 random images from what the graph that was imported gives."""


def carry_weights(imported: Imported, path: Path) -> Carried:
    """The network of an exact import with the weights of a file.

    Raises WeightsError where tensors are missing, surplus or of other shapes, or where the logits
    are not the same.
    """
    source = imported.source
    if source is None or not imported.is_exact:
        hint = "weights belong to a network that is carried over whole"
        raise WeightsError(f"{shown(path)}: the network is not exact", hint=hint)
    state = read_state(path)
    names = dict(source.names) or _names_by_order(source.graph, state, path)
    model = build(imported.experiment).eval()
    keys = list(dict.fromkeys(_keys(source.items)))
    own = [it for it in model.modules() if it._parameters]
    assert len(keys) == len(own)
    used: set[str] = set()
    with torch.no_grad():
        for key, module in zip(keys, own, strict=True):
            prefix, parts = names.get(key, key), int(getattr(module, "splits", 1))
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                whole = f"{prefix}.{name}" if prefix else name
                used.add(_copy(tensor, state, whole, path, parts))
    if surplus := sorted(name for name in state if name not in used):
        listed = ", ".join(surplus[:6])
        raise WeightsError(f"{shown(path)} has tensors that the network has not: {listed}")
    return Carried(model, _difference(source.graph, names, state, model, path))


def write_weights(carried: Carried, imported: Imported, out: Path) -> None:
    """Writes the weights as safetensors with the spec in the header. Raises StorageError."""
    save_weights(out, carried.model, imported.experiment)


# ----------------------------------------------------------------------------------------- the file


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` or `.safetensors` file, without prefixes of wrappers.

    Raises WeightsError and StorageError. Nothing in the file is run.
    """
    with storage_errors(path, doing="read"):
        size = path.stat().st_size
    if size > MAX_BYTES:
        raise WeightsError(f"{shown(path)} is longer than {MAX_BYTES:,} bytes")
    if path.suffix == ".safetensors":
        return _checked(read_weights(path)[0], path)
    _check_zip(path)
    try:
        with warnings.catch_warnings():  # such as that sparse tensors take long to check
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        AssertionError,
        OSError,
        EOFError,
        OverflowError,
        MemoryError,
        RecursionError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        first = str(error).strip().split("\n")[0][:200]
        hint = "save the weights alone: torch.save(model.state_dict(), 'state.pth')"
        raise WeightsError(f"{shown(path)} cannot be read: {first}", hint=hint) from None
    for key in _INSIDE:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise WeightsError(f"{shown(path)} has no tensors by name")
    state = {str(name)[:200]: value for name, value in content.items() if isinstance(value, Tensor)}
    return _checked(unwrapped(state), path)


def _check_zip(path: Path) -> None:
    """Raises WeightsError for what torch has not written so: an old form, or packed entries."""
    hint = "load it with torch, and save it again: torch.save(model.state_dict(), 'state.pth')"
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise WeightsError(f"{shown(path)} is no file of torch.save: {error}", hint=hint) from None
    if len(entries) > MAX_ENTRIES or sum(it.file_size for it in entries) > MAX_BYTES:
        raise WeightsError(f"{shown(path)} says that it is too large to be read", hint=hint)
    if any(it.compress_type != zipfile.ZIP_STORED for it in entries):
        raise WeightsError(f"{shown(path)} has packed entries, as torch writes none", hint=hint)


def _checked(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Dense tensors of a bounded size."""
    total = 0
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            raise WeightsError(f"{shown(path)}: {name} is no plain tensor")
        total += tensor.numel() * tensor.element_size()
        if total > MAX_BYTES:
            raise WeightsError(f"{shown(path)}: its tensors are too large")
    if not state:
        raise WeightsError(f"{shown(path)} has no tensors by name")
    return state


def _copy(
    tensor: Tensor, state: Mapping[str, Tensor], name: str, path: Path, parts: int = 1
) -> str:
    """Copies one tensor of the file, and gives its name.

    A norm of several `parts` of a batch may have running statistics of each.
    """
    theirs = state.get(name)
    if theirs is None:
        if name.endswith("num_batches_tracked"):
            return name
        raise WeightsError(f"{shown(path)}: {name} is missing")
    is_window = tensor.dim() == 4 and theirs.dim() == 2 and theirs.numel() == tensor.numel()
    if is_window and theirs.shape[0] == tensor.shape[0]:  # of a fully connected layer
        theirs = theirs.reshape(tensor.shape)
    if tensor.dim() == 1 and theirs.numel() == tensor.numel():  # of each value of a map
        theirs = theirs.reshape(-1)
    if parts > 1 and "running_" in name and theirs.shape == (parts * len(tensor),):
        theirs = theirs.reshape(parts, -1).mean(0)
    if theirs.shape != tensor.shape:
        both = f"{_shape(theirs)}, not {_shape(tensor)}"
        raise WeightsError(f"{shown(path)}: {name} is {both}")
    tensor.copy_(theirs)
    return name


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single value"


def _keys(items: Sequence[Item]) -> Iterator[str]:
    """Names of the tensors of a row, in the order of the modules that are built."""
    for item in items:
        match item.op:
            case Branches(body=body, skip=skip):
                yield from _keys(body)
                yield from _keys((skip,) if skip else ())
            case Joined(ways=ways):
                for way in ways:
                    yield from _keys(way)
            case our.SqueezeExcitation():
                yield from item.weights.split(GATE)
            case our.Convolution() | our.Normalization() | our.Linear():
                yield item.weights
            case our.Activation(kind="prelu"):
                yield item.weights


def _names_by_order(graph: g.Graph, state: Mapping[str, Tensor], path: Path) -> dict[str, str]:
    """Names of the layers of a table, which says none: in the order of the file, by their sizes."""
    groups: dict[str, int] = {}
    for name, tensor in state.items():
        prefix, _, last = name.rpartition(".")
        counted = tensor.numel() if last in ("weight", "bias") else 0
        groups[prefix] = groups.get(prefix, 0) + counted
    nodes = {it.weights: g.parameters(it.op, it.in_shape) for it in graph.nodes if it.weights}
    nodes = {name: count for name, count in nodes.items() if count}
    if list(nodes.values()) != list(groups.values()):
        message = f"{shown(path)}: its layers are not those of the table in their order"
        raise WeightsError(message, hint="import the code, which says how layers are called")
    return dict(zip(nodes, groups, strict=True))


# --------------------------------------------------------------------------------------- the logits


def _difference(
    graph: g.Graph,
    names: Mapping[str, str],
    state: Mapping[str, Tensor],
    model: nn.Module,
    path: Path,
) -> float:
    rng = torch.Generator().manual_seed(0)
    largest, scale = 0.0, 1.0
    with torch.no_grad():
        for _ in range(IMAGES // _TOGETHER):
            images = torch.rand(_TOGETHER, *graph.image, generator=rng)
            theirs = computed(graph, names, state, images)
            ours = model(images)
            if not bool(theirs.isfinite().all()):
                raise WeightsError(f"{shown(path)}: its weights give logits that are no numbers")
            largest = max(largest, float((theirs - ours).abs().max()))
            scale = max(scale, float(theirs.abs().max()))
    if largest > TOLERANCE * scale:
        message = f"{shown(path)}: logits differ by {largest:g} from those of the source"
        raise WeightsError(message, hint="these may be weights of another network")
    return largest


def computed(
    graph: g.Graph, names: Mapping[str, str], state: Mapping[str, Tensor], images: Tensor
) -> Tensor:
    """The logits of a graph, computed operation by operation with tensors by name.

    images: (N, 1, 28, 28) float32 → (N, classes) float32.
    """
    values: dict[int, Tensor] = {-1: images}
    output = graph.output
    while output >= 0 and (
        isinstance(op := graph.nodes[output].op, g.Flatten)
        or (isinstance(op, g.Act) and op.kind in ENDS)
    ):
        output = graph.nodes[output].inputs[0]
    for number, node in enumerate(graph.nodes[: output + 1]):
        prefix = names.get(node.weights, node.weights)

        def of(name: str, prefix: str = prefix) -> Tensor | None:
            return state.get(f"{prefix}.{name}" if prefix else name)

        values[number] = _apply(node.op, [values[it] for it in node.inputs], of)
    return values[output].flatten(1)


def _apply(op: g.Operation, inputs: list[Tensor], of: Any) -> Tensor:
    x = inputs[0]
    match op:
        case g.Conv(padding=(top, bottom, left, right)):
            mode = "replicate" if op.fill == "replicate" else "constant"
            if any(op.padding):
                x = F.pad(x, (left, right, top, bottom), mode=mode)
            return F.conv2d(x, of("weight"), of("bias"), op.stride, 0, op.dilation, op.groups)
        case g.Norm(epsilon=epsilon):
            return _normed(op, x, of, 1e-5 if epsilon is None else epsilon)
        case g.Act(kind="leaky_relu", value=slope):
            return F.leaky_relu(x, our.LEAKY_SLOPE if slope is None else slope)
        case g.Act(kind="prelu"):
            return F.prelu(x, of("weight"))
        case g.Act(kind="sigmoid"):
            return torch.sigmoid(x)
        case g.Act(kind="relu" | "gelu" | "silu" | "hardswish" as kind):
            function: Any = getattr(F, kind)
            activated: Tensor = function(x)
            return activated
        case g.Pool(kind="max", padding=(top, bottom, left, right)):
            if (top, left) == (bottom, right):
                return F.max_pool2d(x, op.size, op.stride, (top, left), ceil_mode=op.ceil)
            padded = F.pad(x, (left, right, top, bottom), value=-torch.inf)
            return F.max_pool2d(padded, op.size, op.stride)
        case g.Pool(padding=(top, _, left, _)):
            return F.avg_pool2d(x, op.size, op.stride, (top, left), ceil_mode=op.ceil)
        case g.GlobalPool(kind="max"):
            return x.amax((2, 3), keepdim=True)
        case g.GlobalPool():
            return x.mean((2, 3), keepdim=True)
        case g.Flatten():
            return x.flatten(1)
        case g.Linear():
            return F.linear(x, of("weight"), of("bias"))
        case g.Join(kind="sum"):
            return sum(inputs[1:], inputs[0])
        case g.Join(kind="concatenation"):
            return torch.cat(inputs, 1)
        case g.Join(kind="product"):
            first, second = (it if it.dim() == 4 else it[:, :, None, None] for it in inputs)
            return first * second
        case _:
            return x


def _normed(op: g.Norm, x: Tensor, of: Any, eps: float) -> Tensor:
    scale, shift = of("weight"), of("bias")
    match op.kind:
        case "batch":
            mean, variance = (
                it if len(it) == x.shape[1] else it.view(op.splits, -1).mean(0)
                for it in (of("running_mean"), of("running_var"))
            )
            return F.batch_norm(x, mean, variance, scale, shift, eps=eps)
        case "group":
            return F.group_norm(x, op.groups, scale, shift, eps)
        case "instance":
            return F.instance_norm(x, weight=scale, bias=shift, eps=eps)
        case _:  # of a layer: no other is exact
            y = F.layer_norm(x, x.shape[1:], eps=eps)
            sides = (1,) if scale is None or scale.numel() == 1 else x.shape[1:]
            return y if scale is None else y * scale.view(sides) + shift.view(sides)

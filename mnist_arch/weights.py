"""Weights and checkpoints as files. Nothing that is read here can execute anything."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from mnist_arch.errors import RunCorrupt, WeightsError
from mnist_arch.network import Classifier, build
from mnist_arch.specs import Experiment, Network
from mnist_arch.storage import write_whole

_SHOWN = 6


def unique_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, each tensor once, under the first of its names."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def save_weights(path: Path, model: nn.Module, experiment: Experiment) -> None:
    """Writes safetensors with the resolved spec in the header. Raises StorageError."""
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in unique_tensors(model).items()
    }
    metadata = {"format": "1", "spec": experiment.model_dump_json()}
    write_whole(path, safetensors.torch.save(tensors, metadata=metadata))


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises WeightsError."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(
                file.metadata() or {}
            )
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        hint = "the file is damaged or is no safetensors file; copy it again"
        raise WeightsError(f"{path} cannot be read: {error}", hint=hint) from None


def build_with(network: Network, tensors: dict[str, Tensor], path: Path) -> Classifier:
    """The network with these weights, in eval mode. Raises WeightsError naming the tensors that differ."""
    model = build(network)
    own = unique_tensors(model)
    if differences := _differences(own, tensors):
        shown = "; ".join(differences[:_SHOWN])
        more = f"; and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        message = f"{path} does not fit the network: {shown}{more}"
        raise WeightsError(message, hint="name the network that the weights belong to with --spec")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    return model.eval().to(memory_format=torch.channels_last)


def _differences(own: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """Missing and surplus tensors, and those of another shape or type, each in a few words."""
    found = [f"{name} is missing" for name in own if name not in given]
    found += [f"{name} is not in the network" for name in given if name not in own]
    for name in own.keys() & given.keys():
        ours, theirs = own[name], given[name]
        if ours.shape != theirs.shape:
            found.append(f"{name} is {_shape(theirs)}, not {_shape(ours)}")
        elif ours.is_floating_point() != theirs.is_floating_point():
            found.append(f"{name} is {theirs.dtype}, not {ours.dtype}")
    return found


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single value"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes the state of a training. Raises StorageError."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote, on the CPU. Raises RunCorrupt."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # torch.load has no error of its own: whatever it is, the file is not a checkpoint
        hint = "start the run anew with --again; its folder is kept aside"
        raise RunCorrupt(
            f"the checkpoint {path} cannot be read: {type(error).__name__}", hint=hint
        ) from None
    return state

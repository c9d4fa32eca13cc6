"""Weights and checkpoints as files. Nothing that is read here can execute anything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from mnist_arch.data.catalog import INFO
from mnist_arch.errors import WeightsError
from mnist_arch.files import storage_errors, write_whole
from mnist_arch.network.build import Classifier, build
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.network import Network
from mnist_arch.values import FORMAT, check_header_format

_SHOWN = 6
_WRAPPERS: Final = ("_orig_mod.", "module.")
"""Prefixes of names: of torch.compile, and of DataParallel, DistributedDataParallel and
AveragedModel.
"""
_COPY_AGAIN: Final = "the file is damaged or is no safetensors file; copy it again"
_AVERAGED: Final = "n_averaged"
"""How often torch.optim.swa_utils.AveragedModel has averaged, which is no weight."""


def unique_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, each tensor once, under the first of its names."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def save_weights(path: Path, model: nn.Module, experiment: Experiment) -> None:
    """Writes safetensors with the resolved spec and the normalisation in the header.

    Raises StorageError.
    """
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in unique_tensors(model).items()
    }
    metadata = {"format": str(FORMAT), "spec": experiment.model_dump_json()}
    # For other programs; this one knows it by the spec. A pixel is (value / 255 - mean) / std.
    info = INFO["mnist" if experiment.dataset == "auto" else experiment.dataset]
    metadata["normalization"] = json.dumps(asdict(experiment.recipe.normalize.of(info)))
    metadata["sha256"] = _fingerprint(tensors, metadata)
    write_whole(path, _serialized(tensors, metadata))


def _serialized(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """A safetensors file: size of the header in 8 bytes, header as JSON, tensors.

    The library writes the metadata in random order; here equal content is equal bytes.
    """
    content = safetensors.torch.save(tensors, metadata=metadata)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned
    return len(text).to_bytes(8, "little") + text + content[end:]


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    What torch's wrappers put before every name, as `module.`, is left out. Files that
    `save_weights` wrote carry a checksum, by which any damage to them is found. Raises
    WeightsError, StorageError, and EarlierFormat or LaterFormat for one of another version.
    """
    with storage_errors(path, doing="read"):
        path.open("rb").close()
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            metadata = dict(file.metadata() or {})
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read: {error}", hint=_COPY_AGAIN) from None
    return _whole(tensors, metadata, path)


def weights_in(content: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """As `read_weights`, of the content of a file; `path` is for messages."""
    try:
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = {key: str(value) for key, value in header.get("__metadata__", {}).items()}
    except (KeyError, RuntimeError, ValueError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read: {error}", hint=_COPY_AGAIN) from None
    return _whole(tensors, metadata, path)


def _whole(
    tensors: dict[str, Tensor], metadata: dict[str, str], path: Path
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What was read, without torch's wrappers. Raises WeightsError where its checksum differs."""
    check_header_format(metadata, path)
    if "sha256" in metadata:
        found = _fingerprint(tensors, metadata)
        if found != metadata["sha256"]:
            raise WeightsError(f"{path} is damaged: its checksum differs", hint=_COPY_AGAIN)
    return unwrapped(tensors), metadata


def unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same under the names that the network itself has, without those of its wrappers."""
    names = [name for name in tensors if name != _AVERAGED]
    for prefix in _WRAPPERS:
        if names and all(name.startswith(prefix) for name in names):
            return unwrapped({name.removeprefix(prefix): tensors[name] for name in names})
    return tensors


def _fingerprint(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256, in hexadecimal, over names, types, shapes and bytes of all tensors, and the header.

    Of that the spec, and the normalisation, which earlier files do not have.
    """
    digest = hashlib.sha256(metadata.get("spec", "").encode())
    digest.update(metadata.get("normalization", "").encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def build_with(network: Network, tensors: dict[str, Tensor], path: Path) -> Classifier:
    """The network with these weights, in eval mode.

    Raises WeightsError naming the tensors that differ.
    """
    model = build(network)
    own = unique_tensors(model)
    if differences := _differences(own, tensors):
        shown = "; ".join(differences[:_SHOWN])
        more = f"; and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        message = f"{path} does not fit the network: {shown}{more}"
        raise WeightsError(message, hint="name the network that the weights belong to with spec=")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    return model.eval().to(memory_format=torch.channels_last)


def _differences(own: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """Missing and surplus tensors, and those of another shape or type, each in a few words."""
    found = [f"{name} is missing" for name in own if name not in given]
    found += [f"{name} is not in the network" for name in given if name not in own]
    for name in filter(given.__contains__, own):
        ours, theirs = own[name], given[name]
        if ours.shape != theirs.shape:
            found.append(f"{name} is {_shape(theirs)}, not {_shape(ours)}")
        elif ours.is_floating_point() != theirs.is_floating_point():
            found.append(f"{name} is {theirs.dtype}, not {ours.dtype}")
    return found


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single value"

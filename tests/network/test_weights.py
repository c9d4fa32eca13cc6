"""Weights and checkpoints: they come back as they were; what is damaged or foreign is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from small import equal, loaded, tensors

from mnist_arch.errors import (
    PathError,
    RunCorrupt,
    ShapeError,
    StorageError,
    WeightsError,
)
from mnist_arch.network.build import build, count_parameters
from mnist_arch.network.weights import build_with, read_weights, save_weights, unique_tensors
from mnist_arch.runs.checkpoint import read_checkpoint, save_checkpoint
from mnist_arch.runs.find import spec_of
from mnist_arch.spec.experiment import Experiment
from mnist_arch.training.state import State

SMALL = loaded().experiment
SHARED = loaded(
    blocks=[
        {"channels": [4], "pool": {"kind": "max", "size": 4}},
        {"channels": [4], "repeat": 3, "share": True, "activation": "prelu"},
    ]
).experiment


class Exploit:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(path, build(SMALL, seed=3), SMALL)
    return path


# -------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize(
    "experiment",
    [
        SMALL,
        SHARED,
        loaded(defaults__norm="instance", defaults__bias=False).experiment,
        loaded(
            blocks=[
                {
                    "channels": [{"out": 4, "kind": "separable"}],
                    "residual": True,
                    "squeeze_excitation": 2,
                    "repeat": 2,
                }
            ],
            head={"pool": "global-average", "linear": True},
        ).experiment,
    ],
)
def test_weights_come_back_bit_by_bit(experiment: Experiment, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    model = build(experiment, seed=3).to(memory_format=torch.channels_last)
    model(torch.rand(8, 1, 28, 28))  # moves the running statistics
    save_weights(path, model, experiment)
    found, metadata = read_weights(path)
    assert spec_of(metadata, path) == experiment
    again = build_with(spec_of(metadata, path), found, path)
    assert equal(tensors(again), tensors(model))
    assert not again.training
    x = torch.rand(4, 1, 28, 28)
    assert torch.equal(again(x), model.eval()(x))


def test_each_tensor_is_stored_once(tmp_path: Path) -> None:
    model = build(SHARED)
    save_weights(tmp_path / "a.safetensors", model, SHARED)
    stored = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert len(model.state_dict()) > len(stored)
    learned = [name for name, _ in model.named_parameters()]
    assert sum(stored[name].numel() for name in learned) == count_parameters(model)
    assert stored.keys() == unique_tensors(model).keys()


def test_equal_weights_are_equal_bytes(tmp_path: Path) -> None:
    path, contents = tmp_path / "a.safetensors", set()
    for _ in range(20):
        save_weights(path, build(SMALL, seed=3), SMALL)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_the_file_is_as_the_format_says(file: Path) -> None:
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert size % 8 == 0
    assert sorted(header.pop("__metadata__")) == ["format", "normalization", "sha256", "spec"]
    assert 8 + size + max(entry["data_offsets"][1] for entry in header.values()) == len(content)


def test_the_normalisation_is_beside_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    fashion = loaded(dataset="fashion-mnist").experiment
    bare, own = ({"kind": "none"}, {"mean": 0.1325})
    for experiment, mean, std in (
        (SMALL, 0.1307, 0.3081),
        (fashion, 0.2860, 0.3530),
        (loaded(recipe__normalize=bare).experiment, 0, 1),
        (loaded(recipe__normalize=own).experiment, 0.1325, 0.3081),
    ):
        save_weights(path, build(experiment), experiment)
        _, metadata = read_weights(path)
        assert json.loads(metadata["normalization"]) == {"mean": mean, "std": std}


def test_files_that_lack_the_normalisation_are_read_as_before(file: Path) -> None:
    content, metadata = file.read_bytes(), read_weights(file)[1]
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    del header["__metadata__"]["normalization"]
    found = {name: it.clone() for name, it in safetensors.torch.load_file(file).items()}
    checksum = hashlib.sha256(metadata["spec"].encode())
    for name, tensor in sorted(found.items()):
        checksum.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        checksum.update(tensor.numpy().tobytes())
    header["__metadata__"]["sha256"] = checksum.hexdigest()
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    again, without = read_weights(file)
    assert equal(again, found)
    assert "normalization" not in without


def test_weights_without_a_checksum_may_come_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    model = build(SMALL, seed=9)
    safetensors.torch.save_file(dict(unique_tensors(model)), path)
    found, metadata = read_weights(path)
    assert metadata == {}
    assert equal(tensors(build_with(SMALL, found, path)), tensors(model))
    with pytest.raises(WeightsError, match="does not say which network it belongs to") as caught:
        spec_of(metadata, path)
    assert "spec=" in caught.value.hint


# ------------------------------------------------------------------------- of another network


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod.", "module.module."])
def test_names_of_wrappers_before_every_name_are_left_out(tmp_path: Path, prefix: str) -> None:
    model = build(SMALL)
    inner = {name: it.contiguous() for name, it in model.state_dict().items()}
    wrapped = {f"{prefix}{name}": it for name, it in inner.items()}
    safetensors.torch.save_file(wrapped, tmp_path / "x")
    found, _ = read_weights(tmp_path / "x")
    assert equal(tensors(build_with(SMALL, found, tmp_path / "x")), tensors(model))
    first = next(iter(inner))
    safetensors.torch.save_file({**wrapped, "other": inner[first].clone()}, tmp_path / "x")
    assert f"{prefix}{first}" in read_weights(tmp_path / "x")[0]


def test_averaged_weights_are_those_of_the_network(tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(build(SMALL))
    stored = {name: it.contiguous() for name, it in averaged.state_dict().items()}
    assert "n_averaged" in stored
    safetensors.torch.save_file(stored, tmp_path / "x")
    found, _ = read_weights(tmp_path / "x")
    assert equal(tensors(build_with(SMALL, found, tmp_path / "x")), tensors(averaged.module))
    alone = {name: it.contiguous() for name, it in build(SMALL).state_dict().items()}
    safetensors.torch.save_file({**alone, "n_averaged": torch.tensor(3)}, tmp_path / "x")
    found, _ = read_weights(tmp_path / "x")
    with pytest.raises(WeightsError, match="n_averaged is not in the network"):
        build_with(SMALL, found, tmp_path / "x")


def test_missing_surplus_and_different_tensors_are_named(tmp_path: Path) -> None:
    found = {name: tensor.detach() for name, tensor in unique_tensors(build(SMALL)).items()}
    names = list(found)
    first = names[0]
    found[first] = torch.zeros(2, 3, 5, 5)
    del found[names[-1]]
    found["extra"] = torch.zeros(1)
    counter = next(name for name in names if name.endswith("num_batches_tracked"))
    found[counter] = torch.tensor(1.5)
    with pytest.raises(WeightsError) as caught:
        build_with(SMALL, found, Path("a.safetensors"))
    message = str(caught.value)
    assert message.startswith(f"a.safetensors does not fit the network: {names[-1]} is missing; ")
    assert "extra is not in the network" in message
    assert f"{first} is 2×3×5×5, not 4×1×3×3" in message
    assert f"{counter} is torch.float32, not torch.int64" in message
    assert "more" not in message
    assert "spec=" in caught.value.hint


def test_of_many_differences_some_are_shown() -> None:
    with pytest.raises(WeightsError, match=r": (\S+ is missing; ){6}and \d+ more$"):
        build_with(SMALL, {}, Path("a"))


def test_a_shape_without_axes_has_a_name() -> None:
    found = dict(unique_tensors(build(SMALL)))
    counter = next(name for name in found if name.endswith("num_batches_tracked"))
    found[counter] = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(WeightsError, match="is 3, not a single value"):
        build_with(SMALL, found, Path("a"))


# ------------------------------------------------------------------------------------- damaged


def test_a_file_that_is_cut_short_is_refused(file: Path) -> None:
    content = file.read_bytes()
    for length in (0, 1, 7, 8, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="cannot be read") as caught:
            read_weights(file)
        assert str(file) in str(caught.value)
        assert "copy it again" in caught.value.hint


def test_a_file_with_more_at_its_end_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0" * 8)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(file)


@pytest.mark.slow
def test_no_flipped_bit_is_overlooked(file: Path) -> None:
    content = file.read_bytes()
    whole, metadata = read_weights(file)
    header = 8 + int.from_bytes(content[:8], "little")
    rng = random.Random(0)
    places = [*rng.sample(range(header), 300), *rng.sample(range(header, len(content)), 100)]
    found_out = 0
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        try:
            found, noted = read_weights(file)
        except WeightsError:
            found_out += 1
        else:  # nothing that matters: the number of the format, or how the checksum is called
            assert place < header
            assert equal(found, whole)
            assert noted["spec"] == metadata["spec"]
    assert found_out > 380


def test_a_folder_and_nothing_at_all_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PathError, match="cannot read"):
            read_weights(path)


def test_a_pickle_is_refused_and_executes_nothing(tmp_path: Path) -> None:
    trap, path = tmp_path / "trap", tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(Exploit(trap)))
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(path)
    torch.save(Exploit(trap), path)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(path)
    assert not trap.exists()


@pytest.mark.parametrize(
    "spec",
    [
        "extends: /etc/passwd",
        '{"extends": "s6"}',
        "!!python/object/apply:os.system [touch trap]",
        "",
        "[]",
        "name: x",
        "\0\1\2",
        "[" * 5000,
        "name: x\nblocks: [{channels: [100000]}]",
        "name: x\nblocks: [{channels: [8]}]\nhead: {pool: average, size: 64}",
        "&x [*x]",
    ],
)
def test_a_malicious_spec_in_the_header_is_refused(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("evil.safetensors")
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, metadata={"spec": spec})
    found, metadata = read_weights(path)
    with pytest.raises((WeightsError, ShapeError)):
        build_with(spec_of(metadata, path), found, path)
    assert [it.name for it in tmp_path.iterdir()] == ["evil.safetensors"]


# --------------------------------------------------------------------------------- checkpoints


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint"
    save_checkpoint(path, {"digest": "d", "state": State.fresh(SMALL, seed=1).state_dict()})
    return path


def test_a_checkpoint_comes_back(checkpoint: Path) -> None:
    fresh = State.fresh(SMALL, seed=1).state_dict()
    found = read_checkpoint(checkpoint)
    assert found["digest"] == "d"
    assert found["state"].keys() == fresh.keys()
    assert equal(found["state"]["model"], fresh["model"])
    assert torch.equal(found["state"]["shuffle"], fresh["shuffle"])
    weight = found["state"]["model"]["layers.5.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_checkpoint_that_is_cut_short_or_random_is_refused(checkpoint: Path) -> None:
    content = checkpoint.read_bytes()
    noise = random.Random(1).randbytes(5000)
    for damaged in (b"", content[:100], content[: len(content) // 2], content[:-1], noise, b"PK"):
        checkpoint.write_bytes(damaged)
        with pytest.raises(RunCorrupt, match=r"the checkpoint .* cannot be read: ") as caught:
            read_checkpoint(checkpoint)
        assert (
            caught.value.hint
            == "start the run from scratch with again=True; its folder is kept aside"
        )


@pytest.mark.slow
def test_no_flipped_bit_of_a_checkpoint_is_overlooked(checkpoint: Path) -> None:
    content, whole = checkpoint.read_bytes(), read_checkpoint(checkpoint)
    rng = random.Random(0)
    found_out = 0
    for place in rng.sample(range(len(content)), 300):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        checkpoint.write_bytes(damaged)
        try:
            found = read_checkpoint(checkpoint)
        except RunCorrupt:
            found_out += 1
        else:  # between the members of the archive
            assert _same(found, whole)
    assert found_out > 150


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(_same, one, two))
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else bool(one == two)


def test_a_checkpoint_executes_nothing(checkpoint: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    torch.save({"digest": "d", "state": Exploit(trap)}, checkpoint)
    with pytest.raises(RunCorrupt, match="cannot be read"):
        read_checkpoint(checkpoint)
    assert not trap.exists()


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_old_one(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    before = checkpoint.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        save_checkpoint(checkpoint, {"digest": "other"})
    assert checkpoint.read_bytes() == before

"""The native engine as one of the product's: chosen, written down, trained with, gone on with."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from small import equal, loaded, synthetic, tensors

from mnist_arch.errors import DeviceUnavailable
from mnist_arch.native.library import Vectors, vectors_here
from mnist_arch.training import native
from mnist_arch.training.engine import Engine
from mnist_arch.training.engine_choice import choose_engine, prepare
from mnist_arch.training.events import EpochRecord
from mnist_arch.training.loop import train
from mnist_arch.training.state import State


@pytest.fixture(autouse=True)
def _kept_library(
    library: ctypes.CDLL, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library of the tests in place of one in the user's cache."""
    cache = request.config.cache
    assert cache
    monkeypatch.setattr(native, "cache_folder", lambda: Path(cache.mkdir("native")))


def test_it_is_chosen_where_it_is_asked_for() -> None:
    engine = choose_engine(device="cpu", threads=2, wanted="native").engine
    vectors = vectors_here()
    assert engine == Engine(device="cpu", threads=2, step="native", vectors=vectors)


def test_torch_has_one_thread_beside_it() -> None:
    before = torch.get_num_threads()
    try:
        prepare(Engine(device="cpu", threads=2, step="native", vectors="plain"))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_without_a_compiler_a_hint_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(DeviceUnavailable, match="no C\\+\\+ compiler") as caught:
        choose_engine(device="cpu", threads=2, wanted="native")
    assert "--engine plain" in caught.value.hint


def test_there_is_none_on_a_gpu() -> None:
    with pytest.raises(DeviceUnavailable, match="no native steps on cuda"):
        choose_engine(device="cuda", threads=2, wanted="native")


def test_vectors_of_another_machine_are_refused() -> None:
    other: Vectors = "avx2" if vectors_here() == "neon" else "neon"
    with pytest.raises(DeviceUnavailable, match=f"no {other} vectors"):
        native.native_library(other)


def test_vectors_belong_to_native_steps() -> None:
    with pytest.raises(ValidationError, match="have vectors"):
        Engine(device="cpu", threads=1, step="native")
    with pytest.raises(ValidationError, match="have vectors"):
        Engine(device="cpu", threads=1, vectors="plain")


def test_a_training_goes_on_to_the_same_bits() -> None:
    experiment = loaded(recipe__epochs=3).experiment
    training, judged_on = (
        synthetic(70, seed=1),
        synthetic(40, seed=2),
    )  # the last batch has 6 images
    engine = choose_engine(device="cpu", threads=2, wanted="native").engine

    def trained(state: State, epochs: int) -> list[EpochRecord]:
        found: list[EpochRecord] = []
        for record in train(state, training, judged_on, engine=engine):
            if isinstance(record, EpochRecord):
                found.append(record)
                if len(found) == epochs:
                    break
        return found

    whole = State.fresh(experiment, seed=3)
    records = trained(whole, 3)
    first = State.fresh(experiment, seed=3)
    trained(first, 1)
    other = State.fresh(experiment, seed=4)
    other.load_state_dict(first.state_dict())
    assert [it.train_loss for it in trained(other, 2)] == [it.train_loss for it in records[1:]]
    assert equal(tensors(whole.result), tensors(other.result))

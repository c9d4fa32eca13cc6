"""The native engine as one of the product's: chosen, written down, trained with, gone on with."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from small import counted, equal, images_of, loaded, synthetic, tensors

from mnist_arch.data.catalog import INFO
from mnist_arch.errors import DeviceUnavailable
from mnist_arch.evaluation.metrics import count_correct, mean_loss, mistaken, predict
from mnist_arch.native.library import vectors_here
from mnist_arch.native.vectors import Vectors
from mnist_arch.runs.execute import run_experiment
from mnist_arch.runs.folder import Run
from mnist_arch.spec.loading import load
from mnist_arch.training import engine_choice, native_library
from mnist_arch.training.engine import Engine
from mnist_arch.training.engine_choice import choose_engine, prepare
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.events import EpochRecord
from mnist_arch.training.loop import train
from mnist_arch.training.native import NativeStep
from mnist_arch.training.state import State


@pytest.fixture(autouse=True)
def _kept_library(
    library: ctypes.CDLL, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache of the tests in place of the user's."""
    cache = request.config.cache
    assert cache
    monkeypatch.setattr(native_library, "cache_folder", lambda: Path(cache.mkdir("native")))
    monkeypatch.setattr(engine_choice, "find_library", native_library.find_library)


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
    monkeypatch.setattr(native_library, "installed_path", lambda _: tmp_path / "none")
    with pytest.raises(DeviceUnavailable, match="no C\\+\\+ compiler") as caught:
        choose_engine(device="cpu", threads=2, wanted="native")
    assert "engine='plain'" in caught.value.hint


def test_there_is_none_on_a_gpu() -> None:
    with pytest.raises(DeviceUnavailable, match="no native steps on cuda"):
        choose_engine(device="cuda", threads=2, wanted="native")


def test_vectors_of_another_machine_are_refused() -> None:
    other: Vectors = "avx2" if vectors_here() == "neon" else "neon"
    with pytest.raises(DeviceUnavailable, match=f"no {other} vectors"):
        native_library.native_library(other)


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


@pytest.mark.parametrize("ema", [None, 0.9])
def test_it_judges_as_torch_does(ema: float | None) -> None:
    """The counts of correct images agree, ties aside: all other logits keep their order."""
    experiment = loaded(recipe__epochs=2, recipe__ema=ema).experiment
    training, held = synthetic(96, seed=1), synthetic(150, seed=2)
    engine = choose_engine(device="cpu", threads=2, wanted="native").engine
    state = State.fresh(experiment, seed=3)
    for record in train(state, training, held, engine=engine):
        if isinstance(record, EpochRecord):
            logits_NK = predict(state.result, held.images, INFO["mnist-5k"])
            first, second = logits_NK.topk(2).values.unbind(1)
            assert (first - second).min() > 1e-4  # no ties
            assert record.correct == count_correct(logits_NK, held.labels)
            assert record.loss == pytest.approx(mean_loss(logits_NK, held.labels), rel=1e-5)
            assert state.mistakes == mistaken(logits_NK, held.labels)


def test_its_logits_are_torchs(library: ctypes.CDLL) -> None:
    """Of s6, after some steps, by passes of whole batches and of what is left."""
    experiment = load("s6").with_dataset("mnist-5k").experiment
    training = synthetic(128, seed=1)
    state = State.fresh(experiment, seed=0)
    state.model.train()
    step = NativeStep(state, training, batch=64, threads=2, library=library)
    step.begin(EpochPlan.next(state, 128))
    for number in range(2):
        step(number)
    found = step.predict(training.images[:101])
    right = predict(state.result, training.images[:101], INFO["mnist-5k"])
    torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4)


def test_a_run_goes_on_in_other_threads_to_the_same_bits(tmp_path: Path) -> None:
    """Its manifest has those of the start, and its engine is not what is asked for later."""
    experiment = counted(recipe__epochs=3)
    images = images_of(synthetic(70, seed=1), synthetic(40, seed=2))
    engine = choose_engine(device="cpu", threads=2, wanted="native").engine
    later = Engine(device="cpu", threads=3)

    def trained(folder: Path, *, stops: bool) -> Run:
        run = Run(folder)
        for turn in (engine, later):
            events = run_experiment(
                experiment,
                images,
                run=run,
                seed=3,
                engine=turn,
                command=[],
                command_seconds=lambda: 0.0,
            )
            for event in events:
                if stops and isinstance(event, EpochRecord) and event.epoch == 1:
                    break
            events.close()
        return run

    whole = trained(tmp_path / "whole", stops=False)
    other = trained(tmp_path / "other", stops=True)
    assert other.weights_path.read_bytes() == whole.weights_path.read_bytes()
    assert other.manifest().engine == engine

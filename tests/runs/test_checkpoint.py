"""A part of a run as a value: it travels, goes on elsewhere, and ends where no device is left."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from small import counted, equal, images_of, tensors

from mnist_arch.data.split import Split
from mnist_arch.errors import RunCorrupt
from mnist_arch.runs.checkpoint import ResumePoint, checkpoint_bytes, read_checkpoint
from mnist_arch.runs.execute import claim, keep_epoch
from mnist_arch.runs.folder import Run
from mnist_arch.runs.result import Result
from mnist_arch.training.engine import Engine
from mnist_arch.training.events import EpochRecord
from mnist_arch.training.loop import train
from mnist_arch.training.state import State

SMALL = counted()
CAPTURED = Engine(device="cuda", threads=1, step="captured")


def claimed(run: Run, training: Split, judged_on: Split) -> ResumePoint | Result:
    with run.lock():
        return claim(
            SMALL,
            images_of(training, judged_on),
            run=run,
            seed=1,
            engine=Engine(device="cpu", threads=1),
            command=["test"],
        )


def trained(
    resume_point: ResumePoint, training: Split, judged_on: Split, *, epochs: int
) -> list[bytes]:
    """Checkpoints after each of the next epochs, by somebody who has only what travelled."""
    there: ResumePoint = pickle.loads(pickle.dumps(resume_point))
    state = there.state()
    found = []
    for record in train(state, training, judged_on):
        if isinstance(record, EpochRecord):
            found.append(checkpoint_bytes(there.checkpoint_of(state)))
            if len(found) == epochs:
                return found
    return found


def after(run: Run, training: Split, judged_on: Split, *, epochs: int) -> ResumePoint:
    """What is left of a run when so many epochs more have been trained elsewhere."""
    resume_point = claimed(run, training, judged_on)
    assert isinstance(resume_point, ResumePoint)
    state = resume_point.state()
    for record in train(state, training, judged_on):
        if isinstance(record, EpochRecord):
            keep_epoch(run, record, checkpoint_bytes(resume_point.checkpoint_of(state)))
            epochs -= 1
            if not epochs:
                break
    left = claimed(run, training, judged_on)
    assert isinstance(left, ResumePoint)
    return left


@pytest.mark.slow
def test_a_segment_comes_to_the_same_bits_elsewhere(
    tmp_path: Path, training: Split, judged_on: Split
) -> None:
    run, whole = Run(tmp_path / "run"), Run(tmp_path / "whole")
    left = after(run, training, judged_on, epochs=1)
    assert left.epochs_done == 1
    *_, last = trained(left, training, judged_on, epochs=2)
    run.checkpoint_path.write_bytes(last)
    reference = after(whole, training, judged_on, epochs=3)
    assert reference.epochs_done == 3
    there, here = read_checkpoint(run.checkpoint_path), read_checkpoint(whole.checkpoint_path)
    assert there["digest"] == here["digest"]
    for part in ("model", "average"):
        assert equal(there["state"][part], here["state"][part])


def test_before_the_first_epoch_there_is_no_checkpoint(
    tmp_path: Path, training: Split, judged_on: Split
) -> None:
    resume_point = claimed(Run(tmp_path / "run"), training, judged_on)
    assert isinstance(resume_point, ResumePoint)
    assert (resume_point.checkpoint, resume_point.epochs_done) == (None, 0)
    assert resume_point.state().epoch == 0


@pytest.mark.slow
def test_a_training_that_is_done_needs_its_device_no_more(
    tmp_path: Path, training: Split, judged_on: Split
) -> None:
    """The streams and the optimizer of a GPU mean nothing here, where there may be none."""
    done = after(Run(tmp_path / "run"), training, judged_on, epochs=3)
    expected = tensors(done.state().result)
    manifest = done.manifest.model_copy(update={"engine": CAPTURED})
    assert done.checkpoint is not None
    elsewhere = {"augment": torch.zeros(16, dtype=torch.uint8), "optimizer": {}}
    state = {**done.checkpoint["state"], **elsewhere}
    resume_point = ResumePoint(
        done.counted, manifest, {**done.checkpoint, "state": state}, Path("checkpoint")
    )
    found = resume_point.state()
    assert found.device.type == "cpu"
    assert equal(tensors(found.result), expected)
    assert (found.epoch, found.mistakes) == (3, state["mistakes"])
    assert list(train(found, training, judged_on, engine=CAPTURED)) == []
    unfinished = ResumePoint(
        done.counted,
        done.manifest,
        {**done.checkpoint, "state": {**state, "epoch": 2}},
        Path("the checkpoint"),
    )
    with pytest.raises(RunCorrupt, match=r"^the checkpoint is no checkpoint of this program$"):
        unfinished.state()


@pytest.mark.parametrize("kind", [torch.AcceleratorError, torch.OutOfMemoryError])
def test_an_error_of_the_device_is_no_damage(
    tmp_path: Path,
    training: Split,
    judged_on: Split,
    kind: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = after(Run(tmp_path / "run"), training, judged_on, epochs=1)

    def fail(*_: object) -> None:
        raise kind("the device")

    monkeypatch.setattr(State, "load_state_dict", fail)
    with pytest.raises(kind, match="the device"):
        begun.state()

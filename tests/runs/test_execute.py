"""A run from start to end: what lies in its folder at every moment, and what it goes on from."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest
import safetensors.torch
import torch
from small import equal, folder_name, images_of, loaded, synthetic, tensors

from mnist_arch.counting.counted import count
from mnist_arch.counting.digest import digest
from mnist_arch.data.catalog import DatasetSplit
from mnist_arch.data.load import Loader
from mnist_arch.data.split import Split
from mnist_arch.errors import (
    DeviceUnavailable,
    EarlierFormat,
    LaterFormat,
    NonFiniteLoss,
    NotAllowed,
    RunCorrupt,
    RunError,
    RunLocked,
    SpecError,
    StorageError,
)
from mnist_arch.evaluation.judgement import wilson_interval_percent
from mnist_arch.network.weights import read_weights
from mnist_arch.runs import execute as running
from mnist_arch.runs import provenance
from mnist_arch.runs.checkpoint import read_checkpoint, save_checkpoint
from mnist_arch.runs.curves import AccuracyRule
from mnist_arch.runs.events import NotDrawn, Started
from mnist_arch.runs.execute import run_experiment
from mnist_arch.runs.folder import Run
from mnist_arch.runs.images import RunImages, read_images
from mnist_arch.runs.result import Result
from mnist_arch.spec.loading import Loaded
from mnist_arch.training.engine import Engine
from mnist_arch.training.engine_choice import resolve_device
from mnist_arch.training.events import EpochRecord
from mnist_arch.training.loop import train
from mnist_arch.training.state import State
from mnist_arch.values import FORMAT

SMALL = loaded()
ENGINE = Engine(device="cpu", threads=1)
PNG = b"\x89PNG\r\n\x1a\n"

FILES = [
    ".lock",
    "checkpoint",
    "curves.png",
    "manifest.json",
    "metrics.jsonl",
    "result.json",
    "weights.safetensors",
]


@pytest.fixture(autouse=True)
def _fast_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than training here, and is tested elsewhere."""
    monkeypatch.setattr("mnist_arch.runs.finished.draw_curves", lambda *_, **__: PNG)


@pytest.fixture(scope="module")
def images() -> RunImages:
    return images_of(synthetic(96, seed=1), synthetic(50, seed=2))


@dataclasses.dataclass
class Session:
    """What a process does with a run; each call is a process of its own."""

    parent: Path
    images: RunImages
    loaded: Loaded = SMALL
    seed: int = 1

    @property
    def run(self) -> Run:
        return Run(self.parent / folder_name(self.loaded.experiment, self.seed))

    def events(
        self, *, again: bool = False, threads: int = 1, device: Literal["cpu", "cuda"] = "cpu"
    ) -> Iterator[Any]:
        return run_experiment(
            count(self.loaded),
            self.images,
            run=self.run,
            seed=self.seed,
            engine=Engine(device=device, threads=threads),
            command=["mnist-arch", "train", "a b"],
            command_seconds=lambda: 12.5,
            again=again,
        )

    def finish(self, *, again: bool = False) -> Result:
        *_, result = self.events(again=again)
        assert isinstance(result, Result)
        return result

    def until(self, epoch: int) -> None:
        """Stops right after an epoch, as Ctrl-C would."""
        events = self.events()
        for event in events:
            if isinstance(event, EpochRecord) and event.epoch == epoch:
                break
        events.close()  # type: ignore[attr-defined]

    def curve(self) -> list[dict[str, Any]]:
        """The stored records, without what depends on the clock."""
        records = [json.loads(line) for line in self.run.metrics_path.read_text().splitlines()]
        for record in records:
            del record["seconds"], record["images_per_second"]
        return records


@pytest.fixture
def session(tmp_path: Path, images: RunImages) -> Session:
    return Session(tmp_path, images)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, images: RunImages) -> Session:
    """A run that was never disturbed."""
    whole = Session(tmp_path_factory.mktemp("reference"), images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnist_arch.runs.finished.draw_curves", lambda *_, **__: PNG)
        whole.finish()
    return whole


def assert_same(session: Session, reference: Session) -> None:
    """The run came to the same bits, and its folder holds no more and no less."""
    assert sorted(os.listdir(session.run.folder)) == FILES
    assert session.run.weights_path.read_bytes() == reference.run.weights_path.read_bytes()
    assert session.curve() == reference.curve()
    assert [record["epoch"] for record in session.curve()] == [1, 2, 3]


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


# ----------------------------------------------------------------------------------- the folder


def test_a_run_leaves_its_whole_folder(session: Session) -> None:
    events = list(session.events())
    folder = session.run.folder
    assert folder.name == f"small-{digest(SMALL.experiment)[:8]}-s1"
    assert sorted(os.listdir(folder)) == FILES
    assert events[0] == Started(session.run, 0)
    records = [it for it in events if isinstance(it, EpochRecord)]
    result = events[-1]
    assert [it.epoch for it in records] == [1, 2, 3]
    stored = [json.loads(line) for line in session.run.metrics_path.read_text().splitlines()]
    assert stored == [{"format": FORMAT, **dataclasses.asdict(record)} for record in records]
    assert session.run.curves_path.read_bytes() == PNG
    assert Result.model_validate_json(session.run.result_path.read_text()) == result
    assert session.run.result_path.read_text() == result.json_text()


def test_the_manifest_says_what_was_asked_for(reference: Session) -> None:
    manifest = reference.run.manifest()
    assert manifest.format == FORMAT
    assert manifest.loaded.experiment == SMALL.experiment
    assert manifest.origins == SMALL.origins
    assert manifest.origins["recipe.ema"] == "small.yaml:12"
    assert manifest.digest == digest(SMALL.experiment)
    assert (manifest.seed, manifest.engine.threads, manifest.engine.device) == (1, 1, "cpu")
    assert manifest.engine.memory_format == "channels_last"
    assert manifest.versions.keys() == {"python", "mnist-arch", "torch", "numpy", "safetensors"}
    assert manifest.versions["torch"] == metadata.version("torch")
    assert manifest.data_sha256 == reference.images.sha256
    assert manifest.command == ["mnist-arch", "train", "a b"]
    assert manifest.started.endswith("+00:00")


def test_the_result_is_the_final_epoch(reference: Session) -> None:
    result = reference.run.result()
    assert result is not None
    curve = reference.curve()
    assert (result.correct, result.images) == (curve[-1]["correct"], 50)
    assert result.accuracy_percent == 100 * result.correct / 50
    assert result.interval_percent == wilson_interval_percent(result.correct, 50)
    assert result.loss == curve[-1]["loss"]
    assert (result.name, result.seed, result.dataset, result.split) == (
        "small",
        1,
        "mnist-5k",
        "test",
    )
    assert (result.epochs, result.command_seconds) == (3, 12.5)
    assert result.parameters == 3_232
    assert result.seconds > 0
    assert result.verdicts.model_dump() == {
        "parameters": "kept",
        "epochs": "kept",
        "accuracy": "none",
    }


def test_the_best_epoch_is_an_extra(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = itertools.cycle([30, 45, 40])
    monkeypatch.setattr("mnist_arch.training.loop.count_correct", lambda *_: next(counts))
    result = session.finish()
    assert (result.correct, result.accuracy_percent) == (40, 80.0)
    assert (result.best_epoch, result.best_accuracy_percent) == (2, 90.0)


def test_the_weights_are_those_of_the_result(reference: Session) -> None:
    state = State.fresh(SMALL.experiment, seed=1)
    list(train(state, reference.images.training, reference.images.judged_on))
    assert state.average is not None
    found, _ = read_weights(reference.run.weights_path)
    assert equal(found, tensors(state.average))
    assert not equal(found, tensors(state.model))
    stored = safetensors.torch.load_file(reference.run.weights_path)
    assert equal(stored, found)


def test_the_manifest_is_there_before_the_first_step(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> NoReturn:
        assert sorted(os.listdir(session.run.folder)) == [".lock", "manifest.json"]
        raise NonFiniteLoss(epoch=1, step=1, rate=0.1)

    with monkeypatch.context() as patch:
        patch.setattr(running, "train", explode)
        with pytest.raises(NonFiniteLoss):
            session.finish()
    assert sorted(os.listdir(session.run.folder)) == [".lock", "manifest.json"]
    assert session.run.result() is None
    session.finish()


def test_a_loss_that_is_not_finite_leaves_the_last_whole_epoch(
    tmp_path: Path, images: RunImages
) -> None:
    wild = loaded(
        recipe__schedule={"kind": "constant", "peak": 1e6, "warmup": 0.0}, defaults__norm="none"
    )
    session = Session(tmp_path, images, wild)
    for _ in range(2):  # the second time, too
        with pytest.raises(NonFiniteLoss, match="epoch 1"):
            session.finish()
    assert sorted(os.listdir(session.run.folder)) == [".lock", "manifest.json"]


# ---------------------------------------------------------------------------------- its picture


def test_a_picture_that_cannot_be_drawn_costs_no_more_than_itself(
    session: Session, reference: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_picture(*_: object, **__: object) -> NoReturn:
        assert session.run.result() is not None
        raise RuntimeError("latex could not be found")

    trouble = NotDrawn(session.run.curves_path, "latex could not be found")
    with monkeypatch.context() as patch:
        patch.setattr("mnist_arch.runs.finished.draw_curves", no_picture)
        *_, not_drawn, first = session.events()
        assert not_drawn == trouble
        assert not session.run.curves_path.exists()
        assert list(session.events()) == [Started(session.run, 3), trouble, first]
    assert list(session.events()) == [Started(session.run, 3), first]  # drawn after all
    assert_same(session, reference)


@pytest.mark.parametrize(
    ("holdout", "budget", "facts", "asked"),
    [
        (0, {}, "mnist-5k (embedded sample), judged on 50 test images", "mnist"),
        (
            16,
            {"dataset": "mnist-5k"},
            "mnist-5k (embedded sample), judged on 50 training images held out",
            "mnist-5k",
        ),
        (
            0,
            {"dataset": "kmnist"},
            "mnist-5k (embedded sample), judged on 50 test images",
            None,
        ),
    ],
)
def test_the_picture_says_what_it_is_of(
    tmp_path: Path,
    images: RunImages,
    monkeypatch: pytest.MonkeyPatch,
    holdout: int,
    budget: dict[str, Any],
    facts: str,
    asked: str | None,
) -> None:
    drawn: list[dict[str, Any]] = []

    def draw(records: list[EpochRecord], **said: Any) -> bytes:
        drawn.append(said)
        return PNG

    monkeypatch.setattr("mnist_arch.runs.finished.draw_curves", draw)
    Session(tmp_path, images, loaded(holdout=holdout, budget=budget, recipe__epochs=1)).finish()
    (said,) = drawn
    assert said["facts"] == facts
    assert said["title"].startswith("small, seed 1: ")
    assert said["asked"] == (None if asked is None else AccuracyRule(99.4, f"{asked} test"))


# --------------------------------------------------------------------------------- a finished run


def no_training(*_: object, **__: object) -> NoReturn:
    pytest.fail("a finished run trains")


def test_a_finished_run_shows_its_result_and_trains_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = session.finish()
    before = {
        path: path.stat().st_mtime_ns
        for path in session.run.folder.iterdir()
        if path.name != ".lock"
    }
    monkeypatch.setattr(running, "train", no_training)
    monkeypatch.setattr(State, "fresh", no_training)
    assert list(session.events()) == [Started(session.run, 3), first]
    assert all(path.stat().st_mtime_ns == before[path] for path in before)


@pytest.mark.slow
def test_a_stored_result_is_judged_by_the_budget_of_today(session: Session) -> None:
    session.finish()
    limits = {"parameters_below": 3_232, "epochs_below": 3}
    session.loaded = loaded(budget=limits)
    verdicts = session.finish().verdicts
    assert (verdicts.parameters, verdicts.epochs) == ("missed", "missed")
    session.loaded = loaded(budget={"parameters_below": 3_233, "epochs_below": 4})
    verdicts = session.finish().verdicts
    assert (verdicts.parameters, verdicts.epochs) == ("kept", "kept")


@pytest.mark.parametrize(("percent", "verdict"), [(0.0, "kept"), (100.0, "missed")])
def test_the_accuracy_is_judged_on_the_test_split_of_the_budgets_dataset(
    session: Session, percent: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_arch.training.loop.count_correct", lambda *_: 49)
    session.loaded = loaded(budget={"accuracy_percent": percent, "dataset": "mnist-5k"})
    assert session.finish().verdicts.accuracy == verdict


@pytest.mark.slow
def test_again_puts_the_old_folder_aside(session: Session, reference: Session) -> None:
    session.finish()
    (session.run.folder / "mark").write_text("first")
    session.finish(again=True)
    assert_same(session, reference)
    aside = session.run.folder.with_name(f"{session.run.folder.name}.1")
    assert sorted(os.listdir(aside)) == sorted([*FILES, "mark"])
    session.until(1)
    session.finish(again=True)
    assert_same(session, reference)
    assert sorted(os.listdir(session.parent)) == [
        session.run.folder.name,
        aside.name,
        f"{session.run.folder.name}.2",
    ]


def test_again_without_an_old_folder_makes_none(session: Session) -> None:
    session.finish(again=True)
    assert os.listdir(session.parent) == [session.run.folder.name]


@pytest.mark.slow
def test_a_finished_run_is_shown_where_one_may_only_read(
    session: Session, freeze: Callable[[Path], None]
) -> None:
    result = session.finish()
    freeze(session.parent)
    assert session.finish() == result
    with pytest.raises(NotAllowed, match="Read-only file system") as caught:
        session.finish(again=True)
    assert "mounted read-only: choose another folder" in caught.value.hint


def test_a_finished_run_is_shown_while_another_process_holds_it(session: Session) -> None:
    result = session.finish()
    with session.run.lock():
        assert session.finish() == result


def test_a_run_in_progress_cannot_be_put_aside(session: Session) -> None:
    events = session.events()
    next(events)
    with pytest.raises(RunLocked, match="another process is working in"):
        session.finish(again=True)
    with pytest.raises(RunLocked):
        session.finish()
    assert os.listdir(session.parent) == [session.run.folder.name]
    events.close()  # type: ignore[attr-defined]
    session.finish()


# --------------------------------------------------------------------------------------- resuming


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_run_goes_on_after_any_epoch_bit_by_bit(
    session: Session, reference: Session, epoch: int
) -> None:
    session.until(epoch)
    assert sorted(os.listdir(session.run.folder)) == [
        ".lock",
        "checkpoint",
        "manifest.json",
        "metrics.jsonl",
    ]
    before = session.run.manifest()
    earlier = session.run.metrics(epochs=epoch)
    events = list(session.events())
    assert events[0] == Started(
        session.run, epoch, tuple(EpochRecord(**record) for record in earlier)
    )
    assert [it.epoch for it in events if isinstance(it, EpochRecord)] == [1, 2, 3][epoch:]
    assert session.run.manifest() == before
    assert_same(session, reference)


@pytest.mark.slow
def test_an_epoch_that_was_written_without_its_checkpoint_is_trained_again(
    session: Session, reference: Session
) -> None:
    session.until(1)
    kept = session.run.checkpoint_path.read_bytes()
    session.until(2)
    session.run.checkpoint_path.write_bytes(kept)
    with session.run.metrics_path.open("a") as file:
        file.write('{"epoch": 3, "train_lo')
    events = list(session.events())
    assert events[0].epochs_done == len(events[0].earlier) == 1
    assert_same(session, reference)


def test_without_a_checkpoint_it_starts_from_the_first_epoch(
    session: Session, reference: Session
) -> None:
    session.until(2)
    session.run.checkpoint_path.unlink()
    assert next(iter(session.events())) == Started(session.run, 0)
    session.finish()
    assert_same(session, reference)


def test_a_run_killed_before_its_result_writes_it_without_training(
    session: Session, reference: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = session.finish()
    for path in (session.run.result_path, session.run.weights_path, session.run.curves_path):
        path.unlink()
    events = list(session.events())
    assert [type(event) for event in events] == [Started, Result]
    assert_same(session, reference)
    kept = {"seconds": 0.0}
    assert events[-1].model_copy(update=kept) == first.model_copy(update=kept)


def test_seconds_add_up_over_segments(session: Session, images: RunImages) -> None:
    session.images = dataclasses.replace(images, seconds=100.0)
    session.until(1)
    (record,) = session.run.metrics(epochs=1)
    assert 100 < record["seconds"] < 150
    result = session.finish()
    assert 200 < result.seconds < 250


def test_a_run_goes_on_with_the_threads_that_it_started_with(session: Session) -> None:
    events = session.events(threads=2)
    next(events)
    assert torch.get_num_threads() == 2
    events.close()  # type: ignore[attr-defined]
    next(session.events(threads=1))
    assert torch.get_num_threads() == 2
    assert session.run.manifest().engine.threads == 2


@pytest.mark.slow
def test_another_device_is_refused_until_the_run_is_finished(session: Session) -> None:
    session.until(1)
    with pytest.raises(RunError, match="was started on cpu, not cuda") as caught:
        next(session.events(device="cuda"))
    assert "resume=" in caught.value.hint
    result = session.finish()
    assert list(session.events(device="cuda"))[-1] == result


@pytest.mark.slow
def test_other_images_are_refused(session: Session, images: RunImages) -> None:
    session.until(1)
    changed = images.judged_on.images.clone()
    changed[7, 0, 3, 3] ^= 1
    session.images = images_of(
        images.training, dataclasses.replace(images.judged_on, images=changed)
    )
    with pytest.raises(RunError, match="was started on other images") as caught:
        session.finish()
    assert caught.value.hint == "restore the data, or start from scratch with again=True"
    session.finish(again=True)


def test_another_meaning_of_the_spec_is_refused(session: Session) -> None:
    session.until(1)
    edit(session.run.manifest_path, digest="0" * 64)
    with pytest.raises(RunError, match="with another meaning of its spec") as caught:
        session.finish()
    assert "again=True" in caught.value.hint


def test_the_folder_of_another_seed_is_refused(session: Session) -> None:
    session.finish()
    session.run.folder.rename(session.parent / folder_name(SMALL.experiment, 2))
    session.seed = 2
    with pytest.raises(RunError, match="holds a run of seed 1, not of seed 2"):
        session.finish()


# ------------------------------------------------------------------------------------------ damage

ANEW = "start the run from scratch with again=True; its folder is kept aside"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def noise(path: Path) -> None:
    path.write_bytes(os.urandom(2_000))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign(path: Path) -> None:
    state = State.fresh(SMALL.experiment, seed=1)
    save_checkpoint(path, {"format": FORMAT, "digest": "0" * 64, "state": state.state_dict()})


def other_network(path: Path) -> None:
    state = State.fresh(loaded(blocks=[{"channels": [5]}]).experiment, seed=1)
    saved = {"format": FORMAT, "digest": digest(SMALL.experiment), "state": state.state_dict()}
    save_checkpoint(path, saved)


def half_a_state(path: Path) -> None:
    saved = read_checkpoint(path)
    del saved["state"]["shuffle"]
    save_checkpoint(path, saved)


def a_list(path: Path) -> None:
    torch.save([1, 2], path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "cannot be read"),
        (noise, "cannot be read"),
        (flip, "cannot be read: the checksum of "),
        (foreign, "belongs to another experiment"),
        (other_network, "is no checkpoint of this program"),
        (half_a_state, "is no checkpoint of this program"),
        (a_list, "is no checkpoint of this program"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    session: Session, reference: Session, damage: Callable[[Path], None], message: str
) -> None:
    session.until(2)
    damage(session.run.checkpoint_path)
    with pytest.raises(RunCorrupt, match=message) as caught:
        session.finish()
    assert str(session.run.checkpoint_path) in str(caught.value)
    assert caught.value.hint == ANEW
    session.finish(again=True)  # the way out that it names
    assert_same(session, reference)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, noise])
@pytest.mark.parametrize("name", ["manifest.json", "result.json"])
def test_a_damaged_record_is_refused(
    session: Session, name: str, damage: Callable[[Path], None]
) -> None:
    session.finish()
    damage(session.run.folder / name)
    with pytest.raises(
        RunCorrupt, match=rf"{name.replace('.', '[.]')} (is damaged|cannot be read)"
    ):
        session.finish()
    session.finish(again=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"step": "captured"}, "there are no captured steps on cpu"),
        ({"device": "cuda", "step": "compiled"}, "there are no compiled steps on cuda"),
        ({"device": "mps", "step": "captured"}, "there are no captured steps on mps"),
    ],
)
def test_an_engine_that_there_is_not_is_damage(
    session: Session, values: dict[str, Any], message: str
) -> None:
    session.until(1)
    edit(session.run.manifest_path, engine={"device": "cpu", "threads": 1, **values})
    with pytest.raises(RunCorrupt, match=f"manifest[.]json is damaged: .*{message}"):
        session.finish()


def test_a_later_format_is_refused(session: Session) -> None:
    session.finish()
    edit(session.run.manifest_path, format=FORMAT + 1)
    with pytest.raises(LaterFormat, match=f"has format {FORMAT + 1}; this program reads up to"):
        session.finish()


def aged(run: Run) -> dict[str, bytes]:
    """Makes the files of a run those of the first format; returns what they are."""
    edit(run.manifest_path, format=1, digest="0" * 64)
    lines = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    for line in lines:
        del line["format"]
    run.metrics_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    saved = read_checkpoint(run.checkpoint_path)
    save_checkpoint(run.checkpoint_path, {"digest": "0" * 64, "state": saved["state"]})
    return {path.name: path.read_bytes() for path in run.folder.iterdir()}


@pytest.mark.slow
def test_a_run_of_an_earlier_format_is_named_and_left_as_it_is(session: Session) -> None:
    session.until(1)
    before = aged(session.run)
    with pytest.raises(EarlierFormat, match=f"has format 1, .*; this program reads {FORMAT}$"):
        session.finish()
    assert {path.name: path.read_bytes() for path in session.run.folder.iterdir()} == before
    session.finish(again=True)  # as the hint says
    aside = session.run.folder.with_name(f"{session.run.folder.name}.1")
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == before


@pytest.mark.parametrize(
    "values",
    [
        {"digest": "0" * 64},
        {"seed": 9},
        {"accuracy_percent": 99.9},
        {"correct": 7},
        {"epochs": 2},
        {"parameters": 5},
        {"best_accuracy_percent": 1.0},
        {"mistakes": [1]},
    ],
)
def test_a_result_that_contradicts_its_run_is_refused(
    session: Session, values: dict[str, Any]
) -> None:
    session.finish()
    edit(session.run.result_path, **values)
    name = next(iter(values)).replace("correct", "(accuracy_percent says .* and 7 )?correct")
    with pytest.raises(RunCorrupt, match=rf"contradicts itself: .*result\.json: {name}"):
        session.finish()


def test_a_lost_manifest_is_not_made_up(session: Session) -> None:
    session.until(1)
    session.run.manifest_path.unlink()
    with pytest.raises(RunCorrupt, match=r"has lost its manifest\.json"):
        session.finish()


def test_lost_metrics_are_refused(session: Session) -> None:
    session.until(2)
    session.run.metrics_path.unlink()
    with pytest.raises(RunCorrupt, match="lacks epochs that the checkpoint has"):
        session.finish()


@pytest.mark.parametrize("values", [{"epoch": 1}, {"epoch": 1, "train_loss": "x"}])
def test_metrics_of_another_shape_are_refused(session: Session, values: dict[str, Any]) -> None:
    session.until(1)
    session.run.metrics_path.write_text(json.dumps({"format": FORMAT, **values}) + "\n")
    with pytest.raises(RunCorrupt, match=r"metrics\.jsonl is damaged: "):
        session.finish()


# ---------------------------------------------------------------------------------- a full disk


def full_at(patch: pytest.MonkeyPatch, name: str, *, at: int) -> list[int]:
    """The call number `at` of a function of the operating system finds the disk full."""
    original, calls = getattr(os, name), [0]

    def guarded(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*args)

    patch.setattr(f"os.{name}", guarded)
    return calls


# The manifest; metrics and checkpoint of three epochs; weights and result. Then come the curves.
@pytest.mark.slow
@pytest.mark.parametrize(("name", "calls"), [("fsync", 9), ("replace", 6)])
def test_wherever_the_disk_is_full_the_same_call_goes_on(
    tmp_path: Path, images: RunImages, reference: Session, name: str, calls: int
) -> None:
    for at in range(1, calls + 1):
        session = Session(tmp_path / str(at), images)
        with pytest.MonkeyPatch.context() as patch:
            full_at(patch, name, at=at)
            with pytest.raises(StorageError, match="No space left on device") as caught:
                session.finish()
        assert caught.value.hint == "free some space, or choose another folder"
        assert not [it for it in os.listdir(session.run.folder) if it not in FILES]
        assert session.run.result() is None
        session.finish()
        assert_same(session, reference)
    with pytest.MonkeyPatch.context() as patch:
        counted = full_at(patch, name, at=calls + 1)
        session = Session(tmp_path / "whole", images)
        *_, not_drawn, result = session.events()
        assert isinstance(not_drawn, NotDrawn)
        assert "No space left on device" in not_drawn.trouble
        assert session.run.result() == result
    assert counted == [calls + 1]
    assert session.finish() == result
    assert_same(session, reference)


def test_on_a_small_disk_it_goes_on_once_there_is_room(
    small_disk: Path, images: RunImages, reference: Session
) -> None:
    session = Session(small_disk, images)
    filler = small_disk / "filler"
    filler.write_bytes(b"0" * 140_000)
    with pytest.raises(StorageError, match="No space left on device"):
        session.finish()
    assert {"manifest.json", ".lock"} <= set(os.listdir(session.run.folder)) <= set(FILES)
    filler.unlink()
    session.finish()
    assert_same(session, reference)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, images: RunImages) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"cannot write .*: File exists") as caught:
        Session(tmp_path / "file", images).finish()
    assert "file is a file, not a folder" in caught.value.hint


# ----------------------------------------------------------------------------------- the images


def test_without_a_hold_out_it_is_judged_on_test(
    images_are: Callable[[Loader], None],
) -> None:
    opened = []

    def spy(name: str, split: DatasetSplit, *, data_dir: Path | None, **_: Any) -> Split:
        opened.append((name, split, data_dir))
        return synthetic(96 if split == "train" else 50, seed=1, name=split)

    images_are(spy)
    found = read_images(SMALL.experiment, data_dir=Path("here"), device="cpu")
    assert opened == [("mnist-5k", "train", Path("here")), ("mnist-5k", "test", Path("here"))]
    assert (len(found.training), len(found.judged_on), found.split) == (96, 50, "test")
    assert found.seconds > 0


def test_with_a_hold_out_the_test_split_is_never_opened(
    tmp_path: Path, images_are: Callable[[Loader], None]
) -> None:
    def train_only(name: str, split: str, **_: Any) -> Split:
        if split != "train":
            pytest.fail("the test split is opened")
        return synthetic(96, seed=1)

    images_are(train_only)
    held_out = loaded(holdout=16, budget={"dataset": "mnist-5k", "accuracy_percent": 0.0})
    found = read_images(held_out.experiment, data_dir=None, device="cpu")
    assert (len(found.training), len(found.judged_on), found.split) == (80, 16, "validation")
    session = Session(tmp_path, found, held_out)
    result = session.finish()
    assert (result.split, result.images) == ("validation", 16)
    assert result.verdicts.accuracy == "none"
    assert session.finish() == result


def test_the_same_images_are_held_out_for_every_seed(
    images_are: Callable[[Loader], None],
) -> None:
    images_are(lambda *_, **__: synthetic(96, seed=1))
    found = {
        read_images(loaded(holdout=16).experiment, data_dir=None, device="cpu").sha256
        for _ in range(2)
    }
    whole = read_images(SMALL.experiment, data_dir=None, device="cpu").sha256
    assert len(found) == 1
    assert whole not in found


def test_too_large_a_hold_out_is_a_mistake_in_the_spec(
    images_are: Callable[[Loader], None],
) -> None:
    images_are(lambda *_, **__: synthetic(96, seed=1))
    with pytest.raises(SpecError, match="cannot be held out"):
        read_images(loaded(holdout=90).experiment, data_dir=None, device="cpu")


# ------------------------------------------------------------------------------------ the machine


def test_the_first_device_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(DeviceUnavailable, match="there is no cuda device") as caught:
        resolve_device("cuda")
    assert caught.value.hint == "device='cpu'"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cpu") == "cpu"


def test_a_device_that_is_wished_for_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto", rather="cpu") == "cpu"
    assert resolve_device("auto", rather="mps") == "cuda"
    assert resolve_device("cuda", rather="cpu") == "cuda"


def test_the_checkout_is_recorded_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"ls-files": "running.py", "rev-parse": "a" * 40, "status": " M running.py"}

    def git(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, answers[command[3]] + "\n", "")

    monkeypatch.setattr(subprocess, "run", git)
    ask = provenance.git_state.__wrapped__
    found = ask()
    assert found is not None
    assert (found.commit, found.changed) == ("a" * 40, True)

    def missing(*_: Any, **__: Any) -> NoReturn:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert ask() is None

"""Every stored file has the format number, and one of another format is named as that."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from small import counted
from tiny_runs import make_run

from mnist_arch.errors import EarlierFormat, LaterFormat, RunCorrupt, RunError
from mnist_arch.network.build import build
from mnist_arch.network.weights import read_weights, save_weights
from mnist_arch.runs.checkpoint import ResumePoint, read_checkpoint, save_checkpoint
from mnist_arch.runs.find import find
from mnist_arch.runs.folder import Run, latest
from mnist_arch.runs.result import Reading
from mnist_arch.sweeps.ledger import Asked, Failure, Ledger, Pruned
from mnist_arch.sweeps.standings import Leaderboard, csv_text
from mnist_arch.training.state import State
from mnist_arch.values import FORMAT, read_record

COUNTED = counted()
EXPERIMENT = COUNTED.experiment
OLD_WAY_OUT = "or use the version of mnist-arch that wrote it"


def refused(read: Callable[[], object], path: Path, found: int) -> RunError:
    """A file of another format, called that and nothing else."""
    kind = EarlierFormat if found < FORMAT else LaterFormat
    with pytest.raises(RunError) as caught:
        read()
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{path} has format {found}")
    assert "damaged" not in str(caught.value)
    if kind is EarlierFormat:
        assert "of an earlier version" in str(caught.value)
        assert caught.value.hint.endswith(OLD_WAY_OUT)
    else:
        assert caught.value.hint == "install a later version of mnist-arch"
    return caught.value


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path, EXPERIMENT)


def rewritten(path: Path, found: int) -> Path:
    """A file whose content nobody but its own version understands."""
    path.write_text(json.dumps({"format": found, "something": "else"}))
    return path


OTHERS = pytest.mark.parametrize("found", [1, FORMAT + 1])


@OTHERS
def test_a_manifest(run: Run, found: int) -> None:
    error = refused(run.manifest, rewritten(run.manifest_path, found), found)
    if found == 1:
        assert error.hint.startswith("start from scratch with again=True")
    # It can be found, and what is wrong is said when it is read.
    assert latest(run.folder.parent) == run


@OTHERS
def test_a_result(run: Run, found: int) -> None:
    refused(run.result, rewritten(run.result_path, found), found)


@OTHERS
def test_metrics(run: Run, found: int) -> None:
    for epoch in (1, 2):
        run.append_metrics({"epoch": epoch, "loss": 0.5})
    lines = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    assert lines == [{"format": FORMAT, "epoch": it, "loss": 0.5} for it in (1, 2)]
    assert run.metrics(epochs=2) == [{"epoch": it, "loss": 0.5} for it in (1, 2)]
    run.keep_metrics(epochs=1)
    assert json.loads(run.metrics_path.read_text()) == lines[0]
    # The first format had no number there.
    number = {"format": found} if found > 1 else {}
    text = "".join(json.dumps({**number, "epoch": it, "loss": 0.5}) + "\n" for it in (1, 2))
    run.metrics_path.write_text(text)
    refused(lambda: run.metrics(epochs=2), run.metrics_path, found)
    refused(lambda: run.keep_metrics(epochs=1), run.metrics_path, found)
    assert run.metrics_path.read_text() == text


def test_a_line_that_is_no_line_is_still_passed_over(run: Run) -> None:
    run.append_metrics({"epoch": 1, "loss": 0.5})
    with run.metrics_path.open("a") as file:
        file.write('{"format": "x", "epoch": 2}\n[1]\n"epoch"\n{"epoch"')
    assert run.metrics(epochs=1) == [{"epoch": 1, "loss": 0.5}]


def test_readings(run: Run) -> None:
    reading = Reading(
        time="2026-01-01T00:00:00+00:00",
        dataset="mnist",
        split="test",
        correct=1,
        images=2,
        accuracy_percent=50.0,
        command=["mnist-arch", "eval"],
    )
    run.append_reading(reading)
    assert json.loads(run.readings_path.read_text())["format"] == FORMAT


@OTHERS
def test_a_checkpoint(run: Run, found: int) -> None:
    state = State.fresh(EXPERIMENT, seed=0)
    whole = ResumePoint(COUNTED, run.manifest(), None, run.checkpoint_path).checkpoint_of(state)
    save_checkpoint(run.checkpoint_path, whole)
    assert read_checkpoint(run.checkpoint_path)["format"] == FORMAT

    def resume_point(saved: Any) -> ResumePoint:
        return ResumePoint(COUNTED, run.manifest(), saved, run.checkpoint_path)

    assert resume_point(whole).epochs_done == 0
    # The first format had no number there, and its digests are others.
    number = {"format": found} if found > 1 else {}
    other = {**number, "digest": "0" * 64, "state": whole["state"]}
    refused(lambda: resume_point(other).epochs_done, run.checkpoint_path, found)
    refused(lambda: resume_point(other).state(), run.checkpoint_path, found)
    for saved in ([1, 2], {"format": found}, {**whole, "format": "x"}):
        with pytest.raises(RunCorrupt, match="is no checkpoint of this program"):
            _ = resume_point(saved).epochs_done


@OTHERS
def test_weights(tmp_path: Path, found: int) -> None:
    path, model = tmp_path / "w.safetensors", build(EXPERIMENT)
    save_weights(path, model, EXPERIMENT)
    tensors, metadata = read_weights(path)
    assert metadata["format"] == str(FORMAT)
    safetensors.torch.save_file(tensors, path, metadata={**metadata, "format": str(found)})
    refused(lambda: read_weights(path), path, found)
    for spec in (None, "s6"):  # the header says what it was trained on, and is not understood
        refused(lambda spec=spec: find(str(path), runs=tmp_path, spec=spec), path, found)


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {"format": "1"}, {"format": "²"}])
def test_weights_from_elsewhere_have_no_format_of_ours(
    tmp_path: Path, metadata: dict[str, str]
) -> None:
    path, model = tmp_path / "w.safetensors", build(EXPERIMENT)
    tensors = {name: it.contiguous() for name, it in model.state_dict().items()}
    safetensors.torch.save_file(tensors, path, metadata=metadata)
    assert read_weights(path)[1] == metadata


@OTHERS
def test_what_a_sweep_was_asked_for(tmp_path: Path, found: int) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    path, ledger = rewritten(folder / "sweep.json", found), Ledger(folder)
    for read in (ledger.asked, ledger.check_format):
        error = refused(read, path, found)
        if found == 1:
            assert error.hint.startswith("name another folder with out=")
    path.write_text("{")
    ledger.check_format()  # is written anew
    path.unlink()
    ledger.check_format()


@OTHERS
@pytest.mark.parametrize("kind", [Asked, Failure, Pruned])
def test_files_of_the_ledger(tmp_path: Path, kind: Any, found: int) -> None:
    assert kind.model_fields["format"].default == FORMAT
    path = rewritten(tmp_path / "file.json", found)
    refused(lambda: read_record(path, kind), path, found)


def test_a_leaderboard_as_csv() -> None:
    whole = {"parameters": "none", "epochs": "none", "accuracy": "none"}
    standing = {
        **{"name": "a", "also": [], "differs": {}, "trials": [], "rejected": "", "rank": None},
        **{"parameters": 1, "macs": 1, "epochs": 1, "seconds": 0.0, "verdicts": whole},
        **dict.fromkeys(("holdout", "against_first", "test")),
        **dict.fromkeys(("tied", "front"), False),
    }
    board = Leaderboard.model_validate(
        {
            **{"name": "x", "dataset": "mnist", "holdout_images": 1, "budget": {}},
            **{"standings": [standing], "effects": [], "states": {}, "search": None},
        }
    )
    (row,) = csv.DictReader(io.StringIO(csv_text(board)))
    assert row["format"] == str(FORMAT)
    assert json.loads(board.json_text())["format"] == FORMAT

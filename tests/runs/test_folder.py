"""The folder of a run: its name, its files, its lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from profiles import examples
from small import folder_name, loaded
from strategies import files, text_of
from tiny_runs import make_run, tiny

from mnist_arch.counting.digest import digest
from mnist_arch.counting.unroll import unroll
from mnist_arch.errors import (
    FROM_SCRATCH,
    LaterFormat,
    RunCorrupt,
    RunError,
    RunLocked,
    SpecError,
    StorageError,
)
from mnist_arch.runs.folder import Run, all_runs, latest, read_manifest
from mnist_arch.runs.manifest import MAX_SEED, Manifest
from mnist_arch.runs.result import Reading
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load, loads
from mnist_arch.spec.overrides import parse_override
from mnist_arch.training.engine import Engine
from mnist_arch.values import FORMAT

SMALL = loaded().experiment


REFERENCE = """
name: reference
defaults: {order: conv-activation-norm, activation: relu, norm: batch, bias: true, dropout: 0.2}
blocks:
  - {channels: [8, 16, 32], pool: max, reduce: 8}
  - {channels: [16, 32], pool: max, reduce: 8}
  - {channels: [16, 32], pool: max, reduce: 10}
head: {pool: average, size: 3}
recipe:
  optimizer: {kind: sgd, momentum: 0.9, nesterov: true, weight_decay: 1e-4}
  schedule: {kind: one-cycle, peak: 0.1, warmup: 0.2}
  ema: 0.998
  augment: {rotate_degrees: 8, shift_pixels: 1.2, scale: 0.08, shear_degrees: 6}
dataset: mnist
"""


@pytest.fixture(scope="module")
def reference_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("spec") / "reference.yaml"
    path.write_text(REFERENCE)
    return str(path)


@pytest.fixture
def reference(reference_file: str) -> Callable[..., Experiment]:
    """The reference network with overrides."""
    return lambda *texts: load(reference_file, overrides=map(parse_override, texts)).experiment


def spec(text: str) -> Experiment:
    return loads(f"name: x\ndataset: mnist\n{text}", source="x.yaml").experiment


# ------------------------------------------------------------------------------------ the digest


Overridden = Callable[..., Experiment]


def test_the_digest_of_the_reference_stays_what_it_is(reference: Overridden) -> None:
    """Another meaning of a spec needs another FORMAT: folders and results are found by it."""
    assert FORMAT == 2
    expected = "b6f3ab06e7ffc7649eaea98c5d32de07c14807d08408546bd0cfcd259a6da1a3"
    assert digest(reference()) == expected
    assert folder_name(reference(), 7) == "reference-b6f3ab06-s7"


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        ("blocks: [{channels: [8]}]", "blocks: [{channels: [{out: 8}]}]"),
        (
            "blocks: [{channels: [8], pool: max}]",
            "blocks: [{channels: [8], pool: {kind: max, size: 2, stride: 2}}]",
        ),
        (
            "blocks: [{channels: [8], reduce: 10}]",
            "blocks: [{channels: [8], reduce: {out: 10, at: after, norm: none, activation: none}}]",
        ),
        (
            "blocks: [{channels: [8], dropout: 0.1}]",
            "defaults: {dropout: {rate: 0.1, kind: elementwise}}\nblocks: [{channels: [8]}]",
        ),
        (
            "defaults: {bias: false}\nblocks: [{channels: [8, 4]}]",
            "blocks: [{channels: [{out: 8, bias: false}, 4], bias: false}]",
        ),
        ("blocks: [{channels: [8, 8]}]", "blocks: [{channels: [8]}, {channels: [8]}]"),
        ("blocks: [{channels: [8, 8]}]", "blocks: [{channels: [8], repeat: 2}]"),
        ("blocks: [{channels: [8]}]", "blocks: [{channels: [8], dropout: 0.0}]"),
        ("blocks: [{channels: [8]}]", "classes: 10\nblocks: [{channels: [8], share: true}]"),
        (
            "blocks: [{channels: [8]}]",
            "blocks: [{channels: [8]}]\nrecipe: {schedule: {kind: one-cycle, peak: 1e-1}}",
        ),
        ("blocks: [{channels: [8]}]", "blocks: [{channels: [8]}]\nrecipe: {optimizer: {}}"),
        ("blocks: [{channels: [8]}]", "# a comment\nblocks:\n  - channels:\n    - 8  # eight"),
        ("blocks: [{channels: [8]}]", "blocks: [{channels: [8]}]\nholdout: 0"),
    ],
)
def test_what_means_the_same_has_one_digest(short: str, whole: str) -> None:
    head = "\nhead: {pool: flatten, linear: true}"
    if "reduce" in short:
        head = ""
    assert digest(spec(short + head)) == digest(spec(whole + head))


def test_name_budget_and_origin_do_not_count(reference: Overridden) -> None:
    same = [
        reference("name=other"),
        reference("budget.parameters_below=19000"),
        reference("budget.accuracy_percent=99.5"),
        reference("recipe.epochs=19"),
        loads(json.dumps(reference().model_dump(mode="json")), source="copy").experiment,
    ]
    assert {digest(it) for it in same} == {digest(reference())}
    assert folder_name(same[0], 0) == "other-b6f3ab06-s0"


@pytest.mark.parametrize(
    "change",
    [
        "recipe.epochs=18",
        "recipe.batch_size=128",
        "recipe.optimizer.momentum=0.8",
        "recipe.optimizer={kind: adamw}",
        "recipe.optimizer.decays=all",
        "recipe.optimizer=adam",
        "recipe.l1=1e-4",
        "recipe.schedule.peak=0.2",
        "recipe.schedule={kind: cosine}",
        "recipe.schedule={cycle_momentum: true}",
        "recipe.schedule={first_step: start}",
        "recipe.schedule={kind: plateau}",
        "recipe.schedule={kind: multi-step, milestones: [8]}",
        "recipe.label_smoothing=0.1",
        "recipe.clip_norm=1",
        "recipe.ema=null",
        "recipe.augment.scale=0.1",
        "recipe.augment.erase={probability: 0.5}",
        "dataset=kmnist",
        "holdout=5000",
        "blocks.0.channels=[8, 16, 31]",
        "blocks.0.dropout=0.1",
        "blocks.0.dropout={rate: 0.2, kind: spatial}",
        "blocks.0.pool=average",
        "blocks.0.activation=silu",
        "blocks.0.norm=group",
        "blocks.0.order=conv-norm-activation",
        "blocks.0.residual=true",
        "blocks.0.padding_mode=replicate",
        "defaults.bias=false",
        "head={pool: global-average}",
        "head.dropout=0.1",
    ],
)
def test_whatever_a_result_depends_on_counts(change: str, reference: Overridden) -> None:
    assert digest(reference(change)) != digest(reference())


def test_sharing_counts() -> None:
    start = "head: {pool: flatten, linear: true}\nblocks: [{channels: [4, 4], repeat: 2"
    assert digest(spec(f"{start}, share: true}}]")) != digest(spec(f"{start}}}]"))


def test_auto_has_no_digest() -> None:
    with pytest.raises(ValueError, match="resolve the dataset"):
        digest(loaded(dataset="auto").experiment)


@pytest.mark.slow
@settings(max_examples=examples(30))
@given(file=files())
def test_a_manifest_gives_back_the_very_experiment(file: dict[str, Any]) -> None:
    experiment = loads(text_of(file), source="file.yaml").experiment
    manifest = manifest_of(experiment)
    again = Manifest.model_validate_json(manifest.json_text())
    assert again == manifest
    found = again.loaded
    assert found.experiment == experiment
    assert found.origins == {"recipe": "--set"}
    assert unroll(found.experiment) == unroll(experiment)
    if experiment.dataset != "auto":
        assert digest(found.experiment) == digest(experiment)


def manifest_of(experiment: Experiment) -> Manifest:
    return Manifest(
        experiment=experiment,
        origins={"recipe": "--set"},
        digest="0" * 64,
        seed=3,
        engine=Engine(device="cpu", threads=1),
        versions={},
        data_sha256="0" * 64,
        git=None,
        command=[],
        started="2026-01-01T00:00:00+00:00",
    )


# -------------------------------------------------------------------------------- reading its files


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path, tiny())


def test_a_run_reads_what_it_wrote(run: Run) -> None:
    assert run.manifest().seed == 0
    assert run.manifest().loaded.experiment == tiny()
    result = run.result()
    assert result is not None
    assert result.accuracy_percent == 50.0
    assert json.loads(result.json_text())["format"] == FORMAT


def test_an_unfinished_run_has_no_result(tmp_path: Path) -> None:
    assert make_run(tmp_path, tiny(), finished=False).result() is None


def test_a_folder_without_a_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is no run: it has no manifest\.json") as caught:
        Run(tmp_path).manifest()
    assert type(caught.value) is RunError
    with pytest.raises(RunError, match="is no run"):
        read_manifest(tmp_path / "nowhere" / "manifest.json")
    assert Run(tmp_path / "nowhere").is_new


@pytest.mark.parametrize("name", ["manifest.json", "result.json"])
def test_a_later_format_is_not_guessed_at(run: Run, name: str) -> None:
    path = run.folder / name

    def later(content: dict[str, Any]) -> None:
        content.clear()
        content.update({"format": FORMAT + 1, "something": "else"})

    changed(path, later)
    read = run.manifest if name == "manifest.json" else run.result
    with pytest.raises(LaterFormat) as caught:
        read()
    assert str(caught.value) == f"{path} has format 3; this program reads up to 2"
    assert caught.value.hint == "install a later version of mnist-arch"


@pytest.mark.parametrize("name", ["manifest.json", "result.json"])
@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"format": 0}',
        b'{"format": "x"}',
        b'{"format": 2}',
        b"\xff\xfe\0",
    ],
)
def test_a_damaged_file_is_named(run: Run, name: str, damage: bytes) -> None:
    path = run.folder / name
    path.write_bytes(damage)
    with pytest.raises(RunCorrupt) as caught:
        (run.manifest if name == "manifest.json" else run.result)()
    assert str(caught.value).startswith(f"{path} ")
    assert "\n" not in str(caught.value)
    assert caught.value.hint == FROM_SCRATCH


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("seed", -1, "seed: Input should be greater than or equal to 0"),
        ("seed", MAX_SEED + 1, "seed: Input should be less than or equal to 4294967295"),
        ("engine", {"device": "tpu", "threads": 1}, "engine: device: Input should be 'cpu', "),
        ("engine", {"device": "cpu", "threads": 0}, "engine: threads: Input should be greater"),
        ("surplus", 1, "surplus: Extra inputs are not permitted"),
    ],
)
def test_the_reason_names_the_field(run: Run, field: str, value: Any, reason: str) -> None:
    changed(run.manifest_path, lambda content: content.update({field: value}))
    with pytest.raises(RunCorrupt, match=f"is damaged: {reason}"):
        run.manifest()


def test_a_folder_in_the_place_of_a_file_cannot_be_read(run: Run) -> None:
    run.manifest_path.unlink()
    run.manifest_path.mkdir()
    with pytest.raises(StorageError, match=r"cannot read .*: Is a directory"):
        run.manifest()


@pytest.mark.parametrize("experiment", [{"extends": "/etc/passwd"}, {"name": "x"}, {}])
def test_a_spec_in_a_manifest_is_validated_like_a_strangers(
    run: Run, experiment: dict[str, Any]
) -> None:
    changed(run.manifest_path, lambda content: content.update(experiment=experiment))
    with pytest.raises(SpecError):
        run.manifest()


def test_an_error_in_a_stored_spec_names_its_line(run: Run) -> None:
    lines = run.manifest_path.read_text().splitlines()
    (number,) = (number for number, line in enumerate(lines, 1) if '"batch_size"' in line)
    lines[number - 1] = '      "batch_size": 0,'
    run.manifest_path.write_text("\n".join(lines))
    with pytest.raises(SpecError) as caught:
        run.manifest()
    (problem,) = caught.value.problems
    assert (problem.place, problem.origin) == (
        "recipe.batch_size",
        f"{run.manifest_path}:{number}",
    )
    assert problem.message == "must be at least 2, not 0"
    assert all_runs(run.folder.parent) == [run]  # others are still found


def test_a_manifest_carries_its_experiment(run: Run) -> None:
    found = run.manifest()
    assert found.loaded.experiment is found.experiment


@pytest.mark.parametrize("name", ["checkpoint", "result.json"])
def test_a_run_that_lost_its_manifest_is_not_taken_for_a_new_one(run: Run, name: str) -> None:
    assert not run.is_new
    run.manifest_path.unlink()
    run.result_path.unlink()
    assert run.is_new
    (run.folder / name).write_bytes(b"")
    with pytest.raises(RunCorrupt, match=r"has lost its manifest\.json"):
        _ = run.is_new


# ----------------------------------------------------------------------------------- its metrics


def test_metrics_are_read_up_to_the_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.metrics(epochs=0) == []
    for epoch in (1, 2, 3):
        run.append_metrics({"epoch": epoch, "loss": 0.1 * epoch})
    assert [it["epoch"] for it in run.metrics(epochs=2)] == [1, 2]
    run.keep_metrics(epochs=2)
    assert len(run.metrics_path.read_text().splitlines()) == 2
    run.append_metrics({"epoch": 3, "loss": 7})
    assert [it["loss"] for it in run.metrics(epochs=3)] == [0.1, 0.2, 7]


@pytest.mark.parametrize(
    "torn",
    [
        '{"epoch": 3, "lo',
        "\0\0\0",
        "[]",
        "3",
        '{"loss": 1}',
        '{"epoch": "x"}',
        '{"epoch": null}',
        "\xff",
    ],
)
def test_torn_lines_are_dropped(tmp_path: Path, torn: str) -> None:
    run = Run(tmp_path)
    run.append_metrics({"epoch": 1})
    run.append_metrics({"epoch": 2})
    with run.metrics_path.open("a") as file:
        file.write(torn)
    run.keep_metrics(epochs=2)
    lines = run.metrics_path.read_text().splitlines()
    assert lines == [json.dumps({"epoch": it, "format": FORMAT}) for it in (1, 2)]


def test_of_an_epoch_that_was_written_twice_the_later_line_counts(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for loss in (1, 2):
        run.append_metrics({"epoch": 1, "loss": loss})
    assert run.metrics(epochs=1) == [{"epoch": 1, "loss": 2}]


def test_metrics_that_lack_an_epoch_of_the_checkpoint_are_damaged(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.append_metrics({"epoch": 1})
    run.append_metrics({"epoch": 3})
    with pytest.raises(RunCorrupt, match=r"metrics\.jsonl lacks epochs that the checkpoint has"):
        run.metrics(epochs=3)
    with pytest.raises(RunCorrupt, match="lacks epochs"):
        Run(tmp_path / "nowhere").metrics(epochs=1)


def test_only_finite_numbers_are_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Run(tmp_path).append_metrics({"epoch": 1, "loss": float("nan")})


def test_readings_are_appended(tmp_path: Path) -> None:
    reading = Reading(
        time="2026-01-01T00:00:00+00:00",
        dataset="mnist",
        split="test",
        correct=1,
        images=2,
        accuracy_percent=50.0,
        command=["mnist-arch", "eval"],
    )
    for _ in range(2):
        Run(tmp_path).append_reading(reading)
    lines = Run(tmp_path).readings_path.read_text().splitlines()
    assert [Reading.model_validate_json(line) for line in lines] == [reading, reading]


# ----------------------------------------------------------------------------------- the folder


def test_put_aside_takes_the_next_free_number(tmp_path: Path) -> None:
    run = Run(tmp_path / "a-00000000-s0")
    assert run.put_aside() is None
    for number in (1, 2, 3):
        run.folder.mkdir()
        (run.folder / "mark").write_text(str(number))
        assert run.put_aside() == tmp_path / f"a-00000000-s0.{number}"
        assert not run.folder.exists()
    marks = [(tmp_path / f"a-00000000-s0.{n}" / "mark").read_text() for n in (1, 2, 3)]
    assert marks == ["1", "2", "3"]


def test_runs_are_listed_latest_first(tmp_path: Path) -> None:
    early = make_run(tmp_path, tiny("early"), started="2026-01-01T00:00:00+00:00")
    late = make_run(tmp_path, tiny("late"), started="2026-03-01T00:00:00+00:00")
    middle = make_run(tmp_path, tiny("late"), seed=1, started="2026-02-01T00:00:00+00:00")
    aside = make_run(tmp_path, tiny("gone"), started="2026-04-01T00:00:00+00:00")
    aside.put_aside()
    (tmp_path / "notes").mkdir()
    (tmp_path / "file.json").write_text("{}")
    assert all_runs(tmp_path) == [late, middle, early]
    assert latest(tmp_path) == late
    assert latest(tmp_path, name="early") == early
    assert latest(tmp_path, name="lat") is None
    assert latest(tmp_path, name="late-") is None
    assert latest(tmp_path / "nowhere") is None


def test_a_damaged_manifest_does_not_hide_the_other_runs(tmp_path: Path) -> None:
    fine, damaged = make_run(tmp_path, tiny("fine")), make_run(tmp_path, tiny("damaged"))
    damaged.manifest_path.write_text("{")
    assert all_runs(tmp_path) == [fine, damaged]


# -------------------------------------------------------------------------------------- the lock

HOLDER = """
import sys
from pathlib import Path
from mnist_arch.runs.folder import Run
with Run(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    """Another process that holds the folder `run`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_second_process_is_refused_until_the_first_is_gone(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(RunLocked) as caught, run.lock():
        pass
    message = f"another process is working in {run.folder}: process {holder.pid} of "
    assert str(caught.value).startswith(message)
    assert caught.value.hint == "wait for it or end it, or choose another folder with out="
    holder.kill()  # as the kernel would: nothing of it can clean up
    holder.wait()
    assert (run.folder / ".lock").exists()
    with run.lock():
        pass
    with run.lock():
        pass


def test_a_second_hold_in_one_process_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with run.lock():
        with pytest.raises(RunLocked), run.lock():
            pass
        with Run(tmp_path / "other").lock():
            pass


def test_a_lock_is_let_go_whatever_happens_inside(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), run.lock():
        raise KeyboardInterrupt
    with run.lock():
        pass


def test_holding_a_folder_clears_what_a_killed_process_left(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    (run.folder / ".checkpoint.abcdefgh.unfinished").write_bytes(b"half")
    with run.lock():
        assert os.listdir(run.folder) == [".lock"]


def test_a_folder_that_cannot_be_locked_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="Not a directory"), Run(tmp_path / "file/run").lock():
        pass
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.lock").mkdir()
    with pytest.raises(StorageError, match="cannot write"), Run(tmp_path / "run").lock():
        pass

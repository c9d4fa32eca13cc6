"""`mnist-arch train --engine`: chosen once, said where it is not what was asked for, and kept."""

from __future__ import annotations

import dataclasses
import json
from ctypes import CDLL
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from train_command import Terminal, interrupt
from train_command import mnist_arch as mnist_arch

from mnist_arch.counting.plan import plan_network
from mnist_arch.runs import execute as running
from mnist_arch.runs import images as run_images
from mnist_arch.runs.folder import Run
from mnist_arch.runs.images import read_images
from mnist_arch.spec.loading import load
from mnist_arch.training import engine_choice as engines
from mnist_arch.training.compiled import CompiledStep
from mnist_arch.training.engine import Engine
from mnist_arch.training.loop import train
from mnist_arch.training.native_library import Found

NOTE = "steps are not compiled here: no g++"


@pytest.fixture
def _no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: CompiledStep) -> None:
        raise RuntimeError("no g++")

    monkeypatch.setattr(CompiledStep, "compile", fail)


def notes(result: Any) -> list[str]:
    return [line for line in result.stderr.splitlines() if "steps are" in line]


def engines_trained_with(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """The engine of each training from now on, which is plain all the same."""
    seen: list[Engine] = []

    def spy(*args: Any, engine: Engine, **options: Any) -> Any:
        seen.append(engine)
        yield from train(*args, **options)

    monkeypatch.setattr(running, "train", spy)
    return seen


def with_engine(run: Run, **values: Any) -> None:
    """Writes the manifest with these values of its engine; None takes one out."""
    content = json.loads(run.manifest_path.read_text())
    engine = {**content["engine"], **values}
    content["engine"] = {name: value for name, value in engine.items() if value is not None}
    run.manifest_path.write_text(json.dumps(content))


@pytest.mark.parametrize("choice", ["plain", "compiled", "fast"])
@pytest.mark.parametrize("option", ["--resume", "--from-manifest"])
def test_a_run_that_is_given_refuses_an_engine(
    mnist_arch: Terminal, option: str, choice: str
) -> None:
    result = mnist_arch(option, "runs/x", "--engine", choice, exit_code=2)
    assert f"{option} excludes --engine" in result.stderr


def test_an_engine_that_there_is_not_is_bad_input(mnist_arch: Terminal) -> None:
    result = mnist_arch("small.yaml", "--engine", "captured", exit_code=2)
    assert "--engine" in result.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("_no_compiler")
def test_what_cannot_be_compiled_is_plain_and_one_line_says_so(
    mnist_arch: Terminal,
) -> None:
    mnist_arch("small.yaml", "--engine", "plain", "--out", "plain")
    (plain,) = Path("plain").iterdir()
    result = mnist_arch("small.yaml", "--engine", "compiled")
    assert notes(result) == [NOTE]
    assert "steps are" not in result.stdout
    run = mnist_arch.run
    engine = run.manifest().engine
    assert (engine.step, engine.precision) == ("plain", "float32")
    assert run.weights_path.read_bytes() == Run(plain).weights_path.read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("_no_compiler")
def test_many_seeds_try_the_compiler_once(mnist_arch: Terminal) -> None:
    result = mnist_arch("small.yaml", "--seeds", "3", "--engine", "compiled")
    assert notes(result) == [NOTE]
    folders = [path for path in Path("runs").iterdir() if path.is_dir()]
    assert len(folders) == 3
    assert {Run(folder).manifest().engine.step for folder in folders} == {"plain"}


@pytest.mark.slow
@pytest.mark.usefixtures("_no_compiler")
def test_the_manifest_is_plain_before_the_second_epoch_is_kept(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes on after it would else take the second epoch for a compiled one."""
    mnist_arch("small.yaml", "--engine", "plain", "--out", "plain")
    (plain,) = Path("plain").iterdir()
    run = interrupted(mnist_arch, monkeypatch, "--engine", "compiled", after=2)
    assert run.manifest().engine.step == "plain"
    assert notes(mnist_arch("--resume", "latest")) == []
    assert run.weights_path.read_bytes() == Run(plain).weights_path.read_bytes()


@pytest.mark.usefixtures("_no_compiler")
def test_a_single_epoch_never_asks_for_a_compiler(mnist_arch: Terminal) -> None:
    assert notes(mnist_arch("small.yaml", "--epochs", "1", "--engine", "compiled")) == []


@pytest.mark.usefixtures("_no_compiler")
@pytest.mark.parametrize("choice", [[], ["--engine", "auto"], ["--engine", "plain"]])
def test_a_short_training_is_plain(mnist_arch: Terminal, choice: list[str]) -> None:
    """Native steps would have to be built first; whoever asks for plain ones knows."""
    result = mnist_arch("small.yaml", *choice)
    assert notes(result) == []
    lines = [line for line in result.stderr.splitlines() if line.startswith("plain steps: ")]
    assert len(lines) == ("plain" not in choice)
    assert mnist_arch.run.manifest().engine.step == "plain"


@pytest.mark.parametrize("quiet", [["--quiet"], ["--json"]])
@pytest.mark.usefixtures("_no_compiler")
def test_the_note_is_one_of_the_notes(mnist_arch: Terminal, quiet: list[str]) -> None:
    result = mnist_arch("small.yaml", "--engine", "compiled", *quiet)
    assert notes(result) == []
    assert mnist_arch.run.manifest().engine.step == "plain"


@pytest.mark.slow
def test_a_library_that_had_to_be_built_is_said_of_new_and_of_resumed_runs(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of one that is repeated: whichever command it was that had to wait."""
    said = "native steps were built first, which took 6 s"

    def told(*arguments: str) -> bool:
        return said in mnist_arch(*arguments).stderr.splitlines()

    run = interrupted(mnist_arch, monkeypatch, "--engine", "plain")
    with_engine(run, step="native", vectors="avx2")
    seen = engines_trained_with(monkeypatch)
    monkeypatch.setattr(engines, "find_library", lambda *_, **__: Found(cast(CDLL, None), said))
    monkeypatch.setattr(engines, "vectors_here", lambda: "avx2")
    assert told("--resume", "latest")
    assert told("--from-manifest", str(run.manifest_path), "--out", "repeated")
    assert told("small.yaml", "--out", "new", "--engine", "native")
    assert {engine.vectors for engine in seen[1:]} == {"avx2"}


def test_compiled_is_that_and_in_the_manifest(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = engines_trained_with(monkeypatch)
    result = mnist_arch("small.yaml", "--epochs", "1", "--engine", "compiled")
    assert notes(result) == []
    engine = mnist_arch.run.manifest().engine
    assert (engine.device, engine.step, engine.precision) == ("cpu", "compiled", "float32")
    assert seen == [engine]


def test_a_processor_with_bfloat16_trains_in_it_unless_asked_for_plain(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: True)
    mnist_arch("small.yaml", "--epochs", "1")
    mnist_arch("small.yaml", "--epochs", "1", "--engine", "plain", "--out", "plain")
    (folder,) = Path("plain").iterdir()
    chosen, plain = mnist_arch.run, Run(folder)
    assert chosen.manifest().engine.precision == "bfloat16"
    assert plain.manifest().engine.precision == "float32"
    assert chosen.weights_path.read_bytes() != plain.weights_path.read_bytes()


@pytest.mark.parametrize(("share", "step"), [(1.0, "compiled"), (1.001, "plain")])
def test_auto_depends_on_the_length_of_the_training(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch, share: float, step: str
) -> None:
    """96 images less 16 held out, twice after the first epoch; each operation counts once forward
    and twice back."""
    seen = engines_trained_with(monkeypatch)
    arguments = ["small.yaml", "--epochs", "3", "--holdout", "16"]
    macs = plan_network(load("small.yaml").experiment).macs
    monkeypatch.setattr(engines, "COMPILE_FROM_FLOPS", share * 6 * macs * 80 * 2)
    mnist_arch(*arguments)
    assert [engine.step for engine in seen] == [step]


# --------------------------------------------------------------------------------------- resuming


def interrupted(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch, *arguments: str, after: int = 1
) -> Run:
    with monkeypatch.context() as patch:
        interrupt(patch, after=after)
        mnist_arch("small.yaml", *arguments, exit_code=130)
    return mnist_arch.run


@pytest.mark.slow
@pytest.mark.parametrize("again", [["small.yaml", "--engine", "compiled"], ["--resume", "latest"]])
def test_a_run_that_goes_on_keeps_its_engine(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch, again: list[str]
) -> None:
    run = interrupted(mnist_arch, monkeypatch, "--engine", "plain")
    before = run.manifest_path.read_bytes()
    seen = engines_trained_with(monkeypatch)
    mnist_arch(*again)
    assert [engine.step for engine in seen] == ["plain"]
    assert run.manifest_path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("again", [["small.yaml", "--engine", "plain"], ["--resume", "latest"]])
def test_a_run_of_compiled_steps_stays_so(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch, again: list[str]
) -> None:
    run = interrupted(mnist_arch, monkeypatch)
    with_engine(run, step="compiled")
    seen = engines_trained_with(monkeypatch)
    mnist_arch(*again)
    assert [engine.step for engine in seen] == ["compiled"]


@pytest.mark.slow
@pytest.mark.parametrize(("done", "exit_code"), [(1, 0), (2, 3)])
def test_steps_that_cannot_be_compiled_are_no_bug_and_lose_nothing(
    mnist_arch: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    done: int,
    exit_code: int,
) -> None:
    """Until something was compiled the run becomes a plain one; later it asks for a compiler."""
    from torch._inductor import config

    run = interrupted(mnist_arch, monkeypatch, after=done)
    with_engine(run, step="compiled")
    with monkeypatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
        with config.patch({"cpp.cxx": ("/nonexistent/g++",)}):
            result = mnist_arch("--resume", "latest", exit_code=exit_code)
    if exit_code == 0:
        (note,) = notes(result)
        assert note.startswith("steps are not compiled here: ")
        assert "/nonexistent/g++" in note
        assert run.manifest().engine.step == "plain"
        return
    assert "error: the steps of this run cannot be compiled here: " in result.stderr
    anew = "mnist-arch train --again --engine plain"
    assert f"hint: resume where they can, or start from scratch: {anew}" in result.stderr
    assert "Traceback" not in result.stderr
    with_engine(run, step="plain")
    mnist_arch("--resume", "latest")
    assert run.result() is not None


@pytest.mark.slow
def test_another_engine_than_a_runs_own_is_not_passed_over_in_silence(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(result: Any) -> list[str]:
        return [line for line in result.stderr.splitlines() if "keeps its" in line]

    run = interrupted(mnist_arch, monkeypatch, "--engine", "plain")
    (note,) = kept(mnist_arch("small.yaml", "--engine", "compiled"))
    assert note.endswith(
        f"{run.folder.name} keeps its plain steps in float32; --again would start it from scratch"
    )
    assert kept(mnist_arch("small.yaml", "--engine", "plain")) == []
    assert kept(mnist_arch("small.yaml")) == []
    with_engine(run, step="compiled")
    (note,) = kept(mnist_arch("small.yaml", "--engine", "plain"))
    assert "keeps its compiled steps in float32" in note
    assert kept(mnist_arch("small.yaml", "--engine", "compiled")) == []
    with monkeypatch.context() as patch:
        patch.setattr(engines, "cpu_has_bfloat16", lambda: True)
        (note,) = kept(mnist_arch("small.yaml", "--engine", "compiled"))
        assert "keeps its compiled steps in float32" in note
    with_engine(run, step="plain", precision="bfloat16")
    for choice in ("plain", "compiled", "native", "fast"):
        (note,) = kept(mnist_arch("small.yaml", "--engine", choice))
        assert "keeps its plain steps in bfloat16" in note
    assert kept(mnist_arch("small.yaml")) == []


@pytest.mark.slow
def test_a_run_in_bfloat16_stays_so_and_is_repeated_in_it(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: True)
    run = interrupted(mnist_arch, monkeypatch)
    mnist_arch("small.yaml")
    mnist_arch("--from-manifest", str(run.manifest_path), "--out", "elsewhere")
    (repeated,) = Path("elsewhere").iterdir()
    for kept in (run, Run(repeated)):
        assert kept.manifest().engine.precision == "bfloat16"
    assert Run(repeated).weights_path.read_bytes() == run.weights_path.read_bytes()


@pytest.mark.slow
def test_a_run_in_bfloat16_does_not_go_on_where_that_cannot_be_had(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But it is repeated there, in float32; and nothing of it is lost."""
    with monkeypatch.context() as patch:
        patch.setattr(engines, "cpu_has_bfloat16", lambda: True)
        run = interrupted(mnist_arch, patch)
    before = run.checkpoint_path.read_bytes()
    for again in (["small.yaml"], ["--resume", "latest"]):
        result = mnist_arch(*again, exit_code=3)
        assert "error: steps are in bfloat16, which torch does not find" in result.stderr
        assert (
            "hint: resume where a machine has it, or start from scratch with --again"
            in result.stderr
        )
    assert run.checkpoint_path.read_bytes() == before
    mnist_arch("--from-manifest", str(run.manifest_path), "--out", "elsewhere")
    (repeated,) = Path("elsewhere").iterdir()
    assert Run(repeated).manifest().engine.precision == "float32"
    with monkeypatch.context() as patch:
        patch.setattr(engines, "cpu_has_bfloat16", lambda: True)
        mnist_arch("--resume", "latest")
    mnist_arch("small.yaml")  # whose result is shown everywhere
    assert run.manifest().engine.precision == "bfloat16"


@pytest.mark.slow
def test_a_manifest_of_before_has_plain_steps(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist_arch("small.yaml", "--out", "reference")
    (whole,) = Path("reference").iterdir()
    run = interrupted(mnist_arch, monkeypatch)
    with_engine(run, step=None, precision=None)
    engine = run.manifest().engine
    assert (engine.step, engine.precision) == ("plain", "float32")
    mnist_arch("--resume", "latest")
    assert run.weights_path.read_bytes() == Run(whole).weights_path.read_bytes()
    with_engine(run, step=None, precision=None)
    mnist_arch("--from-manifest", str(run.manifest_path), "--out", "elsewhere")
    (repeated,) = Path("elsewhere").iterdir()
    assert Run(repeated).manifest().engine.step == "plain"


def test_a_repeated_run_has_the_engine_of_its_manifest(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist_arch("small.yaml", "--epochs", "1")
    run = mnist_arch.run
    with_engine(run, step="compiled")
    seen = engines_trained_with(monkeypatch)
    mnist_arch("--from-manifest", str(run.manifest_path), "--out", "elsewhere")
    assert [engine.step for engine in seen] == ["compiled"]
    (repeated,) = Path("elsewhere").iterdir()
    assert Run(repeated).manifest().engine == run.manifest().engine


def test_a_repeated_run_stays_on_the_device_of_its_manifest(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where that is there, even if a faster one is."""
    mnist_arch("small.yaml", "--epochs", "1")
    run = mnist_arch.run
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    mnist_arch("--from-manifest", str(run.manifest_path), "--out", "elsewhere")
    (repeated,) = Path("elsewhere").iterdir()
    assert Run(repeated).manifest().engine == run.manifest().engine
    assert Run(repeated).weights_path.read_bytes() == run.weights_path.read_bytes()


@pytest.mark.parametrize("option", ["--resume", "--from-manifest"])
def test_a_run_that_is_given_refuses_threads(mnist_arch: Terminal, option: str) -> None:
    mnist_arch("small.yaml", "--epochs", "1", "--threads", "1")
    what = {"--resume": "latest", "--from-manifest": str(mnist_arch.run.manifest_path)}[option]
    result = mnist_arch(option, what, "--threads", "2", exit_code=2)
    assert f"{option} excludes --threads" in result.stderr


@pytest.mark.slow
def test_threads_of_a_run_that_goes_on_are_kept(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = interrupted(mnist_arch, monkeypatch)
    with_engine(run, threads=1)
    seen = engines_trained_with(monkeypatch)
    result = mnist_arch("small.yaml", "--threads", "2")
    kept = "keeps its 1 thread; --again would start it from scratch"
    assert any(kept in line for line in result.stderr.splitlines())
    assert [engine.threads for engine in seen] == [1]
    assert run.manifest().engine.threads == 1


@pytest.mark.slow
def test_threads_of_a_manifest_are_repeated(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist_arch("small.yaml", "--epochs", "1", "--threads", "2")
    run = mnist_arch.run
    assert run.manifest().engine.threads == 2
    seen = engines_trained_with(monkeypatch)
    mnist_arch("--from-manifest", str(run.manifest_path), "--out", "elsewhere")
    assert [engine.threads for engine in seen] == [2]


@pytest.mark.slow
def test_a_new_seed_has_the_machines_threads_beside_one_that_goes_on(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    run = interrupted(mnist_arch, monkeypatch)
    with_engine(run, threads=before + 1)
    seen = engines_trained_with(monkeypatch)
    try:
        mnist_arch("small.yaml", "--seeds", "2")
    finally:
        torch.set_num_threads(before)
    assert [engine.threads for engine in seen] == [before + 1, before]


@pytest.mark.slow
def test_the_time_of_reading_images_is_of_the_first_seed_that_trains(
    mnist_arch: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*args: Any, **options: Any) -> Any:
        return dataclasses.replace(read_images(*args, **options), seconds=1000.0)

    mnist_arch("small.yaml", "--epochs", "1")  # seed 0, which trains nothing when asked for again
    monkeypatch.setattr(run_images, "read_images", slow)
    mnist_arch("small.yaml", "--epochs", "1", "--seeds", "3")
    found = [Run(path).result() for path in Path("runs").iterdir() if path.is_dir()]
    took = {result.seed: result.seconds for result in found if result is not None}
    assert [took[seed] > 1000 for seed in range(3)] == [False, True, False]

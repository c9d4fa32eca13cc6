"""The verbs for Python: what the terminal can do, under the same rules of measurement.

    import mnist_arch as ma

    ma.summary("s6").parameters
    score = ma.train("s6", seeds=5, dataset="mnist-5k", epochs=3)
    ma.evaluate("s6")
    board = ma.sweep("experiments.yaml")
    ma.load_predictor("s6").predict("seven.png").label
    ma.export("s6", out="s6.onnx")

They print nothing, and show a progress bar where `progress=True` asks for it. They raise the tree
of `errors.py`, with the way out as a note of the exception, and warn where `auto` means the
embedded sample since MNIST is not available. An argument means what the terminal's option means.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from mnist_arch.counting.counted import CountedExperiment, count
from mnist_arch.data.catalog import SplitName
from mnist_arch.errors import NotAllowed
from mnist_arch.runs.events import RunEvent, Started
from mnist_arch.runs.find import find
from mnist_arch.runs.folder import runs_folder
from mnist_arch.runs.manifest import MAX_SEED
from mnist_arch.runs.resolve import find_spec
from mnist_arch.runs.score import Score
from mnist_arch.spec.experiment import Experiment
from mnist_arch.training.engine import MOST_THREADS, EngineName
from mnist_arch.training.events import EpochRecord, LogName, Progress
from mnist_arch.verbs.arguments import (
    caller_of,
    check_alone,
    check_choice,
    check_whole,
    clash,
    overrides_of,
    path_of,
    ways_out,
)
from mnist_arch.verbs.silent import Silent, SilentSweep, SilentTraining

if TYPE_CHECKING:
    from mnist_arch.exports.exporting import Exported, FormatName
    from mnist_arch.predict import Predictor
    from mnist_arch.sweeps.standings import Leaderboard
    from mnist_arch.verbs.display import SweepEvent
    from mnist_arch.verbs.evaluate import Report

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
Named = str | os.PathLike[str]
"""A name or a path."""


@ways_out
def summary(
    spec: Named = "s6",
    *,
    set: Mapping[str, Any] | None = None,
    runs: Named | None = None,
    verify: bool = False,
) -> CountedExperiment:
    """A network counted and held against its budget, without torch unless `verify` asks for it.

    `spec` is a name, `zoo/NAME`, or the path of a YAML file or of a run. `set` stands above its
    values: `{"defaults.dropout": 0.1}`. With `verify` the module is built, and has what the plan
    says; AssertionError is a bug of this program. Raises SpecError, ShapeError, RunError and
    StorageError.
    """
    where = runs_folder(path_of(runs))
    counted = count(find_spec(os.fspath(spec), runs=where, overrides=overrides_of(set)))
    if verify:
        from mnist_arch.network.verify import verify as compare

        found = compare(counted.experiment)
        assert found.agrees, f"the plan has {found.plan:,} parameters, torch {found.torch:,}"
    return counted


@ways_out
def train(
    spec: Named | None = None,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    seeds: int | None = None,
    dataset: str | None = None,
    data_dir: Named | None = None,
    holdout: int | Mapping[str, int] | None = None,
    set: Mapping[str, Any] | None = None,
    device: DeviceName = "auto",
    engine: EngineName = "auto",
    threads: int | None = None,
    out: Named | None = None,
    runs: Named | None = None,
    resume: Named | None = None,
    from_manifest: Named | None = None,
    again: bool = False,
    require: bool = False,
    log: LogName | None = None,
    progress: bool = False,
) -> Score:
    """Trains a network (`s6` unless given), and judges its final epoch.

    With one `seed`, 0 unless given, or with `seeds` of them, from 0 on. The rules of the budget
    come first. The same call again resumes an unfinished run, and gives the result of a
    finished one; `again` starts from scratch. `resume` resumes a run, `from_manifest` repeats one,
    and both take from it what is trained. With `require` a rule that is not kept is an error, once
    the runs are kept. `log="tensorboard"` writes the curves as event files, too, into the folder of
    each run, also of one that is finished. Raises SpecError, BudgetExceeded, NoVerdict, RuleMissed,
    DataUnavailable, DeviceUnavailable, ExtraMissing, NonFiniteLoss, RunError and StorageError.
    """
    given = locals()
    from mnist_arch.verbs.train import TrainRequest, check_kept, keep_score
    from mnist_arch.verbs.train import train as train_runs

    check_whole("seed", seed, least=0, most=MAX_SEED)
    check_whole("seeds", seeds, least=1, most=MAX_SEED)
    check_whole("threads", threads, least=1, most=MOST_THREADS)
    check_choice("device", device, get_args(DeviceName))
    check_choice("engine", engine, get_args(EngineName))
    if log is not None:
        check_choice("log", log, get_args(LogName))
    if (found := clash(given)) is not None:
        check_alone(found[0], given[found[0]], {name: given[name] for name in found[1]})
    caller = caller_of("train", spec, {**given, "spec": None, "progress": None})
    in_spec = {"epochs": epochs, "dataset": dataset, "holdout": holdout}
    request = TrainRequest.of(
        _text(spec),
        parent=runs_folder(path_of(out)),
        runs=runs_folder(path_of(runs)),
        overrides=overrides_of(set, in_spec),
        seed=seed,
        seeds=seeds,
        device=device,
        engine=engine,
        threads=threads,
        resume=_text(resume),
        from_manifest=path_of(from_manifest),
        data_dir=path_of(data_dir),
        again=again,
        require=require,
        log=log,
    )
    display = _TrainingBar() if progress else SilentTraining()
    trained = train_runs(request, count(request.loaded), display=display, caller=caller)
    score = Score.of([it.result for it in trained], request.loaded.experiment.budget)
    if seeds is not None:
        _, trouble = keep_score(score, trained[0].run.folder.parent)
        if trouble is not None and not isinstance(trouble, NotAllowed):
            raise trouble
    if require:
        check_kept(score.verdicts)
    return score


@ways_out
def evaluate(
    what: Named | None = None,
    *,
    split: SplitName | None = None,
    dataset: str | None = None,
    data_dir: Named | None = None,
    spec: Named | None = None,
    gallery: Named | None = None,
    tta: bool = False,
    device: DeviceName = "auto",
    threads: int | None = None,
    runs: Named | None = None,
    progress: bool = False,
) -> Report:
    """Judges a trained network, class by class and mistake by mistake.

    `what` is a name, which means its latest finished run, else the weights that ship; `zoo/NAME`,
    a run's folder, or a weights file; the latest finished run of all unless given. A run with a
    hold-out is judged on that; `split="test"` reads test, and notes it in the run's folder.
    Raises SpecError, RunError, WeightsError, DataUnavailable, DeviceUnavailable, StorageError, and
    PictureError.
    """
    from mnist_arch.verbs.evaluate import EvaluateRequest
    from mnist_arch.verbs.evaluate import evaluate as judge

    check_whole("threads", threads, least=1, most=MOST_THREADS)
    check_choice("device", device, get_args(DeviceName))
    if split is not None:
        check_choice("split", split, get_args(SplitName))
    said = {"split": split, "dataset": dataset, "spec": spec, "gallery": gallery}
    request = EvaluateRequest.of(
        _text(what),
        runs=runs_folder(path_of(runs)),
        spec=_text(spec),
        dataset=dataset,
        split=split,
        data_dir=path_of(data_dir),
        device=device,
        threads=threads,
        gallery=path_of(gallery),
        tta=tta,
    )
    caller = caller_of("evaluate", what, said)
    display = _JudgingBar() if progress else Silent()
    report, trouble = judge(request, display=display, caller=caller)
    if trouble is not None:
        raise trouble
    return report


@ways_out
def sweep(
    file: Named,
    *,
    workers: int | None = None,
    executor: Literal["local", "ray"] = "local",
    ray_address: str | None = None,
    dataset: str | None = None,
    epochs: int | None = None,
    data_dir: Named | None = None,
    device: DeviceName = "auto",
    out: Named | None = None,
    retry_failed: bool = False,
    show: bool = False,
    progress: bool = False,
) -> Leaderboard:
    """Trains the experiments of a file, and ranks them on a hold-out.

    The same call again resumes where it was interrupted. A trial that fails is a line of the
    leaderboard. `show` gives the leaderboard by what is there now, and trains nothing. In a script,
    call it below `if __name__ == "__main__":`, since trials are trained in processes of their own.
    Raises SpecError, BudgetExceeded, DataUnavailable, DeviceUnavailable, ExtraMissing, RunError,
    StorageError, and TrialsLost.
    """
    from mnist_arch.verbs.sweep import SweepRequest, look
    from mnist_arch.verbs.sweep import sweep as run_sweep

    check_whole("workers", workers, least=1, most=MAX_SEED)
    check_choice("device", device, get_args(DeviceName))
    check_choice("executor", executor, ("local", "ray"))
    if executor == "ray":
        check_alone("executor", executor, {"workers": workers})
    else:
        check_alone("ray_address", ray_address, {'executor="local"': executor})
    path = path_of(file)
    assert path is not None
    request = SweepRequest(
        file=path,
        parent=runs_folder(path_of(out)),
        workers=workers,
        on_ray=executor == "ray",
        ray_address=ray_address,
        dataset=dataset,
        epochs=epochs,
        data_dir=path_of(data_dir),
        device=device,
        retry_failed=retry_failed,
    )
    if show:
        return look(request, display=SilentSweep()).board
    caller = caller_of("sweep", file, {"dataset": dataset, "epochs": epochs, "out": out})
    display = _SweepBar() if progress else SilentSweep()
    return run_sweep(request, display=display, caller=caller).board


@ways_out
def load_predictor(
    what: Named | None = None, *, spec: Named | None = None, runs: Named | None = None
) -> Predictor:
    """A trained network that says what is on a picture: `load_predictor().predict("seven.png")`.

    `what` is found as `evaluate` finds it. Raises RunError, WeightsError, SpecError and
    StorageError.
    """
    from mnist_arch.predict import Predictor

    return Predictor.of(find(_text(what), runs=runs_folder(path_of(runs)), spec=_text(spec)))


def _text(given: Named | None) -> str | None:
    return None if given is None else os.fspath(given)


@ways_out
def export(
    what: Named | None = None,
    *,
    format: FormatName = "onnx",
    out: Named | None = None,
    int8: bool = False,
    spec: Named | None = None,
    data_dir: Named | None = None,
    runs: Named | None = None,
) -> Exported:
    """Writes a trained network as a file for other programs, from bytes of images to logits.

    `what` is found as `evaluate` finds it. The file is written once it is equal to torch on every
    test image. With `int8` it is in whole numbers, whose cost is in `int8` of what is returned.
    `out` is the network's name in this folder unless given. Raises ExportDiffers,
    ExtraMissing, RunError, WeightsError, SpecError, DataUnavailable and StorageError.
    """
    from mnist_arch.exports.exporting import FORMATS, ExportRequest
    from mnist_arch.exports.exporting import export as write

    check_choice("format", format, FORMATS)
    request = ExportRequest.of(
        None if what is None else os.fspath(what),
        runs=runs_folder(path_of(runs)),
        format=format,
        out=path_of(out),
        int8=int8,
        spec=None if spec is None else os.fspath(spec),
        data_dir=path_of(data_dir),
    )
    return write(request)


class _TrainingBar(SilentTraining):
    """A bar for each seed, which is full after the last epoch."""

    bar: Any = None

    def show(self, event: RunEvent, experiment: Experiment, *, seed: int) -> None:
        from tqdm.auto import tqdm

        match event:
            case Started():
                self.bar = tqdm(
                    desc=f"{experiment.name}, seed {seed}",
                    total=experiment.recipe.epochs,
                    initial=event.epochs_done,
                    unit="epoch",
                    bar_format="{l_bar}{bar}| {n:.1f}/{total} [{elapsed}<{remaining}{postfix}]",
                )
            case Progress():
                self.bar.n = event.epoch - 1 + event.step / event.steps
                self.bar.refresh()
            case EpochRecord() if event.correct is not None:
                self.bar.n = event.epoch
                percent = 100 * event.correct / event.images
                self.bar.set_postfix_str(f"{percent:.2f} % correct")

    def end(self) -> None:
        if self.bar is not None:
            self.bar.close()


class _JudgingBar(Silent):
    """A bar that is full when the images are judged."""

    @contextlib.contextmanager
    def judging(self, images: int) -> Iterator[None]:
        from tqdm.auto import tqdm

        with tqdm(desc="judging", total=images, unit="image") as bar:
            yield
            bar.update(images)


class _SweepBar(SilentSweep):
    """A bar for each stage, which is full when all of its trials have ended."""

    bar: Any = None

    def show(self, event: SweepEvent) -> None:
        from tqdm.auto import tqdm

        from mnist_arch.sweeps.execution.executor import TrialEvent
        from mnist_arch.sweeps.stages import StageBegan

        match event:
            case StageBegan():
                self.end()
                done = len(event.earlier)
                total = done + len(event.trials) if event.trials else None
                self.bar = tqdm(desc=event.name, total=total, initial=done, unit="trial")
            case TrialEvent() if event.is_last and self.bar is not None:
                self.bar.update()

    def end(self) -> None:
        if self.bar is not None:
            self.bar.close()

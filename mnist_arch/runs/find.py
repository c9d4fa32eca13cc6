"""A trained network on disk, and what is known of it. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, assert_never

from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO, DatasetName, Normalization, SplitName
from mnist_arch.data.folds import AnyHoldOut
from mnist_arch.errors import Problem, RunError, SpecError, WeightsError
from mnist_arch.files import is_file, is_folder, is_there, storage_errors
from mnist_arch.runs.agreement import agreed_result
from mnist_arch.runs.folder import Run, all_runs
from mnist_arch.runs.resolve import Named, find_spec, first_finished, resolve
from mnist_arch.runs.result import Result
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import loads
from mnist_arch.values import check_header_format
from mnist_arch.zoo.index import Shipped, zoo

PICKLE_SUFFIXES: Final = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
"""Files that other programs keep weights in, as pickles."""

_PICKLE_STARTS: Final = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""First bytes of what torch.save writes, a zip archive, and of bare pickles."""

_MNIST_IMAGES: Final = ("mnist", "qmnist")
"""Datasets whose training images are MNIST's, of which `mnist-5k` is a sample."""


@dataclass(frozen=True)
class TrainedNetwork:
    """Weights, and what is known about them before they are read."""

    weights: Path
    experiment: Experiment
    """The network, and what it was trained on; its dataset is resolved."""
    dataset: DatasetName
    """What it was trained on."""
    run: Run | None = None
    """The run that the weights are the result of; None for a file from elsewhere."""
    seed: int | None = None
    result: Result | None = None
    """What the run says of itself; None for a file from elsewhere."""

    @property
    def name(self) -> str:
        """How it is shown: a run by the name that it was given, else by that of its network."""
        return self.experiment.name if self.run is None else self.run.name

    @property
    def normalization(self) -> Normalization:
        """Of the images that it was trained on, and of all that it is asked about."""
        return self.experiment.recipe.normalize.of(INFO[self.dataset])

    @property
    def holdout(self) -> AnyHoldOut:
        """Training images that were held out, on which `validation` is judged."""
        return self.experiment.holdout

    def default_split(self, dataset: DatasetName) -> SplitName:
        """What is judged unless asked otherwise: with a hold-out the test split is left alone."""
        return "validation" if self.holdout and dataset == self.dataset else "test"

    def check(self, dataset: DatasetName, split: SplitName) -> None:
        """Refuses images on which the network cannot be judged, or not honestly.

        Raises SpecError.
        """
        name, classes = self.name, INFO[dataset].classes
        if self.experiment.classes != classes:
            message = (
                f"{name} has {self.experiment.classes} outputs, and {dataset} has {classes} classes"
            )
            raise _refusal(message, "dataset=", f"it was trained on {self.dataset}")
        if dataset == "mnist-5k" and self.dataset in _MNIST_IMAGES:
            message = (
                f"{name} was trained on {self.dataset}, and the images of mnist-5k are among its "
                "training images: the result would mean nothing"
            )
            raise _refusal(message, "dataset=", "dataset='mnist' has a test split of its own")
        if split == "validation" and not self.holdout:
            message = f"{name} was trained without a hold-out, so there are no validation images"
            raise _refusal(message, "split=", "split='test'")
        if split == "validation" and dataset != self.dataset:
            message = f"the validation images of {name} are of {self.dataset}, not of {dataset}"
            raise _refusal(message, "split=", "split='test'")


def find(what: str | None, *, runs: Path, spec: str | None = None) -> TrainedNetwork:
    """The trained network that `what` names; see `resolve`.

    A name is the latest finished run in the folder `runs`, else weights of the zoo. None is the
    latest finished run of all. `spec` names the network of a weights file.
    Raises RunError, WeightsError, SpecError or StorageError.
    """
    found = _weights(what, runs)
    if isinstance(found, Path):
        return _of_file(found, None if spec is None else find_spec(spec, runs=runs).experiment)
    if spec is not None:
        raise _refusal(f"{found.folder} is a run, which knows its network", "spec=", "leave it out")
    return _of_run(found)


def spec_of(metadata: dict[str, str], path: Path) -> Experiment:
    """The spec in the header of a weights file, validated as a stranger's. Raises WeightsError."""
    if "spec" not in metadata:
        message = f"{path} does not say which network it belongs to"
        raise WeightsError(message, hint="name the network with spec=")
    try:
        experiment = loads(metadata["spec"], source=str(path)).experiment
        plan_network(experiment)
    except SpecError as error:
        hint = "name the network with spec="
        raise WeightsError(f"the spec inside {path} cannot be used: {error}", hint=hint) from None
    return experiment


# ------------------------------------------------------------------------------------ what is meant


def _weights(what: str | None, runs: Path) -> Run | Path:
    """The run, or the file of weights."""
    if what is None:
        return _finished(all_runs(runs), "", runs)
    match meaning := resolve(what, runs=runs):
        case Named(runs_of=[]):
            return _shipped(meaning.shipped, meaning.name, runs)
        case Named():
            return _finished(meaning.runs_of, f" of {meaning.name}", runs)
        case Shipped():
            return _shipped(meaning, what, runs)
        case Run():
            return meaning
        case Path():
            return _by_path(meaning)
        case never:
            assert_never(never)


def _finished(found: Sequence[Run], of: str, runs: Path) -> Run:
    if (run := first_finished(found)) is not None:
        return run
    if found:
        raise _unfinished(f"no run{of} in {runs} is finished", found[0])
    raise RunError(f"there is no run in {runs}", hint=f"train one: train(); {_FILES_HINT}")


def _shipped(network: Shipped | None, what: str, runs: Path) -> Path:
    if network is None:
        raise RunError(f"no run and no network is named {what!r}", hint=_what_there_is(runs))
    if is_there(network.weights_path):
        return network.weights_path
    message = f"{what} has no run in {runs}, and its weights are not part of this program"
    raise RunError(message, hint=f"train it: train({what!r}); {_FILES_HINT}")


def _unfinished(message: str, run: Run) -> RunError:
    call = f"train(resume={str(run.folder)!r})"
    return RunError(message, hint=f"resume one: {call}")


def _what_there_is(runs: Path) -> str:
    shipped = [name for name, network in zoo().items() if is_there(network.weights_path)]
    trained = sorted({run.name for run in all_runs(runs)})
    known = [f"{runs} has runs of {', '.join(trained)}"] if trained else [f"{runs} has no runs"]
    if shipped:
        known.append(f"the zoo has weights of {', '.join(shipped)}")
    return "; ".join((*known, _FILES_HINT))


_FILES_HINT: Final = "a file is given by its path, such as mine.safetensors"


def _by_path(path: Path) -> Run | Path:
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        message = f"{path} is a spec, which has no weights"
        raise RunError(message, hint=f"train it: train({str(path)!r})")
    if suffix in PICKLE_SUFFIXES:
        raise _pickle(path)
    if is_folder(path):
        return Run(path)
    if not is_file(path):
        raise RunError(
            f"there is no file or folder {str(path)!r}", hint="runs are folders in that of runs="
        )
    if _start(path).startswith(_PICKLE_STARTS):
        raise _pickle(path)
    run = Run(path.parent)
    belongs = path.name == run.weights_path.name and is_there(run.manifest_path)
    return run if belongs else path


def _start(path: Path) -> bytes:
    with storage_errors(path, doing="read"), path.open("rb") as file:
        return file.read(4)


def _pickle(path: Path) -> WeightsError:
    message = f"{path} is a pickle, which can execute code when it is read, so it is not opened"
    hint = (
        "convert it where you trust it: "
        "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
    )
    return WeightsError(message, hint=hint)


def _of_run(run: Run) -> TrainedNetwork:
    manifest = run.manifest()
    if not is_there(run.weights_path):
        raise _unfinished(f"the run in {run.folder} is not finished: it has no weights", run)
    experiment = manifest.experiment
    _check_size(run.weights_path, experiment)
    trained = _trained(run.weights_path, experiment, experiment)
    return replace(trained, run=run, seed=manifest.seed, result=agreed_result(run, manifest))


def _of_file(path: Path, experiment: Experiment | None) -> TrainedNetwork:
    metadata = _metadata(path)
    if experiment is None:
        experiment = spec_of(metadata, path)
        _check_size(path, experiment)
        return _trained(path, experiment, experiment)
    trained_as = experiment
    plan_network(experiment)
    with suppress(WeightsError):  # the header knows better what the weights were trained on
        trained_as = spec_of(metadata, path)
    return _trained(path, experiment, trained_as)


def _trained(weights: Path, network: Experiment, trained_as: Experiment) -> TrainedNetwork:
    dataset = "mnist" if trained_as.dataset == "auto" else trained_as.dataset
    update = {"dataset": dataset, "holdout": trained_as.holdout}
    return TrainedNetwork(weights, network.model_copy(update=update), dataset)


def _check_size(path: Path, experiment: Experiment) -> None:
    """Refuses a file that names a network which it cannot hold, before memory is asked for it."""
    size, parameters = path.stat().st_size, plan_network(experiment).parameters
    if parameters > size:
        message = f"{path} has {size:,} bytes, too few for the {parameters:,} parameters it names"
        raise WeightsError(message, hint="the file is damaged; copy it again")


def _metadata(path: Path) -> dict[str, str]:
    """The header's metadata, read without torch."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        hint = "the file is damaged or is no safetensors file; copy it again"
        raise WeightsError(f"{path} cannot be read: {error}", hint=hint) from None
    check_header_format(metadata, path)
    return metadata


def _refusal(message: str, option: str, hint: str) -> SpecError:
    return SpecError((Problem(message, origin=option, hint=hint),))

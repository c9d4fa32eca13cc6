"""Very small neural networks under hard budgets, with claims that hold up.

    import mnist_arch as ma

    ma.summary("s6").parameters                                     # without torch
    score = ma.train("s6", seeds=5, dataset="mnist-5k", epochs=3)   # mean, spread, bound, verdicts
    ma.evaluate("s6")                                               # the latest run of that name
    board = ma.sweep("experiments.yaml")                            # a leaderboard
    ma.load_predictor("s6").predict("seven.png").label              # of a picture from anywhere
    ma.export("s6", out="s6.onnx")                                  # for other programs

Every name is imported when it is first used, so that counting stays instant. The rooms below have
more, such as the loop itself in `mnist_arch.training.loop`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mnist_arch.machine.waiting import threads_spin as _threads_spin

_threads_spin()  # before torch is imported, by whomever

if TYPE_CHECKING:
    from mnist_arch.api import evaluate, export, load_predictor, summary, sweep, train
    from mnist_arch.counting.counted import CountedExperiment
    from mnist_arch.data.load import load_split
    from mnist_arch.errors import (
        BudgetExceeded,
        ClusterFailed,
        DataUnavailable,
        DeviceUnavailable,
        ExportDiffers,
        ExtraMissing,
        ImageError,
        MnistArchError,
        NonFiniteLoss,
        NoVerdict,
        OutOfMemory,
        PictureError,
        RuleMissed,
        RunError,
        ShapeError,
        SpecError,
        StorageError,
        TrialsLost,
        WeightsError,
    )
    from mnist_arch.exports.exporting import Exported
    from mnist_arch.network.build import build
    from mnist_arch.predict import Prediction, Predictor
    from mnist_arch.runs.result import Result
    from mnist_arch.runs.score import Score
    from mnist_arch.spec.experiment import Budget, Experiment
    from mnist_arch.spec.loading import load, loads
    from mnist_arch.sweeps.standings import Leaderboard
    from mnist_arch.verbs.evaluate import Report
    from mnist_arch.zoo.index import zoo_names

_WHERE = {
    **dict.fromkeys(("evaluate", "export", "load_predictor", "summary", "sweep", "train"), "api"),
    "Budget": "spec.experiment",
    "CountedExperiment": "counting.counted",
    "Experiment": "spec.experiment",
    "Exported": "exports.exporting",
    "Leaderboard": "sweeps.standings",
    "Prediction": "predict",
    "Predictor": "predict",
    "Report": "verbs.evaluate",
    "Result": "runs.result",
    "Score": "runs.score",
    "build": "network.build",
    "load": "spec.loading",
    "load_split": "data.load",
    "loads": "spec.loading",
    "zoo_names": "zoo.index",
}
"""Where the public names are, of which each is imported when it is first used; all others are of
`errors`."""

__all__ = [
    "Budget",
    "BudgetExceeded",
    "ClusterFailed",
    "CountedExperiment",
    "DataUnavailable",
    "DeviceUnavailable",
    "Experiment",
    "ExportDiffers",
    "Exported",
    "ExtraMissing",
    "ImageError",
    "Leaderboard",
    "MnistArchError",
    "NoVerdict",
    "NonFiniteLoss",
    "OutOfMemory",
    "PictureError",
    "Prediction",
    "Predictor",
    "Report",
    "Result",
    "RuleMissed",
    "RunError",
    "Score",
    "ShapeError",
    "SpecError",
    "StorageError",
    "TrialsLost",
    "WeightsError",
    "build",
    "evaluate",
    "export",
    "load",
    "load_predictor",
    "load_split",
    "loads",
    "summary",
    "sweep",
    "train",
    "zoo_names",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mnist-arch")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

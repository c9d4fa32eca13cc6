"""Very small neural networks under hard budgets, with claims that hold up.

    from mnist_arch import State, hold_out, load, load_split, plan_network, train

    experiment = load("s6").with_dataset("mnist-5k").experiment
    print(plan_network(experiment).parameters)
    training, validation = hold_out(load_split("mnist-5k", "train"), 400)
    for record in train(State.fresh(experiment, seed=7), training, validation):
        print(record)

Names that need torch are imported when they are first used, so that counting stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mnist_arch.counting.advice import Advice, advise
from mnist_arch.counting.budget import check
from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import Plan, Row, plan_network
from mnist_arch.errors import (
    BudgetExceeded,
    ClusterFailed,
    DataUnavailable,
    DeviceUnavailable,
    EarlierFormat,
    ExtraMissing,
    LaterFormat,
    MnistArchError,
    NonFiniteLoss,
    NoVerdict,
    OutOfMemory,
    Problem,
    RunCorrupt,
    RunError,
    RunLocked,
    ShapeError,
    SpecError,
    StorageError,
    WeightsError,
)
from mnist_arch.evaluation.judgement import Judgement, wilson_interval_percent
from mnist_arch.machine.waiting import threads_spin as _threads_spin
from mnist_arch.runs.folder import Run, latest
from mnist_arch.runs.manifest import Manifest
from mnist_arch.runs.result import Result
from mnist_arch.runs.score import Score
from mnist_arch.spec.experiment import Budget, Experiment
from mnist_arch.spec.loading import Loaded, load, loads
from mnist_arch.spec.network import Block, Conv, Network
from mnist_arch.spec.overrides import override, parse_override
from mnist_arch.spec.recipe import Recipe
from mnist_arch.training.engine import Engine
from mnist_arch.zoo.index import zoo_names

_threads_spin()  # before torch is imported, by whomever

if TYPE_CHECKING:
    from mnist_arch.data.load import load_split, resolve_dataset
    from mnist_arch.data.split import Split, hold_out
    from mnist_arch.evaluation.metrics import Evaluation, evaluate, predict
    from mnist_arch.network.build import build
    from mnist_arch.network.verify import verify
    from mnist_arch.network.weights import build_with, read_weights, save_weights
    from mnist_arch.runs.execute import run_experiment
    from mnist_arch.runs.images import read_images
    from mnist_arch.training.engine_choice import choose_engine, prepare, threads_here
    from mnist_arch.training.events import (
        Compiling,
        EpochRecord,
        NotCaptured,
        NotCompiled,
        Progress,
    )
    from mnist_arch.training.loop import train
    from mnist_arch.training.state import State

_WITH_TORCH = {
    "Compiling": "training.events",
    "EpochRecord": "training.events",
    "Evaluation": "evaluation.metrics",
    "NotCaptured": "training.events",
    "NotCompiled": "training.events",
    "Progress": "training.events",
    "Split": "data.split",
    "State": "training.state",
    "build": "network.build",
    "build_with": "network.weights",
    "choose_engine": "training.engine_choice",
    "evaluate": "evaluation.metrics",
    "hold_out": "data.split",
    "load_split": "data.load",
    "predict": "evaluation.metrics",
    "prepare": "training.engine_choice",
    "read_images": "runs.images",
    "read_weights": "network.weights",
    "resolve_dataset": "data.load",
    "run_experiment": "runs.execute",
    "save_weights": "network.weights",
    "threads_here": "training.engine_choice",
    "train": "training.loop",
    "verify": "network.verify",
}

__all__ = [
    "Advice",
    "Block",
    "Budget",
    "BudgetExceeded",
    "ClusterFailed",
    "Compiling",
    "Conv",
    "DataUnavailable",
    "DeviceUnavailable",
    "EarlierFormat",
    "Engine",
    "EpochRecord",
    "Evaluation",
    "Experiment",
    "ExtraMissing",
    "Judgement",
    "LaterFormat",
    "Loaded",
    "Manifest",
    "MnistArchError",
    "Network",
    "NoVerdict",
    "NonFiniteLoss",
    "NotCaptured",
    "NotCompiled",
    "OutOfMemory",
    "Plan",
    "Problem",
    "Progress",
    "Recipe",
    "Result",
    "Row",
    "Run",
    "RunCorrupt",
    "RunError",
    "RunLocked",
    "Score",
    "ShapeError",
    "SpecError",
    "Split",
    "State",
    "StorageError",
    "WeightsError",
    "advise",
    "build",
    "build_with",
    "check",
    "choose_engine",
    "digest",
    "evaluate",
    "hold_out",
    "latest",
    "load",
    "load_split",
    "loads",
    "override",
    "parse_override",
    "plan_network",
    "predict",
    "prepare",
    "read_images",
    "read_weights",
    "resolve_dataset",
    "run_experiment",
    "save_weights",
    "threads_here",
    "train",
    "verify",
    "wilson_interval_percent",
    "zoo_names",
]


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

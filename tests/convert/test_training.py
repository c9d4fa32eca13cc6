"""The recipe of code that is read: carried over, or said not to be."""

from __future__ import annotations

from typing import Any

import pytest

from mnist_arch.convert.importing import Imported, Request, import_source
from mnist_arch.convert.source import Source
from mnist_arch.errors import Origin
from mnist_arch.spec.loading import loads

NETWORK = """
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.optim.lr_scheduler import *
from torch.optim import lr_scheduler
from torchvision import transforms
model = nn.Sequential(nn.Conv2d(1, 10, 3, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
"""
LOOP = """
loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)
for epoch in range(1, 15 + 1):
    train(model, loader, optimizer)
    scheduler.step()
"""
NORMALIZE = """
t = transforms.Compose(
    [{}transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
)
"""
KERAS = """
from keras.models import Sequential
from keras.layers import *
from keras.optimizers import Adam, SGD
model = Sequential([Conv2D(10, 3, input_shape=(28, 28, 1)), GlobalAveragePooling2D()])
"""


def read(code: str) -> Imported:
    source = Source("net.py", ((Origin("net.py:1"), code),))
    imported = import_source(source, Request())
    loads(imported.text, source="it.yaml")
    return imported


def recipe(lines: str, transforms: str = "") -> tuple[dict[str, Any], str]:
    """The recipe of some lines of training, and what is not carried over."""
    imported = read(NETWORK + NORMALIZE.format(transforms) + lines + LOOP)
    return imported.tree["recipe"], "\n".join(it.text for it in imported.dropped)


SGD = "optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)\n"


def test_a_recipe_is_carried_over() -> None:
    found, dropped = recipe(SGD + "scheduler = StepLR(optimizer, step_size=6, gamma=0.3)\n")
    assert found == {
        "extends": "plain",
        "epochs": 15,
        "schedule": {"kind": "step", "factor": 0.3, "peak": 0.05},
    }
    assert dropped == ""
    whole = read(NETWORK + NORMALIZE.format("") + SGD + LOOP).experiment.recipe
    assert whole.ema is None
    assert whole.schedule.peak == 0.05
    assert not whole.augment.rotate_degrees


@pytest.mark.parametrize(
    ("lines", "optimizer", "dropped"),
    [
        ("optim.Adam(model.parameters(), 0.01)", "adam", ""),
        (
            "optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-4)",
            {"kind": "adam", "weight_decay": 1e-4, "decays": "all"},
            "",
        ),
        (
            "optim.AdamW(model.parameters(), betas=(0.8, 0.999))",
            {"kind": "adamw", "beta1": 0.8, "decays": "all"},
            "",
        ),
        (
            "optim.SGD(model.parameters(), 0.1, weight_decay=5e-4, nesterov=True, momentum=0.8)",
            {"momentum": 0.8, "nesterov": True, "weight_decay": 5e-4, "decays": "all"},
            "",
        ),
        (
            "optim.RMSprop(model.parameters(), alpha=0.9, centered=True)",
            {"kind": "rmsprop", "alpha": 0.9, "centered": True},
            "",
        ),
        ("optim.Adadelta(model.parameters())", "adadelta", ""),
        ("optim.Adagrad(model.parameters(), lr_decay=0.1)", "adagrad", "lr_decay of 0.1"),
        ("optim.Adamax(model.parameters())", None, "the optimizer Adamax"),
    ],
)
def test_optimizers(lines: str, optimizer: dict[str, Any] | str | None, dropped: str) -> None:
    found, said = recipe(f"optimizer = {lines}\n")
    assert found.get("optimizer") == optimizer
    assert dropped in said
    assert bool(dropped) == bool(said)


@pytest.mark.parametrize(
    ("lines", "schedule", "dropped"),
    [
        (
            "OneCycleLR(optimizer, max_lr=0.1, total_steps=9, pct_start=0.1, div_factor=5)",
            {
                "kind": "one-cycle",
                "warmup": 0.1,
                "div_factor": 5,
                "first_step": "start",
                "cycle_momentum": True,
            },
            "",
        ),
        (
            "OneCycleLR(optimizer, 0.3, 9, cycle_momentum=False, anneal_strategy='linear')",
            {"kind": "one-cycle", "peak": 0.3, "warmup": 0.3, "first_step": "start"},
            "in straight lines",
        ),
        (
            "lr_scheduler.ExponentialLR(optimizer, 0.8)",
            {"kind": "exponential", "factor": 0.8, "peak": 0.05},
            "",
        ),
        (
            "MultiStepLR(optimizer, [8, 12])",
            {"kind": "multi-step", "milestones": [8, 12], "peak": 0.05},
            "",
        ),
        (
            "LambdaLR(optimizer, lr_lambda=lambda epoch: 1 / (1 + 0.3 * epoch))",
            {"kind": "inverse-time", "decay_rate": 0.3, "peak": 0.05},
            "",
        ),
        (
            "LambdaLR(optimizer, lambda e: 0.5 ** (e // 4))",
            {"kind": "multi-step", "milestones": [4, 8, 12], "factor": 0.5, "peak": 0.05},
            "",
        ),
        ("LambdaLR(optimizer, lambda e: 1 - e / 20)", {"peak": 0.05}, "a function of the epoch"),
        (
            "CosineAnnealingLR(optimizer, 15)",
            {"kind": "cosine", "warmup": 0, "peak": 0.05},
            "once an epoch",
        ),
        (
            "ReduceLROnPlateau(optimizer, factor=0.5, patience=2)\nscheduler.step(train_loss)",
            {"kind": "plateau", "factor": 0.5, "patience": 2, "peak": 0.05},
            "",
        ),
        (
            "ReduceLROnPlateau(optimizer)\nscheduler.step(test_loss)",
            {"peak": 0.05},
            "with 0.1 where test_loss gets no better for 10 epochs: no schedule watches test",
        ),
    ],
)
def test_schedules(lines: str, schedule: dict[str, Any], dropped: str) -> None:
    found, said = recipe(f"{SGD}scheduler = {lines}\n")
    assert dropped in said
    assert bool(dropped) == bool(said)
    assert found["schedule"] == schedule


def test_a_schedule_that_is_never_stepped_is_none() -> None:
    code = (
        NETWORK + SGD + "plan = StepLR(optimizer, 5, 0.62)\n" + LOOP.replace("scheduler", "other")
    )
    imported = read(code.replace("other.step()", "pass"))
    assert imported.experiment.recipe.schedule.kind == "constant"
    assert "StepLR is made and never stepped" in imported.text


@pytest.mark.parametrize(
    ("transforms", "augment"),
    [
        (
            "transforms.RandomRotation((-7.0, 7.0), fill=(1,))",
            {"rotate_degrees": 7, "resample": "nearest", "fill": 0.003921569},
        ),
        (
            "transforms.RandomAffine(5, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=8)",
            {
                "rotate_degrees": 5,
                "shift_pixels": 2.8,
                "whole_pixels": True,
                "scale": 0.1,
                "shear_degrees": 8,
                "resample": "nearest",
            },
        ),
        (
            "transforms.RandomApply([transforms.CenterCrop(22)], p=0.1), transforms.Resize(28), "
            "transforms.RandomRotation(15)",
            [
                {"crop": {"pixels": 22, "probability": 0.1}},
                {"rotate_degrees": 15, "resample": "nearest"},
            ],
        ),
        (
            "transforms.ColorJitter(0.2, contrast=(0.5, 1.5))",
            {"brightness": 0.2, "contrast": [0.5, 1.5]},
        ),
        ("transforms.RandomErasing(0.25)", {"erase": {"probability": 0.25, "area": [0.02, 0.33]}}),
        (
            "transforms.RandomPerspective(0.2, 1.0)",
            {"perspective": {"distortion": 0.2, "probability": 1}},
        ),
        ("transforms.RandomResizedCrop(28, (0.8, 1.0))", {"crop": {"area": [0.8, 1.0]}}),
    ],
)
def test_transforms(transforms: str, augment: Any) -> None:
    found, said = recipe(SGD, f"{transforms}, ")
    assert found["augment"] == augment
    assert said == ""
    _, said = recipe(SGD, "transforms.RandomHorizontalFlip(), ")
    assert "RandomHorizontalFlip, which mirrors the image at random" in said


def test_pixels_keep_their_normalisation() -> None:
    assert read(NETWORK + SGD).tree["recipe"]["normalize"] == "none"
    other = NORMALIZE.format("").replace("0.3081", "0.5")
    found = read(NETWORK + other + SGD + LOOP).tree["recipe"]["normalize"]
    assert found == {"mean": 0.1307, "std": 0.5}


def test_loss_clipping_last_batch_and_l1() -> None:
    more = (
        "criterion = nn.CrossEntropyLoss(label_smoothing=0.1)\n"
        "torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)\n"
        "other = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True, drop_last=True)\n"
        "l1 = sum(p.abs().sum() for p in model.parameters())\n"
        "loss = criterion(output, target) + 5e-4 * l1\n"
    )
    found, said = recipe(SGD + more)
    assert (found["label_smoothing"], found["clip_norm"]) == (0.1, 2)
    assert found["last_batch"] == "drop"
    assert found["l1"] == {"strength": 5e-4, "of": "all"}
    assert said == ""
    _, said = recipe(SGD + "l1 = sum(p.abs().sum() for p in model.parameters())\n")
    assert "L1, which adds the sum of absolute weights" in said


def test_keras() -> None:
    fit = "model.compile(optimizer=Adam(learning_rate=0.003), loss='categorical_crossentropy')\n"
    fit += "model.fit(x, y, batch_size=128, epochs=20, validation_split=0.1)\n"
    imported = read(KERAS + fit)
    found = imported.tree["recipe"]
    assert (found["epochs"], found["batch_size"]) == (20, 128)
    assert found["optimizer"] == {"kind": "adam", "epsilon": 1e-7}
    assert (found["schedule"], found["normalize"]) == ({"peak": 0.003}, "none")
    said = "\n".join(it.text for it in imported.dropped)
    assert "the last 0.1 of the images held out" in said
    assert found["initialize"] == "keras"
    he = read(KERAS.replace("3, input", "3, kernel_initializer='he_normal', input") + fit)
    start = {"kind": "he", "distribution": "truncated-normal"}
    assert he.tree["recipe"]["initialize"] == start
    plain = read(KERAS + "model.compile('sgd')\nmodel.fit(x, y)\n").tree["recipe"]
    optimizer = {"momentum": 0}
    assert plain == {
        "extends": "plain",
        "epochs": 1,
        "batch_size": 32,
        "optimizer": optimizer,
        "normalize": "none",
        "initialize": "keras",
    }
    inverse = (
        "from keras.callbacks import LearningRateScheduler\n"
        "def scheduler(epoch, lr=None):\n    return round(0.003 * 1/(1 + 0.319*epoch), 10)\n"
        + fit.replace(", validation_split=0.1", ", callbacks=[LearningRateScheduler(scheduler)]")
    )
    imported = read(KERAS + inverse)
    assert imported.tree["recipe"]["schedule"] == {
        "kind": "inverse-time",
        "decay_rate": 0.319,
        "peak": 0.003,
    }
    assert "called after each epoch" not in imported.text


def test_code_without_a_recipe_says_so() -> None:
    imported = read(NETWORK)
    assert "recipe" not in imported.tree
    assert "no recipe is found" in imported.text

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
        "epochs": 15,
        "batch_size": 64,
        "optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0},
        "schedule": {"kind": "step", "every_epochs": 6, "factor": 0.3, "peak": 0.05},
        "ema": None,
        "augment": {"rotate_degrees": 0, "shift_pixels": 0, "scale": 0, "shear_degrees": 0},
    }
    assert dropped == ""


@pytest.mark.parametrize(
    ("lines", "optimizer", "dropped"),
    [
        ("optim.Adam(model.parameters(), 0.01)", {"kind": "adamw", "weight_decay": 0}, ""),
        (
            "optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-4)",
            {"kind": "adamw", "weight_decay": 0},
            "L2 of 0.0001 inside Adam",
        ),
        (
            "optim.AdamW(model.parameters(), betas=(0.8, 0.999))",
            {"kind": "adamw", "beta1": 0.8, "weight_decay": 0.01},
            "weight decay of norms and biases",
        ),
        ("optim.RMSprop(model.parameters())", None, "the optimizer RMSprop"),
    ],
)
def test_optimizers(lines: str, optimizer: dict[str, Any] | None, dropped: str) -> None:
    found, said = recipe(f"optimizer = {lines}\n")
    assert found.get("optimizer") == optimizer
    assert dropped in said


@pytest.mark.parametrize(
    ("lines", "schedule", "dropped"),
    [
        (
            "OneCycleLR(optimizer, max_lr=0.1, total_steps=9, pct_start=0.1, div_factor=5)",
            {"kind": "one-cycle", "peak": 0.1, "warmup": 0.1},
            "the cycle of momentum, 0.95 to 0.85 and back, in place of the optimizer's own",
        ),
        ("OneCycleLR(optimizer, 0.1, total_steps=9, div_factor=5)", None, "div_factor of 5"),
        ("lr_scheduler.ExponentialLR(optimizer, 0.9)", {"every_epochs": 1, "factor": 0.9}, ""),
        ("MultiStepLR(optimizer, [5, 10])", {"kind": "step", "every_epochs": 5}, ""),
        ("MultiStepLR(optimizer, [8, 12])", {"kind": "constant"}, "multiplied with 0.1 at (8, 12)"),
        ("CosineAnnealingLR(optimizer, 15)", {"kind": "cosine", "warmup": 0}, "once an epoch"),
        ("ReduceLROnPlateau(optimizer)", {"kind": "constant"}, "where what it watches"),
    ],
)
def test_schedules(lines: str, schedule: dict[str, Any] | None, dropped: str) -> None:
    found, said = recipe(f"{SGD}scheduler = {lines}\n")
    assert dropped in said
    if schedule is not None:
        assert schedule.items() <= found["schedule"].items()


def test_a_schedule_that_is_never_stepped_is_none() -> None:
    code = (
        NETWORK + SGD + "plan = StepLR(optimizer, 5, 0.62)\n" + LOOP.replace("scheduler", "other")
    )
    imported = read(code.replace("other.step()", "pass"))
    assert imported.tree["recipe"]["schedule"]["kind"] == "constant"
    assert "StepLR is made and never stepped" in imported.text


def test_transforms() -> None:
    rotation = "transforms.RandomRotation((-7.0, 7.0), fill=(1,)), "
    affine = "transforms.RandomAffine(0, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=8), "
    found, said = recipe(SGD, rotation + affine)
    assert found["augment"] == {
        "rotate_degrees": 7,
        "shift_pixels": 2.8,
        "scale": 0.1,
        "shear_degrees": 8,
    }
    assert "RandomRotation that takes the nearest pixel" in said
    assert "shifts by whole pixels" in said
    assert "a fill of 1 of 255" in said
    found, said = recipe(SGD, "transforms.RandomApply([transforms.CenterCrop(22)], p=0.1), ")
    assert "RandomApply, which makes its changes with a probability" in said
    assert "CenterCrop, which cuts out the middle" in said


def test_pixels_that_are_not_normalised_are_told() -> None:
    assert "images between 0 and 1" in "".join(it.text for it in read(NETWORK + SGD).dropped)


def test_loss_clipping_last_batch_and_l1() -> None:
    more = (
        "criterion = nn.CrossEntropyLoss(label_smoothing=0.1)\n"
        "torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)\n"
        "other = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True, drop_last=True)\n"
        "l1 = sum(p.abs().sum() for p in model.parameters())\n"
    )
    found, said = recipe(SGD + more)
    assert (found["label_smoothing"], found["clip_norm"]) == (0.1, 2)
    assert found["last_batch"] == "drop"
    assert "L1, which adds the sum of absolute weights" in said


def test_keras() -> None:
    fit = "model.compile(optimizer=Adam(learning_rate=0.003), loss='categorical_crossentropy')\n"
    fit += "model.fit(x, y, batch_size=128, epochs=20, validation_split=0.1)\n"
    imported = read(KERAS + fit)
    found = imported.tree["recipe"]
    assert (found["epochs"], found["batch_size"]) == (20, 128)
    assert found["optimizer"] == {"kind": "adamw", "weight_decay": 0}
    assert found["schedule"] == {"kind": "constant", "warmup": 0, "peak": 0.003}
    said = "\n".join(it.text for it in imported.dropped)
    assert "Adam's epsilon of 1e-07" in said
    assert "the last 0.1 of the images held out" in said
    assert "Keras' start of the weights" in said
    plain = read(KERAS + "model.compile('sgd')\nmodel.fit(x, y)\n").tree["recipe"]
    assert (plain["epochs"], plain["batch_size"], plain["schedule"]["peak"]) == (1, 32, 0.01)


def test_code_without_a_recipe_says_so() -> None:
    imported = read(NETWORK)
    assert "recipe" not in imported.tree
    assert "no recipe is found" in imported.text

"""Whatever is in a file, the import ends with a network, or with an error in sentences."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from networks_of_others import code_of

from mnist_arch.convert.importing import Request, import_network, import_source
from mnist_arch.convert.interpreter.reading import Interpreter
from mnist_arch.convert.source import parsed
from mnist_arch.errors import MnistArchError, SpecError
from mnist_arch.spec.loading import loads

TABLE = (Path(__file__).parents[1] / "fixtures/tables/small.torchsummary.txt").read_text()
KERAS = """
_________________________________________________________________
Layer (type)                 Output Shape              Param #
=================================================================
conv2d_1 (Conv2D)            (None, 26, 26, 16)        144
_________________________________________________________________
batch_normalization_1 (Batch (None, 26, 26, 16)        64
_________________________________________________________________
dropout_1 (Dropout)          (None, 26, 26, 16)        0
_________________________________________________________________
conv2d_2 (Conv2D)            (None, 26, 26, 10)        160
_________________________________________________________________
global_average_pooling2d_1   (None, 10)                0
=================================================================
Total params: 368
"""
TREE = """
==========================================================================================
Layer (type:depth-idx)                   Output Shape              Param #
==========================================================================================
Net                                      [1, 10]                   --
├─Sequential: 1-1                        [1, 8, 14, 14]            --
│    └─Conv2d: 2-1                       [1, 8, 28, 28]            80
│    └─ReLU: 2-2                         [1, 8, 28, 28]            --
│    └─MaxPool2d: 2-3                    [1, 8, 14, 14]            --
├─AdaptiveAvgPool2d: 1-2                 [1, 8, 1, 1]              --
├─Linear: 1-3                            [1, 10]                   90
==========================================================================================
Total params: 170
==========================================================================================
"""
CODE = code_of(
    "conv3 8 p1 nobias; bn; relu; drop 0.1; maxpool2; keep r; dw3 8 p1 nobias; conv1 8 p0 bias; "
    "add r; relu; gap; flatten; linear 10 bias"
)
TRAINING = """
import torch.optim as optim
from torchvision import transforms
t = transforms.Compose([transforms.RandomRotation(7), transforms.Normalize((0.1307,), (0.3081,))])
optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
s = optim.lr_scheduler.OneCycleLR(optimizer, 0.1, epochs=9, steps_per_epoch=9)
for epoch in range(9):
    s.step()
"""
KERAS_CODE = """
import argparse
from keras import Input, Model
from keras.datasets import mnist
from keras.layers import *
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=5)
args = parser.parse_args()
(x, y), (x_test, y_test) = mnist.load_data()
x, x_test = x / 255, x_test / 255
def make(width=8):
    images = Input(shape=(28, 28, 1))
    one, two = [Conv2D(width, side, padding="same")(images) for side in (1, 3)]
    joined = BatchNormalization()(Concatenate()([one, two]))
    return Model(images, Dense(10, activation="softmax")(GlobalAveragePooling2D()(joined)))
model = make()
model.compile("adam", loss="sparse_categorical_crossentropy")
model.fit(x, y, batch_size=64, epochs=args.epochs, validation_split=0.1)
"""
NOTEBOOK = json.dumps(
    {
        "cells": [
            {"cell_type": "code", "source": [CODE, TRAINING], "outputs": []},
            {"cell_type": "code", "source": "m", "outputs": [{"text": [TABLE]}]},
        ]
    },
    indent=1,
)
SEEDS = [
    (TABLE, ".txt"),
    (KERAS, ".txt"),
    (TREE, ".txt"),
    (CODE + TRAINING, ".py"),
    (KERAS_CODE, ".py"),
    (NOTEBOOK, ".ipynb"),
]
WORDS = [
    "-1",
    "0",
    "99999999999999999999",
    "1e999",
    "None",
    "self",
    "()",
    "[[[[",
    "…",
    "\x00",
    "\x1b[1m",
    "9 ** 9 ** 9",
    "range(10 ** 12)",
    "[0] * 10 ** 9",
    "lambda x: x",
    "nn.Linear",
    "x.view(-1)",
    '"a" * 10 ** 9',
    "*",
    "\u202e",
    "=",
    "{}",
]


def mutated(text: str, rng: random.Random) -> str:
    """A text with a few lines and words changed."""
    lines = text.split("\n")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(lines))
        line = lines[at]
        match rng.randrange(7):
            case 0:
                del lines[at]
            case 1:
                lines.insert(rng.randrange(len(lines)), line)
            case 2:
                lines[at] = line[: rng.randrange(len(line) + 1)]
            case 3:
                words = line.split(" ")
                words[rng.randrange(len(words))] = rng.choice(WORDS)
                lines[at] = " ".join(words)
            case 4:
                digits = [index for index, it in enumerate(line) if it.isdigit()]
                if digits:
                    index = rng.choice(digits)
                    lines[at] = line[:index] + rng.choice("0123456789") + line[index + 1 :]
            case 5:
                index = rng.randrange(len(line) + 1)
                lines[at] = line[:index] + rng.choice(WORDS) + line[index:]
            case _:
                lines[at] = line.replace(",", rng.choice(("", ",,", ";")), 1)
        lines = lines or [""]
    return "\n".join(lines)


def check(text: str, suffix: str, request: Request) -> bool:
    """Whether it comes out, as a spec that loads; what is refused is refused in sentences."""
    try:
        imported = import_source(parsed("it" + suffix, text.encode(), suffix), request)
    except SpecError as error:
        return not all(problem.message for problem in error.problems)
    loads(imported.text, source="it.yaml")
    return True


def run(count: int, seed: int) -> None:
    rng = random.Random(seed)
    known = 0
    for number in range(count):
        text, suffix = SEEDS[number % len(SEEDS)]
        request = Request(dropout=0.1, is_partial=number % 3 == 0)
        known += check(mutated(text, rng), suffix, request)
    assert 0 < known < count


def test_the_files_that_are_changed_are_read_as_they_are() -> None:
    partial = Request(dropout=0.1, is_partial=True)
    assert all(check(text, suffix, partial) for text, suffix in SEEDS[:5])


@pytest.mark.slow
def test_changed_files_come_out_or_are_refused() -> None:
    run(100, seed=1)


@pytest.mark.gate
@pytest.mark.slow
def test_many_changed_files_come_out_or_are_refused() -> None:
    run(2_000, seed=2)


def test_a_file_of_many_loops_takes_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Interpreter] = []
    start = Interpreter.__init__
    monkeypatch.setattr("mnist_arch.convert.interpreter.reading.MAX_READ", 30_000)

    def kept(self: Interpreter, library: Any) -> None:
        start(self, library)
        made.append(self)

    monkeypatch.setattr(Interpreter, "__init__", kept)
    loops = "for i in range(9999):\n    a = i\n" * 500
    with pytest.raises(SpecError, match="no network"):
        import_source(parsed("it.py", loops.encode(), ".py"), Request())
    assert [it.steps < 31_000 for it in made] == [True]


@pytest.mark.parametrize(
    ("text", "suffix", "message"),
    [
        ("[" * 100_000, ".ipynb", "nested too deep"),
        ('{"cells": [' + '{"a":' * 50_000, ".ipynb", "nested too deep|no notebook"),
        ('{"cells": 3}', ".ipynb", "it has no cells"),
        ("x = " + "-" * 50_000 + "1", ".py", "nested|no Python|no network"),
        ("x = " + "+".join("1" * 9_000), ".py", "no network|nested"),
        ("x = " + "a." * 9_000 + "b", ".py", "no network|nested"),
        ("def f(): return f()\nf()", ".py", "no network"),
        ("x = 'a' * 10 ** 10\ny = 10 ** 10 ** 10", ".py", "no network"),
        ("while True:\n    pass", ".py", "no network"),
        ("x = [[0] * 9999 for i in range(9999)]", ".py", "no network"),
        ("PK\0\0", ".pth", "no text"),
        ("", ".txt", "no network"),
        pytest.param(
            "Conv2d-1 [-1, 8, 28, 28] 80\n" * 5_000,
            ".txt",
            "ends in 8×28×28",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_traps_end_with_a_sentence(text: str, suffix: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        import_source(parsed("it" + suffix, text.encode(), suffix), Request())


def test_a_file_of_100_megabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "it.ipynb"
    with path.open("wb") as file:
        file.truncate(100 << 20)  # of holes
    with pytest.raises(MnistArchError, match="longer than 16,777,216 bytes"):
        import_network(str(path))
    with pytest.raises(MnistArchError):
        import_network(str(tmp_path))


def test_networks_of_many_layers_are_bounded() -> None:
    rows = [
        f"Conv2d-{number} [-1, 8, 28, 28] {584 if number > 1 else 80}" for number in range(1, 900)
    ]
    text = "\n".join(rows) + "\nAdaptiveAvgPool2d-900 [-1, 8, 1, 1] 0\n"
    source = parsed("it.txt", text.encode(), ".txt")
    with pytest.raises(SpecError, match="are more than 400"):
        import_source(source, Request({"activations": "none"}))

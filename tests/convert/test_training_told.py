"""What a recipe cannot carry over is told, in a sentence, whatever else the code trains by."""

from __future__ import annotations

from typing import Any

import pytest
from training_to_read import KERAS, LOOP, SGD, read, recipe

from mnist_arch.convert.importing import Imported


def of_keras(lines: str, more: str = "") -> Imported:
    """A model that ends in softmax, compiled in some lines, and trained for 5 epochs."""
    return read(
        f"{KERAS}(x, y), test = keras.datasets.mnist.load_data()\nx = x / 255\n"
        f"model.add(Softmax())\n{lines}model.fit(x, y, 64, 5{more})\n"
    )


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("StepLR(optimizer, 0)", "StepLR every 0 epochs by 0.1"),
        ("StepLR(optimizer, 5, gamma=2)", "StepLR every 5 epochs by 2"),
        ("StepLR(optimizer)", "the arguments of StepLR, which are not known"),
        ("StepLR(optimizer, 5, gamma=rates[0])", "the arguments of StepLR, which are not known"),
        (
            "MultiStepLR(optimizer, [9, 5])",
            "MultiStepLR, by which the rate is multiplied with 0.1 at (9, 5): the rate stays",
        ),
        ("ExponentialLR(optimizer, 1.5)", "ExponentialLR by 1.5: the rate stays"),
        ("OneCycleLR(optimizer, rates)", "OneCycleLR, whose largest rate is not known"),
        ("OneCycleLR(optimizer, 0.1, 15, div_factor=0.5)", "OneCycleLR's div_factor of 0.5"),
        (
            "OneCycleLR(optimizer, 0.1, 15, anneal_strategy='linear')",
            "OneCycleLR in straight lines: here it is in half cosines",
        ),
        ("OneCycleLR(optimizer, 0.1, 15, three_phase=True)", "OneCycleLR in three phases"),
        (
            "OneCycleLR(optimizer, 0.1, 500)",
            "OneCycleLR, stepped once an epoch: the rate stays as it is",
        ),
        ("CosineAnnealingLR(optimizer, 7)", "CosineAnnealingLR over 7 epochs down to 0"),
        (
            "LambdaLR(optimizer, lambda epoch: 0.5 * 0.9 ** epoch)",
            "LambdaLR, which begins by another factor than 1: the rate stays",
        ),
        ("LambdaLR(optimizer, rates)", "LambdaLR, which multiplies the rate by a function of the"),
        ("CyclicLR(optimizer, 0.1, 0.2)", "CyclicLR, which moves the rate up and down again"),
        (
            "ReduceLROnPlateau(optimizer, factor=2)",
            "ReduceLROnPlateau, which multiplies the rate with 2 where",
        ),
    ],
)
def test_schedules(lines: str, sentence: str) -> None:
    found, dropped = recipe(f"{SGD}scheduler = {lines}\n")
    assert sentence in dropped, dropped
    assert found["schedule"].get("kind", "constant") in ("constant", "one-cycle")


@pytest.mark.parametrize(
    ("optimizer", "sentence"),
    [
        ("SGD(model.parameters(), lr=rates)", "the learning rate, which is not known"),
        ("SGD(model.parameters(), 0.1, dampening=0.5)", "dampening, which lets a new gradient"),
        ("SGD(model.parameters(), 0.1, heavy=1)", "the arguments of SGD, which are not known"),
        ("Adam(model.parameters(), amsgrad=True)", "amsgrad, which divides by the largest mean"),
        ("Adam(model.parameters(), eps=0)", "an epsilon of 0: here it is that of torch"),
        ("RMSprop(model.parameters(), alpha=rates)", "alpha of RMSprop, which is not known"),
        ("LBFGS(model.parameters())", "the optimizer LBFGS: plain SGD stands in its place"),
    ],
)
def test_optimizers(optimizer: str, sentence: str) -> None:
    _, dropped = recipe(f"optimizer = optim.{optimizer}\n")
    assert sentence in dropped, dropped


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("nn.init.xavier_uniform_(model[0].weight)", "the start of the weights (xavier_uniform_)"),
        ("model[0].weight.data.normal_(0, 1)", "the start of the weights (normal_)"),
        (
            "nn.utils.clip_grad_norm_(model.parameters(), limit)",
            "gradients, whose limit is not known",
        ),
        (
            "nn.utils.clip_grad_value_(model.parameters(), 1)",
            "the clipping of each gradient by its",
        ),
        (
            "loss = loss + sum(p.abs().sum() for p in model.parameters())",
            "L1, which adds the sum of",
        ),
        ("optimizer.param_groups[0]['lr'] = 0.1", "a rate that the code sets by itself"),
        ("optimizer.param_groups[0]['lr'] *= 0.1", "a rate that the code sets by itself"),
        ("loss = nn.CrossEntropyLoss(weight=torch.ones(10))", "classes that weigh differently"),
        ("loss = F.mse_loss(a, b)", "the loss mse_loss: here it is cross-entropy"),
        ("loss = F.nll_loss(a, b)", "nll_loss of what is no log-softmax"),
        (
            "a, b = torch.utils.data.random_split(data, [50000, 10000])",
            "random_split, which divides",
        ),
        ("X_train = X_train[:50000]", "a part of the training images: here all are trained on"),
        ("for epoch in range(3):\n    break", "an end before the last epoch"),
    ],
)
def test_lines(lines: str, sentence: str) -> None:
    _, dropped = recipe(f"{SGD}{lines}\n")
    assert sentence in dropped, dropped


@pytest.mark.parametrize(
    ("transform", "sentence"),
    [
        ("RandomRotation((5, 10))", "RandomRotation by angles that are not the same either way"),
        ("RandomRotation(200)", "RandomRotation by angles that are not the same either way"),
        ("RandomRotation(5, interpolation=3)", "RandomRotation by another interpolation"),
        ("RandomRotation(5, fill=300)", "a fill of 300 for what comes into view: here it is 0"),
        ("RandomAffine(tilt=3)", "RandomAffine with arguments that are not known"),
        ("RandomAffine((1, 5))", "RandomAffine by angles that are not the same either way"),
        ("RandomAffine(0, translate=(0.1, 0.2))", "a shift of (0.1, 0.2), not the same along"),
        ("RandomAffine(0, scale=(2, 1))", "a scale from (2, 1)"),
        ("RandomAffine(0, shear=80)", "a shear of 80"),
        ("RandomApply([transforms.RandomRotation(3)])", "RandomApply, which "),
        ("RandomApply([transforms.CenterCrop(40)])", "RandomApply, which "),
        ("RandomErasing(area=3)", "RandomErasing with arguments that are not known"),
        ("RandomErasing(value='random')", "RandomErasing to random: here it is background"),
        ("RandomPerspective(2)", "RandomPerspective with arguments that are not known"),
        ("RandomResizedCrop(28, scale=(2, 3))", "RandomResizedCrop with arguments that are not"),
        ("ColorJitter(brightness=-1)", "ColorJitter's brightness of -1"),
        ("RandomHorizontalFlip()", "RandomHorizontalFlip, which "),
        ("Lambda(f)", "Lambda, a change of the images by a function"),
        ("Normalize((0.5,), (0,))", "Normalize(0.5, 0): here it is 0.1307 and 0.3081"),
        ("Normalize((0.5,), (0.5,))", "Normalize(0.1307, 0.3081), another one than before it"),
    ],
)
def test_transforms(transform: str, sentence: str) -> None:
    _, dropped = recipe(SGD, transforms=f"transforms.{transform}, ")
    assert sentence in dropped, dropped


FIT = "model.fit(x, y, epochs=3, batch_size=64)\n"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("model.fit(x, y, epochs=n)", "epochs, which is not known: the plain one stands"),
        ("model.fit(x, y, batch_size=n)", "batch_size, which is not known: the plain one stands"),
        ("model.fit(x, y, validation_split=0.9)", "the last 0.9 of the images held out"),
        ("model.fit(x, y, class_weight={0: 2})", "class_weight of fit ({0: 2})"),
        ("model.fit(x, y, shuffle=False)", "images in the same order each epoch"),
        ("model.fit(x, y, callbacks=[mine])", "what is called after each epoch ([mine])"),
        (f"model.compile(mine, 'mse')\n{FIT}", "the optimizer mine: plain SGD stands in its place"),
        (f"model.compile('adam', 'mse')\n{FIT}", "the loss (mse): here it is cross-entropy"),
        (
            "model.compile(SGD(momentum=0.9, weight_decay=0.1), 'categorical_crossentropy')\n"
            + FIT,
            "Keras' decay, which is not part of its velocity",
        ),
        (
            f"model.compile(SGD(0.1, clipnorm=1), 'categorical_crossentropy')\n{FIT}",
            "clipnorm of the optimizer, 1",
        ),
        (
            f"model.compile(Adam(speed=1), 'categorical_crossentropy')\n{FIT}",
            "the arguments of Adam, which are not known",
        ),
        (f"model.compile('adam', 'categorical_crossentropy')\n{FIT}", "no softmax before the loss"),
        (f"x = x / x_train.std()\n{FIT}", "the scale of the pixels, which is not known"),
        (f"x_train = x_train / std\n{FIT}", "images that are divided by a deviation"),
        (f"g = ImageDataGenerator()\n{FIT}", "ImageDataGenerator, which changes images at random"),
    ],
)
def test_keras(lines: str, sentence: str) -> None:
    imported = read(f"{KERAS}from keras.preprocessing.image import ImageDataGenerator\n{lines}\n")
    dropped = "\n".join(it.text for it in imported.dropped)
    assert sentence in dropped, dropped


@pytest.mark.parametrize(
    ("optimizer", "expected", "said"),
    [
        ("RMSprop(0.01)", {"kind": "rmsprop", "alpha": 0.9, "epsilon": 1e-7}, "epsilon of RMSprop"),
        (
            "RMSprop(0.01, weight_decay=0.1)",
            {"kind": "rmsprop", "alpha": 0.9, "epsilon": 1e-7},
            "Keras' decay, which is not part of the gradient of RMSprop",
        ),
        (
            "Adagrad(0.01)",
            {"kind": "adagrad", "initial_accumulator": 0.1, "epsilon": 1e-7},
            "epsilon of Adagrad",
        ),
        ("Adadelta(1.0)", {"kind": "adadelta", "rho": 0.95, "epsilon": 1e-7}, "softmax at the end"),
        (
            "AdamW(0.01)",
            {"kind": "adamw", "epsilon": 1e-7, "weight_decay": 0.004, "decays": "all"},
            "softmax at the end",
        ),
    ],
)
def test_optimizers_of_keras(optimizer: str, expected: dict[str, Any], said: str) -> None:
    imported = of_keras(
        f"from keras.optimizers import *\n"
        f"model.compile({optimizer}, 'sparse_categorical_crossentropy')\n"
    )
    assert imported.tree["recipe"]["optimizer"] == expected
    assert said in imported.text


@pytest.mark.parametrize(
    ("starts", "expected", "said"),
    [
        (["he_normal"], {"kind": "he", "distribution": "truncated-normal"}, ""),
        (["orthogonal"], "keras", "the start of the weights (orthogonal)"),
        (["he_normal", "zeros"], "keras", "the start of the weights (he_normal, zeros)"),
    ],
)
def test_starts_of_keras(starts: list[str], expected: object, said: str) -> None:
    layers = "".join(f"Conv2D(10, 3, kernel_initializer='{it}'), " for it in starts)
    row = f"model = Sequential([{layers}GlobalAveragePooling2D(), Softmax()])\n"
    imported = of_keras(f"{row}model.compile('adam', 'sparse_categorical_crossentropy')\n")
    assert imported.tree["recipe"]["initialize"] == expected
    assert said in imported.text


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("lambda e: 0.1 * 0.9 ** e", "Keras' momentum, which keeps the old rate in its velocity"),
        ("lambda e: unheard", "what is called after each epoch (LearningRateScheduler("),
        ("lambda e: 'fast'", "what is called after each epoch (LearningRateScheduler("),
        ("again", "what is called after each epoch (LearningRateScheduler(again))"),
    ],
)
def test_a_rate_of_keras_by_a_function_of_the_epoch(function: str, told: str) -> None:
    imported = of_keras(
        "from keras.callbacks import *\ndef again(e):\n    return again(e)\n"
        "model.compile(SGD(0.1, momentum=0.9), 'sparse_categorical_crossentropy')\n",
        f", callbacks=[LearningRateScheduler({function})]",
    )
    (dropped,) = (it.text for it in imported.dropped)
    assert told in dropped
    schedule = {"peak": 0.1} if "velocity" not in told else "exponential"
    assert imported.tree["recipe"]["schedule"] == schedule


def test_the_smoothing_of_a_loss_of_keras_is_carried_over() -> None:
    imported = of_keras(
        "from keras.losses import *\n"
        "model.compile('adam', CategoricalCrossentropy(label_smoothing=0.1))\n"
    )
    assert imported.tree["recipe"]["label_smoothing"] == 0.1
    assert imported.dropped == ()


@pytest.mark.parametrize(
    ("lines", "loop", "expected"),
    [
        ("import lightning as pl\nt = pl.Trainer(max_epochs=7)\n", "", {"epochs": 7}),
        (
            "",
            "for epoch in tqdm(range(12)):\n    scheduler.step()\n",
            {"epochs": 12},
        ),
        ("loss += 0.1 * w.norm(p=1)\n", LOOP, {"l1": {"strength": 0.1, "of": "all"}}),
        (
            "scheduler = ReduceLROnPlateau(optimizer, factor=0.5)\n",
            LOOP.replace("step()", "step(train_loss)"),
            {"schedule": {"kind": "plateau", "factor": 0.5, "peak": 0.05}},
        ),
        *(
            (
                f"scheduler = ReduceLROnPlateau(optimizer, {given})\n",
                LOOP.replace("step()", "step(train_loss)"),
                {"schedule": {"peak": 0.05}},
            )
            for given in ("factor=2", "factor=0.5, threshold_mode='odd'", "mode='max'")
        ),
        (
            "scheduler = OneCycleLR(optimizer, 0.1, 9000, div_factor=0.5)\n",
            LOOP,
            {"schedule": {"peak": 0.05}},
        ),
    ],
)
def test_what_a_loop_says(lines: str, loop: str, expected: dict[str, Any]) -> None:
    found, _ = recipe(f"{SGD}{lines}", loop=loop)
    assert found.items() >= expected.items(), found

"""The recipe of code that is read: carried over, or said not to be."""

from __future__ import annotations

from typing import Any

import pytest
from training_to_read import BY_BATCH, KERAS, LOOP, NETWORK, NORMALIZE, SGD, read, recipe

from mnist_arch.convert.importing import Request, import_source
from mnist_arch.convert.source import Source
from mnist_arch.errors import Origin


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
            "OneCycleLR(optimizer, max_lr=0.1, total_steps=900, pct_start=0.1, div_factor=5)",
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
            "OneCycleLR(optimizer, 0.3, 900, cycle_momentum=False, anneal_strategy='linear')",
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
    loop = BY_BATCH if "OneCycle" in lines else LOOP
    found, said = recipe(f"{SGD}scheduler = {lines}\n", loop=loop)
    assert dropped in said
    assert bool(dropped) == bool(said)
    assert found["schedule"] == schedule


@pytest.mark.parametrize(
    ("lines", "loop", "schedule", "said"),
    [
        ("StepLR(optimizer, 6)", BY_BATCH, {"peak": 0.05}, "stepped once a batch"),
        (
            "OneCycleLR(optimizer, 0.5, epochs=15, steps_per_epoch=900)",
            LOOP,
            {"peak": 0.02},
            "stays near its start, 0.02",
        ),
        (
            "OneCycleLR(optimizer, 0.5, total_steps=15, cycle_momentum=False)",
            LOOP,
            {"kind": "one-cycle", "peak": 0.5, "warmup": 0.3, "first_step": "start"},
            "here at every step",
        ),
        ("OneCycleLR(optimizer, 0.5, total_steps=99)", LOOP, {"peak": 0.05}, "once an epoch"),
    ],
)
def test_when_a_schedule_is_stepped(
    lines: str, loop: str, schedule: dict[str, Any], said: str
) -> None:
    imported = read(NETWORK + NORMALIZE.format("") + f"{SGD}scheduler = {lines}\n" + loop)
    found = imported.tree["recipe"]["schedule"]
    assert {**found, "warmup": found.get("warmup", 0)} == {"warmup": 0, **schedule}
    assert said in "\n".join(it.text for it in (*imported.dropped, *imported.assumed))


def test_a_rate_that_is_set_by_hand_is_told() -> None:
    by_hand = SGD + "for group in optimizer.param_groups:\n    group['lr'] = 0.1\n"
    assert "a rate that the code sets by itself" in recipe(by_hand)[1]


DATA = """
from torchvision import datasets
def turned(degrees):
    return transforms.Compose([transforms.RandomRotation(degrees), *usual])
usual = [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
tried = transforms.Compose([transforms.RandomRotation(45), *usual])
train = datasets.MNIST("data", train=True, transform=turned(7))
test = datasets.MNIST("data", train=False, transform=transforms.Compose(usual))
options = dict(shuffle=True, num_workers=4)
train_loader = torch.utils.data.DataLoader(train, batch_size=128, **options)
test_loader = torch.utils.data.DataLoader(test, batch_size=1000)
def train(model, epochs=3):
    for epoch in range(epochs):
        pass
train(model, epochs=9)
"""


def test_the_training_images_are_those_of_the_training_loader() -> None:
    imported = read(NETWORK + SGD + DATA)
    assert imported.dropped == ()
    assert imported.tree["recipe"] == {
        "extends": "plain",
        "epochs": 9,
        "batch_size": 128,
        "schedule": {"peak": 0.05},
        "augment": {"rotate_degrees": 7, "resample": "nearest"},
    }


def test_another_dataset_of_the_family_is_said() -> None:
    fashion = read(NETWORK + SGD + DATA.replace("datasets.MNIST", "datasets.FashionMNIST"))
    assert fashion.tree["dataset"] == "fashion-mnist"
    assert fashion.experiment.dataset == "fashion-mnist"
    assert fashion.tree["recipe"]["normalize"] == {"mean": 0.1307, "std": 0.3081}
    both = read(NETWORK + SGD + DATA.replace("datasets.MNIST", "datasets.KMNIST", 1))
    assert "dataset" not in both.tree
    assert "which of kmnist, mnist is trained on" in both.text
    images = IMAGES.replace("import mnist", "import fashion_mnist as mnist")
    fit = "x = x / 255\n" + SOFTMAX + COMPILE + "model.fit(x, y)\n"
    assert read(KERAS + images + fit).tree["dataset"] == "fashion-mnist"


def test_the_loader_after_the_network_counts() -> None:
    early = DATA.replace("batch_size=128, **options", "batch_size=32, shuffle=True")
    late = "train_loader = torch.utils.data.DataLoader(\n    datasets.MNIST('d'), batch_size=100)\n"
    imported = read(early.replace("def turned", NETWORK + "def turned", 1) + SGD + late)
    assert imported.tree["recipe"]["batch_size"] == 32  # it comes after the network, and shuffles
    imported = read(NETWORK.split("model =")[0] + early + NETWORK + SGD + late)
    assert imported.tree["recipe"]["batch_size"] == 100
    assert "images in the same order each epoch" in imported.text


@pytest.mark.parametrize(
    ("old", "new", "dropped"),
    [
        ("shuffle=True, ", "", "images in the same order each epoch"),
        ("transforms.Compose(usual))", "tried)", "RandomRotation of test images"),
        ("[transforms.ToTensor(), ", "[transforms.ToTensor(), Own(), ", "a transform of its own"),
        ("[transforms.ToTensor(), ", "[transforms.ToTensor(), own, ", "of its own (own)"),
        ("[transforms.ToTensor(), ", "[transforms.ToTensor(), {1: 2}, ", "own (a dictionary)"),
        ("[transforms.ToTensor(), ", "[transforms.ToTensor(), lambda x: x, ", "(a function)"),
        (
            "[transforms.ToTensor(), ",
            "[transforms.ToTensor(), transforms.Lambda(lambda x: 1 - x), ",
            "Lambda, a change of the images by a function",
        ),
        (
            "train_loader =",
            "part = torch.utils.data.Subset(train, range(9))\ntrain_loader =",
            "Subset, which takes some images",
        ),
        ("        pass", "        if done:\n            break", "an end before the last epoch"),
        ("def turned", "torch.nn.init.xavier_normal_(w)\ndef turned", "xavier_normal_"),
    ],
)
def test_what_else_is_done_to_images_and_weights_is_told(old: str, new: str, dropped: str) -> None:
    assert old in DATA
    own = "class Own:\n    pass\ndef own(x):\n    return x\n"
    imported = read(NETWORK + own + SGD + DATA.replace(old, new, 1))
    (said,) = (it.text for it in imported.dropped)
    assert dropped in said


@pytest.mark.parametrize(
    ("old", "new", "expected", "said"),
    [
        ("(train, batch", "(dataset=train, batch", {"rotate_degrees": 7}, ""),
        (
            "(train, batch_size=128",
            "(*[train], batch_size=128",
            {"rotate_degrees": 7},
            "of the batch sizes 128, 1000 the first counts",
        ),
        (
            "batch_size=128, **options",
            "batch_size=n, drop_last=True",
            {"batch_size": 1000, "last_batch": "drop"},
            "",
        ),
        (
            "(train, batch_size=128, **options)",
            "(train, batch_size=128, drop_last=True, shuffle=True)",
            {"batch_size": 128, "last_batch": "drop"},
            "",
        ),
        *(
            ("transform=turned(7)", f"transform={made}", {"rotate_degrees": 45}, "all of them")
            for made in (
                "None",
                "usual",
                "transforms.Compose(x)",
                "transforms.Compose([x, *usual])",
            )
        ),
        ("transform=turned(7)", "transform=usual[0]", {"normalize": "none"}, "another one than"),
        ("128, **options", "128, **unheard", {"batch_size": 128}, "128, 1000 the first counts"),
        ("train(model, epochs=9)", "train(model, **{'epochs': 4})", {"epochs": 4}, ""),
        ("train(model, epochs=9)", "train(model, **unheard)", {}, "the number of epochs"),
        (
            "train_loader =",
            "other = torch.utils.data.DataLoader(train, 32, shuffle=True)\ntrain_loader =",
            {"batch_size": 128},
            "of several training loaders",
        ),
        ("transform=turned(7))", "transform=x, **unheard)", {}, "all of them count"),
        ("transform=turned(7))", "*unheard)", {"rotate_degrees": 45}, "all of them count"),
    ],
)
def test_loaders_and_transforms_may_be_given_in_other_ways(
    old: str, new: str, expected: dict[str, Any], said: str
) -> None:
    assert old in DATA
    imported = read(NETWORK + SGD + DATA.replace(old, new, 1))
    found = imported.tree["recipe"]
    assert {**found, **found.get("augment", {})}.items() >= expected.items()
    assert said in imported.text


def test_transforms_without_a_set_of_images_all_count() -> None:
    made = "t = transforms.Compose([transforms.RandomRotation({}), transforms.ToTensor()])\n"
    imported = read(NETWORK + SGD + made.format(3) + made.format(9) + LOOP)
    assert imported.tree["recipe"]["normalize"] == "none"
    assert [it["rotate_degrees"] for it in imported.tree["recipe"]["augment"]] == [3, 9]
    assert "which transforms are of training is not known: all of them count" in imported.text


@pytest.mark.parametrize(
    ("transform", "augment", "dropped"),
    [
        ("RandomRotation(5)", {"rotate_degrees": 5, "resample": "nearest"}, "after Normalize"),
        (
            "RandomErasing(0.5, ratio=(0.5, 2), value=1)",
            {
                "erase": {
                    "probability": 0.5,
                    "area": [0.02, 0.33],
                    "ratio": [0.5, 2.0],
                    "fill": 0.4388,
                }
            },
            "",
        ),
        (
            "RandomErasing(0.5, value=9)",
            {"erase": {"probability": 0.5, "area": [0.02, 0.33]}},
            "RandomErasing to 2.9036: here it is background",
        ),
        ("RandomApply(p=3)", None, "RandomApply, which makes its changes with a probability"),
        ("RandomApply([transforms.CenterCrop()])", None, "CenterCrop, which cuts out the middle"),
    ],
)
def test_transforms_after_normalize(transform: str, augment: Any, dropped: str) -> None:
    row = NORMALIZE.format("").replace("(0.3081,))", f"(0.3081,)), transforms.{transform}")
    imported = read(NETWORK + row + SGD + LOOP)
    assert imported.tree["recipe"].get("augment") == augment
    said = "\n".join(it.text for it in imported.dropped)
    assert dropped in said
    assert bool(dropped) == bool(said)


@pytest.mark.parametrize(
    ("layer", "normalize", "dropped"),
    [
        ("Rescaling(1 / 255)", "none", ""),
        ("Rescaling(1 / 127.5, offset=-1)", {"mean": 0.5, "std": 0.5}, ""),
        ("Rescaling(s)", "none", "Rescaling by numbers that are not known: here to [0, 1]"),
        ("Rescaling(-1)", "none", "Rescaling by numbers that are not known: here to [0, 1]"),
    ],
)
def test_a_layer_may_scale_the_pixels(layer: str, normalize: Any, dropped: str) -> None:
    row = f"model = Sequential([{layer}, Conv2D(10, 3), GlobalAveragePooling2D(), Softmax()])\n"
    imported = read(KERAS + IMAGES + row + COMPILE + "model.fit(x, y, 64, 5)\n")
    assert imported.tree["recipe"]["normalize"] == normalize
    assert dropped in "\n".join(it.text for it in imported.dropped)


def test_options_of_the_command_line_have_their_defaults() -> None:
    lines = """
import argparse
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("-n", "--epochs", type=int, default=4)
    parser.add_argument("--unknown", type=float)
    args = parser.parse_args()
    kwargs = {"batch_size": args.batch_size, "shuffle": True}
    set_ = datasets.MNIST("data", transform=transforms.Compose([transforms.ToTensor()]))
    loader = torch.utils.data.DataLoader(set_, **kwargs)
    optimizer = optim.Adadelta(model.parameters(), lr=args.lr, rho=args.unknown)
    for epoch in range(1, args.epochs + 1):
        scheduler.step()
main()
"""
    imported = read(NETWORK + "from torchvision import datasets\n" + lines)
    assert imported.tree["recipe"] == {
        "extends": "plain",
        "epochs": 4,
        "batch_size": 32,
        "optimizer": "adadelta",
        "schedule": {"peak": 0.5},
        "normalize": "none",
    }
    assert "rho of Adadelta, which is not known" in imported.text


def test_the_recipe_is_of_the_network_that_is_meant() -> None:
    second = "other = nn.Sequential(nn.Conv2d(1, 10, 5), nn.AdaptiveMaxPool2d(1))\n"
    code = NETWORK + SGD + second + SGD.replace("model", "other").replace("0.05", "0.3") + LOOP
    for name, rate in (("model", 0.05), ("other", 0.3)):
        request = Request(choose={"network": name})
        source = Source("net.py", ((Origin("net.py:1"), code),))
        assert import_source(source, request).tree["recipe"]["schedule"]["peak"] == rate


@pytest.mark.parametrize(
    ("end", "loss", "dropped"),
    [
        ("", "F.cross_entropy(y, t)", ""),
        (", nn.LogSoftmax(1)", "F.cross_entropy(y, t)", ""),
        (", nn.LogSoftmax(1)", "F.nll_loss(y, t)", ""),
        (", nn.Softmax(1)", "F.cross_entropy(y, t)", "a loss of probabilities"),
        ("", "F.nll_loss(y, t)", "no log-softmax"),
        ("", "F.nll_loss(F.log_softmax(y, 1), t)", ""),
        ("", "nn.CrossEntropyLoss(weight=weights)", "classes that weigh differently"),
        ("", "F.mse_loss(y, t)", "the loss mse_loss"),
    ],
)
def test_a_loss_that_is_no_cross_entropy_of_logits_is_told(
    end: str, loss: str, dropped: str
) -> None:
    network = NETWORK.replace("AdaptiveAvgPool2d(1))", f"AdaptiveAvgPool2d(1), nn.Flatten(){end})")
    imported = read(network + NORMALIZE.format("") + SGD + f"loss = {loss}\n" + LOOP)
    said = "\n".join(it.text for it in imported.dropped)
    assert dropped in said
    assert bool(dropped) == bool(said)


def test_l1_by_a_loss_against_zeros() -> None:
    lines = """
l1_crit = nn.L1Loss(reduction="sum")
reg_loss = 0
for param in model.parameters():
    reg_loss += l1_crit(param, torch.zeros_like(param))
loss += 5e-4 * reg_loss
"""
    for own in (lines, lines.replace("loss += 5e-4 * reg_loss", "reg_loss *= 5e-4")):
        found, said = recipe(SGD + own)
        assert found["l1"] == {"strength": 5e-4, "of": "all"}
        assert said == ""


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
    assert imported.tree["holdout"] == {"last": 6_000}
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


IMAGES = """
from keras.datasets import mnist
(x, y), (x_test, y_test) = mnist.load_data()
"""
COMPILE = "model.compile('adam', 'sparse_categorical_crossentropy')\n"
SOFTMAX = "model.add(Softmax())\n"


@pytest.mark.parametrize(
    ("lines", "expected", "dropped"),
    [
        ("x = x / 255\n", {"normalize": "none"}, ""),
        ("x /= 255.0\n", {"normalize": "none"}, ""),
        ("x = (x - 127.5) / 127.5\n", {"normalize": {"mean": 0.5, "std": 0.5}}, ""),
        ("", {"normalize": {"mean": 0.0, "std": 0.003921569}}, ""),
        ("x = x / 255\nx_train = (x_train - mean) / std\n", {}, "divided by a deviation"),
    ],
)
def test_pixels_of_keras(lines: str, expected: dict[str, Any], dropped: str) -> None:
    fit = SOFTMAX + COMPILE + "model.fit(x, y, 64, 5)\n"
    imported = read(KERAS + IMAGES + lines + fit)
    assert imported.tree["recipe"].items() >= {"epochs": 5, **expected}.items()
    said = "\n".join(it.text for it in imported.dropped)
    assert dropped in said
    assert bool(dropped) == bool(said)


@pytest.mark.parametrize(
    ("lines", "expected", "dropped"),
    [
        (COMPILE + "model.fit(flow.flow(x, y, batch_size=512))\n", {"batch_size": 512}, ""),
        (COMPILE + "data = data.batch(16)\nmodel.fit(data)\n", {"batch_size": 16}, ""),
        (COMPILE + "model.fit(data)\n", {}, "batch_size, which is not known"),
        (COMPILE + "model.fit(x, y, shuffle=False)\n", {}, "in the same order"),
        (COMPILE + "model.fit(x, y, class_weight=w)\n", {}, "class_weight of fit"),
        (
            "y_train = y_train[5000:]\n" + COMPILE + "model.fit(x, y)\n",
            {},
            "[5000:], a part of",
        ),
        ("plot(train_acc[4000:])\n" + COMPILE + "model.fit(x, y)\n", {}, ""),
        (COMPILE + "model.fit(x, y, validation_split=s)\n", {}, "of the images held out"),
        ("model.compile('adam', loss='mse')\nmodel.fit(x, y)\n", {}, "the loss (mse)"),
        (
            "from keras.losses import SparseCategoricalCrossentropy as Loss\n"
            "model.compile('adam', Loss(from_logits=True))\nmodel.fit(x, y)\n",
            {},
            "a loss of logits after a softmax",
        ),
        (
            "from keras.callbacks import *\nfrom keras import callbacks as c\n"
            + COMPILE
            + "told = [c.TensorBoard(), c.EarlyStopping(patience=3)]\n"
            + "model.fit(x, y, callbacks=told)\n",
            {},
            "after each epoch (c.EarlyStopping(patience=3))",
        ),
    ],
)
def test_what_fit_and_compile_are_told(lines: str, expected: dict[str, Any], dropped: str) -> None:
    imported = read(KERAS + IMAGES + "x = x / 255\n" + SOFTMAX + lines)
    assert imported.tree["recipe"].items() >= expected.items()
    said = "\n".join(it.text for it in imported.dropped)
    assert dropped in said
    assert bool(dropped) == bool(said)


def test_starts_and_penalties_of_keras() -> None:
    layer = "Conv2D(10, 3, kernel_initializer=HeNormal(), kernel_regularizer=l2(1e-4), "
    code = KERAS.replace("Conv2D(10, 3, ", layer)
    code = "from keras.initializers import HeNormal\nfrom keras.regularizers import l2\n" + code
    fit = "x = x / 255\n" + SOFTMAX + COMPILE + "model.fit(x, y)\n"
    imported = read(code + IMAGES + fit)
    start = {"kind": "he", "distribution": "truncated-normal"}
    assert imported.tree["recipe"]["initialize"] == start
    assert [it.text for it in imported.dropped] == ["kernel_regularizer (l2(0.0001))"]

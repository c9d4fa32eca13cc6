"""Notebooks of the exercise, correct and faulty alike, in the idioms of several libraries.

Each has the habits that it shows. They were written before what finds them; half were set aside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

NETWORK = """
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torchvision import datasets, transforms

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.drop = nn.Dropout(0.1)
        self.conv3 = nn.Conv2d(16, 10, 7)
    def forward(self, x):
        x = self.pool(self.bn1(F.relu(self.conv1(x))))
        x = self.drop(self.pool(F.relu(self.conv2(x))))
        x = self.conv3(x)
        x = x.view(-1, 10)
        return F.log_softmax(x, dim=1)
"""
DATA = """
train_tf = transforms.Compose([
    transforms.RandomRotation((-7.0, 7.0), fill=(0,)),
    transforms.ToTensor(),
    transforms.Normalize((0.1307,), (0.3081,)),
])
test_tf = transforms.Compose([
    transforms.ToTensor(),
    transforms.Normalize((0.1307,), (0.3081,)),
])
train_set = datasets.MNIST('data', train=True, download=True, transform=train_tf)
test_set = datasets.MNIST('data', train=False, download=True, transform=test_tf)
train_loader = torch.utils.data.DataLoader(train_set, batch_size=64, shuffle=True)
test_loader = torch.utils.data.DataLoader(test_set, batch_size=64)
"""
LOOP = """
def train(model, device, loader, optimizer, epoch):
    model.train()
    for data, target in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(model(data.to(device)), target.to(device))
        loss.backward()
        optimizer.step()

def test(model, device, loader):
    model.eval()
    loss, correct = 0, 0
    with torch.no_grad():
        for data, target in loader:
            output = model(data.to(device))
            loss += F.nll_loss(output, target.to(device), reduction='sum').item()
            correct += (output.argmax(1) == target.to(device)).sum().item()
    print(f'Test set: Accuracy: {correct}/{len(loader.dataset)}')
    return loss, 100. * correct / len(loader.dataset)
"""
RUN = """
torch.manual_seed(1)
device = 'cpu'
EPOCHS = 15
model = Net().to(device)
optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=6)
for epoch in range(EPOCHS):
    train(model, device, train_loader, optimizer, epoch)
    test_loss, test_acc = test(model, device, test_loader)
    scheduler.step()
"""
KERAS = """
from tensorflow import keras
from tensorflow.keras import layers
(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train = x_train.reshape(-1, 28, 28, 1) / 255.0
x_test = x_test.reshape(-1, 28, 28, 1) / 255.0
model = keras.Sequential([
    layers.Conv2D(8, 3, activation='relu', input_shape=(28, 28, 1)),
    layers.MaxPooling2D(2),
    layers.Conv2D(16, 3, activation='relu'),
    layers.MaxPooling2D(2),
    layers.Flatten(),
    layers.Dense(10, activation='softmax'),
])
model.compile(optimizer='adam', loss='sparse_categorical_crossentropy', metrics=['accuracy'])
history = model.fit(x_train, y_train, epochs=15, validation_data=(x_test, y_test))
"""
LIGHTNING = """
import pytorch_lightning as pl
class Lit(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = Net()
    def forward(self, x):
        return self.net(x)
    def training_step(self, batch, i):
        x, y = batch
        return F.nll_loss(self(x), y)
    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=0.01)
trainer = pl.Trainer(max_epochs=15)
trainer.fit(Lit(), train_loader)
trainer.test(dataloaders=test_loader)
"""


Line = Callable[[int], str]


@dataclass(frozen=True)
class Example:
    """A notebook, and what is to be found in it."""

    name: str
    cells: tuple[str, ...]
    habits: frozenset[str]
    accuracies: tuple[int, ...]
    """Correct images of each epoch, as printed."""
    line: Line = lambda correct: f"Test set: Accuracy: {correct}/10000\n"
    """How it prints them."""
    printed: str = ""
    """What it prints before."""

    def write(self, folder: Path) -> Path:
        """The notebook as a file."""
        printed = self.printed + "".join(map(self.line, self.accuracies))
        cells = [
            {"cell_type": "code", "source": text.strip().splitlines(keepends=True), "outputs": []}
            for text in self.cells
        ]
        cells[-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": printed}]
        path = folder / f"{self.name}.ipynb"
        path.write_text(json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}))
        return path


KEPT = (9_850, 9_930, 9_945)
EDITS: tuple[tuple[str, str, str, str], ...] = (
    # habit, what is replaced, by what, where ("" stands for a habit that there is not)
    ("", "EPOCHS = 15", "EPOCHS = 19", "plain"),
    ("", "nn.Dropout(0.1)", "nn.Dropout2d(0.05)", "spatial"),
    ("", "step_size=6", "step_size=4, gamma=0.5", "gamma"),
    ("", "    scheduler.step()", "    scheduler.step()\n    best_train = max(0, epoch)", "extra"),
    ("", "lr=0.01", "lr=0.05", "rate"),
    ("best", "    scheduler.step()", "    scheduler.step()\n    accs.append(test_acc)", "list"),
    ("best", "    scheduler.step()", "    scheduler.step()\n    top = max(top, test_acc)", "top"),
    ("test-chooses", "scheduler.step()", "scheduler.step(test_loss)", "plateau"),
    ("test-chooses", "scheduler.step()", "scheduler.step(test_acc)", "plateau-accuracy"),
    (
        "test-chooses",
        "    scheduler.step()",
        "    scheduler.step()\n    if test_acc > best:\n        best = test_acc\n"
        "        torch.save(model.state_dict(), 'best.pt')",
        "checkpoint",
    ),
    (
        "test-chooses",
        "    scheduler.step()",
        "    scheduler.step()\n    if test_acc > 99.4:\n        break",
        "stop",
    ),
    ("dropout-on", "    model.eval()\n", "", "no-eval"),
    ("augments-test", "test_tf = transforms.Compose([", "test_tf = transforms.Compose([\n"
     "    transforms.RandomRotation(5),", "rotates-test"),
    ("normalises-otherwise", "0.3081,)),\n])\ntrain_set", "0.5,)),\n])\ntrain_set", "other-std"),
    ("epochs", "EPOCHS = 15", "EPOCHS = 20", "twenty"),
    ("epochs", "range(EPOCHS)", "range(1, 26)", "twenty-five"),
    ("parameters", "nn.Conv2d(16, 10, 7)", "nn.Sequential("
     "nn.Conv2d(16, 64, 7), nn.Conv2d(64, 10, 1))", "wide"),
    ("dropout-on-logits", "x = self.conv3(x)", "x = self.drop(self.conv3(x))", "logits"),
    ("fill", "fill=(0,)", "fill=(1,)", "fill"),
    ("never-called", "self.drop = nn.Dropout(0.1)", "self.drop = nn.Dropout(0.1)\n"
     "        self.spare = nn.Conv2d(16, 16, 3)", "spare"),
    ("never-used", "test_set =", "other_tf = transforms.Compose([transforms.ToTensor()])\n"
     "test_set =", "unused"),
    ("one-seed", "model = Net().to(device)\n", "model = Net().to(device)\n"
     "model2 = Net().to(device)\n", "two-models"),
)  # fmt: skip
KERAS_EDITS: tuple[tuple[str, str, str, str], ...] = (
    ("", "epochs=15", "epochs=12", "plain"),
    ("", "'adam'", "'sgd'", "sgd"),
    ("test-chooses", "epochs=15,", "epochs=15, callbacks=[keras.callbacks.EarlyStopping("
     "monitor='val_accuracy', patience=3)],", "stopping"),
    ("test-chooses", "epochs=15,", "epochs=15, callbacks=[keras.callbacks.ModelCheckpoint("
     "'best.h5', save_best_only=True)],", "checkpoint"),
    ("best", "y_test))\n", "y_test))\nprint(max(history.history['val_accuracy']))\n", "max"),
    ("epochs", "epochs=15", "epochs=30", "thirty"),
    ("parameters", "layers.Conv2D(16,", "layers.Conv2D(128,", "wide"),
)  # fmt: skip
LIGHTNING_EDITS: tuple[tuple[str, str, str, str], ...] = (
    ("", "lr=0.01", "lr=0.02", "plain"),
    ("", "max_epochs=15", "max_epochs=10", "ten"),
    ("epochs", "max_epochs=15", "max_epochs=40", "forty"),
    ("test-chooses", "fit(Lit(), train_loader)", "fit(Lit(), train_loader, test_loader)",
     "stopping"),
    ("dropout-on-logits", "x = self.conv3(x)", "x = self.drop(self.conv3(x))", "logits"),
)  # fmt: skip


TABLE = """----------------------------------------------------------------
        Layer (type)               Output Shape         Param #
================================================================
            Conv2d-1            [-1, 8, 28, 28]              80
================================================================
Total params: {:,}
Trainable params: {:,}
"""
KERAS_TABLE = """Layer (type)                 Output Shape              Param #
=================================================================
conv2d_1 (Conv2D)            (None, 26, 26, 8)         80
_________________________________________________________________
batch_normalization_1 (Batch (None, 26, 26, 8)         32
=================================================================
Total params: {:,}
Trainable params: {:,}
"""
JUDGED = """
{loop}
correct = 0
with torch.no_grad():
    for data, target in {loader}:
        output = model(data)
        correct += (output.argmax(1) == target).sum().item()
print('Accuracy', correct)
"""
TRAINED = """
def train(model, device, loader, optimizer, epoch):
    model.train()
    for data, target in loader:
        optimizer.zero_grad()
        F.nll_loss(model(data), target).backward()
        optimizer.step()
"""
LATE = """
def score(model, device, loader):
    correct = 0
    with torch.no_grad():
        for data, target in loader:
            correct += (model(data).argmax(1) == target).sum().item()
    return correct
"""
EPOCHS: tuple[tuple[str, str, str], ...] = (
    # what stands for the number of epochs, and what is before it
    ("args.epochs", "import argparse\nparser = argparse.ArgumentParser()\n"
     "parser.add_argument('--epochs', type=int, default={})\nargs = parser.parse_args([])",
     "argparse"),
    ("config['num_epochs']", "config = {{'lr': 0.01, 'num_epochs': {}}}", "dict"),
    ("cfg.epochs", "class Config:\n    epochs: int = {}\ncfg = Config()", "class"),
    ("settings['epochs']", "settings = dict(epochs={})", "keywords"),
)  # fmt: skip
FORMS: tuple[tuple[str, Line], ...] = (
    ("percent", lambda it: f"Test Accuracy: {it / 100:.2f}%\n"),
    ("fraction", lambda it: f"epoch 3 train_acc=0.9990 val_acc={it / 10_000:.4f} lr=0.1\n"),
    ("both", lambda it: f"val loss: 0.02, acc: {it}/10000 ({it / 100:.2f}%)\n"),
    ("bar", lambda it: f"Test:  1%|  | 1/79 [00:00, acc=12.5]\rTest: 100%|##| acc={it / 100}\n"),
    ("keras", lambda it: "469/469 [====] - 3s - loss: 0.02 - accuracy: 0.9991 - "
     f"val_loss: 0.03 - val_accuracy: {it / 10_000:.4f}\n"),
    ("json", lambda it: f'{{"train_accuracy": 0.99, "test_accuracy": {it / 10_000}}}\n'),
    ("lightning", lambda it: f"│         test_acc          │    {it / 10_000:.8f}     │\n"),
    ("words", lambda it: f"Accuracy of the network on the 10000 test images: {it / 100:.2f} %\n"),
    ("late", lambda it: f"Test : Loss = 0.0471, Accuracy = {it / 100:.2f}%\n"),
    ("evaluation", lambda it: "10000/10000 [====] - 1s 60us/step\n"
     f"Validation accuracy is {it / 10_000:.4f}\n"),
    ("columns", lambda it: f"  epoch  train_acc  test_acc\n0     3     0.9991    {it / 10_000}\n"),
    ("tensor", lambda it: f"eval accuracy: tensor({it / 10_000}, device='cuda:0')\n"),
)  # fmt: skip


def examples() -> Iterator[Example]:
    """All notebooks, in a fixed order: those of even places are for building, odd ones aside."""
    for habit, old, new, name in EDITS:
        run = RUN
        if name == "list":
            run = run.replace("EPOCHS = 15", "EPOCHS = 15\naccs = []") + "print(max(accs))\n"
        elif name == "top":
            run = run.replace("EPOCHS = 15", "EPOCHS = 15\ntop = 0") + "print('best', top)\n"
        elif name.startswith("plateau"):
            run = run.replace("StepLR(optimizer, step_size=6)", "ReduceLROnPlateau(optimizer)")
        elif name == "checkpoint":
            run = run.replace("EPOCHS = 15", "EPOCHS = 15\nbest = 0")
        yield _example(f"torch-{name}", (NETWORK, DATA, LOOP, run), old, new, habit)
        if habit and name not in ("list", "top"):  # the same in one cell, of another style
            yield _example(f"script-{name}", (NETWORK + DATA + LOOP + run,), old, new, habit)
    for habit, old, new, name in KERAS_EDITS:
        yield _example(f"keras-{name}", (KERAS,), old, new, habit)
    for habit, old, new, name in LIGHTNING_EDITS:
        text = LIGHTNING
        if name == "stopping":
            stop = "max_epochs=15, callbacks=[pl.callbacks.EarlyStopping(monitor='val_loss')]"
            text = text.replace("max_epochs=15", stop)
        yield _example(f"lightning-{name}", (NETWORK, DATA, text), old, new, habit)

    yield from _later()


def _later() -> Iterator[Example]:
    """Forms that public notebooks have, one after another in both halves."""
    whole = (NETWORK, DATA, LOOP, RUN)
    for text, before, name in EPOCHS:
        for number, habit in ((15, ""), (25, "epochs")):
            run = f"{before.format(number)}\n{RUN}".replace("range(EPOCHS)", f"range({text})")
            run = run.replace("EPOCHS = 15\n", "")
            yield Example(f"epochs-{name}-{number}", (*whole[:3], run), _set(habit), KEPT)
    for number, habit in ((12, ""), (20, "epochs"), (19, ""), (24, "epochs")):
        run = RUN.replace("EPOCHS = 15\n", "").replace("range(EPOCHS)", "range(1, epochs + 1)")
        body = "\n    ".join(run.strip().split("\n"))
        run = f"def main(epochs=2):\n    {body}\n\nmain(epochs={number})\n"
        yield Example(f"epochs-call-{number}", (*whole[:3], run), _set(habit), KEPT)
    for name, line in FORMS:
        yield Example(f"prints-{name}", whole, frozenset(), KEPT, line)
    for total, habit in ((9_114, ""), (13_000, "other-table")) * 2:
        table = TABLE.format(total, total)
        name = f"table-{total}-{len(habit)}"
        yield Example(name, whole, _set(habit), KEPT, printed=table)
    norm = KERAS.replace("    layers.MaxPooling2D(2),\n", "    layers.BatchNormalization(),\n"
                         "    layers.MaxPooling2D(2),\n", 1)  # fmt: skip
    for total in (5_290, 5_290):  # 5,274 are trained
        table = KERAS_TABLE.format(total, 5_274)
        yield Example("table-keras", (norm,), frozenset(), KEPT, printed=table)
    block = "self.drop = nn.Dropout(0.1)\n        self.spare = nn.Sequential(nn.Conv2d(8, 8, 1))"
    pool = "self.drop = nn.Dropout(0.1)\n        self.gap = nn.AdaptiveAvgPool2d(1)"
    for name, spare in (("block", block), ("gap", pool)):
        network = NETWORK.replace("self.drop = nn.Dropout(0.1)", spare)
        yield Example(f"spare-{name}", (network, *whole[1:]), _set("never-called"), KEPT)
    for name in ("StepLR", "ExponentialLR"):
        run = RUN.replace("    scheduler.step()\n", "").replace("StepLR", name)
        yield Example(f"never-stepped-{name}", (*whole[:3], run), _set("never-used"), KEPT)
    for loader in ("test_loader", "enumerate(test_loader)"):
        for loop, habit in (("model.eval()", ""), ("epoch = 0", "dropout-on")):
            cell = JUDGED.format(loop=loop, loader=loader)
            run = RUN.replace("    test_loss, test_acc = test(model, device, test_loader)\n", "")
            name = f"judged-{len(loader)}-{len(loop)}"
            yield Example(name, (NETWORK, DATA, TRAINED, run, cell), _set(habit), KEPT)
    for times in (1, 2):
        for before, habit in (("    model.eval()\n", ""), ("", "dropout-on")):
            run = RUN.replace("    test_loss, test_acc = test(", f"{before}    hits = score(")
            late = "model.eval()\nshow(model)\n" * times
            name = f"eval-late-{times}-{len(before)}"
            yield Example(name, (NETWORK, DATA, TRAINED, LATE, run, late), _set(habit), KEPT)
    wrapper = LIGHTNING.replace("def __init__(self)", "def __init__(self, net)")
    wrapper = wrapper.replace("self.net = Net()", "self.net = net")
    for made in ("Lit(net)", "Lit(net=net)"):
        fit = wrapper.replace("trainer.fit(Lit()", f"net = Net()\nlit = {made}\ntrainer.fit(lit")
        seeded = NETWORK + "torch.manual_seed(1)\n"
        yield Example(f"wrapped-{len(made)}", (seeded, DATA, fit), frozenset(), KEPT)
    for name in ("EarlyStopping(patience=3)", "ReduceLROnPlateau(monitor='val_loss')"):
        shaped = KERAS.replace("x_test = x_test", "X_test = x_test")
        shaped = shaped.replace(
            "_data=(x_test, y_test)", f"_data=(X_test, y_test), callbacks=[{name}]"
        )
        yield Example(f"shaped-{name[:5]}", (shaped,), _set("test-chooses"), KEPT)

    yield from _outputs()


LAST, OUT = "x = self.conv3(x)", "return F.log_softmax(x, dim=1)"
CONV3 = "self.conv3 = nn.Conv2d(16, 10, 7)"
WIDE = "self.conv3 = nn.Conv2d(16, 10, 3)"
POOLED = "x = x.mean((2, 3))\n        x = x.view(-1, 10)"
BLOCK = """
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 10, 3, padding=1)
    def forward(self, x):
        return F.relu(self.conv(x))
"""
ENTROPY = ("F.nll_loss(", "F.cross_entropy(")
CRITERION = ("F.nll_loss(", "nn.CrossEntropyLoss()(")
SOFTMAX = "        self.softmax = nn.Softmax(dim=1)\n    def forward"
OUTPUTS: tuple[tuple[str, bool, tuple[tuple[str, str], ...]], ...] = (
    # name, whether the outputs are bounded before the loss, what is replaced by what
    ("relu", True, ((LAST, "x = F.relu(self.conv3(x))"),)),
    ("log-twice", False, (ENTROPY,)),
    ("block", True, ((CONV3, "self.conv3 = nn.Sequential(nn.Conv2d(16, 10, 7), nn.ReLU())"),)),
    ("relu-pooled", False, ((CONV3, WIDE), (LAST, "x = F.relu(self.conv3(x))"),
     ("x = x.view(-1, 10)", POOLED))),
    ("norm", True, ((CONV3, "self.conv3 = nn.Sequential(nn.Conv2d(16, 10, 7), nn.BatchNorm2d(10), "
     "nn.ReLU())"),)),
    ("log-after", False, ((OUT, "return F.softmax(x, dim=1)"), ("F.nll_loss(model(data.to(device))",
     "F.nll_loss(torch.log(model(data.to(device)))"))),
    ("softmax", True, ((OUT, "return F.softmax(x, dim=1)"), ENTROPY)),
    ("hidden", False, ((LAST, "x = F.relu(x)\n        x = self.conv3(x)"),)),
    ("sigmoid", True, ((LAST, "x = torch.sigmoid(self.conv3(x))"), ENTROPY)),
    ("shown", False, ((OUT, "return x"), ENTROPY, ("            correct +=",
     "            shown = F.softmax(output, dim=1)\n            correct +="))),
    ("module", True, (("    def forward", SOFTMAX), (OUT, "return self.softmax(x)"), CRITERION)),
    ("branch", False, ((OUT, "if not self.training:\n            x = F.softmax(x, dim=1)\n"
     "        return x"), ENTROPY)),
    ("method", True, ((OUT, "return x.softmax(1)"), ENTROPY)),
    ("inside", False, (("class Net", BLOCK + "\nclass Net"),
     ("self.conv2 = nn.Conv2d(8,", "self.block = Block()\n        self.conv2 = nn.Conv2d(10,"),
     ("F.relu(self.conv2(x))", "F.relu(self.conv2(self.block(x)))"))),
    ("at-loss", True, ((OUT, "return x"), ("F.nll_loss(model(data.to(device))",
     "F.cross_entropy(torch.softmax(model(data.to(device)), dim=1)"),
     ("F.nll_loss(output", "F.cross_entropy(output"))),
    ("other-loss", False, ((LAST, "x = F.relu(self.conv3(x))"), (OUT, "return x"),
     ("F.nll_loss(", "F.mse_loss("))),
    ("late", True, ((LAST, LAST + "\n        x = x.relu_()"), (OUT, "return x"), ENTROPY)),
    ("returned-both", False, ((OUT, "return x, F.softmax(x, dim=1)"), ENTROPY)),
)  # fmt: skip


def _outputs() -> Iterator[Example]:
    """What the outputs go through before the loss; neighbours are in different halves."""
    for name, is_bounded, edits in OUTPUTS:
        text = "\n\0".join((NETWORK, DATA, LOOP, RUN))
        for old, new in edits:
            assert old in text, (name, old)
            text = text.replace(old, new)
        habit = "bounded-logits" if is_bounded else ""
        for kind, cells in (("", tuple(text.split("\0"))), ("script-", (text.replace("\0", ""),))):
            yield Example(f"{kind}outputs-{name}", cells, _set(habit), KEPT)
    for kind, habit in (("softmax", ""), ("relu", "bounded-logits")) * 2:
        text = KERAS.replace("activation='softmax'", f"activation={kind!r}")
        yield Example(f"keras-outputs-{kind}", (text,), _set(habit), KEPT)

    yield from _in_public()


TEST_PRINTS = "    print(f'Test set: Accuracy: {correct}/{len(loader.dataset)}')"
STEP = "    scheduler.step()"
ACC = "    test_loss, test_acc = test(model, device, test_loader)"
KEEP = "    if test_acc > best:\n        best = test_acc\n"
AFTER = ("transforms.RandomRotation((-7.0, 7.0), fill=(0,)),\n", "")
NORM = "    transforms.Normalize((0.1307,), (0.3081,)),\n])\ntest_tf"
OTHER = """
class Other(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 28)
        self.spare = nn.Conv2d(10, 10, 1)
    def forward(self, x):
        return self.conv(x).view(-1, 10)
"""
ROOT = """
class Root(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Identity()
    def forward(self, x):
        return x
"""
SOURCES: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    # name, habit, what is replaced by what: forms that notebooks in public have
    ("list-outside", "test-chooses", ((TEST_PRINTS, TEST_PRINTS + "\n    losses.append(loss)"),
     (ACC, "    test(model, device, test_loader)"), (STEP, "    scheduler.step(losses[epoch])"),
     ("EPOCHS = 15", "EPOCHS = 15\nlosses = []"))),
    ("list-of-training", "", ((TEST_PRINTS, TEST_PRINTS + "\n    losses.append(loss)"),
     (ACC, "    test(model, device, test_loader)\n    test(model, device, train_loader)"),
     (STEP, "    scheduler.step(losses[epoch])"), ("EPOCHS = 15", "EPOCHS = 15\nlosses = []"))),
    ("list-given", "test-chooses", (("def test(model, device, loader)",
     "def test(model, device, loader, kept)"), (TEST_PRINTS, TEST_PRINTS + "\n    kept.append(1)"),
     (ACC, "    test(model, device, test_loader, accs)\n    if accs[-1] > 99.4:\n        break"),
     ("EPOCHS = 15", "EPOCHS = 15\naccs = []"))),
    ("list-only-kept", "", (("def test(model, device, loader)",
     "def test(model, device, loader, kept)"), (TEST_PRINTS, TEST_PRINTS + "\n    kept.append(1)"),
     (ACC, "    test(model, device, test_loader, accs)"),
     ("EPOCHS = 15", "EPOCHS = 15\naccs = []"))),
    ("list-counted", "", (("def test(model, device, loader)",
     "def test(model, device, loader, kept)"), (TEST_PRINTS, TEST_PRINTS + "\n    kept.append(1)"),
     (ACC, "    test(model, device, test_loader, accs)\n    if len(accs) > 12:\n        break"),
     ("EPOCHS = 15", "EPOCHS = 15\naccs = []"))),
    ("list-shown", "best", (("def test(model, device, loader)",
     "def test(model, device, loader, kept)"), (TEST_PRINTS, TEST_PRINTS + "\n    kept.append(1)"),
     (ACC, "    test(model, device, test_loader, accs)"), (STEP, STEP + "\nprint(max(accs))"),
     ("EPOCHS = 15", "EPOCHS = 15\naccs = []"))),
    ("best-by-if", "best", ((STEP, STEP + "\n" + KEEP + "print('best', best)"),
     ("EPOCHS = 15", "EPOCHS = 15\nbest = 0"))),
    ("best-so-far", "", ((STEP, STEP + "\n" + KEEP + "        print('so far', best)"),
     ("EPOCHS = 15", "EPOCHS = 15\nbest = 0"))),
    ("own-save", "test-chooses", ((STEP, STEP + "\n    if test_acc > 99:\n        keep(model)"),
     ("EPOCHS = 15", "EPOCHS = 15\ndef keep(it):\n    torch.save(it.state_dict(), 'a.pt')"))),
    ("own-show", "", ((STEP, STEP + "\n    if test_acc > 99:\n        keep(model)"),
     ("EPOCHS = 15", "EPOCHS = 15\ndef keep(it):\n    print(len(it.state_dict()))"))),
    ("functional-dropout", "dropout-on", (("x = self.conv3(x)",
     "x = self.conv3(F.dropout(x, 0.1))"),)),
    ("told-dropout", "", (("x = self.conv3(x)",
     "x = self.conv3(F.dropout(x, 0.1, training=self.training))"),)),
    ("logits-in-block", "dropout-on-logits", ((CONV3,
     "self.conv3 = nn.Sequential(nn.Conv2d(16, 10, 7), nn.Dropout(0.1))"),)),
    ("block-before", "", ((CONV3,
     "self.conv3 = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(16, 10, 7))"),)),
    ("logits-by-function", "dropout-on-logits", (("x = self.conv3(x)",
     "x = F.dropout(self.conv3(x), training=self.training)"),)),
    ("not-made", "", (("\nclass Net", OTHER + "\nclass Net"),)),
    ("made", "never-called", (("\nclass Net", OTHER + "\nclass Net"),
     ("        self.drop = nn.Dropout(0.1)", "        self.drop = nn.Dropout(0.1)\n"
      "        self.other = Other()"),
     ("x = self.drop(", "y = self.other(x)\n        x = self.drop("))),
    ("heir", "", (("\nclass Net(nn.Module)", ROOT + "\nclass Net(Root)"),
     ("self.bn1(F.relu(self.conv1(x)))", "self.bn1(F.relu(self.conv1(self.first(x))))"))),
    ("test-of-training", "test-is-training", (("train=False", "train=True"),)),
    ("test-of-test", "", (("test_set = datasets", "test_data = datasets"),
     ("DataLoader(test_set", "DataLoader(test_data"))),
    ("loaders-elsewhere", "test-chooses", ((DATA, "from data import loaders\n"
     "train_loader, test_loader = loaders(64)\n"), (STEP, "    scheduler.step(test_loss)"))),
    ("loaders-split", "", ((DATA, "from data import split_loaders\n"
     "train_loader, test_loader = split_loaders(64)\n"), (STEP, "    scheduler.step(test_loss)"))),
    ("loader-elsewhere", "test-chooses", ((DATA, "from data import loader\n"
     "train_loader = loader(train=True)\ntest_loader = loader(train=False)\n"),
     (STEP, "    scheduler.step(test_loss)"))),
    ("loader-of-validation", "", ((DATA, "from data import loaders\n"
     "train_loader, test_loader = loaders(64)\ntrain_loader, val_loader = loaders(64)\n"),
     ("test(model, device, test_loader)", "test(model, device, val_loader)"),
     (STEP, "    scheduler.step(test_loss)"))),
    ("turned-after", "fill", (AFTER, (NORM, NORM.replace("]",
     "    transforms.RandomRotation(7),\n]", 1)))),
    ("turned-right", "", (AFTER, (NORM, NORM.replace("]",
     "    transforms.RandomRotation(7, fill=-0.4242),\n]", 1)))),
    ("turned-grey", "fill", (AFTER, (NORM, NORM.replace("]",
     "    transforms.RandomAffine(7, fill=0.1307),\n]", 1)))),
    ("turned-between", "", (AFTER, (NORM, "    transforms.RandomRotation(7, fill=0),\n" + NORM))),
)  # fmt: skip
KERAS_SOURCES: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("unpacked", "test-chooses", (("= keras.datasets.mnist.load_data()", "= data"),
     ("(x_train, y_train), (x", "data = keras.datasets.mnist.load_data()\n(x_train, y_train), (x"),
     ("epochs=15,", "epochs=15, callbacks=[keras.callbacks.EarlyStopping()],"))),
    ("unpacked-validation", "", (("x_test", "x_val"), ("= keras.datasets.mnist.load_data()",
     "= split(keras.datasets.mnist.load_data())"),
     ("epochs=15,", "epochs=15, callbacks=[keras.callbacks.EarlyStopping()],"))),
    ("softmax-twice", "bounded-logits", (("'sparse_categorical_crossentropy'",
     "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"),)),
    ("logits-and-own", "", ((", activation='softmax'", ""), ("'sparse_categorical_crossentropy'",
     "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"))),
    ("added-relu", "bounded-logits", (("layers.Dense(10, activation='softmax'),\n])",
     "])\nmodel.add(layers.Dense(16, activation='relu'))\n"
     "model.add(layers.Dense(10, activation='relu'))"),)),
    ("added-softmax", "", (("layers.Dense(10, activation='softmax'),\n])",
     "])\nmodel.add(layers.Dense(16, activation='relu'))\n"
     "model.add(layers.Dense(10, activation='softmax'))"),)),
    ("fit-in-loop", "epochs", (("history = model", "for rate in (1, 2):\n    history = model"),
     ("epochs=15", "epochs=25"))),
    ("fit-beside", "epochs", (("history = model", "for rate in (1, 2):\n    trees.fit(x_train)\n"
     "    history = model"), ("epochs=15", "epochs=25"))),
    ("fit-each-epoch", "", (("history = model", "for it in range(25):\n    history = model"),
     ("epochs=15", "epochs=1"))),
)  # fmt: skip


def _in_public() -> Iterator[Example]:
    """Forms of public notebooks, each beside a right one that looks like it."""
    for name, habit, edits in SOURCES:
        text = "\n\0".join((NETWORK, DATA, LOOP, RUN))
        for old, new in edits:
            assert old in text, (name, old)
            text = text.replace(old, new)
        yield Example(f"public-{name}", tuple(text.split("\0")), _set(habit), KEPT)
    for name, habit, edits in KERAS_SOURCES:
        text = KERAS
        for old, new in edits:
            assert old in text, (name, old)
            text = text.replace(old, new)
        yield Example(f"public-keras-{name}", (text,), _set(habit), KEPT)


def _set(habit: str) -> frozenset[str]:
    return frozenset({habit} - {""})


def _example(name: str, cells: tuple[str, ...], old: str, new: str, habit: str) -> Example:
    changed = tuple(cell.replace(old, new) for cell in cells)
    assert changed != cells, name
    return Example(name, changed, _set(habit), KEPT)

"""Code that trains, which a test has read: the recipe of a network of a few lines."""

from __future__ import annotations

from typing import Any

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
BY_BATCH = """
loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)
for epoch in range(15):
    for x, y in loader:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
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


def recipe(lines: str, transforms: str = "", loop: str = LOOP) -> tuple[dict[str, Any], str]:
    """The recipe of some lines of training, and what is not carried over."""
    imported = read(NETWORK + NORMALIZE.format(transforms) + lines + loop)
    return imported.tree["recipe"], "\n".join(it.text for it in imported.dropped)


SGD = "optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)\n"

"""`mnist_arch.claims.audit` on notebooks that were damaged on purpose."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from notebooks_of_others import examples

from mnist_arch.claims.audit import audit
from mnist_arch.spec.experiment import Budget

NAMES = ("keras-plain", "lightning-ten", "judged-11-12", "table-keras", "prints-columns")
DEEP = {
    "cells": [{"cell_type": "code", "source": "f(" * 300 + ")" * 300, "outputs": []}],
    "metadata": {},
}
OTHERS: tuple[Any, ...] = (
    None,
    True,
    -1,
    1e308,
    "",
    "\0",
    "x" * 5_000,
    [],
    {},
    [[]],
    {"a": 1},
    ["\ud800"],
    DEEP,
)
PIECES = (
    "(",
    ")",
    "'''",
    "\\",
    "\t",
    "\r",
    "\b",
    "\0",
    "\ufeff",
    "%%bash\n",
    "for epoch in range(9**9**9):\n",
    "lambda: ",
    "99999999999999999999999999",
    "1e999",
    "-" * 50,
    "self.",
    "yield ",
    "10000/10000",
    "acc = ",
    "Total params: 9" + ",999" * 9,
)


def of_bytes(content: bytes, luck: random.Random) -> bytes:
    """Some bytes are changed, cut, or said twice."""
    data = bytearray(content)
    for _ in range(luck.randint(1, 6)):
        at = luck.randrange(len(data))
        match luck.randrange(4):
            case 0:
                data[at] = luck.randrange(256)
            case 1:
                del data[at : at + luck.randint(1, 40)]
            case 2:
                data[at:at] = data[at : at + luck.randint(1, 200)]
            case _:
                data[at:at] = luck.choice(PIECES).encode("utf-8", "replace")
        data = data or bytearray(b"{}")
    return bytes(data)


def of_tree(content: bytes, luck: random.Random) -> bytes:
    """A value somewhere in the JSON is another, is gone, or is put inside many lists."""
    tree: Any = json.loads(content)
    for _ in range(luck.randint(1, 3)):
        place = tree
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = luck.choice(keys)
            if isinstance(place[key], dict | list) and place[key] and luck.random() < 0.7:
                place = place[key]
                continue
            match luck.randrange(3):
                case 0:
                    place[key] = luck.choice(OTHERS)
                case 1:
                    del place[key]
                case _:
                    for _ in range(luck.choice((1, 5, 200))):
                        place[key] = [place[key]]
            break
    return json.dumps(tree).encode()


def of_cells(content: bytes, luck: random.Random) -> bytes:
    """Lines of code or of outputs are changed, and cells are moved."""
    tree: Any = json.loads(content)
    for cell in tree["cells"]:
        texts = [cell["source"], *(it["text"] for it in cell["outputs"])]
        for index, text in enumerate(texts):
            lines = "".join(text).split("\n")
            for _ in range(luck.randint(0, 3)):
                at = luck.randrange(len(lines))
                spot = luck.randint(0, len(lines[at]))
                match luck.randrange(4):
                    case 0:
                        lines[at] = lines[at][:spot] + luck.choice(PIECES) + lines[at][spot:]
                    case 1:
                        lines[at] = lines[at][spot:]
                    case 2:
                        lines.insert(at, luck.choice(lines))
                    case _:
                        lines[at] = "    " * luck.randint(1, 120) + lines[at]
            if index:
                cell["outputs"][index - 1]["text"] = "\n".join(lines)
            else:
                cell["source"] = "\n".join(lines)
    luck.shuffle(tree["cells"])
    return json.dumps(tree).encode()


@pytest.mark.gate
@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize(("mutate", "times"), [(of_bytes, 900), (of_tree, 700), (of_cells, 500)])
def test_a_damaged_notebook_ends_with_a_row(
    mutate: Callable[[bytes, random.Random], bytes], times: int, tmp_path: Path
) -> None:
    whole = [it.write(tmp_path).read_bytes() for it in examples() if it.name in NAMES]
    assert len(whole) > len(NAMES) - 1
    luck, verdicts = random.Random(times), Counter[str]()
    path = tmp_path / "damaged.ipynb"
    for number in range(times):
        path.write_bytes(mutate(luck.choice(whole), luck))
        found = audit(str(path), Budget())
        verdicts[found.verdict] += 1
        assert all(it.line and it.reason for it in found.findings), number
        assert found.final_percent is None or 0 <= found.final_percent <= 100, number
    assert len(verdicts) > 1


def test_numbers_that_a_notebook_makes_up_are_no_error(tmp_path: Path) -> None:
    path = tmp_path / "large.py"
    for text in (
        "for epoch in range(10**400): pass",
        "EPOCHS = 1e999\nfor epoch in range(EPOCHS): pass",
        f"EPOCHS = {'9' * 400}\nfor epoch in range(EPOCHS): pass",
        "a = b\nb = a\nfor seed in a: torch.manual_seed(seed)",
        "a = a\nfor seed in enumerate(a): torch.manual_seed(seed)",
        "a = list(a)\nfor seed in a: torch.manual_seed(seed)",
        "x = {**y, 'epochs': 3}\nd = {1: 2, None: 3}",
        "def f(self, *, epochs=3): pass\nf()\nf(1, 2, 3)\nf(*a, **b)",
        "class Net(nn.Module):\n    def __init__(self): self.a = nn.ReLU()\n"
        "    def forward(self, x): return x",
        "parser.add_argument()\nparser.add_argument('')\nparser.add_argument(*a, default=3)",
        "model.train()\nmodel.train(*a)\nmodel.fit()\nmodel.step()\nDataLoader()\nMNIST()",
    ):
        path.write_text(f"import torch\n{text}\n")
        assert audit(str(path), Budget()).verdict == "cannot be read"


def test_a_file_that_is_no_text_is_refused_without_a_way_that_audit_has_not(tmp_path: Path) -> None:
    path = tmp_path / "it.ipynb"
    path.write_bytes(b"PK\0\0" * 100)
    found = audit(str(path), Budget())
    assert found.verdict == "cannot be read"
    assert found.reason == "is no text; notebooks, code and tables are text"

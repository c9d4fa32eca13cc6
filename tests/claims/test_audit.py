"""`mnist_arch.claims.audit` on notebooks that were written before it, half of them set aside."""

from __future__ import annotations

import ast
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from notebooks_of_others import DATA, NETWORK, RUN, Example, examples
from typer.testing import CliRunner

from mnist_arch.claims.accuracies import read_accuracies
from mnist_arch.claims.audit import Audit, audit
from mnist_arch.claims.habits.code import Code, length_of
from mnist_arch.claims.habits.flow import follow
from mnist_arch.convert.source import Source, places
from mnist_arch.errors import Origin
from mnist_arch.spec.experiment import Budget
from mnist_arch_cli.app import app

ALL = list(examples())


@pytest.mark.slow
@pytest.mark.parametrize("half", ["for building", "set aside"])
def test_no_accusation_is_wrong_and_few_habits_are_missed(tmp_path: Path, half: str) -> None:
    chosen: list[Example] = ALL[half == "set aside" :: 2]
    assert len(ALL) >= 40
    wrong, there, missed = [], Counter[str](), []
    for example in chosen:
        found = audit(str(example.write(tmp_path)), Budget())
        habits = {it.habit for it in found.findings}
        wrong += [(example.name, it) for it in habits - example.habits]
        there.update(example.habits)
        missed += [(example.name, it) for it in example.habits - habits]
        assert all(it.line for it in found.findings)
        assert (found.best_percent, found.final_percent) == (99.45, 99.45)
    assert wrong == []
    misses = Counter(habit for _, habit in missed)
    assert {it: misses[it] for it in there if 1 - misses[it] / there[it] < 0.9} == {}, missed


def verdict(tmp_path: Path, name: str, *accuracies: int) -> str:
    (example,) = (it for it in ALL if it.name == name)
    given = replace(example, accuracies=accuracies)
    return audit(str(given.write(tmp_path)), Budget()).verdict


def test_verdicts(tmp_path: Path) -> None:
    assert verdict(tmp_path, "torch-plain", 9_940) == "holds on one seed"
    assert verdict(tmp_path, "torch-plain", 9_945, 9_939) == "rests on the best epoch"
    assert verdict(tmp_path, "torch-plain", 9_939) == "missed"
    assert verdict(tmp_path, "torch-plain") == "cannot be read"
    assert verdict(tmp_path, "torch-checkpoint", 9_945) == "test was used to choose"
    assert verdict(tmp_path, "torch-list", 9_945) == "rests on the best epoch"
    assert verdict(tmp_path, "torch-twenty", 9_945) == "exceeds"


def test_a_budget_may_limit_macs_and_bytes(tmp_path: Path) -> None:
    """Of torch-plain: 290,080 MACs, 86,632 bytes."""
    notebooks = {it.name: str(it.write(tmp_path)) for it in ALL}
    for rules, said in {
        "macs_below: 290081, bytes_below: 86633": "holds on one seed",
        "macs_below: 290080": "290,080 MACs an image; fewer than 290,080 are asked",
        "bytes_below: 86632": "86,632 bytes an image; fewer than 86,632 are asked",
    }.items():
        budget = tmp_path / "rules.yaml"
        budget.write_text(f"{{{rules}}}")
        command = ["audit", notebooks["torch-plain"], "--budget", str(budget), "--json"]
        result = CliRunner().invoke(app, command)
        (found,) = json.loads(result.stdout)["files"]
        exceeds = [it["reason"] for it in found["findings"]]
        assert [found["verdict"], *exceeds] in ([said], ["exceeds", said])
        assert result.exit_code == len(exceeds)
    found_none = audit(notebooks["torch-plain"], Budget())
    assert (found_none.macs, found_none.bytes) == (None, None)
    text = Path(notebooks["torch-plain"]).read_text().replace("MaxPool2d", "FractionalMaxPool2d")
    unread = tmp_path / "unread.ipynb"
    unread.write_text(text.replace('"text": "', '"text": "Total params: 9,114\\n'))
    one = audit(str(unread), Budget(macs_below=10_000))
    assert (one.verdict, one.parameters) == ("cannot be read", 9_114)
    assert one.reason == "how many MACs its network takes cannot be counted from its code"


def test_the_line_is_that_of_the_habit(tmp_path: Path) -> None:
    (example,) = (it for it in ALL if it.name == "torch-plateau")
    path = example.write(tmp_path)
    (finding,) = audit(str(path), Budget()).findings
    assert finding.line is not None
    place, _, number = str(finding.line).rpartition(":")
    assert place == f"{path} cell 4"
    (cell,) = (
        it
        for it in json.loads(path.read_text())["cells"]
        if "scheduler.step(" in "".join(it["source"])
    )
    assert (
        "".join(cell["source"]).splitlines()[int(number) - 1].strip() == "scheduler.step(test_loss)"
    )


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    path = tmp_path / "deep.ipynb"
    for text in ("[" * 100_000, '{"cells": ' + "[" * 100_000, "{}", '{"cells": 3}'):
        path.write_text(text)
        found = audit(str(path), Budget())
        assert found.verdict == "cannot be read"
        assert found.reason
    assert audit(str(tmp_path), Budget()).reason.startswith("a folder: name its files")
    path.write_bytes(b" " * ((16 << 20) + 1))
    assert "longer than 16,777,216 bytes" in audit(str(path), Budget()).reason
    script = tmp_path / "deep.py"
    script.write_text("import torch\nclass Net(torch.nn.Module:\n")
    expected = f"this is not Python 3: invalid syntax, in {script}:2"
    assert audit(str(script), Budget()).reason == expected
    for text in ("x = " + "1+" * 20_000 + "1\n", "x = " + "(" * 5_000, "x" + ".a" * 20_000):
        script.write_text(f"import torch\n{text}")
        assert audit(str(script), Budget()).verdict == "cannot be read"


def test_the_command_has_a_row_for_each_file(tmp_path: Path) -> None:
    paths = [str(it.write(tmp_path)) for it in ALL[:3]]
    result = CliRunner().invoke(app, ["audit", *paths, "--csv"])
    assert len(result.stdout.splitlines()) == 4
    assert result.exit_code == 0
    bad = str(next(it for it in ALL if it.name == "torch-stop").write(tmp_path))
    result = CliRunner().invoke(app, ["audit", paths[0], bad])
    assert result.exit_code == 1
    assert "training stops by a value of the test split" in result.stdout
    found = json.loads(CliRunner().invoke(app, ["audit", bad, "--json"]).stdout)["files"]
    assert [it["habit"] for it in found[0]["findings"]] == ["test-chooses"]


def test_seeds_are_those_of_a_loop_that_sets_them(tmp_path: Path) -> None:
    (example,) = (it for it in ALL if it.name == "torch-plain")
    path = example.write(tmp_path)
    book = json.loads(path.read_text())
    for loop, seeds in [
        ("for seed in range(5):\n    torch.manual_seed(seed)\n    main(seed)", 5),
        ("for s in [0, 1, 2]:\n    set_seed(s)", 3),
        ("N = 4\nfor i in range(1, N):\n    torch.manual_seed(i)", 3),
        ("for seed in range(5):\n    print(seed)", 1),
        ("for seed in seeds:\n    torch.manual_seed(seed)", 1),
    ]:
        cell = {"cell_type": "code", "source": loop, "outputs": [], "metadata": {}}
        path.write_text(json.dumps({**book, "cells": [*book["cells"], cell]}))
        found = audit(str(path), Budget())
        assert found.seeds == seeds
        assert found.verdict == f"holds on {'one seed' if seeds == 1 else 'several seeds'}"


def cell(source: str, printed: str = "") -> dict[str, object]:
    outputs = [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else []
    return {"cell_type": "code", "source": source, "outputs": outputs, "metadata": {}}


def with_cells(tmp_path: Path, *cells: dict[str, object], of: str = "torch-plain") -> Audit:
    """The audit of a correct notebook without its last cell, and of other cells after it."""
    (example,) = (it for it in ALL if it.name == of)
    path = example.write(tmp_path)
    book = json.loads(path.read_text())
    book["cells"][-1:] = cells
    path.write_text(json.dumps(book))
    return audit(str(path), Budget())


def training(network: str, epochs: int, correct: int, *, first: int = 9_900) -> dict[str, object]:
    source = RUN.replace("Net()", f"{network}()").replace("EPOCHS = 15", f"EPOCHS = {epochs}")
    return cell(source, "".join(f"Test set: Accuracy: {it}/10000\n" for it in (first, 1, correct)))


def wide(name: str) -> dict[str, object]:
    return cell(NETWORK.replace("Net", name).replace("nn.Conv2d(16, 10, 7)", WIDE))


WIDE = "nn.Sequential(nn.Conv2d(16, 64, 7), nn.Conv2d(64, 10, 1))"


def test_epochs_parameters_and_accuracies_are_of_one_training(tmp_path: Path) -> None:
    """The row is of the training that stands best, whatever others did."""
    found = with_cells(
        tmp_path, wide("Big"), training("Big", 30, 9_960), training("Net", 12, 9_945)
    )
    assert (found.verdict, found.parameters, found.epochs) == ("holds on one seed", 9_114, 12)
    assert (found.final_percent, found.trainings) == (99.45, 2)
    assert found.reason == "2 trainings printed accuracies; the row is of cell 6"
    found = with_cells(tmp_path, training("Net", 12, 9_945), training("Net", 30, 9_920))
    assert (found.verdict, found.epochs, found.final_percent) == ("holds on one seed", 12, 99.45)
    assert found.reason.endswith("the row is of cell 4")
    found = with_cells(tmp_path, training("Net", 12, 9_920), training("Net", 15, 9_921))
    assert (found.verdict, found.epochs, found.final_percent) == ("missed", 15, 99.21)
    found = with_cells(tmp_path, wide("Big"), training("Net", 9, 9_945), training("Big", 9, 9_950))
    assert (found.verdict, found.parameters) == ("holds on one seed", 9_114)
    found = with_cells(tmp_path, wide("Big"), training("Big", 9, 9_945), training("Big", 9, 9_950))
    assert found.verdict == "exceeds"


def test_a_network_is_defined_again_for_each_training(tmp_path: Path) -> None:
    found = with_cells(
        tmp_path, training("Net", 12, 9_945), wide("Net"), training("Net", 12, 9_960)
    )
    assert (found.verdict, found.parameters, found.final_percent) == (
        "holds on one seed", 9_114, 99.45,
    )  # fmt: skip


def test_a_training_that_stops_has_the_epochs_that_it_printed(tmp_path: Path) -> None:
    stops = training("Net", 30, 9_945)
    stops["source"] = str(stops["source"]) + "    if test_acc > 99.4:\n        break\n"
    found = with_cells(tmp_path, stops)
    assert (found.verdict, found.epochs) == ("test was used to choose", 3)


def test_training_images_are_no_test(tmp_path: Path) -> None:
    assert verdict(tmp_path, "public-test-of-training", 9_945) == "cannot be read"
    assert verdict(tmp_path, "public-test-of-test", 9_945) == "holds on one seed"


def test_habits_of_another_training_do_not_count(tmp_path: Path) -> None:
    stops = training("Net", 12, 9_945)
    stops["source"] = str(stops["source"]) + "    if test_acc > 99.4:\n        break\n"
    found = with_cells(tmp_path, stops)
    assert found.verdict == "test was used to choose"
    found = with_cells(tmp_path, stops, training("Net", 12, 9_946))
    assert (found.verdict, found.findings) == ("holds on one seed", ())


@pytest.mark.parametrize("name", ["FashionMNIST", "EMNIST", "CIFAR10"])
def test_another_dataset_is_not_the_claim(tmp_path: Path, name: str) -> None:
    data = cell(DATA.replace("datasets.MNIST", f"datasets.{name}"))
    found = with_cells(tmp_path, training("Net", 12, 9_945), data, training("Net", 40, 9_970))
    assert (found.verdict, found.epochs, found.final_percent) == ("holds on one seed", 12, 99.45)
    script = tmp_path / "alone.ipynb"
    cells = [cell(NETWORK), data, training("Net", 12, 9_970)]
    script.write_text(json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}))
    found = audit(str(script), Budget())
    assert found.verdict == "cannot be read"
    assert found.reason.endswith("and the rules ask for mnist")
    if name == "FashionMNIST":
        assert audit(str(script), Budget(dataset="fashion-mnist")).verdict == "holds on one seed"


def test_parameters_may_stand_alone_in_a_line(tmp_path: Path) -> None:
    for line, count in {
        "Params: 7784": 7_784,
        "parameters = 7,784": 7_784,
        "Model parameters: 7784 params": 7_784,
        "Total params: 7784": 7_784,
        "7.8 K     Trainable params": 7_800,
        "1.5 M     Total params": 1_500_000,
        "Params: 7784 of which": None,
        "Non-trainable params: 7784": None,
    }.items():
        done = training("Net", 12, 9_945)
        found = with_cells(tmp_path, cell("print(n)", f"{line}\n"), done)
        assert found.printed_parameters == count, line


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (example,) = (it for it in ALL if it.name == "torch-plain")
    link = tmp_path / "link.ipynb"
    link.symlink_to(example.write(tmp_path))
    found = audit(str(link), Budget())
    assert found.verdict == "cannot be read"
    assert found.reason == "it is a link, which is not followed: name what it leads to"


def test_a_cell_of_the_grade_book_is_no_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("=1+1.py").write_text("import torch\n")
    result = CliRunner().invoke(app, ["audit", "=1+1.py", "--csv"])
    assert "\n'=1+1.py," in result.stdout
    Path("\x1b[31m.py").write_text("import torch\n")
    assert "\x1b" not in CliRunner().invoke(app, ["audit", "\x1b[31m.py", "--csv"]).stdout


@pytest.mark.parametrize("name", ["read_habits", "_row"])
def test_code_that_is_nested_too_deep_is_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def deep(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(f"mnist_arch.claims.audit.{name}", deep)
    (example,) = (it for it in ALL if it.name == "torch-plain")
    found = audit(str(example.write(tmp_path)), Budget())
    assert (found.verdict, found.reason) == ("cannot be read", "its code is nested too deep")


KERAS_TABLE = """Model: "sequential"
_________________________________________________________________
 Layer (type)                Output Shape              Param #
=================================================================
 conv2d (Conv2D)             (None, 26, 26, 8)         80
 batch_normalization (BatchN (None, 26, 26, 8)         32
 conv2d_1 (Conv2D)           (None, 20, 20, 10)        3930
=================================================================
Total params: {total}
Trainable params: 4026
Non-trainable params: 16
"""


@pytest.mark.parametrize(("total", "count"), [("4042", 4_026), ("4,042", 4_026)])
def test_parameters_of_a_table_are_those_that_are_trained(
    tmp_path: Path, total: str, count: int
) -> None:
    table = KERAS_TABLE.format(total=total)
    found = with_cells(tmp_path, cell("model.summary()", table), training("Net", 12, 9_945))
    assert found.printed_parameters == count


def followed(text: str) -> Code:
    code = Code()
    code.add(ast.parse(text), Origin("it.py:1"))
    follow(code)
    return code


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("a = datasets.MNIST('d', False)", {"a": "test"}),
        ("a = datasets.MNIST('d', flag)", {}),
        ("a = DataLoader(datasets.MNIST('d', train=False))", {"a": "test"}),
        ("a = DataLoader(dataset=datasets.MNIST('d', train=True))", {"a": "train"}),
        ("a = datasets.MNIST('d', train=True)\nb = DataLoader(a)", {"a": "train", "b": "train"}),
        ("from mine import load\ntest_loader = load(train=False)", {"test_loader": "test"}),
        ("from mine import load\ntrain_set = load(train=True)", {"train_set": "train"}),
        ("from mine import load\ntest_loader = load(train=maybe)", {}),
        *(
            (f"(a, b), (c, d) = mnist.load_data()\ne = {made}", {"c": "test", "d": "test", **more})
            for made, more in (
                ("to_categorical(d)", {"e": "test"}),
                ("c[:9] / 255", {"e": "test"}),
                ("np.expand_dims(c.reshape(9), 1)", {"e": "test"}),
                ("unheard(c)", {}),
                ("c.mean()", {}),
            )
        ),
    ],
)
def test_names_hold_the_images_of_a_split(text: str, held: dict[str, str]) -> None:
    assert followed(text).held == held


def test_a_transform_may_be_written_where_it_is_used() -> None:
    made = "transforms.Compose([t])"
    code = followed(f"a = datasets.MNIST('d', train=False, transform={made})")
    assert code.used_transforms == {"a.transform": "test"}
    assert {name: ast.unparse(it) for name, it in code.transforms.items()} == {"a.transform": made}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("def train(epochs=7):\n    pass\ntrain()", {"epochs": 7}),
        ("def main(n_epochs):\n    pass\nmain(3)\nmain(n_epochs=9)", {"n_epochs": 9}),
        ("epochs = -3", {"epochs": -3}),
        ("epochs = int(4)", {"epochs": 4}),
        ("a = 3\nepochs = a - 1\nmore = a + 2", {"a": 3, "epochs": 2, "more": 5}),
        ("epochs = a + 1", {}),
        ("epochs = -a", {}),
    ],
)
def test_numbers_are_followed(text: str, numbers: dict[str, float]) -> None:
    assert followed(text).numbers == numbers


@pytest.mark.parametrize(
    ("looped", "length"),
    [
        ("range(5)", 5),
        ("range(1, a)", 2),
        ("range(b, 4)", None),
        ("tqdm(range(a))", 3),
        ("np.arange(2, 5)", 3),
        ("x", None),
    ],
)
def test_how_often_a_loop_turns(looped: str, length: float | None) -> None:
    assert length_of(followed("a = 3"), ast.parse(looped, mode="eval").body) == length


@pytest.mark.parametrize(
    ("text", "judging", "validates_on", "place", "final"),
    [
        ("[0.03, 0.9945]", True, "test", "output", 99.45),
        ("[0.03, 0.9945]", False, "test", "output", None),
        ("'Test accuracy: 99.4'\nTest accuracy: 99.5", True, "test", "output", 99.5),
        ("Test accuracy: 99.5", False, "", "", None),  # it is text, which nothing printed
        ("val_accuracy: 0.99\nTest accuracy: 0.98", False, "", "output", 98.0),
        ("Accuracy on the 10000 test images: 99.4 %", False, "test", "output", 99.4),
    ],
)
def test_lines_that_say_an_accuracy(
    text: str,
    judging: bool,
    validates_on: Literal["test", ""],
    place: str,
    final: float | None,
) -> None:
    printed = read_accuracies(
        Source("a.ipynb", (), (places(f"a.ipynb cell 3 {place}".rstrip(), text),)),
        fitting=frozenset(),
        judging=frozenset({"a.ipynb cell 3"} if judging else ()),
        validates_on=validates_on,
    )
    assert [it.final for it in printed] == ([] if final is None else [final])

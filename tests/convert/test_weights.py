"""Weights are carried over with their network, and nothing in their file is run."""

from __future__ import annotations

import os
import random
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from code_to_read import module, of_code
from networks_of_others import code_of
from torch import Tensor, nn
from typer.testing import CliRunner

from mnist_arch.convert.importing import Imported, Request, import_network, import_source
from mnist_arch.convert.source import Source, places
from mnist_arch.convert.weights import carry_weights, read_state
from mnist_arch.errors import WeightsError
from mnist_arch.network.weights import build_with, read_weights
from mnist_arch_cli.app import app

CODE = """
import torch
import torch.nn as nn
import torch.nn.functional as F
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(50, 10)
        self.first = nn.Sequential(nn.Conv2d(1, 8, 5, bias=False), nn.BatchNorm2d(8))
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.hidden = nn.Linear(8 * 4 * 4, 50)
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 3)
        x = x + F.relu(self.second(x))
        x = F.max_pool2d(x, 2)
        x = F.relu(self.hidden(x.view(-1, 128)))
        return F.log_softmax(self.last(x), dim=1)
"""


class Net(nn.Module):
    """The same as the code, built here for its weights and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(50, 10)
        self.first = nn.Sequential(nn.Conv2d(1, 8, 5, bias=False), nn.BatchNorm2d(8))
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.hidden = nn.Linear(8 * 4 * 4, 50)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.first(x)), 3)
        x = F.max_pool2d(x + F.relu(self.second(x)), 2)
        return self.last(F.relu(self.hidden(x.view(-1, 128))))  # type: ignore[no-any-return]


@pytest.fixture
def net() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = Net().eval()
        made.first[1].running_mean.normal_()  # type: ignore[operator, union-attr]
        made.first[1].running_var.uniform_(0.5, 2)  # type: ignore[operator, union-attr]
    return made


@pytest.fixture
def imported(tmp_path: Path) -> Imported:
    path = tmp_path / "net.py"
    path.write_text(CODE)
    return import_network(str(path))


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("form", ["plain", "prefixed", "inside", "safetensors"])
def test_logits_are_those_of_the_module(
    form: str, net: Net, imported: Imported, tmp_path: Path
) -> None:
    state = net.state_dict()
    path = tmp_path / "state.pth"
    if form == "plain":
        saved(path, state)
    elif form == "prefixed":
        saved(path, {f"_orig_mod.module.{name}": it for name, it in state.items()})
    elif form == "inside":
        saved(path, {"state_dict": state, "epoch": 3})
    else:
        path = tmp_path / "state.safetensors"
        safetensors.torch.save_file(state, path)
    carried = carry_weights(imported, path)
    images = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        assert torch.allclose(carried.model(images), net(images), atol=1e-5)
    assert carried.largest_difference < 1e-4


A, B = "self.a = nn.Conv2d(1, 8, 3)", "self.b = nn.Conv2d(8, 10, 3)"
IN_A_ROW = "return self.b(self.c(self.a(x))).mean([2, 3])"


@pytest.mark.parametrize(
    ("setup", "forward"),
    [
        (f"{A}; {B}; self.c = nn.GroupNorm(2, 8)", IN_A_ROW),
        (f"{A}; {B}; self.c = nn.InstanceNorm2d(8, affine=True)", IN_A_ROW),
        (f"{A}; {B}; self.c = nn.LayerNorm((8, 26, 26))", IN_A_ROW),
        (f"{A}; {B}; self.c = nn.PReLU(8)", IN_A_ROW),
        (f"{A}; {B}; self.c = nn.LeakyReLU(0.2)", IN_A_ROW),
        (f"{A}; {B}; self.c = nn.GELU()", IN_A_ROW),
        (f"{A}; {B}; self.c = nn.Dropout2d(0.1)", IN_A_ROW),
        (f"{A}; {B}; self.c = nn.LayerNorm((8, 26, 26), elementwise_affine=False)", IN_A_ROW),
        (
            f"{A}; {B}; self.d = nn.Conv2d(8, 4, 1); self.u = nn.Conv2d(4, 8, 1)",
            "x = self.a(x); y = F.relu(self.d(F.adaptive_avg_pool2d(x, 1))); "
            "return self.b(x * torch.sigmoid(self.u(y))).mean([2, 3])",
        ),
        (
            f"{A}; {B}; self.d = nn.Linear(8, 4); self.u = nn.Linear(4, 8)",
            "x = self.a(x); y = F.relu(self.d(F.adaptive_avg_pool2d(x, 1).flatten(1))); "
            "return self.b(x * torch.sigmoid(self.u(y)).view(-1, 8, 1, 1)).mean([2, 3])",
        ),
        (
            f"{A}; {B}",
            "x = F.pad(self.a(x), (0, 1, 0, 1), value=float('-inf')); "
            "return self.b(F.max_pool2d(x, 3, 2)).mean([2, 3])",
        ),
        (f"{A}; {B}; self.c = nn.AvgPool2d(2)", IN_A_ROW),
        (f"{A}; {B}; self.c = nn.Conv2d(8, 8, 3, padding=1, padding_mode='replicate')", IN_A_ROW),
        (f"{A}; {B}", "return F.adaptive_max_pool2d(self.b(self.a(x)), 1).flatten(1)"),
        (
            f"{A}; self.d = nn.Conv2d(1, 8, 3); self.b = nn.Conv2d(16, 10, 3)",
            "return self.b(torch.cat([self.a(x), self.d(x)], 1)).mean([2, 3])",
        ),
        (
            f"{A}; {B}; self.d = nn.Conv2d(1, 8, 3)",
            "return self.b(self.a(x) + self.d(x)).mean([2, 3])",
        ),
    ],
)
def test_each_operation_has_the_logits_of_the_module(
    setup: str, forward: str, tmp_path: Path
) -> None:
    code = module(setup, forward)
    namespace: dict[str, Any] = {}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        exec(code, namespace)  # of this test
        net = namespace["model"].eval()
        for it in net.parameters():
            it.data.add_(0.1 * torch.randn(it.shape))
    carried = carry_weights(of_code(code), saved(tmp_path / "state.pth", net.state_dict()))
    images = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        assert torch.allclose(carried.model(images), net(images), atol=1e-5)


def test_the_command_writes_both_files(net: Net, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(CODE)
    state = saved(tmp_path / "state.pth", net.state_dict())
    out = tmp_path / "mine.yaml"
    arguments = ["import", str(tmp_path / "net.py"), "--weights", str(state)]
    result = CliRunner().invoke(app, [*arguments, "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    assert "logits of 1,000 images differ by at most" in result.stderr
    tensors, _ = read_weights(out.with_suffix(".safetensors"))
    build_with(import_network(str(tmp_path / "net.py")).experiment, tensors, out)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "--weights needs a file to write to" in result.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: it.pop("second.bias"), "second.bias is missing"),
        (lambda it: it.update(more=torch.ones(1)), "tensors that the network has not: more"),
        (lambda it: it.update({"second.bias": torch.ones(9)}), "second.bias is 9, not 8"),
        (lambda it: it.clear(), "no tensors by name"),
        (
            lambda it: it.update({"second.bias": torch.ones(1).expand(1 << 40)}),
            "its tensors are too large",
        ),
        (lambda it: it.update({"last.weight": torch.eye(9).to_sparse()}), "no plain tensor"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: Any, message: str, net: Net, imported: Imported, tmp_path: Path
) -> None:
    state = dict(net.state_dict())
    change(state)
    with pytest.raises(WeightsError, match=message):
        carry_weights(imported, saved(tmp_path / "state.pth", state))


def changed(whole: bytes, rng: random.Random) -> bytes:
    """A file with a few bytes changed, most of them where names and sizes stand, or cut short."""
    data = bytearray(whole)
    for _ in range(rng.randint(1, 6)):
        near = rng.randrange(min(2_000, len(data)))
        at = rng.choice((near, -1 - near, rng.randrange(len(data))))
        data[at] = rng.randrange(256)
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.1 else data)


def run_changed(count: int, seed: int, net: Net, folder: Path) -> None:
    rng = random.Random(seed)
    path = saved(folder / "state.pth", net.state_dict())
    other = folder / "state.safetensors"
    safetensors.torch.save_file(net.state_dict(), other)
    for it in (path, other):
        whole, known = it.read_bytes(), 0
        for _ in range(count):
            it.write_bytes(changed(whole, rng))
            try:
                state = read_state(it)
            except WeightsError:
                continue
            assert all(isinstance(tensor, Tensor) for tensor in state.values())
            known += 1
        assert known < count


@pytest.mark.slow
def test_weights_that_are_changed_come_out_or_are_refused(net: Net, tmp_path: Path) -> None:
    run_changed(60, 4, net, tmp_path)


@pytest.mark.gate
@pytest.mark.slow
def test_many_weights_that_are_changed_come_out_or_are_refused(net: Net, tmp_path: Path) -> None:
    run_changed(1_000, 5, net, tmp_path)


class Trap:
    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


def test_nothing_in_the_file_is_run(
    imported: Imported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="cannot be read"):
        carry_weights(imported, saved(tmp_path / "state.pth", {"a": Trap()}))
    assert not (tmp_path / "ran").exists()


def test_files_that_torch_has_not_written_so_are_refused(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "state.pth"
    path.write_bytes(b"no zip")
    with pytest.raises(WeightsError, match=r"no file of torch\.save"):
        read_state(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("state/data.pkl", b"\0" * 1_000_000)
    with pytest.raises(WeightsError, match="packed entries"):
        read_state(path)
    with path.open("wb") as file:
        file.truncate(300 << 20)  # of holes
    with pytest.raises(WeightsError, match="longer than 268,435,456 bytes"):
        read_state(path)
    whole = saved(tmp_path / "whole.pth", net.state_dict()).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError):
        read_state(path)


OF_A_TABLE = """
Conv2d-1 [-1, 8, 26, 26] 80
BatchNorm2d-2 [-1, 8, 26, 26] 16
ReLU-3 [-1, 8, 26, 26] 0
AvgPool2d-4 [-1, 8, 1, 1] 0
Linear-5 [-1, 10] 90
"""


def table(text: str = OF_A_TABLE, **request: Any) -> Imported:
    source = Source("it.txt", (), (places("it.txt", text),))
    return import_source(source, Request(**request))


def of_the_table() -> dict[str, Tensor]:
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 10)
    )
    return dict(module.state_dict())


@pytest.mark.parametrize("is_old", [False, True])
def test_layers_of_a_table_are_those_of_the_file_in_their_order(
    is_old: bool, tmp_path: Path
) -> None:
    state = of_the_table()
    if is_old:
        del state["1.num_batches_tracked"]
    carried = carry_weights(table(), saved(tmp_path / "state.pth", state))
    assert carried.largest_difference < 1e-4
    assert torch.equal(next(carried.model.parameters()), state["0.weight"])
    assert torch.equal([*carried.model.parameters()][-1], state["4.bias"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: it.update({"4.weight": torch.ones(10, 9)}), "not those of the table in their"),
        (lambda it: it.pop("0.bias"), "its layers are not those of the table in their order"),
        (
            lambda it: it.update({"1.running_mean": torch.full((8,), torch.nan)}),
            "its weights give logits that are no numbers",
        ),
        (lambda it: it.update({"1.running_var": torch.ones(16)}), "1.running_var is 16, not 8"),
    ],
)
def test_weights_that_are_not_of_the_table_are_refused(
    change: Any, message: str, tmp_path: Path
) -> None:
    state = of_the_table()
    change(state)
    with pytest.raises(WeightsError, match=message):
        carry_weights(table(), saved(tmp_path / "state.pth", state))


def test_weights_of_a_part_of_a_network_are_refused(tmp_path: Path) -> None:
    text = OF_A_TABLE.replace("ReLU", "Dropout")
    with pytest.raises(WeightsError, match="the network is not exact"):
        carry_weights(table(text, is_partial=True), tmp_path / "state.pth")


@pytest.mark.parametrize("content", [[torch.ones(1)], {"a": 1}, torch.ones(1)])
def test_a_file_without_tensors_by_name_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has no tensors by name"):
        read_state(saved(tmp_path / "state.pth", content))


@pytest.mark.parametrize("parts", [1, 2])
def test_running_statistics_of_parts_are_their_mean(parts: int, tmp_path: Path) -> None:
    code = code_of("conv3 8; gbn 2; relu; avgpool26; flatten; linear 10")
    state = of_the_table()
    names = {"0": "l0", "1": "l1", "4": "l5"}
    state = {f"{names[it[0]]}{it[1:]}": value for it, value in state.items()}
    del state["l0.bias"], state["l5.bias"]
    state["l1.running_mean"] = torch.arange(8.0 * parts)
    state["l1.running_var"] = torch.ones(8 * parts)
    carried = carry_weights(of_code(code), saved(tmp_path / "state.pth", state))
    wanted = torch.arange(8.0 * parts).view(parts, 8).mean(0)
    (mean,) = [it for name, it in carried.model.named_buffers() if name.endswith("running_mean")]
    assert torch.equal(mean, wanted)


def test_logits_that_differ_from_those_of_the_source_are_refused(tmp_path: Path) -> None:
    ours = table(OF_A_TABLE.replace("ReLU", "GELU"))
    path = saved(tmp_path / "state.pth", of_the_table())
    with pytest.raises(WeightsError, match="from those of the source"):
        carry_weights(replace(ours, source=table().source), path)

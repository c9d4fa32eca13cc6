"""`mnist-arch summary`: its tables, re-added; its JSON, against the plan; refusals and pipes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from typer.testing import CliRunner, Result

from mnist_arch.counting.plan import plan_network
from mnist_arch.spec.loading import load
from mnist_arch.spec.strict_yaml import parse
from mnist_arch.zoo.index import zoo, zoo_names
from mnist_arch_cli.app import app
from mnist_arch_cli.errors import BAD_INPUT, DONE, OUR_BUG, PIPE_CLOSED
from mnist_arch_cli.formats import size_text

GOLDEN = Path(__file__).parents[1] / "golden"
MAIN = "from mnist_arch_cli.app import app; app()"

MINE = """\
extends: s6
name: mine
defaults: {order: conv-norm-activation, bias: false, dropout: 0.0}
blocks:
  - channels: [8, {out: 16, padding: valid}]
    pool: max
    reduce: {out: 8, norm: batch, activation: relu}
  - {channels: [16, 16], kind: separable, residual: true, pool: max}
  - {channels: [24, 24], repeat: 2, share: true, squeeze_excitation: 4}
head: {pool: global-average, linear: true, dropout: 0.1}
"""
OVER = """\
extends: s6
blocks:
  - {channels: [8, 16, 32], pool: max, reduce: 8}
  - {channels: [64, 64], pool: max, reduce: 8}
  - {channels: [16, 32], pool: max, reduce: 10}
recipe: {epochs: 25}
"""
KINDS = """\
name: kinds
blocks:
  - channels: [8, {out: 8, kind: depthwise}, {out: 8, stride: 2}]
  - channels: [{out: 16, kind: separable, stride: 2}]
    pool: convolution
  - {channels: [{out: 16, kind: grouped, groups: 4}], pool: {kind: max, size: 3, stride: 2}}
  - {channels: [{out: 16, kernel: 1}], reduce: 10}
"""
TABLES = {
    "summary": ["s6"],
    "summary-blocks": ["s6", "--blocks"],
    "summary-mine": ["mine.yaml"],
    "summary-mine-blocks": ["mine.yaml", "--blocks"],
    "side-by-side": ["s6", "mine.yaml"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the files that the tests name."""
    (tmp_path / "mine.yaml").write_text(MINE)
    (tmp_path / "over.yaml").write_text(OVER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def summary(*arguments: str, code: int = DONE) -> Result:
    result = CliRunner().invoke(app, ["summary", *arguments])
    assert result.exit_code == code, result.output
    return result


def compare(name: str, text: str) -> str:
    """Compares with the golden file, or writes it; the ends of lines are left aside."""
    found = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found)
    assert found == path.read_text(), (
        "UPDATE_GOLDEN=1 pytest tests/cli/test_cli_summary.py rewrites it"
    )
    return found


# ------------------------------------------------------------------------------------------ tables


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
@pytest.mark.parametrize("name", TABLES)
def test_table_is_as_before(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = compare(f"{name}-{width}", summary(*TABLES[name]).stdout)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", [name for name in TABLES if name != "side-by-side"])
@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_table_adds_up(name: str, width: int) -> None:
    lines = (GOLDEN / f"{name}-{width}.txt").read_text().splitlines()
    stated = next(int(number(line.split()[1])) for line in lines if line.startswith("parameters"))
    for heading in ("parameters", "MACs", "bytes"):
        *cells, total = column(lines, heading)
        assert sum(map(number, cells)) == number(total)
        if heading == "parameters":
            assert number(total) == stated
    *shares, total = column(lines, "share")
    assert total in ("100.0", "")
    assert sum(map(number, shares)) == pytest.approx(number(total), abs=0.05 * len(shares))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", [name for name in TABLES if name != "side-by-side"])
def test_table_has_the_numbers_of_the_plan(name: str) -> None:
    lines = (GOLDEN / f"{name}-160.txt").read_text().splitlines()
    plan = plan_network(load(TABLES[name][0]).experiment)
    if "--blocks" in TABLES[name]:
        wanted = [sum(row.parameters for row in rows) for rows in plan.parts().values()]
    else:
        wanted = [row.parameters for row in plan.rows]
    *cells, _ = column(lines, "parameters")
    assert list(map(number, cells)) == wanted


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_side_by_side_adds_up(width: int) -> None:
    lines = (GOLDEN / f"side-by-side-{width}.txt").read_text().splitlines()
    rows = {line[:16].strip(): line[16:].split() for line in lines}
    for parameters, headroom, allowed in zip(
        rows["parameters"], rows["headroom"], rows["allowed"], strict=True
    ):
        assert number(parameters) + number(headroom) == number(allowed)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("options", [[], ["--blocks"]])
def test_markdown_adds_up(options: list[str]) -> None:
    name = "-".join(["markdown", *(option.removeprefix("--") for option in options)])
    text = compare(name, summary("s6", "mine.yaml", "--markdown", *options).stdout)
    sections = text.strip().split("\n\n**")
    assert len(sections) == 2
    for section in sections:
        heading, table = section.split("\n\n")
        rows = [[cell.strip() for cell in row[1:-1].split("|")] for row in table.splitlines()]
        assert len({len(row) for row in rows}) == 1
        names, marks, *cells, totals = rows
        assert set(marks) == {":--", "--:"}
        for index in (names.index("parameters"), names.index("MACs")):
            assert sum(number(row[index]) for row in cells) == number(totals[index])
        assert heading.endswith(
            f"{totals[names.index('parameters')]} parameters, {totals[names.index('MACs')]} MACs"
        )


def test_a_pipe_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left out where no terminal says how wide it is."""
    monkeypatch.delenv("COLUMNS")
    lines = [line.rstrip() for line in summary("s6").stdout.splitlines()]
    assert lines == (GOLDEN / "summary-160.txt").read_text().splitlines()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")  # only the child goes on
def test_a_terminal_gets_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    import pexpect

    monkeypatch.delenv("COLUMNS")
    child = pexpect.spawn(
        sys.executable, ["-c", MAIN, "summary"], dimensions=(40, 80), encoding="utf-8"
    )
    shown = re.sub(r"\x1b\[[0-9;]*m", "", child.read())
    child.close()
    assert child.exitstatus == DONE
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines == (GOLDEN / "summary-80.txt").read_text().splitlines()


def test_many_networks_stand_in_several_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = summary(*["s6"] * 5).stdout
    assert text.count("18,666") == 5
    assert text.count("parameters  ") > 1
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("arguments", [["s6"], ["mine.yaml"], ["long.yaml"], ["kinds.yaml"]])
def test_no_width_costs_a_number_a_word_or_a_place(
    arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a-network-with-a-name-that-is-as-long-as-a-name-of-a-network-can"
    (folder / "long.yaml").write_text(MINE.replace("mine", name))
    (folder / "kinds.yaml").write_text(KINDS)
    counted = plan_network(load(arguments[0]).experiment)
    numbers = {f"{row.parameters:,}" for row in counted.rows if not row.shared}
    numbers |= {f"{counted.parameters:,}", f"{counted.macs:,}", f"{counted.buffers:,}"}
    places = {row.place for row in counted.rows}
    for width in range(30, 201, 7):
        monkeypatch.setenv("COLUMNS", str(width))
        text = summary(*arguments).stdout
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
        words = set(text.replace("%", " ").split())
        assert numbers <= words, width
        assert places <= words, width
        assert {"depthwise", "pointwise"} & words or arguments == ["s6"]


def test_kinds_of_convolution_are_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "kinds.yaml").write_text(KINDS)
    for width in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        text = " ".join(summary("kinds.yaml").stdout.split())
        for layer in (
            "Conv2d 3×3 depthwise",
            "Conv2d 1×1 pointwise",
            "Conv2d 3×3 stride 2",
            "Conv2d 3×3 depthwise stride 2",
            "Conv2d 3×3 grouped",
            "Conv2d 2×2 stride 2",
            "MaxPool2d 3×3 stride 2",
        ):
            assert layer in text or (width == 60 and layer.endswith("depthwise stride 2"))
        assert "stride 2" in text
    kinds = [row["kind"] for row in json.loads(summary("kinds.yaml", "--json").stdout)["layers"]]
    assert set(kinds) == {None, "ordinary", "pointwise", "depthwise", "grouped"}


@pytest.mark.slow
def test_names_of_networks_side_by_side_are_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a-network-with-a-name-that-is-as-long-as-a-name-of-a-network-can"
    (folder / "long.yaml").write_text(MINE.replace("mine", name))
    for width in range(40, 201, 20):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = summary("s6", "long.yaml", "mine.yaml").stdout.splitlines()
        assert max(map(len, lines)) <= width
        for word in ("network-", "18,666", "blocks[0].channels[2]", "74.7 kB", "201 kB"):
            assert any(word in line for line in lines), (width, word)


def test_sizes_are_in_units_that_they_fill() -> None:
    lines = [line.split() for line in summary("s6").stdout.splitlines()]
    for words in (
        ["parameter", "size", "74.7", "kB"],
        ["inference", "peak", "201", "kB"],
        ["input", "3.14", "kB"],
        ["forward/backward", "1.43", "MB"],
        ["total", "1.51", "MB"],
    ):
        assert words in [line[: len(words)] for line in lines]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (3136, "3.14 kB"),
        (9_994, "9.99 kB"),
        (9_995, "10.0 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (1_048_576, "1.05 MB"),
        (999_500_000, "1.00 GB"),
        (4_000_000_000_000, "4,000 GB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert size_text(count) == text


def test_advice_is_shown() -> None:
    text = summary("s6").stdout
    assert "blocks[2].dropout: dropout of 0.2 on the logits" in text
    assert "blocks[2].pool: 7×7 pooled to 3×3 leaves out 1 row and column" in text


def column(lines: list[str], heading: str) -> list[str]:
    """The words that end where a heading of the first table ends; nothing where it is left out."""
    rule = next(index for index, line in enumerate(lines) if line.startswith("──"))
    ends = (at for at, line in enumerate(lines) if not line or line.startswith("left out"))
    rows = lines[rule + 1 : next(ends)]
    found = re.search(rf"\b{heading}\b", lines[rule - 1])
    if found is None:
        return [""]
    # A percent sign stands to the right of its number.
    cells = [row.ljust(found.end())[: found.end()].removesuffix(" %") for row in rows]
    return [cell.split()[-1] if cell[-1:].strip() else "" for cell in cells]


def number(cell: str) -> float:
    """What a cell counts: nothing where it is empty, or has tensors of another row."""
    return 0 if cell in ("", "shared") else float(cell.replace(",", "").replace("%", ""))


# ------------------------------------------------------------------------------------------ budget


@pytest.mark.usefixtures("folder")
def test_a_network_over_its_budget_is_shown() -> None:
    text = summary("over.yaml").stdout
    assert f"{'█' * 40} 54,874 of 19,999 · 34,875 too many" in text
    assert "25, but fewer than 20 are allowed: train would refuse" in text
    found = json.loads(summary("over.yaml", "--json").stdout)
    assert found["within_budget"] is False
    assert found["headroom"] == 19_999 - 54_874


@pytest.mark.usefixtures("folder")
def test_epochs_alone_can_break_the_budget() -> None:
    found = json.loads(summary("s6", "--set", "recipe.epochs=20", "--json").stdout)
    assert found["headroom"] == 1_333
    assert found["within_budget"] is False


# -------------------------------------------------------------------------------------------- JSON


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("spec", ["s6", "mine.yaml"])
def test_json_is_the_plan(spec: str) -> None:
    found = json.loads(summary(spec, "--json").stdout)
    experiment = load(spec).experiment
    plan = plan_network(experiment)
    assert found["format"] == 1
    assert found["name"] == experiment.name
    assert found["parameters"] == found["trainable_parameters"] == plan.parameters
    for name in ("buffers", "macs", "receptive_field", "activation_bytes"):
        assert found[name] == getattr(plan, name)
    for layer, row in zip(found["layers"], plan.rows, strict=True):
        assert layer.pop("output_shape") == list(row.output_shape)
        assert layer == {name: getattr(row, name) for name in layer}
    for block, (place, rows) in zip(found["blocks"], plan.parts().items(), strict=True):
        assert (block["place"], block["layers"]) == (place, len(rows))
        assert block["parameters"] == sum(row.parameters for row in rows)
    assert sum(block["macs"] for block in found["blocks"]) == plan.macs
    for name in ("input", "parameter", "forward_backward", "inference_peak"):
        assert found[f"{name}_bytes"] == getattr(plan.sizes, f"{name}_bytes")
    assert found["training_bytes"] == plan.sizes.training_bytes
    assert found["inference_bytes"] == plan.sizes.inference_bytes
    assert found["parameter_bytes"] == 4 * plan.parameters
    assert [item["place"] for item in found["advice"]]
    assert "verification" not in found


@pytest.mark.usefixtures("folder")
def test_json_of_several_networks() -> None:
    found = json.loads(summary("s6", "mine.yaml", "--json").stdout)
    assert set(found) == {"format", "networks"}
    assert found["format"] == 1
    alone = [json.loads(summary(spec, "--json").stdout) for spec in ("s6", "mine.yaml")]
    assert found["networks"] == alone


@pytest.mark.usefixtures("folder")
def test_set_is_for_every_network() -> None:
    found = json.loads(summary("s6", "mine.yaml", "--set", "classes=10", "--json").stdout)
    assert [network["name"] for network in found["networks"]] == ["s6", "mine"]
    wider = json.loads(summary("s6", "--set", "blocks.0.channels.2=40", "--json").stdout)
    assert wider["parameters"] > 18_666


@pytest.mark.slow
def test_schema_is_one_and_accepts_every_shipped_network() -> None:
    schema = json.loads(summary("--schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for name, network in zoo().items():
        validator.validate(parse(network.spec_path.read_text("utf-8"), name).plain())
    validator.validate(parse(MINE, "mine").plain())


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"blocks": [{"channels": [8], "kernal": 3}]},
        {"blocks": [{"channels": ["8"]}]},
        {"blocks": [{"channels": [0]}]},
        {"extends": "s6", "recipe": {"ema": 1}},
        {"extends": "s6", "name": "[/red]"},
    ],
)
def test_schema_refuses_what_the_loader_refuses(wrong: dict[str, Any]) -> None:
    schema = json.loads(summary("--schema").stdout)
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(wrong))


# ---------------------------------------------------------------------------------------- --verify


@pytest.mark.usefixtures("folder")
def test_verify_shows_three_counts() -> None:
    text = summary("s6", "--verify").stdout
    table = text[text.index("s6: parameters, counted three times") :]
    lines = table.splitlines()
    columns = [column(lines, heading) for heading in ("plan", "torch", "torchinfo")]
    assert columns[0] == columns[1] == columns[2]
    *cells, total = columns[0]
    assert sum(map(number, cells)) == number(total) == 18_666
    assert "plan and torch agree" in text
    assert "counts shared tensors again" not in text


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_verify_says_that_torchinfo_counts_shared_tensors_again() -> None:
    text = summary("mine.yaml", "--verify").stdout
    assert "torchinfo counts shared tensors again" in text
    assert "plan and torch agree" in text
    found = json.loads(summary("mine.yaml", "--verify", "--json").stdout)
    check = found["verification"]
    assert check["agrees"] is True
    assert check["plan"] == check["torch"] == found["parameters"]
    assert sum(line["torchinfo"] for line in check["lines"]) > found["parameters"]


def test_a_difference_is_our_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_arch.network.verify.count_parameters", lambda model: 18_667)
    text = summary("s6", "--verify", code=OUR_BUG).stdout
    assert "DIFFER" in text
    found = json.loads(summary("s6", "--verify", "--json", code=OUR_BUG).stdout)
    assert found["verification"]["agrees"] is False


def test_a_difference_in_one_line_is_our_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two mistakes that cancel each other in the total are mistakes all the same."""

    def shifted(network: Any) -> Any:
        plan = plan_network(network)
        first, second, *rest = plan.rows
        moved = replace(first, parameters=79), replace(second, parameters=1)
        return replace(plan, rows=(*moved, *rest))

    monkeypatch.setattr("mnist_arch.network.verify.plan_network", shifted)
    summary("s6", "--verify", code=OUR_BUG)


# ------------------------------------------------------------------------------- names and refusals


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_a_file_is_given_by_its_path(folder: Path) -> None:
    assert "mine" in summary("./mine.yaml").stdout
    assert "mine" in summary(str(folder / "mine.yaml")).stdout


def test_markup_in_a_name_is_text(folder: Path) -> None:
    (folder / "evil.yaml").write_text('extends: s6\nname: "a[/red]b"\n')
    result = summary("evil.yaml", code=BAD_INPUT)
    assert "'a[/red]b'" in result.stderr
    assert "  --> evil.yaml:2" in result.stderr
    assert result.stdout == ""


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("argument", ["[/red]", "[bold].yaml", "a[/red]"])
def test_markup_in_an_argument_is_text(argument: str) -> None:
    assert argument in summary(argument, code=BAD_INPUT).stderr
    assert argument in summary("--set", f"name={argument!r}", code=BAD_INPUT).stderr


def test_markup_in_a_key_is_text(folder: Path) -> None:
    (folder / "evil.yaml").write_text('extends: s6\n"[/red]": 3\n')
    assert "unknown key `[/red]`" in summary("evil.yaml", code=BAD_INPUT).stderr


def test_a_file_whose_name_has_markup_is_read(folder: Path) -> None:
    (folder / "[red].yaml").write_text(MINE)
    assert "mine" in summary("[red].yaml").stdout


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["..", ".", "a\nb", "../x", "", "s6/", "S6", "x" * 65, "\x1b[31m"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    for arguments in ([name], ["--set", f"name={json.dumps(name)}"]):
        if arguments[0] == "--set" and name == "S6":
            continue  # a good name, which is none of the zoo
        result = summary(*arguments, code=BAD_INPUT)
        assert result.stderr.startswith("error: ")
        assert "\x1b" not in result.stderr
        assert all(
            line.startswith(("error: ", "  --> ", "   | ", "hint: ")) or line.strip() in ("^", "|")
            for line in result.stderr.splitlines()
        )


def test_the_nearest_name_is_said() -> None:
    assert "did you mean `s6`?" in summary("s66", code=BAD_INPUT).stderr


def test_a_file_of_that_name_is_said(folder: Path) -> None:
    assert "did you mean the file `mine.yaml`?" in summary("mine", code=BAD_INPUT).stderr
    (folder / "child.yaml").write_text("extends: mine\n")
    assert "did you mean the file `mine.yaml`?" in summary("child.yaml", code=BAD_INPUT).stderr


# --------------------------------------------------------------------------------- pipes and shells


def program(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """The program in a process of its own."""
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["summary"], ["summary", "--json"], ["summary", "--schema"], ["--help"], ["--version"]],
)
def test_a_reader_who_is_gone_is_met_with_silence(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with program(*arguments, stdout=writing) as process:
        os.close(writing)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == PIPE_CLOSED


@pytest.mark.slow
def test_a_reader_who_leaves_early_is_met_with_silence() -> None:
    """The output is larger than a pipe holds, so that the program is still writing."""
    reading, writing = os.pipe()
    with program("summary", *["s6"] * 20, "--json", stdout=writing) as process:
        os.close(writing)
        assert os.read(reading, 10).startswith(b"{")
        os.close(reading)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == PIPE_CLOSED


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [["summary"], ["--version"]])
def test_a_full_disk_is_no_bug(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full, program(*arguments, stdout=full) as process:
        assert process.stderr is not None
        assert process.stderr.read().startswith(b"error: cannot write: No space left on device")
    assert process.returncode == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["mnist-arch", "su"], ["summary"]),
        (["mnist-arch", "summary", ""], list(zoo_names())),
        (["mnist-arch", "summary", "s6", "s"], [n for n in zoo_names() if n.startswith("s")]),
        (["mnist-arch", "train", "s6-"], [n for n in zoo_names() if n.startswith("s6-")]),
        (["mnist-arch", "train", "--device", "c"], ["cpu", "cuda"]),
    ],
)
def test_names_are_completed_in_the_shell(words: list[str], completed: list[str]) -> None:
    environment = {
        **os.environ,
        "_MNIST_ARCH_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, "-c", f"import sys; sys.argv = ['mnist-arch']; {MAIN}"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert result.stdout.split() == completed


def test_a_diagram_and_a_table_for_a_paper_are_printed() -> None:
    svg = CliRunner().invoke(app, ["summary", "s6", "--svg"]).stdout
    root = ElementTree.fromstring(svg)
    boxes = [it for it in root.iter() if it.get("class", "").startswith("box")]
    assert len(boxes) == 31
    table = CliRunner().invoke(app, ["summary", "s6", "--latex"]).stdout
    assert "total & & & 18,666 & " in table
    rows = [line for line in table.splitlines() if line.startswith(("blocks", "head"))]
    assert len(rows) == 31
    assert sum(int(row.split("&")[3].replace(",", "")) for row in rows) == 18_666

"""The documentation is true: generated parts are current, examples load, commands parse.

`UPDATE_DOCS=1 pytest tests/house/test_docs.py` writes the generated parts again.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import api_page
import pytest
import typer
import yaml
from small import loaded, synthetic

import mnist_arch
from mnist_arch.counting.counted import count
from mnist_arch.data.load import Loader
from mnist_arch.data.split import Split
from mnist_arch.spec.loading import json_schema, load
from mnist_arch.sweeps.loading import load_sweep
from mnist_arch.sweeps.planning import plan_sweep
from mnist_arch.training.engine import Engine
from mnist_arch.training.events import EpochRecord
from mnist_arch.training.loop import train
from mnist_arch.training.state import State
from mnist_arch_cli import errors
from mnist_arch_cli.app import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [path for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))) if path.exists()]
COMMAND = "UPDATE_DOCS=1 pytest tests/house/test_docs.py"
MARK = f"<!-- Below this line the page is generated: {COMMAND} -->\n"
UPDATE = bool(os.environ.get("UPDATE_DOCS"))
COMMANDS = (
    "",
    "summary",
    "train",
    "eval",
    "sweep",
    "check",
    "audit",
    "import",
    "report",
    "runs",
    "zoo",
    "predict",
    "export",
    "play",
)


def check_generated(name: str, generated: str) -> None:
    """Compares what stands below the mark of a page, or writes it."""
    path = DOCS / name
    written, mark, found = path.read_text("utf-8").partition(MARK)
    assert mark
    if UPDATE:
        path.write_text(f"{written}{MARK}\n{generated}", "utf-8")
        return
    assert found == f"\n{generated}", f"{COMMAND} writes it again"


# ----------------------------------------------------------------------------------------- commands


@pytest.mark.slow
def test_commands_are_documented_as_they_are() -> None:
    assert set(COMMANDS) == {"", *commands()}
    below = [f"{it} {name}" for it in ("runs", "zoo") for name in commands()[it].commands]
    every = [*COMMANDS, *below]
    sections = [
        f"## {f'mnist-arch {command}'.strip()}\n\n```text\n{text}```\n"
        for command, text in zip(every, help_texts(every), strict=True)
    ]
    about = f"The help is that of Typer {metadata.version('typer').rpartition('.')[0]}.\n"
    if about not in (DOCS / "commands.md").read_text("utf-8") and not UPDATE:
        pytest.skip(f"another Typer words the help in another way. {about}")
    check_generated("commands.md", "\n".join([about, *sections]))


@cache
def commands() -> dict[str, Any]:
    found: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return found


HELP = """
import contextlib, sys
from mnist_arch_cli.app import app
for command in sys.argv[1:]:
    with contextlib.suppress(SystemExit):
        app([*command.split(), "--help"], prog_name="mnist-arch")
    print(end=chr(12), flush=True)
"""


def help_texts(commands: list[str]) -> list[str]:
    """The help of each command as a pipe gets it at 80 columns."""
    program = [sys.executable, "-c", HELP, *commands]
    environment = {**os.environ, "COLUMNS": "80", "TYPER_USE_RICH": "0"}
    result = subprocess.run(
        program, env=environment, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    texts = result.stdout.split(chr(12))[:-1]
    return ["".join(f"{line.rstrip()}\n" for line in text.splitlines()) for text in texts]


@pytest.mark.slow
def test_the_api_page_is_made_of_the_docstrings() -> None:
    check_generated("api.md", api_page.page())


def test_exit_codes_are_documented() -> None:
    table = (DOCS / "commands.md").read_text("utf-8")
    found = [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert found == [
        errors.DONE,
        errors.ANSWER_IS_NO,
        errors.BAD_INPUT,
        errors.MACHINE_CANNOT,
        errors.OUR_BUG,
        errors.INTERRUPTED,
        errors.PIPE_CLOSED,
    ]


# ------------------------------------------------------------------------------------ the reference

KINDS = {
    "Experiment": "A spec file",
    "Defaults": "`defaults`",
    "Block": "`blocks[…]`",
    "Branch": "`blocks[…].branches[…]`",
    "Conv": "`blocks[…].channels[…]`",
    "Pool": "`blocks[…].pool`",
    "Reduce": "`blocks[…].reduce`, `head.reduce`",
    "Norm": "`norm`",
    "Activation": "`activation`",
    "BlockDropout": "`defaults.dropout`, `blocks[…].dropout`",
    "ConvDropout": "`blocks[…].channels[…].dropout`, `head.hidden[…].dropout`",
    "Head": "`head`",
    "Hidden": "`head.hidden[…]`",
    "HeadDropout": "`head.dropout`",
    "Recipe": "`recipe`",
    "Sgd": "`recipe.optimizer`, kind `sgd`",
    "Adam": "`recipe.optimizer`, kind `adam`",
    "AdamW": "`recipe.optimizer`, kind `adamw`",
    "RmsProp": "`recipe.optimizer`, kind `rmsprop`",
    "Adadelta": "`recipe.optimizer`, kind `adadelta`",
    "Adagrad": "`recipe.optimizer`, kind `adagrad`",
    "OneCycle": "`recipe.schedule`, kind `one-cycle`",
    "Cosine": "`recipe.schedule`, kind `cosine`",
    "Step": "`recipe.schedule`, kind `step`",
    "MultiStep": "`recipe.schedule`, kind `multi-step`",
    "Exponential": "`recipe.schedule`, kind `exponential`",
    "InverseTime": "`recipe.schedule`, kind `inverse-time`",
    "Plateau": "`recipe.schedule`, kind `plateau`",
    "Constant": "`recipe.schedule`, kind `constant`",
    "Teacher": "`recipe.teacher`",
    "L1": "`recipe.l1`",
    "Augment": "`recipe.augment`",
    "Change": "`recipe.augment[…]`",
    "Elastic": "`recipe.augment.elastic`",
    "Crop": "`recipe.augment.crop`",
    "Perspective": "`recipe.augment.perspective`",
    "Erase": "`recipe.augment.erase`",
    "Normalize": "`recipe.normalize`",
    "Initialize": "`recipe.initialize`",
    "Budget": "`budget`",
    "Folds": "`holdout`, where it is folds",
    "Last": "`holdout`, where it is the last images",
}
"""Objects of the schema and where they stand, in the order of the page."""

UNSAID = {"blocks": "needed unless `extends`", "name": "the file's"}
"""What a spec file does where the schema has no default."""

LEGEND = """## Reference

An option without a default is left out, or inherited, unless it is set. "Short" means that a bare
value will do.
"""


@pytest.mark.slow
def test_the_reference_is_the_schema() -> None:
    schema = json_schema()
    objects = {"Experiment": schema, **schema["$defs"]}
    assert set(KINDS) == set(objects)
    sections = [_section(objects[kind], heading) for kind, heading in KINDS.items()]
    check_generated("spec.md", "\n".join([LEGEND, *sections]))


def _section(found: dict[str, Any], heading: str) -> str:
    """One object: what it is, and a row for each of its fields."""
    whole, short = found, ""
    if "properties" not in found:
        bare, whole = found["anyOf"]
        field = next(
            name for name, item in whole["properties"].items() if item.get("title") == bare["title"]
        )
        short = f" A bare value is its `{field}`."
    lines = [f"### {heading}\n", f"{found.get('description', '')}{short}\n"]
    lines += ["| key | values | default | |", "|---|---|---|---|"]
    for name, item in whole["properties"].items():
        default = "needed" if name in whole.get("required", ()) else _default(item)
        default = UNSAID.get(name, default) if heading == "A spec file" else default
        text = " ".join(item.get("description", "").split())
        cells = (f"`{name}`", _values(item), default, text)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _values(item: dict[str, Any]) -> str:
    """What a field may hold, in words."""
    if "$ref" in item:
        return "an object, or short" if _is_short(item["$ref"]) else "an object"
    if "oneOf" in item and "discriminator" not in item:
        return " or ".join(dict.fromkeys(map(_values, item["oneOf"])))
    if "oneOf" in item:
        return "an object with a `kind`"
    if "anyOf" in item:
        kinds = [one for one in item["anyOf"] if one != {"type": "null"} or item["default"]]
        return " or ".join(map(_values, kinds)).replace("or short or", "short, or")
    if "const" in item:
        return f"`{item['const']}`"
    if "enum" in item:
        return ", ".join(f"`{value}`" for value in item["enum"])
    match item["type"]:
        case "null":
            return "`null`"
        case "boolean":
            return "`true`, `false`"
        case "string":
            return "text"
        case "array" if "minItems" in item:
            return f"a list of {item['minItems']} ({_values(item['items'])})"
        case "array":
            return f"a list of at most {item['maxItems']}"
        case "integer":
            return f"whole number{_limits(item)}"
        case kind:
            assert kind == "number"
            return f"number{_limits(item)}"


def _is_short(reference: str) -> bool:
    return "anyOf" in json_schema()["$defs"].get(reference.rpartition("/")[2], {})


def _limits(item: dict[str, Any]) -> str:
    words = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    found = [f"{sign} {item[key]:,.10g}" for key, sign in words.items() if key in item]
    return f" {', '.join(found)}" if found else ""


def _default(item: dict[str, Any]) -> str:
    """A default as YAML; an object with many parts has them in a table of its own."""
    match item.get("default"):
        case None:
            return "–"
        case dict() as parts if (short := _bare(item, parts)) is not None:
            return f"`{_yaml(short)}`"
        case dict() as parts if len(parts) > 3:
            return "see there"
        case value:
            return f"`{_yaml(value)}`"


def _bare(item: dict[str, Any], parts: dict[str, Any]) -> Any:
    """The bare value that says an object; None where it takes more."""
    if not _is_short(item.get("$ref", "/Experiment")):
        return None
    bare, whole = json_schema()["$defs"][item["$ref"].rpartition("/")[2]]["anyOf"]
    fields = whole["properties"]
    (short,) = (name for name, it in fields.items() if it.get("title") == bare["title"])
    usual = all(
        value == fields[name].get("default") for name, value in parts.items() if name != short
    )
    return parts[short] if usual and parts[short] != [] else None


def _yaml(value: Any) -> str:
    if isinstance(value, dict):
        parts = [f"{key}: {_yaml(part)}" for key, part in value.items() if part is not None]
        return f"{{{', '.join(parts)}}}"
    return f"{value:.10g}" if isinstance(value, float) else json.dumps(value).strip('"')


# ----------------------------------------------------------------------------------------- examples


def blocks_of(path: Path, language: str) -> Iterator[tuple[str, str]]:
    """Line and text of each block of code, but for those after a comment `<!-- fragment -->`."""
    text = path.read_text("utf-8")
    for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        before = text[: match.start()]
        if not before.rstrip().endswith("<!-- fragment -->"):
            yield f"{path.name}:{before.count(chr(10)) + 1}", match[1]


OF_A_SWEEP = re.compile(r"^(base|experiments|grid|search):", re.MULTILINE)
YAML = [example for page in PAGES for example in blocks_of(page, "yaml")]


@pytest.mark.parametrize("text", [text for _, text in YAML], ids=[place for place, _ in YAML])
def test_yaml_in_the_documentation_loads(text: str, tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(text, "utf-8")
    if OF_A_SWEEP.search(text):
        assert plan_sweep(load_sweep(path), dataset="mnist").definition.sweep.name == "example"
    else:
        assert count(load(str(path))).plan.parameters


def test_the_annotated_network_is_the_reference_network(tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(next(text for place, text in YAML if place.startswith("spec.md")), "utf-8")
    found, wanted = load(str(path)).experiment, load("s6").experiment
    for part in ("name", "defaults", "blocks", "head"):
        assert getattr(found, part) == getattr(wanted, part)


def test_short_forms_mean_what_is_said(tmp_path: Path) -> None:
    text = (DOCS / "spec.md").read_text("utf-8")
    start = text.index("## Short forms")
    examples = re.findall(r"^```yaml\n(.*?)^```$", text[start:], re.MULTILINE | re.DOTALL)[:2]
    found = []
    for example in examples:
        path = tmp_path / "example.yaml"
        path.write_text(example, "utf-8")
        found.append(count(load(str(path))).plan)
    assert found[0] == found[1]


# ----------------------------------------------------------------------------------------- commands


def commands_in(path: Path) -> Iterator[str]:
    """Every command line of this program: in blocks of code, and in `spans` of code."""
    text = path.read_text("utf-8").partition(MARK)[0]
    fenced = re.findall(r"^```(?:sh|text|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for block in fenced:
        for line in block.replace("\\\n", " ").splitlines():
            yield from re.findall(r"(?:^|[$&|;] *)(mnist-arch(?: [^&|;<>]*)?)", line)
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`(mnist-arch [^`]*)`", outside)


@cache
def command_lines() -> tuple[tuple[str, str], ...]:
    found = [(page.name, line.strip()) for page in PAGES for line in commands_in(page)]
    return tuple(dict.fromkeys(found))


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_commands_in_the_documentation_parse(page: str, line: str) -> None:
    del page  # for the name of the test
    _, *arguments = shlex.split(line, comments=True)
    if not arguments or arguments[0].startswith("--"):
        group = typer.main.get_command(app)
        known = {name for parameter in group.params for name in parameter.opts} | {"--help", "-h"}
        assert set(arguments) <= known
        return
    name, *rest = arguments
    assert name in commands()
    commands()[name].make_context(name, rest)


def test_commands_are_found() -> None:
    assert len(command_lines()) > 5


# -------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), target


@pytest.mark.gate
@pytest.mark.slow
def test_the_site_builds_and_needs_no_network(tmp_path: Path) -> None:
    """Strict: a link, an anchor or a page of the menu that leads nowhere fails."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"]
    command += ["--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.stem: path.read_text("utf-8") for path in tmp_path.glob("*.html")}
    assert {path.stem for path in DOCS.glob("*.md")} <= set(pages)
    outside = r"<(?:script|link|img)[^>]*(?:src|href)=\"((?:https?:)?//[^\"]*)"
    assert {found for page in pages.values() for found in re.findall(outside, page)} == set()


README_MOST = {"words": 1_000, "tables": 3, "pictures": 4}


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    found = {
        "words": len(text.split()),
        "tables": len(re.findall(r"^\|[-:| ]*-[-:| ]*\|$", text, re.MULTILINE)),
        "pictures": text.count("!["),
    }
    assert all(found[name] <= most for name, most in README_MOST.items()), found


# ------------------------------------------------------------------------------------------- python


def python_of(page: Path) -> str:
    """The one example in Python of a page."""
    code: str
    (code,) = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    return code


@pytest.mark.slow
@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "python.md"], ids=lambda it: it.name)
def test_the_python_of_a_page_trains(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    images_are: Callable[[Loader], None],
) -> None:
    """On a few images."""

    def few(_: str, split: Any, **__: Any) -> Split:
        return synthetic(200, seed=len(split), name=split)

    images_are(few)
    monkeypatch.chdir(tmp_path)
    exec(compile(python_of(page), page.name, "exec"), {})
    out = capsys.readouterr().out
    assert re.match(r"18666\n\d+\.\d{3} ± \d+\.\d{3} % \(test, 2 seeds\)\n", out)


EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "verbs.ipynb"
COLAB = EXAMPLES / "colab.ipynb"
MOST_OF_AN_OUTPUT = 4_000
"""Characters that a cell of a notebook shows at most."""


def test_the_notebook_is_executed_and_its_outputs_are_short() -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        assert len(json.dumps(cell["outputs"])) < MOST_OF_AN_OUTPUT
        assert all(it["output_type"] != "error" for it in cell["outputs"])


@pytest.mark.gate
@pytest.mark.slow
def test_the_notebooks_run_and_show_what_they_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one kernel. Outputs of the same form, whatever the numbers of a training are here."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    stored, run, colab = (nbformat.read(it, as_version=4) for it in (NOTEBOOK, NOTEBOOK, COLAB))
    nbformat.validate(colab)
    run.cells += [it for it in colab.cells if "colab" not in it.metadata.get("tags", ())]
    client = nbclient.NotebookClient(run, timeout=300, resources={"metadata": {"path": tmp_path}})
    client.execute()
    for before, now in zip(stored.cells, run.cells, strict=False):
        assert outputs_of(now) == outputs_of(before), now.source
    verdicts = ("execute_result", "{'parameters': 'kept', 'epochs': 'kept', 'accuracy': 'none'}")
    assert outputs_of(run.cells[-1 - len(AFTER_VERDICTS)]) == [verdicts]


AFTER_VERDICTS = ("real", "keep")
"""Texts of the notebook for Colab that stand between cells which only Colab runs."""


def address() -> str | None:
    """Of the project, in its one place."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: str | None = project.get("urls", {}).get("Repository")
    return found


def test_the_address_of_the_project_is_the_same_everywhere() -> None:
    cells = {cell["id"]: cell for cell in json.loads(COLAB.read_text("utf-8"))["cells"]}
    (line,) = cells["address"]["source"]
    assert line.startswith(f"ADDRESS = {json.dumps(address()).replace('null', 'None')}")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation.get("repository-code") == address()
    assert citation["version"] == mnist_arch.__version__


@pytest.mark.slow
def test_the_files_of_the_examples_train(training: Split, judged_on: Split) -> None:
    """Every network there is, for an epoch on a few images."""
    networks = [count(load(str(EXAMPLES / "scratch.yaml")).with_dataset("mnist"))]
    plan = plan_sweep(load_sweep(EXAMPLES / "sweep.yaml"), dataset="mnist")
    networks += [plan.counted(trial.arm, trial.stage) for trial in plan.trials()]
    for counted in networks:
        recipe = counted.experiment.recipe.model_copy(update={"epochs": 1})
        state = State.fresh(counted.experiment.model_copy(update={"recipe": recipe}), seed=0)
        *_, record = train(state, training, judged_on, engine=Engine(device="cpu", threads=1))
        assert isinstance(record, EpochRecord)


def outputs_of(cell: Any) -> list[tuple[str, str]]:
    """Kind and text of what a cell shows, with a # for what a training has made."""
    found = []
    for output in cell.get("outputs", ()):
        text = output.get("text") or output.data.get("text/plain", "")
        found.append((output.output_type, re.sub(r"\d+\.\d+", "#", text)))
    return found


@pytest.mark.gate
@pytest.mark.slow
def test_the_python_about_engines_trains(
    training: Split, judged_on: Split, capsys: pytest.CaptureFixture[str]
) -> None:
    state = State.fresh(loaded().experiment, seed=1)
    given = {"state": state, "training": training, "judged_on": judged_on}
    exec(compile(python_of(ROOT / "docs/performance.md"), "performance.md", "exec"), given)
    lines = capsys.readouterr().out.splitlines()
    said = [line for line in lines if not line.startswith("Progress(")]
    assert [re.sub(r"[^(]*$", "", line) for line in said] == [
        "EpochRecord(",
        "Compiling(",
        *["EpochRecord("] * 2,
    ]

"""The rules of the house: who imports whom, what stays light, what is public, what is a flag."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import typer

import mnist_arch
from mnist_arch_cli.app import app

LIBRARY = Path(inspect.getfile(mnist_arch)).parent
ROOT = LIBRARY.parent
TERMINAL = ROOT / "cli"

START = LIBRARY / "__main__.py"
"""`python -m mnist_arch`, the one arrow from the library to the terminal."""

LIBRARY_FILES = sorted({*LIBRARY.rglob("*.py")} - {START})
ALL_FILES = [*LIBRARY_FILES, *sorted(TERMINAL.rglob("*.py"))]


def relative(path: Path) -> Path:
    return path.relative_to(ROOT)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_absolute() else path)


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text("utf-8"))))


def imported(path: Path) -> set[str]:
    """Top-level names of all that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                assert TERMINAL in path.parents, f"{named(path)} has a relative import"
                continue
            names.add((node.module or "").split(".")[0])
    return names


# ------------------------------------------------------------------------------------ what is named

PROCESSES = {LIBRARY / "sweeps/execution/worker.py", LIBRARY / "machine/forking.py"}
"""What is the main function of a process of its own, whose output is a log, or nowhere."""

MOST_LINES = 60
"""Of a function of the terminal, with its options and its help."""

Rule = Callable[[Path], Iterable[str]]


def broken(rule: Rule, paths: Iterable[Path]) -> list[str]:
    """What a rule finds in files, each finding with its file."""
    return [f"{named(path)}: {found}" for path in paths for found in rule(path)]


@pytest.mark.slow
def test_the_library_does_not_know_the_terminal() -> None:
    terminal = {"cli", "mnist_arch_cli", "typer", "rich", "click", "tests"}
    assert broken(lambda path: imported(path) & terminal, LIBRARY_FILES) == []


@pytest.mark.slow
def test_the_terminal_imports_itself_relatively() -> None:
    """Its folder is called otherwise than its package, which tools that read files do not know."""
    own = {"cli", "mnist_arch_cli"}
    assert broken(lambda path: imported(path) & own, sorted(TERMINAL.rglob("*.py"))) == []


def test_functions_of_the_terminal_are_short() -> None:
    """What they decide, a notebook needs, too, and stands in the library."""

    def rule(path: Path) -> Iterator[str]:
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_LINES:
                    yield f"{node.name} has {lines} lines"

    assert broken(rule, sorted(TERMINAL.rglob("*.py"))) == []


@pytest.mark.slow
def test_typers_own_copy_of_click_is_left_alone() -> None:
    def rule(path: Path) -> Iterator[str]:
        yield from imported(path) & {"click"}
        yield from re.findall(r"typer\._click", path.read_text("utf-8"))

    assert broken(rule, ALL_FILES) == []


@pytest.mark.slow
def test_the_library_neither_prints_nor_exits() -> None:
    ends = {"print", "input", "exit", "quit", "sys.exit", "os._exit", "breakpoint"}

    def rule(path: Path) -> Iterator[str]:
        yield from ends & {
            ast.unparse(node.func) for node in nodes(path) if isinstance(node, ast.Call)
        }
        yield from re.findall(r"sys\.std(?:out|err)", path.read_text("utf-8"))

    assert broken(rule, sorted({*LIBRARY_FILES} - PROCESSES)) == []


def test_the_library_names_arguments_and_no_flags() -> None:
    """`cli/flags.py` says them as flags. What reads `--set`, or a stored origin, knows them."""
    known = {word for options in OPTIONS.values() for word in options.split()}
    reads_them = {LIBRARY / it for it in ("spec/overrides.py", "runs/listing.py", "runs/stored.py")}

    def rule(path: Path) -> Iterator[str]:
        texts = [it.value for it in nodes(path) if isinstance(it, ast.Constant)]
        for text in filter(lambda it: isinstance(it, str), texts):
            if "\n" not in text.strip():  # and no docstring
                flags = {*re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)} & known
                yield from (f"{flag} in {text!r}" for flag in flags)

    assert broken(rule, sorted({*LIBRARY_FILES} - reads_them)) == []


@pytest.mark.slow
def test_layers_of_torch_are_named_in_one_room() -> None:
    allowed = {"Module", "utils", "functional"}

    def rule(path: Path) -> Iterator[str]:
        yield from {*re.findall(r"\bnn\.(\w+)", path.read_text("utf-8"))} - allowed
        for node in nodes(path):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch.nn"):
                yield from {str(node.module)} - {"torch.nn.functional"}

    assert broken(rule, [path for path in ALL_FILES if path.parent != LIBRARY / "network"]) == []


def test_no_room_is_called_utils() -> None:
    without_a_meaning = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert broken(lambda path: {*path.parts} & without_a_meaning, map(relative, ALL_FILES)) == []


# ------------------------------------------------------------------------------------------- light

HEAVY = [
    "matplotlib",
    "mlxtend",
    "numpy",
    "optuna",
    "PIL",
    "pandas",
    "ray",
    "safetensors",
    "scipy",
    "sklearn",
    "tensorboard",
    "torch",
    "torchinfo",
    "torchvision",
]
LIGHT = {
    "--help": 0,
    "--version": 0,
    "summary": 0,
    "summary --help": 0,
    "summary --json": 0,
    "summary --blocks --markdown": 0,
    "summary --schema": 0,
    "summary --svg": 0,
    "summary s6 s6 --svg": 2,
    "summary --latex": 0,
    "summary s6 small.yaml": 0,
    "summary nothing": 2,
    "summary broken.yaml": 2,
    "summary shapes.yaml": 2,
    "summary text.yaml": 2,
    "train --help": 0,
    "train --dry-run": 0,
    "train small.yaml --dry-run --json": 0,
    "train --epochs 20": 1,
    "train over.yaml": 1,
    "train nothing": 2,
    "train broken.yaml": 2,
    "train shapes.yaml": 2,
    "train --frobnicate": 2,
    "train --dataset nothing": 2,
    "train --dataset emnist-letters": 2,
    "train --resume latest": 2,
    "train --dry-run --log tensorboard": 3,
    "train --log wandb": 2,
    "eval --help": 0,
    "eval nothing": 2,
    "sweep --help": 0,
    "sweep sweep.yaml --dry-run": 0,
    "sweep sweep.yaml --dry-run --json": 0,
    "sweep sweep.yaml --show": 0,
    "sweep search.yaml --show": 0,
    "sweep search.yaml --dry-run": 3,  # optuna is not here
    "sweep sweep.yaml --dry-run --executor ray": 3,
    "sweep sweep.yaml --show --csv": 0,
    "sweep over-all.yaml": 1,
    "sweep nothing.yaml": 2,
    "sweep broken.yaml": 2,
    "sweep sweep.yaml --dataset nothing": 2,
    "sweep sweep.yaml --json --csv": 2,
    "eval weights.pt": 2,
    "audit --help": 0,
    "audit nothing": 2,
    "check --help": 0,
    "check nothing": 2,
    "predict --help": 0,
    "predict seven.png": 2,
    "export --help": 0,
    "play --help": 0,
    "play nothing": 2,
    "report s6 --out page.txt": 2,
    "import --help": 0,
    "import table.txt": 0,
    "import small.yaml": 2,
    "runs": 0,
    "runs list s6 --where parameters<8000": 0,
    "runs --where nonsense": 2,
    "runs rename nothing other": 2,
}
FILES = {
    "small.yaml": "extends: s6\nbudget: {parameters_below: 19000}\n",
    "over.yaml": "extends: s6\nbudget: {parameters_below: 18666}\n",
    "broken.yaml": "extends: s6\nrecipe: {epoch: 3}\n",
    "shapes.yaml": "extends: s6\nblocks: [{channels: [9], kind: grouped, groups: 2}]\n",
    "text.yaml": "blocks: [",
    "sweep.yaml": "grid: {defaults.dropout: [0, 0.1]}\n",
    "search.yaml": "search:\n  trials: 9\n"
    "  space: {recipe.schedule.peak: {kind: float, low: 0.01, high: 0.5, log: true}}\n",
    "over-all.yaml": "grid: {recipe.epochs: [20, 21]}\n",
    "table.txt": "Conv2d-1  [-1, 10, 26, 26]  100\nReLU-2  [-1, 10, 26, 26]  0\n"
    "AvgPool2d-3  [-1, 10, 1, 1]  0\n",
    "weights.pt": "",
}
SCRIPT = f"""
import json, sys
sys.modules.update(dict.fromkeys({HEAVY}))  # None there makes every import of it fail
from typer.testing import CliRunner
from mnist_arch_cli.app import app
codes = [CliRunner().invoke(app, command.split()).exit_code for command in json.loads(sys.argv[1])]
print(json.dumps(codes))
"""


def codes_without_torch(commands: list[str], folder: Path) -> list[int]:
    """Exit codes of commands in a process where nothing heavy can be imported."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-c", SCRIPT, json.dumps(commands)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    codes: list[int] = json.loads(result.stdout)
    return codes


@pytest.mark.slow
def test_what_needs_no_torch_does_not_import_it(tmp_path: Path) -> None:
    codes = codes_without_torch(list(LIGHT), tmp_path)
    assert dict(zip(LIGHT, codes, strict=True)) == LIGHT


@pytest.mark.slow
def test_the_test_above_can_fail(tmp_path: Path) -> None:
    """What needs torch ends as a bug where there is none."""
    commands = ["summary --verify", "train --out runs", "sweep sweep.yaml --out runs"]
    assert codes_without_torch(commands, tmp_path) == [70, 70, 70]


@pytest.mark.slow
def test_other_commands_do_not_import_what_sweeps_need(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(FILES["sweep.yaml"])
    script = (
        "import sys; from typer.testing import CliRunner; from mnist_arch_cli.app import app\n"
        "assert CliRunner().invoke(app, sys.argv[1:]).exit_code == 0\n"
        "print(*(name for name in sys.modules if name.startswith('mnist_arch.sweeps')))"
    )
    for arguments, light in (
        (["summary"], True),
        (["train", "--dry-run"], True),
        (["sweep", "sweep.yaml", "--dry-run"], False),
    ):
        command = [sys.executable, "-c", script, *arguments]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert (result.stdout.split() == []) == light, arguments


@pytest.mark.slow
def test_a_command_starts_without_the_others_and_reads_no_source(tmp_path: Path) -> None:
    """Which took longer than most of what a command does."""
    script = (
        "import inspect, sys; inspect.getsource = inspect.findsource = None\n"
        "from typer.testing import CliRunner; from mnist_arch_cli.app import app\n"
        "result = CliRunner().invoke(app, sys.argv[1:]); assert result.exit_code == 0, result\n"
        "print(*(it for it in sys.modules if it[-8:] == '.command' and it[:6] == 'mnist_'))"
    )
    for arguments, room in ((["runs"], "runs"), (["zoo"], "zoo"), (["summary"], "summary")):
        command = [sys.executable, "-c", script, *arguments]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert result.stdout.split() == [f"mnist_arch_cli.{room}.command"]


@pytest.mark.slow
def test_a_network_is_found_without_what_lists_runs_and_read_without_what_downloads(
    tmp_path: Path,
) -> None:
    script = (
        "import sys; from pathlib import Path; from mnist_arch import load_split\n"
        "from mnist_arch.runs.resolve import find_spec\n"
        "find_spec('s6', runs=Path()), load_split('mnist-5k', 'test')\n"
        "print(*(it for it in sys.modules if it in sys.argv))"
    )
    rare = ("mnist_arch.runs.listing", "mnist_arch.data.download")
    command = [sys.executable, "-c", script, *rare]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.slow
def test_importing_the_library_is_light() -> None:
    script = "import sys, mnist_arch; print(*(set(sys.modules) & set(sys.argv[1:])))"
    command = [sys.executable, "-c", script, *HEAVY, "typer", "rich", "yaml"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


# --------------------------------------------------------------------------------------- the public


def test_every_public_name_is_there() -> None:
    assert len(mnist_arch.__all__) == len(set(mnist_arch.__all__))
    assert set(mnist_arch.__all__) <= set(dir(mnist_arch))
    for name in mnist_arch.__all__:
        assert getattr(mnist_arch, name).__module__.startswith("mnist_arch.")
    assert mnist_arch.__version__ == version("mnist-arch")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mnist_arch.nothing


def test_names_for_type_checkers_are_those_for_the_program() -> None:
    """Public names stand in two places: where types are checked, and in a table."""
    (block,) = (
        node
        for node in ast.parse((LIBRARY / "__init__.py").read_text()).body
        if isinstance(node, ast.If)
    )
    found = {
        alias.name: (node.module or "").removeprefix("mnist_arch.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert found == {name: mnist_arch._WHERE.get(name, "errors") for name in mnist_arch.__all__}


@pytest.mark.slow
def test_what_is_public_says_what_it_is() -> None:
    def rule(path: Path) -> Iterator[str]:
        tree = ast.parse(path.read_text("utf-8"))
        if path.name == "__init__.py" and not tree.body:
            return  # a room says what it is in its modules
        if not ast.get_docstring(tree):
            yield "the module"
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    yield node.name

    assert broken(rule, LIBRARY_FILES) == []


# ----------------------------------------------------------------------------------------- options

OPTIONS = {
    "summary": "specs --blocks --verify --markdown --svg --latex --schema --set --runs --json",
    "train": "spec --epochs --seed --seeds --dataset --data-dir --holdout --device --engine "
    "--threads --out --runs --resume --from-manifest --again --dry-run --require --log --set "
    "--progress --quiet --json",
    "eval": "what --split --dataset --data-dir --spec --gallery --tta --device --threads --runs "
    "--progress --quiet --json",
    "sweep": "file --workers --executor --ray-address --dataset --epochs --data-dir --device --out "
    "--retry-failed --dry-run --show --csv --progress --quiet --json",
    "audit": "files --budget --defend --data-dir --device --threads --out --progress --quiet "
    "--csv --json",
    "check": "folders --budget --rerun --data-dir --csv --quiet --json",
    "import": "what --out --dropout --choose --partial --weights --json",
    "report": "what --out --runs --data-dir",
    "runs": "--where --sort --runs --csv --json",
    "runs list": "pattern --where --sort --runs --csv --json",
    "runs compare": "what --runs --json",
    "runs rename": "what new --runs",
    "runs remove": "what --empty-bin --runs",
    "runs pack": "what --out --runs",
    "play": "what --out --open --runs",
    "predict": "files --run --spec --runs --json",
    "zoo": "--json",
    "zoo show": "name --json",
    "export": "what --format --out --int8 --spec --data-dir --runs --json",
}
"""A knob of a network or of its training belongs into the file, where `--set` reaches it."""


def test_options_are_frozen() -> None:
    commands = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for group in ("runs", "zoo"):
        inside = commands[group].commands
        commands |= {f"{group} {name}": command for name, command in inside.items()}
    found = {
        name: " ".join(parameter.opts[0] for parameter in command.params)
        for name, command in commands.items()
    }
    assert found == OPTIONS


# ----------------------------------------------------------------------------------- files and text


def test_packages_carry_all_their_files() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = ["*.py", *settings["package-data"]["*"], "native-*.so"]  # which are built
    for package in (LIBRARY, TERMINAL):
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert any(fnmatch(path.name, pattern) for pattern in patterns), named(path)
        assert (package / "py.typed").exists()


def named_in(requirements: list[str]) -> set[str]:
    """Distributions of requirements such as `torch>=2.8`."""
    return {re.split(r"[^\w-]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.slow
def test_what_is_imported_is_what_is_declared() -> None:
    """So that an environment without the extra `dev` has all that it needs, and no more."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = sys.stdlib_module_names | {"mnist_arch"}
    foreign = set[str]().union(*(imported(path) for path in ALL_FILES)) - own
    provided = packages_distributions()
    found = {provided[name][0].lower().replace("_", "-") for name in foreign}
    kept = ("export", "pandas", "ray", "search", "tensorboard")
    declared = [*project["dependencies"], *(it for extra in kept for it in extras[extra])]
    assert found == named_in(declared)


FORBIDDEN = {
    r"/(?:work|home|root|Users)/\w": "a folder of somebody's machine",
    r"\b(?:TODO|FIXME|XXX)\b": "a note of something undone",
    r"(?i)\bissues? #?\d": "a number that only some can look up",
    r"@@\w+@@": "a blank that was not filled in",
}
OUTSIDE = r"\.\./shared\b"


def tracked() -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    names = result.stdout.split("\0") if result.returncode == 0 else []
    paths = [ROOT / name for name in names if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()]


@pytest.mark.slow
def test_no_text_says_what_only_its_writer_can_know() -> None:
    paths = tracked()
    if not paths:
        pytest.skip("this is no git checkout")
    found = []
    for path in paths:
        text = path.read_text("utf-8")
        if path == Path(__file__):
            continue
        found += [
            f"{named(path)}: {why}" for word, why in FORBIDDEN.items() if re.search(word, text)
        ]
        if re.search(OUTSIDE, text) and not named(path).startswith((".ci/run", "tests/")):
            found.append(f"{named(path)}: a folder outside the project")
    assert found == []


# ------------------------------------------------------------------------------------------- tests


def test_no_test_asserts_how_long_something_takes() -> None:
    """What else runs on a machine decides that; `calls_in` counts, `wait_until` waits."""

    clock = re.compile(r"\btime\.\w+\(")

    def rule(path: Path) -> Iterator[str]:
        for node in nodes(path):
            if isinstance(node, ast.Assert) and clock.search(ast.unparse(node)):
                yield ast.unparse(node)

    paths = sorted((ROOT / "tests").rglob("*.py"))
    assert broken(rule, [path for path in paths if clock.search(path.read_text("utf-8"))]) == []


def test_a_test_that_starts_python_is_slow() -> None:
    with pytest.raises(pytest.fail.Exception, match="not marked `slow` starts Python"):
        subprocess.run([sys.executable, "--version"], check=True)


def test_every_module_can_be_imported_by_its_name() -> None:
    for path in [*ALL_FILES, START]:
        first, *inside = path.relative_to(ROOT).with_suffix("").parts
        import_module(".".join(("mnist_arch_cli" if first == "cli" else first, *inside)))

"""From the file of a sweep to what is compared, and every mistake in it at its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from profiles import examples, is_gate
from strategies import Draw, Mapping, text_of

from mnist_arch.errors import Problem, ShapeError, SpecError
from mnist_arch.spec.loading import load, validated
from mnist_arch.spec.strict_yaml import MAX_BYTES
from mnist_arch.spec.validation import NEEDS_A_NAME
from mnist_arch.spec.yaml_faults import NO_ANCHORS
from mnist_arch.sweeps.axes import Axis
from mnist_arch.sweeps.loading import Definition, Listed, load_sweep
from mnist_arch.sweeps.planning import plan_sweep
from mnist_arch.sweeps.spec import MAX_AXES, MAX_TRIALS, Categorical, Floats, Integers, Sweep
from mnist_arch.zoo.index import zoo_names

EXPERIMENTS = Path(__file__).parents[2] / "experiments.yaml"
ARM = "experiments: [{name: quick}]\n"
NETWORK = "blocks: [{channels: [8], reduce: 10}]\nhead: {pool: global-average}\n"
HOW_TO = "a sweep is a YAML file with `experiments`, a `grid` or a `search`"
AT_THE_TOP = "set it at the top of the sweep's file"
ALONE = "each value of an axis has to fit the base by itself"
NETWORKS = f"networks by name: {', '.join(zoo_names())}; a file is given by its path, such as"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory, so that paths are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def define(text: str, *, file: str = "sweep.yaml", **flags: Any) -> Definition:
    Path(file).write_text(text, "utf-8")
    return load_sweep(Path(file), **flags)


def problems(text: str, **flags: Any) -> list[Problem]:
    with pytest.raises(SpecError) as caught:
        define(text, **flags)
    return list(caught.value.problems)


def problem(text: str, **flags: Any) -> Problem:
    (found,) = problems(text, **flags)
    return found


def names(found: list[Problem]) -> list[tuple[str, str]]:
    """Place and line of each."""
    return [(it.place, it.origin.removeprefix("sweep.yaml:")) for it in found]


# ----------------------------------------------------------------------- the whole file


def test_everything_that_is_not_said_has_a_default() -> None:
    definition = define(ARM)
    sweep = definition.sweep
    assert (sweep.name, sweep.base, sweep.dataset, sweep.holdout) == ("sweep", "s6", "auto", None)
    assert (sweep.seeds, sweep.finalists, sweep.search, sweep.budget) == (3, None, None, None)
    assert (sweep.resources.cpus, sweep.resources.gpus) == (1.0, 0.0)
    assert (definition.source, definition.above, definition.axes) == ("sweep.yaml", (), ())
    assert [it.name for it in definition.listed] == ["quick"]
    base = validated(definition.base, "")
    assert base == load("s6").experiment.model_copy(update={"name": "base"})


def test_sweep_is_called_as_its_file_unless_it_has_a_name(folder: Path) -> None:
    assert define(ARM, file="widths.yaml").sweep.name == "widths"
    assert define(f"name: other\n{ARM}", file="widths.yaml").sweep.name == "other"
    assert load_sweep(folder / "widths.yaml").sweep.name == "other"


def test_file_whose_stem_is_no_name_gets_one_made_or_needs_one() -> None:
    assert define(ARM, file="my sweep.yaml").sweep.name == "my-sweep"
    assert define(f"name: mine\n{ARM}", file="my sweep.yaml").sweep.name == "mine"
    (found,) = problems(ARM, file="網.yaml")
    assert (found.message, found.origin) == ("`name` is missing", "網.yaml:1")


def test_file_that_cannot_be_read(folder: Path) -> None:
    (folder / "folder.yaml").mkdir()
    said = {
        "nowhere.yaml": "No such file or directory",
        "folder.yaml": "Is a directory",
        "": "Is a directory",
    }
    for name, reason in said.items():
        with pytest.raises(SpecError) as caught:
            load_sweep(Path(name))
        message = f"{name or '.'!r} cannot be read: {reason}"
        assert caught.value.problems == (Problem(message, hint=HOW_TO),)
    with pytest.raises(SpecError, match="embedded null byte"):
        load_sweep(Path("null\0.yaml"))


def test_name_of_a_network_is_no_sweep_and_a_suffix_may_be_forgotten() -> None:
    define(ARM, file="widths.yaml")
    for name, hint in {"s6": HOW_TO, "widths": "did you mean the file `widths.yaml`?"}.items():
        with pytest.raises(SpecError) as caught:
            load_sweep(Path(name))
        message = f"{name!r} cannot be read: No such file or directory"
        assert caught.value.problems == (Problem(message, hint=hint),)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", Problem("a sweep is a mapping of keys to values", "", "sweep.yaml", HOW_TO)),
        ("# no\n", Problem("a sweep is a mapping of keys to values", "", "sweep.yaml", HOW_TO)),
        ("- a\n", Problem("a sweep is a mapping of keys to values", "", "sweep.yaml:1", HOW_TO)),
        ("\nword", Problem("a sweep is a mapping of keys to values", "", "sweep.yaml:2", HOW_TO)),
        (
            "grid: [\n",
            Problem(
                "not valid YAML: the bracket `[` is not closed",
                origin="sweep.yaml:1",
                hint="close it with `]`",
            ),
        ),
        (
            f"{ARM}seeds: 3\nseeds: 4\n",
            Problem(
                "the key `seeds` stands here again",
                origin="sweep.yaml:3",
                hint="it was first given at sweep.yaml:2",
            ),
        ),
        (
            "grid: &all {}\n",
            Problem(NO_ANCHORS[0], origin="sweep.yaml:1", hint=NO_ANCHORS[2]),
        ),
        (
            "#" * (MAX_BYTES + 1),
            Problem("the text is longer than 1,048,576 bytes", origin="sweep.yaml"),
        ),
    ],
)
def test_file_that_is_no_sweep(text: str, found: Problem) -> None:
    assert problem(text) == found


def test_all_problems_of_the_file_are_told_at_once_in_its_own_order_of_keys() -> None:
    found = problems(
        "seeds: 0\n"
        "dataset: minst\n"
        "holdout: 0\n"
        "finalists: {top: 0, seed: 3}\n"
        "resources: {cpu: 2, gpus: -1}\n"
        "budget: {parameters_below: x, accuracy: 99}\n"
        "experiment: []\n"
    )
    assert names(found) == [
        ("dataset", "2"),
        ("holdout", "3"),
        ("seeds", "1"),
        ("finalists.top", "4"),
        ("finalists.seed", "4"),
        ("budget.parameters_below", "6"),
        ("budget.accuracy", "6"),
        ("resources.gpus", "5"),
        ("resources.cpu", "5"),
        ("experiment", "7"),
    ]
    keys = ", ".join(sorted(Sweep.model_fields))
    said = {it.place: it for it in found}
    assert said["experiment"].message == "unknown key `experiment`"
    assert said["experiment"].hint == f"did you mean `experiments`? valid: {keys}"
    assert said["finalists.seed"].hint == "did you mean `seeds`? valid: front, seeds, top"
    assert said["dataset"].message == "'minst' is not one of the values"
    assert said["dataset"].hint.startswith("did you mean `mnist`?")
    assert said["budget.accuracy"].hint.startswith("did you mean `accuracy_percent: 99`?")
    assert said["seeds"].message == "must be more than 0, not 0"


@pytest.mark.parametrize(
    ("line", "path", "message"),
    [
        ("name: a b", "name", "must be letters, digits, dots, dashes and underscores, at most 64"),
        ("name: 5", "name", "must be a word"),
        ("name:", "name", "must be a word"),
        ("seeds: 3.0", "seeds", "must be a whole number"),
        ("seeds: true", "seeds", "must be a whole number"),
        ("seeds: 1001", "seeds", "must be at most 1000"),
        ("holdout: 1e3", "holdout", "must be a whole number"),
        ("holdout: -1", "holdout", "must be more than 0"),
        ("finalists: 2", "finalists", "must be an object with keys"),
        ("finalists: {top: 101}", "finalists.top", "must be at most 100"),
        ("finalists: {seeds: 0}", "finalists.seeds", "must be more than 0"),
        ("resources: []", "resources", "must be an object with keys"),
        ("resources:", "resources", "must be an object with keys"),
        ("resources: {cpus: 0}", "resources.cpus", "must be more than 0"),
        ("resources: {cpus: .inf}", "resources.cpus", "must be a finite number"),
        ("budget: 3", "budget", "must be an object with keys"),
        ("dataset: 3", "dataset", "3 is not one of the values"),
        ("dataset:", "dataset", "null is not one of the values"),
        ("search: 3", "search", "must be an object with keys"),
    ],
)
def test_value_that_does_not_fit(line: str, path: str, message: str) -> None:
    found = problem(f"{ARM}{line}\n")
    assert (found.place, found.origin) == (path, "sweep.yaml:2")
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("experiments: {a: b}", "experiments", "must be a list, not {'a': 'b'}"),
        ("experiments:", "experiments", "must be a list, not null"),
        ("experiments: [5]", "experiments[0]", "must be an object with keys, not 5"),
        ("grid: []", "grid", "must be an object with keys, not []"),
        ("grid:", "grid", "must be an object with keys, not null"),
        ("grid: {recipe.epochs: 3}", "grid.recipe.epochs", "must be a list, not 3"),
        ("grid: {recipe.epochs: []}", "grid.recipe.epochs", "must have at least 1 item, not []"),
    ],
)
def test_arms_of_another_form(text: str, path: str, message: str) -> None:
    found = problem(text)
    assert (found.message, found.place, found.origin) == (message, path, "sweep.yaml:1")


@pytest.mark.parametrize("text", ["seeds: 3", "experiments: []", "grid: {}", "search:\ngrid: {}"])
def test_sweep_without_arms(text: str) -> None:
    message = "a sweep needs `experiments`, a `grid` or a `search`"
    assert problem(text) == Problem(message, "", "sweep.yaml:1")


@pytest.mark.parametrize("key", ["blocks", "recipe", "head", "defaults", "classes", "extends"])
def test_key_of_an_experiment_at_the_top(key: str) -> None:
    found = problem(f"{ARM}{key}: x\n")
    assert (found.message, found.origin) == (f"unknown key `{key}`", "sweep.yaml:2")
    assert found.hint.startswith(f"a key of an experiment: set `{key}` under `base`: `base: {{")


def test_file_of_a_network_is_told_from_that_of_a_sweep() -> None:
    text = (Path(__file__).parents[1] / "fixtures" / "mine.yaml").read_text("utf-8")
    found = problems(text)
    assert found
    assert all("under `base`" in it.hint for it in found)


# ----------------------------------------------------------------------- the base


def test_base_is_a_name_a_path_or_a_spec(folder: Path) -> None:
    (folder / "nets").mkdir()
    (folder / "nets" / "mine.yaml").write_text("name: other\nextends: s6\nclasses: 10\n")
    s6 = load("s6").experiment
    for base in ("s6", "nets/mine.yaml", str(folder / "nets" / "mine.yaml"), "{extends: s6}"):
        assert validated(define(f"base: {base}\n{ARM}").base, "").blocks == s6.blocks
    own = define(f"base:\n  {NETWORK.replace(chr(10), chr(10) + '  ')}\n{ARM}")
    assert validated(own.base, "").blocks[0].channels[0].out == 8
    inherits = define(f"base: {{extends: s6, recipe: {{epochs: 2}}}}\n{ARM}")
    assert validated(inherits.base, "").recipe == s6.recipe.model_copy(update={"epochs": 2})


def test_path_of_the_base_starts_from_the_folder_of_the_sweep(folder: Path) -> None:
    (folder / "sweeps").mkdir()
    (folder / "mine.yaml").write_text(NETWORK)
    for text in ("base: ../mine.yaml\n", "base: {extends: ../mine.yaml}\n"):
        definition = define(f"{text}experiments: [{{name: a}}]\n", file="sweeps/sweep.yaml")
        assert validated(definition.base, "").blocks[0].channels[0].out == 8
    found = problem("base: mine.yaml\n" + ARM, file="sweeps/sweep.yaml")
    assert found.message == "'sweeps/mine.yaml' cannot be read: No such file or directory"


def test_base_that_there_is_not() -> None:
    found = problem(f"{ARM}base: s66\n")
    assert found.message == "no network is named 's66'"
    assert (found.origin, found.hint) == ("sweep.yaml:2", "did you mean `s6`?")
    Path("mine.yaml").write_text(NETWORK)
    assert problem(f"{ARM}base: mine\n").hint == "did you mean the file `mine.yaml`?"
    found = problem(f"{ARM}base: nowhere.yaml\n")
    assert found.message == "'nowhere.yaml' cannot be read: No such file or directory"
    assert found.hint == f"{NETWORKS} mine.yaml"


@pytest.mark.parametrize("base", ["5", "[s6]", "", "true", "0.5"])
def test_base_of_another_form(base: str) -> None:
    message = "must be a spec, a name or a path"
    assert problem(f"base: {base}\n{ARM}") == Problem(message, "base", "sweep.yaml:1")


def test_problems_of_the_base_are_told_once_at_their_lines() -> None:
    Path("mine.yaml").write_text("extends: s6\nrecipe: {epochs: 0}\n")
    text = "base:\n  extends: {}\n  classes: 10\n  recipe: {{epoch: 3}}\n"
    found = problems(text.format("mine.yaml").replace("{{", "{").replace("}}", "}") + ARM)
    assert names(found) == [("base.recipe.epochs", "mine.yaml:2"), ("base.recipe.epoch", "4")]
    assert found[1].hint.startswith("did you mean `epochs`?")
    missing = problem(f"base: {{classes: 10}}\n{ARM}")
    assert (missing.message, missing.place) == ("`blocks` is missing", "base.blocks")
    assert missing.origin == "sweep.yaml:1"


@pytest.mark.parametrize(
    ("key", "value"), [("name", "a"), ("dataset", "mnist"), ("holdout", "5"), ("budget", "{}")]
)
def test_what_is_the_same_for_all_stands_at_the_top_and_not_in_the_base(
    key: str, value: str
) -> None:
    found = problem(f"base:\n  extends: s6\n  {key}: {value}\n{ARM}")
    message = f"`{key}` is the same for a whole sweep"
    assert found == Problem(message, f"base.{key}", "sweep.yaml:3", AT_THE_TOP)


def test_dataset_holdout_and_budget_are_those_of_the_base_unless_set() -> None:
    Path("mine.yaml").write_text(
        "extends: s6\ndataset: kmnist\nholdout: 700\n"
        "budget: {parameters_below: 9000, epochs_below: 30}\n"
    )
    definition = define(f"base: mine.yaml\n{ARM}")
    assert (definition.sweep.dataset, definition.sweep.holdout) == ("kmnist", 700)
    assert validated(definition.base, "").budget.parameters_below == 9000
    own = "dataset: qmnist\nholdout: 800\nbudget: {parameters_below: 5000}\n"
    definition = define(f"base: mine.yaml\n{own}{ARM}")
    assert (definition.sweep.dataset, definition.sweep.holdout) == ("qmnist", 800)
    budget = validated(definition.base, "").budget
    assert (budget.parameters_below, budget.epochs_below) == (5000, 30)
    definition = define(f"base: mine.yaml\ndataset: auto\nholdout:\nbudget:\n{ARM}")
    assert (definition.sweep.dataset, definition.sweep.holdout) == ("auto", 700)
    assert validated(definition.base, "").budget.parameters_below == 9000


# ----------------------------------------------------------------------- the list


def listed(text: str, **flags: Any) -> dict[str, Listed]:
    return {it.name: it for it in define(text, **flags).listed}


def test_experiment_is_the_base_and_what_it_says() -> None:
    text = (
        "base: {extends: s6, recipe: {epochs: 8, ema: 0.5}}\n"
        "experiments:\n"
        "  - name: quick\n"
        "  - {name: no-ema, recipe: {ema: null}}\n"
        "  - {name: sums, recipe: {optimizer: {kind: adamw}}, defaults: {dropout: 1e-1}}\n"
        "  - {name: plain, recipe: {extends: plain, epochs: 8}}\n"
    )
    found = {name: it.counted.experiment for name, it in listed(text).items()}
    assert list(found) == ["quick", "no-ema", "sums", "plain"]
    assert [it.name for it in found.values()] == list(found)
    assert [it.recipe.epochs for it in found.values()] == [8, 8, 8, 8]
    assert [it.recipe.ema for it in found.values()] == [0.5, None, 0.5, None]
    assert found["sums"].recipe.optimizer.kind == "adamw"
    assert found["sums"].defaults.dropout.rate == 0.1


def test_experiment_that_extends_has_another_base(folder: Path) -> None:
    (folder / "sweeps").mkdir()
    (folder / "mine.yaml").write_text(
        f"{NETWORK}dataset: kmnist\nholdout: 9\nbudget: {{parameters_below: 5, epochs_below: 7}}\n"
    )
    text = (
        "base: {extends: s6, recipe: {epochs: 8}}\n"
        "dataset: mnist\n"
        "budget: {parameters_below: 15000}\n"
        "experiments:\n"
        "  - {name: a, extends: ../mine.yaml, recipe: {ema: null}}\n"
        "  - {name: b, extends: s6}\n"
    )
    found = {
        name: it.counted.experiment for name, it in listed(text, file="sweeps/sweep.yaml").items()
    }
    assert found["a"].blocks[0].channels[0].out == 8
    assert (found["a"].recipe.epochs, found["a"].recipe.ema) == (19, None)
    assert found["b"].recipe == load("s6").experiment.recipe
    # What the whole sweep has in common is that of its own base.
    assert found["a"].budget == found["b"].budget
    assert found["a"].budget.parameters_below == 15_000
    assert found["a"].budget.epochs_below == load("s6").experiment.budget.epochs_below
    assert (found["a"].dataset, found["a"].holdout) == ("mnist", 0)


def test_all_problems_of_the_list_are_told_at_once() -> None:
    found = problems(
        "experiments:\n"
        "  - {name: a}\n"
        "  - {name: a, holdout: 3, dataset: mnist, budget: {}}\n"
        "  - {recipe: {epochs: 0}}\n"
        "  - {name: c d}\n"
        "  - {name: 5}\n"
        "  - {name: e, extends: s66}\n"
        "  - {name: f, extends: s6, recipe: {epoc: 4}}\n"
        "  - name: g\n"
        "    recipe:\n"
        "      epochs: five\n"
        "      schedule: {peek: 1e-3}\n"
    )
    assert names(found) == [
        ("experiments[1].holdout", "3"),
        ("experiments[1].dataset", "3"),
        ("experiments[1].budget", "3"),
        ("experiments[1].name", "3"),
        ("experiments[2].name", "4"),
        ("experiments[2].recipe.epochs", "4"),
        ("experiments[3].name", "5"),
        ("experiments[4].name", "6"),
        ("experiments[5].extends", "7"),
        ("experiments[6].recipe.epoc", "8"),
        ("experiments[7].recipe.epochs", "11"),
        ("experiments[7].recipe.schedule.peek", "12"),
    ]
    assert found[0].message == "`holdout` is the same for a whole sweep"
    assert found[0].hint == AT_THE_TOP
    assert found[3].message == "the name 'a' stands here again"
    assert found[3].hint == "it was first given at sweep.yaml:2"
    assert found[4].message == "`name` is missing"
    assert found[8].hint == "did you mean `s6`?"
    assert found[9].hint.startswith("did you mean `epochs`?")
    assert found[10].message == "must be a whole number, not 'five'"


def test_problems_of_list_and_axes_are_told_together() -> None:
    found = problems(
        "experiments: [{name: a, recipe: {epochs: 0}}]\n"
        "grid:\n"
        "  recipe.epoch: [3]\n"
        "search: {trials: 3, space: {recipe.optimizer.kind: [adan]}}\n"
    )
    assert names(found) == [
        ("experiments[0].recipe.epochs", "1"),
        ("recipe.epoch", "3"),
        ("recipe.optimizer.kind", "4"),
    ]


def test_experiment_without_a_name_that_extends_is_told_once() -> None:
    message = "`name` is missing"
    found = problem("experiments: [{extends: s6}]")
    assert found == Problem(message, "experiments[0].name", "sweep.yaml:1", NEEDS_A_NAME)


def test_experiment_that_cannot_be_connected_is_told_at_its_own_line() -> None:
    text = (
        "experiments:\n"
        "  - name: a\n"
        "    blocks:\n"
        "      - {channels: [8], reduce: 9}\n"
        "  - name: b\n"
        "    blocks:\n"
        "      - {channels: [8]}\n"
        "      - {channels: [9], kind: grouped, groups: 2}\n"
    )
    with pytest.raises(SpecError) as caught:
        define(text)
    assert names(list(caught.value.problems)) == [
        # The head, which does not fit, is the base's: its file has nothing wrong in it.
        ("experiments[0].head", "2"),
        ("experiments[1].blocks[1].channels[0]", "8"),
    ]
    assert caught.value.problems[0].message.startswith("the network ends in 9×9×9")


def test_mistake_that_an_experiment_brings_along_is_told_where_it_stands() -> None:
    Path("mine.yaml").write_text("blocks:\n  - {channels: [8], reduce: 9}\n")
    found = problem("experiments: [{name: a, extends: mine.yaml}]")
    assert (found.place, found.origin) == ("experiments[0].head", "")
    Path("mine.yaml").write_text("\nblocks: 3\n")
    found = problem("experiments: [{name: a, extends: mine.yaml}]")
    assert (found.place, found.origin) == ("experiments[0].blocks", "mine.yaml:2")


# ----------------------------------------------------------------------- the grid


def axes(text: str, **flags: Any) -> tuple[Axis, ...]:
    return define(text, **flags).axes


def test_axis_has_its_levels_in_their_order() -> None:
    text = (
        "grid:\n"
        "  defaults.dropout: [0.2, 1e-1, 0]\n"
        "  blocks[1].pool.kind:\n    - max\n    - average\n"
        "  recipe.ema: [null, .5]\n"
        "  recipe.schedule: [{kind: cosine, peak: 1E-1}, {kind: step}]\n"
        "  blocks.2.channels: [[8, 16], [32]]\n"
        "  defaults.bias: [True, false]\n"
    )
    found = axes(text)
    assert [(axis.place, axis.texts) for axis in found] == [
        ("defaults.dropout", ("0.2", "0.1", "0")),
        ("blocks[1].pool.kind", ("max", "average")),
        ("recipe.ema", ("null", "0.5")),
        ("recipe.schedule", ("{kind: cosine, peak: 0.1}", "{kind: step}")),
        ("blocks.2.channels", ("[8, 16]", "[32]")),
        ("defaults.bias", ("true", "false")),
    ]
    assert found[1].levels[1].path == ("blocks", 1, "pool", "kind")
    assert found[1].levels[1].value.origin == "sweep.yaml:5"


@pytest.mark.parametrize(
    ("path", "place", "message", "hint"),
    [
        ("recipe.epoch", "recipe.epoch", "unknown key `epoch`", "did you mean `epochs`?"),
        ("recipe.scheduel.peak", "recipe.scheduel", "unknown key `scheduel`", "did you mean"),
        ("recpie.epochs", "recpie", "unknown key `recpie`", "did you mean `recipe`?"),
        ("epochs", "epochs", "unknown key `epochs`", "here it is `recipe.epochs`"),
        (
            "blocs.0.channels.0",
            "blocs[0].channels[0]",
            "the spec has no `blocs`",
            "did you mean `blocks`?",
        ),
        (
            "blocks.0.chanels.0",
            "blocks[0].chanels[0]",
            "blocks[0] has no `chanels`",
            "did you mean `channels`?",
        ),
        (
            "blocks.0.widths.0",
            "blocks[0].widths[0]",
            "blocks[0] has no `widths`",
            "did you mean `channels`?",
        ),
        ("blocks.3.pool", "blocks[3].pool", "blocks has the items 0 to 2, not 3", ""),
        ("blocks.-1.pool", "blocks.-1.pool", "blocks has the items 0 to 2, not -1", ""),
        (
            "head.pool.size",
            "head.pool.size",
            "head.pool is no mapping with a key size",
            "here it is `head.size`: `size: 3` in `head`",
        ),
        ("a..b", "", "'a..b' is not a path", "such as blocks.1.dropout"),
        ("a b", "", "'a b' is not a path", "such as blocks.1.dropout"),
        (" .", "", "' .' is not a path", "such as blocks.1.dropout"),
    ],
)
def test_axis_of_a_path_that_there_is_not(path: str, place: str, message: str, hint: str) -> None:
    found = problem(f'grid:\n  "{path}":\n    - 3\n    - 4\n    - 5\n')
    assert found.place == place
    assert found.message == message
    assert found.hint.startswith(hint)
    assert found.origin == "sweep.yaml:3"


def test_values_that_do_not_fit_are_told_each_at_its_line() -> None:
    found = problems(
        "grid:\n"
        "  recipe.epochs:\n"
        "    - 3\n"
        "    - five\n"
        "    - 0\n"
        "    - 3.0\n"
        "  defaults.dropout: [0.1, 1.0, {rate: 0.1,\n"
        "    kinds: spatial}]\n"
        "  recipe.optimizer:\n"
        "    - kind: adan\n"
        "    - kind: adamw\n"
        "      momentum: 0.5\n"
    )
    assert names(found) == [
        ("recipe.epochs", "4"),
        ("recipe.epochs", "5"),
        ("recipe.epochs", "6"),
        ("defaults.dropout", "7"),
        ("defaults.dropout.kinds", "8"),
        ("recipe.optimizer.kind", "10"),
        ("recipe.optimizer.momentum", "12"),
    ]
    assert found[2].message == "must be a whole number, not 3.0"
    assert (
        found[5].hint == "did you mean `adam`? valid: sgd, adam, adamw, rmsprop, adadelta, adagrad"
    )


def test_value_that_breaks_something_else_is_told_at_its_own_line() -> None:
    """The rule that is broken may stand in the base, whose file has nothing wrong in it."""
    text = "base: {blocks: [{channels: [8], reduce: 10}]}\ngrid:\n  head.pool:\n    - average\n"
    message = "`size` belongs to `pool: average`, which needs it"
    assert problem(text) == Problem(message, "head", "sweep.yaml:4", ALONE)
    text = "grid:\n  recipe.optimizer.momentum: [0.5, 0]\n"
    message = "`nesterov` needs a momentum above 0"
    assert problem(text) == Problem(message, "recipe.optimizer", "sweep.yaml:2", ALONE)


@pytest.mark.parametrize(
    ("levels", "text"),
    [
        ("[0.1, 0.2, 1e-1]", "0.1"),
        ("[0, 0.1, 0]", "0"),
        ("[{rate: 0.1}, {rate: 0.10}]", "{rate: 0.1}"),
    ],
)
def test_repeated_level(levels: str, text: str) -> None:
    found = problem(f"grid:\n  defaults.dropout: {levels}\n")
    hint = "it was first given at sweep.yaml:2"
    message = f"the value {text} stands here again"
    assert found == Problem(message, "defaults.dropout", "sweep.yaml:2", hint)


@pytest.mark.parametrize(
    ("first", "second", "hint"),
    [
        ("blocks.0.dropout: [0, 0.1]", "blocks[0].dropout: [0, 0.2]", "leave one of them out"),
        (
            "recipe.schedule.peak: [0.1, 0.2]",
            "recipe.schedule: [{kind: cosine}, {kind: step}]",
            "put it before `recipe.schedule.peak`",
        ),
        (
            "recipe.optimizer.momentum: [0.8, 0.9]",
            "recipe.optimizer.kind: [sgd, adamw]",
            "put it before `recipe.optimizer.momentum`",
        ),
        (
            "recipe.ema: [null, 0.9]",
            "recipe.extends: [plain, s6]",
            "put it before `recipe.ema`",
        ),
    ],
)
def test_axis_that_would_undo_another(first: str, second: str, hint: str) -> None:
    path, other = (line.partition(":")[0] for line in (second, first))
    found = problem(f"grid:\n  {first}\n  {second}\n")
    assert found.message == f"this axis would replace what the axis `{other}` sets"
    assert (found.place, found.origin) == (path, "sweep.yaml:3")
    assert found.hint == hint
    if path != other and "blocks" not in path:
        assert len(axes(f"grid:\n  {second}\n  {first}\n")) == 2


def test_kind_that_decides_on_no_keys_undoes_nothing() -> None:
    assert len(axes("grid: {defaults.bias: [true], defaults.kind: [ordinary, separable]}")) == 2
    assert len(axes("grid: {blocks.0.pool.size: [2], blocks.0.pool.kind: [max, average]}")) == 2


def test_what_is_the_same_for_all_is_no_axis() -> None:
    found = problems(
        "grid:\n"
        "  dataset: [mnist]\n"
        "  budget.parameters_below: [3]\n"
        "  ' holdout': [3]\n"
        "  name: [a, b]\n"
        "  extends: [s6]\n"
    )
    top, list_them = AT_THE_TOP, "list such arms under `experiments`"
    assert found == [
        Problem("`dataset` is the same for a whole sweep", "dataset", "sweep.yaml:2", top),
        Problem(
            "`budget` is the same for a whole sweep",
            "budget.parameters_below",
            "sweep.yaml:3",
            top,
        ),
        Problem("`holdout` is the same for a whole sweep", "holdout", "sweep.yaml:4", top),
        Problem("`name` cannot be an axis", "name", "sweep.yaml:5", list_them),
        Problem("`extends` cannot be an axis", "extends", "sweep.yaml:6", list_them),
    ]


def test_grid_of_too_many_trials_or_axes() -> None:
    ten = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
    rows = "".join(f"  blocks.{block}.channels.{i}: {ten}\n" for block in (0, 1) for i in (0, 1))
    message = f"100,020 trials are more than {MAX_TRIALS:,}"
    more = "experiments: [{name: a}, {name: b}]\nseeds: 10\n"
    assert problem(f"{more}grid:\n{rows}") == Problem(
        message, "grid", "sweep.yaml:4", "use fewer values or seeds"
    )
    names = "\n".join(f"  - {{name: a{number}}}" for number in range(101))
    found = problem(f"seeds: 1000\nexperiments:\n{names}\n")
    assert (found.place, found.origin) == ("experiments", "sweep.yaml:3")
    rows = "".join(f"  a{number}: [1, 2]\n" for number in range(MAX_AXES + 1))
    found = problem(f"grid:\n{rows}")
    assert found.place == "grid"
    assert found.message.startswith(f"must have at most {MAX_AXES} items")


# ----------------------------------------------------------------------- the search


def space(text: str) -> dict[str, Any]:
    definition = define(f"search:\n  trials: 3\n  space:\n{text}")
    assert definition.sweep.search is not None
    return dict(definition.sweep.search.space)


def test_dimensions_of_a_space() -> None:
    found = space(
        "    recipe.optimizer.kind: [sgd, adamw]\n"
        "    recipe.ema: {choices: [null, 0.9]}\n"
        "    defaults.norm: {kind: categorical, choices: [batch, {kind: group}]}\n"
        "    blocks.0.channels.0: {kind: int, low: 8, high: 48, step: 4}\n"
        "    blocks.0.channels.1: {kind: int, low: 8, high: 8, log: true}\n"
        "    recipe.schedule.peak: {kind: float, low: 1e-3, high: 1, log: true}\n"
    )
    assert list(found.values()) == [
        Categorical(choices=("sgd", "adamw")),
        Categorical(choices=(None, 0.9)),
        Categorical(choices=("batch", {"kind": "group"})),
        Integers(kind="int", low=8, high=48, step=4),
        Integers(kind="int", low=8, high=8, log=True),
        Floats(kind="float", low=0.001, high=1.0, log=True),
    ]


@pytest.mark.parametrize(
    ("dimension", "message"),
    [
        ("{kind: float, low: 0.3, high: 0.1}", "`low` is more than `high`"),
        ("{kind: float, low: 0, high: 1, log: true}", "`log` needs a `low` above 0"),
        ("{kind: int, low: -1, high: 1, log: true}", "`log` needs a `low` above 0"),
        ("{kind: int, low: 1, high: 9, step: 2, log: true}", "`log` and `step` exclude each other"),
        ("{kind: int, low: 1, high: 9, step: 0}", "must be more than 0, not 0"),
        ("{kind: int, low: 1.5, high: 9}", "must be a whole number, not 1.5"),
        ("{kind: float, low: a, high: 9}", "must be a number, not 'a'"),
        ("{kind: float, low: 0, high: .inf}", "must be a finite number, not .inf"),
        ("{kind: float, low: 0}", "`high` is missing"),
        ("[]", "must have at least 1 item, not []"),
        ("{choices: []}", "must have at least 1 item, not []"),
        ("{kind: integer, low: 1, high: 3}", "'integer' is not one of the values"),
        ("5", "must be an object with keys, not 5"),
    ],
)
def test_dimension_that_is_none(dimension: str, message: str) -> None:
    found = problem(f"search: {{trials: 3, space: {{recipe.clip_norm: {dimension}}}}}")
    assert found.message == message
    assert found.place.startswith("search.space")
    assert found.origin == "sweep.yaml:1"


def test_dimensions_that_are_none_are_told_each_at_its_line() -> None:
    found = problems(
        "search:\n"
        "  trials: 3\n"
        "  space:\n"
        "    recipe.clip_norm: {kind: float, low: 0.3, high: 0.1}\n"
        "    blocks.0.channels.0: {kind: int, low: 8, high: 64, steps: 4}\n"
        "    recipe.ema: []\n"
        "    recipe.epochs:\n"
        "      kind: integer\n"
        "    recipe.batch_size: {low: 8, high: 64}\n"
        "    defaults.dropout: {choice: [0]}\n"
    )
    assert names(found) == [
        ("search.space.recipe.clip_norm", "4"),
        ("search.space.blocks.0.channels.0.steps", "5"),
        ("search.space.recipe.ema", "6"),
        ("search.space.recipe.epochs.kind", "8"),
        ("search.space.recipe.batch_size", "9"),
        ("search.space.defaults.dropout.choices", "10"),
        ("search.space.defaults.dropout.choice", "10"),
    ]
    assert found[1].hint == "did you mean `step`? valid: high, kind, log, low, step"
    assert found[3].hint == "did you mean `int`? valid: categorical, int, float"
    assert found[4].message == "a range needs its `kind`: int or float"
    assert found[6].hint == "did you mean `choices`? valid: choices, kind"


def test_dimensions_that_do_not_fit_the_spec() -> None:
    found = problems(
        "search:\n"
        "  trials: 3\n"
        "  space:\n"
        "    recipe.optimizer.kind: [sgd, adan]\n"
        "    recipe.epochs: {kind: float, low: 1, high: 3}\n"
        "    recipe.epoch: {kind: int, low: 1, high: 3}\n"
        "    blocks.0.channels.0: {kind: int, low: 0,\n"
        "      high: 5000}\n"
        "    recipe.ema: [0.5, null, 0.5]\n"
        "    blocks.0.chanels.0: {choices: [3]}\n"
        "    holdout: [3, 4]\n"
        "    blocks[0].channels[0]: [3]\n"
    )
    assert names(found) == [
        ("recipe.optimizer.kind", "4"),
        ("recipe.epochs", "5"),
        ("recipe.epochs", "5"),
        ("recipe.epoch", "6"),
        ("blocks[0].channels[0]", "7"),
        ("blocks[0].channels[0]", "8"),
        ("recipe.ema", "9"),
        ("blocks[0].chanels[0]", "10"),
        ("holdout", "11"),
        ("blocks[0].channels[0]", "12"),
    ]
    assert (
        found[0].hint == "did you mean `adam`? valid: sgd, adam, adamw, rmsprop, adadelta, adagrad"
    )
    assert found[1].message == "must be a whole number, not 1.0"
    assert found[6].message == "the value 0.5 stands here again"


@pytest.mark.parametrize(
    ("search", "path", "message"),
    [
        ("{}", "search.space", "`space` is missing"),
        ("{space: {}, trials: 1}", "search.space", "must have at least 1 item, not {}"),
        ("{space: {recipe.epochs: [1]}}", "search.trials", "`trials` is missing"),
        (
            "{space: {recipe.epochs: [1]}, trials: 1, sampler: tpa}",
            "search.sampler",
            "'tpa' is not one of the values",
        ),
        (
            "{space: {recipe.epochs: [1]}, trials: 1, pruning: {kind: median}}",
            "search.pruning.from_epoch",
            "`from_epoch` is missing",
        ),
        (
            "{space: {recipe.epochs: [1]}, trials: 1, pruning: {kind: median, from_epoch: 1}, "
            "objective: accuracy-parameters}",
            "search",
            "`pruning` needs `objective: accuracy`, since a front has no order",
        ),
    ],
)
def test_search_that_is_none(search: str, path: str, message: str) -> None:
    found = problems(f"search: {search}")[0]
    assert (found.place, found.message, found.origin) == (path, message, "sweep.yaml:1")


# ----------------------------------------------------------------------- the flags


def test_flags_stand_above_the_file() -> None:
    text = f"dataset: kmnist\nbase: {{extends: s6, recipe: {{epochs: 8}}}}\n{ARM}"
    definition = define(text, dataset="mnist-5k", epochs=2)
    assert definition.sweep.dataset == "mnist-5k"
    ((path, value),) = [(it.path, it.value.value) for it in definition.above]
    assert (path, value) == (("recipe", "epochs"), 2)
    assert definition.above[0].value.origin == "epochs=2"
    plan = plan_sweep(definition, dataset="mnist-5k")
    assert [arm.epochs for arm in plan.arms] == [2]
    assert plan.counted(plan.arms[0], "ranking").origins["recipe.epochs"] == "epochs=2"


def test_arguments_that_do_not_fit() -> None:
    found = problem(ARM, dataset="mnist5k")
    assert (found.place, found.origin) == ("dataset", "dataset='mnist5k'")
    assert found.hint.startswith("did you mean `mnist-5k`?")
    found = problem(ARM, epochs=0)
    assert found == Problem("must be more than 0, not 0", "recipe.epochs", "epochs=0")


def test_axis_that_an_argument_would_replace() -> None:
    message = "epochs=2 would replace all values of this axis"
    hint = "leave out epochs=2, or the axis"
    found = problem("grid:\n  recipe.epochs: [3, 4]\n", epochs=2)
    assert found == Problem(message, "recipe.epochs", "sweep.yaml:2", hint)
    text = "search: {trials: 2, space: {recipe.epochs: {kind: int, low: 3, high: 4}}}"
    found = problem(text, epochs=2)
    assert found == Problem(message, "recipe.epochs", "sweep.yaml:1", hint)


def test_flag_stands_above_an_axis_around_it() -> None:
    text = "grid: {recipe: [{epochs: 3}, {epochs: 4, ema: null}]}"
    plan = plan_sweep(define(text, epochs=2), dataset="mnist")
    assert [arm.epochs for arm in plan.arms] == [2, 2]
    assert [arm.same_as for arm in plan.arms] == ["", ""]


# ----------------------------------------------------------------------- random files

_SETTINGS = settings(
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
"""Of the tests below, each of which says how many examples it takes."""


def define_or_refuse(text: str, file: Path) -> str:
    """Defines and plans: "planned", or that it was refused, with problems that can be printed."""
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        plan_sweep(load_sweep(file), dataset="mnist")
    except SpecError as error:
        _assert_told(error.problems)
        return "refused"
    return "planned"


def _assert_told(found: tuple[Problem, ...]) -> None:
    assert found
    for told in found:
        assert told.message
        assert f"{told.message}{told.place}{told.hint}".isprintable()


_LINES = EXPERIMENTS.read_text("utf-8").splitlines(keepends=True)
_INSERTED = st.sampled_from(
    [
        *("- ", ": ", "{", "}", "[", "]", "null", "0", "-1", "1e9", ".nan", "'", "#", "\0", "é"),
        *("{kind: int, low: 1, high: 2}", "x: y", "[1, 2]", "{}", "[]", "extends: s6", "search:"),
    ]
)


@st.composite
def mutations(draw: Draw) -> str:
    """experiments.yaml with lines dropped, doubled or moved, and text inserted or deleted."""
    lines = list(_LINES)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        column = draw(st.integers(0, len(line)))
        match draw(st.sampled_from(["drop", "double", "uncomment", "insert", "delete", "indent"])):
            case "drop":
                lines[at] = ""
            case "double":
                lines[at] = 2 * line
            case "uncomment":
                lines[at] = line.removeprefix("# ")
            case "insert":
                lines[at] = line[:column] + draw(_INSERTED) + line[column:]
            case "delete":
                lines[at] = line[:column] + line[column + draw(st.integers(1, 9)) :]
            case _:
                lines[at] = f"  {line}"
    return "".join(lines)


@pytest.mark.slow
def test_mutated_file_is_planned_or_refused(tmp_path: Path) -> None:
    outcomes: list[str] = []

    @settings(_SETTINGS, max_examples=examples(150))
    @given(mutations())
    def mutate(text: str) -> None:
        outcomes.append(define_or_refuse(text, tmp_path / "sweep.yaml"))

    mutate()
    if is_gate():
        assert outcomes.count("planned") >= 20
        assert outcomes.count("refused") >= 20


_SCALARS = st.sampled_from(
    [None, True, 0, 1, -1, 3, 0.5, 1e300, "s6", "a", "mnist", "categorical", "int", "", "1e-3"]
)
_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "extends", "recipe", "epochs", "kind", "low", "high", "choices", "top"]
            )
            | st.sampled_from(["recipe.epochs", "blocks.0.channels.0", "space", "trials", "a.b"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(_SETTINGS, max_examples=examples(150))
@given(st.dictionaries(st.sampled_from(sorted(Sweep.model_fields)), _ANYTHING, max_size=4))
def test_values_of_any_form_are_planned_or_refused(tmp_path: Path, spec: Mapping) -> None:
    assert define_or_refuse(text_of(spec), tmp_path / "sweep.yaml") in ("planned", "refused")


@pytest.mark.slow
@settings(_SETTINGS, max_examples=examples(100))
@given(st.text(max_size=40) | st.text("[]{},:-?&*!|>'\"%@`#\n\t 0aé", max_size=40))
def test_any_text_is_refused(tmp_path: Path, text: str) -> None:
    assert define_or_refuse(text, tmp_path / "sweep.yaml") == "refused"


def test_shape_errors_of_the_list_are_spec_errors_too() -> None:
    """The terminal has one exit code for both, and the class of the whole says no more."""
    with pytest.raises(SpecError) as caught:
        define("experiments: [{name: a, blocks: [{channels: [8], reduce: 9}]}]")
    assert not isinstance(caught.value, ShapeError)

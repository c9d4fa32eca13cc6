"""From YAML to a spec: an experiment, validated, and where each of its values came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import ValidationError

from mnist_arch.data.catalog import INFO, DatasetName
from mnist_arch.data.folds import AnyHoldOut, Folds, images_held_out
from mnist_arch.errors import Problem, SpecError
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.overrides import Override, changed
from mnist_arch.spec.recipe import watches_holdout
from mnist_arch.spec.sources import PLAIN, read_tree, with_whole_recipe
from mnist_arch.spec.strict_yaml import KeyPath, Node, parse, place
from mnist_arch.spec.validation import problems_of
from mnist_arch.zoo.index import zoo_names

FELL_BACK: Final = "auto, which came to the embedded sample"
"""Origin of a dataset that is the embedded sample since MNIST was not available."""


@dataclass(frozen=True)
class Loaded:
    """A resolved experiment and the origin of every value that is not a default."""

    experiment: Experiment
    origins: Mapping[str, str] = field(repr=False)
    """Place, such as `recipe.epochs`, to `file:line`, or an argument."""

    def with_dataset(self, name: DatasetName) -> Loaded:
        """The same with what `auto` means. Where that is not MNIST, its origin says so."""
        came_to_sample = (self.experiment.dataset, name) == ("auto", "mnist-5k")
        origins = {"dataset": FELL_BACK} if came_to_sample else {}
        return self.with_values({"dataset": name}, origins)

    def with_values(self, values: Mapping[str, Any], origins: Mapping[str, str]) -> Loaded:
        """The same with other values of keys of the spec, which fit there: none is validated."""
        experiment = self.experiment.model_copy(update=dict(values))
        return Loaded(experiment, {**self.origins, **origins})

    @property
    def fell_back(self) -> bool:
        """Whether it is on the embedded sample since MNIST was not available."""
        return self.origin("dataset") == FELL_BACK

    def origin(self, place: str) -> str:
        """Where the value at `place` was written; empty for a default."""
        return self.origins.get(place, "")

    def near(self, place: str) -> str:
        """Origin of the first value at `place` or in it, else around it; empty if there is none."""
        while place:
            for known, origin in self.origins.items():
                if known == place or known.startswith((f"{place}.", f"{place}[")):
                    return origin
            place = place[: max(place.rfind("."), place.rfind("["), 0)]
        return ""


def load(what: str, *, overrides: Sequence[Override] = ()) -> Loaded:
    """The experiment that `what` names: a network of the zoo, or the path of a YAML file.

    An argument with a separator or a suffix is a path. Raises SpecError with every problem found.
    """
    tree, source = read_tree(what, beside=FilePath())
    return resolve(tree, source, overrides)


def loads(text: str, *, source: str, overrides: Sequence[Override] = ()) -> Loaded:
    """The experiment in `text`, which may come from anywhere: it cannot refer to another file."""
    tree = parse(text, source)
    if isinstance(tree.value, dict) and "extends" in tree.value:
        raise SpecError((Problem("`extends` is not allowed here", "extends", source),))
    return resolve(with_whole_recipe(tree), source, overrides)


def check_dataset(loaded: Loaded) -> None:
    """Refuses an experiment that does not fit its dataset.

    Raises SpecError where the network has not one output for each class, the hold-out leaves a
    class no image to train on, or the schedule watches a hold-out and there is none.
    """
    experiment = loaded.experiment
    name = "mnist" if experiment.dataset == "auto" else experiment.dataset
    if experiment.classes != (classes := INFO[name].classes):
        message = (
            f"{experiment.name} has {experiment.classes} outputs, but {name} has {classes} classes"
        )
        hint = f"set `classes: {classes}` and let the last layer have as many outputs"
        origin = loaded.origin("dataset") or loaded.origin("classes")
        raise SpecError((Problem(message, "classes", origin, hint),))
    check_holdout(experiment.holdout, name, origin=loaded.near("holdout"))
    if watches_holdout(experiment.recipe.schedule) and not experiment.holdout:
        place = "recipe.schedule.watch"
        message = "there is no hold-out whose loss could be watched, and test is never watched"
        hint = "`watch: training`, or hold images out, such as `holdout: 5000`"
        raise SpecError((Problem(message, place, loaded.near(place), hint),))


def check_holdout(holdout: AnyHoldOut, dataset: DatasetName, *, origin: str = "") -> None:
    """Refuses a hold-out that leaves a class of the dataset no training image, or a fold without
    one. Raises SpecError.
    """
    info = INFO[dataset]
    if isinstance(holdout, Folds):
        if holdout.folds > info.most_folds:
            message = f"{holdout.folds:,} folds, and a class of {dataset} has {info.most_folds:,}"
            message, hint = f"{message} training images", f"at most {info.most_folds:,}"
            raise SpecError((Problem(message, "holdout.folds", origin, hint),))
    elif (images := images_held_out(holdout, info.train_images)) > info.most_held_out:
        message = f"{images:,} of the {info.train_images:,} training images of {dataset}"
        hint = f"at most {info.most_held_out:,}"
        raise SpecError((Problem(f"{message} cannot be held out", "holdout", origin, hint),))


def json_schema() -> dict[str, Any]:
    """JSON Schema of a spec file."""
    schema = Experiment.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "Name in the zoo, or path from this file, of the spec that this one starts "
        "from. `blocks`, `head` and an object with a `kind` replace the base's; other keys, and "
        "`defaults`, are merged.",
    }
    named = {"type": "string", "enum": [PLAIN, *zoo_names()]}
    schema["$defs"]["Recipe"]["properties"]["extends"] = {
        **named,
        "description": "Name of the recipe that replaces the inherited one: `plain`, or that of a "
        "network of the zoo. The other keys are merged with it.",
    }
    recipe = schema["properties"]["recipe"]
    recipe["anyOf"] = [{"$ref": recipe.pop("$ref")}, named]
    del schema["required"]
    schema["anyOf"] = [{"required": ["blocks"]}, {"required": ["extends"]}]
    return schema


def resolve(tree: Node, source: str, overrides: Sequence[Override] = ()) -> Loaded:
    """The experiment of a whole tree under its overrides. Raises SpecError with every problem."""
    tree = _under(tree, overrides)
    return Loaded(validated(tree, source), dict(_origins(tree, ())))


def origins_of(tree: Node, overrides: Sequence[Override]) -> dict[str, str]:
    """Where the values of a tree come from under overrides that fit it; see `Loaded.origins`."""
    return dict(_origins(_under(tree, overrides), ()))


def _under(tree: Node, overrides: Sequence[Override]) -> Node:
    for change in overrides:
        tree = changed(tree, change)
    return tree


def validated(tree: Node, source: str) -> Experiment:
    """The experiment of a whole tree. Raises SpecError with every problem."""
    try:
        return Experiment.model_validate(tree.plain())
    except ValidationError as error:
        raise SpecError(problems_of(error, tree), source=source) from None


def _origins(node: Node, path: KeyPath) -> list[tuple[str, str]]:
    """Path and origin of every leaf."""
    match node.value:
        case dict() as entries:
            return [
                pair for key, child in entries.items() for pair in _origins(child, (*path, key))
            ]
        case list() as items:
            return [
                pair
                for index, child in enumerate(items)
                for pair in _origins(child, (*path, index))
            ]
        case _:
            return [(place(path), node.origin)]

"""The digest, held against the plain JSON that it is the hash of."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from strategies import Mapping, files, text_of

from mnist_arch.counting.digest import digest
from mnist_arch.counting.layers import Layer, Residual
from mnist_arch.counting.plan import plan
from mnist_arch.counting.unroll import unroll
from mnist_arch.spec.experiment import Experiment
from mnist_arch.spec.loading import load, loads
from mnist_arch.spec.sources import zoo_names
from mnist_arch.values import FORMAT


def plain_digest(experiment: Experiment) -> str:
    """Nothing is remembered here, and `json` writes the whole."""
    numbers: dict[str, int] = {}

    def plain(layer: Layer | None) -> Any:
        if layer is None:
            return None
        fields = {"op": type(layer.op).__name__, "in": layer.in_shape, "out": layer.out_shape}
        if isinstance(layer.op, Residual):
            body = [plain(inner) for inner in layer.op.body]
            return {**fields, "body": body, "skip": plain(layer.op.skip)}
        values = dataclasses.asdict(layer.op)
        if "weights" in values:
            values["weights"] = numbers.setdefault(values["weights"], len(numbers))
        return {**fields, **{f"op.{name}": value for name, value in values.items()}}

    content = {
        "format": FORMAT,
        "layers": [plain(layer) for layer in unroll(experiment)],
        "recipe": experiment.recipe.model_dump(mode="json"),
        "dataset": experiment.dataset,
        "holdout": experiment.holdout,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def agree(experiment: Experiment) -> None:
    assert digest(experiment) == plain_digest(experiment)
    assert digest(experiment, layers=plan(experiment).layers) == plain_digest(experiment)


@settings(max_examples=100)
@given(file=files())
def test_digest_is_the_hash_of_plain_json(file: Mapping) -> None:
    agree(loads(text_of({**file, "dataset": "mnist"}), source="file.yaml").experiment)


@pytest.mark.parametrize("name", zoo_names())
def test_digest_of_the_zoo_is_the_hash_of_plain_json(name: str) -> None:
    agree(load(name).with_dataset("mnist").experiment)


def test_residuals_and_shared_tensors_are_part_of_it() -> None:
    """Written out, so that it does not hang on what is drawn."""
    head: Mapping = {"linear": True}
    blocks = [
        {"channels": [4, 8], "repeat": 2, "share": share, "residual": residual, "stride": stride}
        for share in (False, True)
        for residual in (False, True)
        for stride in (1, 2)
    ]
    texts = [
        text_of({"name": "x", "dataset": "mnist", "blocks": [block], "head": head})
        for block in blocks
    ]
    experiments = [loads(text, source="x.yaml").experiment for text in texts]
    for experiment in experiments:
        agree(experiment)
    assert len({digest(experiment) for experiment in experiments}) == len(experiments)

"""A counted network as JSON: exact integers, nothing rounded."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mnist_arch.counting.advice import advise
from mnist_arch.counting.budget import counts_of, within
from mnist_arch.counting.counted import CountedExperiment
from mnist_arch.counting.plan import Row

if TYPE_CHECKING:
    from mnist_arch.network.verify import Verification


def as_object(counted: CountedExperiment, verification: Verification | None) -> dict[str, Any]:
    """One network, always with the same keys, and `verification` where it was asked for."""
    experiment, plan = counted.experiment, counted.plan
    sizes, teacher = plan.sizes, experiment.recipe.teacher
    headroom = experiment.budget.headroom(counts_of(experiment, plan))
    content = {
        "format": 1,
        "name": experiment.name,
        "parameters": plan.parameters,
        "trainable_parameters": plan.parameters,
        "buffers": plan.buffers,
        "macs": plan.macs,
        "receptive_field": plan.receptive_field,
        "activation_bytes": plan.activation_bytes,
        **dataclasses.asdict(sizes),
        "training_bytes": sizes.training_bytes,
        "inference_bytes": sizes.inference_bytes,
        "budget": experiment.budget.model_dump(mode="json"),
        "epochs": experiment.recipe.epochs,
        "teacher": teacher and teacher.model_dump(mode="json"),
        "headroom": headroom.parameters,
        "macs_headroom": headroom.macs,
        "bytes_headroom": headroom.bytes,
        "within_budget": within(experiment, plan),
        "layers": [_layer(row) for row in plan.rows],
        "blocks": [_block(place, rows) for place, rows in plan.parts().items()],
        "advice": [dataclasses.asdict(advice) for advice in advise(experiment, plan)],
    }
    if verification is not None:
        content["verification"] = {
            **dataclasses.asdict(verification),
            "agrees": verification.agrees,
        }
    return content


def _layer(row: Row) -> dict[str, Any]:
    return {
        "index": row.index,
        "layer": row.layer,
        "place": row.place,
        "output_shape": list(row.output_shape),
        "kernel": row.kernel,
        "stride": row.stride,
        "kind": row.kind,
        "parameters": row.parameters,
        "shared": row.shared,
        "buffers": row.buffers,
        "macs": row.macs,
        "receptive_field": row.receptive_field,
        "activation_bytes": row.activation_bytes,
    }


def _block(place: str, rows: tuple[Row, ...]) -> dict[str, Any]:
    return {
        "place": place,
        "layers": len(rows),
        "output_shape": list(rows[-1].output_shape),
        "parameters": sum(row.parameters for row in rows),
        "macs": sum(row.macs for row in rows),
        "receptive_field": rows[-1].receptive_field,
        "activation_bytes": sum(row.activation_bytes for row in rows),
    }

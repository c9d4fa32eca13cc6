"""A page to draw on, as one file: networks, their interpreter, and what shows them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from markupsafe import Markup

from mnist_arch.exports.javascript import engine, network_object
from mnist_arch.pages.rendering import rendered
from mnist_arch.runs.find import TrainedNetwork


def page_of(networks: Sequence[TrainedNetwork]) -> str:
    """The page of trained networks, which all answer to the same drawing.

    Raises WeightsError and StorageError.
    """
    return page([network_of(it) for it in networks])


def network_of(trained: TrainedNetwork) -> dict[str, Any]:
    """What the page runs of a trained network. Raises WeightsError and StorageError."""
    from mnist_arch.exports.exporting import program_of
    from mnist_arch.network.weights import build_with, read_weights

    tensors, _ = read_weights(trained.weights)
    model = build_with(trained.experiment, tensors, trained.weights)
    return network_object(program_of(trained, model), trained)


def page(networks: Sequence[dict[str, Any]]) -> str:
    """The whole page, as HTML, with networks as `network_object` makes them.

    It needs no server and sends nothing anywhere. Whatever a user wrote is escaped.
    """
    drawing = (resources.files("mnist_arch.play") / "drawing.js").read_text("utf-8")
    return rendered(
        "mnist_arch.play",
        "page.html",
        networks=networks,
        digits=all(it["classes"] == list("0123456789") for it in networks),
        engine=Markup(engine()),
        drawing=Markup(drawing),
    )

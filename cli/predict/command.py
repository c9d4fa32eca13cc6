"""`mnist-arch predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mnist_arch.files import shown, to_json
from mnist_arch.runs.find import find
from mnist_arch.runs.folder import runs_folder

from .. import heavy_imports
from ..consoles import stdout, write_json
from ..options import Json, Runs, WeightsSpec, complete_spec
from ..prose import say
from ..quoting import printable

if TYPE_CHECKING:
    from mnist_arch.predict import Prediction, Predictor

Files = Annotated[
    list[str],
    typer.Argument(metavar="FILE", help="Pictures, one digit each: PNG, JPEG and others."),
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="A run's folder, a .safetensors file, or the name of a network, as eval finds it; the "
        "latest finished run of all unless given.",
        autocompletion=complete_spec,
    ),
]


def predict(
    files: Files,
    run: RunOption = None,
    spec: WeightsSpec = None,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Say which digit is on a picture.

    A picture of any size: it is inverted where its background is light, scaled and
    centred as the images that the network was trained on, and what was done is
    said. An image of the dataset itself is taken as it is.

    Examples:

      mnist-arch predict seven.png

      mnist-arch predict photos/*.jpg --run s6 --json
    """
    from mnist_arch.predict import Predictor

    trained = find(run, runs=runs_folder(runs), spec=spec)
    with heavy_imports():
        import torch  # noqa: F401
    predictor = Predictor.of(trained)
    found = predictor.predict_all(files)
    if as_json:
        write_json(to_json(_as_object(predictor, files, found)))
        return
    for file, prediction in zip(files, found, strict=True):
        _show(file, prediction)


def _show(file: str, it: Prediction) -> None:
    """`seven.png: 7, 99.87 % (next 1, 0.10 %); inverted, …`."""
    order = sorted(range(len(it.probabilities)), key=lambda label: -it.probabilities[label])
    console, second = stdout(), it.probabilities[order[1]]
    sure = f"{100 * it.probability:.2f} %"
    done = ", ".join(it.done) or "taken as it is"
    say(
        console,
        f"{it.name}, {sure} (next label {order[1]}, {100 * second:.2f} %); {done}",
        label=f"{printable(shown(file))}: ",
    )


def _as_object(
    predictor: Predictor, files: list[str], found: list[Prediction]
) -> dict[str, object]:
    trained = predictor.trained
    return {
        "format": 1,
        "name": trained.name,
        "seed": trained.seed,
        "run": None if trained.run is None else shown(trained.run.folder),
        "weights": shown(trained.weights),
        "trained_on": trained.dataset,
        "predictions": [
            {
                "file": shown(file),
                "label": it.label,
                "name": it.name,
                "probability": it.probability,
                "probabilities": list(it.probabilities),
                "done": list(it.done),
            }
            for file, it in zip(files, found, strict=True)
        ],
    }

"""Handing a trained network over: written as a file, and held against torch before it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, assert_never, get_args

from mnist_arch.counting.digest import digest
from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO, DatasetName, SplitName
from mnist_arch.errors import DataUnavailable, ExtraMissing, Problem, SpecError
from mnist_arch.exports.parity import Parity, in_batches, onnx_runner
from mnist_arch.files import is_folder, is_there, make_folder, shown, write_whole
from mnist_arch.html import table
from mnist_arch.runs.evidence import evidence_beside
from mnist_arch.runs.find import TrainedNetwork, find
from mnist_arch.values import FORMAT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mnist_arch.data.split import Split
    from mnist_arch.exports.c_export import CFigures
    from mnist_arch.exports.integer import IntegerProgram
    from mnist_arch.exports.program import Program
    from mnist_arch.network.build import Classifier

FormatName = Literal["onnx", "torch", "c", "js"]
FORMATS: Final = get_args(FormatName)

SUFFIXES: Final[dict[FormatName, str]] = {
    "onnx": ".onnx",
    "torch": ".pt2",
    "c": "-c",
    "js": ".mjs",
}
"""Of a file that is not named; of C it is a folder."""

COMPARED_WITH_REFERENCE: Final = 500
"""Images on which onnxruntime is held against the reference of whole numbers, which is slow."""

_OF_MNIST: Final = ("mnist", "qmnist")
"""Datasets in whose place the sample can stand where only the logits are compared."""


@dataclass(frozen=True)
class ExportRequest:
    """What is to be written, and where."""

    trained: TrainedNetwork
    format: FormatName
    out: Path
    int8: bool = False
    """Whether in whole numbers; of ONNX and of C."""
    data_dir: Path | None = None

    @classmethod
    def of(
        cls,
        what: str | None,
        *,
        runs: Path,
        format: FormatName,
        out: Path | None = None,
        spec: str | None = None,
        **more: Any,
    ) -> Self:
        """The network that `what` names, as `eval` finds it; a file of its name unless given.

        Raises ExtraMissing, SpecError for a file that cannot be meant, and what `find` does.
        """
        if more.get("int8") and format in ("torch", "js"):
            message = f"there are no whole numbers in the format {format}"
            raise SpecError((Problem(message, origin="int8=", hint="format='onnx' or format='c'"),))
        if format == "onnx":
            need_onnx()
        trained = find(what, runs=runs, spec=spec)
        if more.get("int8"):
            from mnist_arch.exports.lowering import not_whole

            if problem := not_whole(plan_network(trained.experiment).layers):
                raise SpecError((problem,))
        path = out or Path(trained.experiment.name + SUFFIXES[format])
        if format == "c":
            check_folder(path)
        else:
            _check_out(path, SUFFIXES[format])
        return cls(trained, format, path, **more)


@dataclass(frozen=True)
class Int8:
    """What whole numbers cost: both networks judged on the same images."""

    correct: int
    float_correct: int
    """Of the network that was trained."""
    images: int
    split: SplitName
    float_bytes: int
    """Of the same file with floats."""


@dataclass(frozen=True, repr=False)
class Exported:
    """A file, and how near it is to the network that it was made of."""

    path: Path
    bytes: int
    format: FormatName
    trained: TrainedNetwork
    parity: Parity
    metadata: Mapping[str, str]
    """What the file says of itself."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know."""
    int8: Int8 | None = None
    """Of a file in whole numbers, whose parity is then no rule."""
    c: CFigures | None = None
    """Of C, whose path is a folder, and whose bytes are those of its text."""

    def __repr__(self) -> str:
        return f"Exported({shown(self.path)}, {self.bytes:,} bytes: {self.parity})"

    def _repr_html_(self) -> str:
        rows = [("bytes", f"{self.bytes:,}"), ("compared with torch", str(self.parity))]
        return table(f"{self.trained.experiment.name} as {self.format}", ("", ""), rows)


def export(request: ExportRequest) -> Exported:
    """Writes the file, once it is equal to torch on every test image.

    Raises ExportDiffers where it is not, WeightsError, DataUnavailable and StorageError; then there
    is no file, or the one that was there before.
    """
    import numpy as np

    from mnist_arch.evaluation.metrics import predict
    from mnist_arch.network.weights import build_with, read_weights

    trained = request.trained
    name, by = trained.experiment.name, trained.normalization
    tensors, _ = read_weights(trained.weights)
    model = build_with(trained.experiment, tensors, trained.weights)
    images, dataset, notes = _test_images(trained.dataset, request.data_dir)
    metadata = metadata_of(trained)
    right_NK = predict(model, images.images, by).numpy()
    images_NHW = np.ascontiguousarray(images.images[:, 0].numpy())
    if request.format == "c":
        by_torch = Reference(images, dataset, right_NK)
        return _as_c(request, model, by_torch, metadata=metadata, notes=notes)
    match request.format:
        case "onnx":
            from mnist_arch.exports.onnx_file import onnx_bytes

            content = onnx_bytes(program_of(trained, model), name=name, metadata=metadata)
            found_NK = in_batches(onnx_runner(content), images_NHW)
        case "torch":
            from mnist_arch.exports.torch_file import torch_bytes, torch_runner

            content = torch_bytes(model, by, metadata=metadata)
            found_NK = in_batches(torch_runner(content), images_NHW)
        case "js":
            from mnist_arch.exports.javascript import module, module_runner, network_object

            program = program_of(trained, model)
            content = module(network_object(program, trained), metadata).encode()
            runner, note = module_runner(content, program)
            found_NK = in_batches(runner, images_NHW)
            notes = (*notes, note) if note else notes
        case never:
            assert_never(never)
    parity = Parity.of(found_NK, right_NK, dataset=dataset, split=images.name)
    parity.check(f"the {request.format} file")
    exported = Exported(request.out, len(content), request.format, trained, parity, metadata, notes)
    if request.int8:
        content, exported = _in_whole_numbers(exported, model, request.data_dir)
    write_whole(request.out, content)
    return exported


@dataclass(frozen=True)
class Reference:
    """What a file has to compute, and of which images."""

    images: Split
    dataset: DatasetName
    logits_NK: NDArray[Any]

    @property
    def pixels_NHW(self) -> NDArray[Any]:
        """(N, 28, 28) uint8."""
        import numpy as np

        return np.ascontiguousarray(self.images.images[:, 0].numpy())


def _as_c(
    request: ExportRequest,
    model: Classifier,
    right: Reference,
    *,
    metadata: Mapping[str, str],
    notes: tuple[str, ...],
) -> Exported:
    """Writes NAME.c and NAME.h into a folder, once they are compiled and right on all images.

    Of floats that is what torch says, which is `right`; of whole numbers what the reference in
    NumPy says, to the last bit. Raises ExtraMissing without a C compiler, and ExportDiffers.
    """
    from mnist_arch.exports.c_export import about, figures_of, logits_here, need_compiler
    from mnist_arch.exports.c_float import float_source

    need_compiler()
    trained, figures = request.trained, None
    name, floats = trained.experiment.name, program_of(trained, model)
    source = float_source(floats, name=name, about=about(metadata, "floats"))
    if request.int8:
        from mnist_arch.exports import integer
        from mnist_arch.exports.c_integer import integer_source

        program, judged = whole_numbers(trained, model, request.data_dir)
        right = Reference(judged, trained.dataset, right.logits_NK)
        right = replace(right, logits_NK=integer.logits(program, right.pixels_NHW))
        figures = _figures(right, model, trained, float_bytes=source.data_bytes)
        numbers = "whole numbers" + (", weights of 4 bits" if program.weight_bits == 4 else "")
        source = integer_source(program, name=name, about=about(metadata, numbers))
    found_NK = logits_here(source, right.pixels_NHW)
    split = right.images.name
    parity = Parity.of(found_NK, right.logits_NK, dataset=right.dataset, split=split)
    parity.check("the C", exactly=request.int8)
    c = figures_of(source, right.pixels_NHW[0])
    make_folder(request.out)
    write_whole(request.out / f"{name}.h", source.header.encode())
    write_whole(request.out / f"{name}.c", source.source.encode())
    size = len(source.source) + len(source.header)
    return Exported(request.out, size, "c", trained, parity, metadata, notes, figures, c)


def _figures(
    right: Reference, model: Classifier, trained: TrainedNetwork, *, float_bytes: int
) -> Int8:
    """Whole numbers and floats, judged on the same images."""
    from mnist_arch.evaluation.metrics import count_correct, predict

    images, labels_N = right.images.images, right.images.labels
    return Int8(
        correct=int((right.logits_NK.argmax(1) == labels_N.numpy()).sum()),
        float_correct=count_correct(predict(model, images, trained.normalization), labels_N),
        images=len(labels_N),
        split=right.images.name,
        float_bytes=float_bytes,
    )


def _in_whole_numbers(
    float_file: Exported, model: Classifier, data_dir: Path | None
) -> tuple[bytes, Exported]:
    """The ONNX file of a float network as one of whole numbers.

    It is calibrated on training images and judged, beside the float network, on what a run of it is
    judged on. Raises ExportDiffers where onnxruntime does not compute what the whole numbers say.
    """
    import numpy as np

    from mnist_arch.evaluation.metrics import predict
    from mnist_arch.exports import integer
    from mnist_arch.exports.onnx_integer import integer_onnx_bytes

    trained = float_file.trained
    dataset, by = trained.dataset, trained.normalization
    program, judged = whole_numbers(trained, model, data_dir)
    judged_NHW = np.ascontiguousarray(judged.images[:, 0].numpy())
    float_NK = predict(model, judged.images, by).numpy()
    labels_N = judged.labels.numpy()

    def written(accuracy: Mapping[str, object] | None) -> tuple[bytes, dict[str, str]]:
        weights = f"int{program.weight_bits} weights"
        metadata = {**float_file.metadata, "quantization": f"{weights}, uint8 values"}
        metadata.pop("accuracy", None)
        if accuracy is not None:
            metadata["accuracy"] = json.dumps(accuracy)
        return integer_onnx_bytes(program, name=metadata["name"], metadata=metadata), metadata

    run = onnx_runner(written(None)[0])
    checked_NHW = judged_NHW[:COMPARED_WITH_REFERENCE]
    reference_NK = integer.logits(program, checked_NHW) * program.logit_scale
    beside = Parity.of(
        in_batches(run, checked_NHW), reference_NK, dataset=dataset, split=judged.name
    )
    beside.check("the int8 file", whole_numbers=True)
    found_NK = in_batches(run, judged_NHW)
    figures = Int8(
        correct=int((found_NK.argmax(1) == labels_N).sum()),
        float_correct=int((float_NK.argmax(1) == labels_N).sum()),
        images=len(labels_N),
        split=judged.name,
        float_bytes=float_file.bytes,
    )
    content, metadata = written(
        {
            "percent": 100 * figures.correct / figures.images,
            "correct": figures.correct,
            "images": figures.images,
            "dataset": dataset,
            "split": judged.name,
            "seed": json.loads(float_file.metadata.get("accuracy", "{}")).get("seed"),
        }
    )
    parity = Parity.of(found_NK, float_NK, dataset=dataset, split=judged.name)
    return content, replace(
        float_file, bytes=len(content), parity=parity, metadata=metadata, int8=figures
    )


def whole_numbers(
    trained: TrainedNetwork, model: Classifier, data_dir: Path | None
) -> tuple[IntegerProgram, Split]:
    """The network in whole numbers, and the images that a run of it is judged on.

    It is calibrated on training images, without those held out. Raises DataUnavailable.
    """
    import numpy as np

    from mnist_arch.data.load import load_split
    from mnist_arch.data.split import hold_out
    from mnist_arch.exports.quantization import CALIBRATION_IMAGES, quantized

    training = load_split(trained.dataset, "train", data_dir=data_dir)
    if trained.holdout:
        training, judged = hold_out(training, trained.holdout)
    else:
        judged = load_split(trained.dataset, "test", data_dir=data_dir)
    some_NHW = np.ascontiguousarray(training.images[:CALIBRATION_IMAGES, 0].numpy())
    bits: Literal[8, 4] = 4 if trained.experiment.recipe.quantize == "int4" else 8
    return quantized(program_of(trained, model), some_NHW, weight_bits=bits), judged


def program_of(trained: TrainedNetwork, model: Classifier) -> Program:
    """The network as plain operations, with the norms folded."""
    from mnist_arch.exports.lowering import lower
    from mnist_arch.network.weights import unique_tensors

    arrays = {name: it.detach().numpy() for name, it in unique_tensors(model).items()}
    return lower(plan_network(trained.experiment).layers, arrays, trained.normalization)


def metadata_of(trained: TrainedNetwork) -> dict[str, str]:
    """What a file says of its network: texts, of which some are JSON. Raises RunCorrupt."""
    experiment = trained.experiment
    found = {
        "format": str(FORMAT),
        "name": experiment.name,
        "spec": experiment.model_dump_json(exclude_defaults=True),
        "digest": digest(experiment),
        "parameters": str(plan_network(experiment).parameters),
        "dataset": trained.dataset,
        "classes": json.dumps(INFO[trained.dataset].class_names, ensure_ascii=False),
        "normalization": json.dumps(asdict(trained.normalization)),
        "input": "uint8 (N, 28, 28), light on black; it is normalised inside",
    }
    if (accuracy := _accuracy(trained)) is not None:
        found["accuracy"] = json.dumps(accuracy)
    return found


def _accuracy(trained: TrainedNetwork) -> dict[str, object] | None:
    """What is known of these weights: by their run, or by the evidence that ships with them."""
    if (result := trained.result) is not None:
        correct, images, split, seed = result.correct, result.images, result.split, result.seed
        dataset = result.dataset
    elif trained.run is None and (evidence := evidence_beside(trained.weights)) is not None:
        correct, images = evidence.seeds[0].correct, evidence.images
        split, seed, dataset = evidence.split, evidence.seeds[0].seed, evidence.dataset
    else:
        return None
    return {
        "percent": 100 * correct / images,
        "correct": correct,
        "images": images,
        "dataset": dataset,
        "split": split,
        "seed": seed,
    }


def need_onnx() -> None:
    """Raises ExtraMissing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        message = f"an ONNX file needs {error.name}, of the extra `export`"
        raise ExtraMissing(message, hint="pip install 'mnist-arch[export]'") from None


def check_folder(path: Path) -> None:
    """Refuses what cannot be a folder to write to. Raises SpecError."""
    message = ""
    if is_there(path) and not is_folder(path):
        message = f"{shown(path)} is a file, and C is written to a folder"
    elif not is_folder(path) and not is_folder(path.parent):
        message = f"there is no folder {shown(path.parent)!r}"
    if message:
        raise SpecError((Problem(message, origin="out=", hint="such as firmware"),))


def _check_out(path: Path, suffix: str) -> None:
    """Refuses before the work what could not be written after it. Raises SpecError."""
    message = ""
    if is_folder(path):
        message = f"{shown(path)} is a folder, and a file is to be written"
    elif not is_there(path) and not is_folder(path.parent):
        message = f"there is no folder {shown(path.parent)!r}"
    if message:
        raise SpecError((Problem(message, origin="out=", hint=f"such as net{suffix}"),))


def _test_images(
    dataset: DatasetName, data_dir: Path | None
) -> tuple[Split, DatasetName, tuple[str, ...]]:
    """All test images of the dataset that a network was trained on; their labels are not read.

    Where those of MNIST are not available, those of the embedded sample take their place: whether
    two programs compute the same does not depend on what was trained on. Raises DataUnavailable.
    """
    from mnist_arch.data.folders import find as find_images
    from mnist_arch.data.load import load_split

    try:
        return load_split(dataset, "test", data_dir=data_dir), dataset, ()
    except DataUnavailable as error:
        if dataset not in _OF_MNIST or find_images(dataset, "test", data_dir) is not None:
            raise
        images = load_split("mnist-5k", "test")
        note = f"compared on the {len(images):,} test images of mnist-5k instead, since {error}"
        return images, "mnist-5k", (note,)

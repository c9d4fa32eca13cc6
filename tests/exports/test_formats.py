"""Any network that the block language can say, in every format."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from every_option import NETWORKS, NORMS_OF_EACH_IMAGE, experiment_of, spec_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from profiles import examples
from strategies import Mapping, networks
from trained import arrays, trained

from mnist_arch.counting.plan import plan_network
from mnist_arch.data.catalog import INFO
from mnist_arch.exports import integer
from mnist_arch.exports.c_float import float_source
from mnist_arch.exports.c_integer import integer_source
from mnist_arch.exports.c_run import host_compiler, run_here
from mnist_arch.exports.c_text import CSource
from mnist_arch.exports.javascript import module, module_runner, network_object
from mnist_arch.exports.lowering import lower, not_whole
from mnist_arch.exports.onnx_file import onnx_bytes
from mnist_arch.exports.onnx_integer import integer_onnx_bytes
from mnist_arch.exports.parity import in_batches, onnx_runner
from mnist_arch.exports.quantization import quantized
from mnist_arch.exports.torch_file import torch_bytes, torch_runner
from mnist_arch.runs.find import TrainedNetwork
from mnist_arch.spec.experiment import Experiment

pytestmark = pytest.mark.slow

BY = INFO["mnist"]
ALL = {**NETWORKS, "norms of each image": NORMS_OF_EACH_IMAGE}


def images(count: int = 8, *, seed: int = 0) -> NDArray[np.uint8]:
    """(N, 28, 28): smooth spots and noise, as bright at the border as anywhere."""
    rng = np.random.default_rng(seed)
    spots = np.kron(rng.integers(0, 2, (count, 7, 7)), np.ones((4, 4))) * 200
    return (spots + rng.integers(0, 56, (count, 28, 28))).astype(np.uint8)


class Subject:
    """A network that looks trained, and what torch says of some images."""

    def __init__(self, experiment: Experiment, *, signs: int = -1) -> None:
        self.experiment, self.model = experiment, trained(experiment, signs=signs)
        self.layers = plan_network(experiment).layers
        self.program = lower(self.layers, arrays(self.model), BY)
        x = torch.from_numpy(images())[:, None]
        with torch.no_grad():
            near = self.model((x.float() / 255 - BY.mean) / BY.std).numpy()
            self.right = self.model.double()((x.double() / 255 - BY.mean) / BY.std).numpy()
        self.model.float()
        # Norms of groups that hardly vary make much of rounding, in whatever order it is done.
        largest = float(np.abs(self.right).max())
        self.rounding = 20 * float(np.abs(near - self.right).max()) + 1e-4 * largest

    def in_onnx(self) -> None:
        self.is_near(
            in_batches(onnx_runner(onnx_bytes(self.program, name="t", metadata={})), images())
        )

    def in_torch(self) -> None:
        self.is_near(in_batches(torch_runner(torch_bytes(self.model, BY, metadata={})), images()))

    def in_javascript(self) -> None:
        known = TrainedNetwork(Path("none"), self.experiment, "mnist")
        content = module(network_object(self.program, known), {}).encode()
        self.is_near(in_batches(module_runner(content, self.program)[0], images()))

    def in_c(self) -> None:
        self.is_near(compiled(float_source(self.program, name="net", about="A test.")))

    def in_whole_numbers(
        self, *, c: bool = True, onnx: bool = True, bits: Literal[8, 4] = 8
    ) -> None:
        whole = quantized(self.program, images(), weight_bits=bits)
        right = integer.logits(whole, images())
        if c:
            source = integer_source(whole, name="net", about="A test.")
            np.testing.assert_array_equal(compiled(source), right)
        if onnx:
            run = onnx_runner(integer_onnx_bytes(whole, name="t", metadata={}))
            found = in_batches(run, images()) / whole.logit_scale
            # A sum right between two bytes goes to the even one there, and to the greater one here.
            assert np.median(np.abs(found - right)) <= 0.02 * max(1, np.abs(right).max())

    def is_near(self, found: NDArray[np.float32]) -> None:
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, self.right, rtol=0, atol=self.rounding)


def compiled(source: CSource) -> NDArray[np.float32] | NDArray[np.int32]:
    """Logits of some images; a warning of the compiler is an error."""
    compiler = host_compiler()
    if compiler is None:
        pytest.skip("there is no C compiler here")
    labels, logits = run_here(source, images(), compiler=compiler, flags=("-O0",))
    np.testing.assert_array_equal(labels, logits.argmax(1))
    return logits


@pytest.fixture(params=ALL, scope="module")
def subject(request: pytest.FixtureRequest) -> Subject:
    return Subject(experiment_of(ALL[request.param]))


def test_onnx_is_as_torch(subject: Subject) -> None:
    subject.in_onnx()


def test_c_is_as_torch(subject: Subject) -> None:
    subject.in_c()


def test_javascript_is_as_torch(subject: Subject) -> None:
    if shutil.which("node") is None:
        pytest.skip("there is no node")
    subject.in_javascript()


@pytest.mark.parametrize(
    "name", ["branches joined by channels, and padded pools", "maps that are no squares"]
)
def test_a_file_of_torch_is_as_torch(name: str) -> None:
    Subject(experiment_of(NETWORKS[name])).in_torch()


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_numbers_are_the_reference(name: str) -> None:
    subject = Subject(experiment_of(NETWORKS[name]))
    assert not_whole(subject.layers) is None
    subject.in_whole_numbers()


def test_weights_of_four_bits_are_the_reference() -> None:
    subject = Subject(experiment_of(NETWORKS["maps that are no squares"]))
    subject.in_whole_numbers(bits=4)


def test_a_norm_of_each_image_has_no_whole_numbers() -> None:
    """Which an export says before anything is computed."""
    problem = not_whole(plan_network(experiment_of(NORMS_OF_EACH_IMAGE)).layers)
    assert problem is not None
    assert problem.place == "blocks[0].channels[0]"
    assert "has no whole numbers" in problem.message
    assert problem.hint == "`norm: batch`, or an export without int8"


@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(networks(), st.sampled_from([-1, 1]))
def test_any_network_is_in_onnx_as_in_torch(spec: Mapping, signs: int) -> None:
    subject = Subject(spec_of(spec), signs=signs)
    subject.in_onnx()
    if not_whole(subject.layers) is None:
        subject.in_whole_numbers(c=False)


@pytest.mark.gate
@settings(
    max_examples=examples(10),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(networks())
def test_any_network_is_in_every_format_as_in_torch(spec: Mapping) -> None:
    subject = Subject(spec_of(spec))
    subject.in_c()
    subject.in_torch()
    if shutil.which("node") is not None:
        subject.in_javascript()
    if not_whole(subject.layers) is None:
        subject.in_whole_numbers(onnx=False)

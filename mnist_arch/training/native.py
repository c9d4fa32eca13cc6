"""A step of training in the native engine, on the tensors of torch's state."""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from mnist_arch.counting.plan import plan_network
from mnist_arch.data.pixels import normalize, to_unit
from mnist_arch.data.split import Split
from mnist_arch.native.machine import Addresses, Machine, StoredImages
from mnist_arch.native.program import Kind, Program, program_of
from mnist_arch.spec.recipe import Augment, Recipe, Teacher
from mnist_arch.training.augment import augment, draw_ahead
from mnist_arch.training.epoch import EpochPlan
from mnist_arch.training.native_dropout import fill
from mnist_arch.training.state import State
from mnist_arch.training.step import PlainStep
from mnist_arch.training.teacher import TeacherNetwork, soft_targets

_DROPOUTS: Final = ("Dropout", "Dropout2d")

AHEAD: Final = 1024
"""Images whose changes are drawn at once: after a step Python and torch are out of the caches, so
that many draws take several times as long as one for many steps."""


@dataclass(frozen=True)
class BatchChanges:
    """The tensors of an augmentation, as the engine reads them; None is none."""

    affine_N23: Tensor | None
    displacement_NHW2: Tensor | None
    corner_N2: Tensor | None
    """First row and column of what is erased, int32."""
    erased_side: int


class NativeTeacher:
    """A teacher in the native engine, which sees a batch as it is changed for the student."""

    def __init__(
        self,
        teacher: TeacherNetwork,
        spec: Teacher,
        *,
        images: int,
        threads: int,
        library: ctypes.CDLL,
    ) -> None:
        self.spec, self.classes = spec, teacher.experiment.classes
        self.normalization = teacher.experiment.normalization
        program, recipe = program_of(teacher.plan.layers), Recipe()  # by which it never learns
        self.machine = Machine(library, program, recipe, images=images, threads=threads)
        means, variances, batches = _statistics(teacher.model)
        self.machine.bind(
            Addresses(
                values=[_address(it) for it in teacher.model.parameters()],
                running_means=means,
                running_variances=variances,
                running_batches=batches,
            )
        )

    def targets(self, seen: StoredImages | Tensor, *, images: int) -> Tensor:
        """What it says of each class: (images, classes) float32.

        `seen` says where the images are stored, or has their pixels from 0 to 1.
        """
        logits_NK = torch.empty(images, self.classes)
        by = self.normalization
        if isinstance(seen, Tensor):
            seen = normalize(seen, by).contiguous()
            pixels: int | StoredImages = seen.data_ptr()
        else:
            pixels = replace(seen, mean=by.mean, deviation=by.std)
        self.machine.predict(
            images=images, pixels=pixels, logits=logits_NK.data_ptr(), by_average=False
        )
        return soft_targets(logits_NK, self.spec).contiguous()


class NativeStep(PlainStep):
    """A step in C++. It draws from the same streams in the same order as a plain one.

    Raises MemoryError where there is no memory for the maps of a batch.
    """

    def __init__(
        self, state: State, training: Split, *, batch: int, threads: int, library: ctypes.CDLL
    ) -> None:
        super().__init__(state, training)
        self.images_ahead = AHEAD
        self.changes_itself = makes(state.experiment.recipe.augment)
        self.images_NCHW = training.images.contiguous()
        program = with_orders(program_of(plan_network(state.experiment).layers), state.model)
        recipe = state.experiment.recipe
        self.machine = Machine(library, program, recipe, images=batch, threads=threads)
        self.teacher: NativeTeacher | None = None
        if state.teacher is not None and recipe.teacher is not None:
            self.teacher = NativeTeacher(
                state.teacher, recipe.teacher, images=batch, threads=threads, library=library
            )
        self.drops = [(it, program.values[it.input]) for it in program.dropouts]

    def begin(self, epoch: EpochPlan) -> None:
        super().begin(epoch)
        self.clears = False  # its maps are not torch's
        self.machine.bind(addresses(self.state))
        self.ahead: dict[int, BatchChanges] = {}

    def __call__(self, number: int) -> None:
        if not self.changes_itself:
            super().__call__(number)
            return
        if number not in self.ahead:
            steps = max(1, self.images_ahead // len(self.epoch.batches[number]))
            batches = self.epoch.batches[number : number + steps]
            drawn = self.changes([*map(len, batches)])
            self.ahead = dict(enumerate(drawn, number))
        weight = self.epoch.weights[number] if self.epoch.weights else None
        if self.epoch.momenta:
            self.state.optimizer.momentum = self.epoch.momenta[number]
        index_B, changes = self.epoch.batches[number].contiguous(), self.ahead.pop(number)
        stored = self.stored(index_B, changes)
        self.losses_S[number] = self.learn_from(
            index_B,
            stored,
            targets_NK=self.targets(stored, index_B),
            rate=self.epoch.rates[number],
            weight=weight,
        )

    def learn(
        self, index_B: Tensor, *, rate: float | Tensor, weight: float | Tensor | None
    ) -> Tensor:
        index_B = index_B.contiguous()
        pixels: int | StoredImages
        if self.changes_itself:
            (changes,) = self.changes([len(index_B)])
            pixels = self.stored(index_B, changes)
            targets_NK = self.targets(pixels, index_B)
        else:
            spec, rng = self.state.experiment.recipe.augment, self.state.augment
            x_NCHW = augment(to_unit(self.images_NCHW[index_B]), spec, rng=rng)
            targets_NK = self.targets(x_NCHW, index_B)
            x_NCHW = normalize(x_NCHW, self.normalization).contiguous()
            pixels = x_NCHW.data_ptr()
        weight = None if weight is None else float(weight)
        loss = self.learn_from(
            index_B, pixels, targets_NK=targets_NK, rate=float(rate), weight=weight
        )
        return torch.tensor(loss)

    def targets(self, seen: StoredImages | Tensor, index_B: Tensor) -> Tensor | None:
        """What the teacher says of a batch; None without one."""
        return None if self.teacher is None else self.teacher.targets(seen, images=len(index_B))

    def learn_from(
        self,
        index_B: Tensor,
        pixels: int | StoredImages,
        *,
        targets_NK: Tensor | None,
        rate: float,
        weight: float | None,
    ) -> float:
        """Learns from the images at `index_B`, whose pixels are there. Returns their mean loss."""
        labels_N = self.training.labels[index_B]
        masks = self.masks(len(index_B))
        return self.machine.learn(
            images=len(index_B),
            pixels=pixels,
            labels=labels_N.data_ptr(),
            masks=[mask.data_ptr() for mask in masks],
            rate=rate,
            momentum=self.state.optimizer.momentum,
            average_weight=weight,
            targets=None if targets_NK is None else targets_NK.data_ptr(),
        )

    def predict(self, images_NCHW: Tensor) -> Tensor:
        logits_NK = torch.empty(len(images_NCHW), self.state.experiment.classes)
        by_average = self.state.average is not None
        most = self.machine.images
        for part_NCHW, part_NK in zip(
            torch.split(images_NCHW, most), torch.split(logits_NK, most), strict=True
        ):
            x_NCHW = self.prepared(part_NCHW)
            self.machine.predict(
                images=len(x_NCHW),
                pixels=x_NCHW.data_ptr(),
                logits=part_NK.data_ptr(),
                by_average=by_average,
            )
        return logits_NK

    def changes(self, images: Sequence[int]) -> list[BatchChanges]:
        """What the augmentation draws for the next batches, of so many images each."""
        spec = self.state.experiment.recipe.augment
        side = spec.erase.pixels if spec.erase is not None else 0
        found = []
        for drawn in draw_ahead(self.images_NCHW, images, spec, rng=self.state.augment):
            corner_N2 = None
            if (square := drawn.erased) is not None:
                top_N1 = square.top_N1.where(square.happens_N1, -side)  # all outside
                corner_N2 = torch.cat((top_N1, square.left_N1), dim=1).int()
            found.append(BatchChanges(drawn.affine_N23, drawn.displacement_NHW2, corner_N2, side))
        return found

    def stored(self, index_B: Tensor, changes: BatchChanges) -> StoredImages:
        """Where the images at `index_B` are, for as long as its tensors live."""
        return StoredImages(
            bytes=self.images_NCHW.data_ptr(),
            stored=len(self.images_NCHW),
            places=_place(index_B),
            mean=self.normalization.mean,
            deviation=self.normalization.std,
            affine=_place(changes.affine_N23),
            displacement=_place(changes.displacement_NHW2),
            erased=_place(changes.corner_N2),
            erased_side=changes.erased_side,
        )

    def prepared(self, images_NCHW: Tensor) -> Tensor:
        """What the network sees of images: (N, C, H, W) uint8 → float32, contiguous."""
        return normalize(to_unit(images_NCHW), self.normalization).contiguous()

    def masks(self, images: int) -> list[Tensor]:
        """What each dropout keeps, float32 of 0 and 1, as torch's own dropouts would draw it."""
        kept = []
        for drop, (channels, height, width) in self.drops:
            side = (1, 1) if drop.spatial else (height, width)
            order = torch.channels_last if drop.channels_last else torch.contiguous_format
            kept.append(
                (torch.empty((images, channels, *side), memory_format=order), 1 - drop.rate)
            )
        if kept:
            fill(self.machine.library, kept, rng=torch.default_generator)
        return [mask for mask, _ in kept]


def makes(spec: Augment) -> bool:
    """Whether the engine makes these changes itself, from bytes; torch makes all others for it."""
    erase = spec.erase
    others = spec.steps or spec.crop or spec.perspective or spec.tones or spec.fill
    greys = erase is not None and (erase.area is not None or erase.fill > 0)
    return not (others or greys) and spec.resample == "bilinear"


def with_orders(program: Program, model: nn.Module) -> Program:
    """`program` with the order in which each mask of a dropout is drawn in torch.

    It is that of the dropout's input, which depends on what comes before it; so it is looked at.
    """
    if not program.dropouts:
        return program
    orders: list[bool] = []

    def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        orders.append(not inputs[0].is_contiguous())

    model = copy.deepcopy(model).train()
    for module in model.modules():
        if type(module).__name__ in _DROPOUTS:
            module.register_forward_pre_hook(look)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        images_NCHW = torch.zeros(2, *program.values[0])
        model(images_NCHW.contiguous(memory_format=torch.channels_last))
    found = iter(orders)
    operations = [
        replace(it, channels_last=next(found) and not it.spatial) if it.kind == Kind.DROPOUT else it
        for it in program.operations
    ]
    return replace(program, operations=operations)


def addresses(state: State) -> Addresses:
    """Where the tensors of `state` are. Raises ValueError where one is not laid out for it."""
    model, average = state.model, state.average
    tensors = [*model.parameters()]
    states = {
        id(tensor): kept
        for group in state.optimizer.groups
        for tensor, kept in zip(group.tensors, group.states, strict=True)
    }

    def kept(*names: str) -> list[int]:
        found = (states[id(it)].get(name) for it in tensors for name in names)
        return [_address(it) for it in found if it is not None]

    means, variances, batches = _statistics(model)
    of_average = ([], [], []) if average is None else _statistics(average)
    return Addresses(
        values=[_address(it) for it in tensors],
        momenta=kept("momentum_buffer", "exp_avg"),
        squares=kept("exp_avg_sq", "square_avg", "sum"),
        means=kept("grad_avg", "acc_delta"),
        steps=kept("step"),
        averages=[] if average is None else [_address(it) for it in average.parameters()],
        running_means=means,
        running_variances=variances,
        running_batches=batches,
        average_means=of_average[0],
        average_variances=of_average[1],
        average_batches=of_average[2],
    )


def _place(tensor: Tensor | None) -> int:
    """Its address; 0 is none."""
    if tensor is None:
        return 0
    assert tensor.is_contiguous()
    return tensor.data_ptr()


def _statistics(model: nn.Module) -> tuple[list[int], list[int], list[int]]:
    """Means, variances and counts of batches of the batch norms, in their order."""
    found = [_address(it) for it in model.buffers()]
    return found[0::3], found[1::3], found[2::3]


def _address(tensor: Tensor) -> int:
    order = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    if not (tensor.is_cpu and tensor.is_contiguous(memory_format=order)):
        raise ValueError("a tensor is not on the CPU, or not in channels_last")
    if tensor.dtype not in (torch.float32, torch.int64):
        raise ValueError(f"a tensor is of {tensor.dtype}")
    return tensor.data_ptr()

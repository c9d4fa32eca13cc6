"""The recipes of the handed networks in the language, and what of each is not in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Carried:
    """A recipe of somebody else."""

    text: str
    """On s6, whose network has nothing to do with it."""
    refused: tuple[str, ...] = ()
    """What is left out on purpose, since a result would be chosen by it."""
    lacking: tuple[str, ...] = ()
    """What the language has no words for."""

    @property
    def verdict(self) -> str:
        if self.lacking:
            return "partial"
        return "exact but for refused parts" if self.refused else "exact"


CHOSEN: Final = "one of the weights of all epochs is chosen"
TURN_AND_SHIFT: Final = (
    "[{rotate_degrees: 15, resample: nearest}, "
    "{shift_pixels: 2.8, whole_pixels: true, resample: nearest}]"
)
GREY: Final = 0.0039215686
"""1 of 255."""


def _plain(*parts: str, more: str = "") -> str:
    return f"extends: s6\n{more}recipe: {{{', '.join(('extends: plain', *parts))}}}\n"


def _turned(degrees: int, *, fill: float = 0) -> str:
    filled = f", fill: {fill}" if fill else ""
    return f"augment: {{rotate_degrees: {degrees}, resample: nearest{filled}}}"


def _cropped(degrees: int) -> str:
    return (
        "augment: [{crop: {pixels: 22, probability: 0.1}}, "
        f"{{rotate_degrees: {degrees}, resample: nearest}}]"
    )


def _step(peak: float, every: int, factor: float = 0.1) -> str:
    return f"schedule: {{kind: step, peak: {peak}, every_epochs: {every}, factor: {factor}}}"


def _keras(epochs: int, batch: int, *parts: str, more: str = "") -> str:
    adam = "optimizer: {kind: adam, epsilon: 1e-7}"
    return _plain(
        f"epochs: {epochs}",
        f"batch_size: {batch}",
        adam,
        *parts,
        "initialize: keras",
        "normalize: none",
        more=more,
    )


_RATE = "schedule: {peak: 0.001}"
_HELD_OUT = "holdout: {last: 6000}\n"

RECIPES: Final[dict[str, Carried]] = {
    "A": Carried(
        _plain(
            "epochs: 15",
            "schedule: {kind: one-cycle, peak: 0.065, warmup: 0.1, div_factor: 5, "
            "final_div_factor: 100, first_step: start, cycle_momentum: true}",
            "clip_norm: 2",
            f"augment: {TURN_AND_SHIFT}",
        )
    ),
    "B": Carried(
        _plain(
            "epochs: 15",
            "batch_size: 128",
            "optimizer: adam",
            _step(0.01, 10),
            "augment: {rotate_degrees: 10, shift_pixels: 2.8, whole_pixels: true, "
            "resample: nearest}",
        )
    ),
    "C": Carried(_plain("epochs: 15", "optimizer: adam", _step(0.01, 6), _turned(7))),
    "D": Carried(
        _plain(
            "epochs: 15",
            "batch_size: 128",
            "schedule: {kind: multi-step, peak: 0.1, milestones: [8, 12]}",
            _turned(5, fill=GREY),
        )
    ),
    "E": Carried(_plain("epochs: 19", "batch_size: 128", _step(0.25, 10), _cropped(15))),
    "F": Carried(
        _plain("epochs: 20", "batch_size: 128", "optimizer: adam", _step(0.001, 15), _cropped(15))
    ),
    "N01": Carried(_plain("epochs: 14", "batch_size: 32")),
    "N03": Carried(
        _plain(
            "epochs: 15",
            "batch_size: 128",
            _step(0.05, 6),
            "clip_norm: 2",
            f"augment: {TURN_AND_SHIFT}",
        )
    ),
    "N05": Carried(
        _plain(
            "epochs: 20",
            "batch_size: 128",
            "optimizer: adam",
            _step(0.001, 15, 0.5),
            "augment: [{crop: {pixels: 22, probability: 0.1}}, "
            "{rotate_degrees: 10, resample: nearest}, {brightness: 0.2, contrast: 0.2}, "
            "{shift_pixels: 2.8, whole_pixels: true, scale: 0.1, resample: nearest}]",
        )
    ),
    "N08": Carried(
        _plain("epochs: 20", "batch_size: 512", _step(0.01, 15), _cropped(15)),
        lacking=("other constants of normalisation for test",),
    ),
    "N09": Carried(
        _plain(
            "epochs: 25",
            "batch_size: 128",
            "optimizer: {weight_decay: 0.0005, decays: all}",
            "l1: {strength: 0.0005, of: all}",
            _turned(7, fill=GREY),
        )
    ),
    "N10": Carried(
        _plain(
            "epochs: 20",
            "batch_size: 32",
            _step(0.05, 6, 0.3),
            "l1: {strength: 0.0005, of: all}",
            _turned(1, fill=GREY),
        ),
        refused=("test images are changed at random, too",),
    ),
    "N13": Carried(_plain("epochs: 15", "batch_size: 128", _turned(7, fill=GREY))),
    "N15": Carried(
        _keras(20, 128, "schedule: {kind: inverse-time, peak: 0.003, decay_rate: 0.319}"),
    ),
    "N18": Carried(
        _plain(
            "epochs: 19",
            "batch_size: 128",
            "optimizer: {kind: adam, weight_decay: 0.0001, decays: all}",
            "schedule: {kind: one-cycle, peak: 0.003, div_factor: 10, final_div_factor: 100, "
            "first_step: start, cycle_momentum: true}",
            f"augment: {TURN_AND_SHIFT.replace('15', '10')}",
        )
    ),
    "M01": Carried(
        _plain(
            "epochs: 2000",
            "batch_size: 256",
            "last_batch: drop",
            "optimizer: {kind: adamw, weight_decay: 0.0001, decays: all, epsilon: 1e-7}",
            "initialize: {kind: he, distribution: truncated-normal}",
            "normalize: none",
        ),
        refused=(
            "the rate falls where the test loss has not",
            "an early stop and the best weights by test accuracy",
        ),
    ),
    "M02": Carried(_keras(75, 32, _RATE, more=_HELD_OUT), (CHOSEN,)),
    "M03": Carried(_keras(75, 32, _RATE, more=_HELD_OUT), (CHOSEN,)),
    "M04": Carried(_keras(75, 32, _RATE, more=_HELD_OUT), (CHOSEN,)),
    "M05": Carried(
        _plain(
            "epochs: 20",
            "batch_size: 14",
            "optimizer: {kind: adamw, decays: all}",
            "schedule: {peak: 0.0008}",
        ),
        refused=("weights are set to 0 while test accuracy stays",),
    ),
    "M07": Carried(_keras(20, 64, _RATE)),
    "M08": Carried(_keras(20, 64, _RATE)),
    "M11": Carried(_keras(10, 32, _RATE, more=_HELD_OUT)),
}

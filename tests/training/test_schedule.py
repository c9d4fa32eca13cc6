"""The learning rate, step by step."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_arch.spec.recipe import (
    AnySchedule,
    Constant,
    Cosine,
    Exponential,
    InverseTime,
    MultiStep,
    OneCycle,
    Plateau,
    Step,
)
from mnist_arch.training.plateau import PlateauState
from mnist_arch.training.schedule import learning_rate, momentum


def curve(schedule: AnySchedule, steps: int, *, steps_per_epoch: int = 10) -> list[float]:
    return [
        learning_rate(schedule, step, steps=steps, steps_per_epoch=steps_per_epoch)
        for step in range(steps)
    ]


def torch_one_cycle(*, peak: float, steps: int, pct_start: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=peak, total_steps=steps, pct_start=pct_start, cycle_momentum=False
    )
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(("steps", "warmup"), [(100, 20), (50, 15), (1000, 200), (7, 1), (10, 9)])
def test_one_cycle_is_torchs_without_its_first_step(steps: int, warmup: int) -> None:
    # torch spends its first step at peak / 25, from where the curve here starts to rise.
    ours = curve(OneCycle(peak=0.1, warmup=warmup / steps), steps)
    theirs = torch_one_cycle(peak=0.1, steps=steps + 1, pct_start=(warmup + 1) / (steps + 1))
    assert ours == pytest.approx(theirs[1:], rel=1e-9)
    assert theirs[0] == pytest.approx(0.1 / 25)


@pytest.mark.parametrize(("steps", "warmup"), [(100, 20), (1000, 200)])
def test_one_cycle_falls_at_the_very_steps_of_torchs(steps: int, warmup: int) -> None:
    ours = curve(OneCycle(peak=0.1, warmup=warmup / steps), steps)
    theirs = torch_one_cycle(peak=0.1, steps=steps, pct_start=warmup / steps)
    assert ours[warmup - 1 :] == pytest.approx(theirs[warmup - 1 :], rel=1e-9)
    # While it rises, it is at most one step ahead.
    pairs = zip(theirs[: warmup - 1], ours, theirs[1:], strict=False)
    assert all(before < rate <= after for before, rate, after in pairs)


def test_one_cycle_ends_at_a_ten_thousandth_of_its_start() -> None:
    rates = curve(OneCycle(peak=0.5, warmup=0.2), 50)
    assert rates[-1] == pytest.approx(0.5 / 250_000)
    assert rates.index(max(rates)) == 9
    assert max(rates) == 0.5


def test_warmup_is_linear_and_counts_in_steps() -> None:
    rates = curve(Constant(kind="constant", peak=0.4, warmup=0.25), 16)
    assert rates == pytest.approx([0.1, 0.2, 0.3, *[0.4] * 13])


def test_cosine_falls_to_zero_in_half_a_wave() -> None:
    rates = curve(Cosine(kind="cosine", peak=2.0, warmup=0.2), 10)
    assert rates[:2] == pytest.approx([1.0, 2.0])
    assert rates[2:] == pytest.approx([1 + math.cos(math.pi * k / 8) for k in range(1, 9)])
    assert rates[-1] == 0
    assert rates[5] == pytest.approx(1.0)  # half-way down


def test_step_falls_every_so_many_epochs_from_the_start() -> None:
    schedule = Step(kind="step", peak=1.0, warmup=0.0, every_epochs=2, factor=0.5)
    rates = curve(schedule, 24, steps_per_epoch=4)
    assert rates == [1.0] * 8 + [0.5] * 8 + [0.25] * 8


def test_step_has_no_warmup_unless_asked() -> None:
    """It is torch's StepLR, then."""
    ours = curve(Step(kind="step", every_epochs=2), 40, steps_per_epoch=8)
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=Step(kind="step").peak)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=16, gamma=0.1)
    theirs = []
    for _ in range(40):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert ours == pytest.approx(theirs, rel=1e-12)
    assert OneCycle().warmup == Cosine(kind="cosine").warmup == 0.2


def test_a_warmup_over_the_first_fall_ends_at_the_peak_all_the_same() -> None:
    schedule = Step(kind="step", peak=1.0, warmup=0.75, every_epochs=1, factor=0.1)
    rates = curve(schedule, 8, steps_per_epoch=2)
    assert rates[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    assert rates[6:] == pytest.approx([1e-3, 1e-3])


@pytest.mark.parametrize("kind", [OneCycle(), Cosine(kind="cosine"), Constant(kind="constant")])
def test_a_warmup_of_nearly_all_steps_only_rises(kind: AnySchedule) -> None:
    schedule = kind.model_copy(update={"peak": 0.1, "warmup": 0.999})
    rates = curve(schedule, 100)
    assert rates == sorted(rates)
    assert rates[-1] == 0.1


@pytest.mark.parametrize("warmup", [0.0, 0.2, 0.6, 0.999])
@pytest.mark.parametrize(
    "kind", [OneCycle(), Cosine(kind="cosine"), Step(kind="step"), Constant(kind="constant")]
)
def test_a_single_step_has_a_rate(kind: AnySchedule, warmup: float) -> None:
    (rate,) = curve(kind.model_copy(update={"warmup": warmup}), 1, steps_per_epoch=1)
    if warmup >= 0.5 or isinstance(kind, Step | Constant):
        assert rate == kind.peak
    else:  # the end of the fall
        assert rate == pytest.approx(0, abs=kind.peak / 1000)


_SCHEDULES = st.sampled_from(
    [
        OneCycle(),
        Cosine(kind="cosine"),
        Constant(kind="constant"),
        Step(kind="step", every_epochs=1),
        Step(kind="step", every_epochs=3, factor=0.0),
        Step(kind="step", every_epochs=2, factor=1.0),
        MultiStep(kind="multi-step", milestones=(2, 5, 6)),
        Exponential(kind="exponential"),
        InverseTime(kind="inverse-time", decay_rate=0.3),
        Plateau(kind="plateau"),
    ]
)


@pytest.mark.slow
@given(
    kind=_SCHEDULES,
    peak=st.floats(1e-300, 1e6),
    warmup=st.floats(0, 1, exclude_max=True),
    epochs=st.integers(1, 30),
    steps_per_epoch=st.integers(1, 20),
)
def test_every_rate_lies_between_zero_and_the_peak_and_the_warmup_reaches_it(
    kind: AnySchedule, peak: float, warmup: float, epochs: int, steps_per_epoch: int
) -> None:
    schedule = kind.model_copy(update={"peak": peak, "warmup": warmup})
    steps = epochs * steps_per_epoch
    rates = curve(schedule, steps, steps_per_epoch=steps_per_epoch)
    assert all(math.isfinite(rate) and 0 <= rate <= peak for rate in rates)
    risen = round(warmup * steps)
    assert rates[:risen] == sorted(rates[:risen])
    assert rates[risen:] == sorted(rates[risen:], reverse=True)
    if risen:
        assert rates[risen - 1] == peak


# ------------------------------------------------------------------------- beside torch's classes

STEPS, PER_EPOCH = 100, 7


def parameter() -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3, momentum=0.5)


@pytest.mark.parametrize(
    ("steps", "warmup", "start", "end"),
    [
        (STEPS, 0.0, 25.0, 1e4),
        (STEPS, 0.005, 25.0, 1e4),
        (STEPS, 0.137, 5.0, 100.0),
        (STEPS, 0.3, 25.0, 1e4),
        (8911, 0.2, 10.0, 100.0),
    ],
)
def test_one_cycle_from_its_start_is_torchs_rate_and_momentum(
    steps: int, warmup: float, start: float, end: float
) -> None:
    schedule = OneCycle(
        peak=0.3,
        warmup=warmup,
        div_factor=start,
        final_div_factor=end,
        first_step="start",
        cycle_momentum=True,
    )
    optimizer = parameter()
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        0.3,
        total_steps=steps,
        pct_start=warmup,
        div_factor=start,
        final_div_factor=end,
    )
    for step in range(steps if steps == STEPS else 2000):
        (group,) = optimizer.param_groups
        rate = learning_rate(schedule, step, steps=steps, steps_per_epoch=PER_EPOCH)
        assert rate == pytest.approx(group["lr"], rel=1e-9)
        assert momentum(schedule, step, steps=steps) == pytest.approx(group["momentum"], rel=1e-9)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (Step(kind="step", every_epochs=3), "StepLR", {"step_size": 3}),
        (Step(kind="step", every_epochs=5, factor=0.3), "StepLR", {"step_size": 5, "gamma": 0.3}),
        (MultiStep(kind="multi-step", milestones=(2, 9)), "MultiStepLR", {"milestones": [2, 9]}),
        (Exponential(kind="exponential", factor=0.8), "ExponentialLR", {"gamma": 0.8}),
        (
            InverseTime(kind="inverse-time", decay_rate=0.319),
            "LambdaLR",
            {"lr_lambda": lambda epoch: 1 / (1 + 0.319 * epoch)},
        ),
        (Constant(kind="constant", warmup=0.0), "ConstantLR", {"factor": 1.0}),
    ],
)
def test_a_schedule_by_epochs_is_torchs(
    ours: AnySchedule, theirs: str, settings: dict[str, Any]
) -> None:
    optimizer = parameter()
    scheduler = getattr(torch.optim.lr_scheduler, theirs)(optimizer, **settings)
    ours = ours.model_copy(update={"peak": 0.3})
    for step in range(STEPS):
        rate = learning_rate(ours, step, steps=STEPS, steps_per_epoch=PER_EPOCH)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        if step % PER_EPOCH == PER_EPOCH - 1:
            scheduler.step()


@pytest.mark.slow
@given(
    losses=st.lists(st.floats(0, 3), min_size=100, max_size=100),
    patience=st.integers(0, 4),
    cooldown=st.integers(0, 3),
    threshold=st.sampled_from([0.0, 1e-4, 0.1]),
    mode=st.sampled_from(["rel", "abs"]),
    least=st.sampled_from([0.0, 0.05]),
)
def test_a_plateau_is_torchs_and_goes_on_from_its_state(
    losses: list[float], patience: int, cooldown: int, threshold: float, mode: Any, least: float
) -> None:
    schedule = Plateau(
        kind="plateau",
        peak=0.3,
        factor=0.5,
        patience=patience,
        cooldown=cooldown,
        threshold=threshold,
        threshold_mode=mode,
        min_rate=least,
    )
    optimizer, ours = parameter(), PlateauState.fresh(schedule)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=0.5,
        patience=patience,
        cooldown=cooldown,
        threshold=threshold,
        threshold_mode=mode,
        min_lr=least,
    )
    for loss in losses:
        assert ours.rate == optimizer.param_groups[0]["lr"]
        ours.after(loss, schedule)
        theirs.step(loss)
        saved, ours = ours.state_dict(), PlateauState.fresh(schedule)
        ours.load_state_dict(saved)


def test_a_cycle_of_momentum_that_is_one_step_up_ends_where_it_began() -> None:
    schedule = OneCycle(cycle_momentum=True)
    momenta = [momentum(schedule, step, steps=50) for step in range(50)]
    assert momenta[9] == 0.85
    assert momenta[:10] == sorted(momenta[:10], reverse=True)
    assert momenta[9:] == sorted(momenta[9:])
    assert momenta[-1] == 0.95

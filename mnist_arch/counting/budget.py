"""The rules of the exercise, held against a plan and a recipe before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator

from mnist_arch.counting.plan import Plan, plan_network
from mnist_arch.data.catalog import INFO
from mnist_arch.data.folds import images_held_out
from mnist_arch.errors import BudgetExceeded, NoVerdict, ShapeError
from mnist_arch.spec.experiment import Counts, Experiment
from mnist_arch.spec.network import Block


def check(experiment: Experiment, plan: Plan) -> None:
    """Refuses a network or a recipe that breaks a rule.

    Raises BudgetExceeded, whose hint says what would fit.
    """
    if messages := broken_rules(experiment, plan):
        hints = [*_what_fits(experiment, plan), *_epochs_that_fit(experiment)]
        message = f"{experiment.name}: {'; '.join(messages)}"
        raise BudgetExceeded(message, hint="; ".join(hints))


def broken_rules(experiment: Experiment, plan: Plan) -> list[str]:
    """A sentence for each rule that is broken before anything is trained."""
    budget, found = experiment.budget, []
    counts = limited_counts(experiment, plan)
    excess = budget.excess(counts)
    if excess.parameters:
        largest = plan.largest
        found.append(
            f"{counts.parameters:,} parameters, {excess.parameters:,} too many for fewer than "
            f"{budget.parameters_below:,}; "
            f"the largest layer is {largest.place} ({largest.parameters:,})"
        )
    limits = budget.limits()
    for count, over, what in (
        (counts.epochs, excess.epochs, "epochs"),
        (counts.macs, excess.macs, "MACs"),
        (counts.bytes, excess.bytes, "bytes"),
    ):
        if over:
            found.append(f"{count:,} {what}, {over:,} too many for fewer than {limits[what]:,}")
    return found


def check_verdict(experiment: Experiment) -> None:
    """Refuses a run that cannot answer the accuracy rule: with a hold-out, or of another dataset.

    Raises NoVerdict, or ValueError while the dataset is `auto`.
    """
    dataset, asked = experiment.resolved_dataset, experiment.budget.dataset
    if dataset == asked and not experiment.holdout:
        return
    rule = f"the accuracy rule is about the test split of {asked}"
    if dataset != asked:
        here, hint = f"this run is of {dataset}", f"set `dataset: {asked}`"
    else:
        images = images_held_out(experiment.holdout, INFO[dataset].train_images)
        here = f"this run is judged on {images:,} images held out"
        hint = "leave out the hold-out"
    message = f"{experiment.name}: {rule}, and {here}, so that it can have no verdict"
    raise NoVerdict(message, hint=f"{hint}, or do not require the rules")


def counts_of(experiment: Experiment, plan: Plan) -> Counts:
    """What the budget limits."""
    return Counts(plan.parameters, experiment.recipe.epochs, plan.macs, plan.sizes.inference_bytes)


def limited_counts(experiment: Experiment, plan: Plan) -> Counts:
    """The same without bytes where no rule limits them: they take a walk over all layers."""
    if experiment.budget.bytes_below is not None:
        return counts_of(experiment, plan)
    return Counts(plan.parameters, experiment.recipe.epochs, plan.macs, None)


def within(experiment: Experiment, plan: Plan) -> bool:
    """Whether the rules that can be checked without training are kept."""
    return not any(experiment.budget.excess(limited_counts(experiment, plan)))


def _epochs_that_fit(experiment: Experiment) -> Iterator[str]:
    most = experiment.budget.epochs_below - 1
    if experiment.recipe.epochs > most > 0:
        yield f"epochs={most} would fit"


def _what_fits(experiment: Experiment, plan: Plan) -> Iterator[str]:
    """One change that fits the budget: the largest layer narrower, else all layers."""
    over = experiment.budget.excess(counts_of(experiment, plan))
    if not (over.parameters or over.macs or over.bytes):
        return
    place = plan.largest.place if over.parameters else max(plan.rows, key=lambda it: it.macs).place
    for block_index, block in enumerate(experiment.blocks):
        for index, conv in enumerate(block.channels):
            if place == f"blocks[{block_index}].channels[{index}]":
                for out in _narrower(conv.out):
                    if fitting := _fitting(_with_out(experiment, block_index, index, out)):
                        change = f"{out} channels instead of {conv.out} at {place}"
                        yield f"{change} would fit ({fitting})"
                        return
    for percent in range(95, 0, -5):
        if fitting := _fitting(_scaled(experiment, percent)):
            yield f"{percent} % of the channels in every block would fit ({fitting})"
            return
    yield "use fewer or smaller layers"


def _narrower(out: int) -> range:
    """Widths to try: down to half of `out`, since less would starve one layer for the others."""
    return range(out - 1, out // 2, -max(1, out // 32))


def _fitting(experiment: Experiment) -> str:
    """What a network has of what is limited, or nothing where it breaks a rule."""
    try:
        plan = plan_network(experiment)
    except ShapeError:
        return ""
    budget, counts = experiment.budget, counts_of(experiment, plan)
    if any(budget.excess(counts)._replace(epochs=0)):
        return ""
    found = [f"{counts.parameters:,}"]
    found += [f"{counts.macs:,} MACs"] if budget.macs_below is not None else []
    found += [f"{counts.bytes:,} bytes"] if budget.bytes_below is not None else []
    return ", ".join(found)


def _with_out(experiment: Experiment, block_index: int, index: int, out: int) -> Experiment:
    block = experiment.blocks[block_index]
    channels = list(block.channels)
    channels[index] = channels[index].model_copy(update={"out": out})
    return _with_blocks(
        experiment, {block_index: block.model_copy(update={"channels": tuple(channels)})}
    )


def _scaled(experiment: Experiment, percent: int) -> Experiment:
    """All `channels` scaled; reductions stay, since the last one is to the classes."""
    blocks = {}
    for index, block in enumerate(experiment.blocks):
        outs = [
            conv.model_copy(update={"out": max(1, conv.out * percent // 100)})
            for conv in block.channels
        ]
        blocks[index] = block.model_copy(update={"channels": tuple(outs)})
    return _with_blocks(experiment, blocks)


def _with_blocks(experiment: Experiment, changed: dict[int, Block]) -> Experiment:
    blocks = tuple(changed.get(index, block) for index, block in enumerate(experiment.blocks))
    return experiment.model_copy(update={"blocks": blocks})

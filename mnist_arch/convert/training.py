"""The recipe in code that is read: what is carried over, and what is not, with what it would do."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mnist_arch.convert.calls import Call, Calls, is_share, named, plain, short, text
from mnist_arch.convert.code import Read
from mnist_arch.convert.images import read_arrays, read_batches, read_dataset
from mnist_arch.convert.interpreter.values import Unknown
from mnist_arch.convert.libraries import Recorded
from mnist_arch.convert.modules import bound
from mnist_arch.convert.recipes import on_plain, schedule_by_epoch
from mnist_arch.errors import Origin
from mnist_arch.spec.recipe import Recipe

_OPTIMIZERS: Final = {
    "SGD": "params lr=0.001 momentum=0 dampening=0 weight_decay=0 nesterov=False maximize=False "
    "foreach=None differentiable=False fused=None",
    "Adam": "params lr=0.001 betas=None eps=1e-08 weight_decay=0 amsgrad=False foreach=None "
    "maximize=False capturable=False differentiable=False fused=None decoupled_weight_decay=False",
    "AdamW": "params lr=0.001 betas=None eps=1e-08 weight_decay=0.01 amsgrad=False maximize=False "
    "foreach=None capturable=False differentiable=False fused=None",
    "RMSprop": "params lr=0.01 alpha=0.99 eps=1e-08 weight_decay=0 momentum=0 centered=False "
    "capturable=False foreach=None maximize=False differentiable=False",
    "Adadelta": "params lr=1.0 rho=0.9 eps=1e-06 weight_decay=0 foreach=None capturable=False "
    "maximize=False differentiable=False",
    "Adagrad": "params lr=0.01 lr_decay=0 weight_decay=0 initial_accumulator_value=0 eps=1e-10 "
    "foreach=None maximize=False differentiable=False fused=None",
}
_OTHER_OPTIMIZERS: Final = (
    "Adamax NAdam RAdam ASGD LBFGS Rprop SparseAdam Adafactor Nadam Ftrl Lion"
).split()
_KEYS: Final = {
    "RMSprop": "alpha momentum centered",
    "Adadelta": "rho",
    "Adagrad": "initial_accumulator",
}
"""Arguments of an optimizer that the language calls as torch does."""
_KERAS_OPTIMIZERS: Final = {
    "SGD": "learning_rate=0.01 momentum=0.0 nesterov=False weight_decay=None",
    "Adam": "learning_rate=0.001 beta_1=0.9 beta_2=0.999 epsilon=1e-07 amsgrad=False "
    "weight_decay=None",
    "AdamW": "learning_rate=0.001 weight_decay=0.004 beta_1=0.9 beta_2=0.999 epsilon=1e-07 "
    "amsgrad=False",
    "RMSprop": "learning_rate=0.001 rho=0.9 momentum=0.0 epsilon=1e-07 centered=False "
    "weight_decay=None",
    "Adadelta": "learning_rate=0.001 rho=0.95 epsilon=1e-07 weight_decay=None",
    "Adagrad": "learning_rate=0.001 initial_accumulator_value=0.1 epsilon=1e-07 weight_decay=None",
}
_TRAINING_IMAGES: Final = 60_000
_FIT: Final = ("x", "y", "batch_size", "epochs")
_FIT_GENERATOR: Final = ("x", "steps_per_epoch", "epochs")
_ONLY_TELL: Final = ("TensorBoard", "CSVLogger", "ProgbarLogger", "History", "TqdmCallback")
"""Callbacks that change nothing."""
_STARTS: Final[dict[str, Any]] = {
    "glorotuniform": "keras",
    "glorotnormal": {"kind": "xavier", "distribution": "truncated-normal"},
    "henormal": {"kind": "he", "distribution": "truncated-normal"},
    "heuniform": {"kind": "he", "distribution": "uniform"},
}
"""What Keras calls the start of the weights, without underscores."""
_SCHEDULES: Final = {
    "StepLR": "optimizer step_size gamma=0.1 last_epoch=-1 verbose=None",
    "MultiStepLR": "optimizer milestones gamma=0.1 last_epoch=-1 verbose=None",
    "ExponentialLR": "optimizer gamma last_epoch=-1 verbose=None",
    "OneCycleLR": "optimizer max_lr total_steps=None epochs=None steps_per_epoch=None "
    "pct_start=0.3 anneal_strategy='cos' cycle_momentum=True base_momentum=0.85 "
    "max_momentum=0.95 div_factor=25.0 final_div_factor=10000.0 three_phase=False last_epoch=-1 "
    "verbose=None",
    "CosineAnnealingLR": "optimizer T_max eta_min=0.0 last_epoch=-1 verbose=None",
    "LambdaLR": "optimizer lr_lambda last_epoch=-1 verbose=None",
    "ReduceLROnPlateau": "optimizer mode='min' factor=0.1 patience=10 threshold=0.0001 "
    "threshold_mode='rel' cooldown=0 min_lr=0 eps=1e-08 verbose=None",
}
_OTHER_LOSSES: Final = (
    "mse_loss MSELoss BCELoss BCEWithLogitsLoss MultiMarginLoss l1_loss L1Loss KLDivLoss kl_div "
    "binary_cross_entropy binary_cross_entropy_with_logits multi_margin_loss SmoothL1Loss"
).split()
_LOGARITHMS: Final = ("log_softmax", "LogSoftmax")
_DRAWS: Final = ("normal_", "uniform_")
"""Methods that draw a tensor anew."""
_OTHER_SCHEDULES: Final = {
    "CyclicLR": "moves the rate up and down again and again",
    "MultiplicativeLR": "multiplies the rate by a function of the epoch",
    "CosineAnnealingWarmRestarts": "lets the rate fall by half a cosine again and again",
    "LinearLR": "moves the rate in a line",
    "PolynomialLR": "lets the rate fall by a power",
    "SequentialLR": "has one schedule after another",
    "LearningRateScheduler": "sets the rate of each epoch by a function",
}


@dataclass(frozen=True)
class Training:
    """A recipe in the language, and what of the source is not in it."""

    recipe: dict[str, Any]
    """Empty where the source has none."""
    holdout: dict[str, Any]
    """Of the training images; empty where none are held out."""
    dataset: str
    """What is trained on; empty for MNIST."""
    dropped: list[tuple[str, str]]
    """What is not carried over, with its place."""
    assumed: list[tuple[str, str]]


def read_training(read: Read) -> Training:
    """The recipe of the code that has a network; what it has of it."""
    return _Reader(read).run()


class _Reader:
    def __init__(self, read: Read) -> None:
        self.read = read
        self.calls = Calls(read)
        self.recipe: dict[str, Any] = {}
        self.holdout: dict[str, Any] = {}

    def run(self) -> Training:
        if self.read.is_keras and self._keras():
            self.recipe |= read_arrays(self.calls)
        else:
            optimizers = self.calls.of("torch.optim", (*_OPTIMIZERS, *_OTHER_OPTIMIZERS))
            if not optimizers:
                return Training({}, {}, "", [], [])
            self._epochs()
            self.recipe |= read_batches(self.calls)
            rate = self._optimizer(optimizers)
            self._schedule(rate)
            self._loss()
            self._clipping()
            self._l1()
            self._starts()
        dataset = read_dataset(self.calls)
        recipe = {name: self.recipe[name] for name in Recipe.model_fields if name in self.recipe}
        notes = self.calls.dropped, self.calls.assumed
        return Training(on_plain(recipe), self.holdout, dataset, *notes)

    # ------------------------------------------------------------------------------------- epochs

    def _epochs(self) -> None:
        """The last loop over epochs."""
        found: list[tuple[int, Origin]] = []
        for node, piece in self.calls.nodes:
            if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
                if "epoch" in (node.target.id + text(node.iter)).lower():
                    steps = self.calls.value(_innermost_range(node.iter), piece)
                    if isinstance(steps, range) and 0 < len(steps) <= 10_000:
                        found.append((len(steps), piece.at(node)))
                    if any(self._is_end(it, node) for it in ast.walk(node)):
                        what = "an end before the last epoch: here all of them are trained"
                        self.calls.drop(what, piece.at(node))
        for node, piece in self.calls.nodes if not found else []:
            value = self.calls.value(given, piece) if (given := _most_epochs(node)) else None
            if isinstance(value, int) and 0 < value <= 10_000:
                found.append((value, piece.at(node)))
        if not found:
            self.calls.drop("the number of epochs, which no loop says: 19 stands in its place", "")
            return
        if len({count for count, _ in found}) > 1:
            counts = ", ".join(str(count) for count, _ in found)
            self.calls.assume(f"of loops over {counts} epochs the last counts", found[-1][1])
        self.recipe["epochs"] = found[-1][0]

    def _is_end(self, node: ast.AST, loop: ast.For) -> bool:
        return isinstance(node, ast.Break) and self.calls.loop(node) is loop

    # ---------------------------------------------------------------------------------- optimizer

    def _optimizer(self, calls: list[Call]) -> float | None:
        call = self.calls.last(calls, "optimizers")
        place = call.place
        if call.last not in _OPTIMIZERS:
            self.calls.drop(f"the optimizer {call.last}: plain SGD stands in its place", place)
            return None
        given = self.calls.arguments(call, _OPTIMIZERS[call.last])
        if given is None:
            self.calls.drop(f"the arguments of {call.last}, which are not known", place)
            return None
        rate = self.calls.number(given["lr"], "the learning rate", place)
        decay = self.calls.number(given["weight_decay"], "the weight decay", place) or 0.0
        if call.last == "SGD":
            self._sgd(given, decay, place)
        elif call.last in _KEYS:
            self._other(call.last, given, decay, place)
        else:
            is_inside = call.last == "Adam" and given.get("decoupled_weight_decay") is not True
            self._adam("adam" if is_inside else "adamw", given, decay, place)
        return rate

    def _sgd(self, given: dict[str, Any], decay: float, place: str) -> None:
        momentum = self.calls.number(given["momentum"], "the momentum", place) or 0.0
        if given["dampening"]:
            self.calls.drop("dampening, which lets a new gradient count for less", place)
        self.recipe["optimizer"] = {
            "kind": "sgd",
            "momentum": plain(momentum),
            "nesterov": bool(given["nesterov"]) and momentum > 0,
            **_decay(decay),
        }

    def _adam(self, kind: str, given: dict[str, Any], decay: float, place: str) -> None:
        tree: dict[str, Any] = {"kind": kind}
        betas = given["betas"]
        if isinstance(betas, tuple | list) and len(betas) == 2:
            for name, beta in zip(("beta1", "beta2"), betas, strict=True):
                if isinstance(beta, int | float) and 0 <= beta < 1:
                    tree[name] = beta
        self._epsilon(given["eps"], tree, place)
        if given["amsgrad"] is True:
            self.calls.drop("amsgrad, which divides by the largest mean square so far", place)
        self.recipe["optimizer"] = {**tree, **_decay(decay)}

    def _other(self, name: str, given: dict[str, Any], decay: float, place: str) -> None:
        """RMSprop, Adadelta or Adagrad."""
        given = {**given, "initial_accumulator": given.get("initial_accumulator_value")}
        tree: dict[str, Any] = {"kind": name.lower()}
        for key in _KEYS[name].split():
            if isinstance(given[key], bool):
                tree[key] = given[key]
            elif (value := self.calls.number(given[key], f"{key} of {name}", place)) is not None:
                tree[key] = plain(value)
        if given.get("lr_decay"):
            self.calls.drop(f"Adagrad's lr_decay of {short(given['lr_decay'])}", place)
        self._epsilon(given["eps"], tree, place)
        self.recipe["optimizer"] = {**tree, **_decay(decay)}

    def _epsilon(self, value: Any, tree: dict[str, Any], place: str) -> None:
        if isinstance(value, int | float) and 0 < value <= 1:
            tree["epsilon"] = float(value)
        else:
            self.calls.drop(f"an epsilon of {short(value)}: here it is that of torch", place)

    # ----------------------------------------------------------------------------------- schedule

    def _schedule(self, rate: float | None) -> None:
        constant: dict[str, Any] = {"kind": "constant", "warmup": 0.0}
        if rate:
            constant["peak"] = plain(rate)
        self.recipe["schedule"] = constant
        self._by_hand()
        names = (*_SCHEDULES, *_OTHER_SCHEDULES)
        calls = [it for it in self.calls.all if it.last in names and "lr_scheduler" in it.name]
        if not calls:
            return
        call = self.calls.last(calls, "schedules")
        steps = self._steps(call.target) if call.target else []
        if call.target and not steps:
            what = f"{call.last} is made and never stepped, so the rate stays as it is"
            self.calls.assume(what, call.place)
            return
        if call.last in _OTHER_SCHEDULES:
            what = f"{call.last}, which {_OTHER_SCHEDULES[call.last]}: the rate stays as it is"
            self.calls.drop(what, call.place)
            return
        by_batch = self._is_by_batch(steps)
        if by_batch and call.last not in ("OneCycleLR", "CosineAnnealingLR"):
            what = f"{call.last}, stepped once a batch, not once an epoch: the rate stays as it is"
            self.calls.drop(what, steps[-1].place)
            return
        given = self.calls.arguments(call, _SCHEDULES[call.last])
        if given is None or any(
            isinstance(given.get(it), Unknown) for it in ("gamma", "step_size")
        ):
            self.calls.drop(f"the arguments of {call.last}, which are not known", call.place)
            return
        by_name: dict[str, Callable[[dict[str, Any], str], dict[str, Any] | None]] = {
            "StepLR": self._step,
            "MultiStepLR": self._milestones,
            "ExponentialLR": self._exponential,
            "OneCycleLR": self._one_cycle,
            "CosineAnnealingLR": self._cosine,
            "LambdaLR": self._by_function,
            "ReduceLROnPlateau": self._plateau,
        }
        made = by_name[call.last](given, call.place)
        if call.last == "OneCycleLR" and made is not None and steps and not by_batch:
            made = self._slow_cycle(given, made, steps[-1].place)
        if made is not None:
            if rate and "peak" not in made:
                made["peak"] = plain(rate)
            self.recipe["schedule"] = made

    def _steps(self, name: str) -> list[Call]:
        """Where a schedule is stepped, under its name or under one that a function gives it."""
        found = [it for it in self.calls.all if it.last == "step" and _owner(it) == name]
        if found:
            return found
        is_given = any(text(a) == name for it in self.calls.all for a in it.node.args)
        return [
            it
            for it in self.calls.all
            if it.last == "step"
            and ("sched" in _owner(it).lower() or (is_given and not _optim(it)))
        ]

    def _is_by_batch(self, steps: list[Call]) -> bool:
        """Whether a schedule is stepped in the loop in which gradients are made."""
        loops = {id(self.calls.loop(it.node)) for it in self.calls.all if it.last == "backward"}
        inner = [self.calls.loop(it.node) for it in steps]
        return any(loop is not None and id(loop) in loops for loop in inner)

    def _by_hand(self) -> None:
        """A rate that the code sets itself, which no schedule says."""
        for node, piece in self.calls.nodes:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AugAssign):
                targets = [node.target]
            for it in targets:
                if isinstance(it, ast.Subscript) and isinstance(it.slice, ast.Constant):
                    if it.slice.value == "lr":
                        what = "a rate that the code sets by itself: here the schedule says it"
                        self.calls.drop(what, piece.at(node))

    def _slow_cycle(
        self, given: dict[str, Any], made: dict[str, Any], place: str
    ) -> dict[str, Any] | None:
        """OneCycleLR that is stepped once an epoch: in as many steps, or hardly moving."""
        epochs = self.recipe.get("epochs")
        if given["total_steps"] == epochs or (given["epochs"], given["steps_per_epoch"]) == (
            epochs,
            1,
        ):
            self.calls.drop("a rate that changes once an epoch: here at every step", place)
            return made
        if isinstance(given["total_steps"], int) and given["total_steps"] <= 1_000:
            self.calls.drop("OneCycleLR, stepped once an epoch: the rate stays as it is", place)
            return None
        divisor = given["div_factor"]
        if not isinstance(divisor, int | float) or divisor < 1:
            return None
        rate = plain(float(f"{made['peak'] / divisor:.6g}"))
        self.calls.assume(f"OneCycleLR, stepped once an epoch, stays near its start, {rate}", place)
        return {"kind": "constant", "warmup": 0.0, "peak": rate}

    def _step(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        every, factor = given["step_size"], given["gamma"]
        if not isinstance(every, int) or not 0 < every <= 64 or not is_share(factor):
            self.calls.drop(f"StepLR every {short(every)} epochs by {short(factor)}", place)
            return None
        return {"kind": "step", "every_epochs": every, "factor": plain(factor)}

    def _milestones(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        epochs, factor = given["milestones"], given["gamma"]
        if isinstance(epochs, list | tuple) and epochs and is_share(factor):
            rises = all(isinstance(it, int) and 0 < it <= 10_000 for it in epochs)
            if rises and list(epochs) == sorted(set(epochs)) and len(epochs) <= 64:
                milestones = [*epochs]
                return {"kind": "multi-step", "milestones": milestones, "factor": plain(factor)}
        at = f"{short(epochs)}"
        what = f"MultiStepLR, by which the rate is multiplied with {short(factor)} at {at}"
        self.calls.drop(f"{what}: the rate stays as it is", place)
        return None

    def _exponential(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        if not is_share(given["gamma"]):
            self.calls.drop(f"ExponentialLR by {short(given['gamma'])}: the rate stays", place)
            return None
        return {"kind": "exponential", "factor": plain(given["gamma"])}

    def _one_cycle(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        peak = given["max_lr"]
        if not isinstance(peak, int | float) or not 0 < peak <= 1e6:
            self.calls.drop("OneCycleLR, whose largest rate is not known", place)
            return None
        share = self.calls.number(given["pct_start"], "OneCycleLR's pct_start", place)
        tree: dict[str, Any] = {"kind": "one-cycle", "peak": plain(peak)}
        if share is not None and 0 <= share < 1:
            tree["warmup"] = plain(share)
        tree["first_step"] = "start"
        names = ["div_factor", "final_div_factor"]
        if given["cycle_momentum"] is not False:
            tree["cycle_momentum"] = True
            names += ["base_momentum", "max_momentum"]
        for name in names:
            value = self.calls.number(given[name], f"OneCycleLR's {name}", place)
            if value is not None and (value >= 1 if "div" in name else 0 <= value < 1):
                tree[name] = plain(value)
            elif value is not None:
                self.calls.drop(f"OneCycleLR's {name} of {short(value)}", place)
        if given["anneal_strategy"] != "cos":
            self.calls.drop("OneCycleLR in straight lines: here it is in half cosines", place)
        if given["three_phase"] is True:
            self.calls.drop("OneCycleLR in three phases", place)
        return tree

    def _plateau(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        """Carried over where it is told of the training loss; what watches test is refused."""
        told = [
            text(it.node.args[0])
            for it in self.calls.all
            if it.last == "step" and it.node.args and not _optim(it)
        ]
        watched = told[-1] if told else "what it is told of"
        numbers = {
            name: given[key]
            for name, key in (
                ("factor", "factor"),
                ("patience", "patience"),
                ("threshold", "threshold"),
                ("cooldown", "cooldown"),
                ("min_rate", "min_lr"),
            )
        }
        known = all(
            isinstance(it, int | float) and not isinstance(it, bool) and it >= 0
            for it in numbers.values()
        )
        by = f"multiplies the rate with {short(given['factor'])} where {watched} gets no better"
        for_ = f"ReduceLROnPlateau, which {by} for {short(given['patience'])} epochs"
        if "train" not in watched.lower() or given["mode"] != "min":
            self.calls.drop(f"{for_}: no schedule watches test", place)
            return None
        if not known or numbers["factor"] >= 1 or given["threshold_mode"] not in ("rel", "abs"):
            self.calls.drop(f"{for_}: the rate stays as it is", place)
            return None
        values = {name: plain(it) for name, it in numbers.items()}
        return {"kind": "plateau", **values, "threshold_mode": given["threshold_mode"]}

    def _by_function(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        shares = self._rates(given["lr_lambda"])
        found = None if shares is None else schedule_by_epoch(shares)
        if found is None:
            what = "LambdaLR, which multiplies the rate by a function of the epoch"
            self.calls.drop(f"{what}: the rate stays as it is", place)
        elif shares is not None and abs(shares[0] - 1) > 1e-9:
            what = "LambdaLR, which begins by another factor than 1: the rate stays"
            self.calls.drop(what, place)
            return None
        return found

    def _rates(self, function: Any) -> list[float] | None:
        """What a function of the epoch gives for each of them; None where that is not known."""
        return self.calls.results(function, range(self.recipe.get("epochs", 19)))

    def _cosine(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        epochs = self.recipe.get("epochs")
        if given["T_max"] != epochs or given["eta_min"]:
            last, end = short(given["T_max"]), short(given["eta_min"])
            self.calls.drop(
                f"CosineAnnealingLR over {last} epochs down to {end}: the rate stays", place
            )
            return None
        self.calls.drop("a rate that changes once an epoch: here it changes at every step", place)
        return {"kind": "cosine", "warmup": 0.0}

    # ------------------------------------------------------------------------------- loss and steps

    def _loss(self) -> None:
        entropies = ("cross_entropy", "CrossEntropyLoss")
        likelihoods = ("nll_loss", "NLLLoss")
        used: set[str] = set()
        for call in self.calls.all:
            if not call.name.startswith("torch.nn") and call.last not in likelihoods:
                continue
            used.add(call.last)
            if call.last in entropies:
                given = dict(named(call.node))
                for name in ("label_smoothing", "weight"):
                    value = self.calls.value(given[name], call.piece) if name in given else None
                    if name == "weight" and value is not None:
                        self.calls.drop("classes that weigh differently in the loss", call.place)
                    elif isinstance(value, float) and 0 < value < 1:
                        self.recipe["label_smoothing"] = value
            elif call.last in _OTHER_LOSSES and not self._is_penalty(call):
                self.calls.drop(f"the loss {call.last}: here it is cross-entropy", call.place)
        end = self.read.ends_in
        if end == "softmax" and used & {*entropies, *likelihoods}:
            what = "a loss of probabilities, after a softmax: here it is of the logits"
            self.calls.drop(what, "")
        elif not end and used & {*likelihoods} and not used & {*entropies, *_LOGARITHMS}:
            what = "nll_loss of what is no log-softmax: here it is cross-entropy"
            self.calls.drop(what, "")

    def _is_penalty(self, call: Call) -> bool:
        """Whether it is the sum of absolute values of weights: L1Loss against zeros."""
        if call.last not in ("L1Loss", "l1_loss"):
            return False
        words = [text(it.node) for it in self.calls.all if it.last in ("zeros_like", "zeros")]
        uses = [it for it in self.calls.all if call.target and _owner_of(it) == call.target]
        return bool(words) or any("param" in text(it.node) for it in [call, *uses])

    def _clipping(self) -> None:
        for call in self.calls.all:
            if call.last in ("clip_grad_norm_", "clip_grad_norm"):
                given = self.calls.arguments(
                    call, "parameters max_norm norm_type=2.0 error_if_nonfinite=False foreach=None"
                )
                limit = None if given is None else given["max_norm"]
                if isinstance(limit, int | float) and 0 < limit <= 1e6:
                    self.recipe["clip_norm"] = plain(limit)
                else:
                    self.calls.drop(
                        "the clipping of gradients, whose limit is not known", call.place
                    )
            elif call.last in ("clip_grad_value_", "clip_grad_value"):
                self.calls.drop("the clipping of each gradient by its value", call.place)

    def _l1(self) -> None:
        """The sum of absolute values, and what it is multiplied with."""
        sums = [
            it
            for it in self.calls.all
            if (it.last == "sum" and ".abs()" in text(it.node))
            or (it.last == "norm" and _is_of_one(it.node))
            or self._is_penalty(it)
        ]
        if not sums:
            return
        strengths: list[float] = []
        for node, piece in self.calls.nodes:
            if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Mult):
                left = node.target if isinstance(node, ast.AugAssign) else node.left
                right = node.value if isinstance(node, ast.AugAssign) else node.right
                for one, other in ((right, left), (left, right)):
                    words = text(other).lower()
                    if not any(it in words for it in ("l1", "reg", "norm", "abs")):
                        continue
                    value = self.calls.value(one, piece)
                    if isinstance(value, float) and 0 < value < 1:
                        strengths.append(value)
        place = sums[0].place
        if len({*strengths}) == 1:
            self.recipe["l1"] = {"strength": strengths[0], "of": "all"}
            self.calls.assume("L1 is of all tensors of the network", place)
        else:
            what = "L1, which adds the sum of absolute weights to the loss"
            self.calls.drop(f"{what}, by a strength that is not known", place)

    def _starts(self) -> None:
        """How the code begins the weights itself."""
        for call in self.calls.all:
            whole = text(call.node.func)
            in_place = call.last.endswith("_") and (".weight" in whole or ".data" in whole)
            if (".init." in call.name and call.name.startswith("torch")) or (
                in_place and call.last in _DRAWS
            ):
                what = f"the start of the weights ({call.last})"
                self.calls.drop(f"{what}: here as layers of torch come", call.place)

    # ---------------------------------------------------------------------------------------- Keras

    def _keras(self) -> bool:
        """The recipe of `compile` and `fit`; False where there is no `fit`."""
        fits = [it for it in self.calls.all if it.last in ("fit", "fit_generator")]
        if not fits:
            return False
        call = self.calls.last(fits, "calls of fit")
        signature = _FIT_GENERATOR if call.last == "fit_generator" else _FIT
        given = {**dict(zip(signature, call.node.args, strict=False)), **dict(named(call.node))}
        for name, own, usual in (("epochs", "epochs", 1), ("batch_size", "batch_size", 32)):
            node = given.get(name, given.get("nb_epoch") if name == "epochs" else None)
            value = usual if node is None else self.calls.value(node, call.piece)
            if node is None and own == "batch_size" and (source := given.get("x")) is not None:
                value = self._batch_of(source, "y" in given, call)
            if isinstance(value, int) and 0 < value <= 10_000:
                self.recipe[own] = value
            else:
                self.calls.drop(f"{name}, which is not known: the plain one stands", call.place)
        if "validation_split" in given:
            self._hold_out(self.calls.value(given["validation_split"], call.piece), call.place)
        for name in ("class_weight", "sample_weight", "steps_per_epoch"):
            if name in given:
                self.calls.drop(f"{name} of fit ({text(given[name])[:40]})", call.place)
        if "shuffle" in given and self.calls.value(given["shuffle"], call.piece) is False:
            what = "images in the same order each epoch: here they are shuffled"
            self.calls.drop(what, call.place)
        self._compiled()
        if "callbacks" in given:
            self._callbacks(given["callbacks"], call)
        self._start()
        self._penalties()
        return True

    def _hold_out(self, share: Any, place: str) -> None:
        """The last images, as many as Keras takes from MNIST for its `validation_split`."""
        if isinstance(share, float) and 0 < share < 1:
            images = _TRAINING_IMAGES - math.floor(_TRAINING_IMAGES * (1 - share))
            if images <= _TRAINING_IMAGES // 2:
                self.holdout = {"last": images}
                return
        self.calls.drop(f"the last {short(share)} of the images held out: see `holdout`", place)

    def _batch_of(self, source: ast.expr, has_labels: bool, fit: Call) -> int | None:
        """The batch size where `fit` is not told one: that of what it takes images from."""
        flows = [
            it for it in self.calls.all if it.last == "flow" and self._is_same(source, it, fit)
        ]
        if flows:
            node = dict(named(flows[-1].node)).get("batch_size")
            value = 32 if node is None else self.calls.value(node, flows[-1].piece)
            return value if isinstance(value, int) else None
        if has_labels:
            return 32
        sizes = [
            self.calls.value(it.node.args[0], it.piece)
            for it in self.calls.all
            if it.last == "batch" and it.node.args
        ]
        known = {it for it in sizes if isinstance(it, int)}
        return known.pop() if len(known) == 1 else None

    def _is_same(self, node: ast.expr, made: Call, used: Call) -> bool:
        """Whether an expression is a call, or the name that its value has."""
        return node is made.node or (isinstance(node, ast.Name) and made.target == node.id)

    def _penalties(self) -> None:
        """What Keras adds to the loss for the weights of a layer, or forbids them."""
        for node, piece in self.calls.nodes:
            for name, value in named(node):
                if name.endswith(("_regularizer", "_constraint")):
                    if not (isinstance(value, ast.Constant) and value.value is None):
                        self.calls.drop(f"{name} ({text(value)[:40]})", piece.at(node))

    def _start(self) -> None:
        """How weights begin: as layers of Keras come, or by the one name that they are given."""
        given = {
            _initializer(self.calls.value(value, call.piece)): call.place
            for call in self.calls.all
            for name, value in named(call.node)
            if name == "kernel_initializer"
        }
        known = [_STARTS.get(it.lower().replace("_", "")) for it in given] or ["keras"]
        if len(known) == 1 and known[0] is not None:
            self.recipe["initialize"] = known[0]
            return
        self.recipe["initialize"] = "keras"
        words = ", ".join(it[:40] for it in given)
        self.calls.drop(f"the start of the weights ({words})", next(iter(given.values())))

    def _callbacks(self, node: ast.expr, fit: Call) -> None:
        """What is called after each epoch: a schedule by a function is carried over."""
        value = self.calls.value(node, fit.piece)
        items = value if isinstance(value, list | tuple) else [value]
        for item in items:
            made = self.calls.at(item) if isinstance(item, Recorded) else None
            if made is not None and made.last in _ONLY_TELL:
                continue
            if made is not None and made.last == "LearningRateScheduler" and made.node.args:
                rates = self._rates(self.calls.value(made.node.args[0], made.piece))
                found = None if rates is None else schedule_by_epoch(rates)
                if found is not None and rates is not None:
                    self.recipe["schedule"] = {**found, "peak": plain(rates[0])}
                    if self.recipe.get("optimizer", {}).get("momentum"):
                        what = "Keras' momentum, which keeps the old rate in its velocity"
                        self.calls.drop(f"{what}: here a new rate counts at once", made.place)
                    continue
            words = text(node if made is None else made.node)[:80]
            place = fit.place if made is None else made.place
            self.calls.drop(f"what is called after each epoch ({words})", place)

    def _loss_of_keras(self, call: Call) -> None:
        """Whether the loss is the cross-entropy of the logits, which may come from a softmax."""
        node = dict(named(call.node)).get("loss")
        if node is None and len(call.node.args) > 1:
            node = call.node.args[1]
        made = self.calls.value(node, call.piece) if node is not None else None
        found = self.calls.at(made) if isinstance(made, Recorded) else None
        words = str(made) if isinstance(made, str) else text(found.node if found else call.node)
        full = (found.name if found else words).lower().replace("_", "")
        if "crossentropy" not in full or "binary" in full:
            self.calls.drop(f"the loss ({words[:60]}): here it is cross-entropy", call.place)
            return
        given = (self.calls.keywords(found) or {}) if found else {}
        smoothing = given.get("label_smoothing")
        if isinstance(smoothing, float) and 0 < smoothing < 1:
            self.recipe["label_smoothing"] = smoothing
        if (given.get("from_logits") is True) is (self.read.ends_in == "softmax"):
            what = "a loss of logits after a softmax" if self.read.ends_in else "no softmax"
            self.calls.drop(f"{what} before the loss: here the loss is of the logits", call.place)

    def _compiled(self) -> None:
        constant: dict[str, Any] = {"kind": "constant", "warmup": 0.0}
        self.recipe["schedule"] = constant
        compiles = [it for it in self.calls.all if it.last == "compile"]
        if not compiles:
            return
        call = self.calls.last(compiles, "calls of compile")
        self._loss_of_keras(call)
        node = dict(named(call.node)).get("optimizer")
        if node is None and call.node.args:
            node = call.node.args[0]
        made = next(
            (
                it
                for it in self.calls.all
                if it.node is node or (isinstance(node, ast.Name) and it.target == node.id)
            ),
            None,
        )
        word = self.calls.value(node, call.piece) if isinstance(node, ast.Constant) else None
        names = {it.lower(): it for it in _KERAS_OPTIMIZERS}
        kind = names.get(str(word).lower(), "") if made is None else made.last
        if kind not in _KERAS_OPTIMIZERS:
            words = text(node)[:40] if isinstance(node, ast.expr) else "?"
            self.calls.drop(f"the optimizer {words}: plain SGD stands in its place", call.place)
            return
        signature = _KERAS_OPTIMIZERS[kind].replace("learning_rate", "lr")
        given = None
        if made is not None:
            renamed = ast.Call(
                func=made.node.func,
                args=made.node.args,
                keywords=[
                    ast.keyword("lr" if it.arg == "learning_rate" else it.arg, it.value)
                    for it in made.node.keywords
                    if it.arg not in ("decay", "name", "clipnorm", "clipvalue")
                ],
            )
            ast.copy_location(renamed, made.node)
            given = self.calls.arguments(Call(made.name, renamed, made.piece, ""), signature)
            for it in made.node.keywords:
                if it.arg in ("decay", "clipnorm", "clipvalue"):
                    self.calls.drop(f"{it.arg} of the optimizer, {text(it.value)}", made.place)
        elif word is not None:
            given = bound(signature, [], {}, kind, call.place)
        if given is None:
            self.calls.drop(f"the arguments of {kind}, which are not known", call.place)
            return
        rate = self.calls.number(given["lr"], "the learning rate", call.place)
        if rate:
            constant["peak"] = plain(rate)
        decay = float(given["weight_decay"] or 0)
        if kind == "SGD":
            if decay and given["momentum"]:
                self.calls.drop("Keras' decay, which is not part of its velocity", call.place)
            self._sgd({**given, "dampening": 0}, decay, call.place)
            return
        given = {**given, "eps": given["epsilon"], "alpha": given.get("rho")}
        if kind in _KEYS:
            if decay:
                self.calls.drop(
                    f"Keras' decay, which is not part of the gradient of {kind}", call.place
                )
            self._other(kind, given, 0.0, call.place)
            if kind != "Adadelta":
                what = f"Keras adds the epsilon of {kind} within the root, torch after it"
                self.calls.assume(what, call.place)
            return
        given["betas"] = (given["beta_1"], given["beta_2"])
        self._adam("adamw" if decay else "adam", given, decay, call.place)


# ------------------------------------------------------------------------------------ small things


def _most_epochs(node: ast.AST) -> ast.expr | None:
    """What Lightning's Trainer is told."""
    return dict(named(node)).get("max_epochs") if isinstance(node, ast.Call) else None


def _initializer(value: Any) -> str:
    """The name of a start of Keras, which may be a text, a class or an object."""
    return (value if isinstance(value, str) else getattr(value, "name", "?")).rpartition(".")[2]


def _owner(call: Call) -> str:
    """What a method is called of, by its last name: `scheduler` of `self.scheduler.step()`."""
    function = call.node.func
    return text(function.value).rpartition(".")[2] if isinstance(function, ast.Attribute) else ""


def _owner_of(call: Call) -> str:
    return text(call.node.func).rpartition(".")[2]


def _optim(call: Call) -> bool:
    return "optim" in call.name.lower()


def _decay(decay: float) -> dict[str, Any]:
    """Weight decay as an optimizer of torch has it, of all tensors."""
    return {"weight_decay": plain(decay), **({"decays": "all"} if decay else {})}


def _is_of_one(node: ast.Call) -> bool:
    """Whether a norm is that of absolute values."""
    given = [*node.args, *(it.value for it in node.keywords if it.arg == "p")]
    return any(isinstance(it, ast.Constant) and it.value == 1 for it in given)


def _innermost_range(node: ast.expr) -> ast.expr:
    """`range(…)` inside of `tqdm(range(…))` and the like."""
    for _ in range(4):
        if not isinstance(node, ast.Call) or not node.args or text(node.func) == "range":
            break
        node = node.args[0]
    return node

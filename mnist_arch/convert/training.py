"""The recipe in code that is read: what is carried over, and what is not, with what it would do."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mnist_arch.convert.code import Read
from mnist_arch.convert.interpreter import Dotted, Piece, Unknown, Unsupported
from mnist_arch.convert.libraries import canonical
from mnist_arch.convert.modules import bound
from mnist_arch.convert.recipes import on_plain, schedule_by_epoch
from mnist_arch.errors import Origin, SpecError
from mnist_arch.spec.recipe import Recipe

PIXELS: Final = 28
NORMALIZED: Final = (0.1307, 0.3081)
STEPS_OF_ONE: Final = 5_000
"""Steps of the interpreter for the arguments of one call."""

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
_STARTS: Final[dict[str, Any]] = {
    "glorot_uniform": "keras",
    "glorot_normal": {"kind": "xavier", "distribution": "truncated-normal"},
    "he_normal": {"kind": "he", "distribution": "truncated-normal"},
    "he_uniform": {"kind": "he", "distribution": "uniform"},
}
"""What Keras calls the start of the weights."""
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
_OTHER_SCHEDULES: Final = {
    "CyclicLR": "moves the rate up and down again and again",
    "MultiplicativeLR": "multiplies the rate by a function of the epoch",
    "CosineAnnealingWarmRestarts": "lets the rate fall by half a cosine again and again",
    "LinearLR": "moves the rate in a line",
    "PolynomialLR": "lets the rate fall by a power",
    "SequentialLR": "has one schedule after another",
    "LearningRateScheduler": "sets the rate of each epoch by a function",
}
_NO_CHANGE: Final = (
    "ToTensor",
    "Compose",
    "ToPILImage",
    "PILToTensor",
    "ConvertImageDtype",
    "ToImage",
    "ToDtype",
    "Lambda",
)
_OTHER_TRANSFORMS: Final = {
    "CenterCrop": "cuts out the middle",
    "ElasticTransform": "bends the image at random",
    "GaussianBlur": "blurs the image",
    "Pad": "adds a border",
    "RandomAdjustSharpness": "changes the sharpness at random",
    "RandomApply": "makes its changes with a probability",
    "RandomChoice": "makes one of its changes",
    "RandomCrop": "cuts out a part at random, which is a shift by whole pixels where it pads",
    "RandomHorizontalFlip": "mirrors the image at random",
    "RandomVerticalFlip": "turns the image upside down at random",
    "Resize": "changes the number of pixels",
    "RandAugment": "makes several changes at random",
    "AutoAugment": "makes several changes at random",
    "TrivialAugmentWide": "makes a change at random",
}


@dataclass(frozen=True)
class Training:
    """A recipe in the language, and what of the source is not in it."""

    recipe: dict[str, Any]
    """Empty where the source has none."""
    dropped: list[tuple[str, str]]
    """What is not carried over, with its place."""
    assumed: list[tuple[str, str]]


@dataclass(frozen=True)
class _Call:
    """A call of a library, wherever it stands."""

    name: str
    node: ast.Call
    piece: Piece
    target: str
    """The name that its value gets; empty where it gets none."""

    @property
    def last(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def place(self) -> Origin:
        return self.piece.at(self.node)


def read_training(read: Read) -> Training:
    """The recipe of the code that has a network; what it has of it."""
    return _Reader(read).run()


@dataclass
class _Reader:
    read: Read
    recipe: dict[str, Any] = field(default_factory=dict)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    assumed: list[tuple[str, str]] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    pipelines: list[list[ast.Call]] = field(default_factory=list)
    """The transforms of each row."""
    taken: set[int] = field(default_factory=set)
    """Calls that are part of another that was carried over."""

    def run(self) -> Training:
        for tree, piece in self.read.trees:
            self.calls += self._calls(tree, piece)
        is_keras = self._keras() if self.read.is_keras else False
        if not is_keras:
            optimizers = self._of("torch.optim", (*_OPTIMIZERS, *_OTHER_OPTIMIZERS))
            if not optimizers:
                return Training({}, [], [])
            self._epochs()
            self._batch_size()
            rate = self._optimizer(optimizers)
            self._schedule(rate)
            self._loss()
            self._clipping()
            self._l1()
        self._augment(is_keras=is_keras)
        recipe = {name: self.recipe[name] for name in Recipe.model_fields if name in self.recipe}
        return Training(on_plain(recipe), self.dropped, self.assumed)

    # ------------------------------------------------------------------------------- what is called

    def _calls(self, tree: ast.Module, piece: Piece) -> Iterator[_Call]:
        targets: dict[int, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(
                node.targets[0], ast.Name | ast.Attribute
            ):
                target = node.targets[0]
                name = target.id if isinstance(target, ast.Name) else target.attr
                targets[id(node.value)] = name
            elif isinstance(node, ast.Call) and (name := self._name(node.func)):
                yield _Call(canonical(name), node, piece, targets.get(id(node), ""))

    def _name(self, node: ast.expr) -> str:
        """The whole name of what is called; empty where it is not of a library."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute) and len(parts) < 9:
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return f"?.{parts[0]}" if parts else ""
        interpreter = self.read.libraries.interpreter
        known = interpreter.globals.get(node.id)
        if known is None:
            module = next(
                (it for it in interpreter.stars if self.read.libraries.star(it, node.id)), ""
            )
            known = Dotted(f"{module}.{node.id}") if module else None
        if isinstance(known, Dotted):
            return ".".join([known.name, *reversed(parts)])
        return f"{node.id}.{'.'.join(reversed(parts))}" if parts else ""

    def _of(self, module: str, names: Sequence[str]) -> list[_Call]:
        return [it for it in self.calls if it.name.startswith(module) and it.last in names]

    def _value(self, node: ast.expr, piece: Piece) -> Any:
        interpreter = self.read.libraries.interpreter
        interpreter.steps, interpreter.depth, interpreter.limit = 0, 0, STEPS_OF_ONE
        interpreter.piece = piece
        try:
            return interpreter.value(node, [interpreter.globals])
        except (Unsupported, SpecError, RecursionError) as error:
            return Unknown(str(error), piece.at(node))

    def _arguments(self, call: _Call, signature: str) -> dict[str, Any] | None:
        """The arguments of a call by name; None where they cannot be told."""
        if any(isinstance(it, ast.Starred) for it in call.node.args):
            return None
        given = [self._value(it, call.piece) for it in call.node.args]
        keywords: dict[str, Any] = {}
        for it in call.node.keywords:
            value = self._value(it.value, call.piece)
            if it.arg is not None:
                keywords[it.arg] = value
            elif isinstance(value, dict):
                keywords.update({str(key): each for key, each in value.items()})
            else:
                return None
        try:
            return bound(signature, given, keywords, call.last, call.place)
        except SpecError:
            return None

    def _drop(self, what: str, place: str) -> None:
        if (what, place) not in self.dropped:
            self.dropped.append((what, place))

    def _last(self, calls: Sequence[_Call], what: str) -> _Call:
        """The one that counts: the last, and a note where there are several of other kinds."""
        if len({ast.unparse(it.node)[:400] for it in calls}) > 1:
            places = ", ".join(str(it.place) for it in calls[:5])
            self.assumed.append((f"of several {what} ({places}) the last counts", calls[-1].place))
        return calls[-1]

    def _number(self, value: Any, what: str, place: str) -> float | None:
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6:
            return float(value)
        self._drop(f"{what}, which is not known: the plain one stands in its place", place)
        return None

    # -------------------------------------------------------------------------- epochs and batches

    def _epochs(self) -> None:
        """The longest loop over epochs."""
        found: list[tuple[int, Origin]] = []
        for tree, piece in self.read.trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
                    if "epoch" in ast.unparse(node.target).lower() + _text(node.iter).lower():
                        steps = self._value(_innermost_range(node.iter), piece)
                        if isinstance(steps, range) and 0 < len(steps) <= 10_000:
                            found.append((len(steps), piece.at(node)))
        if not found:
            self._drop("the number of epochs, which no loop says: 19 stands in its place", "")
            return
        if len({count for count, _ in found}) > 1:
            counts = ", ".join(str(count) for count, _ in found)
            self.assumed.append((f"of loops over {counts} epochs the last counts", found[-1][1]))
        self.recipe["epochs"] = found[-1][0]

    def _batch_size(self) -> None:
        """The batch size of the loader that shuffles, or of what is handed to loaders."""
        found: list[tuple[bool, int, Origin]] = []
        for tree, piece in self.read.trees:
            for node in ast.walk(tree):
                pairs = dict(_keywords(node))
                if "batch_size" not in pairs:
                    continue
                size = self._value(pairs["batch_size"], piece)
                shuffles = "shuffle" in pairs and self._value(pairs["shuffle"], piece) is True
                if isinstance(size, int) and 2 <= size <= 65_536 and not isinstance(size, bool):
                    found.append((shuffles, size, piece.at(node)))
                if "drop_last" in pairs and self._value(pairs["drop_last"], piece) is True:
                    self.recipe["last_batch"] = "drop"
        found = [it for it in found if it[0]] or found
        if not found:
            self._drop("the batch size, which is not known: 64 stands in its place", "")
            return
        if len({size for _, size, _ in found}) > 1:
            sizes = ", ".join(str(size) for _, size, _ in found)
            self.assumed.append((f"of the batch sizes {sizes} the first counts", found[0][2]))
        self.recipe["batch_size"] = found[0][1]

    # ---------------------------------------------------------------------------------- optimizer

    def _optimizer(self, calls: list[_Call]) -> float | None:
        call = self._last(calls, "optimizers")
        place = call.place
        if call.last not in _OPTIMIZERS:
            self._drop(f"the optimizer {call.last}: plain SGD stands in its place", place)
            return None
        given = self._arguments(call, _OPTIMIZERS[call.last])
        if given is None:
            self._drop(f"the arguments of {call.last}, which are not known", place)
            return None
        rate = self._number(given["lr"], "the learning rate", place)
        decay = self._number(given["weight_decay"], "the weight decay", place) or 0.0
        if call.last == "SGD":
            self._sgd(given, decay, place)
        elif call.last in _KEYS:
            self._other(call.last, given, decay, place)
        else:
            is_inside = call.last == "Adam" and given.get("decoupled_weight_decay") is not True
            self._adam("adam" if is_inside else "adamw", given, decay, place)
        return rate

    def _sgd(self, given: dict[str, Any], decay: float, place: str) -> None:
        momentum = self._number(given["momentum"], "the momentum", place) or 0.0
        if given["dampening"]:
            self._drop("dampening, which lets a new gradient count for less", place)
        self.recipe["optimizer"] = {
            "kind": "sgd",
            "momentum": _plain(momentum),
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
            self._drop("amsgrad, which divides by the largest mean square so far", place)
        self.recipe["optimizer"] = {**tree, **_decay(decay)}

    def _other(self, name: str, given: dict[str, Any], decay: float, place: str) -> None:
        """RMSprop, Adadelta or Adagrad."""
        given = {**given, "initial_accumulator": given.get("initial_accumulator_value")}
        tree: dict[str, Any] = {"kind": name.lower()}
        for key in _KEYS[name].split():
            if isinstance(given[key], bool):
                tree[key] = given[key]
            elif (value := self._number(given[key], f"{key} of {name}", place)) is not None:
                tree[key] = _plain(value)
        if given.get("lr_decay"):
            self._drop(f"Adagrad's lr_decay of {_short(given['lr_decay'])}", place)
        self._epsilon(given["eps"], tree, place)
        self.recipe["optimizer"] = {**tree, **_decay(decay)}

    def _epsilon(self, value: Any, tree: dict[str, Any], place: str) -> None:
        if isinstance(value, int | float) and 0 < value <= 1:
            tree["epsilon"] = float(value)
        else:
            self._drop(f"an epsilon of {_short(value)}: here it is that of torch", place)

    # ----------------------------------------------------------------------------------- schedule

    def _schedule(self, rate: float | None) -> None:
        constant: dict[str, Any] = {"kind": "constant", "warmup": 0.0}
        if rate:
            constant["peak"] = _plain(rate)
        self.recipe["schedule"] = constant
        names = (*_SCHEDULES, *_OTHER_SCHEDULES)
        calls = self._of("torch.optim.lr_scheduler", names) + self._of("lr_scheduler", names)
        if not calls:
            return
        call = self._last(calls, "schedules")
        if call.target and not self._is_stepped(call.target):
            what = f"{call.last} is made and never stepped, so the rate stays as it is"
            self.assumed.append((what, call.place))
            return
        if call.last in _OTHER_SCHEDULES:
            what = f"{call.last}, which {_OTHER_SCHEDULES[call.last]}: the rate stays as it is"
            self._drop(what, call.place)
            return
        given = self._arguments(call, _SCHEDULES[call.last])
        if given is None or any(
            isinstance(given.get(it), Unknown) for it in ("gamma", "step_size")
        ):
            self._drop(f"the arguments of {call.last}, which are not known", call.place)
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
        if made is not None:
            if rate and "peak" not in made:
                made["peak"] = _plain(rate)
            self.recipe["schedule"] = made

    def _is_stepped(self, name: str) -> bool:
        """Whether the schedule is stepped, under its name or under one that a function gives it."""
        return any(it.last == "step" and "sched" in it.name.lower() for it in self.calls) or any(
            it.name.endswith(f"{name}.step") or any(_text(a) == name for a in it.node.args)
            for it in self.calls
        )

    def _step(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        every, factor = given["step_size"], given["gamma"]
        if not isinstance(every, int) or not 0 < every <= 64 or not _is_share(factor):
            self._drop(f"StepLR every {_short(every)} epochs by {_short(factor)}", place)
            return None
        return {"kind": "step", "every_epochs": every, "factor": _plain(factor)}

    def _milestones(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        epochs, factor = given["milestones"], given["gamma"]
        if isinstance(epochs, list | tuple) and epochs and _is_share(factor):
            rises = all(isinstance(it, int) and 0 < it <= 10_000 for it in epochs)
            if rises and list(epochs) == sorted(set(epochs)) and len(epochs) <= 64:
                milestones = [*epochs]
                return {"kind": "multi-step", "milestones": milestones, "factor": _plain(factor)}
        at = f"{_short(epochs)}"
        what = f"MultiStepLR, by which the rate is multiplied with {_short(factor)} at {at}"
        self._drop(f"{what}: the rate stays as it is", place)
        return None

    def _exponential(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        if not _is_share(given["gamma"]):
            self._drop(f"ExponentialLR by {_short(given['gamma'])}: the rate stays", place)
            return None
        return {"kind": "exponential", "factor": _plain(given["gamma"])}

    def _one_cycle(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        peak = given["max_lr"]
        if not isinstance(peak, int | float) or not 0 < peak <= 1e6:
            self._drop("OneCycleLR, whose largest rate is not known", place)
            return None
        share = self._number(given["pct_start"], "OneCycleLR's pct_start", place)
        tree: dict[str, Any] = {"kind": "one-cycle", "peak": _plain(peak)}
        if share is not None and 0 <= share < 1:
            tree["warmup"] = _plain(share)
        tree["first_step"] = "start"
        names = ["div_factor", "final_div_factor"]
        if given["cycle_momentum"] is not False:
            tree["cycle_momentum"] = True
            names += ["base_momentum", "max_momentum"]
        for name in names:
            value = self._number(given[name], f"OneCycleLR's {name}", place)
            if value is not None and (value >= 1 if "div" in name else 0 <= value < 1):
                tree[name] = _plain(value)
            elif value is not None:
                self._drop(f"OneCycleLR's {name} of {_short(value)}", place)
        if given["anneal_strategy"] != "cos":
            self._drop("OneCycleLR in straight lines: here it is in half cosines", place)
        if given["three_phase"] is True:
            self._drop("OneCycleLR in three phases", place)
        return tree

    def _plateau(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        """Carried over where it is told of the training loss; what watches test is refused."""
        told = [
            _text(it.node.args[0])
            for it in self.calls
            if it.last == "step" and it.node.args and "optim" not in it.name.lower()
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
        by = f"multiplies the rate with {_short(given['factor'])} where {watched} gets no better"
        for_ = f"ReduceLROnPlateau, which {by} for {_short(given['patience'])} epochs"
        if "train" not in watched.lower() or given["mode"] != "min":
            self._drop(f"{for_}: no schedule watches test", place)
            return None
        if not known or numbers["factor"] >= 1 or given["threshold_mode"] not in ("rel", "abs"):
            self._drop(f"{for_}: the rate stays as it is", place)
            return None
        values = {name: _plain(it) for name, it in numbers.items()}
        return {"kind": "plateau", **values, "threshold_mode": given["threshold_mode"]}

    def _by_function(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        shares = self._rates(given["lr_lambda"], place)
        found = None if shares is None else schedule_by_epoch(shares)
        if found is None:
            what = "LambdaLR, which multiplies the rate by a function of the epoch"
            self._drop(f"{what}: the rate stays as it is", place)
        elif shares is not None and abs(shares[0] - 1) > 1e-9:
            self._drop("LambdaLR, which begins by another factor than 1: the rate stays", place)
            return None
        return found

    def _rates(self, function: Any, place: str) -> list[float] | None:
        """What a function of the epoch gives for each of them; None where that is not known."""
        interpreter = self.read.libraries.interpreter
        found = []
        for epoch in range(self.recipe.get("epochs", 19)):
            interpreter.steps, interpreter.depth, interpreter.limit = 0, 0, STEPS_OF_ONE
            try:
                value = interpreter.call(function, [epoch], {}, ast.Constant(0, lineno=1))
            except (Unsupported, SpecError, RecursionError, ArithmeticError):
                return None
            if isinstance(value, bool) or not isinstance(value, int | float):
                return None
            found.append(float(value))
        return found or None

    def _cosine(self, given: dict[str, Any], place: str) -> dict[str, Any] | None:
        epochs = self.recipe.get("epochs")
        if given["T_max"] != epochs or given["eta_min"]:
            last, end = _short(given["T_max"]), _short(given["eta_min"])
            self._drop(f"CosineAnnealingLR over {last} epochs down to {end}: the rate stays", place)
            return None
        self._drop("a rate that changes once an epoch: here it changes at every step", place)
        return {"kind": "cosine", "warmup": 0.0}

    # ------------------------------------------------------------------------------- loss and steps

    def _loss(self) -> None:
        entropies = ("cross_entropy", "CrossEntropyLoss")
        for call in self.calls:
            if call.last in entropies and call.name.startswith("torch.nn"):
                for name, node in _keywords(call.node):
                    if name == "label_smoothing":
                        share = self._value(node, call.piece)
                        if isinstance(share, float) and 0 < share < 1:
                            self.recipe["label_smoothing"] = share
            elif call.name.startswith("torch.nn") and call.last in (
                "mse_loss",
                "MSELoss",
                "BCELoss",
                "BCEWithLogitsLoss",
                "MultiMarginLoss",
                "l1_loss",
                "L1Loss",
            ):
                self._drop(f"the loss {call.last}: here it is cross-entropy", call.place)

    def _clipping(self) -> None:
        for call in self.calls:
            if call.last in ("clip_grad_norm_", "clip_grad_norm"):
                given = self._arguments(
                    call, "parameters max_norm norm_type=2.0 error_if_nonfinite=False foreach=None"
                )
                limit = None if given is None else given["max_norm"]
                if isinstance(limit, int | float) and 0 < limit <= 1e6:
                    self.recipe["clip_norm"] = _plain(limit)
                else:
                    self._drop("the clipping of gradients, whose limit is not known", call.place)
            elif call.last in ("clip_grad_value_", "clip_grad_value"):
                self._drop("the clipping of each gradient by its value", call.place)

    def _l1(self) -> None:
        """The sum of absolute values, and what it is multiplied with."""
        sums = [
            it
            for it in self.calls
            if (it.last == "sum" and ".abs()" in _text(it.node))
            or (it.last == "norm" and _is_of_one(it.node))
        ]
        if not sums:
            return
        strengths: list[float] = []
        for tree, piece in self.read.trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
                    for one, other in ((node.left, node.right), (node.right, node.left)):
                        words = _text(other).lower()
                        value = self._value(one, piece)
                        is_penalty = any(it in words for it in ("l1", "reg", "norm", "abs"))
                        if is_penalty and isinstance(value, float) and 0 < value < 1:
                            strengths.append(value)
        place = sums[0].place
        if len({*strengths}) == 1:
            self.recipe["l1"] = {"strength": strengths[0], "of": "all"}
            self.assumed.append(("L1 is of all tensors of the network", place))
        else:
            what = "L1, which adds the sum of absolute weights to the loss"
            self._drop(f"{what}, by a strength that is not known", place)

    # ----------------------------------------------------------------------------------- transforms

    def _augment(self, *, is_keras: bool) -> None:
        changes: list[dict[str, Any]] = []
        normalizes = False
        seen: set[str] = set()
        for tree, _ in self.read.trees:
            self.pipelines += _pipelines(tree)
        for call in self.calls:
            if not call.name.startswith(("torchvision.transforms", "transforms.")):
                if call.last == "ImageDataGenerator":
                    self._drop("ImageDataGenerator, which changes images at random", call.place)
                continue
            word = ast.unparse(call.node)[:400]
            if call.last == "Normalize":
                normalizes = True
                self._normalize(call)
            elif word in seen or call.last in _NO_CHANGE:
                continue
            elif made := self._change(call):
                changes.append(made)
            seen.add(word)
        if not normalizes:
            self.recipe["normalize"] = "none"
        elif self.recipe.get("normalize") == {"mean": NORMALIZED[0], "std": NORMALIZED[1]}:
            del self.recipe["normalize"]  # it is that of the dataset
        if changes:
            self.recipe["augment"] = changes[0] if len(changes) == 1 else changes

    def _change(self, call: _Call) -> dict[str, Any] | None:
        """One change of the images; None where it is none, or cannot be said, which is listed."""
        by_name: dict[str, Callable[[_Call], dict[str, Any] | None]] = {
            "RandomRotation": self._rotation,
            "RandomAffine": self._affine,
            "RandomApply": self._cropping,
            "RandomErasing": self._erasing,
            "RandomPerspective": self._perspective,
            "RandomResizedCrop": self._resized_crop,
            "ColorJitter": self._tones,
        }
        if call.last in by_name:
            return by_name[call.last](call)
        is_size = call.last == "Resize" and call.node.args
        if is_size and self._value(call.node.args[0], call.piece) in (28, (28, 28), [28, 28]):
            return None
        if call.last in _OTHER_TRANSFORMS and id(call.node) not in self.taken:
            self._drop(f"{call.last}, which {_OTHER_TRANSFORMS[call.last]}", call.place)
        return None

    def _is_after(self, call: _Call, name: str) -> bool:
        """Whether it comes after a transform of this name, of the same row."""
        for row in self.pipelines:
            nodes = [id(it) for it in row]
            if id(call.node) in nodes:
                before = row[: nodes.index(id(call.node))]
                return any(_text(it.func).endswith(name) for it in before)
        return False

    def _normalize(self, call: _Call) -> None:
        given = self._arguments(call, "mean std inplace=False")
        numbers: list[Any] = []
        for value in (given or {}).values():
            numbers += list(value) if isinstance(value, list | tuple) else []
        words = ", ".join(map(_short, numbers)) or "values that are not known"
        fits = len(numbers) == 2 and all(isinstance(it, int | float) for it in numbers)
        if not fits or not (-10 <= numbers[0] <= 10 and 1e-3 <= numbers[1] <= 1e3):
            self._drop(f"Normalize({words}): here it is 0.1307 and 0.3081", call.place)
            return
        found = {"mean": float(numbers[0]), "std": float(numbers[1])}
        first = self.recipe.setdefault("normalize", found)
        if first != found:
            self._drop(f"Normalize({words}), another one than before it", call.place)

    def _rotation(self, call: _Call) -> dict[str, Any] | None:
        given = self._arguments(call, "degrees interpolation=None expand=False center=None fill=0")
        degrees = None if given is None else _either_way(given["degrees"])
        if given is None or degrees is None or degrees > 180:
            self._drop("RandomRotation by angles that are not the same either way", call.place)
            return None
        return {"rotate_degrees": _plain(degrees), **self._resampled(given, call)}

    def _resampled(self, given: dict[str, Any], call: _Call) -> dict[str, Any]:
        """How pixels that move are taken, and the grey of what comes into view."""
        words = str(getattr(given["interpolation"], "name", given["interpolation"])).upper()
        found: dict[str, Any] = {}
        if given["interpolation"] in (None, 0) or words.endswith("NEAREST"):
            found["resample"] = "nearest"
        elif given["interpolation"] != 2 and not words.endswith("BILINEAR"):
            self._drop(f"{call.last} by another interpolation: here it is bilinear", call.place)
        fill = given.get("fill", 0)
        fill = fill[0] if isinstance(fill, list | tuple) and len(fill) == 1 else fill
        most = 1 if self._is_after(call, "ToTensor") else 255
        if isinstance(fill, int | float) and 0 <= fill <= most:
            if fill:
                found["fill"] = round(fill / most, 9)
        elif fill is not None:
            self._drop(
                f"a fill of {_short(fill)} for what comes into view: here it is 0", call.place
            )
        if self._is_after(call, "Normalize"):
            self._drop(f"{call.last} after Normalize: here it comes before", call.place)
        return found

    def _affine(self, call: _Call) -> dict[str, Any] | None:
        given = self._arguments(
            call,
            "degrees translate=None scale=None shear=None interpolation=None fill=0 center=None",
        )
        if given is None:
            self._drop("RandomAffine with arguments that are not known", call.place)
            return None
        tree: dict[str, Any] = {}
        degrees = _either_way(given["degrees"])
        if degrees is None or degrees > 180:
            self._drop("RandomAffine by angles that are not the same either way", call.place)
        elif degrees:
            tree["rotate_degrees"] = _plain(degrees)
        match given["translate"]:
            case None:
                pass
            case [float() | int() as wide, float() | int() as high] if wide == high:
                tree |= {"shift_pixels": round(wide * PIXELS, 6), "whole_pixels": True}
            case other:
                self._drop(f"a shift of {_short(other)}, not the same along each axis", call.place)
        if given["scale"] is not None:
            if (pair := _pair(given["scale"])) is None:
                self._drop(f"a scale from {_short(given['scale'])}", call.place)
            else:
                is_even = abs(sum(pair) - 2) < 1e-9
                tree["scale"] = round(pair[1] - 1, 9) if is_even else pair
        if given["shear"] is not None:
            shear = _either_way(given["shear"])
            if shear is None or shear > 60:
                self._drop(f"a shear of {_short(given['shear'])}", call.place)
            elif shear:
                tree["shear_degrees"] = _plain(shear)
        return {**tree, **self._resampled(given, call)} if tree else None

    def _cropping(self, call: _Call) -> dict[str, Any] | None:
        """RandomApply of a CenterCrop, which a Resize follows."""
        given = self._arguments(call, "transforms p=0.5")
        items = call.node.args[0] if call.node.args else None
        inner = items.elts if isinstance(items, ast.List | ast.Tuple) else []
        crops = [it for it in self.calls if it.node in inner and it.last == "CenterCrop"]
        if given is None or len(inner) != 1 or not crops or not _is_share(given["p"]):
            self._drop(f"RandomApply, which {_OTHER_TRANSFORMS['RandomApply']}", call.place)
            return None
        size = self._value(crops[0].node.args[0], call.piece) if crops[0].node.args else None
        if not isinstance(size, int) or not 0 < size <= PIXELS:
            self._drop(f"RandomApply, which {_OTHER_TRANSFORMS['RandomApply']}", call.place)
            return None
        self.taken.add(id(crops[0].node))
        return {"crop": {"pixels": size, "probability": _plain(given["p"])}}

    def _erasing(self, call: _Call) -> dict[str, Any] | None:
        given = self._arguments(call, "p=0.5 scale=None ratio=None value=0 inplace=False")
        area, ratio = _ranges(given, area=(0.02, 0.33), ratio=(0.3, 3.3))
        value = None if given is None else given["value"]
        if self._is_after(call, "Normalize") and isinstance(value, int | float):
            value = value * NORMALIZED[1] + NORMALIZED[0]
        if given is None or area is None or ratio is None or not _is_share(given["p"]):
            self._drop("RandomErasing with arguments that are not known", call.place)
            return None
        if not _is_share(value):
            self._drop(f"RandomErasing to {_short(value)}: here it is background", call.place)
            value = 0
        tree: dict[str, Any] = {"probability": _plain(given["p"]), "area": area}
        if ratio != [0.3, 3.3]:
            tree["ratio"] = ratio
        if value:
            tree["fill"] = round(value, 6)
        return {"erase": tree}

    def _perspective(self, call: _Call) -> dict[str, Any] | None:
        given = self._arguments(call, "distortion_scale=0.5 p=0.5 interpolation=2 fill=0")
        if given is None or not (_is_share(given["distortion_scale"]) and _is_share(given["p"])):
            self._drop("RandomPerspective with arguments that are not known", call.place)
            return None
        by = {"distortion": given["distortion_scale"], "probability": _plain(given["p"])}
        return {"perspective": by, **self._resampled(given, call)}

    def _resized_crop(self, call: _Call) -> dict[str, Any] | None:
        given = self._arguments(call, "size scale=None ratio=None interpolation=2")
        area, ratio = _ranges(given, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
        if area is None or ratio is None or area[1] > 1:
            self._drop("RandomResizedCrop with arguments that are not known", call.place)
            return None
        return {"crop": {"area": area, **({} if ratio == [3 / 4, 4 / 3] else {"ratio": ratio})}}

    def _tones(self, call: _Call) -> dict[str, Any] | None:
        given = self._arguments(call, "brightness=0 contrast=0 saturation=0 hue=0")
        tree: dict[str, Any] = {}
        for name in ("brightness", "contrast"):
            amount = None if given is None else given[name]
            if _is_share(amount):
                tree |= {name: _plain(amount)} if amount else {}
            elif (pair := _pair(amount)) is not None:
                tree[name] = pair
            else:
                self._drop(f"ColorJitter's {name} of {_short(amount)}", call.place)
        return tree or None

    # ---------------------------------------------------------------------------------------- Keras

    def _keras(self) -> bool:
        """The recipe of `compile` and `fit`; False where there is no `fit`."""
        fits = [it for it in self.calls if it.last in ("fit", "fit_generator")]
        if not fits:
            return False
        call = self._last(fits, "calls of fit")
        pairs = dict(_keywords(call.node))
        for name, own, usual in (("epochs", "epochs", 1), ("batch_size", "batch_size", 32)):
            node = pairs.get(name, pairs.get("nb_epoch") if name == "epochs" else None)
            value = usual if node is None else self._value(node, call.piece)
            if isinstance(value, int) and 0 < value <= 10_000:
                self.recipe[own] = value
            else:
                self._drop(f"{name}, which is not known: the default stands", call.place)
        if "validation_split" in pairs:
            share = _short(self._value(pairs["validation_split"], call.piece))
            self._drop(f"the last {share} of the images held out: see `holdout`", call.place)
        self._compiled()
        if "callbacks" in pairs:
            self._callbacks(pairs["callbacks"], call)
        self._start()
        return True

    def _start(self) -> None:
        """How weights begin: as layers of Keras come, or by the one name that they are given."""
        named = {
            str(self._value(value, call.piece)): call.place
            for call in self.calls
            for name, value in _keywords(call.node)
            if name == "kernel_initializer"
        }
        known = [_STARTS.get(it.lower()) for it in named] or ["keras"]
        if len(known) == 1 and known[0] is not None:
            self.recipe["initialize"] = known[0]
            return
        self.recipe["initialize"] = "keras"
        words = ", ".join(it[:40] for it in named)
        self._drop(f"the start of the weights ({words})", next(iter(named.values())))

    def _callbacks(self, node: ast.expr, fit: _Call) -> None:
        """What is called after each epoch: a schedule by a function is carried over."""
        schedules = [it for it in self.calls if it.last == "LearningRateScheduler"]
        items = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
        for item in items:
            made = next(
                (
                    it
                    for it in schedules
                    if it.node is item or (isinstance(item, ast.Name) and it.target == item.id)
                ),
                None,
            )
            if made is not None and made.node.args:
                rates = self._rates(self._value(made.node.args[0], made.piece), made.place)
                found = None if rates is None else schedule_by_epoch(rates)
                if found is not None and rates is not None:
                    self.recipe["schedule"] = {**found, "peak": _plain(rates[0])}
                    if self.recipe.get("optimizer", {}).get("momentum"):
                        what = "Keras' momentum, which keeps the old rate in its velocity"
                        self._drop(f"{what}: here a new rate counts at once", made.place)
                    continue
            words = _text(item)[:80]
            self._drop(f"what is called after each epoch ({words})", fit.place)

    def _compiled(self) -> None:
        constant: dict[str, Any] = {"kind": "constant", "warmup": 0.0}
        self.recipe["schedule"] = constant
        compiles = [it for it in self.calls if it.last == "compile"]
        if not compiles:
            return
        call = self._last(compiles, "calls of compile")
        node = dict(_keywords(call.node)).get("optimizer")
        if node is None and call.node.args:
            node = call.node.args[0]
        made = next(
            (
                it
                for it in self.calls
                if it.node is node or (isinstance(node, ast.Name) and it.target == node.id)
            ),
            None,
        )
        word = self._value(node, call.piece) if isinstance(node, ast.Constant) else None
        names = {it.lower(): it for it in _KERAS_OPTIMIZERS}
        kind = names.get(str(word).lower(), "") if made is None else made.last
        if kind not in _KERAS_OPTIMIZERS:
            text = _text(node) if isinstance(node, ast.expr) else "?"
            self._drop(f"the optimizer {text[:40]}: plain SGD stands in its place", call.place)
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
            given = self._arguments(_Call(made.name, renamed, made.piece, ""), signature)
            for it in made.node.keywords:
                if it.arg in ("decay", "clipnorm", "clipvalue"):
                    self._drop(f"{it.arg} of the optimizer, {_text(it.value)}", made.place)
        elif word is not None:
            given = bound(signature, [], {}, kind, call.place)
        if given is None:
            self._drop(f"the arguments of {kind}, which are not known", call.place)
            return
        rate = self._number(given["lr"], "the learning rate", call.place)
        if rate:
            constant["peak"] = _plain(rate)
        decay = float(given["weight_decay"] or 0)
        if kind == "SGD":
            if decay and given["momentum"]:
                self._drop("Keras' decay, which is not part of its velocity", call.place)
            self._sgd({**given, "dampening": 0}, decay, call.place)
            return
        given = {**given, "eps": given["epsilon"], "alpha": given.get("rho")}
        if kind in _KEYS:
            if decay:
                self._drop(f"Keras' decay, which is not part of the gradient of {kind}", call.place)
            self._other(kind, given, 0.0, call.place)
            if kind != "Adadelta":
                what = f"Keras adds the epsilon of {kind} within the root, torch after it"
                self.assumed.append((what, call.place))
            return
        given["betas"] = (given["beta_1"], given["beta_2"])
        self._adam("adamw" if decay else "adam", given, decay, call.place)


# ------------------------------------------------------------------------------------ small things


def _decay(decay: float) -> dict[str, Any]:
    """Weight decay as an optimizer of torch has it, of all tensors."""
    return {"weight_decay": _plain(decay), **({"decays": "all"} if decay else {})}


def _is_of_one(node: ast.Call) -> bool:
    """Whether a norm is that of absolute values."""
    given = [*node.args, *(it.value for it in node.keywords if it.arg == "p")]
    return any(isinstance(it, ast.Constant) and it.value == 1 for it in given)


def _keywords(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and values of a call, or of a dictionary that is written out."""
    if isinstance(node, ast.Call):
        for it in node.keywords:
            if it.arg is not None:
                yield it.arg, it.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _innermost_range(node: ast.expr) -> ast.expr:
    """`range(…)` inside of `tqdm(range(…))` and the like."""
    for _ in range(4):
        if not isinstance(node, ast.Call) or not node.args or _text(node.func) == "range":
            break
        node = node.args[0]
    return node


def _text(node: ast.AST) -> str:
    return ast.unparse(node)[:1000]


def _short(value: Any) -> str:
    if isinstance(value, int | float | str | bool | None):
        return f"{value:g}" if isinstance(value, float) else str(value)[:40]
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_short, value[:6]))})"
    return "something that is not known"


def _plain(value: float) -> float:
    """A number as it is written: 0 for 0.0."""
    return int(value) if float(value).is_integer() and abs(value) < 1e6 else float(value)


def _pipelines(tree: ast.Module) -> Iterator[list[ast.Call]]:
    """The transforms of each Compose, in their order."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _text(node.func).endswith("Compose") and node.args:
            if isinstance(items := node.args[0], ast.List | ast.Tuple):
                yield [it for it in items.elts if isinstance(it, ast.Call)]


def _pair(value: Any) -> list[float] | None:
    """Two positive numbers, the least first."""
    if isinstance(value, list | tuple) and len(value) == 2:
        low, high = value
        if isinstance(low, int | float) and isinstance(high, int | float) and 0 < low <= high < 100:
            return [float(low), float(high)]
    return None


def _ranges(
    given: dict[str, Any] | None, *, area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[list[float] | None, list[float] | None]:
    """Area and ratio of a rectangle, these unless given; None where they are not known."""
    if given is None:
        return None, None
    found = (
        usual if given[name] is None else given[name]
        for name, usual in (("scale", area), ("ratio", ratio))
    )
    one, other = map(_pair, found)
    return one, other


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _either_way(value: Any) -> float | None:
    """The largest of a range that is the same either way; None for any other."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return abs(float(value))
    if isinstance(value, list | tuple) and len(value) == 2:
        low, high = value
        if isinstance(low, int | float) and isinstance(high, int | float) and low == -high:
            return abs(float(high))
    return None

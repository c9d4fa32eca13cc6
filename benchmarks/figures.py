"""Writes every figure in the README and in docs/ that comes from a result file.

    python benchmarks/figures.py            # writes what is not current
    python benchmarks/figures.py --check    # only names it, and ends with 1 where it can

A page marks the place of a figure: <!--NAME-->, the figure, <!--/-->. NAME is a key of FIGURES.
Text stands in its line, and a table between empty lines. The files are in benchmarks/results and
benchmarks/records. The evidence of the zoo lies with its networks.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from records import GOALS, Goal, draw, our_row, published, shipped
from tried import lever_rows

from mnist_arch.counting.plan import plan_network
from mnist_arch.evaluation.comparison import ArmRun, compare_with_first
from mnist_arch.evaluation.judgement import SeedAccuracies
from mnist_arch.files import write_whole
from mnist_arch.runs.result import Result
from mnist_arch.spec.loading import load
from mnist_arch.sweeps.standings import Leaderboard
from mnist_arch.training.engine_choice import COMPILE_FROM_FLOPS
from mnist_arch.training.work import training_flops

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
RECORDS: Final = ROOT / "benchmarks" / "records"
PICTURE: Final = ROOT / "docs" / "pictures" / "records.svg"
PLACE: Final = re.compile(r"<!--([a-z0-9.-]+)-->(.*?)<!--/-->", re.DOTALL)


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def written(page: str) -> str:
    """The text of a page with current figures. Raises KeyError for a name that is not known."""

    def place(found: re.Match[str]) -> str:
        name = found[1]
        text = FIGURES[name]()
        between = f"\n\n{text.strip()}\n\n" if "\n" in text else text
        return f"<!--{name}-->{between}<!--/-->"

    return PLACE.sub(place, page)


def report(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """The first columns to the left, the others to the right."""
    sides = ["---"] * left + ["--:"] * (len(headings) - left)
    return "".join(f"| {' | '.join(line)} |\n" for line in (headings, sides, *rows))


def score(correct: Sequence[int], images: int) -> str:
    """Mean and standard deviation over seeds."""
    found = SeedAccuracies.of(correct, images)
    return f"{found.mean_percent:.3f} ± {found.spread_percent:.3f} %"


def bound(correct: Sequence[int], images: int) -> str:
    return f"{SeedAccuracies.of(correct, images).bound_percent:.3f} %"


def range_of(values: Sequence[float], digits: int = 0) -> str:
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


# ---------------------------------------------------------------------------------------- the zoo


def claims() -> str:
    """A row for each network with evidence, without spaces between cells: the README is short."""
    headings = ["network", "parameters", "epochs", "test accuracy, mean ± sd (seeds)"]
    lines = [[*headings, "a seed takes", "hardware", "command"]]
    lines.append(["---", "--:", "--:", "---", "---", "---", "---"])
    for name, it in sorted(shipped().items(), key=lambda it: -it[1].parameters):
        correct = [seed.correct for seed in it.seeds]
        minutes = [(seed.seconds + it.teacher_seconds) / 60 for seed in it.seeds]
        taught = "" if it.teacher is None else f", taught by `{it.teacher.name}`"
        cells = [f"`{name}`{taught}", f"{it.parameters:,}", f"{it.epochs}"]
        cells.append(f"**{score(correct, it.images)} ({len(correct)})**")
        least, most = f"{min(minutes):.0f}", f"{max(minutes):.0f}"
        cells += [
            f"{least if least == most else f'{least}–{most}'} min",
            ", ".join(it.machine.split(", ")[:2]),
        ]
        lines.append([*cells, f"`mnist-arch train {name} --seeds {len(correct)}`"])
    return "".join(f"|{'|'.join(line)}|\n" for line in lines)


def s6() -> tuple[list[int], int]:
    """Correct images of each seed, and how many there are."""
    evidence = shipped()["s6"]
    return [seed.correct for seed in evidence.seeds], evidence.images


def s6_crossed() -> str:
    return f"{shipped()['s6'].crossed_bound_percent:.3f} %"


def s6_minutes() -> str:
    return f"{range_of([seed.seconds / 60 for seed in shipped()['s6'].seeds])} minutes"


def s6_seeds() -> str:
    rows = []
    for it in results_of("s6-mnist"):
        low, high = it.interval_percent
        cells = [f"{it.correct:,}", f"{it.accuracy_percent:.2f} %", f"{low:.2f}–{high:.2f}"]
        rows.append([f"{it.seed}", *cells])
    headings = ["seed", "correct of 10,000", "accuracy", "Wilson 95 %"]
    return table(headings, rows, left=0)


def entries() -> str:
    headings = ["network", "parameters", "epochs", "test accuracy", "bound", "crossed"]
    headings += ["correct of 10,000, seeds 0 to 4", "time of a seed", "teacher"]
    return table(headings, [our_row(name, it) for name, it in shipped().items()])


def goals() -> str:
    ours = shipped()

    def row(name: str, goal: Goal) -> list[str]:
        asked = f"≥ {goal.percent:.2f} %"
        if name not in ours:
            return [f"`{name}`", goal.rule, asked, "–", "not trained yet"]
        mean = ours[name].accuracies.mean_percent
        missing = goal.percent - mean
        answer = "reached" if missing <= 0 else f"missed by {missing:.3f}"
        if (over := ours[name].parameters - (goal.most_parameters or math.inf)) > 0:
            answer = f"{answer}, with {over:,} parameters too many"
        return [f"`{name}`", goal.rule, asked, f"{mean:.3f} %", answer]

    headings = ["network", "rule", "mean to reach", "mean", "answer"]
    return table(headings, [row(name, goal) for name, goal in GOALS.items()], left=2)


# ------------------------------------------------------------------------------------- the records


def runs_of_records(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RECORDS / name).read_text("utf-8"))["runs"]
    return found


def candidates() -> str:
    runs = runs_of_records("tried.json")
    runs.sort(key=lambda it: (it["parameters"] > 5_000, it["epochs"], it["loss"]))
    rows = []
    for it in runs:
        ended_early = it["epoch"] < it["epochs"]
        cells = [f"`{it['name']}`", f"{it['parameters']:,}", f"{it['macs']:,}"]
        cells.append(f"{it['epoch']} of {it['epochs']}" if ended_early else f"{it['epochs']}")
        cells.append(f"{100 * it['correct'] / it['images']:.2f} %")
        rows.append([*cells, f"{it['loss']:.4f}", f"{it['train_loss']:.4f}"])
    headings = ["run", "parameters", "MACs", "epochs", "accuracy", "loss", "training loss"]
    return table(headings, rows)


def levers(name: str, first: str) -> str:
    rows = lever_rows(runs_of_records(name), first)
    return table(["what differs", "accuracy, points", "loss on the hold-out", "seeds"], rows)


def public() -> str:
    rows = [
        [
            f"{it.parameters:,}",
            f"{it.epochs}",
            f"{it.percent:g} %{'' if it.is_final else ', best epoch'}",
            it.evidence,
            it.source,
        ]
        for it in published(RECORDS / "public.csv")
    ]
    return table(["parameters", "epochs", "test accuracy", "what it is", "source"], rows, left=5)


def fast(key: str, digits: int, unit: str = "") -> str:
    return spread([pair[key] for pair in report("fast")["pairs"]], digits) + unit


# -------------------------------------------------------------------------------- kept runs, sweeps


def results_of(name: str) -> list[Result]:
    return [Result.model_validate(run["result"]) for run in report(name)["runs"]]


def augmentations() -> str:
    rows = []
    for run, it in zip(report("s6-holdout")["runs"], results_of("s6-holdout"), strict=True):
        augment = run["recipe"]["augment"]
        rows.append(
            [
                f"{augment['rotate_degrees']:g}°",
                f"{augment['shift_pixels']:g} px",
                f"{100 * augment['scale']:g} %",
                f"{augment['shear_degrees']:g}°",
                f"{it.seed}",
                f"{it.correct:,}",
                f"{it.loss:.4f}",
            ]
        )
    headings = ["rotation", "shift", "scale", "shear", "seed", "correct of 5,000 held out", "loss"]
    return table(headings, rows, left=0)


@cache
def board(name: str) -> Leaderboard:
    text = (RESULTS / f"{name}-leaderboard.json").read_text("utf-8")
    return Leaderboard.model_validate_json(text)


def effect(axis: str) -> str:
    (it,) = (it for it in board("experiments").effects if it.axis.endswith(axis))
    assert it.interval_percent is not None
    low, high = it.interval_percent
    return f"{it.percent:+.3f} ({low:+.3f} to {high:+.3f})"


def finalists(name: str) -> list[str]:
    """The scores on test, each with its number of seeds, the best of the hold-out first."""
    return [
        f"{score(it.test.correct, it.test.images)} (test, {len(it.test.correct)} seeds)"
        for it in board(name).standings
        if it.test is not None
    ]


def large_batch_bound() -> str:
    (test,) = (it.test for it in board("large-batch").standings if it.test is not None)
    return bound(test.correct, test.images)


def large_batches() -> str:
    rows = []
    for it in board("large-batch").standings:
        (run,) = (
            run
            for run in report("large-batch")["runs"]
            if it.trials[0].folder.endswith(f"{run['made']['digest'][:8]}-s{run['made']['seed']}")
        )
        recipe, result = run["recipe"], run["result"]
        sizes = (recipe["batch_size"], recipe["schedule"]["peak"], recipe["ema"])
        rows.append([*(f"{size:,}" for size in sizes), f"{result['correct']:,}"])
        rows[-1].append(f"{result['loss']:.4f}")
    return table(["batch", "peak", "average", "correct of 5,000 held out", "loss"], rows, left=0)


def start() -> str:
    return f"{100 * report('start')['ratio']['median']:.0f} %"


def workers(form: str) -> str:
    return form.format(**report("workers")["ratio"])


def scales() -> str:
    found = report("scale")
    plans = {it["trials"]: it for it in found["plan"]}
    rows = []
    for read in found["read"]:
        both = [
            cell
            for it in (plans[read["trials"]], read)
            for cell in (f"{it['seconds']:.2f} s", f"{it['peak_bytes'] / 1e6:.0f} MB")
        ]
        rows.append([f"{read['trials']:,}", *both])
    return table(["trials", "planned in", "with", "read in", "with"], rows, left=0)


def scale(kind: str, key: str, form: str) -> str:
    """Of the plan with the most trials."""
    return form.format(report("scale")[kind][-1][key] / (1e6 if key == "peak_bytes" else 1))


# -------------------------------------------------------------------------------------- the engines


def compiled_from(threads: int) -> str:
    """The first number of epochs of s6 for which a run is compiled."""
    macs = plan_network(load("s6").experiment).macs
    return next(
        f"{epochs}"
        for epochs in itertools.count(1)
        if training_flops(macs=macs, images=60_000, epochs=epochs - 1)
        >= COMPILE_FROM_FLOPS * threads
    )


def paybacks() -> str:
    def cell(it: dict[str, Any]) -> str:
        epochs = statistics.median(it["images"]) / 60_000
        flops = statistics.median(it["flops_per_thread"])
        return f"{epochs:.1f} epochs{' of s6' if it['cache'] == 'cold' else ''}, {flops:.1e}"

    rows = []
    for title, name in (("A, float32", "warm-up"), ("C, bfloat16", "warm-up-amx")):
        found = {(it["threads"], it["cache"]): cell(it) for it in report(name)["paybacks"]}
        for threads in (1, 2):
            kinds = [found[threads, "cold"], found[threads, "warm"]]
            rows.append([title if threads == 1 else "", f"{threads}", *kinds])
    return table(["machine", "threads", "empty cache", "filled cache"], rows)


ENGINES: Final = {
    "plain in float32": "s6-mnist-plain",
    "compiled in float32": "s6-mnist-compiled",
    "compiled in bfloat16": "s6-mnist-bfloat16",
    "native in float32": "s6-mnist-native",
}
"""Step and precision of each five runs of s6."""

SEPARABLE: Final = {"plain": "separable-mnist-plain", "native": "separable-mnist-native"}
"""Steps of each five runs of a separable network, in float32."""


def engines(files: Mapping[str, str]) -> str:
    """Accuracy over seeds by engine, compared with the first; the last training loss, if kept."""
    arms = {name: results_of(file) for name, file in files.items()}
    judged = [[ArmRun(it.seed, it.correct, mistakes=None) for it in arm] for arm in arms.values()]
    rows = []
    compared = [None, *compare_with_first(judged, images=10_000)]
    for (name, arm), difference in zip(arms.items(), compared, strict=True):
        correct = [it.correct for it in arm]
        cells = [name, ", ".join(f"{it:,}" for it in correct), score(correct, arm[0].images), ""]
        if difference is not None:
            low, high = difference.interval_percent
            cells[-1] = f"{difference.percent:+.3f} ({low:+.3f} to {high:+.3f})"
        rows.append(cells)
    losses = [
        [run["curve"][-1].get("train_loss") for run in report(file)["runs"]]
        for file in files.values()
    ]
    if all(None not in it for it in losses):
        rows = [[*cells, spread(it, 4)] for cells, it in zip(rows, losses, strict=True)]
    headings = ["steps", "correct of 10,000", "accuracy", "difference, points", "training loss"]
    return table(headings[: len(rows[0])], rows, left=2)


def made_by(name: str) -> str:
    """The command, the machine and the versions of a report."""
    found = report(name)
    torch = f"torch {found['versions']['torch']}"
    return (
        f"`{' '.join(found['command'])}`, on {found['machine']}, {torch}: "
        f"[{name}.json](../benchmarks/results/{name}.json).\n\n"
    )


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, least and most; of a single value, that one."""
    parts = (statistics.median(values), min(values), max(values))
    middle, least, most = (f"{it:,.{digits}f}" for it in parts)
    return middle if len(values) == 1 else f"{middle} ({least}–{most})"


def steps(names: Sequence[str]) -> str:
    """Least milliseconds of a step, and ratios round by round."""
    rows = []
    for found in map(report, names):
        shares = {(it["name"], it["kind"]): it for it in found["shares"]}
        for lever in found["levers"]:
            first = lever["values"]["native"]
            for kind, values in lever["values"].items():
                label = kind.replace(", c05", " of c05f2a9").replace("-", " in ")
                share = shares[lever["name"], kind]
                ratio = [other / one for one, other in zip(first, values, strict=True)]
                rows.append(
                    [
                        f"{lever['name']}: {label}",
                        f"{min(values):.1f}",
                        "" if kind == "native" else f"{min(values) / min(first):.2f}",
                        "" if kind == "native" else spread(ratio),
                        f"{100 * share['gflops'] / share['product_gflops']:.0f} %",
                    ]
                )
    headings = ["step", "least ms", "by native's least", "round by round", "of a product"]
    return "".join(map(made_by, names)) + table(headings, rows)


SWEEPS: Final = {
    "Xeon": "whole_sweep",
    "EPYC, AVX-512": "epyc/whole_sweep",
    "EPYC, AVX2": "epyc/whole_sweep-avx2",
}


def whole_sweeps() -> str:
    rows = [
        [f"{name}, {vectors}", spread(it["other"], 0), spread(it["here"], 0), spread(ratios)]
        for vectors, found in ((key, report(file)) for key, file in SWEEPS.items())
        for (name, it), ratios in zip(
            found["seconds"].items(), found["ratios"].values(), strict=True
        )
    ]
    headings = ["sweep", "c05f2a9, seconds", "native, seconds", "times as fast"]
    return "".join(map(made_by, SWEEPS.values())) + table(headings, rows)


def whole_training() -> str:
    """Whole commands compared with the script, pair by pair, and what each reaches."""
    names, rows = ("peer", "peer-19"), []
    for found in map(report, names):
        of = f"{found['epochs']} epoch{'s' if found['epochs'] > 1 else ''}"
        for name, side in found["sides"].items():
            outcomes = side["outcomes"]
            accuracies = " ".join(f"{it['said']['accuracy_percent']:.2f}" for it in outcomes)
            ratio = spread(found["ratios"]) if name == "mnist-arch" else ""
            seconds = spread([it["seconds"] for it in outcomes], 0)
            side_name = f"{of}: {name.replace('peer', 'plain script')}"
            rows.append([side_name, seconds, ratio, f"{accuracies} %"])
    headings = ["s6", "seconds", "times as fast", "final accuracy"]
    return "".join(map(made_by, names)) + table(headings, rows)


def start_up() -> str:
    """From the start of the command to its first step, with what it is compared with."""
    found = report("first_step")
    bare = [one for _, one in found["pairs_seconds"]]
    here = [one for one, _ in found["pairs_seconds"]]
    rows = [
        ["`mnist-arch train`, to its first step", spread(here), spread(found["ratios"])],
        ["by c05f2a9", "", spread(found["other_ratios"])],
        ["torch and the data, alone", spread(bare), ""],
    ]
    return made_by("first_step") + table(["from the start", "seconds", "ratio"], rows)


def first_command(side: str) -> str:
    """What the first command of a machine waits for the native library, in the median."""
    return f"{report('first_command')['wait_seconds'][side]['median']:.1f} s"


def first_commands() -> str:
    """The same, with its least and its most."""
    seconds = report("first_command")["seconds"]
    rows = [
        [
            name,
            spread(
                [one - later for one, later in zip(seconds[side], seconds["later"], strict=True)]
            ),
        ]
        for side, name in (("installed", "was installed"), ("built", "has to be built"))
    ]
    return made_by("first_command") + table(["the native library", "waits, seconds"], rows)


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f}"


def memory() -> str:
    found = report("memory")
    rows = [
        [
            f"`{it['network']}`",
            f"{it['batch_size']}",
            it["engine"],
            f"{it['peak_bytes'] / 1e6:,.0f}",
        ]
        for it in found["peaks"]
    ]
    rows.append(["`import torch` alone", "", "", megabytes(found["torch_bytes"])])
    return made_by("memory") + table(["network", "batch", "engine", "peak, MB"], rows)


def linear() -> str:
    found = report("linear")
    rows = [
        [it["label"], *(f"{one:.2f}" for one in it["seconds"]), f"{it['line']['r2']:.5f}"]
        for it in found["by_images"]
    ]
    rows.append(["R² by MACs", *(f"{it['line']['r2']:.5f}" for it in found["by_macs"]), ""])
    headings = ["seconds of an epoch", *(it["label"] for it in found["by_macs"]), "R² by images"]
    return made_by("linear") + table(headings, rows)


def not_idle() -> str:
    """Trainings at once, or beside a busy process, with what one thread each takes."""
    found = report("busy")
    rows = [
        [
            f"{title}: {name.replace('the other checkout', 'c05f2a9')}",
            spread(values, 1),
            spread(found["ratios"][title][name]),
        ]
        for title, ways in found["seconds"].items()
        for name, values in ways.items()
    ]
    return made_by("busy") + table(["trainings", "seconds", "by one thread each"], rows)


def listing() -> str:
    found = report("listing")
    rows = [[f"`{name}`", spread(it["seconds"])] for name, it in found["commands"].items()]
    return made_by("listing") + table([f"{found['runs']:,} runs", "seconds, whole command"], rows)


def classroom() -> str:
    found = report("classroom")
    rows = [[f"`{name}`", f"{it['seconds']:.0f}"] for name, it in found["commands"].items()]
    return made_by("classroom") + table([f"{found['students']} hand-ins", "seconds"], rows)


MACHINES: Final = {"A": "levers", "B": "levers-avx2", "C": "levers-amx"}


def levers_of_steps() -> str:
    """The ratio of each variant to the first of its lever, by machine."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for machine, name in MACHINES.items():
        for lever in report(name)["levers"]:
            first, *_ = lever["values"]
            for variant, it in lever["ratio_spreads"].items():
                text = f"{it['median']:.2f} ({it['min']:.2f}–{it['max']:.2f})"
                found.setdefault((lever["name"], first, variant), {})[machine] = text
    rows = [
        [f"{name}: {first} → {variant}", *(it.get(machine, "") for machine in MACHINES)]
        for (name, first, variant), it in found.items()
    ]
    return table(["lever", *MACHINES], rows)


# ----------------------------------------------------------------------------------------- exports


def int8_seeds() -> str:
    rows = []
    for it in report("int8")["seeds"]:
        accuracies = [f"{it['int8'][key] / 100:.2f} %" for key in ("correct", "float_correct")]
        rows.append([f"{it['seed']}", *accuracies, f"{it['c']['data_bytes']:,}"])
    return table(["seed", "whole numbers", "floats", "weights, biases, scales"], rows, left=0)


def parities() -> str:
    rows = []
    for it in report("parity")["exports"]:
        parity = it["parity"]
        rows.append(
            [
                f"`{it['network']}`",
                it["format"],
                f"{it['parameters']:,}",
                f"{it['bytes']:,}",
                f"{parity['same']:,} of {parity['images']:,}",
                f"{parity['largest']:.2g}",
                f"{it['accuracy_percent']:.2f} %",
            ]
        )
    headings = ["network", "format", "parameters", "bytes", "same predictions"]
    return table([*headings, "largest difference of a logit", "accuracy"], rows, left=2)


def boards() -> str:
    def rows() -> Iterator[list[str]]:
        for it in report("parity")["exports"]:
            for board in it["c"]["boards"] if it["c"] else ():
                numbers = "whole" if "int8" in it["format"] else "floats"
                sizes = (it["c"]["data_bytes"], it["c"]["buffer_bytes"], board["flash_bytes"])
                counts = (*sizes, board["instructions"])
                cells = ["–" if one is None else f"{one:,}" for one in counts]
                yield [f"`{it['network']}`", numbers, board["board"], *cells]

    headings = ["network", "numbers", "board", "weights, biases, scales", "memory", "flash"]
    return table([*headings, "instructions"], [*rows()], left=3)


def int8_score() -> str:
    seeds = report("int8")["seeds"]
    return score([it["int8"]["correct"] for it in seeds], seeds[0]["int8"]["images"])


def quantized_rows() -> str:
    """Right answers of each seed, by how it was trained and what it was rounded to."""
    seeds = report("quantized")["seeds"]
    rows = []
    for arm, it in seeds[0]["arms"].items():
        cells = []
        for bits in (None, "8 bits", "4 bits"):
            found = [seed["arms"][arm] for seed in seeds]
            is_there = bits is None or bits in it
            counts = [(one if bits is None else one[bits])["correct"] for one in found if is_there]
            cells.append(", ".join(f"{count:,}" for count in counts) or "–")
        rows.append([arm, *cells])
    return table(["trained in", "in floats", "weights of 8 bits", "weights of 4 bits"], rows)


def quantized_images() -> str:
    return f"{report('quantized')['images']:,}"


def quantized_epochs() -> str:
    return str(report("quantized")["epochs"])


def parity_made_by() -> str:
    found = report("parity")
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"`{' '.join(found['command'])}`, with {versions}, on {found['machine']}"


FIGURES: Final[dict[str, Callable[[], str]]] = {
    "claims": claims,
    "s6.score": lambda: f"{score(*s6())} (test, {len(s6()[0])} seeds)",
    "s6.bound": lambda: bound(*s6()),
    "s6.crossed": s6_crossed,
    "s6.minutes": s6_minutes,
    "s6.seeds": s6_seeds,
    "zoo.entries": entries,
    "zoo.goals": goals,
    "records.candidates": candidates,
    "records.levers": lambda: levers("levers.json", "as-it-is"),
    "records.padding": lambda: levers("padding.json", "no-padding"),
    "records.public": public,
    "fast.epoch": partial(fast, "peer_command_seconds", 1, " s"),
    "fast.plain": partial(fast, "peer_whole_seconds", 0, " s"),
    "fast.first": partial(fast, "first_seconds", 1, " s"),
    "fast.next": partial(fast, "next_seconds", 1, " s"),
    "fast.first-ratio": partial(fast, "first_ratio", 1),
    "fast.next-ratio": partial(fast, "next_ratio", 1),
    "augmentations": augmentations,
    "effect.dropout": partial(effect, "dropout"),
    "effect.order": partial(effect, "order"),
    "finalist.1": lambda: finalists("experiments")[0],
    "finalist.2": lambda: finalists("experiments")[1],
    "large-batch.rows": large_batches,
    "large-batch.score": lambda: finalists("large-batch")[0],
    "large-batch.bound": large_batch_bound,
    "start": start,
    "workers.ratio": partial(workers, "{median:.2f} times"),
    "workers.range": partial(workers, "{min:.2f} to {max:.2f}"),
    "scale.rows": scales,
    "scale.seconds": partial(scale, "plan", "seconds", "{:.2f} s"),
    "scale.bytes": partial(scale, "plan", "peak_bytes", "{:.1f} MB"),
    "scale.seconds-before": partial(scale, "plan, other", "seconds", "{:.2f} s"),
    "scale.bytes-before": partial(scale, "plan, other", "peak_bytes", "{:.1f} MB"),
    "compiled.from-1": partial(compiled_from, 1),
    "compiled.from-2": partial(compiled_from, 2),
    "compiled.paybacks": paybacks,
    "engines": partial(engines, ENGINES),
    "engines-separable": partial(engines, SEPARABLE),
    "steps": partial(steps, ("native", "native-separable")),
    "steps-amx": partial(steps, ("native-wide-amx",)),
    "steps-avx2": partial(steps, ("native-avx2",)),
    "steps-epyc": partial(steps, ("epyc/native", "epyc/native-separable")),
    "steps-epyc-avx2": partial(steps, ("epyc/native-avx2", "epyc/native-separable-avx2")),
    "whole-training": whole_training,
    "start-up": start_up,
    "first-command": first_commands,
    "first-command.installed": partial(first_command, "installed"),
    "first-command.built": partial(first_command, "built"),
    "memory": memory,
    "linear": linear,
    "whole-sweeps": whole_sweeps,
    "not-idle": not_idle,
    "listing": listing,
    "classroom": classroom,
    "levers": levers_of_steps,
    "int8.seeds": int8_seeds,
    "int8.score": int8_score,
    "quantized.rows": quantized_rows,
    "quantized.images": quantized_images,
    "quantized.epochs": quantized_epochs,
    "parity.rows": parities,
    "parity.boards": boards,
    "parity.made-by": parity_made_by,
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="write nothing")
    given = options.parse_args()
    old = []
    for path in pages():
        text = path.read_text("utf-8")
        if (new := written(text)) != text:
            old.append(path)
            if not given.check:
                path.write_text(new, "utf-8")
    for path in old:
        print(path.relative_to(ROOT))
    if given.check:
        sys.exit(1 if old else 0)
    write_whole(PICTURE, draw(shipped(), published(RECORDS / "public.csv")))


if __name__ == "__main__":
    main()

"""The network of a file of code, which is read and never run."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mnist_arch.convert import graph as g
from mnist_arch.convert.interpreter.reading import MAX_STEPS
from mnist_arch.convert.interpreter.values import Class, Function, Instance, Piece, Unsupported
from mnist_arch.convert.libraries import Box, KerasModel, Layer, Libraries, graph_of, is_network
from mnist_arch.convert.questions import Answer, Choices, chosen, refusal
from mnist_arch.convert.source import Source
from mnist_arch.convert.tables import find_tables
from mnist_arch.errors import Origin, SpecError

MAX_NODES: Final = 400_000
"""Most nodes of the syntax tree of one file or cell."""
MAX_CANDIDATES: Final = 40


@dataclass(frozen=True)
class Read:
    """The network of some code, and what else was called there."""

    graph: g.Graph
    name: str
    """Of the class, or of the variable."""
    libraries: Libraries
    trees: Sequence[tuple[ast.Module, Piece]]
    is_keras: bool
    names: dict[str, str]
    """Of layers as `state_dict` has them, by the name that the graph gives their tensors."""
    made: tuple[Origin, ...]
    """Where this network is made, and after it where the others are."""

    @property
    def ends_in(self) -> str:
        """What is taken of the logits at the end: softmax or log_softmax; else nothing."""
        at = self.graph.output
        while at >= 0:
            node = self.graph.nodes[at]
            if isinstance(node.op, g.Act) and node.op.kind in ("softmax", "log_softmax"):
                return node.op.kind
            if not isinstance(node.op, g.Flatten):
                break
            at = node.inputs[0]
        return ""


@dataclass(frozen=True)
class _Candidate:
    name: str
    model: Any
    place: Origin


def read_code(source: Source, choices: Choices, *, is_partial: bool = False) -> Read | None:
    """The network that the code of a source makes; None where it makes none. Raises SpecError."""
    libraries = Libraries(is_partial=is_partial)
    trees: list[tuple[ast.Module, Piece]] = []
    faults: list[SpecError] = []
    for origin, text in source.code:
        name = str(origin).rpartition(":")[0]
        piece = Piece(name, origin.line, tuple(text.splitlines()))
        try:
            tree = _parsed(text, piece)
        except SpecError as error:
            faults.append(error)
            continue
        trees.append((tree, piece))
        libraries.interpreter.read(tree, piece)
    candidates = _candidates(libraries, choices)
    if not candidates:
        if faults:
            raise faults[0]
        if (lost := _passed_over(libraries)) and not any(map(find_tables, source.printed)):
            raise lost
        return None
    for problem in (it for fault in faults for it in fault.problems):
        choices.assume(f"{problem.origin} is passed over: {problem.message}")
    taken, model, graph = _chosen(libraries, candidates, choices)
    is_keras = isinstance(taken.model, KerasModel)
    made = (taken.place, *(it.place for it in candidates if it.place != taken.place))
    names = dict(_names(model, "", 0))
    return Read(graph, taken.name, libraries, trees, is_keras, names, made)


def _parsed(text: str, piece: Piece) -> ast.Module:
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        line = min(error.lineno or 1, len(piece.lines))
        node = ast.Pass(lineno=max(line, 1), col_offset=max((error.offset or 1) - 1, 0))
        raise refusal(f"this is not Python 3: {error.msg}", piece.at(node)) from None
    except (RecursionError, MemoryError, ValueError, OverflowError):
        first = ast.Pass(lineno=1, col_offset=0)
        raise refusal("the code is nested too deep, or is no text", piece.at(first)) from None
    for count, _ in enumerate(ast.walk(tree)):
        if count > MAX_NODES:
            first = ast.Pass(lineno=1, col_offset=0)
            raise refusal(f"the code has more than {MAX_NODES:,} parts", piece.at(first))
    return tree


# ------------------------------------------------------------------------------ which network it is


def _candidates(libraries: Libraries, choices: Choices) -> list[_Candidate]:
    """Networks that the code makes, or fails to make, and that are part of no other; else those
    that it could make. A class that is defined again takes the place of the earlier one.
    """
    interpreter = libraries.interpreter

    def counts(cls: Class) -> bool:
        is_current = interpreter.globals.get(cls.name, cls) is cls
        return is_current and is_network(cls) and _takes_images(cls)

    made = [(it, place) for it, place in interpreter.made if counts(it.cls)]
    inner = {id(part) for it, _ in interpreter.made for part in _parts(it.attributes, 0)}
    found = [_Candidate(it.cls.name, it, place) for it, place in made if id(it) not in inner]
    for name, value in interpreter.globals.items():
        if isinstance(value, Box) and value.kind == "Sequential" and id(value) not in inner:
            found.append(_Candidate(name, value, value.place or Origin(name)))
        elif isinstance(value, KerasModel):
            found.append(_Candidate(name, value, Origin(value.place)))
    known = {id(it.model) for it in found}
    if any(id(it) not in known for it in libraries.models) and found:
        choices.assume("of several models of one name the last counts")
    failed = [
        _Candidate(cls.name, error, place)
        for cls, place, error in interpreter.failed
        if counts(cls)
    ]
    if not found:  # what a function makes and keeps, say
        found = [
            _Candidate("model", model, Origin(model.place))
            for model in libraries.models[-1:]
            if model.layers or model.output
        ]
    if not found and not failed:
        found = list(_functions(libraries))
    if found or failed:
        return [*found[-MAX_CANDIDATES:], *failed[-MAX_CANDIDATES:]]
    classes = [it for it in interpreter.globals.values() if isinstance(it, Class) and counts(it)]
    return [_Candidate(it.name, it, Origin(it.place)) for it in classes][:MAX_CANDIDATES]


def _functions(libraries: Libraries) -> Iterator[_Candidate]:
    """What functions give back that nobody calls, and that need no argument: models of Keras."""
    interpreter = libraries.interpreter
    functions = [it for it in interpreter.globals.values() if isinstance(it, Function)]
    for function in functions[:MAX_CANDIDATES]:
        spec = function.node.args
        if len(spec.posonlyargs) + len(spec.args) > len(function.defaults) or spec.vararg:
            continue
        interpreter.steps, interpreter.depth, interpreter.limit = 0, 0, MAX_STEPS // 10
        place = Origin(function.piece.at(function.node))
        try:
            made = interpreter.call_function(function, [], {}, function.node)
        except (Unsupported, SpecError, RecursionError) as error:
            if any(map(_makes_model, ast.walk(function.node))):
                yield _Candidate(getattr(function.node, "name", "model"), error, place)
            continue
        if isinstance(made, KerasModel):
            yield _Candidate(getattr(function.node, "name", "model"), made, place)


def _passed_over(libraries: Libraries) -> SpecError | None:
    """Why the first statement is not read that would make a network; None where there is none."""
    for statement, unknown in libraries.interpreter.passed_over:
        if any(map(_makes_model, ast.walk(statement))):
            return refusal(unknown.why, unknown.place)
    return None


def _makes_model(node: ast.AST) -> bool:
    name = ast.unparse(node.func)[-20:] if isinstance(node, ast.Call) else ""
    return name.rpartition(".")[2] in ("Model", "Sequential")


def _takes_images(cls: Class) -> bool:
    """Whether its forward needs nothing but images, as that of a loss does not."""
    for it in cls.order():
        if isinstance(it, Class):
            for name in ("forward", "call"):
                if isinstance(function := it.members.get(name), Function):
                    spec = function.node.args
                    needed = len(spec.posonlyargs) + len(spec.args) - len(function.defaults)
                    return needed <= 2
    return True


def _parts(value: Any, depth: int) -> list[Any]:
    """Everything inside of the attributes of a module."""
    if depth > 8:
        return []
    match value:
        case dict():
            return [it for inner in value.values() for it in _parts(inner, depth + 1)]
        case list() | tuple():
            return [it for inner in value for it in _parts(inner, depth + 1)]
        case Box():
            return [value, *_parts(value.children, depth + 1)]
        case Instance():
            return [value, *_parts(value.attributes, depth + 1)]
    return []


def _chosen(
    libraries: Libraries, candidates: Sequence[_Candidate], choices: Choices
) -> tuple[_Candidate, Any, g.Graph]:
    """The network that is meant, as an object and as a graph."""
    choices.asked.add("network")
    word = choices.given.get("network")
    built: list[_Built] = []
    faults: list[SpecError] = []
    for candidate in candidates:
        try:
            built.append((candidate, *_graph(libraries, candidate)))
        except SpecError as error:
            faults.append(error)
    answers = _answers([it for it in built if it[-1].parameters] or built)
    if word is not None and all(word != it.word for it in answers):
        known = libraries.interpreter.globals.get(word)
        named = [it for it in candidates if it.name == word]
        if isinstance(known, Class | Box | KerasModel) or named:
            choices.used.add("network")
            place = Origin(getattr(known, "place", "") or word)
            candidate = named[-1] if named else _Candidate(word, known, place)
            return candidate, *_graph(libraries, candidate)
        valid = ", ".join(sorted({it.word for it in answers} | {it.name for it in candidates}))
        message = f"{chosen('network', word)} is no network of the code"
        raise refusal(message, hint=f"valid: {valid}")
    if word is None and faults:  # of which one may be meant
        names = " or ".join(chosen("network", it.word) for it in answers)
        every = [problem for fault in faults for problem in fault.problems]
        problems = list({(it.message, it.origin): it for it in every}.values())
        raise SpecError(tuple(replace(it, hint=it.hint or names) for it in problems))
    first = answers[0].value[0].place
    taken = choices.decide(("network",), "several networks", answers, first)
    choices.settle_now()
    return taken


_Built = tuple[_Candidate, Any, g.Graph]


def _answers(built: Sequence[_Built]) -> list[Answer[_Built]]:
    """The networks that differ, by their names, which are numbered where several have one."""
    different: dict[Any, _Built] = {}
    for one in built:
        different[tuple((it.op, it.inputs) for it in one[-1].nodes)] = one
    count = Counter(it.name for it, *_ in different.values())
    seen: Counter[str] = Counter()
    answers: list[Answer[_Built]] = []
    for one in different.values():
        name = one[0].name
        seen[name] += 1
        word = name if count[name] == 1 else f"{name}-{seen[name]}"
        answers.append(Answer(word, f"{one[-1].parameters:,} parameters, at {one[0].place}", one))
    return answers


def _graph(libraries: Libraries, candidate: _Candidate) -> tuple[Any, g.Graph]:
    model = candidate.model
    if isinstance(model, SpecError):
        raise model
    if isinstance(model, Exception):
        raise refusal(str(model), getattr(model, "place", "") or candidate.place)
    if isinstance(model, Class):
        node = ast.Pass(lineno=getattr(candidate.place, "line", 1), col_offset=0)
        libraries.interpreter.steps, libraries.interpreter.limit = 0, MAX_STEPS
        try:
            model = libraries.interpreter.make(model, [], {}, node)
        except Unsupported as error:
            raise refusal(str(error), error.place or candidate.place) from None
        except RecursionError:
            raise refusal("the code is nested too deep", candidate.place) from None
    return model, graph_of(libraries, model, candidate.place)


def _names(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """The name of the graph and the path of each layer inside of a module."""
    if depth > 16:
        return
    match value:
        case Layer():
            yield value.key, path
        case Box():
            for name, child in value.children.items():
                yield from _names(child, f"{path}.{name}".lstrip("."), depth + 1)
        case Instance():
            yield value.key, path
            for name, child in value.attributes.items():
                if name == "__children__":
                    yield from _names(child, path, depth + 1)
                elif isinstance(child, Layer | Box | Instance):
                    yield from _names(child, f"{path}.{name}".lstrip("."), depth + 1)

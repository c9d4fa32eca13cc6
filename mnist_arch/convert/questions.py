"""What a source leaves open, and who answers: the person who imports it, by `choose`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mnist_arch.errors import Problem, SpecError

T = TypeVar("T")


def refusal(message: str, place: str = "", hint: str = "") -> SpecError:
    """An import that ends here, with the place in the source."""
    return SpecError((Problem(message, "", place, hint),))


def chosen(name: str, word: str) -> str:
    """An answer as one gives it: `choose={'Conv2d-4': 'relu'}`."""
    return f"choose={ {name: word}!r}"


@dataclass(frozen=True)
class Answer(Generic[T]):
    """One that fits: the word that chooses it, what it means with its count, and its value."""

    word: str
    meaning: str
    value: T


@dataclass
class Choices:
    """Answers that were given, questions that are open, and what was assumed."""

    given: Mapping[str, str] = field(default_factory=dict)
    """Words by place: the name of a row (`Conv2d-4`), or of a class of rows (`Conv2d`)."""
    open: list[Problem] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)

    def assume(self, what: str) -> None:
        if what not in self.assumed:
            self.assumed.append(what)

    def decide(
        self, names: Sequence[str], what: str, answers: Sequence[Answer[T]], origin: str
    ) -> T:
        """The one answer, or the one that was chosen for the first of `names` that has one.

        Else the question stays open, and the first answer is taken until `settle`.
        """
        self.asked.update(names)
        for name in names:
            if name not in self.given:
                continue
            word = self.given[name]
            for answer in answers:
                if answer.word == word:
                    self.used.add(name)
                    return answer.value
            if name == names[0]:  # and not a class, of which other rows may be meant
                self.used.add(name)
                valid = ", ".join(answer.word for answer in answers)
                message = f"{chosen(name, word)} is not one of the answers"
                self.open.append(Problem(message, "", origin, f"valid: {valid}"))
                return answers[0].value
        if len(answers) > 1:
            listed = "; ".join(f"{it.word}: {it.meaning}" for it in answers)
            words = " or ".join(chosen(names[0], it.word) for it in answers)
            message = f"{names[0]}: {what}: {listed}"
            self.open.append(Problem(message, "", origin, words))
        return answers[0].value

    def settle_now(self) -> None:
        """Raises SpecError with what is open by now, since nothing can be asked below it."""
        if self.open:
            raise SpecError(tuple(self.open))

    def settle(self) -> None:
        """Raises SpecError with every open question, or with an answer that nobody asked for."""
        if self.open:
            raise SpecError(tuple(self.open))
        for name in self.given:
            if name not in self.used:
                near = difflib.get_close_matches(name, sorted(self.asked), n=1)
                hint = f"did you mean {near[0]}?" if near else "nothing is open there: leave it out"
                message = f"{chosen(name, self.given[name])}: nobody asks for this"
                raise refusal(message, hint=hint)

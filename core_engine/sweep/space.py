"""The words of a sweep: which values of a recipe are searched, and where."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import yaml
from attrs import frozen

from core_engine.errors import RecipeError
from core_engine.recipe.nodes import Mark, Problem
from core_engine.recipe.yaml_source import resolve

#: What is put into a recipe: text as it was written in a list, or a number from a range.
Value = str | int | float

_NUMBER = r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_RANGE = re.compile(rf"(log:)?({_NUMBER})\.\.({_NUMBER})")


@frozen
class Choices:
    """``key=a,b,c``: each of these values, as they are written."""

    word: str
    key: str
    values: tuple[str, ...]

    @property
    def probes(self) -> Sequence[str]:
        """Values that show whether a recipe takes them all."""
        return self.values


@frozen
class Range:
    """``key=low..high``, both ends within: integers where both ends are, real numbers otherwise. ``log``: drawn evenly
    on a logarithmic scale.
    """

    word: str
    key: str
    low: int | float
    high: int | float
    log: bool

    @property
    def integers(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def probes(self) -> Sequence[int | float]:
        return (self.low, self.high) if self.integers else (float(self.low), float(self.high))


@frozen
class Space:
    """The words in the order in which they were given; those that are plain text are overrides of every trial."""

    words: tuple[str | Choices | Range, ...]

    @property
    def searched(self) -> list[Choices | Range]:
        return [word for word in self.words if not isinstance(word, str)]

    @property
    def fixed(self) -> list[str]:
        return [word for word in self.words if isinstance(word, str)]

    @property
    def given(self) -> list[str]:
        """The words as they were written."""
        return [word if isinstance(word, str) else word.word for word in self.words]

    @property
    def is_grid(self) -> bool:
        """Whether all values can be counted."""
        return all(isinstance(word, Choices) for word in self.searched)

    @property
    def size(self) -> int:
        """Combinations of a grid."""
        return math.prod(len(word.probes) for word in self.searched)

    def combinations(self) -> Iterator[dict[str, Value]]:
        """Every combination of a grid; the last word's values change fastest."""
        keys = [word.key for word in self.searched]
        for values in itertools.product(*(word.probes for word in self.searched)):
            yield dict(zip(keys, values, strict=True))

    def overrides(self, values: Mapping[str, Value]) -> list[str]:
        """The overrides of the trial with these values: one for each word, in the same order."""
        return [word if isinstance(word, str) else f"{word.key}={values[word.key]}" for word in self.words]


def read_space(words: Sequence[str]) -> Space:
    """RecipeError where a list or a range cannot be searched, and where there is none."""
    read: list[str | Choices | Range] = []
    problems: list[Problem] = []
    for word in words:
        read.append(searched := _read(word))
        if not isinstance(searched, str):
            complaint = _complaint(searched)
            if any(searched.key == other.key for other in read[:-1] if not isinstance(other, str)):
                complaint = "is searched by a word before this one; write one list or range"
            if complaint:
                problems.append(Problem(Mark(f"override {word!r}"), searched.key, complaint))
    space = Space(tuple(read))
    if not space.searched:
        what = "nothing to search; write a list such as seed=0,1 or a range such as train.optimizer.lr=log:1e-4..1e-2"
        problems.append(Problem(Mark("sweep"), "", what))
    if problems:
        raise RecipeError([str(problem) for problem in problems])
    return space


def _read(word: str) -> str | Choices | Range:
    key, _, text = word.partition("=")
    key, text = key.strip(), text.strip()
    if match := _RANGE.fullmatch(text):
        low, high = (cast("int | float", resolve(end)) for end in (match[2], match[3]))
        return Range(word, key, low, high, log=match[1] is not None)
    values = _split(text)
    return word if len(values) == 1 else Choices(word, key, tuple(values))


def _split(text: str) -> list[str]:
    """Cut at commas that are within no bracket and no quotes, as YAML sees them."""
    commas, depth = [], 0
    try:
        for token in yaml.scan(f"[{text}]"):
            if isinstance(token, yaml.FlowSequenceStartToken | yaml.FlowMappingStartToken):
                depth += 1
            elif isinstance(token, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken):
                depth -= 1
            elif isinstance(token, yaml.FlowEntryToken) and depth == 1:
                commas.append(token.start_mark.index - 1)
    except (yaml.YAMLError, ValueError, OverflowError):
        return [text]  # what is wrong with it is told where it is read as an override
    return [text[before + 1 : after].strip() for before, after in itertools.pairwise([-1, *commas, len(text)])]


def _complaint(word: Choices | Range) -> str | None:
    if isinstance(word, Choices):
        return None if all(word.values) else "holds an empty value; write null for none, or take the comma away"
    if not (math.isfinite(word.low) and math.isfinite(word.high)):
        return "a range ends in finite numbers"
    if word.low >= word.high:
        return "a range goes from a smaller number to a larger one"
    if word.log and word.low <= 0:
        return "a logarithmic range begins above 0"
    return None

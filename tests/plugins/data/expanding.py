"""Sources, rephrasers and a teacher of the tests' own, and ``expand`` around them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from attrs import field, frozen
from core_engine_data import Expand, Quickstart
from core_engine_rephrasers import Rules
from torch import Tensor

from core_engine import ComponentRef, DataSourceContext, Example, Kind, RephraserContext
from core_engine.host.registry import Provider

PROVIDER = Provider("tests", "tests", "1")


def embed(texts: Sequence[str]) -> Tensor:
    """float32 ``[n, 64]``: how often each word occurs, by hash, so that like texts have like rows."""
    rows = torch.zeros(len(texts), 64)
    for row, text in zip(rows, texts, strict=True):
        for word in re.findall(r"\w+", text.lower()):
            row[zlib.crc32(word.encode()) % 64] += 1
    return rows


@frozen(eq=False)
class Rows:
    """A source of given rows."""

    rows: list[Example] = field(factory=list)

    def build(self, context: DataSourceContext) -> Rows:
        return self

    def read(self) -> Iterator[Example]:
        yield from self.rows


@frozen(eq=False)
class Written:
    """A rephraser that gives what ``of`` holds for a text, or what ``each`` gives."""

    of: Mapping[str, Sequence[str]] = field(factory=dict)
    each: Callable[[str, int], list[str]] | None = None

    def build(self, context: RephraserContext) -> Written:
        return self

    def rephrase(self, texts: Sequence[str], count: int) -> list[list[str]]:
        return [list(self.of.get(text, ())) if self.each is None else self.each(text, count) for text in texts]


def spread(count: int, groups: int = 30) -> list[Example]:
    """``count`` shipped pairs of ``groups`` topics from all domains."""
    shipped = list(Quickstart().build(DataSourceContext(seed=0)).read())
    names = list(dict.fromkeys(row.group for row in shipped))
    chosen = names[:: len(names) // groups][:groups]
    rows = [row for i in range(6) for name in chosen for row in [r for r in shipped if r.group == name][i : i + 1]]
    return rows[:count]


def source(config: Any, name: str = "rows") -> ComponentRef:
    return ComponentRef(Kind.DATA_SOURCE, name, config, PROVIDER)


def rephraser(config: Any, name: str = "written") -> ComponentRef:
    return ComponentRef(Kind.REPHRASER, name, config, PROVIDER)


RULES = rephraser(Rules(), "rules")


def options(rows: list[Example], size: int, rephrasers: Sequence[ComponentRef] = (RULES,), **others: Any) -> Expand:
    return Expand(source=source(Rows(rows)), size=size, rephrasers=list(rephrasers), **others)


def expanded(
    rows: list[Example], size: int, rephrasers: Sequence[ComponentRef] = (RULES,), seed: int = 0, **others: Any
) -> list[Example]:
    context = DataSourceContext(seed=seed, embed=others.pop("embed", embed))
    return list(options(rows, size, rephrasers, **others).build(context).read())

"""The sets of benchmarks/quality.py, as embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from core_engine import Engine, Pairs, Splits

MINILM: dict[str, Any] = {"type": "minilm", "too_long": "cut"}  # one answer of selqa is longer than 256 tokens


def layer(number: int) -> dict[str, Any]:
    """MiniLM's hidden states after that layer, 0 to 6."""
    return {"type": "openvino", "layer": number, "too_long": "cut"}


#: A stand-in for an encoder that was never trained for similarity.
WEAK = layer(3)


@frozen(eq=False)
class Set:
    """``within``: answers are looked for among those of the row's own group, as the headline."""

    splits: Splits
    within: bool


def embedded(data: Path, name: str, teacher: dict[str, Any], validation: str | None = None) -> Splits:
    """Set ``name`` by the teacher. ``validation``: the set whose validation split is taken, where it has none."""
    folder = data / name
    parts = {
        "train": folder / "train.jsonl",
        "validation": data / (validation or name) / "valid.jsonl",
        "test": folder / "test.jsonl",
    }
    sources: dict[str, Any] = {part: {"type": "dialogues", "path": str(path)} for part, path in parts.items()}
    corpus = folder / "corpus_test.jsonl"
    if corpus.exists():
        sources["corpus"] = {"type": "texts", "path": str(corpus)}
    recipe = PLAIN | {"data": sources, "teachers": {"teacher": teacher}, "teacher": "teacher"}
    return Engine.from_recipe(recipe).data


#: What a recipe must have beside its data; nothing here is trained with it.
PLAIN: dict[str, Any] = {
    "mode": {"type": "dialogue"},
    "lattice": {"size": [2, 2, 2], "channels": 2, "kernel": {"type": "stencil", "hidden": 4}},
    "reshape": {"type": "projection"},
    "loss": [{"type": "mse"}],
}


def side_by_side(splits: list[Splits], base: Splits | None = None) -> Splits:
    """Embeddings of the same rows, each of unit length, one after the other: of inputs and targets, or, with ``base``,
    of targets alone, for the inputs of ``base``.
    """

    def joined(tables: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat([torch.nn.functional.normalize(table, dim=-1) for table in tables], dim=-1)

    def part(name: str) -> Pairs:
        pairs: list[Pairs] = [getattr(one, name) for one in splits]
        first = pairs[0]
        given = getattr(base, name).inputs if base is not None else joined([one.inputs for one in pairs])
        return Pairs(given, joined([one.targets for one in pairs]), first.target_ids, first.group_ids)

    corpora = [one.corpus for one in splits if one.corpus is not None]
    return Splits(
        train=part("train"),
        validation=part("validation"),
        test=part("test"),
        corpus=joined(corpora) if corpora else None,
    )


def layers(data: Path, numbers: range | tuple[int, ...]) -> list[Splits]:
    return [embedded(data, "wiki", layer(number)) for number in numbers]


def change_of_dimension(data: Path) -> Splits:
    return side_by_side(layers(data, (3, 6)), base=embedded(data, "wiki", MINILM))


#: Name -> how it is made from the folder of data, and whether its headline is within groups.
SETS: dict[str, tuple[Callable[[Path], Splits], bool]] = {
    "faq": (lambda data: embedded(data, "faq", MINILM), True),
    "wiki": (lambda data: embedded(data, "wiki", MINILM), False),
    "selqa": (lambda data: embedded(data, "selqa", MINILM, validation="wiki"), False),
    "faq_weak": (lambda data: embedded(data, "faq", WEAK), True),
    "wiki_weak": (lambda data: embedded(data, "wiki", WEAK), False),
    "wiki_wide": (lambda data: side_by_side(layers(data, range(7))), False),
    "wiki_384_to_768": (change_of_dimension, False),
}


def load(name: str, data: Path) -> Set:
    make, within = SETS[name]
    return Set(make(data), within)

"""The sets of benchmarks/quality.py, as embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from attrs import frozen

from core_engine import Engine, Pairs, Splits
from core_engine.data.noise import noise_std, with_noise

MINILM: dict[str, Any] = {"type": "minilm", "too_long": "cut"}  # one answer of selqa is longer than 256 tokens


def layer(number: int) -> dict[str, Any]:
    """MiniLM's hidden states after that layer, 0 to 6."""
    return {"type": "openvino", "layer": number, "too_long": "cut"}


#: A stand-in for an encoder that was never trained for similarity.
WEAK = layer(3)
#: Norm of the noise relative to the inputs': a noisy input has a cosine of 0.8 with its own text.
NOISE = 0.75
#: What a recipe must have beside its data; nothing here is trained with it.
PLAIN: dict[str, Any] = {
    "mode": {"type": "dialogue"},
    "lattice": {"size": [2, 2, 2], "channels": 2, "kernel": {"type": "stencil", "hidden": 4}},
    "reshape": {"type": "projection"},
    "loss": [{"type": "mse"}],
}


def engine_data(sources: dict[str, Any], teacher: dict[str, Any], **more: Any) -> Splits:
    recipe = PLAIN | {"data": sources, "teachers": {"teacher": teacher}, "teacher": "teacher"} | more
    return Engine.from_recipe(recipe).data


def pairs(data: Path, name: str, teacher: dict[str, Any], validation: str | None = None) -> Splits:
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
    return engine_data(sources, teacher)


def noisy_texts(data: Path, source: str, files: tuple[str, str, str]) -> Splits:
    """The distinct texts of the files, held-out ones from a noisy copy, drawn once."""
    parts = zip(("train", "validation", "test"), files, strict=True)
    sources = {part: {"type": source, "path": str(data / file)} for part, file in parts}
    clean = engine_data(sources, MINILM, mode={"type": "autoencoder"})
    std = noise_std(clean.train.inputs, NOISE)
    held_out = {part: with_noise(getattr(clean, part), std, 0, part) for part in ("validation", "test")}
    return attrs.evolve(clean, **held_out)


def side_by_side(splits: list[Splits], base: Splits | None = None) -> Splits:
    """Embeddings of the same rows, each of unit length, one after the other: of inputs and targets, or, with ``base``,
    of targets alone, for the inputs of ``base``.
    """

    def joined(tables: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat([torch.nn.functional.normalize(table, dim=-1) for table in tables], dim=-1)

    def part(name: str) -> Pairs:
        each: list[Pairs] = [getattr(one, name) for one in splits]
        first = each[0]
        given = getattr(base, name).inputs if base is not None else joined([one.inputs for one in each])
        return Pairs(given, joined([one.targets for one in each]), first.target_ids, first.group_ids)

    corpora = [one.corpus for one in splits if one.corpus is not None]
    return Splits(
        train=part("train"),
        validation=part("validation"),
        test=part("test"),
        corpus=joined(corpora) if corpora else None,
    )


def centred(splits: Splits) -> Splits:
    """Each side less its mean over the training rows, and of unit length again: hidden states share so large a part
    that all their cosines are alike, and neither a loss nor a ranking by cosine can tell much.
    """
    input_mean, target_mean = splits.train.inputs.mean(0), splits.train.targets.mean(0)

    def part(pairs: Pairs) -> Pairs:
        inputs = torch.nn.functional.normalize(pairs.inputs - input_mean, dim=-1)
        return attrs.evolve(pairs, inputs=inputs, targets=answers(pairs.targets))

    def answers(rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(rows - target_mean, dim=-1)

    return Splits(
        train=part(splits.train),
        validation=part(splits.validation),
        test=part(splits.test),
        corpus=None if splits.corpus is None else answers(splits.corpus),
    )


def layers(data: Path, numbers: range | tuple[int, ...]) -> list[Splits]:
    return [pairs(data, "wiki", layer(number)) for number in numbers]


def change_of_dimension(data: Path) -> Splits:
    return centred(side_by_side(layers(data, (3, 6)), base=pairs(data, "wiki", MINILM)))


@frozen
class Set:
    """``embed`` makes it from the folder of data. ``metric`` chooses the best epoch. ``within``: answers are looked
    for among those of the row's own group, as the headline. ``slow``: all but lattices are fitted with the first seed
    alone.
    """

    embed: Callable[[Path], Splits]
    metric: str = "mrr@10"
    within: bool = False
    task: Literal["retrieval", "denoising"] = "retrieval"
    one_dimension: bool = True
    slow: bool = False


FAQ = ("faq/train.jsonl", "faq/valid.jsonl", "faq/test.jsonl")
SENTENCES = ("wiki/corpus_train.jsonl", "wiki/corpus_valid.jsonl", "wiki/corpus_test.jsonl")
SETS: dict[str, Set] = {
    "faq": Set(lambda data: pairs(data, "faq", MINILM), "within_mrr", within=True),
    "wiki": Set(lambda data: pairs(data, "wiki", MINILM)),
    "selqa": Set(lambda data: pairs(data, "selqa", MINILM, validation="wiki")),
    "faq_weak": Set(lambda data: centred(pairs(data, "faq", WEAK)), "within_mrr", within=True),
    "wiki_weak": Set(lambda data: centred(pairs(data, "wiki", WEAK))),
    "wiki_wide": Set(lambda data: centred(side_by_side(layers(data, range(7)))), slow=True),
    "wiki_384_to_768": Set(change_of_dimension, one_dimension=False),
    "faq_denoising": Set(lambda data: noisy_texts(data, "dialogues", FAQ), "cosine", task="denoising", slow=True),
    "wiki_denoising": Set(lambda data: noisy_texts(data, "texts", SENTENCES), "cosine", task="denoising", slow=True),
}

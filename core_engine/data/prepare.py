"""From sources to tensors: the rows of each part, embedded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import structlog
import torch
from attrs import field, frozen
from torch import Tensor

from core_engine.contracts.data import Example
from core_engine.contracts.objects import DataSource
from core_engine.data.difficulty import difficulty_of
from core_engine.data.identity import identity
from core_engine.data.modes import answers, held_out_rows
from core_engine.data.pairs import Pairs
from core_engine.data.read import read_examples
from core_engine.data.rows import (
    Sources,
    corpus_rows_of,
    count_dropped,
    filtered,
    prepared_rows,
    require_one_form,
    targets_alone,
)
from core_engine.data.similarity import cosine_of_rows
from core_engine.data.vectors import Embed, Vectors
from core_engine.errors import DataError
from core_engine.recipe.difficulty import Difficulty
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed
from core_engine.recipe.schema import Filters, Split

log = structlog.get_logger("core_engine.data")


@frozen(eq=False)
class Splits:
    """A run's data on the CPU.

    ``train`` holds the rows of the main task and nothing else; ``extra`` the further training rows of the mixed mode.
    ``corpus`` ``[m, D]``: texts beside the test targets. ``report``: plain data for ``result.json``.
    """

    train: Pairs
    validation: Pairs
    test: Pairs
    extra: Pairs | None = None
    corpus: Tensor | None = None
    report: dict[str, object] = field(factory=dict)


@frozen(eq=False)
class HeldOutRows:
    """Rows as a finished run is evaluated on, on the CPU, with what they were made of.

    ``rows``: the example behind each row of ``pairs``. ``corpus`` ``[m, D]``, None where there is none, and
    ``corpus_rows``, whose inputs it holds. ``report``: of the data, plain.
    """

    pairs: Pairs
    corpus: Tensor | None
    rows: list[Example]
    corpus_rows: list[Example]
    report: dict[str, object]


def prepare(
    sources: Sources,
    mode: Autoencoder | Dialogue | Mixed,
    filters: Filters,
    split: Split,
    seed: int,
    embed: Embed | None,
    difficulty: Difficulty | None = None,
    further: Mapping[str, Embed] | None = None,
) -> Splits:
    """Reads and embeds everything a run needs. ``embed``: None where the sources give embeddings. ``further``: the
    further teachers by name, which embed the targets of training and validation.

    Split before anything is embedded or fitted. DataError where a part is too small to train or evaluate on.
    """
    rows, corpus_rows, dropped = prepared_rows(sources, mode, filters, split, seed)
    vectors = Vectors([*rows.values(), corpus_rows], embed)
    if filters.min_similarity is not None:
        rows["train"] = _similar(rows["train"], vectors, filters.min_similarity, dropped)
    extra = answers(rows["train"]) if isinstance(mode, Mixed) else None
    others = {name: Vectors([targets_alone(rows)], embed_further) for name, embed_further in (further or {}).items()}
    report: dict[str, object] = {
        "rows": {part: len(examples) for part, examples in rows.items()},
        "groups": {part: len({r.group for r in examples} - {None}) for part, examples in rows.items()},
        "dropped": dropped,
    }
    synthetic = sum(row.origin is not None for row in rows["train"])
    if synthetic:
        report["synthetic"] = synthetic  # of the training rows
    log.info("data ready", **{part: len(examples) for part, examples in rows.items()})
    train = _pairs(rows["train"], vectors, others)
    if difficulty is not None:
        train = attrs.evolve(train, difficulty=difficulty_of(rows["train"], difficulty, vectors))
    return Splits(
        train=train,
        validation=_pairs(rows["validation"], vectors, others),
        test=_pairs(rows["test"], vectors),
        extra=None if extra is None else _pairs(extra, vectors, others),
        corpus=vectors([row.input for row in corpus_rows]) if corpus_rows else None,
        report=report,
    )


def prepare_held_out(
    source: DataSource,
    corpus: DataSource | None,
    mode: Autoencoder | Dialogue | Mixed,
    filters: Filters,
    embed: Embed | None,
) -> HeldOutRows:
    """Other data for a finished run, as evaluation takes it."""
    dropped: dict[str, dict[str, int]] = {}
    rows = held_out_rows(filtered(read_examples(source, "test"), filters, "test", dropped), mode, "test")
    if len(rows) < 2:
        raise DataError(f"{len(rows)} rows are left; evaluation needs at least 2")
    corpus_rows = corpus_rows_of(corpus, rows)
    require_one_form({"test": rows, "corpus": corpus_rows}, filters, mode)
    return _held_out(rows, corpus_rows, embed, dropped)


def prepare_test(
    sources: Sources,
    mode: Autoencoder | Dialogue | Mixed,
    filters: Filters,
    split: Split,
    seed: int,
    embed: Embed | None,
) -> HeldOutRows:
    """The test split that :func:`prepare` makes with these arguments, and nothing else embedded."""
    rows, corpus_rows, dropped = prepared_rows(sources, mode, filters, split, seed)
    return _held_out(rows["test"], corpus_rows, embed, {part: dropped[part] for part in dropped if part == "test"})


def _held_out(
    rows: list[Example], corpus_rows: list[Example], embed: Embed | None, dropped: dict[str, dict[str, int]]
) -> HeldOutRows:
    vectors = Vectors([rows, corpus_rows], embed)
    return HeldOutRows(
        pairs=_pairs(rows, vectors),
        corpus=vectors([row.input for row in corpus_rows]) if corpus_rows else None,
        rows=rows,
        corpus_rows=corpus_rows,
        report={"rows": {"test": len(rows)}, "dropped": dropped},
    )


def _similar(
    rows: list[Example], vectors: Vectors, threshold: float, dropped: dict[str, dict[str, int]]
) -> list[Example]:
    similarity = cosine_of_rows(vectors([row.input for row in rows]), vectors([row.target for row in rows]))
    kept = [row for row, keep in zip(rows, (similarity >= threshold).tolist(), strict=True) if keep]
    if len(kept) < 2:
        raise DataError(f"data.filters.min_similarity: {threshold} leaves {len(kept)} training rows of {len(rows)}")
    count_dropped(dropped, "train", "min_similarity", len(rows) - len(kept))
    return kept


def _pairs(
    rows: list[Example],
    vectors: Vectors,
    further: Mapping[str, Vectors] | None = None,
) -> Pairs:
    targets = [row.target for row in rows]
    groups = [row.group if row.group is not None else ("row", row.id) for row in rows]
    has_groups = any(row.group is not None for row in rows)
    return Pairs(
        inputs=vectors([row.input for row in rows]),
        targets=vectors(targets),
        target_ids=_numbers([identity(row.target) for row in rows]),
        group_ids=_numbers(groups) if has_groups else None,
        further={name: of(targets) for name, of in (further or {}).items()},
    )


def _numbers(keys: Sequence[object]) -> Tensor:
    """Equal keys, equal numbers, from 0 in the order of first appearance."""
    known: dict[object, int] = {}
    return torch.tensor([known.setdefault(key, len(known)) for key in keys], dtype=torch.int64)

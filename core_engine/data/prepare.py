"""From sources to tensors: read, filter, split, apply the mode, embed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs
import numpy as np
import structlog
import torch
from attrs import field, frozen
from torch import Tensor

from core_engine.contracts.data import Example
from core_engine.contracts.objects import DataSource
from core_engine.data.difficulty import difficulty_of
from core_engine.data.filters import filter_examples
from core_engine.data.identity import identity
from core_engine.data.modes import answers, held_out_rows, without_known_texts
from core_engine.data.pairs import Pairs
from core_engine.data.read import read_examples
from core_engine.data.similarity import cosine_of_rows
from core_engine.data.split import require_disjoint, require_held_out, split_by_group
from core_engine.data.vectors import Embed, Vectors, distinct_texts
from core_engine.errors import DataError
from core_engine.recipe.difficulty import Difficulty
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed
from core_engine.recipe.schema import Filters, Split

log = structlog.get_logger("core_engine.data")


@frozen
class Sources:
    """The sources of a run; parts that are None are split off ``train``."""

    train: DataSource
    validation: DataSource | None = None
    test: DataSource | None = None
    corpus: DataSource | None = None


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
    rows, corpus_rows, dropped = _prepared_rows(sources, mode, filters, split, seed)
    vectors = Vectors([*rows.values(), corpus_rows], embed)
    if filters.min_similarity is not None:
        rows["train"] = _similar(rows["train"], vectors, filters.min_similarity, dropped)
    extra = answers(rows["train"]) if isinstance(mode, Mixed) else None
    others = {name: Vectors([_targets_alone(rows)], embed_further) for name, embed_further in (further or {}).items()}
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


def texts_of(
    sources: Sources, mode: Autoencoder | Dialogue | Mixed, filters: Filters, split: Split, seed: int
) -> list[str]:
    """The distinct texts that a run with these options embeds. DataError where the data are ready embeddings."""
    rows, corpus_rows, _ = _prepared_rows(sources, mode, filters, split, seed)
    texts = distinct_texts([*rows.values(), corpus_rows])
    if not texts:
        raise DataError("the data are ready embeddings: there is nothing to encode")
    return texts


def target_texts_of(
    sources: Sources, mode: Autoencoder | Dialogue | Mixed, filters: Filters, split: Split, seed: int
) -> list[str]:
    """The distinct texts of those that a further teacher embeds: the targets of training and validation."""
    rows, _, _ = _prepared_rows(sources, mode, filters, split, seed)
    return distinct_texts([_targets_alone(rows)])


def prepare_held_out(
    source: DataSource,
    corpus: DataSource | None,
    mode: Autoencoder | Dialogue | Mixed,
    filters: Filters,
    embed: Embed | None,
) -> tuple[Pairs, Tensor | None, list[Example], dict[str, object]]:
    """Other data for a finished run, as evaluation takes it: pairs, corpus, the rows themselves, and report."""
    dropped: dict[str, dict[str, int]] = {}
    rows = held_out_rows(_filtered(read_examples(source, "test"), filters, "test", dropped), mode, "test")
    if len(rows) < 2:
        raise DataError(f"{len(rows)} rows are left; evaluation needs at least 2")
    corpus_rows = _corpus(corpus, rows)
    _require_one_form({"test": rows, "corpus": corpus_rows}, filters, mode)
    vectors = Vectors([rows, corpus_rows], embed)
    tensor = vectors([row.input for row in corpus_rows]) if corpus_rows else None
    return _pairs(rows, vectors), tensor, rows, {"rows": {"test": len(rows)}, "dropped": dropped}


def _prepared_rows(
    sources: Sources, mode: Autoencoder | Dialogue | Mixed, filters: Filters, split: Split, seed: int
) -> tuple[dict[str, list[Example]], list[Example], dict[str, dict[str, int]]]:
    """Rows by part, corpus rows, and what was dropped: everything that comes before embeddings."""
    dropped: dict[str, dict[str, int]] = {}
    parts = _split(_read(sources, filters, dropped), split, seed, dropped)
    require_disjoint(parts)
    if not isinstance(mode, Autoencoder):
        require_held_out(parts)
    rows = {part: held_out_rows(examples, mode, part) for part, examples in parts.items()}
    if isinstance(mode, Autoencoder):
        known = rows["train"]
        for part in ("validation", "test"):
            fresh = without_known_texts(rows[part], known)
            _count(dropped, part, "stands_elsewhere", len(rows[part]) - len(fresh))
            rows[part] = fresh
            known = known + fresh
    for part, examples in rows.items():
        if len(examples) < 2:
            raise DataError(f"data.{part}: {len(examples)} rows are left; a run needs at least 2 in each part")
    corpus_rows = _corpus(sources.corpus, rows["test"])
    _require_one_form({**rows, "corpus": corpus_rows}, filters, mode)
    return rows, corpus_rows, dropped


def _read(sources: Sources, filters: Filters, dropped: dict[str, dict[str, int]]) -> dict[str, list[Example]]:
    parts: dict[str, list[Example]] = {}
    for part in ("train", "validation", "test"):
        source = getattr(sources, part)
        if source is not None:
            parts[part] = _filtered(read_examples(source, part), filters, part, dropped)
    return parts


def _filtered(rows: list[Example], filters: Filters, part: str, dropped: dict[str, dict[str, int]]) -> list[Example]:
    filtered = filter_examples(rows, filters, training=part == "train")
    if filtered.dropped:
        dropped[part] = filtered.dropped
        log.info("rows filtered", part=part, read=len(rows), kept=len(filtered.rows), **filtered.dropped)
    if not filtered.rows:
        raise DataError(f"data.{part}: the filters leave no rows of {len(rows)}: dropped {filtered.dropped}")
    return filtered.rows


def _split(
    parts: dict[str, list[Example]], split: Split, seed: int, dropped: dict[str, dict[str, int]]
) -> dict[str, list[Example]]:
    """Rows that were made from others take no part in it: they join their origins in training, or are dropped."""
    held_out_parts: tuple[Literal["validation", "test"], ...] = ("validation", "test")
    shares: dict[str, float] = {part: split.share(part) for part in held_out_parts if part not in parts}
    originals: dict[str, list[Example]] = {}
    for part, rows in parts.items():
        originals[part] = [row for row in rows if row.origin is None]
        if not originals[part]:
            raise DataError(f"data.{part}: all {len(rows)} rows were made from others, which are not among them")
        if part != "train":
            _count(dropped, part, "synthetic", len(rows) - len(originals[part]))
    held_out = split_by_group(originals["train"], shares, seed) if shares else {}
    found = {part: held_out.get(part, originals.get(part, [])) for part in ("train", "validation", "test")}
    there = {row.id for row in found["train"]}
    held_out_inputs = {identity(row.input) for part in held_out_parts for row in found[part]}
    synthetic = [row for row in parts["train"] if row.origin is not None]
    joining = [row for row in synthetic if row.origin in there and identity(row.input) not in held_out_inputs]
    _count(dropped, "train", "synthetic_of_held_out", len(synthetic) - len(joining))
    return {**found, "train": found["train"] + joining}


def _count(dropped: dict[str, dict[str, int]], part: str, rule: str, rows: int) -> None:
    if rows:
        dropped.setdefault(part, {})[rule] = rows


def _corpus(source: DataSource | None, test: list[Example]) -> list[Example]:
    """Distinct corpus rows that are no test target: those are candidates already."""
    if source is None:
        return []
    targets = {identity(row.target) for row in test}
    found = {identity(row.input): row for row in read_examples(source, "corpus")}
    return [row for key, row in found.items() if key not in targets]


def _require_one_form(parts: dict[str, list[Example]], filters: Filters, mode: Autoencoder | Dialogue | Mixed) -> None:
    """DataError where texts meet embeddings, dimensions differ between parts, or a filter cannot do anything."""
    first_part, first = next((part, rows[0]) for part, rows in parts.items() if rows)
    for part, rows in parts.items():
        if not rows:
            continue
        # A corpus holds targets.
        expected = {"input": _form(first.target if part == "corpus" else first.input)}
        if part != "corpus":
            expected["target"] = _form(first.target)
        for side, form in expected.items():
            if _form(getattr(rows[0], side)) != form:
                raise DataError(
                    f"data.{part}: {side}s are {_form(getattr(rows[0], side))}; data.{first_part} has {form}"
                )
    if not isinstance(first.input, str) and attrs.evolve(filters, min_similarity=None) != Filters():
        raise DataError("data.filters: rules on texts have no effect on ready embeddings; remove them")
    if filters.min_similarity is not None and _form(first.input) != _form(first.target):
        raise DataError("data.filters.min_similarity needs inputs and targets of the same dimension; remove it")
    if isinstance(mode, Autoencoder) and filters.min_similarity is not None:
        raise DataError(
            "data.filters.min_similarity has no effect in mode autoencoder, where target is input; remove it"
        )


def _form(value: object) -> str:
    return "texts" if isinstance(value, str) else f"embeddings of {len(np.atleast_1d(np.asarray(value)))} dimensions"


def _similar(
    rows: list[Example], vectors: Vectors, threshold: float, dropped: dict[str, dict[str, int]]
) -> list[Example]:
    similarity = cosine_of_rows(vectors([row.input for row in rows]), vectors([row.target for row in rows]))
    kept = [row for row, keep in zip(rows, (similarity >= threshold).tolist(), strict=True) if keep]
    if len(kept) < 2:
        raise DataError(f"data.filters.min_similarity: {threshold} leaves {len(kept)} training rows of {len(rows)}")
    _count(dropped, "train", "min_similarity", len(rows) - len(kept))
    return kept


def _targets_alone(rows: dict[str, list[Example]]) -> list[Example]:
    return [
        attrs.evolve(row, input=row.target, target=None)
        for part in ("train", "validation")
        for row in rows[part]
        if row.target is not None
    ]


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

"""From sources to the rows of each part: all that comes before embeddings."""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np
import structlog
from attrs import frozen

from core_engine.contracts.data import Example
from core_engine.contracts.objects import DataSource
from core_engine.data.filters import filter_examples
from core_engine.data.identity import identity
from core_engine.data.modes import held_out_rows, without_known_texts
from core_engine.data.read import read_examples
from core_engine.data.split import require_disjoint, require_held_out, split_by_group
from core_engine.data.vectors import distinct_texts
from core_engine.errors import DataError
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


def prepared_rows(
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
            count_dropped(dropped, part, "stands_elsewhere", len(rows[part]) - len(fresh))
            rows[part] = fresh
            known = known + fresh
    for part, examples in rows.items():
        if len(examples) < 2:
            raise DataError(f"data.{part}: {len(examples)} rows are left; a run needs at least 2 in each part")
    corpus_rows = corpus_rows_of(sources.corpus, rows["test"])
    require_one_form({**rows, "corpus": corpus_rows}, filters, mode)
    return rows, corpus_rows, dropped


def _read(sources: Sources, filters: Filters, dropped: dict[str, dict[str, int]]) -> dict[str, list[Example]]:
    parts: dict[str, list[Example]] = {}
    for part in ("train", "validation", "test"):
        source = getattr(sources, part)
        if source is not None:
            parts[part] = filtered(read_examples(source, part), filters, part, dropped)
    return parts


def filtered(rows: list[Example], filters: Filters, part: str, dropped: dict[str, dict[str, int]]) -> list[Example]:
    """The rows that the filters keep; what they drop is counted. DataError where that is all."""
    found = filter_examples(rows, filters, training=part == "train")
    if found.dropped:
        dropped[part] = found.dropped
        log.info("rows filtered", part=part, read=len(rows), kept=len(found.rows), **found.dropped)
    if not found.rows:
        raise DataError(f"data.{part}: the filters leave no rows of {len(rows)}: dropped {found.dropped}")
    return found.rows


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
            count_dropped(dropped, part, "synthetic", len(rows) - len(originals[part]))
    held_out = split_by_group(originals["train"], shares, seed) if shares else {}
    found = {part: held_out.get(part, originals.get(part, [])) for part in ("train", "validation", "test")}
    there = {row.id for row in found["train"]}
    held_out_inputs = {identity(row.input) for part in held_out_parts for row in found[part]}
    synthetic = [row for row in parts["train"] if row.origin is not None]
    joining = [row for row in synthetic if row.origin in there and identity(row.input) not in held_out_inputs]
    count_dropped(dropped, "train", "synthetic_of_held_out", len(synthetic) - len(joining))
    return {**found, "train": found["train"] + joining}


def count_dropped(dropped: dict[str, dict[str, int]], part: str, rule: str, rows: int) -> None:
    """Notes that a rule has dropped ``rows`` rows of a part, if any."""
    if rows:
        dropped.setdefault(part, {})[rule] = rows


def corpus_rows_of(source: DataSource | None, test: list[Example]) -> list[Example]:
    """Distinct corpus rows that are no test target: those are candidates already."""
    if source is None:
        return []
    targets = {identity(row.target) for row in test}
    found = {identity(row.input): row for row in read_examples(source, "corpus")}
    return [row for key, row in found.items() if key not in targets]


def require_one_form(parts: dict[str, list[Example]], filters: Filters, mode: Autoencoder | Dialogue | Mixed) -> None:
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


def texts_of(
    sources: Sources, mode: Autoencoder | Dialogue | Mixed, filters: Filters, split: Split, seed: int
) -> list[str]:
    """The distinct texts that a run with these options embeds. DataError where the data are ready embeddings."""
    rows, corpus_rows, _ = prepared_rows(sources, mode, filters, split, seed)
    texts = distinct_texts([*rows.values(), corpus_rows])
    if not texts:
        raise DataError("the data are ready embeddings: there is nothing to encode")
    return texts


def target_texts_of(
    sources: Sources, mode: Autoencoder | Dialogue | Mixed, filters: Filters, split: Split, seed: int
) -> list[str]:
    """The distinct texts of those that a further teacher embeds: the targets of training and validation."""
    rows, _, _ = prepared_rows(sources, mode, filters, split, seed)
    return distinct_texts([targets_alone(rows)])


def targets_alone(rows: dict[str, list[Example]]) -> list[Example]:
    """The targets of training and validation, as rows of their own."""
    return [
        attrs.evolve(row, input=row.target, target=None)
        for part in ("train", "validation")
        for row in rows[part]
        if row.target is not None
    ]

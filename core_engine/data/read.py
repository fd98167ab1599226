"""Reads a data source whole and checks what it yields, whoever wrote it."""

from __future__ import annotations

import numpy as np

from core_engine.contracts.data import Example
from core_engine.contracts.objects import DataSource
from core_engine.errors import DataError, EngineError


def read_examples(source: DataSource, part: str) -> list[Example]:
    """Every row of a source; ``part`` (train, validation, test, corpus) is for messages.

    DataError where there are no rows, rows of different form, equal ids, or embeddings that are not finite or not of
    one length.
    """
    try:
        rows = list(source.read())
    except EngineError:
        raise
    except Exception as error:
        raise DataError(f"{part}: the source failed: {type(error).__name__}: {error}") from error
    if not rows:
        raise DataError(f"{part}: the source yields no rows")
    seen: set[str] = set()
    for row in rows:
        if not isinstance(row, Example):
            raise DataError(f"{part}: the source yields {type(row).__name__}, not Example")
        if row.id in seen:
            raise DataError(f"{part}: two rows have the id {row.id!r}; ids must be unique")
        seen.add(row.id)
    first = rows[0]
    for row in rows:
        if isinstance(row.input, str) != isinstance(first.input, str):
            raise DataError(f"{part}: row {row.id!r} differs from {first.id!r}: texts and embeddings are mixed")
        if (row.target is None) != (first.target is None):
            raise DataError(f"{part}: row {row.id!r} differs from {first.id!r}: only one of them has a target")
        if row.target is not None and isinstance(row.target, str) != isinstance(row.input, str):
            raise DataError(f"{part}: row {row.id!r}: input and target must both be texts or both embeddings")
        if row.without_history is not None and not isinstance(row.input, str):
            raise DataError(f"{part}: row {row.id!r}: only texts can be without their history; its input is none")
    if not isinstance(first.input, str):
        for side in ("input", "target") if first.target is not None else ("input",):
            _check_embeddings(rows, side, part)
    return rows


def _check_embeddings(rows: list[Example], side: str, part: str) -> None:
    shape = np.shape(getattr(rows[0], side))
    for row in rows:
        value = np.asarray(getattr(row, side))
        if value.ndim != 1 or value.shape != shape or not np.issubdtype(value.dtype, np.floating):
            raise DataError(
                f"{part}: {side} of row {row.id!r} is {value.dtype} {list(value.shape)}; "
                f"expected floats of one dimension, {list(shape)} as in row {rows[0].id!r}"
            )
        if not np.isfinite(value).all():
            raise DataError(f"{part}: {side} of row {row.id!r} holds NaN or infinity; remove the row or fix it")

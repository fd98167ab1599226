"""What a mode makes of rows: which vectors go in, and which should come out."""

from __future__ import annotations

from collections.abc import Hashable

import attrs

from core_engine.contracts.data import Example
from core_engine.data.identity import identity
from core_engine.errors import DataError
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed


def held_out_rows(rows: list[Example], mode: Autoencoder | Dialogue | Mixed, part: str) -> list[Example]:
    """Rows as the mode evaluates them; the training rows of its main task are made the same way.

    Autoencoder: every distinct text, of questions and answers alike, as its own target, in the group where it stands
    first. Dialogue and mixed: the pairs. DataError where pairs are needed and the rows are not pairs.
    """
    if isinstance(mode, Autoencoder):
        return distinct_texts(rows)
    if rows[0].target is None:
        raise DataError(
            f"data.{part}: mode {'mixed' if isinstance(mode, Mixed) else 'dialogue'} needs pairs, "
            f"and these rows have no target; use mode autoencoder, or a source of question-answer pairs"
        )
    return rows


def distinct_texts(rows: list[Example]) -> list[Example]:
    """Each distinct input or target once, as a row that is its own target."""
    found: dict[Hashable, Example] = {}
    for row in rows:
        for side in ("input", "target"):
            value = getattr(row, side)
            if value is not None:
                key = identity(value)
                if key not in found:
                    found[key] = attrs.evolve(
                        row, id=f"{row.id}/{side}", input=value, target=value, without_history=None
                    )
    return list(found.values())


def answers(rows: list[Example]) -> list[Example]:
    """Each distinct answer as its own target: the autoencoder rows of the mixed mode."""
    return distinct_texts([attrs.evolve(row, input=row.target, target=None) for row in rows if row.target is not None])


def without_known_texts(rows: list[Example], known: list[Example]) -> list[Example]:
    """The rows whose text is none of the known ones: a text seen in training is not held out."""
    seen = {identity(row.input) for row in known}
    return [row for row in rows if identity(row.input) not in seen]

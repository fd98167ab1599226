"""What a data source yields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import Factory, frozen

if TYPE_CHECKING:
    import numpy as np


@frozen
class Example:
    """One row: a text, or a pair of texts, or the same as ready embeddings.

    ``input`` and ``target`` are both texts or both embeddings (1-D float arrays); ``target`` is None for a row that
    is a text of its own rather than a pair. ``group`` is the unit that never stands in two splits (a topic, a
    document, a customer); None where the data names none. ``id`` is unique within a source.

    ``origin``: for a row that was made from another of the same source, that row's id. Such a row stands in training
    or nowhere: it is left out where the row that it was made from is held out.

    ``without_history``: for an input text that holds earlier turns of a conversation, the question alone, which is not
    blank; None where there are no earlier turns.
    """

    id: str
    input: str | np.ndarray[Any, Any]
    target: str | np.ndarray[Any, Any] | None = None
    group: str | None = None
    metadata: Mapping[str, object] = Factory(dict)
    origin: str | None = None
    without_history: str | None = None

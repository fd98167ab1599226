"""The data source ``expand``: the pairs of another source, and more questions for their answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from attrs import field, frozen
from attrs.validators import ge, le, min_len, optional

from core_engine import ComponentRef, DataSourceContext, Kind, Slot
from core_engine_data.expand.quality import Weights

if TYPE_CHECKING:
    from core_engine_data.expand.source import ExpandedPairs


@frozen(kw_only=True)
class Expand:
    """Another source's pairs, grown to a size by rephrased questions with the same answers.

    ``source``: where the pairs come from. ``size``: rows in all, those of the source among them. ``rephrasers``: what
    writes the questions. ``wordings``: how many each rephraser is asked for, for each row. ``min_quality``: questions
    below it are not used; quality is from 0 to 1, the mean of its parts with ``weights``. ``per_row``: new rows made
    from one row, at most; None for no limit.
    """

    source: Annotated[ComponentRef, Slot(Kind.DATA_SOURCE)]
    size: int = field(validator=ge(1))
    rephrasers: list[Annotated[ComponentRef, Slot(Kind.REPHRASER)]] = field(validator=min_len(1))
    wordings: int = field(default=8, validator=ge(1))
    min_quality: float = field(default=0.6, validator=[ge(0), le(1)])
    weights: Weights = field(factory=Weights)
    per_row: int | None = field(default=None, validator=optional(ge(1)))

    def check(self) -> Iterator[tuple[str, str]]:
        if getattr(self.source.config, "yields_embeddings", False):
            yield "source", "it yields embeddings, which cannot be rephrased; name a source of texts"

    def build(self, context: DataSourceContext) -> ExpandedPairs:
        from core_engine_data.expand.source import ExpandedPairs

        return ExpandedPairs(self, context)

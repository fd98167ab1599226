"""The component ``sentence_transformers``."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
from attrs import Factory, field, frozen

from core_engine import Loss, LossContext
from core_engine_sentence_transformers.runtime import INSTALL, installed

#: Those that need no more than the outputs and their targets.
WORKING = (
    "MultipleNegativesRankingLoss",
    "MegaBatchMarginLoss",
    "EmbedDistillLoss",
    "GlobalOrthogonalRegularizationLoss",
)

Option = bool | int | float | str | list[str] | None


def _works(instance: SentenceTransformers, attribute: attrs.Attribute[str], value: str) -> None:
    if value not in WORKING:
        raise ValueError(
            f"{value} is unknown, or needs labels, texts or a model of the library, which a batch of embeddings has "
            f"not; these work: {', '.join(WORKING)}"
        )


@frozen(kw_only=True)
class SentenceTransformers:
    """A loss class of the library Sentence Transformers, computed from outputs and targets.

    Outputs stand in the place of anchors, targets in that of positives or of the teacher's embeddings. The library
    knows nothing of rows with the same target text: they are negatives of one another.
    """

    loss: str = field(validator=_works)
    #: Arguments of the class, by name; its defaults for those that are not given.
    options: dict[str, Option] = Factory(dict)

    def check(self) -> Iterator[tuple[str, str]]:
        if not installed():
            yield "type", f"needs the package sentence-transformers: {INSTALL}"

    def build(self, context: LossContext) -> Loss:
        from core_engine_sentence_transformers.library_loss import LibraryLoss

        return LibraryLoss(self.loss, self.options, context.dim)

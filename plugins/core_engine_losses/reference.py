"""Which teacher's embeddings a loss without regard to dimensions compares the output with."""

from __future__ import annotations

from torch import Tensor

from core_engine import Batch, LossContext
from core_engine.errors import RecipeError, TrainingError


def require_teacher(loss: str, teacher: str | None, context: LossContext) -> None:
    """RecipeError unless ``teacher`` is None or one of the run's further teachers."""
    if teacher is None or teacher in context.further:
        return
    known = f"the further ones are: {', '.join(context.further)}" if context.further else "it has no further ones"
    raise RecipeError(
        [
            f"loss {loss}: the run's teacher has no further teacher {teacher!r}; {known}. "
            f"Use a teacher of type 'multi' that has it and whose primary is another, or write teacher: null"
        ]
    )


def embeddings_by(teacher: str | None, target: Tensor, batch: Batch) -> Tensor:
    """The targets' embeddings by a further teacher, ``[B, D_k]``; ``target`` itself for None.

    TrainingError where the batch has none of that teacher.
    """
    if teacher is None:
        return target
    try:
        return batch.further[teacher]
    except KeyError:
        raise TrainingError(
            f"the batch has no embeddings by teacher {teacher!r}: the run's teacher is not a 'multi' that has it"
        ) from None

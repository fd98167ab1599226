"""The options of losses that wrap another one or compare with further teachers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import attrs
from attrs import Factory, field, frozen
from attrs.validators import and_, deep_iterable, deep_mapping, ge, gt, in_, instance_of, lt, min_len, optional

from core_engine import ComponentRef, Kind, Loss, LossContext, Ramp, Scheduled, Slot, each_value, value_at
from core_engine.errors import RecipeError

if TYPE_CHECKING:
    from core_engine_losses.teacher_weights import Rule

_is_temperature = each_value(and_(gt(0.0), lt(math.inf)))
_is_share = each_value(and_(ge(0.0), lt(math.inf)))


@frozen
class SimilarityDistillation:
    """How alike the rows of a batch are to one another, as a distribution: like the teacher's (KL divergence).

    The teacher may have any dimension. A batch of fewer than three rows teaches nothing.
    """

    #: What cosines are divided by before the softmax, on both sides.
    temperature: Scheduled = field(default=0.05, validator=_is_temperature)
    #: A further teacher of the run's ``multi``; without it, the run's own one.
    teacher: str | None = None

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.reference import require_teacher
        from core_engine_losses.similarity_distillation import SimilarityDivergence

        require_teacher("similarity_distillation", self.teacher, context)
        return SimilarityDivergence(self.temperature, self.teacher)


@frozen
class RelationalDistillation:
    """How far the rows of a batch are from one another, in units of the mean: like the teacher's (RKD-D).

    The teacher may have any dimension.
    """

    #: A further teacher of the run's ``multi``; without it, the run's own one.
    teacher: str | None = None

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.reference import require_teacher
        from core_engine_losses.relational_distillation import RelationalDistance

        require_teacher("relational_distillation", self.teacher, context)
        return RelationalDistance(self.teacher)


def _positive(instance: Matryoshka, attribute: attrs.Attribute[list[float] | None], value: list[float] | None) -> None:
    if value is not None and not all(0 < weight < math.inf for weight in value):
        raise ValueError(f"weights must be above 0, not {value}")


def _all_different(instance: Matryoshka, attribute: attrs.Attribute[list[int]], value: list[int]) -> None:
    if len(set(value)) < len(value):
        raise ValueError(f"each number of dimensions once, not {value}")


@frozen
class Matryoshka:
    """Another loss at several lengths of the embedding at once, so that its first dimensions are one by themselves."""

    loss: Annotated[ComponentRef, Slot(Kind.LOSS)]
    #: How many of the first dimensions; list the whole embedding too where it is to be trained as such.
    dims: list[int] = field(validator=and_(min_len(1), deep_iterable(ge(1)), _all_different))
    #: One for each of ``dims``; without it, all are 1.
    weights: list[float] | None = field(default=None, validator=_positive)

    def __attrs_post_init__(self) -> None:
        if self.weights is not None and len(self.weights) != len(self.dims):
            raise ValueError(f"{len(self.weights)} weights for {len(self.dims)} dims: give one for each")

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.matryoshka import MatryoshkaLoss

        if max(self.dims) > context.dim:
            raise RecipeError(
                [f"loss matryoshka: dims has {max(self.dims)}, and embeddings have {context.dim} dimensions: lower it"]
            )
        losses = [self.loss.config.build(attrs.evolve(context, dim=dim)) for dim in self.dims]
        return MatryoshkaLoss(losses, self.dims, self.weights or [1.0] * len(self.dims))


@frozen(kw_only=True)
class MultiTeacher:
    """Another loss against each teacher of a ``multi`` at once, their embeddings mapped into the primary's space.

    The maps are fitted once, on the training targets. The run's own teacher is called ``primary``.
    """

    loss: Annotated[ComponentRef, Slot(Kind.LOSS)]
    #: ``ridge`` is the map with the least squared error, ``procrustes`` turns and scales.
    alignment: Literal["ridge", "procrustes"] = field(default="ridge", validator=in_(("ridge", "procrustes")))
    #: Of ``ridge``, in units of the mean variance of the teacher's dimensions.
    penalty: float = field(default=0.01, validator=and_(gt(0.0), lt(math.inf)))
    #: ``fixed``: by ``shares``. ``confidence``: in each batch, by how surely a teacher tells the row's own target from
    #: the others. ``adaptive``: by how near the outputs came to it in the last evaluations.
    weights: Literal["fixed", "confidence", "adaptive"] = field(
        default="fixed", validator=in_(("fixed", "confidence", "adaptive"))
    )
    #: For ``fixed``: teacher -> its share, over the sum of all; 1 for those that are not named.
    shares: dict[str, Scheduled] = field(default=Factory(dict), validator=deep_mapping(instance_of(str), _is_share))
    #: What scores are divided by before the softmax: nats for ``confidence`` (1 by default), cosines for ``adaptive``
    #: (0.1 by default).
    temperature: Scheduled | None = field(default=None, validator=optional(_is_temperature))
    #: For ``adaptive``: how many of the last evaluations count.
    window: int = field(default=3, validator=ge(1))
    #: A teacher whose weight falls below it is left out for the rest of the run; the last one stays.
    drop_below: float = field(default=0.0, validator=and_(ge(0.0), lt(1.0)))

    def __attrs_post_init__(self) -> None:
        if self.shares and self.weights != "fixed":
            raise ValueError(f"shares have no effect with weights: {self.weights}; remove one of them")
        if self.temperature is not None and self.weights == "fixed":
            raise ValueError("temperature has no effect with weights: fixed; remove it")

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.alignment import Alignment
        from core_engine_losses.multi_teacher import PRIMARY, MultiTeacherLoss
        from core_engine_losses.teacher_weights import TeacherWeights

        names = [PRIMARY, *context.further]
        self._require_teachers(names)
        alignments = {
            name: Alignment(dim, context.dim, self.alignment, self.penalty) for name, dim in context.further.items()
        }
        weights = TeacherWeights(self._rule(names), len(names), self.drop_below)
        return MultiTeacherLoss([self.loss.config.build(context) for _ in names], alignments, weights)

    def _require_teachers(self, names: Sequence[str]) -> None:
        """RecipeError unless there are several teachers, and the shares are theirs."""
        primary, *further = names
        if not further:
            raise RecipeError(
                [
                    "loss multi_teacher: the run's teacher is not a 'multi', so there is only one; use 'multi' or the "
                    "inner loss by itself"
                ]
            )
        if primary in further:
            raise RecipeError(
                [f"loss multi_teacher: {primary!r} is what the run's own teacher is called; rename that of 'multi'"]
            )
        if unknown := self.shares.keys() - set(names):
            raise RecipeError(
                [f"loss multi_teacher: shares names {', '.join(sorted(unknown))}; teachers: {', '.join(names)}"]
            )

    def _rule(self, names: Sequence[str]) -> Rule:
        from core_engine_losses import teacher_weights

        if self.weights == "confidence":
            return teacher_weights.Confidence(1.0 if self.temperature is None else self.temperature)
        if self.weights == "adaptive":
            temperature = 0.1 if self.temperature is None else self.temperature
            return teacher_weights.Adaptive(len(names), self.window, temperature)
        shares = [self.shares.get(name, 1.0) for name in names]
        _require_some_share(shares)
        return teacher_weights.FixedShares(shares)


def _require_some_share(shares: Iterable[Scheduled]) -> None:
    """RecipeError where all shares are 0 at one time: each is 0 up to or from an end of its ramp, if ever."""
    shares = list(shares)
    ramps = [share for share in shares if isinstance(share, Ramp)]
    for progress in sorted({0.0, *(ramp.begin for ramp in ramps), *(ramp.until for ramp in ramps)}):
        if not any(value_at(share, progress) for share in shares):
            raise RecipeError(
                [f"loss multi_teacher: all shares are 0 when {progress:g} of training is done; raise one"]
            )

"""The options of each loss. The formulas stand in the modules that ``build`` imports."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from attrs import Factory, field, frozen
from attrs.validators import and_, ge, gt, lt

from core_engine import ComponentRef, Kind, Loss, LossContext, Pacing, Ramp, Scheduled, Slot, each_value
from core_engine.errors import RecipeError


@frozen
class Cosine:
    """One minus the cosine between output and target; 0 (same direction) to 2."""

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.cosine import CosineLoss

        return CosineLoss()


@frozen
class MeanSquaredError:
    """Squared difference of output and target, mean over rows and dimensions."""

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.mse import MeanSquaredErrorLoss

        return MeanSquaredErrorLoss()


@frozen
class Huber:
    """Squared difference up to ``delta``, linear beyond (Huber, 1964), mean over rows and dimensions."""

    #: In the unit of the embeddings; one dimension of a unit vector of 384 is about 0.05.
    delta: float = field(default=0.05, validator=and_(gt(0.0), lt(math.inf)))

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.huber import HuberLoss

        return HuberLoss(self.delta)


@frozen
class Combined:
    """Weighted sum of cosine and mse: direction and length together."""

    cosine_weight: float = field(default=1.0, validator=and_(ge(0.0), lt(math.inf)))
    #: For embeddings of unit length, D / 2 (D: the dimension) makes mse count as much as cosine.
    mse_weight: float = field(default=1.0, validator=and_(ge(0.0), lt(math.inf)))

    def __attrs_post_init__(self) -> None:
        if not self.cosine_weight and not self.mse_weight:
            raise ValueError("cosine_weight and mse_weight are both 0: nothing would be learned; raise one of them")

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.combined import CombinedLoss

        return CombinedLoss(self.cosine_weight, self.mse_weight)


@frozen
class Triplet:
    """Nearer to the target than to wrong ones, by a margin.

    Wrong ones are those of a ``negatives`` component, or without one those of the batch.
    """

    distance: Literal["cosine", "euclidean"] = "cosine"
    #: In the unit of the distance.
    margin: Scheduled = field(default=0.2, validator=each_value(and_(ge(0.0), lt(math.inf))))
    #: Of the batch's wrong targets, the nearest or all.
    in_batch: Literal["hardest", "all"] = "hardest"

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.triplet import TripletLoss

        return TripletLoss(self.distance, self.margin, self.in_batch)


@frozen
class InfoNCE:
    """In-batch negatives (InfoNCE, multiple negatives ranking): find the row's own target in the batch.

    A batch of one row has no negatives and teaches nothing; more rows make the task harder and the loss better.
    """

    #: What cosines are divided by before the softmax; small values weigh the hardest negatives most.
    temperature: Scheduled = field(default=0.05, validator=each_value(and_(gt(0.0), lt(math.inf))))
    #: Learn the temperature, from ``temperature`` on; never below 0.01.
    learned_temperature: bool = False
    #: Also find the row's own output for its target, and take the mean of both losses.
    symmetric: bool = False
    #: Share of the mass that all candidates of a row share.
    label_smoothing: float = field(default=0.0, validator=and_(ge(0.0), lt(1.0)))
    #: How many of the most recent targets are wrong ones too.
    memory_bank: int = field(default=0, validator=ge(0))
    #: Find it among the batch's targets of the row's own group alone.
    in_group: bool = False

    def __attrs_post_init__(self) -> None:
        if self.in_group and self.memory_bank:
            raise ValueError("a memory bank knows of no groups; leave out memory_bank or in_group")
        if not self.learned_temperature:
            return
        if isinstance(self.temperature, Ramp):
            raise ValueError("a temperature that is learned starts from a number, not from a ramp")
        if self.temperature < 0.01:
            raise ValueError("a temperature that is learned stays at 0.01 or above; start there")

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.info_nce import InfoNCELoss
        from core_engine_losses.memory_bank import MemoryBank

        return InfoNCELoss(
            self.temperature,
            self.symmetric,
            learned=self.learned_temperature,
            label_smoothing=self.label_smoothing,
            bank=MemoryBank(self.memory_bank, context.dim) if self.memory_bank else None,
            in_group=self.in_group,
        )


@frozen
class Uniformity:
    """Outputs spread over the unit sphere (Wang & Isola, 2020): a term for diversity, to stand beside another loss."""

    #: How local it is: pairs much farther apart than 1 / sqrt(t) hardly count.
    t: float = field(default=2.0, validator=and_(gt(0.0), lt(math.inf)))

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.uniformity import UniformityLoss

        return UniformityLoss(self.t)


@frozen
class Curriculum:
    """Another loss with weights on its rows: easy ones first, more of them as ``pacing`` says.

    Needs ``data.difficulty``.
    """

    #: A loss that is a mean over rows.
    loss: Annotated[ComponentRef, Slot(Kind.LOSS)]
    pacing: Pacing = Factory(Pacing)
    #: ``hard`` leaves out what is harder than the pacing's share; ``soft`` fades it out over a fifth of the rows.
    weighting: Literal["hard", "soft"] = "hard"

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.curriculum import CurriculumLoss

        inner = self.loss.config.build(context)
        if not hasattr(inner, "rows"):
            raise RecipeError(
                [f"loss curriculum: {self.loss.type!r} gives no loss for each row, so rows cannot be weighed"]
            )
        return CurriculumLoss(inner, self.pacing, self.weighting)

"""The options of each loss. The formulas stand in the modules that ``build`` imports."""

from __future__ import annotations

import math

from attrs import field, frozen
from attrs.validators import and_, ge, gt, lt

from core_engine import Loss, LossContext


@frozen
class Cosine:
    """One minus the cosine between output and target; 0 (same direction) to 2."""

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.cosine import cosine

        return cosine


@frozen
class MeanSquaredError:
    """Squared difference of output and target, mean over rows and dimensions."""

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.mse import mse

        return mse


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
        from core_engine_losses.combined import combined

        return combined(self.cosine_weight, self.mse_weight)


@frozen
class InfoNCE:
    """In-batch negatives (InfoNCE, multiple negatives ranking): find the row's own target in the batch.

    A batch of one row has no negatives and teaches nothing; more rows make the task harder and the loss better.
    """

    #: What cosines are divided by before the softmax; small values weigh the hardest negatives most.
    temperature: float = field(default=0.05, validator=and_(gt(0.0), lt(math.inf)))
    #: Also find the row's own output for its target, and take the mean of both losses.
    symmetric: bool = False

    def build(self, context: LossContext) -> Loss:
        from core_engine_losses.info_nce import info_nce

        return info_nce(self.temperature, self.symmetric)
